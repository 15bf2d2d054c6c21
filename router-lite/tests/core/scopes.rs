//! What sessions from other machines may do.

use clasp_wire::{
    Message, Seq, Value,
    message::{Announce, Bundle},
};
use router_lite::Origin;

use crate::{
    messages::{event, set, signal, subscribe},
    peers::announce,
    room::Room,
};

const NOTHING: [&str; 0] = [];

#[test]
fn a_stranger_may_signal_and_nothing_else() {
    let mut room = Room::new();
    let local = room.join();
    room.send(local, &set("/secret", Value::Int(1)));
    room.send(local, &subscribe(1, "/**"));
    room.hears(local);
    let stranger = room.connect(Origin::Remote);
    assert_eq!(room.hello(stranger), ["WELCOME", "SNAPSHOT"], "a snapshot of nothing");
    let members = [set("/a", Value::Int(1))];
    for (message, reply) in [
        (set("/a", Value::Int(1)), "ERROR 301 Insufficient scope for write operation @/a"),
        (event("/a", Value::Int(1)), "ERROR 301 Insufficient scope for publish operation @/a"),
        (
            event("/clasp/p2p/other", Value::Int(1)),
            "ERROR 301 Insufficient scope for publish operation @/clasp/p2p/other",
        ),
        (Message::Get { address: "/secret" }, "ERROR 301 Insufficient scope for read operation @/secret"),
        (subscribe(1, "/**"), "ERROR 301 Insufficient scope for subscription @/**"),
        (subscribe(1, "/secret"), "ERROR 301 Insufficient scope for subscription @/secret"),
        (Message::Query { pattern: "/**" }, "ERROR 301 Insufficient scope for read operation @/**"),
        (
            Message::Announce(Announce { namespace: "/n", signals: Seq::empty() }),
            "ERROR 301 Insufficient scope for write operation @/n",
        ),
        (
            Message::Bundle(Bundle { timestamp_us: None, messages: Seq::items(&members) }),
            "ERROR 403 Bundle rejected: insufficient scope for SET to /a @/a",
        ),
    ] {
        assert_eq!(room.asks(stranger, &message), [reply]);
    }
    assert_eq!(room.hears(local), NOTHING);
    assert_eq!(room.asks(stranger, &Message::Ping), ["PONG"]);
    assert_eq!(room.asks(stranger, &subscribe(1, "/clasp/p2p/announce")), NOTHING);
    let target = room.session(local);
    room.send_frame(stranger, signal(&target, "offer", "x", "c"));
    room.send_frame(stranger, announce("x", ""));
    assert_eq!(room.hears(local).len(), 2);
    assert_eq!(room.router.counters().out_of_scope, 9);
}

#[test]
fn a_web_page_from_elsewhere_may_do_no_more_than_a_stranger() {
    let mut room = Room::new();
    let page = room.connect(Origin::Loopback);
    room.input(page, |connection| router_lite::Input::Foreign { connection });
    assert_eq!(room.hello(page), ["WELCOME", "SNAPSHOT"]);
    let refused = ["ERROR 301 Insufficient scope for write operation @/a"];
    assert_eq!(room.asks(page, &set("/a", Value::Int(1))), refused);
    room.hello(page);
    assert_eq!(room.asks(page, &set("/a", Value::Int(1))), refused, "HELLO again changes nothing");
    let mut room = Room::open_to_strangers();
    let page = room.connect(Origin::Loopback);
    room.input(page, |connection| router_lite::Input::Foreign { connection });
    room.hello(page);
    assert_eq!(room.asks(page, &set("/a", Value::Int(1))), ["ACK /a r1"]);
}

#[test]
fn the_operator_can_allow_strangers_everything() {
    let mut room = Room::open_to_strangers();
    let (a, b) = (room.join_stranger(), room.join_stranger());
    room.send(b, &subscribe(1, "/**"));
    assert_eq!(room.asks(a, &set("/a", Value::Int(1))), ["ACK /a r1"]);
    assert_eq!(room.hears(b), ["SET /a=1 r1"]);
    let late = room.connect(Origin::Remote);
    assert_eq!(room.hello(late), ["WELCOME", "SNAPSHOT /a=1 r1"]);
}

#[test]
fn a_program_in_the_same_process_may_do_everything() {
    let mut room = Room::new();
    let who = room.join_from(Origin::InProcess);
    assert_eq!(room.asks(who, &set("/a", Value::Int(1))), ["ACK /a r1"]);
}
