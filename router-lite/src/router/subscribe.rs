//! SUBSCRIBE, UNSUBSCRIBE, and bringing newcomers up to date.

use clasp_wire::{Pattern, message::Subscribe, p2p::ANNOUNCE_ADDRESS};

use super::Router;
use crate::{
    connection::{Job, Subscription, Wanted},
    counters::Refusal,
    limits::{
        BACKLOG_LOW_WATER_BYTES, BACKLOG_LOW_WATER_FRAMES, MAX_SESSION_SUBSCRIPTIONS, MAX_SUBSCRIPTIONS,
    },
    outbox::Class,
    params::Chunk,
    slots::Slot,
};

impl Router {
    /// A re-used id replaces the older subscription. No reply but the state that matches.
    pub(super) fn handle_subscribe(&mut self, slot: Slot, subscribe: &Subscribe<'_>) {
        let pattern = match Pattern::parse(subscribe.pattern) {
            Ok(pattern) => pattern,
            Err(error) => return self.refuse_address(slot, 202, &error),
        };
        let Some(connection) = self.slots.get(slot) else { return };
        let Some(session) = connection.session() else { return };
        if !connection.scope.allows_subscribe(&pattern) {
            return self.refuse_scope(slot, "subscription", subscribe.pattern);
        }
        let sees_params = connection.scope.reads_anything();
        let replaces = session.subscriptions.iter().any(|old| old.id == subscribe.id);
        if !replaces && session.subscriptions.len() >= MAX_SESSION_SUBSCRIPTIONS {
            let most = format!("max {MAX_SESSION_SUBSCRIPTIONS}");
            return self.refuse_subscription(slot, &most, subscribe.pattern);
        }
        if !replaces && self.roster.len() >= MAX_SUBSCRIPTIONS {
            let most = format!("max {MAX_SUBSCRIPTIONS} of all sessions");
            return self.refuse_subscription(slot, &most, subscribe.pattern);
        }
        self.unsubscribe(slot, subscribe.id);
        if self.roster.subscribe(slot, subscribe.id, pattern.clone(), subscribe.types).is_err() {
            return;
        }
        let hears_announces = pattern.matches(ANNOUNCE_ADDRESS);
        let Some(session) = self.slots.get_mut(slot).and_then(|c| c.session_mut()) else { return };
        if sees_params {
            let wanted = Wanted::Matching(subscribe.id, pattern.clone());
            session.backlog.push_back(Job::Params { wanted, even_empty: false, after: None });
        }
        if hears_announces {
            session.backlog.retain(|job| !matches!(job, Job::Announces { .. }));
            session.backlog.push_back(Job::Announces { after: None });
        }
        session.subscriptions.push(Subscription { id: subscribe.id, pattern });
        self.pump_backlog(slot);
    }

    fn refuse_subscription(&mut self, slot: Slot, most: &str, pattern: &str) {
        self.tally.note(self.now.instant, Refusal::Subscriptions, &most);
        self.reply_error(slot, 429, &format!("Subscription limit reached ({most})"), Some(pattern));
    }

    /// An unknown id is nobody's fault: no reply either way.
    pub(super) fn unsubscribe(&mut self, slot: Slot, id: u32) {
        let Some(session) = self.slots.get_mut(slot).and_then(|c| c.session_mut()) else { return };
        let Some(at) = session.subscriptions.iter().position(|old| old.id == id) else { return };
        let old = session.subscriptions.swap_remove(at);
        session
            .backlog
            .retain(|job| !matches!(job, Job::Params { wanted: Wanted::Matching(of, _), .. } if *of == id));
        self.roster.unsubscribe(slot, id, old.pattern.as_str());
    }

    /// Moves on with what the client is still to be told, as far as its outbox has room for it.
    pub(super) fn pump_backlog(&mut self, slot: Slot) {
        loop {
            let Some(connection) = self.slots.get_mut(slot) else { return };
            let has_room = connection.outbox.bytes() < BACKLOG_LOW_WATER_BYTES
                && connection.outbox.len() < BACKLOG_LOW_WATER_FRAMES;
            let Some(session) = connection.session_mut() else { return };
            if session.backlog.is_empty() || !has_room {
                return;
            }
            let Some(job) = session.backlog.pop_front() else { return };
            let rest = match job {
                Job::Params { wanted, even_empty, after } => {
                    self.send_params(slot, wanted, even_empty, after.as_deref())
                }
                Job::Announces { after } => self.send_announce(slot, after),
            };
            let session = self.slots.get_mut(slot).and_then(|connection| connection.session_mut());
            if let (Some(rest), Some(session)) = (rest, session) {
                session.backlog.push_front(rest);
            }
        }
    }

    /// Sends one SNAPSHOT of what the session may read; returns what is left to be done.
    fn send_params(
        &mut self,
        slot: Slot,
        wanted: Wanted,
        even_empty: bool,
        after: Option<&str>,
    ) -> Option<Job> {
        let scope = &self.slots.get(slot)?.scope;
        let is_wanted = |address: &str| match &wanted {
            Wanted::All => scope.reads(address),
            Wanted::Matching(_, pattern) => pattern.matches(address) && scope.reads(address),
        };
        let chunk = self.params.chunk(self.now.instant, after, is_wanted, &mut self.scratch);
        let Chunk { frame, count, after } = chunk;
        if count > 0 || even_empty {
            self.push(slot, frame, Class::Reliable);
        }
        after.map(|after| Job::Params { wanted, even_empty: false, after: Some(after) })
    }

    /// Sends the next P2P announce of somebody else; returns what is left to be done.
    fn send_announce(&mut self, slot: Slot, after: Option<Slot>) -> Option<Job> {
        let mut after = after;
        while let Some(next) = self.slots.next(after) {
            after = Some(next);
            let session = self.slots.get(next).filter(|_| next != slot).and_then(|other| other.session());
            if let Some(announce) = session.and_then(|session| session.announce.clone()) {
                self.push(slot, announce, Class::Reliable);
                return Some(Job::Announces { after });
            }
        }
        None
    }
}
