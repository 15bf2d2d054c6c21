//! Parameters: values that stay, with revisions, locks and an end.
//!
//! Owns: the store and its bounds, the rules of SET, building SNAPSHOTs. Does not own: who may write or read, who hears
//! of a write.
//!
//! A parameter is kept as the very SET frame its subscribers got, shared with their outboxes.

mod adopt;
mod snapshot;

use std::{
    collections::BTreeMap,
    fmt,
    ops::Bound,
    time::{Duration, Instant},
};

use bytes::Bytes;
use clasp_wire::{
    Message, Value,
    message::{Set, Ttl},
};

pub(crate) use adopt::Adopted;
pub use adopt::{Adoption, Precedence, StoredParam};
pub(crate) use snapshot::{Chunk, snapshot_of};

use crate::{
    id::SessionId,
    limits::{MAX_PARAM_BYTES, MAX_PARAM_ENTRY_BYTES, MAX_PARAMS, PARAM_OVERHEAD_BYTES, PARAM_TTL},
    time::Now,
};

/// What a SET frame with a revision has beside address and value: header 4, type, flags and address length 4,
/// revision 8.
const SET_OVERHEAD_BYTES: usize = 16;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Params {
    all: BTreeMap<Box<str>, Param>,
    bytes: usize,
}

/// One parameter.
#[derive(Debug)]
pub(crate) struct Param {
    /// The SET frame as broadcast.
    frame: Bytes,
    /// Bytes of address and value.
    entry_bytes: usize,
    revision: u64,
    writer: SessionId,
    timestamp_us: u64,
    lock: Option<SessionId>,
    life: Life,
}

#[derive(Debug, Clone, Copy)]
enum Life {
    /// For ever.
    Endless,
    /// So long after the last write.
    Sliding { ttl: Duration, ends_at: Instant },
    /// Until then, whatever is written later.
    Absolute { ends_at: Instant },
}

/// Why a SET was refused. Displayed as the stock router words it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Revision { expected: u64, actual: u64 },
    Lock { holder: SessionId },
    AtCapacity,
    TooLarge,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Revision { expected, actual } => {
                write!(f, "RevisionConflict {{ expected: {expected}, actual: {actual} }}")
            }
            Self::Lock { holder } => write!(f, "LockHeld {{ holder: \"{holder}\" }}"),
            Self::AtCapacity => f.write_str("AtCapacity"),
            Self::TooLarge => {
                write!(f, "Value too large: address and value may take {MAX_PARAM_ENTRY_BYTES} bytes")
            }
        }
    }
}

/// A SET that was carried out.
#[derive(Debug)]
pub(crate) struct Written {
    /// The frame for the subscribers.
    pub(crate) frame: Bytes,
    pub(crate) revision: u64,
    /// How the number of locks the writer holds changes.
    pub(crate) locks: i32,
}

impl Params {
    /// Carries out a SET by `writer`: revision first, then lock, then room, as the stock router checks.
    pub(crate) fn write(
        &mut self,
        now: Now,
        writer: SessionId,
        set: &Set<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<Written, Refused> {
        let old = self.live(set.address, now.instant);
        if let Some(old) = old {
            if let Some(expected) = set.revision.filter(|expected| *expected != old.revision) {
                return Err(Refused::Revision { expected, actual: old.revision });
            }
            if let Some(holder) = old.lock.filter(|holder| *holder != writer) {
                return Err(Refused::Lock { holder });
            }
        }
        let revision = old.map_or(1, |old| old.revision.saturating_add(1));
        let had_lock = old.is_some_and(|old| old.lock.is_some());
        let has_lock = (had_lock || set.lock) && !set.unlock;
        let life = Life::after_write(old.map(|old| old.life), set.ttl, now.instant);
        let lock = has_lock.then_some(writer);
        let frame =
            self.store(now, writer, &Set { revision: Some(revision), ..*set }, lock, life, scratch)?;
        Ok(Written { frame, revision, locks: i32::from(has_lock) - i32::from(had_lock) })
    }

    /// Stores what was allowed, if there is room; returns the frame for the subscribers.
    fn store(
        &mut self,
        now: Now,
        writer: SessionId,
        set: &Set<'_>,
        lock: Option<SessionId>,
        life: Life,
        scratch: &mut Vec<u8>,
    ) -> Result<Bytes, Refused> {
        scratch.clear();
        Message::Set(*set).encode_into(scratch).map_err(|_| Refused::TooLarge)?;
        let entry_bytes =
            scratch.len().saturating_sub(SET_OVERHEAD_BYTES + if set.ttl.is_some() { 4 } else { 0 });
        if entry_bytes > MAX_PARAM_ENTRY_BYTES {
            return Err(Refused::TooLarge);
        }
        self.make_room(set.address, scratch.len())?;
        let frame = Bytes::copy_from_slice(scratch);
        let (revision, timestamp_us) = (set.revision.unwrap_or(1), now.unix_us);
        let param = Param { frame: frame.clone(), entry_bytes, revision, writer, timestamp_us, lock, life };
        self.bytes += cost(set.address, &frame);
        self.all.insert(set.address.into(), param);
        Ok(frame)
    }

    /// The parameter at `address`, unless it has expired.
    pub(crate) fn live(&self, address: &str, now: Instant) -> Option<&Param> {
        self.all.get(address).filter(|param| !param.is_over(now))
    }

    /// The living parameters after `after` (all, if none is given), in order of their addresses.
    pub(crate) fn after(&self, after: Option<&str>, now: Instant) -> impl Iterator<Item = (&str, &Param)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rest = self.all.range::<str, _>((from, Bound::Unbounded));
        rest.map(|(address, param)| (&**address, param)).filter(move |(_, param)| !param.is_over(now))
    }

    /// Releases every lock `holder` has.
    pub(crate) fn release_locks(&mut self, holder: SessionId) {
        for param in self.all.values_mut().filter(|param| param.lock == Some(holder)) {
            param.lock = None;
        }
    }

    /// Throws out what has expired; returns how many.
    pub(crate) fn expire(&mut self, now: Instant) -> usize {
        let before = self.all.len();
        let bytes = &mut self.bytes;
        self.all.retain(|address, param| {
            let over = param.is_over(now);
            if over {
                *bytes -= cost(address, &param.frame);
            }
            !over
        });
        before - self.all.len()
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Locks held by `holder`, for consistency checks.
    pub(crate) fn locks_of(&self, holder: SessionId) -> usize {
        self.all.values().filter(|param| param.lock == Some(holder)).count()
    }

    /// What the stored parameters add up to, for consistency checks.
    pub(crate) fn count_bytes(&self) -> usize {
        self.all.iter().map(|(address, param)| cost(address, &param.frame)).sum()
    }

    /// Takes out the parameter that `address` has (it is to be replaced), if the new one fits.
    fn make_room(&mut self, address: &str, frame_len: usize) -> Result<(), Refused> {
        let old = self.all.get(address).map(|old| cost(address, &old.frame));
        let bytes = self.bytes - old.unwrap_or(0) + address.len() + frame_len + PARAM_OVERHEAD_BYTES;
        if bytes > MAX_PARAM_BYTES || (old.is_none() && self.all.len() >= MAX_PARAMS) {
            return Err(Refused::AtCapacity);
        }
        self.bytes -= old.unwrap_or(0);
        Ok(())
    }
}

impl Param {
    /// The stored value.
    pub(crate) fn value(&self) -> Option<Value<'_>> {
        match Message::decode_compact(&self.frame) {
            Ok((_, Message::Set(set))) => Some(set.value),
            _ => None,
        }
    }

    fn is_over(&self, now: Instant) -> bool {
        match self.life {
            Life::Endless => false,
            Life::Sliding { ends_at, .. } | Life::Absolute { ends_at } => now >= ends_at,
        }
    }
}

impl Life {
    /// A TTL given now counts; else an older one of the same parameter goes on; else the default.
    fn after_write(old: Option<Self>, given: Option<Ttl>, now: Instant) -> Self {
        let sliding = |ttl: Duration| Self::Sliding { ttl, ends_at: now + ttl };
        match (given, old) {
            (Some(Ttl::Never), _) => Self::Endless,
            (Some(Ttl::Sliding(seconds)), _) => sliding(Duration::from_secs(seconds.into())),
            (Some(Ttl::Absolute(seconds)), _) => {
                Self::Absolute { ends_at: now + Duration::from_secs(seconds.into()) }
            }
            (None, Some(Self::Sliding { ttl, .. })) => sliding(ttl),
            (None, Some(other)) => other,
            (None, None) => sliding(PARAM_TTL),
        }
    }
}

fn cost(address: &str, frame: &Bytes) -> usize {
    address.len() + frame.len() + PARAM_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests;
