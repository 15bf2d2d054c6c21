//! Links that come to be, and what travels on them.

use std::time::Duration;

use bytes::Bytes;
use clasp_node::{Channel, Event, LinkState, NodeConfig, Role, RoutingMode, Step};
use e2e::{Network, NodeId, World, seeds};

const SOON: Duration = Duration::from_secs(5);

pub(crate) fn connected(world: &World, node: NodeId) -> usize {
    world.count(node, |event| matches!(event, Event::Connected { .. }))
}

/// Two nodes that know their sessions.
pub(crate) fn ready(world: &mut World, routing: [RoutingMode; 2]) -> [NodeId; 2] {
    let [a, b] = [("a", routing[0]), ("b", routing[1])].map(|(name, routing)| {
        world.node_with(NodeConfig { name: name.to_owned(), routing, ..NodeConfig::open() })
    });
    assert!(world.run_until(SOON, |w| w.session(a).is_some() && w.session(b).is_some()));
    [a, b]
}

/// Two nodes with an open link between them.
pub(crate) fn linked(world: &mut World) -> (NodeId, NodeId, clasp_node::LinkId, clasp_node::LinkId) {
    linked_with(world, RoutingMode::default())
}

/// The same, for a routing mode.
pub(crate) fn linked_with(
    world: &mut World,
    routing: RoutingMode,
) -> (NodeId, NodeId, clasp_node::LinkId, clasp_node::LinkId) {
    let nodes = ready(world, [routing, routing]);
    link(world, nodes)
}

/// Links the first node to the second, and returns both with what each calls the link.
pub(crate) fn link(
    world: &mut World,
    [a, b]: [NodeId; 2],
) -> (NodeId, NodeId, clasp_node::LinkId, clasp_node::LinkId) {
    let link = world.connect(a, b);
    assert!(world.run_until(SOON, |w| connected(w, a) == 1 && connected(w, b) == 1), "{:?}", world.told(a));
    let other = world.told(b).iter().find_map(|(_, e)| match e {
        Event::Connected { link, .. } => Some(*link),
        _ => None,
    });
    (a, b, link, other.expect("connected"))
}

#[test]
fn two_nodes_open_both_channels_and_each_side_hears_of_it_once() {
    for seed in seeds(50) {
        let mut world = World::seeded(seed);
        let (a, b, link, _) = linked(&mut world);
        world.run_for(Duration::from_secs(30));
        assert_eq!((connected(&world, a), connected(&world, b)), (1, 1), "seed {seed}");
        let states: Vec<_> = world
            .told(a)
            .iter()
            .filter_map(|(_, e)| match e {
                Event::State { link: l, state } if *l == link => Some(*state),
                _ => None,
            })
            .collect();
        assert_eq!(states, [LinkState::Offering, LinkState::Checking, LinkState::Open], "seed {seed}");
        let opened = world.told(a).iter().find_map(|(_, e)| match e {
            Event::Connected { after, .. } => Some(*after),
            _ => None,
        });
        // Two latencies for the signals each way, then ICE, DTLS, SCTP and the channels: nothing waits for a timer.
        assert!(opened.is_some_and(|after| after <= Duration::from_millis(20)), "seed {seed}: {opened:?}");
        let roles =
            |node, role| world.count(node, |e| matches!(e, Event::Connected { role: r, .. } if *r == role));
        assert_eq!((roles(a, Role::Offerer), roles(b, Role::Answerer)), (1, 1), "seed {seed}");
    }
}

#[test]
fn a_link_opens_in_as_few_round_trips_as_there_can_be() {
    for latency in [1, 10, 50, 200].map(Duration::from_millis) {
        let mut world = World::seeded(1).network(Network { latency, ..Network::default() });
        let [a, b] = world.ready_nodes(["a", "b"]);
        let known = |w: &World| w.count(a, |e| matches!(e, Event::PeerSeen(_))) == 1;
        assert!(world.run_until(SOON, known));
        world.connect(a, b);
        assert!(world.run_until(SOON, |w| connected(w, a) == 1));
        let opened = world.told(a).iter().find_map(|(_, e)| match e {
            Event::Connected { after, .. } => Some(*after),
            _ => None,
        });
        // Offer and answer by way of the router: 4 latencies. A check, DTLS 1.3, the channels (no SCTP handshake): 2 each.
        assert_eq!(opened, Some(latency * 10), "{latency:?}");
    }
}

#[test]
fn every_candidate_of_either_side_arrives_at_the_other() {
    let mut world = World::seeded(1);
    let (a, b, ..) = linked(&mut world);
    world.run_for(Duration::from_secs(1));
    let steps = |node, sent: bool| -> Vec<String> {
        let mut lines: Vec<_> = world
            .told(node)
            .iter()
            .filter_map(|(_, e)| match e {
                Event::Step { step: Step::CandidateSent(line), .. } if sent => Some(line.clone()),
                Event::Step { step: Step::CandidateReceived(line), .. } if !sent => Some(line.clone()),
                _ => None,
            })
            .map(|line| line.split(" ufrag ").next().unwrap_or_default().to_owned())
            .collect();
        lines.sort();
        lines
    };
    assert!(!steps(a, true).is_empty() && !steps(b, true).is_empty());
    assert_eq!(steps(a, true), steps(b, false), "the offerer's");
    assert_eq!(steps(b, true), steps(a, false), "the answerer's");
}

#[test]
fn a_link_opens_over_a_lossy_reordering_path() {
    // Patient nodes: the SCTP below waits 3 s, then twice as long each time, before it repeats a lost handshake packet.
    let network = Network {
        latency: Duration::from_millis(20),
        jitter: Duration::from_millis(15),
        loss: 0.03,
        bursts: false,
    };
    for seed in seeds(30) {
        let mut world = World::seeded(seed);
        let patient = |name: &str| NodeConfig {
            name: name.into(),
            connect_timeout: Duration::from_secs(60),
            ..NodeConfig::open()
        };
        let (a, b) = (world.node_with(patient("a")), world.node_with(patient("b")));
        assert!(world.run_until(SOON, |w| w.session(a).is_some() && w.session(b).is_some()));
        world.set_network(network);
        world.connect(a, b);
        let opened =
            world.run_until(Duration::from_secs(61), |w| connected(w, a) == 1 && connected(w, b) == 1);
        assert!(opened, "seed {seed}: {:?}", world.told(a));
    }
}

#[test]
fn reliable_messages_arrive_in_order_and_streams_arrive_or_not_but_never_changed() {
    let network = Network {
        latency: Duration::from_millis(5),
        jitter: Duration::from_millis(4),
        loss: 0.05,
        bursts: false,
    };
    for seed in seeds(10) {
        let mut world = World::seeded(seed);
        let (a, b, link, _) = linked(&mut world);
        world.set_network(network);
        for n in 0..50_u8 {
            let message = |tag: u8| Bytes::from(vec![tag, n, n.wrapping_mul(3)]);
            world.with_node(a, |node, now| {
                node.send(now, link, Channel::Reliable, message(1)).expect("room");
                node.send(now, link, Channel::Stream, message(2)).expect("room");
            });
            world.run_for(Duration::from_millis(3));
        }
        world.run_for(Duration::from_secs(60));
        let got = |on| -> Vec<Bytes> {
            let data = |(_, e): &(Duration, Event)| match e {
                Event::Data { channel, bytes, .. } if *channel == on => Some(bytes.clone()),
                _ => None,
            };
            world.told(b).iter().filter_map(data).collect()
        };
        let reliable: Vec<u8> = got(Channel::Reliable).iter().map(|m| m[1]).collect();
        assert_eq!(reliable, (0..50).collect::<Vec<u8>>(), "seed {seed}");
        let streams = got(Channel::Stream);
        assert!(streams.len() > 25 && streams.len() <= 50, "seed {seed}: {}", streams.len());
        assert!(streams.iter().all(|m| m[0] == 2 && m[2] == m[1].wrapping_mul(3)), "seed {seed}");
    }
}

#[test]
fn stream_messages_that_a_link_dropped_stay_counted_when_it_is_gone() {
    let mut world = World::seeded(1);
    let (a, _, link, _) = linked(&mut world);
    let dropped = world.with_node(a, |node, now| {
        for _ in 0..100 {
            node.send(now, link, Channel::Stream, Bytes::from(vec![0; 4096])).expect("never full");
        }
        node.counters().streams_dropped
    });
    assert!(dropped > 0);
    world.with_node(a, |node, now| node.disconnect(now, link, "done"));
    world.run_for(SOON);
    let (links, still) =
        world.with_node(a, |node, _| (node.links().count(), node.counters().streams_dropped));
    assert_eq!((links, still), (0, dropped));
}

#[test]
fn one_node_holds_links_to_several_peers_at_once() {
    let mut world = World::seeded(4);
    let [hub, b, c, d, e] = world.ready_nodes(["hub", "b", "c", "d", "e"]);
    let links: Vec<_> = [b, c, d, e].into_iter().map(|peer| (peer, world.connect(hub, peer))).collect();
    assert!(world.run_until(SOON, |w| connected(w, hub) == 4));
    for (peer, link) in links {
        let message = Bytes::from(format!("for {peer:?}"));
        world.with_node(hub, |n, now| n.send(now, link, Channel::Reliable, message.clone()).expect("room"));
        world.run_for(Duration::from_millis(100));
        assert_eq!(world.count(peer, |e| matches!(e, Event::Data { bytes, .. } if *bytes == message)), 1);
    }
}

#[test]
fn a_goodbye_ends_the_link_on_both_sides_once() {
    for (seed, by_offerer) in [(1, true), (2, false)] {
        let mut world = World::seeded(seed);
        let (a, b, link, other) = linked(&mut world);
        let (who, link) = if by_offerer { (a, link) } else { (b, other) };
        world.with_node(who, |node, now| node.disconnect(now, link, "bye"));
        world.run_for(Duration::from_secs(20));
        for node in [a, b] {
            let ends = world.count(node, |e| matches!(e, Event::Disconnected { .. } | Event::Failed { .. }));
            assert_eq!(ends, 1, "{:?}", world.told(node));
            assert_eq!(world.with_node(node, |n, _| n.links().count()), 0, "nothing is left behind");
        }
    }
}

#[test]
fn an_offer_beyond_the_limits_is_refused_with_its_reason() {
    let mut world = World::seeded(9);
    let callee = world.node_with(NodeConfig { max_peers: 2, ..NodeConfig::open() });
    let callers = world.ready_nodes(["a", "b", "c"]);
    world.run_until(SOON, |w| w.session(callee).is_some());
    for caller in callers {
        world.connect(caller, callee);
    }
    world.run_for(SOON);
    let failed: Vec<_> = callers
        .iter()
        .flat_map(|c| world.told(*c))
        .filter_map(|(_, e)| if let Event::Failed { why, .. } = e { Some(why.to_string()) } else { None })
        .collect();
    assert_eq!(failed, ["the peer declined: too many peers"]);
    assert_eq!(connected(&world, callee), 2);
    assert_eq!(world.count(callee, |e| matches!(e, Event::Refused { .. })), 1);
    assert_eq!(world.with_node(callee, |n, _| n.counters().offers_refused), 1);
}
