//! SUBSCRIBE, PUBLISH, ANNOUNCE, QUERY, PING, SYNC.

use clasp_wire::{
    Message, QoS, Seq, Value,
    message::{Announce, Signal, SignalType, Sync, TypeMask},
};
use router_lite::limits;

use crate::{
    messages::{encode, encode_qos, event, publish, set, subscribe, subscribe_types},
    room::Room,
};

const NOTHING: [&str; 0] = [];

#[test]
fn every_subscriber_but_the_sender_gets_one_copy() {
    let mut room = Room::new();
    let (sender, a, b, other) = (room.join(), room.join(), room.join(), room.join());
    for who in [sender, a, b] {
        room.send(who, &subscribe(1, "/lumen/**"));
    }
    room.send(a, &subscribe(2, "/lumen/*"));
    room.send(a, &subscribe(3, "/**"));
    room.send(other, &subscribe(1, "/lumen"));
    assert_eq!(room.asks(sender, &event("/lumen/go", Value::Int(1))), NOTHING, "no echo, no ACK");
    assert_eq!(room.hears(a), ["EVENT /lumen/go=1"]);
    assert_eq!(room.hears(b), ["EVENT /lumen/go=1"]);
    assert_eq!(room.hears(other), NOTHING);
}

#[test]
fn published_frames_are_forwarded_as_the_stock_router_does() {
    let mut room = Room::new();
    let (sender, hears) = (room.join(), room.join());
    room.send(hears, &subscribe(1, "/**"));
    for (signal, flags) in [
        (SignalType::Param, 0x41),
        (SignalType::Event, 0x41),
        (SignalType::Stream, 0x01),
        (SignalType::Gesture, 0x01),
        (SignalType::Timeline, 0x81),
    ] {
        room.send_qos(sender, QoS::Fire, &publish(signal, "/a", Value::Int(7)));
        let frames = room.take(hears);
        assert_eq!(frames, [encode(&publish(signal, "/a", Value::Int(7)))]);
        assert_eq!(frames[0][1], flags, "the quality of service follows from the type");
    }
    // The frame's timestamp goes, a narrow integer is widened.
    let with_time = [0x53, 0x61, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 0x20, 0x20, 0, 2, b'/', b'a', 1, 0x02, 0xFF];
    room.send_frame(sender, with_time.to_vec());
    assert_eq!(room.take(hears), [encode(&event("/a", Value::Int(-1)))]);
}

#[test]
fn a_type_mask_is_heeded() {
    let mut room = Room::new();
    let (sender, hears) = (room.join(), room.join());
    room.send(hears, &subscribe_types(1, "/**", TypeMask::STREAM.0));
    room.send(sender, &event("/a", Value::Int(1)));
    room.send(sender, &set("/a", Value::Int(2)));
    room.send(sender, &publish(SignalType::Stream, "/a", Value::Int(3)));
    assert_eq!(room.hears(hears), ["STREAM /a=3"]);
}

#[test]
fn a_reused_subscription_id_replaces_the_older_pattern() {
    let mut room = Room::new();
    let (sender, hears) = (room.join(), room.join());
    for pattern in ["/a", "/b", "/c"] {
        room.send(hears, &subscribe(0, pattern));
    }
    for address in ["/a", "/b", "/c"] {
        room.send(sender, &event(address, Value::Null));
    }
    assert_eq!(room.hears(hears), ["EVENT /c=Null"]);
    assert_eq!(room.counts().subscriptions, 1);
    room.send(hears, &Message::Unsubscribe { id: 0 });
    room.send(hears, &Message::Unsubscribe { id: 77 });
    room.send(sender, &event("/c", Value::Null));
    assert_eq!(room.hears(hears), NOTHING);
    assert_eq!((room.counts().subscriptions, room.counts().patterns), (0, 0));
}

#[test]
fn bad_patterns_and_addresses_are_refused_with_a_reason() {
    let mut room = Room::new();
    let who = room.join();
    assert_eq!(
        room.asks(who, &subscribe(1, "//a")),
        ["ERROR 202 invalid address: empty segment in address: //a @//a"]
    );
    assert_eq!(
        room.asks(who, &subscribe(1, "**")),
        ["ERROR 202 invalid address: address must start with '/': ** @**"]
    );
    for address in ["", "a", "/a/*", "//"] {
        for message in [event(address, Value::Null), set(address, Value::Null)] {
            let reply = room.asks(who, &message);
            assert!(reply[0].starts_with("ERROR 200 invalid address: "), "{address}: {reply:?}");
            assert_eq!(reply.len(), 1);
        }
    }
    assert_eq!((room.counts().params, room.router.counters().bad_addresses), (0, 10));
}

#[test]
fn the_65th_subscription_of_a_session_is_refused() {
    let mut room = Room::new();
    let who = room.join();
    for id in 0..64 {
        assert_eq!(room.asks(who, &subscribe(id, &format!("/{id}"))), NOTHING);
    }
    assert_eq!(room.asks(who, &subscribe(64, "/64")), ["ERROR 429 Subscription limit reached (max 64) @/64"]);
    assert_eq!(room.asks(who, &subscribe(63, "/again")), NOTHING, "replacing is no addition");
    assert_eq!(room.counts().subscriptions, limits::MAX_SESSION_SUBSCRIPTIONS);
}

#[test]
fn the_4097th_subscription_of_all_is_refused() {
    let mut room = Room::new();
    for _ in 0..64 {
        let who = room.join();
        for id in 0..64 {
            room.send(who, &subscribe(id, "/shared/**"));
        }
    }
    let late = room.join();
    assert_eq!(
        room.asks(late, &subscribe(1, "/x")),
        ["ERROR 429 Subscription limit reached (max 4096 of all sessions) @/x"]
    );
    assert_eq!((room.counts().subscriptions, room.counts().patterns), (4096, 1));
}

#[test]
fn more_than_1000_messages_a_second_are_refused_and_told_once() {
    let mut room = Room::new();
    let (sender, hears) = (room.join(), room.join());
    room.send(hears, &subscribe(1, "/**"));
    for n in 0..1500 {
        room.send(sender, &event("/a", Value::Int(n)));
    }
    assert_eq!(room.hears(sender), ["ERROR 429 Rate limit exceeded: 1000 messages/second"]);
    assert_eq!(room.take(hears).len(), 1000);
    assert_eq!(room.router.counters().rate_limited, 500);
    room.pass(std::time::Duration::from_secs(1));
    room.send(sender, &event("/a", Value::Int(0)));
    assert_eq!(room.take(hears).len(), 1, "the session goes on");
}

#[test]
fn signals_are_announced_and_found() {
    let mut room = Room::new();
    let (announcer, asker) = (room.join(), room.join());
    let signal = |address| Signal {
        address,
        signal: SignalType::Stream,
        datatype: Some("f32"),
        access: Some("r"),
        meta: None,
    };
    let signals = [signal("/lumen/a"), signal("/lumen/b/c"), signal("/other")];
    let announce = Message::Announce(Announce { namespace: "/lumen", signals: Seq::items(&signals) });
    assert_eq!(room.asks(announcer, &announce), NOTHING, "no ACK to a frame that does not ask for one");
    room.send_qos(announcer, QoS::Confirm, &announce);
    assert_eq!(room.hears(announcer), ["ACK /lumen"]);
    assert_eq!(room.asks(asker, &Message::Query { pattern: "/lumen/*" }), ["RESULT /lumen/a"]);
    assert_eq!(room.asks(asker, &Message::Query { pattern: "/nowhere" }), ["RESULT"]);
    assert_eq!(room.asks(asker, &Message::Query { pattern: "not a pattern" }), ["RESULT"]);
    room.leave(announcer);
    assert_eq!(room.asks(asker, &Message::Query { pattern: "**" }), ["RESULT /lumen/a /lumen/b/c /other"]);
    assert_eq!(room.counts().signals, 3);
}

#[test]
fn the_1025th_announced_signal_is_refused() {
    let mut room = Room::new();
    let who = room.join();
    let addresses: Vec<String> = (0..1025).map(|n| format!("/s/{n}")).collect();
    let signal =
        |address| Signal { address, signal: SignalType::Event, datatype: None, access: None, meta: None };
    let signals: Vec<_> = addresses.iter().map(|address| signal(address)).collect();
    let announce = Message::Announce(Announce { namespace: "/s", signals: Seq::items(&signals) });
    assert_eq!(room.asks(who, &announce), ["ERROR 429 Signal limit reached (max 1024) @/s/1024"]);
    assert_eq!(room.counts().signals, limits::MAX_SIGNALS);
}

#[test]
fn ping_and_sync_are_answered_and_what_only_routers_say_is_not() {
    let mut room = Room::new();
    let who = room.join();
    assert_eq!(room.asks(who, &Message::Ping), ["PONG"]);
    room.send(who, &Message::Sync(Sync { t1_us: 5, t2_us: None, t3_us: None }));
    let now = Some(room.now.unix_us);
    assert_eq!(room.take(who), [encode(&Message::Sync(Sync { t1_us: 5, t2_us: now, t3_us: now }))]);
    for message in [
        Message::Pong,
        Message::Ack(clasp_wire::message::Ack::default()),
        Message::Snapshot { params: Seq::empty() },
        Message::Result { signals: Seq::empty() },
    ] {
        assert_eq!(room.asks(who, &message), NOTHING);
    }
    assert_eq!(room.closed(who), None);
}

#[test]
fn a_message_that_grows_too_large_when_forwarded_is_refused() {
    let mut room = Room::new();
    let (sender, hears) = (room.join(), room.join());
    room.send(hears, &subscribe(1, "/**"));
    // An array of 30 000 narrow integers: 60 000 bytes here, 270 000 when widened.
    let mut payload = vec![0x20, 0x20, 0, 2, b'/', b'a', 1, 0x0A];
    payload.extend_from_slice(&30_000_u16.to_be_bytes());
    payload.extend([0x02, 0x01].repeat(30_000));
    let mut frame = vec![0x53, 0x01];
    frame.extend_from_slice(&u16::try_from(payload.len()).expect("it fits").to_be_bytes());
    frame.extend(payload);
    room.send_frame(sender, frame);
    let reply = room.hears(sender);
    assert!(reply[0].starts_with("ERROR 402 cannot be forwarded: "), "{reply:?}");
    assert_eq!(room.hears(hears), NOTHING);
    assert_eq!(room.router.counters().too_large, 1);
}

#[test]
fn frames_are_encoded_once_and_shared() {
    let mut room = Room::new();
    let sender = room.join();
    let all: Vec<_> = (0..3).map(|_| room.join()).collect();
    for who in &all {
        room.send(*who, &subscribe(1, "/a"));
    }
    let connection = router_lite::ConnectionId::new;
    let frame = encode_qos(QoS::Confirm, &event("/a", Value::Int(1)));
    let input = router_lite::Input::Frame { connection: connection(0), frame: frame.into() };
    let now = room.now;
    room.router.handle_input(now, input);
    let copies: Vec<_> =
        (1..4).filter_map(|n| room.router.poll_transmit(connection(n), usize::MAX)).collect();
    assert_eq!(copies.len(), 3);
    assert!(copies.iter().all(|copy| copy.as_ptr() == copies[0].as_ptr()));
    let _ = sender;
}
