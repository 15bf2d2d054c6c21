//! Writing so that a power cut leaves the old or the new, and nothing that was reported as written is lost.

use std::io;
use std::path::Path;

use crate::driver::store::files::Files;

/// Replaces a file. Between any two steps the file that is read after a power cut is the old or the new one; once all are done, it is
/// the new one. The caller sees to it that nobody else does the same.
pub(super) fn replace<F: Files>(files: &F, directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let (target, temporary) = (directory.join(name), directory.join(format!("{name}.tmp")));
    remove(files, &temporary)?; // what an earlier power cut left
    let written = files.create(&temporary).and_then(|mut file| {
        files.write(&mut file, bytes)?;
        files.sync(&mut file) // before the name leads to it
    });
    if let Err(error) = written.and_then(|()| files.rename(&temporary, &target)) {
        // A disk that is full gets its room back. What cannot be removed is removed next time.
        if let Err(error) = remove(files, &temporary) {
            log::debug!("{}: {error}", temporary.display());
        }
        return Err(error);
    }
    files.sync_directory(directory)
}

/// Makes a directory and those above it that are missing.
pub(super) fn make_directories<F: Files>(files: &F, directory: &Path) -> io::Result<()> {
    for directory in directory.ancestors().collect::<Vec<_>>().into_iter().rev() {
        if files.attributes(directory)?.is_some() {
            continue;
        }
        match files.make_directory(directory) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {} // another process was first
            other => other?,
        }
    }
    Ok(())
}

/// Makes the way to a directory survive a power cut: this process, or one that ended before it did so, may have made it.
pub(super) fn sync_way<F: Files>(files: &F, directory: &Path) -> io::Result<()> {
    for above in directory.ancestors().skip(1) {
        match files.sync_directory(above) {
            // We made nothing in a directory of others that we may not even look into.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !is_own(files, above) => {}
            other => other?,
        }
    }
    Ok(())
}

fn is_own<F: Files>(files: &F, directory: &Path) -> bool {
    matches!(files.attributes(directory), Ok(Some(found)) if found.owner == files.user())
}

fn remove<F: Files>(files: &F, path: &Path) -> io::Result<()> {
    match files.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
