//! Finds the CLASP routers that multicast DNS knows of (RFC 6763 §4, RFC 6762 §5.2).
//!
//! Owns: which instances there are, until their records run out or are taken back. Does not own: sockets, the clock.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use log::warn;
use rand::RngExt;
use rand::rngs::StdRng;
use simple_dns::rdata::RData;
use simple_dns::{Packet, QTYPE, Question, ResourceRecord, TYPE};

use super::advertise::Outgoing;
use super::dns;
use super::{Link, Sighting, Source};
use crate::burst::Burst;
use crate::limits::{MAX_ADDRESSES_PER_NAME, MAX_INSTANCES, MAX_NAME_BYTES};

/// The first question comes after a moment (RFC 6762 §5.2), as many devices are switched on together,
const FIRST_DELAY: std::ops::Range<u64> = 20..120;

/// the next after this, and each after twice as long as the one before, up to
const AGAIN: Duration = Duration::from_secs(1);
const RARELY: Duration = Duration::from_secs(3600);

/// Who wants to know it now gets a question at once, unless there was one within this.
const NOT_TWICE: Duration = Duration::from_secs(1);

/// Nobody is believed for longer than this, whatever the record says.
const LONGEST_TTL: u32 = dns::OTHER_TTL;

/// Records that are taken back live on for a second (§10.1): it may have been a mistake.
const GOODBYE: Duration = Duration::from_secs(1);

/// How often what is missing of an instance is asked for, and the time between.
const ASK_MISSING: u32 = 3;
const MISSING_EVERY: Duration = Duration::from_secs(1);

/// What is missing often follows by itself.
const MISSING_AFTER: Duration = Duration::from_millis(100);

/// At these parts of its life a record is asked for again (§5.2), in hundredths.
const REFRESH_AT: [u32; 4] = [80, 85, 90, 95];

/// Known answers in a query (§7.1): with more it would not fit a frame.
const MAX_KNOWN_ANSWERS: usize = 20;

#[derive(Debug)]
struct Browsing {
    link: Link,
    at: Instant,
    next: Duration,
    last: Option<Instant>,
}

#[derive(Debug)]
struct Instance {
    name: String,
    link: Link,
    /// Whoever told of it; stands in for an address that is not known.
    source: SocketAddr,
    host: Option<(simple_dns::Name<'static>, u16)>,
    txt: Option<Txt>,
    addresses: Vec<IpAddr>,
    /// When it was last heard of, for how long that counts, and how often it has been asked for since.
    heard: Instant,
    lives: Duration,
    refreshes: usize,
    missing: (u32, Instant),
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Txt {
    name: Option<String>,
    features: String,
    port: Option<u16>,
    device: Option<crate::DeviceId>,
    pairing: bool,
}

impl Instance {
    fn dies_at(&self) -> Instant {
        self.heard + self.lives
    }

    fn refresh_at(&self) -> Option<Instant> {
        REFRESH_AT.get(self.refreshes).map(|part| self.heard + self.lives * *part / 100)
    }

    fn missing_at(&self) -> Option<Instant> {
        (!self.is_complete() && self.missing.0 < ASK_MISSING).then_some(self.missing.1)
    }

    fn is_complete(&self) -> bool {
        self.host.is_some() && self.txt.is_some()
    }

    fn sighting(&self) -> Option<Sighting> {
        let (Some((_, port)), Some(txt)) = (&self.host, &self.txt) else { return None };
        let port = txt.port.unwrap_or(*port);
        let mut addresses: Vec<_> =
            self.addresses.iter().map(|ip| with_scope(*ip, port, self.source)).collect();
        if addresses.is_empty() {
            addresses.push(with_port(self.source, port));
        }
        Some(Sighting {
            source: Source::Mdns,
            name: txt.name.clone().unwrap_or_else(|| self.name.clone()),
            instance: Some(self.name.clone()),
            device: txt.device,
            pairing: txt.pairing,
            features: txt.features.clone(),
            addresses,
        })
    }
}

/// How long a record counts: a little less for some, so that a crowd does not ask again in the same instant (§5.2).
fn lives(ttl: u32, rng: &mut StdRng) -> Duration {
    Duration::from_secs(ttl.min(LONGEST_TTL).into()).mul_f64(rng.random_range(0.96..1.0))
}

fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}

/// A link-local address means something only on the interface it was heard on.
fn with_scope(ip: IpAddr, port: u16, source: SocketAddr) -> SocketAddr {
    match (ip, source) {
        (IpAddr::V6(ip), SocketAddr::V6(source)) if ip.is_unicast_link_local() => {
            std::net::SocketAddrV6::new(ip, port, 0, source.scope_id()).into()
        }
        _ => SocketAddr::new(ip, port),
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Browser {
    browsing: Vec<Browsing>,
    instances: Vec<Instance>,
    displaced: Burst,
    pub(super) displaced_count: u64,
    changed: bool,
    out: VecDeque<Outgoing>,
}

impl Browser {
    /// Asks on these links, and on no others.
    pub(super) fn set_links(&mut self, now: Instant, links: impl Iterator<Item = Link>, rng: &mut StdRng) {
        let links: Vec<_> = links.collect();
        self.browsing.retain(|browsing| links.contains(&browsing.link));
        let before = self.instances.len();
        self.instances.retain(|instance| links.contains(&instance.link));
        self.changed |= self.instances.len() < before;
        for link in links {
            if !self.browsing.iter().any(|browsing| browsing.link == link) {
                let at = now + Duration::from_millis(rng.random_range(FIRST_DELAY));
                self.browsing.push(Browsing { link, at, next: AGAIN, last: None });
            }
        }
    }

    /// Somebody wants to know it now.
    pub(super) fn ask(&mut self, now: Instant) {
        for browsing in &mut self.browsing {
            if browsing.last.is_none_or(|last| now.duration_since(last) >= NOT_TWICE) {
                (browsing.at, browsing.next) = (browsing.at.min(now), AGAIN);
            }
        }
    }

    /// What there is.
    pub(super) fn sightings(&self) -> impl Iterator<Item = Sighting> {
        self.instances.iter().filter_map(Instance::sighting)
    }

    /// Whether that has changed since this was asked last.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Somebody tells.
    pub(super) fn handle_response(
        &mut self,
        now: Instant,
        link: Link,
        source: SocketAddr,
        packet: &Packet<'_>,
        rng: &mut StdRng,
    ) {
        if !self.browsing.iter().any(|browsing| browsing.link == link) {
            return;
        }
        let records = || packet.answers.iter().chain(&packet.additional_records);
        for record in records() {
            if let RData::PTR(ptr) = &record.rdata
                && dns::is_service(&record.name)
                && let Some(name) = dns::instance_of(&ptr.0)
            {
                self.on_ptr(now, link, source, name, record.ttl, rng);
            }
        }
        for record in records() {
            self.on_own_record(now, link, record, rng);
        }
        self.on_addresses(link, records());
    }

    fn on_ptr(
        &mut self,
        now: Instant,
        link: Link,
        source: SocketAddr,
        name: String,
        ttl: u32,
        rng: &mut StdRng,
    ) {
        let same = |known: &&mut Instance| known.link == link && known.name.eq_ignore_ascii_case(&name);
        let lives = lives(ttl, rng);
        match self.instances.iter_mut().find(same) {
            Some(known) if ttl == 0 => {
                (known.heard, known.lives, known.refreshes) = (now, GOODBYE, REFRESH_AT.len());
            }
            Some(known) => known.source = source,
            None if ttl == 0 => {}
            None => {
                if self.instances.len() >= MAX_INSTANCES {
                    self.displace(now);
                }
                self.instances.push(Instance {
                    name,
                    link,
                    source,
                    host: None,
                    txt: None,
                    addresses: Vec::new(),
                    heard: now,
                    lives,
                    refreshes: 0,
                    missing: (0, now + MISSING_AFTER),
                });
            }
        }
    }

    /// Whoever was not heard of for the longest time gives way: the others are there for sure.
    fn displace(&mut self, now: Instant) {
        let oldest = self.instances.iter().enumerate().min_by_key(|(_, instance)| instance.heard);
        if let Some(place) = oldest.map(|(place, _)| place) {
            self.instances.swap_remove(place);
            self.changed = true;
            self.displaced_count += 1;
            if self.displaced.begins(now) {
                warn!(
                    "more than {MAX_INSTANCES} routers on the network: those heard of longest ago are forgotten"
                );
            }
        }
    }

    /// SRV and TXT. Each tells that the instance is alive; its SRV record says for how long.
    fn on_own_record(&mut self, now: Instant, link: Link, record: &ResourceRecord<'_>, rng: &mut StdRng) {
        let Some(name) = dns::instance_of(&record.name) else { return };
        let same = |known: &&mut Instance| known.link == link && known.name.eq_ignore_ascii_case(&name);
        let Some(known) = self.instances.iter_mut().find(same) else { return };
        match &record.rdata {
            RData::SRV(_) if record.ttl == 0 => {
                (known.heard, known.lives, known.refreshes) = (now, GOODBYE, REFRESH_AT.len());
            }
            RData::SRV(srv) => {
                let host = Some((srv.target.clone().into_owned(), srv.port));
                self.changed |= known.host != host;
                if known.host.as_ref().map(|(host, _)| host) != Some(&srv.target) {
                    known.addresses.clear();
                }
                known.host = host;
                (known.heard, known.refreshes) = (now, 0);
                known.lives = lives(record.ttl, rng);
            }
            RData::TXT(txt) if record.ttl > 0 => {
                let txt = read_txt(txt);
                self.changed |= known.txt.as_ref() != Some(&txt);
                known.txt = Some(txt);
            }
            _ => {}
        }
    }

    /// Addresses of the hosts of instances. The first of a message makes those known before void, if it says so.
    fn on_addresses<'a>(
        &mut self,
        link: Link,
        records: impl Iterator<Item = &'a ResourceRecord<'a>> + Clone,
    ) {
        for known in self.instances.iter_mut().filter(|known| known.link == link) {
            let Some((host, _)) = &known.host else { continue };
            let of_host = records.clone().filter(|record| dns::is_same(&record.name, host));
            let mut told: Vec<(IpAddr, bool)> = Vec::new();
            for record in of_host.filter(|record| record.ttl > 0) {
                if let Some(ip) = dns::address_of(&record.rdata)
                    && told.len() < MAX_ADDRESSES_PER_NAME
                    && !told.iter().any(|(other, _)| *other == ip)
                {
                    told.push((ip, record.cache_flush));
                }
            }
            if told.is_empty() {
                continue;
            }
            let mut addresses: Vec<_> = told.iter().map(|(ip, _)| *ip).collect();
            if !told.iter().any(|(_, flush)| *flush) {
                let before = known.addresses.iter().filter(|ip| !addresses.contains(ip)).copied();
                addresses = addresses.iter().copied().chain(before).take(MAX_ADDRESSES_PER_NAME).collect();
            }
            self.changed |= known.addresses != addresses;
            known.addresses = addresses;
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let before = self.instances.len();
        self.instances.retain(|instance| instance.dies_at() > now);
        self.changed |= self.instances.len() < before;
        let mut asked: Vec<(Link, Vec<Question<'static>>)> = Vec::new();
        for instance in &mut self.instances {
            if instance.refresh_at().is_some_and(|at| at <= now) {
                instance.refreshes += 1;
            } else if instance.missing_at().is_some_and(|at| at <= now) {
                instance.missing = (instance.missing.0 + 1, now + MISSING_EVERY);
            } else {
                continue;
            }
            let Ok(name) = dns::instance_name(&instance.name) else { continue };
            let mut questions = vec![dns::question(name, QTYPE::ANY)];
            if let Some((host, _)) = instance.host.as_ref().filter(|_| instance.addresses.is_empty()) {
                questions.push(dns::question(host.clone(), TYPE::A.into()));
            }
            asked.push((instance.link, questions));
        }
        for (link, questions) in asked {
            self.send(link, dns::query(questions));
        }
        let due: Vec<Link> = self.browsing.iter().filter(|b| b.at <= now).map(|b| b.link).collect();
        for link in due {
            let query = self.browse_query(now, link);
            self.send(link, query);
            for browsing in self.browsing.iter_mut().filter(|browsing| browsing.link == link) {
                (browsing.last, browsing.at) = (Some(now), now + browsing.next);
                browsing.next = (browsing.next * 2).min(RARELY);
            }
        }
    }

    /// Who is there, besides those that are known for long enough?
    fn browse_query(&self, now: Instant, link: Link) -> Packet<'static> {
        let mut query = dns::query(vec![dns::ask_ptr()]);
        for known in self.instances.iter().filter(|known| known.link == link && known.is_complete()) {
            let left = known.dies_at().saturating_duration_since(now);
            if query.answers.len() < MAX_KNOWN_ANSWERS
                && left > known.lives / 2
                && let Ok(name) = dns::instance_name(&known.name)
            {
                query.answers.push(dns::shared(dns::service(), dns::ptr(name)));
            }
        }
        query
    }

    fn send(&mut self, link: Link, packet: Packet<'_>) {
        self.out.extend(Outgoing::new(link, None, &packet));
    }

    pub(super) fn poll_output(&mut self) -> Option<Outgoing> {
        self.out.pop_front()
    }

    pub(super) fn wake(&self) -> Option<Instant> {
        let browsing = self.browsing.iter().map(|browsing| browsing.at);
        let lives = self
            .instances
            .iter()
            .flat_map(|instance| [Some(instance.dies_at()), instance.refresh_at(), instance.missing_at()]);
        browsing.chain(lives.flatten()).min()
    }
}

/// What a TXT record says (protocol reference §10). Of a key that is there twice the first counts (RFC 6763 §6.4).
fn read_txt(txt: &simple_dns::rdata::TXT<'_>) -> Txt {
    let get = |key: &str| {
        let found = txt.iter_raw().find(|(found, _)| found.eq_ignore_ascii_case(key.as_bytes()));
        found.and_then(|(_, value)| std::str::from_utf8(value?).ok())
    };
    let plain = |text: &&str| (1..=MAX_NAME_BYTES).contains(&text.len()) && !text.contains(char::is_control);
    Txt {
        name: get("name").filter(plain).map(str::to_owned),
        features: get("features").filter(plain).unwrap_or_default().to_owned(),
        port: get("ws").and_then(|port| port.parse().ok()).filter(|port| *port != 0),
        device: get("id").and_then(|id| id.parse().ok()),
        pairing: get("pair") == Some("1"),
    }
}
