use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use clasp_wire::Message;
use clasp_wire::message::{Features, Hello};
use simple_dns::rdata::RData;
use simple_dns::{Packet, QTYPE, TYPE};

use super::*;
use crate::clock_for_tests::start;

mod hostile;
mod links;
mod names;

const LINK: Link = Link { interface: 2, v6: false };

/// What the stock asker sends (protocol reference §10).
const STOCK_QUESTION: [u8; 20] = *b"\x53\x01\x00\x10\x01\x01\x00\x00\x09Discovery\x00\x00";

fn device(n: u8) -> DeviceId {
    DeviceId::of(&[n; 32])
}

fn ip(n: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, n).into()
}

fn from(n: u8, port: u16) -> SocketAddr {
    SocketAddr::new(ip(n), port)
}

struct Host {
    discovery: Discovery,
    /// What it has been told, in its order.
    told: Vec<Output>,
    /// Which part of the network it is on, if on any.
    part: Option<u8>,
}

impl Host {
    fn sees(&self) -> Vec<String> {
        let mut names: Vec<_> = self
            .discovery
            .found()
            .map(|found| found.instance.clone().unwrap_or_else(|| found.name.clone()))
            .collect();
        names.sort();
        names
    }
}

/// Hosts on one wire, in virtual time.
struct Wire {
    now: Instant,
    hosts: BTreeMap<u8, Host>,
    multicast: bool,
    broadcast: bool,
    /// Messages to the group, with their sender.
    heard: Vec<(u8, Vec<u8>)>,
}

impl Wire {
    fn new() -> Self {
        Self { now: start(), hosts: BTreeMap::new(), multicast: true, broadcast: true, heard: Vec::new() }
    }

    fn add(&mut self, n: u8, name: &str) {
        self.add_seeded(n, name, n);
    }

    fn add_seeded(&mut self, n: u8, name: &str, seed: u8) {
        let advertised = Advertised { name: name.to_owned(), port: 7330 };
        let discovery = Discovery::new([seed; 32], self.now, device(n), Some(advertised));
        self.hosts.insert(n, Host { discovery, told: Vec::new(), part: None });
        self.plug(n, Some(0));
    }

    fn plug(&mut self, n: u8, part: Option<u8>) {
        let now = self.now;
        let network = Network { link: LINK, addresses: vec![ip(n)] };
        let networks = if part.is_some() { vec![network] } else { vec![] };
        let host = self.hosts.get_mut(&n).unwrap();
        host.part = part;
        host.discovery.handle_input(now, 0, Input::Networks(&networks));
        host.discovery.ask(now);
        self.drain();
    }

    fn with(&mut self, n: u8, act: impl FnOnce(&mut Discovery, Instant)) {
        let now = self.now;
        act(&mut self.hosts.get_mut(&n).unwrap().discovery, now);
        self.drain();
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let wakes = self.hosts.values_mut().filter_map(|host| match host.discovery.poll_output() {
                Output::Idle { wake } => wake.map(|wake| wake.at),
                output => panic!("not drained: {output:?}"),
            });
            let next = wakes.min().filter(|at| *at <= end);
            self.now = next.map_or(end, |at| at.max(self.now));
            let now = self.now;
            for host in self.hosts.values_mut() {
                host.discovery.handle_input(now, 0, Input::Timeout);
            }
            self.drain();
            if next.is_none() {
                return;
            }
        }
    }

    /// Delivers what the hosts send, until none has anything to say.
    fn drain(&mut self) {
        let numbers: Vec<u8> = self.hosts.keys().copied().collect();
        while numbers.iter().any(|n| self.drain_host(*n)) {}
    }

    fn drain_host(&mut self, n: u8) -> bool {
        let (now, mut any) = (self.now, false);
        loop {
            let host = self.hosts.get_mut(&n).unwrap();
            let part = host.part;
            match host.discovery.poll_output() {
                Output::Idle { .. } => return any,
                Output::Multicast { link, message } => {
                    assert!(message.len() <= 1500);
                    self.heard.push((n, message.clone()));
                    for other in self.hosts.values_mut().filter(|other| self.multicast && other.part == part)
                    {
                        let input = Input::Message { link, source: from(n, MDNS_PORT), bytes: &message };
                        other.discovery.handle_input(now, 0, input);
                    }
                }
                Output::Broadcast(question) => {
                    let mut answers = Vec::new();
                    for (to, other) in
                        self.hosts.iter_mut().filter(|(_, other)| self.broadcast && other.part == part)
                    {
                        let input = Input::Question { source: from(n, 40000), bytes: &question };
                        other.discovery.handle_input(now, 0, input);
                        answers.push(*to);
                    }
                }
                Output::Reply { to, bytes } => {
                    let asker = to.ip();
                    let place = self.hosts.iter_mut().find(|(other, _)| ip(**other) == asker);
                    let (_, other) = place.unwrap();
                    other.discovery.handle_input(
                        now,
                        0,
                        Input::Answer { source: from(n, BROADCAST_PORT), bytes: &bytes },
                    );
                }
                other => host.told.push(other),
            }
            any = true;
        }
    }
}

#[test]
fn devices_find_each_other_by_multicast_alone_and_by_broadcast_alone() {
    for (multicast, broadcast) in [(true, false), (false, true), (true, true)] {
        let mut wire = Wire { multicast, broadcast, ..Wire::new() };
        wire.add(1, "kitchen");
        wire.add(2, "garden");
        wire.run(Duration::from_millis(2500));
        for (n, other) in [(1, 2), (2, 1)] {
            let found: Vec<_> = wire.hosts[&n].discovery.found().cloned().collect();
            let [found] = found.as_slice() else { panic!("{multicast} {broadcast}: {found:?}") };
            assert_eq!(found.device, Some(device(other)));
            assert_eq!(found.addresses, [from(other, 7330)]);
            assert!(!found.pairing);
            let mut sources = found.sources.clone();
            sources.sort();
            let want: Vec<_> = [(multicast, Source::Mdns), (broadcast, Source::Broadcast)]
                .into_iter()
                .filter_map(|(on, source)| on.then_some(source))
                .collect();
            assert_eq!(sources, want);
            let told: Vec<_> = wire.hosts[&n].told.iter().collect();
            assert!(told.iter().all(|told| matches!(told, Output::Found(_))), "{told:?}");
        }
    }
}

#[test]
fn a_device_that_stops_is_missed_at_once_and_one_that_dies_within_two_minutes() {
    let mut wire = Wire { broadcast: false, ..Wire::new() };
    for (n, name) in [(1, "kitchen"), (2, "garden"), (3, "cellar")] {
        wire.add(n, name);
    }
    wire.run(Duration::from_secs(5));
    assert_eq!(wire.hosts[&1].sees(), ["cellar", "garden"]);
    wire.with(2, |discovery, _| discovery.stop());
    wire.run(Duration::from_millis(1100));
    assert_eq!(wire.hosts[&1].sees(), ["cellar"]);
    assert!(matches!(wire.hosts[&1].told.last(), Some(Output::Lost(found)) if found.name == "garden"));
    wire.hosts.remove(&3);
    wire.run(Duration::from_secs(100));
    assert_eq!(wire.hosts[&1].sees(), ["cellar"], "it may have been switched off for a moment");
    wire.run(Duration::from_secs(25));
    assert!(wire.hosts[&1].sees().is_empty());
}

#[test]
fn a_device_that_stays_is_seen_for_days_with_few_messages() {
    let mut wire = Wire { broadcast: false, ..Wire::new() };
    wire.add(1, "kitchen");
    wire.add(2, "garden");
    wire.run(Duration::from_secs(60));
    let (before, told) = (wire.heard.len(), wire.hosts[&1].told.len());
    wire.run(Duration::from_secs(24 * 3600));
    assert_eq!((wire.hosts[&1].sees(), wire.hosts[&1].told.len()), (vec!["garden".to_owned()], told));
    // A question and an answer in 96 s, of which each keeps both caches of the other.
    let per_hour = (wire.heard.len() - before) / 24;
    assert!((60..=180).contains(&per_hour), "{per_hour} messages an hour");
}

#[test]
fn that_a_device_can_be_paired_is_known_within_a_second() {
    let mut wire = Wire { broadcast: false, ..Wire::new() };
    wire.add(1, "kitchen");
    wire.add(2, "garden");
    wire.run(Duration::from_secs(5));
    for open in [true, false] {
        wire.with(2, |discovery, now| discovery.set_pairing(now, open));
        wire.run(Duration::from_secs(1));
        assert!(wire.hosts[&1].discovery.found().all(|found| found.pairing == open));
    }
}

#[test]
fn what_is_known_is_not_answered_again() {
    let mut wire = Wire { broadcast: false, ..Wire::new() };
    wire.add(1, "kitchen");
    wire.run(Duration::from_secs(5));
    wire.heard.clear();
    let ask = |wire: &mut Wire, ttl: Option<u32>| {
        let mut query = dns::query(vec![dns::ask_ptr()]);
        if let Some(ttl) = ttl {
            let mut known = dns::shared(dns::service(), dns::ptr(dns::instance_name("Kitchen").unwrap()));
            known.ttl = ttl;
            query.answers.push(known);
        }
        let bytes = query.build_bytes_vec_compressed().unwrap();
        let input = Input::Message { link: LINK, source: from(9, MDNS_PORT), bytes: &bytes };
        let now = wire.now;
        wire.hosts.get_mut(&1).unwrap().discovery.handle_input(now, 0, input);
        wire.drain();
        wire.run(Duration::from_secs(2));
        let answers = wire.heard.iter().filter(|(_, message)| message[2] & 0x80 != 0).count();
        wire.heard.clear();
        answers
    };
    assert_eq!(ask(&mut wire, None), 1);
    assert_eq!(ask(&mut wire, Some(4500)), 0);
    assert_eq!(ask(&mut wire, Some(2000)), 1, "it will be forgotten soon");
    // Whoever asks ten times within a second gets no more than the others have heard.
    for _ in 0..10 {
        let bytes = dns::query(vec![dns::ask_ptr()]).build_bytes_vec().unwrap();
        let input = Input::Message { link: LINK, source: from(9, MDNS_PORT), bytes: &bytes };
        wire.with(1, |discovery, now| discovery.handle_input(now, 0, input));
        wire.run(Duration::from_millis(90));
    }
    assert_eq!(wire.heard.len(), 1);
}

#[test]
fn an_answer_holds_all_that_is_needed_to_go_there() {
    let mut wire = Wire::new();
    wire.add(1, "Küche. 1");
    wire.run(Duration::from_secs(5));
    wire.heard.clear();
    let bytes = dns::query(vec![dns::ask_ptr()]).build_bytes_vec().unwrap();
    let input = Input::Message { link: LINK, source: from(9, MDNS_PORT), bytes: &bytes };
    wire.with(1, |discovery, now| discovery.handle_input(now, 0, input));
    wire.run(Duration::from_secs(1));
    let packet = Packet::parse(&wire.heard[0].1).unwrap();
    let RData::PTR(ptr) = &packet.answers[0].rdata else { panic!("{packet:?}") };
    assert_eq!(dns::instance_of(&ptr.0).as_deref(), Some("Küche. 1"), "a dot in a name is no separator");
    let kinds: Vec<_> = packet.additional_records.iter().map(|record| record.rdata.type_code()).collect();
    assert_eq!(kinds, [TYPE::SRV, TYPE::TXT, TYPE::A]);
    let RData::TXT(txt) = &packet.additional_records[1].rdata else { panic!("{packet:?}") };
    let attributes = txt.attributes();
    let get = |key: &str| attributes[key].clone().unwrap();
    assert_eq!(
        (get("version"), get("name"), get("features")),
        ("2".into(), "Küche. 1".into(), "pseg".into())
    );
    assert_eq!((get("ws"), get("id"), get("pair")), ("7330".into(), device(1).to_string(), "0".into()));
}

#[test]
fn whoever_asks_from_another_port_is_answered_there() {
    let mut wire = Wire::new();
    wire.add(1, "kitchen");
    wire.run(Duration::from_secs(5));
    let host = wire.hosts.get_mut(&1).unwrap();
    let mut answered = 0;
    for n in 0..20 {
        let mut query = dns::query(vec![dns::ask_ptr()]);
        query.set_id(700 + n);
        let bytes = query.build_bytes_vec().unwrap();
        let input = Input::Message { link: LINK, source: from(9, 40000), bytes: &bytes };
        host.discovery.handle_input(wire.now, 0, input);
        if let Output::Unicast { to, message, .. } = host.discovery.poll_output() {
            let packet = Packet::parse(&message).unwrap();
            assert_eq!((to, packet.id(), packet.questions.len()), (from(9, 40000), 700 + n, 1));
            let mut records = packet.answers.iter().chain(&packet.additional_records);
            assert!(records.all(|record| record.ttl == 10 && !record.cache_flush));
            answered += 1;
        }
    }
    assert_eq!(answered, 4, "and nobody can have us send more than a few a second to somebody else");
}

#[test]
fn an_answer_to_a_broadcast_is_at_most_twice_as_long_as_the_question() {
    let full = |host: &mut Host, now, source, bytes: &[u8]| {
        host.discovery.handle_input(now, 1_800_000_000_000_000, Input::Question { source, bytes });
        match host.discovery.poll_output() {
            Output::Reply { to, bytes: answer } => {
                assert!(
                    to == source && answer.len() <= 2 * bytes.len(),
                    "{} for {}",
                    answer.len(),
                    bytes.len()
                );
                Some(answer)
            }
            _ => None,
        }
    };
    let longest = "ö".repeat(31);
    for name in ["k", "kitchen", "küche-mit-langem-namen", longest.as_str()] {
        let mut wire = Wire::new();
        wire.add(1, name);
        wire.run(Duration::from_secs(60));
        let now = wire.now;
        let host = wire.hosts.get_mut(&1).unwrap();
        let answer = full(host, now, from(9, 40000), &STOCK_QUESTION).expect("stock devices are answered");
        let mut scratch = Vec::new();
        let (_, Message::Welcome(welcome)) = Message::decode(&answer, &mut scratch).unwrap() else {
            panic!()
        };
        assert!(!welcome.name.is_empty() && name.starts_with(welcome.name), "{}", welcome.name);
        for token in (0..200).step_by(10) {
            let (now, token) =
                (now + Duration::from_secs(1 + token as u64), format!("edge/1{}", "x".repeat(token)));
            let hello = Hello { version: 1, features: Features::default(), name: "", token: &token };
            let mut question = Vec::new();
            Message::Hello(hello).encode_into(&mut question).unwrap();
            full(host, now, from(9, 40000), &question);
        }
    }
}
