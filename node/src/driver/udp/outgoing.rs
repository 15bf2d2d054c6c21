//! Datagrams on their way out. Those of one size to one destination leave together, in one system call (generic
//! segmentation offload, GSO): the kernel then routes and accounts them once, not once each.
//!
//! Owns: what travels together, and what waits while the kernel has no room. Does not own: sockets.

use std::io;
use std::net::SocketAddr;

use log::debug;

/// The most that one send may carry: what is left of an IPv4 packet's 65 535 bytes (RFC 791 §3.1) after the IP and UDP headers.
const BATCH_BYTES: usize = 65_535 - 20 - 8;

/// What became of what was to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::driver) enum Sent {
    /// It is out, or it is lost as datagrams may be.
    Done,
    /// The kernel has no room; flush again when the socket is writable.
    Blocked,
}

/// What datagrams leave through.
pub(super) trait Wire {
    /// How many datagrams [`Self::send_batch`] takes at once from this source now; 1 if it takes none.
    fn max_segments(&self, source: SocketAddr) -> usize;

    fn send(&self, source: SocketAddr, destination: SocketAddr, bytes: &[u8]) -> io::Result<()>;

    /// Sends datagrams of `segment` bytes each, the last one of at most that: all of them or none.
    fn send_batch(
        &self,
        source: SocketAddr,
        destination: SocketAddr,
        bytes: &[u8],
        segment: usize,
    ) -> io::Result<()>;
}

#[derive(Debug)]
struct Datagram {
    source: SocketAddr,
    destination: SocketAddr,
    bytes: Vec<u8>,
}

/// Datagrams that leave together. Reused, so that its memory is got only once.
#[derive(Debug)]
struct Batch {
    source: SocketAddr,
    destination: SocketAddr,
    bytes: Vec<u8>,
    /// There is something to send, if only a datagram of no bytes.
    waiting: bool,
    /// How much of `bytes` is out already; only when they leave one by one.
    sent: usize,
    /// The size of the first datagram, and of all others but a shorter last one.
    segment: usize,
    /// Bytes it may grow to.
    limit: usize,
    /// The kernel refused it as one.
    one_by_one: bool,
}

/// At most one batch, and while it is blocked the one datagram that did not belong to it.
#[derive(Debug)]
pub(super) struct Outgoing {
    batch: Batch,
    next: Option<Datagram>,
    blocked: bool,
    pub(super) unsent: u64,
}

impl Batch {
    /// Whether a datagram may join. A shorter one than the first ends the batch, and one of no bytes would vanish in it.
    fn takes(&self, source: SocketAddr, destination: SocketAddr, bytes: &[u8]) -> bool {
        self.waiting
            && !bytes.is_empty()
            && bytes.len() <= self.segment
            && self.bytes.len() + bytes.len() <= self.limit
            && self.bytes.len().is_multiple_of(self.segment)
            && self.destination == destination
            && self.source == source
    }

    fn begin(&mut self, datagram: &Datagram, max_segments: usize) {
        (self.source, self.destination) = (datagram.source, datagram.destination);
        self.bytes.clear();
        self.bytes.extend_from_slice(&datagram.bytes);
        (self.waiting, self.sent, self.one_by_one) = (true, 0, false);
        self.segment = datagram.bytes.len();
        self.limit = self.segment.saturating_mul(max_segments).min(BATCH_BYTES);
    }

    fn transmit(&mut self, wire: &impl Wire, unsent: &mut u64) -> Sent {
        if !self.waiting {
            return Sent::Done;
        }
        if !self.one_by_one && self.bytes.len() > self.segment {
            match wire.send_batch(self.source, self.destination, &self.bytes, self.segment) {
                Ok(()) => {
                    self.waiting = false;
                    return Sent::Done;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Sent::Blocked,
                // A driver without GSO says so only now, and a segment may be too long for the path: neither is a reason to
                // lose all of them.
                Err(error) => {
                    debug!(destination:% = self.destination, error:% = error; "batch refused, sending one by one");
                    self.one_by_one = true;
                }
            }
        }
        while self.waiting {
            let rest = self.bytes.get(self.sent..).unwrap_or_default();
            let datagram = rest.get(..self.segment).unwrap_or(rest);
            match wire.send(self.source, self.destination, datagram) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Sent::Blocked,
                Err(error) => {
                    *unsent += 1;
                    // Unreachable networks are normal while ICE tries its pairs.
                    debug!(destination:% = self.destination, error:% = error, unsent = *unsent; "send failed");
                }
            }
            self.sent += datagram.len();
            self.waiting = self.sent < self.bytes.len();
        }
        Sent::Done
    }
}

impl Outgoing {
    pub(super) fn new() -> Self {
        let nowhere = SocketAddr::from(([0; 4], 0));
        let batch = Batch {
            source: nowhere,
            destination: nowhere,
            bytes: Vec::new(),
            waiting: false,
            sent: 0,
            segment: 0,
            limit: 0,
            one_by_one: false,
        };
        Self { batch, next: None, blocked: false, unsent: 0 }
    }

    /// The source of what the kernel had no room for.
    pub(super) fn blocked(&self) -> Option<SocketAddr> {
        self.blocked.then_some(self.batch.source)
    }

    /// Takes a datagram; it is out after the next [`Self::flush`] at the latest. Not to be called while blocked.
    pub(super) fn push(
        &mut self,
        wire: &impl Wire,
        source: SocketAddr,
        destination: SocketAddr,
        bytes: Vec<u8>,
    ) -> Sent {
        if self.batch.takes(source, destination, &bytes) {
            self.batch.bytes.extend_from_slice(&bytes);
            return Sent::Done;
        }
        let sent = self.flush(wire);
        let datagram = Datagram { source, destination, bytes };
        if sent == Sent::Done {
            self.batch.begin(&datagram, wire.max_segments(source));
        } else if self.next.replace(datagram).is_some() {
            self.unsent += 1;
            debug!(unsent = self.unsent; "a datagram more than there is room for");
        }
        sent
    }

    /// Sends what is there.
    pub(super) fn flush(&mut self, wire: &impl Wire) -> Sent {
        while self.batch.transmit(wire, &mut self.unsent) == Sent::Done {
            let Some(next) = self.next.take() else {
                self.blocked = false;
                return Sent::Done;
            };
            self.batch.begin(&next, 1);
        }
        self.blocked = true;
        Sent::Blocked
    }
}

#[cfg(test)]
mod tests;
