//! `examples/stock_client` does what its README promises.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::Process;
use crate::router::Router;

/// How long the script may take; it waits at most 5 s for any message.
const SCRIPT: Duration = Duration::from_secs(30);

#[test]
fn the_stock_client_example_prints_what_its_readme_shows() {
    let readme = fs::read_to_string(folder().join("README.md")).expect("the example has a README");
    let (_, rest) = readme.split_once("```text\n").expect("the README shows the output");
    let (shown, _) = rest.split_once("```").expect("the output ends");

    let router = Router::ours();
    let expected = shown.replace("ws://127.0.0.1:7330", &router.url);
    let (status, printed) = script(&router).finish(SCRIPT, |_, lines| {
        lines.iter().map(|line| format!("{}\n", line.as_str().unwrap_or_default())).collect::<String>()
    });
    assert_eq!(printed, expected);
    assert!(status.success(), "{status}");
}

#[test]
fn the_stock_client_example_fails_on_the_stock_router_as_its_readme_says() {
    let router = Router::stock();
    let (status, said) = script(&router).finish(SCRIPT, |script, _| script.log_tail());
    assert!(said.contains("stock_client: nothing arrived within 5 s"), "it said: {said}");
    assert_eq!(status.code(), Some(1));
}

fn script(router: &Router) -> Process {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    Process::start(
        "stock_client.py",
        Command::new(python).arg(folder().join("stock_client.py")).arg(&router.url),
    )
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/stock_client")
}
