//! Remote candidates: which we check, and which we skip and why.

use std::net::IpAddr;

use clasp_wire::p2p::CandidateInit;
use str0m::Candidate;

use crate::limits::MAX_CANDIDATE_BYTES;

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
    /// A name only multicast DNS could resolve.
    #[error("multicast DNS name {0}")]
    MulticastDns(String),
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

/// Reads the candidate text of an `ice_candidate` signal (reference §9.4).
pub(super) fn parse(text: &str) -> Result<Candidate, Skip> {
    if text.len() > MAX_CANDIDATE_BYTES {
        return Err(Skip::TooLong(text.len()));
    }
    let init = CandidateInit::parse(text).map_err(|error| Skip::Unreadable(error.to_string()))?;
    parse_line(&init.candidate)
}

/// Reads a candidate line (RFC 8839 §5.1), with or without its `a=` and `candidate:`.
pub(super) fn parse_line(line: &str) -> Result<Candidate, Skip> {
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
    if address.to_ascii_lowercase().ends_with(".local") {
        return Err(Skip::MulticastDns(address.chars().take(64).collect()));
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
    Ok(candidate)
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
    fn what_cannot_be_used_is_skipped_with_its_reason() {
        let cases = [
            (json(""), "end of candidates"),
            (json("candidate:1 1 udp 1 0b1c-2d.local 5 typ host"), "multicast DNS name 0b1c-2d.local"),
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
            let got = parse(&text).map(|c| c.to_sdp_string()).map_err(|s| s.to_string());
            assert!(matches!(&got, Err(why) if why.starts_with(want)), "{text}: {got:?}, want {want}");
        }
    }
}
