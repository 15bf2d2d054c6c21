//! The driver, over real sockets on the loopback interface.
#![cfg(feature = "driver")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that meets the unexpected has failed"
)]

mod client;
#[path = "../support/messages.rs"]
mod messages;
#[path = "../support/openmetrics.rs"]
mod openmetrics;

mod closing;
mod http;
mod local;
mod metrics;
mod process;
mod pubsub;
mod stubborn;

use std::{net::SocketAddr, rc::Rc};

use router_lite::{Config, Server};
use smol::LocalExecutor;

use crate::client::soon;

/// Runs `test` against a server on a port of its own, then shuts the server down.
fn with_server(config: Config, test: impl AsyncFnOnce(&Server, SocketAddr)) {
    let executor = Rc::new(LocalExecutor::new());
    let config = config.with_bind(&[SocketAddr::from(([127, 0, 0, 1], 0))]).unwrap();
    smol::block_on(executor.run(async {
        let server = Server::bind(config, [9; 32], Rc::clone(&executor)).await.unwrap();
        let running = executor.spawn({
            let server = server.clone();
            async move { server.run().await }
        });
        test(&server, server.local_addr()).await;
        server.shutdown().await;
        soon(running).await;
    }));
}
