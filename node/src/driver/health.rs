//! Whether a node does what it is there for: for the watchdog of a service manager, which starts it again when it does not.
//!
//! What strangers can do to a node must not look like an illness, or they could have it restarted. A router that is full, or refuses the
//! session, answers, and that is all that is asked of it. Where so many knock that ours waits in the system's queue behind theirs, it is
//! enough that the queue moves.

use std::time::{Duration, Instant};

use log::{info, warn};
use rand::SeedableRng;
use rand::rngs::StdRng;
use router_lite::Server;
use smol::Timer;

use super::probe::{self, RouterFault};
use super::store::{Access, State, StatePlace};
use super::supervisor::Supervisor;
use super::websocket::{DialError, RouterUrl, deadline};
use super::{NodeHandle, now, seed};
use crate::identity::DeviceId;

/// How often the node is looked at before the watchdog's time is over. One look may fail, and the next one still feeds it in time.
const LOOKS: u32 = 3;

/// How long each part of a look may wait for its answer is this part of the watchdog's time: all of them together (the node's status, the
/// dialling, the HELLO) take less than what lies between two looks.
const PATIENCE: u32 = 12;

/// What a loopback session of a look is called.
const NAME: &str = "watchdog";

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Illness {
    /// The loop of the node does not turn.
    #[error("the node has not answered for {0:?}")]
    Loop(Duration),
    /// The router takes no session, not even one from this machine.
    #[error("the router takes no session: {0}")]
    Router(String),
    /// What the node is to be after a restart is not what it is now.
    #[error("the stored state is not that of this node: {0}")]
    State(String),
}

/// What is looked at.
#[derive(Debug, Default)]
pub struct Health {
    /// The node.
    pub node: Option<NodeHandle>,
    /// The router in the process.
    pub router: Option<Server>,
    /// Where the identity of the node is, if it is stored.
    pub state: Option<StatePlace>,
}

impl Health {
    /// Looks at everything; each part may take `limit`.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub async fn check(&self, limit: Duration) -> Result<(), Illness> {
        let device = match &self.node {
            Some(node) => {
                let status = deadline(limit, node.status()).await;
                let status = status.and_then(Result::ok).ok_or(Illness::Loop(limit))?;
                Some((status.id, status.storage.identity_stored))
            }
            None => None,
        };
        if let Some(router) = &self.router {
            let address = probe::local(router.local_addr());
            let accepted = router.counters().connections;
            let found = if router.is_full() {
                // A session that is bound to be refused would be counted and logged as a refusal, with every look.
                probe::http(address, limit).await
            } else {
                probe::router(&RouterUrl::from(address), NAME, "", limit).await.map(drop)
            };
            // One of them may have been ours.
            answered(&found, router.counters().connections > accepted + 1)?;
        }
        match (&self.state, device) {
            (Some(place), Some((device, true))) => stored(place, device),
            _ => Ok(()),
        }
    }

    /// Tells the supervisor that all is well, for as long as it is and if it wants to know. Never returns.
    pub async fn watch(self, supervisor: &Supervisor) {
        let Some(limit) = supervisor.watchdog() else { return std::future::pending().await };
        let mut watch = Watch::default();
        let mut next = now();
        loop {
            let found = self.check(limit / PATIENCE).await;
            if watch.note(&found) {
                supervisor.well();
            }
            next = following(next, limit / LOOKS, now());
            Timer::at(next).await;
        }
    }
}

/// Remembers what was found last, so that it is told once.
#[derive(Debug, Default)]
struct Watch {
    ill: bool,
}

impl Watch {
    /// Takes what was found; says whether the watchdog is to be fed.
    fn note(&mut self, found: &Result<(), Illness>) -> bool {
        match found {
            Err(illness) if !self.ill => {
                warn!("not well, and the service manager is not told otherwise: {illness}")
            }
            Ok(()) if self.ill => info!("well again"),
            _ => {}
        }
        self.ill = found.is_err();
        !self.ill
    }
}

/// When to look again: at even distances, however long a look takes, and not at once several times after the machine was asleep.
fn following(last: Instant, distance: Duration, now: Instant) -> Instant {
    let next = last + distance;
    if next < now { now + distance } else { next }
}

/// Whether a router has said anything at all. Not being let in is an answer. So is silence while it `accepts` others: whoever opens
/// connections faster than the router can have them go would otherwise decide when the service is restarted.
fn answered(found: &Result<(), RouterFault>, accepts: bool) -> Result<(), Illness> {
    let silent = match found {
        Ok(()) | Err(RouterFault::Refused { .. } | RouterFault::Closed(_)) => return Ok(()),
        // Something answered the request; that it came to nothing is what a full router does.
        Err(RouterFault::Dial(DialError::NotWebSocket { .. } | DialError::NotClasp { .. })) => return Ok(()),
        Err(RouterFault::Silent(_) | RouterFault::Dial(DialError::Timeout(_))) if accepts => return Ok(()),
        Err(fault) => fault.to_string(),
    };
    Err(Illness::Router(silent))
}

/// Whether the node would be the same after a restart.
fn stored(place: &StatePlace, device: DeviceId) -> Result<(), Illness> {
    let ill = |why: String| Illness::State(why);
    let Some(file) = place.identity_file() else { return Ok(()) };
    if !file.exists() {
        return Err(ill(format!("{} is gone", file.display())));
    }
    let mut rng = StdRng::from_seed(seed().map_err(|error| ill(error.to_string()))?);
    let state = State::open(place.clone(), Access::Read, &mut rng).map_err(|error| ill(error.to_string()))?;
    let found = state.identity.id();
    if found == device { Ok(()) } else { Err(ill(format!("{} is of {found}", file.display()))) }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[test]
    fn being_refused_is_an_answer_and_silence_is_none() {
        let url = || RouterUrl::from(SocketAddr::from(([127, 0, 0, 1], 7330)));
        let full = RouterFault::Refused { code: 503, text: "too many sessions".to_owned() };
        let displaced = RouterFault::Closed("no reason given".to_owned());
        let http = DialError::NotWebSocket { url: url(), why: "503".to_owned() };
        for answer in [Ok(()), Err(full), Err(displaced), Err(http.into())] {
            assert_eq!(answered(&answer, false), Ok(()), "{answer:?}");
        }
        let limit = Duration::from_secs(1);
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let closed = Err(DialError::Tcp { url: url(), error: refused }.into());
        let waiting = || [Err(RouterFault::Silent(limit)), Err(DialError::Timeout(limit).into())];
        for silence in waiting() {
            assert!(matches!(answered(&silence, false), Err(Illness::Router(_))));
        }
        for queued in waiting() {
            assert_eq!(answered(&queued, true), Ok(()), "a stranger's crowd is ahead of us");
        }
        assert!(matches!(answered(&closed, true), Err(Illness::Router(_))), "nothing listens");
    }

    #[test]
    fn a_look_that_fails_slowly_leaves_time_for_the_next_one() {
        let watchdog = Duration::from_secs(60);
        let slowest = (watchdog / PATIENCE) * 3 + Duration::from_millis(500); // and the goodbye
        assert!(slowest < watchdog / LOOKS);
        let begun = now();
        let next = following(begun, watchdog / LOOKS, begun + slowest);
        assert_eq!(next, begun + watchdog / LOOKS, "not later for it");
        let late = begun + watchdog;
        assert_eq!(following(begun, watchdog / LOOKS, late), late + watchdog / LOOKS);
    }

    #[test]
    fn the_watchdog_is_fed_only_while_all_is_well() {
        let mut watch = Watch::default();
        let ill = Err(Illness::Loop(Duration::from_secs(1)));
        assert_eq!(
            [Ok(()), ill.clone(), ill, Ok(())].map(|found| watch.note(&found)),
            [true, false, false, true]
        );
    }

    #[test]
    fn another_identity_than_the_running_one_is_an_illness() {
        let directory = std::env::temp_dir().join(format!("clasp-node-health-{}", std::process::id()));
        let place = StatePlace::choose(Some(directory.clone()));
        let mut rng = StdRng::from_seed([7; 32]);
        let state = State::open(place.clone(), Access::Write, &mut rng).unwrap();
        let device = state.identity.id();
        assert_eq!(stored(&place, device), Ok(()));

        let other = crate::Identity::generate(&mut rng).unwrap().id();
        assert!(stored(&place, other).unwrap_err().to_string().contains(&device.to_string()));
        std::fs::remove_file(directory.join("identity.json")).unwrap();
        let gone = stored(&place, device).unwrap_err().to_string();
        assert!(gone.ends_with("identity.json is gone"), "{gone}");
        assert!(!directory.join("identity.json").exists(), "and nobody else is made in its place");
        std::fs::remove_dir_all(directory).unwrap();
    }
}
