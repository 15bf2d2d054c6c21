//! One link to one peer: an `Rtc`, its negotiation and its two data channels.
//!
//! Owns: the state of one offer/answer exchange and of what comes out of it. Does not own: sockets, the clock, the
//! router session its signals travel on, the choice whom to connect to.
//!
//! # Contract
//! Make one call that takes `now`, then call [`Peer::poll_output`] until [`PeerOutput::Idle`]; only then make the next.
//! (Several datagrams may be fed before one drain: at most [`MAX_DATAGRAMS_PER_DRAIN`].)
//! After [`PeerOutput::Ended`] the link only says goodbye; after [`PeerOutput::Gone`] it is dropped.

mod candidate;
mod certificate;
mod channels;
mod checks;
mod coalescing;
pub(crate) mod control;
mod copies;
mod crypto;
mod data;
mod datagrams;
mod description;
mod gathered;
mod liveness;
mod names;
mod negotiation;
mod output;
mod resending;
mod restart;
mod sdp;
mod state;
mod tail;
mod tally;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use log::{debug, trace};
use str0m::{Candidate, Input, Output, Rtc};

pub use certificate::{Certificate, CertificateError};
pub use channels::SendError;
pub use negotiation::{NegotiationError, Setup};
pub use output::{Ended, OutSignal, PeerOutput};
pub use resending::Progress;
pub use sdp::Resume;
pub(crate) use sdp::{fingerprint, restart_number, resume};
pub(crate) use tally::Tally;

use crate::event::{Channel, DisconnectReason, FailReason, LinkState, Path, Role, Step};
use crate::limits::{MAX_CHANNELS, MAX_LABEL_BYTES};
use crate::wake::Wake;
use channels::Channels;
use copies::Copies;
pub(crate) use datagrams::is_dtls;
use description::{Description, Origin};
use liveness::Liveness;
use restart::Restarts;
use state::State;
use tail::TailProbe;

/// dimpl queues 30 received records and then fails the connection; a drain after every 16 datagrams stays well below.
pub const MAX_DATAGRAMS_PER_DRAIN: usize = 16;

/// How long the unreliable channel may take after the reliable one before the link counts as open without it: a peer
/// need not create both.
const STREAM_CHANNEL_GRACE: Duration = Duration::from_secs(1);

/// How long ICE may be without a working pair before an open link is given up.
const ICE_DISCONNECTED_GRACE: Duration = Duration::from_secs(5);

/// How long a closing link may try to get its goodbye out.
const GOODBYE: Duration = Duration::from_millis(500);

/// One link to one peer.
pub struct Peer {
    rtc: Rtc,
    role: Role,
    state: State,
    /// Zero of this link's time stamps, and the start of its establishment.
    epoch: Instant,
    connect_timeout: Duration,
    /// What ends the current state by time: the attempt, or a grace period.
    deadline: Option<Wake>,
    liveness: Liveness,
    tail: TailProbe,
    /// Bytes handed to the reliable channel so far.
    written: u64,
    copies: Copies,
    /// What the other node is to be told of its messages.
    confirmation: Option<u64>,
    /// What we say of ourselves in every description, and which was the last one.
    described: Description,
    origin: Origin,
    /// Our candidates.
    local: Vec<Candidate>,
    /// Only what is relayed is told to the peer.
    turn_only: bool,
    /// Whether a socket of ours is on the loopback interface.
    on_loopback: bool,
    restarts: Restarts,
    /// Remote candidates that came before the answer.
    waiting_candidates: heapless::Deque<String, { crate::limits::MAX_REMOTE_CANDIDATES }>,
    /// Candidates that came by signal.
    trickled: usize,
    /// The candidates ICE checks.
    remote: heapless::Vec<Candidate, { crate::limits::MAX_REMOTE_CANDIDATES }>,
    /// Candidates whose address is not known yet.
    unresolved: heapless::Vec<names::Waiting, { crate::limits::MAX_REMOTE_CANDIDATES }>,
    channels: Channels,
    max_message: usize,
    path: Option<Path>,
    /// The path the application knows of.
    told_path: Option<Path>,
    edge: bool,
    /// The fingerprint in the other side's description, which DTLS holds it to; and the one it must be, if that is known before.
    fingerprint: Option<String>,
    wanted_fingerprint: Option<String>,
    /// What one input gave rise to; emptied by every drain, so never longer than a few entries.
    out: VecDeque<PeerOutput>,
    tally: Tally,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer")
            .field("role", &self.role)
            .field("state", &self.state.public())
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Peer {
    /// Who made the offer.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Where the link is in its life.
    #[must_use]
    pub fn state(&self) -> LinkState {
        self.state.public()
    }

    /// When the establishment began.
    #[must_use]
    pub fn epoch(&self) -> Instant {
        self.epoch
    }

    /// The addresses in use, once they are known.
    #[must_use]
    pub fn path(&self) -> Option<Path> {
        self.path
    }

    /// Stream messages dropped because their queue was full.
    #[must_use]
    pub fn streams_dropped(&self) -> u64 {
        self.channels.streams_dropped
    }

    /// Tells that the peer is a clasp-edge node: its pings are answered then.
    pub fn set_edge(&mut self, edge: bool) {
        self.edge = edge;
    }

    /// Whether the peer is a clasp-edge node.
    #[must_use]
    pub fn is_edge(&self) -> bool {
        self.edge
    }

    /// The certificate fingerprint in the peer's description (RFC 8122 §5). Once the link is open, DTLS has shown that it is the
    /// peer's.
    #[must_use]
    pub fn fingerprint(&self) -> Option<&str> {
        self.fingerprint.as_deref()
    }

    /// The answer must have this certificate fingerprint: that of the node we were connected to before.
    pub fn expect_fingerprint(&mut self, fingerprint: String) {
        self.wanted_fingerprint = Some(fingerprint);
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Err(error) = self.rtc.handle_input(Input::Timeout(now)) {
            self.fail_transport(now, &error.to_string());
        }
        if self.deadline.is_some_and(|wake| wake.at <= now) {
            self.deadline = None;
            self.on_deadline(now);
        }
        while let Some(copy) = self.copies.take_due(now) {
            self.out.push_back(PeerOutput::Transmit(copy));
        }
        match self.state {
            State::Restarting(_) => self.on_restart_timer(now),
            State::Open { .. } if self.edge => {
                self.probe_tail(now);
                self.check_liveness(now);
            }
            _ => {}
        }
    }

    /// When time alone makes a difference: asked once for each drain, so what is unacknowledged is looked at here.
    fn wake(&mut self, now: Instant, rtc: Instant) -> Option<Wake> {
        let own = match &self.state {
            State::Restarting(restart) => Some(restart.wake()),
            State::Open { .. } if self.edge => {
                let in_flight = self.in_flight();
                self.tail.look(now, in_flight);
                Wake::earliest(Some(self.liveness.wake(in_flight > 0)), self.tail.wake())
            }
            _ => None,
        };
        let rtc = Wake::earliest(Some(Wake::new(rtc, "rtc")), self.copies.wake());
        Wake::earliest(Wake::earliest(rtc, self.deadline), own)
    }

    /// Ends the link from this side. The peer is told, by signal and by DTLS close.
    pub fn close(&mut self, now: Instant, reason: &str) {
        let ended = if self.state.is_open() {
            Ended::Disconnected(DisconnectReason::Local)
        } else {
            Ended::Failed(FailReason::CalledOff)
        };
        self.end(now, ended, Some(reason));
    }

    /// Ends the link for a reason of its owner's.
    pub(crate) fn close_because(&mut self, now: Instant, ended: Ended, reason: &str) {
        self.end(now, ended, Some(reason));
    }

    /// Ends an open link whose application does not take its data.
    pub fn close_too_slow(&mut self, now: Instant) {
        let ended = Ended::Disconnected(DisconnectReason::ApplicationTooSlow);
        self.end(now, ended, Some("receiver too slow"));
    }

    /// Takes the peer's `disconnected` signal.
    pub fn handle_disconnected(&mut self, now: Instant, reason: Option<&str>) {
        let ended = if self.state.is_open() {
            Ended::Disconnected(DisconnectReason::Remote(reason.map(str::to_owned)))
        } else {
            Ended::Failed(FailReason::Declined(reason.unwrap_or("no reason given").to_owned()))
        };
        self.end(now, ended, None);
    }

    /// The router says that the peer's session does not exist. Ends the attempt at once; an open link needs no router.
    pub fn handle_no_such_session(&mut self, now: Instant, session: &str) {
        if self.state.is_open() {
            self.call_off_restart();
        } else {
            self.end(now, Ended::Failed(FailReason::NoSuchSession(session.to_owned())), None);
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self, now: Instant) -> PeerOutput {
        loop {
            if let Some(output) = self.out.pop_front() {
                return output;
            }
            if matches!(self.state, State::Gone) {
                return PeerOutput::Idle(None);
            }
            match self.rtc.poll_output() {
                Ok(Output::Transmit(transmit)) => {
                    self.note_path(&transmit);
                    let (source, destination) = (transmit.source, transmit.destination);
                    self.tally.checks.sent(now, self.path, source, destination, &transmit.contents);
                    self.copies.sent(now, &transmit);
                    return PeerOutput::Transmit(transmit);
                }
                Ok(Output::Event(event)) => self.on_event(now, event),
                Ok(Output::Timeout(at)) => {
                    if self.write_one(now) || self.connected_at_last() {
                        continue;
                    }
                    if let State::Closing { until } = self.state
                        && (!self.rtc.is_alive() || until <= now)
                    {
                        self.state = State::Gone;
                        return PeerOutput::Gone;
                    }
                    return PeerOutput::Idle(self.wake(now, at));
                }
                Err(error) => self.fail_transport(now, &error.to_string()),
            }
        }
    }

    fn on_event(&mut self, now: Instant, event: str0m::Event) {
        match event {
            str0m::Event::IceConnectionStateChange(ice) => self.on_ice(now, ice),
            str0m::Event::Connected => {
                if let State::Checking { dtls, .. } = &mut self.state {
                    *dtls = true;
                    self.out.push_back(PeerOutput::Step(Step::DtlsConnected));
                }
            }
            str0m::Event::ChannelOpen(id, label) => self.on_channel_open(now, id, &label),
            str0m::Event::ChannelData(data) => {
                self.liveness.heard(now);
                self.allow_checks(now);
                self.on_data(now, data);
            }
            str0m::Event::ChannelClose(id) if self.channels.closed(id) == Some(Channel::Reliable) => {
                self.handle_disconnected(now, Some("data channel closed"));
            }
            str0m::Event::Closed => {
                let ended = if self.state.is_open() {
                    Ended::Disconnected(DisconnectReason::Remote(None))
                } else {
                    Ended::Failed(FailReason::Declined("connection closed".to_owned()))
                };
                self.end(now, ended, None);
            }
            _ => {}
        }
    }

    fn on_ice(&mut self, now: Instant, ice_state: str0m::IceConnectionState) {
        trace!(state:? = ice_state; "ice");
        match &mut self.state {
            State::Checking { ice, .. } if ice_state.is_connected() && !*ice => {
                *ice = true;
                self.out.push_back(PeerOutput::Step(Step::IceConnected));
            }
            State::Open { .. } if ice_state == str0m::IceConnectionState::Disconnected => {
                self.deadline = Some(Wake::new(now + ICE_DISCONNECTED_GRACE, "ice disconnected"));
            }
            State::Open { .. } if ice_state.is_connected() => self.deadline = None,
            State::Restarting(_) if ice_state.is_connected() => self.restarted(now),
            _ => {}
        }
    }

    fn on_channel_open(&mut self, now: Instant, id: str0m::channel::ChannelId, label: &str) {
        if label.len() > MAX_LABEL_BYTES {
            return self.violation(now, format!("channel label of {} bytes", label.len()));
        }
        let ours = self.channels.opened(id, label);
        if self.channels.opened_count() > MAX_CHANNELS {
            return self.violation(now, format!("more than {MAX_CHANNELS} data channels"));
        }
        let Some(channel) = ours else { return };
        self.out.push_back(PeerOutput::Step(Step::ChannelOpen(channel)));
        if channel == Channel::Reliable {
            self.out.push_back(PeerOutput::Signal(OutSignal::Connected));
            if matches!(self.state, State::Checking { .. }) {
                self.deadline = Some(Wake::new(now + STREAM_CHANNEL_GRACE, "unreliable channel"));
            }
        }
        if self.channels.is_open(Channel::Reliable) && self.channels.is_open(Channel::Stream) {
            self.open(now);
        }
    }

    fn open(&mut self, now: Instant) {
        if matches!(self.state, State::Checking { .. }) {
            self.deadline = None;
            self.liveness.heard(now);
            self.enter(State::Open { told: false });
            self.connected_at_last(); // before any data: an application sets itself up when it hears of the link
        }
    }

    /// `Connected` is told once, as soon as the link is open and the path known.
    fn connected_at_last(&mut self) -> bool {
        if let State::Open { told: told @ false } = &mut self.state
            && let Some(path) = self.path
        {
            *told = true;
            self.told_path = Some(path);
            self.out.push_back(PeerOutput::Connected(path));
            return true;
        }
        false
    }

    fn on_deadline(&mut self, now: Instant) {
        let timeout = self.connect_timeout;
        let why = match &self.state {
            State::Offering { .. } => {
                let why = FailReason::NoAnswer(timeout);
                let reason = why.to_string();
                return self.end(now, Ended::Failed(why), Some(&reason));
            }
            State::Checking { ice: false, .. } => {
                let remote_candidates = self.remote.len();
                FailReason::Ice { timeout, remote_candidates, servers: Vec::new() }
            }
            State::Checking { dtls: false, .. } => {
                FailReason::Dtls(format!("no handshake within {timeout:?}"))
            }
            State::Checking { .. } if self.channels.is_open(Channel::Reliable) => return self.open(now),
            State::Checking { .. } => FailReason::Channel(timeout),
            State::Open { .. } => return self.lose(now),
            State::Restarting(_) | State::Closing { .. } | State::Gone => return,
        };
        let reason = why.to_string();
        self.lose_path(now, Ended::Failed(why), &reason);
    }

    /// Nothing comes back on an open link.
    fn lose(&mut self, now: Instant) {
        self.lose_path(now, Ended::Disconnected(DisconnectReason::Lost), "connection lost");
    }

    /// It is the way that failed, not the peer, as far as we know.
    fn lose_path(&mut self, now: Instant, ended: Ended, reason: &str) {
        if !self.edge {
            return self.end(now, ended, Some(reason));
        }
        if !matches!(self.state, State::Closing { .. } | State::Gone) {
            debug!(role:% = self.role, from:? = self.state.public(), why = reason; "connection lost");
            self.rtc.disconnect();
            self.deadline = None;
            self.state = State::Gone;
            self.out.push_back(PeerOutput::Lost(ended));
        }
    }

    fn violation(&mut self, now: Instant, what: String) {
        let reason = what.clone();
        let ended = if self.state.is_open() {
            Ended::Disconnected(DisconnectReason::Violation(what))
        } else {
            Ended::Failed(FailReason::Violation(what))
        };
        self.end(now, ended, Some(&reason));
    }

    fn fail_transport(&mut self, now: Instant, error: &str) {
        self.rtc.disconnect();
        let ended = match &self.state {
            State::Open { .. } | State::Restarting(_) => {
                let ended = Ended::Disconnected(DisconnectReason::Transport(error.to_owned()));
                return self.lose_path(now, ended, error);
            }
            State::Checking { dtls: true, .. } => {
                Ended::Failed(FailReason::Violation(format!("transport error: {error}")))
            }
            _ => Ended::Failed(FailReason::Dtls(error.to_owned())),
        };
        self.end(now, ended, Some(error));
    }

    /// The one way out. `tell` is what the peer is told; `None` when it knows already.
    fn end(&mut self, now: Instant, ended: Ended, tell: Option<&str>) {
        if matches!(self.state, State::Closing { .. } | State::Gone) {
            return;
        }
        if let Some(reason) = tell {
            self.out.push_back(PeerOutput::Signal(OutSignal::Disconnected(reason.to_owned())));
        }
        let connected = self.state.is_open() || matches!(self.state, State::Checking { dtls: true, .. });
        if !connected || self.rtc.close().is_err() {
            self.rtc.disconnect();
        }
        let until = now + GOODBYE;
        self.deadline = Some(Wake::new(until, "goodbye"));
        self.enter(State::Closing { until });
        self.out.push_back(PeerOutput::Ended(ended));
    }

    fn enter(&mut self, next: State) {
        debug!(role:% = self.role, from:? = self.state.public(), to:? = next.public(); "link");
        self.state = next;
        self.out.push_back(PeerOutput::State(self.state.public()));
    }
}

#[cfg(test)]
mod tests;
