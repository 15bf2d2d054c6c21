//! What we look at, and change, in the text of a session description. Everything else in it is str0m's business.

use crate::limits::{MAX_SDP_BYTES, MAX_SEND_MESSAGE_BYTES};

/// Why a description was refused before parsing it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SdpFault {
    /// It is too long.
    #[error("SDP of {0} bytes, at most {MAX_SDP_BYTES} are read")]
    TooLong(usize),
    /// It has not exactly one media section.
    #[error("SDP has {0} m= lines, a data-channel session has exactly 1")]
    MediaLines(usize),
    /// Its media section is not a data-channel one.
    #[error("SDP line {line}: {text:?} is not an SCTP-over-DTLS data-channel section")]
    NotData {
        /// 1-based line number.
        line: usize,
        /// The line's beginning.
        text: String,
    },
}

/// Checks that `text` describes a session of data channels and nothing else (RFC 8841 §4), so that nothing of
/// str0m's media machinery is ever set in motion by a stranger.
pub(super) fn check(text: &str) -> Result<(), SdpFault> {
    if text.len() > MAX_SDP_BYTES {
        return Err(SdpFault::TooLong(text.len()));
    }
    let media: Vec<_> = text.lines().enumerate().filter(|(_, line)| line.starts_with("m=")).take(2).collect();
    match media.as_slice() {
        [(_, line)] if line.starts_with("m=application ") && line.contains("DTLS/SCTP") => Ok(()),
        [(index, line)] => Err(SdpFault::NotData { line: index + 1, text: line.chars().take(40).collect() }),
        other => Err(SdpFault::MediaLines(other.len())),
    }
}

/// The largest message the other side takes (`a=max-message-size`, RFC 8841 §6), clipped to what we ever send.
///
/// Absent means 65 536, and so does 0 ("any size") for our purposes.
pub(super) fn max_message_size(text: &str) -> usize {
    text.lines()
        .find_map(|line| line.strip_prefix("a=max-message-size:")?.trim().parse::<usize>().ok())
        .filter(|size| *size > 0)
        .unwrap_or(MAX_SEND_MESSAGE_BYTES)
        .min(MAX_SEND_MESSAGE_BYTES)
}

/// Takes the candidates out of a description, so that they pass the same gate as those that are trickled.
pub(super) fn split_candidates(text: &str) -> (String, Vec<&str>) {
    let is_candidate = |line: &&str| line.starts_with("a=candidate:");
    let candidates = text.lines().filter(is_candidate).collect();
    let rest = text.lines().filter(|line| !is_candidate(line) && *line != "a=end-of-candidates");
    (rest.flat_map(|line| [line, "\r\n"]).collect(), candidates)
}

/// Gives the only media section the identifier `mid`, whatever str0m (or the answerer) called it.
///
/// Trickled candidates name their section: stock peers and browsers expect `0` there, str0m draws random ones.
pub(super) fn with_mid(text: &str, mid: &str) -> String {
    let mut out = String::with_capacity(text.len() + mid.len());
    for line in text.lines() {
        if line.starts_with("a=mid:") {
            out.push_str("a=mid:");
            out.push_str(mid);
        } else if line.starts_with("a=group:BUNDLE ") {
            out.push_str("a=group:BUNDLE ");
            out.push_str(mid);
        } else {
            out.push_str(line);
        }
        out.push_str("\r\n");
    }
    out
}

/// Marks an offer as one that only asks for another path of a link that is open. Without the mark a peer that has lost the
/// link meanwhile could not tell it from the offer of a new one. The number tells a repeated or late offer from a new one.
const RESTART: &str = "a=x-clasp-restart:";

/// Puts the mark into the sender's `number`th such offer.
pub(super) fn as_restart(text: &str, number: u32) -> String {
    with_session_line(text, &format!("{RESTART}{number}"))
}

/// Marks an offer as one of another connection for a link whose connection is lost.
const RESUME: &str = "a=x-clasp-resume:";

/// Which link an offer is another connection for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resume<'a> {
    /// The link's correlation id: that of its first attempt.
    pub link: &'a str,
    /// How many attempts there have been with this one.
    pub generation: u32,
}

pub(super) fn as_resume(text: &str, resume: &Resume<'_>) -> String {
    with_session_line(text, &format!("{RESUME}{} {}", resume.generation, resume.link))
}

/// The mark, if the offer carries one.
pub(crate) fn resume(text: &str) -> Option<Resume<'_>> {
    let (generation, link) = text.lines().find_map(|line| line.strip_prefix(RESUME)?.split_once(' '))?;
    Some(Resume { link, generation: generation.parse().ok()? })
}

/// Inserts a line into the session part.
fn with_session_line(text: &str, line: &str) -> String {
    let at = text.find("m=").unwrap_or(text.len());
    let (session, media) = text.split_at(at);
    format!("{session}{line}\r\n{media}")
}

/// The certificate's fingerprint, of the session or of its only media section (RFC 8122 §5).
pub(crate) fn fingerprint(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("a=fingerprint:")).map(str::trim)
}

/// The number in the mark, if the offer carries one.
pub(crate) fn restart_number(text: &str) -> Option<u32> {
    text.lines().find_map(|line| line.strip_prefix(RESTART)?.parse().ok())
}

/// The identifier of the first media section.
pub(super) fn mid(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("a=mid:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: &str =
        "v=0\r\na=group:BUNDLE xY3\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:xY3\r\n";

    #[test]
    fn only_one_data_channel_section_is_accepted() {
        let audio = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n";
        let cases = [
            (OFFER.to_owned(), Ok(())),
            (String::new(), Err(SdpFault::MediaLines(0))),
            (format!("{OFFER}{audio}"), Err(SdpFault::MediaLines(2))),
            (
                format!("v=0\r\n{audio}"),
                Err(SdpFault::NotData { line: 2, text: "m=audio 9 UDP/TLS/RTP/SAVPF 111".into() }),
            ),
            ("x".repeat(MAX_SDP_BYTES + 1), Err(SdpFault::TooLong(MAX_SDP_BYTES + 1))),
        ];
        for (text, want) in cases {
            assert_eq!(check(&text), want, "{text:.60}");
        }
    }

    #[test]
    fn candidates_come_out_and_the_rest_stays() {
        let with = format!("{OFFER}a=candidate:1 1 udp 1 192.0.2.1 5 typ host\r\na=end-of-candidates\r\n");
        let (rest, candidates) = split_candidates(&with);
        assert_eq!(rest, OFFER);
        assert_eq!(candidates, ["a=candidate:1 1 udp 1 192.0.2.1 5 typ host"]);
    }

    #[test]
    fn the_mid_is_renamed_in_both_places_and_back() {
        let renamed = with_mid(OFFER, "0");
        assert!(renamed.contains("a=mid:0\r\n") && renamed.contains("a=group:BUNDLE 0\r\n"));
        assert_eq!(with_mid(&renamed, "xY3"), OFFER);
        assert_eq!(mid(OFFER), Some("xY3"));
    }

    #[test]
    fn the_mark_of_a_restart_stands_in_the_session_part() {
        let marked = as_restart(OFFER, 17);
        assert_eq!((restart_number(&marked), restart_number(OFFER)), (Some(17), None));
        assert_eq!(check(&marked), Ok(()));
        assert!(marked.find(RESTART) < marked.find("m="));
        assert_eq!(marked.replace("a=x-clasp-restart:17\r\n", ""), OFFER);
        assert_eq!(restart_number("a=x-clasp-restart:-1\r\n"), None);
    }

    #[test]
    fn the_mark_of_another_connection_names_its_link() {
        let of = Resume { link: "a-b-c", generation: 3 };
        let marked = as_resume(OFFER, &of);
        assert_eq!((resume(&marked), resume(OFFER)), (Some(of), None));
        assert_eq!(check(&marked), Ok(()));
        for broken in ["a=x-clasp-resume:3\r\n", "a=x-clasp-resume:-1 a\r\n", "a=x-clasp-resume:a b\r\n"] {
            assert_eq!(resume(broken), None, "{broken}");
        }
    }

    #[test]
    fn the_message_limit_is_what_the_peer_says_but_never_more_than_we_send() {
        for (text, want) in [
            ("", 65_535),
            ("a=max-message-size:16384\r\n", 16_384),
            ("a=max-message-size:0\r\n", 65_535),
            ("a=max-message-size:262144\r\n", 65_535),
            ("a=max-message-size:nonsense\r\n", 65_535),
        ] {
            assert_eq!(max_message_size(text), want, "{text}");
        }
    }
}
