//! The remedy for a lost last packet.
//!
//! SCTP notices a loss quickly only when later packets arrive: three acknowledgements that show the gap make it send again
//! (RFC 9260 §7.2.4). After the last packet of a burst none follow, so its loss costs the retransmission timer: a second and
//! more. Here a few tiny messages on the unreliable channel follow a quiet end, one at a time, until everything is acknowledged.
//! The first of them also draws the acknowledgement that the receiver would otherwise delay by 200 ms, so where nothing was
//! lost, one is all.

use std::time::{Duration, Instant};

use crate::wake::Wake;

/// A round trip is taken for at least this long: on a LAN, messages that follow each other closely need no probes.
const SHORTEST: Duration = Duration::from_millis(10);

/// And for at most this long, which is what the receiver delays an acknowledgement by itself.
const LONGEST: Duration = Duration::from_millis(200);

/// Until the first one is measured.
const UNKNOWN: Duration = Duration::from_millis(50);

/// Two probes in one packet would count once.
const SPACING: Duration = Duration::from_millis(2);

/// Waits before each probe, in quarters of a round trip; 0 is [`SPACING`]. Three show the gap, the fourth may replace a lost
/// one, and the second series asks again should the repetition be lost as well. Then the retransmission timer is near.
const SCHEDULE: [u32; 7] = [4, 5, 0, 0, 10, 0, 0];

#[derive(Debug, Clone, Copy)]
struct Armed {
    due: Instant,
    /// Probes sent since the last sign of progress.
    sent: usize,
    in_flight: usize,
    probed_at: Option<Instant>,
}

#[derive(Debug, Default)]
pub(super) struct TailProbe {
    armed: Option<Armed>,
    /// Smoothed as by RFC 6298 §2.
    round_trip: Option<Duration>,
}

impl TailProbe {
    /// Reliable data was handed over; `in_flight` is what is unacknowledged with it.
    pub(super) fn written(&mut self, now: Instant, in_flight: usize) {
        let due = now + self.wait(0);
        self.armed = Some(Armed { due, sent: 0, in_flight, probed_at: None });
    }

    /// Looks at what is unacknowledged now.
    pub(super) fn look(&mut self, now: Instant, in_flight: usize) {
        let Some(armed) = self.armed.filter(|armed| in_flight < armed.in_flight) else { return };
        // Only the first probe's answer can be told from another's.
        if let (Some(at), 1) = (armed.probed_at, armed.sent) {
            let sample = now.saturating_duration_since(at);
            self.round_trip = Some(self.round_trip.map_or(sample, |before| (before * 7 + sample) / 8));
        }
        let due = now + self.wait(0);
        self.armed = (in_flight > 0).then_some(Armed { due, sent: 0, in_flight, probed_at: None });
    }

    /// Whether to send a probe now.
    pub(super) fn take_due(&mut self, now: Instant) -> bool {
        let Some(mut armed) = self.armed.filter(|armed| armed.due <= now) else { return false };
        armed.sent += 1;
        armed.probed_at = Some(now);
        armed.due = now + self.wait(armed.sent);
        self.armed = (armed.sent < SCHEDULE.len()).then_some(armed);
        true
    }

    /// No more probes: other messages are on their way and do the same.
    pub(super) fn disarm(&mut self) {
        self.armed = None;
    }

    pub(super) fn wake(&self) -> Option<Wake> {
        self.armed.map(|armed| Wake::new(armed.due, "tail probe"))
    }

    fn wait(&self, sent: usize) -> Duration {
        let round_trip = self.round_trip.unwrap_or(UNKNOWN).clamp(SHORTEST, LONGEST);
        match SCHEDULE.get(sent) {
            Some(0) | None => SPACING,
            Some(quarters) => round_trip * *quarters / 4,
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

    /// When probes are sent if nothing is ever acknowledged.
    fn probes(tail: &mut TailProbe, t0: Instant) -> Vec<Duration> {
        let mut times = Vec::new();
        while let Some(wake) = tail.wake() {
            assert!(tail.take_due(wake.at));
            times.push(wake.at - t0);
        }
        times
    }

    #[test]
    fn a_tail_nobody_acknowledges_is_probed_twice_over_and_then_left_to_the_timer() {
        let (mut tail, t0) = (TailProbe::default(), start());
        tail.written(t0, 100);
        assert!(!tail.take_due(t0 + ms(49)));
        let want = [50_000, 112_500, 114_500, 116_500, 241_500, 243_500, 245_500].map(Duration::from_micros);
        assert_eq!(probes(&mut tail, t0), want);
        assert!(tail.wake().is_none());
    }

    #[test]
    fn one_probe_is_enough_where_nothing_was_lost_and_it_measures_the_round_trip() {
        let (mut tail, t0) = (TailProbe::default(), start());
        tail.written(t0, 100);
        assert!(tail.take_due(t0 + ms(50)));
        tail.look(t0 + ms(60), 100);
        assert!(tail.wake().is_some(), "nothing was acknowledged yet");
        tail.look(t0 + ms(70), 0);
        assert!(tail.wake().is_none());
        tail.written(t0 + ms(1000), 100);
        assert_eq!(tail.wake().map(|wake| wake.at - t0), Some(ms(1020)), "the round trip is 20 ms");
    }

    #[test]
    fn progress_puts_the_probes_off_and_so_does_more_data() {
        let (mut tail, t0) = (TailProbe::default(), start());
        tail.written(t0, 5000);
        tail.look(t0 + ms(40), 3000);
        assert_eq!(tail.wake().map(|wake| wake.at - t0), Some(ms(90)));
        tail.written(t0 + ms(80), 4000);
        assert_eq!(tail.wake().map(|wake| wake.at - t0), Some(ms(130)));
        tail.disarm();
        assert_eq!(tail.wake(), None);
    }

    #[test]
    fn very_short_and_very_long_round_trips_are_bounded() {
        let t0 = start();
        for (measured, first) in [(ms(0), ms(10)), (ms(3000), ms(200))] {
            let mut tail = TailProbe { round_trip: Some(measured), ..TailProbe::default() };
            tail.written(t0, 1);
            assert_eq!(tail.wake().map(|wake| wake.at - t0), Some(first));
        }
    }
}
