//! Packets that are sent a second time a little later.
//!
//! When SCTP's retransmission timer has expired, it sends one packet, and if that or its acknowledgement is lost nothing goes out, on
//! no channel, until the timer expires again, after twice the time. `link/overtaking.rs` says when both sides must not let that happen.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use str0m::net::Transmit;

use super::datagrams::is_dtls;
use crate::wake::Wake;

/// Later than the packet itself by this much: what is sent together is often lost together, with one frame of a wireless network.
const AFTER: Duration = Duration::from_millis(5);

/// Copies of no more than this wait; of a packet behind them none is made. Whoever sends so much at once gets acknowledgements.
const MAX_BYTES: usize = 16 * 1024;

#[derive(Debug, Default)]
pub(super) struct Copies {
    until: Option<Instant>,
    /// With the time that each is due, the first first.
    waiting: VecDeque<(Instant, Transmit)>,
    bytes: usize,
}

impl Copies {
    /// Until then each packet is kept for a second time.
    pub(super) fn make(&mut self, until: Instant) {
        self.until = Some(until);
    }

    /// This packet is sent now. DTLS takes its copy for a repetition and drops it (RFC 6347 §4.1.2.6).
    pub(super) fn sent(&mut self, now: Instant, transmit: &Transmit) {
        let Transmit { proto, source, destination, ref contents } = *transmit;
        let bytes = self.bytes + contents.len();
        if self.until.is_none_or(|until| until <= now) || !is_dtls(contents) || bytes > MAX_BYTES {
            return;
        }
        self.bytes = bytes;
        let contents = contents.to_vec().into();
        self.waiting.push_back((now + AFTER, Transmit { proto, source, destination, contents }));
    }

    /// The next copy that is to be sent now.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Transmit> {
        self.waiting.front().filter(|(due, _)| *due <= now)?;
        let (_, transmit) = self.waiting.pop_front()?;
        self.bytes -= transmit.contents.len();
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new(); // a link without losses holds nothing
        }
        Some(transmit)
    }

    pub(super) fn wake(&self) -> Option<Wake> {
        self.waiting.front().map(|(due, _)| Wake::new(*due, "second copy"))
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use str0m::net::Protocol;

    use super::*;
    use crate::clock_for_tests::start;

    const MS: Duration = Duration::from_millis(1);

    /// A packet whose first byte says what it is (RFC 7983 §7).
    fn packet(first: u8, len: usize) -> Transmit {
        let address = SocketAddr::from(([192, 0, 2, 1], 7));
        let contents = vec![first; len].into();
        Transmit { proto: Protocol::Udp, source: address, destination: address, contents }
    }

    const DTLS: u8 = 23;

    #[test]
    fn each_packet_goes_out_once_more_while_that_is_wanted() {
        let (mut copies, t0) = (Copies::default(), start());
        copies.sent(t0, &packet(DTLS, 100));
        assert_eq!(copies.wake(), None, "nobody has asked for one");
        copies.make(t0 + MS * 10);
        copies.sent(t0, &packet(DTLS, 100));
        copies.sent(t0, &packet(0, 100)); // a check of the path
        copies.sent(t0 + MS, &packet(DTLS, 50));
        copies.sent(t0 + MS * 10, &packet(DTLS, 70)); // too late
        assert_eq!(copies.wake().map(|wake| wake.at), Some(t0 + AFTER));
        assert!(copies.take_due(t0 + AFTER - MS).is_none());
        assert_eq!(copies.take_due(t0 + AFTER).map(|copy| copy.contents.len()), Some(100));
        assert!(copies.take_due(t0 + AFTER).is_none());
        assert_eq!(copies.take_due(t0 + AFTER + MS).map(|copy| copy.contents.len()), Some(50));
        assert!(copies.take_due(t0 + AFTER * 9).is_none() && copies.wake().is_none());
    }

    #[test]
    fn of_a_flood_no_more_is_copied_than_may_wait() {
        let (mut copies, t0) = (Copies::default(), start());
        copies.make(t0 + MS * 10);
        (0..100).for_each(|_| copies.sent(t0, &packet(DTLS, 1000)));
        let mut count = 0;
        while copies.take_due(t0 + AFTER).is_some() {
            count += 1;
        }
        assert_eq!((count, copies.bytes), (MAX_BYTES / 1000, 0));
        copies.sent(t0 + AFTER, &packet(DTLS, 1000));
        assert!(copies.wake().is_some(), "there is room again");
    }
}
