//! Names in candidates: asked for once, however many links wait for them.

use std::time::Instant;

use super::{Node, Output};
use crate::mdns::ResolverOutput;

impl Node {
    /// Tells the links what their names stand for, and returns what is left to do.
    pub(super) fn drain_names(&mut self) -> Option<Output> {
        loop {
            match self.names.poll_output()? {
                ResolverOutput::Query(query) => return Some(Output::MdnsQuery(query)),
                ResolverOutput::Done => return Some(Output::MdnsDone),
                ResolverOutput::Resolved(name, found) => {
                    let found = found.as_deref().map_err(|why| *why);
                    for link in self.links.values_mut().filter(|link| link.awaits(&name)) {
                        if let Some(peer) = link.peer_mut() {
                            peer.handle_resolved(&name, found);
                        }
                    }
                }
            }
        }
    }

    /// Asks on for the names that links still wait for.
    pub(super) fn ask_on(&mut self, now: Instant) {
        if self.names.wake().is_some_and(|wake| wake.at <= now) {
            self.forget_names();
            self.names.handle_timeout(now);
        }
    }

    /// Nothing is sent for a link that has ended.
    pub(super) fn forget_names(&mut self) {
        let links = &self.links;
        self.names.retain(|name| links.values().any(|link| link.awaits(name)));
    }
}
