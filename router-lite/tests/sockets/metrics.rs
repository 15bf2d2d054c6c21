//! `GET /metrics`, over real sockets.

use std::{cell::Cell, collections::BTreeMap, net::SocketAddr, rc::Rc, time::Duration};

use clasp_wire::Value;
use router_lite::{Config, RemoteAccess, Server, limits};
use smol::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    client::{Client, soon},
    http::ask,
    messages::{encode, event, hello, subscribe},
    openmetrics, with_server,
};

const REFUSED: &str = "clasp_router_refusals_total{reason=\"metrics_refused\"}";

async fn scrape(to: SocketAddr) -> BTreeMap<String, f64> {
    let answer = ask(to, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    let kind = "\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n";
    assert!(head.contains(kind), "{head}");
    assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
    openmetrics::read(body)
}

#[test]
fn a_scrape_shows_the_sessions_that_exist_and_takes_no_place_of_theirs() {
    let config = Config::default().with_max_sessions(2).unwrap();
    with_server(config, async |server, to| {
        let before = scrape(to).await;
        assert_eq!(
            (before["clasp_router_sessions"], before["clasp_router_half_open_connections"]),
            (0.0, 0.0)
        );
        let (mut a, _) = Client::session(to).await;
        let (mut b, _) = Client::session(to).await;
        let unfinished = Client::connect(to).await;
        let full = scrape(to).await;
        assert_eq!(full["clasp_router_sessions"], 2.0, "{full:#?}");
        assert_eq!(full["clasp_router_half_open_connections"], 1.0, "only the one that is");
        a.send(&subscribe(1, "/**")).await;
        a.settle().await;
        b.send(&event("/a", Value::Int(1))).await;
        a.frame().await;
        let after = scrape(to).await;
        for (key, least) in [
            ("clasp_router_received_frames_total", 3.0),
            ("clasp_router_received_bytes_total", 12.0),
            ("clasp_router_sent_frames_total", 2.0),
            ("clasp_router_sent_bytes_total", 8.0),
        ] {
            assert!(after[key] >= full[key] + least, "{key}: {} after {}", after[key], full[key]);
        }
        if cfg!(target_os = "linux") {
            assert!(after["process_resident_memory_bytes"] > 100_000.0);
        }
        let version = format!("clasp_router_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
        assert_eq!(after[&version], 1.0);
        assert_eq!(server.counts().sessions, 2);
        drop(unfinished);
    });
}

#[test]
fn limits_that_are_hit_show() {
    let config = Config::default().with_rate(5).unwrap().with_max_sessions(2).unwrap();
    with_server(config, async |server, to| {
        // In this process, so that no socket buffer hides that it does not read.
        let deaf = server.attach();
        deaf.send(encode(&hello("")).into()).unwrap();
        deaf.send(encode(&subscribe(1, "/**")).into()).unwrap();
        let (mut sender, _) = Client::session(to).await;
        let mut late = Client::connect(to).await;
        late.send(&hello("")).await;
        assert_eq!(late.until_closed().await.0, 1013);
        let text = "x".repeat(60_000);
        for _ in 0..5 {
            sender.send(&event("/a", Value::Str(&text))).await;
        }
        for _ in 0..100 {
            sender.send(&event("/a", Value::Int(1))).await;
        }
        // The first reply is the one that tells of the rate; everything before it was worked off.
        sender.frame().await;
        let told = scrape(to).await;
        for (reason, least) in [("slow_consumers", 1.0), ("sessions_refused", 1.0), ("rate_limited", 1.0)] {
            let count = told[&format!("clasp_router_refusals_total{{reason=\"{reason}\"}}")];
            assert!(count >= least, "{reason}: {count}");
        }
    });
}

#[test]
fn head_tells_the_length_and_nothing_else() {
    with_server(Config::default(), async |_, to| {
        let answer = ask(to, b"HEAD /metrics HTTP/1.1\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
        let length = answer.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
        assert!(length.parse::<usize>().unwrap() > 1000, "{answer}");
        let answer = ask(to, b"HEAD /healthz HTTP/1.1\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    });
}

#[test]
fn a_web_page_from_elsewhere_learns_nothing_unless_the_operator_says_so() {
    let page = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\r\n";
    let rebound = b"GET /metrics HTTP/1.1\r\nHost: evil.example:7330\r\n\r\n";
    with_server(Config::default(), async |server, to| {
        for request in [&page[..], rebound] {
            let answer = ask(to, request).await;
            assert!(answer.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{answer}");
            let (_, reason) = answer.split_once("\r\n\r\n").unwrap();
            assert!(reason.contains("--remote full") && reason.lines().count() == 1, "{reason}");
        }
        assert_eq!(scrape(to).await[REFUSED], 2.0);
        assert_eq!(server.counts().connections, 0);
        let answer = ask(to, b"GET /healthz HTTP/1.1\r\nOrigin: http://evil.example\r\n\r\n").await;
        assert!(answer.ends_with("\r\n\r\nok\n"), "{answer}");
    });
    with_server(Config::default().with_remote(RemoteAccess::Full), async |_, to| {
        for request in [&page[..], rebound] {
            let answer = ask(to, request).await;
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("# EOF\n"), "{answer}");
        }
    });
}

#[test]
fn the_program_around_the_router_adds_its_own_and_may_look_at_the_router_meanwhile() {
    with_server(Config::default(), async |server, to| {
        let asked = Rc::new(Cell::new(0));
        server.add_metrics({
            let (asked, server) = (Rc::clone(&asked), Server::clone(server));
            move |page| {
                asked.set(asked.get() + 1);
                page.gauge("own_connections", "Looked up.", server.counts().connections as u64);
            }
        });
        assert_eq!(scrape(to).await["own_connections"], 0.0);
        ask(to, b"HEAD /metrics HTTP/1.1\r\n\r\n").await;
        assert_eq!(asked.get(), 2);
        server.add_metrics(|page| page.gauge("other", "Another.", 7));
        let told = scrape(to).await;
        assert_eq!(told["other"], 7.0);
        assert!(!told.contains_key("own_connections"));
        server.add_metrics(|page| {
            page.gauges("huge", "Too much.", "of", [("x".repeat(limits::MAX_METRICS_BYTES).as_str(), 1)]);
        });
        assert_eq!(scrape(to).await["clasp_families_left_out"], 1.0);
    });
}

#[test]
fn a_scraper_that_does_not_read_or_never_ends_its_request_stops_nobody() {
    with_server(Config::default(), async |_, to| {
        let mut deaf = Vec::new();
        for _ in 0..2 * limits::MAX_HALF_OPEN {
            let mut stream = TcpStream::connect(to).await.unwrap();
            stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").await.unwrap();
            deaf.push(stream);
        }
        let (mut client, _) = Client::session(to).await;
        client.settle().await;
        scrape(to).await;
        let mut answer = String::new();
        soon(deaf[0].read_to_string(&mut answer)).await.unwrap();
        assert!(answer.ends_with("# EOF\n"), "{answer}");
    });
    let config = Config::default().with_hello_timeout(Duration::from_millis(50)).unwrap();
    with_server(config, async |server, to| {
        let answer = ask(to, b"GET /metrics HTTP/1.1\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert_eq!(server.counters().hello_timeouts, 1);
    });
}
