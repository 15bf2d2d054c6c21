use std::io::{Error, ErrorKind};

use clasp_node::FailReason;
use clasp_node::driver::probe::{DatagramFault, RouterFault};
use clasp_node::driver::{DialError, SkippedAddress};
use clasp_node::status::Tried;

use super::verdict::judge;
use super::*;
use crate::cli::status::view;

/// A host on which all is well.
fn healthy() -> Findings {
    let ip: IpAddr = [192, 0, 2, 1].into();
    Findings {
        clock: Duration::from_secs(1_790_000_000),
        loopback_only: false,
        addresses: Ok(Addresses { usable: vec![ip], skipped: Vec::new() }),
        running: Running::No("none".to_owned()),
        routers: vec![router(Ok("hub".to_owned()))],
        multicast: vec![(ip, Ok(Duration::ZERO))],
        broadcast: vec![(ip, Ok(Duration::ZERO))],
        udp: vec![(ip, ip, Ok(Duration::ZERO))],
        peer: None,
    }
}

fn router(welcome: Result<String, RouterFault>) -> RouterFinding {
    RouterFinding { url: "ws://192.0.2.9:7330/".to_owned(), welcome }
}

fn url() -> RouterUrl {
    "ws://pi.example".parse().unwrap()
}

/// All that is not ok.
fn complaints(findings: &Findings) -> Vec<Check> {
    judge(findings).into_iter().filter(|check| check.verdict != Verdict::Ok).collect()
}

/// The one complaint, which has advice.
fn complaint(findings: &Findings) -> Check {
    let [check] = complaints(findings).try_into().unwrap_or_else(|all| panic!("{all:?}"));
    assert!(check.advice.as_ref().is_some_and(|advice| advice.len() > 10), "{check:?}");
    check
}

#[test]
fn where_all_is_well_there_is_nothing_to_complain_of() {
    assert_eq!(complaints(&healthy()), []);
    let layers: Vec<_> = judge(&healthy()).iter().map(|check| check.layer).collect();
    assert_eq!(layers, ["clock", "interfaces", "node", "router", "multicast", "broadcast", "udp"]);
}

#[test]
fn a_clock_that_was_never_set_is_a_warning_only() {
    for (seconds, year) in [(0, "1970"), (86_400 * 400, "1971"), (1_700_000_000, "2023")] {
        let check = complaint(&Findings { clock: Duration::from_secs(seconds), ..healthy() });
        assert_eq!((check.layer, check.verdict), ("clock", Verdict::Warning));
        assert!(check.what.contains("clock unset") && check.what.ends_with(year), "{check:?}");
        assert!(check.advice.unwrap().contains("nothing here depends on it"));
    }
    assert_eq!(complaints(&Findings { clock: Duration::from_secs(1_704_067_200), ..healthy() }), []);
}

#[test]
fn no_usable_interface_is_told_with_those_that_were_skipped() {
    let skipped = vec![SkippedAddress {
        interface: "eth0".into(),
        address: "169.254.1.1".parse().unwrap(),
        why: "link-local",
    }];
    let loopback = vec![IpAddr::from([127, 0, 0, 1])];
    let alone = Findings { addresses: Ok(Addresses { usable: loopback, skipped }), ..healthy() };
    let check = complaint(&alone);
    assert_eq!((check.layer, check.verdict), ("interfaces", Verdict::Failed));
    assert!(check.what.contains("no usable interface"), "{check:?}");
    assert_eq!(check.details, ["skipped 169.254.1.1 on eth0: link-local"]);
    assert_eq!(complaints(&Findings { loopback_only: true, ..alone }), [], "it was asked for");

    let link_local = Addresses { usable: vec!["fe80::1".parse().unwrap()], skipped: Vec::new() };
    let check = complaint(&Findings { addresses: Ok(link_local), ..healthy() });
    assert_eq!(check.verdict, Verdict::Warning);
    assert!(check.advice.unwrap().contains("DHCP"));
    let check = complaint(&Findings { addresses: Err("no netlink".to_owned()), ..healthy() });
    assert!(check.what.contains("no netlink"), "{check:?}");
}

#[test]
fn each_way_a_router_can_fail_has_its_name_and_its_advice() {
    let tcp = |kind: ErrorKind| RouterFault::Dial(DialError::Tcp { url: url(), error: Error::from(kind) });
    let text = || "x".to_owned();
    let refused = |code| RouterFault::Refused { code, text: text() };
    let second = Duration::from_secs(1);
    let name = DialError::Name { url: url(), error: Error::other("Name or service not known") };
    let cases = [
        (RouterFault::Dial(name), "no address (DNS)", "spelling"),
        (tcp(ErrorKind::ConnectionRefused), "router unreachable", "nothing listens on that port"),
        (tcp(ErrorKind::HostUnreachable), "router unreachable", "no route"),
        (tcp(ErrorKind::PermissionDenied), "router unreachable", "firewall on this host"),
        (tcp(ErrorKind::TimedOut), "router unreachable", "firewall on the way"),
        (RouterFault::Dial(DialError::Timeout(second)), "no answer within 1s", "firewall on the way"),
        (
            RouterFault::Dial(DialError::NotWebSocket { url: url(), why: text() }),
            "not a router",
            "another program",
        ),
        (
            RouterFault::Dial(DialError::NotClasp { url: url(), why: text() }),
            "not a router",
            "another program",
        ),
        (refused(300), "HELLO refused: x (300)", "token"),
        (refused(503), "HELLO refused: x (503)", "sessions"),
        (refused(429), "HELLO refused: x (429)", "wait"),
        (refused(500), "HELLO refused: x (500)", "log"),
        (RouterFault::Closed(text()), "HELLO refused: closed", "log"),
        (RouterFault::Silent(second), "HELLO not answered", "hangs"),
    ];
    for (fault, what, advice) in cases {
        let check = complaint(&Findings { routers: vec![router(Err(fault))], ..healthy() });
        assert_eq!((check.layer, check.verdict), ("router", Verdict::Failed));
        assert!(
            check.what.starts_with("ws://192.0.2.9:7330/: ") && check.what.contains(what),
            "{check:?}, not {what}"
        );
        assert!(check.advice.as_ref().unwrap().contains(advice), "{check:?}, not {advice}");
    }
}

#[test]
fn blocked_multicast_is_a_warning_and_blocked_udp_a_failure() {
    let ip: IpAddr = [192, 0, 2, 1].into();
    let check = complaint(&Findings { multicast: vec![(ip, Err(DatagramFault::Lost))], ..healthy() });
    assert_eq!((check.layer, check.verdict), ("multicast", Verdict::Warning));
    assert!(check.what.contains("multicast blocked"), "{check:?}");
    assert_eq!(check.details.len(), 1);
    assert_eq!(complaints(&Findings { multicast: Vec::new(), ..healthy() }), []);
    let check = complaint(&Findings { broadcast: vec![(ip, Err(DatagramFault::Lost))], ..healthy() });
    assert_eq!((check.layer, check.verdict), ("broadcast", Verdict::Warning));
    assert!(check.what.contains("broadcast blocked"), "{check:?}");

    let denied = || DatagramFault::Send(Error::from(ErrorKind::PermissionDenied));
    for fault in [denied(), DatagramFault::Lost] {
        let check = complaint(&Findings {
            udp: vec![(ip, ip, Ok(Duration::ZERO)), (ip, ip, Err(fault))],
            ..healthy()
        });
        assert_eq!((check.layer, check.verdict), ("udp", Verdict::Failed));
        assert!(check.what.contains("UDP blocked on this host: 1 of 2"), "{check:?}");
    }
    let gone = DatagramFault::Socket(ip, Error::from(ErrorKind::AddrNotAvailable));
    let check = complaint(&Findings { udp: vec![(ip, ip, Err(gone))], ..healthy() });
    assert_eq!(check.verdict, Verdict::Warning, "an address may just have been lost");
}

#[test]
fn the_node_that_runs_is_asked_what_is_wrong_with_it() {
    let away = view::Router {
        url: "ws://a/".into(),
        state: "offline".into(),
        lost: Some("gone".into()),
        ..Default::default()
    };
    let ended =
        view::Ended { peer: "p".into(), end: "failed".into(), why: "ICE".into(), ..Default::default() };
    let node =
        view::Node { name: "pi".into(), routers: vec![away], ended: vec![ended], ..Default::default() };
    let check = complaint(&Findings { running: Running::Yes(Box::new(node)), ..healthy() });
    assert_eq!((check.layer, check.verdict), ("node", Verdict::Warning));
    assert_eq!(check.details, ["router ws://a/: offline, gone", "p failed 0 ms ago: ICE"]);
    let check = complaint(&Findings { running: Running::Unknown("denied".to_owned()), ..healthy() });
    assert!(check.what.contains("denied"));
}

#[test]
fn a_link_that_does_not_open_names_the_layer_it_came_to() {
    let address = |last: u8| SocketAddr::from(([192, 0, 2, last], 1));
    let tried = |remote: Vec<SocketAddr>, received_datagrams| Tried {
        local: vec![address(1)],
        remote,
        received_datagrams,
    };
    let ice =
        || FailReason::Ice { timeout: Duration::from_secs(10), remote_candidates: 1, servers: Vec::new() };
    let silence = Duration::from_secs(10);
    let cases = [
        (ice(), tried(vec![address(2)], 0), "udp", "UDP blocked on the way to pi: 1 pairs"),
        (ice(), tried(vec![address(2)], 7), "ice", "ICE failed: 7 datagrams came"),
        (ice(), tried(Vec::new(), 0), "ice", "no candidate that can be tried"),
        (ice(), tried(vec!["[2001:db8::2]:1".parse().unwrap()], 0), "ice", "no candidate that can be tried"),
        (FailReason::Dtls("timeout".into()), tried(vec![address(2)], 9), "dtls", "DTLS failed"),
        (FailReason::Channel(silence), tried(Vec::new(), 9), "channels", "data channels did not open"),
        (FailReason::NoAnswer(silence), tried(Vec::new(), 0), "peer", "does not answer"),
        (FailReason::Declined("busy".into()), tried(Vec::new(), 0), "peer", "busy"),
    ];
    for (why, tried, layer, what) in cases {
        let pairs = tried.pairs().count();
        let failed = PeerFinding::Failed { why, tried, skipped: vec!["end of candidates".to_owned()] };
        let check = complaint(&Findings { peer: Some(("pi".to_owned(), failed)), ..healthy() });
        assert_eq!((check.layer, check.verdict), (layer, Verdict::Failed), "{check:?}");
        assert!(check.what.contains(what), "{check:?}, not {what}");
        assert_eq!(check.details.len(), pairs + 1, "the pairs and the skipped one: {check:?}");
    }
    // Where nothing leaves this host, nobody else is to blame.
    let (ip, lost) = (address(1).ip(), Err(DatagramFault::Lost));
    let failed = PeerFinding::Failed { why: ice(), tried: tried(vec![address(2)], 0), skipped: Vec::new() };
    let peer = Some(("pi".to_owned(), failed));
    let all = complaints(&Findings { peer, udp: vec![(ip, ip, lost)], ..healthy() });
    assert_eq!(all.iter().map(|check| check.layer).collect::<Vec<_>>(), ["udp", "ice"]);
    assert!(all[1].what.ends_with("UDP is blocked on this host"), "{all:?}");
    for found in [PeerFinding::NoRouter, PeerFinding::NotReached("gone".to_owned())] {
        let check = complaint(&Findings { peer: Some(("pi".to_owned(), found)), ..healthy() });
        assert_eq!((check.layer, check.verdict), ("peer", Verdict::Failed));
    }
}

#[test]
fn the_routers_of_the_node_that_runs_are_understood() {
    let urls = |texts: &[&str]| {
        let routers =
            texts.iter().map(|url| view::Router { url: (*url).to_owned(), ..Default::default() }).collect();
        let running = Running::Yes(Box::new(view::Node { routers, ..Default::default() }));
        routers_of(&running).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(urls(&["embedded router on [::]:7331", "ws://a:1/x"]), ["ws://[::1]:7331/", "ws://a:1/x"]);
    assert_eq!(urls(&["embedded router on 0.0.0.0:7331"]), ["ws://127.0.0.1:7331/"]);
    assert_eq!(urls(&[]), ["ws://127.0.0.1:7330/"]);
    assert_eq!(urls(&["nonsense"]), ["ws://127.0.0.1:7330/"]);
}

#[test]
fn each_address_is_checked_with_itself_and_its_neighbour_of_the_same_family() {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let all = [ip("192.0.2.1"), ip("2001:db8::1"), ip("192.0.2.2")];
    let want = [(all[0], all[0]), (all[1], all[1]), (all[2], all[2]), (all[0], all[2])];
    assert_eq!(ways(&all), want);
    assert_eq!(ways(&[]), []);
}
