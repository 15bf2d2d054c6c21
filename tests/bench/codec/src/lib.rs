//! Typical CLASP messages in both libraries' types, the same bytes on the wire.
//!
//! Owns: what is measured. Does not own: how. [`samples`] checks that both libraries write the same frame for each
//! message, so that no row compares two different things.

mod ours;
mod read;

use std::collections::HashMap;

use clasp_core::{
    BundleMessage, ErrorMessage, HelloMessage, Message, ParamValue, PublishMessage, SetMessage, SignalType,
    SnapshotMessage, Value,
};

pub use read::{read_core, read_ours};

/// One message in both forms.
#[derive(Debug)]
pub struct Sample {
    /// The row's name.
    pub name: &'static str,
    /// As clasp-core holds it.
    pub core: Message,
    /// As clasp-wire is given it to send: built from slices, not from decoded bytes.
    pub ours: clasp_wire::Message<'static>,
    /// The frame both write.
    pub frame: Vec<u8>,
}

/// A session id, as in every `from` and `writer`.
const SESSION: &str = "073c6eb8-6a3e-4b5f-9a86-1f3b1d2f664c";

/// What a stock peer offers: one data channel section, two candidates.
const SDP: &str = "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
    a=msid-semantic: WMS\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n\
    a=candidate:1 1 udp 2130706431 192.168.1.20 51004 typ host\r\n\
    a=candidate:2 1 udp 2130706431 fe80::1c2b:3aff:fe4d:5e6f 51005 typ host\r\n\
    a=ice-ufrag:Wn3c\r\na=ice-pwd:9Kq0sVd8mQbWc3m7xT1LrJ5y\r\na=ice-options:trickle\r\n\
    a=fingerprint:sha-256 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB:3E:2C:0B:6D:11:9F:6E:77:A1:C2:D3:E4\r\n\
    a=setup:actpass\r\na=mid:0\r\na=sctp-port:5000\r\na=max-message-size:65536\r\n";

/// Every sample.
///
/// # Panics
/// When the two libraries do not write the same bytes for one of them.
#[must_use]
pub fn samples() -> Vec<Sample> {
    let messages = [
        ("HELLO", hello()),
        ("SET f64", set("/lights/kitchen/brightness", Value::Float(0.75))),
        ("SET nested map", set("/lights/kitchen/state", nested())),
        ("PUBLISH event, map", event()),
        ("PUBLISH stream, 64 samples", stream()),
        ("SNAPSHOT, 100 params", snapshot()),
        ("BUNDLE, 10 SETs", bundle()),
        ("P2P offer", offer()),
        ("ERROR 404", error()),
    ];
    messages
        .into_iter()
        .map(|(name, core)| {
            let frame = clasp_core::codec::encode(&core).expect("clasp-core writes it").to_vec();
            let ours = ours::message(&core);
            let mut written = Vec::new();
            ours.encode_into(&mut written).expect("clasp-wire writes it");
            assert_eq!(written, frame, "{name}: two different frames");
            let (_, read) = clasp_wire::Message::decode_compact(&frame).expect("clasp-wire reads it");
            assert_eq!(read, ours, "{name}: not what was written");
            assert_eq!(read_ours(&read), read_core(&core), "{name}: two different contents");
            Sample { name, core, ours, frame }
        })
        .collect()
}

fn hello() -> Message {
    Message::Hello(HelloMessage {
        version: 1,
        name: "Clasp Client".to_owned(),
        features: ["param", "event", "stream"].map(str::to_owned).to_vec(),
        capabilities: None,
        token: None,
    })
}

fn set(address: &str, value: Value) -> Message {
    Message::Set(SetMessage {
        address: address.to_owned(),
        value,
        revision: None,
        lock: false,
        unlock: false,
        ttl: None,
    })
}

fn nested() -> Value {
    let color = map([("r", Value::Float(0.25)), ("g", Value::Float(0.5)), ("b", Value::Float(1.0))]);
    let levels = (0..8).map(|n| Value::Float(f64::from(n) / 8.0)).collect();
    map([
        ("on", Value::Bool(true)),
        ("name", Value::String("kitchen, over the table".to_owned())),
        ("color", color),
        ("levels", Value::Array(levels)),
        ("scene", Value::Int(12)),
    ])
}

fn event() -> Message {
    let value = map([
        ("button", Value::Int(3)),
        ("pressed", Value::Bool(true)),
        ("pressure", Value::Float(0.82)),
        ("source", Value::String("panel-2".to_owned())),
    ]);
    Message::Publish(PublishMessage {
        value: Some(value),
        timestamp: Some(1_794_000_000_000_000),
        ..publish("/panel/2/button", SignalType::Event)
    })
}

fn stream() -> Message {
    Message::Publish(PublishMessage {
        samples: Some((0..64).map(|n| f64::from(n).sin()).collect()),
        rate: Some(1000),
        id: Some(7),
        timestamp: Some(1_794_000_000_000_000),
        ..publish("/sensor/imu/accel", SignalType::Stream)
    })
}

fn snapshot() -> Message {
    let params = (0..100).map(|n| ParamValue {
        address: format!("/lights/zone{}/lamp{n}/brightness", n / 10),
        value: Value::Float(f64::from(n) / 100.0),
        revision: 40 + n as u64,
        writer: Some(SESSION.to_owned()),
        timestamp: Some(1_794_000_000_000_000),
    });
    Message::Snapshot(SnapshotMessage { params: params.collect() })
}

fn bundle() -> Message {
    let messages =
        (0..10).map(|n| set(&format!("/lights/lamp{n}/brightness"), Value::Float(f64::from(n) / 10.0)));
    Message::Bundle(BundleMessage { timestamp: None, messages: messages.collect() })
}

fn offer() -> Message {
    let value = map([
        ("type", Value::String("offer".to_owned())),
        ("from", Value::String(SESSION.to_owned())),
        ("correlation_id", Value::String(format!("{SESSION}-{SESSION}-{SESSION}"))),
        ("sdp", Value::String(SDP.to_owned())),
    ]);
    let address = format!("/clasp/p2p/signal/{SESSION}");
    Message::Publish(PublishMessage { value: Some(value), ..publish(&address, SignalType::Event) })
}

fn error() -> Message {
    Message::Error(ErrorMessage {
        code: 404,
        message: format!("Target session not found: {SESSION}"),
        address: Some(format!("/clasp/p2p/signal/{SESSION}")),
        correlation_id: None,
    })
}

fn publish(address: &str, signal: SignalType) -> PublishMessage {
    PublishMessage {
        address: address.to_owned(),
        signal: Some(signal),
        value: None,
        payload: None,
        samples: None,
        rate: None,
        id: None,
        phase: None,
        timestamp: None,
        timeline: None,
    }
}

fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<HashMap<_, _>>())
}
