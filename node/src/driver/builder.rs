//! How a node is put together and started.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use router_lite::{Config as RouterConfig, Server, ServerError, TokenTable};
use smol::channel::bounded;
use smol::{LocalExecutor, Task, Timer};

use super::discovery::{Lookout, LookoutConfig};
use super::events::{self, Events};
use super::handle::NodeHandle;
use super::interfaces::{Filter, Loopback};
use super::resolver::Resolver;
use super::routers::{RouterAddress, Routers};
use super::store::{State, Store};
use super::udp::Sockets;
use super::watch::Watch;
use super::websocket::RouterUrl;
use super::{Driver, clock};
use crate::config::{ConfigError, NodeConfig, Trust};
use crate::discovery::Advertised;
use crate::event::RouterId;
use crate::ice_servers::IceServer;
use crate::identity::Identity;
use crate::limits::{COMMAND_QUEUE, MAX_ROUTERS};
use crate::metrics::Metrics;
use crate::node::{Node, NodeError};
use crate::pairs::Pairs;

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A configuration value is out of its range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The node could not be made.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The embedded router could not start.
    #[error(transparent)]
    Router(#[from] ServerError),
    /// No socket for data channels, or no randomness.
    #[error("{what}: {error}")]
    Io {
        /// What was attempted.
        what: &'static str,
        /// How it failed.
        error: std::io::Error,
    },
}

/// Puts a node together. Without any router it can do nothing.
#[derive(Debug, Default)]
pub struct NodeBuilder {
    config: NodeConfig,
    routers: Vec<RouterUrl>,
    embedded: Option<RouterConfig>,
    loopback: Loopback,
    udp_port: u16,
    discovery: bool,
    identity: Option<Identity>,
    pairs: Pairs,
    store: Option<Store>,
    tokens: TokenTable,
}

/// A node at work.
#[derive(Debug)]
pub struct Running {
    /// To give it orders.
    pub handle: NodeHandle,
    /// What it tells.
    pub events: Events,
    /// Where the embedded router listens, if there is one.
    pub router_addr: Option<SocketAddr>,
    /// The routers, by [`RouterId`]: the embedded one first.
    pub routers: Vec<RouterAddress>,
    /// Finishes when the node has stopped. Dropping it stops the node at once, without goodbyes.
    pub task: Task<()>,
    /// What `/metrics` of the embedded router tells of the node.
    pub metrics: Rc<RefCell<Metrics>>,
}

impl Running {
    /// The router inside the node, if there is one.
    #[must_use]
    pub fn embedded_router(&self) -> Option<&Server> {
        self.routers.iter().find_map(|router| match router {
            RouterAddress::Embedded(server) => Some(server),
            RouterAddress::Url(_) => None,
        })
    }
}

impl NodeBuilder {
    /// A node with the default configuration.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces the configuration. It is checked when the node starts.
    #[must_use]
    pub fn config(mut self, config: NodeConfig) -> Self {
        self.config = config;
        self
    }

    /// The name announced to peers.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.config.name = name.into();
        self
    }

    /// Whose offers are taken. Default [`Trust::Paired`].
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.config.trust = trust;
        self
    }

    /// How long a link may take to open.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.config.connect_timeout = timeout;
        self
    }

    /// Uses this router. May be given several times.
    #[must_use]
    pub fn router(mut self, url: RouterUrl) -> Self {
        self.routers.push(url);
        self
    }

    /// Runs a router inside the node, and uses it.
    #[must_use]
    pub fn embedded_router(mut self, config: RouterConfig) -> Self {
        self.embedded = Some(config);
        self
    }

    /// Asks this STUN or TURN server for addresses. May be given several times.
    #[must_use]
    pub fn ice_server(mut self, server: IceServer) -> Self {
        self.config.ice_servers.push(server);
        self
    }

    /// Whether links may run over the loopback interface.
    #[must_use]
    pub fn loopback(mut self, loopback: Loopback) -> Self {
        self.loopback = loopback;
        self
    }

    /// The UDP port of the data channels, the same on every address of this host: for firewalls that open one. 0, the default, is
    /// any free one. All links share it.
    #[must_use]
    pub fn udp_port(mut self, port: u16) -> Self {
        self.udp_port = port;
        self
    }

    /// Looks for other devices on the network, by multicast DNS and by broadcast, and tells them of the router inside this node, if
    /// there is one and it listens to other hosts. Default off.
    #[must_use]
    pub fn discovery(mut self, on: bool) -> Self {
        self.discovery = on;
        self
    }

    /// Connects to paired devices by itself. Default off.
    #[must_use]
    pub fn resident(mut self, on: bool) -> Self {
        self.config.resident = on;
        self
    }

    /// Who the node is. Without this it gets a new identity at every start.
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// The devices it is paired with. Default none.
    #[must_use]
    pub fn pairs(mut self, pairs: Pairs) -> Self {
        self.pairs = pairs;
        self
    }

    /// Who the node is and with whom it is paired, from its state directory. [`Status::storage`](super::Status::storage) tells how
    /// lasting that is.
    #[must_use]
    pub fn state(mut self, state: State) -> Self {
        let State { identity, pairs, store } = state;
        self.store = Some(store);
        self.identity(identity).pairs(pairs)
    }

    /// The tokens that the router inside the node knows. Default none.
    #[must_use]
    pub fn tokens(mut self, tokens: TokenTable) -> Self {
        self.tokens = tokens;
        self
    }

    /// Starts the node on `executor`.
    ///
    /// # Errors
    /// When a value is out of its range, or a socket cannot be opened; the message names which.
    pub async fn start(self, executor: &Rc<LocalExecutor<'static>>) -> Result<Running, StartError> {
        let io = |what| move |error| StartError::Io { what, error };
        let seed = || clock::seed().map_err(io("no randomness from the operating system"));
        self.config.check()?;
        let count = self.routers.len() + usize::from(self.embedded.is_some());
        if !(1..=MAX_ROUTERS).contains(&count) {
            let (value, expected) = (count.to_string(), "1 to 4");
            return Err(ConfigError { field: "routers", value, expected }.into());
        }
        let router_is_local = self.routers.iter().any(RouterUrl::is_local);
        let watch = Watch::new(); // before the first look, so that no change falls in between
        let filter = Filter { loopback: self.loopback, router_is_local };
        let found = filter.list().map_err(io("cannot list the network interfaces"))?;
        let sockets = Sockets::bind(&found.places, self.udp_port)
            .map_err(io("cannot open a socket for data channels"))?;

        let mut routers = Vec::with_capacity(count);
        let mut router_addr = None;
        if let Some(config) = self.embedded {
            let server = Server::bind(config, seed()?, Rc::clone(executor)).await?;
            server.set_tokens(self.tokens);
            router_addr = Some(server.local_addr());
            routers.push(RouterAddress::Embedded(server));
        }
        routers.extend(self.routers.into_iter().map(RouterAddress::Url));

        let (resolver, resolved) = Resolver::new(Rc::clone(executor), &self.config.ice_servers);
        let identity = match self.identity {
            Some(identity) => identity,
            None => Identity::generate(&mut StdRng::from_seed(seed()?)).map_err(NodeError::from)?,
        };
        let lookout = if self.discovery {
            let device = identity.id();
            let (advertised, only) = advertised(&self.config.name, &routers);
            let config = LookoutConfig { device, advertised, only, loopback: self.loopback };
            Some(Lookout::start(config, executor).map_err(io("no randomness from the operating system"))?)
        } else {
            None
        };
        let mut node =
            Node::with_identity(seed()?, clock::now(), self.config, routers.len(), identity, self.pairs)?;
        if let Some(RouterAddress::Embedded(_)) = routers.first() {
            node.withhold_token(RouterId::FIRST);
        }
        let (commands, command_queue) = bounded(COMMAND_QUEUE);
        let (event_queue, events) = events::queue();
        let (connections, news) = Routers::new(Rc::clone(executor), routers.clone());
        let driver = Driver {
            node,
            sockets,
            mdns: super::mdns::Mdns::default(),
            routers: connections,
            news: Box::pin(news),
            resolver,
            resolved: Box::pin(resolved),
            commands: Box::pin(command_queue),
            events: event_queue,
            parked: std::collections::VecDeque::new(),
            timer: Timer::never(),
            timer_at: None,
            due: None,
            watch,
            lookout,
            told_pairing: false,
            filter,
            found,
            store: self.store,
            pairing_waiters: Vec::new(),
            started: clock::now(),
            metrics: Rc::default(),
        };
        let embedded = routers.iter().find_map(|router| match router {
            RouterAddress::Embedded(server) => Some(server.clone()),
            RouterAddress::Url(_) => None,
        });
        if let Some(server) = &embedded {
            let metrics = Rc::clone(&driver.metrics);
            server.add_metrics(move |page| metrics.borrow().write(page));
        }
        let metrics = Rc::clone(&driver.metrics);
        let task = executor.spawn(run(driver, embedded, Rc::clone(executor)));
        Ok(Running { handle: NodeHandle::new(commands), events, router_addr, routers, task, metrics })
    }

    /// Starts the node on a thread of its own.
    ///
    /// # Errors
    /// As [`Self::start`], and when no thread can be made.
    pub fn start_thread(self) -> Result<(NodeHandle, Events, Option<SocketAddr>), StartError> {
        let (sender, receiver) = bounded(1);
        let body = move || {
            let executor = Rc::new(LocalExecutor::new());
            smol::block_on(executor.run(async {
                match self.start(&executor).await {
                    Ok(Running { handle, events, router_addr, task, .. }) => {
                        let started = Ok((handle, events, router_addr));
                        if sender.send(started).await.is_ok() {
                            task.await;
                        }
                    }
                    Err(error) => {
                        if sender.send(Err(error)).await.is_err() {
                            log::debug!("nobody waited for the node to start");
                        }
                    }
                }
            }));
        };
        let spawned = std::thread::Builder::new().name("clasp-node".to_owned()).spawn(body);
        spawned.map_err(|error| StartError::Io { what: "cannot start a thread", error })?;
        receiver.recv_blocking().unwrap_or_else(|_| {
            let error = std::io::Error::other("the node's thread ended");
            Err(StartError::Io { what: "cannot start the node", error })
        })
    }
}

/// What is told of the router in this node: if it listens to other hosts, its port, and its address if it is only one.
fn advertised(name: &str, routers: &[RouterAddress]) -> (Option<Advertised>, Option<IpAddr>) {
    let listening = routers.iter().find_map(|router| match router {
        RouterAddress::Embedded(server) => Some(server.local_addrs()),
        RouterAddress::Url(_) => None,
    });
    let open = listening.unwrap_or_default().iter().filter(|address| !address.ip().is_loopback());
    let Some(address) = open.min_by_key(|address| !address.ip().is_unspecified()) else {
        return (None, None);
    };
    let only = Some(address.ip()).filter(|ip| !ip.is_unspecified());
    (Some(Advertised { name: name.to_owned(), port: address.port() }), only)
}

/// Runs the node, and the router in it for as long.
async fn run(driver: Driver, embedded: Option<Server>, executor: Rc<LocalExecutor<'static>>) {
    let serving = embedded.clone().map(|server| executor.spawn(async move { server.run().await }));
    driver.run().await;
    if let Some(server) = embedded {
        server.shutdown().await;
    }
    if let Some(serving) = serving {
        serving.cancel().await;
    }
}
