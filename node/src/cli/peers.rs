//! `clasp-node peers`

use std::rc::Rc;

use serde_json::json;
use smol::LocalExecutor;
use smol::future::FutureExt;

use super::client::{Client, interruptible};
use super::{Failure, PeersArgs, output};

pub(super) async fn run(args: PeersArgs, executor: &Rc<LocalExecutor<'static>>) -> Result<(), Failure> {
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
    if !args.client.json {
        output::line(&format!("{:<36}  {:<16}  {:<5}  ROUTER", "SESSION", "NAME", "KIND"))?;
    }
    for peer in &peers {
        let router = routers.get(peer.router.place()).map(ToString::to_string).unwrap_or_default();
        if args.client.json {
            let (session, name, edge) = (&peer.session, &peer.name, peer.edge);
            let (device, pairing) = (peer.device, peer.pairing);
            output::object(&json!({
                "session": session, "name": name, "edge": edge, "router": router, "device": device, "pairing": pairing,
            }))?;
        } else {
            let name = peer.name.as_deref().unwrap_or("-");
            let kind = if peer.edge { "edge" } else { "stock" };
            output::line(&format!("{:<36}  {name:<16}  {kind:<5}  {router}", peer.session))?;
        }
    }
    client.running.handle.shutdown().await;
    Ok(())
}
