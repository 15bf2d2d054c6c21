//! Datagrams on their way in and out: what a TURN server relays is unpacked and packed here.

use std::net::SocketAddr;
use std::time::Instant;

use log::trace;
use str0m::net::Transmit;

use super::{Node, Output};
use crate::ice_servers::Incoming;

impl Node {
    pub(super) fn handle_datagram(
        &mut self,
        now: Instant,
        source: SocketAddr,
        destination: SocketAddr,
        bytes: &[u8],
    ) {
        if !self.handle_server_datagram(now, source, destination, bytes) {
            self.handle_peer_datagram(now, source, destination, bytes);
        }
    }

    fn handle_peer_datagram(
        &mut self,
        now: Instant,
        source: SocketAddr,
        destination: SocketAddr,
        bytes: &[u8],
    ) {
        // An open link is never robbed of its data by a younger one that claims its peer's address as a candidate. Newest first
        // otherwise: should two links share a pair of addresses, the older one is the dead one.
        let peers = || self.links.iter().rev().filter_map(|(id, link)| Some((id, link.peer()?)));
        let owner = peers()
            .find(|(_, peer)| peer.talks_to(source, bytes))
            .or_else(|| peers().find(|(_, peer)| peer.accepts(now, source, destination, bytes)))
            .or_else(|| peers().find(|(_, peer)| peer.may_begin_with(source, bytes)))
            .map(|(id, _)| *id);
        match owner.and_then(|id| self.links.get_mut(&id)?.peer_mut()) {
            Some(peer) => peer.handle_datagram(now, source, destination, bytes),
            None => {
                self.counters.stray_datagrams += 1;
                trace!(source:% = source, len = bytes.len(); "stray datagram");
            }
        }
    }

    /// Takes a datagram of a server, or one that came by way of it. Says whether it was one.
    fn handle_server_datagram(
        &mut self,
        now: Instant,
        source: SocketAddr,
        destination: SocketAddr,
        bytes: &[u8],
    ) -> bool {
        match self.servers.handle_datagram(now, source, destination, bytes) {
            Incoming::Foreign => return false,
            Incoming::Taken => {}
            Incoming::Relayed { source, destination, bytes } => {
                self.handle_peer_datagram(now, source, destination, bytes);
            }
        }
        true
    }

    /// Sends what a link wants to send: by way of a server if it is to come from an address that one relays.
    pub(super) fn transmit(&mut self, transmit: Transmit) -> Option<Output> {
        let Transmit { source, destination, contents, .. } = transmit;
        if !self.servers.relays(source) {
            return Some(Output::Transmit { source, destination, bytes: contents.into() });
        }
        let packed = self.servers.pack(self.now, source, destination, &contents);
        if !self.servers.is_idle() {
            self.drain_servers(); // the permission goes in front of what needs it
        }
        if let Some((source, destination, bytes)) = packed {
            self.out.push_back(Output::Transmit { source, destination, bytes });
        }
        None
    }
}
