//! A device that floods what is shared with it, beside one that says little: neither the one's messages nor those for it keep the other's
//! waiting. Three paired devices, each with a router and a client of it, and real links between them in virtual time.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clasp_node::shares::{Local, Share, Shares};
use clasp_node::{Channel, DeviceId, Event, LinkId, NodeConfig, SendError, Trust};
use clasp_wire::message::{Body, Features, Hello, Phase, Publish, Set, SignalType, Subscribe, TypeMask};
use clasp_wire::{Message, Pattern, Value};
use e2e::{Network, NodeId, World, seeds};
use router_lite::{
    Adoption, Config, ConnectionId, Input, Interest, Now, Origin, Output, Precedence, Router, StoredParam,
};

use crate::establishing::connected;

const BRIDGE: ConnectionId = ConnectionId::new(0);
const CLIENT: ConnectionId = ConnectionId::new(1);
const SOON: Duration = Duration::from_secs(10);
const TURN: Duration = Duration::from_millis(1);
const TURNS: i64 = 150;
/// Then the last ones arrive, those too that SCTP's timer has to repeat.
const REST: i64 = 3000;
/// One turn in so many has a value each way.
const VALUE_EVERY: i64 = 10;
/// Streams a turn, 1000 messages a second each: more than a link or a client takes.
const FLOOD: i64 = 80;
/// Frames that the client in the middle reads in a turn.
const READS: usize = 64;

/// The router of a device, as the bridge has it.
struct Here {
    router: Router,
    now: Now,
}

impl Here {
    fn new(seed: u8, now: Instant) -> Self {
        let now = Now { instant: now, unix_us: 0 };
        let config = Config::default().with_rate(0).unwrap();
        let mut here = Self { router: Router::new([seed; 32], now, config), now };
        for (connection, origin) in [(BRIDGE, Origin::Bridge), (CLIENT, Origin::Loopback)] {
            here.input(Input::Opened { connection, origin });
            let hello = Hello { version: 1, features: Features::SERVED, name: "", token: "" };
            here.say(connection, &Message::Hello(hello));
        }
        here
    }

    fn input(&mut self, input: Input) {
        self.router.handle_input(self.now, input);
        while !matches!(self.router.poll_output(), Output::Idle { .. }) {}
    }

    fn say(&mut self, connection: ConnectionId, message: &Message<'_>) {
        let mut frame = Vec::new();
        message.encode_into(&mut frame).unwrap();
        self.input(Input::Frame { connection, frame: frame.into() });
    }

    fn heard(&mut self, connection: ConnectionId, count: usize) -> Vec<Bytes> {
        std::iter::from_fn(|| self.router.poll_transmit(connection, usize::MAX)).take(count).collect()
    }
}

impl Local for Here {
    fn send(&mut self, frame: Bytes) {
        self.input(Input::Frame { connection: BRIDGE, frame });
    }

    fn adopt(&mut self, set: &Set<'_>, precedence: Precedence) -> Adoption {
        let adoption = self.router.adopt(self.now, BRIDGE, set, precedence);
        while !matches!(self.router.poll_output(), Output::Idle { .. }) {}
        adoption
    }

    fn params(&mut self, pattern: &Pattern, after: Option<&str>, max: usize) -> Vec<StoredParam> {
        self.router.stored(self.now, BRIDGE, pattern, after, max)
    }

    fn interests(&mut self) -> Vec<Interest> {
        self.router.interests(BRIDGE)
    }
}

/// A device: its node is one of the world's.
struct Device {
    node: NodeId,
    id: DeviceId,
    here: Here,
    shares: Shares,
    links: Vec<LinkId>,
    /// How many of the node's events were looked at.
    seen: usize,
    /// When its client heard a value, by address and number.
    heard: BTreeMap<(String, i64), Instant>,
    streams_heard: usize,
}

impl Device {
    fn subscribe(&mut self, pattern: &str) {
        let (types, max_rate, epsilon, history, window) = (TypeMask::ANY, None, None, None, None);
        let subscribe = Subscribe { id: 1, pattern, types, max_rate, epsilon, history, window };
        self.here.say(CLIENT, &Message::Subscribe(subscribe));
        self.shares.handle_interests(&mut self.here);
    }

    fn set(&mut self, address: &str, value: i64) {
        let (value, revision, ttl) = (Value::Int(value), None, None);
        self.here
            .say(CLIENT, &Message::Set(Set { address, value, revision, lock: false, unlock: false, ttl }));
    }

    fn publish(&mut self, signal: SignalType, address: &str, value: i64) {
        let (phase, timestamp_us, id, rate) = (Phase::Start, None, None, None);
        let body = Body::Value(Value::Int(value));
        self.here
            .say(CLIENT, &Message::Publish(Publish { address, signal, phase, body, timestamp_us, id, rate }));
    }

    /// A turn of this device, as its driver does it: what came, what the router has, what the links take.
    fn turn(&mut self, world: &mut World, reads: usize) {
        let Self { here, shares, .. } = self;
        here.now.instant = world.with_node(self.node, |_, now| now);
        let now = here.now.instant;
        let told = world.told(self.node);
        for (_, event) in told.get(self.seen..).unwrap_or_default() {
            match event {
                Event::Data { link, bytes, .. } => {
                    shares.handle_message(now, *link, bytes, here);
                }
                Event::Disconnected { .. } | Event::Failed { .. } => panic!("{event:?}"),
                _ => {}
            }
        }
        self.seen = told.len();
        for frame in here.heard(BRIDGE, usize::MAX) {
            shares.handle_local(now, &frame);
        }
        for frame in here.heard(CLIENT, reads) {
            let (address, value) = match Message::decode_compact(&frame).unwrap().1 {
                Message::Set(Set { address, value: Value::Int(value), .. }) => (address, value),
                Message::Publish(Publish { signal: SignalType::Stream, .. }) => {
                    self.streams_heard += 1;
                    continue;
                }
                Message::Publish(Publish { address, body: Body::Value(Value::Int(value)), .. }) => {
                    (address, value)
                }
                _ => continue,
            };
            let twice = self.heard.insert((address.to_owned(), value), now);
            assert_eq!(twice, None, "{address} {value} came twice");
        }
        for link in self.links.clone() {
            while let Some(frame) = shares.poll(link, here) {
                let taken = world
                    .with_node(self.node, |node, now| node.send(now, link, Channel::Reliable, frame.clone()));
                match taken {
                    Ok(()) => {}
                    Err(SendError::Full(frame)) => {
                        shares.put_back(link, frame);
                        break;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            while let Some(frame) = shares.poll_stream(link) {
                world.with_node(self.node, |node, now| node.send(now, link, Channel::Stream, frame)).unwrap();
            }
        }
    }
}

/// One in the middle that is linked to the two others: what is shared with each of them is not shared with the other one.
fn three(world: &mut World) -> [Device; 3] {
    let mut devices = ["middle", "flooder", "quiet"].map(|name| world.device(name));
    let ids = [0, 1, 2].map(|at| devices[at].identity.id());
    let [middle, flooder, quiet] = &mut devices;
    world.pair(middle, flooder);
    world.pair(middle, quiet);
    let config = NodeConfig { trust: Trust::Paired, ..NodeConfig::default() };
    let nodes = devices.map(|device| world.node_of(device, config.clone()));
    let known = |w: &World, at: usize| w.count(nodes[at], |event| matches!(event, Event::PeerSeen(_))) == 2;
    assert!(world.run_until(SOON, |w| (0..3).all(|at| known(w, at))), "{world:?}");
    for other in [1, 2] {
        world.connect(nodes[0], nodes[other]);
        let both = |w: &World| connected(w, nodes[0]) == other && connected(w, nodes[other]) == 1;
        assert!(world.run_until(SOON, both), "{world:?}");
    }
    let shares: [&[&str]; 3] =
        [&["/flood/**;with=flooder", "/quiet/**;with=quiet"], &["/flood/**"], &["/quiet/**"]];
    let now = world.with_node(nodes[0], |_, now| now);
    let mut devices = [0, 1, 2].map(|at| {
        let parsed: Vec<Share> = shares[at].iter().map(|share| share.parse().unwrap()).collect();
        let here = Here::new(u8::try_from(at).unwrap(), now);
        let (links, heard) = (Vec::new(), BTreeMap::new());
        let shares = Shares::new(parsed);
        Device { node: nodes[at], id: ids[at], here, shares, links, seen: 0, heard, streams_heard: 0 }
    });
    let name = |id| if id == ids[1] { "flooder" } else { "quiet" };
    for (at, device) in devices.iter_mut().enumerate() {
        let Device { shares, here, links, node, .. } = device;
        shares.handle_new_session(here);
        let opened = world.told(*node).iter().filter_map(|(_, event)| match event {
            Event::Connected { link, .. } => Some(*link),
            _ => None,
        });
        links.extend(opened);
        for (nth, link) in links.iter().enumerate() {
            // The middle one has called the flooder first.
            let other = if at == 0 { ids[nth + 1] } else { ids[0] };
            shares.linked(*link, other, if at == 0 { name(other) } else { "middle" }, here);
        }
    }
    devices
}

/// How long each value was on its way from the quiet device and to it, in the order of these times, and how many streams came through
/// meanwhile.
fn delays(seed: u64, network: Network, floods: bool) -> ([Vec<Duration>; 2], usize) {
    let mut world = World::seeded(seed).network(network);
    let mut devices = three(&mut world);
    devices[0].subscribe("/**");
    devices[1].subscribe("/flood/**");
    devices[2].subscribe("/quiet/**");
    let asked = |device: &Device| device.shares.status().iter().map(|link| link.asked.len()).sum::<usize>();
    let mut turns = 0;
    while [0, 1, 2].map(|at| asked(&devices[at])) != [2, 1, 1] {
        turns += 1;
        assert!(turns < 1000, "seed {seed}: the subscriptions have not travelled");
        devices.iter_mut().for_each(|device| device.turn(&mut world, usize::MAX));
        world.run_for(TURN);
    }
    let mut sent = BTreeMap::new();
    for turn in 0..TURNS + REST {
        let now = world.with_node(devices[0].node, |_, now| now);
        if turn < TURNS && floods {
            for n in 0..FLOOD {
                devices[1].publish(SignalType::Stream, "/flood/in", n);
                devices[0].publish(SignalType::Stream, "/flood/out", n);
            }
        }
        if turn < TURNS && turn % VALUE_EVERY == 0 {
            // Every other one is an event, which nothing may take the place of.
            for (from, set, event) in [(2, "/quiet/a", "/quiet/b"), (0, "/quiet/c", "/quiet/d")] {
                let address = if turn % (2 * VALUE_EVERY) == 0 {
                    devices[from].set(set, turn);
                    set
                } else {
                    devices[from].publish(SignalType::Event, event, turn);
                    event
                };
                sent.insert((address.to_owned(), turn), (2 - from, now));
            }
        }
        devices.iter_mut().zip([READS, usize::MAX, usize::MAX]).for_each(|(device, reads)| {
            device.turn(&mut world, reads);
        });
        world.run_for(TURN);
        let all = || sent.iter().all(|(value, (to, _))| devices[*to].heard.contains_key(value));
        if turn >= TURNS && all() {
            break;
        }
    }
    let mut delays = [Vec::new(), Vec::new()];
    for (value, (to, at)) in &sent {
        let came = devices[*to].heard.get(value);
        let came =
            came.unwrap_or_else(|| panic!("seed {seed}: {value:?} did not come to {}", devices[*to].id));
        delays[*to / 2].push(*came - *at);
    }
    delays.iter_mut().for_each(|delays| delays.sort());
    (delays, devices[0].streams_heard)
}

#[test]
fn a_device_that_floods_does_not_keep_another_ones_values_waiting() {
    let calm =
        Network { latency: Duration::from_millis(2), jitter: Duration::from_millis(1), ..Network::default() };
    // Where packets get lost a value may wait for its repetition, whoever else is there: the slowest tenth is left out.
    let lossy = Network { loss: 0.01, ..calm };
    for seed in seeds(3) {
        for (network, tenths, more) in [(calm, 10, 5), (lossy, 9, 30)] {
            let (alone, none) = delays(seed, network, false);
            let (beside, streams) = delays(seed, network, true);
            assert_eq!(none, 0);
            assert!(
                streams > 30 * usize::try_from(TURNS).unwrap(),
                "seed {seed}: {streams} streams are no flood"
            );
            for (alone, beside) in alone.iter().zip(&beside) {
                let slowest = |delays: &[Duration]| delays[delays.len() * tenths / 10 - 1];
                let (alone, beside) = (slowest(alone), slowest(beside));
                let most = alone + Duration::from_millis(more);
                assert!(beside <= most, "seed {seed}: {alone:?} alone, {beside:?} beside {streams} streams");
            }
        }
    }
}
