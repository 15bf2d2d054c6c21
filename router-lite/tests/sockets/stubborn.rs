//! Clients that do not read, and how little the others notice.

use std::time::Duration;

use clasp_wire::{Value, message::SignalType};
use router_lite::Config;
use smol::io::AsyncReadExt as _;

use crate::{
    client::{Client, soon},
    messages::{encode, event, publish, signal, subscribe},
    with_server,
};

/// Enough to fill the socket buffers of any system, and an outbox.
const FLOOD: i64 = 2000;

#[test]
fn a_subscriber_that_reads_nothing_is_closed_and_the_others_get_everything() {
    with_server(Config::default().with_rate(0).unwrap(), async |server, to| {
        let (mut deaf, _) = Client::session(to).await;
        let (mut hears, _) = Client::session(to).await;
        for client in [&mut deaf, &mut hears] {
            client.send(&subscribe(1, "/**")).await;
            client.settle().await;
        }
        let (mut sender, _) = Client::session(to).await;
        let text = "x".repeat(8000);
        for n in 0..FLOOD {
            let address = format!("/{n}");
            sender.send(&event(&address, Value::Str(&text))).await;
            assert_eq!(hears.frame().await, encode(&event(&address, Value::Str(&text))));
        }
        assert_eq!(server.counters().slow_consumers, 1);
        assert_eq!(sender.settle().await.len(), 0);
        // It finds what its system had taken, then the end of the connection, perhaps not even an orderly one.
        let mut raw = deaf.ws.into_inner();
        let mut buffer = vec![0; 65_536];
        while soon(raw.read(&mut buffer)).await.unwrap_or(0) > 0 {}
    });
}

#[test]
fn a_socket_that_takes_nothing_is_closed_in_time_though_its_outbox_is_not_full() {
    let config =
        Config::default().with_rate(0).unwrap().with_stall_timeout(Duration::from_millis(200)).unwrap();
    with_server(config, async |server, to| {
        let (mut deaf, _) = Client::session(to).await;
        deaf.send(&subscribe(1, "/**")).await;
        deaf.settle().await;
        let (mut sender, _) = Client::session(to).await;
        let text = "x".repeat(8000);
        // Streams never overflow an outbox: only the stalled socket can end this.
        for _ in 0..FLOOD {
            sender.send(&publish(SignalType::Stream, "/s", Value::Str(&text))).await;
        }
        sender.settle().await;
        soon(async {
            while server.counters().slow_consumers == 0 {
                sender.settle().await;
            }
        })
        .await;
        assert!(server.counters().streams_dropped > 0);
    });
}

#[test]
fn a_slow_reader_of_streams_misses_some_and_gets_the_newest() {
    with_server(Config::default().with_rate(0).unwrap(), async |server, to| {
        let (mut slow, _) = Client::session(to).await;
        slow.send(&subscribe(1, "/**")).await;
        slow.settle().await;
        let (mut sender, _) = Client::session(to).await;
        let text = "x".repeat(8000);
        for n in 0..FLOOD {
            sender.send(&publish(SignalType::Stream, &format!("/{n}"), Value::Str(&text))).await;
        }
        sender.settle().await;
        let newest = encode(&publish(SignalType::Stream, &format!("/{}", FLOOD - 1), Value::Str(&text)));
        let mut got = 1;
        while slow.frame().await != newest {
            got += 1;
        }
        assert_eq!(got + server.counters().streams_dropped, FLOOD as u64);
        assert!(server.counters().streams_dropped > 0);
    });
}

#[test]
fn signals_to_a_peer_that_does_not_read_stop_nobody() {
    with_server(Config::default().with_rate(0).unwrap(), async |server, to| {
        let (_deaf, deaf_id) = Client::session(to).await;
        let (mut sender, _) = Client::session(to).await;
        let flood = signal(&deaf_id, "offer", &"x".repeat(8000), "c");
        // Read as they come: refusals are replies, and a sender that does not read them would be slow itself.
        let mut refused = 0;
        while refused == 0 {
            for _ in 0..50 {
                sender.send_frame(flood.clone()).await;
            }
            refused += sender.settle().await.len();
        }
        let (mut other, _) = Client::session(to).await;
        other.send(&subscribe(1, "/**")).await;
        other.settle().await;
        sender.send(&event("/a", Value::Int(1))).await;
        assert_eq!(other.frame().await, encode(&event("/a", Value::Int(1))));
        assert_eq!(server.counters().slow_consumers, 0);
        assert!(server.counters().targets_busy > 0);
    });
}

#[test]
fn clients_that_are_refused_and_do_not_hang_up_use_up_nothing() {
    with_server(Config::default(), async |server, to| {
        let mut all = Vec::new();
        for _ in 0..300 {
            let mut stream = smol::net::TcpStream::connect(to).await.unwrap();
            smol::io::AsyncWriteExt::write_all(&mut stream, b"DELETE / HTTP/1.1\r\n\r\n").await.unwrap();
            let mut answer = [0; 12];
            soon(stream.read_exact(&mut answer)).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 405");
            all.push(stream);
            assert!(server.counts().connections <= 1 && server.lingering() <= 64 + 1);
        }
        let (mut client, _) = Client::session(to).await;
        client.settle().await;
    });
}

#[test]
fn a_client_that_pings_without_reading_does_not_keep_the_router_busy_or_growing() {
    let config = Config::default().with_rate(0).unwrap().with_stall_timeout(Duration::from_secs(2)).unwrap();
    with_server(config, async |server, to| {
        let (mut deaf, _) = Client::session(to).await;
        deaf.send(&subscribe(1, "/**")).await;
        deaf.settle().await;
        let (mut sender, _) = Client::session(to).await;
        let text = "x".repeat(8000);
        for _ in 0..FLOOD {
            sender.send(&publish(SignalType::Stream, "/s", Value::Str(&text))).await;
        }
        sender.settle().await;
        let mut raw = deaf.ws.into_inner();
        let pings = [0x89, 0x80, 0, 0, 0, 0].repeat(1000);
        for _ in 0..50 {
            soon(smol::io::AsyncWriteExt::write_all(&mut raw, &pings)).await.unwrap();
        }
        // Still served at once, and the stalled client goes in its time.
        soon(async {
            while server.counters().slow_consumers == 0 {
                sender.settle().await;
            }
        })
        .await;
    });
}
