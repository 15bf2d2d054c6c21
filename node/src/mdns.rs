//! Names that stand for addresses: browsers write `<uuid>.local` into their candidates (draft-ietf-mmusic-mdns-ice-candidates
//! §3.1), and multicast DNS tells which address is meant, to whoever is on the same link (RFC 6762 §3).
//!
//! Owns: which names are asked for and when, and which answers count. Does not own: sockets, the clock, who wants to know.
//!
//! The questions are one-shot queries (RFC 6762 §5.1): from a port of our own, without a cache, and nothing is ever announced.
//! By §6.7 they are answered to that port. Chromium and Firefox answer to the group all the same, so whoever carries the
//! queries has to listen there, too. Chromium also overlooks a query with two questions, or one that asks for a unicast answer.
//!
//! # Contract
//! Call [`Resolver::ask`], [`Resolver::handle_answer`] or [`Resolver::handle_timeout`], then [`Resolver::poll_output`] until there
//! is nothing; call again at [`Resolver::wake`] at the latest.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use log::{debug, trace};
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, Question, SimpleDnsError, TYPE, header_buffer};

use crate::limits::{MAX_ADDRESSES_PER_NAME, MAX_MDNS_MESSAGE_BYTES, MAX_NAMES_ASKED, NAMES_PER_SECOND};
use crate::node::bucket::Bucket;
use crate::wake::Wake;

/// Where queries go to and answers come from (RFC 6762 §3).
pub const PORT: u16 = 5353;
/// The IPv4 group.
pub const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
/// The IPv6 group, on every link another one.
pub const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);

/// When a name is asked for, after the first time: at intervals that grow, of a second at least (RFC 6762 §5.2).
const ASK_AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];

/// When nobody is expected to answer any more.
const GIVE_UP: Duration = Duration::from_secs(5);

/// The least a question or a record takes: a name of one byte, type and class.
const LEAST_ENTRY_BYTES: usize = 5;

/// Why a name has no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unresolved {
    /// It was asked for, and nobody answered.
    #[error("nobody answered within {GIVE_UP:?}")]
    NoAnswer,
    /// It was not even asked for.
    #[error("more names than are asked for at once ({MAX_NAMES_ASKED}) or per second ({NAMES_PER_SECOND})")]
    TooMany,
}

/// What a resolver wants done, or has to tell.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "an output not acted on is lost"]
pub enum ResolverOutput {
    /// Send this to the group's port [`PORT`], on every interface in use, from any other port, and listen for answers there and
    /// in the group.
    Query(Vec<u8>),
    /// A name that was asked for has these addresses, or none. It is told once for each name in question.
    Resolved(String, Result<Vec<IpAddr>, Unresolved>),
    /// Nothing is asked any more: listen no longer.
    Done,
}

/// See the module.
#[derive(Debug)]
pub struct Resolver {
    asked: Vec<Asked>,
    rate: Bucket,
    /// Whether answers are listened for.
    listening: bool,
    out: VecDeque<ResolverOutput>,
}

#[derive(Debug)]
struct Asked {
    name: String,
    since: Instant,
    /// How many times.
    times: usize,
}

impl Asked {
    fn due(&self) -> Instant {
        self.since + ASK_AGAIN.get(self.times - 1).copied().unwrap_or(GIVE_UP)
    }
}

impl Resolver {
    /// One that asks nothing yet.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        let at_once = u32::try_from(MAX_NAMES_ASKED).unwrap_or(u32::MAX);
        let rate = Bucket::new(now, at_once, NAMES_PER_SECOND);
        Self { asked: Vec::new(), rate, listening: false, out: VecDeque::new() }
    }

    /// Asks for a name, unless that is done already. It is to be one that [`is_name`] accepts.
    pub fn ask(&mut self, now: Instant, name: &str) {
        if self.asked.iter().any(|asked| asked.name.eq_ignore_ascii_case(name)) {
            return;
        }
        if !is_name(name) || self.asked.len() >= MAX_NAMES_ASKED || !self.rate.take(now) {
            let unresolved = ResolverOutput::Resolved(name.to_owned(), Err(Unresolved::TooMany));
            return self.out.push_back(unresolved);
        }
        self.asked.push(Asked { name: name.to_owned(), since: now, times: 1 });
        self.listening = true;
        self.query(name);
    }

    /// One question a message.
    fn query(&mut self, name: &str) {
        for kind in [TYPE::A, TYPE::AAAA] {
            match query(name, kind) {
                Ok(query) => self.out.push_back(ResolverOutput::Query(query)),
                Err(error) => debug!(name, error:% = error; "cannot be asked for"),
            }
        }
    }

    /// Goes on asking only for the names that `wanted` says somebody waits for.
    pub fn retain(&mut self, wanted: impl Fn(&str) -> bool) {
        self.asked.retain(|asked| wanted(&asked.name));
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        let mut again = Vec::new();
        let out = &mut self.out;
        self.asked.retain_mut(|asked| {
            if asked.due() > now {
                return true;
            }
            let ask = asked.times <= ASK_AGAIN.len();
            if ask {
                asked.times += 1;
                again.push(asked.name.clone());
            } else {
                let name = std::mem::take(&mut asked.name);
                out.push_back(ResolverOutput::Resolved(name, Err(Unresolved::NoAnswer)));
            }
            ask
        });
        for name in again {
            self.query(&name);
        }
    }

    /// Takes a message that came from `source`, to one of the asking sockets or to the group. Most are about other things.
    ///
    /// Whether it really comes from the link (RFC 6762 §11) is not checked: who can tell the names that are asked for is the peer
    /// that made them up, or its router, and both could have sent us any address in the first place.
    pub fn handle_answer(&mut self, source: SocketAddr, message: &[u8]) {
        if self.asked.is_empty() || source.port() != PORT {
            return;
        }
        let packet = match parse(message) {
            Ok(packet) if packet.has_flags(PacketFlag::RESPONSE) => packet,
            Ok(_) => return, // somebody else's query
            Err(error) => return trace!(source:% = source, error:% = error; "not an mDNS message"),
        };
        let mut found: Vec<(String, Vec<IpAddr>)> = Vec::new();
        for record in packet.answers.iter().chain(&packet.additional_records) {
            let address: IpAddr = match &record.rdata {
                RData::A(a) => Ipv4Addr::from(a.address).into(),
                RData::AAAA(aaaa) => Ipv6Addr::from(aaaa.address).into(),
                _ => continue,
            };
            // A lifetime of 0 takes the record back (§10.1).
            if record.class != CLASS::IN || record.ttl == 0 {
                continue;
            }
            let name = record.name.to_string();
            let at = self.asked.iter().position(|asked| asked.name.eq_ignore_ascii_case(&name));
            if let Some(at) = at {
                found.push((self.asked.swap_remove(at).name, vec![address]));
            } else if let Some((_, addresses)) = found.iter_mut().find(|(n, _)| n.eq_ignore_ascii_case(&name))
                && addresses.len() < MAX_ADDRESSES_PER_NAME
                && !addresses.contains(&address)
            {
                addresses.push(address);
            }
        }
        let resolved =
            found.into_iter().map(|(name, addresses)| ResolverOutput::Resolved(name, Ok(addresses)));
        self.out.extend(resolved);
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<ResolverOutput> {
        let output = self.out.pop_front();
        if output.is_none() && self.listening && self.asked.is_empty() {
            self.listening = false;
            return Some(ResolverOutput::Done);
        }
        output
    }

    /// When time alone makes a difference.
    #[must_use]
    pub fn wake(&self) -> Option<Wake> {
        self.asked.iter().map(Asked::due).min().map(|at| Wake::new(at, "mDNS"))
    }
}

/// Whether this is a name multicast DNS is asked for: one plain label before `.local`, as browsers make them up. The draft
/// (§3.2.1) wants no more than one dot; so nobody makes us ask for what services a network has.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let label = name.len().checked_sub(".local".len()).and_then(|dot| name.split_at_checked(dot));
    label.is_some_and(|(label, rest)| {
        rest.eq_ignore_ascii_case(".local") && (1..=63).contains(&label.len()) && label.bytes().all(plain)
    })
}

/// A query with the id 0 (RFC 6762 §18.1).
fn query(name: &str, kind: TYPE) -> Result<Vec<u8>, SimpleDnsError> {
    let mut packet = Packet::new_query(0);
    packet.questions.push(Question::new(Name::new(name)?, kind.into(), QCLASS::CLASS(CLASS::IN), false));
    packet.build_bytes_vec()
}

/// Parses no more than an answer to one of our questions may take.
pub(crate) fn parse(message: &[u8]) -> Result<Packet<'_>, SimpleDnsError> {
    // The parser makes room for as many entries as the header says there are, before it has seen one.
    let entries = [
        header_buffer::questions(message)?,
        header_buffer::answers(message)?,
        header_buffer::name_servers(message)?,
        header_buffer::additional_records(message)?,
    ];
    let entries: usize = entries.into_iter().map(usize::from).sum();
    if message.len() > MAX_MDNS_MESSAGE_BYTES || entries > message.len() / LEAST_ENTRY_BYTES {
        return Err(SimpleDnsError::InvalidDnsPacket);
    }
    Packet::parse(message)
}

#[cfg(test)]
mod tests;
