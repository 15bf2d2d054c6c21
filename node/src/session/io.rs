//! What goes into a [`Session`](super::Session) once, and what comes out of it.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::identity::DeviceId;
use crate::node::Sealed;
use crate::pairing::Letter;
use crate::relayed::Relayed;
use crate::wake::Wake;

/// What a session announces about the node.
#[derive(Clone)]
pub struct Identity {
    /// The node's name.
    pub name: String,
    /// Access token for the router; empty for none.
    pub token: String,
    /// Whether the node connects to its paired devices by itself.
    pub resident: bool,
    /// The device's id, which paired devices know it by.
    pub device: DeviceId,
    /// A random id of this process, by which others know it in all its sessions.
    pub instance: String,
    /// How often the session signals to itself. The stock router forgets a session it has sent nothing for 300 s.
    pub keep_alive: Duration,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, token: _, resident, device, instance, keep_alive } = self;
        f.debug_struct("Identity")
            .field("name", name)
            .field("resident", resident)
            .field("device", device)
            .field("instance", instance)
            .field("keep_alive", keep_alive)
            .finish_non_exhaustive()
    }
}

/// What a session wants done, or has to tell.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "an output not acted on is lost"]
#[non_exhaustive]
pub enum SessionOutput {
    /// Open a WebSocket to the router.
    Dial,
    /// Send this frame.
    Send(Bytes),
    /// Send a WebSocket ping.
    Ping,
    /// Close the WebSocket.
    Hangup,
    /// The router accepted us.
    Ready {
        /// Our session id.
        session: String,
        /// The router's name.
        name: String,
    },
    /// The router is gone, or unreachable. [`SessionOutput::Dial`] follows after `retry_in`, if there is such a time.
    Lost {
        /// Why.
        why: String,
        /// When it is dialled again.
        retry_in: Option<Duration>,
    },
    /// The router is not needed any more.
    Rests,
    /// A P2P signal for us.
    Signal(InSignal),
    /// A peer announced itself.
    Announced {
        /// Its session id.
        session: String,
        /// Its name, if it gave one.
        name: Option<String>,
        /// Whether it is a clasp-edge node.
        edge: bool,
        /// A random id of its process, if it tells one.
        instance: Option<String>,
        /// The device it says it is, which proves nothing.
        device: Option<DeviceId>,
        /// Whether it can be paired now.
        pairing: bool,
        /// Whether it connects to its paired devices by itself.
        resident: bool,
    },
    /// The router knows no such session.
    NoSuchSession(String),
    /// Nothing more to do before this time.
    Idle(Option<Wake>),
}

/// A received signal.
#[derive(Debug, PartialEq, Eq)]
pub struct InSignal {
    /// The sender's session id, as the router or the sender says.
    pub from: String,
    /// Which attempt it belongs to.
    pub correlation_id: String,
    /// What it says.
    pub body: InBody,
}

/// What a received signal says.
#[derive(Debug, PartialEq, Eq)]
pub enum InBody {
    /// An offer.
    Offer {
        /// Its SDP.
        sdp: String,
        /// Whether it comes from a clasp-edge node.
        edge: bool,
    },
    /// An answer.
    Answer {
        /// Its SDP.
        sdp: String,
        /// Whether it comes from a clasp-edge node.
        edge: bool,
    },
    /// A candidate, as JSON text.
    Candidate(String),
    /// The sender's reliable channel is open.
    Connected,
    /// The sender is done with this link.
    Disconnected(Option<String>),
    /// Messages of a link without a direct path, or what belongs to them.
    Relayed(Relayed),
    /// A message of a pairing.
    Letter(Letter),
    /// One of the above, from a paired device.
    Sealed(Sealed),
}
