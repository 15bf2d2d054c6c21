//! `pub`, `set`, `get` and `sub`.

use std::io::{Read, Write};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Running, program, run, text};

/// Runs a command that is to end so; what it printed on either output.
fn ends(args: &[&str], status: i32) -> (String, String) {
    told(&run(args), status)
}

fn told(output: &Output, status: i32) -> (String, String) {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(status), "{out}{err}");
    (out, err)
}

/// Runs a command that reads `input`.
fn fed(mut command: Command, input: &str) -> Output {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// The next line that is not about whether it is there.
fn after_ready(sub: &Running) -> String {
    loop {
        let line = sub.line();
        if !line.contains("/e/ready") {
            return line;
        }
    }
}

#[test]
fn what_is_set_is_there_for_who_comes_later_with_its_type() {
    let (_router, url) = Running::router();
    for (value, shown) in [
        ("21.5", "21.5"),
        ("-5", "-5"),
        ("true", "true"),
        ("null", "null"),
        ("on air", "on air"),
        ("[1,\"a\"]", "[1,\"a\"]"),
        ("{\"b\":{\"c\":2.0}}", "{\"b\":{\"c\":2.0}}"),
    ] {
        ends(&["set", "/a/b", value, "--router", &url], 0);
        assert_eq!(ends(&["get", "/a/b", "--router", &url], 0).0, format!("{shown}\n"));
    }
    ends(&["set", "/a/b", "21", "--text", "--router", &url], 0);
    let (out, _) = ends(&["sub", "/a/**", "-c", "1", "--json", "--router", &url], 0);
    let want = json!({"address": "/a/b", "value": "21", "signal": "set", "revision": 8});
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), want);
    assert_eq!(ends(&["sub", "/a/*", "-c", "1", "--router", &url], 0).0, "/a/b\t21\n");
}

#[test]
fn a_revision_that_is_not_the_parameters_is_refused() {
    let (_router, url) = Running::router();
    assert_eq!(ends(&["set", "/a", "1", "--router", &url], 0).0, "1\n");
    assert_eq!(ends(&["set", "/a", "2", "--revision", "1", "--router", &url], 0).0, "2\n");
    let (_, err) = ends(&["set", "/a", "3", "--revision", "1", "--router", &url], 1);
    assert!(err.contains("the router refused it") && err.contains("/a"), "{err}");
    assert_eq!(ends(&["get", "/a", "--router", &url], 0).0, "2\n");
}

#[test]
fn lines_of_standard_input_arrive_in_order_and_ctrl_c_ends_sub_well() {
    let (_router, url) = Running::router();
    ends(&["set", "/unwanted", "1", "--router", &url], 0);
    ends(&["set", "/ready", "1", "--router", &url], 0);
    let sub = Running::start(&["sub", "/n", "/e/*", "/ready", "--json", "--router", &url]);
    // The first line may be what routers show a new session: only a change tells that it has subscribed.
    assert!(sub.line().contains("/ready"));
    while sub.out.recv_timeout(Duration::from_millis(20)).is_err() {
        ends(&["pub", "/e/ready", "1", "--router", &url], 0);
    }
    let input: String = (0..100).map(|n| format!("{n}\n")).collect();
    let mut set = program();
    set.args(["set", "/n", "-", "--router", &url]);
    told(&fed(set, &input), 0);
    for n in 0..100 {
        let line: Value = serde_json::from_str(&after_ready(&sub)).unwrap();
        assert_eq!((&line["address"], &line["value"]), (&json!("/n"), &json!(n)));
    }
    for (flag, signal) in [("--event", "event"), ("--stream", "stream")] {
        let mut publish = program();
        publish.args(["pub", "/e/x", "-", flag, "--router", &url]);
        told(&fed(publish, "1\nhello"), 0);
        for value in [json!(1), json!("hello")] {
            let line: Value = serde_json::from_str(&sub.line()).unwrap();
            assert_eq!(line, json!({"address": "/e/x", "value": value, "signal": signal}));
        }
    }
    sub.interrupt();
    assert_eq!(sub.status(), Some(0));
}

#[test]
fn what_is_wrong_is_told() {
    let (router, url) = Running::router();
    for (args, status, want) in [
        (&["get", "/none", "--timeout", "0.2"][..], 1, "/none: no value"),
        (&["get", "none"], 2, "must start with '/'"),
        (&["set", "/a/*", "1"], 2, "wildcard"),
        (&["pub", "/a//b", "1"], 2, "empty segment"),
        (&["sub", "a"], 2, "must start with '/'"),
        (&["set", "/a", "9223372036854775808"], 1, "greatest integer"),
        (&["set", "/a", &"x".repeat(65_536)], 1, "65535"),
    ] {
        let args = [args, &["--router", &url]].concat();
        let (_, err) = ends(&args, status);
        assert!(err.contains(want), "{err}");
    }
    let sub = Running::start(&["sub", "/ready", "--router", &url]);
    ends(&["set", "/ready", "1", "--router", &url], 0);
    assert_eq!(sub.line(), "/ready\t1");
    drop(router);
    assert!(sub.err.recv_timeout(super::DEADLINE).unwrap().contains("lost the router"));
    assert_eq!(sub.status(), Some(1));
    let (_, err) = ends(&["get", "/a", "--router", &url], 1);
    assert!(err.contains("nothing listens on") && err.contains("is `clasp-node run` there?"), "{err}");
}

#[test]
fn a_router_that_takes_no_more_is_told() {
    let router = Running::start(&["router", "--bind", "127.0.0.1:0", "--rate", "5"]);
    let line = router.line();
    let url = line.strip_prefix("listening on ").unwrap();
    let mut set = program();
    set.args(["set", "/n", "-", "--router", url]);
    let (_, err) = told(&fed(set, &"1\n".repeat(1000)), 1);
    assert!(err.contains("429"), "{err}");
}

#[test]
fn who_stops_reading_ends_a_command_quietly() {
    let (_router, url) = Running::router();
    ends(&["set", "/ready", "1", "--router", &url], 0);
    let sub = &["sub", "/ready", "/n", "--router", &url][..];
    for args in [&["set", "/n", "-", "--router", &url][..], &["get", "/ready", "--router", &url], sub] {
        let mut command = program();
        let mut child = command.args(args).stdin(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"1\n2\n").unwrap();
        // The end of the input is not what ends it.
        let (code, said) = {
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            (child.wait().unwrap().code(), said)
        };
        drop(stdin);
        assert_eq!((code, said.as_str()), (Some(0), ""), "{args:?}");
    }
}
