//! Two peers find each other through a router and exchange data directly, every combination of ours and stock.

use interop::line::Channel;

use crate::peer::Peer;
use crate::router::Router;

/// Sizes of the messages exchanged: the smallest there is, about one datagram, and the most a browser is sure to take.
const SIZES: [usize; 3] = [1, 1200, 16 * 1024];

#[test]
fn two_stock_peers_connect_and_exchange_data_through_our_router() {
    two_stock_peers(&Router::ours());
}

#[test]
fn two_stock_peers_connect_and_exchange_data_through_the_stock_router() {
    two_stock_peers(&Router::stock());
}

fn two_stock_peers(router: &Router) {
    let mut first = Peer::stock("first stock peer", router);
    let mut second = Peer::stock("second stock peer", router);
    let announced = first.wait_until_seen(&second);
    assert_eq!(announced["features"], serde_json::json!(["webrtc", "reliable", "unreliable"]));
    connect_and_exchange(&mut first, &mut second);
}

/// `offerer` connects, then every size travels both ways on both channels and arrives unchanged.
fn connect_and_exchange(offerer: &mut Peer, answerer: &mut Peer) {
    let answering = answerer.session.clone();
    offerer.connect(&answering);
    offerer.wait_until_connected(answerer);
    answerer.wait_until_connected(offerer);
    for (seed, size) in (1..).zip(SIZES) {
        for channel in [Channel::Reliable, Channel::Unreliable] {
            offerer.send_and_check(answerer, channel, &payload(seed, size));
            answerer.send_and_check(offerer, channel, &payload(seed + 100, size));
        }
    }
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
