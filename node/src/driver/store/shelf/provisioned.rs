//! Pairs from files that somebody else keeps: whoever writes the SD cards of a fleet.

use std::path::Path;

use log::{info, warn};

use crate::driver::store::directory::{Unread, read_file};
use crate::driver::store::files::Files;
use crate::driver::store::format;
use crate::limits::MAX_PROVISIONED_FILES;
use crate::pairs::Pairs;

/// Adds the pairs of the files in a directory, in the order of their names. A device that is paired already stays as it is: what a
/// person did here counts more. What cannot be used is skipped, and said.
pub(super) fn add<F: Files>(files: &F, directory: &Path, pairs: &mut Pairs) {
    let (names, more) = match files.list(directory, "json", MAX_PROVISIONED_FILES) {
        Ok(found) => found,
        Err(error) => return warn!("{}: skipped: {error}", directory.display()),
    };
    if more > 0 {
        let directory = directory.display();
        warn!("{directory}: only the first {MAX_PROVISIONED_FILES} files are read, and {more} are skipped");
    }
    for name in names {
        let file = directory.join(name);
        let found = match read_file(files, &file, format::read_pairs) {
            Ok(Some(found)) => found,
            Ok(None) => continue, // removed since
            Err(Unread::Io(error)) => {
                warn!("{}: skipped: {error}", file.display());
                continue;
            }
            Err(Unread::Content(fault)) => {
                warn!("{}: skipped: {fault}", file.display());
                continue;
            }
        };
        for pair in found.iter() {
            let (id, mut pair) = (pair.id(), pair.clone());
            pair.provisioned = true;
            if pairs.by_id(id).is_some() {
                info!("{}: {id} is paired already", file.display());
            } else if let Err(error) = pairs.insert(pair) {
                warn!("{}: {id} skipped: {error}", file.display());
            }
        }
    }
}
