//! Notices when the addresses of this host change: a cable pulled, a network joined, a new lease.
//!
//! On Linux the kernel tells (rtnetlink(7)); what it says is not read, only that it says something, and then the addresses are
//! listed anew. Elsewhere, and where a sandbox forbids netlink sockets, they are listed every few seconds.

use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use log::info;
use rustix::io::Errno;
use smol::{Async, Timer};

/// News come in bursts (link down, address gone, address tentative, address usable): addresses are listed this long after the
/// first, and again if more comes then.
const SETTLE: Duration = Duration::from_millis(100);

/// How often addresses are listed where the kernel does not tell.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Enough for one message: more is cut off, and cut off is as good as read.
const NEWS_BYTES: usize = 64;

/// Messages taken out in one go, so that a flood of them cannot hold up the node; what is left is news again.
const READS: usize = 64;

#[derive(Debug)]
pub(super) struct Watch {
    socket: Option<Async<OwnedFd>>,
    /// Runs out when it is time to list the addresses.
    timer: Timer,
    /// News came, and the timer runs.
    settling: bool,
}

impl Watch {
    pub(super) fn new() -> Self {
        match subscribe().and_then(Async::new) {
            Ok(socket) => Self { socket: Some(socket), timer: Timer::never(), settling: false },
            Err(error) => {
                info!("the system does not tell of new addresses ({error}): looking every {LOOK_EVERY:?}");
                Self { socket: None, timer: Timer::interval(LOOK_EVERY), settling: false }
            }
        }
    }

    /// Whether it speaks only when something has changed.
    pub(super) fn is_told(&self) -> bool {
        self.socket.is_some()
    }

    /// Ready when the addresses may have changed.
    pub(super) fn poll_changed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(socket) = &self.socket
            && !self.settling
            && socket.poll_readable(context).is_ready()
        {
            self.settling = true;
            self.timer.set_after(SETTLE);
        }
        if self.socket.is_some() && !self.settling {
            return Poll::Pending;
        }
        if Pin::new(&mut self.timer).poll(context).is_pending() {
            return Poll::Pending;
        }
        self.settling = false;
        if let Some(socket) = &self.socket {
            for _ in 0..READS {
                match rustix::io::read(socket, &mut [0; NEWS_BYTES]) {
                    Ok(_) | Err(Errno::NOBUFS | Errno::INTR) => {} // it had more to tell than the socket holds
                    Err(_) => break,
                }
            }
        }
        Poll::Ready(())
    }
}

/// A socket that hears of links, addresses and routes.
#[cfg(target_os = "linux")]
fn subscribe() -> io::Result<OwnedFd> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, netlink, socket_with};

    // linux/rtnetlink.h
    const RTMGRP_LINK: u32 = 0x1;
    const RTMGRP_IPV4_IFADDR: u32 = 0x10;
    const RTMGRP_IPV4_ROUTE: u32 = 0x40;
    const RTMGRP_IPV6_IFADDR: u32 = 0x100;
    const RTMGRP_IPV6_ROUTE: u32 = 0x400;

    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    // Routes too: an address may come a moment before the way out that makes it useful.
    let v4 = RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE;
    let groups = RTMGRP_LINK | v4 | RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE;
    bind(&socket, &netlink::SocketAddrNetlink::new(0, groups))?;
    Ok(socket)
}

#[cfg(not(target_os = "linux"))]
fn subscribe() -> io::Result<OwnedFd> {
    Err(io::ErrorKind::Unsupported.into())
}
