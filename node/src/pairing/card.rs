//! What a device tells the other of itself, and signs.
//!
//! ```text
//! card = public key, 32 | fingerprint, 32 | capabilities, 2 | length of the name, 1 | name, UTF-8
//! sent = card | Ed25519 signature, 64, of "clasp-card-v1" | role, 1 ("I" or "R") | transcript, 32 | card
//! ```

use ed25519_dalek::{Signature, Signer, VerifyingKey};

use super::Me;
use crate::limits::MAX_NAME_BYTES;

const LABEL: &[u8] = b"clasp-card-v1";

/// No capabilities are defined yet.
const CAPABILITIES: u16 = 0;

/// Which side of a run a device is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Initiator,
    Responder,
}

impl Side {
    pub(super) const fn letter(self) -> &'static [u8; 1] {
        match self {
            Self::Initiator => b"I",
            Self::Responder => b"R",
        }
    }
}

/// A device, as it describes itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// Its Ed25519 public key.
    pub public_key: [u8; 32],
    /// The SHA-256 fingerprint of its DTLS certificate.
    pub fingerprint: [u8; 32],
    /// What it can do; no bit has a meaning yet.
    pub capabilities: u16,
    /// What it is called, at most 63 bytes.
    pub name: String,
}

impl Card {
    /// Our card with our signature.
    pub(super) fn signed(me: Me<'_>, side: Side, transcript: &[u8; 32]) -> Vec<u8> {
        let name = me.name.as_bytes(); // a node's name is not longer than MAX_NAME_BYTES
        let mut card = Vec::new();
        card.extend(me.identity.public_key());
        card.extend(me.identity.fingerprint());
        card.extend(CAPABILITIES.to_be_bytes());
        card.push(u8::try_from(name.len()).unwrap_or(0));
        card.extend(name);
        let signature = me.identity.signing_key().sign(&signed_part(side, transcript, &card));
        card.extend(signature.to_bytes());
        card
    }

    /// The card in a box, if its owner has signed it for this run.
    pub(super) fn open(bytes: &[u8], side: Side, transcript: &[u8; 32]) -> Option<Self> {
        let (card, signature) = bytes.split_at_checked(bytes.len().checked_sub(64)?)?;
        let (public_key, rest) = card.split_first_chunk::<32>()?;
        let (fingerprint, rest) = rest.split_first_chunk::<32>()?;
        let (capabilities, rest) = rest.split_first_chunk::<2>()?;
        let (length, name) = rest.split_first()?;
        if name.len() != usize::from(*length) || name.len() > MAX_NAME_BYTES {
            return None;
        }
        let name = std::str::from_utf8(name).ok()?;
        let key = VerifyingKey::from_bytes(public_key).ok()?;
        let signature = Signature::from_slice(signature).ok()?;
        key.verify_strict(&signed_part(side, transcript, card), &signature).ok()?;
        Some(Self {
            public_key: *public_key,
            fingerprint: *fingerprint,
            capabilities: u16::from_be_bytes(*capabilities),
            name: name.to_owned(),
        })
    }
}

fn signed_part(side: Side, transcript: &[u8; 32], card: &[u8]) -> Vec<u8> {
    [LABEL, side.letter(), transcript, card].concat()
}
