//! Which datagrams are a link's, and which path they take.

use std::net::SocketAddr;
use std::time::Instant;

use log::trace;
use str0m::Input;
use str0m::net::{Protocol, Receive, Transmit};

use super::state::State;
use super::{Peer, PeerOutput};

impl Peer {
    /// Whether the data of this open link comes from `source`.
    #[must_use]
    pub fn talks_to(&self, source: SocketAddr, datagram: &[u8]) -> bool {
        self.state.is_open() && is_dtls(datagram) && self.path.is_some_and(|path| path.remote == source)
    }

    /// Whether a datagram may be the first one of this link's DTLS handshake.
    ///
    /// The side that has its pair first sends its hello at once. It may arrive before our own check of that pair is answered,
    /// when str0m does not know the address yet; refusing it would cost a retransmission. Anybody can claim any candidate, so
    /// this is asked last, and only while a handshake is due.
    #[must_use]
    pub fn may_begin_with(&self, source: SocketAddr, datagram: &[u8]) -> bool {
        matches!(self.state, State::Checking { dtls: false, .. })
            && is_dtls(datagram)
            && self.remote.iter().any(|candidate| candidate.addr() == source)
    }

    /// Whether a datagram from `source` to `destination` belongs to this link.
    #[must_use]
    pub fn accepts(&self, now: Instant, source: SocketAddr, destination: SocketAddr, bytes: &[u8]) -> bool {
        let Ok(receive) = Receive::new(Protocol::Udp, source, destination, bytes) else { return false };
        self.rtc.accepts(&Input::Receive(now, receive))
    }

    /// Takes a datagram that [`Self::accepts`] said is for this link.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        source: SocketAddr,
        destination: SocketAddr,
        bytes: &[u8],
    ) {
        let Ok(receive) = Receive::new(Protocol::Udp, source, destination, bytes) else {
            self.tally.ignored_datagrams += 1;
            return;
        };
        self.tally.received_datagrams += 1;
        if let Some(round_trip) = self.tally.checks.received(now, bytes) {
            self.out.push_back(PeerOutput::RoundTrip(round_trip));
        }
        if let Err(error) = self.rtc.handle_input(Input::Receive(now, receive)) {
            // Anybody on the path can send garbage with the peer's address on it: only what kills the `Rtc` itself ends the link.
            self.tally.ignored_datagrams += 1;
            trace!(error:% = error, ignored = self.tally.ignored_datagrams; "datagram ignored");
            if !self.rtc.is_alive() {
                self.fail_transport(now, &error.to_string());
            }
        }
    }

    /// The pair in use is the one DTLS travels on.
    pub(super) fn note_path(&mut self, transmit: &Transmit) {
        if !is_dtls(&transmit.contents) {
            return;
        }
        if self.path.is_some_and(|p| (p.local, p.remote) == (transmit.source, transmit.destination)) {
            return;
        }
        let path = self.path_between(transmit.source, transmit.destination);
        let before = self.path.replace(path);
        if before != Some(path) {
            self.tally.checks.path_changed();
        }
        self.tell_path();
    }

    /// Tells of a path that is not the one told before. While a restart goes on, the first packet on the new one may be sent already.
    pub(super) fn tell_path(&mut self) {
        if matches!(self.state, State::Open { told: true }) && self.told_path != self.path {
            self.told_path = self.path;
            self.out.extend(self.path.map(PeerOutput::PathChanged));
        }
    }
}

/// By its first byte (RFC 7983 §7).
pub(crate) fn is_dtls(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(20..=63))
}
