//! The conversation over the channel, sans-IO.

use crate::message::{Content, Framing, Kind};
use crate::{Event, Outcome};

/// What one end is doing. The end that connected asks; the other one only answers.
#[derive(Debug)]
pub struct Bench {
    framing: Framing,
    task: Task,
    /// Bulk messages that came in order since the last receipt, and their bytes.
    arrived: u64,
    arrived_bytes: u64,
}

#[derive(Debug)]
enum Task {
    Nothing,
    Opening { since: u64 },
    Sending(Sending),
    Echoing { left: usize, round_trip_us: Vec<f64>, one_way_us: Vec<f64> },
}

#[derive(Debug)]
struct Sending {
    blank: Vec<u8>,
    sent: u64,
    most: u64,
    begun: u64,
    until: u64,
    ended: bool,
}

/// What a message leads to.
#[derive(Debug, Default, PartialEq)]
pub struct Answer {
    /// To be sent at once.
    pub reply: Option<Vec<u8>>,
    /// To be told.
    pub event: Option<Event>,
}

impl Bench {
    /// An end with nothing to do.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        Self { framing, task: Task::Nothing, arrived: 0, arrived_bytes: 0 }
    }

    /// The connection is being opened from `now` (nanoseconds) on.
    pub fn connecting(&mut self, now: u64) {
        self.task = Task::Opening { since: now };
    }

    /// The stack says that the channel is open. Returns what to send: only when that has come back the channel is open for us.
    pub fn opened(&mut self, now: u64) -> Option<Vec<u8>> {
        matches!(self.task, Task::Opening { .. }).then(|| self.ping(now))
    }

    /// Begins so many round trips; returns what to send.
    pub fn echo(&mut self, now: u64, count: usize) -> Vec<u8> {
        let room = || Vec::with_capacity(count);
        self.task =
            Task::Echoing { left: count.saturating_sub(1), round_trip_us: room(), one_way_us: room() };
        self.ping(now)
    }

    /// Begins to send, at most `most` messages of `size` bytes, and none after `ms` milliseconds: see [`Self::next`].
    ///
    /// # Errors
    /// When there can be no message of that size.
    pub fn send(&mut self, now: u64, size: usize, most: u64, ms: u64) -> Outcome<()> {
        let until = now.saturating_add(ms.saturating_mul(1_000_000));
        let blank = self.framing.blank(size)?;
        self.task = Task::Sending(Sending { blank, sent: 0, most, begun: now, until, ended: false });
        Ok(())
    }

    /// The next message to send, as soon as the stack has room for it.
    pub fn next(&mut self, now: u64) -> Option<Vec<u8>> {
        let Task::Sending(sending) = &mut self.task else { return None };
        if sending.ended {
            return None;
        }
        if sending.sent == sending.most || now >= sending.until {
            sending.ended = true;
            return Some(self.framing.small(Content { kind: Kind::End, first: sending.sent, second: 0 }));
        }
        let mut message = sending.blank.clone();
        self.framing.fill(&mut message, Content { kind: Kind::Bulk, first: sending.sent, second: 0 });
        sending.sent += 1;
        Some(message)
    }

    /// A message arrived at `now`.
    pub fn received(&mut self, now: u64, message: &[u8]) -> Answer {
        let Some(content) = self.framing.read(message) else {
            return failed(format!("a message of {} bytes is not one of ours", message.len()));
        };
        match content.kind {
            Kind::Bulk if content.first == self.arrived => {
                self.arrived += 1;
                self.arrived_bytes += message.len() as u64;
                Answer::default()
            }
            Kind::Bulk => failed(format!("message {} came as number {}", content.first, self.arrived)),
            Kind::End => {
                let receipt =
                    Content { kind: Kind::Receipt, first: self.arrived, second: self.arrived_bytes };
                (self.arrived, self.arrived_bytes) = (0, 0);
                self.replying(receipt)
            }
            Kind::Echo => self.replying(Content { kind: Kind::Reply, first: content.first, second: now }),
            Kind::Receipt => self.receipt(now, content),
            Kind::Reply => self.replied(now, content),
        }
    }

    fn receipt(&mut self, now: u64, content: Content) -> Answer {
        let Task::Sending(sending) = &self.task else { return failed("a receipt for nothing".to_owned()) };
        if content.first != sending.sent {
            return failed(format!("{} messages of {} arrived", content.first, sending.sent));
        }
        let event =
            Event::Sent { messages: content.first, bytes: content.second, us: us(now - sending.begun) };
        self.task = Task::Nothing;
        Answer { reply: None, event: Some(event) }
    }

    fn replied(&mut self, now: u64, content: Content) -> Answer {
        match &mut self.task {
            Task::Opening { since } => {
                let event = Event::Open { us: us(now - *since) };
                self.task = Task::Nothing;
                Answer { reply: None, event: Some(event) }
            }
            Task::Echoing { left, round_trip_us, one_way_us } => {
                round_trip_us.push(us(now.saturating_sub(content.first)));
                one_way_us.push(us(content.second.saturating_sub(content.first)));
                if *left > 0 {
                    *left -= 1;
                    return Answer { reply: Some(self.ping(now)), event: None };
                }
                let [round_trip_us, one_way_us] = [round_trip_us, one_way_us].map(std::mem::take);
                self.task = Task::Nothing;
                Answer { reply: None, event: Some(Event::Echoed { round_trip_us, one_way_us }) }
            }
            // A stack that says twice that a channel is open is answered twice.
            Task::Nothing | Task::Sending(_) => Answer::default(),
        }
    }

    fn ping(&self, now: u64) -> Vec<u8> {
        self.framing.small(Content { kind: Kind::Echo, first: now, second: 0 })
    }

    fn replying(&self, content: Content) -> Answer {
        Answer { reply: Some(self.framing.small(content)), event: None }
    }
}

fn failed(why: String) -> Answer {
    Answer { reply: None, event: Some(Event::Failed { why }) }
}

/// Exact up to 2^53 ns, which is 104 days.
#[expect(clippy::cast_precision_loss, reason = "nothing here lasts for days")]
fn us(ns: u64) -> f64 {
    ns as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Bench, Bench) {
        (Bench::new(Framing::Raw), Bench::new(Framing::Raw))
    }

    #[test]
    fn a_channel_is_open_when_the_first_message_is_back() {
        let (mut asks, mut answers) = pair();
        asks.connecting(1_000);
        let ping = asks.opened(5_000).unwrap();
        let reply = answers.received(6_000, &ping).reply.unwrap();
        assert_eq!(asks.received(7_000, &reply).event, Some(Event::Open { us: 6.0 }));
        assert_eq!(answers.opened(0), None, "the end that answers does not ask");
    }

    #[test]
    fn round_trips_are_counted_and_timed() {
        let (mut asks, mut answers) = pair();
        let mut message = Some(asks.echo(0, 3));
        let mut now = 0;
        let echoed = loop {
            now += 2_000;
            let reply = answers.received(now, &message.take().unwrap()).reply.unwrap();
            now += 3_000;
            let answer = asks.received(now, &reply);
            message = answer.reply;
            if let Some(event) = answer.event {
                break event;
            }
        };
        assert_eq!(echoed, Event::Echoed { round_trip_us: vec![5.0; 3], one_way_us: vec![2.0; 3] });
        assert_eq!(now, 15_000);
    }

    #[test]
    fn sending_ends_with_the_receipt_by_number_or_by_time() {
        for (most, ms, want) in [(5, u64::MAX, 5), (u64::MAX, 1, 10)] {
            let (mut asks, mut answers) = pair();
            asks.send(0, 100, most, ms).unwrap();
            let mut receipt = None;
            for now in (0_u64..).step_by(100_000) {
                let Some(message) = asks.next(now) else { break };
                receipt = receipt.or(answers.received(now, &message).reply);
            }
            let event = asks.received(2_000_000, &receipt.unwrap()).event;
            assert_eq!(event, Some(Event::Sent { messages: want, bytes: want * 100, us: 2_000.0 }));
        }
    }

    #[test]
    fn a_lost_or_displaced_message_is_told() {
        let (mut asks, mut answers) = pair();
        asks.send(0, 100, 3, u64::MAX).unwrap();
        let [_, second] = [asks.next(0).unwrap(), asks.next(0).unwrap()];
        assert!(matches!(answers.received(0, &second).event, Some(Event::Failed { .. })));
        let [_, end] = [asks.next(0).unwrap(), asks.next(0).unwrap()];
        let receipt = answers.received(0, &end).reply.unwrap();
        assert!(matches!(asks.received(0, &receipt).event, Some(Event::Failed { .. })));
    }
}
