//! The program as a user runs it: real processes, real sockets, exit statuses.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "command_line/arduino.rs"]
mod arduino;
#[path = "command_line/config.rs"]
mod config;
#[path = "command_line/doctor.rs"]
mod doctor;
#[path = "command_line/id.rs"]
mod id;
#[path = "command_line/pair.rs"]
mod pair;
#[path = "command_line/service.rs"]
mod service;
#[path = "command_line/shares.rs"]
mod shares;
#[path = "command_line/status.rs"]
mod status;
#[path = "command_line/token.rs"]
mod token;
#[path = "command_line/values.rs"]
mod values;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use serde_json::Value;

/// For anything to happen that is going to happen.
const DEADLINE: Duration = Duration::from_secs(30);

/// Each process is a device of its own, unless it is told which one.
fn program() -> Command {
    static DEVICES: AtomicU32 = AtomicU32::new(0);
    let device = DEVICES.fetch_add(1, Ordering::Relaxed);
    let state = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("state/{}/{device}", std::process::id()));
    let mut command = Command::new(env!("CARGO_BIN_EXE_clasp-node"));
    command
        .env_remove("RUST_LOG")
        .env_remove("CLASP_NODE_TURN_PASSWORD")
        .env_remove("CLASP_NODE_CONTROL")
        .env_remove("CLASP_NODE_TOKEN")
        // What the machine is configured to is no part of the test.
        .env("CLASP_NODE_CONFIG", "/dev/null")
        .env("CLASP_NODE_STATE", state)
        // Each is a device of its own, and most tests are not about who trusts whom.
        .env("CLASP_NODE_TRUST", "open")
        // What is tried here stays on this machine.
        .env("CLASP_NODE_NO_DISCOVERY", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A process that ends with the test, and the lines it prints.
struct Running {
    child: Child,
    out: Receiver<String>,
    err: Receiver<String>,
}

impl Running {
    fn start(args: &[&str]) -> Self {
        let mut command = program();
        command.args(args);
        Self::of(command)
    }

    fn of(mut command: Command) -> Self {
        Self::of_child(command.spawn().unwrap())
    }

    /// The lines it has yet to print.
    fn of_child(mut child: Child) -> Self {
        let out = lines(child.stdout.take().unwrap());
        let err = lines(child.stderr.take().unwrap());
        Self { child, out, err }
    }

    /// A router on a free port, and its address.
    fn router() -> (Self, String) {
        let router = Self::start(&["router", "--bind", "127.0.0.1:0"]);
        let line = router.line();
        let url = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}")).to_owned();
        (router, url)
    }

    fn line(&self) -> String {
        self.out.recv_timeout(DEADLINE).expect("a line in time")
    }

    fn interrupt(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    }

    /// Waits for the end; its status.
    fn status(mut self) -> Option<i32> {
        // The pipes close when it ends: waiting for that has a deadline, `wait` has none.
        while self.out.recv_timeout(DEADLINE).is_ok() {}
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            self.child.wait().unwrap();
        }
    }
}

fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = sync_channel(10_000);
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

fn run(args: &[&str]) -> Output {
    program().args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn noise(len: usize) -> Vec<u8> {
    let mut state = 7_u64;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect()
}

#[test]
fn what_is_piped_into_send_comes_out_of_recv_unchanged() {
    let (_router, url) = Running::router();
    let data = noise(1_000_000).repeat(100);
    let receiver = {
        let mut command = program();
        command.args(["recv", "--name", "sink", "--loopback", "--router", &url]);
        command.spawn().unwrap()
    };
    let mut sender = program();
    sender.args(["send", "sink", "--json", "--loopback", "--router", &url]).stdin(Stdio::piped());
    let mut sender = sender.spawn().unwrap();
    let mut stdin = sender.stdin.take().unwrap();
    let input = data.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let peaks = [peak_memory(sender.id()), peak_memory(receiver.id())];
    let received = std::thread::spawn(move || receiver.wait_with_output().unwrap());
    let sent = sender.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(sent.status.success(), "{}", text(&sent.stderr));
    let report: Value = serde_json::from_slice(&sent.stdout).unwrap();
    assert_eq!(report["bytes"], data.len());
    let received = received.join().unwrap();
    assert!(received.status.success(), "{}", text(&received.stderr));
    assert!(received.stdout == data, "{} bytes came", received.stdout.len());
    for peak in peaks {
        let kib = peak.join().unwrap();
        assert!((1..32 * 1024).contains(&kib), "{kib} KiB at the peak");
    }
}

/// The largest resident memory of a process, in KiB, watched until it ends.
fn peak_memory(pid: u32) -> std::thread::JoinHandle<u64> {
    std::thread::spawn(move || {
        let (_never, pace) = sync_channel::<()>(1);
        let mut peak = 0;
        while let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) {
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let Some(kib) = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()) else {
                break;
            };
            peak = kib;
            if pace.recv_timeout(Duration::from_millis(5)).is_ok() {
                break;
            }
        }
        peak
    })
}

#[test]
fn files_lines_and_empty_input_arrive_too_and_follow_goes_on() {
    let (_router, url) = Running::router();
    let receiver = Running::start(&["recv", "--name", "lines", "--follow", "--loopback", "--router", &url]);
    let folder = std::env::temp_dir().join(format!("clasp-node-test-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("input.txt");
    for content in ["first\nsecond\n", "", "third\n"] {
        std::fs::write(&file, content).unwrap();
        let args = ["send", "lines", file.to_str().unwrap(), "--lines", "--loopback", "--router", &url];
        let sent = run(&args);
        assert!(sent.status.success(), "{}", text(&sent.stderr));
    }
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!([receiver.line(), receiver.line(), receiver.line()], ["first", "second", "third"]);
    receiver.interrupt();
    assert_eq!(receiver.status(), Some(0), "--follow is meant to be interrupted");
}

#[test]
fn a_receiver_that_is_interrupted_fails_the_sender_at_once() {
    let (_router, url) = Running::router();
    let receiver = Running::start(&["recv", "--name", "mortal", "--lines", "--loopback", "--router", &url]);
    let mut command = program();
    command.args(["send", "mortal", "--lines", "--loopback", "--router", &url]).stdin(Stdio::piped());
    let mut sender = command.spawn().unwrap();
    let mut stdin = sender.stdin.take().unwrap();
    stdin.write_all(b"a line\n").unwrap();
    assert_eq!(receiver.line(), "a line", "in the middle of a transfer");
    receiver.interrupt();
    assert_eq!(receiver.status(), Some(130));
    let sent = sender.wait_with_output().unwrap();
    assert_eq!(sent.status.code(), Some(1), "{}", text(&sent.stderr));
    assert!(text(&sent.stderr).contains("closed by the peer"), "{}", text(&sent.stderr));
    drop(stdin);
}

#[test]
fn a_node_that_merely_runs_answers_pings_and_declines_files() {
    let node = Running::start(&["run", "--bind", "127.0.0.1:0", "--name", "resident", "--loopback"]);
    let line = node.line();
    let url = line.strip_prefix("listening on ").unwrap();
    let peers = run(&["peers", "--json", "--loopback", "--router", url]);
    assert!(peers.status.success(), "{}", text(&peers.stderr));
    let peer: Value = serde_json::from_slice(&peers.stdout).unwrap();
    assert_eq!((&peer["name"], &peer["edge"]), (&"resident".into(), &true.into()));

    let ping = run(&["ping", "resident", "-c", "3", "-i", "0.01", "--json", "--loopback", "--router", url]);
    assert!(ping.status.success(), "{}", text(&ping.stderr));
    let events: Vec<Value> =
        text(&ping.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let pongs = events.iter().filter(|e| e["event"] == "pong" && e["rtt_ms"].as_f64() > Some(0.0)).count();
    assert_eq!(pongs, 6, "three on each channel: {events:?}");

    let session = peer["session"].as_str().unwrap();
    let declined = run(&["send", &session[..8], "Cargo.toml", "--loopback", "--router", url]);
    assert_eq!(declined.status.code(), Some(1));
    assert!(text(&declined.stderr).contains("does not receive files"), "{}", text(&declined.stderr));

    let err = node.err.recv_timeout(DEADLINE).unwrap();
    assert!(err.contains("trust is open"), "the first thing it says: {err}");
    node.interrupt();
    assert_eq!(node.status(), Some(0));
}

/// The value of a sample on the page at `url`, an address as `run` prints it.
fn scraped(url: &str, sample: &str) -> Option<f64> {
    let mut stream = std::net::TcpStream::connect(url.strip_prefix("ws://").unwrap()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.ends_with("\n# EOF\n"), "{page}");
    let value = |line: &str| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok();
    page.lines().find_map(value)
}

/// Asks until the sample has this value.
fn shows(url: &str, sample: &str, value: f64) {
    const PACE: Duration = Duration::from_millis(10);
    let (_never, pace) = sync_channel::<()>(1);
    for _ in 0..DEADLINE.as_millis() / PACE.as_millis() {
        if scraped(url, sample) == Some(value) {
            return;
        }
        assert!(pace.recv_timeout(PACE).is_err());
    }
    panic!("{sample} is {:?}, not {value}", scraped(url, sample));
}

#[test]
fn a_node_that_runs_shows_its_links_to_who_asks_on_this_machine() {
    let node = Running::start(&["run", "--bind", "127.0.0.1:0", "--name", "shown", "--loopback"]);
    let line = node.line();
    let url = line.strip_prefix("listening on ").unwrap();
    let open = "clasp_node_links{state=\"open\"}";
    assert_eq!(scraped(url, open), Some(0.0));
    // It asks for many round trips, so that the link stays until it is told to stop.
    let ping = Running::start(&["ping", "shown", "-c", "100000", "--json", "--loopback", "--router", url]);
    while !ping.line().contains("pong") {}
    shows(url, open, 1.0);
    shows(url, "clasp_node_connects_total{role=\"answerer\"}", 1.0);
    shows(url, "clasp_node_connect_seconds_count", 1.0);
    shows(url, "clasp_node_routers_ready", 1.0);
    assert!(scraped(url, "clasp_router_sessions") >= Some(2.0), "the node itself and who pings");
    assert!(scraped(url, "clasp_router_p2p_signals_total{outcome=\"relayed\"}") >= Some(3.0));
    ping.interrupt();
    assert_eq!(ping.status(), Some(130));
    shows(url, "clasp_node_disconnects_total{reason=\"remote\"}", 1.0);
    node.interrupt();
    assert_eq!(node.status(), Some(0));
}

/// Where the control socket of a test's node is.
fn socket(name: &str) -> String {
    let file = format!("clasp-node-test-{}-{name}.sock", std::process::id());
    std::env::temp_dir().join(file).to_str().unwrap().to_owned()
}

/// Asks until there is an answer.
fn until<T>(ask: impl Fn() -> Option<T>) -> T {
    const PACE: Duration = Duration::from_millis(50);
    let (_never, pace) = sync_channel::<()>(1);
    for _ in 0..DEADLINE.as_millis() / PACE.as_millis() {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(pace.recv_timeout(PACE).is_err());
    }
    panic!("it did not happen within {DEADLINE:?}");
}

#[test]
fn the_demo_succeeds_and_shows_the_candidates_of_both_sides() {
    let demo = run(&["demo", "--size", "1", "--json"]);
    assert!(demo.status.success(), "{}\n{}", text(&demo.stdout), text(&demo.stderr));
    let events: Vec<Value> =
        text(&demo.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for process in ["demo-offerer", "demo-answerer"] {
        for step in ["candidate_sent", "candidate_received"] {
            assert!(
                events.iter().any(|e| e["process"] == process && e["step"].get(step).is_some()),
                "{process} {step}"
            );
        }
        let connected =
            events.iter().filter(|e| e["process"] == process && e["event"] == "connected").count();
        assert_eq!(connected, 1, "{process}");
    }
    assert_eq!(events.last().unwrap()["event"], "success");
}

#[test]
fn mistakes_are_named_and_have_their_exit_status() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = format!("ws://{unused}");
    let cases: [(&[&str], i32, &str); 17] = [
        (&["peers", "--log", "info=loud=x"], 2, "log filter \"info=loud=x\""),
        (&["send"], 2, "<PEER>"),
        (&["peers", "--router", "http://a"], 2, "scheme \"http\""),
        (&["peers", "--router", "wss://a"], 2, "TLS"),
        (&["peers", "--wait", "soon"], 2, "a number of seconds"),
        (&["peers", "--name", ""], 2, "name is \"\", expected 1 to 63 bytes"),
        (&["peers", "--connect-timeout", "999"], 2, "connect_timeout is 999s, expected 100 ms to 120 s"),
        (&["router", "--max-sessions", "0"], 2, "max-sessions"),
        (&["peers", "--router", &nobody, "--loopback"], 1, "cannot reach"),
        (&["send", "x", "/does/not/exist"], 1, "cannot read /does/not/exist"),
        (&["demo", "--size", "0"], 2, "0"),
        (&["peers", "--stun", "stun:a:b"], 2, "is not HOST or HOST:PORT"),
        (&["peers", "--turn", "a"], 2, "--turn-user"),
        (&["peers", "--turn", "a", "--turn-user", "u"], 2, "set CLASP_NODE_TURN_PASSWORD, or give"),
        (
            &["peers", "--turn", "a", "--turn-user", "u", "--turn-password-file", "/none"],
            2,
            "/none: No such file",
        ),
        (&["peers", "--turn-only"], 2, "--turn"),
        (&["peers", "--udp-port", "0"], 2, "0 is not in 1..=65535"),
    ];
    for (args, status, says) in cases {
        let output = run(args);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{args:?}: {stderr}");
        assert!(stderr.contains(says), "{args:?}: {stderr}");
    }
}

#[test]
fn an_address_in_use_and_a_peer_that_is_not_there_are_told_plainly() {
    let (_router, url) = Running::router();
    let address = url.strip_prefix("ws://").unwrap();
    let second = run(&["router", "--bind", address]);
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second.stderr).contains(address), "{}", text(&second.stderr));

    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken = socket.local_addr().unwrap().port().to_string();
    let refused = run(&["peers", "--loopback", "--router", &url, "--udp-port", &taken]);
    assert_eq!(refused.status.code(), Some(1));
    let says = format!("UDP port {taken} of 127.0.0.1 is taken");
    assert!(text(&refused.stderr).contains(&says), "{}", text(&refused.stderr));

    let missing = run(&["ping", "nobody", "--wait", "0.3", "--loopback", "--router", &url]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("no peer called \"nobody\""), "{}", text(&missing.stderr));
}
