//! What can be asked for, and the answers that are one line.

use std::time::Duration;

use log::warn;
use router_lite::TokenScope;
use serde::Deserialize;
use serde_json::{Value, json};

use super::streams::{LogsRequest, PingRequest, RecvRequest, SendRequest};
use crate::driver::handle::{NodeHandle, Stopped};
use crate::driver::meet::meet;
use crate::driver::service::Service;
use crate::driver::tokens::TokenDesk;
use crate::pairing::{Known, WINDOW};

/// What can be asked for.
#[derive(Debug, Deserialize)]
#[serde(tag = "cmd", rename_all = "snake_case")]
pub(super) enum Request {
    /// How the node is.
    Status,
    /// Who has announced themselves, and where.
    Peers,
    /// The devices that are known.
    Discover,
    /// Show a code for so long.
    PairShow {
        seconds: Option<u64>,
        /// In the node's log as well: for a device whose log is the only thing that can be seen of it.
        #[serde(default)]
        log: bool,
    },
    /// The code is good no more.
    PairHide,
    /// Wait for the end of the next pairing.
    PairWait,
    /// Pair with a peer that shows this code.
    Pair { peer: String, code: String },
    /// The paired devices.
    Pairs,
    /// Forget one of them.
    Forget { name: String },
    /// Call one of them by another name.
    Rename { name: String, to: String },
    /// Make a token for the router in the node.
    TokenAdd { name: String, scopes: Vec<String> },
    /// Its tokens.
    TokenList,
    /// Take one of them back.
    TokenRevoke { name: String },
    /// Round trips to a peer.
    Ping(PingRequest),
    /// A file for a peer.
    Send(SendRequest),
    /// Files that peers send.
    Recv(RecvRequest),
    /// What the node logged.
    Logs(LogsRequest),
}

/// What to do with a request.
pub(super) enum Work {
    /// It was done, and this is the answer.
    Answered(Result<Value, String>),
    /// It takes the connection.
    Lasts(Lasting),
}

/// A command that tells how it goes.
pub(super) enum Lasting {
    Ping(PingRequest),
    Send(SendRequest),
    Recv(RecvRequest),
    Logs(LogsRequest),
}

/// Carries out a request, if that can be done with one answer.
pub(super) async fn answer(request: Request, service: &Service, tokens: Option<&TokenDesk>) -> Work {
    let node = service.node();
    Work::Answered(match request {
        Request::Status => status(service).await,
        Request::Peers => value(peers(node).await),
        Request::Discover => value(node.devices().await),
        Request::PairShow { seconds, log } => {
            let shown = node.show_code(seconds.map_or(WINDOW, Duration::from_secs)).await;
            if let Ok(shown) = &shown
                && log
            {
                warn!("pairing code {}, good for {} s", shown.code, shown.lasts.as_secs());
            }
            value(shown)
        }
        Request::PairHide => value(node.hide_code().await),
        Request::PairWait => value(node.paired().await),
        Request::Pair { peer, code } => pair(node, &peer, &code).await,
        Request::Pairs => value(node.pairs().await),
        Request::Forget { name } => value(node.forget(&name).await),
        Request::Rename { name, to } => value(node.rename(&name, &to).await),
        Request::TokenAdd { name, scopes } => add_token(tokens, &name, &scopes),
        Request::TokenList => desk(tokens).and_then(|desk| value(Ok::<_, String>(desk.list()))),
        Request::TokenRevoke { name } => desk(tokens).and_then(|desk| value(desk.revoke(&name))),
        Request::Ping(request) => return Work::Lasts(Lasting::Ping(request)),
        Request::Send(request) => return Work::Lasts(Lasting::Send(request)),
        Request::Recv(request) => return Work::Lasts(Lasting::Recv(request)),
        Request::Logs(request) => return Work::Lasts(Lasting::Logs(request)),
    })
}

/// How the node is, and what it shares.
async fn status(service: &Service) -> Result<Value, String> {
    let mut status = value(service.node().status().await)?;
    if let (Some(sharing), Some(status)) = (service.sharing(), status.as_object_mut()) {
        status.insert("shares".to_owned(), value(Ok::<_, String>(sharing.status()))?);
    }
    Ok(status)
}

fn value<T: serde::Serialize, E: std::fmt::Display>(result: Result<T, E>) -> Result<Value, String> {
    let value = result.map_err(|error| error.to_string())?;
    serde_json::to_value(value).map_err(|error| error.to_string())
}

fn desk(tokens: Option<&TokenDesk>) -> Result<&TokenDesk, String> {
    tokens.ok_or_else(|| "this node has no router of its own, or keeps no tokens".to_owned())
}

fn add_token(tokens: Option<&TokenDesk>, name: &str, scopes: &[String]) -> Result<Value, String> {
    let scopes: Result<Vec<TokenScope>, _> = scopes.iter().map(|scope| scope.parse()).collect();
    value(desk(tokens)?.add(name, &scopes.map_err(|error| error.to_string())?))
}

/// The peers, each with the address of its router.
async fn peers(node: &NodeHandle) -> Result<Vec<Value>, Stopped> {
    let routers = node.status().await?.routers;
    let told = node.peers().await?.into_iter().map(|peer| {
        let of_peer = routers.iter().find(|router| router.session.router == peer.router);
        let router = of_peer.map(|router| router.url.as_str());
        json!({
            "session": peer.session, "name": peer.name, "edge": peer.edge, "router": router.unwrap_or_default(),
            "device": peer.device, "pairing": peer.pairing,
        })
    });
    Ok(told.collect())
}

/// Pairs with the one device of that name, device id, session or address that shows a code.
async fn pair(node: &NodeHandle, wanted: &str, code: &str) -> Result<Value, String> {
    let (known, device) = Known::read(code).map_err(|error| error.to_string())?;
    let peer = meet(node, wanted).await?;
    let device = device.or_else(|| wanted.parse().ok());
    value(node.pair(peer.router, &peer.session, known, device).await)
}
