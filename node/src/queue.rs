//! Bounded message queues whose overflow policy is their type. Both count messages and bytes.
//!
//! The queues hold handles ([`Bytes`]), never payload arrays, so they stay small inside their owner.

use std::marker::PhantomData;

use bytes::Bytes;
use heapless::Deque;

use crate::status::Traffic;

/// A queue that was full; the message is given back.
#[derive(Debug, PartialEq, Eq)]
pub struct Full(pub Bytes);

/// A bounded queue with the overflow policy `P`.
#[derive(Debug)]
pub struct Bounded<P, const MESSAGES: usize, const BYTES: usize> {
    items: Deque<Bytes, MESSAGES>,
    bytes: usize,
    policy: PhantomData<P>,
}

/// Refuses the newest message when full: somebody waits for every one of these.
pub type RejectNewest<const MESSAGES: usize, const BYTES: usize> = Bounded<Reject, MESSAGES, BYTES>;

/// Drops the oldest messages when full: a stale sample is worth less than a fresh one.
pub type DropOldest<const MESSAGES: usize, const BYTES: usize> = Bounded<Drop, MESSAGES, BYTES>;

/// The policy of [`RejectNewest`].
#[derive(Debug)]
pub struct Reject;

/// The policy of [`DropOldest`].
#[derive(Debug)]
pub struct Drop;

impl<P, const MESSAGES: usize, const BYTES: usize> Bounded<P, MESSAGES, BYTES> {
    /// An empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self { items: Deque::new(), bytes: 0, policy: PhantomData }
    }

    /// The oldest message.
    #[must_use]
    pub fn front(&self) -> Option<&Bytes> {
        self.items.front()
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Bytes> {
        self.items.iter()
    }

    /// Takes the oldest message out.
    pub fn pop(&mut self) -> Option<Bytes> {
        let item = self.items.pop_front()?;
        self.bytes -= item.len();
        Some(item)
    }

    /// Whether there is room for at most one more message.
    #[must_use]
    pub fn is_full_but_one(&self) -> bool {
        self.items.len() + 1 >= MESSAGES
    }

    /// How many bytes wait.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What waits.
    #[must_use]
    pub fn waiting(&self) -> Traffic {
        Traffic { messages: self.items.len() as u64, bytes: self.bytes as u64 }
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

impl<P, const MESSAGES: usize, const BYTES: usize> Default for Bounded<P, MESSAGES, BYTES> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const MESSAGES: usize, const BYTES: usize> RejectNewest<MESSAGES, BYTES> {
    /// Appends `item`.
    ///
    /// # Errors
    /// [`Full`] with the item when it does not fit.
    pub fn push(&mut self, item: Bytes) -> Result<(), Full> {
        let bytes = self.bytes + item.len();
        if bytes > BYTES {
            return Err(Full(item));
        }
        self.items.push_back(item).map_err(Full)?;
        self.bytes = bytes;
        Ok(())
    }
}

impl<const MESSAGES: usize, const BYTES: usize> DropOldest<MESSAGES, BYTES> {
    /// Appends `item` and says how many messages were dropped for it: the oldest, or itself if it is larger than the queue.
    #[must_use = "a dropped message is counted"]
    pub fn push(&mut self, item: Bytes) -> u64 {
        if item.len() > BYTES {
            return 1;
        }
        let mut dropped = 0;
        while self.items.is_full() || self.bytes + item.len() > BYTES {
            if self.pop().is_none() {
                return dropped + 1; // MESSAGES is 0
            }
            dropped += 1;
        }
        self.bytes += item.len();
        if self.items.push_back(item).is_err() {
            dropped += 1;
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(byte: u8, len: usize) -> Bytes {
        Bytes::from(vec![byte; len])
    }

    #[test]
    fn a_full_reject_newest_gives_the_item_back_by_count_and_by_bytes() {
        let mut queue = RejectNewest::<2, 10>::new();
        assert_eq!(queue.push(item(1, 8)), Ok(()));
        assert_eq!(queue.push(item(2, 3)), Err(Full(item(2, 3))), "11 bytes");
        assert_eq!(queue.push(item(3, 1)), Ok(()));
        assert_eq!(queue.push(item(4, 1)), Err(Full(item(4, 1))), "3 messages");
        assert_eq!(queue.pop(), Some(item(1, 8)));
        assert_eq!(queue.bytes(), 1);
    }

    #[test]
    fn a_full_drop_oldest_keeps_the_newest_and_counts_what_it_dropped() {
        let mut queue = DropOldest::<2, 10>::new();
        assert_eq!(queue.push(item(1, 5)), 0);
        assert_eq!(queue.push(item(2, 5)), 0);
        assert_eq!(queue.push(item(3, 6)), 2, "both had to go for 6 bytes");
        assert_eq!(queue.push(item(4, 1)), 0);
        assert_eq!(queue.push(item(5, 1)), 1, "a third message");
        assert_eq!(queue.push(item(6, 11)), 1, "itself is too large");
        assert_eq!((queue.pop(), queue.pop(), queue.pop()), (Some(item(4, 1)), Some(item(5, 1)), None));
        assert!(queue.is_empty());
    }

    #[test]
    fn every_message_is_delivered_or_counted_as_dropped() {
        let mut state = 1_u64;
        let mut queue = DropOldest::<8, 64>::new();
        let (mut pushed, mut popped, mut dropped) = (0_u64, 0_u64, 0_u64);
        for _ in 0..10_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            if state >> 40 & 3 == 0 {
                popped += u64::from(queue.pop().is_some());
            } else {
                pushed += 1;
                dropped += queue.push(item(0, (state >> 50 & 31) as usize));
            }
        }
        while queue.pop().is_some() {
            popped += 1;
        }
        assert_eq!(pushed, popped + dropped);
        assert_eq!(queue.bytes, 0);
    }
}
