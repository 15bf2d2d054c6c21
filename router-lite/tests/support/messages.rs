//! Messages as clients send them, and a short form of what they get; for all test programs.

use clasp_wire::{
    Entry, Message, QoS, Seq, Value,
    message::{Body, Features, Hello, Phase, Publish, Set, SignalType, Subscribe, TypeMask},
};

pub(crate) fn encode(message: &Message<'_>) -> Vec<u8> {
    encode_qos(message.default_qos(), message)
}

pub(crate) fn encode_qos(qos: QoS, message: &Message<'_>) -> Vec<u8> {
    let mut frame = Vec::new();
    message.encode_with_qos(qos, &mut frame).expect("it fits");
    frame
}

pub(crate) fn hello(token: &str) -> Message<'_> {
    Message::Hello(Hello { version: 1, features: Features(0xE0), name: "test", token })
}

pub(crate) fn subscribe(id: u32, pattern: &str) -> Message<'_> {
    subscribe_types(id, pattern, 0xFF)
}

pub(crate) fn subscribe_types(id: u32, pattern: &str, types: u8) -> Message<'_> {
    Message::Subscribe(Subscribe {
        id,
        pattern,
        types: TypeMask(types),
        max_rate: None,
        epsilon: None,
        history: None,
        window: None,
    })
}

pub(crate) fn publish<'a>(signal: SignalType, address: &'a str, value: Value<'a>) -> Message<'a> {
    Message::Publish(Publish {
        address,
        signal,
        phase: Phase::Start,
        body: Body::Value(value),
        timestamp_us: None,
        id: None,
        rate: None,
    })
}

pub(crate) fn event<'a>(address: &'a str, value: Value<'a>) -> Message<'a> {
    publish(SignalType::Event, address, value)
}

pub(crate) fn param<'a>(address: &'a str, value: Value<'a>) -> Set<'a> {
    Set { address, value, revision: None, lock: false, unlock: false, ttl: None }
}

pub(crate) fn set<'a>(address: &'a str, value: Value<'a>) -> Message<'a> {
    Message::Set(param(address, value))
}

/// A P2P signal as its sender writes it, with a `from` of its choice.
pub(crate) fn signal(to: &str, kind: &str, from: &str, correlation: &str) -> Vec<u8> {
    let entries = [
        Entry { key: "type", value: Value::Str(kind) },
        Entry { key: "sdp", value: Value::Str("v=0") },
        Entry { key: "from", value: Value::Str(from) },
        Entry { key: "correlation_id", value: Value::Str(correlation) },
    ];
    let address = format!("/clasp/p2p/signal/{to}");
    encode(&event(&address, Value::Map(Seq::items(&entries))))
}

/// A frame in short: `SET /a=1 r3`, `ERROR 404 no such thing @/a`, …
pub(crate) fn short(frame: &[u8]) -> String {
    let Ok((header, message)) = Message::decode_compact(frame) else {
        return format!("undecodable {frame:x?}");
    };
    assert_eq!(frame[4..].len(), usize::from(header.payload_len), "one frame and nothing else");
    match message {
        Message::Welcome(_) => "WELCOME".to_owned(),
        Message::Pong => "PONG".to_owned(),
        Message::Snapshot { params } => {
            let params = params.iter().map(|p| format!(" {}={} r{}", p.address, plain(&p.value), p.revision));
            format!("SNAPSHOT{}", params.collect::<String>())
        }
        Message::Set(set) => {
            let mut text = format!("SET {}={}", set.address, plain(&set.value));
            text.extend(set.revision.map(|revision| format!(" r{revision}")));
            text.extend(set.lock.then_some(" lock"));
            text.extend(set.unlock.then_some(" unlock"));
            text
        }
        Message::Publish(publish) => {
            let value = match publish.body {
                Body::Value(value) => plain(&value),
                other => format!("{other:?}"),
            };
            let kind = format!("{:?}", publish.signal).to_uppercase();
            let phase = match publish.signal {
                SignalType::Gesture => format!(" {:?}", publish.phase).to_lowercase(),
                _ => String::new(),
            };
            format!("{kind}{phase} {}={value}", publish.address)
        }
        Message::Error(error) => {
            let address = error.address.map(|address| format!(" @{address}")).unwrap_or_default();
            format!("ERROR {} {}{address}", error.code, error.message)
        }
        Message::Ack(ack) => {
            let mut text = "ACK".to_owned();
            text.extend(ack.address.map(|address| format!(" {address}")));
            text.extend(ack.revision.map(|revision| format!(" r{revision}")));
            text
        }
        Message::Result { signals } => {
            format!("RESULT{}", signals.iter().map(|s| format!(" {}", s.address)).collect::<String>())
        }
        other => format!("{other:?}"),
    }
}

fn plain(value: &Value<'_>) -> String {
    match value {
        Value::Int(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Str(text) if text.len() > 60 => format!("{} bytes", text.len()),
        Value::Str(text) => (*text).to_owned(),
        Value::Bytes(bytes) => format!("{} bytes", bytes.len()),
        Value::Map(entries) => {
            let entries = entries.iter().map(|entry| format!("{}:{}", entry.key, plain(&entry.value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(" "))
        }
        other => format!("{other:?}"),
    }
}
