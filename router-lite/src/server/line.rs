//! One client as the driver sees it: a socket with what is half written, or a queue to another task of this process.

use std::{
    cell::{Cell, RefCell},
    fmt,
    io::{self, IoSliceMut, Read, Write},
    net::{Shutdown, TcpStream},
    task::{Context, Poll, ready},
};

use clasp_wire::limits::MAX_FRAME_BYTES;
use smol::Async;

use crate::{close::CloseReason, id::ConnectionId, router::Router, server::notify::Notify};

/// The largest head of a WebSocket frame from a server.
const WS_HEAD_BYTES: usize = 10;

/// At most this much is put together for one write: at least one frame of the largest size, and enough small ones
/// to make the system call cheap. What the socket does not take of it waits in [`Line::unsent`], whose bound this is.
pub(crate) const WRITE_BATCH_BYTES: usize = MAX_FRAME_BYTES + WS_HEAD_BYTES;

/// Room above that for control frames (pongs, Close): 3 of the largest and some small ones.
const CONTROL_BYTES: usize = 512;

/// See the module.
pub(crate) struct Line {
    pub(crate) id: ConnectionId,
    socket: Option<Async<TcpStream>>,
    /// Bytes put together and not taken by the socket yet.
    unsent: RefCell<Vec<u8>>,
    /// The socket takes no more for now; its task waits until it does.
    pub(crate) blocked: Cell<bool>,
    /// The core thinks that the socket is blocked.
    stalled: Cell<bool>,
    /// The WebSocket handshake is done: frames may be written.
    pub(crate) upgraded: Cell<bool>,
    /// In the list of lines to be flushed.
    pub(crate) dirty: Cell<bool>,
    pub(crate) ping_wanted: Cell<bool>,
    pub(crate) closing: Cell<Option<CloseReason>>,
    /// Wakes the line's task.
    pub(crate) notify: Notify,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("id", &self.id).field("closing", &self.closing).finish_non_exhaustive()
    }
}

/// What the core should know after an attempt to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// Nothing new.
    Quietly,
    /// The socket, which had taken nothing for a while, took everything.
    Recovered,
    /// The socket takes no more for now; it did take something before.
    Slowly,
    /// The socket takes no more for now, and took nothing.
    Not,
}

impl Line {
    pub(crate) fn new(id: ConnectionId, socket: Option<Async<TcpStream>>) -> Self {
        Self {
            id,
            socket,
            unsent: RefCell::default(),
            blocked: Cell::new(false),
            stalled: Cell::new(false),
            upgraded: Cell::new(false),
            dirty: Cell::new(false),
            ping_wanted: Cell::new(false),
            closing: Cell::new(None),
            notify: Notify::default(),
        }
    }

    /// Writes what waits for this client, many frames at a time, until nothing is left or the socket takes no more.
    pub(crate) fn flush(&self, router: &mut Router, batch: &mut Vec<u8>) -> Flushed {
        if self.socket.is_none() {
            self.notify.notify();
            return Flushed::Quietly;
        }
        if !self.upgraded.get() || self.blocked.get() {
            return Flushed::Quietly;
        }
        let mut progress = false;
        while self.is_drained() || {
            progress |= self.write_unsent();
            self.is_drained()
        } {
            batch.clear();
            while let Some(frame) = room(batch).and_then(|room| router.poll_transmit(self.id, room)) {
                put_head(frame.len(), batch);
                batch.extend_from_slice(&frame);
            }
            if batch.is_empty() {
                break;
            }
            let taken = self.write(batch);
            progress |= taken > 0;
            self.unsent.borrow_mut().extend_from_slice(batch.get(taken..).unwrap_or_default());
        }
        match (self.blocked.get(), progress, self.stalled.replace(self.blocked.get())) {
            (false, _, false) => Flushed::Quietly,
            (false, _, true) => Flushed::Recovered,
            (true, true, _) => Flushed::Slowly,
            (true, false, _) => Flushed::Not,
        }
    }

    /// Queues bytes that are not frames (HTTP, control frames) behind what is half written. False if there is no room.
    pub(crate) fn queue(&self, bytes: &[u8]) -> bool {
        let mut unsent = self.unsent.borrow_mut();
        if unsent.len() + bytes.len() > WRITE_BATCH_BYTES + CONTROL_BYTES {
            return false;
        }
        unsent.extend_from_slice(bytes);
        drop(unsent);
        if !self.blocked.get() {
            self.write_unsent();
        }
        true
    }

    /// Whether nothing is half written.
    pub(crate) fn is_drained(&self) -> bool {
        self.unsent.borrow().is_empty()
    }

    /// Ready when a blocked socket takes bytes again.
    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(socket) = &self.socket {
            // An error shows with the next write.
            drop(ready!(socket.poll_writable(cx)));
        }
        self.blocked.set(false);
        Poll::Ready(())
    }

    /// Reads when the reactor says that there is something.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.as_ref().map_or(Poll::Ready(Ok(())), |socket| socket.poll_readable(cx))
    }

    /// Reads without waiting.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_vectored(&mut [IoSliceMut::new(buffer)])
    }

    /// Reads into several buffers, one after the other, without waiting.
    pub(crate) fn read_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let Some(socket) = &self.socket else { return Ok(0) };
        loop {
            match socket.get_ref().read_vectored(buffers) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    /// No more will be written.
    pub(crate) fn shut_down(&self) {
        if let Some(socket) = &self.socket {
            // It may be gone already, which is what we want.
            drop(socket.get_ref().shutdown(Shutdown::Write));
        }
    }

    fn write_unsent(&self) -> bool {
        let mut unsent = self.unsent.borrow_mut();
        let taken = self.write(&unsent);
        if taken == unsent.len() {
            // An idle client costs no memory for what it was once sent.
            *unsent = Vec::new();
        } else {
            unsent.drain(..taken);
        }
        taken > 0
    }

    /// Writes without waiting; returns how much was taken. A broken socket counts as one that takes everything: its task
    /// learns from reading that it is gone.
    fn write(&self, bytes: &[u8]) -> usize {
        let Some(socket) = &self.socket else { return bytes.len() };
        let mut taken = 0;
        while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            match socket.get_ref().write(rest) {
                Ok(0) => return bytes.len(),
                Ok(n) => taken += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked.set(true);
                    self.notify.notify();
                    return taken;
                }
                Err(_) => return bytes.len(),
            }
        }
        taken
    }
}

/// How long a frame may be to fit what is left of a batch.
fn room(batch: &[u8]) -> Option<usize> {
    WRITE_BATCH_BYTES.checked_sub(batch.len() + WS_HEAD_BYTES)
}

/// The head of an unmasked binary message in one WebSocket frame (RFC 6455 §5.2).
fn put_head(len: usize, out: &mut Vec<u8>) {
    const FINAL_BINARY: u8 = 0x82;
    out.push(FINAL_BINARY);
    if let Ok(short) = u8::try_from(len)
        && short < 126
    {
        out.push(short);
    } else if let Ok(medium) = u16::try_from(len) {
        out.push(126);
        out.extend_from_slice(&medium.to_be_bytes());
    } else {
        out.push(127);
        out.extend_from_slice(&(len as u64).to_be_bytes());
    }
}
