//! How a node's links ended, and how those it has are: the answer to who asks.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Node, Router};
use crate::event::{Event, LinkState, RouterId};
use crate::limits::MAX_ENDED_LINKS;
use crate::status::{End, EndedLink, LinkStatus, SessionStatus, Tried};

struct Ended {
    at: Instant,
    /// `ago` is filled in for who asks.
    link: EndedLink,
}

/// How the last links ended: one entry for each peer, the oldest is forgotten for a new one.
#[derive(Default)]
pub(super) struct History {
    ended: VecDeque<Ended>,
}

impl History {
    fn note(&mut self, at: Instant, link: EndedLink) {
        self.ended.retain(|other| (other.link.router, &other.link.peer) != (link.router, &link.peer));
        if self.ended.len() >= MAX_ENDED_LINKS {
            self.ended.pop_front();
        }
        self.ended.push_back(Ended { at, link });
    }
}

impl Node {
    /// Every link as it is now, with its figures.
    pub fn link_statuses(&mut self, now: Instant) -> Vec<LinkStatus> {
        let Self { links, roster, .. } = self;
        let links = links.values_mut();
        links
            .map(|link| {
                let known = roster.find(link.router(), link.remote());
                let name = known.and_then(|info| info.name.clone()).or_else(|| link.name().cloned());
                let edge = known.is_some_and(|info| info.edge);
                let status = link.status(now);
                LinkStatus { name, edge: edge || status.edge, ..status }
            })
            .collect()
    }

    /// How the last link to each peer that has none now ended, the latest first; at most [`MAX_ENDED_LINKS`].
    pub fn ended_links(&self, now: Instant) -> Vec<EndedLink> {
        // Of a router with two addresses we are two sessions, and the other node is one: its router says nothing here.
        let is_linked =
            |peer: &str| self.links.values().any(|l| l.remote() == peer && l.state() != LinkState::Closed);
        let ended = self.history.ended.iter().rev();
        ended
            .filter(|ended| !is_linked(&ended.link.peer))
            .map(|ended| EndedLink { ago: now.saturating_duration_since(ended.at), ..ended.link.clone() })
            .collect()
    }

    /// The session with every router of the configuration as it is now, and with those found routers that are in use.
    pub fn session_statuses(&self, now: Instant) -> Vec<SessionStatus> {
        let numbered = self.routers.iter().zip(0..);
        let is_used = |entry: &Router| entry.lead.is_none() || !entry.session.is_offline();
        numbered
            .filter(|(entry, _)| is_used(entry))
            .map(|(entry, place)| {
                let router = RouterId(place);
                let peers = self.roster.iter().filter(|peer| peer.router == router).count();
                SessionStatus { router, peers, ..entry.session.status(now) }
            })
            .collect()
    }

    /// Remembers an end for who asks later.
    pub(super) fn remember(&mut self, event: &Event) {
        let (id, end, why) = match event {
            Event::Failed { link, why, .. } => (link, End::Failed, why.to_string()),
            Event::Disconnected { link, why, .. } => (link, End::Disconnected, why.to_string()),
            _ => return,
        };
        let Some(link) = self.links.get(id) else { return };
        let tried = if end == End::Failed { link.tried() } else { None };
        let (router, peer, name) = (link.router(), link.remote().to_owned(), link.name().cloned());
        self.remember_end(router, peer, name, end, why, tried);
    }

    /// As [`Self::remember`], for an offer that was turned down.
    pub(super) fn remember_refusal(&mut self, router: RouterId, peer: &str, why: &str) {
        self.remember_end(router, peer.to_owned(), None, End::Refused, why.to_owned(), None);
    }

    fn remember_end(
        &mut self,
        router: RouterId,
        peer: String,
        name: Option<String>,
        end: End,
        why: String,
        tried: Option<Tried>,
    ) {
        let name = self.roster.find(router, &peer).and_then(|info| info.name.clone()).or(name);
        let ago = Duration::ZERO;
        self.history.note(self.now, EndedLink { peer, name, router, end, why, ago, tried });
    }
}
