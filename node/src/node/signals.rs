//! Which link a signal belongs to, and which offers become links.

use clasp_wire::p2p::{P2pSignal, SignalBody};
use log::{debug, warn};

use super::{Link, Node};
use crate::event::{Event, LinkId, LinkState, RouterId};
use crate::limits::{MAX_CANDIDATE_BYTES, MAX_CORRELATION_ID_BYTES, MAX_REASON_BYTES, MAX_SESSION_ID_BYTES};
use crate::peer::{OutSignal, Peer, restart_number};
use crate::session::{InBody, InSignal};

/// The reason in the `disconnected` signal a router sends for a session that ended. It says nothing about the data channel, which
/// needs no router once it is open.
const SESSION_ENDED: &str = "session ended";

/// The reason given to a peer that wants another path for a link that has ended here.
const NO_SUCH_LINK: &str = "the link has ended here";

impl Node {
    pub(super) fn on_signal(&mut self, router: RouterId, signal: InSignal) {
        let InSignal { from, correlation_id, body } = signal;
        if from.is_empty()
            || from.len() > MAX_SESSION_ID_BYTES
            || correlation_id.len() > MAX_CORRELATION_ID_BYTES
        {
            self.counters.stray_signals += 1;
            return debug!(from = from.len(), correlation_id = correlation_id.len(); "oversized ids");
        }
        let known =
            self.links.iter_mut().find(|(_, l)| l.router == router && l.correlation_id == correlation_id);
        let now = self.now;
        let restart = match &body {
            InBody::Offer { sdp, edge: true } => restart_number(sdp),
            _ => None,
        };
        // A peer that has moved has a new session. Nobody but the two and their router knows the correlation id, and it opens
        // nothing but another path: the keys of the link stay what they were.
        if let (Some((id, _)), Some(number), InBody::Offer { sdp, .. }) = (&known, restart, &body) {
            let id = **id;
            return self.on_restart_offer(id, from, number, sdp);
        }
        match (known, body) {
            (Some((_, link)), _) if link.remote != from => {
                self.counters.foreign_signals += 1;
                if self.bursts.foreign.begins(now) {
                    warn!(from = from.as_str(); "signals for somebody else's link ignored");
                }
            }
            (Some((id, _)), InBody::Offer { .. }) => debug!(link:% = id; "repeated offer ignored"),
            (Some((_, link)), body) => {
                link.dirty = true;
                match body {
                    InBody::Answer { sdp, edge } => {
                        if edge {
                            link.peer.set_edge(true);
                        }
                        link.peer.handle_answer(now, &sdp);
                    }
                    InBody::Candidate(candidate) => link.peer.handle_candidate(&candidate),
                    InBody::Disconnected(reason) => {
                        let open = matches!(link.peer.state(), LinkState::Open | LinkState::Restarting);
                        if !(open && reason.as_deref() == Some(SESSION_ENDED)) {
                            let reason = reason.as_deref().map(|r| clip(r, MAX_REASON_BYTES));
                            link.peer.handle_disconnected(now, reason);
                        }
                    }
                    // Each side goes by its own channel; the other's word is no proof.
                    InBody::Connected | InBody::Offer { .. } => {}
                }
            }
            (None, InBody::Offer { sdp, edge }) => self.on_offer(router, from, correlation_id, &sdp, edge),
            (None, InBody::Candidate(candidate)) if candidate.len() > MAX_CANDIDATE_BYTES => {
                self.counters.stray_signals += 1;
            }
            (None, InBody::Candidate(candidate)) => {
                self.early.keep(now, router, from, correlation_id, candidate);
            }
            (None, _) => self.counters.stray_signals += 1,
        }
    }

    /// The peer asks for another path of an open link. Counted with the offers: each makes us send checks.
    fn on_restart_offer(&mut self, id: LinkId, from: String, number: u32, sdp: &str) {
        let now = self.now;
        if !self.offers.take(now) {
            self.counters.offers_refused += 1;
            return debug!(link:% = id; "restart offer ignored: too many offers");
        }
        let Some(link) = self.links.get_mut(&id) else { return };
        let own = self.routers.get(usize::from(link.router.0)).and_then(|entry| entry.session.id());
        let ours_stands = own.is_some_and(|own| own < from.as_str());
        if link.peer.handle_restart_offer(now, number, sdp, ours_stands) {
            link.remote = from;
        }
        link.dirty = true;
    }

    fn on_offer(&mut self, router: RouterId, from: String, correlation_id: String, sdp: &str, edge: bool) {
        if let Some((id, ours)) = self.crossing(router, &from, edge) {
            if ours {
                return debug!(link:% = id; "crossing offer ignored: ours stands");
            }
            debug!(link:% = id; "crossing offer: theirs stands");
            return self.answer_instead(id, correlation_id, sdp);
        }
        let limit = if restart_number(sdp).is_some() {
            Some(NO_SUCH_LINK)
        } else if self.links.len() >= self.local.config.max_peers {
            Some("too many peers")
        } else if self.links_in_progress() >= self.local.config.max_offers_in_progress {
            Some("too many connections in progress")
        } else if !self.offers.take(self.now) {
            Some("too many offers")
        } else {
            None
        };
        if let Some(reason) = limit {
            self.counters.offers_refused += 1;
            return self.refuse(router, from, &correlation_id, reason);
        }
        let now = self.now;
        match Peer::answer(now, &self.local.setup(), &mut self.rng, sdp) {
            Ok(mut peer) => {
                peer.set_edge(edge);
                for candidate in self.early.take(now, router, &from, &correlation_id) {
                    peer.handle_candidate(&candidate);
                }
                self.add_link(peer, router, from, correlation_id);
            }
            Err(error) => {
                self.counters.bad_descriptions += 1;
                self.refuse(router, from, &correlation_id, &error.to_string());
            }
        }
    }

    /// Both sides may call each other at the same time. A stock peer overwrites its own attempt with ours, so towards it ours
    /// must stand; between two clasp-edge nodes the offer of the lower session id stands.
    ///
    /// Returns the link whose offer crosses, and whether ours stands.
    fn crossing(&self, router: RouterId, from: &str, edge: bool) -> Option<(LinkId, bool)> {
        let offering =
            |l: &Link| l.router == router && l.remote == from && l.peer.state() == LinkState::Offering;
        let (id, _) = self.links.iter().find(|(_, link)| offering(link))?;
        let own = self.routers.get(usize::from(router.0))?.session.id()?;
        Some((*id, !edge || own < from))
    }

    /// Replaces our attempt by an answer to the peer's, under the same link: the application waits for that one.
    fn answer_instead(&mut self, id: LinkId, correlation_id: String, sdp: &str) {
        let now = self.now;
        let answered = Peer::answer(now, &self.local.setup(), &mut self.rng, sdp);
        let Some(link) = self.links.get_mut(&id) else { return };
        match answered {
            Ok(mut peer) => {
                peer.set_edge(true);
                for candidate in self.early.take(now, link.router, &link.remote, &correlation_id) {
                    peer.handle_candidate(&candidate);
                }
                (link.peer, link.correlation_id, link.dirty) = (peer, correlation_id, true);
            }
            Err(error) => {
                self.counters.bad_descriptions += 1;
                warn!(link:% = id, error:% = error; "unusable crossing offer");
            }
        }
    }

    fn refuse(&mut self, router: RouterId, from: String, correlation_id: &str, reason: &str) {
        if self.refusals.take(self.now) {
            let signal = OutSignal::Disconnected(clip(reason, MAX_REASON_BYTES).to_owned());
            self.signal_to(router, &from, correlation_id, &signal);
        } else {
            self.counters.refused_in_silence += 1;
        }
        if self.bursts.refused.begins(self.now) {
            warn!(from = from.as_str(), why = reason; "refusing offers");
        }
        self.event(Event::Refused { peer: from, why: reason.to_owned() });
    }

    pub(super) fn send_signal(&mut self, id: LinkId, signal: &OutSignal) {
        let Some(link) = self.links.get(&id) else { return };
        let (router, remote, correlation_id) =
            (link.router, link.remote.clone(), link.correlation_id.clone());
        self.signal_to(router, &remote, &correlation_id, signal);
    }

    fn signal_to(&mut self, router: RouterId, to: &str, correlation_id: &str, signal: &OutSignal) {
        let body = match signal {
            OutSignal::Offer(sdp) => SignalBody::Offer { sdp },
            OutSignal::Answer(sdp) => SignalBody::Answer { sdp },
            OutSignal::Candidate(candidate) => SignalBody::IceCandidate { candidate },
            OutSignal::Connected => SignalBody::Connected,
            OutSignal::Disconnected(reason) => SignalBody::Disconnected { reason: Some(reason) },
        };
        self.with_session(router, |session| {
            let from = session.id().unwrap_or_default().to_owned();
            if let Err(error) =
                session.signal(to, &P2pSignal { from: &from, correlation_id, edge: true, body })
            {
                warn!(to, error:% = error; "signal not sent");
            }
        });
    }
}

/// The longest prefix of `text` that fits `max` bytes.
fn clip(text: &str, max: usize) -> &str {
    if text.len() <= max {
        return text;
    }
    (0..=max).rev().find_map(|end| text.get(..end)).unwrap_or_default()
}
