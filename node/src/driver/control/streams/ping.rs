//! `{"cmd":"ping","peer":…}`: one event for the link, one for every round trip.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use smol::Timer;

use super::{Reader, Stopped, Writer, millis, say, unless_given_up};
use crate::driver::service::{self, Reached, Service};
use crate::event::Channel;
use crate::limits::MAX_CONTROL_WAIT;

#[derive(Debug, Deserialize)]
pub(in crate::driver::control) struct PingRequest {
    peer: String,
    count: u32,
    interval_ms: Option<u64>,
    wait_ms: Option<u64>,
}

/// What is asked for where nothing is said.
pub(super) const WAIT: Duration = Duration::from_secs(10);

pub(super) async fn carry(
    request: PingRequest,
    mut reader: Reader<'_>,
    writer: Writer<'_>,
    service: &Service,
) -> Result<Value, Stopped> {
    let interval = millis(request.interval_ms, Duration::from_secs(1)).min(MAX_CONTROL_WAIT);
    let pings = async {
        let mut reached = reach(service, &request.peer, request.wait_ms).await?;
        let mut news = reached.news();
        say(writer, &connected(&reached)).await?;
        // A link that was there may end at the very moment, because its last user has gone.
        let mut again = reached.after.is_none();
        for seq in 1..=request.count {
            for channel in [Channel::Reliable, Channel::Stream] {
                let mut pinged = service::ping(service, reached.link, channel, &news).await;
                if pinged.is_err() && std::mem::take(&mut again) {
                    reached = reach(service, &request.peer, request.wait_ms).await?;
                    news = reached.news();
                    pinged = service::ping(service, reached.link, channel, &news).await;
                }
                let rtt = pinged?;
                again = false;
                let rtt_ms = rtt.map(in_millis);
                let pong = json!({"event": "pong", "seq": seq, "channel": channel, "rtt_ms": rtt_ms});
                say(writer, &pong).await?;
            }
            if seq < request.count {
                Timer::after(interval).await;
            }
        }
        Ok(json!({}))
    };
    unless_given_up(&mut reader, pings).await
}

/// A link to the peer that the command names.
pub(super) async fn reach(service: &Service, peer: &str, wait_ms: Option<u64>) -> Result<Reached, String> {
    service.reach(peer, millis(wait_ms, WAIT)).await.map_err(|error| error.to_string())
}

pub(super) fn connected(reached: &Reached) -> Value {
    let Reached { peer, path, after, .. } = reached;
    json!({
        "event": "connected", "peer": peer.session, "name": peer.name, "path": path,
        "after_ms": after.map(in_millis),
    })
}

/// Milliseconds with microseconds behind the point.
fn in_millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
