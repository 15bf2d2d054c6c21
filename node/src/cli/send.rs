//! `clasp-node send`

use std::io::IsTerminal;
use std::ops::Range;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use clasp_node::driver::now;
use clasp_node::pipe::{CHUNK_BYTES, Outcome, PipeSender};
use clasp_node::{Channel, Event, LinkId};
use serde_json::json;
use smol::future::FutureExt;
use smol::io::{AsyncRead, AsyncReadExt};
use smol::{LocalExecutor, Unblock};

use super::client::{Client, interruptible};
use super::{Failure, SendArgs, output};

/// A receiver that takes nothing for this long has died.
const STALLED_AFTER: Duration = Duration::from_secs(30);

/// Read ahead from the file. (An `smol::fs::File` would read 8 MiB ahead.)
const INPUT_BUFFER_BYTES: usize = 64 * 1024;

/// Between two reports of progress on a terminal.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

pub(super) async fn run(args: SendArgs, executor: &Rc<LocalExecutor<'static>>) -> Result<(), Failure> {
    // The file first: a typing mistake should not wait for the network.
    let source = Source::open(&args.file)?;
    let client = Client::start(&args.client, executor).await?;
    let sent = interruptible(async {
        let (_, link) = client.reach(&args.peer).await?;
        let begun = now();
        let progress = std::io::stderr().is_terminal() && !args.client.json;
        let bytes = transfer(&client, link.id, source, args.lines, progress).await?;
        Ok((bytes, link, now().saturating_duration_since(begun)))
    })
    .await;
    client.running.handle.shutdown().await;
    let (bytes, link, took) = sent?;
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = bytes as f64 / took.as_secs_f64().max(1e-9) / 1e6;
    if args.client.json {
        output::object(&json!({
            "event": "sent", "bytes": bytes, "seconds": took.as_secs_f64(), "mb_per_s": rate,
            "path": link.path, "open_ms": output::millis(link.after),
        }))?;
    } else {
        eprintln!("sent {} in {took:.2?} ({rate:.1} MB/s) over {}", output::megabytes(bytes), link.path);
    }
    Ok(())
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

    fn open(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Self::new(Unblock::with_capacity(INPUT_BUFFER_BYTES, std::io::stdin())));
        }
        let file = std::fs::File::open(path);
        let file =
            file.map_err(|error| Failure::Failed(format!("cannot read {}: {error}", path.display())))?;
        Ok(Self::new(Unblock::with_capacity(INPUT_BUFFER_BYTES, file)))
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
    progress: bool,
) -> Result<u64, Failure> {
    let handle = &client.running.handle;
    let mut pipe = PipeSender::new();
    let mut ended = false;
    let mut shown = smol::Timer::after(PROGRESS_EVERY);
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
                if progress && smol::future::poll_once(&mut shown).await.is_some() {
                    eprint!("\r{} sent", output::megabytes(pipe.sent()));
                    shown = smol::Timer::after(PROGRESS_EVERY);
                }
            }
            Turn::Event(Event::Data { link: l, channel: Channel::Reliable, bytes }) if l == link => {
                match pipe.handle_message(&bytes) {
                    Some(Outcome::Complete) => {
                        if progress {
                            eprint!("\r");
                        }
                        return Ok(pipe.sent());
                    }
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
