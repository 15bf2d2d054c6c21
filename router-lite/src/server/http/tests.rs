use super::*;

const UPGRADE: &str = "GET /any/path?x HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\n\
    Upgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

fn asked(head: &str) -> Asked {
    look_at(head.as_bytes(), &[])
}

fn answer(head: &str) -> String {
    match asked(head) {
        Asked::WebSocket { answer, .. } | Asked::Other { answer, .. } => String::from_utf8(answer).unwrap(),
        other => panic!("{head:?} has no answer of its own: {other:?}"),
    }
}

#[test]
fn a_websocket_is_accepted_on_any_path_and_what_follows_is_kept() {
    let head = format!("{UPGRADE}\r\nrest");
    let Asked::WebSocket { answer, used, is_foreign: false } = asked(&head) else { panic!("not accepted") };
    assert_eq!(&head[used..], "rest");
    let answer = String::from_utf8(answer).unwrap().to_lowercase();
    assert!(answer.starts_with("http/1.1 101 "), "{answer}");
    assert!(answer.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{answer}");
    assert!(!answer.contains("sec-websocket-protocol"), "{answer}");
}

#[test]
fn the_subprotocol_is_echoed_exactly_when_it_was_offered() {
    for (offer, echoed) in [("clasp", true), ("mqtt, clasp", true), ("a,clasp ,b", true), ("clasp2", false)] {
        let answer = answer(&format!("{UPGRADE}Sec-WebSocket-Protocol: {offer}\r\n\r\n")).to_lowercase();
        assert_eq!(answer.contains("sec-websocket-protocol: clasp\r\n"), echoed, "{offer}");
    }
    let twice =
        answer(&format!("{UPGRADE}Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Protocol: clasp\r\n\r\n"));
    assert!(twice.to_lowercase().contains("sec-websocket-protocol: clasp\r\n"));
}

#[test]
fn a_page_from_elsewhere_is_known_as_such_and_one_from_this_machine_is_not() {
    for (origin, foreign) in [
        ("http://localhost", false),
        ("http://LOCALHOST:5173", false),
        ("http://127.0.0.1:8080", false),
        ("https://[::1]:8080", false),
        ("http://[::1]", false),
        ("null", true),
        ("", true),
        ("http://example.com", true),
        ("http://localhost.example.com", true),
        ("http://127.0.0.1.example.com:80", true),
        ("http://192.168.1.2:7330", true),
        ("localhost", true),
    ] {
        let head = format!("{UPGRADE}Origin: {origin}\r\n\r\n");
        let Asked::WebSocket { is_foreign, .. } = asked(&head) else { panic!("{origin} not accepted") };
        assert_eq!(is_foreign, foreign, "{origin}");
    }
    let both = format!("{UPGRADE}Origin: http://localhost\r\nOrigin: http://example.com\r\n\r\n");
    assert!(matches!(asked(&both), Asked::WebSocket { is_foreign: true, .. }));
}

#[test]
fn whom_a_proxy_on_this_machine_speaks_for_is_not_taken_for_this_machine() {
    for header in
        ["Forwarded: for=192.0.2.7", "X-Forwarded-For: 127.0.0.1", "x-real-ip: 192.0.2.7", "Via: 1.1 proxy"]
    {
        let head = format!("{UPGRADE}Origin: http://localhost\r\n{header}\r\n\r\n");
        assert!(matches!(asked(&head), Asked::WebSocket { is_foreign: true, .. }), "{header}");
        let asked = asked(&format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\n{header}\r\n\r\n"));
        assert_eq!(asked, Asked::Metrics { with_body: true, is_foreign: true }, "{header}");
    }
}

#[test]
fn probes_get_200_and_everything_else_a_line_that_helps() {
    for (request, status, body) in [
        ("GET / HTTP/1.1", "200 OK", "ok\n"),
        ("GET /?a=b HTTP/1.0", "200 OK", "ok\n"),
        ("POST / HTTP/1.1", "200 OK", "ok\n"),
        ("OPTIONS / HTTP/1.1", "200 OK", "ok\n"),
        ("OPTIONS * HTTP/1.1", "200 OK", "ok\n"),
        ("HEAD / HTTP/1.1", "200 OK", ""),
        ("GET /healthz HTTP/1.1", "200 OK", "ok\n"),
        ("HEAD /healthz HTTP/1.1", "200 OK", ""),
        ("POST /healthz HTTP/1.1", "404 Not Found", "nothing here: CLASP"),
        ("GET /metric HTTP/1.1", "404 Not Found", "nothing here: CLASP"),
        ("GET /metrics/ HTTP/1.1", "404 Not Found", "nothing here: CLASP"),
        ("POST /metrics HTTP/1.1", "404 Not Found", "nothing here: CLASP"),
        ("DELETE /metrics HTTP/1.1", "405 Method Not Allowed", "this method"),
        ("DELETE / HTTP/1.1", "405 Method Not Allowed", "this method"),
        ("GET / HTTP/2.0", "505 ", "use HTTP/1.1"),
        ("GET /", "400 ", "the request line"),
        ("GET / HTTP/1.1 x", "400 ", "the request line"),
    ] {
        let answer = answer(&format!("{request}\r\nHost: h\r\n\r\n"));
        let (head, rest) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {head}");
        assert!(rest.starts_with(body) && (!body.is_empty() || rest.is_empty()), "{request}: {rest}");
    }
}

#[test]
fn metrics_are_asked_for_with_get_or_head() {
    for (request, with_body) in [("GET /metrics", true), ("GET /metrics?x=y", true), ("HEAD /metrics", false)]
    {
        let head = format!("{request} HTTP/1.1\r\nHost: localhost:7330\r\n\r\n");
        assert_eq!(asked(&head), Asked::Metrics { with_body, is_foreign: false }, "{request}");
    }
}

#[test]
fn a_page_from_elsewhere_that_asks_for_metrics_is_known_by_its_origin_or_by_the_name_it_asks() {
    for (headers, foreign) in [
        ("", false),
        ("Host: localhost\r\n", false),
        ("Host: LOCALHOST:7330\r\n", false),
        ("Host: 127.0.0.1:7330\r\n", false),
        ("Host: [::1]:7330\r\n", false),
        ("Host: 192.168.1.2:7330\r\n", false),
        ("Host: evil.example:7330\r\n", true),
        ("Host: localhost.evil.example\r\n", true),
        ("Host: \r\n", true),
        ("Host: localhost\r\nHost: evil.example\r\n", true),
        ("Host: localhost\r\nOrigin: http://localhost:5173\r\n", false),
        ("Host: localhost\r\nOrigin: http://evil.example\r\n", true),
        ("Host: localhost\r\nOrigin: null\r\n", true),
    ] {
        let asked = asked(&format!("GET /metrics HTTP/1.1\r\n{headers}\r\n"));
        assert_eq!(asked, Asked::Metrics { with_body: true, is_foreign: foreign }, "{headers:?}");
    }
}

#[test]
fn an_answer_to_head_tells_the_length_of_what_get_would_bring() {
    let whole = String::from_utf8(metrics("a 1\n# EOF\n", true)).unwrap();
    let (head, body) = whole.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, "a 1\n# EOF\n");
    assert!(head.contains("\r\nContent-Length: 10\r\n"), "{head}");
    assert!(head.contains(&format!("\r\nContent-Type: {}\r\n", exposition::CONTENT_TYPE)), "{head}");
    assert_eq!(metrics("a 1\n# EOF\n", false), format!("{head}\r\n\r\n").into_bytes());
    let refused = String::from_utf8(refusal(403, "why", true)).unwrap();
    assert!(
        refused.starts_with("HTTP/1.1 403 Forbidden\r\n") && refused.ends_with("\r\n\r\nwhy\n"),
        "{refused}"
    );
}

#[test]
fn a_bad_upgrade_is_told_what_is_wrong() {
    for (from, to, says) in [
        ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8", "Version"),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "X: y", "Key"),
        ("Connection: keep-alive, Upgrade", "Connection: close", "Connection"),
        ("GET ", "POST ", "GET"),
    ] {
        let answer = answer(&format!("{}\r\n", UPGRADE.replace(from, to)));
        assert!(answer.starts_with("HTTP/1.1 400 "), "{to}: {answer}");
        assert!(answer.contains(says), "{to}: {answer}");
    }
}

#[test]
fn what_is_not_http_is_refused_without_waiting_for_more() {
    for bytes in [&[0x16, 0x03, 0x01][..], &[0x53, 0x01, 0, 1], b"\r\n", &[0]] {
        assert!(matches!(look_at(bytes, &[]), Asked::Other { is_fault: true, .. }), "{bytes:x?}");
    }
    assert_eq!(look_at(b"", &[]), Asked::Unfinished);
    assert_eq!(look_at(b"GET / HTTP/1.1\r\nHost: h\r\n", &[]), Asked::Unfinished);
}

#[test]
fn a_head_above_8_kib_is_refused() {
    let mut head = b"GET / HTTP/1.1\r\nCookie: ".to_vec();
    head.resize(MAX_HEAD_BYTES - 1, b'x');
    assert_eq!(look_at(&head, &[]), Asked::Unfinished);
    head.push(b'x');
    let Asked::Other { answer, is_fault: true } = look_at(&head, &[]) else { panic!("not refused") };
    assert!(answer.starts_with(b"HTTP/1.1 431 "));
}

#[test]
fn no_prefix_of_a_request_and_no_flipped_bit_panics() {
    let head = format!("{UPGRADE}Sec-WebSocket-Protocol: clasp\r\n\r\n").into_bytes();
    for end in 0..head.len() {
        assert_eq!(look_at(&head[..end], &[]), Asked::Unfinished, "{end}");
    }
    for bit in 0..head.len() * 8 {
        let mut head = head.clone();
        head[bit / 8] ^= 1 << (bit % 8);
        let _ = look_at(&head, &[]);
    }
}
