//! The published Prometheus client reads what our router tells of itself. The script parses; here the numbers are read.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::process::Process;
use crate::pub_sub;
use crate::router::Router;

/// How long the script may take; it waits at most 5 s for the router.
const SCRIPT: Duration = Duration::from_secs(30);

#[test]
fn the_prometheus_client_reads_our_metrics_and_they_tell_of_the_clients_that_were_there() {
    let router = Router::ours();
    let before = scrape(&router);
    pub_sub::run(pub_sub::python_client(), &router);
    let after = scrape(&router);
    let told = |page: &Value, name: &str| page["samples"][name].as_f64().unwrap_or(f64::NAN);
    assert_eq!(after["type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(told(&before, "process_resident_memory_bytes") > 100_000.0, "{before}");
    for name in ["clasp_router_sessions_begun_total", "clasp_router_received_frames_total"] {
        assert_eq!(told(&before, name), 0.0, "{name} in {before}");
        assert!(told(&after, name) > 1.0, "{name} in {after}");
    }
}

fn scrape(router: &Router) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let url = router.url.replace("ws://", "http://");
    let mut command = Command::new(folder.join(".venv/bin/python"));
    command.arg(folder.join("py/metrics.py")).arg(format!("{}/metrics", url.trim_end_matches('/')));
    let (status, page) = Process::start("metrics.py", &mut command).finish(SCRIPT, |script, lines| {
        lines.first().cloned().unwrap_or_else(|| panic!("nothing was read:\n{}", script.log_tail()))
    });
    assert!(status.success(), "{status}");
    page
}
