//! Routers that restart, stall, or forget.

use std::time::Duration;

use bytes::Bytes;
use clasp_node::{Channel, Event};
use e2e::{NodeId, World};

use crate::establishing::{connected, linked};

#[test]
fn an_open_link_survives_the_router_and_the_nodes_come_back_to_a_new_one() {
    let mut world = World::seeded(7);
    let (a, b, link, _) = linked(&mut world);
    let before = world.session(a).map(str::to_owned);
    world.kill_router();
    world.run_for(Duration::from_secs(60));
    assert_eq!((world.session(a), world.session(b)), (None, None));
    world.with_node(a, |n, now| {
        n.send(now, link, Channel::Reliable, Bytes::from_static(b"still here")).expect("open")
    });
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.count(b, |e| matches!(e, Event::Data { bytes, .. } if bytes == "still here")), 1);

    world.start_router();
    let back = world.run_until(Duration::from_secs(40), |w| w.session(a).is_some() && w.session(b).is_some());
    assert!(back, "the longest wait between two tries is 30 s");
    assert_ne!(world.session(a).map(str::to_owned), before);
    world.run_for(Duration::from_secs(5));
    for node in [a, b] {
        assert_eq!(
            world.count(node, |e| matches!(e, Event::Disconnected { .. })),
            0,
            "{:?}",
            world.told(node)
        );
    }
}

#[test]
fn a_session_that_ends_does_not_end_an_open_link() {
    let mut world = World::seeded(8);
    let (a, b, link, _) = linked(&mut world);
    world.stall(b);
    // Fill b's outbox until the router closes its session as a slow consumer.
    let target = world.session(b).expect("ready").to_owned();
    for n in 0..600_u32 {
        let mut frame = Vec::new();
        let signal = clasp_wire::p2p::P2pSignal {
            from: "whoever",
            correlation_id: &n.to_string(),
            body: clasp_wire::p2p::SignalBody::Connected,
            edge: false,
        };
        signal.encode_publish(&target, &mut frame).expect("fits");
        world.inject(a, frame);
        if n % 100 == 99 {
            world.run_for(Duration::from_secs(1));
        }
    }
    world.run_for(Duration::from_secs(20));
    assert!(world.count(b, |e| matches!(e, Event::RouterLost { .. })) >= 1, "the slow consumer was closed");
    assert_eq!(world.count(a, |e| matches!(e, Event::RouterLost { .. })), 0, "and nobody else");
    world.with_node(a, |n, now| {
        n.send(now, link, Channel::Reliable, Bytes::from_static(b"hi")).expect("open")
    });
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.count(b, |e| matches!(e, Event::Data { .. })), 1);
}

#[test]
fn newcomers_and_residents_learn_of_each_other() {
    let mut world = World::seeded(9);
    let [a, b] = world.ready_nodes(["a", "b"]);
    world.run_for(Duration::from_secs(2));
    let [c] = world.ready_nodes(["c"]);
    world.run_for(Duration::from_secs(2));
    for (node, others) in [(a, ["b", "c"]), (b, ["a", "c"]), (c, ["a", "b"])] {
        let mut names: Vec<_> =
            world.with_node(node, |n, _| n.peers().filter_map(|p| p.name.clone()).collect());
        names.sort();
        assert_eq!(names, others);
        assert_eq!(world.count(node, |e| matches!(e, Event::PeerSeen(_))), 2, "each once");
    }
}

#[test]
fn signals_of_an_absent_router_are_sent_when_it_is_back() {
    let mut world = World::seeded(10);
    let [a, b] = world.ready_nodes(["a", "b"]);
    let target = world.session(b).expect("ready").to_owned();
    let link = world.connect_to(a, &target).expect("begun");
    world.kill_router();
    assert!(world.run_until(Duration::from_secs(1), |w| w.session(a).is_none()));
    world.with_node(a, |n, now| n.disconnect(now, link, "changed my mind"));
    world.start_router();
    world.run_for(Duration::from_secs(40));
    // The new router got it, knows no such session, and says so; nothing hangs, nothing is told twice.
    let unknown = world.router().map(|router| router.counters().unknown_targets);
    assert_eq!(unknown, Some(1));
    assert_eq!(world.count(a, |e| matches!(e, Event::Failed { .. })), 1, "{:?}", world.told(a));
    assert_eq!(connected(&world, a), 0);
    assert_eq!(world.with_node(a, |n, _| n.counters().pending_signals_dropped), 0);
}

#[test]
fn two_hundred_nodes_do_not_storm_a_router_that_comes_back() {
    const NODES: usize = 200;
    const BUCKET_MS: u128 = 500;
    let mut world = World::seeded(11);
    let nodes: Vec<_> = (0..NODES).map(|n| world.node(&format!("n{n}"))).collect();
    assert!(world.run_until(Duration::from_secs(30), |w| nodes.iter().all(|n| w.session(*n).is_some())));
    world.kill_router();
    world.run_for(Duration::from_secs(20));
    let back_at = world.elapsed();
    world.start_router();
    let all = world.run_until(Duration::from_secs(60), |w| nodes.iter().all(|n| w.session(*n).is_some()));
    assert!(all, "{} of {NODES} are back", nodes.iter().filter(|n| world.session(**n).is_some()).count());
    let arrived = |node: &_| {
        let again =
            |(at, event): &&(Duration, Event)| *at >= back_at && matches!(event, Event::RouterReady { .. });
        world.told(*node).iter().find(again).map(|(at, _)| *at - back_at)
    };
    let arrivals: Vec<_> = nodes.iter().filter_map(arrived).collect();
    assert_eq!(arrivals.len(), NODES, "each is welcomed");
    let mut histogram = std::collections::BTreeMap::<u128, usize>::new();
    for arrival in &arrivals {
        *histogram.entry(arrival.as_millis() / BUCKET_MS).or_default() += 1;
    }
    for (bucket, count) in &histogram {
        println!("{:5} ms {:3} {}", bucket * BUCKET_MS, count, "#".repeat(*count));
    }
    let most = histogram.values().max().copied().unwrap_or_default();
    assert!(most <= NODES / 10, "{most} of {NODES} came within {BUCKET_MS} ms");
    let again = world.run_until(Duration::from_secs(25), |w| nodes.iter().any(|n| w.session(*n).is_none()));
    let lost = |n: &NodeId| {
        world.told(*n).iter().rev().find(|(_, e)| matches!(e, Event::RouterLost { .. })).cloned()
    };
    assert!(
        !again,
        "nobody is thrown out again: {:?}",
        nodes.iter().find(|n| world.session(**n).is_none()).map(lost)
    );
}
