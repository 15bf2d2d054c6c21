//! `{"cmd":"send","peer":…}`: pieces of a file, then `{"end":true}`. They are read as the receiver takes them.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use smol::Timer;
use smol::future::FutureExt;

use super::{Reader, Stopped, Writer, error_of, ping, say, unless_given_up};
use crate::driver::control::frames::Frame;
use crate::driver::service::{Sending, Service};
use crate::pipe::{CHUNK_BYTES, Outcome};

/// A receiver that takes nothing for this long has died.
const STALLED_AFTER: Duration = Duration::from_secs(30);

/// Between two reports of progress.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, Deserialize)]
pub(in crate::driver::control) struct SendRequest {
    peer: String,
    wait_ms: Option<u64>,
}

/// What there is to do next.
enum Turn<'a> {
    Changed(Option<Outcome>),
    /// The link is gone, for this reason.
    Gone(String),
    Piece(&'a [u8]),
    End,
    Report,
    Stalled,
}

pub(super) async fn carry(
    request: SendRequest,
    mut reader: Reader<'_>,
    writer: Writer<'_>,
    service: &Service,
) -> Result<Value, Stopped> {
    let reach = async || Ok(ping::reach(service, &request.peer, request.wait_ms).await?);
    let mut reached = unless_given_up(&mut reader, reach()).await?;
    let mut sending = Sending::begin(service, reached.link)?;
    say(writer, &ping::connected(&reached)).await?;
    // A link that was there may end at the very moment, because its last user has gone.
    let mut again = reached.after.is_none();

    let (mut sent, mut taken, mut ended) = (0, 0, false);
    let mut patience = Timer::after(STALLED_AFTER);
    let mut report = Timer::after(PROGRESS_EVERY);
    loop {
        let reads = !ended && sending.has_room();
        let changed = async { Ok(sending.changed().await.map_or_else(Turn::Gone, Turn::Changed)) };
        let next = async { if reads { piece(&mut reader).await } else { std::future::pending().await } };
        let time = async {
            // Telling how far it is also tells whether anybody is still there to hear it.
            (&mut report).await;
            Ok(Turn::Report)
        };
        let stalled = async {
            if reads {
                return std::future::pending().await; // it is the command that keeps everybody waiting
            }
            (&mut patience).await;
            Ok(Turn::Stalled)
        };
        match changed.or(next).or(time).or(stalled).await? {
            Turn::Changed(Some(Outcome::Complete)) => return Ok(json!({ "bytes": sent })),
            Turn::Changed(Some(Outcome::Failed(why))) => {
                return Err(Stopped::Failed(format!("the receiver says: {why}")));
            }
            Turn::Changed(None) => {
                taken = sending.taken();
                patience.set_after(STALLED_AFTER);
            }
            Turn::Gone(_) if sent == 0 && std::mem::take(&mut again) => {
                reached = reach().await?;
                sending = Sending::begin(service, reached.link)?;
            }
            Turn::Gone(why) => {
                let why = format!("{why}; the receiver has taken {taken} of {sent} bytes");
                return Err(Stopped::Failed(why));
            }
            Turn::Piece(chunk) => {
                let mut handed_over = sending.send(chunk).await;
                if handed_over.is_err() && sent == 0 && std::mem::take(&mut again) {
                    reached = reach().await?;
                    sending = Sending::begin(service, reached.link)?;
                    handed_over = sending.send(chunk).await;
                }
                handed_over?;
                sent += chunk.len() as u64;
                patience.set_after(STALLED_AFTER);
            }
            Turn::End => {
                ended = true;
                sending.end().await?;
                patience.set_after(STALLED_AFTER);
            }
            Turn::Report => {
                say(writer, &json!({"event": "progress", "sent": sent, "taken": taken})).await?;
                report.set_after(PROGRESS_EVERY);
            }
            Turn::Stalled => {
                return Err(Stopped::Failed(format!("the receiver has taken nothing for {STALLED_AFTER:?}")));
            }
        }
    }
}

/// What comes next from the command. May be called off without losing anything.
async fn piece<'a>(reader: &'a mut Reader<'_>) -> Result<Turn<'a>, Stopped> {
    match reader.frame().await? {
        Some(Frame::Data(chunk)) if chunk.len() <= CHUNK_BYTES => Ok(Turn::Piece(chunk)),
        Some(Frame::Data(_) | Frame::Text(_)) => {
            Err(Stopped::Failed(format!("a piece of a file has at most {CHUNK_BYTES} bytes")))
        }
        Some(Frame::Line(line)) if line.get("end").is_some() => Ok(Turn::End),
        Some(Frame::Line(line)) => Err(Stopped::GivenUp(error_of(&line))),
        None => Err(Stopped::GivenUp(None)),
    }
}
