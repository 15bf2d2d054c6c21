//! Links without a direct path: what goes through routers for them, and the attempts to get one.

use log::{debug, warn};

use super::signals::NO_SUCH_LINK;
use super::trust::{Bond, NOT_PAIRED};
use super::{Link, Node};
use crate::config::Trust;
use crate::event::{LinkId, Role, RouterId};
use crate::identity::DeviceId;
use crate::peer::{Peer, Resume};
use crate::relayed::Relayed;

impl Node {
    /// Sends what a link has to say through its router.
    pub(super) fn relay(&mut self, id: LinkId, relayed: &Relayed) {
        let Some(link) = self.links.get(&id) else { return };
        self.counters.messages_relayed += relayed.messages.len() as u64;
        let (router, to, correlation_id) =
            (link.router(), link.remote().to_owned(), link.correlation_id().to_owned());
        let device = link.bond().map(|bond| bond.device);
        self.relay_to(router, &to, &correlation_id, device, relayed);
    }

    pub(super) fn relay_to(
        &mut self,
        router: RouterId,
        to: &str,
        correlation_id: &str,
        device: Option<DeviceId>,
        relayed: &Relayed,
    ) {
        let Some(device) = device else {
            return self.with_session(router, |session| session.relay(to, correlation_id, relayed));
        };
        match relayed.encode("", "", "") {
            Ok(message) => self.say_sealed(router, to, correlation_id, device, message, false),
            Err(error) => warn!(error:% = error; "not relayed"),
        }
    }

    /// A peer sends messages of a link through the router, or asks for a link that has no other way.
    pub(super) fn on_relayed(
        &mut self,
        router: RouterId,
        from: String,
        correlation_id: String,
        device: Option<DeviceId>,
        relayed: Relayed,
    ) {
        let now = self.now;
        if let Some(link) = self.links.values_mut().find(|link| link.is(router, &correlation_id)) {
            if link.bond().is_none_or(|bond| device == Some(bond.device)) {
                return link.handle_relay(now, &from, relayed);
            }
            let id = link.number();
            return self.note_unproven(id, "messages", &"they are not sealed by the paired device");
        }
        if !relayed.open {
            if self.on_proof(router, &from, &correlation_id, device) {
                return;
            }
            return self.refuse(router, from, &correlation_id, NO_SUCH_LINK);
        }
        if device.is_none() && self.local.config.trust == Trust::Paired {
            self.counters.offers_refused += 1;
            return self.refuse(router, from, &correlation_id, NOT_PAIRED);
        }
        let bond = device.map(Bond::new);
        let id = match self.crossing(router, &from, true) {
            Some((id, true)) => return debug!(link:% = id; "crossing link ignored: ours stands"),
            Some((id, false)) => {
                self.answer_instead(id, correlation_id, bond, None);
                id
            }
            None => {
                let relays = self.local.config.routing.relays();
                let reason = if relays { self.limit() } else { Some("this node relays nothing") };
                if let Some(reason) = reason {
                    self.counters.offers_refused += 1;
                    return self.refuse(router, from, &correlation_id, reason);
                }
                self.add_link(None, Role::Answerer, router, from.clone(), correlation_id, bond)
            }
        };
        if let Some(link) = self.links.get_mut(&id) {
            link.handle_relay(now, &from, relayed);
        }
    }

    /// Makes another attempt at a direct connection, with a correlation id of its own.
    pub(super) fn offer_again(&mut self, id: LinkId) {
        let now = self.now;
        let full = self.links_in_progress() >= self.local.config.max_offers_in_progress;
        let own = self.links.get(&id).and_then(|link| self.own_session(link.router()));
        let own = own.filter(|_| !full).map(str::to_owned);
        let Some(link) = self.links.get_mut(&id) else { return };
        let Some(own) = own else { return link.postpone_attempt(now) };
        let (of, generation, remote) =
            (link.correlation_id().to_owned(), link.next_generation(), link.remote().to_owned());
        let correlation_id = self.correlation_id(&own, &remote);
        let resume = Resume { link: &of, generation };
        let offer = Peer::offer(now, &self.local.setup(true), &mut self.rng, Some(&resume));
        let Some(link) = self.links.get_mut(&id) else { return };
        debug!(link:% = id, attempt = generation; "another offer");
        link.begin_attempt(offer, correlation_id, generation);
    }

    /// A peer offers another connection for a link whose connection is lost.
    pub(super) fn on_offer_again(
        &mut self,
        router: RouterId,
        from: String,
        correlation_id: String,
        sdp: &str,
        resume: Resume<'_>,
    ) {
        let now = self.now;
        let Some(id) = self.links.values().find(|l| l.is(router, resume.link)).map(Link::number) else {
            self.counters.offers_refused += 1;
            return self.refuse(router, from, resume.link, NO_SUCH_LINK);
        };
        if !self.takes_offer(id, sdp) {
            return;
        }
        if !self.offers.take(now) {
            self.counters.offers_refused += 1;
            return self.refuse(router, from, &correlation_id, "too many offers");
        }
        let peer = match self.answer(router, &from, &correlation_id, sdp, true) {
            Ok(peer) => peer,
            Err(error) => {
                self.counters.bad_descriptions += 1;
                return self.refuse(router, from, &correlation_id, &error.to_string());
            }
        };
        let Some(link) = self.links.get_mut(&id) else { return };
        if let Err(why) = link.accept_attempt(now, &from, peer, correlation_id.clone(), resume.generation) {
            self.counters.offers_refused += 1;
            self.refuse(router, from, &correlation_id, why);
        }
    }
}
