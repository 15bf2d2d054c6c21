//! A minimal CLASP router: every bound named, no client able to harm another.
//!
//! The core ([`Router`]) is sans-IO: it takes facts ([`Input`]) with the time they came, gives orders ([`Output`]), and
//! knows neither sockets nor clocks nor an executor. With the feature `driver` (the default), `Server` runs it on smol
//! with WebSockets, and `LocalSession` connects a program in the same process.
//!
//! What it serves: HELLO, WELCOME, SNAPSHOT, SUBSCRIBE, UNSUBSCRIBE, PUBLISH, SET, GET, BUNDLE, SYNC, PING, ANNOUNCE,
//! QUERY and P2P signalling, for sessions from this machine and for those whose token ([`TokenTable`]) allows it. What it
//! does not: REPLAY, FEDERATION_SYNC, TLS.

pub mod exposition;
pub mod limits;

mod access;
mod close;
mod config;
mod connection;
mod counters;
mod gestures;
mod id;
mod io;
mod links;
mod outbox;
mod params;
mod rate;
mod roster;
mod router;
mod signals;
mod slots;
mod time;

#[cfg(feature = "driver")]
mod server;
#[cfg(test)]
mod test_support;

pub use access::{
    AccessToken, Action, Origin, ScopeError, Token, TokenFormatError, TokenHash, TokenScope, TokenTable,
    TokenTableError,
};
pub use close::CloseReason;
pub use config::{Config, ConfigError, DEFAULT_PORT, RemoteAccess};
pub use counters::{Counters, Refusal};
pub use id::ConnectionId;
pub use io::{Input, Output};
pub use params::{Adoption, Precedence, StoredParam};
pub use router::{Counts, Interest, Router};
#[cfg(feature = "driver")]
pub use server::{Bridge, Closed, LocalSession, Page, Server, ServerError};
pub use time::{Now, Wake};
