//! Routers that were found, not configured: those inside other devices. Each has a place behind the configured ones, and a session that
//! is begun when it is needed.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use log::debug;
use rand::Rng;

use super::{Node, Router};
use crate::event::RouterId;
use crate::identity::DeviceId;
use crate::limits::{MAX_PAIRS, MAX_VISITS};
use crate::session::Session;
use crate::wake::Wake;

/// How long a visit lasts: as long as a person takes to read a code and type it, and for the pairing after it.
const VISIT: Duration = Duration::from_secs(120);

/// Where a router was found.
#[derive(Debug)]
pub(super) struct Lead {
    pub(super) address: SocketAddr,
    whose: Whose,
}

#[derive(Debug, PartialEq, Eq)]
enum Whose {
    /// The place is free as soon as no link needs it.
    Nobody,
    /// A paired device's.
    Device(DeviceId),
    /// Somebody's who may be paired.
    Visit { until: Instant },
}

/// Why a router is not visited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VisitError {
    /// Nobody's, everybody's, or one that routers must not make anybody try.
    #[error("{0} is not the address of a device")]
    Address(SocketAddr),
    /// There are [`MAX_VISITS`] visits.
    #[error("{MAX_VISITS} devices are being visited: wait a minute")]
    TooMany,
}

/// Whether a stranger may make us open a connection there: to a host, and not to this one.
pub(super) fn may_dial(address: SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    let special = match ip {
        IpAddr::V4(ip) => ip.is_broadcast() || ip.octets() == [169, 254, 169, 254],
        IpAddr::V6(_) => false,
    };
    address.port() != 0 && !(special || ip.is_multicast() || ip.is_unspecified() || ip.is_loopback())
}

impl Node {
    /// Opens a session with the router at an address that was typed or found, for two minutes: whoever is there can then be paired.
    ///
    /// # Errors
    /// When that is no host's address, and when there are too many.
    pub fn visit(&mut self, now: Instant, address: SocketAddr) -> Result<RouterId, VisitError> {
        self.now = now;
        // A person may name this very host, where another node may run; nobody else can have it visited.
        let is_here = address.ip().to_canonical().is_loopback() && address.port() != 0;
        if !may_dial(address) && !is_here {
            return Err(VisitError::Address(address));
        }
        let until = now + VISIT;
        let mut visits = 0;
        for (router, place) in self.routers.iter_mut().zip(0..) {
            let Some(lead) = &mut router.lead else { continue };
            let is_visited = matches!(lead.whose, Whose::Visit { .. });
            if lead.address == address && lead.whose != Whose::Nobody {
                if is_visited {
                    lead.whose = Whose::Visit { until };
                }
                router.session.dial(now);
                router.dirty = true;
                return Ok(RouterId(place));
            }
            visits += usize::from(is_visited);
        }
        let router =
            if visits < MAX_VISITS { self.take_place(Whose::Visit { until }, address) } else { None };
        router.ok_or(VisitError::TooMany)
    }

    /// The place of a paired device's router, if it has one.
    pub(super) fn lead_of(&self, device: DeviceId) -> Option<RouterId> {
        let mut numbered = self.routers.iter().zip(0..);
        let is_its =
            |router: &Router| router.lead.as_ref().is_some_and(|lead| lead.whose == Whose::Device(device));
        numbered.find(|(router, _)| is_its(router)).map(|(_, place)| RouterId(place))
    }

    /// Dials the router of a paired device.
    pub(super) fn dial_device(&mut self, device: DeviceId, address: SocketAddr) {
        let Some(place) = self.lead_of(device) else {
            if self.take_place(Whose::Device(device), address).is_none() {
                debug!(device:% = device; "no place for its router");
            }
            return;
        };
        let now = self.now;
        let Some(router) = self.routers.get_mut(place.place()) else { return };
        if let Some(lead) = router.lead.as_mut().filter(|_| router.session.is_offline()) {
            lead.address = address;
            router.session.dial(now);
            router.dirty = true;
        }
    }

    /// A device was paired on a visit: its router is the device's now.
    pub(super) fn keep_visited(&mut self, router: RouterId, device: DeviceId) {
        if self.lead_of(device).is_some() {
            return;
        }
        if let Some(lead) = self.routers.get_mut(router.place()).and_then(|router| router.lead.as_mut())
            && matches!(lead.whose, Whose::Visit { .. })
        {
            lead.whose = Whose::Device(device);
        }
    }

    /// The router of a device is not needed for the time being.
    pub(super) fn rest_lead(&mut self, router: RouterId) {
        if let Some(entry) = self.routers.get_mut(router.place()) {
            entry.session.rest();
            entry.dirty = true;
        }
    }

    /// A device is nobody's business any more.
    pub(super) fn forget_lead(&mut self, device: DeviceId) {
        let Some(router) = self.lead_of(device) else { return };
        self.rest_lead(router);
        if let Some(lead) = self.routers.get_mut(router.place()).and_then(|router| router.lead.as_mut()) {
            lead.whose = Whose::Nobody;
        }
    }

    /// Ends visits whose time is over. A link that came of one keeps its session.
    pub(super) fn end_visits(&mut self, now: Instant) {
        for place in 0..self.routers.len() {
            let in_use = self.links.values().any(|link| link.router().place() == place);
            let Some(router) = self.routers.get_mut(place) else { continue };
            let Some(lead) = &mut router.lead else { continue };
            if matches!(lead.whose, Whose::Visit { until } if until <= now) {
                if in_use {
                    lead.whose = Whose::Visit { until: now + VISIT };
                } else {
                    lead.whose = Whose::Nobody;
                    router.session.rest();
                    router.dirty = true;
                }
            }
        }
    }

    pub(super) fn visits_wake(&self) -> Option<Wake> {
        let leads = self.routers.iter().filter_map(|router| router.lead.as_ref());
        let ends = leads.filter_map(|lead| match lead.whose {
            Whose::Visit { until } => Some(until),
            _ => None,
        });
        ends.min().map(|at| Wake::new(at, "end of a visit"))
    }

    /// Begins a session in a free place, or in a new one.
    fn take_place(&mut self, whose: Whose, address: SocketAddr) -> Option<RouterId> {
        let configured = self.routers.iter().filter(|router| router.lead.is_none()).count();
        let free = (configured..self.routers.len()).find(|place| {
            let needed = self.links.values().any(|link| link.router().place() == *place);
            let router = self.routers.get(*place);
            !needed
                && router.is_some_and(|router| {
                    router.session.is_offline()
                        && router.lead.as_ref().is_some_and(|lead| lead.whose == Whose::Nobody)
                })
        });
        let place = free.or_else(|| {
            (self.routers.len() < configured + MAX_PAIRS + MAX_VISITS).then_some(self.routers.len())
        })?;
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        let mut session = Session::at_rest(seed, self.presented.clone());
        session.withhold_token(); // whoever is there was not told to us by the one who gave it
        session.set_pairing(self.now, self.invitation().is_some());
        session.dial(self.now);
        let router = Router { session, lead: Some(Lead { address, whose }), wake: None, dirty: true };
        match self.routers.get_mut(place) {
            Some(free) => *free = router,
            None => self.routers.push(router),
        }
        Some(RouterId(u8::try_from(place).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock_for_tests::start;
    use crate::config::NodeConfig;
    use crate::node::Output;

    #[test]
    fn nobody_has_us_dial_where_no_device_is() {
        for good in ["192.0.2.1:7330", "169.254.3.4:7330", "[fe80::1%2]:7330", "[2001:db8::1]:1"] {
            assert!(may_dial(good.parse().unwrap()), "{good}");
        }
        let bad = [
            "127.0.0.1:22",
            "0.0.0.0:7330",
            "255.255.255.255:7330",
            "224.0.0.251:5353",
            "169.254.169.254:80",
        ];
        let bad_v6 = ["[::1]:22", "[::]:7330", "[ff02::fb]:5353", "[::ffff:127.0.0.1]:22", "192.0.2.1:0"];
        for bad in bad.into_iter().chain(bad_v6) {
            assert!(!may_dial(bad.parse().unwrap()), "{bad}");
        }
    }

    #[test]
    fn visits_are_few_end_by_themselves_and_their_places_are_used_again() {
        let now = start();
        let mut node = Node::new([1; 32], now, NodeConfig::default(), 1).unwrap();
        let address = |n: u8| SocketAddr::from(([192, 0, 2, n], 7330));
        let places: Vec<_> = (1..=4).map(|n| node.visit(now, address(n)).unwrap().place()).collect();
        assert_eq!(places, [1, 2, 3, 4]);
        assert_eq!(node.visit(now, address(2)).unwrap().place(), 2, "it is being visited");
        assert_eq!(node.visit(now, address(5)), Err(VisitError::TooMany));
        assert_eq!(
            node.visit(now, ([224, 0, 0, 1], 7330).into()),
            Err(VisitError::Address(([224, 0, 0, 1], 7330).into()))
        );
        let mut dialled = Vec::new();
        let later = now + VISIT;
        for at in [now, later] {
            node.handle_input(at, crate::node::Input::Timeout);
            loop {
                match node.poll_output() {
                    Output::DialAddress(_, address) => dialled.push(address),
                    Output::Idle { .. } => break,
                    _ => {}
                }
            }
        }
        assert_eq!(dialled, [address(1), address(2), address(3), address(4)]);
        assert_eq!(node.visit(later, address(5)).unwrap().place(), 1);
    }
}
