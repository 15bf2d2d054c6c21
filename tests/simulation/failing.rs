//! Attempts that cannot succeed end with the reason that applies, in the time that was promised.

use std::time::Duration;

use clasp_node::RoutingMode::P2pOnly;
use clasp_node::{ConnectError, DisconnectReason, Event, FailReason, NodeConfig};
use e2e::{Faults, World};

use crate::establishing::{linked, linked_with, ready};

fn failure(world: &World, node: e2e::NodeId) -> Vec<(Duration, FailReason)> {
    let failed = |(at, e): &(Duration, Event)| match e {
        Event::Failed { why, .. } => Some((*at, why.clone())),
        _ => None,
    };
    world.told(node).iter().filter_map(failed).collect()
}

#[test]
fn a_session_that_does_not_exist_fails_at_once() {
    let mut world = World::seeded(1);
    let [a] = world.ready_nodes(["a"]);
    let begun = world.elapsed();
    let nobody = "00000000-0000-4000-8000-000000000000";
    world.connect_to(a, nobody).expect("a link can be begun");
    world.run_for(Duration::from_secs(20));
    let failures = failure(&world, a);
    let [(at, FailReason::NoSuchSession(session))] = failures.as_slice() else { panic!("{failures:?}") };
    assert_eq!(session, nobody);
    assert!(*at - begun <= Duration::from_millis(10), "{:?} is not at once", *at - begun);
}

#[test]
fn what_cannot_be_begun_is_refused_at_once() {
    let mut world = World::seeded(1);
    let [a, b] = world.ready_nodes(["a", "b"]);
    let own = world.session(a).expect("ready").to_owned();
    assert!(matches!(world.connect_to(a, &own), Err(ConnectError::OwnSession)));
    for bad in ["", "x/y", &"x".repeat(65)] {
        assert!(matches!(world.connect_to(a, bad), Err(ConnectError::BadSession(_))), "{bad}");
    }
    let link = world.connect(a, b);
    assert!(matches!(world.try_connect(a, b), Err(ConnectError::AlreadyLinked(l)) if l == link));
    let router = clasp_node::RouterId::new(3);
    let refused = world.with_node(a, |n, now| n.connect(now, router, "x").map(|_| ()));
    assert!(matches!(refused, Err(ConnectError::RouterOffline(_))));
}

#[test]
fn attempts_beyond_the_limit_are_refused() {
    let mut world = World::seeded(1).faults(Faults { lost: 1.0, ..Faults::default() });
    let [a] = world.ready_nodes(["a"]);
    let callees = world.ready_nodes(["b", "c", "d", "e", "f", "g", "h", "i", "j"]);
    for callee in &callees[..8] {
        world.connect(a, *callee);
    }
    assert!(matches!(world.try_connect(a, callees[8]), Err(ConnectError::TooManyInProgress(8))));
}

#[test]
fn no_path_at_all_fails_in_ice_after_the_timeout_on_both_sides() {
    let mut world = World::seeded(2);
    let timeout = Duration::from_secs(3);
    let node = |name: &str| NodeConfig {
        name: name.into(),
        connect_timeout: timeout,
        routing: P2pOnly,
        ..NodeConfig::open()
    };
    let (a, b) = (world.node_with(node("a")), world.node_with(node("b")));
    assert!(world.run_until(timeout, |w| w.session(a).is_some() && w.session(b).is_some()));
    world.cut(a, b);
    let begun = world.elapsed();
    world.connect(a, b);
    world.run_for(Duration::from_secs(20));
    for side in [a, b] {
        let failures = failure(&world, side);
        let [(at, why)] = failures.as_slice() else { panic!("{failures:?}") };
        let took = *at - begun;
        assert!(took >= timeout - Duration::from_millis(50) && took < timeout * 2, "{took:?}");
        // Whichever side gives up first tells the other.
        assert!(
            matches!(why, FailReason::Ice { remote_candidates: 1, .. } | FailReason::Declined(_)),
            "{why:?}"
        );
    }
    let by_ice =
        [a, b].iter().filter(|n| matches!(failure(&world, **n)[0].1, FailReason::Ice { .. })).count();
    assert!(by_ice >= 1);
}

#[test]
fn a_path_that_dies_during_the_handshake_fails_in_the_phase_it_died_in() {
    let (mut dtls, mut channel, mut other, mut open) = (0, 0, 0, 0);
    for step in 0..60_u64 {
        let mut world = World::seeded(step);
        let [a, b] = ready(&mut world, [P2pOnly, P2pOnly]);
        world.connect(a, b);
        world.run_for(Duration::from_micros(500 * step));
        world.cut(a, b);
        world.run_for(Duration::from_secs(120));
        let ends = world.count(a, |e| matches!(e, Event::Failed { .. } | Event::Disconnected { .. }));
        assert_eq!(ends, 1, "step {step}: {:?}", world.told(a));
        match failure(&world, a).first() {
            Some((_, FailReason::Dtls(_))) => dtls += 1,
            Some((_, FailReason::Channel(_))) => channel += 1,
            Some((_, FailReason::Ice { .. } | FailReason::Declined(_))) => other += 1,
            None => open += 1,
            unexpected => panic!("step {step}: {unexpected:?}"),
        }
    }
    assert!(
        dtls > 0 && channel > 0,
        "{dtls} in DTLS, {channel} before the channels opened, {other} in ICE, {open} when open"
    );
}

#[test]
fn an_open_link_whose_path_dies_is_given_up_on_both_sides_if_there_may_be_no_other_way() {
    let mut world = World::seeded(3);
    let (a, b, ..) = linked_with(&mut world, P2pOnly);
    world.cut(a, b);
    world.run_for(Duration::from_secs(120));
    for node in [a, b] {
        let lost = world.count(node, |e| {
            matches!(e, Event::Disconnected { why: DisconnectReason::Lost | DisconnectReason::Remote(_), .. })
        });
        assert_eq!(lost, 1, "{:?}", world.told(node));
    }
}

#[test]
fn a_short_interruption_does_not_end_an_open_link() {
    let mut world = World::seeded(3);
    let (a, b, ..) = linked(&mut world);
    world.cut(a, b);
    world.run_for(Duration::from_secs(4));
    world.heal(a, b);
    world.run_for(Duration::from_secs(60));
    for node in [a, b] {
        assert_eq!(
            world.count(node, |e| matches!(e, Event::Disconnected { .. })),
            0,
            "{:?}",
            world.told(node)
        );
    }
}
