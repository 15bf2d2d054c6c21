//! Finding the devices of a network, and being found: multicast DNS and broadcast, each enough by itself.
//!
//! Owns: who is there, and what says so; when is asked and what is answered. Does not own: sockets, the clock, randomness (a seed is
//! passed in), what is done about who is found. Nothing that is found here is proven: it says where to knock, not who opens.
//!
//! # Contract
//! Call [`Discovery::handle_input`] or one of the commands, then [`Discovery::poll_output`] until [`Output::Idle`]; only then wait,
//! at the latest until its `wake`.

mod advertise;
mod broadcast;
mod browse;
mod directory;
mod dns;
mod records;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use log::trace;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::Serialize;
use simple_dns::PacketFlag;

pub use broadcast::PORT as BROADCAST_PORT;
pub use directory::Found;

use crate::identity::DeviceId;
use crate::mdns::{PORT as MDNS_PORT, parse};
use crate::wake::Wake;
use advertise::Advertiser;
use broadcast::{About, Broadcast, Datagram};
use browse::Browser;
use directory::Directory;
use records::Service;

/// An interface, over one version of IP: what is multicast there is heard there only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// The number that the system has given the interface.
    pub interface: u32,
    /// Over IPv6.
    pub v6: bool,
}

/// A link, and the addresses by which this host's router is reached on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Which.
    pub link: Link,
    /// What is told there. It may be empty: then only the datagrams' sender says where the router is.
    pub addresses: Vec<IpAddr>,
}

/// What says that a device is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Source {
    /// Multicast DNS.
    Mdns,
    /// An answer to a broadcast.
    Broadcast,
}

impl Source {
    /// Its name, for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mdns => "mdns",
            Self::Broadcast => "broadcast",
        }
    }
}

/// What one source says of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sighting {
    source: Source,
    name: String,
    /// What it is called on the network, where names are told apart.
    instance: Option<String>,
    device: Option<DeviceId>,
    pairing: bool,
    features: String,
    addresses: Vec<SocketAddr>,
}

/// The router of this node, for others to find.
#[derive(Debug, Clone)]
pub struct Advertised {
    /// The node's name, 1 to 63 bytes.
    pub name: String,
    /// The port of its router, on every address of the host.
    pub port: u16,
}

/// What happened outside.
#[derive(Debug)]
#[non_exhaustive]
pub enum Input<'a> {
    /// Time has passed.
    Timeout,
    /// These are the networks now.
    Networks(&'a [Network]),
    /// An mDNS message came on this link.
    Message {
        /// The link.
        link: Link,
        /// Who sent it.
        source: SocketAddr,
        /// What it says.
        bytes: &'a [u8],
    },
    /// A datagram came to [`BROADCAST_PORT`].
    Question {
        /// Who sent it.
        source: SocketAddr,
        /// What it says.
        bytes: &'a [u8],
    },
    /// A datagram came to a socket that [`Output::Broadcast`] was sent from.
    Answer {
        /// Who sent it.
        source: SocketAddr,
        /// What it says.
        bytes: &'a [u8],
    },
}

/// What is to be done, or was found.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "an output not acted on is lost"]
#[non_exhaustive]
pub enum Output {
    /// Send this to the mDNS group on a link, from port 5353.
    Multicast {
        /// The link.
        link: Link,
        /// The message.
        message: Vec<u8>,
    },
    /// Send this to one host on a link, from port 5353.
    Unicast {
        /// The link.
        link: Link,
        /// The host.
        to: SocketAddr,
        /// The message.
        message: Vec<u8>,
    },
    /// Send this to the broadcast address's [`BROADCAST_PORT`] on every interface, and listen for answers.
    Broadcast(Vec<u8>),
    /// Send this from [`BROADCAST_PORT`].
    Reply {
        /// To here.
        to: SocketAddr,
        /// The datagram.
        bytes: Vec<u8>,
    },
    /// A device was found, or more of it.
    Found(Found),
    /// Nobody says any more that it is there.
    Lost(Found),
    /// Nothing more to do.
    Idle {
        /// Call again at this time at the latest; `None`: only when something happens.
        wake: Option<Wake>,
    },
}

/// How discovery goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct DiscoveryCounters {
    /// Broadcast questions that were not answered because there were too many.
    pub questions_refused: u64,
    /// Routers heard of by mDNS that gave way to others.
    pub instances_displaced: u64,
    /// mDNS messages that could not be read.
    pub unreadable: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Discovery {
    device: DeviceId,
    advertiser: Option<Advertiser>,
    browser: Browser,
    broadcast: Broadcast,
    directory: Directory,
    rng: StdRng,
    unreadable: u64,
    out: VecDeque<Output>,
}

impl Discovery {
    /// One that looks around, and tells of `advertised` if there is anything to tell.
    #[must_use]
    pub fn new(seed: [u8; 32], now: Instant, device: DeviceId, advertised: Option<Advertised>) -> Self {
        let about = |Advertised { name, port }| About { name, device, port, pairing: false };
        let service = advertised.as_ref().map(|Advertised { name, port }| Service::new(name, device, *port));
        Self {
            device,
            advertiser: service.map(|service| Advertiser::new(now, service)),
            browser: Browser::default(),
            broadcast: Broadcast::new(now, advertised.map(about)),
            directory: Directory::default(),
            rng: StdRng::from_seed(seed),
            unreadable: 0,
            out: VecDeque::new(),
        }
    }

    /// Takes what happened. `unix_us` is for others to read, in microseconds since 1970; nothing here depends on it.
    pub fn handle_input(&mut self, now: Instant, unix_us: u64, input: Input<'_>) {
        match input {
            Input::Timeout => {
                if let Some(advertiser) = &mut self.advertiser {
                    advertiser.handle_timeout(now);
                }
                self.browser.handle_timeout(now);
                self.broadcast.handle_timeout(now);
            }
            Input::Networks(networks) => {
                if let Some(advertiser) = &mut self.advertiser {
                    advertiser.set_networks(now, networks, &mut self.rng);
                }
                self.browser.set_links(now, networks.iter().map(|network| network.link), &mut self.rng);
            }
            Input::Message { link, source, bytes } => self.on_message(now, link, source, bytes),
            Input::Question { source, bytes } => self.broadcast.handle_question(now, unix_us, source, bytes),
            Input::Answer { source, bytes } => self.broadcast.handle_answer(now, source, bytes),
        }
    }

    /// Looks around now.
    pub fn ask(&mut self, now: Instant) {
        self.browser.ask(now);
        self.broadcast.ask(now);
    }

    /// Tells whether this device can be paired.
    pub fn set_pairing(&mut self, now: Instant, open: bool) {
        if let Some(advertiser) = &mut self.advertiser {
            advertiser.set_pairing(now, open);
        }
        self.broadcast.set_pairing(open);
    }

    /// Says goodbye to the network.
    pub fn stop(&mut self) {
        if let Some(advertiser) = &mut self.advertiser {
            advertiser.goodbye();
        }
    }

    /// What this node's router is called on the network: others may have had its name first.
    #[must_use]
    pub fn instance(&self) -> Option<&str> {
        self.advertiser.as_ref().map(Advertiser::instance)
    }

    /// Who is there.
    pub fn found(&self) -> impl Iterator<Item = &Found> {
        self.directory.iter()
    }

    /// How it goes.
    #[must_use]
    pub fn counters(&self) -> DiscoveryCounters {
        DiscoveryCounters {
            questions_refused: self.broadcast.refused_count,
            instances_displaced: self.browser.displaced_count,
            unreadable: self.unreadable,
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Output {
        if self.browser.take_changed() | self.broadcast.take_changed() {
            let sightings = self.browser.sightings().chain(self.broadcast.sightings());
            // Our own router is not news.
            let others = sightings.filter(|sighting| sighting.device != Some(self.device));
            self.directory.update(others, &mut self.out);
        }
        if let Some(output) = self.out.pop_front() {
            return output;
        }
        let outgoing = self.advertiser.as_mut().and_then(Advertiser::poll_output);
        if let Some(outgoing) = outgoing.or_else(|| self.browser.poll_output()) {
            let advertise::Outgoing { link, to, message } = outgoing;
            return match to {
                None => Output::Multicast { link, message },
                Some(to) => Output::Unicast { link, to, message },
            };
        }
        match self.broadcast.poll_output() {
            Some(Datagram::Question(bytes)) => Output::Broadcast(bytes),
            Some(Datagram::Answer { to, bytes }) => Output::Reply { to, bytes },
            None => Output::Idle { wake: self.wake() },
        }
    }

    fn wake(&self) -> Option<Wake> {
        let advertiser = self.advertiser.as_ref().and_then(Advertiser::wake);
        let times = [advertiser, self.browser.wake(), self.broadcast.wake()];
        times.into_iter().flatten().min().map(|at| Wake::new(at, "discovery"))
    }

    fn on_message(&mut self, now: Instant, link: Link, source: SocketAddr, bytes: &[u8]) {
        let packet = match parse(bytes) {
            Ok(packet) => packet,
            Err(error) => {
                self.unreadable += 1;
                return trace!(source:% = source, error:% = error; "not an mDNS message");
            }
        };
        if !packet.has_flags(PacketFlag::RESPONSE) {
            if let Some(advertiser) = &mut self.advertiser {
                advertiser.handle_query(now, link, source, &packet, &mut self.rng);
            }
            return;
        }
        // Answers come from this port and no other (RFC 6762 §6).
        if source.port() == MDNS_PORT {
            if let Some(advertiser) = &mut self.advertiser {
                advertiser.handle_response(now, link, &packet);
            }
            self.browser.handle_response(now, link, source, &packet, &mut self.rng);
        }
    }
}

#[cfg(test)]
mod tests;
