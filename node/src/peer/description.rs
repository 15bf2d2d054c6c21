//! Session descriptions of data channels and nothing else: one media section, SCTP over DTLS over ICE.
//!
//! Reads what any implementation of WebRTC writes for one, and passes over the lines it has no use for (RFC 8866 §5.13). Each text is
//! read once from front to back; whatever is in it, the worst that comes of it is a [`SdpFault`].

use std::fmt::Write;

use str0m::IceCreds;
use str0m::crypto::Fingerprint;

use crate::limits::{MAX_MID_BYTES, MAX_SDP_BYTES, MAX_SEND_MESSAGE_BYTES};

/// What a description is for in which nobody named the media section: stock peers and browsers call their first one so.
pub(super) const DEFAULT_MID: &str = "0";

/// Why a description is refused.
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
    /// Its media section has port 0: the other side wants no data channels.
    #[error("SDP line {line}: the data-channel section is turned down")]
    TurnedDown {
        /// 1-based line number.
        line: usize,
    },
    /// A line is not what it has to be.
    #[error("SDP line {line}: {text:?} is not {expected}")]
    Malformed {
        /// 1-based line number.
        line: usize,
        /// The line's beginning. Never a password's.
        text: String,
        /// What the line has to be.
        expected: &'static str,
    },
    /// A line that must be there is not.
    #[error("SDP has no {0} line")]
    Missing(&'static str),
}

/// Who begins the DTLS handshake (RFC 8842 §5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SetupRole {
    ActPass,
    Active,
    Passive,
}

impl SetupRole {
    /// The role of whoever is told of this one. Who may choose leaves it to the other side to begin.
    pub(super) fn counterpart(self) -> Self {
        if self == Self::Passive { Self::Active } else { Self::Passive }
    }

    fn name(self) -> &'static str {
        match self {
            Self::ActPass => "actpass",
            Self::Active => "active",
            Self::Passive => "passive",
        }
    }
}

/// Which description of a session this is (RFC 8866 §5.2).
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    pub(super) id: u64,
    pub(super) version: u32,
}

/// What one side says of itself.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Description {
    /// Identifies the media section (RFC 5888 §4).
    pub(super) mid: String,
    pub(super) credentials: IceCreds,
    pub(super) ice_lite: bool,
    pub(super) fingerprint: Fingerprint,
    pub(super) setup: SetupRole,
    /// RFC 8841 §6.
    pub(super) max_message_size: Option<usize>,
    /// An SCTP INIT chunk, for whoever can begin without a handshake (draft-hancke-tsvwg-snap).
    pub(super) sctp_init: Option<String>,
    /// As they were written, from `candidate:` on.
    pub(super) candidates: Vec<String>,
}

/// What may be said for the session or for its media section, where it counts more (RFC 8839 §5.4, RFC 8122 §5).
#[derive(Default)]
struct Level<'a> {
    ufrag: Option<&'a str>,
    password: Option<&'a str>,
    fingerprint: Option<Fingerprint>,
    setup: Option<SetupRole>,
}

/// What is known after some lines.
#[derive(Default)]
struct Reader<'a> {
    session: Level<'a>,
    media: Option<Level<'a>>,
    mid: Option<&'a str>,
    ice_lite: bool,
    max_message_size: Option<usize>,
    sctp_init: Option<&'a str>,
    candidates: Vec<String>,
}

impl Description {
    pub(super) fn parse(text: &str) -> Result<Self, SdpFault> {
        if text.len() > MAX_SDP_BYTES {
            return Err(SdpFault::TooLong(text.len()));
        }
        let mut reader = Reader::default();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
            reader.line(index + 1, line)?;
        }
        reader.finish()
    }

    /// The largest message the other side takes, clipped to what we ever send. Nothing said means 65 536, and so does 0 ("any size")
    /// for our purposes.
    pub(super) fn message_limit(&self) -> usize {
        let said = self.max_message_size.filter(|size| *size > 0);
        said.unwrap_or(MAX_SEND_MESSAGE_BYTES).min(MAX_SEND_MESSAGE_BYTES)
    }

    /// As in the line that tells it.
    pub(super) fn fingerprint_text(&self) -> String {
        let mut text = format!("{} ", self.fingerprint.hash_func);
        for (n, byte) in self.fingerprint.bytes.iter().enumerate() {
            push(&mut text, format_args!("{}{byte:02X}", if n == 0 { "" } else { ":" }));
        }
        text
    }

    pub(super) fn write(&self, origin: Origin) -> String {
        let mut out = String::with_capacity(1024);
        let Origin { id, version } = origin;
        push(&mut out, format_args!("v=0\r\no=- {id} {version} IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"));
        push(&mut out, format_args!("a=group:BUNDLE {}\r\n", self.mid));
        if self.ice_lite {
            out.push_str("a=ice-lite\r\n");
        }
        out.push_str("m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n");
        for candidate in &self.candidates {
            push(&mut out, format_args!("a={candidate}\r\n"));
        }
        let IceCreds { ufrag, pass } = &self.credentials;
        push(&mut out, format_args!("a=ice-ufrag:{ufrag}\r\na=ice-pwd:{pass}\r\na=ice-options:trickle\r\n"));
        push(&mut out, format_args!("a=fingerprint:{}\r\n", self.fingerprint_text()));
        push(&mut out, format_args!("a=setup:{}\r\na=mid:{}\r\n", self.setup.name(), self.mid));
        out.push_str("a=sctp-port:5000\r\n");
        if let Some(size) = self.max_message_size {
            push(&mut out, format_args!("a=max-message-size:{size}\r\n"));
        }
        if let Some(init) = &self.sctp_init {
            push(&mut out, format_args!("a=sctp-init:{init}\r\n"));
        }
        out
    }
}

impl<'a> Reader<'a> {
    fn line(&mut self, number: usize, line: &'a str) -> Result<(), SdpFault> {
        let malformed = |expected| {
            let secret = line.starts_with("a=ice-pwd");
            let text = if secret { "a=ice-pwd:…".to_owned() } else { line.chars().take(40).collect() };
            SdpFault::Malformed { line: number, text, expected }
        };
        if number == 1 && line != "v=0" {
            return Err(malformed("v=0, the first line of a description"));
        }
        let (kind, value) = line.split_once('=').filter(|(kind, _)| kind.len() == 1).unwrap_or_default();
        match kind {
            "a" => self.attribute(value).map_err(malformed),
            "m" if self.media.is_some() => Err(SdpFault::MediaLines(2)),
            "m" => {
                let mut fields = value.split(' ');
                let (media, port, protocol) = (fields.next(), fields.next(), fields.next());
                let is_data = matches!(protocol, Some("UDP/DTLS/SCTP" | "TCP/DTLS/SCTP" | "DTLS/SCTP"));
                if media != Some("application") || !is_data {
                    return Err(SdpFault::NotData { line: number, text: line.chars().take(40).collect() });
                }
                if port == Some("0") {
                    return Err(SdpFault::TurnedDown { line: number });
                }
                self.media = Some(Level::default());
                Ok(())
            }
            "" => Err(malformed("a letter, = and a value")),
            _ => Ok(()),
        }
    }

    /// Takes an `a=` line, or says what it should have been. Of two that say the same thing, the first counts.
    fn attribute(&mut self, attribute: &'a str) -> Result<(), &'static str> {
        let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        let in_media = self.media.is_some();
        let level = self.media.as_mut().unwrap_or(&mut self.session);
        match name {
            "ice-ufrag" => {
                let value = credential(value, 4).ok_or("an ICE user fragment of 4 to 256 characters")?;
                level.ufrag.get_or_insert(value);
            }
            "ice-pwd" => {
                let value = credential(value, 22).ok_or("an ICE password of 22 to 256 characters")?;
                level.password.get_or_insert(value);
            }
            "fingerprint" => {
                let value = fingerprint(value).ok_or("a hash function and a certificate's hash")?;
                let better = level.fingerprint.as_ref().is_none_or(|had| rank(&value) < rank(had));
                if better {
                    level.fingerprint = Some(value);
                }
            }
            "setup" => {
                let value = match value.trim() {
                    "actpass" => SetupRole::ActPass,
                    "active" => SetupRole::Active,
                    "passive" => SetupRole::Passive,
                    _ => return Err("actpass, active or passive"),
                };
                level.setup.get_or_insert(value);
            }
            "ice-lite" => self.ice_lite = true,
            "candidate" => self.candidates.push(attribute.to_owned()),
            "mid" if in_media => {
                let value = value.trim();
                if !(1..=MAX_MID_BYTES).contains(&value.len()) || !value.bytes().all(|b| b.is_ascii_graphic())
                {
                    return Err("a short identifier of the media section");
                }
                self.mid.get_or_insert(value);
            }
            "max-message-size" if in_media && self.max_message_size.is_none() => {
                self.max_message_size = value.trim().parse().ok();
            }
            "sctp-init" if in_media => {
                self.sctp_init.get_or_insert(value);
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(self) -> Result<Description, SdpFault> {
        let (session, media) = (self.session, self.media.ok_or(SdpFault::MediaLines(0))?);
        let ufrag = media.ufrag.or(session.ufrag).ok_or(SdpFault::Missing("a=ice-ufrag"))?;
        let pass = media.password.or(session.password).ok_or(SdpFault::Missing("a=ice-pwd"))?;
        let fingerprint = media.fingerprint.or(session.fingerprint);
        Ok(Description {
            mid: self.mid.unwrap_or(DEFAULT_MID).to_owned(),
            credentials: IceCreds { ufrag: ufrag.to_owned(), pass: pass.to_owned() },
            ice_lite: self.ice_lite,
            fingerprint: fingerprint.ok_or(SdpFault::Missing("a=fingerprint"))?,
            setup: media.setup.or(session.setup).unwrap_or(SetupRole::ActPass),
            max_message_size: self.max_message_size,
            sctp_init: self.sctp_init.map(str::to_owned),
            candidates: self.candidates,
        })
    }
}

/// RFC 8839 §5.4 allows letters, digits, `+` and `/`. What else is in use does no harm, but for the colon, which ends the name in checks.
fn credential(value: &str, least: usize) -> Option<&str> {
    let value = value.trim();
    let fits = (least..=256).contains(&value.len());
    (fits && value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':')).then_some(value)
}

/// `sha-256 AB:CD:…`; the names of hash functions are the same in upper and lower case (RFC 8122 §5).
fn fingerprint(value: &str) -> Option<Fingerprint> {
    let (hash_func, hex) = value.trim().split_once(' ')?;
    let byte = |pair: &str| {
        let digits = pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit());
        digits.then(|| u8::from_str_radix(pair, 16).ok())?
    };
    let bytes: Vec<_> = hex.trim().split(':').map(byte).collect::<Option<_>>()?;
    let hash_func = hash_func.to_ascii_lowercase();
    let len = match hash_func.as_str() {
        "sha-256" => 32,
        "sha-1" => 20,
        _ => bytes.len(),
    };
    (bytes.len() == len).then_some(Fingerprint { hash_func, bytes })
}

/// Which of several fingerprints is compared: the strongest that can be.
fn rank(fingerprint: &Fingerprint) -> u8 {
    match fingerprint.hash_func.as_str() {
        "sha-256" => 0,
        "sha-1" => 1,
        _ => 2,
    }
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a String takes everything");
}

#[cfg(test)]
mod tests;
