//! Hosts with several interfaces, and IPv6.

use std::net::{Ipv6Addr, SocketAddrV6};

use super::*;

const OTHER: Link = Link { interface: 3, v6: false };
const OTHER_V6: Link = Link { interface: 3, v6: true };

fn networks() -> [Network; 3] {
    [
        Network { link: LINK, addresses: vec![ip(1)] },
        Network { link: OTHER, addresses: vec![IpAddr::from([198, 51, 100, 1])] },
        Network { link: OTHER_V6, addresses: vec![] },
    ]
}

/// What is sent to the groups within five seconds.
fn says(discovery: &mut Discovery, now: &mut Instant) -> Vec<(Link, Vec<u8>)> {
    let mut said = Vec::new();
    for _ in 0..100 {
        *now += Duration::from_millis(50);
        discovery.handle_input(*now, 0, Input::Timeout);
        loop {
            match discovery.poll_output() {
                Output::Idle { .. } => break,
                Output::Multicast { link, message } => said.push((link, message)),
                _ => {}
            }
        }
    }
    said
}

fn lookout(now: Instant) -> Discovery {
    let advertised = Advertised { name: "kitchen".to_owned(), port: 7330 };
    let mut discovery = Discovery::new([1; 32], now, device(1), Some(advertised));
    discovery.handle_input(now, 0, Input::Networks(&networks()));
    discovery
}

#[test]
fn each_network_is_told_the_address_that_it_reaches() {
    let mut now = start();
    let mut discovery = lookout(now);
    let said = says(&mut discovery, &mut now);
    for network in networks() {
        let mut told = Vec::new();
        let mut announced = 0;
        for (_, message) in said.iter().filter(|(link, _)| *link == network.link) {
            let packet = Packet::parse(message).unwrap();
            if packet.has_flags(PacketFlag::RESPONSE) {
                announced += 1;
                told.extend(packet.answers.iter().filter_map(|record| dns::address_of(&record.rdata)));
            }
        }
        told.dedup();
        assert_eq!((announced, told), (2, network.addresses), "{:?}", network.link);
    }
}

#[test]
fn who_tells_no_address_over_ipv6_is_where_the_message_came_from() {
    let now = start();
    let mut discovery = lookout(now);
    let instance = dns::instance_name("garden").unwrap();
    let records = vec![
        dns::shared(dns::service(), dns::ptr(instance.clone())),
        dns::unique(instance.clone(), 120, dns::srv(7331, dns::host_name("garden").unwrap())),
        dns::unique(instance, 4500, dns::txt(&[("name", "garden"), ("ws", "7332")]).unwrap()),
    ];
    let bytes = dns::response(records).build_bytes_vec_compressed().unwrap();
    let address: Ipv6Addr = "fe80::9".parse().unwrap();
    let source = SocketAddrV6::new(address, MDNS_PORT, 0, 3).into();
    discovery.handle_input(now, 0, Input::Message { link: OTHER_V6, source, bytes: &bytes });
    let Output::Found(found) = discovery.poll_output() else { panic!("nobody was found") };
    assert_eq!(found.addresses, [SocketAddr::from(SocketAddrV6::new(address, 7332, 0, 3))]);
    // Its network is gone, and it with it.
    discovery.handle_input(now, 0, Input::Networks(&networks()[..1]));
    assert!(matches!(discovery.poll_output(), Output::Lost(found) if found.name == "garden"));
}
