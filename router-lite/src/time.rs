//! The two clocks a core is told, and the wish to be woken.

use std::time::Instant;

/// What time it is, as told by whoever drives the core.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// The monotonic clock. Every deadline is measured with this one.
    pub instant: Instant,
    /// The wall clock, microseconds since the Unix epoch. It is only passed on to clients (WELCOME, SYNC, the time of a
    /// parameter's last write) and decides nothing: a small board starts in 1970.
    pub unix_us: u64,
}

/// When the core wants an [`Input::Tick`](crate::Input::Tick), and what for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wake {
    /// The moment.
    pub at: Instant,
    /// The reason, for logs and tests: `"handshake timeout"`, `"ping"`, `"stalled peer"`, `"gesture"`, `"parameter expiry"`.
    pub why: &'static str,
}

/// The earlier of two wishes.
pub(crate) fn earliest(a: Option<Wake>, b: Option<Wake>) -> Option<Wake> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b.at < a.at { b } else { a }),
        (a, b) => a.or(b),
    }
}
