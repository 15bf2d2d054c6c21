//! What a node says of its links and sessions is what happened to them.

use std::time::Duration;

use bytes::Bytes;
use clasp_node::limits::{MAX_ENDED_LINKS, MAX_REASON_BYTES};
use clasp_node::status::{End, EndedLink, LinkStatus, SessionState, SessionStatus};
use clasp_node::{Channel, LinkState, NodeConfig, RoutingMode};
use e2e::{Network, NodeId, World};

use crate::establishing::linked;

fn link(world: &mut World, node: NodeId) -> LinkStatus {
    let mut links = world.with_node(node, |n, now| n.link_statuses(now));
    assert_eq!(links.len(), 1, "{links:?}");
    links.remove(0)
}

fn ended(world: &mut World, node: NodeId) -> Vec<EndedLink> {
    world.with_node(node, |n, now| n.ended_links(now))
}

fn session(world: &mut World, node: NodeId) -> SessionStatus {
    world.with_node(node, |n, now| n.session_statuses(now)).remove(0)
}

#[test]
fn the_figures_of_a_link_are_those_of_its_path_and_its_messages() {
    let latency = Duration::from_millis(20);
    let mut world = World::seeded(1).network(Network { latency, ..Network::default() });
    let (a, b, ab, _) = linked(&mut world);
    for n in 0..5 {
        let message = Bytes::from(vec![7; 100 + n]);
        world.with_node(a, |node, now| node.send(now, ab, Channel::Reliable, message)).expect("taken");
    }
    world
        .with_node(a, |node, now| node.send(now, ab, Channel::Stream, Bytes::from_static(b"x")))
        .expect("taken");
    let sending = link(&mut world, a);
    assert!(sending.unacknowledged_bytes >= 510, "{sending:?}");
    world.run_for(Duration::from_secs(60));

    let (here, there) = (link(&mut world, a), link(&mut world, b));
    assert_eq!((here.state, there.state), (LinkState::Open, LinkState::Open));
    assert!(here.edge && here.in_state >= Duration::from_secs(60) && here.age > here.in_state, "{here:?}");
    assert_eq!((here.name.as_deref(), there.name.as_deref()), (Some("b"), Some("a")));
    assert_eq!(here.path.map(|p| (p.local, p.remote)), there.path.map(|p| (p.remote, p.local)));
    assert!(here.reliable.sent.messages >= 5 && here.reliable.sent.bytes >= 510, "{here:?}");
    assert_eq!(here.reliable.sent, there.reliable.received, "nothing is lost here");
    assert_eq!(here.stream.sent, there.stream.received);
    assert_eq!((here.unacknowledged_bytes, here.reliable.waiting.messages), (0, 0));
    for status in [&here, &there] {
        let rtt = status.checks.rtt.expect("checked");
        assert!((latency * 2..latency * 2 + Duration::from_millis(5)).contains(&rtt), "{rtt:?}");
        assert!((15..=64).contains(&status.checks.recent), "{:?}", status.checks);
        assert_eq!((status.checks.recent_lost, status.restarts), (0, 0));
    }
    let counters = world.with_node(a, |n, _| n.counters());
    assert_eq!((counters.checks_answered, counters.checks_lost), (u64::from(here.checks.recent), 0));
    let observed = world.with_node(a, |n, _| (n.round_trips().count(), n.round_trips().sum()));
    assert_eq!(observed.0, counters.checks_answered);
    assert!(observed.1 >= latency * 2 * u32::try_from(observed.0).expect("a few"));
}

#[test]
fn loss_on_the_path_shows_as_lost_checks_and_a_move_as_a_restart() {
    let mut world = World::seeded(3);
    let (a, _, _, _) = linked(&mut world);
    world.set_network(Network { loss: 0.1, ..Network::default() });
    world.run_for(Duration::from_secs(300));
    let status = link(&mut world, a);
    // A check is lost with 1 - 0.9² = 19 %, which is 12 of 64, and 5 sigma are 16.
    assert!((1..=28).contains(&status.checks.recent_lost) && status.checks.recent == 64, "{status:?}");

    world.set_network(Network::default());
    assert_eq!(status.state, LinkState::Open);
    let (before, restarts) = (status.path.expect("open"), status.restarts);
    world.move_node(a);
    let moved = world.run_until(Duration::from_secs(20), |world| {
        world.count(a, |e| matches!(e, clasp_node::Event::PathChanged { .. })) > 0
    });
    assert!(moved);
    world.run_for(Duration::from_secs(10));
    let status = link(&mut world, a);
    assert!(status.restarts > restarts, "{status:?}");
    assert_ne!(status.path.map(|p| p.local), Some(before.local));
    assert!((1..10).contains(&status.checks.recent), "counted anew on the new path: {:?}", status.checks);
    assert_eq!(status.checks.recent_lost, 0);
}

#[test]
fn a_reliable_channel_that_losses_hold_up_is_counted_and_none_that_is_only_slow() {
    for (loss, latency, count) in [(0.0, 400, 200), (0.03, 1, 2000)] {
        let mut world = World::seeded(5);
        let (a, b, number, _) = linked(&mut world);
        world.set_network(Network { latency: Duration::from_millis(latency), loss, ..Network::default() });
        for n in 0..count {
            let message = Bytes::from(u32::to_be_bytes(n).repeat(25));
            world.with_node(a, |node, now| node.send(now, number, Channel::Reliable, message)).expect("open");
            world.run_for(Duration::from_millis(if n % 10 == 9 { 10 } else { 0 }));
        }
        let held_up = link(&mut world, a).held_up;
        assert_eq!(held_up > 0, loss > 0.0, "{held_up} times");
        assert_eq!(link(&mut world, b).held_up, 0, "it has sent nothing");
        world.with_node(a, |node, now| node.disconnect(now, number, "done"));
        world.run_for(Duration::from_secs(5));
        assert_eq!(world.with_node(a, |node, _| node.counters().held_up), u64::from(held_up));
    }
}

#[test]
fn why_a_peer_is_not_connected_is_remembered_until_it_is() {
    let mut world = World::seeded(1);
    let config = |name: &str| NodeConfig {
        name: name.to_owned(),
        routing: RoutingMode::P2pOnly,
        ..NodeConfig::open()
    };
    let (a, b) = (world.node_with(config("a")), world.node_with(config("b")));
    world.run_for(Duration::from_secs(1));
    world.cut(a, b);
    world.connect(a, b);
    world.run_for(Duration::from_secs(15));
    let [failed] = ended(&mut world, a).try_into().expect("one");
    assert_eq!((failed.end, failed.name.as_deref()), (End::Failed, Some("b")));
    assert!(failed.why.starts_with("ICE found no working path"), "{failed:?}");
    let tried = failed.tried.expect("told for what never opened");
    assert_eq!((tried.pairs().count(), tried.received_datagrams), (1, 0), "{tried:?}");
    assert!((Duration::from_secs(4)..Duration::from_secs(6)).contains(&failed.ago), "{:?}", failed.ago);

    world.heal(a, b);
    let ab = world.connect(a, b);
    world.run_for(Duration::from_secs(1));
    assert_eq!(link(&mut world, a).state, LinkState::Open);
    assert_eq!(ended(&mut world, a), [], "it is connected");
    world.with_node(a, |n, now| n.disconnect(now, ab, "enough"));
    world.run_for(Duration::from_secs(1));
    let [here] = ended(&mut world, a).try_into().expect("one");
    let [there] = ended(&mut world, b).try_into().expect("one");
    assert_eq!((here.end, here.why.as_str()), (End::Disconnected, "closed here"));
    assert_eq!((there.end, there.why.as_str()), (End::Disconnected, "closed by the peer"));
}

#[test]
fn what_goes_through_the_router_is_told_and_why_it_does() {
    let mut world = World::seeded(1);
    let [a, b] = world.ready_nodes(["a", "b"]);
    world.cut(a, b);
    let ab = world.connect(a, b);
    world.run_for(Duration::from_secs(15));
    let relayed = link(&mut world, a);
    assert_eq!((relayed.state, relayed.path), (LinkState::Relayed, None));
    assert!(relayed.no_path.is_some_and(|why| why.starts_with("ICE found no working path")));
    assert_eq!(relayed.restarts, 0, "it never was open");
    for _ in 0..3 {
        let message = Bytes::from_static(b"0123456789");
        world.with_node(a, |node, now| node.send(now, ab, Channel::Reliable, message)).expect("taken");
    }
    assert_eq!(link(&mut world, a).unconfirmed.messages, 3);
    world.run_for(Duration::from_secs(2));
    let (here, there) = (link(&mut world, a), link(&mut world, b));
    assert_eq!((here.relayed.sent.messages, here.relayed.sent.bytes), (3, 30));
    assert_eq!(here.relayed.sent, there.relayed.received);
    assert_eq!((here.unconfirmed.messages, here.reliable.sent.messages), (0, 0));

    world.heal(a, b);
    world.run_for(Duration::from_secs(120));
    let direct = link(&mut world, a);
    assert_eq!((direct.state, direct.no_path), (LinkState::Open, None));
    assert!(direct.path.is_some() && direct.checks.rtt.is_some());
    assert_eq!(direct.relayed.sent.messages, 3, "what was counted stays");
}

#[test]
fn only_the_last_ends_are_remembered_one_for_each_peer() {
    let mut world = World::seeded(1);
    let [a] = world.ready_nodes(["a"]);
    let session = |n: usize| format!("00000000-0000-4000-8000-{n:012}");
    for n in 0..MAX_ENDED_LINKS + 5 {
        for _ in 0..2 {
            world.connect_to(a, &session(n)).expect("a link can be begun");
            world.run_for(Duration::from_secs(1));
        }
    }
    let peers: Vec<_> = ended(&mut world, a).into_iter().map(|ended| ended.peer).collect();
    let want: Vec<_> = (5..MAX_ENDED_LINKS + 5).rev().map(session).collect();
    assert_eq!(peers, want);
}

#[test]
fn a_session_tells_why_it_was_lost_and_when_it_tries_again() {
    let mut world = World::seeded(1);
    let [a, _b] = world.ready_nodes(["a", "b"]);
    world.run_for(Duration::from_secs(1));
    let ready = session(&mut world, a);
    assert_eq!((ready.state, ready.session.as_deref()), (SessionState::Ready, world.session(a)));
    assert_eq!((ready.lost.as_deref(), ready.retry_in, ready.peers), (None, None, 1));
    world.kill_router();
    world.run_for(Duration::from_secs(5));
    let offline = session(&mut world, a);
    assert!(matches!(offline.state, SessionState::Offline | SessionState::Dialing), "{offline:?}");
    assert!(offline.lost.is_some_and(|why| !why.is_empty() && why.len() <= MAX_REASON_BYTES));
    assert_eq!((offline.session, offline.peers), (None, 0));
    assert_eq!(offline.retry_in.is_some(), offline.state == SessionState::Offline);
    world.start_router();
    assert!(world.run_until(Duration::from_secs(60), |world| world.session(a).is_some()));
    assert_eq!(session(&mut world, a).state, SessionState::Ready);
}
