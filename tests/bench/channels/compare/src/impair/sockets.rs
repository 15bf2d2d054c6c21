//! The path on real sockets: one stand-in for each candidate of either end, at the same address, on a port of its own.
//!
//! An end is only ever told the other's stand-ins, and what it receives comes from one: nothing either end sees names the other's
//! own port, so that no connectivity check can find a way past the path.

use std::cell::RefCell;
use std::fs::read_to_string;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::rc::{Rc, Weak};

use rustix::net::sockopt;
use smol::channel::{Receiver, Sender, bounded};
use smol::{Async, LocalExecutor, Task, Timer};

use super::path::{Conditions, Counts, Packet, Path};
use crate::{Outcome, clock};

/// Datagrams read from one socket before the others have their turn.
const READ_BATCH: usize = 64;

/// Asked of the kernel, so that it loses nothing by itself.
const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Larger than any datagram of these stacks.
const DATAGRAM_BYTES: usize = 2048;

/// A path at work. Ends when it is dropped.
pub(crate) struct Sockets {
    inner: Rc<Inner>,
    _clockwork: Task<()>,
}

struct Inner {
    path: RefCell<Path>,
    stand_ins: RefCell<Vec<StandIn>>,
    /// Something is under way again.
    wake: Sender<()>,
    executor: Rc<LocalExecutor<'static>>,
}

struct StandIn {
    real: SocketAddr,
    own: SocketAddr,
    io: Rc<Async<UdpSocket>>,
    _reading: Task<()>,
}

impl Sockets {
    pub(crate) fn new(conditions: Conditions, seed: u64, executor: &Rc<LocalExecutor<'static>>) -> Self {
        let (wake, woken) = bounded(1);
        let inner = Rc::new(Inner {
            path: RefCell::new(Path::new(conditions, seed)),
            stand_ins: RefCell::default(),
            wake,
            executor: Rc::clone(executor),
        });
        let clockwork = executor.spawn(hand_over(Rc::downgrade(&inner), woken));
        Self { inner, _clockwork: clockwork }
    }

    /// The address to tell the other end instead of `real`.
    pub(crate) fn stand_in(&self, real: SocketAddr) -> Outcome<SocketAddr> {
        let mut stand_ins = self.inner.stand_ins.borrow_mut();
        // A signal may be looked at twice; what is replaced already stays.
        if let Some(known) = stand_ins.iter().find(|stand_in| stand_in.real == real || stand_in.own == real) {
            return Ok(known.own);
        }
        let io = Async::<UdpSocket>::bind((real.ip(), 0))?;
        // As much as it gives: what it loses all the same is counted.
        sockopt::set_socket_recv_buffer_size(&io, SOCKET_BUFFER_BYTES).unwrap_or_default();
        sockopt::set_socket_send_buffer_size(&io, SOCKET_BUFFER_BYTES).unwrap_or_default();
        let own = io.get_ref().local_addr()?;
        let io = Rc::new(io);
        let reading = read(Rc::downgrade(&self.inner), Rc::clone(&io), real);
        let reading = self.inner.executor.spawn(reading);
        stand_ins.push(StandIn { real, own, io, _reading: reading });
        Ok(own)
    }

    /// What happened so far, what the kernel lost included.
    pub(crate) fn counts(&self) -> Counts {
        let mut counts = self.inner.path.borrow().counts;
        let ports: Vec<u16> = self.inner.stand_ins.borrow().iter().map(|it| it.own.port()).collect();
        counts.overflowed += kernel_drops("/proc/net/udp", &ports) + kernel_drops("/proc/net/udp6", &ports);
        counts
    }
}

impl Inner {
    /// A datagram from `source` for the end whose address is `to`.
    fn take(&self, source: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let via = self.stand_ins.borrow().iter().position(|stand_in| stand_in.real == source);
        let mut path = self.path.borrow_mut();
        let Some(via) = via else {
            path.counts.strangers += 1;
            return;
        };
        if path.push(clock::now(), Packet { via, to, bytes: bytes.to_vec() }) {
            self.wake.try_send(()).unwrap_or_default(); // full: it is told already
        }
    }

    /// Hands over whatever has arrived.
    fn deliver(&self) {
        let now = clock::now();
        loop {
            let Some(packet) = self.path.borrow_mut().pop(now) else { break };
            let stand_ins = self.stand_ins.borrow();
            let Some(stand_in) = stand_ins.get(packet.via) else { continue };
            match stand_in.io.get_ref().send_to(&packet.bytes, packet.to) {
                Ok(_) => {}
                // Full. A refused one is the last word to an end that has gone.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.path.borrow_mut().counts.overflowed += 1;
                }
                Err(_) => {}
            }
        }
    }
}

async fn read(inner: Weak<Inner>, io: Rc<Async<UdpSocket>>, real: SocketAddr) {
    let mut buffer = [0; DATAGRAM_BYTES];
    while io.readable().await.is_ok() {
        let Some(inner) = inner.upgrade() else { return };
        for _ in 0..READ_BATCH {
            match io.get_ref().recv_from(&mut buffer) {
                Ok((length, source)) => {
                    inner.take(source, real, buffer.get(..length).unwrap_or_default());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // A datagram was sent to an end that had gone.
                Err(_) => {}
            }
        }
        inner.deliver();
        smol::future::yield_now().await;
    }
}

async fn hand_over(inner: Weak<Inner>, woken: Receiver<()>) {
    loop {
        let Some(next) = inner.upgrade().map(|inner| inner.path.borrow().next_at()) else { return };
        match next {
            Some(at) => {
                Timer::at(at).await;
                if let Some(inner) = inner.upgrade() {
                    inner.deliver();
                }
            }
            None if woken.recv().await.is_err() => return,
            None => {}
        }
    }
}

/// What the kernel dropped because these sockets' buffers were full.
fn kernel_drops(table: &str, ports: &[u16]) -> u64 {
    let table = read_to_string(table).unwrap_or_default();
    let lines = table.lines().skip(1).filter_map(|line| {
        let mut words = line.split_whitespace();
        let port = u16::from_str_radix(words.nth(1)?.rsplit(':').next()?, 16).ok()?;
        ports.contains(&port).then(|| words.last()?.parse::<u64>().ok()).flatten()
    });
    lines.sum()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_end_sees_only_the_other_ones_stand_in() {
        let executor = Rc::new(LocalExecutor::new());
        smol::block_on(executor.run(async {
            let rtt_ms = 20;
            let path = Sockets::new(Conditions { loss_percent: 0.0, rtt_ms }, 1, &executor);
            let socket = || Async::<UdpSocket>::bind(([127, 0, 0, 1], 0)).unwrap();
            let [one, other, stranger] = [socket(), socket(), socket()];
            let address = |socket: &Async<UdpSocket>| socket.get_ref().local_addr().unwrap();
            let for_one = path.stand_in(address(&one)).unwrap();
            let for_other = path.stand_in(address(&other)).unwrap();
            assert_eq!(path.stand_in(for_one).unwrap(), for_one, "a signal looked at twice");

            let begun = clock::now();
            stranger.send_to(b"not named in any signal", for_other).await.unwrap();
            one.send_to(b"there", for_other).await.unwrap();
            let mut buffer = [0; 100];
            let (length, from) = other.recv_from(&mut buffer).await.unwrap();
            assert_eq!((&buffer[..length], from), (&b"there"[..], for_one));
            assert!(clock::now() - begun >= Duration::from_millis(rtt_ms) / 2);
            other.send_to(b"back", from).await.unwrap();
            let (length, from) = one.recv_from(&mut buffer).await.unwrap();
            assert_eq!((&buffer[..length], from), (&b"back"[..], for_other));
            assert!(clock::now() - begun >= Duration::from_millis(rtt_ms));
            let want = Counts { packets: 2, bytes: 9, strangers: 1, ..Counts::default() };
            assert_eq!(path.counts(), want);
        }));
    }
}
