//! What the scenarios share: a simulated world in which real cores run in virtual time.

mod network;
mod world;

pub use network::{Faults, Network};
pub use world::{NodeId, World};
