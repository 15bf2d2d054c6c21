//! The way through the router, while there is no direct one.
//!
//! Frames go to the other node's session as signals do; nothing is sent that the window does not allow, and what is not confirmed
//! in time is sent again from there on (go-back-N): a router may drop frames, be restarted, or be full.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::delivery::Outgoing;
use crate::config::RoutingMode;
use crate::limits::{
    NO_PATH_LIMIT, RELAY_LIMIT, RELAY_WINDOW_BYTES, STREAM_QUEUE_BYTES, STREAM_QUEUE_MESSAGES,
};
use crate::queue::DropOldest;
use crate::wake::Wake;

/// Until the other node has answered, it is asked this often.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// After that, so often if there is nothing else to say. Several may be lost before [`RELAY_LIMIT`].
const KEEP_ALIVE: Duration = Duration::from_secs(6);

/// The router says that the other node's session has ended. A node whose connection broke is back by then, with another session.
const REJOIN: Duration = Duration::from_secs(5);

/// Several small messages share a frame up to this size, a larger one has its own.
const FRAME_BYTES: usize = 16 * 1024;

/// Messages in one frame at most: each costs the router a look.
const FRAME_MESSAGES: usize = 256;

/// What is not confirmed is sent again after three round trips, but not before
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(300);

/// this, nor later than this, which is also where it starts from.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(4);
const FIRST_TIMEOUT: Duration = Duration::from_secs(1);

/// While the node's budget of frames is used up, it is looked at again this soon.
const BUDGET: Duration = Duration::from_millis(5);

/// What one frame carries.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    /// The number of the first of the reliable messages.
    pub(super) first: u64,
    pub(super) messages: Vec<Bytes>,
    pub(super) streams: Vec<Bytes>,
    pub(super) open: bool,
    pub(super) reply: bool,
}

#[derive(Debug)]
pub(super) struct Relay {
    /// The other node's mode, once it has been heard on this way.
    theirs: Option<RoutingMode>,
    ours: RoutingMode,
    /// Without a sign of the other node by then, the link is given up.
    until: Instant,
    /// And if no messages may go this way, by then in any case.
    patient_until: Instant,
    ask_at: Instant,
    /// The other node is asked for a link it does not know yet.
    open: bool,
    /// Since when something is on its way without any progress.
    waiting_since: Option<Instant>,
    timeout: Duration,
    round_trip: Option<Duration>,
    /// The number whose confirmation is timed, and when it was sent for the first time.
    timed: Option<(u64, Instant)>,
    /// The highest number that was ever sent.
    highest: u64,
    out_of_budget: bool,
    pub(super) streams: DropOldest<STREAM_QUEUE_MESSAGES, STREAM_QUEUE_BYTES>,
}

impl Relay {
    pub(super) fn new(now: Instant, ours: RoutingMode, open: bool) -> Self {
        Self {
            theirs: None,
            ours,
            until: now + RELAY_LIMIT,
            patient_until: now + NO_PATH_LIMIT,
            ask_at: now,
            open,
            waiting_since: None,
            timeout: FIRST_TIMEOUT,
            round_trip: None,
            timed: None,
            highest: 0,
            out_of_budget: false,
            streams: DropOldest::new(),
        }
    }

    /// The other node was heard on this way.
    pub(super) fn heard(&mut self, now: Instant, theirs: RoutingMode) {
        (self.theirs, self.until, self.open) = (Some(theirs), now + RELAY_LIMIT, false);
        if !self.carries() {
            self.until = self.until.min(self.patient_until);
        }
    }

    /// Whether it was.
    pub(super) fn is_heard(&self) -> bool {
        self.theirs.is_some()
    }

    /// Whether messages go this way: both nodes must want it.
    pub(super) fn carries(&self) -> bool {
        self.ours.relays() && self.theirs.is_some_and(RoutingMode::relays)
    }

    /// Whether an offer would be of any use.
    pub(super) fn wants_offers(&self) -> bool {
        self.ours.connects() && self.theirs.is_none_or(RoutingMode::connects)
    }

    /// The router says that the other node's session has ended, or never was. It is waited for at least until `patience`.
    pub(super) fn session_ended(&mut self, now: Instant, patience: Instant) {
        // One that was silent before, on the direct way, will not come back.
        let until = if self.is_heard() { now + REJOIN } else { now };
        self.until = self.until.min(until.max(patience));
    }

    /// The way may work again, or leads elsewhere: asks at once, and sends again what is not confirmed.
    pub(super) fn ask_now(&mut self, now: Instant, outgoing: &mut Outgoing) {
        self.ask_at = now;
        outgoing.rewind();
        (self.waiting_since, self.timed) = (None, None);
    }

    /// Some of what was on its way has arrived.
    pub(super) fn progress(&mut self, now: Instant, outgoing: &Outgoing) {
        if let Some((_, at)) = self.timed.take_if(|(number, _)| outgoing.arrived_number() >= *number) {
            let sample = now.saturating_duration_since(at);
            self.round_trip = Some(self.round_trip.map_or(sample, |before| (before * 7 + sample) / 8));
        }
        self.timeout = self.usual_timeout();
        self.waiting_since = (outgoing.given_bytes() > 0).then_some(now);
    }

    fn usual_timeout(&self) -> Duration {
        self.round_trip.map_or(FIRST_TIMEOUT, |rtt| (rtt * 3).clamp(SHORTEST_TIMEOUT, LONGEST_TIMEOUT))
    }

    /// Whether there was no sign of the other node for too long.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.until <= now
    }

    /// What to send now. `answer`: the other node waits for one. `may_send` takes from the node's budget.
    pub(super) fn poll(
        &mut self,
        now: Instant,
        outgoing: &mut Outgoing,
        answer: bool,
        may_send: &mut dyn FnMut() -> bool,
    ) -> Option<Load> {
        if self.waiting_since.is_some_and(|since| since + self.timeout <= now) {
            outgoing.rewind();
            (self.waiting_since, self.timed) = (None, None);
            self.timeout = (self.timeout * 2).min(LONGEST_TIMEOUT);
        }
        let asks = self.ask_at <= now;
        let carries = self.carries();
        let has_more = carries && (Self::fits(outgoing) || !self.streams.is_empty());
        if !asks && !answer && !has_more {
            return None;
        }
        self.out_of_budget = !may_send();
        if self.out_of_budget {
            return None;
        }
        self.ask_at = now + if self.is_heard() { KEEP_ALIVE } else { ASK_EVERY };
        let mut load =
            Load { first: outgoing.next_number(), open: self.open, reply: asks, ..Load::default() };
        if !carries {
            return Some(load);
        }
        let mut bytes = 0;
        while let Some(message) = outgoing.next()
            && Self::fits(outgoing)
            && load.messages.len() < FRAME_MESSAGES
            && (bytes == 0 || bytes + message.len() <= FRAME_BYTES)
        {
            bytes += message.len();
            load.messages.push(message.clone());
            let number = outgoing.next_number();
            // The confirmation of one sent before could be that of either time.
            if number > self.highest {
                self.highest = number;
                self.timed.get_or_insert((number, now));
            }
            outgoing.give();
        }
        while let Some(message) = self.streams.front()
            && load.streams.len() < FRAME_MESSAGES
            && (bytes == 0 || bytes + message.len() <= FRAME_BYTES)
        {
            bytes += message.len();
            load.streams.extend(self.streams.pop());
        }
        if !load.messages.is_empty() {
            self.waiting_since.get_or_insert(now);
        }
        Some(load)
    }

    /// Whether the window has room for the next message.
    fn fits(outgoing: &Outgoing) -> bool {
        outgoing.next().is_some_and(|next| {
            let given = outgoing.given_bytes();
            given == 0 || given + next.len() <= RELAY_WINDOW_BYTES
        })
    }

    pub(super) fn wake(&self, now: Instant) -> Option<Wake> {
        let resend = self.waiting_since.map(|since| Wake::new(since + self.timeout, "relay timeout"));
        let ask = if self.out_of_budget { self.ask_at.max(now + BUDGET) } else { self.ask_at };
        let budget = self.out_of_budget.then(|| Wake::new(now + BUDGET, "relay budget"));
        let own = Wake::earliest(
            Some(Wake::new(ask, "relay keep-alive")),
            Some(Wake::new(self.until, "relay silence")),
        );
        Wake::earliest(Wake::earliest(own, resend), budget)
    }
}

#[cfg(test)]
mod tests;
