//! Messages: one type per row of the reference's §4.3, borrowed from the frame they were read from.
//!
//! [`Message::decode`] reads a whole frame, [`Message::encode_into`] writes one. Lists are [`Seq`]s: encoded bytes
//! that were validated when the message was decoded, or a slice of items when the message is built to be sent.

mod bits;
pub(crate) mod code;
mod decode;
pub(crate) mod encode;
mod lists;

use crate::{seq::Seq, value::Value};

pub use bits::{Features, Phase, SignalType, TypeMask};

/// Any CLASP message.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Message<'a> {
    /// 01, the client's first message.
    Hello(Hello<'a>),
    /// 02, the router's answer to HELLO.
    Welcome(Welcome<'a>),
    /// 03, signals a client offers.
    Announce(Announce<'a>),
    /// 04, between federated routers; decoded, never acted upon here.
    FederationSync(FederationSync<'a>),
    /// 10
    Subscribe(Subscribe<'a>),
    /// 11
    Unsubscribe {
        /// The subscription's id.
        id: u32,
    },
    /// 20
    Publish(Publish<'a>),
    /// 21
    Set(Set<'a>),
    /// 22
    Get {
        /// The address asked for.
        address: &'a str,
    },
    /// 23
    Snapshot {
        /// The parameters, in the sender's order.
        params: Seq<'a, Param<'a>>,
    },
    /// 24, decoded but not served.
    Replay(Replay<'a>),
    /// 30
    Bundle(Bundle<'a>),
    /// 40
    Sync(Sync),
    /// 41
    Ping,
    /// 42
    Pong,
    /// 50
    Ack(Ack<'a>),
    /// 51
    Error(ErrorReply<'a>),
    /// 60
    Query {
        /// Which announced signals are asked for.
        pattern: &'a str,
    },
    /// 61
    Result {
        /// The announced signals that match. Their `meta` does not travel in this message.
        signals: Seq<'a, Signal<'a>>,
    },
}

impl<'a> Message<'a> {
    /// The message's name in the reference, for example `SET`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Message::Hello(_) => "HELLO",
            Message::Welcome(_) => "WELCOME",
            Message::Announce(_) => "ANNOUNCE",
            Message::FederationSync(_) => "FEDERATION_SYNC",
            Message::Subscribe(_) => "SUBSCRIBE",
            Message::Unsubscribe { .. } => "UNSUBSCRIBE",
            Message::Publish(_) => "PUBLISH",
            Message::Set(_) => "SET",
            Message::Get { .. } => "GET",
            Message::Snapshot { .. } => "SNAPSHOT",
            Message::Replay(_) => "REPLAY",
            Message::Bundle(_) => "BUNDLE",
            Message::Sync(_) => "SYNC",
            Message::Ping => "PING",
            Message::Pong => "PONG",
            Message::Ack(_) => "ACK",
            Message::Error(_) => "ERROR",
            Message::Query { .. } => "QUERY",
            Message::Result { .. } => "RESULT",
        }
    }

    /// The one address (or pattern) the message is about, if it has one.
    #[must_use]
    pub const fn address(&self) -> Option<&'a str> {
        match self {
            Message::Publish(publish) => Some(publish.address),
            Message::Set(set) => Some(set.address),
            Message::Get { address } => Some(address),
            Message::Subscribe(subscribe) => Some(subscribe.pattern),
            Message::Replay(replay) => Some(replay.pattern),
            Message::Query { pattern } => Some(pattern),
            Message::Announce(announce) => Some(announce.namespace),
            Message::Ack(ack) => ack.address,
            Message::Error(error) => error.address,
            _ => None,
        }
    }
}

/// 01
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hello<'a> {
    /// Protocol version; every known sender says 1 and nobody checks.
    pub version: u8,
    /// What the client can do.
    pub features: Features,
    /// The client's name.
    pub name: &'a str,
    /// Access token; empty when there is none.
    pub token: &'a str,
}

/// 02
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Welcome<'a> {
    /// Protocol version, 1.
    pub version: u8,
    /// What the router can do.
    pub features: Features,
    /// The router's clock, microseconds since the Unix epoch.
    pub time_us: u64,
    /// The session's id.
    pub session: &'a str,
    /// The router's name.
    pub name: &'a str,
    /// Normally empty, but always present.
    pub token: &'a str,
}

/// 03
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Announce<'a> {
    /// The namespace the signals live in.
    pub namespace: &'a str,
    /// What is offered.
    pub signals: Seq<'a, Signal<'a>>,
}

/// One announced signal, in ANNOUNCE (with `meta`) and RESULT (without).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Signal<'a> {
    /// The signal's address.
    pub address: &'a str,
    /// Its kind.
    pub signal: SignalType,
    /// For example `f32`.
    pub datatype: Option<&'a str>,
    /// For example `rw`.
    pub access: Option<&'a str>,
    /// More about it; only in ANNOUNCE.
    pub meta: Option<Meta<'a>>,
}

/// What ANNOUNCE may say about a signal.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Meta<'a> {
    /// Unit of measure.
    pub unit: Option<&'a str>,
    /// Smallest and largest value.
    pub range: Option<(f64, f64)>,
    /// Default value.
    pub default: Option<Value<'a>>,
    /// For people.
    pub description: Option<&'a str>,
}

/// 04
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FederationSync<'a> {
    /// What is asked or told.
    pub op: FederationOp,
    /// Patterns the operation is about.
    pub patterns: Seq<'a, &'a str>,
    /// Revision by address.
    pub revisions: Seq<'a, Revision<'a>>,
    /// Only what is newer than this.
    pub since: Option<u64>,
    /// The router it came from.
    pub origin: Option<&'a str>,
}

/// One entry of a FEDERATION_SYNC revision vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revision<'a> {
    /// The address.
    pub key: &'a str,
    /// Its revision.
    pub revision: u64,
}

/// The operation of a FEDERATION_SYNC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FederationOp {
    /// Declare namespaces.
    Declare = 1,
    /// Request a synchronisation.
    Request = 2,
    /// A revision vector.
    RevisionVector = 3,
    /// The synchronisation is complete.
    Complete = 4,
}

/// 10
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Subscribe<'a> {
    /// Chosen by the client; re-using one replaces the older subscription.
    pub id: u32,
    /// What to match; see [`crate::Pattern`].
    pub pattern: &'a str,
    /// Which signal types.
    pub types: TypeMask,
    /// At most this many messages a second; carried, not applied.
    pub max_rate: Option<u32>,
    /// Smallest change worth a message; carried, not applied.
    pub epsilon: Option<f64>,
    /// Carried, not applied.
    pub history: Option<u32>,
    /// Carried, not applied.
    pub window: Option<u32>,
}

/// 20
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Publish<'a> {
    /// Where to.
    pub address: &'a str,
    /// What kind.
    pub signal: SignalType,
    /// Gesture phase; `Start` for everything else.
    pub phase: Phase,
    /// What is said.
    pub body: Body<'a>,
    /// Microseconds since the Unix epoch, by the sender's clock.
    pub timestamp_us: Option<u64>,
    /// Gesture id.
    pub id: Option<u32>,
    /// Samples per second.
    pub rate: Option<u32>,
}

/// The content of a PUBLISH.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Body<'a> {
    /// Nothing (kind 0, and every unknown kind).
    None,
    /// One value (kind 1).
    Value(Value<'a>),
    /// Samples (kind 2).
    Samples(Seq<'a, f64>),
}

/// 21
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Set<'a> {
    /// Which parameter.
    pub address: &'a str,
    /// Its new value.
    pub value: Value<'a>,
    /// The revision the sender expects (or, from the router, has assigned).
    pub revision: Option<u64>,
    /// Take the lock.
    pub lock: bool,
    /// Release the lock.
    pub unlock: bool,
    /// How long the parameter lives.
    pub ttl: Option<Ttl>,
}

/// How long a parameter lives. Seconds are 31 bits on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ttl {
    /// For ever (wire 0).
    Never,
    /// So many seconds after the last write.
    Sliding(u32),
    /// So many seconds after this write, whatever comes later.
    Absolute(u32),
}

/// One parameter of a SNAPSHOT.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Param<'a> {
    /// Which parameter.
    pub address: &'a str,
    /// Its value.
    pub value: Value<'a>,
    /// How often it was written.
    pub revision: u64,
    /// The session that wrote it last.
    pub writer: Option<&'a str>,
    /// When, in microseconds since the Unix epoch.
    pub timestamp_us: Option<u64>,
}

/// 24
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Replay<'a> {
    /// What to replay.
    pub pattern: &'a str,
    /// From this time, microseconds.
    pub from_us: Option<u64>,
    /// Up to this time, microseconds.
    pub to_us: Option<u64>,
    /// At most so many.
    pub limit: Option<u32>,
    /// Which signal types.
    pub types: TypeMask,
}

/// 30
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bundle<'a> {
    /// When it is meant to take effect, microseconds; routers run it at once.
    pub timestamp_us: Option<u64>,
    /// The members. Bundles nest up to [`crate::limits::MAX_DEPTH`].
    pub messages: Seq<'a, Message<'a>>,
}

/// 40; all times in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sync {
    /// Sent by the client at.
    pub t1_us: u64,
    /// Received by the router at.
    pub t2_us: Option<u64>,
    /// Answered by the router at.
    pub t3_us: Option<u64>,
}

/// 50
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ack<'a> {
    /// What was acknowledged.
    pub address: Option<&'a str>,
    /// The revision it got.
    pub revision: Option<u64>,
    /// Whether it is locked.
    pub locked: Option<bool>,
    /// Who holds the lock.
    pub holder: Option<&'a str>,
    /// The request's correlation id.
    pub correlation_id: Option<u32>,
}

/// 51
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorReply<'a> {
    /// Error code, reference §7.1.
    pub code: u16,
    /// For people.
    pub message: &'a str,
    /// What it is about.
    pub address: Option<&'a str>,
    /// The request's correlation id.
    pub correlation_id: Option<u32>,
}
