//! `stock-router [MAX_SESSIONS]`: the unmodified stock router (`clasp-router` 4.5.0) as a process.
//!
//! Listens on a free loopback port and prints `listening on ws://ADDRESS:PORT` once it accepts clients. Everything is
//! as published, except the rate limit, which is off, and the number of sessions. Ends when it is killed.

use std::error::Error;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};

use clasp_router::{Router, RouterConfig};
use clasp_transport::WebSocketServer;

/// Attempts at a port that the kernel called free a moment ago.
const BIND_ATTEMPTS: usize = 5;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let max_sessions = std::env::args().nth(1).map_or(Ok(1100), |text| text.parse())?;
    let router =
        Router::new(RouterConfig { max_sessions, rate_limiting_enabled: false, ..RouterConfig::default() });
    let (server, address) = bind().await?;
    writeln!(std::io::stdout(), "listening on ws://{address}")?;
    Ok(router.serve_on(server).await?)
}

/// The stock listener cannot tell which port it was given, so a free one is found before it binds.
async fn bind() -> Result<(WebSocketServer, SocketAddr), Box<dyn Error>> {
    let mut attempt = 1;
    loop {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        match WebSocketServer::bind(&address.to_string()).await {
            Ok(server) => return Ok((server, address)),
            Err(error) if attempt == BIND_ATTEMPTS => return Err(error.into()),
            Err(_) => attempt += 1,
        }
    }
}
