//! One connection: questions and answers, until a command takes it for itself.

use std::io;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::json;
use smol::Async;

use super::frames::{FrameReader, Line, write_line};
use super::requests::{Work, answer};
use super::streams::{self, Places};
use crate::driver::service::{self, Service};
use crate::driver::tokens::TokenDesk;
use crate::limits::{CONTROL_DEADLINE, MAX_CONTROL_CONNECTIONS, MAX_CONTROL_REQUEST_BYTES};

pub(super) async fn decline(stream: &Async<UnixStream>) -> io::Result<()> {
    let why = format!("{MAX_CONTROL_CONNECTIONS} commands are talking to this node already");
    deadline(write_line(stream, &json!({ "error": why }))).await
}

pub(super) async fn carry(
    stream: &Async<UnixStream>,
    service: &Service,
    streams: &Places,
    tokens: Option<&TokenDesk>,
) -> io::Result<()> {
    let mut reader = FrameReader::new(stream, MAX_CONTROL_REQUEST_BYTES);
    loop {
        let (request, is_whole) = match deadline(reader.line()).await? {
            Line::End => return Ok(()), // no more questions
            Line::TooLong => {
                (Err(format!("a request is a line of at most {MAX_CONTROL_REQUEST_BYTES} bytes")), false)
            }
            Line::Whole(line) => {
                (serde_json::from_slice(line).map_err(|error| format!("not a request: {error}")), true)
            }
        };
        let answered = match request {
            Ok(request) => match answer(request, service, tokens).await {
                Work::Answered(answered) => answered,
                Work::Lasts(lasting) => {
                    return streams::carry(lasting, reader, stream, service, streams).await;
                }
            },
            Err(why) => Err(why),
        };
        let answered = match answered {
            Ok(value) => json!({ "ok": value }),
            Err(why) => json!({ "error": why }),
        };
        deadline(write_line(stream, &answered)).await?;
        if !is_whole {
            return Ok(()); // what follows is the rest of it
        }
    }
}

pub(super) async fn deadline<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    within(CONTROL_DEADLINE, work).await
}

pub(super) async fn within<T>(time: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    service::within(time, work).await.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
}
