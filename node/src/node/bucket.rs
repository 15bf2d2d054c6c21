//! A token bucket: how many new offers, or other things, strangers may make us work on.

use std::time::{Duration, Instant};

#[derive(Debug)]
pub(crate) struct Bucket {
    tokens: u32,
    capacity: u32,
    /// Time for one token to come back.
    refill: Duration,
    /// When `tokens` was right.
    at: Instant,
}

impl Bucket {
    pub(crate) fn new(now: Instant, capacity: u32, per_second: u32) -> Self {
        Self { tokens: capacity, capacity, refill: Duration::from_secs(1) / per_second.max(1), at: now }
    }

    /// Takes a token, if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let earned = now.saturating_duration_since(self.at).as_nanos() / self.refill.as_nanos().max(1);
        let missing = self.capacity - self.tokens;
        if earned >= u128::from(missing) {
            (self.tokens, self.at) = (self.capacity, now);
        } else {
            let earned = u32::try_from(earned).unwrap_or(missing);
            self.tokens += earned;
            self.at += self.refill * earned;
        }
        let taken = self.tokens > 0;
        self.tokens -= u32::from(taken);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock_for_tests::start;

    #[test]
    fn a_burst_then_the_rate() {
        let now = start();
        let mut bucket = Bucket::new(now, 8, 4);
        assert_eq!((0..20).filter(|_| bucket.take(now)).count(), 8);
        let taken = (0..1000).filter(|ms| bucket.take(now + Duration::from_millis(*ms))).count();
        assert!((3..=4).contains(&taken), "{taken} in the next second");
        let later = now + Duration::from_secs(60);
        assert_eq!((0..20).filter(|_| bucket.take(later)).count(), 8, "never more than one burst");
    }
}
