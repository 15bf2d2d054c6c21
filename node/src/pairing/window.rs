//! The side that shows the code.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand::CryptoRng;

use super::card::Side;
use super::exchange::{Begun, Shared, correlation};
use super::{
    Code, Fault, GUESSES, Invitation, Known, LONGEST_WINDOW, Letter, LetterBody, Me, PairingError,
    PairingOutput, Party, Provisional, QrSecret, RUN, VERSION,
};
use crate::wake::Wake;

/// A run that an initiator has begun.
struct Run {
    party: Party,
    correlation_id: String,
    shared: Shared,
    until: Instant,
}

struct Open {
    invitation: Invitation,
    guesses_left: u8,
    /// One at a time: all guesses are counted one after the other.
    run: Option<Run>,
}

/// The window in which this device can be paired.
#[derive(Default)]
pub struct Window {
    open: Option<Open>,
    out: VecDeque<PairingOutput>,
}

impl std::fmt::Debug for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Window").field("open", &self.open.is_some()).finish_non_exhaustive()
    }
}

impl Window {
    /// Opens the window for at most [`LONGEST_WINDOW`], with a new code. One that is open is replaced.
    pub fn open(&mut self, now: Instant, lasts: Duration, rng: &mut impl CryptoRng) -> Invitation {
        self.open_with(now, lasts, Code::draw(rng), rng)
    }

    pub(super) fn open_with(
        &mut self,
        now: Instant,
        lasts: Duration,
        code: Code,
        rng: &mut impl CryptoRng,
    ) -> Invitation {
        let lasts = lasts.min(LONGEST_WINDOW);
        let invitation = Invitation { code, secret: QrSecret::draw(rng), until: now + lasts, lasts };
        self.open = Some(Open { invitation: invitation.clone(), guesses_left: GUESSES, run: None });
        invitation
    }

    /// Closes the window; nothing is told.
    pub fn close(&mut self) {
        self.open = None;
    }

    /// Whether it is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// What it shows.
    #[must_use]
    pub fn invitation(&self) -> Option<&Invitation> {
        self.open.as_ref().map(|open| &open.invitation)
    }

    /// Takes a message.
    pub fn handle(
        &mut self,
        now: Instant,
        party: Party,
        letter: &Letter,
        me: Me<'_>,
        rng: &mut impl CryptoRng,
    ) {
        self.handle_timeout(now);
        match &letter.body {
            LetterBody::Begin { version, scanned, nonce, pake } => {
                let begun = self.begin(now, &party, letter, (*version, *scanned), (nonce, pake), rng);
                if let Err(fault) = begun {
                    self.say(party, letter, LetterBody::Fault(fault));
                }
            }
            LetterBody::InitiatorCard(sealed) => self.on_card(party, letter, sealed, me),
            // The rest is for initiators; and what an initiator has to complain of, it tells its user.
            _ => {}
        }
    }

    fn begin(
        &mut self,
        now: Instant,
        party: &Party,
        letter: &Letter,
        (version, scanned): (u32, bool),
        (nonce, pake): (&[u8; 16], &[u8; 33]),
        rng: &mut impl CryptoRng,
    ) -> Result<(), Fault> {
        if version != VERSION {
            return Err(Fault::Version);
        }
        let Some(open) = self.open.as_mut() else { return Err(Fault::Closed) };
        let Some(run_id) = correlation(&letter.correlation_id) else { return Err(Fault::Closed) };
        if let Some(run) = &open.run {
            let is_repeated = run.correlation_id == letter.correlation_id && run.party == *party;
            return if is_repeated { Ok(()) } else { Err(Fault::Busy) };
        }
        // Before anything leaves that a guess could be checked with.
        open.guesses_left = open.guesses_left.checked_sub(1).ok_or(Fault::Closed)?;
        let known = if scanned {
            Known::Qr(open.invitation.secret.clone())
        } else {
            Known::Code(open.invitation.code.clone())
        };
        let begun = Begun::new(Side::Responder, &known, rng);
        let reply = LetterBody::Reply { nonce: begun.nonce, pake: begun.pake };
        match begun.finish(&run_id, nonce, pake) {
            Some(shared) => {
                let correlation_id = letter.correlation_id.clone();
                open.run = Some(Run { party: party.clone(), correlation_id, shared, until: now + RUN });
                self.say(party.clone(), letter, reply);
                Ok(())
            }
            None => {
                self.wrong(party);
                Err(Fault::WrongCode)
            }
        }
    }

    fn on_card(&mut self, party: Party, letter: &Letter, sealed: &[u8], me: Me<'_>) {
        let Some(open) = &mut self.open else { return };
        let of_run = |run: &&mut Run| run.party == party && run.correlation_id == letter.correlation_id;
        if open.run.as_mut().filter(of_run).is_none() {
            return;
        }
        let Some(Run { shared, .. }) = open.run.take() else { return };
        match shared.open(sealed) {
            Some(card) if card.public_key == me.identity.public_key() => {
                self.out.push_back(PairingOutput::Failed(PairingError::Itself));
            }
            Some(card) => {
                self.open = None; // a code is good for one device
                let reply = LetterBody::ResponderCard(shared.close(me));
                self.say(party.clone(), letter, reply);
                let provisional = Provisional::new(card, shared.pair_key(), shared.check());
                self.out.push_back(PairingOutput::Provisional(party, Box::new(provisional)));
            }
            None => {
                self.say(party.clone(), letter, LetterBody::Fault(Fault::WrongCode));
                self.wrong(&party);
            }
        }
    }

    /// A guess was wrong, or given up.
    fn wrong(&mut self, party: &Party) {
        if self.open.as_ref().is_some_and(|open| open.guesses_left == 0) {
            self.open = None;
            let burnt = PairingError::Burnt(party.session.clone());
            self.out.push_back(PairingOutput::Failed(burnt));
        }
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        let Some(open) = &mut self.open else { return };
        let over = open.invitation.until <= now;
        let silent = open.run.take_if(|run| run.until <= now);
        if let Some(run) = silent {
            self.wrong(&run.party);
        }
        // A run that has begun in time may end.
        if over && self.open.as_ref().is_some_and(|open| open.run.is_none()) {
            self.open = None;
            self.out.push_back(PairingOutput::Failed(PairingError::WindowOver));
        }
    }

    /// When time alone makes a difference.
    #[must_use]
    pub fn wake(&self) -> Option<Wake> {
        let open = self.open.as_ref()?;
        let at = open.run.as_ref().map_or(open.invitation.until, |run| run.until);
        Some(Wake::new(at, "pairing window"))
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<PairingOutput> {
        self.out.pop_front()
    }

    fn say(&mut self, to: Party, about: &Letter, body: LetterBody) {
        let correlation_id = about.correlation_id.clone();
        self.out.push_back(PairingOutput::Send(to, Letter { correlation_id, body }));
    }
}
