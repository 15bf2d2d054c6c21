//! How long a message takes in a steady stream of them, when packets are lost.

use std::time::Duration;

use e2e::seeds;

use crate::lone_messages::latencies;

/// A thousand messages of 64 bytes a second.
const STEADY: (Duration, usize) = (Duration::from_millis(1), 16);

/// One packet in ten thousand is lost twice, and its channel held up for a second and more; here that is every tenth second.
#[test]
fn a_lost_repetition_does_not_hold_up_a_steady_stream() {
    let mut all: Vec<_> =
        seeds(10).flat_map(|seed| latencies(seed, 10_000, STEADY, Duration::from_millis(10), 0.01)).collect();
    all.sort_unstable();
    let at = |share: f64| *all.get(((all.len() - 1) as f64 * share) as usize).expect("a share");
    let (p50, p90, p99, worst) = (at(0.5), at(0.9), at(0.99), at(1.0));
    println!("1 % loss, round trip 20 ms: p50 {p50:?}, p90 {p90:?}, p99 {p99:?}, worst {worst:?}");
    assert_eq!(p50, Duration::from_millis(10));
    assert!(p90 < Duration::from_millis(60), "{p90:?}");
    assert!(p99 < Duration::from_millis(250), "{p99:?}");
    assert!(worst < Duration::from_millis(500), "{worst:?}: SCTP's own timer takes a second");
}

#[test]
fn a_bad_path_costs_time_and_no_message() {
    for seed in seeds(4) {
        let took = latencies(seed, 2_000, STEADY, Duration::from_millis(25), 0.1);
        println!("10 % loss, seed {seed}: worst {:?}", took.last());
    }
}
