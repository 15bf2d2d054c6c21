//! What the findings mean, and what to do about them. Pure: no clock, no socket.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::time::Duration;

use clasp_node::FailReason;
use clasp_node::discovery::BROADCAST_PORT;
use clasp_node::driver::DialError;
use clasp_node::driver::probe::{DatagramFault, MULTICAST_GROUP, RouterFault};
use clasp_node::status::Tried;
use serde::Serialize;

use super::findings::{Findings, PeerFinding, RouterFinding, Running};
use crate::cli::output;

/// Seconds from 1970 to 2024: no board that shows less has heard of the time yet.
const YEAR_2024: u64 = 1_704_067_200;

/// Seconds of a Gregorian year on average.
const YEAR: u64 = 31_556_952;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Ok,
    /// Something does not work, but links may.
    Warning,
    Failed,
}

/// One layer, and how it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    pub(super) layer: &'static str,
    pub(super) verdict: Verdict,
    /// What it is.
    pub(super) what: String,
    /// What to do about it.
    pub(super) advice: Option<String>,
    pub(super) details: Vec<String>,
}

impl Check {
    fn new(layer: &'static str, verdict: Verdict, what: impl Into<String>) -> Self {
        Self { layer, verdict, what: what.into(), advice: None, details: Vec::new() }
    }

    fn ok(layer: &'static str, what: impl Into<String>) -> Self {
        Self::new(layer, Verdict::Ok, what)
    }

    fn warning(layer: &'static str, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..Self::new(layer, Verdict::Warning, what) }
    }

    fn failed(layer: &'static str, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..Self::new(layer, Verdict::Failed, what) }
    }

    fn with(self, details: Vec<String>) -> Self {
        Self { details, ..self }
    }
}

/// Judges every layer, from the ground up.
pub(super) fn judge(findings: &Findings) -> Vec<Check> {
    let mut checks = vec![clock(findings), interfaces(findings), node(&findings.running)];
    checks.extend(findings.routers.iter().map(router));
    checks.push(multicast(findings));
    checks.push(broadcast(findings));
    let udp = udp(findings);
    let passes_here = udp.verdict != Verdict::Failed;
    checks.push(udp);
    checks.extend(findings.peer.iter().map(|(name, found)| peer(name, found, passes_here)));
    checks
}

fn clock(findings: &Findings) -> Check {
    let seconds = findings.clock.as_secs();
    let year = 1970 + seconds / YEAR;
    if seconds >= YEAR_2024 {
        return Check::ok("clock", format!("set: it is {year}"));
    }
    Check::warning(
        "clock",
        format!("clock unset: it says {year}"),
        "nothing here depends on it, but a TLS proxy in front of a router does, and times in logs are wrong: \
         set up NTP, for example with `timedatectl set-ntp true`",
    )
}

fn interfaces(findings: &Findings) -> Check {
    const LAYER: &str = "interfaces";
    let addresses = match &findings.addresses {
        Ok(addresses) => addresses,
        Err(why) => {
            let advice = "allow this program to list them (netlink), for example in its sandbox";
            return Check::failed(LAYER, format!("the network interfaces cannot be listed: {why}"), advice);
        }
    };
    let skipped = addresses.skipped.iter();
    let skipped: Vec<_> =
        skipped.map(|s| format!("skipped {} on {}: {}", s.address, s.interface, s.why)).collect();
    let usable: Vec<_> = addresses.usable.iter().map(ToString::to_string).collect();
    let all = |is: fn(&IpAddr) -> bool| addresses.usable.iter().all(is);
    let check = if all(IpAddr::is_loopback) && !findings.loopback_only {
        Check::failed(
            LAYER,
            "no usable interface: this host has no address another host could reach",
            "plug in the cable or join the wifi, and see with `ip address` whether DHCP gives an address",
        )
    } else if all(|ip| matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local())) {
        Check::warning(
            LAYER,
            format!("only link-local addresses: {}", usable.join(", ")),
            "only hosts on the same cable can be reached: DHCP has not given an address yet",
        )
    } else {
        Check::ok(LAYER, format!("data may travel on {}", usable.join(", ")))
    };
    check.with(skipped)
}

fn node(running: &Running) -> Check {
    const LAYER: &str = "node";
    let node = match running {
        Running::No(why) => return Check::ok(LAYER, format!("{why}; these checks need none")),
        Running::Unknown(why) => {
            return Check::warning(
                LAYER,
                format!("a node may run here, but does not talk to us: {why}"),
                "ask as the user it runs as, or as root; if it hangs, restart it",
            );
        }
        Running::Yes(node) => node,
    };
    let away: Vec<_> = node.routers.iter().filter(|router| router.state != "ready").collect();
    let mut details: Vec<_> = away
        .iter()
        .map(|r| format!("router {}: {}, {}", r.url, r.state, r.lost.as_deref().unwrap_or("not dialled yet")))
        .collect();
    details.extend(node.ended.iter().map(|ended| {
        let peer = ended.name.as_ref().unwrap_or(&ended.peer);
        format!("{peer} {} {} ago: {}", ended.end, output::time(ended.ago_ms), ended.why)
    }));
    let (name, links, routers) = (&node.name, node.links.len(), node.routers.len());
    let what = format!("{name} runs here: {links} links, {} of {routers} routers", routers - away.len());
    if away.is_empty() {
        return Check::ok(LAYER, what).with(details);
    }
    Check::warning(LAYER, what, "see below what is wrong with its routers, or ask with --router URL")
        .with(details)
}

fn router(found: &RouterFinding) -> Check {
    const LAYER: &str = "router";
    let RouterFinding { url, welcome } = found;
    let fault = match welcome {
        Ok(name) => return Check::ok(LAYER, format!("{url} welcomes us as {name:?}")),
        Err(fault) => fault,
    };
    let (what, advice) = match fault {
        RouterFault::Dial(DialError::Name { error, .. }) => (
            format!("router unreachable: its name has no address (DNS): {error}"),
            "check the spelling and this host's DNS, or use the router's IP address; names in .local need a \
             resolver for multicast DNS",
        ),
        RouterFault::Dial(DialError::Tcp { error, .. }) => tcp(error),
        RouterFault::Dial(DialError::Timeout(limit)) => (
            format!("router unreachable: no answer within {limit:?}"),
            "that host is off, or a firewall on the way drops TCP to this port: let it in there",
        ),
        RouterFault::Dial(DialError::NotWebSocket { why, .. }) => (
            format!("not a router: what listens there does not speak WebSocket: {why}"),
            "check the port: another program answers on it",
        ),
        RouterFault::Dial(DialError::NotClasp { why, .. }) => (
            format!("not a router: a WebSocket server, but not for CLASP: {why}"),
            "check the port and the path: another program answers there",
        ),
        RouterFault::Refused { code, text } => (format!("HELLO refused: {text} ({code})"), refused(*code)),
        RouterFault::Closed(why) => (
            format!("HELLO refused: closed without a welcome: {why}"),
            "look into the router's log; a proxy in front of it may be what closes",
        ),
        RouterFault::Silent(limit) => (
            format!("HELLO not answered within {limit:?}"),
            "the router hangs or is overloaded, or it is something else that takes WebSockets: look into its log",
        ),
        other => (other.to_string(), "look into the router's log"),
    };
    Check::failed(LAYER, format!("{url}: {what}"), advice)
}

fn tcp(error: &std::io::Error) -> (String, &'static str) {
    let what = format!("router unreachable: {error}");
    let advice = match error.kind() {
        ErrorKind::ConnectionRefused => {
            "the host is there, but nothing listens on that port: start `clasp-node run` there, and check its --bind"
        }
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => {
            "there is no route to that host: check `ip route`, and that both are on the same network"
        }
        ErrorKind::PermissionDenied => "a firewall on this host does not let it out: allow TCP to that port",
        ErrorKind::TimedOut => {
            "that host is off, or a firewall on the way drops TCP to this port: let it in there"
        }
        _ => "check the address, and that the router runs",
    };
    (what, advice)
}

/// By the ranges of the protocol's error codes (reference §8).
fn refused(code: u16) -> &'static str {
    match code {
        300..=399 => "the router wants another token than CLASP_NODE_TOKEN holds, or none: ask who runs it",
        429 => "too many connections from here in a short time: wait a minute",
        503 => "as many sessions as it takes are there already: raise its --max-sessions, or stop some",
        _ => "look into the router's log",
    }
}

fn multicast(findings: &Findings) -> Check {
    let heard = format!("what we send to {MULTICAST_GROUP} is heard");
    let advice = "links do not need it, but devices are found by broadcast only, and .local names are not resolved: let UDP to \
                  224.0.0.0/4 in and out, or give addresses, as in `clasp-node pair 192.0.2.1`";
    to_many("multicast", &findings.multicast, heard, advice)
}

fn broadcast(findings: &Findings) -> Check {
    let heard = format!("what we send to everybody's port {BROADCAST_PORT} is heard");
    let advice = "links do not need it, but devices are found by multicast DNS only: let UDP to port 7331 in and out, or give \
                  addresses, as in `clasp-node pair 192.0.2.1`";
    to_many("broadcast", &findings.broadcast, heard, advice)
}

/// Whether what is sent to several is heard on each address that it was tried on.
fn to_many(
    layer: &'static str,
    tried: &[(IpAddr, Result<Duration, DatagramFault>)],
    heard: String,
    advice: &'static str,
) -> Check {
    let blocked: Vec<_> =
        tried.iter().filter_map(|(on, heard)| Some(format!("on {on}: {}", heard.as_ref().err()?))).collect();
    match (tried.len(), blocked.len()) {
        (0, _) => Check::ok(layer, "not checked: there is no IPv4 address it could be done on"),
        (_, 0) => Check::ok(layer, heard),
        (total, failed) => {
            let what = format!("{layer} blocked: what we send is not heard on {failed} of {total} addresses");
            Check::warning(layer, what, advice).with(blocked)
        }
    }
}

fn udp(findings: &Findings) -> Check {
    const LAYER: &str = "udp";
    let (mut blocked, mut unusable) = (Vec::new(), Vec::new());
    for (from, to, passed) in &findings.udp {
        match passed {
            Ok(_) => {}
            Err(fault @ DatagramFault::Socket(..)) => unusable.push(format!("{from} to {to}: {fault}")),
            Err(fault) => blocked.push(format!("{from} to {to}: {fault}")),
        }
    }
    let total = findings.udp.len();
    if !blocked.is_empty() {
        return Check::failed(
            LAYER,
            format!("UDP blocked on this host: {} of {total} ways between its own addresses", blocked.len()),
            "a firewall here drops it (see `nft list ruleset`): links use UDP ports the system chooses, so allow UDP \
             in and out on the network the peers are on",
        )
        .with(blocked);
    }
    if !unusable.is_empty() {
        return Check::warning(
            LAYER,
            "an address cannot be used",
            "it has just been lost, or IPv6 still checks that nobody else has it: try again",
        )
        .with(unusable);
    }
    if total == 0 {
        return Check::ok(LAYER, "not checked: there is no address it could be done on");
    }
    let note = if findings.peer.is_none() { "; --peer NAME checks the way to another host" } else { "" };
    Check::ok(LAYER, format!("passes between this host's own addresses{note}"))
}

fn peer(name: &str, found: &PeerFinding, passes_here: bool) -> Check {
    match found {
        PeerFinding::Linked { path, after, rtt } => {
            let rtt =
                rtt.map(|rtt| format!(", round trip {:.1} ms", output::millis(rtt))).unwrap_or_default();
            Check::ok("peer", format!("linked to {name}: {path} after {:.1} ms{rtt}", output::millis(*after)))
        }
        PeerFinding::NoRouter => Check::failed(
            "peer",
            format!("{name} was not called: no router welcomes us"),
            "put the router right first, as said above",
        ),
        PeerFinding::NotReached(why) => Check::failed(
            "peer",
            format!("{name} was not called: {why}"),
            "start `clasp-node run` there with the same router; `clasp-node peers` lists who is on it",
        ),
        PeerFinding::Failed { why, tried, skipped } => link(name, why, tried, skipped, passes_here),
    }
}

/// A link that never opened: the layer it came to.
fn link(name: &str, why: &FailReason, tried: &Tried, skipped: &[String], passes_here: bool) -> Check {
    let mut details: Vec<_> =
        tried.pairs().map(|(ours, theirs)| format!("tried {ours} to {theirs}")).collect();
    let pairs = details.len();
    details.extend(skipped.iter().map(|why| format!("skipped a candidate of the peer: {why}")));
    let check = match why {
        FailReason::Ice { .. } if pairs == 0 => Check::failed(
            "ice",
            format!("ICE failed: {name} has sent no candidate that can be tried from here"),
            "both hosts need an address of the same family (IPv4 or IPv6) on networks that reach each other",
        ),
        FailReason::Ice { .. } if !passes_here => Check::failed(
            "ice",
            format!(
                "ICE failed: none of {pairs} pairs of addresses to {name} works, as UDP is blocked on this host"
            ),
            "let UDP pass here first, as said above",
        ),
        FailReason::Ice { .. } if tried.received_datagrams == 0 => Check::failed(
            "udp",
            format!(
                "UDP blocked on the way to {name}: {pairs} pairs of addresses tried, nothing came back on any"
            ),
            "a firewall on either host or between them drops UDP, or the networks do not reach each other: allow UDP \
             between the two, on ports the systems choose",
        ),
        FailReason::Ice { .. } => Check::failed(
            "ice",
            format!(
                "ICE failed: {} datagrams came from {name}, but none of {pairs} pairs works both ways",
                tried.received_datagrams
            ),
            "a firewall lets UDP pass in one direction only: allow it in both",
        ),
        FailReason::Dtls(why) => Check::failed(
            "dtls",
            format!("DTLS failed with {name}: {why}"),
            "the path works for small packets: something on it drops those above 1200 bytes, or the certificate is not \
             the one that was announced, which a router in between could have exchanged",
        ),
        FailReason::Channel(_) => Check::failed(
            "channels",
            format!("{name}: {why}"),
            "encryption works, but SCTP over it does not: look into the peer's log",
        ),
        FailReason::NoAnswer(_) | FailReason::NoSuchSession(_) => Check::failed(
            "peer",
            format!("{name} does not answer: {why}"),
            "it has just gone, or hangs: a router announces a session for a while longer than it lives",
        ),
        why => Check::failed("peer", format!("{name}: {why}"), "look into the peer's log"),
    };
    check.with(details)
}
