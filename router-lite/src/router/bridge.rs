//! What a bridge to other routers may do beside what every session does.

use clasp_wire::{
    Address, Pattern,
    message::{Set, SignalType, TypeMask},
};

use super::Router;
use crate::{
    access::is_reserved,
    counters::Refusal,
    id::ConnectionId,
    outbox::Class,
    params::{Adopted, Adoption, Precedence, Refused, StoredParam},
    slots::Slot,
    time::Now,
};

/// What sessions subscribe to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interest {
    /// The pattern.
    pub pattern: Pattern,
    /// The signal types that any of them wants.
    pub types: TypeMask,
}

impl Router {
    /// Takes over a parameter that this bridge brings with its revision. Subscribers are told, the bridge is not. Like
    /// [`Router::handle_input`] it is followed by [`Router::poll_output`].
    pub fn adopt(
        &mut self,
        now: Now,
        bridge: ConnectionId,
        set: &Set<'_>,
        precedence: Precedence,
    ) -> Adoption {
        self.now = now;
        let session = self.bridge(bridge).and_then(|slot| Some((slot, self.slots.get(slot)?.session()?.id)));
        let Some((slot, session)) = session else {
            return Adoption::Refused("there is no bridge".to_owned());
        };
        if let Err(error) = Address::parse(set.address) {
            self.tally.note(now.instant, Refusal::Address, &error);
            return Adoption::Refused(error.to_string());
        }
        if is_reserved(set.address) {
            self.tally.note(now.instant, Refusal::Scope, &"write operation");
            return Adoption::Refused("the address is reserved".to_owned());
        }
        match self.params.adopt(now, session, set, precedence, &mut self.scratch) {
            Ok(Adopted::Same) => Adoption::Same,
            Ok(Adopted::Kept { frame, own }) => Adoption::Kept { frame, own },
            Ok(Adopted::Taken { frame, revision }) => {
                for target in self.roster.targets(set.address).iter().filter(|t| t.hears(SignalType::Param)) {
                    if target.slot != slot {
                        self.push(target.slot, frame.clone(), Class::Reliable);
                    }
                }
                Adoption::Taken { revision }
            }
            Err(refused) => {
                let kind = match refused {
                    Refused::Revision { .. } | Refused::Lock { .. } => Refusal::Conflict,
                    Refused::AtCapacity => Refusal::Params,
                    Refused::TooLarge => Refusal::TooLarge,
                };
                self.tally.note(now.instant, kind, &refused);
                Adoption::Refused(refused.to_string())
            }
        }
    }

    /// Up to `max` parameters that match, in order of their addresses, after this one: what a bridge pages through.
    #[must_use]
    pub fn stored(
        &self,
        now: Now,
        bridge: ConnectionId,
        pattern: &Pattern,
        after: Option<&str>,
        max: usize,
    ) -> Vec<StoredParam> {
        let session = self.bridge(bridge).and_then(|slot| Some(self.slots.get(slot)?.session()?.id));
        session.map_or_else(Vec::new, |session| self.params.matching(now, pattern, after, max, session))
    }

    /// What sessions other than this bridge subscribe to, each pattern once. As many at most as there may be subscriptions.
    #[must_use]
    pub fn interests(&self, bridge: ConnectionId) -> Vec<Interest> {
        self.roster.interests(self.bridge(bridge))
    }

    /// Another number whenever [`Router::interests`] may have changed.
    #[must_use]
    pub fn interests_version(&self) -> u64 {
        self.roster.version()
    }

    fn bridge(&self, connection: ConnectionId) -> Option<Slot> {
        let slot = self.slots.find(connection)?;
        self.slots
            .get(slot)
            .is_some_and(|connection| connection.origin == crate::access::Origin::Bridge)
            .then_some(slot)
    }
}

#[cfg(test)]
mod tests;
