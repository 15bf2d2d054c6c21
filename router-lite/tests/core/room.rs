//! A router with clients, without sockets and with a clock of its own.

use std::{
    collections::BTreeMap,
    sync::OnceLock,
    time::{Duration, Instant},
};

use bytes::Bytes;
use clasp_wire::{Message, QoS};
use router_lite::{
    CloseReason, Config, ConnectionId, Counts, Input, Now, Origin, Output, RemoteAccess, Router, Token, Wake,
};

use crate::messages::{encode, encode_qos, hello, short};

/// One client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Who(ConnectionId);

/// What is known of a client.
#[derive(Debug, Default)]
struct Seat {
    session: String,
    inbox: Vec<Vec<u8>>,
    closed: Option<CloseReason>,
    pings: usize,
    /// It takes nothing from its outbox.
    deaf: bool,
}

pub(crate) struct Room {
    pub(crate) router: Router,
    pub(crate) now: Now,
    seats: BTreeMap<Who, Seat>,
    next: u64,
    wake: Option<Wake>,
}

/// The moment at which every room's clock starts.
#[expect(clippy::disallowed_methods, reason = "an Instant cannot be made from nothing")]
fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

impl Room {
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        Self::seeded([42; 32], config)
    }

    pub(crate) fn seeded(seed: [u8; 32], config: Config) -> Self {
        let now = Now { instant: start(), unix_us: 1_700_000_000_000_000 };
        Self { router: Router::new(seed, now, config), now, seats: BTreeMap::new(), next: 0, wake: None }
    }

    /// No limit of messages a second, for tests of other limits.
    pub(crate) fn unhurried() -> Self {
        Self::with(Config::default().with_rate(0).expect("0 is allowed"))
    }

    pub(crate) fn open_to_strangers() -> Self {
        Self::with(Config::default().with_remote(RemoteAccess::Full))
    }

    /// A session on this machine.
    pub(crate) fn join(&mut self) -> Who {
        self.join_from(Origin::Loopback)
    }

    /// A session from elsewhere.
    pub(crate) fn join_stranger(&mut self) -> Who {
        self.join_from(Origin::Remote)
    }

    pub(crate) fn join_from(&mut self, origin: Origin) -> Who {
        let who = self.connect(origin);
        let greeting = self.hello(who);
        assert_eq!(greeting.first().map(String::as_str), Some("WELCOME"), "{greeting:?}");
        who
    }

    /// A connection that has not said HELLO.
    pub(crate) fn connect(&mut self, origin: Origin) -> Who {
        let connection = ConnectionId::new(self.next);
        self.next += 1;
        let who = Who(connection);
        self.seats.insert(who, Seat::default());
        self.feed(Input::Opened { connection, origin });
        who
    }

    /// A session from elsewhere that has presented a token.
    pub(crate) fn join_with(&mut self, token: &Token) -> Who {
        let who = self.connect(Origin::Remote);
        let greeting = self.hello_with(who, &token.secret());
        assert_eq!(greeting.first().map(String::as_str), Some("WELCOME"), "{greeting:?}");
        who
    }

    /// Says HELLO; returns what comes back and remembers the session.
    pub(crate) fn hello(&mut self, who: Who) -> Vec<String> {
        self.hello_with(who, "")
    }

    /// The same with a token.
    pub(crate) fn hello_with(&mut self, who: Who, token: &str) -> Vec<String> {
        self.send(who, &hello(token));
        let frames = self.take(who);
        for frame in &frames {
            if let Ok((_, Message::Welcome(welcome))) = Message::decode_compact(frame) {
                self.seat(who).session = welcome.session.to_owned();
            }
        }
        frames.iter().map(|frame| short(frame)).collect()
    }

    pub(crate) fn session(&self, who: Who) -> String {
        self.seats[&who].session.clone()
    }

    pub(crate) fn send(&mut self, who: Who, message: &Message<'_>) {
        self.send_frame(who, encode(message));
    }

    pub(crate) fn send_qos(&mut self, who: Who, qos: QoS, message: &Message<'_>) {
        self.send_frame(who, encode_qos(qos, message));
    }

    pub(crate) fn send_frame(&mut self, Who(connection): Who, frame: impl Into<Bytes>) {
        self.feed(Input::Frame { connection, frame: frame.into() });
    }

    pub(crate) fn input(&mut self, Who(connection): Who, make: impl FnOnce(ConnectionId) -> Input) {
        self.feed(make(connection));
    }

    pub(crate) fn leave(&mut self, who: Who) {
        self.feed(Input::Closed { connection: who.0 });
        self.seats.remove(&who);
    }

    /// It reads nothing from now on.
    pub(crate) fn deafen(&mut self, who: Who) {
        self.seat(who).deaf = true;
    }

    /// It reads again, beginning with what waits.
    pub(crate) fn undeafen(&mut self, who: Who) {
        self.seat(who).deaf = false;
        self.read(who.0);
    }

    /// What a client has got since it was last asked.
    pub(crate) fn take(&mut self, who: Who) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.seat(who).inbox)
    }

    /// The same in short.
    pub(crate) fn hears(&mut self, who: Who) -> Vec<String> {
        self.take(who).iter().map(|frame| short(frame)).collect()
    }

    /// The reply to one message, in short.
    pub(crate) fn asks(&mut self, who: Who, message: &Message<'_>) -> Vec<String> {
        self.send(who, message);
        self.hears(who)
    }

    pub(crate) fn may_read_metrics(&self, who: Who) -> bool {
        self.router.allows_metrics(who.0)
    }

    pub(crate) fn closed(&self, who: Who) -> Option<CloseReason> {
        self.seats[&who].closed
    }

    pub(crate) fn pings(&self, who: Who) -> usize {
        self.seats[&who].pings
    }

    /// Lets time pass; the router is woken whenever it wants to be.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now.instant + time;
        while let Some(wake) = self.wake.filter(|wake| wake.at <= end) {
            let before = self.now.instant;
            self.set_clock(wake.at.max(before));
            self.feed(Input::Tick);
            let again = self.wake.is_some_and(|next| next.at <= before && wake.at <= before);
            assert!(!again, "the router wants to be woken for {wake:?} without end");
        }
        self.set_clock(end);
    }

    pub(crate) const fn wake(&self) -> Option<Wake> {
        self.wake
    }

    pub(crate) fn counts(&self) -> Counts {
        self.router.assert_consistent();
        self.router.counts()
    }

    pub(crate) fn feed(&mut self, input: Input) {
        self.router.handle_input(self.now, input);
        loop {
            match self.router.poll_output() {
                Output::Transmit { connection, .. } => self.read(connection),
                Output::Ping { connection } => self.seat(Who(connection)).pings += 1,
                Output::Close { connection, reason } => {
                    self.read(connection);
                    let closed = &mut self.seat(Who(connection)).closed;
                    assert_eq!(*closed, None, "closed once");
                    *closed = Some(reason);
                }
                Output::Idle { wake } => return self.wake = wake,
                other => panic!("unknown order {other:?}"),
            }
        }
    }

    fn read(&mut self, connection: ConnectionId) {
        if self.seats.get(&Who(connection)).is_none_or(|seat| seat.deaf) {
            return;
        }
        while let Some(frame) = self.router.poll_transmit(connection, usize::MAX) {
            self.seat(Who(connection)).inbox.push(frame.to_vec());
        }
    }

    fn seat(&mut self, who: Who) -> &mut Seat {
        self.seats.get_mut(&who).expect("this client has not left")
    }

    fn set_clock(&mut self, instant: Instant) {
        let passed = instant.saturating_duration_since(self.now.instant);
        self.now.instant = instant;
        self.now.unix_us += u64::try_from(passed.as_micros()).expect("tests are short");
    }
}
