//! Which servers there are, and what they are told about us.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use crate::config::ConfigError;

/// The port of STUN and TURN over UDP (RFC 8489 §18.6).
pub const DEFAULT_STUN_PORT: u16 = 3478;

/// RFC 8489 §14.3 allows a user name of 508 bytes; a password is no longer in practice.
const MAX_CREDENTIAL_BYTES: usize = 508;

/// Longest name in the DNS (RFC 1035 §2.3.4).
const MAX_HOST_BYTES: usize = 253;

/// Where a server is: a name or an address, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    host: String,
    port: u16,
}

impl ServerAddress {
    /// The name, or the address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, [`DEFAULT_STUN_PORT`] if none was given.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for ServerAddress {
    type Err = String;

    /// Reads `HOST`, `HOST:PORT`, an IPv6 address, or `[IPV6]:PORT`.
    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("{text:?} is not HOST or HOST:PORT");
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, rest)) => (host, Some(rest.strip_prefix(':').ok_or_else(expected)?)),
            None => match text.split_once(':') {
                Some((host, port)) if !port.contains(':') => (host, Some(port)),
                Some(_) if text.parse::<Ipv6Addr>().is_err() => return Err(expected()),
                _ => (text, None),
            },
        };
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or_else(expected)?,
            None => DEFAULT_STUN_PORT,
        };
        let plausible = |c: char| c.is_ascii_alphanumeric() || "-._:%".contains(c);
        if host.is_empty() || host.len() > MAX_HOST_BYTES || !host.chars().all(plausible) {
            return Err(expected());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

/// Long-term credentials (RFC 8489 §9.2).
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) user: String,
    pub(super) password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<credentials>") // never in a log, not even the user's name
    }
}

/// A STUN or TURN server, spoken to over UDP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IceServer {
    address: ServerAddress,
    credentials: Option<Credentials>,
}

impl IceServer {
    /// A server that only tells us how we look from outside (RFC 8489).
    #[must_use]
    pub fn stun(address: ServerAddress) -> Self {
        Self { address, credentials: None }
    }

    /// A server that relays for us as well (RFC 8656).
    #[must_use]
    pub fn turn(address: ServerAddress, user: impl Into<String>, password: impl Into<String>) -> Self {
        Self { address, credentials: Some(Credentials { user: user.into(), password: password.into() }) }
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> &ServerAddress {
        &self.address
    }

    /// Whether it relays.
    #[must_use]
    pub fn is_turn(&self) -> bool {
        self.credentials.is_some()
    }

    pub(super) fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// Checks the credentials.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let Some(Credentials { user, password }) = &self.credentials else { return Ok(()) };
        let expected = "1 to 508 bytes";
        for (field, text) in [("turn_user", user), ("turn_password", password)] {
            if !(1..=MAX_CREDENTIAL_BYTES).contains(&text.len()) {
                return Err(ConfigError { field, value: format!("{} bytes long", text.len()), expected });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_every_form_are_read_and_written_the_same() {
        let cases = [
            ("stun.example.org", "stun.example.org", 3478, "stun.example.org:3478"),
            ("192.0.2.1:5000", "192.0.2.1", 5000, "192.0.2.1:5000"),
            ("[2001:db8::1]:5000", "2001:db8::1", 5000, "[2001:db8::1]:5000"),
            ("[2001:db8::1]", "2001:db8::1", 3478, "[2001:db8::1]:3478"),
            ("2001:db8::1", "2001:db8::1", 3478, "[2001:db8::1]:3478"),
        ];
        for (text, host, port, written) in cases {
            let address: ServerAddress = text.parse().unwrap();
            assert_eq!((address.host(), address.port()), (host, port), "{text}");
            assert_eq!(address.to_string(), written);
        }
        let bad = [
            "",
            ":3478",
            "host:",
            "host:0",
            "host:99999",
            "[::1",
            "[::1]3478",
            "stun:host:3478",
            "stun://host",
            "a b",
        ];
        for text in bad {
            assert!(text.parse::<ServerAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn credentials_are_checked_and_never_shown() {
        let at = || "192.0.2.1".parse::<ServerAddress>().unwrap();
        let server = IceServer::turn(at(), "alice", "open sesame");
        assert_eq!(server.check(), Ok(()));
        let shown = format!("{server:?}");
        assert!(!shown.contains("alice") && !shown.contains("sesame"), "{shown}");
        let long = "x".repeat(509);
        for (user, password, field) in
            [("", "p", "turn_user"), ("u", "", "turn_password"), ("u", long.as_str(), "turn_password")]
        {
            let error = IceServer::turn(at(), user, password).check().unwrap_err();
            assert_eq!(error.field, field);
            assert!(!error.to_string().contains("xx"), "{error}");
        }
    }
}
