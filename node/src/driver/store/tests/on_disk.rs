//! The store on the disk of this machine, and what others put there.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;
use crate::driver::store::{State, Store};
use crate::limits::{MAX_PAIRS, MAX_PROVISIONED_FILES, MAX_STATE_FILE_BYTES};

/// A directory that is gone after the test.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("clasp-node-store-{}-{name}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn state(&self) -> PathBuf {
        self.0.join("some/state")
    }

    fn open(&self, access: Access, seed: u8) -> Result<State, StoreError> {
        let place = StatePlace { directory: Ok(self.state()), provisioned: self.0.join("pairs.d") };
        State::open(place, access, &mut StdRng::from_seed([seed; 32]))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{}: {error}", self.0.display());
        }
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().mode() & 0o777
}

#[test]
fn files_are_the_users_own_and_whole_and_nothing_else_is_left() {
    let temporary = Temporary::new("own");
    let State { identity, mut pairs, mut store } = temporary.open(Access::Write, 1).unwrap();
    pairs.insert(pair(1, "kitchen")).unwrap();
    store.save_pairs(&pairs).unwrap();
    assert_eq!(store.directory(), Some(temporary.state().as_path()));

    assert_eq!(mode(&temporary.state()), 0o700);
    let mut found: Vec<_> =
        std::fs::read_dir(temporary.state()).unwrap().map(|e| e.unwrap().path()).collect();
    found.sort();
    let names: Vec<_> = found.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["identity.json", "identity.lock", "pairs.json", "pairs.lock"]);
    assert!(found.iter().all(|path| mode(path) == 0o600));

    let second = temporary.open(Access::Write, 2).unwrap();
    assert_eq!(second.identity.id(), identity.id());
    assert_eq!(names_of(&second.pairs), set(&["kitchen"]));
    assert!(!second.store.storage().pairs_stored, "the first one is at work");
    drop(store);
    assert!(temporary.open(Access::Write, 3).unwrap().store.storage().pairs_stored);
}

fn names_of(pairs: &Pairs) -> BTreeSet<String> {
    names(pairs)
}

#[test]
fn a_directory_that_others_may_write_is_refused() {
    let temporary = Temporary::new("open");
    std::fs::create_dir_all(temporary.state()).unwrap();
    let chmod = |mode| {
        std::fs::set_permissions(temporary.state(), std::fs::Permissions::from_mode(mode)).unwrap();
        temporary.open(Access::Read, 1)
    };
    for (bits, refused) in [(0o770, true), (0o707, true), (0o777, true), (0o755, false), (0o700, false)] {
        match chmod(bits) {
            Err(error) => {
                assert!(refused, "{bits:o}: {error}");
                let text = error.to_string();
                assert!(text.contains("other users may write it") && text.contains("some/state"), "{text}");
            }
            Ok(_) => assert!(!refused, "{bits:o}"),
        }
    }
}

#[test]
fn what_is_no_directory_is_refused_and_a_link_to_one_is_followed() {
    let temporary = Temporary::new("link");
    std::fs::create_dir_all(temporary.0.join("some")).unwrap();
    std::fs::write(temporary.state(), "").unwrap();
    let error = temporary.open(Access::Read, 1).unwrap_err().to_string();
    assert!(error.ends_with("is not a directory"), "{error}");
    std::fs::remove_file(temporary.state()).unwrap();

    // As systemd does it for a service with a user of its own.
    let private = temporary.0.join("private");
    std::fs::create_dir(&private).unwrap();
    std::fs::set_permissions(&private, std::fs::Permissions::from_mode(0o700)).unwrap();
    symlink(&private, temporary.state()).unwrap();
    assert!(temporary.open(Access::Write, 1).unwrap().store.storage().identity_stored);
    assert!(private.join("identity.json").is_file());
}

#[test]
fn files_that_others_could_have_written_or_that_are_too_long_are_not_read() {
    let temporary = Temporary::new("files");
    let id = temporary.open(Access::Read, 1).unwrap().identity.id();
    let file = temporary.state().join("identity.json");
    let chmod = |bits| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(bits)).unwrap();
    chmod(0o620);
    let error = temporary.open(Access::Read, 2).unwrap_err().to_string();
    assert!(error.contains("identity.json: other users may write it (mode 620)"), "{error}");
    chmod(0o640);
    assert_eq!(temporary.open(Access::Read, 2).unwrap().identity.id(), id, "said, but read");

    std::fs::write(temporary.state().join("pairs.json"), vec![b' '; MAX_STATE_FILE_BYTES + 1]).unwrap();
    let error = temporary.open(Access::Read, 2).unwrap_err().to_string();
    assert!(error.contains("pairs.json: is longer than 262144 bytes"), "{error}");
}

#[test]
fn provisioned_pairs_are_added_and_never_written() {
    let temporary = Temporary::new("provisioned");
    temporary.open(Access::Read, 1).unwrap();
    let (own, shared) = (temporary.state().join("pairs.d"), temporary.0.join("pairs.d"));
    let put = |directory: &Path, name: &str, numbers: std::ops::Range<u8>, called: &str| {
        std::fs::create_dir_all(directory).unwrap();
        let mut pairs = Pairs::new();
        for number in numbers {
            pairs.insert(pair(number, called)).unwrap();
        }
        std::fs::write(directory.join(name), format::write_pairs(&pairs)).unwrap();
    };
    put(&own, "a.json", 1..3, "kitchen");
    put(&shared, "b.json", 2..4, "porch"); // 2 is known from the first file
    put(&shared, "ignored.txt", 7..8, "cellar");
    std::fs::write(shared.join("c.json"), "{}").unwrap();
    std::fs::create_dir(shared.join("d.json")).unwrap();

    let State { mut pairs, mut store, .. } = temporary.open(Access::Write, 2).unwrap();
    assert_eq!(names(&pairs), set(&["kitchen", "kitchen-2", "porch-2"]));
    assert!(pairs.iter().all(|pair| pair.provisioned));
    pairs.insert(pair(9, "attic")).unwrap();
    store.save_pairs(&pairs).unwrap();
    let written = std::fs::read(temporary.state().join("pairs.json")).unwrap();
    assert_eq!(names(&format::read_pairs(&written).unwrap()), set(&["attic"]));

    // Pairing by hand counts more than a file.
    pairs.insert(pair(1, "mine")).unwrap();
    store.save_pairs(&pairs).unwrap();
    let again = temporary.open(Access::Read, 3).unwrap().pairs;
    assert!(!again.by_name("mine").unwrap().provisioned);
    assert_eq!(again.len(), 4);
}

#[test]
fn provisioned_pairs_are_bounded() {
    let temporary = Temporary::new("bounded");
    let shared = temporary.0.join("pairs.d");
    std::fs::create_dir(&shared).unwrap();
    for number in 0..MAX_PROVISIONED_FILES + 3 {
        let mut pairs = Pairs::new();
        pairs.insert(pair(u8::try_from(number).unwrap(), &format!("p{number:02}"))).unwrap();
        std::fs::write(shared.join(format!("{number:02}.json")), format::write_pairs(&pairs)).unwrap();
    }
    let pairs = temporary.open(Access::Read, 1).unwrap().pairs;
    assert_eq!(pairs.len(), MAX_PAIRS);
    assert!(pairs.by_name("p63").is_some() && pairs.by_name("p64").is_none(), "the first ones by name");
}

#[test]
fn a_store_can_be_moved_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<Store>();
}
