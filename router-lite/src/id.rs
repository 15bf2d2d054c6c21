//! Who is who: connections as the driver numbers them, sessions as clients see them.

use std::fmt;

use rand::{Rng, rngs::StdRng};

/// One connection, from accept to the last byte. Chosen by the driver, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(u64);

impl ConnectionId {
    /// The driver's number for a connection.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number it was made from.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// One session: a random UUID (version 4), written in lower case with hyphens as the stock router does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SessionId(u128);

/// A written session id.
pub(crate) type SessionText = heapless::String<SESSION_ID_LEN>;

/// Characters of a written session id.
const SESSION_ID_LEN: usize = 36;

/// Digits between the hyphens.
const PARTS: [usize; 5] = [8, 4, 4, 4, 12];

impl SessionId {
    pub(crate) fn random(rng: &mut StdRng) -> Self {
        let raw = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
        let version = (raw & !(0xF << 76)) | 0x4 << 76;
        Self((version & !(0x3 << 62)) | 0x2 << 62)
    }

    /// Reads exactly the form that [`SessionId::text`] writes: another spelling is another session, which does not exist.
    pub(crate) fn from_wire(text: &str) -> Option<Self> {
        if text.len() != SESSION_ID_LEN {
            return None;
        }
        let mut raw = 0u128;
        for (at, part) in text.split('-').enumerate() {
            if PARTS.get(at) != Some(&part.len()) {
                return None;
            }
            let digits = part.bytes().try_fold(0u64, |digits, byte| match byte {
                b'0'..=b'9' => Some(digits << 4 | u64::from(byte - b'0')),
                b'a'..=b'f' => Some(digits << 4 | u64::from(byte - b'a' + 10)),
                _ => None,
            });
            raw = raw << (4 * part.len()) | u128::from(digits?);
        }
        Some(Self(raw))
    }

    /// The written form.
    pub(crate) fn text(self) -> SessionText {
        let mut text = SessionText::new();
        let mut shift = 128;
        for (at, len) in PARTS.into_iter().enumerate() {
            if at > 0 {
                text.push('-').expect("36 characters fit 36 bytes");
            }
            for _ in 0..len {
                shift -= 4;
                let digit = char::from_digit((self.0 >> shift) as u32 & 0xF, 16).unwrap_or('0');
                text.push(digit).expect("36 characters fit 36 bytes");
            }
        }
        text
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_session_id_is_a_lower_case_uuid_of_version_4() {
        let mut rng = StdRng::from_seed([7; 32]);
        for _ in 0..1000 {
            let id = SessionId::random(&mut rng);
            let text = id.text();
            let b = text.as_bytes();
            assert_eq!((b[8], b[13], b[18], b[23], b[14]), (b'-', b'-', b'-', b'-', b'4'), "{text}");
            assert!(matches!(b[19], b'8' | b'9' | b'a' | b'b'), "{text}");
            assert!(
                text.chars().all(|c| c == '-' || c.is_ascii_digit() || ('a'..='f').contains(&c)),
                "{text}"
            );
            assert_eq!(SessionId::from_wire(&text), Some(id));
        }
    }

    #[test]
    fn another_spelling_of_an_id_is_not_that_id() {
        let text = SessionId(0x0123_4567_89ab_4def_8123_4567_89ab_cdef).text();
        assert_eq!(text, "01234567-89ab-4def-8123-456789abcdef");
        for other in
            [text.to_uppercase(), text.replace('-', ""), text.replacen('-', "0", 1), format!("{text} ")]
        {
            assert_eq!(SessionId::from_wire(&other), None, "{other}");
        }
        for odd in ["0123456789ab-4def-8123-456789abcdef-", "01234567-89ab-4def-8123-456789ab-def"] {
            assert_eq!(SessionId::from_wire(odd), None, "{odd}");
        }
        assert_eq!(SessionId::from_wire(&"é".repeat(18)), None);
    }
}
