//! The connections to the routers: tasks that carry frames, and what the node hears from them.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use bytes::Bytes;
use log::debug;
use router_lite::{LocalSession, Server};
use smol::channel::{Receiver, Sender, TrySendError, bounded};
use smol::{LocalExecutor, Task};

use super::websocket::{self, Incoming, Outgoing, RouterUrl};
use crate::event::RouterId;

/// Frames on their way to one router. A node sends a handful per link; a router that does not take them is given up.
const OUTGOING_FRAMES: usize = 128;

/// Frames from all routers on their way to the node; a router that sends more waits.
const INCOMING: usize = 64;

/// Where a router is.
#[derive(Clone)]
pub enum RouterAddress {
    /// In this process.
    Embedded(Server),
    /// Elsewhere.
    Url(RouterUrl),
}

impl std::fmt::Debug for RouterAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl std::fmt::Display for RouterAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Embedded(server) => write!(f, "embedded router on {}", server.local_addr()),
            Self::Url(url) => std::fmt::Display::fmt(url, f),
        }
    }
}

/// What a router connection tells the node. `dial` says which dialling it came from, so that late news of an old connection
/// is not taken for news of the new one.
#[derive(Debug)]
pub(super) struct News {
    pub(super) router: RouterId,
    dial: u64,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    /// From this address of ours, unless the router is in this process.
    Opened(Option<IpAddr>),
    Frame(Bytes),
    Heard,
    Closed(String),
}

struct Connection {
    address: RouterAddress,
    dial: u64,
    outgoing: Option<Sender<Outgoing>>,
    /// Our address on it, once it is open.
    local: Option<IpAddr>,
    /// Dropping it would cut a goodbye short, so it is kept until the next dialling.
    task: Option<Task<()>>,
}

impl Connection {
    fn to(address: RouterAddress) -> Self {
        Self { address, dial: 0, outgoing: None, local: None, task: None }
    }
}

pub(super) struct Routers {
    executor: Rc<LocalExecutor<'static>>,
    connections: Vec<Connection>,
    sender: Sender<News>,
}

impl Routers {
    pub(super) fn new(
        executor: Rc<LocalExecutor<'static>>,
        addresses: Vec<RouterAddress>,
    ) -> (Self, Receiver<News>) {
        let (sender, news) = bounded(INCOMING);
        let connections = addresses.into_iter().map(Connection::to).collect();
        (Self { executor, connections, sender }, news)
    }

    /// Opens a connection to a router that was found at this address.
    pub(super) fn dial_address(&mut self, router: RouterId, address: SocketAddr) {
        let address = RouterAddress::Url(RouterUrl::from(address));
        match self.connections.get_mut(router.place()) {
            Some(connection) => connection.address = address,
            // The node numbers them one after the other.
            None => self.connections.push(Connection::to(address)),
        }
        self.dial(router);
    }

    pub(super) fn dial(&mut self, router: RouterId) {
        let sender = self.sender.clone();
        let Some(connection) = self.connections.get_mut(usize::from(router.0)) else { return };
        connection.dial += 1;
        let dial = connection.dial;
        let (outgoing, frames) = bounded(OUTGOING_FRAMES);
        (connection.outgoing, connection.local) = (Some(outgoing), None);
        let address = connection.address.clone();
        connection.task = Some(self.executor.spawn(async move {
            let tell = async |what| sender.send(News { router, dial, what }).await.is_ok();
            let why = match address {
                RouterAddress::Embedded(server) => carry_local(&server.attach(), &frames, &tell).await,
                RouterAddress::Url(url) => {
                    websocket::carry(url, frames, async |incoming| {
                        tell(match incoming {
                            Incoming::Opened(local) => What::Opened(Some(local)),
                            Incoming::Frame(frame) => What::Frame(frame),
                            Incoming::Heard => What::Heard,
                        })
                        .await
                    })
                    .await
                }
            };
            if !tell(What::Closed(why)).await {
                debug!(router:% = router; "nobody is left to hear that the router is gone");
            }
        }));
    }

    /// The router in this node, if there is one.
    pub(super) fn embedded(&self) -> Option<&Server> {
        self.connections.iter().find_map(|connection| match &connection.address {
            RouterAddress::Embedded(server) => Some(server),
            RouterAddress::Url(_) => None,
        })
    }

    /// Where the routers are, in the order of the configuration.
    pub(super) fn urls(&self) -> impl Iterator<Item = String> {
        self.connections.iter().map(|connection| connection.address.to_string())
    }

    /// The connection is open.
    pub(super) fn opened(&mut self, router: RouterId, local: Option<IpAddr>) {
        if let Some(connection) = self.connections.get_mut(usize::from(router.0)) {
            connection.local = local;
        }
    }

    /// Connections to other hosts that come from none of our `present` addresses, or were begun before and are not open yet.
    pub(super) fn stranded(&self, present: &[IpAddr]) -> Vec<RouterId> {
        let is_stranded = |connection: &Connection| {
            let elsewhere = matches!(&connection.address, RouterAddress::Url(url) if !url.is_local());
            let stays = connection.local.is_some_and(|local| present.contains(&local));
            elsewhere && connection.outgoing.is_some() && !stays
        };
        let numbered = self.connections.iter().zip(0..);
        numbered.filter(|(connection, _)| is_stranded(connection)).map(|(_, n)| RouterId(n)).collect()
    }

    /// Whether this is news of the connection in use.
    pub(super) fn is_current(&self, news: &News) -> bool {
        self.connections.get(usize::from(news.router.0)).is_some_and(|c| c.dial == news.dial)
    }

    /// Puts something on the connection. Says whether it could: a full queue means that the router has stopped reading.
    pub(super) fn send(&mut self, router: RouterId, frame: Outgoing) -> bool {
        let connection = self.connections.get_mut(usize::from(router.0));
        let Some(outgoing) = connection.and_then(|c| c.outgoing.as_ref()) else { return true };
        !matches!(outgoing.try_send(frame), Err(TrySendError::Full(_)))
    }

    /// Ends the connection politely: the task says goodbye and ends by itself.
    pub(super) fn hang_up(&mut self, router: RouterId) {
        if let Some(connection) = self.connections.get_mut(usize::from(router.0)) {
            connection.outgoing = None;
            connection.dial += 1; // what it still has to tell is of no interest
        }
    }

    /// Ends all connections and waits for their goodbyes.
    pub(super) async fn close(&mut self) {
        for connection in &mut self.connections {
            connection.outgoing = None;
        }
        for connection in &mut self.connections {
            if let Some(task) = connection.task.take() {
                task.await;
            }
        }
    }
}

/// Carries frames between the node and the router in the same process.
async fn carry_local(
    session: &LocalSession,
    frames: &Receiver<Outgoing>,
    tell: &impl AsyncFn(What) -> bool,
) -> String {
    use smol::future::FutureExt;

    if !tell(What::Opened(None)).await {
        return "no longer wanted".to_owned();
    }
    let read = async {
        while let Some(frame) = session.recv().await {
            if !tell(What::Frame(frame)).await {
                break;
            }
        }
        "closed by the router".to_owned()
    };
    let write = async {
        while let Ok(outgoing) = frames.recv().await {
            let heard = match outgoing {
                Outgoing::Frame(frame) => session.send(frame).is_ok(),
                Outgoing::Ping => tell(What::Heard).await, // a process does not lose itself
            };
            if !heard {
                return "closed by the router".to_owned();
            }
        }
        "closed".to_owned()
    };
    read.race(write).await
}
