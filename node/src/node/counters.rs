//! What a node counts, of itself and over all its links.

use router_lite::exposition::Histogram;
use serde::Serialize;

use super::Node;

/// Upper bounds in seconds for round trips: from the same rack to the other side of the world.
pub(crate) const ROUND_TRIP_SECONDS: [f64; 10] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0];

/// What was refused, dropped or ignored so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Counters {
    /// Offers turned down because of a limit.
    pub offers_refused: u64,
    /// Of all offers turned down, those whose sender was not told, because there were too many.
    pub refused_in_silence: u64,
    /// Offers and answers that could not be used.
    pub bad_descriptions: u64,
    /// Signals whose sender is not the link's peer.
    pub foreign_signals: u64,
    /// Signals that belong to no link, or break a length limit.
    pub stray_signals: u64,
    /// Early candidates dropped.
    pub early_candidates_dropped: u64,
    /// Signals for links of paired devices that the paired device has not sent.
    pub unproven_signals: u64,
    /// Datagrams that belong to no link.
    pub stray_datagrams: u64,
    /// Announced peers forgotten because the roster was full.
    pub peers_forgotten: u64,
    /// Frames dropped while a router was away.
    pub pending_signals_dropped: u64,
    /// Stream messages dropped because their link's queue was full, over all links there ever were.
    pub streams_dropped: u64,
    /// Reliable messages sent through routers, repeated ones included.
    pub messages_relayed: u64,
    /// Consent checks of links' paths that were answered, over all links there ever were.
    pub checks_answered: u64,
    /// Such checks that were not answered within 3 s.
    pub checks_lost: u64,
    /// Times that losses held up a reliable channel, over all links there ever were.
    pub held_up: u64,
}

impl Node {
    /// What was refused, dropped or ignored so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let checks = || self.links.values().map(|link| link.checks());
        Counters {
            checks_answered: self.counters.checks_answered
                + checks().map(|(answered, _)| answered).sum::<u64>(),
            checks_lost: self.counters.checks_lost + checks().map(|(_, lost)| lost).sum::<u64>(),
            held_up: self.counters.held_up
                + self.links.values().map(|link| u64::from(link.held_up())).sum::<u64>(),
            early_candidates_dropped: self.early.dropped,
            peers_forgotten: self.roster.forgotten,
            pending_signals_dropped: self.routers.iter().map(|r| r.session.pending_dropped()).sum(),
            streams_dropped: self.counters.streams_dropped
                + self.links.values().map(|link| link.streams_dropped()).sum::<u64>(),
            ..self.counters
        }
    }

    /// Round trips of the checks of all links' paths, of those that have ended too.
    #[must_use]
    pub fn round_trips(&self) -> &Histogram {
        &self.round_trips
    }
}
