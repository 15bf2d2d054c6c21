//! Messages: which fields each one has, and where they go in the compact form.

use crate::{
    error::{DecodeError, DecodeErrorKind},
    message::{
        Ack, Body, ErrorReply, Features, FederationOp, Hello, Message, Phase, Publish, Replay, SignalType,
        Subscribe, Sync, Ttl, TypeMask, Welcome, code, encode,
    },
    msgpack::{
        Out,
        cursor::Cursor,
        fields::{Field, Fields},
        lists, refused, value,
    },
};

/// One message map, as a compact payload.
pub(super) fn rewrite(cursor: &mut Cursor<'_>, out: &mut Out<'_>) -> Result<(), DecodeError> {
    let at = *cursor;
    let fields = Fields::read(cursor, "message")?;
    let message = match fields.str(Field::Type)? {
        "PING" => Message::Ping,
        "PONG" => Message::Pong,
        "SET" => return set(&fields, out),
        "PUBLISH" => return publish(&fields, out),
        "BUNDLE" => return bundle(&fields, out),
        "ANNOUNCE" => {
            out.u8(code::ANNOUNCE);
            out.str(fields.str(Field::Namespace)?).map_err(refused(&at))?;
            return lists::signals(fields.optional(Field::Signals), out);
        }
        "SNAPSHOT" => {
            out.u8(code::SNAPSHOT);
            return lists::params(fields.required(Field::Params)?, out);
        }
        "RESULT" => {
            out.u8(code::RESULT);
            return lists::bare_signals(fields.required(Field::Signals)?, out);
        }
        "FEDERATION_SYNC" => return federation_sync(&fields, out),
        "HELLO" => Message::Hello(Hello {
            version: fields.int(Field::Version)?,
            features: features(&fields)?,
            name: fields.str(Field::Name)?,
            token: fields.str_opt(Field::Token)?.unwrap_or_default(),
        }),
        "WELCOME" => Message::Welcome(Welcome {
            version: fields.int(Field::Version)?,
            features: features(&fields)?,
            time_us: fields.int(Field::Time)?,
            session: fields.str(Field::Session)?,
            name: fields.str(Field::Name)?,
            token: fields.str_opt(Field::Token)?.unwrap_or_default(),
        }),
        "SUBSCRIBE" => subscribe(&fields)?,
        "UNSUBSCRIBE" => Message::Unsubscribe { id: fields.int(Field::Id)? },
        "GET" => Message::Get { address: fields.str(Field::Address)? },
        "QUERY" => Message::Query { pattern: fields.str(Field::Pattern)? },
        "REPLAY" => Message::Replay(Replay {
            pattern: fields.str(Field::Pattern)?,
            from_us: fields.int_opt(Field::From)?,
            to_us: fields.int_opt(Field::To)?,
            limit: fields.int_opt(Field::Limit)?,
            types: types(&fields)?,
        }),
        "SYNC" => Message::Sync(Sync {
            t1_us: fields.int(Field::T1)?,
            t2_us: fields.int_opt(Field::T2)?,
            t3_us: fields.int_opt(Field::T3)?,
        }),
        "ACK" => Message::Ack(Ack {
            address: fields.str_opt(Field::Address)?,
            revision: fields.int_opt(Field::Revision)?,
            locked: fields.bool_opt(Field::Locked)?,
            holder: fields.str_opt(Field::Holder)?,
            correlation_id: fields.int_opt(Field::CorrelationId)?,
        }),
        "ERROR" => Message::Error(ErrorReply {
            code: fields.int(Field::Code)?,
            message: fields.str(Field::Message)?,
            address: fields.str_opt(Field::Address)?,
            correlation_id: fields.int_opt(Field::CorrelationId)?,
        }),
        _ => return Err(fields.required(Field::Type)?.error(DecodeErrorKind::UnknownName("type"))),
    };
    message.write_payload(out).map_err(refused(&at))
}

/// Feature names; those without a bit vanish.
fn features(fields: &Fields<'_>) -> Result<Features, DecodeError> {
    let mut features = Features::default();
    lists::each(fields.optional(Field::Features), "features", |item| {
        let bit = match item.str("features")? {
            "param" => Features::PARAM,
            "event" => Features::EVENT,
            "stream" => Features::STREAM,
            "gesture" => Features::GESTURE,
            "timeline" => Features::TIMELINE,
            "federation" => Features::FEDERATION,
            _ => Features::default(),
        };
        features = features.with(bit);
        Ok(())
    })?;
    Ok(features)
}

/// No types at all means all of them, which stock senders write as FF.
fn types(fields: &Fields<'_>) -> Result<TypeMask, DecodeError> {
    let mut mask = TypeMask::default();
    lists::each(fields.optional(Field::Types), "types", |item| {
        mask.0 |= 1 << signal_type(item, "types")? as u8;
        Ok(())
    })?;
    Ok(if mask.0 == 0 { TypeMask::ANY } else { mask })
}

pub(super) fn signal_type(cursor: &mut Cursor<'_>, field: &'static str) -> Result<SignalType, DecodeError> {
    let at = *cursor;
    Ok(match cursor.str(field)? {
        "param" => SignalType::Param,
        "event" => SignalType::Event,
        "stream" => SignalType::Stream,
        "gesture" => SignalType::Gesture,
        "timeline" => SignalType::Timeline,
        _ => return Err(at.error(DecodeErrorKind::UnknownName(field))),
    })
}

fn subscribe<'a>(fields: &Fields<'a>) -> Result<Message<'a>, DecodeError> {
    let options =
        fields.optional(Field::Options).map(|mut map| Fields::read(&mut map, "options")).transpose()?;
    let option = |field| options.as_ref().map_or(Ok(None), |options| options.int_opt(field));
    Ok(Message::Subscribe(Subscribe {
        id: fields.int(Field::Id)?,
        pattern: fields.str(Field::Pattern)?,
        types: types(fields)?,
        max_rate: option(Field::MaxRate)?,
        epsilon: options.as_ref().map_or(Ok(None), |options| options.float_opt(Field::Epsilon))?,
        history: option(Field::History)?,
        window: option(Field::Window)?,
    }))
}

fn publish(fields: &Fields<'_>, out: &mut Out<'_>) -> Result<(), DecodeError> {
    let signal =
        fields.optional(Field::Signal).map(|mut name| signal_type(&mut name, "signal")).transpose()?;
    let publish = Publish {
        address: fields.str(Field::Address)?,
        signal: signal.unwrap_or(SignalType::Event),
        phase: fields.optional(Field::Phase).map_or(Ok(Phase::Start), phase)?,
        body: Body::None,
        timestamp_us: fields.int_opt(Field::Timestamp)?,
        id: fields.int_opt(Field::Id)?,
        rate: fields.int_opt(Field::Rate)?,
    };
    out.u8(code::PUBLISH);
    out.u8(encode::publish_flags(&publish));
    out.str(publish.address).map_err(refused(&fields.at()))?;
    // One slot for both: stock encoders write `value` if there is one, else `payload`.
    if let Some(mut body) = fields.optional(Field::Value).or_else(|| fields.optional(Field::Payload)) {
        out.u8(1);
        value::rewrite(&mut body, out)?;
    } else if let Some(samples) = fields.optional(Field::Samples) {
        out.u8(2);
        lists::samples(samples, out)?;
    } else {
        out.u8(0);
    }
    encode::write_publish_tail(&publish, out);
    Ok(())
}

fn phase(mut cursor: Cursor<'_>) -> Result<Phase, DecodeError> {
    let at = cursor;
    Ok(match cursor.str("phase")? {
        "start" => Phase::Start,
        "move" => Phase::Move,
        "end" => Phase::End,
        "cancel" => Phase::Cancel,
        _ => return Err(at.error(DecodeErrorKind::UnknownName("phase"))),
    })
}

fn set(fields: &Fields<'_>, out: &mut Out<'_>) -> Result<(), DecodeError> {
    let address = fields.str(Field::Address)?;
    let mut cursor = fields.required(Field::Value)?;
    let tag = value::tag(&cursor)?;
    let revision: Option<u64> = fields.int_opt(Field::Revision)?;
    let ttl = fields.optional(Field::Ttl).map(ttl).transpose()?;
    let lock = u8::from(fields.bool_opt(Field::Lock)?.unwrap_or(false)) << 6;
    let unlock = u8::from(fields.bool_opt(Field::Unlock)?.unwrap_or(false)) << 5;
    let optional = u8::from(revision.is_some()) << 7 | u8::from(ttl.is_some()) << 4;
    out.u8(code::SET);
    out.u8(tag | lock | unlock | optional);
    out.str(address).map_err(refused(&fields.at()))?;
    value::rewrite_data(&mut cursor, tag, out)?;
    if let Some(revision) = revision {
        out.u64(revision);
    }
    if let Some(ttl) = ttl {
        out.u32(ttl.to_wire());
    }
    Ok(())
}

/// `"Never"`, `{"Sliding": n}` or `{"Absolute": n}`.
fn ttl(mut cursor: Cursor<'_>) -> Result<Ttl, DecodeError> {
    let at = cursor;
    if let Ok(name) = { cursor }.str("ttl") {
        return if name == "Never" {
            Ok(Ttl::Never)
        } else {
            Err(at.error(DecodeErrorKind::UnknownName("ttl")))
        };
    }
    if cursor.map("ttl")? != 1 {
        return Err(at.error(DecodeErrorKind::WrongType("ttl")));
    }
    match cursor.str("ttl")? {
        "Sliding" => cursor.int("ttl").map(Ttl::Sliding),
        "Absolute" => cursor.int("ttl").map(Ttl::Absolute),
        _ => Err(at.error(DecodeErrorKind::UnknownName("ttl"))),
    }
}

fn federation_sync(fields: &Fields<'_>, out: &mut Out<'_>) -> Result<(), DecodeError> {
    let op = match fields.str(Field::Op)? {
        "DeclareNamespaces" => FederationOp::Declare,
        "RequestSync" => FederationOp::Request,
        "RevisionVector" => FederationOp::RevisionVector,
        "SyncComplete" => FederationOp::Complete,
        _ => return Err(fields.required(Field::Op)?.error(DecodeErrorKind::UnknownName("op"))),
    };
    let since: Option<u64> = fields.int_opt(Field::Since)?;
    let origin = fields.str_opt(Field::Origin)?;
    out.u8(code::FEDERATION_SYNC);
    out.u8(op as u8);
    lists::patterns(fields.optional(Field::Patterns), out)?;
    lists::revisions(fields.optional(Field::Revisions), out)?;
    out.u8(u8::from(since.is_some()) << 7 | u8::from(origin.is_some()) << 6);
    if let Some(since) = since {
        out.u64(since);
    }
    origin.map_or(Ok(()), |origin| out.str(origin).map_err(refused(&fields.at())))
}

fn bundle(fields: &Fields<'_>, out: &mut Out<'_>) -> Result<(), DecodeError> {
    let timestamp_us: Option<u64> = fields.int_opt(Field::Timestamp)?;
    let mut members = fields.required(Field::Messages)?;
    let at = members;
    let count = members.array("messages")?;
    out.u8(code::BUNDLE);
    out.u8(u8::from(timestamp_us.is_some()) << 7);
    out.count(count as usize).map_err(refused(&at))?;
    if let Some(timestamp_us) = timestamp_us {
        out.u64(timestamp_us);
    }
    out.enter().map_err(refused(&at))?;
    for _ in 0..count {
        let len_at = out.reserve_u16();
        rewrite(&mut members, out)?;
        out.patch_len(len_at).and_then(|()| out.check()).map_err(refused(&at))?;
    }
    out.leave();
    Ok(())
}
