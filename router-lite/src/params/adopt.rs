//! Parameters whose revision was given elsewhere: those of another router, with which this one is to agree.

use bytes::Bytes;
use clasp_wire::{Message, Pattern, Value, message::Set};

use super::{Life, Param, Params, Refused};
use crate::{id::SessionId, time::Now};

/// When a parameter from elsewhere replaces the one that is here. The same value with the same revision never does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precedence {
    /// When its revision is higher; or the same, and its value's compact encoding the greater of the two. So two routers that show
    /// each other what they have agree, in whatever order they do.
    Ranked,
    /// Always. Its revision becomes one more than that of the one here, if it is not higher by itself.
    Latest,
}

/// What became of a parameter from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adoption {
    /// It is here now, with this revision, and the subscribers were told.
    Taken {
        /// Its revision here.
        revision: u64,
    },
    /// It was here already.
    Same,
    /// The one that is here ranks higher.
    Kept {
        /// Its SET frame, with its revision.
        frame: Bytes,
        /// Whether it was itself taken over from elsewhere.
        own: bool,
    },
    /// There is no room for it, or somebody has locked the one that is here; in the words of an ERROR.
    Refused(String),
}

/// A parameter as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredParam {
    /// Its address.
    pub address: Box<str>,
    /// Its SET frame, with its revision.
    pub frame: Bytes,
    /// Whether it was taken over from elsewhere by who asks.
    pub own: bool,
}

/// What [`Params::adopt`] has done.
pub(crate) enum Adopted {
    Taken { frame: Bytes, revision: u64 },
    Same,
    Kept { frame: Bytes, own: bool },
}

impl Params {
    /// Takes over a parameter that `writer` brings with its revision (1 if it has none).
    pub(crate) fn adopt(
        &mut self,
        now: Now,
        writer: SessionId,
        set: &Set<'_>,
        precedence: Precedence,
        scratch: &mut Vec<u8>,
    ) -> Result<Adopted, Refused> {
        let given = set.revision.unwrap_or(1);
        let old = self.live(set.address, now.instant);
        let mut revision = given;
        if let Some(old) = old {
            let is_same = old.value().is_some_and(|value| value == set.value);
            if given == old.revision && is_same {
                return Ok(Adopted::Same);
            }
            let ranks_higher = || {
                given > old.revision
                    || given == old.revision
                        && old.value().is_none_or(|value| encoded(&set.value) > encoded(&value))
            };
            if precedence == Precedence::Ranked && !ranks_higher() {
                return Ok(Adopted::Kept { frame: old.frame.clone(), own: old.writer == writer });
            }
            if let Some(holder) = old.lock.filter(|holder| *holder != writer) {
                return Err(Refused::Lock { holder });
            }
            if precedence == Precedence::Latest {
                revision = given.max(old.revision.saturating_add(1));
            }
        }
        let life = Life::after_write(old.map(|old| old.life), set.ttl, now.instant);
        let set = Set { revision: Some(revision), lock: false, unlock: false, ..*set };
        let frame = self.store(now, writer, &set, None, life, scratch)?;
        Ok(Adopted::Taken { frame, revision })
    }

    /// Up to `max` living parameters that match, in order of their addresses, after `after`.
    pub(crate) fn matching(
        &self,
        now: Now,
        pattern: &Pattern,
        after: Option<&str>,
        max: usize,
        reader: SessionId,
    ) -> Vec<StoredParam> {
        let matching = self.after(after, now.instant).filter(|(address, _)| pattern.matches(address));
        let stored = |(address, param): (&str, &Param)| StoredParam {
            address: address.into(),
            frame: param.frame.clone(),
            own: param.writer == reader,
        };
        matching.take(max).map(stored).collect()
    }
}

/// The value as it is on the wire: what two routers compare must not depend on how either of them holds it.
fn encoded(value: &Value<'_>) -> Vec<u8> {
    let set = Set { address: "/", value: *value, revision: None, lock: false, unlock: false, ttl: None };
    let mut frame = Vec::new();
    // What does not fit a frame is refused before it comes here.
    if Message::Set(set).encode_into(&mut frame).is_err() {
        frame.clear();
    }
    frame
}
