//! Frames made by real implementations (and by hand, to annoy them): `tests/vectors.json`, whose `about` explains it.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod json;

use clasp_wire::{
    DecodeErrorKind, Header, Message, QoS,
    message::Body,
    p2p::{CandidateInit, P2pSignal, SignalBody, encode_signal_with_from},
};
use json::{describe, normalise};
use serde_json::Value as Json;

const DECISIONS: &str = include_str!("../../DECISIONS.md");

fn document() -> Json {
    serde_json::from_str(include_str!("../vectors.json")).unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn entries<'a>(document: &'a Json, list: &str) -> impl Iterator<Item = (&'a str, &'a Json)> {
    document[list].as_array().unwrap().iter().map(|entry| (entry["name"].as_str().unwrap(), entry))
}

/// The names of `list` for which `holds` says no, so that one run shows all of them.
fn failures(list: &str, mut holds: impl FnMut(&str, &Json) -> Result<(), String>) -> Vec<String> {
    let document = document();
    let failed = entries(&document, list)
        .filter_map(|(name, entry)| Some(format!("{name}: {}", holds(name, entry).err()?)));
    failed.collect()
}

fn same(found: &Json, expected: &Json) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("\n  found    {found}\n  expected {expected}")) }
}

#[test]
fn every_vector_decodes_to_what_it_says() {
    let failed = failures("vectors", |_, vector| {
        let frame = bytes(vector["hex"].as_str().unwrap());
        let mut scratch = Vec::new();
        let (header, message) = Message::decode(&frame, &mut scratch).map_err(|error| error.to_string())?;
        let said = &vector["frame"];
        assert_eq!(header.qos as u64, said["qos"].as_u64().unwrap());
        assert_eq!(u64::from(header.payload_len), said["payload_len"].as_u64().unwrap());
        assert_eq!(header.timestamp_us.map(|n| n.to_string()).as_deref(), said["timestamp"].as_str());
        let expected = vector.get("decodes_to").unwrap_or(&vector["message"]);
        same(&describe(&message), &normalise(expected))
    });
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Numbers these senders write narrower than anybody writes them back.
const WIDENED: [&str; 3] = ["arduino_set_i32", "arduino_emit_f32", "arduino_stream_f32"];

#[test]
fn every_compact_vector_encodes_to_the_same_bytes_again() {
    let mut identical = 0;
    let failed = failures("vectors", |name, vector| {
        let frame = bytes(vector["hex"].as_str().unwrap());
        let mut scratch = Vec::new();
        let (header, message) = Message::decode(&frame, &mut scratch).map_err(|error| error.to_string())?;
        let mut again = Vec::new();
        message.encode_with_qos(header.qos, &mut again).map_err(|error| error.to_string())?;
        let payload = Header::decode(&frame).unwrap().1;
        let compact = !matches!(payload[0], 0x80..=0x8F);
        if !compact || WIDENED.contains(&name) {
            assert_ne!(vector["reencode_identical"], true);
            return Ok(());
        }
        identical += 1;
        assert_eq!(message.encoded_len(), payload.len());
        if Header::decode(&again).unwrap().1 == payload { Ok(()) } else { Err(format!("{again:02x?}")) }
    });
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(identical >= 150, "only {identical} vectors were compared");
}

#[test]
fn the_default_qos_is_that_of_the_rust_client_and_the_router() {
    let failed = failures("vectors", |name, vector| {
        let source = vector["source"].as_str().unwrap();
        let rust = source == "clasp-core 4.5.0" || source.starts_with("observed");
        // One has no signal at all (which does not exist on the wire), one has its QoS set by hand.
        let odd =
            ["publish_no_signal_defaults_to_event_qos_fire", "frame_ts_qos_commit_ping"].contains(&name);
        let frame = bytes(vector["hex"].as_str().unwrap());
        let mut scratch = Vec::new();
        let (header, message) = Message::decode(&frame, &mut scratch).unwrap();
        if !rust || odd || header.qos == message.default_qos() {
            return Ok(());
        }
        Err(format!("{:?} instead of {:?}", message.default_qos(), header.qos))
    });
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn captured_p2p_signals_are_read_and_relayed_unchanged_from_their_sender() {
    let mut seen = 0;
    let failed = failures("vectors", |name, vector| {
        if !name.starts_with("obs_rust_client_p2p") {
            return Ok(());
        }
        let frame = bytes(vector["hex"].as_str().unwrap());
        let (_, message) = Message::decode_compact(&frame).map_err(|error| error.to_string())?;
        let Message::Publish(publish) = message else { return Err(message.kind().into()) };
        let Body::Value(value) = publish.body else { return Err("no value".into()) };
        let signal = P2pSignal::from_value(value).map_err(|error| error.to_string())?;
        if let SignalBody::IceCandidate { candidate } = signal.body {
            let init = CandidateInit::parse(candidate).map_err(|error| error.to_string())?;
            assert!(init.candidate.starts_with("candidate:") && init.sdp_mid.as_deref() == Some(""));
        }
        let mut relayed = Vec::new();
        encode_signal_with_from(&publish, signal.from, &mut relayed).map_err(|error| error.to_string())?;
        assert_eq!(relayed, frame);
        seen += 1;
        Ok(())
    });
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert_eq!(seen, 4, "offer, answer, candidate, connected");
}

#[test]
fn every_reject_is_refused() {
    let failed = failures("rejects", |_, reject| {
        let frame = match reject["hex"].as_str() {
            Some(hex) => bytes(hex),
            None => nested_arrays(8000),
        };
        let mut scratch = Vec::new();
        match Message::decode(&frame, &mut scratch) {
            Err(error) if error.offset <= frame.len() => Ok(()),
            Err(error) => Err(format!("offset {} of {}", error.offset, frame.len())),
            Ok((_, message)) => Err(format!("read as {message:?}")),
        }
    });
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// The recipe of `nested_arrays_depth_8000_kills_process`.
fn nested_arrays(depth: usize) -> Vec<u8> {
    let mut payload = vec![0x21, 0x0A, 0, 2, b'/', b'a', 0, 1];
    payload.extend([0x0A, 0, 1].repeat(depth - 1));
    payload.push(0);
    let mut frame = vec![0x53, 1];
    frame.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
    frame.extend(payload);
    frame
}

#[test]
fn thirty_two_levels_are_read_and_thirty_three_are_not() {
    assert!(Message::decode_compact(&nested_arrays(32)).is_ok());
    let error = Message::decode_compact(&nested_arrays(33)).unwrap_err();
    assert_eq!(error.kind, DecodeErrorKind::TooDeep);
}

/// The lenient cases where we decide otherwise than the stock decoder.
const REFUSED: [(&str, DecodeErrorKind); 1] = [("nested_bundles_depth_100", DecodeErrorKind::TooDeep)];

#[test]
fn every_lenient_case_is_decided_as_written_down() {
    let failed = failures("lenient", |name, case| {
        let frame = bytes(case["hex"].as_str().unwrap());
        let row = DECISIONS.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        let row = row.ok_or("no row in DECISIONS.md")?;
        let mut scratch = Vec::new();
        let read = Message::decode(&frame, &mut scratch);
        if let Some((_, kind)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
            assert!(row.contains("| refused"), "{row}");
            assert_eq!(read.unwrap_err().kind, *kind);
            return Ok(());
        }
        assert!(row.contains("| read"), "{row}");
        let (header, message) = read.map_err(|error| error.to_string())?;
        if name.starts_with("qos_reserved") {
            assert_eq!(header.qos, QoS::Fire);
        }
        same(&describe(&message), &normalise(&case["clasp_core_decodes_to"]))
    });
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
