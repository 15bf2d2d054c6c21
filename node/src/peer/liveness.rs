//! Whether the other node still lives.
//!
//! Between two of our nodes a link that has nothing to say asks with PING and is answered with PONG (reference §4.3). Any
//! message that arrives counts as an answer, and so do acknowledgements of what was sent: a link busy with bulk data one way
//! must not be taken for dead because a PONG waits its turn. Towards a stock peer, which answers no PING, ICE consent decides.

use std::time::{Duration, Instant};

use crate::limits::PING_INTERVAL;
use crate::wake::Wake;

/// While data is on its way, acknowledgements are looked for this often, so that silence is counted from the last of them.
const LOOK_FOR_ACKNOWLEDGEMENTS: Duration = Duration::from_millis(500);

/// Unanswered questions after which another path is looked for, and after one more interval the link is given up.
const STALLED_AFTER: u8 = 2;

/// What to do about a silent peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Fine,
    /// Ask for a sign of life.
    Ask,
    /// Ask again, and look for another path.
    Stalled,
    /// Give the link up.
    Dead,
}

/// How long the peer has been silent, counted in questions that were really asked: a process that was stopped for a minute
/// finds its peer's data waiting, and must read it before it judges.
#[derive(Debug, Clone, Copy)]
pub(super) struct Liveness {
    /// The last sign of life, or the last question.
    since: Instant,
    /// When acknowledgements were last looked for.
    looked: Instant,
    unanswered: u8,
    acknowledged: u64,
}

impl Liveness {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, looked: now, unanswered: 0, acknowledged: 0 }
    }

    /// The peer said something.
    pub(super) fn heard(&mut self, now: Instant) {
        (self.since, self.unanswered) = (now, 0);
    }

    /// Judges by the clock, and by how many bytes the peer has acknowledged in all.
    pub(super) fn check(&mut self, now: Instant, acknowledged: u64) -> Verdict {
        let looked = std::mem::replace(&mut self.looked, now);
        if acknowledged > self.acknowledged {
            // Some time since the last look. The earliest counts, so that nobody lives longer for being looked at late.
            self.acknowledged = acknowledged;
            self.heard(self.since.max(looked));
        }
        if now.saturating_duration_since(self.since) < PING_INTERVAL {
            return Verdict::Fine;
        }
        if self.unanswered >= STALLED_AFTER {
            return Verdict::Dead;
        }
        self.unanswered += 1;
        self.since = now;
        if self.unanswered == STALLED_AFTER { Verdict::Stalled } else { Verdict::Ask }
    }

    /// When to check next.
    pub(super) fn wake(&self, in_flight: bool) -> Wake {
        let due = self.since + PING_INTERVAL;
        let look = self.looked + LOOK_FOR_ACKNOWLEDGEMENTS;
        if in_flight && look < due { Wake::new(look, "acknowledgements") } else { Wake::new(due, "liveness") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock_for_tests::start;

    #[test]
    fn a_silent_peer_is_asked_twice_and_dead_after_six_seconds() {
        let t0 = start();
        let mut liveness = Liveness::new(t0);
        let mut verdicts = Vec::new();
        for _ in 0..3 {
            let wake = liveness.wake(false);
            verdicts.push((wake.at - t0, liveness.check(wake.at, 0)));
        }
        let secs = Duration::from_secs;
        let want = [(secs(2), Verdict::Ask), (secs(4), Verdict::Stalled), (secs(6), Verdict::Dead)];
        assert_eq!(verdicts, want);
    }

    #[test]
    fn any_answer_begins_the_count_anew() {
        let t0 = start();
        let mut liveness = Liveness::new(t0);
        assert_eq!(liveness.check(t0 + PING_INTERVAL, 0), Verdict::Ask);
        liveness.heard(t0 + PING_INTERVAL);
        assert_eq!(liveness.check(t0 + PING_INTERVAL * 2, 0), Verdict::Ask);
        let tick = Duration::from_millis(1);
        assert_eq!(liveness.check(t0 + PING_INTERVAL * 3 - tick, 0), Verdict::Fine);
        assert_eq!(liveness.check(t0 + PING_INTERVAL * 3, 1), Verdict::Fine, "a byte was acknowledged");
        assert_eq!(liveness.check(t0 + PING_INTERVAL * 4, 1), Verdict::Ask, "but no further one");
        assert_eq!(liveness.check(t0 + PING_INTERVAL * 5, 1), Verdict::Stalled);
    }

    #[test]
    fn acknowledgements_are_looked_for_while_data_is_on_its_way() {
        let t0 = start();
        let mut liveness = Liveness::new(t0);
        assert_eq!(liveness.wake(true).at - t0, LOOK_FOR_ACKNOWLEDGEMENTS);
        assert_eq!(liveness.check(t0 + LOOK_FOR_ACKNOWLEDGEMENTS, 0), Verdict::Fine);
        assert_eq!(liveness.wake(true).at - t0, LOOK_FOR_ACKNOWLEDGEMENTS * 2);
        assert_eq!(liveness.wake(false).at - t0, PING_INTERVAL);
    }

    #[test]
    fn a_process_that_was_stopped_asks_before_it_judges() {
        let t0 = start();
        let mut liveness = Liveness::new(t0);
        let later = t0 + Duration::from_secs(3600);
        assert_eq!(liveness.check(later, 0), Verdict::Ask);
        assert_eq!(liveness.check(later, 0), Verdict::Fine);
        assert_eq!(liveness.check(later + PING_INTERVAL, 0), Verdict::Stalled);
        assert_eq!(liveness.check(later + PING_INTERVAL * 2, 0), Verdict::Dead);
    }
}
