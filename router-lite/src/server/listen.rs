//! Listening sockets: binding them, and accepting without being stopped by anybody.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    rc::Rc,
    time::{Duration, Instant},
};

use log::{debug, info, warn};
use smol::{
    Async, LocalExecutor, Timer,
    future::{FutureExt, yield_now},
};

use crate::{
    access::Origin,
    server::{ServerError, clock, connection, hub::Hub},
};

/// When accepting fails because descriptors or memory ran out, it is tried again after this: some clients will have
/// left, and trying at once would only burn the processor.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Binds every address.
pub(crate) fn bind(addresses: &[SocketAddr]) -> Result<Vec<Async<TcpListener>>, ServerError> {
    let mut listeners: Vec<Async<TcpListener>> = Vec::new();
    for address in addresses {
        match listen(*address) {
            Ok(listener) => {
                let bound = listener.get_ref().local_addr().map_err(ServerError::Address)?;
                listeners.push(listener);
                // Where the system keeps IPv4 out of `[::]`; everywhere else the address is in use, by us.
                if bound.is_ipv6() && bound.ip().is_unspecified() {
                    listeners.extend(Async::<TcpListener>::bind((Ipv4Addr::UNSPECIFIED, bound.port())).ok());
                }
            }
            // `0.0.0.0` after `[::]`, which takes IPv4 as well.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_covered(*address, &listeners) => {
                debug!(address:% = address; "already covered by the IPv6 listener");
            }
            Err(source) => return Err(ServerError::Bind { address: *address, source }),
        }
    }
    Ok(listeners)
}

/// `[::]` falls back to `0.0.0.0` on hosts without IPv6.
fn listen(address: SocketAddr) -> io::Result<Async<TcpListener>> {
    match Async::<TcpListener>::bind(address) {
        Err(error) if address.is_ipv6() && address.ip().is_unspecified() && is_no_ipv6(&error) => {
            info!(error:% = error; "no IPv6 here, listening on IPv4 only");
            Async::<TcpListener>::bind((Ipv4Addr::UNSPECIFIED, address.port()))
        }
        bound => bound,
    }
}

fn is_no_ipv6(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

fn is_covered(address: SocketAddr, listeners: &[Async<TcpListener>]) -> bool {
    let wildcard = |bound: SocketAddr| bound.is_ipv6() && bound.ip().is_unspecified();
    let locals = listeners.iter().filter_map(|listener| listener.get_ref().local_addr().ok());
    address.is_ipv4() && locals.into_iter().any(|bound| wildcard(bound) && bound.port() == address.port())
}

/// Accepts connections, for ever. Each one has a task of its own from its first byte.
pub(crate) async fn accept_loop(
    hub: Rc<Hub>,
    listener: Rc<Async<TcpListener>>,
    executor: Rc<LocalExecutor<'static>>,
) {
    let mut failing = false;
    loop {
        wait_for_room(&hub).await;
        match listener.accept().await {
            Ok((stream, peer)) => {
                failing = false;
                if let Some(line) = open(&hub, stream, peer) {
                    executor.spawn(connection::serve(Rc::clone(&hub), line)).detach();
                }
                // Handshakes that are under way go on before the next one begins.
                yield_now().await;
            }
            Err(error) if is_clients_fault(&error) => {}
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    warn!(error:% = error; "cannot accept connections for the moment");
                }
                Timer::after(ACCEPT_RETRY).await;
            }
        }
    }
}

fn open(hub: &Hub, stream: Async<TcpStream>, peer: SocketAddr) -> Option<Rc<crate::server::line::Line>> {
    // Fails only on a connection that is gone already.
    stream.get_ref().set_nodelay(true).ok()?;
    let origin = if peer.ip().to_canonical().is_loopback() { Origin::Loopback } else { Origin::Remote };
    let line = hub.open(Some(stream), origin);
    debug!(connection:% = line.id, peer:% = peer; "accepted");
    Some(line)
}

/// In a rush of clients the next one waits in the system's queue instead of being turned away; but not longer than it
/// takes until one that says nothing may be made to go.
async fn wait_for_room(hub: &Hub) {
    while let Some(at) = hub.accept_at() {
        if at <= now() {
            return;
        }
        let due = async {
            Timer::at(at).await;
        };
        due.or(hub.freed.wait()).await;
    }
}

fn now() -> Instant {
    clock::now().instant
}

/// The connection was given up before we came to accept it.
fn is_clients_fault(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}
