//! Two ends and what is between them.

use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use channel_peer::{Command, Event};
use smol::channel::{Receiver, bounded};
use smol::future::FutureExt as _;
use smol::{LocalExecutor, Timer};

use crate::Outcome;
use crate::impair::path::Counts;
use crate::impair::{Conditions, Signalling, Sockets, rewrite};
use crate::peers::Peer;
use crate::process::Process;

/// Events that may wait here; then the process that tells them waits.
const EVENTS: usize = 64;

/// No start and no opening takes longer.
const OPEN_PATIENCE: Duration = Duration::from_secs(10);

/// Nothing else takes longer.
const PATIENCE: Duration = Duration::from_secs(180);

/// Which end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The one that connects, sends and asks.
    Offerer,
    /// The other.
    Answerer,
}

/// What every pair needs.
pub(crate) struct Surroundings {
    pub(crate) executor: Rc<LocalExecutor<'static>>,
    pub(crate) router: SocketAddr,
}

/// A pair of processes. Both end with it.
pub(crate) struct Pair {
    pub(crate) offerer: Process,
    pub(crate) answerer: Process,
    told: Receiver<(Side, Event)>,
    /// The answerer's session, where a router introduces the ends.
    session: Option<String>,
    sockets: Option<Rc<Sockets>>,
    _signalling: Option<Signalling>,
}

/// What came of sending.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) messages: f64,
    pub(crate) megabytes: f64,
    pub(crate) seconds: f64,
}

/// Round trips, and their first halves, in µs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Echoed {
    pub(crate) round_trip_us: Vec<f64>,
    pub(crate) one_way_us: Vec<f64>,
}

impl Pair {
    /// Starts both ends; with `path`, they can reach each other over a bad path only.
    pub(crate) async fn start(
        peer: &Peer,
        around: &Surroundings,
        path: Option<(Conditions, u64)>,
    ) -> Outcome<Self> {
        let Surroundings { executor, router } = around;
        let program = peer.program.as_ref().map_err(Clone::clone)?;
        let sockets = path.map(|(conditions, seed)| Rc::new(Sockets::new(conditions, seed, executor)));
        let (mut signalling, mut url) = (None, None);
        if peer.introduced {
            url = Some(format!("ws://{router}"));
            if let Some(sockets) = &sockets {
                let started = Signalling::start(*router, sockets, executor)?;
                url = Some(started.url.clone());
                signalling = Some(started);
            }
        }
        let (sender, told) = bounded(EVENTS);
        let start = |side| Process::start(program, url.as_deref(), (side, sender.clone()), executor);
        let (offerer, answerer) = (start(Side::Offerer)?, start(Side::Answerer)?);
        let mut pair = Self { offerer, answerer, told, session: None, sockets, _signalling: signalling };
        let (mut ready, mut session) = (0, None);
        while ready < 2 {
            let (side, own) = pair
                .until("ready", OPEN_PATIENCE, |side, event| match event {
                    Event::Ready { session } => Some((side, session)),
                    _ => None,
                })
                .await?;
            if side == Side::Answerer {
                session = own;
            }
            ready += 1;
        }
        pair.session = session;
        Ok(pair)
    }

    /// Opens a channel; milliseconds until the first message was back.
    pub(crate) async fn open(&mut self) -> Outcome<f64> {
        self.offerer.tell(&Command::Connect { peer: self.session.clone() }).await?;
        self.until("open", OPEN_PATIENCE, |_, event| match event {
            Event::Open { us } => Some(us / 1e3),
            _ => None,
        })
        .await
    }

    /// Closes it at both ends.
    pub(crate) async fn close(&mut self) -> Outcome<()> {
        self.offerer.tell(&Command::Close).await?;
        self.answerer.tell(&Command::Close).await?;
        let mut closed = [false; 2];
        while closed.contains(&false) {
            let side = self
                .until("closed", OPEN_PATIENCE, |side, event| (event == Event::Closed).then_some(side))
                .await?;
            let [offerer, answerer] = &mut closed;
            *if side == Side::Offerer { offerer } else { answerer } = true;
        }
        Ok(())
    }

    /// Sends messages of `size` bytes for so long.
    pub(crate) async fn send(&mut self, size: usize, time: Duration) -> Outcome<Sent> {
        let ms = u64::try_from(time.as_millis())?;
        self.offerer.tell(&Command::Send { size, messages: u64::MAX, ms }).await?;
        self.until("sent", PATIENCE, |_, event| match event {
            Event::Sent { messages, bytes, us } => {
                let [messages, bytes] = [messages, bytes].map(float);
                Some(Sent { messages, megabytes: bytes / 1e6, seconds: us / 1e6 })
            }
            _ => None,
        })
        .await
    }

    /// Sends small messages one after the other, each as soon as the one before is back.
    pub(crate) async fn echo(&mut self, count: usize) -> Outcome<Echoed> {
        self.offerer.tell(&Command::Echo { count }).await?;
        self.until("echoed", PATIENCE, |_, event| match event {
            Event::Echoed { round_trip_us, one_way_us } => Some(Echoed { round_trip_us, one_way_us }),
            _ => None,
        })
        .await
    }

    /// What happened on the bad path.
    pub(crate) fn path(&self) -> Counts {
        self.sockets.as_ref().map(|sockets| sockets.counts()).unwrap_or_default()
    }

    async fn until<T>(
        &mut self,
        what: &str,
        patience: Duration,
        wanted: impl Fn(Side, Event) -> Option<T>,
    ) -> Outcome<T> {
        let search = async {
            loop {
                let (side, event) = self.told.recv().await?;
                match event {
                    Event::Signal { data } => self.pass_on(side, data).await?,
                    Event::Failed { why } => return Err(format!("{side:?}: {why}").into()),
                    event => {
                        if let Some(found) = wanted(side, event) {
                            return Ok(found);
                        }
                    }
                }
            }
        };
        patiently(what, patience, search).await
    }

    async fn pass_on(&mut self, from: Side, data: serde_json::Value) -> Outcome<()> {
        let mut line = serde_json::to_string(&Command::Signal { data })?.into_bytes();
        if let Some(sockets) = &self.sockets {
            rewrite::candidates(&mut line, |real| sockets.stand_in(real))?;
        }
        line.push(b'\n');
        let to = if from == Side::Offerer { &mut self.answerer } else { &mut self.offerer };
        to.tell_line(&line).await
    }
}

/// Does not wait for ever.
async fn patiently<T>(what: &str, patience: Duration, work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    work.or(async {
        Timer::after(patience).await;
        Err(format!("not \"{what}\" within {} s", patience.as_secs()).into())
    })
    .await
}

/// A figure to compute with. Exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "byte counts are far below 2^53")]
pub(crate) const fn float(count: u64) -> f64 {
    count as f64
}
