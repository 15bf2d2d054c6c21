//! The two data channels of a link: what waits to be sent, and the frames the node itself answers.
//!
//! Owns: the queues and their overflow policy, liveness and ping frames. Does not own: the `Rtc`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use clasp_wire::message::{Body, Publish, Sync};
use clasp_wire::p2p::{ANNOUNCE_ADDRESS, FeatureList, PeerAnnounce};
use clasp_wire::{Message, QoS};
use str0m::channel::ChannelId;

use crate::event::Channel;
use crate::limits::{
    MAX_SESSION_ID_BYTES, RELIABLE_QUEUE_BYTES, RELIABLE_QUEUE_MESSAGES, STREAM_QUEUE_BYTES,
    STREAM_QUEUE_MESSAGES,
};
use crate::queue::{DropOldest, Full, RejectNewest};

/// The answer to a liveness or ping frame never exceeds this (SYNC with three times is 30 bytes).
const CONTROL_FRAME_BYTES: usize = 32;

/// An announce with the longest session id and no features is shorter.
const MAX_SESSION_NOTICE_BYTES: usize = 256;

/// A message that was not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// There is no such link, or it is not open (any more).
    #[error("the link is not open")]
    NotOpen,
    /// A stock Rust peer takes a message of no bytes for the end of the channel.
    #[error("an empty message would make a stock peer deaf")]
    Empty,
    /// Larger than the peer accepts.
    #[error("message of {len} bytes, the peer accepts at most {max}")]
    TooLarge {
        /// Its size.
        len: usize,
        /// The limit: the peer's `a=max-message-size`, at most 65 535.
        max: usize,
    },
    /// The reliable queue is full. `Writable` tells when it has room; the message is given back.
    #[error("the send queue is full")]
    Full(Bytes),
    /// The peer is not a clasp-edge node and would not answer.
    #[error("only clasp-edge nodes answer pings")]
    Unsupported,
}

#[derive(Debug)]
pub(super) struct Channels {
    reliable: Option<ChannelId>,
    stream: Option<ChannelId>,
    opened: usize,
    reliable_queue: RejectNewest<RELIABLE_QUEUE_MESSAGES, RELIABLE_QUEUE_BYTES>,
    stream_queue: DropOldest<STREAM_QUEUE_MESSAGES, STREAM_QUEUE_BYTES>,
    /// Somebody was told `Full` and waits for `Writable`.
    awaited: bool,
    /// Whose turn it is when both queues have something.
    stream_first: bool,
    pub(super) streams_dropped: u64,
}

impl Channels {
    pub(super) fn new() -> Self {
        Self {
            reliable: None,
            stream: None,
            opened: 0,
            reliable_queue: RejectNewest::new(),
            stream_queue: DropOldest::new(),
            awaited: false,
            stream_first: false,
            streams_dropped: 0,
        }
    }

    /// Notes an open channel and says which of ours it is, if any.
    pub(super) fn opened(&mut self, id: ChannelId, label: &str) -> Option<Channel> {
        self.opened += 1;
        if label == Channel::Reliable.label() && self.reliable.is_none() {
            self.reliable = Some(id);
            Some(Channel::Reliable)
        } else if label == Channel::Stream.label() && self.stream.is_none() {
            self.stream = Some(id);
            Some(Channel::Stream)
        } else {
            None
        }
    }

    pub(super) fn opened_count(&self) -> usize {
        self.opened
    }

    pub(super) fn id(&self, channel: Channel) -> Option<ChannelId> {
        match channel {
            Channel::Reliable => self.reliable,
            Channel::Stream => self.stream,
        }
    }

    pub(super) fn is_open(&self, channel: Channel) -> bool {
        self.id(channel).is_some()
    }

    /// Forgets a channel that closed, and says which of ours it was.
    pub(super) fn closed(&mut self, id: ChannelId) -> Option<Channel> {
        if self.reliable == Some(id) {
            self.reliable = None;
            Some(Channel::Reliable)
        } else if self.stream == Some(id) {
            self.stream = None;
            Some(Channel::Stream)
        } else {
            None
        }
    }

    /// Which channel data came on. Unknown labels count as unreliable, as stock peers count them.
    pub(super) fn of(&self, id: ChannelId) -> Channel {
        if self.reliable == Some(id) { Channel::Reliable } else { Channel::Stream }
    }

    /// Whether nothing waits to be written.
    pub(super) fn is_idle(&self) -> bool {
        self.reliable_queue.is_empty() && self.stream_queue.is_empty()
    }

    pub(super) fn push(&mut self, channel: Channel, message: Bytes) -> Result<(), SendError> {
        match channel {
            Channel::Reliable => self.reliable_queue.push(message).map_err(|Full(message)| {
                self.awaited = true;
                SendError::Full(message)
            }),
            Channel::Stream => {
                self.streams_dropped += self.stream_queue.push(message);
                Ok(())
            }
        }
    }

    /// The next message to write and its channel: the queues take turns, so that bulk data cannot starve streams.
    pub(super) fn next(&self) -> Option<(ChannelId, Channel, &Bytes)> {
        let reliable = self.reliable.filter(|_| !self.reliable_queue.is_empty());
        let stream = self.stream.filter(|_| !self.stream_queue.is_empty());
        let channel = match (reliable, stream) {
            (Some(_), Some(_)) if self.stream_first => Channel::Stream,
            (Some(_), _) => Channel::Reliable,
            (None, Some(_)) => Channel::Stream,
            (None, None) => return None,
        };
        match channel {
            Channel::Reliable => Some((reliable?, channel, self.reliable_queue.front()?)),
            Channel::Stream => Some((stream?, channel, self.stream_queue.front()?)),
        }
    }

    /// The message of [`Self::next`] was written. Says whether somebody who waits for room may try again.
    pub(super) fn written(&mut self, channel: Channel) -> bool {
        self.stream_first = channel == Channel::Reliable;
        match channel {
            Channel::Reliable => {
                self.reliable_queue.pop();
                let room = self.reliable_queue.bytes() <= RELIABLE_QUEUE_BYTES / 2;
                room && std::mem::take(&mut self.awaited)
            }
            Channel::Stream => {
                self.stream_queue.pop();
                false
            }
        }
    }
}

/// A frame between two nodes that the node answers or consumes itself.
pub(super) enum Control {
    /// Send this back on the same channel.
    Reply(Bytes),
    /// A ping came back.
    Pong { token: u64, rtt: Duration },
    /// A PONG: proof of life, nothing to do.
    Alive,
    /// The peer has this session from now on.
    Session(String),
}

/// Recognises PING, PONG and SYNC. `epoch` is the zero of our time stamps.
pub(super) fn control(bytes: &[u8], now: Instant, epoch: Instant) -> Option<Control> {
    if bytes.len() > CONTROL_FRAME_BYTES {
        return read_session_notice(bytes);
    }
    match Message::decode_compact(bytes).ok()?.1 {
        Message::Ping => Some(Control::Reply(encode(&Message::Pong))),
        Message::Pong => Some(Control::Alive),
        Message::Sync(Sync { t1_us, t2_us: None, t3_us: None }) => {
            let at = Some(micros(now, epoch));
            Some(Control::Reply(encode(&Message::Sync(Sync { t1_us, t2_us: at, t3_us: at }))))
        }
        Message::Sync(Sync { t1_us, .. }) => {
            let rtt = micros(now, epoch).checked_sub(t1_us)?;
            Some(Control::Pong { token: t1_us, rtt: Duration::from_micros(rtt) })
        }
        _ => None,
    }
}

/// Where the address of a PUBLISH begins: frame header, type, flags, length of the address (reference §2, §4.3).
const PUBLISH_ADDRESS_AT: usize = 8;

/// The announce a node would send to a router, sent to a peer over the link.
pub(super) fn session_notice(session: &str) -> Bytes {
    let announce =
        PeerAnnounce { session_id: session, p2p_capable: true, features: FeatureList::new(&[]), name: None };
    let mut frame = Vec::new();
    announce.encode_publish(&mut frame).expect("a session id of our router fits a frame");
    frame.into()
}

fn read_session_notice(bytes: &[u8]) -> Option<Control> {
    // Looked at before it is decoded, as this is asked of every message.
    let is_announce = |address: &[u8]| address.starts_with(ANNOUNCE_ADDRESS.as_bytes());
    if bytes.len() > MAX_SESSION_NOTICE_BYTES || !bytes.get(PUBLISH_ADDRESS_AT..).is_some_and(is_announce) {
        return None;
    }
    let Message::Publish(Publish { address: ANNOUNCE_ADDRESS, body: Body::Value(value), .. }) =
        Message::decode_compact(bytes).ok()?.1
    else {
        return None;
    };
    let session = PeerAnnounce::from_value(value).ok()?.session_id;
    let fits = (1..=MAX_SESSION_ID_BYTES).contains(&session.len()) && !session.contains(['/', '*']);
    (fits && !session.chars().any(char::is_control)).then(|| Control::Session(session.to_owned()))
}

/// A ping: SYNC with our time, which is also the ping's token.
pub(super) fn ping(now: Instant, epoch: Instant) -> (u64, Bytes) {
    let t1_us = micros(now, epoch);
    (t1_us, encode(&Message::Sync(Sync { t1_us, t2_us: None, t3_us: None })))
}

/// Asks for a sign of life.
pub(super) fn keep_alive() -> Bytes {
    encode(&Message::Ping)
}

/// Says nothing: a sign of life that asks for none.
pub(super) fn tail_probe() -> Bytes {
    encode(&Message::Pong)
}

fn micros(now: Instant, epoch: Instant) -> u64 {
    u64::try_from(now.saturating_duration_since(epoch).as_micros()).unwrap_or(u64::MAX)
}

fn encode(message: &Message<'_>) -> Bytes {
    let mut frame = Vec::with_capacity(CONTROL_FRAME_BYTES);
    message.encode_with_qos(QoS::Fire, &mut frame).expect("control frames are a few bytes");
    frame.into()
}
