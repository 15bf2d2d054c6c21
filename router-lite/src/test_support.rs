//! The one clock reading that unit tests need: somewhere for time to start.

use std::{sync::OnceLock, time::Instant};

use crate::time::Now;

/// The same moment, whenever it is asked for.
#[expect(clippy::disallowed_methods, reason = "an Instant cannot be made from nothing")]
pub(crate) fn t0() -> Now {
    static START: OnceLock<Instant> = OnceLock::new();
    Now { instant: *START.get_or_init(Instant::now), unix_us: 1_700_000_000_000_000 }
}
