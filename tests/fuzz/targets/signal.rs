//! A payload as a P2P signal or announcement, relayed and read again; text as a candidate.
#![no_main]

use clasp_wire::{
    EncodeError, Message, Value,
    message::{Body, Publish},
    p2p::{
        CandidateInit, P2pSignal, PairFrame, PeerAnnounce, RelayFrame, SealedFrame, SignalBody, encode_signal_with_from, target_session,
    },
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        candidate(text);
    }
    if let Ok(Message::Publish(publish)) = Message::decode_payload(data) {
        relay(&publish);
        if let Body::Value(value) = publish.body {
            signal(value);
            relayed(value);
            sealed(value);
            paired(value);
            announce(value);
        }
    }
});

fn decode(frame: &[u8]) -> Publish<'_> {
    match Message::decode_compact(frame).expect("what we write, we read").1 {
        Message::Publish(publish) => publish,
        other => panic!("{}", other.kind()),
    }
}

fn candidate(text: &str) {
    let Ok(init) = CandidateInit::parse(text) else { return };
    assert!(init.is_end() || init.candidate.starts_with("candidate:"));
    let again = CandidateInit::parse(&init.to_json()).expect("what we write, we read");
    assert_eq!((&again.candidate, &again.username_fragment), (&init.candidate, &init.username_fragment));
    assert!(again.sdp_mid.is_some_and(|mid| !mid.is_empty()) && again.sdp_m_line_index.is_some());
}

fn relay(publish: &Publish<'_>) {
    let mut frame = vec![0xEE];
    let entries = match (encode_signal_with_from(publish, "me", &mut frame), publish.body) {
        (Ok(()), Body::Value(Value::Map(entries))) => entries,
        (
            Err(EncodeError::NotAMap | EncodeError::PayloadTooLarge { .. } | EncodeError::ListTooLong { .. }),
            _,
        ) => {
            return assert_eq!(frame, [0xEE]);
        }
        (other, _) => panic!("{other:?}"),
    };
    let again = decode(&frame[1..]);
    let Body::Value(Value::Map(relayed)) = again.body else { panic!("not a map") };
    let from: Vec<_> = relayed.iter().filter(|entry| entry.key == "from").collect();
    assert_eq!((from.len(), from[0].value), (1, Value::Str("me")));
    assert!(relayed.iter().filter(|e| e.key != "from").eq(entries.iter().filter(|e| e.key != "from")));
    assert_eq!(Publish { body: Body::None, ..again }, Publish { body: Body::None, ..*publish });
}

fn signal(value: Value<'_>) {
    let Ok(signal) = P2pSignal::from_value(value) else { return };
    assert!(!signal.edge || matches!(signal.body, SignalBody::Offer { .. } | SignalBody::Answer { .. }));
    let mut frame = Vec::new();
    if signal.encode_publish("you", &mut frame).is_ok() {
        let again = decode(&frame);
        assert_eq!(target_session(again.address), Some("you"));
        let Body::Value(value) = again.body else { panic!("no value") };
        assert_eq!(P2pSignal::from_value(value), Ok(signal));
    }
}

fn relayed(value: Value<'_>) {
    let Ok(Some(sent)) = RelayFrame::from_value(value) else { return };
    let mut frame = Vec::new();
    // `first` says nothing without messages, and numbers beyond i64 are clipped; these cannot come from the wire.
    let first = if sent.messages.is_empty() { 0 } else { sent.first };
    if sent.encode_publish("you", &mut frame).is_ok() {
        let Body::Value(value) = decode(&frame).body else { panic!("no value") };
        assert_eq!(RelayFrame::from_value(value), Ok(Some(RelayFrame { first, ..sent })));
    }
}

fn sealed(value: Value<'_>) {
    let Ok(Some(sent)) = SealedFrame::from_value(value) else { return };
    let mut frame = Vec::new();
    if sent.encode_publish("you", &mut frame).is_ok() {
        let Body::Value(value) = decode(&frame).body else { panic!("no value") };
        assert_eq!(SealedFrame::from_value(value), Ok(Some(sent)));
    }
}

fn paired(value: Value<'_>) {
    let Ok(Some(sent)) = PairFrame::from_value(value) else { return };
    let mut frame = Vec::new();
    if sent.encode_publish("you", &mut frame).is_ok() {
        let Body::Value(value) = decode(&frame).body else { panic!("no value") };
        assert_eq!(PairFrame::from_value(value), Ok(Some(sent)));
    }
}

fn announce(value: Value<'_>) {
    let Ok(announce) = PeerAnnounce::from_value(value) else { return };
    let mut frame = Vec::new();
    if announce.encode_publish(&mut frame).is_ok() {
        let Body::Value(value) = decode(&frame).body else { panic!("no value") };
        assert_eq!(PeerAnnounce::from_value(value), Ok(announce));
    }
}
