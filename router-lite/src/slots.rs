//! Connections in a table with stable, small numbers: fan-out finds its receivers by index.

use std::collections::HashMap;

use crate::{connection::Connection, id::ConnectionId};

/// A place in the table. Free again when its connection is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slot(u32);

impl Slot {
    #[cfg(test)]
    pub(crate) const fn new(number: u32) -> Self {
        Self(number)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    table: Vec<Option<Box<Connection>>>,
    free: Vec<Slot>,
    by_id: HashMap<ConnectionId, Slot>,
}

impl Slots {
    /// Puts a connection in. Whoever had the same id is to be removed first; its slot is leaked otherwise.
    pub(crate) fn insert(&mut self, connection: Connection) -> Slot {
        let id = connection.id;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.table.push(None);
            Slot(u32::try_from(self.table.len() - 1).expect("fewer than 2^32 connections fit in memory"))
        });
        if let Some(place) = self.table.get_mut(slot.0 as usize) {
            *place = Some(Box::new(connection));
        }
        self.by_id.insert(id, slot);
        slot
    }

    pub(crate) fn find(&self, id: ConnectionId) -> Option<Slot> {
        self.by_id.get(&id).copied()
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&Connection> {
        self.table.get(slot.0 as usize)?.as_deref()
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut Connection> {
        self.table.get_mut(slot.0 as usize)?.as_deref_mut()
    }

    pub(crate) fn remove(&mut self, slot: Slot) -> Option<Box<Connection>> {
        let connection = self.table.get_mut(slot.0 as usize)?.take()?;
        self.by_id.remove(&connection.id);
        self.free.push(slot);
        if self.by_id.is_empty() {
            *self = Self::default();
        }
        Some(connection)
    }

    /// All slots in use, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Slot, &Connection)> {
        let numbered = (0u32..).map(Slot).zip(&self.table);
        numbered.filter_map(|(slot, place)| Some((slot, place.as_deref()?)))
    }

    /// The slot after `after` (or the first), in use or not; none when there are no more.
    pub(crate) fn next(&self, after: Option<Slot>) -> Option<Slot> {
        let next = after.map_or(0, |slot| slot.0 + 1);
        ((next as usize) < self.table.len()).then_some(Slot(next))
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }
}
