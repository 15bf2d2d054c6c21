//! Messages as the vectors describe them, so that both can be compared as JSON.

use clasp_wire::{
    Message, Value,
    message::{Body, Features, Meta, Phase, Publish, Set, Signal, SignalType, Ttl, TypeMask},
};
use serde_json::{Map, Value as Json, json};

/// A decoded message in the vectors' notation, normalised.
pub(crate) fn describe(message: &Message<'_>) -> Json {
    normalise(&raw(message))
}

fn raw(message: &Message<'_>) -> Json {
    let mut fields = match message {
        Message::Hello(m) => {
            json!({"version": m.version, "features": features(m.features), "name": m.name, "token": text(m.token)})
        }
        Message::Welcome(m) => json!({
            "version": m.version, "features": features(m.features), "time": m.time_us.to_string(),
            "session": m.session, "name": m.name, "token": text(m.token),
        }),
        Message::Announce(m) => {
            json!({"namespace": m.namespace, "signals": list(m.signals.iter().map(signal))})
        }
        Message::FederationSync(m) => json!({
            "op": m.op as u8, "patterns": list(m.patterns.iter().map(Json::from)),
            "revisions": m.revisions.iter().map(|r| (r.key.into(), r.revision.to_string().into())).collect::<Map<_, _>>(),
            "since_revision": m.since.map(|n| n.to_string()), "origin": m.origin,
        }),
        Message::Subscribe(m) => json!({
            "id": m.id, "pattern": m.pattern, "types": types(m.types),
            "options": {"maxRate": m.max_rate, "epsilon": m.epsilon, "history": m.history, "window": m.window},
        }),
        Message::Unsubscribe { id } => json!({"id": id}),
        Message::Publish(m) => publish(m),
        Message::Set(m) => set(m),
        Message::Get { address } => json!({"address": address}),
        Message::Snapshot { params } => json!({"params": list(params.iter().map(|p| json!({
            "address": p.address, "value": value(p.value), "revision": p.revision.to_string(), "writer": p.writer,
            "timestamp": p.timestamp_us.map(|n| n.to_string()),
        })))}),
        Message::Replay(m) => json!({
            "pattern": m.pattern, "from": m.from_us.map(|n| n.to_string()), "to": m.to_us.map(|n| n.to_string()),
            "limit": m.limit, "types": types(m.types),
        }),
        Message::Bundle(m) => json!({
            "timestamp": m.timestamp_us.map(|n| n.to_string()), "messages": list(m.messages.iter().map(|m| raw(&m))),
        }),
        Message::Sync(m) => json!({
            "t1": m.t1_us.to_string(), "t2": m.t2_us.map(|n| n.to_string()), "t3": m.t3_us.map(|n| n.to_string()),
        }),
        Message::Ping | Message::Pong => json!({}),
        Message::Ack(m) => json!({
            "address": m.address, "revision": m.revision.map(|n| n.to_string()), "locked": m.locked,
            "holder": m.holder, "correlation_id": m.correlation_id,
        }),
        Message::Error(m) => json!({
            "code": m.code, "message": m.message, "address": m.address, "correlation_id": m.correlation_id,
        }),
        Message::Query { pattern } => json!({"pattern": pattern}),
        Message::Result { signals } => json!({"signals": list(signals.iter().map(signal))}),
        other => panic!("no notation for {}", other.kind()),
    };
    fields["type"] = message.kind().into();
    fields
}

fn publish(m: &Publish<'_>) -> Json {
    let phase = match m.phase {
        Phase::Start => "start",
        Phase::Move => "move",
        Phase::End => "end",
        Phase::Cancel => "cancel",
    };
    let (body, samples) = match m.body {
        Body::None => (None, None),
        Body::Value(v) => (Some(value(v)), None),
        Body::Samples(samples) => (None, Some(list(samples.iter().map(Json::from)))),
    };
    json!({
        "address": m.address, "signal": signal_type(m.signal), "phase": phase, "value": body, "samples": samples,
        "timestamp": m.timestamp_us.map(|n| n.to_string()), "id": m.id, "rate": m.rate,
    })
}

fn set(m: &Set<'_>) -> Json {
    let ttl = m.ttl.map(|ttl| match ttl {
        Ttl::Never => json!("never"),
        Ttl::Sliding(seconds) => json!({"sliding": seconds}),
        Ttl::Absolute(seconds) => json!({"absolute": seconds}),
    });
    json!({
        "address": m.address, "value": value(m.value), "revision": m.revision.map(|n| n.to_string()),
        "lock": m.lock, "unlock": m.unlock, "ttl": ttl,
    })
}

fn signal(signal: Signal<'_>) -> Json {
    json!({
        "address": signal.address, "type": signal_type(signal.signal), "datatype": signal.datatype,
        "access": signal.access, "meta": signal.meta.map(meta),
    })
}

fn meta(meta: Meta<'_>) -> Json {
    json!({
        "unit": meta.unit, "range": meta.range.map(|(min, max)| [min, max]), "default": meta.default.map(value),
        "description": meta.description,
    })
}

fn value(value: Value<'_>) -> Json {
    match value {
        Value::Null => json!({"null": true}),
        Value::Bool(b) => json!({"bool": b}),
        Value::Int(n) => json!({"int": n.to_string()}),
        Value::Float(x) => json!({"bits": format!("{:016x}", x.to_bits())}),
        Value::Str(s) => json!({"string": s}),
        Value::Bytes(b) => json!({"bytes": b.iter().map(|b| format!("{b:02x}")).collect::<String>()}),
        Value::Array(items) => json!({"array": list(items.iter().map(self::value))}),
        Value::Map(entries) => {
            json!({"map": entries.iter().map(|e| (e.key.into(), self::value(e.value))).collect::<Map<_, _>>()})
        }
    }
}

fn list(items: impl Iterator<Item = Json>) -> Json {
    Json::Array(items.collect())
}

fn text(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn signal_type(signal: SignalType) -> &'static str {
    match signal {
        SignalType::Param => "param",
        SignalType::Event => "event",
        SignalType::Stream => "stream",
        SignalType::Gesture => "gesture",
        SignalType::Timeline => "timeline",
    }
}

fn features(features: Features) -> Json {
    let names = [
        (Features::PARAM, "param"),
        (Features::EVENT, "event"),
        (Features::STREAM, "stream"),
        (Features::GESTURE, "gesture"),
        (Features::TIMELINE, "timeline"),
        (Features::FEDERATION, "federation"),
    ];
    list(names.iter().filter(|(bit, _)| features.contains(*bit)).map(|(_, name)| Json::from(*name)))
}

/// The names the mask lists; none if it means "all" without listing them.
fn types(mask: TypeMask) -> Json {
    let all =
        [SignalType::Param, SignalType::Event, SignalType::Stream, SignalType::Gesture, SignalType::Timeline];
    let unlisted = all.iter().all(|signal| mask.accepts(*signal)) && mask != TypeMask::ALL;
    list(all.iter().filter(|s| !unlisted && mask.accepts(**s)).map(|s| Json::from(signal_type(*s))))
}

/// Removes differences of notation: absent and null, order of names, `payload` and `value`, what never travels.
pub(crate) fn normalise(json: &Json) -> Json {
    match json {
        Json::Object(fields) => {
            let mut out = Map::new();
            for (key, field) in fields {
                let field = match (key.as_str(), field) {
                    (_, Json::Null) | ("timeline" | "capabilities", _) => continue,
                    // Beside its bits the readable form of a float is only for people.
                    ("float", _) if fields.contains_key("bits") => continue,
                    ("options", Json::Object(options)) if options.values().all(Json::is_null) => continue,
                    ("features", Json::Array(names)) => {
                        let mut names: Vec<Json> =
                            names.iter().filter(|name| *name != "p2p").cloned().collect();
                        names.sort_by_key(Json::to_string);
                        Json::Array(names)
                    }
                    ("address", Json::Object(repeat)) => repeated(&repeat["string_repeat"]),
                    (_, field) => normalise(field),
                };
                out.insert(if key == "payload" { "value".into() } else { key.clone() }, field);
            }
            if out.get("type").is_some_and(|kind| kind == "PUBLISH") {
                out.entry("phase").or_insert("start".into());
            }
            Json::Object(out)
        }
        Json::Array(items) => Json::Array(items.iter().map(normalise).collect()),
        Json::Number(number) => json!(number.as_f64()),
        other => other.clone(),
    }
}

fn repeated(spec: &Json) -> Json {
    let (first, bytes) = (spec["first"].as_str().unwrap(), spec["bytes"].as_u64().unwrap());
    let rest = spec["char"].as_str().unwrap().repeat(usize::try_from(bytes).unwrap() - first.len());
    format!("{first}{rest}").into()
}
