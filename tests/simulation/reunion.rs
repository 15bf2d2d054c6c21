//! Paired devices connect by themselves, once, and with nobody else.

use std::time::Duration;

use clasp_node::{DeviceId, Event, LinkState, Role};
use e2e::{Lan, seeds};

const SOON: Duration = Duration::from_secs(2);

/// The device that calls, and the other.
fn by_id(lan: &Lan) -> (usize, usize) {
    if lan.id(0) < lan.id(1) { (0, 1) } else { (1, 0) }
}

fn both_linked(lan: &Lan) -> bool {
    lan.links(0).len() == 1 && lan.links(1).len() == 1
}

fn two(seed: u64) -> Lan {
    let mut lan = Lan::new(seed, &["kitchen", "garden"]);
    lan.pair(0, 1);
    lan
}

fn connections(lan: &Lan, host: usize) -> usize {
    lan.told(host).iter().filter(|(_, event)| matches!(event, Event::Connected { .. })).count()
}

#[test]
fn two_devices_that_find_each_other_are_linked_and_the_lower_id_has_called() {
    for seed in seeds(20) {
        let mut lan = two(seed);
        lan.switch_on(0, false);
        lan.run_for(Duration::from_millis(seed * 37));
        lan.switch_on(1, false);
        assert!(lan.run_until(SOON, both_linked), "seed {seed}: {lan:?}");
        let (caller, called) = by_id(&lan);
        assert_eq!(lan.links(caller)[0].role, Role::Offerer, "seed {seed}");
        lan.run_for(Duration::from_secs(120));
        assert!(both_linked(&lan), "seed {seed}");
        assert_eq!(
            [connections(&lan, 0), connections(&lan, 1)],
            [1, 1],
            "seed {seed}: one link and no other"
        );
        assert_eq!([lan.visits(caller), lan.visits(called)], [1, 0], "seed {seed}: by one session");
    }
}

#[test]
fn the_other_device_calls_if_the_first_cannot() {
    for seed in seeds(10) {
        let mut lan = two(seed);
        let (caller, called) = by_id(&lan);
        lan.close_router(called);
        lan.switch_on(0, false);
        lan.switch_on(1, false);
        assert!(lan.run_until(Duration::from_secs(5), both_linked), "seed {seed}: {lan:?}");
        assert_eq!(lan.visits(called), 1, "seed {seed}");
        assert_eq!(lan.dials(called), 1, "seed {seed}");
        assert!(lan.dials(caller) >= 1, "seed {seed}");
    }
}

#[test]
fn with_a_central_router_there_is_one_link_all_the_same() {
    for seed in seeds(40) {
        let mut lan = two(seed);
        lan.discovery = seed % 4 != 0;
        lan.start_central();
        // Now and then only one of them is on the central router.
        lan.switch_on(0, true);
        lan.run_for(Duration::from_millis(seed * 11));
        lan.switch_on(1, seed % 5 != 1 || !lan.discovery);
        assert!(lan.run_until(SOON, both_linked), "seed {seed}: {lan:?}");
        lan.run_for(Duration::from_secs(120));
        assert!(both_linked(&lan), "seed {seed}");
        let made = connections(&lan, 0) + connections(&lan, 1);
        assert!(made <= 4, "seed {seed}: {made}");
        let [a, b] = [0, 1].map(|host| lan.links(host));
        let unused = usize::from(a[0].router.place() < 2 && b[0].router.place() < 2);
        assert!(lan.visits(0) + lan.visits(1) <= 2 - unused, "seed {seed}: sessions nobody needs rest");
    }
}

#[test]
fn devices_that_restart_or_move_are_linked_again() {
    for seed in seeds(12) {
        let mut lan = two(seed);
        lan.switch_on(0, false);
        lan.switch_on(1, false);
        assert!(lan.run_until(SOON, both_linked), "seed {seed}");
        for (step, who) in [[0].as_slice(), &[1], &[0, 1]].into_iter().enumerate() {
            for host in who {
                lan.switch_off(*host);
            }
            lan.run_for(Duration::from_secs(20));
            for host in who {
                lan.switch_on(*host, false);
            }
            assert!(
                lan.run_until(Duration::from_secs(10), both_linked),
                "seed {seed}, restart {step}: {lan:?}"
            );
        }
        for who in [[0].as_slice(), &[1], &[0, 1]] {
            for host in who {
                lan.move_host(*host);
            }
            lan.run_for(Duration::from_secs(10));
            assert!(
                lan.run_until(Duration::from_secs(10), both_linked),
                "seed {seed}, move of {who:?}: {lan:?}"
            );
        }
        lan.run_for(Duration::from_secs(60));
        assert!(both_linked(&lan), "seed {seed}");
    }
}

#[test]
fn a_device_that_nobody_finds_is_looked_for_where_it_was() {
    let mut lan = two(3);
    lan.discovery = false;
    lan.remember(0, 1);
    lan.remember(1, 0);
    lan.switch_on(0, false);
    lan.run_for(Duration::from_secs(3600));
    assert!((50..=200).contains(&lan.dials(0)), "{} dials in an hour", lan.dials(0));
    lan.switch_on(1, false);
    assert!(lan.run_until(Duration::from_secs(5), both_linked), "{lan:?}");
    let remembered = |lan: &mut Lan, host, id: DeviceId| {
        lan.with_node(host, |node, _| node.pairs().by_id(id).map(|pair| pair.last_addresses().to_vec()))
    };
    let (caller, other) = by_id(&lan);
    let id = lan.id(other);
    assert_eq!(remembered(&mut lan, caller, id).unwrap().len(), 1);
}

#[test]
fn strangers_are_left_alone() {
    let mut lan = Lan::new(5, &["kitchen", "garden", "neighbour", "thief"]);
    lan.pair(0, 1);
    lan.pair(2, 3);
    for host in 0..4 {
        lan.switch_on(host, false);
    }
    assert!(lan.run_until(SOON, |lan| (0..4).all(|host| lan.links(host).len() == 1)), "{lan:?}");
    lan.run_for(Duration::from_secs(60));
    let visits: usize = (0..4).map(|host| lan.visits(host)).sum();
    assert_eq!(visits, 2);
    for host in 0..4 {
        assert_eq!(connections(&lan, host), 1);
        assert!(!lan.told(host).iter().any(|(_, event)| matches!(event, Event::Refused { .. })));
    }
}

#[test]
fn a_household_of_eight_is_linked_each_with_each() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let mut lan = Lan::new(8, &names);
    for a in 0..names.len() {
        for b in a + 1..names.len() {
            lan.pair(a, b);
        }
    }
    for host in 0..names.len() {
        lan.switch_on(host, false);
    }
    let all = |lan: &Lan| (0..names.len()).all(|host| lan.links(host).len() == names.len() - 1);
    assert!(
        lan.run_until(Duration::from_secs(60), all),
        "{:?}",
        (0..8).map(|h| lan.links(h).len()).collect::<Vec<_>>()
    );
    lan.run_for(Duration::from_secs(120));
    assert!(all(&lan));
}

#[test]
fn a_device_that_has_forgotten_the_other_is_left_in_peace() {
    let mut lan = two(6);
    lan.switch_on(0, false);
    lan.switch_on(1, false);
    assert!(lan.run_until(SOON, both_linked));
    let id = lan.id(1);
    lan.with_node(0, |node, now| node.forget(now, id)).unwrap();
    assert!(lan.run_until(SOON, |lan| lan.links(0).is_empty() && lan.links(1).is_empty()));
    let before = lan.told(0).len();
    lan.run_for(Duration::from_secs(3600));
    assert_eq!(connections(&lan, 0), 1);
    let refused =
        lan.told(0)[before..].iter().filter(|(_, event)| matches!(event, Event::Refused { .. })).count();
    assert!(refused <= 200, "{refused} offers refused in an hour");
    assert_eq!(lan.dials(0), usize::from(by_id(&lan).0 == 0), "and does not look for it");
    let states: Vec<LinkState> = lan.links(1).iter().map(|link| link.state).collect();
    assert!(states.is_empty());
}

#[test]
fn a_router_that_says_to_be_a_devices_gets_nowhere() {
    for seed in seeds(10) {
        let mut lan = Lan::new(seed, &["kitchen", "garden", "thief"]);
        lan.pair(0, 1);
        lan.discovery = false;
        for host in 0..3 {
            lan.switch_on(host, false);
        }
        for (host, other) in [(0, 1), (1, 0)] {
            lan.mislead(host, other, 2);
        }
        lan.run_for(Duration::from_secs(120));
        assert!(lan.dials(0) + lan.dials(1) > 0, "seed {seed}: it was believed enough to be dialled");
        // On the thief's router the two may meet, and prove to each other who they are; the thief is linked to nobody.
        assert_eq!(connections(&lan, 2), 0, "seed {seed}");
        assert!(both_linked(&lan), "seed {seed}");
        for host in 0..2 {
            let link = &lan.links(host)[0];
            assert_eq!(link.device, Some(lan.id(1 - host)), "seed {seed}");
        }
    }
}
