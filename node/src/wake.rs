//! When a core wants to be called again, and why.

use std::time::Instant;

/// The next deadline of a core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wake {
    /// Call again at this time at the latest.
    pub at: Instant,
    /// What is due then; for logs and tests.
    pub why: &'static str,
}

impl Wake {
    /// A deadline with its reason.
    #[must_use]
    pub const fn new(at: Instant, why: &'static str) -> Self {
        Self { at, why }
    }

    /// The earlier of two.
    #[must_use]
    pub fn earliest(a: Option<Self>, b: Option<Self>) -> Option<Self> {
        match (a, b) {
            (Some(a), Some(b)) => Some(if b.at < a.at { b } else { a }),
            (one, other) => one.or(other),
        }
    }
}
