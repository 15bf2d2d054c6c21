//! What a token lets a session from another machine do.

use clasp_wire::{
    Message, Seq, Value,
    message::{Announce, Bundle, Phase, Signal, SignalType},
};
use router_lite::{CloseReason, Input, Origin, Token, TokenScope, TokenTable, limits};

use crate::{
    gestures::gesture,
    messages::{event, param, publish, set, signal, subscribe},
    peers::announce,
    room::{Room, Who},
};

const NOTHING: [&str; 0] = [];

/// The number of a token is its secret.
pub(crate) fn token(number: u8) -> Token {
    Token::new([number; 16])
}

/// Tokens with these scopes, numbered from 1.
pub(crate) fn table(scopes: &[&str]) -> TokenTable {
    let mut table = TokenTable::new();
    for (number, scopes) in (1..).zip(scopes) {
        let scopes = TokenScope::parse_list(scopes).expect("a scope");
        table.insert(&format!("t{number}"), token(number).hash(), &scopes).expect("a token");
    }
    table
}

/// A room that knows these tokens, and a session of each.
fn room<const N: usize>(scopes: [&str; N]) -> (Room, [Who; N]) {
    let mut room = Room::new();
    room.feed(Input::Tokens(table(&scopes)));
    let mut number = 0;
    let sessions = scopes.map(|_| {
        number += 1;
        room.join_with(&token(number))
    });
    for who in sessions {
        room.hears(who);
    }
    (room, sessions)
}

fn signal_at(address: &str) -> Signal<'_> {
    Signal { address, signal: SignalType::Param, datatype: None, access: None, meta: None }
}

/// Every operation on `/at/x`, `/at/…` or a pattern, and whether it was done.
fn tries(room: &mut Room, who: Who) -> Vec<(&'static str, bool)> {
    let members = [set("/at/x", Value::Int(2)), event("/at/x", Value::Int(2))];
    let signals = [signal_at("/at/x")];
    let operations = [
        ("set", set("/at/x", Value::Int(1))),
        ("event", event("/at/x", Value::Int(1))),
        ("stream", publish(SignalType::Stream, "/at/x", Value::Int(1))),
        ("gesture", gesture(Phase::Start, "/at/x", 1, 1)),
        ("bundle", Message::Bundle(Bundle { timestamp_us: None, messages: Seq::items(&members) })),
        ("announce", Message::Announce(Announce { namespace: "/at", signals: Seq::items(&signals) })),
        ("get", Message::Get { address: "/at/x" }),
        ("subscribe", subscribe(1, "/at/x")),
        ("subscribe *", subscribe(2, "/at/*")),
        ("subscribe **", subscribe(3, "/at/**")),
    ];
    let mut done = Vec::new();
    for (name, operation) in operations {
        let answers = room.asks(who, &operation);
        let refused = answers.iter().any(|answer| answer.starts_with("ERROR 301 Insufficient scope for"));
        let rejected = answers.iter().any(|answer| answer.starts_with("ERROR 403 Bundle rejected: insuff"));
        assert!(
            refused || rejected || !answers.iter().any(|answer| answer.starts_with("ERROR")),
            "{answers:?}"
        );
        done.push((name, !refused && !rejected));
    }
    done
}

#[test]
fn each_operation_needs_its_scope() {
    let every =
        ["set", "event", "stream", "gesture", "bundle", "announce", "get", "subscribe", "subscribe *"];
    let reading = ["get", "subscribe", "subscribe *"];
    let single = ["set", "event", "stream", "gesture", "bundle", "announce", "get", "subscribe"];
    for (scopes, may) in [
        ("read:/at/*", &reading[..]),
        ("write:/at/*", &every[..]),
        ("admin:/at/*", &every[..]),
        ("write:/at/x", &single[..]),
        ("read:/at/x", &reading[..2]),
        ("write:/elsewhere/**", &[]),
        ("admin:/at", &[]),
        ("read:/elsewhere,write:/at/x", &single[..]),
    ] {
        let (mut room, [who]) = room([scopes]);
        let done = tries(&mut room, who);
        let wanted: Vec<_> = done.iter().map(|(name, _)| (*name, may.contains(name))).collect();
        assert_eq!(done, wanted, "{scopes}");
        let refused = done.iter().filter(|(_, done)| !done).count();
        assert_eq!(room.router.counters().out_of_scope, refused as u64, "{scopes}");
        assert_eq!(room.closed(who), None);
    }
    let (mut room, [who]) = room(["admin:/**"]);
    assert!(
        tries(&mut room, who).iter().all(|(_, done)| *done),
        "everything everywhere, subscriptions too (D16)"
    );
}

#[test]
fn without_a_token_a_stranger_may_do_none_of_it_and_on_this_machine_none_is_needed() {
    let (mut room, []) = room([]);
    let stranger = room.join_stranger();
    assert!(tries(&mut room, stranger).iter().all(|(_, done)| !done));
    let (mut room, [_]) = self::room(["read:/at/x"]);
    let local = room.connect(Origin::Loopback);
    room.hello_with(local, &token(1).secret());
    assert!(tries(&mut room, local).iter().all(|(_, done)| *done), "a token takes nothing away");
}

#[test]
fn a_refusal_says_what_and_where_and_nothing_is_done() {
    let (mut room, [who]) = room(["read:/at/*"]);
    let local = room.join();
    room.send(local, &subscribe(1, "/**"));
    room.hears(local);
    assert_eq!(
        room.asks(who, &set("/at/x", Value::Int(1))),
        ["ERROR 301 Insufficient scope for write operation @/at/x"]
    );
    assert_eq!(
        room.asks(who, &event("/at/x", Value::Int(1))),
        ["ERROR 301 Insufficient scope for publish operation @/at/x"]
    );
    assert_eq!(
        room.asks(who, &Message::Get { address: "/b" }),
        ["ERROR 301 Insufficient scope for read operation @/b"]
    );
    assert_eq!(
        room.asks(who, &subscribe(7, "/at/**")),
        ["ERROR 301 Insufficient scope for subscription @/at/**"]
    );
    let signals = [signal_at("/at/x"), signal_at("/at/y")];
    let message = Message::Announce(Announce { namespace: "/at", signals: Seq::items(&signals) });
    assert_eq!(room.asks(who, &message), ["ERROR 301 Insufficient scope for write operation @/at/x"]);
    assert_eq!(room.hears(local), NOTHING);
    assert_eq!((room.counts().params, room.counts().signals, room.counts().subscriptions), (0, 0, 1));
}

#[test]
fn a_bundle_with_one_member_out_of_scope_does_nothing_at_all() {
    let (mut room, [who]) = room(["write:/mine/**"]);
    let members =
        [set("/mine/a", Value::Int(1)), event("/mine/b", Value::Int(1)), set("/theirs", Value::Int(1))];
    let bundle = Message::Bundle(Bundle { timestamp_us: None, messages: Seq::items(&members) });
    let refused = ["ERROR 403 Bundle rejected: insufficient scope for SET to /theirs @/theirs"];
    assert_eq!(room.asks(who, &bundle), refused);
    assert_eq!(room.counts().params, 0);
    let bundle = Message::Bundle(Bundle { timestamp_us: None, messages: Seq::items(&members[..2]) });
    assert_eq!(room.asks(who, &bundle), ["ACK r1"]);
}

/// D15: the stock router sends the whole store after WELCOME, whatever the token.
#[test]
fn snapshots_and_results_hold_only_what_may_be_read() {
    let mut room = Room::new();
    room.feed(Input::Tokens(table(&["read:/pub/*", "write:/pub/a,admin:/pub/b/**"])));
    let local = room.join();
    for address in ["/pub/a", "/pub/b/c", "/pub/z", "/secret/key"] {
        room.send(local, &set(address, Value::Int(1)));
        let signals = [signal_at(address)];
        room.send(local, &Message::Announce(Announce { namespace: "/", signals: Seq::items(&signals) }));
    }
    room.hears(local);
    let [reader, other] = [1, 2].map(|number| (room.connect(Origin::Remote), token(number).secret()));
    assert_eq!(room.hello_with(reader.0, &reader.1), ["WELCOME", "SNAPSHOT /pub/a=1 r1 /pub/z=1 r1"]);
    assert_eq!(room.hello_with(other.0, &other.1), ["WELCOME", "SNAPSHOT /pub/a=1 r1 /pub/b/c=1 r1"]);
    assert_eq!(room.asks(reader.0, &subscribe(1, "/pub/*")), ["SNAPSHOT /pub/a=1 r1 /pub/z=1 r1"]);
    assert_eq!(room.asks(other.0, &subscribe(1, "/pub/b/**")), ["SNAPSHOT /pub/b/c=1 r1"]);
    for everything in ["**", "/**"] {
        let query = Message::Query { pattern: everything };
        assert_eq!(room.asks(reader.0, &query), ["RESULT /pub/a /pub/z"]);
        assert_eq!(room.asks(other.0, &query), ["RESULT /pub/a /pub/b/c"]);
        assert_eq!(room.asks(local, &query), ["RESULT /pub/a /pub/b/c /pub/z /secret/key"]);
    }
    assert_eq!(room.asks(reader.0, &Message::Query { pattern: "/secret/*" }), ["RESULT"]);
}

#[test]
fn a_large_store_reaches_a_token_in_pieces_that_hold_only_what_may_be_read() {
    let mut room = Room::unhurried();
    room.feed(Input::Tokens(table(&["read:/pub/**"])));
    let local = room.join();
    let text = "x".repeat(20_000);
    for number in 0..10 {
        room.send(local, &set(&format!("/pub/{number}"), Value::Str(&text)));
        room.send(local, &set(&format!("/pub{number}"), Value::Str(&text)));
    }
    let who = room.connect(Origin::Remote);
    let heard = room.hello_with(who, &token(1).secret());
    let params: Vec<&str> =
        heard.iter().flat_map(|frame| frame.split(' ').filter(|word| word.contains('='))).collect();
    assert!(heard.len() >= 3 && params.len() == 10, "{heard:?}");
    assert!(params.iter().all(|param| param.starts_with("/pub/")), "{params:?}");
}

/// D16: the stock router takes a pattern for an address, and lets `read:/pub/*` subscribe `/pub/**`.
#[test]
fn a_subscription_reaches_no_further_than_a_scope() {
    let (mut room, [reader, admin]) = room(["read:/pub/*,read:/zone5*/**", "admin:/**"]);
    for wider in ["/pub/**", "/**", "/*/*", "/pub*", "/*/a", "/zone*/a", "/pub/*/a", "/zone5*"] {
        let allowed = room.asks(reader, &subscribe(1, wider)).is_empty();
        assert_eq!(allowed, wider == "/zone5*", "{wider}");
    }
    for within in ["/pub/*", "/pub/a", "/pub/a*", "/zone5*/**", "/zone51/x", "/zone5x*/**/y"] {
        assert_eq!(room.asks(reader, &subscribe(1, within)), NOTHING, "{within}");
    }
    assert_eq!(room.asks(admin, &subscribe(1, "/**")), NOTHING);
    room.send(reader, &subscribe(1, "/pub/*"));
    for address in ["/pub/a", "/pub/a/b", "/pub", "/secret"] {
        let local = room.join();
        room.send(local, &set(address, Value::Int(1)));
        room.send(local, &event(address, Value::Int(2)));
    }
    assert_eq!(room.hears(reader), ["SET /pub/a=1 r1", "EVENT /pub/a=2"]);
    assert_eq!(room.hears(admin).len(), 8);
}

#[test]
fn with_a_token_peers_are_met_as_without_one() {
    let (mut room, [who]) = room(["read:/nothing"]);
    let other = room.join_stranger();
    assert_eq!(room.asks(who, &subscribe(1, "/clasp/p2p/announce")), NOTHING);
    let own = format!("/clasp/p2p/signal/{}", room.session(who));
    assert_eq!(room.asks(who, &subscribe(2, &own)), NOTHING);
    room.send_frame(other, announce("x", ""));
    let session = room.session(other);
    room.send_frame(who, signal(&session, "offer", "x", "c"));
    assert_eq!((room.hears(who).len(), room.hears(other).len()), (1, 1));
    let write = room.asks(who, &set("/clasp/p2p/announce", Value::Int(1)));
    assert_eq!(write, ["ERROR 301 Insufficient scope for write operation @/clasp/p2p/announce"]);
}

#[test]
fn not_even_a_token_for_everything_opens_what_is_reserved_for_signals() {
    let (mut room, [who]) = room(["admin:/**"]);
    let other = room.join();
    let theirs = format!("/clasp/p2p/signal/{}", room.session(other));
    let refused = format!("ERROR 301 Insufficient scope for write operation @{theirs}");
    assert_eq!(room.asks(who, &Message::Set(param(&theirs, Value::Int(1)))), [refused]);
    room.send(who, &subscribe(1, "/**"));
    let third = room.join();
    room.send_frame(third, signal(&room.session(other), "offer", "x", "c"));
    assert_eq!((room.hears(who), room.hears(other).len()), (Vec::new(), 1), "a signal is for one session");
}

#[test]
fn a_token_that_is_none_or_unknown_is_refused_and_closed_wherever_it_comes_from() {
    for (origin, text, says) in [
        (Origin::Remote, token(9).secret(), "Invalid token: token not found"),
        (Origin::Loopback, token(9).secret(), "Invalid token: token not found"),
        (Origin::InProcess, token(9).secret(), "Invalid token: token not found"),
        (Origin::Remote, "cpsk_0".to_owned(), "Unrecognized token format"),
        (Origin::Remote, token(1).secret().to_uppercase(), "Unrecognized token format"),
        (Origin::Loopback, "Bearer x".to_owned(), "Unrecognized token format"),
    ] {
        let mut room = Room::new();
        room.feed(Input::Tokens(table(&["admin:/**"])));
        let who = room.connect(origin);
        assert_eq!(room.hello_with(who, &text), [format!("ERROR 300 {says}")], "{text}");
        assert_eq!(room.closed(who), Some(CloseReason::Token));
        assert_eq!((room.counts().sessions, room.router.counters().tokens_refused), (0, 1));
    }
}

#[test]
fn hello_again_without_the_token_is_a_session_without_it() {
    let (mut room, [who]) = room(["write:/at/**"]);
    assert_eq!(room.asks(who, &set("/at/x", Value::Int(1))), ["ACK /at/x r1"]);
    room.send(who, &subscribe(1, "/at/**"));
    room.hears(who);
    assert_eq!(room.hello(who), ["WELCOME", "SNAPSHOT"]);
    let refused = ["ERROR 301 Insufficient scope for write operation @/at/x"];
    assert_eq!(room.asks(who, &set("/at/x", Value::Int(2))), refused);
    room.feed(Input::Tokens(TokenTable::new()));
    assert_eq!(room.closed(who), None, "the token is not its own any more");
    assert_eq!(room.counts().subscriptions, 0);
}

#[test]
fn a_revoked_token_ends_its_sessions_at_once_and_no_others() {
    let (mut room, [gone, changed, kept]) = room(["write:/a/**", "read:/b/**,read:/c", "read:/d"]);
    let (stranger, local) = (room.join_stranger(), room.connect(Origin::Loopback));
    room.hello_with(local, &token(1).secret());
    room.send(gone, &subscribe(1, "/a/**"));
    let mut tokens = table(&["write:/a/**", "read:/b/**", "read:/d"]);
    assert!(tokens.remove("t1").is_some());
    room.feed(Input::Tokens(tokens));
    for who in [gone, changed, local] {
        assert_eq!(room.hears(who).last().map(String::as_str), Some("ERROR 300 Token was revoked"));
        assert_eq!(room.closed(who), Some(CloseReason::Revoked));
    }
    for who in [kept, stranger] {
        assert_eq!((room.closed(who), room.asks(who, &Message::Ping)), (None, vec!["PONG".to_owned()]));
    }
    assert_eq!((room.counts().sessions, room.counts().subscriptions), (2, 0));
    assert_eq!(room.router.counters().tokens_revoked, 3);
    let again = room.connect(Origin::Remote);
    assert_eq!(room.hello_with(again, &token(1).secret()), ["ERROR 300 Invalid token: token not found"]);
    let again = room.connect(Origin::Remote);
    assert_eq!(room.hello_with(again, &token(2).secret())[0], "WELCOME", "with what it allows now");
}

#[test]
fn as_many_tokens_as_may_be_are_all_known() {
    let scopes = vec!["read:/a"; limits::MAX_TOKENS];
    let mut room = Room::new();
    room.feed(Input::Tokens(table(&scopes)));
    for number in 1..=u8::try_from(limits::MAX_TOKENS).expect("few") {
        room.join_with(&token(number));
    }
    assert_eq!(room.counts().sessions, limits::MAX_TOKENS);
}

#[test]
fn metrics_are_for_this_machine_whatever_the_token() {
    let (room, [who]) = room(["admin:/**"]);
    assert!(!room.may_read_metrics(who));
}
