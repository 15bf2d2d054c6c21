//! Whether datagrams of this host reach a socket of this host.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use rustix::net::AddressFamily;
use smol::Async;

use crate::discovery::BROADCAST_PORT;
use crate::driver::mdns::shared;
use crate::driver::websocket::deadline;
use crate::driver::{now, seed};

/// The group of multicast DNS (RFC 6762 §3): a filter that lets it pass lets the names of a LAN pass.
pub const MULTICAST_GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);

/// Datagrams sent, so that a lost one does not count.
const TRIES: usize = 3;

/// How long each is waited for. Nothing leaves the host that has to come back.
const PATIENCE: Duration = Duration::from_millis(300);

/// Why a datagram did not arrive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatagramFault {
    /// A socket could not be had: this address is no longer ours, or has not become ours yet.
    #[error("no socket on {0}: {1}")]
    Socket(IpAddr, io::Error),
    /// The system does not let it out: most often a filter on this host.
    #[error("the system does not send it: {0}")]
    Send(io::Error),
    /// It was sent, and did not arrive.
    #[error("{TRIES} datagrams were sent and none arrived")]
    Lost,
}

/// Sends a datagram from one address of this host to another, or the same, and returns how long it took.
///
/// # Errors
/// When none arrives.
pub async fn udp(from: IpAddr, to: IpAddr) -> Result<Duration, DatagramFault> {
    let sender = socket(from)?;
    let receiver = socket(to)?;
    let destination = receiver.get_ref().local_addr().map_err(|error| DatagramFault::Socket(to, error))?;
    pass(&sender, &receiver, destination).await
}

/// Joins [`MULTICAST_GROUP`] on the interface with the address `on`, sends a datagram to it there on a port of our own, and returns
/// how long it took to hear it.
///
/// # Errors
/// When it is not heard.
pub async fn multicast(on: Ipv4Addr) -> Result<Duration, DatagramFault> {
    let fault = |error| DatagramFault::Socket(on.into(), error);
    // Bound to an address of ours, it would hear nothing that is sent to a group.
    let socket = socket(Ipv4Addr::UNSPECIFIED.into())?;
    let inner: &UdpSocket = socket.get_ref();
    inner.join_multicast_v4(&MULTICAST_GROUP, &on).map_err(fault)?;
    inner.set_multicast_loop_v4(true).map_err(fault)?;
    rustix::net::sockopt::set_ip_multicast_if(inner, &on).map_err(|error| fault(error.into()))?;
    let port = inner.local_addr().map_err(fault)?.port();
    pass(&socket, &socket, SocketAddr::from((MULTICAST_GROUP, port))).await
}

/// Sends a datagram to everybody on the network of the address `on`, to the port of discovery, and returns how long it took to hear it
/// there. Others who listen on that port make nothing of it.
///
/// # Errors
/// When it is not heard.
pub async fn broadcast(on: Ipv4Addr) -> Result<Duration, DatagramFault> {
    let fault = |error| DatagramFault::Socket(on.into(), error);
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, BROADCAST_PORT));
    let receiver = shared(AddressFamily::INET, &any).map_err(fault)?;
    let sender = socket(on.into())?;
    sender.get_ref().set_broadcast(true).map_err(fault)?;
    pass(&sender, &receiver, SocketAddr::from((Ipv4Addr::BROADCAST, BROADCAST_PORT))).await
}

fn socket(address: IpAddr) -> Result<Async<UdpSocket>, DatagramFault> {
    Async::<UdpSocket>::bind((address, 0)).map_err(|error| DatagramFault::Socket(address, error))
}

async fn pass(
    sender: &Async<UdpSocket>,
    receiver: &Async<UdpSocket>,
    destination: SocketAddr,
) -> Result<Duration, DatagramFault> {
    // Nobody else's datagram is taken for ours.
    let token = seed().map_err(DatagramFault::Send)?;
    for _ in 0..TRIES {
        let begun = now();
        sender.send_to(&token, destination).await.map_err(DatagramFault::Send)?;
        if deadline(PATIENCE, heard(receiver, &token)).await.is_some() {
            return Ok(since(begun));
        }
    }
    Err(DatagramFault::Lost)
}

async fn heard(receiver: &Async<UdpSocket>, token: &[u8]) {
    let mut buffer = [0; 64];
    loop {
        match receiver.recv_from(&mut buffer).await {
            Ok((length, _)) if buffer.get(..length) == Some(token) => return,
            Ok(_) => {}
            // Such as a port that somebody reports closed; the deadline ends a row of them.
            Err(error) => {
                log::debug!("while a datagram is awaited: {error}");
                smol::future::yield_now().await;
            }
        }
    }
}

fn since(begun: Instant) -> Duration {
    now().saturating_duration_since(begun)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_pass_on_loopback_and_an_address_that_is_not_ours_is_named() {
        smol::block_on(async {
            let localhost = IpAddr::from(Ipv4Addr::LOCALHOST);
            assert!(udp(localhost, localhost).await.unwrap() < PATIENCE);
            let foreign = IpAddr::from([192, 0, 2, 254]);
            let fault = udp(foreign, localhost).await.unwrap_err().to_string();
            assert!(fault.starts_with("no socket on 192.0.2.254"), "{fault}");
        });
    }
}
