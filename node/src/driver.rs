//! Runs a [`Node`] on real sockets with smol: one thread, one task for the node and one for each router connection.
//!
//! Owns: sockets, timers, the queues to and from the application. Does not own: any decision. It reports facts to the
//! node and carries out its orders.

mod builder;
pub mod client;
mod clock;
pub mod control;
mod devices;
pub mod discovery;
mod events;
mod handle;
pub mod health;
mod interfaces;
mod journal;
pub mod logs;
mod mdns;
mod meet;
pub mod page;
mod pairing;
pub mod probe;
mod resolver;
mod routers;
pub mod service;
pub mod sharing;
mod status;
pub mod store;
pub mod supervisor;
pub mod tokens;
mod udp;
mod watch;
mod websocket;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use log::{debug, info, warn};
use smol::Timer;
use smol::channel::{Receiver, Sender};
use smol::future::FutureExt;
use smol::stream::Stream;

pub use builder::{NodeBuilder, Running, StartError};
pub use clock::{now, seed, unix_time};
pub use devices::{Device, DeviceSource, Devices};
pub use events::Events;
pub use handle::{CallError, NodeHandle, Stopped};
pub use interfaces::{Addresses, Loopback, SkippedAddress, addresses};
pub use pairing::{PairError, PairInfo, PairedDevice, Shown};
pub use routers::RouterAddress;
pub use status::{RouterStatus, Status};
pub use websocket::{DEFAULT_PORT, DialError, RouterUrl, UrlError};

use crate::event::Event;
use crate::limits::MAX_PARKED;
use crate::metrics::Metrics;
use crate::node::{Input, Node, Output};
use crate::peer::{MAX_DATAGRAMS_PER_DRAIN, SendError};
use discovery::{Lookout, Sighted};
use events::{EventQueue, TooSlow};
use handle::{Command, Outbound};
use interfaces::Filter;
use mdns::Mdns;
use resolver::{Resolved, Resolver};
use routers::{News, Routers, What};
use store::Store;
use udp::{Sent, Sockets};
use watch::Watch;
use websocket::Outgoing;

/// Turns in a row before other tasks of this thread get theirs.
const TURNS_PER_YIELD: u32 = 32;

/// Turns given away while the application has much to take. It may be the future that the executor itself is run with, and that one
/// is looked at after 200 tasks only: the driver must go to the back of the queue more often than that.
const YIELDS_PER_BACKLOG: u32 = 256;

/// Batches of datagrams in a row before timers, routers and commands are looked at.
const RECEIVES_PER_LOOK: u32 = 8;

/// How long goodbyes may take when the node is shut down.
const SHUTDOWN_LIMIT: Duration = Duration::from_millis(600);

/// How much longer the goodbyes to the routers may take.
const ROUTER_GOODBYE: Duration = Duration::from_millis(200);

/// The task that runs a node.
pub(crate) struct Driver {
    node: Node,
    sockets: Sockets,
    mdns: Mdns,
    routers: Routers,
    news: Pin<Box<Receiver<News>>>,
    resolver: Resolver,
    resolved: Pin<Box<Receiver<Resolved>>>,
    commands: Pin<Box<Receiver<Command>>>,
    events: EventQueue,
    /// Reliable messages whose queue was full, each with a caller waiting; at most [`MAX_PARKED`].
    parked: VecDeque<Outbound>,
    timer: Timer,
    /// When the timer fires.
    timer_at: Option<Instant>,
    /// When the node wants to be called: never earlier than the timer fires.
    due: Option<Instant>,
    watch: Watch,
    /// Looks for other devices, and tells them of this one.
    lookout: Option<Lookout>,
    /// What it was told last: whether this device can be paired.
    told_pairing: bool,
    filter: Filter,
    /// What it found last.
    found: Addresses,
    /// Where its identity and pairs outlive the node, if it was given any.
    store: Option<Store>,
    /// Who waits for how a pairing goes; at most [`MAX_PAIRING_WAITERS`](crate::limits::MAX_PAIRING_WAITERS).
    pairing_waiters: Vec<Sender<Result<PairedDevice, PairError>>>,
    started: Instant,
    /// Shared with the embedded router, which shows them.
    metrics: Rc<RefCell<Metrics>>,
}

/// What ended a wait.
enum Turn {
    Ready,
    Due,
    /// This host's addresses may have changed.
    Moved,
    News(News),
    Resolved(Resolved),
    /// An mDNS message came.
    Mdns,
    /// A device came, or went.
    Sighted(Sighted),
    Command(Command),
    /// Every handle is gone.
    Abandoned,
}

impl Driver {
    /// Runs until shut down, or until every handle is gone.
    pub(crate) async fn run(mut self) {
        let addresses = self.sockets.addresses();
        info!("data travels on {addresses:?}");
        self.node.handle_input(now(), Input::Addresses(&addresses));
        let mut turns = 0_u32;
        let stopping = loop {
            self.drain();
            turns = turns.wrapping_add(1);
            if turns.is_multiple_of(TURNS_PER_YIELD) {
                smol::future::yield_now().await;
            }
            self.give_way().await;
            let received = self.receive();
            if received && !turns.is_multiple_of(RECEIVES_PER_LOOK) {
                continue;
            }
            // Not for every batch of a flood.
            self.note_metrics();
            let turn = if received {
                self.drain();
                let look = poll_fn(|context| self.poll_turn(context));
                smol::future::poll_once(look).await.unwrap_or(Turn::Ready)
            } else {
                poll_fn(|context| self.poll_turn(context)).await
            };
            match turn {
                Turn::Ready => {}
                Turn::Due => self.on_due(),
                Turn::Moved => self.on_moved(),
                Turn::News(news) => self.on_news(news),
                Turn::Resolved(resolved) => self.on_resolved(resolved),
                Turn::Mdns => self.on_mdns(),
                Turn::Sighted(sighted) => self.on_sighted(&sighted),
                Turn::Command(Command::Shutdown { reply }) => break Some(reply),
                Turn::Command(command) => self.on_command(command),
                Turn::Abandoned => break None,
            }
        };
        self.stop().await;
        if let Some(reply) = stopping
            && reply.try_send(()).is_err()
        {
            debug!("whoever stopped the node did not wait for it");
        }
    }

    /// Lets an application on this thread take what arrived, before there is so much that it counts as too slow.
    async fn give_way(&self) {
        for _ in 0..YIELDS_PER_BACKLOG {
            if !self.events.is_filling() {
                return;
            }
            smol::future::yield_now().await;
        }
    }

    /// Says goodbye on every link, then to the routers.
    async fn stop(&mut self) {
        let deadline = now() + SHUTDOWN_LIMIT;
        self.node.retire();
        if let Some(lookout) = self.lookout.take() {
            lookout.stop().await;
        }
        let links: Vec<_> = self.node.links().map(|link| link.link).collect();
        for link in links {
            self.node.disconnect(now(), link, "shutting down");
        }
        self.drain();
        while self.node.links().next().is_some() && now() < deadline {
            if !self.receive() {
                match poll_fn(|context| self.poll_turn(context)).await {
                    Turn::Due => self.on_due(),
                    Turn::News(news) => self.on_news(news),
                    Turn::Mdns => self.on_mdns(),
                    Turn::Ready | Turn::Moved | Turn::Resolved(_) | Turn::Sighted(_) | Turn::Command(_) => {}
                    Turn::Abandoned => break,
                }
            }
            self.drain();
        }
        self.node.release_servers(now());
        self.drain();
        let rest = deadline.saturating_duration_since(now()) + ROUTER_GOODBYE;
        let too_long = async {
            Timer::after(rest).await;
        };
        self.routers.close().or(too_long).await;
    }

    /// Feeds the node one batch of datagrams. Says whether there were any.
    fn receive(&mut self) -> bool {
        if self.sockets.is_blocked() {
            return false; // what cannot be sent must not grow
        }
        let (node, at) = (&mut self.node, now());
        let count = self.sockets.receive(MAX_DATAGRAMS_PER_DRAIN, |source, destination, bytes| {
            node.handle_input(at, Input::Datagram { source, destination, bytes });
        });
        count > 0
    }

    /// Carries out what the node wants, until it wants nothing.
    fn drain(&mut self) {
        loop {
            if self.sockets.is_blocked() && self.sockets.flush() == Sent::Blocked {
                self.events.flush();
                return;
            }
            let output = self.node.poll_output();
            // A datagram waits for those that follow it at once, and for nothing else. Data for the application is only queued, and
            // comes between the acknowledgements of a burst.
            if !matches!(
                output,
                Output::Transmit { .. } | Output::Event(Event::Data { .. } | Event::Writable { .. })
            ) {
                self.sockets.flush();
            }
            match output {
                Output::Transmit { source, destination, bytes } => {
                    self.sockets.send(source, destination, bytes);
                }
                Output::Dial(router) => self.routers.dial(router),
                Output::DialAddress(router, address) => self.routers.dial_address(router, address),
                Output::RouterSend(router, frame) => {
                    if !self.routers.send(router, Outgoing::Frame(frame)) {
                        self.routers.hang_up(router);
                        let why = "the router does not take what it is sent";
                        self.node.handle_input(now(), Input::RouterClosed(router, why));
                    }
                }
                Output::RouterPing(router) => {
                    if !self.routers.send(router, Outgoing::Ping) {
                        debug!(router:% = router; "no room for a ping");
                    }
                }
                Output::RouterHangup(router) => self.routers.hang_up(router),
                Output::Resolve(server) => self.resolver.resolve(server),
                Output::MdnsQuery(query) => self.mdns.ask(self.sockets.places(), &query),
                Output::MdnsDone => self.mdns.close(),
                Output::LookAround => self.look_around(),
                Output::Event(event) => self.on_event(event),
                Output::Idle { wake } => {
                    self.tell_pairing();
                    self.events.flush();
                    self.due = wake.map(|wake| wake.at);
                    self.arm();
                    return;
                }
            }
        }
    }

    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<Turn> {
        // Sockets last: they were just read, and a flood of datagrams must not keep the rest from its turn.
        while self.timer_at.is_some() && Pin::new(&mut self.timer).poll(context).is_ready() {
            self.timer_at = None;
            if self.due.is_some_and(|due| due <= now()) {
                return Poll::Ready(Turn::Due);
            }
            self.arm();
        }
        if self.watch.poll_changed(context).is_ready() {
            return Poll::Ready(Turn::Moved);
        }
        if let Poll::Ready(Some(news)) = self.news.as_mut().poll_next(context) {
            return Poll::Ready(Turn::News(news));
        }
        if let Poll::Ready(Some(resolved)) = self.resolved.as_mut().poll_next(context) {
            return Poll::Ready(Turn::Resolved(resolved));
        }
        if self.mdns.poll(context).is_ready() {
            return Poll::Ready(Turn::Mdns);
        }
        if let Poll::Ready(Some(sighted)) = self.poll_sighted(context) {
            return Poll::Ready(Turn::Sighted(sighted));
        }
        if let Poll::Ready(command) = self.commands.as_mut().poll_next(context) {
            return Poll::Ready(command.map_or(Turn::Abandoned, Turn::Command));
        }
        self.sockets.poll(context).map(|()| Turn::Ready)
    }

    /// Setting a timer wakes whoever waits in the reactor, and a retransmission timeout moves with every packet: one that only
    /// became later is left as it is, and set again when it fires.
    fn arm(&mut self) {
        if let Some(due) = self.due
            && self.timer_at.is_none_or(|at| due < at)
        {
            self.timer.set_at(due);
            self.timer_at = Some(due);
        }
    }

    fn on_due(&mut self) {
        self.node.handle_input(now(), Input::Timeout);
    }

    /// Follows this host to its present addresses.
    fn on_moved(&mut self) {
        self.found = match self.filter.list() {
            Ok(found) => found,
            Err(error) => return warn!("cannot list the network interfaces: {error}"),
        };
        let addresses = if self.sockets.follow(&self.found.places) {
            let addresses = self.sockets.addresses();
            info!("data travels on {addresses:?} now");
            addresses
        } else if self.watch.is_told() {
            self.sockets.addresses() // the same, but a router may be in reach again
        } else {
            return;
        };
        // A connection from an address that is gone would be found dead much later.
        for router in self.routers.stranded(&self.found.present) {
            self.routers.hang_up(router);
            let why = "this host's address changed";
            self.node.handle_input(now(), Input::RouterClosed(router, why));
        }
        self.node.handle_input(now(), Input::Addresses(&addresses));
    }

    fn on_news(&mut self, news: News) {
        if !self.routers.is_current(&news) {
            return;
        }
        let router = news.router;
        let input = match &news.what {
            What::Opened(local) => {
                self.routers.opened(router, *local);
                Input::RouterOpened(router)
            }
            What::Frame(frame) => Input::RouterFrame(router, frame),
            What::Heard => Input::RouterHeard(router),
            What::Closed(why) => Input::RouterClosed(router, why),
        };
        self.node.handle_input(now(), input);
    }

    fn on_resolved(&mut self, (server, found): Resolved) {
        let found = found.map_err(|error| error.to_string());
        let found = found.as_deref().map_err(String::as_str);
        self.node.handle_input(now(), Input::Resolved(server, found));
    }

    fn on_mdns(&mut self) {
        let node = &mut self.node;
        self.mdns.receive(MAX_DATAGRAMS_PER_DRAIN, |source, message| {
            node.handle_input(now(), Input::MdnsAnswer(source, message));
        });
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Connect { router, session, reply } => {
                answer(&reply, self.node.connect(now(), router, &session));
            }
            Command::Send(outbound) => self.send(outbound),
            Command::Ping { link, channel, reply } => {
                answer(&reply, self.node.ping(now(), link, channel));
            }
            Command::Disconnect { link, reason } => self.node.disconnect(now(), link, &reason),
            Command::Peers { reply } => answer(&reply, self.node.peers().cloned().collect()),
            Command::Links { reply } => answer(&reply, self.node.links().collect()),
            Command::Sessions { reply } => {
                answer(&reply, self.node.sessions().map(|(_, id)| id.to_owned()).collect());
            }
            Command::Visit { address, reply } => answer(&reply, self.node.visit(now(), address)),
            Command::Devices { reply } => self.tell_devices(&reply),
            Command::Servers { reply } => answer(&reply, self.node.servers().collect()),
            Command::Status { reply } => answer(&reply, Box::new(self.status())),
            Command::Pairing(command) => self.on_pair_command(command),
            Command::Counters { reply } => answer(&reply, self.node.counters()),
            Command::Shutdown { .. } => {} // `run` takes it
        }
    }

    /// Hands a message to the node, or parks it until the node has room.
    fn send(&mut self, outbound: Outbound) {
        self.parked.retain(|parked| !parked.reply.is_closed()); // those callers have stopped waiting
        let waits = |parked: &Outbound| parked.link == outbound.link && parked.channel == outbound.channel;
        if self.parked.iter().any(waits) {
            return self.park(outbound); // behind those that came first
        }
        self.try_send(outbound);
    }

    fn try_send(&mut self, outbound: Outbound) {
        let Outbound { link, channel, mut message, mut rest, reply } = outbound;
        let at = now();
        let result = loop {
            let len = message.len();
            match self.node.send(at, link, channel, message) {
                Err(SendError::Full(message)) => {
                    return self.park(Outbound { link, channel, message, rest, reply });
                }
                Ok(()) => self.metrics.borrow_mut().note_sent(channel, len),
                refused => break refused,
            }
            match rest.next() {
                Some(next) => message = next,
                None => break Ok(()),
            }
        };
        answer(&reply, result);
    }

    fn park(&mut self, outbound: Outbound) {
        if self.parked.len() < MAX_PARKED {
            self.parked.push_back(outbound);
        } else {
            self.metrics.borrow_mut().note_send_refused();
            answer(&outbound.reply, Err(SendError::Full(outbound.message)));
        }
    }

    fn on_event(&mut self, event: Event) {
        journal::note(&event);
        self.note_pairing(&event);
        self.note_devices(&event);
        self.metrics.borrow_mut().note_event(&event);
        let link = match &event {
            Event::Writable { link } | Event::Failed { link, .. } | Event::Disconnected { link, .. } => {
                Some(*link)
            }
            _ => None,
        };
        if !matches!(event, Event::Writable { .. })
            && let Err(TooSlow(link)) = self.events.push(event)
        {
            self.node.disconnect_too_slow(now(), link);
        }
        if let Some(link) = link {
            // Everything parked for this link may be tried again, in its order; what still finds no room parks again.
            for _ in 0..self.parked.len() {
                match self.parked.pop_front() {
                    Some(outbound) if outbound.link == link && !outbound.reply.is_closed() => {
                        self.try_send(outbound);
                    }
                    Some(outbound) if outbound.link == link => {}
                    Some(other) => self.parked.push_back(other),
                    None => break,
                }
            }
        }
    }
}

/// Answers a caller, who may have stopped waiting.
fn answer<T>(reply: &Sender<T>, result: T) {
    if reply.try_send(result).is_err() {
        debug!("the caller did not wait for its answer");
    }
}
