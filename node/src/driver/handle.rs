//! The application's side of a running node.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use smol::channel::{Receiver, Sender, bounded};

use super::devices::Devices;
use super::pairing::{PairCommand, PairError, PairInfo, PairedDevice, Shown};
use super::status::Status;
use crate::event::{Channel, LinkId, PeerInfo, RouterId};
use crate::ice_servers::ServerInfo;
use crate::identity::DeviceId;
use crate::node::{ConnectError, Counters, LinkInfo, PairCallError, VisitError};
use crate::pairing::Known;
use crate::peer::SendError;

/// A question or order, with the place for its answer.
#[derive(Debug)]
pub(super) enum Command {
    Connect { router: RouterId, session: String, reply: Sender<Result<LinkId, ConnectError>> },
    Send(Outbound),
    Ping { link: LinkId, channel: Channel, reply: Sender<Result<u64, SendError>> },
    Disconnect { link: LinkId, reason: String },
    Peers { reply: Sender<Vec<PeerInfo>> },
    Links { reply: Sender<Vec<LinkInfo>> },
    Counters { reply: Sender<Counters> },
    Sessions { reply: Sender<Vec<String>> },
    Servers { reply: Sender<Vec<ServerInfo>> },
    Status { reply: Sender<Box<Status>> },
    Visit { address: SocketAddr, reply: Sender<Result<RouterId, VisitError>> },
    Devices { reply: Sender<Devices> },
    Pairing(PairCommand),
    Shutdown { reply: Sender<()> },
}

/// A message on its way into the node.
#[derive(Debug)]
pub(super) struct Outbound {
    pub(super) link: LinkId,
    pub(super) channel: Channel,
    pub(super) message: Bytes,
    /// Those that follow it.
    pub(super) rest: std::vec::IntoIter<Bytes>,
    pub(super) reply: Sender<Result<(), SendError>>,
}

/// The node has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the node has stopped")]
pub struct Stopped;

/// Why a call on a [`NodeHandle`] failed: the node stopped, or the call itself was refused.
#[derive(Debug, thiserror::Error)]
pub enum CallError<E> {
    /// The node has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The call was refused.
    #[error("{0}")]
    Refused(E),
}

/// Speaks to a running node, from any thread. Clones speak to the same node.
///
/// Every call waits while the node is busy; nothing queues up without bound.
#[derive(Debug, Clone)]
pub struct NodeHandle {
    commands: Sender<Command>,
}

impl NodeHandle {
    pub(super) fn new(commands: Sender<Command>) -> Self {
        Self { commands }
    }

    /// Starts a link to `session` on `router`; the [`Event`](crate::Event)s tell how it goes.
    ///
    /// # Errors
    /// When it cannot even be begun, or the node has stopped.
    pub async fn connect(&self, router: RouterId, session: &str) -> Result<LinkId, CallError<ConnectError>> {
        let session = session.to_owned();
        self.call(|reply| Command::Connect { router, session, reply }).await?.map_err(CallError::Refused)
    }

    /// Sends a message. On the reliable channel this waits until the node has room for it: a peer that is slow to receive
    /// slows the caller down. On the stream channel it does not wait; the oldest message is dropped instead.
    ///
    /// # Errors
    /// When the link is not open, the message is empty or larger than the peer accepts, or
    /// [`MAX_PARKED`](crate::limits::MAX_PARKED) callers are waiting already.
    pub async fn send(
        &self,
        link: LinkId,
        channel: Channel,
        message: Bytes,
    ) -> Result<(), CallError<SendError>> {
        let rest = Vec::new().into_iter();
        self.call(|reply| Command::Send(Outbound { link, channel, message, rest, reply }))
            .await?
            .map_err(CallError::Refused)
    }

    /// Sends several messages, one after the other, as [`Self::send`] does each: for many small ones, which then cost a fraction of
    /// what they cost alone.
    ///
    /// # Errors
    /// As [`Self::send`]. Messages before the one that was refused are on their way; it and those behind it are not.
    pub async fn send_all(
        &self,
        link: LinkId,
        channel: Channel,
        messages: Vec<Bytes>,
    ) -> Result<(), CallError<SendError>> {
        let mut rest = messages.into_iter();
        let Some(message) = rest.next() else { return Ok(()) };
        self.call(|reply| Command::Send(Outbound { link, channel, message, rest, reply }))
            .await?
            .map_err(CallError::Refused)
    }

    /// Sends a ping; [`Event::Pong`](crate::Event::Pong) carries the returned token.
    ///
    /// # Errors
    /// When the link is not open, or the peer is not a clasp-edge node.
    pub async fn ping(&self, link: LinkId, channel: Channel) -> Result<u64, CallError<SendError>> {
        self.call(|reply| Command::Ping { link, channel, reply }).await?.map_err(CallError::Refused)
    }

    /// Ends a link; the peer is told `reason`.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn disconnect(&self, link: LinkId, reason: &str) -> Result<(), Stopped> {
        let command = Command::Disconnect { link, reason: reason.to_owned() };
        self.commands.send(command).await.map_err(|_| Stopped)
    }

    /// Peers that announced themselves on any router.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn peers(&self) -> Result<Vec<PeerInfo>, Stopped> {
        self.call(|reply| Command::Peers { reply }).await
    }

    /// Every link as it is now.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn links(&self) -> Result<Vec<LinkInfo>, Stopped> {
        self.call(|reply| Command::Links { reply }).await
    }

    /// How the node is now: everything `clasp-node status` shows.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn status(&self) -> Result<Status, Stopped> {
        self.call(|reply| Command::Status { reply }).await.map(|status| *status)
    }

    /// The devices that are known, from all that says so. The network is asked again for the next time.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn devices(&self) -> Result<Devices, Stopped> {
        self.call(|reply| Command::Devices { reply }).await
    }

    /// Opens a session with the router at this address for two minutes, so that whoever is there can be paired.
    ///
    /// # Errors
    /// When that is no host's address, when there are too many visits, or when the node has stopped.
    pub async fn visit(&self, address: SocketAddr) -> Result<RouterId, CallError<VisitError>> {
        self.call(|reply| Command::Visit { address, reply }).await?.map_err(CallError::Refused)
    }

    /// Our session ids on the routers that know us now.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn sessions(&self) -> Result<Vec<String>, Stopped> {
        self.call(|reply| Command::Sessions { reply }).await
    }

    /// The configured STUN and TURN servers as they are now.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn servers(&self) -> Result<Vec<ServerInfo>, Stopped> {
        self.call(|reply| Command::Servers { reply }).await
    }

    /// What was refused, dropped or ignored so far.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn counters(&self) -> Result<Counters, Stopped> {
        self.call(|reply| Command::Counters { reply }).await
    }

    /// Lets another device be paired for that long, at most [`LONGEST_WINDOW`](crate::pairing::LONGEST_WINDOW), and returns what to
    /// show. A code shown before is good no more.
    ///
    /// # Errors
    /// [`PairCallError::Full`], [`PairCallError::Busy`], or when the node has stopped.
    pub async fn show_code(&self, lasts: Duration) -> Result<Shown, CallError<PairCallError>> {
        let command = |reply| Command::Pairing(PairCommand::Show { lasts, reply });
        self.call(command).await?.map_err(CallError::Refused)
    }

    /// The code is good no more.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn hide_code(&self) -> Result<(), Stopped> {
        self.call(|reply| Command::Pairing(PairCommand::Hide { reply })).await
    }

    /// Waits for the end of the next pairing.
    ///
    /// # Errors
    /// Why it came to nothing, or when the node has stopped.
    pub async fn paired(&self) -> Result<PairedDevice, CallError<PairError>> {
        self.call(|reply| Command::Pairing(PairCommand::Await { reply })).await?.map_err(CallError::Refused)
    }

    /// Pairs with the device in that session, which shows what is `known`; with `wanted`, with no other device than that. Waits for
    /// the end of it.
    ///
    /// # Errors
    /// Why it came to nothing, or when the node has stopped.
    pub async fn pair(
        &self,
        router: RouterId,
        session: &str,
        known: Known,
        wanted: Option<DeviceId>,
    ) -> Result<PairedDevice, CallError<PairError>> {
        let session = session.to_owned();
        let command = |reply| Command::Pairing(PairCommand::Pair { router, session, known, wanted, reply });
        self.call(command).await?.map_err(CallError::Refused)
    }

    /// The paired devices.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn pairs(&self) -> Result<Vec<PairInfo>, Stopped> {
        self.call(|reply| Command::Pairing(PairCommand::List { reply })).await
    }

    /// Forgets the paired device of that name or id; links to it end.
    ///
    /// # Errors
    /// Why not, or that it could not be stored; or when the node has stopped.
    pub async fn forget(&self, name: &str) -> Result<PairInfo, CallError<String>> {
        let name = name.to_owned();
        self.call(|reply| Command::Pairing(PairCommand::Forget { name, reply }))
            .await?
            .map_err(CallError::Refused)
    }

    /// Calls the paired device of that name or id `to` from now on.
    ///
    /// # Errors
    /// Why not, or that it could not be stored; or when the node has stopped.
    pub async fn rename(&self, name: &str, to: &str) -> Result<PairInfo, CallError<String>> {
        let (name, to) = (name.to_owned(), to.to_owned());
        let command = |reply| Command::Pairing(PairCommand::Rename { name, to, reply });
        self.call(command).await?.map_err(CallError::Refused)
    }

    /// Says goodbye to every peer and router, and stops the node. Done when it has stopped, at the latest after a second.
    pub async fn shutdown(&self) {
        // An error means that it has stopped already.
        if self.call(|reply| Command::Shutdown { reply }).await.is_err() {
            log::debug!("the node had stopped before it was told to");
        }
    }

    async fn call<T>(&self, command: impl FnOnce(Sender<T>) -> Command) -> Result<T, Stopped> {
        let (reply, answer): (Sender<T>, Receiver<T>) = bounded(1);
        self.commands.send(command(reply)).await.map_err(|_| Stopped)?;
        answer.recv().await.map_err(|_| Stopped)
    }
}
