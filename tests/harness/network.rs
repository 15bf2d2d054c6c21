//! What a virtual network does to what travels on it.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

/// The properties of every path.
#[derive(Debug, Clone, Copy)]
pub struct Network {
    /// One way.
    pub latency: Duration,
    /// Added to each datagram's latency, up to this much; more than the gap between two of them reorders them.
    pub jitter: Duration,
    /// Share of datagrams lost, 0 to 1.
    pub loss: f64,
    /// What a node sends to one address in the same moment shares its fate, like the packets in one frame of a wireless network.
    pub bursts: bool,
}

impl Default for Network {
    fn default() -> Self {
        Self { latency: Duration::from_millis(1), jitter: Duration::ZERO, loss: 0.0, bursts: false }
    }
}

impl Network {
    /// When a datagram arrives, or `None` if it does not.
    pub(crate) fn datagram(&self, rng: &mut StdRng) -> Option<Duration> {
        if rng.random_bool(self.loss) {
            return None;
        }
        let jitter = u64::try_from(self.jitter.as_micros()).unwrap_or(u64::MAX);
        Some(self.latency + Duration::from_micros(rng.random_range(0..=jitter)))
    }
}

/// What happens to P2P signals between the router and a node, each a share from 0 to 1. Everything else arrives in order.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// Never arrives.
    pub lost: f64,
    /// Arrives twice.
    pub duplicated: f64,
    /// Arrives after what was sent up to 50 ms later.
    pub delayed: f64,
}

impl Faults {
    /// The delays of the copies that arrive.
    pub(crate) fn apply(&self, rng: &mut StdRng) -> Vec<Duration> {
        if rng.random_bool(self.lost) {
            return Vec::new();
        }
        let copies = if rng.random_bool(self.duplicated) { 2 } else { 1 };
        (0..copies)
            .map(|_| {
                let late = rng.random_bool(self.delayed);
                Duration::from_micros(if late { rng.random_range(0..50_000) } else { 0 })
            })
            .collect()
    }
}
