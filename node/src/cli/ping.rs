//! `clasp-node ping`

use std::rc::Rc;
use std::time::Duration;

use clap::Args;
use clasp_node::driver::control::Conversation;
use clasp_node::{Channel, Event, LinkId};
use serde_json::{Value, json};
use smol::LocalExecutor;
use smol::future::FutureExt;

use super::client::{Client, interruptible};
use super::service::{self, Choice, Told};
use super::{ClientArgs, Failure, output, seconds};

#[derive(Debug, Args)]
pub(super) struct PingArgs {
    /// The peer: its name, its session id, or the beginning of it
    pub(super) peer: String,
    /// How many
    #[arg(short, long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) count: u32,
    /// Time between two
    #[arg(short, long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub(super) interval: Duration,
    #[command(flatten)]
    pub(super) client: ClientArgs,
}

/// Without an answer by then, a ping counts as lost.
const LOST_AFTER: Duration = Duration::from_secs(2);

pub(super) async fn run(
    args: PingArgs,
    choice: Choice,
    executor: &Rc<LocalExecutor<'static>>,
) -> Result<(), Failure> {
    let request = json!({
        "cmd": "ping", "peer": args.peer, "count": args.count, "interval_ms": whole_millis(args.interval),
        "wait_ms": whole_millis(args.client.wait),
    });
    let mut tallies =
        Tallies { json: args.client.json, reliable: Tally::default(), stream: Tally::default() };
    let result = match service::ask(&args.client, choice, &request).await? {
        Some(node) => interruptible(by_service(&node, &mut tallies)).await,
        None => {
            let client = Client::start(&args.client, executor).await?;
            let result = interruptible(by_client(&client, &args, &mut tallies)).await;
            client.running.handle.shutdown().await;
            result
        }
    };
    if tallies.reliable.sent > 0 {
        tallies.summary()?;
    }
    result?;
    if tallies.reliable.rtts.is_empty() && tallies.stream.rtts.is_empty() {
        return Err(Failure::Failed("no ping was answered".to_owned()));
    }
    Ok(())
}

/// The node that runs here does it, and tells how it goes.
async fn by_service(node: &Conversation, tallies: &mut Tallies) -> Result<(), Failure> {
    let mut frames = node.frames();
    loop {
        let event = match service::told(&mut frames).await? {
            Told::Ok(_) => return Ok(()),
            Told::Event(event) => event,
        };
        match service::text(&event, "event") {
            "connected" => {
                let after = duration(&event, "after_ms");
                let name = event.get("name").and_then(Value::as_str);
                let (peer, path) = (service::text(&event, "peer"), service::text(&event, "path"));
                connected(tallies.json, peer, name, path, after)?;
            }
            "pong" => {
                let is_reliable = service::text(&event, "channel") == "reliable";
                let channel = if is_reliable { Channel::Reliable } else { Channel::Stream };
                tallies.note(service::number(&event, "seq"), channel, duration(&event, "rtt_ms"))?;
            }
            _ => {}
        }
    }
}

async fn by_client(client: &Client, args: &PingArgs, tallies: &mut Tallies) -> Result<(), Failure> {
    let (peer, link) = client.reach(&args.peer).await?;
    connected(tallies.json, &peer.session, peer.name.as_deref(), &link.path, Some(link.after))?;
    for seq in 1..=args.count {
        for channel in [Channel::Reliable, Channel::Stream] {
            let rtt = ping(client, link.id, channel).await?;
            tallies.note(seq.into(), channel, rtt)?;
        }
        if seq < args.count {
            smol::Timer::after(args.interval).await;
        }
    }
    Ok(())
}

/// A time that the node tells.
fn duration(event: &Value, key: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(event.get(key)?.as_f64()? / 1e3).ok()
}

/// As requests tell times.
pub(super) fn whole_millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Says that there is a link, and how long it took to open if it was not there before.
fn connected(
    json: bool,
    session: &str,
    name: Option<&str>,
    path: &str,
    after: Option<Duration>,
) -> std::io::Result<()> {
    if json {
        return output::object(&json!({
            "event": "connected", "peer": session, "name": name, "path": path,
            "after_ms": after.map(output::millis),
        }));
    }
    let open = after.map_or("open already".to_owned(), |after| format!("open in {after:.1?}"));
    output::line(&format!("PING {} over {path} ({open})", name.unwrap_or(session)))
}

/// One round trip; `None` if it was lost.
pub(super) async fn ping(
    client: &Client,
    link: LinkId,
    channel: Channel,
) -> Result<Option<Duration>, Failure> {
    let sent = client.running.handle.ping(link, channel).await?;
    let answer = async {
        while let Some(event) = client.running.events.next().await {
            match event {
                Event::Pong { link: l, channel: c, token, rtt } if (l, c, token) == (link, channel, sent) => {
                    return Ok(Some(rtt));
                }
                Event::Disconnected { link: l, why, .. } if l == link => {
                    return Err(Failure::Failed(why.to_string()));
                }
                _ => {}
            }
        }
        Err(Failure::Failed("the node stopped".to_owned()))
    };
    answer
        .or(async {
            smol::Timer::after(LOST_AFTER).await;
            Ok(None)
        })
        .await
}

fn report(json: bool, seq: u64, channel: Channel, rtt: Option<Duration>) -> std::io::Result<()> {
    let label = channel.label();
    match rtt {
        _ if json => {
            let rtt_ms = rtt.map(output::millis);
            output::object(&json!({"event": "pong", "seq": seq, "channel": channel, "rtt_ms": rtt_ms}))
        }
        Some(rtt) => output::line(&format!("{label:<14} seq={seq} time={:.3} ms", output::millis(rtt))),
        None => output::line(&format!("{label:<14} seq={seq} lost")),
    }
}

/// What came of the pings so far.
#[derive(Debug)]
struct Tallies {
    json: bool,
    reliable: Tally,
    stream: Tally,
}

impl Tallies {
    fn note(&mut self, seq: u64, channel: Channel, rtt: Option<Duration>) -> std::io::Result<()> {
        match channel {
            Channel::Reliable => self.reliable.note(rtt),
            Channel::Stream => self.stream.note(rtt),
        }
        report(self.json, seq, channel, rtt)
    }

    fn summary(&mut self) -> std::io::Result<()> {
        self.reliable.summary(self.json, Channel::Reliable)?;
        self.stream.summary(self.json, Channel::Stream)
    }
}

#[derive(Debug, Default)]
struct Tally {
    sent: u32,
    rtts: Vec<Duration>,
}

impl Tally {
    fn note(&mut self, rtt: Option<Duration>) {
        self.sent += 1;
        self.rtts.extend(rtt);
    }

    fn summary(&mut self, json: bool, channel: Channel) -> std::io::Result<()> {
        let (sent, received) = (self.sent, self.rtts.len());
        let [min, p50, p99, max] = percentiles(&mut self.rtts);
        if json {
            return output::object(&json!({
                "event": "summary", "channel": channel, "sent": sent, "received": received,
                "min_ms": min, "p50_ms": p50, "p99_ms": p99, "max_ms": max,
            }));
        }
        let text = |ms: Option<f64>| ms.map_or("-".to_owned(), |ms| format!("{ms:.3}"));
        let times = format!("{}/{}/{}/{}", text(min), text(p50), text(p99), text(max));
        let label = channel.label();
        output::line(&format!("--- {label}: {sent} sent, {received} received, min/p50/p99/max {times} ms"))
    }
}

/// Smallest, median, 99th percentile and largest, in milliseconds.
pub(super) fn percentiles(rtts: &mut [Duration]) -> [Option<f64>; 4] {
    rtts.sort_unstable();
    let at = |percent: usize| rtts.get(rtts.len().saturating_sub(1) * percent / 100).copied();
    [0, 50, 99, 100].map(|percent| at(percent).map(output::millis))
}
