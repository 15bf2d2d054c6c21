//! Everything at once, by seed: loss, long ways, reordering, partitions, moves, a router that restarts, a peer that dies.
//!
//! `SEEDS=1000 cargo test --release -p e2e --test simulation lottery` runs more of them; `SEED=17` runs that one alone.

use std::time::Duration;

use bytes::Bytes;
use clasp_node::{Channel, DisconnectReason, Event, LinkId, LinkState, SendError};
use e2e::{Network, NodeId, World, number};

use crate::establishing::linked;
use crate::surviving::received;
use crate::trust::linked_pair;

/// Runs of an ordinary `cargo test`.
const SEEDS: u64 = 24;

/// Time the storm lasts, in steps of a quarter second.
const STEPS: usize = 120;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    Partition(usize),
    Move(NodeId),
    Roam(NodeId),
    RouterRestart(usize),
    Kill(NodeId),
}

/// One side of the link: what it has sent and what it must have got.
struct Side {
    node: NodeId,
    link: LinkId,
    sent: u32,
    alive: bool,
}

fn message(number: u32) -> Bytes {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.resize(16 + (number as usize * 131) % 3000, 7);
    bytes.into()
}

fn draw_blow(world: &mut World, a: NodeId, b: NodeId) -> Option<Blow> {
    let who = if world.draw(2) == 0 { a } else { b };
    Some(match world.draw(60) {
        0 => Blow::Partition(world.draw(240)), // up to 60 s
        1 => Blow::Partition(world.draw(12)),
        2 | 3 => Blow::Move(who),
        4 | 5 => Blow::Roam(who),
        6 => Blow::RouterRestart(world.draw(20)),
        7 if world.draw(8) == 0 => Blow::Kill(who),
        _ => return None,
    })
}

fn end_of(world: &World, side: &Side) -> Option<DisconnectReason> {
    world.told(side.node).iter().find_map(|(_, event)| match event {
        Event::Disconnected { link, why, .. } if *link == side.link => Some(why.clone()),
        _ => None,
    })
}

fn send(world: &mut World, side: &mut Side, seed: u64) {
    if !side.alive {
        return;
    }
    let (link, next) = (side.link, message(side.sent));
    match world.with_node(side.node, |node, now| node.send(now, link, Channel::Reliable, next)) {
        Ok(()) => side.sent += 1,
        Err(SendError::Full(_)) => {}
        Err(SendError::NotOpen) => {
            assert!(end_of(world, side).is_some(), "seed {seed}: not open, and no word of it")
        }
        Err(error) => panic!("seed {seed}: {error}"),
    }
}

/// What arrived is the beginning of what was sent: nothing twice, nothing missing in between.
fn assert_prefix(world: &World, from: &Side, to: &Side, seed: u64) -> usize {
    let got = received(world, to.node);
    assert!(got.iter().map(|(_, number)| *number).eq(0..got.len() as u32), "seed {seed}: {got:?}");
    assert!(got.len() <= from.sent as usize, "seed {seed}: more than was sent");
    got.len()
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Linked,
    /// The link is over, though both nodes live.
    Parted,
    /// One node was killed.
    Bereft,
}

fn run(seed: u64) -> End {
    let mut world = World::seeded(seed);
    // Every second pair trusts nobody, not even the router.
    let (a, b, link_a, link_b) =
        if seed.is_multiple_of(2) { linked(&mut world) } else { linked_pair(&mut world) };
    let latency = Duration::from_millis(world.draw(400) as u64);
    let jitter = Duration::from_millis(world.draw(30) as u64);
    let loss = world.draw(26) as f64 / 100.0;
    world.set_network(Network { latency, jitter, loss, bursts: false });
    let mut sides = [(a, link_a), (b, link_b)].map(|(node, link)| Side { node, link, sent: 0, alive: true });
    let (mut healed_in, mut router_in, mut blows) = (None, None, Vec::new());
    for step in 0..STEPS {
        for side in &mut sides {
            send(&mut world, side, seed);
        }
        match draw_blow(&mut world, a, b).filter(|_| step > 4) {
            Some(Blow::Partition(steps)) if healed_in.is_none() => {
                world.cut(a, b);
                healed_in = Some(steps);
                blows.push((world.elapsed(), Blow::Partition(steps)));
            }
            Some(Blow::RouterRestart(steps)) if router_in.is_none() => {
                world.kill_router();
                router_in = Some(steps);
                blows.push((world.elapsed(), Blow::RouterRestart(steps)));
            }
            Some(blow @ (Blow::Move(node) | Blow::Roam(node) | Blow::Kill(node))) => {
                let Some(side) = sides.iter_mut().find(|side| side.node == node && side.alive) else {
                    continue;
                };
                match blow {
                    Blow::Move(_) => world.move_node(node),
                    Blow::Roam(_) => world.roam(node),
                    _ => {
                        world.kill(node);
                        side.alive = false;
                    }
                }
                blows.push((world.elapsed(), blow));
            }
            _ => {}
        }
        healed_in = healed_in.and_then(|steps| {
            steps.checked_sub(1).or_else(|| {
                world.heal(a, b);
                None
            })
        });
        router_in = router_in.and_then(|steps| {
            steps.checked_sub(1).or_else(|| {
                world.start_router();
                None
            })
        });
        world.run_for(Duration::from_millis(250));
    }
    // Then calm: what can be settled is.
    world.heal(a, b);
    if world.router().is_none() {
        world.start_router();
    }
    world.set_network(Network { latency, ..Network::default() });
    let wanted = sides.each_ref().map(|side| side.sent as usize);
    let arrived = |w: &World| [received(w, b).len(), received(w, a).len()] == wanted;
    let over = |w: &World| sides.iter().all(|side| !side.alive || end_of(w, side).is_some());
    let settled = world.run_until(Duration::from_secs(150), |w| over(w) || arrived(w));
    let context = || format!("seed {seed}: {latency:?}, {jitter:?}, loss {loss}, {blows:?}");
    assert!(
        settled,
        "{}: neither over nor complete: {} and {} of {wanted:?}, {:?}, {:?}",
        context(),
        received(&world, b).len(),
        received(&world, a).len(),
        world.told(a).iter().rev().take(6).collect::<Vec<_>>(),
        world.told(b).iter().rev().take(6).collect::<Vec<_>>(),
    );
    world.run_for(Duration::from_secs(40));
    let [first, second] = &sides;
    let forth = assert_prefix(&world, first, second, seed);
    let back = assert_prefix(&world, second, first, seed);
    for side in &sides {
        let ends =
            world.count(side.node, |e| matches!(e, Event::Disconnected { link, .. } if *link == side.link));
        assert!(ends <= 1, "{}: the end was told {ends} times", context());
        assert_eq!(world.count(side.node, |e| matches!(e, Event::Connected { .. })), 1, "{}", context());
    }
    let ends = [first, second].map(|side| end_of(&world, side));
    let [end_first, end_second] = &ends;
    for (side, end, other, other_end) in
        [(first, end_first, second, end_second), (second, end_second, first, end_first)]
    {
        if !side.alive {
            continue;
        }
        let links: Vec<_> = world.with_node(side.node, |node, _| node.links().collect());
        match end {
            None => {
                // Still linked, so the other one is as well, and everything arrived.
                assert!(other.alive && other_end.is_none(), "{}: half a link, {ends:?}", context());
                assert_eq!((forth, back), (first.sent as usize, second.sent as usize), "{}", context());
                assert!(links.iter().all(|link| link.state == LinkState::Open), "{}: {links:?}", context());
            }
            Some(why) => {
                let right = matches!(why, DisconnectReason::Lost | DisconnectReason::Remote(_));
                assert!(right, "{}: {why:?}", context());
                assert!(links.is_empty(), "{}: {links:?}", context());
            }
        }
    }
    match ends {
        [None, None] => End::Linked,
        _ if sides.iter().all(|side| side.alive) => End::Parted,
        _ => End::Bereft,
    }
}

#[test]
fn whatever_happens_a_link_delivers_or_says_why_not() {
    if let Some(seed) = number("SEED") {
        println!("seed {seed}: {:?}", run(seed));
        return;
    }
    let seeds = number("SEEDS").unwrap_or(SEEDS);
    let ends: Vec<_> = (0..seeds).map(run).collect();
    let count = |end| ends.iter().filter(|e| **e == end).count();
    let (linked, parted, bereft) = (count(End::Linked), count(End::Parted), count(End::Bereft));
    println!(
        "{seeds} links: {linked} survived, {parted} ended though both nodes lived, {bereft} lost a node"
    );
    assert!(linked >= parted * 9, "{linked} of {} links between living nodes survived", linked + parted);
}
