//! ANNOUNCE and QUERY: which signals there are.

use clasp_wire::{Pattern, message::Announce};

use super::Router;
use crate::{access::Scope, counters::Refusal, limits::MAX_SIGNALS, outbox::Class, slots::Slot};

impl Router {
    /// Registers as many signals as there is room for; the first one that finds none is named in an ERROR.
    pub(super) fn handle_announce(&mut self, slot: Slot, announce: &Announce<'_>, wants_ack: bool) {
        let Some(connection) = self.slots.get(slot) else { return };
        let Some(session) = connection.session().map(|session| session.id) else { return };
        if let Some(address) = out_of_scope(&connection.scope, announce) {
            return self.refuse_scope(slot, "write operation", address);
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

    /// RESULT of what the session may read, in several frames if one is too small. A pattern that is none matches nothing, but is answered.
    pub(super) fn handle_query(&mut self, slot: Slot, pattern: &str) {
        let scope = self.slots.get(slot).map(|connection| &connection.scope);
        let Some(scope) = scope.filter(|scope| scope.reads_anything()) else {
            return self.refuse_scope(slot, "read operation", pattern);
        };
        let wanted = Pattern::parse(pattern);
        // The stock router's QUERY knows this spelling of "everything".
        let everything = pattern == "**";
        let is_wanted = |address: &str| {
            (everything || wanted.as_ref().is_ok_and(|p| p.matches(address))) && scope.reads(address)
        };
        for frame in self.signals.results(is_wanted) {
            self.push(slot, frame, Class::Reliable);
        }
    }
}

/// The first address of an ANNOUNCE that the session may not write to; the namespace stands for an ANNOUNCE of nothing.
fn out_of_scope<'a>(scope: &Scope, announce: &Announce<'a>) -> Option<&'a str> {
    if matches!(scope, Scope::Everything) {
        return None;
    }
    let mut addresses = announce.signals.iter().map(|signal| signal.address);
    match addresses.next() {
        None => Some(announce.namespace).filter(|namespace| !scope.writes(namespace)),
        Some(first) => std::iter::once(first).chain(addresses).find(|address| !scope.writes(address)),
    }
}
