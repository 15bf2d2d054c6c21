//! Where a node's identity and pairs, and its router's tokens, outlive it: files in a directory, of which a power cut leaves the old
//! or the new one.
//!
//! Owns: where the directory is, what is in the files, who may write them. Does not own: what is written, and when.
//!
//! # Who writes
//! Every process of the user may read both files: each is replaced as a whole. `identity.json` is written once, by whoever finds none
//! and holds `identity.lock`, which the others wait for. `pairs.json` is written by the one process that has opened the store with
//! [`Access::Write`] first and holds `pairs.lock` for as long as it lives; all others leave it alone. `tokens.json` may be changed by
//! any process, which holds `tokens.lock` from reading the file anew to having replaced it: no change is made to what it was before
//! another one, and none is lost.
//!
//! # When it cannot be written
//! On a disk that is full or read-only the node works all the same, and remembers until it ends; [`Storage`] says so and why. But a
//! file that is there and cannot be read or understood is never replaced: the node does not start as somebody else.

mod directory;
mod disk;
mod files;
mod format;
mod place;
mod replace;
mod shelf;
mod tokens;

use std::path::{Path, PathBuf};

use rand::Rng;
use serde::Serialize;

pub use place::StatePlace;
pub use tokens::{Stamp, TokenError, TokenStore, Wait};

use crate::identity::Identity;
use crate::pairs::Pairs;
use crate::peer::CertificateError;
use disk::Disk;
use shelf::Shelf;

/// What a process wants of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To know the identity, which is made if there is none, and the pairs.
    Read,
    /// To store pairs as well, if no other process does.
    Write,
}

/// Why a node does not start. In each case there is something that must not be written over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Others could have written what is in the directory.
    #[error("state directory {}: {why}", .directory.display())]
    Directory {
        /// Which.
        directory: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file is there and cannot be read.
    #[error("{}: {why}", .file.display())]
    Read {
        /// Which.
        file: PathBuf,
        /// Why.
        why: String,
    },
    /// A file does not hold what it should, or is of a newer version of this program.
    #[error("{}: {why}; it was left as it is: restore it, or remove it to begin anew", .file.display())]
    Content {
        /// Which.
        file: PathBuf,
        /// What is wrong with it, by the name of the field.
        why: String,
    },
    /// There are pairs, but of nobody.
    #[error("{} is gone, and there are pairs: restore it, or remove pairs.json to begin anew", .0.display())]
    IdentityGone(PathBuf),
    /// No identity could be made.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// Pairs that were not stored, and why. They are known until the node ends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not stored: {0}")]
pub struct NotStored(pub(super) String);

/// How lasting the state is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Storage {
    /// The state directory; none where there is no place for one, or the node was not given any.
    pub directory: Option<String>,
    /// Whether the node will be the same after a restart.
    pub identity_stored: bool,
    /// Whether pairs made from now on will be known after a restart.
    pub pairs_stored: bool,
    /// Why, if either is not so.
    pub why: Option<String>,
}

/// What a node starts with.
#[derive(Debug)]
pub struct State {
    /// Who it is.
    pub identity: Identity,
    /// The devices it is paired with, stored and provisioned.
    pub pairs: Pairs,
    /// Where changes go.
    pub store: Store,
}

impl State {
    /// Reads the state, and makes what is not there yet: the directory, and an identity from `rng`. Blocks, for as long as a few
    /// small files take.
    ///
    /// # Errors
    /// Only where going on would mean to be somebody else than before, or to trust what others wrote; see [`StoreError`].
    pub fn open(place: StatePlace, access: Access, rng: &mut impl Rng) -> Result<Self, StoreError> {
        let disk = Disk::around(place.directory.as_deref().ok());
        let (identity, pairs, shelf) = Shelf::open(disk, place, access, rng)?;
        Ok(Self { identity, pairs, store: Store(shelf) })
    }
}

/// The state directory of a node at work.
#[derive(Debug)]
pub struct Store(Shelf<Disk>);

impl Store {
    /// How lasting the state is.
    #[must_use]
    pub fn storage(&self) -> Storage {
        self.0.storage()
    }

    /// Stores the pairs, all but the provisioned ones, in place of those stored before. When it returns, they survive a power cut.
    /// Blocks: cheap SD cards take a second now and then.
    ///
    /// # Errors
    /// When that was not possible. The pairs stored before are still there, unless the very last step failed; it is tried again with
    /// the next change.
    pub fn save_pairs(&mut self, pairs: &Pairs) -> Result<(), NotStored> {
        self.0.save_pairs(pairs)
    }

    /// The directory, if there is one.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        self.0.directory()
    }
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
