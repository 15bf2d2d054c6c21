//! What waits to be sent to one client: bounded in frames and bytes, with the policy for when it is full.
//!
//! Owns: the queue and its bounds. Does not own: the decision what happens to a client that is too slow; a full outbox
//! hands the frame back.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::limits::{
    LOCAL_OUTBOX_FRAMES, OUTBOX_BYTES, OUTBOX_FRAMES, OUTBOX_HIGH_WATER_BYTES, OUTBOX_HIGH_WATER_FRAMES,
    OUTBOX_IDLE_FRAMES,
};

/// How a frame may be treated when there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// A sample of a stream: the oldest one gives way, stale is worse than lost.
    Stream,
    /// Somebody relies on it.
    Reliable,
}

/// There is no room, not even after dropping every stream frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full(pub(crate) Bytes);

/// How many older (or this) stream frames were dropped.
#[must_use = "a dropped frame must be counted"]
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Dropped(pub(crate) u64);

/// See the module.
#[derive(Debug)]
pub(crate) struct Outbox {
    frames: VecDeque<(Bytes, Class)>,
    bytes: usize,
    streams: usize,
    max_frames: usize,
    /// What the driver was told since the outbox was last empty.
    told: Told,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Nothing,
    Waiting,
    Urgent,
}

impl Outbox {
    pub(crate) fn new(in_process: bool) -> Self {
        let max_frames = if in_process { LOCAL_OUTBOX_FRAMES } else { OUTBOX_FRAMES };
        Self { frames: VecDeque::new(), bytes: 0, streams: 0, max_frames, told: Told::Nothing }
    }

    /// Queues `frame`, dropping old stream frames as needed.
    pub(crate) fn push(&mut self, frame: Bytes, class: Class) -> Result<Dropped, Full> {
        let mut dropped = 0;
        while !self.has_room(frame.len()) {
            if !self.drop_oldest_stream() {
                return if class == Class::Stream { Ok(Dropped(dropped + 1)) } else { Err(Full(frame)) };
            }
            dropped += 1;
        }
        self.bytes += frame.len();
        self.streams += usize::from(class == Class::Stream);
        self.frames.push_back((frame, class));
        Ok(Dropped(dropped))
    }

    /// The oldest frame, if it has at most `max_bytes`.
    pub(crate) fn pop(&mut self, max_bytes: usize) -> Option<Bytes> {
        if self.frames.front()?.0.len() > max_bytes {
            return None;
        }
        let (frame, class) = self.frames.pop_front()?;
        self.bytes -= frame.len();
        self.streams -= usize::from(class == Class::Stream);
        if self.frames.is_empty() {
            self.told = Told::Nothing;
            if self.frames.capacity() > OUTBOX_IDLE_FRAMES {
                self.frames = VecDeque::new();
            }
        }
        Some(frame)
    }

    /// Whether the driver has to be told something new, and whether it is urgent. Asking is telling.
    pub(crate) fn tell(&mut self) -> Option<bool> {
        let urgent = self.frames.len() >= OUTBOX_HIGH_WATER_FRAMES || self.bytes >= OUTBOX_HIGH_WATER_BYTES;
        let news = match self.frames.len() {
            0 => return None,
            _ if urgent => Told::Urgent,
            _ => Told::Waiting,
        };
        (news > self.told).then(|| {
            self.told = news;
            urgent
        })
    }

    /// Throws everything away.
    pub(crate) fn clear(&mut self) {
        *self = Self { max_frames: self.max_frames, ..Self::new(false) };
    }

    /// Gives unused memory back.
    pub(crate) fn shrink(&mut self) {
        if self.frames.is_empty() {
            self.frames = VecDeque::new();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    fn has_room(&self, len: usize) -> bool {
        self.frames.len() < self.max_frames && self.bytes + len <= OUTBOX_BYTES
    }

    fn drop_oldest_stream(&mut self) -> bool {
        if self.streams == 0 {
            return false;
        }
        let oldest = self.frames.iter().position(|(_, class)| *class == Class::Stream);
        let Some((frame, _)) = oldest.and_then(|at| self.frames.remove(at)) else { return false };
        self.bytes -= frame.len();
        self.streams -= 1;
        true
    }
}

#[cfg(test)]
mod tests;
