//! Writing messages (reference §4.3). What the router and the stock Rust client send, byte for byte.

use alloc::vec::Vec;

use super::{
    Ack, Body, Bundle, ErrorReply, Features, FederationSync, Hello, Message, Publish, Replay, Set,
    SignalType, Subscribe, Sync, Ttl, Welcome, code, lists::bit,
};
use crate::{
    error::EncodeError,
    header::{Header, QoS},
    limits::MAX_PAYLOAD_BYTES,
    seq::{Form, Item},
    writer::{Counter, Sink, Slice, Writer},
};

/// Room that a fresh vector does not have, and one that has held a frame of some size does.
const REUSED_BYTES: usize = 64;

/// Where the payload length stands in a frame.
const LENGTH_AT: usize = 2;

impl Message<'_> {
    /// The QoS every stock sender of this message's kind puts on it (reference §2).
    #[must_use]
    pub const fn default_qos(&self) -> QoS {
        match self {
            Message::Subscribe(_)
            | Message::Unsubscribe { .. }
            | Message::Set(_)
            | Message::Replay(_)
            | Message::FederationSync(_) => QoS::Confirm,
            Message::Publish(publish) => match publish.signal {
                SignalType::Param | SignalType::Event => QoS::Confirm,
                SignalType::Stream | SignalType::Gesture => QoS::Fire,
                SignalType::Timeline => QoS::Commit,
            },
            Message::Bundle(_) => QoS::Commit,
            _ => QoS::Fire,
        }
    }

    /// Appends one whole frame with the default QoS. On an error `out` is left as it was.
    pub fn encode_into(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.encode_with_qos(self.default_qos(), out)
    }

    /// Appends one whole frame. On an error `out` is left as it was.
    ///
    /// A vector without room is allocated once, exactly; one that is used again is written in a single pass.
    pub fn encode_with_qos(&self, qos: QoS, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        if out.capacity() - start < REUSED_BYTES {
            return self.encode_measured(qos, out);
        }
        Header { qos, timestamp_us: None, payload_len: 0 }.encode_into(out);
        let payload = out.len();
        let written = self.write_payload(&mut Writer::new(out)).and_then(|()| {
            let len = out.len() - payload;
            u16::try_from(len).map_err(|_| EncodeError::PayloadTooLarge { len })
        });
        match written {
            Ok(len) => out.patch(start + LENGTH_AT, len.to_be_bytes()),
            Err(_) => out.truncate(start),
        }
        written.map(|_| ())
    }

    fn encode_measured(&self, qos: QoS, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let payload_len = self.measure()?;
        let header = Header { qos, timestamp_us: None, payload_len };
        out.reserve(header.encoded_len() + usize::from(payload_len));
        header.encode_into(out);
        // Measuring went the same way and would have found whatever could go wrong here.
        self.write_payload(&mut Writer::new(out))
    }

    /// Writes one whole frame to the start of `out`; returns its length.
    pub fn encode_to_slice(&self, qos: QoS, out: &mut [u8]) -> Result<usize, EncodeError> {
        let payload_len = self.measure()?;
        let header = Header { qos, timestamp_us: None, payload_len };
        let (needed, available) = (header.encoded_len() + usize::from(payload_len), out.len());
        if needed > available {
            return Err(EncodeError::BufferTooSmall { needed, available });
        }
        let mut sink = Slice::new(out);
        sink.put(&header.first_bytes());
        self.write_payload(&mut Writer::new(&mut sink))?;
        Ok(needed)
    }

    /// Bytes of payload this message takes; `usize::MAX` if it cannot be written at all.
    ///
    /// Costs about a third of encoding: decoded lists are not walked again.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.measure().map_or(usize::MAX, usize::from)
    }

    fn measure(&self) -> Result<u16, EncodeError> {
        let mut counter = Counter::default();
        self.write_payload(&mut Writer::new(&mut counter))?;
        let len = counter.position();
        u16::try_from(len).map_err(|_| EncodeError::PayloadTooLarge { len })
    }

    /// Type byte and layout.
    pub(crate) fn write_payload<S: Sink>(&self, writer: &mut Writer<'_, S>) -> Result<(), EncodeError> {
        match self {
            Message::Publish(publish) => write_publish(publish, writer),
            Message::Set(set) => write_set(set, writer),
            Message::Ping => {
                writer.u8(code::PING);
                Ok(())
            }
            Message::Pong => {
                writer.u8(code::PONG);
                Ok(())
            }
            Message::Hello(hello) => write_hello(hello, writer),
            Message::Welcome(welcome) => write_welcome(welcome, writer),
            Message::Announce(announce) => {
                writer.u8(code::ANNOUNCE);
                writer.str(announce.namespace)?;
                announce.signals.write(writer, Form::Full)
            }
            Message::FederationSync(sync) => write_federation_sync(sync, writer),
            Message::Subscribe(subscribe) => write_subscribe(subscribe, writer),
            Message::Unsubscribe { id } => {
                writer.u8(code::UNSUBSCRIBE);
                writer.u32(*id);
                Ok(())
            }
            Message::Get { address } => write_text(code::GET, address, writer),
            Message::Snapshot { params } => {
                writer.u8(code::SNAPSHOT);
                params.write(writer, Form::Full)
            }
            Message::Replay(replay) => write_replay(replay, writer),
            Message::Bundle(bundle) => write_bundle(bundle, writer),
            Message::Sync(sync) => {
                write_sync(sync, writer);
                Ok(())
            }
            Message::Ack(ack) => write_ack(ack, writer),
            Message::Error(error) => write_error(error, writer),
            Message::Query { pattern } => write_text(code::QUERY, pattern, writer),
            Message::Result { signals } => {
                writer.u8(code::RESULT);
                signals.write(writer, Form::Bare)
            }
        }
    }
}

const _: () = assert!(MAX_PAYLOAD_BYTES == u16::MAX as usize);

fn write_text<S: Sink>(code: u8, text: &str, writer: &mut Writer<'_, S>) -> Result<(), EncodeError> {
    writer.u8(code);
    writer.str(text)
}

fn write_hello<S: Sink>(hello: &Hello<'_>, writer: &mut Writer<'_, S>) -> Result<(), EncodeError> {
    writer.u8(code::HELLO);
    writer.u8(hello.version);
    writer.u8(hello.features.0 & Features::ALL.0);
    writer.str(hello.name)?;
    writer.str(hello.token)
}

fn write_welcome<S: Sink>(welcome: &Welcome<'_>, writer: &mut Writer<'_, S>) -> Result<(), EncodeError> {
    writer.u8(code::WELCOME);
    writer.u8(welcome.version);
    writer.u8(welcome.features.0 & Features::SERVED.0);
    writer.u64(welcome.time_us);
    writer.str(welcome.session)?;
    writer.str(welcome.name)?;
    writer.str(welcome.token)
}

fn write_federation_sync<S: Sink>(
    sync: &FederationSync<'_>,
    writer: &mut Writer<'_, S>,
) -> Result<(), EncodeError> {
    writer.u8(code::FEDERATION_SYNC);
    writer.u8(sync.op as u8);
    sync.patterns.write(writer, Form::Full)?;
    sync.revisions.write(writer, Form::Full)?;
    writer.u8(bit(sync.since.as_ref(), 0x80) | bit(sync.origin.as_ref(), 0x40));
    if let Some(since) = sync.since {
        writer.u64(since);
    }
    sync.origin.map_or(Ok(()), |origin| writer.str(origin))
}

fn write_subscribe<S: Sink>(
    subscribe: &Subscribe<'_>,
    writer: &mut Writer<'_, S>,
) -> Result<(), EncodeError> {
    writer.u8(code::SUBSCRIBE);
    writer.u32(subscribe.id);
    writer.str(subscribe.pattern)?;
    writer.u8(subscribe.types.0);
    let rate = bit(subscribe.max_rate.as_ref(), 0x01) | bit(subscribe.epsilon.as_ref(), 0x02);
    writer.u8(rate | bit(subscribe.history.as_ref(), 0x04) | bit(subscribe.window.as_ref(), 0x08));
    if let Some(max_rate) = subscribe.max_rate {
        writer.u32(max_rate);
    }
    if let Some(epsilon) = subscribe.epsilon {
        writer.f64(epsilon);
    }
    if let Some(history) = subscribe.history {
        writer.u32(history);
    }
    if let Some(window) = subscribe.window {
        writer.u32(window);
    }
    Ok(())
}

/// PUBLISH flags: signal, which optional fields there are, phase.
pub(crate) const fn publish_flags(publish: &Publish<'_>) -> u8 {
    let optional = bit(publish.timestamp_us.as_ref(), 0x10) | bit(publish.id.as_ref(), 0x08);
    (publish.signal as u8) << 5 | optional | publish.phase as u8
}

/// What follows the body of a PUBLISH.
pub(crate) fn write_publish_tail<S: Sink>(publish: &Publish<'_>, writer: &mut Writer<'_, S>) {
    if let Some(timestamp_us) = publish.timestamp_us {
        writer.u64(timestamp_us);
    }
    if let Some(id) = publish.id {
        writer.u32(id);
    }
    if let Some(rate) = publish.rate {
        writer.u32(rate);
    }
}

#[inline]
fn write_publish<S: Sink>(publish: &Publish<'_>, writer: &mut Writer<'_, S>) -> Result<(), EncodeError> {
    writer.u8(code::PUBLISH);
    writer.u8(publish_flags(publish));
    writer.str(publish.address)?;
    match &publish.body {
        Body::None => writer.u8(0),
        Body::Value(value) => {
            writer.u8(1);
            value.write(writer, Form::Full)?;
        }
        Body::Samples(samples) => {
            writer.u8(2);
            samples.write(writer, Form::Full)?;
        }
    }
    write_publish_tail(publish, writer);
    Ok(())
}

#[inline]
fn write_set<S: Sink>(set: &Set<'_>, writer: &mut Writer<'_, S>) -> Result<(), EncodeError> {
    writer.u8(code::SET);
    let lock = u8::from(set.lock) << 6 | u8::from(set.unlock) << 5;
    let optional = bit(set.revision.as_ref(), 0x80) | bit(set.ttl.as_ref(), 0x10);
    writer.u8(set.value.tag() | lock | optional);
    writer.str(set.address)?;
    set.value.write_data(writer)?;
    if let Some(revision) = set.revision {
        writer.u64(revision);
    }
    if let Some(ttl) = set.ttl {
        writer.u32(ttl.to_wire());
    }
    Ok(())
}

impl Ttl {
    /// Seconds are clamped to what the wire can say: a sliding 0 would read as "for ever", so it becomes 1.
    pub(crate) fn to_wire(self) -> u32 {
        match self {
            Self::Never => 0,
            Self::Sliding(seconds) => seconds.clamp(1, 0x7FFF_FFFF),
            Self::Absolute(seconds) => seconds.min(0x7FFF_FFFF) | 0x8000_0000,
        }
    }
}

fn write_replay<S: Sink>(replay: &Replay<'_>, writer: &mut Writer<'_, S>) -> Result<(), EncodeError> {
    writer.u8(code::REPLAY);
    let range = bit(replay.from_us.as_ref(), 0x80) | bit(replay.to_us.as_ref(), 0x40);
    writer.u8(range | bit(replay.limit.as_ref(), 0x20));
    writer.str(replay.pattern)?;
    if let Some(from_us) = replay.from_us {
        writer.u64(from_us);
    }
    if let Some(to_us) = replay.to_us {
        writer.u64(to_us);
    }
    if let Some(limit) = replay.limit {
        writer.u32(limit);
    }
    writer.u8(replay.types.0);
    Ok(())
}

fn write_bundle<S: Sink>(bundle: &Bundle<'_>, writer: &mut Writer<'_, S>) -> Result<(), EncodeError> {
    writer.u8(code::BUNDLE);
    writer.u8(bit(bundle.timestamp_us.as_ref(), 0x80));
    writer.count(bundle.messages.len())?;
    if let Some(timestamp_us) = bundle.timestamp_us {
        writer.u64(timestamp_us);
    }
    writer.enter()?;
    bundle.messages.write_items(writer, Form::Full)?;
    writer.leave();
    Ok(())
}

fn write_sync<S: Sink>(sync: &Sync, writer: &mut Writer<'_, S>) {
    writer.u8(code::SYNC);
    writer.u8(bit(sync.t2_us.as_ref(), 0x01) | bit(sync.t3_us.as_ref(), 0x02));
    writer.u64(sync.t1_us);
    if let Some(t2_us) = sync.t2_us {
        writer.u64(t2_us);
    }
    if let Some(t3_us) = sync.t3_us {
        writer.u64(t3_us);
    }
}

fn write_ack<S: Sink>(ack: &Ack<'_>, writer: &mut Writer<'_, S>) -> Result<(), EncodeError> {
    writer.u8(code::ACK);
    let first =
        bit(ack.address.as_ref(), 0x01) | bit(ack.revision.as_ref(), 0x02) | bit(ack.locked.as_ref(), 0x04);
    writer.u8(first | bit(ack.holder.as_ref(), 0x08) | bit(ack.correlation_id.as_ref(), 0x10));
    if let Some(address) = ack.address {
        writer.str(address)?;
    }
    if let Some(revision) = ack.revision {
        writer.u64(revision);
    }
    if let Some(locked) = ack.locked {
        writer.u8(locked.into());
    }
    if let Some(holder) = ack.holder {
        writer.str(holder)?;
    }
    if let Some(correlation_id) = ack.correlation_id {
        writer.u32(correlation_id);
    }
    Ok(())
}

fn write_error<S: Sink>(error: &ErrorReply<'_>, writer: &mut Writer<'_, S>) -> Result<(), EncodeError> {
    writer.u8(code::ERROR);
    writer.u16(error.code);
    writer.str(error.message)?;
    writer.u8(bit(error.address.as_ref(), 0x01) | bit(error.correlation_id.as_ref(), 0x02));
    if let Some(address) = error.address {
        writer.str(address)?;
    }
    if let Some(correlation_id) = error.correlation_id {
        writer.u32(correlation_id);
    }
    Ok(())
}
