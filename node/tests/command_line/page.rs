//! The page of a node, and a code for a browser.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::pair::{Device, state};
use super::{DEADLINE, run, text};

/// What a request is answered with: the head, and how much follows.
fn get(url: &str, path: &str) -> (String, usize) {
    let mut stream = TcpStream::connect(url.strip_prefix("ws://").unwrap()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: kitchen\r\nAccept-Encoding: gzip\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    let (head, rest) = answer.split_at(end);
    (text(head), rest.len() - 4)
}

#[test]
fn a_node_serves_its_page_and_the_module_unless_it_is_told_not_to() {
    let state = state("page");
    let device = Device::start_with("page", &state, &[], &[]);
    for (path, kind) in [("/", "text/html"), ("/clasp-peer.js", "text/javascript"), ("/page.css", "text/css")]
    {
        let (head, bytes) = get(&device.url, path);
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{path}: {head}");
        assert!(
            head.contains(kind) && head.contains("Content-Security-Policy: default-src 'none';"),
            "{head}"
        );
        assert!(bytes > 500 && head.contains(&format!("Content-Length: {bytes}")), "{path}: {bytes}, {head}");
    }
    // It listens on the loopback interface: no phone can open it.
    let shown = device.ask(&["pair", "--page"]);
    assert_eq!(shown.status.code(), Some(1));
    assert!(text(&shown.stderr).contains("no page that other hosts can reach"), "{}", text(&shown.stderr));
    let peers = run(&["peers", "--json", "--listen", "0.3", "--loopback", "--router", &device.url]);
    assert!(
        text(&peers.stdout).contains("\"pairing\":false"),
        "the code is taken back: {}",
        text(&peers.stdout)
    );
    device.stop();

    let device = Device::start_with("no-page", &state, &[], &["--no-page"]);
    let (head, bytes) = get(&device.url, "/");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && bytes == "ok\n".len(), "{head}");
    assert!(get(&device.url, "/clasp-peer.js").0.starts_with("HTTP/1.1 404 "));
    device.stop();
    std::fs::remove_dir_all(state).unwrap();
}
