//! Which way the messages of a link take, and when that changes.

use std::time::{Duration, Instant};

use log::{debug, warn};
use rand::rngs::StdRng;

use super::overtaking::Overtaking;
use super::relay::Relay;
use super::{Attempt, Detour, Link, State};
use crate::config::RoutingMode;
use crate::event::{Channel, DisconnectReason, Event, FailReason, LinkState, Path, Role};
use crate::peer::{Ended, Peer};

/// While the node has too many links connecting, the next attempt waits this long.
const POSTPONED: Duration = Duration::from_secs(1);

/// A link whose direct path is lost when there has been no router for so long is not kept.
const OFFLINE_TOO_LONG: Duration = Duration::from_secs(5);

/// Why an attempt that still goes on gets the detour.
pub(super) fn no_path_within(timeout: Duration) -> FailReason {
    FailReason::Ice { timeout, remote_candidates: 0, servers: Vec::new() }
}

impl Link {
    /// Another connection for this link.
    pub(crate) fn begin_attempt(&mut self, mut peer: Peer, correlation_id: String, generation: u32) {
        self.dirty = true;
        if let Some(fingerprint) = &self.fingerprint {
            peer.expect_fingerprint(fingerprint.clone());
        }
        self.drop_attempt();
        self.generation = generation;
        self.attempt =
            Some(Attempt { peer, correlation_id, generation, next_in: 1, was_in_use: false, wake: None });
        if let State::Detour(detour) = &mut self.state {
            detour.offer_at = None;
        }
    }

    /// Replaces our first offer by the answer to the other node's.
    pub(crate) fn answer_instead(&mut self, now: Instant, peer: Option<Peer>, correlation_id: String) {
        self.correlation_id.clone_from(&correlation_id);
        self.role = Role::Answerer;
        self.drop_attempt();
        match peer {
            Some(peer) => {
                self.state = State::First;
                self.begin_attempt(peer, correlation_id, 1);
            }
            None => self.begin_relayed(now),
        }
    }

    /// The other node was heard from through the router, with this session.
    pub(crate) fn follow(&mut self, from: &str) {
        if self.remote.heard_from(from) {
            debug!(link:% = self.number, session = from; "the other node has another session");
        }
    }

    /// The other node does not know how things are here: tells it.
    pub(crate) fn answer_soon(&mut self) {
        (self.answer_due, self.dirty) = (true, true);
    }

    /// The number the next attempt will have.
    pub(crate) fn next_generation(&self) -> u32 {
        self.generation.saturating_add(1)
    }

    /// The link's correlation id.
    pub(crate) fn correlation_id(&self) -> &str {
        &self.correlation_id
    }

    /// Takes an attempt of the other node for this link, whose connection it has lost. `from` is its session.
    ///
    /// # Errors
    /// Why not, fit to be sent back.
    pub(crate) fn accept_attempt(
        &mut self,
        now: Instant,
        from: &str,
        peer: Peer,
        correlation_id: String,
        generation: u32,
    ) -> Result<(), &'static str> {
        if self.role == Role::Offerer || matches!(self.state, State::Ended) {
            return Err("this link is not for you to offer");
        }
        if generation <= self.generation {
            return Err("this attempt is an old one");
        }
        if self.fingerprint.is_some() && self.fingerprint.as_deref() != peer.fingerprint() {
            return Err("another certificate than before");
        }
        if !self.routing.connects() {
            return Err("this node relays only");
        }
        self.follow(from);
        if !matches!(self.state, State::Detour(_)) {
            self.on_gone_there(now);
        }
        self.begin_attempt(peer, correlation_id, generation);
        Ok(())
    }

    /// An attempt failed: the offerer makes another one.
    fn attempt_later(&mut self, now: Instant, rng: &mut StdRng) {
        let at = now + self.retry.next(rng);
        if let State::Detour(detour) = &mut self.state {
            detour.offer_at = (self.role == Role::Offerer).then_some(at);
        }
    }

    /// No attempt could be made now.
    pub(crate) fn postpone_attempt(&mut self, now: Instant) {
        self.dirty = true;
        if let State::Detour(detour) = &mut self.state {
            detour.offer_at = Some(now + POSTPONED);
        }
    }

    /// Whether it is time for another attempt.
    pub(super) fn take_attempt_due(&mut self, now: Instant) -> bool {
        let State::Detour(detour) = &self.state else { return false };
        let due = self.may_offer(detour) && detour.offer_at.is_some_and(|at| at <= now);
        if due && let State::Detour(detour) = &mut self.state {
            detour.offer_at = None;
        }
        due
    }

    pub(super) fn drop_attempt(&mut self) {
        if let Some(attempt) = self.attempt.take() {
            self.streams_dropped += attempt.peer.streams_dropped();
            self.record.keep(&attempt.peer, attempt.was_in_use);
        }
    }

    /// Without a direct connection from the beginning. The other node's first attempt, if it made one, is over.
    pub(super) fn begin_relayed(&mut self, now: Instant) {
        self.generation = u32::from(self.role == Role::Answerer);
        let why = FailReason::NoAnswer(crate::limits::RELAY_LIMIT);
        self.start_detour(now, why, self.role == Role::Offerer, None);
    }

    /// From now on without a direct connection; an attempt may go on beside it.
    pub(super) fn detour(&mut self, now: Instant, why: FailReason) {
        let offers = self.role == Role::Offerer && self.attempt.is_none();
        self.start_detour(now, why, false, offers.then_some(now));
    }

    fn start_detour(&mut self, now: Instant, why: FailReason, open: bool, offer_at: Option<Instant>) {
        self.outgoing.rewind();
        let relay = Relay::new(now, self.routing, open);
        let link = self.number;
        if self.usable {
            self.event(Event::State { link, state: LinkState::Restarting });
        }
        self.enter(State::Detour(Box::new(Detour { relay, why, told: false, offer_at })));
    }

    /// The other node was heard through the router.
    pub(super) fn note_relayed(&mut self, now: Instant, theirs: RoutingMode) {
        if matches!(self.state, State::First) && self.routing.relays() && theirs.relays() {
            // It has begun the detour, perhaps because it cannot do otherwise.
            self.detour(now, no_path_within(now.saturating_duration_since(self.began)));
        }
        let (link, peer, router) = (self.number, self.remote.session().to_owned(), self.router);
        let State::Detour(detour) = &mut self.state else { return };
        detour.relay.heard(now, theirs);
        if !detour.relay.carries() || std::mem::replace(&mut detour.told, true) {
            return;
        }
        let why = match (detour.relay.wants_offers(), self.connected) {
            (false, _) => format!("{} is asked for", RoutingMode::RelayOnly),
            (true, true) => "the direct path is lost".to_owned(),
            (true, false) => detour.why.to_string(),
        };
        self.usable = true;
        let after = now.saturating_duration_since(self.began);
        self.event(Event::State { link, state: LinkState::Relayed });
        self.event(Event::Relayed { link, peer, router, why, after });
    }

    /// The data channels of an attempt are open.
    pub(super) fn on_connected(&mut self, now: Instant, path: Path) {
        self.go_direct();
        let (link, peer, role) = (self.number, self.remote.session().to_owned(), self.role);
        let after = now.saturating_duration_since(self.began);
        let connected_before = std::mem::replace(&mut self.connected, true);
        self.event(if connected_before {
            Event::PathChanged { link, peer, path }
        } else {
            Event::Connected { link, peer, role, path, after }
        });
        self.feed(now);
    }

    /// A connection that was in use before the detour has a path again.
    pub(super) fn on_path_found(&mut self, now: Instant) {
        self.go_direct();
        let (link, peer) = (self.number, self.remote.session().to_owned());
        if let Some(path) = self.attempt.as_ref().and_then(|attempt| attempt.peer.path()) {
            self.event(Event::PathChanged { link, peer, path });
        }
        self.feed(now);
    }

    fn go_direct(&mut self) {
        let Some(attempt) = &mut self.attempt else { return };
        attempt.was_in_use = true;
        if attempt.peer.is_edge() {
            self.fingerprint = attempt.peer.fingerprint().map(str::to_owned);
            self.overtaking = Overtaking::default();
            // On a new connection it is number 1 that comes without a word.
            let is_news = self.outgoing.arrived_number() > 0 || matches!(self.state, State::Detour(_));
            self.begin_here(is_news);
        }
        let Some(attempt) = &mut self.attempt else { return };
        if attempt.peer.is_edge() && self.incoming.arrived() > 0 {
            attempt.peer.confirm(self.incoming.confirm());
        }
        if let State::Detour(detour) = &mut self.state {
            while let Some(message) = detour.relay.streams.pop() {
                if attempt.peer.send(Channel::Stream, message).is_err() {
                    self.streams_dropped += 1;
                }
            }
            self.event(Event::State { link: self.number, state: LinkState::Open });
        }
        self.enter(State::Direct);
        self.retry.reset();
        self.usable = true;
    }

    /// The connection in use is given everything anew that has not arrived; `tell`: the other node cannot know where that begins.
    pub(super) fn begin_here(&mut self, tell: bool) {
        let Some(attempt) = &mut self.attempt else { return };
        self.outgoing.rewind();
        if tell && let Err(error) = attempt.peer.begin_at(self.outgoing.next_number()) {
            warn!(link:% = self.number, error:% = error; "a connection takes no message");
        }
    }

    /// The other node has closed the connection in use, because it found it lost.
    pub(super) fn on_gone_there(&mut self, now: Instant) {
        self.drop_attempt();
        match &mut self.state {
            State::Detour(detour) if self.role == Role::Offerer => {
                detour.offer_at.get_or_insert(now + POSTPONED);
            }
            State::Detour(_) | State::Ended => {}
            State::First | State::Direct => {
                self.detour(now, FailReason::Declined("it found no direct path".to_owned()));
            }
        }
    }

    /// The connection, or an attempt at one, is lost; the other node need not be.
    pub(super) fn on_path_lost(&mut self, now: Instant, rng: &mut StdRng, ended: Ended) {
        self.drop_attempt();
        let offline_for =
            self.offline_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        match (&self.state, ended) {
            (State::Ended, _) => {}
            (State::Detour(_), _) => self.attempt_later(now, rng),
            (State::First, Ended::Failed(why)) if !self.routing.relays() => {
                let reason = why.to_string();
                self.end(Ended::Failed(why), Some(&reason));
            }
            (_, Ended::Failed(why)) => {
                self.start_detour(now, why, false, None);
                self.attempt_later(now, rng);
            }
            // The router has been gone for as long as the peer: most likely it is the peer's own.
            (_, Ended::Disconnected(why)) if offline_for >= OFFLINE_TOO_LONG => {
                self.end(Ended::Disconnected(why), Some("connection lost"));
            }
            (_, Ended::Disconnected(why)) => {
                debug!(link:% = self.number, why:% = why; "the direct path is lost");
                self.detour(now, FailReason::Declined(why.to_string()));
            }
        }
    }

    /// A connection was ended on purpose: the link's own, or an attempt beside the detour.
    pub(super) fn on_ended(&mut self, now: Instant, rng: &mut StdRng, ended: Ended) {
        let is_own = self.attempt.as_ref().is_some_and(|a| a.correlation_id == self.correlation_id);
        match &self.state {
            State::Ended => {}
            // Told with the link's own id, so that the other node has ended it as well.
            State::Detour(_) if is_own => self.end(ended, None),
            State::Detour(_) => {
                self.attempt_later(now, rng);
                self.drop_attempt();
            }
            // Its goodbye follows; then it is gone, and the link with it.
            State::First | State::Direct => self.end(ended, None),
        }
    }

    /// There was no sign of the other node for too long.
    pub(super) fn lose(&mut self) {
        let State::Detour(detour) = &self.state else { return };
        self.end(self.ended(DisconnectReason::Lost, detour.why.clone()), Some("connection lost"));
    }

    /// Ends the link from this side. The other node is told.
    pub(crate) fn close(&mut self, now: Instant, reason: &str) {
        self.dirty = true;
        match (&self.state, &mut self.attempt) {
            (State::First | State::Direct, Some(attempt)) => attempt.peer.close(now, reason),
            _ => self.end(self.ended(DisconnectReason::Local, FailReason::CalledOff), Some(reason)),
        }
    }

    /// Ends a link whose application does not take its data.
    pub(crate) fn close_too_slow(&mut self, now: Instant) {
        self.dirty = true;
        match (&self.state, &mut self.attempt) {
            (State::First | State::Direct, Some(attempt)) => attempt.peer.close_too_slow(now),
            _ => {
                let ended = Ended::Disconnected(DisconnectReason::ApplicationTooSlow);
                self.end(ended, Some("receiver too slow"));
            }
        }
    }

    /// The other node is done with this link, or with the attempt of this id.
    pub(crate) fn handle_disconnected(&mut self, now: Instant, correlation_id: &str, reason: Option<&str>) {
        self.dirty = true;
        let of_link = self.correlation_id == correlation_id;
        match (&self.state, &mut self.attempt) {
            (State::First | State::Direct, Some(attempt)) if of_link => {
                attempt.peer.handle_disconnected(now, reason);
            }
            // A goodbye is about the link. This says that nobody knows the connection any more.
            (State::Direct, Some(_)) => self.on_gone_there(now),
            (State::Detour(_), Some(attempt)) if !of_link => attempt.peer.handle_disconnected(now, reason),
            (State::Detour(_), _) if of_link => {
                let declined = FailReason::Declined(reason.unwrap_or("no reason given").to_owned());
                self.end(self.ended(DisconnectReason::Remote(reason.map(str::to_owned)), declined), None);
            }
            _ => {}
        }
    }
}
