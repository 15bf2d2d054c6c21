//! Candidates that name their address (`….local`) instead of telling it.

use std::net::IpAddr;
use std::time::Duration;

use clasp_node::{Event, NodeConfig, RoutingMode, Step};
use e2e::{NodeId, World, seeds};

use crate::establishing::connected;

/// Two nodes that only go directly, and have heard nothing of each other's address.
fn strangers(seed: u64) -> (World, NodeId, NodeId) {
    let mut world = World::seeded(seed);
    let nodes = ["a", "b"].map(|name| {
        let config =
            NodeConfig { name: name.to_owned(), routing: RoutingMode::P2pOnly, ..NodeConfig::open() };
        world.node_with(config)
    });
    let [a, b] = nodes;
    assert!(world.run_until(Duration::from_secs(5), |w| nodes.iter().all(|n| w.session(*n).is_some())));
    (world, a, b)
}

fn skipped(world: &World, node: NodeId, why: &str) -> usize {
    world.count(node, |e| matches!(e, Event::Step { step: Step::CandidateSkipped(w), .. } if w.contains(why)))
}

fn received(world: &World, node: NodeId, address: IpAddr) -> usize {
    let address = format!(" {address} ");
    world.count(
        node,
        |e| matches!(e, Event::Step { step: Step::CandidateReceived(line), .. } if line.contains(&address)),
    )
}

#[test]
fn a_link_opens_between_nodes_that_hide_their_addresses_from_the_router() {
    for seed in seeds(20) {
        let (mut world, a, b) = strangers(seed);
        for node in [a, b] {
            world.hide(node, Some(world.ip(node)));
        }
        world.connect(a, b);
        let open = world.run_until(Duration::from_secs(5), |w| connected(w, a) == 1 && connected(w, b) == 1);
        assert!(open, "seed {seed}");
        assert_eq!(
            (received(&world, a, world.ip(b)), received(&world, b, world.ip(a))),
            (1, 1),
            "seed {seed}"
        );
        // The offer or answer asks, and when it is told so quickly, the trickled candidate asks again.
        let asked = [a, b].map(|node| world.queries(node).count());
        assert!(asked.iter().all(|count| (2..=4).contains(count)), "seed {seed}: {asked:?}");
        world.run_for(Duration::from_secs(60));
        assert_eq!(
            [a, b].map(|node| world.queries(node).count()),
            asked,
            "seed {seed}: and nothing is asked later"
        );
    }
}

#[test]
fn a_name_nobody_answers_for_is_skipped_after_three_queries_and_holds_nobody_up() {
    let (mut world, a, b) = strangers(1);
    world.hide(a, None);
    world.connect(a, b);
    // The other way round the address is known, and a's checks tell b where they come from.
    assert!(world.run_until(Duration::from_secs(2), |w| connected(w, b) == 1));
    let begun = world.queries(b).next().expect("asked at once");
    world.run_for(Duration::from_secs(60));
    let times: Vec<_> = world.queries(b).map(|at| (at - begun).as_secs()).collect();
    assert_eq!(times, [0, 0, 1, 1, 3, 3], "for an IPv4 and an IPv6 address each time");
    assert_eq!(skipped(&world, b, "a1.local: nobody answered within 5s"), 1);
    assert_eq!(received(&world, b, world.ip(a)), 0);
}

#[test]
fn without_an_answer_there_is_no_path() {
    let (mut world, a, b) = strangers(2);
    for node in [a, b] {
        world.hide(node, None);
    }
    world.connect(a, b);
    world.run_for(Duration::from_secs(30));
    assert_eq!((connected(&world, a), connected(&world, b)), (0, 0));
}

#[test]
fn an_answer_is_held_to_the_rules_for_addresses() {
    for (answer, why) in [
        ("127.0.0.1", "loopback address 127.0.0.1"),
        ("169.254.169.254", "address 169.254.169.254"),
        ("224.0.0.251", "address 224.0.0.251"),
        ("255.255.255.255", "address 255.255.255.255"),
    ] {
        let (mut world, a, b) = strangers(3);
        world.hide(a, Some(answer.parse().expect("an address")));
        world.connect(a, b);
        world.run_for(Duration::from_secs(2));
        assert_eq!(skipped(&world, b, why), 1, "{answer}");
    }
}

#[test]
fn when_the_link_ends_the_questions_end() {
    let (mut world, a, b) = strangers(4);
    world.hide(a, None);
    let link = world.connect(a, b);
    assert!(world.run_until(Duration::from_secs(2), |w| connected(w, b) == 1 && connected(w, a) == 1));
    world.with_node(a, |node, now| node.disconnect(now, link, "done"));
    world.run_for(Duration::from_secs(30));
    assert_eq!(world.queries(b).count(), 2);
}

#[test]
fn names_beyond_the_limit_are_not_asked_for() {
    let (mut world, a, b) = strangers(5);
    let sdp =
        (0..100).map(|n| format!("a=candidate:1 1 udp 1 n{n}.local 5 typ host\r\n")).collect::<String>();
    world.connect(a, b);
    assert!(world.run_until(Duration::from_secs(2), |w| !w.signals.is_empty()));
    let (_, frame) = world.signals.first().expect("the offer").clone();
    let offer = crate::hostile::field(&frame, "sdp") + &sdp;
    for n in 0..8 {
        let body = clasp_wire::p2p::SignalBody::Offer { sdp: &offer };
        crate::hostile::signal(&mut world, a, b, &format!("flood {n}"), body);
    }
    world.run_for(Duration::from_secs(60));
    let asked = world.queries(b).count();
    assert!(asked <= 6 * (16 + 16), "{asked} queries");
    assert!(asked >= 6 * 16, "{asked} queries");
}
