//! What is sent: messages that carry their number, so that receivers can check the order.

use clasp_wire::message::{Body, Phase, Publish, Set, SignalType};
use clasp_wire::{Entry, Message, Seq, Value};

use crate::Outcome;

/// Where SETs and events go.
const ADDRESS: &str = "/bench/room/value";
/// What their receivers subscribe to.
pub(crate) const PATTERN: &str = "/bench/**";

/// Digits of a number in an offer's session description.
const DIGITS: usize = 12;

/// The rest of that description: with it the whole frame has 300 bytes.
const SDP: &str = "v=0 o=- 46117 2 IN IP4 0 s=- t=0 0 a=setup:actpass a=mid:0 m=x";

/// What kind of message is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// SET of an integer, QoS confirm, as the stock Rust client sends it.
    Set,
    /// PUBLISH of an event, a map with one integer, QoS confirm.
    Event,
    /// PUBLISH of a P2P offer to the receiver's signal address.
    Signal,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Set => "SET",
            Self::Event => "event",
            Self::Signal => "P2P signal",
        }
    }
}

/// Makes the frames of one run.
#[derive(Debug)]
pub(crate) struct Traffic {
    kind: Kind,
    address: String,
    from: String,
    correlation_id: String,
}

impl Traffic {
    /// From the session `from` to everybody who subscribed to [`PATTERN`], or, if it is a signal, to the session `to`.
    pub(crate) fn new(kind: Kind, from: &str, to: &str) -> Self {
        let address = match kind {
            Kind::Signal => format!("/clasp/p2p/signal/{to}"),
            _ => ADDRESS.to_owned(),
        };
        let correlation_id = format!("{from}-{to}");
        Self { kind, address, from: from.to_owned(), correlation_id }
    }

    /// The frame with this number.
    pub(crate) fn frame(&self, number: i64) -> Outcome<Vec<u8>> {
        let mut frame = Vec::with_capacity(320);
        match self.kind {
            Kind::Set => Message::Set(Set {
                address: &self.address,
                value: Value::Int(number),
                revision: None,
                lock: false,
                unlock: false,
                ttl: None,
            })
            .encode_into(&mut frame)?,
            Kind::Event => {
                let entries = [Entry { key: "n", value: Value::Int(number) }];
                self.event(&entries).encode_into(&mut frame)?;
            }
            Kind::Signal => {
                let sdp = format!("{number:0DIGITS$} {SDP}");
                let entries = [
                    ("type", "offer"),
                    ("from", self.from.as_str()),
                    ("correlation_id", self.correlation_id.as_str()),
                    ("sdp", sdp.as_str()),
                ]
                .map(|(key, text)| Entry { key, value: Value::Str(text) });
                self.event(&entries).encode_into(&mut frame)?;
            }
        }
        Ok(frame)
    }

    fn event<'a>(&'a self, entries: &'a [Entry<'a>]) -> Message<'a> {
        Message::Publish(Publish {
            address: &self.address,
            signal: SignalType::Event,
            phase: Phase::Start,
            body: Body::Value(Value::Map(Seq::items(entries))),
            timestamp_us: None,
            id: None,
            rate: None,
        })
    }
}

/// What a frame from a router is to a measurement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    /// One of ours, with this number.
    Number(i64),
    /// ERROR: the router did not do something.
    Refusal(String),
    /// ACK, SNAPSHOT and the like.
    Other,
}

/// Looks at a frame that came from a router.
pub(crate) fn look_at(frame: &[u8]) -> Outcome<Seen> {
    Ok(match Message::decode_compact(frame)?.1 {
        Message::Set(Set { value: Value::Int(number), .. }) => Seen::Number(number),
        Message::Publish(Publish { body: Body::Value(value), .. }) => {
            match (value.get("n"), value.get("sdp").and_then(|sdp| sdp.as_str()?.get(..DIGITS))) {
                (Some(Value::Int(number)), _) => Seen::Number(number),
                (_, Some(digits)) => Seen::Number(digits.parse()?),
                _ => Seen::Other,
            }
        }
        Message::Error(error) => Seen::Refusal(format!("ERROR {}: {}", error.code, error.message)),
        _ => Seen::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: &str = "073c6eb8-6a3e-4b5f-9a86-1f3b1d2f664c";

    #[test]
    fn every_kind_carries_its_number() {
        for kind in [Kind::Set, Kind::Event, Kind::Signal] {
            let frame = Traffic::new(kind, SESSION, SESSION).frame(4_711).unwrap();
            assert_eq!(look_at(&frame).unwrap(), Seen::Number(4_711), "{kind:?}");
        }
    }

    #[test]
    fn an_offer_has_300_bytes() {
        assert_eq!(Traffic::new(Kind::Signal, SESSION, SESSION).frame(7).unwrap().len(), 300);
    }

    #[test]
    fn an_error_is_not_taken_for_an_answer() {
        let mut frame = Vec::new();
        let error = clasp_wire::message::ErrorReply {
            code: 429,
            message: "slow down",
            address: None,
            correlation_id: None,
        };
        Message::Error(error).encode_into(&mut frame).unwrap();
        assert_eq!(look_at(&frame).unwrap(), Seen::Refusal("ERROR 429: slow down".to_owned()));
    }
}
