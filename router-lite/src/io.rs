//! What goes into the core and what comes out.

use bytes::Bytes;

use crate::{
    access::{Origin, TokenTable},
    close::CloseReason,
    counters::Refusal,
    id::ConnectionId,
    time::Wake,
};

/// A fact, reported by the driver.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Input {
    /// A connection was accepted.
    Opened {
        /// Its number, never used before.
        connection: ConnectionId,
        /// Where it comes from.
        origin: Origin,
    },
    /// The connection comes from this machine but speaks for another one: a web page from elsewhere, in a browser here, or
    /// whoever a proxy here lets in.
    /// Whatever its [`Origin`], it is treated as [`Origin::Remote`].
    Foreign {
        /// Which.
        connection: ConnectionId,
    },
    /// A frame came: the content of one binary WebSocket message.
    Frame {
        /// From whom.
        connection: ConnectionId,
        /// The whole frame. Kept no longer than until the outputs are drained.
        frame: Bytes,
    },
    /// Something else came that shows the client is there: a WebSocket ping or pong.
    Heard {
        /// From whom.
        connection: ConnectionId,
    },
    /// The client did something that the driver refused or ignored; it is counted.
    Noted {
        /// Who.
        connection: ConnectionId,
        /// What.
        what: Refusal,
    },
    /// The client's socket takes none of what waits for it.
    Blocked {
        /// Whose.
        connection: ConnectionId,
    },
    /// The client's socket has taken something again.
    Progress {
        /// Whose.
        connection: ConnectionId,
    },
    /// The connection is gone, on whichever side's wish. Its number is forgotten.
    Closed {
        /// Which.
        connection: ConnectionId,
    },
    /// The tokens the router knows from now on, in place of those before. Sessions begun with one that is gone, or that
    /// allows something else now, are closed.
    Tokens(TokenTable),
    /// The moment named by [`Output::Idle`] has come.
    Tick,
    /// The router is to stop: every connection is closed.
    Shutdown,
}

/// An order to the driver.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an output not acted on is lost"]
#[non_exhaustive]
pub enum Output {
    /// Frames wait for this connection: write what [`Router::poll_transmit`](crate::Router::poll_transmit) yields until
    /// it yields nothing, or the socket takes no more.
    Transmit {
        /// For whom.
        connection: ConnectionId,
        /// Do so before asking for the next output: the outbox is filling up within this very input. Otherwise it
        /// may wait until the outputs are drained, so that more frames go out in one write.
        urgent: bool,
    },
    /// Send a WebSocket ping.
    Ping {
        /// To whom.
        connection: ConnectionId,
    },
    /// Write what is still waiting, then a WebSocket Close, then close the socket, all within a short time; and report
    /// [`Input::Closed`].
    Close {
        /// Which.
        connection: ConnectionId,
        /// Code and text for the Close frame.
        reason: CloseReason,
    },
    /// Nothing to do until the next input.
    Idle {
        /// When to report [`Input::Tick`], if nothing happens earlier.
        wake: Option<Wake>,
    },
}
