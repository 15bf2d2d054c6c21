//! A responder on this host's loopback interface.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use simple_dns::rdata::{A, RData};
use simple_dns::{CLASS, Name, Packet, ResourceRecord};

use super::*;
use crate::driver::now;
use crate::mdns::{Resolver, ResolverOutput};

const NAME: &str = "7f8b2c1e-loopback.local";
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
const PATIENCE: Duration = Duration::from_secs(10);

fn loopback() -> Place {
    Place { ip: Ipv4Addr::LOCALHOST.into(), interface: 0 }
}

/// Answers queries for the name, once for each that `replies` gets a destination for.
fn respond(socket: &UdpSocket, destination: impl Fn(SocketAddr) -> SocketAddr) {
    let mut buffer = [0; 1500];
    loop {
        let (len, source) = socket.recv_from(&mut buffer).unwrap();
        let query = Packet::parse(&buffer[..len]).unwrap();
        let [question] = &query.questions[..] else { continue };
        if question.qname.to_string() != NAME || source.port() == PORT {
            continue; // of another test, or of another program on this host
        }
        let mut answer = Packet::new_reply(query.id());
        let rdata = RData::A(A { address: ADDRESS.into() });
        answer.answers.push(ResourceRecord::new(Name::new(NAME).unwrap(), CLASS::IN, 10, rdata));
        socket.send_to(&answer.build_bytes_vec_compressed().unwrap(), destination(source)).unwrap();
        return;
    }
}

/// A name is asked for twice, for each kind of address, and one answer was enough: the other query must not be taken for one of the
/// next round, whose sockets are not open yet.
fn forget(socket: &UdpSocket) {
    socket.set_nonblocking(true).unwrap();
    while socket.recv_from(&mut [0; 1500]).is_ok() {}
    socket.set_nonblocking(false).unwrap();
}

/// Resolves the name; the deadline is the resolver's own.
fn resolve() -> Result<Vec<IpAddr>, crate::mdns::Unresolved> {
    let mut mdns = Mdns::default();
    let mut resolver = Resolver::new(now());
    resolver.ask(now(), NAME);
    let begun: Instant = now();
    loop {
        while let Some(output) = resolver.poll_output() {
            match output {
                ResolverOutput::Query(query) => mdns.ask([loopback()].into_iter(), &query),
                ResolverOutput::Resolved(_, found) => return found,
                ResolverOutput::Done => panic!("done before the end"),
            }
        }
        assert!(now() < begun + PATIENCE);
        let wake = resolver.wake().unwrap().at;
        let due = async {
            smol::Timer::at(wake).await;
        };
        smol::block_on(smol::future::or(std::future::poll_fn(|context| mdns.poll(context)), due));
        mdns.receive(16, |source, message| resolver.handle_answer(source, message));
        resolver.handle_timeout(now());
    }
}

#[test]
fn a_name_is_resolved_by_an_answer_to_the_group_and_by_one_to_the_socket_that_asked() {
    let Ok(responder) = listen_v4([loopback()].iter()) else { panic!("cannot listen") };
    let responder = responder.into_inner().unwrap();
    responder.set_nonblocking(false).unwrap();
    responder.set_read_timeout(Some(PATIENCE)).unwrap();
    sockopt::set_ip_multicast_if(&responder, &Ipv4Addr::LOCALHOST).unwrap();
    for to_group in [false, true] {
        forget(&responder);
        let found =
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    respond(&responder, |source| {
                        if to_group { SocketAddrV4::new(GROUP_V4, PORT).into() } else { source }
                    });
                });
                resolve()
            });
        assert_eq!(found, Ok(vec![ADDRESS.into()]), "to the group: {to_group}");
    }
}

#[test]
fn sockets_are_open_only_while_they_are_needed_and_follow_the_addresses() {
    let mut mdns = Mdns::default();
    let query = [0; 12]; // asks nothing
    mdns.ask([loopback()].into_iter(), &query);
    assert_eq!((mdns.asking.len(), mdns.listening.len()), (1, 1));
    let first = mdns.asking[0].0.get_ref().local_addr().unwrap();
    mdns.ask([loopback()].into_iter(), &query);
    assert_eq!(mdns.asking[0].0.get_ref().local_addr().unwrap(), first, "the same sockets");
    let other = Place { ip: Ipv4Addr::new(127, 0, 0, 2).into(), interface: 0 };
    mdns.ask([other].into_iter(), &query);
    assert_eq!(mdns.asking[0].0.get_ref().local_addr().unwrap().ip(), other.ip);
    mdns.close();
    assert_eq!(mdns.sockets().count(), 0);
}
