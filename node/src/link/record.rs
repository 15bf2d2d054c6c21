//! What a link counts of itself, over all its ways and connections.

use std::time::Instant;

use super::{Link, State};
use crate::event::{Channel, LinkState};
use crate::node::Bond;
use crate::peer::{Peer, Tally};
use crate::status::{ChannelStatus, Drops, LinkStatus, Relayed, Traffic, Tried};

/// See the module.
#[derive(Debug)]
pub(super) struct Record {
    /// The name the other node had announced when the link was begun: a router may forget its session before the link ends.
    pub(super) name: Option<String>,
    state: LinkState,
    since: Instant,
    restarts: u32,
    /// How often the reliable channel was held up.
    pub(super) held_up: u32,
    pub(super) candidates_skipped: u32,
    pub(super) relayed: Relayed,
    /// Of the connections that are no more.
    past: Tally,
    /// What ICE tried for the last of them that never opened.
    tried: Option<Tried>,
}

impl Record {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            name: None,
            state: LinkState::Offering,
            since: now,
            restarts: 0,
            held_up: 0,
            candidates_skipped: 0,
            relayed: Relayed::default(),
            past: Tally::default(),
            tried: None,
        }
    }

    /// The link has come to this state, or stays in it.
    pub(super) fn note_state(&mut self, now: Instant, state: LinkState) {
        if state != self.state {
            self.restarts += u32::from(
                self.state == LinkState::Open && matches!(state, LinkState::Restarting | LinkState::Relayed),
            );
            (self.state, self.since) = (state, now);
        }
    }

    /// This connection is no more.
    pub(super) fn keep(&mut self, peer: &Peer, was_in_use: bool) {
        self.past.add(peer.tally());
        if !was_in_use {
            self.tried = Some(peer.tried());
        }
    }
}

impl Link {
    /// How the link is now. The other node's name its own node knows.
    pub(crate) fn status(&mut self, now: Instant) -> LinkStatus {
        let state = self.state();
        self.record.note_state(now, state);
        let Record { since, restarts, held_up, candidates_skipped, relayed, ref past, .. } = self.record;
        let (mut reliable, mut stream) = (ChannelStatus::default(), ChannelStatus::default());
        let (mut path, mut checks, mut unacknowledged_bytes, mut edge) = (None, Default::default(), 0, false);
        let mut tally = Tally::default();
        tally.add(past);
        if let Some(attempt) = &mut self.attempt {
            let peer = attempt.peer.status(now);
            (reliable, stream) = (peer.reliable, peer.stream);
            (path, checks, edge) = (peer.path, peer.checks, peer.edge);
            unacknowledged_bytes = peer.unacknowledged_bytes;
            tally.add(attempt.peer.tally());
        }
        tally.tell(Channel::Reliable, &mut reliable);
        tally.tell(Channel::Stream, &mut stream);
        let mut no_path = None;
        if let State::Detour(detour) = &self.state {
            path = None; // of an attempt, or of what was lost
            no_path = Some(detour.why.to_string());
            stream.waiting.add(detour.relay.streams.waiting());
        }
        LinkStatus {
            link: self.number,
            peer: self.remote.session().to_owned(),
            name: None,
            edge,
            router: self.router,
            role: self.role,
            state,
            in_state: now.saturating_duration_since(since),
            age: now.saturating_duration_since(self.began),
            path,
            no_path,
            checks,
            reliable,
            stream,
            relayed,
            unconfirmed: self.outgoing.kept(),
            unacknowledged_bytes,
            drops: Drops {
                stream_messages: self.streams_dropped(),
                datagrams: tally.ignored_datagrams,
                candidates: candidates_skipped,
            },
            restarts,
            held_up,
            received_datagrams: tally.received_datagrams,
        }
    }

    /// The other node's name when the link was begun.
    pub(crate) fn name(&self) -> Option<&String> {
        self.record.name.as_ref()
    }

    /// The other node's name.
    pub(crate) fn set_name(&mut self, name: Option<String>) {
        self.record.name = name;
    }

    /// The paired device at the other end, if it is one.
    pub(crate) fn bond(&self) -> Option<&Bond> {
        self.bond.as_ref()
    }

    pub(crate) fn bond_mut(&mut self) -> Option<&mut Bond> {
        self.bond.as_mut()
    }

    pub(crate) fn set_bond(&mut self, bond: Option<Bond>) {
        self.bond = bond;
    }

    /// Whether the other node stays, and connects to its paired devices by itself.
    pub(crate) fn is_resident(&self) -> bool {
        self.resident
    }

    pub(crate) fn set_resident(&mut self, resident: bool) {
        self.resident = resident;
    }

    /// The random id of the other node's process, if it has told one.
    pub(crate) fn instance(&self) -> Option<&str> {
        self.instance.as_deref()
    }

    /// Whether the application has been told that the link works.
    pub(crate) fn is_usable(&self) -> bool {
        self.usable
    }

    /// Between which addresses ICE looked for a path last.
    pub(crate) fn tried(&self) -> Option<Tried> {
        match &self.attempt {
            Some(attempt) if !attempt.was_in_use => Some(attempt.peer.tried()),
            _ => self.record.tried.clone(),
        }
    }

    /// Checks of the link's paths so far: answered, and lost.
    pub(crate) fn checks(&self) -> (u64, u64) {
        let (answered, lost) = self.record.past.checked();
        let (more_answered, more_lost) = self.peer().map_or((0, 0), |peer| peer.tally().checked());
        (answered + more_answered, lost + more_lost)
    }

    /// How often losses have held up its reliable channel.
    pub(crate) fn held_up(&self) -> u32 {
        self.record.held_up
    }

    /// A message goes through the router.
    pub(super) fn count_relayed(&mut self, messages: &[bytes::Bytes], streams: &[bytes::Bytes]) {
        count(&mut self.record.relayed.sent, messages, streams);
    }

    /// Messages came through the router.
    pub(super) fn count_relayed_here(&mut self, messages: &[bytes::Bytes], streams: &[bytes::Bytes]) {
        count(&mut self.record.relayed.received, messages, streams);
    }
}

fn count(traffic: &mut Traffic, messages: &[bytes::Bytes], streams: &[bytes::Bytes]) {
    messages.iter().chain(streams).for_each(|message| traffic.count(message.len()));
}
