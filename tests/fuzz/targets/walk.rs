//! Every list of an accepted message, item by item: what the items say is what the copied bytes say.
#![no_main]

use clasp_fuzz::payload;
use clasp_wire::{
    Item, Message, Seq, Value,
    message::{Announce, Body, Bundle, FederationSync, Param, Publish, Set},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(message) = Message::decode_payload(data) {
        walk(&message);
    }
});

fn walk(message: &Message<'_>) {
    let wanted = payload(message);
    // The same message with the caller's items in place of encoded ones: nothing is copied, everything is written.
    match *message {
        Message::Set(set) => {
            check(set.value);
            with_items(set.value, |value| {
                assert_eq!(payload(&Message::Set(Set { value, ..set })), wanted);
            });
        }
        Message::Publish(publish) => match publish.body {
            Body::Value(value) => {
                check(value);
                with_items(value, |value| {
                    let body = Body::Value(value);
                    assert_eq!(payload(&Message::Publish(Publish { body, ..publish })), wanted);
                });
            }
            Body::Samples(samples) => {
                let items = collect(samples);
                let body = Body::Samples(Seq::items(&items));
                assert_eq!(payload(&Message::Publish(Publish { body, ..publish })), wanted);
            }
            Body::None => {}
        },
        Message::Bundle(bundle) => {
            let items = collect(bundle.messages);
            items.iter().for_each(walk);
            let messages = Seq::items(&items);
            assert_eq!(payload(&Message::Bundle(Bundle { messages, ..bundle })), wanted);
        }
        Message::Snapshot { params } => {
            let items: Vec<Param<'_>> = collect(params);
            items.iter().for_each(|param| check(param.value));
            assert_eq!(payload(&Message::Snapshot { params: Seq::items(&items) }), wanted);
        }
        Message::Announce(announce) => {
            let items = collect(announce.signals);
            let signals = Seq::items(&items);
            assert_eq!(payload(&Message::Announce(Announce { signals, ..announce })), wanted);
        }
        Message::Result { signals } => {
            let items = collect(signals);
            assert_eq!(payload(&Message::Result { signals: Seq::items(&items) }), wanted);
        }
        Message::FederationSync(sync) => {
            let (patterns, revisions) = (collect(sync.patterns), collect(sync.revisions));
            let (patterns, revisions) = (Seq::items(&patterns), Seq::items(&revisions));
            assert_eq!(
                payload(&Message::FederationSync(FederationSync { patterns, revisions, ..sync })),
                wanted
            );
        }
        _ => {}
    }
}

fn collect<'a, T: Item<'a>>(seq: Seq<'a, T>) -> Vec<T> {
    let items: Vec<T> = seq.iter().collect();
    assert_eq!(items.len(), seq.len(), "a validated list ended early");
    items
}

/// `value` with its outermost list as items.
fn with_items(value: Value<'_>, then: impl FnOnce(Value<'_>)) {
    match value {
        Value::Array(items) => then(Value::Array(Seq::items(&collect(items)))),
        Value::Map(entries) => then(Value::Map(Seq::items(&collect(entries)))),
        other => then(other),
    }
}

/// A value alone, against a writer that shares nothing with the crate's.
fn check(value: Value<'_>) {
    let set = Message::Set(Set { address: "", value, revision: None, lock: false, unlock: false, ttl: None });
    let Some(found) = payload(&set) else { return };
    let mut wanted = Vec::new();
    write(value, &mut wanted);
    // 21, flags with the tag, empty address, data.
    assert_eq!((found[1], &found[4..]), (wanted[0], &wanted[1..]));
}

fn write(value: Value<'_>, out: &mut Vec<u8>) {
    let len = |len: usize| u16::try_from(len).expect("came from a u16").to_be_bytes();
    match value {
        Value::Null => out.push(0),
        Value::Bool(value) => out.extend([1, u8::from(value)]),
        Value::Int(value) => {
            out.push(5);
            out.extend(value.to_be_bytes());
        }
        Value::Float(value) => {
            out.push(7);
            out.extend(value.to_bits().to_be_bytes());
        }
        Value::Str(text) => {
            out.push(8);
            out.extend(len(text.len()));
            out.extend(text.as_bytes());
        }
        Value::Bytes(bytes) => {
            out.push(9);
            out.extend(len(bytes.len()));
            out.extend(bytes);
        }
        Value::Array(items) => {
            out.push(10);
            out.extend(len(items.len()));
            collect(items).into_iter().for_each(|item| write(item, out));
        }
        Value::Map(entries) => {
            out.push(11);
            out.extend(len(entries.len()));
            for entry in collect(entries) {
                out.extend(len(entry.key.len()));
                out.extend(entry.key.as_bytes());
                write(entry.value, out);
            }
        }
    }
}
