//! Nodes that hide their addresses behind names, as browsers do, and whoever knows these names on the link.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;

use super::{Arrival, NodeId, World};

/// What multicast DNS is used for in a world.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Who hides its address, and what its name stands for, if anybody tells.
    hidden: BTreeMap<usize, Option<IpAddr>>,
    /// Who asked, and when after the start.
    queries: Vec<(NodeId, Duration)>,
}

impl World {
    /// From now on others hear of the node's address only as a name, `aN.local`, and whoever asks for it is told `answer`.
    pub fn hide(&mut self, node: NodeId, answer: Option<IpAddr>) {
        self.names.hidden.insert(node.0, answer);
    }

    /// The node's own address.
    #[must_use]
    pub fn ip(&self, node: NodeId) -> IpAddr {
        self.nodes.get(node.0).expect("a node of this world").address.ip()
    }

    /// When after the start the node asked the link for names.
    pub fn queries(&self, node: NodeId) -> impl Iterator<Item = Duration> {
        self.names.queries.iter().filter(move |(by, _)| *by == node).map(|(_, at)| *at)
    }

    /// A frame as it is after the names were put in: they are as long as the addresses.
    pub(super) fn with_names(&self, frame: Bytes) -> Bytes {
        let mut bytes = Vec::from(frame);
        for node in self.names.hidden.keys() {
            let (address, name) = (format!("10.0.0.{}", node + 1), format!("a{}.local", node + 1));
            assert_eq!(address.len(), name.len(), "few nodes that never moved");
            for at in 0..bytes.len() {
                if let Some(place) = bytes.get_mut(at..at + name.len())
                    && place == address.as_bytes()
                {
                    place.copy_from_slice(name.as_bytes());
                }
            }
        }
        bytes.into()
    }

    pub(super) fn on_query(&mut self, by: usize, query: &[u8]) {
        let at = self.elapsed();
        self.names.queries.push((NodeId(by), at));
        for (node, answer) in self.names.hidden.clone() {
            let asked = format!("\u{2}a{}\u{5}local\0\0\u{1}\0\u{1}", node + 1);
            if let Some(IpAddr::V4(ip)) = answer
                && query.ends_with(asked.as_bytes())
            {
                let name = asked.trim_end_matches("\0\u{1}\0\u{1}").as_bytes();
                let head = [0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0];
                let tail = [0, 1, 0x80, 1, 0, 0, 0, 120, 0, 4]; // A, IN with the cache-flush bit, 120 s, 4 bytes
                let message = [&head[..], name, &tail, &ip.octets()].concat();
                let source = SocketAddr::new(self.ip(NodeId(node)), 5353);
                self.arrive(self.network.latency, Arrival::MdnsAnswer { to: by, source, message });
            }
        }
    }
}
