//! Owns: a peer process as a test sees it, stock or ours; both speak [`interop::line`]. Does not own: scenarios.

use std::process::Command;
use std::time::Duration;

use interop::line::{self, Channel};
use serde_json::Value;

use crate::process::Process;
use crate::router::Router;

/// How long a session on the router may take.
const SESSION: Duration = Duration::from_secs(10);
/// How long a connection between two peers on loopback may take, webrtc-rs unoptimised on a busy machine.
const CONNECT: Duration = Duration::from_secs(15);
/// How long one message may take.
const DELIVERY: Duration = Duration::from_secs(5);
/// Far less than the node's connect timeout of 10 s.
const AT_ONCE: Duration = Duration::from_secs(3);
/// How often a message is sent on the channel that may lose it.
const UNRELIABLE_ATTEMPTS: usize = 3;

/// One end of a connection, with its session on a router.
pub struct Peer {
    pub session: String,
    pub process: Process,
    /// How often this library says `connected` for one connection.
    says_connected: u64,
}

impl Peer {
    /// `clasp-client` 4.5.0. It says `connected` once when its channel opens and once when the other side says so.
    pub fn stock(name: &str, router: &Router) -> Self {
        Self::start(name, Command::new(env!("CARGO_BIN_EXE_stock_peer")).arg(&router.url), 2)
    }

    /// Our node with its defaults. It says `connected` once.
    pub fn edge(name: &str, router: &Router) -> Self {
        Self::edge_with(name, router, &[])
    }

    /// Our node with these arguments of `edge_peer`.
    pub fn edge_with(name: &str, router: &Router, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_edge_peer"));
        Self::start(name, command.arg(&router.url).args(arguments), 1)
    }

    fn start(name: &str, command: &mut Command, says_connected: u64) -> Self {
        let process = Process::start(name, command);
        let event = process.wait_for("session", SESSION, |event| event["event"] == "session");
        let session = event["id"].as_str().expect("the session event has an id").to_owned();
        Self { session, process, says_connected }
    }

    /// Waits until `other` has announced itself to this peer.
    pub fn wait_until_seen(&self, other: &Self) -> Value {
        self.process.wait_for("announcement", SESSION, |event| {
            event["event"] == "peer" && event["id"] == other.session.as_str()
        })
    }

    pub fn connect(&mut self, session: &str) {
        self.process.write_line(&line::Command::Connect(session.to_owned()).to_string());
    }

    /// Waits until this end says everything it has to say about being connected to `other`.
    pub fn wait_until_connected(&self, other: &Self) {
        self.process.wait_for("connection", CONNECT, |event| self.says_last_of(other, event));
    }

    /// Waits until messages to `other` go through the router.
    pub fn wait_until_relayed(&self, other: &Self) {
        self.process.wait_for("relay", CONNECT, |event| {
            event["event"] == "relayed" && event["peer"] == other.session.as_str()
        });
    }

    /// Waits until an offer of `other` was refused because the two are not paired.
    pub fn wait_until_refused(&self, other: &Self) {
        self.process.wait_for("refusal", CONNECT, |event| {
            event["event"] == "refused"
                && event["peer"] == other.session.as_str()
                && event["reason"].as_str().is_some_and(|reason| reason.starts_with("not paired"))
        });
    }

    /// As [`Peer::wait_until_connected`], for an attempt that may come to nothing.
    pub fn connects_within(&self, deadline: Duration, other: &Self) -> bool {
        self.process.look_for(deadline, |event| self.says_last_of(other, event)).is_some()
    }

    fn says_last_of(&self, other: &Self, event: &Value) -> bool {
        event["event"] == "connected"
            && event["peer"] == other.session.as_str()
            && event["count"] == self.says_connected
    }

    /// Sends `bytes` to `other` and waits until exactly those have arrived on that channel.
    pub fn send_and_check(&mut self, other: &Self, channel: Channel, bytes: &[u8]) {
        let attempts = if channel == Channel::Reliable { 1 } else { UNRELIABLE_ATTEMPTS };
        for attempt in 1..=attempts {
            self.send(other, channel, bytes);
            if let Some(data) = other.next_data(self, channel, attempt == attempts) {
                let (length, hex) = (data["length"].as_u64(), data["hex"].as_str());
                assert_eq!(length, Some(bytes.len() as u64), "length of a message on {channel}");
                assert!(
                    hex == Some(hex::encode(bytes).as_str()),
                    "{length:?} bytes on {channel} arrived changed"
                );
                return;
            }
        }
    }

    fn send(&mut self, other: &Self, channel: Channel, bytes: &[u8]) {
        let command = line::Command::Send { peer: other.session.clone(), channel, bytes: bytes.to_vec() };
        self.process.write_line(&command.to_string());
        let sent = self.process.wait_for("confirmation of the send", DELIVERY, |event| {
            event["event"] == "error" || (event["event"] == "sent" && event["peer"] == other.session.as_str())
        });
        if sent["route"] != "p2p" {
            self.process.fail(&format!("did not send on {channel}: {sent}"));
        }
    }

    fn next_data(&self, from: &Self, channel: Channel, must_come: bool) -> Option<Value> {
        let is_it = |event: &Value| {
            event["event"] == "data"
                && event["peer"] == from.session.as_str()
                && event["channel"] == channel.to_string()
        };
        if must_come {
            Some(self.process.wait_for("message", DELIVERY, is_it))
        } else {
            self.process.look_for(DELIVERY, is_it)
        }
    }

    /// Ends the connection to `other`, which must be told.
    pub fn disconnect_and_check(&mut self, other: &Self) {
        self.process.write_line(&line::Command::Disconnect(other.session.clone()).to_string());
        for (end, far) in [(&*self, other), (other, &*self)] {
            end.process.wait_for("end of the connection", DELIVERY, |event| {
                event["event"] == "disconnected" && event["peer"] == far.session.as_str()
            });
        }
    }

    /// Connecting to `session` must fail, and at once: not by the timeout. Returns the reason.
    pub fn connect_and_fail(&mut self, session: &str) -> String {
        self.connect(session);
        let failed = self
            .process
            .wait_for("failure", AT_ONCE, |event| event["event"] == "failed" && event["peer"] == session);
        failed["reason"].as_str().unwrap_or_default().to_owned()
    }

    /// Events of this kind about `other` that no wait has taken.
    pub fn left_over(&self, kind: &str, other: &Self) -> Vec<Value> {
        let mut events = self.process.waiting_events();
        events.retain(|event| event["event"] == kind && event["peer"] == other.session.as_str());
        events
    }
}
