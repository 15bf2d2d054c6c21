//! How long a message takes in a steady stream of them, when packets are lost.

use std::time::Duration;

use e2e::{Network, seeds};

use crate::lone_messages::{Talk, latencies, losing};

/// A thousand messages of 64 bytes a second.
const STEADY: Talk = Talk { every: Duration::from_millis(1), messages: 1, words: 16 };

/// As many, of a sensor that collects what it measures for 10 ms.
const COLLECTED: Talk = Talk { every: Duration::from_millis(10), messages: 10, words: 25 };

const SHORT: Duration = Duration::from_millis(1);

/// p50, p90, p99 and the worst of ten seconds on each of ten such networks.
fn shares(talk: Talk, network: Network) -> [Duration; 4] {
    let mut all: Vec<_> =
        seeds(10).flat_map(|seed| latencies(seed, 10_000 / talk.messages, talk, network)).collect();
    all.sort_unstable();
    [0.5, 0.9, 0.99, 1.0].map(|share| *all.get(((all.len() - 1) as f64 * share) as usize).expect("a share"))
}

/// One packet in ten thousand is lost twice, and its channel held up for a second and more; here that is every tenth second.
#[test]
fn a_lost_repetition_does_not_hold_up_a_steady_stream() {
    let all @ [p50, p90, p99, worst] = shares(STEADY, losing(0.01));
    println!("p50, p90, p99, worst {all:?}");
    assert_eq!(p50, Duration::from_millis(10));
    assert!(p90 < Duration::from_millis(60), "{all:?}");
    assert!(p99 < Duration::from_millis(250), "{all:?}");
    assert!(worst < Duration::from_millis(500), "{all:?}: SCTP's own timer takes a second");
}

/// Two packets of ten that are sent at once are lost so often that the channel is held up every third second. When SCTP's timer expires,
/// its window is one packet, and the acknowledgement of one is delayed by 200 ms.
#[test]
fn a_sensor_that_collects_is_not_held_up_either() {
    let all @ [p50, p90, p99, worst] = shares(COLLECTED, Network { latency: SHORT, ..losing(0.01) });
    println!("p50, p90, p99, worst {all:?}");
    assert_eq!(p50, SHORT);
    assert!(p90 < Duration::from_millis(30), "{all:?}");
    assert!(p99 < Duration::from_millis(60), "{all:?}");
    assert!(worst < Duration::from_millis(190), "{all:?}");
}

/// What is sent a second time at once is lost with the first.
#[test]
fn nor_is_one_whose_losses_take_all_that_is_sent_at_once() {
    let all @ [_, p90, p99, worst] = shares(STEADY, Network { latency: SHORT, bursts: true, ..losing(0.03) });
    println!("p50, p90, p99, worst {all:?}");
    assert!(p90 < Duration::from_millis(30), "{all:?}");
    assert!(p99 < Duration::from_millis(60), "{all:?}");
    assert!(worst < Duration::from_millis(300), "{all:?}");
}

#[test]
fn a_bad_path_costs_time_and_no_message() {
    let network = Network { latency: Duration::from_millis(25), ..losing(0.1) };
    for seed in seeds(4) {
        let took = latencies(seed, 2_000, STEADY, network);
        println!("10 % loss, seed {seed}: worst {:?}", took.last());
    }
}
