//! Which of a link's messages belong to which command. Sans-IO: events in, orders out, and nobody waits.
//!
//! The node's events come here one by one, so nothing may be held up: a message is noted where its command finds it, within bounds, and
//! the command is woken. A sender that keeps to its window never finds a full queue, whatever the command's reader does; one that does
//! not is refused.

use std::collections::BTreeMap;

use bytes::Bytes;
use smol::channel::{Receiver as Wakes, Sender as Waker, bounded};

use crate::event::{Channel, Event, LinkId};
use crate::limits::{LINK_NEWS, MAX_WAITING_TEXT_BYTES};
use crate::pipe::{
    Outcome, Part, PipeReceiver, PipeSender, Received, WINDOW_BYTES, done, part, unused, used,
};

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

/// A transfer to the peer.
#[derive(Debug)]
struct Outgoing {
    pipe: PipeSender,
    ended: bool,
    /// The command has gone: only the receiver's last word is awaited.
    orphaned: bool,
    outcome: Option<Outcome>,
    wake: Waker<()>,
}

/// The command that receives files at this node.
#[derive(Debug)]
struct Receiving {
    /// Whether messages that belong to no transfer are wanted.
    text: bool,
    waiting_text: Vec<u8>,
    text_dropped: u64,
    transfer: Option<Transfer>,
    wake: Waker<()>,
}

/// A transfer to us.
#[derive(Debug)]
struct Transfer {
    link: LinkId,
    pipe: PipeReceiver,
    /// At most [`WINDOW_BYTES`].
    waiting: Vec<u8>,
    end: Option<End>,
}

/// How a transfer to us ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// The sender has said so, and waits for our word.
    Said(Outcome),
    /// The link is gone, or the sender was refused already.
    Lost(String),
}

/// What a receiver finds when it looks.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The transfer's next bytes.
    pub(crate) data: Vec<u8>,
    /// Messages that belong to no transfer, each as a line.
    pub(crate) text: Vec<u8>,
    /// How many of those there was no room for.
    pub(crate) text_dropped: u64,
    /// The transfer is over, and `data` is its last.
    pub(crate) end: Option<End>,
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

    /// Begins a transfer to the peer. Returns what is woken when something changed.
    pub(super) fn begin_sending(&mut self, link: LinkId) -> Option<Wakes<()>> {
        let entry = self.entry(link);
        if entry.outgoing.is_some() {
            return None;
        }
        let (wake, wakes) = bounded(1);
        let pipe = PipeSender::new();
        entry.outgoing = Some(Outgoing { pipe, ended: false, orphaned: false, outcome: None, wake });
        Some(wakes)
    }

    /// The transfer to the peer that is under way; none when its link is gone.
    pub(super) fn sending(&mut self, link: LinkId) -> Option<&mut PipeSender> {
        Some(&mut self.links.get_mut(&link)?.outgoing.as_mut()?.pipe)
    }

    /// What the receiver said last.
    pub(super) fn outcome(&self, link: LinkId) -> Option<&Outcome> {
        self.links.get(&link)?.outgoing.as_ref()?.outcome.as_ref()
    }

    /// The message that ends the transfer to the peer.
    pub(super) fn end_sending(&mut self, link: LinkId) -> Option<Bytes> {
        let outgoing = self.links.get_mut(&link)?.outgoing.as_mut()?;
        outgoing.ended = true;
        Some(outgoing.pipe.end())
    }

    /// The command that sent is gone or done.
    pub(super) fn stop_sending(&mut self, link: LinkId, why: &str) -> Option<Order> {
        let entry = self.links.get_mut(&link)?;
        let outgoing = entry.outgoing.as_mut()?;
        let ended = std::mem::replace(&mut outgoing.ended, true);
        outgoing.orphaned = true;
        if outgoing.outcome.is_some() {
            entry.outgoing = None; // both have said their last word, or will have now
        }
        (!ended).then(|| Order::Tell(link, PipeSender::called_off(why)))
    }

    /// A command receives from now on, with `text` other messages too. None when another one does already.
    pub(super) fn begin_receiving(&mut self, text: bool) -> Option<Wakes<()>> {
        if self.receiving.is_some() {
            return None;
        }
        let (wake, wakes) = bounded(1);
        let (waiting_text, transfer) = (Vec::new(), None);
        self.receiving = Some(Receiving { text, waiting_text, text_dropped: 0, transfer, wake });
        Some(wakes)
    }

    /// The link of the transfer to us that is under way.
    pub(super) fn sender(&self) -> Option<LinkId> {
        Some(self.receiving.as_ref()?.transfer.as_ref()?.link)
    }

    /// Takes what is there for the command that receives. `room` is an empty buffer, used again for what comes next.
    pub(super) fn take_received(&mut self, mut room: Vec<u8>) -> Found {
        let Some(receiving) = &mut self.receiving else { return Found::default() };
        let text = std::mem::take(&mut receiving.waiting_text);
        let text_dropped = std::mem::take(&mut receiving.text_dropped);
        let Some(transfer) = &mut receiving.transfer else {
            return Found { text, text_dropped, ..Found::default() };
        };
        room.clear();
        let data = std::mem::replace(&mut transfer.waiting, room);
        Found { data, text, text_dropped, end: transfer.end.clone() }
    }

    /// The command's reader took so many bytes. Returns what the sender is to be told, if anything.
    pub(super) fn taken(&mut self, bytes: usize) -> Option<(LinkId, Bytes)> {
        let transfer = self.receiving.as_mut()?.transfer.as_mut()?;
        let ack = transfer.pipe.consumed(bytes)?;
        transfer.end.is_none().then_some((transfer.link, ack))
    }

    /// Bytes of the transfer to us so far.
    pub(super) fn received(&self) -> u64 {
        let transfer = self.receiving.as_ref().and_then(|receiving| receiving.transfer.as_ref());
        transfer.map_or(0, |transfer| transfer.pipe.received())
    }

    /// The transfer to us is over as far as the command is concerned; the sender is to be told how it went, if it still listens.
    pub(super) fn finish_transfer(&mut self, outcome: &Outcome) -> Vec<Order> {
        let Some(transfer) = self.receiving.as_mut().and_then(|receiving| receiving.transfer.take()) else {
            return Vec::new();
        };
        let link = transfer.link;
        let mut orders = Vec::new();
        if !matches!(transfer.end, Some(End::Lost(_))) {
            orders.push(Order::Tell(link, done(outcome)));
            if let Some(entry) = self.links.get_mut(&link) {
                entry.incoming = if transfer.end.is_some() { Incoming::None } else { Incoming::Refused };
            }
        }
        orders.extend(self.part(link));
        orders
    }

    /// The command that received is gone.
    pub(super) fn stop_receiving(&mut self, why: &str) -> Vec<Order> {
        let orders = self.finish_transfer(&Outcome::Failed(why.to_owned()));
        self.receiving = None;
        orders
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
        if let Some(receiving) = &mut self.receiving
            && let Some(transfer) = receiving.transfer.as_mut().filter(|transfer| transfer.link == link)
            && transfer.end.is_none()
        {
            transfer.end = Some(End::Lost(format!("{why}, before the transfer was complete")));
            wake(&receiving.wake);
        }
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

    /// What the receiver of our transfer says.
    fn on_answer(&mut self, link: LinkId, message: &[u8]) -> Vec<Order> {
        let entry = self.entry(link);
        let Some(outgoing) = &mut entry.outgoing else { return Vec::new() };
        let outcome = outgoing.pipe.handle_message(message);
        wake(&outgoing.wake);
        if outcome.is_none() {
            return Vec::new();
        }
        outgoing.outcome = outcome;
        let ended = std::mem::replace(&mut outgoing.ended, true);
        if outgoing.orphaned {
            entry.outgoing = None;
            return self.part(link);
        }
        let understood = || Order::Tell(link, PipeSender::called_off("understood"));
        (!ended).then(understood).into_iter().collect()
    }

    /// Data, or the end of it, from a sender.
    fn on_part(&mut self, link: LinkId, message: &[u8], is_end: bool) -> Option<Order> {
        let entry = self.links.entry(link).or_default();
        match (entry.incoming, &mut self.receiving) {
            (Incoming::Refused, _) if is_end => entry.incoming = Incoming::None,
            (Incoming::Refused, _) => {}
            (Incoming::None, Some(receiving)) if receiving.transfer.is_none() => {
                entry.incoming = Incoming::Taken;
                let (pipe, waiting) = (PipeReceiver::new(), Vec::new());
                receiving.transfer = Some(Transfer { link, pipe, waiting, end: None });
                return self.on_taken(link, message);
            }
            (Incoming::None, receiving) => {
                let why = if receiving.is_some() { BUSY } else { NOBODY_RECEIVES };
                entry.incoming = if is_end { Incoming::None } else { Incoming::Refused };
                return Some(Order::Tell(link, done(&Outcome::Failed(why.to_owned()))));
            }
            (Incoming::Taken, _) => return self.on_taken(link, message),
        }
        None
    }

    /// The next part of the transfer that is being received.
    fn on_taken(&mut self, link: LinkId, message: &[u8]) -> Option<Order> {
        let receiving = self.receiving.as_mut()?;
        let transfer = receiving.transfer.as_mut().filter(|transfer| transfer.link == link)?;
        if transfer.end.is_some() {
            return None; // it has said that this was all
        }
        wake(&receiving.wake);
        match transfer.pipe.handle_message(message) {
            Received::Data(chunk) => transfer.waiting.extend_from_slice(chunk),
            Received::End(outcome) => transfer.end = Some(End::Said(outcome)),
            Received::Other => {}
        }
        if transfer.pipe.untaken() <= WINDOW_BYTES {
            return None;
        }
        let why = "the sender does not wait for what it sent to be taken";
        transfer.waiting.clear();
        transfer.end = Some(End::Lost(why.to_owned()));
        self.entry(link).incoming = Incoming::Refused;
        Some(Order::Tell(link, done(&Outcome::Failed(why.to_owned()))))
    }

    /// A message that is not part of a transfer.
    fn on_text(&mut self, message: &[u8]) {
        let Some(receiving) = self.receiving.as_mut().filter(|receiving| receiving.text) else { return };
        let text = String::from_utf8_lossy(message);
        if receiving.waiting_text.len() + text.len() < MAX_WAITING_TEXT_BYTES {
            receiving.waiting_text.extend_from_slice(text.as_bytes());
            receiving.waiting_text.push(b'\n');
        } else {
            receiving.text_dropped += 1;
        }
        wake(&receiving.wake);
    }
}

/// What a sender is told while nobody receives.
pub(super) const NOBODY_RECEIVES: &str = "this node does not receive files now; run `clasp-node recv` there";

/// What a sender is told while somebody else sends.
const BUSY: &str = "busy with another transfer";

/// Wakes who waits, or the next one that would.
fn wake(waker: &Waker<()>) {
    if waker.try_send(()).is_err() {
        log::trace!("woken already, or gone");
    }
}

#[cfg(test)]
mod tests;
