//! The messages between the two ends: a kind, two numbers (little-endian, 8 bytes each), and filling up to the size wanted.
//!
//! | kind | first number | second number |
//! |---|---|---|
//! | 0 bulk | its place, from 0 | – |
//! | 1 end | messages before it | – |
//! | 2 receipt | messages that came in order | their bytes |
//! | 3 echo | when it was sent | – |
//! | 4 echo's reply | the same | when it arrived |

use clasp_wire::message::{Body, Phase, Publish, SignalType};
use clasp_wire::{Message, Value};

use crate::Outcome;

/// Bytes of the kind and the two numbers.
pub const CONTENT_BYTES: usize = 17;

/// Size of every message that is not bulk.
pub const SMALL_BYTES: usize = 64;

/// Where the PUBLISH goes that a message is between CLASP peers.
const ADDRESS: &str = "/bench";

/// What a message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// What kind of message.
    pub kind: Kind,
    /// See the table.
    pub first: u64,
    /// See the table.
    pub second: u64,
}

/// Kinds of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// One of many.
    Bulk = 0,
    /// There are no more.
    End = 1,
    /// What arrived.
    Receipt = 2,
    /// To be returned at once.
    Echo = 3,
    /// Returned.
    Reply = 4,
}

/// How a message is made of its content. Its size is the same either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// The content is the message.
    Raw,
    /// The message is a CLASP frame, a PUBLISH with the content as its value: CLASP peers send nothing else.
    Clasp,
}

impl Framing {
    /// Bytes of a message in front of its content.
    const fn offset(self) -> usize {
        match self {
            Self::Raw => 0,
            // frame header, type, flags, address with its length, kind of body, tag and length of the value
            Self::Clasp => 4 + 1 + 1 + 2 + ADDRESS.len() + 1 + 1 + 2,
        }
    }

    /// A message of `size` bytes.
    ///
    /// # Errors
    /// When the size has no room for the content, or is beyond what a frame holds.
    pub fn blank(self, size: usize) -> Outcome<Vec<u8>> {
        let content = size.checked_sub(self.offset()).filter(|content| *content >= CONTENT_BYTES);
        let content = vec![0x5A; content.ok_or("the message is too small")?];
        if self == Self::Raw {
            return Ok(content);
        }
        let mut frame = Vec::with_capacity(size);
        Message::Publish(Publish {
            address: ADDRESS,
            signal: SignalType::Event,
            phase: Phase::Start,
            body: Body::Value(Value::Bytes(&content)),
            timestamp_us: None,
            id: None,
            rate: None,
        })
        .encode_into(&mut frame)?;
        if frame.len() != size {
            return Err(format!("a frame for {size} bytes has {}", frame.len()).into());
        }
        Ok(frame)
    }

    /// Writes the content into a message made by [`Self::blank`].
    pub fn fill(self, message: &mut [u8], content: Content) {
        let place = message.get_mut(self.offset()..).and_then(<[u8]>::first_chunk_mut::<CONTENT_BYTES>);
        let Some(place) = place else { return };
        let [kind, numbers @ ..] = place;
        *kind = content.kind as u8;
        let (first, second) = numbers.split_at_mut(8);
        first.copy_from_slice(&content.first.to_le_bytes());
        second.copy_from_slice(&content.second.to_le_bytes());
    }

    /// A small message with this content.
    #[must_use]
    pub fn small(self, content: Content) -> Vec<u8> {
        let mut message = self.blank(SMALL_BYTES).unwrap_or_default();
        self.fill(&mut message, content);
        message
    }

    /// What a message says, if it is one of ours.
    #[must_use]
    pub fn read(self, message: &[u8]) -> Option<Content> {
        let [kind, numbers @ ..] = message.get(self.offset()..)?.first_chunk::<CONTENT_BYTES>()?;
        let kind = match kind {
            0 => Kind::Bulk,
            1 => Kind::End,
            2 => Kind::Receipt,
            3 => Kind::Echo,
            4 => Kind::Reply,
            _ => return None,
        };
        let (first, rest) = numbers.split_first_chunk()?;
        let second = rest.first_chunk()?;
        Some(Content { kind, first: u64::from_le_bytes(*first), second: u64::from_le_bytes(*second) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_the_size_asked_for_and_says_what_was_written() {
        let content = Content { kind: Kind::Receipt, first: 7, second: u64::MAX };
        for framing in [Framing::Raw, Framing::Clasp] {
            for size in [SMALL_BYTES, 16 * 1024, 63 * 1024] {
                let mut message = framing.blank(size).unwrap();
                framing.fill(&mut message, content);
                assert_eq!(message.len(), size, "{framing:?}");
                assert_eq!(framing.read(&message), Some(content), "{framing:?} {size}");
            }
            assert!(framing.blank(framing.offset() + CONTENT_BYTES - 1).is_err());
            assert_eq!(framing.read(&[9; SMALL_BYTES]), None);
        }
        assert!(Message::decode(&Framing::Clasp.small(content), &mut Vec::new()).is_ok());
    }
}
