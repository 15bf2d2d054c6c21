//! Two sides that call each other at the same time (glare), ours and stock ones in every pairing.

use std::time::Duration;

use bytes::Bytes;
use clasp_node::{Channel, Event, LinkId, LinkState};
use e2e::{Network, NodeId, World, seeds};

const SOON: Duration = Duration::from_secs(5);
/// One way to the router. Signals take twice that, so calls within 50 ms of each other cross.
const LATENCY: Duration = Duration::from_millis(25);

fn world(seed: u64) -> World {
    World::seeded(seed).network(Network { latency: LATENCY, ..Network::default() })
}

fn connected(world: &World, node: NodeId) -> usize {
    world.count(node, |e| matches!(e, Event::Connected { .. }))
}

fn ended(world: &World, node: NodeId) -> usize {
    world.count(node, |e| matches!(e, Event::Failed { .. } | Event::Disconnected { .. }))
}

/// The first call, a head start of up to `within`, the second call.
fn cross(world: &mut World, within: Duration, calls: [&dyn Fn(&mut World); 2]) {
    calls[0](world);
    let head_start = world.draw(within.as_millis() as usize) as u64;
    world.run_for(Duration::from_millis(head_start));
    calls[1](world);
}

#[test]
fn calls_of_our_nodes_that_cross_become_one_link() {
    for seed in seeds(50) {
        let mut world = world(seed);
        let [a, b] = world.ready_nodes(["a", "b"]);
        cross(&mut world, 2 * LATENCY, [&|w| _ = w.connect(a, b), &|w| _ = w.connect(b, a)]);
        let opened = world.run_until(SOON, |w| connected(w, a) == 1 && connected(w, b) == 1);
        assert!(opened, "seed {seed}: {:?}\n{:?}", world.told(a), world.told(b));
        world.run_for(Duration::from_secs(15));
        for node in [a, b] {
            assert_eq!(connected(&world, node), 1, "seed {seed}");
            assert_eq!(ended(&world, node), 0, "seed {seed}: {:?}", world.told(node));
            assert_eq!(world.with_node(node, |n, _| n.links().count()), 1, "seed {seed}");
        }
    }
}

/// Whoever is first, and however far the second is behind: also when it calls before, while and after the first call opens.
#[test]
fn a_call_of_ours_and_one_of_a_stock_peer_that_cross_join_them() {
    for seed in seeds(200) {
        let mut world = world(seed);
        let [ours] = world.ready_nodes(["ours"]);
        let stock = world.stock_peer();
        assert!(world.run_until(SOON, |w| w.session(stock).is_some()), "seed {seed}");
        let session = |w: &World, of| w.session(of).expect("a session").to_owned();
        let (our_session, its_session) = (session(&world, ours), session(&world, stock));
        // Refused if its call has arrived already: the link is there.
        let our_call = |w: &mut World| _ = w.try_connect(ours, stock);
        let its_call = |w: &mut World| w.with_stock(stock, |s, now| s.call(now, &our_session));
        let within = if seed % 4 < 2 { 2 * LATENCY } else { 20 * LATENCY };
        if seed % 2 == 0 {
            cross(&mut world, within, [&our_call, &its_call]);
        } else {
            cross(&mut world, within, [&its_call, &our_call]);
        }
        let opened =
            world.run_until(SOON, |w| connected(w, ours) > 0 && w.stock(stock).is_open(&our_session));
        assert!(opened, "seed {seed}: {:?}\n{:?}", world.told(ours), world.stock(stock));

        // Past the stock peer's timer, which ends the wrong call if it can.
        world.run_for(Duration::from_secs(35));
        assert_eq!(world.stock(stock).given_up(), 0, "seed {seed}");
        assert_eq!(ended(&world, ours), 0, "seed {seed}: {:?}", world.told(ours));
        let link = open_link(&mut world, ours, &its_session, seed);
        let (there, back) = (Bytes::from_static(b"there"), Bytes::from_static(b"back"));
        world.with_node(ours, |n, now| n.send(now, link, Channel::Reliable, there.clone()).expect("room"));
        world.with_stock(stock, |s, now| s.send(now, &our_session, back.clone()));
        world.run_for(Duration::from_secs(1));
        assert_eq!(world.stock(stock).received(), [there], "seed {seed}");
        assert_eq!(
            world.count(ours, |e| matches!(e, Event::Data { bytes, .. } if *bytes == back)),
            1,
            "seed {seed}"
        );
    }
}

fn open_link(world: &mut World, node: NodeId, session: &str, seed: u64) -> LinkId {
    let open = world.with_node(node, |n, _| {
        let open = |l: &clasp_node::LinkInfo| l.state == LinkState::Open && l.peer == session;
        n.links().filter(open).map(|l| l.link).last()
    });
    open.unwrap_or_else(|| panic!("seed {seed}: no open link"))
}

/// Shows that the model is a stock peer where it hurts: two of them never get out of it (D23).
#[test]
fn calls_of_two_stock_peers_that_cross_fail_both() {
    for seed in seeds(20) {
        let mut world = world(seed);
        let peers = [world.stock_peer(), world.stock_peer()];
        assert!(world.run_until(SOON, |w| peers.iter().all(|p| w.session(*p).is_some())));
        let [a, b] = peers.map(|peer| world.session(peer).expect("a session").to_owned());
        let call =
            |who: NodeId, whom: String| move |w: &mut World| w.with_stock(who, |s, now| s.call(now, &whom));
        cross(&mut world, 2 * LATENCY, [&call(peers[0], b), &call(peers[1], a)]);
        world.run_for(Duration::from_secs(35));
        assert_eq!(peers.map(|peer| world.stock(peer).given_up()), [1, 1], "seed {seed}");
    }
}
