//! `clasp-node ping`

use std::rc::Rc;
use std::time::Duration;

use clasp_node::{Channel, Event, LinkId};
use serde_json::json;
use smol::LocalExecutor;
use smol::future::FutureExt;

use super::client::{Client, interruptible};
use super::{Failure, PingArgs, output};

/// Without an answer by then, a ping counts as lost.
const LOST_AFTER: Duration = Duration::from_secs(2);

pub(super) async fn run(args: PingArgs, executor: &Rc<LocalExecutor<'static>>) -> Result<(), Failure> {
    let client = Client::start(&args.client, executor).await?;
    let (peer, link) = client.reach(&args.peer).await?;
    let json = args.client.json;
    if json {
        output::object(&json!({
            "event": "connected", "peer": peer.session, "name": peer.name,
            "path": link.path, "after_ms": output::millis(link.after),
        }))?;
    } else {
        let name = peer.name.as_deref().unwrap_or(&peer.session);
        output::line(&format!("PING {name} over {} (open in {:.1?})", link.path, link.after))?;
    }

    let mut reliable = Tally::default();
    let mut stream = Tally::default();
    let pings = async {
        for seq in 1..=args.count {
            for (channel, tally) in [(Channel::Reliable, &mut reliable), (Channel::Stream, &mut stream)] {
                let rtt = ping(&client, link.id, channel).await?;
                tally.note(rtt);
                report(json, seq, channel, rtt)?;
            }
            if seq < args.count {
                smol::Timer::after(args.interval).await;
            }
        }
        Ok(())
    };
    let result = interruptible(pings).await;
    for (channel, tally) in [(Channel::Reliable, &mut reliable), (Channel::Stream, &mut stream)] {
        tally.summary(json, channel)?;
    }
    client.running.handle.shutdown().await;
    result?;
    if reliable.rtts.is_empty() && stream.rtts.is_empty() {
        return Err(Failure::Failed("no ping was answered".to_owned()));
    }
    Ok(())
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

fn report(json: bool, seq: u32, channel: Channel, rtt: Option<Duration>) -> std::io::Result<()> {
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
