//! One request, and when it is sent again (RFC 8489 §6.2.1).

use std::time::{Duration, Instant};

use stun_types::message::TransactionId;

/// Before the first repetition; doubles with each.
const FIRST_RTO: Duration = Duration::from_millis(500);

/// At 0, 0.5, 1.5, 3.5 and 7.5 s; given up after 15.5 s. The RFC suggests 7 times and 39.5 s, which is longer than anybody waits
/// for a link.
const SENDS: u32 = 5;

/// A request that waits for its answer.
#[derive(Debug)]
pub(super) struct Transaction {
    id: TransactionId,
    bytes: Vec<u8>,
    sent: u32,
    resend_at: Instant,
}

/// What a deadline means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    NotYet,
    Resend(Vec<u8>),
    GivenUp,
}

impl Transaction {
    /// One that has just been sent.
    pub(super) fn new(now: Instant, id: TransactionId, bytes: Vec<u8>) -> Self {
        Self { id, bytes, sent: 1, resend_at: now + FIRST_RTO }
    }

    pub(super) fn id(&self) -> TransactionId {
        self.id
    }

    pub(super) fn at(&self) -> Instant {
        self.resend_at
    }

    /// Whether it was sent again already: somebody who looks now would say that nobody answers.
    pub(super) fn is_overdue(&self) -> bool {
        self.sent > 2
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Due {
        if now < self.resend_at {
            return Due::NotYet;
        }
        if self.sent >= SENDS {
            return Due::GivenUp;
        }
        self.resend_at = now + FIRST_RTO * 2_u32.pow(self.sent);
        self.sent += 1;
        Due::Resend(self.bytes.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock_for_tests::start;

    #[test]
    fn a_request_is_repeated_ever_more_slowly_and_then_given_up() {
        let begun = start();
        let mut request = Transaction::new(begun, 7.into(), vec![1]);
        let mut sent = vec![Duration::ZERO];
        let given_up = loop {
            let at = request.at();
            assert_eq!(request.handle_timeout(at - Duration::from_millis(1)), Due::NotYet);
            match request.handle_timeout(at) {
                Due::Resend(bytes) => sent.push((at - begun).max(Duration::from_millis(u64::from(bytes[0])))),
                Due::GivenUp => break at - begun,
                Due::NotYet => panic!("it was due"),
            }
        };
        assert_eq!(sent.iter().map(Duration::as_millis).collect::<Vec<_>>(), [0, 500, 1500, 3500, 7500]);
        assert_eq!(given_up, Duration::from_millis(15_500));
    }
}
