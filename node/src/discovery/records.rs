//! What this node's router is known by, and which of it is asked for.

use std::net::IpAddr;

use log::error;
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Packet, QCLASS, Question, ResourceRecord, TYPE};

use super::advertise::{asks_for, comparable};
use super::dns::{self, HOST_TTL, MAX_LABEL_BYTES, OTHER_TTL};
use crate::identity::DeviceId;

/// What the router does, as the letters that stock devices tell: params, signals, events, gestures. Timelines do not travel.
pub(super) const FEATURES: &str = "pseg";

/// Characters of the device's id that are its host's name: 80 bits.
const HOST_CHARACTERS: usize = 16;

/// Some of the records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Records(u8);

impl Records {
    /// That there are CLASP routers at all.
    pub(super) const KIND: Self = Self(1);
    /// That this one is.
    pub(super) const PTR: Self = Self(2);
    /// Its host and port.
    pub(super) const SRV: Self = Self(4);
    /// More of it.
    pub(super) const TXT: Self = Self(8);
    /// The host's addresses.
    pub(super) const ADDRESS: Self = Self(16);
    /// All that is this router's own.
    pub(super) const OWN: Self = Self(2 | 4 | 8 | 16);
    /// How many kinds there are.
    pub(super) const KINDS: usize = 5;

    pub(super) fn each() -> impl Iterator<Item = Self> {
        (0..Self::KINDS).map(|bit| Self(1 << bit))
    }

    pub(super) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(super) const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// The router, as others on the network see it.
#[derive(Debug)]
pub(super) struct Service {
    /// What it would be called if nobody else were.
    wanted_name: String,
    /// Which of its names it has: 1 is the wanted one.
    attempt: u32,
    instance: String,
    device: DeviceId,
    host: String,
    port: u16,
    pairing: bool,
}

impl Service {
    /// `name` has 1 to 63 bytes, as [`NodeConfig`](crate::NodeConfig) checks.
    pub(super) fn new(name: &str, device: DeviceId, port: u16) -> Self {
        let id: String = device.to_string().chars().take(HOST_CHARACTERS).collect();
        Self {
            wanted_name: name.to_owned(),
            attempt: 1,
            instance: name.to_owned(),
            device,
            host: format!("clasp-{id}"),
            port,
            pairing: false,
        }
    }

    pub(super) fn instance(&self) -> &str {
        &self.instance
    }

    /// Says whether that is news.
    pub(super) fn set_pairing(&mut self, open: bool) -> bool {
        std::mem::replace(&mut self.pairing, open) != open
    }

    /// `kitchen-2`, `kitchen-3` and so on.
    pub(super) fn take_next_name(&mut self) {
        self.attempt = self.attempt.saturating_add(1);
        let suffix = format!("-{}", self.attempt);
        let room = MAX_LABEL_BYTES - suffix.len();
        let end =
            (0..=room.min(self.wanted_name.len())).rev().find(|end| self.wanted_name.is_char_boundary(*end));
        let stem = self.wanted_name.get(..end.unwrap_or(0)).unwrap_or_default();
        self.instance = format!("{stem}{suffix}");
    }

    pub(super) fn is_instance(&self, name: &simple_dns::Name<'_>) -> bool {
        dns::instance_of(name).is_some_and(|instance| instance.eq_ignore_ascii_case(&self.instance))
    }

    fn is_host(&self, name: &simple_dns::Name<'_>) -> bool {
        dns::host_name(&self.host).is_ok_and(|host| dns::is_same(name, &host))
    }

    /// The records of these kinds. Those that are one's own make others forget what they knew before.
    pub(super) fn records(&self, kinds: Records, addresses: &[IpAddr]) -> Vec<ResourceRecord<'static>> {
        self.try_records(kinds, addresses).unwrap_or_else(|error| {
            error!(name = self.instance.as_str(), error:% = error; "no mDNS records can be made of this name");
            Vec::new()
        })
    }

    fn try_records(&self, kinds: Records, addresses: &[IpAddr]) -> dns::Result<Vec<ResourceRecord<'static>>> {
        let (instance, host) = (dns::instance_name(&self.instance)?, dns::host_name(&self.host)?);
        let mut records = Vec::new();
        if kinds.has(Records::KIND) {
            records.push(dns::shared(dns::kinds(), dns::ptr(dns::service())));
        }
        if kinds.has(Records::PTR) {
            records.push(dns::shared(dns::service(), dns::ptr(instance.clone())));
        }
        if kinds.has(Records::SRV) {
            records.push(dns::unique(instance.clone(), HOST_TTL, dns::srv(self.port, host.clone())));
        }
        if kinds.has(Records::TXT) {
            records.push(dns::unique(instance, OTHER_TTL, self.txt()?));
        }
        if kinds.has(Records::ADDRESS) {
            records.extend(addresses.iter().map(|ip| dns::unique(host.clone(), HOST_TTL, dns::address(*ip))));
        }
        Ok(records)
    }

    fn txt(&self) -> dns::Result<RData<'static>> {
        let (port, device) = (self.port.to_string(), self.device.to_string());
        dns::txt(&[
            ("version", "2"),
            ("name", &self.wanted_name),
            ("features", FEATURES),
            ("ws", &port),
            ("id", &device),
            ("pair", if self.pairing { "1" } else { "0" }),
        ])
    }

    /// An answer with these records, and with those that whoever asks will want next.
    pub(super) fn answer(&self, wanted: Records, addresses: &[IpAddr]) -> Packet<'static> {
        let mut more = Records::default();
        if wanted.has(Records::PTR) {
            more = more.with(Records::SRV).with(Records::TXT);
        }
        if wanted.with(more).has(Records::SRV) {
            more = more.with(Records::ADDRESS);
        }
        let mut packet = dns::response(self.records(wanted, addresses));
        packet.additional_records = self.records(more.without(wanted), addresses);
        packet
    }

    /// The question whether the name is free, and what it would be used for.
    pub(super) fn probe(&self) -> Packet<'static> {
        let instance = dns::instance_name(&self.instance);
        let mut packet = dns::query(
            instance.map(|name| dns::question(name, simple_dns::QTYPE::ANY)).into_iter().collect(),
        );
        packet.name_servers = self.records(Records::SRV.with(Records::TXT), &[]);
        packet.name_servers.iter_mut().for_each(|record| record.cache_flush = false);
        packet
    }

    /// Which records a question is about.
    pub(super) fn wanted(&self, question: &Question<'_>) -> Records {
        if !matches!(question.qclass, QCLASS::ANY | QCLASS::CLASS(CLASS::IN)) {
            return Records::default();
        }
        let name = &question.qname;
        let of: &[(Records, TYPE)] = if dns::is_kinds(name) {
            &[(Records::KIND, TYPE::PTR)]
        } else if dns::is_service(name) {
            &[(Records::PTR, TYPE::PTR)]
        } else if self.is_instance(name) {
            &[(Records::SRV, TYPE::SRV), (Records::TXT, TYPE::TXT)]
        } else if self.is_host(name) {
            &[(Records::ADDRESS, TYPE::A), (Records::ADDRESS, TYPE::AAAA)]
        } else {
            &[]
        };
        let asked = of.iter().filter(|(_, kind)| asks_for(question.qtype, *kind));
        asked.fold(Records::default(), |all, (records, _)| all.with(*records))
    }

    /// Whether who asks knows already that this router is there, and for long enough (RFC 6762 §7.1).
    pub(super) fn is_known(&self, record: &ResourceRecord<'_>) -> bool {
        let is_ours = |name| self.is_instance(name);
        dns::is_service(&record.name)
            && record.ttl >= OTHER_TTL / 2
            && matches!(&record.rdata, RData::PTR(ptr) if is_ours(&ptr.0))
    }

    /// Whether this record says that our instance is something else.
    pub(super) fn is_contradicted(&self, record: &ResourceRecord<'_>) -> bool {
        if !self.is_instance(&record.name) {
            return false;
        }
        let (Some(theirs), ours) = (comparable(record), self.records(Records::SRV.with(Records::TXT), &[]))
        else {
            return false;
        };
        let same_kind = |own: &&ResourceRecord<'_>| own.rdata.type_code() == record.rdata.type_code();
        // What it is called and whether it can be paired may change; where it is tells whose it is.
        record.rdata.type_code() == TYPE::SRV
            && ours.iter().find(same_kind).and_then(comparable).is_some_and(|ours| ours != theirs)
    }

    /// Whether another one that probes for the same name with these records is the one to have it (RFC 6762 §8.2): the records are
    /// compared in their order, and the first that differs decides.
    pub(super) fn loses_against(&self, records: &[ResourceRecord<'_>]) -> bool {
        let theirs = records.iter().filter(|record| self.is_instance(&record.name));
        let mut theirs: Vec<_> = theirs.filter_map(comparable).collect();
        let ours = self.records(Records::SRV.with(Records::TXT), &[]);
        let mut ours: Vec<_> = ours.iter().filter_map(comparable).collect();
        theirs.sort();
        ours.sort();
        !theirs.is_empty() && theirs > ours
    }
}
