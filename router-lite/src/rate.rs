//! A token bucket: so many messages a second, with one second's worth saved up.

use std::time::{Duration, Instant};

use crate::limits::RATE_BURST;

/// What the bucket says to one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Go on.
    Pass,
    /// Too many; the first of this burst, the sender is to be told.
    RefuseAndTell,
    /// Too many; the sender knows.
    Refuse,
}

/// See the module. Kept as the moment at which the bucket will be full again.
#[derive(Debug)]
pub(crate) struct Bucket {
    cost: Duration,
    full_at: Instant,
    told: bool,
}

impl Bucket {
    /// A full bucket for `per_second` messages; 0 lets everything pass.
    pub(crate) fn new(now: Instant, per_second: u32) -> Self {
        let cost = Duration::from_secs(1).checked_div(per_second).unwrap_or_default();
        Self { cost, full_at: now, told: false }
    }

    /// Takes one message out.
    pub(crate) fn take(&mut self, now: Instant) -> Verdict {
        let full_at = self.full_at.max(now) + self.cost;
        if full_at.saturating_duration_since(now) > RATE_BURST {
            return if std::mem::replace(&mut self.told, true) {
                Verdict::Refuse
            } else {
                Verdict::RefuseAndTell
            };
        }
        // A burst is over when half the bucket is full again.
        if full_at.saturating_duration_since(now) < RATE_BURST / 2 {
            self.told = false;
        }
        self.full_at = full_at;
        Verdict::Pass
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::t0;

    fn count(bucket: &mut Bucket, messages: u32, every: Duration) -> (u32, u32, u32) {
        let mut seen = (0, 0, 0);
        let mut now = bucket.full_at;
        for _ in 0..messages {
            match bucket.take(now) {
                Verdict::Pass => seen.0 += 1,
                Verdict::RefuseAndTell => seen.1 += 1,
                Verdict::Refuse => seen.2 += 1,
            }
            now += every;
        }
        seen
    }

    #[test]
    fn one_seconds_worth_passes_at_once_and_not_one_more() {
        let mut bucket = Bucket::new(t0().instant, 1000);
        assert_eq!(count(&mut bucket, 1500, Duration::ZERO), (1000, 1, 499));
    }

    #[test]
    fn the_allowed_rate_passes_for_ever() {
        let mut bucket = Bucket::new(t0().instant, 1000);
        assert_eq!(count(&mut bucket, 10_000, Duration::from_millis(1)), (10_000, 0, 0));
    }

    #[test]
    fn twice_the_rate_is_halved_and_told_once() {
        let mut bucket = Bucket::new(t0().instant, 1000);
        let (passed, told, refused) = count(&mut bucket, 20_000, Duration::from_micros(500));
        assert_eq!(told, 1);
        assert!((10_900..=11_100).contains(&passed), "{passed} passed, {refused} refused");
    }

    #[test]
    fn the_next_burst_is_told_again() {
        let mut bucket = Bucket::new(t0().instant, 10);
        assert_eq!(count(&mut bucket, 12, Duration::ZERO), (10, 1, 1));
        let later = t0().instant + Duration::from_secs(5);
        assert_eq!(bucket.take(later), Verdict::Pass);
        bucket.full_at = later;
        assert_eq!(count(&mut bucket, 12, Duration::ZERO), (10, 1, 1));
    }

    #[test]
    fn rate_0_is_no_limit() {
        let mut bucket = Bucket::new(t0().instant, 0);
        assert_eq!(count(&mut bucket, 100_000, Duration::ZERO), (100_000, 0, 0));
    }
}
