//! How a node is put together: from its configuration, who it is, and whom it is paired with.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use router_lite::exposition::Histogram;

use super::bucket::Bucket;
use super::early::EarlyCandidates;
use super::history::History;
use super::pairing::Pairing;
use super::reunion::Reunion;
use super::roster::Roster;
use super::trust::Heard;
use super::{Bursts, Counters, Local, Node, ROUND_TRIP_SECONDS, Router};
use crate::auth::Nonce;
use crate::config::{ConfigError, NodeConfig};
use crate::event::RouterId;
use crate::ice_servers::IceServers;
use crate::identity::Identity;
use crate::limits::{MAX_ROUTERS, REFUSALS_PER_SECOND, RELAY_FRAMES_AT_ONCE, RELAY_FRAMES_PER_SECOND};
use crate::mdns::Resolver;
use crate::pairs::Pairs;
use crate::peer::CertificateError;
use crate::session::{self, Session};

/// Why a node could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// A configuration value is out of its range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

impl Node {
    /// A node that will dial `routers` routers (at most [`MAX_ROUTERS`]), numbered from 0. It is nobody yet: its identity is a new
    /// one, and it is paired with no device.
    ///
    /// # Errors
    /// When a configuration value is out of its range.
    pub fn new(seed: [u8; 32], now: Instant, config: NodeConfig, routers: usize) -> Result<Self, NodeError> {
        let mut rng = StdRng::from_seed(seed);
        let identity = Identity::generate(&mut rng)?;
        Self::assemble(rng, now, config, routers, identity, Pairs::new())
    }

    /// The same with an identity and pairs from before.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_identity(
        seed: [u8; 32],
        now: Instant,
        config: NodeConfig,
        routers: usize,
        identity: Identity,
        pairs: Pairs,
    ) -> Result<Self, NodeError> {
        Self::assemble(StdRng::from_seed(seed), now, config, routers, identity, pairs)
    }

    /// Shows this router no access token: it is in this process, which needs none, and the token is another router's. To be called
    /// before the node is first asked what it wants.
    pub fn withhold_token(&mut self, router: RouterId) {
        if let Some(router) = self.routers.get_mut(usize::from(router.0)) {
            router.session.withhold_token();
        }
    }

    fn assemble(
        mut rng: StdRng,
        now: Instant,
        config: NodeConfig,
        routers: usize,
        identity: Identity,
        pairs: Pairs,
    ) -> Result<Self, NodeError> {
        config.check()?;
        if routers > MAX_ROUTERS {
            let (value, expected) = (routers.to_string(), "at most 4");
            return Err(ConfigError { field: "routers", value, expected }.into());
        }
        let presented = session::Identity {
            name: config.name.clone(),
            token: config.token.clone(),
            resident: config.resident,
            device: identity.id(),
            instance: format!("{:016x}", rng.next_u64()),
            keep_alive: config.keep_alive,
        };
        let routers = (0..routers)
            .map(|_| {
                let mut seed = [0; 32];
                rng.fill_bytes(&mut seed);
                let session = Session::new(seed, now, presented.clone());
                Router { session, lead: None, wake: None, dirty: true }
            })
            .collect();
        let reunion =
            if config.resident { Reunion::new(now, identity.id(), &pairs) } else { Reunion::default() };
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        let servers = IceServers::new(now, StdRng::from_seed(seed), &config.ice_servers);
        let offers_at_once = u32::try_from(config.max_offers_in_progress).unwrap_or(u32::MAX);
        let offers_per_second = config.offers_per_second;
        Ok(Self {
            local: Local { config, identity, addresses: Vec::new(), gathered: Vec::new() },
            pairs,
            pairing: Pairing::default(),
            heard: Heard::default(),
            nonce: Nonce { epoch: rng.next_u64(), count: 0 },
            rng,
            now,
            presented,
            routers,
            reunion,
            links: BTreeMap::new(),
            next_link: 0,
            roster: Roster::default(),
            early: EarlyCandidates::default(),
            servers,
            names: Resolver::new(now),
            offers: Bucket::new(now, offers_at_once, offers_per_second),
            refusals: Bucket::new(now, offers_at_once, REFUSALS_PER_SECOND),
            relayed: Bucket::new(now, RELAY_FRAMES_AT_ONCE, RELAY_FRAMES_PER_SECOND),
            bursts: Bursts::default(),
            out: VecDeque::new(),
            counters: Counters::default(),
            round_trips: Histogram::new(&ROUND_TRIP_SECONDS),
            history: History::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairs::{Pair, PairKey};

    #[test]
    fn a_node_keeps_the_identity_and_the_pairs_it_is_given() {
        let now = crate::clock_for_tests::start();
        let first = Node::new([1; 32], now, NodeConfig::default(), 1).unwrap();
        assert!(first.pairs().is_empty());
        let mut pairs = Pairs::new();
        pairs.insert(Pair::new([7; 32], [8; 32], PairKey::new([9; 32]), "kitchen")).unwrap();
        let identity = first.identity().clone();
        let again =
            Node::with_identity([2; 32], now, NodeConfig::default(), 1, identity, pairs.clone()).unwrap();
        assert_eq!(
            (again.identity().id(), again.fingerprint()),
            (first.identity().id(), first.fingerprint())
        );
        assert!(again.pairs().by_name("kitchen").is_some());

        let other = Node::new([2; 32], now, NodeConfig::default(), 1).unwrap();
        assert_ne!(other.identity().id(), first.identity().id());
        assert_ne!(other.fingerprint(), first.fingerprint());
        let refused =
            Node::with_identity([2; 32], now, NodeConfig::default(), 5, other.identity().clone(), pairs);
        assert!(matches!(refused, Err(NodeError::Config(_))), "{refused:?}");
    }
}
