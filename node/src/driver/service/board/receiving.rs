//! Transfers to us, and the one command that receives them.

use bytes::Bytes;
use smol::channel::{Receiver as Wakes, Sender as Waker, bounded};

use super::{Board, Incoming, Order, wake};
use crate::event::LinkId;
use crate::limits::MAX_WAITING_TEXT_BYTES;
use crate::pipe::{Outcome, PipeReceiver, Received, WINDOW_BYTES, done};

/// What a sender is told while nobody receives.
pub(super) const NOBODY_RECEIVES: &str = "this node does not receive files now; run `clasp-node recv` there";

/// What a sender is told while somebody else sends.
pub(super) const BUSY: &str = "busy with another transfer";

/// The command that receives files at this node.
#[derive(Debug)]
pub(super) struct Receiving {
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

impl Board {
    /// A command receives from now on, with `text` other messages too. None when another one does already.
    pub(in super::super) fn begin_receiving(&mut self, text: bool) -> Option<Wakes<()>> {
        if self.receiving.is_some() {
            return None;
        }
        let (wake, wakes) = bounded(1);
        let (waiting_text, transfer) = (Vec::new(), None);
        self.receiving = Some(Receiving { text, waiting_text, text_dropped: 0, transfer, wake });
        Some(wakes)
    }

    /// The link of the transfer to us that is under way.
    pub(in super::super) fn sender(&self) -> Option<LinkId> {
        Some(self.receiving.as_ref()?.transfer.as_ref()?.link)
    }

    /// Takes what is there for the command that receives. `room` is an empty buffer, used again for what comes next.
    pub(in super::super) fn take_received(&mut self, mut room: Vec<u8>) -> Found {
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
    pub(in super::super) fn taken(&mut self, bytes: usize) -> Option<(LinkId, Bytes)> {
        let transfer = self.receiving.as_mut()?.transfer.as_mut()?;
        let ack = transfer.pipe.consumed(bytes)?;
        transfer.end.is_none().then_some((transfer.link, ack))
    }

    /// Bytes of the transfer to us so far.
    pub(in super::super) fn received(&self) -> u64 {
        let transfer = self.receiving.as_ref().and_then(|receiving| receiving.transfer.as_ref());
        transfer.map_or(0, |transfer| transfer.pipe.received())
    }

    /// The transfer to us is over as far as the command is concerned; the sender is to be told how it went, if it still listens.
    pub(in super::super) fn finish_transfer(&mut self, outcome: &Outcome) -> Vec<Order> {
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
    pub(in super::super) fn stop_receiving(&mut self, why: &str) -> Vec<Order> {
        let orders = self.finish_transfer(&Outcome::Failed(why.to_owned()));
        self.receiving = None;
        orders
    }

    /// The link is gone, and the transfer on it, if there is one.
    pub(super) fn lose_transfer(&mut self, link: LinkId, why: &str) {
        if let Some(receiving) = &mut self.receiving
            && let Some(transfer) = receiving.transfer.as_mut().filter(|transfer| transfer.link == link)
            && transfer.end.is_none()
        {
            transfer.end = Some(End::Lost(format!("{why}, before the transfer was complete")));
            wake(&receiving.wake);
        }
    }

    /// Data, or the end of it, from a sender.
    pub(super) fn on_part(&mut self, link: LinkId, message: &[u8], is_end: bool) -> Option<Order> {
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
    pub(super) fn on_text(&mut self, message: &[u8]) {
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
