//! How a node is: what `clasp-node status` shows, and what its JSON is called. Times are in milliseconds, counts are of the whole
//! life of what they belong to unless it is said otherwise.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::event::{LinkId, LinkState, Path, Role, RouterId};

/// A link as it is now.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LinkStatus {
    /// The link.
    pub link: LinkId,
    /// The peer's session id.
    pub peer: String,
    /// The name the peer announced, while it is known.
    pub name: Option<String>,
    /// Whether the peer is a clasp-edge node.
    pub edge: bool,
    /// The router its signals travel on.
    pub router: RouterId,
    /// Who offered.
    pub role: Role,
    /// Where it is in its life.
    pub state: LinkState,
    /// For how long it has been there.
    #[serde(rename = "in_state_ms", serialize_with = "millis")]
    pub in_state: Duration,
    /// Time since its first signal.
    #[serde(rename = "age_ms", serialize_with = "millis")]
    pub age: Duration,
    /// The addresses in use; none before DTLS has begun, and where messages go through the router.
    pub path: Option<Path>,
    /// Why there is no direct path, where a link that could do with one has none.
    pub no_path: Option<String>,
    /// What the checks of that path tell.
    pub checks: PathChecks,
    /// Of `clasp-reliable`.
    pub reliable: ChannelStatus,
    /// Of `clasp`.
    pub stream: ChannelStatus,
    /// What went through the router instead.
    pub relayed: Relayed,
    /// Reliable messages that the other node has not confirmed, sent or not; none towards stock peers, which confirm nothing.
    pub unconfirmed: Traffic,
    /// Bytes handed to the reliable channel that the peer has not acknowledged.
    pub unacknowledged_bytes: usize,
    /// What was dropped.
    pub drops: Drops,
    /// How often it went on without its path: while another one was looked for, or through the router.
    pub restarts: u32,
    /// How often losses held up its reliable channel, so that messages were sent past it.
    pub held_up: u32,
    /// Datagrams that came from the peer, of any kind.
    pub received_datagrams: u64,
}

/// What ICE's consent checks tell about the path in use: STUN binding requests of ours on it, one about every 3 s (RFC 7675).
/// Both ends of every link answer them, stock peers too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct PathChecks {
    /// The smoothed round trip of answered checks (RFC 6298 §2.3), since the link has this path; none before the first answer.
    #[serde(rename = "rtt_ms", serialize_with = "maybe_millis")]
    pub rtt: Option<Duration>,
    /// How many checks are counted here: the last 64 at most that were answered, or not within 3 s, since the link has this path.
    pub recent: u32,
    /// How many of them were not answered. A check is lost when it or its answer is, so that this is about twice the loss one way.
    pub recent_lost: u32,
}

/// What went through a router for want of a direct path: messages of both kinds, repeated ones included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Relayed {
    /// What was sent.
    pub sent: Traffic,
    /// What came.
    pub received: Traffic,
}

/// One of the two data channels of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct ChannelStatus {
    /// Whether it is open.
    pub open: bool,
    /// What was handed to the channel: what SCTP takes for a message, so that small ones which travel together count once. The few
    /// of the nodes themselves (pings, tail probes) are included.
    pub sent: Traffic,
    /// What came, counted in the same way.
    pub received: Traffic,
    /// What waits in front of the channel now.
    pub waiting: Traffic,
}

/// Messages, and their bytes together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Traffic {
    /// How many messages.
    pub messages: u64,
    /// How many bytes they have.
    pub bytes: u64,
}

impl Traffic {
    pub(crate) fn add(&mut self, other: Self) {
        self.messages += other.messages;
        self.bytes += other.bytes;
    }

    pub(crate) fn count(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes as u64;
    }
}

/// What a link dropped, by class. Reliable messages are never dropped: their sender waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Drops {
    /// Stream messages, because their queue was full.
    pub stream_messages: u64,
    /// Datagrams that were no use: garbage, or from a handshake that is over.
    pub datagrams: u64,
    /// Candidates of the peer that are not used.
    pub candidates: u32,
}

/// How the last link to a peer that has none now ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EndedLink {
    /// The peer's session id.
    pub peer: String,
    /// The name the peer had announced.
    pub name: Option<String>,
    /// The router its signals travelled on.
    pub router: RouterId,
    /// Whether there was a link, and how far it came.
    pub end: End,
    /// Why, for people.
    pub why: String,
    /// How long ago.
    #[serde(rename = "ago_ms", serialize_with = "millis")]
    pub ago: Duration,
    /// What ICE tried, where the link never opened.
    pub tried: Option<Tried>,
}

/// How far a link came before it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum End {
    /// The peer's offer was turned down here.
    Refused,
    /// It never opened.
    Failed,
    /// It was open.
    Disconnected,
}

/// Between which addresses ICE looked for a path: each of ours with each of the peer's that is of the same family.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Tried {
    /// Ours.
    pub local: Vec<SocketAddr>,
    /// The peer's, as far as they came and could be used.
    pub remote: Vec<SocketAddr>,
    /// Datagrams that came from there, of any kind. None at all means that something on the way blocks UDP, or that the other end is
    /// not there.
    pub received_datagrams: u64,
}

impl Tried {
    /// The pairs, ours first.
    pub fn pairs(&self) -> impl Iterator<Item = (SocketAddr, SocketAddr)> {
        let same_family = |a: &SocketAddr, b: &SocketAddr| a.is_ipv4() == b.is_ipv4();
        self.local.iter().flat_map(move |local| {
            self.remote
                .iter()
                .filter(move |remote| same_family(local, remote))
                .map(|remote| (*local, *remote))
        })
    }
}

/// A session with a router as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SessionStatus {
    /// The router.
    pub router: RouterId,
    /// Where the session is in its life.
    pub state: SessionState,
    /// Our id, while the router knows us.
    pub session: Option<String>,
    /// Why it was lost, or not had, the last time.
    pub lost: Option<String>,
    /// When the router is dialled again.
    #[serde(rename = "retry_in_ms", serialize_with = "maybe_millis")]
    pub retry_in: Option<Duration>,
    /// Peers that have announced themselves there.
    pub peers: usize,
}

/// Where a session with a router is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SessionState {
    /// Waiting to dial again.
    Offline,
    /// Opening the WebSocket.
    Dialing,
    /// HELLO is said, and not answered yet.
    AwaitingWelcome,
    /// The router knows us.
    Ready,
}

/// Milliseconds with microseconds behind the point.
pub(crate) fn millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((duration.as_secs_f64() * 1e6).round() / 1e3)
}

fn maybe_millis<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => millis(duration, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_one_family_are_pairs() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let tried = Tried {
            local: vec![address("192.0.2.1:1"), address("[2001:db8::1]:1")],
            remote: vec![address("192.0.2.2:2"), address("[2001:db8::2]:2"), address("198.51.100.2:2")],
            received_datagrams: 0,
        };
        let pairs: Vec<_> = tried.pairs().map(|(a, b)| format!("{a} {b}")).collect();
        let want =
            ["192.0.2.1:1 192.0.2.2:2", "192.0.2.1:1 198.51.100.2:2", "[2001:db8::1]:1 [2001:db8::2]:2"];
        assert_eq!(pairs, want);
    }

    #[test]
    fn times_are_milliseconds_in_json() {
        let checks = PathChecks { rtt: Some(Duration::from_micros(1_234)), recent: 3, recent_lost: 1 };
        let json = serde_json::to_string(&checks).unwrap();
        assert_eq!(json, r#"{"rtt_ms":1.234,"recent":3,"recent_lost":1}"#);
        assert_eq!(serde_json::to_value(PathChecks::default()).unwrap()["rtt_ms"], serde_json::Value::Null);
    }
}
