//! A stock peer, modelled: the signalling rules of `clasp-client` 4.5.0 (protocol reference §9.3), its faults included, around our
//! own connections.
//!
//! What matters of it here: one entry per remote session, which every call and every offer overwrites (D23); the overwritten
//! connection is never closed (D26); answers and candidates need the entry's correlation id; 30 s after a call the entry that is there is
//! given up unless it is open, whichever call put it there (D33).

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clasp_node::peer::{Certificate, OutSignal, Peer, PeerOutput, Setup};
use clasp_node::{Channel, Event, Input, Node, Output, RouterId, Wake};
use clasp_wire::Message;
use clasp_wire::message::{Body, Features, Hello, Subscribe, TypeMask};
use clasp_wire::p2p::{self, FeatureList, P2pSignal, PeerAnnounce, SignalBody};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{NodeId, World};

/// How long a call may take.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);

/// What runs in a host of the world.
pub(super) enum Core {
    /// Ours.
    Node(Box<Node>),
    /// A stock client.
    Stock(Box<Stock>),
}

impl Core {
    pub(super) fn node(&mut self) -> &mut Node {
        match self {
            Self::Node(node) => node,
            Self::Stock(_) => panic!("this host runs a stock peer"),
        }
    }

    pub(super) fn stock(&mut self) -> &mut Stock {
        match self {
            Self::Stock(stock) => stock,
            Self::Node(_) => panic!("this host runs one of our nodes"),
        }
    }

    pub(super) fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        match self {
            Self::Node(node) => node.handle_input(now, input),
            Self::Stock(stock) => stock.handle_input(now, input),
        }
    }

    pub(super) fn poll_output(&mut self) -> Output {
        match self {
            Self::Node(node) => node.poll_output(),
            Self::Stock(stock) => {
                stock.out.pop_front().unwrap_or_else(|| Output::Idle { wake: stock.wake() })
            }
        }
    }
}

impl World {
    /// Adds a stock peer.
    pub fn stock_peer(&mut self) -> NodeId {
        let seed = self.seed32();
        self.host(|address| Core::Stock(Box::new(Stock::new(seed, address))))
    }

    /// Gives a stock peer an order.
    pub fn with_stock<T>(&mut self, peer: NodeId, act: impl FnOnce(&mut Stock, Instant) -> T) -> T {
        let now = self.now;
        let result = act(self.at(peer.0).core.stock(), now);
        self.settle();
        result
    }

    /// A stock peer's state.
    #[must_use]
    pub fn stock(&self, peer: NodeId) -> &Stock {
        match self.nodes.get(peer.0).map(|host| &host.core) {
            Some(Core::Stock(stock)) => stock,
            _ => panic!("this host runs no stock peer"),
        }
    }
}

/// One connection, known by its correlation id.
struct Connection {
    remote: String,
    correlation_id: String,
    peer: Peer,
    address: SocketAddr,
    open: bool,
    wake: Option<Wake>,
}

/// A stock peer.
pub struct Stock {
    rng: StdRng,
    certificate: Certificate,
    address: SocketAddr,
    session: Option<String>,
    /// Which connection is the entry of a remote session.
    entries: BTreeMap<String, String>,
    /// All there ever were.
    connections: Vec<Connection>,
    timers: Vec<(Instant, String)>,
    received: Vec<Bytes>,
    given_up: usize,
    out: VecDeque<Output>,
}

impl std::fmt::Debug for Stock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stock").field("entries", &self.entries).finish_non_exhaustive()
    }
}

impl Stock {
    pub(super) fn new(seed: [u8; 32], address: SocketAddr) -> Self {
        let mut rng = StdRng::from_seed(seed);
        let certificate = Certificate::generate(&mut rng).expect("a certificate");
        Self {
            rng,
            certificate,
            address,
            session: None,
            entries: BTreeMap::new(),
            connections: Vec::new(),
            timers: Vec::new(),
            received: Vec::new(),
            given_up: 0,
            out: VecDeque::new(),
        }
    }

    /// Calls a session, whatever there is already.
    pub fn call(&mut self, now: Instant, remote: &str) {
        let correlation_id = format!("stock-{:08x}", self.rng.random::<u32>());
        self.timers.push((now + CONNECTION_TIMEOUT, remote.to_owned()));
        self.connection(now, remote, correlation_id, |setup, rng| Peer::offer(now, setup, rng, None));
    }

    /// Whether the entry of a remote session is open.
    #[must_use]
    pub fn is_open(&self, remote: &str) -> bool {
        let entry = self.entries.get(remote);
        self.connections.iter().any(|c| Some(&c.correlation_id) == entry && c.open)
    }

    /// How many calls were given up.
    #[must_use]
    pub fn given_up(&self) -> usize {
        self.given_up
    }

    /// Sends a message on the entry of a remote session.
    pub fn send(&mut self, now: Instant, remote: &str, message: Bytes) {
        let entry = self.entries.get(remote).expect("an entry").clone();
        let connection =
            self.connections.iter_mut().find(|c| c.correlation_id == entry).expect("its connection");
        connection.peer.send(Channel::Reliable, message).expect("an open channel");
        self.drain(now);
    }

    /// The messages that came, on whichever connection: all of them are still heard.
    #[must_use]
    pub fn received(&self) -> &[Bytes] {
        &self.received
    }

    fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Addresses(_) => self.out.push_back(Output::Dial(RouterId::FIRST)), // once: it is never moved
            Input::RouterOpened(_) => {
                let features = Features::PARAM.with(Features::EVENT).with(Features::STREAM);
                self.send_frame(&Message::Hello(Hello { version: 1, features, name: "stock", token: "" }));
            }
            Input::RouterFrame(_, frame) => self.on_frame(now, frame),
            Input::Datagram { source, destination, bytes } => {
                let taker = self.connections.iter_mut().find(|c| c.address == destination);
                if let Some(connection) = taker {
                    connection.peer.handle_datagram(now, source, destination, bytes);
                }
            }
            Input::Timeout => {
                for connection in &mut self.connections {
                    connection.peer.handle_timeout(now);
                }
                self.give_up(now);
            }
            _ => {}
        }
        self.drain(now);
    }

    fn give_up(&mut self, now: Instant) {
        let due: Vec<_> = self.timers.extract_if(.., |(at, _)| *at <= now).collect();
        for (_, remote) in due {
            if !self.is_open(&remote) && self.entries.remove(&remote).is_some() {
                self.given_up += 1;
            }
        }
    }

    fn on_frame(&mut self, now: Instant, frame: &[u8]) {
        let mut scratch = Vec::new();
        let (_, message) = Message::decode(frame, &mut scratch).expect("our router's frames decode");
        match message {
            Message::Welcome(welcome) => self.on_welcome(welcome.session),
            Message::Ping => self.send_frame(&Message::Pong),
            Message::Publish(publish) if p2p::target_session(publish.address) == self.session.as_deref() => {
                let Body::Value(value) = publish.body else { return };
                if let Ok(signal) = P2pSignal::from_value(value) {
                    self.on_signal(now, &signal);
                }
            }
            _ => {}
        }
    }

    fn on_welcome(&mut self, session: &str) {
        let mut signals = String::new();
        p2p::signal_address(session, &mut signals);
        for (id, pattern) in [(1, signals.as_str()), (2, p2p::ANNOUNCE_ADDRESS)] {
            self.send_frame(&Message::Subscribe(Subscribe {
                id,
                pattern,
                types: TypeMask(0xFF),
                max_rate: None,
                epsilon: None,
                history: None,
                window: None,
            }));
        }
        let features = FeatureList::new(&["webrtc", "reliable", "unreliable"]);
        let announce = PeerAnnounce { session_id: session, p2p_capable: true, features, name: None };
        let mut frame = Vec::new();
        announce.encode_publish(&mut frame).expect("a frame");
        self.out.push_back(Output::RouterSend(RouterId::FIRST, frame.into()));
        self.session = Some(session.to_owned());
        let (router, session) = (RouterId::FIRST, session.to_owned());
        self.out.push_back(Output::Event(Event::RouterReady { router, session, name: String::new() }));
    }

    fn on_signal(&mut self, now: Instant, signal: &P2pSignal<'_>) {
        if let SignalBody::Offer { sdp } = signal.body {
            let (remote, correlation_id) = (signal.from, signal.correlation_id.to_owned());
            return self.connection(now, remote, correlation_id, |setup, rng| {
                Peer::answer(now, setup, rng, sdp).expect("an answer")
            });
        }
        // Other signals are for the entry, and only with its correlation id.
        if self.entries.get(signal.from).is_none_or(|entry| entry != signal.correlation_id) {
            return;
        }
        let entry = self.connections.iter_mut().find(|c| c.correlation_id == signal.correlation_id);
        let Some(Connection { peer, .. }) = entry else { return };
        match signal.body {
            SignalBody::Answer { sdp } => peer.handle_answer(now, sdp),
            SignalBody::IceCandidate { candidate } => peer.handle_candidate(candidate),
            _ => {}
        }
        self.drain(now);
    }

    /// Puts another connection in the remote session's entry.
    fn connection(
        &mut self,
        now: Instant,
        remote: &str,
        correlation_id: String,
        make: impl FnOnce(&Setup<'_>, &mut StdRng) -> Peer,
    ) {
        // Each connection has sockets of its own.
        let port = self.address.port() + u16::try_from(self.connections.len()).expect("few connections");
        let address = SocketAddr::new(self.address.ip(), port);
        let setup = Setup {
            certificate: &self.certificate,
            addresses: &[address],
            gathered: &[],
            turn_only: false,
            edge: false,
            connect_timeout: Duration::from_secs(3600), // the rule above is what counts
            send_buffer_bytes: 128 * 1024,
        };
        let peer = make(&setup, &mut self.rng);
        self.entries.insert(remote.to_owned(), correlation_id.clone());
        let remote = remote.to_owned();
        self.connections.push(Connection { remote, correlation_id, peer, address, open: false, wake: None });
        self.drain(now);
    }

    fn drain(&mut self, now: Instant) {
        let Self { connections, out, session, received, .. } = self;
        for connection in connections {
            loop {
                match connection.peer.poll_output(now) {
                    PeerOutput::Transmit(datagram) => out.push_back(Output::Transmit {
                        source: datagram.source,
                        destination: datagram.destination,
                        bytes: datagram.contents.to_vec(),
                    }),
                    PeerOutput::Signal(signal) => {
                        if let Some(frame) =
                            encode(session.as_deref().unwrap_or_default(), connection, &signal)
                        {
                            out.push_back(Output::RouterSend(RouterId::FIRST, frame));
                        }
                    }
                    PeerOutput::Connected(_) => connection.open = true,
                    PeerOutput::Data(_, message) => received.push(message),
                    PeerOutput::Idle(wake) => {
                        connection.wake = wake;
                        break;
                    }
                    PeerOutput::Gone => {
                        connection.wake = None;
                        break;
                    }
                    _ => {}
                }
            }
        }
    }

    fn wake(&self) -> Option<Wake> {
        let timers = self.timers.iter().map(|(at, _)| Wake::new(*at, "call"));
        let peers = self.connections.iter().filter_map(|c| c.wake);
        timers.chain(peers).min_by_key(|wake| wake.at)
    }

    fn send_frame(&mut self, message: &Message<'_>) {
        let mut frame = Vec::new();
        message.encode_into(&mut frame).expect("a frame");
        self.out.push_back(Output::RouterSend(RouterId::FIRST, frame.into()));
    }
}

/// A signal as the stock client writes it: offers and answers have no candidates in them, nothing says that a call failed.
fn encode(from: &str, to: &Connection, signal: &OutSignal) -> Option<Bytes> {
    let plain = |sdp: &str| -> String {
        sdp.split_inclusive('\n').filter(|line| !line.starts_with("a=candidate")).collect()
    };
    let sdp = match signal {
        OutSignal::Offer(sdp) | OutSignal::Answer(sdp) => plain(sdp),
        _ => String::new(),
    };
    let body = match signal {
        OutSignal::Offer(_) => SignalBody::Offer { sdp: &sdp },
        OutSignal::Answer(_) => SignalBody::Answer { sdp: &sdp },
        OutSignal::Candidate(text) => SignalBody::IceCandidate { candidate: text },
        OutSignal::Connected => SignalBody::Connected,
        OutSignal::Disconnected(_) => return None,
    };
    let signal = P2pSignal { from, correlation_id: &to.correlation_id, body, edge: false };
    let mut frame = Vec::new();
    signal.encode_publish(&to.remote, &mut frame).expect("a frame");
    Some(frame.into())
}
