use clasp_wire::message::Set;

use super::*;

/// What becomes of `text` on its way through a frame.
fn travelled(text: &str) -> Json {
    let json = read(text, false).unwrap();
    let room = Room::of(&json);
    let set = Set {
        address: "/a",
        value: room.value(&json),
        revision: None,
        lock: false,
        unlock: false,
        ttl: None,
    };
    let mut frame = Vec::new();
    Message::Set(set).encode_into(&mut frame).unwrap();
    let (_, message) = Message::decode_compact(&frame).unwrap();
    arrived(&message).pop().unwrap().value
}

#[test]
fn json_keeps_its_types_and_everything_else_is_text() {
    for (text, want) in [
        ("21", json!(21)),
        ("-5", json!(-5)),
        ("21.0", json!(21.0)),
        ("true", json!(true)),
        ("null", Json::Null),
        ("\"21\"", json!("21")),
        ("on air", json!("on air")),
        ("", json!("")),
        ("[1, [2.5, {}], []]", json!([1, [2.5, {}], []])),
        ("{\"b\": {\"c\": [true]}, \"a\": null}", json!({"a": null, "b": {"c": [true]}})),
    ] {
        assert_eq!(travelled(text), want, "{text}");
    }
    assert_eq!(read("21", true), Ok(json!("21")));
    assert_eq!(read("9223372036854775807", false), Ok(json!(i64::MAX)));
    assert!(read("[9223372036854775808]", false).unwrap_err().contains("9223372036854775808"));
}

#[test]
fn what_json_does_not_know_is_shown_all_the_same() {
    assert_eq!(to_json(Value::Bytes(&[0, 255])), json!({"bytes": "00ff"}));
    assert_eq!(to_json(Value::Float(f64::INFINITY)), json!("inf"));
    assert_eq!(to_json(Value::Float(f64::NAN)), json!("NaN"));
}

#[test]
fn nothing_that_arrives_reaches_the_terminal_as_a_control_character() {
    assert_eq!(shown(&json!("plain \"text\"")), "plain \"text\"");
    for text in ["a\u{1b}[2J", "a\nb", "\u{7f}", "\u{9b}2J"] {
        let arrived = Arrived {
            address: text.to_owned(),
            value: json!([text]),
            signal: "set",
            revision: None,
            is_snapshot: false,
        };
        assert_eq!(arrived.line().chars().filter(|char| char.is_control()).collect::<String>(), "\t");
    }
}

#[test]
fn lines_are_whole_however_they_are_read() {
    let mut cutter = LineCutter::default();
    let mut lines = Vec::new();
    for chunk in ["1\n", "2", "2\r\n\n3", "3"] {
        cutter.feed(chunk.as_bytes()).unwrap();
        while let Some(line) = cutter.line(false).unwrap() {
            lines.push(line);
        }
    }
    assert_eq!(lines, ["1", "22", ""]);
    assert_eq!(cutter.line(true), Ok(Some("33".to_owned())));
    assert_eq!(cutter.line(true), Ok(None));
    cutter.feed(&[0xFF, b'\n']).unwrap();
    assert!(cutter.line(false).unwrap_err().contains("UTF-8"));
    assert!(cutter.feed(&vec![b'1'; MAX_PAYLOAD_BYTES + 1]).unwrap_err().contains("65535"));
}

#[test]
fn a_parameter_is_told_once_though_shown_twice_and_only_if_it_is_wanted() {
    let one = |address: &str, revision, is_snapshot| Arrived {
        address: address.to_owned(),
        value: Json::Null,
        signal: "set",
        revision: Some(revision),
        is_snapshot,
    };
    let mut filter = Filter::new(vec![Pattern::parse("/a/*").unwrap()]);
    for (arrived, accepted) in [
        (one("/b", 1, true), false),
        (one("/b", 2, false), false),
        (one("/a/x", 1, true), true),
        (one("/a/x", 1, true), false),
        (one("/a/x", 2, false), true),
        (one("/a/x", 1, true), false),
        (one("/a/x", 1, false), true),
        (one("/a/y", 1, true), true),
    ] {
        assert_eq!(filter.accepts(&arrived), accepted, "{arrived:?}");
    }
    for n in 0..2 * MAX_PARAMS {
        assert!(filter.accepts(&one(&format!("/a/{n}"), 1, true)));
        assert!(filter.revisions.len() <= MAX_PARAMS);
    }
}
