//! The core: who hears whom.
//!
//! Owns: connections, sessions, subscriptions, parameters, announced signals, P2P signalling, every bound and what
//! happens at it. Does not own: sockets, clocks, HTTP, WebSocket framing.
//!
//! # Contract
//! Call [`Router::handle_input`], then [`Router::poll_output`] until [`Output::Idle`]; only then the next input or a
//! wait, at most until the wake it names. Frames to be sent are taken with [`Router::poll_transmit`], as the socket
//! takes them: outboxes, their bounds and what happens when they are full are in here, and can be tested without a
//! socket. No bytes from outside make this panic.

mod audit;
mod bridge;
mod bundle;
mod frames;
mod lifecycle;
mod metrics;
mod publish;
mod query;
mod set;
mod signal;
mod subscribe;
mod tokens;
mod upkeep;

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    time::Instant,
};

use bytes::Bytes;
use rand::{SeedableRng, rngs::StdRng};

pub use audit::Counts;
pub use bridge::Interest;

use crate::{
    access::{Origin, Standing, TokenTable},
    close::CloseReason,
    config::Config,
    counters::{Counters, Refusal, Tally},
    id::{ConnectionId, SessionId},
    io::{Input, Output},
    limits::{HALF_OPEN_GRACE, MAX_HALF_OPEN},
    outbox::{Class, Dropped},
    params::Params,
    roster::Roster,
    router::{bundle::BundleRun, signal::Goodbyes, upkeep::Deadlines},
    signals::Signals,
    slots::{Slot, Slots},
    time::Now,
};

/// See the module.
pub struct Router {
    config: Config,
    rng: StdRng,
    /// As told with the last input.
    now: Now,
    slots: Slots,
    sessions: HashMap<SessionId, Slot>,
    /// Connections without HELLO, the oldest first.
    half_open: VecDeque<Slot>,
    tokens: TokenTable,
    roster: Roster,
    params: Params,
    signals: Signals,
    tally: Tally,
    deadlines: Deadlines,
    outputs: VecDeque<Output>,
    work: VecDeque<Work>,
    /// For encoding.
    scratch: Vec<u8>,
    /// For MessagePack frames.
    decode_scratch: Vec<u8>,
}

/// What is worked off step by step, so that receivers' sockets get a turn in between.
#[derive(Debug)]
enum Work {
    Bundle(BundleRun),
    Goodbyes(Goodbyes),
    /// Moves of this session that are due.
    Gestures(Slot),
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

impl Router {
    /// A router without connections. `seed` must not be known to anybody: session ids are drawn from it.
    #[must_use]
    pub fn new(seed: [u8; 32], now: Now, config: Config) -> Self {
        Self {
            config,
            rng: StdRng::from_seed(seed),
            now,
            slots: Slots::default(),
            sessions: HashMap::new(),
            half_open: VecDeque::new(),
            tokens: TokenTable::new(),
            roster: Roster::default(),
            params: Params::default(),
            signals: Signals::default(),
            tally: Tally::default(),
            deadlines: Deadlines::default(),
            outputs: VecDeque::new(),
            work: VecDeque::new(),
            scratch: Vec::new(),
            decode_scratch: Vec::new(),
        }
    }

    /// Takes a fact in. Facts about connections that are unknown (any more) are ignored.
    pub fn handle_input(&mut self, now: Now, input: Input) {
        self.now = now;
        match input {
            Input::Opened { connection, origin } => self.open(connection, origin),
            Input::Foreign { connection } => {
                let standing = Standing::of(Origin::Remote, self.config.remote());
                self.with(connection, |c| c.stand(standing));
            }
            Input::Frame { connection, frame } => {
                if let Some(slot) = self.slots.find(connection) {
                    self.handle_frame(slot, &frame);
                }
            }
            Input::Heard { connection } => self.with(connection, |c| c.heard(now.instant)),
            Input::Noted { connection, what } => {
                self.with(connection, |c| c.heard(now.instant));
                self.tally.note(now.instant, what, &connection);
            }
            Input::Blocked { connection } => self.handle_blocked(connection),
            Input::Progress { connection } => self.with(connection, |c| c.stalled_since = None),
            Input::Closed { connection } => self.forget(connection),
            Input::Tokens(tokens) => self.replace_tokens(tokens),
            Input::Tick => self.tick(),
            Input::Shutdown => self.shut_down(),
        }
    }

    /// The next order to the driver.
    pub fn poll_output(&mut self) -> Output {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return output;
            }
            match self.work.pop_front() {
                Some(Work::Bundle(run)) => self.step_bundle(run),
                Some(Work::Goodbyes(goodbyes)) => self.say_goodbye(goodbyes),
                Some(Work::Gestures(slot)) => self.release_gestures(slot),
                None => return Output::Idle { wake: self.next_wake() },
            }
        }
    }

    /// The next frame to write to `connection`, if it has at most `max_bytes`. What was taken counts as sent.
    pub fn poll_transmit(&mut self, connection: ConnectionId, max_bytes: usize) -> Option<Bytes> {
        let slot = self.slots.find(connection)?;
        let frame = self.slots.get_mut(slot)?.outbox.pop(max_bytes)?;
        self.tally.counters.frames_sent += 1;
        self.tally.counters.bytes_sent += frame.len() as u64;
        self.pump_backlog(slot);
        Some(frame)
    }

    /// When the next connection may be accepted: now if there is room for another handshake, otherwise when the oldest
    /// one may be made to give way. A driver that waits this long has nobody turned away in a rush.
    #[must_use]
    pub fn accept_at(&self) -> Option<Instant> {
        let oldest = self.half_open.front().filter(|_| self.half_open.len() >= MAX_HALF_OPEN)?;
        self.slots.get(*oldest).map(|connection| connection.opened_at + HALF_OPEN_GRACE)
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.tally.counters
    }

    fn with(&mut self, connection: ConnectionId, change: impl FnOnce(&mut crate::connection::Connection)) {
        if let Some(connection) = self.slots.find(connection).and_then(|slot| self.slots.get_mut(slot)) {
            change(connection);
        }
    }

    /// Queues a frame somebody relies on; a client that has no room for it is closed.
    fn push(&mut self, to: Slot, frame: Bytes, class: Class) {
        if self.try_push(to, frame, class).is_err() {
            self.close_slow(to);
        }
    }

    /// Queues a frame and tells the driver. The frame comes back when there is no room.
    fn try_push(&mut self, to: Slot, frame: Bytes, class: Class) -> Result<(), Bytes> {
        let Some(connection) = self.slots.get_mut(to) else { return Ok(()) };
        if matches!(connection.state, crate::connection::State::Closing) {
            return Ok(());
        }
        let Dropped(dropped) = connection.outbox.push(frame, class).map_err(|full| full.0)?;
        self.tally.counters.frames_out += 1;
        let id = connection.id;
        if let Some(urgent) = connection.outbox.tell() {
            self.outputs.push_back(Output::Transmit { connection: id, urgent });
        }
        if dropped > 0 {
            self.tally.note_many(self.now.instant, Refusal::StreamDropped, dropped, &id);
        }
        Ok(())
    }

    /// A client whose outbox is full: what waits is useless to it by now.
    fn close_slow(&mut self, slot: Slot) {
        if let Some(connection) = self.slots.get_mut(slot) {
            connection.outbox.clear();
            let id = connection.id;
            self.tally.note(self.now.instant, Refusal::Slow, &id);
        }
        self.close(slot, CloseReason::SlowConsumer);
    }
}
