//! A session with one router: HELLO, announcing ourselves, staying alive, and coming back.
//!
//! Owns: the handshake, the back-off, the keep-alive, frames kept while the router is away. Does not own: the
//! WebSocket, the clock, what signals mean.
//!
//! # Contract
//! Call `handle_*`, then [`Session::poll_output`] until [`SessionOutput::Idle`]; only then wait.

mod announcing;
mod incoming;
mod io;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use clasp_wire::message::{Body, Features, Hello, Subscribe, TypeMask};
use clasp_wire::p2p::{self, P2pSignal, PeerAnnounce, SignalBody, encode_signal_with_from};
use clasp_wire::{EncodeError, Message};
use log::{debug, warn};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::backoff::Backoff;
use crate::burst::Burst;
use crate::event::RouterId;
use crate::limits::{MAX_REASON_BYTES, PENDING_SIGNAL_BYTES, PENDING_SIGNALS};
use crate::queue::DropOldest;
use crate::relayed::Relayed;
use crate::status::{SessionState, SessionStatus};
use crate::wake::Wake;
pub(crate) use incoming::body_of;
pub use io::{Identity, InBody, InSignal, SessionOutput};

/// How long dialling may take, and how long the router may take to welcome us: as long as it gives us for our HELLO.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// We ask for a sign of life after this much silence: a third of the time NAT tables keep an idle TCP flow at worst.
const PING_AFTER: Duration = Duration::from_secs(20);

/// Without any by then, the router is gone.
const SILENCE_LIMIT: Duration = Duration::from_secs(45);

/// A lost router is dialled again after somewhere between 0 and this, doubled with every failure,
const FIRST_RETRY: Duration = Duration::from_millis(500);

/// up to this.
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// Subscription ids, in the order the stock native client uses them.
const SIGNAL_SUBSCRIPTION: u32 = 1;
const ANNOUNCE_SUBSCRIPTION: u32 = 2;

#[derive(Debug)]
enum State {
    /// Without a time it rests: somebody has to call for it.
    Offline {
        dial_at: Option<Instant>,
    },
    Dialing {
        give_up_at: Instant,
    },
    AwaitingWelcome {
        give_up_at: Instant,
    },
    Ready {
        id: String,
        last_heard: Instant,
        pinged: bool,
        keep_alive_at: Instant,
        reannounce_at: Option<Instant>,
    },
}

impl State {
    fn name(&self) -> &'static str {
        match self {
            Self::Offline { .. } => "offline",
            Self::Dialing { .. } => "dialing",
            Self::AwaitingWelcome { .. } => "awaiting welcome",
            Self::Ready { .. } => "ready",
        }
    }
}

/// A session with one router.
#[derive(Debug)]
pub struct Session {
    identity: Identity,
    /// A lost router is dialled again.
    persistent: bool,
    /// Whether this device can be paired now.
    pairing: bool,
    state: State,
    backoff: Backoff,
    rng: StdRng,
    pending: DropOldest<PENDING_SIGNALS, PENDING_SIGNAL_BYTES>,
    pending_dropped: u64,
    /// Why the router was lost last, clipped.
    lost: Option<String>,
    undecodable: Burst,
    errors: Burst,
    /// What one input gave rise to; emptied by every drain.
    out: VecDeque<SessionOutput>,
    scratch: Vec<u8>,
}

impl Session {
    /// A session that dials at once.
    #[must_use]
    pub fn new(seed: [u8; 32], now: Instant, identity: Identity) -> Self {
        let state = State::Offline { dial_at: Some(now) };
        Self { persistent: true, state, ..Self::at_rest(seed, identity) }
    }

    /// A session that dials when it is told to, once each time.
    pub(crate) fn at_rest(seed: [u8; 32], identity: Identity) -> Self {
        Self {
            identity,
            persistent: false,
            pairing: false,
            state: State::Offline { dial_at: None },
            backoff: Backoff::new(FIRST_RETRY, LONGEST_RETRY),
            rng: StdRng::from_seed(seed),
            pending: DropOldest::new(),
            pending_dropped: 0,
            lost: None,
            undecodable: Burst::default(),
            errors: Burst::default(),
            out: VecDeque::new(),
            scratch: Vec::new(),
        }
    }

    /// Shows the router no token.
    pub(crate) fn withhold_token(&mut self) {
        self.identity.token.clear();
    }

    /// Our session id, while the router knows us.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        match &self.state {
            State::Ready { id, .. } => Some(id),
            _ => None,
        }
    }

    /// Whether the router is away, and nothing is done about it.
    pub(crate) fn is_offline(&self) -> bool {
        matches!(self.state, State::Offline { .. })
    }

    /// Dials, unless that is going on.
    pub(crate) fn dial(&mut self, now: Instant) {
        if self.is_offline() {
            self.state = State::Offline { dial_at: Some(now) };
            self.handle_timeout(now);
        }
    }

    /// The router is not needed at present.
    pub(crate) fn rest(&mut self) {
        if !self.is_offline() {
            self.out.push_back(SessionOutput::Hangup);
            self.out.push_back(SessionOutput::Rests);
        }
        self.enter(State::Offline { dial_at: None });
    }

    /// How the session is now. Which router's it is, and who is there, its node knows.
    pub(crate) fn status(&self, now: Instant) -> SessionStatus {
        let (state, retry_in) = match &self.state {
            State::Offline { dial_at } => {
                (SessionState::Offline, dial_at.map(|at| at.saturating_duration_since(now)))
            }
            State::Dialing { .. } => (SessionState::Dialing, None),
            State::AwaitingWelcome { .. } => (SessionState::AwaitingWelcome, None),
            State::Ready { .. } => (SessionState::Ready, None),
        };
        let (session, lost) = (self.id().map(str::to_owned), self.lost.clone());
        SessionStatus { router: RouterId::FIRST, state, session, lost, retry_in, peers: 0 }
    }

    /// The WebSocket is open.
    pub fn handle_opened(&mut self, now: Instant) {
        if matches!(self.state, State::Dialing { .. }) {
            self.hello(now);
        }
    }

    /// The WebSocket is closed, or could not be opened.
    pub fn handle_closed(&mut self, now: Instant, why: &str) {
        if !matches!(self.state, State::Offline { .. }) {
            self.lose(now, why.to_owned());
        }
    }

    /// This host has other addresses now: what failed before may work at once.
    pub fn handle_network_changed(&mut self, now: Instant) {
        if let State::Offline { dial_at: Some(dial_at) } = &mut self.state {
            *dial_at = now;
            self.backoff.reset();
        }
    }

    /// Something arrived that is not a CLASP frame: a WebSocket pong.
    pub fn handle_heard(&mut self, now: Instant) {
        if let State::Ready { last_heard, pinged, .. } = &mut self.state {
            (*last_heard, *pinged) = (now, false);
        }
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        match &mut self.state {
            State::Offline { dial_at: Some(dial_at) } if *dial_at <= now => {
                self.enter(State::Dialing { give_up_at: now + HANDSHAKE_TIMEOUT });
                self.out.push_back(SessionOutput::Dial);
            }
            State::Dialing { give_up_at } if *give_up_at <= now => {
                self.hang_up(now, "dialling took too long")
            }
            State::AwaitingWelcome { give_up_at } if *give_up_at <= now => {
                self.hang_up(now, "the router did not welcome us");
            }
            State::Ready { last_heard, pinged, keep_alive_at, reannounce_at, .. } => {
                let silence = now.saturating_duration_since(*last_heard);
                if silence >= SILENCE_LIMIT {
                    return self.hang_up(now, "the router went silent");
                }
                if silence >= PING_AFTER && !*pinged {
                    *pinged = true;
                    self.out.push_back(SessionOutput::Ping);
                }
                let announce = reannounce_at.take_if(|at| *at <= now).is_some();
                let keep_alive = *keep_alive_at <= now;
                if keep_alive {
                    *keep_alive_at = now + self.identity.keep_alive;
                }
                if announce {
                    self.announce();
                }
                if keep_alive {
                    self.signal_self();
                }
            }
            _ => {}
        }
    }

    /// Takes a frame from the router.
    pub fn handle_frame(&mut self, now: Instant, frame: &[u8]) {
        self.handle_heard(now);
        let mut scratch = std::mem::take(&mut self.scratch);
        match Message::decode(frame, &mut scratch) {
            Ok((_, message)) => self.on_message(now, &message),
            Err(error) if self.undecodable.begins(now) => {
                warn!(error:% = error; "undecodable frames from the router")
            }
            Err(_) => {}
        }
        scratch.clear();
        self.scratch = scratch;
    }

    /// Sends `signal` to session `to`, or keeps it until the router is back.
    ///
    /// # Errors
    /// When it does not fit a frame.
    pub fn signal(&mut self, to: &str, signal: &P2pSignal<'_>) -> Result<(), EncodeError> {
        let mut frame = Vec::new();
        signal.encode_publish(to, &mut frame)?;
        self.say(frame, true);
        Ok(())
    }

    /// Sends a signal's frame. While the router is away it waits for it, if it may, and is dropped otherwise.
    pub(crate) fn say(&mut self, frame: Vec<u8>, when_offline: bool) {
        if matches!(self.state, State::Ready { .. }) {
            self.out.push_back(SessionOutput::Send(frame.into()));
        } else if when_offline {
            self.pending_dropped += self.pending.push(frame.into());
        }
    }

    /// Sends messages of the link `correlation_id` to session `to`. While the router is away they are not sent: nothing is lost, as
    /// their sender keeps them.
    pub(crate) fn relay(&mut self, to: &str, correlation_id: &str, relayed: &Relayed) {
        let State::Ready { id, .. } = &self.state else { return };
        match relayed.encode(id, correlation_id, to) {
            Ok(frame) => self.out.push_back(SessionOutput::Send(frame.into())),
            Err(error) => warn!(error:% = error; "not relayed"),
        }
    }

    /// Frames dropped because they did not fit the queue for an absent router.
    #[must_use]
    pub fn pending_dropped(&self) -> u64 {
        self.pending_dropped
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> SessionOutput {
        self.out.pop_front().unwrap_or_else(|| SessionOutput::Idle(self.wake()))
    }

    fn wake(&self) -> Option<Wake> {
        match &self.state {
            State::Offline { dial_at } => dial_at.map(|at| Wake::new(at, "dial")),
            State::Dialing { give_up_at } => Some(Wake::new(*give_up_at, "dial timeout")),
            State::AwaitingWelcome { give_up_at } => Some(Wake::new(*give_up_at, "welcome timeout")),
            State::Ready { last_heard, pinged, keep_alive_at, reannounce_at, .. } => {
                let silence = if *pinged { SILENCE_LIMIT } else { PING_AFTER };
                let liveness = Wake::new(*last_heard + silence, "router silence");
                let keep_alive = Wake::new(*keep_alive_at, "keep-alive");
                let announce = reannounce_at.map(|at| Wake::new(at, "announce again"));
                Wake::earliest(Wake::earliest(Some(liveness), Some(keep_alive)), announce)
            }
        }
    }

    fn on_message(&mut self, now: Instant, message: &Message<'_>) {
        match message {
            Message::Welcome(welcome) if matches!(self.state, State::AwaitingWelcome { .. }) => {
                self.on_welcome(now, welcome.session, welcome.name);
            }
            Message::Error(error) => self.on_error(now, error.code, error.message, error.address),
            Message::Ping => self.send(&Message::Pong),
            Message::Publish(publish) => {
                let Body::Value(value) = publish.body else { return };
                if publish.address == p2p::ANNOUNCE_ADDRESS {
                    match PeerAnnounce::from_value(value) {
                        Ok(announce) => self.on_announce(&announce),
                        Err(error) => debug!(error:% = error; "unreadable announce"),
                    }
                } else if p2p::target_session(publish.address).is_some_and(|target| Some(target) == self.id())
                {
                    self.on_signal(value);
                }
            }
            _ => {}
        }
    }

    fn on_welcome(&mut self, now: Instant, id: &str, name: &str) {
        self.backoff.reset();
        self.enter(State::Ready {
            id: id.to_owned(),
            last_heard: now,
            pinged: false,
            keep_alive_at: now + self.identity.keep_alive,
            reannounce_at: None,
        });
        self.out.push_back(SessionOutput::Ready { session: id.to_owned(), name: name.to_owned() });
        let mut own_signals = String::new();
        p2p::signal_address(id, &mut own_signals);
        self.subscribe(SIGNAL_SUBSCRIPTION, &own_signals);
        self.subscribe(ANNOUNCE_SUBSCRIPTION, p2p::ANNOUNCE_ADDRESS);
        self.announce();
        while let Some(frame) = self.pending.pop() {
            self.send_late(&frame);
        }
    }

    fn on_error(&mut self, now: Instant, code: u16, text: &str, address: Option<&str>) {
        let target = address.and_then(p2p::target_session);
        match (&self.state, code, target) {
            (State::AwaitingWelcome { .. }, ..) => self.hang_up(now, &format!("refused: {text} ({code})")),
            (State::Ready { id, .. }, 404, Some(target)) if target == id => {
                // The router has forgotten us but still reads this socket: another HELLO gives a fresh session.
                debug!("the router forgot this session");
                self.hello(now);
            }
            (_, 404, Some(target)) => {
                self.out.push_back(SessionOutput::NoSuchSession(target.to_owned()));
            }
            _ if self.errors.begins(now) => {
                warn!(code, text:? = text, address:? = address; "errors from the router")
            }
            _ => debug!(code, text:? = text, address:? = address; "error from the router"),
        }
    }

    fn hello(&mut self, now: Instant) {
        self.enter(State::AwaitingWelcome { give_up_at: now + HANDSHAKE_TIMEOUT });
        let Identity { name, token, .. } = self.identity.clone();
        let features = Features::PARAM.with(Features::EVENT).with(Features::STREAM);
        self.send(&Message::Hello(Hello { version: 1, features, name: &name, token: &token }));
    }

    fn subscribe(&mut self, id: u32, pattern: &str) {
        self.send(&Message::Subscribe(Subscribe {
            id,
            pattern,
            types: TypeMask(0xFF),
            max_rate: None,
            epsilon: None,
            history: None,
            window: None,
        }));
    }

    /// A signal to ourselves counts as traffic to us, which is what the stock router goes by.
    fn signal_self(&mut self) {
        let State::Ready { id, .. } = &self.state else { return };
        let id = id.clone();
        let keep_alive =
            P2pSignal { from: &id, correlation_id: "keep-alive", edge: false, body: SignalBody::Connected };
        if let Err(error) = self.signal(&id, &keep_alive) {
            warn!(error:% = error; "cannot keep the session alive");
        }
    }

    /// Sends a signal that was written when we had no session, or another one: its sender is who we are now.
    fn send_late(&mut self, frame: &[u8]) {
        let State::Ready { id, .. } = &self.state else { return };
        let mut late = Vec::new();
        match Message::decode_compact(frame) {
            Ok((_, Message::Publish(publish))) => match encode_signal_with_from(&publish, id, &mut late) {
                Ok(()) => self.out.push_back(SessionOutput::Send(late.into())),
                Err(error) => warn!(error:% = error; "late signal not sent"),
            },
            other => warn!(other:? = other; "not a signal that we wrote"),
        }
    }

    fn send(&mut self, message: &Message<'_>) {
        let mut frame = Vec::new();
        match message.encode_into(&mut frame) {
            Ok(()) => self.out.push_back(SessionOutput::Send(frame.into())),
            Err(error) => warn!(kind = message.kind(), error:% = error; "message not sent"),
        }
    }

    fn hang_up(&mut self, now: Instant, why: &str) {
        self.out.push_back(SessionOutput::Hangup);
        self.lose(now, why.to_owned());
    }

    fn lose(&mut self, now: Instant, why: String) {
        let retry_in = self.persistent.then(|| self.backoff.next(&mut self.rng));
        self.lost = Some(why.chars().take(MAX_REASON_BYTES).collect());
        self.enter(State::Offline { dial_at: retry_in.map(|after| now + after) });
        self.out.push_back(SessionOutput::Lost { why, retry_in });
    }

    fn enter(&mut self, next: State) {
        debug!(from = self.state.name(), to = next.name(); "session");
        self.state = next;
    }
}

/// Whether a stranger's text may be shown on a terminal as it is.
fn is_plain(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests;
