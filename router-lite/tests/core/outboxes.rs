//! Clients that do not read.

use clasp_wire::{Message, Value, message::SignalType};
use router_lite::{CloseReason, limits};

use crate::{
    messages::{event, publish, set, subscribe},
    room::{Room, Who},
};

fn deaf_subscriber(room: &mut Room) -> (Who, Who) {
    let (sender, deaf) = (room.join(), room.join());
    room.send(deaf, &subscribe(1, "/**"));
    room.deafen(deaf);
    (sender, deaf)
}

#[test]
fn a_client_that_lets_256_events_wait_is_closed_at_the_257th() {
    let mut room = Room::unhurried();
    let (sender, deaf) = deaf_subscriber(&mut room);
    for n in 0..256 {
        room.send(sender, &event("/a", Value::Int(n)));
    }
    assert_eq!((room.closed(deaf), room.counts().queued_frames), (None, limits::OUTBOX_FRAMES));
    room.send(sender, &event("/a", Value::Int(256)));
    assert_eq!(room.closed(deaf), Some(CloseReason::SlowConsumer));
    assert_eq!((CloseReason::SlowConsumer.code(), CloseReason::SlowConsumer.text()), (1008, "slow consumer"));
    let counts = room.counts();
    assert_eq!((counts.queued_frames, counts.subscriptions, counts.sessions), (0, 0, 1));
    assert_eq!(room.router.counters().slow_consumers, 1);
}

#[test]
fn a_client_that_lets_256_kib_wait_is_closed() {
    let mut room = Room::unhurried();
    let (sender, deaf) = deaf_subscriber(&mut room);
    let text = "x".repeat(60_000);
    for _ in 0..4 {
        room.send(sender, &event("/a", Value::Str(&text)));
    }
    assert_eq!(room.closed(deaf), None);
    assert!(room.counts().queued_bytes <= limits::OUTBOX_BYTES);
    room.send(sender, &event("/a", Value::Str(&text)));
    assert_eq!(room.closed(deaf), Some(CloseReason::SlowConsumer));
}

#[test]
fn a_stream_drops_its_oldest_and_ends_nobody() {
    let mut room = Room::unhurried();
    let (sender, deaf) = deaf_subscriber(&mut room);
    for n in 0..1000 {
        room.send(sender, &publish(SignalType::Stream, "/s", Value::Int(n)));
    }
    assert_eq!((room.closed(deaf), room.counts().queued_frames), (None, 256));
    assert_eq!(room.router.counters().streams_dropped, 1000 - 256);
    room.undeafen(deaf);
    let heard = room.hears(deaf);
    assert_eq!((&*heard[0], &*heard[255]), ("STREAM /s=744", "STREAM /s=999"));
}

#[test]
fn events_displace_streams_and_keep_their_order() {
    let mut room = Room::unhurried();
    let (sender, deaf) = deaf_subscriber(&mut room);
    for n in 0..200 {
        room.send(sender, &publish(SignalType::Stream, "/s", Value::Int(n)));
    }
    for n in 0..256 {
        room.send(sender, &event("/e", Value::Int(n)));
    }
    assert_eq!(room.closed(deaf), None);
    room.undeafen(deaf);
    let heard = room.hears(deaf);
    let wanted: Vec<String> = (0..256).map(|n| format!("EVENT /e={n}")).collect();
    assert_eq!(heard, wanted);
}

#[test]
fn others_do_not_notice_that_one_does_not_read() {
    let mut room = Room::unhurried();
    let (sender, _deaf) = deaf_subscriber(&mut room);
    let hears = room.join();
    room.send(hears, &subscribe(1, "/**"));
    for n in 0..1000 {
        room.send(sender, &event("/a", Value::Int(n)));
    }
    assert_eq!(room.take(hears).len(), 1000);
}

#[test]
fn a_client_that_asks_and_never_reads_the_answers_is_closed() {
    let mut room = Room::unhurried();
    let who = room.join();
    room.send(who, &set("/a", Value::Int(1)));
    room.deafen(who);
    for _ in 0..300 {
        room.send(who, &Message::Get { address: "/a" });
    }
    assert_eq!(room.closed(who), Some(CloseReason::SlowConsumer));
}

#[test]
fn the_last_word_before_a_close_can_still_be_read() {
    let mut room = Room::new();
    let who = room.connect(router_lite::Origin::Loopback);
    room.deafen(who);
    room.send(who, &Message::Ping);
    assert_eq!(room.closed(who), Some(CloseReason::NotHello));
    room.undeafen(who);
    assert_eq!(room.hears(who).len(), 1);
}

#[test]
fn closing_one_slow_client_may_close_the_next_and_stays_consistent() {
    let mut room = Room::unhurried();
    let sender = room.join();
    let deaf: Vec<Who> = (0..50).map(|_| room.join()).collect();
    for (who, next) in deaf.iter().zip(&deaf[1..]) {
        room.send(*who, &subscribe(1, "/**"));
        let signal = crate::messages::signal(&room.session(*next), "offer", "x", "c");
        room.send_frame(*who, signal);
    }
    for who in &deaf {
        room.deafen(*who);
    }
    for n in 0..260 {
        room.send(sender, &event("/a", Value::Int(n)));
    }
    assert_eq!(room.counts().sessions, 2, "the sender, and the last of the row, who subscribed to nothing");
    assert_eq!(room.router.counters().slow_consumers, 49);
}
