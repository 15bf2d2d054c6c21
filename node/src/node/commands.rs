//! What the application may ask of a node.

use std::time::Instant;

use bytes::Bytes;
use rand::Rng;

use super::Node;
use super::trust::Bond;
use crate::config::Trust;
use crate::event::{Channel, Event, LinkId, LinkState, Role, RouterId};
use crate::identity::DeviceId;
use crate::limits::MAX_SESSION_ID_BYTES;
use crate::link::{Beginning, Link};
use crate::peer::{Peer, SendError};

/// Why a link was not begun.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The router is not connected, so nobody can be called through it.
    #[error("{0} is not connected")]
    RouterOffline(RouterId),
    /// There is a link to this session already, or one is being established.
    #[error("{0} already goes to this session")]
    AlreadyLinked(LinkId),
    /// Nothing is known of the device, and only paired ones are called.
    #[error("this device is not paired with the peer: pair them first, or trust everybody with --trust open")]
    NotPaired,
    /// A node does not call itself.
    #[error("this is our own session")]
    OwnSession,
    /// Not a session id.
    #[error("{0:?} is not a session id")]
    BadSession(String),
    /// All links are in use.
    #[error("{0} links are in use, which is the limit")]
    TooManyPeers(usize),
    /// Too many links are connecting.
    #[error("{0} links are connecting, which is the limit")]
    TooManyInProgress(usize),
}

/// A link as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkInfo {
    /// The link.
    pub link: LinkId,
    /// The peer's session id.
    pub peer: String,
    /// The router its signals travel on.
    pub router: RouterId,
    /// Who offered.
    pub role: Role,
    /// Where it is in its life.
    pub state: LinkState,
    /// The paired device at the other end, if it is one.
    pub device: Option<DeviceId>,
    /// Whether both ends connect to their paired devices by themselves: it is there for its own sake.
    pub resident: bool,
    /// Stream messages dropped because their queue was full.
    pub streams_dropped: u64,
}

impl Node {
    /// Starts a link to `session` on `router`. How it goes is told by events.
    ///
    /// # Errors
    /// When it cannot even be begun.
    pub fn connect(&mut self, now: Instant, router: RouterId, session: &str) -> Result<LinkId, ConnectError> {
        self.now = now;
        let device = self.roster.find(router, session).and_then(|info| info.device);
        self.connect_to(router, session, device)
    }

    /// The same, to a device that is known to be there.
    pub(super) fn connect_to(
        &mut self,
        router: RouterId,
        session: &str,
        device: Option<DeviceId>,
    ) -> Result<LinkId, ConnectError> {
        let now = self.now;
        let own = self.own_session(router).ok_or(ConnectError::RouterOffline(router))?.to_owned();
        if session == own {
            return Err(ConnectError::OwnSession);
        }
        if session.is_empty() || session.len() > MAX_SESSION_ID_BYTES || session.contains('/') {
            return Err(ConnectError::BadSession(session.chars().take(MAX_SESSION_ID_BYTES).collect()));
        }
        let known = self.roster.find(router, session);
        let same_process = |link: &Link| {
            let instance = known.and_then(|info| info.instance.as_deref());
            let is_its = link.bond().is_some_and(|bond| Some(bond.device) == device);
            is_its && instance.is_some() && link.instance() == instance
        };
        let same = |link: &Link| {
            let same_session = link.router() == router && link.remote() == session;
            (same_session || same_process(link)) && link.state() != LinkState::Closed
        };
        if let Some((id, _)) = self.links.iter().find(|(_, link)| same(link)) {
            return Err(ConnectError::AlreadyLinked(*id));
        }
        if self.links.len() >= self.local.config.max_peers {
            return Err(ConnectError::TooManyPeers(self.local.config.max_peers));
        }
        if self.links_in_progress() >= self.local.config.max_offers_in_progress {
            return Err(ConnectError::TooManyInProgress(self.local.config.max_offers_in_progress));
        }
        let is_paired = |device: &DeviceId| self.pairing.pair(&self.pairs, *device).is_some();
        let bond = device.filter(is_paired).map(Bond::new);
        if bond.is_none() && self.local.config.trust == Trust::Paired {
            return Err(ConnectError::NotPaired);
        }
        let correlation_id = self.correlation_id(&own, session);
        let attempt = if self.local.config.routing.connects() {
            let edge = self.roster.find(router, session).is_some_and(|info| info.edge);
            Some(Peer::offer(now, &self.local.setup(edge), &mut self.rng, None))
        } else {
            None
        };
        Ok(self.add_link(attempt, Role::Offerer, router, session.to_owned(), correlation_id, bond))
    }

    /// As stock peers write them.
    pub(super) fn correlation_id(&mut self, own: &str, session: &str) -> String {
        format!("{own}-{session}-{}", uuid_v4(&mut self.rng))
    }

    /// Queues a message on a link.
    ///
    /// # Errors
    /// [`SendError::Full`] gives the message back; [`Event::Writable`] follows when it is worth trying again.
    pub fn send(
        &mut self,
        now: Instant,
        link: LinkId,
        channel: Channel,
        message: Bytes,
    ) -> Result<(), SendError> {
        self.with_link(now, link, |link| link.send(now, channel, message))
    }

    /// Sends a ping; [`Event::Pong`] carries the returned token.
    ///
    /// # Errors
    /// [`SendError::Unsupported`] if the peer is not a clasp-edge node, and as [`Self::send`].
    pub fn ping(&mut self, now: Instant, link: LinkId, channel: Channel) -> Result<u64, SendError> {
        self.with_link(now, link, |link| link.ping(now, channel))
    }

    /// Ends a link. The peer is told `reason`.
    pub fn disconnect(&mut self, now: Instant, link: LinkId, reason: &str) {
        self.now = now;
        if let Some(link) = self.links.get_mut(&link) {
            link.close(now, reason);
        }
    }

    /// Ends a link because the application does not take what it receives.
    pub fn disconnect_too_slow(&mut self, now: Instant, link: LinkId) {
        self.now = now;
        if let Some(link) = self.links.get_mut(&link) {
            link.close_too_slow(now);
        }
    }

    /// Every link as it is now.
    pub fn links(&self) -> impl Iterator<Item = LinkInfo> {
        self.links.iter().map(|(id, link)| LinkInfo {
            link: *id,
            peer: link.remote().to_owned(),
            router: link.router(),
            role: link.role(),
            state: link.state(),
            device: link.bond().map(|bond| bond.device),
            resident: self.local.config.resident && link.is_resident() && link.bond().is_some(),
            streams_dropped: link.streams_dropped(),
        })
    }

    /// The state of every link.
    pub fn link_states(&self) -> impl Iterator<Item = LinkState> {
        self.links.values().map(Link::state)
    }

    /// Without an `attempt` at a direct connection, only the way through the router is taken.
    pub(super) fn add_link(
        &mut self,
        mut attempt: Option<Peer>,
        role: Role,
        router: RouterId,
        remote: String,
        correlation_id: String,
        bond: Option<Bond>,
    ) -> LinkId {
        let number = LinkId(self.next_link);
        self.next_link += 1;
        let known = self.roster.find(router, &remote);
        if known.is_some_and(|info| info.edge)
            && let Some(peer) = &mut attempt
        {
            peer.set_edge(true);
        }
        let instance = known.and_then(|info| info.instance.clone());
        let name = known.and_then(|info| info.name.clone());
        let resident = known.is_some_and(|info| info.resident);
        self.event(Event::Connecting { link: number, peer: remote.clone(), role });
        let routing = self.local.config.routing;
        let beginning = Beginning { number, router, remote, correlation_id, role, routing, attempt };
        let mut link = Link::new(self.now, beginning);
        link.note_instance(instance.as_deref());
        link.set_name(name);
        link.set_resident(resident);
        link.set_bond(bond);
        self.links.insert(number, link);
        number
    }

    fn with_link<T>(
        &mut self,
        now: Instant,
        link: LinkId,
        act: impl FnOnce(&mut Link) -> Result<T, SendError>,
    ) -> Result<T, SendError> {
        self.now = now;
        act(self.links.get_mut(&link).ok_or(SendError::NotOpen)?)
    }
}

/// A random UUID (RFC 9562 §5.4), as stock correlation ids end in one.
fn uuid_v4(rng: &mut impl Rng) -> String {
    let mut bytes = [0; 16];
    rng.fill_bytes(&mut bytes);
    let bits = u128::from_be_bytes(bytes) & !(0xF000 << 64 | 0xC000 << 48) | 0x4000 << 64 | 0x8000 << 48;
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        bits >> 96,
        bits >> 80 & 0xFFFF,
        bits >> 64 & 0xFFFF,
        bits >> 48 & 0xFFFF,
        bits & 0xFFFF_FFFF_FFFF
    )
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn correlation_ids_end_in_a_version_4_uuid() {
        let mut rng = StdRng::from_seed([3; 32]);
        for _ in 0..100 {
            let uuid = uuid_v4(&mut rng);
            let parts: Vec<_> = uuid.split('-').collect();
            assert_eq!(parts.iter().map(|p| p.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
            assert!(parts[2].starts_with('4'), "{uuid}");
            assert!(matches!(parts[3].as_bytes()[0], b'8' | b'9' | b'a' | b'b'), "{uuid}");
        }
    }
}
