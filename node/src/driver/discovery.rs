//! Runs a [`Discovery`] on real sockets, as a task of its own: what strangers on the network send never holds up the node's data.
//!
//! Owns: the sockets, which follow the host to its present addresses. Does not own: any decision.

mod sockets;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use log::{debug, warn};
use serde::Serialize;
use smol::channel::{Receiver, Sender, TrySendError, bounded};
use smol::stream::Stream;
use smol::{LocalExecutor, Task, Timer};

use super::clock::{self, now};
use super::interfaces::Loopback;
use super::watch::Watch;
use crate::discovery::{Advertised, Discovery, DiscoveryCounters, Found, Input, Output};
use crate::identity::DeviceId;
use sockets::{Heard, Sockets};

/// Orders that wait, and devices found that nobody has taken note of: both are rare.
const QUEUE: usize = 64;

/// Datagrams in a row before anything else gets its turn.
const DATAGRAMS_PER_TURN: usize = 16;

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_millis(100);

/// What is found, and what no longer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sighted {
    /// A device was found, or more of it.
    Found(Found),
    /// It is not there any more.
    Lost(Found),
}

/// How discovery goes on a running node.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct DiscoveryStatus {
    /// What this node's router is called on the network, if it is told of.
    pub instance: Option<String>,
    /// Why it is not done by multicast DNS, or not by broadcast; empty if both are well.
    pub faults: Vec<String>,
    /// Who is there.
    pub found: Vec<Found>,
    /// What was refused or dropped.
    pub counters: DiscoveryCounters,
}

/// How discovery goes, without who was found.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct DiscoverySummary {
    /// What this node's router is called on the network, if it is told of.
    pub instance: Option<String>,
    /// Why it is not done by multicast DNS, or not by broadcast; empty if both are well.
    pub faults: Vec<String>,
    /// How many devices were found.
    pub found: usize,
    /// What was refused or dropped.
    pub counters: DiscoveryCounters,
}

enum Order {
    Ask,
    Pairing(bool),
    Stop(Sender<()>),
}

/// What is looked for, and told of.
#[derive(Debug, Clone)]
pub struct LookoutConfig {
    /// Who this is: its own router is not found.
    pub device: DeviceId,
    /// The router to be found by others, if there is one.
    pub advertised: Option<Advertised>,
    /// The one address at which it is reached; `None`: on all of this host.
    pub only: Option<IpAddr>,
    /// Where to look.
    pub loopback: Loopback,
}

/// Looks for devices until it is dropped.
#[derive(Debug)]
pub struct Lookout {
    orders: Sender<Order>,
    sighted: Pin<Box<Receiver<Sighted>>>,
    status: Rc<RefCell<DiscoveryStatus>>,
    _task: Task<()>,
}

impl Lookout {
    /// Begins to look. What cannot be opened is told by [`Self::status`].
    ///
    /// # Errors
    /// Without randomness from the operating system.
    pub fn start(config: LookoutConfig, executor: &LocalExecutor<'static>) -> std::io::Result<Self> {
        let (orders, order_queue) = bounded(QUEUE);
        let (tell, sighted) = bounded(QUEUE);
        let LookoutConfig { device, advertised, only, loopback } = config;
        let watch = Watch::new();
        let sockets = Sockets::new(loopback, only, advertised.is_some());
        let status = Rc::default();
        let seeker = Seeker {
            core: Discovery::new(clock::seed()?, now(), device, advertised),
            sockets,
            watch,
            orders: Box::pin(order_queue),
            tell,
            status: Rc::clone(&status),
            untold: VecDeque::new(),
            timer: Timer::never(),
        };
        Ok(Self { orders, sighted: Box::pin(sighted), status, _task: executor.spawn(seeker.run()) })
    }

    /// Asks the network again now.
    pub fn ask(&self) {
        self.order(Order::Ask);
    }

    /// Tells whether this device can be paired.
    pub fn set_pairing(&self, open: bool) {
        self.order(Order::Pairing(open));
    }

    /// The next device that comes or goes; `None` when it has stopped.
    pub async fn next(&self) -> Option<Sighted> {
        self.sighted.recv().await.ok()
    }

    pub(super) fn poll_sighted(&mut self, context: &mut Context<'_>) -> Poll<Option<Sighted>> {
        self.sighted.as_mut().poll_next(context)
    }

    /// What was refused or dropped, and how many devices are there.
    pub(super) fn counters(&self) -> (DiscoveryCounters, usize) {
        let status = self.status.borrow();
        (status.counters, status.found.len())
    }

    /// What is told of it to who asks how the node is.
    pub(super) fn summary(&self) -> DiscoverySummary {
        let status = self.status.borrow();
        let (instance, faults) = (status.instance.clone(), status.faults.clone());
        DiscoverySummary { instance, faults, found: status.found.len(), counters: status.counters }
    }

    /// How it goes.
    #[must_use]
    pub fn status(&self) -> DiscoveryStatus {
        self.status.borrow().clone()
    }

    /// Says goodbye to the network.
    pub async fn stop(&self) {
        use smol::future::FutureExt;

        let (reply, stopped) = bounded(1);
        self.order(Order::Stop(reply));
        let done = async {
            if stopped.recv().await.is_err() {
                debug!("discovery had stopped already");
            }
        };
        let too_long = async {
            Timer::after(GOODBYE).await;
        };
        done.or(too_long).await;
    }

    fn order(&self, order: Order) {
        if let Err(TrySendError::Full(_)) = self.orders.try_send(order) {
            warn!("discovery is too busy for orders");
        }
    }
}

struct Seeker {
    core: Discovery,
    sockets: Sockets,
    watch: Watch,
    orders: Pin<Box<Receiver<Order>>>,
    tell: Sender<Sighted>,
    /// For who asks.
    status: Rc<RefCell<DiscoveryStatus>>,
    /// What the node has not taken yet, one a device at most: the core bounds how many there are.
    untold: VecDeque<Sighted>,
    timer: Timer,
}

enum Turn {
    Due,
    Moved,
    Readable,
    Order(Order),
    /// The node takes sightings again.
    Told,
    Abandoned,
}

impl Seeker {
    async fn run(mut self) {
        self.on_moved();
        self.core.ask(now());
        loop {
            self.drain();
            let turn = poll_fn(|context| self.poll_turn(context)).await;
            match turn {
                Turn::Due => self.core.handle_input(now(), unix_us(), Input::Timeout),
                Turn::Moved => self.on_moved(),
                Turn::Readable => self.receive(),
                Turn::Told => {}
                Turn::Order(Order::Ask) => self.core.ask(now()),
                Turn::Order(Order::Pairing(open)) => self.core.set_pairing(now(), open),
                Turn::Order(Order::Stop(reply)) => {
                    self.core.stop();
                    self.drain();
                    if reply.try_send(()).is_err() {
                        debug!("whoever stopped discovery did not wait");
                    }
                    return;
                }
                Turn::Abandoned => return,
            }
            // Others on this thread have their turn after each of ours.
            smol::future::yield_now().await;
        }
    }

    /// Keeps the answer for who asks how it goes.
    fn note_status(&self) {
        let mut status = self.status.borrow_mut();
        if status.instance.as_deref() != self.core.instance() {
            status.instance = self.core.instance().map(str::to_owned);
        }
        status.counters = self.core.counters();
    }

    fn note_found(&self) {
        self.status.borrow_mut().found = self.core.found().cloned().collect();
    }

    fn on_moved(&mut self) {
        let networks = self.sockets.follow();
        self.status.borrow_mut().faults = self.sockets.faults();
        if let Some(networks) = networks {
            debug!("looking for devices on {networks:?}");
            self.core.handle_input(now(), unix_us(), Input::Networks(&networks));
            self.core.ask(now());
        }
    }

    fn receive(&mut self) {
        let (core, at, unix_us) = (&mut self.core, now(), unix_us());
        self.sockets.receive(DATAGRAMS_PER_TURN, |heard, source, bytes| {
            let input = match heard {
                Heard::Mdns(link) => Input::Message { link, source, bytes },
                Heard::Question => Input::Question { source, bytes },
                Heard::Answer => Input::Answer { source, bytes },
            };
            core.handle_input(at, unix_us, input);
        });
    }

    fn drain(&mut self) {
        loop {
            match self.core.poll_output() {
                Output::Multicast { link, message } => self.sockets.multicast(link, &message),
                Output::Unicast { link, to, message } => self.sockets.unicast(link, to, &message),
                Output::Broadcast(bytes) => self.sockets.broadcast(&bytes),
                Output::Reply { to, bytes } => self.sockets.reply(to, &bytes),
                Output::Found(found) => {
                    self.note_found();
                    self.tell(Sighted::Found(found));
                }
                Output::Lost(found) => {
                    self.note_found();
                    self.tell(Sighted::Lost(found));
                }
                Output::Idle { wake } => {
                    self.note_status();
                    match wake {
                        Some(wake) => self.timer.set_at(wake.at),
                        None => self.timer = Timer::never(),
                    }
                    return;
                }
            }
        }
    }

    /// Newer news of a device take the place of older ones.
    fn tell(&mut self, sighted: Sighted) {
        let about = |sighted: &Sighted| {
            let (Sighted::Found(found) | Sighted::Lost(found)) = sighted;
            (found.device, found.addresses.first().copied())
        };
        self.untold.retain(|older| about(older) != about(&sighted));
        self.untold.push_back(sighted);
        while let Some(next) = self.untold.pop_front() {
            if let Err(TrySendError::Full(next)) = self.tell.try_send(next) {
                return self.untold.push_front(next);
            }
        }
    }

    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<Turn> {
        if Pin::new(&mut self.timer).poll(context).is_ready() {
            return Poll::Ready(Turn::Due);
        }
        if self.watch.poll_changed(context).is_ready() {
            return Poll::Ready(Turn::Moved);
        }
        if let Poll::Ready(order) = self.orders.as_mut().poll_next(context) {
            return Poll::Ready(order.map_or(Turn::Abandoned, Turn::Order));
        }
        if !self.untold.is_empty() && !self.tell.is_full() {
            let Some(next) = self.untold.pop_front() else { return Poll::Pending };
            self.tell(next);
            return Poll::Ready(Turn::Told);
        }
        self.sockets.poll(context).map(|()| Turn::Readable)
    }
}

/// For others to read.
fn unix_us() -> u64 {
    u64::try_from(clock::unix_time().as_micros()).unwrap_or(u64::MAX)
}
