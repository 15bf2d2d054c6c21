//! The node's configuration: raw values in, checked values out.

use std::fmt;
use std::time::Duration;

use crate::ice_servers::IceServer;
use crate::limits::{
    MAX_ICE_SERVERS, MAX_OFFERS_IN_PROGRESS, MAX_PEERS, OFFERS_PER_SECOND, SCTP_SEND_BUFFER_BYTES,
};

/// A value out of its range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}, expected {expected}")]
pub struct ConfigError {
    /// The field's name.
    pub field: &'static str,
    /// What it was.
    pub value: String,
    /// What it may be.
    pub expected: &'static str,
}

/// Which ways the messages of a link may take. The names are those of the protocol's routing modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RoutingMode {
    /// Direct where a path opens, and through the router where none does, which can read them unless the two devices are paired.
    #[default]
    PreferP2p,
    /// Direct and no other way: what is sent waits while there is no path.
    P2pOnly,
    /// Always through the router.
    RelayOnly,
}

impl RoutingMode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::PreferP2p, Self::P2pOnly, Self::RelayOnly];

    /// Its name, on the wire and for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PreferP2p => "prefer-p2p",
            Self::P2pOnly => "p2p-only",
            Self::RelayOnly => "relay-only",
        }
    }

    /// Whether messages may go through the router.
    pub(crate) const fn relays(self) -> bool {
        !matches!(self, Self::P2pOnly)
    }

    /// Whether direct paths are looked for.
    pub(crate) const fn connects(self) -> bool {
        !matches!(self, Self::RelayOnly)
    }
}

impl std::fmt::Display for RoutingMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for RoutingMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|mode| mode.name() == text);
        found.ok_or_else(|| format!("{text:?} is not a routing mode: prefer-p2p, p2p-only, relay-only"))
    }
}

/// Whose offers are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Trust {
    /// Everybody's who can reach a router of the node: for labs, and for stock peers. Paired devices still prove who they are.
    Open,
    /// Paired devices' only.
    #[default]
    Paired,
}

impl Trust {
    /// Its name, for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Paired => "paired",
        }
    }
}

impl std::fmt::Display for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Trust {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = [Self::Open, Self::Paired].into_iter().find(|trust| trust.name() == text);
        found.ok_or_else(|| format!("{text:?} is neither open nor paired"))
    }
}

/// How a node behaves. Defaults are listed on each field.
#[derive(Clone)]
pub struct NodeConfig {
    /// The name announced to peers, 1 to 63 bytes. Default `clasp-node`.
    pub name: String,
    /// Access token for the routers, all but the one inside the node. Default none.
    pub token: String,
    /// Whether the node connects to its paired devices by itself, through routers they share and through their own routers. Default
    /// false: for nodes that stay.
    pub resident: bool,
    /// How long a link may take to open, 100 ms to 120 s. Default 10 s.
    pub connect_timeout: Duration,
    /// How often a session signals to itself so that a stock router (which forgets silent sessions after 300 s) keeps it,
    /// 100 ms to 10 min. Default 60 s.
    pub keep_alive: Duration,
    /// Links at once, 1 to [`MAX_PEERS`]. Default [`MAX_PEERS`].
    pub max_peers: usize,
    /// Links connecting at once, 1 to [`MAX_OFFERS_IN_PROGRESS`]. Default [`MAX_OFFERS_IN_PROGRESS`].
    pub max_offers_in_progress: usize,
    /// Offers of peers taken per second, on average, 1 to 1000; [`MAX_OFFERS_IN_PROGRESS`] may come in one burst. Default
    /// [`OFFERS_PER_SECOND`].
    pub offers_per_second: u32,
    /// Which ways messages may take. Default [`RoutingMode::PreferP2p`].
    pub routing: RoutingMode,
    /// Whose offers are taken. Default [`Trust::Paired`].
    pub trust: Trust,
    /// Bytes in flight per link, 64 KiB to 1 MiB. Default [`SCTP_SEND_BUFFER_BYTES`].
    pub send_buffer_bytes: usize,
    /// STUN and TURN servers, at most [`MAX_ICE_SERVERS`]. Default none: nobody outside is asked anything.
    pub ice_servers: Vec<IceServer>,
    /// Whether peers are told relayed addresses only, so that they do not learn ours. Needs a TURN server. Default no.
    pub turn_only: bool,
}

impl NodeConfig {
    /// The defaults, but for [`Trust::Open`]: for labs, tests, and stock peers.
    #[must_use]
    pub fn open() -> Self {
        Self { trust: Trust::Open, ..Self::default() }
    }
}

impl fmt::Debug for NodeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The token is a secret.
        let Self { name, token: _, connect_timeout, keep_alive, max_peers, max_offers_in_progress, .. } =
            self;
        let Self {
            offers_per_second,
            routing,
            trust,
            resident,
            send_buffer_bytes,
            ice_servers,
            turn_only,
            ..
        } = self;
        f.debug_struct("NodeConfig")
            .field("name", name)
            .field("connect_timeout", connect_timeout)
            .field("keep_alive", keep_alive)
            .field("max_peers", max_peers)
            .field("max_offers_in_progress", max_offers_in_progress)
            .field("offers_per_second", offers_per_second)
            .field("routing", routing)
            .field("trust", trust)
            .field("resident", resident)
            .field("send_buffer_bytes", send_buffer_bytes)
            .field("ice_servers", ice_servers)
            .field("turn_only", turn_only)
            .finish_non_exhaustive()
    }
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            name: "clasp-node".to_owned(),
            token: String::new(),
            connect_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(60),
            resident: false,
            max_peers: MAX_PEERS,
            max_offers_in_progress: MAX_OFFERS_IN_PROGRESS,
            offers_per_second: OFFERS_PER_SECOND,
            routing: RoutingMode::default(),
            trust: Trust::default(),
            send_buffer_bytes: SCTP_SEND_BUFFER_BYTES,
            ice_servers: Vec::new(),
            turn_only: false,
        }
    }
}

impl NodeConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field out of its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        let within = |ok: bool, field, value: String, expected| {
            if ok { Ok(()) } else { Err(ConfigError { field, value, expected }) }
        };
        within((1..=63).contains(&self.name.len()), "name", format!("{:?}", self.name), "1 to 63 bytes")?;
        within(
            (Duration::from_millis(100)..=Duration::from_secs(120)).contains(&self.connect_timeout),
            "connect_timeout",
            format!("{:?}", self.connect_timeout),
            "100 ms to 120 s",
        )?;
        within(
            (Duration::from_millis(100)..=Duration::from_secs(600)).contains(&self.keep_alive),
            "keep_alive",
            format!("{:?}", self.keep_alive),
            "100 ms to 600 s",
        )?;
        within(
            (1..=MAX_PEERS).contains(&self.max_peers),
            "max_peers",
            self.max_peers.to_string(),
            "1 to 16",
        )?;
        within(
            (1..=MAX_OFFERS_IN_PROGRESS).contains(&self.max_offers_in_progress),
            "max_offers_in_progress",
            self.max_offers_in_progress.to_string(),
            "1 to 8",
        )?;
        within(
            (1..=1000).contains(&self.offers_per_second),
            "offers_per_second",
            self.offers_per_second.to_string(),
            "1 to 1000",
        )?;
        within(
            (64 * 1024..=1024 * 1024).contains(&self.send_buffer_bytes),
            "send_buffer_bytes",
            self.send_buffer_bytes.to_string(),
            "65536 to 1048576",
        )?;
        let (servers, turn) = (self.ice_servers.len(), self.ice_servers.iter().any(IceServer::is_turn));
        within(servers <= MAX_ICE_SERVERS, "ice_servers", servers.to_string(), "at most 4 servers")?;
        within(turn || !self.turn_only, "turn_only", self.turn_only.to_string(), "no without a TURN server")?;
        self.ice_servers.iter().try_for_each(IceServer::check)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_not_shown_with_the_rest() {
        let config = NodeConfig { token: "cpsk_0011".to_owned(), ..NodeConfig::default() };
        let shown = format!("{config:?}");
        assert!(shown.contains("turn_only") && !shown.contains("0011"), "{shown}");
    }

    #[test]
    fn the_defaults_are_valid_and_every_field_is_checked() {
        let valid = NodeConfig::default();
        assert_eq!(valid.check(), Ok(()));
        type Broken = (&'static str, fn(&mut NodeConfig));
        let broken: [Broken; 9] = [
            ("name", |c| c.name.clear()),
            ("connect_timeout", |c| c.connect_timeout = Duration::ZERO),
            ("keep_alive", |c| c.keep_alive = Duration::from_secs(601)),
            ("max_peers", |c| c.max_peers = 17),
            ("max_offers_in_progress", |c| c.max_offers_in_progress = 0),
            ("offers_per_second", |c| c.offers_per_second = 0),
            ("send_buffer_bytes", |c| c.send_buffer_bytes = 1),
            ("ice_servers", |c| c.ice_servers = vec![IceServer::stun("192.0.2.1".parse().unwrap()); 5]),
            ("turn_only", |c| c.turn_only = true),
        ];
        for (field, breaks) in broken {
            let mut config = valid.clone();
            breaks(&mut config);
            assert_eq!(config.check().map_err(|e| e.field), Err(field));
        }
        assert_eq!(MAX_PEERS, 16, "the text of max_peers' range");
        assert_eq!(MAX_ICE_SERVERS, 4, "the text of ice_servers' range");
        assert_eq!(MAX_OFFERS_IN_PROGRESS, 8, "the text of max_offers_in_progress' range");
    }
}
