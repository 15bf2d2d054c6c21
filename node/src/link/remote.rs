//! Which session the other node of a link has. It gets another when it has lost its router, or the router has lost it.
//!
//! It says so itself, over the link; or it is heard from through the router, which says truthfully who sent what. What it said over
//! a link that stood still for a while may be old news when it arrives, so the session it was last heard from is kept beside it.

#[derive(Debug)]
pub(super) struct Remote {
    current: String,
    /// It was heard from with this session, not only told of it.
    is_heard: bool,
    /// The one it was heard from before.
    other: Option<String>,
}

impl Remote {
    pub(super) fn new(session: String) -> Self {
        Self { current: session, is_heard: true, other: None }
    }

    /// The session to be spoken to.
    pub(super) fn session(&self) -> &str {
        &self.current
    }

    /// Whether who has this session may speak for the other node.
    pub(super) fn is(&self, session: &str) -> bool {
        self.current == session || self.other.as_deref() == Some(session)
    }

    /// The router brought something from it. Says whether that is news.
    pub(super) fn heard_from(&mut self, session: &str) -> bool {
        let news = self.current != session;
        if news {
            let before = std::mem::replace(&mut self.current, session.to_owned());
            self.other = Some(before);
        }
        self.is_heard = true;
        news
    }

    /// It says over the link that it has this session.
    pub(super) fn told(&mut self, session: String) {
        if self.current == session {
            return;
        }
        let before = std::mem::replace(&mut self.current, session);
        if std::mem::replace(&mut self.is_heard, false) {
            self.other = Some(before);
        }
    }

    /// The router knows no such session. Says whether the other node may still have another one.
    pub(super) fn ended(&mut self, session: &str) -> bool {
        let other = self.other.take_if(|other| self.current == session || *other == session);
        match other {
            Some(other) if self.current == session => {
                (self.current, self.is_heard) = (other, true);
                true
            }
            _ => self.current != session,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_news_do_not_make_a_node_unknown() {
        let mut remote = Remote::new("1".to_owned());
        assert!(remote.heard_from("4"));
        // What it said on its way from 1 to 4 arrives only now.
        for session in ["2", "3"] {
            remote.told(session.to_owned());
            assert_eq!(remote.session(), session);
            assert!(remote.is("4"), "after {session}");
        }
        assert!(remote.ended("3"), "4 is left");
        assert_eq!(remote.session(), "4");
        assert!(!remote.ended("4"), "and then none");
    }

    #[test]
    fn the_last_word_of_an_old_session_does_not_hide_the_new_one() {
        let mut remote = Remote::new("1".to_owned());
        remote.told("2".to_owned());
        assert!(remote.heard_from("1"), "it was on its way");
        assert_eq!((remote.session(), remote.is("2")), ("1", true));
        assert!(remote.ended("1"));
        assert_eq!(remote.session(), "2");
    }

    #[test]
    fn the_end_of_a_session_that_was_left_means_nothing() {
        let mut remote = Remote::new("1".to_owned());
        remote.told("2".to_owned());
        assert!(remote.ended("1"));
        assert_eq!((remote.session(), remote.is("1")), ("2", false));
        assert!(remote.ended("never heard of"));
        assert!(!remote.heard_from("2"));
    }
}
