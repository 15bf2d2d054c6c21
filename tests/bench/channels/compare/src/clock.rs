//! The one place here that reads the clock.

use std::time::Instant;

#[expect(clippy::disallowed_methods, reason = "somebody has to")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
