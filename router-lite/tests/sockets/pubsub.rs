//! What clients are there for.

use clasp_wire::{Message, Value};
use router_lite::Config;

use crate::{
    client::Client,
    messages::{encode, event, hello, set, short, signal, subscribe},
    with_server,
};

#[test]
fn events_and_params_reach_subscribers_and_late_joiners() {
    with_server(Config::default(), async |_, to| {
        let (mut a, id) = Client::session(to).await;
        let (mut b, _) = Client::session(to).await;
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
        assert_eq!(param.writer, Some(&*id));
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
        b.settle().await;
        spy.settle().await;
        a.send_frame(signal(&b_id, "offer", "somebody else", "c")).await;
        a.settle().await;
        let seen: Vec<String> = b.settle().await.iter().map(|frame| short(frame)).collect();
        assert_eq!(seen, [format!("EVENT {address}={{type:offer sdp:v=0 correlation_id:c from:{a_id}}}")]);
        assert_eq!(spy.settle().await.len(), 0);
    });
}

#[test]
fn a_hundred_subscribers_get_every_event_in_order() {
    with_server(Config::default().with_rate(0).unwrap(), async |_, to| {
        let mut all = Vec::new();
        for _ in 0..100 {
            let (mut client, _) = Client::session(to).await;
            client.send(&subscribe(1, "/fan/**")).await;
            client.settle().await;
            all.push(client);
        }
        let (mut sender, _) = Client::session(to).await;
        for n in 0..500 {
            sender.send(&event("/fan/out", Value::Int(n))).await;
        }
        for client in &mut all {
            for n in 0..500 {
                assert_eq!(client.frame().await, encode(&event("/fan/out", Value::Int(n))));
            }
        }
    });
}

#[test]
fn frames_of_every_size_arrive_whole() {
    with_server(Config::default(), async |_, to| {
        let (mut a, _) = Client::session(to).await;
        let (mut b, _) = Client::session(to).await;
        b.send(&subscribe(1, "/**")).await;
        b.settle().await;
        // Around the borders of WebSocket's length field and of the buffers on the way; the last fills a frame.
        for len in [0, 90, 110, 111, 112, 113, 125, 4_000, 4_096, 16_384, 65_400, 65_510, 65_525] {
            let text = "x".repeat(len);
            let message = event("/a", Value::Str(&text));
            a.send(&message).await;
            assert_eq!(b.frame().await, encode(&message), "{len}");
        }
    });
}

#[test]
fn a_bundle_of_thousands_reaches_a_client_that_reads() {
    with_server(Config::default(), async |_, to| {
        let (mut a, _) = Client::session(to).await;
        let (mut b, _) = Client::session(to).await;
        b.send(&subscribe(1, "/**")).await;
        b.settle().await;
        let members: Vec<Message<'_>> = (0..1500).map(|n| event("/a", Value::Int(n))).collect();
        let messages = clasp_wire::Seq::items(&members);
        a.send(&Message::Bundle(clasp_wire::message::Bundle { timestamp_us: None, messages })).await;
        for n in 0..1500 {
            assert_eq!(b.frame().await, encode(&event("/a", Value::Int(n))));
        }
    });
}
