//! The queue of events on their way to the application, bounded in number and in bytes.
//!
//! What happens when the application does not read: stream data is dropped, a link whose reliable data does not fit is
//! closed, and the events that tell about links and routers have room of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use smol::channel::{Receiver, Sender, bounded};

use crate::event::{Channel, Event, LinkId};
use crate::limits::{EVENT_QUEUE, EVENT_QUEUE_BYTES};

/// Places that only vital events take, so that the news of a link's end gets through whatever a peer makes us tell.
const RESERVED: usize = EVENT_QUEUE / 4;

#[derive(Debug, Default)]
struct Shared {
    bytes: AtomicUsize,
    dropped: AtomicU64,
}

/// The application's end.
#[derive(Debug)]
pub struct Events {
    receiver: Receiver<Event>,
    shared: Arc<Shared>,
}

impl Events {
    /// The next event; `None` when the node has stopped.
    pub async fn next(&self) -> Option<Event> {
        let event = self.receiver.recv().await.ok()?;
        if let Event::Data { bytes, .. } = &event {
            self.shared.bytes.fetch_sub(bytes.len(), Relaxed);
        }
        Some(event)
    }

    /// Stream messages, and other events, that were dropped because the queue was full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Relaxed)
    }
}

/// The node's end.
#[derive(Debug)]
pub(super) struct EventQueue {
    sender: Sender<Event>,
    shared: Arc<Shared>,
    /// One warning per burst of drops.
    warned: bool,
}

/// A link whose reliable data found no room.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooSlow(pub(super) LinkId);

pub(super) fn queue() -> (EventQueue, Events) {
    let (sender, receiver) = bounded(EVENT_QUEUE);
    let shared = Arc::<Shared>::default();
    let events = Events { receiver, shared: Arc::clone(&shared) };
    (EventQueue { sender, shared, warned: false }, events)
}

impl EventQueue {
    /// How many events were dropped so far.
    pub(super) fn dropped(&self) -> u64 {
        self.shared.dropped.load(Relaxed)
    }

    /// Queues `event`.
    ///
    /// # Errors
    /// [`TooSlow`] if it carries reliable data and there is no room: that link is to be closed.
    pub(super) fn push(&mut self, event: Event) -> Result<(), TooSlow> {
        if self.sender.is_closed() {
            return Ok(()); // nobody listens, by choice
        }
        let crowded = self.sender.len() >= EVENT_QUEUE - RESERVED;
        if let Event::Data { link, channel, bytes } = &event {
            let waiting = self.shared.bytes.load(Relaxed) + bytes.len();
            if crowded || waiting > EVENT_QUEUE_BYTES {
                return match channel {
                    Channel::Reliable => Err(TooSlow(*link)),
                    Channel::Stream => {
                        self.drop_one();
                        Ok(())
                    }
                };
            }
            self.shared.bytes.fetch_add(bytes.len(), Relaxed);
        } else if crowded && !is_vital(&event) {
            self.drop_one();
            return Ok(());
        }
        match self.sender.try_send(event) {
            Ok(()) => self.warned = false,
            Err(_) => self.drop_one(),
        }
        Ok(())
    }

    /// Whether the application should get its turn before there is more: a quarter is what it has not had the time to take, all of it
    /// is what it does not take.
    pub(super) fn is_filling(&self) -> bool {
        self.sender.len() >= EVENT_QUEUE / 4 || self.shared.bytes.load(Relaxed) >= EVENT_QUEUE_BYTES / 4
    }

    fn drop_one(&mut self) {
        self.shared.dropped.fetch_add(1, Relaxed);
        if !std::mem::replace(&mut self.warned, true) {
            log::warn!("the application does not take its events: dropping");
        }
    }
}

/// Whether an application may wait for this event: where links and routers stand.
fn is_vital(event: &Event) -> bool {
    match event {
        Event::RouterReady { .. }
        | Event::RouterLost { .. }
        | Event::Connecting { .. }
        | Event::State { .. }
        | Event::Connected { .. }
        | Event::Relayed { .. }
        | Event::PathChanged { .. }
        | Event::Writable { .. }
        | Event::Failed { .. }
        | Event::Disconnected { .. } => true,
        // What a peer can cause without end.
        Event::PeerSeen(_)
        | Event::Step { .. }
        | Event::Data { .. }
        | Event::Pong { .. }
        | Event::Refused { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn data(channel: Channel, len: usize) -> Event {
        Event::Data { link: LinkId(7), channel, bytes: Bytes::from(vec![0; len]) }
    }

    #[test]
    fn streams_are_dropped_and_reliable_data_closes_its_link_when_bytes_run_out() {
        let (mut queue, events) = queue();
        for _ in 0..16 {
            assert_eq!(queue.push(data(Channel::Reliable, EVENT_QUEUE_BYTES / 16)), Ok(()));
        }
        assert_eq!(queue.push(data(Channel::Stream, 1)), Ok(()));
        assert_eq!(events.dropped(), 1);
        assert_eq!(queue.push(data(Channel::Reliable, 1)), Err(TooSlow(LinkId(7))));
        assert!(smol::block_on(events.next()).is_some());
        assert_eq!(queue.push(data(Channel::Reliable, 1)), Ok(()), "reading makes room");
    }

    #[test]
    fn small_data_leaves_room_for_the_news_of_the_end() {
        let (mut queue, events) = queue();
        for _ in 0..EVENT_QUEUE - RESERVED {
            assert_eq!(queue.push(data(Channel::Stream, 1)), Ok(()));
        }
        assert_eq!(events.dropped(), 0);
        assert_eq!(queue.push(data(Channel::Reliable, 1)), Err(TooSlow(LinkId(7))));
        let end = || Event::Writable { link: LinkId(7) };
        for _ in 0..RESERVED {
            assert_eq!(queue.push(end()), Ok(()));
        }
        assert_eq!(events.dropped(), 0);
        assert_eq!(queue.push(end()), Ok(()));
        assert_eq!(events.dropped(), 1);
    }

    #[test]
    fn a_quarter_of_the_places_or_bytes_is_the_applications_turn() {
        for (count, len) in [(EVENT_QUEUE / 4, 1), (4, EVENT_QUEUE_BYTES / 16)] {
            let (mut queue, events) = queue();
            for _ in 0..count {
                assert!(!queue.is_filling());
                assert_eq!(queue.push(data(Channel::Reliable, len)), Ok(()));
            }
            assert!(queue.is_filling());
            assert!(smol::block_on(events.next()).is_some());
            assert!(!queue.is_filling());
        }
    }

    #[test]
    fn what_a_peer_can_cause_without_end_does_not_take_the_reserve() {
        let (mut queue, events) = queue();
        let refused = || Event::Refused { peer: "x".into(), why: "y".into() };
        for _ in 0..EVENT_QUEUE * 2 {
            assert_eq!(queue.push(refused()), Ok(()));
        }
        assert_eq!(events.dropped(), (EVENT_QUEUE + RESERVED) as u64);
        assert_eq!(queue.push(Event::Writable { link: LinkId(7) }), Ok(()));
        assert_eq!(events.dropped(), (EVENT_QUEUE + RESERVED) as u64);
    }

    #[test]
    fn an_application_that_wants_no_events_keeps_its_links() {
        let (mut queue, events) = queue();
        drop(events);
        for _ in 0..100 {
            assert_eq!(queue.push(data(Channel::Reliable, EVENT_QUEUE_BYTES)), Ok(()));
        }
    }
}
