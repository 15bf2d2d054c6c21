//! The side where the code is typed.
//!
//! One run for each code a person types: every run lets whoever is at the other end try one code, so none is ever repeated by itself.

use std::collections::VecDeque;
use std::time::Instant;

use data_encoding::HEXLOWER;
use rand::CryptoRng;

use super::card::Side;
use super::exchange::{Begun, Shared};
use super::{Known, Letter, LetterBody, Me, PairingError, PairingOutput, Party, Provisional, RUN, VERSION};
use crate::identity::DeviceId;
use crate::wake::Wake;

enum State {
    /// For `pair2`.
    Begun(Box<Begun>),
    /// For `pair4`.
    Shared(Shared),
    Over,
}

/// A run, from the initiator's side.
pub struct Call {
    party: Party,
    correlation: [u8; 16],
    correlation_id: String,
    wanted: Option<DeviceId>,
    until: Instant,
    state: State,
    out: VecDeque<PairingOutput>,
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call").field("party", &self.party).finish_non_exhaustive()
    }
}

impl Call {
    /// Begins a run with the device in that session; with `wanted`, with no other device than that.
    #[must_use]
    pub fn begin(
        now: Instant,
        party: Party,
        known: &Known,
        wanted: Option<DeviceId>,
        rng: &mut impl CryptoRng,
    ) -> Self {
        let mut correlation = [0; 16];
        rng.fill_bytes(&mut correlation);
        let begun = Begun::new(Side::Initiator, known, rng);
        let (nonce, pake, scanned) = (begun.nonce, begun.pake, known.is_scanned());
        let state = State::Begun(Box::new(begun));
        let correlation_id = HEXLOWER.encode(&correlation);
        let out = VecDeque::new();
        let mut call = Self { party, correlation, correlation_id, wanted, until: now + RUN, state, out };
        call.say(LetterBody::Begin { version: VERSION, scanned, nonce, pake });
        call
    }

    /// Whether the message is of this run.
    #[must_use]
    pub fn is_for(&self, party: &Party, letter: &Letter) -> bool {
        !self.is_over() && self.party == *party && self.correlation_id == letter.correlation_id
    }

    /// With whom.
    #[must_use]
    pub fn party(&self) -> &Party {
        &self.party
    }

    /// Whether nothing more comes.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Takes a message that [`Self::is_for`] said is of this run.
    pub fn handle(&mut self, letter: &Letter, me: Me<'_>) {
        match (std::mem::replace(&mut self.state, State::Over), &letter.body) {
            (State::Begun(begun), LetterBody::Reply { nonce, pake }) => {
                match begun.finish(&self.correlation, nonce, pake) {
                    Some(shared) => {
                        self.say(LetterBody::InitiatorCard(shared.close(me)));
                        self.state = State::Shared(shared);
                    }
                    None => self.fail(PairingError::WrongCode),
                }
            }
            (State::Shared(shared), LetterBody::ResponderCard(sealed)) => match shared.open(sealed) {
                None => self.fail(PairingError::WrongCode),
                Some(card) if card.public_key == me.identity.public_key() => self.fail(PairingError::Itself),
                Some(card) => {
                    let device = DeviceId::of(&card.public_key);
                    if self.wanted.is_some_and(|wanted| wanted != device) {
                        return self.fail(PairingError::OtherDevice(device));
                    }
                    let provisional = Provisional::new(card, shared.pair_key(), shared.check());
                    let provisional = PairingOutput::Provisional(self.party.clone(), Box::new(provisional));
                    self.out.push_back(provisional);
                }
            },
            (State::Begun(_) | State::Shared(_), LetterBody::Fault(fault)) => {
                self.fail(PairingError::Said(*fault));
            }
            (state, _) => self.state = state, // said twice, or out of turn
        }
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        if !self.is_over() && self.until <= now {
            self.fail(PairingError::Silence(RUN));
        }
    }

    /// When time alone makes a difference.
    #[must_use]
    pub fn wake(&self) -> Option<Wake> {
        (!self.is_over()).then(|| Wake::new(self.until, "pairing"))
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<PairingOutput> {
        self.out.pop_front()
    }

    fn say(&mut self, body: LetterBody) {
        let correlation_id = self.correlation_id.clone();
        self.out.push_back(PairingOutput::Send(self.party.clone(), Letter { correlation_id, body }));
    }

    fn fail(&mut self, why: PairingError) {
        self.state = State::Over;
        self.out.push_back(PairingOutput::Failed(why));
    }
}
