//! One link: what the device at its other end has asked for, what it is asked for, and what waits to be sent to it.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use clasp_wire::message::{ErrorReply, SignalType, TypeMask};
use clasp_wire::{Message, Pattern};
use router_lite::Interest;

use super::outbox::Outbox;
use super::{Local, Share, ShareCounters, ShareTotals, SharedLink, encode, subscription, value_of};
use crate::event::LinkId;
use crate::identity::DeviceId;
use crate::limits::{MAX_LINK_SUBSCRIPTIONS, MAX_RELAYED_MESSAGE_BYTES, SHARED_PAGE};

/// See the module.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) device: DeviceId,
    /// Which of the shares are with this device.
    with: Vec<usize>,
    asked: Vec<Asked>,
    wishes: Vec<Wish>,
    /// Questions that are to be taken back. Only those that were asked, so there are never more than of them.
    taken_back: Vec<u32>,
    next_id: u32,
    /// Parameters to be looked up: for each that was asked for, one for each share it touches.
    pages: VecDeque<Page>,
    /// Some parameter found no room: all of them are to be looked up again.
    pub(super) behind: bool,
    /// The subscription for how the node is.
    pub(super) status: Option<u32>,
    /// What the link did not take.
    pub(super) put_back: Option<Bytes>,
    pub(super) outbox: Outbox,
}

#[derive(Debug)]
struct Asked {
    id: u32,
    pattern: Pattern,
    types: TypeMask,
}

#[derive(Debug)]
struct Wish {
    id: u32,
    pattern: Pattern,
    types: TypeMask,
    is_told: bool,
}

/// What is still to be looked up of what was asked for.
#[derive(Debug)]
struct Page {
    asked: u32,
    share: usize,
    /// As it is called here.
    pattern: Pattern,
    after: Option<Box<str>>,
}

impl Link {
    pub(super) fn new(device: DeviceId, with: Vec<usize>) -> Self {
        Self {
            device,
            with,
            asked: Vec::new(),
            wishes: Vec::new(),
            taken_back: Vec::new(),
            next_id: 1,
            pages: VecDeque::new(),
            behind: false,
            status: None,
            put_back: None,
            outbox: Outbox::default(),
        }
    }

    pub(super) fn status(&self, link: LinkId) -> SharedLink {
        SharedLink {
            link,
            device: self.device,
            asked: self.asked.iter().map(|asked| asked.pattern.to_string()).collect(),
            wishes: self.wishes.iter().map(|wish| wish.pattern.to_string()).collect(),
            waiting: self.outbox.waiting(),
        }
    }

    pub(super) fn count(&self, totals: &mut ShareTotals) {
        totals.links += 1;
        totals.asked += self.asked.len() as u64;
        totals.wishes += self.wishes.len() as u64;
        totals.waiting.add(self.outbox.waiting());
    }

    /// Takes a question of the other device.
    ///
    /// # Errors
    /// The code and the text of what to answer.
    pub(super) fn ask(
        &mut self,
        shares: &[Share],
        id: u32,
        pattern: Pattern,
        types: TypeMask,
    ) -> Result<(), (u16, String)> {
        self.forget(id);
        if self.asked.len() >= MAX_LINK_SUBSCRIPTIONS {
            return Err((429, format!("more than {MAX_LINK_SUBSCRIPTIONS} subscriptions")));
        }
        if !published(&self.with, shares).any(|(_, share)| share.pattern.overlaps(&pattern)) {
            return Err((301, "nothing of that is shared with you".to_owned()));
        }
        self.asked.push(Asked { id, pattern, types });
        if let Some(asked) = self.asked.last() {
            self.pages.extend(pages_of(asked, &self.with, shares));
        }
        Ok(())
    }

    pub(super) fn forget(&mut self, id: u32) {
        self.asked.retain(|asked| asked.id != id);
        self.pages.retain(|page| page.asked != id);
        self.status = self.status.filter(|status| *status != id);
    }

    /// Whether anything of this share was asked for.
    pub(super) fn wants(&self, at: usize, share: &Share) -> bool {
        share.mode.publishes()
            && self.with.contains(&at)
            && self.asked.iter().any(|asked| asked.pattern.overlaps(&share.pattern))
    }

    /// By which share a message to this address of ours is for the other device, and what that calls the address.
    pub(super) fn outwards<'s, 'a>(
        &self,
        shares: &'s [Share],
        address: &'a str,
        signal: SignalType,
    ) -> Option<(&'s Share, &'a str)> {
        let mut named =
            published(&self.with, shares).filter_map(|(_, share)| Some((share, share.outwards(address)?)));
        named.find(|(_, theirs)| {
            self.asked.iter().any(|asked| asked.types.accepts(signal) && asked.pattern.matches(theirs))
        })
    }

    /// By which share a message to this address of the other device is for us.
    pub(super) fn inwards<'s>(&self, shares: &'s [Share], address: &str) -> Option<&'s Share> {
        subscribed(&self.with, shares).find(|share| share.takes(address))
    }

    /// Queues a value for the other device.
    pub(super) fn param(&mut self, address: &str, frame: Bytes) {
        self.behind |= !self.outbox.param(address, frame);
    }

    pub(super) fn refuse(&mut self, code: u16, why: &str, address: &str) {
        let error = ErrorReply { code, message: why, address: Some(address), correlation_id: None };
        if let Some(frame) = encode(&Message::Error(error)) {
            // Who asks for so much that its refusals are dropped need not be told of that.
            let _dropped = self.outbox.message(frame);
        }
    }

    /// Works out what to ask the other device for.
    pub(super) fn wish(&mut self, shares: &[Share], interests: &[Interest]) {
        let mut wanted: BTreeMap<Pattern, TypeMask> = BTreeMap::new();
        for share in subscribed(&self.with, shares) {
            for interest in interests {
                let Some(pattern) = share.wish(&interest.pattern) else { continue };
                let types = wanted.entry(pattern).or_insert(interest.types);
                *types = both(*types, interest.types);
            }
        }
        if wanted.len() > MAX_LINK_SUBSCRIPTIONS {
            // More than the other device lets us ask for: then everything.
            let all = subscribed(&self.with, shares);
            wanted = all.map(|share| (share.pattern.clone(), TypeMask::ANY)).collect();
        }
        let taken_back = &mut self.taken_back;
        self.wishes.retain(|wish| {
            let stays = wanted.get(&wish.pattern) == Some(&wish.types);
            if stays {
                wanted.remove(&wish.pattern);
            } else if wish.is_told {
                taken_back.push(wish.id);
            }
            stays
        });
        for (pattern, types) in wanted {
            self.wishes.push(Wish { id: self.next_id, pattern, types, is_told: false });
            self.next_id = self.next_id.wrapping_add(1);
        }
    }

    /// What to ask, or to take back, next.
    pub(super) fn next_question(&mut self) -> Option<Bytes> {
        if let Some(id) = self.taken_back.pop() {
            return encode(&Message::Unsubscribe { id });
        }
        let wish = self.wishes.iter_mut().find(|wish| !wish.is_told)?;
        wish.is_told = true;
        encode(&subscription(wish.id, &wish.pattern, wish.types))
    }

    /// Looks up some more of the parameters that were asked for, if there is room. Says whether there may be something to be sent.
    pub(super) fn look_up(
        &mut self,
        shares: &[Share],
        local: &mut impl Local,
        counters: &mut ShareCounters,
    ) -> bool {
        if !self.outbox.is_calm() {
            return false;
        }
        if self.pages.is_empty() && std::mem::take(&mut self.behind) {
            let Self { asked, with, pages, .. } = self;
            pages.extend(asked.iter().flat_map(|asked| pages_of(asked, with, shares)));
        }
        let Some(page) = self.pages.front_mut() else { return false };
        let (share, asked) = (shares.get(page.share), self.asked.iter().find(|asked| asked.id == page.asked));
        let (Some(share), Some(asked)) = (share, asked) else {
            self.pages.pop_front();
            return true;
        };
        let found = local.params(&page.pattern, page.after.as_deref(), SHARED_PAGE);
        let is_last = found.len() < SHARED_PAGE;
        for param in found {
            let theirs = share.outwards(&param.address).filter(|theirs| asked.pattern.matches(theirs));
            if let Some(theirs) = theirs.filter(|_| !param.own)
                && let Some(frame) = renamed(&param.frame, theirs)
            {
                if frame.len() > MAX_RELAYED_MESSAGE_BYTES {
                    counters.too_large += 1;
                } else if self.outbox.param(theirs, frame) {
                    counters.sent += 1;
                } else {
                    return true; // goes on from here when there is room
                }
            }
            page.after = Some(param.address);
        }
        if is_last {
            self.pages.pop_front();
        }
        true
    }
}

/// The parameter in this frame of the router's, as the other device calls it.
pub(super) fn renamed(frame: &[u8], theirs: &str) -> Option<Bytes> {
    let Ok((_, Message::Set(set))) = Message::decode_compact(frame) else { return None };
    encode(&value_of(&set, theirs, set.revision))
}

/// The shares of a link by which messages go to the other device, with their places.
fn published<'a, 's>(
    with: &'a [usize],
    shares: &'s [Share],
) -> impl Iterator<Item = (usize, &'s Share)> + use<'a, 's> {
    let shared = with.iter().filter_map(|at| Some((*at, shares.get(*at)?)));
    shared.filter(|(_, share)| share.mode.publishes())
}

/// Those by which messages come from it.
fn subscribed<'a, 's>(
    with: &'a [usize],
    shares: &'s [Share],
) -> impl Iterator<Item = &'s Share> + use<'a, 's> {
    with.iter().filter_map(|at| shares.get(*at)).filter(|share| share.mode.subscribes())
}

/// Where to look for the parameters that were asked for.
fn pages_of<'a>(asked: &'a Asked, with: &'a [usize], shares: &'a [Share]) -> impl Iterator<Item = Page> + 'a {
    let wants = asked.types.accepts(SignalType::Param);
    published(with, shares)
        .filter(move |(_, share)| wants && share.pattern.overlaps(&asked.pattern))
        .filter_map(|(share, of)| {
            let pattern = Pattern::parse(&format!("{}{}", of.prefix, asked.pattern)).ok()?;
            Some(Page { asked: asked.id, share, pattern, after: None })
        })
}

/// What either mask accepts.
fn both(one: TypeMask, other: TypeMask) -> TypeMask {
    let lists_none = |mask: TypeMask| mask.0 & TypeMask::ALL.0 == 0;
    if lists_none(one) || lists_none(other) { TypeMask::ANY } else { one.with(other) }
}
