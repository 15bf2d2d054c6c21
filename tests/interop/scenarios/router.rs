//! Owns: starting a router, ours or the stock one, on a free loopback port. Does not own: what is asked of it.

use std::env;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::process::Process;

/// How long a router may take until it serves.
const START: Duration = Duration::from_secs(10);
/// Pause between two looks at a router that is starting.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

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
        let address = free_address();
        let process =
            Process::start("router-lite", Command::new(program).args(["--bind", &address.to_string()]));
        wait_until_it_serves(&process, address);
        Self { url: format!("ws://{address}"), process }
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
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("a bound socket has an address")
}

/// A load balancer's probe is answered with 200 by either router as soon as it accepts clients.
fn wait_until_it_serves(process: &Process, address: SocketAddr) {
    let deadline = Instant::now() + START;
    while !answers_a_probe(address) {
        if Instant::now() > deadline {
            process.fail(&format!("does not serve on {address} within {START:?}"));
        }
        thread::sleep(LOOK_AGAIN);
    }
}

fn answers_a_probe(address: SocketAddr) -> bool {
    let probe = || {
        let mut stream = TcpStream::connect_timeout(&address, START)?;
        stream.set_read_timeout(Some(START))?;
        stream.write_all(b"HEAD / HTTP/1.1\r\nHost: router\r\n\r\n")?;
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        std::io::Result::Ok(status)
    };
    probe().is_ok_and(|status| &status == b"HTTP/1.1 200")
}
