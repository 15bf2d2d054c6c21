//! What holds for every message and for every sequence of bytes.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod entropy;
mod msgpack;

use clasp_wire::{
    Address, EncodeError, Entry, Header, Message, Pattern, QoS, Seq, Value,
    limits::{MAX_DEPTH, MAX_PAYLOAD_BYTES},
    message::{Body, Bundle, Set},
};
use entropy::{Entropy, leak};
use proptest::{collection::vec, prelude::*};

fn frame(payload: &[u8]) -> Vec<u8> {
    let payload = &payload[..payload.len().min(MAX_PAYLOAD_BYTES)];
    let payload_len = u16::try_from(payload.len()).unwrap();
    let mut frame = Vec::new();
    Header { payload_len, ..Header::default() }.encode_into(&mut frame);
    frame.extend_from_slice(payload);
    frame
}

/// Encodes into a fresh vector and into one that is used again: two ways, one result.
fn try_encode(message: &Message<'_>) -> Result<Vec<u8>, EncodeError> {
    let mut fresh = Vec::new();
    let result = message.encode_into(&mut fresh);
    let mut used = Vec::with_capacity(1024);
    used.extend_from_slice(b"before");
    assert_eq!(message.encode_into(&mut used).is_ok(), result.is_ok());
    assert_eq!(used, [b"before".as_slice(), &fresh].concat());
    result.map(|()| fresh)
}

fn encode(message: &Message<'_>) -> Vec<u8> {
    try_encode(message).unwrap()
}

/// Looks at everything there is in a message.
fn walk(message: &Message<'_>) {
    match message {
        Message::Set(set) => walk_value(set.value),
        Message::Publish(publish) => match publish.body {
            Body::Value(value) => walk_value(value),
            Body::Samples(samples) => assert_eq!(samples.iter().count(), samples.len()),
            Body::None => {}
        },
        Message::Bundle(bundle) => {
            assert_eq!(bundle.messages.iter().count(), bundle.messages.len());
            bundle.messages.iter().for_each(|member| walk(&member));
        }
        Message::Snapshot { params } => {
            assert_eq!(params.iter().count(), params.len());
            params.iter().for_each(|param| walk_value(param.value));
        }
        Message::Announce(announce) => assert_eq!(announce.signals.iter().count(), announce.signals.len()),
        Message::Result { signals } => assert_eq!(signals.iter().count(), signals.len()),
        Message::FederationSync(sync) => {
            assert_eq!(sync.patterns.iter().count(), sync.patterns.len());
            assert_eq!(sync.revisions.iter().count(), sync.revisions.len());
        }
        _ => {}
    }
}

fn walk_value(value: Value<'_>) {
    match value {
        Value::Array(items) => {
            assert_eq!(items.iter().count(), items.len());
            items.iter().for_each(walk_value);
        }
        Value::Map(entries) => {
            assert_eq!(entries.iter().count(), entries.len());
            entries.iter().for_each(|entry| walk_value(entry.value));
        }
        _ => {}
    }
}

/// What must hold for a frame that was accepted, whoever made it.
fn accepted(message: &Message<'_>) {
    walk(message);
    let mut once = Vec::new();
    match message.encode_into(&mut once) {
        Ok(()) => {}
        // Numbers may have been widened beyond what fits.
        Err(EncodeError::PayloadTooLarge { .. }) => return,
        Err(other) => panic!("{other}"),
    }
    let (header, again) = Message::decode_compact(&once).unwrap();
    assert_eq!(header.qos, message.default_qos());
    // A NaN in `epsilon` or `range` is not equal to itself, but reads the same.
    assert_eq!(format!("{again:?}"), format!("{message:?}"));
    assert_eq!(encode(&again), once);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn every_message_reads_back_as_it_was_written(bytes in vec(any::<u8>(), 0..400)) {
        let message = Entropy::new(bytes).message(3);
        let frame = encode(&message);
        let (header, again) = Message::decode_compact(&frame).unwrap();
        prop_assert_eq!(&again, &message);
        prop_assert_eq!(header.qos, message.default_qos());
        prop_assert_eq!(message.encoded_len(), usize::from(header.payload_len));
        prop_assert_eq!(again.encoded_len(), usize::from(header.payload_len));
        prop_assert_eq!(&encode(&again), &frame);
        let mut slice = vec![0; frame.len()];
        prop_assert_eq!(again.encode_to_slice(header.qos, &mut slice), Ok(frame.len()));
        prop_assert_eq!(&slice, &frame);
        let short = message.encode_to_slice(QoS::Fire, &mut slice[1..]);
        let (needed, available) = (frame.len(), frame.len() - 1);
        prop_assert_eq!(short, Err(EncodeError::BufferTooSmall { needed, available }));
    }

    #[test]
    fn every_legacy_message_says_the_same_as_its_compact_form(
        bytes in vec(any::<u8>(), 0..400), more in vec(any::<u8>(), 0..64),
    ) {
        let message = Entropy::legacy(bytes).message(2);
        let mut payload = Vec::new();
        if !msgpack::write(&mut payload, &message, &mut Entropy::new(more)) {
            return Ok(());
        }
        let frame = frame(&payload);
        let mut scratch = vec![0xEE; 5];
        let (_, again) = Message::decode(&frame, &mut scratch).unwrap();
        prop_assert_eq!(&again, &message);
        prop_assert_eq!(encode(&again), encode(&message));
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(payload in vec(any::<u8>(), 0..300), kind in any::<u8>()) {
        let mut payload = payload;
        if let Some(first) = payload.first_mut() {
            *first = [0x01, 0x03, 0x04, 0x10, 0x20, 0x21, 0x23, 0x30, 0x50, 0x51, 0x61, 0x81, 0x84, kind]
                [usize::from(kind) % 14];
        }
        let frame = frame(&payload);
        let mut scratch = Vec::new();
        if let Ok((_, message)) = Message::decode(&frame, &mut scratch) {
            accepted(&message);
        }
    }

    #[test]
    fn a_damaged_frame_is_refused_or_makes_sense(
        bytes in vec(any::<u8>(), 0..400),
        legacy in any::<bool>(),
        damage in vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut entropy = Entropy::new(bytes);
        let message = entropy.message(3);
        let mut payload = encode(&message).split_off(4);
        if legacy {
            payload.clear();
            msgpack::write(&mut payload, &message, &mut entropy);
        }
        for (at, byte) in damage {
            let at = at.index(payload.len());
            payload[at] = byte;
        }
        let frame = frame(&payload);
        let mut scratch = Vec::new();
        if let Ok((_, message)) = Message::decode(&frame, &mut scratch) {
            accepted(&message);
        }
    }

    #[test]
    fn a_frame_cut_anywhere_is_refused_and_a_payload_cut_anywhere_does_not_panic(
        bytes in vec(any::<u8>(), 0..200), legacy in any::<bool>(),
    ) {
        let mut entropy = Entropy::new(bytes);
        let message = entropy.message(2);
        let mut whole = encode(&message);
        if legacy {
            let mut payload = Vec::new();
            msgpack::write(&mut payload, &message, &mut entropy);
            whole = frame(&payload);
        }
        for len in 0..whole.len() {
            let mut scratch = Vec::new();
            let error = Message::decode(&whole[..len], &mut scratch).unwrap_err();
            prop_assert!(error.offset <= len);
        }
        for len in 0..whole.len() - 4 {
            let cut = frame(&whole[4..4 + len]);
            let mut scratch = Vec::new();
            if let Ok((_, message)) = Message::decode(&cut, &mut scratch) {
                accepted(&message);
            }
        }
    }

    #[test]
    fn no_text_makes_a_pattern_panic(pattern in "[/*ab?]{0,40}|.{0,40}", address in "[/ab*]{0,40}|.{0,40}") {
        if let Ok(pattern) = Pattern::parse(&pattern) {
            let matched = pattern.matches(&address);
            if matched && let Some((above, _)) = address.rsplit_once('/') {
                prop_assert!(pattern.could_match_prefix(above), "{} {}", pattern, address);
            }
            prop_assert!(pattern.is_literal() || !matched || address.starts_with(pattern.literal_prefix()));
        }
    }

    #[test]
    fn what_a_contained_pattern_matches_is_matched_by_the_container(
        container in "(/([*][*]|[*]|a[*]|[*]b|a[*]b|[ab])){1,5}",
        other in "(/([*][*]|[*]|a[*]|[*]b|a[*]b|[ab])){1,5}",
        addresses in vec(vec("[abc]{0,2}", 1..12), 20),
    ) {
        let (container, other) = (Pattern::parse(&container).unwrap(), Pattern::parse(&other).unwrap());
        prop_assert!(container.contains(&container) && Pattern::parse("/**").unwrap().contains(&other));
        for names in addresses {
            let address = one_of(&other, &names);
            if Address::parse(&address).is_ok() {
                prop_assert!(other.matches(&address), "{} is of {}", address, other);
                prop_assert!(!container.contains(&other) || container.matches(&address), "{}: {}", container, address);
                // An address is a pattern, too.
                let itself = Pattern::parse(&address).unwrap();
                prop_assert_eq!(container.contains(&itself), container.matches(&address));
            }
        }
    }
}

/// An address that matches `pattern`, with `names` in place of its wildcards.
fn one_of(pattern: &Pattern, names: &[String]) -> String {
    let mut names = names.iter().cycle();
    let mut name = || names.next().unwrap().as_str();
    let mut address = String::new();
    for segment in pattern.as_str().split('/').skip(1) {
        if segment == "**" {
            for _ in 0..name().len() {
                address.push('/');
                address.push_str(name());
                address.push('c');
            }
        } else {
            address.push('/');
            for (number, literal) in segment.split('*').enumerate() {
                address.push_str(if number == 0 { "" } else { name() });
                address.push_str(literal);
            }
        }
    }
    address
}

fn set(value: Value<'static>) -> Message<'static> {
    Message::Set(Set { address: "/a", value, revision: None, lock: false, unlock: false, ttl: None })
}

#[test]
fn nothing_deeper_than_the_limit_is_written() {
    let mut value = Value::Null;
    for _ in 0..MAX_DEPTH {
        value = Value::Array(Seq::items(leak(vec![value])));
    }
    let deepest = encode(&set(value));
    let decoded = Message::decode_compact(&deepest).unwrap().1;
    // Neither items nor bytes validated elsewhere get around it.
    let bundle = [decoded];
    let bundled = Message::Bundle(Bundle { timestamp_us: None, messages: Seq::items(&bundle) });
    let mut out = vec![7];
    assert_eq!(bundled.encode_into(&mut out), Err(EncodeError::TooDeep));
    assert_eq!(bundled.encoded_len(), usize::MAX);
    let deeper = set(Value::Map(Seq::items(leak(vec![Entry { key: "", value }]))));
    assert_eq!(deeper.encode_into(&mut out), Err(EncodeError::TooDeep));
    assert_eq!(out, [7]);
}

/// As deep as it goes, in both forms, read and walked and written again.
#[test]
fn the_deepest_frame_needs_little_stack() {
    let mut compact = vec![0x41];
    let mut legacy = vec![0x81, 0xA4, b't', b'y', b'p', b'e', 0xA4, b'P', b'I', b'N', b'G'];
    for _ in 0..MAX_DEPTH {
        let len = u16::try_from(compact.len()).unwrap().to_be_bytes();
        compact.splice(0..0, [0x30, 0, 0, 1, len[0], len[1]]);
        legacy.splice(0..0, *b"\x82\xA4type\xA6BUNDLE\xA8messages\x91");
    }
    let read = move || {
        for frame in [frame(&compact), frame(&legacy)] {
            let mut scratch = Vec::new();
            accepted(&Message::decode(&frame, &mut scratch).unwrap().1);
        }
    };
    // Optimised: half of what musl gives a thread. Unoptimised stack frames are several times as large.
    let stack = if cfg!(debug_assertions) { 512 } else { 64 } * 1024;
    std::thread::Builder::new().stack_size(stack).spawn(read).unwrap().join().unwrap();
}

#[test]
fn what_does_not_fit_a_frame_is_refused_with_its_size() {
    let long: &str = String::leak("x".repeat(MAX_PAYLOAD_BYTES));
    let fits = Message::Get { address: &long[3..] };
    assert_eq!(encode(&fits).len(), 4 + MAX_PAYLOAD_BYTES);
    let mut out = vec![7];
    let error = Message::Get { address: &long[2..] }.encode_into(&mut out).unwrap_err();
    assert_eq!(error, EncodeError::PayloadTooLarge { len: MAX_PAYLOAD_BYTES + 1 });
    assert_eq!(try_encode(&Message::Get { address: &long[2..] }), Err(error));
    let longer: &str = String::leak("x".repeat(MAX_PAYLOAD_BYTES + 1));
    let error = Message::Get { address: longer }.encode_into(&mut out).unwrap_err();
    assert_eq!(error, EncodeError::StringTooLong { len: MAX_PAYLOAD_BYTES + 1 });
    let nulls = leak(vec![Value::Null; MAX_PAYLOAD_BYTES + 1]);
    let error = set(Value::Array(Seq::items(nulls))).encode_into(&mut out).unwrap_err();
    assert_eq!(error, EncodeError::ListTooLong { len: MAX_PAYLOAD_BYTES + 1 });
    assert_eq!(out, [7]);
}

/// Each level repeats the one below 65 535 times: on paper 10 to the power of 96 bytes.
#[test]
fn a_list_that_repeats_itself_is_given_up_early() {
    let mut value = Value::Bool(true);
    for _ in 0..20 {
        value = Value::Array(Seq::items(leak(vec![value; 65_535])));
    }
    let mut out = Vec::new();
    assert!(matches!(set(value).encode_into(&mut out), Err(EncodeError::PayloadTooLarge { .. })));
}

#[test]
fn a_list_in_another_form_is_not_copied_as_bytes() {
    let announce = [
        0x03, 0, 0, 0, 1, // no namespace, one signal
        0, 1, b's', 0, 0x04, // with meta
        0x01, 0, 1, b'u', // which has a unit
    ];
    let Message::Announce(announce) = Message::decode_payload(&announce).unwrap() else {
        panic!("not an ANNOUNCE")
    };
    let result = encode(&Message::Result { signals: announce.signals });
    assert_eq!(result[4..], [0x61, 0, 1, 0, 1, b's', 0, 0]);
}
