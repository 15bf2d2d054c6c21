//! A client in the same process.

use std::{
    fmt,
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use thiserror::Error;

use crate::{
    access::Origin,
    close::CloseReason,
    id::ConnectionId,
    io::Input,
    server::{hub::Hub, line::Line},
};

/// The router has ended the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the router closed the connection: {}", .0.text())]
pub struct Closed(pub CloseReason);

/// A connection without a socket. It says HELLO and is bounded like every other, and counts as one from this machine; it
/// is not pinged. Dropping it disconnects.
pub struct LocalSession {
    hub: Rc<Hub>,
    line: Rc<Line>,
}

impl fmt::Debug for LocalSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSession").field("id", &self.line.id).finish_non_exhaustive()
    }
}

impl LocalSession {
    pub(crate) fn new(hub: Rc<Hub>, origin: Origin) -> Self {
        let line = hub.open(None, origin);
        line.upgraded.set(true);
        Self { hub, line }
    }

    pub(crate) fn id(&self) -> ConnectionId {
        self.line.id
    }

    /// Hands one frame to the router, which works it off before this returns.
    pub fn send(&self, frame: Bytes) -> Result<(), Closed> {
        if let Some(reason) = self.line.closing.get() {
            return Err(Closed(reason));
        }
        self.hub.apply(Input::Frame { connection: self.line.id, frame });
        Ok(())
    }

    /// The next frame from the router; none when it has ended the connection and everything is read. One task may wait
    /// at a time. Giving up waiting loses nothing.
    pub async fn recv(&self) -> Option<Bytes> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Why the router has ended the connection, if it has.
    #[must_use]
    pub fn closed(&self) -> Option<Closed> {
        self.line.closing.get().map(Closed)
    }

    fn poll_recv(&self, cx: &Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if let Some(frame) = self.hub.take_frame(&self.line) {
                return Poll::Ready(Some(frame));
            }
            if self.line.closing.get().is_some() {
                return Poll::Ready(None);
            }
            if self.line.notify.poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl Drop for LocalSession {
    fn drop(&mut self) {
        self.hub.close(&self.line);
    }
}
