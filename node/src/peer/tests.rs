//! Two peers on a table: signals and datagrams are carried by hand, time is computed.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;

use str0m::channel::ChannelConfig;
use str0m::net::Transmit;

use super::*;
use crate::clock_for_tests::start;

mod gathered;
mod names;
mod packets;
mod restarts;

const STEP: Duration = Duration::from_millis(1);

/// One side, with everything it ever told.
struct Side {
    peer: Peer,
    told: Vec<PeerOutput>,
}

impl Side {
    fn connected(&self) -> usize {
        self.told.iter().filter(|o| matches!(o, PeerOutput::Connected(_))).count()
    }

    fn steps(&self) -> Vec<Step> {
        let step = |o: &PeerOutput| if let PeerOutput::Step(s) = o { Some(s.clone()) } else { None };
        self.told.iter().filter_map(step).collect()
    }

    fn data(&self, on: Channel) -> Vec<Bytes> {
        let data = |o: &PeerOutput| match o {
            PeerOutput::Data(channel, bytes) if *channel == on => Some(bytes.clone()),
            _ => None,
        };
        self.told.iter().filter_map(data).collect()
    }

    fn ended(&self) -> Option<&Ended> {
        self.told.iter().find_map(|o| if let PeerOutput::Ended(ended) = o { Some(ended) } else { None })
    }
}

struct Table {
    now: Instant,
    rng: StdRng,
    offerer: Side,
    answerer: Option<Side>,
    certificate: Certificate,
    wire: VecDeque<(bool, Transmit)>,
    /// Who has sent to whom.
    sent: BTreeSet<(SocketAddr, SocketAddr)>,
    /// Whether a datagram arrives.
    passes: fn(&Self, &Transmit) -> bool,
}

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 4000))
}

fn setup<'a>(certificate: &'a Certificate, addresses: &'a [SocketAddr]) -> Setup<'a> {
    Setup {
        edge: true,
        certificate,
        addresses,
        gathered: &[],
        turn_only: false,
        connect_timeout: Duration::from_secs(10),
        send_buffer_bytes: 128 * 1024,
    }
}

impl Table {
    fn new() -> Self {
        let now = start();
        let mut rng = StdRng::from_seed([5; 32]);
        let certificate = Certificate::generate(&mut rng).unwrap();
        let mut peer = Peer::offer(now, &setup(&certificate, &[address(1)]), &mut rng, None);
        peer.set_edge(true);
        let offerer = Side { peer, told: Vec::new() };
        Self {
            now,
            rng,
            offerer,
            answerer: None,
            certificate,
            wire: VecDeque::new(),
            sent: BTreeSet::new(),
            passes: |_, _| true,
        }
    }

    /// Drains one side and carries what it wants sent; datagrams queue on the wire.
    fn drain(&mut self, from_offerer: bool) {
        loop {
            let side = if from_offerer { Some(&mut self.offerer) } else { self.answerer.as_mut() };
            let Some(side) = side else { return };
            match side.peer.poll_output(self.now) {
                PeerOutput::Idle(_) | PeerOutput::Gone => return,
                output => self.carry(from_offerer, output),
            }
        }
    }

    /// Drains both sides and delivers every datagram, until nothing moves.
    fn settle(&mut self) {
        loop {
            self.drain(true);
            self.drain(false);
            let Some((from_offerer, t)) = self.wire.pop_front() else { return };
            self.sent.insert((t.source, t.destination));
            if !(self.passes)(self, &t) {
                continue;
            }
            let side = if from_offerer { self.answerer.as_mut() } else { Some(&mut self.offerer) };
            if let Some(side) = side
                && side.peer.accepts(self.now, t.source, t.destination, &t.contents)
            {
                side.peer.handle_datagram(self.now, t.source, t.destination, &t.contents);
            }
        }
    }

    fn carry(&mut self, from_offerer: bool, output: PeerOutput) {
        let now = self.now;
        if let PeerOutput::Transmit(transmit) = output {
            return self.wire.push_back((from_offerer, transmit));
        }
        match &output {
            PeerOutput::Signal(OutSignal::Offer(sdp)) if restart_number(sdp).is_some() => {
                let number = restart_number(sdp).unwrap();
                let side = if from_offerer { self.answerer.as_mut() } else { Some(&mut self.offerer) };
                side.unwrap().peer.handle_restart_offer(now, number, sdp, !from_offerer);
            }
            PeerOutput::Signal(OutSignal::Offer(sdp)) => {
                let addresses = [address(2)];
                let mut peer =
                    Peer::answer(now, &setup(&self.certificate, &addresses), &mut self.rng, sdp).unwrap();
                peer.set_edge(true);
                self.answerer = Some(Side { peer, told: Vec::new() });
            }
            PeerOutput::Signal(OutSignal::Answer(sdp)) if from_offerer => {
                self.answerer().peer.handle_answer(now, sdp);
            }
            PeerOutput::Signal(OutSignal::Answer(sdp)) => self.offerer.peer.handle_answer(now, sdp),
            PeerOutput::Signal(OutSignal::Candidate(text)) if from_offerer => {
                if let Some(answerer) = &mut self.answerer {
                    answerer.peer.handle_candidate(text);
                }
            }
            PeerOutput::Signal(OutSignal::Candidate(text)) => self.offerer.peer.handle_candidate(text),
            _ => {}
        }
        let side = if from_offerer { Some(&mut self.offerer) } else { self.answerer.as_mut() };
        if let Some(side) = side {
            side.told.push(output);
        }
    }

    /// Lets virtual time run until `done`.
    fn run(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + limit;
        while self.now < end {
            self.settle();
            if done(self) {
                return true;
            }
            self.now += STEP;
            self.offerer.peer.handle_timeout(self.now);
            if let Some(answerer) = &mut self.answerer {
                answerer.peer.handle_timeout(self.now);
            }
        }
        done(self)
    }

    fn open() -> Self {
        let mut table = Self::new();
        let opened = table.run(Duration::from_secs(5), |t| {
            t.offerer.connected() == 1 && t.answerer.as_ref().is_some_and(|a| a.connected() == 1)
        });
        assert!(opened, "{:?} {:?}", table.offerer.steps(), table.answerer.map(|a| a.steps()));
        table
    }

    fn answerer(&mut self) -> &mut Side {
        self.answerer.as_mut().unwrap()
    }
}

#[test]
fn both_sides_connect_once_and_in_the_right_order() {
    let mut table = Table::open();
    table.run(Duration::from_secs(2), |_| false);
    assert_eq!((table.offerer.connected(), table.answerer().connected()), (1, 1));
    let states = |side: &Side| {
        let state = |o: &PeerOutput| if let PeerOutput::State(s) = o { Some(*s) } else { None };
        side.told.iter().filter_map(state).collect::<Vec<_>>()
    };
    assert_eq!(states(&table.offerer), [LinkState::Offering, LinkState::Checking, LinkState::Open]);
    assert_eq!(states(table.answerer()), [LinkState::Checking, LinkState::Open]);
    let names = |side: &Side| {
        side.steps()
            .iter()
            .map(|s| format!("{s:?}").split('(').next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(table.answerer())[..4],
        ["OfferReceived", "AnswerSent", "CandidateSent", "CandidateReceived"]
    );
    assert!(table.offerer.steps().contains(&Step::ChannelOpen(Channel::Stream)));
    assert!(table.offerer.steps().contains(&Step::ChannelOpen(Channel::Reliable)));
}

#[test]
fn messages_of_every_size_arrive_on_both_channels_in_both_directions() {
    let mut table = Table::open();
    for size in [1, 1200, 16 * 1024, 65_535] {
        for channel in [Channel::Reliable, Channel::Stream] {
            let message = Bytes::from(vec![size as u8; size]);
            table.offerer.peer.send(channel, message.clone()).unwrap();
            table.answerer().peer.send(channel, message.clone()).unwrap();
            let arrived = table.run(Duration::from_secs(5), |t| {
                t.offerer.data(channel).last() == Some(&message)
                    && t.answerer.as_ref().unwrap().data(channel).last() == Some(&message)
            });
            assert!(arrived, "{size} bytes on {channel:?}");
        }
    }
}

#[test]
fn what_a_stock_peer_could_not_survive_is_refused_before_it_is_sent() {
    let mut table = Table::open();
    let peer = &mut table.offerer.peer;
    assert_eq!(peer.send(Channel::Reliable, Bytes::new()), Err(SendError::Empty));
    assert_eq!(
        peer.send(Channel::Stream, vec![0; 65_536].into()),
        Err(SendError::TooLarge { len: 65_536, max: 65_535 })
    );
}

#[test]
fn a_full_reliable_queue_gives_the_message_back_and_says_when_to_try_again() {
    let mut table = Table::open();
    let message = Bytes::from(vec![7; 16 * 1024]);
    let mut sent = 0;
    let refused = loop {
        match table.offerer.peer.send(Channel::Reliable, message.clone()) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, SendError::Full(message.clone()));
    let writable = |t: &Table| t.offerer.told.iter().any(|o| matches!(o, PeerOutput::Writable));
    assert!(!writable(&table));
    assert!(table.run(Duration::from_secs(5), |t| {
        writable(t) && t.answerer.as_ref().unwrap().data(Channel::Reliable).len() == sent
    }));
    table.offerer.peer.send(Channel::Reliable, message).unwrap();
}

#[test]
fn streams_drop_their_oldest_when_nobody_takes_them() {
    let mut table = Table::open();
    for n in 0..100_u8 {
        table.offerer.peer.send(Channel::Stream, vec![n; 4096].into()).unwrap();
    }
    let dropped = table.offerer.peer.streams_dropped();
    assert_eq!(dropped, 100 - 64 * 1024 / 4096);
    table.run(Duration::from_secs(1), |_| false);
    let got = table.answerer().data(Channel::Stream);
    assert_eq!(got.last().map(|b| b[0]), Some(99), "the newest survives");
    assert_eq!(got.len() as u64, 100 - dropped);
}

#[test]
fn a_ping_measures_the_round_trip_on_its_own_channel() {
    let mut table = Table::open();
    for channel in [Channel::Reliable, Channel::Stream] {
        let token = table.offerer.peer.ping(table.now, channel).unwrap();
        assert!(table.run(Duration::from_secs(1), |t| {
            t.offerer
                .told
                .iter()
                .any(|o| matches!(o, PeerOutput::Pong(on, got, _) if *on == channel && *got == token))
        }));
    }
    assert!(table.answerer().data(Channel::Stream).is_empty(), "pings are not the application's business");
    table.offerer.peer.set_edge(false);
    assert_eq!(table.offerer.peer.ping(table.now, Channel::Stream), Err(SendError::Unsupported));
}

#[test]
fn a_goodbye_reaches_the_other_side_without_any_signal() {
    let mut table = Table::open();
    let now = table.now;
    table.answerer().peer.close(now, "enough");
    assert!(table.run(Duration::from_secs(1), |t| t.offerer.ended().is_some()));
    assert_eq!(table.answerer().ended(), Some(&Ended::Disconnected(DisconnectReason::Local)));
    assert!(matches!(table.offerer.ended(), Some(Ended::Disconnected(DisconnectReason::Remote(_)))));
    table.run(Duration::from_secs(1), |_| false);
    assert!(matches!(table.offerer.peer.state, State::Gone));
}

#[test]
fn every_phase_that_stalls_fails_with_its_own_reason() {
    // No answer at all.
    let mut table = Table::new();
    while !matches!(table.offerer.peer.poll_output(table.now), PeerOutput::Idle(_)) {}
    table.now += Duration::from_secs(10);
    table.offerer.peer.handle_timeout(table.now);
    let mut why = None;
    loop {
        match table.offerer.peer.poll_output(table.now) {
            PeerOutput::Ended(ended) => why = Some(ended),
            PeerOutput::Idle(_) | PeerOutput::Gone => break,
            _ => {}
        }
    }
    assert_eq!(why, Some(Ended::Failed(FailReason::NoAnswer(Duration::from_secs(10)))));

    // An answer that is no answer.
    let mut table = Table::new();
    table.offerer.peer.handle_answer(table.now, "v=0\r\n");
    table.run(STEP, |_| false);
    assert!(matches!(table.offerer.ended(), Some(Ended::Failed(FailReason::BadAnswer(_)))));
}

#[test]
fn a_certificate_other_than_the_signalled_one_fails_in_dtls() {
    let mut table = Table::new();
    let (now, mut rng) = (table.now, StdRng::from_seed([9; 32]));
    let forged = Certificate::generate(&mut rng).unwrap();
    let hex =
        |c: &Certificate| c.fingerprint().iter().map(|b| format!("{b:02X}")).collect::<Vec<_>>().join(":");
    let (real, other) = (hex(&table.certificate), hex(&forged));
    let mut swapped = false;
    while !swapped {
        match table.offerer.peer.poll_output(now) {
            PeerOutput::Signal(OutSignal::Offer(sdp)) => {
                let sdp = sdp.replace(&real, &other);
                assert!(sdp.contains(&other), "{sdp}");
                table.carry(true, PeerOutput::Signal(OutSignal::Offer(sdp)));
                swapped = true;
            }
            output => table.carry(true, output),
        }
    }
    assert!(table.run(Duration::from_secs(12), |t| t.answerer.as_ref().unwrap().ended().is_some()));
    let ended = table.answerer().ended();
    assert!(
        matches!(ended, Some(Ended::Failed(FailReason::Dtls(why))) if why.contains("fingerprint")),
        "{ended:?}"
    );
}

#[test]
fn a_peer_that_opens_channels_without_end_is_cut_off() {
    let mut table = Table::open();
    for n in 0..MAX_CHANNELS {
        let config = ChannelConfig { label: format!("extra {n}"), ..ChannelConfig::default() };
        table.offerer.peer.rtc.direct_api().create_data_channel(config);
    }
    assert!(table.run(Duration::from_secs(5), |t| t.answerer.as_ref().unwrap().ended().is_some()));
    let ended = table.answerer().ended();
    assert!(matches!(ended, Some(Ended::Disconnected(DisconnectReason::Violation(_)))), "{ended:?}");
}

#[test]
fn a_label_beyond_the_limit_ends_the_link_and_a_strange_one_does_not() {
    for (len, survives) in [(MAX_LABEL_BYTES, true), (MAX_LABEL_BYTES + 1, false)] {
        let mut table = Table::open();
        let config = ChannelConfig { label: "x".repeat(len), ..ChannelConfig::default() };
        let id = table.offerer.peer.rtc.direct_api().create_data_channel(config);
        table.run(Duration::from_secs(2), |_| false);
        assert_eq!(table.answerer().ended().is_none(), survives, "{len} bytes");
        if survives {
            assert_eq!(table.offerer.peer.rtc.channel(id).unwrap().write(true, b"hi").ok(), Some(true));
            assert!(table.run(Duration::from_secs(1), |t| {
                t.answerer.as_ref().unwrap().data(Channel::Stream) == [Bytes::from_static(b"hi")]
            }));
        }
    }
}
