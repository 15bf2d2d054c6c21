//! `clasp-node token`, and what a client from elsewhere may do with one.

use std::net::SocketAddr;
use std::process::Output;

use async_tungstenite::tungstenite::Message as WsMessage;
use async_tungstenite::tungstenite::client::IntoClientRequest;
use async_tungstenite::{WebSocketStream, client_async};
use clasp_wire::Message;
use clasp_wire::Value as ClaspValue;
use clasp_wire::message::{Features, Hello, Set};
use serde_json::Value;
use smol::future::FutureExt;
use smol::net::TcpStream;
use smol::stream::StreamExt;

use super::{DEADLINE, Running, program, run, socket, text, until};

/// A web page that comes from elsewhere, in a browser on this machine: it may do no more than a client from elsewhere.
struct Page(WebSocketStream<TcpStream>);

impl Page {
    /// Says HELLO with this token on the router at `url`, an address as `run` prints it.
    fn open(url: &str, token: &str) -> Self {
        let address: SocketAddr = url.strip_prefix("ws://").unwrap().parse().unwrap();
        let ws = soon(async {
            let mut request = format!("{url}/").into_client_request().unwrap();
            request.headers_mut().insert("origin", "https://example.org".parse().unwrap());
            request.headers_mut().insert("sec-websocket-protocol", "clasp".parse().unwrap());
            client_async(request, TcpStream::connect(address).await.unwrap()).await.unwrap().0
        });
        let mut page = Self(ws);
        page.send(&Message::Hello(Hello { version: 1, features: Features::PARAM, name: "page", token }));
        page
    }

    fn send(&mut self, message: &Message<'_>) {
        let mut frame = Vec::new();
        message.encode_into(&mut frame).unwrap();
        soon(self.0.send(WsMessage::binary(frame))).unwrap();
    }

    /// Sets the value at `address`; what comes back.
    fn set(&mut self, address: &str) -> String {
        let value = ClaspValue::Int(1);
        self.send(&Message::Set(Set {
            address,
            value,
            revision: None,
            lock: false,
            unlock: false,
            ttl: None,
        }));
        self.hears()
    }

    /// What comes next, pings apart.
    fn hears(&mut self) -> String {
        loop {
            let frame = match soon(self.0.next()) {
                Some(Ok(WsMessage::Binary(frame))) => frame,
                Some(Ok(WsMessage::Close(Some(close)))) => {
                    return format!("CLOSE {} {}", close.code, close.reason);
                }
                Some(Ok(WsMessage::Ping(_) | WsMessage::Pong(_))) => continue,
                other => return format!("{other:?}"),
            };
            return match Message::decode_compact(&frame).unwrap().1 {
                Message::Error(error) => format!("ERROR {} {}", error.code, error.message),
                Message::Welcome(_) => "WELCOME".to_owned(),
                Message::Snapshot { params } => {
                    format!(
                        "SNAPSHOT {}",
                        params.iter().map(|param| param.address).collect::<Vec<_>>().join(" ")
                    )
                }
                Message::Ack(_) => "ACK".to_owned(),
                other => format!("{other:?}"),
            };
        }
    }

    fn expects_refusal(mut self) {
        assert_eq!(self.hears(), "ERROR 300 Invalid token: token not found");
        assert_eq!(self.hears(), "CLOSE 1008 invalid token");
    }

    fn expects_revocation(mut self) {
        assert_eq!(self.hears(), "ERROR 300 Token was revoked");
        assert_eq!(self.hears(), "CLOSE 1008 token revoked");
    }
}

fn soon<T>(work: impl Future<Output = T>) -> T {
    smol::block_on(work.or(async {
        smol::Timer::after(DEADLINE).await;
        panic!("not within {DEADLINE:?}")
    }))
}

fn state(name: &str) -> String {
    format!("{}/token-{}-{name}", env!("CARGO_TARGET_TMPDIR"), std::process::id())
}

/// A state directory, and where the node that runs with it answers.
struct Device {
    state: String,
    socket: String,
}

impl Device {
    fn new(name: &str) -> Self {
        Self { state: state(name), socket: socket(name) }
    }

    /// Starts its node; its router's address.
    fn start(&self) -> (Running, String) {
        let args = ["run", "--bind", "127.0.0.1:0", "--loopback", "--control", &self.socket];
        let node = Running::start(&[&args[..], &["--state-dir", &self.state]].concat());
        let url = node.line().strip_prefix("listening on ").unwrap().to_owned();
        until(|| run(&["status", "--control", &self.socket]).status.success().then_some(()));
        (node, url)
    }

    fn stop(&self, node: Running) {
        node.interrupt();
        assert_eq!(node.status(), Some(0));
        std::fs::remove_file(format!("{}.lock", self.socket)).unwrap();
    }

    fn token(&self, args: &[&str]) -> Output {
        run(&[&["token"], args, &["--control", &self.socket, "--state-dir", &self.state]].concat())
    }

    fn add(&self, name: &str, scope: &str) -> String {
        let added = self.token(&["add", name, "--scope", scope]);
        assert!(added.status.success(), "{}", text(&added.stderr));
        assert!(text(&added.stderr).contains("the only time"), "{}", text(&added.stderr));
        let token = text(&added.stdout).trim_end().to_owned();
        assert!(
            token.starts_with("cpsk_") && token.len() == 37,
            "nothing but the token is on standard output"
        );
        token
    }

    fn revoke(&self, name: &str) {
        let revoked = self.token(&["revoke", name]);
        assert!(revoked.status.success(), "{}", text(&revoked.stderr));
        assert_eq!(text(&revoked.stdout), format!("revoked {name}\n"));
    }

    fn names(&self) -> Vec<String> {
        let listed = self.token(&["list", "--json"]);
        assert!(listed.status.success(), "{}", text(&listed.stderr));
        let listed: Vec<Value> = serde_json::from_slice(&listed.stdout).unwrap();
        listed.iter().map(|token| token["name"].as_str().unwrap().to_owned()).collect()
    }

    fn file(&self) -> String {
        std::fs::read_to_string(format!("{}/tokens.json", self.state)).unwrap()
    }
}

#[test]
fn a_token_is_good_at_once_after_a_restart_and_until_it_is_revoked() {
    let device = Device::new("live");
    let (node, url) = device.start();
    assert_eq!(text(&device.token(&["list"]).stdout), "no tokens; `clasp-node token add` makes one\n");
    let token = device.add("panel", "write:/desk/*,read:/pub/**");
    let other = device.add("other", "read:/pub/*");
    let listed = text(&device.token(&["list"]).stdout);
    assert_eq!(listed, "NAME   SCOPES\npanel  write:/desk/*,read:/pub/**\nother  read:/pub/*\n");
    assert!(!device.file().contains(&token[5..]), "the token itself is nowhere");

    let mut page = Page::open(&url, &token);
    assert_eq!([page.hears(), page.hears()], ["WELCOME", "SNAPSHOT "]);
    assert_eq!(page.set("/desk/1"), "ACK");
    assert_eq!(page.set("/pub/1"), "ERROR 301 Insufficient scope for write operation");
    let mut stranger = Page::open(&url, "");
    assert_eq!([stranger.hears(), stranger.hears()], ["WELCOME", "SNAPSHOT "], "it sees nothing");
    assert_eq!(stranger.set("/desk/1"), "ERROR 301 Insufficient scope for write operation");
    Page::open(&url, &token.replace(&token[5..9], "ffff")).expects_refusal();
    device.stop(node);

    let (node, url) = device.start();
    let [mut page, mut second] = [&token, &other].map(|token| Page::open(&url, token));
    assert_eq!((page.hears(), second.hears()), ("WELCOME".to_owned(), "WELCOME".to_owned()));
    assert_eq!((page.hears(), second.hears()), ("SNAPSHOT ".to_owned(), "SNAPSHOT ".to_owned()));
    device.revoke("panel");
    page.expects_revocation();
    Page::open(&url, &token).expects_refusal();
    assert_eq!(
        second.set("/desk/1"),
        "ERROR 301 Insufficient scope for write operation",
        "it is still there"
    );
    assert_eq!(device.names(), ["other"]);
    device.stop(node);
}

#[test]
fn without_a_node_that_runs_tokens_are_changed_all_the_same_and_a_running_ones_are_never_lost() {
    let device = Device::new("still");
    let first = device.add("first", "admin:/**");
    assert_eq!(device.names(), ["first"]);
    let (node, url) = device.start();
    assert_eq!(Page::open(&url, &first).hears(), "WELCOME");
    device.add("second", "read:/a");

    // Commands that take the node for gone, as those do that were begun before it was there.
    let blind = Device { state: device.state.clone(), socket: socket("nobody") };
    let mut page = Page::open(&url, &first);
    assert_eq!([page.hears(), page.hears()], ["WELCOME", "SNAPSHOT "]);
    let third = blind.add("third", "read:/a");
    blind.revoke("first");
    device.add("fourth", "read:/a");
    assert_eq!(device.names(), ["second", "third", "fourth"], "it has read the file before it wrote it");
    assert_eq!(blind.names(), device.names());
    page.expects_revocation();
    assert_eq!(Page::open(&url, &third).hears(), "WELCOME");

    // It also finds out by itself.
    let mut page = Page::open(&url, &third);
    assert_eq!([page.hears(), page.hears()], ["WELCOME", "SNAPSHOT "]);
    blind.revoke("third");
    page.expects_revocation();
    assert_eq!(device.names(), ["second", "fourth"]);
    device.stop(node);
}

#[test]
fn what_is_revoked_is_out_even_where_that_cannot_be_stored() {
    let device = Device::new("full");
    let (node, url) = device.start();
    let token = device.add("panel", "read:/a");
    let mut page = Page::open(&url, &token);
    assert_eq!([page.hears(), page.hears()], ["WELCOME", "SNAPSHOT "]);
    // A directory where the new file is to be written first: not even root can remove it as a file.
    let obstacle = format!("{}/tokens.json.tmp", device.state);
    std::fs::create_dir(&obstacle).unwrap();
    let added = device.token(&["add", "desk", "--scope", "read:/a"]);
    assert_eq!((added.status.code(), text(&added.stdout)), (Some(1), String::new()));
    assert!(text(&added.stderr).contains("not stored: "), "{}", text(&added.stderr));
    let revoked = device.token(&["revoke", "panel"]);
    assert_eq!(revoked.status.code(), Some(1));
    let says = "revoked until this node ends, not longer: not stored: ";
    assert!(text(&revoked.stderr).contains(says), "{}", text(&revoked.stderr));
    page.expects_revocation();
    Page::open(&url, &token).expects_refusal();
    assert!(device.names().is_empty() && device.file().contains("panel"));

    std::fs::remove_dir(&obstacle).unwrap();
    device.add("desk", "read:/a");
    assert!(
        device.names() == ["desk"] && !device.file().contains("panel"),
        "with the next change it is stored"
    );
    Page::open(&url, &token).expects_refusal();
    device.stop(node);
}

#[test]
fn commands_at_once_lose_no_token() {
    let device = Device::new("race");
    let names: Vec<String> = (0..8).map(|number| format!("t{number}")).collect();
    let racing: Vec<_> = names
        .iter()
        .map(|name| {
            let args = ["token", "add", name, "--scope", "read:/a", "--state-dir", &device.state];
            program().args(args).args(["--control", &device.socket]).spawn().unwrap()
        })
        .collect();
    for process in racing {
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    let mut known = device.names();
    known.sort();
    assert_eq!(known, names);
}

#[test]
fn a_router_alone_knows_them_from_its_start_and_follows_their_changes() {
    let device = Device::new("alone");
    let first = device.add("first", "read:/a");
    let router = Running::start(&["router", "--bind", "127.0.0.1:0", "--state-dir", &device.state]);
    let url = router.line().strip_prefix("listening on ").unwrap().to_owned();
    let mut page = Page::open(&url, &first);
    assert_eq!([page.hears(), page.hears()], ["WELCOME", "SNAPSHOT "]);
    device.revoke("first");
    let second = device.add("second", "read:/a");
    page.expects_revocation();
    until(|| (Page::open(&url, &second).hears() == "WELCOME").then_some(()));

    // What cannot be read changes nothing.
    std::fs::write(format!("{}/tokens.json", device.state), "{").unwrap();
    while !router.err.recv_timeout(DEADLINE).unwrap().contains("the tokens stay as they were") {}
    assert_eq!(Page::open(&url, &second).hears(), "WELCOME");
    router.interrupt();
    assert_eq!(router.status(), Some(0));
    let refused = run(&["router", "--bind", "127.0.0.1:0", "--state-dir", &device.state]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("tokens.json: is not JSON"), "{}", text(&refused.stderr));
}

#[test]
fn a_node_shows_its_token_to_other_routers_and_not_to_its_own() {
    let guarded = Device::new("guarded");
    let (node, url) = guarded.start();
    let token = guarded.add("node", "read:/a");
    let roaming = Device::new("roaming");
    let start = |token: &str| {
        let args =
            ["run", "--bind", "127.0.0.1:0", "--loopback", "--router", &url, "--control", &roaming.socket];
        let mut command = program();
        command.args(args).args(["--state-dir", &roaming.state]).env("CLASP_NODE_TOKEN", token);
        Running::of(command)
    };
    let states = || {
        let status = run(&["status", "--json", "--control", &roaming.socket]);
        let status: Value = serde_json::from_slice(&status.stdout).ok()?;
        let state = |at: usize| status["routers"][at]["state"].as_str().map(str::to_owned);
        Some((state(0)?, status["routers"][1].clone()))
    };
    let with = start(&token);
    until(|| states().filter(|(own, other)| own == "ready" && other["state"] == "ready"));
    guarded.revoke("node");
    let lost = until(|| states().filter(|(own, other)| own == "ready" && other["state"] != "ready"));
    assert!(lost.1.to_string().contains("oken"), "it says why: {}", lost.1);
    roaming.stop(with);
    guarded.stop(node);

    let bad = program().args(["peers"]).env("CLASP_NODE_TOKEN", "a\nb").output().unwrap();
    assert_eq!(bad.status.code(), Some(2));
    assert!(text(&bad.stderr).contains("CLASP_NODE_TOKEN: expected"), "{}", text(&bad.stderr));
}

#[test]
fn mistakes_with_tokens_are_named() {
    let device = Device::new("mistakes");
    device.add("taken", "read:/a");
    for (args, status, says) in [
        (&["add", "x"][..], 2, "--scope"),
        (&["add", "x", "--scope", "red:/a"], 2, "action \"red\" is none of `read`, `write`, `admin`"),
        (&["add", "x", "--scope", "read:a"], 2, "address must start with '/': a"),
        (&["add", "x", "--scope", "read:/a,write"], 2, "has no `:`"),
        (&["add", "taken", "--scope", "read:/a"], 1, "there is a token called \"taken\" already"),
        (&["add", "cpsk_x", "--scope", "read:/a"], 1, "looks like a token"),
        (&["revoke", "nobody"], 1, "no token is called \"nobody\"; `clasp-node token list`"),
    ] {
        for running in [false, true] {
            let node = running.then(|| device.start().0);
            let output = device.token(args);
            assert_eq!(output.status.code(), Some(status), "{args:?}: {}", text(&output.stderr));
            assert!(text(&output.stderr).contains(says), "{args:?}: {}", text(&output.stderr));
            assert!(output.stdout.is_empty());
            node.into_iter().for_each(|node| device.stop(node));
        }
    }
    assert_eq!(device.names(), ["taken"]);

    // Nobody can make a directory there, not even root.
    let nowhere = Device { state: "/proc/clasp-node".to_owned(), socket: socket("nowhere") };
    let refused = nowhere.token(&["add", "x", "--scope", "read:/a"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("not stored: /proc/clasp-node: "), "{}", text(&refused.stderr));
    assert!(nowhere.names().is_empty());
}
