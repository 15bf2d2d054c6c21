//! Descriptions that strangers send, as offers and as answers: no panic, and no more outputs than one description can give rise to.
#![no_main]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clasp_node::limits::MAX_REMOTE_CANDIDATES;
use clasp_node::peer::{Certificate, Peer, PeerOutput, Setup};
use libfuzzer_sys::fuzz_target;
use rand::SeedableRng;
use rand::rngs::StdRng;

/// What is told of each candidate of ours, of each candidate of the other side, and of the link.
const MAX_OUTPUTS: usize = 4 * MAX_REMOTE_CANDIDATES + 32;

thread_local! {
    /// Keys cost more than all the rest.
    static CERTIFICATE: Certificate = Certificate::generate(&mut StdRng::from_seed([1; 32])).expect("a certificate");
}

fuzz_target!(|data: &[u8]| CERTIFICATE.with(|certificate| run(certificate, &String::from_utf8_lossy(data))));

fn run(certificate: &Certificate, text: &str) {
    let mut rng = StdRng::from_seed([2; 32]);
    let now = Instant::now();
    let setup = Setup {
        certificate,
        addresses: &[SocketAddr::from(([192, 0, 2, 1], 4000))],
        gathered: &[],
        turn_only: false,
        edge: true,
        connect_timeout: Duration::from_secs(10),
        send_buffer_bytes: 128 * 1024,
    };
    // What is no offer is no answer either, and found out before anything is set up for it.
    let Ok(mut peer) = Peer::answer(now, &setup, &mut rng, text) else { return };
    drain(now, &mut peer);
    peer.handle_timeout(now + Duration::from_millis(50));
    drain(now, &mut peer);
    let mut peer = Peer::offer(now, &setup, &mut rng, None);
    drain(now, &mut peer);
    peer.handle_answer(now, text);
    drain(now, &mut peer);
    peer.handle_timeout(now + Duration::from_millis(50));
    drain(now, &mut peer);
}

fn drain(now: Instant, peer: &mut Peer) {
    for _ in 0..MAX_OUTPUTS {
        if matches!(peer.poll_output(now), PeerOutput::Idle(_) | PeerOutput::Gone) {
            return;
        }
    }
    panic!("more than {MAX_OUTPUTS} outputs");
}
