//! The store on a disk that fails and loses power, at every step.

mod on_disk;
mod tokens;

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::fake::{Disk, Fake, HOME, Trouble};
use super::shelf::Shelf;
use super::{Access, NotStored, StatePlace, StoreError, format};
use crate::identity::{DeviceId, Identity};
use crate::pairs::{Pair, PairKey, Pairs};

const DIRECTORY: &str = "/home/pi/state/clasp-node";

type Opened = Result<(Identity, Pairs, Shelf<Fake>), StoreError>;

fn open_as(files: &Fake, access: Access, seed: u8) -> Opened {
    let place = StatePlace { directory: Ok(DIRECTORY.into()), provisioned: "/etc/pairs.d".into() };
    Shelf::open(files.clone(), place, access, &mut StdRng::from_seed([seed; 32]))
}

fn open(files: &Fake, seed: u8) -> Opened {
    open_as(files, Access::Write, seed)
}

fn pair(number: u8, name: &str) -> Pair {
    let mut pair = Pair::new([number; 32], [number; 32], PairKey::new([number; 32]), name);
    assert!(pair.note_address("ws://10.0.0.1:7330/") && pair.note_address("ws://[fd00::1]:7330/"));
    pair
}

fn names(pairs: &Pairs) -> BTreeSet<String> {
    pairs.iter().map(|pair| pair.name.clone()).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A machine on which nobody has run a node.
fn fresh() -> Disk {
    Disk::with(Path::new(HOME))
}

/// One with an identity and these pairs, and who it is.
fn settled(pairs: &[Pair]) -> (Disk, DeviceId, Pairs) {
    let files = Fake::new(fresh());
    let (identity, mut table, mut shelf) = open(&files, 1).unwrap();
    for pair in pairs {
        table.insert(pair.clone()).unwrap();
    }
    shelf.save_pairs(&table).unwrap();
    (files.disk(), identity.id(), table)
}

#[test]
fn what_is_stored_comes_back() {
    let files = Fake::new(fresh());
    let (identity, mut pairs, mut shelf) = open(&files, 1).unwrap();
    assert!(pairs.is_empty());
    let storage = shelf.storage();
    assert_eq!((storage.directory.as_deref(), storage.why), (Some(DIRECTORY), None));
    assert!(storage.identity_stored && storage.pairs_stored);
    pairs.insert(pair(1, "the \"kitchen\"")).unwrap();
    pairs.insert(pair(2, "porch")).unwrap();
    shelf.save_pairs(&pairs).unwrap();
    drop(shelf);

    let (again, known, _shelf) = open(&files, 2).unwrap();
    assert_eq!((again.id(), again.fingerprint()), (identity.id(), identity.fingerprint()));
    assert_eq!(format::write_pairs(&known), format::write_pairs(&pairs));
    assert_eq!(known.by_name("porch").unwrap().last_addresses().len(), 2);
}

#[test]
fn a_power_cut_while_the_identity_is_made_leaves_none_or_a_whole_one_and_never_loses_one_that_was_reported() {
    let steps = steps_of(&fresh(), |files| drop(open(files, 1).unwrap()));
    assert!(["make_directory", "create", "write", "sync", "rename"].iter().all(|step| steps.contains(step)));
    let (mut kept, mut anew) = (0, 0);
    for at in 0..=steps.len() {
        let files = Fake::new(fresh());
        files.trouble(Trouble::PowerCut(at));
        let reported = open(&files, 1).ok().filter(|(_, _, shelf)| shelf.storage().identity_stored);
        let reported = reported.map(|(identity, _, _)| identity.id());
        assert!(at < steps.len() || reported.is_some(), "without a cut it is stored");
        for disk in files.disk().after_any_power_cut() {
            let files = Fake::new(disk);
            let (identity, pairs, shelf) =
                open(&files, 2).unwrap_or_else(|error| panic!("step {at}: {error}"));
            let id = identity.id();
            assert!(pairs.is_empty() && shelf.storage().identity_stored);
            assert!(reported.is_none_or(|reported| reported == id), "step {at}: {reported:?} became {id}");
            if id == Identity::generate(&mut StdRng::from_seed([2; 32])).unwrap().id() {
                anew += 1;
            } else {
                kept += 1;
            }
            // It was reported as stored, so it outlives the next cut, whatever the first one left.
            for disk in files.disk().after_any_power_cut() {
                assert_eq!(open(&Fake::new(disk), 3).unwrap().0.id(), id, "step {at}");
            }
        }
    }
    assert!(kept > 0 && anew > 0, "both happen: {kept}, {anew}");
}

/// The steps of `work` when nothing goes wrong.
fn steps_of(disk: &Disk, work: impl FnOnce(&Fake)) -> Vec<&'static str> {
    let files = Fake::new(disk.clone());
    files.trouble(Trouble::None);
    work(&files);
    files.steps()
}

/// A change of the table: from pairs of these names to pairs of those.
struct Case {
    change: fn(&mut Pairs),
    before: BTreeSet<String>,
    after: BTreeSet<String>,
}

fn cases() -> [Case; 3] {
    [
        Case {
            change: |pairs| {
                pairs.insert(pair(2, "porch")).unwrap();
            },
            before: set(&["kitchen"]),
            after: set(&["kitchen", "porch"]),
        },
        Case {
            change: |pairs| {
                pairs.remove(DeviceId::of(&[1; 32])).unwrap();
            },
            before: set(&["kitchen"]),
            after: set(&[]),
        },
        Case {
            change: |pairs| pairs.rename(DeviceId::of(&[1; 32]), "cellar").unwrap(),
            before: set(&["kitchen"]),
            after: set(&["cellar"]),
        },
    ]
}

#[test]
fn a_power_cut_while_pairs_are_stored_leaves_the_old_or_the_new_ones() {
    let (disk, id, _) = settled(&[pair(1, "kitchen")]);
    for Case { change, before, after } in cases() {
        let (mut old, mut new) = (0, 0);
        let mut at = 0;
        loop {
            let files = Fake::new(disk.clone());
            let (_, mut pairs, mut shelf) = open(&files, 2).unwrap();
            change(&mut pairs);
            files.trouble(Trouble::PowerCut(at));
            let reported = shelf.save_pairs(&pairs).is_ok();
            for disk in files.disk().after_any_power_cut() {
                let (identity, pairs, _) = open(&Fake::new(disk), 3).unwrap();
                assert_eq!(identity.id(), id);
                let found = names(&pairs);
                assert!(found == after || found == before && !reported, "step {at}: {found:?}, {reported}");
                if found == after { new += 1 } else { old += 1 }
            }
            if reported {
                break;
            }
            at += 1;
        }
        assert!(at >= 6 && old > 0 && new > 0, "both happen: {old}, {new} in {at} steps");
    }
}

#[test]
fn a_step_that_fails_while_pairs_are_stored_costs_nothing_even_if_the_power_is_cut_after_it() {
    let (disk, id, _) = settled(&[pair(1, "kitchen")]);
    for kind in [ErrorKind::StorageFull, ErrorKind::ReadOnlyFilesystem, ErrorKind::PermissionDenied] {
        for Case { change, before, after } in cases() {
            let mut at = 0;
            loop {
                let files = Fake::new(disk.clone());
                let (_, mut pairs, mut shelf) = open(&files, 2).unwrap();
                change(&mut pairs);
                files.trouble(Trouble::Fails(at, kind));
                let saved = shelf.save_pairs(&pairs);
                if files.steps().len() <= at {
                    break; // nothing failed
                }
                let NotStored(why) = saved.expect_err("no step is optional");
                let storage = shelf.storage();
                assert!(!storage.pairs_stored && storage.identity_stored, "{storage:?}");
                assert_eq!(storage.why, Some(why));
                for disk in files.disk().after_any_power_cut() {
                    let (identity, pairs, _) = open(&Fake::new(disk), 3).unwrap();
                    let found = names(&pairs);
                    assert!(identity.id() == id && (found == before || found == after), "{at}: {found:?}");
                }
                // The next change finds a disk that works again.
                files.trouble(Trouble::None);
                shelf.save_pairs(&pairs).unwrap();
                assert!(shelf.storage().pairs_stored, "{:?}", shelf.storage());
                for disk in files.disk().after_any_power_cut() {
                    assert_eq!(names(&open(&Fake::new(disk), 3).unwrap().1), after);
                }
                at += 1;
            }
            assert!(at >= 6, "{at} steps failed");
        }
    }
}

#[test]
fn a_step_that_fails_while_the_identity_is_made_leaves_a_node_that_works_until_it_ends() {
    let steps = steps_of(&fresh(), |files| drop(open(files, 1).unwrap()));
    let (mut stored, mut failed) = (0, 0);
    for kind in [ErrorKind::StorageFull, ErrorKind::ReadOnlyFilesystem, ErrorKind::PermissionDenied] {
        for (at, step) in steps.iter().enumerate() {
            let files = Fake::new(fresh());
            files.trouble(Trouble::Fails(at, kind));
            let opened = open(&files, 1);
            let Ok((identity, _, shelf)) = opened else {
                assert_eq!(*step, "read", "only what may be there and cannot be read stops a node");
                continue;
            };
            let storage = shelf.storage();
            assert_eq!(storage.identity_stored && storage.pairs_stored, storage.why.is_none(), "{storage:?}");
            if storage.identity_stored {
                stored += 1
            } else {
                failed += 1
            }
            drop(shelf);
            for disk in files.disk().after_any_power_cut() {
                let again = open(&Fake::new(disk), 2).unwrap().0;
                assert!(!storage.identity_stored || again.id() == identity.id(), "step {at}, {step}");
            }
        }
    }
    assert!(stored > 0 && failed > 0, "both happen: {stored}, {failed}");
}

#[test]
fn on_a_disk_that_takes_nothing_a_node_remembers_until_it_ends_and_says_so() {
    for kind in [ErrorKind::StorageFull, ErrorKind::ReadOnlyFilesystem, ErrorKind::PermissionDenied] {
        let files = Fake::new(fresh());
        files.trouble(Trouble::Refuses(kind));
        let (_, mut pairs, mut shelf) = open(&files, 1).unwrap();
        let storage = shelf.storage();
        assert!(!storage.identity_stored && !storage.pairs_stored, "{storage:?}");
        assert!(storage.why.unwrap().contains(&std::io::Error::from(kind).to_string()));
        pairs.insert(pair(1, "kitchen")).unwrap();
        shelf.save_pairs(&pairs).unwrap_err();

        // Pairs of an identity that will be gone are not stored either, even if the disk has room again.
        files.trouble(Trouble::None);
        shelf.save_pairs(&pairs).unwrap_err();
        assert!(open(&files, 2).unwrap().1.is_empty());
    }
}

#[test]
fn a_read_only_disk_with_an_identity_still_gives_it() {
    let (disk, id, _) = settled(&[pair(1, "kitchen")]);
    let files = Fake::new(disk);
    files.trouble(Trouble::Refuses(ErrorKind::ReadOnlyFilesystem));
    let (identity, mut pairs, mut shelf) = open(&files, 2).unwrap();
    assert_eq!((identity.id(), names(&pairs)), (id, set(&["kitchen"])));
    pairs.insert(pair(2, "porch")).unwrap();
    let why = shelf.save_pairs(&pairs).unwrap_err().to_string();
    assert!(why.contains("pairs.lock: read-only"), "{why}");
    let storage = shelf.storage();
    assert!(storage.identity_stored && !storage.pairs_stored, "{storage:?}");
}

#[test]
fn one_process_writes_pairs_and_the_others_read() {
    let (disk, id, mut pairs) = settled(&[pair(1, "kitchen")]);
    let files = Fake::new(disk);
    let (_, _, mut first) = open(&files, 2).unwrap();
    let (second, known, mut other) = open(&files, 3).unwrap();
    assert_eq!((second.id(), names(&known)), (id, set(&["kitchen"])));
    let why = other.save_pairs(&known).unwrap_err().to_string();
    assert!(why.contains("another clasp-node"), "{why}");
    pairs.insert(pair(2, "porch")).unwrap();
    first.save_pairs(&pairs).unwrap();

    let (third, known, mut reader) = open_as(&files, Access::Read, 4).unwrap();
    assert_eq!((third.id(), names(&known)), (id, set(&["kitchen", "porch"])));
    reader.save_pairs(&known).unwrap_err();
    drop(first);
    assert!(!open_as(&files, Access::Read, 4).unwrap().2.storage().pairs_stored);
    assert!(open(&files, 5).unwrap().2.storage().pairs_stored, "the first one has ended");
}

#[test]
fn what_is_there_and_not_understood_is_never_replaced() {
    let identity = Identity::generate(&mut StdRng::from_seed([9; 32])).unwrap();
    let whole = format::write_identity(&identity);
    for (name, content, want) in [
        ("identity.json", &b""[..], "is not JSON"),
        ("identity.json", &whole[..whole.len() / 2], "is not JSON"),
        ("identity.json", b"{\"version\":2}", "version: is 2, of a newer program"),
        ("identity.json", b"{\"version\":1}", "id: is missing"),
        ("pairs.json", b"{\"version\":1,\"pairs\":7}", "pairs: is not a list"),
    ] {
        let files = Fake::new(Disk::with(Path::new(DIRECTORY)));
        files.put(&format!("{DIRECTORY}/{name}"), content);
        if name == "pairs.json" {
            files.put(&format!("{DIRECTORY}/identity.json"), &whole);
        }
        let before = files.disk();
        let error = open_as(&files, Access::Read, 1).unwrap_err();
        let path: PathBuf = Path::new(DIRECTORY).join(name);
        assert!(matches!(&error, StoreError::Content { file, .. } if *file == path), "{error}");
        assert!(error.to_string().contains(want), "{error}");
        assert_eq!(files.disk(), before);
    }
}

#[test]
fn pairs_without_an_identity_are_not_given_to_a_new_one() {
    let (_, _, pairs) = settled(&[pair(1, "kitchen")]);
    let files = Fake::new(Disk::with(Path::new(DIRECTORY)));
    files.put(&format!("{DIRECTORY}/pairs.json"), &format::write_pairs(&pairs));
    let error = open(&files, 1).unwrap_err();
    assert!(matches!(error, StoreError::IdentityGone(_)), "{error}");
    assert!(error.to_string().contains("identity.json is gone"), "{error}");
}

#[test]
fn without_a_place_for_it_a_node_works_until_it_ends() {
    let place = StatePlace { directory: Err("no place".to_owned()), provisioned: "/etc/pairs.d".into() };
    let files = Fake::new(fresh());
    let (_, pairs, mut shelf) =
        Shelf::open(files, place, Access::Write, &mut StdRng::from_seed([1; 32])).unwrap();
    assert_eq!(shelf.save_pairs(&pairs).unwrap_err().0, "no place");
    assert_eq!(shelf.storage().directory, None);
}
