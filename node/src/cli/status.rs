//! `clasp-node status`

pub(super) mod view;

use clasp_node::driver::control::{self, Place};
use serde_json::{Value, json};

use super::{Failure, StatusArgs, output};
use view::{Drops, Link, Node, SharedLink, Shares, Traffic};

/// As much of a session id as tells it from others.
const ID_SHOWN: usize = 8;

/// Patterns of a device that are shown; the JSON has all of them.
const PATTERNS_SHOWN: usize = 4;

pub(super) async fn run(args: StatusArgs) -> Result<(), Failure> {
    let place = Place::choose(args.control.control);
    let status = ask(&place).await?;
    if args.json {
        output::object(&status)?;
        return Ok(());
    }
    let node: Node = serde_json::from_value(status)?;
    print(&node)?;
    Ok(())
}

/// Asks the node that runs here.
pub(super) async fn ask(place: &Place) -> Result<Value, control::AskError> {
    control::ask(place, &json!({"cmd": "status"})).await
}

fn print(node: &Node) -> std::io::Result<()> {
    let Node { version, pid, name, uptime_ms, .. } = node;
    output::line(&format!("{name}: clasp-node {version}, process {pid}, up {}", output::time(*uptime_ms)))?;
    if !node.id.is_empty() {
        output::line(&format!("device {}, {}", node.id, node.storage))?;
    }
    let addresses = if node.addresses.is_empty() { "none".to_owned() } else { node.addresses.join(", ") };
    output::line(&format!("data travels on {addresses}"))?;
    for skipped in &node.skipped {
        output::line(&format!("not on {} {}: {}", skipped.interface, skipped.address, skipped.why))?;
    }
    if let Some(discovery) = &node.discovery {
        let known = match &discovery.instance {
            Some(instance) => format!("known as {instance:?}"),
            None => "not told of".to_owned(),
        };
        output::line(&format!("on the network {known}; {} devices found", discovery.found))?;
        for fault in &discovery.faults {
            output::line(&format!("some may be missing: {fault}"))?;
        }
    }
    output::line("")?;
    print_routers(node)?;
    output::line("")?;
    print_links(node)?;
    if let Some(shares) = &node.shares {
        output::line("")?;
        print_shares(node, shares)?;
    }
    if !node.ended.is_empty() {
        output::line("")?;
        let rows: Vec<_> = node
            .ended
            .iter()
            .map(|ended| {
                let peer = peer(ended.name.as_deref(), &ended.peer);
                [peer, ended.end.clone(), format!("{} ago", output::time(ended.ago_ms)), ended.why.clone()]
            })
            .collect();
        output::table(["NOT CONNECTED", "END", "WHEN", "WHY"], &rows)?;
    }
    Ok(())
}

fn print_routers(node: &Node) -> std::io::Result<()> {
    let row = |router: &view::Router| {
        let note = match (&router.session, &router.lost, router.retry_in_ms) {
            (Some(session), ..) => format!("session {session}"),
            (None, Some(why), Some(retry)) => format!("{why}; next try in {}", output::time(retry)),
            (None, Some(why), None) => format!("last time: {why}"),
            (None, None, _) => String::new(),
        };
        [router.url.clone(), router.state.clone(), router.peers.to_string(), note]
    };
    output::table(["ROUTER", "STATE", "PEERS", "NOTE"], &node.routers.iter().map(row).collect::<Vec<_>>())
}

fn print_links(node: &Node) -> std::io::Result<()> {
    if node.links.is_empty() {
        return output::line("no links");
    }
    let row = |link: &Link| {
        let path = match &link.path {
            Some(path) => path.to_string(),
            None if link.state == "relayed" => "through the router".to_owned(),
            None => "-".to_owned(),
        };
        let rtt = link.checks.rtt_ms.map_or_else(|| "-".to_owned(), |rtt| format!("{rtt:.1} ms"));
        let loss = match link.checks.recent {
            0 => "-".to_owned(),
            checks => format!("{} of {checks}", link.checks.recent_lost),
        };
        let all = |ways: [&Traffic; 3]| {
            let messages: u64 = ways.iter().map(|way| way.messages).sum();
            format!("{messages} ({})", output::bytes(ways.iter().map(|way| way.bytes).sum()))
        };
        // What the channel holds is not confirmed either.
        let held = link.reliable.waiting.bytes + link.unacknowledged_bytes;
        let waiting = held.max(link.unconfirmed.bytes) + link.stream.waiting.bytes;
        [
            peer(link.name.as_deref(), &link.peer),
            format!("{} {}", link.state, output::time(link.in_state_ms)),
            path,
            rtt,
            loss,
            all([&link.reliable.sent, &link.stream.sent, &link.relayed.sent]),
            all([&link.reliable.received, &link.stream.received, &link.relayed.received]),
            output::bytes(waiting),
            dropped(&link.drops),
            link.restarts.to_string(),
        ]
    };
    let headings =
        ["LINK TO", "STATE", "PATH", "RTT", "LOST", "SENT", "RECEIVED", "WAITING", "DROPPED", "RESTARTS"];
    output::table(headings, &node.links.iter().map(row).collect::<Vec<_>>())?;
    for link in &node.links {
        if let Some(why) = &link.no_path {
            let peer = peer(link.name.as_deref(), &link.peer);
            output::line(&format!("no direct path to {peer}: {why}"))?;
        }
    }
    Ok(())
}

fn print_shares(node: &Node, shares: &Shares) -> std::io::Result<()> {
    if shares.links.is_empty() {
        output::line("nothing is shared now: no paired device has a link")?;
    } else {
        let row = |shared: &SharedLink| {
            let link = node.links.iter().find(|link| link.link == shared.link);
            let name = link.and_then(|link| link.name.as_deref());
            let (asked, wishes) = (patterns(&shared.asked), patterns(&shared.wishes));
            [peer(name, &shared.device), asked, wishes, output::bytes(shared.waiting.bytes)]
        };
        let rows: Vec<_> = shares.links.iter().map(row).collect();
        output::table(["SHARED WITH", "WANTS OF US", "WE WANT", "WAITING"], &rows)?;
    }
    let Shares { sent, received, .. } = shares;
    let lost = [
        (shares.dropped, "dropped"),
        (shares.too_large, "too large"),
        (shares.refused, "refused"),
        (shares.outranked, "outranked"),
    ];
    let told = lost.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!(", {count} {what}"));
    output::line(&format!("shared so far: {sent} sent, {received} received{}", told.collect::<String>()))
}

fn patterns(patterns: &[String]) -> String {
    let shown = patterns.iter().take(PATTERNS_SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match patterns.len() {
        0 => "-".to_owned(),
        all if all > PATTERNS_SHOWN => format!("{shown} and {} more", all - PATTERNS_SHOWN),
        _ => shown,
    }
}

/// The classes of which something was dropped.
fn dropped(drops: &Drops) -> String {
    let classes = [
        (drops.stream_messages, "messages"),
        (drops.datagrams, "datagrams"),
        (drops.candidates, "candidates"),
    ];
    let dropped: Vec<_> = classes
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, class)| format!("{count} {class}"))
        .collect();
    if dropped.is_empty() { "-".to_owned() } else { dropped.join(", ") }
}

/// A peer by its name, and as much of its session as tells it from others of that name.
fn peer(name: Option<&str>, session: &str) -> String {
    let short: String = session.chars().take(ID_SHOWN).collect();
    match name {
        Some(name) => format!("{name} ({short}…)"),
        None => format!("{short}…"),
    }
}
