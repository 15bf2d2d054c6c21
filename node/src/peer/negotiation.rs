//! Offer, answer and candidates: how a [`Peer`] comes to be and what it learns from signals.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clasp_wire::p2p::CandidateInit;
use log::debug;
use rand::{Rng, RngExt};
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::channel::{ChannelConfig, Reliability};
use str0m::config::DtlsVersion;
use str0m::{Candidate, IceCreds, Input, Rtc, RtcConfig};

use super::candidate::{self, Parsed};
use super::channels::Channels;
use super::liveness::Liveness;
use super::restart::Restarts;
use super::sdp::{self, Resume};
use super::state::State;
use super::tail::TailProbe;
use super::tally::Tally;
use super::{Certificate, OutSignal, Peer, PeerOutput, crypto};
use crate::event::{Channel, FailReason, LinkState, Role, Step};
use crate::ice_servers::Gathered;
use crate::limits::{
    MAX_CANDIDATE_BYTES, MAX_RECEIVE_MESSAGE_BYTES, MAX_REMOTE_CANDIDATES, MAX_SEND_MESSAGE_BYTES,
    SCTP_SEND_BUFFER_BYTES,
};
use crate::wake::Wake;

/// The media section's identifier in our offers, and in the candidates of both sides (reference §9.4).
const MID: &str = "0";

/// RFC 8445 §5.3 asks for at least 4 and 22 characters; these carry 47 and 142 bits.
const UFRAG_CHARS: usize = 8;
const PASSWORD_CHARS: usize = 24;

/// What every link of a node has in common.
#[derive(Debug)]
pub struct Setup<'a> {
    /// The node's certificate.
    pub certificate: &'a Certificate,
    /// The addresses the node can be reached at: its bound sockets.
    pub addresses: &'a [SocketAddr],
    /// Its addresses as STUN and TURN servers tell them.
    pub gathered: &'a [Gathered],
    /// Whether the peer is told relayed addresses only.
    pub turn_only: bool,
    /// The peer is known to be a clasp-edge node.
    pub edge: bool,
    /// How long a link may take to open.
    pub connect_timeout: Duration,
    /// Bytes in flight per link.
    pub send_buffer_bytes: usize,
}

/// Why a link could not even be begun.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NegotiationError {
    /// The description was refused before it was parsed.
    #[error(transparent)]
    Sdp(#[from] sdp::SdpFault),
    /// The description does not parse, or asks for what we do not do.
    #[error("SDP: {0}")]
    Rejected(String),
}

impl Peer {
    /// Starts a link by making an offer. Local candidates are in it and are trickled as well. `resume` names the link whose
    /// connection is lost, if this is to be another one for it.
    ///
    /// # Errors
    /// When str0m cannot make one, which no input has been seen to cause.
    pub fn offer(
        now: Instant,
        setup: &Setup<'_>,
        rng: &mut impl Rng,
        resume: Option<&Resume<'_>>,
    ) -> Result<Self, NegotiationError> {
        let mut rtc = build(now, setup, rng);
        let candidates = add_known_candidates(&mut rtc, setup);
        let mut changes = rtc.sdp_api();
        for channel in [Channel::Stream, Channel::Reliable] {
            changes.add_channel_with_config(config(channel));
        }
        let (offer, pending) =
            changes.apply().ok_or_else(|| NegotiationError::Rejected("no change to offer".to_owned()))?;
        let text = offer.to_sdp_string();
        let mid = sdp::mid(&text).unwrap_or(MID).to_owned();
        let text = sdp::with_mid(&text, MID);
        let text = resume.map_or_else(|| text.clone(), |resume| sdp::as_resume(&text, resume));

        let mut peer = Self::new(now, setup, rtc, Role::Offerer, State::Offering { pending });
        (peer.own_mid, peer.wire_mid) = (mid, MID.to_owned());
        peer.out.push_back(PeerOutput::State(LinkState::Offering));
        peer.signal(OutSignal::Offer(text), Step::OfferSent);
        peer.trickle(&candidates);
        peer.local = candidates;
        Ok(peer)
    }

    /// Starts a link by answering `offer`.
    ///
    /// # Errors
    /// When the offer cannot be used; the error says why and is fit to be sent back.
    pub fn answer(
        now: Instant,
        setup: &Setup<'_>,
        rng: &mut impl Rng,
        offer: &str,
    ) -> Result<Self, NegotiationError> {
        sdp::check(offer)?;
        let (description, remote_candidates) = sdp::split_candidates(offer);
        let parsed = SdpOffer::from_sdp_string(&description).map_err(rejected)?;
        let mut rtc = build(now, setup, rng);
        let candidates = add_known_candidates(&mut rtc, setup);
        let answer = rtc.sdp_api().accept_offer(parsed).map_err(rejected)?;

        let state = State::Checking { ice: false, dtls: false };
        let mut peer = Self::new(now, setup, rtc, Role::Answerer, state);
        peer.max_message = sdp::max_message_size(offer);
        peer.fingerprint = sdp::fingerprint(offer).map(str::to_owned);
        peer.out.push_back(PeerOutput::State(LinkState::Checking));
        peer.out.push_back(PeerOutput::Step(Step::OfferReceived));
        peer.signal(OutSignal::Answer(answer.to_sdp_string()), Step::AnswerSent);
        sdp::mid(offer).unwrap_or(MID).clone_into(&mut peer.wire_mid);
        peer.own_mid.clone_from(&peer.wire_mid);
        peer.trickle(&candidates);
        peer.local = candidates;
        peer.add_described_candidates(&remote_candidates);
        Ok(peer)
    }

    fn new(now: Instant, setup: &Setup<'_>, rtc: Rtc, role: Role, state: State) -> Self {
        Self {
            rtc,
            role,
            state,
            epoch: now,
            connect_timeout: setup.connect_timeout,
            deadline: Some(Wake::new(now + setup.connect_timeout, "connect timeout")),
            liveness: Liveness::new(now),
            tail: TailProbe::default(),
            written: 0,
            confirmation: None,
            own_mid: String::new(),
            wire_mid: String::new(),
            local: Vec::new(),
            turn_only: setup.turn_only,
            on_loopback: setup.addresses.iter().any(|address| address.ip().is_loopback()),
            restarts: Restarts::default(),
            waiting_candidates: heapless::Deque::new(),
            trickled: 0,
            remote_addresses: heapless::Vec::new(),
            unresolved: heapless::Vec::new(),
            channels: Channels::new(),
            max_message: MAX_SEND_MESSAGE_BYTES,
            path: None,
            edge: setup.edge,
            fingerprint: None,
            wanted_fingerprint: None,
            out: VecDeque::new(),
            tally: Tally::default(),
        }
    }

    /// Takes the peer's answer. Anything but the first is ignored: signals may be delivered twice.
    pub fn handle_answer(&mut self, now: Instant, answer: &str) {
        match &self.state {
            State::Offering { .. } => {}
            State::Restarting(restart) if restart.awaits_answer() => {
                return self.handle_restart_answer(now, answer);
            }
            _ => return debug!("answer ignored: none is awaited"),
        }
        let checking = State::Checking { ice: false, dtls: false };
        let State::Offering { pending } = std::mem::replace(&mut self.state, checking) else { return };
        self.fingerprint = sdp::fingerprint(answer).map(str::to_owned);
        if self.wanted_fingerprint.is_some() && self.fingerprint != self.wanted_fingerprint {
            let why = FailReason::BadAnswer("its certificate is another one than before".to_owned());
            return self.end(now, super::Ended::Failed(why), Some("another certificate than before"));
        }
        let remote_candidates = match self.apply_answer(pending, answer) {
            Ok(candidates) => candidates,
            Err(error) => {
                let why = FailReason::BadAnswer(error.to_string());
                return self.end(now, super::Ended::Failed(why), Some("unusable answer"));
            }
        };
        self.max_message = sdp::max_message_size(answer);
        self.out.push_back(PeerOutput::Step(Step::AnswerReceived));
        self.enter(State::Checking { ice: false, dtls: false });
        self.add_described_candidates(&remote_candidates);
        self.add_waiting_candidates();
    }

    /// Has str0m take an answer, and returns the candidates in it.
    pub(super) fn apply_answer<'a>(
        &mut self,
        pending: SdpPendingOffer,
        answer: &'a str,
    ) -> Result<Vec<&'a str>, NegotiationError> {
        sdp::check(answer)?;
        let (description, candidates) = sdp::split_candidates(answer);
        let parsed =
            SdpAnswer::from_sdp_string(&sdp::with_mid(&description, &self.own_mid)).map_err(rejected)?;
        self.rtc.sdp_api().accept_answer(pending, parsed).map_err(rejected)?;
        Ok(candidates)
    }

    /// Takes the candidates that came before the answer they belong to.
    pub(super) fn add_waiting_candidates(&mut self) {
        while let Some(text) = self.waiting_candidates.pop_front() {
            self.add_remote_candidate(&text);
        }
    }

    /// Takes a remote candidate. Those that come before the answer wait for it.
    pub fn handle_candidate(&mut self, text: &str) {
        let waits = match &self.state {
            State::Offering { .. } => true,
            State::Restarting(restart) => restart.awaits_answer(),
            _ => false,
        };
        match self.state {
            _ if waits && text.len() > MAX_CANDIDATE_BYTES => self.add_remote_candidate(text), // tells why not
            _ if waits => {
                if self.waiting_candidates.is_full() {
                    self.waiting_candidates.pop_front();
                }
                if self.waiting_candidates.push_back(text.to_owned()).is_err() {
                    debug!("candidate dropped: no room to wait");
                }
            }
            State::Closing { .. } | State::Gone => {}
            _ => self.add_remote_candidate(text),
        }
    }

    /// Takes a trickled candidate, and tells about it.
    pub(super) fn add_remote_candidate(&mut self, text: &str) {
        let full = self.trickled >= MAX_REMOTE_CANDIDATES;
        let added = match candidate::parse(text) {
            Ok(Parsed::At(candidate)) => self.reachable(candidate).and_then(|candidate| {
                if full {
                    return Err(too_many());
                }
                self.trickled += 1;
                self.add(candidate)
            }),
            Ok(Parsed::Named(_)) if full => Err(too_many()),
            Ok(Parsed::Named(candidate)) => {
                self.trickled += 1;
                return self.look_up(candidate, true);
            }
            Err(skip) => Err(skip.to_string()),
        };
        self.tell(true, added);
    }

    /// Takes the candidates of a description. They are usually trickled as well, and counted then.
    pub(super) fn add_described_candidates(&mut self, lines: &[&str]) {
        for line in lines {
            let added = match candidate::parse_line(line) {
                Ok(Parsed::At(candidate)) => self.add(candidate),
                Ok(Parsed::Named(candidate)) => {
                    self.look_up(candidate, false);
                    continue;
                }
                Err(skip) => Err(skip.to_string()),
            };
            self.tell(false, added);
        }
    }

    /// Has ICE check a candidate, and returns its line, or why it does not.
    pub(super) fn add(&mut self, candidate: Candidate) -> Result<String, String> {
        let candidate = self.reachable(candidate)?;
        let line = candidate.to_sdp_string();
        if self.check(candidate) { Ok(line) } else { Err(too_many()) }
    }

    /// Refuses what could only make us probe services of this very host.
    fn reachable(&self, candidate: Candidate) -> Result<Candidate, String> {
        let ip = candidate.addr().ip().to_canonical();
        if ip.is_loopback() && !self.on_loopback {
            return Err(candidate::Skip::Loopback(ip).to_string());
        }
        Ok(candidate)
    }

    /// Has ICE check a candidate, unless it already does. Says whether there was room.
    fn check(&mut self, candidate: Candidate) -> bool {
        if self.remote_addresses.iter().any(|(address, _)| *address == candidate.addr()) {
            return true;
        }
        if self.remote_addresses.push((candidate.addr(), candidate.kind())).is_err() {
            return false;
        }
        self.rtc.add_remote_candidate(candidate);
        true
    }

    pub(super) fn signal(&mut self, signal: OutSignal, step: Step) {
        self.out.push_back(PeerOutput::Signal(signal));
        self.out.push_back(PeerOutput::Step(step));
    }

    pub(super) fn trickle(&mut self, candidates: &[Candidate]) {
        if matches!(&self.state, State::Restarting(restart) if restart.awaits_answer()) {
            return; // all of them are told when it is here: before, the peer has no use for the new credentials
        }
        let mid = self.wire_mid.clone();
        let ufrag = self.rtc.direct_api().local_ice_credentials().ufrag;
        for candidate in candidates {
            // Each restart makes new credentials, and a candidate that names old ones is refused.
            let mut candidate = candidate.clone();
            candidate.set_ufrag(&ufrag);
            let line = candidate.to_sdp_string();
            let init = CandidateInit {
                candidate: line.clone(),
                sdp_mid: Some(mid.clone()),
                sdp_m_line_index: Some(0),
                username_fragment: Some(ufrag.clone()),
            };
            self.signal(OutSignal::Candidate(init.to_json()), Step::CandidateSent(line));
        }
    }
}

fn build(now: Instant, setup: &Setup<'_>, rng: &mut impl Rng) -> Rtc {
    let mut rtc = RtcConfig::new()
        .set_crypto_provider(crypto::provider())
        .set_dtls_cert(setup.certificate.to_dtls())
        .set_local_ice_credentials(IceCreds {
            ufrag: random_text(rng, UFRAG_CHARS),
            pass: random_text(rng, PASSWORD_CHARS),
        })
        .clear_codecs()
        // A stock offerer may know neither; as answerer it is told of neither.
        .set_dtls_version(if setup.edge { DtlsVersion::Auto } else { DtlsVersion::Dtls12 })
        .set_snap_enabled(setup.edge)
        .set_sctp_max_buffered_amount(setup.send_buffer_bytes.max(SCTP_SEND_BUFFER_BYTES / 2))
        .set_sctp_max_message_size(u32::try_from(MAX_RECEIVE_MESSAGE_BYTES).unwrap_or(u32::MAX))
        .build(now);
    // ICE has no timers before its first one. Without it the called side would send no check before it has received one, and
    // through a NAT, which wants to see one from inside first, none would ever come.
    if let Err(error) = rtc.handle_input(Input::Timeout(now)) {
        debug!(error:% = error; "no first timeout");
    }
    rtc
}

/// What is known when the link begins; what servers tell later is trickled.
fn add_known_candidates(rtc: &mut Rtc, setup: &Setup<'_>) -> Vec<Candidate> {
    let mut candidates =
        if setup.turn_only { Vec::new() } else { add_local_candidates(rtc, setup.addresses) };
    candidates.extend(setup.gathered.iter().filter_map(|g| super::gathered::add(rtc, *g, setup.turn_only)));
    candidates
}

pub(super) fn add_local_candidates(rtc: &mut Rtc, addresses: &[SocketAddr]) -> Vec<Candidate> {
    addresses
        .iter()
        .filter_map(|address| match candidate::host(*address) {
            Ok(candidate) => rtc.add_local_candidate(candidate).cloned(),
            Err(error) => {
                debug!(address:% = address, error:% = error; "no candidate");
                None
            }
        })
        .collect()
}

/// The parameters of reference §9.6.
fn config(channel: Channel) -> ChannelConfig {
    let (ordered, reliability) = match channel {
        Channel::Reliable => (true, Reliability::Reliable),
        Channel::Stream => (false, Reliability::MaxRetransmits { retransmits: 0 }),
    };
    ChannelConfig { label: channel.label().to_owned(), ordered, reliability, ..ChannelConfig::default() }
}

/// Why a candidate is skipped that could be used.
pub(super) fn too_many() -> String {
    format!("more than {MAX_REMOTE_CANDIDATES} candidates")
}

pub(super) fn rejected(error: impl std::fmt::Display) -> NegotiationError {
    NegotiationError::Rejected(error.to_string())
}

fn random_text(rng: &mut impl Rng, len: usize) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    (0..len)
        .filter_map(|_| ALPHABET.get(rng.random_range(0..ALPHABET.len())))
        .map(|byte| char::from(*byte))
        .collect()
}
