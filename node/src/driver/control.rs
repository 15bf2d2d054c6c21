//! The control socket: how commands on the same machine talk to the node that runs there.
//!
//! A Unix socket for this user and root. Requests and answers are JSON, one object a line, any number of them on one connection:
//! `{"cmd":"status"}` is answered with `{"ok":…}`, and what cannot be done with `{"error":"…"}`. Everything about it is bounded,
//! and nobody on it can hold up the node: each connection is a task of its own.
//!
//! `ping`, `send`, `recv` and `logs` tell how it goes in lines of their own, `{"event":…}`, before the last one, and have the connection
//! to themselves. Data travels in pieces between the lines: `{"data":N}` and N bytes. Who does not read is not sent more than the
//! socket holds, and what would come next waits where it comes from: at the peer, or at the end of a pipe.

mod client;
mod connection;
mod frames;
mod place;
mod requests;
mod streams;

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use log::{debug, warn};
use smol::{Async, LocalExecutor, Task, Timer};

pub use client::{AskError, Conversation, ask, ask_patiently};
pub use frames::{Frame, FrameReader, write_line, write_piece};
pub use place::Place;
use place::PlaceError;

use super::service::Service;
use super::tokens::TokenDesk;
use crate::limits::MAX_CONTROL_CONNECTIONS;

/// After a failed accept, such as one for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// Another node has it.
    #[error("another node that runs here has the control socket {0}; choose one with --control PATH")]
    InUse(PathBuf),
    /// It is where something else is.
    #[error("{0} is not a socket, and is left alone")]
    NotASocket(PathBuf),
    /// There is no safe place for it.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// It cannot be opened.
    #[error("cannot open the control socket {path}: {error}")]
    Io {
        /// Where.
        path: PathBuf,
        /// How it failed.
        error: io::Error,
    },
}

/// A control socket that is open, and nobody else's. It is removed when dropped.
#[derive(Debug)]
pub struct Control {
    listener: Async<UnixListener>,
    path: PathBuf,
    /// Held for as long as the socket is in use, so that a dead process's is told from a living one's.
    _lock: File,
    tokens: Option<Rc<TokenDesk>>,
}

impl Control {
    /// Opens the socket. What a dead process has left in its place is removed.
    ///
    /// # Errors
    /// [`ControlError::InUse`] when another node has it, and when it cannot be opened there.
    pub fn bind(place: &Place) -> Result<Self, ControlError> {
        let path = place.prepare()?;
        let io = |error| ControlError::Io { path: path.clone(), error };
        let mut lock_path = path.clone().into_os_string();
        lock_path.push(".lock");
        let mut options = File::options();
        let lock =
            options.write(true).create(true).truncate(false).mode(0o600).open(lock_path).map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ControlError::InUse(path)),
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        match std::fs::symlink_metadata(&path) {
            Ok(found) if !found.file_type().is_socket() => return Err(ControlError::NotASocket(path)),
            // Somebody else's program, if anybody answers.
            Ok(_) if UnixStream::connect(&path).is_ok() => return Err(ControlError::InUse(path)),
            Ok(_) => std::fs::remove_file(&path).map_err(io)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io(error)),
        }
        let listener = UnixListener::bind(&path).map_err(io)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(io)?;
        let listener = Async::new(listener).map_err(io)?;
        Ok(Self { listener, path, _lock: lock, tokens: None })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Answers what is asked of tokens, too.
    #[must_use]
    pub fn with_tokens(mut self, tokens: Rc<TokenDesk>) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// Answers requests until the node has stopped, or this is dropped.
    pub async fn serve(self, service: Service, executor: Rc<LocalExecutor<'static>>) {
        let mut connections: Vec<Task<()>> = Vec::new();
        let streams = streams::Places::default();
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    warn!("control socket: {error}");
                    Timer::after(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            if !is_allowed(&stream) {
                continue;
            }
            connections.retain(|connection| !connection.is_finished());
            let has_room = connections.len() < MAX_CONTROL_CONNECTIONS;
            let (service, streams, tokens) = (service.clone(), streams.clone(), self.tokens.clone());
            let carry = async move {
                let result = if has_room {
                    connection::carry(&stream, &service, &streams, tokens.as_deref()).await
                } else {
                    connection::decline(&stream).await
                };
                if let Err(error) = result {
                    debug!("control connection: {error}");
                }
            };
            if has_room {
                connections.push(executor.spawn(carry));
            } else {
                carry.await; // one write into an empty buffer, which does not wait
            }
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            debug!(path:% = self.path.display(); "control socket not removed: {error}");
        }
    }
}

/// Whether whoever is at the other end may give orders: the user the node runs as, and root.
#[cfg(target_os = "linux")]
fn is_allowed(stream: &Async<UnixStream>) -> bool {
    let own = rustix::process::geteuid();
    match rustix::net::sockopt::socket_peercred(stream) {
        Ok(peer) if peer.uid == own || peer.uid.is_root() => true,
        Ok(peer) => {
            warn!(uid = peer.uid.as_raw(); "control socket: refused another user");
            false
        }
        Err(error) => {
            warn!("control socket: cannot tell who asks: {error}");
            false
        }
    }
}

/// The permissions of the socket and its directory decide.
#[cfg(not(target_os = "linux"))]
fn is_allowed(_: &Async<UnixStream>) -> bool {
    true
}

#[cfg(test)]
mod tests;
