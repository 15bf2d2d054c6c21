//! The tokens on a disk that fails and loses power, at every step.

use router_lite::{Token, TokenScope, TokenTable};

use super::*;
use crate::driver::store::tokens::{TokenError, TokenShelf, Wait};

fn shelf(files: &Fake) -> TokenShelf<Fake> {
    TokenShelf { files: files.clone(), directory: Ok(DIRECTORY.into()) }
}

fn scopes() -> Vec<TokenScope> {
    TokenScope::parse_list("read:/pub/**,write:/desk/*").unwrap()
}

fn add(files: &Fake, name: &str, number: u8) -> Result<TokenTable, TokenError> {
    let change = |table: &mut TokenTable| {
        table.insert(name, Token::new([number; 16]).hash(), &scopes())?;
        Ok(())
    };
    shelf(files).change(&[], Wait::UntilFree, change).map(|((), table)| table)
}

fn revoke(files: &Fake, name: &str) -> Result<TokenTable, TokenError> {
    let change =
        |table: &mut TokenTable| table.remove(name).ok_or_else(|| TokenError::Unknown(name.to_owned()));
    shelf(files).change(&[], Wait::UntilFree, change).map(|(_, table)| table)
}

fn names(table: &TokenTable) -> BTreeSet<String> {
    table.iter().map(|token| token.name().to_owned()).collect()
}

fn stored(files: &Fake) -> BTreeSet<String> {
    names(&shelf(files).read().unwrap())
}

/// A disk with one token, "panel".
fn with_panel() -> Disk {
    let files = Fake::new(fresh());
    assert!(stored(&files).is_empty(), "no directory, no tokens");
    assert_eq!(names(&add(&files, "panel", 1).unwrap()), set(&["panel"]));
    files.disk().after_any_power_cut().pop_first().unwrap()
}

#[test]
fn tokens_come_back_and_need_no_identity() {
    let files = Fake::new(with_panel());
    let table = shelf(&files).read().unwrap();
    let found = table.present(&Token::new([1; 16])).unwrap();
    assert_eq!((found.name(), found.scopes()), ("panel", &scopes()[..]));
    assert!(matches!(revoke(&files, "desk"), Err(TokenError::Unknown(name)) if name == "desk"));
    assert!(matches!(add(&files, "panel", 2), Err(TokenError::Table(_))));
    assert_eq!(stored(&files), set(&["panel"]), "what is refused changes nothing");
    add(&files, "desk", 2).unwrap();
    assert_eq!(names(&revoke(&files, "panel").unwrap()), set(&["desk"]));
    assert!(open(&files, 1).unwrap().1.is_empty(), "and an identity is made beside them");
    assert_eq!(stored(&files), set(&["desk"]));
}

type Change = fn(&Fake) -> Result<TokenTable, TokenError>;

/// A change, and which tokens there are after it.
fn changes() -> [(Change, BTreeSet<String>); 2] {
    [(|files| add(files, "desk", 2), set(&["panel", "desk"])), (|files| revoke(files, "panel"), set(&[]))]
}

#[test]
fn a_power_cut_while_tokens_are_changed_leaves_the_old_or_the_new_ones() {
    let before = set(&["panel"]);
    for (change, after) in changes() {
        let (mut old, mut new) = (0, 0);
        let mut at = 0;
        loop {
            let files = Fake::new(with_panel());
            files.trouble(Trouble::PowerCut(at));
            let reported = change(&files).is_ok();
            for disk in files.disk().after_any_power_cut() {
                let found = stored(&Fake::new(disk));
                assert!(found == after || found == before && !reported, "step {at}: {found:?}, {reported}");
                if found == after { new += 1 } else { old += 1 }
            }
            if reported {
                break;
            }
            at += 1;
        }
        assert!(at >= 10 && old > 0 && new > 0, "both happen: {old}, {new} in {at} steps");
    }
}

#[test]
fn a_step_that_fails_while_tokens_are_changed_is_told_and_loses_none() {
    let before = set(&["panel"]);
    for kind in [ErrorKind::StorageFull, ErrorKind::ReadOnlyFilesystem, ErrorKind::PermissionDenied] {
        for (change, after) in changes() {
            let mut at = 0;
            loop {
                let files = Fake::new(with_panel());
                files.trouble(Trouble::Fails(at, kind));
                let changed = change(&files);
                if files.steps().len() <= at {
                    break; // nothing failed
                }
                let step = files.steps()[at];
                let is_optional = matches!(step, "sync_directory") && kind == ErrorKind::PermissionDenied;
                assert!(changed.is_err() || is_optional, "step {at}, {step}");
                for disk in files.disk().after_any_power_cut() {
                    let found = stored(&Fake::new(disk));
                    assert!(found == before || found == after, "step {at}, {step}: {found:?}");
                }
                files.trouble(Trouble::None);
                if stored(&files) == before {
                    change(&files).unwrap();
                }
                assert_eq!(stored(&files), after, "it is only tried again");
                at += 1;
            }
            assert!(at >= 10, "{at} steps failed");
        }
    }
}

#[test]
fn two_processes_do_not_undo_each_others_changes() {
    let files = Fake::new(with_panel());
    let between = |table: &mut TokenTable| {
        let second = shelf(&files).change(&[], Wait::Not, |_| Ok(()));
        let why = second.expect_err("the first one is at it").to_string();
        assert!(why.contains("tokens.lock: another process changes the tokens"), "{why}");
        table.insert("desk", Token::new([2; 16]).hash(), &scopes())?;
        Ok(())
    };
    shelf(&files).change(&[], Wait::UntilFree, between).unwrap();
    revoke(&files, "panel").unwrap();
    assert_eq!(stored(&files), set(&["desk"]), "each has read what the other one wrote");
}

#[test]
fn what_could_not_be_taken_out_before_is_taken_out_with_the_next_change() {
    let files = Fake::new(with_panel());
    let hash = Token::new([1; 16]).hash();
    let insert = |table: &mut TokenTable| {
        table.insert("panel", Token::new([2; 16]).hash(), &scopes())?;
        Ok(())
    };
    let ((), table) = shelf(&files).change(&[hash], Wait::Not, insert).unwrap();
    assert!(table.find(&hash).is_none() && table.len() == 1, "another token may have its name");
}

#[test]
fn tokens_that_are_there_and_not_understood_are_never_replaced() {
    for (content, want) in [
        (&b""[..], "tokens.json: is not JSON"),
        (b"{\"version\":2}", "tokens.json: version: is 2, of a newer program"),
        (b"{\"version\":1,\"tokens\":[{}]}", "tokens.json: tokens[0].name: is missing"),
    ] {
        let files = Fake::new(Disk::with(Path::new(DIRECTORY)));
        files.put(&format!("{DIRECTORY}/tokens.json"), content);
        files.put(&format!("{DIRECTORY}/tokens.lock"), b"");
        let before = files.disk();
        for error in [
            TokenError::from(shelf(&files).read().unwrap_err()),
            add(&files, "desk", 2).unwrap_err(),
            revoke(&files, "panel").unwrap_err(),
        ] {
            assert!(matches!(error, TokenError::Store(StoreError::Content { .. })), "{error}");
            assert!(error.to_string().contains(want), "{error}");
        }
        assert_eq!(files.disk(), before);
    }
}

#[test]
fn what_could_not_be_read_back_is_not_written() {
    let files = Fake::new(with_panel());
    let long: TokenScope = format!("read:/{}", "x".repeat(1000)).parse().unwrap();
    let change = |table: &mut TokenTable| {
        for number in 2..=20 {
            table.insert(&number.to_string(), Token::new([number; 16]).hash(), &vec![long.clone(); 16])?;
        }
        Ok(())
    };
    let why = shelf(&files).change(&[], Wait::Not, change).unwrap_err().to_string();
    assert_eq!(why, "not stored: all tokens together would take more than 262144 bytes");
    assert_eq!(stored(&files), set(&["panel"]));
}

#[test]
fn without_a_place_for_them_there_are_no_tokens() {
    let shelf = TokenShelf { files: Fake::new(fresh()), directory: Err("no place".to_owned()) };
    assert!(shelf.read().unwrap().is_empty());
    let error = shelf.change(&[], Wait::Not, |_| Ok(())).unwrap_err();
    assert_eq!(error.to_string(), "not stored: no place");
}
