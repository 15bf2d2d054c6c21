//! The other process: takes links and what comes over them.

use std::io::Write as _;
use std::rc::Rc;

use clasp_node::driver::Loopback;
use clasp_node::{Channel, Event, NodeBuilder, RouterUrl, Trust};
use smol::LocalExecutor;

use crate::Outcome;
use crate::offerer::frame;

/// Prints its session id, then serves until it is killed.
pub(crate) async fn run(
    router: RouterUrl,
    messages: usize,
    executor: &Rc<LocalExecutor<'static>>,
) -> Outcome<()> {
    let builder = NodeBuilder::new().name("bench-answerer").trust(Trust::Open).router(router).loopback(Loopback::Only);
    let running = builder.start(executor).await?;
    let mut received = 0;
    while let Some(event) = running.events.next().await {
        match event {
            Event::RouterReady { session, .. } => writeln!(std::io::stdout(), "{session}")?,
            Event::Data { link, channel: Channel::Reliable, .. } => {
                received += 1;
                if received == messages {
                    received = 0;
                    running.handle.send(link, Channel::Reliable, frame(0)?).await?;
                }
            }
            Event::Disconnected { .. } => received = 0,
            _ => {}
        }
    }
    Err("the node stopped".into())
}
