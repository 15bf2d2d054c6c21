//! What is told of shares: counters, sums, and each link.

use serde::Serialize;

use crate::event::LinkId;
use crate::identity::DeviceId;
use crate::status::Traffic;

/// What happened since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct ShareCounters {
    /// Messages of clients of this node that were queued for a link.
    pub sent: u64,
    /// Messages of other devices that were given to clients of this node.
    pub received: u64,
    /// Messages dropped because a link did not take them in time: events, streams and gestures. Of parameters the latest value stays.
    pub dropped: u64,
    /// Messages larger than a link takes.
    pub too_large: u64,
    /// Messages and subscriptions of other devices that are about nothing that is shared with them, or that are wrong.
    pub refused: u64,
    /// Values of other devices that were older than the one here.
    pub outranked: u64,
}

/// A link as far as shares use it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SharedLink {
    /// The link.
    pub link: LinkId,
    /// The device at its other end.
    pub device: DeviceId,
    /// What that device has asked for.
    pub asked: Vec<String>,
    /// What it is asked for.
    pub wishes: Vec<String>,
    /// What waits to be sent to it.
    pub waiting: Traffic,
}

/// How it is now, over all links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ShareTotals {
    /// Links in use.
    pub links: u64,
    /// Subscriptions of other devices.
    pub asked: u64,
    /// Subscriptions at other devices.
    pub wishes: u64,
    /// What waits to be sent.
    pub waiting: Traffic,
}
