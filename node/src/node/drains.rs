//! What comes out of the sessions and links of a node.

use log::debug;

use super::roster::Noted;
use super::{Node, Output};
use crate::event::{Event, LinkId, PeerInfo, RouterId};
use crate::link::{Link, LinkOutput};
use crate::session::SessionOutput;

impl Node {
    pub(super) fn drain_session(&mut self, index: usize) {
        let Some(entry) = self.routers.get_mut(index) else { return };
        let router = RouterId(u8::try_from(index).unwrap_or(u8::MAX));
        match entry.session.poll_output() {
            SessionOutput::Idle(wake) => (entry.wake, entry.dirty) = (wake, false),
            SessionOutput::Dial => {
                let found = entry.lead.as_ref().map(|lead| Output::DialAddress(router, lead.address));
                self.out.push_back(found.unwrap_or(Output::Dial(router)));
            }
            SessionOutput::Send(frame) => self.out.push_back(Output::RouterSend(router, frame)),
            SessionOutput::Ping => self.out.push_back(Output::RouterPing(router)),
            SessionOutput::Hangup => self.out.push_back(Output::RouterHangup(router)),
            SessionOutput::Ready { session, name } => {
                let now = self.now;
                for link in self.links.values_mut().filter(|link| link.router() == router) {
                    link.handle_session(now, &session);
                }
                self.event(Event::RouterReady { router, session, name });
            }
            SessionOutput::Lost { why, retry_in } => {
                self.on_router_gone(router);
                self.event(Event::RouterLost { router, why, retry_in });
            }
            SessionOutput::Rests => self.on_router_gone(router),
            SessionOutput::Signal(signal) => self.on_signal(router, signal),
            SessionOutput::Announced { session, name, edge, instance, device, pairing, resident } => {
                let info = PeerInfo { session, name, edge, instance, device, pairing, resident, router };
                self.on_announced(info);
            }
            SessionOutput::NoSuchSession(session) => self.on_no_such_session(router, &session),
        }
    }

    /// Nobody on it can be told anything now.
    fn on_router_gone(&mut self, router: RouterId) {
        self.roster.forget_router(router);
        let now = self.now;
        for link in self.links.values_mut().filter(|link| link.router() == router) {
            link.handle_offline(now);
        }
        self.on_lead_gone(router);
    }

    fn on_announced(&mut self, info: PeerInfo) {
        let (router, now) = (info.router, self.now);
        self.look_for_links(&info);
        self.on_resident_seen(&info);
        match self.roster.note(info.clone()) {
            Noted::Same => return,
            Noted::New => {
                let peers = self.roster.iter().filter(|peer| peer.router == router).count();
                self.with_session(router, |session| session.announce_soon(now, peers));
            }
            Noted::Changed => {}
        }
        self.event(Event::PeerSeen(info));
    }

    fn on_no_such_session(&mut self, router: RouterId, session: &str) {
        self.roster.forget(router, session);
        let now = self.now;
        let of_session = |link: &&mut Link| link.router() == router && link.is_with(session);
        for link in self.links.values_mut().filter(of_session) {
            link.handle_session_ended(now, session);
        }
    }

    pub(super) fn drain_link(&mut self, id: LinkId) -> Option<Output> {
        let link = self.links.get_mut(&id)?;
        let (now, relayed) = (self.now, &mut self.relayed);
        match link.poll_output(now, &mut self.rng, &mut || relayed.take(now)) {
            LinkOutput::Idle => None,
            LinkOutput::Gone => {
                self.counters.streams_dropped += link.streams_dropped();
                let (answered, lost) = link.checks();
                self.counters.checks_answered += answered;
                self.counters.checks_lost += lost;
                self.counters.held_up += u64::from(link.held_up());
                self.links.remove(&id);
                self.forget_names();
                debug!(link:% = id; "link dropped");
                None
            }
            LinkOutput::Transmit(transmit) => self.transmit(transmit),
            LinkOutput::Signal(correlation_id, signal) => {
                self.signal_of(id, &correlation_id, signal);
                None
            }
            LinkOutput::Relay(relayed) => {
                self.relay(id, &relayed);
                None
            }
            LinkOutput::Attempt => {
                self.offer_again(id);
                None
            }
            LinkOutput::Resolve(name) => {
                self.names.ask(now, &name);
                None
            }
            LinkOutput::RoundTrip(round_trip) => {
                self.round_trips.observe(round_trip);
                None
            }
            LinkOutput::Event(event) => {
                let event = match event {
                    Event::Failed { link, peer, why } => {
                        Event::Failed { link, peer, why: self.with_server_faults(why) }
                    }
                    event => event,
                };
                match &event {
                    Event::Connected { link, .. } => self.settle_pair(*link),
                    Event::Failed { link, why, .. } => self.note_link_of_pair_failed(*link, why),
                    _ => {}
                }
                self.note_reunion(&event);
                self.remember(&event);
                match self.proof(&event) {
                    None => Some(Output::Event(event)),
                    Some(proof) => {
                        self.event(event);
                        Some(Output::Event(proof))
                    }
                }
            }
        }
    }
}
