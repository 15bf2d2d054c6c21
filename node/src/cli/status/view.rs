//! The status of a node as this program reads it. The node may be of another version: what it does not tell is left out.

use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::cli) struct Node {
    pub(in crate::cli) version: String,
    pub(in crate::cli) pid: u32,
    pub(in crate::cli) id: String,
    pub(in crate::cli) name: String,
    pub(in crate::cli) storage: Storage,
    pub(in crate::cli) uptime_ms: f64,
    pub(in crate::cli) addresses: Vec<String>,
    pub(in crate::cli) skipped: Vec<Skipped>,
    pub(in crate::cli) discovery: Option<Discovery>,
    pub(in crate::cli) routers: Vec<Router>,
    pub(in crate::cli) links: Vec<Link>,
    pub(in crate::cli) ended: Vec<Ended>,
    pub(in crate::cli) shares: Option<Shares>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::cli) struct Shares {
    pub(in crate::cli) sent: u64,
    pub(in crate::cli) received: u64,
    pub(in crate::cli) dropped: u64,
    pub(in crate::cli) too_large: u64,
    pub(in crate::cli) refused: u64,
    pub(in crate::cli) outranked: u64,
    pub(in crate::cli) links: Vec<SharedLink>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::cli) struct SharedLink {
    pub(in crate::cli) link: u64,
    pub(in crate::cli) device: String,
    pub(in crate::cli) asked: Vec<String>,
    pub(in crate::cli) wishes: Vec<String>,
    pub(in crate::cli) waiting: Traffic,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::cli) struct Storage {
    pub(in crate::cli) directory: Option<String>,
    pub(in crate::cli) identity_stored: bool,
    pub(in crate::cli) why: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::cli) struct Discovery {
    pub(in crate::cli) instance: Option<String>,
    pub(in crate::cli) faults: Vec<String>,
    pub(in crate::cli) found: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::cli) struct Skipped {
    pub(in crate::cli) interface: String,
    pub(in crate::cli) address: String,
    pub(in crate::cli) why: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::cli) struct Router {
    pub(in crate::cli) url: String,
    pub(in crate::cli) state: String,
    pub(in crate::cli) session: Option<String>,
    pub(in crate::cli) lost: Option<String>,
    pub(in crate::cli) retry_in_ms: Option<f64>,
    pub(in crate::cli) peers: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::cli) struct Link {
    pub(in crate::cli) link: u64,
    pub(in crate::cli) peer: String,
    pub(in crate::cli) name: Option<String>,
    pub(in crate::cli) state: String,
    pub(in crate::cli) in_state_ms: f64,
    pub(in crate::cli) path: Option<Path>,
    pub(in crate::cli) no_path: Option<String>,
    pub(in crate::cli) checks: Checks,
    pub(in crate::cli) reliable: Channel,
    pub(in crate::cli) stream: Channel,
    pub(in crate::cli) relayed: Relayed,
    pub(in crate::cli) unconfirmed: Traffic,
    pub(in crate::cli) unacknowledged_bytes: u64,
    pub(in crate::cli) drops: Drops,
    pub(in crate::cli) restarts: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::cli) struct Path {
    pub(in crate::cli) local: String,
    pub(in crate::cli) remote: String,
    pub(in crate::cli) local_kind: Option<String>,
    pub(in crate::cli) remote_kind: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::cli) struct Checks {
    pub(in crate::cli) rtt_ms: Option<f64>,
    pub(in crate::cli) recent: u64,
    pub(in crate::cli) recent_lost: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::cli) struct Channel {
    pub(in crate::cli) sent: Traffic,
    pub(in crate::cli) received: Traffic,
    pub(in crate::cli) waiting: Traffic,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::cli) struct Relayed {
    pub(in crate::cli) sent: Traffic,
    pub(in crate::cli) received: Traffic,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::cli) struct Traffic {
    pub(in crate::cli) messages: u64,
    pub(in crate::cli) bytes: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::cli) struct Drops {
    pub(in crate::cli) stream_messages: u64,
    pub(in crate::cli) datagrams: u64,
    pub(in crate::cli) candidates: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::cli) struct Ended {
    pub(in crate::cli) peer: String,
    pub(in crate::cli) name: Option<String>,
    pub(in crate::cli) end: String,
    pub(in crate::cli) why: String,
    pub(in crate::cli) ago_ms: f64,
}

impl std::fmt::Display for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.directory, &self.why) {
            (Some(directory), None) if self.identity_stored => write!(f, "stored in {directory}"),
            (_, Some(why)) if self.identity_stored => write!(f, "stored, but new pairs are not: {why}"),
            (_, Some(why)) => write!(f, "in memory until it ends: {why}"),
            _ => f.write_str("in memory until it ends"),
        }
    }
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = |kind: &Option<String>| kind.as_ref().map(|k| format!(" ({k})")).unwrap_or_default();
        write!(f, "{}{} to {}{}", self.local, kind(&self.local_kind), self.remote, kind(&self.remote_kind))
    }
}
