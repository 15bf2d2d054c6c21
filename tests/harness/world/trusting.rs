//! Paired devices, and a router that is not to be trusted.

use bytes::Bytes;
use clasp_node::identity::Identity;
use clasp_node::pairs::{Pair, PairKey, Pairs};
use clasp_node::{Node, NodeConfig, Trust};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::stock::Core;
use super::{NodeId, World};

/// What a router does to a frame on its way to a node: what it returns is delivered instead.
pub type Tamper = Box<dyn FnMut(NodeId, &Bytes) -> Vec<Bytes>>;

/// A device of the world, before it is a node.
#[derive(Debug)]
pub struct Device {
    /// Who it is.
    pub identity: Identity,
    /// Whom it is paired with.
    pub pairs: Pairs,
    name: String,
}

impl Device {
    /// What another device knows of this one after pairing.
    fn as_pair(&self, key: [u8; 32]) -> Pair {
        let identity = &self.identity;
        let fingerprint = *identity.certificate().fingerprint();
        Pair::new(identity.public_key(), fingerprint, PairKey::new(key), self.name.as_str())
    }
}

impl World {
    /// A device that is paired with nobody.
    pub fn device(&mut self, name: &str) -> Device {
        let mut rng = StdRng::from_seed(self.seed32());
        let identity = Identity::generate(&mut rng).expect("an identity");
        Device { identity, pairs: Pairs::default(), name: name.to_owned() }
    }

    /// Lets two devices know each other.
    pub fn pair(&mut self, a: &mut Device, b: &mut Device) {
        let mut key = [0; 32];
        self.rng.fill_bytes(&mut key);
        let (of_a, of_b) = (a.as_pair(key), b.as_pair(key));
        a.pairs.insert(of_b).expect("room for a pair");
        b.pairs.insert(of_a).expect("room for a pair");
    }

    /// Adds a device as a node.
    pub fn node_of(&mut self, device: Device, config: NodeConfig) -> NodeId {
        let Device { identity, pairs, name } = device;
        let config = NodeConfig { name, ..config };
        let node = Node::with_identity(self.seed32(), self.now, config, 1, identity, pairs);
        let node = node.expect("a valid configuration");
        self.host(|_| Core::Node(Box::new(node)))
    }

    /// Two nodes that are paired and take nobody else's offers.
    pub fn paired_nodes(&mut self, names: [&str; 2]) -> [NodeId; 2] {
        let [mut a, mut b] = names.map(|name| self.device(name));
        self.pair(&mut a, &mut b);
        let config = NodeConfig { trust: Trust::Paired, ..NodeConfig::default() };
        [a, b].map(|device| self.node_of(device, config.clone()))
    }

    /// From now on the router does this to every frame for a node.
    pub fn tamper(&mut self, tamper: Option<Tamper>) {
        self.tamper = tamper;
    }

    pub(super) fn tampered(&mut self, to: NodeId, frame: Bytes) -> Vec<Bytes> {
        match &mut self.tamper {
            Some(tamper) => tamper(to, &frame),
            None => vec![frame],
        }
    }
}
