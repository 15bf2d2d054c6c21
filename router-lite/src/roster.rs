//! The index of subscriptions: which sessions hear an address.
//!
//! Owns: patterns and who subscribes with them, a bounded memory of recent answers. Does not own: the sessions (they are
//! slots here), and what is allowed to be heard by whom.
//!
//! Subscriptions with the same pattern share one entry, so that a hundred clients on one pattern cost one match. Patterns
//! without wildcards are found by lookup, those with wildcards are tried one by one; the answer is remembered until any
//! subscription changes.

mod cache;

use std::{collections::BTreeMap, rc::Rc};

use clasp_wire::{
    Pattern,
    message::{SignalType, TypeMask},
};

use crate::{limits::MAX_SUBSCRIPTIONS, roster::cache::MatchCache, router::Interest, slots::Slot};

/// A session that hears an address, and which signal types of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) slot: Slot,
    types: u8,
}

impl Target {
    /// Whether one of the session's subscriptions asks for `signal`.
    pub(crate) const fn hears(self, signal: SignalType) -> bool {
        TypeMask(self.types).accepts(signal)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    literals: BTreeMap<Pattern, Vec<Member>>,
    wildcards: BTreeMap<Pattern, Vec<Member>>,
    total: usize,
    /// How often the subscriptions changed.
    version: u64,
    cache: MatchCache,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Member {
    slot: Slot,
    id: u32,
    types: u8,
}

/// As many subscriptions as the router keeps.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RosterFull;

impl Roster {
    /// Adds the subscription `id` of the session in `slot`. The caller has removed an older one with the same id.
    pub(crate) fn subscribe(
        &mut self,
        slot: Slot,
        id: u32,
        pattern: Pattern,
        types: TypeMask,
    ) -> Result<(), RosterFull> {
        if self.total >= MAX_SUBSCRIPTIONS {
            return Err(RosterFull);
        }
        let entries = if pattern.is_literal() { &mut self.literals } else { &mut self.wildcards };
        entries.entry(pattern).or_default().push(Member { slot, id, types: known_bits(types) });
        self.total += 1;
        self.version += 1;
        self.cache.clear();
        Ok(())
    }

    /// Removes the subscription `id` of the session in `slot`, which has the pattern `pattern`.
    pub(crate) fn unsubscribe(&mut self, slot: Slot, id: u32, pattern: &str) {
        let entries =
            if self.literals.contains_key(pattern) { &mut self.literals } else { &mut self.wildcards };
        let Some(members) = entries.get_mut(pattern) else { return };
        let before = members.len();
        members.retain(|member| member.slot != slot || member.id != id);
        self.total -= before - members.len();
        self.version += 1;
        if members.is_empty() {
            entries.remove(pattern);
        }
        self.cache.clear();
    }

    /// Who hears `address`, each session once, in the order of their slots.
    pub(crate) fn targets(&mut self, address: &str) -> Rc<[Target]> {
        if let Some(known) = self.cache.get(address) {
            return known;
        }
        let literal = self.literals.get(address).into_iter();
        let wild = self.wildcards.iter().filter(|(pattern, _)| pattern.matches(address)).map(|(_, m)| m);
        let mut targets: Vec<Target> =
            literal.chain(wild).flatten().map(|m| Target { slot: m.slot, types: m.types }).collect();
        targets.sort_unstable_by_key(|target| target.slot);
        targets.dedup_by(|later, kept| {
            let same = later.slot == kept.slot;
            if same {
                kept.types |= later.types;
            }
            same
        });
        let targets: Rc<[Target]> = targets.into();
        self.cache.insert(address, &targets);
        targets
    }

    /// How many subscriptions there are.
    pub(crate) const fn len(&self) -> usize {
        self.total
    }

    /// How many different patterns.
    pub(crate) fn patterns(&self) -> usize {
        self.literals.len() + self.wildcards.len()
    }

    /// Another number after each change.
    pub(crate) const fn version(&self) -> u64 {
        self.version
    }

    /// What is subscribed to by others than `but`, each pattern once, with the types any of them wants.
    pub(crate) fn interests(&self, but: Option<Slot>) -> Vec<Interest> {
        let entries = self.literals.iter().chain(&self.wildcards);
        let interests = entries.filter_map(|(pattern, members)| {
            let others = members.iter().filter(|member| Some(member.slot) != but);
            let types = others.map(|member| member.types).reduce(|one, other| one | other)?;
            Some(Interest { pattern: pattern.clone(), types: TypeMask(types) })
        });
        interests.collect()
    }

    /// Every subscription, for consistency checks.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Slot, u32, &str)> {
        let entries = self.literals.iter().chain(&self.wildcards);
        entries.flat_map(|(pattern, members)| members.iter().map(|m| (m.slot, m.id, pattern.as_str())))
    }
}

/// "All" has several spellings on the wire; masks are united bit by bit here, so they need one.
const fn known_bits(types: TypeMask) -> u8 {
    match types.0 & TypeMask::ALL.0 {
        0 => TypeMask::ALL.0,
        known => known,
    }
}

#[cfg(test)]
mod tests;
