//! How long a message takes that nothing follows, when packets are lost.

use std::time::Duration;

use bytes::Bytes;
use clasp_node::{Channel, Event};
use e2e::{Network, World, seeds};

use crate::establishing::linked;

/// Somebody who says something from time to time.
#[derive(Clone, Copy)]
pub(crate) struct Talk {
    pub every: Duration,
    /// So many messages at once,
    pub messages: u32,
    /// each of so many times four bytes.
    pub words: usize,
}

/// Talks so many times, and returns how long each message took, sorted.
pub(crate) fn latencies(seed: u64, times: u32, talk: Talk, network: Network) -> Vec<Duration> {
    let Talk { every, messages, words } = talk;
    let count = times * messages;
    let mut world = World::seeded(seed);
    let (a, b, link, _) = linked(&mut world);
    world.set_network(network);
    let message = |n: u32| Bytes::from(n.to_be_bytes().repeat(words));
    let mut sent = Vec::new();
    for n in 0..count {
        sent.push(world.elapsed());
        world.with_node(a, |node, now| node.send(now, link, Channel::Reliable, message(n))).expect("open");
        if n % messages == messages - 1 {
            world.run_for(every);
        }
    }
    world.run_for(Duration::from_secs(20));
    let arrived = world.told(b).iter().filter_map(|(at, event)| match event {
        Event::Data { bytes, .. } => Some((*at, bytes)),
        _ => None,
    });
    let mut took = Vec::new();
    for ((n, (at, bytes)), sent) in (0..).zip(arrived).zip(&sent) {
        assert_eq!(*bytes, message(n), "seed {seed}: in order, and whole");
        took.push(at - *sent);
    }
    assert_eq!(took.len(), count as usize, "seed {seed}: every message arrives, once");
    took.sort_unstable();
    took
}

/// A path with a round trip of 20 ms.
pub(crate) fn losing(loss: f64) -> Network {
    Network { latency: Duration::from_millis(10), loss, ..Network::default() }
}

/// Nothing follows a message for a long time.
const LONE: Talk = Talk { every: Duration::from_millis(500), messages: 1, words: 1 };

#[test]
fn a_lost_lone_message_is_repeated_long_before_the_retransmission_timer() {
    let mut all: Vec<_> = seeds(8).flat_map(|seed| latencies(seed, 250, LONE, losing(0.01))).collect();
    all.sort_unstable();
    let at = |share: f64| all[((all.len() - 1) as f64 * share) as usize];
    let (p50, p99, p995) = (at(0.5), at(0.99), at(0.995));
    println!("1 % loss, round trip 20 ms: p50 {p50:?}, p99 {p99:?}, p99.5 {p995:?}, worst {:?}", at(1.0));
    assert_eq!(p50, Duration::from_millis(10));
    // About one in a hundred is lost, so this is half of those. (One in 10 000 is lost twice, and waits for SCTP's own timer.)
    assert!(p995 < Duration::from_millis(150), "{p995:?}: SCTP's own timer takes a second");
    assert!(p99 < Duration::from_millis(150), "{p99:?}");
}

#[test]
fn without_loss_nothing_waits() {
    let took = latencies(1, 20, LONE, losing(0.0));
    assert!(took.iter().all(|took| *took == Duration::from_millis(10)), "{took:?}");
}
