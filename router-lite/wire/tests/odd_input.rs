//! Frames that are not written the way anybody writes them, byte by byte: what is read, what is written back, and what
//! is refused how.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use clasp_wire::{
    DecodeErrorKind, EncodeError, Message, QoS, Seq, Value,
    limits::{MAX_DEPTH, MAX_PAYLOAD_BYTES},
    message::{Body, Bundle, Features, Hello, Set, Ttl, TypeMask, Welcome},
};

fn payload(message: &Message<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    message.encode_into(&mut out).unwrap();
    out.split_off(4)
}

fn legacy(payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[0x53, 0, len[0], len[1]], payload].concat()
}

/// Lists are copied as bytes only if that is how they would be written; each of these has one thing that is not.
#[test]
fn a_list_with_anything_odd_in_it_is_written_anew() {
    let set = |data: &[u8]| [&[0x21, 0x0A, 0, 0], data].concat();
    let int = [0x05, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];
    let one_int = [&[0, 1], &int[..]].concat();
    let nested = |inner: &[u8]| [&[0, 2, 0x0A], inner, &[0x0A, 0, 1, 0x00]].concat();
    let cases: Vec<(&str, Vec<u8>, Vec<u8>)> = vec![
        ("i8", set(&[0, 1, 0x02, 0xFF]), set(&one_int)),
        ("i16", set(&[0, 1, 0x03, 0xFF, 0xFF]), set(&one_int)),
        ("i32", set(&[0, 1, 0x04, 0xFF, 0xFF, 0xFF, 0xFF]), set(&one_int)),
        ("f32", set(&[0, 1, 0x06, 0x3F, 0xC0, 0, 0]), set(&[0, 1, 0x07, 0x3F, 0xF8, 0, 0, 0, 0, 0, 0])),
        ("bool 2", set(&[0, 1, 0x01, 0x02]), set(&[0, 1, 0x01, 0x01])),
        ("i8 in the first of two lists in a list", set(&nested(&[0, 1, 0x02, 0xFF])), set(&nested(&one_int))),
        (
            "i8 in the first of two params",
            [&[0x23, 0, 2, 0, 0, 0x0A, 0, 1, 2, 0xFF][..], &[0; 9], &[0, 0, 0x0A, 0, 0], &[0; 9]].concat(),
            [&[0x23, 0, 2, 0, 0, 0x0A][..], &one_int, &[0; 9], &[0, 0, 0x0A, 0, 0], &[0; 9]].concat(),
        ),
        (
            "byte after a bundle member",
            vec![0x30, 0, 0, 1, 0, 2, 0x41, 0xFF],
            vec![0x30, 0, 0, 1, 0, 1, 0x41],
        ),
        (
            "unknown flags of a bundled ACK",
            vec![0x30, 0, 0, 1, 0, 2, 0x50, 0xE0],
            vec![0x30, 0, 0, 1, 0, 2, 0x50, 0],
        ),
        (
            "locked 2 in a bundled ACK",
            vec![0x30, 0, 0, 1, 0, 3, 0x50, 0x04, 0x02],
            vec![0x30, 0, 0, 1, 0, 3, 0x50, 0x04, 0x01],
        ),
        (
            "phase 7 and signal 7 of a bundled PUBLISH",
            vec![0x30, 0, 0, 1, 0, 5, 0x20, 0xE7, 0, 0, 0],
            vec![0x30, 0, 0, 1, 0, 5, 0x20, 0x20, 0, 0, 0],
        ),
        (
            "kind 9 of a bundled PUBLISH",
            vec![0x30, 0, 0, 1, 0, 5, 0x20, 0x20, 0, 0, 9],
            vec![0x30, 0, 0, 1, 0, 5, 0x20, 0x20, 0, 0, 0],
        ),
        (
            "federation bit of a bundled WELCOME",
            [&[0x30, 0, 0, 1, 0, 17, 0x02, 1, 0x84][..], &[0; 14]].concat(),
            [&[0x30, 0, 0, 1, 0, 17, 0x02, 1, 0x80][..], &[0; 14]].concat(),
        ),
        (
            "unknown flags of a param",
            [&[0x23, 0, 1, 0, 0, 0][..], &[0; 8], &[0xFC]].concat(),
            [&[0x23, 0, 1, 0, 0, 0][..], &[0; 8], &[0]].concat(),
        ),
        ("signal type 9", vec![0x61, 0, 1, 0, 0, 9, 0], vec![0x61, 0, 1, 0, 0, 1, 0]),
        ("meta flag without meta in RESULT", vec![0x61, 0, 1, 0, 0, 0, 4], vec![0x61, 0, 1, 0, 0, 0, 0]),
        ("unknown meta", vec![0x03, 0, 0, 0, 1, 0, 0, 0, 4, 0xF0], vec![0x03, 0, 0, 0, 1, 0, 0, 0, 4, 0]),
    ];
    for (what, odd, even) in cases {
        let message = Message::decode_payload(&odd).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(payload(&message), even, "{what}");
        assert_eq!(message.encoded_len(), even.len(), "{what}");
        assert_eq!(Message::decode_payload(&even).unwrap(), message, "{what}");
    }
}

/// `depth` arrays around nothing, with a further item after each inner array.
fn arrays(depth: usize) -> Vec<u8> {
    let mut value = vec![0x00];
    for _ in 0..depth {
        value = [&[0x0A, 0, 2], &value[..], &[0x00]].concat();
    }
    value
}

/// A payload in a bundle with a shallow PUBLISH after it, `depth` times.
fn bundles(depth: usize, payload: &[u8]) -> Vec<u8> {
    let mut payload = payload.to_vec();
    for _ in 0..depth {
        let len = u16::try_from(payload.len()).unwrap().to_be_bytes();
        let shallow = [0, 8, 0x20, 0x20, 0, 0, 1, 0x0A, 0, 0];
        payload = [&[0x30, 0, 0, 2], &len[..], &payload, &shallow].concat();
    }
    payload
}

#[test]
fn arrays_and_bundles_share_one_depth() {
    let published = |depth| [&[0x20, 0x20, 0, 0, 1][..], &arrays(depth)].concat();
    for inside in [1, 16, MAX_DEPTH] {
        let fits = bundles(MAX_DEPTH - inside, &published(inside));
        let message = Message::decode_payload(&fits).unwrap();
        assert_eq!(payload(&message), fits);
        let deeper = Message::decode_payload(&bundles(1, &fits)).unwrap_err();
        assert_eq!(deeper.kind, DecodeErrorKind::TooDeep);
        // The same limit when what was read is put into something new.
        let members = [Message::Ping, message];
        let bundle = Message::Bundle(Bundle { timestamp_us: None, messages: Seq::items(&members) });
        assert_eq!(bundle.encode_into(&mut Vec::new()), Err(EncodeError::TooDeep), "{inside}");
    }
}

#[test]
fn a_shallow_param_does_not_hide_the_depth_of_the_one_before() {
    let snapshot =
        [&[0x23, 0, 2, 0, 0][..], &arrays(MAX_DEPTH), &[0; 9], &[0, 0, 0x0A, 0, 0], &[0; 9]].concat();
    let members = [Message::decode_payload(&snapshot).unwrap()];
    let bundle = Message::Bundle(Bundle { timestamp_us: None, messages: Seq::items(&members) });
    assert_eq!(bundle.encode_into(&mut Vec::new()), Err(EncodeError::TooDeep));
}

#[test]
fn errors_tell_the_place_and_the_reason() {
    let cases: [(&[u8], &str); 8] = [
        (&[0x23, 0xFF, 0xFF], "offset 3: list of 65535 items, 0 bytes left"),
        (&[0x21, 0x0A, 0, 0, 0, 2, 0], "offset 6: list of 2 items, 1 bytes left"),
        (&[0x22, 0xFF, 0xFF, b'/', b'a'], "offset 3: string of 65535 bytes, 2 left"),
        (&[0x22, 0, 3, b'/', 0xC3, 0x28], "offset 4: text is not UTF-8"),
        (&[0x21, 0x80, 0, 0, 1, 2], "offset 4: revision of 8 bytes, 2 left"),
        (&[0x30, 0, 0, 1, 0, 1, 0x7F], "offset 6: unknown message type 7f"),
        (&[0x20, 0x20, 0, 0, 1, 0x0C], "offset 5: unknown value tag 0c"),
        (&[0x81, 0xA4], "offset 0: MessagePack frame where only the compact form is accepted"),
    ];
    for (payload, text) in cases {
        assert_eq!(Message::decode_payload(payload).unwrap_err().to_string(), text);
    }
    let frame = [0x53, 0x21, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0x23, 0xFF, 0xFF];
    let error = Message::decode_compact(&frame).unwrap_err();
    assert_eq!(error.offset, frame.len(), "the timestamp counts");
}

#[test]
fn up_to_three_bytes_after_a_publish_are_nothing_and_four_are_a_rate() {
    for extra in 0..=4_u32 {
        let payload = [&[0x20, 0x20, 0, 0, 0][..], &vec![1; extra as usize]].concat();
        let Message::Publish(publish) = Message::decode_payload(&payload).unwrap() else {
            panic!("not a PUBLISH")
        };
        assert_eq!(publish.rate, (extra == 4).then_some(0x0101_0101));
        assert_eq!(publish.body, Body::None);
    }
}

#[test]
fn a_ttl_the_wire_cannot_say_is_written_as_the_nearest_it_can() {
    let cases = [
        (Ttl::Never, Ttl::Never),
        (Ttl::Sliding(0), Ttl::Sliding(1)),
        (Ttl::Sliding(u32::MAX), Ttl::Sliding(0x7FFF_FFFF)),
        (Ttl::Absolute(0), Ttl::Absolute(0)),
        (Ttl::Absolute(0x8000_0007), Ttl::Absolute(0x7FFF_FFFF)),
    ];
    for (said, heard) in cases {
        let set =
            |ttl| Set { address: "/a", value: Value::Null, revision: None, lock: false, unlock: false, ttl };
        let written = payload(&Message::Set(set(Some(said))));
        assert_eq!(Message::decode_payload(&written), Ok(Message::Set(set(Some(heard)))));
    }
}

#[test]
fn legacy_integers_too_large_for_a_value_become_floats_and_do_not_fit_fields() {
    let large = b"\x83\xA4type\xA3SET\xA7address\xA2/a\xA5value\xCF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF";
    let frame = legacy(large);
    let mut scratch = Vec::new();
    let Message::Set(set) = Message::decode(&frame, &mut scratch).unwrap().1 else { panic!("not a SET") };
    assert_eq!(set.value, Value::Float(u64::MAX as f64));
    let frame = legacy(b"\x82\xA4type\xABUNSUBSCRIBE\xA2id\xCF\0\0\0\x01\0\0\0\0");
    let mut scratch = Vec::new();
    let error = Message::decode(&frame, &mut scratch).unwrap_err();
    assert_eq!(error.kind, DecodeErrorKind::WrongType("id"));
}

#[test]
fn a_legacy_publish_with_value_and_payload_carries_the_value() {
    let frame = legacy(b"\x84\xA4type\xA7PUBLISH\xA7payload\x01\xA7address\xA2/a\xA5value\x02");
    let mut scratch = Vec::new();
    let Message::Publish(publish) = Message::decode(&frame, &mut scratch).unwrap().1 else {
        panic!("not a PUBLISH")
    };
    assert_eq!(publish.body, Body::Value(Value::Int(2)));
}

#[test]
fn meta_vanishes_from_legacy_results_and_does_not_disturb_what_follows() {
    let signal = b"\x83\xA7address\xA2/a\xA4type\xA5param\xA4meta\x81\xA4unit\xA1V";
    let frame = legacy(&[&b"\x82\xA4type\xA6RESULT\xA7signals\x92"[..], signal, signal].concat());
    let mut scratch = Vec::new();
    let Message::Result { signals } = Message::decode(&frame, &mut scratch).unwrap().1 else {
        panic!("not a RESULT")
    };
    let read: Vec<_> = signals.iter().map(|signal| (signal.address, signal.meta)).collect();
    assert_eq!(read, [("/a", None), ("/a", None)]);
}

#[test]
fn features_nobody_has_named_are_not_written() {
    let features = Features(0xFF);
    let hello = payload(&Message::Hello(Hello { version: 1, features, name: "", token: "" }));
    let welcome = Welcome { version: 1, features, time_us: 0, session: "", name: "", token: "" };
    assert_eq!((hello[2], payload(&Message::Welcome(welcome))[2]), (0xFC, 0xF8));
}

#[test]
fn the_longest_list_is_read_to_its_end() {
    let count = MAX_PAYLOAD_BYTES - 6;
    let high_low = u16::try_from(count).unwrap().to_be_bytes();
    let long = [&[0x21, 0x0A, 0, 0], &high_low[..], &vec![0; count]].concat();
    let Message::Set(set) = Message::decode_payload(&long).unwrap() else { panic!("not a SET") };
    let Value::Array(items) = set.value else { panic!("not an array") };
    assert_eq!((items.len(), items.iter().len(), items.iter().count()), (count, count, count));
}

#[test]
fn a_legacy_subscription_without_types_is_to_everything() {
    for types in [&b"\x83"[..], b"\x84\xA5types\x90", b"\x84\xA5types\xC0"] {
        let frame = legacy(&[types, b"\xA4type\xA9SUBSCRIBE\xA2id\x01\xA7pattern\xA2/a"].concat());
        let mut scratch = Vec::new();
        let message = Message::decode(&frame, &mut scratch).unwrap().1;
        let Message::Subscribe(subscribe) = message else { panic!("not a SUBSCRIBE") };
        assert_eq!(subscribe.types, TypeMask::ANY);
    }
}

#[test]
fn legacy_counts_that_cannot_be_true_are_refused_at_once() {
    let cases: [(&[u8], u32); 3] = [
        (b"\x82\xA4type\xA6BUNDLE\xA8messages\xDD\xFF\xFF\xFF\xFF", u32::MAX),
        (b"\x82\xA1x\xDF\x7F\xFF\xFF\xFF\xA4type\xA4PING", 0x7FFF_FFFF),
        (b"\xDF\xFF\xFF\xFF\xFF\xA4type\xA4PING", u32::MAX),
    ];
    for (payload, claimed) in cases {
        let frame = legacy(payload);
        let mut scratch = Vec::new();
        let error = Message::decode(&frame, &mut scratch).unwrap_err();
        assert!(matches!(error.kind, DecodeErrorKind::Count { count, .. } if count == claimed), "{error}");
    }
}

/// Numbers take one byte in the legacy form and nine in ours.
#[test]
fn a_legacy_message_is_refused_exactly_when_its_compact_form_does_not_fit() {
    let mut seen = [0; 2];
    for address in 0..12 {
        for numbers in [7278_u16, 7279] {
            let mut frame = b"\x84\xA4type\xA3SET\xA8revision\x01\xA7address".to_vec();
            frame.push(0xA0 | address);
            frame.extend(vec![b'a'; address.into()]);
            frame.extend(b"\xA5value\xDC");
            frame.extend(numbers.to_be_bytes());
            frame.extend(vec![7; numbers.into()]);
            let frame = legacy(&frame);
            // Type, flags, address, count, numbers, revision.
            let compact = 2 + 2 + usize::from(address) + 2 + 9 * usize::from(numbers) + 8;
            let mut scratch = Vec::new();
            match Message::decode(&frame, &mut scratch) {
                Ok((_, message)) => {
                    assert_eq!((message.encoded_len(), compact <= MAX_PAYLOAD_BYTES), (compact, true))
                }
                Err(error) => {
                    assert_eq!((error.kind, compact > MAX_PAYLOAD_BYTES), (DecodeErrorKind::TooLarge, true));
                }
            }
            seen[usize::from(compact <= MAX_PAYLOAD_BYTES)] += 1;
        }
    }
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
}

#[test]
fn the_scratch_buffer_is_replaced_by_legacy_frames_and_left_alone_by_compact_ones() {
    let mut scratch = vec![1, 2, 3];
    assert_eq!(Message::decode(&[0x53, 0x41, 0, 1, 0x41], &mut scratch).unwrap().0.qos, QoS::Confirm);
    assert_eq!(scratch, [1, 2, 3]);
    let frame = legacy(b"\x81\xA4type\xA4PING");
    assert_eq!(Message::decode(&frame, &mut scratch).unwrap().1, Message::Ping);
    assert_eq!(scratch, [0x41]);
}
