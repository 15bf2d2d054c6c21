//! Candidates that STUN and TURN servers gave us, and which kinds of candidates a path runs between.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use log::debug;
use str0m::{Candidate, CandidateKind, Rtc};

use super::Peer;
use super::state::State;
use crate::event::{Path, PathKind};
use crate::ice_servers::{Gathered, GatheredKind};
use crate::limits::RESTART_LIMIT;

/// Gives a candidate to ICE; `None` if the peer is not to be told, or is better off with what it knows.
pub(super) fn add(rtc: &mut Rtc, gathered: Gathered, turn_only: bool) -> Option<Candidate> {
    if turn_only && gathered.kind != GatheredKind::Relayed {
        return None;
    }
    match candidate(gathered) {
        Ok(candidate) => rtc.add_local_candidate(candidate).cloned(),
        Err(error) => {
            debug!(address:% = gathered.address, error:% = error; "no candidate");
            None
        }
    }
}

fn candidate(gathered: Gathered) -> Result<Candidate, str0m::error::IceError> {
    match gathered.kind {
        GatheredKind::Reflexive => Candidate::server_reflexive(gathered.address, gathered.base, "udp"),
        GatheredKind::Relayed => Candidate::relayed(gathered.address, gathered.base, "udp"),
    }
}

fn is(candidate: &Candidate, gathered: Gathered) -> bool {
    let kind = match gathered.kind {
        GatheredKind::Reflexive => CandidateKind::ServerReflexive,
        GatheredKind::Relayed => CandidateKind::Relayed,
    };
    candidate.kind() == kind && candidate.addr() == gathered.address
}

impl Peer {
    /// A server told us another address of ours: the peer is told, too.
    pub fn handle_gained(&mut self, gained: Gathered) {
        if matches!(self.state, State::Closing { .. } | State::Gone) {
            return;
        }
        if let Some(candidate) = add(&mut self.rtc, gained, self.turn_only) {
            self.trickle(std::slice::from_ref(&candidate));
            self.local.push(candidate);
        }
    }

    /// An address that a server told us is not ours any more. If the link runs over it, another path is looked for.
    pub fn handle_lost(&mut self, now: Instant, lost: Gathered) {
        let gone: Vec<_> = self.local.extract_if(.., |candidate| is(candidate, lost)).collect();
        for candidate in &gone {
            if !self.rtc.direct_api().invalidate_candidate(candidate) {
                debug!(address:% = candidate.addr(); "not a candidate of ours");
            }
        }
        let in_use = self.path.is_some_and(|path| path.local == lost.address);
        if !gone.is_empty() && in_use && self.edge && self.state.is_open() {
            self.restart(now, RESTART_LIMIT);
        }
    }

    /// str0m does not say which candidates it uses; the addresses do.
    pub(super) fn path_between(&self, local: SocketAddr, remote: SocketAddr) -> Path {
        let relayed = self.local.iter().any(|c| c.kind() == CandidateKind::Relayed && c.addr() == local);
        let reflexive = self.local.iter().any(|c| {
            c.kind() == CandidateKind::ServerReflexive && c.local() == local && !is_private(remote.ip())
        });
        let local_kind = match (relayed, reflexive) {
            (true, _) => PathKind::Relay,
            (false, true) => PathKind::Srflx,
            (false, false) => PathKind::Host,
        };
        let known = self.remote.iter().find(|candidate| candidate.addr() == remote);
        let remote_kind = match known.map(Candidate::kind) {
            Some(CandidateKind::Host) => PathKind::Host,
            Some(CandidateKind::ServerReflexive) => PathKind::Srflx,
            Some(CandidateKind::Relayed) => PathKind::Relay,
            Some(CandidateKind::PeerReflexive) | None => PathKind::Prflx,
        };
        Path { local, remote, local_kind, remote_kind }
    }
}

/// Whether no NAT of ours is crossed on the way there.
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_private() || v4.is_link_local() || v4.is_loopback(),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_loopback(),
    }
}
