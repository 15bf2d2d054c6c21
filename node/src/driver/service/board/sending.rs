//! Transfers to peers.

use bytes::Bytes;
use smol::channel::{Receiver as Wakes, Sender as Waker, bounded};

use super::{Board, Order, wake};
use crate::event::LinkId;
use crate::pipe::{Outcome, PipeSender};

/// A transfer to the peer.
#[derive(Debug)]
pub(super) struct Outgoing {
    pipe: PipeSender,
    ended: bool,
    /// The command has gone: only the receiver's last word is awaited.
    orphaned: bool,
    pub(super) outcome: Option<Outcome>,
    wake: Waker<()>,
}

impl Board {
    /// Begins a transfer to the peer. Returns what is woken when something changed.
    pub(in super::super) fn begin_sending(&mut self, link: LinkId) -> Option<Wakes<()>> {
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
    pub(in super::super) fn sending(&mut self, link: LinkId) -> Option<&mut PipeSender> {
        Some(&mut self.links.get_mut(&link)?.outgoing.as_mut()?.pipe)
    }

    /// What the receiver said last.
    pub(in super::super) fn outcome(&self, link: LinkId) -> Option<&Outcome> {
        self.links.get(&link)?.outgoing.as_ref()?.outcome.as_ref()
    }

    /// The message that ends the transfer to the peer.
    pub(in super::super) fn end_sending(&mut self, link: LinkId) -> Option<Bytes> {
        let outgoing = self.links.get_mut(&link)?.outgoing.as_mut()?;
        outgoing.ended = true;
        Some(outgoing.pipe.end())
    }

    /// The command that sent is gone or done.
    pub(in super::super) fn stop_sending(&mut self, link: LinkId, why: &str) -> Option<Order> {
        let entry = self.links.get_mut(&link)?;
        let outgoing = entry.outgoing.as_mut()?;
        let ended = std::mem::replace(&mut outgoing.ended, true);
        outgoing.orphaned = true;
        if outgoing.outcome.is_some() {
            entry.outgoing = None; // both have said their last word, or will have now
        }
        (!ended).then(|| Order::Tell(link, PipeSender::called_off(why)))
    }

    /// What the receiver of our transfer says.
    pub(super) fn on_answer(&mut self, link: LinkId, message: &[u8]) -> Vec<Order> {
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
}
