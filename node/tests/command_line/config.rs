//! The configuration file: what wins, what is wrong with it, and SIGHUP.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use super::{DEADLINE, Running, program, text};

/// A file of this text.
fn file(name: &str, content: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("config/{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join(name);
    std::fs::write(&file, content).unwrap();
    file
}

fn with(file: &Path) -> Command {
    let mut command = program();
    command.env_remove("CLASP_NODE_TRUST").env("CLASP_NODE_CONFIG", file);
    command
}

fn out(command: &mut Command, status: i32) -> Output {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(status), "{}{}", text(&output.stdout), text(&output.stderr));
    output
}

/// What `config show --json` says of a setting.
fn shown(command: &mut Command, setting: &str) -> (Value, String) {
    let output = out(command.args(["config", "show", "--json"]), 0);
    let all: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let found = all.iter().find(|one| one["setting"] == setting).unwrap();
    (found["value"].clone(), found["from"].as_str().unwrap().to_owned())
}

#[test]
fn a_flag_wins_over_the_environment_that_over_the_file_and_that_over_the_default() {
    let nothing = file("nothing.toml", "");
    let some = file(
        "some.toml",
        "# how it is here\nrate = 7\nloopback = true\nrouter = [\"ws://a:1\", \"ws://b:2\"]\n",
    );
    let at = |line| format!("{}:{line}", some.display());
    assert_eq!(shown(&mut with(&nothing), "rate"), ("1000".into(), "default".to_owned()));
    assert_eq!(shown(&mut with(&some), "rate"), ("7".into(), at(2)));
    let mut command = with(&some);
    assert_eq!(
        shown(command.env("CLASP_NODE_RATE", "8"), "rate"),
        ("8".into(), "CLASP_NODE_RATE".to_owned())
    );
    let mut command = with(&some);
    command.env("CLASP_NODE_RATE", "8").args(["config", "show", "--json", "--rate", "9"]);
    let all: Vec<Value> = serde_json::from_slice(&out(&mut command, 0).stdout).unwrap();
    assert!(all.iter().any(|one| one["setting"] == "rate" && one["value"] == "9" && one["from"] == "--rate"));

    assert_eq!(shown(&mut with(&some), "loopback"), ("true".into(), at(3)));
    let off = shown(with(&some).env("CLASP_NODE_LOOPBACK", "0"), "loopback");
    assert_eq!(off.1, "CLASP_NODE_LOOPBACK");
    assert_eq!(shown(&mut with(&some), "router").0, serde_json::json!(["ws://a:1", "ws://b:2"]));
    let listed = shown(with(&some).env("CLASP_NODE_ROUTER", "ws://c:3,ws://d:4"), "router");
    assert_eq!(listed.0, serde_json::json!(["ws://c:3", "ws://d:4"]));
    assert_eq!(shown(with(&some).env("RUST_LOG", "error"), "log"), ("error".into(), "RUST_LOG".to_owned()));
}

#[test]
fn secrets_are_not_shown() {
    let nothing = file("secrets.toml", "");
    let output = out(with(&nothing).env("CLASP_NODE_TURN_PASSWORD", "hunter2").args(["config", "show"]), 0);
    let output = text(&output.stdout);
    assert!(output.contains("CLASP_NODE_TURN_PASSWORD") && output.contains("(set)"), "{output}");
    assert!(!output.contains("hunter2"), "{output}");
}

#[test]
fn every_fault_is_told_and_refuses_the_start() {
    let faulty = file("faulty.toml", "name = \"x\"\nrate = -1\nmax-session = 5\n\nudp-port = 0\n");
    let at = faulty.display();
    let want = format!(
        "{at}:2: rate: -1 is not allowed, expected 0 to 1000000\n\
         {at}:3: \"max-session\": no such setting; is it max-sessions?\n\
         {at}:5: udp-port: 0 is not allowed, expected 1 to 65535\n"
    );
    let path = faulty.to_str().unwrap();
    assert_eq!(text(&out(program().args(["config", "check", path]), 1).stdout), want);
    for command in [&["run"][..], &["router"], &["config", "show"]] {
        assert_eq!(text(&out(with(&faulty).args(command), 1).stderr), want);
    }
    // Who only asks is told, and gets an answer.
    let asked = out(with(&faulty).args(["id", "--json"]), 0);
    assert_eq!(text(&asked.stderr), want);
    assert_eq!(serde_json::from_slice::<Value>(&asked.stdout).unwrap()["name"], "x");

    for (name, content, want) in [
        ("syntax.toml", "name = \n", "syntax.toml:1: "),
        ("twice.toml", "rate = 1\nrate = 2\n", "twice.toml:2: "),
        ("long.toml", &"#".repeat(64 * 1024 + 1), "long.toml: longer than 65536 bytes"),
    ] {
        let path = file(name, content);
        let told = text(&out(program().args(["config", "check", path.to_str().unwrap()]), 1).stdout);
        assert!(told.contains(want), "{told}");
    }
    out(program().args(["config", "check", "/none/such.toml"]), 1);
    out(program().args(["--config", "/none/such.toml", "run"]), 1);
    assert!(text(&out(program().args(["config", "check"]), 0).stdout).ends_with("fine\n"));
}

#[test]
fn the_example_is_fine() {
    let example = out(program().args(["config", "example"]), 0);
    let path = file("example.toml", &text(&example.stdout));
    out(program().args(["config", "check", path.to_str().unwrap()]), 0);
}

#[test]
fn other_commands_take_over_who_the_node_is_and_not_how_it_runs() {
    // A port that is taken: whoever took the setting over could not run.
    let taken = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let path = file("shared.toml", &format!("name = \"attic\"\nudp-port = {port}\n"));
    let id = out(with(&path).args(["id", "--json"]), 0);
    assert_eq!(serde_json::from_slice::<Value>(&id.stdout).unwrap()["name"], "attic");
    let (_router, url) = Running::router();
    out(with(&path).args(["peers", "--loopback", "--json", "--wait", "5", "--router", &url]), 0);
}

#[test]
fn hangup_takes_over_the_log_names_the_rest_and_refuses_a_faulty_file() {
    let content = "bind = [\"127.0.0.1:0\"]\nlog = \"warn\"\n";
    let path = file("reload.toml", content);
    let node = Running::of({
        let mut command = with(&path);
        let control = path.with_extension("sock");
        command.args(["run", "--loopback", "--control", control.to_str().unwrap()]);
        command
    });
    assert!(node.line().starts_with("listening on "));
    let hang_up = || {
        let pid = node.child.id().to_string();
        assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    };
    let says = |what: &str| loop {
        let line = node.err.recv_timeout(DEADLINE).expect("a line in time");
        if line.contains(what) {
            return;
        }
    };
    std::fs::write(&path, format!("{content}rate = 5\nudp-port = 7332\n")).unwrap();
    hang_up();
    says("needs a restart: udp-port, rate");
    std::fs::write(&path, "log = \"debug\"\nrate = -1\nnaem = \"x\"\n").unwrap();
    hang_up();
    says(":2: rate: -1 is not allowed");
    says(":3: \"naem\": no such setting; is it name?");
    std::fs::write(&path, content.replace("warn", "clasp_node=debug")).unwrap();
    hang_up();
    says("tokens are known"); // a debug line, of the tokens that are looked at
    std::fs::write(&path, content.replace("warn", "error")).unwrap();
    hang_up();
    std::fs::write(&path, "rate = -2\n").unwrap();
    hang_up();
    says("rate: -2"); // still runs, and errors are told
    node.interrupt();
    assert_eq!(node.status(), Some(0));
}
