//! Candidates in signals, whatever is around them: SDP, JSON, a CLASP frame.

use std::net::{IpAddr, SocketAddr};

use crate::Outcome;

const MARK: &[u8] = b"candidate:";

/// Replaces the port of every candidate by that of its stand-in, which has the same address. The text keeps its length, so
/// that frames around it stay valid.
///
/// # Errors
/// When a candidate is not a UDP one with an address, or its stand-in's port is longer or shorter: then the two ends
/// might find a way past the path.
pub(crate) fn candidates(
    text: &mut [u8],
    mut stand_in: impl FnMut(SocketAddr) -> Outcome<SocketAddr>,
) -> Outcome<()> {
    let mut from = 0;
    while let Some(at) = find(text.get(from..).unwrap_or_default(), MARK) {
        from += at + MARK.len();
        // foundation, component, transport, priority, address, port, …
        let rest = text.get_mut(from..).unwrap_or_default();
        let mut words = rest.split_mut(|byte| *byte == b' ').skip(2);
        let (Some(transport), Some(address), Some(port)) = (words.next(), words.nth(1), words.next()) else {
            return Err("a candidate that ends too early".into());
        };
        if !transport.eq_ignore_ascii_case(b"udp") {
            return Err(format!("a candidate over {}", String::from_utf8_lossy(transport)).into());
        }
        let ip: IpAddr = str::from_utf8(address)?.parse()?;
        let real = SocketAddr::new(ip, str::from_utf8(port)?.parse()?);
        let other = stand_in(real)?;
        let digits = other.port().to_string();
        if other.ip() != ip || digits.len() != port.len() {
            return Err(format!("{other} cannot stand in for {real}").into());
        }
        port.copy_from_slice(digits.as_bytes());
    }
    Ok(())
}

pub(crate) fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(text: &str) -> Outcome<(String, Vec<SocketAddr>)> {
        let mut bytes = text.as_bytes().to_vec();
        let mut seen = Vec::new();
        candidates(&mut bytes, |real| {
            seen.push(real);
            Ok(SocketAddr::new(real.ip(), 44444))
        })?;
        Ok((String::from_utf8(bytes)?, seen))
    }

    #[test]
    fn every_candidate_gets_another_port_and_the_length_stays() {
        let sdp = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\\r\\na=candidate:1 1 UDP 2130706431 127.0.0.1 50001 \
                   typ host\\r\\na=candidate:2 1 udp 2130706431 fd00::2 50002 typ host\\r\\na=end-of-candidates";
        let (text, seen) = rewritten(sdp).unwrap();
        assert_eq!(text, sdp.replace(" 50001 ", " 44444 ").replace(" 50002 ", " 44444 "));
        assert_eq!(seen, ["127.0.0.1:50001".parse().unwrap(), "[fd00::2]:50002".parse().unwrap()]);
        let json = r#"{"candidate":"candidate:7 1 udp 1 192.0.2.1 40000 typ host ufrag x","sdpMid":"0"}"#;
        assert_eq!(rewritten(json).unwrap().0, json.replace("40000", "44444"));
        assert_eq!(rewritten(r#"{"candidate":""}"#).unwrap().0, r#"{"candidate":""}"#);
    }

    #[test]
    fn what_could_lead_past_the_path_is_refused() {
        for candidate in [
            "candidate:1 1 tcp 1 127.0.0.1 50001 typ host tcptype passive",
            "candidate:1 1 udp 1 3f0c.local 50001 typ host",
            "candidate:1 1 udp 1 127.0.0.1 501 typ host",
            "candidate:1 1 udp",
        ] {
            assert!(rewritten(candidate).is_err(), "{candidate}");
        }
    }
}
