//! The real binary.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    process::{Child, Command, Output, Stdio},
};

use clasp_wire::Value;

use crate::{
    client::Client,
    messages::{event, short},
};

struct Router {
    child: Child,
    address: SocketAddr,
}

impl Router {
    fn start(args: &[&str]) -> Self {
        Self::spawn(command(args))
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.strip_prefix("listening on ws://").and_then(|rest| rest.trim_end().parse().ok());
        Self { child, address: address.unwrap_or_else(|| panic!("{line:?}")) }
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Exit code and what it wrote to its standard error output.
    fn end(mut self) -> (Option<i32>, String) {
        let mut errors = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        (self.child.wait().unwrap().code(), errors)
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        // It has ended in every test that passes.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_router-lite"));
    command.args(args).env_remove("RUST_LOG");
    command
}

fn run(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

#[test]
fn sigterm_and_sigint_tell_clients_and_exit_with_0() {
    for signal in ["TERM", "INT"] {
        let router = Router::start(&["--bind", "127.0.0.1:0"]);
        let address = router.address;
        smol::block_on(async {
            let (mut client, _) = Client::session(address).await;
            router.signal(signal);
            let (code, reason, _) = client.until_closed().await;
            assert_eq!((code, &*reason), (1001, "router is shutting down"));
        });
        let (code, errors) = router.end();
        assert_eq!((code, &*errors), (Some(0), ""), "quiet by default");
    }
}

#[test]
fn a_second_signal_ends_it_at_once_though_a_client_does_not_take_its_leave() {
    let router = Router::start(&["--bind", "127.0.0.1:0", "--log", "warn"]);
    let address = router.address;
    smol::block_on(async {
        let (client, _) = Client::session(address).await;
        router.signal("TERM");
        let mut raw = client.ws.into_inner();
        // The Close frame has come: the router is waiting for the client now, which keeps its side open.
        let mut byte = [0];
        smol::io::AsyncReadExt::read_exact(&mut raw, &mut byte).await.unwrap();
        router.signal("TERM");
        let (code, errors) = router.end();
        assert_eq!(code, Some(0));
        assert!(errors.contains("stopping at once") || errors.is_empty(), "{errors}");
        drop(raw);
    });
}

#[test]
fn flags_reach_the_router() {
    let router =
        Router::start(&["--bind", "127.0.0.1:0", "--name", "hall", "--rate", "5", "--max-sessions", "1"]);
    let address = router.address;
    smol::block_on(async {
        let mut client = Client::connect(address).await;
        client.send(&crate::messages::hello("")).await;
        let welcome = client.frame().await;
        assert!(welcome.windows(4).any(|part| part == b"hall"), "{welcome:?}");
        client.frame().await;
        for n in 0..6 {
            client.send(&event("/a", Value::Int(n))).await;
        }
        assert_eq!(short(&client.frame().await), "ERROR 429 Rate limit exceeded: 5 messages/second");
        let mut late = Client::connect(address).await;
        late.send(&crate::messages::hello("")).await;
        assert_eq!(late.until_closed().await.0, 1013);
    });
    router.signal("TERM");
    assert_eq!(router.end().0, Some(0));
}

#[test]
fn a_bad_flag_is_refused_with_its_name_value_and_range_and_code_2() {
    for (args, says) in [
        (["--rate", "1000001"], "--rate: 1000001 is not allowed, expected 0 to 1000000"),
        (["--rate", "-1"], "invalid value '-1' for '--rate <COUNT>'"),
        (["--rate", "many"], "invalid value 'many' for '--rate <COUNT>'"),
        (["--max-sessions", "0"], "--max-sessions: 0 is not allowed, expected 1 to 65536"),
        (
            ["--remote", "some"],
            "'--remote <ACCESS>': remote: some is not allowed, expected `signaling` or `full`",
        ),
        (["--name", ""], "--name: \"\" is not allowed, expected 1 to 128 bytes of printable text"),
        (["--bind", "here"], "invalid value 'here' for '--bind <ADDRESS:PORT>'"),
        (["--log", "a=b=c"], "--log: "),
        (["--nonsense", "1"], "--nonsense"),
    ] {
        let output = run(&args);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {errors}");
        assert!(errors.contains(says), "{args:?}: {errors}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn an_address_that_cannot_be_had_is_named_and_the_exit_code_is_1() {
    let router = Router::start(&["--bind", "127.0.0.1:0"]);
    let taken = router.address.to_string();
    for log in ["warn", "off"] {
        let output = run(&["--bind", &taken, "--log", log]);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(errors.contains(&format!("cannot listen on {taken}: Address already in use")), "{errors}");
    }
    router.signal("INT");
    assert_eq!(router.end().0, Some(0));
}

#[test]
fn it_tells_its_version() {
    let output = run(&["--version"]);
    let wanted = format!("router-lite {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!((output.status.code(), String::from_utf8(output.stdout).unwrap()), (Some(0), wanted));
}

#[test]
fn a_router_that_runs_out_of_descriptors_goes_on_when_some_are_free_again() {
    let limited =
        format!("ulimit -n 24 && exec {} --bind 127.0.0.1:0 --log off", env!("CARGO_BIN_EXE_router-lite"));
    let mut command = Command::new("sh");
    command.args(["-c", &limited]).env_remove("RUST_LOG");
    let router = Router::spawn(command);
    let address = router.address;
    smol::block_on(async {
        let mut all = Vec::new();
        for _ in 0..40 {
            all.push(std::net::TcpStream::connect(address).unwrap());
        }
        drop(all);
        let (mut client, _) = crate::client::soon(Client::session(address)).await;
        client.settle().await;
    });
    router.signal("TERM");
    assert_eq!(router.end().0, Some(0));
}
