//! Says that this node's router is here: probing for a free name, announcing it, answering, saying goodbye (RFC 6762 §8 to §10).
//!
//! Owns: the instance's name, which may become `kitchen-2`. Each link (an interface, over IPv4 or IPv6) goes through the steps for
//! itself. Does not own: sockets, the clock.
//!
//! The name of the host is made of the device's id and not probed for: nobody else has it.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use log::{debug, info, warn};
use rand::RngExt;
use rand::rngs::StdRng;
use simple_dns::rdata::RData;
use simple_dns::{Packet, QTYPE, ResourceRecord, TYPE};

use super::dns;
use super::records::{Records, Service};
use super::{Link, Network};
use crate::burst::Burst;
use crate::mdns::PORT;
use crate::node::bucket::Bucket;

/// Probes before a name counts as free, and the time between them (RFC 6762 §8.1).
const PROBES: u32 = 3;
const PROBE_EVERY: Duration = Duration::from_millis(250);

/// Who loses against another one that probes for the same name tries again after this (§8.2).
const LOST: Duration = Duration::from_secs(1);

/// After so many conflicts somebody seems to want none of our names (§8.1): then no more than one every
const MANY_CONFLICTS: u32 = 15;
const CONFLICT_PAUSE: Duration = Duration::from_secs(5);

/// Announcements, and the time between them (§8.3).
const ANNOUNCEMENTS: u32 = 2;
const ANNOUNCE_EVERY: Duration = Duration::from_secs(1);

/// Answers that others have as well wait a moment between these (§6), so that not all speak at once.
const SHARED_DELAY: std::ops::Range<u64> = 20..120;

/// No record is sent to a link twice within this (§6); but whoever claims our name is told at once.
const SAME_AGAIN: Duration = Duration::from_secs(1);

/// Answers a second to those who ask from another port than 5353: each goes to whoever the datagram says has sent it.
const LEGACY_ANSWERS_PER_SECOND: u32 = 4;

/// How far a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Probing { sent: u32, at: Instant },
    Announcing { sent: u32, at: Instant },
    Known,
}

#[derive(Debug)]
struct OnLink {
    link: Link,
    addresses: Vec<IpAddr>,
    step: Step,
    /// What is to be answered, and when.
    pending: Option<(Instant, Records)>,
    /// When each kind of record was sent last.
    sent: [Option<Instant>; Records::KINDS],
}

/// What an advertiser wants sent: to the link's group, or to one who asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outgoing {
    pub(super) link: Link,
    pub(super) to: Option<SocketAddr>,
    pub(super) message: Vec<u8>,
}

impl Outgoing {
    pub(super) fn new(link: Link, to: Option<SocketAddr>, packet: &Packet<'_>) -> Option<Self> {
        match packet.build_bytes_vec_compressed() {
            Ok(message) => Some(Self { link, to, message }),
            Err(error) => {
                warn!(error:% = error; "mDNS message not sent");
                None
            }
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Advertiser {
    service: Service,
    links: Vec<OnLink>,
    conflicts: u32,
    legacy: Bucket,
    legacy_refused: Burst,
    out: VecDeque<Outgoing>,
}

impl Advertiser {
    pub(super) fn new(now: Instant, service: Service) -> Self {
        Self {
            service,
            links: Vec::new(),
            conflicts: 0,
            legacy: Bucket::new(now, LEGACY_ANSWERS_PER_SECOND, LEGACY_ANSWERS_PER_SECOND),
            legacy_refused: Burst::default(),
            out: VecDeque::new(),
        }
    }

    /// The name under which the router is known.
    pub(super) fn instance(&self) -> &str {
        self.service.instance()
    }

    /// These are the links now. Those that are new, or have other addresses, are told anew.
    pub(super) fn set_networks(&mut self, now: Instant, networks: &[Network], rng: &mut StdRng) {
        let first = now + Duration::from_millis(rng.random_range(0..250));
        self.links.retain(|known| networks.iter().any(|network| network.link == known.link));
        for network in networks {
            match self.links.iter_mut().find(|known| known.link == network.link) {
                Some(known) if known.addresses == network.addresses => {}
                Some(known) => {
                    known.addresses.clone_from(&network.addresses);
                    known.announce_news(now);
                }
                None => self.links.push(OnLink {
                    link: network.link,
                    addresses: network.addresses.clone(),
                    step: Step::Probing { sent: 0, at: first },
                    pending: None,
                    sent: [None; Records::KINDS],
                }),
            }
        }
    }

    /// Tells whether the device can be paired now.
    pub(super) fn set_pairing(&mut self, now: Instant, open: bool) {
        if self.service.set_pairing(open) {
            for link in &mut self.links {
                link.announce_news(now);
            }
        }
    }

    /// Takes everything back.
    pub(super) fn goodbye(&mut self) {
        for link in std::mem::take(&mut self.links) {
            if !matches!(link.step, Step::Probing { .. }) {
                let mut records = self.service.records(Records::OWN, &link.addresses);
                records.iter_mut().for_each(|record| record.ttl = 0);
                self.push(link.link, None, dns::response(records));
            }
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let mut sent = Vec::new();
        for link in &mut self.links {
            match link.step {
                Step::Probing { sent: probes, at } if at <= now => {
                    if probes < PROBES {
                        link.step = Step::Probing { sent: probes + 1, at: now + PROBE_EVERY };
                        sent.push((link.link, self.service.probe()));
                    } else {
                        debug!(link:? = link.link, name = self.service.instance(); "the name is free");
                        link.announce(now);
                    }
                }
                _ => {}
            }
            if let Step::Announcing { sent: announced, at } = link.step
                && at <= now
            {
                let records = self.service.records(Records::OWN, &link.addresses);
                link.note_sent(now, Records::OWN);
                sent.push((link.link, dns::response(records)));
                link.step = match announced + 1 {
                    ANNOUNCEMENTS => Step::Known,
                    announced => Step::Announcing { sent: announced, at: now + ANNOUNCE_EVERY },
                };
            }
            if let Some((_, wanted)) = link.pending.take_if(|(at, _)| *at <= now) {
                let wanted = wanted.without(link.sent_lately(now));
                if !wanted.is_empty() {
                    link.note_sent(now, wanted);
                    sent.push((link.link, self.service.answer(wanted, &link.addresses)));
                }
            }
        }
        for (link, packet) in sent {
            self.push(link, None, packet);
        }
    }

    /// Somebody asks.
    pub(super) fn handle_query(
        &mut self,
        now: Instant,
        link: Link,
        source: SocketAddr,
        packet: &Packet<'_>,
        rng: &mut StdRng,
    ) {
        let Some(place) = self.links.iter().position(|known| known.link == link) else { return };
        let Some(on_link) = self.links.get_mut(place) else { return };
        if let Step::Probing { .. } = on_link.step {
            if self.service.loses_against(&packet.name_servers) {
                debug!(name = self.service.instance(); "somebody else probes for the same name");
                on_link.step = Step::Probing { sent: 0, at: now + LOST };
            }
            return;
        }
        let is_probe = packet.name_servers.iter().any(|record| self.service.is_instance(&record.name));
        let mut wanted = Records::default();
        for question in &packet.questions {
            wanted = wanted.with(self.service.wanted(question));
        }
        for known in &packet.answers {
            if self.service.is_known(known) {
                wanted = wanted.without(Records::PTR);
            }
        }
        if wanted.is_empty() {
            return;
        }
        if source.port() != PORT {
            return self.answer_legacy(now, place, source, packet, wanted);
        }
        if is_probe {
            // The name is taken, and the prober waits for no more than a moment.
            on_link.note_sent(now, Records::OWN);
            let records = self.service.records(Records::OWN, &on_link.addresses);
            return self.push(link, None, dns::response(records));
        }
        let delay = if wanted.has(Records::PTR) || wanted.has(Records::KIND) {
            Duration::from_millis(rng.random_range(SHARED_DELAY))
        } else {
            Duration::ZERO
        };
        let (at, records) = on_link.pending.unwrap_or((now + delay, Records::default()));
        on_link.pending = Some((at.min(now + delay), records.with(wanted)));
    }

    /// To who asked, as an ordinary name server would (§6.7).
    fn answer_legacy(
        &mut self,
        now: Instant,
        place: usize,
        source: SocketAddr,
        packet: &Packet<'_>,
        wanted: Records,
    ) {
        let Some(on_link) = self.links.get(place) else { return };
        if !self.legacy.take(now) {
            if self.legacy_refused.begins(now) {
                warn!(source:% = source; "more mDNS queries from other ports than are answered");
            }
            return;
        }
        let mut answer = self.service.answer(wanted, &on_link.addresses);
        for record in answer.answers.iter_mut().chain(&mut answer.additional_records) {
            (record.ttl, record.cache_flush) = (dns::LEGACY_TTL, false);
        }
        answer.set_id(packet.id());
        answer.questions = packet.questions.iter().map(|question| question.clone().into_owned()).collect();
        let link = on_link.link;
        self.push(link, Some(source), answer);
    }

    /// Somebody tells: perhaps that our name is theirs.
    pub(super) fn handle_response(&mut self, now: Instant, link: Link, packet: &Packet<'_>) {
        let records = packet.answers.iter().chain(&packet.additional_records);
        let conflict =
            records.into_iter().any(|record| record.ttl > 0 && self.service.is_contradicted(record));
        let Some(on_link) = self.links.iter_mut().find(|known| known.link == link).filter(|_| conflict)
        else {
            return;
        };
        if !matches!(on_link.step, Step::Probing { .. }) {
            // Perhaps two parts of a network have been joined: whoever probes first, or loses, takes another name (§9).
            warn!(name = self.service.instance(); "somebody else on the network has the same name");
            on_link.step = Step::Probing { sent: 0, at: now };
            return;
        }
        self.conflicts = self.conflicts.saturating_add(1);
        let pause = if self.conflicts > MANY_CONFLICTS { CONFLICT_PAUSE } else { Duration::ZERO };
        self.service.take_next_name();
        info!("the name was taken; on the network this router is called {:?}", self.service.instance());
        for link in &mut self.links {
            link.pending = None;
            link.step = Step::Probing { sent: 0, at: now + pause };
        }
    }

    pub(super) fn poll_output(&mut self) -> Option<Outgoing> {
        self.out.pop_front()
    }

    pub(super) fn wake(&self) -> Option<Instant> {
        let steps = self.links.iter().filter_map(|link| match link.step {
            Step::Probing { at, .. } | Step::Announcing { at, .. } => Some(at),
            Step::Known => None,
        });
        let pending = self.links.iter().filter_map(|link| link.pending.map(|(at, _)| at));
        steps.chain(pending).min()
    }

    fn push(&mut self, link: Link, to: Option<SocketAddr>, packet: Packet<'_>) {
        self.out.extend(Outgoing::new(link, to, &packet));
    }
}

impl OnLink {
    fn announce(&mut self, now: Instant) {
        self.step = Step::Announcing { sent: 0, at: now };
    }

    /// The same, if the name has been found free.
    fn announce_news(&mut self, now: Instant) {
        if !matches!(self.step, Step::Probing { .. }) {
            self.announce(now);
        }
    }

    fn note_sent(&mut self, now: Instant, records: Records) {
        for (sent, kind) in self.sent.iter_mut().zip(Records::each()) {
            if records.has(kind) {
                *sent = Some(now);
            }
        }
    }

    fn sent_lately(&self, now: Instant) -> Records {
        let lately = |sent: &Option<Instant>| sent.is_some_and(|at| now.duration_since(at) < SAME_AGAIN);
        let kinds = self.sent.iter().zip(Records::each()).filter(|(sent, _)| lately(sent));
        kinds.fold(Records::default(), |all, (_, kind)| all.with(kind))
    }
}

/// Whether a question of this kind asks for records of that one.
pub(super) fn asks_for(kind: QTYPE, of: TYPE) -> bool {
    kind == QTYPE::ANY || kind == QTYPE::TYPE(of)
}

/// The record's data as the comparison of §8.2.1 wants it: class, type, then the bytes.
pub(super) fn comparable(record: &ResourceRecord<'_>) -> Option<(u16, u16, Vec<u8>)> {
    let kind = match &record.rdata {
        RData::TXT(_) => TYPE::TXT,
        RData::SRV(_) => TYPE::SRV,
        RData::A(_) => TYPE::A,
        RData::AAAA(_) => TYPE::AAAA,
        _ => return None,
    };
    // Uncompressed, the data is what follows a root name and ten bytes of header.
    let mut packet = Packet::new_reply(0);
    let name = simple_dns::Name::new_with_labels(&[]);
    packet.answers.push(ResourceRecord::new(name, record.class, 0, record.rdata.clone()));
    let bytes = packet.build_bytes_vec().ok()?;
    Some((record.class as u16, kind.into(), bytes.get(12 + 1 + 10..)?.to_vec()))
}
