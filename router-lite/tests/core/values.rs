//! SET, GET, SNAPSHOT, locks, expiry.

use std::{collections::BTreeSet, time::Duration};

use clasp_wire::{
    Message, QoS, Value,
    message::{Set, Ttl},
};
use router_lite::limits;

use crate::{
    messages::{param, set, subscribe},
    room::{Room, Who},
};

const NOTHING: [&str; 0] = [];

fn get(address: &str) -> Message<'_> {
    Message::Get { address }
}

#[test]
fn a_set_reaches_every_subscriber_the_sender_too_and_then_the_ack() {
    let mut room = Room::new();
    let (writer, hears) = (room.join(), room.join());
    room.send(writer, &subscribe(1, "/a"));
    room.send(hears, &subscribe(1, "/**"));
    assert_eq!(room.asks(writer, &set("/a", Value::Float(0.5))), ["SET /a=0.5 r1", "ACK /a r1"]);
    assert_eq!(room.asks(writer, &set("/a", Value::Int(2))), ["SET /a=2 r2", "ACK /a r2"]);
    assert_eq!(room.hears(hears), ["SET /a=0.5 r1", "SET /a=2 r2"]);
}

#[test]
fn a_frame_without_qos_gets_no_ack_because_the_stock_python_client_dies_of_one() {
    let mut room = Room::new();
    let who = room.join();
    for qos in [QoS::Fire, QoS::Confirm, QoS::Commit] {
        room.send_qos(who, qos, &set("/a", Value::Int(1)));
        assert_eq!(room.hears(who).len(), usize::from(qos != QoS::Fire), "{qos:?}");
    }
}

#[test]
fn get_answers_with_a_snapshot_or_not_at_all() {
    let mut room = Room::new();
    let who = room.join();
    room.send_qos(who, QoS::Fire, &set("/a", Value::Str("x")));
    assert_eq!(room.asks(who, &get("/a")), ["SNAPSHOT /a=x r1"]);
    assert_eq!(room.asks(who, &get("/b")), NOTHING);
    assert_eq!(room.asks(who, &get("")), NOTHING);
}

#[test]
fn late_joiners_get_what_matches_and_nothing_if_nothing_does() {
    let mut room = Room::new();
    let writer = room.join();
    for address in ["/a/1", "/a/2", "/b"] {
        room.send_qos(writer, QoS::Fire, &set(address, Value::Int(1)));
    }
    let late = room.connect(router_lite::Origin::Loopback);
    assert_eq!(room.hello(late), ["WELCOME", "SNAPSHOT /a/1=1 r1 /a/2=1 r1 /b=1 r1"]);
    assert_eq!(room.asks(late, &subscribe(1, "/a/*")), ["SNAPSHOT /a/1=1 r1 /a/2=1 r1"]);
    assert_eq!(room.asks(late, &subscribe(2, "/c/*")), NOTHING);
}

#[test]
fn a_store_far_larger_than_an_outbox_reaches_a_newcomer_in_pieces_and_in_full() {
    let mut room = Room::unhurried();
    let writer = room.join();
    let text = "x".repeat(3000);
    for n in 0..1200 {
        room.send_qos(writer, QoS::Fire, &set(&format!("/p/{n:04}"), Value::Str(&text)));
    }
    assert!(room.counts().param_bytes > 3_600_000);
    let late = room.join();
    let mut seen = BTreeSet::new();
    for n in 0..1200 {
        room.send_qos(writer, QoS::Fire, &set(&format!("/live/{n}"), Value::Int(n)));
    }
    room.send(late, &subscribe(1, "/p/1*"));
    for frame in room.take(late) {
        if let Ok((_, Message::Snapshot { params })) = Message::decode_compact(&frame) {
            seen.extend(params.iter().map(|param| param.address.to_owned()));
        }
    }
    // `join` has read the greeting.
    assert_eq!(seen.iter().filter(|address| address.starts_with("/p/1")).count(), 200);
    assert_eq!((room.closed(late), room.counts().backlog), (None, 0));
}

#[test]
fn a_newcomer_that_reads_slowly_is_not_closed_for_the_size_of_the_store() {
    let mut room = Room::unhurried();
    let writer = room.join();
    let text = "x".repeat(3000);
    for n in 0..1000 {
        room.send_qos(writer, QoS::Fire, &set(&format!("/p/{n:04}"), Value::Str(&text)));
    }
    let late = room.connect(router_lite::Origin::Loopback);
    room.deafen(late);
    room.send(late, &crate::messages::hello(""));
    room.send(late, &subscribe(1, "/p/**"));
    let waiting = room.counts();
    assert!(waiting.queued_bytes < limits::BACKLOG_LOW_WATER_BYTES + 2 * 65_539, "{waiting:?}");
    assert_eq!(waiting.backlog, 2, "the store, and the subscription's part of it");
    room.send_qos(writer, QoS::Fire, &set("/p/0999", Value::Int(5)));
    room.undeafen(late);
    let mut values = Vec::new();
    for frame in room.take(late) {
        match Message::decode_compact(&frame) {
            Ok((_, Message::Snapshot { params })) => {
                values.extend(params.iter().map(|param| (param.address.to_owned(), param.revision)));
            }
            Ok((_, Message::Set(set))) => values.push((set.address.to_owned(), set.revision.unwrap_or(0))),
            _ => {}
        }
    }
    assert_eq!(values.iter().filter(|(address, _)| address == "/p/0500").count(), 2);
    let revisions: Vec<u64> = values.iter().filter(|(a, _)| a == "/p/0999").map(|(_, r)| *r).collect();
    assert_eq!(revisions, [2, 2, 2], "no snapshot brings back what a SET has replaced");
    assert_eq!(room.counts().backlog, 0);
}

#[test]
fn revisions_locks_and_capacity_refuse_in_the_stock_routers_words() {
    let mut room = Room::new();
    let (me, other) = (room.join(), room.join());
    let with = |set: Set<'static>| Message::Set(set);
    room.send(me, &set("/a", Value::Int(1)));
    room.hears(me);
    assert_eq!(
        room.asks(me, &with(Set { revision: Some(7), ..param("/a", Value::Int(2)) })),
        ["ERROR 400 RevisionConflict { expected: 7, actual: 1 } @/a"]
    );
    assert_eq!(
        room.asks(me, &with(Set { lock: true, ..param("/a", Value::Int(2)) })),
        ["ACK /a r2"],
        "the lock is taken"
    );
    let held = format!("ERROR 400 LockHeld {{ holder: \"{}\" }} @/a", room.session(me));
    assert_eq!(room.asks(other, &set("/a", Value::Int(3))), std::slice::from_ref(&held));
    assert_eq!(room.asks(other, &with(Set { unlock: true, ..param("/a", Value::Int(3)) })), [held]);
    room.leave(me);
    assert_eq!(room.asks(other, &set("/a", Value::Int(3))), ["ACK /a r3"], "the lock ended with its session");
    assert_eq!(room.router.counters().conflicts, 3);
}

#[test]
fn the_flags_of_a_set_are_passed_on() {
    let mut room = Room::new();
    let (writer, hears) = (room.join(), room.join());
    room.send(hears, &subscribe(1, "/a"));
    for set in [
        Set { lock: true, ttl: Some(Ttl::Sliding(35)), ..param("/a", Value::Int(1)) },
        Set { unlock: true, ttl: Some(Ttl::Absolute(5)), ..param("/a", Value::Int(2)) },
    ] {
        room.send(writer, &Message::Set(set));
        let frames = room.take(hears);
        let Ok((_, Message::Set(seen))) = Message::decode_compact(&frames[0]) else { panic!("{frames:?}") };
        assert_eq!((seen.lock, seen.unlock, seen.ttl), (set.lock, set.unlock, set.ttl));
    }
}

#[test]
fn a_full_store_says_at_capacity() {
    let mut room = Room::unhurried();
    let who = room.join();
    for n in 0..limits::MAX_PARAMS {
        room.send_qos(who, QoS::Fire, &set(&format!("/{n}"), Value::Null));
    }
    assert_eq!(room.asks(who, &set("/more", Value::Null)), ["ERROR 400 AtCapacity @/more"]);
    assert_eq!(room.asks(who, &get("/0")), ["SNAPSHOT /0=Null r1"], "nothing was evicted");
    assert_eq!(room.router.counters().params_refused, 1);
}

#[test]
fn a_set_that_could_not_be_passed_on_is_refused_and_not_stored() {
    let mut room = Room::new();
    let (who, hears) = (room.join(), room.join());
    room.send(hears, &subscribe(1, "/a"));
    // 65 530 bytes of payload: the revision alone takes the broadcast beyond a frame.
    let text = "x".repeat(65_524);
    let reply = room.asks(who, &set("/a", Value::Str(&text)));
    assert_eq!(reply, ["ERROR 402 Value too large: address and value may take 65474 bytes @/a"],);
    assert_eq!(room.asks(who, &get("/a")), NOTHING);
    assert_eq!(room.hears(hears), NOTHING);
    let text = "x".repeat(65_474 - 2 - 2);
    assert_eq!(room.asks(who, &set("/a", Value::Str(&text))), ["ACK /a r1"]);
    assert_eq!(room.hears(hears).len(), 1);
    assert_eq!(room.asks(who, &get("/a")), ["SNAPSHOT /a=65470 bytes r1"]);
}

#[test]
fn expired_parameters_are_gone_at_once_and_swept_soon() {
    let mut room = Room::new();
    let who = room.join();
    let short_lived = Set { ttl: Some(Ttl::Sliding(3)), ..param("/a", Value::Int(1)) };
    room.send_qos(who, QoS::Fire, &Message::Set(short_lived));
    room.pass(Duration::from_millis(2999));
    assert_eq!(room.asks(who, &get("/a")), ["SNAPSHOT /a=1 r1"]);
    room.pass(Duration::from_millis(1));
    assert_eq!(room.asks(who, &get("/a")), NOTHING);
    assert_eq!(room.counts().params, 1);
    room.pass(limits::PARAM_SWEEP_INTERVAL);
    assert_eq!((room.counts().params, room.counts().param_bytes), (0, 0));
    assert_eq!(room.router.counters().params_expired, 1);
}

#[test]
fn a_parameter_stays_when_its_writer_leaves() {
    let mut room = Room::new();
    let who: Who = room.join();
    room.send(who, &set("/a", Value::Int(1)));
    room.leave(who);
    let late = room.join();
    assert_eq!(room.asks(late, &get("/a")), ["SNAPSHOT /a=1 r1"]);
}
