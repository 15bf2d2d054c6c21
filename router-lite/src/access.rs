//! What a session may do, and which addresses are reserved for P2P signalling.

use clasp_wire::p2p::{ANNOUNCE_ADDRESS, target_session};

use crate::config::RemoteAccess;

/// Where a connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A program that holds the router in its own process. Has no socket: it is not pinged.
    InProcess,
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

/// What a session may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Everything,
    /// Announce itself, send signals, hear both.
    Signaling,
}

impl Scope {
    pub(crate) const fn of(origin: Origin, remote: RemoteAccess) -> Self {
        match (origin, remote) {
            (Origin::Remote, RemoteAccess::Signaling) => Self::Signaling,
            _ => Self::Everything,
        }
    }

    /// Whether values may be read and written, signals announced and asked for.
    pub(crate) const fn allows_data(self) -> bool {
        matches!(self, Self::Everything)
    }

    /// Whether a subscription with this pattern is allowed.
    pub(crate) fn allows_subscribe(self, pattern: &str) -> bool {
        self.allows_data() || is_reserved(pattern)
    }

    pub(crate) fn allows_publish(self, to: Destination<'_>) -> bool {
        self.allows_data() || to != Destination::Subscribers
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

    #[test]
    fn strangers_may_only_signal_unless_the_operator_says_otherwise() {
        let stranger = Scope::of(Origin::Remote, RemoteAccess::Signaling);
        assert!(!stranger.allows_data());
        for pattern in ["/**", "/clasp/**", "/clasp/*/announce", "/clasp/p2p", "/x", "/clasp/p2p*"] {
            assert!(!stranger.allows_subscribe(pattern), "{pattern}");
        }
        for pattern in ["/clasp/p2p/**", "/clasp/p2p/announce", "/clasp/p2p/signal/abc"] {
            assert!(stranger.allows_subscribe(pattern), "{pattern}");
        }
        assert!(stranger.allows_publish(Destination::Session("abc")));
        assert!(stranger.allows_publish(Destination::Announce));
        assert!(!stranger.allows_publish(Destination::of("/clasp/p2p/elsewhere")));
        for (origin, remote) in [
            (Origin::InProcess, RemoteAccess::Signaling),
            (Origin::Loopback, RemoteAccess::Signaling),
            (Origin::Remote, RemoteAccess::Full),
        ] {
            assert_eq!(Scope::of(origin, remote), Scope::Everything);
        }
    }
}
