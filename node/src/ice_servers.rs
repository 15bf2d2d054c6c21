//! The STUN and TURN servers of a node (RFC 8489, RFC 8656): at which address others see us, and at which they may reach us when
//! nothing else works.
//!
//! Owns: what is asked of each server from each of our sockets, and what it granted; all links share that. Does not own: sockets,
//! the clock, name resolution, what a link does with the addresses.
//!
//! # Contract
//! Make one call that takes `now`, then call `IceServers::poll_output` until `ServersOutput::Idle`.
//!
//! # What a server may do to us
//! Only what comes from a server's own address is looked at, and an answer must carry the unguessable id of its request; TURN's
//! must be signed as well, once the server has made us sign. A server can lie about our address, or drop and forge what it relays:
//! DTLS between the peers makes of that no more than a lost packet.

mod allocation;
mod client;
mod config;
mod info;
mod message;
mod peers;
mod transaction;
mod wire;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use log::{debug, trace, warn};
use rand::rngs::StdRng;

use crate::wake::Wake;
use client::Client;
pub use config::{DEFAULT_STUN_PORT, IceServer, ServerAddress};
pub use info::{Gathered, GatheredKind, ServerFault, ServerId, ServerInfo, ServerState};
use message::Received;
use wire::Wire;

/// A name that was not resolved is tried again after this; so is one whose server does not answer, as it may have moved.
const RESOLVE_AGAIN: Duration = Duration::from_secs(60);

/// What comes out.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "an output not acted on is lost"]
pub(crate) enum ServersOutput {
    Transmit {
        source: SocketAddr,
        destination: SocketAddr,
        bytes: Vec<u8>,
    },
    /// Find the addresses of this server.
    Resolve(ServerId),
    /// We can be reached here.
    Gained(Gathered),
    /// We cannot any more.
    Lost(Gathered),
    Idle(Option<Wake>),
}

/// What a datagram turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming<'a> {
    /// Not from a server.
    Foreign,
    /// From a server, and dealt with.
    Taken,
    /// From a peer, by way of a server.
    Relayed { source: SocketAddr, destination: SocketAddr, bytes: &'a [u8] },
}

struct Server {
    config: IceServer,
    /// At most one of each family.
    addresses: Vec<SocketAddr>,
    fault: Option<ServerFault>,
    resolve_at: Option<Instant>,
    clients: Vec<Client>,
    /// What was warned of: not again before it has changed.
    warned: Option<ServerFault>,
}

/// See the module.
pub(crate) struct IceServers {
    servers: Vec<Server>,
    rng: StdRng,
    bases: Vec<SocketAddr>,
    gathered: Vec<Gathered>,
    out: VecDeque<ServersOutput>,
    /// Nothing has happened since [`ServersOutput::Idle`].
    idle: bool,
    pub(crate) wake: Option<Wake>,
}

impl IceServers {
    pub(crate) fn new(now: Instant, rng: StdRng, servers: &[IceServer]) -> Self {
        let new = |config: &IceServer| Server {
            config: config.clone(),
            addresses: Vec::new(),
            fault: None,
            resolve_at: Some(now),
            clients: Vec::new(),
            warned: None,
        };
        Self {
            servers: servers.iter().map(new).collect(),
            rng,
            bases: Vec::new(),
            gathered: Vec::new(),
            out: VecDeque::new(),
            idle: servers.is_empty(),
            wake: None,
        }
    }

    /// Whether [`Self::poll_output`] has anything to say.
    pub(crate) fn is_idle(&self) -> bool {
        self.idle
    }

    /// The addresses of ours that servers told us, as far as told by [`ServersOutput::Gained`].
    pub(crate) fn gathered(&self) -> &[Gathered] {
        &self.gathered
    }

    pub(crate) fn infos(&self) -> impl Iterator<Item = ServerInfo> {
        self.servers.iter().map(|server| ServerInfo {
            server: server.config.address().to_string(),
            turn: server.config.is_turn(),
            state: server.state(),
        })
    }

    /// Our sockets have these addresses now, or the network around them has changed.
    pub(crate) fn handle_addresses(&mut self, now: Instant, bases: &[SocketAddr]) {
        bases.clone_into(&mut self.bases);
        self.idle &= self.servers.is_empty();
        for index in 0..self.servers.len() {
            self.follow(now, index, true);
        }
    }

    /// The addresses of a server, or why there are none.
    pub(crate) fn handle_resolved(&mut self, now: Instant, id: ServerId, found: Result<&[SocketAddr], &str>) {
        let Some(server) = self.servers.get_mut(id.place()) else { return };
        self.idle = false;
        match found {
            Ok(addresses) => {
                let of = |ipv4| addresses.iter().find(|a| a.is_ipv4() == ipv4).copied();
                let addresses: Vec<_> = of(true).into_iter().chain(of(false)).collect();
                server.fault = addresses.is_empty().then(|| ServerFault::Unresolved("no address".to_owned()));
                server.addresses = addresses;
            }
            Err(why) if server.addresses.is_empty() => {
                server.fault = Some(ServerFault::Unresolved(why.chars().take(128).collect()));
            }
            Err(why) => debug!(why; "a server's name was not resolved again; its last address stands"),
        }
        self.follow(now, id.place(), false);
    }

    /// Speaks to a server from each of our sockets of its family, and from no other.
    fn follow(&mut self, now: Instant, index: usize, changed: bool) {
        let Self { servers, rng, bases, out, .. } = self;
        // A server has one allocation for each of our sockets.
        let of_others: Vec<SocketAddr> = servers
            .iter()
            .enumerate()
            .filter(|(other, server)| *other != index && server.config.is_turn())
            .flat_map(|(_, server)| server.clients.iter().map(Client::remote))
            .collect();
        let Some(server) = servers.get_mut(index) else { return };
        if changed && server.addresses.is_empty() {
            server.resolve_at.get_or_insert(now);
        }
        let wanted =
            |client: &Client| bases.contains(&client.base()) && server.addresses.contains(&client.remote());
        let (kept, gone): (Vec<_>, Vec<_>) = server.clients.drain(..).partition(wanted);
        server.clients = kept;
        for client in gone {
            let (base, remote) = (client.base(), client.remote());
            client.release(&mut Wire { now, rng, base, remote, out });
        }
        for client in server.clients.iter_mut().filter(|_| changed) {
            let (base, remote) = (client.base(), client.remote());
            client.retry(&mut Wire { now, rng, base, remote, out });
        }
        let is_taken = |remote: &&SocketAddr| server.config.is_turn() && of_others.contains(remote);
        let taken = server.addresses.iter().any(|remote| is_taken(&remote));
        for remote in server.addresses.iter().filter(|remote| !is_taken(remote)) {
            let may = |base: &&SocketAddr| {
                // Loopback leads to servers on this host only, and nothing else leads to those.
                base.is_ipv4() == remote.is_ipv4() && base.ip().is_loopback() == remote.ip().is_loopback()
            };
            for base in bases.iter().filter(may) {
                if !server.clients.iter().any(|c| c.base() == *base && c.remote() == *remote) {
                    let mut wire = Wire { now, rng, base: *base, remote: *remote, out };
                    server.clients.push(Client::new(&mut wire, &server.config));
                }
            }
        }
        if !server.addresses.is_empty() {
            let fault = if taken { ServerFault::Duplicate } else { ServerFault::NoAddress };
            server.fault = server.clients.is_empty().then_some(fault);
        }
    }

    /// Takes a datagram if it comes from a server.
    pub(crate) fn handle_datagram<'a>(
        &mut self,
        now: Instant,
        source: SocketAddr,
        destination: SocketAddr,
        bytes: &'a [u8],
    ) -> Incoming<'a> {
        let Self { servers, rng, out, .. } = self;
        let clients = servers.iter_mut().flat_map(|server| &mut server.clients);
        // Two, if the server is configured for STUN and for TURN.
        let mut clients = clients.filter(|c| c.remote() == source && c.base() == destination).peekable();
        if clients.peek().is_none() {
            return Incoming::Foreign;
        }
        let (peer, data) = match message::parse(bytes) {
            Some(Received::Response(response)) => {
                if let Some(client) = clients.find(|client| client.awaits(&response)) {
                    self.idle = false;
                    let (base, remote) = (client.base(), client.remote());
                    client.handle_response(&mut Wire { now, rng, base, remote, out }, &response);
                }
                return Incoming::Taken;
            }
            Some(Received::OnChannel(number, data)) => (Err(number), data),
            Some(Received::FromPeer(peer, data)) => (Ok(peer), data),
            // A peer on the very address of a server, as in a test network: not for us.
            None => return Incoming::Foreign,
        };
        for client in clients {
            if let (Some(relayed), Some(peer)) =
                (client.relayed(), peer.ok().or_else(|| client.on_channel(peer.err()?)))
            {
                client.heard(now);
                return Incoming::Relayed { source: peer, destination: relayed, bytes: data };
            }
        }
        Incoming::Taken
    }

    /// Whether this is one of the addresses that servers relay from.
    pub(crate) fn relays(&self, address: SocketAddr) -> bool {
        self.gathered.iter().any(|g| g.kind == GatheredKind::Relayed && g.address == address)
    }

    /// Packs what is to go out from a relayed address. `None` if the server has it no more, or does not relay to that peer.
    pub(crate) fn pack(
        &mut self,
        now: Instant,
        relayed: SocketAddr,
        peer: SocketAddr,
        data: &[u8],
    ) -> Option<(SocketAddr, SocketAddr, Vec<u8>)> {
        let Self { servers, rng, out, .. } = self;
        let mut clients = servers.iter_mut().flat_map(|server| &mut server.clients);
        let client = clients.find(|client| client.relayed() == Some(relayed))?;
        let (base, remote) = (client.base(), client.remote());
        let packed = client.pack(&mut Wire { now, rng, base, remote, out }, peer, data);
        // A request that goes with it goes first.
        self.idle &= out.is_empty();
        if packed.is_none() {
            trace!(peer:% = peer; "not relayed");
        }
        packed.map(|bytes| (base, remote, bytes))
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.wake.is_none_or(|wake| now < wake.at) {
            return;
        }
        self.idle = false;
        let Self { servers, rng, out, .. } = self;
        for client in servers.iter_mut().flat_map(|server| &mut server.clients) {
            let (base, remote) = (client.base(), client.remote());
            client.handle_timeout(&mut Wire { now, rng, base, remote, out });
        }
    }

    /// Gives everything back: the node stops.
    pub(crate) fn release(&mut self, now: Instant) {
        let Self { servers, rng, out, .. } = self;
        for client in servers.drain(..).flat_map(|server| server.clients) {
            let (base, remote) = (client.base(), client.remote());
            client.release(&mut Wire { now, rng, base, remote, out });
            self.idle = false;
        }
    }

    pub(crate) fn poll_output(&mut self, now: Instant) -> ServersOutput {
        while let Some(output) = self.out.pop_front() {
            match &output {
                // Two servers may see the same.
                ServersOutput::Gained(gained) if self.gathered.contains(gained) => continue,
                ServersOutput::Gained(gained) => self.gathered.push(*gained),
                ServersOutput::Lost(lost) if self.is_still_held(lost) => continue,
                ServersOutput::Lost(lost) => self.gathered.retain(|gathered| gathered != lost),
                _ => {}
            }
            return output;
        }
        for (server, place) in self.servers.iter_mut().zip(0..) {
            server.complain();
            if server.resolve_at.is_some_and(|at| at <= now) {
                server.resolve_at = None;
                return ServersOutput::Resolve(ServerId(place));
            }
            if server.resolve_at.is_none() && server.is_unheard() {
                server.resolve_at = Some(now + RESOLVE_AGAIN);
            }
        }
        self.idle = true;
        let clients = self.servers.iter().flat_map(|server| &server.clients).map(|client| client.wake(now));
        let resolve = self.servers.iter().filter_map(|server| server.resolve_at);
        self.wake = clients.chain(resolve).min().map(|at| Wake::new(at, "ice server"));
        ServersOutput::Idle(self.wake)
    }

    /// Whether another server says the same.
    fn is_still_held(&self, lost: &Gathered) -> bool {
        let mut clients = self.servers.iter().flat_map(|server| &server.clients);
        clients.any(|client| {
            let address = match lost.kind {
                GatheredKind::Reflexive => client.mapped(),
                GatheredKind::Relayed => client.relayed(),
            };
            client.base() == lost.base && address == Some(lost.address)
        })
    }
}

impl Server {
    fn state(&self) -> ServerState {
        let mapped: Vec<_> = self.clients.iter().filter_map(Client::mapped).collect();
        let relayed: Vec<_> = self.clients.iter().filter_map(Client::relayed).collect();
        let useful = if self.config.is_turn() { !relayed.is_empty() } else { !mapped.is_empty() };
        if useful {
            return ServerState::Ready { mapped, relayed };
        }
        // What a server said is worth more than that it was silent on another socket.
        let mut faults: Vec<_> = self.fault.iter().cloned().collect();
        faults.extend(self.clients.iter().filter_map(Client::fault));
        faults.sort_by_key(|fault| *fault == ServerFault::NoAnswer);
        faults.into_iter().next().map_or(ServerState::Asked, ServerState::Failed)
    }

    /// Whether it may have moved to another address.
    fn is_unheard(&self) -> bool {
        matches!(self.state(), ServerState::Failed(ServerFault::NoAnswer | ServerFault::Unresolved(_)))
    }

    /// Once for each fault, however often it is met again; and once when it is over.
    fn complain(&mut self) {
        let server = self.config.address();
        let what = if self.config.is_turn() { "TURN" } else { "STUN" };
        match self.state() {
            ServerState::Failed(fault) if self.warned.as_ref() != Some(&fault) => {
                warn!("{what} server {server}: {fault}");
                self.warned = Some(fault);
            }
            ServerState::Ready { .. } if self.warned.take().is_some() => {
                warn!("{what} server {server}: works now");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
