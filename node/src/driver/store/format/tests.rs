use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::json;

use super::*;

fn identity() -> Value {
    let identity = Identity::generate(&mut StdRng::from_seed([1; 32])).unwrap();
    serde_json::from_slice(&write_identity(&identity)).unwrap()
}

fn pairs() -> Value {
    let mut pairs = Pairs::new();
    for (number, name) in [(1, "kitchen"), (2, "porch")] {
        let mut pair = Pair::new([number; 32], [number; 32], PairKey::new([number; 32]), name);
        assert!(pair.note_address("ws://10.0.0.2:7330/") && pair.note_address("ws://10.0.0.1:7330/"));
        pairs.insert(pair).unwrap();
    }
    serde_json::from_slice(&write_pairs(&pairs)).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}

#[test]
fn pairs_are_written_as_the_documentation_shows_them() {
    const DEVICES: &str = include_str!("../../../../../docs/devices.md");
    let file = pairs();
    assert_eq!((&file["version"], file["pairs"].as_array().unwrap().len()), (&json!(1), 2));
    let records = file["pairs"].as_array().unwrap();
    let record = records.iter().find(|record| record["name"] == "kitchen").unwrap();
    assert_eq!(record["id"], DeviceId::of(&[1; 32]).to_string());
    assert_eq!(record["public_key"], "01".repeat(32));
    assert_eq!(record["last_addresses"], json!(["ws://10.0.0.1:7330/", "ws://10.0.0.2:7330/"]));
    for field in record.as_object().unwrap().keys() {
        assert!(DEVICES.contains(&format!("\n      \"{field}\": ")), "devices.md lacks {field}");
    }
    let shown = DeviceId::of(&[7; 32]).to_string();
    assert!(DEVICES.contains(&format!("\"id\": \"{shown}\"")), "the id that belongs to its key");
}

#[test]
fn upper_case_digits_and_missing_addresses_are_taken() {
    let mut file = pairs();
    let record = &mut file["pairs"][0];
    record["key"] = "AB".repeat(32).into();
    record.as_object_mut().unwrap().remove("last_addresses");
    let id: DeviceId = record["id"].as_str().unwrap().parse().unwrap();
    let read = read_pairs(&bytes(&file)).unwrap();
    let pair = read.by_id(id).unwrap();
    assert_eq!((pair.key.as_bytes(), pair.last_addresses().len()), (&[0xAB; 32], 0));
}

#[test]
fn what_is_wrong_with_an_identity_is_told_by_its_field() {
    let other = {
        let identity = Identity::generate(&mut StdRng::from_seed([2; 32])).unwrap();
        serde_json::from_slice::<Value>(&write_identity(&identity)).unwrap()
    };
    assert!(read_identity(&bytes(&identity())).is_ok());
    for (field, value, want) in [
        ("version", json!(2), "version: is 2, of a newer program; this one knows 1"),
        ("version", json!("1"), "version: is not 1"),
        ("id", json!("kitchen"), "id: is not a device id"),
        ("id", other["id"].clone(), "secret_key: is not that of the id"),
        ("secret_key", other["secret_key"].clone(), "secret_key: is not that of the id"),
        ("secret_key", json!("00"), "secret_key: has not 32 bytes"),
        ("secret_key", json!(5), "secret_key: is not text"),
        ("private_key", json!("zz"), "private_key: is not hexadecimal"),
        ("private_key", json!("00"), "certificate and private_key: not a P-256 private key"),
        ("private_key", other["private_key"].clone(), "the private key does not belong to the certificate"),
        ("certificate", json!("3000"), "certificate and private_key: not a certificate"),
        ("fingerprint", other["fingerprint"].clone(), "certificate: is not that of the fingerprint"),
        ("surprise", json!(1), "surprise: is not a field of this version"),
    ] {
        let mut file = identity();
        file[field] = value;
        let fault = read_identity(&bytes(&file)).unwrap_err().to_string();
        assert!(fault.contains(want), "{field}: {fault}");
    }
}

#[test]
fn what_is_wrong_with_pairs_is_told_by_its_field() {
    let (long, twice) = ("x".repeat(64), "ws://10.0.0.1:7330/");
    for (field, value, want) in [
        ("id", pairs()["pairs"][0]["id"].clone(), "pairs[1].public_key: is not that of the id"),
        ("name", json!("kitchen\n"), "pairs[1].name: "),
        ("name", json!("KITCHEN"), "pairs[1].name: is there twice"),
        ("name", json!("porch"), "pairs[1].name: is there twice"),
        ("name", json!(long), "pairs[1].name: "),
        ("name", json!(["porch"]), "pairs[1].name: is not text"),
        ("key", json!("00"), "pairs[1].key: has not 32 bytes"),
        ("fingerprint", pairs()["pairs"][0]["fingerprint"].clone(), "pairs[1].fingerprint: "),
        ("last_addresses", json!("x"), "pairs[1].last_addresses: is not a list"),
        ("last_addresses", json!([1]), "pairs[1].last_addresses: holds what is no address"),
        (
            "last_addresses",
            json!([twice, twice]),
            "pairs[1].last_addresses: holds what is no address, or one",
        ),
        ("last_addresses", json!(["1", "2", "3", "4", "5"]), "pairs[1].last_addresses: holds too many"),
        ("provisioned", json!(true), "pairs[1].provisioned: is not a field of this version"),
    ] {
        let mut file = pairs();
        // The other one has the name that is taken.
        let taken = if value == json!("porch") { "porch" } else { "kitchen" };
        file["pairs"][0]["name"] = taken.into();
        file["pairs"][1]["name"] = "cellar".into();
        file["pairs"][1][field] = value;
        let fault = read_pairs(&bytes(&file)).unwrap_err().to_string();
        assert!(fault.starts_with(want), "{field}: {fault}");
    }
    for (file, want) in [
        (json!(5), "is not an object"),
        (json!({"version": 1}), "pairs: is missing"),
        (json!({"version": 1, "pairs": [5]}), "pairs[0]: is not an object"),
        (json!({"version": 1, "pairs": [], "more": 1}), "more: is not a field"),
        (json!({"version": 1, "pairs": vec![0; MAX_PAIRS + 1]}), "pairs: has 65 records"),
    ] {
        let fault = read_pairs(&bytes(&file)).unwrap_err().to_string();
        assert!(fault.starts_with(want), "{fault}");
    }
    let mut twice = pairs();
    let first = twice["pairs"][0].clone();
    twice["pairs"].as_array_mut().unwrap().push(first);
    assert_eq!(read_pairs(&bytes(&twice)).unwrap_err().to_string(), "pairs[2].id: is there twice");
}

#[test]
fn nothing_that_is_cut_off_or_changed_is_understood_and_nothing_of_it_is_told() {
    let whole = bytes(&identity());
    for end in 0..whole.len() {
        let fault = read_identity(&whole[..end]).unwrap_err().to_string();
        assert!(fault.starts_with("is not JSON: line 1, column"), "{end}: {fault}");
    }
    let secret = identity()["secret_key"].as_str().unwrap().to_owned();
    for wrong in [format!("{{\"version\":1,\"id\":{secret}"), format!("{{\"version\":\"{secret}\"}}")] {
        let fault = read_identity(wrong.as_bytes()).unwrap_err().to_string();
        assert!(!fault.contains(&secret[..8]), "{fault}");
    }
}
