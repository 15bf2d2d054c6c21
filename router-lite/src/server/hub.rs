//! Feeds the core and carries out its orders. Never awaits.
//!
//! Owns: the core, the table of lines, which of them have something to be written, and the timer. Frames are not written
//! by the task that caused them but by one that runs when all tasks that had something to read have had their
//! turn: what several of them send to one client goes out in one system call.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, VecDeque},
    fmt,
    net::TcpStream,
    rc::Rc,
    time::Instant,
};

use clasp_wire::{Pattern, message::Set};
use smol::{Async, Timer, future::FutureExt};

use crate::{
    access::Origin,
    config::Config,
    counters::Counters,
    exposition::Exposition,
    id::ConnectionId,
    io::{Input, Output},
    params::{Adoption, Precedence, StoredParam},
    router::{Counts, Interest, Router},
    server::{
        clock,
        http::Page,
        line::{Flushed, Line},
        notify::Notify,
        stream::READ_AHEAD_BYTES,
    },
    time::Wake,
};

/// See the module.
pub(crate) struct Hub {
    router: RefCell<Router>,
    lines: RefCell<HashMap<ConnectionId, Rc<Line>>>,
    next_id: Cell<u64>,
    /// Facts that came up while orders were carried out.
    facts: RefCell<VecDeque<Input>>,
    dirty: RefCell<Vec<Rc<Line>>>,
    batch: RefCell<Vec<u8>>,
    flush: Notify,
    wake: Cell<Option<Wake>>,
    /// The core wants to be woken earlier than it said before.
    sooner: Notify,
    /// A connection is gone or has said HELLO.
    pub(crate) freed: Notify,
    /// What sessions subscribe to may have changed.
    pub(crate) interests_changed: Notify,
    interests_version: Cell<u64>,
    /// The last connection is gone.
    pub(crate) empty: Notify,
    /// Connections that are ending.
    pub(crate) lingering: Cell<usize>,
    /// Where the reading client's surplus lands; one for all of them.
    pub(crate) read_ahead: RefCell<Box<[u8]>>,
    /// What the program around the router adds to its metrics.
    pub(crate) more_metrics: RefCell<Option<MoreMetrics>>,
    /// What `GET` brings beside what the router itself tells.
    pub(crate) pages: Cell<&'static [Page]>,
}

/// Writes metrics of the program around the router.
pub(crate) type MoreMetrics = Rc<dyn Fn(&mut Exposition)>;

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("router", &self.router).finish_non_exhaustive()
    }
}

impl Hub {
    pub(crate) fn new(seed: [u8; 32], config: Config) -> Self {
        Self {
            router: RefCell::new(Router::new(seed, clock::now(), config)),
            lines: RefCell::default(),
            next_id: Cell::new(0),
            facts: RefCell::default(),
            dirty: RefCell::default(),
            batch: RefCell::default(),
            flush: Notify::default(),
            wake: Cell::new(None),
            sooner: Notify::default(),
            freed: Notify::default(),
            interests_changed: Notify::default(),
            interests_version: Cell::new(0),
            empty: Notify::default(),
            lingering: Cell::new(0),
            read_ahead: RefCell::new(vec![0; READ_AHEAD_BYTES].into()),
            more_metrics: RefCell::default(),
            pages: Cell::default(),
        }
    }

    /// Adds a client.
    pub(crate) fn open(&self, socket: Option<Async<TcpStream>>, origin: Origin) -> Rc<Line> {
        let connection = ConnectionId::new(self.next_id.get());
        self.next_id.set(connection.number() + 1);
        let line = Rc::new(Line::new(connection, socket));
        self.lines.borrow_mut().insert(connection, Rc::clone(&line));
        self.apply(Input::Opened { connection, origin });
        line
    }

    /// Removes a client.
    pub(crate) fn close(&self, line: &Line) {
        self.lines.borrow_mut().remove(&line.id);
        self.apply(Input::Closed { connection: line.id });
        if self.lines.borrow().is_empty() {
            self.empty.notify();
        }
    }

    pub(crate) fn apply(&self, input: Input) {
        let router = &mut *self.router.borrow_mut();
        let frees = matches!(input, Input::Frame { .. } | Input::Closed { .. });
        self.feed(router, input);
        loop {
            let Some(fact) = self.facts.borrow_mut().pop_front() else { break };
            self.feed(router, fact);
        }
        if frees && router.accept_at().is_none() {
            self.freed.notify();
        }
        let version = router.interests_version();
        if self.interests_version.replace(version) != version {
            self.interests_changed.notify();
        }
    }

    pub(crate) fn adopt(&self, bridge: ConnectionId, set: &Set<'_>, precedence: Precedence) -> Adoption {
        let adoption = {
            let router = &mut *self.router.borrow_mut();
            let adoption = router.adopt(clock::now(), bridge, set, precedence);
            self.carry_out(router);
            adoption
        };
        self.apply_facts();
        adoption
    }

    pub(crate) fn stored(
        &self,
        bridge: ConnectionId,
        pattern: &Pattern,
        after: Option<&str>,
        max: usize,
    ) -> Vec<StoredParam> {
        self.router.borrow().stored(clock::now(), bridge, pattern, after, max)
    }

    pub(crate) fn interests(&self, bridge: ConnectionId) -> Vec<Interest> {
        self.router.borrow().interests(bridge)
    }

    /// The next frame for a client in this process.
    pub(crate) fn take_frame(&self, line: &Line) -> Option<bytes::Bytes> {
        self.router.borrow_mut().poll_transmit(line.id, usize::MAX)
    }

    /// Writes what waits for `line`.
    pub(crate) fn flush_line(&self, line: &Line) {
        self.flush_into(&mut self.router.borrow_mut(), line);
        self.apply_facts();
    }

    pub(crate) fn accept_at(&self) -> Option<Instant> {
        self.router.borrow().accept_at()
    }

    pub(crate) fn counters(&self) -> Counters {
        self.router.borrow().counters()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.router.borrow().is_full()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.router.borrow().counts()
    }

    pub(crate) fn allows_metrics(&self, connection: ConnectionId) -> bool {
        self.router.borrow().allows_metrics(connection)
    }

    pub(crate) fn write_metrics(&self, page: &mut Exposition) {
        self.router.borrow().write_metrics(page);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines.borrow().is_empty()
    }

    /// Writes to clients, for ever.
    pub(crate) async fn flush_loop(self: Rc<Self>) {
        loop {
            self.flush.wait().await;
            let mut dirty = self.dirty.take();
            for line in dirty.drain(..) {
                line.dirty.set(false);
                self.flush_into(&mut self.router.borrow_mut(), &line);
            }
            // Keep the list's memory for the next round.
            let mut list = self.dirty.borrow_mut();
            if list.is_empty() {
                *list = dirty;
            }
            drop(list);
            self.apply_facts();
        }
    }

    /// Tells the core when its time has come, for ever.
    pub(crate) async fn timer_loop(self: Rc<Self>) {
        loop {
            let Some(wake) = self.wake.get() else {
                self.sooner.wait().await;
                continue;
            };
            let due = async {
                Timer::at(wake.at).await;
                true
            };
            let sooner = async {
                self.sooner.wait().await;
                false
            };
            if due.or(sooner).await {
                self.wake.set(None);
                self.apply(Input::Tick);
            }
        }
    }

    fn apply_facts(&self) {
        let fact = self.facts.borrow_mut().pop_front();
        if let Some(fact) = fact {
            self.apply(fact);
        }
    }

    /// One input, and every order that follows from it.
    fn feed(&self, router: &mut Router, input: Input) {
        router.handle_input(clock::now(), input);
        self.carry_out(router);
    }

    fn carry_out(&self, router: &mut Router) {
        loop {
            match router.poll_output() {
                Output::Transmit { connection, urgent } => self.transmit(router, connection, urgent),
                Output::Ping { connection } => self.with_line(connection, |line| {
                    line.ping_wanted.set(true);
                    line.notify.notify();
                }),
                Output::Close { connection, reason } => self.with_line(connection, |line| {
                    line.closing.set(Some(reason));
                    line.notify.notify();
                }),
                Output::Idle { wake } => return self.set_wake(wake),
            }
        }
    }

    fn transmit(&self, router: &mut Router, connection: ConnectionId, urgent: bool) {
        let Some(line) = self.lines.borrow().get(&connection).map(Rc::clone) else { return };
        if urgent {
            self.flush_into(router, &line);
        } else if !line.dirty.replace(true) {
            self.dirty.borrow_mut().push(line);
            self.flush.notify();
        }
    }

    fn flush_into(&self, router: &mut Router, line: &Line) {
        let connection = line.id;
        let flushed = line.flush(router, &mut self.batch.borrow_mut());
        let mut facts = self.facts.borrow_mut();
        if matches!(flushed, Flushed::Recovered | Flushed::Slowly) {
            facts.push_back(Input::Progress { connection });
        }
        if matches!(flushed, Flushed::Slowly | Flushed::Not) {
            facts.push_back(Input::Blocked { connection });
        }
    }

    fn with_line(&self, connection: ConnectionId, act: impl FnOnce(&Line)) {
        if let Some(line) = self.lines.borrow().get(&connection) {
            act(line);
        }
    }

    fn set_wake(&self, wake: Option<Wake>) {
        let before = self.wake.replace(wake);
        let sooner = wake.is_some_and(|wake| before.is_none_or(|before| wake.at < before.at));
        if sooner {
            self.sooner.notify();
        }
    }
}
