//! Finding the device that shows a code: on the routers this node is on, on the network, or at an address that a person typed.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use smol::Timer;
use smol::future::FutureExt;

use super::devices::Device;
use super::handle::NodeHandle;
use super::service::Wanted;
use super::websocket::{DEFAULT_PORT, RouterUrl};
use crate::event::{PeerInfo, RouterId};
use crate::node::PairCallError;

/// How long a device may take to be found, to welcome us on its router, and to announce itself there.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Waits for the one device that `wanted` names and that shows a code. A name, a device id, a session id, and an address with or
/// without a port will do.
pub(super) async fn meet(node: &NodeHandle, wanted: &str) -> Result<PeerInfo, String> {
    let mut meeting = Meeting { wanted, typed: typed(wanted).await, visited: Vec::new(), seen: false };
    let met = async {
        loop {
            if let Some(peer) = meeting.look(node).await? {
                return Ok::<_, String>(Some(peer));
            }
            Timer::after(LOOK_EVERY).await;
        }
    };
    let too_long = async {
        Timer::after(PATIENCE).await;
        Ok(None)
    };
    match met.or(too_long).await? {
        Some(peer) => Ok(peer),
        None => Err(meeting.why_not(node).await),
    }
}

struct Meeting<'a> {
    wanted: &'a str,
    /// The addresses that were typed, if that is what `wanted` is.
    typed: Vec<SocketAddr>,
    /// Routers that were dialled for it, and where they are.
    visited: Vec<(SocketAddr, RouterId)>,
    /// It is there, and shows no code.
    seen: bool,
}

impl Meeting<'_> {
    async fn look(&mut self, node: &NodeHandle) -> Result<Option<PeerInfo>, String> {
        let text = |error: super::handle::Stopped| error.to_string();
        let peers = node.peers().await.map_err(text)?;
        let called = Wanted::new(self.wanted, node).await.map_err(text)?;
        let at_address = |peer: &PeerInfo| {
            !self.typed.is_empty() && self.visited.iter().any(|(_, router)| *router == peer.router)
        };
        let named: Vec<_> = peers.iter().filter(|peer| called.is(peer) || at_address(peer)).collect();
        self.seen |= !named.is_empty();
        let mut showing: Vec<&PeerInfo> = Vec::new();
        for peer in named.into_iter().filter(|peer| peer.pairing) {
            // One device may be on several routers.
            if peer.device.is_none() || !showing.iter().any(|known| known.device == peer.device) {
                showing.push(peer);
            }
        }
        match showing.as_slice() {
            [peer] => return Ok(Some((*peer).clone())),
            [] => {}
            several => {
                let names: Vec<_> = several.iter().map(|peer| describe(peer)).collect();
                return Err(format!("{:?} could be any of {}", self.wanted, names.join(", ")));
            }
        }
        let addresses = if self.typed.is_empty() { self.found(node).await? } else { self.typed.clone() };
        for address in addresses {
            if !self.visited.iter().any(|(known, _)| *known == address) {
                let router = node.visit(address).await.map_err(|error| error.to_string())?;
                self.visited.push((address, router));
            }
        }
        Ok(None)
    }

    /// Where discovery says that the device is. Two devices may call themselves the same.
    async fn found(&self, node: &NodeHandle) -> Result<Vec<SocketAddr>, String> {
        let devices = node.devices().await.map_err(|error| error.to_string())?.devices;
        let called = |device: &&Device| {
            device.name.eq_ignore_ascii_case(self.wanted)
                || device
                    .instance
                    .as_deref()
                    .is_some_and(|instance| instance.eq_ignore_ascii_case(self.wanted))
                || device.device.is_some_and(|id| id.to_string() == self.wanted)
        };
        let mut called: Vec<_> = devices.iter().filter(called).collect();
        if called.len() > 1 && called.iter().any(|device| device.pairing) {
            called.retain(|device| device.pairing);
        }
        if let [_, _, ..] = called.as_slice() {
            let names: Vec<_> = called.iter().map(|device| describe_device(device)).collect();
            return Err(format!("{:?} could be any of {}", self.wanted, names.join(", ")));
        }
        let routers = called.iter().flat_map(|device| &device.routers);
        Ok(routers.filter_map(|url| url.strip_prefix("ws://")?.parse().ok()).collect())
    }

    async fn why_not(&self, node: &NodeHandle) -> String {
        if self.seen {
            return PairCallError::NotShown.to_string();
        }
        let wanted = self.wanted;
        let routers = node.status().await.map(|status| status.routers).unwrap_or_default();
        let lost = routers.iter().find_map(|status| {
            let visited = self.visited.iter().any(|(_, router)| *router == status.session.router);
            status.session.lost.as_ref().filter(|_| visited)
        });
        match (lost, self.visited.is_empty()) {
            (Some(why), _) => format!("{wanted:?} is out of reach: {why}"),
            (None, false) => format!("{wanted:?} is out of reach, or no clasp-node"),
            (None, true) => format!("no device called {wanted:?}; `clasp-node discover` lists who is there"),
        }
    }
}

/// The addresses that a text names, if it does.
async fn typed(wanted: &str) -> Vec<SocketAddr> {
    if let Ok(address) = wanted.parse() {
        return vec![address];
    }
    if let Ok(ip) = wanted.trim_matches(['[', ']']).parse::<IpAddr>() {
        return vec![SocketAddr::new(ip, DEFAULT_PORT)];
    }
    let url = match wanted.parse::<RouterUrl>() {
        Ok(url) => Some(url),
        // As in kitchen.local:7330; what has neither is a name.
        Err(_) if wanted.contains([':', '.']) => format!("ws://{wanted}").parse().ok(),
        Err(_) => None,
    };
    match url {
        Some(url) => url.resolve().await.unwrap_or_default(),
        None => Vec::new(),
    }
}

fn describe(peer: &PeerInfo) -> String {
    match peer.device {
        Some(device) => device.to_string(),
        None => peer.session.clone(),
    }
}

fn describe_device(device: &Device) -> String {
    let id = device.device.map(|device| device.to_string());
    id.or_else(|| device.instance.clone()).unwrap_or_else(|| device.name.clone())
}
