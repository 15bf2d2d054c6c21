//! Who announced themselves, on which router. Bounded: a router cannot make us remember more than [`MAX_ROSTER`] peers.

use std::collections::VecDeque;

use crate::event::{PeerInfo, RouterId};
use crate::limits::MAX_ROSTER;

#[derive(Debug, Default)]
pub(super) struct Roster {
    /// In the order last heard, oldest first.
    peers: VecDeque<PeerInfo>,
    pub(super) forgotten: u64,
}

/// What an announce changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Noted {
    New,
    Changed,
    Same,
}

impl Roster {
    pub(super) fn note(&mut self, info: PeerInfo) -> Noted {
        let known = self.peers.iter().position(|p| p.session == info.session && p.router == info.router);
        let previous = known.and_then(|index| self.peers.remove(index));
        let on_router = self.peers.iter().filter(|p| p.router == info.router).count();
        if on_router >= MAX_ROSTER
            && let Some(oldest) = self.peers.iter().position(|p| p.router == info.router)
        {
            self.peers.remove(oldest);
            self.forgotten += 1;
        }
        let noted = match previous {
            None => Noted::New,
            Some(previous) if previous != info => Noted::Changed,
            Some(_) => Noted::Same,
        };
        self.peers.push_back(info);
        noted
    }

    pub(super) fn find(&self, router: RouterId, session: &str) -> Option<&PeerInfo> {
        self.peers.iter().find(|p| p.router == router && p.session == session)
    }

    pub(super) fn forget(&mut self, router: RouterId, session: &str) {
        self.peers.retain(|p| p.router != router || p.session != session);
    }

    /// Session ids of a lost router mean nothing any more.
    pub(super) fn forget_router(&mut self, router: RouterId) {
        self.peers.retain(|p| p.router != router);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &PeerInfo> {
        self.peers.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(n: usize) -> PeerInfo {
        let session = format!("s{n}");
        PeerInfo {
            session,
            name: None,
            edge: false,
            instance: None,
            device: None,
            pairing: false,
            resident: false,
            router: RouterId(0),
        }
    }

    #[test]
    fn a_full_roster_forgets_whom_it_heard_longest_ago() {
        let mut roster = Roster::default();
        for n in 0..MAX_ROSTER {
            assert_eq!(roster.note(info(n)), Noted::New);
        }
        assert_eq!(roster.note(info(0)), Noted::Same, "and moves to the young end");
        assert_eq!(roster.note(info(MAX_ROSTER)), Noted::New);
        assert_eq!((roster.iter().count(), roster.forgotten), (MAX_ROSTER, 1));
        assert!(roster.find(RouterId(0), "s0").is_some());
        assert!(roster.find(RouterId(0), "s1").is_none());
        let elsewhere = PeerInfo { router: RouterId(1), ..info(1) };
        assert_eq!(roster.note(elsewhere), Noted::New, "another router has its own bound");
        assert_eq!(roster.forgotten, 1);
        roster.forget_router(RouterId(0));
        assert_eq!(roster.iter().count(), 1);
    }

    #[test]
    fn a_peer_that_changes_its_name_is_told_again() {
        let mut roster = Roster::default();
        assert_eq!(roster.note(info(1)), Noted::New);
        assert_eq!(roster.note(PeerInfo { name: Some("kitchen".into()), ..info(1) }), Noted::Changed);
        roster.forget(RouterId(0), "s1");
        assert_eq!(roster.iter().count(), 0);
    }
}
