//! The byte stream that tungstenite reads messages from and writes control frames to.

use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use smol::io::{AsyncRead, AsyncWrite};

use crate::server::line::Line;

/// A line as a stream. Data frames do not pass through here: [`Line::flush`] writes them, many at a time. What is
/// written here queues up behind them, so that nothing lands in the middle of a frame.
#[derive(Debug)]
pub(crate) struct LineStream {
    line: Rc<Line>,
    /// The last read filled its buffer, so the next one need not wait for the reactor.
    more: bool,
}

impl LineStream {
    pub(crate) const fn new(line: Rc<Line>) -> Self {
        Self { line, more: true }
    }
}

impl AsyncRead for LineStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            // Asking the reactor first spares a system call that finds nothing each time the task is woken to write.
            if !self.more {
                ready!(self.line.poll_readable(cx))?;
            }
            match self.line.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.more = false,
                Ok(read) => {
                    self.more = read == buffer.len() || read == 0;
                    return Poll::Ready(Ok(read));
                }
                Err(error) => return Poll::Ready(Err(error)),
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
