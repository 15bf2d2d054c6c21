//! Garbage and strangers: whatever arrives, the node goes on, and honest links are not touched.

use std::time::Duration;

use bytes::Bytes;
use clasp_node::{DisconnectReason, Event, Role, RoutingMode};
use clasp_wire::p2p::{FeatureList, P2pSignal, PeerAnnounce, RelayFrame, SignalBody};
use clasp_wire::{Message, Seq, Value};
use e2e::{NodeId, World};

use crate::establishing::{connected, linked, linked_with};

pub(crate) fn signal(world: &mut World, by: NodeId, to: NodeId, correlation_id: &str, body: SignalBody<'_>) {
    let target = world.session(to).expect("ready").to_owned();
    let mut frame = Vec::new();
    P2pSignal { from: "forged", correlation_id, body, edge: true }
        .encode_publish(&target, &mut frame)
        .expect("fits");
    world.inject(by, frame);
    world.run_for(Duration::from_millis(20));
}

/// A field of a relayed signal.
pub(crate) fn field(frame: &[u8], name: &str) -> String {
    let mut scratch = Vec::new();
    let (_, message) = Message::decode(frame, &mut scratch).expect("the router's frames decode");
    let Message::Publish(publish) = message else { panic!("{message:?}") };
    let clasp_wire::message::Body::Value(value) = publish.body else { panic!("no value") };
    value.get(name).and_then(|value| value.as_str()).expect("a text field").to_owned()
}

/// The correlation id of the first offer that was relayed.
fn correlation_id(world: &World) -> String {
    field(&world.signals.first().expect("a signal was relayed").1, "correlation_id")
}

#[test]
fn a_stranger_cannot_speak_for_the_peer_of_a_link() {
    let mut world = World::seeded(1);
    let (a, b, ..) = linked(&mut world);
    let [mallory] = world.ready_nodes(["mallory"]);
    let id = correlation_id(&world);
    for body in [
        SignalBody::Disconnected { reason: Some("die") },
        SignalBody::Answer { sdp: "v=0" },
        SignalBody::IceCandidate {
            candidate: "{\"candidate\":\"candidate:1 1 udp 1 192.0.2.9 9 typ host\"}",
        },
    ] {
        signal(&mut world, mallory, a, &id, body);
        signal(&mut world, mallory, b, &id, body);
    }
    world.run_for(Duration::from_secs(10));
    for node in [a, b] {
        assert_eq!(world.count(node, |e| matches!(e, Event::Disconnected { .. })), 0);
        assert_eq!(world.with_node(node, |n, _| n.counters().foreign_signals), 3);
        let strange = world.count(node, |e| {
            matches!(e, Event::Step { step: clasp_node::Step::CandidateReceived(c), .. } if c.contains("192.0.2.9"))
        });
        assert_eq!(strange, 0);
    }
}

#[test]
fn a_forged_from_is_replaced_by_the_senders_own_session() {
    let mut world = World::seeded(2);
    let [a, b] = world.ready_nodes(["a", "b"]);
    signal(&mut world, a, b, "c", SignalBody::Connected);
    let from = field(&world.signals.last().expect("relayed").1, "from");
    assert_eq!(Some(from.as_str()), world.session(a));
}

#[test]
fn garbage_offers_are_refused_by_name_and_leave_nothing_behind() {
    let mut world = World::seeded(3);
    let [a, b] = world.ready_nodes(["a", "b"]);
    let good = {
        world.connect(a, b);
        world.run_for(Duration::from_millis(2));
        field(&world.signals.first().expect("relayed").1, "sdp")
    };
    world.run_for(Duration::from_secs(5));
    let links = world.with_node(b, |n, _| n.links().count());
    let lines: Vec<_> = good.lines().collect();
    let mut bad: Vec<String> =
        ["", "v=0", "\0\u{1}\u{fffd}", "m=application", "m=application 9 UDP/DTLS/SCTP x\r\n"]
            .map(str::to_owned)
            .to_vec();
    bad.push("x".repeat(20_000));
    bad.extend((1..lines.len()).map(|n| lines[..n].join("\r\n"))); // cut short at every line
    for text in &bad {
        signal(&mut world, a, b, &format!("bad {}", text.len()), SignalBody::Offer { sdp: text });
        world.run_for(Duration::from_secs(1)); // the limit on offers is not what is tested here
    }
    world.run_for(Duration::from_secs(15));
    assert_eq!(world.with_node(b, |n, _| n.links().count()), links);
    let refused = world.count(b, |e| matches!(e, Event::Refused { why, .. } if why.contains("SDP")));
    let failed = world.count(b, |e| matches!(e, Event::Failed { .. }));
    assert_eq!(refused + failed, bad.len(), "each was refused, or accepted and then failed");
    assert!(refused >= 7, "{refused}");
}

#[test]
fn mutated_descriptions_and_candidates_never_stop_a_node() {
    let mut world = World::seeded(4);
    let [a, b] = world.ready_nodes(["a", "b"]);
    world.connect(a, b);
    world.run_for(Duration::from_secs(1));
    let samples: Vec<Vec<u8>> = world.signals.iter().map(|(_, frame)| frame.to_vec()).collect();
    for round in 0..3_000 {
        let mut frame = samples[world.draw(samples.len())].clone();
        for _ in 0..=world.draw(8) {
            let at = world.draw(frame.len());
            match world.draw(3) {
                0 => frame[at] = world.draw(256) as u8,
                1 => frame[at] ^= 1 << world.draw(8),
                _ => frame[at] = b"\r\n:= 019az"[world.draw(10)],
            }
        }
        world.inject_from_router(b, frame);
        if round % 50 == 0 {
            world.run_for(Duration::from_secs(2));
        }
    }
    world.run_for(Duration::from_secs(30));
    // Still works.
    let [c] = world.ready_nodes(["c"]);
    world.connect(c, b);
    assert!(world.run_until(Duration::from_secs(10), |w| connected(w, c) == 1));
}

#[test]
fn garbage_datagrams_do_not_disturb_an_open_link() {
    let mut world = World::seeded(5);
    let (a, b, link, _) = linked(&mut world);
    let peer = std::net::SocketAddr::from(([10, 0, 0, 1], 5000));
    let stranger = std::net::SocketAddr::from(([192, 0, 2, 66], 6666));
    for round in 0..2_000 {
        let len = world.draw(1400);
        let first = [0, 1, 20, 22, 23, 63, 64, 128, 255][world.draw(9)];
        let mut bytes: Vec<u8> = (0..len).map(|_| world.draw(256) as u8).collect();
        if let Some(byte) = bytes.first_mut() {
            *byte = first;
        }
        world.inject_datagram(b, if round % 2 == 0 { peer } else { stranger }, bytes);
        if round % 20 == 0 {
            world.run_for(Duration::from_millis(10));
        }
    }
    world.with_node(a, |n, now| {
        n.send(now, link, clasp_node::Channel::Reliable, Bytes::from_static(b"ok")).expect("open");
    });
    world.run_for(Duration::from_secs(5));
    assert_eq!(
        world.count(b, |e| matches!(e, Event::Data { bytes, .. } if bytes == "ok")),
        1,
        "{:?}",
        world.told(b).last()
    );
    assert!(world.with_node(b, |n, _| n.counters().stray_datagrams) >= 900);
}

#[test]
fn a_flood_of_offers_is_cut_and_the_honest_peer_still_gets_through() {
    let mut world = World::seeded(6);
    let [mallory, b, honest] = world.ready_nodes(["mallory", "b", "honest"]);
    let offer = {
        world.connect(mallory, honest);
        world.run_for(Duration::from_millis(2));
        field(&world.signals.first().expect("relayed").1, "sdp")
    };
    let target = world.session(b).expect("ready").to_owned();
    for n in 0..300 {
        let mut frame = Vec::new();
        let correlation_id = format!("flood {n}");
        P2pSignal {
            from: "x",
            correlation_id: &correlation_id,
            body: SignalBody::Offer { sdp: &offer },
            edge: false,
        }
        .encode_publish(&target, &mut frame)
        .expect("fits");
        world.inject(mallory, frame);
    }
    world.run_for(Duration::from_secs(1));
    let links = world.with_node(b, |n, _| n.links().count());
    assert!(links <= 8, "{links} links of 300 offers");
    let counters = world.with_node(b, |n, _| n.counters());
    assert!(counters.offers_refused >= 290);
    assert!(counters.refused_in_silence >= 270, "{counters:?}: the flood is not answered in kind");
    world.run_for(Duration::from_secs(15));
    assert_eq!(world.with_node(b, |n, _| n.links().count()), 0, "the flood left nothing behind");
    world.connect(honest, b);
    assert!(world.run_until(Duration::from_secs(5), |w| {
        w.count(b, |e| matches!(e, Event::Connected { role: Role::Answerer, .. })) == 1
    }));
}

#[test]
fn a_stranger_that_claims_a_peers_address_cannot_take_the_data_of_an_open_link() {
    let mut world = World::seeded(8);
    let (a, b, _, link_b) = linked(&mut world);
    let [mallory] = world.ready_nodes(["mallory"]);
    // Mallory offers to a, with b's address as her candidate: a's newest link, and in the middle of its checks.
    world.connect(mallory, a);
    world.run_for(Duration::from_millis(2));
    let offers = world.signals.iter().filter(|(_, frame)| field(frame, "type") == "offer");
    let offer = field(&offers.last().expect("relayed").1, "sdp").replace("10.0.0.3", "10.0.0.2");
    assert!(offer.contains("10.0.0.2"), "{offer}");
    for round in 0..5 {
        let correlation_id = format!("theft {round}");
        signal(&mut world, mallory, a, &correlation_id, SignalBody::Offer { sdp: &offer });
        let message = Bytes::from(correlation_id);
        world.with_node(b, |n, now| {
            n.send(now, link_b, clasp_node::Channel::Reliable, message.clone()).expect("open");
        });
        world.run_for(Duration::from_millis(100));
        let arrived = world.count(a, |e| matches!(e, Event::Data { bytes, .. } if *bytes == message));
        assert_eq!(arrived, 1, "round {round}");
        world.run_for(Duration::from_secs(2));
    }
}

#[test]
fn names_and_ids_that_would_play_tricks_on_a_terminal_are_not_shown() {
    let mut world = World::seeded(9);
    let [a, b] = world.ready_nodes(["a", "b"]);
    world.run_for(Duration::from_secs(2));
    let seen = world.count(b, |e| matches!(e, Event::PeerSeen(_)));
    let long = "x".repeat(1000);
    for (session_id, name, shown) in [
        ("honest", Some("kitchen"), Some(Some("kitchen"))),
        ("tricky", Some("\u{1b}[2J"), Some(None)),
        ("wordy", Some(long.as_str()), Some(None)),
        ("esc\u{1b}ape", None, None),
        (long.as_str(), None, None),
        ("", None, None),
    ] {
        let features = FeatureList::new(&[]);
        let mut frame = Vec::new();
        PeerAnnounce { session_id, p2p_capable: true, features, name }
            .encode_publish(&mut frame)
            .expect("fits");
        world.inject_from_router(b, frame);
        world.run_for(Duration::from_millis(10));
        let got =
            world.with_node(b, |n, _| n.peers().find(|p| p.session == session_id).map(|p| p.name.clone()));
        assert_eq!(got, shown.map(|name| name.map(str::to_owned)), "{session_id:.20} {name:?}");
    }
    assert_eq!(world.count(b, |e| matches!(e, Event::PeerSeen(_))), seen + 3);
    assert!(world.session(a).is_some());
}

#[test]
fn a_flood_of_candidates_is_cut_at_the_limit() {
    let mut world = World::seeded(7);
    let [a, b] = world.ready_nodes(["a", "b"]);
    world.connect(a, b);
    world.run_for(Duration::from_millis(2));
    let id = correlation_id(&world);
    for n in 0..100 {
        let candidate =
            format!("{{\"candidate\":\"candidate:{n} 1 udp 1 192.0.2.{n} {} typ host\"}}", 1000 + n);
        signal(&mut world, a, b, &id, SignalBody::IceCandidate { candidate: &candidate });
    }
    let step = |wanted: fn(&clasp_node::Step) -> bool| {
        world.count(b, |e| matches!(e, Event::Step { step, .. } if wanted(step)))
    };
    assert_eq!(step(|s| matches!(s, clasp_node::Step::CandidateReceived(_))), 16);
    assert_eq!(step(|s| matches!(s, clasp_node::Step::CandidateSkipped(w) if w.contains("16"))), 85);
    assert_eq!(connected(&world, b), 1, "and the link works all the same");
}

#[test]
fn nobody_makes_a_node_probe_the_services_of_its_own_host() {
    let mut world = World::seeded(9);
    let [a, b] = world.ready_nodes(["a", "b"]);
    world.connect(a, b);
    world.run_for(Duration::from_millis(2));
    let id = correlation_id(&world);
    for address in ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"] {
        let candidate = format!("{{\"candidate\":\"candidate:1 1 udp 1 {address} 6379 typ host\"}}");
        signal(&mut world, a, b, &id, SignalBody::IceCandidate { candidate: &candidate });
    }
    let skipped = |e: &Event| matches!(e, Event::Step { step: clasp_node::Step::CandidateSkipped(w), .. } if w.starts_with("loopback"));
    assert_eq!(world.count(b, skipped), 4);
}

#[test]
fn restart_offers_of_strangers_change_nothing_and_open_nothing() {
    let mut world = World::seeded(10);
    let (a, b, link, _) = linked(&mut world);
    let [mallory] = world.ready_nodes(["mallory"]);
    let good = field(&world.signals.first().expect("relayed").1, "sdp");
    let at = good.find("m=").expect("a media section");
    let marked = format!("{}a=x-clasp-restart:1\r\n{}", &good[..at], &good[at..]);
    for n in 0..20 {
        signal(&mut world, mallory, b, &format!("guess {n}"), SignalBody::Offer { sdp: &marked });
    }
    assert_eq!(world.with_node(b, |n, _| n.links().count()), 1);
    let refused = world.count(b, |e| matches!(e, Event::Refused { why, .. } if why.contains("ended")));
    assert_eq!(refused, 20);
    // Even with the right correlation id, what is no usable offer moves nothing.
    let id = correlation_id(&world);
    world.run_for(Duration::from_secs(3));
    for garbage in ["a=x-clasp-restart:1\r\n", "v=0\r\na=x-clasp-restart:2\r\nm=audio 9 RTP/AVP 0\r\n"] {
        signal(&mut world, mallory, b, &id, SignalBody::Offer { sdp: garbage });
    }
    world.run_for(Duration::from_secs(10));
    assert_eq!(
        world.count(b, |e| matches!(e, Event::State { state: clasp_node::LinkState::Restarting, .. })),
        0
    );
    let mallory_session = world.session(mallory).map(str::to_owned);
    assert!(world.with_node(b, |n, _| n.links().all(|link| Some(&link.peer) != mallory_session.as_ref())));
    let hello = Bytes::from_static(b"still here");
    world.with_node(a, |n, now| n.send(now, link, clasp_node::Channel::Reliable, hello)).expect("open");
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.count(b, |e| matches!(e, Event::Data { .. })), 1);
}

/// What a stranger, or an evil router, says in a node's name.
fn relay(world: &mut World, by: NodeId, to: NodeId, frame: RelayFrame<'_>) {
    let mut bytes = Vec::new();
    let session = world.session(to).expect("ready").to_owned();
    frame.encode_publish(&session, &mut bytes).expect("it fits");
    world.inject(by, bytes);
    world.run_for(Duration::from_millis(20));
}

fn empty_relay(link: &str) -> RelayFrame<'_> {
    RelayFrame {
        from: "forged",
        correlation_id: link,
        mode: "prefer-p2p",
        open: false,
        reply: true,
        gone: 0,
        received: 0,
        first: 0,
        messages: Seq::empty(),
        streams: Seq::empty(),
    }
}

#[test]
fn relayed_messages_for_links_nobody_has_are_refused_and_links_asked_for_are_counted() {
    let mut world = World::seeded(11);
    let (_, b, ..) = linked(&mut world);
    let [mallory] = world.ready_nodes(["mallory"]);
    let data = [Value::Bytes(b"for you")];
    for n in 0..50 {
        let link = format!("guess {n}");
        relay(
            &mut world,
            mallory,
            b,
            RelayFrame { first: 1, messages: Seq::items(&data), ..empty_relay(&link) },
        );
    }
    assert_eq!(world.with_node(b, |n, _| n.links().count()), 1);
    let refused =
        |w: &World, why: &str| w.count(b, |e| matches!(e, Event::Refused { why: w, .. } if w.contains(why)));
    assert_eq!(refused(&world, "ended"), 50);
    world.stall(mallory); // an honest node would say that it knows of no such link
    for n in 0..50 {
        let link = format!("asked for {n}");
        relay(&mut world, mallory, b, RelayFrame { open: true, ..empty_relay(&link) });
    }
    let links = world.with_node(b, |n, _| n.links().count());
    assert!(links <= 1 + clasp_node::limits::MAX_PEERS && links > 1, "{links}");
    assert!(refused(&world, "too many") >= 30);
    // Nobody is behind them, so they do not stay.
    world.run_for(Duration::from_secs(40));
    assert_eq!(world.with_node(b, |n, _| n.links().count()), 1);
    assert_eq!(world.count(b, |e| matches!(e, Event::Data { .. })), 0);
}

#[test]
fn a_claim_to_have_what_was_never_sent_ends_the_link_with_that_reason() {
    let mut world = World::seeded(12);
    let (a, b, ..) = linked(&mut world);
    let link = correlation_id(&world);
    let wire = world.session(a).expect("ready").to_owned();
    relay(&mut world, a, b, RelayFrame { from: &wire, received: 1, ..empty_relay(&link) });
    let violation = |e: &Event| matches!(e, Event::Disconnected { why: DisconnectReason::Violation(why), .. } if why.contains("never sent"));
    assert!(world.run_until(Duration::from_secs(1), |w| w.count(b, violation) == 1), "{:?}", world.told(b));
    assert!(world.run_until(Duration::from_secs(2), |w| {
        w.count(a, |e| matches!(e, Event::Disconnected { .. })) == 1
    }));
}

#[test]
fn another_connection_for_a_link_needs_the_certificate_of_the_first() {
    let mut world = World::seeded(13);
    let (a, b, link, _) = linked(&mut world);
    let [mallory, helper] = world.ready_nodes(["mallory", "helper"]);
    // An offer of mallory's own, marked as one for the link of a and b, whose id only an evil router could know.
    let own = correlation_id(&world);
    world.connect(mallory, helper);
    world.run_for(Duration::from_millis(50));
    let is_offer = |(_, frame): &&(NodeId, Bytes)| field(frame, "type") == "offer";
    let offer = field(&world.signals.iter().rev().find(is_offer).expect("relayed").1, "sdp");
    let at = offer.find("m=").expect("a media section");
    let marked = format!("{}a=x-clasp-resume:2 {own}\r\n{}", &offer[..at], &offer[at..]);
    signal(&mut world, mallory, b, "another", SignalBody::Offer { sdp: &marked });
    let refused = |e: &Event| matches!(e, Event::Refused { why, .. } if why.contains("certificate"));
    assert_eq!(world.count(b, refused), 1, "{:?}", world.told(b));
    let hello = Bytes::from_static(b"still here");
    world.with_node(a, |n, now| n.send(now, link, clasp_node::Channel::Reliable, hello)).expect("open");
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.count(b, |e| matches!(e, Event::Data { .. })), 1);
}

#[test]
fn a_peer_that_takes_back_every_way_in_common_ends_the_link_and_its_connection() {
    let mut world = World::seeded(14);
    let (a, b, link, _) = linked_with(&mut world, RoutingMode::P2pOnly);
    let id = correlation_id(&world);
    let wire = world.session(a).expect("ready").to_owned();
    relay(&mut world, a, b, RelayFrame { from: &wire, mode: "relay-only", ..empty_relay(&id) });
    world.run_for(Duration::from_secs(2));
    let told = |w: &World| {
        (
            w.count(b, |e| matches!(e, Event::Disconnected { .. })),
            w.count(b, |e| matches!(e, Event::Failed { .. })),
        )
    };
    assert_eq!(told(&world), (1, 0), "{:?}", world.told(b));
    assert_eq!(world.with_node(b, |n, _| n.links().count()), 0, "nothing is left of it");
    let late = Bytes::from_static(b"still there?");
    assert!(world.with_node(a, |n, now| n.send(now, link, clasp_node::Channel::Reliable, late)).is_err());
}
