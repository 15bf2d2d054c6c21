//! What the router knows of one client.

use std::{collections::VecDeque, time::Instant};

use bytes::Bytes;
use clasp_wire::Pattern;

use crate::{
    access::{AccessToken, Origin, Scope, Standing},
    config::Config,
    gestures::Gestures,
    id::{ConnectionId, SessionId, SessionText},
    limits::ANNOUNCE_RATE,
    links::Links,
    outbox::Outbox,
    rate::Bucket,
    slots::Slot,
};

/// One connection, from accept until the driver says that it is gone.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) origin: Origin,
    /// What it may do without a token.
    pub(crate) standing: Standing,
    /// What it may do.
    pub(crate) scope: Scope,
    pub(crate) state: State,
    pub(crate) outbox: Outbox,
    pub(crate) bucket: Bucket,
    /// For P2P announces. Like the other one it outlives the session: HELLO again buys nothing.
    pub(crate) announce_bucket: Bucket,
    pub(crate) opened_at: Instant,
    pub(crate) last_heard: Instant,
    pub(crate) unanswered_pings: u8,
    /// Since when the socket has taken nothing of what waits for it.
    pub(crate) stalled_since: Option<Instant>,
    /// When the client was last told that its frames cannot be decoded.
    pub(crate) error_told_at: Option<Instant>,
}

/// How far a connection has come.
#[derive(Debug)]
pub(crate) enum State {
    /// It has not said HELLO.
    HalfOpen,
    /// It has a session.
    Ready(Box<Session>),
    /// The driver was told to close it; what it says no longer counts.
    Closing,
}

/// What a client's HELLO began.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    /// The id as it is written, for every signal that it sends.
    pub(crate) text: SessionText,
    /// What it was begun with.
    pub(crate) token: Option<AccessToken>,
    pub(crate) subscriptions: Vec<Subscription>,
    /// What is still to be put into the outbox, as there is room.
    pub(crate) backlog: VecDeque<Job>,
    pub(crate) gestures: Gestures,
    pub(crate) links: Links,
    /// The newest P2P announce, as sent to subscribers.
    pub(crate) announce: Option<Bytes>,
    /// How many parameters it has locked, perhaps some of them expired since.
    pub(crate) locks: i32,
}

/// One subscription of a session. Its type mask is known to the roster.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) id: u32,
    pub(crate) pattern: Pattern,
}

/// State that a client is to be told piece by piece.
#[derive(Debug)]
pub(crate) enum Job {
    /// SNAPSHOTs of parameters.
    Params {
        wanted: Wanted,
        /// Send a SNAPSHOT even if there is nothing.
        even_empty: bool,
        /// The last address sent.
        after: Option<Box<str>>,
    },
    /// P2P announces of the others.
    Announces {
        /// The last slot looked at.
        after: Option<Slot>,
    },
}

/// Which parameters a job is about.
#[derive(Debug)]
pub(crate) enum Wanted {
    /// All that the session may read.
    All,
    /// Those of the subscription with this id.
    Matching(u32, Pattern),
}

impl Connection {
    pub(crate) fn new(now: Instant, id: ConnectionId, origin: Origin, config: &Config) -> Self {
        let standing = Standing::of(origin, config.remote());
        Self {
            id,
            origin,
            standing,
            scope: Scope::of(standing, None),
            state: State::HalfOpen,
            outbox: Outbox::new(origin.has_no_socket()),
            bucket: Bucket::new(now, config.rate()),
            announce_bucket: Bucket::new(now, ANNOUNCE_RATE),
            opened_at: now,
            last_heard: now,
            unanswered_pings: 0,
            stalled_since: None,
            error_told_at: None,
        }
    }

    pub(crate) fn session(&self) -> Option<&Session> {
        match &self.state {
            State::Ready(session) => Some(session),
            _ => None,
        }
    }

    pub(crate) fn session_mut(&mut self) -> Option<&mut Session> {
        match &mut self.state {
            State::Ready(session) => Some(session),
            _ => None,
        }
    }

    /// Whatever it may do by itself from now on, it keeps no token's scopes.
    pub(crate) fn stand(&mut self, standing: Standing) {
        self.standing = standing;
        self.scope = Scope::of(standing, None);
    }

    pub(crate) fn heard(&mut self, now: Instant) {
        self.last_heard = now;
        self.unanswered_pings = 0;
    }
}

impl Session {
    pub(crate) fn new(id: SessionId, token: Option<AccessToken>) -> Self {
        Self {
            id,
            text: id.text(),
            token,
            subscriptions: Vec::new(),
            backlog: VecDeque::new(),
            gestures: Gestures::default(),
            links: Links::default(),
            announce: None,
            locks: 0,
        }
    }
}
