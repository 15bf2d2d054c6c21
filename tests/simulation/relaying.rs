//! Links without a direct path: through the router, and back.

use std::time::Duration;

use bytes::Bytes;
use clasp_node::RoutingMode::{P2pOnly, PreferP2p, RelayOnly};
use clasp_node::{Channel, DisconnectReason, Event, FailReason, LinkId, LinkState, RoutingMode, SendError};
use clasp_wire::message::{Body, Publish};
use clasp_wire::p2p::{P2pSignal, RelayFrame, SignalBody};
use clasp_wire::{Message, Value};
use e2e::{Faults, Network, NodeId, World, seeds};

use crate::establishing::{connected, linked, ready};
use crate::surviving::{
    Flow, KIB, assert_each_once_in_order, ended, in_state, lost, message, received, tail,
};

const SOON: Duration = Duration::from_secs(8);

fn relayed(event: &Event) -> bool {
    matches!(event, Event::Relayed { .. })
}

/// The link of a node that has one.
fn link_of(world: &mut World, node: NodeId) -> LinkId {
    world.with_node(node, |n, _| n.links().next().expect("a link").link)
}

/// Two nodes without a direct path, and their links, once these work.
fn relayed_pair(world: &mut World, routing: [RoutingMode; 2]) -> (NodeId, NodeId, LinkId, LinkId) {
    let [a, b] = ready(world, routing);
    world.cut(a, b);
    let link = world.connect(a, b);
    let both = |w: &World| w.count(a, relayed) == 1 && w.count(b, relayed) == 1;
    assert!(world.run_until(SOON, both), "{:#?} {:#?}", tail(world, a), tail(world, b));
    let back = link_of(world, b);
    (a, b, link, back)
}

/// What signals said, by the words of a visitor of their values.
fn signals(world: &World, mut visit: impl FnMut(Value<'_>)) {
    for (_, frame) in &world.signals {
        if let Ok((_, Message::Publish(Publish { body: Body::Value(value), .. }))) =
            Message::decode_compact(frame)
        {
            visit(value);
        }
    }
}

fn offers(world: &World) -> usize {
    let mut count = 0;
    signals(world, |value| {
        let offer = P2pSignal::from_value(value).is_ok_and(|s| matches!(s.body, SignalBody::Offer { .. }));
        count += usize::from(offer);
    });
    count
}

fn messages_relayed(world: &World) -> usize {
    let mut count = 0;
    signals(world, |value| {
        if let Ok(Some(frame)) = RelayFrame::from_value(value) {
            count += frame.messages.len() + frame.streams.len();
        }
    });
    count
}

#[test]
fn where_no_direct_path_opens_messages_go_through_the_router_and_later_directly() {
    for seed in seeds(20) {
        let mut world = World::seeded(seed);
        let (a, b, link, back) = relayed_pair(&mut world, [PreferP2p, PreferP2p]);
        assert!(world.elapsed() < Duration::from_secs(5), "seed {seed}: nobody waits for ICE to give up");
        let mut forth = Flow::new(a, link, 200, 3 * KIB);
        let mut other = Flow::new(b, back, 200, 700);
        assert!(forth.run(&mut world, b, Duration::from_secs(20)), "seed {seed}: {:#?}", tail(&world, a));
        assert!(other.run(&mut world, a, Duration::from_secs(20)), "seed {seed}: {:#?}", tail(&world, b));
        assert!(messages_relayed(&world) >= 400);
        assert_eq!((connected(&world, a), connected(&world, b)), (0, 0), "seed {seed}");
        world.heal(a, b);
        let direct = |w: &World| connected(w, a) == 1 && connected(w, b) == 1;
        assert!(world.run_until(Duration::from_secs(90), direct), "seed {seed}: {:#?}", tail(&world, a));
        assert!(in_state(&world, a, LinkState::Open) && in_state(&world, b, LinkState::Open), "seed {seed}");
        let before = messages_relayed(&world);
        forth.extend(50);
        assert!(forth.run(&mut world, b, Duration::from_secs(20)), "seed {seed}: {:#?}", tail(&world, a));
        assert_each_once_in_order(&world, b, 250, seed);
        assert_each_once_in_order(&world, a, 200, seed);
        assert_eq!(messages_relayed(&world), before, "seed {seed}: no more of them");
    }
}

#[test]
fn a_path_that_dies_in_the_middle_of_a_transfer_costs_nothing_and_comes_back() {
    for seed in seeds(30) {
        let mut world = World::seeded(seed);
        let (a, b, link, back) = linked(&mut world);
        world.set_network(Network {
            latency: Duration::from_millis(1 + seed * 3),
            jitter: Duration::from_millis(seed % 9),
            loss: (seed % 4) as f64 * 0.02,
            bursts: false,
        });
        let mut forth = Flow::new(a, link, 600, 2 * KIB);
        let mut other = Flow::new(b, back, 300, 500);
        let mut at = Duration::from_millis(200);
        for round in 0..3 {
            forth.run(&mut world, b, at);
            other.run(&mut world, a, Duration::from_millis(40));
            world.cut(a, b);
            forth.run(&mut world, b, Duration::from_secs(9 + round * 2));
            world.run_for(Duration::from_secs(7));
            other.run(&mut world, a, Duration::from_secs(2));
            world.heal(a, b);
            at = Duration::from_secs(5 * round);
        }
        assert!(forth.run(&mut world, b, Duration::from_secs(60)), "seed {seed}: {:#?}", tail(&world, a));
        assert!(other.run(&mut world, a, Duration::from_secs(60)), "seed {seed}: {:#?}", tail(&world, b));
        let open = |w: &World| in_state(w, a, LinkState::Open) && in_state(w, b, LinkState::Open);
        assert!(world.run_until(Duration::from_secs(90), open), "seed {seed}: {:#?}", tail(&world, a));
        world.run_for(Duration::from_secs(10));
        assert_each_once_in_order(&world, b, 600, seed);
        assert_each_once_in_order(&world, a, 300, seed);
        assert_eq!((world.count(a, ended), world.count(b, ended)), (0, 0), "seed {seed}");
        assert!(world.count(a, relayed) >= 1 && world.count(b, relayed) >= 1, "seed {seed}");
    }
}

#[test]
fn frames_lost_doubled_and_reordered_on_the_way_change_nothing() {
    for seed in seeds(30) {
        let mut world = World::seeded(seed);
        let (a, b, link, back) = relayed_pair(&mut world, [RelayOnly, PreferP2p]);
        world.set_faults(Faults { lost: 0.2, duplicated: 0.3, delayed: 0.4 });
        let mut forth = Flow::new(a, link, 150, 5 * KIB);
        let mut other = Flow::new(b, back, 150, 100);
        assert!(forth.run(&mut world, b, Duration::from_secs(200)), "seed {seed}: {:#?}", tail(&world, a));
        assert!(other.run(&mut world, a, Duration::from_secs(200)), "seed {seed}: {:#?}", tail(&world, b));
        world.run_for(Duration::from_secs(10));
        assert_each_once_in_order(&world, b, 150, seed);
        assert_each_once_in_order(&world, a, 150, seed);
    }
}

#[test]
fn relay_only_makes_no_offer_and_answers_none() {
    for modes in [[RelayOnly, RelayOnly], [RelayOnly, PreferP2p], [PreferP2p, RelayOnly]] {
        let mut world = World::seeded(5);
        let [a, b] = ready(&mut world, modes);
        let link = world.connect(a, b);
        let both = |w: &World| w.count(a, relayed) == 1 && w.count(b, relayed) == 1;
        assert!(world.run_until(SOON, both), "{modes:?} {:#?} {:#?}", tail(&world, a), tail(&world, b));
        let mut flow = Flow::new(a, link, 20, KIB);
        assert!(flow.run(&mut world, b, SOON), "{modes:?}");
        world.run_for(Duration::from_secs(200));
        assert_eq!(offers(&world), usize::from(modes[0] == PreferP2p), "{modes:?}");
        assert_eq!((connected(&world, a), connected(&world, b)), (0, 0), "{modes:?}");
        assert_eq!((world.count(a, ended), world.count(b, ended)), (0, 0), "{modes:?}: idle links live on");
        world.with_node(a, |n, now| n.disconnect(now, link, "done"));
        assert!(world.run_until(SOON, |w| w.count(b, ended) == 1), "{modes:?}");
        let by_peer = |e: &Event| matches!(e, Event::Disconnected { why: DisconnectReason::Remote(Some(why)), .. } if why == "done");
        assert_eq!((world.count(b, by_peer), world.count(a, ended)), (1, 1), "{modes:?}");
        for node in [a, b] {
            assert_eq!(world.with_node(node, |n, _| n.links().count()), 0, "{modes:?}");
        }
    }
}

#[test]
fn p2p_only_sends_no_message_through_the_router_and_waits_for_a_path() {
    for modes in [[P2pOnly, P2pOnly], [P2pOnly, PreferP2p], [PreferP2p, P2pOnly]] {
        let mut world = World::seeded(6);
        let [a, b] = ready(&mut world, modes);
        let link = world.connect(a, b);
        assert!(world.run_until(SOON, |w| connected(w, a) == 1 && connected(w, b) == 1), "{modes:?}");
        world.cut(a, b);
        let mut flow = Flow::new(a, link, 300, 2 * KIB);
        assert!(!flow.run(&mut world, b, Duration::from_secs(20)), "{modes:?}");
        world.heal(a, b);
        assert!(flow.run(&mut world, b, Duration::from_secs(40)), "{modes:?}: {:#?}", tail(&world, a));
        assert_each_once_in_order(&world, b, 300, 6);
        assert_eq!(messages_relayed(&world), 0, "{modes:?}");
        assert_eq!((world.count(a, ended), world.count(b, ended)), (0, 0), "{modes:?}");
    }
}

#[test]
fn modes_that_have_no_way_in_common_fail_with_the_reason() {
    for modes in [[RelayOnly, P2pOnly], [P2pOnly, RelayOnly]] {
        let mut world = World::seeded(7);
        let [a, b] = ready(&mut world, modes);
        world.connect(a, b);
        world.run_for(Duration::from_secs(120));
        let failed = |e: &Event| matches!(e, Event::Failed { .. });
        assert_eq!(world.count(a, failed), 1, "{modes:?}: {:#?}", tail(&world, a));
        let declined = |e: &Event| matches!(e, Event::Failed { why: FailReason::Declined(why), .. } if why.contains("relays"));
        assert_eq!(world.count(a, declined), 1, "{modes:?}: {:#?}", tail(&world, a));
        for node in [a, b] {
            assert_eq!(world.with_node(node, |n, _| n.links().count()), 0, "{modes:?}");
        }
    }
}

#[test]
fn two_that_call_each_other_through_the_router_alone_get_one_link() {
    for seed in seeds(20) {
        let mut world = World::seeded(seed);
        let [a, b] = ready(&mut world, [RelayOnly, RelayOnly]);
        world.connect(a, b);
        world.run_for(Duration::from_micros(200 * seed));
        if world.try_connect(b, a).is_err() {
            continue; // it was there already
        }
        world.run_for(SOON);
        for node in [a, b] {
            assert_eq!(
                world.with_node(node, |n, _| n.links().count()),
                1,
                "seed {seed}: {:#?}",
                tail(&world, node)
            );
        }
        let link = link_of(&mut world, a);
        let mut flow = Flow::new(a, link, 10, KIB);
        assert!(flow.run(&mut world, b, SOON), "seed {seed}: {:#?}", tail(&world, a));
    }
}

#[test]
fn streams_and_pings_take_the_way_through_the_router_too() {
    let mut world = World::seeded(8);
    let (a, b, link, _) = relayed_pair(&mut world, [PreferP2p, PreferP2p]);
    for number in 0..20 {
        let message = message(number, 100);
        world.with_node(a, |n, now| n.send(now, link, Channel::Stream, message)).expect("it is taken");
    }
    let token = world.with_node(a, |n, now| n.ping(now, link, Channel::Stream)).expect("it is taken");
    world.run_for(Duration::from_secs(1));
    let stream = |e: &Event| matches!(e, Event::Data { channel: Channel::Stream, .. });
    assert_eq!(world.count(b, stream), 20);
    let pong = |e: &Event| matches!(e, Event::Pong { token: t, .. } if *t == token);
    assert_eq!(world.count(a, pong), 1, "{:#?}", tail(&world, a));
}

#[test]
fn what_waits_for_an_absent_router_is_bounded_and_the_caller_is_told_when_there_is_room() {
    let mut world = World::seeded(9);
    let (a, b, link, _) = relayed_pair(&mut world, [RelayOnly, RelayOnly]);
    world.set_faults(Faults { lost: 1.0, ..Faults::default() });
    let mut taken = 0_u32;
    let refused = loop {
        let next = message(taken, 4 * KIB);
        match world.with_node(a, |n, now| n.send(now, link, Channel::Reliable, next)) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
        assert!(taken < 1000, "no bound");
    };
    assert!(matches!(refused, SendError::Full(_)), "{refused}");
    assert!((120..=130).contains(&taken), "{taken} × 4 KiB");
    let writable = |e: &Event| matches!(e, Event::Writable { .. });
    assert_eq!(world.count(a, writable), 0);
    world.set_faults(Faults::default());
    assert!(world.run_until(Duration::from_secs(20), |w| received(w, b).len() == taken as usize));
    assert_eq!(world.count(a, writable), 1);
    assert_each_once_in_order(&world, b, taken, 9);
}

#[test]
fn a_message_too_large_for_a_frame_is_refused_on_every_way() {
    let mut world = World::seeded(10);
    let (a, b, link, _) = linked(&mut world);
    let max = clasp_node::limits::MAX_RELAYED_MESSAGE_BYTES;
    let send = |w: &mut World, len| {
        w.with_node(a, |n, now| n.send(now, link, Channel::Reliable, Bytes::from(vec![0; len])))
    };
    assert_eq!(send(&mut world, max + 1), Err(SendError::TooLarge { len: max + 1, max }));
    assert_eq!(send(&mut world, max), Ok(()));
    world.cut(a, b);
    assert!(world.run_until(SOON * 2, |w| w.count(a, relayed) == 1), "{:#?}", tail(&world, a));
    assert_eq!(send(&mut world, max + 1), Err(SendError::TooLarge { len: max + 1, max }));
    assert_eq!(send(&mut world, max), Ok(()));
    assert_eq!(send(&mut world, 0), Err(SendError::Empty));
    world.run_for(SOON);
    assert_eq!(received(&world, b).len(), 2);
}

#[test]
fn a_node_killed_while_relayed_is_noticed() {
    for seed in seeds(10) {
        let mut world = World::seeded(seed);
        let (a, b, ..) = relayed_pair(&mut world, [PreferP2p, PreferP2p]);
        world.run_for(Duration::from_millis(seed * 777));
        world.kill(b);
        assert!(world.run_until(Duration::from_secs(7), |w| w.count(a, lost) == 1), "{:#?}", tail(&world, a));
    }
}

#[test]
fn a_node_that_roams_while_relayed_comes_back_with_another_session() {
    for seed in seeds(20) {
        let mut world = World::seeded(seed);
        let (a, b, link, back) = relayed_pair(&mut world, [PreferP2p, PreferP2p]);
        let mut forth = Flow::new(a, link, 300, 4 * KIB);
        let mut other = Flow::new(b, back, 300, 4 * KIB);
        forth.run(&mut world, b, Duration::from_millis(100));
        other.run(&mut world, a, Duration::from_millis(100));
        world.roam(if seed % 2 == 0 { a } else { b });
        assert!(forth.run(&mut world, b, Duration::from_secs(60)), "seed {seed}: {:#?}", tail(&world, a));
        assert!(other.run(&mut world, a, Duration::from_secs(60)), "seed {seed}: {:#?}", tail(&world, b));
        assert_each_once_in_order(&world, b, 300, seed);
        assert_each_once_in_order(&world, a, 300, seed);
    }
}

#[test]
fn relayed_links_outlive_their_router() {
    for seed in seeds(20) {
        let mut world = World::seeded(seed);
        let (a, b, link, back) = relayed_pair(&mut world, [PreferP2p, PreferP2p]);
        let mut forth = Flow::new(a, link, 300, 4 * KIB);
        let mut other = Flow::new(b, back, 300, 4 * KIB);
        forth.run(&mut world, b, Duration::from_millis(100));
        world.kill_router();
        other.run(&mut world, a, Duration::from_millis(200 * seed));
        world.start_router();
        assert!(forth.run(&mut world, b, Duration::from_secs(60)), "seed {seed}: {:#?}", tail(&world, a));
        assert!(other.run(&mut world, a, Duration::from_secs(60)), "seed {seed}: {:#?}", tail(&world, b));
        assert_each_once_in_order(&world, b, 300, seed);
        assert_each_once_in_order(&world, a, 300, seed);
    }
}

#[test]
fn two_that_roam_in_the_same_instant_find_each_other_again() {
    for seed in seeds(20) {
        let mut world = World::seeded(seed);
        let (a, b, link, _) = linked(&mut world);
        let mut flow = Flow::new(a, link, 400, 4 * KIB);
        flow.run(&mut world, b, Duration::from_millis(50));
        world.roam(a);
        world.roam(b);
        assert!(flow.run(&mut world, b, Duration::from_secs(60)), "seed {seed}: {:#?}", tail(&world, a));
        assert_each_once_in_order(&world, b, 400, seed);
        let open = |w: &World| in_state(w, a, LinkState::Open) && in_state(w, b, LinkState::Open);
        assert!(world.run_until(Duration::from_secs(60), open), "seed {seed}: {:#?}", tail(&world, a));
    }
}

#[test]
fn sixteen_relayed_links_share_what_a_router_takes() {
    let mut world = World::seeded(11);
    let a = ready(&mut world, [RelayOnly, RelayOnly])[0];
    let mut flows = Vec::new();
    for n in 0..8 {
        let peer = world.node(&format!("peer {n}"));
        assert!(world.run_until(SOON, |w| w.session(peer).is_some()));
        let link = world.connect(a, peer);
        assert!(world.run_until(SOON, |w| w.count(peer, relayed) == 1 && w.count(a, relayed) == n + 1));
        flows.push((peer, Flow::new(a, link, 400, KIB)));
    }
    for _ in 0..400 {
        for (_, flow) in &mut flows {
            flow.pump(&mut world);
        }
        world.run_for(Duration::from_millis(50));
    }
    for (peer, _) in &flows {
        assert_each_once_in_order(&world, *peer, 400, 11);
    }
    assert_eq!(world.count(a, |e| matches!(e, Event::RouterLost { .. })), 0);
}
