//! The node: sessions with routers, and links to peers that come out of them.
//!
//! Owns: who is known, which links exist, which signal belongs to which link. Does not own: sockets, WebSockets, the
//! clock, randomness (a seed is passed in).
//!
//! # Contract
//! Call [`Node::handle_input`] (or one of the commands [`Node::connect`], [`Node::send`], [`Node::ping`],
//! [`Node::disconnect`]), then [`Node::poll_output`] until [`Output::Idle`]; only then wait, at the latest until its `wake`.
//! Up to [`crate::peer::MAX_DATAGRAMS_PER_DRAIN`] datagrams may be fed before one drain.

mod assembly;
pub(crate) mod bucket;
mod commands;
mod counters;
mod datagrams;
mod detours;
mod drains;
mod early;
mod history;
mod leads;
mod names;
mod pairing;
mod rejoin;
mod reunion;
mod roster;
mod servers;
mod signals;
mod trust;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use rand::rngs::StdRng;
use router_lite::exposition::Histogram;

pub use assembly::NodeError;
pub use commands::{ConnectError, LinkInfo};
pub use counters::Counters;
pub(crate) use counters::ROUND_TRIP_SECONDS;
pub use leads::VisitError;
pub use pairing::PairCallError;
pub(crate) use trust::Bond;
pub use trust::Sealed;

use crate::auth::Nonce;
use crate::burst::Burst;
use crate::config::NodeConfig;
use crate::event::{Event, LinkId, LinkState, PeerInfo, RouterId};
use crate::ice_servers::{Gathered, IceServers, ServerId};
use crate::identity::{DeviceId, Identity};
use crate::link::Link;
use crate::mdns::Resolver;
use crate::pairs::Pairs;
use crate::peer::Setup;
use crate::session::{self, Session};
use crate::wake::Wake;
use bucket::Bucket;
use early::EarlyCandidates;
use history::History;
use leads::Lead;
use roster::Roster;

/// What happened outside.
#[derive(Debug)]
#[non_exhaustive]
pub enum Input<'a> {
    /// Time has passed.
    Timeout,
    /// A datagram arrived.
    Datagram {
        /// Who sent it.
        source: SocketAddr,
        /// Which of our addresses it was sent to.
        destination: SocketAddr,
        /// What it says.
        bytes: &'a [u8],
    },
    /// These are the addresses of our sockets now, or they are the same and the network around them changed. Links begun from
    /// here on use them; open ones move to them; routers that could not be reached are dialled at once.
    Addresses(&'a [SocketAddr]),
    /// The WebSocket to this router is open.
    RouterOpened(RouterId),
    /// It is closed, or could not be opened, for this reason.
    RouterClosed(RouterId, &'a str),
    /// A frame came from this router.
    RouterFrame(RouterId, &'a [u8]),
    /// A sign of life other than a frame came from this router.
    RouterHeard(RouterId),
    /// This server has these addresses, or its name was not resolved for this reason.
    Resolved(ServerId, Result<&'a [SocketAddr], &'a str>),
    /// A message came from here after an [`Output::MdnsQuery`], to one of the sockets it was sent from or to the group.
    MdnsAnswer(SocketAddr, &'a [u8]),
    /// The router of this device is at these addresses, or nobody says any more that it is anywhere. Not proven, and not believed.
    Found(DeviceId, &'a [SocketAddr]),
}

/// What the node wants done, or has to tell.
#[derive(Debug)]
#[must_use = "an output not acted on is lost"]
#[non_exhaustive]
pub enum Output {
    /// Send this datagram.
    Transmit {
        /// From the socket with this address.
        source: SocketAddr,
        /// To here.
        destination: SocketAddr,
        /// The datagram.
        bytes: Vec<u8>,
    },
    /// Open a WebSocket to this router of the configuration.
    Dial(RouterId),
    /// Open a WebSocket to the router at this address, which was found. Its number may have been another one's before.
    DialAddress(RouterId, SocketAddr),
    /// Send this frame to this router.
    RouterSend(RouterId, Bytes),
    /// Send a WebSocket ping to this router.
    RouterPing(RouterId),
    /// Close the WebSocket to this router.
    RouterHangup(RouterId),
    /// Find the addresses of this STUN or TURN server of the configuration.
    Resolve(ServerId),
    /// Send this to the groups of multicast DNS ([`mdns`](crate::mdns)) on every interface in use, and listen for answers until
    /// [`Output::MdnsDone`]. Without it, candidates that name their address are skipped.
    MdnsQuery(Vec<u8>),
    /// Ask the network for devices: one that is looked for is nowhere.
    LookAround,
    /// No answer is awaited any more.
    MdnsDone,
    /// Tell the application.
    Event(Event),
    /// Nothing more to do.
    Idle {
        /// Call again at this time at the latest; `None`: only when something happens.
        wake: Option<Wake>,
    },
}

struct Router {
    session: Session,
    /// Where it was found; `None`: it is of the configuration.
    lead: Option<Lead>,
    wake: Option<Wake>,
    dirty: bool,
}

/// What is warned of once per burst.
#[derive(Default)]
struct Bursts {
    foreign: Burst,
    refused: Burst,
    unproven: Burst,
}

/// What every link needs to know of its node.
struct Local {
    config: NodeConfig,
    identity: Identity,
    addresses: Vec<SocketAddr>,
    gathered: Vec<Gathered>,
}

impl Local {
    fn setup(&self, edge: bool) -> Setup<'_> {
        Setup {
            certificate: self.identity.certificate(),
            edge,
            addresses: &self.addresses,
            gathered: &self.gathered,
            turn_only: self.config.turn_only,
            connect_timeout: self.config.connect_timeout,
            send_buffer_bytes: self.config.send_buffer_bytes,
        }
    }
}

/// The node.
pub struct Node {
    local: Local,
    pairs: Pairs,
    pairing: pairing::Pairing,
    heard: trust::Heard,
    /// Of what was signed or sealed last.
    nonce: Nonce,
    rng: StdRng,
    /// The time of the current input.
    now: Instant,
    /// What each session tells of us.
    presented: session::Identity,
    routers: Vec<Router>,
    reunion: reunion::Reunion,
    links: BTreeMap<LinkId, Link>,
    next_link: u64,
    roster: Roster,
    early: EarlyCandidates,
    servers: IceServers,
    names: Resolver,
    offers: Bucket,
    refusals: Bucket,
    /// Frames with messages that go through routers, over all links.
    relayed: Bucket,
    bursts: Bursts,
    /// What one input gave rise to; emptied by every drain.
    out: VecDeque<Output>,
    counters: Counters,
    round_trips: Histogram,
    history: History,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("routers", &self.routers.len())
            .field("links", &self.links.len())
            .finish_non_exhaustive()
    }
}

impl Node {
    /// Takes what happened.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        self.now = now;
        match input {
            Input::Timeout => self.handle_timeout(now),
            Input::Datagram { source, destination, bytes } => {
                self.handle_datagram(now, source, destination, bytes);
            }
            Input::Addresses(addresses) => {
                self.local.addresses = addresses.to_vec();
                self.servers.handle_addresses(now, addresses);
                for router in &mut self.routers {
                    router.session.handle_network_changed(now);
                    router.dirty = true;
                }
                for link in self.links.values_mut() {
                    link.handle_addresses(now, addresses);
                }
                self.look_again();
            }
            Input::RouterOpened(router) => self.with_session(router, |session| session.handle_opened(now)),
            Input::RouterClosed(router, why) => {
                self.with_session(router, |session| session.handle_closed(now, why));
            }
            Input::RouterFrame(router, frame) => {
                self.with_session(router, |session| session.handle_frame(now, frame));
            }
            Input::RouterHeard(router) => self.with_session(router, |session| session.handle_heard(now)),
            Input::Resolved(server, found) => self.servers.handle_resolved(now, server, found),
            Input::MdnsAnswer(source, message) => self.names.handle_answer(source, message),
            Input::Found(device, addresses) => self.on_found(device, addresses),
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Output {
        loop {
            if let Some(output) = self.out.pop_front() {
                return output;
            }
            if let Some(index) = self.routers.iter().position(|router| router.dirty) {
                self.drain_session(index);
                continue;
            }
            if !self.servers.is_idle() {
                self.drain_servers();
                continue;
            }
            if let Some(output) = self.drain_names() {
                return output;
            }
            let dirty = self.links.iter().find(|(_, link)| link.is_dirty()).map(|(id, _)| *id);
            let Some(id) = dirty else { return Output::Idle { wake: self.wake() } };
            if let Some(output) = self.drain_link(id) {
                return output;
            }
        }
    }

    /// Peers that announced themselves and have not been found gone.
    pub fn peers(&self) -> impl Iterator<Item = &PeerInfo> {
        self.roster.iter()
    }

    /// Our session ids on the routers that know us now.
    pub fn sessions(&self) -> impl Iterator<Item = (RouterId, &str)> {
        let numbered = self.routers.iter().zip(0..);
        numbered.filter_map(|(router, place)| Some((RouterId(place), router.session.id()?)))
    }

    /// The name announced to peers.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.local.config.name
    }

    /// Who this node is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.local.identity
    }

    /// The devices it is paired with.
    #[must_use]
    pub fn pairs(&self) -> &Pairs {
        &self.pairs
    }

    /// The SHA-256 fingerprint of this node's DTLS certificate.
    #[must_use]
    pub fn fingerprint(&self) -> &[u8; 32] {
        self.local.identity.fingerprint()
    }

    /// Our session id on this router, while it knows us.
    fn own_session(&self, router: RouterId) -> Option<&str> {
        self.routers.get(usize::from(router.0))?.session.id()
    }

    fn wake(&self) -> Option<Wake> {
        let routers = self.routers.iter().map(|router| router.wake);
        let links = self.links.values().map(Link::wake);
        let pairs = [self.pairing.wake(), self.reunion.wake(), self.visits_wake()];
        let others = [self.servers.wake, self.names.wake()].into_iter().chain(pairs);
        routers.chain(links).chain(others).fold(None, Wake::earliest)
    }

    fn handle_timeout(&mut self, now: Instant) {
        for router in self.routers.iter_mut().filter(|r| r.wake.is_none_or(|wake| wake.at <= now)) {
            router.session.handle_timeout(now);
            router.dirty = true;
        }
        for link in self.links.values_mut().filter(|l| l.wake().is_some_and(|wake| wake.at <= now)) {
            link.handle_timeout(now);
        }
        self.servers.handle_timeout(now);
        self.handle_pairing_timeout(now);
        self.reunite(now);
        self.ask_on(now);
    }

    fn with_session(&mut self, router: RouterId, act: impl FnOnce(&mut Session)) {
        if let Some(router) = self.routers.get_mut(usize::from(router.0)) {
            act(&mut router.session);
            router.dirty = true;
        }
    }

    fn event(&mut self, event: Event) {
        self.out.push_back(Output::Event(event));
    }

    fn links_in_progress(&self) -> usize {
        self.links.values().filter(|link| link.state() < LinkState::Open).count()
    }
}
