//! Which offers, answers and other signals are a paired device's, and proving to it that ours are ours.
//!
//! The descriptions of a link between paired devices carry a line that only the pair can have written ([`auth`]); all else
//! that such a link says through a router is sealed ([`seal`]).

use std::collections::BTreeMap;
use std::time::Instant;

use clasp_wire::p2p::{P2pSignal, SealedFrame, SignalBody};
use clasp_wire::{Message, message::Body};
use log::{debug, warn};

use super::signals::SESSION_ENDED;
use super::{Link, Node};
use crate::auth::{self, AuthError, Kind, Nonce, Parties, SeenNonces, Tag};
use crate::config::Trust;
use crate::event::{LinkId, RouterId};
use crate::identity::DeviceId;
use crate::pairs::{Pair, PairError};
use crate::peer::{OutSignal, fingerprint};
use crate::seal;
use crate::session::{InBody, body_of};

/// The reason given to a device that is not paired, or not any more: it may have forgotten this one, or the other way round.
pub(super) const NOT_PAIRED: &str = "not paired: pair the two devices (again)";

/// The reason given to a device whose certificate is not the one it was paired with.
const OTHER_CERTIFICATE: &str = "certificate changed since the devices were paired: forget the pair first";

/// The paired device at the other end of a link.
#[derive(Debug, Clone)]
pub(crate) struct Bond {
    pub(crate) device: DeviceId,
    /// Our last offer, which its answer must be to.
    ours: Option<Tag>,
    /// Its last offer.
    theirs: Option<Tag>,
}

impl Bond {
    pub(crate) fn new(device: DeviceId) -> Self {
        Self { device, ours: None, theirs: None }
    }
}

/// What has come from paired devices.
#[derive(Default)]
pub(super) struct Heard {
    descriptions: BTreeMap<DeviceId, SeenNonces>,
    sealed: BTreeMap<DeviceId, SeenNonces>,
}

impl Heard {
    fn forget(&mut self, device: DeviceId) {
        self.descriptions.remove(&device);
        self.sealed.remove(&device);
    }
}

/// A sealed signal, as it came.
#[derive(Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Who says to have sealed it.
    pub(crate) device: DeviceId,
    pub(crate) nonce: [u8; 16],
    pub(crate) sealed: Vec<u8>,
}

impl Node {
    /// Forgets a paired device. Links to it end; it is not told, and will hear that it is not paired when it calls.
    ///
    /// # Errors
    /// As [`Pairs::remove`](crate::Pairs::remove).
    pub fn forget(&mut self, now: Instant, device: DeviceId) -> Result<Pair, PairError> {
        self.now = now;
        let pair = self.pairs.remove(device)?;
        self.heard.forget(device);
        self.remove_contact(device);
        let is_its = |link: &&mut Link| link.bond().is_some_and(|bond| bond.device == device);
        for link in self.links.values_mut().filter(is_its) {
            link.close(now, "the devices are not paired any more");
        }
        Ok(pair)
    }

    /// A device has another key from now on: nothing that came under the old one matters.
    pub(super) fn heard_anew(&mut self, device: DeviceId) {
        self.heard.forget(device);
    }

    /// Calls a paired device by another name from now on.
    ///
    /// # Errors
    /// As [`Pairs::rename`](crate::Pairs::rename).
    pub fn rename(&mut self, device: DeviceId, name: &str) -> Result<(), PairError> {
        self.pairs.rename(device, name)
    }

    /// The number of the next thing to be signed or sealed.
    fn next_nonce(&mut self) -> Nonce {
        self.nonce.count += 1;
        self.nonce
    }

    /// Whose offer this is: `None` for a stranger's where strangers are welcome.
    ///
    /// # Errors
    /// Why it is refused.
    pub(super) fn who_offers(&mut self, sdp: &str) -> Result<Option<Bond>, &'static str> {
        let strangers = self.local.config.trust == Trust::Open;
        let claim = auth::claim(sdp);
        let pair = match &claim {
            Ok(Some(claim)) => self.pairing.pair(&self.pairs, claim.from),
            _ => None,
        };
        let (Ok(Some(claim)), Some(pair)) = (&claim, pair) else {
            return if strangers { Ok(None) } else { Err(NOT_PAIRED) };
        };
        let parties = Parties { from: pair.id(), to: self.local.identity.id(), key: &pair.key };
        let seen = self.heard.descriptions.entry(pair.id()).or_default();
        match claim.check(Kind::Offer, parties, seen) {
            Ok(tag) if is_pinned(pair, sdp) => {
                Ok(Some(Bond { device: pair.id(), ours: None, theirs: Some(tag) }))
            }
            Ok(_) => {
                warn!(name = pair.name.as_str(); "a paired device offers another certificate than it was paired with; refused");
                Err(OTHER_CERTIFICATE)
            }
            Err(AuthError::Replayed) => Err("this offer has been made before"),
            Err(_) => Err("wrong proof of identity"),
        }
    }

    /// Whether a link may take this signal, which came sealed by `device` or open.
    pub(super) fn believes(&mut self, id: LinkId, device: Option<DeviceId>, body: &InBody) -> bool {
        let Some(link) = self.links.get(&id) else { return false };
        let Some(bond) = link.bond() else { return true };
        let is_theirs = device == Some(bond.device);
        match body {
            InBody::Offer { sdp, .. } => return self.takes_offer(id, sdp),
            InBody::Answer { sdp, .. } => return self.takes_answer(id, sdp),
            // A device that has forgotten this one, or cannot tell who offers, has no key to say so with. It opens nothing.
            InBody::Disconnected(_) if device.is_none() && !link.is_usable() => return true,
            _ if is_theirs => return true,
            // What a router says of every session that ends; the link does not need it.
            InBody::Disconnected(Some(reason)) if device.is_none() && reason == SESSION_ENDED => {
                return false;
            }
            _ => {}
        }
        self.note_unproven(id, "signal", &"it is not sealed by the paired device");
        false
    }

    /// Whether a link may take this offer, and notes it for the answer.
    pub(super) fn takes_offer(&mut self, id: LinkId, sdp: &str) -> bool {
        let Some(device) = self.links.get(&id).and_then(Link::bond).map(|bond| bond.device) else {
            return true;
        };
        match self.who_offers(sdp) {
            Ok(Some(offered)) if offered.device == device => {
                if let Some(bond) = self.links.get_mut(&id).and_then(Link::bond_mut) {
                    bond.theirs = offered.theirs;
                }
                true
            }
            other => {
                let why = other.err().unwrap_or("it is not the paired device's");
                self.note_unproven(id, "offer", &why);
                false
            }
        }
    }

    /// Whether a link may take this answer.
    pub(super) fn takes_answer(&mut self, id: LinkId, sdp: &str) -> bool {
        let Some(bond) = self.links.get(&id).and_then(Link::bond) else { return true };
        let checked = match (self.pairing.pair(&self.pairs, bond.device), auth::claim(sdp), &bond.ours) {
            (Some(pair), Ok(Some(claim)), Some(offer)) => {
                let parties = Parties { from: pair.id(), to: self.local.identity.id(), key: &pair.key };
                let seen = self.heard.descriptions.entry(pair.id()).or_default();
                let checked = claim.check(Kind::Answer(offer), parties, seen);
                checked.map(|_| is_pinned(pair, sdp))
            }
            (_, Err(error), _) => Err(error),
            _ => Err(AuthError::Wrong),
        };
        match checked {
            Ok(true) => return true,
            Ok(false) => self.note_unproven(id, "answer", &OTHER_CERTIFICATE),
            Err(error) => self.note_unproven(id, "answer", &error),
        }
        false
    }

    pub(super) fn note_unproven(&mut self, id: LinkId, what: &str, why: &dyn std::fmt::Display) {
        self.counters.unproven_signals += 1;
        if self.bursts.unproven.begins(self.now) {
            warn!(link:% = id, what, why:% = why; "signals that no paired device can have sent are ignored");
        }
    }

    /// Puts our proof into a description of a link between paired devices.
    pub(super) fn signed(&mut self, id: LinkId, signal: OutSignal) -> OutSignal {
        let nonce = self.next_nonce();
        let Self { links, pairs, pairing, local, .. } = self;
        let Some(bond) = links.get_mut(&id).and_then(Link::bond_mut) else { return signal };
        let Some(pair) = pairing.pair(pairs, bond.device) else { return signal };
        let parties = Parties { from: local.identity.id(), to: pair.id(), key: &pair.key };
        match (signal, &bond.theirs) {
            (OutSignal::Offer(sdp), _) => {
                let (sdp, tag) = auth::sign(&sdp, Kind::Offer, parties, nonce);
                bond.ours = Some(tag);
                OutSignal::Offer(sdp)
            }
            (OutSignal::Answer(sdp), Some(offer)) => {
                OutSignal::Answer(auth::sign(&sdp, Kind::Answer(offer), parties, nonce).0)
            }
            (other, _) => other,
        }
    }

    /// Says something about a link between paired devices so that its router cannot read it. `when_offline`: it may wait for the router.
    pub(super) fn say_sealed(
        &mut self,
        router: RouterId,
        to: &str,
        correlation_id: &str,
        device: DeviceId,
        mut message: Vec<u8>,
        when_offline: bool,
    ) {
        let nonce = self.next_nonce();
        let Some(pair) = self.pairing.pair(&self.pairs, device) else {
            return debug!("nothing is said to a forgotten device");
        };
        let own = self.local.identity.id();
        seal::seal(&mut message, Parties { from: own, to: pair.id(), key: &pair.key }, nonce, correlation_id);
        let (device, from) = (own.to_string(), self.own_session(router).unwrap_or_default().to_owned());
        let (nonce, sealed) = (&nonce.bytes(), message.as_slice());
        let frame = SealedFrame { from: &from, correlation_id, device: &device, nonce, sealed };
        let mut out = Vec::new();
        match frame.encode_publish(to, &mut out) {
            Ok(()) => self.with_session(router, |session| session.say(out, when_offline)),
            Err(error) => warn!(to, error:% = error; "sealed signal not sent"),
        }
    }

    /// What a sealed signal says, and which paired device says it.
    pub(super) fn unsealed(&mut self, correlation_id: &str, sealed: Sealed) -> Option<(InBody, DeviceId)> {
        let Sealed { device, nonce, sealed: mut message } = sealed;
        let Some(pair) = self.pairing.pair(&self.pairs, device) else {
            self.counters.unproven_signals += 1;
            debug!(device:% = device; "sealed signal of a device that is not paired");
            return None;
        };
        let parties = Parties { from: pair.id(), to: self.local.identity.id(), key: &pair.key };
        let seen = self.heard.sealed.entry(pair.id()).or_default();
        if let Err(error) = seal::open(&mut message, parties, Nonce::from_bytes(nonce), correlation_id, seen)
        {
            self.counters.unproven_signals += 1;
            if self.bursts.unproven.begins(self.now) {
                warn!(device:% = device, error:% = error; "sealed signals that do not open are ignored");
            }
            return None;
        }
        let body = match Message::decode_compact(&message) {
            Ok((_, Message::Publish(publish))) => match publish.body {
                Body::Value(value) => body_of(value),
                _ => None,
            },
            _ => None,
        };
        if body.is_none() {
            debug!(device:% = device; "sealed signal that says nothing");
        }
        Some((body?, device))
    }
}

/// Whether a description is for the certificate that the device was paired with.
fn is_pinned(pair: &Pair, sdp: &str) -> bool {
    fingerprint(sdp).is_some_and(|shown| shown.hash_func == "sha-256" && shown.bytes == pair.fingerprint)
}

/// A signal to be sealed. Who sends it, to whom, and about which link is on the outside.
pub(super) fn inner_signal(body: SignalBody<'_>) -> Option<Vec<u8>> {
    let mut frame = Vec::new();
    let signal = P2pSignal { from: "", correlation_id: "", edge: true, body };
    match signal.encode_publish("", &mut frame) {
        Ok(()) => Some(frame),
        Err(error) => {
            warn!(error:% = error; "signal not sent");
            None
        }
    }
}
