//! `clasp-node doctor` against routers that are not there, are none, decline, and work.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

use serde_json::Value;

use super::{Running, run, socket, text};

/// The exit status, and the checks.
fn doctor(router: &str, more: &[&str]) -> (Option<i32>, Vec<Value>) {
    let socket = socket("doctor-nobody");
    let args = ["doctor", "--json", "--loopback", "--control", &socket, "--router", router];
    let output = run(&[args.as_slice(), more].concat());
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    assert_eq!(report.get("ok"), Some(&Value::Bool(output.status.success())));
    let checks = report.get("checks").and_then(Value::as_array);
    (output.status.code(), checks.unwrap().clone())
}

/// The one check of a layer.
fn of<'a>(checks: &'a [Value], layer: &str) -> &'a Value {
    checks.iter().find(|check| check["layer"] == layer).unwrap_or_else(|| panic!("{layer}: {checks:?}"))
}

/// Asserts that nothing but the router failed, in these words, and that there is advice.
fn assert_router_failed(router: &str, says: &str) {
    let (status, checks) = doctor(router, &[]);
    assert_eq!(status, Some(1));
    let failed: Vec<_> = checks.iter().filter(|check| check["verdict"] == "failed").collect();
    let [failed] = failed.as_slice() else { panic!("{failed:?}") };
    let field = |name: &str| failed.get(name).and_then(Value::as_str).unwrap_or_default();
    assert_eq!(field("layer"), "router");
    assert!(field("what").starts_with(router) && field("what").contains(says), "{failed}, not {says}");
    assert!(!field("advice").is_empty(), "{failed}");
}

/// A server that reads what is asked and answers with `answer`; it ends with the test's process.
fn server(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for mut stream in listener.incoming().map_while(Result::ok) {
            if stream.read(&mut [0; 4096]).is_ok() && stream.write_all(answer).is_ok() && answer.is_empty() {
                held.push(stream); // says nothing, and does not hang up
            }
        }
    });
    address
}

#[test]
fn a_router_that_is_not_there_is_told_from_one_that_is_none() {
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_router_failed(&format!("ws://{unused}"), "router unreachable: Connection refused");
    let web = server(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    assert_router_failed(&format!("ws://{web}"), "not a router: what listens there does not speak WebSocket");
    let mail = server(b"220 mail.example ESMTP\r\n");
    assert_router_failed(&format!("ws://{mail}"), "not a router");
    let silent = server(b"");
    assert_router_failed(&format!("ws://{silent}"), "router unreachable: no answer within 5s");
}

#[test]
fn a_router_that_does_not_take_us_is_quoted() {
    let router = Running::start(&["router", "--bind", "127.0.0.1:0", "--max-sessions", "1"]);
    let line = router.line();
    let url = line.strip_prefix("listening on ").unwrap();
    let args = ["run", "--bind", "127.0.0.1:0", "--json", "--loopback", "--router", url];
    let control = socket("doctor-full");
    let first = Running::start(&[args.as_slice(), &["--control", &control]].concat());
    while !first.line().contains("\"router\":1,\"session\"") {}
    assert_router_failed(url, "HELLO refused: Session limit reached (max 1) (503)");
    first.interrupt();
    assert_eq!(first.status(), Some(0));
    std::fs::remove_file(format!("{control}.lock")).unwrap();
}

#[test]
fn where_all_is_well_nothing_fails_and_a_link_to_the_peer_proves_it() {
    let (_router, url) = Running::router();
    let control = socket("doctor-peer");
    let args = ["run", "--bind", "127.0.0.1:0", "--name", "patient", "--loopback", "--router", &url];
    let _peer = Running::start(&[args.as_slice(), &["--control", &control]].concat());
    let (status, checks) = doctor(&url, &["--peer", "patient"]);
    assert_eq!(status, Some(0), "{checks:?}");
    for layer in ["clock", "interfaces", "node", "router", "multicast", "broadcast", "udp", "peer"] {
        assert_eq!(of(&checks, layer)["verdict"], "ok", "{checks:?}");
    }
    let peer = of(&checks, "peer")["what"].as_str().unwrap();
    assert!(peer.starts_with("linked to patient: 127.0.0.1:") && peer.contains("round trip"), "{peer}");

    let (status, checks) = doctor(&url, &["--peer", "nobody", "--wait", "0.2"]);
    assert_eq!(status, Some(1));
    assert!(of(&checks, "peer")["what"].as_str().unwrap().contains("no peer called \"nobody\""));

    // Without a router to name, it asks the node that runs here for its own.
    let output = run(&["doctor", "--json", "--loopback", "--control", &control]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let routers: Vec<_> =
        report["checks"].as_array().unwrap().iter().filter(|check| check["layer"] == "router").collect();
    assert_eq!(routers.len(), 2, "its own, and the one it was given: {report}");
    assert!(
        of(report["checks"].as_array().unwrap(), "node")["what"]
            .as_str()
            .unwrap()
            .starts_with("patient runs here")
    );
    assert_eq!(output.status.code(), Some(0), "{report}");
    std::fs::remove_file(format!("{control}.lock")).unwrap();
    std::fs::remove_file(control).unwrap();
}
