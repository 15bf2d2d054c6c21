//! A token as clients send it in HELLO, and what the router keeps of it.

use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};
use thiserror::Error;

/// What every token begins with.
pub(crate) const TOKEN_PREFIX: &str = "cpsk_";

/// Hexadecimal digits of a token.
const DIGITS: usize = 32;

/// A token: `cpsk_` and 32 lower-case hexadecimal digits, as stock clients send it. 128 random bits: nobody guesses one, so
/// that wrong ones are counted and not made to wait.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(u128);

/// Something that is no token. It is not quoted: it may be most of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a token: one is `cpsk_` and 32 lower-case hexadecimal digits")]
pub struct TokenFormatError;

impl Token {
    /// The token of these bytes, which must come from the system's random source.
    #[must_use]
    pub const fn new(random: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(random))
    }

    /// The secret itself, for whoever is to have it.
    #[must_use]
    pub fn secret(&self) -> String {
        format!("{TOKEN_PREFIX}{:0DIGITS$x}", self.0)
    }

    /// What a router keeps: the SHA-256 of the token's text.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.secret()).into())
    }
}

impl FromStr for Token {
    type Err = TokenFormatError;

    fn from_str(text: &str) -> Result<Self, TokenFormatError> {
        let digits = text.strip_prefix(TOKEN_PREFIX).ok_or(TokenFormatError)?;
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if digits.len() != DIGITS || !digits.bytes().all(is_digit) {
            return Err(TokenFormatError);
        }
        u128::from_str_radix(digits, 16).map(Self).map_err(|_| TokenFormatError)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(<secret>)")
    }
}

/// What a router keeps of a token. Whoever reads it cannot present it: nobody finds 128 random bits by their SHA-256.
///
/// For the same reason it may be compared in whatever time that takes: who sends tokens does not choose their hashes, and
/// how much of one was right tells nothing about the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// A hash that was kept.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// To keep it.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_written_as_stock_clients_send_it_and_hashed_as_anybody_can_check() {
        let token = Token::new([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xFF]);
        assert_eq!(token.secret(), "cpsk_000102030405060708090a0b0c0d0eff");
        assert_eq!(token.secret().parse(), Ok(token.clone()));
        // printf cpsk_000102030405060708090a0b0c0d0eff | sha256sum
        let hash: String = token.hash().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash, "bd1ebe780100645543e0eaebd03ca3f6571d6567ab48de5ea18358801a8ee05c");
        assert!(!format!("{token:?}").contains("0102"));
    }

    #[test]
    fn anything_else_is_no_token() {
        for text in [
            "",
            "cpsk_",
            "cpsk_000102030405060708090a0b0c0d0ef",
            "cpsk_000102030405060708090a0b0c0d0efff",
            "cpsk_000102030405060708090A0B0C0D0EFF",
            "cpsk_+00102030405060708090a0b0c0d0eff",
            "CPSK_000102030405060708090a0b0c0d0eff",
            "000102030405060708090a0b0c0d0eff",
            " cpsk_000102030405060708090a0b0c0d0eff",
        ] {
            assert_eq!(text.parse::<Token>(), Err(TokenFormatError), "{text:?}");
        }
    }
}
