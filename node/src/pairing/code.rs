//! What a person carries from one device to the other: eight digits, or a picture.

use std::time::{Duration, Instant};

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use rand::{Rng, RngExt};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::identity::{DeviceId, Identity};

/// Codes there are: eight digits, 26.6 bits.
const CODES: u32 = 100_000_000;

/// What both kinds of secret are prefixed with to make the password of SPAKE2.
const LABEL: &[u8] = b"clasp-pair-v1";

/// A text that is no code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a code has 8 digits, as in 1234-5678")]
pub struct CodeError;

/// Eight digits. Never logged, never stored, overwritten when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Code(u32);

impl Code {
    /// Draws one.
    #[must_use]
    pub fn draw(rng: &mut impl Rng) -> Self {
        Self(rng.random_range(0..CODES))
    }

    /// One of few: to find out how often guesses are right without guessing a hundred million times.
    #[cfg(test)]
    pub(super) fn numbered(number: u32) -> Self {
        Self(number)
    }

    /// As it is shown: `1234-5678`.
    #[must_use]
    pub fn show(&self) -> String {
        format!("{:04}-{:04}", self.0 / 10_000, self.0 % 10_000)
    }
}

impl std::str::FromStr for Code {
    type Err = CodeError;

    /// Spaces and dashes do not matter.
    fn from_str(text: &str) -> Result<Self, CodeError> {
        let digits = || text.chars().filter(|c| !c.is_whitespace() && *c != '-');
        if digits().count() != 8 || text.len() > 64 {
            return Err(CodeError);
        }
        let add = |number: u32, c: char| Some(number * 10 + c.to_digit(10)?);
        digits().try_fold(0, add).map(Self).ok_or(CodeError)
    }
}

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Code(…)")
    }
}

/// What a QR code carries instead: 128 bits.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct QrSecret([u8; 16]);

impl std::fmt::Debug for QrSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("QrSecret(…)")
    }
}

impl QrSecret {
    pub(super) fn draw(rng: &mut impl Rng) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    fn show(&self) -> String {
        BASE32_NOPAD.encode(&self.0).to_ascii_lowercase()
    }
}

/// What the initiator was told.
#[derive(Debug, Clone)]
pub enum Known {
    /// The digits.
    Code(Code),
    /// What was in the picture.
    Qr(QrSecret),
}

impl Known {
    /// The password of SPAKE2.
    pub(super) fn password(&self) -> spake2::Password {
        spake2::Password::new(match self {
            Self::Code(code) => [LABEL, format!("{:08}", code.0).as_bytes()].concat(),
            Self::Qr(secret) => [LABEL, secret.show().as_bytes()].concat(),
        })
    }

    pub(super) fn is_scanned(&self) -> bool {
        matches!(self, Self::Qr(_))
    }

    /// What somebody typed: a code, or the text of a QR code, which names the device as well.
    ///
    /// # Errors
    /// [`CodeError`] when it is neither.
    pub fn read(text: &str) -> Result<(Self, Option<DeviceId>), CodeError> {
        let Some(fields) = text.trim().strip_prefix("clasp:pair?") else {
            return Ok((Self::Code(text.parse()?), None));
        };
        let field =
            |name: &str| fields.split('&').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        let (Some("1"), Some(id), Some(secret)) = (field("v"), field("id"), field("k")) else {
            return Err(CodeError);
        };
        let secret = secret.to_ascii_uppercase();
        let secret = BASE32_NOPAD.decode(secret.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        let id = id.parse().map_err(|_| CodeError)?;
        Ok((Self::Qr(QrSecret(secret.ok_or(CodeError)?)), Some(id)))
    }
}

/// What an open window shows.
#[derive(Debug, Clone)]
pub struct Invitation {
    /// The digits.
    pub code: Code,
    /// What the QR code carries.
    pub secret: QrSecret,
    /// When the window closes.
    pub until: Instant,
    /// How long it was opened for.
    pub lasts: Duration,
}

impl Invitation {
    /// The text of the QR code.
    #[must_use]
    pub fn qr_text(&self, identity: &Identity) -> String {
        let (id, fingerprint) = (identity.id(), HEXLOWER.encode(identity.fingerprint()));
        format!("clasp:pair?v=1&id={id}&fp={fingerprint}&k={}", self.secret.show())
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn a_code_is_read_however_it_is_spelled_and_nothing_else_is() {
        let shown = Code(12_345_678).show();
        assert_eq!(shown, "1234-5678");
        for text in ["1234-5678", "12345678", " 1234 5678\n", "1-2-3-4-5-6-7-8"] {
            assert_eq!(text.parse::<Code>().map(|code| code.0), Ok(12_345_678), "{text}");
        }
        assert_eq!("0000-0042".parse::<Code>().map(|code| code.0), Ok(42));
        assert_eq!(Code(42).show(), "0000-0042");
        for text in ["", "1234567", "123456789", "1234-567a", "١٢٣٤٥٦٧٨", "-12345678-x", &" ".repeat(99)]
        {
            assert_eq!(text.parse::<Code>().map(|code| code.0), Err(CodeError), "{text}");
        }
    }

    #[test]
    fn codes_are_drawn_from_all_there_are() {
        let mut rng = StdRng::from_seed([1; 32]);
        let drawn: Vec<u32> = (0..10_000).map(|_| Code::draw(&mut rng).0).collect();
        assert!(drawn.iter().all(|code| *code < CODES));
        let in_tenth = |tenth: u32| drawn.iter().filter(|code| **code / (CODES / 10) == tenth).count();
        assert!((0..10).all(|tenth| (800..1200).contains(&in_tenth(tenth))), "about as many everywhere");
    }

    #[test]
    fn a_qr_code_carries_its_secret_and_the_device() {
        let mut rng = StdRng::from_seed([2; 32]);
        let identity = Identity::generate(&mut rng).unwrap();
        let (code, secret) = (Code::draw(&mut rng), QrSecret::draw(&mut rng));
        let lasts = Duration::from_secs(1);
        let invitation = Invitation { code, secret, until: crate::clock_for_tests::start(), lasts };
        let text = invitation.qr_text(&identity);
        let (known, device) = Known::read(&text).unwrap();
        assert_eq!(device, Some(identity.id()));
        assert_eq!(*known.password(), *Known::Qr(invitation.secret.clone()).password());
        assert_ne!(*known.password(), *Known::Code(invitation.code.clone()).password());
        for broken in
            ["clasp:pair?v=2", &text.replace("v=1", "v=2"), &text.replace("&k=", "&k=1"), &text[..50]]
        {
            assert!(Known::read(broken).is_err(), "{broken}");
        }
        assert!(!format!("{invitation:?}{known:?}").contains(&invitation.secret.show()));
    }
}
