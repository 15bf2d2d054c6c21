//! BUNDLE.

use clasp_wire::{
    Message, QoS, Seq, Value,
    message::{Bundle, Set},
};
use router_lite::limits;

use crate::{
    messages::{encode, event, param, set, subscribe},
    room::Room,
};

const NOTHING: [&str; 0] = [];

fn bundle<'a>(messages: &'a [Message<'a>]) -> Message<'a> {
    Message::Bundle(Bundle { timestamp_us: None, messages: Seq::items(messages) })
}

#[test]
fn members_come_as_separate_frames_sets_before_publishes() {
    let mut room = Room::new();
    let (sender, hears) = (room.join(), room.join());
    room.send(hears, &subscribe(1, "/**"));
    let members = [
        event("/e/1", Value::Int(1)),
        set("/p/1", Value::Int(2)),
        Message::Ping,
        event("/e/2", Value::Int(3)),
        set("/p/1", Value::Int(4)),
    ];
    assert_eq!(room.asks(sender, &bundle(&members)), ["ACK r2"]);
    assert_eq!(room.hears(hears), ["SET /p/1=2 r1", "SET /p/1=4 r2", "EVENT /e/1=1", "EVENT /e/2=3"]);
}

#[test]
fn a_bundle_without_qos_or_without_sets_is_acknowledged_as_the_stock_router_would() {
    let mut room = Room::new();
    let who = room.join();
    let events = [event("/e", Value::Int(1))];
    assert_eq!(room.asks(who, &bundle(&events)), ["ACK"]);
    assert_eq!(room.asks(who, &bundle(&[])), ["ACK"]);
    room.send_qos(who, QoS::Fire, &bundle(&events));
    assert_eq!(room.hears(who), NOTHING);
}

#[test]
fn one_member_out_of_scope_refuses_the_whole_bundle() {
    let mut room = Room::new();
    let (sender, target) = (room.join(), room.join());
    let signal = format!("/clasp/p2p/signal/{}", room.session(target));
    for (kind, forbidden) in
        [("PUBLISH", event(&signal, Value::Int(1))), ("SET", set(&signal, Value::Int(1)))]
    {
        let members = [set("/p", Value::Int(1)), forbidden];
        assert_eq!(
            room.asks(sender, &bundle(&members)),
            [format!("ERROR 403 Bundle rejected: insufficient scope for {kind} to {signal} @{signal}")]
        );
    }
    assert_eq!(room.hears(target), NOTHING);
    assert_eq!(room.counts().params, 0);
}

#[test]
fn one_member_with_a_bad_address_refuses_the_whole_bundle() {
    let mut room = Room::new();
    let who = room.join();
    let members = [set("/p", Value::Int(1)), set("no slash", Value::Int(1))];
    let reply = room.asks(who, &bundle(&members));
    assert!(reply[0].starts_with("ERROR 200 invalid address: "), "{reply:?}");
    assert_eq!((reply.len(), room.counts().params), (1, 0));
}

#[test]
fn a_member_that_is_refused_is_named_and_the_others_go_on() {
    let mut room = Room::new();
    let who = room.join();
    let members = [
        set("/p", Value::Int(1)),
        Message::Set(Set { revision: Some(9), ..param("/p", Value::Int(2)) }),
        set("/q", Value::Int(3)),
    ];
    assert_eq!(
        room.asks(who, &bundle(&members)),
        ["ERROR 400 RevisionConflict { expected: 9, actual: 1 } @/p", "ACK r1"]
    );
    assert_eq!(room.counts().params, 2);
}

#[test]
fn a_bundle_of_thousands_does_not_end_anybody_who_reads() {
    let mut room = Room::new();
    let (sender, hears) = (room.join(), room.join());
    let local = room.join_from(router_lite::Origin::InProcess);
    for who in [hears, local] {
        room.send(who, &subscribe(1, "/**"));
    }
    let members: Vec<Message<'_>> = (0..4000).map(|n| event("/a", Value::Int(n))).collect();
    let (few, many) = members.split_at(1500);
    for part in [few, &many[..1500]] {
        room.send(sender, &bundle(part));
    }
    for who in [hears, local] {
        let heard = room.hears(who);
        assert_eq!(heard.len(), 3000);
        assert_eq!((&*heard[0], &*heard[2999]), ("EVENT /a=0", "EVENT /a=2999"));
        assert_eq!(room.closed(who), None);
    }
}

#[test]
fn the_largest_bundle_fits_the_outbox_of_a_program_in_the_same_process() {
    let mut room = Room::new();
    let sender = room.join();
    let local = room.join_from(router_lite::Origin::InProcess);
    room.send(local, &subscribe(1, "/**"));
    room.deafen(local);
    // 65 535 bytes of the shortest members: length 2, type, flags, address length 2, address 1.
    let mut payload = vec![0x30, 0x00];
    let count = (65_535 - 4) / 7;
    payload.extend_from_slice(&u16::try_from(count).expect("in range").to_be_bytes());
    for _ in 0..count {
        payload.extend_from_slice(&[0, 5, 0x21, 0x00, 0, 1, b'/']);
    }
    let mut frame = vec![0x53, 0x01];
    frame.extend_from_slice(&u16::try_from(payload.len()).expect("in range").to_be_bytes());
    frame.extend(payload);
    room.send_frame(sender, frame);
    let counts = room.counts();
    assert_eq!(room.closed(local), None, "{counts:?}");
    room.undeafen(local);
    assert_eq!(room.take(local).len(), count);
    assert!(count <= limits::LOCAL_OUTBOX_FRAMES);
}

#[test]
fn a_sender_that_ends_in_the_middle_of_its_bundle_does_not_confuse_anybody() {
    let mut room = Room::new();
    let sender = room.join();
    room.send(sender, &subscribe(1, "/**"));
    room.deafen(sender);
    let members: Vec<Message<'_>> = (0..600).map(|n| set("/a", Value::Int(n))).collect();
    room.send(sender, &bundle(&members));
    assert_eq!(room.closed(sender), Some(router_lite::CloseReason::SlowConsumer), "it is deaf to its echoes");
    let counts = room.counts();
    assert_eq!((counts.sessions, counts.subscriptions, counts.queued_frames), (0, 0, 0));
}

#[test]
fn a_messagepack_bundle_of_the_stock_python_client_works() {
    let mut room = Room::new();
    let (sender, hears) = (room.join(), room.join());
    room.send(hears, &subscribe(1, "/**"));
    // {"type":"BUNDLE","messages":[{"type":"SET","address":"/a","value":1}]}, flags 01.
    let mut payload = vec![0x82];
    let text = |payload: &mut Vec<u8>, text: &str| {
        payload.push(0xA0 | u8::try_from(text.len()).expect("short"));
        payload.extend_from_slice(text.as_bytes());
    };
    text(&mut payload, "type");
    text(&mut payload, "BUNDLE");
    text(&mut payload, "messages");
    payload.extend_from_slice(&[0x91, 0x83]);
    for (key, value) in [("type", "SET"), ("address", "/a")] {
        text(&mut payload, key);
        text(&mut payload, value);
    }
    text(&mut payload, "value");
    payload.push(1);
    let mut frame = vec![0x53, 0x01, 0, u8::try_from(payload.len()).expect("short")];
    frame.extend(payload);
    room.send_frame(sender, frame);
    assert_eq!(room.hears(hears), ["SET /a=1 r1"]);
    assert_eq!(room.hears(sender), NOTHING, "no ACK: the stock Python client dies of one");
    assert_eq!(encode(&Message::Ping).len(), 5);
}
