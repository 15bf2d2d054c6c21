//! The devices a node knows of, with everything that says so: discovery, routers, and what is remembered of pairs.

use std::net::SocketAddr;
use std::task::{Context, Poll};

use log::debug;
use serde::Serialize;
use smol::channel::Sender;

use super::discovery::{Lookout, Sighted};
use super::{Driver, answer, now};
use crate::discovery::{Found, Source};
use crate::event::{Event, PeerInfo};
use crate::identity::DeviceId;
use crate::node::Input;
use crate::pairs::{Pair, Pairs};

/// What says that a device is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum DeviceSource {
    /// Multicast DNS.
    Mdns,
    /// An answer to a broadcast.
    Broadcast,
    /// A router that this node is on.
    Router,
    /// Nothing at present: it is paired, and was there before.
    Remembered,
}

impl DeviceSource {
    /// Its name, for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mdns => Source::Mdns.name(),
            Self::Broadcast => Source::Broadcast.name(),
            Self::Router => "router",
            Self::Remembered => "remembered",
        }
    }
}

impl From<Source> for DeviceSource {
    fn from(source: Source) -> Self {
        match source {
            Source::Mdns => Self::Mdns,
            Source::Broadcast => Self::Broadcast,
        }
    }
}

/// A device, as far as anybody has told. Only for one that is linked it is proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Device {
    /// What it is called here if it is paired, and what it calls itself if not.
    pub name: String,
    /// What it is called on the network, if that is something else.
    pub instance: Option<String>,
    /// Its id; stock devices have none.
    pub device: Option<DeviceId>,
    /// Whether it is paired.
    pub paired: bool,
    /// Whether there is a link to it.
    pub linked: bool,
    /// Whether it can be paired now.
    pub pairing: bool,
    /// Where its router is, or was: as URLs.
    pub routers: Vec<String>,
    /// Who says so.
    pub sources: Vec<DeviceSource>,
}

/// The devices, and how far they can be known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Devices {
    /// Those that can be paired first, then by their names.
    pub devices: Vec<Device>,
    /// Why some may be missing: what is not done, or not everywhere.
    pub faults: Vec<String>,
}

impl Devices {
    /// What discovery and a node's memory say together.
    #[must_use]
    pub fn new(found: &[Found], pairs: &Pairs, faults: Vec<String>) -> Self {
        let mut devices = Self { devices: Vec::new(), faults };
        for found in found {
            let pair = found.device.and_then(|device| pairs.by_id(device));
            devices.devices.push(Device {
                name: pair.map_or_else(|| found.name.clone(), |pair| pair.name.clone()),
                instance: found.instance.clone(),
                device: found.device,
                paired: pair.is_some(),
                linked: false,
                pairing: found.pairing,
                routers: found.addresses.iter().map(url).collect(),
                sources: found.sources.iter().map(|source| DeviceSource::from(*source)).collect(),
            });
        }
        for pair in pairs.iter() {
            if !devices.devices.iter().any(|known| known.device == Some(pair.id())) {
                devices.devices.push(remembered(pair));
            }
        }
        devices.sort();
        devices
    }

    /// Adds what a node hears on its routers.
    fn add_peer(&mut self, peer: &PeerInfo) {
        let Some(device) = peer.device else { return };
        match self.devices.iter_mut().find(|known| known.device == Some(device)) {
            Some(known) => {
                known.pairing |= peer.pairing;
                known.sources.retain(|source| *source != DeviceSource::Remembered);
                if !known.sources.contains(&DeviceSource::Router) {
                    known.sources.push(DeviceSource::Router);
                }
            }
            None => self.devices.push(Device {
                name: peer.name.clone().unwrap_or_else(|| peer.session.clone()),
                instance: None,
                device: Some(device),
                paired: false,
                linked: false,
                pairing: peer.pairing,
                routers: Vec::new(),
                sources: vec![DeviceSource::Router],
            }),
        }
    }

    fn sort(&mut self) {
        self.devices.sort_by_key(|device| (!device.pairing, device.name.to_lowercase()));
    }
}

fn url(address: &SocketAddr) -> String {
    format!("ws://{address}")
}

fn remembered(pair: &Pair) -> Device {
    Device {
        name: pair.name.clone(),
        instance: None,
        device: Some(pair.id()),
        paired: true,
        linked: false,
        pairing: false,
        routers: pair.last_addresses().to_vec(),
        sources: vec![DeviceSource::Remembered],
    }
}

impl Driver {
    /// All that is known of devices.
    pub(super) fn tell_devices(&self, reply: &Sender<Devices>) {
        let status = self.lookout.as_ref().map(Lookout::status).unwrap_or_default();
        let mut faults = status.faults;
        if self.lookout.is_none() {
            faults.push("discovery is off: this node was started with --no-discovery".to_owned());
        }
        let mut devices = Devices::new(&status.found, self.node.pairs(), faults);
        let own = self.node.identity().id();
        for peer in self.node.peers().filter(|peer| peer.device != Some(own)) {
            devices.add_peer(peer);
        }
        for device in &mut devices.devices {
            device.linked = device.device.is_some_and(|device| self.node.is_linked(device));
        }
        devices.sort();
        answer(reply, devices);
        if let Some(lookout) = &self.lookout {
            lookout.ask(); // for who asks again
        }
    }

    pub(super) fn poll_sighted(&mut self, context: &mut Context<'_>) -> Poll<Option<Sighted>> {
        self.lookout.as_mut().map_or(Poll::Pending, |lookout| lookout.poll_sighted(context))
    }

    /// Where a paired device may be is for the node to know.
    pub(super) fn on_sighted(&mut self, sighted: &Sighted) {
        let (found, addresses) = match sighted {
            Sighted::Found(found) => (found, found.addresses.as_slice()),
            Sighted::Lost(found) => (found, [].as_slice()),
        };
        debug!(name = found.name.as_str(), addresses:? = addresses; "device on the network");
        if let Some(device) = found.device {
            self.node.handle_input(now(), Input::Found(device, addresses));
        }
    }

    /// Somebody waits for a device that is nowhere.
    pub(super) fn look_around(&self) {
        if let Some(lookout) = &self.lookout {
            lookout.ask();
        }
    }

    pub(super) fn note_devices(&mut self, event: &Event) {
        match event {
            Event::Paired { device, .. } => {
                let found = self.lookout.as_ref().map(|lookout| lookout.status().found).unwrap_or_default();
                if let Some(found) = found.into_iter().find(|found| found.device == Some(*device)) {
                    self.on_sighted(&Sighted::Found(found));
                }
            }
            Event::Connected { .. } | Event::Relayed { .. } if self.node.take_addresses_changed() => {
                self.keep_addresses();
            }
            _ => {}
        }
    }

    /// The network is told whether this device can be paired, as the routers are.
    pub(super) fn tell_pairing(&mut self) {
        let open = self.node.invitation().is_some();
        if std::mem::replace(&mut self.told_pairing, open) != open
            && let Some(lookout) = &self.lookout
        {
            lookout.set_pairing(open);
        }
    }
}
