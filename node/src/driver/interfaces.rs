//! Which addresses of this host a link may use.

use std::net::{IpAddr, Ipv4Addr};

use if_addrs::Interface;
use log::debug;

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

/// The addresses of this host.
#[derive(Debug)]
pub(super) struct Found {
    /// Those a link may use.
    pub(super) usable: Vec<IpAddr>,
    /// All of them.
    pub(super) present: Vec<IpAddr>,
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
    pub(super) fn list(self) -> std::io::Result<Found> {
        let interfaces = if_addrs::get_if_addrs()?;
        let usable = choose(&interfaces, self.loopback, self.router_is_local);
        Ok(Found { usable, present: interfaces.iter().map(Interface::ip).collect() })
    }
}

fn choose(interfaces: &[Interface], loopback: Loopback, router_is_local: bool) -> Vec<IpAddr> {
    let mut chosen = Vec::new();
    let mut fallback = Vec::new();
    for interface in interfaces {
        let ip = interface.ip();
        match unfit(&interface.name, ip) {
            None if loopback == Loopback::Auto => chosen.push(ip),
            None => debug!(address:% = ip; "skipped: only loopback is wanted"),
            Some(Unfit::Loopback) if loopback == Loopback::Only || router_is_local => chosen.push(ip),
            Some(Unfit::Never(why)) => {
                debug!(interface = interface.name.as_str(), address:% = ip; "skipped: {why}")
            }
            Some(_) => fallback.push(ip),
        }
    }
    // A real address first: it is the better candidate, and the first to be checked.
    chosen.sort_by_key(IpAddr::is_loopback);
    if chosen.is_empty() {
        chosen = fallback;
    }
    if chosen.is_empty() {
        chosen.push(Ipv4Addr::LOCALHOST.into());
    }
    chosen.truncate(MAX_ADDRESSES);
    chosen
}

enum Unfit {
    Loopback,
    /// Used if there is nothing else.
    Poor,
    Never(&'static str),
}

fn unfit(name: &str, ip: IpAddr) -> Option<Unfit> {
    match ip {
        ip if ip.is_loopback() => {
            // One loopback address is enough, and every host has the IPv4 one.
            Some(if ip.is_ipv4() { Unfit::Loopback } else { Unfit::Never("IPv6 loopback") })
        }
        IpAddr::V4(v4) if v4.is_link_local() => Some(Unfit::Poor),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            Some(Unfit::Never("IPv6 link-local: a candidate cannot carry its scope"))
        }
        _ if VIRTUAL.iter().any(|prefix| name.starts_with(prefix)) => Some(Unfit::Poor),
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
            assert_eq!(choose(interfaces, loopback, local), ips(want), "{loopback:?} {local}");
        }
    }

    #[test]
    fn a_host_with_countless_addresses_uses_a_few() {
        let many: Vec<_> = (1..100).map(|n| interface("eth0", &format!("192.0.2.{n}"))).collect();
        assert_eq!(choose(&many, Loopback::Auto, false).len(), MAX_ADDRESSES);
    }
}
