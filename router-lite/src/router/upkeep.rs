//! What happens without anybody saying something: deadlines, pings, gestures, expiry.

use std::time::Instant;

use super::{Router, Work};
use crate::{
    close::CloseReason,
    connection::{Connection, State},
    counters::Refusal,
    id::ConnectionId,
    io::Output,
    limits::{MAX_UNANSWERED_PINGS, PARAM_SWEEP_INTERVAL, PING_SLACK},
    slots::Slot,
    time::{Wake, earliest},
};

/// When something has to be looked at. A deadline may turn out to have moved by then; none is ever later than said.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    connections: Option<Wake>,
    gestures: Option<Instant>,
    sweep: Option<Instant>,
}

impl Deadlines {
    /// Some connection has a deadline at `at`.
    pub(super) fn look_at(&mut self, at: Instant, why: &'static str) {
        self.connections = earliest(self.connections, Some(Wake { at, why }));
    }

    /// Some move is to be passed on at `at`.
    pub(super) fn gesture_due(&mut self, at: Instant) {
        self.gestures = Some(self.gestures.map_or(at, |known| known.min(at)));
    }
}

impl Router {
    pub(super) fn next_wake(&mut self) -> Option<Wake> {
        if self.params.len() == 0 {
            self.deadlines.sweep = None;
        } else if self.deadlines.sweep.is_none() {
            self.deadlines.sweep = Some(self.now.instant + PARAM_SWEEP_INTERVAL);
        }
        let gesture = self.deadlines.gestures.map(|at| Wake { at, why: "gesture" });
        let sweep = self.deadlines.sweep.map(|at| Wake { at, why: "parameter expiry" });
        earliest(self.deadlines.connections, earliest(gesture, sweep))
    }

    pub(super) fn tick(&mut self) {
        let now = self.now.instant;
        if self.deadlines.gestures.is_some_and(|at| at <= now) {
            self.look_at_gestures();
        }
        if self.deadlines.connections.is_some_and(|wake| wake.at <= now) {
            self.look_at_connections();
        }
        if self.deadlines.sweep.is_some_and(|at| at <= now) {
            self.deadlines.sweep = None;
            self.tally.counters.params_expired += self.params.expire(now) as u64;
        }
    }

    /// The socket takes nothing. It has a while to start again.
    pub(super) fn handle_blocked(&mut self, id: ConnectionId) {
        let now = self.now.instant;
        let Some(connection) = self.slots.find(id).and_then(|slot| self.slots.get_mut(slot)) else { return };
        connection.stalled_since.get_or_insert(now);
        self.deadlines.look_at(now + self.config.stall_timeout(), "stalled peer");
    }

    fn look_at_gestures(&mut self) {
        let now = self.now.instant;
        self.deadlines.gestures = None;
        for (slot, connection) in self.slots.iter() {
            let Some(due) = connection.session().and_then(|session| session.gestures.next_due()) else {
                continue;
            };
            if due <= now {
                self.work.push_back(Work::Gestures(slot));
            } else {
                self.deadlines.gesture_due(due);
            }
        }
    }

    fn look_at_connections(&mut self) {
        self.deadlines.connections = None;
        let mut after = None;
        while let Some(slot) = self.slots.next(after) {
            after = Some(slot);
            self.look_at_connection(slot);
        }
    }

    /// Does what is due for one connection, and notes when to look again.
    fn look_at_connection(&mut self, slot: Slot) {
        let now = self.now.instant;
        let Some(wake) = self.slots.get(slot).and_then(|connection| self.deadline(connection)) else {
            return;
        };
        let slack = if wake.why == PING { PING_SLACK } else { std::time::Duration::ZERO };
        if now + slack < wake.at {
            return self.deadlines.look_at(wake.at, wake.why);
        }
        match wake.why {
            HANDSHAKE => {
                self.tally.note(now, Refusal::HelloTimeout, &wake.why);
                self.reply_error(slot, 502, CloseReason::HelloTimeout.text(), None);
                self.close(slot, CloseReason::HelloTimeout);
            }
            STALLED => self.close_slow(slot),
            _ => self.ping(slot),
        }
    }

    fn ping(&mut self, slot: Slot) {
        let Some(connection) = self.slots.get_mut(slot) else { return };
        if connection.unanswered_pings >= MAX_UNANSWERED_PINGS {
            let id = connection.id;
            self.tally.note(self.now.instant, Refusal::Silent, &id);
            return self.close(slot, CloseReason::Silent);
        }
        connection.unanswered_pings += 1;
        connection.outbox.shrink();
        self.outputs.push_back(Output::Ping { connection: connection.id });
        if let Some(wake) = self.slots.get(slot).and_then(|connection| self.deadline(connection)) {
            self.deadlines.look_at(wake.at, wake.why);
        }
    }

    /// The next deadline of a connection.
    fn deadline(&self, connection: &Connection) -> Option<Wake> {
        let stalled = connection
            .stalled_since
            .map(|since| Wake { at: since + self.config.stall_timeout(), why: STALLED });
        let own = match connection.state {
            State::Closing => return None,
            State::HalfOpen => {
                Some(Wake { at: connection.opened_at + self.config.hello_timeout(), why: HANDSHAKE })
            }
            State::Ready(_) if connection.origin.has_no_socket() => None,
            State::Ready(_) => {
                let silences = u32::from(connection.unanswered_pings) + 1;
                Some(Wake { at: connection.last_heard + self.config.ping_interval() * silences, why: PING })
            }
        };
        earliest(own, stalled)
    }
}

const HANDSHAKE: &str = "handshake timeout";
const STALLED: &str = "stalled peer";
const PING: &str = "ping";
