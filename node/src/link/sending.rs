//! What the application sends.

use std::time::Instant;

use bytes::Bytes;

use super::{Link, State};
use crate::event::Channel;
use crate::limits::MAX_RELAYED_MESSAGE_BYTES;
use crate::peer::{SendError, control};

impl Link {
    /// Queues a message.
    ///
    /// # Errors
    /// As [`Peer::send`](crate::peer::Peer::send); [`SendError::Full`] is followed by [`Event::Writable`](crate::event::Event::Writable).
    pub(crate) fn send(&mut self, now: Instant, channel: Channel, message: Bytes) -> Result<(), SendError> {
        self.dirty = true;
        let direct = match &mut self.state {
            State::First if self.attempt.as_ref().is_some_and(|attempt| attempt.peer.is_edge()) => {
                return Err(SendError::NotOpen);
            }
            State::First | State::Direct => self.attempt.as_mut().map(|attempt| &mut attempt.peer),
            State::Detour(_) if self.usable => None,
            State::Detour(_) | State::Ended => return Err(SendError::NotOpen),
        };
        let edge = direct.as_ref().is_none_or(|peer| peer.is_edge());
        control::check(&message, edge)?;
        // Unnumbered: what a stock peer gets, what may be lost, and what the other node's own machinery answers.
        let numbered = edge && channel == Channel::Reliable && !control::is_control(&message);
        if let Some(peer) = direct.filter(|_| !numbered) {
            return peer.send(channel, message);
        }
        if message.is_empty() {
            return Err(SendError::Empty);
        }
        if message.len() > MAX_RELAYED_MESSAGE_BYTES {
            return Err(SendError::TooLarge { len: message.len(), max: MAX_RELAYED_MESSAGE_BYTES });
        }
        match &mut self.state {
            State::Detour(detour) if !numbered => {
                self.streams_dropped += detour.relay.streams.push(message);
                Ok(())
            }
            _ => self.send_numbered(now, message),
        }
    }

    fn send_numbered(&mut self, now: Instant, message: Bytes) -> Result<(), SendError> {
        if !self.outgoing.has_room() {
            self.awaited = true;
            return Err(SendError::Full(message));
        }
        let held_up = self.overtaking.is_held_up();
        if let (State::First | State::Direct, Some(attempt), false) =
            (&self.state, &mut self.attempt, held_up)
        {
            if self.outgoing.next().is_some() {
                self.awaited = true;
                return Err(SendError::Full(message)); // behind what still waits for the connection
            }
            let sent = attempt.peer.send(Channel::Reliable, message.clone());
            self.awaited |= matches!(sent, Err(SendError::Full(_)));
            sent?;
            self.outgoing.keep(message);
            self.outgoing.give();
            self.overtaking.given(now, self.outgoing.next_number() - 1);
        } else {
            self.outgoing.keep(message);
        }
        Ok(())
    }
}
