//! What the scenarios share: a simulated world in which real cores run in virtual time, and real nodes on real sockets.

mod lan;
mod network;
pub mod real;
mod world;

pub use lan::Lan;
pub use network::{Faults, Network};
pub use world::{Device, NodeId, Stock, Tamper, World};
