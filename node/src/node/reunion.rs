//! Paired devices connect by themselves: through any router that both are on, and through the routers inside them.
//!
//! The device with the lower id calls at once, the other one after a moment if nothing has come (design §5): so there is one call, and
//! yet nobody waits for a device that cannot reach the other. Only residents do so, and only to residents: nodes that stay. Where two
//! links come up all the same, both devices keep the same one.
//!
//! What discovery says of a device is where its router may be, nothing more; whoever is there has to prove to be it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use log::debug;
use rand::rngs::StdRng;

use super::leads::may_dial;
use super::{Link, Node, Output};
use crate::backoff::Backoff;
use crate::event::{Event, FailReason, LinkId, LinkState, PeerInfo, RouterId};
use crate::identity::DeviceId;
use crate::pairs::{Pairs, socket_address};
use crate::wake::Wake;

/// How much later the device with the higher id calls.
const GIVE_PRECEDENCE: Duration = Duration::from_secs(2);

/// Between attempts: somewhere in 0 to this, doubled each time,
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// up to this; news of the device come before.
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// But never less than this, whatever news there are.
const SHORTEST_RETRY: Duration = Duration::from_secs(1);

/// How long a device may take to announce itself on its own router. Perhaps it is somebody else's.
const ANNOUNCED_WITHIN: Duration = Duration::from_secs(5);

/// A session that the link does not need is ended after this.
const REST_AFTER: Duration = Duration::from_secs(30);

#[derive(Debug)]
struct Contact {
    /// Where its router may be, as discovery says.
    found: Vec<SocketAddr>,
    /// Which of its addresses is next.
    turn: usize,
    backoff: Backoff,
    tried: Option<Instant>,
    due: Option<Instant>,
    rest_at: Option<Instant>,
}

impl Contact {
    fn new(due: Instant) -> Self {
        let backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY);
        Self { found: Vec::new(), turn: 0, backoff, tried: None, due: Some(due), rest_at: None }
    }

    /// There is reason to try at this time, if not before.
    fn hasten(&mut self, at: Instant) {
        let soonest = self.tried.map_or(at, |tried| at.max(tried + SHORTEST_RETRY));
        self.due = Some(self.due.map_or(soonest, |due| due.min(soonest)));
    }

    /// It did not work out, or is not known yet to have: there is reason to try again, each time a little later.
    fn retry(&mut self, from: Instant, rng: &mut StdRng) {
        let pause = self.backoff.next(rng);
        self.hasten(from + pause);
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Reunion {
    contacts: BTreeMap<DeviceId, Contact>,
    /// Addresses of pairs that are worth storing have changed.
    addresses_changed: bool,
}

impl Reunion {
    /// Everybody is looked for at once.
    pub(super) fn new(now: Instant, own: DeviceId, pairs: &Pairs) -> Self {
        let contacts =
            pairs.iter().map(|pair| (pair.id(), Contact::new(now + precedence(own, pair.id())))).collect();
        Self { contacts, ..Self::default() }
    }

    pub(super) fn wake(&self) -> Option<Wake> {
        let contacts = self.contacts.values().flat_map(|contact| [contact.due, contact.rest_at]);
        contacts.flatten().min().map(|at| Wake::new(at, "paired devices"))
    }
}

/// How long a device with the id `own` leaves the call to the other one.
fn precedence(own: DeviceId, other: DeviceId) -> Duration {
    if own < other { Duration::ZERO } else { GIVE_PRECEDENCE }
}

impl Node {
    /// From now on no device is called unless the application asks for it: the node is about to stop.
    pub fn retire(&mut self) {
        self.reunion.contacts.clear();
    }

    /// Whether addresses of pairs have changed since this was asked last, so that it is worth storing them.
    pub fn take_addresses_changed(&mut self) -> bool {
        std::mem::take(&mut self.reunion.addresses_changed)
    }

    pub(super) fn on_found(&mut self, device: DeviceId, addresses: &[SocketAddr]) {
        let at = self.now + precedence(self.local.identity.id(), device);
        let Some(contact) = self.reunion.contacts.get_mut(&device) else { return };
        let addresses: Vec<_> = addresses.iter().copied().filter(|address| may_dial(*address)).collect();
        if addresses != contact.found {
            (contact.found, contact.turn) = (addresses, 0);
            // Whoever has looked in vain so far leaves the call to the other one as if it began now.
            contact.due.take_if(|_| contact.tried.is_none());
            contact.hasten(at);
        }
    }

    /// This host's network is another one now: whoever was out of reach may not be any more.
    pub(super) fn look_again(&mut self) {
        let now = self.now;
        for contact in self.reunion.contacts.values_mut() {
            contact.backoff.reset();
            contact.hasten(now);
        }
    }

    pub(super) fn on_resident_seen(&mut self, info: &PeerInfo) {
        let Some(device) = info.device.filter(|_| info.resident) else { return };
        let at = self.now + precedence(self.local.identity.id(), device);
        if let Some(contact) = self.reunion.contacts.get_mut(&device) {
            contact.hasten(at);
        }
    }

    /// A device is paired from now on.
    pub(super) fn add_contact(&mut self, device: DeviceId, router: RouterId) {
        if self.local.config.resident {
            let at = self.now + precedence(self.local.identity.id(), device);
            self.reunion.contacts.entry(device).or_insert_with(|| Contact::new(at));
            self.keep_visited(router, device);
        }
    }

    /// And not any more.
    pub(super) fn remove_contact(&mut self, device: DeviceId) {
        self.reunion.contacts.remove(&device);
        self.forget_lead(device);
    }

    /// The session with a found router is gone. A link that needs it for its signals wants it back.
    pub(super) fn on_lead_gone(&mut self, router: RouterId) {
        let now = self.now;
        let Self { reunion, links, rng, .. } = self;
        let needed =
            links.values().filter(|link| link.router() == router && link.state() != LinkState::Closed);
        for device in needed.filter_map(|link| Some(link.bond()?.device)) {
            if let Some(contact) = reunion.contacts.get_mut(&device) {
                contact.retry(now, rng);
            }
        }
    }

    /// Does what is due.
    pub(super) fn reunite(&mut self, now: Instant) {
        self.end_visits(now);
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let contacts = self.reunion.contacts.iter();
        let due: Vec<DeviceId> = contacts
            .filter(|(_, contact)| is_due(contact.due) || is_due(contact.rest_at))
            .map(|(device, _)| *device)
            .collect();
        for device in due {
            self.reunite_with(device);
        }
    }

    fn reunite_with(&mut self, device: DeviceId) {
        let now = self.now;
        let lead = self.lead_of(device);
        let link = self.resident_links(device).map(|(_, link)| link.router()).next();
        let offline = lead.is_none_or(|lead| {
            self.routers.get(lead.place()).is_none_or(|router| router.session.is_offline())
        });
        let Some(contact) = self.reunion.contacts.get_mut(&device) else { return };
        contact.due = None;
        if let Some(router) = link {
            if contact.rest_at.take_if(|at| *at <= now).is_some()
                && let Some(lead) = lead
                && lead != router
            {
                self.rest_lead(lead);
            } else if lead == Some(router) && offline {
                self.dial_next(device);
            }
            return;
        }
        contact.rest_at = None;
        let residents = self.roster.iter().filter(|info| info.resident && info.device == Some(device));
        // The one heard of last.
        if let Some((router, session)) = residents.last().map(|info| (info.router, info.session.clone())) {
            let called = self.connect_to(router, &session, Some(device));
            if let Err(error) = called {
                debug!(device:% = device, error:% = error; "not called");
            }
            return self.note_tried(device);
        }
        if offline {
            return self.dial_next(device);
        }
        // The router is being dialled, or its device does not announce itself there.
        match contact.tried.map(|tried| tried + ANNOUNCED_WITHIN).filter(|until| *until > now) {
            Some(until) => contact.due = Some(until),
            None => {
                if let Some(lead) = lead {
                    self.rest_lead(lead);
                }
                self.note_tried(device);
            }
        }
    }

    /// Dials the next of the addresses at which a device may be: those found now, then those where it was met last.
    fn dial_next(&mut self, device: DeviceId) {
        let Some(contact) = self.reunion.contacts.get_mut(&device) else { return };
        let known = self.pairs.by_id(device).map(|pair| pair.last_addresses()).unwrap_or_default();
        let known = known.iter().filter_map(|address| socket_address(address));
        let mut addresses = contact.found.clone();
        for address in known.filter(|address| may_dial(*address)) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        let place = contact.turn % addresses.len().max(1);
        contact.turn = contact.turn.wrapping_add(1);
        if contact.found.is_empty() {
            self.out.push_back(Output::LookAround);
        }
        match addresses.get(place).copied() {
            Some(address) => {
                debug!(device:% = device, address:% = address; "dialling its router");
                self.dial_device(device, address);
                self.note_tried(device);
            }
            None => self.retry(device),
        }
    }

    fn note_tried(&mut self, device: DeviceId) {
        if let Some(contact) = self.reunion.contacts.get_mut(&device) {
            contact.tried = Some(self.now);
        }
        self.retry(device);
    }

    fn retry(&mut self, device: DeviceId) {
        let from = self.now + precedence(self.local.identity.id(), device);
        let Self { reunion, rng, .. } = self;
        if let Some(contact) = reunion.contacts.get_mut(&device) {
            contact.retry(from, rng);
        }
    }

    /// Links to the resident of a device, open or coming up.
    fn resident_links(&self, device: DeviceId) -> impl Iterator<Item = (&LinkId, &Link)> {
        self.links.iter().filter(move |(_, link)| {
            link.is_resident()
                && link.state() != LinkState::Closed
                && link.bond().is_some_and(|bond| bond.device == device)
        })
    }

    /// What became of a link.
    pub(super) fn note_reunion(&mut self, event: &Event) {
        let (id, ended) = match event {
            Event::Connected { link, .. } | Event::Relayed { link, .. } => (*link, false),
            Event::Failed { link, .. } | Event::Disconnected { link, .. } => (*link, true),
            _ => return,
        };
        let Some(link) = self.links.get(&id).filter(|link| link.is_resident()) else { return };
        let Some(device) = link.bond().map(|bond| bond.device) else { return };
        let (router, now) = (link.router(), self.now);
        if let Event::Failed { peer, why: FailReason::NoAnswer(_), .. } = event {
            self.roster.forget(router, peer); // it left this session behind
        }
        let own = self.local.identity.id();
        let Self { reunion, rng, .. } = self;
        let Some(contact) = reunion.contacts.get_mut(&device) else { return };
        if ended {
            return contact.retry(now + precedence(own, device), rng);
        }
        contact.backoff.reset();
        (contact.tried, contact.rest_at) = (None, Some(now + REST_AFTER));
        self.keep_address(device, router);
        self.keep_one(id, device);
    }

    /// Remembers where a device was met: the address its router was dialled at, or else where discovery says that it is.
    fn keep_address(&mut self, device: DeviceId, router: RouterId) {
        let dialled = self.routers.get(router.place()).and_then(|router| router.lead.as_ref());
        let found = self.reunion.contacts.get(&device).and_then(|contact| contact.found.first());
        if let Some(address) = dialled.map(|lead| lead.address).or(found.copied()) {
            self.reunion.addresses_changed |= self.pairs.note_address(device, &format!("ws://{address}/"));
        }
    }

    /// Of several links to a device one stays. Of those that work it is the one whose correlation id comes first, at both ends; those to
    /// a process that is gone do not.
    fn keep_one(&mut self, id: LinkId, device: DeviceId) {
        let Some(new) = self.links.get(&id) else { return };
        let (instance, name) = (new.instance().map(str::to_owned), new.correlation_id().to_owned());
        let others = self.resident_links(device).filter(|(other, link)| **other != id && link.is_usable());
        let losers: Vec<LinkId> = others
            .map(|(other, link)| {
                let works = matches!(link.state(), LinkState::Open | LinkState::Relayed);
                let same = link.instance() == instance.as_deref() && works;
                if same && link.correlation_id() < name.as_str() { id } else { *other }
            })
            .collect();
        let now = self.now;
        for loser in losers {
            if let Some(link) = self.links.get_mut(&loser) {
                debug!(link:% = loser; "a second link to the same device");
                link.close(now, "another link to this device stays");
            }
        }
    }
}
