//! What commands print: events as JSON, and lines on standard output.

use std::io::Write;

use clasp_node::Event;
use serde_json::{Value, json};
use smol::Unblock;
use smol::io::AsyncWriteExt;

/// Prints a line at once. Only for the few lines of a short command: a reader that pauses would pause the node as well.
pub(super) fn line(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

/// Prints a JSON object on a line of its own.
pub(super) fn object(value: &Value) -> std::io::Result<()> {
    line(&value.to_string())
}

/// Lines of a command that runs for long. A reader that pauses makes the caller wait, not the node.
pub(super) struct Lines(Unblock<std::io::Stdout>);

impl Lines {
    pub(super) fn new() -> Self {
        Self(Unblock::with_capacity(64 * 1024, std::io::stdout()))
    }

    pub(super) async fn object(&mut self, value: &Value) -> std::io::Result<()> {
        self.0.write_all(format!("{value}\n").as_bytes()).await?;
        self.0.flush().await
    }
}

/// An event as JSON. Data is told by its length: it may be anything.
pub(super) fn event(event: &Event) -> Value {
    match event {
        Event::RouterReady { router, session, name } => {
            json!({"event": "router_ready", "router": router, "session": session, "name": name})
        }
        Event::RouterLost { router, why, retry_in } => {
            json!({"event": "router_lost", "router": router, "why": why, "retry_in_ms": retry_in.map(millis)})
        }
        Event::PeerSeen(peer) => json!({"event": "peer_seen", "peer": peer}),
        Event::Connecting { link, peer, role } => {
            json!({"event": "connecting", "link": link, "peer": peer, "role": role})
        }
        Event::State { link, state } => json!({"event": "state", "link": link, "state": state}),
        Event::Step { link, peer, role, step } => {
            json!({"event": "step", "link": link, "peer": peer, "role": role, "step": step})
        }
        Event::Proven { link, device, name, .. } => {
            json!({"event": "proven", "link": link, "device": device, "name": name})
        }
        Event::Connected { link, peer, role, path, after } => json!({
            "event": "connected", "link": link, "peer": peer, "role": role,
            "local": path.local.to_string(), "local_kind": path.local_kind, "remote": path.remote.to_string(),
            "remote_kind": path.remote_kind, "after_ms": millis(*after),
        }),
        Event::PathChanged { link, peer, path } => {
            json!({"event": "path_changed", "link": link, "peer": peer, "path": path})
        }
        Event::Relayed { link, peer, router, why, after } => json!({
            "event": "relayed", "link": link, "peer": peer, "router": router, "why": why, "after_ms": millis(*after),
        }),
        Event::Data { link, channel, bytes } => {
            json!({"event": "data", "link": link, "channel": channel, "bytes": bytes.len()})
        }
        Event::Pong { link, channel, rtt, .. } => {
            json!({"event": "pong", "link": link, "channel": channel, "rtt_ms": millis(*rtt)})
        }
        Event::Failed { link, peer, why } => {
            json!({"event": "failed", "link": link, "peer": peer, "why": why.to_string()})
        }
        Event::Disconnected { link, peer, why } => {
            json!({"event": "disconnected", "link": link, "peer": peer, "why": why.to_string()})
        }
        Event::Paired { device, name, peer, check } => {
            json!({"event": "paired", "device": device, "name": name, "peer": peer, "check": check})
        }
        Event::PairingFailed { why } => json!({"event": "pairing_failed", "why": why.to_string()}),
        Event::Refused { peer, why } => json!({"event": "refused", "peer": peer, "why": why}),
        _ => json!({"event": "other"}),
    }
}

/// Milliseconds with microseconds behind the point.
pub(super) fn millis(duration: std::time::Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// Rows under their headings, in columns as wide as they need to be.
pub(super) fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> std::io::Result<()> {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        let heading = headings.get(column).map_or(0, |heading| heading.len());
        cells.max().unwrap_or(0).max(heading)
    };
    let print = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<_> = cells.enumerate().map(|(n, cell)| format!("{cell:<0$}", width(n))).collect();
        line(padded.join("  ").trim_end())
    };
    print(&mut headings.into_iter())?;
    rows.iter().try_for_each(|row| print(&mut row.iter().map(String::as_str)))
}

/// A time for people: two units at most.
pub(super) fn time(millis: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number of seconds, shown whole"
    )]
    let seconds = (millis / 1e3) as u64;
    match seconds {
        0 => format!("{millis:.0} ms"),
        1..60 => format!("{:.1} s", millis / 1e3),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// A count of bytes for people, from 0 B to any number of MB.
pub(super) fn bytes(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let kilobytes = bytes as f64 / 1e3;
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{kilobytes:.1} kB"),
        _ => megabytes(bytes),
    }
}

/// A count of bytes for people.
pub(super) fn megabytes(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let megabytes = bytes as f64 / 1e6;
    format!("{megabytes:.1} MB")
}
