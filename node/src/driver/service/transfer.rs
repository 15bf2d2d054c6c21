//! The two ends of a transfer, as long as a command is at each.

use bytes::Bytes;
use smol::channel::Receiver;

use super::Service;
use super::board::{About, Found};
use crate::driver::handle::CallError;
use crate::event::{Channel, Event, LinkId};
use crate::pipe::Outcome;

/// A transfer to a peer. One that is not complete when this is dropped is called off.
#[derive(Debug)]
pub(crate) struct Sending {
    service: Service,
    link: LinkId,
    changed: Receiver<()>,
    news: Receiver<Event>,
}

impl Sending {
    /// Begins a transfer on this link.
    ///
    /// # Errors
    /// When another one is under way there.
    pub(crate) fn begin(service: &Service, link: LinkId) -> Result<Self, String> {
        let news = service.board(|board| board.watch(About::Link(link)));
        let changed = service.board(|board| board.begin_sending(link));
        let changed = changed.ok_or_else(|| "another transfer to this peer is under way".to_owned())?;
        Ok(Self { service: service.clone(), link, changed, news })
    }

    /// Whether the peer lets us send another chunk now.
    pub(crate) fn has_room(&self) -> bool {
        self.service.board(|board| board.sending(self.link).is_some_and(|pipe| pipe.has_room()))
    }

    /// Bytes the receiver has taken.
    pub(crate) fn taken(&self) -> u64 {
        self.service.board(|board| board.sending(self.link).map_or(0, |pipe| pipe.acknowledged()))
    }

    /// Sends a chunk, and waits until the link has room for it.
    pub(crate) async fn send(&self, chunk: &[u8]) -> Result<(), String> {
        let message = self.service.board(|board| board.sending(self.link).map(|pipe| pipe.data(chunk)));
        self.hand_over(message).await
    }

    /// Says that this was all.
    pub(crate) async fn end(&self) -> Result<(), String> {
        let message = self.service.board(|board| board.end_sending(self.link));
        self.hand_over(message).await
    }

    async fn hand_over(&self, message: Option<Bytes>) -> Result<(), String> {
        let Some(message) = message else { return Err(self.why_gone()) };
        let sent = self.service.node.send(self.link, Channel::Reliable, message).await;
        sent.map_err(|error| match error {
            // Its end tells more than that it is not open any more.
            CallError::Refused(error) => self.ended().unwrap_or_else(|| error.to_string()),
            CallError::Stopped(stopped) => stopped.to_string(),
        })
    }

    /// Waits for the receiver to say something: how it went, if that was its last word.
    ///
    /// # Errors
    /// Why the link is gone.
    pub(crate) async fn changed(&self) -> Result<Option<Outcome>, String> {
        if let Some(outcome) = self.outcome() {
            return Ok(Some(outcome)); // said before anybody waited for it
        }
        if self.changed.recv().await.is_err() {
            return Err(self.why_gone());
        }
        Ok(self.outcome())
    }

    fn outcome(&self) -> Option<Outcome> {
        self.service.board(|board| board.outcome(self.link).cloned())
    }

    fn why_gone(&self) -> String {
        self.ended().unwrap_or_else(|| "the link is gone".to_owned())
    }

    fn ended(&self) -> Option<String> {
        std::iter::from_fn(|| self.news.try_recv().ok()).find_map(|event| match event {
            Event::Disconnected { why, .. } => Some(why.to_string()),
            _ => None,
        })
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let order =
            self.service.board(|board| board.stop_sending(self.link, "the command that sent was ended"));
        self.service.carry_out(order);
    }
}

/// The place of the one command that receives. A transfer that is not complete when this is dropped is refused.
#[derive(Debug)]
pub(crate) struct Incoming {
    service: Service,
    changed: Receiver<()>,
    /// Used again for every piece.
    room: Vec<u8>,
}

impl Incoming {
    /// Receives from now on; with `text`, messages that belong to no transfer as well.
    ///
    /// # Errors
    /// When another command does.
    pub(crate) fn begin(service: &Service, text: bool) -> Result<Self, String> {
        let changed = service.board(|board| board.begin_receiving(text));
        let changed = changed.ok_or_else(|| "another `clasp-node recv` receives here already".to_owned())?;
        Ok(Self { service: service.clone(), changed, room: Vec::new() })
    }

    /// Waits until there is something to take.
    pub(crate) async fn changed(&self) {
        if self.changed.recv().await.is_err() {
            log::debug!("nothing more will come");
        }
    }

    /// Whose transfer it is.
    pub(crate) fn sender(&self) -> Option<LinkId> {
        self.service.board(|board| board.sender())
    }

    /// Takes what is there.
    pub(crate) fn take(&mut self) -> Found {
        let room = std::mem::take(&mut self.room);
        self.service.board(|board| board.take_received(room))
    }

    /// Gives back an emptied [`Found::data`].
    pub(crate) fn give_back(&mut self, room: Vec<u8>) {
        self.room = room;
    }

    /// The reader took so many bytes; the sender may send as many more.
    pub(crate) async fn taken(&self, bytes: usize) {
        let Some((link, ack)) = self.service.board(|board| board.taken(bytes)) else { return };
        if let Err(error) = self.service.node.send(link, Channel::Reliable, ack).await {
            log::debug!(link:% = link; "not told: {error}"); // its end comes in its turn, with the reason
        }
    }

    /// Bytes of the transfer so far.
    pub(crate) fn received(&self) -> u64 {
        self.service.board(|board| board.received())
    }

    /// Ends the transfer; the sender is told how it went.
    pub(crate) fn finish(&self, outcome: &Outcome) {
        let orders = self.service.board(|board| board.finish_transfer(outcome));
        self.service.carry_out(orders);
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let orders = self.service.board(|board| board.stop_receiving("the command that received was ended"));
        self.service.carry_out(orders);
    }
}
