//! What the router tells about itself, and to whom.

use std::collections::BTreeMap;

use clasp_wire::Value;
use router_lite::{Config, Origin, exposition::Exposition};

use crate::{
    messages::{event, set, signal, subscribe},
    openmetrics,
    room::Room,
};

fn told_by(room: &Room) -> (BTreeMap<String, f64>, usize) {
    let mut page = Exposition::new();
    room.router.write_metrics(&mut page);
    let text = page.finish();
    (openmetrics::read(&text), text.len())
}

#[test]
fn metrics_are_for_this_machine_unless_the_operator_says_otherwise() {
    for (mut room, strangers) in [(Room::new(), false), (Room::open_to_strangers(), true)] {
        for (origin, allowed) in
            [(Origin::InProcess, true), (Origin::Loopback, true), (Origin::Remote, strangers)]
        {
            let who = room.connect(origin);
            assert_eq!(room.may_read_metrics(who), allowed, "{origin:?}, strangers {strangers}");
            room.input(who, |connection| router_lite::Input::Foreign { connection });
            assert_eq!(room.may_read_metrics(who), strangers, "a page from elsewhere by {origin:?}");
            room.input(who, |connection| router_lite::Input::Closed { connection });
            assert!(!room.may_read_metrics(who), "nobody");
        }
    }
}

#[test]
fn what_happens_is_counted_and_what_there_is_is_shown() {
    let mut room = Room::with(Config::default().with_rate(4).expect("in range"));
    let (a, b) = (room.join(), room.join());
    room.connect(Origin::Remote);
    room.send(b, &subscribe(1, "/**"));
    room.send(a, &set("/p", Value::Int(1)));
    room.send_frame(a, signal(&room.session(b), "offer", "x", "c"));
    room.send_frame(a, signal("00000000-0000-4000-8000-000000000000", "offer", "x", "c"));
    room.hears(a);
    room.hears(b);
    let (before, _) = told_by(&room);
    for n in 0..3 {
        room.send(a, &event("/e", Value::Int(n)));
    }
    room.hears(a);
    room.hears(b);
    let (after, _) = told_by(&room);
    for (key, value) in [
        ("clasp_router_sessions", 2.0),
        ("clasp_router_half_open_connections", 1.0),
        ("clasp_router_subscriptions", 1.0),
        ("clasp_router_params", 1.0),
        ("clasp_router_connections_total", 3.0),
        ("clasp_router_sessions_begun_total", 2.0),
        ("clasp_router_p2p_signals_total{outcome=\"relayed\"}", 1.0),
        ("clasp_router_p2p_signals_total{outcome=\"undelivered\"}", 1.0),
        ("clasp_router_refusals_total{reason=\"unknown_targets\"}", 1.0),
        ("clasp_router_refusals_total{reason=\"rate_limited\"}", 2.0),
        ("clasp_router_refusals_total{reason=\"slow_consumers\"}", 0.0),
        ("clasp_router_outbox_frames", 0.0),
        ("clasp_router_outbox_bytes", 0.0),
    ] {
        assert_eq!(after.get(key), Some(&value), "{key} in {after:#?}");
    }
    let moved = |key: &str| after[key] - before[key];
    assert_eq!(moved("clasp_router_received_frames_total"), 3.0);
    assert!(moved("clasp_router_received_bytes_total") >= 3.0 * 4.0);
    assert_eq!(moved("clasp_router_sent_frames_total"), 2.0, "an event, and one error for the burst");
    assert!(moved("clasp_router_sent_bytes_total") >= 2.0 * 4.0);
    assert!(after["clasp_router_params_bytes"] > 0.0);
}

#[test]
fn how_much_is_told_does_not_depend_on_who_is_there() {
    let mut room = Room::unhurried();
    let (keys, _) = told_by(&room);
    for n in 0..200 {
        let who = room.join();
        room.send(who, &subscribe(1, &format!("/{n}/*")));
        room.send(who, &set(&format!("/{n}/\"\\x"), Value::Int(n)));
    }
    let (later, len) = told_by(&room);
    assert!(keys.keys().eq(later.keys()), "the same samples");
    assert!(len < 8 * 1024, "{len} bytes");
}
