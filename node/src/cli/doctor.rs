//! `clasp-node doctor`: looks at every layer a link needs, and names the one that is in the way.

mod findings;
mod verdict;

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use clasp_node::driver::control::{AskError, Place};
use clasp_node::driver::{self, Loopback, probe};
use clasp_node::limits::MAX_ROUTERS;
use clasp_node::{Channel, Event, LinkId, RouterUrl, RoutingMode, Step};
use serde_json::json;
use smol::LocalExecutor;

use super::client::{self, Client, interruptible};
use super::{ClientArgs, DoctorArgs, Failure, NodeArgs, output, ping, status};
use findings::{Addresses, Findings, PeerFinding, RouterFinding, Running};
use verdict::{Check, Verdict};

/// How long a router may take to answer, for each of dialling and HELLO.
const ROUTER_LIMIT: Duration = Duration::from_secs(5);

/// Round trips measured on a link; the best one is told.
const PINGS: usize = 3;

pub(super) async fn run(args: DoctorArgs, executor: &Rc<LocalExecutor<'static>>) -> Result<(), Failure> {
    if args.router.len() > MAX_ROUTERS {
        return Err(Failure::Usage(format!("at most {MAX_ROUTERS} times --router")));
    }
    let json = args.json;
    let token = client::token()?;
    let findings = interruptible(async { Ok(find(args, &token, executor).await) }).await?;
    let checks = verdict::judge(&findings);
    let failed = checks.iter().filter(|check| check.verdict == Verdict::Failed).count();
    if json {
        output::object(&json!({"ok": failed == 0, "checks": checks}))?;
    } else {
        checks.iter().try_for_each(print)?;
    }
    match failed {
        0 => Ok(()),
        1 => Err(Failure::Failed("1 check failed".to_owned())),
        failed => Err(Failure::Failed(format!("{failed} checks failed"))),
    }
}

fn print(check: &Check) -> std::io::Result<()> {
    let verdict = match check.verdict {
        Verdict::Ok => "ok",
        Verdict::Warning => "warning",
        Verdict::Failed => "FAILED",
    };
    output::line(&format!("{verdict:<7}  {:<10}  {}", check.layer, check.what))?;
    for detail in &check.details {
        output::line(&format!("{:<19}  - {detail}", ""))?;
    }
    match &check.advice {
        Some(advice) => output::line(&format!("{:<19}  => {advice}", "")),
        None => Ok(()),
    }
}

async fn find(args: DoctorArgs, token: &str, executor: &Rc<LocalExecutor<'static>>) -> Findings {
    let running = match status::ask(&Place::choose(args.control.control.clone())).await {
        Ok(status) => match serde_json::from_value(status) {
            Ok(node) => Running::Yes(Box::new(node)),
            Err(error) => Running::Unknown(error.to_string()),
        },
        Err(error @ (AskError::NotRunning(_) | AskError::Place(_))) => Running::No(error.to_string()),
        Err(error) => Running::Unknown(error.to_string()),
    };
    let urls = if args.router.is_empty() { routers_of(&running) } else { args.router.clone() };
    let (loopback_only, name) = (args.node.loopback, args.node.name());
    let loopback = if loopback_only { Loopback::Only } else { Loopback::Auto };
    let router_is_local = urls.iter().any(RouterUrl::is_local);
    let addresses = driver::addresses(loopback, router_is_local);
    let usable = addresses.as_ref().map(|found| found.usable.clone()).unwrap_or_default();

    let routers: Vec<_> = urls
        .iter()
        .map(|url| {
            let (url, name, token) = (url.clone(), name.clone(), token.to_owned());
            executor.spawn(async move {
                let welcome = probe::router(&url, &name, &token, ROUTER_LIMIT).await;
                (url, welcome)
            })
        })
        .collect();
    let networks = || {
        usable.iter().filter_map(|ip| match ip {
            IpAddr::V4(v4) if !v4.is_loopback() => Some(*v4),
            _ => None,
        })
    };
    let multicast: Vec<_> = networks()
        .map(|on| executor.spawn(async move { (IpAddr::from(on), probe::multicast(on).await) }))
        .collect();
    let broadcast: Vec<_> = networks()
        .map(|on| executor.spawn(async move { (IpAddr::from(on), probe::broadcast(on).await) }))
        .collect();
    let udp: Vec<_> = ways(&usable)
        .into_iter()
        .map(|(from, to)| executor.spawn(async move { (from, to, probe::udp(from, to).await) }))
        .collect();

    let mut found = Findings {
        clock: driver::unix_time(),
        loopback_only,
        addresses: addresses
            .map(|found| Addresses { usable: found.usable, skipped: found.skipped })
            .map_err(|error| error.to_string()),
        running,
        routers: Vec::new(),
        multicast: Vec::new(),
        broadcast: Vec::new(),
        udp: Vec::new(),
        peer: None,
    };
    let mut welcome_on = Vec::new();
    for task in routers {
        let (url, welcome) = task.await;
        found.routers.push(RouterFinding { url: url.to_string(), welcome });
        if found.routers.last().is_some_and(|finding| finding.welcome.is_ok()) {
            welcome_on.push(url);
        }
    }
    for task in multicast {
        found.multicast.push(task.await);
    }
    for task in broadcast {
        found.broadcast.push(task.await);
    }
    for task in udp {
        found.udp.push(task.await);
    }
    if let Some(peer) = args.peer {
        // Through the router it would work where nothing else does, and that is not the question.
        let node = NodeArgs { routing: RoutingMode::P2pOnly, ..args.node };
        let control = super::ControlArgs { control: None };
        let client = ClientArgs { node, router: welcome_on, control, wait: args.wait, json: false };
        let finding = link(&client, &peer, executor).await;
        found.peer = Some((peer, finding));
    }
    found
}

/// The routers of the node that runs here, else the one that would be used by default.
fn routers_of(running: &Running) -> Vec<RouterUrl> {
    let known = match running {
        Running::Yes(node) => node.routers.iter().filter_map(|router| address(&router.url)).collect(),
        Running::No(_) | Running::Unknown(_) => Vec::new(),
    };
    if known.is_empty() { address(super::DEFAULT_ROUTER).into_iter().collect() } else { known }
}

/// A router's address as `status` tells it.
fn address(text: &str) -> Option<RouterUrl> {
    let Some(embedded) = text.strip_prefix("embedded router on ") else { return text.parse().ok() };
    let listens: SocketAddr = embedded.parse().ok()?;
    Some(RouterUrl::from(probe::local(listens)))
}

/// From each address to itself, and to the next one of its family. Not between IPv6 link-local ones: the way would have to name their
/// interface, and what filters let pass seldom depends on it.
fn ways(addresses: &[IpAddr]) -> Vec<(IpAddr, IpAddr)> {
    let is_local = |ip: &IpAddr| matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
    let addresses: Vec<_> = addresses.iter().copied().filter(|ip| !is_local(ip)).collect();
    let own = addresses.iter().map(|ip| (*ip, *ip));
    let next = addresses.iter().enumerate().filter_map(|(n, from)| {
        let to = addresses.iter().skip(n + 1).find(|to| to.is_ipv4() == from.is_ipv4())?;
        Some((*from, *to))
    });
    own.chain(next).collect()
}

/// Opens a link to the peer as any node would, and closes it again.
async fn link(args: &ClientArgs, peer: &str, executor: &Rc<LocalExecutor<'static>>) -> PeerFinding {
    if args.router.is_empty() {
        return PeerFinding::NoRouter;
    }
    let client = match Client::start(args, executor).await {
        Ok(client) => client,
        Err(failure) => return PeerFinding::NotReached(text(failure)),
    };
    let finding = attempt(&client, peer).await.unwrap_or_else(PeerFinding::NotReached);
    client.running.handle.shutdown().await;
    finding
}

async fn attempt(client: &Client, peer: &str) -> Result<PeerFinding, String> {
    let peer = client.find(peer).await.map_err(text)?;
    let handle = &client.running.handle;
    let id = handle.connect(peer.router, &peer.session).await.map_err(|error| error.to_string())?;
    let mut skipped = Vec::new();
    while let Some(event) = client.running.events.next().await {
        match event {
            Event::Step { link, step: Step::CandidateSkipped(why), .. } if link == id => skipped.push(why),
            Event::Connected { link, path, after, .. } if link == id => {
                let path = format!("{} to {}", path.local, path.remote);
                return Ok(PeerFinding::Linked { path, after, rtt: round_trip(client, id).await });
            }
            Event::Failed { link, why, .. } if link == id => {
                let ended = handle.status().await.map_err(|error| error.to_string())?.ended;
                let tried = ended.into_iter().find(|ended| ended.peer == peer.session).and_then(|e| e.tried);
                return Ok(PeerFinding::Failed { why, tried: tried.unwrap_or_default(), skipped });
            }
            Event::Disconnected { link, why, .. } if link == id => return Err(why.to_string()),
            _ => {}
        }
    }
    Err("the node stopped".to_owned())
}

/// The best of a few; `None` towards a stock peer, which answers no pings.
async fn round_trip(client: &Client, link: LinkId) -> Option<Duration> {
    let mut best = None;
    for _ in 0..PINGS {
        let rtt = ping::ping(client, link, Channel::Reliable).await.ok()??;
        best = Some(best.map_or(rtt, |before: Duration| before.min(rtt)));
    }
    best
}

fn text(failure: Failure) -> String {
    match failure {
        Failure::Failed(why) | Failure::Usage(why) => why,
        Failure::Interrupted => "interrupted".to_owned(),
        Failure::Unread => "nobody reads it".to_owned(),
    }
}

#[cfg(test)]
mod tests;
