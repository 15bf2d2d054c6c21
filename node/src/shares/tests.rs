//! What shares do, between devices that each have a real router.

mod world;

use clasp_wire::message::{Features, Hello};
use router_lite::{ConnectionId, Input, Origin};

use super::*;
use crate::limits::{MAX_LINK_SUBSCRIPTIONS, SHARED_MESSAGES};
use world::{BRIDGE, Device, World};

const BOTH: &[&str] = &["/s/**"];

#[test]
fn what_a_client_sets_or_publishes_reaches_the_clients_of_the_other_device_as_it_is() {
    let mut world = World::new(&[BOTH, BOTH]);
    world.link([0, 1]);
    world.devices[1].subscribe(1, "/s/*");
    world.settle();
    for value in [1, 2] {
        world.devices[0].set("/s/temp", value);
        world.settle();
    }
    world.devices[0].publish(SignalType::Event, "/s/door", 3);
    world.devices[0].publish(SignalType::Stream, "/s/mic", 4);
    world.devices[0].set("/t/other", 5);
    world.settle();
    let told = world.devices[1].told();
    assert_eq!(told, ["/s/temp=1 r1", "/s/temp=2 r2", "/s/door!3 Event", "/s/mic!4 Stream"]);
    assert_eq!(world.devices[1].shares.counters().received, 4);
}

#[test]
fn only_what_somebody_wants_is_sent() {
    let mut world = World::new(&[BOTH, BOTH]);
    world.link([0, 1]);
    world.devices[0].set("/s/a", 1);
    world.settle();
    assert_eq!(world.carried.len(), 0, "nobody wants anything");
    world.devices[1].subscribe(1, "/s/b");
    world.settle();
    world.devices[0].set("/s/a", 2);
    world.devices[0].set("/s/b", 3);
    world.settle();
    assert_eq!((world.values_carried(), world.devices[1].told()), (1, vec!["/s/b=3 r1".to_owned()]));
    world.devices[1].unsubscribe(1);
    world.settle();
    world.devices[0].set("/s/b", 4);
    world.settle();
    assert_eq!(world.values_carried(), 0);
    assert_eq!(world.devices[0].shares.status()[0].asked, Vec::<String>::new());
}

#[test]
fn who_comes_late_gets_what_is_there_and_pages_lose_nothing() {
    let mut world = World::new(&[&["/s/**;mode=publish"], &["/s/**;mode=subscribe"]]);
    for n in 0..500 {
        world.devices[0].set(&format!("/s/{n}"), n);
        world.devices[0].settle();
    }
    world.link([0, 1]);
    world.devices[1].subscribe(1, "/**");
    world.settle();
    assert_eq!(world.devices[1].told().len(), 500);
    assert_eq!(world.devices[1].stored("/s/123"), Some((123, 1)));
    assert_eq!(world.values_carried(), 500);
    // The same client's next subscription is answered by its own router.
    world.devices[1].subscribe(2, "/s/7");
    world.settle();
    assert!(world.values_carried() <= 1);
}

#[test]
fn more_than_waits_for_a_link_is_looked_up_again() {
    let mut world = World::new(&[BOTH, BOTH]);
    world.link([0, 1]);
    world.devices[1].subscribe(1, "/s/**");
    world.settle();
    for round in 0..3 {
        for n in 0..2000 {
            world.devices[0].set(&format!("/s/{n}"), round);
            world.devices[0].settle(); // the link takes nothing meanwhile
        }
    }
    world.settle();
    for n in [0, 999, 1500, 1999] {
        assert_eq!(world.devices[1].stored(&format!("/s/{n}")), Some((2, 3)), "{n}");
    }
}

#[test]
fn events_beyond_the_bound_are_dropped_the_oldest_first_and_counted() {
    let mut world = World::new(&[BOTH, BOTH]);
    world.link([0, 1]);
    world.devices[1].subscribe(1, "/s/**");
    world.settle();
    let more = 10;
    for n in 0..i64::try_from(SHARED_MESSAGES).unwrap() + more {
        world.devices[0].publish(SignalType::Event, "/s/e", n);
        world.devices[0].settle();
    }
    let shares = &world.devices[0].shares;
    assert_eq!(shares.counters().dropped, more.unsigned_abs());
    let (totals, status) = (shares.totals(), shares.status());
    assert_eq!((totals.links, totals.asked, totals.wishes), (1, 1, 0));
    assert_eq!(totals.waiting.messages, SHARED_MESSAGES as u64);
    assert_eq!(totals.waiting, status[0].waiting);
    world.settle();
    assert_eq!(world.devices[1].told().first().map(String::as_str), Some("/s/e!10 Event"));
}

#[test]
fn nothing_makes_a_second_hop_and_nothing_goes_round() {
    // 0 and 1 are linked, and 1 and 2.
    let mut world = World::new(&[&["/**"], &["/**"], &["/**"]]);
    world.link([0, 1]);
    world.link([1, 2]);
    for device in &mut world.devices {
        device.subscribe(1, "/**");
    }
    world.settle();
    world.devices[0].set("/a", 1);
    world.devices[0].publish(SignalType::Event, "/e", 2);
    world.settle();
    assert_eq!(world.devices[1].told(), ["/a=1 r1", "/e!2 Event"]);
    assert_eq!(world.devices[2].told(), Vec::<String>::new());
    // Nor does who asks later get it from the one in the middle.
    world.devices[2].subscribe(2, "/a");
    world.settle();
    assert_eq!(world.devices[2].stored("/a"), None);
}

#[test]
fn two_writers_agree_after_a_partition() {
    for (first, second) in
        [(vec![1, 2, 3], vec![9]), (vec![5], vec![4]), (vec![4], vec![5]), (vec![7, 7], vec![7])]
    {
        let mut world = World::new(&[BOTH, BOTH]);
        for device in &mut world.devices {
            device.subscribe(1, "/s/**");
        }
        world.link([0, 1]);
        world.devices[0].set("/s/x", 0);
        world.settle();
        world.cut();
        first.iter().for_each(|value| world.devices[0].set("/s/x", *value));
        second.iter().for_each(|value| world.devices[1].set("/s/x", *value));
        world.settle();
        world.link([0, 1]);
        world.settle();
        let [one, other] = [0, 1].map(|at| world.devices[at].stored("/s/x"));
        assert_eq!(one, other, "{first:?} {second:?}");
        let longer = if first.len() > second.len() { &first } else { &second };
        if first.len() != second.len() {
            assert_eq!(one.map(|(value, _)| value), longer.last().copied(), "who wrote more often");
        } else {
            assert_eq!(one.map(|(value, _)| value), first.iter().chain(&second).max().copied());
        }
    }
}

#[test]
fn a_device_that_was_restarted_is_believed_about_what_it_wrote() {
    let mut world = World::new(&[BOTH, BOTH]);
    world.devices[1].subscribe(1, "/s/**");
    world.link([0, 1]);
    for value in 1..=50 {
        world.devices[0].set("/s/x", value);
    }
    world.settle();
    assert_eq!(world.devices[1].stored("/s/x"), Some((50, 50)));
    world.cut();
    world.devices[0] = Device::new(1, BOTH);
    world.devices[0].set("/s/x", 7);
    world.link([0, 1]);
    world.settle();
    assert_eq!(world.devices[1].stored("/s/x"), Some((7, 51)));
    assert_eq!(world.devices[0].stored("/s/x"), Some((7, 51)), "it is told which revision that has now");
    world.devices[0].set("/s/x", 8);
    world.settle();
    assert_eq!(world.devices[1].stored("/s/x"), Some((8, 52)));
}

#[test]
fn what_goes_one_way_is_taken_as_it_comes_and_not_sent_back() {
    let mut world = World::new(&[&["/s/**;mode=publish"], &["/s/**;mode=subscribe"]]);
    world.devices[0].subscribe(1, "/s/**");
    world.devices[1].subscribe(1, "/s/**");
    world.link([0, 1]);
    world.devices[0].set("/s/x", 1);
    world.settle();
    for value in [20, 21] {
        world.devices[1].set("/s/x", value);
    }
    world.settle();
    assert_eq!(world.devices[0].stored("/s/x"), Some((1, 1)));
    world.devices[0].set("/s/x", 2);
    world.settle();
    assert_eq!(world.devices[1].stored("/s/x"), Some((2, 4)));
    assert_eq!(world.devices[0].stored("/s/x"), Some((2, 2)));
}

#[test]
fn a_prefix_keeps_the_names_of_two_devices_apart() {
    let mut world = World::new(&[
        &["/s/**;with=device1;prefix=/peer/one", "/s/**;with=device2;prefix=/peer/two"],
        &["/s/**"],
        &["/s/**"],
    ]);
    world.link([0, 1]);
    world.link([0, 2]);
    world.devices[0].subscribe(1, "/peer/*/s/x");
    world.devices[1].subscribe(1, "/s/y");
    world.settle();
    world.devices[1].set("/s/x", 1);
    world.devices[2].set("/s/x", 2);
    world.devices[0].set("/peer/one/s/y", 3);
    world.settle();
    let mut told = world.devices[0].told();
    told.sort();
    assert_eq!(told, ["/peer/one/s/x=1 r1", "/peer/two/s/x=2 r1"]);
    assert_eq!(world.devices[1].told(), ["/s/y=3 r1"]);
    assert_eq!(world.devices[2].stored("/s/y"), None);
}

/// What device 0 answers when the device at the other end says this.
fn answers(world: &mut World, message: &Message<'_>) -> Vec<(u16, String)> {
    let Device { shares, here, .. } = &mut world.devices[0];
    let (id, now) = (world.ids[0], here.now.instant);
    shares.handle_message(now, id, &encode(message).unwrap(), here);
    let frames = std::iter::from_fn(|| shares.poll(id, here));
    let error = |frame: Bytes| match Message::decode_compact(&frame).unwrap().1 {
        Message::Error(error) => Some((error.code, error.address.unwrap_or_default().to_owned())),
        _ => None,
    };
    frames.filter_map(error).collect()
}

#[test]
fn what_is_not_shared_is_refused_and_the_number_of_questions_is_bounded() {
    let mut world = World::new(&[&["/s/**;mode=publish", "/in/**;mode=subscribe"], &[]]);
    world.link([0, 1]);
    let ask = |pattern: &str, id| answers_of(pattern, id);
    fn answers_of(pattern: &str, id: u32) -> Bytes {
        encode(&subscription(id, &Pattern::parse(pattern).unwrap(), TypeMask::ANY)).unwrap()
    }
    for pattern in ["/t/**", "/in/**", "/clasp/p2p/announce"] {
        let frame = ask(pattern, 1);
        let (_, message) = Message::decode_compact(&frame).unwrap();
        assert_eq!(answers(&mut world, &message), [(301, pattern.to_owned())]);
    }
    let value = Value::Int(1);
    for address in ["/s/x", "/t", "/edge/x"] {
        let set = Set { address, value, revision: Some(1), lock: false, unlock: false, ttl: None };
        assert_eq!(answers(&mut world, &Message::Set(set)), [(301, address.to_owned())]);
        assert_eq!(world.devices[0].stored(address), None);
    }
    for n in 0..=MAX_LINK_SUBSCRIPTIONS {
        let frame = ask(&format!("/s/{n}"), u32::try_from(n).unwrap());
        let (_, message) = Message::decode_compact(&frame).unwrap();
        let refused = answers(&mut world, &message);
        assert_eq!(refused.first().map(|(code, _)| *code), (n == MAX_LINK_SUBSCRIPTIONS).then_some(429));
    }
    assert_eq!(world.devices[0].shares.counters().refused, 7);
}

#[test]
fn a_node_that_wants_more_than_it_may_ask_for_asks_for_everything() {
    let mut world = World::new(&[BOTH, BOTH]);
    world.link([0, 1]);
    for n in 0..60 {
        world.devices[1].subscribe(n, &format!("/s/{n}"));
    }
    world.settle();
    assert_eq!(world.devices[1].shares.status()[0].wishes.len(), 60);
    let here = &mut world.devices[1].here;
    let second = ConnectionId::new(2);
    here.input(Input::Opened { connection: second, origin: Origin::Loopback });
    here.say(second, &Message::Hello(Hello { version: 1, features: Features::SERVED, name: "", token: "" }));
    for n in 60..70 {
        here.say(second, &subscription(n, &Pattern::parse(&format!("/s/{n}")).unwrap(), TypeMask::ANY));
    }
    let Device { shares, here, .. } = &mut world.devices[1];
    shares.handle_interests(here);
    world.settle();
    assert_eq!(world.devices[1].shares.status()[0].wishes, ["/s/**"]);
    assert_eq!(world.devices[0].shares.status()[0].asked, ["/s/**"]);
}

#[test]
fn how_the_node_is_can_be_asked_for_by_a_device() {
    let mut world = World::new(&[&[], &[]]);
    world.link([0, 1]);
    assert!(!world.devices[0].shares.wants_status());
    let question = encode(&subscription(5, &Pattern::parse(STATUS_ADDRESS).unwrap(), TypeMask::ANY)).unwrap();
    let Device { shares, here, .. } = &mut world.devices[0];
    let (id, now) = (world.ids[0], here.now.instant);
    assert!(shares.handle_message(now, id, &question, here));
    assert!(shares.wants_status());
    shares.tell_status("{}");
    let frame = shares.poll(id, here).unwrap();
    let Message::Set(set) = Message::decode_compact(&frame).unwrap().1 else { panic!() };
    assert_eq!((set.address, set.value), (STATUS_ADDRESS, Value::Str("{}")));
    shares.handle_message(now, id, &encode(&Message::Unsubscribe { id: 5 }).unwrap(), here);
    assert!(!shares.wants_status());
}

#[test]
fn what_a_link_did_not_take_goes_out_first() {
    let mut world = World::new(&[BOTH, BOTH]);
    world.link([0, 1]);
    world.devices[1].subscribe(1, "/s/**");
    world.settle();
    for value in [1, 2] {
        world.devices[0].publish(SignalType::Event, "/s/e", value);
    }
    world.devices[0].settle();
    let (id, Device { shares, here, .. }) = (world.ids[0], &mut world.devices[0]);
    let first = shares.poll(id, here).unwrap();
    shares.put_back(id, first);
    world.settle();
    assert_eq!(world.devices[1].told(), ["/s/e!1 Event", "/s/e!2 Event"]);
}

#[test]
fn a_bridge_that_was_closed_takes_up_where_it_was() {
    let mut world = World::new(&[BOTH, BOTH]);
    world.link([0, 1]);
    world.devices[1].subscribe(1, "/s/**");
    world.settle();
    world.devices[0].here.input(Input::Closed { connection: BRIDGE });
    world.devices[0].set("/s/x", 1);
    let here = &mut world.devices[0].here;
    here.input(Input::Opened { connection: BRIDGE, origin: Origin::Bridge });
    here.say(BRIDGE, &Message::Hello(Hello { version: 1, features: Features::SERVED, name: "", token: "" }));
    let Device { shares, here, .. } = &mut world.devices[0];
    shares.handle_new_session(here);
    world.settle();
    assert_eq!(world.devices[1].stored("/s/x"), Some((1, 1)), "what it missed is looked up");
    world.devices[0].set("/s/x", 2);
    world.settle();
    assert_eq!(world.devices[1].stored("/s/x"), Some((2, 2)));
}

#[test]
fn nothing_that_a_device_may_say_panics() {
    let mut world = World::new(&[BOTH, BOTH]);
    world.link([0, 1]);
    let seed = encode(&subscription(1, &Pattern::parse("/s/**").unwrap(), TypeMask::ANY)).unwrap();
    let Device { shares, here, .. } = &mut world.devices[0];
    let (id, now) = (world.ids[0], here.now.instant);
    for at in 0..seed.len() {
        for byte in 0..=255 {
            let mut frame = seed.to_vec();
            frame[at] = byte;
            shares.handle_message(now, id, &Bytes::from(frame), here);
        }
        shares.handle_message(now, id, &seed.slice(..at), here);
    }
    assert!(!shares.handle_message(now, LinkId(99), &seed, here), "a link nobody knows");
}
