//! Pairing, version 1: two devices that share a short code, typed by a person, come to trust each other's identity through a router that
//! nobody trusts (docs/pairing.md).
//!
//! Owns: the two sides of a run and how often a code may be guessed. Does not own: sessions, the link that afterwards shows the
//! certificates, where pairs are kept.
//!
//! # Contract
//! Call `handle_*` or `begin`, then `poll_output` until `None`; call `handle_timeout` at the latest when `wake` says.

mod call;
mod card;
mod code;
mod exchange;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
mod window;

pub use call::Call;
pub use card::Card;
pub use code::{Code, CodeError, Invitation, Known, QrSecret};
pub use window::Window;

use std::time::Duration;

use crate::event::RouterId;
use crate::identity::{DeviceId, Identity};
use crate::pairs::{Pair, PairKey};

/// The version of the protocol.
pub const VERSION: u32 = 1;

/// How long a window is open, if nothing else is said.
pub const WINDOW: Duration = Duration::from_secs(120);

/// How long it may be at most.
pub const LONGEST_WINDOW: Duration = Duration::from_secs(900);

/// How long one run may take: two round trips through a router.
pub const RUN: Duration = Duration::from_secs(10);

/// How long the link that shows the certificates may take to open after that.
pub const PROVISIONAL: Duration = Duration::from_secs(30);

/// How often a window's code may be guessed.
pub const GUESSES: u8 = 3;

/// Who is at the other end: the router says so, and nobody has to believe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// On which router.
    pub router: RouterId,
    /// In which session.
    pub session: String,
}

/// What this device tells of itself.
#[derive(Debug, Clone, Copy)]
pub struct Me<'a> {
    /// Who it is.
    pub identity: &'a Identity,
    /// What it is called.
    pub name: &'a str,
}

/// A message of a pairing, as it came or goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Names the run: 32 hex digits.
    pub correlation_id: String,
    /// What it says.
    pub body: LetterBody,
}

/// What a message of a pairing says; see [`clasp_wire::p2p::PairBody`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LetterBody {
    /// `pair1`.
    Begin {
        /// The protocol's version.
        version: u32,
        /// The initiator knows the QR code's secret, not the digits.
        scanned: bool,
        /// Random.
        nonce: [u8; 16],
        /// SPAKE2.
        pake: [u8; 33],
    },
    /// `pair2`.
    Reply {
        /// Random.
        nonce: [u8; 16],
        /// SPAKE2.
        pake: [u8; 33],
    },
    /// `pair3`.
    InitiatorCard(Vec<u8>),
    /// `pair4`.
    ResponderCard(Vec<u8>),
    /// `pair_err`.
    Fault(Fault),
}

/// Why the other side says that it goes no further. Anybody can say so: it is for people, and decides nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The code is not the one shown.
    WrongCode,
    /// Somebody else is being paired.
    Busy,
    /// No window is open, or the code was guessed wrongly too often.
    Closed,
    /// It speaks another version.
    Version,
    /// It is paired with as many devices as it can be.
    Full,
}

impl Fault {
    const ALL: [(Self, &'static str); 5] = [
        (Self::WrongCode, "wrong_code"),
        (Self::Busy, "busy"),
        (Self::Closed, "closed"),
        (Self::Version, "version"),
        (Self::Full, "too_many"),
    ];

    /// Its word on the wire.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(fault, _)| *fault == self).map_or("closed", |(_, word)| word)
    }

    /// The fault with this word; one that nobody knows is as good as a closed window.
    #[must_use]
    pub fn of(word: &str) -> Self {
        Self::ALL.iter().find(|(_, known)| *known == word).map_or(Self::Closed, |(fault, _)| *fault)
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::WrongCode => "the code is wrong",
            Self::Busy => "it is being paired with another device at this moment",
            Self::Closed => "it does not show a code at this moment",
            Self::Version => "it speaks another version of pairing",
            Self::Full => "it is paired with as many devices as it can be",
        })
    }
}

/// Why a run ended without a pair.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PairingError {
    /// The other side says so.
    #[error("the other device says: {0}")]
    Said(Fault),
    /// Nothing came back in time.
    #[error("no answer from the other device within {0:?}")]
    Silence(Duration),
    /// The other side's box does not open.
    #[error("the code is wrong, or somebody between the devices changes what they say")]
    WrongCode,
    /// It is not the device that was asked for.
    #[error("this is not the device that was asked for, but {0}")]
    OtherDevice(DeviceId),
    /// A device is not paired with itself.
    #[error("this is the device itself")]
    Itself,
    /// The code was typed wrongly three times, or guessed at.
    #[error("{GUESSES} wrong codes; the last one from session {0}. The code is used up: show another one")]
    Burnt(String),
    /// Nobody came.
    #[error("nobody was paired while the code was shown")]
    WindowOver,
    /// The code was right, but no direct link opened that would have shown the other certificate.
    #[error(
        "the code is right, but no direct link opened within {0:?} afterwards: nothing was kept; pair again"
    )]
    NoLink(Duration),
    /// There is no room for it.
    #[error("{0}")]
    NotKept(String),
}

/// What a side of a pairing wants done, or has to tell.
#[derive(Debug)]
#[must_use = "an output not acted on is lost"]
pub enum PairingOutput {
    /// Send this.
    Send(Party, Letter),
    /// The run ended without a pair. A window that has guesses left stays open.
    Failed(PairingError),
    /// Both know the code. To be kept when a link to that session has shown the certificate, and not before.
    Provisional(Party, Box<Provisional>),
}

/// A pair that is none yet.
#[derive(Debug)]
pub struct Provisional {
    /// What is to be kept.
    pub pair: Pair,
    /// Six digits that are the same on both devices; for people who want to compare.
    pub check: String,
}

impl Provisional {
    fn new(card: Card, key: [u8; 32], check: String) -> Self {
        let Card { public_key, fingerprint, name, .. } = card;
        Self { pair: Pair::new(public_key, fingerprint, PairKey::new(key), name), check }
    }
}
