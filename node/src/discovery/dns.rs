//! DNS messages: what names, records and questions of `_clasp._tcp.local` look like.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use simple_dns::rdata::{A, AAAA, PTR, RData, SRV, TXT};
use simple_dns::{
    CLASS, Label, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, ResourceRecord, SimpleDnsError, TYPE,
};

/// Where CLASP routers are (protocol reference §10).
const SERVICE: [&str; 3] = ["_clasp", "_tcp", "local"];

/// What kinds of service there are at all (RFC 6763 §9).
const KINDS: [&str; 4] = ["_services", "_dns-sd", "_udp", "local"];

/// How long others may remember what names a host (RFC 6762 §10),
pub(super) const HOST_TTL: u32 = 120;

/// and how long the rest.
pub(super) const OTHER_TTL: u32 = 4500;

/// For those who ask from another port and know nothing of caches (RFC 6762 §6.7).
pub(super) const LEGACY_TTL: u32 = 10;

/// Longest label of a name (RFC 1035 §2.3.4).
pub(super) const MAX_LABEL_BYTES: usize = 63;

pub(super) type Result<T> = std::result::Result<T, SimpleDnsError>;

/// `_clasp._tcp.local`
pub(super) fn service() -> Name<'static> {
    Name::new_unchecked("_clasp._tcp.local")
}

/// `_services._dns-sd._udp.local`
pub(super) fn kinds() -> Name<'static> {
    Name::new_unchecked("_services._dns-sd._udp.local")
}

/// `<instance>._clasp._tcp.local`: the instance is one label, whatever is in it.
pub(super) fn instance_name(instance: &str) -> Result<Name<'static>> {
    let service = SERVICE.iter().map(|part| part.as_bytes());
    name(&[&[instance.as_bytes()], service.collect::<Vec<_>>().as_slice()].concat())
}

/// `<host>.local`
pub(super) fn host_name(host: &str) -> Result<Name<'static>> {
    name(&[host.as_bytes(), b"local"])
}

/// Labels as they are: nothing in them is an escape.
fn name(labels: &[&[u8]]) -> Result<Name<'static>> {
    if labels.iter().any(|label| !(1..=MAX_LABEL_BYTES).contains(&label.len())) {
        return Err(SimpleDnsError::InvalidServiceLabel);
    }
    let labels: Vec<_> = labels.iter().map(|label| Label::new_unchecked(label.to_vec())).collect();
    Ok(Name::new_with_labels(&labels))
}

fn is_name<const N: usize>(name: &Name<'_>, labels: [&str; N]) -> bool {
    name.get_labels().len() == N
        && name.as_bytes().zip(labels).all(|(label, known)| label.eq_ignore_ascii_case(known.as_bytes()))
}

pub(super) fn is_service(name: &Name<'_>) -> bool {
    is_name(name, SERVICE)
}

pub(super) fn is_kinds(name: &Name<'_>) -> bool {
    is_name(name, KINDS)
}

/// The instance in `<instance>._clasp._tcp.local`.
pub(super) fn instance_of(name: &Name<'_>) -> Option<String> {
    let mut labels = name.as_bytes();
    let instance = labels.next()?;
    let rest = name.get_labels().len() == SERVICE.len() + 1
        && labels.zip(SERVICE).all(|(label, known)| label.eq_ignore_ascii_case(known.as_bytes()));
    let instance = std::str::from_utf8(instance).ok()?;
    (rest && !instance.contains(char::is_control)).then(|| instance.to_owned())
}

pub(super) fn is_same(a: &Name<'_>, b: &Name<'_>) -> bool {
    a.get_labels().len() == b.get_labels().len()
        && a.as_bytes().zip(b.as_bytes()).all(|(a, b)| a.eq_ignore_ascii_case(b))
}

pub(super) fn question(name: Name<'static>, kind: QTYPE) -> Question<'static> {
    Question::new(name, kind, QCLASS::CLASS(CLASS::IN), false)
}

pub(super) fn ask_ptr() -> Question<'static> {
    question(service(), TYPE::PTR.into())
}

/// A record that others have as well.
pub(super) fn shared(name: Name<'static>, rdata: RData<'static>) -> ResourceRecord<'static> {
    ResourceRecord::new(name, CLASS::IN, OTHER_TTL, rdata)
}

/// A record that nobody else has: whoever hears it forgets what it has heard before (RFC 6762 §10.2).
pub(super) fn unique(name: Name<'static>, ttl: u32, rdata: RData<'static>) -> ResourceRecord<'static> {
    ResourceRecord::new(name, CLASS::IN, ttl, rdata).with_cache_flush(true)
}

pub(super) fn ptr(to: Name<'static>) -> RData<'static> {
    RData::PTR(PTR(to))
}

pub(super) fn srv(port: u16, target: Name<'static>) -> RData<'static> {
    RData::SRV(SRV { priority: 0, weight: 0, port, target })
}

pub(super) fn txt(attributes: &[(&str, &str)]) -> Result<RData<'static>> {
    let mut txt = TXT::new();
    for (key, value) in attributes {
        txt.add_attribute(key, Some(value.as_bytes()))?;
    }
    Ok(RData::TXT(txt.into_owned()))
}

pub(super) fn address(ip: IpAddr) -> RData<'static> {
    match ip {
        IpAddr::V4(ip) => RData::A(A { address: ip.into() }),
        IpAddr::V6(ip) => RData::AAAA(AAAA { address: ip.into() }),
    }
}

/// The address in an A or AAAA record.
pub(super) fn address_of(rdata: &RData<'_>) -> Option<IpAddr> {
    match rdata {
        RData::A(a) => Some(Ipv4Addr::from(a.address).into()),
        RData::AAAA(aaaa) => Some(Ipv6Addr::from(aaaa.address).into()),
        _ => None,
    }
}

/// A message that asks; its id is 0 (RFC 6762 §18.1).
pub(super) fn query(questions: Vec<Question<'static>>) -> Packet<'static> {
    let mut packet = Packet::new_query(0);
    packet.questions = questions;
    packet
}

/// A message that answers, with authority, as they all do (RFC 6762 §18.4).
pub(super) fn response(answers: Vec<ResourceRecord<'static>>) -> Packet<'static> {
    let mut packet = Packet::new_reply(0);
    packet.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
    packet.answers = answers;
    packet
}
