//! What was found, layer by layer, before anybody judges it.

use std::net::IpAddr;
use std::time::Duration;

use clasp_node::FailReason;
use clasp_node::driver::SkippedAddress;
use clasp_node::driver::probe::{DatagramFault, RouterFault};
use clasp_node::status::Tried;

use crate::cli::status::view;

#[derive(Debug)]
pub(super) struct Findings {
    /// The clock on the wall, since 1970.
    pub(super) clock: Duration,
    /// The user wants no other interface.
    pub(super) loopback_only: bool,
    pub(super) addresses: Result<Addresses, String>,
    pub(super) running: Running,
    pub(super) routers: Vec<RouterFinding>,
    pub(super) multicast: Vec<(IpAddr, Result<Duration, DatagramFault>)>,
    pub(super) broadcast: Vec<(IpAddr, Result<Duration, DatagramFault>)>,
    /// From, to.
    pub(super) udp: Vec<(IpAddr, IpAddr, Result<Duration, DatagramFault>)>,
    /// Unless none was asked for.
    pub(super) peer: Option<(String, PeerFinding)>,
}

#[derive(Debug)]
pub(super) struct Addresses {
    pub(super) usable: Vec<IpAddr>,
    pub(super) skipped: Vec<SkippedAddress>,
}

/// The node that runs on this machine.
#[derive(Debug)]
pub(super) enum Running {
    No(String),
    Unknown(String),
    Yes(Box<view::Node>),
}

#[derive(Debug)]
pub(super) struct RouterFinding {
    pub(super) url: String,
    /// Its name.
    pub(super) welcome: Result<String, RouterFault>,
}

/// What became of a link to a peer.
#[derive(Debug)]
pub(super) enum PeerFinding {
    /// There is nowhere to meet.
    NoRouter,
    /// It could not be called, for this reason.
    NotReached(String),
    /// It never opened.
    Failed { why: FailReason, tried: Tried, skipped: Vec<String> },
    /// It opened.
    Linked { path: String, after: Duration, rtt: Option<Duration> },
}
