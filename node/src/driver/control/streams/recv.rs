//! `{"cmd":"recv"}`: what peers send, one transfer after the other. Pieces are sent on as the command takes them; the command has the
//! last word on whether everything was written.

use std::io;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Reader, Stopped, Writer, error_of, given_up, say, unless_given_up};
use crate::driver::control::connection::within;
use crate::driver::control::frames::{Frame, write_piece, write_text};
use crate::driver::handle::NodeHandle;
use crate::driver::service::{End, Incoming, Service, Wanted};
use crate::event::{LinkId, PeerInfo};
use crate::limits::MAX_CONTROL_PIECE_BYTES;
use crate::pipe::Outcome;

/// How long the command may take to write the rest; less than a sender waits.
const WRITTEN_WITHIN: Duration = Duration::from_secs(20);

#[derive(Debug, Deserialize)]
pub(in crate::driver::control) struct RecvRequest {
    from: Option<String>,
    #[serde(default)]
    lines: bool,
    #[serde(default)]
    follow: bool,
}

pub(super) async fn carry(
    request: RecvRequest,
    mut reader: Reader<'_>,
    writer: Writer<'_>,
    service: &Service,
) -> Result<Value, Stopped> {
    let node = service.node();
    let stopped = |error: crate::driver::Stopped| Stopped::Failed(error.to_string());
    let mut incoming = Incoming::begin(service, request.lines)?;
    let status = node.status().await.map_err(stopped)?;
    let sessions = node.sessions().await.map_err(stopped)?;
    say(writer, &json!({"event": "waiting", "name": status.name, "sessions": sessions})).await?;
    loop {
        let ended = transfer(&request, &mut incoming, &mut reader, writer, node).await?;
        match ended {
            (bytes, Outcome::Complete) => {
                say(writer, &json!({"event": "received", "bytes": bytes})).await?;
                if !request.follow {
                    return Ok(json!({ "bytes": bytes }));
                }
            }
            (_, Outcome::Failed(why)) if request.follow => {
                say(writer, &json!({"event": "failed", "why": why})).await?;
            }
            (_, Outcome::Failed(why)) => return Err(Stopped::Failed(why)),
        }
    }
}

/// One transfer, from the wait for it to its end.
async fn transfer(
    request: &RecvRequest,
    incoming: &mut Incoming,
    reader: &mut Reader<'_>,
    writer: Writer<'_>,
    node: &NodeHandle,
) -> Result<(u64, Outcome), Stopped> {
    let mut accepted = None;
    loop {
        if accepted.is_none()
            && let Some(link) = incoming.sender()
        {
            let peer = peer_of(node, link).await?;
            if !is_wanted(request, &peer, node).await? {
                incoming.finish(&Outcome::Failed("this node waits for somebody else".to_owned()));
                continue;
            }
            say(writer, &json!({"event": "begin", "peer": peer.session, "name": peer.name})).await?;
            accepted = Some(link);
        }
        let found = incoming.take();
        if !found.text.is_empty() {
            write_text(writer, &found.text).await?;
        }
        if found.text_dropped > 0 {
            say(writer, &json!({"event": "dropped", "messages": found.text_dropped})).await?;
        }
        let is_idle = found.data.is_empty() && found.text.is_empty();
        for piece in found.data.chunks(MAX_CONTROL_PIECE_BYTES) {
            // For as long as it takes: meanwhile the sender waits, and nobody else.
            if let Err(error) = write_piece(writer, piece).await {
                return Err(refused(incoming, reader, error).await);
            }
            incoming.taken(piece.len()).await;
        }
        incoming.give_back(found.data);
        match found.end {
            Some(End::Said(outcome)) => {
                let bytes = incoming.received();
                let outcome = match outcome {
                    Outcome::Complete => written(bytes, reader, writer).await?,
                    failed => failed,
                };
                incoming.finish(&outcome);
                return Ok((bytes, outcome));
            }
            Some(End::Lost(why)) => {
                let bytes = incoming.received();
                let outcome = Outcome::Failed(why);
                incoming.finish(&outcome);
                return Ok((bytes, outcome));
            }
            None if is_idle => {
                let more = async {
                    incoming.changed().await;
                    Ok(())
                };
                if let Err(stopped) = unless_given_up(reader, more).await {
                    return Err(note(incoming, stopped));
                }
            }
            None => {}
        }
    }
}

/// Asks the command whether all of it is written.
async fn written(bytes: u64, reader: &mut Reader<'_>, writer: Writer<'_>) -> Result<Outcome, Stopped> {
    say(writer, &json!({"event": "end", "bytes": bytes})).await?;
    match within(WRITTEN_WITHIN, reader.frame()).await? {
        Some(Frame::Line(line)) if line.get("written").is_some() => Ok(Outcome::Complete),
        Some(Frame::Line(line)) => {
            let why = error_of(&line).unwrap_or_else(|| "it does not say what it has written".to_owned());
            Ok(Outcome::Failed(why))
        }
        _ => Err(Stopped::GivenUp(None)),
    }
}

/// The command takes nothing any more: it may have said why.
async fn refused(incoming: &Incoming, reader: &mut Reader<'_>, error: io::Error) -> Stopped {
    match smol::future::poll_once(given_up(reader)).await {
        Some(stopped @ Stopped::GivenUp(Some(_))) => note(incoming, stopped),
        _ => error.into(),
    }
}

/// Tells the sender why the command gave up, if it said why.
fn note(incoming: &Incoming, stopped: Stopped) -> Stopped {
    if let Stopped::GivenUp(Some(why)) = &stopped {
        incoming.finish(&Outcome::Failed(why.clone()));
    }
    stopped
}

/// Who is at the other end of a link.
async fn peer_of(node: &NodeHandle, link: LinkId) -> Result<PeerInfo, Stopped> {
    let stopped = |error: crate::driver::Stopped| Stopped::Failed(error.to_string());
    let links = node.links().await.map_err(stopped)?;
    let Some(info) = links.into_iter().find(|info| info.link == link) else {
        return Err(Stopped::Failed("the link is gone".to_owned()));
    };
    let peers = node.peers().await.map_err(stopped)?;
    let known = peers.into_iter().find(|peer| peer.session == info.peer && peer.router == info.router);
    Ok(known.unwrap_or(PeerInfo {
        session: info.peer,
        name: None,
        edge: true,
        instance: None,
        device: None,
        pairing: false,
        resident: false,
        router: info.router,
    }))
}

async fn is_wanted(request: &RecvRequest, peer: &PeerInfo, node: &NodeHandle) -> Result<bool, Stopped> {
    let Some(from) = &request.from else { return Ok(true) };
    let wanted = Wanted::new(from, node).await.map_err(|error| error.to_string())?;
    Ok(wanted.is(peer))
}
