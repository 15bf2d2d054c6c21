//! `clasp-node recv`

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use clasp_node::driver::CallError;
use clasp_node::driver::control::{self, Conversation, Frame};
use clasp_node::driver::service::Wanted;
use clasp_node::pipe::{Outcome, Part, PipeReceiver, Received, done, part};
use clasp_node::{Channel, Event, LinkId};
use serde_json::json;
use smol::future::FutureExt;
use smol::io::{AsyncWrite, AsyncWriteExt};
use smol::{LocalExecutor, Unblock};

use super::client::{Client, interruptible};
use super::progress::Progress;
use super::service::{self, Choice, Told};
use super::{ClientArgs, Failure, output};

#[derive(Debug, Args)]
pub(super) struct RecvArgs {
    /// Where to write; `-` is standard output
    #[arg(short, long, default_value = "-")]
    pub(super) output: PathBuf,
    /// Accept only this peer: its name, its session id, or the beginning of it
    #[arg(long, value_name = "PEER")]
    pub(super) from: Option<String>,
    /// Print messages that are not part of a transfer (such as a stock peer's), one per line
    #[arg(long)]
    pub(super) lines: bool,
    /// Go on after the first transfer, until interrupted
    #[arg(long)]
    pub(super) follow: bool,
    #[command(flatten)]
    pub(super) client: ClientArgs,
}

/// How long the last word may take to reach the sender, who hangs up when it has.
const FAREWELL: Duration = Duration::from_secs(5);

/// Room between the node and a slow reader of standard output; beyond, the sender is slowed down.
const OUTPUT_BUFFER_BYTES: usize = 64 * 1024;

pub(super) async fn run(
    args: RecvArgs,
    choice: Choice,
    executor: &Rc<LocalExecutor<'static>>,
) -> Result<(), Failure> {
    let mut sink = create(&args.output)?;
    let (from, lines, follow) = (&args.from, args.lines, args.follow);
    let request = json!({"cmd": "recv", "from": from, "lines": lines, "follow": follow});
    let received = match service::ask(&args.client, choice, &request).await? {
        Some(node) => interruptible(by_service(&node, &args, &mut sink)).await,
        None => {
            let client = Client::start(&args.client, executor).await?;
            for session in client.running.handle.sessions().await? {
                eprintln!("clasp-node: waiting as {session}");
            }
            let received = interruptible(by_client(&client, &args, &mut sink)).await;
            client.running.handle.shutdown().await;
            received
        }
    };
    match received {
        Err(Failure::Interrupted) if args.follow => Ok(()),
        other => other,
    }
}

async fn by_client(client: &Client, args: &RecvArgs, sink: &mut Sink) -> Result<(), Failure> {
    loop {
        let (bytes, outcome) = receive(client, args, sink).await?;
        if let Outcome::Failed(why) = outcome {
            if args.follow {
                eprintln!("clasp-node: {why}");
                continue;
            }
            return Err(Failure::Failed(why));
        }
        summary(args, bytes)?;
        if !args.follow {
            return Ok(());
        }
    }
}

/// The node that runs here receives, and hands it over as fast as it is written.
async fn by_service(node: &Conversation, args: &RecvArgs, sink: &mut Sink) -> Result<(), Failure> {
    let mut frames = node.frames();
    let to_stdout = args.output == Path::new("-");
    // Where data and progress go to the same terminal, they would be in each other's way.
    let mut progress = Progress::new(None, args.client.json || to_stdout && std::io::stdout().is_terminal());
    let mut taken = 0;
    loop {
        let line = match frames.frame().await.map_err(|error| service::gone(&error))? {
            Some(Frame::Line(line)) => line,
            Some(Frame::Data(piece)) => {
                taken += piece.len() as u64;
                give(node, sink, piece).await?;
                progress.update(taken);
                continue;
            }
            Some(Frame::Text(text)) => {
                give(node, sink, text).await?;
                continue;
            }
            None => return Err(Failure::Failed(service::GONE.to_owned())),
        };
        let event = match service::read(line)? {
            Told::Ok(_) => return Ok(()),
            Told::Event(event) => event,
        };
        match service::text(&event, "event") {
            "waiting" => eprintln!("clasp-node: waiting as {}", service::text(&event, "name")),
            "begin" => {
                (taken, progress) = (0, progress.again());
            }
            "end" => {
                give(node, sink, &[]).await?;
                let written = control::write_line(node.writer(), &json!({"written": true})).await;
                written.map_err(|error| service::gone(&error))?;
            }
            "received" => {
                progress.clear();
                summary(args, service::number(&event, "bytes"))?;
            }
            "failed" => {
                progress.clear();
                eprintln!("clasp-node: {}", service::text(&event, "why"));
            }
            "dropped" => log::warn!("{} messages came too fast", service::number(&event, "messages")),
            _ => {}
        }
    }
}

/// Writes it; the sender is told if that does not work.
async fn give(node: &Conversation, sink: &mut Sink, bytes: &[u8]) -> Result<(), Failure> {
    let Err(error) = write(sink, bytes).await else { return Ok(()) };
    let why = format!("the receiver cannot write: {error}");
    if let Err(error) = control::write_line(node.writer(), &json!({ "error": why })).await {
        log::debug!("the node is not told: {error}");
    }
    Err(Failure::Failed(why))
}

fn summary(args: &RecvArgs, bytes: u64) -> std::io::Result<()> {
    let summary = json!({"event": "received", "bytes": bytes});
    match (args.client.json, args.output == Path::new("-")) {
        (true, false) => output::object(&summary)?,
        (true, true) => eprintln!("{summary}"), // standard output carries the data
        (false, _) => eprintln!("clasp-node: received {}", output::megabytes(bytes)),
    }
    Ok(())
}

type Sink = Pin<Box<dyn AsyncWrite>>;

fn create(path: &Path) -> Result<Sink, Failure> {
    if path == Path::new("-") {
        return Ok(Box::pin(Unblock::with_capacity(OUTPUT_BUFFER_BYTES, std::io::stdout())));
    }
    let file = std::fs::File::create(path);
    let file = file.map_err(|error| Failure::Failed(format!("cannot write {}: {error}", path.display())))?;
    Ok(Box::pin(Unblock::with_capacity(OUTPUT_BUFFER_BYTES, file)))
}

/// Receives one transfer; messages that belong to none are printed if wanted.
async fn receive(client: &Client, args: &RecvArgs, sink: &mut Sink) -> Result<(u64, Outcome), Failure> {
    let handle = &client.running.handle;
    let mut transfer: Option<(LinkId, PipeReceiver)> = None;
    let mut told_busy = BTreeSet::new();
    while let Some(event) = client.running.events.next().await {
        match event {
            Event::Connecting { link, peer, .. } => {
                if let Some(wanted) = &args.from {
                    let peers = handle.peers().await?;
                    let known = peers.iter().find(|info| info.session == peer);
                    let called = Wanted::new(wanted, handle).await?;
                    if peer != *wanted && !known.is_some_and(|info| called.is(info)) {
                        handle.disconnect(link, "this node waits for somebody else").await?;
                    }
                }
            }
            Event::Data { link, channel: Channel::Reliable, bytes } => {
                let busy = transfer.as_ref().is_some_and(|(with, _)| *with != link);
                if busy {
                    if told_busy.insert(link) {
                        let why = Outcome::Failed("busy with another transfer".to_owned());
                        tell(client, link, done(&why)).await?;
                        handle.disconnect(link, "busy").await?;
                    }
                    continue;
                }
                let (_, pipe) = transfer.get_or_insert_with(|| (link, PipeReceiver::new()));
                match pipe.handle_message(&bytes) {
                    Received::Data(chunk) => {
                        if let Err(error) = write(sink, chunk).await {
                            let outcome = Outcome::Failed(format!("the receiver cannot write: {error}"));
                            farewell(client, link, &outcome).await?;
                            return Ok((pipe.received(), outcome));
                        }
                        if let Some(ack) = pipe.consumed(chunk.len()) {
                            tell(client, link, ack).await?;
                        }
                    }
                    Received::End(outcome) => {
                        sink.flush().await?;
                        farewell(client, link, &outcome).await?;
                        return Ok((pipe.received(), outcome));
                    }
                    Received::Other if part(&bytes) == Some(Part::Unused) => {
                        // Nor do we: what it sent was taken, or refused.
                        handle.disconnect(link, "nor is it used here").await?;
                    }
                    Received::Other => {
                        if pipe.received() == 0 {
                            transfer = None;
                        }
                        other(args, sink, &bytes).await?;
                    }
                }
            }
            Event::Data { bytes, .. } => other(args, sink, &bytes).await?,
            Event::Disconnected { link, why, .. }
                if transfer.as_ref().is_some_and(|(with, _)| *with == link) =>
            {
                let bytes = transfer.map_or(0, |(_, pipe)| pipe.received());
                return Ok((bytes, Outcome::Failed(format!("{why}, before the transfer was complete"))));
            }
            _ => {}
        }
    }
    Err(Failure::Failed("the node stopped".to_owned()))
}

async fn write(sink: &mut Sink, chunk: &[u8]) -> std::io::Result<()> {
    sink.write_all(chunk).await?;
    sink.flush().await
}

/// A message that is not part of a transfer: a line, if that is wanted.
async fn other(args: &RecvArgs, sink: &mut Sink, message: &Bytes) -> Result<(), Failure> {
    if !args.lines {
        log::warn!("message of {} bytes is not part of a transfer (--lines would print it)", message.len());
        return Ok(());
    }
    let mut line = String::from_utf8_lossy(message).into_owned();
    line.push('\n');
    Ok(write(sink, line.as_bytes()).await?)
}

/// Sends `message`, unless the other side has gone: `Disconnected` tells that in its turn, with the reason.
async fn tell(client: &Client, link: LinkId, message: Bytes) -> Result<(), Failure> {
    match client.running.handle.send(link, Channel::Reliable, message).await {
        Ok(()) => Ok(()),
        Err(CallError::Refused(why)) => {
            log::debug!("{link}: not told: {why}");
            Ok(())
        }
        Err(CallError::Stopped(stopped)) => Err(stopped.into()),
    }
}

/// Tells the sender how it went, and waits until it knows.
async fn farewell(client: &Client, link: LinkId, outcome: &Outcome) -> Result<(), Failure> {
    tell(client, link, done(outcome)).await?;
    let gone = async {
        while let Some(event) = client.running.events.next().await {
            if matches!(event, Event::Disconnected { link: l, .. } if l == link) {
                break;
            }
        }
    };
    gone.or(async {
        smol::Timer::after(FAREWELL).await;
    })
    .await;
    Ok(())
}
