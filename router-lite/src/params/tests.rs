use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;
use crate::{limits::MAX_PARAM_ENTRY_BYTES, test_support::t0};

struct Store {
    params: Params,
    now: Now,
    scratch: Vec<u8>,
    writers: [SessionId; 2],
}

const ME: usize = 0;
const OTHER: usize = 1;

impl Store {
    fn new() -> Self {
        let mut rng = StdRng::from_seed([3; 32]);
        let writers = std::array::from_fn(|_| SessionId::random(&mut rng));
        Self { params: Params::default(), now: t0(), scratch: Vec::new(), writers }
    }

    fn write(&mut self, who: usize, set: Set<'_>) -> Result<u64, Refused> {
        let writer = self.writers[who];
        self.params.write(self.now, writer, &set, &mut self.scratch).map(|written| written.revision)
    }

    fn later(&mut self, seconds: u64) {
        self.now.instant += Duration::from_secs(seconds);
        self.now.unix_us += seconds * 1_000_000;
    }

    fn has(&self, address: &str) -> bool {
        self.params.live(address, self.now.instant).is_some()
    }

    fn chunks(&mut self, wanted: impl Fn(&str) -> bool) -> Vec<Chunk> {
        let mut chunks: Vec<Chunk> = Vec::new();
        loop {
            let after = chunks.last().map(|chunk| chunk.after.clone());
            let Some(after) = after.map_or(Some(None), |after| after.map(Some)) else { return chunks };
            chunks.push(self.params.chunk(self.now.instant, after.as_deref(), &wanted, &mut self.scratch));
        }
    }
}

fn set(address: &str) -> Set<'_> {
    Set { address, value: Value::Int(1), revision: None, lock: false, unlock: false, ttl: None }
}

#[test]
fn revisions_count_up_and_an_outdated_one_is_refused() {
    let mut store = Store::new();
    assert_eq!(store.write(ME, Set { revision: Some(9), ..set("/a") }), Ok(1), "a new one starts at 1");
    assert_eq!(store.write(OTHER, set("/a")), Ok(2));
    assert_eq!(store.write(ME, Set { revision: Some(2), ..set("/a") }), Ok(3));
    let refused = store.write(ME, Set { revision: Some(7), ..set("/a") }).unwrap_err();
    assert_eq!(refused.to_string(), "RevisionConflict { expected: 7, actual: 3 }");
}

#[test]
fn a_lock_keeps_others_from_writing_and_from_unlocking() {
    let mut store = Store::new();
    let holder = store.writers[ME];
    assert_eq!(store.write(ME, Set { lock: true, ..set("/a") }), Ok(1));
    for attempt in [set("/a"), Set { unlock: true, ..set("/a") }, Set { lock: true, ..set("/a") }] {
        assert_eq!(store.write(OTHER, attempt), Err(Refused::Lock { holder }));
    }
    assert_eq!(Refused::Lock { holder }.to_string(), format!("LockHeld {{ holder: \"{holder}\" }}"));
    assert_eq!(store.write(ME, set("/a")), Ok(2), "the holder may write");
    assert_eq!(store.write(ME, Set { unlock: true, ..set("/a") }), Ok(3));
    assert_eq!(store.write(OTHER, set("/a")), Ok(4));
}

#[test]
fn the_locks_of_a_session_that_ended_are_released() {
    let mut store = Store::new();
    let holder = store.writers[ME];
    store.write(ME, Set { lock: true, ..set("/a") }).unwrap();
    store.write(ME, Set { lock: true, ..set("/b") }).unwrap();
    store.params.release_locks(holder);
    assert_eq!(store.params.locks_of(holder), 0);
    assert_eq!(store.write(OTHER, set("/a")), Ok(2));
}

#[test]
fn a_parameter_lives_an_hour_after_its_last_write_unless_it_says_otherwise() {
    let mut store = Store::new();
    for (address, ttl) in [
        ("/default", None),
        ("/never", Some(Ttl::Never)),
        ("/sliding", Some(Ttl::Sliding(10))),
        ("/absolute", Some(Ttl::Absolute(10))),
    ] {
        store.write(ME, Set { ttl, ..set(address) }).unwrap();
    }
    store.later(6);
    store.write(ME, set("/sliding")).unwrap();
    store.write(ME, set("/absolute")).unwrap();
    store.later(6);
    assert!(store.has("/sliding"), "a write prolongs it by its own ttl");
    assert!(!store.has("/absolute"), "a write does not prolong it");
    assert_eq!(store.write(ME, Set { revision: Some(5), ..set("/absolute") }), Ok(1), "it is new again");
    store.later(4);
    assert!(!store.has("/sliding"));
    store.later(3600 - 16 - 1);
    assert!(store.has("/default"));
    store.later(1);
    assert!(!store.has("/default") && store.has("/never"));
    assert_eq!(store.params.expire(store.now.instant), 2, "/default and /sliding");
    store.later(40 * 365 * 86_400);
    assert!(store.has("/never"));
    assert_eq!(store.params.bytes(), store.params.count_bytes());
}

#[test]
fn the_longest_ttl_does_not_overflow_the_clock() {
    let mut store = Store::new();
    let longest = 0x7FFF_FFFF;
    store.write(ME, Set { ttl: Some(Ttl::Sliding(longest)), ..set("/a") }).unwrap();
    store.write(ME, Set { ttl: Some(Ttl::Absolute(longest)), ..set("/b") }).unwrap();
    assert!(store.has("/a") && store.has("/b"));
}

#[test]
fn the_4097th_parameter_is_refused_and_nothing_is_evicted() {
    let mut store = Store::new();
    for n in 0..MAX_PARAMS {
        assert_eq!(store.write(ME, set(&format!("/p/{n}"))), Ok(1));
    }
    assert_eq!(store.write(ME, set("/p/new")), Err(Refused::AtCapacity));
    assert_eq!(Refused::AtCapacity.to_string(), "AtCapacity");
    assert_eq!(store.write(ME, set("/p/0")), Ok(2), "known ones can still be written");
    assert_eq!(store.params.len(), MAX_PARAMS);
}

#[test]
fn more_than_4_mib_are_refused_and_the_old_value_stays() {
    let mut store = Store::new();
    let blob = vec![0; 60_000];
    fn big<'a>(address: &'a str, blob: &'a [u8]) -> Set<'a> {
        Set { value: Value::Bytes(blob), ..set(address) }
    }
    let mut stored = 0;
    while store.write(ME, big(&format!("/big/{stored}"), &blob)).is_ok() {
        stored += 1;
    }
    assert_eq!(stored, MAX_PARAM_BYTES / 60_200);
    assert!(store.params.bytes() <= MAX_PARAM_BYTES);
    while store.write(ME, set(&format!("/small/{}", store.params.len()))).is_ok() {}
    let small = store.params.all.keys().find(|address| address.starts_with("/small")).unwrap().clone();
    let refused = store.write(ME, big(&small, &blob));
    assert_eq!(refused, Err(Refused::AtCapacity));
    assert!(store.has(&small));
    assert_eq!(store.params.bytes(), store.params.count_bytes());
}

#[test]
fn a_value_that_no_snapshot_could_carry_is_refused() {
    let mut store = Store::new();
    // Address 2 bytes, and 2 for the length of the bytes themselves.
    let fits = vec![0; MAX_PARAM_ENTRY_BYTES - 4];
    assert_eq!(store.write(ME, Set { value: Value::Bytes(&fits), ..set("/a") }), Ok(1));
    let chunk = &store.chunks(|_| true)[0];
    assert_eq!((chunk.count, chunk.frame.len()), (1, 4 + 65_535));
    let too_large = vec![0; MAX_PARAM_ENTRY_BYTES - 3];
    for ttl in [None, Some(Ttl::Sliding(1))] {
        let refused = store.write(ME, Set { value: Value::Bytes(&too_large), ttl, ..set("/a") });
        assert_eq!(refused, Err(Refused::TooLarge));
    }
    assert_eq!(
        store.write(ME, Set { ttl: Some(Ttl::Never), value: Value::Bytes(&fits), ..set("/b") }),
        Ok(1)
    );
}

#[test]
fn snapshots_are_split_by_size_and_carry_every_parameter_once() {
    let mut store = Store::new();
    let mut rng = StdRng::from_seed([5; 32]);
    let mut written = Vec::new();
    for n in 0..400 {
        let text = "x".repeat((rng.next_u32() % 2000) as usize);
        let address = format!("/p/{n:03}");
        store.write(ME, Set { value: Value::Str(&text), ..set(&address) }).unwrap();
        written.push(address);
    }
    let mut seen = Vec::new();
    let chunks = store.chunks(|_| true);
    assert!(chunks.len() > 3, "{}", chunks.len());
    for chunk in &chunks {
        let Ok((_, Message::Snapshot { params })) = Message::decode_compact(&chunk.frame) else {
            panic!("not a snapshot")
        };
        assert_eq!(params.len(), chunk.count);
        seen.extend(params.iter().map(|param| param.address.to_owned()));
    }
    for full in &chunks[..chunks.len() - 1] {
        assert!(full.frame.len() > 62_000, "a chunk of {} bytes leaves room for more", full.frame.len());
    }
    assert_eq!(seen, written);
}

#[test]
fn a_snapshot_tells_writer_time_and_revision() {
    let mut store = Store::new();
    store.write(ME, set("/a")).unwrap();
    store.later(1);
    store.write(OTHER, Set { value: Value::Float(0.5), ..set("/a") }).unwrap();
    let frame = store.chunks(|address| address == "/a").remove(0).frame;
    let Ok((_, Message::Snapshot { params })) = Message::decode_compact(&frame) else {
        panic!("no snapshot")
    };
    let param = params.iter().next().unwrap();
    let writer = store.writers[OTHER].text();
    assert_eq!((param.address, param.revision, param.writer), ("/a", 2, Some(&*writer)));
    assert_eq!((param.value, param.timestamp_us), (Value::Float(0.5), Some(store.now.unix_us)));
}
