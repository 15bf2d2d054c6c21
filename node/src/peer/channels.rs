//! The two data channels of a link: what waits to be sent.
//!
//! Owns: the queues and their overflow policy. Does not own: the `Rtc`, what the messages say.

use bytes::Bytes;
use str0m::channel::ChannelId;

use super::coalescing::{self, PACKET_BYTES};
use crate::event::Channel;
use crate::limits::{
    RELIABLE_QUEUE_BYTES, RELIABLE_QUEUE_MESSAGES, STREAM_QUEUE_BYTES, STREAM_QUEUE_MESSAGES,
};
use crate::queue::{DropOldest, Full, RejectNewest};
use crate::status::Traffic;

/// Small reliable messages share frames up to this size: what every peer takes in one piece.
const RELIABLE_BUNDLE_BYTES: usize = 16 * 1024;

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
    /// One of the frames by which two nodes agree on what has arrived: an application's would confuse them.
    #[error("this frame is one of the nodes' own")]
    Reserved,
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

    /// What waits to be written.
    pub(super) fn waiting(&self, channel: Channel) -> Traffic {
        match channel {
            Channel::Reliable => self.reliable_queue.waiting(),
            Channel::Stream => self.stream_queue.waiting(),
        }
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

    /// Drops the reliable messages that wait, but for those that `keep` wants; the oldest of these if they fill the queue.
    pub(super) fn keep_reliable(&mut self, keep: impl Fn(&[u8]) -> bool) {
        let mut waiting = std::mem::take(&mut self.reliable_queue);
        while let Some(message) = waiting.pop().filter(|_| !self.reliable_queue.is_full_but_one()) {
            if keep(&message)
                && let Err(Full(message)) = self.reliable_queue.push(message)
            {
                log::debug!("a control frame of {} bytes dropped", message.len());
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

    /// What of [`Self::next`]'s channel may travel together with it, and how many messages that is.
    pub(super) fn bundle(&self, channel: Channel, max: usize) -> Option<(Bytes, usize)> {
        match channel {
            Channel::Reliable => {
                coalescing::bundle(self.reliable_queue.iter(), max.min(RELIABLE_BUNDLE_BYTES))
            }
            // A frame fits one packet: what is lost is lost together.
            Channel::Stream => coalescing::bundle(self.stream_queue.iter(), max.min(PACKET_BYTES)),
        }
    }

    /// `count` messages, the first of them that of [`Self::next`], were written. Says whether somebody who waits for room may try
    /// again.
    pub(super) fn written(&mut self, channel: Channel, count: usize) -> bool {
        self.stream_first = channel == Channel::Reliable;
        match channel {
            Channel::Reliable => {
                for _ in 0..count {
                    self.reliable_queue.pop();
                }
                let room = self.reliable_queue.bytes() <= RELIABLE_QUEUE_BYTES / 2;
                room && std::mem::take(&mut self.awaited)
            }
            Channel::Stream => {
                for _ in 0..count {
                    self.stream_queue.pop();
                }
                false
            }
        }
    }
}
