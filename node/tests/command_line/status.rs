//! `clasp-node status` and the control socket of the node it asks.

use serde_json::Value;

use super::{Running, run, socket, text, until};

fn status(socket: &str) -> Value {
    let output = run(&["status", "--json", "--control", socket]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn status_shows_the_links_of_the_node_that_runs_and_why_others_have_none() {
    let socket = socket("status");
    let missing = run(&["status", "--control", &socket]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("no clasp-node runs here"), "{}", text(&missing.stderr));

    let args = ["run", "--bind", "127.0.0.1:0", "--name", "shown", "--loopback", "--control", &socket];
    let node = Running::start(&args);
    let line = node.line();
    let url = line.strip_prefix("listening on ").unwrap();
    let before = status(&socket);
    assert_eq!((&before["name"], &before["links"]), (&"shown".into(), &Value::Array(Vec::new())));
    let second = run(&["run", "--bind", "127.0.0.1:0", "--control", &socket]);
    assert_eq!(second.status.code(), Some(1), "the socket is wanted, and taken");
    assert!(text(&second.stderr).contains("another node"), "{}", text(&second.stderr));

    let ping = ["ping", "shown", "-c", "100000", "--name", "asker", "--json", "--loopback", "--router", url];
    let mut ping = Running::start(&ping);
    while !ping.line().contains("pong") {}
    let open = status(&socket);
    let link = &open["links"][0];
    assert_eq!(
        (&link["name"], &link["state"], &link["role"]),
        (&"asker".into(), &"open".into(), &"answerer".into())
    );
    assert!(link["reliable"]["received"]["messages"].as_u64() >= Some(1), "{link}");
    assert!(link["path"]["local"].as_str().unwrap().starts_with("127.0.0.1:"), "{link}");
    assert_eq!(open["routers"][0]["state"], "ready");
    let table = run(&["status", "--control", &socket]);
    assert!(table.status.success() && text(&table.stdout).contains("asker ("), "{}", text(&table.stdout));

    ping.child.kill().unwrap();
    ping.child.wait().unwrap();
    let lost = until(|| {
        let status = status(&socket);
        status["links"].as_array().unwrap().is_empty().then_some(status)
    });
    let ended = &lost["ended"][0];
    assert_eq!((&ended["name"], &ended["why"]), (&"asker".into(), &"connection lost".into()));
    node.interrupt();
    assert_eq!(node.status(), Some(0));
    assert!(!std::path::Path::new(&socket).exists());
    std::fs::remove_file(format!("{socket}.lock")).unwrap();
}
