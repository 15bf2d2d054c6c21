//! The sockets data travels on: one per usable address, so that every packet leaves from the address ICE chose.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::task::{Context, Poll};

use log::{debug, warn};
use rustix::net::sockopt;
use smol::Async;

/// Asked of the kernel for each direction; it may give less. Default buffers lose packets in bursts, and a lost last packet of
/// a burst costs a second.
const SOCKET_BUFFER_BYTES: usize = 1024 * 1024;

/// Larger than any datagram a data channel uses (its path MTU is at most 1500), so a longer one is not ours.
const DATAGRAM_BYTES: usize = 2048;

#[derive(Debug)]
pub(super) struct Sockets {
    sockets: Vec<(SocketAddr, Async<UdpSocket>)>,
    buffer: Box<[u8]>,
    /// Where the next round of reading begins, so that a busy socket cannot starve another.
    next: usize,
    oversized: u64,
    unsent: u64,
}

/// What became of a datagram.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// It is out, or it is lost as datagrams may be.
    Done,
    /// The kernel has no room; try again when [`Sockets::poll_writable`] says so.
    Blocked,
}

impl Sockets {
    /// Binds a socket to each address, on any free port.
    ///
    /// # Errors
    /// When not one of them can be bound.
    pub(super) fn bind(addresses: &[IpAddr]) -> io::Result<Self> {
        let mut sockets = Vec::with_capacity(addresses.len());
        let mut failure = None;
        for ip in addresses {
            match bind(*ip) {
                Ok(bound) => sockets.push(bound),
                Err(error) => {
                    warn!(address:% = ip, error:% = error; "address not usable");
                    failure = Some(error);
                }
            }
        }
        match (sockets.is_empty(), failure) {
            (true, Some(error)) => Err(error),
            _ => {
                Ok(Self { sockets, buffer: vec![0; DATAGRAM_BYTES].into(), next: 0, oversized: 0, unsent: 0 })
            }
        }
    }

    /// Closes the sockets whose address is gone and opens one for each that is new. The others stay as they are, ports
    /// included. Says whether anything changed.
    pub(super) fn follow(&mut self, addresses: &[IpAddr]) -> bool {
        let before = self.sockets.len();
        self.sockets.retain(|(local, _)| addresses.contains(&local.ip()));
        let mut changed = self.sockets.len() != before;
        for ip in addresses {
            if self.sockets.iter().any(|(local, _)| local.ip() == *ip) {
                continue;
            }
            match bind(*ip) {
                Ok(bound) => {
                    self.sockets.push(bound);
                    changed = true;
                }
                // IPv6 addresses cannot be used before the kernel has checked that nobody else has them; it tells when it has.
                Err(error) => debug!(address:% = ip, error:% = error; "address not usable now"),
            }
        }
        changed
    }

    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().map(|(address, _)| *address).collect()
    }

    /// Reads up to `limit` datagrams without waiting and hands each to `take(source, destination, bytes)`. Says how many.
    pub(super) fn receive(
        &mut self,
        limit: usize,
        mut take: impl FnMut(SocketAddr, SocketAddr, &[u8]),
    ) -> usize {
        let mut count = 0;
        for turn in 0..self.sockets.len() {
            let index = (self.next + turn) % self.sockets.len();
            let Some((local, socket)) = self.sockets.get(index) else { continue };
            while count < limit {
                match socket.get_ref().recv_from(&mut self.buffer) {
                    Ok((len, _)) if len == self.buffer.len() => self.oversized += 1,
                    Ok((len, source)) => {
                        let bytes = self.buffer.get(..len).unwrap_or_default();
                        take(source, *local, bytes);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => {
                        debug!(local:% = local, error:% = error; "receive failed");
                        break;
                    }
                }
                count += 1;
            }
        }
        self.next = self.next.wrapping_add(1);
        count
    }

    /// Sends a datagram from the socket that has the address `source`.
    pub(super) fn send(&mut self, source: SocketAddr, destination: SocketAddr, bytes: &[u8]) -> Sent {
        let Some((_, socket)) = self.sockets.iter().find(|(local, _)| *local == source) else {
            self.unsent += 1;
            return Sent::Done;
        };
        match socket.get_ref().send_to(bytes, destination) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Sent::Blocked,
            Err(error) => {
                self.unsent += 1;
                // Unreachable networks are normal while ICE tries its pairs.
                debug!(destination:% = destination, error:% = error, unsent = self.unsent; "send failed");
                Sent::Done
            }
            Ok(_) => Sent::Done,
        }
    }

    /// Ready when any socket has something to read. Registers for all of them.
    pub(super) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut ready = false;
        for (_, socket) in &self.sockets {
            ready |= socket.poll_readable(context).is_ready();
        }
        if ready { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Ready when the socket with the address `source` takes datagrams again.
    pub(super) fn poll_writable(&self, source: SocketAddr, context: &mut Context<'_>) -> Poll<()> {
        match self.sockets.iter().find(|(local, _)| *local == source) {
            Some((_, socket)) => socket.poll_writable(context).map(|_| ()),
            None => Poll::Ready(()),
        }
    }
}

fn bind(ip: IpAddr) -> io::Result<(SocketAddr, Async<UdpSocket>)> {
    let socket = Async::<UdpSocket>::bind((ip, 0))?;
    let asked = sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BUFFER_BYTES)
        .and_then(|()| sockopt::set_socket_send_buffer_size(&socket, SOCKET_BUFFER_BYTES));
    if let Err(error) = asked {
        debug!(address:% = ip, error:% = error; "socket buffers stay as they are");
    }
    Ok((socket.get_ref().local_addr()?, socket))
}
