//! A bad path between two hosts, sans-IO: every packet is late, some never come. In both directions, each for itself.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde::Serialize;

/// Packets under way: 50 ms of 10 Gbit/s. Beyond, a packet is lost and counted as such, apart from those lost on purpose.
const MAX_PACKETS: usize = 1 << 16;

/// What the path does to packets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Conditions {
    /// Packets lost, in percent, each way.
    pub(crate) loss_percent: f64,
    /// Milliseconds there and back; half of them each way.
    pub(crate) rtt_ms: u64,
}

impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} % loss, {} ms", self.loss_percent, self.rtt_ms)
    }
}

/// A packet to be handed over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    /// The socket to send it from.
    pub(crate) via: usize,
    /// Where to.
    pub(crate) to: SocketAddr,
    /// What.
    pub(crate) bytes: Vec<u8>,
}

/// What happened on the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(crate) struct Counts {
    /// Packets that entered it.
    pub(crate) packets: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Packets lost on purpose.
    pub(crate) lost: u64,
    /// Packets lost because too many were under way, or because the kernel had no room: must be 0.
    pub(crate) overflowed: u64,
    /// Packets from an address that no signal named: dropped.
    pub(crate) strangers: u64,
}

#[derive(Debug)]
pub(crate) struct Path {
    conditions: Conditions,
    random: SplitMix,
    /// All wait equally long, so that the first to come is the first to go.
    under_way: VecDeque<(Instant, Packet)>,
    pub(crate) counts: Counts,
}

impl Path {
    pub(crate) fn new(conditions: Conditions, seed: u64) -> Self {
        Self { conditions, random: SplitMix(seed), under_way: VecDeque::new(), counts: Counts::default() }
    }

    /// A packet enters. Says whether it is the only one, so that somebody has to wait for it.
    pub(crate) fn push(&mut self, now: Instant, packet: Packet) -> bool {
        self.counts.packets += 1;
        self.counts.bytes += packet.bytes.len() as u64;
        if self.random.percent() < self.conditions.loss_percent {
            self.counts.lost += 1;
            return false;
        }
        if self.under_way.len() == MAX_PACKETS {
            self.counts.overflowed += 1;
            return false;
        }
        let first = self.under_way.is_empty();
        self.under_way.push_back((now + Duration::from_millis(self.conditions.rtt_ms) / 2, packet));
        first
    }

    /// A packet that has arrived at `now`.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Packet> {
        self.next_at().filter(|at| *at <= now)?;
        self.under_way.pop_front().map(|(_, packet)| packet)
    }

    /// When the next packet arrives.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.under_way.front().map(|(at, _)| *at)
    }
}

/// SplitMix64: the same packets are lost for the same seed.
#[derive(Debug)]
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 up to 100.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
    fn percent(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64 * 100.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn packet(number: u8) -> Packet {
        Packet { via: 0, to: SocketAddr::from(([127, 0, 0, 1], 9)), bytes: vec![number] }
    }

    #[test]
    fn a_packet_takes_half_the_round_trip_and_keeps_its_place() {
        let start = clock::now();
        let mut path = Path::new(Conditions { loss_percent: 0.0, rtt_ms: 20 }, 1);
        let ms = Duration::from_millis;
        assert!(path.push(start, packet(1)));
        assert!(!path.push(start + ms(3), packet(2)));
        assert_eq!(path.next_at(), Some(start + ms(10)));
        assert_eq!(path.pop(start + ms(9)), None);
        assert_eq!(path.pop(start + ms(10)), Some(packet(1)));
        assert_eq!(path.pop(start + ms(12)), None);
        assert_eq!(path.pop(start + ms(13)), Some(packet(2)));
        assert_eq!((path.next_at(), path.counts.packets, path.counts.lost), (None, 2, 0));
    }

    #[test]
    fn as_many_are_lost_as_asked_for_and_the_same_for_the_same_seed() {
        let now = clock::now();
        let arrived = |seed| {
            let mut path = Path::new(Conditions { loss_percent: 5.0, rtt_ms: 0 }, seed);
            for number in 0..20_000_u32 {
                path.push(now, packet(number.to_le_bytes()[0]));
            }
            let left: Vec<_> = std::iter::from_fn(|| path.pop(now)).collect();
            assert_eq!(left.len() as u64 + path.counts.lost, 20_000);
            assert!((900..1100).contains(&path.counts.lost), "{}", path.counts.lost);
            left
        };
        assert_eq!(arrived(7), arrived(7));
        assert_ne!(arrived(7), arrived(8));
    }

    #[test]
    fn a_path_holds_no_more_than_it_says() {
        let now = clock::now();
        let mut path = Path::new(Conditions { loss_percent: 0.0, rtt_ms: 50 }, 1);
        for _ in 0..MAX_PACKETS + 5 {
            path.push(now, packet(0));
        }
        assert_eq!(path.counts.overflowed, 5);
    }
}
