//! The three published clients go through hello, subscribe, set/get, event, stream, bundle and late join on either
//! router. The assertions are in the clients' own scripts; here their verdicts are read.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::process::Process;
use crate::router::Router;

/// How long one client may take for all its checks; each of them waits at most 5 s for a message.
const ALL_CHECKS: Duration = Duration::from_secs(60);
/// What every client checks; the Python one also queries.
const CHECKS: [&str; 13] = [
    "hello",
    "set_echo",
    "subscribe",
    "event",
    "stream",
    "set",
    "values",
    "get",
    "bundle",
    "unsubscribe",
    "refused_pattern",
    "late_join",
    "setter_survives",
];

#[test]
fn the_rust_client_passes_every_check_on_our_router() {
    assert_all_pass(rust_client(), &Router::ours());
}

#[test]
fn the_rust_client_passes_every_check_on_the_stock_router() {
    assert_all_pass(rust_client(), &Router::stock());
}

#[test]
fn the_javascript_client_passes_every_check_on_our_router() {
    assert_all_pass(javascript_client(), &Router::ours());
}

#[test]
fn the_javascript_client_passes_every_check_on_the_stock_router() {
    assert_all_pass(javascript_client(), &Router::stock());
}

#[test]
fn the_python_client_passes_every_check_on_our_router() {
    assert_all_pass(python_client(), &Router::ours());
}

/// The stock router acknowledges every SET, and the Python client stops receiving at the first ACK.
#[test]
fn the_python_client_passes_all_but_surviving_its_own_set_on_the_stock_router() {
    let verdicts = run(python_client(), &Router::stock());
    let failed: Vec<&str> =
        verdicts.iter().filter(|(_, ok, _)| !ok).map(|(name, ..)| name.as_str()).collect();
    assert_eq!(failed, ["setter_survives"], "{verdicts:#?}");
    let why = &verdicts.iter().find(|(name, ..)| name == "setter_survives").expect("found above").2;
    assert!(why.contains("Unknown message type: 0x50"), "died of something else: {why}");
}

type Verdict = (String, bool, String);

fn assert_all_pass(client: (&'static str, Command), router: &Router) {
    let failed: Vec<Verdict> = run(client, router).into_iter().filter(|(_, ok, _)| !ok).collect();
    assert!(failed.is_empty(), "{failed:#?}\nend of the router's log:\n{}", router.process.log_tail());
}

pub fn run((name, mut command): (&'static str, Command), router: &Router) -> Vec<Verdict> {
    let process = Process::start(name, command.arg(&router.url));
    let (status, verdicts) = process.finish(ALL_CHECKS, |ended, events| {
        let verdicts: Vec<Verdict> = events.iter().filter_map(verdict).collect();
        let missing: Vec<&&str> =
            CHECKS.iter().filter(|check| !verdicts.iter().any(|(name, ..)| name == **check)).collect();
        if !missing.is_empty() {
            ended.fail(&format!("never came to {missing:?}"));
        }
        verdicts
    });
    let all_ok = verdicts.iter().all(|(_, ok, _)| *ok);
    assert_eq!(
        status.success(),
        all_ok,
        "{name}: its exit status contradicts its checks: {status}, {verdicts:#?}"
    );
    verdicts
}

fn verdict(event: &Value) -> Option<Verdict> {
    Some((event["check"].as_str()?.to_owned(), event["ok"].as_bool()?, event["detail"].as_str()?.to_owned()))
}

fn rust_client() -> (&'static str, Command) {
    ("Rust client", Command::new(env!("CARGO_BIN_EXE_stock_pubsub")))
}

fn javascript_client() -> (&'static str, Command) {
    let script = here().join("js/pubsub.mjs");
    assert!(
        here().join("js/node_modules/@clasp-to/core").is_dir(),
        "run `npm ci` in {}",
        here().join("js").display()
    );
    let mut command = Command::new("node");
    command.arg(script);
    ("JavaScript client", command)
}

pub fn python_client() -> (&'static str, Command) {
    let python = here().join(".venv/bin/python");
    assert!(python.is_file(), "no {}: `run` creates it", python.display());
    let mut command = Command::new(python);
    command.arg(here().join("py/pubsub.py"));
    ("Python client", command)
}

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
