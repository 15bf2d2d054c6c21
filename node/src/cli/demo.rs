//! `clasp-node demo`: a router and two nodes as three processes, and a look over their shoulders.

use std::io::ErrorKind;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clasp_node::driver::now;
use clasp_node::pipe::{Outcome, PipeReceiver, Received, done};
use clasp_node::{Channel, Event, LinkId};
use serde_json::{Value, json};
use smol::LocalExecutor;
use smol::future::FutureExt;
use smol::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use smol::process::{Child, ChildStdout, Command, Stdio};
use smol::stream::StreamExt;

use super::client::{Client, interruptible};
use super::{DemoArgs, DemoNodeArgs, Failure, output, ping, send};

/// The whole demonstration. A transfer of the default size takes a second on a desktop and a minute on the smallest board.
const LIMIT: Duration = Duration::from_secs(300);

/// Round trips measured on each channel.
const PINGS: u32 = 100;

const OFFERER: &str = "demo-offerer";
const ANSWERER: &str = "demo-answerer";

pub(super) async fn run(args: DemoArgs) -> Result<(), Failure> {
    interruptible(Demo::show(&args))
        .or(async {
            smol::Timer::after(LIMIT).await;
            Err(Failure::Failed(format!("not finished after {LIMIT:?}")))
        })
        .await
}

struct Demo<'a> {
    args: &'a DemoArgs,
    begun: Instant,
}

/// The lines of one process.
type Lines = smol::io::Lines<BufReader<ChildStdout>>;

impl Demo<'_> {
    async fn show(args: &DemoArgs) -> Result<(), Failure> {
        let demo = Demo { args, begun: now() };
        let (mut router, mut router_lines) =
            spawn("router", &["router", "--config", "/dev/null", "--bind", "127.0.0.1:0"])?;
        let Some(line) = router_lines.next().await else {
            return Err(Failure::Failed("the router did not start".to_owned()));
        };
        let line = line?;
        let url = line.rsplit(' ').next().unwrap_or_default().to_owned();
        demo.say("router", &json!({"event": "listening", "url": url}))?;

        let bytes = (u64::from(args.size) * 1_000_000).to_string();
        let node =
            ["demo-node", "--config", "/dev/null", "--json", "--trust", "open", "--router", &url, "--name"];
        let answerer_args = [&node[..], &[ANSWERER]].concat();
        let offerer_args = [&node[..], &[OFFERER, "--call", ANSWERER, "--bytes", &bytes]].concat();
        let (mut answerer, answerer_lines) = spawn(ANSWERER, &answerer_args)?;
        let (mut offerer, offerer_lines) = spawn(OFFERER, &offerer_args)?;
        let (offerer_said, answerer_said) =
            smol::future::try_zip(demo.listen(OFFERER, offerer_lines), demo.listen(ANSWERER, answerer_lines))
                .await?;
        let failed = offerer_said.or(answerer_said);
        let (offered, answered) = (offerer.status().await?, answerer.status().await?);
        match router.kill() {
            Err(error) if error.kind() != ErrorKind::InvalidInput => return Err(error.into()),
            _ => {} // InvalidInput: it is gone already
        }
        router.status().await?;
        if !offered.success() || !answered.success() {
            let why = failed.unwrap_or_else(|| format!("offerer: {offered}, answerer: {answered}"));
            return Err(Failure::Failed(why));
        }
        demo.say("demo", &json!({"event": "success"}))?;
        Ok(())
    }

    /// Shows what a process says until it ends; returns why it failed, if it did.
    async fn listen(&self, who: &str, mut lines: Lines) -> std::io::Result<Option<String>> {
        let mut failed = None;
        while let Some(line) = lines.next().await {
            let Ok(object) = serde_json::from_str::<Value>(&line?) else { continue };
            if object.get("event").is_some_and(|event| event == "failed") {
                failed = object.get("why").and_then(Value::as_str).map(str::to_owned);
            }
            self.say(who, &object)?;
        }
        Ok(failed)
    }

    fn say(&self, who: &str, object: &Value) -> std::io::Result<()> {
        let at_ms = output::millis(now().saturating_duration_since(self.begun));
        if self.args.json {
            let mut object = object.clone();
            if let Some(fields) = object.as_object_mut() {
                fields.insert("process".to_owned(), who.into());
                fields.insert("at_ms".to_owned(), at_ms.into());
            }
            return output::object(&object);
        }
        match describe(object) {
            Some(text) => output::line(&format!("{at_ms:>9.1} ms  {who:<13}  {text}")),
            None => Ok(()),
        }
    }
}

fn spawn(who: &'static str, args: &[&str]) -> Result<(Child, Lines), Failure> {
    let program = std::env::current_exe()?;
    // A child outlives nothing: it ends with this process, also when that is interrupted.
    let mut child = Command::new(program).args(args).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let stdout: ChildStdout =
        child.stdout.take().ok_or_else(|| Failure::Failed(format!("no output from {who}")))?;
    Ok((child, BufReader::new(stdout).lines()))
}

/// An event in words; `None` for those that would only repeat others.
fn describe(object: &Value) -> Option<String> {
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    let number = |key: &str| object.get(key).and_then(Value::as_f64).unwrap_or_default();
    Some(match text("event") {
        "listening" => format!("listening on {}", text("url")),
        "router_ready" => format!("session {}", text("session")),
        "connecting" => format!("is the {} towards {:.8}…", text("role"), text("peer")),
        "step" => step(object.get("step")?)?,
        "connected" => format!(
            "CONNECTED directly, {} to {}, {:.1} ms after the first signal",
            text("local"),
            text("remote"),
            number("after_ms")
        ),
        "rtt" => format!(
            "round trip on {:<14} p50 {:.3} ms, p99 {:.3} ms",
            text("channel"),
            number("p50_ms"),
            number("p99_ms")
        ),
        "throughput" => {
            format!("{:.0} MB through the reliable channel at {:.1} MB/s", number("mb"), number("mb_per_s"))
        }
        "received" => format!("received {:.0} MB, digest matches", number("mb")),
        "disconnected" => format!("link ended: {}", text("why")),
        "failed" => format!("FAILED: {}", text("why")),
        "success" => "success".to_owned(),
        _ => return None,
    })
}

fn step(step: &Value) -> Option<String> {
    if let Some(name) = step.as_str() {
        return Some(name.replace('_', " "));
    }
    let (name, detail) = step.as_object()?.iter().next()?;
    let detail = detail.as_str()?;
    // candidate:foundation component transport priority address port …
    let words: Vec<_> = detail.split(' ').collect();
    Some(match (name.as_str(), words.as_slice()) {
        ("candidate_sent" | "candidate_received", [_, _, _, _, address, port, ..]) => {
            format!("ICE {} {address} {port}", name.replace('_', " "))
        }
        ("channel_open", _) => format!("channel open: {detail}"),
        _ => format!("{}: {detail}", name.replace('_', " ")),
    })
}

/// One of the two nodes.
pub(super) async fn node(args: DemoNodeArgs, executor: &Rc<LocalExecutor<'static>>) -> Result<(), Failure> {
    let client = Client::start_fresh(&args.client, executor).await?;
    let result = match &args.call {
        Some(peer) => call(&client, peer, args.bytes).await,
        None => answer(&client).await,
    };
    if let Err(Failure::Failed(why)) = &result {
        output::object(&json!({"event": "failed", "why": why}))?;
    }
    client.running.handle.shutdown().await;
    result
}

async fn call(client: &Client, name: &str, bytes: u64) -> Result<(), Failure> {
    let peer = client.find(name).await?;
    let link = client.running.handle.connect(peer.router, &peer.session).await?;
    follow(client, |event| matches!(event, Event::Connected { link: l, .. } if *l == link)).await?;

    for channel in [Channel::Reliable, Channel::Stream] {
        let mut rtts = Vec::new();
        for _ in 0..PINGS {
            rtts.extend(ping::ping(client, link, channel).await?);
        }
        let received = rtts.len();
        let [min, p50, p99, max] = ping::percentiles(&mut rtts);
        output::object(&json!({
            "event": "rtt", "channel": channel.label(), "sent": PINGS, "received": received,
            "min_ms": min, "p50_ms": p50, "p99_ms": p99, "max_ms": max,
        }))?;
    }

    let begun = now();
    let source = send::Source::new(smol::io::repeat(0x5A).take(bytes));
    let sent = send::transfer(client, link, source, false, |_| {}).await?;
    let seconds = now().saturating_duration_since(begun).as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let mb = sent as f64 / 1e6;
    output::object(&json!({"event": "throughput", "mb": mb, "seconds": seconds, "mb_per_s": mb / seconds}))?;
    client.running.handle.disconnect(link, "demo over").await?;
    follow(client, |event| matches!(event, Event::Disconnected { .. })).await
}

async fn answer(client: &Client) -> Result<(), Failure> {
    let mut pipe = PipeReceiver::new();
    let mut complete = false;
    loop {
        let Some(event) = client.running.events.next().await else { break };
        match &event {
            Event::Data { link, channel: Channel::Reliable, bytes } => {
                complete |= take(client, &mut pipe, *link, bytes).await?;
                continue;
            }
            Event::Failed { why, .. } => return Err(Failure::Failed(why.to_string())),
            Event::RouterReady { .. } | Event::State { .. } | Event::Data { .. } | Event::Pong { .. } => {}
            event => output::object(&output::event(event))?,
        }
        if matches!(event, Event::Disconnected { .. }) {
            break;
        }
    }
    if complete { Ok(()) } else { Err(Failure::Failed("the transfer was not complete".to_owned())) }
}

/// Takes one message of the transfer. Says whether it was the last.
async fn take(
    client: &Client,
    pipe: &mut PipeReceiver,
    link: LinkId,
    message: &[u8],
) -> Result<bool, Failure> {
    let handle = &client.running.handle;
    match pipe.handle_message(message) {
        Received::Data(chunk) => {
            if let Some(ack) = pipe.consumed(chunk.len()) {
                handle.send(link, Channel::Reliable, ack).await?;
            }
            Ok(false)
        }
        Received::End(outcome) => {
            #[expect(clippy::cast_precision_loss, reason = "an amount for people")]
            let mb = pipe.received() as f64 / 1e6;
            handle.send(link, Channel::Reliable, done(&outcome)).await?;
            if let Outcome::Failed(why) = outcome {
                return Err(Failure::Failed(why));
            }
            output::object(&json!({"event": "received", "mb": mb}))?;
            Ok(true)
        }
        Received::Other => Ok(false),
    }
}

/// Prints events until `last`.
async fn follow(client: &Client, last: impl Fn(&Event) -> bool) -> Result<(), Failure> {
    while let Some(event) = client.running.events.next().await {
        if !matches!(event, Event::State { .. } | Event::Data { .. } | Event::Pong { .. }) {
            output::object(&output::event(&event))?;
        }
        if last(&event) {
            return Ok(());
        }
        if let Event::Failed { why, .. } = event {
            return Err(Failure::Failed(why.to_string()));
        }
    }
    Err(Failure::Failed("the node stopped".to_owned()))
}
