//! STUN and TURN servers: what they tell us goes to every link.

use std::time::Instant;

use super::{Node, Output};
use crate::event::FailReason;
use crate::ice_servers::{ServerInfo, ServerState, ServersOutput};
use crate::link::Link;

impl Node {
    /// The configured STUN and TURN servers as they are now.
    pub fn servers(&self) -> impl Iterator<Item = ServerInfo> {
        self.servers.infos()
    }

    /// Gives back what the servers hold for us. For a node that stops: it does not ask them again.
    pub fn release_servers(&mut self, now: Instant) {
        self.now = now;
        self.servers.release(now);
    }

    pub(super) fn drain_servers(&mut self) {
        loop {
            match self.servers.poll_output(self.now) {
                ServersOutput::Idle(_) => return,
                ServersOutput::Transmit { source, destination, bytes } => {
                    self.out.push_back(Output::Transmit { source, destination, bytes });
                }
                ServersOutput::Resolve(server) => self.out.push_back(Output::Resolve(server)),
                ServersOutput::Gained(gained) => {
                    self.local.gathered = self.servers.gathered().to_vec();
                    for peer in self.links.values_mut().filter_map(Link::peer_mut) {
                        peer.handle_gained(gained);
                    }
                }
                ServersOutput::Lost(lost) => {
                    self.local.gathered = self.servers.gathered().to_vec();
                    for peer in self.links.values_mut().filter_map(Link::peer_mut) {
                        peer.handle_lost(self.now, lost);
                    }
                }
            }
        }
    }

    /// Adds what is wrong with the servers to the reason of a link that found no path: it may be why.
    pub(super) fn with_server_faults(&self, why: FailReason) -> FailReason {
        let FailReason::Ice { timeout, remote_candidates, .. } = why else { return why };
        let fault = |info: ServerInfo| match info.state {
            ServerState::Failed(fault) => Some(format!("{}: {fault}", info.server)),
            _ => None,
        };
        FailReason::Ice { timeout, remote_candidates, servers: self.servers().filter_map(fault).collect() }
    }
}
