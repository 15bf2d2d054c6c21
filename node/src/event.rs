//! What a node tells its application. Every fact is told once.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use crate::identity::DeviceId;
use crate::pairing::PairingError;

/// A router this node speaks to: by its place in the configuration, and behind those the routers of devices that it has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct RouterId(pub(crate) u8);

impl RouterId {
    /// The first router of the configuration; the embedded one, where there is one.
    pub const FIRST: Self = Self(0);

    /// The router at this place of the configuration.
    #[must_use]
    pub const fn new(place: u8) -> Self {
        Self(place)
    }

    /// Its place in the configuration.
    #[must_use]
    pub fn place(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for RouterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "router-{}", self.0)
    }
}

/// One attempt to reach a peer and, if it succeeds, the link. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct LinkId(pub(crate) u64);

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link-{}", self.0)
    }
}

/// Which of the two data channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// `clasp-reliable`: ordered, nothing lost.
    Reliable,
    /// `clasp`: unordered, no retransmission.
    Stream,
}

impl Channel {
    /// The label on the wire (reference §9.6).
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Reliable => "clasp-reliable",
            Self::Stream => "clasp",
        }
    }
}

/// Who made the offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// This node.
    Offerer,
    /// The peer.
    Answerer,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Offerer => "offerer",
            Self::Answerer => "answerer",
        })
    }
}

/// Where a link is in its life. It moves down this list; only from `Restarting` and `Relayed` it may go back to `Open`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkState {
    /// The offer is out, no answer yet (offerer only).
    Offering,
    /// Descriptions are exchanged; ICE, DTLS and SCTP do their handshakes.
    Checking,
    /// The channels are open.
    Open,
    /// There is no path for the channels at this moment, and another one is being looked for: what is sent waits.
    Restarting,
    /// No direct path opens, or the last one is lost: what is sent goes through the router, which can read it unless the two
    /// devices are paired. Attempts at a direct
    /// path go on.
    Relayed,
    /// Over.
    Closed,
}

/// A peer that announced itself on a router.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PeerInfo {
    /// Its session id on that router: what one connects to.
    pub session: String,
    /// The name it announced; stock peers announce none.
    pub name: Option<String>,
    /// Whether it is a clasp-edge node.
    pub edge: bool,
    /// A random id of its process, if it tells one: the same in all its sessions.
    pub instance: Option<String>,
    /// The device it says it is. Whether that is true shows when a link to it opens.
    pub device: Option<DeviceId>,
    /// Whether it can be paired now: it shows a code.
    pub pairing: bool,
    /// Whether it connects to its paired devices by itself.
    pub resident: bool,
    /// The router it announced itself on.
    pub router: RouterId,
}

/// What an address of a path is, named as in SDP (RFC 8839 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PathKind {
    /// A host's own.
    Host,
    /// A NAT's, as a STUN server saw it.
    Srflx,
    /// A NAT's, which only the peer has seen.
    Prflx,
    /// A TURN server's.
    Relay,
}

impl fmt::Display for PathKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "host",
            Self::Srflx => "srflx",
            Self::Prflx => "prflx",
            Self::Relay => "relay",
        })
    }
}

/// The addresses a link runs over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Path {
    /// Ours: that of a socket, or of a TURN server.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
    /// What the peer sends to when it sends to us. A socket behind a NAT counts as `Srflx` when the peer is not on a private
    /// network and a STUN server has told how the socket looks from outside.
    pub local_kind: PathKind,
    /// What the peer's address is.
    pub remote_kind: PathKind,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { local, remote, local_kind, remote_kind } = self;
        write!(f, "{local} ({local_kind}) to {remote} ({remote_kind})")
    }
}

/// A step of a link's establishment, in the order they happen on one side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Step {
    /// Our offer was handed to the router.
    OfferSent,
    /// The peer's offer arrived.
    OfferReceived,
    /// Our answer was handed to the router.
    AnswerSent,
    /// The peer's answer arrived.
    AnswerReceived,
    /// An offer of another path (ICE restart) was handed to the router.
    RestartOfferSent,
    /// The peer's offer of another path arrived.
    RestartOfferReceived,
    /// A local candidate was gathered and handed to the router.
    CandidateSent(String),
    /// A remote candidate arrived and is being checked.
    CandidateReceived(String),
    /// A remote candidate arrived and is not used, for this reason.
    CandidateSkipped(String),
    /// ICE found a working pair.
    IceConnected,
    /// DTLS is up and the certificate matches the SDP's fingerprint.
    DtlsConnected,
    /// This data channel is open.
    ChannelOpen(Channel),
}

/// Why a link never opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailReason {
    /// The router knows no such session.
    #[error("the router knows no session {0}")]
    NoSuchSession(String),
    /// Nobody answered the offer in time.
    #[error("no answer to the offer within {0:?}")]
    NoAnswer(Duration),
    /// The answer could not be used.
    #[error("unusable answer: {0}")]
    BadAnswer(String),
    /// The peer said no, or gave up.
    #[error("the peer declined: {0}")]
    Declined(String),
    /// No pair of addresses worked.
    #[error(
        "ICE found no working path within {timeout:?}; {remote_candidates} remote candidates were tried{}",
        .servers.iter().map(|fault| format!("; {fault}")).collect::<String>()
    )]
    Ice {
        /// How long it was tried.
        timeout: Duration,
        /// How many candidates the peer sent.
        remote_candidates: usize,
        /// What is wrong with our STUN and TURN servers, one text each.
        servers: Vec<String>,
    },
    /// ICE worked, the encryption handshake did not.
    #[error("DTLS failed: {0}")]
    Dtls(String),
    /// The connection is up, but the data channels did not open.
    #[error("the data channels did not open within {0:?}")]
    Channel(Duration),
    /// The peer broke a rule or a limit.
    #[error("the peer broke a limit: {0}")]
    Violation(String),
    /// The application gave up first.
    #[error("called off")]
    CalledOff,
}

/// Why an open link ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The application asked for it.
    #[error("closed here")]
    Local,
    /// The peer said goodbye, with its reason if it gave one.
    #[error("closed by the peer{}", .0.as_ref().map(|r| format!(": {r}")).unwrap_or_default())]
    Remote(Option<String>),
    /// The path died: nothing came back for too long.
    #[error("connection lost")]
    Lost,
    /// The transport failed.
    #[error("transport error: {0}")]
    Transport(String),
    /// The peer broke a rule or a limit.
    #[error("the peer broke a limit: {0}")]
    Violation(String),
    /// The application did not take reliable data in time, and the bound was reached.
    #[error("the application did not take its data")]
    ApplicationTooSlow,
}

/// What a node tells its application.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A router accepted our session.
    RouterReady {
        /// Which.
        router: RouterId,
        /// Our session id there.
        session: String,
        /// The router's name.
        name: String,
    },
    /// A router went away, or could not be reached.
    RouterLost {
        /// Which.
        router: RouterId,
        /// Why.
        why: String,
        /// When the next attempt starts, for a router of the configuration.
        retry_in: Option<Duration>,
    },
    /// A peer announced itself, or changed what it announces.
    PeerSeen(PeerInfo),
    /// A link is being established.
    Connecting {
        /// The link.
        link: LinkId,
        /// The peer's session id.
        peer: String,
        /// Who offered.
        role: Role,
    },
    /// A link entered another state.
    State {
        /// The link.
        link: LinkId,
        /// The state it is in now.
        state: LinkState,
    },
    /// A step of the establishment.
    Step {
        /// The link.
        link: LinkId,
        /// The peer's session id.
        peer: String,
        /// Who offered.
        role: Role,
        /// The step.
        step: Step,
    },
    /// The other end of the link has proved to be this paired device. Told once, before its first message and before
    /// [`Event::Connected`] or [`Event::Relayed`].
    Proven {
        /// The link.
        link: LinkId,
        /// The device.
        device: DeviceId,
        /// What it is called here.
        name: String,
        /// Whether both ends connect to their paired devices by themselves.
        resident: bool,
    },
    /// The link is open for the first time: both data channels, or the reliable one if the peer opens no other within a second.
    Connected {
        /// The link.
        link: LinkId,
        /// The peer's session id.
        peer: String,
        /// Who offered.
        role: Role,
        /// The addresses in use.
        path: Path,
        /// Time since the link's first signal.
        after: Duration,
    },
    /// Messages of the link go through the router from now on, because there is no direct path. The link works, if it did not before.
    /// [`Event::Connected`] or [`Event::PathChanged`] tells when there is a direct path.
    Relayed {
        /// The link.
        link: LinkId,
        /// The peer's session id.
        peer: String,
        /// The router.
        router: RouterId,
        /// Why there is no direct path.
        why: String,
        /// Time since the link began.
        after: Duration,
    },
    /// The link runs over other addresses from now on, or directly again; nothing on the reliable channel was lost.
    PathChanged {
        /// The link.
        link: LinkId,
        /// The peer's session id.
        peer: String,
        /// The addresses in use.
        path: Path,
    },
    /// A message arrived.
    Data {
        /// The link.
        link: LinkId,
        /// The channel it came on.
        channel: Channel,
        /// The message.
        bytes: Bytes,
    },
    /// A queue that refused a message has room again.
    Writable {
        /// The link.
        link: LinkId,
    },
    /// The answer to a ping.
    Pong {
        /// The link.
        link: LinkId,
        /// The channel it travelled on, both ways.
        channel: Channel,
        /// What `ping` returned.
        token: u64,
        /// The round trip.
        rtt: Duration,
    },
    /// The link never opened. Nothing more comes for it.
    Failed {
        /// The link.
        link: LinkId,
        /// The peer's session id.
        peer: String,
        /// Why.
        why: FailReason,
    },
    /// The link was open and ended. Nothing more comes for it.
    Disconnected {
        /// The link.
        link: LinkId,
        /// The peer's session id.
        peer: String,
        /// Why.
        why: DisconnectReason,
    },
    /// This device and another one are paired: each has shown that it knows the code, and a link has shown their certificates.
    Paired {
        /// The other device.
        device: DeviceId,
        /// What it is called here.
        name: String,
        /// Its session.
        peer: String,
        /// Six digits that both devices tell, for people who want to compare.
        check: String,
    },
    /// A pairing came to nothing. A window that has guesses left stays open.
    PairingFailed {
        /// Why.
        why: PairingError,
    },
    /// A peer's offer was turned down before a link came to be.
    Refused {
        /// The peer's session id.
        peer: String,
        /// Why.
        why: String,
    },
}
