//! What is not a WebSocket client.

use std::{net::SocketAddr, time::Duration};

use router_lite::{Config, limits};
use smol::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    client::{Client, soon},
    with_server,
};

/// Sends `request` and reads until the server closes.
pub(crate) async fn ask(to: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    soon(stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[test]
fn probes_get_ok_and_the_connection_is_closed() {
    with_server(Config::default(), async |server, to| {
        for request in ["GET / HTTP/1.1", "POST / HTTP/1.1", "OPTIONS / HTTP/1.1", "GET /healthz HTTP/1.1"] {
            let answer = ask(to, format!("{request}\r\nHost: h\r\n\r\n").as_bytes()).await;
            assert!(
                answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nok\n"),
                "{answer}"
            );
        }
        let answer = ask(to, b"HEAD / HTTP/1.1\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
        let answer = ask(to, b"GET /page HTTP/1.1\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 404 ") && answer.contains("WebSocket"), "{answer}");
        assert_eq!(server.counters().bad_http_requests, 1, "probes are not worth a warning");
    });
}

#[test]
fn an_answer_arrives_though_the_body_of_the_request_is_never_read() {
    with_server(Config::default(), async |_, to| {
        let mut request = b"POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n".to_vec();
        request.resize(100_000, b'x');
        let answer = ask(to, &request).await;
        assert!(answer.ends_with("ok\n"), "{answer}");
    });
}

#[test]
fn a_bad_upgrade_and_junk_are_told_what_is_wrong() {
    with_server(Config::default(), async |_, to| {
        let request = b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n";
        let answer = ask(to, request).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("Sec-WebSocket-Key"), "{answer}");
        let tls_hello = [0x16, 0x03, 0x01, 0x02, 0x00];
        let answer = ask(to, &tls_hello).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("wss://"), "{answer}");
        let mut long = b"GET / HTTP/1.1\r\nX: ".to_vec();
        long.resize(9000, b'x');
        let answer = ask(to, &long).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    });
}

#[test]
fn a_request_that_comes_byte_by_byte_is_understood() {
    with_server(Config::default(), async |_, to| {
        let mut stream = TcpStream::connect(to).await.unwrap();
        stream.set_nodelay(true).unwrap();
        for byte in b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" {
            stream.write_all(&[*byte]).await.unwrap();
        }
        let mut answer = String::new();
        soon(stream.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.ends_with("ok\n"), "{answer}");
    });
}

#[test]
fn who_never_finishes_a_request_is_told_and_closed_in_time() {
    let config = Config::default().with_hello_timeout(Duration::from_millis(50)).unwrap();
    with_server(config, async |server, to| {
        for started in [&b""[..], b"GET / HTTP/1.1\r\nHost"] {
            let answer = ask(to, started).await;
            assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        }
        assert_eq!(server.counters().hello_timeouts, 2);
    });
}

#[test]
fn silent_connections_keep_nobody_out() {
    with_server(Config::default(), async |server, to| {
        let mut silent = Vec::new();
        for n in 0..3 * limits::MAX_HALF_OPEN {
            let mut stream = TcpStream::connect(to).await.unwrap();
            if n % 2 == 0 {
                stream.write_all(b"GET /half HTTP/1.1\r\n").await.unwrap();
            }
            silent.push(stream);
        }
        // Each of them may keep its place for a second; what is left over waits in the system's queue.
        let (mut client, _) = soon(Client::session(to)).await;
        assert_eq!(client.settle().await.len(), 0);
        assert!(server.counters().half_open_evicted >= 1);
        assert_eq!(server.counters().half_open_refused, 0);
        let mut answer = String::new();
        soon(silent[0].read_to_string(&mut answer)).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("unfinished"), "{answer}");
    });
}

#[test]
fn a_rush_of_clients_all_get_in() {
    with_server(Config::default(), async |server, to| {
        let rush: Vec<_> = (0..200).map(|_| Client::session(to)).collect();
        let mut rush: Vec<_> = rush.into_iter().map(Box::pin).collect();
        let mut inside = Vec::new();
        soon(std::future::poll_fn(|cx| {
            rush.retain_mut(|one| match one.as_mut().poll(cx) {
                std::task::Poll::Ready((client, _)) => {
                    inside.push(client);
                    false
                }
                std::task::Poll::Pending => true,
            });
            if rush.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        }))
        .await;
        assert_eq!((inside.len(), server.counters().half_open_refused), (200, 0));
    });
}

#[test]
fn a_web_page_from_elsewhere_cannot_write_through_the_visitors_browser() {
    use async_tungstenite::{client_async, tungstenite::client::IntoClientRequest as _};
    with_server(Config::default(), async |_, to| {
        for (origin, reply) in [
            ("http://evil.example", "ERROR 301 Insufficient scope for write operation @/a"),
            ("http://localhost:5173", "ACK /a r1"),
        ] {
            let mut request = format!("ws://{to}/").into_client_request().unwrap();
            request.headers_mut().insert("origin", origin.parse().unwrap());
            let stream = TcpStream::connect(to).await.unwrap();
            let (ws, _) = soon(client_async(request, stream)).await.unwrap();
            let mut page = Client { ws };
            page.hello().await;
            page.send(&crate::messages::set("/a", clasp_wire::Value::Int(1))).await;
            assert_eq!(crate::messages::short(&page.frame().await), reply, "{origin}");
        }
    });
}
