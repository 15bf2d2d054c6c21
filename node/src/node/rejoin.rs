//! Finding the other node of a link again when both have lost their sessions, as after a restart of the router.
//!
//! Every process announces a random id, by which a link's other node is known when it announces itself with another session. The
//! announcement proves nothing, anybody can repeat it; so the link's correlation id, which gives the right to speak for the link, is
//! not told to that session, but proven: by an HMAC over both sessions, which only who knows the id can make or check. The router
//! says truthfully who sent it.

use hmac::{Hmac, KeyInit, Mac};
use log::debug;
use sha2::Sha256;

use super::Node;
use crate::event::{PeerInfo, RouterId};
use crate::identity::DeviceId;
use crate::relayed::Relayed;

/// What is proven, so that the same bytes mean nothing elsewhere.
const LABEL: &[u8] = b"clasp-edge rejoin 1";

/// The proof that `sender` knows the link's id, for nobody but `receiver`.
fn proof(link: &str, sender: &str, receiver: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(link.as_bytes()).expect("HMAC takes a key of any length");
    for part in [LABEL, sender.as_bytes(), receiver.as_bytes()] {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Node {
    /// Somebody announced itself: perhaps the other node of a link, with another session.
    pub(super) fn look_for_links(&mut self, info: &PeerInfo) {
        let router = info.router;
        let Some(own) = self.own_session(router).map(str::to_owned) else { return };
        let mut proofs: Vec<(String, Option<DeviceId>)> = Vec::new();
        for link in self.links.values_mut().filter(|link| link.router() == router) {
            if link.is_with(&info.session) {
                link.note_instance(info.instance.as_deref());
            } else if link.is_of_instance(info.instance.as_deref()) {
                let device = link.bond().map(|bond| bond.device);
                proofs.push((proof(link.correlation_id(), &own, &info.session), device));
                debug!(link:% = link.number(), session = info.session.as_str(); "the other node may be back");
            }
        }
        let question = Relayed::question(self.local.config.routing);
        for (proof, device) in proofs {
            self.relay_to(router, &info.session, &proof, device, &question);
        }
    }

    /// Takes a proof. Says whether it was one.
    pub(super) fn on_proof(
        &mut self,
        router: RouterId,
        from: &str,
        text: &str,
        device: Option<DeviceId>,
    ) -> bool {
        let Some(own) = self.own_session(router).map(str::to_owned) else { return false };
        let mut links = self.links.values_mut().filter(|link| link.router() == router);
        let Some(link) = links.find(|link| {
            link.bond().is_none_or(|bond| device == Some(bond.device))
                && proof(link.correlation_id(), from, &own) == text
        }) else {
            return false;
        };
        debug!(link:% = link.number(), session = from; "the other node is back");
        link.follow(from);
        link.answer_soon();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_holds_for_one_link_one_sender_and_one_receiver() {
        let good = proof("link", "a", "b");
        assert_eq!(good.len(), 64);
        let others = [("link", "b", "a"), ("link", "a", "c"), ("other", "a", "b"), ("link", "ab", "")];
        for (link, sender, receiver) in others {
            assert_ne!(proof(link, sender, receiver), good);
        }
    }
}
