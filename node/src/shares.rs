//! Shares: programs on a node's own router reach programs on the routers of paired devices, over the links to these.
//!
//! On a link a share is spoken in ordinary CLASP frames (reference §4.3). Each side asks the other one, by SUBSCRIBE and UNSUBSCRIBE,
//! for what its own clients subscribe to and the other side shares; what is asked for comes as PUBLISH and SET, parameters first as
//! they are and then as they change.
//!
//! Owns: who asked for what, what waits for which link, and which of two values of a parameter stays. Does not own: the links, the
//! router ([`Local`]), the clock.
//!
//! # No loops
//! What came from a link is written to the router by the bridge, and what the bridge wrote is never told to it, nor sent on when
//! somebody asks for what is there. So every message makes one hop, whatever devices share with each other.
//!
//! # Two writers
//! A parameter has a revision, and each write raises it. Of two revisions the higher one stays, on both sides; if they are the same,
//! the value whose encoding is greater. Where a device sends a lower revision of what it wrote itself, it was restarted: its value is
//! taken, and it is told the revision that this has here. What goes one way only is taken as it comes.
//!
//! Sans-IO: everything is called with the router at hand, and answers at once.

mod link;
mod outbox;
mod rule;

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;
use clasp_wire::message::{Publish, Set, SignalType, Subscribe, TypeMask};
use clasp_wire::{Address, Message, Pattern, Value};
use log::{debug, warn};
use router_lite::{Adoption, Interest, Precedence, StoredParam};
use serde::Serialize;

use crate::burst::Burst;
use crate::event::LinkId;
use crate::identity::DeviceId;
use crate::limits::{MAX_RELAYED_MESSAGE_BYTES, MAX_SHARED_ORIGINS};
use crate::status::Traffic;
use link::Link;
pub use rule::{Mode, Share, ShareError, With};

/// Where a paired device finds how the node is: a text of JSON, whenever it changes and once a second.
pub const STATUS_ADDRESS: &str = "/edge/status";

/// The router in the node, as the bridge has it.
pub trait Local {
    /// Hands it a frame.
    fn send(&mut self, frame: Bytes);
    /// Has it store a parameter with this revision, if it ranks above what is there.
    fn adopt(&mut self, set: &Set<'_>, precedence: Precedence) -> Adoption;
    /// Up to `max` parameters that match, by address, after this one.
    fn params(&mut self, pattern: &Pattern, after: Option<&str>, max: usize) -> Vec<StoredParam>;
    /// What its other clients subscribe to.
    fn interests(&mut self) -> Vec<Interest>;
}

/// What happened since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct ShareCounters {
    /// Messages of clients of this node that were queued for a link.
    pub sent: u64,
    /// Messages of other devices that were given to clients of this node.
    pub received: u64,
    /// Messages dropped because a link did not take them in time: events, streams and gestures. Of parameters the latest value stays.
    pub dropped: u64,
    /// Messages larger than a link takes.
    pub too_large: u64,
    /// Messages and subscriptions of other devices that are about nothing that is shared with them, or that are wrong.
    pub refused: u64,
    /// Values of other devices that were older than the one here.
    pub outranked: u64,
}

/// A link as far as shares use it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SharedLink {
    /// The link.
    pub link: LinkId,
    /// The device at its other end.
    pub device: DeviceId,
    /// What that device has asked for.
    pub asked: Vec<String>,
    /// What it is asked for.
    pub wishes: Vec<String>,
    /// What waits to be sent to it.
    pub waiting: Traffic,
}

/// How it is now, over all links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ShareTotals {
    /// Links in use.
    pub links: u64,
    /// Subscriptions of other devices.
    pub asked: u64,
    /// Subscriptions at other devices.
    pub wishes: u64,
    /// What waits to be sent.
    pub waiting: Traffic,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Shares {
    shares: Vec<Share>,
    links: BTreeMap<LinkId, Link>,
    interests: Vec<Interest>,
    /// Which of `shares` the bridge subscribes to.
    heard: Vec<bool>,
    /// The device from which a parameter here is, if it is from one.
    origins: BTreeMap<Box<str>, DeviceId>,
    counters: ShareCounters,
    refusals: Burst,
    drops: Burst,
}

impl Shares {
    /// These shares, at most [`crate::limits::MAX_SHARES`] of them. Where several are about one address, the first one counts.
    #[must_use]
    pub fn new(shares: Vec<Share>) -> Self {
        let heard = vec![false; shares.len()];
        Self { shares, heard, ..Self::default() }
    }

    /// A link to this device works. It may have several: one of itself, and those of programs and pages that are it for a while.
    pub fn linked(&mut self, link: LinkId, device: DeviceId, name: &str, local: &mut impl Local) {
        if self.links.contains_key(&link) {
            return;
        }
        let with: Vec<usize> = self
            .shares
            .iter()
            .enumerate()
            .filter(|(_, share)| share.is_with(device, name))
            .map(|(at, _)| at)
            .collect();
        debug!(link:% = link, device:% = device, shares = with.len(); "sharing");
        let mut new = Link::new(device, with);
        new.wish(&self.shares, &self.interests);
        self.links.insert(link, new);
        self.listen(local);
    }

    /// It is gone.
    pub fn unlinked(&mut self, link: LinkId, local: &mut impl Local) {
        if self.links.remove(&link).is_some() {
            self.listen(local);
        }
    }

    /// The links in use.
    pub fn links(&self) -> impl Iterator<Item = LinkId> {
        self.links.keys().copied()
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> ShareCounters {
        self.counters
    }

    /// How it is now.
    #[must_use]
    pub fn totals(&self) -> ShareTotals {
        let mut totals = ShareTotals::default();
        self.links.values().for_each(|link| link.count(&mut totals));
        totals
    }

    /// The links, and what each side wants of the other.
    #[must_use]
    pub fn status(&self) -> Vec<SharedLink> {
        self.links.iter().map(|(id, link)| link.status(*id)).collect()
    }

    /// The clients of the router subscribe to something else than before.
    pub fn handle_interests(&mut self, local: &mut impl Local) {
        self.interests = local.interests();
        for link in self.links.values_mut() {
            link.wish(&self.shares, &self.interests);
        }
    }

    /// The router has a new session for the bridge, and knows nothing of it.
    pub fn handle_new_session(&mut self, local: &mut impl Local) {
        self.heard.fill(false);
        self.listen(local);
        self.handle_interests(local);
        for link in self.links.values_mut() {
            link.behind = true; // what was missed meanwhile is looked up
        }
    }

    /// The router has this for the bridge.
    pub fn handle_local(&mut self, now: Instant, frame: &Bytes) {
        match Message::decode_compact(frame) {
            Ok((_, Message::Set(set))) => self.share_set(now, &set, frame),
            Ok((_, Message::Publish(publish))) => self.share_publish(now, &publish, frame),
            Ok((_, Message::Error(error))) => {
                debug!(code = error.code, address:? = error.address; "the router refuses: {}", error.message);
            }
            Ok(_) => {}
            Err(error) => debug!(error:% = error; "not a frame of our router"),
        }
    }

    fn share_set(&mut self, now: Instant, set: &Set<'_>, frame: &Bytes) {
        let Self { shares, links, counters, drops, .. } = self;
        for link in links.values_mut() {
            let Some((share, theirs)) = link.outwards(shares, set.address, SignalType::Param) else {
                continue;
            };
            let plain = share.prefix.is_empty() && !set.lock && !set.unlock;
            let frame =
                if plain { Some(frame.clone()) } else { encode(&value_of(set, theirs, set.revision)) };
            let Some(frame) = frame.filter(|frame| fits(frame, counters, drops, now, set.address)) else {
                continue;
            };
            counters.sent += 1;
            link.param(theirs, frame);
        }
    }

    fn share_publish(&mut self, now: Instant, publish: &Publish<'_>, frame: &Bytes) {
        let Self { shares, links, counters, drops, .. } = self;
        for (id, link) in links {
            let Some((share, theirs)) = link.outwards(shares, publish.address, publish.signal) else {
                continue;
            };
            let renamed = || encode(&Message::Publish(Publish { address: theirs, ..*publish }));
            let frame = if share.prefix.is_empty() { Some(frame.clone()) } else { renamed() };
            let Some(frame) = frame.filter(|frame| fits(frame, counters, drops, now, publish.address)) else {
                continue;
            };
            counters.sent += 1;
            let dropped = match publish.signal {
                SignalType::Stream | SignalType::Gesture => link.outbox.stream(frame),
                SignalType::Param | SignalType::Event | SignalType::Timeline => link.outbox.message(frame),
            };
            counters.dropped += dropped;
            if dropped > 0 && drops.begins(now) {
                warn!(link:% = id; "the link is slower than what is shared on it: messages are dropped");
            }
        }
    }

    /// The device at the other end of this link says something. False if that is nothing about shares.
    pub fn handle_message(
        &mut self,
        now: Instant,
        link: LinkId,
        bytes: &Bytes,
        local: &mut impl Local,
    ) -> bool {
        let Some(device) = self.links.get(&link).map(|link| link.device) else { return false };
        let Ok((_, message)) = Message::decode_compact(bytes) else { return false };
        match message {
            Message::Subscribe(subscribe) => self.on_subscribe(now, link, &subscribe, local),
            Message::Unsubscribe { id } => {
                self.with(link, |link| link.forget(id));
                self.listen(local);
            }
            Message::Set(set) => self.on_set(now, link, device, &set, local),
            Message::Publish(publish) => return self.on_publish(link, &publish, bytes, local),
            Message::Error(error) => {
                debug!(link:% = link, code = error.code, address:? = error.address; "refused there: {}", error.message);
            }
            _ => return false,
        }
        true
    }

    fn on_subscribe(&mut self, now: Instant, id: LinkId, asked: &Subscribe<'_>, local: &mut impl Local) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if asked.pattern == STATUS_ADDRESS {
            link.status = Some(asked.id);
            return;
        }
        let why = match Pattern::parse(asked.pattern) {
            Err(error) => Some((202, error.to_string())),
            Ok(pattern) => link.ask(&self.shares, asked.id, pattern, asked.types).err(),
        };
        match why {
            Some((code, why)) => self.refuse(now, id, code, &why, asked.pattern),
            None => self.listen(local),
        }
    }

    fn on_set(&mut self, now: Instant, id: LinkId, device: DeviceId, set: &Set<'_>, local: &mut impl Local) {
        let Some(share) = self.links.get(&id).and_then(|link| link.inwards(&self.shares, set.address)) else {
            return self.refuse(now, id, 301, "not shared with you", set.address);
        };
        let (answers, ours) = (share.mode.publishes(), format!("{}{}", share.prefix, set.address));
        if let Err(error) = Address::parse(&ours) {
            return self.refuse(now, id, 200, &error.to_string(), set.address);
        }
        let first = set.revision.unwrap_or(0).max(1);
        let wanted = Set { address: &ours, revision: Some(first), lock: false, unlock: false, ..*set };
        let ranked = answers && set.revision.is_some();
        let mut adoption = local.adopt(&wanted, if ranked { Precedence::Ranked } else { Precedence::Latest });
        if matches!(adoption, Adoption::Kept { own: true, .. })
            && self.origins.get(ours.as_str()).is_none_or(|origin| *origin == device)
        {
            adoption = local.adopt(&wanted, Precedence::Latest);
        }
        match adoption {
            Adoption::Taken { revision } => {
                self.counters.received += 1;
                self.note_origin(&ours, device);
                if answers && set.revision != Some(revision) {
                    let message = value_of(set, set.address, Some(revision));
                    self.tell(id, set.address, encode(&message));
                }
            }
            Adoption::Same => {}
            Adoption::Kept { own: false, frame, .. } => {
                self.counters.outranked += 1;
                if answers {
                    self.tell(id, set.address, link::renamed(&frame, set.address));
                }
            }
            Adoption::Kept { own: true, .. } => self.counters.outranked += 1, // from a third device: that is not ours to tell
            Adoption::Refused(why) => self.refuse(now, id, 400, &why, set.address),
        }
    }

    fn on_publish(
        &mut self,
        id: LinkId,
        publish: &Publish<'_>,
        bytes: &Bytes,
        local: &mut impl Local,
    ) -> bool {
        let share = self.links.get(&id).and_then(|link| link.inwards(&self.shares, publish.address));
        let Some(share) = share else { return false };
        let frame = if share.prefix.is_empty() {
            Some(bytes.clone())
        } else {
            let ours = format!("{}{}", share.prefix, publish.address);
            encode(&Message::Publish(Publish { address: &ours, ..*publish }))
        };
        match frame {
            Some(frame) => {
                self.counters.received += 1;
                local.send(frame);
            }
            None => self.counters.refused += 1,
        }
        true
    }

    /// What goes out next on the reliable channel of this link.
    pub fn poll(&mut self, link: LinkId, local: &mut impl Local) -> Option<Bytes> {
        let link = self.links.get_mut(&link)?;
        if let Some(frame) = link.put_back.take() {
            return Some(frame);
        }
        loop {
            if let Some(frame) = link.next_question().or_else(|| link.outbox.pop()) {
                return Some(frame);
            }
            if !link.look_up(&self.shares, local, &mut self.counters) {
                return None;
            }
        }
    }

    /// The link did not take what [`Self::poll`] gave for it: it goes out before everything else.
    pub fn put_back(&mut self, link: LinkId, frame: Bytes) {
        self.with(link, |link| link.put_back = Some(frame));
    }

    /// What goes out next on the unreliable one.
    pub fn poll_stream(&mut self, link: LinkId) -> Option<Bytes> {
        self.links.get_mut(&link)?.outbox.pop_stream()
    }

    /// A message was larger than the device at the other end takes.
    pub fn note_too_large(&mut self, now: Instant, link: LinkId) {
        self.counters.too_large += 1;
        if self.drops.begins(now) {
            warn!(link:% = link; "a shared message is larger than the other device takes");
        }
    }

    /// Whether a device wants to know how the node is.
    #[must_use]
    pub fn wants_status(&self) -> bool {
        self.links.values().any(|link| link.status.is_some())
    }

    /// Tells how the node is to those who want to know.
    pub fn tell_status(&mut self, text: &str) {
        let set = Set {
            address: STATUS_ADDRESS,
            value: Value::Str(text),
            revision: None,
            lock: false,
            unlock: false,
            ttl: None,
        };
        let Some(frame) = encode(&Message::Set(set)) else { return };
        for link in self.links.values_mut().filter(|link| link.status.is_some()) {
            link.param(STATUS_ADDRESS, frame.clone());
        }
    }

    fn with(&mut self, link: LinkId, act: impl FnOnce(&mut Link)) {
        if let Some(link) = self.links.get_mut(&link) {
            act(link);
        }
    }

    fn tell(&mut self, link: LinkId, address: &str, frame: Option<Bytes>) {
        if let Some(frame) = frame {
            self.with(link, |link| link.param(address, frame));
        }
    }

    fn refuse(&mut self, now: Instant, id: LinkId, code: u16, why: &str, address: &str) {
        self.counters.refused += 1;
        if self.refusals.begins(now) {
            warn!(link:% = id, address, code; "refused what a paired device wants: {why}");
        }
        self.with(id, |link| link.refuse(code, why, address));
    }

    fn note_origin(&mut self, address: &str, device: DeviceId) {
        match self.origins.get_mut(address) {
            Some(origin) => *origin = device,
            None => {
                if self.origins.len() >= MAX_SHARED_ORIGINS {
                    self.origins.clear();
                }
                self.origins.insert(address.into(), device);
            }
        }
    }

    /// Subscribes to what some device has asked for, and no longer to the rest.
    fn listen(&mut self, local: &mut impl Local) {
        for (at, share) in self.shares.iter().enumerate() {
            let wanted = self.links.values().any(|link| link.wants(at, share));
            let Some(heard) = self.heard.get_mut(at) else { continue };
            if std::mem::replace(heard, wanted) == wanted {
                continue;
            }
            let id = u32::try_from(at + 1).unwrap_or(u32::MAX);
            let message = if wanted {
                subscription(id, share.local(), TypeMask::ANY)
            } else {
                Message::Unsubscribe { id }
            };
            local.send(encode(&message).expect("a pattern that was parsed fits a frame"));
        }
    }
}

/// The parameter as a link carries it.
fn value_of<'a>(set: &Set<'a>, address: &'a str, revision: Option<u64>) -> Message<'a> {
    Message::Set(Set { address, revision, lock: false, unlock: false, ..*set })
}

fn subscription(id: u32, pattern: &Pattern, types: TypeMask) -> Message<'_> {
    let (max_rate, epsilon, history, window) = (None, None, None, None);
    Message::Subscribe(Subscribe { id, pattern: pattern.as_str(), types, max_rate, epsilon, history, window })
}

/// The frame; none if the message is too large for one.
fn encode(message: &Message<'_>) -> Option<Bytes> {
    let mut frame = Vec::new();
    message.encode_into(&mut frame).ok()?;
    Some(frame.into())
}

fn fits(frame: &Bytes, counters: &mut ShareCounters, drops: &mut Burst, now: Instant, address: &str) -> bool {
    if frame.len() <= MAX_RELAYED_MESSAGE_BYTES {
        return true;
    }
    counters.too_large += 1;
    if drops.begins(now) {
        warn!(address, bytes = frame.len(), max = MAX_RELAYED_MESSAGE_BYTES; "too large to be shared");
    }
    false
}

#[cfg(test)]
mod tests;
