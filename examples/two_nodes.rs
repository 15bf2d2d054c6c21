//! Two nodes in one program: the first runs the router, the second finds it there, calls it and says hello directly.
//!
//! You will see both sides connect, and the greeting arrive on a data channel:
//! `cargo run -p examples --example two_nodes`

use std::error::Error;
use std::rc::Rc;

use bytes::Bytes;
use clasp_node::driver::{Loopback, RouterUrl};
use clasp_node::{Channel, Event, NodeBuilder, Trust};
use examples::say;
use smol::LocalExecutor;

fn main() -> Result<(), Box<dyn Error>> {
    let executor = Rc::new(LocalExecutor::new());
    smol::block_on(executor.run(async {
        let router = router_lite::Config::default().with_bind(&["127.0.0.1:0".parse()?])?;
        // The two have never been paired; devices that have been need no such trust.
        let node = |name: &str| NodeBuilder::new().name(name).trust(Trust::Open).loopback(Loopback::Only);
        let kitchen = node("kitchen").embedded_router(router);
        let kitchen = kitchen.start(&executor).await?;
        let url = RouterUrl::from(kitchen.router_addr.ok_or("the kitchen runs a router")?);
        let garden = node("garden").router(url);
        let garden = garden.start(&executor).await?;

        // The garden waits until it sees the kitchen, calls it, and greets it once the link is open.
        let gardener = executor.spawn(async move {
            while let Some(event) = garden.events.next().await {
                match event {
                    Event::PeerSeen(peer) if peer.name.as_deref() == Some("kitchen") => {
                        garden.handle.connect(peer.router, &peer.session).await?;
                    }
                    Event::Connected { link, path, after, .. } => {
                        say(&format!("garden: connected to {} in {after:.1?}", path.remote))?;
                        let greeting = Bytes::from_static(b"hello from the garden");
                        garden.handle.send(link, Channel::Reliable, greeting).await?;
                    }
                    Event::Failed { why, .. } => return Err(why.into()),
                    Event::Disconnected { why, .. } => {
                        say(&format!("garden: {why}"))?;
                        break;
                    }
                    _ => {}
                }
            }
            Ok::<_, Box<dyn Error>>(())
        });

        while let Some(event) = kitchen.events.next().await {
            match event {
                Event::Connected { path, .. } => say(&format!("kitchen: connected to {}", path.remote))?,
                Event::Data { link, channel, bytes } => {
                    say(&format!("kitchen: {:?} on {}", String::from_utf8_lossy(&bytes), channel.label()))?;
                    kitchen.handle.disconnect(link, "thank you").await?;
                }
                Event::Disconnected { .. } => break,
                _ => {}
            }
        }
        gardener.await?;
        kitchen.handle.shutdown().await;
        Ok(())
    }))
}
