//! What both ends of every measured data channel share, whatever stack is below it.
//!
//! The program that compares speaks JSON lines with each end ([`Command`] on its standard input, [`Event`] on its standard
//! output); the two ends speak [`message`]s with each other over the channel. [`Bench`] is that second conversation, sans-IO:
//! it takes what arrived and the time, and returns what to send.

pub mod line;
pub mod message;

mod bench;

pub use bench::{Answer, Bench};
pub use line::{Command, Event};
pub use message::Framing;

/// Whatever went wrong.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The channel's label, for the stacks that let it be chosen.
pub const LABEL: &str = "bench";

/// Most that a stack may hold for sending, where it can be told or asked, and where sending goes on again: large enough
/// that no stack starves, as far as the round trips here go.
pub const SEND_BUFFER_BYTES: usize = 1024 * 1024;
/// See [`SEND_BUFFER_BYTES`].
pub const SEND_AGAIN_BYTES: usize = 256 * 1024;

/// Nanoseconds of the kernel's monotonic clock, which is one clock for all processes: a time sent by one end can be
/// subtracted from a time of the other.
#[must_use]
pub fn now_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec)
}
