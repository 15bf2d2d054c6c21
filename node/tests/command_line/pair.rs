//! `clasp-node pair` and what comes of it: two devices, a code, and everybody else stays out.

use std::io::Write;
use std::process::{Output, Stdio};

use serde_json::Value;

use super::{Running, program, run, socket, text, until};

/// A device: a node that runs, with its state directory and its control socket.
pub(super) struct Device {
    name: String,
    running: Running,
    state: String,
    socket: String,
    pub(super) url: String,
}

impl Device {
    /// A node that takes offers of paired devices only, on its own router and the others'.
    fn start(name: &str, state: &str, routers: &[&str]) -> Self {
        Self::start_with(name, state, routers, &[])
    }

    pub(super) fn start_with(name: &str, state: &str, routers: &[&str], options: &[&str]) -> Self {
        let socket = socket(name);
        let mut args =
            vec!["run", "--bind", "127.0.0.1:0", "--name", name, "--loopback", "--trust", "paired"];
        args.extend(["--control", &socket, "--state-dir", state]);
        args.extend(routers.iter().flat_map(|url| ["--router", *url]));
        args.extend(options);
        let running = Running::start(&args);
        let line = running.line();
        let url = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}")).to_owned();
        until(|| run(&["status", "--control", &socket]).status.success().then_some(()));
        Self { name: name.to_owned(), running, state: state.to_owned(), socket, url }
    }

    pub(super) fn ask(&self, args: &[&str]) -> Output {
        run(&[args, &["--control", &self.socket]].concat())
    }

    /// Shows a code; the process waits for what comes of it.
    pub(super) fn show(&self) -> (Running, String) {
        self.show_with(&[])
    }

    fn show_with(&self, options: &[&str]) -> (Running, String) {
        let show = ["pair", "--json", "--control", &self.socket];
        let shows = Running::start(&[&show, options].concat());
        let shown: Value = serde_json::from_str(&shows.line()).unwrap();
        let field =
            |name| shown.pointer(&format!("/shown/{name}")).and_then(Value::as_str).unwrap().to_owned();
        let code = field("code");
        assert!(field("qr").starts_with("clasp:pair?v=1&id="), "{shown}");
        (shows, code)
    }

    /// Types a code for the device called `peer`.
    pub(super) fn types(&self, peer: &str, code: &str) -> Output {
        let mut command = program();
        command.args(["pair", peer, "--json", "--control", &self.socket]).stdin(Stdio::piped());
        let mut child = command.spawn().unwrap();
        writeln!(child.stdin.take().unwrap(), "{code}").unwrap();
        child.wait_with_output().unwrap()
    }

    fn pairs(&self) -> Vec<Value> {
        let listed = self.ask(&["pairs", "--json"]);
        assert!(listed.status.success(), "{}", text(&listed.stderr));
        serde_json::from_slice(&listed.stdout).unwrap()
    }

    /// Waits until it has heard of a peer of that name, on whichever router.
    pub(super) fn knows(&self, router: &str, name: &str) {
        until(|| {
            let peers = run(&["peers", "--json", "--listen", "0.3", "--loopback", "--router", router]);
            text(&peers.stdout).contains(&format!("\"name\":\"{name}\"")).then_some(())
        });
    }

    /// What a command of this device says to `peer`.
    fn ping(&self, router: &str, peer: &str) -> Output {
        let args = ["ping", peer, "-c", "1", "--loopback", "--trust", "paired", "--router", router];
        run(&[&args[..], &["--state-dir", &self.state, "--name", "pinger"]].concat())
    }

    pub(super) fn stop(self) {
        self.running.interrupt();
        assert_eq!(self.running.status(), Some(0), "{}", self.name);
        std::fs::remove_file(format!("{}.lock", self.socket)).unwrap();
    }
}

pub(super) fn state(name: &str) -> String {
    format!("{}/pair-{}-{name}", env!("CARGO_TARGET_TMPDIR"), std::process::id())
}

#[test]
fn two_devices_are_paired_by_a_code_know_each_other_after_a_restart_and_nobody_else_gets_in() {
    let [kitchen_state, garden_state] = ["kitchen", "garden"].map(state);
    let kitchen = Device::start("pair-kitchen", &kitchen_state, &[]);
    let garden = Device::start("pair-garden", &garden_state, &[&kitchen.url]);
    kitchen.knows(&kitchen.url, "pair-garden");

    let unasked = garden.types("pair-kitchen", "1234-5678");
    assert_eq!(unasked.status.code(), Some(1));
    assert!(text(&unasked.stderr).contains("shows no code"), "{}", text(&unasked.stderr));

    let (shows, code) = kitchen.show();
    let wrong = if code == "0000-0000" { "0000-0001" } else { "0000-0000" };
    let refused = until(|| {
        let refused = garden.types("pair-kitchen", wrong);
        // The word that a code is shown may be on its way.
        (!text(&refused.stderr).contains("shows no code")).then_some(refused)
    });
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("the code is wrong"), "{}", text(&refused.stderr));
    assert!(garden.pairs().is_empty() && kitchen.pairs().is_empty());
    let nonsense = garden.types("pair-kitchen", "12-34");
    assert!(text(&nonsense.stderr).contains("a code has 8 digits"), "{}", text(&nonsense.stderr));

    let paired = garden.types("pair-kitchen", &code);
    assert_eq!(paired.status.code(), Some(0), "{}", text(&paired.stderr));
    let here: Value = serde_json::from_slice(&paired.stdout).unwrap();
    let there: Value = serde_json::from_str(&shows.line()).unwrap();
    assert_eq!(shows.status(), Some(0));
    assert_eq!(here["paired"]["check"], there["paired"]["check"]);
    let names = [&here, &there].map(|told| told["paired"]["name"].as_str().unwrap());
    assert_eq!(names, ["pair-kitchen", "pair-garden"]);
    assert_eq!(kitchen.pairs()[0]["name"], "pair-garden");

    // After a restart of both they know each other.
    garden.stop();
    kitchen.stop();
    let kitchen = Device::start("pair-kitchen", &kitchen_state, &[]);
    let garden = Device::start("pair-garden", &garden_state, &[&kitchen.url]);
    let known = garden.ping(&kitchen.url, "pair-kitchen");
    assert_eq!(known.status.code(), Some(0), "{}", text(&known.stderr));

    // A stranger does not get in, whatever it thinks of trust.
    let stranger = run(&["ping", "pair-kitchen", "-c", "1", "--loopback", "--router", &kitchen.url]);
    assert_eq!(stranger.status.code(), Some(1));
    assert!(text(&stranger.stderr).contains("not paired"), "{}", text(&stranger.stderr));

    // Nor does who has been forgotten; the other one keeps what it knows until it forgets as well.
    let renamed = kitchen.ask(&["rename", "pair-garden", "shed"]);
    assert!(renamed.status.success(), "{}", text(&renamed.stderr));
    let forgotten = kitchen.ask(&["forget", "shed"]);
    assert!(text(&forgotten.stdout).starts_with("forgot shed ("), "{}", text(&forgotten.stderr));
    assert_eq!(kitchen.ask(&["forget", "shed"]).status.code(), Some(1));
    let unknown = garden.ping(&kitchen.url, "pair-kitchen");
    assert!(text(&unknown.stderr).contains("not paired"), "{}", text(&unknown.stderr));
    assert_eq!(garden.pairs().len(), 1);
    garden.stop();
    kitchen.stop();

    // Where no node runs, the state directory is changed itself.
    let nowhere = socket("pair-nowhere");
    let args = ["--state-dir", &garden_state, "--control", &nowhere];
    let forgotten = run(&[&["forget", "PAIR-KITCHEN"][..], &args].concat());
    assert!(forgotten.status.success(), "{}", text(&forgotten.stderr));
    let listed = run(&[&["pairs"][..], &args].concat());
    assert_eq!(text(&listed.stdout), "paired with no device; `clasp-node pair` does that\n");
    for state in [kitchen_state, garden_state] {
        std::fs::remove_dir_all(state).unwrap();
    }
}

#[test]
fn who_stops_showing_a_code_takes_it_back() {
    let state = state("shy");
    let shy = Device::start("pair-shy", &state, &[]);
    let (shows, _) = shy.show();
    shows.interrupt();
    assert_eq!(shows.status(), Some(130));
    let hidden = until(|| {
        let peers = run(&["peers", "--json", "--listen", "0.3", "--loopback", "--router", &shy.url]);
        (!text(&peers.stdout).contains("\"pairing\":true")).then_some(text(&peers.stdout).to_owned())
    });
    assert!(hidden.contains("pair-shy"), "{hidden}");
    shy.stop();
    std::fs::remove_dir_all(state).unwrap();
}

#[test]
fn a_code_is_in_the_log_where_that_is_asked_for_and_not_otherwise() {
    let state = state("logged");
    let device = Device::start("pair-logged", &state, &[]);
    for (options, logged) in [(&[][..], false), (&["--to-log"], true)] {
        let (shows, code) = device.show_with(options);
        let logs = device.ask(&["logs"]);
        assert_eq!(text(&logs.stdout).contains(&code), logged, "{}", text(&logs.stdout));
        shows.interrupt();
        assert_eq!(shows.status(), Some(130));
    }
    device.stop();
    std::fs::remove_dir_all(state).unwrap();
}

#[test]
fn pairing_needs_a_node_that_runs_and_says_so_before_a_code_is_typed() {
    let nowhere = socket("pair-nobody");
    for args in [&["pair"][..], &["pair", "--show"], &["pair", "kitchen"]] {
        let output = run(&[args, &["--control", &nowhere]].concat());
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains("no clasp-node runs here"), "{}", text(&output.stderr));
    }
    assert_eq!(run(&["pair", "kitchen", "--show"]).status.code(), Some(2), "both at once");
}
