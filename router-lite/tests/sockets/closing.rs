//! Connections end with a reason, from either side.

use std::time::Duration;

use async_tungstenite::tungstenite::{
    Message as WsMessage,
    protocol::{CloseFrame, frame::coding::CloseCode},
};
use clasp_wire::{Message, Value, limits::MAX_FRAME_BYTES};
use router_lite::{Config, Token, TokenTable};
use smol::stream::StreamExt as _;

use crate::{
    client::{Client, Next, soon},
    messages::{encode, event, hello, set, short, subscribe},
    with_server,
};

#[test]
fn a_websocket_without_hello_is_told_and_closed_in_time() {
    // The WebSocket itself has to be open by then.
    let config = Config::default().with_hello_timeout(Duration::from_millis(500)).unwrap();
    with_server(config, async |_, to| {
        let mut client = Client::connect(to).await;
        let (code, reason, frames) = client.until_closed().await;
        assert_eq!((code, &*reason), (1008, "no HELLO in time"));
        assert_eq!(short(&frames[0]), "ERROR 502 no HELLO in time");
        assert!(matches!(client.next().await, Next::End), "and the socket is closed");
    });
}

#[test]
fn every_refusal_at_the_door_is_an_error_and_a_close_with_a_reason() {
    with_server(Config::default().with_max_sessions(1).unwrap(), async |_, to| {
        let (_first, _) = Client::session(to).await;
        for (message, code, error) in [
            (Message::Ping, 1002, "ERROR 101 the first message must be HELLO"),
            (hello("cpsk_x"), 1008, "ERROR 300 Unrecognized token format"),
            (
                hello("cpsk_00112233445566778899aabbccddeeff"),
                1008,
                "ERROR 300 Invalid token: token not found",
            ),
            (hello(""), 1013, "ERROR 503 Session limit reached (max 1)"),
        ] {
            let mut client = Client::connect(to).await;
            client.send(&message).await;
            let (seen, reason, frames) = client.until_closed().await;
            assert_eq!((seen, short(&frames[0])), (code, error.to_owned()));
            assert!(!reason.is_empty());
        }
        let mut client = Client::connect(to).await;
        client.send_frame(b"junk".to_vec()).await;
        assert_eq!(client.until_closed().await.0, 1002);
    });
}

fn said(frames: Vec<Vec<u8>>) -> Vec<String> {
    frames.iter().map(|frame| short(frame)).collect()
}

#[test]
fn a_web_page_from_elsewhere_gets_in_by_a_token_and_is_out_when_that_is_revoked() {
    with_server(Config::default(), async |server, to| {
        let token = Token::new([7; 16]);
        let mut tokens = TokenTable::new();
        tokens.insert("page", token.hash(), &["write:/desk/**".parse().unwrap()]).unwrap();
        server.set_tokens(tokens.clone());
        let mut pages = [Client::page(to).await, Client::page(to).await];
        for (page, token) in pages.iter_mut().zip([token.secret(), String::new()]) {
            page.hello_with(&token).await;
        }
        let [mut page, mut stranger] = pages;
        page.send(&set("/desk/1", Value::Int(1))).await;
        stranger.send(&set("/desk/1", Value::Int(2))).await;
        assert_eq!(said(page.settle().await), ["ACK /desk/1 r1"]);
        let refused = ["ERROR 301 Insufficient scope for write operation @/desk/1"];
        assert_eq!(said(stranger.settle().await), refused);
        server.set_tokens(tokens);
        assert!(page.settle().await.is_empty(), "nothing has changed for it");

        server.set_tokens(TokenTable::new());
        let (code, reason, frames) = page.until_closed().await;
        assert_eq!(
            (code, &*reason, &*short(&frames[0])),
            (1008, "token revoked", "ERROR 300 Token was revoked")
        );
        assert!(matches!(page.next().await, Next::End), "and the socket is closed");
        assert!(stranger.settle().await.is_empty(), "it had none");
    });
}

#[test]
fn a_client_that_closes_gets_its_close_back() {
    with_server(Config::default(), async |server, to| {
        let (mut client, _) = Client::session(to).await;
        let bye = CloseFrame { code: CloseCode::Normal, reason: "bye".into() };
        soon(client.ws.close(Some(bye))).await.unwrap();
        assert!(matches!(client.next().await, Next::Close(Some(close)) if close.code == CloseCode::Normal));
        assert!(matches!(client.next().await, Next::End));
        let (mut other, _) = Client::session(to).await;
        other.settle().await;
        assert_eq!(server.counters().connections, 2);
    });
}

#[test]
fn a_client_that_vanishes_leaves_nothing_behind() {
    with_server(Config::default().with_max_sessions(1).unwrap(), async |_, to| {
        for _ in 0..20 {
            let (client, _) = soon(async {
                loop {
                    let mut client = Client::connect(to).await;
                    client.send(&hello("")).await;
                    if let Next::Frame(frame) = client.next().await
                        && short(&frame) == "WELCOME"
                    {
                        return (client, ());
                    }
                }
            })
            .await;
            drop(client);
        }
    });
}

#[test]
fn a_message_larger_than_a_frame_is_closed_with_1009() {
    with_server(Config::default(), async |server, to| {
        let (mut client, _) = Client::session(to).await;
        let mut frame = vec![0; MAX_FRAME_BYTES];
        frame[0] = 0x53;
        client.send_frame(frame.clone()).await;
        assert_eq!(client.settle().await.len(), 1, "the largest frame is merely undecodable");
        frame.push(0);
        client.send_frame(frame).await;
        let (code, reason, _) = client.until_closed().await;
        assert_eq!((code, &*reason), (1009, "message of 65548 bytes, 65547 allowed"));
        assert_eq!(server.counters().oversize_messages, 1);
    });
}

#[test]
fn text_is_ignored_and_counted() {
    with_server(Config::default(), async |server, to| {
        let mut client = Client::connect(to).await;
        soon(client.ws.send(WsMessage::text("hello?"))).await.unwrap();
        client.hello().await;
        soon(client.ws.send(WsMessage::text("hello?"))).await.unwrap();
        assert_eq!(client.settle().await.len(), 0);
        assert_eq!(server.counters().text_messages, 2);
    });
}

#[test]
fn an_unmasked_frame_is_closed_with_1002() {
    use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};
    with_server(Config::default(), async |_, to| {
        let (client, _) = Client::session(to).await;
        let mut raw = client.ws.into_inner();
        raw.write_all(&[0x82, 0x01, 0x00]).await.unwrap();
        let mut rest = Vec::new();
        soon(raw.read_to_end(&mut rest)).await.unwrap();
        assert_eq!((rest[0], &rest[2..4]), (0x88, &1002_u16.to_be_bytes()[..]));
    });
}

/// A busy machine may keep a client waiting for a while; it is closed after three of these.
const PING_INTERVAL: Duration = Duration::from_millis(200);

#[test]
fn pings_are_answered_and_sent() {
    let config = Config::default().with_ping_interval(PING_INTERVAL).unwrap();
    with_server(config, async |_, to| {
        let (mut client, _) = Client::session(to).await;
        soon(client.ws.send(WsMessage::Ping("x".into()))).await.unwrap();
        let (mut pings, mut pongs) = (0, 0);
        while pings < 4 {
            // Reading answers the router's pings.
            match soon(client.ws.next()).await.unwrap().unwrap() {
                WsMessage::Pong(payload) => pongs += usize::from(payload == "x"),
                WsMessage::Ping(_) => pings += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(pongs, 1, "and four pings: two unanswered ones would have ended the session");
    });
}

#[test]
fn who_does_not_answer_two_pings_is_closed() {
    use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let config = Config::default().with_ping_interval(PING_INTERVAL).unwrap();
    with_server(config, async |server, to| {
        // Reads and says HELLO without a WebSocket library, which would answer, or swallow a ping that comes early.
        let mut raw = Client::connect(to).await.ws.into_inner();
        let frame = encode(&hello(""));
        let mut masked = vec![0x82, 0x80 | u8::try_from(frame.len()).unwrap(), 0, 0, 0, 0];
        masked.extend(frame);
        raw.write_all(&masked).await.unwrap();
        let mut seen = Vec::new();
        soon(raw.read_to_end(&mut seen)).await.unwrap();
        // Unmasked frames of fewer than 126 bytes (RFC 6455 §5.2): type, length, content.
        let (mut types, mut rest) = (Vec::new(), seen.as_slice());
        while let [kind, len, more @ ..] = rest {
            let (content, next) = more.split_at(usize::from(*len));
            if *kind == 0x88 {
                assert_eq!(&content[..2], &1011_u16.to_be_bytes()[..]);
            }
            types.push(*kind);
            rest = next;
        }
        assert_eq!(types, [0x82, 0x82, 0x89, 0x89, 0x88], "WELCOME, SNAPSHOT, two pings, close");
        assert_eq!(server.counters().silent_clients, 1);
    });
}

#[test]
fn shutting_down_tells_everybody_and_does_not_wait_for_who_does_not_listen() {
    with_server(Config::default(), async |server, to| {
        let (mut listens, _) = Client::session(to).await;
        let (_deaf, _) = Client::session(to).await;
        let local = server.attach();
        soon(server.shutdown()).await;
        let (code, reason, _) = listens.until_closed().await;
        assert_eq!((code, &*reason), (1001, "router is shutting down"));
        assert_eq!(soon(local.recv()).await, None);
        drop(smol::net::TcpStream::connect(to).await.unwrap_err());
    });
}

#[test]
fn what_was_sent_before_the_close_arrives() {
    with_server(Config::default().with_rate(0).unwrap(), async |server, to| {
        let (mut hears, _) = Client::session(to).await;
        hears.send(&subscribe(1, "/**")).await;
        hears.settle().await;
        let (mut sender, _) = Client::session(to).await;
        for n in 0..200 {
            sender.send(&event("/a", Value::Int(n))).await;
        }
        sender.settle().await;
        soon(server.shutdown()).await;
        let (_, _, frames) = hears.until_closed().await;
        assert_eq!(frames.len(), 200);
    });
}
