//! The three published clients use our router from elsewhere, with a token: what it allows, what it does not, and that they
//! are out when it is revoked. The assertions are in the clients' own scripts; here their verdicts are read.

use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{env, fs};

use serde_json::Value;

use crate::process::Process;
use crate::router::{LISTENING, START};

/// How long one client may take for all its checks; each of them waits at most 5 s.
const ALL_CHECKS: Duration = Duration::from_secs(60);
/// What every client checks.
const CHECKS: [&str; 6] =
    ["wrong_token", "snapshot", "write", "refused_write", "refused_subscription", "revoked"];

#[test]
fn the_rust_client_may_do_from_elsewhere_what_its_token_allows_until_that_is_revoked() {
    let command = Command::new(env!("CARGO_BIN_EXE_stock_access"));
    assert_all_pass("rust", command);
}

#[test]
fn the_javascript_client_may_do_from_elsewhere_what_its_token_allows_until_that_is_revoked() {
    let mut command = Command::new("node");
    command.arg(here().join("js/access.mjs"));
    assert_all_pass("javascript", command);
}

#[test]
fn the_python_client_may_do_from_elsewhere_what_its_token_allows_until_that_is_revoked() {
    let mut command = Command::new(here().join(".venv/bin/python"));
    command.arg(here().join("py/access.py"));
    assert_all_pass("python", command);
}

fn assert_all_pass(name: &str, mut client: Command) {
    let device = Device::start(name);
    let token = device.token(&["add", "guest", "--scope", "read:/pub/*,write:/desk/**"]);
    let local = format!("ws://127.0.0.1:{}", device.port);
    let remote = format!("ws://{}:{}", own_address(), device.port);
    let process = Process::start(name, client.args([&local, &remote, token.trim_end()]));
    process.wait_for("client that waits to be thrown out", ALL_CHECKS, |event| event["event"] == "waiting");
    device.token(&["revoke", "guest"]);
    let (status, verdicts) = process.finish(ALL_CHECKS, |_, events| events.to_vec());
    let passed: Vec<&str> = verdicts
        .iter()
        .filter(|event| event["ok"] == true)
        .filter_map(|event| event["check"].as_str())
        .collect();
    assert_eq!(passed, CHECKS, "{verdicts:#?}\nend of the router's log:\n{}", device.process.log_tail());
    assert!(status.success(), "{status}");
}

/// A node of ours with its router, and where its state is.
struct Device {
    process: Process,
    port: u16,
    folder: PathBuf,
}

impl Device {
    fn start(name: &str) -> Self {
        let folder = env::temp_dir().join(format!("clasp-interop-{}-{name}", std::process::id()));
        fs::create_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut command = program(&folder);
        let process =
            Process::start("clasp-node", command.args(["run", "--bind", "0.0.0.0:0", "--loopback"]));
        let listening = |line: &Value| line.as_str().is_some_and(|text| text.starts_with(LISTENING));
        let line = process.wait_for("line that says where it listens", START, listening);
        let port = line.as_str().and_then(|line| line.rsplit_once(':')?.1.parse().ok());
        Self { process, port: port.unwrap_or_else(|| panic!("{line}")), folder }
    }

    /// What `clasp-node token` prints.
    fn token(&self, args: &[&str]) -> String {
        let output = program(&self.folder).arg("token").args(args).output();
        let output = output.unwrap_or_else(|error| panic!("clasp-node token: {error}"));
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("{}: {error}", self.folder.display());
        }
    }
}

/// `clasp-node`, which keeps everything in `folder`.
fn program(folder: &Path) -> Command {
    let program =
        env::var_os("CLASP_NODE").map_or_else(|| here().join("../../target/debug/clasp-node"), PathBuf::from);
    assert!(
        program.is_file(),
        "no node at {}: build it with `cargo build -p clasp-node` in the main workspace, or name it in CLASP_NODE",
        program.display()
    );
    let mut command = Command::new(program);
    command
        .env("CLASP_NODE_STATE", folder.join("state"))
        .env("CLASP_NODE_CONTROL", folder.join("control.sock"));
    command
}

/// An address of this host that is not its loopback: who comes from there is not of this machine to a router.
fn own_address() -> std::net::IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a UDP socket");
    // Nothing is sent: the system only chooses where it would send from.
    let chosen = socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr());
    chosen.unwrap_or_else(|error| panic!("this host has no address but its loopback: {error}")).ip()
}

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
