//! Our node as a process, driven by the line protocol of [`interop::line`]: what `stock_peer` is for the stock client.

use std::collections::BTreeMap;
use std::io::{BufRead as _, stdin};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use clasp_node::{
    Channel, Event, Events, Identity, LinkId, NodeBuilder, NodeConfig, NodeHandle, Pair, PairKey, Pairs,
    RouterId, RouterUrl, RoutingMode, Trust,
};
use interop::line::{self, Command, emit};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

#[derive(Debug, Parser)]
struct Args {
    /// The router, `ws://host:port`.
    router: RouterUrl,
    /// Milliseconds between two signals to ourselves, which keep the session alive on the stock router.
    #[arg(long, default_value_t = 60_000)]
    keep_alive_ms: u64,
    /// Which ways messages may take.
    #[arg(long, default_value_t = RoutingMode::PreferP2p)]
    routing: RoutingMode,
    /// Be this one of two devices that are paired, and take nobody else's offers.
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=1))]
    paired_device: Option<u8>,
}

/// The device of this number.
fn identity(number: u8) -> Result<Identity, Box<dyn std::error::Error>> {
    Ok(Identity::generate(&mut StdRng::from_seed([number + 1; 32]))?)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info,clasp_node=debug"))
        .init();
    let args = Args::parse();
    let config = NodeConfig {
        name: "edge peer".to_owned(),
        keep_alive: Duration::from_millis(args.keep_alive_ms),
        routing: args.routing,
        trust: if args.paired_device.is_some() { Trust::Paired } else { Trust::Open },
        ..NodeConfig::default()
    };
    let mut builder = NodeBuilder::new().config(config).router(args.router);
    if let Some(number) = args.paired_device {
        let other = identity(1 - number)?;
        let mut pairs = Pairs::new();
        let key = PairKey::new([7; 32]);
        pairs.insert(Pair::new(other.public_key(), *other.fingerprint(), key, "the other"))?;
        builder = builder.identity(identity(number)?).pairs(pairs);
    }
    let (node, events, _) = builder.start_thread()?;
    let known = Arc::<Mutex<Known>>::default();
    let telling = Arc::clone(&known);
    thread::spawn(move || smol::block_on(tell(&events, &telling)));

    for line in stdin().lock().lines() {
        let line = line?;
        match line.parse() {
            Ok(Command::Quit) => break,
            Ok(command) => match smol::block_on(obey(&node, &known, command)) {
                Ok(Some(event)) => emit(&event)?,
                Ok(None) => {}
                Err(reason) => emit(&refusal(&line, &reason))?,
            },
            Err(reason) => emit(&refusal(&line, &reason))?,
        }
    }
    smol::block_on(node.shutdown());
    Ok(())
}

/// The line protocol names peers by session; the node names routers and links by id.
#[derive(Debug, Default)]
struct Known {
    router: Option<RouterId>,
    links: BTreeMap<LinkId, String>,
    connected: BTreeMap<String, u32>,
}

impl Known {
    /// The newest link to this peer.
    fn link(&self, peer: &str) -> Result<LinkId, String> {
        let found = self.links.iter().rev().find(|(_, session)| *session == peer);
        found.map(|(link, _)| *link).ok_or_else(|| format!("no link to {peer}"))
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

async fn obey(node: &NodeHandle, known: &Mutex<Known>, command: Command) -> Result<Option<Value>, String> {
    match command {
        Command::Connect(peer) => {
            let router = lock(known).router.ok_or("no session on the router yet")?;
            node.connect(router, &peer).await.map_err(|error| error.to_string())?;
            Ok(None)
        }
        Command::Send { peer, channel, bytes } => {
            let link = lock(known).link(&peer)?;
            let length = bytes.len();
            let through = match channel {
                line::Channel::Reliable => Channel::Reliable,
                line::Channel::Unreliable => Channel::Stream,
            };
            node.send(link, through, Bytes::from(bytes)).await.map_err(|error| error.to_string())?;
            Ok(Some(json!({
                "event": "sent", "peer": peer, "channel": channel.to_string(), "length": length, "route": "p2p",
            })))
        }
        Command::Disconnect(peer) => {
            let link = lock(known).link(&peer)?;
            node.disconnect(link, "told to").await.map_err(|error| error.to_string())?;
            Ok(None)
        }
        Command::Quit => Ok(None),
    }
}

fn refusal(line: &str, reason: &str) -> Value {
    let command = line.split_whitespace().next().unwrap_or_default();
    json!({ "event": "error", "command": command, "reason": reason })
}

async fn tell(events: &Events, known: &Mutex<Known>) {
    while let Some(event) = events.next().await {
        let line = describe(event, &mut lock(known));
        if line.is_some_and(|line| emit(&line).is_err()) {
            std::process::exit(1);
        }
    }
}

fn describe(event: Event, known: &mut Known) -> Option<Value> {
    match event {
        Event::RouterReady { router, session, .. } => {
            known.router = Some(router);
            Some(json!({ "event": "session", "id": session }))
        }
        Event::PeerSeen(peer) => {
            Some(json!({ "event": "peer", "id": peer.session, "name": peer.name, "edge": peer.edge }))
        }
        Event::Connecting { link, peer, .. } => {
            known.links.insert(link, peer);
            None
        }
        Event::Connected { peer, role, path, after, .. } => {
            let count = known.connected.entry(peer.clone()).or_insert(0);
            *count += 1;
            Some(json!({
                "event": "connected", "peer": peer, "count": *count, "role": role.to_string(),
                "remote": path.remote.to_string(), "after_us": u64::try_from(after.as_micros()).unwrap_or(u64::MAX),
            }))
        }
        Event::Relayed { peer, .. } => Some(json!({ "event": "relayed", "peer": peer })),
        Event::Refused { peer, why } => Some(json!({ "event": "refused", "peer": peer, "reason": why })),
        Event::Data { link, channel, bytes } => {
            let channel = match channel {
                Channel::Reliable => line::Channel::Reliable,
                Channel::Stream => line::Channel::Unreliable,
            };
            Some(json!({
                "event": "data", "peer": known.links.get(&link), "channel": channel.to_string(),
                "length": bytes.len(), "hex": hex::encode(&bytes),
            }))
        }
        Event::Failed { link, peer, why } => {
            known.links.remove(&link);
            Some(json!({ "event": "failed", "peer": peer, "reason": why.to_string() }))
        }
        Event::Disconnected { link, peer, why } => {
            known.links.remove(&link);
            Some(json!({ "event": "disconnected", "peer": peer, "reason": why.to_string() }))
        }
        _ => None,
    }
}
