//! What the store asks of a file system, one step at a time: power may be cut before and after each, and each may fail. The tests
//! have one in memory where both happen at every step.

use std::io;
use std::path::Path;

/// What is known of a directory without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) is_directory: bool,
    pub(super) owner: u32,
    /// Permission bits.
    pub(super) mode: u32,
}

/// A file system.
pub(super) trait Files {
    /// A file being written.
    type File;
    /// Held until it is dropped, or the process ends in any way.
    type Lock;

    /// The user this process acts as.
    fn user(&self) -> u32;

    /// What is there, if anything is.
    fn attributes(&self, path: &Path) -> io::Result<Option<Attributes>>;

    /// Makes a directory for this user alone.
    fn make_directory(&self, path: &Path) -> io::Result<()>;

    /// The names in a directory that have this extension, the first `limit` of them in order, and how many more there are.
    fn list(&self, directory: &Path, extension: &str, limit: usize) -> io::Result<(Vec<String>, usize)>;

    /// All of a file, if it is there; an error if it is longer than `limit` bytes, or others could have written it.
    fn read(&self, path: &Path, limit: usize) -> io::Result<Option<Vec<u8>>>;

    /// Makes a file that is not there yet, for this user alone.
    fn create(&self, path: &Path) -> io::Result<Self::File>;

    /// Appends.
    fn write(&self, file: &mut Self::File, bytes: &[u8]) -> io::Result<()>;

    /// Returns when what was written survives a power cut.
    fn sync(&self, file: &mut Self::File) -> io::Result<()>;

    /// Gives a file another name, which it takes from whatever had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Returns when the names in this directory survive a power cut.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;

    /// Locks this file, which is made if need be, against other processes, waiting until they have unlocked it.
    fn lock(&self, path: &Path) -> io::Result<Self::Lock>;

    /// The same without waiting: `None` if another process has locked it.
    fn try_lock(&self, path: &Path) -> io::Result<Option<Self::Lock>>;
}
