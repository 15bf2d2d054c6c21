//! What ICE's consent checks tell about the path in use: its round trip, and how much gets lost.
//!
//! str0m checks the path about every 3 s for as long as it is used (RFC 7675), and every peer answers; the checks are watched on
//! their way out and back by their transaction ids (RFC 8489 §5), which nobody off the path can guess.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::event::Path;
use crate::status::PathChecks;

/// A check that has no answer by then counts as lost: the next one is sent.
const LOST_AFTER: Duration = Duration::from_secs(3);

/// Checks on their way at once. str0m sends one every 250 ms when answers fail to come, so that those of [`LOST_AFTER`] fit.
const IN_FLIGHT: usize = 12;

/// How many checks the loss is told of: the bits of the history.
const RECENT: u32 = u64::BITS;

/// A path with at most this round trip is short.
const SHORT: Duration = Duration::from_millis(1);

/// The first two bytes of a binding request, and of the answer to one (RFC 8489 §5).
const REQUEST: [u8; 2] = [0x00, 0x01];
const RESPONSE: [u8; 2] = [0x01, 0x01];

type TransactionId = [u8; 12];

#[derive(Debug, Default)]
pub(super) struct Checks {
    in_flight: heapless::Deque<(TransactionId, Instant), IN_FLIGHT>,
    smoothed: Option<Duration>,
    /// The newest check in the lowest bit; a lost one is 1.
    history: u64,
    recent: u32,
    /// Over all paths of the link.
    pub(super) answered: u64,
    pub(super) lost: u64,
}

impl Checks {
    /// The link uses another path: what is known was of the old one.
    pub(super) fn path_changed(&mut self) {
        *self = Self { answered: self.answered, lost: self.lost, ..Self::default() };
    }

    /// A datagram goes out.
    pub(super) fn sent(
        &mut self,
        now: Instant,
        path: Option<Path>,
        source: SocketAddr,
        destination: SocketAddr,
        bytes: &[u8],
    ) {
        if !bytes.starts_with(&REQUEST)
            || path.is_none_or(|path| (path.local, path.remote) != (source, destination))
        {
            return;
        }
        let Some(id) = transaction_id(bytes) else { return };
        self.judge(now);
        if self.in_flight.is_full() {
            self.in_flight.pop_front();
            self.note(true);
        }
        if self.in_flight.push_back((id, now)).is_err() {
            self.note(true); // there was just made room
        }
    }

    /// A datagram came. Returns the round trip, if it answers a check.
    pub(super) fn received(&mut self, now: Instant, bytes: &[u8]) -> Option<Duration> {
        if !bytes.starts_with(&RESPONSE) {
            return None;
        }
        let id = transaction_id(bytes)?;
        self.judge(now); // an answer that comes later is of no use to anybody
        let mut sent_at = None;
        // Those before it may still be answered: they keep their places.
        for _ in 0..self.in_flight.len() {
            match self.in_flight.pop_front() {
                Some((other, at)) if other == id => sent_at = Some(at),
                Some(other) if self.in_flight.push_back(other).is_ok() => {}
                _ => break,
            }
        }
        let round_trip = now.saturating_duration_since(sent_at?);
        self.note(false);
        self.smoothed = Some(self.smoothed.map_or(round_trip, |before| (before * 7 + round_trip) / 8));
        Some(round_trip)
    }

    /// Whether answers come back at once, as on a LAN.
    pub(super) fn is_short(&self) -> bool {
        self.smoothed.is_some_and(|round_trip| round_trip <= SHORT)
    }

    /// As of `now`.
    pub(super) fn status(&mut self, now: Instant) -> PathChecks {
        self.judge(now);
        PathChecks { rtt: self.smoothed, recent: self.recent, recent_lost: self.history.count_ones() }
    }

    fn judge(&mut self, now: Instant) {
        while self.in_flight.front().is_some_and(|(_, at)| now.saturating_duration_since(*at) > LOST_AFTER) {
            self.in_flight.pop_front();
            self.note(true);
        }
    }

    fn note(&mut self, is_lost: bool) {
        self.history = self.history << 1 | u64::from(is_lost);
        self.recent = (self.recent + 1).min(RECENT);
        if is_lost {
            self.lost += 1;
        } else {
            self.answered += 1;
        }
    }
}

fn transaction_id(stun: &[u8]) -> Option<TransactionId> {
    stun.get(8..20)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock_for_tests::start;
    use crate::event::PathKind;

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 1))
    }

    fn path() -> Option<Path> {
        let (local_kind, remote_kind) = (PathKind::Host, PathKind::Host);
        Some(Path { local: address(1), remote: address(2), local_kind, remote_kind })
    }

    fn stun(kind: [u8; 2], id: u8) -> Vec<u8> {
        [kind.as_slice(), &[0, 0, 0x21, 0x12, 0xA4, 0x42], &[id; 12]].concat()
    }

    fn ask(checks: &mut Checks, at: Instant, id: u8) {
        checks.sent(at, path(), address(1), address(2), &stun(REQUEST, id));
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn the_round_trip_is_smoothed_and_what_is_not_answered_in_time_is_lost() {
        let (mut checks, t0) = (Checks::default(), start());
        ask(&mut checks, t0, 1);
        assert_eq!(checks.status(t0), PathChecks::default(), "still on its way");
        assert_eq!(checks.received(t0 + ms(20), &stun(RESPONSE, 1)), Some(ms(20)));
        assert_eq!(checks.received(t0 + ms(21), &stun(RESPONSE, 1)), None, "answered already");
        ask(&mut checks, t0 + ms(100), 2);
        ask(&mut checks, t0 + ms(200), 3);
        assert_eq!(
            checks.received(t0 + ms(300), &stun(RESPONSE, 3)),
            Some(ms(100)),
            "the one before is late"
        );
        let status = checks.status(t0 + ms(300));
        assert_eq!((status.rtt, status.recent, status.recent_lost), (Some(ms(30)), 2, 0));
        let status = checks.status(t0 + ms(3101));
        assert_eq!((status.recent, status.recent_lost), (3, 1));
        assert_eq!(checks.received(t0 + ms(3102), &stun(RESPONSE, 2)), None, "too late");
        assert_eq!((checks.answered, checks.lost), (2, 1));
    }

    #[test]
    fn only_checks_of_the_path_in_use_count() {
        let (mut checks, t0) = (Checks::default(), start());
        checks.sent(t0, None, address(1), address(2), &stun(REQUEST, 1));
        checks.sent(t0, path(), address(1), address(3), &stun(REQUEST, 2));
        checks.sent(t0, path(), address(1), address(2), &stun(RESPONSE, 3));
        checks.sent(t0, path(), address(1), address(2), &REQUEST);
        for id in 1..4 {
            assert_eq!(checks.received(t0, &stun(RESPONSE, id)), None);
        }
        assert_eq!(checks.status(t0 + ms(9999)).recent, 0);
    }

    #[test]
    fn a_flood_of_unanswered_checks_is_bounded_and_each_is_counted() {
        let (mut checks, t0) = (Checks::default(), start());
        for n in 0..200 {
            ask(&mut checks, t0, n);
        }
        let status = checks.status(t0 + ms(3001));
        assert_eq!((status.recent, status.recent_lost), (64, 64));
        assert_eq!((checks.answered, checks.lost), (0, 200));
    }

    #[test]
    fn another_path_has_figures_of_its_own() {
        let (mut checks, t0) = (Checks::default(), start());
        ask(&mut checks, t0, 1);
        assert!(checks.received(t0 + ms(5), &stun(RESPONSE, 1)).is_some());
        ask(&mut checks, t0 + ms(10), 2);
        checks.path_changed();
        assert_eq!(checks.received(t0 + ms(15), &stun(RESPONSE, 2)), None);
        assert_eq!(checks.status(t0 + ms(9999)), PathChecks::default());
        assert_eq!((checks.answered, checks.lost), (1, 0), "of the whole link");
    }
}
