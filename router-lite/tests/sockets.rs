//! The driver, over real sockets on the loopback interface.
#![cfg(feature = "driver")]
#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected has failed")]

#[path = "support/client.rs"]
mod client;

use std::{net::SocketAddr, rc::Rc, time::Duration};

use clasp_wire::{Entry, Message, Seq, Value, message::SignalType};
use client::{Client, Next, encode, event, hello, set, soon, subscribe};
use router_lite::{Config, Server};
use smol::{
    LocalExecutor,
    future::FutureExt as _,
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Runs `test` against a server on a port of its own, then shuts the server down.
fn with_server(config: Config, test: impl AsyncFnOnce(&Server, SocketAddr)) {
    let executor = Rc::new(LocalExecutor::new());
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = config.with_bind(&[loopback]).unwrap();
    smol::block_on(executor.run(async {
        let server = Server::bind(config, [9; 32], Rc::clone(&executor)).await.unwrap();
        let running = executor.spawn({
            let server = server.clone();
            async move { server.run().await }
        });
        test(&server, server.local_addr()).await;
        server.shutdown().await;
        soon(running).await;
    }));
}

#[test]
fn events_and_params_reach_subscribers_and_not_the_sender() {
    with_server(Config::default(), async |_, to| {
        let (mut a, _) = Client::session(to).await;
        let (mut b, id) = Client::session(to).await;
        b.send(&subscribe(1, "/t/**")).await;
        a.send(&subscribe(1, "/t/**")).await;
        b.settle().await;
        a.send(&event("/t/e", Value::Int(5))).await;
        a.send(&set("/t/p", Value::Float(0.75))).await;
        let seen = a.settle().await;
        assert_eq!(seen.len(), 2, "the SET comes back and is acknowledged, the event does not: {seen:?}");
        assert_eq!(b.frame().await, encode(&event("/t/e", Value::Int(5))));
        assert_eq!(b.frame().await, seen[0]);
        let mut late = Client::connect(to).await;
        late.send(&hello("")).await;
        late.frame().await;
        let snapshot = late.frame().await;
        let Ok((_, Message::Snapshot { params })) = Message::decode_compact(&snapshot) else { panic!() };
        let param = params.iter().next().unwrap();
        assert_eq!((param.address, param.value, param.revision), ("/t/p", Value::Float(0.75), 1));
        assert_ne!(param.writer, Some(&*id));
    });
}

#[test]
fn a_signal_reaches_its_session_once_and_tells_who_sent_it() {
    with_server(Config::default(), async |_, to| {
        let (mut a, a_id) = Client::session(to).await;
        let (mut b, b_id) = Client::session(to).await;
        let (mut spy, _) = Client::session(to).await;
        let address = format!("/clasp/p2p/signal/{b_id}");
        b.send(&subscribe(1, &address)).await;
        spy.send(&subscribe(1, "/**")).await;
        spy.send(&subscribe(2, &address)).await;
        b.settle().await;
        spy.settle().await;
        let entries = [
            Entry { key: "type", value: Value::Str("offer") },
            Entry { key: "from", value: Value::Str("somebody else") },
            Entry { key: "sdp", value: Value::Str("v=0") },
            Entry { key: "correlation_id", value: Value::Str("c") },
        ];
        a.send(&event(&address, Value::Map(Seq::items(&entries)))).await;
        a.settle().await;
        let seen = b.settle().await;
        assert_eq!(seen.len(), 1);
        let Ok((_, Message::Publish(signal))) = Message::decode_compact(&seen[0]) else { panic!() };
        let clasp_wire::message::Body::Value(value) = signal.body else { panic!() };
        assert_eq!(value.get("from").and_then(|from| from.as_str()), Some(&*a_id));
        assert_eq!(value.get("sdp").and_then(|sdp| sdp.as_str()), Some("v=0"));
        assert_eq!(spy.settle().await.len(), 0);
    });
}
