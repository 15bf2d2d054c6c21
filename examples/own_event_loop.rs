//! The cores without smol: two nodes and a router in a plain loop, with `std` sockets and nothing else.
//!
//! You will see a link open and a message cross it: `cargo run -p examples --example own_event_loop`

use std::error::Error;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::time::Duration;

use bytes::Bytes;
use clasp_node::driver::{now, seed};
use clasp_node::{Channel, Event, Input, Node, NodeConfig, Output, RouterId};
use examples::say;
use router_lite::{Config, ConnectionId, Now, Origin, Router};

/// A node, its socket, and the number of its connection to the router.
struct Side {
    name: &'static str,
    node: Node,
    socket: UdpSocket,
    connection: ConnectionId,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut router = Router::new(seed()?, router_now(), Config::default());
    let mut sides = Vec::new();
    for (name, number) in [("alice", 1), ("bob", 2)] {
        let config = NodeConfig { name: name.to_owned(), ..NodeConfig::open() };
        let mut node = Node::new(seed()?, now(), config, 1)?;
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(Duration::from_millis(1)))?; // this loop polls; a real one would wait for `wake`
        node.handle_input(now(), Input::Addresses(&[socket.local_addr()?]));
        sides.push(Side { name, node, socket, connection: ConnectionId::new(number) });
    }

    let mut buffer = [0; 2048];
    loop {
        for side in &mut sides {
            side.node.handle_input(now(), Input::Timeout);
            if drain(side, &mut router)? {
                return Ok(());
            }
            match side.socket.recv_from(&mut buffer) {
                Ok((len, source)) => {
                    let (destination, bytes) =
                        (side.socket.local_addr()?, buffer.get(..len).unwrap_or_default());
                    side.node.handle_input(now(), Input::Datagram { source, destination, bytes });
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error.into()),
            }
            // What the router has for this side.
            while !matches!(router.poll_output(), router_lite::Output::Idle { .. }) {}
            while let Some(frame) = router.poll_transmit(side.connection, usize::MAX) {
                side.node.handle_input(now(), Input::RouterFrame(RouterId::FIRST, &frame));
            }
        }
    }
}

/// Carries out what a node wants. Says whether the example has come to its end.
fn drain(side: &mut Side, router: &mut Router) -> Result<bool, Box<dyn Error>> {
    let connection = side.connection;
    loop {
        match side.node.poll_output() {
            Output::Transmit { destination, bytes, .. } => {
                side.socket.send_to(&bytes, destination)?;
            }
            Output::Dial(id) => {
                let origin = Origin::Loopback;
                router.handle_input(router_now(), router_lite::Input::Opened { connection, origin });
                side.node.handle_input(now(), Input::RouterOpened(id));
            }
            Output::RouterSend(_, frame) => {
                router.handle_input(router_now(), router_lite::Input::Frame { connection, frame });
            }
            Output::Event(Event::PeerSeen(peer)) if side.name == "alice" => {
                side.node.connect(now(), peer.router, &peer.session)?;
            }
            Output::Event(Event::Connected { link, path, .. }) => {
                say(&format!("{}: connected to {}", side.name, path.remote))?;
                if side.name == "alice" {
                    side.node.send(
                        now(),
                        link,
                        Channel::Reliable,
                        Bytes::from_static(b"no runtime needed"),
                    )?;
                }
            }
            Output::Event(Event::Data { bytes, .. }) => {
                say(&format!("{}: {:?}", side.name, String::from_utf8_lossy(&bytes)))?;
                return Ok(true);
            }
            Output::Event(Event::Failed { why, .. }) => return Err(why.into()),
            Output::Idle { .. } => return Ok(false),
            _ => {}
        }
    }
}

fn router_now() -> Now {
    // The router's wall clock only shows in what it tells clients about time.
    Now { instant: now(), unix_us: 0 }
}
