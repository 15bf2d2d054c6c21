//! Messages in the legacy form, written the way stock senders write them, fields in any order.

use clasp_wire::{
    Message, Seq, Value,
    message::{Body, Features, Meta, Phase, Signal, SignalType, Ttl, TypeMask},
};
use rmp::encode as mp;

use crate::entropy::Entropy;

/// One field, already encoded.
type Field = Vec<u8>;

fn field(key: &str, write: impl FnOnce(&mut Vec<u8>)) -> Field {
    let mut out = Vec::new();
    mp::write_str(&mut out, key).unwrap();
    write(&mut out);
    out
}

fn text(key: &str, text: &str) -> Field {
    field(key, |out| mp::write_str(out, text).unwrap())
}

fn int(key: &str, number: impl Into<u64>) -> Field {
    field(key, |out| {
        mp::write_uint(out, number.into()).unwrap();
    })
}

fn flag(key: &str, flag: bool) -> Field {
    field(key, |out| mp::write_bool(out, flag).unwrap())
}

/// A map of `fields` in some order, after nil for some of what may be missing (the last of two equal keys wins), and
/// with a key nobody knows.
fn map(out: &mut Vec<u8>, mut fields: Vec<Field>, optional: &[&str], e: &mut Entropy) {
    let turn = usize::from(e.byte()) % fields.len();
    fields.rotate_left(turn);
    if e.bool() {
        fields.push(field("x-unknown", |out| value(out, &e.value(3))));
    }
    let absent: Vec<&&str> = optional.iter().filter(|_| e.bool()).collect();
    mp::write_map_len(out, u32::try_from(absent.len() + fields.len()).unwrap()).unwrap();
    absent.iter().for_each(|key| out.extend(field(key, |out| mp::write_nil(out).unwrap())));
    fields.iter().for_each(|field| out.extend(field));
}

/// Byte strings become arrays of numbers, as the stock serializer has it.
fn value(out: &mut Vec<u8>, value: &Value<'_>) {
    match *value {
        Value::Null => mp::write_nil(out).unwrap(),
        Value::Bool(b) => mp::write_bool(out, b).unwrap(),
        Value::Int(n) => {
            mp::write_sint(out, n).unwrap();
        }
        Value::Float(x) => mp::write_f64(out, x).unwrap(),
        Value::Str(s) => mp::write_str(out, s).unwrap(),
        Value::Bytes(bytes) => {
            mp::write_array_len(out, u32::try_from(bytes.len()).unwrap()).unwrap();
            for byte in bytes {
                mp::write_uint(out, (*byte).into()).unwrap();
            }
        }
        Value::Array(items) => {
            mp::write_array_len(out, u32::try_from(items.len()).unwrap()).unwrap();
            items.iter().for_each(|item| self::value(out, &item));
        }
        Value::Map(entries) => {
            mp::write_map_len(out, u32::try_from(entries.len()).unwrap()).unwrap();
            for entry in entries {
                mp::write_str(out, entry.key).unwrap();
                self::value(out, &entry.value);
            }
        }
    }
}

fn signal_name(signal: SignalType) -> &'static str {
    ["param", "event", "stream", "gesture", "timeline"][signal as usize]
}

/// Writes `message`, if it is one of the kinds tried here.
pub(crate) fn write(out: &mut Vec<u8>, message: &Message<'_>, e: &mut Entropy) -> bool {
    let mut fields = vec![text("type", message.kind())];
    let mut optional: Vec<&str> = vec![];
    let mut known = true;
    match message {
        Message::Ping | Message::Pong => {}
        Message::Set(set) => {
            fields.extend([text("address", set.address), field("value", |out| value(out, &set.value))]);
            fields.extend([flag("lock", set.lock), flag("unlock", set.unlock)]);
            fields.extend(set.revision.map(|n| int("revision", n)));
            fields.extend(set.ttl.map(|ttl| field("ttl", |out| write_ttl(out, ttl))));
            optional.extend(["revision", "ttl"]);
        }
        Message::Publish(publish) => {
            let phase = match publish.phase {
                Phase::Start => "start",
                Phase::Move => "move",
                Phase::End => "end",
                Phase::Cancel => "cancel",
            };
            fields.extend([text("address", publish.address), text("signal", signal_name(publish.signal))]);
            fields.push(text("phase", phase));
            fields.extend(publish.timestamp_us.map(|n| int("timestamp", n)));
            fields.extend(publish.id.map(|n| int("id", n)));
            fields.extend(publish.rate.map(|n| int("rate", n)));
            let key = if e.bool() { "value" } else { "payload" };
            match publish.body {
                Body::None => {}
                // A value of nil is no value, so it cannot be said this way.
                Body::Value(Value::Null) => known = false,
                Body::Value(body) => fields.push(field(key, |out| value(out, &body))),
                Body::Samples(samples) => fields.push(field("samples", |out| {
                    mp::write_array_len(out, u32::try_from(samples.len()).unwrap()).unwrap();
                    samples.iter().for_each(|x| mp::write_f64(out, x).unwrap());
                })),
            }
            optional.extend(["timestamp", "id", "rate", "timeline"]);
        }
        Message::Bundle(bundle) => {
            fields.extend(bundle.timestamp_us.map(|n| int("timestamp", n)));
            fields.push(field("messages", |out| {
                mp::write_array_len(out, u32::try_from(bundle.messages.len()).unwrap()).unwrap();
                known = bundle.messages.iter().all(|member| write(out, &member, e));
            }));
            optional.push("timestamp");
        }
        Message::Subscribe(subscribe) => {
            fields.extend([int("id", subscribe.id), text("pattern", subscribe.pattern)]);
            known = write_types(&mut fields, subscribe.types);
            let mut options = vec![int("maxRate", 7_u8)];
            options.extend(subscribe.max_rate.map(|n| int("max_rate", n)));
            options.extend(subscribe.epsilon.map(|x| field("epsilon", |out| mp::write_f64(out, x).unwrap())));
            options.extend(subscribe.history.map(|n| int("history", n)));
            options.extend(subscribe.window.map(|n| int("window", n)));
            fields.push(field("options", |out| map(out, options, &["max_rate", "epsilon", "window"], e)));
        }
        Message::Replay(replay) => {
            fields.push(text("pattern", replay.pattern));
            known = write_types(&mut fields, replay.types);
            fields.extend(replay.from_us.map(|n| int("from", n)));
            fields.extend(replay.to_us.map(|n| int("to", n)));
            fields.extend(replay.limit.map(|n| int("limit", n)));
            optional.extend(["from", "to", "limit"]);
        }
        Message::Query { pattern } => fields.push(text("pattern", pattern)),
        Message::Get { address } => fields.push(text("address", address)),
        Message::Unsubscribe { id } => fields.push(int("id", *id)),
        Message::Sync(sync) => {
            fields.push(int("t1", sync.t1_us));
            fields.extend(sync.t2_us.map(|n| int("t2", n)));
            fields.extend(sync.t3_us.map(|n| int("t3", n)));
            optional.extend(["t2", "t3"]);
        }
        Message::Ack(ack) => {
            fields.extend(ack.address.map(|a| text("address", a)));
            fields.extend(ack.revision.map(|n| int("revision", n)));
            fields.extend(ack.locked.map(|b| flag("locked", b)));
            fields.extend(ack.holder.map(|h| text("holder", h)));
            fields.extend(ack.correlation_id.map(|n| int("correlation_id", n)));
            optional.extend(["address", "revision", "locked", "holder", "correlation_id"]);
        }
        Message::Hello(hello) => {
            fields.extend([
                int("version", hello.version),
                text("name", hello.name),
                text("token", hello.token),
            ]);
            fields.push(field("features", |out| write_features(out, hello.features)));
        }
        Message::Welcome(welcome) => {
            fields.extend([int("version", welcome.version), int("time", welcome.time_us)]);
            fields.extend([text("session", welcome.session), text("name", welcome.name)]);
            fields.push(text("token", welcome.token));
            fields.push(field("features", |out| write_features(out, welcome.features)));
        }
        Message::Error(error) => {
            fields.extend([int("code", error.code), text("message", error.message)]);
            fields.extend(error.address.map(|a| text("address", a)));
            fields.extend(error.correlation_id.map(|n| int("correlation_id", n)));
            optional.extend(["address", "correlation_id"]);
        }
        Message::Announce(announce) => {
            fields.push(text("namespace", announce.namespace));
            fields.push(field("signals", |out| signals(out, announce.signals, e)));
        }
        Message::Result { signals: list } => fields.push(field("signals", |out| signals(out, *list, e))),
        Message::FederationSync(sync) => {
            let op =
                ["DeclareNamespaces", "RequestSync", "RevisionVector", "SyncComplete"][sync.op as usize - 1];
            fields.push(text("op", op));
            fields.push(field("patterns", |out| {
                mp::write_array_len(out, u32::try_from(sync.patterns.len()).unwrap()).unwrap();
                sync.patterns.iter().for_each(|pattern| mp::write_str(out, pattern).unwrap());
            }));
            fields.push(field("revisions", |out| {
                mp::write_map_len(out, u32::try_from(sync.revisions.len()).unwrap()).unwrap();
                sync.revisions.iter().for_each(|revision| out.extend(int(revision.key, revision.revision)));
            }));
            fields.extend(sync.since.map(|n| int("since_revision", n)));
            fields.extend(sync.origin.map(|o| text("origin", o)));
            optional.extend(["since_revision", "origin"]);
        }
        Message::Snapshot { params } => fields.push(field("params", |out| {
            mp::write_array_len(out, u32::try_from(params.len()).unwrap()).unwrap();
            for param in params {
                let mut fields = vec![text("address", param.address), int("revision", param.revision)];
                fields.push(field("value", |out| value(out, &param.value)));
                fields.extend(param.writer.map(|w| text("writer", w)));
                fields.extend(param.timestamp_us.map(|n| int("timestamp", n)));
                map(out, fields, &["writer", "timestamp"], e);
            }
        })),
        _ => known = false,
    }
    map(out, fields, &optional, e);
    known
}

/// Only masks that names can say.
fn write_types(fields: &mut Vec<Field>, types: TypeMask) -> bool {
    if types != TypeMask::ANY {
        let named: Vec<usize> = (0..5).filter(|bit| types.0 >> bit & 1 == 1).collect();
        let names = ["param", "event", "stream", "gesture", "timeline"];
        fields.push(field("types", |out| {
            mp::write_array_len(out, u32::try_from(named.len()).unwrap()).unwrap();
            named.iter().for_each(|bit| mp::write_str(out, names[*bit]).unwrap());
        }));
    }
    types == TypeMask::ANY || (types.0 != 0 && types.0 <= TypeMask::ALL.0)
}

fn write_features(out: &mut Vec<u8>, features: Features) {
    let names = ["federation", "timeline", "gesture", "stream", "event", "param"];
    let named: Vec<&str> =
        (0..6).filter(|bit| features.0 >> (bit + 2) & 1 == 1).map(|bit| names[bit]).collect();
    mp::write_array_len(out, u32::try_from(named.len() + 1).unwrap()).unwrap();
    mp::write_str(out, "p2p").unwrap();
    named.iter().for_each(|name| mp::write_str(out, name).unwrap());
}

fn signals<'a>(out: &mut Vec<u8>, signals: Seq<'a, Signal<'a>>, e: &mut Entropy) {
    mp::write_array_len(out, u32::try_from(signals.len()).unwrap()).unwrap();
    for signal in signals {
        let mut fields = vec![text("address", signal.address), text("type", signal_name(signal.signal))];
        fields.extend(signal.datatype.map(|d| text("datatype", d)));
        fields.extend(signal.access.map(|a| text("access", a)));
        fields.extend(signal.meta.map(|meta| field("meta", |out| write_meta(out, &meta, e))));
        map(out, fields, &["datatype", "access", "meta"], e);
    }
}

fn write_meta(out: &mut Vec<u8>, meta: &Meta<'_>, e: &mut Entropy) {
    // No map is empty: an unknown key is always there.
    let mut fields = vec![flag("x", true)];
    fields.extend(meta.unit.map(|u| text("unit", u)));
    fields.extend(meta.description.map(|d| text("description", d)));
    fields.extend(meta.default.map(|default| field("default", |out| value(out, &default))));
    fields.extend(meta.range.map(|(min, max)| {
        field("range", |out| {
            mp::write_array_len(out, 2).unwrap();
            mp::write_f64(out, min).unwrap();
            mp::write_f64(out, max).unwrap();
        })
    }));
    map(out, fields, &["unit", "description", "range"], e);
}

fn write_ttl(out: &mut Vec<u8>, ttl: Ttl) {
    let (name, seconds) = match ttl {
        Ttl::Never => return mp::write_str(out, "Never").unwrap(),
        Ttl::Sliding(seconds) => ("Sliding", seconds),
        Ttl::Absolute(seconds) => ("Absolute", seconds),
    };
    mp::write_map_len(out, 1).unwrap();
    mp::write_str(out, name).unwrap();
    mp::write_uint(out, seconds.into()).unwrap();
}
