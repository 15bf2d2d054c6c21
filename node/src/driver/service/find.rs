//! Which peer a person means.

use std::collections::BTreeSet;

use crate::driver::handle::{NodeHandle, Stopped};
use crate::event::PeerInfo;
use crate::identity::DeviceId;

/// The shortest beginning of a session id that is taken for one.
const MIN_PREFIX: usize = 4;

/// Whom a person means: by name, device id, session id, or the beginning of one; or by what a paired device is called here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    text: String,
    device: Option<DeviceId>,
}

impl Wanted {
    /// Whom `text` means to this node.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn new(text: &str, node: &NodeHandle) -> Result<Self, Stopped> {
        let named = |name: &str| name.eq_ignore_ascii_case(text);
        let pair = node.pairs().await?.into_iter().find(|pair| named(&pair.name));
        let device = text.parse().ok().or(pair.map(|pair| pair.device));
        Ok(Self { text: text.to_owned(), device })
    }

    /// Whether it is this peer.
    #[must_use]
    pub fn is(&self, peer: &PeerInfo) -> bool {
        let text = self.text.as_str();
        peer.name.as_deref() == Some(text)
            || peer.session == text
            || self.device.is_some() && peer.device == self.device
            || text.len() >= MIN_PREFIX && peer.session.starts_with(text)
    }

    /// The device it is, if it is one that is known.
    #[must_use]
    pub fn device(&self) -> Option<DeviceId> {
        self.device
    }

    /// As it was given.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// The one peer that is meant, if it is there. Sessions that are `silent` are passed over.
///
/// # Errors
/// The session ids, where it could be several.
pub fn choose<'a>(
    peers: &'a [PeerInfo],
    wanted: &Wanted,
    silent: &BTreeSet<String>,
) -> Result<Option<&'a PeerInfo>, String> {
    let matches = |peer: &&PeerInfo| wanted.is(peer) && !silent.contains(&peer.session);
    let matching: Vec<_> = peers.iter().filter(matches).collect();
    match matching.as_slice() {
        [] => Ok(None),
        [peer] => Ok(Some(peer)),
        // A device that has moved leaves its old session behind for a while. Each is tried if need be.
        [others @ .., last] if last.device.is_some() && others.iter().all(|p| p.device == last.device) => {
            Ok(Some(last))
        }
        several => {
            let ids: Vec<_> = several.iter().map(|peer| peer.session.as_str()).collect();
            Err(format!("{:?} could be any of {}", wanted.text, ids.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::RouterId;

    fn peer(session: &str, name: &str, device: Option<u8>) -> PeerInfo {
        PeerInfo {
            session: session.to_owned(),
            name: Some(name.to_owned()),
            edge: true,
            instance: None,
            device: device.map(|byte| DeviceId::of(&[byte; 32])),
            pairing: false,
            resident: false,
            router: RouterId::FIRST,
        }
    }

    #[test]
    fn a_peer_is_found_by_whatever_it_is_called() {
        let peers = [peer("abcdef", "kitchen", Some(1)), peer("abxyz1", "garden", None)];
        let device = peers[0].device.unwrap();
        let chosen = |text: &str, device: Option<DeviceId>| {
            let wanted = Wanted { text: text.to_owned(), device };
            let chosen = choose(&peers, &wanted, &BTreeSet::new());
            chosen.map(|peer| peer.map(|peer| peer.session.clone()))
        };
        for text in ["kitchen", "abcdef", "abcd"] {
            assert_eq!(chosen(text, None), Ok(Some("abcdef".to_owned())), "{text}");
        }
        assert_eq!(
            chosen("stove", Some(device)),
            Ok(Some("abcdef".to_owned())),
            "as the pair is called here"
        );
        for text in ["abc", "cellar", ""] {
            assert_eq!(chosen(text, None), Ok(None), "{text}");
        }
    }

    #[test]
    fn several_of_one_name_are_asked_about_unless_they_are_one_device() {
        let wanted = Wanted { text: "kitchen".to_owned(), device: None };
        let mut peers = vec![peer("first", "kitchen", Some(1)), peer("second", "kitchen", Some(1))];
        let last = choose(&peers, &wanted, &BTreeSet::new()).unwrap().unwrap();
        assert_eq!(last.session, "second");
        let silent = BTreeSet::from(["second".to_owned()]);
        assert_eq!(choose(&peers, &wanted, &silent).unwrap().unwrap().session, "first");
        peers.push(peer("third", "kitchen", Some(2)));
        let why = choose(&peers, &wanted, &BTreeSet::new()).unwrap_err();
        assert_eq!(why, "\"kitchen\" could be any of first, second, third");
    }
}
