//! The sockets of discovery.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::task::{Context, Poll};

use if_addrs::{IfAddr, Interface};
use log::{debug, warn};
use rustix::net::{AddressFamily, sockopt};
use smol::Async;

use crate::discovery::{BROADCAST_PORT, Link, Network};
use crate::driver::interfaces::{Filter, Loopback, Place};
use crate::driver::mdns::{listen_v4, listen_v6, shared};
use crate::limits::MAX_MDNS_MESSAGE_BYTES;
use crate::mdns::{GROUP_V4, GROUP_V6, PORT as MDNS_PORT};

/// mDNS messages never leave the link, and this says so to whoever looks (RFC 6762 §11).
const HOPS: u32 = 255;

/// Where a datagram came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    Mdns(Link),
    Question,
    Answer,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    MdnsV4,
    MdnsV6(u32),
    Question,
    Answer,
}

/// An IPv4 address with its network: who sends mDNS messages from there is on that interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Subnet {
    ip: Ipv4Addr,
    interface: u32,
    netmask: u32,
}

impl Subnet {
    fn holds(&self, ip: Ipv4Addr) -> bool {
        u32::from(self.ip) & self.netmask == u32::from(ip) & self.netmask
    }

    fn place(&self) -> Place {
        Place { ip: self.ip.into(), interface: self.interface }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Sockets {
    loopback: Loopback,
    only: Option<IpAddr>,
    answers: bool,
    subnets: Vec<Subnet>,
    v6: Vec<Place>,
    mdns_v4: Option<Async<UdpSocket>>,
    mdns_v6: Vec<(u32, Async<UdpSocket>)>,
    responder: Option<Async<UdpSocket>>,
    /// One per IPv4 address: a broadcast goes out of the interface of the address that it comes from.
    asking: Vec<Async<UdpSocket>>,
    mdns_fault: Option<String>,
    broadcast_fault: Option<String>,
}

impl Sockets {
    /// None are open yet. `only`: the one address at which this host's router is reached. `answers`: questions are answered.
    pub(super) fn new(loopback: Loopback, only: Option<IpAddr>, answers: bool) -> Self {
        Self {
            loopback,
            only,
            answers,
            subnets: Vec::new(),
            v6: Vec::new(),
            mdns_v4: None,
            mdns_v6: Vec::new(),
            responder: None,
            asking: Vec::new(),
            mdns_fault: None,
            broadcast_fault: None,
        }
    }

    /// Why something is not done, or not everywhere.
    pub(super) fn faults(&self) -> Vec<String> {
        [&self.mdns_fault, &self.broadcast_fault].into_iter().flatten().cloned().collect()
    }

    /// Follows the host to its present addresses. The networks, if they are others than before.
    pub(super) fn follow(&mut self) -> Option<Vec<Network>> {
        let filter = Filter { loopback: self.loopback, router_is_local: false };
        let listed = filter.list().and_then(|found| Ok((found.places, if_addrs::get_if_addrs()?)));
        let (places, interfaces) = match listed {
            Ok(listed) => listed,
            Err(error) => {
                warn!("cannot list the network interfaces: {error}");
                return None;
            }
        };
        let (mut subnets, mut v6) = (Vec::new(), Vec::new());
        for place in places.into_iter().filter(|place| !place.ip.is_loopback() && place.interface != 0) {
            match place.ip {
                IpAddr::V4(ip) => {
                    let netmask = netmask(&interfaces, ip);
                    subnets.push(Subnet { ip, interface: place.interface, netmask });
                }
                IpAddr::V6(_) => v6.push(place),
            }
        }
        if subnets == self.subnets && v6 == self.v6 {
            return None;
        }
        (self.subnets, self.v6) = (subnets, v6);
        self.open();
        Some(self.networks())
    }

    /// Over IPv6 no address is told where there is an IPv4 one: stock devices put whichever comes first into a URL, without brackets
    /// (protocol reference §10). Ours go by where the message came from.
    fn networks(&self) -> Vec<Network> {
        let reached = |ip| self.only.is_none_or(|only| only == ip);
        let has_v4 = |interface| self.subnets.iter().any(|subnet| subnet.interface == interface);
        let mut networks: Vec<Network> = Vec::new();
        for place in self.subnets.iter().map(Subnet::place).chain(self.v6.iter().copied()) {
            let link = Link { interface: place.interface, v6: place.ip.is_ipv6() };
            let told = reached(place.ip) && !(link.v6 && has_v4(link.interface));
            let addresses = told.then_some(place.ip);
            match networks.iter_mut().find(|network| network.link == link) {
                Some(network) => network.addresses.extend(addresses),
                None => networks.push(Network { link, addresses: addresses.into_iter().collect() }),
            }
        }
        networks
    }

    fn open(&mut self) {
        (self.mdns_fault, self.broadcast_fault) = (None, None);
        self.mdns_v4 = None;
        self.mdns_v6.clear();
        self.asking.clear();
        let places: Vec<Place> = self.subnets.iter().map(Subnet::place).collect();
        if !places.is_empty() {
            let socket = listen_v4(places.iter()).and_then(|socket| {
                sockopt::set_ip_multicast_ttl(&socket, HOPS)?;
                Ok(socket)
            });
            self.mdns_v4 = socket.map_err(|error| self.note_mdns_fault(&error)).ok();
        }
        let mut interfaces: Vec<u32> = self.v6.iter().map(|place| place.interface).collect();
        interfaces.sort_unstable();
        interfaces.dedup();
        for interface in interfaces {
            let socket = listen_v6(interface).and_then(|socket| {
                sockopt::set_ipv6_multicast_if(&socket, interface)?;
                sockopt::set_ipv6_multicast_hops(&socket, HOPS)?;
                Ok(socket)
            });
            match socket {
                Ok(socket) => self.mdns_v6.push((interface, socket)),
                Err(error) => self.note_mdns_fault(&error),
            }
        }
        if self.answers && self.responder.is_none() {
            let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), BROADCAST_PORT);
            let socket = shared(AddressFamily::INET, &any);
            self.responder = socket.map_err(|error| self.note_broadcast_fault(&error)).ok();
        }
        for place in places {
            let socket = Async::<UdpSocket>::bind(place.with_port(0)).and_then(|socket| {
                socket.get_ref().set_broadcast(true)?;
                Ok(socket)
            });
            match socket {
                Ok(socket) => self.asking.push(socket),
                Err(error) => self.note_broadcast_fault(&error),
            }
        }
    }

    fn note_mdns_fault(&mut self, error: &io::Error) {
        let fault = format!("multicast DNS (UDP port {MDNS_PORT}): {error}");
        warn!("{fault}");
        self.mdns_fault = Some(fault);
    }

    fn note_broadcast_fault(&mut self, error: &io::Error) {
        let fault = format!("broadcast (UDP port {BROADCAST_PORT}): {error}");
        warn!("{fault}");
        self.broadcast_fault = Some(fault);
    }

    /// Sends to the mDNS group on a link.
    pub(super) fn multicast(&self, link: Link, message: &[u8]) {
        note_unsent(if link.v6 {
            let group = Place { ip: GROUP_V6.into(), interface: link.interface }.with_port(MDNS_PORT);
            self.v6_socket(link.interface).map(|socket| socket.get_ref().send_to(message, group))
        } else {
            let subnet = self.subnets.iter().find(|subnet| subnet.interface == link.interface);
            self.mdns_v4.as_ref().zip(subnet).map(|(socket, subnet)| {
                sockopt::set_ip_multicast_if(socket, &subnet.ip)?;
                socket.get_ref().send_to(message, (GROUP_V4, MDNS_PORT))
            })
        });
    }

    /// Sends to one host on a link, from the mDNS port.
    pub(super) fn unicast(&self, link: Link, to: SocketAddr, message: &[u8]) {
        let socket = if link.v6 { self.v6_socket(link.interface) } else { self.mdns_v4.as_ref() };
        note_unsent(socket.map(|socket| socket.get_ref().send_to(message, to)));
    }

    /// Sends to everybody, from every address.
    pub(super) fn broadcast(&self, bytes: &[u8]) {
        for socket in &self.asking {
            note_unsent(Some(socket.get_ref().send_to(bytes, (Ipv4Addr::BROADCAST, BROADCAST_PORT))));
        }
    }

    /// Answers a broadcast.
    pub(super) fn reply(&self, to: SocketAddr, bytes: &[u8]) {
        note_unsent(self.responder.as_ref().map(|socket| socket.get_ref().send_to(bytes, to)));
    }

    /// Hands over up to `limit` datagrams of each socket as `take(where, source, bytes)` without waiting.
    pub(super) fn receive(&self, limit: usize, mut take: impl FnMut(Heard, SocketAddr, &[u8])) {
        let mut buffer = [0; MAX_MDNS_MESSAGE_BYTES + 1]; // a longer one shows that it is
        for (kind, socket) in self.sockets() {
            let mut left = limit;
            while left > 0
                && let Ok((len, source)) = socket.get_ref().recv_from(&mut buffer)
            {
                left -= 1;
                if let Some(heard) = self.heard(kind, source) {
                    take(heard, source, buffer.get(..len).unwrap_or_default());
                }
            }
        }
    }

    /// Where a datagram came to. Over IPv4 its sender's address tells the link: whoever has none of the link's is not on it (RFC 6762
    /// §11).
    fn heard(&self, kind: Kind, source: SocketAddr) -> Option<Heard> {
        match (kind, source.ip()) {
            (Kind::Question, _) => Some(Heard::Question),
            (Kind::Answer, _) => Some(Heard::Answer),
            (Kind::MdnsV6(interface), _) => Some(Heard::Mdns(Link { interface, v6: true })),
            (Kind::MdnsV4, IpAddr::V4(ip)) => {
                let subnet = self.subnets.iter().find(|subnet| subnet.holds(ip))?;
                Some(Heard::Mdns(Link { interface: subnet.interface, v6: false }))
            }
            (Kind::MdnsV4, IpAddr::V6(_)) => None,
        }
    }

    /// Ready when there is something to receive.
    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut ready = false;
        for (_, socket) in self.sockets() {
            ready |= socket.poll_readable(context).is_ready(); // registers for all of them
        }
        if ready { Poll::Ready(()) } else { Poll::Pending }
    }

    fn sockets(&self) -> impl Iterator<Item = (Kind, &Async<UdpSocket>)> {
        let v4 = self.mdns_v4.iter().map(|socket| (Kind::MdnsV4, socket));
        let v6 = self.mdns_v6.iter().map(|(interface, socket)| (Kind::MdnsV6(*interface), socket));
        let responder = self.responder.iter().map(|socket| (Kind::Question, socket));
        let asking = self.asking.iter().map(|socket| (Kind::Answer, socket));
        v4.chain(v6).chain(responder).chain(asking)
    }

    fn v6_socket(&self, interface: u32) -> Option<&Async<UdpSocket>> {
        self.mdns_v6.iter().find(|(known, _)| *known == interface).map(|(_, socket)| socket)
    }
}

/// One that is lost is sent again by whoever wants to know.
fn note_unsent(sent: Option<io::Result<usize>>) {
    if let Some(Err(error)) = sent {
        debug!(error:% = error; "discovery datagram not sent");
    }
}

fn netmask(interfaces: &[Interface], ip: Ipv4Addr) -> u32 {
    let of = interfaces.iter().find_map(|interface| match &interface.addr {
        IfAddr::V4(addr) if addr.ip == ip => Some(u32::from(addr.netmask)),
        _ => None,
    });
    of.unwrap_or(u32::MAX)
}
