//! The only reader of the clock.

use std::time::{Duration, Instant};

/// Now.
#[expect(clippy::disallowed_methods, reason = "measuring is what this program is for")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Waits, to send at a given rate or to look again at a process that is settling.
#[expect(clippy::disallowed_methods, reason = "a paced sender has nothing else to wait for")]
pub(crate) fn pause(duration: Duration) {
    std::thread::sleep(duration);
}
