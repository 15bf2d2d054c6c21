//! Pairing between whole nodes: through a router, up to the link that shows the certificates.

use std::time::Duration;

use bytes::Bytes;
use clasp_node::pairing::{Known, PROVISIONAL, PairingError, WINDOW};
use clasp_node::{Channel, Event, NodeConfig, PairCallError, Pairs, Trust};
use e2e::{Faults, Network, NodeId, World, seeds};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::establishing::connected;

const SOON: Duration = Duration::from_secs(5);

/// Two fresh devices that take offers of paired ones only.
fn devices(world: &mut World, trust: Trust) -> [NodeId; 2] {
    let config = NodeConfig { trust, ..NodeConfig::default() };
    let nodes = ["shows", "types"].map(|name| {
        let device = world.device(name);
        world.node_of(device, config.clone())
    });
    assert!(world.run_until(SOON, |w| nodes.iter().all(|n| w.session(*n).is_some())));
    nodes
}

/// Opens a window at `shows`, and waits until `types` has heard of it.
fn open(world: &mut World, [shows, types]: [NodeId; 2]) -> Known {
    let invitation = world.with_node(shows, |node, now| node.open_pairing(now, WINDOW)).expect("room");
    for _ in 0..50 {
        if world.with_node(types, |node, _| node.peers().any(|peer| peer.pairing)) {
            break;
        }
        world.run_for(Duration::from_millis(100));
    }
    Known::Code(invitation.code)
}

fn pair(world: &mut World, [shows, types]: [NodeId; 2], known: &Known) -> Result<(), PairCallError> {
    let session = world.session(shows).expect("a session").to_owned();
    world.with_node(types, |node, now| node.pair(now, clasp_node::RouterId::FIRST, &session, known, None))
}

fn is_paired(world: &World, node: NodeId) -> bool {
    world.count(node, |e| matches!(e, Event::Paired { .. })) > 0
}

fn why(world: &World, node: NodeId) -> Vec<PairingError> {
    let why = |(_, event): &(Duration, Event)| match event {
        Event::PairingFailed { why } => Some(why.clone()),
        _ => None,
    };
    world.told(node).iter().filter_map(why).collect()
}

/// Both have each other and the same key, or neither has anything.
fn assert_pairs_agree(world: &mut World, nodes: [NodeId; 2], seed: u64) {
    let ids = nodes.map(|node| world.with_node(node, |n, _| n.identity().id()));
    let keys: Vec<Option<[u8; 32]>> = [(nodes[0], ids[1]), (nodes[1], ids[0])]
        .map(|(node, other)| {
            world.with_node(node, |n, _| n.pairs().by_id(other).map(|pair| *pair.key.as_bytes()))
        })
        .to_vec();
    let strangers = nodes.map(|node| world.with_node(node, |n, _| n.pairs().len()));
    assert!(strangers.iter().all(|count| *count <= 1), "seed {seed}: {strangers:?}");
    if let [Some(one), Some(other)] = keys[..] {
        assert_eq!(one, other, "seed {seed}");
    }
}

#[test]
fn two_fresh_devices_are_paired_by_code_and_from_then_on_link_by_themselves() {
    for (seed, trust) in [(1, Trust::Paired), (2, Trust::Open)] {
        let mut world = World::seeded(seed);
        let nodes = devices(&mut world, trust);
        if trust == Trust::Open {
            // A link from before, when they were strangers, proves nothing and gives way.
            world.connect(nodes[1], nodes[0]);
            assert!(world.run_until(SOON, |w| nodes.iter().all(|n| connected(w, *n) == 1)));
        }
        let known = open(&mut world, nodes);
        pair(&mut world, nodes, &known).expect("begun");
        let paired = world.run_until(SOON, |w| nodes.iter().all(|node| is_paired(w, *node)));
        assert!(paired, "{:#?}\n{:#?}", world.told(nodes[0]), world.told(nodes[1]));
        assert_pairs_agree(&mut world, nodes, seed);
        let checks: Vec<String> = nodes
            .iter()
            .flat_map(|node| world.told(*node))
            .filter_map(|(_, e)| if let Event::Paired { check, .. } = e { Some(check.clone()) } else { None })
            .collect();
        assert_eq!(checks[0], checks[1]);
        let names = nodes.map(|n| world.with_node(n, |n, _| n.pairs().iter().next().map(|p| p.name.clone())));
        assert_eq!(names, [Some("types".to_owned()), Some("shows".to_owned())]);
        assert_eq!(why(&world, nodes[0]).len() + why(&world, nodes[1]).len(), 0);

        // The code is used up, the window closed, and everybody knows.
        let session = world.session(nodes[0]).expect("a session").to_owned();
        world.run_for(SOON);
        let open = world.with_node(nodes[1], |n, _| n.peers().any(|p| p.session == session && p.pairing));
        assert!(!open);
        assert_eq!(pair(&mut world, nodes, &known), Err(PairCallError::NotShown));

        // The next link is theirs, too.
        let links: Vec<_> = world.with_node(nodes[0], |n, _| n.links().map(|l| l.link).collect());
        for link in links {
            world.with_node(nodes[0], |n, now| n.disconnect(now, link, "done"));
        }
        world.run_for(SOON);
        let link = world.connect(nodes[0], nodes[1]);
        world.run_for(SOON);
        let message = Bytes::from_static(b"hello");
        world
            .with_node(nodes[0], |n, now| n.send(now, link, Channel::Reliable, message.clone()))
            .expect("open");
        world.run_for(SOON);
        assert_eq!(world.count(nodes[1], |e| matches!(e, Event::Data { bytes, .. } if *bytes == message)), 1);
    }
}

#[test]
fn nothing_is_kept_without_a_direct_link() {
    let mut world = World::seeded(3);
    let nodes = devices(&mut world, Trust::Paired);
    let known = open(&mut world, nodes);
    world.cut(nodes[0], nodes[1]);
    pair(&mut world, nodes, &known).expect("begun");
    world.run_for(PROVISIONAL + SOON);
    for node in nodes {
        let told = why(&world, node);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(matches!(told[0], PairingError::NoLink(_) | PairingError::NotKept(_)), "{told:?}");
        assert_eq!(world.with_node(node, |n, _| n.pairs().len()), 0);
    }
    // And nothing stands in the way of the next attempt.
    world.heal(nodes[0], nodes[1]);
    world.run_for(Duration::from_secs(60));
    let known = open(&mut world, nodes);
    pair(&mut world, nodes, &known).expect("begun");
    assert!(world.run_until(Duration::from_secs(20), |w| nodes.iter().all(|node| is_paired(w, *node))));
}

#[test]
fn paired_again_a_device_has_another_key_and_is_still_one() {
    let mut world = World::seeded(4);
    let nodes = devices(&mut world, Trust::Paired);
    let mut keys = Vec::new();
    for _ in 0..2 {
        let known = open(&mut world, nodes);
        pair(&mut world, nodes, &known).expect("begun");
        world.run_for(Duration::from_secs(10));
        assert_pairs_agree(&mut world, nodes, 4);
        keys.push(world.with_node(nodes[0], |n, _| n.pairs().iter().next().map(|p| *p.key.as_bytes())));
    }
    assert_eq!(
        world.count(nodes[0], |e| matches!(e, Event::Paired { .. })),
        2,
        "{:?}",
        why(&world, nodes[0])
    );
    assert!(keys[0].is_some() && keys[0] != keys[1]);
}

#[test]
fn a_window_that_nobody_uses_closes_and_says_so() {
    let mut world = World::seeded(5);
    let nodes = devices(&mut world, Trust::Paired);
    open(&mut world, nodes);
    world.run_for(WINDOW + SOON);
    assert_eq!(why(&world, nodes[0]), [PairingError::WindowOver]);
    assert!(!world.with_node(nodes[1], |n, _| n.peers().any(|p| p.pairing)));
}

#[test]
fn whatever_happens_to_the_signals_nobody_is_paired_falsely_and_everything_ends() {
    let (mut paired, runs) = (0, seeds(150));
    for seed in runs.clone() {
        let faults = Faults { lost: 0.05, duplicated: 0.2, delayed: 0.3 };
        let network = Network { latency: Duration::from_millis(seed % 60), loss: 0.05, ..Network::default() };
        let mut world = World::seeded(seed).network(network).faults(faults);
        let nodes = devices(&mut world, Trust::Paired);
        let known = open(&mut world, nodes);
        if seed % 2 == 1 {
            // The router changes a bit of every third frame that may be one of pairing.
            let mut rng = StdRng::seed_from_u64(seed);
            world.tamper(Some(Box::new(move |_, frame| {
                let mut frame = frame.to_vec();
                if frame.windows(4).any(|part| part == b"pair") && rng.random_range(0..3) == 0 {
                    let at = rng.random_range(4..frame.len());
                    frame[at] ^= 1 << rng.random_range(0..8);
                }
                vec![frame.into()]
            })));
        }
        pair(&mut world, nodes, &known).expect("begun");
        world.run_for(PROVISIONAL + Duration::from_secs(20));
        assert_pairs_agree(&mut world, nodes, seed);
        for node in nodes {
            let (done, failed) = (is_paired(&world, node), why(&world, node).len());
            let waits = world.with_node(node, |n, _| n.invitation().is_some());
            assert!(done || failed > 0 || waits, "seed {seed}: {:?}", world.told(node));
        }
        paired += u64::from(nodes.iter().all(|node| is_paired(&world, *node)));
    }
    assert!(paired * 5 > runs.end * 2, "{paired} of {}", runs.end);
}

#[test]
fn two_devices_that_type_each_others_code_at_once_are_paired_once() {
    for seed in seeds(40) {
        let mut world = World::seeded(seed);
        let nodes = devices(&mut world, Trust::Paired);
        let [a, b] = nodes;
        let code_of_a = open(&mut world, [a, b]);
        let code_of_b = open(&mut world, [b, a]);
        world.run_until(SOON, |_| false);
        pair(&mut world, [a, b], &code_of_a).expect("begun");
        world.run_for(Duration::from_millis(seed % 4 * 8)); // a message takes 10 ms
        let second = pair(&mut world, [b, a], &code_of_b);
        assert!(matches!(second, Ok(()) | Err(PairCallError::Busy)), "seed {seed}: {second:?}");
        let paired = world.run_until(SOON, |w| nodes.iter().all(|node| is_paired(w, *node)));
        assert!(paired, "seed {seed}: {:?} {:?}", why(&world, a), why(&world, b));
        assert_pairs_agree(&mut world, nodes, seed);
        for node in nodes {
            assert_eq!(world.count(node, |e| matches!(e, Event::Paired { .. })), 1, "seed {seed}");
            assert_eq!(why(&world, node).len(), 0, "seed {seed}: {:?}", why(&world, node));
        }
    }
}

/// What a power cut may leave on each side is the pairs from before or those from after (`driver/store/tests.rs` has every cut).
#[test]
fn whatever_a_power_cut_leaves_of_a_pairing_both_are_paired_or_can_pair_again() {
    for (seed, kept) in [[true, true], [true, false], [false, true], [false, false]].into_iter().enumerate() {
        let seed = seed as u64;
        let mut world = World::seeded(seed);
        let nodes = devices(&mut world, Trust::Paired);
        let known = open(&mut world, nodes);
        pair(&mut world, nodes, &known).expect("begun");
        assert!(world.run_until(SOON, |w| nodes.iter().all(|node| is_paired(w, *node))), "seed {seed}");
        // The power fails, and what was stored is what is known.
        let states =
            nodes.map(|node| world.with_node(node, |n, _| (n.identity().clone(), n.pairs().clone())));
        let names = ["shows", "types"];
        let mut again = Vec::new();
        for (((identity, pairs), kept), (node, name)) in
            states.into_iter().zip(kept).zip(nodes.into_iter().zip(names))
        {
            world.kill(node);
            let mut device = world.device(name);
            (device.identity, device.pairs) = (identity, if kept { pairs } else { Pairs::default() });
            again.push(world.node_of(device, NodeConfig { trust: Trust::Paired, ..NodeConfig::default() }));
        }
        let nodes = [again[0], again[1]];
        let heard = |w: &World, node| w.count(node, |e| matches!(e, Event::PeerSeen(_))) > 0;
        assert!(world.run_until(SOON, |w| nodes.iter().all(|n| w.session(*n).is_some() && heard(w, *n))));
        let linked = |world: &mut World| {
            if world.try_connect(nodes[1], nodes[0]).is_err() {
                return false; // it knows that they are not paired
            }
            world.run_for(SOON);
            nodes.iter().all(|node| connected(world, *node) > 0)
        };
        assert_eq!(linked(&mut world), kept == [true, true], "seed {seed}: {kept:?}");
        if kept != [true, true] {
            let known = open(&mut world, nodes);
            pair(&mut world, nodes, &known).expect("begun");
            assert!(
                world.run_until(SOON, |w| nodes.iter().all(|node| is_paired(w, *node))),
                "seed {seed}: {kept:?}"
            );
            assert_pairs_agree(&mut world, nodes, seed);
        }
    }
}
