//! The file system of this machine.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;

use log::warn;
use rustix::fs::OFlags;

use super::files::{Attributes, Files};

/// The file system of this machine.
///
/// Root acts for the service that owns the state directory: it has a user of its own, whose files the administrator's commands read and
/// change while it does not run. What is made there belongs to that user, or the service could not read it. Any other directory that
/// is not root's is refused to root, as to everybody else.
#[derive(Debug, Clone, Copy)]
pub(super) struct Disk {
    process: u32,
    /// Whose files these are.
    user: u32,
    group: u32,
}

/// Where systemd keeps the state of services that have users of their own. Only root can put anything into it.
const OF_SERVICES: &str = "/var/lib/private";

impl Disk {
    /// As far as it concerns a directory, which need not exist.
    pub(super) fn around(directory: Option<&Path>) -> Self {
        let (process, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let found = directory.filter(|_| process == 0).and_then(|directory| {
            let place = std::fs::canonicalize(directory).ok()?;
            place.starts_with(OF_SERVICES).then(|| std::fs::metadata(place).ok())?
        });
        match found {
            Some(found) => Self { process, user: found.uid(), group: found.gid() },
            None => Self { process, user: process, group },
        }
    }

    /// Gives what root has just made to whom it is for. What has another name elsewhere was not made here: it may be a file of root's
    /// that this user has put a second name to.
    fn hand_over(&self, file: File) -> io::Result<File> {
        if self.user != self.process {
            let found = file.metadata()?;
            if !found.is_file() || found.nlink() != 1 {
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, "is not a file of its own"));
            }
            fchown(&file, Some(self.user), Some(self.group))?;
        }
        Ok(file)
    }

    /// That user could have put a link to anything there.
    fn lock_file(&self, path: &Path) -> io::Result<File> {
        let no_link = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600).custom_flags(no_link);
        self.hand_over(options.open(path)?)
    }
}

impl Files for Disk {
    type File = File;
    type Lock = File;

    fn user(&self) -> u32 {
        self.user
    }

    fn attributes(&self, path: &Path) -> io::Result<Option<Attributes>> {
        let found = found(std::fs::metadata(path))?;
        Ok(found.map(|found| Attributes {
            is_directory: found.is_dir(),
            owner: found.uid(),
            mode: found.mode() & 0o7777,
        }))
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(path)
    }

    fn list(&self, directory: &Path, extension: &str, limit: usize) -> io::Result<(Vec<String>, usize)> {
        let Some(entries) = found(std::fs::read_dir(directory))? else { return Ok((Vec::new(), 0)) };
        let (mut names, mut more) = (BTreeSet::new(), 0);
        for entry in entries {
            let name = entry?.file_name();
            if Path::new(&name).extension().is_some_and(|found| found == extension) {
                names.insert(name);
                if names.len() > limit {
                    names.pop_last();
                    more += 1;
                }
            }
        }
        Ok((names.into_iter().filter_map(|name| name.into_string().ok()).collect(), more))
    }

    fn read(&self, path: &Path, limit: usize) -> io::Result<Option<Vec<u8>>> {
        // Asked before it is opened: opening a pipe would wait for somebody to write into it.
        let Some(attributes) = found(std::fs::metadata(path))? else { return Ok(None) };
        if !attributes.is_file() {
            return Err(io::Error::other("is not a file"));
        }
        let Some(file) = found(File::open(path))? else { return Ok(None) };
        let attributes = file.metadata()?;
        check_owner(self.user(), attributes.uid(), attributes.mode()).map_err(io::Error::other)?;
        if attributes.mode() & 0o044 != 0 {
            let mode = attributes.mode() & 0o777;
            warn!(
                "{}: other users may read it, and it holds secrets (mode {mode:o}, not 600)",
                path.display()
            );
        }
        let mut bytes = Vec::new();
        file.take(limit as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > limit {
            return Err(io::Error::other(format!("is longer than {limit} bytes")));
        }
        Ok(Some(bytes))
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        self.hand_over(OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?)
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync(&self, file: &mut File) -> io::Result<()> {
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        match File::open(path)?.sync_all() {
            // What some network file systems say, which write names through at once.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            other => other,
        }
    }

    fn lock(&self, path: &Path) -> io::Result<File> {
        let file = self.lock_file(path)?;
        file.lock()?;
        Ok(file)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<File>> {
        let file = self.lock_file(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// Whether what this user is to rely on could have been written by another one. Root may.
pub(super) fn check_owner(user: u32, owner: u32, mode: u32) -> Result<(), String> {
    if owner != user && owner != 0 {
        return Err(format!("belongs to user {owner}"));
    }
    if mode & 0o022 != 0 {
        return Err(format!("other users may write it (mode {:o})", mode & 0o777));
    }
    Ok(())
}

fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
