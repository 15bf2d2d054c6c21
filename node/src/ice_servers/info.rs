//! What is known of a server, and what it told us.

use std::net::SocketAddr;

use serde::Serialize;

/// A server, by its place in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerId(pub(super) u8);

impl ServerId {
    /// Its place in the configuration.
    #[must_use]
    pub fn place(self) -> usize {
        usize::from(self.0)
    }
}

/// Where an address of ours on the other side of a NAT comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GatheredKind {
    /// A NAT's; a server saw it (server-reflexive).
    Reflexive,
    /// The server's own; it relays.
    Relayed,
}

/// An address of ours that a server told us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gathered {
    /// What it is.
    pub kind: GatheredKind,
    /// What peers send to.
    pub address: SocketAddr,
    /// The socket it leads to.
    pub base: SocketAddr,
}

/// Why a server is of no use now. It is asked again by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ServerFault {
    /// It is the server of another entry, under another name.
    #[error("another entry has the same address")]
    Duplicate,
    /// Its name is not known.
    #[error("its name is not resolved: {0}")]
    Unresolved(String),
    /// None of our addresses is of the same family, IPv4 or IPv6.
    #[error("no address of this host is of the server's family")]
    NoAddress,
    /// It does not answer.
    #[error("it does not answer")]
    NoAnswer,
    /// It does not know the user, or the password is another (RFC 8489 §9.2).
    #[error("wrong user or password (401)")]
    WrongCredentials,
    /// The user has as many allocations as it may have (RFC 8656 §7.2).
    #[error("the user's allocation quota is used up (486)")]
    QuotaReached,
    /// It said no.
    #[error("it refused: {code} {reason}")]
    Refused {
        /// The STUN error code.
        code: u16,
        /// What the server says about it.
        reason: String,
    },
    /// It said yes, but not what we need to know.
    #[error("its answer is unusable")]
    BadAnswer,
}

/// How a server does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ServerState {
    /// It was asked and has not answered yet.
    Asked,
    /// It answered.
    Ready {
        /// The addresses it saw us at, one for each of our sockets.
        mapped: Vec<SocketAddr>,
        /// The addresses it relays from.
        relayed: Vec<SocketAddr>,
    },
    /// It is of no use now.
    Failed(ServerFault),
}

/// A configured server as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerInfo {
    /// Host and port.
    pub server: String,
    /// Whether it is to relay.
    pub turn: bool,
    /// How it does.
    pub state: ServerState,
}
