//! Links for commands: found or opened, and pinged.

use std::collections::BTreeSet;
use std::time::Duration;

use log::info;
use smol::channel::Receiver;

use super::board::About;
use super::{Service, Wanted, choose, within};
use crate::driver::handle::{CallError, Stopped};
use crate::event::{Channel, Event, FailReason, LinkId, LinkState, PeerInfo};
use crate::limits::MAX_CONTROL_WAIT;
use crate::node::{ConnectError, LinkInfo};

/// Sessions of one name that are tried: more than a host leaves behind.
const MAX_ATTEMPTS: usize = 4;

/// Without an answer by then, a ping counts as lost.
const LOST_AFTER: Duration = Duration::from_secs(2);

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReachError {
    /// Nobody of that name.
    #[error("no peer called {0:?} within {1:?}; `clasp-node peers` lists who is there")]
    NotThere(String, Duration),
    /// Several, or it did not work out.
    #[error("{0}")]
    Failed(String),
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// A link that a command uses until this is dropped.
#[derive(Debug)]
pub(crate) struct Reached {
    pub(crate) peer: PeerInfo,
    pub(crate) link: LinkId,
    /// Where it goes along, for people.
    pub(crate) path: String,
    /// How long it took to open; none if it was there.
    pub(crate) after: Option<Duration>,
    lease: Lease,
}

impl Reached {
    /// What happens with the link from now on; there is no more when it has ended.
    pub(crate) fn news(&self) -> Receiver<Event> {
        self.lease.service.board(|board| board.watch(About::Link(self.link)))
    }
}

#[derive(Debug)]
struct Lease {
    service: Service,
    link: LinkId,
}

impl Lease {
    fn new(service: &Service, link: LinkId, opened: bool, edge: bool) -> Self {
        service.board(|board| board.lease(link, opened, edge));
        Self { service: service.clone(), link }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let orders = self.service.board(|board| board.release(self.link));
        self.service.carry_out(orders);
    }
}

/// How an attempt ended.
enum Attempt {
    Linked(Box<Reached>),
    /// The session has ended already.
    Gone(String),
    /// Nobody answers there.
    Silent(String),
}

impl Service {
    /// A link to the peer that `wanted` names, which may take as long as `wait` to show up. One that is there is used; else one is
    /// opened, for as long as commands use it.
    pub(crate) async fn reach(&self, wanted: &str, wait: Duration) -> Result<Reached, ReachError> {
        let wanted = Wanted::new(wanted, &self.node).await?;
        if let Some(reached) = self.resident(&wanted).await? {
            return Ok(reached);
        }
        let (mut attempts, mut silent) = (0, BTreeSet::new());
        loop {
            let peer = self.find(&wanted, wait.min(MAX_CONTROL_WAIT), &silent).await?;
            attempts += 1;
            match self.link_to(&peer).await? {
                Attempt::Linked(reached) => return Ok(*reached),
                Attempt::Gone(why) if wanted.text() == peer.session || attempts == MAX_ATTEMPTS => {
                    return Err(ReachError::Failed(why));
                }
                Attempt::Gone(why) => info!("{why}"),
                Attempt::Silent(why) => {
                    silent.insert(peer.session);
                    let peers = self.node.peers().await?;
                    if !peers.iter().any(|other| wanted.is(other) && !silent.contains(&other.session)) {
                        return Err(ReachError::Failed(why));
                    }
                    info!("{why}");
                }
            }
        }
    }

    /// The link that is there for its own sake, if the peer is a paired device. Its session may rest, so that nobody announces it.
    async fn resident(&self, wanted: &Wanted) -> Result<Option<Reached>, Stopped> {
        let Some(device) = wanted.device() else { return Ok(None) };
        let links = self.node.links().await?;
        let is_its = |info: &&LinkInfo| info.resident && info.device == Some(device) && is_open(info.state);
        let Some(info) = links.iter().find(is_its) else { return Ok(None) };
        let lease = Lease::new(self, info.link, false, true);
        let Some(path) = self.open_path(info.link).await? else { return Ok(None) };
        let known = self.node.peers().await?.into_iter();
        let known = known.into_iter().find(|peer| peer.session == info.peer && peer.router == info.router);
        let peer = known.unwrap_or_else(|| PeerInfo {
            session: info.peer.clone(),
            name: Some(wanted.text().to_owned()),
            edge: true,
            instance: None,
            device: Some(device),
            pairing: false,
            resident: true,
            router: info.router,
        });
        Ok(Some(Reached { peer, link: info.link, path, after: None, lease }))
    }

    /// Where an open link goes along, for people.
    async fn open_path(&self, link: LinkId) -> Result<Option<String>, Stopped> {
        let status = self.node.status().await?;
        let status = status.links.into_iter().find(|status| status.link == link && is_open(status.state));
        Ok(status.map(|status| match status.path {
            Some(path) => path.to_string(),
            None => {
                let why = status.no_path.unwrap_or_else(|| "looking for a path".to_owned());
                format!("through {}, not directly: {why}", status.router)
            }
        }))
    }

    /// Waits for the peer, as long as the person is ready to.
    async fn find(
        &self,
        wanted: &Wanted,
        wait: Duration,
        silent: &BTreeSet<String>,
    ) -> Result<PeerInfo, ReachError> {
        let found = within(wait, async {
            loop {
                let news = self.board(|board| board.watch(About::Peers));
                let peers = self.node.peers().await?;
                if let Some(peer) = self.linked(&peers, wanted).await? {
                    return Ok(peer);
                }
                if let Some(peer) = choose(&peers, wanted, silent).map_err(ReachError::Failed)? {
                    return Ok(peer.clone());
                }
                news.recv().await.map_err(|_| Stopped)?;
            }
        });
        found.await.unwrap_or_else(|| Err(ReachError::NotThere(wanted.text().to_owned(), wait)))
    }

    /// A device may have several sessions: the one with an open link is the one to use, if all are the same device.
    async fn linked(&self, peers: &[PeerInfo], wanted: &Wanted) -> Result<Option<PeerInfo>, Stopped> {
        let matching: Vec<_> = peers.iter().filter(|peer| wanted.is(peer)).collect();
        let Some(first) = matching.first() else { return Ok(None) };
        if matching.len() > 1 && (first.device.is_none() || matching.iter().any(|p| p.device != first.device))
        {
            return Ok(None);
        }
        let links = self.node.links().await?;
        let open = |peer: &&&PeerInfo| {
            links
                .iter()
                .any(|link| link.peer == peer.session && link.router == peer.router && is_open(link.state))
        };
        Ok(matching.iter().find(open).map(|peer| (*peer).clone()))
    }

    /// The node's own limit applies to how long this may take.
    async fn link_to(&self, peer: &PeerInfo) -> Result<Attempt, ReachError> {
        let news = self.board(|board| board.watch(About::Session(peer.session.clone())));
        let (lease, is_new) = match self.node.connect(peer.router, &peer.session).await {
            Ok(link) => {
                let links = self.node.links().await?;
                let stays = links.iter().any(|info| info.link == link && info.resident);
                (Lease::new(self, link, !stays, peer.edge), true)
            }
            Err(CallError::Refused(ConnectError::AlreadyLinked(link))) => {
                (Lease::new(self, link, false, peer.edge), false)
            }
            Err(CallError::Stopped(stopped)) => return Err(stopped.into()),
            Err(CallError::Refused(error)) => return Err(ReachError::Failed(error.to_string())),
        };
        let link = lease.link;
        let reached = |path: String, after: Option<Duration>, lease: Lease| {
            Ok(Attempt::Linked(Box::new(Reached { peer: peer.clone(), link, path, after, lease })))
        };
        // It may have been begun with another session of the same device.
        let news = if is_new { news } else { self.board(|board| board.watch(About::Link(link))) };
        if !is_new && let Some(path) = self.open_path(link).await? {
            return reached(path, None, lease);
        }
        while let Ok(event) = news.recv().await {
            match event {
                Event::Connected { link: l, path, after, .. } if l == link => {
                    return reached(path.to_string(), Some(after), lease);
                }
                Event::Relayed { link: l, router, why, after, .. } if l == link => {
                    return reached(format!("through {router}, not directly: {why}"), Some(after), lease);
                }
                Event::Failed { link: l, why, .. } if l == link => {
                    return match why {
                        FailReason::NoSuchSession(_) => Ok(Attempt::Gone(why.to_string())),
                        FailReason::NoAnswer(_) => Ok(Attempt::Silent(why.to_string())),
                        why => Err(ReachError::Failed(why.to_string())),
                    };
                }
                Event::Disconnected { link: l, why, .. } if l == link => {
                    return Err(ReachError::Failed(why.to_string()));
                }
                _ => {}
            }
        }
        Err(Stopped.into())
    }
}

fn is_open(state: LinkState) -> bool {
    matches!(state, LinkState::Open | LinkState::Restarting | LinkState::Relayed)
}

/// One round trip, of which `news` of the link tell; `None` if it was lost.
pub(crate) async fn ping(
    service: &Service,
    link: LinkId,
    channel: Channel,
    news: &Receiver<Event>,
) -> Result<Option<Duration>, String> {
    let sent = service.node.ping(link, channel).await.map_err(|error| error.to_string())?;
    let answer = within(LOST_AFTER, async {
        while let Ok(event) = news.recv().await {
            match event {
                Event::Pong { channel: c, token, rtt, .. } if (c, token) == (channel, sent) => {
                    return Ok(rtt);
                }
                Event::Disconnected { why, .. } => return Err(why.to_string()),
                _ => {}
            }
        }
        Err("the link is gone".to_owned())
    });
    answer.await.transpose()
}
