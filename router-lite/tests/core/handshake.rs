//! HELLO, WELCOME, and what happens without them.

use std::time::Duration;

use clasp_wire::{Message, Value, message::Features};
use router_lite::{CloseReason, Config, Origin, limits};

use crate::{
    messages::{encode, event, hello, set, subscribe},
    room::{Room, Who},
};

#[test]
fn hello_is_answered_with_welcome_and_a_snapshot_even_of_nothing() {
    let mut room = Room::new();
    let who = room.connect(Origin::Loopback);
    room.send(who, &hello(""));
    let frames = room.take(who);
    let Ok((_, Message::Welcome(welcome))) = Message::decode_compact(&frames[0]) else {
        panic!("{frames:?}")
    };
    assert_eq!((welcome.version, welcome.features), (1, Features(0xF8)));
    assert_eq!((welcome.time_us, welcome.token), (room.now.unix_us, ""));
    assert_eq!((welcome.name, welcome.session.len()), (Config::default().name(), 36));
    assert_eq!(frames[1], [0x53, 0x01, 0, 3, 0x23, 0, 0]);
    assert_eq!(frames.len(), 2);
}

#[test]
fn sessions_get_different_ids_and_the_same_seed_the_same_ones() {
    let ids = |seed| {
        let mut room = Room::seeded([seed; 32], Config::default());
        let (a, b) = (room.join(), room.join());
        (room.session(a), room.session(b))
    };
    assert_ne!(ids(1).0, ids(1).1);
    assert_eq!(ids(1), ids(1));
    assert_ne!(ids(1).0, ids(2).0);
}

#[test]
fn anything_but_hello_first_is_told_so_and_closed() {
    for message in [Message::Ping, set("/a", Value::Int(1)), subscribe(1, "/**")] {
        let mut room = Room::new();
        let who = room.connect(Origin::Loopback);
        assert_eq!(room.asks(who, &message), ["ERROR 101 the first message must be HELLO"]);
        assert_eq!(room.closed(who), Some(CloseReason::NotHello));
        assert_eq!(room.counts().subscriptions + room.counts().params, 0);
        assert_eq!(room.asks(who, &hello("")), [""; 0], "it is too late for HELLO");
    }
}

#[test]
fn junk_first_is_told_so_and_closed() {
    let mut room = Room::new();
    let who = room.connect(Origin::Loopback);
    room.send_frame(who, &b"GET / HTTP/1.1"[..]);
    assert_eq!(
        room.hears(who),
        ["ERROR 101 undecodable frame: offset 0: not a CLASP frame: first byte is 47, not 53"]
    );
    assert_eq!(room.closed(who), Some(CloseReason::Undecodable));
    assert_eq!(room.router.counters().undecodable, 1);
}

#[test]
fn a_client_that_says_nothing_is_closed_after_10_seconds_and_not_before() {
    let mut room = Room::new();
    let who = room.connect(Origin::Remote);
    let wake = room.wake().expect("a deadline is set");
    assert_eq!((wake.at - room.now.instant, wake.why), (limits::HELLO_TIMEOUT, "handshake timeout"));
    room.pass(limits::HELLO_TIMEOUT - Duration::from_millis(1));
    assert_eq!(room.closed(who), None);
    room.pass(Duration::from_millis(1));
    assert_eq!(room.hears(who), ["ERROR 502 no HELLO in time"]);
    assert_eq!(room.closed(who), Some(CloseReason::HelloTimeout));
    assert_eq!((room.counts().half_open, room.router.counters().hello_timeouts), (0, 1));
}

#[test]
fn a_token_is_refused_because_none_is_known() {
    let mut room = Room::new();
    let who = room.connect(Origin::Loopback);
    let token = "cpsk_00112233445566778899aabbccddeeff";
    assert_eq!(room.asks(who, &hello(token)), ["ERROR 300 Invalid token: token not found"]);
    assert_eq!(room.closed(who).map(CloseReason::code), Some(1008));
    assert_eq!(room.counts().sessions, 0);
}

#[test]
fn hello_again_begins_a_new_session_and_leaks_nothing_of_the_old_one() {
    let mut room = Room::new();
    let (who, other) = (room.join(), room.join());
    room.send(who, &subscribe(1, "/a"));
    let first = room.session(who);
    for _ in 0..5 {
        assert_eq!(room.hello(who), ["WELCOME", "SNAPSHOT"]);
    }
    assert_ne!(room.session(who), first);
    assert_eq!((room.counts().sessions, room.counts().subscriptions), (2, 0));
    room.send(other, &event("/a", Value::Int(1)));
    assert_eq!(room.hears(who), [""; 0], "the old session's subscription is gone");
    let signal = crate::messages::signal(&first, "offer", "x", "c");
    room.send_frame(other, signal);
    assert!(room.hears(other)[0].starts_with("ERROR 404"), "the old session is gone");
}

#[test]
fn the_257th_session_is_refused_with_a_reason() {
    let mut room = Room::new();
    let all: Vec<Who> = (0..limits::MAX_SESSIONS).map(|_| room.join()).collect();
    let late = room.connect(Origin::Loopback);
    assert_eq!(room.hello(late), ["ERROR 503 Session limit reached (max 256)"]);
    assert_eq!(room.closed(late), Some(CloseReason::TooManySessions));
    room.leave(all[7]);
    room.join();
    assert_eq!(room.counts().sessions, limits::MAX_SESSIONS);
    assert_eq!(room.router.counters().sessions_refused, 1);
}

#[test]
fn hello_again_is_not_refused_for_the_session_it_replaces() {
    let mut room = Room::with(Config::default().with_max_sessions(1).expect("in range"));
    let who = room.join();
    assert_eq!(room.hello(who), ["WELCOME", "SNAPSHOT"]);
}

#[test]
fn the_33rd_unfinished_handshake_is_refused_while_the_others_are_fresh() {
    let mut room = Room::new();
    for _ in 0..limits::MAX_HALF_OPEN {
        room.connect(Origin::Remote);
    }
    let late = room.connect(Origin::Remote);
    assert_eq!(room.closed(late), Some(CloseReason::TooManyHandshakes));
    assert_eq!(room.counts().half_open, limits::MAX_HALF_OPEN);
    assert_eq!(room.router.counters().half_open_refused, 1);
}

#[test]
fn a_handshake_that_had_its_time_gives_way_to_a_newcomer() {
    let mut room = Room::new();
    assert_eq!(room.router.accept_at(), None, "there is room");
    let oldest = room.connect(Origin::Remote);
    for _ in 1..limits::MAX_HALF_OPEN {
        room.connect(Origin::Remote);
    }
    let may_accept_at = room.now.instant + limits::HALF_OPEN_GRACE;
    assert_eq!(room.router.accept_at(), Some(may_accept_at));
    room.pass(limits::HALF_OPEN_GRACE);
    room.join();
    assert_eq!(room.closed(oldest), Some(CloseReason::TooManyHandshakes));
    assert_eq!(room.counts().half_open, limits::MAX_HALF_OPEN - 1);
    assert_eq!(room.router.counters().half_open_evicted, 1);
}

#[test]
fn nobody_can_lock_others_out_by_connecting_and_saying_nothing() {
    let mut room = Room::new();
    let mut silent = 0;
    for _ in 0..200 {
        room.pass(Duration::from_millis(100));
        // As many as the router lets in, as fast as it does.
        while room.router.accept_at().is_none_or(|at| at <= room.now.instant) && silent < 10_000 {
            room.connect(Origin::Remote);
            silent += 1;
            if room.counts().half_open == limits::MAX_HALF_OPEN {
                break;
            }
        }
        assert!(room.router.accept_at().is_none_or(|at| at <= room.now.instant + limits::HALF_OPEN_GRACE));
    }
    room.pass(limits::HALF_OPEN_GRACE);
    room.join();
}

#[test]
fn ending_the_router_tells_everybody() {
    let mut room = Room::new();
    let (who, fresh) = (room.join(), room.connect(Origin::Remote));
    room.feed(router_lite::Input::Shutdown);
    for client in [who, fresh] {
        assert_eq!(room.closed(client).map(CloseReason::code), Some(1001));
    }
    room.leave(who);
    room.leave(fresh);
    assert_eq!(room.counts().connections, 0);
}

#[test]
fn a_version_and_features_nobody_knows_are_accepted() {
    let mut room = Room::new();
    let who = room.connect(Origin::Loopback);
    let Message::Hello(stock) = hello("") else { panic!() };
    let odd = clasp_wire::message::Hello { version: 99, features: Features(0), name: "", ..stock };
    room.send_frame(who, encode(&Message::Hello(odd)));
    assert_eq!(room.hears(who), ["WELCOME", "SNAPSHOT"]);
}
