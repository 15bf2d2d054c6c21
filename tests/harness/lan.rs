//! Devices on one network, each with a router inside, in virtual time: the real cores, and a driver that carries what they say.

mod settle;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clasp_node::{
    DeviceId, Event, Identity, Input, LinkState, Node, NodeConfig, Pair, PairKey, Pairs, RouterId, Trust,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use router_lite::{ConnectionId, Now, Origin, Router, Token, TokenTable};

use crate::world::start;

/// For the central router, and nobody else to see.
const TOKEN: &str = "cpsk_0123456789abcdef0123456789abcdef";

const LATENCY: Duration = Duration::from_millis(2);

/// A connection that is not answered is given up after this.
const CONNECT: Duration = Duration::from_secs(5);

/// A router of the network: that of a device, or the central one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Central,
    Of(usize),
}

struct Wire {
    router: RouterId,
    place: Place,
    connection: ConnectionId,
}

/// A device: who it is outlives its node.
struct Host {
    name: String,
    identity: Identity,
    pairs: Pairs,
    address: SocketAddr,
    node: Option<Node>,
    router: Option<Router>,
    wake: Option<Instant>,
    wires: Vec<Wire>,
    /// Takes no connections from other hosts.
    closed: bool,
    told: Vec<(Duration, Event)>,
    dials: usize,
}

enum Arrival {
    Datagram { to: usize, source: SocketAddr, destination: SocketAddr, bytes: Vec<u8> },
    Opened { host: usize, router: RouterId, place: Place, connection: ConnectionId },
    Refused { host: usize, router: RouterId },
    ToRouter { place: Place, connection: ConnectionId, frame: Bytes },
    ToNode { host: usize, connection: ConnectionId, frame: Bytes },
    Heard { host: usize, connection: ConnectionId },
    Closed { host: usize, connection: ConnectionId },
    ClosedAtRouter { place: Place, connection: ConnectionId },
}

/// See the module.
pub struct Lan {
    rng: StdRng,
    begun: Instant,
    now: Instant,
    hosts: Vec<Host>,
    central: Option<Router>,
    next: u64,
    arrivals: BTreeMap<(Instant, u64), Arrival>,
    /// Whether devices find each other.
    pub discovery: bool,
}

impl std::fmt::Debug for Lan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lan").field("at", &(self.now - self.begun)).finish_non_exhaustive()
    }
}

impl Lan {
    /// A network with these devices, all of them off, and paired with nobody.
    #[must_use]
    pub fn new(seed: u64, names: &[&str]) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let begun = start();
        let mut hosts = Vec::new();
        for (name, last) in names.iter().zip(1..) {
            hosts.push(Host {
                name: (*name).to_owned(),
                identity: Identity::generate(&mut rng).expect("an identity"),
                pairs: Pairs::new(),
                address: SocketAddr::from(([10, 0, 0, last], 5000)),
                node: None,
                router: None,
                wake: None,
                wires: Vec::new(),
                closed: false,
                told: Vec::new(),
                dials: 0,
            });
        }
        Self {
            rng,
            begun,
            now: begun,
            hosts,
            central: None,
            next: 0,
            arrivals: BTreeMap::new(),
            discovery: true,
        }
    }

    /// Lets two devices know each other. They are off.
    pub fn pair(&mut self, a: usize, b: usize) {
        let mut key = [0; 32];
        self.rng.fill_bytes(&mut key);
        for (own, other) in [(a, b), (b, a)] {
            let (identity, name) = (&self.at(other).identity, self.at(other).name.clone());
            let pair = Pair::new(
                identity.public_key(),
                *identity.certificate().fingerprint(),
                PairKey::new(key),
                name,
            );
            self.own(own).pairs.insert(pair).expect("room for a pair");
        }
    }

    /// Remembers where a device was met.
    pub fn remember(&mut self, own: usize, other: usize) {
        let (id, address) = (self.id(other), SocketAddr::new(self.at(other).address.ip(), 7330));
        self.own(own).pairs.note_address(id, &format!("ws://{address}/"));
    }

    /// A router that devices may be told of when they are switched on.
    pub fn start_central(&mut self) {
        let seed = self.seed();
        let mut router = Router::new(seed, self.router_now(), router_lite::Config::default());
        let token: Token = TOKEN.parse().expect("a token");
        let mut tokens = TokenTable::default();
        tokens.insert("devices", token.hash(), &["read:/x".parse().expect("a scope")]).expect("room");
        router.handle_input(self.router_now(), router_lite::Input::Tokens(tokens));
        self.central = Some(router);
    }

    /// Switches a device on: a node that stays, with a router inside, and the central one besides if it is to use that.
    pub fn switch_on(&mut self, host: usize, central: bool) {
        let (node_seed, router_seed, now) = (self.seed(), self.seed(), self.now);
        let router = Router::new(router_seed, self.router_now(), router_lite::Config::default());
        let own = self.own(host);
        let config = NodeConfig {
            name: own.name.clone(),
            resident: true,
            token: TOKEN.to_owned(),
            trust: Trust::Paired,
            ..NodeConfig::default()
        };
        let routers = 1 + usize::from(central);
        let node =
            Node::with_identity(node_seed, now, config, routers, own.identity.clone(), own.pairs.clone());
        let mut node = node.expect("a valid configuration");
        node.withhold_token(RouterId::FIRST);
        (own.node, own.router, own.wake) = (Some(node), Some(router), Some(now));
        let addresses = [own.address];
        self.input(host, Input::Addresses(&addresses));
        self.spread_news();
        self.settle();
    }

    /// Switches it off, as by pulling its plug.
    pub fn switch_off(&mut self, host: usize) {
        let own = self.own(host);
        if let Some(node) = own.node.take() {
            own.pairs = node.pairs().clone();
        }
        own.router = None;
        let wires = std::mem::take(&mut own.wires);
        for wire in wires {
            let (place, connection) = (wire.place, wire.connection);
            self.arrive(LATENCY, Arrival::ClosedAtRouter { place, connection });
        }
        for other in 0..self.hosts.len() {
            let lost: Vec<_> = self
                .at(other)
                .wires
                .iter()
                .filter(|w| w.place == Place::Of(host))
                .map(|w| w.connection)
                .collect();
            for connection in lost {
                self.arrive(LATENCY, Arrival::Closed { host: other, connection });
            }
        }
        self.spread_news();
        self.settle();
    }

    /// It gets another address; connections from and to the old one break.
    pub fn move_host(&mut self, host: usize) {
        let SocketAddr::V4(old) = self.at(host).address else { unreachable!("IPv4") };
        let [_, network, _, last] = old.ip().octets();
        self.own(host).address = SocketAddr::from(([10, network + 1, 0, last], 5000));
        for other in 0..self.hosts.len() {
            let elsewhere = |wire: &Wire| match wire.place {
                Place::Of(place) => (place == host) != (other == host),
                Place::Central => other == host,
            };
            let broken: Vec<_> =
                self.at(other).wires.iter().filter(|w| elsewhere(w)).map(|w| w.connection).collect();
            for connection in broken {
                self.arrive(LATENCY, Arrival::Closed { host: other, connection });
            }
        }
        let addresses = [self.at(host).address];
        self.input(host, Input::Addresses(&addresses));
        self.spread_news();
        self.settle();
    }

    /// Nobody else reaches the router inside this device.
    pub fn close_router(&mut self, host: usize) {
        self.own(host).closed = true;
    }

    /// Somebody tells a device that the router of another one is at the address of a third.
    pub fn mislead(&mut self, host: usize, device: usize, at: usize) {
        let (id, address) = (self.id(device), SocketAddr::new(self.at(at).address.ip(), 7330));
        self.input(host, Input::Found(id, &[address]));
        self.settle();
    }

    /// Gives a node an order.
    pub fn with_node<T>(&mut self, host: usize, act: impl FnOnce(&mut Node, Instant) -> T) -> T {
        let now = self.now;
        let result = act(self.own(host).node.as_mut().expect("it is on"), now);
        self.settle();
        result
    }

    /// The device's id.
    #[must_use]
    pub fn id(&self, host: usize) -> DeviceId {
        self.at(host).identity.id()
    }

    /// The node's open links.
    #[must_use]
    pub fn links(&self, host: usize) -> Vec<clasp_node::LinkInfo> {
        let node = self.at(host).node.as_ref();
        node.map(|node| node.links().filter(|link| link.state == LinkState::Open).collect())
            .unwrap_or_default()
    }

    /// How many sessions the node has on routers of other devices.
    #[must_use]
    pub fn visits(&self, host: usize) -> usize {
        self.at(host)
            .wires
            .iter()
            .filter(|wire| matches!(wire.place, Place::Of(other) if other != host))
            .count()
    }

    /// How often it has dialled other devices' routers so far.
    #[must_use]
    pub fn dials(&self, host: usize) -> usize {
        self.at(host).dials
    }

    /// What the node told so far, and when after the start.
    #[must_use]
    pub fn told(&self, host: usize) -> &[(Duration, Event)] {
        &self.at(host).told
    }

    /// Lets virtual time run until `done`, at most for `limit`. Says whether it was reached.
    pub fn run_until(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + limit;
        while !done(self) {
            let nodes = self.hosts.iter().filter(|host| host.node.is_some()).filter_map(|host| host.wake);
            let arrival = self.arrivals.first_key_value().map(|((at, _), _)| *at);
            let Some(next) = nodes.chain(arrival).min().filter(|at| *at <= end) else {
                self.now = end;
                return done(self);
            };
            self.now = self.now.max(next);
            while let Some(entry) = self.arrivals.first_entry()
                && entry.key().0 <= self.now
            {
                let arrival = entry.remove();
                self.on_arrival(arrival);
                self.settle();
            }
            for host in 0..self.hosts.len() {
                if self.at(host).node.is_some() && self.at(host).wake.is_some_and(|at| at <= self.now) {
                    self.input(host, Input::Timeout);
                }
            }
            let tick = self.router_now();
            let routers =
                self.hosts.iter_mut().filter_map(|host| host.router.as_mut()).chain(&mut self.central);
            routers.for_each(|router| router.handle_input(tick, router_lite::Input::Tick));
            self.settle();
        }
        true
    }

    /// Lets virtual time run.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(time, |_| false);
    }

    fn at(&self, host: usize) -> &Host {
        self.hosts.get(host).expect("a device of this network")
    }

    fn own(&mut self, host: usize) -> &mut Host {
        self.hosts.get_mut(host).expect("a device of this network")
    }

    fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        seed
    }

    fn router_now(&self) -> Now {
        Now { instant: self.now, unix_us: 1_700_000_000_000_000 }
    }

    fn arrive(&mut self, after: Duration, arrival: Arrival) {
        self.next += 1;
        self.arrivals.insert((self.now + after, self.next), arrival);
    }

    fn input(&mut self, host: usize, input: Input<'_>) {
        let now = self.now;
        if let Some(node) = &mut self.own(host).node {
            node.handle_input(now, input);
        }
    }

    /// Discovery, as it would tell everybody.
    fn spread_news(&mut self) {
        for host in 0..self.hosts.len() {
            for other in 0..self.hosts.len() {
                let found = host != other && self.discovery && self.at(other).node.is_some();
                let address = SocketAddr::new(self.at(other).address.ip(), 7330);
                let addresses = if found { vec![address] } else { vec![] };
                let id = self.id(other);
                self.input(host, Input::Found(id, &addresses));
            }
        }
    }

    fn host_at(&self, ip: IpAddr) -> Option<usize> {
        self.hosts.iter().position(|host| host.address.ip() == ip && host.node.is_some())
    }

    fn router_mut(&mut self, place: Place) -> Option<&mut Router> {
        match place {
            Place::Central => self.central.as_mut(),
            Place::Of(host) => self.own(host).router.as_mut(),
        }
    }

    fn tell_router(&mut self, place: Place, input: router_lite::Input) {
        let now = self.router_now();
        if let Some(router) = self.router_mut(place) {
            router.handle_input(now, input);
        }
    }

    fn on_arrival(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Datagram { to, source, destination, bytes } => {
                if self.at(to).address.ip() == destination.ip() {
                    self.input(to, Input::Datagram { source, destination, bytes: &bytes });
                }
            }
            Arrival::Opened { host, router, place, connection } => {
                if self.router_mut(place).is_none() {
                    return self.input(host, Input::RouterClosed(router, "connection refused"));
                }
                let own = place == Place::Of(host);
                let origin = if own { Origin::InProcess } else { Origin::Remote };
                self.own(host).wires.push(Wire { router, place, connection });
                self.tell_router(place, router_lite::Input::Opened { connection, origin });
                self.input(host, Input::RouterOpened(router));
            }
            Arrival::Refused { host, router } => {
                self.input(host, Input::RouterClosed(router, "no route to host"));
            }
            Arrival::ToRouter { place, connection, frame } => {
                self.tell_router(place, router_lite::Input::Frame { connection, frame });
            }
            Arrival::ToNode { host, connection, frame } => {
                let wire = self.at(host).wires.iter().find(|wire| wire.connection == connection);
                if let Some(router) = wire.map(|wire| wire.router) {
                    self.input(host, Input::RouterFrame(router, &frame));
                }
            }
            Arrival::Heard { host, connection } => {
                let wire = self.at(host).wires.iter().find(|wire| wire.connection == connection);
                if let Some(router) = wire.map(|wire| wire.router) {
                    self.input(host, Input::RouterHeard(router));
                }
            }
            Arrival::Closed { host, connection } => {
                let wires = &mut self.own(host).wires;
                if let Some(at) = wires.iter().position(|wire| wire.connection == connection) {
                    let wire = wires.remove(at);
                    self.tell_router(wire.place, router_lite::Input::Closed { connection });
                    self.input(host, Input::RouterClosed(wire.router, "connection reset"));
                }
            }
            Arrival::ClosedAtRouter { place, connection } => {
                self.tell_router(place, router_lite::Input::Closed { connection });
            }
        }
    }
}
