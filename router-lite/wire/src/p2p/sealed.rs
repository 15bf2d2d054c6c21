//! What paired devices say to each other by way of a router that cannot read it.
//!
//! An extension between clasp-edge nodes, as [`RelayFrame`](super::RelayFrame) is, which is what it carries.

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

/// The `type` of this signal.
const KIND: &str = "sealed";

/// A sealed signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedFrame<'a> {
    /// The sender's session.
    pub from: &'a str,
    /// The link it belongs to.
    pub correlation_id: &'a str,
    /// The sender's device id: which key opens it.
    pub device: &'a str,
    /// Never the same twice under one key.
    pub nonce: &'a [u8; 16],
    /// Ciphertext and tag.
    pub sealed: &'a [u8],
}

impl<'a> SealedFrame<'a> {
    /// Reads the value of a PUBLISH to a signal address: `None` if it is a signal of another type.
    ///
    /// # Errors
    /// When it is no signal, or a field is missing or has the wrong type; further fields are ignored.
    pub fn from_value(value: Value<'a>) -> Result<Option<Self>, SignalError> {
        let Value::Map(entries) = value else { return Err(SignalError::NotAMap) };
        let [mut kind, mut from, mut correlation_id, mut device, mut nonce, mut sealed] = [None; 6];
        for entry in entries {
            let place = match entry.key {
                "type" => &mut kind,
                "from" => &mut from,
                "correlation_id" => &mut correlation_id,
                "device" => &mut device,
                "nonce" => &mut nonce,
                "sealed" => &mut sealed,
                _ => continue,
            };
            *place = Some(entry.value);
        }
        if text(kind, "type")? != KIND {
            return Ok(None);
        }
        Ok(Some(Self {
            from: text(from, "from")?,
            correlation_id: text(correlation_id, "correlation_id")?,
            device: text(device, "device")?,
            nonce: bytes(nonce, "nonce")?.try_into().map_err(|_| SignalError::WrongType("nonce"))?,
            sealed: bytes(sealed, "sealed")?,
        }))
    }

    /// Appends the frame that brings this to `to_session`. On an error `out` is left as it was.
    ///
    /// # Errors
    /// When it does not fit a frame.
    pub fn encode_publish(&self, to_session: &str, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let entries = [
            ("type", Value::Str(KIND)),
            ("from", Value::Str(self.from)),
            ("correlation_id", Value::Str(self.correlation_id)),
            ("device", Value::Str(self.device)),
            ("nonce", Value::Bytes(self.nonce)),
            ("sealed", Value::Bytes(self.sealed)),
        ]
        .map(|(key, value)| Entry { key, value });
        let mut address = String::new();
        signal_address(to_session, &mut address);
        encode_event(&address, &entries, out)
    }
}
