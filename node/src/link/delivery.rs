//! Every reliable message once and in order, whatever happens to the ways it may take.
//!
//! Between two of our nodes the reliable messages of a link are numbered from 1 in each direction. The sender keeps each until
//! the other *node* has said that all up to it have arrived; a data channel's own acknowledgements are not enough for that, as
//! they die with it. When the link changes its way (another connection, the router, back again), the sender goes on behind the
//! last number it knows to have arrived, and the receiver skips what it has got already.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::limits::{UNCONFIRMED_BYTES, UNCONFIRMED_OVERHEAD_BYTES};
use crate::status::Traffic;

/// The receiver tells how far it has got after this many bytes: often enough that [`UNCONFIRMED_BYTES`] never hold up a sender,
const CONFIRM_EVERY_BYTES: usize = 32 * 1024;

/// and after this long, so that the sender can let go of the last ones.
const CONFIRM_AFTER: Duration = Duration::from_millis(500);

/// What a kept message counts.
fn cost(message: &Bytes) -> usize {
    message.len() + UNCONFIRMED_OVERHEAD_BYTES
}

/// The other side claims to have what was never sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NeverSent;

/// The messages we send: those that may have to be sent again.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// Those that are not known to have arrived, oldest first; the first has the number `arrived` + 1.
    kept: VecDeque<Bytes>,
    bytes: usize,
    arrived: u64,
    /// How many of them were given to the way in use, and what they count.
    given: usize,
    given_bytes: usize,
}

impl Outgoing {
    /// Whether another message may be kept.
    pub(super) fn has_room(&self) -> bool {
        self.bytes < UNCONFIRMED_BYTES
    }

    /// What is kept.
    pub(super) fn kept(&self) -> Traffic {
        let messages = self.kept.len();
        let bytes = self.bytes.saturating_sub(messages * UNCONFIRMED_OVERHEAD_BYTES);
        Traffic { messages: messages as u64, bytes: bytes as u64 }
    }

    /// Whether there is enough room to tell somebody who waits.
    pub(super) fn is_half_empty(&self) -> bool {
        self.bytes <= UNCONFIRMED_BYTES / 2
    }

    /// Keeps a message. The caller has asked for room.
    pub(super) fn keep(&mut self, message: Bytes) {
        self.bytes += cost(&message);
        self.kept.push_back(message);
    }

    /// All messages up to this number are known to have arrived.
    pub(super) fn arrived_number(&self) -> u64 {
        self.arrived
    }

    /// The number of the last message.
    pub(super) fn last(&self) -> u64 {
        self.arrived + self.kept.len() as u64
    }

    /// The number of the next message the way in use is to be given.
    pub(super) fn next_number(&self) -> u64 {
        self.arrived + self.given as u64 + 1
    }

    /// That message, if there is one.
    pub(super) fn next(&self) -> Option<&Bytes> {
        self.kept.get(self.given)
    }

    /// What has not arrived as far as we know, oldest first; the first has the number `arrived` + 1.
    pub(super) fn all(&self) -> impl Iterator<Item = &Bytes> {
        self.kept.iter()
    }

    /// [`Self::next`] was given to the way in use.
    pub(super) fn give(&mut self) {
        if let Some(message) = self.kept.get(self.given) {
            self.given += 1;
            self.given_bytes += cost(message);
        }
    }

    /// Bytes given to the way in use that have not arrived yet as far as we know.
    pub(super) fn given_bytes(&self) -> usize {
        self.given_bytes
    }

    /// Another way, or the same once more: everything that has not arrived is to be given again.
    pub(super) fn rewind(&mut self) {
        (self.given, self.given_bytes) = (0, 0);
    }

    /// All messages up to `number` have arrived. Says whether that was news.
    pub(super) fn arrived(&mut self, number: u64) -> Result<bool, NeverSent> {
        if number > self.last() {
            return Err(NeverSent);
        }
        let news = number > self.arrived;
        while self.arrived < number {
            let Some(message) = self.kept.pop_front() else { break };
            self.arrived += 1;
            self.bytes -= cost(&message);
            // It may have been rewound after it was given.
            if self.given > 0 {
                self.given -= 1;
                self.given_bytes -= cost(&message);
            }
        }
        if self.kept.is_empty() && self.kept.capacity() > 64 {
            self.kept = VecDeque::new(); // an idle link holds nothing
        }
        Ok(news)
    }
}

/// What a number means to the receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the next.
    Deliver,
    /// It came before, another way.
    Known,
    /// Those before it are missing: they will be sent again, and it with them.
    Early,
}

/// The messages we receive.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    /// All up to this number have arrived.
    arrived: u64,
    unconfirmed_bytes: usize,
    confirm_at: Option<Instant>,
}

impl Incoming {
    /// All messages up to this number have arrived.
    pub(super) fn arrived(&self) -> u64 {
        self.arrived
    }

    /// A message with this number came.
    pub(super) fn take(&mut self, now: Instant, number: u64, len: usize) -> Verdict {
        if number <= self.arrived {
            // The sender does not know yet, or it would not have sent it.
            self.confirm_at.get_or_insert(now + CONFIRM_AFTER);
            return Verdict::Known;
        }
        if number > self.arrived + 1 {
            return Verdict::Early;
        }
        self.arrived = number;
        self.unconfirmed_bytes += len + UNCONFIRMED_OVERHEAD_BYTES;
        self.confirm_at.get_or_insert(now + CONFIRM_AFTER);
        Verdict::Deliver
    }

    /// What to tell the sender now, if anything.
    pub(super) fn confirm_due(&mut self, now: Instant) -> Option<u64> {
        let due =
            self.unconfirmed_bytes >= CONFIRM_EVERY_BYTES || self.confirm_at.is_some_and(|at| at <= now);
        due.then(|| self.confirm())
    }

    /// Tells the sender now.
    pub(super) fn confirm(&mut self) -> u64 {
        (self.unconfirmed_bytes, self.confirm_at) = (0, None);
        self.arrived
    }

    /// When [`Self::confirm_due`] has something by time alone.
    pub(super) fn wake(&self) -> Option<Instant> {
        self.confirm_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock_for_tests::start;

    fn message(number: u8) -> Bytes {
        Bytes::from(vec![number; usize::from(number) + 1])
    }

    fn given(outgoing: &mut Outgoing) -> Vec<(u64, u8)> {
        let mut all = Vec::new();
        while let Some(first) = outgoing.next().map(|message| message[0]) {
            all.push((outgoing.next_number(), first));
            outgoing.give();
        }
        all
    }

    #[test]
    fn what_has_not_arrived_is_given_to_every_way_anew() {
        let mut outgoing = Outgoing::default();
        (1..=4).for_each(|number| outgoing.keep(message(number)));
        assert_eq!(given(&mut outgoing), [(1, 1), (2, 2), (3, 3), (4, 4)]);
        assert_eq!(outgoing.arrived(2), Ok(true));
        assert_eq!(outgoing.arrived(1), Ok(false), "late, and no news");
        outgoing.rewind();
        assert_eq!(outgoing.given_bytes(), 0);
        outgoing.keep(message(5));
        assert_eq!(given(&mut outgoing), [(3, 3), (4, 4), (5, 5)]);
        outgoing.rewind();
        assert_eq!(outgoing.arrived(4), Ok(true), "the old way had brought them after all");
        assert_eq!(given(&mut outgoing), [(5, 5)]);
        assert_eq!(outgoing.arrived(6), Err(NeverSent));
        assert_eq!(outgoing.arrived(5), Ok(true));
        assert_eq!((outgoing.bytes, outgoing.given, outgoing.given_bytes), (0, 0, 0));
    }

    #[test]
    fn what_is_kept_is_bounded_in_bytes_however_small_the_messages_are() {
        let mut outgoing = Outgoing::default();
        let mut count = 0;
        while outgoing.has_room() {
            outgoing.keep(Bytes::from_static(b"x"));
            count += 1;
        }
        assert_eq!(count, UNCONFIRMED_BYTES.div_ceil(1 + UNCONFIRMED_OVERHEAD_BYTES));
        assert!(!outgoing.is_half_empty());
        assert_eq!(outgoing.arrived(count as u64 / 2 + 1), Ok(true));
        assert!(outgoing.has_room() && outgoing.is_half_empty());
    }

    #[test]
    fn a_message_is_delivered_once_and_only_behind_the_one_before_it() {
        let (mut incoming, now) = (Incoming::default(), start());
        let verdicts = [2, 1, 1, 2, 4, 3, 2, 4].map(|number| incoming.take(now, number, 10));
        use Verdict::{Deliver, Early, Known};
        assert_eq!(verdicts, [Early, Deliver, Known, Deliver, Early, Deliver, Known, Deliver]);
        assert_eq!(incoming.arrived(), 4);
    }

    #[test]
    fn arrivals_are_confirmed_after_some_bytes_or_some_time_and_what_came_twice_again() {
        let (mut incoming, now) = (Incoming::default(), start());
        assert_eq!((incoming.confirm_due(now), incoming.wake()), (None, None));
        incoming.take(now, 1, 10);
        assert_eq!(incoming.confirm_due(now), None);
        let later = now + CONFIRM_AFTER;
        assert_eq!(incoming.wake(), Some(later));
        assert_eq!((incoming.confirm_due(later), incoming.confirm_due(later)), (Some(1), None));
        incoming.take(later, 2, CONFIRM_EVERY_BYTES);
        assert_eq!(incoming.confirm_due(later), Some(2), "at once");
        incoming.take(later, 2, 10);
        assert_eq!(incoming.confirm_due(later + CONFIRM_AFTER), Some(2));
    }
}
