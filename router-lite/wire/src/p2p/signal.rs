//! Offer, answer, candidate, connected, disconnected.

use alloc::{string::String, vec::Vec};

use serde::Serialize;

use crate::{
    error::EncodeError,
    message::{Body, Message, Phase, Publish, SignalType},
    p2p::{SignalError, signal_address},
    seq::Seq,
    value::{Entry, Value},
};

/// One signal between two peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct P2pSignal<'a> {
    /// The sender's session.
    pub from: &'a str,
    /// Ties the signals of one connection attempt together.
    pub correlation_id: &'a str,
    /// What is said.
    #[serde(flatten)]
    pub body: SignalBody<'a>,
    /// In an offer or answer: the sender speaks our extensions. Stock peers never say so and ignore it.
    pub edge: bool,
}

/// What a signal says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SignalBody<'a> {
    /// Opens a connection.
    Offer {
        /// The session description.
        sdp: &'a str,
    },
    /// Accepts an offer, with the offer's correlation id.
    Answer {
        /// The session description.
        sdp: &'a str,
    },
    /// One more place where the sender can be reached.
    IceCandidate {
        /// JSON text, see [`crate::p2p::CandidateInit`].
        candidate: &'a str,
    },
    /// The sender's reliable channel is open.
    Connected,
    /// The sender has closed the connection, or will not open it.
    Disconnected {
        /// Why, for people.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'a str>,
    },
}

impl<'a> P2pSignal<'a> {
    /// Reads the value of a PUBLISH to a signal address. Strict as the stock client: one of the five types, every
    /// field it needs, every field a string; further fields are ignored.
    pub fn from_value(value: Value<'a>) -> Result<Self, SignalError> {
        let Value::Map(entries) = value else { return Err(SignalError::NotAMap) };
        let [mut kind, mut from, mut correlation_id, mut sdp, mut candidate, mut reason, mut edge] =
            [None; 7];
        for entry in entries {
            let place = match entry.key {
                "type" => &mut kind,
                "from" => &mut from,
                "correlation_id" => &mut correlation_id,
                "sdp" => &mut sdp,
                "candidate" => &mut candidate,
                "reason" => &mut reason,
                "edge" => &mut edge,
                _ => continue,
            };
            *place = Some(entry.value);
        }
        let edge = edge == Some(Value::Str("1"));
        let (body, edge) = match text(kind, "type")? {
            "offer" => (SignalBody::Offer { sdp: text(sdp, "sdp")? }, edge),
            "answer" => (SignalBody::Answer { sdp: text(sdp, "sdp")? }, edge),
            "ice_candidate" => (SignalBody::IceCandidate { candidate: text(candidate, "candidate")? }, false),
            "connected" => (SignalBody::Connected, false),
            "disconnected" => {
                let reason = match reason {
                    None | Some(Value::Null) => None,
                    some => Some(text(some, "reason")?),
                };
                (SignalBody::Disconnected { reason }, false)
            }
            _ => return Err(SignalError::UnknownType),
        };
        let (from, correlation_id) = (text(from, "from")?, text(correlation_id, "correlation_id")?);
        Ok(Self { from, correlation_id, body, edge })
    }

    /// Appends the frame that brings this signal to `to_session`, in the stock client's shape. On an error `out` is
    /// left as it was.
    pub fn encode_publish(&self, to_session: &str, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let (kind, content) = match self.body {
            SignalBody::Offer { sdp } => ("offer", Some(("sdp", sdp))),
            SignalBody::Answer { sdp } => ("answer", Some(("sdp", sdp))),
            SignalBody::IceCandidate { candidate } => ("ice_candidate", Some(("candidate", candidate))),
            SignalBody::Connected => ("connected", None),
            SignalBody::Disconnected { reason } => ("disconnected", reason.map(|reason| ("reason", reason))),
        };
        let says_edge =
            self.edge && matches!(self.body, SignalBody::Offer { .. } | SignalBody::Answer { .. });
        let edge = if says_edge { Some(("edge", "1")) } else { None };
        let always = [("type", kind), ("from", self.from), ("correlation_id", self.correlation_id)];
        let mut entries = [Entry { key: "", value: Value::Null }; 5];
        let mut len = 0;
        for (place, (key, text)) in entries.iter_mut().zip(always.into_iter().chain(content).chain(edge)) {
            *place = Entry { key, value: Value::Str(text) };
            len += 1;
        }
        let mut address = String::new();
        signal_address(to_session, &mut address);
        encode_event(&address, entries.get(..len).unwrap_or_default(), out)
    }
}

/// A field that must be there and must be text.
pub(super) fn text<'a>(value: Option<Value<'a>>, field: &'static str) -> Result<&'a str, SignalError> {
    match value {
        Some(Value::Str(text)) => Ok(text),
        Some(_) => Err(SignalError::WrongType(field)),
        None => Err(SignalError::Missing(field)),
    }
}

/// A field that must be there and must be bytes.
pub(super) fn bytes<'a>(value: Option<Value<'a>>, field: &'static str) -> Result<&'a [u8], SignalError> {
    match value {
        Some(Value::Bytes(bytes)) => Ok(bytes),
        Some(_) => Err(SignalError::WrongType(field)),
        None => Err(SignalError::Missing(field)),
    }
}

/// PUBLISH, event, no timestamp, no id, a map: how stock clients signal.
pub(super) fn encode_event(
    address: &str,
    entries: &[Entry<'_>],
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    Message::Publish(Publish {
        address,
        signal: SignalType::Event,
        phase: Phase::Start,
        body: Body::Value(Value::Map(Seq::items(entries))),
        timestamp_us: None,
        id: None,
        rate: None,
    })
    .encode_into(out)
}
