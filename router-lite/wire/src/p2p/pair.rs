//! The messages by which two devices are paired (docs/pairing.md).
//!
//! An extension between clasp-edge nodes: five more types of P2P signal, sent only to sessions that announced `pair/1`.

use alloc::{string::String, vec::Vec};

use crate::{
    error::EncodeError,
    p2p::{
        SignalError,
        signal::{bytes, encode_event, text},
        signal_address,
    },
    value::{Entry, Value},
};

/// The most a card's box may be: four times what the largest is.
pub const MAX_PAIR_BOX_BYTES: usize = 1024;

/// A message of a pairing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PairFrame<'a> {
    /// The sender's session.
    pub from: &'a str,
    /// Names the run: 32 hex digits.
    pub correlation_id: &'a str,
    /// What is said.
    pub body: PairBody<'a>,
}

/// What a message of a pairing says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairBody<'a> {
    /// `pair1`: the initiator begins.
    Begin {
        /// The protocol's version.
        version: u32,
        /// What it knows is the secret of a QR code, and not the digits.
        scanned: bool,
        /// Random.
        nonce: &'a [u8; 16],
        /// Its SPAKE2 message.
        pake: &'a [u8; 33],
    },
    /// `pair2`: the responder goes along.
    Reply {
        /// Random.
        nonce: &'a [u8; 16],
        /// Its SPAKE2 message.
        pake: &'a [u8; 33],
    },
    /// `pair3`: the initiator's card, in a box that only who knows the code can have closed.
    InitiatorCard(&'a [u8]),
    /// `pair4`: the responder's.
    ResponderCard(&'a [u8]),
    /// `pair_err`: the run has ended, in one word. Anybody can say so.
    Fault(&'a str),
}

impl<'a> PairFrame<'a> {
    /// Reads the value of a PUBLISH to a signal address: `None` if it is a signal of another type.
    ///
    /// # Errors
    /// When it is no signal, or a field is missing or has the wrong type or length; further fields are ignored.
    pub fn from_value(value: Value<'a>) -> Result<Option<Self>, SignalError> {
        let Value::Map(entries) = value else { return Err(SignalError::NotAMap) };
        let [mut kind, mut from, mut correlation_id, mut version, mut scanned] = [None; 5];
        let [mut nonce, mut pake, mut sealed, mut error] = [None; 4];
        for entry in entries {
            let place = match entry.key {
                "type" => &mut kind,
                "from" => &mut from,
                "correlation_id" => &mut correlation_id,
                "v" => &mut version,
                "scanned" => &mut scanned,
                "nonce" => &mut nonce,
                "pake" => &mut pake,
                "box" => &mut sealed,
                "error" => &mut error,
                _ => continue,
            };
            *place = Some(entry.value);
        }
        let sealed = || {
            let sealed = bytes(sealed, "box")?;
            if sealed.len() > MAX_PAIR_BOX_BYTES { Err(SignalError::WrongType("box")) } else { Ok(sealed) }
        };
        let body = match text(kind, "type")? {
            "pair1" => PairBody::Begin {
                version: number(version, "v")?,
                scanned: flag(scanned, "scanned")?,
                nonce: exactly(nonce, "nonce")?,
                pake: exactly(pake, "pake")?,
            },
            "pair2" => PairBody::Reply { nonce: exactly(nonce, "nonce")?, pake: exactly(pake, "pake")? },
            "pair3" => PairBody::InitiatorCard(sealed()?),
            "pair4" => PairBody::ResponderCard(sealed()?),
            "pair_err" => PairBody::Fault(text(error, "error")?),
            _ => return Ok(None),
        };
        let (from, correlation_id) = (text(from, "from")?, text(correlation_id, "correlation_id")?);
        Ok(Some(Self { from, correlation_id, body }))
    }

    /// Appends the frame that brings this to `to_session`. On an error `out` is left as it was.
    ///
    /// # Errors
    /// When it does not fit a frame.
    pub fn encode_publish(&self, to_session: &str, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let none = ("", Value::Null);
        let (kind, fields) = match self.body {
            PairBody::Begin { version, scanned, nonce, pake } => {
                let version = ("v", Value::Int(version.into()));
                let pake = ("pake", Value::Bytes(pake));
                ("pair1", [version, ("scanned", Value::Bool(scanned)), ("nonce", Value::Bytes(nonce)), pake])
            }
            PairBody::Reply { nonce, pake } => {
                ("pair2", [("nonce", Value::Bytes(nonce)), ("pake", Value::Bytes(pake)), none, none])
            }
            PairBody::InitiatorCard(sealed) => ("pair3", [("box", Value::Bytes(sealed)), none, none, none]),
            PairBody::ResponderCard(sealed) => ("pair4", [("box", Value::Bytes(sealed)), none, none, none]),
            PairBody::Fault(error) => ("pair_err", [("error", Value::Str(error)), none, none, none]),
        };
        let always = [
            ("type", Value::Str(kind)),
            ("from", Value::Str(self.from)),
            ("correlation_id", Value::Str(self.correlation_id)),
        ];
        let fields = always.into_iter().chain(fields).filter(|(key, _)| !key.is_empty());
        let entries: Vec<_> = fields.map(|(key, value)| Entry { key, value }).collect();
        let mut address = String::new();
        signal_address(to_session, &mut address);
        encode_event(&address, &entries, out)
    }
}

fn exactly<'a, const N: usize>(
    value: Option<Value<'a>>,
    field: &'static str,
) -> Result<&'a [u8; N], SignalError> {
    bytes(value, field)?.try_into().map_err(|_| SignalError::WrongType(field))
}

fn number(value: Option<Value<'_>>, field: &'static str) -> Result<u32, SignalError> {
    match value {
        Some(Value::Int(number)) => u32::try_from(number).map_err(|_| SignalError::WrongType(field)),
        Some(_) => Err(SignalError::WrongType(field)),
        None => Err(SignalError::Missing(field)),
    }
}

fn flag(value: Option<Value<'_>>, field: &'static str) -> Result<bool, SignalError> {
    match value {
        Some(Value::Bool(flag)) => Ok(flag),
        Some(_) => Err(SignalError::WrongType(field)),
        None => Err(SignalError::Missing(field)),
    }
}
