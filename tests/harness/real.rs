//! Real nodes on real sockets of this host, and waiting for what they tell: by event, with a deadline, never by sleeping.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clasp_node::driver::{Loopback, RouterUrl, now};
use clasp_node::{Event, LinkId, NodeBuilder, NodeConfig, NodeHandle, RouterId, Running};
use router_lite::{Config, Server};
use smol::channel::{Receiver, bounded};
use smol::future::FutureExt;
use smol::{LocalExecutor, Task, Timer};

/// The executor everything of one test runs on.
pub type Executor = Rc<LocalExecutor<'static>>;

/// Runs a test on its own executor.
pub fn run<T>(test: impl AsyncFnOnce(Executor) -> T) -> T {
    let executor = Rc::new(LocalExecutor::new());
    smol::block_on(executor.clone().run(test(executor)))
}

/// A router on a free port of the loopback interface.
#[derive(Debug)]
pub struct RealRouter {
    server: Server,
    task: Task<()>,
}

impl RealRouter {
    /// Starts one.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(executor: &Executor) -> Result<Self, String> {
        Self::start_on(executor, "127.0.0.1:0").await
    }

    /// Starts one on a given address.
    ///
    /// # Errors
    /// When it cannot listen there.
    pub async fn start_on(executor: &Executor, address: &str) -> Result<Self, String> {
        Self::start_with(executor, address, Config::default()).await
    }

    /// As [`Self::start_on`], with a configuration.
    ///
    /// # Errors
    /// When it cannot listen there.
    pub async fn start_with(executor: &Executor, address: &str, config: Config) -> Result<Self, String> {
        let address = address.parse().map_err(|error| format!("{address}: {error}"))?;
        let config = config.with_bind(&[address]).map_err(|error| error.to_string())?;
        let seed = clasp_node::driver::seed().map_err(|error| error.to_string())?;
        let server = Server::bind(config, seed, executor.clone()).await.map_err(|error| error.to_string())?;
        let serving = server.clone();
        let task = executor.spawn(async move { serving.run().await });
        Ok(Self { server, task })
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> RouterUrl {
        RouterUrl::from(self.server.local_addr())
    }

    /// The server itself.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Stops it and closes every session.
    pub async fn stop(self) {
        self.server.shutdown().await;
        self.task.cancel().await;
    }
}

/// A node on real sockets, with all it told.
#[derive(Debug)]
pub struct RealNode {
    /// To give it orders.
    pub handle: NodeHandle,
    told: Rc<RefCell<Vec<(Instant, Event)>>>,
    news: Receiver<()>,
    _tasks: [Task<()>; 2],
}

impl RealNode {
    /// Starts a node that uses the router at `url` and only the loopback interface, and waits until it is welcome.
    ///
    /// # Errors
    /// When it cannot start, or no router welcomes it.
    pub async fn start(executor: &Executor, name: &str, url: RouterUrl) -> Result<Self, String> {
        let config = NodeConfig { name: name.to_owned(), ..NodeConfig::open() };
        Self::start_with(executor, config, url).await
    }

    /// As [`Self::start`], with a configuration.
    ///
    /// # Errors
    /// When it cannot start, or no router welcomes it.
    pub async fn start_with(executor: &Executor, config: NodeConfig, url: RouterUrl) -> Result<Self, String> {
        let builder = NodeBuilder::new().config(config).router(url).loopback(Loopback::Only);
        let running = builder.start(executor).await.map_err(|error| error.to_string())?;
        let Running { handle, events, task, .. } = running;
        let told = Rc::new(RefCell::new(Vec::new()));
        let (sender, news) = bounded(1);
        let log = told.clone();
        let listener = executor.spawn(async move {
            while let Some(event) = events.next().await {
                log.borrow_mut().push((now(), event));
                if sender.try_send(()).is_err() {
                    log::trace!("a notice is waiting already");
                }
            }
        });
        let node = Self { handle, told, news, _tasks: [task, listener] };
        node.until("welcome", |e| matches!(e, Event::RouterReady { .. })).await?;
        Ok(node)
    }

    /// What it told so far, and when.
    #[must_use]
    pub fn told(&self) -> Vec<(Instant, Event)> {
        self.told.borrow().clone()
    }

    /// Forgets what it told, but for its session.
    pub fn forget(&self) {
        self.told.borrow_mut().retain(|(_, event)| matches!(event, Event::RouterReady { .. }));
    }

    /// How many of its events match.
    #[must_use]
    pub fn count(&self, matches: impl Fn(&Event) -> bool) -> usize {
        self.told.borrow().iter().filter(|(_, event)| matches(event)).count()
    }

    /// Its session id.
    ///
    /// # Errors
    /// When it has none.
    pub fn session(&self) -> Result<String, String> {
        let told = self.told.borrow();
        let session = told.iter().rev().find_map(|(_, event)| match event {
            Event::RouterReady { session, .. } => Some(session.clone()),
            _ => None,
        });
        session.ok_or_else(|| "no session".to_owned())
    }

    /// Starts a link to another node.
    ///
    /// # Errors
    /// What the node says.
    pub async fn connect(&self, to: &Self) -> Result<LinkId, String> {
        self.handle.connect(RouterId::FIRST, &to.session()?).await.map_err(|error| error.to_string())
    }

    /// Waits for the first event that matches, also among those already told; at most 10 s.
    ///
    /// # Errors
    /// When it does not come.
    pub async fn until(&self, what: &str, matches: impl Fn(&Event) -> bool) -> Result<Event, String> {
        let mut found = None;
        self.wait(what, |told| {
            found = told.iter().find(|(_, event)| matches(event)).map(|(_, event)| event.clone());
            found.is_some()
        })
        .await?;
        found.ok_or_else(|| what.to_owned())
    }

    /// Waits until `done` is true of what was told; at most 10 s.
    ///
    /// # Errors
    /// When it does not become true.
    pub async fn wait(
        &self,
        what: &str,
        mut done: impl FnMut(&[(Instant, Event)]) -> bool,
    ) -> Result<(), String> {
        let wait = async {
            while !done(&self.told.borrow()) {
                self.news.recv().await.map_err(|_| format!("the node stopped before {what}"))?;
            }
            Ok(())
        };
        wait.or(async {
            Timer::after(Duration::from_secs(10)).await;
            Err(format!("{what} did not happen within 10 s; told: {:?}", self.told.borrow()))
        })
        .await
    }

    /// Waits until a link is open here, and returns it.
    ///
    /// # Errors
    /// When none opens.
    pub async fn connected(&self) -> Result<LinkId, String> {
        match self.until("Connected", |e| matches!(e, Event::Connected { .. })).await? {
            Event::Connected { link, .. } => Ok(link),
            other => Err(format!("{other:?}")),
        }
    }
}

/// A router and two nodes with an open link between them.
///
/// # Errors
/// When any of it does not come about.
pub async fn linked_pair(
    executor: &Executor,
) -> Result<(RealRouter, (RealNode, LinkId), (RealNode, LinkId)), String> {
    let router = RealRouter::start(executor).await?;
    let a = RealNode::start(executor, "a", router.url()).await?;
    let b = RealNode::start(executor, "b", router.url()).await?;
    a.connect(&b).await?;
    let (link_a, link_b) = (a.connected().await?, b.connected().await?);
    Ok((router, (a, link_a), (b, link_b)))
}
