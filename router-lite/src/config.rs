//! What the operator may set. A [`Config`] in hand is a checked one: every setter refuses what is out of range and
//! says which field, which value and what is allowed.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
    time::Duration,
};

use thiserror::Error;

use crate::limits;

/// Settings of a router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    name: String,
    bind: Vec<SocketAddr>,
    max_sessions: usize,
    rate: u32,
    remote: RemoteAccess,
    hello_timeout: Duration,
    ping_interval: Duration,
    stall_timeout: Duration,
}

/// What sessions from other machines may do, and web pages that come from other machines. Other sessions from this
/// machine may do everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RemoteAccess {
    /// Only find each other and exchange P2P signals (`/clasp/p2p/…`).
    #[default]
    Signaling,
    /// Everything; the metrics are told to them, too.
    Full,
}

/// A setting is out of range.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{field}: {value} is not allowed, expected {expected}")]
pub struct ConfigError {
    /// The field, spelled as its flag without the dashes.
    pub field: &'static str,
    /// The value refused.
    pub value: String,
    /// What is allowed.
    pub expected: String,
}

/// The port CLASP routers listen on.
pub const DEFAULT_PORT: u16 = 7330;

/// Most addresses one router listens on.
const MAX_BIND: usize = 8;

impl Default for Config {
    /// Listens on every interface, IPv6 and IPv4; the limits of [`limits`]; strangers may only signal.
    fn default() -> Self {
        Self {
            name: "CLASP router-lite".to_owned(),
            bind: vec![SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), DEFAULT_PORT)],
            max_sessions: limits::MAX_SESSIONS,
            rate: limits::RATE,
            remote: RemoteAccess::default(),
            hello_timeout: limits::HELLO_TIMEOUT,
            ping_interval: limits::PING_INTERVAL,
            stall_timeout: limits::STALL_TIMEOUT,
        }
    }
}

impl Config {
    /// The name in every WELCOME: 1 to 128 bytes of text without control characters.
    pub fn with_name(mut self, name: &str) -> Result<Self, ConfigError> {
        if name.is_empty() || name.len() > limits::MAX_NAME_BYTES || name.chars().any(char::is_control) {
            let expected = format!("1 to {} bytes of printable text", limits::MAX_NAME_BYTES);
            return Err(ConfigError { field: "name", value: format!("{name:?}"), expected });
        }
        self.name = name.to_owned();
        Ok(self)
    }

    /// The addresses to listen on: 1 to 8 of them, ports may be 0 (the system chooses).
    ///
    /// `[::]` also takes IPv4 connections; where there is no IPv6 it means `0.0.0.0`.
    pub fn with_bind(mut self, addresses: &[SocketAddr]) -> Result<Self, ConfigError> {
        within("bind", addresses.len(), &(1..=MAX_BIND))?;
        self.bind = addresses.to_vec();
        Ok(self)
    }

    /// How many sessions at a time, 1 to 65 536.
    pub fn with_max_sessions(mut self, sessions: usize) -> Result<Self, ConfigError> {
        within("max-sessions", sessions, &limits::MAX_SESSIONS_RANGE)?;
        self.max_sessions = sessions;
        Ok(self)
    }

    /// Messages a second from one session, 0 (no limit) to 1 000 000.
    pub fn with_rate(mut self, per_second: u32) -> Result<Self, ConfigError> {
        within("rate", per_second, &limits::RATE_RANGE)?;
        self.rate = per_second;
        Ok(self)
    }

    /// What sessions from other machines may do.
    #[must_use]
    pub fn with_remote(mut self, access: RemoteAccess) -> Self {
        self.remote = access;
        self
    }

    /// From connection to HELLO, 10 ms to 60 s.
    pub fn with_hello_timeout(mut self, timeout: Duration) -> Result<Self, ConfigError> {
        within_time("hello-timeout", timeout, &limits::HELLO_TIMEOUT_RANGE)?;
        self.hello_timeout = timeout;
        Ok(self)
    }

    /// Silence before a WebSocket ping, 10 ms to 600 s.
    pub fn with_ping_interval(mut self, interval: Duration) -> Result<Self, ConfigError> {
        within_time("ping-interval", interval, &limits::PING_INTERVAL_RANGE)?;
        self.ping_interval = interval;
        Ok(self)
    }

    /// How long a socket may take nothing of what waits for it, 10 ms to 600 s.
    pub fn with_stall_timeout(mut self, timeout: Duration) -> Result<Self, ConfigError> {
        within_time("stall-timeout", timeout, &limits::STALL_TIMEOUT_RANGE)?;
        self.stall_timeout = timeout;
        Ok(self)
    }

    /// See [`Config::with_name`].
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// See [`Config::with_bind`].
    #[must_use]
    pub fn bind(&self) -> &[SocketAddr] {
        &self.bind
    }

    /// See [`Config::with_max_sessions`].
    #[must_use]
    pub const fn max_sessions(&self) -> usize {
        self.max_sessions
    }

    /// See [`Config::with_rate`].
    #[must_use]
    pub const fn rate(&self) -> u32 {
        self.rate
    }

    /// See [`Config::with_remote`].
    #[must_use]
    pub const fn remote(&self) -> RemoteAccess {
        self.remote
    }

    /// See [`Config::with_hello_timeout`].
    #[must_use]
    pub const fn hello_timeout(&self) -> Duration {
        self.hello_timeout
    }

    /// See [`Config::with_ping_interval`].
    #[must_use]
    pub const fn ping_interval(&self) -> Duration {
        self.ping_interval
    }

    /// See [`Config::with_stall_timeout`].
    #[must_use]
    pub const fn stall_timeout(&self) -> Duration {
        self.stall_timeout
    }
}

impl fmt::Display for RemoteAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signaling => "signaling",
            Self::Full => "full",
        })
    }
}

impl FromStr for RemoteAccess {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        match text {
            "signaling" => Ok(Self::Signaling),
            "full" => Ok(Self::Full),
            _ => Err(ConfigError {
                field: "remote",
                value: text.to_owned(),
                expected: "`signaling` or `full`".to_owned(),
            }),
        }
    }
}

fn within<T: PartialOrd + fmt::Display>(
    field: &'static str,
    value: T,
    range: &std::ops::RangeInclusive<T>,
) -> Result<(), ConfigError> {
    if range.contains(&value) {
        return Ok(());
    }
    let expected = format!("{} to {}", range.start(), range.end());
    Err(ConfigError { field, value: value.to_string(), expected })
}

fn within_time(
    field: &'static str,
    value: Duration,
    range: &std::ops::RangeInclusive<Duration>,
) -> Result<(), ConfigError> {
    if range.contains(&value) {
        return Ok(());
    }
    let expected = format!("{:?} to {:?}", range.start(), range.end());
    Err(ConfigError { field, value: format!("{value:?}"), expected })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_setting_names_field_value_and_range() {
        let error = Config::default().with_max_sessions(0).unwrap_err();
        assert_eq!(error.to_string(), "max-sessions: 0 is not allowed, expected 1 to 65536");
        let error = Config::default().with_hello_timeout(Duration::from_secs(61)).unwrap_err();
        assert_eq!(error.to_string(), "hello-timeout: 61s is not allowed, expected 10ms to 60s");
        let error = "some".parse::<RemoteAccess>().unwrap_err();
        assert_eq!(error.to_string(), "remote: some is not allowed, expected `signaling` or `full`");
    }

    #[test]
    fn the_name_must_fit_and_print() {
        assert!(Config::default().with_name("").is_err());
        assert!(Config::default().with_name("a\nb").is_err());
        assert!(Config::default().with_name(&"x".repeat(limits::MAX_NAME_BYTES + 1)).is_err());
        assert_eq!(Config::default().with_name("hall").map(|c| c.name), Ok("hall".to_owned()));
    }

    #[test]
    fn the_defaults_are_within_their_ranges() {
        let config = Config::default();
        let again = Config::default()
            .with_name(config.name())
            .and_then(|c| c.with_bind(config.bind()))
            .and_then(|c| c.with_max_sessions(config.max_sessions()))
            .and_then(|c| c.with_rate(config.rate()))
            .and_then(|c| c.with_hello_timeout(config.hello_timeout()))
            .and_then(|c| c.with_ping_interval(config.ping_interval()))
            .and_then(|c| c.with_stall_timeout(config.stall_timeout()));
        assert_eq!(again, Ok(config));
    }
}
