//! A link to another node: what an application sends to and hears from, whatever way its messages take.
//!
//! Owns: which way is in use, the attempts at a direct one, and, between two of our nodes, that reliable messages arrive once and
//! in order across all of them ([`delivery`]). Does not own: how a direct connection works ([`Peer`]), the session with the
//! router, the choice whom to connect to.
//!
//! # States
//! `First` (the first attempt) → `Direct` (its data channels are open) ⇄ `Detour` (none is; through the router if both nodes
//! allow it, while the offerer makes new attempts) → `Ended`. A link to a stock peer never makes a detour: where its connection
//! ends, it ends. Every change of state is made in `ways.rs` and logged by [`Link::enter`].

mod delivery;
mod incoming;
mod output;
mod overtaking;
mod record;
mod relay;
mod remote;
mod sending;
mod ways;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use log::debug;

use crate::backoff::Backoff;
use crate::config::RoutingMode;
use crate::event::{Channel, Event, FailReason, LinkId, LinkState, Role, RouterId};
use crate::limits::RELAY_LIMIT;
use crate::node::Bond;
use crate::peer::{Peer, SendError, control};
use crate::wake::Wake;
use delivery::{Incoming, Outgoing};
pub(crate) use output::LinkOutput;
use overtaking::Overtaking;
use record::Record;
use relay::Relay;
use remote::Remote;

/// A first attempt that takes longer gets the detour at once; it may still succeed.
const DETOUR_AFTER: Duration = Duration::from_secs(3);

/// The same for the search for another path of an open connection, which is under way when the old one has been silent for 4 s.
const DETOUR_AFTER_RESTART: Duration = Duration::from_secs(2);

/// The waits between attempts at a direct connection, while the detour is in use.
const FIRST_RETRY: Duration = Duration::from_secs(2);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// One direct connection, or one that is to be.
struct Attempt {
    peer: Peer,
    /// Of its signals. The first attempt's is the link's own.
    correlation_id: String,
    /// Attempts are numbered from 1.
    generation: u32,
    /// The number of the next message on its reliable channel.
    next_in: u64,
    /// Messages have travelled on it.
    was_in_use: bool,
    wake: Option<Wake>,
}

enum State {
    First,
    Direct,
    Detour(Box<Detour>),
    Ended,
}

impl State {
    fn name(&self) -> &'static str {
        match self {
            Self::First => "first attempt",
            Self::Direct => "direct",
            Self::Detour(_) => "detour",
            Self::Ended => "ended",
        }
    }
}

/// No direct connection.
struct Detour {
    relay: Relay,
    /// Why there is none; what is told if the link never worked at all.
    why: FailReason,
    /// The application knows that its messages go through the router.
    told: bool,
    /// When to make another attempt; only the offerer does, so that two cannot cross.
    offer_at: Option<Instant>,
}

/// What a link is from the beginning.
pub(crate) struct Beginning {
    pub(crate) number: LinkId,
    pub(crate) router: RouterId,
    pub(crate) remote: String,
    pub(crate) correlation_id: String,
    pub(crate) role: Role,
    pub(crate) routing: RoutingMode,
    /// None where only the detour is wanted.
    pub(crate) attempt: Option<Peer>,
}

/// See the module.
pub(crate) struct Link {
    number: LinkId,
    router: RouterId,
    remote: Remote,
    /// Names the link for life, at both ends.
    correlation_id: String,
    role: Role,
    routing: RoutingMode,
    state: State,
    attempt: Option<Attempt>,
    /// Of the newest attempt.
    generation: u32,
    began: Instant,
    /// The certificate the other node had when it was connected first: it must keep it.
    fingerprint: Option<String>,
    outgoing: Outgoing,
    incoming: Incoming,
    /// Of the connection in use.
    overtaking: Overtaking,
    /// The other node waits for an answer through the router.
    answer_due: bool,
    /// Somebody was told that there is no room, and waits for a word.
    awaited: bool,
    /// The application was told that the link works, in either way, and that it was connected directly.
    usable: bool,
    connected: bool,
    retry: Backoff,
    /// Since when the connection in use looks for another path.
    restarting_since: Option<Instant>,
    /// The paired device at the other end, if it is one.
    bond: Option<Bond>,
    /// The random id of the other node's process, as it announces it.
    instance: Option<String>,
    /// The other node connects to its paired devices by itself.
    resident: bool,
    /// Since when we have the session on the router that replaced another.
    online_again: Option<Instant>,
    /// Since when we have no session on the router.
    offline_since: Option<Instant>,
    streams_dropped: u64,
    record: Record,
    wake: Option<Wake>,
    dirty: bool,
    out: VecDeque<LinkOutput>,
}

impl Link {
    pub(crate) fn new(now: Instant, beginning: Beginning) -> Self {
        let Beginning { number, router, remote, correlation_id, role, routing, attempt } = beginning;
        let mut link = Self {
            number,
            router,
            remote: Remote::new(remote),
            correlation_id: correlation_id.clone(),
            role,
            routing,
            state: State::First,
            attempt: None,
            generation: 0,
            began: now,
            fingerprint: None,
            outgoing: Outgoing::default(),
            incoming: Incoming::default(),
            overtaking: Overtaking::default(),
            answer_due: false,
            awaited: false,
            usable: false,
            connected: false,
            retry: Backoff::new(FIRST_RETRY, LONGEST_RETRY),
            restarting_since: None,
            bond: None,
            instance: None,
            resident: false,
            online_again: None,
            offline_since: None,
            streams_dropped: 0,
            record: Record::new(now),
            wake: None,
            dirty: true,
            out: VecDeque::new(),
        };
        match attempt {
            Some(peer) => link.begin_attempt(peer, correlation_id, 1),
            None => link.begin_relayed(now),
        }
        link
    }

    pub(crate) fn number(&self) -> LinkId {
        self.number
    }

    pub(crate) fn router(&self) -> RouterId {
        self.router
    }

    pub(crate) fn remote(&self) -> &str {
        self.remote.session()
    }

    /// Whether who has this session may speak for the other node.
    pub(crate) fn is_with(&self, session: &str) -> bool {
        self.remote.is(session)
    }

    pub(crate) fn role(&self) -> Role {
        self.role
    }

    /// Whether this is the id of the link itself.
    pub(crate) fn is(&self, router: RouterId, correlation_id: &str) -> bool {
        self.router == router && self.correlation_id == correlation_id
    }

    /// Whether signals with this id belong to the link or to its present attempt.
    pub(crate) fn has(&self, router: RouterId, correlation_id: &str) -> bool {
        let of_attempt = |attempt: &Attempt| attempt.correlation_id == correlation_id;
        self.router == router
            && (self.correlation_id == correlation_id || self.attempt.as_ref().is_some_and(of_attempt))
    }

    /// The connection that signals with this id are about.
    pub(crate) fn attempt(&mut self, correlation_id: &str) -> Option<&mut Peer> {
        self.dirty = true;
        let attempt = self.attempt.as_mut().filter(|attempt| attempt.correlation_id == correlation_id)?;
        Some(&mut attempt.peer)
    }

    pub(crate) fn state(&self) -> LinkState {
        match &self.state {
            State::First | State::Direct => {
                self.attempt.as_ref().map_or(LinkState::Closed, |attempt| attempt.peer.state())
            }
            State::Detour(detour) if detour.relay.carries() => LinkState::Relayed,
            State::Detour(_) if self.usable => LinkState::Restarting,
            State::Detour(_) => LinkState::Checking,
            State::Ended => LinkState::Closed,
        }
    }

    /// Whether an offer of ours is out that the other node may not have seen before it sent its own.
    pub(crate) fn may_be_crossed(&self) -> bool {
        match &self.state {
            State::First => self.state() == LinkState::Offering,
            State::Detour(detour) => self.role == Role::Offerer && !self.usable && !detour.relay.is_heard(),
            _ => false,
        }
    }

    pub(crate) fn streams_dropped(&self) -> u64 {
        self.streams_dropped + self.attempt.as_ref().map_or(0, |attempt| attempt.peer.streams_dropped())
    }

    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty
    }

    pub(crate) fn wake(&self) -> Option<Wake> {
        self.wake
    }

    pub(crate) fn peer(&self) -> Option<&Peer> {
        self.attempt.as_ref().map(|attempt| &attempt.peer)
    }

    /// Whether its connection waits for the address behind this name.
    pub(crate) fn awaits(&self, name: &str) -> bool {
        self.peer().is_some_and(|peer| peer.awaits(name))
    }

    /// The connection, to be given a datagram.
    pub(crate) fn peer_mut(&mut self) -> Option<&mut Peer> {
        self.dirty = true;
        self.attempt.as_mut().map(|attempt| &mut attempt.peer)
    }

    /// Lets time pass.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.dirty = true;
        if let Some(attempt) = &mut self.attempt
            && attempt.wake.is_some_and(|wake| wake.at <= now)
        {
            attempt.peer.handle_timeout(now);
        }
        let detour_due = self.detour_due().is_some_and(|at| at <= now);
        match &mut self.state {
            State::First if detour_due => {
                self.detour(now, ways::no_path_within(DETOUR_AFTER));
            }
            State::Direct if detour_due => {
                self.detour(now, FailReason::Declined("its path is lost".to_owned()));
            }
            State::Direct => {
                self.confirm_if_due(now);
                self.overtake_if_due(now);
            }
            State::Detour(_) if self.incoming.confirm_due(now).is_some() => self.answer_due = true,
            State::Detour(detour) if detour.relay.is_over(now) => self.lose(),
            _ => {}
        }
    }

    /// Our sockets have these addresses now.
    pub(crate) fn handle_addresses(&mut self, now: Instant, addresses: &[SocketAddr]) {
        self.dirty = true;
        if let Some(attempt) = &mut self.attempt {
            attempt.peer.handle_addresses(now, addresses);
        } else if let State::Detour(detour) = &mut self.state {
            self.retry.reset();
            detour.offer_at = detour.offer_at.map(|_| now);
        }
    }

    /// We have this session on the link's router from now on: the other node must know it.
    pub(crate) fn handle_session(&mut self, now: Instant, session: &str) {
        self.dirty = true;
        (self.offline_since, self.online_again) = (None, Some(now));
        if let Some(attempt) = &mut self.attempt {
            attempt.peer.tell_session(session);
        }
        if let State::Detour(detour) = &mut self.state {
            detour.relay.ask_now(now, &mut self.outgoing);
        }
    }

    /// We have none any more.
    pub(crate) fn handle_offline(&mut self, now: Instant) {
        self.offline_since.get_or_insert(now);
    }

    /// The router says that this session of the other node has ended, or never was.
    pub(crate) fn handle_session_ended(&mut self, now: Instant, session: &str) {
        self.dirty = true;
        if self.remote.ended(session) {
            // What was lost is said again to the one that is left.
            if let State::Detour(detour) = &mut self.state {
                detour.relay.ask_now(now, &mut self.outgoing);
            }
            return;
        }
        match &mut self.state {
            State::First | State::Direct => {
                if let Some(attempt) = &mut self.attempt {
                    attempt.peer.handle_no_such_session(now, session);
                }
            }
            State::Detour(detour) => {
                if !self.usable && !detour.relay.is_heard() {
                    detour.why = FailReason::NoSuchSession(session.to_owned());
                }
                // After a restart of the router the other node may take longer to come back than we did.
                let patience = self.online_again.map_or(now, |since| since + RELAY_LIMIT);
                detour.relay.session_ended(now, patience);
                if detour.relay.is_over(now) {
                    self.lose();
                }
            }
            State::Ended => {}
        }
    }

    /// Asks the other node for a sign of life; [`Event::Pong`] carries the returned token.
    ///
    /// # Errors
    /// [`SendError::Unsupported`] towards stock peers, and as [`Self::send`].
    pub(crate) fn ping(&mut self, now: Instant, channel: Channel) -> Result<u64, SendError> {
        self.dirty = true;
        match (&mut self.state, &mut self.attempt) {
            (State::First | State::Direct, Some(attempt)) => attempt.peer.ping(now, channel),
            (State::Detour(detour), _) if self.usable => {
                let (token, frame) = control::ping(now, self.began);
                self.streams_dropped += detour.relay.streams.push(frame);
                Ok(token)
            }
            _ => Err(SendError::NotOpen),
        }
    }

    fn confirm_if_due(&mut self, now: Instant) {
        if let Some(attempt) = &mut self.attempt
            && let Some(number) = self.incoming.confirm_due(now)
        {
            attempt.peer.confirm(number);
        }
    }

    /// When the first attempt, or the search for another path, has taken so long that the detour is made beside it.
    fn detour_due(&self) -> Option<Instant> {
        let attempt =
            self.attempt.as_ref().filter(|attempt| attempt.peer.is_edge() && self.routing.relays())?;
        match attempt.peer.state() {
            LinkState::Checking => Some(self.began + DETOUR_AFTER),
            LinkState::Restarting => self.restarting_since.map(|since| since + DETOUR_AFTER_RESTART),
            _ => None,
        }
    }

    /// The other node has announced itself.
    pub(crate) fn note_instance(&mut self, instance: Option<&str>) {
        self.instance = instance.map(str::to_owned);
    }

    /// Whether this is how the other node announces itself.
    pub(crate) fn is_of_instance(&self, instance: Option<&str>) -> bool {
        let alive = !matches!(self.state, State::First | State::Ended);
        alive && instance.is_some() && self.instance.as_deref() == instance
    }

    /// Whether another attempt may be made when its time has come.
    fn may_offer(&self, detour: &Detour) -> bool {
        self.attempt.is_none() && detour.relay.is_heard() && detour.relay.wants_offers()
    }

    fn next_wake(&self, now: Instant) -> Option<Wake> {
        let attempt = self.attempt.as_ref().and_then(|attempt| attempt.wake);
        let confirm = self.incoming.wake().map(|at| Wake::new(at, "confirmation"));
        let own = match &self.state {
            State::First => self.detour_due().map(|at| Wake::new(at, "detour")),
            State::Direct => {
                let detour = self.detour_due().map(|at| Wake::new(at, "detour"));
                Wake::earliest(Wake::earliest(confirm, detour), self.overtaking.wake())
            }
            State::Detour(detour) => {
                let offer = detour.offer_at.filter(|_| self.may_offer(detour));
                let offer = offer.map(|at| Wake::new(at, "new offer"));
                Wake::earliest(Wake::earliest(detour.relay.wake(now), confirm), offer)
            }
            State::Ended => None,
        };
        Wake::earliest(attempt, own)
    }

    fn event(&mut self, event: Event) {
        self.out.push_back(LinkOutput::Event(event));
    }

    fn enter(&mut self, next: State) {
        debug!(link:% = self.number, from = self.state.name(), to = next.name(); "link");
        self.state = next;
    }
}

const _: () = assert!(RELAY_LIMIT.as_secs() > DETOUR_AFTER.as_secs());
