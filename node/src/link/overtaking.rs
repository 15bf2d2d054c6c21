//! How messages overtake a reliable channel that is held up.
//!
//! SCTP repeats a lost packet within a round trip, once; if the repetition is lost as well, it waits for its timer, one second at
//! least (RFC 9260 §7.2.4, §15), two the next time, and whatever was sent on the channel behind it waits in the receiver. With 1 % of
//! packets lost and a thousand messages a second that is one second out of ten.
//!
//! So the sender asks, on the unreliable channel, how far the other node is. If messages that were sent long before the question have
//! not come, and none came since the answer before, they are sent again on the unreliable channel, and those that follow on that one
//! alone, round trip for round trip, until everything has come out of the reliable one that was put into it. The numbers (`delivery`)
//! see to it that each counts once and in order.

use std::time::{Duration, Instant};

use bytes::Bytes;
use log::debug;

use super::{Link, State};
use crate::event::LinkState;
use crate::peer::{Peer, Progress};
use crate::wake::Wake;

/// A round trip is taken for at least and at most this long.
const SHORTEST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_millis(500);

/// Until the first one is measured.
const UNKNOWN: Duration = Duration::from_millis(50);

/// What a loss costs where the repetition comes through, beside round trips: three packets behind it, and a busy processor.
const SLACK: Duration = Duration::from_millis(15);

/// While a channel is held up, what came since is sent past it this long after each answer;
const ROUND: Duration = Duration::from_millis(10);
/// and in one such round as much as this.
const ROUND_BYTES: usize = 8 * 1024;

/// A channel that is held up for so long: SCTP's timer may have expired.
const LONG: Duration = Duration::from_millis(500);

/// For this long after each round both sides repeat every packet. Longer than the first second of SCTP's timer.
const REPEATING: Duration = Duration::from_millis(1500);

/// Something given to the channel has not come out of it as far as we know.
#[derive(Debug, Clone, Copy)]
struct Mark {
    /// When to ask next.
    due: Instant,
    asked: Option<Instant>,
    /// How often it was asked without an answer.
    times: u32,
}

/// What the sender of numbered messages knows of the channel that carries them.
#[derive(Debug, Default)]
pub(super) struct Overtaking {
    mark: Option<Mark>,
    /// The last message given to the channel.
    given: u64,
    /// The last that is known to have come out of it.
    read: u64,
    round_trip: Option<Duration>,
    /// The number of the last question that was new, not one repeated.
    question: u64,
    held_up_since: Option<Instant>,
    /// While it is held up: the last message that was sent past it.
    resent: u64,
}

impl Overtaking {
    /// The channel was given the message with this number.
    pub(super) fn given(&mut self, now: Instant, number: u64) {
        self.given = number;
        if self.mark.is_none() {
            self.mark_last(now);
        }
    }

    fn mark_last(&mut self, now: Instant) {
        let due = now + self.patience();
        self.mark = (self.given > self.read).then_some(Mark { due, asked: None, times: 0 });
    }

    /// Longer than a message takes that is lost once.
    fn patience(&self) -> Duration {
        self.round_trip() * 2 + SLACK
    }

    fn round_trip(&self) -> Duration {
        self.round_trip.unwrap_or(UNKNOWN).clamp(SHORTEST, LONGEST)
    }

    pub(super) fn wake(&self) -> Option<Wake> {
        self.mark.map(|mark| Wake::new(mark.due, "held-up channel"))
    }

    fn is_due(&self, now: Instant) -> bool {
        self.mark.is_some_and(|mark| mark.due <= now)
    }

    /// Everything given was acknowledged.
    fn acknowledged(&mut self) {
        (self.read, self.mark, self.held_up_since) = (self.given, None, None);
    }

    /// The question is sent now; each time it gets no answer the wait is longer.
    fn asked(&mut self, now: Instant) -> u64 {
        let patience = self.patience();
        if let Some(mark) = &mut self.mark {
            self.question += u64::from(mark.times == 0);
            mark.times += 1;
            mark.asked = (mark.times == 1).then_some(now); // of later ones nobody knows which is answered
            mark.due = now + (patience * mark.times).min(LONGEST * 2);
        }
        self.question
    }

    /// An answer came; only the first to the last question counts. `fits`: what has not arrived can be sent past the channel.
    fn progress(&mut self, now: Instant, Progress { question, arrived, read }: Progress, fits: bool) {
        let Some(mark) = self.mark.filter(|mark| mark.times > 0 && question == self.question) else { return };
        if let Some(asked) = mark.asked {
            let sample = now.saturating_duration_since(asked);
            self.round_trip = Some(self.round_trip.map_or(sample, |before| (before * 7 + sample) / 8));
        }
        let moves = read > self.read;
        self.read = self.read.max(read.min(self.given));
        if self.read == self.given || (!self.is_held_up() && (moves || !fits)) {
            // What is behind it may take its time: with a full window, or a large message, that is many round trips.
            self.held_up_since = None;
            return self.mark_last(now);
        }
        let due = if self.is_held_up() { now + ROUND } else { now };
        self.resent = arrived; // what was sent past the channel came before the question, or is lost as well
        self.mark = Some(Mark { due, asked: None, times: 0 });
        self.held_up_since.get_or_insert(now);
    }

    /// Whether what is sent does not go into the channel.
    pub(super) fn is_held_up(&self) -> bool {
        self.held_up_since.is_some()
    }

    /// Whether SCTP's timer may have expired since then.
    fn is_long(&self, now: Instant) -> bool {
        self.held_up_since.is_some_and(|since| now.saturating_duration_since(since) >= LONG)
    }
}

impl Link {
    /// Asks for what should have arrived by now.
    pub(super) fn overtake_if_due(&mut self, now: Instant) {
        let Some(attempt) = &mut self.attempt else { return };
        if !self.overtaking.is_due(now) {
            return;
        }
        if attempt.peer.is_acknowledged() {
            let was_held_up = self.overtaking.is_held_up();
            self.overtaking.acknowledged();
            return self.on_held_up(now, was_held_up);
        }
        let is_new = self.overtaking.mark.is_some_and(|mark| mark.times == 0);
        if self.overtaking.is_held_up() && is_new && attempt.peer.state() == LinkState::Open {
            self.resend(now);
        }
        let question = self.overtaking.asked(now);
        let held_up = self.overtaking.is_held_up();
        if let Some(attempt) = self.attempt.as_mut().filter(|attempt| attempt.peer.state() == LinkState::Open)
        {
            if held_up {
                attempt.peer.repeat_packets(now + REPEATING);
            }
            attempt.peer.ask_progress(question);
        }
    }

    /// The other node tells how far it is.
    pub(super) fn on_progress(&mut self, now: Instant, progress: Progress) {
        self.on_arrived(now, progress.arrived);
        let was_held_up = self.overtaking.is_held_up();
        let fits = self.outgoing.all().next().is_some_and(Peer::fits_past);
        self.overtaking.progress(now, progress, fits);
        self.on_held_up(now, was_held_up);
        if matches!(self.state, State::Direct) {
            self.overtake_if_due(now);
        }
    }

    /// The channel may be held up now, or no longer.
    fn on_held_up(&mut self, now: Instant, was_held_up: bool) {
        let Overtaking { read, given, .. } = self.overtaking;
        let held_up = self.overtaking.is_held_up();
        if held_up == was_held_up || !matches!(self.state, State::Direct) {
            return;
        }
        debug!(link:% = self.number, held_up, read, given; "reliable channel");
        self.record.held_up += u32::from(held_up);
        if !held_up {
            self.begin_here(true); // behind what went past it
            self.feed(now);
        }
    }

    /// Sends what has not been sent past the channel. What fits no packet waits for the channel, and what is behind it.
    fn resend(&mut self, now: Instant) {
        let fill = self.overtaking.is_long(now);
        let Some(attempt) = &mut self.attempt else { return };
        let arrived = self.outgoing.arrived_number();
        let resent = self.overtaking.resent.clamp(arrived, self.outgoing.last());
        let skipped = usize::try_from(resent - arrived).unwrap_or(usize::MAX);
        let mut waiting = self.outgoing.all().skip(skipped).peekable();
        let (mut first, mut bytes) = (resent + 1, 0);
        while bytes < ROUND_BYTES && waiting.peek().is_some() {
            let (count, len) = attempt.peer.overtake(first, &mut waiting, fill);
            if count == 0 {
                break;
            }
            (first, bytes) = (first + count, bytes + len);
        }
        self.overtaking.resent = first - 1;
    }

    /// Numbered messages came past the reliable channel.
    pub(super) fn on_overtaking(&mut self, now: Instant, first: u64, messages: Vec<Bytes>) {
        for (behind, message) in (0_u64..).zip(messages) {
            let Some(number) = first.checked_add(behind) else { break };
            if !self.take_numbered(now, number, message) {
                break; // those before it come again, and it with them
            }
        }
        if let Some(attempt) = &mut self.attempt {
            attempt.peer.repeat_packets(now + REPEATING);
        }
        self.confirm_if_due(now);
    }

    /// The other node asks how far we are.
    pub(super) fn tell_progress(&mut self, question: u64) {
        let arrived = self.incoming.arrived();
        if let Some(attempt) = &mut self.attempt {
            let read = attempt.next_in.saturating_sub(1);
            attempt.peer.tell_progress(Progress { question, arrived, read });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock_for_tests::start;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// The answer to the last question.
    fn answer(overtaking: &mut Overtaking, now: Instant, arrived: u64, read: u64) {
        overtaking.progress(now, Progress { question: overtaking.question, arrived, read }, true);
    }

    /// A channel that was given messages 1 to 10 and asked about them, and the time of the question.
    fn asked() -> (Overtaking, Instant) {
        let (mut overtaking, t0) = (Overtaking::default(), start());
        (1..=10).for_each(|number| overtaking.given(t0, number));
        let due = t0 + UNKNOWN * 2 + SLACK;
        assert_eq!(overtaking.wake().map(|wake| wake.at), Some(due), "of the first");
        assert!(!overtaking.is_due(due - ms(1)) && overtaking.is_due(due));
        overtaking.asked(due);
        (overtaking, due)
    }

    #[test]
    fn a_channel_that_moves_is_asked_on_and_one_that_has_brought_everything_left_alone() {
        let (mut overtaking, mut now) = asked();
        now += ms(20);
        answer(&mut overtaking, now, 7, 7);
        assert!(!overtaking.is_held_up());
        assert_eq!(overtaking.wake().map(|wake| wake.at - now), Some(ms(20) * 2 + SLACK), "it took 20 ms");
        now += ms(55);
        overtaking.asked(now);
        answer(&mut overtaking, now + ms(20), 10, 10);
        assert!(!overtaking.is_held_up() && overtaking.wake().is_none());
    }

    #[test]
    fn a_channel_that_stands_still_is_held_up_until_everything_came_out_of_it() {
        let (mut overtaking, mut now) = asked();
        answer(&mut overtaking, now, 0, 0);
        assert!(overtaking.is_held_up() && overtaking.is_due(now), "at once");
        for arrived in [10, 12, 30] {
            overtaking.asked(now);
            now += ms(20);
            answer(&mut overtaking, now, arrived, 4);
            assert!(overtaking.is_held_up(), "what went past it does not count, nor a part");
            assert_eq!(
                (overtaking.resent, overtaking.wake().map(|wake| wake.at - now)),
                (arrived, Some(ROUND))
            );
            now += ROUND;
        }
        overtaking.asked(now);
        answer(&mut overtaking, now, 31, 10);
        assert!(!overtaking.is_held_up() && overtaking.wake().is_none());
    }

    #[test]
    fn a_large_message_that_takes_long_is_not_taken_for_a_held_up_channel() {
        let (mut overtaking, now) = asked();
        overtaking.progress(now, Progress { question: 1, arrived: 0, read: 0 }, false);
        assert!(!overtaking.is_held_up() && overtaking.wake().is_some());
    }

    #[test]
    fn old_and_second_answers_say_nothing_and_a_lost_one_is_asked_for_again() {
        let (mut overtaking, mut now) = asked();
        let first = overtaking.question;
        let mut waits = Vec::new();
        for _ in 0..12 {
            let due = overtaking.wake().map(|wake| wake.at).expect("no answer");
            waits.push(due - now);
            now = due;
            assert_eq!(overtaking.asked(now), first, "the same question");
        }
        assert!(waits.is_sorted() && waits.last() == Some(&(LONGEST * 2)), "{waits:?}");
        answer(&mut overtaking, now, 10, 10);
        assert_eq!(overtaking.round_trip, None, "nobody knows which was answered");
        overtaking.given(now, 11);
        overtaking.asked(now);
        overtaking.progress(now, Progress { question: first, arrived: 10, read: 10 }, true);
        assert!(!overtaking.is_held_up(), "it is the first question's, twice");
        overtaking.progress(now, Progress { question: first + 9, arrived: 10, read: 10 }, true);
        assert!(!overtaking.is_held_up(), "nobody has asked that");
    }
}
