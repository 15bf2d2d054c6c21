//! What travels on an open link: messages out of its queues, messages in, and the pings between nodes.

use std::iter::Peekable;
use std::time::Instant;

use bytes::Bytes;
use log::{debug, trace};
use str0m::Rtc;
use str0m::channel::ChannelId;

use super::control::{self, Control};
use super::liveness::Verdict;
use super::resending::{self, Resending};
use super::{Peer, PeerOutput, Progress, SendError, State, coalescing};
use crate::event::Channel;
use crate::limits::PING_INTERVAL;

/// On a short path, with so much on its way no more is written: it is enough for 48 MB/s at the longest of these, and the SCTP below
/// walks everything on its way for each packet.
const SHORT_PATH_BYTES: usize = 48 * 1024;

/// Bytes of a channel on their way.
fn in_flight(rtc: &mut Rtc, id: ChannelId) -> usize {
    rtc.channel(id).map_or(0, |mut channel| channel.buffered_amount())
}

impl Peer {
    /// Queues a message.
    ///
    /// # Errors
    /// [`SendError::Full`] gives the message back and is followed by [`PeerOutput::Writable`]; the others are final.
    pub fn send(&mut self, channel: Channel, message: Bytes) -> Result<(), SendError> {
        if !self.state.is_open() || !self.channels.is_open(channel) {
            return Err(SendError::NotOpen);
        }
        if message.is_empty() {
            return Err(SendError::Empty);
        }
        if message.len() > self.max_message {
            return Err(SendError::TooLarge { len: message.len(), max: self.max_message });
        }
        self.channels.push(channel, message)
    }

    /// Asks the other node for a sign of life on `channel`; [`PeerOutput::Pong`] carries the returned token.
    ///
    /// # Errors
    /// [`SendError::Unsupported`] towards stock peers, and as [`Self::send`].
    pub fn ping(&mut self, now: Instant, channel: Channel) -> Result<u64, SendError> {
        if !self.edge {
            return Err(SendError::Unsupported);
        }
        let (token, frame) = control::ping(now, self.epoch);
        self.send(channel, frame).map(|()| token)
    }

    pub(super) fn on_data(&mut self, now: Instant, data: str0m::channel::ChannelData) {
        let channel = self.channels.of(data.id);
        self.tally.received(channel, data.data.len());
        if self.edge && channel == Channel::Stream && coalescing::is_bundle(&data.data) {
            let frame = Bytes::from(data.data);
            return match resending::read(&frame) {
                Some(Resending::Resent { first, messages }) => {
                    self.out.push_back(PeerOutput::Overtaking { first, messages });
                }
                Some(Resending::Question(number)) => self.out.push_back(PeerOutput::Asked(number)),
                Some(Resending::Progress(progress)) => self.out.push_back(PeerOutput::Progress(progress)),
                None => self.on_frame(now, channel, frame),
            };
        }
        self.on_frame(now, channel, data.data.into());
    }

    fn on_frame(&mut self, now: Instant, channel: Channel, frame: Bytes) {
        match self.edge.then(|| coalescing::unbundle(&frame)).flatten() {
            Some(messages) => messages.into_iter().for_each(|message| self.on_message(now, channel, message)),
            None => self.on_message(now, channel, frame),
        }
    }

    fn on_message(&mut self, now: Instant, channel: Channel, message: Bytes) {
        if self.edge
            && let Some(control) = control::read(&message, now, self.epoch)
        {
            let output = match control {
                Control::Reply(frame) => {
                    if let Err(error) = self.channels.push(channel, frame) {
                        trace!(error:% = error; "no room for a pong");
                    }
                    return;
                }
                Control::Alive => return,
                Control::Pong { token, rtt } => PeerOutput::Pong(channel, token, rtt),
                Control::Session(id) => PeerOutput::SessionIs(id),
                Control::Arrived(number) => PeerOutput::Arrived(number),
                Control::Next(number) => PeerOutput::NextIs(number),
            };
            return self.out.push_back(output);
        }
        if self.channels.is_open(Channel::Reliable) {
            self.open(now); // a peer that talks will not open another channel first
        }
        self.out.push_back(PeerOutput::Data(channel, message));
    }

    /// Writes one queued message, or several small ones together, if str0m takes it. Says whether anything happened.
    pub(super) fn write_one(&mut self, now: Instant) -> bool {
        if !self.state.is_open() && !matches!(self.state, State::Checking { .. }) {
            return false;
        }
        if self.write_confirmation() {
            return true;
        }
        let Some((id, channel, message)) = self.channels.next() else { return false };
        if channel == Channel::Reliable
            && self.tally.checks.is_short()
            && in_flight(&mut self.rtc, id) >= SHORT_PATH_BYTES
        {
            return false; // acknowledgements free it
        }
        let Some(mut handle) = self.rtc.channel(id) else { return false };
        let bundle = if self.edge { self.channels.bundle(channel, self.max_message) } else { None };
        let (frame, count) = bundle.as_ref().map_or((message, 1), |(frame, count)| (frame, *count));
        match handle.write(true, frame) {
            Ok(true) => {
                let len = frame.len();
                if self.channels.written(channel, count) {
                    self.out.push_back(PeerOutput::Writable);
                }
                self.tally.sent(channel, len);
                if channel == Channel::Reliable {
                    self.written += len as u64;
                    self.watch_tail(now);
                }
                true
            }
            Ok(false) => false, // all of the budget is in flight; acknowledgements free it
            Err(error) => {
                self.fail_transport(now, &error.to_string());
                true
            }
        }
    }

    /// Tells the other node, in front of what waits, that all numbered messages up to `number` have arrived.
    pub fn confirm(&mut self, number: u64) {
        self.confirmation = Some(number);
    }

    /// Tells the other node that the next numbered message on this connection is `number`. Those that wait to be written are
    /// dropped: the caller sends them again, from there on.
    ///
    /// # Errors
    /// As [`Self::send`], but there is room.
    pub fn begin_at(&mut self, number: u64) -> Result<(), SendError> {
        self.channels.keep_reliable(control::is_control);
        self.send(Channel::Reliable, control::next(number))
    }

    /// Sends numbered messages again, as many as go into one packet on the unreliable channel; says how many they are, and how many bytes.
    ///
    /// Something tiny goes before them. When SCTP's timer has expired, its window is one packet: nothing else may fit behind what is
    /// in flight, and as long as that is one packet alone its acknowledgement is delayed by 200 ms. `fill`: that may be so, and the
    /// frame shall fill its packet, or SCTP puts the tiny one into the same.
    pub(crate) fn overtake<'a>(
        &mut self,
        first: u64,
        messages: &mut Peekable<impl Iterator<Item = &'a Bytes>>,
        fill: bool,
    ) -> (u64, usize) {
        let Some((frame, count)) = resending::resent(first, messages, fill) else { return (0, 0) };
        let len = frame.len();
        self.push_stream(Some(control::tail_probe()));
        self.push_stream(Some(frame));
        (count.into(), len)
    }

    /// Whether a message fits what [`Self::overtake`] sends.
    pub(crate) fn fits_past(message: &Bytes) -> bool {
        resending::fits(message)
    }

    /// Asks the other node how far it is, behind what overtakes.
    pub(crate) fn ask_progress(&mut self, number: u64) {
        self.push_stream(resending::question(number));
    }

    /// Answers how far we are with what the other node sends.
    pub(crate) fn tell_progress(&mut self, progress: Progress) {
        self.push_stream(resending::progress(progress));
    }

    /// Until then every packet of the channels is sent again a little later, as `copies` says.
    pub(crate) fn repeat_packets(&mut self, until: Instant) {
        self.copies.make(until);
    }

    fn push_stream(&mut self, frame: Option<Bytes>) {
        if let Some(frame) = frame.filter(|_| self.channels.is_open(Channel::Stream))
            && let Err(error) = self.channels.push(Channel::Stream, frame)
        {
            trace!(error:% = error; "no room on the unreliable channel");
        }
    }

    /// Whether the peer has acknowledged everything that was sent on the reliable channel.
    pub(crate) fn is_acknowledged(&mut self) -> bool {
        self.channels.waiting(Channel::Reliable).messages == 0 && self.in_flight() == 0
    }

    fn write_confirmation(&mut self) -> bool {
        let Some(number) = self.confirmation.filter(|_| self.state.is_open()) else { return false };
        let frame = control::arrived(number);
        let channel = self.channels.id(Channel::Reliable).and_then(|id| self.rtc.channel(id));
        // Refused: all of the budget is in flight. It is tried again when acknowledgements have freed some.
        let Some(Ok(true)) = channel.map(|mut channel| channel.write(true, &frame)) else { return false };
        self.written += frame.len() as u64;
        self.confirmation = None;
        true
    }

    /// Asks for a sign of life, on both channels: one is repeated when it is lost, the other does not wait behind bulk data.
    pub(super) fn ask(&mut self) {
        for channel in [Channel::Reliable, Channel::Stream] {
            if self.channels.is_open(channel)
                && let Err(error) = self.channels.push(channel, control::keep_alive())
            {
                trace!(error:% = error; "no room for a ping"); // then there is data whose acknowledgements tell as much
            }
        }
    }

    /// The end of a burst is watched until it is acknowledged. A stock application would be told of the probes.
    pub(super) fn watch_tail(&mut self, now: Instant) {
        if self.edge && self.channels.is_open(Channel::Stream) && self.channels.is_idle() {
            let in_flight = self.in_flight();
            self.tail.written(now, in_flight);
        }
    }

    pub(super) fn probe_tail(&mut self, now: Instant) {
        if !self.channels.is_idle() {
            self.tail.disarm(); // the last of what waits is watched when it is written
        } else if self.tail.take_due(now)
            && let Err(error) = self.channels.push(Channel::Stream, control::tail_probe())
        {
            trace!(error:% = error; "no tail probe");
        }
    }

    /// Bytes handed to the reliable channel that the peer has not acknowledged. (What is abandoned on the other one stops
    /// counting without anybody's word.)
    pub(super) fn in_flight(&mut self) -> usize {
        self.channels.id(Channel::Reliable).map_or(0, |id| in_flight(&mut self.rtc, id))
    }

    /// Tells the peer, over the link itself, which session its signals for us must go to from now on: after a router has come
    /// back, both sides have new ones, and without them no other path could be agreed on.
    pub fn tell_session(&mut self, session: &str) {
        if self.edge
            && self.state.is_open()
            && let Err(error) = self.channels.push(Channel::Reliable, control::session_notice(session))
        {
            debug!(error:% = error; "no room to tell our session"); // the next restart will fail, and the link with it
        }
    }

    /// What silence means for this link.
    pub(super) fn check_liveness(&mut self, now: Instant) {
        let acknowledged = self.written.saturating_sub(self.in_flight() as u64);
        match self.liveness.check(now, acknowledged) {
            Verdict::Fine => {}
            Verdict::Ask => self.ask(),
            Verdict::Stalled => {
                self.ask();
                // What is left until the link counts as dead.
                self.restart(now, PING_INTERVAL);
            }
            Verdict::Dead => self.lose(now),
        }
    }
}
