//! What a token allows where.

use std::{fmt, str::FromStr};

use clasp_wire::Pattern;
use thiserror::Error;

/// What a scope allows at the addresses of its pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// GET, SUBSCRIBE, QUERY and SNAPSHOT.
    Read,
    /// SET, PUBLISH, BUNDLE and ANNOUNCE, and reading.
    Write,
    /// Everything there is at an address: at present what [`Action::Write`] allows.
    Admin,
}

/// One thing a token allows, written `action:pattern` as in `read:/pub/**`. Actions are `read` or `r`, `write` or `w`, and
/// `admin`, `a` or `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenScope {
    action: Action,
    pattern: Pattern,
}

/// A text that is no scope, and which part of it is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("scope {scope:?}: {why}")]
pub struct ScopeError {
    /// The scope.
    pub scope: String,
    /// Which part of it is wrong, and how.
    pub why: String,
}

impl TokenScope {
    /// What is allowed.
    #[must_use]
    pub const fn action(&self) -> Action {
        self.action
    }

    /// Where.
    #[must_use]
    pub const fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// Reads one scope, or several separated by commas.
    ///
    /// # Errors
    /// For the first that is wrong.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, ScopeError> {
        text.split(',').map(|scope| scope.trim().parse()).collect()
    }

    pub(super) fn reads(&self, address: &str) -> bool {
        // Every action includes reading.
        self.pattern.matches(address)
    }

    pub(super) fn reads_all_of(&self, pattern: &Pattern) -> bool {
        self.pattern.contains(pattern)
    }

    pub(super) fn writes(&self, address: &str) -> bool {
        self.action >= Action::Write && self.pattern.matches(address)
    }
}

impl FromStr for TokenScope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let wrong = |why: String| ScopeError { scope: text.to_owned(), why };
        let Some((action, pattern)) = text.split_once(':') else {
            return Err(wrong("has no `:`; expected `action:pattern`, as in `read:/pub/**`".to_owned()));
        };
        let action = match action {
            "read" | "r" => Action::Read,
            "write" | "w" => Action::Write,
            "admin" | "a" | "*" => Action::Admin,
            other => return Err(wrong(format!("action {other:?} is none of `read`, `write`, `admin`"))),
        };
        let pattern = Pattern::parse(pattern).map_err(|error| wrong(format!("pattern: {error}")))?;
        Ok(Self { action, pattern })
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        })
    }
}

impl fmt::Display for TokenScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.action, self.pattern)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_read_in_every_spelling_and_written_in_one() {
        for (text, want) in [
            ("read:/pub/**", "read:/pub/**"),
            ("r:/a", "read:/a"),
            ("w:/a:b", "write:/a:b"),
            ("write:/*", "write:/*"),
            ("*:/**", "admin:/**"),
            ("a:/zone5*", "admin:/zone5*"),
            ("admin:/", "admin:/"),
        ] {
            assert_eq!(text.parse().map(|scope: TokenScope| scope.to_string()).as_deref(), Ok(want));
        }
        let several = TokenScope::parse_list("read:/a, w:/b").map(|scopes| scopes.len());
        assert_eq!(several, Ok(2));
    }

    #[test]
    fn what_is_wrong_with_a_scope_is_told_by_its_part() {
        for (text, why) in [
            ("", "scope \"\": has no `:`; expected `action:pattern`, as in `read:/pub/**`"),
            ("/pub/**", "scope \"/pub/**\": has no `:`; expected `action:pattern`, as in `read:/pub/**`"),
            ("red:/a", "scope \"red:/a\": action \"red\" is none of `read`, `write`, `admin`"),
            (":/a", "scope \":/a\": action \"\" is none of `read`, `write`, `admin`"),
            ("Read:/a", "scope \"Read:/a\": action \"Read\" is none of `read`, `write`, `admin`"),
            ("read:", "scope \"read:\": pattern: invalid address: empty address"),
            ("read:**", "scope \"read:**\": pattern: invalid address: address must start with '/': **"),
            ("r:/a//b", "scope \"r:/a//b\": pattern: invalid address: empty segment in address: /a//b"),
        ] {
            assert_eq!(text.parse::<TokenScope>().unwrap_err().to_string(), why);
        }
        assert_eq!(TokenScope::parse_list("r:/a,").unwrap_err().scope, "");
        let long = format!("read:/{}", "x".repeat(clasp_wire::limits::MAX_ADDRESS_BYTES));
        assert!(long.parse::<TokenScope>().unwrap_err().why.starts_with("pattern: "));
    }
}
