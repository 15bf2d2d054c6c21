//! Links whose path changes, stalls or dies.

use std::time::Duration;

use bytes::Bytes;
use clasp_node::{Channel, DisconnectReason, Event, LinkId, LinkState, RoutingMode, SendError};
use e2e::{Faults, Network, NodeId, World, seeds};

use crate::establishing::{linked, linked_with};

pub(crate) const KIB: usize = 1024;

pub(crate) fn lost(event: &Event) -> bool {
    matches!(event, Event::Disconnected { why: DisconnectReason::Lost, .. })
}

pub(crate) fn ended(event: &Event) -> bool {
    matches!(event, Event::Disconnected { .. })
}

pub(crate) fn in_state(world: &World, node: NodeId, wanted: LinkState) -> bool {
    let last = world.told(node).iter().rev().find_map(|(_, event)| match event {
        Event::State { state, .. } => Some(*state),
        _ => None,
    });
    last == Some(wanted)
}

pub(crate) fn message(number: u32, len: usize) -> Bytes {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.resize(len.max(4), 7);
    bytes.into()
}

/// Keeps the queue of a link full until `count` messages were taken, whatever happens to its path.
pub(crate) struct Flow {
    from: NodeId,
    link: LinkId,
    next: u32,
    count: u32,
    len: usize,
}

impl Flow {
    pub(crate) fn new(from: NodeId, link: LinkId, count: u32, len: usize) -> Self {
        Self { from, link, next: 0, count, len }
    }

    /// Has this many more to send.
    pub(crate) fn extend(&mut self, more: u32) {
        self.count += more;
    }

    /// Sends what the node takes now.
    pub(crate) fn pump(&mut self, world: &mut World) {
        while self.next < self.count {
            let (link, message) = (self.link, message(self.next, self.len));
            match world.with_node(self.from, |n, now| n.send(now, link, Channel::Reliable, message)) {
                Ok(()) => self.next += 1,
                Err(SendError::Full(_)) => return,
                Err(error) => panic!("{error}: {:#?}", tail(world, self.from)),
            }
        }
    }

    /// Lets time run until all has arrived at `to`, or for `limit`. Says whether it did.
    pub(crate) fn run(&mut self, world: &mut World, to: NodeId, limit: Duration) -> bool {
        let end = world.elapsed() + limit;
        while world.elapsed() < end {
            self.pump(world);
            if received(world, to).len() == self.count as usize {
                return true;
            }
            world.run_for(Duration::from_millis(20));
        }
        false
    }
}

/// The numbers of the reliable messages that arrived, in that order, and when.
pub(crate) fn received(world: &World, node: NodeId) -> Vec<(Duration, u32)> {
    let number = |(at, event): &(Duration, Event)| match event {
        Event::Data { channel: Channel::Reliable, bytes, .. } => {
            Some((*at, u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?)))
        }
        _ => None,
    };
    world.told(node).iter().filter_map(number).collect()
}

pub(crate) fn assert_each_once_in_order(world: &World, node: NodeId, count: u32, seed: u64) {
    let numbers: Vec<_> = received(world, node).into_iter().map(|(_, number)| number).collect();
    assert!(numbers.iter().copied().eq(0..count), "seed {seed}: {numbers:?}, {:#?}", tail(world, node));
}

/// The link is open: a message gets through it within `limit`, once, and it is the first that `to` ever got.
fn assert_carries(world: &mut World, (from, link): (NodeId, LinkId), to: NodeId, limit: Duration, seed: u64) {
    world.with_node(from, |n, now| n.send(now, link, Channel::Reliable, message(0, 4))).expect("open");
    world.run_for(limit);
    assert_each_once_in_order(world, to, 1, seed);
}

#[test]
fn a_killed_node_is_noticed_within_seven_seconds() {
    for seed in seeds(30) {
        let mut world = World::seeded(seed);
        let (a, b, link, _) = linked(&mut world);
        if seed % 2 == 0 {
            let mut flow = Flow::new(a, link, 10_000, 4 * KIB);
            flow.run(&mut world, b, Duration::from_millis(500 + seed * 37));
        } else {
            world.run_for(Duration::from_millis(seed * 331));
        }
        world.kill(b);
        let killed_at = world.elapsed();
        assert!(
            world.run_until(Duration::from_secs(7), |w| w.count(a, lost) == 1),
            "seed {seed}: {:#?}",
            tail(&world, a)
        );
        assert!(world.elapsed() - killed_at >= Duration::from_secs(4), "seed {seed}: not in a hurry");
        world.run_for(Duration::from_secs(2));
        assert_eq!(world.with_node(a, |n, _| n.links().count()), 0, "seed {seed}");
    }
}

#[test]
fn a_dead_path_between_two_living_nodes_is_told_at_once_and_the_router_takes_over() {
    for seed in seeds(30) {
        let mut world = World::seeded(seed);
        let (a, b, ..) = linked(&mut world);
        world.run_for(Duration::from_millis(seed * 331));
        world.cut(a, b);
        let restarting =
            |w: &World| in_state(w, a, LinkState::Restarting) && in_state(w, b, LinkState::Restarting);
        assert!(world.run_until(Duration::from_secs(5), restarting), "seed {seed}: {:#?}", tail(&world, a));
        let relayed = |w: &World| in_state(w, a, LinkState::Relayed) && in_state(w, b, LinkState::Relayed);
        assert!(world.run_until(Duration::from_secs(3), relayed), "seed {seed}: {:#?}", tail(&world, a));
        assert_eq!((world.count(a, ended), world.count(b, ended)), (0, 0), "seed {seed}");
    }
}

#[test]
fn without_a_path_and_without_a_router_a_link_is_given_up() {
    for seed in seeds(20) {
        let mut world = World::seeded(seed);
        let (a, b, link, _) = linked(&mut world);
        world.kill_router();
        let mut flow = Flow::new(a, link, 10_000, 4 * KIB);
        flow.run(&mut world, b, Duration::from_millis(500 + seed * 37));
        world.cut(a, b);
        // As a peer that had the router in its own process and is gone with it.
        assert!(
            world.run_until(Duration::from_secs(8), |w| w.count(a, lost) == 1 && w.count(b, lost) == 1),
            "seed {seed}: {:#?}",
            tail(&world, a)
        );
    }
}

#[test]
fn a_goodbye_needs_no_router() {
    let mut world = World::seeded(2);
    let (a, b, link, _) = linked(&mut world);
    world.kill_router();
    world.run_for(Duration::from_secs(1));
    world.with_node(a, |n, now| n.disconnect(now, link, "bye"));
    assert!(world.run_until(Duration::from_secs(1), |w| w.count(b, ended) == 1), "{:#?}", tail(&world, b));
    assert_eq!(world.count(b, lost), 0, "{:#?}", tail(&world, b));
}

#[test]
fn an_idle_link_lives_on_through_loss_and_long_ways() {
    for seed in seeds(12) {
        let mut world = World::seeded(seed);
        let (a, b, link, _) = linked(&mut world);
        world.set_network(Network {
            latency: Duration::from_millis(33 * seed),
            jitter: Duration::from_millis(30),
            loss: 0.10,
            bursts: false,
        });
        world.run_for(Duration::from_secs(300));
        assert_eq!(
            (world.count(a, ended), world.count(b, ended)),
            (0, 0),
            "seed {seed}: {:#?}",
            tail(&world, a)
        );
        assert_carries(&mut world, (a, link), b, Duration::from_secs(30), seed);
    }
}

#[test]
fn a_transfer_one_way_is_sign_of_life_enough() {
    // The answers to pings of the sender wait behind nothing, but its pings wait behind what it sends.
    let mut world = World::seeded(3);
    let (a, b, link, _) = linked(&mut world);
    world.set_network(Network { latency: Duration::from_millis(400), ..Network::default() });
    let mut flow = Flow::new(a, link, 600, 16 * KIB);
    assert!(flow.run(&mut world, b, Duration::from_secs(200)), "{:?}", received(&world, b).last());
    assert_each_once_in_order(&world, b, 600, 3);
    assert_eq!((world.count(a, ended), world.count(b, ended)), (0, 0));
}

#[test]
fn a_node_that_moves_in_the_middle_of_a_transfer_loses_nothing() {
    for seed in seeds(30) {
        let mut world = World::seeded(seed);
        let (a, b, link, _) = linked(&mut world);
        world.set_network(Network {
            latency: Duration::from_millis(1 + 2 * seed),
            jitter: Duration::from_millis(seed % 7),
            loss: (seed % 5) as f64 * 0.01,
            bursts: false,
        });
        let count = if seed == 0 { 1500 } else { 300 }; // enough to be in the middle of it after 300 ms
        let mut flow = Flow::new(a, link, count, 8 * KIB);
        flow.run(&mut world, b, Duration::from_millis(300));
        let moved_at = world.elapsed();
        // The offerer, the answerer, or both in the same instant.
        if seed % 3 != 1 {
            world.move_node(a);
        }
        if seed % 3 != 0 {
            world.move_node(b);
        }
        assert!(
            flow.run(&mut world, b, Duration::from_secs(120)),
            "seed {seed}: {:?}",
            received(&world, b).last()
        );
        assert_each_once_in_order(&world, b, count, seed);
        assert_eq!((world.count(a, ended), world.count(b, ended)), (0, 0), "seed {seed}");
        for node in [a, b] {
            assert!(in_state(&world, node, LinkState::Open), "seed {seed}: {:#?}", tail(&world, node));
            let changed = world.count(node, |e| matches!(e, Event::PathChanged { .. }));
            assert!(changed >= 1, "seed {seed}: {:#?}", tail(&world, node));
        }
        let resumed =
            received(&world, b).into_iter().find(|(at, _)| *at > moved_at + Duration::from_millis(400));
        let gap = resumed.map(|(at, _)| at - moved_at);
        // Where packets are lost besides, SCTP's timer (at least 1 s, doubled each time) may have to run out more than once.
        let limit = Duration::from_secs(if seed % 5 == 0 { 3 } else { 10 });
        assert!(gap.is_some_and(|gap| gap < limit), "seed {seed}: interrupted for {gap:?}");
    }
}

#[test]
fn a_node_can_move_though_the_router_was_another_one_before() {
    for seed in seeds(20) {
        let mut world = World::seeded(seed);
        let (a, b, link, _) = linked(&mut world);
        world.kill_router();
        world.run_for(Duration::from_secs(3));
        world.start_router();
        assert!(
            world.run_until(Duration::from_secs(40), |w| w.session(a).is_some() && w.session(b).is_some())
        );
        world.run_for(Duration::from_secs(1));
        world.move_node(if seed % 2 == 0 { a } else { b });
        world.run_for(Duration::from_secs(3));
        assert_eq!(
            (world.count(a, ended), world.count(b, ended)),
            (0, 0),
            "seed {seed}: {:#?}",
            tail(&world, a)
        );
        assert_carries(&mut world, (a, link), b, Duration::from_secs(3), seed);
        assert_eq!(world.count(b, |e| matches!(e, Event::Data { .. })), 1, "notices are not told as data");
    }
}

#[test]
fn a_node_that_roams_comes_back_with_another_session_and_keeps_its_link() {
    for seed in seeds(24) {
        let latency = Duration::from_millis(1 + 2 * seed);
        let mut world = World::seeded(seed).network(Network { latency, ..Network::default() });
        let (a, b, link, back) = linked(&mut world);
        let mut flow = Flow::new(a, link, 300, 8 * KIB);
        flow.run(&mut world, b, Duration::from_millis(200));
        let before = world.session(a).map(str::to_owned);
        world.roam(a);
        if seed % 4 == 3 {
            world.run_for(Duration::from_millis(seed * 10));
            world.roam(a);
        }
        assert!(flow.run(&mut world, b, Duration::from_secs(30)), "seed {seed}: {:#?}", tail(&world, a));
        assert_each_once_in_order(&world, b, 300, seed);
        assert_ne!(world.session(a).map(str::to_owned), before, "seed {seed}");
        assert_eq!((world.count(a, ended), world.count(b, ended)), (0, 0), "seed {seed}");
        // The other one may move too, once it knows where to send its offer.
        let open = |w: &World| in_state(w, a, LinkState::Open) && in_state(w, b, LinkState::Open);
        assert!(world.run_until(Duration::from_secs(3), open), "seed {seed}: {:#?}", tail(&world, a));
        world.roam(b);
        world.run_for(Duration::from_secs(3));
        assert_carries(&mut world, (b, back), a, Duration::from_secs(3), seed);
    }
}

#[test]
fn moving_again_and_again_ends_where_the_node_is_last() {
    for seed in seeds(20) {
        let mut world = World::seeded(seed);
        let (a, b, link, back) = linked(&mut world);
        for step in 0..40 {
            let who = if (seed + step) % 2 == 0 { a } else { b };
            world.move_node(who);
            world.run_for(Duration::from_millis(20 + (seed * step * 7) % 600));
        }
        world.run_for(Duration::from_secs(10));
        world.with_node(a, |n, now| n.send(now, link, Channel::Reliable, message(0, 4))).expect("open");
        assert_carries(&mut world, (b, back), a, Duration::from_secs(3), seed);
        assert_each_once_in_order(&world, b, 1, seed);
    }
}

#[test]
fn a_restart_gets_through_lost_doubled_and_reordered_signals() {
    let (mut survived, mut runs) = (0, 0);
    for seed in seeds(40) {
        let mut world = World::seeded(seed);
        let (a, b, link, _) = linked(&mut world);
        world.set_faults(Faults { lost: 0.3, duplicated: 0.3, delayed: 0.5 });
        world.move_node(if seed % 2 == 0 { a } else { b });
        world.run_for(Duration::from_secs(40));
        runs += 1;
        if in_state(&world, a, LinkState::Open) && in_state(&world, b, LinkState::Open) {
            survived += 1;
            assert_carries(&mut world, (a, link), b, Duration::from_secs(3), seed);
        } else {
            // Never half a link: both know that it is over.
            assert_eq!((world.count(a, ended), world.count(b, ended)), (1, 1), "seed {seed}");
        }
    }
    println!("{survived} of {runs} links survived");
    assert!(survived * 10 >= runs * 9, "{survived} of {runs}");
}

#[test]
fn a_restart_of_a_link_that_has_ended_there_ends_it_here() {
    for routing in RoutingMode::ALL.into_iter().filter(|mode| *mode != RoutingMode::RelayOnly) {
        let mut world = World::seeded(4);
        let (a, b, _, back) = linked_with(&mut world, routing);
        // b closes the link, and nothing of its goodbye arrives.
        world.cut(a, b);
        world.set_faults(Faults { lost: 1.0, ..Faults::default() });
        world.with_node(b, |n, now| n.disconnect(now, back, "bye"));
        world.run_for(Duration::from_secs(2));
        assert_eq!((world.count(a, ended), world.count(b, ended)), (0, 1));
        world.set_faults(Faults::default());
        world.heal(a, b);
        let over = world.run_until(Duration::from_secs(4), |w| w.count(a, ended) == 1);
        assert!(over, "{routing}: {:#?}", tail(&world, a));
        world.run_for(Duration::from_secs(10));
        assert_eq!(world.with_node(b, |n, _| n.links().count()), 0, "no new link came of it");
        assert_eq!(world.count(b, |e| matches!(e, Event::Connected { .. })), 1);
    }
}

#[test]
fn a_stalled_path_is_replaced_before_the_link_is_given_up() {
    // Only the old pair of addresses is dead, as behind a NAT that forgot it: the node's move makes no noise of its own.
    for seed in seeds(20) {
        let mut world = World::seeded(seed);
        let (a, b, link, _) = linked(&mut world);
        world.cut(a, b);
        // The path comes back after the stall was noticed, but what str0m believes of it may be anything.
        world.run_for(Duration::from_millis(4_300));
        assert!(in_state(&world, a, LinkState::Restarting), "seed {seed}: {:#?}", tail(&world, a));
        world.heal(a, b);
        world.run_for(Duration::from_secs(8));
        assert_eq!(
            (world.count(a, ended), world.count(b, ended)),
            (0, 0),
            "seed {seed}: {:#?}",
            tail(&world, a)
        );
        assert_carries(&mut world, (a, link), b, Duration::from_secs(3), seed);
    }
}

/// The last of what a node told: what a failure is about.
pub(crate) fn tail(world: &World, node: NodeId) -> Vec<String> {
    let news =
        |(_, event): &&(Duration, Event)| !matches!(event, Event::Writable { .. } | Event::Data { .. });
    let lines = world.told(node).iter().filter(news).map(|(at, event)| format!("{at:?} {event:?}"));
    let lines: Vec<_> = lines.collect();
    lines.get(lines.len().saturating_sub(16)..).unwrap_or(&lines).to_vec()
}
