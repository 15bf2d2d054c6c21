//! Two peers find each other through a router and exchange data directly, every combination of ours and stock.

use std::time::Duration;

use interop::line::Channel;

use crate::peer::Peer;
use crate::router::Router;

/// Sizes of the messages exchanged: the smallest there is, about one datagram, and the most a browser is sure to take.
const SIZES: [usize; 3] = [1, 1200, 16 * 1024];
/// One way, to the router: enough for both offers to be under way at once, whatever a stock peer takes to make one.
const LATENCY: Duration = Duration::from_millis(50);
/// Between two stock peers one attempt in ten never opens its channels: both send an SCTP INIT, and the one that hears the
/// other's COOKIE-ECHO before it has sent its own takes itself for unconnected again, whereupon the other gives up. Our
/// node leaves the INIT to a stock peer, and gets no second attempt in these tests.
const STOCK_ATTEMPTS: usize = 5;
/// How long one such attempt may take; it takes a tenth of a second, or one more when DTLS has to repeat a flight.
const STOCK_ATTEMPT: Duration = Duration::from_secs(4);
/// The largest message a stock peer survives; it takes fifty datagrams, so only the reliable channel is asked to carry it.
const LARGEST: usize = 65_535;
/// The largest between two of our nodes: it may have to travel through a router.
const LARGEST_OF_OURS: usize = 63 * 1024;

#[test]
fn two_stock_peers_connect_and_exchange_data_through_our_router() {
    two_stock_peers(&Router::ours());
}

#[test]
fn two_stock_peers_connect_and_exchange_data_through_the_stock_router() {
    two_stock_peers(&Router::stock());
}

#[test]
fn our_node_offers_to_a_stock_peer_through_our_router() {
    our_node_offers(&Router::ours());
}

#[test]
fn our_node_offers_to_a_stock_peer_through_the_stock_router() {
    our_node_offers(&Router::stock());
}

#[test]
fn our_node_answers_a_stock_peer_through_our_router() {
    our_node_answers(&Router::ours());
}

#[test]
fn our_node_answers_a_stock_peer_through_the_stock_router() {
    our_node_answers(&Router::stock());
}

#[test]
fn offers_that_cross_between_our_node_and_a_stock_peer_still_connect_them_through_our_router() {
    offers_cross(Router::ours());
}

#[test]
fn offers_that_cross_between_our_node_and_a_stock_peer_still_connect_them_through_the_stock_router() {
    offers_cross(Router::stock());
}

#[test]
fn two_of_our_nodes_connect_and_exchange_data_through_the_stock_router() {
    let router = Router::stock();
    let (mut first, mut second) = (Peer::edge("first node", &router), Peer::edge("second node", &router));
    connect_and_exchange(&mut first, &mut second, LARGEST_OF_OURS);
    first.disconnect_and_check(&second);
}

#[test]
fn our_node_fails_at_once_when_the_stock_router_knows_no_such_session() {
    let router = Router::stock();
    let nobody = "00000000-0000-4000-8000-000000000000";
    let reason = Peer::edge("our node", &router).connect_and_fail(nobody);
    assert!(reason.contains(nobody), "the reason names the session: {reason}");
}

#[test]
fn two_of_our_nodes_exchange_messages_by_way_of_the_stock_router_when_nothing_else_works() {
    relayed(&[], &[]);
}

#[test]
fn two_paired_devices_do_the_same_in_sealed_boxes() {
    relayed(&["--paired-device", "0"], &["--paired-device", "1"]);
}

#[test]
fn two_paired_devices_connect_through_the_stock_router() {
    let router = Router::stock();
    let mut first = Peer::edge_with("first device", &router, &["--paired-device", "0"]);
    let mut second = Peer::edge_with("second device", &router, &["--paired-device", "1"]);
    first.wait_until_seen(&second); // and knows which device it is
    connect_and_exchange(&mut first, &mut second, LARGEST_OF_OURS);
    first.disconnect_and_check(&second);
}

/// A stock peer, which knows no pairing, is told why it is not let in.
#[test]
fn a_device_that_trusts_paired_ones_only_refuses_a_stock_peer() {
    let router = Router::stock();
    let mut stock = Peer::stock("stock peer", &router);
    let device = Peer::edge_with("device", &router, &["--paired-device", "0"]);
    stock.wait_until_seen(&device);
    stock.connect(&device.session);
    device.wait_until_refused(&stock);
}

fn relayed(first: &[&str], second: &[&str]) {
    let router = Router::stock();
    let relay_only = ["--routing", "relay-only"];
    let mut first = Peer::edge_with("first node", &router, &[&relay_only[..], first].concat());
    let mut second = Peer::edge_with("second node", &router, &[&relay_only[..], second].concat());
    first.wait_until_seen(&second);
    first.connect(&second.session.clone());
    first.wait_until_relayed(&second);
    second.wait_until_relayed(&first);
    exchange(&mut first, &mut second, LARGEST_OF_OURS);
}

fn our_node_offers(router: &Router) {
    let mut stock = Peer::stock("stock peer", router);
    let mut node = Peer::edge("our node", router);
    stock.wait_until_seen(&node);
    connect_and_exchange(&mut node, &mut stock, LARGEST);
    assert_eq!(node.left_over("connected", &stock), [] as [serde_json::Value; 0], "said once");
    node.disconnect_and_check(&stock);
}

fn our_node_answers(router: &Router) {
    let mut node = Peer::edge("our node", router);
    let mut stock = Peer::stock("stock peer", router);
    let seen = node.wait_until_seen(&stock);
    assert_eq!(seen["edge"], false, "a stock peer is not taken for one of ours");
    connect_and_exchange(&mut stock, &mut node, LARGEST);
    assert_eq!(node.left_over("connected", &stock), [] as [serde_json::Value; 0], "said once");
    node.disconnect_and_check(&stock);
}

/// Both offer before either has heard of the other's offer. Two stock peers never get out of this.
fn offers_cross(router: Router) {
    let router = router.at_a_distance(LATENCY);
    let mut stock = Peer::stock("stock peer", &router);
    let mut node = Peer::edge("our node", &router);
    let (to_stock, to_node) = (stock.session.clone(), node.session.clone());
    stock.connect(&to_node);
    node.connect(&to_stock);
    node.wait_until_connected(&stock);
    stock.wait_until_connected(&node);

    let (sent, received) = ("P2P connection initiated to", "Received P2P offer from");
    let order = stock.process.first_logged(&[sent, received]);
    assert_eq!(order, [sent, received], "the offers did not cross");
    exchange(&mut node, &mut stock, LARGEST);
}

fn two_stock_peers(router: &Router) {
    let mut first = Peer::stock("first stock peer", router);
    let mut second = Peer::stock("second stock peer", router);
    let announced = first.wait_until_seen(&second);
    assert_eq!(announced["features"], serde_json::json!(["webrtc", "reliable", "unreliable"]));
    let answering = second.session.clone();
    let connected = (0..STOCK_ATTEMPTS).any(|_| {
        first.connect(&answering);
        first.connects_within(STOCK_ATTEMPT, &second) && second.connects_within(STOCK_ATTEMPT, &first)
    });
    assert!(connected, "not once in {STOCK_ATTEMPTS} attempts\n{}", first.process.log_tail());
    exchange(&mut first, &mut second, LARGEST);
}

/// `offerer` connects, then every size travels both ways on both channels and arrives unchanged.
fn connect_and_exchange(offerer: &mut Peer, answerer: &mut Peer, largest: usize) {
    let answering = answerer.session.clone();
    offerer.connect(&answering);
    offerer.wait_until_connected(answerer);
    answerer.wait_until_connected(offerer);
    exchange(offerer, answerer, largest);
}

fn exchange(first: &mut Peer, second: &mut Peer, largest: usize) {
    for (seed, size) in (1..).zip(SIZES) {
        for channel in [Channel::Reliable, Channel::Unreliable] {
            first.send_and_check(second, channel, &payload(seed, size));
            second.send_and_check(first, channel, &payload(seed + 100, size));
        }
    }
    first.send_and_check(second, Channel::Reliable, &payload(50, largest));
    second.send_and_check(first, Channel::Reliable, &payload(150, largest));
}

/// Bytes that differ from message to message and from place to place.
fn payload(seed: u8, size: usize) -> Vec<u8> {
    let mut state = u32::from(seed);
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(size).collect()
}
