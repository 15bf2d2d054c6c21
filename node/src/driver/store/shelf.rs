//! The state directory on any file system: what is read, and in which order what is written survives.

mod provisioned;

use std::path::{Path, PathBuf};

use log::{info, warn};
use rand::Rng;

use super::files::Files;
use super::format::{self, Fault};
use super::{Access, NotStored, StatePlace, Storage, StoreError, directory, replace};
use crate::identity::Identity;
use crate::pairs::Pairs;

pub(super) const IDENTITY: &str = "identity.json";
const PAIRS: &str = "pairs.json";

/// Held while an identity is made, and no longer.
const IDENTITY_LOCK: &str = "identity.lock";

/// Held by the process that writes pairs, for as long as it lives.
const PAIRS_LOCK: &str = "pairs.lock";

/// The state directory of a node at work.
pub(super) struct Shelf<F: Files> {
    files: F,
    directory: Option<PathBuf>,
    pairs_lock: Option<F::Lock>,
    identity_stored: bool,
    /// Why pairs are not stored, or the identity is not.
    why: Option<String>,
}

impl<F: Files> std::fmt::Debug for Shelf<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shelf")
            .field("directory", &self.directory)
            .field("why", &self.why)
            .finish_non_exhaustive()
    }
}

impl<F: Files> Shelf<F> {
    /// Reads what is there, and makes what is not.
    pub(super) fn open(
        files: F,
        place: StatePlace,
        access: Access,
        rng: &mut impl Rng,
    ) -> Result<(Identity, Pairs, Self), StoreError> {
        let StatePlace { directory, provisioned } = place;
        let mut shelf = Self { files, directory: None, pairs_lock: None, identity_stored: false, why: None };
        match directory {
            Ok(directory) => shelf.enter(directory)?,
            Err(why) => shelf.why = Some(why),
        }
        let identity = shelf.identity(rng)?;
        if access == Access::Write && shelf.identity_stored {
            shelf.take_pairs();
        }
        let mut pairs = shelf.pairs()?;
        let own = shelf.directory.iter().map(|directory| directory.join("pairs.d"));
        for directory in own.chain([provisioned]) {
            provisioned::add(&shelf.files, &directory, &mut pairs);
        }
        if let Some(why) = shelf.why.as_ref().filter(|_| access == Access::Write || !shelf.identity_stored) {
            let what = if shelf.identity_stored { "new pairs are" } else { "the identity is" };
            warn!("{what} remembered until this node ends, not longer: {why}");
        }
        Ok((identity, pairs, shelf))
    }

    pub(super) fn directory(&self) -> Option<&Path> {
        self.directory.as_deref()
    }

    pub(super) fn storage(&self) -> Storage {
        Storage {
            directory: self.directory.as_ref().map(|directory| directory.display().to_string()),
            identity_stored: self.identity_stored,
            pairs_stored: self.pairs_lock.is_some() && self.why.is_none(),
            why: self.why.clone(),
        }
    }

    pub(super) fn save_pairs(&mut self, pairs: &Pairs) -> Result<(), NotStored> {
        let (Some(directory), Some(_)) = (&self.directory, &self.pairs_lock) else {
            return Err(NotStored(
                self.why.clone().unwrap_or_else(|| "this command only reads them".to_owned()),
            ));
        };
        match replace::replace(&self.files, directory, PAIRS, &format::write_pairs(pairs)) {
            Ok(()) => {
                if self.why.take().is_some() {
                    info!("{}: pairs are stored again", directory.display());
                }
                Ok(())
            }
            Err(error) => {
                let why = error.to_string();
                if self.why.as_ref() != Some(&why) {
                    warn!("pairs are remembered until this node ends, not longer: {why}");
                }
                self.why = Some(why.clone());
                Err(NotStored(why))
            }
        }
    }

    /// Makes the directory if need be. Where that is not possible, there is none.
    fn enter(&mut self, directory: PathBuf) -> Result<(), StoreError> {
        match directory::enter(&self.files, &directory)? {
            Ok(()) => self.directory = Some(directory),
            Err(error) => self.why = Some(format!("{}: {error}", directory.display())),
        }
        Ok(())
    }

    fn identity(&mut self, rng: &mut impl Rng) -> Result<Identity, StoreError> {
        let Some(directory) = self.directory.clone() else { return Ok(Identity::generate(rng)?) };
        if let Some(identity) = self.read(IDENTITY, format::read_identity)? {
            self.identity_stored = true;
            return Ok(identity);
        }
        // Another process may be making one: that one counts.
        let lock = self.files.lock(&directory.join(IDENTITY_LOCK));
        if let Some(identity) = self.read(IDENTITY, format::read_identity)? {
            self.identity_stored = true;
            return Ok(identity);
        }
        if self.read(PAIRS, format::read_pairs)?.is_some() {
            return Err(StoreError::IdentityGone(directory.join(IDENTITY)));
        }
        let identity = Identity::generate(rng)?;
        let text = format::write_identity(&identity);
        let stored = lock.and_then(|_lock| {
            replace::sync_way(&self.files, &directory)?;
            replace::replace(&self.files, &directory, IDENTITY, &text)
        });
        match stored {
            Ok(()) => self.identity_stored = true,
            Err(error) => self.why = Some(format!("{}: {error}", directory.join(IDENTITY).display())),
        }
        Ok(identity)
    }

    /// Becomes the process that writes pairs, unless another one is.
    fn take_pairs(&mut self) {
        let Some(directory) = &self.directory else { return };
        match self.files.try_lock(&directory.join(PAIRS_LOCK)) {
            Ok(Some(lock)) => self.pairs_lock = Some(lock),
            Ok(None) => {
                let directory = directory.display();
                self.why = Some(format!("another clasp-node that runs here keeps its pairs in {directory}"));
            }
            Err(error) => self.why = Some(format!("{}: {error}", directory.join(PAIRS_LOCK).display())),
        }
    }

    fn pairs(&self) -> Result<Pairs, StoreError> {
        Ok(self.read(PAIRS, format::read_pairs)?.unwrap_or_default())
    }

    /// What a file holds, if it is there.
    fn read<T>(&self, name: &str, read: fn(&[u8]) -> Result<T, Fault>) -> Result<Option<T>, StoreError> {
        let Some(directory) = &self.directory else { return Ok(None) };
        directory::read(&self.files, directory, name, read)
    }
}
