//! Connections come, say HELLO, and go.

use bytes::Bytes;
use clasp_wire::{
    Message,
    message::{Features, Hello, Welcome},
};
use log::debug;

use super::{Router, Work, signal::Goodbyes};
use crate::{
    access::{AccessToken, Origin, Scope},
    close::CloseReason,
    connection::{Connection, Job, Session, State, Wanted},
    counters::Refusal,
    id::{ConnectionId, SessionId},
    io::Output,
    limits::{HALF_OPEN_GRACE, MAX_HALF_OPEN},
    outbox::Class,
    slots::Slot,
};

impl Router {
    /// A connection was accepted. When too many have not said HELLO, the oldest gives way if it had its time.
    pub(super) fn open(&mut self, id: ConnectionId, origin: Origin) {
        self.forget(id);
        let now = self.now.instant;
        let refused = self.half_open.len() >= MAX_HALF_OPEN && !self.evict_half_open();
        self.tally.counters.connections += 1;
        let slot = self.slots.insert(Connection::new(now, id, origin, &self.config));
        self.half_open.push_back(slot);
        debug!(connection:% = id, origin:? = origin; "opened");
        if refused {
            self.tally.note(now, Refusal::HalfOpen, &id);
            self.close(slot, CloseReason::TooManyHandshakes);
        } else {
            self.deadlines.look_at(now + self.config.hello_timeout(), "handshake timeout");
        }
    }

    fn evict_half_open(&mut self) -> bool {
        let Some(slot) = self.half_open.front().copied() else { return false };
        let Some(oldest) = self.slots.get(slot) else { return false };
        if self.now.instant < oldest.opened_at + HALF_OPEN_GRACE {
            return false;
        }
        self.tally.note(self.now.instant, Refusal::HalfOpenEvicted, &oldest.id);
        self.close(slot, CloseReason::TooManyHandshakes);
        true
    }

    /// HELLO: the first, or one more on the same connection, which ends the session before it.
    pub(super) fn handle_hello(&mut self, slot: Slot, hello: &Hello<'_>) {
        let token = match self.present(hello.token) {
            Ok(token) => token,
            Err(why) => return self.refuse_token(slot, why),
        };
        self.end_session(slot);
        if self.is_full() {
            let most = self.config.max_sessions();
            self.tally.note(self.now.instant, Refusal::Sessions, &most);
            self.reply_error(slot, 503, &format!("Session limit reached (max {most})"), None);
            return self.close(slot, CloseReason::TooManySessions);
        }
        let Some(connection) = self.slots.get_mut(slot) else { return };
        let id = SessionId::random(&mut self.rng);
        connection.scope = Scope::of(connection.standing, token.as_ref());
        let token_name = token.as_ref().map_or("none", AccessToken::name);
        debug!(connection:% = connection.id, session:% = id, name:? = hello.name, token:? = token_name; "session begun");
        let mut session = Box::new(Session::new(id, token));
        session.backlog.push_back(Job::Params { wanted: Wanted::All, even_empty: true, after: None });
        connection.state = State::Ready(session);
        self.half_open.retain(|other| *other != slot);
        self.sessions.insert(id, slot);
        self.tally.counters.sessions += 1;
        self.deadlines.look_at(self.now.instant + self.config.ping_interval(), "ping");
        self.welcome(slot, id);
        self.pump_backlog(slot);
    }

    fn welcome(&mut self, slot: Slot, id: SessionId) {
        self.scratch.clear();
        let session = id.text();
        let welcome = Welcome {
            version: 1,
            features: Features::SERVED,
            time_us: self.now.unix_us,
            session: &session,
            name: self.config.name(),
            token: "",
        };
        Message::Welcome(welcome).encode_into(&mut self.scratch).expect("the router's name is bounded");
        let frame = Bytes::copy_from_slice(&self.scratch);
        self.push(slot, frame, Class::Reliable);
    }

    /// Ends the session, if any, and has the driver close the connection once what waits is written.
    pub(super) fn close(&mut self, slot: Slot, reason: CloseReason) {
        self.end_session(slot);
        let Some(connection) = self.slots.get_mut(slot) else { return };
        if matches!(connection.state, State::Closing) {
            return;
        }
        connection.state = State::Closing;
        let connection = connection.id;
        self.half_open.retain(|other| *other != slot);
        debug!(connection:% = connection, reason:% = reason.text(); "closing");
        self.outputs.push_back(Output::Close { connection, reason });
    }

    /// The connection is gone.
    pub(super) fn forget(&mut self, id: ConnectionId) {
        let Some(slot) = self.slots.find(id) else { return };
        self.end_session(slot);
        self.half_open.retain(|other| *other != slot);
        self.slots.remove(slot);
        debug!(connection:% = id; "gone");
    }

    /// Nothing of the session stays but its parameters (unlocked) and announced signals. Its P2P peers are told.
    fn end_session(&mut self, slot: Slot) {
        let Some(connection) = self.slots.get_mut(slot) else { return };
        let State::Ready(_) = connection.state else { return };
        let State::Ready(mut session) = std::mem::replace(&mut connection.state, State::HalfOpen) else {
            return;
        };
        debug!(connection:% = connection.id, session:% = session.id; "session ended");
        for subscription in &session.subscriptions {
            self.roster.unsubscribe(slot, subscription.id, subscription.pattern.as_str());
        }
        self.sessions.remove(&session.id);
        if session.locks > 0 {
            self.params.release_locks(session.id);
        }
        self.signals.orphan(session.id);
        let links = session.links.take();
        if !links.is_empty() {
            self.work.push_back(Work::Goodbyes(Goodbyes { from: session.id, links }));
        }
        for held in session.gestures.take_all() {
            self.deliver_gesture(slot, &held);
        }
    }

    pub(super) fn shut_down(&mut self) {
        let slots: Vec<Slot> = self.slots.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            self.close(slot, CloseReason::ShuttingDown);
        }
    }
}
