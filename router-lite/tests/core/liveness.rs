//! Pings, and what happens to those who are not there any more.

use std::time::Duration;

use clasp_wire::Message;
use router_lite::{CloseReason, Config, Input, Origin, Refusal, limits};

use crate::room::Room;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_silent_client_is_pinged_twice_and_then_closed() {
    let mut room = Room::new();
    let who = room.join();
    let mut seen = Vec::new();
    for second in 1..=70 {
        room.pass(SECOND);
        let now = (room.pings(who), room.closed(who));
        if seen.last().is_none_or(|(_, before)| *before != now) {
            seen.push((second, now));
        }
    }
    let end = Some(CloseReason::Silent);
    assert_eq!(seen, [(1, (0, None)), (20, (1, None)), (40, (2, None)), (60, (2, end))]);
    assert_eq!((room.counts().sessions, room.router.counters().silent_clients), (0, 1));
}

#[test]
fn whatever_is_received_keeps_a_session_alive() {
    type Sign = fn(&mut Room, crate::room::Who);
    let signs: [Sign; 4] = [
        |room, who| room.send(who, &Message::Pong),
        |room, who| room.input(who, |connection| Input::Heard { connection }),
        |room, who| room.input(who, |connection| Input::Noted { connection, what: Refusal::Text }),
        |room, who| room.send_frame(who, &b"garbage"[..]),
    ];
    for sign in signs {
        let mut room = Room::new();
        let who = room.join();
        for _ in 0..40 {
            room.pass(Duration::from_secs(15));
            sign(&mut room, who);
        }
        assert_eq!((room.closed(who), room.pings(who)), (None, 0));
    }
}

#[test]
fn a_pong_answers_all_pings_before_it() {
    let mut room = Room::new();
    let who = room.join();
    for _ in 0..20 {
        room.pass(Duration::from_secs(45));
        assert_eq!(room.closed(who), None);
        room.input(who, |connection| Input::Heard { connection });
    }
    assert!(room.pings(who) >= 40, "{}", room.pings(who));
}

#[test]
fn a_program_in_the_same_process_is_not_pinged() {
    let mut room = Room::new();
    let who = room.join_from(Origin::InProcess);
    room.pass(Duration::from_secs(3600));
    assert_eq!((room.closed(who), room.pings(who)), (None, 0));
}

#[test]
fn one_look_pings_everybody_who_is_due_within_a_second() {
    let mut room = Room::new();
    let all: Vec<_> = (0..20)
        .map(|_| {
            room.pass(Duration::from_millis(40));
            room.join()
        })
        .collect();
    let first = limits::PING_INTERVAL - Duration::from_millis(19 * 40);
    room.pass(first);
    assert!(all.iter().all(|who| room.pings(*who) == 1));
    let next = room.wake().expect("pings go on").at - room.now.instant;
    assert!(next > Duration::from_secs(18), "{next:?}");
}

#[test]
fn a_socket_that_takes_nothing_for_10_seconds_is_closed() {
    let config = Config::default().with_ping_interval(Duration::from_secs(300));
    let mut room = Room::with(config.expect("in range"));
    let (stuck, slow) = (room.join(), room.join());
    room.pass(limits::HELLO_TIMEOUT + SECOND);
    for who in [stuck, slow] {
        room.input(who, |connection| Input::Blocked { connection });
    }
    let wake = room.wake().expect("a deadline");
    assert_eq!((wake.at - room.now.instant, wake.why), (limits::STALL_TIMEOUT, "stalled peer"));
    for _ in 0..5 {
        room.pass(Duration::from_secs(5));
        room.input(slow, |connection| Input::Progress { connection });
        room.input(slow, |connection| Input::Blocked { connection });
    }
    assert_eq!(room.closed(stuck), Some(CloseReason::SlowConsumer));
    assert_eq!(room.closed(slow), None, "slow is not stuck");
    room.input(slow, |connection| Input::Progress { connection });
    room.pass(limits::STALL_TIMEOUT);
    assert_eq!(room.closed(slow), None);
}

#[test]
fn facts_about_strangers_are_ignored() {
    let mut room = Room::new();
    let who = room.join();
    room.leave(who);
    let connection = router_lite::ConnectionId::new(4711);
    for fact in [
        Input::Heard { connection },
        Input::Blocked { connection },
        Input::Progress { connection },
        Input::Closed { connection },
        Input::Frame { connection, frame: bytes::Bytes::from_static(&[0x53, 1, 0, 1, 0x41]) },
        Input::Tick,
    ] {
        room.feed(fact);
    }
    assert_eq!(room.counts().connections, 0);
    assert_eq!(
        room.wake().map(|wake| wake.why),
        Some("handshake timeout"),
        "an outdated deadline is all there is"
    );
    room.pass(Duration::from_secs(60));
    assert_eq!(room.wake(), None, "an empty router sleeps");
}
