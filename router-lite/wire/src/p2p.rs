//! P2P signalling: addresses, signals, announcements and candidates (reference §9).
//!
//! Owns: the shapes that travel in PUBLISH. Does not own: what a peer does with them, nor who may send them.

mod announce;
mod candidate;
mod pair;
mod relay;
mod relay_frame;
mod sealed;
mod signal;

use alloc::string::String;

use thiserror::Error;

pub use announce::{FeatureList, PeerAnnounce};
pub use candidate::{CandidateError, CandidateInit};
pub use pair::{MAX_PAIR_BOX_BYTES, PairBody, PairFrame};
pub use relay::encode_signal_with_from;
pub use relay_frame::RelayFrame;
pub use sealed::SealedFrame;
pub use signal::{P2pSignal, SignalBody};

/// Where peers say that they are there.
pub const ANNOUNCE_ADDRESS: &str = "/clasp/p2p/announce";

/// A session's id after this prefix makes the address of its signals.
pub const SIGNAL_PREFIX: &str = "/clasp/p2p/signal/";

/// Most features of an announcement that are kept; further ones are dropped. Stock peers send three.
pub const MAX_FEATURES: usize = 16;

/// Appends the signal address of `session`.
pub fn signal_address(session: &str, out: &mut String) {
    out.reserve(SIGNAL_PREFIX.len() + session.len());
    out.push_str(SIGNAL_PREFIX);
    out.push_str(session);
}

/// The session a signal address names: exactly one non-empty segment after [`SIGNAL_PREFIX`].
#[must_use]
pub fn target_session(address: &str) -> Option<&str> {
    address.strip_prefix(SIGNAL_PREFIX).filter(|session| !session.is_empty() && !session.contains('/'))
}

/// Why a value is not a signal or an announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SignalError {
    /// It is not a map.
    #[error("signal is not a map")]
    NotAMap,
    /// A field it needs is missing.
    #[error("signal has no `{0}`")]
    Missing(&'static str),
    /// A field has the wrong type.
    #[error("signal field `{0}` has the wrong type")]
    WrongType(&'static str),
    /// `type` names none of the five kinds.
    #[error("unknown signal type")]
    UnknownType,
}

#[cfg(test)]
mod tests;
