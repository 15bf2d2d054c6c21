use super::*;

#[test]
fn an_address_may_be_written_as_a_url() {
    let address = Some(SocketAddr::from(([10, 0, 0, 5], 7330)));
    for text in ["10.0.0.5:7330", "ws://10.0.0.5:7330", "ws://10.0.0.5:7330/clasp"] {
        assert_eq!(socket_address(text), address, "{text}");
    }
    assert!(socket_address("ws://[fe80::1%2]:7330/").is_some());
    for text in ["ws://kitchen.example:7330/", "wss://10.0.0.5:7330", "10.0.0.5", ""] {
        assert_eq!(socket_address(text), None, "{text}");
    }
}
use crate::limits::MAX_NAME_BYTES;

fn pair(number: u8, name: &str) -> Pair {
    Pair::new([number; 32], [number; 32], PairKey::new([number; 32]), name)
}

fn names(pairs: &Pairs) -> Vec<&str> {
    let mut names: Vec<_> = pairs.iter().map(|pair| pair.name.as_str()).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_pair_is_found_by_id_name_and_certificate() {
    let mut pairs = Pairs::new();
    let id = pairs.insert(pair(1, "Kitchen")).unwrap().id();
    assert_eq!(id, DeviceId::of(&[1; 32]));
    let found = [pairs.by_id(id), pairs.by_name("kitchen"), pairs.by_fingerprint(&[1; 32])];
    assert!(found.iter().all(|found| found.is_some_and(|pair| pair.id() == id)), "{found:?}");
    let missing =
        [pairs.by_id(DeviceId::of(&[2; 32])), pairs.by_name("kitch"), pairs.by_fingerprint(&[2; 32])];
    assert!(missing.iter().all(Option::is_none), "{missing:?}");
    assert_eq!(pairs.remove(id).unwrap().public_key(), &[1; 32]);
    assert!(pairs.is_empty());
    assert_eq!(pairs.remove(id).unwrap_err(), PairError::Unknown(id));
}

#[test]
fn a_name_that_is_taken_gets_a_number() {
    let mut pairs = Pairs::new();
    for number in 1..=3 {
        pairs.insert(pair(number, "kitchen")).unwrap();
    }
    pairs.insert(pair(4, "KITCHEN")).unwrap();
    pairs.insert(pair(5, "\n")).unwrap();
    let nameless = format!("device-{}", &DeviceId::of(&[5; 32]).to_string()[..8]);
    assert_eq!(names(&pairs), ["KITCHEN-4", &nameless, "kitchen", "kitchen-2", "kitchen-3"]);
    assert_eq!(pairs.by_name("kitchen-3").unwrap().id(), DeviceId::of(&[3; 32]));
}

#[test]
fn the_same_device_replaces_itself_and_keeps_its_name() {
    let mut pairs = Pairs::new();
    pairs.insert(pair(1, "kitchen")).unwrap();
    let again = Pair::new([1; 32], [9; 32], PairKey::new([8; 32]), "kitchen");
    assert_eq!(pairs.insert(again).unwrap().name, "kitchen");
    assert_eq!(pairs.len(), 1);
    let pair = pairs.by_name("kitchen").unwrap();
    assert_eq!((pair.fingerprint, pair.key.as_bytes()), ([9; 32], &[8; 32]));
    assert!(pairs.by_fingerprint(&[1; 32]).is_none());
}

#[test]
fn nobody_takes_over_the_certificate_of_another_device() {
    let mut pairs = Pairs::new();
    let id = pairs.insert(pair(1, "kitchen")).unwrap().id();
    let thief = Pair::new([2; 32], [1; 32], PairKey::new([2; 32]), "porch");
    assert_eq!(pairs.insert(thief).unwrap_err(), PairError::FingerprintTaken(id));
    assert_eq!(names(&pairs), ["kitchen"]);
}

#[test]
fn a_full_table_takes_no_other_device() {
    let mut pairs = Pairs::new();
    for number in 0..MAX_PAIRS {
        pairs.insert(pair(u8::try_from(number).unwrap(), "x")).unwrap();
    }
    assert_eq!(pairs.insert(pair(200, "y")).unwrap_err(), PairError::Full);
    assert_eq!(pairs.len(), MAX_PAIRS);
    assert_eq!(pairs.insert(pair(7, "known")).unwrap().name, "known", "one that is known may pair again");
    pairs.remove(DeviceId::of(&[3; 32])).unwrap();
    pairs.insert(pair(200, "y")).unwrap();
    assert!(names(&pairs).iter().all(|name| name.len() <= MAX_NAME_BYTES));
}

#[test]
fn a_device_gets_another_name_unless_that_is_taken() {
    let mut pairs = Pairs::new();
    let id = pairs.insert(pair(1, "kitchen")).unwrap().id();
    pairs.insert(pair(2, "porch")).unwrap();
    assert_eq!(pairs.rename(id, "Porch"), Err(PairError::NameTaken("Porch".to_owned())));
    assert_eq!(pairs.rename(id, "a\nb"), Err(PairError::Name("has no control characters")));
    assert_eq!(pairs.rename(id, "Kitchen"), Ok(()), "its own name, written otherwise");
    assert_eq!(names(&pairs), ["Kitchen", "porch"]);
    let unknown = DeviceId::of(&[3; 32]);
    assert_eq!(pairs.rename(unknown, "cellar"), Err(PairError::Unknown(unknown)));
}

#[test]
fn provisioned_pairs_are_changed_by_pairing_only() {
    let mut pairs = Pairs::new();
    let id = pairs.insert(Pair { provisioned: true, ..pair(1, "kitchen") }).unwrap().id();
    assert_eq!(pairs.rename(id, "porch"), Err(PairError::Provisioned));
    assert_eq!(pairs.remove(id).unwrap_err(), PairError::Provisioned);
    pairs.insert(pair(1, "kitchen")).unwrap();
    assert_eq!(pairs.rename(id, "porch"), Ok(()));
}

#[test]
fn the_latest_addresses_are_kept() {
    let mut pairs = Pairs::new();
    let id = pairs.insert(pair(1, "kitchen")).unwrap().id();
    for number in 0..6 {
        assert!(pairs.note_address(id, &format!("ws://10.0.0.{number}:7330")));
    }
    assert!(pairs.note_address(id, "ws://10.0.0.3:7330"));
    assert!(!pairs.note_address(id, "ws://10.0.0.3:7330"), "the latest already");
    let long = "x".repeat(MAX_PAIR_ADDRESS_BYTES + 1);
    for address in ["", "ws://a\nb", &long] {
        assert!(!pairs.note_address(id, address), "{address:?}");
    }
    let want = [3, 5, 4, 2].map(|number| format!("ws://10.0.0.{number}:7330"));
    assert_eq!(pairs.by_id(id).unwrap().last_addresses(), want);
    assert_eq!(want.len(), MAX_PAIR_ADDRESSES);
    assert!(!pairs.note_address(DeviceId::of(&[2; 32]), "ws://10.0.0.1:7330"));
}

#[test]
fn no_key_is_shown() {
    let shown = format!("{:?}", Pair::new([1; 32], [2; 32], PairKey::new([200; 32]), "kitchen"));
    assert!(shown.contains("PairKey(…)") && !shown.contains("200"), "{shown}");
}
