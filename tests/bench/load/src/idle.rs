//! What idle sessions cost in memory.

use crate::Outcome;
use crate::client::Client;
use crate::process::{Program, Router};

/// Sessions at which memory is looked at.
const FEW: usize = 100;
const MANY: usize = 1000;

/// Resident memory of a router process, KiB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Idle {
    pub(crate) none: u64,
    pub(crate) few: u64,
    pub(crate) many: u64,
    /// The many with one subscription each.
    pub(crate) subscribed: u64,
}

/// Starts a fresh router and connects clients that say HELLO, read the answer and stay.
pub(crate) fn run(program: &Program) -> Outcome<Idle> {
    let router = Router::start(program)?;
    let none = router.settled_rss_kib()?;
    let mut clients = Vec::with_capacity(MANY);
    connect(&router, &mut clients, FEW)?;
    let few = router.settled_rss_kib()?;
    connect(&router, &mut clients, MANY)?;
    let many = router.settled_rss_kib()?;
    for (index, client) in clients.iter_mut().enumerate() {
        client.subscribe(&format!("/room/{index}/**"))?;
    }
    Client::settle(&mut clients)?;
    let subscribed = router.settled_rss_kib()?;
    // Still served, all of them: memory of sessions that were thrown out would be easily saved.
    Client::settle(&mut clients)?;
    Ok(Idle { none, few, many, subscribed })
}

impl Idle {
    /// KiB for each of the many.
    pub(crate) fn per_session(&self) -> f64 {
        crate::stats::float(self.many.saturating_sub(self.none)) / MANY as f64
    }

    /// KiB for each of the many, subscription included.
    pub(crate) fn per_subscribed_session(&self) -> f64 {
        crate::stats::float(self.subscribed.saturating_sub(self.none)) / MANY as f64
    }
}

fn connect(router: &Router, clients: &mut Vec<Client>, up_to: usize) -> Outcome<()> {
    while clients.len() < up_to {
        clients.push(Client::connect(router.address)?);
    }
    Client::settle(clients)
}
