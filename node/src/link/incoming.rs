//! What the other node sends, on either way.

use std::time::Instant;

use bytes::Bytes;
use log::trace;

use super::delivery::Verdict;
use super::{Link, State};
use crate::event::{Channel, DisconnectReason, Event, FailReason};
use crate::peer::control::{self, Control};
use crate::relayed::Relayed;

impl Link {
    /// Takes what came through the router from the session `from`. It may be another one than before: nobody but the two nodes and
    /// the router knows the link's correlation id.
    pub(crate) fn handle_relay(&mut self, now: Instant, from: &str, frame: Relayed) {
        self.dirty = true;
        if matches!(self.state, State::Ended) {
            return;
        }
        self.follow(from);
        if !self.routing.relays() && !frame.routing.connects() {
            let why = || "the peer relays only, and this node does not".to_owned();
            let (open, never) = (DisconnectReason::Remote(Some(why())), FailReason::Declined(why()));
            return self.end_here(now, open, never, "this node relays nothing");
        }
        if self.attempt.as_ref().is_some_and(|attempt| attempt.generation <= frame.gone) {
            self.on_gone_there(now);
        }
        self.note_relayed(now, frame.routing);
        self.on_arrived(now, frame.received);
        self.answer_due |= frame.reply || !frame.messages.is_empty();
        if !self.routing.relays() {
            return; // it was told so
        }
        self.count_relayed_here(&frame.messages, &frame.streams);
        for (message, number) in frame.messages.into_iter().zip(frame.first..) {
            if !self.take_numbered(now, number, message) {
                break;
            }
        }
        for message in frame.streams {
            self.on_relayed_stream(now, message);
        }
    }

    fn on_relayed_stream(&mut self, now: Instant, message: Bytes) {
        let link = self.number;
        match control::read(&message, now, self.began) {
            Some(Control::Reply(frame)) => {
                if let State::Detour(detour) = &mut self.state {
                    self.streams_dropped += detour.relay.streams.push(frame);
                }
            }
            Some(Control::Pong { token, rtt }) => {
                self.event(Event::Pong { link, channel: Channel::Stream, token, rtt });
            }
            Some(_) => {}
            None => self.event(Event::Data { link, channel: Channel::Stream, bytes: message }),
        }
    }

    /// A message came on a data channel.
    pub(super) fn on_data(&mut self, now: Instant, channel: Channel, bytes: Bytes) {
        let Some(attempt) = &mut self.attempt else { return };
        if !attempt.peer.is_edge() || channel == Channel::Stream {
            return self.event(Event::Data { link: self.number, channel, bytes });
        }
        let number = attempt.next_in;
        attempt.next_in += 1;
        if !self.take_numbered(now, number, bytes) {
            self.violation(now, &format!("message {number} came before those before it"));
        }
        self.confirm_if_due(now);
    }

    /// Says whether those before it had come.
    pub(super) fn take_numbered(&mut self, now: Instant, number: u64, message: Bytes) -> bool {
        match self.incoming.take(now, number, message.len()) {
            Verdict::Deliver => {
                self.event(Event::Data { link: self.number, channel: Channel::Reliable, bytes: message });
                true
            }
            Verdict::Known => {
                trace!(link:% = self.number, number; "came twice");
                true
            }
            Verdict::Early => false,
        }
    }

    /// The next message of the channel has this number: the other node begins again behind what it knows to have arrived.
    pub(super) fn on_next(&mut self, now: Instant, number: u64) {
        if number > self.incoming.arrived() + 1 {
            return self.violation(now, &format!("it goes on with message {number}"));
        }
        if let Some(attempt) = &mut self.attempt {
            attempt.next_in = number;
        }
    }

    /// All our messages up to this one have arrived.
    pub(super) fn on_arrived(&mut self, now: Instant, number: u64) {
        match self.outgoing.arrived(number) {
            Ok(false) => {}
            Ok(true) => {
                if let State::Detour(detour) = &mut self.state {
                    detour.relay.progress(now, &self.outgoing);
                }
                self.feed(now);
            }
            Err(_) => self.violation(now, &format!("it has message {number}, which was never sent")),
        }
    }

    /// Goes on with what waits for the direct way, and tells who waits for room.
    pub(super) fn feed(&mut self, now: Instant) {
        if let (State::Direct, Some(attempt), false) =
            (&self.state, &mut self.attempt, self.overtaking.is_held_up())
        {
            let mut refused = None;
            while let Some(message) = self.outgoing.next() {
                match attempt.peer.send(Channel::Reliable, message.clone()) {
                    Ok(()) => {
                        self.outgoing.give();
                        self.overtaking.given(now, self.outgoing.next_number() - 1);
                    }
                    Err(crate::peer::SendError::TooLarge { len, max }) => {
                        refused = Some(format!("it takes {max} bytes now, and a message has {len}"));
                        break;
                    }
                    Err(_) => break, // full: `Writable` follows
                }
            }
            if let Some(why) = refused {
                return self.violation(now, &why);
            }
        }
        self.wake_writer();
    }

    pub(super) fn wake_writer(&mut self) {
        let waits = matches!(self.state, State::Direct)
            && self.outgoing.next().is_some()
            && !self.overtaking.is_held_up();
        let has_room = match &self.state {
            State::First | State::Ended => true,
            State::Direct => self.outgoing.is_half_empty() && !waits,
            State::Detour(_) => self.outgoing.is_half_empty(),
        };
        if self.awaited && has_room {
            self.awaited = false;
            self.event(Event::Writable { link: self.number });
        }
    }

    pub(super) fn violation(&mut self, now: Instant, what: &str) {
        let reason = || what.to_owned();
        self.end_here(now, DisconnectReason::Violation(reason()), FailReason::Violation(reason()), what);
    }
}
