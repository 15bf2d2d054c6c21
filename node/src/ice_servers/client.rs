//! One socket of ours and one server: what it tells us about the socket, and what it relays for it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use log::debug;

use super::allocation::{Allocation, Change, RETRY_AFTER};
use super::config::IceServer;
use super::message::{Ask, Response};
use super::transaction::{Due, Transaction};
use super::wire::Wire;
use super::{Gathered, GatheredKind, ServerFault, ServersOutput};

/// How often the server is asked how we look: a NAT forgets a mapping nobody uses, some after 30 s (RFC 4787 §4.3 wants 2 min).
const KEEP_MAPPING: Duration = Duration::from_secs(20);

/// See the module.
#[derive(Debug)]
pub(super) struct Client {
    base: SocketAddr,
    remote: SocketAddr,
    binding: Option<Transaction>,
    /// When to ask next.
    ask_at: Instant,
    mapped: Option<SocketAddr>,
    fault: Option<ServerFault>,
    allocation: Option<Allocation>,
}

impl Client {
    /// Begins to ask.
    pub(super) fn new(wire: &mut Wire<'_>, server: &IceServer) -> Self {
        let mut client = Self {
            base: wire.base,
            remote: wire.remote,
            binding: None,
            ask_at: wire.now,
            mapped: None,
            fault: None,
            allocation: server.credentials().cloned().map(|credentials| Allocation::new(wire, credentials)),
        };
        client.bind(wire);
        client
    }

    pub(super) fn base(&self) -> SocketAddr {
        self.base
    }

    pub(super) fn remote(&self) -> SocketAddr {
        self.remote
    }

    pub(super) fn mapped(&self) -> Option<SocketAddr> {
        self.mapped
    }

    pub(super) fn relayed(&self) -> Option<SocketAddr> {
        self.allocation.as_ref()?.relayed()
    }

    /// What keeps the server from being of use. A TURN server need not answer plain STUN.
    pub(super) fn fault(&self) -> Option<ServerFault> {
        match &self.allocation {
            Some(allocation) => allocation.fault().cloned(),
            None if self.binding.as_ref().is_some_and(Transaction::is_overdue) => Some(ServerFault::NoAnswer),
            None => self.fault.clone(),
        }
    }

    fn bind(&mut self, wire: &mut Wire<'_>) {
        match wire.ask(Ask::Binding, None) {
            Ok(request) => self.binding = Some(request),
            Err(fault) => self.unbound(wire, fault),
        }
    }

    fn unbound(&mut self, wire: &mut Wire<'_>, fault: ServerFault) {
        (self.binding, self.ask_at) = (None, wire.now + RETRY_AFTER);
        debug!(server:% = self.remote, fault:% = fault; "no reflexive address");
        self.fault = Some(fault);
        self.note_mapped(wire, None);
    }

    /// Asks again what may have changed with the network.
    pub(super) fn retry(&mut self, wire: &mut Wire<'_>) {
        if let Some(allocation) = &mut self.allocation {
            allocation.retry(wire);
        }
        self.bind(wire);
    }

    /// Whether this answers a request of ours.
    pub(super) fn awaits(&self, response: &Response<'_>) -> bool {
        self.binding.as_ref().is_some_and(|request| request.id() == response.id())
            || self.allocation.as_ref().is_some_and(|allocation| allocation.awaits(response))
    }

    pub(super) fn handle_response(&mut self, wire: &mut Wire<'_>, response: &Response<'_>) {
        if self.binding.as_ref().is_some_and(|request| request.id() == response.id()) {
            return match (response.error(), response.mapped()) {
                (None, Some(mapped)) => {
                    (self.binding, self.ask_at, self.fault) = (None, wire.now + KEEP_MAPPING, None);
                    self.note_mapped(wire, Some(mapped));
                }
                (None, None) => self.unbound(wire, ServerFault::BadAnswer),
                (Some((code, reason)), _) => self.unbound(wire, ServerFault::Refused { code, reason }),
            };
        }
        let change =
            self.allocation.as_mut().and_then(|allocation| allocation.handle_response(wire, response));
        self.note_change(wire, change);
    }

    pub(super) fn handle_timeout(&mut self, wire: &mut Wire<'_>) {
        match self.binding.as_mut().map(|request| request.handle_timeout(wire.now)) {
            Some(Due::Resend(bytes)) => wire.send(bytes),
            Some(Due::GivenUp) => self.unbound(wire, ServerFault::NoAnswer),
            Some(Due::NotYet) => {}
            None if self.ask_at <= wire.now => self.bind(wire),
            None => {}
        }
        let change = self.allocation.as_mut().and_then(|allocation| allocation.handle_timeout(wire));
        self.note_change(wire, change);
    }

    pub(super) fn wake(&self, now: Instant) -> Instant {
        let own = self.binding.as_ref().map_or(self.ask_at, Transaction::at);
        self.allocation.as_ref().map_or(own, |allocation| allocation.wake(now).min(own))
    }

    /// Who sends on a channel of the server's.
    pub(super) fn on_channel(&self, number: u16) -> Option<SocketAddr> {
        self.allocation.as_ref()?.peers.on_channel(number)
    }

    /// A peer was heard by way of the server.
    pub(super) fn heard(&mut self, now: Instant) {
        if let Some(allocation) = &mut self.allocation {
            allocation.heard(now);
        }
    }

    /// Packs data for a peer; `None` if there is no way to it.
    pub(super) fn pack(&mut self, wire: &mut Wire<'_>, peer: SocketAddr, data: &[u8]) -> Option<Vec<u8>> {
        self.allocation.as_mut()?.pack(wire, peer, data)
    }

    /// Tells the server that we are leaving, and that its addresses are not ours any more.
    pub(super) fn release(mut self, wire: &mut Wire<'_>) {
        self.note_mapped(wire, None);
        if let Some(allocation) = &self.allocation {
            allocation.release(wire);
            let lost = allocation.relayed().map(Change::Lost);
            self.note_change(wire, lost);
        }
    }

    fn note_change(&self, wire: &mut Wire<'_>, change: Option<Change>) {
        let relayed = |address| Gathered { kind: GatheredKind::Relayed, address, base: self.base };
        match change {
            Some(Change::Gained { relayed: address, mapped }) => {
                debug!(server:% = self.remote, address:% = address, mapped:? = mapped; "allocated");
                wire.out.push_back(ServersOutput::Gained(relayed(address)));
            }
            Some(Change::Lost(address)) => {
                debug!(server:% = self.remote, address:% = address; "allocation lost");
                wire.out.push_back(ServersOutput::Lost(relayed(address)));
            }
            None => {}
        }
    }

    fn note_mapped(&mut self, wire: &mut Wire<'_>, mapped: Option<SocketAddr>) {
        let mapped = mapped.filter(|mapped| mapped.is_ipv4() == self.base.is_ipv4());
        let before = std::mem::replace(&mut self.mapped, mapped);
        if before == mapped {
            return;
        }
        let kind = GatheredKind::Reflexive;
        let reflexive = |address| Gathered { kind, address, base: self.base };
        // Seen from outside as we see ourselves: nothing new to tell a peer.
        let useful = |address: &SocketAddr| *address != self.base;
        let lost = before.filter(useful).map(|address| ServersOutput::Lost(reflexive(address)));
        let gained = mapped.filter(useful).map(|address| ServersOutput::Gained(reflexive(address)));
        wire.out.extend(lost.into_iter().chain(gained));
    }

    #[cfg(test)]
    pub(super) fn peer_counts(&self) -> (usize, usize) {
        self.allocation.as_ref().map_or((0, 0), |allocation| allocation.peers.counts())
    }
}
