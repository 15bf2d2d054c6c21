//! Warnings about what strangers cause are logged once per burst: a log line a message is a way to fill a disk.

use std::time::{Duration, Instant};

/// After this much quiet, the next one is a new burst.
const QUIET: Duration = Duration::from_secs(10);

/// Tells the first of a burst from the rest.
#[derive(Debug, Default)]
pub(crate) struct Burst {
    last: Option<Instant>,
}

impl Burst {
    /// One more happened. Whether it is the first for a while.
    pub(crate) fn begins(&mut self, now: Instant) -> bool {
        let last = self.last.replace(now);
        last.is_none_or(|at| now.saturating_duration_since(at) >= QUIET)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock_for_tests::start;

    #[test]
    fn a_burst_begins_once_and_again_after_quiet() {
        let (mut burst, now) = (Burst::default(), start());
        assert!(burst.begins(now));
        assert!((1..100).all(|n| !burst.begins(now + QUIET * n / 2)));
        assert!(burst.begins(now + QUIET * 100));
    }
}
