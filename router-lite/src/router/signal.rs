//! P2P signalling: signals to one session, announcements to everybody who looks for peers.
//!
//! The router is trusted with delivery alone, but it does say truthfully who sent what: `from` of a signal and
//! `session_id` of an announcement are the sender's own, whatever it wrote.

use bytes::Bytes;
use clasp_wire::{
    Entry, Message, Seq, Value,
    message::{Body, Publish},
    p2p::{ANNOUNCE_ADDRESS, P2pSignal, SignalBody, encode_signal_with_from},
};

use super::Router;
use crate::{
    counters::Refusal, id::SessionId, limits::MAX_ANNOUNCE_BYTES, links::Link, outbox::Class, rate::Verdict,
    slots::Slot,
};

/// The peers of a session that has ended, to be told so.
#[derive(Debug)]
pub(super) struct Goodbyes {
    pub(super) from: SessionId,
    pub(super) links: Vec<Link>,
}

impl Router {
    pub(super) fn handle_signal(&mut self, slot: Slot, publish: &Publish<'_>, target: &str) {
        if self.relay_signal(slot, publish, target) {
            self.tally.counters.signals_relayed += 1;
        } else {
            self.tally.counters.signals_undelivered += 1;
        }
    }

    /// Exactly one copy, to that session only, through its outbox. A target that does not keep up costs the signal
    /// and not the target's session: a stranger could end it otherwise. Says whether the signal is on its way.
    fn relay_signal(&mut self, slot: Slot, publish: &Publish<'_>, target: &str) -> bool {
        let Some(sender) = self.slots.get(slot).and_then(|connection| connection.session()) else {
            return false;
        };
        let (sender, sender_text) = (sender.id, sender.text.clone());
        let found = SessionId::from_wire(target).and_then(|id| Some((id, *self.sessions.get(&id)?)));
        let Some((target_id, target_slot)) = found else {
            self.tally.note(self.now.instant, Refusal::UnknownTarget, &publish.address);
            let text = format!("Target session not found: {target}");
            self.reply_error(slot, 404, &text, Some(publish.address));
            return false;
        };
        let Some(frame) = self.encode_signal(slot, publish, &sender_text) else { return false };
        if self.try_push(target_slot, frame, Class::Reliable).is_err() {
            self.tally.note(self.now.instant, Refusal::TargetBusy, &target);
            let text = format!("Buffer overflow: session {target} does not keep up");
            self.reply_error(slot, 503, &text, Some(publish.address));
            return false;
        }
        if slot != target_slot {
            self.note_link(publish, (slot, sender), (target_slot, target_id));
        }
        true
    }

    fn encode_signal(&mut self, slot: Slot, publish: &Publish<'_>, sender: &str) -> Option<Bytes> {
        let Body::Value(Value::Map(_)) = publish.body else {
            // It says nothing about who sent it, so there is nothing to put right.
            return self.encode_publish(slot, publish);
        };
        self.scratch.clear();
        match encode_signal_with_from(publish, sender, &mut self.scratch) {
            Ok(()) => Some(Bytes::copy_from_slice(&self.scratch)),
            Err(error) => {
                self.refuse_too_large(slot, &error, Some(publish.address));
                None
            }
        }
    }

    /// Remembers that two sessions are in an exchange, or that it is over.
    fn note_link(&mut self, publish: &Publish<'_>, from: (Slot, SessionId), to: (Slot, SessionId)) {
        let Body::Value(Value::Map(entries)) = publish.body else { return };
        let (mut kind, mut correlation) = (None, None);
        for entry in entries {
            match entry.key {
                "type" => kind = entry.value.as_str(),
                "correlation_id" => correlation = entry.value.as_str(),
                _ => {}
            }
        }
        let (Some(kind), Some(correlation)) = (kind, correlation) else { return };
        for ((slot, _), (_, peer)) in [(from, to), (to, from)] {
            let Some(session) = self.slots.get_mut(slot).and_then(|c| c.session_mut()) else { continue };
            match kind {
                "offer" | "answer" | "ice_candidate" | "connected" | "relay"
                    if session.links.note(peer, correlation) =>
                {
                    self.tally.note(self.now.instant, Refusal::LinkForgotten, &peer);
                }
                "disconnected" => session.links.remove(peer, correlation),
                _ => {}
            }
        }
    }

    /// Every exchange of a session that has ended gets the signal it could not send itself.
    pub(super) fn say_goodbye(&mut self, goodbyes: Goodbyes) {
        let from = goodbyes.from.text();
        for Link { peer, correlation } in goodbyes.links {
            let Some(slot) = self.sessions.get(&peer).copied() else { continue };
            if let Some(session) = self.slots.get_mut(slot).and_then(|c| c.session_mut()) {
                session.links.remove_peer(goodbyes.from);
            }
            let body = SignalBody::Disconnected { reason: Some("session ended") };
            let signal = P2pSignal { from: &from, correlation_id: &correlation, body, edge: false };
            self.scratch.clear();
            signal.encode_publish(&peer.text(), &mut self.scratch).expect("correlation ids are bounded");
            let frame = Bytes::copy_from_slice(&self.scratch);
            if self.try_push(slot, frame, Class::Reliable).is_err() {
                self.tally.note(self.now.instant, Refusal::TargetBusy, &peer);
            }
        }
    }

    /// Passes an announcement on to everybody who listens for them, whatever their type masks, and keeps it for those
    /// who come later.
    pub(super) fn handle_peer_announce(&mut self, slot: Slot, publish: &Publish<'_>) {
        let now = self.now.instant;
        let Some(connection) = self.slots.get_mut(slot) else { return };
        let Some(sender) = connection.session().map(|session| session.id) else { return };
        match connection.announce_bucket.take(now) {
            Verdict::Pass => {}
            verdict => return self.refuse_announce(slot, 429, "too many announces", verdict),
        }
        let Some(frame) = self.encode_peer_announce(publish, sender) else {
            let text = format!("an announce must be a map of at most {MAX_ANNOUNCE_BYTES} bytes");
            return self.refuse_announce(slot, 402, &text, Verdict::RefuseAndTell);
        };
        if let Some(session) = self.slots.get_mut(slot).and_then(|c| c.session_mut()) {
            session.announce = Some(frame.clone());
        }
        for target in self.roster.targets(ANNOUNCE_ADDRESS).iter().filter(|target| target.slot != slot) {
            if self.try_push(target.slot, frame.clone(), Class::Reliable).is_err() {
                self.tally.note(now, Refusal::TargetBusy, &ANNOUNCE_ADDRESS);
            }
        }
    }

    fn encode_peer_announce(&mut self, publish: &Publish<'_>, sender: SessionId) -> Option<Bytes> {
        let Body::Value(Value::Map(entries)) = publish.body else { return None };
        if Message::Publish(*publish).encoded_len() > MAX_ANNOUNCE_BYTES {
            return None;
        }
        let sender = sender.text();
        let mut entries: Vec<Entry<'_>> = entries.iter().filter(|entry| entry.key != "session_id").collect();
        entries.push(Entry { key: "session_id", value: Value::Str(&sender) });
        let body = Body::Value(Value::Map(Seq::items(&entries)));
        self.scratch.clear();
        Message::Publish(Publish { body, ..*publish }).encode_into(&mut self.scratch).ok()?;
        Some(Bytes::copy_from_slice(&self.scratch))
    }

    fn refuse_announce(&mut self, slot: Slot, code: u16, text: &str, verdict: Verdict) {
        self.tally.note(self.now.instant, Refusal::Announce, &text);
        if verdict == Verdict::RefuseAndTell {
            self.reply_error(slot, code, text, Some(ANNOUNCE_ADDRESS));
        }
    }

    pub(super) fn session_id(&self, slot: Slot) -> Option<SessionId> {
        self.slots.get(slot)?.session().map(|session| session.id)
    }
}
