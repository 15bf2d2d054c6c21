//! The only place that reads the clocks.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::time::Now;

/// What time it is.
#[expect(clippy::disallowed_methods, reason = "the driver's clock")]
pub(crate) fn now() -> Now {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { instant: Instant::now(), unix_us: u64::try_from(unix.as_micros()).unwrap_or(u64::MAX) }
}
