//! SET and GET.

use clasp_wire::{
    Address,
    message::{Set, SignalType},
};

use super::Router;
use crate::{
    access::{Origin, is_reserved},
    counters::Refusal,
    outbox::Class,
    params::{Refused, snapshot_of},
    slots::Slot,
};

impl Router {
    /// Writes, tells every subscriber (the sender, too), then acknowledges.
    pub(super) fn handle_set(&mut self, slot: Slot, set: &Set<'_>, wants_ack: bool) {
        if let Err(error) = Address::parse(set.address) {
            return self.refuse_address(slot, 200, &error);
        }
        let allowed = self.slots.get(slot).is_some_and(|connection| connection.scope.writes(set.address));
        if !allowed || is_reserved(set.address) {
            return self.refuse_scope(slot, "write operation", set.address);
        }
        if let Some(revision) = self.write(slot, set)
            && wants_ack
        {
            self.reply_ack(slot, Some(set.address), Some(revision));
        }
    }

    /// Carries out an allowed SET; tells subscribers or, if it is refused, the sender.
    pub(super) fn write(&mut self, slot: Slot, set: &Set<'_>) -> Option<u64> {
        let session = self.slots.get_mut(slot)?.session_mut()?;
        match self.params.write(self.now, session.id, set, &mut self.scratch) {
            Ok(written) => {
                session.locks += written.locks;
                let hears_itself =
                    self.slots.get(slot).is_some_and(|connection| connection.origin != Origin::Bridge);
                for target in self.roster.targets(set.address).iter().filter(|t| t.hears(SignalType::Param)) {
                    if hears_itself || target.slot != slot {
                        self.push(target.slot, written.frame.clone(), Class::Reliable);
                    }
                }
                Some(written.revision)
            }
            Err(refused) => {
                let (kind, code) = match refused {
                    Refused::Revision { .. } | Refused::Lock { .. } => (Refusal::Conflict, 400),
                    Refused::AtCapacity => (Refusal::Params, 400),
                    Refused::TooLarge => (Refusal::TooLarge, 402),
                };
                self.tally.note(self.now.instant, kind, &refused);
                self.reply_error(slot, code, &refused.to_string(), Some(set.address));
                None
            }
        }
    }

    /// A SNAPSHOT of that parameter, or nothing at all: stock clients time out by themselves.
    pub(super) fn handle_get(&mut self, slot: Slot, address: &str) {
        let allowed = self.slots.get(slot).is_some_and(|connection| connection.scope.reads(address));
        if !allowed || is_reserved(address) {
            return self.refuse_scope(slot, "read operation", address);
        }
        if let Some(param) = self.params.live(address, self.now.instant) {
            let frame = snapshot_of(address, param, &mut self.scratch);
            self.push(slot, frame, Class::Reliable);
        }
    }
}
