use super::*;
use crate::clock_for_tests::start;

const MODE: RoutingMode = RoutingMode::PreferP2p;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn message(byte: u8, len: usize) -> Bytes {
    Bytes::from(vec![byte; len])
}

fn poll(relay: &mut Relay, now: Instant, outgoing: &mut Outgoing) -> Option<Load> {
    relay.poll(now, outgoing, false, &mut || true)
}

/// A relay on which the other node was heard, with its first question out of the way.
fn heard(now: Instant, outgoing: &mut Outgoing) -> Relay {
    let mut relay = Relay::new(now, MODE, false);
    relay.heard(now, MODE);
    assert!(poll(&mut relay, now, outgoing).is_some_and(|load| load.reply));
    relay
}

#[test]
fn nothing_is_carried_before_the_other_node_is_heard_and_it_is_asked_every_second() {
    let (now, mut outgoing) = (start(), Outgoing::default());
    outgoing.keep(message(1, 100));
    let mut relay = Relay::new(now, MODE, true);
    for second in 0..5 {
        let at = now + ASK_EVERY * second;
        assert_eq!(relay.wake(at).map(|wake| wake.at), Some(at));
        let load = poll(&mut relay, at, &mut outgoing).expect("a question");
        assert!(load.open && load.reply && load.messages.is_empty(), "{load:?}");
        assert_eq!(poll(&mut relay, at, &mut outgoing), None);
    }
    relay.heard(now, MODE);
    let load = poll(&mut relay, now + ms(4001), &mut outgoing).expect("a message");
    assert_eq!((load.first, load.messages.len(), load.open), (1, 1, false));
}

#[test]
fn both_nodes_must_want_messages_to_go_this_way() {
    use RoutingMode::{P2pOnly, PreferP2p, RelayOnly};
    for (ours, theirs, carries, offers) in [
        (PreferP2p, PreferP2p, true, true),
        (PreferP2p, RelayOnly, true, false),
        (RelayOnly, PreferP2p, true, false),
        (P2pOnly, PreferP2p, false, true),
        (PreferP2p, P2pOnly, false, true),
        (P2pOnly, RelayOnly, false, false),
    ] {
        let (now, mut outgoing) = (start(), Outgoing::default());
        let mut relay = Relay::new(now, ours, false);
        relay.heard(now, theirs);
        outgoing.keep(message(1, 1));
        assert_eq!(relay.streams.push(message(2, 1)), 0);
        let load = poll(&mut relay, now, &mut outgoing).expect("the first question");
        assert_eq!((load.messages.len(), load.streams.len()), (usize::from(carries), usize::from(carries)));
        assert_eq!((relay.carries(), relay.wants_offers()), (carries, offers), "{ours} {theirs}");
    }
}

#[test]
fn small_messages_share_a_frame_large_ones_do_not_and_the_window_is_never_exceeded() {
    let (now, mut outgoing) = (start(), Outgoing::default());
    let mut relay = heard(now, &mut outgoing);
    for _ in 0..20 {
        outgoing.keep(message(1, 1000));
    }
    for _ in 0..6 {
        outgoing.keep(message(2, 20_000));
    }
    let mut loads = Vec::new();
    while let Some(load) = poll(&mut relay, now, &mut outgoing) {
        loads.push((load.first, load.messages.len()));
    }
    assert_eq!(loads, [(1, 16), (17, 4), (21, 1), (22, 1)]);
    assert!(outgoing.given_bytes() <= RELAY_WINDOW_BYTES);
    assert_eq!(outgoing.arrived(20), Ok(true));
    relay.progress(now + ms(10), &outgoing);
    assert_eq!(poll(&mut relay, now + ms(10), &mut outgoing).map(|load| load.first), Some(23));
}

#[test]
fn a_message_larger_than_the_window_goes_alone() {
    let (now, mut outgoing) = (start(), Outgoing::default());
    let mut relay = heard(now, &mut outgoing);
    outgoing.keep(message(1, RELAY_WINDOW_BYTES + 1));
    outgoing.keep(message(2, 1));
    assert_eq!(poll(&mut relay, now, &mut outgoing).map(|load| load.messages.len()), Some(1));
    assert_eq!(poll(&mut relay, now, &mut outgoing), None);
}

#[test]
fn what_is_not_confirmed_is_sent_again_ever_more_slowly_until_there_is_progress() {
    let (now, mut outgoing) = (start(), Outgoing::default());
    let mut relay = heard(now, &mut outgoing);
    (1..=3).for_each(|byte| outgoing.keep(message(byte, 10)));
    let mut sent = Vec::new();
    let mut at = now;
    while at < now + Duration::from_secs(12) {
        if let Some(load) = poll(&mut relay, at, &mut outgoing).filter(|load| !load.messages.is_empty()) {
            sent.push((at - now, load.first, load.messages.len()));
        }
        at += ms(10);
    }
    let want = [(0, 1, 3), (1, 1, 3), (3, 1, 3), (7, 1, 3), (11, 1, 3)];
    assert_eq!(sent, want.map(|(secs, first, count)| (Duration::from_secs(secs), first, count)));
    assert_eq!(outgoing.arrived(2), Ok(true));
    relay.progress(at, &outgoing);
    assert_eq!(poll(&mut relay, at + ms(990), &mut outgoing), None, "as patient as in the beginning");
    let load = poll(&mut relay, at + FIRST_TIMEOUT, &mut outgoing).expect("again");
    assert_eq!((load.first, load.messages), (3, vec![message(3, 10)]));
}

#[test]
fn the_timeout_follows_the_round_trip_and_repeated_messages_do_not_measure_it() {
    let (now, mut outgoing) = (start(), Outgoing::default());
    let mut relay = heard(now, &mut outgoing);
    outgoing.keep(message(1, 10));
    assert!(poll(&mut relay, now, &mut outgoing).is_some());
    assert_eq!(outgoing.arrived(1), Ok(true));
    relay.progress(now + ms(200), &outgoing);
    assert_eq!(relay.timeout, ms(600));
    outgoing.keep(message(2, 10));
    let later = now + Duration::from_secs(1);
    assert!(poll(&mut relay, later, &mut outgoing).is_some());
    assert!(poll(&mut relay, later + ms(600), &mut outgoing).is_some(), "sent again");
    assert_eq!(relay.timeout, ms(1200));
    assert_eq!(outgoing.arrived(2), Ok(true));
    relay.progress(later + ms(610), &outgoing);
    assert_eq!(relay.timeout, SHORTEST_TIMEOUT.max(relay.round_trip.map_or(ms(0), |rtt| rtt * 3)));
}

#[test]
fn without_a_sign_of_the_other_node_it_is_over_and_an_ended_session_hurries_it() {
    let (now, mut outgoing) = (start(), Outgoing::default());
    let relay = heard(now, &mut outgoing);
    assert!(!relay.is_over(now + RELAY_LIMIT - ms(1)) && relay.is_over(now + RELAY_LIMIT));
    let mut left = heard(now, &mut outgoing);
    left.session_ended(now, now);
    assert!(!left.is_over(now + REJOIN - ms(1)) && left.is_over(now + REJOIN));
    left.heard(now + ms(1), MODE);
    assert!(!left.is_over(now + REJOIN), "it came back with another session");
    let mut never = Relay::new(now, MODE, false);
    never.session_ended(now, now);
    assert!(never.is_over(now));
    let mut patient = Relay::new(now, MODE, false);
    patient.session_ended(now, now + ms(7));
    assert!(!patient.is_over(now + ms(6)) && patient.is_over(now + ms(7)));
}

#[test]
fn where_nothing_may_go_this_way_a_living_node_is_not_waited_for_for_ever() {
    let now = start();
    let mut relay = Relay::new(now, RoutingMode::P2pOnly, false);
    for second in 0..60 {
        let at = now + Duration::from_secs(second);
        relay.heard(at, MODE);
        assert!(!relay.is_over(at));
    }
    assert!(relay.is_over(now + NO_PATH_LIMIT));
}

#[test]
fn a_used_up_budget_is_waited_for() {
    let (now, mut outgoing) = (start(), Outgoing::default());
    let mut relay = heard(now, &mut outgoing);
    outgoing.keep(message(1, 10));
    assert_eq!(relay.poll(now, &mut outgoing, false, &mut || false), None);
    let wake = relay.wake(now).expect("one");
    assert_eq!((wake.at, wake.why), (now + BUDGET, "relay budget"));
    assert!(relay.poll(wake.at, &mut outgoing, false, &mut || true).is_some());
    assert_ne!(relay.wake(wake.at).map(|wake| wake.why), Some("relay budget"));
}
