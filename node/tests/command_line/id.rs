//! `clasp-node id`, and what of a node outlives it.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use serde_json::Value;

use super::{DEADLINE, Running, program, run, socket, text, until};

/// A state directory that is gone after the test.
struct State(PathBuf);

impl State {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("clasp-node-test-{}-{name}", std::process::id())))
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{}: {error}", self.path());
        }
    }
}

fn id(state: &str) -> Value {
    let output = run(&["id", "--json", "--state-dir", state]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A node that runs as the device of this state directory, its control socket, and what `status` says of it.
struct Node {
    running: Running,
    socket: String,
    status: Value,
}

impl Node {
    fn start(state: &str, name: &str) -> Self {
        let socket = socket(name);
        let args = ["run", "--bind", "127.0.0.1:0", "--name", name, "--loopback", "--control", &socket];
        let running = Running::start(&[args.as_slice(), &["--state-dir", state]].concat());
        assert!(running.line().starts_with("listening on "));
        let status = until(|| {
            let output = run(&["status", "--json", "--control", &socket]);
            output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
        });
        Self { running, socket, status }
    }

    fn stop(self) {
        self.running.interrupt();
        assert_eq!(self.running.status(), Some(0));
        std::fs::remove_file(format!("{}.lock", self.socket)).unwrap();
    }
}

#[test]
fn a_device_is_the_same_one_at_every_start() {
    let state = State::new("same");
    let first = id(state.path());
    assert_eq!((&first["stored"], &first["why"]), (&true.into(), &Value::Null));
    assert_eq!(first["state_dir"], state.path());
    assert_eq!(first["id"].as_str().unwrap().len(), 32);
    assert_eq!(first["fingerprint"].as_str().unwrap().split(':').count(), 32);
    assert_eq!(id(state.path()), first);

    for name in ["first-start", "second-start"] {
        let node = Node::start(state.path(), name);
        assert_eq!(node.status["id"], first["id"], "{name}");
        let storage = &node.status["storage"];
        assert_eq!((&storage["identity_stored"], &storage["pairs_stored"]), (&true.into(), &true.into()));
        let shown = run(&["status", "--control", &node.socket]);
        let line = format!("device {}, stored in {}\n", first["id"].as_str().unwrap(), state.path());
        assert!(text(&shown.stdout).contains(&line), "{}", text(&shown.stdout));
        assert_eq!(id(state.path()), first, "while it runs");
        node.stop();
    }
    let other = State::new("other");
    assert_ne!(id(other.path())["id"], first["id"]);
    let mode = |path: PathBuf| std::fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!((mode(state.0.clone()), mode(state.0.join("identity.json"))), (0o700, 0o600));
}

#[test]
fn people_see_who_the_device_is_and_a_qr_code_where_it_makes_sense() {
    let state = State::new("shown");
    let json = id(state.path());
    let plain = run(&["id", "--name", "kitchen", "--state-dir", state.path()]);
    let want = format!(
        "id           {}\nfingerprint  {}\nname         kitchen\nstate        stored in {}\n",
        json["id"].as_str().unwrap(),
        json["fingerprint"].as_str().unwrap(),
        state.path()
    );
    assert_eq!(text(&plain.stdout), want, "standard output is no terminal");

    let with_code = run(&["id", "--qr", "--name", "kitchen", "--state-dir", state.path()]);
    let shown = text(&with_code.stdout);
    let code = shown.strip_prefix(&want).unwrap();
    assert!(code.lines().count() > 20 && code.contains('█') && !code.contains('\x1b'), "{code}");
    let secret = std::fs::read_to_string(state.0.join("identity.json")).unwrap();
    let secret: Value = serde_json::from_str(&secret).unwrap();
    assert!(!json.to_string().contains(secret["secret_key"].as_str().unwrap()));

    let both = run(&["id", "--qr", "--json", "--state-dir", state.path()]);
    assert_eq!(both.status.code(), Some(2));
}

#[test]
fn what_cannot_be_understood_stops_every_command_and_is_left_alone() {
    let state = State::new("corrupt");
    id(state.path());
    let file = state.0.join("identity.json");
    for (content, says) in [
        ("{\"version\": 7}", "version: is 7, of a newer program; this one knows 1"),
        ("{\"version\": 1, \"id\": \"kitchen\"}", "id: is not a device id"),
        ("", "is not JSON"),
    ] {
        std::fs::write(&file, content).unwrap();
        for command in [&["id"][..], &["run", "--bind", "127.0.0.1:0"], &["peers"], &["ping", "x"], &["recv"]]
        {
            let output = run(&[command, &["--state-dir", state.path()]].concat());
            let stderr = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{command:?}: {stderr}");
            assert!(stderr.contains(&format!("{}: {says}", file.display())), "{command:?}: {stderr}");
            assert_eq!(std::fs::read_to_string(&file).unwrap(), content);
        }
    }
}

#[test]
fn where_nothing_can_be_stored_a_node_runs_until_it_ends_and_says_so() {
    // Nobody can make a directory there, not even root.
    const NOWHERE: &str = "/proc/clasp-node";
    let shown = run(&["id", "--state-dir", NOWHERE]);
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    assert!(text(&shown.stdout).contains("\nstate        in memory until it ends: /proc/clasp-node: "));
    assert_ne!(id(NOWHERE)["id"], id(NOWHERE)["id"]);

    let node = Node::start(NOWHERE, "forgetful");
    let warnings = [(); 2].map(|()| node.running.err.recv_timeout(DEADLINE).unwrap()).concat();
    assert!(warnings.contains("the identity is remembered until this node ends, not longer"), "{warnings}");
    let storage = &node.status["storage"];
    assert_eq!((&storage["identity_stored"], &storage["directory"]), (&false.into(), &Value::Null));
    assert!(storage["why"].as_str().unwrap().starts_with("/proc/clasp-node: "), "{storage}");
    node.stop();
}

#[test]
fn two_nodes_of_one_device_do_not_both_store_pairs() {
    let state = State::new("shared");
    let first = Node::start(state.path(), "holds-the-pairs");
    let second = Node::start(state.path(), "reads-the-pairs");
    assert_eq!(first.status["id"], second.status["id"]);
    assert_eq!(first.status["storage"]["pairs_stored"], true);
    let storage = &second.status["storage"];
    assert_eq!((&storage["identity_stored"], &storage["pairs_stored"]), (&true.into(), &false.into()));
    assert!(storage["why"].as_str().unwrap().starts_with("another clasp-node that runs here"), "{storage}");
    second.stop();
    first.stop();
    let third = Node::start(state.path(), "after-them");
    assert_eq!(third.status["storage"]["pairs_stored"], true);
    third.stop();
}

#[test]
fn processes_that_start_at_once_on_a_new_device_make_one_identity() {
    let state = State::new("race");
    let racing: Vec<_> = (0..8)
        .map(|_| program().args(["id", "--json", "--state-dir", state.path()]).spawn().unwrap())
        .collect();
    let said: Vec<Value> = racing
        .into_iter()
        .map(|process| {
            let output = process.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", text(&output.stderr));
            serde_json::from_slice(&output.stdout).unwrap()
        })
        .collect();
    assert!(said.iter().all(|other| *other == said[0] && other["stored"] == true), "{said:?}");
}
