//! What the log tells of a node's life.

use log::{debug, info, warn};

use crate::event::{Event, Step};

/// Addresses of candidates appear at debug level only.
pub(super) fn note(event: &Event) {
    match event {
        Event::RouterReady { router, session, name } => {
            info!("{router}: session {session} on {name:?}");
        }
        Event::RouterLost { router, why, retry_in: Some(retry_in) } => {
            warn!("{router}: {why}; next try in {retry_in:.1?}");
        }
        // Of a device on the network: it may be switched off, or somewhere else now.
        Event::RouterLost { router, why, retry_in: None } => debug!("{router}: {why}"),
        Event::PeerSeen(peer) => {
            info!(
                "peer {} {} announced on {}",
                peer.session,
                peer.name.as_deref().unwrap_or("-"),
                peer.router
            );
        }
        Event::Connecting { link, peer, role } => info!("{link}: connecting to {peer} as {role}"),
        Event::Step { link, peer, role, step } => match step {
            Step::CandidateSent(line) => {
                info!("{link}: ICE candidate generated for {role} ({})", candidate_type(line));
                debug!("{link}: {line}");
            }
            Step::CandidateReceived(line) => {
                info!("{link}: Received ICE candidate from {peer} ({})", candidate_type(line));
                debug!("{link}: {line}");
            }
            Step::CandidateSkipped(why) => info!("{link}: skipped ICE candidate from {peer}: {why}"),
            step => debug!("{link}: {step:?}"),
        },
        Event::Connected { link, peer, role, path, after } => {
            info!("{link}: P2P connection established with {peer} as {role} in {after:.1?}, {path}");
        }
        Event::PathChanged { link, peer, path } => {
            info!("{link}: data to {peer} travels from {path} now");
        }
        Event::Relayed { link, peer, router, why, .. } => {
            warn!("{link}: messages to {peer} go through {router}: {why}");
        }
        Event::Failed { link, peer, why } => warn!("{link}: no connection to {peer}: {why}"),
        Event::Disconnected { link, peer, why } => info!("{link}: disconnected from {peer}: {why}"),
        Event::Paired { device, name, .. } => info!("paired with {name} ({device})"),
        Event::PairingFailed { why } => warn!("pairing: {why}"),
        // The node has warned of the first of them. A line for each would let strangers fill a disk.
        Event::Refused { peer, why } => debug!("offer of {peer} refused: {why}"),
        _ => {}
    }
}

/// `host`, `srflx`, …: the word after `typ` (RFC 8839 §5.1).
fn candidate_type(line: &str) -> &str {
    let mut words = line.split_ascii_whitespace().skip_while(|word| *word != "typ");
    words.nth(1).unwrap_or("?")
}
