//! Which addresses of this host a link may use.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use if_addrs::Interface;
use log::debug;
use serde::Serialize;

/// Whether links may run over the loopback interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Loopback {
    /// Only if a router is on this host, or there is no other address.
    #[default]
    Auto,
    /// Yes, and over nothing else: for tests and demos on one machine.
    Only,
}

/// Addresses used at most: each has a socket and a candidate.
const MAX_ADDRESSES: usize = 8;

/// Interfaces of containers, virtual machines and tunnels: they rarely lead to another board, and each costs connectivity
/// checks on both sides.
const VIRTUAL: [&str; 8] = ["docker", "veth", "br-", "virbr", "tun", "tap", "lxc", "cni"];

/// Skipped addresses that are told of: enough for any host but one full of containers.
const MAX_SKIPPED: usize = 64;

/// An address, and the number the system has given its interface: 0 if it has not told.
///
/// IPv6 link-local addresses mean something only together with their interface (RFC 4007 §6). Candidates cannot carry it, so
/// the cores never see it: the socket knows its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) ip: IpAddr,
    pub(super) interface: u32,
}

impl Place {
    /// The address with this port, and with the interface where IPv6 needs one.
    pub(super) fn with_port(self, port: u16) -> SocketAddr {
        match self.ip {
            IpAddr::V6(ip) if is_link_local(ip) => SocketAddrV6::new(ip, port, 0, self.interface).into(),
            ip => SocketAddr::new(ip, port),
        }
    }
}

/// Whether an address means something only on one link: unicast fe80::/10, multicast ff02::/16.
fn is_link_local(ip: Ipv6Addr) -> bool {
    ip.is_unicast_link_local() || (ip.segments()[0] & 0xff0f) == 0xff02
}

/// The addresses of this host.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// Those a link may use, the best first.
    pub usable: Vec<IpAddr>,
    /// Those it may not, and why; at most 64 of them.
    pub skipped: Vec<SkippedAddress>,
    /// The usable ones with their interfaces.
    pub(super) places: Vec<Place>,
    /// All of them.
    pub(super) present: Vec<IpAddr>,
}

/// An address of this host that no link uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SkippedAddress {
    /// The interface that has it.
    pub interface: String,
    /// The address.
    pub address: IpAddr,
    /// Why not.
    pub why: &'static str,
}

/// Looks at the addresses of this host as a node does. `router_is_local`: one of its routers is on this host.
///
/// # Errors
/// When the operating system does not list its interfaces.
pub fn addresses(loopback: Loopback, router_is_local: bool) -> std::io::Result<Addresses> {
    Filter { loopback, router_is_local }.list()
}

/// Which addresses this host has now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filter {
    pub(super) loopback: Loopback,
    pub(super) router_is_local: bool,
}

impl Filter {
    /// Lists them; the log has the reason for each that is skipped.
    ///
    /// # Errors
    /// When the operating system does not list its interfaces.
    pub(super) fn list(self) -> std::io::Result<Addresses> {
        let interfaces = if_addrs::get_if_addrs()?;
        let (places, mut skipped) = choose(&interfaces, self.loopback, self.router_is_local);
        for SkippedAddress { interface, address, why } in &skipped {
            debug!(interface = interface.as_str(), address:% = address; "skipped: {why}");
        }
        skipped.truncate(MAX_SKIPPED);
        let usable = places.iter().map(|place| place.ip).collect();
        Ok(Addresses { usable, skipped, places, present: interfaces.iter().map(Interface::ip).collect() })
    }
}

/// The addresses to use, and the others.
fn choose(
    interfaces: &[Interface],
    loopback: Loopback,
    router_is_local: bool,
) -> (Vec<Place>, Vec<SkippedAddress>) {
    let mut chosen: Vec<(Place, SkippedAddress)> = Vec::new();
    let mut fallback: Vec<(Place, SkippedAddress)> = Vec::new();
    let mut skipped = Vec::new();
    for interface in interfaces {
        let address = interface.ip();
        let place = Place { ip: address, interface: interface.index.unwrap_or(0) };
        let skip = |why| SkippedAddress { interface: interface.name.clone(), address, why };
        match unfit(&interface.name, place) {
            // Towards the cores nothing but the address tells the two apart.
            _ if chosen.iter().chain(&fallback).any(|(other, _)| other.ip == address) => {
                skipped.push(skip("another interface has the same address"));
            }
            None if loopback == Loopback::Auto => chosen.push((place, skip(""))),
            None => skipped.push(skip("only loopback is wanted")),
            Some(Unfit::Loopback) if loopback == Loopback::Only || router_is_local => {
                chosen.push((place, skip("")));
            }
            Some(Unfit::Loopback) => fallback.push((place, skip("loopback: it leads to no other host"))),
            Some(Unfit::Poor(why)) => fallback.push((place, skip(why))),
            Some(Unfit::Never(why)) => skipped.push(skip(why)),
        }
    }
    // The best candidate first: it is the first to be checked.
    chosen.sort_by_key(|(place, _)| rank(place));
    let mut surplus = Vec::new();
    if chosen.iter().all(|(place, _)| rank(place) == Rank::LinkLocal) {
        // They lead to some other hosts, so loopback is not needed; but not to those without IPv6.
        let better = |(place, _): &mut (Place, _)| !chosen.is_empty() && place.ip.is_loopback();
        surplus.extend(fallback.extract_if(.., better));
        fallback.append(&mut chosen);
        chosen = fallback;
    } else {
        surplus.append(&mut fallback);
    }
    skipped.extend(surplus.into_iter().map(|(_, skip)| skip));
    let beyond = chosen.split_off(chosen.len().min(MAX_ADDRESSES));
    skipped.extend(
        beyond.into_iter().map(|(_, address)| SkippedAddress { why: "there are enough others", ..address }),
    );
    let mut places: Vec<_> = chosen.into_iter().map(|(place, _)| place).collect();
    if places.is_empty() {
        places.push(Place { ip: Ipv4Addr::LOCALHOST.into(), interface: 0 });
    }
    (places, skipped)
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Any,
    /// IPv6: leads to hosts on the same link only.
    LinkLocal,
    Loopback,
}

fn rank(place: &Place) -> Rank {
    match place.ip {
        ip if ip.is_loopback() => Rank::Loopback,
        IpAddr::V6(ip) if ip.is_unicast_link_local() => Rank::LinkLocal,
        _ => Rank::Any,
    }
}

enum Unfit {
    Loopback,
    /// Used if there is nothing else.
    Poor(&'static str),
    Never(&'static str),
}

fn unfit(name: &str, place: Place) -> Option<Unfit> {
    match place.ip {
        ip if ip.is_loopback() => {
            // One loopback address is enough, and every host has the IPv4 one.
            Some(if ip.is_ipv4() { Unfit::Loopback } else { Unfit::Never("IPv6 loopback: IPv4's is enough") })
        }
        // str0m takes none for a candidate.
        IpAddr::V4(v4) if v4.is_link_local() => Some(Unfit::Never("IPv4 link-local: not used with ICE")),
        IpAddr::V6(v6) if v6.is_unicast_link_local() && place.interface == 0 => {
            Some(Unfit::Never("IPv6 link-local, and the system does not tell the interface's number"))
        }
        _ if VIRTUAL.iter().any(|prefix| name.starts_with(prefix)) => {
            Some(Unfit::Poor("of containers, virtual machines or a tunnel: used if there is nothing better"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use if_addrs::{IfAddr, IfOperStatus, Ifv4Addr, Ifv6Addr};

    use super::*;

    fn interface(name: &str, ip: &str) -> Interface {
        let addr = match ip.parse().unwrap() {
            IpAddr::V4(ip) => IfAddr::V4(Ifv4Addr {
                ip,
                netmask: Ipv4Addr::new(255, 255, 255, 0),
                prefixlen: 24,
                broadcast: None,
            }),
            IpAddr::V6(ip) => IfAddr::V6(Ifv6Addr { ip, netmask: ip, prefixlen: 64, broadcast: None }),
        };
        let index = name.bytes().last().map(u32::from); // of eth3 that of the digit 3
        Interface { name: name.to_owned(), addr, index, oper_status: IfOperStatus::Up, is_p2p: false }
    }

    #[test]
    fn real_addresses_are_used_and_the_rest_only_for_want_of_better() {
        let all = [
            interface("lo", "127.0.0.1"),
            interface("lo", "::1"),
            interface("docker0", "172.17.0.1"),
            interface("eth0", "192.0.2.7"),
            interface("eth0", "fe80::1"),
            interface("wlan0", "2001:db8::7"),
            interface("usb0", "169.254.3.4"),
        ];
        let ips = |list: &[&str]| list.iter().map(|ip| ip.parse().unwrap()).collect::<Vec<IpAddr>>();
        let cases: [(&[Interface], Loopback, bool, &[&str]); 6] = [
            (&all, Loopback::Auto, false, &["192.0.2.7", "2001:db8::7", "fe80::1"]),
            (&all, Loopback::Auto, true, &["192.0.2.7", "2001:db8::7", "fe80::1", "127.0.0.1"]),
            (&all, Loopback::Only, false, &["127.0.0.1"]),
            (&all[..3], Loopback::Auto, false, &["127.0.0.1", "172.17.0.1"]),
            (&all[6..], Loopback::Auto, false, &["127.0.0.1"]),
            (&[], Loopback::Auto, false, &["127.0.0.1"]),
        ];
        for (interfaces, loopback, local, want) in cases {
            let chosen: Vec<_> = choose(interfaces, loopback, local).0.iter().map(|place| place.ip).collect();
            assert_eq!(chosen, ips(want), "{loopback:?} {local}");
        }
    }

    #[test]
    fn ipv6_link_local_addresses_are_used_with_their_interface_and_after_all_others() {
        let place = |interface: u8, ip: &str| Place { ip: ip.parse().unwrap(), interface: interface.into() };
        let unnumbered = Interface { index: None, ..interface("eth9", "fe80::9") };
        let cases: [(&[Interface], &[Place]); 6] = [
            (&[interface("eth0", "fe80::1")], &[place(b'0', "fe80::1")]),
            (&[unnumbered], &[place(0, "127.0.0.1")]),
            (&[interface("lo", "127.0.0.1"), interface("eth0", "fe80::1")], &[place(b'0', "fe80::1")]),
            (
                &[interface("eth1", "fe80::1"), interface("tun5", "192.0.2.5"), interface("br-2", "fe80::2")],
                &[place(b'5', "192.0.2.5"), place(b'2', "fe80::2"), place(b'1', "fe80::1")],
            ),
            (
                &[interface("eth0", "fe80::1"), interface("eth1", "2001:db8::7")],
                &[place(b'1', "2001:db8::7"), place(b'0', "fe80::1")],
            ),
            // A bridge and its port, or two VLANs of one card, have the same one.
            (&[interface("eth0", "fe80::1"), interface("eth1", "fe80::1")], &[place(b'0', "fe80::1")]),
        ];
        for (interfaces, want) in cases {
            assert_eq!(choose(interfaces, Loopback::Auto, false).0, want);
        }
    }

    #[test]
    fn only_what_means_nothing_without_its_interface_is_bound_to_it() {
        for (ip, scope) in
            [("fe80::1", 7), ("febf::1", 7), ("ff02::fb", 7), ("2001:db8::1", 0), ("ff05::2", 0)]
        {
            let place = Place { ip: ip.parse().unwrap(), interface: 7 };
            let SocketAddr::V6(address) = place.with_port(5) else { panic!("{ip}") };
            assert_eq!(
                (address.ip().to_string().as_str(), address.scope_id(), address.port()),
                (ip, scope, 5)
            );
        }
    }

    #[test]
    fn a_host_with_countless_addresses_uses_a_few() {
        let many: Vec<_> = (1..100).map(|n| interface("eth0", &format!("192.0.2.{n}"))).collect();
        let (usable, skipped) = choose(&many, Loopback::Auto, false);
        assert_eq!((usable.len(), skipped.len()), (MAX_ADDRESSES, 99 - MAX_ADDRESSES));
    }

    #[test]
    fn every_address_is_used_or_has_its_reason() {
        let all = [
            interface("lo", "127.0.0.1"),
            interface("lo", "::1"),
            interface("docker0", "172.17.0.1"),
            interface("eth0", "192.0.2.7"),
            interface("eth0", "fe80::1"),
        ];
        for (loopback, local) in [(Loopback::Auto, false), (Loopback::Auto, true), (Loopback::Only, false)] {
            let (usable, skipped) = choose(&all, loopback, local);
            assert_eq!(usable.len() + skipped.len(), all.len(), "{usable:?} {skipped:?}");
            assert!(
                skipped.iter().all(|s| !s.why.is_empty() && usable.iter().all(|place| place.ip != s.address)),
                "{skipped:?}"
            );
        }
        let (_, skipped) = choose(&all, Loopback::Auto, false);
        let docker = skipped.iter().find(|s| s.interface == "docker0").unwrap();
        assert!(docker.why.contains("containers"), "{docker:?}");
    }
}
