//! Whom an allocation relays to: permissions (RFC 8656 §9) and channels (§12), both asked for when first needed.
//!
//! A permission is for an address that ICE checks, so strangers can cause them; the one used least recently gives way. A channel
//! is for a peer that data flows to, whose checks have succeeded; while there is none, data travels in indications.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use log::debug;

use super::message::{Ask, Auth, Response, channel_data, send_indication};
use super::transaction::{Due, Transaction};
use super::wire::Wire;
use crate::limits::{MAX_TURN_CHANNELS, MAX_TURN_PERMISSIONS};

/// A permission lasts 5 minutes (RFC 8656 §9); binding a channel again renews the peer's as well (§12).
const PERMISSION_LIFETIME: Duration = Duration::from_secs(300);

/// What is still in use is renewed a minute before.
const RENEW_AFTER: Duration = Duration::from_secs(240);

/// A channel lasts 10 minutes, and its number must not be used for another peer before 5 more have passed (§12).
const CHANNEL_RETIRED_AFTER: Duration = Duration::from_secs(15 * 60);

/// How long a refusal stands before the server is asked again.
const REFUSED_FOR: Duration = Duration::from_secs(60);

const FIRST_CHANNEL: u16 = 0x4000;
const LAST_CHANNEL: u16 = 0x4FFF;

#[derive(Debug)]
enum Grant {
    Asked(Transaction),
    Granted { at: Instant, renewal: Option<Transaction> },
    Refused { until: Instant },
}

impl Grant {
    fn request(&self) -> Option<&Transaction> {
        match self {
            Self::Asked(request) => Some(request),
            Self::Granted { renewal, .. } => renewal.as_ref(),
            Self::Refused { .. } => None,
        }
    }

    fn request_mut(&mut self) -> Option<&mut Transaction> {
        match self {
            Self::Asked(request) => Some(request),
            Self::Granted { renewal, .. } => renewal.as_mut(),
            Self::Refused { .. } => None,
        }
    }

    fn is_answered_by(&self, response: &Response<'_>) -> bool {
        self.request().is_some_and(|request| request.id() == response.id())
    }

    /// Whether the server still stands by it.
    fn holds(&self, now: Instant) -> bool {
        matches!(self, Self::Granted { at, .. } if now < *at + PERMISSION_LIFETIME)
    }
}

#[derive(Debug)]
struct Entry {
    ask: Ask,
    peer: SocketAddr,
    grant: Grant,
    used_at: Instant,
}

impl Entry {
    /// When it is time to renew it, should it have been used since it was granted.
    fn renew_at(&self) -> Option<Instant> {
        match &self.grant {
            Grant::Granted { at, renewal: None } => Some(*at + RENEW_AFTER),
            _ => None,
        }
    }

    fn was_used(&self) -> bool {
        matches!(self.grant, Grant::Granted { at, .. } if self.used_at > at)
    }

    /// Notes that data goes there now, and renews what nobody needed when it was time.
    fn touch(&mut self, wire: &mut Wire<'_>, auth: Option<&Auth>) {
        self.used_at = wire.now;
        let late = self.renew_at().is_some_and(|at| at <= wire.now);
        let refused_before = matches!(self.grant, Grant::Refused { until } if until <= wire.now);
        if late || refused_before {
            self.ask_again(wire, auth);
        }
    }

    /// When the entry means nothing any more.
    fn over_at(&self) -> Instant {
        match (&self.grant, self.ask) {
            (Grant::Granted { at, .. }, Ask::ChannelBind(..)) => *at + CHANNEL_RETIRED_AFTER,
            (Grant::Granted { at, .. }, _) => *at + PERMISSION_LIFETIME,
            (Grant::Refused { until }, _) => *until,
            (Grant::Asked(request), _) => request.at() + CHANNEL_RETIRED_AFTER,
        }
    }

    fn wake(&self, now: Instant) -> Instant {
        let renewal = self.renew_at().filter(|at| *at > now);
        let due = self.grant.request().map(Transaction::at).into_iter().chain(renewal);
        due.fold(self.over_at(), Instant::min)
    }

    fn ask_again(&mut self, wire: &mut Wire<'_>, auth: Option<&Auth>) {
        let asked = wire.ask(self.ask, auth);
        self.grant = match (asked, &self.grant) {
            (Ok(request), Grant::Granted { at, .. }) => Grant::Granted { at: *at, renewal: Some(request) },
            (Ok(request), _) => Grant::Asked(request),
            (Err(_), _) => Grant::Refused { until: wire.now + REFUSED_FOR },
        };
    }
}

/// The permissions and channels of an allocation.
#[derive(Debug)]
pub(super) struct Peers {
    permissions: Vec<Entry>,
    channels: Vec<Entry>,
    next_channel: u16,
}

impl Default for Peers {
    fn default() -> Self {
        Self { permissions: Vec::new(), channels: Vec::new(), next_channel: FIRST_CHANNEL }
    }
}

impl Peers {
    /// Packs data for a peer. `None` if the server does not relay to it.
    pub(super) fn pack(
        &mut self,
        wire: &mut Wire<'_>,
        auth: Option<&Auth>,
        peer: SocketAddr,
        data: &[u8],
    ) -> Option<Vec<u8>> {
        let now = wire.now;
        match self.channels.iter_mut().find(|channel| channel.peer == peer) {
            Some(channel) => {
                channel.touch(wire, auth);
                if let (true, Ask::ChannelBind(number, _)) = (channel.grant.holds(now), channel.ask) {
                    return channel_data(number, data);
                }
            }
            None if crate::peer::is_dtls(data) => self.bind(wire, auth, peer),
            None => {}
        }
        if !self.permit(wire, auth, peer) {
            return None;
        }
        let id = wire.id();
        send_indication(id, peer, data).inspect_err(|error| debug!(error:% = error; "not relayed")).ok()
    }

    fn bind(&mut self, wire: &mut Wire<'_>, auth: Option<&Auth>, peer: SocketAddr) {
        if self.channels.len() >= MAX_TURN_CHANNELS {
            return; // indications do as well, at 32 bytes more
        }
        let number = self.next_channel;
        self.next_channel = if number >= LAST_CHANNEL { FIRST_CHANNEL } else { number + 1 };
        self.channels.extend(entry(wire, auth, Ask::ChannelBind(number, peer), peer));
    }

    /// Says whether data for the peer may go out: the request goes in front of it.
    fn permit(&mut self, wire: &mut Wire<'_>, auth: Option<&Auth>, peer: SocketAddr) -> bool {
        let ip = peer.ip();
        if let Some(permission) = self.permissions.iter_mut().find(|p| p.peer.ip() == ip) {
            permission.touch(wire, auth);
            return !matches!(permission.grant, Grant::Refused { .. });
        }
        if self.permissions.len() >= MAX_TURN_PERMISSIONS {
            let oldest = self.permissions.iter().enumerate().min_by_key(|(_, p)| p.used_at);
            if let Some(index) = oldest.map(|(index, _)| index) {
                self.permissions.swap_remove(index);
            }
        }
        let asked = entry(wire, auth, Ask::CreatePermission(SocketAddr::new(ip, 0)), peer);
        let may = asked.is_some();
        self.permissions.extend(asked);
        may
    }

    /// Who is behind a channel.
    pub(super) fn on_channel(&self, number: u16) -> Option<SocketAddr> {
        let is = |e: &&Entry| matches!(e.ask, Ask::ChannelBind(n, _) if n == number);
        self.channels.iter().find(is).map(|entry| entry.peer)
    }

    /// Whether this answers one of our requests.
    pub(super) fn awaits(&self, response: &Response<'_>) -> bool {
        self.entries().any(|entry| entry.grant.is_answered_by(response))
    }

    /// The server did what was asked.
    pub(super) fn granted(&mut self, now: Instant, response: &Response<'_>) {
        for entry in self.entries_mut().filter(|entry| entry.grant.is_answered_by(response)) {
            entry.grant = Grant::Granted { at: now, renewal: None };
        }
    }

    /// It did not.
    pub(super) fn refused(&mut self, now: Instant, response: &Response<'_>) {
        for entry in self.entries_mut().filter(|entry| entry.grant.is_answered_by(response)) {
            debug!(peer:% = entry.peer, error:? = response.error(); "the TURN server does not relay to it");
            entry.grant = Grant::Refused { until: now + REFUSED_FOR };
        }
    }

    /// The server wants to be asked with another nonce.
    pub(super) fn repeat(&mut self, wire: &mut Wire<'_>, auth: Option<&Auth>, response: &Response<'_>) {
        for entry in self.entries_mut().filter(|entry| entry.grant.is_answered_by(response)) {
            entry.ask_again(wire, auth);
        }
    }

    pub(super) fn handle_timeout(&mut self, wire: &mut Wire<'_>, auth: Option<&Auth>) {
        let now = wire.now;
        for entry in self.permissions.iter_mut().chain(&mut self.channels) {
            match entry.grant.request_mut().map(|request| request.handle_timeout(now)) {
                Some(Due::Resend(bytes)) => wire.send(bytes),
                Some(Due::GivenUp) => entry.grant = Grant::Refused { until: now + REFUSED_FOR },
                Some(Due::NotYet) => {}
                None if entry.was_used() && entry.renew_at().is_some_and(|at| at <= now) => {
                    entry.ask_again(wire, auth);
                }
                None => {}
            }
        }
        self.permissions.retain(|entry| now < entry.over_at());
        self.channels.retain(|entry| now < entry.over_at());
    }

    pub(super) fn wake(&self, now: Instant) -> Option<Instant> {
        self.entries().map(|entry| entry.wake(now)).min()
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.permissions.iter().chain(&self.channels)
    }

    fn entries_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.permissions.iter_mut().chain(&mut self.channels)
    }

    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.permissions.len(), self.channels.len())
    }
}

fn entry(wire: &mut Wire<'_>, auth: Option<&Auth>, ask: Ask, peer: SocketAddr) -> Option<Entry> {
    let request = wire.ask(ask, auth).ok()?;
    Some(Entry { ask, peer, grant: Grant::Asked(request), used_at: wire.now })
}
