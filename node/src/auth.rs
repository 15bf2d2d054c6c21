//! Descriptions that only a paired device can have written: the line `a=x-clasp-auth` in the session part of an offer or answer.
//!
//! ```text
//! a=x-clasp-auth:1 <device id of the sender> <nonce, 32 hex digits> <tag, 64 hex digits>
//! ```
//!
//! The tag is HMAC-SHA-256 under the pair's key over a label, what the description is, both device ids, the nonce, in answers the tag of
//! the offer they answer, and the SHA-256 of the description without the line; each part with its length in front. Peers that do not know
//! the line ignore it (RFC 8866 §5.13).
//!
//! A nonce is a random number of the sender's process and a counter: so a replayed description is told from a new one with a few bytes for
//! each process, for as long as that process is remembered.

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::identity::DeviceId;
use crate::limits::MAX_AUTH_EPOCHS;
use crate::pairs::PairKey;

const LINE: &str = "a=x-clasp-auth:";
const VERSION: &str = "1";
const LABEL: &[u8] = b"clasp-auth-v1";

/// Proves that a description is the pair's.
pub(crate) type Tag = [u8; 32];

/// What a description is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind<'a> {
    Offer,
    /// To the offer with this tag.
    Answer(&'a Tag),
}

/// Who says it to whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parties<'a> {
    pub(crate) from: DeviceId,
    pub(crate) to: DeviceId,
    pub(crate) key: &'a PairKey,
}

/// The numbers a process gives its descriptions. Never the same twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Nonce {
    /// Random for each process.
    pub(crate) epoch: u64,
    pub(crate) count: u64,
}

impl Nonce {
    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Self {
        let both = u128::from_be_bytes(bytes);
        Self { epoch: (both >> 64) as u64, count: both as u64 }
    }

    pub(crate) fn bytes(self) -> [u8; 16] {
        (u128::from(self.epoch) << 64 | u128::from(self.count)).to_be_bytes()
    }
}

/// The line of a description, believed by nobody yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) from: DeviceId,
    nonce: Nonce,
    tag: Tag,
    /// The description without the line.
    digest: [u8; 32],
}

/// Why a description is not taken for a paired device's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AuthError {
    #[error("unreadable proof of identity")]
    Unreadable,
    #[error("its proof of identity is wrong")]
    Wrong,
    #[error("its proof of identity has been used before")]
    Replayed,
}

/// Puts the line into a description, and returns it with its tag.
pub(crate) fn sign(sdp: &str, kind: Kind<'_>, parties: Parties<'_>, nonce: Nonce) -> (String, Tag) {
    let tag: Tag = mac(kind, parties, nonce, &Sha256::digest(sdp).into()).finalize().into_bytes().into();
    let (session, media) = sdp.split_at(sdp.find("m=").unwrap_or(sdp.len()));
    let Nonce { epoch, count } = nonce;
    let line = format!("{LINE}{VERSION} {} {epoch:016x}{count:016x} {}", parties.from, HEXLOWER.encode(&tag));
    (format!("{session}{line}\r\n{media}"), tag)
}

/// The claim in a description, if it makes one.
pub(crate) fn claim(sdp: &str) -> Result<Option<Claim>, AuthError> {
    let mut lines = sdp.match_indices(LINE).filter(|(at, _)| *at == 0 || sdp[..*at].ends_with('\n'));
    let Some((at, _)) = lines.next() else { return Ok(None) };
    if lines.next().is_some() {
        return Err(AuthError::Unreadable); // which of them would it be
    }
    let (before, rest) = sdp.split_at(at);
    let (line, after) = rest.split_once("\r\n").ok_or(AuthError::Unreadable)?;
    let mut parts = line[LINE.len()..].split(' ');
    let (Some(VERSION), Some(from), Some(nonce), Some(tag), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(AuthError::Unreadable);
    };
    let from = from.parse().map_err(|_| AuthError::Unreadable)?;
    let nonce = Nonce::from_bytes(unhex(nonce).ok_or(AuthError::Unreadable)?);
    let tag = unhex(tag).ok_or(AuthError::Unreadable)?;
    let digest = Sha256::new().chain_update(before).chain_update(after).finalize().into();
    Ok(Some(Claim { from, nonce, tag, digest }))
}

impl Claim {
    /// Checks the claim, and returns its tag.
    pub(crate) fn check(
        &self,
        kind: Kind<'_>,
        parties: Parties<'_>,
        seen: &mut SeenNonces,
    ) -> Result<Tag, AuthError> {
        let mac = mac(kind, parties, self.nonce, &self.digest);
        if self.from != parties.from || mac.verify_slice(&self.tag).is_err() {
            return Err(AuthError::Wrong);
        }
        // Only what the pair itself has said is remembered.
        if seen.note(self.nonce) { Ok(self.tag) } else { Err(AuthError::Replayed) }
    }
}

fn mac(kind: Kind<'_>, parties: Parties<'_>, nonce: Nonce, digest: &[u8; 32]) -> Hmac<Sha256> {
    let Parties { from, to, key } = parties;
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("HMAC takes a key of any length");
    let (kind, offer): (&[u8], &[u8]) = match kind {
        Kind::Offer => (b"offer", &[]),
        Kind::Answer(offer) => (b"answer", offer),
    };
    for part in [LABEL, kind, from.as_bytes(), to.as_bytes(), &nonce.bytes(), offer, digest] {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac
}

/// Which nonces of a paired device have been seen: for each of its last processes the highest number and those shortly before it
/// (RFC 4303 §3.4.3), as two routers may swap what they carry.
#[derive(Debug, Clone, Default)]
pub(crate) struct SeenNonces {
    /// The one used last at the end.
    epochs: heapless::Deque<Seen, MAX_AUTH_EPOCHS>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    epoch: u64,
    highest: u64,
    /// Bit n is for the number n below the highest.
    before: u64,
}

impl SeenNonces {
    /// Says whether it is new.
    pub(crate) fn note(&mut self, nonce: Nonce) -> bool {
        let known = self.epochs.iter_mut().find(|seen| seen.epoch == nonce.epoch);
        let Some(seen) = known else {
            if self.epochs.is_full() {
                self.epochs.pop_front();
            }
            let seen = Seen { epoch: nonce.epoch, highest: nonce.count, before: 1 };
            return self.epochs.push_back(seen).is_ok();
        };
        if let Some(ahead) = nonce.count.checked_sub(seen.highest).filter(|ahead| *ahead > 0) {
            let shift = u32::try_from(ahead).unwrap_or(u32::MAX);
            seen.before = seen.before.checked_shl(shift).unwrap_or(0) | 1;
            seen.highest = nonce.count;
            return true;
        }
        let bit = u32::try_from(seen.highest - nonce.count).ok().and_then(|behind| 1_u64.checked_shl(behind));
        match bit {
            Some(bit) if seen.before & bit == 0 => {
                seen.before |= bit;
                true
            }
            _ => false,
        }
    }
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    // Bounded: longer than any is no number of ours.
    (text.len() == 2 * N).then(|| HEXLOWER.decode(text.as_bytes()))?.ok()?.try_into().ok()
}

#[cfg(test)]
mod tests;
