//! Which addresses of this host a link may use.

use std::net::{IpAddr, Ipv4Addr};

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

/// The addresses of this host.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// Those a link may use, the best first.
    pub usable: Vec<IpAddr>,
    /// Those it may not, and why; at most 64 of them.
    pub skipped: Vec<SkippedAddress>,
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
        let (usable, mut skipped) = choose(&interfaces, self.loopback, self.router_is_local);
        for SkippedAddress { interface, address, why } in &skipped {
            debug!(interface = interface.as_str(), address:% = address; "skipped: {why}");
        }
        skipped.truncate(MAX_SKIPPED);
        Ok(Addresses { usable, skipped, present: interfaces.iter().map(Interface::ip).collect() })
    }
}

/// The addresses to use, and the others.
fn choose(
    interfaces: &[Interface],
    loopback: Loopback,
    router_is_local: bool,
) -> (Vec<IpAddr>, Vec<SkippedAddress>) {
    let mut chosen = Vec::new();
    let mut fallback = Vec::new();
    let mut skipped = Vec::new();
    for interface in interfaces {
        let address = interface.ip();
        let skip = |why| SkippedAddress { interface: interface.name.clone(), address, why };
        match unfit(&interface.name, address) {
            None if loopback == Loopback::Auto => chosen.push(skip("")),
            None => skipped.push(skip("only loopback is wanted")),
            Some(Unfit::Loopback) if loopback == Loopback::Only || router_is_local => chosen.push(skip("")),
            Some(Unfit::Loopback) => fallback.push(skip("loopback: it leads to no other host")),
            Some(Unfit::Poor(why)) => fallback.push(skip(why)),
            Some(Unfit::Never(why)) => skipped.push(skip(why)),
        }
    }
    // A real address first: it is the better candidate, and the first to be checked.
    chosen.sort_by_key(|chosen| chosen.address.is_loopback());
    if chosen.is_empty() {
        chosen = fallback;
    } else {
        skipped.append(&mut fallback);
    }
    let surplus = chosen.split_off(chosen.len().min(MAX_ADDRESSES));
    skipped.extend(
        surplus.into_iter().map(|address| SkippedAddress { why: "there are enough others", ..address }),
    );
    let mut usable: Vec<_> = chosen.into_iter().map(|chosen| chosen.address).collect();
    if usable.is_empty() {
        usable.push(Ipv4Addr::LOCALHOST.into());
    }
    (usable, skipped)
}

enum Unfit {
    Loopback,
    /// Used if there is nothing else.
    Poor(&'static str),
    Never(&'static str),
}

fn unfit(name: &str, ip: IpAddr) -> Option<Unfit> {
    match ip {
        ip if ip.is_loopback() => {
            // One loopback address is enough, and every host has the IPv4 one.
            Some(if ip.is_ipv4() { Unfit::Loopback } else { Unfit::Never("IPv6 loopback: IPv4's is enough") })
        }
        IpAddr::V4(v4) if v4.is_link_local() => {
            Some(Unfit::Poor("IPv4 link-local: used if there is nothing better"))
        }
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            Some(Unfit::Never("IPv6 link-local: a candidate cannot carry its scope"))
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
        Interface { name: name.to_owned(), addr, index: None, oper_status: IfOperStatus::Up, is_p2p: false }
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
            (&all, Loopback::Auto, false, &["192.0.2.7", "2001:db8::7"]),
            (&all, Loopback::Auto, true, &["192.0.2.7", "2001:db8::7", "127.0.0.1"]),
            (&all, Loopback::Only, false, &["127.0.0.1"]),
            (&all[..3], Loopback::Auto, false, &["127.0.0.1", "172.17.0.1"]),
            (&all[6..], Loopback::Auto, false, &["169.254.3.4"]),
            (&[], Loopback::Auto, false, &["127.0.0.1"]),
        ];
        for (interfaces, loopback, local, want) in cases {
            assert_eq!(choose(interfaces, loopback, local).0, ips(want), "{loopback:?} {local}");
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
            assert!(skipped.iter().all(|s| !s.why.is_empty() && !usable.contains(&s.address)), "{skipped:?}");
        }
        let (_, skipped) = choose(&all, Loopback::Auto, false);
        let docker = skipped.iter().find(|s| s.interface == "docker0").unwrap();
        assert!(docker.why.contains("containers"), "{docker:?}");
    }
}
