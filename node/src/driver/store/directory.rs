//! The state directory itself: whose it is, and what its files hold.

use std::io;
use std::path::Path;

use super::disk::check_owner;
use super::files::Files;
use super::format::Fault;
use super::{StoreError, replace};
use crate::limits::MAX_STATE_FILE_BYTES;

/// Makes the directory if need be, and the way to it; within, how that failed.
///
/// # Errors
/// When others could have written what is in it.
pub(super) fn enter<F: Files>(files: &F, directory: &Path) -> Result<io::Result<()>, StoreError> {
    let made = match files.attributes(directory) {
        Ok(None) => replace::make_directories(files, directory),
        Ok(Some(_)) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = made {
        return Ok(Err(error));
    }
    match look(files, directory)? {
        Ok(true) => Ok(Ok(())),
        Ok(false) => Ok(Err(io::Error::other("is gone again"))),
        Err(error) => Ok(Err(error)),
    }
}

/// Whether the directory is there; within, how that was not found out.
///
/// # Errors
/// When others could have written what is in it.
pub(super) fn look<F: Files>(files: &F, directory: &Path) -> Result<io::Result<bool>, StoreError> {
    let found = match files.attributes(directory) {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(Ok(false)),
        Err(error) => return Ok(Err(error)),
    };
    let refused = |why: String| Err(StoreError::Directory { directory: directory.to_owned(), why });
    if !found.is_directory {
        return refused("is not a directory".to_owned());
    }
    let user = files.user();
    if found.owner != user {
        return refused(format!("belongs to user {}, and this is user {user}", found.owner));
    }
    if let Err(why) = check_owner(user, found.owner, found.mode) {
        return refused(format!("{why}; `chmod 700` it if that was a mistake"));
    }
    Ok(Ok(true))
}

/// What a file in the directory holds, if it is there.
pub(super) fn read<F: Files, T>(
    files: &F,
    directory: &Path,
    name: &str,
    read: fn(&[u8]) -> Result<T, Fault>,
) -> Result<Option<T>, StoreError> {
    let file = directory.join(name);
    match read_file(files, &file, read) {
        Ok(found) => Ok(found),
        Err(Unread::Io(error)) => Err(StoreError::Read { file, why: error.to_string() }),
        Err(Unread::Content(fault)) => Err(StoreError::Content { file, why: fault.to_string() }),
    }
}

/// Why a file that is there told nothing.
pub(super) enum Unread {
    Io(io::Error),
    Content(Fault),
}

pub(super) fn read_file<F: Files, T>(
    files: &F,
    path: &Path,
    read: fn(&[u8]) -> Result<T, Fault>,
) -> Result<Option<T>, Unread> {
    let bytes = files.read(path, MAX_STATE_FILE_BYTES).map_err(Unread::Io)?.map(zeroize::Zeroizing::new);
    bytes.map(|bytes| read(&bytes)).transpose().map_err(Unread::Content)
}
