//! Values between the shell and CLASP: what a text means, and how a value is shown. Sans IO.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use clasp_wire::limits::MAX_PAYLOAD_BYTES;
use clasp_wire::message::{Body, SignalType};
use clasp_wire::{Entry, Message, Pattern, Value};
use router_lite::limits::MAX_PARAMS;
use serde_json::{Map, Number, Value as Json, json};

/// What a person means by `text`: JSON where it is JSON, else the text itself.
///
/// # Errors
/// When it is a whole number beyond 64 bits with sign.
pub(super) fn read(text: &str, is_text: bool) -> Result<Json, String> {
    if is_text {
        return Ok(Json::String(text.to_owned()));
    }
    let value = serde_json::from_str(text).unwrap_or_else(|_| Json::String(text.to_owned()));
    check(&value)?;
    Ok(value)
}

fn check(value: &Json) -> Result<(), String> {
    match value {
        Json::Number(number) if number.is_u64() && !number.is_i64() => {
            Err(format!("value: {number} is above {}, the greatest integer of CLASP", i64::MAX))
        }
        Json::Array(items) => items.iter().try_for_each(check),
        Json::Object(entries) => entries.values().try_for_each(check),
        _ => Ok(()),
    }
}

/// Room for the lists of a value: CLASP values borrow theirs.
#[derive(Debug, Default)]
pub(super) struct Room<'a> {
    items: OnceCell<Vec<Value<'a>>>,
    entries: OnceCell<Vec<Entry<'a>>>,
    inner: Vec<Room<'a>>,
}

impl<'a> Room<'a> {
    /// As much as `value` needs.
    pub(super) fn of(value: &Json) -> Self {
        let inner = match value {
            Json::Array(items) => items.iter().map(Self::of).collect(),
            Json::Object(entries) => entries.values().map(Self::of).collect(),
            _ => Vec::new(),
        };
        Self { inner, ..Self::default() }
    }

    /// The value that `json`, for which this room was made, is in CLASP.
    pub(super) fn value(&'a self, json: &'a Json) -> Value<'a> {
        match json {
            Json::Null => Value::Null,
            Json::Bool(is) => Value::Bool(*is),
            Json::Number(number) => match number.as_i64() {
                Some(whole) => Value::Int(whole),
                None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Value::Str(text),
            Json::Array(items) => {
                let values = || self.inner.iter().zip(items).map(|(room, item)| room.value(item)).collect();
                Value::Array(self.items.get_or_init(values).as_slice().into())
            }
            Json::Object(map) => {
                let entry = |(room, (key, item)): (&'a Self, (&'a String, &'a Json))| Entry {
                    key,
                    value: room.value(item),
                };
                let entries = || self.inner.iter().zip(map).map(entry).collect();
                Value::Map(self.entries.get_or_init(entries).as_slice().into())
            }
        }
    }
}

/// A value as JSON. Bytes are `{"bytes": HEX}`; of floats that JSON does not know, the name is told as text.
pub(super) fn to_json(value: Value<'_>) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(is) => is.into(),
        Value::Int(whole) => whole.into(),
        Value::Float(float) => Number::from_f64(float).map_or_else(|| float.to_string().into(), Json::Number),
        Value::Str(text) => text.into(),
        Value::Bytes(bytes) => json!({"bytes": data_encoding::HEXLOWER.encode(bytes)}),
        Value::Array(items) => items.iter().map(to_json).collect(),
        Value::Map(entries) => {
            let entries = entries.iter().map(|entry| (entry.key.to_owned(), to_json(entry.value)));
            Json::Object(entries.collect::<Map<_, _>>())
        }
    }
}

/// A value on a line: text as it is, unless it could do something to the terminal; everything else as JSON.
pub(super) fn shown(value: &Json) -> String {
    match value {
        Json::String(text) if !text.contains(char::is_control) => text.clone(),
        // JSON leaves DEL and the C1 control characters as they are.
        other => other.to_string().chars().fold(String::new(), |mut line, char| {
            if char.is_control() {
                line.push_str(&format!("\\u{:04x}", u32::from(char)));
            } else {
                line.push(char);
            }
            line
        }),
    }
}

/// A value that arrived.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Arrived {
    pub(super) address: String,
    pub(super) value: Json,
    /// `set` for parameters, else the kind of signal.
    pub(super) signal: &'static str,
    pub(super) revision: Option<u64>,
    /// How a parameter is, and no change of it.
    pub(super) is_snapshot: bool,
}

impl Arrived {
    pub(super) fn json(&self) -> Json {
        let mut json = json!({"address": self.address, "value": self.value, "signal": self.signal});
        if let (Some(object), Some(revision)) = (json.as_object_mut(), self.revision) {
            object.insert("revision".to_owned(), revision.into());
        }
        json
    }

    /// Address and value, with a tab between.
    pub(super) fn line(&self) -> String {
        format!("{}\t{}", shown(&Json::String(self.address.clone())), shown(&self.value))
    }
}

/// The values a message brings; a bundle brings those of all that is in it.
pub(super) fn arrived(message: &Message<'_>) -> Vec<Arrived> {
    let param = |address: &str, value, revision, is_snapshot| Arrived {
        address: address.to_owned(),
        value: to_json(value),
        signal: "set",
        revision,
        is_snapshot,
    };
    match message {
        Message::Set(set) => vec![param(set.address, set.value, set.revision, false)],
        Message::Snapshot { params } => {
            params.iter().map(|one| param(one.address, one.value, Some(one.revision), true)).collect()
        }
        Message::Publish(publish) => {
            let value = match publish.body {
                Body::None => Json::Null,
                Body::Value(value) => to_json(value),
                Body::Samples(samples) => {
                    samples.iter().map(|sample| to_json(Value::Float(sample))).collect()
                }
            };
            let signal = match publish.signal {
                SignalType::Param => "param",
                SignalType::Event => "event",
                SignalType::Stream => "stream",
                SignalType::Gesture => "gesture",
                SignalType::Timeline => "timeline",
            };
            vec![Arrived {
                address: publish.address.to_owned(),
                value,
                signal,
                revision: None,
                is_snapshot: false,
            }]
        }
        Message::Bundle(bundle) => bundle.messages.iter().flat_map(|message| arrived(&message)).collect(),
        _ => Vec::new(),
    }
}

/// Chooses what `sub` tells. Routers show a new session all there is, wanted or not, and what a subscription matches once more.
#[derive(Debug)]
pub(super) struct Filter {
    patterns: Vec<Pattern>,
    /// What was told of parameters, of as many as our routers keep. Forgotten when there are more: then some are told twice.
    revisions: BTreeMap<String, u64>,
}

impl Filter {
    pub(super) fn new(patterns: Vec<Pattern>) -> Self {
        Self { patterns, revisions: BTreeMap::new() }
    }

    /// Whether to tell it.
    pub(super) fn accepts(&mut self, one: &Arrived) -> bool {
        if !self.patterns.iter().any(|pattern| pattern.matches(&one.address)) {
            return false;
        }
        let Some(revision) = one.revision else { return true };
        // A change counts even if its revision does not rise: the parameter was forgotten in between.
        if one.is_snapshot && self.revisions.get(&one.address).is_some_and(|told| revision <= *told) {
            return false;
        }
        if self.revisions.len() >= MAX_PARAMS {
            self.revisions.clear();
        }
        self.revisions.insert(one.address.clone(), revision);
        true
    }
}

/// Cuts what is read into lines.
#[derive(Debug, Default)]
pub(super) struct LineCutter(Vec<u8>);

impl LineCutter {
    /// Takes what was read.
    ///
    /// # Errors
    /// When a line is longer than a frame.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.0.extend_from_slice(bytes);
        let longest = self.0.split(|byte| *byte == b'\n').map(<[u8]>::len).max();
        if longest > Some(MAX_PAYLOAD_BYTES) {
            return Err(format!("standard input: a line of more than {MAX_PAYLOAD_BYTES} bytes"));
        }
        Ok(())
    }

    /// The next whole line, or with `is_end` what is left, without the end of the line.
    ///
    /// # Errors
    /// When it is no UTF-8.
    pub(super) fn line(&mut self, is_end: bool) -> Result<Option<String>, String> {
        let taken = match self.0.iter().position(|byte| *byte == b'\n') {
            Some(at) => self.0.drain(..=at).collect(),
            None if is_end && !self.0.is_empty() => std::mem::take(&mut self.0),
            None => return Ok(None),
        };
        let text = String::from_utf8(taken).map_err(|_| "standard input: a line is no UTF-8".to_owned())?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        Ok(Some(text.strip_suffix('\r').unwrap_or(text).to_owned()))
    }
}

#[cfg(test)]
#[path = "values/tests.rs"]
mod tests;
