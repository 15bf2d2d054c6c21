//! IPv6 link-local addresses between the kernel, which wants their interface with them, and the cores, which know no interfaces.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use crate::driver::interfaces::Place;

/// An address as the cores know it.
pub(super) fn without(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) if v6.scope_id() != 0 || v6.flowinfo() != 0 => {
            SocketAddrV6::new(*v6.ip(), v6.port(), 0, 0).into()
        }
        known => known,
    }
}

/// The destination as the socket at `place` can reach it.
///
/// # Errors
/// When one is a link-local address and the other is not: such pairs are not to be tried (RFC 8445 §6.1.2.2). Which link the
/// address would be on, nobody has said; and no router carries anything to or from one.
pub(super) fn with(place: Place, destination: SocketAddr) -> io::Result<SocketAddr> {
    let target = Place { ip: destination.ip(), ..place };
    if is_link_local(place.ip) != is_link_local(target.ip) {
        return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, "only one of the two is link-local"));
    }
    Ok(target.with_port(destination.port()))
}

fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_local_destinations_get_the_interface_of_the_socket_and_lead_nowhere_from_others() {
        let cases = [
            ("fe80::1", "[fe80::2]:9", Some("[fe80::2%3]:9")),
            ("fe80::1", "[2001:db8::2]:9", None),
            ("2001:db8::1", "[fe80::2]:9", None),
            ("2001:db8::1", "[2001:db8::2]:9", Some("[2001:db8::2]:9")),
            ("192.0.2.1", "192.0.2.2:9", Some("192.0.2.2:9")),
            ("169.254.1.1", "192.0.2.2:9", Some("192.0.2.2:9")),
        ];
        for (ip, destination, want) in cases {
            let place = Place { ip: ip.parse().unwrap(), interface: 3 };
            let got = with(place, destination.parse().unwrap()).ok();
            assert_eq!(got, want.map(|want| want.parse().unwrap()), "{ip} to {destination}");
        }
    }

    #[test]
    fn the_cores_see_addresses_alone() {
        for (from, want) in [
            ("[fe80::2%3]:9", "[fe80::2]:9"),
            ("[2001:db8::2]:9", "[2001:db8::2]:9"),
            ("192.0.2.2:9", "192.0.2.2:9"),
        ] {
            assert_eq!(without(from.parse().unwrap()), want.parse().unwrap());
        }
    }
}
