//! Pairing, as part of a node: windows and calls, the link that shows the other certificate, and the pair that is kept then.

use std::time::{Duration, Instant};

use clasp_wire::p2p::{PairBody, PairFrame};
use log::{debug, info, warn};

use super::{Link, Node};
use crate::event::{Event, LinkId, LinkState, RouterId};
use crate::identity::DeviceId;
use crate::limits::MAX_PAIRS;
use crate::pairing::{
    Call, Fault, Invitation, Known, Letter, LetterBody, Me, PROVISIONAL, PairingError, PairingOutput, Party,
    Provisional, Window,
};
use crate::pairs::{Pair, Pairs};
use crate::wake::Wake;

/// Why no pairing was begun.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PairCallError {
    /// One at a time.
    #[error("another device is being paired at this moment")]
    Busy,
    /// There is no room for another pair.
    #[error("{MAX_PAIRS} devices are paired, and no more can be: forget one first")]
    Full,
    /// The peer has not announced that it can be paired now.
    #[error("this peer shows no code: run `clasp-node pair` on that device first")]
    NotShown,
    /// The router is not connected.
    #[error("{0} is not connected")]
    RouterOffline(RouterId),
}

/// A pair that waits for its link.
struct Waiting {
    party: Party,
    provisional: Provisional,
    until: Instant,
    /// We called, so we make the offer.
    calls: bool,
}

/// See the module.
#[derive(Default)]
pub(super) struct Pairing {
    window: Window,
    call: Option<Call>,
    waiting: Option<Waiting>,
    /// Whether the routers were told that the window is open.
    announced: bool,
}

impl Pairing {
    /// The pair with a device: the one that is being made counts, so that its link can open.
    pub(super) fn pair<'a>(&'a self, pairs: &'a Pairs, device: DeviceId) -> Option<&'a Pair> {
        let waiting = self.waiting.as_ref().map(|waiting| &waiting.provisional.pair);
        waiting.filter(|pair| pair.id() == device).or_else(|| pairs.by_id(device))
    }

    pub(super) fn wake(&self) -> Option<Wake> {
        let waiting = self.waiting.as_ref().map(|waiting| Wake::new(waiting.until, "link of a new pair"));
        let call = self.call.as_ref().and_then(Call::wake);
        [self.window.wake(), call, waiting].into_iter().fold(None, Wake::earliest)
    }
}

impl Node {
    /// Opens a window in which another device can be paired by the code it returns; one that is open is replaced.
    ///
    /// # Errors
    /// [`PairCallError::Full`], and [`PairCallError::Busy`] while a pair waits for its link.
    pub fn open_pairing(&mut self, now: Instant, lasts: Duration) -> Result<Invitation, PairCallError> {
        self.now = now;
        self.may_pair()?;
        let invitation = self.pairing.window.open(now, lasts, &mut self.rng);
        self.announce_pairing();
        Ok(invitation)
    }

    /// Whether there is an open link to a paired device.
    #[must_use]
    pub fn is_linked(&self, device: DeviceId) -> bool {
        let is_its = |link: &&Link| link.bond().is_some_and(|bond| bond.device == device);
        self.links.values().filter(is_its).any(|link| link.is_usable() && link.state() != LinkState::Closed)
    }

    /// Closes the window.
    pub fn close_pairing(&mut self, now: Instant) {
        self.now = now;
        self.pairing.window.close();
        self.announce_pairing();
    }

    /// What the open window shows.
    #[must_use]
    pub fn invitation(&self) -> Option<&Invitation> {
        self.pairing.window.invitation()
    }

    /// Begins to pair with the device in that session, which shows a code; with `wanted`, with no other device than that. How it goes is
    /// told by [`Event::Paired`] or [`Event::PairingFailed`].
    ///
    /// # Errors
    /// When it cannot even be begun.
    pub fn pair(
        &mut self,
        now: Instant,
        router: RouterId,
        session: &str,
        known: &Known,
        wanted: Option<DeviceId>,
    ) -> Result<(), PairCallError> {
        self.now = now;
        self.may_pair()?;
        if self.pairing.call.is_some() {
            return Err(PairCallError::Busy);
        }
        if self.own_session(router).is_none() {
            return Err(PairCallError::RouterOffline(router));
        }
        if self.roster.find(router, session).is_none_or(|info| !info.pairing) {
            return Err(PairCallError::NotShown);
        }
        let party = Party { router, session: session.to_owned() };
        self.pairing.call = Some(Call::begin(now, party, known, wanted, &mut self.rng));
        self.drain_pairing();
        Ok(())
    }

    fn may_pair(&self) -> Result<(), PairCallError> {
        if self.pairing.waiting.is_some() {
            return Err(PairCallError::Busy);
        }
        if self.pairs.len() >= MAX_PAIRS { Err(PairCallError::Full) } else { Ok(()) }
    }

    /// Tells the routers whether this device can be paired now.
    fn announce_pairing(&mut self) {
        let (now, open) = (self.now, self.pairing.window.is_open());
        if std::mem::replace(&mut self.pairing.announced, open) == open {
            return;
        }
        for router in &mut self.routers {
            router.session.set_pairing(now, open);
            router.dirty = true;
        }
    }

    pub(super) fn on_letter(&mut self, router: RouterId, from: String, letter: &Letter) {
        let party = Party { router, session: from };
        if matches!(letter.body, LetterBody::Begin { .. }) && !self.takes_begin(&party, letter) {
            return;
        }
        let me = Me { identity: &self.local.identity, name: &self.local.config.name };
        match &mut self.pairing.call {
            Some(call) if call.is_for(&party, letter) => call.handle(letter, me),
            _ if self.pairing.waiting.is_some() => {
                if matches!(letter.body, LetterBody::Begin { .. }) {
                    self.say_letter(&party, &letter.correlation_id, &LetterBody::Fault(Fault::Busy));
                }
            }
            _ => self.pairing.window.handle(self.now, party, letter, me, &mut self.rng),
        }
        self.drain_pairing();
    }

    /// Whether somebody may begin to pair with us now. Two devices may each show a code and be told the other's, and then both call:
    /// of two calls that cross, that of the lower session id stands, and the other side forgets its own.
    fn takes_begin(&mut self, party: &Party, letter: &Letter) -> bool {
        let Some(call) = self.pairing.call.as_ref().filter(|call| !call.is_over()) else { return true };
        if call.party() != party {
            self.say_letter(party, &letter.correlation_id, &LetterBody::Fault(Fault::Busy));
            return false;
        }
        let ours_stands = self.own_session(party.router).is_some_and(|own| own < party.session.as_str());
        if !ours_stands {
            debug!("crossing calls to pair: theirs stands");
            self.pairing.call = None;
        }
        !ours_stands
    }

    pub(super) fn handle_pairing_timeout(&mut self, now: Instant) {
        self.pairing.window.handle_timeout(now);
        if let Some(call) = &mut self.pairing.call {
            call.handle_timeout(now);
        }
        if self.pairing.waiting.take_if(|waiting| waiting.until <= now).is_some() {
            self.fail_pairing(&PairingError::NoLink(PROVISIONAL));
        }
        self.drain_pairing();
    }

    fn drain_pairing(&mut self) {
        loop {
            let call = self.pairing.call.as_mut().and_then(Call::poll_output);
            let calls = call.is_some();
            let Some(output) = call.or_else(|| self.pairing.window.poll_output()) else { break };
            match output {
                PairingOutput::Send(party, letter) => {
                    self.say_letter(&party, &letter.correlation_id, &letter.body)
                }
                PairingOutput::Failed(why) => self.fail_pairing(&why),
                PairingOutput::Provisional(party, provisional) => self.await_link(party, *provisional, calls),
            }
        }
        self.pairing.call.take_if(|call| call.is_over());
        self.announce_pairing();
    }

    fn fail_pairing(&mut self, why: &PairingError) {
        self.event(Event::PairingFailed { why: why.clone() });
    }

    /// Both know the code: now a link has to show the certificate that the card spoke of.
    fn await_link(&mut self, party: Party, provisional: Provisional, calls: bool) {
        let device = provisional.pair.id();
        debug!(device:% = device; "the code is right");
        let (router, session) = (party.router, party.session.clone());
        self.pairing.waiting = Some(Waiting { party, provisional, until: self.now + PROVISIONAL, calls });
        if !calls {
            return;
        }
        // A link from before, when the device was nobody, proves nothing.
        let now = self.now;
        for link in self.links.values_mut().filter(|l| l.router() == router && l.remote() == session) {
            link.close(now, "pairing");
        }
        if let Err(error) = self.connect_to(router, &session, Some(device)) {
            self.pairing.waiting = None;
            self.fail_pairing(&PairingError::NotKept(error.to_string()));
        }
    }

    /// A link is open, so DTLS has shown its certificate. If it is the one of a pair that waits, the pair is kept.
    pub(super) fn settle_pair(&mut self, id: LinkId) {
        let device = self.links.get(&id).and_then(Link::bond).map(|bond| bond.device);
        let is_its = |waiting: &mut Waiting| Some(waiting.provisional.pair.id()) == device;
        let Some(waiting) = self.pairing.waiting.take_if(is_its) else { return };
        let Waiting { party, provisional: Provisional { pair, check }, .. } = waiting;
        let device = pair.id();
        self.heard_anew(device);
        match self.pairs.insert(pair) {
            Ok(pair) => {
                let name = pair.name.clone();
                self.add_contact(device, party.router);
                info!(device:% = device, name = name.as_str(); "paired");
                self.event(Event::Paired { device, name, peer: party.session, check });
            }
            Err(error) => self.fail_pairing(&PairingError::NotKept(error.to_string())),
        }
    }

    /// The link that was to show the certificate did not open.
    pub(super) fn note_link_of_pair_failed(&mut self, id: LinkId, why: &dyn std::fmt::Display) {
        let device = self.links.get(&id).and_then(Link::bond).map(|bond| bond.device);
        let is_its = |waiting: &mut Waiting| waiting.calls && Some(waiting.provisional.pair.id()) == device;
        if self.pairing.waiting.take_if(is_its).is_some() {
            self.fail_pairing(&PairingError::NotKept(format!(
                "the link between the devices did not open: {why}"
            )));
        }
    }

    fn say_letter(&mut self, to: &Party, correlation_id: &str, body: &LetterBody) {
        if matches!(body, LetterBody::Fault(_)) && !self.refusals.take(self.now) {
            self.counters.refused_in_silence += 1;
            return;
        }
        let body = match body {
            LetterBody::Begin { version, scanned, nonce, pake } => {
                PairBody::Begin { version: *version, scanned: *scanned, nonce, pake }
            }
            LetterBody::Reply { nonce, pake } => PairBody::Reply { nonce, pake },
            LetterBody::InitiatorCard(sealed) => PairBody::InitiatorCard(sealed),
            LetterBody::ResponderCard(sealed) => PairBody::ResponderCard(sealed),
            LetterBody::Fault(fault) => PairBody::Fault(fault.word()),
        };
        let from = self.own_session(to.router).unwrap_or_default().to_owned();
        let mut out = Vec::new();
        match (PairFrame { from: &from, correlation_id, body }).encode_publish(&to.session, &mut out) {
            Ok(()) => self.with_session(to.router, |session| session.say(out, false)),
            Err(error) => warn!(error:% = error; "pairing message not sent"),
        }
    }
}
