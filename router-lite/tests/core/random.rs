//! Random operations, each run from a printed seed: nothing panics, nothing leaks, the tables agree.

use std::time::Duration;

use clasp_wire::{
    Message, QoS, Seq, Value,
    message::{Bundle, Phase, Set, SignalType, Ttl},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use router_lite::{Config, Input, Origin, limits};

use crate::{
    gestures::gesture,
    messages::{encode_qos, event, hello, param, publish, signal, subscribe_types},
    peers::announce,
    room::{Room, Who},
    tokens::{table, token},
};

struct Chaos {
    rng: StdRng,
    room: Room,
    present: Vec<Who>,
}

impl Chaos {
    fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        let config = Config::default().with_max_sessions(12).and_then(|config| config.with_rate(200));
        Self {
            rng: StdRng::from_seed(bytes),
            room: Room::seeded(bytes, config.expect("in range")),
            present: Vec::new(),
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.rng.next_u64() % bound as u64) as usize
    }

    fn somebody(&mut self) -> Option<Who> {
        let at = self.below(self.present.len().max(1));
        self.present.get(at).copied()
    }

    fn address(&mut self) -> String {
        let names = ["a", "b", "clasp", "p2p", "announce", "signal", "", "*", "**", "x*"];
        let mut address = String::new();
        for _ in 0..=self.below(4) {
            address.push('/');
            address.push_str(names[self.below(names.len())]);
        }
        address
    }

    fn act(&mut self) {
        let connect = self.below(20) == 0;
        let Some(who) = self.somebody().filter(|_| !connect) else {
            let origin = [Origin::InProcess, Origin::Loopback, Origin::Remote][self.below(3)];
            let who = self.room.connect(origin);
            return self.present.push(who);
        };
        match self.below(24) {
            0 => {
                self.present.retain(|other| *other != who);
                self.room.leave(who);
            }
            1 => self.room.deafen(who),
            2 => self.room.undeafen(who),
            3 => {
                let time = Duration::from_millis(self.below(30_000) as u64);
                self.room.pass(time);
            }
            4 => self.room.input(who, |connection| Input::Blocked { connection }),
            5 => self.room.input(who, |connection| Input::Progress { connection }),
            6 => self.room.input(who, |connection| Input::Heard { connection }),
            7 => {
                let scopes = ["read:/a/**", "write:/*/b", "admin:/**", "write:/x*"];
                let known = self.below(scopes.len() + 1);
                self.room.feed(Input::Tokens(table(&scopes[..known])));
            }
            _ => self.speak(who),
        }
    }

    fn speak(&mut self, who: Who) {
        let address = self.address();
        let number = self.below(4);
        let text = "x".repeat(self.below(5) * self.below(5) * 1000);
        let value = if number == 0 { Value::Str(&text) } else { Value::Int(number as i64) };
        let other = self.somebody().map(|other| self.room.session(other)).unwrap_or_default();
        let qos = [QoS::Fire, QoS::Confirm][self.below(2)];
        let phase = [Phase::Start, Phase::Move, Phase::Move, Phase::End][self.below(4)];
        let kind = ["offer", "answer", "ice_candidate", "disconnected", "other"][self.below(5)];
        let written = Set {
            revision: (number == 1).then_some(1),
            lock: self.below(5) == 0,
            unlock: self.below(5) == 0,
            ttl: [None, Some(Ttl::Never), Some(Ttl::Sliding(5)), Some(Ttl::Absolute(9))][self.below(4)],
            ..param(&address, value)
        };
        let members = [Message::Set(written), event(&address, value), Message::Ping];
        let frame = match self.below(12) {
            0 | 1 => {
                let token = match self.below(30) {
                    0 => "token".to_owned(),
                    number @ 1..10 => token(1 + number as u8 % 5).secret(),
                    _ => String::new(),
                };
                encode_qos(qos, &hello(&token))
            }
            2 | 3 => encode_qos(qos, &subscribe_types(number as u32, &address, self.rng.next_u32() as u8)),
            4 => encode_qos(qos, &Message::Unsubscribe { id: number as u32 }),
            5 | 6 => encode_qos(qos, &Message::Set(written)),
            7 => encode_qos(
                qos,
                &publish([SignalType::Event, SignalType::Stream][number % 2], &address, value),
            ),
            8 => encode_qos(qos, &gesture(phase, &address, number as u32, 1)),
            9 => signal(&other, kind, "x", &number.to_string()),
            10 => announce(&other, &text),
            _ => encode_qos(
                qos,
                &Message::Bundle(Bundle { timestamp_us: None, messages: Seq::items(&members) }),
            ),
        };
        let frame = self.damaged(frame);
        self.room.send_frame(who, frame);
    }

    /// One frame in ten has a flipped bit or is cut.
    fn damaged(&mut self, mut frame: Vec<u8>) -> Vec<u8> {
        match self.below(20) {
            0 => frame.truncate(self.below(frame.len())),
            1 => {
                let bit = self.below(frame.len() * 8);
                frame[bit / 8] ^= 1 << (bit % 8);
            }
            _ => {}
        }
        frame
    }
}

#[test]
fn random_operations_keep_every_table_consistent_and_leave_nothing_behind() {
    for seed in 0..150 {
        println!("seed {seed}");
        let mut chaos = Chaos::new(seed);
        for step in 0..400 {
            chaos.act();
            if step % 16 == 0 {
                let counts = chaos.room.counts();
                assert!(counts.sessions <= 12 && counts.half_open <= limits::MAX_HALF_OPEN, "{counts:?}");
                assert!(counts.params <= limits::MAX_PARAMS && counts.param_bytes <= limits::MAX_PARAM_BYTES);
            }
        }
        for who in std::mem::take(&mut chaos.present) {
            chaos.room.leave(who);
        }
        let left = chaos.room.counts();
        let zero =
            router_lite::Counts { params: left.params, param_bytes: left.param_bytes, ..Default::default() };
        assert_eq!(left, zero, "seed {seed}");
        chaos.room.pass(Duration::from_secs(120));
        assert!(chaos.room.wake().is_none_or(|wake| wake.why == "parameter expiry"), "seed {seed}");
    }
}
