//! Why the router ends a connection, as the client is told.

/// Why a connection ends. Each has a WebSocket close code (RFC 6455 §7.4) and a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// No HELLO in time.
    HelloTimeout,
    /// The first message was something else than HELLO.
    NotHello,
    /// The first frame could not be decoded.
    Undecodable,
    /// The HELLO carried a token that is none, or none of the router's.
    Token,
    /// The token the session was begun with was revoked, or allows something else now.
    Revoked,
    /// As many sessions as allowed.
    TooManySessions,
    /// As many unfinished handshakes as allowed.
    TooManyHandshakes,
    /// What waits for the client does not get away.
    SlowConsumer,
    /// Pings stayed unanswered.
    Silent,
    /// The router stops.
    ShuttingDown,
}

impl CloseReason {
    /// The WebSocket close code.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::ShuttingDown => 1001,
            Self::NotHello | Self::Undecodable => 1002,
            Self::HelloTimeout | Self::Token | Self::Revoked | Self::SlowConsumer => 1008,
            Self::Silent => 1011,
            Self::TooManySessions | Self::TooManyHandshakes => 1013,
        }
    }

    /// The WebSocket close reason.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::HelloTimeout => "no HELLO in time",
            Self::NotHello => "the first message must be HELLO",
            Self::Undecodable => "the first message is not a CLASP frame",
            Self::Token => "invalid token",
            Self::Revoked => "token revoked",
            Self::TooManySessions => "too many sessions",
            Self::TooManyHandshakes => "too many unfinished handshakes",
            Self::SlowConsumer => "slow consumer",
            Self::Silent => "pings were not answered",
            Self::ShuttingDown => "router is shutting down",
        }
    }
}
