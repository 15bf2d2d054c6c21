//! clasp-core's messages as clasp-wire's: built from slices, which live as long as the program.

use clasp_core::{Message as Core, PublishMessage, SetMessage, SignalType, Value as CoreValue};
use clasp_wire::{
    Entry, Message, Seq, Value,
    message::{Body, Bundle, ErrorReply, Features, Hello, Param, Phase, Publish, Set},
};

/// The same message.
pub(crate) fn message(core: &Core) -> Message<'static> {
    match core {
        Core::Hello(hello) => Message::Hello(Hello {
            version: hello.version,
            features: Features::PARAM.with(Features::EVENT).with(Features::STREAM),
            name: text(&hello.name),
            token: "",
        }),
        Core::Set(set) => Message::Set(self::set(set)),
        Core::Publish(publish) => Message::Publish(self::publish(publish)),
        Core::Snapshot(snapshot) => {
            let params = snapshot.params.iter().map(|param| Param {
                address: text(&param.address),
                value: value(&param.value),
                revision: param.revision,
                writer: param.writer.as_deref().map(text),
                timestamp_us: param.timestamp,
            });
            Message::Snapshot { params: list(params) }
        }
        Core::Bundle(bundle) => Message::Bundle(Bundle {
            timestamp_us: bundle.timestamp,
            messages: list(bundle.messages.iter().map(message)),
        }),
        Core::Error(error) => Message::Error(ErrorReply {
            code: error.code,
            message: text(&error.message),
            address: error.address.as_deref().map(text),
            correlation_id: error.correlation_id,
        }),
        other => panic!("no sample is a {other:?}"),
    }
}

fn set(set: &SetMessage) -> Set<'static> {
    Set {
        address: text(&set.address),
        value: value(&set.value),
        revision: set.revision,
        lock: set.lock,
        unlock: set.unlock,
        ttl: None,
    }
}

fn publish(publish: &PublishMessage) -> Publish<'static> {
    let samples = publish.samples.as_ref().map(|samples| Body::Samples(list(samples.iter().copied())));
    let body = publish.value.as_ref().map(|content| Body::Value(value(content)));
    Publish {
        address: text(&publish.address),
        signal: match publish.signal {
            Some(SignalType::Stream) => clasp_wire::message::SignalType::Stream,
            _ => clasp_wire::message::SignalType::Event,
        },
        phase: Phase::Start,
        body: body.or(samples).unwrap_or(Body::None),
        timestamp_us: publish.timestamp,
        id: publish.id,
        rate: publish.rate,
    }
}

fn value(core: &CoreValue) -> Value<'static> {
    match core {
        CoreValue::Null => Value::Null,
        CoreValue::Bool(bool) => Value::Bool(*bool),
        CoreValue::Int(int) => Value::Int(*int),
        CoreValue::Float(float) => Value::Float(*float),
        CoreValue::String(string) => Value::Str(text(string)),
        CoreValue::Bytes(bytes) => Value::Bytes(Vec::leak(bytes.clone())),
        CoreValue::Array(values) => Value::Array(list(values.iter().map(value))),
        CoreValue::Map(map) => {
            // In the map's own order, which is the one clasp-core writes it in.
            let mut entries = Vec::with_capacity(map.len());
            for (key, content) in map {
                entries.push(Entry { key: text(key), value: value(content) });
            }
            Value::Map(Seq::items(Vec::leak(entries)))
        }
    }
}

fn text(text: &str) -> &'static str {
    String::leak(text.to_owned())
}

fn list<T>(items: impl Iterator<Item = T>) -> Seq<'static, T> {
    Seq::items(Vec::leak(items.collect()))
}
