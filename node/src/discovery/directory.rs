//! What all sources together say of the devices that are there.

use std::collections::VecDeque;
use std::net::SocketAddr;

use serde::Serialize;

use super::{Output, Sighting, Source};
use crate::identity::DeviceId;

/// Addresses kept of one device: an interface or two, over IPv4 and IPv6.
const MAX_ADDRESSES: usize = 8;

/// A device of the network, as far as anybody has told. Nothing of it is proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Found {
    /// What it calls itself.
    pub name: String,
    /// What it is called on the network, where that is another name: two devices call themselves the same.
    pub instance: Option<String>,
    /// Its id, if it is a clasp-edge node.
    pub device: Option<DeviceId>,
    /// Whether it can be paired now.
    pub pairing: bool,
    /// What its router does, as the letters of the protocol (reference §10).
    pub features: String,
    /// Where its router is reached: at most 8, IPv4 first.
    pub addresses: Vec<SocketAddr>,
    /// Who says so.
    pub sources: Vec<Source>,
}

impl Found {
    /// Whether that is about this device.
    fn is_same(&self, device: Option<DeviceId>, addresses: &[SocketAddr]) -> bool {
        match (self.device, device) {
            (Some(own), Some(other)) => own == other,
            // A stock device tells nothing but its address.
            (None, None) => self.addresses.iter().any(|address| addresses.contains(address)),
            _ => false,
        }
    }

    fn add(&mut self, sighting: &Sighting) {
        if !self.sources.contains(&sighting.source) {
            self.sources.push(sighting.source);
        }
        self.pairing |= sighting.pairing;
        if self.instance.is_none() {
            self.instance.clone_from(&sighting.instance);
        }
        if self.features.is_empty() {
            self.features.clone_from(&sighting.features);
        }
        for address in &sighting.addresses {
            if !self.addresses.contains(address) {
                self.addresses.push(*address);
            }
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Directory {
    found: Vec<Found>,
}

impl Directory {
    /// These are all sightings there are now. What differs from before is told.
    pub(super) fn update(&mut self, sightings: impl Iterator<Item = Sighting>, out: &mut VecDeque<Output>) {
        let mut found: Vec<Found> = Vec::new();
        for sighting in sightings {
            match found.iter_mut().find(|known| known.is_same(sighting.device, &sighting.addresses)) {
                Some(known) => known.add(&sighting),
                None => {
                    let mut new = Found {
                        name: sighting.name.clone(),
                        instance: None,
                        device: sighting.device,
                        pairing: false,
                        features: String::new(),
                        addresses: Vec::new(),
                        sources: Vec::new(),
                    };
                    new.add(&sighting);
                    found.push(new);
                }
            }
        }
        for device in &mut found {
            // IPv4 first: a URL of it needs no brackets and no scope.
            device.addresses.sort_by_key(SocketAddr::is_ipv6);
            device.addresses.truncate(MAX_ADDRESSES);
            device.instance.take_if(|instance| *instance == device.name);
        }
        let stays = |old: &Found| found.iter().any(|new| new.is_same(old.device, &old.addresses));
        for old in self.found.iter().filter(|old| !stays(old)) {
            out.push_back(Output::Lost(old.clone()));
        }
        for new in found.iter().filter(|new| !self.found.contains(new)) {
            out.push_back(Output::Found(new.clone()));
        }
        self.found = found;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Found> {
        self.found.iter()
    }
}
