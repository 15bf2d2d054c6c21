//! Datagrams through real sockets on loopback.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::*;
use crate::peer::MAX_DATAGRAMS_PER_DRAIN;

/// Nothing on loopback takes longer.
const PATIENCE: Duration = Duration::from_secs(10);

fn loopback() -> Place {
    Place { ip: Ipv4Addr::LOCALHOST.into(), interface: 0 }
}

fn bind(count: usize) -> Sockets {
    Sockets::bind(&vec![loopback(); count], 0).unwrap()
}

fn outside() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

fn ready(sockets: &Sockets) {
    let late = async {
        smol::Timer::after(PATIENCE).await;
        panic!("nothing arrived")
    };
    smol::block_on(smol::future::or(std::future::poll_fn(|context| sockets.poll(context)), late));
}

/// Receives in rounds of `limit` until `count` are there; says how many came in each round, and what they were.
fn receive_all(
    sockets: &mut Sockets,
    limit: usize,
    count: usize,
) -> (Vec<usize>, Vec<(SocketAddr, Vec<u8>)>) {
    let (mut rounds, mut got) = (Vec::new(), Vec::new());
    while got.len() < count {
        let round = sockets.receive(limit, |source, _, bytes| got.push((source, bytes.to_vec())));
        match round {
            0 => ready(sockets),
            _ => rounds.push(round),
        }
    }
    assert_eq!(sockets.receive(limit, |_, _, _| panic!("one too many")), 0);
    (rounds, got)
}

fn numbered(sizes: &[usize]) -> Vec<Vec<u8>> {
    sizes.iter().zip(0..).map(|(size, number)| vec![number; *size]).collect()
}

fn send_all(sockets: &mut Sockets, destination: SocketAddr, datagrams: &[Vec<u8>]) {
    let source = sockets.addresses()[0];
    for datagram in datagrams {
        assert_eq!(sockets.send(source, destination, datagram.clone()), Sent::Done);
    }
    assert_eq!(sockets.flush(), Sent::Done);
}

#[test]
fn a_burst_arrives_whole_in_order_and_no_faster_than_asked_for() {
    let (mut a, mut b) = (bind(1), bind(1));
    let sizes: Vec<usize> = [&[1200; 50][..], &[700, 900, 900, 0, 10]].concat();
    let datagrams = numbered(&sizes);
    send_all(&mut a, b.addresses()[0], &datagrams);
    let (rounds, got) = receive_all(&mut b, MAX_DATAGRAMS_PER_DRAIN, sizes.len());
    assert!(rounds.iter().all(|round| *round <= MAX_DATAGRAMS_PER_DRAIN), "{rounds:?}");
    assert!(got.iter().all(|(source, _)| *source == a.addresses()[0]));
    assert_eq!(got.into_iter().map(|(_, bytes)| bytes).collect::<Vec<_>>(), datagrams);
}

#[test]
fn what_was_read_beyond_the_limit_comes_before_the_socket_is_read_again() {
    let (mut a, mut b) = (bind(1), bind(1));
    let first = numbered(&[1000; 20]);
    send_all(&mut a, b.addresses()[0], &first);
    ready(&b);
    let mut got = Vec::new();
    assert_eq!(b.receive(7, |_, _, bytes| got.push(bytes.to_vec())), 7);
    let late = vec![vec![99; 1000]];
    send_all(&mut a, b.addresses()[0], &late);
    let (_, rest) = receive_all(&mut b, 7, 14);
    got.extend(rest.into_iter().map(|(_, bytes)| bytes));
    assert_eq!(got, [first, late].concat());
}

#[test]
fn every_datagram_of_a_batch_is_one_to_a_socket_that_knows_nothing_of_batches() {
    let mut sockets = bind(1);
    let (peer, address) = outside();
    let datagrams = numbered(&[1200, 1200, 1200, 300]);
    send_all(&mut sockets, address, &datagrams);
    let mut buffer = [0; 4096];
    for datagram in datagrams {
        let len = peer.recv(&mut buffer).unwrap();
        assert_eq!(buffer[..len], datagram);
    }
}

#[test]
fn a_batch_no_kernel_takes_still_arrives() {
    /// More than any kernel's UDP_MAX_SEGMENTS.
    struct Greedy<'a>(&'a Vec<Socket>);
    impl Wire for Greedy<'_> {
        fn max_segments(&self, _: SocketAddr) -> usize {
            1000
        }
        fn send(&self, source: SocketAddr, destination: SocketAddr, bytes: &[u8]) -> io::Result<()> {
            self.0.send(source, destination, bytes)
        }
        fn send_batch(
            &self,
            source: SocketAddr,
            destination: SocketAddr,
            bytes: &[u8],
            segment: usize,
        ) -> io::Result<()> {
            self.0.send_batch(source, destination, bytes, segment)
        }
    }
    let mut sockets = bind(1);
    let (peer, address) = outside();
    let source = sockets.addresses()[0];
    for _ in 0..200 {
        let sent = sockets.outgoing.push(&Greedy(&sockets.sockets), source, address, vec![7; 8]);
        assert_eq!(sent, Sent::Done);
    }
    assert_eq!(sockets.flush(), Sent::Done);
    for _ in 0..200 {
        assert_eq!(peer.recv(&mut [0; 16]).unwrap(), 8);
    }
    // From here on the kernel is not asked again, and nothing is different.
    assert_eq!(sockets.sockets.max_segments(source), 1);
    send_all(&mut sockets, address, &numbered(&[8; 5]));
    for _ in 0..5 {
        assert_eq!(peer.recv(&mut [0; 16]).unwrap(), 8);
    }
}

#[test]
fn a_source_without_a_socket_is_counted() {
    let mut sockets = bind(1);
    let (_peer, address) = outside();
    for _ in 0..3 {
        assert_eq!(sockets.send(address, address, vec![1; 10]), Sent::Done);
    }
    assert_eq!(sockets.flush(), Sent::Done);
    assert_eq!(sockets.outgoing.unsent, 3);
}

#[test]
fn what_is_too_long_or_may_be_cut_is_counted_and_the_rest_arrives() {
    let mut sockets = bind(1);
    let (peer, _) = outside();
    let local = sockets.addresses()[0];
    for size in [100, 2048, 2049, 60_000, 100] {
        peer.send_to(&vec![1; size], local).unwrap();
    }
    let mut sizes = Vec::new();
    let mut count = 0;
    while count < 5 {
        ready(&sockets);
        count += sockets.receive(MAX_DATAGRAMS_PER_DRAIN, |_, _, bytes| sizes.push(bytes.len()));
    }
    assert_eq!((sizes, sockets.incoming.oversized), (vec![100, 2048, 100], 2));

    sockets.incoming = Incoming::with_message_bytes(1000);
    for size in [999, 1000, 1001] {
        peer.send_to(&vec![1; size], local).unwrap();
    }
    let (mut sizes, mut count) = (Vec::new(), 0);
    while count < 3 {
        ready(&sockets);
        count += sockets.receive(MAX_DATAGRAMS_PER_DRAIN, |_, _, bytes| sizes.push(bytes.len()));
    }
    assert_eq!((sizes, sockets.incoming.oversized), (vec![999], 2), "nobody knows how long the others were");
}

#[test]
fn a_flooded_socket_does_not_keep_another_waiting() {
    let mut sockets = bind(2);
    let [busy, quiet] = sockets.addresses()[..] else { panic!("two sockets") };
    let (peer, _) = outside();
    for _ in 0..200 {
        peer.send_to(&[1], busy).unwrap();
    }
    peer.send_to(&[2], quiet).unwrap();
    let mut to = Vec::new();
    while !to.contains(&quiet) {
        ready(&sockets);
        sockets.receive(4, |_, destination, _| to.push(destination));
    }
    assert!(to.len() <= 3 * 4, "{} came first", to.len());
}

#[cfg(any(target_os = "linux", target_os = "android"))]
#[test]
fn datagrams_may_be_fragmented_as_on_any_socket() {
    let ordinary = sockopt::ip_mtu_discover(outside().0).unwrap();
    assert_eq!(sockopt::ip_mtu_discover(&bind(1).sockets[0].io).unwrap(), ordinary);
}

#[test]
fn a_wanted_port_is_taken_on_every_address_or_it_is_said_that_it_cannot_be() {
    let second = Place { ip: Ipv4Addr::new(127, 0, 0, 2).into(), interface: 0 };
    let first = loopback();
    let mut free = Sockets::bind(&[first], 0).unwrap();
    let port = free.addresses()[0].port();
    let error = Sockets::bind(&[second, first], port).unwrap_err();
    assert_eq!(error.to_string(), format!("UDP port {port} of 127.0.0.1 is taken"));
    free.follow(&[]);
    let mut wanted = Sockets::bind(&[first], port).unwrap();
    wanted.follow(&[first, second]);
    assert_eq!(wanted.addresses(), [first.with_port(port), second.with_port(port)]);
}
