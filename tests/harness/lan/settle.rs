//! The simulated drivers: they carry out what the cores want, as the real ones do.

use clasp_node::{Output, RouterId};
use router_lite::ConnectionId;

use super::{Arrival, CONNECT, LATENCY, Lan, Place, TOKEN, Wire};

impl Lan {
    pub(super) fn settle(&mut self) {
        for host in 0..self.hosts.len() {
            self.settle_node(host);
        }
        self.settle_router(Place::Central);
        for host in 0..self.hosts.len() {
            self.settle_router(Place::Of(host));
        }
    }

    fn settle_node(&mut self, host: usize) {
        loop {
            let at = self.now - self.begun;
            let Some(node) = &mut self.own(host).node else { return };
            let output = node.poll_output();
            match output {
                Output::Transmit { source, destination, bytes } => {
                    if self.at(host).address.ip() == source.ip()
                        && let Some(to) = self.host_at(destination.ip())
                    {
                        self.arrive(LATENCY, Arrival::Datagram { to, source, destination, bytes });
                    }
                }
                Output::Dial(router) if router.place() == 0 => self.open(host, router, Place::Of(host)),
                Output::Dial(router) => self.open(host, router, Place::Central),
                Output::DialAddress(router, address) => {
                    self.own(host).dials += 1;
                    match self.host_at(address.ip()) {
                        Some(other) if !self.at(other).closed => self.open(host, router, Place::Of(other)),
                        _ => self.arrive(CONNECT, Arrival::Refused { host, router }),
                    }
                }
                Output::RouterSend(router, frame) => {
                    let told = frame.windows(TOKEN.len()).any(|part| part == TOKEN.as_bytes());
                    assert!(!told || self.is_central(host, router), "a found router was shown the token");
                    if let Some(wire) = self.at(host).wires.iter().find(|wire| wire.router == router) {
                        let (place, connection) = (wire.place, wire.connection);
                        self.arrive(LATENCY, Arrival::ToRouter { place, connection, frame });
                    }
                }
                Output::RouterPing(router) => {
                    if let Some(wire) = self.at(host).wires.iter().find(|wire| wire.router == router) {
                        let connection = wire.connection;
                        self.arrive(LATENCY * 2, Arrival::Heard { host, connection });
                    }
                }
                Output::RouterHangup(router) => {
                    let wires = &mut self.own(host).wires;
                    if let Some(at) = wires.iter().position(|wire| wire.router == router) {
                        let Wire { place, connection, .. } = wires.remove(at);
                        self.arrive(LATENCY, Arrival::ClosedAtRouter { place, connection });
                    }
                }
                Output::Event(event) => self.own(host).told.push((at, event)),
                Output::Idle { wake } => {
                    self.own(host).wake = wake.map(|wake| wake.at);
                    return;
                }
                _ => {}
            }
        }
    }

    fn is_central(&self, host: usize, router: RouterId) -> bool {
        self.at(host).wires.iter().any(|wire| wire.router == router && wire.place == Place::Central)
    }

    fn open(&mut self, host: usize, router: RouterId, place: Place) {
        self.next += 1;
        let connection = ConnectionId::new(self.next);
        self.arrive(LATENCY * 2, Arrival::Opened { host, router, place, connection });
    }

    fn settle_router(&mut self, place: Place) {
        loop {
            let Some(router) = self.router_mut(place) else { return };
            match router.poll_output() {
                router_lite::Output::Transmit { connection, .. } => {
                    let host = self
                        .hosts
                        .iter()
                        .position(|host| host.wires.iter().any(|w| w.connection == connection));
                    while let Some(frame) =
                        self.router_mut(place).and_then(|r| r.poll_transmit(connection, usize::MAX))
                    {
                        if let Some(host) = host {
                            self.arrive(LATENCY, Arrival::ToNode { host, connection, frame });
                        }
                    }
                }
                router_lite::Output::Ping { connection } => {
                    self.tell_router(place, router_lite::Input::Heard { connection });
                }
                router_lite::Output::Close { connection, .. } => {
                    let host = self
                        .hosts
                        .iter()
                        .position(|host| host.wires.iter().any(|w| w.connection == connection));
                    match host {
                        Some(host) => self.arrive(LATENCY, Arrival::Closed { host, connection }),
                        None => self.tell_router(place, router_lite::Input::Closed { connection }),
                    }
                }
                router_lite::Output::Idle { .. } => return,
                _ => {}
            }
        }
    }
}
