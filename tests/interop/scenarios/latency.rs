//! Owns: a TCP relay that delivers every byte a fixed time later, in both directions. Does not own: what passes through.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Pieces on their way in one direction; more than a test ever has in the air.
const IN_FLIGHT: usize = 4096;

/// Starts a relay to `target` and returns its address. It ends with the test process.
pub fn relay(target: SocketAddr, latency: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    thread::spawn(move || {
        for near in listener.incoming().flatten() {
            // A target that is gone shows as a connection that closes.
            if let Ok(far) = TcpStream::connect(target) {
                pass(&near, &far, latency);
                pass(&far, &near, latency);
            }
        }
    });
    address
}

fn pass(from: &TcpStream, to: &TcpStream, latency: Duration) {
    let (mut from, to) = (from.try_clone().expect("a handle"), to.try_clone().expect("a handle"));
    to.set_nodelay(true).expect("a TCP socket");
    let (sender, receiver) = sync_channel(IN_FLIGHT);
    thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            if sender.send((Instant::now() + latency, buffer[..length].to_vec())).is_err() {
                break;
            }
        }
    });
    thread::spawn(move || deliver(&receiver, to));
}

fn deliver(receiver: &Receiver<(Instant, Vec<u8>)>, mut to: TcpStream) {
    for (due, bytes) in receiver {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if to.write_all(&bytes).is_err() {
            break;
        }
    }
    // Either end may have gone first.
    drop(to.shutdown(Shutdown::Both));
}
