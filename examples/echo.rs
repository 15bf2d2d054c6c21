//! A node for a page of one's own: it serves the browser module, shows a code, and sends back whatever a paired browser sends.
//!
//! `cargo run --release -p examples --example echo`, then in the console of a page from its address:
//!
//! ```js
//! const { Identity, Peer } = await import("/clasp-peer.js");
//! const identity = await Identity.load();
//! const peer = new Peer({ url: `ws://${location.host}/`, identity });
//! await peer.pair("1234-5678"); // the code that was printed
//! const link = peer.link(identity.pairs[0].device);
//! link.addEventListener("data", ({ detail }) => console.log(detail.bytes));
//! link.send(new TextEncoder().encode("hello"));
//! ```

use std::error::Error;
use std::rc::Rc;
use std::time::Duration;

use clasp_node::driver::page::PAGES;
use clasp_node::{Event, NodeBuilder};
use examples::say;
use smol::LocalExecutor;

/// How long the code is good for.
const CODE_LASTS: Duration = Duration::from_secs(900);

fn main() -> Result<(), Box<dyn Error>> {
    let executor = Rc::new(LocalExecutor::new());
    smol::block_on(executor.run(async {
        let router = router_lite::Config::default().with_bind(&["0.0.0.0:7330".parse()?])?;
        // Resident: it stays, and pages may call it whenever they like.
        let node = NodeBuilder::new().name("echo").embedded_router(router).resident(true);
        let node = node.start(&executor).await?;
        if let Some(server) = node.embedded_router() {
            server.set_pages(PAGES);
        }
        let shown = node.handle.show_code(CODE_LASTS).await?;
        say(&format!("code {}", shown.code))?;

        while let Some(event) = node.events.next().await {
            match event {
                // Waits for room in the channel, and so slows down who sends faster than they take what comes back.
                Event::Data { link, channel, bytes } => {
                    if let Err(error) = node.handle.send(link, channel, bytes).await {
                        say(&format!("not sent back: {error}"))?; // the page may be closed by now
                    }
                }
                Event::Paired { name, .. } => say(&format!("paired with {name}"))?,
                Event::Disconnected { why, .. } => say(&format!("link ended: {why}"))?,
                _ => {}
            }
        }
        Ok(())
    }))
}
