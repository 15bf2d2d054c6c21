//! Candidates that name their address instead of telling it: looked up by multicast DNS, and then as good as any other.

use std::net::IpAddr;

use log::debug;

use super::candidate::{Named, Skip};
use super::negotiation::too_many;
use super::state::State;
use super::{Peer, PeerOutput};
use crate::event::Step;
use crate::mdns::Unresolved;

/// A candidate that waits for its address.
#[derive(Debug)]
pub(super) struct Waiting {
    candidate: Named,
    /// It came by signal: what becomes of it is told.
    trickled: bool,
}

impl Peer {
    /// Wants the address of a candidate. Others are checked meanwhile.
    pub(super) fn look_up(&mut self, candidate: Named, trickled: bool) {
        if self.turn_only {
            // Whoever hides behind a relay asks nobody on its link (§3.2.1 of the draft).
            return self.tell(trickled, Err(Skip::RelayOnly(candidate.name().to_owned()).to_string()));
        }
        let name = candidate.name().to_owned();
        match self.unresolved.push(Waiting { candidate, trickled }) {
            Ok(()) => self.out.push_back(PeerOutput::Resolve(name)),
            Err(_) => self.tell(trickled, Err(too_many())),
        }
    }

    /// Whether a candidate waits for the address behind this name.
    #[must_use]
    pub fn awaits(&self, name: &str) -> bool {
        !matches!(self.state, State::Closing { .. } | State::Gone)
            && self.unresolved.iter().any(|waiting| waiting.candidate.is(name))
    }

    /// The name has these addresses, or none that anybody told. Each is taken as if it had been in the candidate.
    pub fn handle_resolved(&mut self, name: &str, found: Result<&[IpAddr], Unresolved>) {
        if !self.awaits(name) {
            return;
        }
        while let Some(at) = self.unresolved.iter().position(|waiting| waiting.candidate.is(name)) {
            let Waiting { candidate, trickled } = self.unresolved.remove(at);
            let addresses = match found {
                Ok(addresses) => addresses,
                Err(why) => {
                    self.tell(trickled, Err(Skip::Unresolved(name.to_owned(), why).to_string()));
                    continue;
                }
            };
            for address in addresses {
                let added = candidate.at(*address).map_err(|skip| skip.to_string());
                let added = added.and_then(|candidate| self.add(candidate));
                self.tell(trickled, added);
            }
        }
    }

    /// What became of a candidate; those in descriptions are usually trickled as well, and told about then.
    pub(super) fn tell(&mut self, trickled: bool, added: Result<String, String>) {
        match added {
            _ if !trickled => {
                if let Err(why) = added {
                    debug!(why = why.as_str(); "candidate of the description skipped");
                }
            }
            Ok(line) => self.out.push_back(PeerOutput::Step(Step::CandidateReceived(line))),
            Err(why) => self.out.push_back(PeerOutput::Step(Step::CandidateSkipped(why))),
        }
    }
}
