//! A router, nodes, and the network between them, in virtual time.
//!
//! The router and the nodes are the real cores; only their drivers are simulated. Everything that is drawn at random here
//! comes from the seed. (str0m draws a few numbers of its own, so two runs of a seed agree in what happens, not in each byte.)

mod hidden;
mod settle;
mod stock;
mod trusting;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clasp_node::peer::MAX_DATAGRAMS_PER_DRAIN;
use clasp_node::{ConnectError, Event, Input, LinkId, Node, NodeConfig, RouterId};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use router_lite::{ConnectionId, Now, Origin, Router};

use crate::network::{Faults, Network};
use stock::Core;
pub use stock::Stock;
pub use trusting::{Device, Tamper};

/// The one router every node dials.
const ROUTER: RouterId = RouterId::FIRST;

/// How much one look at a connection's outbox takes out.
const WRITE_BYTES: usize = 64 * 1024;

/// A node of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(usize);

struct SimNode {
    core: Core,
    address: SocketAddr,
    session: Option<String>,
    connection: Option<ConnectionId>,
    wake: Option<Instant>,
    /// What it told, and when after the start.
    told: Vec<(Duration, Event)>,
    /// Takes nothing from the router any more.
    stalled: bool,
    /// Does nothing any more.
    dead: bool,
    /// Its core was given something since it was last drained.
    touched: bool,
    /// When it sent its last datagram, where to, and what became of it.
    burst: Option<((Instant, SocketAddr), Option<Duration>)>,
}

enum Arrival {
    Datagram { to: usize, source: SocketAddr, destination: SocketAddr, bytes: Vec<u8> },
    MdnsAnswer { to: usize, source: SocketAddr, message: Vec<u8> },
    ToRouter { connection: ConnectionId, frame: Bytes },
    ToNode { node: usize, connection: ConnectionId, frame: Bytes },
    Opened { node: usize, connection: ConnectionId },
    Refused { node: usize },
    Heard { node: usize, connection: ConnectionId },
    HeardAtRouter { connection: ConnectionId },
    ClosedAtNode { node: usize, connection: ConnectionId, why: String },
    ClosedAtRouter { connection: ConnectionId },
}

/// The world.
pub struct World {
    seed: u64,
    rng: StdRng,
    start: Instant,
    now: Instant,
    network: Network,
    faults: Faults,
    router: Option<Router>,
    router_wake: Option<Instant>,
    router_config: router_lite::Config,
    nodes: Vec<SimNode>,
    next_connection: u64,
    arrivals: BTreeMap<(Instant, u64), Arrival>,
    next_arrival: u64,
    cut: BTreeSet<(usize, usize)>,
    names: hidden::Names,
    tamper: Option<Tamper>,
    /// Signals as the router handed them out, before any fault: receiver and frame.
    pub signals: Vec<(NodeId, Bytes)>,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("seed", &self.seed).field("at", &self.elapsed()).finish_non_exhaustive()
    }
}

impl World {
    /// A world with a running router and no nodes.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        let start = start();
        let mut world = Self {
            seed,
            rng: StdRng::seed_from_u64(seed),
            start,
            now: start,
            network: Network::default(),
            faults: Faults::default(),
            router: None,
            router_wake: None,
            router_config: router_lite::Config::default(),
            nodes: Vec::new(),
            next_connection: 0,
            arrivals: BTreeMap::new(),
            next_arrival: 0,
            cut: BTreeSet::new(),
            names: hidden::Names::default(),
            tamper: None,
            signals: Vec::new(),
        };
        world.start_router();
        world
    }

    /// Sets the properties of every path.
    #[must_use]
    pub fn network(mut self, network: Network) -> Self {
        self.network = network;
        self
    }

    /// Sets what happens to signals.
    #[must_use]
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// Changes the properties of every path from now on.
    pub fn set_network(&mut self, network: Network) {
        self.network = network;
    }

    /// Changes what happens to signals from now on.
    pub fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// Adds a node with the default configuration.
    pub fn node(&mut self, name: &str) -> NodeId {
        self.node_with(NodeConfig { name: name.to_owned(), ..NodeConfig::open() })
    }

    /// Adds a node.
    pub fn node_with(&mut self, config: NodeConfig) -> NodeId {
        let core = Node::new(self.seed32(), self.now, config, 1).expect("a valid configuration");
        self.host(|_| Core::Node(Box::new(core)))
    }

    fn host(&mut self, core: impl FnOnce(SocketAddr) -> Core) -> NodeId {
        let index = self.nodes.len();
        let last = u8::try_from(index + 1).expect("few nodes");
        let address = SocketAddr::from(([10, 0, 0, last], 5000));
        let core = core(address);
        self.nodes.push(SimNode {
            core,
            address,
            session: None,
            connection: None,
            wake: Some(self.now),
            told: Vec::new(),
            stalled: false,
            dead: false,
            touched: true,
            burst: None,
        });
        let now = self.now;
        self.at(index).core.handle_input(now, Input::Addresses(&[address]));
        NodeId(index)
    }

    /// Nodes that are welcome on the router already.
    pub fn ready_nodes<const N: usize>(&mut self, names: [&str; N]) -> [NodeId; N] {
        let nodes = names.map(|name| self.node(name));
        let ready = self.run_until(Duration::from_secs(5), |w| nodes.iter().all(|n| w.session(*n).is_some()));
        assert!(ready, "seed {}: a node was not welcomed", self.seed);
        nodes
    }

    /// The node's session id on the router, while it has one.
    #[must_use]
    pub fn session(&self, node: NodeId) -> Option<&str> {
        self.nodes.get(node.0)?.session.as_deref()
    }

    /// Starts a link from `a` to `b`.
    ///
    /// # Errors
    /// What the node says.
    pub fn try_connect(&mut self, a: NodeId, b: NodeId) -> Result<LinkId, ConnectError> {
        let session = self.session(b).expect("the callee is on the router").to_owned();
        self.connect_to(a, &session)
    }

    /// Starts a link from `a` to `b`.
    pub fn connect(&mut self, a: NodeId, b: NodeId) -> LinkId {
        self.try_connect(a, b).expect("a link can be begun")
    }

    /// Starts a link from `a` to any session id.
    ///
    /// # Errors
    /// What the node says.
    pub fn connect_to(&mut self, a: NodeId, session: &str) -> Result<LinkId, ConnectError> {
        let now = self.now;
        let link = self.at(a.0).core.node().connect(now, ROUTER, session);
        self.settle();
        link
    }

    /// Gives the node's core an order.
    pub fn with_node<T>(&mut self, node: NodeId, act: impl FnOnce(&mut Node, Instant) -> T) -> T {
        let now = self.now;
        let result = act(self.at(node.0).core.node(), now);
        self.settle();
        result
    }

    /// What the node told so far, and when after the start.
    #[must_use]
    pub fn told(&self, node: NodeId) -> &[(Duration, Event)] {
        self.nodes.get(node.0).map_or(&[], |n| n.told.as_slice())
    }

    /// How many of the node's events `matches`.
    pub fn count(&self, node: NodeId, matches: impl Fn(&Event) -> bool) -> usize {
        self.told(node).iter().filter(|(_, event)| matches(event)).count()
    }

    /// The router's core, while it runs.
    #[must_use]
    pub fn router(&self) -> Option<&Router> {
        self.router.as_ref()
    }

    /// Virtual time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// Lets a stranger's frame reach the router as if `node` had sent it.
    pub fn inject(&mut self, node: NodeId, frame: Vec<u8>) {
        let connection = self.at(node.0).connection.expect("connected");
        self.arrive(Duration::ZERO, Arrival::ToRouter { connection, frame: frame.into() });
    }

    /// Hands `frame` to `node` as if its router had sent it: what an evil router may do.
    pub fn inject_from_router(&mut self, node: NodeId, frame: Vec<u8>) {
        let connection = self.at(node.0).connection.expect("connected");
        self.arrive(Duration::ZERO, Arrival::ToNode { node: node.0, connection, frame: frame.into() });
    }

    /// Hands a datagram to `node`, from any address.
    pub fn inject_datagram(&mut self, node: NodeId, source: SocketAddr, bytes: Vec<u8>) {
        let destination = self.at(node.0).address;
        self.arrive(Duration::ZERO, Arrival::Datagram { to: node.0, source, destination, bytes });
    }

    /// No datagram passes between the two any more.
    pub fn cut(&mut self, a: NodeId, b: NodeId) {
        self.cut.insert((a.0.min(b.0), a.0.max(b.0)));
    }

    /// Datagrams pass again.
    pub fn heal(&mut self, a: NodeId, b: NodeId) {
        self.cut.remove(&(a.0.min(b.0), a.0.max(b.0)));
    }

    /// The node gets another address, as when its cable is moved to another subnet. What is on its way to the old one is lost.
    pub fn move_node(&mut self, node: NodeId) {
        let now = self.now;
        let moved = self.at(node.0);
        let SocketAddr::V4(old) = moved.address else { unreachable!("nodes have IPv4 addresses") };
        let [_, network, _, host] = old.ip().octets();
        moved.address = SocketAddr::from(([10, network.wrapping_add(1), 0, host], old.port()));
        let addresses = [moved.address];
        moved.core.handle_input(now, Input::Addresses(&addresses));
        self.settle();
    }

    /// As [`Self::move_node`], and the node's connection to the router breaks with its address. The router does not notice.
    pub fn roam(&mut self, node: NodeId) {
        let now = self.now;
        let roaming = self.at(node.0);
        if roaming.connection.take().is_some() {
            roaming.core.handle_input(now, Input::RouterClosed(ROUTER, "this host's address changed"));
        }
        self.move_node(node);
    }

    /// The node's process is killed: it says nothing any more, and its system closes its connection to the router.
    pub fn kill(&mut self, node: NodeId) {
        self.at(node.0).dead = true;
        if let Some(connection) = self.at(node.0).connection.take() {
            self.arrive(self.network.latency, Arrival::ClosedAtRouter { connection });
        }
    }

    /// The node takes nothing from the router any more, as if its socket's buffers were full.
    pub fn stall(&mut self, node: NodeId) {
        self.at(node.0).stalled = true;
    }

    /// The router's process dies, and all its connections with it.
    pub fn kill_router(&mut self) {
        self.router = None;
        self.router_wake = None;
        for node in 0..self.nodes.len() {
            if let Some(connection) = self.at(node).connection {
                let why = "connection reset".to_owned();
                self.arrive(self.network.latency, Arrival::ClosedAtNode { node, connection, why });
            }
        }
        self.settle();
    }

    /// A new router takes the old one's place, knowing nothing.
    pub fn start_router(&mut self) {
        let seed = self.seed32();
        self.router = Some(Router::new(seed, self.router_now(), self.router_config.clone()));
        self.settle();
    }

    /// Lets virtual time run until `done`, at most for `limit`. Says whether it was reached.
    pub fn run_until(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + limit;
        self.settle();
        while !done(self) {
            let Some(next) = self.next_time().filter(|at| *at <= end) else {
                self.now = end;
                return done(self);
            };
            self.now = self.now.max(next);
            self.deliver();
            self.wake();
            self.settle();
        }
        true
    }

    /// Lets virtual time run.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(time, |_| false);
    }

    fn at(&mut self, index: usize) -> &mut SimNode {
        let node = self.nodes.get_mut(index).expect("a node of this world");
        node.touched = true;
        node
    }

    fn seed32(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        seed
    }

    fn router_now(&self) -> Now {
        let unix_us = 1_700_000_000_000_000 + u64::try_from(self.elapsed().as_micros()).unwrap_or(0);
        Now { instant: self.now, unix_us }
    }

    fn arrive(&mut self, after: Duration, arrival: Arrival) {
        self.next_arrival += 1;
        self.arrivals.insert((self.now + after, self.next_arrival), arrival);
    }

    fn next_time(&self) -> Option<Instant> {
        let arrival = self.arrivals.first_key_value().map(|((at, _), _)| *at);
        let nodes = self.nodes.iter().filter(|node| !node.dead).filter_map(|node| node.wake);
        arrival.into_iter().chain(nodes).chain(self.router_wake).min()
    }

    fn deliver(&mut self) {
        // Like the real driver: what has arrived by now is fed in batches, not datagram by datagram.
        let mut batch = 0;
        while let Some(entry) = self.arrivals.first_entry()
            && entry.key().0 <= self.now
        {
            let arrival = entry.remove();
            batch =
                if matches!(arrival, Arrival::Datagram { .. }) { batch + 1 } else { MAX_DATAGRAMS_PER_DRAIN };
            self.on_arrival(arrival);
            if batch >= MAX_DATAGRAMS_PER_DRAIN {
                self.settle();
                batch = 0;
            }
        }
    }

    fn on_arrival(&mut self, arrival: Arrival) {
        let now = self.now;
        match arrival {
            Arrival::Datagram { to, source, destination, bytes } => {
                let node = self.at(to);
                if node.dead || node.address.ip() != destination.ip() {
                    return; // or it has moved since
                }
                node.core.handle_input(now, Input::Datagram { source, destination, bytes: &bytes });
            }
            Arrival::MdnsAnswer { to, source, message } => {
                self.at(to).core.handle_input(now, Input::MdnsAnswer(source, &message));
            }
            Arrival::ToRouter { connection, frame } => {
                self.tell_router(router_lite::Input::Frame { connection, frame });
            }
            Arrival::ToNode { node, connection, frame } => {
                let node = self.at(node);
                if node.connection == Some(connection) {
                    node.core.handle_input(now, Input::RouterFrame(ROUTER, &frame));
                }
            }
            Arrival::Opened { node, connection } => {
                self.at(node).connection = Some(connection);
                let origin = Origin::Remote;
                self.tell_router(router_lite::Input::Opened { connection, origin });
                self.at(node).core.handle_input(now, Input::RouterOpened(ROUTER));
            }
            Arrival::Refused { node } => {
                self.at(node).core.handle_input(now, Input::RouterClosed(ROUTER, "connection refused"));
            }
            Arrival::Heard { node, connection } => {
                let node = self.at(node);
                if node.connection == Some(connection) {
                    node.core.handle_input(now, Input::RouterHeard(ROUTER));
                }
            }
            Arrival::ClosedAtNode { node, connection, why } => {
                let node = self.at(node);
                if node.connection == Some(connection) {
                    node.connection = None;
                    node.core.handle_input(now, Input::RouterClosed(ROUTER, &why));
                }
            }
            Arrival::HeardAtRouter { connection } => {
                self.tell_router(router_lite::Input::Heard { connection });
            }
            Arrival::ClosedAtRouter { connection } => {
                self.tell_router(router_lite::Input::Closed { connection });
            }
        }
    }

    fn tell_router(&mut self, input: router_lite::Input) {
        let now = self.router_now();
        if let Some(router) = &mut self.router {
            router.handle_input(now, input);
        }
    }

    fn wake(&mut self) {
        let now = self.now;
        let due = |node: &&mut SimNode| !node.dead && node.wake.is_some_and(|at| at <= now);
        for node in self.nodes.iter_mut().filter(due) {
            node.touched = true;
            node.core.handle_input(now, Input::Timeout);
        }
        if self.router_wake.is_some_and(|at| at <= now) {
            self.tell_router(router_lite::Input::Tick);
        }
    }

    /// A number drawn from the seed.
    pub fn draw(&mut self, below: usize) -> usize {
        self.rng.random_range(0..below)
    }
}

/// Where virtual time begins.
#[expect(
    clippy::disallowed_methods,
    reason = "an Instant can only be had from the clock; all others are computed"
)]
pub(crate) fn start() -> Instant {
    Instant::now()
}
