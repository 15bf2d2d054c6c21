//! Reads everything a message says. clasp-wire leaves lists in the frame until somebody walks them, clasp-core builds them
//! at once: a fair comparison of decoding has a column in which both have been read to the end.

use clasp_core::{Message as Core, Value as CoreValue};
use clasp_wire::{Message, Value, message::Body};

/// A sum over everything in `message`, which is the same for both libraries.
#[must_use]
pub fn read_ours(message: &Message<'_>) -> u64 {
    match message {
        Message::Hello(hello) => text(hello.name) + text(hello.token) + u64::from(hello.version),
        Message::Set(set) => text(set.address) + value(&set.value),
        Message::Publish(publish) => {
            let body = match publish.body {
                Body::None => 0,
                Body::Value(content) => value(&content),
                Body::Samples(samples) => sum(samples.iter().map(f64::to_bits)),
            };
            sum([text(publish.address), body, publish.timestamp_us.unwrap_or(0)])
        }
        Message::Snapshot { params } => sum(params
            .iter()
            .map(|p| sum([text(p.address), value(&p.value), p.revision, p.writer.map_or(0, text)]))),
        Message::Bundle(bundle) => sum(bundle.messages.iter().map(|member| read_ours(&member))),
        Message::Error(error) => {
            sum([u64::from(error.code), text(error.message), error.address.map_or(0, text)])
        }
        _ => 0,
    }
}

/// See [`read_ours`].
#[must_use]
pub fn read_core(message: &Core) -> u64 {
    match message {
        Core::Hello(hello) => {
            text(&hello.name) + hello.token.as_deref().map_or(0, text) + u64::from(hello.version)
        }
        Core::Set(set) => text(&set.address) + core_value(&set.value),
        Core::Publish(publish) => {
            let samples = publish.samples.iter().flatten().map(|sample| sample.to_bits());
            let body = publish.value.as_ref().map_or_else(|| sum(samples), core_value);
            sum([text(&publish.address), body, publish.timestamp.unwrap_or(0)])
        }
        Core::Snapshot(snapshot) => sum(snapshot.params.iter().map(|p| {
            sum([text(&p.address), core_value(&p.value), p.revision, p.writer.as_deref().map_or(0, text)])
        })),
        Core::Bundle(bundle) => sum(bundle.messages.iter().map(read_core)),
        Core::Error(error) => {
            sum([u64::from(error.code), text(&error.message), error.address.as_deref().map_or(0, text)])
        }
        _ => 0,
    }
}

fn value(value: &Value<'_>) -> u64 {
    match value {
        Value::Null => 0,
        Value::Bool(bool) => u64::from(*bool),
        Value::Int(int) => int.cast_unsigned(),
        Value::Float(float) => float.to_bits(),
        Value::Str(string) => text(string),
        Value::Bytes(bytes) => bytes.len() as u64,
        Value::Array(values) => sum(values.iter().map(|item| self::value(&item))),
        Value::Map(entries) => {
            sum(entries.iter().map(|entry| text(entry.key).wrapping_add(self::value(&entry.value))))
        }
    }
}

fn core_value(value: &CoreValue) -> u64 {
    match value {
        CoreValue::Null => 0,
        CoreValue::Bool(bool) => u64::from(*bool),
        CoreValue::Int(int) => int.cast_unsigned(),
        CoreValue::Float(float) => float.to_bits(),
        CoreValue::String(string) => text(string),
        CoreValue::Bytes(bytes) => bytes.len() as u64,
        CoreValue::Array(values) => sum(values.iter().map(core_value)),
        CoreValue::Map(map) => {
            let mut total = 0;
            for (key, content) in map {
                total = sum([total, text(key), core_value(content)]);
            }
            total
        }
    }
}

/// Length and first byte: that a string is there, not what a hash of it costs.
fn text(text: &str) -> u64 {
    text.len() as u64 + u64::from(text.as_bytes().first().copied().unwrap_or(0))
}

fn sum(parts: impl IntoIterator<Item = u64>) -> u64 {
    parts.into_iter().fold(0, u64::wrapping_add)
}
