use rand::SeedableRng;

use super::fake::Fake;
use super::message::{ALLOCATE, BINDING, CHANNEL_BIND, CREATE_PERMISSION, REFRESH};
use super::*;
use crate::clock_for_tests::start;
use crate::limits::{MAX_TURN_CHANNELS, MAX_TURN_PERMISSIONS};

const CHECK: [u8; 8] = [0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42];
const DTLS: [u8; 5] = [22, 254, 253, 0, 0];

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// One socket, one server, and virtual time.
struct Table {
    now: Instant,
    servers: IceServers,
    fake: Fake,
    base: SocketAddr,
    remote: SocketAddr,
    held: Vec<Gathered>,
    resolved: usize,
}

impl Table {
    fn new(server: IceServer) -> Self {
        Self::with(&[server])
    }

    fn with(servers: &[IceServer]) -> Self {
        let now = start();
        let servers = IceServers::new(now, StdRng::from_seed([4; 32]), servers);
        let (base, remote) = (address("10.0.0.2:5000"), address("192.0.2.1:3478"));
        let mut table = Self { now, servers, fake: Fake::new(), base, remote, held: Vec::new(), resolved: 0 };
        table.servers.handle_addresses(now, &[base, address("[2001:db8::2]:5000")]);
        table
    }

    fn turn() -> Self {
        let mut table = Self::new(IceServer::turn("turn.example".parse().unwrap(), "alice", "sesame"));
        table.settle();
        table
    }

    fn settle(&mut self) {
        loop {
            match self.servers.poll_output(self.now) {
                ServersOutput::Idle(_) => return,
                ServersOutput::Resolve(id) => {
                    self.resolved += 1;
                    self.servers.handle_resolved(self.now, id, Ok(&[self.remote]));
                }
                ServersOutput::Gained(gained) => {
                    assert!(!self.held.contains(&gained), "told twice");
                    self.held.push(gained);
                }
                ServersOutput::Lost(lost) => {
                    assert!(self.held.contains(&lost), "never had it");
                    self.held.retain(|held| *held != lost);
                }
                ServersOutput::Transmit { source, destination, bytes } => {
                    assert_eq!((source, destination), (self.base, self.remote));
                    if let Some(answer) = self.fake.handle(self.now, &bytes) {
                        let taken = self.servers.handle_datagram(self.now, self.remote, self.base, &answer);
                        let left = self.servers.servers.is_empty();
                        assert_eq!(taken, if left { Incoming::Foreign } else { Incoming::Taken });
                    }
                }
            }
        }
    }

    /// Lets time pass, exactly as the deadlines demand, and no faster than once a millisecond.
    fn run(&mut self, time: Duration) {
        self.run_with(time, |_| {});
    }

    fn run_with(&mut self, time: Duration, mut each_second: impl FnMut(&mut Self)) {
        let end = self.now + time;
        let mut second = self.now + Duration::from_secs(1);
        while self.now < end {
            let wake = self.servers.wake.unwrap().at;
            assert!(wake > self.now, "busy loop: {:?}", self.servers.wake);
            self.now = wake.min(second).min(end);
            self.servers.handle_timeout(self.now);
            self.settle();
            if self.now >= second {
                second += Duration::from_secs(1);
                each_second(self);
                self.settle();
            }
        }
    }

    fn relayed(&self) -> Option<SocketAddr> {
        self.held.iter().find(|g| g.kind == GatheredKind::Relayed).map(|g| g.address)
    }

    fn reflexive(&self) -> Option<SocketAddr> {
        self.held.iter().find(|g| g.kind == GatheredKind::Reflexive).map(|g| g.address)
    }

    fn state(&self) -> ServerState {
        self.servers.infos().next().unwrap().state
    }

    fn fault(&self) -> Option<ServerFault> {
        if let ServerState::Failed(fault) = self.state() { Some(fault) } else { None }
    }

    /// Sends to a peer from the relayed address.
    fn send(&mut self, peer: SocketAddr, data: &[u8]) -> bool {
        let relayed =
            self.servers.gathered().iter().find(|g| g.kind == GatheredKind::Relayed).unwrap().address;
        let packed = self.servers.pack(self.now, relayed, peer, data);
        self.settle();
        let Some((source, destination, bytes)) = packed else { return false };
        assert_eq!((source, destination), (self.base, self.remote));
        assert_eq!(self.fake.handle(self.now, &bytes), None);
        true
    }

    fn asked(&self, method: stun_types::message::Method) -> usize {
        self.fake.asked.iter().filter(|asked| **asked == method).count()
    }
}

#[test]
fn a_stun_server_tells_how_we_look_and_notices_when_that_changes() {
    let mut table = Table::new(IceServer::stun("stun.example".parse().unwrap()));
    assert_eq!(table.state(), ServerState::Asked);
    table.settle();
    assert_eq!((table.reflexive(), table.relayed()), (Some(address("203.0.113.1:6000")), None));
    table.fake.mapped = address("203.0.113.9:7000");
    table.run(Duration::from_secs(21));
    assert_eq!(table.held.len(), 1, "{:?}", table.held);
    assert_eq!(table.reflexive(), Some(address("203.0.113.9:7000")));
    table.run(Duration::from_secs(3600));
    assert_eq!(table.asked(BINDING), 1 + 3621 / 20, "a NAT is kept awake, and no more");
    // Behind no NAT there is nothing to tell.
    table.fake.mapped = table.base;
    table.run(Duration::from_secs(21));
    assert!(table.held.is_empty());
    assert!(matches!(table.state(), ServerState::Ready { .. }));
}

#[test]
fn a_server_that_is_silent_is_given_up_asked_again_and_looked_up_again() {
    let mut table = Table::new(IceServer::stun("stun.example".parse().unwrap()));
    table.fake.silent = true;
    table.settle();
    table.run(Duration::from_secs(4));
    assert_eq!(table.fault(), Some(ServerFault::NoAnswer), "before it is given up, for who looks now");
    table.run(Duration::from_secs(120));
    assert!((2..=3).contains(&table.resolved), "{}", table.resolved);
    table.fake.silent = false;
    table.run(Duration::from_secs(31));
    assert!(table.reflexive().is_some() && table.fault().is_none());
    // A mapping nobody confirms is not offered to peers.
    table.fake.silent = true;
    table.run(Duration::from_secs(40));
    assert!(table.held.is_empty());
    // The cable is plugged in again: no waiting.
    table.fake.silent = false;
    let bases = [table.base];
    table.servers.handle_addresses(table.now, &bases);
    table.settle();
    assert!(table.reflexive().is_some());
}

#[test]
fn a_name_that_is_not_resolved_is_tried_again() {
    let mut table = Table::new(IceServer::stun("stun.example".parse().unwrap()));
    let ServersOutput::Resolve(id) = table.servers.poll_output(table.now) else { panic!("not asked") };
    table.servers.handle_resolved(table.now, id, Err("no such name"));
    table.settle();
    assert_eq!(table.fault(), Some(ServerFault::Unresolved("no such name".to_owned())));
    table.run(Duration::from_secs(61));
    assert!(table.reflexive().is_some());
}

#[test]
fn a_server_may_have_two_names_and_both_tasks() {
    let turn = |name: &str| IceServer::turn(name.parse().unwrap(), "alice", "sesame");
    let stun = IceServer::stun("192.0.2.1".parse().unwrap());
    let mut table = Table::with(&[stun, turn("192.0.2.1"), turn("alias.example")]);
    table.settle();
    table.run(Duration::from_secs(3600));
    assert_eq!(table.held.len(), 2, "{:?}", table.held);
    assert_eq!(table.asked(ALLOCATE), 2, "one allocation, though asked for by two names");
    let peer = address("203.0.113.7:7");
    assert!(table.send(peer, &DTLS) && table.send(peer, &DTLS));
    let bytes = table.fake.hear_peer(table.now, peer, b"back").unwrap();
    let incoming = table.servers.handle_datagram(table.now, table.remote, table.base, &bytes);
    assert!(matches!(incoming, Incoming::Relayed { bytes: b"back", .. }), "{incoming:?}");
    let states: Vec<_> = table.servers.infos().map(|info| info.state).collect();
    assert!(matches!(states[0], ServerState::Ready { .. }) && matches!(states[1], ServerState::Ready { .. }));
    assert_eq!(states[2], ServerState::Failed(ServerFault::Duplicate));
}

#[test]
fn an_allocation_is_kept_for_hours_and_given_back() {
    let mut table = Table::turn();
    let relayed = table.relayed().unwrap();
    assert_eq!(table.asked(ALLOCATE), 2, "asked, challenged, asked with credentials");
    table.run(Duration::from_secs(6 * 3600));
    assert_eq!((table.relayed(), table.asked(ALLOCATE)), (Some(relayed), 2));
    assert_eq!(table.asked(REFRESH), 6 * 3600 / 540);
    assert!(matches!(table.state(), ServerState::Ready { relayed: r, .. } if r == [relayed]));
    table.servers.release(table.now);
    table.settle();
    assert!(table.fake.held.is_none() && table.held.is_empty());
}

#[test]
fn a_short_lifetime_is_respected_and_a_stale_nonce_costs_nothing() {
    let mut table = Table::turn();
    table.fake.lifetime = 30;
    table.fake.nonce = "second".to_owned();
    table.run(Duration::from_secs(700));
    let refreshes = table.asked(REFRESH);
    assert!((10..=15).contains(&refreshes), "{refreshes}");
    assert_eq!(table.asked(ALLOCATE), 2);
    assert!(table.relayed().is_some());
}

#[test]
fn a_server_that_restarts_is_asked_for_another_allocation() {
    let mut table = Table::turn();
    let before = table.relayed();
    (table.fake.held, table.fake.nonce) = (None, "after restart".to_owned());
    table.run(Duration::from_secs(541));
    assert!(table.relayed().is_some() && table.relayed() != before);
    // Somebody who needs it notices sooner.
    let before = table.relayed();
    table.fake.held = None;
    table.send(address("203.0.113.7:7"), &CHECK);
    assert!(table.relayed().is_some() && table.relayed() != before);
}

#[test]
fn a_server_that_restarts_under_a_link_is_found_out_by_its_silence() {
    let mut table = Table::turn();
    let peer = address("203.0.113.7:7");
    assert!(table.send(peer, &DTLS) && table.send(peer, &DTLS));
    let before = table.relayed();
    table.run_with(Duration::from_secs(30), |table| {
        assert!(table.send(peer, &DTLS));
        let bytes = table.fake.hear_peer(table.now, peer, b"ack").unwrap();
        let _relayed = table.servers.handle_datagram(table.now, table.remote, table.base, &bytes);
    });
    assert_eq!((table.relayed(), table.asked(REFRESH)), (before, 0), "a link that works raises no doubt");
    table.fake.held = None;
    table.run_with(Duration::from_secs(4), |table| assert!(table.send(peer, &DTLS)));
    assert!(table.relayed().is_some() && table.relayed() != before);
    // A peer that is gone is no reason to ask all the time.
    let asked = table.asked(REFRESH);
    table.run_with(Duration::from_secs(100), |table| assert!(table.send(peer, &DTLS)));
    assert!((1..=10).contains(&(table.asked(REFRESH) - asked)));
}

#[test]
fn what_a_server_has_against_us_is_told_apart() {
    type Case = (fn(&mut Fake), ServerFault, u64);
    let cases: [Case; 4] = [
        (|fake| fake.password = "other".to_owned(), ServerFault::WrongCredentials, 300),
        (|fake| fake.refuse = Some((ALLOCATE, 486)), ServerFault::QuotaReached, 30),
        (
            |fake| fake.refuse = Some((ALLOCATE, 508)),
            ServerFault::Refused { code: 508, reason: "no".to_owned() },
            30,
        ),
        (|fake| fake.silent = true, ServerFault::NoAnswer, 46),
    ];
    for (breaks, fault, retried_after) in cases {
        let mut table = Table::new(IceServer::turn("turn.example".parse().unwrap(), "alice", "sesame"));
        breaks(&mut table.fake);
        table.settle();
        table.run(Duration::from_secs(20));
        assert_eq!((table.fault(), table.relayed()), (Some(fault.clone()), None));
        let sound = Fake::new();
        (table.fake.password, table.fake.silent) = (sound.password, sound.silent);
        table.run(Duration::from_secs(retried_after));
        assert!(table.relayed().is_some(), "not tried again after {fault}");
    }
}

#[test]
fn what_an_earlier_life_has_left_behind_is_given_back_first() {
    let mut table = Table::turn();
    let fake = std::mem::replace(&mut table.fake, Fake::new());
    let mut table = Table::new(IceServer::turn("turn.example".parse().unwrap(), "alice", "sesame"));
    table.fake = fake;
    table.settle();
    assert!(table.relayed().is_some());
    assert_eq!(table.fake.held.as_ref().map(|held| held.relayed), table.relayed());
}

#[test]
fn an_answer_of_somebody_without_the_password_is_ignored() {
    let mut table = Table::new(IceServer::turn("turn.example".parse().unwrap(), "alice", "sesame"));
    let mut forger = Fake::new();
    loop {
        match table.servers.poll_output(table.now) {
            ServersOutput::Idle(_) => break,
            ServersOutput::Resolve(id) => {
                table.servers.handle_resolved(table.now, id, Ok(&[table.remote]));
            }
            ServersOutput::Gained(gained) => assert_eq!(gained.kind, GatheredKind::Reflexive),
            ServersOutput::Lost(_) => panic!("nothing to lose"),
            ServersOutput::Transmit { bytes, .. } => {
                // It can let the request pass, but not sign what it makes of the answer.
                if let Some(mut answer) = forger.handle(table.now, &bytes) {
                    let allocated = answer[..2] == [0x01, 0x03];
                    if allocated {
                        let last = answer.len() - 1;
                        answer[last] ^= 1;
                    }
                    let _taken = table.servers.handle_datagram(table.now, table.remote, table.base, &answer);
                }
            }
        }
    }
    assert!(forger.held.is_some());
    assert_eq!(table.state(), ServerState::Asked);
}

#[test]
fn data_takes_an_indication_first_and_a_channel_once_it_flows() {
    let mut table = Table::turn();
    let peer = address("203.0.113.7:7");
    assert!(table.send(peer, &CHECK));
    assert_eq!(table.fake.relayed, [(peer, CHECK.to_vec(), false)], "behind the permission it needs");
    assert_eq!((table.asked(CREATE_PERMISSION), table.asked(CHANNEL_BIND)), (1, 0));
    assert!(table.send(peer, &DTLS) && table.send(peer, &DTLS) && table.send(peer, &CHECK));
    let in_channels: Vec<_> = table.fake.relayed.iter().map(|(_, _, channel)| *channel).collect();
    assert_eq!(in_channels, [false, false, true, true]);
    assert_eq!((table.asked(CREATE_PERMISSION), table.asked(CHANNEL_BIND)), (1, 1));

    // From the peer's other ports it comes in indications.
    for port in [7, 8] {
        let peer = SocketAddr::new(peer.ip(), port);
        let bytes = table.fake.hear_peer(table.now, peer, b"back").unwrap();
        let incoming = table.servers.handle_datagram(table.now, table.remote, table.base, &bytes);
        let destination = table.relayed().unwrap();
        assert_eq!(incoming, Incoming::Relayed { source: peer, destination, bytes: b"back" });
    }
    let stranger = table.servers.handle_datagram(table.now, peer, table.base, b"back");
    assert_eq!(stranger, Incoming::Foreign);
}

#[test]
fn what_is_in_use_is_renewed_and_the_rest_runs_out() {
    let mut table = Table::turn();
    let (busy, idle) = (address("203.0.113.7:7"), address("203.0.113.8:8"));
    for peer in [busy, idle] {
        assert!(table.send(peer, &DTLS) && table.send(peer, &DTLS));
    }
    let before = table.fake.relayed.len();
    table.run_with(Duration::from_secs(3600), |table| assert!(table.send(busy, &DTLS)));
    assert_eq!(table.fake.relayed.len() - before, 3600, "nothing was lost");
    assert!(table.fake.relayed[before..].iter().all(|(_, _, channel)| *channel), "all on the channel");
    assert_eq!(table.asked(CHANNEL_BIND), 2 + 3600 / 240);
    // It comes back after an hour; the permission is asked for first.
    assert!(table.send(idle, &CHECK) && table.send(idle, &DTLS) && table.send(idle, &DTLS));
    assert_eq!(table.fake.relayed.len() - before, 3603);
}

#[test]
fn a_peer_the_server_does_not_relay_to_is_left_alone_for_a_while() {
    let mut table = Table::turn();
    let peer = address("10.9.9.9:9");
    table.fake.refuse = Some((CREATE_PERMISSION, 403));
    assert!(table.send(peer, &CHECK), "the answer is not known yet");
    assert!(!table.send(peer, &CHECK) && table.fake.relayed.is_empty());
    assert_eq!(table.asked(CREATE_PERMISSION), 1);
    table.run(Duration::from_secs(61));
    assert!(table.send(peer, &CHECK) && table.fake.relayed.len() == 1);
}

#[test]
fn strangers_cannot_make_an_allocation_grow_without_bound() {
    let mut table = Table::turn();
    let friend = address("203.0.113.7:7");
    assert!(table.send(friend, &DTLS) && table.send(friend, &DTLS));
    for n in 0..2000_u16 {
        let [high, low] = n.to_be_bytes();
        let stranger = SocketAddr::from(([198, 18, high, low], 1000));
        assert!(table.send(stranger, &DTLS) && table.send(stranger, &CHECK));
        assert!(table.send(friend, &DTLS));
    }
    let mut clients = table.servers.servers.iter().flat_map(|server| &server.clients);
    assert_eq!(clients.next().unwrap().peer_counts(), (MAX_TURN_PERMISSIONS, MAX_TURN_CHANNELS));
    assert_eq!(table.fake.relayed.last().unwrap().0, friend);
    table.run(Duration::from_secs(1800));
    let mut clients = table.servers.servers.iter().flat_map(|server| &server.clients);
    assert_eq!(clients.next().unwrap().peer_counts(), (0, 0), "and it does not last");
}
