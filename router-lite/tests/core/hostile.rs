//! Frames made to break a router.

use clasp_wire::{Message, Value};

use crate::{
    messages::{encode, event, set, subscribe},
    room::Room,
};

fn frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x53, 0x01];
    frame.extend_from_slice(&u16::try_from(payload.len()).expect("in range").to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// A PUBLISH whose value is `depth` arrays in each other.
fn nested_arrays(depth: usize) -> Vec<u8> {
    let mut payload = vec![0x20, 0x20, 0, 2, b'/', b'a', 1];
    payload.extend([0x0A, 0, 1].repeat(depth));
    payload.push(0);
    frame(&payload)
}

/// BUNDLEs in each other.
fn nested_bundles(depth: usize) -> Vec<u8> {
    let mut payload = vec![0x41];
    for _ in 0..depth {
        let inner = std::mem::take(&mut payload);
        payload.extend_from_slice(&[0x30, 0, 0, 1]);
        payload.extend_from_slice(&u16::try_from(inner.len()).expect("in range").to_be_bytes());
        payload.extend(inner);
    }
    frame(&payload)
}

#[test]
fn bombs_that_kill_the_stock_router_get_an_error_and_the_session_goes_on() {
    for bomb in [nested_arrays(8000), nested_bundles(4000), nested_arrays(33), nested_bundles(33)] {
        let mut room = Room::new();
        let who = room.join();
        room.send_frame(who, bomb.clone());
        let reply = room.hears(who);
        assert!(reply[0].starts_with("ERROR 101 undecodable frame: offset "), "{reply:?}");
        assert!(reply[0].contains("nested deeper than 32 levels"), "{reply:?}");
        assert_eq!(room.asks(who, &Message::Ping), ["PONG"]);
        let fresh = room.connect(router_lite::Origin::Remote);
        room.send_frame(fresh, bomb);
        assert!(room.closed(fresh).is_some(), "without HELLO it is the end");
    }
}

#[test]
fn every_truncation_of_every_message_is_survived_and_leaks_nothing() {
    let mut room = Room::unhurried();
    let who = room.join();
    let messages = [
        set("/a/b", Value::Float(0.5)),
        event("/a/b", Value::Str("text")),
        subscribe(7, "/a/**"),
        Message::Query { pattern: "/a" },
        Message::Unsubscribe { id: 7 },
    ];
    for message in messages {
        let whole = encode(&message);
        for end in 0..whole.len() {
            room.send_frame(who, whole[..end].to_vec());
            if let Some(payload) = whole.get(4..end).filter(|payload| !payload.is_empty()) {
                room.send_frame(who, frame(payload));
            }
        }
    }
    assert_eq!(room.closed(who), None);
    assert_eq!(room.asks(who, &Message::Ping).last().map(String::as_str), Some("PONG"));
    room.leave(who);
    let counts = room.counts();
    assert_eq!((counts.connections, counts.sessions, counts.subscriptions), (0, 0, 0));
}

#[test]
fn a_session_that_sends_only_garbage_is_told_once_a_second() {
    let mut room = Room::unhurried();
    let who = room.join();
    for _ in 0..500 {
        room.send_frame(who, &b"garbage"[..]);
        room.pass(std::time::Duration::from_millis(10));
    }
    assert_eq!(room.hears(who).len(), 5);
    assert_eq!(room.router.counters().undecodable, 500);
}

#[test]
fn reserved_bits_and_bytes_after_the_end_change_nothing() {
    let mut room = Room::new();
    let who = room.join();
    for flags in [0x00, 0x07, 0x19, 0xC1] {
        room.send_frame(who, vec![0x53, flags, 0, 1, 0x41, 0xFF, 0xFF]);
        assert_eq!(room.hears(who), ["PONG"], "{flags:x}");
    }
}

#[test]
fn an_overlong_address_is_refused_and_quoted_cut() {
    let mut room = Room::new();
    let who = room.join();
    let long = format!("/{}", "x".repeat(60_000));
    for message in [set(&long, Value::Null), event(&long, Value::Null), subscribe(1, &long)] {
        room.send(who, &message);
        let reply = room.take(who);
        let Ok((_, Message::Error(error))) = Message::decode_compact(&reply[0]) else { panic!("{reply:?}") };
        assert!(error.address.is_some_and(|address| address.len() <= 1024));
        assert!(error.message.contains("longer than 1024 bytes"), "{}", error.message);
    }
}

#[test]
fn patterns_made_of_wildcards_do_not_slow_the_router_down() {
    let mut room = Room::unhurried();
    let (sender, hears) = (room.join(), room.join());
    for id in 0..64 {
        let pattern = format!("{}/x{id}", "/**/a".repeat(15));
        room.send(hears, &subscribe(id, &pattern));
    }
    let address = "/a".repeat(31);
    for n in 0..200 {
        room.send(sender, &event(&format!("{address}/{n}"), Value::Null));
    }
    assert!(room.hears(hears).is_empty());
}
