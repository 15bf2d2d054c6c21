//! ANNOUNCE and QUERY: which signals there are.

use clasp_wire::{Pattern, message::Announce};

use super::Router;
use crate::{counters::Refusal, limits::MAX_SIGNALS, outbox::Class, slots::Slot};

impl Router {
    /// Registers as many signals as there is room for; the first one that finds none is named in an ERROR.
    pub(super) fn handle_announce(&mut self, slot: Slot, announce: &Announce<'_>, wants_ack: bool) {
        let Some(connection) = self.slots.get(slot) else { return };
        let Some(session) = connection.session().map(|session| session.id) else { return };
        if !connection.scope.allows_data() {
            return self.refuse_scope(slot, "write operation", announce.namespace);
        }
        for signal in announce.signals {
            if self.signals.announce(session, &signal).is_err() {
                self.tally.note(self.now.instant, Refusal::Signals, &MAX_SIGNALS);
                let text = format!("Signal limit reached (max {MAX_SIGNALS})");
                return self.reply_error(slot, 429, &text, Some(signal.address));
            }
        }
        if wants_ack {
            self.reply_ack(slot, Some(announce.namespace), None);
        }
    }

    /// RESULT, in several frames if one is too small. A pattern that is none matches nothing, but is answered.
    pub(super) fn handle_query(&mut self, slot: Slot, pattern: &str) {
        if !self.slots.get(slot).is_some_and(|connection| connection.scope.allows_data()) {
            return self.refuse_scope(slot, "read operation", pattern);
        }
        let wanted = Pattern::parse(pattern);
        // The stock router's QUERY knows this spelling of "everything".
        let everything = pattern == "**";
        let is_wanted = |address: &str| everything || wanted.as_ref().is_ok_and(|p| p.matches(address));
        for frame in self.signals.results(is_wanted) {
            self.push(slot, frame, Class::Reliable);
        }
    }
}
