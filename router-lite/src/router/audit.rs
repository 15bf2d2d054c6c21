//! How much there is of everything, and whether it fits together.

use super::Router;
use crate::connection::{Connection, State};

/// How much the router holds. With no connection left, everything but `params`, `param_bytes`, `signals` and
/// `signal_bytes` is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Connections, those being closed included.
    pub connections: usize,
    /// Connections that have not said HELLO.
    pub half_open: usize,
    /// Sessions.
    pub sessions: usize,
    /// Subscriptions.
    pub subscriptions: usize,
    /// Different patterns among them.
    pub patterns: usize,
    /// Frames in outboxes.
    pub queued_frames: usize,
    /// Their bytes (a frame shared by several outboxes counts for each).
    pub queued_bytes: usize,
    /// Pieces of state that clients are still to be told.
    pub backlog: usize,
    /// Parameters.
    pub params: usize,
    /// What they count against their bound.
    pub param_bytes: usize,
    /// Announced signals.
    pub signals: usize,
    /// What they count against their bound.
    pub signal_bytes: usize,
}

impl Router {
    /// Whether one more session would be refused.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.sessions.len() >= self.config.max_sessions()
    }

    /// How much the router holds.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let all = || self.slots.iter().map(|(_, connection)| connection);
        Counts {
            connections: self.slots.len(),
            half_open: self.half_open.len(),
            sessions: self.sessions.len(),
            subscriptions: self.roster.len(),
            patterns: self.roster.patterns(),
            queued_frames: all().map(|connection| connection.outbox.len()).sum(),
            queued_bytes: all().map(|connection| connection.outbox.bytes()).sum(),
            backlog: all().filter_map(Connection::session).map(|session| session.backlog.len()).sum(),
            params: self.params.len(),
            param_bytes: self.params.bytes(),
            signals: self.signals.len(),
            signal_bytes: self.signals.bytes(),
        }
    }

    /// Checks that the router's tables agree with each other. For tests and fuzzing: it walks everything.
    ///
    /// # Panics
    /// If they do not; the message says which.
    pub fn assert_consistent(&self) {
        let mut listed: Vec<_> = self.roster.all().collect();
        listed.sort_unstable();
        let mut subscriptions = 0;
        let mut sessions = 0;
        let mut half_open = 0;
        for (slot, connection) in self.slots.iter() {
            assert_eq!(self.slots.find(connection.id), Some(slot), "a connection is found by its id");
            half_open += usize::from(self.half_open.contains(&slot));
            let is_half_open = matches!(connection.state, State::HalfOpen);
            assert_eq!(is_half_open, self.half_open.contains(&slot), "handshakes are listed");
            let Some(session) = connection.session() else { continue };
            sessions += 1;
            subscriptions += session.subscriptions.len();
            assert_eq!(self.sessions.get(&session.id), Some(&slot), "a session is found by its id");
            for subscription in &session.subscriptions {
                let one = (slot, subscription.id, subscription.pattern.as_str());
                assert!(listed.binary_search(&one).is_ok(), "a subscription is listed");
            }
            let locked = self.params.locks_of(session.id);
            assert!(locked <= session.locks.max(0) as usize, "locks are counted");
        }
        assert_eq!(self.half_open.len(), half_open, "no handshake is listed that is not there");
        assert_eq!(self.sessions.len(), sessions, "no session is listed that is not there");
        assert_eq!(self.roster.len(), subscriptions, "no subscription is listed that is not there");
        listed.dedup();
        assert_eq!(listed.len(), subscriptions, "each subscription is listed once");
        assert_eq!(self.params.bytes(), self.params.count_bytes(), "parameters are counted");
        for owner in self.signals.owners() {
            assert!(self.sessions.contains_key(&owner), "signals of ended sessions have no owner");
        }
    }
}
