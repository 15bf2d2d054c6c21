//! Packets that are sent a second and a third time a little later.
//!
//! When SCTP's retransmission timer has expired, it sends one packet, and if that or its acknowledgement is lost nothing goes out, on
//! no channel, until the timer expires again, after twice the time. `link/overtaking.rs` says when both sides must not let that happen.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use str0m::net::Transmit;

use super::datagrams::is_dtls;
use crate::wake::Wake;

/// Later than the packet itself by this much: what is sent together is often lost together, with one frame of a wireless network.
const SECOND_AFTER: Duration = Duration::from_millis(5);

/// And later than the second: where one packet in ten is lost, two of two are lost often enough to be noticed.
const THIRD_AFTER: Duration = Duration::from_millis(15);

/// Copies of no more than this wait, seconds and thirds each; of a packet behind them none is made. Whoever sends so much at once gets
/// acknowledgements.
const MAX_BYTES: usize = 16 * 1024;

#[derive(Debug, Default)]
pub(super) struct Copies {
    until: Option<Instant>,
    second: Waiting,
    third: Waiting,
}

impl Copies {
    /// Until then each packet is kept for a second and a third time.
    pub(super) fn make(&mut self, until: Instant) {
        self.until = Some(until);
    }

    /// This packet is sent now. DTLS takes its copies for repetitions and drops them (RFC 6347 §4.1.2.6).
    pub(super) fn sent(&mut self, now: Instant, transmit: &Transmit) {
        if self.until.is_some_and(|until| now < until) && is_dtls(&transmit.contents) {
            self.second.push(now + SECOND_AFTER, transmit);
        }
    }

    /// The next copy that is to be sent now.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Transmit> {
        if let Some(third) = self.third.take_due(now) {
            return Some(third);
        }
        let second = self.second.take_due(now)?;
        self.third.push(now + THIRD_AFTER, &second);
        Some(second)
    }

    pub(super) fn wake(&self) -> Option<Wake> {
        [&self.second, &self.third]
            .into_iter()
            .filter_map(Waiting::due)
            .min()
            .map(|due| Wake::new(due, "copy"))
    }
}

#[derive(Debug, Default)]
struct Waiting {
    /// With the time that each is due, the first first.
    copies: VecDeque<(Instant, Transmit)>,
    bytes: usize,
}

impl Waiting {
    fn push(&mut self, due: Instant, transmit: &Transmit) {
        let Transmit { proto, source, destination, ref contents } = *transmit;
        let bytes = self.bytes + contents.len();
        if bytes <= MAX_BYTES {
            self.bytes = bytes;
            let contents = contents.to_vec().into();
            self.copies.push_back((due, Transmit { proto, source, destination, contents }));
        }
    }

    fn due(&self) -> Option<Instant> {
        self.copies.front().map(|(due, _)| *due)
    }

    fn take_due(&mut self, now: Instant) -> Option<Transmit> {
        self.due().filter(|due| *due <= now)?;
        let (_, transmit) = self.copies.pop_front()?;
        self.bytes -= transmit.contents.len();
        if self.copies.is_empty() {
            self.copies = VecDeque::new(); // a link without losses holds nothing
        }
        Some(transmit)
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

    /// The lengths of all copies due, in their order.
    fn due(copies: &mut Copies, now: Instant) -> Vec<usize> {
        std::iter::from_fn(|| copies.take_due(now)).map(|copy| copy.contents.len()).collect()
    }

    #[test]
    fn each_packet_goes_out_twice_more_while_that_is_wanted() {
        let (mut copies, t0) = (Copies::default(), start());
        copies.sent(t0, &packet(DTLS, 100));
        assert_eq!(copies.wake(), None, "nobody has asked for one");
        copies.make(t0 + MS * 18);
        copies.sent(t0, &packet(DTLS, 100));
        copies.sent(t0, &packet(0, 200)); // a check of the path
        copies.sent(t0 + MS, &packet(DTLS, 50));
        copies.sent(t0 + MS * 17, &packet(DTLS, 70));
        copies.sent(t0 + MS * 18, &packet(DTLS, 80)); // too late
        let mut all = Vec::new();
        while let Some(wake) = copies.wake() {
            all.push(((wake.at - t0).as_millis(), due(&mut copies, wake.at)));
        }
        let all: Vec<_> = all.iter().map(|(at, lens)| (*at, lens.as_slice())).collect();
        let want: [(u128, &[usize]); 6] =
            [(5, &[100]), (6, &[50]), (20, &[100]), (21, &[50]), (22, &[70]), (37, &[70])];
        assert_eq!(all, want);
    }

    #[test]
    fn of_a_flood_no_more_is_copied_than_may_wait() {
        let (mut copies, t0) = (Copies::default(), start());
        copies.make(t0 + MS * 10);
        (0..100).for_each(|_| copies.sent(t0, &packet(DTLS, 1000)));
        let at = t0 + SECOND_AFTER;
        assert_eq!(due(&mut copies, at), [1000; MAX_BYTES / 1000]);
        (0..100).for_each(|_| copies.sent(at, &packet(DTLS, 1000)));
        assert_eq!(due(&mut copies, at + SECOND_AFTER).len(), MAX_BYTES / 1000, "there is room again");
        assert_eq!(
            due(&mut copies, at + THIRD_AFTER).len(),
            MAX_BYTES / 1000,
            "a third of the first ones only"
        );
        assert_eq!((copies.second.bytes, copies.third.bytes, copies.wake()), (0, 0, None));
    }
}
