//! Offer, answer and candidates: how a [`Peer`] comes to be and what it learns from signals.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clasp_wire::p2p::CandidateInit;
use log::debug;
use rand::{Rng, RngExt};
use str0m::channel::{ChannelConfig, Reliability, SctpInitData};
use str0m::config::DtlsVersion;
use str0m::{Candidate, IceCreds, Input, Rtc, RtcConfig};

use super::candidate::{self, Parsed};
use super::channels::Channels;
use super::copies::Copies;
use super::description::{DEFAULT_MID, Description, Origin, SdpFault, SetupRole};
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
    /// The description cannot be used.
    #[error(transparent)]
    Sdp(#[from] SdpFault),
    /// What it asks for is not what we do.
    #[error("SDP: {0}")]
    Rejected(String),
}

impl Peer {
    /// Starts a link by making an offer. Local candidates are in it and are trickled as well. `resume` names the link whose
    /// connection is lost, if this is to be another one for it.
    #[must_use]
    pub fn offer(now: Instant, setup: &Setup<'_>, rng: &mut impl Rng, resume: Option<&Resume<'_>>) -> Self {
        let mut rtc = build(now, setup, rng);
        let candidates = add_known_candidates(&mut rtc, setup);
        rtc.direct_api().set_ice_controlling(true);
        // A stock answerer may not know it: it is not told of it.
        let (snap, sctp_init) = setup.edge.then(sctp_init).flatten().unzip();
        let described = describe(&mut rtc, SetupRole::ActPass, sctp_init, DEFAULT_MID);

        let mut peer = Self::new(now, setup, rtc, rng, Role::Offerer, State::Offering { snap }, described);
        peer.local = candidates;
        let text = peer.describe_again(None);
        let text = resume.map_or_else(|| text.clone(), |resume| sdp::as_resume(&text, resume));
        peer.out.push_back(PeerOutput::State(LinkState::Offering));
        peer.signal(OutSignal::Offer(text), Step::OfferSent);
        peer.trickle_all();
        peer
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
        let remote = Description::parse(offer)?;
        let mut rtc = build(now, setup, rng);
        let candidates = add_known_candidates(&mut rtc, setup);
        // The side that offers is the one that decides, unless it cannot (RFC 8445 §6.1.1).
        rtc.direct_api().set_ice_controlling(remote.ice_lite);
        let (snap, sctp_init) = remote.sctp_init.is_some().then(sctp_init).flatten().unzip();
        let (snap, sctp_init) = snap.and_then(|snap| with_remote(snap, &remote)).zip(sctp_init).unzip();
        let role = remote.setup.counterpart();
        let described = describe(&mut rtc, role, sctp_init, &remote.mid);
        start(&mut rtc, &remote, role, snap)?;

        let state = State::Checking { ice: false, dtls: false };
        let mut peer = Self::new(now, setup, rtc, rng, Role::Answerer, state, described);
        peer.local = candidates;
        let text = peer.describe_again(None);
        peer.max_message = remote.message_limit();
        peer.fingerprint = Some(remote.fingerprint_text());
        peer.out.push_back(PeerOutput::State(LinkState::Checking));
        peer.out.push_back(PeerOutput::Step(Step::OfferReceived));
        peer.signal(OutSignal::Answer(text), Step::AnswerSent);
        peer.trickle_all();
        peer.add_described_candidates(&remote.candidates);
        Ok(peer)
    }

    fn new(
        now: Instant,
        setup: &Setup<'_>,
        rtc: Rtc,
        rng: &mut impl Rng,
        role: Role,
        state: State,
        described: Description,
    ) -> Self {
        // RFC 8829 §5.2.1 wants at most 63 bits.
        let origin = Origin { id: rng.random::<u64>() >> 2, version: 0 };
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
            copies: Copies::default(),
            confirmation: None,
            described,
            origin,
            local: Vec::new(),
            turn_only: setup.turn_only,
            on_loopback: setup.addresses.iter().any(|address| address.ip().is_loopback()),
            restarts: Restarts::default(),
            waiting_candidates: heapless::Deque::new(),
            trickled: 0,
            remote: heapless::Vec::new(),
            unresolved: heapless::Vec::new(),
            channels: Channels::new(),
            max_message: MAX_SEND_MESSAGE_BYTES,
            path: None,
            told_path: None,
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
        let State::Offering { snap } = std::mem::replace(&mut self.state, checking) else { return };
        let remote = match Description::parse(answer) {
            Ok(remote) => remote,
            Err(error) => return self.end_unusable(now, error.to_string()),
        };
        self.fingerprint = Some(remote.fingerprint_text());
        if self.wanted_fingerprint.is_some() && self.fingerprint != self.wanted_fingerprint {
            let why = FailReason::BadAnswer("its certificate is another one than before".to_owned());
            return self.end(now, super::Ended::Failed(why), Some("another certificate than before"));
        }
        self.described.setup = remote.setup.counterpart();
        let snap = snap.and_then(|snap| with_remote(snap, &remote));
        if snap.is_none() {
            self.described.sctp_init = None;
        }
        if let Err(error) = start(&mut self.rtc, &remote, self.described.setup, snap) {
            return self.end_unusable(now, error.to_string());
        }
        for channel in [Channel::Stream, Channel::Reliable] {
            self.rtc.direct_api().create_data_channel(config(channel));
        }
        self.max_message = remote.message_limit();
        self.out.push_back(PeerOutput::Step(Step::AnswerReceived));
        self.enter(State::Checking { ice: false, dtls: false });
        self.add_described_candidates(&remote.candidates);
        self.add_waiting_candidates();
    }

    fn end_unusable(&mut self, now: Instant, why: String) {
        self.end(now, super::Ended::Failed(FailReason::BadAnswer(why)), Some("unusable answer"));
    }

    /// The text of our next description: with other credentials, if ICE is to start over, and with the candidates we have by now.
    pub(super) fn describe_again(&mut self, credentials: Option<&IceCreds>) -> String {
        let credentials = credentials.unwrap_or(&self.described.credentials).clone();
        let with_ufrag = |candidate: &Candidate| {
            let mut candidate = candidate.clone();
            candidate.set_ufrag(&credentials.ufrag);
            candidate.to_sdp_string()
        };
        let candidates = self.local.iter().map(with_ufrag).collect();
        self.origin.version += 1;
        Description { credentials, candidates, ..self.described.clone() }.write(self.origin)
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
    pub(super) fn add_described_candidates(&mut self, lines: &[String]) {
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
        if self.remote.iter().any(|known| known.addr() == candidate.addr()) {
            return true;
        }
        if self.remote.push(candidate.clone()).is_err() {
            return false;
        }
        self.rtc.add_remote_candidate(candidate);
        true
    }

    pub(super) fn signal(&mut self, signal: OutSignal, step: Step) {
        self.out.push_back(PeerOutput::Signal(signal));
        self.out.push_back(PeerOutput::Step(step));
    }

    /// Tells all our candidates.
    pub(super) fn trickle_all(&mut self) {
        let local = std::mem::take(&mut self.local);
        self.trickle(&local);
        self.local = local;
    }

    pub(super) fn trickle(&mut self, candidates: &[Candidate]) {
        if matches!(&self.state, State::Restarting(restart) if restart.awaits_answer()) {
            return; // all of them are told when it is here: before, the peer has no use for the new credentials
        }
        let (mid, ufrag) = (self.described.mid.clone(), self.described.credentials.ufrag.clone());
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
        // A stock offerer may not know the newer one.
        .set_dtls_version(if setup.edge { DtlsVersion::Auto } else { DtlsVersion::Dtls12 })
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

/// What we say of ourselves, but for the candidates.
fn describe(rtc: &mut Rtc, role: SetupRole, sctp_init: Option<String>, mid: &str) -> Description {
    let fingerprint = rtc.direct_api().local_dtls_fingerprint().clone();
    let credentials = rtc.direct_api().local_ice_credentials();
    Description {
        mid: mid.to_owned(),
        credentials,
        ice_lite: false,
        fingerprint,
        setup: role,
        max_message_size: Some(MAX_RECEIVE_MESSAGE_BYTES),
        sctp_init,
        candidates: Vec::new(),
    }
}

/// Our half of an SCTP association that needs no handshake, and how a description tells it.
fn sctp_init() -> Option<(SctpInitData, String)> {
    let mut snap = SctpInitData::new();
    match snap.local_init_string() {
        Ok(text) => Some((snap, text)),
        Err(error) => {
            debug!(error:% = error; "SCTP will do a handshake");
            None
        }
    }
}

/// Both halves, if the other side told its own.
fn with_remote(mut snap: SctpInitData, remote: &Description) -> Option<SctpInitData> {
    snap.set_remote_init_string(remote.sctp_init.as_ref()?).ok()?;
    Some(snap)
}

/// Starts ICE, DTLS and SCTP with whoever describes itself so.
fn start(
    rtc: &mut Rtc,
    remote: &Description,
    role: SetupRole,
    snap: Option<SctpInitData>,
) -> Result<(), NegotiationError> {
    let active = role == SetupRole::Active;
    let mut rtc = rtc.direct_api();
    rtc.set_remote_ice_credentials(remote.credentials.clone());
    rtc.set_remote_fingerprint(remote.fingerprint.clone());
    rtc.start_dtls(active).map_err(rejected)?;
    match snap {
        Some(both) => rtc.start_sctp_with_snap(active, both).map_err(rejected)?,
        None => rtc.start_sctp(active),
    }
    Ok(())
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
