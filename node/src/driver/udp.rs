//! The sockets data travels on: one per usable address, so that every packet leaves from the address ICE chose.
//!
//! Many datagrams cross the border to the kernel at once where it knows how, each way; `quinn-udp` knows which kernel does.

mod incoming;
mod outgoing;
mod scope;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::task::{Context, Poll};

use log::{debug, warn};
use quinn_udp::{Transmit, UdpSocketState};
use rustix::net::sockopt;
use smol::Async;

use super::interfaces::Place;
use incoming::Incoming;
use outgoing::{Outgoing, Wire};

pub(super) use outgoing::Sent;

/// Asked of the kernel for each direction; it may give less. Default buffers lose packets in bursts, and a lost last packet of
/// a burst costs a second.
const SOCKET_BUFFER_BYTES: usize = 1024 * 1024;

#[derive(Debug)]
pub(super) struct Sockets {
    sockets: Vec<Socket>,
    incoming: Incoming,
    outgoing: Outgoing,
    /// Of every socket; 0 for any free one each.
    port: u16,
    /// Where the next round of reading begins, so that a busy socket cannot starve another.
    next: usize,
}

#[derive(Debug)]
struct Socket {
    /// Its address as the cores know it.
    local: SocketAddr,
    place: Place,
    io: Async<UdpSocket>,
    offload: UdpSocketState,
}

/// IPv6 addresses cannot be used before the kernel has checked that nobody else has them, as at boot; it tells when it has.
fn not_now(place: Place, error: &io::Error) {
    debug!(address:% = place.ip, error:% = error; "address not usable now");
}

impl Sockets {
    /// Binds a socket to each address, on this port, or on any free one if it is 0.
    ///
    /// # Errors
    /// When not one of them can be bound, now or later, or the wanted port is taken.
    pub(super) fn bind(places: &[Place], port: u16) -> io::Result<Self> {
        let mut sockets = Vec::with_capacity(places.len());
        let mut failure = None;
        for place in places {
            match Socket::bind(*place, port) {
                Ok(bound) => sockets.push(bound),
                // Whoever opened a port in a firewall would look for the fault there.
                Err(error) if port != 0 && error.kind() == io::ErrorKind::AddrInUse => {
                    return Err(io::Error::new(
                        error.kind(),
                        format!("UDP port {port} of {} is taken", place.ip),
                    ));
                }
                Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => not_now(*place, &error),
                Err(error) => {
                    warn!(address:% = place.ip, error:% = error; "address not usable");
                    failure = Some(error);
                }
            }
        }
        match (sockets.is_empty(), failure) {
            (true, Some(error)) => Err(error),
            _ => Ok(Self { sockets, incoming: Incoming::new(), outgoing: Outgoing::new(), port, next: 0 }),
        }
    }

    /// Closes the sockets whose address is gone and opens one for each that is new. The others stay as they are, ports
    /// included. Says whether anything changed.
    pub(super) fn follow(&mut self, places: &[Place]) -> bool {
        let before = self.sockets.len();
        self.sockets
            .retain(|socket| places.iter().any(|place| place.with_port(0) == socket.place.with_port(0)));
        let mut changed = self.sockets.len() != before;
        for place in places {
            if self.sockets.iter().any(|socket| socket.local.ip() == place.ip) {
                continue;
            }
            match Socket::bind(*place, self.port) {
                Ok(bound) => {
                    self.sockets.push(bound);
                    changed = true;
                }
                Err(error) => not_now(*place, &error),
            }
        }
        changed
    }

    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().map(|socket| socket.local).collect()
    }

    /// The same with their interfaces.
    pub(super) fn places(&self) -> impl Iterator<Item = Place> {
        self.sockets.iter().map(|socket| socket.place)
    }

    /// Hands up to `limit` datagrams to `take(source, destination, bytes)` without waiting. Says how many. What was read beyond that
    /// comes first the next time.
    pub(super) fn receive(
        &mut self,
        limit: usize,
        mut take: impl FnMut(SocketAddr, SocketAddr, &[u8]),
    ) -> usize {
        let mut count = self.incoming.hand_over(limit, &mut take);
        for _ in 0..self.sockets.len() {
            if count >= limit {
                break;
            }
            self.next = (self.next + 1) % self.sockets.len();
            let Some(Socket { local, io, offload, .. }) = self.sockets.get(self.next) else { continue };
            let read = self.incoming.fill(*local, |slices, metas| offload.recv(io.into(), slices, metas));
            match read {
                Ok(_) => count += self.incoming.hand_over(limit - count, &mut take),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => debug!(local:% = local, error:% = error; "receive failed"),
            }
        }
        count
    }

    /// Sends a datagram from the socket that has the address `source`, with the next [`Self::flush`] at the latest. Not to be called
    /// while something is blocked.
    pub(super) fn send(&mut self, source: SocketAddr, destination: SocketAddr, bytes: Vec<u8>) -> Sent {
        self.outgoing.push(&self.sockets, source, destination, bytes)
    }

    /// Sends what is still held.
    pub(super) fn flush(&mut self) -> Sent {
        self.outgoing.flush(&self.sockets)
    }

    /// Whether the kernel had no room. Nothing may be sent then until [`Self::flush`] succeeds.
    pub(super) fn is_blocked(&self) -> bool {
        self.outgoing.blocked().is_some()
    }

    /// Ready when any socket has something to read; while something is blocked, when its socket takes datagrams again.
    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(source) = self.outgoing.blocked() {
            return match self.sockets.iter().find(|socket| socket.local == source) {
                Some(socket) => socket.io.poll_writable(context).map(|_| ()),
                None => Poll::Ready(()),
            };
        }
        let mut ready = false;
        for socket in &self.sockets {
            ready |= socket.io.poll_readable(context).is_ready(); // registers for all of them
        }
        if ready { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Socket {
    fn bind(place: Place, port: u16) -> io::Result<Self> {
        let io = Async::<UdpSocket>::bind(place.with_port(port))?;
        let asked = sockopt::set_socket_recv_buffer_size(&io, SOCKET_BUFFER_BYTES)
            .and_then(|()| sockopt::set_socket_send_buffer_size(&io, SOCKET_BUFFER_BYTES));
        if let Err(error) = asked {
            debug!(address:% = place.ip, error:% = error; "socket buffers stay as they are");
        }
        let fragments = path_mtu::mode(&io);
        let offload = UdpSocketState::new((&io).into())?;
        path_mtu::restore(&io, fragments);
        Ok(Self { local: scope::without(io.get_ref().local_addr()?), place, io, offload })
    }
}

/// `quinn-udp` forbids fragments and has the kernel ignore what it learns of the path's MTU, since QUIC finds it out by itself. Nobody
/// does that here: DTLS records of some 1200 bytes would never cross a narrower IPv4 path. (No IPv6 path is: RFC 8200 §5.)
#[cfg(any(target_os = "linux", target_os = "android"))]
mod path_mtu {
    use rustix::net::sockopt::{self, Ipv4PathMtuDiscovery};

    use super::{Async, UdpSocket, debug};

    pub(super) fn mode(io: &Async<UdpSocket>) -> rustix::io::Result<Ipv4PathMtuDiscovery> {
        sockopt::ip_mtu_discover(io)
    }

    pub(super) fn restore(io: &Async<UdpSocket>, mode: rustix::io::Result<Ipv4PathMtuDiscovery>) {
        if let Err(error) = mode.and_then(|mode| sockopt::set_ip_mtu_discover(io, mode)) {
            debug!(error:% = error; "path MTU discovery stays off");
        }
    }
}

impl Wire for Vec<Socket> {
    fn max_segments(&self, source: SocketAddr) -> usize {
        self.iter()
            .find(|socket| socket.local == source)
            .map_or(1, |socket| socket.offload.max_gso_segments())
    }

    fn send(&self, source: SocketAddr, destination: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        let Socket { io, place, .. } = socket_of(self, source)?;
        io.get_ref().send_to(bytes, scope::with(*place, destination)?).map(|_| ())
    }

    fn send_batch(
        &self,
        source: SocketAddr,
        destination: SocketAddr,
        bytes: &[u8],
        segment: usize,
    ) -> io::Result<()> {
        let Socket { io, offload, place, .. } = socket_of(self, source)?;
        let destination = scope::with(*place, destination)?;
        let transmit =
            Transmit { destination, ecn: None, contents: bytes, segment_size: Some(segment), src_ip: None };
        offload.try_send(io.into(), &transmit)
    }
}

fn socket_of(sockets: &[Socket], source: SocketAddr) -> io::Result<&Socket> {
    sockets.iter().find(|socket| socket.local == source).ok_or(io::ErrorKind::AddrNotAvailable.into())
}

#[cfg(test)]
mod tests;
