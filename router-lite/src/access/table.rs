//! The tokens a router knows.

use std::sync::Arc;

use thiserror::Error;

use super::{
    scope::TokenScope,
    token::{TOKEN_PREFIX, Token, TokenHash},
};
use crate::limits::{MAX_TOKEN_NAME_BYTES, MAX_TOKEN_SCOPES, MAX_TOKENS};

/// A token the router knows: what it is called, how it is recognised, what it allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessToken {
    name: String,
    hash: TokenHash,
    scopes: Arc<[TokenScope]>,
}

/// Every token a router knows; at most [`MAX_TOKENS`], each with a name of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenTable(Vec<AccessToken>);

/// Why a token was not taken into the table.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TokenTableError {
    /// There are as many as there may be.
    #[error("there are {MAX_TOKENS} tokens already, and no more may be")]
    Full,
    /// The name cannot be had.
    #[error(
        "name {0:?}: expected 1 to {MAX_TOKEN_NAME_BYTES} bytes of printable text, without blanks at its ends"
    )]
    Name(String),
    /// Somebody took the name for the secret.
    #[error("name: that looks like a token, which is a secret; call it after whoever is to have it")]
    NameIsSecret,
    /// Another token has the name.
    #[error("there is a token called {0:?} already")]
    NameTaken(String),
    /// It is there under another name.
    #[error("the token is known already, as {0:?}")]
    Known(String),
    /// It allows nothing, or too much.
    #[error("scopes: {0} of them, and 1 to {MAX_TOKEN_SCOPES} may be")]
    Scopes(usize),
}

impl AccessToken {
    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is kept of it.
    #[must_use]
    pub const fn hash(&self) -> &TokenHash {
        &self.hash
    }

    /// What it allows.
    #[must_use]
    pub fn scopes(&self) -> &[TokenScope] {
        &self.scopes
    }

    pub(super) fn shared_scopes(&self) -> Arc<[TokenScope]> {
        Arc::clone(&self.scopes)
    }
}

impl TokenTable {
    /// One without any.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a token.
    ///
    /// # Errors
    /// When the table is full, and when name or scopes are not what they may be.
    pub fn insert(
        &mut self,
        name: &str,
        hash: TokenHash,
        scopes: &[TokenScope],
    ) -> Result<&AccessToken, TokenTableError> {
        if name.is_empty()
            || name.len() > MAX_TOKEN_NAME_BYTES
            || name.trim() != name
            || name.chars().any(char::is_control)
        {
            return Err(TokenTableError::Name(name.chars().take(MAX_TOKEN_NAME_BYTES).collect()));
        }
        if name.starts_with(TOKEN_PREFIX) {
            return Err(TokenTableError::NameIsSecret);
        }
        if !(1..=MAX_TOKEN_SCOPES).contains(&scopes.len()) {
            return Err(TokenTableError::Scopes(scopes.len()));
        }
        if self.0.iter().any(|token| token.name == name) {
            return Err(TokenTableError::NameTaken(name.to_owned()));
        }
        if let Some(token) = self.find(&hash) {
            return Err(TokenTableError::Known(token.name.clone()));
        }
        if self.0.len() >= MAX_TOKENS {
            return Err(TokenTableError::Full);
        }
        let at = self.0.len();
        self.0.push(AccessToken { name: name.to_owned(), hash, scopes: scopes.into() });
        self.0.get(at).ok_or(TokenTableError::Full)
    }

    /// Takes out the token of this name.
    pub fn remove(&mut self, name: &str) -> Option<AccessToken> {
        let at = self.0.iter().position(|token| token.name == name)?;
        Some(self.0.remove(at))
    }

    /// Takes out the token with this hash.
    pub fn remove_hash(&mut self, hash: &TokenHash) -> Option<AccessToken> {
        let at = self.0.iter().position(|token| token.hash == *hash)?;
        Some(self.0.remove(at))
    }

    /// The tokens, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = &AccessToken> {
        self.0.iter()
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The token a client presents, if it is one of these.
    #[must_use]
    pub fn present(&self, token: &Token) -> Option<&AccessToken> {
        self.find(&token.hash())
    }

    /// The token with this hash.
    #[must_use]
    pub fn find(&self, hash: &TokenHash) -> Option<&AccessToken> {
        self.0.iter().find(|token| token.hash == *hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(number: u8) -> TokenHash {
        Token::new([number; 16]).hash()
    }

    fn scopes(count: usize) -> Vec<TokenScope> {
        (0..count).map(|_| "read:/a".parse().unwrap()).collect()
    }

    #[test]
    fn a_token_is_known_by_its_secret_until_it_is_taken_out() {
        let mut table = TokenTable::new();
        table.insert("display", hash(1), &scopes(2)).unwrap();
        table.insert("desk", hash(2), &scopes(1)).unwrap();
        let found = table.present(&Token::new([1; 16])).unwrap();
        assert_eq!((found.name(), found.scopes().len()), ("display", 2));
        assert_eq!(table.present(&Token::new([3; 16])), None);
        assert_eq!(table.remove("display").map(|token| token.hash), Some(hash(1)));
        assert_eq!((table.remove("display"), table.find(&hash(1)), table.len()), (None, None, 1));
        assert_eq!(table.remove_hash(&hash(1)), None);
        assert_eq!(table.remove_hash(&hash(2)).map(|token| token.name), Some("desk".to_owned()));
    }

    #[test]
    fn names_scopes_and_their_number_are_checked() {
        let mut table = TokenTable::new();
        table.insert("taken", hash(1), &scopes(1)).unwrap();
        let long = "x".repeat(MAX_TOKEN_NAME_BYTES + 1);
        for (name, number, count, says) in [
            ("", 2, 1, "name \"\": expected 1 to 63 bytes"),
            (" a", 2, 1, "name \" a\": expected"),
            ("a\n", 2, 1, "name \"a\\n\": expected"),
            (&long, 2, 1, "expected 1 to 63 bytes"),
            ("cpsk_00", 2, 1, "looks like a token"),
            ("a", 2, 0, "scopes: 0 of them, and 1 to 16 may be"),
            ("a", 2, MAX_TOKEN_SCOPES + 1, "scopes: 17 of them"),
            ("taken", 2, 1, "there is a token called \"taken\" already"),
            ("a", 1, 1, "known already, as \"taken\""),
        ] {
            let error = table.insert(name, hash(number), &scopes(count)).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        for number in 2..=u8::try_from(MAX_TOKENS).unwrap() {
            table.insert(&number.to_string(), hash(number), &scopes(MAX_TOKEN_SCOPES)).unwrap();
        }
        assert_eq!(table.insert("one more", hash(99), &scopes(1)), Err(TokenTableError::Full));
        assert_eq!(table.len(), MAX_TOKENS);
    }
}
