//! Gestures: moves are thinned out, and nobody's are mixed up.

use std::time::Duration;

use clasp_wire::{
    Message, Value,
    message::{Phase, Publish, SignalType},
};
use router_lite::limits;

use crate::{
    messages::{publish, subscribe},
    room::{Room, Who},
};

const NOTHING: [&str; 0] = [];

pub(crate) fn gesture(phase: Phase, address: &str, id: u32, value: i64) -> Message<'_> {
    let Message::Publish(publish) = publish(SignalType::Gesture, address, Value::Int(value)) else {
        unreachable!("a PUBLISH is a PUBLISH")
    };
    Message::Publish(Publish { phase, id: Some(id), ..publish })
}

fn touch(room: &mut Room, who: Who, phase: Phase, value: i64) {
    room.send(who, &gesture(phase, "/g", 1, value));
}

#[test]
fn of_the_moves_within_16_ms_only_the_newest_arrives_and_not_at_its_sender() {
    let mut room = Room::new();
    let (hand, hears) = (room.join(), room.join());
    for who in [hand, hears] {
        room.send(who, &subscribe(1, "/**"));
    }
    touch(&mut room, hand, Phase::Start, 0);
    for value in 1..=3 {
        touch(&mut room, hand, Phase::Move, value);
    }
    assert_eq!(room.hears(hears), ["GESTURE start /g=0"]);
    let wake = room.wake().expect("a move waits");
    assert_eq!((wake.at - room.now.instant, wake.why), (limits::GESTURE_INTERVAL, "gesture"));
    room.pass(limits::GESTURE_INTERVAL);
    assert_eq!(room.hears(hears), ["GESTURE move /g=3"]);
    touch(&mut room, hand, Phase::Move, 4);
    touch(&mut room, hand, Phase::End, 5);
    assert_eq!(room.hears(hears), ["GESTURE move /g=4", "GESTURE end /g=5"]);
    room.pass(Duration::from_secs(1));
    assert_eq!(room.hears(hears), NOTHING);
    assert_eq!(room.hears(hand), NOTHING);
}

#[test]
fn two_hands_on_one_address_and_id_do_not_overwrite_each_other() {
    let mut room = Room::new();
    let (left, right, hears) = (room.join(), room.join(), room.join());
    room.send(hears, &subscribe(1, "/g"));
    touch(&mut room, left, Phase::Start, 10);
    touch(&mut room, right, Phase::Start, 20);
    touch(&mut room, left, Phase::Move, 11);
    touch(&mut room, right, Phase::Move, 21);
    room.hears(hears);
    room.pass(limits::GESTURE_INTERVAL);
    assert_eq!(room.hears(hears), ["GESTURE move /g=11", "GESTURE move /g=21"]);
    touch(&mut room, left, Phase::End, 12);
    touch(&mut room, right, Phase::Move, 22);
    room.hears(hears);
    room.pass(limits::GESTURE_INTERVAL);
    assert_eq!(room.hears(hears), ["GESTURE move /g=22"], "the other hand's end is not this one's");
}

#[test]
fn the_last_move_of_a_session_that_ends_is_not_lost() {
    let mut room = Room::new();
    let (hand, hears) = (room.join(), room.join());
    room.send(hears, &subscribe(1, "/g"));
    touch(&mut room, hand, Phase::Start, 0);
    touch(&mut room, hand, Phase::Move, 9);
    room.leave(hand);
    assert_eq!(room.hears(hears), ["GESTURE start /g=0", "GESTURE move /g=9"]);
    room.pass(Duration::from_secs(1));
    assert_eq!(room.hears(hears), NOTHING);
}

#[test]
fn a_17th_gesture_is_passed_on_and_counted() {
    let mut room = Room::new();
    let (hand, hears) = (room.join(), room.join());
    room.send(hears, &subscribe(1, "/g"));
    for id in 0..17 {
        room.send(hand, &gesture(Phase::Start, "/g", id, 0));
    }
    assert_eq!(room.hears(hears).len(), 17);
    assert_eq!(room.router.counters().gestures_forgotten, 1);
}

#[test]
fn many_hands_at_once_do_not_end_a_subscriber_that_reads() {
    let mut room = Room::unhurried();
    let hears = room.join();
    room.send(hears, &subscribe(1, "/**"));
    let hands: Vec<Who> = (0..40).map(|_| room.join()).collect();
    for hand in &hands {
        for id in 0..16 {
            room.send(*hand, &gesture(Phase::Start, "/g", id, 0));
            room.send(*hand, &gesture(Phase::Move, "/g", id, 1));
        }
    }
    room.hears(hears);
    room.pass(limits::GESTURE_INTERVAL);
    assert_eq!(room.hears(hears).len(), 40 * 16);
    assert_eq!(room.closed(hears), None);
}

#[test]
fn other_signals_are_not_held_back() {
    let mut room = Room::new();
    let (sender, hears) = (room.join(), room.join());
    room.send(hears, &subscribe(1, "/**"));
    for signal in [SignalType::Event, SignalType::Stream, SignalType::Timeline] {
        room.send(sender, &publish(signal, "/a", Value::Int(1)));
    }
    assert_eq!(room.hears(hears), ["EVENT /a=1", "STREAM /a=1", "TIMELINE /a=1"]);
}
