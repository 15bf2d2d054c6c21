//! Candidates that overtook the offer they belong to. Signals travel through queues and may be reordered on the way.

use std::time::Instant;

use crate::event::RouterId;
use crate::limits::{EARLY_CANDIDATE_LIFETIME, MAX_EARLY_CANDIDATES};

#[derive(Debug)]
struct Waiting {
    router: RouterId,
    from: String,
    correlation_id: String,
    candidate: String,
    until: Instant,
}

/// At most [`MAX_EARLY_CANDIDATES`] candidates, each for [`EARLY_CANDIDATE_LIFETIME`].
#[derive(Debug, Default)]
pub(super) struct EarlyCandidates {
    waiting: Vec<Waiting>,
    pub(super) dropped: u64,
}

impl EarlyCandidates {
    pub(super) fn keep(
        &mut self,
        now: Instant,
        router: RouterId,
        from: String,
        correlation_id: String,
        candidate: String,
    ) {
        self.expire(now);
        if self.waiting.len() >= MAX_EARLY_CANDIDATES {
            self.waiting.remove(0);
            self.dropped += 1;
        }
        let until = now + EARLY_CANDIDATE_LIFETIME;
        self.waiting.push(Waiting { router, from, correlation_id, candidate, until });
    }

    /// Takes out what belongs to this offer, oldest first.
    pub(super) fn take(
        &mut self,
        now: Instant,
        router: RouterId,
        from: &str,
        correlation_id: &str,
    ) -> Vec<String> {
        self.expire(now);
        self.waiting
            .extract_if(.., |w| w.router == router && w.from == from && w.correlation_id == correlation_id)
            .map(|w| w.candidate)
            .collect()
    }

    fn expire(&mut self, now: Instant) {
        let before = self.waiting.len();
        self.waiting.retain(|w| w.until > now);
        self.dropped += (before - self.waiting.len()) as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock_for_tests::start;

    fn keep(early: &mut EarlyCandidates, now: Instant, from: &str, n: usize) {
        early.keep(now, RouterId(0), from.into(), "c".into(), format!("candidate {n}"));
    }

    #[test]
    fn they_come_out_once_in_order_and_only_for_their_own_offer() {
        let (mut early, now) = (EarlyCandidates::default(), start());
        for n in 0..3 {
            keep(&mut early, now, "alice", n);
        }
        keep(&mut early, now, "mallory", 9);
        assert_eq!(early.take(now, RouterId(1), "alice", "c"), Vec::<String>::new());
        assert_eq!(early.take(now, RouterId(0), "alice", "c"), ["candidate 0", "candidate 1", "candidate 2"]);
        assert_eq!(early.take(now, RouterId(0), "alice", "c"), Vec::<String>::new());
    }

    #[test]
    fn a_flood_drops_the_oldest_and_time_drops_the_rest() {
        let (mut early, now) = (EarlyCandidates::default(), start());
        for n in 0..=MAX_EARLY_CANDIDATES {
            keep(&mut early, now, "alice", n);
        }
        assert_eq!(early.dropped, 1);
        let later = now + EARLY_CANDIDATE_LIFETIME - Duration::from_nanos(1);
        assert_eq!(early.take(later, RouterId(0), "alice", "c").len(), MAX_EARLY_CANDIDATES);
        keep(&mut early, now, "alice", 0);
        assert!(early.take(now + EARLY_CANDIDATE_LIFETIME, RouterId(0), "alice", "c").is_empty());
        assert_eq!(early.dropped, 2);
    }
}
