//! Signals that are lost, doubled or overtaken. A router delivers in order, but not every router, and not under load.

use std::time::Duration;

use clasp_node::{Event, FailReason};
use e2e::{Faults, World, seeds};

use crate::establishing::connected;

#[test]
fn doubled_and_overtaken_signals_still_make_exactly_one_link() {
    let faults = Faults { duplicated: 0.5, delayed: 0.5, lost: 0.0 };
    for seed in seeds(100) {
        let mut world = World::seeded(seed).faults(faults);
        let [a, b] = world.ready_nodes(["a", "b"]);
        world.connect(a, b);
        let opened =
            world.run_until(Duration::from_secs(10), |w| connected(w, a) == 1 && connected(w, b) == 1);
        assert!(opened, "seed {seed}: {:?}\n{:?}", world.told(a), world.told(b));
        world.run_for(Duration::from_secs(15));
        assert_eq!((connected(&world, a), connected(&world, b)), (1, 1), "seed {seed}");
        assert_eq!(world.with_node(b, |n, _| n.links().count()), 1, "seed {seed}");
    }
}

#[test]
fn candidates_that_overtake_their_offer_or_answer_are_used() {
    // Every signal is delayed at random, so candidates come first in about half of the runs; the nodes have only one
    // address each, so a lost candidate would have to be made up for by a peer-reflexive one.
    let (mut overtaken, runs) = (0, seeds(60));
    for seed in runs.clone() {
        let mut world = World::seeded(seed).faults(Faults { delayed: 1.0, ..Faults::default() });
        let [a, b] = world.ready_nodes(["a", "b"]);
        world.connect(a, b);
        assert!(world.run_until(Duration::from_secs(10), |w| connected(w, a) == 1), "seed {seed}");
        world.run_for(Duration::from_secs(1));
        for node in [a, b] {
            let received = world.count(node, |e| {
                matches!(e, Event::Step { step: clasp_node::Step::CandidateReceived(_), .. })
            });
            assert_eq!(received, 1, "seed {seed}: {:?}", world.told(node));
        }
        // A candidate that waited is used in the very instant its offer or answer arrives.
        for (node, description) in [(a, "AnswerReceived"), (b, "OfferReceived")] {
            let at = |wanted: &str| {
                let step = |e: &Event| matches!(e, Event::Step { step, .. } if format!("{step:?}").starts_with(wanted));
                world.told(node).iter().find(|(_, e)| step(e)).map(|(at, _)| *at)
            };
            overtaken += u64::from(at("CandidateReceived") == at(description));
        }
    }
    let runs = runs.end;
    assert!((runs / 3..=runs * 5 / 3).contains(&overtaken), "{overtaken} of {} came too early", runs * 2);
}

#[test]
fn a_lost_offer_or_answer_ends_in_no_answer_and_nothing_stays_behind() {
    for seed in seeds(20) {
        let mut world = World::seeded(seed).faults(Faults { lost: 1.0, ..Faults::default() });
        let [a, b] = world.ready_nodes(["a", "b"]);
        world.connect(a, b);
        world.run_for(Duration::from_secs(25));
        let no_answer = |e: &Event| matches!(e, Event::Failed { why: FailReason::NoAnswer(_), .. });
        assert_eq!(world.count(a, no_answer), 1, "seed {seed}: {:?}", world.told(a));
        for node in [a, b] {
            assert_eq!(world.with_node(node, |n, _| n.links().count()), 0, "seed {seed}");
        }
        // The next call goes through once the network does.
        world.set_faults(Faults::default());
        world.connect(a, b);
        assert!(world.run_until(Duration::from_secs(5), |w| connected(w, a) == 1), "seed {seed}");
    }
}

#[test]
fn some_loss_either_connects_or_fails_with_a_reason_but_never_hangs() {
    for seed in seeds(100) {
        let mut world = World::seeded(seed).faults(Faults { lost: 0.3, duplicated: 0.2, delayed: 0.3 });
        let [a, b] = world.ready_nodes(["a", "b"]);
        world.connect(a, b);
        world.run_for(Duration::from_secs(40));
        let ends = |world: &World, node| {
            world.count(node, |e| matches!(e, Event::Failed { .. } | Event::Disconnected { .. }))
        };
        assert_eq!(connected(&world, a).max(ends(&world, a)), 1, "seed {seed}: {:?}", world.told(a));
        assert!(ends(&world, b) <= 1, "seed {seed}: {:?}", world.told(b));
        for node in [a, b] {
            let left = world.with_node(node, |n, _| n.links().count());
            let alive = connected(&world, node) - ends(&world, node).min(connected(&world, node));
            assert_eq!(left, alive, "seed {seed}: {:?}", world.told(node));
        }
    }
}
