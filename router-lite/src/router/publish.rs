//! PUBLISH: to everybody who subscribes, to one session, or to those who look for peers.

use bytes::Bytes;
use clasp_wire::{
    Address, Message,
    message::{Publish, SignalType},
};

use super::Router;
use crate::{
    access::Destination,
    counters::Refusal,
    gestures::{Held, Step},
    outbox::Class,
    slots::Slot,
};

impl Router {
    pub(super) fn handle_publish(&mut self, slot: Slot, publish: &Publish<'_>) {
        if let Err(error) = Address::parse(publish.address) {
            return self.refuse_address(slot, 200, &error);
        }
        let to = Destination::of(publish.address);
        if !self
            .slots
            .get(slot)
            .is_some_and(|connection| connection.scope.allows_publish(to, publish.address))
        {
            return self.refuse_scope(slot, "publish operation", publish.address);
        }
        match to {
            Destination::Session(target) => self.handle_signal(slot, publish, target),
            Destination::Announce => self.handle_peer_announce(slot, publish),
            Destination::Subscribers => self.broadcast(slot, publish),
        }
    }

    /// One copy for every subscribed session but the sender, encoded once.
    pub(super) fn broadcast(&mut self, slot: Slot, publish: &Publish<'_>) {
        let Some(frame) = self.encode_publish(slot, publish) else { return };
        match publish.signal {
            SignalType::Gesture => self.handle_gesture(slot, publish, &frame),
            signal => self.deliver(slot, publish.address, signal, &frame),
        }
    }

    /// The frame as the stock router forwards it: QoS by signal type, no frame timestamp, compact. It can be longer than
    /// the one that came in (narrow numbers are widened); if it is too long, the sender is told.
    pub(super) fn encode_publish(&mut self, slot: Slot, publish: &Publish<'_>) -> Option<Bytes> {
        self.scratch.clear();
        match Message::Publish(*publish).encode_into(&mut self.scratch) {
            Ok(()) => Some(Bytes::copy_from_slice(&self.scratch)),
            Err(error) => {
                self.refuse_too_large(slot, &error, Some(publish.address));
                None
            }
        }
    }

    pub(super) fn refuse_too_large(
        &mut self,
        slot: Slot,
        error: &clasp_wire::EncodeError,
        address: Option<&str>,
    ) {
        self.tally.note(self.now.instant, Refusal::TooLarge, error);
        self.reply_error(slot, 402, &format!("cannot be forwarded: {error}"), address);
    }

    fn deliver(&mut self, from: Slot, address: &str, signal: SignalType, frame: &Bytes) {
        let class = if signal == SignalType::Stream { Class::Stream } else { Class::Reliable };
        for target in self.roster.targets(address).iter() {
            if target.slot != from && target.hears(signal) {
                self.push(target.slot, frame.clone(), class);
            }
        }
    }

    fn handle_gesture(&mut self, slot: Slot, publish: &Publish<'_>, frame: &Bytes) {
        let Some(session) = self.slots.get_mut(slot).and_then(|c| c.session_mut()) else { return };
        let (address, id, phase) = (publish.address, publish.id.unwrap_or(0), publish.phase);
        let mut forgotten = 0;
        match session.gestures.handle(self.now.instant, address, id, phase, frame, &mut forgotten) {
            Step::Hold(due) => self.deadlines.gesture_due(due),
            Step::Pass(before) => {
                for held in before {
                    self.deliver_gesture(slot, &held);
                }
                self.deliver(slot, address, SignalType::Gesture, frame);
            }
        }
        if forgotten > 0 {
            self.tally.note_many(self.now.instant, Refusal::GestureForgotten, forgotten, &address);
        }
    }

    pub(super) fn deliver_gesture(&mut self, from: Slot, held: &Held) {
        self.deliver(from, &held.address, SignalType::Gesture, &held.frame);
    }

    /// Passes on the moves of one session that are due.
    pub(super) fn release_gestures(&mut self, slot: Slot) {
        let Some(session) = self.slots.get_mut(slot).and_then(|c| c.session_mut()) else { return };
        for held in session.gestures.take_due(self.now.instant) {
            self.deliver_gesture(slot, &held);
        }
    }
}
