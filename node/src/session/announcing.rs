//! Telling others that we are here, and hearing of them.

use std::time::{Duration, Instant};

use clasp_wire::p2p::{FeatureList, PeerAnnounce};
use log::warn;
use rand::RngExt;

use super::{Session, SessionOutput, State, is_plain};
use crate::limits::{MAX_NAME_BYTES, MAX_SESSION_ID_BYTES};

/// The announce feature by which clasp-edge nodes know each other. Stock peers ignore words they do not know.
const EDGE_FEATURE: &str = "edge/1";

/// The announce feature that begins like this goes on with the random id of a node's process.
const INSTANCE_FEATURE: &str = "node/";

/// And this one with the device's id.
const DEVICE_FEATURE: &str = "id/";

/// Announced while the device can be paired, by version 1 of pairing.
const PAIRING_FEATURE: &str = "pair/1";

/// Announced by nodes that stay, and connect to their paired devices by themselves.
const RESIDENT_FEATURE: &str = "resident/1";

/// What we announce: the stock features, and ours.
const FEATURES: [&str; 4] = ["webrtc", "reliable", "unreliable", EDGE_FEATURE];

/// Newcomers on a router that does not replay announces learn us from a repeated one, sent after a random delay up to this, so
/// that a few do not answer in the same instant.
const REANNOUNCE_DELAY: Duration = Duration::from_millis(400);

/// A crowd takes longer, each peer for itself: what all of them say together stays the same, about twenty announces a second.
const REANNOUNCE_DELAY_PER_PEER: Duration = Duration::from_millis(100);

impl Session {
    /// A newcomer was seen that may not know us yet, on a router where `peers` are known: announces again, soon but not at once.
    pub fn announce_soon(&mut self, now: Instant, peers: usize) {
        let crowd = REANNOUNCE_DELAY_PER_PEER * u32::try_from(peers).unwrap_or(u32::MAX);
        let longest = REANNOUNCE_DELAY.max(crowd);
        let delay = longest.mul_f64(self.rng.random_range(0.05..1.0));
        if let State::Ready { reannounce_at, .. } = &mut self.state {
            reannounce_at.get_or_insert(now + delay);
        }
    }

    /// Announces whether this device can be paired, at once if that is news.
    pub(crate) fn set_pairing(&mut self, now: Instant, open: bool) {
        if std::mem::replace(&mut self.pairing, open) != open
            && let State::Ready { reannounce_at, .. } = &mut self.state
        {
            *reannounce_at = Some(now);
            self.handle_timeout(now);
        }
    }

    pub(super) fn on_announce(&mut self, announce: &PeerAnnounce<'_>) {
        let session = announce.session_id;
        let is_id = !session.is_empty() && session.len() <= MAX_SESSION_ID_BYTES && is_plain(session);
        if !is_id || self.id().is_none_or(|id| id == session) {
            return;
        }
        let features = announce.features.as_slice();
        let word = |prefix| features.iter().find_map(|feature| feature.strip_prefix(prefix));
        self.out.push_back(SessionOutput::Announced {
            session: session.to_owned(),
            name: announce
                .name
                .filter(|name| name.len() <= MAX_NAME_BYTES && is_plain(name))
                .map(str::to_owned),
            edge: announce.features.contains(EDGE_FEATURE),
            instance: word(INSTANCE_FEATURE)
                .filter(|instance| instance.len() <= MAX_NAME_BYTES && is_plain(instance))
                .map(str::to_owned),
            pairing: announce.features.contains(PAIRING_FEATURE),
            resident: announce.features.contains(RESIDENT_FEATURE),
            device: word(DEVICE_FEATURE).and_then(|device| device.parse().ok()),
        });
    }

    pub(super) fn announce(&mut self) {
        let State::Ready { id, .. } = &self.state else { return };
        let instance = format!("{INSTANCE_FEATURE}{}", self.identity.instance);
        let device = format!("{DEVICE_FEATURE}{}", self.identity.device);
        let features = FeatureList::new(&FEATURES).with(&instance).with(&device);
        let features = if self.identity.resident { features.with(RESIDENT_FEATURE) } else { features };
        let announce = PeerAnnounce {
            session_id: id,
            p2p_capable: true,
            features: if self.pairing { features.with(PAIRING_FEATURE) } else { features },
            name: Some(&self.identity.name),
        };
        let mut frame = Vec::new();
        match announce.encode_publish(&mut frame) {
            Ok(()) => self.out.push_back(SessionOutput::Send(frame.into())),
            Err(error) => warn!(error:% = error; "cannot announce"),
        }
    }
}
