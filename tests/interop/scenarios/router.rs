//! Owns: starting a router, ours or the stock one, on a free loopback port. Does not own: what is asked of it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::latency;
use crate::process::Process;

/// How long a router may take until it serves.
pub const START: Duration = Duration::from_secs(10);
/// What our programs print before its address once it accepts clients.
pub const LISTENING: &str = "listening on ";

/// A running router; it dies with this handle.
pub struct Router {
    pub url: String,
    pub process: Process,
}

impl Router {
    /// `router-lite` with its defaults.
    pub fn ours() -> Self {
        let program = env::var_os("CLASP_ROUTER_LITE").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/debug/router-lite"),
            PathBuf::from,
        );
        assert!(
            program.is_file(),
            "no router at {}: build it with `cargo build -p router-lite` in the main workspace, or name it in \
             CLASP_ROUTER_LITE",
            program.display()
        );
        let process = Process::start("router-lite", Command::new(program).args(["--bind", "127.0.0.1:0"]));
        let listening = |line: &Value| line.as_str().is_some_and(|text| text.starts_with(LISTENING));
        let line = process.wait_for("line that says where it listens", START, listening);
        let url = line.as_str().unwrap_or_default().trim_start_matches(LISTENING).to_owned();
        Self { url, process }
    }

    /// `clasp-router` 4.5.0 with its defaults.
    pub fn stock() -> Self {
        Self::stock_with(&[])
    }

    /// `clasp-router` 4.5.0 with these arguments of `stock_router`.
    pub fn stock_with(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stock_router"));
        let process = Process::start("stock router", command.args(["--bind", "127.0.0.1:0"]).args(arguments));
        let listening = process.wait_for("listening event", START, |event| event["event"] == "listening");
        let url = listening["url"].as_str().expect("stock_router names its url").to_owned();
        Self { url, process }
    }

    /// The same router, reached over links that take `latency` in each direction.
    pub fn at_a_distance(self, latency: Duration) -> Self {
        let address = self.url.trim_start_matches("ws://").trim_end_matches('/');
        let address = address.parse().unwrap_or_else(|error| panic!("{}: {error}", self.url));
        Self { url: format!("ws://{}", latency::relay(address, latency)), ..self }
    }
}
