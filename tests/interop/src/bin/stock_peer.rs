//! A stock P2P client (`clasp-client` 4.5.0, feature `p2p`) as a process, driven by the line protocol of
//! [`interop::line`].
//!
//! No STUN server is configured: nothing here talks to anybody but the router and the peer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use clasp_client::{Clasp, P2PEvent, SendResult};
use clasp_core::P2PConfig;
use interop::line::{Channel, Command, emit};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::Notify;
use tracing_subscriber::EnvFilter;

/// How long the stock client tries to connect before it says `failed`.
const CONNECT_TIMEOUT_S: u64 = 20;
/// How long the router may take to carry out what the client sends after HELLO.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, Parser)]
struct Args {
    /// The router, `ws://host:port`.
    router: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,clasp_client=debug"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();

    let p2p = P2PConfig {
        ice_servers: Vec::new(),
        turn_servers: Vec::new(),
        connection_timeout_secs: CONNECT_TIMEOUT_S,
        ..P2PConfig::default()
    };
    let client = Clasp::builder(&Args::parse().router).name("stock peer").p2p_config(p2p).connect().await?;
    let connected = Mutex::new(HashMap::new());
    client.on_p2p_event(move |event| {
        if emit(&describe(event, &connected)).is_err() {
            std::process::exit(1);
        }
    });
    let session = client.session_id().ok_or("connected without a session")?;
    wait_until_subscribed(&client, &session).await?;
    emit(&json!({ "event": "session", "id": session }))?;

    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        match obey(&client, &line).await {
            Ok(Some(event)) => emit(&event)?,
            Ok(None) => {}
            Err(reason) => {
                let command = line.split_whitespace().next().unwrap_or_default();
                emit(&json!({ "event": "error", "command": command, "reason": reason }))?;
            }
        }
        if line.trim() == "quit" {
            break;
        }
    }
    // The stock client neither closes its connections nor its threads: leave without waiting for them.
    std::process::exit(0);
}

/// The stock client returns from `connect` before the router has its subscriptions, and neither side of a stock link
/// disables Nagle's algorithm: for some 40 ms announcements of others would be missed. Frames of one session are
/// carried out in order, so the echo of a SET shows that the subscriptions are there.
async fn wait_until_subscribed(client: &Clasp, session: &str) -> Result<(), Box<dyn std::error::Error>> {
    let echo = Arc::new(Notify::new());
    let heard = Arc::clone(&echo);
    let address = format!("/interop/peer/{session}");
    let id = client.subscribe(&address, move |_, _| heard.notify_one()).await?;
    client.set(&address, true).await?;
    tokio::time::timeout(SUBSCRIBE_TIMEOUT, echo.notified()).await?;
    client.unsubscribe(id).await?;
    Ok(())
}

async fn obey(client: &Clasp, line: &str) -> Result<Option<Value>, String> {
    match line.parse()? {
        Command::Connect(peer) => {
            client.connect_to_peer(&peer).await.map_err(|error| error.to_string())?;
            Ok(None)
        }
        Command::Send { peer, channel, bytes } => {
            let length = bytes.len();
            let route = client
                .send_p2p(&peer, Bytes::from(bytes), channel == Channel::Reliable)
                .await
                .map_err(|error| error.to_string())?;
            let route = match route {
                SendResult::P2P => "p2p",
                SendResult::Relay => "relay",
            };
            Ok(Some(json!({
                "event": "sent", "peer": peer, "channel": channel.to_string(), "length": length, "route": route,
            })))
        }
        Command::Disconnect(_) => Err("the stock client has no call for this".to_owned()),
        Command::Quit => Ok(None),
    }
}

fn describe(event: P2PEvent, connected: &Mutex<HashMap<String, u32>>) -> Value {
    match event {
        P2PEvent::PeerAnnounced { session_id, features } => {
            json!({ "event": "peer", "id": session_id, "features": features })
        }
        P2PEvent::Connected { peer_session_id } => {
            let mut connected = connected.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let count = connected.entry(peer_session_id.clone()).or_insert(0);
            *count += 1;
            json!({ "event": "connected", "peer": peer_session_id, "count": *count })
        }
        P2PEvent::ConnectionFailed { peer_session_id, reason } => {
            json!({ "event": "failed", "peer": peer_session_id, "reason": reason })
        }
        P2PEvent::Disconnected { peer_session_id, reason } => {
            json!({ "event": "disconnected", "peer": peer_session_id, "reason": reason })
        }
        P2PEvent::Data { peer_session_id, data, reliable } => json!({
            "event": "data",
            "peer": peer_session_id,
            "channel": if reliable { Channel::Reliable } else { Channel::Unreliable }.to_string(),
            "length": data.len(),
            "hex": hex::encode(&data),
        }),
    }
}
