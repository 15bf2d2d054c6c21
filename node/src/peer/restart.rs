//! Another path for an open link: ICE restart (RFC 8445 §2.4, RFC 8839 §4.4.1.1.1), between two of our nodes only.
//!
//! The DTLS session and the data channels stay as they are; only the addresses they use are negotiated again, by an offer and
//! an answer with the link's own correlation id. A stock peer takes every offer for a new connection, so it never gets one.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use log::{debug, info};
use str0m::{Candidate, CandidateKind, IceCreds, Input};

use super::description::{Description, SetupRole};
use super::state::State;
use super::{Ended, OutSignal, Peer, PeerOutput, sdp};
use crate::event::{DisconnectReason, PathKind, Step};
use crate::limits::{MAX_RESTARTS, RESTART_LIMIT};
use crate::wake::Wake;

/// An offer that is not answered is sent again this often: the router, or the way to it, may be coming back as well.
const RESEND_OFFER: Duration = Duration::from_secs(1);

/// How long the checks may take once both sides know of the restart: a lost one is repeated after 250 ms, 500 ms, 1 s, 2 s.
const CHECKS: Duration = Duration::from_secs(6);

/// A restart under way.
pub(super) struct Restart {
    /// As in the state before.
    told: bool,
    ours: Option<OurOffer>,
    /// Since when this path is looked for.
    began: Instant,
    /// The link is given up then.
    until: Instant,
}

struct OurOffer {
    credentials: IceCreds,
    text: String,
    resend_at: Instant,
    /// The addresses changed again since: another restart follows this one.
    outdated: bool,
}

/// Which restarts there were in the life of a link.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    /// How many we have offered.
    offered: u32,
    /// How many took place, whoever offered them.
    done: usize,
    /// The number of the last offer of the peer that was answered, and what was answered.
    answered: u32,
    answer: String,
}

impl Restart {
    pub(super) fn wake(&self) -> Wake {
        let resend = self.ours.as_ref().map(|ours| Wake::new(ours.resend_at, "restart offer again"));
        let until = Wake::new(self.until, "restart timeout");
        Wake::earliest(resend, Some(until)).unwrap_or(until)
    }

    pub(super) fn awaits_answer(&self) -> bool {
        self.ours.is_some()
    }
}

impl Peer {
    /// Our sockets have these addresses now. New ones are offered to the peer; if the path in use has lost its own, another is
    /// looked for.
    pub fn handle_addresses(&mut self, now: Instant, addresses: &[SocketAddr]) {
        if matches!(self.state, State::Closing { .. } | State::Gone) {
            return;
        }
        self.on_loopback = addresses.iter().any(|address| address.ip().is_loopback());
        // What servers told of an address that is gone, they take back themselves.
        let is_gone = |c: &mut Candidate| c.kind() == CandidateKind::Host && !addresses.contains(&c.addr());
        let gone: Vec<_> = self.local.extract_if(.., is_gone).collect();
        let known = |address: &SocketAddr| self.local.iter().any(|c| c.addr() == *address);
        let wanted = addresses.iter().filter(|address| !self.turn_only && !known(address));
        let new: Vec<_> = wanted.copied().collect();
        if gone.is_empty() && new.is_empty() {
            return;
        }
        for candidate in &gone {
            if !self.rtc.direct_api().invalidate_candidate(candidate) {
                debug!(address:% = candidate.addr(); "not a candidate of ours");
            }
        }
        let added = super::negotiation::add_local_candidates(&mut self.rtc, &new);
        self.trickle(&added);
        self.local.extend(added);
        let Some(path) = self.path.filter(|_| self.edge && self.state.is_open()) else { return };
        let lost = path.local_kind != PathKind::Relay && !addresses.contains(&path.local);
        let pathless = matches!(self.state, State::Restarting(_)) && !new.is_empty();
        // Loopback does not lead to where another address led.
        let leads_there = |address: &SocketAddr| address.ip().is_loopback() == path.local.ip().is_loopback();
        match (lost || pathless, addresses.iter().any(leads_there)) {
            (true, true) => self.restart(now, RESTART_LIMIT),
            (true, false) => self.await_address(now),
            (false, _) => {}
        }
    }

    /// Without any address there is nothing to offer: waits for one.
    fn await_address(&mut self, now: Instant) {
        if let State::Open { told } = self.state {
            self.deadline = None;
            self.enter(State::Restarting(Restart {
                told,
                ours: None,
                began: now,
                until: now + RESTART_LIMIT,
            }));
        }
    }

    /// Looks for another path. The link is given up after `limit` without one.
    pub(super) fn restart(&mut self, now: Instant, limit: Duration) {
        let (told, until) = match &mut self.state {
            State::Open { told } => (*told, now + limit),
            State::Restarting(Restart { ours: Some(ours), until, .. }) => {
                // One at a time: two answers could not be told apart.
                ours.outdated = true;
                *until = (*until).max(now + limit);
                return;
            }
            State::Restarting(restart) => (restart.told, restart.until.max(now + limit)),
            _ => return,
        };
        if self.restarts.done >= MAX_RESTARTS {
            return self.lose(now);
        }
        // They count from the answer on. Our candidates stay as they are; those whose address is gone are invalid already.
        let credentials = IceCreds::new();
        self.restarts.offered += 1;
        let role = std::mem::replace(&mut self.described.setup, SetupRole::ActPass); // as every offer has to say
        let text = sdp::as_restart(&self.describe_again(Some(&credentials)), self.restarts.offered);
        self.described.setup = role;
        self.signal(OutSignal::Offer(text.clone()), Step::RestartOfferSent);
        let ours = OurOffer { credentials, text, resend_at: now + RESEND_OFFER, outdated: false };
        self.enter(State::Restarting(Restart { told, ours: Some(ours), began: now, until }));
    }

    /// Takes the peer's `number`th offer of a restart, and says whether it was answered. `ours_stands`: should both have offered
    /// one, the peer answers ours.
    pub fn handle_restart_offer(
        &mut self,
        now: Instant,
        number: u32,
        offer: &str,
        ours_stands: bool,
    ) -> bool {
        if number == self.restarts.answered && self.state.is_open() {
            // The answer was lost or is still on its way, and only with it the peer's checks can begin.
            self.allow_checks(now);
            let answer = OutSignal::Answer(self.restarts.answer.clone());
            self.out.push_back(PeerOutput::Signal(answer));
            return true;
        }
        if number < self.restarts.answered {
            debug!(number; "late restart offer ignored");
            return false;
        }
        let told = match &self.state {
            State::Open { told } => *told,
            State::Restarting(restart) if restart.awaits_answer() && ours_stands => {
                debug!("crossing restart offer ignored: ours stands");
                return false;
            }
            State::Restarting(restart) => restart.told,
            _ => {
                debug!("restart offer ignored: the link is not open");
                return false;
            }
        };
        if self.restarts.done >= MAX_RESTARTS {
            self.lose(now);
            return false;
        }
        let remote = match Description::parse(offer) {
            Ok(remote) => remote,
            Err(error) => {
                info!(error:% = error; "restart offer ignored");
                return false;
            }
        };
        self.start_over(now, IceCreds::new(), &remote);
        let answer = self.describe_again(None);
        (self.restarts.answered, self.restarts.answer) = (number, answer.clone());
        self.out.push_back(PeerOutput::Step(Step::RestartOfferReceived));
        self.signal(OutSignal::Answer(answer), Step::AnswerSent);
        self.await_checks(now, told, &remote.candidates);
        true
    }

    /// Takes the answer to our restart offer.
    pub(super) fn handle_restart_answer(&mut self, now: Instant, answer: &str) {
        let State::Restarting(restart) = &mut self.state else { return };
        let Some(OurOffer { credentials, outdated, .. }) = restart.ours.take() else { return };
        let told = restart.told;
        let remote = match Description::parse(answer) {
            Ok(remote) => remote,
            Err(error) => {
                let why = format!("unusable answer to an ICE restart: {error}");
                let ended = Ended::Disconnected(DisconnectReason::Violation(why));
                return self.end(now, ended, Some("unusable answer"));
            }
        };
        self.start_over(now, credentials, &remote);
        self.out.push_back(PeerOutput::Step(Step::AnswerReceived));
        self.await_checks(now, told, &remote.candidates);
        self.add_waiting_candidates();
        if outdated {
            self.restart(now, RESTART_LIMIT);
        }
    }

    /// Has ICE forget what it found, and begin again with these credentials. Data keep going where they went until it has found
    /// something better.
    fn start_over(&mut self, now: Instant, credentials: IceCreds, remote: &Description) {
        self.restarts.done += 1;
        // A pair goes with either of its candidates.
        let known = self.remote.iter().chain(&self.local);
        let forgotten =
            known.filter(|candidate| self.rtc.direct_api().invalidate_candidate(candidate)).count();
        // Sees that no pair is left; from then on the next that works is news.
        if let Err(error) = self.rtc.handle_input(Input::Timeout(now)) {
            debug!(error:% = error; "restart without a timeout");
        }
        let mut ice = self.rtc.direct_api();
        ice.set_local_ice_credentials(credentials.clone());
        ice.set_remote_ice_credentials(remote.credentials.clone());
        self.described.credentials = credentials;
        self.remote.clear();
        for candidate in &self.local {
            if self.rtc.add_local_candidate(candidate.clone()).is_none() {
                debug!(address:% = candidate.addr(); "not a candidate any more");
            }
        }
        debug!(restart = self.restarts.done, forgotten; "ICE starts over");
    }

    /// The peer's candidates of before mean nothing any more; both sides trickle anew.
    fn await_checks(&mut self, now: Instant, told: bool, remote_candidates: &[String]) {
        self.unresolved.clear();
        self.trickled = 0;
        self.deadline = None;
        self.enter(State::Restarting(Restart { told, ours: None, began: now, until: now + CHECKS }));
        self.trickle_all();
        self.add_described_candidates(remote_candidates);
    }

    /// ICE has a working pair again.
    pub(super) fn restarted(&mut self, now: Instant) {
        if let State::Restarting(Restart { told, ours: None, .. }) = self.state {
            self.deadline = None;
            self.liveness.heard(now);
            self.out.push_back(PeerOutput::Step(Step::IceConnected));
            self.enter(State::Open { told });
            self.tell_path();
            // What was sent into the old path is lost; unless it filled the window, probes tell sooner than the timer.
            self.watch_tail(now);
        }
    }

    /// The peer cannot be reached through the router, so no other path can be agreed on; but it may still hear us on this one.
    pub(super) fn call_off_restart(&mut self) {
        if let State::Restarting(Restart { told, ours: Some(_), .. }) = self.state {
            self.enter(State::Open { told });
            self.tell_path();
        }
    }

    /// The peer lives: what a restart takes on a long way may be longer than a dead peer is waited for. But not for ever: it may
    /// live on the old path, having called off what we agreed to.
    pub(super) fn allow_checks(&mut self, now: Instant) {
        if let State::Restarting(restart) = &mut self.state {
            let latest = restart.began + RESTART_LIMIT;
            restart.until = restart.until.max(latest.min(now + CHECKS));
        }
    }

    pub(super) fn on_restart_timer(&mut self, now: Instant) {
        let State::Restarting(restart) = &mut self.state else { return };
        if restart.until <= now {
            return self.lose(now);
        }
        if let Some(ours) = restart.ours.as_mut().filter(|ours| ours.resend_at <= now) {
            ours.resend_at = now + RESEND_OFFER;
            self.out.push_back(PeerOutput::Signal(OutSignal::Offer(ours.text.clone())));
        }
    }
}
