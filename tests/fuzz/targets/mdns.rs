//! A message of the link while names are asked for.
#![no_main]

use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;
use std::time::Instant;

use clasp_node::limits::MAX_ADDRESSES_PER_NAME;
use clasp_node::mdns::{Resolver, ResolverOutput};
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 2] = ["a.local", "1f4712db-ea17-4bcf-a596-105139dfd8bf.local"];

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

fuzz_target!(|message: &[u8]| {
    let mut resolver = Resolver::new(*START);
    for name in NAMES {
        resolver.ask(*START, name);
    }
    while resolver.poll_output().is_some() {}

    let source = SocketAddr::from(([192, 0, 2, 9], 5353));
    resolver.handle_answer(source, message);
    let mut told = Vec::new();
    let mut done = false;
    while let Some(output) = resolver.poll_output() {
        match output {
            ResolverOutput::Resolved(name, found) => {
                let addresses = found.expect("nobody has waited yet");
                assert!((1..=MAX_ADDRESSES_PER_NAME).contains(&addresses.len()));
                assert!(addresses.iter().all(|address| is_in(message, *address)));
                told.push(name);
            }
            ResolverOutput::Done => done = true,
            ResolverOutput::Query(_) => panic!("an answer asks nothing"),
        }
    }
    told.sort();
    let count = told.len();
    told.dedup();
    assert!(told.len() == count && told.iter().all(|name| NAMES.contains(&name.as_str())));
    assert_eq!(done, count == NAMES.len());

    // Asked and answered: the same message has nothing more to tell.
    resolver.handle_answer(source, message);
    assert_eq!(resolver.poll_output(), None);
});

/// Every address that is told was in the message, whatever the parser makes of the rest.
fn is_in(message: &[u8], address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => message.windows(4).any(|window| window == ip.octets()),
        IpAddr::V6(ip) => message.windows(16).any(|window| window == ip.octets()),
    }
}
