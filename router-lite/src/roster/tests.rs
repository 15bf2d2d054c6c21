use super::*;
use crate::limits::{MATCH_CACHE_ADDRESSES, MATCH_CACHE_TARGETS};

fn slot(n: u32) -> Slot {
    Slot::new(n)
}

fn add(roster: &mut Roster, who: u32, id: u32, pattern: &str, types: u8) {
    let pattern = Pattern::parse(pattern).unwrap();
    roster.subscribe(slot(who), id, pattern, TypeMask(types)).unwrap();
}

fn hears(roster: &mut Roster, address: &str, signal: SignalType) -> Vec<Slot> {
    roster.targets(address).iter().filter(|t| t.hears(signal)).map(|t| t.slot).collect()
}

#[test]
fn a_session_is_named_once_however_many_of_its_patterns_match() {
    let mut roster = Roster::default();
    for (id, pattern) in ["/a/b", "/a/*", "/a/**", "/**", "/a/b"].into_iter().enumerate() {
        add(&mut roster, 3, id as u32, pattern, 0xFF);
    }
    add(&mut roster, 1, 0, "/a/b", 0xFF);
    assert_eq!(hears(&mut roster, "/a/b", SignalType::Event), [slot(1), slot(3)]);
    assert_eq!(hears(&mut roster, "/a", SignalType::Event), [slot(3)]);
    assert_eq!((roster.len(), roster.patterns()), (6, 4));
}

#[test]
fn the_types_of_several_subscriptions_add_up() {
    let mut roster = Roster::default();
    add(&mut roster, 0, 0, "/a", TypeMask::EVENT.0);
    add(&mut roster, 0, 1, "/**", TypeMask::STREAM.0);
    add(&mut roster, 1, 0, "/a", 0);
    add(&mut roster, 2, 0, "/a", 0x60);
    assert_eq!(hears(&mut roster, "/a", SignalType::Event), [slot(0), slot(1), slot(2)]);
    assert_eq!(hears(&mut roster, "/a", SignalType::Stream), [slot(0), slot(1), slot(2)]);
    assert_eq!(hears(&mut roster, "/a", SignalType::Param), [slot(1), slot(2)]);
    assert_eq!(hears(&mut roster, "/b", SignalType::Event), []);
}

#[test]
fn a_removed_subscription_is_not_heard_again_though_its_answer_was_remembered() {
    let mut roster = Roster::default();
    add(&mut roster, 0, 7, "/a/*", 0xFF);
    add(&mut roster, 1, 7, "/a/*", 0xFF);
    assert_eq!(hears(&mut roster, "/a/b", SignalType::Event), [slot(0), slot(1)]);
    roster.unsubscribe(slot(0), 7, "/a/*");
    assert_eq!(hears(&mut roster, "/a/b", SignalType::Event), [slot(1)]);
    roster.unsubscribe(slot(1), 7, "/a/*");
    assert_eq!((roster.len(), roster.patterns()), (0, 0));
}

#[test]
fn the_4097th_subscription_is_refused() {
    let mut roster = Roster::default();
    for n in 0..MAX_SUBSCRIPTIONS as u32 {
        add(&mut roster, n / 64, n % 64, &format!("/{n}/*"), 0xFF);
    }
    let one_more = roster.subscribe(slot(9999), 0, Pattern::parse("/x").unwrap(), TypeMask(0));
    assert_eq!(one_more, Err(RosterFull));
    roster.unsubscribe(slot(0), 0, "/0/*");
    assert_eq!(roster.subscribe(slot(9999), 0, Pattern::parse("/x").unwrap(), TypeMask(0)), Ok(()));
}

#[test]
fn the_memory_of_answers_is_bounded_in_addresses_and_targets() {
    let mut roster = Roster::default();
    for who in 0..100 {
        add(&mut roster, who, 0, "/a/**", 0xFF);
    }
    for n in 0..5000 {
        let _ = roster.targets(&format!("/a/{n}"));
        let _ = roster.targets(&format!("/b/{n}"));
        let (addresses, targets) = roster.cache.size();
        assert!(addresses <= MATCH_CACHE_ADDRESSES && targets <= MATCH_CACHE_TARGETS);
    }
    assert!(roster.cache.size().1 > 0, "the memory is used at all");
}
