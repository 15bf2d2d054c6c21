//! Application messages that take the way through the router because no direct path is open.
//!
//! An extension between clasp-edge nodes: it travels as one more type of P2P signal, which routers pass on as any other and
//! stock peers, who are never sent one, ignore.

use alloc::{string::String, vec::Vec};

use crate::{
    error::EncodeError,
    p2p::{
        SignalError,
        signal::{encode_event, text},
        signal_address,
    },
    seq::Seq,
    value::{Entry, Value},
};

/// The `type` of this signal.
const KIND: &str = "relay";

/// What one node of a link has to say to the other by way of the router.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RelayFrame<'a> {
    /// The sender's session.
    pub from: &'a str,
    /// The link: the correlation id of its first attempt.
    pub correlation_id: &'a str,
    /// The sender's routing mode: `prefer-p2p`, `p2p-only` or `relay-only`.
    pub mode: &'a str,
    /// The sender knows of no such link yet at the other end: it asks for one.
    pub open: bool,
    /// The sender wants an answer.
    pub reply: bool,
    /// Direct connections of this link are numbered from 1; the sender has closed all up to this one.
    pub gone: u32,
    /// All reliable messages up to this number have arrived.
    pub received: u64,
    /// The number of the first of `messages`; reliable messages of a link are numbered from 1 in each direction.
    pub first: u64,
    /// Reliable messages, each [`Value::Bytes`].
    pub messages: Seq<'a, Value<'a>>,
    /// Stream messages, each [`Value::Bytes`].
    pub streams: Seq<'a, Value<'a>>,
}

impl<'a> RelayFrame<'a> {
    /// Reads the value of a PUBLISH to a signal address: `None` if it is a signal of another type.
    ///
    /// # Errors
    /// When it is no signal, or a field is missing or has the wrong type; further fields are ignored.
    pub fn from_value(value: Value<'a>) -> Result<Option<Self>, SignalError> {
        let Value::Map(entries) = value else { return Err(SignalError::NotAMap) };
        let mut kind = None;
        let [mut from, mut correlation_id, mut mode] = [None; 3];
        let [mut open, mut reply, mut gone, mut received, mut first] = [None; 5];
        let [mut messages, mut streams] = [None; 2];
        for entry in entries {
            let place = match entry.key {
                "type" => &mut kind,
                "from" => &mut from,
                "correlation_id" => &mut correlation_id,
                "mode" => &mut mode,
                "open" => &mut open,
                "reply" => &mut reply,
                "gone" => &mut gone,
                "received" => &mut received,
                "first" => &mut first,
                "messages" => &mut messages,
                "streams" => &mut streams,
                _ => continue,
            };
            *place = Some(entry.value);
        }
        if text(kind, "type")? != KIND {
            return Ok(None);
        }
        let gone = u32::try_from(number(gone, "gone")?).map_err(|_| SignalError::WrongType("gone"))?;
        Ok(Some(Self {
            from: text(from, "from")?,
            correlation_id: text(correlation_id, "correlation_id")?,
            mode: text(mode, "mode")?,
            open: flag(open, "open")?,
            reply: flag(reply, "reply")?,
            gone,
            received: number(received, "received")?,
            first: number(first, "first")?,
            messages: frames(messages, "messages")?,
            streams: frames(streams, "streams")?,
        }))
    }

    /// Appends the frame that brings this to `to_session`. On an error `out` is left as it was.
    ///
    /// # Errors
    /// When it does not fit a frame.
    pub fn encode_publish(&self, to_session: &str, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let int = |number: u64| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
        let always = [
            ("type", Value::Str(KIND)),
            ("from", Value::Str(self.from)),
            ("correlation_id", Value::Str(self.correlation_id)),
            ("mode", Value::Str(self.mode)),
            ("gone", int(self.gone.into())),
            ("received", int(self.received)),
        ];
        let sometimes = [
            self.open.then_some(("open", Value::Bool(true))),
            self.reply.then_some(("reply", Value::Bool(true))),
            (!self.messages.is_empty()).then(|| ("first", int(self.first))),
            (!self.messages.is_empty()).then_some(("messages", Value::Array(self.messages))),
            (!self.streams.is_empty()).then_some(("streams", Value::Array(self.streams))),
        ];
        let mut entries = [Entry { key: "", value: Value::Null }; 11];
        let mut len = 0;
        for (place, (key, value)) in
            entries.iter_mut().zip(always.into_iter().chain(sometimes.into_iter().flatten()))
        {
            *place = Entry { key, value };
            len += 1;
        }
        let mut address = String::new();
        signal_address(to_session, &mut address);
        encode_event(&address, entries.get(..len).unwrap_or_default(), out)
    }
}

/// Absent is no.
fn flag(value: Option<Value<'_>>, field: &'static str) -> Result<bool, SignalError> {
    match value {
        None => Ok(false),
        Some(Value::Bool(flag)) => Ok(flag),
        Some(_) => Err(SignalError::WrongType(field)),
    }
}

/// Absent is 0.
fn number(value: Option<Value<'_>>, field: &'static str) -> Result<u64, SignalError> {
    match value {
        None => Ok(0),
        Some(Value::Int(number)) => u64::try_from(number).map_err(|_| SignalError::WrongType(field)),
        Some(_) => Err(SignalError::WrongType(field)),
    }
}

/// Absent is none.
fn frames<'a>(value: Option<Value<'a>>, field: &'static str) -> Result<Seq<'a, Value<'a>>, SignalError> {
    match value {
        None => Ok(Seq::empty()),
        Some(Value::Array(items)) if items.iter().all(|item| matches!(item, Value::Bytes(_))) => Ok(items),
        Some(_) => Err(SignalError::WrongType(field)),
    }
}
