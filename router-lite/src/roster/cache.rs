//! Recent answers to "who hears this address".

use std::{collections::HashMap, rc::Rc};

use crate::{
    limits::{MATCH_CACHE_ADDRESSES, MATCH_CACHE_TARGETS},
    roster::Target,
};

/// Bounded in addresses and in targets; starts afresh when full, which costs one match per live address.
#[derive(Debug, Default)]
pub(crate) struct MatchCache {
    answers: HashMap<Box<str>, Rc<[Target]>>,
    targets: usize,
}

impl MatchCache {
    pub(crate) fn get(&self, address: &str) -> Option<Rc<[Target]>> {
        self.answers.get(address).cloned()
    }

    pub(crate) fn insert(&mut self, address: &str, targets: &Rc<[Target]>) {
        if targets.len() > MATCH_CACHE_TARGETS {
            return;
        }
        if self.answers.len() >= MATCH_CACHE_ADDRESSES || self.targets + targets.len() > MATCH_CACHE_TARGETS {
            self.clear();
        }
        self.targets += targets.len();
        self.answers.insert(address.into(), Rc::clone(targets));
    }

    pub(crate) fn clear(&mut self) {
        if !self.answers.is_empty() {
            self.answers.clear();
            self.targets = 0;
        }
    }

    #[cfg(test)]
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.answers.len(), self.targets)
    }
}
