//! The tokens of this device's router, in the state directory.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use router_lite::{AccessToken, Token, TokenHash, TokenScope, TokenTable, TokenTableError};

use super::disk::Disk;
use super::files::Files;
use super::{NotStored, StatePlace, StoreError, directory, format, replace};
use crate::limits::MAX_STATE_FILE_BYTES;

const TOKENS: &str = "tokens.json";

/// Held from reading the tokens to having replaced them.
const TOKENS_LOCK: &str = "tokens.lock";

/// What to do while another process changes the tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Wait until it has.
    UntilFree,
    /// Nothing: whoever asked may ask again.
    Not,
}

/// Why tokens were not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// There is something that must not be written over.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The token cannot be had.
    #[error(transparent)]
    Table(#[from] TokenTableError),
    /// There is none of that name.
    #[error("no token is called {0:?}; `clasp-node token list` tells which there are")]
    Unknown(String),
    /// The disk does not take it.
    #[error(transparent)]
    NotStored(#[from] NotStored),
}

/// Tells a file from what has replaced it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

/// Where tokens are kept. Every change reads them anew first: this is nobody's copy.
#[derive(Debug)]
pub struct TokenStore(TokenShelf<Disk>);

impl TokenStore {
    /// That of this state directory.
    #[must_use]
    pub fn at(place: StatePlace) -> Self {
        Self(TokenShelf { files: Disk::around(place.directory.as_deref().ok()), directory: place.directory })
    }

    /// The tokens stored. There are none where there is no state directory.
    ///
    /// # Errors
    /// When they cannot be read or understood.
    pub fn read(&self) -> Result<TokenTable, StoreError> {
        self.0.read()
    }

    /// What tells whether they have changed since; none where there is no file of them.
    #[must_use]
    pub fn stamp(&self) -> Option<Stamp> {
        let found = std::fs::metadata(self.0.directory.as_ref().ok()?.join(TOKENS)).ok()?;
        let changed = (found.ctime(), found.ctime_nsec());
        Some(Stamp { device: found.dev(), inode: found.ino(), bytes: found.size(), changed })
    }

    /// Adds a token that allows this, and takes out those of `gone`; returns what is stored now. Blocks.
    ///
    /// # Errors
    /// When it is not stored.
    pub fn add(
        &self,
        name: &str,
        token: &Token,
        scopes: &[TokenScope],
        gone: &[TokenHash],
        wait: Wait,
    ) -> Result<TokenTable, TokenError> {
        let ((), table) = self.0.change(gone, wait, |table| {
            table.insert(name, token.hash(), scopes)?;
            Ok(())
        })?;
        Ok(table)
    }

    /// Takes out the token of this name, and those of `gone`; returns it and what is stored now. Blocks.
    ///
    /// # Errors
    /// When there is none, or the change is not stored.
    pub fn revoke(
        &self,
        name: &str,
        gone: &[TokenHash],
        wait: Wait,
    ) -> Result<(AccessToken, TokenTable), TokenError> {
        self.0.change(gone, wait, |table| {
            table.remove(name).ok_or_else(|| TokenError::Unknown(name.to_owned()))
        })
    }
}

/// The same on any file system.
#[derive(Debug)]
pub(super) struct TokenShelf<F> {
    pub(super) files: F,
    /// Or why there is nowhere.
    pub(super) directory: Result<PathBuf, String>,
}

impl<F: Files> TokenShelf<F> {
    pub(super) fn read(&self) -> Result<TokenTable, StoreError> {
        let Ok(directory) = &self.directory else { return Ok(TokenTable::new()) };
        match directory::look(&self.files, directory)? {
            Ok(true) => self.read_in(directory),
            Ok(false) => Ok(TokenTable::new()),
            Err(error) => Err(StoreError::Read { file: directory.clone(), why: error.to_string() }),
        }
    }

    pub(super) fn change<T>(
        &self,
        gone: &[TokenHash],
        wait: Wait,
        change: impl FnOnce(&mut TokenTable) -> Result<T, TokenError>,
    ) -> Result<(T, TokenTable), TokenError> {
        let directory = self.directory.as_ref().map_err(|why| NotStored(why.clone()))?;
        directory::enter(&self.files, directory)?.map_err(|error| not_stored(directory, &error))?;
        let lock = directory.join(TOKENS_LOCK);
        let locked = match wait {
            Wait::UntilFree => self.files.lock(&lock).map(Some),
            Wait::Not => self.files.try_lock(&lock),
        };
        let _lock = locked.map_err(|error| not_stored(&lock, &error))?.ok_or_else(|| {
            NotStored(format!("{}: another process changes the tokens; try again", lock.display()))
        })?;
        let mut table = self.read_in(directory)?;
        for hash in gone {
            table.remove_hash(hash);
        }
        let changed = change(&mut table)?;
        let text = format::write_tokens(&table);
        if text.len() > MAX_STATE_FILE_BYTES {
            let why = format!("all tokens together would take more than {MAX_STATE_FILE_BYTES} bytes");
            return Err(NotStored(why).into());
        }
        // The directory may be new.
        replace::sync_way(&self.files, directory)
            .and_then(|()| replace::replace(&self.files, directory, TOKENS, &text))
            .map_err(|error| not_stored(&directory.join(TOKENS), &error))?;
        Ok((changed, table))
    }

    fn read_in(&self, directory: &Path) -> Result<TokenTable, StoreError> {
        Ok(directory::read(&self.files, directory, TOKENS, format::read_tokens)?.unwrap_or_default())
    }
}

fn not_stored(path: &Path, error: &std::io::Error) -> NotStored {
    NotStored(format!("{}: {error}", path.display()))
}
