//! A client in the same process that connects this router with others.

use std::{fmt, rc::Rc};

use bytes::Bytes;
use clasp_wire::{Pattern, message::Set};

use super::{
    hub::Hub,
    local::{Closed, LocalSession},
};
use crate::{
    access::Origin,
    params::{Adoption, Precedence, StoredParam},
    router::Interest,
};

/// A [`LocalSession`] that may do what keeping two routers alike takes. It is not bound to the rate of a client, as it speaks for
/// many; it is never told what it wrote itself. Clones are the same session, which ends with the last of them.
#[derive(Clone)]
pub struct Bridge {
    hub: Rc<Hub>,
    session: Rc<LocalSession>,
}

impl fmt::Debug for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bridge").field("session", &self.session).finish_non_exhaustive()
    }
}

impl Bridge {
    pub(crate) fn new(hub: Rc<Hub>) -> Self {
        Self { session: Rc::new(LocalSession::new(Rc::clone(&hub), Origin::Bridge)), hub }
    }

    /// Hands one frame to the router, which works it off before this returns. The first one is a HELLO.
    ///
    /// # Errors
    /// When the router has ended the session.
    pub fn send(&self, frame: Bytes) -> Result<(), Closed> {
        self.session.send(frame)
    }

    /// As [`LocalSession::recv`].
    pub async fn recv(&self) -> Option<Bytes> {
        self.session.recv().await
    }

    /// Takes over a parameter that has its revision from elsewhere. Subscribers are told.
    #[must_use]
    pub fn adopt(&self, set: &Set<'_>, precedence: Precedence) -> Adoption {
        self.hub.adopt(self.session.id(), set, precedence)
    }

    /// Up to `max` parameters that match, in order of their addresses, after this one.
    #[must_use]
    pub fn params(&self, pattern: &Pattern, after: Option<&str>, max: usize) -> Vec<StoredParam> {
        self.hub.stored(self.session.id(), pattern, after, max)
    }

    /// What the other sessions subscribe to, each pattern once.
    #[must_use]
    pub fn interests(&self) -> Vec<Interest> {
        self.hub.interests(self.session.id())
    }

    /// Waits until [`Self::interests`] may have changed. One task may wait at a time.
    pub async fn interests_changed(&self) {
        self.hub.interests_changed.wait().await;
    }
}
