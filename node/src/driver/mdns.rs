//! The sockets that multicast DNS is asked through. They are open only while an answer is awaited.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, UdpSocket};
use std::task::{Context, Poll};

use log::debug;
use rustix::io::FdFlags;
use rustix::net::{AddressFamily, SocketType, sockopt};
use smol::Async;

use super::interfaces::Place;
use crate::limits::MAX_MDNS_MESSAGE_BYTES;
use crate::mdns::{GROUP_V4, GROUP_V6, PORT};

/// Messages never leave the link, and this says so to whoever looks (RFC 6762 §11).
const HOPS: u32 = 255;

/// The sockets.
#[derive(Debug, Default)]
pub(super) struct Mdns {
    /// Where they are open.
    places: Vec<Place>,
    /// One per address, with the group on its interface.
    asking: Vec<(Async<UdpSocket>, SocketAddr)>,
    /// One for IPv4, and one for IPv6 on each interface.
    listening: Vec<Async<UdpSocket>>,
}

impl Mdns {
    /// Sends a query from each of these addresses.
    pub(super) fn ask(&mut self, places: impl Iterator<Item = Place>, query: &[u8]) {
        let places: Vec<_> = places.collect();
        if self.places != places {
            self.open(places);
        }
        for (socket, group) in &self.asking {
            // One that is lost is asked again after a second.
            if let Err(error) = socket.get_ref().send_to(query, *group) {
                debug!(group:% = group, error:% = error; "mDNS query not sent");
            }
        }
    }

    /// Nobody waits for an answer.
    pub(super) fn close(&mut self) {
        *self = Self::default();
    }

    fn open(&mut self, places: Vec<Place>) {
        self.close();
        for place in &places {
            match ask_from(*place) {
                Ok(asking) => self.asking.push(asking),
                Err(error) => debug!(address:% = place.ip, error:% = error; "no mDNS from here"),
            }
        }
        let v4 = places.iter().filter(|place| place.ip.is_ipv4());
        let v6 = places.iter().filter(|place| place.ip.is_ipv6()).map(|place| place.interface);
        let mut interfaces: Vec<_> = v6.collect();
        interfaces.sort_unstable();
        interfaces.dedup();
        let listening = [listen_v4(v4)].into_iter().chain(interfaces.into_iter().map(listen_v6));
        for socket in listening {
            match socket {
                Ok(socket) => self.listening.push(socket),
                // Answers may still come to the sockets that ask.
                Err(error) => debug!(error:% = error; "not listening to an mDNS group"),
            }
        }
        self.places = places;
    }

    /// Hands over up to `limit` messages as `take(source, message)` without waiting.
    pub(super) fn receive(&self, limit: usize, mut take: impl FnMut(SocketAddr, &[u8])) {
        let mut buffer = [0; MAX_MDNS_MESSAGE_BYTES + 1]; // a longer one shows that it is
        let mut left = limit;
        for socket in self.sockets() {
            while left > 0
                && let Ok((len, source)) = socket.get_ref().recv_from(&mut buffer)
            {
                left -= 1;
                take(source, buffer.get(..len).unwrap_or_default());
            }
        }
    }

    /// Ready when there is something to receive.
    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut ready = false;
        for socket in self.sockets() {
            ready |= socket.poll_readable(context).is_ready(); // registers for all of them
        }
        if ready { Poll::Ready(()) } else { Poll::Pending }
    }

    fn sockets(&self) -> impl Iterator<Item = &Async<UdpSocket>> {
        self.asking.iter().map(|(socket, _)| socket).chain(&self.listening)
    }
}

/// A socket that sends to the group through the interface of its address.
fn ask_from(place: Place) -> io::Result<(Async<UdpSocket>, SocketAddr)> {
    let socket = Async::<UdpSocket>::bind(place.with_port(0))?;
    let group = match place.ip {
        IpAddr::V4(ip) => {
            sockopt::set_ip_multicast_if(&socket, &ip)?;
            sockopt::set_ip_multicast_ttl(&socket, HOPS)?;
            GROUP_V4.into()
        }
        IpAddr::V6(_) => {
            sockopt::set_ipv6_multicast_hops(&socket, HOPS)?;
            GROUP_V6.into()
        }
    };
    Ok((socket, Place { ip: group, ..place }.with_port(PORT)))
}

/// A socket that hears the IPv4 group on the interfaces of these addresses. It is bound to the group, so that it takes nothing from
/// this host's own responder, which shares the port.
pub(super) fn listen_v4<'a>(places: impl Iterator<Item = &'a Place>) -> io::Result<Async<UdpSocket>> {
    let socket = shared(AddressFamily::INET, &SocketAddrV4::new(GROUP_V4, PORT).into())?;
    for place in places {
        if let IpAddr::V4(ip) = place.ip
            && let Err(error) = sockopt::set_ip_add_membership(&socket, &GROUP_V4, &ip)
        {
            debug!(address:% = ip, error:% = error; "mDNS group not joined"); // once is enough for two of one interface
        }
    }
    Ok(socket)
}

pub(super) fn listen_v6(interface: u32) -> io::Result<Async<UdpSocket>> {
    let group = Place { ip: GROUP_V6.into(), interface }.with_port(PORT);
    let socket = shared(AddressFamily::INET6, &group)?;
    sockopt::set_ipv6_add_membership(&socket, &GROUP_V6, interface)?;
    Ok(socket)
}

/// A socket on a port that others use as well.
pub(super) fn shared(family: AddressFamily, address: &SocketAddr) -> io::Result<Async<UdpSocket>> {
    let socket = rustix::net::socket(family, SocketType::DGRAM, None)?;
    rustix::io::fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    #[cfg(not(target_os = "linux"))] // where the former does not do it
    sockopt::set_socket_reuseport(&socket, true)?;
    rustix::net::bind(&socket, address)?;
    Async::new(UdpSocket::from(socket))
}

#[cfg(test)]
mod tests;
