//! What the short-lived commands have in common: start a node, find the peer, open the link.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use async_signal::{Signal, Signals};
use clasp_node::driver::service::{Wanted, choose};
use clasp_node::driver::store::{Access, State, StatePlace, TokenStore};
use clasp_node::driver::{self, Loopback, RouterAddress};
use clasp_node::{Event, FailReason, LinkId, NodeBuilder, NodeConfig, PeerInfo, RouterUrl, Running, Trust};
use rand::SeedableRng;
use rand::rngs::StdRng;
use smol::LocalExecutor;
use smol::future::FutureExt;
use smol::stream::StreamExt;

use super::{ClientArgs, DEFAULT_ROUTER, Failure, NodeArgs, StateArgs};

/// What to do where there is neither a node nor a router.
const NO_NODE: &str =
    "no clasp-node runs here: `clasp-node run` starts one, --router URL names a router elsewhere";

/// Sessions of one name that are tried: more than a host leaves behind.
const MAX_ATTEMPTS: usize = 4;

/// Where the token for routers is.
const TOKEN_VARIABLE: &str = "CLASP_NODE_TOKEN";

/// More than any token: ours have 37, stock routers know some of other kinds.
const MAX_TOKEN_BYTES: usize = 4096;

impl NodeArgs {
    pub(super) fn name(&self) -> String {
        self.name.clone().unwrap_or_else(host_name)
    }

    pub(super) fn builder(&self) -> Result<NodeBuilder, Failure> {
        let config = NodeConfig {
            ice_servers: self.ice.servers()?,
            turn_only: self.ice.turn_only(),
            name: self.name(),
            token: token()?,
            connect_timeout: self.connect_timeout,
            routing: self.routing,
            trust: self.trust,
            ..NodeConfig::default()
        };
        if self.trust == Trust::Open {
            log::warn!("trust is open: every peer that can reach a router of this node may connect to it");
        }
        let loopback = if self.loopback { Loopback::Only } else { Loopback::Auto };
        Ok(NodeBuilder::new().config(config).loopback(loopback).udp_port(self.udp_port.unwrap_or(0)))
    }

    /// The same, as the device this is.
    pub(super) fn stored_builder(&self, access: Access) -> Result<NodeBuilder, Failure> {
        Ok(self.builder()?.state(self.state.open(access)?))
    }
}

impl StateArgs {
    pub(super) fn place(&self) -> StatePlace {
        StatePlace::choose(self.state_dir.clone())
    }

    pub(super) fn tokens(&self) -> TokenStore {
        TokenStore::at(self.place())
    }

    pub(super) fn open(&self, access: Access) -> Result<State, Failure> {
        let mut rng = StdRng::from_seed(driver::seed()?);
        Ok(State::open(self.place(), access, &mut rng)?)
    }
}

/// The token for routers on other machines, if one is given. Never an argument: everybody on the host can read those.
pub(super) fn token() -> Result<String, Failure> {
    match std::env::var(TOKEN_VARIABLE) {
        Ok(token) if token.len() <= MAX_TOKEN_BYTES && !token.chars().any(char::is_control) => Ok(token),
        Err(std::env::VarError::NotPresent) => Ok(String::new()),
        _ => Err(Failure::Usage(format!("{TOKEN_VARIABLE}: expected up to {MAX_TOKEN_BYTES} bytes of text"))),
    }
}

/// The host's name, clipped to what a node may be called.
pub(super) fn host_name() -> String {
    let uname = rustix::system::uname();
    let name: String = uname.nodename().to_string_lossy().chars().take(15).collect();
    if name.is_empty() { "clasp-node".to_owned() } else { name }
}

/// An open link.
pub(super) struct Link {
    pub(super) id: LinkId,
    pub(super) path: String,
    pub(super) after: Duration,
}

/// How an attempt to open a link ended.
enum Attempt {
    Linked(Link),
    /// The session has ended already.
    Gone(String),
    /// Nobody answers there.
    Silent(String),
}

/// A node at work for one command.
pub(super) struct Client {
    pub(super) running: Running,
    wait: Duration,
}

impl Client {
    /// Starts a node that is this device, and waits until a router has welcomed it.
    pub(super) async fn start(
        args: &ClientArgs,
        executor: &Rc<LocalExecutor<'static>>,
    ) -> Result<Self, Failure> {
        Self::begin(args.node.stored_builder(Access::Read)?, args, executor).await
    }

    /// The same for a node that has nothing to do with this device, and is forgotten when it ends.
    pub(super) async fn start_fresh(
        args: &ClientArgs,
        executor: &Rc<LocalExecutor<'static>>,
    ) -> Result<Self, Failure> {
        Self::begin(args.node.builder()?, args, executor).await
    }

    async fn begin(
        mut builder: NodeBuilder,
        args: &ClientArgs,
        executor: &Rc<LocalExecutor<'static>>,
    ) -> Result<Self, Failure> {
        // Where nobody says otherwise, the router of a node on this machine that commands do not reach.
        let default = if args.router.is_empty() { Some(DEFAULT_ROUTER.parse()?) } else { None };
        let routers: Vec<RouterUrl> = args.router.iter().cloned().chain(default.clone()).collect();
        for url in &routers {
            builder = builder.router(url.clone());
        }
        let running = start(builder, executor).await?;
        let client = Self { running, wait: args.wait };
        let mut unreachable = BTreeMap::new();
        client
            .until(async |client| {
                while let Some(event) = client.running.events.next().await {
                    match event {
                        Event::RouterReady { .. } => return Ok(()),
                        // The node would try for ever; a person who typed a wrong address would rather know.
                        Event::RouterLost { router, why, .. } => {
                            unreachable.insert(router, why);
                            if unreachable.len() >= routers.len() {
                                let mut all: Vec<_> =
                                    std::mem::take(&mut unreachable).into_values().collect();
                                all.extend(default.as_ref().map(|_| NO_NODE.to_owned()));
                                return Err(Failure::Failed(all.join("; ")));
                            }
                        }
                        _ => {}
                    }
                }
                Err(Failure::Failed("the node stopped".to_owned()))
            })
            .await
            .unwrap_or_else(|| {
                Err(Failure::Failed(format!("no router welcomed us within {:?}", args.wait)))
            })?;
        Ok(client)
    }

    /// Waits for the peer that `wanted` names.
    pub(super) async fn find(&self, wanted: &str) -> Result<PeerInfo, Failure> {
        self.find_but(wanted, &BTreeSet::new()).await
    }

    /// The same, but for sessions that are `silent`.
    async fn find_but(&self, wanted: &str, silent: &BTreeSet<String>) -> Result<PeerInfo, Failure> {
        let found = self
            .until(async |client| {
                let called = Wanted::new(wanted, &client.running.handle).await?;
                loop {
                    let peers = client.running.handle.peers().await?;
                    if let Some(peer) = choose(&peers, &called, silent).map_err(Failure::Failed)? {
                        return Ok(peer.clone());
                    }
                    while !matches!(client.running.events.next().await, None | Some(Event::PeerSeen(_))) {}
                }
            })
            .await;
        found.unwrap_or_else(|| {
            let wait = self.wait;
            let hint = "`clasp-node peers` lists who is there";
            Err(Failure::Failed(format!("no peer called {wanted:?} within {wait:?}; {hint}")))
        })
    }

    /// Waits for the peer that `wanted` names, and opens a link to it. The node's own timeout applies to each attempt.
    ///
    /// A router may announce a session for a moment longer than it lives, or for a minute if its device has moved, so the next one of
    /// that name is tried then.
    pub(super) async fn reach(&self, wanted: &str) -> Result<(PeerInfo, Link), Failure> {
        let (mut attempts, mut silent) = (0, BTreeSet::new());
        let called = Wanted::new(wanted, &self.running.handle).await?;
        loop {
            let peer = self.find_but(wanted, &silent).await?;
            attempts += 1;
            match self.connect(&peer).await? {
                Attempt::Linked(link) => return Ok((peer, link)),
                Attempt::Gone(why) if wanted == peer.session || attempts == MAX_ATTEMPTS => {
                    return Err(Failure::Failed(why));
                }
                Attempt::Gone(why) => log::info!("{why}"),
                Attempt::Silent(why) => {
                    silent.insert(peer.session);
                    let peers = self.running.handle.peers().await?;
                    if !peers.iter().any(|other| called.is(other) && !silent.contains(&other.session)) {
                        return Err(Failure::Failed(why));
                    }
                    log::info!("{why}");
                }
            }
        }
    }

    async fn connect(&self, peer: &PeerInfo) -> Result<Attempt, Failure> {
        let id = self.running.handle.connect(peer.router, &peer.session).await?;
        while let Some(event) = self.running.events.next().await {
            match event {
                Event::Connected { link, path, after, .. } if link == id => {
                    let path = path.to_string();
                    return Ok(Attempt::Linked(Link { id, path, after }));
                }
                Event::Relayed { link, router, why, after, .. } if link == id => {
                    let path = format!("through {router}, not directly: {why}");
                    return Ok(Attempt::Linked(Link { id, path, after }));
                }
                Event::Failed { link, why, .. } if link == id => {
                    return match why {
                        FailReason::NoSuchSession(_) => Ok(Attempt::Gone(why.to_string())),
                        FailReason::NoAnswer(_) => Ok(Attempt::Silent(why.to_string())),
                        why => Err(Failure::Failed(why.to_string())),
                    };
                }
                Event::Disconnected { link, why, .. } if link == id => {
                    return Err(Failure::Failed(why.to_string()));
                }
                _ => {}
            }
        }
        Err(Failure::Failed("the node stopped".to_owned()))
    }

    /// Runs `work` for at most the time the user is ready to wait; `None` if that was not enough.
    async fn until<T>(&self, work: impl AsyncFnOnce(&Self) -> T) -> Option<T> {
        async { Some(work(self).await) }
            .or(async {
                smol::Timer::after(self.wait).await;
                None
            })
            .await
    }
}

/// Starts a node; values out of range are the user's mistake, the rest is not.
pub(super) async fn start(
    builder: NodeBuilder,
    executor: &Rc<LocalExecutor<'static>>,
) -> Result<Running, Failure> {
    let running = builder.start(executor).await.map_err(|error| match error {
        clasp_node::driver::StartError::Config(error) => Failure::Usage(error.to_string()),
        error => Failure::Failed(error.to_string()),
    })?;
    for router in &running.routers {
        if let RouterAddress::Url(url) = router {
            log::info!("router {url}");
        }
    }
    Ok(running)
}

/// Runs `work` until it is done or the user interrupts it.
pub(super) async fn interruptible<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let mut signals = Signals::new([Signal::Int, Signal::Term])?;
    work.or(async {
        signals.next().await;
        Err(Failure::Interrupted)
    })
    .await
}
