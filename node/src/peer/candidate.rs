//! Remote candidates: which we check, and which we skip and why.

use std::net::{IpAddr, SocketAddr};

use clasp_wire::p2p::CandidateInit;
use str0m::Candidate;
use str0m::error::IceError;

use crate::limits::MAX_CANDIDATE_BYTES;
use crate::mdns;

/// Of host candidates with IPv6 link-local addresses: below all other host candidates, whose local preferences are above 49 152, and
/// above all that are not (RFC 8445 §5.1.2.1).
const LINK_LOCAL_PRIORITY: u32 = 126 << 24 | 1000 << 8 | 255;

/// Why a remote candidate is not used. Never fatal: the others may do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(super) enum Skip {
    /// Longer than any candidate is.
    #[error("candidate of {0} bytes, at most {MAX_CANDIDATE_BYTES} are read")]
    TooLong(usize),
    /// The JSON, or the candidate line in it, does not parse.
    #[error("unreadable: {0}")]
    Unreadable(String),
    /// An empty candidate: the sender's end-of-candidates mark.
    #[error("end of candidates")]
    End,
    /// A name for multicast DNS, but none that a browser makes up.
    #[error("multicast DNS name {0} is not one plain label")]
    Name(String),
    /// A name that multicast DNS has no address for.
    #[error("multicast DNS name {0}: {1}")]
    Unresolved(String, mdns::Unresolved),
    /// A name that would have to be looked up on our own link, from a node that only uses relays.
    #[error("multicast DNS name {0}: this node uses relays only")]
    RelayOnly(String),
    /// Not UDP.
    #[error("transport {0}, only udp is supported")]
    Transport(String),
    /// A loopback address, which only a peer on this host can mean, and none of our links runs over loopback here.
    #[error("loopback address {0} from another host")]
    Loopback(IpAddr),
    /// An address no peer can be reached at.
    #[error("address {0} is not a unicast address of a peer")]
    Address(IpAddr),
}

/// A candidate that can be read.
#[derive(Debug)]
pub(super) enum Parsed {
    /// With its address.
    At(Candidate),
    /// With a name in its place.
    Named(Named),
}

/// A candidate that is complete but for the address behind its name.
#[derive(Debug)]
pub(super) struct Named {
    name: String,
    /// What is before and after the name in its line.
    parts: (String, String),
}

impl Named {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Names are the same in upper and lower case (RFC 6762 §16).
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// As if it had been written with this address.
    pub(super) fn at(&self, address: IpAddr) -> Result<Candidate, Skip> {
        let (before, after) = &self.parts;
        match parse_line(&format!("{before}{address}{after}"))? {
            Parsed::At(candidate) => Ok(candidate),
            Parsed::Named(named) => Err(Skip::Name(named.name)),
        }
    }
}

/// Reads the candidate text of an `ice_candidate` signal (reference §9.4).
pub(super) fn parse(text: &str) -> Result<Parsed, Skip> {
    if text.len() > MAX_CANDIDATE_BYTES {
        return Err(Skip::TooLong(text.len()));
    }
    let init = CandidateInit::parse(text).map_err(|error| Skip::Unreadable(error.to_string()))?;
    parse_line(&init.candidate)
}

/// Reads a candidate line (RFC 8839 §5.1), with or without its `a=` and `candidate:`.
pub(super) fn parse_line(line: &str) -> Result<Parsed, Skip> {
    if line.len() > MAX_CANDIDATE_BYTES {
        return Err(Skip::TooLong(line.len()));
    }
    let line = line.trim();
    let line = line.strip_prefix("a=").unwrap_or(line);
    if line.is_empty() {
        return Err(Skip::End);
    }
    // candidate:foundation component transport priority address port typ …
    let mut fields = line.split_ascii_whitespace().skip(2);
    let (transport, address) = (fields.next().unwrap_or_default(), fields.nth(1).unwrap_or_default());
    if !transport.eq_ignore_ascii_case("udp") {
        return Err(Skip::Transport(transport.chars().take(16).collect()));
    }
    if mdns::is_name(address) {
        let mut words = line.split_ascii_whitespace();
        let before = words.by_ref().take(4).flat_map(|word| [word, " "]).collect();
        let after = words.skip(1).flat_map(|word| [" ", word]).collect();
        return Ok(Parsed::Named(Named { name: address.to_owned(), parts: (before, after) }));
    }
    if address.to_ascii_lowercase().ends_with(".local") {
        return Err(Skip::Name(address.chars().take(64).collect()));
    }
    let prefixed;
    let line = if line.starts_with("candidate:") {
        line
    } else {
        prefixed = format!("candidate:{line}");
        &prefixed
    };
    let candidate = Candidate::from_sdp_string(line).map_err(|error| Skip::Unreadable(error.to_string()))?;
    let address = candidate.addr();
    if address.port() == 0 || !is_unicast(address.ip()) {
        return Err(Skip::Address(address.ip()));
    }
    Ok(Parsed::At(candidate))
}

/// The candidate of an address of ours.
pub(super) fn host(address: SocketAddr) -> Result<Candidate, IceError> {
    match address.ip() {
        // Such a pair outlives a change of network, but leads nowhere then, and that takes long to find out: it is for where there is
        // nothing else. ICE would prefer it, as IPv6; a candidate that is written with a priority keeps it.
        IpAddr::V6(ip) if ip.is_unicast_link_local() => {
            let (foundation, port) = (ip.to_bits() & 0xffff_ffff, address.port());
            Candidate::from_sdp_string(&format!(
                "candidate:{foundation} 1 udp {LINK_LOCAL_PRIORITY} {ip} {port} typ host"
            ))
        }
        _ => Candidate::host(address, "udp"),
    }
}

/// Excludes what a router could otherwise make us probe: groups, everybody, nobody, and cloud metadata services.
fn is_unicast(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            !(v4.is_multicast()
                || v4.is_broadcast()
                || v4.is_unspecified()
                || v4.octets() == [169, 254, 169, 254])
        }
        IpAddr::V6(v6) => !(v6.is_multicast() || v6.is_unspecified()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(candidate: &str) -> String {
        format!(r#"{{"candidate":"{candidate}","sdpMid":"0","sdpMLineIndex":0}}"#)
    }

    #[test]
    fn candidates_of_every_known_sender_are_read() {
        for text in [
            json("candidate:607854466 1 udp 2130706431 192.0.2.2 36620 typ host"),
            json("candidate:1 1 UDP 2130706431 2001:db8::1 36620 typ host generation 0 ufrag abcd network-id 1"),
            json("1 1 udp 2130706431 192.0.2.2 36620 typ host"),
            json("a=candidate:1 1 udp 2130706431 192.0.2.2 36620 typ host"),
            r#"{"candidate":"candidate:1 1 udp 1 192.0.2.2 5 typ host","sdpMid":"","sdpMLineIndex":0,"usernameFragment":null}"#
                .to_owned(),
            "candidate:1 1 udp 2130706431 192.0.2.2 36620 typ host".to_owned(),
        ] {
            assert!(parse(&text).is_ok(), "{text}: {:?}", parse(&text));
        }
    }

    #[test]
    fn link_local_addresses_of_ours_come_after_all_others() {
        let mut rng = <rand::rngs::StdRng as rand::SeedableRng>::from_seed([1; 32]);
        let certificate = crate::peer::Certificate::generate(&mut rng).unwrap();
        let mut rtc = str0m::RtcConfig::new()
            .set_crypto_provider(crate::peer::crypto::provider())
            .set_dtls_cert(certificate.to_dtls())
            .build(crate::clock_for_tests::start());
        let mut priorities = Vec::new();
        for address in ["[fe80::1]:7", "192.0.2.1:7", "[2001:db8::1]:7", "192.0.2.2:7", "[fe80::2]:7"] {
            let candidate = host(address.parse().unwrap()).unwrap();
            let added = rtc.add_local_candidate(candidate).unwrap();
            assert_eq!((added.addr(), added.kind()), (address.parse().unwrap(), str0m::CandidateKind::Host));
            assert!(added.to_sdp_string().contains(&format!(" {} ", added.prio())));
            priorities.push(added.prio());
        }
        let least = priorities[1..4].iter().min().unwrap();
        assert!(priorities[0] < *least && priorities[4] < *least, "{priorities:?}");
        let reflexive = Candidate::server_reflexive(
            "192.0.2.3:7".parse().unwrap(),
            "192.0.2.1:7".parse().unwrap(),
            "udp",
        );
        assert!(priorities[0] > rtc.add_local_candidate(reflexive.unwrap()).unwrap().prio());
    }

    #[test]
    fn what_cannot_be_used_is_skipped_with_its_reason() {
        let cases = [
            (json(""), "end of candidates"),
            (
                json("candidate:1 1 udp 1 _http._tcp.local 5 typ host"),
                "multicast DNS name _http._tcp.local is not",
            ),
            (json("candidate:1 1 udp 1 .local 5 typ host"), "multicast DNS name .local is not"),
            (json("candidate:1 1 tcp 1 0b1c-2d.local 9 typ host tcptype active"), "transport tcp"),
            (json("candidate:1 1 tcp 1 192.0.2.2 9 typ host tcptype active"), "transport tcp"),
            (json("candidate:1 1 udp 1 224.0.0.251 5353 typ host"), "address 224.0.0.251"),
            (json("candidate:1 1 udp 1 255.255.255.255 9 typ host"), "address 255.255.255.255"),
            (json("candidate:1 1 udp 1 169.254.169.254 80 typ host"), "address 169.254.169.254"),
            (
                json("candidate:1 1 udp 1 ::ffff:169.254.169.254 80 typ host"),
                "address ::ffff:169.254.169.254",
            ),
            (json("candidate:1 1 udp 1 192.0.2.2 0 typ host"), "address 192.0.2.2"),
            (json("candidate:1 1 udp 1 router.example 5 typ host"), "unreadable"),
            ("{".to_owned(), "unreadable"),
            ("x".repeat(1025), "candidate of 1025 bytes"),
            ("[]".to_owned(), "unreadable"),
            (String::new(), "end of candidates"),
        ];
        for (text, want) in cases {
            let got = parse(&text).map(|c| format!("{c:?}")).map_err(|s| s.to_string());
            assert!(matches!(&got, Err(why) if why.starts_with(want)), "{text}: {got:?}, want {want}");
        }
    }
    #[test]
    fn a_name_is_taken_out_and_its_address_put_in_its_place() {
        let line = "candidate:0b1C-2d.local 1 udp 2113937151 0b1C-2d.local 51820 typ host generation 0";
        let Ok(Parsed::Named(named)) = parse(&json(line)) else { panic!("{line}") };
        assert_eq!(named.name(), "0b1C-2d.local");
        assert!(named.is("0B1C-2D.LOCAL"));
        let got = named.at("192.0.2.2".parse().unwrap()).unwrap();
        assert_eq!(got.addr(), "192.0.2.2:51820".parse().unwrap());
        assert_eq!(got.prio(), 2_113_937_151);
        assert_eq!(
            named.at("2001:db8::1".parse().unwrap()).unwrap().addr(),
            "[2001:db8::1]:51820".parse().unwrap()
        );
        for refused in ["224.0.0.251", "169.254.169.254", "255.255.255.255", "0.0.0.0", "::", "ff02::fb"] {
            let ip = refused.parse().unwrap();
            assert_eq!(named.at(ip).unwrap_err(), Skip::Address(ip));
        }
    }
}
