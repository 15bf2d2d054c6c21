//! What our nodes add to session descriptions: lines that other implementations pass over.

use str0m::crypto::Fingerprint;

use super::description::Description;

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

/// The certificate's fingerprint that DTLS will hold the other side to.
pub(crate) fn fingerprint(text: &str) -> Option<Fingerprint> {
    Description::parse(text).ok().map(|description| description.fingerprint)
}

/// The number in the mark, if the offer carries one.
pub(crate) fn restart_number(text: &str) -> Option<u32> {
    text.lines().find_map(|line| line.strip_prefix(RESTART)?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: &str =
        "v=0\r\na=group:BUNDLE xY3\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:xY3\r\n";

    #[test]
    fn the_mark_of_a_restart_stands_in_the_session_part() {
        let marked = as_restart(OFFER, 17);
        assert_eq!((restart_number(&marked), restart_number(OFFER)), (Some(17), None));
        assert!(marked.find(RESTART) < marked.find("m="));
        assert_eq!(marked.replace("a=x-clasp-restart:17\r\n", ""), OFFER);
        assert_eq!(restart_number("a=x-clasp-restart:-1\r\n"), None);
    }

    #[test]
    fn the_mark_of_another_connection_names_its_link() {
        let of = Resume { link: "a-b-c", generation: 3 };
        let marked = as_resume(OFFER, &of);
        assert_eq!((resume(&marked), resume(OFFER)), (Some(of), None));
        for broken in ["a=x-clasp-resume:3\r\n", "a=x-clasp-resume:-1 a\r\n", "a=x-clasp-resume:a b\r\n"] {
            assert_eq!(resume(broken), None, "{broken}");
        }
    }
}
