//! The queue of events on their way to the application, bounded in number and in bytes.
//!
//! What happens when the application does not read: stream data is dropped, a link whose reliable data does not fit is
//! closed, and the events that tell about links and routers have room of their own.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use smol::channel::{Receiver, Sender, bounded};

use crate::event::{Channel, Event, LinkId};
use crate::limits::{EVENT_QUEUE, EVENT_QUEUE_BYTES};

/// Places that only vital events take, so that the news of a link's end gets through whatever a peer makes us tell.
const RESERVED: usize = EVENT_QUEUE / 4;

/// What streams take of the places and of the bytes at most: the flood of one link must not cost another one, which is closed where its
/// reliable data finds no room.
const STREAM_PLACES: usize = EVENT_QUEUE / 2;
const STREAM_BYTES: usize = EVENT_QUEUE_BYTES / 2;

/// Messages that came together share a place up to this many.
const MESSAGES_PER_PLACE: usize = 256;

/// What a waiting message takes besides its bytes, so that tiny ones are bounded as well.
const MESSAGE_OVERHEAD: usize = 64;

fn cost(bytes: &Bytes) -> usize {
    bytes.len() + MESSAGE_OVERHEAD
}

/// What takes one place in the queue.
#[derive(Debug)]
enum Place {
    Event(Event),
    Data(Batch),
}

/// Messages of one channel of one link, oldest first.
#[derive(Debug)]
struct Batch {
    link: LinkId,
    channel: Channel,
    messages: VecDeque<Bytes>,
}

impl Batch {
    fn next(&mut self) -> Option<Event> {
        let bytes = self.messages.pop_front()?;
        Some(Event::Data { link: self.link, channel: self.channel, bytes })
    }
}

#[derive(Debug, Default)]
struct Shared {
    bytes: AtomicUsize,
    dropped: AtomicU64,
}

/// The application's end.
#[derive(Debug)]
pub struct Events {
    receiver: Receiver<Place>,
    shared: Arc<Shared>,
    /// What is left of the place taken last.
    batch: Mutex<Option<Batch>>,
}

impl Events {
    /// The next event; `None` when the node has stopped.
    pub async fn next(&self) -> Option<Event> {
        if let Some(event) = self.next_of_batch() {
            return Some(event);
        }
        match self.receiver.recv().await.ok()? {
            Place::Event(event) => Some(event),
            Place::Data(batch) => {
                *self.batch.lock().unwrap_or_else(PoisonError::into_inner) = Some(batch);
                self.next_of_batch()
            }
        }
    }

    fn next_of_batch(&self) -> Option<Event> {
        let event = self.batch.lock().unwrap_or_else(PoisonError::into_inner).as_mut()?.next()?;
        if let Event::Data { bytes, .. } = &event {
            self.shared.bytes.fetch_sub(cost(bytes), Relaxed);
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
    sender: Sender<Place>,
    shared: Arc<Shared>,
    /// Messages that wait for others to share their place, until [`Self::flush`].
    batch: Option<Batch>,
    /// One warning per burst of drops.
    warned: bool,
}

/// A link whose reliable data found no room.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooSlow(pub(super) LinkId);

pub(super) fn queue() -> (EventQueue, Events) {
    let (sender, receiver) = bounded(EVENT_QUEUE);
    let shared = Arc::<Shared>::default();
    let events = Events { receiver, shared: Arc::clone(&shared), batch: Mutex::new(None) };
    (EventQueue { sender, shared, batch: None, warned: false }, events)
}

impl EventQueue {
    /// How many events were dropped so far.
    pub(super) fn dropped(&self) -> u64 {
        self.shared.dropped.load(Relaxed)
    }

    /// Queues `event`; the application sees messages after the next [`Self::flush`].
    ///
    /// # Errors
    /// [`TooSlow`] if it carries reliable data and there is no room: that link is to be closed.
    pub(super) fn push(&mut self, event: Event) -> Result<(), TooSlow> {
        if self.sender.is_closed() {
            return Ok(()); // nobody listens, by choice
        }
        let event = match event {
            Event::Data { link, channel, bytes } => return self.push_data(link, channel, bytes),
            event => event,
        };
        self.flush();
        if self.is_crowded() && !is_vital(&event) {
            self.drop_one();
        } else {
            self.place(Place::Event(event));
        }
        Ok(())
    }

    fn push_data(&mut self, link: LinkId, channel: Channel, bytes: Bytes) -> Result<(), TooSlow> {
        let shares = |batch: &Batch| {
            (batch.link, batch.channel) == (link, channel) && batch.messages.len() < MESSAGES_PER_PLACE
        };
        if !self.batch.as_ref().is_some_and(shares) {
            self.flush();
        }
        let cost = cost(&bytes);
        let (places, most) = match channel {
            Channel::Reliable => (EVENT_QUEUE - RESERVED, EVENT_QUEUE_BYTES),
            Channel::Stream => (STREAM_PLACES, STREAM_BYTES),
        };
        let crowded = self.batch.is_none() && self.sender.len() >= places;
        if crowded || self.shared.bytes.load(Relaxed) + cost > most {
            return match channel {
                Channel::Reliable => Err(TooSlow(link)),
                Channel::Stream => {
                    self.drop_one();
                    Ok(())
                }
            };
        }
        self.shared.bytes.fetch_add(cost, Relaxed);
        let batch = self.batch.get_or_insert_with(|| Batch { link, channel, messages: VecDeque::new() });
        batch.messages.push_back(bytes);
        Ok(())
    }

    /// Lets the application have the messages that came so far.
    pub(super) fn flush(&mut self) {
        if let Some(batch) = self.batch.take() {
            self.place(Place::Data(batch));
        }
    }

    fn is_crowded(&self) -> bool {
        self.sender.len() >= EVENT_QUEUE - RESERVED
    }

    fn place(&mut self, place: Place) {
        match self.sender.try_send(place) {
            Ok(()) => self.warned = false,
            Err(_) => self.drop_one(),
        }
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
        | Event::Proven { .. }
        | Event::Connected { .. }
        | Event::Relayed { .. }
        | Event::PathChanged { .. }
        | Event::Writable { .. }
        | Event::Failed { .. }
        | Event::Disconnected { .. }
        | Event::Paired { .. }
        | Event::PairingFailed { .. } => true,
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
    use super::*;

    fn data(channel: Channel, len: usize) -> Event {
        Event::Data { link: LinkId(7), channel, bytes: Bytes::from(vec![0; len]) }
    }

    /// Data that nothing shares its place with.
    fn push_alone(queue: &mut EventQueue, event: Event) -> Result<(), TooSlow> {
        let pushed = queue.push(event);
        queue.flush();
        pushed
    }

    #[test]
    fn streams_are_dropped_and_reliable_data_closes_its_link_when_bytes_run_out() {
        let (mut queue, events) = queue();
        let sixteenth = EVENT_QUEUE_BYTES / 16 - MESSAGE_OVERHEAD;
        for _ in 0..16 {
            assert_eq!(queue.push(data(Channel::Reliable, sixteenth)), Ok(()));
        }
        assert_eq!(queue.push(data(Channel::Stream, 1)), Ok(()));
        assert_eq!(events.dropped(), 1);
        assert_eq!(queue.push(data(Channel::Reliable, 1)), Err(TooSlow(LinkId(7))));
        queue.flush();
        assert!(smol::block_on(events.next()).is_some());
        assert_eq!(queue.push(data(Channel::Reliable, 1)), Ok(()), "reading makes room");
    }

    #[test]
    fn messages_that_come_together_share_a_place_and_come_out_one_by_one_in_order() {
        let (mut queue, events) = queue();
        let mut want = Vec::new();
        for n in 0..3 * MESSAGES_PER_PLACE {
            let channel = if n % 300 < 200 { Channel::Reliable } else { Channel::Stream };
            let event = data(channel, n % 7);
            want.push(event.clone());
            assert_eq!(queue.push(event), Ok(()));
        }
        let writable = Event::Writable { link: LinkId(7) };
        assert_eq!(queue.push(writable.clone()), Ok(()));
        want.push(writable);
        assert!(events.receiver.len() < 12, "{} places", events.receiver.len());
        for event in want {
            assert_eq!(smol::block_on(events.next()), Some(event));
        }
        assert_eq!(queue.shared.bytes.load(Relaxed), 0);
    }

    #[test]
    fn small_data_leaves_room_for_the_news_of_the_end() {
        let (mut queue, events) = queue();
        for _ in 0..EVENT_QUEUE - RESERVED {
            assert_eq!(push_alone(&mut queue, data(Channel::Reliable, 1)), Ok(()));
        }
        assert_eq!(events.dropped(), 0);
        assert_eq!(push_alone(&mut queue, data(Channel::Reliable, 1)), Err(TooSlow(LinkId(7))));
        let end = || Event::Writable { link: LinkId(7) };
        for _ in 0..RESERVED {
            assert_eq!(queue.push(end()), Ok(()));
        }
        assert_eq!(events.dropped(), 0);
        assert_eq!(queue.push(end()), Ok(()));
        assert_eq!(events.dropped(), 1);
    }

    #[test]
    fn the_streams_of_one_link_do_not_close_another_one() {
        for (len, count) in [(1, STREAM_PLACES), (STREAM_BYTES / 16 - MESSAGE_OVERHEAD, 16)] {
            let (mut queue, events) = queue();
            for _ in 0..count + 10 {
                assert_eq!(push_alone(&mut queue, data(Channel::Stream, len)), Ok(()));
            }
            assert_eq!(events.dropped(), 10);
            let other =
                Event::Data { link: LinkId(8), channel: Channel::Reliable, bytes: Bytes::from_static(b"x") };
            for _ in 0..EVENT_QUEUE - RESERVED - STREAM_PLACES {
                assert_eq!(push_alone(&mut queue, other.clone()), Ok(()));
            }
        }
    }

    #[test]
    fn a_quarter_of_the_places_or_bytes_is_the_applications_turn() {
        let len = EVENT_QUEUE_BYTES / 16 - MESSAGE_OVERHEAD;
        for (count, len) in [(EVENT_QUEUE / 4, 1), (4, len)] {
            let (mut queue, events) = queue();
            for _ in 0..count {
                assert!(!queue.is_filling());
                assert_eq!(push_alone(&mut queue, data(Channel::Reliable, len)), Ok(()));
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
