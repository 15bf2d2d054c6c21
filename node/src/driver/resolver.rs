//! The names of STUN and TURN servers.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use smol::channel::{Receiver, Sender, bounded};
use smol::{LocalExecutor, Task};

use crate::ice_servers::{IceServer, ServerAddress, ServerId};
use crate::limits::MAX_ICE_SERVERS;

/// The addresses behind a server's name, or why there are none.
pub(super) type Resolved = (ServerId, io::Result<Vec<SocketAddr>>);

/// Asks the operating system, for each server at most once at a time.
pub(super) struct Resolver {
    executor: Rc<LocalExecutor<'static>>,
    servers: Vec<ServerAddress>,
    asked: BTreeMap<ServerId, Task<()>>,
    results: Sender<Resolved>,
}

impl Resolver {
    pub(super) fn new(
        executor: Rc<LocalExecutor<'static>>,
        servers: &[IceServer],
    ) -> (Self, Receiver<Resolved>) {
        let (results, receiver) = bounded(MAX_ICE_SERVERS);
        let servers = servers.iter().map(|server| server.address().clone()).collect();
        (Self { executor, servers, asked: BTreeMap::new(), results }, receiver)
    }

    pub(super) fn resolve(&mut self, id: ServerId) {
        let Some(server) = self.servers.get(id.place()).cloned() else { return };
        let results = self.results.clone();
        let task = self.executor.spawn(async move {
            let found = smol::net::resolve((server.host(), server.port())).await;
            if results.send((id, found)).await.is_err() {
                log::debug!("nobody is left to hear the address of {server}");
            }
        });
        self.asked.insert(id, task);
    }
}
