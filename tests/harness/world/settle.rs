//! The simulated drivers: they carry out what the cores want, as the real ones do.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use clasp_node::{Event, Output};
use router_lite::ConnectionId;

use super::{Arrival, NodeId, WRITE_BYTES, World};

impl World {
    /// Carries out what everybody wants, until nobody wants anything.
    pub(super) fn settle(&mut self) {
        for index in 0..self.nodes.len() {
            if self.nodes.get(index).is_some_and(|node| node.touched) {
                self.settle_node(index);
            }
        }
        self.settle_router();
    }

    fn settle_node(&mut self, index: usize) {
        while !self.at(index).dead {
            let latency = self.network.latency;
            let at = self.elapsed();
            let node = self.at(index);
            let connection = node.connection;
            match node.core.poll_output() {
                Output::Transmit { source, destination, bytes } => {
                    self.transmit(index, source, destination, bytes)
                }
                Output::Dial(_) if self.router.is_some() => {
                    let connection = ConnectionId::new(self.next_connection);
                    self.next_connection += 1;
                    self.arrive(latency * 2, Arrival::Opened { node: index, connection });
                }
                Output::Dial(_) => self.arrive(latency * 2, Arrival::Refused { node: index }),
                Output::RouterSend(_, frame) => {
                    if let Some(connection) = connection {
                        self.arrive(latency, Arrival::ToRouter { connection, frame });
                    }
                }
                Output::RouterHangup(_) => {
                    if let Some(connection) = self.at(index).connection.take() {
                        self.arrive(latency, Arrival::ClosedAtRouter { connection });
                    }
                }
                Output::Event(event) => {
                    if let Event::RouterReady { session, .. } = &event {
                        self.at(index).session = Some(session.clone());
                    } else if let Event::RouterLost { .. } = &event {
                        self.at(index).session = None;
                    }
                    self.at(index).told.push((at, event));
                }
                Output::Idle { wake } => {
                    let node = self.at(index);
                    (node.wake, node.touched) = (wake.map(|wake| wake.at), false);
                    return;
                }
                Output::MdnsQuery(query) => self.on_query(index, &query),
                Output::RouterPing(_) => {
                    if let Some(connection) = connection {
                        self.arrive(latency * 2, Arrival::Heard { node: index, connection });
                    }
                }
                _ => {}
            }
        }
    }

    fn transmit(&mut self, from: usize, source: SocketAddr, destination: SocketAddr, bytes: Vec<u8>) {
        let to = self.nodes.iter().position(|node| node.address.ip() == destination.ip());
        if let Some(to) = to
            && self.at(from).address.ip() == source.ip() // a socket that is gone sends nothing
            && !self.cut.contains(&(from.min(to), from.max(to)))
            && let Some(delay) = self.delay(from, destination)
        {
            self.arrive(delay, Arrival::Datagram { to, source, destination, bytes });
        }
    }

    /// When a datagram arrives, or `None` if it does not.
    fn delay(&mut self, from: usize, destination: SocketAddr) -> Option<Duration> {
        let burst = (self.now, destination);
        let bursts = self.network.bursts;
        match self.at(from).burst {
            Some((before, delay)) if bursts && before == burst => delay,
            _ => {
                let delay = self.network.datagram(&mut self.rng);
                self.at(from).burst = Some((burst, delay));
                delay
            }
        }
    }

    fn settle_router(&mut self) {
        let latency = self.network.latency;
        let mut closed = VecDeque::new();
        while let Some(router) = &mut self.router {
            match router.poll_output() {
                router_lite::Output::Transmit { connection, .. } => self.write(connection),
                router_lite::Output::Ping { connection }
                    if self.nodes.iter().any(|n| n.connection == Some(connection)) =>
                {
                    self.arrive(latency * 2, Arrival::HeardAtRouter { connection });
                }
                router_lite::Output::Close { connection, reason } => {
                    if let Some(node) = self.nodes.iter().position(|n| n.connection == Some(connection)) {
                        let why = reason.text().to_owned();
                        self.arrive(latency, Arrival::ClosedAtNode { node, connection, why });
                    }
                    closed.push_back(connection);
                }
                router_lite::Output::Idle { wake } => {
                    self.router_wake = wake.map(|wake| wake.at);
                    match closed.pop_front() {
                        Some(connection) => self.tell_router(router_lite::Input::Closed { connection }),
                        None => return,
                    }
                }
                _ => {}
            }
        }
    }

    fn write(&mut self, connection: ConnectionId) {
        let Some(index) = self.nodes.iter().position(|n| n.connection == Some(connection)) else { return };
        if self.at(index).stalled {
            return self.tell_router(router_lite::Input::Blocked { connection });
        }
        while let Some(frame) = self.router.as_mut().and_then(|r| r.poll_transmit(connection, WRITE_BYTES)) {
            let frame = self.with_names(frame);
            if is_signal(&frame) {
                self.signals.push((NodeId(index), frame.clone()));
            }
            for frame in self.tampered(NodeId(index), frame) {
                self.forward(index, connection, frame);
            }
        }
    }

    /// Brings a frame from the router to a node.
    fn forward(&mut self, node: usize, connection: ConnectionId, frame: Bytes) {
        let latency = self.network.latency;
        let delays = if is_signal(&frame) { self.faults.apply(&mut self.rng) } else { vec![Duration::ZERO] };
        for delay in delays {
            let frame = frame.clone();
            self.arrive(latency + delay, Arrival::ToNode { node, connection, frame });
        }
    }
}

fn is_signal(frame: &[u8]) -> bool {
    let prefix = clasp_wire::p2p::SIGNAL_PREFIX.as_bytes();
    frame.windows(prefix.len()).take(16).any(|window| window == prefix)
}
