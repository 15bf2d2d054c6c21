//! Bytes from one node's `send` to another's `recv`, through the reliable channel.
//!
//! Every message is one CLASP PUBLISH, so that a stock peer can at least read what it gets:
//!
//! | address | value | from |
//! |---|---|---|
//! | `/edge/pipe/data` | bytes | sender |
//! | `/edge/pipe/end` | map: `bytes` int, `sha256` bytes; or `error` string where it is called off | sender |
//! | `/edge/pipe/ack` | int: bytes consumed so far | receiver |
//! | `/edge/pipe/done` | map: `ok` bool, `error` string if not | receiver |
//!
//! Two more are about the link, of which both ends may have several uses: `/edge/link/unused` says that one end needs it no more, and the
//! other one ends it, or says `/edge/link/used` and does the same when it is done. Their value is always true.
//!
//! At most [`WINDOW_BYTES`] are on their way unacknowledged, and the receiver acknowledges what its reader has *taken*: a slow
//! reader slows the sender down, and neither side holds more than the window.
//!
//! Every transfer has one `end` and one `done`, however it goes, so that the next one on the same link is told from it: who is refused
//! still says `end`, and whoever refused looks at nothing until then.
//!
//! Sans-IO: frames in, frames out.

use bytes::Bytes;
use clasp_wire::message::{Body, Phase, Publish, SignalType};
use clasp_wire::{Entry, Message, QoS, Value};
use sha2::{Digest, Sha256};

use crate::limits::EVENT_QUEUE_BYTES;

/// Bytes per message: with its framing below the 16 KiB that every peer and browser takes.
pub const CHUNK_BYTES: usize = 16 * 1024 - 128;

/// Bytes on their way at most. Covers 50 MB/s at a round trip of 10 ms.
pub const WINDOW_BYTES: u64 = 512 * 1024;

/// The receiver tells how far it is after this many bytes.
const ACK_EVERY_BYTES: u64 = 64 * 1024;

const _: () = assert!(WINDOW_BYTES as usize <= EVENT_QUEUE_BYTES / 2);

/// Of what the other side gives as its reason.
const MAX_REASON_CHARS: usize = 200;

const DATA: &str = "/edge/pipe/data";
const END: &str = "/edge/pipe/end";
const ACK: &str = "/edge/pipe/ack";
const DONE: &str = "/edge/pipe/done";
const UNUSED: &str = "/edge/link/unused";
const USED: &str = "/edge/link/used";

/// How a transfer ended, as the receiver says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Every byte arrived and the digest matches.
    Complete,
    /// It did not work out, for this reason.
    Failed(String),
}

/// The sending end of a transfer.
#[derive(Debug, Default)]
pub struct PipeSender {
    sent: u64,
    acknowledged: u64,
    digest: Sha256,
}

impl PipeSender {
    /// A transfer of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the window has room for another chunk.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.sent - self.acknowledged + CHUNK_BYTES as u64 <= WINDOW_BYTES
    }

    /// Bytes sent so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Bytes the receiver has taken so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// The message that carries `chunk`, which is at most [`CHUNK_BYTES`] long.
    pub fn data(&mut self, chunk: &[u8]) -> Bytes {
        self.sent += chunk.len() as u64;
        self.digest.update(chunk);
        publish(DATA, Value::Bytes(chunk))
    }

    /// The message that ends the transfer.
    #[must_use]
    pub fn end(&self) -> Bytes {
        let digest = self.digest.clone().finalize();
        let bytes = Value::Int(i64::try_from(self.sent).unwrap_or(i64::MAX));
        let entries =
            [Entry { key: "bytes", value: bytes }, Entry { key: "sha256", value: Value::Bytes(&digest) }];
        publish(END, Value::Map(entries.as_slice().into()))
    }

    /// The message that ends the transfer before it is complete, for this reason.
    #[must_use]
    pub fn called_off(why: &str) -> Bytes {
        publish(END, Value::Map([Entry { key: "error", value: Value::Str(why) }].as_slice().into()))
    }

    /// Takes a message from the receiver. `Some` when the transfer is over.
    pub fn handle_message(&mut self, message: &[u8]) -> Option<Outcome> {
        match read(message)? {
            (ACK, Value::Int(consumed)) => {
                // Never back, and never beyond what was sent, whatever the peer says.
                let consumed = u64::try_from(consumed).unwrap_or(0);
                self.acknowledged = self.acknowledged.max(consumed.min(self.sent));
                None
            }
            (DONE, value) => Some(match value.get("ok") {
                Some(Value::Bool(true)) => Outcome::Complete,
                _ => Outcome::Failed(reason(&value).unwrap_or_else(|| "no reason given".to_owned())),
            }),
            _ => None,
        }
    }
}

/// The receiving end of a transfer.
#[derive(Debug, Default)]
pub struct PipeReceiver {
    received: u64,
    consumed: u64,
    acknowledged: u64,
    digest: Sha256,
}

/// What a message meant to the receiver.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// These bytes are next. Say [`PipeReceiver::consumed`] when they are taken.
    Data(&'a [u8]),
    /// That was all, and this is how it ended.
    End(Outcome),
    /// Not part of a transfer.
    Other,
}

impl PipeReceiver {
    /// Nothing received yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes received so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Bytes that arrived and were not taken. An honest sender leaves at most [`WINDOW_BYTES`].
    #[must_use]
    pub fn untaken(&self) -> u64 {
        self.received - self.consumed
    }

    /// Takes a message from the sender.
    pub fn handle_message<'a>(&mut self, message: &'a [u8]) -> Received<'a> {
        match read(message) {
            Some((DATA, Value::Bytes(chunk))) => {
                self.received += chunk.len() as u64;
                self.digest.update(chunk);
                Received::Data(chunk)
            }
            Some((END, value)) => {
                let bytes = match value.get("bytes") {
                    Some(Value::Int(bytes)) => u64::try_from(bytes).ok(),
                    _ => None,
                };
                let digest = self.digest.clone().finalize();
                Received::End(if let Some(why) = reason(&value) {
                    Outcome::Failed(format!("the sender says: {why}"))
                } else if bytes != Some(self.received) {
                    Outcome::Failed(format!("{} of {bytes:?} bytes arrived", self.received))
                } else if matches!(value.get("sha256"), Some(Value::Bytes(d)) if d == digest.as_slice()) {
                    Outcome::Complete
                } else {
                    Outcome::Failed("the digest does not match".to_owned())
                })
            }
            _ => Received::Other,
        }
    }

    /// The reader took `bytes`. Returns the message that tells the sender, when it is time for one.
    pub fn consumed(&mut self, bytes: usize) -> Option<Bytes> {
        self.consumed += bytes as u64;
        (self.consumed - self.acknowledged >= ACK_EVERY_BYTES).then(|| {
            self.acknowledged = self.consumed;
            publish(ACK, Value::Int(i64::try_from(self.consumed).unwrap_or(i64::MAX)))
        })
    }
}

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Bytes, from the sender.
    Data,
    /// The sender's last word.
    End,
    /// How far the receiver is.
    Ack,
    /// The receiver's last word.
    Done,
    /// The peer needs the link no more.
    Unused,
    /// The peer still needs it.
    Used,
}

/// Which part of a transfer `message` is, or what it says of the link.
#[must_use]
pub fn part(message: &[u8]) -> Option<Part> {
    match read(message)?.0 {
        DATA => Some(Part::Data),
        END => Some(Part::End),
        ACK => Some(Part::Ack),
        DONE => Some(Part::Done),
        UNUSED => Some(Part::Unused),
        USED => Some(Part::Used),
        _ => None,
    }
}

/// The message that says that this end needs the link no more.
#[must_use]
pub fn unused() -> Bytes {
    publish(UNUSED, Value::Bool(true))
}

/// The answer to it, where the link is still needed.
#[must_use]
pub fn used() -> Bytes {
    publish(USED, Value::Bool(true))
}

/// The message that tells the sender how it ended.
#[must_use]
pub fn done(outcome: &Outcome) -> Bytes {
    let (ok, error) = match outcome {
        Outcome::Complete => (true, ""),
        Outcome::Failed(why) => (false, why.as_str()),
    };
    let entries =
        [Entry { key: "ok", value: Value::Bool(ok) }, Entry { key: "error", value: Value::Str(error) }];
    publish(DONE, Value::Map(entries.as_slice().into()))
}

fn publish(address: &str, value: Value<'_>) -> Bytes {
    let mut frame = Vec::with_capacity(CHUNK_BYTES + 64);
    let message = Message::Publish(Publish {
        address,
        signal: SignalType::Event,
        phase: Phase::Start,
        body: Body::Value(value),
        timestamp_us: None,
        id: None,
        rate: None,
    });
    message.encode_with_qos(QoS::Fire, &mut frame).expect("a chunk and its address fit a frame");
    frame.into()
}

/// Why it ended early, as the other side says; as much of it as a person reads.
fn reason(value: &Value<'_>) -> Option<String> {
    let why = value.get("error")?.as_str()?;
    (!why.is_empty()).then(|| why.chars().take(MAX_REASON_CHARS).collect())
}

fn read(message: &[u8]) -> Option<(&str, Value<'_>)> {
    match Message::decode_compact(message).ok()?.1 {
        Message::Publish(Publish { address, body: Body::Value(value), .. }) => Some((address, value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_arrive_whole_and_the_window_is_never_exceeded() {
        let (mut sender, mut receiver) = (PipeSender::new(), PipeReceiver::new());
        let data: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 251) as u8).collect();
        let (mut got, mut wire) = (Vec::new(), std::collections::VecDeque::new());
        let mut chunks = data.chunks(CHUNK_BYTES);
        loop {
            if sender.has_room()
                && let Some(chunk) = chunks.next()
            {
                let message = sender.data(chunk);
                assert!(message.len() <= 16 * 1024);
                wire.push_back(message);
                assert!(sender.sent() - got.len() as u64 <= WINDOW_BYTES);
                continue;
            }
            let Some(message) = wire.pop_front() else { break };
            let Received::Data(chunk) = receiver.handle_message(&message) else { panic!("no data") };
            got.extend_from_slice(chunk);
            if let Some(ack) = receiver.consumed(chunk.len()) {
                assert_eq!(sender.handle_message(&ack), None);
            }
        }
        assert_eq!(got, data);
        let outcome = match receiver.handle_message(&sender.end()) {
            Received::End(outcome) => outcome,
            other => panic!("{other:?}"),
        };
        assert_eq!(outcome, Outcome::Complete);
        assert_eq!(sender.handle_message(&done(&outcome)), Some(Outcome::Complete));
    }

    #[test]
    fn a_changed_or_missing_byte_is_noticed() {
        let mut sender = PipeSender::new();
        let (first, end) = (sender.data(b"hello"), sender.end());
        let mut changed = first.to_vec();
        *changed.last_mut().unwrap() ^= 1;
        let mut receiver = PipeReceiver::new();
        receiver.handle_message(&changed);
        assert_eq!(
            receiver.handle_message(&end),
            Received::End(Outcome::Failed("the digest does not match".into()))
        );
        let outcome = PipeReceiver::new();
        let failed = { outcome }.handle_message(&end);
        assert_eq!(failed, Received::End(Outcome::Failed("0 of Some(5) bytes arrived".into())));
    }

    #[test]
    fn a_transfer_that_is_called_off_says_why() {
        let mut receiver = PipeReceiver::new();
        let called_off = PipeSender::called_off("interrupted");
        assert_eq!(part(&called_off), Some(Part::End));
        let why = Outcome::Failed("the sender says: interrupted".into());
        assert_eq!(receiver.handle_message(&called_off), Received::End(why.clone()));
        assert_eq!(part(&done(&why)), Some(Part::Done));
        assert_eq!([part(&unused()), part(&used())], [Some(Part::Unused), Some(Part::Used)]);
        assert_eq!(part(&publish("/lights/kitchen", Value::Int(1))), None);
        assert_eq!(part(b"garbage"), None);
    }

    #[test]
    fn what_the_reader_has_not_taken_is_counted() {
        let (mut sender, mut receiver) = (PipeSender::new(), PipeReceiver::new());
        let message = sender.data(b"12345");
        assert_eq!(part(&message), Some(Part::Data));
        receiver.handle_message(&message);
        assert_eq!(receiver.untaken(), 5);
        assert_eq!(receiver.consumed(5), None, "too little to tell");
        assert_eq!(receiver.untaken(), 0);
    }

    #[test]
    fn a_lying_receiver_cannot_open_the_window_further_than_what_was_sent() {
        let mut sender = PipeSender::new();
        sender.data(b"12345");
        for lie in [i64::MAX, -1, 3] {
            assert_eq!(sender.handle_message(&publish(ACK, Value::Int(lie))), None);
            assert!(sender.acknowledged <= sender.sent);
        }
        assert_eq!(sender.acknowledged, 5, "acknowledgements do not go back");
        assert_eq!(sender.handle_message(b"garbage"), None);
        assert_eq!(
            sender.handle_message(&done(&Outcome::Failed("disk full".into()))),
            Some(Outcome::Failed("disk full".into()))
        );
    }
}
