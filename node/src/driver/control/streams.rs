//! Commands that tell how it goes. Each has its connection to itself, and stops when the command closes it.

mod logs;
mod ping;
mod recv;
mod send;

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use smol::Async;
use smol::future::FutureExt;
use smol::lock::Semaphore;

pub(super) use logs::LogsRequest;
pub(super) use ping::PingRequest;
pub(super) use recv::RecvRequest;
pub(super) use send::SendRequest;

use super::connection::deadline;
use super::frames::{Frame, FrameReader, write_line};
use super::requests::Lasting;
use crate::driver::service::Service;
use crate::limits::MAX_CONTROL_STREAMS;

/// How many such commands there may be.
#[derive(Debug, Clone)]
pub(super) struct Places(Arc<Semaphore>);

impl Default for Places {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_CONTROL_STREAMS)))
    }
}

type Reader<'a> = FrameReader<&'a Async<UnixStream>>;
type Writer<'a> = &'a Async<UnixStream>;

/// Why a command was not carried out to its end.
#[derive(Debug)]
enum Stopped {
    /// It failed, and the command is told why.
    Failed(String),
    /// The command gave up, for this reason if it gave one.
    GivenUp(Option<String>),
    /// The command does not read, or is gone.
    Broken(io::Error),
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

impl From<String> for Stopped {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

/// Carries out such a command, in the order of its lines: events, and then how it ended.
pub(super) async fn carry(
    lasting: Lasting,
    reader: Reader<'_>,
    writer: Writer<'_>,
    service: &Service,
    places: &Places,
) -> io::Result<()> {
    let ended = match places.0.try_acquire() {
        None => {
            Err(Stopped::Failed(format!("{MAX_CONTROL_STREAMS} commands are at work at this node already")))
        }
        Some(_place) => match lasting {
            Lasting::Ping(request) => ping::carry(request, reader, writer, service).await,
            Lasting::Send(request) => send::carry(request, reader, writer, service).await,
            Lasting::Recv(request) => recv::carry(request, reader, writer, service).await,
            Lasting::Logs(request) => logs::carry(request, reader, writer, service).await,
        },
    };
    match ended {
        Ok(value) => say(writer, &json!({ "ok": value })).await,
        Err(Stopped::Failed(why)) => say(writer, &json!({ "error": why })).await,
        Err(Stopped::GivenUp(_)) => Ok(()),
        Err(Stopped::Broken(error)) => Err(error),
    }
}

async fn say(writer: Writer<'_>, value: &Value) -> io::Result<()> {
    deadline(write_line(writer, value)).await
}

/// Works until the command gives up. What it sends meanwhile is not listened to.
async fn unless_given_up<T>(
    reader: &mut Reader<'_>,
    work: impl Future<Output = Result<T, Stopped>>,
) -> Result<T, Stopped> {
    work.or(async { Err(given_up(reader).await) }).await
}

/// Waits until the command closes the connection, or says why it gives up.
async fn given_up(reader: &mut Reader<'_>) -> Stopped {
    loop {
        match reader.frame().await {
            Ok(Some(Frame::Line(line))) => {
                if let Some(why) = error_of(&line) {
                    return Stopped::GivenUp(Some(why));
                }
            }
            Ok(Some(Frame::Data(_) | Frame::Text(_))) => {}
            Ok(None) => return Stopped::GivenUp(None),
            Err(error) => return Stopped::Broken(error),
        }
    }
}

fn error_of(line: &Value) -> Option<String> {
    line.get("error").and_then(Value::as_str).map(|why| why.chars().take(MAX_REASON_CHARS).collect())
}

/// Of the reason a command gives: a peer may be told.
const MAX_REASON_CHARS: usize = 150;

/// As commands tell it.
fn millis(milliseconds: Option<u64>, otherwise: Duration) -> Duration {
    milliseconds.map_or(otherwise, Duration::from_millis)
}
