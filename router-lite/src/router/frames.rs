//! Frames come in: rate limit, decoding, dispatch; and the plain replies.

use bytes::Bytes;
use clasp_wire::{
    Header, Message, QoS,
    message::{Ack, ErrorReply, Sync},
};

use super::Router;
use crate::{
    access::Origin, close::CloseReason, connection::State, counters::Refusal, limits::ERROR_INTERVAL,
    outbox::Class, rate::Verdict, slots::Slot,
};

impl Router {
    pub(super) fn handle_frame(&mut self, slot: Slot, frame: &Bytes) {
        self.tally.counters.frames_in += 1;
        self.tally.counters.bytes_in += frame.len() as u64;
        let now = self.now.instant;
        let Some(connection) = self.slots.get_mut(slot) else { return };
        connection.heard(now);
        let verdict = match connection.state {
            State::Closing => return,
            State::HalfOpen => Verdict::Pass,
            State::Ready(_) if connection.origin == Origin::Bridge => Verdict::Pass,
            State::Ready(_) => connection.bucket.take(now),
        };
        if verdict != Verdict::Pass {
            return self.refuse_rate(slot, verdict);
        }
        let mut scratch = std::mem::take(&mut self.decode_scratch);
        match Message::decode(frame, &mut scratch) {
            Ok((header, message)) => self.dispatch(slot, header, &message),
            Err(error) => self.refuse_undecodable(slot, &error),
        }
        scratch.clear();
        self.decode_scratch = scratch;
    }

    fn dispatch(&mut self, slot: Slot, header: Header, message: &Message<'_>) {
        let wants_ack = header.qos != QoS::Fire;
        if let Message::Hello(hello) = message {
            return self.handle_hello(slot, hello);
        }
        if self.slots.get(slot).is_none_or(|connection| connection.session().is_none()) {
            self.tally.note(self.now.instant, Refusal::NotHello, &"handshake");
            self.reply_error(slot, 101, CloseReason::NotHello.text(), None);
            return self.close(slot, CloseReason::NotHello);
        }
        match message {
            Message::Publish(publish) => self.handle_publish(slot, publish),
            Message::Set(set) => self.handle_set(slot, set, wants_ack),
            Message::Get { address } => self.handle_get(slot, address),
            Message::Subscribe(subscribe) => self.handle_subscribe(slot, subscribe),
            Message::Unsubscribe { id } => self.unsubscribe(slot, *id),
            Message::Bundle(bundle) => self.handle_bundle(slot, bundle, wants_ack),
            Message::Announce(announce) => self.handle_announce(slot, announce, wants_ack),
            Message::Query { pattern } => self.handle_query(slot, pattern),
            Message::Ping => self.reply(slot, &Message::Pong),
            Message::Sync(sync) => {
                let now = Some(self.now.unix_us);
                self.reply(slot, &Message::Sync(Sync { t1_us: sync.t1_us, t2_us: now, t3_us: now }));
            }
            // What only a router says, or what the stock router ignores as well.
            _ => {}
        }
    }

    fn refuse_rate(&mut self, slot: Slot, verdict: Verdict) {
        let rate = self.config.rate();
        self.tally.note(self.now.instant, Refusal::Rate, &rate);
        if verdict == Verdict::RefuseAndTell {
            self.reply_error(slot, 429, &format!("Rate limit exceeded: {rate} messages/second"), None);
        }
    }

    fn refuse_undecodable(&mut self, slot: Slot, error: &clasp_wire::DecodeError) {
        let now = self.now.instant;
        self.tally.note(now, Refusal::Undecodable, error);
        let Some(connection) = self.slots.get_mut(slot) else { return };
        let first = connection.session().is_none();
        let told = connection.error_told_at;
        if first || told.is_none_or(|at| now.saturating_duration_since(at) >= ERROR_INTERVAL) {
            connection.error_told_at = Some(now);
            self.reply_error(slot, 101, &format!("undecodable frame: {error}"), None);
        }
        if first {
            self.close(slot, CloseReason::Undecodable);
        }
    }

    /// Sends `message` to one client. What does not fit a frame is not sent: it quotes the client's own text.
    pub(super) fn reply(&mut self, to: Slot, message: &Message<'_>) {
        self.scratch.clear();
        if message.encode_into(&mut self.scratch).is_ok() {
            let frame = Bytes::copy_from_slice(&self.scratch);
            self.push(to, frame, Class::Reliable);
        }
    }

    /// Sends an ERROR; without the address if both do not fit a frame.
    pub(super) fn reply_error(&mut self, to: Slot, code: u16, message: &str, address: Option<&str>) {
        let mut error = ErrorReply { code, message, address, correlation_id: None };
        if Message::Error(error).encoded_len() > clasp_wire::limits::MAX_PAYLOAD_BYTES {
            error.address = None;
        }
        self.reply(to, &Message::Error(error));
    }

    pub(super) fn reply_ack(&mut self, to: Slot, address: Option<&str>, revision: Option<u64>) {
        self.reply(to, &Message::Ack(Ack { address, revision, ..Ack::default() }));
    }

    /// ERROR 301, and counts it.
    pub(super) fn refuse_scope(&mut self, to: Slot, operation: &str, address: &str) {
        self.tally.note(self.now.instant, Refusal::Scope, &operation);
        self.reply_error(to, 301, &format!("Insufficient scope for {operation}"), Some(address));
    }

    /// ERROR for something that is no address (200) or no pattern (202).
    pub(super) fn refuse_address(&mut self, to: Slot, code: u16, error: &clasp_wire::AddressError) {
        self.tally.note(self.now.instant, Refusal::Address, error);
        self.reply_error(to, code, &error.to_string(), Some(&error.address));
    }
}
