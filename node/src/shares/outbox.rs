//! What waits to be sent on one link: of a parameter only the latest value, of everything else each message, within bounds.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::limits::{
    SHARED_MESSAGES, SHARED_MESSAGES_BYTES, SHARED_PARAMS, SHARED_STREAM_BYTES, SHARED_STREAMS,
};
use crate::queue::DropOldest;
use crate::status::Traffic;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// In the order they came; a value that takes an older one's place is sent when that was due.
    order: VecDeque<Waiting>,
    params: BTreeMap<Box<str>, Bytes>,
    /// Bytes of everything in `order`.
    bytes: usize,
    /// How many of `order` are no parameters.
    messages: usize,
    streams: DropOldest<SHARED_STREAMS, SHARED_STREAM_BYTES>,
}

#[derive(Debug)]
enum Waiting {
    Param(Box<str>),
    Message(Bytes),
}

impl Outbox {
    /// Queues the value of a parameter. False if there is no room: it has to be looked up again later.
    #[must_use]
    pub(super) fn param(&mut self, address: &str, frame: Bytes) -> bool {
        let old = self.params.get(address).map(Bytes::len);
        let bytes = self.bytes - old.unwrap_or(0) + frame.len();
        // The older value may go out first: the newer one follows when it is looked up.
        if bytes > SHARED_MESSAGES_BYTES || (old.is_none() && self.params.len() >= SHARED_PARAMS) {
            return false;
        }
        self.bytes = bytes;
        self.params.insert(address.into(), frame);
        if old.is_some() {
            return true;
        }
        self.order.push_back(Waiting::Param(address.into()));
        true
    }

    /// Queues a message that is to be sent once and in order. Returns how many were dropped for it, the oldest first, or itself.
    #[must_use = "a dropped message is counted"]
    pub(super) fn message(&mut self, frame: Bytes) -> u64 {
        let mut dropped = 0;
        while self.messages >= SHARED_MESSAGES || self.bytes + frame.len() > SHARED_MESSAGES_BYTES {
            let oldest = self.order.iter().position(|waiting| matches!(waiting, Waiting::Message(_)));
            let Some(Waiting::Message(old)) = oldest.and_then(|at| self.order.remove(at)) else {
                return dropped + 1; // parameters have taken all the room
            };
            self.bytes -= old.len();
            self.messages -= 1;
            dropped += 1;
        }
        self.bytes += frame.len();
        self.messages += 1;
        self.order.push_back(Waiting::Message(frame));
        dropped
    }

    /// Queues a message whose worth fades. Returns how many were dropped for it.
    #[must_use = "a dropped message is counted"]
    pub(super) fn stream(&mut self, frame: Bytes) -> u64 {
        self.streams.push(frame)
    }

    /// The next for the reliable channel.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let frame = match self.order.pop_front()? {
            Waiting::Message(frame) => {
                self.messages -= 1;
                frame
            }
            Waiting::Param(address) => self.params.remove(&address)?,
        };
        self.bytes -= frame.len();
        Some(frame)
    }

    /// The next for the unreliable channel.
    pub(super) fn pop_stream(&mut self) -> Option<Bytes> {
        self.streams.pop()
    }

    /// What waits, for either channel.
    pub(super) fn waiting(&self) -> Traffic {
        let mut waiting = self.streams.waiting();
        waiting.add(Traffic { messages: self.order.len() as u64, bytes: self.bytes as u64 });
        waiting
    }

    /// Whether a page of parameters finds room beside what changes meanwhile.
    pub(super) fn is_calm(&self) -> bool {
        self.order.len() <= SHARED_PARAMS / 4 && self.bytes <= SHARED_MESSAGES_BYTES / 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &str) -> Bytes {
        Bytes::copy_from_slice(text.as_bytes())
    }

    #[test]
    fn of_a_parameter_only_the_latest_value_waits_and_nothing_overtakes_what_was_there_before() {
        let mut outbox = Outbox::default();
        assert!(outbox.param("/a", frame("a1")));
        assert_eq!(outbox.message(frame("event")), 0);
        assert!(outbox.param("/b", frame("b1")));
        assert!(outbox.param("/a", frame("a22")));
        let order: Vec<Bytes> = std::iter::from_fn(|| outbox.pop()).collect();
        assert_eq!(order, [frame("a22"), frame("event"), frame("b1")]);
        assert_eq!((outbox.bytes, outbox.messages, outbox.params.len()), (0, 0, 0));
    }

    #[test]
    fn messages_beyond_the_bound_cost_the_oldest_ones() {
        let mut outbox = Outbox::default();
        let dropped: u64 = (0..SHARED_MESSAGES + 3).map(|n| outbox.message(frame(&n.to_string()))).sum();
        assert_eq!((dropped, outbox.pop()), (3, Some(frame("3"))));
        let half = Bytes::from(vec![0; SHARED_MESSAGES_BYTES / 2 + 1]);
        let waited = outbox.messages as u64;
        assert_eq!(outbox.message(half.clone()), 0, "one was taken");
        assert_eq!(outbox.message(half), waited + 1, "both do not fit, so all before it");
        let larger = Bytes::from(vec![0; SHARED_MESSAGES_BYTES + 1]);
        assert_eq!(outbox.message(larger), 2, "the one that waited, and itself");
        assert_eq!((outbox.pop(), outbox.bytes), (None, 0));
    }

    #[test]
    fn parameters_beyond_the_bound_are_refused() {
        let mut outbox = Outbox::default();
        for n in 0..SHARED_PARAMS {
            assert!(outbox.param(&format!("/{n}"), frame("v")));
        }
        assert!(!outbox.param("/more", frame("v")));
        assert!(outbox.param("/7", frame("w")), "a newer value needs no room");
        assert!(!outbox.param("/7", Bytes::from(vec![0; SHARED_MESSAGES_BYTES])), "but one that grows does");
        assert!(!outbox.is_calm());
        assert_eq!(std::iter::from_fn(|| outbox.pop()).count(), SHARED_PARAMS);
        assert!(outbox.is_calm());
    }

    #[test]
    fn streams_beyond_the_bound_cost_the_oldest_ones() {
        let mut outbox = Outbox::default();
        let dropped: u64 = (0..SHARED_STREAMS + 2).map(|n| outbox.stream(frame(&n.to_string()))).sum();
        assert_eq!((dropped, outbox.pop_stream()), (2, Some(frame("2"))));
    }
}
