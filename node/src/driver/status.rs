//! How a running node is: what its core knows, and what only its sockets and its surroundings know.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;

use super::discovery::{DiscoverySummary, Lookout};
use super::interfaces::SkippedAddress;
use super::store::{Storage, Store};
use super::{Driver, now};
use crate::identity::DeviceId;
use crate::node::Counters;
use crate::status::{EndedLink, LinkStatus, SessionStatus, millis};

/// A running node as it is now. Bounded by the node's own limits: some 60 KB of JSON at the very most.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// The version of the program that runs.
    pub version: &'static str,
    /// Its process.
    pub pid: u32,
    /// Who this device is.
    pub id: DeviceId,
    /// The name announced to peers.
    pub name: String,
    /// Whether it is the same one after a restart, and knows its pairs.
    pub storage: Storage,
    /// Since the node was started.
    #[serde(rename = "uptime_ms", serialize_with = "millis")]
    pub uptime: Duration,
    /// The sockets data travels on.
    pub addresses: Vec<SocketAddr>,
    /// Addresses of this host that no data travels on, and why.
    pub skipped: Vec<SkippedAddress>,
    /// The routers, in the order of the configuration; then those that were found and are in use.
    pub routers: Vec<RouterStatus>,
    /// The links, the oldest first.
    pub links: Vec<LinkStatus>,
    /// Why the peers that have no link now lost theirs, or got none; the latest first.
    pub ended: Vec<EndedLink>,
    /// How other devices are looked for; none if they are not.
    pub discovery: Option<DiscoverySummary>,
    /// What was refused, dropped or ignored.
    pub counters: Counters,
    /// Events the application missed because it did not take them.
    pub events_dropped: u64,
    /// Callers that wait for room in a reliable queue.
    pub parked_sends: usize,
}

/// A router and the session with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RouterStatus {
    /// Where it is.
    pub url: String,
    /// How the session is.
    #[serde(flatten)]
    pub session: SessionStatus,
}

impl Driver {
    /// Takes over what the metrics show of the node.
    pub(super) fn note_metrics(&self) {
        let mut metrics = self.metrics.borrow_mut();
        metrics.note_node(&self.node, self.events.dropped());
        if let Some((counters, found)) = self.lookout.as_ref().map(Lookout::counters) {
            metrics.note_discovery(counters, found);
        }
    }

    /// How the node is now.
    pub(super) fn status(&mut self) -> Status {
        let at = now();
        let addresses = self.sockets.addresses();
        let bound = |ip| addresses.iter().any(|address| address.ip() == ip);
        let unbound = self.found.usable.iter().filter(|ip| !bound(**ip)).map(|ip| SkippedAddress {
            interface: String::new(),
            address: *ip,
            why: "no socket can be opened on it now",
        });
        let skipped = self.found.skipped.iter().cloned().chain(unbound).collect();
        let urls: Vec<String> = self.routers.urls().collect();
        let sessions = self.node.session_statuses(at).into_iter();
        let router = |session: SessionStatus| {
            Some(RouterStatus { url: urls.get(session.router.place())?.clone(), session })
        };
        Status {
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            id: self.node.identity().id(),
            name: self.node.name().to_owned(),
            storage: self.store.as_ref().map(Store::storage).unwrap_or_default(),
            uptime: at.saturating_duration_since(self.started),
            skipped,
            routers: sessions.filter_map(router).collect(),
            links: self.node.link_statuses(at),
            ended: self.node.ended_links(at),
            discovery: self.lookout.as_ref().map(Lookout::summary),
            counters: self.node.counters(),
            events_dropped: self.events.dropped(),
            parked_sends: self.parked.len(),
            addresses,
        }
    }
}
