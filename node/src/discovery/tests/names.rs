//! Two devices with one name.

use super::*;

fn names(wire: &Wire) -> Vec<String> {
    let mut names: Vec<_> =
        wire.hosts.values().map(|host| host.discovery.instance().unwrap().to_owned()).collect();
    names.sort();
    names
}

#[test]
fn whoever_comes_later_takes_the_next_name() {
    let mut wire = Wire { broadcast: false, ..Wire::new() };
    for n in 1..=4 {
        wire.add(n, "kitchen");
        wire.run(Duration::from_secs(3));
    }
    for (n, name) in [(1, "kitchen"), (2, "kitchen-2"), (3, "kitchen-3"), (4, "kitchen-4")] {
        assert_eq!(wire.hosts[&n].discovery.instance(), Some(name));
        assert_eq!(wire.hosts[&n].discovery.found().count(), 3);
        assert!(
            wire.hosts[&n].discovery.found().all(|found| found.name == "kitchen"),
            "what it calls itself"
        );
    }
}

#[test]
fn of_those_that_come_at_once_each_gets_a_name_of_its_own() {
    for seed in 0..40 {
        let mut wire = Wire { broadcast: false, ..Wire::new() };
        for n in 1..=3 {
            // The same seed: they probe in the same instant.
            wire.add_seeded(n, "kitchen", if seed % 2 == 0 { seed } else { seed + n });
        }
        wire.run(Duration::from_secs(20));
        assert_eq!(names(&wire), ["kitchen", "kitchen-2", "kitchen-3"], "seed {seed}");
        assert!(wire.hosts.values().all(|host| host.discovery.found().count() == 2), "seed {seed}");
    }
}

#[test]
fn two_networks_that_become_one_sort_it_out() {
    for seed in 0..20 {
        let mut wire = Wire { broadcast: false, ..Wire::new() };
        wire.add_seeded(1, "kitchen", seed);
        wire.add_seeded(2, "kitchen", seed + 100);
        wire.plug(2, Some(1));
        wire.run(Duration::from_secs(10));
        wire.plug(2, None);
        assert_eq!(names(&wire), ["kitchen", "kitchen"]);
        wire.plug(2, Some(0));
        wire.run(Duration::from_secs(10));
        assert_eq!(names(&wire), ["kitchen", "kitchen-2"], "seed {seed}");
        assert!(wire.hosts.values().all(|host| host.discovery.found().count() == 1), "seed {seed}");
    }
}

#[test]
fn a_name_that_is_too_long_for_a_number_gives_way_to_it() {
    let long = "ö".repeat(31) + "x";
    let mut wire = Wire { broadcast: false, ..Wire::new() };
    wire.add(1, &long);
    wire.run(Duration::from_secs(3));
    wire.add(2, &long);
    wire.run(Duration::from_secs(3));
    let second = wire.hosts[&2].discovery.instance().unwrap();
    assert_eq!(second, "ö".repeat(30) + "-2");
}

#[test]
fn who_wants_none_of_our_names_does_not_make_us_shout() {
    let mut wire = Wire::new();
    wire.add(1, "kitchen");
    let begun = wire.now;
    let mut probes = 0;
    while wire.now < begun + Duration::from_secs(60) {
        wire.run(Duration::from_millis(10));
        for (_, message) in std::mem::take(&mut wire.heard) {
            let packet = Packet::parse(&message).unwrap();
            let Some(question) = packet.questions.iter().find(|q| q.qtype == QTYPE::ANY) else { continue };
            probes += 1;
            let srv = dns::unique(
                question.qname.clone().into_owned(),
                120,
                dns::srv(1, dns::host_name("evil").unwrap()),
            );
            let bytes = dns::response(vec![srv]).build_bytes_vec().unwrap();
            let input = Input::Message { link: LINK, source: from(66, MDNS_PORT), bytes: &bytes };
            wire.with(1, |discovery, now| discovery.handle_input(now, 0, input));
        }
    }
    assert!((15..=40).contains(&probes), "{probes} probes in a minute");
}
