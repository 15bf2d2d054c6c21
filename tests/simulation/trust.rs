//! Paired devices, strangers, and routers that lie.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use clasp_node::{Channel, ConnectError, Event, Identity, LinkId, NodeConfig, Trust};
use clasp_wire::p2p::{P2pSignal, SealedFrame, SignalBody};
use clasp_wire::{Message, message::Body};
use e2e::{Network, NodeId, World, seeds};

use crate::establishing::{connected, link, linked};
use crate::hostile::{field, signal};
use crate::surviving::{assert_each_once_in_order, message, received};

const SOON: Duration = Duration::from_secs(5);

/// Whether each has heard the other announce itself.
fn acquainted(world: &World, nodes: &[NodeId]) -> bool {
    nodes.iter().all(|node| world.count(*node, |e| matches!(e, Event::PeerSeen(_))) + 1 >= nodes.len())
}

fn paired(world: &mut World) -> [NodeId; 2] {
    let nodes = world.paired_nodes(["a", "b"]);
    assert!(world.run_until(SOON, |w| acquainted(w, &nodes)), "{world:?}");
    nodes
}

pub(crate) fn linked_pair(world: &mut World) -> (NodeId, NodeId, LinkId, LinkId) {
    let nodes = paired(world);
    link(world, nodes)
}

/// The signal in a frame, if it is one that anybody can read.
fn readable(frame: &[u8]) -> Option<&'static str> {
    let mut scratch = Vec::new();
    let Ok((_, Message::Publish(publish))) = Message::decode(frame, &mut scratch) else { return None };
    let Body::Value(value) = publish.body else { return None };
    if matches!(SealedFrame::from_value(value), Ok(Some(_))) {
        return Some("sealed");
    }
    Some(match P2pSignal::from_value(value) {
        Ok(P2pSignal { body: SignalBody::Offer { .. }, .. }) => "offer",
        Ok(P2pSignal { body: SignalBody::Answer { .. }, .. }) => "answer",
        Ok(_) => "other",
        Err(_) => return None,
    })
}

/// Every offer and answer is changed by `change` on its way.
fn change_descriptions(world: &mut World, change: impl Fn(&str) -> String + 'static) {
    world.tamper(Some(Box::new(move |_, frame| {
        let kind = readable(frame);
        if !matches!(kind, Some("offer" | "answer")) {
            return vec![frame.clone()];
        }
        let [from, correlation_id, sdp] = ["from", "correlation_id", "sdp"].map(|name| field(frame, name));
        let sdp = change(&sdp);
        let body = match kind {
            Some("offer") => SignalBody::Offer { sdp: &sdp },
            _ => SignalBody::Answer { sdp: &sdp },
        };
        let mut scratch = Vec::new();
        let Ok((_, Message::Publish(publish))) = Message::decode(frame, &mut scratch) else { unreachable!() };
        let to = clasp_wire::p2p::target_session(publish.address).expect("a signal");
        let mut out = Vec::new();
        let signal = P2pSignal { from: &from, correlation_id: &correlation_id, body, edge: true };
        signal.encode_publish(to, &mut out).expect("it fits");
        vec![out.into()]
    })));
}

fn why_failed(world: &World, node: NodeId) -> Vec<String> {
    let why = |(_, event): &(Duration, Event)| match event {
        Event::Failed { why, .. } => Some(why.to_string()),
        _ => None,
    };
    world.told(node).iter().filter_map(why).collect()
}

#[test]
fn paired_devices_link_and_their_router_reads_no_signal_but_signed_descriptions() {
    for seed in seeds(20) {
        let mut world = World::seeded(seed);
        let (a, b, link, other) = linked_pair(&mut world);
        for (node, link, to) in [(a, link, b), (b, other, a)] {
            world
                .with_node(node, |n, now| n.send(now, link, Channel::Reliable, message(0, 4)))
                .expect("room");
            world.run_for(Duration::from_secs(1));
            assert_each_once_in_order(&world, to, 1, seed);
        }
        let kinds: Vec<_> = world.signals.iter().filter_map(|(_, frame)| readable(frame)).collect();
        let count = |kind| kinds.iter().filter(|found| **found == kind).count();
        assert_eq!((count("offer"), count("answer"), count("other")), (1, 1, 0), "seed {seed}: {kinds:?}");
        assert!(count("sealed") >= 4, "candidates and `connected` of both: {kinds:?}");
        let signed = |frame: &Bytes| field(frame, "sdp").contains("\r\na=x-clasp-auth:1 ");
        let descriptions =
            world.signals.iter().filter(|(_, f)| matches!(readable(f), Some("offer" | "answer")));
        assert!(descriptions.into_iter().all(|(_, frame)| signed(frame)));
        assert_eq!(world.with_node(a, |n, _| n.counters().unproven_signals), 0);
    }
}

#[test]
fn who_is_at_the_other_end_is_told_once_and_before_everything_else() {
    for seed in seeds(20) {
        let mut world = World::seeded(seed);
        let (a, b, link, _) = linked_pair(&mut world);
        world.with_node(a, |n, now| n.send(now, link, Channel::Reliable, message(0, 4))).expect("room");
        let told = |w: &World| w.count(b, |event| matches!(event, Event::Data { .. })) == 1;
        assert!(world.run_until(SOON, told), "{world:?}");
        for (node, name) in [(a, "b"), (b, "a")] {
            let of_links = world.told(node).iter().filter(|(_, event)| {
                matches!(event, Event::Proven { .. } | Event::Connected { .. } | Event::Data { .. })
            });
            let mut of_links = of_links.map(|(_, event)| event);
            let Some(Event::Proven { name: proven, .. }) = of_links.next() else { panic!("{world:?}") };
            assert_eq!(proven, name);
            assert!(matches!(of_links.next(), Some(Event::Connected { .. } | Event::Data { .. })));
            assert!(!of_links.any(|event| matches!(event, Event::Proven { .. })), "told twice");
        }
    }
}

#[test]
fn a_strangers_offer_is_refused_before_anything_is_made_of_it() {
    let mut world = World::seeded(1);
    let [a, b] = paired(&mut world);
    let [stranger] = world.ready_nodes(["stranger"]);
    assert!(world.run_until(SOON, |w| acquainted(w, &[a, b, stranger])));
    world.connect(stranger, a);
    world.run_for(SOON);
    let told = why_failed(&world, stranger);
    assert_eq!(told, ["the peer declined: not paired: pair the two devices (again)"]);
    assert_eq!(world.count(a, |e| matches!(e, Event::Connecting { .. } | Event::Connected { .. })), 0);
    assert_eq!(world.count(a, |e| matches!(e, Event::Refused { .. })), 1);
    let refused = world.try_connect(a, stranger);
    assert!(matches!(refused, Err(ConnectError::NotPaired)), "{refused:?}");

    // Nor is a link through the router, which needs no offer.
    let relay_only = NodeConfig { routing: clasp_node::RoutingMode::RelayOnly, ..NodeConfig::open() };
    let relaying = world.node_with(relay_only);
    assert!(world.run_until(SOON, |w| w.session(relaying).is_some()));
    world.connect(relaying, a);
    world.run_for(SOON);
    assert_eq!(why_failed(&world, relaying), ["the peer declined: not paired: pair the two devices (again)"]);
    assert_eq!(world.count(a, |e| matches!(e, Event::Connecting { .. })), 0);
}

#[test]
fn a_device_that_has_forgotten_the_other_says_so() {
    let mut world = World::seeded(2);
    let [mut one, mut other] = ["one", "other"].map(|name| world.device(name));
    world.pair(&mut one, &mut other);
    other.pairs = Default::default();
    let config = NodeConfig { trust: Trust::Paired, ..NodeConfig::default() };
    let [one, other] = [one, other].map(|device| world.node_of(device, config.clone()));
    assert!(world.run_until(SOON, |w| acquainted(w, &[one, other])));
    world.connect(one, other);
    world.run_for(SOON);
    assert_eq!(why_failed(&world, one), ["the peer declined: not paired: pair the two devices (again)"]);
}

#[test]
fn a_description_that_a_router_changed_is_not_taken() {
    type Change = fn(&str) -> String;
    let changes: [(&str, Change); 4] = [
        ("strips the proof", |sdp| {
            sdp.split_inclusive('\n').filter(|line| !line.starts_with("a=x-clasp-auth")).collect()
        }),
        ("swaps the fingerprint", |sdp| {
            let (before, after) = sdp.split_once("a=fingerprint:sha-256 ").expect("a fingerprint");
            let rest = after.split_once("\r\n").expect("a line").1;
            format!("{before}a=fingerprint:sha-256 {}\r\n{rest}", ["AB"; 32].join(":"))
        }),
        ("adds a candidate", |sdp| format!("{sdp}a=candidate:1 1 udp 1 192.0.2.9 9 typ host\r\n")),
        ("changes the password", |sdp| sdp.replacen("a=ice-pwd:", "a=ice-pwd:x", 1)),
    ];
    for (what, change) in changes {
        for only in ["offer", "answer"] {
            let mut world = World::seeded(3);
            let [a, b] = paired(&mut world);
            let is_offer = only == "offer";
            change_descriptions(&mut world, move |sdp| {
                if sdp.contains("a=setup:actpass") == is_offer { change(sdp) } else { sdp.to_owned() }
            });
            world.connect(a, b);
            world.run_for(Duration::from_secs(90));
            assert_eq!(connected(&world, a) + connected(&world, b), 0, "{what} of the {only}");
            let unproven: u64 =
                [a, b].map(|node| world.with_node(node, |n, _| n.counters().unproven_signals)).iter().sum();
            let refused = world.count(b, |e| matches!(e, Event::Refused { .. }));
            assert!(if is_offer { refused > 0 } else { unproven > 0 }, "{what} of the {only}");
        }
    }
}

#[test]
fn an_offer_is_taken_once() {
    let mut world = World::seeded(4);
    let kept = Rc::new(RefCell::new(None));
    let keeps = Rc::clone(&kept);
    world.tamper(Some(Box::new(move |_, frame| {
        if readable(frame) == Some("offer") {
            keeps.borrow_mut().get_or_insert(frame.clone());
        }
        vec![frame.clone()]
    })));
    let (a, b, link, _) = linked_pair(&mut world);
    world.with_node(a, |node, now| node.disconnect(now, link, "done"));
    world.run_for(Duration::from_secs(2));
    let offer = kept.borrow().clone().expect("an offer");
    for _ in 0..3 {
        world.inject_from_router(b, offer.to_vec());
        world.run_for(Duration::from_secs(1));
    }
    assert_eq!(world.count(b, |e| matches!(e, Event::Connecting { .. })), 1, "{:?}", world.told(b));
    assert_eq!(world.count(b, |e| matches!(e, Event::Refused { .. })), 3);
}

#[test]
fn a_router_cannot_end_a_link_of_paired_devices_nor_add_to_it() {
    let mut world = World::seeded(5);
    let (a, b, link, _) = linked_pair(&mut world);
    let id = field(&world.signals.first().expect("an offer").1, "correlation_id");
    let candidate = r#"{"candidate":"candidate:1 1 udp 1 192.0.2.9 9 typ host"}"#;
    for body in [
        SignalBody::Disconnected { reason: Some("die") },
        SignalBody::IceCandidate { candidate },
        SignalBody::Answer { sdp: "v=0" },
        SignalBody::Offer { sdp: "v=0" },
    ] {
        for (from, to) in [(a, b), (b, a)] {
            signal(&mut world, from, to, &id, body); // the router says that it is the other node
        }
    }
    world.run_for(Duration::from_secs(10));
    for node in [a, b] {
        assert_eq!(world.count(node, |e| matches!(e, Event::Disconnected { .. })), 0);
        assert!(world.with_node(node, |n, _| n.counters().unproven_signals) >= 4);
        let strange = |e: &Event| matches!(e, Event::Step { step: clasp_node::Step::CandidateReceived(c), .. } if c.contains("192.0.2.9"));
        assert_eq!(world.count(node, strange), 0);
    }
    world.with_node(a, |n, now| n.send(now, link, Channel::Reliable, message(0, 4))).expect("room");
    world.run_for(Duration::from_secs(1));
    assert_each_once_in_order(&world, b, 1, 5);
}

/// A cut cable sends the messages through a router that damages, repeats and swaps what it carries.
#[test]
fn what_paired_devices_relay_cannot_be_read_changed_or_repeated() {
    for seed in seeds(10) {
        let mut world = World::seeded(seed);
        let (a, b, link, _) = linked_pair(&mut world);
        let secret = b"nobody else reads this";
        let seen = Rc::new(RefCell::new((0_u32, false)));
        let sees = Rc::clone(&seen);
        let mut last: Option<Bytes> = None;
        world.tamper(Some(Box::new(move |_, frame| {
            if readable(frame) != Some("sealed") {
                return vec![frame.clone()];
            }
            let mut seen = sees.borrow_mut();
            seen.0 += 1;
            seen.1 |= frame.windows(secret.len()).any(|part| part == secret);
            let mut damaged = frame.to_vec();
            let middle = damaged.len() / 2;
            damaged[middle] ^= 1;
            let again = last.replace(frame.clone());
            match seen.0 % 5 {
                0 => vec![damaged.into()],
                1 => vec![damaged.into(), frame.clone()],
                2 => vec![frame.clone(), frame.clone()],
                3 => [Some(frame.clone()), again].into_iter().flatten().collect(),
                _ => vec![frame.clone()],
            }
        })));
        world.cut(a, b);
        let mut sent = 0;
        for _ in 0..400 {
            let mut next = message(sent, 4).to_vec();
            next.extend(secret);
            let queued = world.with_node(a, |n, now| n.send(now, link, Channel::Reliable, next.into()));
            sent += u32::from(queued.is_ok());
            world.run_for(Duration::from_millis(100));
        }
        world.run_for(Duration::from_secs(20));
        assert!(
            world.count(a, |e| matches!(e, Event::Relayed { .. })) > 0,
            "seed {seed}: {:?}",
            world.told(a)
        );
        assert_each_once_in_order(&world, b, sent, seed);
        let (frames, read) = *seen.borrow();
        assert!(frames > 50 && !read, "seed {seed}: {frames} frames, read: {read}");
        assert!(world.with_node(b, |n, _| n.counters().unproven_signals) > 10, "seed {seed}");
    }
}

#[test]
fn links_of_paired_devices_survive_moves_and_router_restarts() {
    for seed in seeds(10) {
        let network = Network { latency: Duration::from_millis(20), loss: 0.02, ..Network::default() };
        let mut world = World::seeded(seed).network(network);
        let (a, b, link, _) = linked_pair(&mut world);
        for round in 0..4 {
            world
                .with_node(a, |n, now| n.send(now, link, Channel::Reliable, message(round, 4)))
                .expect("room");
            match round {
                0 => world.move_node(b),
                1 => world.roam(a),
                2 => {
                    world.kill_router();
                    world.start_router();
                }
                _ => world.move_node(a),
            }
            world.run_for(Duration::from_secs(30));
            assert_eq!(
                received(&world, b).len() as u32,
                round + 1,
                "seed {seed}: {:?}",
                world.told(a).last()
            );
        }
        assert_each_once_in_order(&world, b, 4, seed);
    }
}

#[test]
fn where_trust_is_open_a_paired_device_still_has_to_prove_itself() {
    let mut world = World::seeded(6);
    let [mut one, mut other] = ["one", "other"].map(|name| world.device(name));
    world.pair(&mut one, &mut other);
    let [one, other] = [one, other].map(|device| world.node_of(device, NodeConfig::open()));
    assert!(world.run_until(SOON, |w| acquainted(w, &[one, other])));
    change_descriptions(&mut world, |sdp| sdp.replacen("a=ice-pwd:", "a=ice-pwd:x", 1));
    world.connect(one, other);
    world.run_for(SOON);
    assert_eq!(why_failed(&world, one), ["the peer declined: wrong proof of identity"]);
    // And strangers are welcome.
    world.tamper(None);
    let _ = linked(&mut world);
}

#[test]
fn forgetting_a_device_ends_its_links_and_refuses_it_from_then_on() {
    let mut world = World::seeded(7);
    let (a, b, ..) = linked_pair(&mut world);
    let device = world.with_node(b, |node, _| node.identity().id());
    let forgotten = world.with_node(a, |node, now| node.forget(now, device)).expect("they are paired");
    assert_eq!((forgotten.id(), forgotten.name.as_str()), (device, "b"));
    world.run_for(Duration::from_secs(40));
    for node in [a, b] {
        assert_eq!(
            world.count(node, |e| matches!(e, Event::Disconnected { .. })),
            1,
            "{:?}",
            world.told(node)
        );
        assert_eq!(world.with_node(node, |n, _| n.links().count()), 0);
    }
    world.connect(b, a);
    world.run_for(SOON);
    assert_eq!(why_failed(&world, b), ["the peer declined: not paired: pair the two devices (again)"]);
    let unknown = world.with_node(a, |node, now| node.forget(now, device));
    assert!(matches!(unknown, Err(clasp_node::PairError::Unknown(_))), "{unknown:?}");
}

/// The device proves that it is the paired one, and still it is not what it was paired as.
#[test]
fn a_paired_device_with_another_certificate_is_refused() {
    let mut world = World::seeded(8);
    let [mut one, mut other] = ["one", "other"].map(|name| world.device(name));
    world.pair(&mut one, &mut other);
    let fresh = world.device("fresh");
    let (key, certificate) = (other.identity.secret_key(), fresh.identity.certificate());
    let changed =
        Identity::from_parts(key, certificate.der(), certificate.private_key_der()).expect("an identity");
    assert_eq!(changed.id(), other.identity.id());
    other.identity = changed;
    let config = NodeConfig { trust: Trust::Paired, ..NodeConfig::default() };
    let [one, other] = [one, other].map(|device| world.node_of(device, config.clone()));
    assert!(world.run_until(SOON, |w| acquainted(w, &[one, other])));
    world.connect(other, one);
    world.run_for(SOON);
    let why = why_failed(&world, other);
    assert_eq!(why.len(), 1, "{why:?}");
    assert!(why[0].contains("certificate changed since the devices were paired"), "{why:?}");
    // Nor is its answer taken.
    world.connect(one, other);
    world.run_for(Duration::from_secs(60));
    assert_eq!(connected(&world, one) + connected(&world, other), 0);
    assert!(world.with_node(one, |n, _| n.counters().unproven_signals) > 0);
}
