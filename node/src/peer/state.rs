//! The states of a [`Peer`](super::Peer): each holds what only it needs.

use std::time::Instant;

use str0m::channel::SctpInitData;

use super::restart::Restart;
use crate::event::LinkState;

pub(super) enum State {
    Offering {
        /// Our half of an SCTP association without a handshake, if that was offered.
        snap: Option<SctpInitData>,
    },
    Checking {
        ice: bool,
        dtls: bool,
    },
    /// `told` once the application knows; the path may be learnt a moment after the channels opened.
    Open {
        told: bool,
    },
    /// The channels are open, and another path for them is being looked for.
    Restarting(Restart),
    Closing {
        until: Instant,
    },
    Gone,
}

impl State {
    pub(super) fn public(&self) -> LinkState {
        match self {
            Self::Offering { .. } => LinkState::Offering,
            Self::Checking { .. } => LinkState::Checking,
            Self::Open { .. } => LinkState::Open,
            Self::Restarting(_) => LinkState::Restarting,
            Self::Closing { .. } | Self::Gone => LinkState::Closed,
        }
    }

    /// Whether the channels are open, with or without a working path at this moment.
    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. } | Self::Restarting(_))
    }
}
