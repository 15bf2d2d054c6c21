use std::{format, string::String, vec, vec::Vec};

use super::*;
use crate::{
    error::EncodeError,
    message::{Body, Message, Phase, Publish, SignalType},
    seq::Seq,
    value::{Entry, Value},
};

const FROM: &str = "7c8f30ee-5ae1-4056-9d9c-ca35891e4e63";
const TO: &str = "ad968398-eb8c-4eb7-837f-17e1841014cc";

fn text<'a>(key: &'a str, text: &'a str) -> Entry<'a> {
    Entry { key, value: Value::Str(text) }
}

fn event<'a>(address: &'a str, entries: &'a [Entry<'a>]) -> Publish<'a> {
    Publish {
        address,
        signal: SignalType::Event,
        phase: Phase::Start,
        body: Body::Value(Value::Map(Seq::items(entries))),
        timestamp_us: None,
        id: None,
        rate: None,
    }
}

fn decode(frame: &[u8]) -> Publish<'_> {
    match Message::decode_compact(frame).unwrap().1 {
        Message::Publish(publish) => publish,
        other => panic!("{}", other.kind()),
    }
}

fn value<'a>(publish: &Publish<'a>) -> Value<'a> {
    match publish.body {
        Body::Value(value) => value,
        other => panic!("{other:?}"),
    }
}

const BODIES: [SignalBody<'_>; 6] = [
    SignalBody::Offer { sdp: "v=0\r\n" },
    SignalBody::Answer { sdp: "v=0\r\n" },
    SignalBody::IceCandidate { candidate: "{}" },
    SignalBody::Connected,
    SignalBody::Disconnected { reason: None },
    SignalBody::Disconnected { reason: Some("bye") },
];

#[test]
fn every_signal_reads_back_as_it_was_sent() {
    for body in BODIES {
        for edge in [false, true] {
            let signal = P2pSignal { from: FROM, correlation_id: "c", body, edge };
            let mut frame = vec![];
            signal.encode_publish(TO, &mut frame).unwrap();
            // Flags 41, event without timestamp or id, one value, a map: the shape of the stock client.
            assert_eq!((frame[1], frame[4], frame[5]), (0x41, 0x20, 0x20));
            let publish = decode(&frame);
            assert_eq!(target_session(publish.address), Some(TO));
            let says_edge = edge && matches!(body, SignalBody::Offer { .. } | SignalBody::Answer { .. });
            assert_eq!(P2pSignal::from_value(value(&publish)), Ok(P2pSignal { edge: says_edge, ..signal }));
        }
    }
}

#[test]
fn a_signal_with_a_missing_or_mistyped_field_is_refused_and_the_field_named() {
    let full = [text("type", "offer"), text("from", FROM), text("correlation_id", "c"), text("sdp", "v=0")];
    let read = |entries: &[Entry<'_>]| P2pSignal::from_value(Value::Map(Seq::items(entries))).map(drop);
    assert_eq!(read(&full), Ok(()));
    for (at, field) in ["type", "from", "correlation_id", "sdp"].into_iter().enumerate() {
        let mut entries = full;
        entries[at].value = Value::Int(1);
        assert_eq!(read(&entries), Err(SignalError::WrongType(field)));
        entries[at].key = "other";
        assert_eq!(read(&entries), Err(SignalError::Missing(field)));
    }
    let mut entries = full;
    entries[0] = text("type", "ice-candidate");
    assert_eq!(read(&entries), Err(SignalError::UnknownType));
    assert_eq!(P2pSignal::from_value(Value::Null).map(drop), Err(SignalError::NotAMap));
}

#[test]
fn further_fields_of_any_type_are_ignored() {
    let entries = [
        text("type", "connected"),
        text("from", FROM),
        text("correlation_id", "c"),
        Entry { key: "sdp", value: Value::Int(1) },
        Entry { key: "edge", value: Value::Bool(true) },
        Entry { key: "x", value: Value::Array(Seq::items(&[Value::Null])) },
    ];
    let signal = P2pSignal::from_value(Value::Map(Seq::items(&entries))).unwrap();
    assert_eq!((signal.body, signal.edge), (SignalBody::Connected, false));
}

#[test]
fn a_disconnect_may_leave_its_reason_out_or_null_but_not_mistyped() {
    let read = |reason| {
        let entries = [
            text("type", "disconnected"),
            text("from", FROM),
            text("correlation_id", "c"),
            Entry { key: "reason", value: reason },
        ];
        P2pSignal::from_value(Value::Map(Seq::items(&entries))).map(|signal| format!("{:?}", signal.body))
    };
    assert_eq!(read(Value::Null).unwrap(), "Disconnected { reason: None }");
    assert_eq!(read(Value::Str("bye")).unwrap(), "Disconnected { reason: Some(\"bye\") }");
    assert_eq!(read(Value::Int(1)), Err(SignalError::WrongType("reason")));
}

#[test]
fn an_announcement_reads_back_as_it_was_sent() {
    for name in [None, Some("stage left")] {
        let features = FeatureList::new(&["webrtc", "reliable", "edge/1"]);
        let announce = PeerAnnounce { session_id: FROM, p2p_capable: true, features, name };
        let mut frame = vec![];
        announce.encode_publish(&mut frame).unwrap();
        let publish = decode(&frame);
        assert_eq!(publish.address, ANNOUNCE_ADDRESS);
        assert_eq!(PeerAnnounce::from_value(value(&publish)), Ok(announce));
    }
}

#[test]
fn features_beyond_the_limit_are_dropped_and_mistyped_ones_refused() {
    let read = |features: &[Value<'_>]| {
        let entries = [
            text("session_id", FROM),
            Entry { key: "p2p_capable", value: Value::Bool(true) },
            Entry { key: "features", value: Value::Array(Seq::items(features)) },
            Entry { key: "name", value: Value::Int(7) },
        ];
        PeerAnnounce::from_value(Value::Map(Seq::items(&entries)))
            .map(|a| (a.features.len(), a.name.is_some()))
    };
    assert_eq!(read(&[Value::Str("f"); MAX_FEATURES + 4]), Ok((MAX_FEATURES, false)));
    assert_eq!(read(&[Value::Null]), Err(SignalError::WrongType("features")));
    let bare = [text("session_id", FROM), Entry { key: "p2p_capable", value: Value::Bool(false) }];
    assert!(PeerAnnounce::from_value(Value::Map(Seq::items(&bare))).unwrap().features.is_empty());
}

#[test]
fn a_signal_address_names_exactly_one_session() {
    let mut address = String::new();
    signal_address(TO, &mut address);
    assert_eq!(target_session(&address), Some(TO));
    for other in
        ["/clasp/p2p/signal/", "/clasp/p2p/signal/a/b", "/clasp/p2p/signal", "/x", "/clasp/p2p/signal/a/"]
    {
        assert_eq!(target_session(other), None, "{other}");
    }
}

#[test]
fn candidates_of_every_known_sender_are_read() {
    let line = "candidate:607854466 1 udp 2130706431 192.0.2.2 36620 typ host";
    let bare = line.trim_start_matches("candidate:");
    let texts = [
        format!(r#"{{"candidate":"{line}","sdpMid":"","sdpMLineIndex":0,"usernameFragment":null}}"#),
        format!(r#"{{"candidate":"{line}","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"abcd"}}"#),
        format!(r#"{{"candidate":"{bare}"}}"#),
        format!(r#"{{"candidate":"a={line}","sdpMid":null,"sdpMLineIndex":null,"x":[{{}}]}}"#),
        line.into(),
        format!("a={line}\r\n"),
    ];
    for text in texts {
        assert_eq!(CandidateInit::parse(&text).map(|init| init.candidate), Ok(line.into()), "{text}");
    }
    for end in ["", "null", r#"{"candidate":""}"#, r#"{"candidate":null,"sdpMid":"0"}"#] {
        assert!(CandidateInit::parse(end).unwrap().is_end(), "{end}");
    }
    for bad in
        ["{}", "[]", "7", r#"{"candidate":7}"#, r#"{"candidate":"x","sdpMLineIndex":-1}"#, "udp 1", "{"]
    {
        assert!(CandidateInit::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_candidate_is_written_as_strict_receivers_want_it() {
    let json = CandidateInit::new("1 1 udp 1 192.0.2.2 9 typ host", Some("abcd")).to_json();
    let line = "candidate:1 1 udp 1 192.0.2.2 9 typ host";
    let wanted =
        format!(r#"{{"candidate":"{line}","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"abcd"}}"#);
    assert_eq!(json, wanted);
    let stock = format!(r#"{{"candidate":"{line}","sdpMid":""}}"#);
    let again = CandidateInit::parse(&stock).unwrap().to_json();
    assert_eq!(again, format!(r#"{{"candidate":"{line}","sdpMid":"0","sdpMLineIndex":0}}"#));
}

#[test]
fn signals_serialize_as_flat_json() {
    let body = SignalBody::Offer { sdp: "v=0" };
    let signal = P2pSignal { from: "a", correlation_id: "c", body, edge: true };
    let json = serde_json::to_value(signal).unwrap();
    let wanted = serde_json::json!(
        {"type": "offer", "from": "a", "correlation_id": "c", "sdp": "v=0", "edge": true}
    );
    assert_eq!(json, wanted);
    let announce =
        PeerAnnounce { session_id: "a", p2p_capable: true, features: FeatureList::new(&["x"]), name: None };
    let wanted = serde_json::json!({"session_id": "a", "p2p_capable": true, "features": ["x"]});
    assert_eq!(serde_json::to_value(announce).unwrap(), wanted);
}

/// The `from` texts and the other keys of a relayed signal.
fn relayed(publish: &Publish<'_>) -> (Vec<String>, Vec<String>) {
    let mut frame = vec![0xEE];
    encode_signal_with_from(publish, FROM, &mut frame).unwrap();
    let again = decode(&frame[1..]);
    let tail = (again.timestamp_us, again.id, again.rate, again.phase, again.signal, again.address);
    assert_eq!(
        tail,
        (publish.timestamp_us, publish.id, publish.rate, publish.phase, publish.signal, publish.address)
    );
    let Value::Map(entries) = value(&again) else { panic!("not a map") };
    let (from, others): (Vec<_>, Vec<_>) = entries.iter().partition(|entry| entry.key == "from");
    let from = from.iter().map(|entry| entry.value.as_str().unwrap_or("?").into()).collect();
    (from, others.iter().map(|entry| format!("{}={:?}", entry.key, entry.value)).collect())
}

#[test]
fn a_relayed_signal_has_exactly_one_from_and_it_is_the_senders() {
    let nested = [text("from", "inner"), Entry { key: "n", value: Value::Int(1) }];
    let others = [text("type", "offer"), Entry { key: "x", value: Value::Map(Seq::items(&nested)) }];
    let [kind, inner] = others;
    let kept: Vec<String> = others.iter().map(|entry| format!("{}={:?}", entry.key, entry.value)).collect();
    let claims: [&[Entry<'_>]; 8] = [
        &[kind, inner],
        &[kind, text("from", FROM), inner],
        &[text("from", "somebody else, at length"), kind, inner],
        &[kind, inner, text("from", "")],
        &[text("from", "a"), kind, text("from", FROM), inner],
        &[text("from", FROM), kind, text("from", FROM), inner],
        &[text("from", FROM), kind, text("from", "b"), inner, text("from", FROM)],
        &[kind, Entry { key: "from", value: Value::Map(Seq::items(&nested)) }, inner],
    ];
    for entries in claims {
        let built = Publish {
            timestamp_us: Some(7),
            id: Some(8),
            rate: Some(9),
            ..event("/clasp/p2p/signal/b", entries)
        };
        assert_eq!(relayed(&built), (vec![FROM.into()], kept.clone()));
        // The same as it comes from the wire, where the entries are copied as bytes.
        let mut frame = vec![];
        Message::Publish(built).encode_into(&mut frame).unwrap();
        assert_eq!(relayed(&decode(&frame)), (vec![FROM.into()], kept.clone()));
    }
}

#[test]
fn numbers_are_widened_while_a_signal_is_relayed() {
    let narrow = [0x20, 0x20, 0, 2, b'/', b'a', 1, 0x0B, 0, 1, 0, 1, b'n', 0x02, 0xFF];
    let Message::Publish(publish) = Message::decode_payload(&narrow).unwrap() else {
        panic!("not a PUBLISH")
    };
    assert_eq!(relayed(&publish), (vec![FROM.into()], vec!["n=Int(-1)".into()]));
}

#[test]
fn what_cannot_be_relayed_leaves_the_buffer_alone() {
    let mut out = vec![1, 2, 3];
    let mut publish = event("/a", &[]);
    publish.body = Body::None;
    assert_eq!(encode_signal_with_from(&publish, FROM, &mut out), Err(EncodeError::NotAMap));
    let long = "x".repeat(65_530);
    let entries = [text("type", &long)];
    let error = encode_signal_with_from(&event("/a", &entries), FROM, &mut out).unwrap_err();
    assert!(matches!(error, EncodeError::PayloadTooLarge { .. }), "{error}");
    assert_eq!(out, [1, 2, 3]);
}

#[test]
fn relayed_messages_read_back_as_they_were_sent_and_a_router_puts_the_sender_in() {
    let messages = [Value::Bytes(b"one"), Value::Bytes(&[])];
    let streams = [Value::Bytes(b"sample")];
    let full = RelayFrame {
        from: "forged",
        correlation_id: "link",
        mode: "prefer-p2p",
        open: true,
        reply: true,
        gone: 3,
        received: 7,
        first: 9,
        messages: Seq::items(&messages),
        streams: Seq::items(&streams),
    };
    let bare = RelayFrame {
        open: false,
        reply: false,
        gone: 0,
        received: 0,
        first: 0,
        messages: Seq::empty(),
        streams: Seq::empty(),
        ..full
    };
    for sent in [full, bare] {
        let mut frame = vec![];
        sent.encode_publish(TO, &mut frame).unwrap();
        let mut stamped = vec![];
        encode_signal_with_from(&decode(&frame), FROM, &mut stamped).unwrap();
        let publish = decode(&stamped);
        assert_eq!(target_session(publish.address), Some(TO));
        assert_eq!(RelayFrame::from_value(value(&publish)), Ok(Some(RelayFrame { from: FROM, ..sent })));
        assert_eq!(
            P2pSignal::from_value(value(&publish)),
            Err(SignalError::UnknownType),
            "as a stock peer sees it"
        );
    }
}

#[test]
fn relayed_messages_with_a_wrong_field_are_refused_and_other_signals_left_to_others() {
    let int = |key, number| Entry { key, value: Value::Int(number) };
    let list = [Value::Bytes(b"x"), Value::Str("no bytes")];
    let good =
        [text("type", "relay"), text("from", FROM), text("correlation_id", "c"), text("mode", "p2p-only")];
    let read = |entries: &[Entry<'_>]| {
        RelayFrame::from_value(Value::Map(Seq::items(entries))).map(|read| read.is_some())
    };
    assert_eq!(read(&good), Ok(true));
    assert_eq!(read(&[text("type", "offer")]), Ok(false));
    assert_eq!(read(&good[1..]), Err(SignalError::Missing("type")));
    assert_eq!(read(&good[..3]), Err(SignalError::Missing("mode")));
    let wrong = [
        (int("gone", i64::from(u32::MAX) + 1), "gone"),
        (int("received", -1), "received"),
        (text("first", "1"), "first"),
        (int("open", 1), "open"),
        (text("messages", "x"), "messages"),
        (Entry { key: "streams", value: Value::Array(Seq::items(&list)) }, "streams"),
    ];
    for (entry, field) in wrong {
        let [kind, from, id, mode] = good;
        assert_eq!(read(&[kind, from, id, mode, entry]), Err(SignalError::WrongType(field)));
    }
    assert_eq!(RelayFrame::from_value(Value::Null), Err(SignalError::NotAMap));
}

#[test]
fn a_sealed_signal_reads_back_as_it_was_sent_and_a_router_puts_the_sender_in() {
    let sent = SealedFrame {
        from: "forged",
        correlation_id: "link",
        device: "device",
        nonce: b"0123456789abcdef",
        sealed: b"sealed",
    };
    let mut frame = vec![];
    sent.encode_publish(TO, &mut frame).unwrap();
    let mut stamped = vec![];
    encode_signal_with_from(&decode(&frame), FROM, &mut stamped).unwrap();
    let publish = decode(&stamped);
    assert_eq!(target_session(publish.address), Some(TO));
    assert_eq!(SealedFrame::from_value(value(&publish)), Ok(Some(SealedFrame { from: FROM, ..sent })));
    assert_eq!(RelayFrame::from_value(value(&publish)), Ok(None));
    assert_eq!(
        P2pSignal::from_value(value(&publish)),
        Err(SignalError::UnknownType),
        "as a stock peer sees it"
    );
}

#[test]
fn a_sealed_signal_with_a_wrong_field_is_refused() {
    let bytes = |key, bytes| Entry { key, value: Value::Bytes(bytes) };
    let good = [
        text("type", "sealed"),
        text("from", FROM),
        text("correlation_id", "c"),
        text("device", "d"),
        bytes("nonce", &[0; 16]),
        bytes("sealed", &[]),
    ];
    let read = |entries: &[Entry<'_>]| {
        SealedFrame::from_value(Value::Map(Seq::items(entries))).map(|read| read.is_some())
    };
    assert_eq!(read(&good), Ok(true));
    for missing in 0..good.len() {
        let without: Vec<_> = good.iter().filter(|entry| entry.key != good[missing].key).copied().collect();
        assert_eq!(read(&without), Err(SignalError::Missing(good[missing].key)));
    }
    let wrong = [
        bytes("nonce", &[0; 15]),
        bytes("nonce", &[0; 17]),
        text("nonce", "x"),
        text("sealed", "x"),
        bytes("device", &[]),
    ];
    for entry in wrong {
        let entries: Vec<_> = good.iter().copied().chain([entry]).collect(); // the last one counts
        assert_eq!(read(&entries), Err(SignalError::WrongType(entry.key)));
    }
}

#[test]
fn the_messages_of_a_pairing_read_back_as_they_were_sent() {
    let (nonce, pake) = (&[7; 16], &[8; 33]);
    for body in [
        PairBody::Begin { version: 1, scanned: true, nonce, pake },
        PairBody::Reply { nonce, pake },
        PairBody::InitiatorCard(&[1; MAX_PAIR_BOX_BYTES]),
        PairBody::ResponderCard(b""),
        PairBody::Fault("busy"),
    ] {
        let sent = PairFrame { from: "forged", correlation_id: "run", body };
        let mut frame = vec![];
        sent.encode_publish(TO, &mut frame).unwrap();
        let mut stamped = vec![];
        encode_signal_with_from(&decode(&frame), FROM, &mut stamped).unwrap();
        let publish = decode(&stamped);
        assert_eq!(target_session(publish.address), Some(TO));
        assert_eq!(PairFrame::from_value(value(&publish)), Ok(Some(PairFrame { from: FROM, ..sent })));
        assert_eq!(SealedFrame::from_value(value(&publish)), Ok(None));
        assert_eq!(P2pSignal::from_value(value(&publish)), Err(SignalError::UnknownType), "to a stock peer");
    }
}

#[test]
fn a_message_of_a_pairing_with_a_wrong_field_is_refused() {
    let bytes = |key, bytes| Entry { key, value: Value::Bytes(bytes) };
    let flag = |key, flag| Entry { key, value: Value::Bool(flag) };
    let int = |key, int| Entry { key, value: Value::Int(int) };
    let head = [text("from", FROM), text("correlation_id", "c")];
    let read = |fields: &[Entry<'_>]| {
        let entries: Vec<_> = head.iter().chain(fields).copied().collect();
        PairFrame::from_value(Value::Map(Seq::items(&entries))).map(|read| read.is_some())
    };
    let good = [
        text("type", "pair1"),
        int("v", 1),
        flag("scanned", false),
        bytes("nonce", &[0; 16]),
        bytes("pake", &[0; 33]),
    ];
    assert_eq!(read(&good), Ok(true));
    assert_eq!(read(&[text("type", "pair5")]), Ok(false));
    for missing in &good {
        let without: Vec<_> = good.iter().filter(|entry| entry.key != missing.key).copied().collect();
        assert_eq!(read(&without), Err(SignalError::Missing(missing.key)));
    }
    for wrong in
        [int("v", -1), text("v", "1"), int("scanned", 1), bytes("nonce", &[0; 15]), bytes("pake", &[0; 34])]
    {
        let entries: Vec<_> = good.iter().copied().chain([wrong]).collect();
        assert_eq!(read(&entries), Err(SignalError::WrongType(wrong.key)));
    }
    let long = Entry { key: "box", value: Value::Bytes(&[0; MAX_PAIR_BOX_BYTES + 1]) };
    for kind in ["pair3", "pair4"] {
        assert_eq!(read(&[text("type", kind), long]), Err(SignalError::WrongType("box")));
        assert_eq!(read(&[text("type", kind)]), Err(SignalError::Missing("box")));
    }
    assert_eq!(read(&[text("type", "pair_err")]), Err(SignalError::Missing("error")));
}
