//! The unmodified stock router (`clasp-router` 4.5.0) as a process.
//!
//! Prints `{"event":"listening","url":"ws://…"}` on stdout once it accepts clients, logs to stderr (`RUST_LOG`),
//! and ends when stdin ends, so that it cannot outlive the test that started it.

use std::net::{SocketAddr, TcpListener};

use clap::Parser;
use clasp_router::{Router, RouterConfig};
use clasp_transport::WebSocketServer;
use serde_json::json;
use tracing_subscriber::EnvFilter;

/// Attempts at a port that the kernel called free a moment ago.
const BIND_ATTEMPTS: usize = 5;

#[derive(Debug, Parser)]
struct Args {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:7330")]
    bind: SocketAddr,
    /// Seconds without a push to a session after which the router forgets it.
    #[arg(long, default_value_t = 300)]
    session_timeout: u64,
    /// Messages per second a session may send; 0 turns the limit off.
    #[arg(long, default_value_t = 1000)]
    rate: u32,
    /// Sessions at the same time.
    #[arg(long, default_value_t = 100)]
    max_sessions: usize,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,clasp_router=info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();

    let args = Args::parse();
    let router = Router::new(RouterConfig {
        session_timeout: args.session_timeout,
        max_messages_per_second: args.rate,
        rate_limiting_enabled: args.rate > 0,
        max_sessions: args.max_sessions,
        ..RouterConfig::default()
    });
    let (server, address) = bind(args.bind).await?;
    interop::line::emit(&json!({ "event": "listening", "url": format!("ws://{address}") }))?;
    let (mut stdin, mut ignored) = (tokio::io::stdin(), tokio::io::sink());
    tokio::select! {
        served = router.serve_on(server) => Ok(served?),
        _ = tokio::io::copy(&mut stdin, &mut ignored) => std::process::exit(0),
    }
}

/// The stock listener cannot tell which port it was given, so port 0 is resolved before it binds.
async fn bind(wanted: SocketAddr) -> Result<(WebSocketServer, SocketAddr), Box<dyn std::error::Error>> {
    let mut attempt = 1;
    loop {
        let address = match wanted.port() {
            0 => TcpListener::bind(wanted)?.local_addr()?,
            _ => wanted,
        };
        match WebSocketServer::bind(&address.to_string()).await {
            Ok(server) => return Ok((server, address)),
            Err(error) if wanted.port() != 0 || attempt == BIND_ATTEMPTS => return Err(error.into()),
            Err(_) => attempt += 1,
        }
    }
}
