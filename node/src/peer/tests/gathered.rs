//! Candidates that servers gave us.

use super::*;
use crate::event::PathKind;
use crate::ice_servers::{Gathered, GatheredKind};

fn relayed(last: u8) -> Gathered {
    let address = SocketAddr::from(([198, 51, 100, last], 50_000));
    Gathered { kind: GatheredKind::Relayed, address, base: self::address(last) }
}

fn reflexive(last: u8) -> Gathered {
    let address = SocketAddr::from(([203, 0, 113, last], 6000));
    Gathered { kind: GatheredKind::Reflexive, address, base: self::address(last) }
}

fn paths(side: &Side) -> Vec<Path> {
    let path = |o: &PeerOutput| match o {
        PeerOutput::Connected(path) | PeerOutput::PathChanged(path) => Some(*path),
        _ => None,
    };
    side.told.iter().filter_map(path).collect()
}

/// A table whose wire only carries what goes between relayed addresses, and only once the receiver has sent to the sender: a TURN
/// server wants a permission.
fn behind_walls() -> Table {
    let mut table = Table::new();
    table.passes = |table, t| {
        let relayed = |address: SocketAddr| address.ip().to_string().starts_with("198.51.100.");
        relayed(t.source) && relayed(t.destination) && table.sent.contains(&(t.destination, t.source))
    };
    table
}

#[test]
fn the_called_side_wants_to_check_before_it_is_checked() {
    // A NAT in front of it lets nothing in from where nothing went to.
    let mut table = Table::new();
    table.drain(true);
    let now = table.now;
    let peer = &mut table.answerer().peer;
    let wake = loop {
        if let PeerOutput::Idle(wake) = peer.poll_output(now) {
            break wake.unwrap();
        }
    };
    assert_eq!(wake.why, "rtc");
    assert!(wake.at <= now + Duration::from_millis(50), "not for {:?}", wake.at - now);
}

#[test]
fn a_relay_that_comes_late_opens_the_link_and_another_one_keeps_it_open() {
    let mut table = behind_walls();
    assert!(!table.run(Duration::from_secs(1), |t| t.offerer.connected() == 1), "there is no path yet");
    table.offerer.peer.handle_gained(relayed(1));
    table.answerer().peer.handle_gained(relayed(2));
    assert!(table.run(Duration::from_secs(4), |t| t.offerer.connected() == 1));
    let path = paths(&table.offerer)[0];
    assert_eq!((path.local, path.local_kind), (relayed(1).address, PathKind::Relay));
    assert_eq!((path.remote, path.remote_kind), (relayed(2).address, PathKind::Relay));
    assert_eq!(path.to_string(), "198.51.100.1:50000 (relay) to 198.51.100.2:50000 (relay)");

    // The server forgets the offerer's, and gives another while the restart is being negotiated.
    let now = table.now;
    table.offerer.peer.handle_lost(now, relayed(1));
    table.drain(true);
    table.offerer.peer.handle_gained(relayed(3));
    let restarted = table.run(Duration::from_secs(10), |t| paths(&t.offerer).len() > 1);
    assert!(restarted, "{:?} {:?}", table.offerer.steps(), table.offerer.ended());
    assert_eq!(paths(&table.offerer)[1].local, relayed(3).address);
    table.offerer.peer.send(Channel::Reliable, Bytes::from_static(b"still here")).unwrap();
    assert!(
        table.run(Duration::from_secs(5), |t| !t
            .answerer
            .as_ref()
            .unwrap()
            .data(Channel::Reliable)
            .is_empty())
    );
}

#[test]
fn a_reflexive_address_is_told_and_named_in_the_path() {
    let mut table = Table::new();
    table.offerer.peer.handle_gained(reflexive(1));
    assert!(table.run(Duration::from_secs(3), |t| t.offerer.connected() == 1));
    let told = |side: &Side, kind: &str| {
        side.steps().iter().any(|step| matches!(step, Step::CandidateSent(line) if line.contains(kind)))
    };
    assert!(told(&table.offerer, "203.0.113.1 6000 typ srflx"));
    let path = paths(&table.offerer)[0];
    assert_eq!((path.local, path.local_kind), (address(1), PathKind::Srflx));
    assert_eq!(path.remote_kind, PathKind::Host);
    // Losing an address that only servers saw does not disturb the socket's own.
    table.offerer.peer.handle_lost(table.now, reflexive(1));
    assert!(!table.run(Duration::from_secs(2), |t| t.offerer.peer.state() != LinkState::Open));
}

#[test]
fn with_turn_only_nothing_else_is_told() {
    let (now, mut rng) = (start(), StdRng::from_seed([6; 32]));
    let certificate = Certificate::generate(&mut rng).unwrap();
    let addresses = [address(1)];
    let gathered = [reflexive(1), relayed(1)];
    let setup = Setup { gathered: &gathered, turn_only: true, ..setup(&certificate, &addresses) };
    let mut peer = Peer::offer(now, &setup, &mut rng, None);
    peer.handle_gained(reflexive(2));
    peer.handle_gained(relayed(2));
    peer.handle_addresses(now, &[address(1), address(5)]);
    let mut said = String::new();
    loop {
        match peer.poll_output(now) {
            PeerOutput::Idle(_) => break,
            PeerOutput::Signal(signal) => said.push_str(&format!("{signal:?}")),
            _ => {}
        }
    }
    assert!(said.contains("198.51.100.1") && said.contains("198.51.100.2"), "{said}");
    assert!(!said.contains("192.0.2.") && !said.contains("203.0.113."), "{said}");
}
