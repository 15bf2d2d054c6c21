//! What the scenarios share: a simulated world in which real cores run in virtual time, and real nodes on real sockets.

mod lan;
mod network;
pub mod real;
mod world;

pub use lan::Lan;
pub use network::{Faults, Network};
pub use world::{Device, NodeId, Stock, Tamper, World};

/// The seeds of a simulation that is run under several of them: `0..most`, or fewer where the environment's `SEEDS` says so, as on an
/// emulated board.
pub fn seeds(most: u64) -> std::ops::Range<u64> {
    0..number("SEEDS").map_or(most, |seeds| seeds.min(most))
}

/// The number that the environment has for `name`.
///
/// # Panics
///
/// If it is something else.
pub fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text}, and should be a number")))
}
