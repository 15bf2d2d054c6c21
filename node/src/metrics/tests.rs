use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::clock_for_tests::start;
use crate::config::NodeConfig;
use crate::event::{LinkId, Path, PathKind, RouterId};
use crate::status::Traffic;

const LINK: LinkId = LinkId(1);

fn text(metrics: &Metrics) -> String {
    let mut page = Exposition::new();
    metrics.write(&mut page);
    page.finish()
}

fn nowhere() -> Path {
    let nowhere = SocketAddr::from(([192, 0, 2, 1], 1));
    Path { local: nowhere, remote: nowhere, local_kind: PathKind::Host, remote_kind: PathKind::Host }
}

fn connected(role: Role, millis: u64) -> Event {
    let path = nowhere();
    Event::Connected { link: LINK, peer: "p".into(), role, path, after: Duration::from_millis(millis) }
}

fn data(channel: Channel, len: usize) -> Event {
    Event::Data { link: LINK, channel, bytes: Bytes::from(vec![0; len]) }
}

#[test]
fn what_a_node_tells_is_counted_by_kind() {
    let mut metrics = Metrics::default();
    let peer = || "p".to_owned();
    for event in [
        connected(Role::Offerer, 10),
        connected(Role::Answerer, 300),
        connected(Role::Answerer, 60_000),
        Event::Failed { link: LINK, peer: peer(), why: FailReason::Dtls("x".into()) },
        Event::Failed { link: LINK, peer: peer(), why: FailReason::Dtls("y".into()) },
        Event::Disconnected { link: LINK, peer: peer(), why: DisconnectReason::Remote(Some("z".into())) },
        data(Channel::Reliable, 100),
        data(Channel::Stream, 7),
        data(Channel::Stream, 8),
        Event::Step {
            link: LINK,
            peer: peer(),
            role: Role::Offerer,
            step: Step::CandidateSkipped("w".into()),
        },
        Event::RouterLost { router: RouterId::FIRST, why: "v".into(), retry_in: None },
        Event::PathChanged { link: LINK, peer: peer(), path: nowhere() },
        Event::Writable { link: LINK },
        Event::Step { link: LINK, peer: peer(), role: Role::Offerer, step: Step::RestartOfferSent },
    ] {
        metrics.note_event(&event);
    }
    metrics.note_sent(Channel::Reliable, 40);
    metrics.note_send_refused();
    let counters = DiscoveryCounters { questions_refused: 7, instances_displaced: 8, unreadable: 9 };
    metrics.note_discovery(counters, 3);
    let waiting = Traffic { messages: 14, bytes: 1500 };
    let shares = ShareCounters { sent: 1, received: 2, dropped: 3, too_large: 4, refused: 5, outranked: 6 };
    metrics.note_shares(shares, ShareTotals { links: 11, asked: 12, wishes: 13, waiting });
    let text = text(&metrics);
    for line in [
        "clasp_node_connects_total{role=\"offerer\"} 1",
        "clasp_node_connects_total{role=\"answerer\"} 2",
        "clasp_node_connect_seconds_bucket{le=\"0.01\"} 1",
        "clasp_node_connect_seconds_bucket{le=\"0.25\"} 1",
        "clasp_node_connect_seconds_bucket{le=\"0.5\"} 2",
        "clasp_node_connect_seconds_bucket{le=\"10.0\"} 2",
        "clasp_node_connect_seconds_bucket{le=\"+Inf\"} 3",
        "clasp_node_connect_seconds_sum 60.31",
        "clasp_node_connect_failures_total{reason=\"dtls\"} 2",
        "clasp_node_connect_failures_total{reason=\"ice\"} 0",
        "clasp_node_disconnects_total{reason=\"remote\"} 1",
        "clasp_node_received_messages_total{channel=\"reliable\"} 1",
        "clasp_node_received_bytes_total{channel=\"reliable\"} 100",
        "clasp_node_received_messages_total{channel=\"stream\"} 2",
        "clasp_node_received_bytes_total{channel=\"stream\"} 15",
        "clasp_node_sent_messages_total{channel=\"reliable\"} 1",
        "clasp_node_sent_bytes_total{channel=\"reliable\"} 40",
        "clasp_node_sent_messages_total{channel=\"stream\"} 0",
        "clasp_node_refusals_total{reason=\"candidates_skipped\"} 1",
        "clasp_node_refusals_total{reason=\"sends_refused\"} 1",
        "clasp_node_refusals_total{reason=\"discovery_questions\"} 7",
        "clasp_node_refusals_total{reason=\"discovery_instances\"} 8",
        "clasp_node_refusals_total{reason=\"discovery_unreadable\"} 9",
        "clasp_node_devices_found 3",
        "clasp_node_shared_links 11",
        "clasp_node_shared_subscriptions{kind=\"asked\"} 12",
        "clasp_node_shared_subscriptions{kind=\"wishes\"} 13",
        "clasp_node_shared_waiting_messages 14",
        "clasp_node_shared_waiting_bytes 1500",
        "clasp_node_shared_sent_messages_total 1",
        "clasp_node_shared_received_messages_total 2",
        "clasp_node_refusals_total{reason=\"shared_dropped\"} 3",
        "clasp_node_refusals_total{reason=\"shared_too_large\"} 4",
        "clasp_node_refusals_total{reason=\"shared_refused\"} 5",
        "clasp_node_refusals_total{reason=\"shared_outranked\"} 6",
        "clasp_node_routers_lost_total 1",
        "clasp_node_paths_changed_total 1",
        "clasp_node_restarts_total 1",
    ] {
        assert!(text.lines().any(|other| other == line), "{line} in {text}");
    }
}

#[test]
fn how_the_node_is_now_is_taken_from_the_node() {
    let now = start();
    let mut node = Node::new([3; 32], now, NodeConfig::default(), 1).unwrap();
    let mut metrics = Metrics::default();
    let (from, to) = (SocketAddr::from(([192, 0, 2, 1], 1)), SocketAddr::from(([192, 0, 2, 2], 2)));
    node.handle_input(now, crate::Input::Datagram { source: from, destination: to, bytes: b"stray" });
    metrics.note_node(&node, 5);
    let text = text(&metrics);
    for line in [
        "clasp_node_links{state=\"open\"} 0",
        "clasp_node_peers{kind=\"edge\"} 0",
        "clasp_node_rtt_seconds_count 0",
        "clasp_node_path_checks_total{outcome=\"lost\"} 0",
        "clasp_node_reliable_held_up_total 0",
        "clasp_node_routers_ready 0",
        "clasp_node_refusals_total{reason=\"stray_datagrams\"} 1",
        "clasp_node_refusals_total{reason=\"events_dropped\"} 5",
    ] {
        assert!(text.lines().any(|other| other == line), "{line} in {text}");
    }
}

#[test]
fn every_reason_is_there_before_it_happens_and_the_text_never_grows() {
    let mut metrics = Metrics::default();
    let before: Vec<_> = text(&metrics).lines().map(key).collect();
    for why in [
        FailReason::NoSuchSession("s".into()),
        FailReason::NoAnswer(Duration::ZERO),
        FailReason::BadAnswer("s".into()),
        FailReason::Declined("s".into()),
        FailReason::Ice { timeout: Duration::ZERO, remote_candidates: 0, servers: Vec::new() },
        FailReason::Dtls("s".into()),
        FailReason::Channel(Duration::ZERO),
        FailReason::Violation("s".into()),
        FailReason::CalledOff,
    ] {
        metrics.note_event(&Event::Failed { link: LINK, peer: "p".into(), why });
    }
    for why in [
        DisconnectReason::Local,
        DisconnectReason::Remote(None),
        DisconnectReason::Lost,
        DisconnectReason::Transport("s".into()),
        DisconnectReason::Violation("s".into()),
        DisconnectReason::ApplicationTooSlow,
    ] {
        metrics.note_event(&Event::Disconnected { link: LINK, peer: "p".into(), why });
    }
    metrics.note_event(&connected(Role::Offerer, 1));
    let text = text(&metrics);
    assert_eq!(text.lines().map(key).collect::<Vec<_>>(), before);
    for family in ["clasp_node_connect_failures_total{", "clasp_node_disconnects_total{"] {
        let mut samples = text.lines().filter(|line| line.starts_with(family));
        assert!(samples.all(|line| line.ends_with(" 1")), "each reason counted as itself: {text}");
    }
    assert!(text.len() < router_lite::limits::MAX_METRICS_BYTES / 4, "{} bytes", text.len());
}

fn key(line: &str) -> String {
    line.rsplit_once(' ').map_or(line, |(key, _)| key).to_owned()
}
