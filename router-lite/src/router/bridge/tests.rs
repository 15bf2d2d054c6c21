use bytes::Bytes;
use clasp_wire::{
    Message, Value,
    message::{Features, Hello, Subscribe, Ttl},
};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};

use super::*;
use crate::{Config, Input, Origin, Output, test_support::t0};

const BRIDGE: ConnectionId = ConnectionId::new(0);
const CLIENT: ConnectionId = ConnectionId::new(1);

struct Room(Router);

fn encode(message: &Message<'_>) -> Bytes {
    let mut frame = Vec::new();
    message.encode_into(&mut frame).unwrap();
    frame.into()
}

fn set<'a>(address: &'a str, value: Value<'a>, revision: Option<u64>) -> Set<'a> {
    Set { address, value, revision, lock: false, unlock: false, ttl: None }
}

impl Room {
    /// A router with a bridge and a client, both subscribed to everything.
    fn new(seed: u8) -> Self {
        let mut room = Self(Router::new([seed; 32], t0(), Config::default()));
        for (connection, origin) in [(BRIDGE, Origin::Bridge), (CLIENT, Origin::Loopback)] {
            room.input(Input::Opened { connection, origin });
            room.say(
                connection,
                &Message::Hello(Hello { version: 1, features: Features::SERVED, name: "", token: "" }),
            );
            room.subscribe(connection, 1, "/**");
            room.heard(connection);
        }
        room
    }

    fn input(&mut self, input: Input) {
        self.0.handle_input(t0(), input);
        self.drain();
    }

    fn drain(&mut self) {
        while !matches!(self.0.poll_output(), Output::Idle { .. }) {}
    }

    fn say(&mut self, connection: ConnectionId, message: &Message<'_>) {
        self.input(Input::Frame { connection, frame: encode(message) });
    }

    fn subscribe(&mut self, connection: ConnectionId, id: u32, pattern: &str) {
        let (max_rate, epsilon, history, window) = (None, None, None, None);
        let types = TypeMask::PARAM;
        self.say(
            connection,
            &Message::Subscribe(Subscribe { id, pattern, types, max_rate, epsilon, history, window }),
        );
    }

    fn adopt(&mut self, set: &Set<'_>, precedence: Precedence) -> Adoption {
        let adoption = self.0.adopt(t0(), BRIDGE, set, precedence);
        self.drain();
        adoption
    }

    /// Address, value and revision of the SETs that came.
    fn heard(&mut self, connection: ConnectionId) -> Vec<(String, i64, u64)> {
        let frames = std::iter::from_fn(|| self.0.poll_transmit(connection, usize::MAX));
        let read = |frame: Bytes| match Message::decode_compact(&frame).unwrap().1 {
            Message::Set(Set { address, value: Value::Int(value), revision: Some(revision), .. }) => {
                Some((address.to_owned(), value, revision))
            }
            _ => None,
        };
        frames.filter_map(read).collect()
    }

    fn stored(&self, address: &str) -> Option<(i64, u64, bool)> {
        let found = self.0.stored(t0(), BRIDGE, &Pattern::parse(address).unwrap(), None, 1).pop()?;
        match Message::decode_compact(&found.frame).unwrap().1 {
            Message::Set(Set { value: Value::Int(value), revision: Some(revision), .. }) => {
                Some((value, revision, found.own))
            }
            _ => None,
        }
    }
}

#[test]
fn a_parameter_from_elsewhere_keeps_its_revision_and_everybody_hears_of_it_but_the_bridge() {
    let mut room = Room::new(1);
    let taken = room.adopt(&set("/a", Value::Int(7), Some(41)), Precedence::Ranked);
    assert_eq!(taken, Adoption::Taken { revision: 41 });
    assert_eq!(room.heard(CLIENT), [("/a".to_owned(), 7, 41)]);
    assert_eq!(room.heard(BRIDGE), []);
    room.say(CLIENT, &Message::Set(set("/a", Value::Int(8), Some(41))));
    assert_eq!(room.heard(BRIDGE), [("/a".to_owned(), 8, 42)]);
    // What it writes as a client does it does not hear either.
    room.say(BRIDGE, &Message::Set(set("/b", Value::Int(1), None)));
    assert_eq!((room.heard(BRIDGE), room.heard(CLIENT).len()), (Vec::new(), 2));
}

#[test]
fn the_higher_revision_stays_and_of_the_same_one_the_greater_value() {
    let mut room = Room::new(1);
    let mut adopt = |value, revision, precedence| {
        let adoption = room.adopt(&set("/a", Value::Int(value), Some(revision)), precedence);
        (adoption, room.stored("/a").unwrap())
    };
    let (ranked, latest) = (Precedence::Ranked, Precedence::Latest);
    assert_eq!(adopt(5, 3, ranked).0, Adoption::Taken { revision: 3 });
    assert_eq!(adopt(5, 3, ranked).0, Adoption::Same);
    assert_eq!(adopt(5, 3, latest).0, Adoption::Same);
    assert!(matches!(adopt(4, 3, ranked), (Adoption::Kept { own: true, .. }, (5, 3, true))));
    assert!(matches!(adopt(9, 2, ranked), (Adoption::Kept { own: true, .. }, (5, 3, true))));
    assert_eq!(adopt(6, 3, ranked), (Adoption::Taken { revision: 3 }, (6, 3, true)));
    assert_eq!(adopt(1, 1, latest), (Adoption::Taken { revision: 4 }, (1, 4, true)));
    assert_eq!(adopt(2, 9, latest), (Adoption::Taken { revision: 9 }, (2, 9, true)));
    room.say(CLIENT, &Message::Set(set("/a", Value::Int(3), None)));
    let Adoption::Kept { own: false, frame } = room.adopt(&set("/a", Value::Int(2), Some(9)), ranked) else {
        panic!()
    };
    let Message::Set(kept) = Message::decode_compact(&frame).unwrap().1 else { panic!() };
    assert_eq!((kept.value, kept.revision), (Value::Int(3), Some(10)));
}

#[test]
fn locks_reserved_addresses_and_what_is_no_bridge_are_respected() {
    let mut room = Room::new(1);
    room.say(CLIENT, &Message::Set(Set { lock: true, ..set("/a", Value::Int(1), None) }));
    let mut refused = |address| room.adopt(&set(address, Value::Int(2), Some(9)), Precedence::Latest);
    for (address, why) in
        [("/a", "LockHeld"), ("/clasp/p2p/signal/x", "reserved"), ("/a/*", "wildcard"), ("", "empty")]
    {
        let Adoption::Refused(text) = refused(address) else { panic!("{address}") };
        assert!(text.to_lowercase().contains(&why.to_lowercase()), "{address}: {text}");
    }
    assert_eq!(room.stored("/a"), Some((1, 1, false)));
    let adoption = room.0.adopt(t0(), CLIENT, &set("/b", Value::Int(1), None), Precedence::Latest);
    assert!(matches!(adoption, Adoption::Refused(_)));
}

#[test]
fn a_lifetime_from_elsewhere_counts() {
    let mut room = Room::new(1);
    let brief = Set { ttl: Some(Ttl::Sliding(5)), ..set("/a", Value::Int(1), Some(3)) };
    room.adopt(&brief, Precedence::Ranked);
    let mut later = t0();
    later.instant += std::time::Duration::from_secs(6);
    assert_eq!(room.0.stored(later, BRIDGE, &Pattern::parse("/**").unwrap(), None, 9), []);
}

#[test]
fn what_is_stored_is_read_page_by_page() {
    let mut room = Room::new(1);
    for n in 0..7 {
        room.say(CLIENT, &Message::Set(set(&format!("/s/{n}"), Value::Int(n), None)));
    }
    room.adopt(&set("/s/7", Value::Int(7), Some(1)), Precedence::Ranked);
    room.adopt(&set("/t", Value::Int(7), Some(1)), Precedence::Ranked);
    let (pattern, mut after, mut pages) = (Pattern::parse("/s/*").unwrap(), None::<Box<str>>, Vec::new());
    loop {
        let page = room.0.stored(t0(), BRIDGE, &pattern, after.as_deref(), 3);
        after = page.last().map(|param| param.address.clone());
        pages.push(page.iter().map(|param| (param.address.to_string(), param.own)).collect::<Vec<_>>());
        if page.len() < 3 {
            break;
        }
    }
    let all: Vec<_> = (0..8).map(|n| (format!("/s/{n}"), n == 7)).collect();
    assert_eq!(pages, [&all[..3], &all[3..6], &all[6..]]);
}

#[test]
fn the_bridge_knows_what_others_subscribe_to() {
    let mut room = Room::new(1);
    let named = |room: &Room| -> Vec<(String, u8)> {
        let interests = room.0.interests(BRIDGE);
        interests.iter().map(|interest| (interest.pattern.to_string(), interest.types.0)).collect()
    };
    assert_eq!(named(&room), [("/**".to_owned(), 1)]);
    let before = room.0.interests_version();
    room.subscribe(CLIENT, 2, "/a");
    room.subscribe(BRIDGE, 2, "/b");
    assert_eq!(named(&room), [("/a".to_owned(), 1), ("/**".to_owned(), 1)]);
    assert_ne!(room.0.interests_version(), before);
    room.input(Input::Closed { connection: CLIENT });
    assert_eq!(named(&room), []);
}

#[test]
fn a_bridge_is_as_quick_as_those_it_speaks_for() {
    let mut room = Room::new(1);
    for n in 0..5000 {
        room.say(BRIDGE, &Message::Set(set("/a", Value::Int(n), None)));
        room.heard(CLIENT);
    }
    assert_eq!(room.stored("/a"), Some((4999, 5000, true)));
}

#[test]
fn routers_that_show_each_other_what_they_have_agree_in_whatever_order() {
    for seed in 0..200 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut rooms = [Room::new(1), Room::new(2)];
        for room in &mut rooms {
            for _ in 0..rng.random_range(1..6) {
                room.say(CLIENT, &Message::Set(set("/a", Value::Int(rng.random_range(0..4)), None)));
            }
        }
        // What either had at some time arrives at the other one at any time later, and what it kept comes back.
        let mut shown: Vec<(usize, i64, u64)> = Vec::new();
        for (to, from) in [(0, 1), (1, 0)] {
            shown.extend(
                rooms[from].heard(BRIDGE).into_iter().map(|(_, value, revision)| (to, value, revision)),
            );
        }
        shown.shuffle(&mut rng);
        while let Some((to, value, revision)) = shown.pop() {
            let adoption = rooms[to].adopt(&set("/a", Value::Int(value), Some(revision)), Precedence::Ranked);
            if let Adoption::Kept { own: false, .. } = adoption {
                let (value, revision, _) = rooms[to].stored("/a").unwrap();
                shown.insert(0, (1 - to, value, revision));
            }
            assert!(shown.len() < 100, "seed {seed}: no end");
        }
        let [one, other] =
            rooms.each_ref().map(|room| room.stored("/a").map(|(value, revision, _)| (value, revision)));
        assert_eq!(one, other, "seed {seed}");
    }
}
