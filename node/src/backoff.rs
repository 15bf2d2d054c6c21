//! How long to wait before trying again: exponential with full jitter, so that nodes that lost the same router, or each other,
//! at the same time do not come back at the same time.

use std::time::Duration;

use rand::{Rng, RngExt};

/// A sequence of waits.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    /// The first wait is somewhere in 0 to this.
    base: Duration,
    /// No wait is longer.
    cap: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) const fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap, failures: 0 }
    }

    /// After a success the sequence starts again.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The next wait.
    pub(crate) fn next(&mut self, rng: &mut impl Rng) -> Duration {
        let ceiling = self.base.saturating_mul(1 << self.failures.min(16)).min(self.cap);
        self.failures = self.failures.saturating_add(1);
        let micros = u64::try_from(ceiling.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(rng.random_range(0..=micros))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    const BASE: Duration = Duration::from_millis(500);
    const CAP: Duration = Duration::from_secs(30);

    #[test]
    fn waits_grow_up_to_the_cap_and_start_again_after_a_success() {
        let mut rng = StdRng::from_seed([1; 32]);
        let mut backoff = Backoff::new(BASE, CAP);
        let mut longest = Duration::ZERO;
        for failures in 0..200_u32 {
            let wait = backoff.next(&mut rng);
            assert!(wait <= CAP && wait <= BASE * 2_u32.pow(failures.min(7)), "{failures}: {wait:?}");
            longest = longest.max(wait);
        }
        assert!(longest > CAP / 2, "{longest:?}");
        backoff.reset();
        assert!(backoff.next(&mut rng) <= BASE);
    }

    #[test]
    fn two_nodes_do_not_wait_alike() {
        let wait = |seed| {
            Backoff { failures: 5, ..Backoff::new(BASE, CAP) }.next(&mut StdRng::from_seed([seed; 32]))
        };
        assert_ne!(wait(1), wait(2));
    }
}
