//! Asking everybody on the network, and answering (protocol reference §10): for networks that do not carry multicast, and for stock
//! devices.
//!
//! The question is a HELLO, sent to port 7331 of the broadcast address; the answer is a WELCOME to where it came from. A datagram
//! says who has sent it, and nothing proves that, so an answer is never more than twice as long as its question (D41): stock
//! questions of 20 bytes are told the name and nothing else. Ours are longer on purpose, and are told all.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use clasp_wire::Message;
use clasp_wire::message::{Features, Hello, Welcome};
use log::{debug, warn};

use super::{Sighting, Source};
use crate::burst::Burst;
use crate::identity::DeviceId;
use crate::limits::{DISCOVERY_ANSWERS_PER_SECOND, MAX_DISCOVERY_SOURCES, MAX_INSTANCES, MAX_NAME_BYTES};
use crate::node::bucket::Bucket;

/// Where questions go to.
pub const PORT: u16 = 7331;

/// An answer may be this many times as long as its question.
const MOST_ANSWER: usize = 2;

/// What marks a question, and an answer, as one of ours. It stands where a token would.
const MARK: &str = "edge/1";

/// Length of our question's token: with it the question has 160 bytes, and the longest answer no more than 280.
const QUESTION_TOKEN_BYTES: usize = 140;

/// After a question answers are taken for this long,
const LISTEN: Duration = Duration::from_secs(5);

/// and are believed for this long; within it they are asked for again, if anybody wants to know.
const BELIEVED: Duration = Duration::from_secs(90);

/// When it is asked again, after the first time: networks lose broadcasts more often than anything else.
const AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];

/// Answers a second from one address, on average.
const ANSWERS_PER_SOURCE: u32 = 2;

/// A question, or an answer with its receiver.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Datagram {
    Question(Vec<u8>),
    Answer { to: SocketAddr, bytes: Vec<u8> },
}

/// What we are, for the answers.
#[derive(Debug)]
pub(super) struct About {
    pub(super) name: String,
    pub(super) device: DeviceId,
    pub(super) port: u16,
    pub(super) pairing: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Broadcast {
    /// `None`: nothing is answered.
    about: Option<About>,
    sources: VecDeque<(IpAddr, Bucket)>,
    all: Bucket,
    refused: Burst,
    pub(super) refused_count: u64,
    asked: Option<Asked>,
    found: Vec<(Sighting, Instant)>,
    changed: bool,
    out: VecDeque<Datagram>,
}

#[derive(Debug)]
struct Asked {
    last: Instant,
    times: usize,
}

impl Broadcast {
    pub(super) fn new(now: Instant, about: Option<About>) -> Self {
        Self {
            about,
            sources: VecDeque::new(),
            all: Bucket::new(now, DISCOVERY_ANSWERS_PER_SECOND, DISCOVERY_ANSWERS_PER_SECOND),
            refused: Burst::default(),
            refused_count: 0,
            asked: None,
            found: Vec::new(),
            changed: false,
            out: VecDeque::new(),
        }
    }

    pub(super) fn set_pairing(&mut self, open: bool) {
        if let Some(about) = &mut self.about {
            about.pairing = open;
        }
    }

    /// Asks, now and a few times more.
    pub(super) fn ask(&mut self, now: Instant) {
        if self.asked.as_ref().is_none_or(|asked| asked.times > AGAIN.len()) {
            self.asked = Some(Asked { last: now, times: 1 });
            self.question();
        }
    }

    fn question(&mut self) {
        let token = format!("{MARK:x<QUESTION_TOKEN_BYTES$}");
        let hello = Hello { version: 1, features: Features::default(), name: "Discovery", token: &token };
        match encode(&Message::Hello(hello)) {
            Some(bytes) => self.out.push_back(Datagram::Question(bytes)),
            None => warn!("no question can be made"),
        }
    }

    /// A datagram came to port 7331.
    pub(super) fn handle_question(&mut self, now: Instant, unix_us: u64, source: SocketAddr, bytes: &[u8]) {
        let Some(about) = &self.about else { return };
        let mut scratch = Vec::new();
        let Ok((_, Message::Hello(hello))) = Message::decode(bytes, &mut scratch) else {
            return debug!(source:% = source; "not a question");
        };
        let full = hello.token.starts_with(MARK);
        let answer = answer(about, unix_us, full, bytes.len() * MOST_ANSWER);
        if !self.may_answer(now, source.ip()) {
            self.refused_count += 1;
            if self.refused.begins(now) {
                warn!(source:% = source; "more discovery questions than are answered");
            }
            return;
        }
        match answer {
            Some(bytes) => self.out.push_back(Datagram::Answer { to: source, bytes }),
            None => debug!(source:% = source; "question too short for an answer"),
        }
    }

    fn may_answer(&mut self, now: Instant, source: IpAddr) -> bool {
        let known = self.sources.iter().position(|(ip, _)| *ip == source);
        let (ip, mut bucket) = known
            .and_then(|place| self.sources.remove(place))
            .unwrap_or_else(|| (source, Bucket::new(now, 2 * ANSWERS_PER_SOURCE, ANSWERS_PER_SOURCE)));
        let may = bucket.take(now);
        if self.sources.len() >= MAX_DISCOVERY_SOURCES {
            self.sources.pop_front(); // the one not heard for longest: the sum is bounded all the same
        }
        self.sources.push_back((ip, bucket));
        may && self.all.take(now)
    }

    /// A datagram came to where the question was sent from.
    pub(super) fn handle_answer(&mut self, now: Instant, source: SocketAddr, bytes: &[u8]) {
        if self.asked.as_ref().is_none_or(|asked| now.duration_since(asked.last) > LISTEN) {
            return;
        }
        let mut scratch = Vec::new();
        let Ok((_, Message::Welcome(welcome))) = Message::decode(bytes, &mut scratch) else {
            return debug!(source:% = source; "not an answer");
        };
        let Some(sighting) = sighting(source, &welcome) else { return };
        let of = |other: &Sighting| (other.device, other.addresses.first().copied());
        let is_full = self.found.len() >= MAX_INSTANCES;
        match self.found.iter_mut().find(|(known, _)| of(known) == of(&sighting)) {
            Some((known, heard)) => {
                self.changed |= *known != sighting;
                (*known, *heard) = (sighting, now);
            }
            None if is_full => debug!("more answers than are kept"),
            None => {
                self.found.push((sighting, now));
                self.changed = true;
            }
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let before = self.found.len();
        self.found.retain(|(_, heard)| *heard + BELIEVED > now);
        self.changed |= self.found.len() < before;
        if let Some(asked) = &mut self.asked
            && let Some(after) = AGAIN.get(asked.times - 1)
            && asked.last + *after <= now
        {
            *asked = Asked { last: now, times: asked.times + 1 };
            self.question();
        }
    }

    pub(super) fn sightings(&self) -> impl Iterator<Item = Sighting> {
        self.found.iter().map(|(sighting, _)| sighting.clone())
    }

    /// Whether that has changed since this was asked last.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    pub(super) fn poll_output(&mut self) -> Option<Datagram> {
        self.out.pop_front()
    }

    pub(super) fn wake(&self) -> Option<Instant> {
        let again = self.asked.as_ref().and_then(|asked| Some(asked.last + *AGAIN.get(asked.times - 1)?));
        self.found.iter().map(|(_, heard)| *heard + BELIEVED).chain(again).min()
    }
}

fn encode(message: &Message<'_>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    message.encode_into(&mut bytes).ok().map(|()| bytes)
}

/// The answer to a question; as much of it as fits `room`. The token says what a WELCOME has no place for.
fn answer(about: &About, unix_us: u64, full: bool, room: usize) -> Option<Vec<u8>> {
    let (device, pair) = (about.device.to_string(), u8::from(about.pairing));
    let token = format!("{MARK} ws={} pair={pair}", about.port);
    let welcome = |name, session, token| Welcome {
        version: 1,
        features: Features::SERVED,
        time_us: unix_us,
        session,
        name,
        token,
    };
    if full
        && let Some(bytes) =
            encode(&Message::Welcome(welcome(&about.name, &device, &token))).filter(|b| b.len() <= room)
    {
        return Some(bytes);
    }
    // A stock asker reads nothing but the name.
    let empty = encode(&Message::Welcome(welcome("", "", "")))?.len();
    let room = room.checked_sub(empty)?.min(about.name.len());
    let end = (0..=room).rev().find(|end| about.name.is_char_boundary(*end))?;
    encode(&Message::Welcome(welcome(about.name.get(..end)?, "", "")))
}

/// What an answer tells.
fn sighting(source: SocketAddr, welcome: &Welcome<'_>) -> Option<Sighting> {
    let plain = |text: &str| text.len() <= MAX_NAME_BYTES && !text.contains(char::is_control);
    if !plain(welcome.name) {
        return None;
    }
    let mut words = welcome.token.split(' ');
    let ours = words.next() == Some(MARK);
    let get = |key: &str| welcome.token.split(' ').find_map(|word| word.strip_prefix(key));
    let port = get("ws=").and_then(|port| port.parse().ok()).filter(|port| ours && *port != 0);
    let device = welcome.session.parse().ok().filter(|_| ours);
    let mut router = source;
    router.set_port(port.unwrap_or(router_lite::DEFAULT_PORT));
    Some(Sighting {
        source: Source::Broadcast,
        name: welcome.name.to_owned(),
        instance: None,
        device,
        pairing: ours && get("pair=") == Some("1"),
        features: String::new(),
        addresses: vec![router],
    })
}
