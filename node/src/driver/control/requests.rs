//! What can be asked for, and the answers that are one line.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::streams::{LogsRequest, PingRequest, RecvRequest, SendRequest};
use crate::driver::handle::{NodeHandle, Stopped};
use crate::driver::service::Wanted;
use crate::node::PairCallError;
use crate::pairing::{Known, WINDOW};

/// What can be asked for.
#[derive(Debug, Deserialize)]
#[serde(tag = "cmd", rename_all = "snake_case")]
pub(super) enum Request {
    /// How the node is.
    Status,
    /// Who has announced themselves, and where.
    Peers,
    /// Show a code for so long.
    PairShow { seconds: Option<u64> },
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
pub(super) async fn answer(request: Request, node: &NodeHandle) -> Work {
    Work::Answered(match request {
        Request::Status => value(node.status().await),
        Request::Peers => value(peers(node).await),
        Request::PairShow { seconds } => {
            let lasts = seconds.map_or(WINDOW, Duration::from_secs);
            value(node.show_code(lasts).await)
        }
        Request::PairHide => value(node.hide_code().await),
        Request::PairWait => value(node.paired().await),
        Request::Pair { peer, code } => pair(node, &peer, &code).await,
        Request::Pairs => value(node.pairs().await),
        Request::Forget { name } => value(node.forget(&name).await),
        Request::Rename { name, to } => value(node.rename(&name, &to).await),
        Request::Ping(request) => return Work::Lasts(Lasting::Ping(request)),
        Request::Send(request) => return Work::Lasts(Lasting::Send(request)),
        Request::Recv(request) => return Work::Lasts(Lasting::Recv(request)),
        Request::Logs(request) => return Work::Lasts(Lasting::Logs(request)),
    })
}

fn value<T: serde::Serialize, E: std::fmt::Display>(result: Result<T, E>) -> Result<Value, String> {
    let value = result.map_err(|error| error.to_string())?;
    serde_json::to_value(value).map_err(|error| error.to_string())
}

/// The peers, each with the address of its router.
async fn peers(node: &NodeHandle) -> Result<Vec<Value>, Stopped> {
    let routers = node.status().await?.routers;
    let told = node.peers().await?.into_iter().map(|peer| {
        let router = routers.get(peer.router.place()).map(|router| router.url.as_str());
        json!({
            "session": peer.session, "name": peer.name, "edge": peer.edge, "router": router.unwrap_or_default(),
            "device": peer.device, "pairing": peer.pairing,
        })
    });
    Ok(told.collect())
}

/// Pairs with the one peer of that name, device id or session that shows a code.
async fn pair(node: &NodeHandle, wanted: &str, code: &str) -> Result<Value, String> {
    let (known, device) = Known::read(code).map_err(|error| error.to_string())?;
    let peers = node.peers().await.map_err(|error| error.to_string())?;
    let called = Wanted::new(wanted, node).await.map_err(|error| error.to_string())?;
    let named: Vec<_> = peers.iter().filter(|peer| called.is(peer)).collect();
    let showing: Vec<_> = named.iter().filter(|peer| peer.pairing).collect();
    let peer = match (showing.as_slice(), named.as_slice()) {
        ([peer], _) => peer,
        ([], []) => return Err(format!("no peer called {wanted:?}; `clasp-node peers` lists who is there")),
        ([], _) => return Err(PairCallError::NotShown.to_string()),
        (several, _) => {
            let ids: Vec<_> = several.iter().map(|peer| peer.session.as_str()).collect();
            return Err(format!("{wanted:?} could be any of {}", ids.join(", ")));
        }
    };
    let device = device.or_else(|| wanted.parse().ok());
    value(node.pair(peer.router, &peer.session, known, device).await)
}
