//! What a connection counts of itself.

use std::time::Instant;

use super::Peer;
use super::checks::Checks;
use crate::event::{Channel, Path};
use crate::status::{ChannelStatus, PathChecks, Traffic, Tried};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(super) checks: Checks,
    pub(crate) received_datagrams: u64,
    pub(crate) ignored_datagrams: u64,
    reliable: BothWays,
    stream: BothWays,
}

#[derive(Debug, Default)]
struct BothWays {
    sent: Traffic,
    received: Traffic,
}

impl BothWays {
    fn add(&mut self, other: &Self) {
        self.sent.add(other.sent);
        self.received.add(other.received);
    }
}

impl Tally {
    pub(super) fn sent(&mut self, channel: Channel, bytes: usize) {
        self.of(channel).sent.count(bytes);
    }

    pub(super) fn received(&mut self, channel: Channel, bytes: usize) {
        self.of(channel).received.count(bytes);
    }

    fn of(&mut self, channel: Channel) -> &mut BothWays {
        match channel {
            Channel::Reliable => &mut self.reliable,
            Channel::Stream => &mut self.stream,
        }
    }

    /// Counts what another connection of the same link has counted as well. What is known of a path stays with it.
    pub(crate) fn add(&mut self, other: &Self) {
        self.checks.answered += other.checks.answered;
        self.checks.lost += other.checks.lost;
        self.received_datagrams += other.received_datagrams;
        self.ignored_datagrams += other.ignored_datagrams;
        self.reliable.add(&other.reliable);
        self.stream.add(&other.stream);
    }

    /// Checks so far: answered, and lost.
    pub(crate) fn checked(&self) -> (u64, u64) {
        (self.checks.answered, self.checks.lost)
    }

    /// Fills in what went over a channel.
    pub(crate) fn tell(&self, channel: Channel, status: &mut ChannelStatus) {
        let both = match channel {
            Channel::Reliable => &self.reliable,
            Channel::Stream => &self.stream,
        };
        (status.sent, status.received) = (both.sent, both.received);
    }
}

/// How a connection is now.
#[derive(Debug)]
pub(crate) struct PeerStatus {
    pub(crate) edge: bool,
    pub(crate) path: Option<Path>,
    pub(crate) checks: PathChecks,
    pub(crate) reliable: ChannelStatus,
    pub(crate) stream: ChannelStatus,
    pub(crate) unacknowledged_bytes: usize,
}

impl Peer {
    /// How the connection is now. What it has counted is in [`Self::tally`].
    pub(crate) fn status(&mut self, now: Instant) -> PeerStatus {
        PeerStatus {
            edge: self.edge,
            path: self.path,
            checks: self.tally.checks.status(now),
            reliable: self.channel_status(Channel::Reliable),
            stream: self.channel_status(Channel::Stream),
            unacknowledged_bytes: self.in_flight(),
        }
    }

    fn channel_status(&self, channel: Channel) -> ChannelStatus {
        let (open, waiting) = (self.channels.is_open(channel), self.channels.waiting(channel));
        ChannelStatus { open, waiting, ..ChannelStatus::default() }
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Between which addresses ICE looks for a path, and what came of it.
    pub(crate) fn tried(&self) -> Tried {
        Tried {
            local: self.local.iter().map(str0m::Candidate::addr).collect(),
            remote: self.remote.iter().map(str0m::Candidate::addr).collect(),
            received_datagrams: self.tally.received_datagrams,
        }
    }
}
