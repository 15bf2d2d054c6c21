//! What comes out of a [`Peer`](super::Peer).

use std::time::Duration;

use bytes::Bytes;
use str0m::net::Transmit;

use super::Progress;
use crate::event::{Channel, DisconnectReason, FailReason, LinkState, Path, Step};
use crate::wake::Wake;

/// What a peer wants done, or has to tell.
#[derive(Debug)]
#[must_use = "an output not acted on is lost"]
#[non_exhaustive]
pub enum PeerOutput {
    /// Send this datagram from `source`.
    Transmit(Transmit),
    /// Send this to the peer through the router.
    Signal(OutSignal),
    /// The link entered this state.
    State(LinkState),
    /// A step of the establishment.
    Step(Step),
    /// Find the address behind this name: [`Peer::handle_resolved`](super::Peer::handle_resolved).
    Resolve(String),
    /// Both channels are open.
    Connected(Path),
    /// The peer's session on the router is this one from now on.
    SessionIs(String),
    /// All numbered messages up to this one have arrived at the other node.
    Arrived(u64),
    /// The next numbered message on the reliable channel is this one.
    NextIs(u64),
    /// Numbered messages that overtake the reliable channel.
    Overtaking {
        /// The number of the first.
        first: u64,
        /// In their order.
        messages: Vec<Bytes>,
    },
    /// The other node asks, with this number, how far we are; `Peer::tell_progress` answers.
    Asked(u64),
    /// How far the other node is with what it was sent.
    Progress(Progress),
    /// An open link runs over these addresses from now on.
    PathChanged(Path),
    /// A message arrived.
    Data(Channel, Bytes),
    /// The reliable queue has room again.
    Writable,
    /// A ping came back.
    Pong(Channel, u64, Duration),
    /// The connection is lost, the other node may not be: nothing more follows, not even a goodbye, which would end a link that
    /// can live on another way. Only between two of our nodes; others are told and get [`PeerOutput::Ended`].
    Lost(Ended),
    /// A check of the path in use was answered after this time.
    RoundTrip(Duration),
    /// The link ended; nothing but its goodbye follows.
    Ended(Ended),
    /// The goodbye is said. Drop the peer.
    Gone,
    /// Nothing more to do before this time.
    Idle(Option<Wake>),
}

/// A signal to the peer, without the ids that the node adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutSignal {
    /// An offer with this SDP.
    Offer(String),
    /// An answer with this SDP.
    Answer(String),
    /// A candidate, as JSON text.
    Candidate(String),
    /// The reliable channel is open.
    Connected,
    /// The link is over.
    Disconnected(String),
}

/// How a link ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Before it was open.
    Failed(FailReason),
    /// After.
    Disconnected(DisconnectReason),
}
