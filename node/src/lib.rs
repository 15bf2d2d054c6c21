//! A CLASP edge node.
//!
//! Finds peers through a CLASP router, exchanges offers, answers and **every** ICE candidate with them as P2P signals, and then
//! talks to them directly over two encrypted WebRTC data channels. The router only ever relays signals.
//!
//! # Layers
//! [`Node`] composes [`session::Session`] (one router), links, and in each link [`peer::Peer`] (one direct connection). All of them are sans-IO: they take
//! `now` and input, and return output; they own no socket, read no clock and draw no randomness of their own. The feature
//! `driver` (default) adds the smol driver that runs a node on real sockets, and the `clasp-node` program.

mod auth;
mod backoff;
mod burst;
pub mod config;
pub mod discovery;
#[cfg(feature = "driver")]
pub mod driver;
pub mod event;
pub mod ice_servers;
pub mod identity;
pub mod limits;
mod link;
pub mod mdns;
pub mod metrics;
pub mod node;
pub mod pairing;
pub mod pairs;
pub mod peer;
pub mod pipe;
pub mod queue;
mod relayed;
mod seal;
pub mod session;
pub mod shares;
pub mod status;
mod wake;

pub use config::{ConfigError, NodeConfig, RoutingMode, Trust};
#[cfg(feature = "driver")]
pub use driver::{Events, NodeBuilder, NodeHandle, RouterUrl, Running};
pub use event::{
    Channel, DisconnectReason, Event, FailReason, LinkId, LinkState, Path, PathKind, PeerInfo, Role,
    RouterId, Step,
};
pub use ice_servers::{IceServer, ServerAddress, ServerFault, ServerId, ServerInfo, ServerState};
pub use identity::{DeviceId, DeviceIdError, Identity};
pub use metrics::Metrics;
pub use node::{ConnectError, Counters, Input, LinkInfo, Node, NodeError, Output, PairCallError, VisitError};
pub use pairs::{Pair, PairError, PairKey, Pairs};
pub use peer::SendError;
pub use wake::Wake;

#[cfg(test)]
mod clock_for_tests {
    use std::time::Instant;

    /// Where a test's time starts; all other times in it are computed.
    #[expect(clippy::disallowed_methods, reason = "an Instant can only be had from the clock")]
    pub(crate) fn start() -> Instant {
        Instant::now()
    }
}
