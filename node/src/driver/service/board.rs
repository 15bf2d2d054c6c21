//! Which of a link's messages belong to which command. Sans-IO: events in, orders out, and nobody waits.
//!
//! The node's events come here one by one, so nothing may be held up: a message is noted where its command finds it, within bounds, and
//! the command is woken. A sender that keeps to its window never finds a full queue, whatever the command's reader does; one that does
//! not is refused.

mod receiving;
mod sending;

use std::collections::BTreeMap;

use bytes::Bytes;
use smol::channel::{Receiver as Wakes, Sender as Waker, bounded};

use crate::event::{Channel, Event, LinkId};
use crate::limits::LINK_NEWS;
use receiving::Receiving;
pub(crate) use receiving::{End, Found};
use sending::Outgoing;

use crate::pipe::{Part, part, unused, used};

/// Something to be done that may take a moment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Send this on the reliable channel.
    Tell(LinkId, Bytes),
    /// End the link.
    Hangup(LinkId),
    /// Look again in a moment: the last word is on its way, and must not be overtaken by the end of the link.
    HangupSoon(LinkId),
}

/// What a command wants to hear of.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum About {
    /// This link.
    Link(LinkId),
    /// Links to this session, those included that are not there yet.
    Session(String),
    /// Peers that show up.
    Peers,
}

#[derive(Debug)]
struct Watch {
    about: About,
    news: Waker<Event>,
}

/// A link as far as commands use it.
#[derive(Debug, Default)]
struct Entry {
    alive: bool,
    /// Commands that use it.
    users: usize,
    /// It was opened for a command, or the peer has left it to us: it is for us to end it.
    ours: bool,
    /// Whether the peer is a clasp-edge node, which knows what we say of the link.
    edge: bool,
    incoming: Incoming,
    outgoing: Option<Outgoing>,
}

/// What the peer's data is to us.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Incoming {
    #[default]
    None,
    /// The command that receives gets it.
    Taken,
    /// It was refused: nothing is looked at until the sender has said that it knows.
    Refused,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Board {
    links: BTreeMap<LinkId, Entry>,
    /// At most two for each command that is at work.
    watches: Vec<Watch>,
    receiving: Option<Receiving>,
}

impl Board {
    /// Notes what happened. Never waits.
    pub(super) fn handle_event(&mut self, event: &Event) -> Vec<Order> {
        match event {
            Event::PeerSeen(_) | Event::RouterReady { .. } => self.tell(event, None, ""),
            Event::Connecting { link, .. } => self.entry(*link).alive = true,
            Event::Connected { link, peer, .. } | Event::Relayed { link, peer, .. } => {
                self.tell(event, Some(*link), peer);
            }
            Event::Pong { link, .. } => self.tell(event, Some(*link), ""),
            Event::Failed { link, peer, .. } => {
                self.tell(event, Some(*link), peer);
                self.forget(*link, "the link is gone");
            }
            Event::Disconnected { link, peer, why } => {
                self.tell(event, Some(*link), peer);
                self.forget(*link, &why.to_string());
            }
            Event::Data { link, channel, bytes } => return self.on_data(*link, *channel, bytes),
            _ => {}
        }
        Vec::new()
    }

    /// What happens with `about` from now on.
    pub(super) fn watch(&mut self, about: About) -> Wakes<Event> {
        self.watches.retain(|watch| !watch.news.is_closed());
        let (news, told) = bounded(LINK_NEWS);
        self.watches.push(Watch { about, news });
        told
    }

    /// A command uses this link from now on; `opened` for it, or there already. It goes to a clasp-edge node or to another peer.
    pub(super) fn lease(&mut self, link: LinkId, opened: bool, edge: bool) {
        let entry = self.entry(link);
        entry.users += 1;
        entry.ours |= opened;
        entry.edge = edge;
    }

    /// The command is done with it.
    pub(super) fn release(&mut self, link: LinkId) -> Vec<Order> {
        let Some(entry) = self.links.get_mut(&link) else { return Vec::new() };
        entry.users = entry.users.saturating_sub(1);
        if !entry.alive && entry.users == 0 {
            // Gone, or so young that nothing was heard of it yet.
            let ours = entry.ours;
            self.links.remove(&link);
            return ours.then_some(Order::Hangup(link)).into_iter().collect();
        }
        self.part(link)
    }

    /// The time is up that [`Order::HangupSoon`] gives.
    pub(super) fn close_now(&self, link: LinkId) -> Option<Order> {
        self.is_idle(link).then_some(Order::Hangup(link))
    }

    fn entry(&mut self, link: LinkId) -> &mut Entry {
        self.links.entry(link).or_default()
    }

    /// Whether a link that is for us to end is used by none, and the peer is not in the middle of something.
    fn is_idle(&self, link: LinkId) -> bool {
        let Some(entry) = self.links.get(&link) else { return false };
        entry.alive && entry.ours && entry.users == 0 && entry.incoming != Incoming::Taken
    }

    /// Ends a link that is not used any more. The peer may have commands of its own on it, so that it is asked.
    fn part(&self, link: LinkId) -> Vec<Order> {
        let Some(entry) = self.links.get(&link).filter(|_| self.is_idle(link)) else { return Vec::new() };
        match (entry.edge, &entry.outgoing) {
            (_, Some(_)) => vec![Order::HangupSoon(link)], // once the receiver has heard that it is called off
            (true, None) => vec![Order::Tell(link, unused()), Order::HangupSoon(link)],
            (false, None) => vec![Order::Hangup(link)],
        }
    }

    /// Tells everybody who watches. Who does not listen misses it; the end of a link is told by there being no more.
    fn tell(&mut self, event: &Event, link: Option<LinkId>, peer: &str) {
        let ends = matches!(event, Event::Failed { .. } | Event::Disconnected { .. });
        self.watches.retain(|watch| {
            let concerns = match &watch.about {
                About::Link(about) => link == Some(*about),
                About::Session(session) => session == peer,
                About::Peers => link.is_none(),
            };
            if !concerns {
                return true;
            }
            let told = watch.news.try_send(event.clone());
            told.is_ok() || !(ends || watch.news.is_closed())
        });
    }

    /// The link is gone, and everything that was under way on it.
    fn forget(&mut self, link: LinkId, why: &str) {
        self.lose_transfer(link, why);
        let Some(entry) = self.links.get_mut(&link) else { return };
        // And with it its end of the channel, which wakes the command; unless that has yet to see how the transfer went.
        entry.outgoing = entry.outgoing.take().filter(|outgoing| outgoing.outcome.is_some());
        entry.incoming = Incoming::None;
        entry.alive = false;
        if entry.users == 0 {
            self.links.remove(&link);
        }
    }

    fn on_data(&mut self, link: LinkId, channel: Channel, message: &[u8]) -> Vec<Order> {
        match part(message).filter(|_| channel == Channel::Reliable) {
            Some(Part::Ack | Part::Done) => self.on_answer(link, message),
            Some(Part::Data) => self.on_part(link, message, false).into_iter().collect(),
            Some(Part::End) => self.on_part(link, message, true).into_iter().collect(),
            Some(Part::Unused) => vec![self.on_unused(link)],
            Some(Part::Used) => {
                self.entry(link).ours = false;
                Vec::new()
            }
            None => {
                self.on_text(message);
                Vec::new()
            }
        }
    }

    /// The peer has no use for the link: it ends, unless we have one; then it is for us to end it.
    fn on_unused(&mut self, link: LinkId) -> Order {
        let entry = self.entry(link);
        let is_used = entry.users > 0 || entry.incoming == Incoming::Taken || entry.outgoing.is_some();
        if !is_used {
            return Order::Hangup(link);
        }
        (entry.ours, entry.edge) = (true, true);
        Order::Tell(link, used())
    }
}

/// Wakes who waits, or the next one that would.
pub(in crate::driver) fn wake(waker: &Waker<()>) {
    if waker.try_send(()).is_err() {
        log::trace!("woken already, or gone");
    }
}

#[cfg(test)]
mod tests;
