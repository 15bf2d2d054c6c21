//! Two and three devices, each with a real router, and links between them that can be cut.

use std::collections::VecDeque;
use std::time::Duration;

use clasp_wire::message::{Body, Features, Hello, Phase};
use router_lite::{Config, ConnectionId, Input, Now, Origin, Output, Router};

use super::super::*;
use crate::clock_for_tests::start;

pub(super) const BRIDGE: ConnectionId = ConnectionId::new(0);
pub(super) const CLIENT: ConnectionId = ConnectionId::new(1);

pub(super) struct Here {
    pub(super) router: Router,
    pub(super) now: Now,
}

impl Here {
    pub(super) fn new(seed: u8, now: Instant) -> Self {
        let now = Now { instant: now, unix_us: 0 };
        let mut here = Self { router: Router::new([seed; 32], now, Config::default()), now };
        for (connection, origin) in [(BRIDGE, Origin::Bridge), (CLIENT, Origin::Loopback)] {
            here.input(Input::Opened { connection, origin });
            here.say(
                connection,
                &Message::Hello(Hello { version: 1, features: Features::SERVED, name: "", token: "" }),
            );
        }
        here
    }

    pub(super) fn input(&mut self, input: Input) {
        self.router.handle_input(self.now, input);
        while !matches!(self.router.poll_output(), Output::Idle { .. }) {}
    }

    pub(super) fn say(&mut self, connection: ConnectionId, message: &Message<'_>) {
        self.input(Input::Frame { connection, frame: encode(message).unwrap() });
    }

    /// The client says something, a millisecond later than before: as fast as it may.
    pub(super) fn client_says(&mut self, message: &Message<'_>) {
        self.now.instant += Duration::from_millis(1);
        self.say(CLIENT, message);
    }

    pub(super) fn heard(&mut self, connection: ConnectionId) -> Vec<Bytes> {
        std::iter::from_fn(|| self.router.poll_transmit(connection, usize::MAX)).collect()
    }
}

impl Local for Here {
    fn send(&mut self, frame: Bytes) {
        self.input(Input::Frame { connection: BRIDGE, frame });
    }

    fn adopt(&mut self, set: &Set<'_>, precedence: Precedence) -> Adoption {
        let adoption = self.router.adopt(self.now, BRIDGE, set, precedence);
        while !matches!(self.router.poll_output(), Output::Idle { .. }) {}
        adoption
    }

    fn params(&mut self, pattern: &Pattern, after: Option<&str>, max: usize) -> Vec<StoredParam> {
        self.router.stored(self.now, BRIDGE, pattern, after, max)
    }

    fn interests(&mut self) -> Vec<Interest> {
        self.router.interests(BRIDGE)
    }
}

pub(super) struct Device {
    pub(super) id: DeviceId,
    pub(super) here: Here,
    pub(super) shares: Shares,
    /// In short what its client heard.
    pub(super) told: Vec<String>,
}

impl Device {
    pub(super) fn new(number: u8, shares: &[&str]) -> Self {
        let shares = shares.iter().map(|text| text.parse().unwrap()).collect();
        let mut device = Self {
            id: DeviceId::of(&[number; 32]),
            here: Here::new(number, start()),
            shares: Shares::new(shares),
            told: Vec::new(),
        };
        device.shares.handle_new_session(&mut device.here);
        device
    }

    pub(super) fn set(&mut self, address: &str, value: i64) {
        let value = Value::Int(value);
        self.here.client_says(&Message::Set(Set {
            address,
            value,
            revision: None,
            lock: false,
            unlock: false,
            ttl: None,
        }));
    }

    pub(super) fn publish(&mut self, signal: SignalType, address: &str, value: i64) {
        let body = Body::Value(Value::Int(value));
        let (phase, timestamp_us, id, rate) = (Phase::Start, None, None, None);
        self.here.client_says(&Message::Publish(Publish {
            address,
            signal,
            phase,
            body,
            timestamp_us,
            id,
            rate,
        }));
    }

    pub(super) fn subscribe(&mut self, id: u32, pattern: &str) {
        self.here.client_says(&subscription(id, &Pattern::parse(pattern).unwrap(), TypeMask::ANY));
        self.shares.handle_interests(&mut self.here);
    }

    pub(super) fn unsubscribe(&mut self, id: u32) {
        self.here.client_says(&Message::Unsubscribe { id });
        self.shares.handle_interests(&mut self.here);
    }

    /// Value and revision of a parameter here.
    pub(super) fn stored(&mut self, address: &str) -> Option<(i64, u64)> {
        let found = self.here.params(&Pattern::parse(address).unwrap(), None, 1).pop()?;
        match Message::decode_compact(&found.frame).unwrap().1 {
            Message::Set(Set { value: Value::Int(value), revision: Some(revision), .. }) => {
                Some((value, revision))
            }
            _ => None,
        }
    }

    /// Carries what the router has for the bridge and for the client.
    pub(super) fn settle(&mut self) -> bool {
        let frames = self.here.heard(BRIDGE);
        for frame in &frames {
            self.shares.handle_local(self.here.now.instant, frame);
        }
        for frame in self.here.heard(CLIENT) {
            match Message::decode_compact(&frame).unwrap().1 {
                Message::Set(Set { address, value: Value::Int(value), revision, .. }) => {
                    self.told.push(format!("{address}={value} r{}", revision.unwrap_or(0)));
                }
                Message::Publish(Publish {
                    address, signal, body: Body::Value(Value::Int(value)), ..
                }) => {
                    self.told.push(format!("{address}!{value} {signal:?}"));
                }
                _ => {}
            }
        }
        !frames.is_empty()
    }

    pub(super) fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }
}

pub(super) struct World {
    pub(super) devices: Vec<Device>,
    /// Which devices are linked, and what is on its way there: a cut takes both.
    pub(super) links: Vec<[usize; 2]>,
    pub(super) next: u64,
    pub(super) ids: Vec<LinkId>,
    /// Everything that was carried over links.
    pub(super) carried: Vec<(usize, usize, Bytes)>,
}

impl World {
    pub(super) fn new(shares: &[&[&str]]) -> Self {
        let devices = (1..).zip(shares).map(|(number, shares)| Device::new(number, shares)).collect();
        Self { devices, links: Vec::new(), next: 0, ids: Vec::new(), carried: Vec::new() }
    }

    pub(super) fn link(&mut self, ends: [usize; 2]) {
        let id = LinkId(self.next);
        self.next += 1;
        for (own, other) in [(ends[0], ends[1]), (ends[1], ends[0])] {
            let (device, name) = (self.devices[other].id, format!("device{other}"));
            let Device { shares, here, .. } = &mut self.devices[own];
            shares.linked(id, device, &name, here);
        }
        self.links.push(ends);
        self.ids.push(id);
    }

    pub(super) fn cut(&mut self) {
        for (ends, id) in self.links.drain(..).zip(self.ids.drain(..)) {
            for end in ends {
                let Device { shares, here, .. } = &mut self.devices[end];
                shares.unlinked(id, here);
            }
        }
    }

    /// Until nothing moves any more.
    pub(super) fn settle(&mut self) {
        for round in 0.. {
            assert!(round < 10_000, "messages go round and round");
            let mut moved = false;
            for device in &mut self.devices {
                moved |= device.settle();
            }
            for (ends, id) in self.links.clone().into_iter().zip(self.ids.clone()) {
                for (from, to) in [(ends[0], ends[1]), (ends[1], ends[0])] {
                    let Device { shares, here, .. } = &mut self.devices[from];
                    let mut queue: VecDeque<Bytes> = shares.poll(id, here).into_iter().collect();
                    queue.extend(shares.poll_stream(id));
                    for frame in queue {
                        moved = true;
                        self.carried.push((from, to, frame.clone()));
                        let Device { shares, here, .. } = &mut self.devices[to];
                        let now = here.now.instant;
                        shares.handle_message(now, id, &frame, here);
                    }
                }
            }
            if !moved {
                return;
            }
        }
    }

    /// How many values of parameters were carried since the last time.
    pub(super) fn values_carried(&mut self) -> usize {
        let carried = std::mem::take(&mut self.carried);
        carried
            .iter()
            .filter(|(.., frame)| matches!(Message::decode_compact(frame), Ok((_, Message::Set(_)))))
            .count()
    }
}
