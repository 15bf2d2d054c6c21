//! The byte stream that tungstenite reads messages from and writes control frames to.

use std::{
    io::{self, IoSliceMut},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use smol::io::{AsyncRead, AsyncWrite};

use crate::server::{hub::Hub, line::Line};

/// What is read beyond tungstenite's buffer in the same system call. A client that sends a lot is read in few calls, and
/// one that sends little keeps no memory for it.
pub(crate) const READ_AHEAD_BYTES: usize = 16 * 1024;

/// A line as a stream. Data frames do not pass through here: [`Line::flush`] writes them, many at a time. What is
/// written here queues up behind them, so that nothing lands in the middle of a frame.
#[derive(Debug)]
pub(crate) struct LineStream {
    line: Rc<Line>,
    hub: Rc<Hub>,
    /// The last read filled its buffers, so the next one need not wait for the reactor.
    more: bool,
    /// Read ahead, and how much of it has been handed on.
    ahead: Vec<u8>,
    taken: usize,
}

impl LineStream {
    pub(crate) const fn new(hub: Rc<Hub>, line: Rc<Line>) -> Self {
        Self { line, hub, more: true, ahead: Vec::new(), taken: 0 }
    }

    /// Hands on what was read ahead.
    fn take_ahead(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let rest = self.ahead.get(self.taken..).filter(|rest| !rest.is_empty())?;
        let (taken, left) = rest.split_at(rest.len().min(buffer.len()));
        let (place, _) = buffer.split_at_mut(taken.len());
        place.copy_from_slice(taken);
        self.taken += taken.len();
        if left.is_empty() {
            self.ahead = Vec::new();
            self.taken = 0;
        }
        Some(place.len())
    }

    /// Reads into `buffer` and beyond.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut spare = self.hub.read_ahead.borrow_mut();
        let read = self.line.read_vectored(&mut [IoSliceMut::new(buffer), IoSliceMut::new(&mut spare)])?;
        self.more = read == buffer.len() + spare.len();
        let beyond = read.saturating_sub(buffer.len());
        self.ahead.extend_from_slice(spare.get(..beyond).unwrap_or_default());
        Ok(read - beyond)
    }
}

impl AsyncRead for LineStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(taken) = self.take_ahead(buffer) {
            return Poll::Ready(Ok(taken));
        }
        loop {
            // Asking the reactor first spares a system call that finds nothing each time the task is woken to write.
            if !self.more {
                ready!(self.line.poll_readable(cx))?;
            }
            match self.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.more = false,
                done => return Poll::Ready(done),
            }
        }
    }
}

impl AsyncWrite for LineStream {
    fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // A client that sends pings and reads nothing loses pongs when there is no room for them.
        self.line.queue(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What was queued is written as the socket takes it; the connection's task sees to that.
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.line.shut_down();
        Poll::Ready(Ok(()))
    }
}
