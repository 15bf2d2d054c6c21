//! What two nodes of a link tell each other through a router, as owned values.

use bytes::Bytes;
use clasp_wire::p2p::RelayFrame;
use clasp_wire::{EncodeError, Seq, Value};

use crate::config::RoutingMode;

/// See [`RelayFrame`], whose fields these are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relayed {
    /// The sender's mode.
    pub routing: RoutingMode,
    /// It asks for a link that the receiver does not know yet.
    pub open: bool,
    /// It wants an answer.
    pub reply: bool,
    /// It has closed all direct connections of the link up to this one.
    pub gone: u32,
    /// All reliable messages up to this one have reached it.
    pub received: u64,
    /// The number of the first of `messages`.
    pub first: u64,
    /// Reliable messages.
    pub messages: Vec<Bytes>,
    /// Stream messages.
    pub streams: Vec<Bytes>,
}

impl Relayed {
    /// Asks for an answer and says nothing else.
    pub(crate) fn question(routing: RoutingMode) -> Self {
        let (messages, streams) = (Vec::new(), Vec::new());
        Self { routing, open: false, reply: true, gone: 0, received: 0, first: 0, messages, streams }
    }

    /// Takes over what a router brought; `None` if its sender has a mode nobody knows.
    pub(crate) fn from_frame(frame: &RelayFrame<'_>) -> Option<Self> {
        let owned = |messages: Seq<'_, Value<'_>>| {
            let bytes = messages.iter().filter_map(|message| match message {
                Value::Bytes(bytes) => Some(Bytes::copy_from_slice(bytes)),
                _ => None, // there are no others
            });
            bytes.collect()
        };
        Some(Self {
            routing: frame.mode.parse().ok()?,
            open: frame.open,
            reply: frame.reply,
            gone: frame.gone,
            received: frame.received,
            first: frame.first,
            messages: owned(frame.messages),
            streams: owned(frame.streams),
        })
    }

    /// The frame that brings this to session `to`.
    pub(crate) fn encode(&self, from: &str, correlation_id: &str, to: &str) -> Result<Vec<u8>, EncodeError> {
        let (messages, streams) = (values(&self.messages), values(&self.streams));
        let frame = RelayFrame {
            from,
            correlation_id,
            mode: self.routing.name(),
            open: self.open,
            reply: self.reply,
            gone: self.gone,
            received: self.received,
            first: self.first,
            messages: Seq::items(&messages),
            streams: Seq::items(&streams),
        };
        let mut out = Vec::new();
        frame.encode_publish(to, &mut out)?;
        Ok(out)
    }
}

fn values(messages: &[Bytes]) -> Vec<Value<'_>> {
    messages.iter().map(|message| Value::Bytes(message)).collect()
}

#[cfg(test)]
mod tests {
    use clasp_wire::Message;
    use clasp_wire::message::Body;

    use super::*;
    use crate::limits::{MAX_CORRELATION_ID_BYTES, MAX_RELAYED_MESSAGE_BYTES, MAX_SESSION_ID_BYTES};

    #[test]
    fn the_largest_message_fits_a_frame_with_the_longest_ids_and_comes_out_as_it_went_in() {
        let sent = Relayed {
            routing: RoutingMode::PreferP2p,
            open: true,
            reply: true,
            gone: u32::MAX,
            received: i64::MAX as u64,
            first: i64::MAX as u64,
            messages: vec![Bytes::from(vec![7; MAX_RELAYED_MESSAGE_BYTES])],
            streams: vec![Bytes::from_static(b"s")],
        };
        let (session, link) = ("s".repeat(MAX_SESSION_ID_BYTES), "c".repeat(MAX_CORRELATION_ID_BYTES));
        let frame = sent.encode(&session, &link, &session).unwrap();
        let Message::Publish(publish) = Message::decode_compact(&frame).unwrap().1 else { panic!() };
        let Body::Value(value) = publish.body else { panic!() };
        let read = RelayFrame::from_value(value).unwrap().unwrap();
        assert_eq!((read.from, read.correlation_id), (session.as_str(), link.as_str()));
        assert_eq!(Relayed::from_frame(&read), Some(sent));
        assert_eq!(Relayed::from_frame(&RelayFrame { mode: "teleport", ..read }), None);
    }
}
