//! An address on a TURN server that is ours for a while (RFC 8656 §7, §8).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use log::debug;
use stun_types::attribute::ErrorCode;

use super::ServerFault;
use super::config::Credentials;
use super::message::{Ask, Auth, Response};
use super::peers::Peers;
use super::transaction::{Due, Transaction};
use super::wire::Wire;

/// What we ask for, in seconds: what a server gives if not asked, and what a crashed node blocks at most.
const LIFETIME: u32 = 600;

/// An allocation is refreshed this long before it ends, or after half of its life if that is shorter.
const REFRESH_BEFORE: Duration = Duration::from_secs(60);

/// No server may make us refresh more often than every 5 s.
const SHORTEST_LIFETIME: u32 = 10;

/// After so much silence on what is sent to peers, the server is asked whether it still knows us: one that restarted does not,
/// and says nothing. Well below the time after which a link is given up.
const DOUBT_AFTER: Duration = Duration::from_secs(2);

/// Peers may be silent for reasons of their own: no more than one question in this time.
const DOUBT_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Nonces in a row that a server may call stale.
const MAX_STALE_NONCES: u8 = 3;

/// When a server that said no, or nothing, is asked again.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(30);

/// Wrong credentials do not become right by themselves, but an operator may add the user.
const RETRY_CREDENTIALS_AFTER: Duration = Duration::from_secs(300);

#[derive(Debug)]
enum State {
    Asking {
        request: Transaction,
        cleared: bool,
    },
    /// The server still has an allocation of ours, from before a restart. It is given back, then a new one is asked for.
    Clearing {
        request: Transaction,
    },
    Ready(Ready),
    Failed {
        until: Instant,
        fault: ServerFault,
    },
}

#[derive(Debug)]
struct Ready {
    relayed: SocketAddr,
    expires_at: Instant,
    refresh_at: Instant,
    refresh: Option<Transaction>,
    /// When a peer was heard last, and when the server was doubted.
    heard_at: Instant,
    doubted_at: Option<Instant>,
}

/// What became of an allocation.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    Gained { relayed: SocketAddr, mapped: Option<SocketAddr> },
    Lost(SocketAddr),
}

#[derive(Debug)]
pub(super) struct Allocation {
    credentials: Credentials,
    auth: Option<Auth>,
    stale_nonces: u8,
    state: State,
    pub(super) peers: Peers,
}

/// What a response means.
enum Verdict {
    Done,
    /// Ask again, with the credentials the server wants now.
    Again,
    Fault(ServerFault),
    /// Not from somebody who knows the password.
    Forged,
}

impl Allocation {
    pub(super) fn new(wire: &mut Wire<'_>, credentials: Credentials) -> Self {
        let state = State::Failed { until: wire.now, fault: ServerFault::NoAnswer };
        let peers = Peers::default();
        let mut allocation = Self { credentials, auth: None, stale_nonces: 0, state, peers };
        allocation.allocate(wire, false);
        allocation
    }

    fn allocate(&mut self, wire: &mut Wire<'_>, cleared: bool) {
        let ask = Ask::Allocate { lifetime: LIFETIME, ipv6: wire.remote.is_ipv6() };
        self.state = match wire.ask(ask, self.auth.as_ref()) {
            Ok(request) => State::Asking { request, cleared },
            Err(fault) => State::Failed { until: wire.now + RETRY_AFTER, fault },
        };
    }

    /// The address on the server.
    pub(super) fn relayed(&self) -> Option<SocketAddr> {
        if let State::Ready(ready) = &self.state { Some(ready.relayed) } else { None }
    }

    /// Why there is none.
    pub(super) fn fault(&self) -> Option<&ServerFault> {
        match &self.state {
            State::Failed { fault, .. } => Some(fault),
            State::Asking { request, .. } | State::Clearing { request } if request.is_overdue() => {
                Some(&ServerFault::NoAnswer)
            }
            _ => None,
        }
    }

    /// Asks again at once if the server was given up: the network has changed.
    pub(super) fn retry(&mut self, wire: &mut Wire<'_>) {
        if let State::Failed { .. } = self.state {
            self.allocate(wire, false);
        }
    }

    /// Gives the allocation back, without waiting for an answer.
    pub(super) fn release(&self, wire: &mut Wire<'_>) {
        if self.relayed().is_some()
            && let Err(fault) = wire.ask(Ask::Refresh { lifetime: 0 }, self.auth.as_ref())
        {
            debug!(fault:% = fault; "allocation not given back");
        }
    }

    /// Packs data for a peer; `None` if there is no way to it.
    pub(super) fn pack(&mut self, wire: &mut Wire<'_>, peer: SocketAddr, data: &[u8]) -> Option<Vec<u8>> {
        let packed = self.peers.pack(wire, self.auth.as_ref(), peer, data);
        if let State::Ready(ready) = &mut self.state
            && wire.now > ready.heard_at + DOUBT_AFTER
            && ready.doubted_at.is_none_or(|at| wire.now > at + DOUBT_AGAIN_AFTER)
            && ready.refresh.is_none()
        {
            ready.doubted_at = Some(wire.now);
            self.refresh(wire);
        }
        packed
    }

    /// A peer was heard by way of the server.
    pub(super) fn heard(&mut self, now: Instant) {
        if let State::Ready(ready) = &mut self.state {
            ready.heard_at = now;
        }
    }

    /// Whether this answers a request of ours.
    pub(super) fn awaits(&self, response: &Response<'_>) -> bool {
        let request = match &self.state {
            State::Asking { request, .. } | State::Clearing { request } => Some(request),
            State::Ready(ready) => ready.refresh.as_ref(),
            State::Failed { .. } => None,
        };
        request.is_some_and(|request| request.id() == response.id()) || self.peers.awaits(response)
    }

    pub(super) fn handle_response(&mut self, wire: &mut Wire<'_>, response: &Response<'_>) -> Option<Change> {
        let now = wire.now;
        let is = |request: &Transaction| request.id() == response.id();
        match &self.state {
            State::Asking { request, cleared } if is(request) => {
                let cleared = *cleared;
                match self.judge(response) {
                    Verdict::Done => return self.granted(now, response),
                    Verdict::Again => self.allocate(wire, cleared),
                    Verdict::Fault(ServerFault::Refused { code: ErrorCode::ALLOCATION_MISMATCH, .. })
                        if !cleared =>
                    {
                        self.clear(wire);
                    }
                    Verdict::Fault(fault) => self.fail(now, fault),
                    Verdict::Forged => {}
                }
            }
            State::Clearing { request } if is(request) => match self.judge(response) {
                Verdict::Again => self.clear(wire),
                Verdict::Forged => {}
                Verdict::Done | Verdict::Fault(_) => self.allocate(wire, true),
            },
            State::Ready(Ready { refresh: Some(request), .. }) if is(request) => match self.judge(response) {
                Verdict::Done => self.refreshed(now, response),
                Verdict::Again => self.refresh(wire),
                Verdict::Fault(_) => return self.lose(wire), // restarted, most likely: it knows us no more
                Verdict::Forged => {}
            },
            State::Ready(_) if self.peers.awaits(response) => match self.judge(response) {
                Verdict::Done => self.peers.granted(now, response),
                Verdict::Again => self.peers.repeat(wire, self.auth.as_ref(), response),
                Verdict::Fault(fault) => {
                    self.peers.refused(now, response);
                    // One that forbids a peer knows us. Others may have lost our allocation; not all of them say so here.
                    let forbidden = matches!(fault, ServerFault::Refused { code: ErrorCode::FORBIDDEN, .. });
                    if !forbidden && !self.is_refreshing() {
                        self.refresh(wire);
                    }
                }
                Verdict::Forged => {}
            },
            _ => {}
        }
        None
    }

    /// Takes what a response says about our credentials, and says what to do about it.
    fn judge(&mut self, response: &Response<'_>) -> Verdict {
        let Some((code, reason)) = response.error() else {
            let authentic = self.auth.as_ref().is_none_or(|auth| response.is_authentic(auth));
            if !authentic {
                debug!("answer of a TURN server ignored: whoever wrote it does not know the password");
                return Verdict::Forged;
            }
            self.stale_nonces = 0;
            return Verdict::Done;
        };
        let challenged = match code {
            ErrorCode::UNAUTHORIZED if self.auth.is_none() => response.challenge(),
            ErrorCode::STALE_NONCE if self.stale_nonces < MAX_STALE_NONCES => response.challenge(),
            _ => None,
        };
        if let Some((realm, nonce)) = challenged {
            if self.auth.as_ref().is_some_and(|auth| auth.nonce() != nonce) {
                self.stale_nonces += 1;
            }
            self.auth = Some(Auth::new(&self.credentials, &realm, &nonce));
            return Verdict::Again;
        }
        Verdict::Fault(match code {
            ErrorCode::UNAUTHORIZED | ErrorCode::WRONG_CREDENTIALS if self.auth.is_some() => {
                ServerFault::WrongCredentials
            }
            ErrorCode::ALLOCATION_QUOTA_REACHED => ServerFault::QuotaReached,
            code => ServerFault::Refused { code, reason },
        })
    }

    fn granted(&mut self, now: Instant, response: &Response<'_>) -> Option<Change> {
        let Some(relayed) = response.relayed() else {
            self.fail(now, ServerFault::BadAnswer);
            return None;
        };
        let mut ready = Ready {
            relayed,
            expires_at: now,
            refresh_at: now,
            refresh: None,
            heard_at: now,
            doubted_at: None,
        };
        ready.renew(now, response);
        self.state = State::Ready(ready);
        self.peers = Peers::default();
        Some(Change::Gained { relayed, mapped: response.mapped() })
    }

    fn refreshed(&mut self, now: Instant, response: &Response<'_>) {
        if let State::Ready(ready) = &mut self.state {
            ready.renew(now, response);
        }
    }

    fn refresh(&mut self, wire: &mut Wire<'_>) {
        if let State::Ready(ready) = &mut self.state {
            match wire.ask(Ask::Refresh { lifetime: LIFETIME }, self.auth.as_ref()) {
                Ok(request) => ready.refresh = Some(request),
                Err(_) => ready.refresh_at = ready.expires_at, // then it runs out, and another is asked for
            }
        }
    }

    fn is_refreshing(&self) -> bool {
        matches!(&self.state, State::Ready(ready) if ready.refresh.is_some())
    }

    fn clear(&mut self, wire: &mut Wire<'_>) {
        match wire.ask(Ask::Refresh { lifetime: 0 }, self.auth.as_ref()) {
            Ok(request) => self.state = State::Clearing { request },
            Err(fault) => self.fail(wire.now, fault),
        }
    }

    fn fail(&mut self, now: Instant, fault: ServerFault) {
        let wait = match fault {
            ServerFault::WrongCredentials => RETRY_CREDENTIALS_AFTER,
            _ => RETRY_AFTER,
        };
        // What it wants may be another realm by then.
        (self.auth, self.stale_nonces) = (None, 0);
        self.state = State::Failed { until: now + wait, fault };
    }

    /// The allocation is gone. Another is asked for at once.
    fn lose(&mut self, wire: &mut Wire<'_>) -> Option<Change> {
        let lost = self.relayed().map(Change::Lost);
        (self.auth, self.stale_nonces) = (None, 0);
        self.allocate(wire, false);
        lost
    }

    pub(super) fn handle_timeout(&mut self, wire: &mut Wire<'_>) -> Option<Change> {
        let now = wire.now;
        match &mut self.state {
            State::Asking { request, .. } | State::Clearing { request } => {
                match request.handle_timeout(now) {
                    Due::Resend(bytes) => wire.send(bytes),
                    Due::GivenUp => self.fail(now, ServerFault::NoAnswer),
                    Due::NotYet => {}
                }
            }
            State::Failed { until, .. } if *until <= now => self.allocate(wire, false),
            State::Failed { .. } => {}
            State::Ready(ready) => {
                match ready.refresh.as_mut().map(|request| request.handle_timeout(now)) {
                    Some(Due::Resend(bytes)) => wire.send(bytes),
                    Some(Due::GivenUp) => return self.lose(wire),
                    Some(Due::NotYet) => {}
                    None if ready.expires_at <= now => return self.lose(wire),
                    None if ready.refresh_at <= now => self.refresh(wire),
                    None => {}
                }
                self.peers.handle_timeout(wire, self.auth.as_ref());
            }
        }
        None
    }

    pub(super) fn wake(&self, now: Instant) -> Instant {
        match &self.state {
            State::Asking { request, .. } | State::Clearing { request } => request.at(),
            State::Failed { until, .. } => *until,
            State::Ready(ready) => {
                let own = match &ready.refresh {
                    Some(request) => request.at(),
                    None => ready.refresh_at,
                };
                self.peers.wake(now).map_or(own, |at| at.min(own))
            }
        }
    }
}

impl Ready {
    fn renew(&mut self, now: Instant, response: &Response<'_>) {
        let seconds = response.lifetime().unwrap_or(LIFETIME).max(SHORTEST_LIFETIME);
        let lifetime = Duration::from_secs(seconds.into());
        self.expires_at = now + lifetime;
        self.refresh_at = now + (lifetime - REFRESH_BEFORE.min(lifetime / 2));
        self.refresh = None;
    }
}
