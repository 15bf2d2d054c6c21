//! Which link a signal belongs to, and which offers become links.

use clasp_wire::p2p::{P2pSignal, SignalBody};
use log::{debug, warn};

use super::trust::{Bond, inner_signal};
use super::{Link, Node};
use crate::event::{Event, LinkId, LinkState, Role, RouterId};
use crate::limits::{MAX_CANDIDATE_BYTES, MAX_CORRELATION_ID_BYTES, MAX_REASON_BYTES, MAX_SESSION_ID_BYTES};
use crate::peer::{NegotiationError, OutSignal, Peer, restart_number, resume};
use crate::session::{InBody, InSignal};

/// The reason in the `disconnected` signal a router sends for a session that ended. It says nothing about the data channel, which
/// needs no router once it is open.
pub(super) const SESSION_ENDED: &str = "session ended";

/// The reason given to a peer that wants another path for a link that has ended here.
pub(super) const NO_SUCH_LINK: &str = "the link has ended here";

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
        let (body, device) = match body {
            InBody::Sealed(sealed) => match self.unsealed(&correlation_id, sealed) {
                Some((body, device)) => (body, Some(device)),
                None => return,
            },
            body => (body, None),
        };
        if let InBody::Letter(letter) = body {
            return self.on_letter(router, from, &letter);
        }
        if let InBody::Relayed(relayed) = body {
            return self.on_relayed(router, from, correlation_id, device, relayed);
        }
        let known = self.links.iter().find(|(_, link)| link.has(router, &correlation_id)).map(|(id, _)| *id);
        if let Some(id) = known
            && !self.believes(id, device, &body)
        {
            return;
        }
        let known = known.and_then(|id| Some((id, self.links.get_mut(&id)?)));
        let now = self.now;
        let restart = match &body {
            InBody::Offer { sdp, edge: true } => restart_number(sdp),
            _ => None,
        };
        // A peer that has moved has a new session. Nobody but the two and their router knows the correlation id, and it opens
        // nothing but another path: the keys of the link stay what they were.
        if let (Some((id, _)), Some(number), InBody::Offer { sdp, .. }) = (&known, restart, &body) {
            let id = *id;
            return self.on_restart_offer(id, from, &correlation_id, number, sdp);
        }
        match (known, body) {
            (Some((_, link)), _) if !link.is_with(&from) => {
                self.counters.foreign_signals += 1;
                if self.bursts.foreign.begins(now) {
                    warn!(from = from.as_str(); "signals for somebody else's link ignored");
                }
            }
            (Some((id, _)), InBody::Offer { .. }) => debug!(link:% = id; "repeated offer ignored"),
            (Some((_, link)), InBody::Disconnected(reason)) => {
                let reason = reason.as_deref().map(|r| clip(r, MAX_REASON_BYTES));
                if reason != Some(SESSION_ENDED) {
                    link.handle_disconnected(now, &correlation_id, reason);
                } else if !matches!(link.state(), LinkState::Open) {
                    link.handle_session_ended(now, &from);
                }
            }
            (Some((_, link)), body) => {
                link.follow(&from);
                let Some(peer) = link.attempt(&correlation_id) else { return };
                match body {
                    InBody::Answer { sdp, edge } => {
                        if edge {
                            peer.set_edge(true);
                        }
                        peer.handle_answer(now, &sdp);
                    }
                    InBody::Candidate(candidate) => peer.handle_candidate(&candidate),
                    // Each side goes by its own channel; the other's word is no proof.
                    _ => {}
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
    fn on_restart_offer(&mut self, id: LinkId, from: String, correlation_id: &str, number: u32, sdp: &str) {
        let now = self.now;
        if !self.offers.take(now) {
            self.counters.offers_refused += 1;
            return debug!(link:% = id; "restart offer ignored: too many offers");
        }
        let own = self.links.get(&id).and_then(|link| self.own_session(link.router()));
        let ours_stands = own.is_some_and(|own| own < from.as_str());
        let Some(link) = self.links.get_mut(&id) else { return };
        match link.attempt(correlation_id) {
            Some(peer) => {
                if peer.handle_restart_offer(now, number, sdp, ours_stands) {
                    link.follow(&from);
                }
            }
            // The connection it wants to save has been given up here; that this is so is all there is to say.
            None => {
                link.follow(&from);
                link.answer_soon();
            }
        }
    }

    fn on_offer(&mut self, router: RouterId, from: String, correlation_id: String, sdp: &str, edge: bool) {
        if edge && let Some(resume) = resume(sdp) {
            return self.on_offer_again(router, from, correlation_id, sdp, resume);
        }
        let bond = match self.who_offers(sdp) {
            Ok(bond) => bond,
            Err(reason) => {
                self.counters.offers_refused += 1;
                return self.refuse(router, from, &correlation_id, reason);
            }
        };
        if let Some((id, ours)) = self.crossing(router, &from, edge) {
            if ours {
                return debug!(link:% = id; "crossing offer ignored: ours stands");
            }
            debug!(link:% = id; "crossing offer: theirs stands");
            return self.answer_instead(id, correlation_id, bond, Some(sdp));
        }
        let limit = if restart_number(sdp).is_some() { Some(NO_SUCH_LINK) } else { self.limit() };
        if let Some(reason) = limit {
            self.counters.offers_refused += 1;
            return self.refuse(router, from, &correlation_id, reason);
        }
        if !self.local.config.routing.connects() {
            if edge {
                self.add_link(None, Role::Answerer, router, from, correlation_id, bond);
            } else {
                self.refuse(router, from, &correlation_id, "this node relays only");
            }
            return;
        }
        match self.answer(router, &from, &correlation_id, sdp, edge) {
            Ok(peer) => {
                self.add_link(Some(peer), Role::Answerer, router, from, correlation_id, bond);
            }
            Err(error) => {
                self.counters.bad_descriptions += 1;
                self.refuse(router, from, &correlation_id, &error.to_string());
            }
        }
    }

    /// Why a stranger's offer cannot be looked at now.
    pub(super) fn limit(&mut self) -> Option<&'static str> {
        if self.links.len() >= self.local.config.max_peers {
            Some("too many peers")
        } else if self.links_in_progress() >= self.local.config.max_offers_in_progress {
            Some("too many connections in progress")
        } else if !self.offers.take(self.now) {
            Some("too many offers")
        } else {
            None
        }
    }

    /// A connection that answers an offer, with the candidates that came before it.
    pub(super) fn answer(
        &mut self,
        router: RouterId,
        from: &str,
        correlation_id: &str,
        sdp: &str,
        edge: bool,
    ) -> Result<Peer, NegotiationError> {
        let mut peer = Peer::answer(self.now, &self.local.setup(edge), &mut self.rng, sdp)?;
        for candidate in self.early.take(self.now, router, from, correlation_id) {
            peer.handle_candidate(&candidate);
        }
        Ok(peer)
    }

    /// Both sides may call each other at the same time. A stock peer overwrites its own attempt with ours, so towards it ours
    /// must stand; between two clasp-edge nodes the offer of the lower session id stands.
    ///
    /// Returns the link whose offer crosses, and whether ours stands.
    pub(super) fn crossing(&self, router: RouterId, from: &str, edge: bool) -> Option<(LinkId, bool)> {
        let crossed = |l: &Link| l.router() == router && l.remote() == from && l.may_be_crossed();
        let (id, _) = self.links.iter().find(|(_, link)| crossed(link))?;
        let own = self.own_session(router)?;
        Some((*id, !edge || own < from))
    }

    /// Replaces our attempt by an answer to the peer's, under the same link: the application waits for that one. Without an `sdp`
    /// the peer wants no direct connection.
    pub(super) fn answer_instead(
        &mut self,
        id: LinkId,
        correlation_id: String,
        bond: Option<Bond>,
        sdp: Option<&str>,
    ) {
        let Some((router, from)) = self.links.get(&id).map(|link| (link.router(), link.remote().to_owned()))
        else {
            return;
        };
        let sdp = sdp.filter(|_| self.local.config.routing.connects());
        let peer = match sdp.map(|sdp| self.answer(router, &from, &correlation_id, sdp, true)).transpose() {
            Ok(peer) => peer,
            Err(error) => {
                self.counters.bad_descriptions += 1;
                return warn!(link:% = id, error:% = error; "unusable crossing offer");
            }
        };
        if let Some(link) = self.links.get_mut(&id) {
            link.set_bond(bond);
            link.answer_instead(self.now, peer, correlation_id);
        }
    }

    pub(super) fn refuse(&mut self, router: RouterId, from: String, correlation_id: &str, reason: &str) {
        if self.refusals.take(self.now) {
            let signal = OutSignal::Disconnected(clip(reason, MAX_REASON_BYTES).to_owned());
            self.signal_to(router, &from, correlation_id, &signal);
        } else {
            self.counters.refused_in_silence += 1;
        }
        if reason == NO_SUCH_LINK {
            debug!(from = from.as_str(); "a link that has ended here is not known there yet"); // nobody's fault
        } else if self.bursts.refused.begins(self.now) {
            warn!(from = from.as_str(), why = reason; "refusing offers");
        }
        self.remember_refusal(router, &from, reason);
        self.event(Event::Refused { peer: from, why: reason.to_owned() });
    }

    /// Says something to the other node of a link: with our proof, and what is no description sealed, if the two are paired.
    pub(super) fn signal_of(&mut self, id: LinkId, correlation_id: &str, signal: OutSignal) {
        let signal = self.signed(id, signal);
        let Some(link) = self.links.get(&id) else { return };
        let (router, remote) = (link.router(), link.remote().to_owned());
        let is_description = matches!(signal, OutSignal::Offer(_) | OutSignal::Answer(_));
        match link.bond().filter(|_| !is_description).map(|bond| bond.device) {
            None => self.signal_to(router, &remote, correlation_id, &signal),
            Some(device) => {
                let Some(message) = inner_signal(body(&signal)) else { return };
                self.say_sealed(router, &remote, correlation_id, device, message, true);
            }
        }
    }

    pub(super) fn signal_to(&mut self, router: RouterId, to: &str, correlation_id: &str, signal: &OutSignal) {
        let body = body(signal);
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

fn body(signal: &OutSignal) -> SignalBody<'_> {
    match signal {
        OutSignal::Offer(sdp) => SignalBody::Offer { sdp },
        OutSignal::Answer(sdp) => SignalBody::Answer { sdp },
        OutSignal::Candidate(candidate) => SignalBody::IceCandidate { candidate },
        OutSignal::Connected => SignalBody::Connected,
        OutSignal::Disconnected(reason) => SignalBody::Disconnected { reason: Some(reason) },
    }
}

/// The longest prefix of `text` that fits `max` bytes.
fn clip(text: &str, max: usize) -> &str {
    if text.len() <= max {
        return text;
    }
    (0..=max).rev().find_map(|end| text.get(..end)).unwrap_or_default()
}
