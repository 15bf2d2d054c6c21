//! P2P signalling.

use clasp_wire::{Entry, Message, Seq, Value};
use router_lite::{CloseReason, limits};

use crate::{
    messages::{encode, event, signal, subscribe, subscribe_types},
    room::{Room, Who},
};

const NOTHING: [&str; 0] = [];

/// A P2P announce with a session id of its sender's choice.
pub(crate) fn announce(session: &str, extra: &str) -> Vec<u8> {
    let entries = [
        Entry { key: "session_id", value: Value::Str(session) },
        Entry { key: "p2p_capable", value: Value::Bool(true) },
        Entry { key: "extra", value: Value::Str(extra) },
    ];
    encode(&event("/clasp/p2p/announce", Value::Map(Seq::items(&entries))))
}

fn pair(room: &mut Room) -> (Who, Who) {
    (room.join_stranger(), room.join_stranger())
}

fn send_signal(room: &mut Room, from: Who, to: Who, kind: &str, correlation: &str) {
    let frame = signal(&room.session(to), kind, "somebody else", correlation);
    room.send_frame(from, frame);
}

#[test]
fn a_signal_arrives_once_whatever_its_target_subscribed_to_and_says_who_sent_it() {
    let mut room = Room::new();
    let (a, b) = pair(&mut room);
    let own = format!("/clasp/p2p/signal/{}", room.session(b));
    let patterns = [own.as_str(), "/clasp/p2p/**", "/clasp/p2p/signal/*"];
    for (id, pattern) in patterns.into_iter().enumerate() {
        room.send(b, &subscribe(id as u32, pattern));
    }
    send_signal(&mut room, a, b, "offer", "c");
    let from = room.session(a);
    assert_eq!(room.hears(b), [format!("EVENT {own}={{type:offer sdp:v=0 correlation_id:c from:{from}}}")]);
    assert_eq!(room.hears(a), NOTHING);
}

#[test]
fn nobody_else_hears_a_signal_whatever_they_subscribe_to() {
    let mut room = Room::new();
    let (a, b) = pair(&mut room);
    let own = format!("/clasp/p2p/signal/{}", room.session(b));
    let spies = [room.join(), room.join_stranger()];
    for spy in spies {
        for (id, pattern) in
            ["/**", "/clasp/p2p/**", "/clasp/p2p/signal/*", own.as_str()].into_iter().enumerate()
        {
            room.send(spy, &subscribe(id as u32, pattern));
        }
        room.hears(spy);
    }
    send_signal(&mut room, a, b, "offer", "c");
    for spy in spies {
        assert_eq!(room.hears(spy), NOTHING);
    }
    assert_eq!(room.hears(b).len(), 1);
}

#[test]
fn a_signal_to_nobody_is_answered_404_in_the_stock_routers_words() {
    let mut room = Room::new();
    let (a, b) = pair(&mut room);
    let gone = room.session(b);
    room.leave(b);
    for target in ["nobody", gone.as_str(), &gone.to_uppercase()] {
        room.send_frame(a, signal(target, "offer", "x", "c"));
        assert_eq!(
            room.hears(a),
            [format!("ERROR 404 Target session not found: {target} @/clasp/p2p/signal/{target}")]
        );
    }
    assert_eq!(room.router.counters().unknown_targets, 3);
}

#[test]
fn a_session_may_signal_itself_as_the_stock_keep_alive_does() {
    let mut room = Room::new();
    let who = room.join_stranger();
    let address = format!("/clasp/p2p/signal/{}", room.session(who));
    room.send(who, &event(&address, Value::Null));
    assert_eq!(room.hears(who), [format!("EVENT {address}=Null")]);
    room.leave(who);
    assert_eq!(room.counts().connections, 0);
}

#[test]
fn the_prefix_is_closed_to_set_and_get() {
    let mut room = Room::new();
    let (a, b) = (room.join(), room.join());
    for address in ["/clasp/p2p/announce".to_owned(), format!("/clasp/p2p/signal/{}", room.session(b))] {
        assert_eq!(
            room.asks(a, &crate::messages::set(&address, Value::Int(1))),
            [format!("ERROR 301 Insufficient scope for write operation @{address}")]
        );
        assert_eq!(
            room.asks(a, &Message::Get { address: &address }),
            [format!("ERROR 301 Insufficient scope for read operation @{address}")]
        );
    }
    assert_eq!((room.hears(b), room.counts().params), (vec![], 0));
}

#[test]
fn an_announce_reaches_everybody_who_listens_and_those_who_come_later() {
    let mut room = Room::new();
    let (a, b) = pair(&mut room);
    room.send(a, &subscribe(2, "/clasp/p2p/announce"));
    room.send(b, &subscribe_types(2, "/clasp/p2p/announce", 0x04));
    room.send_frame(a, announce("somebody else", "first"));
    room.send_frame(a, announce("somebody else", "second"));
    let text = |room: &Room, who, extra| {
        let session = room.session(who);
        format!("EVENT /clasp/p2p/announce={{p2p_capable:Bool(true) extra:{extra} session_id:{session}}}")
    };
    assert_eq!(room.hears(b), [text(&room, a, "first"), text(&room, a, "second")], "whatever the type mask");
    assert_eq!(room.hears(a), NOTHING);
    room.send_frame(b, announce("x", "third"));
    let late = room.join_stranger();
    assert_eq!(room.hears(late), NOTHING);
    room.send(late, &subscribe(2, "/clasp/p2p/announce"));
    assert_eq!(room.hears(late), [text(&room, a, "second"), text(&room, b, "third")], "the newest of each");
    room.leave(a);
    room.send(late, &subscribe(3, "/clasp/p2p/**"));
    assert_eq!(room.hears(late), [text(&room, b, "third")], "who has left is not announced");
}

#[test]
fn announces_of_a_full_house_are_replayed_in_pieces() {
    let mut room = Room::with(router_lite::Config::default().with_max_sessions(1000).expect("in range"));
    let big = "x".repeat(1700);
    for _ in 0..600 {
        let who = room.join_stranger();
        room.send_frame(who, announce("x", &big));
    }
    let late = room.join_stranger();
    room.deafen(late);
    room.send(late, &subscribe(1, "/clasp/p2p/announce"));
    assert!(room.counts().queued_frames <= limits::BACKLOG_LOW_WATER_FRAMES);
    room.undeafen(late);
    assert_eq!(room.take(late).len(), 600);
    assert_eq!((room.closed(late), room.counts().backlog), (None, 0));
}

#[test]
fn announces_that_are_no_maps_too_large_or_too_many_are_refused() {
    let mut room = Room::new();
    let (a, b) = pair(&mut room);
    room.send(b, &subscribe(1, "/clasp/p2p/announce"));
    let refused = "ERROR 402 an announce must be a map of at most 2048 bytes @/clasp/p2p/announce";
    assert_eq!(room.asks(a, &event("/clasp/p2p/announce", Value::Int(1))), [refused]);
    room.send_frame(a, announce("x", &"x".repeat(2000)));
    assert_eq!(room.hears(a), [refused]);
    for _ in 0..20 {
        room.send_frame(a, announce("x", ""));
    }
    assert_eq!(room.hears(a), ["ERROR 429 too many announces @/clasp/p2p/announce"]);
    assert_eq!(room.take(b).len(), 10 - 2);
    assert_eq!(room.router.counters().announces_refused, 2 + 12);
}

#[test]
fn when_a_session_ends_its_peers_are_told_once_per_exchange() {
    let mut room = Room::new();
    let (a, b) = pair(&mut room);
    let (c, stranger) = pair(&mut room);
    send_signal(&mut room, a, b, "offer", "ab");
    send_signal(&mut room, b, a, "answer", "ab");
    send_signal(&mut room, a, b, "ice_candidate", "ab");
    send_signal(&mut room, c, a, "offer", "ca");
    send_signal(&mut room, a, c, "offer", "over");
    send_signal(&mut room, c, a, "disconnected", "over");
    for who in [b, c, stranger] {
        room.hears(who);
    }
    let from = room.session(a);
    room.leave(a);
    let told = |room: &Room, who, correlation| {
        let fields =
            format!("type:disconnected from:{from} correlation_id:{correlation} reason:session ended");
        format!("EVENT /clasp/p2p/signal/{}={{{fields}}}", room.session(who))
    };
    assert_eq!(room.hears(b), [told(&room, b, "ab")]);
    assert_eq!(room.hears(c), [told(&room, c, "ca")], "not about the exchange that was over");
    assert_eq!(room.hears(stranger), NOTHING);
    room.leave(b);
    room.leave(c);
    assert_eq!(room.hears(stranger), NOTHING);
}

#[test]
fn hello_again_and_a_slow_end_tell_the_peers_as_well() {
    let mut room = Room::unhurried();
    let (a, b) = pair(&mut room);
    send_signal(&mut room, a, b, "offer", "1");
    room.hears(b);
    room.hello(a);
    assert_eq!(room.hears(b).len(), 1);
    send_signal(&mut room, a, b, "offer", "2");
    room.hears(b);
    room.deafen(a);
    room.input(a, |connection| router_lite::Input::Blocked { connection });
    room.pass(limits::STALL_TIMEOUT);
    assert_eq!(room.closed(a), Some(CloseReason::SlowConsumer));
    assert_eq!(room.hears(b).len(), 1);
}

#[test]
fn a_flood_of_signals_costs_the_signals_and_not_their_targets_session() {
    let mut room = Room::unhurried();
    let (a, b) = pair(&mut room);
    room.deafen(b);
    for n in 0..300 {
        send_signal(&mut room, a, b, "ice_candidate", &n.to_string());
    }
    let target = room.session(b);
    let refused =
        format!("ERROR 503 Buffer overflow: session {target} does not keep up @/clasp/p2p/signal/{target}");
    let replies = room.hears(a);
    assert_eq!(replies.len(), 300 - limits::OUTBOX_FRAMES);
    assert!(replies.iter().all(|reply| *reply == refused), "{}", replies[0]);
    assert_eq!((room.closed(b), room.counts().queued_frames), (None, limits::OUTBOX_FRAMES));
    assert_eq!(room.router.counters().targets_busy, 44);
}

#[test]
fn a_signal_that_grows_too_large_with_its_senders_id_is_refused() {
    let mut room = Room::new();
    let (a, b) = pair(&mut room);
    let address = format!("/clasp/p2p/signal/{}", room.session(b));
    let sdp = "x".repeat(65_300);
    let entries = [
        Entry { key: "type", value: Value::Str("offer") },
        Entry { key: "sdp", value: Value::Str(&sdp) },
        Entry { key: "correlation_id", value: Value::Str("c") },
    ];
    room.send_frame(a, encode(&event(&address, Value::Map(Seq::items(&entries)))));
    assert_eq!(room.take(b).len(), 1, "65 300 bytes of SDP pass, as with the stock router");
    let sdp = "x".repeat(65_400);
    let entries = [entries[0], Entry { key: "sdp", value: Value::Str(&sdp) }, entries[2]];
    room.send_frame(a, encode(&event(&address, Value::Map(Seq::items(&entries)))));
    let reply = room.hears(a);
    assert!(reply[0].starts_with("ERROR 402 cannot be forwarded: "), "{reply:?}");
    assert_eq!(room.hears(b), NOTHING);
}

#[test]
fn odd_addresses_under_the_prefix_are_ordinary_for_those_who_may_do_everything() {
    let mut room = Room::new();
    let (sender, hears) = (room.join(), room.join());
    room.send(hears, &subscribe(1, "/clasp/p2p/**"));
    for address in ["/clasp/p2p/signal/a/b", "/clasp/p2p/signal/", "/clasp/p2p/other"] {
        assert_eq!(room.asks(sender, &event(address, Value::Int(1))), NOTHING);
        assert_eq!(room.hears(hears), [format!("EVENT {address}=1")]);
    }
}
