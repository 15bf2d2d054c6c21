//! The only place of this crate that reads the clock and the system's randomness.

use std::time::{Duration, Instant, SystemTime};

use rand::TryRng;
use rand::rngs::SysRng;
use router_lite::Token;

/// The time, to be handed to a core.
#[expect(clippy::disallowed_methods, reason = "the driver is where time comes from")]
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}

/// What the clock on the wall says, since 1970. Nothing that a node decides depends on it.
#[expect(clippy::disallowed_methods, reason = "the driver is where time comes from")]
#[must_use]
pub fn unix_time() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// A seed from the operating system, to be handed to a core.
///
/// # Errors
/// When the operating system has no randomness to give.
pub fn seed() -> std::io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    SysRng.try_fill_bytes(&mut seed).map_err(std::io::Error::other)?;
    Ok(seed)
}

/// A new access token.
///
/// # Errors
/// When the operating system has no randomness to give.
pub(super) fn token() -> std::io::Result<Token> {
    let mut random = [0; 16];
    SysRng.try_fill_bytes(&mut random).map_err(std::io::Error::other)?;
    Ok(Token::new(random))
}
