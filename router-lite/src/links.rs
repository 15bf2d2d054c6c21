//! With whom a session is exchanging P2P signals, so that the other side learns when it ends.

use heapless::Deque;

use crate::{
    id::SessionId,
    limits::{MAX_CORRELATION_BYTES, MAX_LINKS, MAX_LINKS_PER_PEER},
};

/// One exchange, named by its correlation id.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) peer: SessionId,
    pub(crate) correlation: Box<str>,
}

/// The newest exchanges of one session.
///
/// Boxed when the first one begins: most sessions never signal.
#[derive(Debug, Default)]
pub(crate) struct Links(Option<Box<Deque<Link, MAX_LINKS>>>);

impl Links {
    /// Notes that signals about `correlation` pass between this session and `peer`. True when an older exchange had
    /// to be forgotten for it.
    pub(crate) fn note(&mut self, peer: SessionId, correlation: &str) -> bool {
        if correlation.len() > MAX_CORRELATION_BYTES {
            return false;
        }
        let links = self.0.get_or_insert_default();
        if links.iter().any(|link| link.peer == peer && &*link.correlation == correlation) {
            return false;
        }
        let with_peer = links.iter().filter(|link| link.peer == peer).count();
        let mut forgotten = false;
        if with_peer >= MAX_LINKS_PER_PEER {
            let mut first = true;
            links.retain(|link| link.peer != peer || !std::mem::take(&mut first));
            forgotten = true;
        } else if links.is_full() {
            forgotten = links.pop_front().is_some();
        }
        let link = Link { peer, correlation: correlation.into() };
        links.push_back(link).expect("room was made above");
        forgotten
    }

    /// The exchange is over.
    pub(crate) fn remove(&mut self, peer: SessionId, correlation: &str) {
        self.retain(|link| link.peer != peer || &*link.correlation != correlation);
    }

    /// The peer is gone.
    pub(crate) fn remove_peer(&mut self, peer: SessionId) {
        self.retain(|link| link.peer != peer);
    }

    /// All of them, oldest first; none are left.
    pub(crate) fn take(&mut self) -> Vec<Link> {
        self.0.take().map_or_else(Vec::new, |links| links.into_iter().collect())
    }

    fn retain(&mut self, keep: impl FnMut(&Link) -> bool) {
        if let Some(links) = &mut self.0 {
            links.retain(keep);
            if links.is_empty() {
                self.0 = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn ids<const N: usize>() -> [SessionId; N] {
        let mut rng = StdRng::from_seed([1; 32]);
        std::array::from_fn(|_| SessionId::random(&mut rng))
    }

    #[test]
    fn an_exchange_is_noted_once_however_many_signals_it_has() {
        let [peer] = ids();
        let mut links = Links::default();
        for _ in 0..10 {
            assert!(!links.note(peer, "c"));
        }
        assert_eq!(links.take(), [Link { peer, correlation: "c".into() }]);
    }

    #[test]
    fn the_17th_exchange_makes_the_first_forgotten() {
        let peers: [SessionId; MAX_LINKS + 1] = ids();
        let mut links = Links::default();
        let forgotten: Vec<bool> = peers.iter().map(|peer| links.note(*peer, "c")).collect();
        assert_eq!(forgotten.iter().filter(|f| **f).count(), 1);
        assert!(forgotten[MAX_LINKS]);
        assert_eq!(links.take().iter().map(|l| l.peer).collect::<Vec<_>>(), peers[1..]);
    }

    #[test]
    fn one_peer_cannot_make_a_session_forget_the_others() {
        let [friend, flooder] = ids();
        let mut links = Links::default();
        links.note(friend, "c");
        for i in 0..100 {
            links.note(flooder, &i.to_string());
        }
        let kept = links.take();
        assert_eq!(kept.len(), 1 + MAX_LINKS_PER_PEER);
        assert_eq!(kept[0].peer, friend);
        assert_eq!(&*kept[4].correlation, "99");
    }

    #[test]
    fn an_overlong_correlation_id_is_not_kept() {
        let [peer] = ids();
        let mut links = Links::default();
        links.note(peer, &"x".repeat(MAX_CORRELATION_BYTES + 1));
        assert!(links.take().is_empty());
    }

    #[test]
    fn an_exchange_that_was_ended_is_forgotten() {
        let [a, b] = ids();
        let mut links = Links::default();
        links.note(a, "1");
        links.note(a, "2");
        links.note(b, "1");
        links.remove(a, "1");
        assert_eq!(links.take().len(), 2);
        links.note(a, "1");
        links.note(b, "1");
        links.remove_peer(a);
        assert_eq!(links.take(), [Link { peer: b, correlation: "1".into() }]);
    }
}
