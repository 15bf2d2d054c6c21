//! Commands that go through the node that runs: two services on this machine, and nothing else between them.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};

use serde_json::Value;

use super::{Running, noise, program, run, socket, text, until};

/// A device whose node runs.
struct Service {
    running: Running,
    socket: String,
    url: String,
}

impl Service {
    fn start(name: &str, routers: &[&str]) -> Self {
        let socket = socket(name);
        let mut args =
            vec!["run", "--bind", "127.0.0.1:0", "--name", name, "--loopback", "--control", &socket];
        args.extend(routers.iter().flat_map(|url| ["--router", *url]));
        let running = Running::start(&args);
        let line = running.line();
        let url = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}")).to_owned();
        Self { running, socket, url }
    }

    /// Two devices that know each other.
    fn pair_of(names: [&str; 2]) -> [Self; 2] {
        let first = Self::start(names[0], &[]);
        let second = Self::start(names[1], &[&first.url]);
        first.knows(names[1]);
        second.knows(names[0]);
        [first, second]
    }

    /// A command, with the environment that leads it to this device.
    fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = program();
        command.args(args).env("CLASP_NODE_CONTROL", &self.socket);
        command
    }

    fn ask(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn peers(&self) -> Vec<Value> {
        let peers = self.ask(&["peers", "--json"]);
        assert!(peers.status.success(), "{}", text(&peers.stderr));
        text(&peers.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn knows(&self, name: &str) {
        until(|| self.peers().iter().any(|peer| peer["name"] == name).then_some(()));
    }

    fn status(&self) -> Value {
        let status = self.ask(&["status", "--json"]);
        assert!(status.status.success(), "{}", text(&status.stderr));
        serde_json::from_slice(&status.stdout).unwrap()
    }

    /// Waits until it has so many links.
    fn has_links(&self, count: usize) {
        until(|| (self.status().pointer("/links").unwrap().as_array().unwrap().len() == count).then_some(()));
    }

    /// A receiver that is ready.
    fn receives(&self, args: &[&str]) -> Child {
        let mut child = self.command(&[&["recv"], args].concat()).spawn().unwrap();
        // It says so on standard error, of which nothing more is read here than that line.
        let stderr = child.stderr.as_mut().unwrap();
        let mut line = Vec::new();
        let mut byte = [0];
        while stderr.read(&mut byte).unwrap() == 1 && byte != [b'\n'] {
            line.push(byte[0]);
        }
        assert!(text(&line).contains("waiting as"), "{}", text(&line));
        child
    }

    fn stop(self) {
        self.running.interrupt();
        assert_eq!(self.running.status(), Some(0));
        assert!(!Path::new(&self.socket).exists());
        std::fs::remove_file(format!("{}.lock", self.socket)).unwrap();
    }
}

/// A file of a test, gone with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, content: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("clasp-node-test-{}-{name}", std::process::id()));
        std::fs::write(&path, content).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

fn fails(output: &Output, why: &str) {
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains(why), "{}", text(&output.stderr));
}

#[test]
fn commands_use_the_nodes_that_run_and_find_devices_by_name() {
    let [kitchen, garden] = Service::pair_of(["svc-kitchen", "svc-garden"]);
    let peers = kitchen.peers();
    assert_eq!(peers.len(), 1, "no command is a peer of its own: {peers:?}");
    assert!(peers[0]["router"].as_str().unwrap().starts_with("embedded router on 127.0.0.1:"), "{peers:?}");

    let ping = garden.ask(&["ping", "svc-kitchen", "-c", "2", "-i", "0.01"]);
    assert!(ping.status.success(), "{}", text(&ping.stderr));
    let said = text(&ping.stdout);
    assert!(said.starts_with("PING svc-kitchen over 127.0.0.1:") && said.contains("(open in"), "{said}");
    assert!(said.contains("clasp-reliable seq=2 time="), "{said}");
    assert!(said.contains("--- clasp: 2 sent, 2 received"), "{said}");
    garden.has_links(0); // opened for it, and closed after it

    let nobody = garden.ask(&["ping", "nobody", "--wait", "0.1"]);
    fails(&nobody, "no peer called \"nobody\" within 100ms");
    let nowhere = garden.ask(&["send", "svc-kitchen", "Cargo.toml"]);
    fails(&nowhere, "does not receive files now");

    // 8 MB, by name and from a device to the other; standard error of a pipe has no bar on it.
    let data = noise(1_000_000).repeat(8);
    let (file, copy) = (Scratch::new("svc-file", &data), Scratch::new("svc-copy", b""));
    let receiver = kitchen.receives(&["-o", copy.path()]);
    let second = kitchen.ask(&["recv"]);
    fails(&second, "another `clasp-node recv` receives here already");
    let sent = garden.ask(&["send", "svc-kitchen", file.path(), "--json"]);
    assert!(sent.status.success(), "{}", text(&sent.stderr));
    assert_eq!(text(&sent.stderr), "", "no progress where nobody looks");
    let report: Value = serde_json::from_slice(&sent.stdout).unwrap();
    assert_eq!(report["bytes"], data.len());
    let received = receiver.wait_with_output().unwrap();
    assert!(received.status.success(), "{}", text(&received.stderr));
    assert_eq!(text(&received.stderr), "clasp-node: received 8.0 MB\n");
    assert!(std::fs::read(&copy.0).unwrap() == data, "byte for byte");
    garden.has_links(0);
    kitchen.stop();
    garden.stop();
}

#[test]
fn commands_at_both_ends_share_their_link_and_do_not_end_it_for_each_other() {
    let [kitchen, garden] = Service::pair_of(["share-kitchen", "share-garden"]);
    for round in 0..4 {
        // Both begin at once, and one of them is done long before the other.
        let mut long = kitchen.command(&["ping", "share-garden", "-c", "20", "-i", "0.02"]).spawn().unwrap();
        let mut short = garden.command(&["ping", "share-kitchen", "-c", "1"]).spawn().unwrap();
        assert!(short.wait().unwrap().success(), "round {round}");
        let again = garden.ask(&["ping", "share-kitchen", "-c", "2", "-i", "0.01"]);
        assert!(again.status.success(), "round {round}: {}", text(&again.stderr));
        assert!(long.wait().unwrap().success(), "round {round}");
    }
    kitchen.has_links(0);
    kitchen.stop();
    garden.stop();
}

#[test]
fn a_receiver_that_dies_fails_the_sender_and_leaves_both_nodes_as_they_were() {
    let [kitchen, garden] = Service::pair_of(["die-kitchen", "die-garden"]);
    // A link that is there for another command: it has to stay.
    let watched = garden.command(&["ping", "die-kitchen", "-c", "100000", "-i", "0.05", "--json"]);
    let watched = Running::of(watched);
    while !watched.line().contains("pong") {}

    let mut receiver = kitchen.receives(&[]);
    let mut sender = garden.command(&["send", "die-kitchen"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = sender.stdin.take().unwrap();
    stdin.write_all(b"the beginning of something").unwrap();
    let mut first = [0; 13];
    receiver.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"the beginning", "in the middle of a transfer");
    receiver.kill().unwrap();
    receiver.wait().unwrap();
    fails(&sender.wait_with_output().unwrap(), "the receiver says: the command that received was ended");
    drop(stdin);

    // The other way round: the sender is killed.
    let mut receiver = Running::of_child(kitchen.receives(&[]));
    let mut sender = garden.command(&["send", "die-kitchen"]).stdin(Stdio::piped()).spawn().unwrap();
    sender.stdin.as_mut().unwrap().write_all(b"the beginning\nof something").unwrap();
    assert_eq!(receiver.line(), "the beginning", "in the middle of a transfer");
    sender.kill().unwrap();
    sender.wait().unwrap();
    let why = receiver.err.recv_timeout(super::DEADLINE).unwrap();
    assert!(why.contains("the sender says: the command that sent was ended"), "{why}");
    assert_eq!(receiver.child.wait().unwrap().code(), Some(1));

    // And the same two nodes do it again, on the same link.
    let receiver = kitchen.receives(&["--from", "die-garden"]);
    let file = Scratch::new("die-file", b"whole");
    let sent = garden.ask(&["send", "die-kitchen", file.path()]);
    assert!(sent.status.success(), "{}", text(&sent.stderr));
    assert_eq!(receiver.wait_with_output().unwrap().stdout, b"whole");
    assert!(watched.line().contains("pong"), "the link was never disturbed");
    garden.has_links(1);
    watched.interrupt();
    assert_eq!(watched.status(), Some(130));
    garden.has_links(0);
    kitchen.stop();
    garden.stop();
}

#[test]
fn a_receiver_that_does_not_read_holds_up_its_sender_and_nobody_else() {
    let [kitchen, garden] = Service::pair_of(["slow-kitchen", "slow-garden"]);
    let cellar = Service::start("slow-cellar", &[&kitchen.url]);
    kitchen.knows("slow-cellar");
    // Standard output of the receiver is a pipe that nobody empties.
    let receiver = kitchen.receives(&[]);
    let data = noise(4_000_000);
    let file = Scratch::new("slow-file", &data);
    let mut sender = garden.command(&["send", "slow-kitchen", file.path()]).spawn().unwrap();
    let last = std::cell::Cell::new(None);
    let received = until(|| {
        let received = kitchen.status()["links"][0]["reliable"]["received"]["bytes"].as_u64();
        let stands = received > Some(500_000) && last.replace(received) == received;
        stands.then_some(received)
    });
    assert!(received < Some(2_000_000), "{received:?} bytes came though nobody reads");
    assert_eq!(sender.try_wait().unwrap(), None, "the sender waits");

    // The same node is as quick as ever on its other link, and declines a second file at once.
    let ping = cellar.ask(&["ping", "slow-kitchen", "-c", "20", "-i", "0.01", "--json"]);
    assert!(ping.status.success(), "{}", text(&ping.stderr));
    let lost = text(&ping.stdout).lines().filter(|line| line.contains("\"rtt_ms\":null")).count();
    assert_eq!(lost, 0, "{}", text(&ping.stdout));
    fails(&cellar.ask(&["send", "slow-kitchen", file.path()]), "busy with another transfer");
    let ping = kitchen.ask(&["ping", "slow-garden", "-c", "3", "-i", "0.01"]);
    assert!(ping.status.success(), "on the very link: {}", text(&ping.stderr));

    // As soon as somebody reads, it goes on where it was.
    let received = receiver.wait_with_output().unwrap();
    assert!(received.stdout == data, "{} bytes came", received.stdout.len());
    assert!(sender.wait().unwrap().success());
    for device in [kitchen, garden, cellar] {
        device.stop();
    }
}

#[test]
fn the_log_of_the_node_is_shown_though_standard_error_is_quiet() {
    let [kitchen, garden] = Service::pair_of(["log-kitchen", "log-garden"]);
    let logs = kitchen.ask(&["logs"]);
    assert!(logs.status.success(), "{}", text(&logs.stderr));
    let said = text(&logs.stdout);
    let line = said.lines().find(|line| line.contains("commands reach this node on")).unwrap();
    assert!(line.contains("Z INFO  clasp_node::cli::run: "), "{line}");

    let follows = Running::of(kitchen.command(&["logs", "--follow", "--json"]));
    assert!(garden.ask(&["ping", "log-kitchen", "-c", "1"]).status.success());
    let followed: Value = loop {
        let line: Value = serde_json::from_str(&follows.line()).unwrap();
        if line["text"].as_str().unwrap().contains("P2P connection established") {
            break line;
        }
    };
    assert_eq!(followed["level"], "INFO");
    follows.interrupt();
    assert_eq!(follows.status(), Some(0), "--follow is meant to be interrupted");
    assert!(kitchen.running.err.try_iter().all(|line| !line.contains("established")), "it is quiet itself");
    kitchen.stop();
    garden.stop();
}

#[test]
fn where_no_node_runs_a_command_says_so_or_has_one_of_its_own() {
    let nowhere = socket("svc-nowhere");
    let asked = run(&["ping", "kitchen", "--control", &nowhere]);
    fails(&asked, "no clasp-node runs here: nothing listens on");
    fails(&run(&["logs", "--control", &nowhere]), "no clasp-node runs here");
    let both = run(&["ping", "kitchen", "--control", &nowhere, "--router", "ws://127.0.0.1:1"]);
    assert_eq!(both.status.code(), Some(2));
    assert!(text(&both.stderr).contains("--router is for a node of one's own"), "{}", text(&both.stderr));

    // With a node that runs, but a router in the command: a node of one's own, as another peer.
    let kitchen = Service::start("own-kitchen", &[]);
    let own = kitchen.command(&["recv", "--name", "own-inbox", "--loopback", "--router", &kitchen.url]);
    let own = Running::of(own);
    kitchen.knows("own-inbox");
    let file = Scratch::new("own-file", b"from the service to a node of one's own");
    let sent = kitchen.ask(&["send", "own-inbox", file.path()]);
    assert!(sent.status.success(), "{}", text(&sent.stderr));
    assert_eq!(own.line(), "from the service to a node of one's own");
    assert_eq!(own.status(), Some(0));
    kitchen.stop();
}
