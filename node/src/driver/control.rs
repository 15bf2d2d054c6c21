//! The control socket: how commands on the same machine talk to the node that runs there.
//!
//! A Unix socket for this user and root. Requests and answers are JSON, one object a line, any number of them on one connection:
//! `{"cmd":"status"}` is answered with `{"ok":…}`, and what cannot be done with `{"error":"…"}`. Everything about it is bounded,
//! and nobody on it can hold up the node: each connection is a task of its own.

mod place;

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use log::{debug, warn};
use router_lite::TokenScope;
use serde::Deserialize;
use serde_json::{Value, json};
use smol::future::FutureExt;
use smol::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use smol::{Async, LocalExecutor, Task, Timer};

pub use place::Place;
use place::PlaceError;

use super::handle::NodeHandle;
use super::meet::meet;
use super::tokens::TokenDesk;
use crate::limits::{CONTROL_DEADLINE, MAX_CONTROL_CONNECTIONS, MAX_CONTROL_REQUEST_BYTES};
use crate::pairing::{Known, WINDOW};

/// More than any answer has.
const MAX_ANSWER_BYTES: u64 = 1024 * 1024;

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
    pub async fn serve(self, node: NodeHandle, executor: Rc<LocalExecutor<'static>>) {
        let mut connections: Vec<Task<()>> = Vec::new();
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
            let (node, tokens) = (node.clone(), self.tokens.clone());
            let carry = async move {
                let result = if has_room {
                    carry(&stream, &node, tokens.as_deref()).await
                } else {
                    decline(&stream).await
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

/// What can be asked for.
#[derive(Debug, Deserialize)]
#[serde(tag = "cmd", rename_all = "snake_case")]
enum Request {
    /// How the node is.
    Status,
    /// The devices that are known.
    Discover,
    /// Show a code for so long.
    PairShow { seconds: Option<u64> },
    /// The code is good no more.
    PairHide,
    /// Wait for the end of the next pairing.
    PairWait,
    /// Pair with a peer that shows this code.
    Pair { peer: String, code: String },
    /// The paired devices.
    Pairs,
    /// Forget one of them.
    Forget { name: String },
    /// Call one of them by another name.
    Rename { name: String, to: String },
    /// Make a token for the router in the node.
    TokenAdd { name: String, scopes: Vec<String> },
    /// Its tokens.
    TokenList,
    /// Take one of them back.
    TokenRevoke { name: String },
}

/// Carries out a request.
async fn answer(request: Request, node: &NodeHandle, tokens: Option<&TokenDesk>) -> Result<Value, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let desk = || tokens.ok_or_else(|| "this node has no router of its own, or keeps no tokens".to_owned());
    match request {
        Request::Status => {
            let status = node.status().await.map_err(|error| text(&error))?;
            serde_json::to_value(status).map_err(|error| text(&error))
        }
        Request::Discover => value(node.devices().await),
        Request::PairShow { seconds } => {
            let lasts = seconds.map_or(WINDOW, Duration::from_secs);
            value(node.show_code(lasts).await)
        }
        Request::PairHide => value(node.hide_code().await),
        Request::PairWait => value(node.paired().await),
        Request::Pair { peer, code } => pair(node, &peer, &code).await,
        Request::Pairs => value(node.pairs().await),
        Request::Forget { name } => value(node.forget(&name).await),
        Request::Rename { name, to } => value(node.rename(&name, &to).await),
        Request::TokenAdd { name, scopes } => {
            let scopes: Result<Vec<TokenScope>, _> = scopes.iter().map(|scope| scope.parse()).collect();
            value(desk()?.add(&name, &scopes.map_err(|error| text(&error))?))
        }
        Request::TokenList => value(Ok::<_, String>(desk()?.list())),
        Request::TokenRevoke { name } => value(desk()?.revoke(&name)),
    }
}

fn value<T: serde::Serialize, E: std::fmt::Display>(result: Result<T, E>) -> Result<Value, String> {
    let value = result.map_err(|error| error.to_string())?;
    serde_json::to_value(value).map_err(|error| error.to_string())
}

/// Pairs with the one device of that name, device id, session or address that shows a code.
async fn pair(node: &NodeHandle, wanted: &str, code: &str) -> Result<Value, String> {
    let (known, device) = Known::read(code).map_err(|error| error.to_string())?;
    let peer = meet(node, wanted).await?;
    let device = device.or_else(|| wanted.parse().ok());
    value(node.pair(peer.router, &peer.session, known, device).await)
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

async fn decline(mut stream: &Async<UnixStream>) -> io::Result<()> {
    let why = format!("{MAX_CONTROL_CONNECTIONS} commands are talking to this node already");
    deadline(stream.write_all(line(&json!({ "error": why })).as_bytes())).await
}

async fn carry(stream: &Async<UnixStream>, node: &NodeHandle, tokens: Option<&TokenDesk>) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(MAX_CONTROL_REQUEST_BYTES, stream);
    let mut writer = stream;
    let mut request = Vec::new();
    loop {
        request.clear();
        let mut limited = (&mut reader).take(MAX_CONTROL_REQUEST_BYTES as u64);
        let length = deadline(limited.read_until(b'\n', &mut request)).await?;
        if length == 0 {
            return Ok(()); // no more questions
        }
        let is_whole = request.ends_with(b"\n");
        let answered = match serde_json::from_slice(&request) {
            _ if !is_whole => {
                Err(format!("a request is a line of at most {MAX_CONTROL_REQUEST_BYTES} bytes"))
            }
            Ok(request) => answer(request, node, tokens).await,
            Err(error) => Err(format!("not a request: {error}")),
        };
        let answered = match answered {
            Ok(value) => json!({ "ok": value }),
            Err(why) => json!({ "error": why }),
        };
        deadline(writer.write_all(line(&answered).as_bytes())).await?;
        if !is_whole {
            return Ok(()); // what follows is the rest of it
        }
    }
}

/// Why a node that runs was not asked, or did not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// There is none.
    #[error("no clasp-node runs here: nothing listens on {}; `clasp-node run` starts one", .0.display())]
    NotRunning(PathBuf),
    /// There is no safe place where one could be.
    #[error("no clasp-node runs here: {0}")]
    Place(#[from] PlaceError),
    /// It belongs to somebody else, most likely.
    #[error("cannot ask the node on {path}: {error}")]
    Io {
        /// The socket.
        path: PathBuf,
        /// How it failed.
        error: io::Error,
    },
    /// It does not do that.
    #[error("the node declined: {0}")]
    Declined(String),
}

/// Asks the node that runs here, such as `{"cmd":"status"}`, and waits for its answer.
///
/// # Errors
/// [`AskError::NotRunning`] when there is none; the others say what went wrong.
pub async fn ask(place: &Place, request: &Value) -> Result<Value, AskError> {
    ask_patiently(place, request, CONTROL_DEADLINE).await
}

/// As [`ask`], for what takes its time.
///
/// # Errors
/// As [`ask`].
pub async fn ask_patiently(place: &Place, request: &Value, patience: Duration) -> Result<Value, AskError> {
    let path = place.find()?;
    let exchanged = within(patience, exchange(&path, request)).await;
    let answer = exchanged.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => AskError::NotRunning(path.clone()),
        _ => AskError::Io { path: path.clone(), error },
    })?;
    match (answer.get("ok"), answer.get("error").and_then(Value::as_str)) {
        (Some(value), _) => Ok(value.clone()),
        (None, Some(why)) => Err(AskError::Declined(why.to_owned())),
        (None, None) => Err(AskError::Declined("its answer is none".to_owned())),
    }
}

async fn exchange(path: &Path, request: &Value) -> io::Result<Value> {
    let stream = Async::<UnixStream>::connect(path).await?;
    let mut writer = &stream;
    writer.write_all(line(request).as_bytes()).await?;
    let mut answer = Vec::new();
    BufReader::new(&stream).take(MAX_ANSWER_BYTES).read_until(b'\n', &mut answer).await?;
    if answer.is_empty() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it does not talk to this user"));
    }
    serde_json::from_slice(&answer).map_err(|error| io::Error::other(error.to_string()))
}

fn line(value: &Value) -> String {
    format!("{value}\n")
}

async fn deadline<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    within(CONTROL_DEADLINE, work).await
}

async fn within<T>(time: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    work.or(async {
        Timer::after(time).await;
        Err(io::ErrorKind::TimedOut.into())
    })
    .await
}

#[cfg(test)]
mod tests;
