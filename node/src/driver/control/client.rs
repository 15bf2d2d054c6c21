//! The command's end of the control socket.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use smol::Async;

use super::Place;
use super::connection::{deadline, within};
use super::frames::{Frame, FrameReader, write_line};
use super::place::{self, PlaceError};
use crate::limits::CONTROL_DEADLINE;

/// More than any answer has.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// Why a node that runs was not asked, or did not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// There is none.
    #[error("no clasp-node runs here: nothing listens on {}; {}", .0.display(), advice())]
    NotRunning(PathBuf),
    /// There is no safe place where one could be.
    #[error("no clasp-node runs here: {}; {}", .0, advice())]
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

/// What to do where no node answers this user.
fn advice() -> &'static str {
    if place::is_service_elsewhere() {
        "the one that runs as a service is root's to command: try again with `sudo`"
    } else {
        "`clasp-node run` starts one"
    }
}

impl AskError {
    fn io(path: &Path, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Self::NotRunning(path.to_owned()),
            _ => Self::Io { path: path.to_owned(), error },
        }
    }
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
    let answer = exchanged.map_err(|error| AskError::io(&path, error))?;
    match (answer.get("ok"), answer.get("error").and_then(Value::as_str)) {
        (Some(value), _) => Ok(value.clone()),
        (None, Some(why)) => Err(AskError::Declined(why.to_owned())),
        (None, None) => Err(AskError::Declined("its answer is none".to_owned())),
    }
}

async fn exchange(path: &Path, request: &Value) -> io::Result<Value> {
    let stream = Async::<UnixStream>::connect(path).await?;
    write_line(&stream, request).await?;
    match FrameReader::new(&stream, MAX_ANSWER_BYTES).frame().await? {
        Some(Frame::Line(answer)) => Ok(answer),
        Some(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "data, and no answer")),
        None => Err(io::Error::new(io::ErrorKind::PermissionDenied, "it does not talk to this user")),
    }
}

/// A request that is answered with more than one line. The node stops when this is dropped.
#[derive(Debug)]
pub struct Conversation {
    stream: Async<UnixStream>,
    path: PathBuf,
}

impl Conversation {
    /// Asks the node that runs here.
    ///
    /// # Errors
    /// [`AskError::NotRunning`] when there is none; the others say what went wrong.
    pub async fn begin(place: &Place, request: &Value) -> Result<Self, AskError> {
        let path = place.find()?;
        let connect = async {
            let stream = Async::<UnixStream>::connect(&path).await?;
            write_line(&stream, request).await?;
            Ok(stream)
        };
        match deadline(connect).await {
            Ok(stream) => Ok(Self { stream, path }),
            Err(error) => Err(AskError::io(&path, error)),
        }
    }

    /// What the node sends. One at a time may read.
    #[must_use]
    pub fn frames(&self) -> FrameReader<&Async<UnixStream>> {
        FrameReader::new(&self.stream, MAX_ANSWER_BYTES)
    }

    /// Where the node takes data, and lines.
    #[must_use]
    pub fn writer(&self) -> &Async<UnixStream> {
        &self.stream
    }

    /// What is wrong with the connection.
    #[must_use]
    pub fn error(&self, error: io::Error) -> AskError {
        AskError::Io { path: self.path.clone(), error }
    }
}
