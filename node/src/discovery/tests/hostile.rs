//! What strangers send.

use rand::{Rng, RngExt};

use super::*;
use crate::limits::{MAX_DISCOVERY_SOURCES, MAX_INSTANCES};

fn tell(wire: &mut Wire, to: u8, records: Vec<simple_dns::ResourceRecord<'static>>) {
    let bytes = dns::response(records).build_bytes_vec_compressed().unwrap();
    let input = Input::Message { link: LINK, source: from(66, MDNS_PORT), bytes: &bytes };
    wire.with(to, |discovery, now| discovery.handle_input(now, 0, input));
}

fn router(name: &str) -> Vec<simple_dns::ResourceRecord<'static>> {
    let instance = dns::instance_name(name).unwrap();
    let host = dns::host_name("somewhere").unwrap();
    vec![
        dns::shared(dns::service(), dns::ptr(instance.clone())),
        dns::unique(instance.clone(), u32::MAX, dns::srv(7330, host.clone())),
        dns::unique(instance, 4500, dns::txt(&[("name", name)]).unwrap()),
        dns::unique(host, 4500, dns::address(ip(66))),
    ]
}

#[test]
fn a_flood_of_routers_is_bounded_and_those_that_are_there_come_back() {
    let mut wire = Wire { broadcast: false, ..Wire::new() };
    wire.add(1, "kitchen");
    wire.add(2, "garden");
    wire.run(Duration::from_secs(5));
    for n in 0..5000 {
        tell(&mut wire, 1, router(&format!("flood-{n}")));
        assert!(wire.hosts[&1].discovery.found().count() <= MAX_INSTANCES);
        if n % 100 == 0 {
            wire.run(Duration::from_millis(10));
        }
    }
    assert!(wire.hosts[&1].discovery.counters().instances_displaced >= 4900);
    wire.with(1, |discovery, now| discovery.ask(now));
    wire.run(Duration::from_secs(2));
    assert!(wire.hosts[&1].sees().contains(&"garden".to_owned()));
    wire.run(Duration::from_secs(2 * 3600));
    assert_eq!(wire.hosts[&1].sees(), ["garden"], "however long a record says that it lives");
}

#[test]
fn answers_that_come_from_another_port_are_not_believed() {
    let mut wire = Wire::new();
    wire.add(1, "kitchen");
    let bytes = dns::response(router("evil")).build_bytes_vec_compressed().unwrap();
    let input = Input::Message { link: LINK, source: from(66, 4000), bytes: &bytes };
    wire.with(1, |discovery, now| discovery.handle_input(now, 0, input));
    assert!(wire.hosts[&1].sees().is_empty());
    let elsewhere = Link { interface: 9, v6: false };
    let input = Input::Message { link: elsewhere, source: from(66, MDNS_PORT), bytes: &bytes };
    wire.with(1, |discovery, now| discovery.handle_input(now, 0, input));
    assert!(wire.hosts[&1].sees().is_empty(), "nor from a link that is not ours");
}

#[test]
fn names_that_would_spoil_a_terminal_are_not_taken() {
    let mut wire = Wire::new();
    wire.add(1, "kitchen");
    tell(&mut wire, 1, router("evil\u{1b}[2J"));
    assert!(wire.hosts[&1].sees().is_empty());
}

#[test]
fn a_flood_of_questions_is_answered_a_little() {
    let mut wire = Wire::new();
    wire.add(1, "kitchen");
    wire.run(Duration::from_secs(10));
    let now = wire.now;
    let host = wire.hosts.get_mut(&1).unwrap();
    let mut answers = |source: SocketAddr, now| {
        host.discovery.handle_input(now, 0, Input::Question { source, bytes: &STOCK_QUESTION });
        let answered = matches!(host.discovery.poll_output(), Output::Reply { .. });
        u32::from(answered)
    };
    let one: u32 = (0..100).map(|_| answers(from(9, 40000), now)).sum();
    assert_eq!(one, 4, "from one address");
    let later = now + Duration::from_secs(10);
    let all: u32 = (0..200).map(|n| answers(from(n, 40000), later)).sum();
    assert_eq!(all, crate::limits::DISCOVERY_ANSWERS_PER_SECOND, "from all together");
    let others: u32 = (0..=255).map(|n| answers(SocketAddr::new([10, 0, 0, n].into(), 1), later)).sum();
    assert_eq!(others, 0, "nor is more answered when more than {MAX_DISCOVERY_SOURCES} ask");
    assert!(host.discovery.counters().questions_refused > 400);
}

#[test]
fn an_answer_nobody_asked_for_is_not_taken() {
    let mut wire = Wire { multicast: false, ..Wire::new() };
    wire.add(1, "kitchen");
    wire.add(2, "garden");
    wire.run(Duration::from_secs(60));
    let now = wire.now;
    let host = wire.hosts.get_mut(&2).unwrap();
    host.discovery.handle_input(now, 0, Input::Question { source: from(1, 40000), bytes: &STOCK_QUESTION });
    let Output::Reply { bytes, .. } = host.discovery.poll_output() else { panic!() };
    wire.run(Duration::from_secs(60)); // and by now the others are forgotten as well
    assert!(wire.hosts[&1].sees().is_empty());
    let late = Input::Answer { source: from(2, BROADCAST_PORT), bytes: &bytes };
    wire.with(1, |discovery, now| discovery.handle_input(now, 0, late));
    assert!(wire.hosts[&1].sees().is_empty());
}

#[test]
fn no_datagram_makes_it_panic() {
    let mut wire = Wire::new();
    wire.add(1, "kitchen");
    wire.run(Duration::from_secs(5));
    let mut rng = StdRng::from_seed([5; 32]);
    let mut seeds = vec![STOCK_QUESTION.to_vec()];
    seeds.extend(wire.heard.iter().map(|(_, message)| message.clone()));
    seeds.push(dns::response(router("evil")).build_bytes_vec_compressed().unwrap());
    for round in 0..30_000 {
        let mut bytes = seeds[round % seeds.len()].clone();
        for _ in 0..rng.random_range(0..4) {
            let at = rng.random_range(0..bytes.len());
            bytes[at] = rng.random();
        }
        bytes.truncate(rng.random_range(0..=bytes.len()));
        if round % 7 == 0 {
            rng.fill_bytes(&mut bytes);
        }
        let source = from(66, if round % 2 == 0 { MDNS_PORT } else { 4000 });
        let now = wire.now;
        let discovery = &mut wire.hosts.get_mut(&1).unwrap().discovery;
        discovery.handle_input(now, 0, Input::Message { link: LINK, source, bytes: &bytes });
        discovery.handle_input(now, 0, Input::Question { source, bytes: &bytes });
        discovery.handle_input(now, 0, Input::Answer { source, bytes: &bytes });
        while !matches!(discovery.poll_output(), Output::Idle { .. }) {}
    }
}
