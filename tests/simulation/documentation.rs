//! What the documentation states is checked against the code, and that its links lead somewhere.

use std::fs;
use std::path::{Path, PathBuf};

use clasp_node::limits as node;
use router_lite::limits as router;

const README: &str = include_str!("../../README.md");
const LIMITS: &str = include_str!("../../docs/limits.md");

#[test]
fn the_documentation_states_the_limits_that_are_in_force() {
    let rows = [
        ("frame", format!("{} bytes", clasp_wire::limits::MAX_FRAME_BYTES)),
        ("nesting of a value", clasp_wire::limits::MAX_DEPTH.to_string()),
        ("router: sessions", format!("{} (`--max-sessions`)", router::MAX_SESSIONS)),
        (
            "router: handshakes at once, time for each",
            format!("{}, {} s", router::MAX_HALF_OPEN, router::HELLO_TIMEOUT.as_secs()),
        ),
        (
            "router: outbox per session",
            format!("{} frames, {} KiB", router::OUTBOX_FRAMES, router::OUTBOX_BYTES / 1024),
        ),
        (
            "router: subscriptions per session, in all",
            format!("{}, {}", router::MAX_SESSION_SUBSCRIPTIONS, router::MAX_SUBSCRIPTIONS),
        ),
        (
            "router: parameters",
            format!("{}, {} MiB", router::MAX_PARAMS, router::MAX_PARAM_BYTES / 1024 / 1024),
        ),
        ("router: messages per second and session", format!("{} (`--rate`)", router::RATE)),
        (
            "router: tokens, scopes of each, name",
            format!(
                "{}, {}, {} bytes",
                router::MAX_TOKENS,
                router::MAX_TOKEN_SCOPES,
                router::MAX_TOKEN_NAME_BYTES
            ),
        ),
        ("node: routers", node::MAX_ROUTERS.to_string()),
        ("node: links, links connecting", format!("{}, {}", node::MAX_PEERS, node::MAX_OFFERS_IN_PROGRESS)),
        (
            "node: incoming offers per second",
            format!("{}, in bursts of {}", node::OFFERS_PER_SECOND, node::MAX_OFFERS_IN_PROGRESS),
        ),
        ("node: candidates per peer", node::MAX_REMOTE_CANDIDATES.to_string()),
        (
            "node: session description, name of its media section",
            format!("{} KiB, {} bytes", node::MAX_SDP_BYTES / 1024, node::MAX_MID_BYTES),
        ),
        ("node: restarts of ICE per connection", node::MAX_RESTARTS.to_string()),
        (
            "node: candidates' names asked for at once, per second",
            format!("{}, {}", node::MAX_NAMES_ASKED, node::NAMES_PER_SECOND),
        ),
        (
            "node: addresses of a name, mDNS message",
            format!("{}, {} bytes", node::MAX_ADDRESSES_PER_NAME, node::MAX_MDNS_MESSAGE_BYTES),
        ),
        (
            "node: devices found on the network, by mDNS and by broadcast",
            format!("{} each", node::MAX_INSTANCES),
        ),
        (
            "node: discovery questions answered per second, addresses counted",
            format!("{}, {}", node::DISCOVERY_ANSWERS_PER_SECOND, node::MAX_DISCOVERY_SOURCES),
        ),
        ("node: routers of devices visited at once to be paired", node::MAX_VISITS.to_string()),
        (
            "node: candidates before their offer",
            format!("{}, for {} s", node::MAX_EARLY_CANDIDATES, node::EARLY_CANDIDATE_LIFETIME.as_secs()),
        ),
        (
            "node: processes of a paired device whose descriptions are remembered",
            node::MAX_AUTH_EPOCHS.to_string(),
        ),
        ("node: commands that wait for a pairing", node::MAX_PAIRING_WAITERS.to_string()),
        (
            "node: data channels a peer may open, label",
            format!("{}, {} bytes", node::MAX_CHANNELS, node::MAX_LABEL_BYTES),
        ),
        (
            "node: message, received and sent",
            format!("{}, {} bytes", node::MAX_RECEIVE_MESSAGE_BYTES, node::MAX_SEND_MESSAGE_BYTES),
        ),
        (
            "node: candidate text, name of a peer",
            format!("{}, {} bytes", node::MAX_CANDIDATE_BYTES, node::MAX_NAME_BYTES),
        ),
        ("node: STUN and TURN servers", node::MAX_ICE_SERVERS.to_string()),
        (
            "node: peers' addresses, channels per TURN allocation",
            format!("{}, {}", node::MAX_TURN_PERMISSIONS, node::MAX_TURN_CHANNELS),
        ),
        (
            "node: refusals sent per second",
            format!("{}, in bursts of {}", node::REFUSALS_PER_SECOND, node::MAX_OFFERS_IN_PROGRESS),
        ),
        ("node: callers waiting at once", node::MAX_PARKED.to_string()),
        ("node: bytes in flight per link", format!("{} bytes", node::SCTP_SEND_BUFFER_BYTES)),
        (
            "node: reliable messages waiting per link",
            format!("{}, {} bytes", node::RELIABLE_QUEUE_MESSAGES, node::RELIABLE_QUEUE_BYTES),
        ),
        (
            "node: stream messages waiting per link",
            format!("{}, {} bytes", node::STREAM_QUEUE_MESSAGES, node::STREAM_QUEUE_BYTES),
        ),
        (
            "node: events waiting for the application",
            format!("{}, {} bytes", node::EVENT_QUEUE, node::EVENT_QUEUE_BYTES),
        ),
        (
            "node: reliable messages not yet confirmed by the other node, per link",
            format!("{} bytes", node::UNCONFIRMED_BYTES),
        ),
        ("node: message between our nodes", format!("{} bytes", node::MAX_RELAYED_MESSAGE_BYTES)),
        ("node: bytes on their way through a router per link", format!("{} bytes", node::RELAY_WINDOW_BYTES)),
        (
            "node: relayed frames per second, all links",
            format!("{}, in bursts of {}", node::RELAY_FRAMES_PER_SECOND, node::RELAY_FRAMES_AT_ONCE),
        ),
        (
            "node: signals kept while a router is away",
            format!("{}, {} bytes", node::PENDING_SIGNALS, node::PENDING_SIGNAL_BYTES),
        ),
        ("node: ended links remembered", node::MAX_ENDED_LINKS.to_string()),
        (
            "node: commands at once on the control socket, request, time for each",
            format!(
                "{}, {} bytes, {} s",
                node::MAX_CONTROL_CONNECTIONS,
                node::MAX_CONTROL_REQUEST_BYTES,
                node::CONTROL_DEADLINE.as_secs()
            ),
        ),
        ("node: `ping`, `send`, `recv` and `logs` among them", node::MAX_CONTROL_STREAMS.to_string()),
        (
            "node: piece of data on the control socket, wait for a peer",
            format!("{} bytes, {} s", node::MAX_CONTROL_PIECE_BYTES, node::MAX_CONTROL_WAIT.as_secs()),
        ),
        ("node: received and not taken by `recv`", format!("{} bytes", clasp_node::pipe::WINDOW_BYTES)),
        (
            "node: messages that belong to no transfer, for `recv --lines`",
            format!("{} bytes", node::MAX_WAITING_TEXT_BYTES),
        ),
        ("node: news of its link for a command", node::LINK_NEWS.to_string()),
        (
            "node: last words on their way per link, time for them",
            format!("{}, {} s", node::MAX_CHORES_PER_LINK, node::LAST_WORDS_LIMIT.as_secs()),
        ),
        (
            "node: lines of the log in memory, longest line",
            format!("{} bytes, {} bytes", node::LOG_RING_BYTES, node::MAX_LOG_LINE_BYTES),
        ),
        (
            "node: shares, subscriptions on a link each way",
            format!("{}, {}", node::MAX_SHARES, node::MAX_LINK_SUBSCRIPTIONS),
        ),
        (
            "node: shared parameters and events waiting per link, their bytes",
            format!(
                "{}, {}, {} bytes",
                node::SHARED_PARAMS,
                node::SHARED_MESSAGES,
                node::SHARED_MESSAGES_BYTES
            ),
        ),
        (
            "node: shared streams and gestures waiting per link",
            format!("{}, {} bytes", node::SHARED_STREAMS, node::SHARED_STREAM_BYTES),
        ),
        (
            "node: parameters whose device is known, looked up at once",
            format!("{}, {}", node::MAX_SHARED_ORIGINS, node::SHARED_PAGE),
        ),
        ("node: paired devices", node::MAX_PAIRS.to_string()),
        (
            "node: addresses remembered of a paired device",
            format!("{}, {} bytes", node::MAX_PAIR_ADDRESSES, node::MAX_PAIR_ADDRESS_BYTES),
        ),
        (
            "node: state file, files in `pairs.d`",
            format!("{} bytes, {}", node::MAX_STATE_FILE_BYTES, node::MAX_PROVISIONED_FILES),
        ),
    ];
    for (what, limit) in rows {
        let row = format!("| {what} | {limit} |");
        assert!(LIMITS.contains(&row), "docs/limits.md lacks {row}");
    }
}

#[test]
fn the_readme_names_the_rust_version_that_the_manifest_asks_for() {
    let version = env!("CARGO_PKG_RUST_VERSION");
    assert!(README.contains(&format!("Rust {version} or newer")), "the manifest says {version}");
}

/// The anchors of a page: its headings, as GitHub makes them.
fn anchors(page: &str) -> impl Iterator<Item = String> {
    page.lines().filter(|line| line.starts_with('#')).map(|line| {
        let heading = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        heading.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect()
    })
}

/// The links of a page, without those to other sites.
fn links(page: &str) -> impl Iterator<Item = &str> {
    let targets = page.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    targets.filter(|target| !target.contains("://"))
}

#[test]
fn every_link_of_the_documentation_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let in_folder =
        |folder: &str| fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let folders = ["", "docs", "examples", "cross", "tests/interop", "tests/bench"];
    let is_page = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "md");
    let mut count = 0;
    for path in folders.into_iter().flat_map(in_folder).filter(is_page) {
        let page = fs::read_to_string(&path).unwrap();
        for link in links(&page) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            assert!(target.exists(), "{}: {link}", path.display());
            let found =
                anchor.is_empty() || anchors(&fs::read_to_string(&target).unwrap()).any(|a| a == anchor);
            assert!(found, "{}: no heading for {link}", path.display());
            count += 1;
        }
    }
    assert!(count > 50, "{count} links");
}
