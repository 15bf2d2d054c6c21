//! Shares on real links: carries messages between the router in the process, the core that decides, and the links.
//!
//! Each link has a task for either channel, which takes the next message from the core when the link has room for it: a link that is
//! slow holds up no other, and what waits for it waits in the core, within its bounds.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::time::Duration;

use bytes::Bytes;
use clasp_wire::message::{Features, Hello, Set};
use clasp_wire::{Message, Pattern};
use log::{debug, warn};
use router_lite::{Adoption, Bridge, Interest, Precedence, Server, StoredParam};
use serde::Serialize;
use smol::channel::{Receiver, Sender, bounded};
use smol::future::FutureExt;
use smol::{LocalExecutor, Task, Timer};

use super::builder::Running;
use super::clock::now;
use super::handle::{CallError, NodeHandle};
use super::service::wake;
use crate::event::{Channel, Event, LinkId, LinkState};
use crate::metrics::Metrics;
use crate::peer::SendError;
use crate::shares::{Local, Share, ShareCounters, SharedLink, Shares};

/// How often a device that wants to know is told how the node is.
const STATUS_EVERY: Duration = Duration::from_secs(1);

/// What a link would not take is offered to it again after this long.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// A router that closes the bridge is asked for another one after this long: it was overwhelmed.
const REOPEN_AFTER: Duration = Duration::from_millis(200);

/// The shares of a running node. Dropping it ends them.
#[derive(Debug)]
pub struct Sharing {
    shared: Rc<Shared>,
    links_changed: Sender<()>,
    status_wanted: Sender<()>,
    _tasks: [Task<()>; 3],
}

/// What is shared, as `clasp-node status` tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SharingStatus {
    /// What happened so far.
    #[serde(flatten)]
    pub counters: ShareCounters,
    /// The links, and what each side wants of the other.
    pub links: Vec<SharedLink>,
}

struct Shared {
    core: RefCell<Shares>,
    bridge: RefCell<Bridge>,
    server: Server,
    node: NodeHandle,
    metrics: Rc<RefCell<Metrics>>,
    executor: Rc<LocalExecutor<'static>>,
    writers: RefCell<BTreeMap<LinkId, Writer>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("core", &self.core).finish_non_exhaustive()
    }
}

/// What sends on one link.
struct Writer {
    wake: [Sender<()>; 2],
    _tasks: [Task<()>; 2],
}

impl Sharing {
    /// Starts sharing at a node. `server` is the router in it; every event of the node has to come to [`Self::handle_event`].
    #[must_use]
    pub fn start(
        shares: Vec<Share>,
        server: Server,
        running: &Running,
        executor: &Rc<LocalExecutor<'static>>,
    ) -> Self {
        let bridge = RefCell::new(open(&server));
        let core = RefCell::new(Shares::new(shares));
        let (node, metrics) = (running.handle.clone(), Rc::clone(&running.metrics));
        let (executor, writers) = (Rc::clone(executor), RefCell::default());
        let shared = Rc::new(Shared { core, bridge, server, node, metrics, executor, writers });
        let (links_changed, changes) = bounded(1);
        let (status_wanted, wanted) = bounded(1);
        let spawn = &shared.executor;
        let tasks = [
            spawn.spawn(follow_router(Rc::downgrade(&shared))),
            spawn.spawn(follow_links(Rc::downgrade(&shared), changes)),
            spawn.spawn(tell_status(Rc::downgrade(&shared), wanted)),
        ];
        Self { shared, links_changed, status_wanted, _tasks: tasks }
    }

    /// Notes what the node tells. True for a message that was about shares, and is nobody else's.
    pub fn handle_event(&self, event: &Event) -> bool {
        match event {
            Event::Data { link, bytes, .. } => {
                let taken =
                    self.shared.with_core(|core, local| core.handle_message(now(), *link, bytes, local));
                if taken {
                    self.shared.wake_all();
                    if self.shared.core.borrow().wants_status() {
                        wake(&self.status_wanted);
                    }
                }
                return taken;
            }
            Event::Connected { .. }
            | Event::Relayed { .. }
            | Event::PathChanged { .. }
            | Event::State { .. }
            | Event::Failed { .. }
            | Event::Disconnected { .. }
            | Event::Paired { .. } => wake(&self.links_changed),
            _ => {}
        }
        false
    }

    /// How it goes.
    #[must_use]
    pub fn status(&self) -> SharingStatus {
        let core = self.shared.core.borrow();
        SharingStatus { counters: core.counters(), links: core.status() }
    }
}

impl Shared {
    fn with_core<T>(&self, act: impl FnOnce(&mut Shares, &mut Here<'_>) -> T) -> T {
        act(&mut self.core.borrow_mut(), &mut Here(&self.bridge.borrow()))
    }

    /// Lets `/metrics` tell how it goes.
    fn note_metrics(&self) {
        let core = self.core.borrow();
        self.metrics.borrow_mut().note_shares(core.counters(), core.totals());
    }

    /// Something has changed: some links may have something to send.
    fn wake_all(&self) {
        self.note_metrics();
        for writer in self.writers.borrow().values() {
            writer.wake.iter().for_each(wake);
        }
    }

    /// Takes over which links there are.
    async fn update_links(self: &Rc<Self>) {
        let (Ok(links), Ok(pairs)) = (self.node.links().await, self.node.pairs().await) else { return };
        let works = |state| matches!(state, LinkState::Open | LinkState::Restarting | LinkState::Relayed);
        // Of two between residents, the later one is the one that the other device knows of. Each other one is a program of its own:
        // a page in a browser, one in another tab.
        let mut residents = BTreeMap::new();
        let mut wanted = BTreeMap::new();
        for link in links.iter().filter(|link| works(link.state)) {
            let Some(device) = link.device else { continue };
            if link.resident
                && let Some(older) = residents.insert(device, link.link)
            {
                wanted.remove(&older);
            }
            wanted.insert(link.link, device);
        }
        let known: Vec<LinkId> = self.core.borrow().links().collect();
        for gone in known.iter().filter(|link| !wanted.contains_key(link)) {
            self.with_core(|core, local| core.unlinked(*gone, local));
            self.writers.borrow_mut().remove(gone);
        }
        for (link, device) in wanted.into_iter().filter(|(link, _)| !known.contains(link)) {
            let name = pairs.iter().find(|pair| pair.device == device).map_or("", |pair| pair.name.as_str());
            self.with_core(|core, local| core.linked(link, device, name, local));
            let writer = self.writer(link);
            self.writers.borrow_mut().insert(link, writer);
        }
        self.wake_all();
    }

    fn writer(self: &Rc<Self>, link: LinkId) -> Writer {
        let start = |channel| {
            let (wake, woken) = bounded(1);
            (wake, self.executor.spawn(write(Rc::downgrade(self), link, channel, woken)))
        };
        let ((reliable, first), (stream, second)) = (start(Channel::Reliable), start(Channel::Stream));
        Writer { wake: [reliable, stream], _tasks: [first, second] }
    }

    fn next(&self, link: LinkId, channel: Channel) -> Option<Bytes> {
        self.with_core(|core, local| match channel {
            Channel::Reliable => core.poll(link, local),
            Channel::Stream => core.poll_stream(link),
        })
    }
}

/// Sends what the core has for a link, as the link takes it.
async fn write(shared: Weak<Shared>, link: LinkId, channel: Channel, woken: Receiver<()>) {
    while let Some(strong) = shared.upgrade() {
        let Some(message) = strong.next(link, channel) else {
            strong.note_metrics();
            drop(strong);
            if woken.recv().await.is_err() {
                return;
            }
            continue;
        };
        match strong.node.send(link, channel, message.clone()).await {
            Ok(()) => {}
            Err(CallError::Refused(SendError::TooLarge { .. })) => {
                strong.core.borrow_mut().note_too_large(now(), link);
            }
            Err(CallError::Stopped(_)) => return,
            // Most likely the link is at its end, which is on its way to us and ends this; or too many others wait for it.
            Err(CallError::Refused(error)) => {
                debug!(link:% = link, channel = channel.label(); "not sent: {error}");
                if channel == Channel::Reliable {
                    strong.core.borrow_mut().put_back(link, message);
                }
                drop(strong);
                Timer::after(RETRY_AFTER).await;
            }
        }
    }
}

/// The router's side, for as long as the node runs.
async fn follow_router(shared: Weak<Shared>) {
    enum News {
        Frame(Option<Bytes>),
        Interests,
    }
    while let Some(shared) = shared.upgrade() {
        shared.with_core(|core, local| core.handle_new_session(local));
        shared.wake_all();
        loop {
            let bridge = shared.bridge.borrow().clone();
            let frame = async { News::Frame(bridge.recv().await) };
            let interests = async {
                bridge.interests_changed().await;
                News::Interests
            };
            match frame.or(interests).await {
                News::Frame(Some(frame)) => shared.core.borrow_mut().handle_local(now(), &frame),
                News::Interests => shared.with_core(|core, local| core.handle_interests(local)),
                News::Frame(None) => break,
            }
            shared.wake_all();
        }
        warn!("the router has closed the bridge; what is shared is looked up again");
        Timer::after(REOPEN_AFTER).await;
        shared.bridge.replace(open(&shared.server));
    }
}

async fn follow_links(shared: Weak<Shared>, changes: Receiver<()>) {
    while changes.recv().await.is_ok() {
        let Some(shared) = shared.upgrade() else { return };
        shared.update_links().await;
    }
}

async fn tell_status(shared: Weak<Shared>, wanted: Receiver<()>) {
    while let Some(strong) = shared.upgrade() {
        if !strong.core.borrow().wants_status() {
            drop(strong);
            if wanted.recv().await.is_err() {
                return;
            }
            continue;
        }
        let Ok(status) = strong.node.status().await else { return };
        match serde_json::to_string(&status) {
            Ok(text) => strong.core.borrow_mut().tell_status(&text),
            Err(error) => debug!("no status: {error}"),
        }
        strong.wake_all();
        drop(strong);
        Timer::after(STATUS_EVERY).await;
    }
}

/// A session with the router of the node.
fn open(server: &Server) -> Bridge {
    let bridge = server.bridge();
    let hello = Hello { version: 1, features: Features::SERVED, name: "shares", token: "" };
    let mut frame = Vec::new();
    Message::Hello(hello).encode_into(&mut frame).expect("HELLO is a few bytes");
    if let Err(error) = bridge.send(frame.into()) {
        warn!("nothing is shared for now: {error}");
    }
    bridge
}

/// The router in the process, as the core has it.
struct Here<'a>(&'a Bridge);

impl Local for Here<'_> {
    fn send(&mut self, frame: Bytes) {
        if let Err(error) = self.0.send(frame) {
            debug!("not given to the router: {error}");
        }
    }

    fn adopt(&mut self, set: &Set<'_>, precedence: Precedence) -> Adoption {
        self.0.adopt(set, precedence)
    }

    fn params(&mut self, pattern: &Pattern, after: Option<&str>, max: usize) -> Vec<StoredParam> {
        self.0.params(pattern, after, max)
    }

    fn interests(&mut self) -> Vec<Interest> {
        self.0.interests()
    }
}
