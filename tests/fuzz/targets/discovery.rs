//! Datagrams that strangers send to a node that looks for others and is looked for.
#![no_main]

use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use clasp_node::DeviceId;
use clasp_node::discovery::{Advertised, Discovery, Input, Link, Network, Output};
use clasp_node::limits::MAX_INSTANCES;
use libfuzzer_sys::fuzz_target;

const LINK: Link = Link { interface: 2, v6: false };

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

fuzz_target!(|input: &[u8]| {
    let mut now = *START;
    let advertised = Advertised { name: "kitchen".to_owned(), port: 7330 };
    let mut discovery = Discovery::new([7; 32], now, DeviceId::of(&[1; 32]), Some(advertised));
    let network = Network { link: LINK, addresses: vec![IpAddr::from([192, 0, 2, 1])] };
    discovery.handle_input(now, 0, Input::Networks(&[network]));
    discovery.ask(now);
    drain(&mut discovery, 0);

    // Each datagram behind three bytes: where it comes to and what time has passed, and its length.
    let mut rest = input;
    while let [how, high, low, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (bytes, left) = after.split_at(after.len().min(length));
        rest = left;
        now += Duration::from_millis(u64::from(how >> 2) * 40);
        let source = |port| SocketAddr::from(([192, 0, 2, how & 7], port));
        let (given, asked) = match how & 3 {
            0 => (Input::Message { link: LINK, source: source(5353), bytes }, 0),
            1 => (Input::Message { link: LINK, source: source(4000), bytes }, 0),
            2 => (Input::Question { source: source(4000), bytes }, bytes.len()),
            _ => (Input::Answer { source: source(7331), bytes }, 0),
        };
        discovery.handle_input(now, 0, given);
        drain(&mut discovery, asked);
        discovery.handle_input(now, 0, Input::Timeout);
        drain(&mut discovery, 0);
    }
});

/// An answer to a broadcast is at most twice as long as its question, and what is known is bounded.
fn drain(discovery: &mut Discovery, asked: usize) {
    loop {
        match discovery.poll_output() {
            Output::Idle { .. } => break,
            Output::Reply { bytes, .. } => assert!(bytes.len() <= 2 * asked),
            Output::Multicast { message, .. } | Output::Unicast { message, .. } => assert!(message.len() <= 9000),
            _ => {}
        }
    }
    assert!(discovery.found().count() <= 2 * MAX_INSTANCES);
}
