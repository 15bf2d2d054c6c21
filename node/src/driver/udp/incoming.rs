//! Datagrams on their way in. The kernel gives several of one sender and size as one message (generic receive offload, GRO),
//! and several messages at once.
//!
//! Owns: what was received and not handed over yet. Does not own: sockets.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;

use log::debug;
use quinn_udp::RecvMeta;

use super::scope;

/// Larger than any datagram a data channel uses (its path MTU is at most 1500), so a longer one is not ours.
const DATAGRAM_BYTES: usize = 2048;

/// Room for one message: no UDP payload is longer, however many datagrams it is put together from, so none is cut.
const MESSAGE_BYTES: usize = 64 * 1024;

/// Messages per read. The buffer is large enough to come zeroed from the kernel, so that only what is ever written to is resident: all
/// of it with a sender of full batches, a few pages otherwise.
const MESSAGES: usize = 3;

#[derive(Debug)]
pub(super) struct Incoming {
    buffer: Box<[u8]>,
    message_bytes: usize,
    /// Where what is in the buffer was sent to.
    local: SocketAddr,
    metas: [RecvMeta; MESSAGES],
    /// How many of `metas` are filled.
    messages: usize,
    /// The first one with something in it that was not handed over, and where that begins.
    message: usize,
    offset: usize,
    pub(super) oversized: u64,
}

impl Incoming {
    pub(super) fn new() -> Self {
        Self::with_message_bytes(MESSAGE_BYTES)
    }

    pub(super) fn with_message_bytes(message_bytes: usize) -> Self {
        Self {
            buffer: vec![0; message_bytes * MESSAGES].into(),
            message_bytes,
            local: SocketAddr::from(([0; 4], 0)),
            metas: [RecvMeta::default(); MESSAGES],
            messages: 0,
            message: 0,
            offset: 0,
            oversized: 0,
        }
    }

    /// Takes what `read` puts into the buffers, as received at `local`. Says whether there was anything. To be called only when all that
    /// came before is handed over.
    pub(super) fn fill(
        &mut self,
        local: SocketAddr,
        read: impl FnOnce(&mut [IoSliceMut<'_>], &mut [RecvMeta]) -> io::Result<usize>,
    ) -> io::Result<bool> {
        let mut chunks = self.buffer.chunks_exact_mut(self.message_bytes);
        let mut slices: [IoSliceMut<'_>; MESSAGES] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        (self.local, self.message, self.offset, self.messages) = (local, 0, 0, 0);
        self.messages = read(&mut slices, &mut self.metas)?;
        Ok(self.messages > 0)
    }

    /// Hands over up to `limit` datagrams as `take(source, destination, bytes)`. Says how many.
    pub(super) fn hand_over(
        &mut self,
        limit: usize,
        take: &mut impl FnMut(SocketAddr, SocketAddr, &[u8]),
    ) -> usize {
        let mut count = 0;
        while count < limit && self.message < self.messages {
            let start = self.message * self.message_bytes;
            let message = self.buffer.get(start..start + self.message_bytes).unwrap_or_default();
            let Some(meta) = self.metas.get(self.message) else { break };
            let end = meta.len.min(message.len());
            let next = self.offset.saturating_add(meta.stride).min(end);
            let datagram = message.get(self.offset..next).unwrap_or_default();
            // One that ends where the buffer does may have been cut.
            if datagram.len() > DATAGRAM_BYTES || next == message.len() {
                self.oversized += 1;
                debug!(source:% = meta.addr, oversized = self.oversized; "datagram too long");
            } else {
                take(scope::without(meta.addr), self.local, datagram);
            }
            count += 1;
            // A message of no bytes is a datagram of none.
            if next == end || next == self.offset {
                (self.message, self.offset) = (self.message + 1, 0);
            } else {
                self.offset = next;
            }
        }
        count
    }
}
