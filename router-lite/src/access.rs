//! What a session may do, and which addresses are reserved for P2P signalling.
//!
//! It depends on where the session comes from, and on the token it has presented, which adds and never takes away.

mod scope;
mod table;
mod token;

use std::sync::Arc;

use clasp_wire::{
    Pattern,
    p2p::{ANNOUNCE_ADDRESS, target_session},
};

pub use scope::{Action, ScopeError, TokenScope};
pub use table::{AccessToken, TokenTable, TokenTableError};
pub use token::{Token, TokenFormatError, TokenHash};

use crate::config::RemoteAccess;

/// Where a connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A program that holds the router in its own process. Has no socket: it is not pinged.
    InProcess,
    /// The same, for a program that connects the router with others: it has no rate limit, and is not told what it wrote itself.
    Bridge,
    /// This machine.
    Loopback,
    /// Another machine.
    Remote,
}

/// Everything under here is closed to SET, GET and BUNDLE: what is sent there is for one session only.
const RESERVED_PREFIX: &str = "/clasp/p2p/";

/// What a PUBLISH to an address means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Destination<'a> {
    /// A P2P signal for the session with this id.
    Session(&'a str),
    /// The P2P announcement.
    Announce,
    /// Everybody who subscribes to it.
    Subscribers,
}

impl<'a> Destination<'a> {
    pub(crate) fn of(address: &'a str) -> Self {
        if !is_reserved(address) {
            return Self::Subscribers;
        }
        match target_session(address) {
            Some(session) => Self::Session(session),
            None if address == ANNOUNCE_ADDRESS => Self::Announce,
            None => Self::Subscribers,
        }
    }
}

/// Whether `address` belongs to P2P signalling.
pub(crate) fn is_reserved(address: &str) -> bool {
    address.starts_with(RESERVED_PREFIX)
}

/// What a session may do without a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Everything,
    /// Announce itself, send signals, hear both.
    Signaling,
}

impl Origin {
    /// Whether there is no socket between the client and the router.
    pub(crate) const fn has_no_socket(self) -> bool {
        matches!(self, Self::InProcess | Self::Bridge)
    }
}

impl Standing {
    pub(crate) const fn of(origin: Origin, remote: RemoteAccess) -> Self {
        match (origin, remote) {
            (Origin::Remote, RemoteAccess::Signaling) => Self::Signaling,
            _ => Self::Everything,
        }
    }

    /// Whether values and metrics may be read, by whoever they are of.
    pub(crate) const fn allows_all_data(self) -> bool {
        matches!(self, Self::Everything)
    }
}

/// What a session may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scope {
    Everything,
    /// As [`Standing::Signaling`].
    Signaling,
    /// The same, and what one of these allows.
    Granted(Arc<[TokenScope]>),
}

impl Scope {
    pub(crate) fn of(standing: Standing, token: Option<&AccessToken>) -> Self {
        match (standing, token) {
            (Standing::Everything, _) => Self::Everything,
            (Standing::Signaling, None) => Self::Signaling,
            (Standing::Signaling, Some(token)) => Self::Granted(token.shared_scopes()),
        }
    }

    /// Whether there is anything it may read.
    pub(crate) const fn reads_anything(&self) -> bool {
        !matches!(self, Self::Signaling)
    }

    /// Whether the value at `address`, or a signal announced there, may be read.
    pub(crate) fn reads(&self, address: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Signaling => false,
            Self::Granted(scopes) => scopes.iter().any(|scope| scope.reads(address)),
        }
    }

    /// Whether something may be written to, published at or announced for `address`.
    pub(crate) fn writes(&self, address: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Signaling => false,
            Self::Granted(scopes) => scopes.iter().any(|scope| scope.writes(address)),
        }
    }

    /// Whether a subscription with this pattern is allowed. It must be contained in one scope as a whole: what it matches
    /// is delivered without another look.
    pub(crate) fn allows_subscribe(&self, pattern: &Pattern) -> bool {
        match self {
            Self::Everything => true,
            _ if is_reserved(pattern.as_str()) => true,
            Self::Signaling => false,
            Self::Granted(scopes) => scopes.iter().any(|scope| scope.reads_all_of(pattern)),
        }
    }

    pub(crate) fn allows_publish(&self, to: Destination<'_>, address: &str) -> bool {
        match to {
            Destination::Session(_) | Destination::Announce => true,
            Destination::Subscribers => self.writes(address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_non_empty_segment_after_the_prefix_names_a_session() {
        for (address, to) in [
            ("/clasp/p2p/signal/abc", Destination::Session("abc")),
            ("/clasp/p2p/announce", Destination::Announce),
            ("/clasp/p2p/announce/", Destination::Subscribers),
            ("/clasp/p2p/signal/", Destination::Subscribers),
            ("/clasp/p2p/signal/a/b", Destination::Subscribers),
            ("/clasp/p2p/signal", Destination::Subscribers),
            ("/clasp/p2p", Destination::Subscribers),
            ("/clasp/p2psignal/a", Destination::Subscribers),
        ] {
            assert_eq!(Destination::of(address), to, "{address}");
        }
    }

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn strangers_may_only_signal_unless_the_operator_says_otherwise() {
        let stranger = Scope::of(Standing::of(Origin::Remote, RemoteAccess::Signaling), None);
        assert!(!stranger.reads_anything() && !stranger.reads("/a") && !stranger.writes("/a"));
        for text in ["/**", "/clasp/**", "/clasp/*/announce", "/clasp/p2p", "/x", "/clasp/p2p*"] {
            assert!(!stranger.allows_subscribe(&pattern(text)), "{text}");
        }
        for text in ["/clasp/p2p/**", "/clasp/p2p/announce", "/clasp/p2p/signal/abc"] {
            assert!(stranger.allows_subscribe(&pattern(text)), "{text}");
        }
        for (address, allowed) in [
            ("/clasp/p2p/signal/abc", true),
            ("/clasp/p2p/announce", true),
            ("/clasp/p2p/elsewhere", false),
            ("/a", false),
        ] {
            assert_eq!(stranger.allows_publish(Destination::of(address), address), allowed, "{address}");
        }
        for (origin, remote) in [
            (Origin::InProcess, RemoteAccess::Signaling),
            (Origin::Loopback, RemoteAccess::Signaling),
            (Origin::Remote, RemoteAccess::Full),
        ] {
            assert_eq!(Standing::of(origin, remote), Standing::Everything);
        }
    }

    #[test]
    fn a_token_adds_what_it_allows_and_takes_nothing_away() {
        let mut table = TokenTable::new();
        let scopes = TokenScope::parse_list("read:/pub/*,write:/desk/**,admin:/zone5*").unwrap();
        let hash = Token::new([1; 16]).hash();
        let token = table.insert("panel", hash, &scopes).unwrap();
        let scope = Scope::of(Standing::Signaling, Some(token));
        assert!(scope.reads_anything());
        for (address, reads, writes) in [
            ("/pub/a", true, false),
            ("/pub/a/b", false, false),
            ("/desk", true, true),
            ("/desk/1/2", true, true),
            ("/zone51", true, true),
            ("/zone4", false, false),
            ("/clasp/p2p/x", false, false),
        ] {
            assert_eq!((scope.reads(address), scope.writes(address)), (reads, writes), "{address}");
        }
        for (text, allowed) in [
            ("/pub/*", true),
            ("/pub/**", false),
            ("/desk/**", true),
            ("/desk*", false),
            ("/zone5*", true),
            ("/zone*", false),
            ("/**", false),
            ("/clasp/p2p/announce", true),
        ] {
            assert_eq!(scope.allows_subscribe(&pattern(text)), allowed, "{text}");
        }
        assert_eq!(Scope::of(Standing::Everything, Some(token)), Scope::Everything);
    }
}
