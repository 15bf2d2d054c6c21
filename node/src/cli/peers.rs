//! `clasp-node peers`

use std::rc::Rc;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use smol::LocalExecutor;
use smol::future::FutureExt;

use super::client::{Client, interruptible};
use super::service::{self, Choice, Told, text};
use super::{ClientArgs, Failure, output, seconds};

#[derive(Debug, Args)]
pub(super) struct PeersArgs {
    #[command(flatten)]
    pub(super) client: ClientArgs,
    /// How long to listen for announcements, with a node of one's own
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub(super) listen: Duration,
}

pub(super) async fn run(
    args: PeersArgs,
    choice: Choice,
    executor: &Rc<LocalExecutor<'static>>,
) -> Result<(), Failure> {
    let peers = match service::ask(&args.client, choice, &json!({"cmd": "peers"})).await? {
        // It has listened already.
        Some(node) => match interruptible(service::told(&mut node.frames())).await? {
            Told::Ok(Value::Array(peers)) => peers,
            Told::Ok(other) | Told::Event(other) => {
                return Err(Failure::Failed(format!("not a list of peers: {other}")));
            }
        },
        None => listen(&args, executor).await?,
    };
    if !args.client.json {
        output::line(&format!("{:<36}  {:<16}  {:<5}  ROUTER", "SESSION", "NAME", "KIND"))?;
    }
    for peer in &peers {
        if args.client.json {
            output::object(peer)?;
        } else {
            let name = peer.get("name").and_then(Value::as_str).unwrap_or("-");
            let kind = if peer.get("edge") == Some(&Value::Bool(true)) { "edge" } else { "stock" };
            let (session, router) = (text(peer, "session"), text(peer, "router"));
            output::line(&format!("{session:<36}  {name:<16}  {kind:<5}  {router}"))?;
        }
    }
    Ok(())
}

/// With a node of one's own, which hears who is there.
async fn listen(args: &PeersArgs, executor: &Rc<LocalExecutor<'static>>) -> Result<Vec<Value>, Failure> {
    let client = Client::start(&args.client, executor).await?;
    let listen = async {
        while client.running.events.next().await.is_some() {}
        Ok(())
    };
    let enough = async {
        smol::Timer::after(args.listen).await;
        Ok(())
    };
    interruptible(listen.or(enough)).await?;
    let peers = client.running.handle.peers().await?;
    let routers = &client.running.routers;
    let told = peers.iter().map(|peer| {
        let router = routers.get(peer.router.place()).map(ToString::to_string).unwrap_or_default();
        json!({
            "session": peer.session, "name": peer.name, "edge": peer.edge, "router": router,
            "device": peer.device, "pairing": peer.pairing,
        })
    });
    let told = told.collect();
    client.running.handle.shutdown().await;
    Ok(told)
}
