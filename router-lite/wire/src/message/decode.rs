//! Reading messages (reference §4.3).

use alloc::vec::Vec;

use super::{
    Ack, Announce, Body, Bundle, ErrorReply, Features, FederationOp, FederationSync, Hello, Message, Phase,
    Publish, Replay, Set, SignalType, Subscribe, Sync, Ttl, TypeMask, Welcome, code,
};
use crate::{
    error::{DecodeError, DecodeErrorKind},
    header::Header,
    msgpack,
    reader::Reader,
    seq::{Form, Item},
    value::Value,
};

impl<'a> Message<'a> {
    /// Reads a frame in either form, told apart by the first byte of its payload (reference §4.1).
    ///
    /// A compact message borrows from `frame` and nothing is allocated. A MessagePack message is rewritten into
    /// `scratch` first, whose content is replaced, and borrows from there; offsets of errors still count from the start
    /// of `frame`.
    pub fn decode(frame: &'a [u8], scratch: &'a mut Vec<u8>) -> Result<(Header, Self), DecodeError> {
        let (header, payload) = Header::decode(frame)?;
        let offset = header.encoded_len();
        if payload.first().copied().is_some_and(msgpack::is_map) {
            scratch.clear();
            msgpack::rewrite(payload, offset, scratch)?;
            Ok((header, Self::decode_at(scratch, offset)?))
        } else {
            Ok((header, Self::decode_at(payload, offset)?))
        }
    }

    /// Reads a frame in the compact form; MessagePack is an error. Allocates nothing.
    pub fn decode_compact(frame: &'a [u8]) -> Result<(Header, Self), DecodeError> {
        let (header, payload) = Header::decode(frame)?;
        Ok((header, Self::decode_at(payload, header.encoded_len())?))
    }

    /// Reads the payload of a frame, in the compact form. Allocates nothing.
    pub fn decode_payload(payload: &'a [u8]) -> Result<Self, DecodeError> {
        Self::decode_at(payload, 0)
    }

    #[inline(always)]
    fn decode_at(payload: &'a [u8], offset: usize) -> Result<Self, DecodeError> {
        if payload.first().copied().is_some_and(msgpack::is_map) {
            return Err(DecodeError::new(offset, DecodeErrorKind::MessagePack));
        }
        Self::read_payload(&mut Reader::new(payload, offset))
    }

    /// Type byte and layout. Bytes after the message are left in the reader.
    #[inline(always)]
    pub(crate) fn read_payload(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let Ok(kind) = reader.u8("message type") else {
            return Err(DecodeError::new(reader.offset(), DecodeErrorKind::EmptyPayload));
        };
        Ok(match kind {
            code::PUBLISH => Message::Publish(publish(reader)?),
            code::SET => Message::Set(set(reader)?),
            code::PING => Message::Ping,
            code::PONG => Message::Pong,
            code::HELLO => Message::Hello(hello(reader)?),
            code::WELCOME => Message::Welcome(welcome(reader)?),
            code::ANNOUNCE => {
                Message::Announce(Announce { namespace: reader.str()?, signals: reader.list(Form::Full)? })
            }
            code::FEDERATION_SYNC => Message::FederationSync(federation_sync(reader)?),
            code::SUBSCRIBE => Message::Subscribe(subscribe(reader)?),
            code::UNSUBSCRIBE => Message::Unsubscribe { id: reader.u32("subscription id")? },
            code::GET => Message::Get { address: reader.str()? },
            code::SNAPSHOT => Message::Snapshot { params: reader.list(Form::Full)? },
            code::REPLAY => Message::Replay(replay(reader)?),
            code::BUNDLE => Message::Bundle(bundle(reader)?),
            code::SYNC => Message::Sync(sync(reader)?),
            code::ACK => Message::Ack(ack(reader)?),
            code::ERROR => Message::Error(error_reply(reader)?),
            code::QUERY => Message::Query { pattern: reader.str()? },
            code::RESULT => Message::Result { signals: reader.list(Form::Bare)? },
            _ => return Err(reader.error_here(DecodeErrorKind::UnknownType(kind))),
        })
    }
}

/// Reads a field if its flag is set.
macro_rules! optional {
    ($flags:expr, $mask:literal, $read:expr) => {
        if $flags & $mask != 0 { Some($read?) } else { None }
    };
}

fn hello<'a>(reader: &mut Reader<'a>) -> Result<Hello<'a>, DecodeError> {
    Ok(Hello {
        version: reader.u8("version")?,
        features: Features(reader.flags(Features::ALL.0)? & Features::ALL.0),
        name: reader.str()?,
        token: reader.str()?,
    })
}

fn welcome<'a>(reader: &mut Reader<'a>) -> Result<Welcome<'a>, DecodeError> {
    Ok(Welcome {
        version: reader.u8("version")?,
        features: Features(reader.flags(Features::SERVED.0)? & Features::SERVED.0),
        time_us: reader.u64("time")?,
        session: reader.str()?,
        name: reader.str()?,
        token: reader.str()?,
    })
}

fn federation_sync<'a>(reader: &mut Reader<'a>) -> Result<FederationSync<'a>, DecodeError> {
    let op = match reader.u8("federation operation")? {
        1 => FederationOp::Declare,
        2 => FederationOp::Request,
        3 => FederationOp::RevisionVector,
        4 => FederationOp::Complete,
        other => return Err(reader.error_here(DecodeErrorKind::UnknownFederationOp(other))),
    };
    let patterns = reader.list(Form::Full)?;
    let revisions = reader.list(Form::Full)?;
    let flags = reader.flags(0xC0)?;
    let since = optional!(flags, 0x80, reader.u64("since"));
    let origin = optional!(flags, 0x40, reader.str());
    Ok(FederationSync { op, patterns, revisions, since, origin })
}

fn subscribe<'a>(reader: &mut Reader<'a>) -> Result<Subscribe<'a>, DecodeError> {
    let id = reader.u32("subscription id")?;
    let pattern = reader.str()?;
    let types = TypeMask(reader.u8("type mask")?);
    let flags = reader.flags(0x0F)?;
    let max_rate = optional!(flags, 0x01, reader.u32("max rate"));
    let epsilon = optional!(flags, 0x02, reader.f64("epsilon"));
    let history = optional!(flags, 0x04, reader.u32("history"));
    let window = optional!(flags, 0x08, reader.u32("window"));
    Ok(Subscribe { id, pattern, types, max_rate, epsilon, history, window })
}

#[inline(always)]
fn publish<'a>(reader: &mut Reader<'a>) -> Result<Publish<'a>, DecodeError> {
    let flags = reader.u8("flags")?;
    let signal = SignalType::from_wire(flags >> 5, reader);
    let phase = match flags & 7 {
        0 => Phase::Start,
        1 => Phase::Move,
        2 => Phase::End,
        3 => Phase::Cancel,
        _ => {
            reader.not_canonical();
            Phase::Start
        }
    };
    let address = reader.str()?;
    let body = match reader.u8("body kind")? {
        0 => Body::None,
        1 => Body::Value(Value::read(reader, Form::Full)?),
        2 => Body::Samples(reader.list(Form::Full)?),
        _ => {
            reader.not_canonical();
            Body::None
        }
    };
    let timestamp_us = optional!(flags, 0x10, reader.u64("timestamp"));
    let id = optional!(flags, 0x08, reader.u32("gesture id"));
    // The rate has no flag: it is whatever follows, if there is enough of it.
    let rate = if reader.left() >= 4 { Some(reader.u32("rate")?) } else { None };
    Ok(Publish { address, signal, phase, body, timestamp_us, id, rate })
}

#[inline(always)]
fn set<'a>(reader: &mut Reader<'a>) -> Result<Set<'a>, DecodeError> {
    let flags = reader.u8("flags")?;
    let address = reader.str()?;
    let value = Value::read_data(reader, flags & 0x0F)?;
    let revision = optional!(flags, 0x80, reader.u64("revision"));
    let ttl = if flags & 0x10 != 0 { Some(Ttl::from_wire(reader.u32("ttl")?)) } else { None };
    Ok(Set { address, value, revision, lock: flags & 0x40 != 0, unlock: flags & 0x20 != 0, ttl })
}

impl Ttl {
    const fn from_wire(raw: u32) -> Self {
        match raw {
            0 => Self::Never,
            1..=0x7FFF_FFFF => Self::Sliding(raw),
            _ => Self::Absolute(raw & 0x7FFF_FFFF),
        }
    }
}

fn replay<'a>(reader: &mut Reader<'a>) -> Result<Replay<'a>, DecodeError> {
    let flags = reader.flags(0xE0)?;
    let pattern = reader.str()?;
    let from_us = optional!(flags, 0x80, reader.u64("from"));
    let to_us = optional!(flags, 0x40, reader.u64("to"));
    let limit = optional!(flags, 0x20, reader.u32("limit"));
    let types = TypeMask(reader.u8("type mask")?);
    Ok(Replay { pattern, from_us, to_us, limit, types })
}

fn bundle<'a>(reader: &mut Reader<'a>) -> Result<Bundle<'a>, DecodeError> {
    let flags = reader.flags(0x80)?;
    let count = reader.u16("bundle count")?;
    let timestamp_us = optional!(flags, 0x80, reader.u64("timestamp"));
    reader.enter()?;
    let messages = reader.list_of(count, Form::Full)?;
    reader.leave();
    Ok(Bundle { timestamp_us, messages })
}

fn sync(reader: &mut Reader<'_>) -> Result<Sync, DecodeError> {
    let flags = reader.flags(0x03)?;
    let t1_us = reader.u64("t1")?;
    let t2_us = optional!(flags, 0x01, reader.u64("t2"));
    let t3_us = optional!(flags, 0x02, reader.u64("t3"));
    Ok(Sync { t1_us, t2_us, t3_us })
}

fn ack<'a>(reader: &mut Reader<'a>) -> Result<Ack<'a>, DecodeError> {
    let flags = reader.flags(0x1F)?;
    let address = optional!(flags, 0x01, reader.str());
    let revision = optional!(flags, 0x02, reader.u64("revision"));
    let locked = optional!(flags, 0x04, reader.flags(0x01)).map(|byte| byte != 0);
    let holder = optional!(flags, 0x08, reader.str());
    let correlation_id = optional!(flags, 0x10, reader.u32("correlation id"));
    Ok(Ack { address, revision, locked, holder, correlation_id })
}

fn error_reply<'a>(reader: &mut Reader<'a>) -> Result<ErrorReply<'a>, DecodeError> {
    let code = reader.u16("error code")?;
    let message = reader.str()?;
    let flags = reader.flags(0x03)?;
    let address = optional!(flags, 0x01, reader.str());
    let correlation_id = optional!(flags, 0x02, reader.u32("correlation id"));
    Ok(ErrorReply { code, message, address, correlation_id })
}
