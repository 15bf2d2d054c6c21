//! The driver: the core on smol, with TCP, HTTP and WebSocket around it.
//!
//! Owns: sockets, the clock, deadlines of writing and closing. Does not own: any decision about what a client may do;
//! those are the core's ([`crate::Router`]).
//!
//! One thread, one executor. No task awaits on behalf of another client, so that no client can stop another one.

mod bridge;
mod clock;
mod connection;
mod handshake;
mod http;
mod hub;
mod line;
mod listen;
mod local;
mod metrics;
mod notify;
mod stream;

use std::{cell::RefCell, fmt, io, net::SocketAddr, net::TcpListener, rc::Rc, time::Duration};

use log::info;
use smol::{Async, LocalExecutor, Task, Timer, future::FutureExt};
use thiserror::Error;

pub use bridge::Bridge;
pub use http::Page;
pub use local::{Closed, LocalSession};

use crate::{
    access::{Origin, TokenTable},
    config::Config,
    counters::Counters,
    exposition::Exposition,
    io::Input,
    router::Counts,
    server::{hub::Hub, notify::Notify},
};

/// How long [`Server::shutdown`] waits for clients to take their leave.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(1);

/// A router with its sockets. Cheap to clone; all clones are the same router.
#[derive(Clone)]
pub struct Server(Rc<Inner>);

struct Inner {
    hub: Rc<Hub>,
    executor: Rc<LocalExecutor<'static>>,
    listeners: RefCell<Vec<Rc<Async<TcpListener>>>>,
    addresses: Vec<SocketAddr>,
    accepting: RefCell<Vec<Task<()>>>,
    stopped: Notify,
    /// Writes and tells the time as long as there is a server.
    _loops: [Task<()>; 2],
}

/// Why a server could not be started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServerError {
    /// An address could not be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says: in use, no permission, no such address.
        source: io::Error,
    },
    /// A listening socket does not say where it listens.
    #[error("cannot tell the address of a listening socket: {0}")]
    Address(#[source] io::Error),
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("addresses", &self.0.addresses).finish_non_exhaustive()
    }
}

impl Server {
    /// Listens on every address of `config`. Clients are accepted once [`Server::run`] is awaited; [`Server::attach`]
    /// works at once. `seed` must come from the system's random source.
    pub async fn bind(
        config: Config,
        seed: [u8; 32],
        executor: Rc<LocalExecutor<'static>>,
    ) -> Result<Self, ServerError> {
        let listeners: Vec<_> = listen::bind(config.bind())?.into_iter().map(Rc::new).collect();
        let addresses = listeners.iter().map(|listener| listener.get_ref().local_addr());
        let addresses = addresses.collect::<io::Result<Vec<_>>>().map_err(ServerError::Address)?;
        let hub = Rc::new(Hub::new(seed, config));
        let loops =
            [executor.spawn(Rc::clone(&hub).flush_loop()), executor.spawn(Rc::clone(&hub).timer_loop())];
        Ok(Self(Rc::new(Inner {
            hub,
            executor,
            listeners: RefCell::new(listeners),
            addresses,
            accepting: RefCell::default(),
            stopped: Notify::default(),
            _loops: loops,
        })))
    }

    /// The first address listened on, with the port the system chose if it was to choose one.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        // A Config has at least one address.
        self.0.addresses.first().copied().unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    /// Every address listened on.
    #[must_use]
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.0.addresses
    }

    /// Connects this process to the router, without a socket.
    #[must_use]
    pub fn attach(&self) -> LocalSession {
        LocalSession::new(Rc::clone(&self.0.hub), Origin::InProcess)
    }

    /// Connects this process to the router, without a socket, to connect the router with others.
    #[must_use]
    pub fn bridge(&self) -> Bridge {
        Bridge::new(Rc::clone(&self.0.hub))
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.0.hub.counters()
    }

    /// Whether one more session would be refused.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0.hub.is_full()
    }

    /// How much the router holds.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.0.hub.counts()
    }

    /// The tokens the router knows from now on, in place of those before; none, until this is called. Sessions begun with
    /// one that is gone are closed.
    pub fn set_tokens(&self, tokens: TokenTable) {
        self.0.hub.apply(Input::Tokens(tokens));
    }

    /// Connections that have ended for the router and are being closed in good order. Bounded.
    #[must_use]
    pub fn lingering(&self) -> usize {
        self.0.hub.lingering.get()
    }

    /// Has `write` add to what `GET /metrics` tells, each time somebody asks. It must not wait for anything, and what it
    /// writes must not grow with what strangers do. A later call replaces the earlier one.
    pub fn add_metrics(&self, write: impl Fn(&mut Exposition) + 'static) {
        self.0.hub.more_metrics.replace(Some(Rc::new(write)));
    }

    /// Serves these files to everybody, in place of those before; none, until this is called.
    pub fn set_pages(&self, pages: &'static [Page]) {
        self.0.hub.pages.set(pages);
    }

    /// Whether there are any.
    #[must_use]
    pub fn serves_pages(&self) -> bool {
        !self.0.hub.pages.get().is_empty()
    }

    /// Accepts clients until [`Server::shutdown`] is done. To be awaited once.
    pub async fn run(&self) {
        let accepting = self.0.listeners.take().into_iter().map(|listener| {
            let hub = Rc::clone(&self.0.hub);
            self.0.executor.spawn(listen::accept_loop(hub, listener, Rc::clone(&self.0.executor)))
        });
        self.0.accepting.borrow_mut().extend(accepting);
        self.0.stopped.wait().await;
    }

    /// Accepts nobody any more, tells every client that the router goes (Close 1001), and waits up to a second until they
    /// have taken their leave.
    pub async fn shutdown(&self) {
        self.0.listeners.take();
        self.0.accepting.take();
        self.0.hub.apply(Input::Shutdown);
        let gone = async {
            while !self.0.hub.is_empty() {
                self.0.hub.empty.wait().await;
            }
        };
        let enough = async {
            Timer::after(SHUTDOWN_WAIT).await;
            info!("not every client has taken its leave in time");
        };
        gone.or(enough).await;
        self.0.stopped.notify();
    }
}
