//! What comes out of a [`Link`].

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use str0m::net::Transmit;

use super::{Link, State};
use crate::event::{DisconnectReason, Event, FailReason, LinkState, Step};
use crate::peer::{Ended, OutSignal, PeerOutput};
use crate::relayed::Relayed;

/// What a link wants done, or has to tell.
#[derive(Debug)]
#[must_use = "an output not acted on is lost"]
pub(crate) enum LinkOutput {
    /// Send this datagram.
    Transmit(Transmit),
    /// Send this signal with this correlation id.
    Signal(String, OutSignal),
    /// Send this through the router.
    Relay(Relayed),
    /// A check of the path in use was answered after this time.
    RoundTrip(Duration),
    /// Tell the application.
    Event(Event),
    /// Find the address behind this name: `Peer::handle_resolved`.
    Resolve(String),
    /// Make another attempt: [`Link::begin_attempt`], or [`Link::postpone_attempt`].
    Attempt,
    /// Nothing more to do before [`Link::wake`].
    Idle,
    /// Drop the link.
    Gone,
}

impl Link {
    /// The next thing to do. `may_send` takes a frame from what the node may send through routers.
    pub(crate) fn poll_output(
        &mut self,
        now: Instant,
        rng: &mut StdRng,
        may_send: &mut dyn FnMut() -> bool,
    ) -> LinkOutput {
        loop {
            if let Some(output) = self.out.pop_front() {
                return output;
            }
            if let Some(attempt) = &mut self.attempt {
                match attempt.peer.poll_output(now) {
                    PeerOutput::Transmit(transmit) => return LinkOutput::Transmit(transmit),
                    PeerOutput::Idle(wake) => attempt.wake = wake,
                    output => {
                        self.on_peer(now, rng, output);
                        continue;
                    }
                }
            } else if matches!(self.state, State::Ended) {
                return LinkOutput::Gone;
            }
            if let Some(relay) = self.poll_relay(now, may_send) {
                return LinkOutput::Relay(relay);
            }
            if self.take_attempt_due(now) {
                return LinkOutput::Attempt;
            }
            let state = self.state();
            self.record.note_state(now, state);
            (self.wake, self.dirty) = (self.next_wake(now), false);
            return LinkOutput::Idle;
        }
    }

    fn on_peer(&mut self, now: Instant, rng: &mut StdRng, output: PeerOutput) {
        let (link, role) = (self.number, self.role);
        let peer = || self.remote.session().to_owned();
        match output {
            PeerOutput::Signal(signal) => self.signal(signal),
            PeerOutput::Resolve(name) => self.out.push_back(LinkOutput::Resolve(name)),
            PeerOutput::SessionIs(session) => self.remote.told(session),
            PeerOutput::Data(channel, bytes) => self.on_data(now, channel, bytes),
            PeerOutput::Arrived(number) => self.on_arrived(now, number),
            PeerOutput::NextIs(number) => self.on_next(now, number),
            PeerOutput::Overtaking { first, messages } => self.on_overtaking(now, first, messages),
            PeerOutput::Asked(question) => self.tell_progress(question),
            PeerOutput::Progress(progress) => self.on_progress(now, progress),
            PeerOutput::Writable => self.feed(now),
            PeerOutput::State(state) => self.on_state(now, state),
            PeerOutput::RoundTrip(round_trip) => self.out.push_back(LinkOutput::RoundTrip(round_trip)),
            PeerOutput::Step(step) => {
                self.record.candidates_skipped += u32::from(matches!(step, Step::CandidateSkipped(_)));
                let event = Event::Step { link, peer: peer(), role, step };
                self.event(event);
            }
            PeerOutput::Connected(path) => self.on_connected(now, path),
            PeerOutput::PathChanged(path) => {
                let event = Event::PathChanged { link, peer: peer(), path };
                self.event(event);
            }
            PeerOutput::Pong(channel, token, rtt) => self.event(Event::Pong { link, channel, token, rtt }),
            PeerOutput::Lost(ended) => self.on_path_lost(now, rng, ended),
            PeerOutput::Ended(ended) => self.on_ended(now, rng, ended),
            PeerOutput::Gone => self.drop_attempt(),
            PeerOutput::Transmit(_) | PeerOutput::Idle(_) => {} // not given to this
        }
    }

    fn on_state(&mut self, now: Instant, state: LinkState) {
        self.restarting_since = (state == LinkState::Restarting).then_some(now);
        let on_detour = matches!(self.state, State::Detour(_));
        let was_in_use = self.attempt.as_ref().is_some_and(|attempt| attempt.was_in_use);
        match (on_detour, state) {
            (true, LinkState::Open) if was_in_use => self.on_path_found(now),
            // Of an attempt beside the detour, nobody needs to know before it succeeds.
            (true, _) => {}
            (false, _) => self.event(Event::State { link: self.number, state }),
        }
    }

    /// A goodbye is about the link, unless there is another way for it than this connection.
    fn signal(&mut self, signal: OutSignal) {
        let ends_attempt = matches!(self.state, State::Detour(_));
        let id = match (&signal, &self.attempt) {
            (OutSignal::Disconnected(_), _) if !ends_attempt => self.correlation_id.clone(),
            (_, Some(attempt)) => attempt.correlation_id.clone(),
            (_, None) => return,
        };
        self.out.push_back(LinkOutput::Signal(id, signal));
    }

    /// How the link ends: whether it worked before decides.
    pub(super) fn ended(&self, open: DisconnectReason, never: FailReason) -> Ended {
        if self.usable { Ended::Disconnected(open) } else { Ended::Failed(never) }
    }

    /// Ends the link for a reason of this node's, and the connection in use with it.
    pub(super) fn end_here(&mut self, now: Instant, open: DisconnectReason, never: FailReason, tell: &str) {
        let ended = self.ended(open, never);
        match (&self.state, &mut self.attempt) {
            (State::First | State::Direct, Some(attempt)) => attempt.peer.close_because(now, ended, tell),
            _ => self.end(ended, Some(tell)),
        }
    }

    /// The one way out. `tell` is what the other node is told; `None` when it knows already, or is told by the connection.
    pub(super) fn end(&mut self, ended: Ended, tell: Option<&str>) {
        if matches!(self.state, State::Ended) {
            return;
        }
        if let Some(reason) = tell {
            let signal = OutSignal::Disconnected(reason.to_owned());
            self.out.push_back(LinkOutput::Signal(self.correlation_id.clone(), signal));
        }
        let (link, peer) = (self.number, self.remote.session().to_owned());
        let on_detour = matches!(self.state, State::Detour(_));
        self.enter(State::Ended);
        if on_detour {
            self.drop_attempt(); // nothing was said on it
            self.event(Event::State { link, state: LinkState::Closed });
        }
        self.out.push_back(LinkOutput::Event(match ended {
            Ended::Failed(why) => Event::Failed { link, peer, why },
            Ended::Disconnected(why) => Event::Disconnected { link, peer, why },
        }));
    }

    fn poll_relay(&mut self, now: Instant, may_send: &mut dyn FnMut() -> bool) -> Option<Relayed> {
        let (routing, answer) = (self.routing, self.answer_due);
        let gone = self.generation - u32::from(self.attempt.is_some());
        if let State::Detour(detour) = &mut self.state {
            let load = detour.relay.poll(now, &mut self.outgoing, answer, may_send)?;
            self.answer_due = false;
            self.wake_writer();
            self.count_relayed(&load.messages, &load.streams);
            let received = self.incoming.confirm();
            let super::relay::Load { first, messages, streams, open, reply } = load;
            return Some(Relayed { routing, open, reply, gone, received, first, messages, streams });
        }
        // The other node has not noticed yet that there is a direct way, or has lost it again.
        if !answer || matches!(self.state, State::Ended) || !may_send() {
            self.answer_due &= !matches!(self.state, State::Ended);
            return None;
        }
        self.answer_due = false;
        let received = self.incoming.confirm();
        Some(Relayed { reply: false, gone, received, ..Relayed::question(routing) })
    }
}
