//! Pairing and pairs, as applications and commands ask for them; and keeping what comes of it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use log::{error, info};
use serde::Serialize;
use smol::channel::Sender;

use super::{Driver, answer, now};
use crate::event::{Event, RouterId};
use crate::identity::DeviceId;
use crate::limits::MAX_PAIRING_WAITERS;
use crate::node::PairCallError;
use crate::pairing::{Known, PairingError};
use crate::pairs::Pair;

/// What a device shows while it can be paired.
#[derive(Debug, Clone, Serialize)]
pub struct Shown {
    /// Eight digits, for a person to type.
    pub code: String,
    /// The text of the QR code.
    pub qr: String,
    /// The page of this device, where other hosts find one. With `#` and [`Self::qr`] behind it, a browser pairs by itself.
    pub page: Option<String>,
    /// How long it is good for.
    #[serde(serialize_with = "seconds")]
    pub lasts: Duration,
}

/// A device that was paired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PairedDevice {
    /// Its id.
    pub device: DeviceId,
    /// What it is called here.
    pub name: String,
    /// Six digits that both devices tell.
    pub check: String,
    /// Why this will not be known after a restart, if it will not.
    pub not_stored: Option<String>,
}

/// A paired device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PairInfo {
    /// Its id.
    pub device: DeviceId,
    /// What it is called here.
    pub name: String,
    /// Whether it comes from a file in `pairs.d`.
    pub provisioned: bool,
    /// Whether there is a link to it now.
    pub linked: bool,
}

/// How a pairing ended, or why none was begun.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PairError {
    /// It was not begun.
    #[error(transparent)]
    Call(#[from] PairCallError),
    /// It came to nothing.
    #[error(transparent)]
    Failed(#[from] PairingError),
    /// Too many wait for how it goes.
    #[error("{MAX_PAIRING_WAITERS} commands wait for a pairing already")]
    TooManyWait,
}

type Waiter = Sender<Result<PairedDevice, PairError>>;

/// A question or order about pairs.
#[derive(Debug)]
pub(super) enum PairCommand {
    Show { lasts: Duration, reply: Sender<Result<Shown, PairCallError>> },
    Hide { reply: Sender<()> },
    Await { reply: Waiter },
    Pair { router: RouterId, session: String, known: Known, wanted: Option<DeviceId>, reply: Waiter },
    List { reply: Sender<Vec<PairInfo>> },
    Forget { name: String, reply: Sender<Result<PairInfo, String>> },
    Rename { name: String, to: String, reply: Sender<Result<PairInfo, String>> },
}

impl Driver {
    pub(super) fn on_pair_command(&mut self, command: PairCommand) {
        match command {
            PairCommand::Show { lasts, reply } => {
                let page = self.page();
                let shown = self.node.open_pairing(now(), lasts).map(|invitation| Shown {
                    code: invitation.code.show(),
                    qr: invitation.qr_text(self.node.identity()),
                    page,
                    lasts: invitation.lasts,
                });
                answer(&reply, shown);
            }
            PairCommand::Hide { reply } => {
                self.node.close_pairing(now());
                answer(&reply, ());
            }
            PairCommand::Await { reply } => self.await_pairing(reply),
            PairCommand::Pair { router, session, known, wanted, reply } => {
                match self.node.pair(now(), router, &session, &known, wanted) {
                    Ok(()) => self.await_pairing(reply),
                    Err(error) => answer(&reply, Err(error.into())),
                }
            }
            PairCommand::List { reply } => {
                let pairs = self.node.pairs().iter().map(|pair| self.pair_info(pair)).collect();
                answer(&reply, pairs);
            }
            PairCommand::Forget { name, reply } => {
                let forgotten = self.find_pair(&name).and_then(|info| {
                    self.node.forget(now(), info.device).map_err(|error| error.to_string())?;
                    Ok(info)
                });
                answer(&reply, self.kept(forgotten));
            }
            PairCommand::Rename { name, to, reply } => {
                let renamed = self.find_pair(&name).and_then(|info| {
                    self.node.rename(info.device, &to).map_err(|error| error.to_string())?;
                    Ok(PairInfo { name: to, ..info })
                });
                answer(&reply, self.kept(renamed));
            }
        }
    }

    /// Where a browser on the same network finds the page of this device: people read IPv4 addresses more easily, and all of them work.
    fn page(&self) -> Option<String> {
        let server = self.routers.embedded().filter(|server| server.serves_pages())?;
        let open = server.local_addrs().iter().find(|address| !address.ip().is_loopback())?;
        let mut ours: Vec<IpAddr> = self.sockets.addresses().iter().map(SocketAddr::ip).collect();
        let is_scoped = |ip: &IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        ours.retain(|ip| {
            !ip.is_loopback() && !is_scoped(ip) && (open.ip().is_unspecified() || open.ip() == *ip)
        });
        ours.sort_by_key(IpAddr::is_ipv6);
        Some(format!("http://{}/", SocketAddr::new(*ours.first()?, open.port())))
    }

    fn await_pairing(&mut self, reply: Waiter) {
        self.pairing_waiters.retain(|waiter| !waiter.is_closed());
        if self.pairing_waiters.len() < MAX_PAIRING_WAITERS {
            self.pairing_waiters.push(reply);
        } else {
            answer(&reply, Err(PairError::TooManyWait));
        }
    }

    /// Stores a new pair, and tells whoever waits for it.
    pub(super) fn note_pairing(&mut self, event: &Event) {
        let result = match event {
            Event::Paired { device, name, check, .. } => {
                let not_stored = self.save_pairs().err();
                let (device, name, check) = (*device, name.clone(), check.clone());
                Ok(PairedDevice { device, name, check, not_stored })
            }
            Event::PairingFailed { why } => Err(PairError::Failed(why.clone())),
            _ => return,
        };
        for waiter in self.pairing_waiters.drain(..) {
            answer(&waiter, result.clone());
        }
    }

    fn kept(&mut self, changed: Result<PairInfo, String>) -> Result<PairInfo, String> {
        let info = changed?;
        self.save_pairs().map_err(|why| format!("done until the node ends, {why}"))?;
        Ok(info)
    }

    /// Where devices were met is stored as well, but nobody waits for it.
    pub(super) fn keep_addresses(&mut self) {
        if self.store.is_some()
            && let Err(why) = self.save_pairs()
        {
            log::debug!("addresses of devices {why}");
        }
    }

    fn save_pairs(&mut self) -> Result<(), String> {
        let Some(store) = &mut self.store else {
            return Err("not stored: this node has no state directory".to_owned());
        };
        let saved = store.save_pairs(self.node.pairs());
        match &saved {
            Ok(()) => info!("pairs stored"),
            Err(error) => error!("pairs {error}"),
        }
        saved.map_err(|error| error.to_string())
    }

    fn find_pair(&self, name: &str) -> Result<PairInfo, String> {
        let pairs = self.node.pairs();
        let found = pairs.by_name(name).or_else(|| pairs.by_id(name.parse().ok()?));
        found.map(|pair| self.pair_info(pair)).ok_or_else(|| format!("no paired device is called {name:?}"))
    }

    fn pair_info(&self, pair: &Pair) -> PairInfo {
        PairInfo {
            device: pair.id(),
            name: pair.name.clone(),
            provisioned: pair.provisioned,
            linked: self.node.is_linked(pair.id()),
        }
    }
}

fn seconds<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(time.as_secs())
}
