//! `clasp-node send`

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use clap::Args;
use clasp_node::driver::control::{self, Conversation};
use clasp_node::driver::now;
use clasp_node::pipe::{CHUNK_BYTES, Outcome, PipeSender};
use clasp_node::{Channel, Event, LinkId};
use serde_json::{Value, json};
use smol::future::FutureExt;
use smol::io::{AsyncRead, AsyncReadExt};
use smol::{LocalExecutor, Unblock};

use super::client::{Client, interruptible};
use super::ping::whole_millis;
use super::progress::Progress;
use super::service::{self, Choice, Told};
use super::{ClientArgs, Failure, output};

#[derive(Debug, Args)]
pub(super) struct SendArgs {
    /// The peer: its name, its session id, or the beginning of it
    pub(super) peer: String,
    /// What to send; `-` is standard input
    #[arg(default_value = "-")]
    pub(super) file: PathBuf,
    /// Send every line as soon as it is read, as its own message
    #[arg(long)]
    pub(super) lines: bool,
    #[command(flatten)]
    pub(super) client: ClientArgs,
}

/// A receiver that takes nothing for this long has died.
const STALLED_AFTER: Duration = Duration::from_secs(30);

/// Read ahead from the file. (An `smol::fs::File` would read 8 MiB ahead.)
const INPUT_BUFFER_BYTES: usize = 64 * 1024;

pub(super) async fn run(
    args: SendArgs,
    choice: Choice,
    executor: &Rc<LocalExecutor<'static>>,
) -> Result<(), Failure> {
    // The file first: a typing mistake should not wait for the network.
    let (source, total) = Source::open(&args.file)?;
    let mut progress = Progress::new(total, args.client.json);
    let request = json!({"cmd": "send", "peer": args.peer, "wait_ms": whole_millis(args.client.wait)});
    let sent = match service::ask(&args.client, choice, &request).await? {
        Some(node) => interruptible(by_service(&node, source, args.lines, &mut progress)).await,
        None => {
            let client = Client::start(&args.client, executor).await?;
            let sent = interruptible(by_client(&client, &args, source, &mut progress)).await;
            client.running.handle.shutdown().await;
            sent
        }
    };
    drop(progress);
    let Sent { bytes, took, path, open_ms } = sent?;
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = bytes as f64 / took.as_secs_f64().max(1e-9) / 1e6;
    if args.client.json {
        output::object(&json!({
            "event": "sent", "bytes": bytes, "seconds": took.as_secs_f64(), "mb_per_s": rate,
            "path": path, "open_ms": open_ms,
        }))?;
    } else {
        eprintln!("sent {} in {took:.2?} ({rate:.1} MB/s) over {path}", output::megabytes(bytes));
    }
    Ok(())
}

/// What was sent.
struct Sent {
    bytes: u64,
    took: Duration,
    path: String,
    /// How long the link took to open; none if it was there.
    open_ms: Option<f64>,
}

async fn by_client(
    client: &Client,
    args: &SendArgs,
    source: Source,
    progress: &mut Progress,
) -> Result<Sent, Failure> {
    let (_, link) = client.reach(&args.peer).await?;
    let begun = now();
    let bytes = transfer(client, link.id, source, args.lines, |sent| progress.update(sent)).await?;
    let took = now().saturating_duration_since(begun);
    Ok(Sent { bytes, took, path: link.path, open_ms: Some(output::millis(link.after)) })
}

/// The node that runs here does it. It takes no more than the receiver does.
async fn by_service(
    node: &Conversation,
    source: Source,
    lines: bool,
    progress: &mut Progress,
) -> Result<Sent, Failure> {
    let mut frames = node.frames();
    let connected = match service::told(&mut frames).await? {
        Told::Event(connected) => connected,
        Told::Ok(other) => return Err(Failure::Failed(format!("the node sends nothing: {other}"))),
    };
    let begun = now();
    let told = async {
        loop {
            match service::told(&mut frames).await? {
                Told::Ok(ended) => {
                    return Ok(Sent {
                        bytes: service::number(&ended, "bytes"),
                        took: now().saturating_duration_since(begun),
                        path: service::text(&connected, "path").to_owned(),
                        open_ms: connected.get("after_ms").and_then(Value::as_f64),
                    });
                }
                Told::Event(event) => progress.update(service::number(&event, "taken")),
            }
        }
    };
    told.or(feed(node, source, lines)).await
}

/// Hands everything over to the node. Done only if it cannot be read; how it goes is told by the node.
async fn feed<T>(node: &Conversation, mut source: Source, lines: bool) -> Result<T, Failure> {
    loop {
        let available = source.peek().await.map_err(|error| format!("cannot read: {error}"))?;
        let len = chunk_len(available, lines);
        let handed_over = match len {
            0 => control::write_line(node.writer(), &json!({"end": true})).await,
            _ => control::write_piece(node.writer(), source.take(len)).await,
        };
        if let Err(error) = handed_over {
            log::debug!("the node takes no more: {error}"); // it has told why
        } else if len > 0 {
            continue;
        }
        return std::future::pending().await;
    }
}

/// What is sent, read piece by piece.
pub(super) struct Source {
    reader: Pin<Box<dyn AsyncRead>>,
    buffer: Box<[u8]>,
    /// The part of the buffer that was read and not sent yet.
    unsent: Range<usize>,
}

impl Source {
    pub(super) fn new(reader: impl AsyncRead + 'static) -> Self {
        Self { reader: Box::pin(reader), buffer: vec![0; CHUNK_BYTES].into(), unsent: 0..0 }
    }

    /// And how much there is, if that is known.
    fn open(path: &Path) -> Result<(Self, Option<u64>), Failure> {
        if path == Path::new("-") {
            return Ok((Self::new(Unblock::with_capacity(INPUT_BUFFER_BYTES, std::io::stdin())), None));
        }
        let file = std::fs::File::open(path);
        let file =
            file.map_err(|error| Failure::Failed(format!("cannot read {}: {error}", path.display())))?;
        let total = file.metadata().ok().filter(std::fs::Metadata::is_file).map(|found| found.len());
        Ok((Self::new(Unblock::with_capacity(INPUT_BUFFER_BYTES, file)), total))
    }

    /// What comes next; empty at the end. May be called off at any time without losing anything.
    async fn peek(&mut self) -> std::io::Result<&[u8]> {
        if self.unsent.is_empty() {
            self.unsent = 0..self.reader.read(&mut self.buffer).await?;
        }
        Ok(self.buffer.get(self.unsent.clone()).unwrap_or_default())
    }

    fn take(&mut self, len: usize) -> &[u8] {
        let taken = self.unsent.start..self.unsent.end.min(self.unsent.start + len);
        self.unsent.start = taken.end;
        self.buffer.get(taken).unwrap_or_default()
    }
}

/// Sends everything `source` has and waits until the receiver confirms it.
pub(super) async fn transfer(
    client: &Client,
    link: LinkId,
    mut source: Source,
    lines: bool,
    mut progress: impl FnMut(u64),
) -> Result<u64, Failure> {
    let handle = &client.running.handle;
    let mut pipe = PipeSender::new();
    let mut ended = false;
    loop {
        let turn = if !ended && pipe.has_room() {
            let read = async {
                let available = source.peek().await.map_err(|error| format!("cannot read: {error}"))?;
                Ok(Turn::Read(chunk_len(available, lines)))
            };
            read.race(next_event(client)).await
        } else {
            next_event(client).race(stalled()).await
        };
        match turn.map_err(Failure::Failed)? {
            Turn::Read(0) => {
                ended = true;
                handle.send(link, Channel::Reliable, pipe.end()).await?;
            }
            Turn::Read(len) => {
                let message = pipe.data(source.take(len));
                handle.send(link, Channel::Reliable, message).await?;
                progress(pipe.acknowledged());
            }
            Turn::Event(Event::Data { link: l, channel: Channel::Reliable, bytes }) if l == link => {
                match pipe.handle_message(&bytes) {
                    Some(Outcome::Complete) => return Ok(pipe.sent()),
                    Some(Outcome::Failed(why)) => {
                        return Err(Failure::Failed(format!("the receiver says: {why}")));
                    }
                    None => {}
                }
            }
            Turn::Event(Event::Disconnected { link: l, why, .. }) if l == link => {
                return Err(Failure::Failed(format!(
                    "{why}, after {} of unconfirmed data",
                    output::megabytes(pipe.sent())
                )));
            }
            Turn::Event(_) => {}
        }
    }
}

enum Turn {
    Read(usize),
    Event(Event),
}

/// How much of what was read makes the next message.
fn chunk_len(available: &[u8], lines: bool) -> usize {
    let newline = if lines { available.iter().position(|byte| *byte == b'\n') } else { None };
    newline.map_or(available.len(), |at| at + 1)
}

async fn next_event(client: &Client) -> Result<Turn, String> {
    client.running.events.next().await.map(Turn::Event).ok_or_else(|| "the node stopped".to_owned())
}

async fn stalled() -> Result<Turn, String> {
    smol::Timer::after(STALLED_AFTER).await;
    Err(format!("the receiver has taken nothing for {STALLED_AFTER:?}"))
}
