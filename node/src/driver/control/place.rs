//! Where the control socket is.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Where the service has its socket. Only root can put anything into `/run`.
const OF_SERVICE: &str = "/run/clasp-node";

/// The socket's name in its directory.
const NAME: &str = "control.sock";

/// Where the control socket is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// There; its directory exists.
    Given(PathBuf),
    /// In this directory, which is ours alone.
    Own(PathBuf),
}

/// A directory where anybody could put a socket, or read ours.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", .directory.display())]
pub struct PlaceError {
    directory: PathBuf,
    why: String,
}

impl Place {
    /// The given path, or where it is by default: for root in `/run/clasp-node`, else in `$XDG_RUNTIME_DIR/clasp-node`, else in
    /// `/tmp/clasp-node-UID`.
    #[must_use]
    pub fn choose(given: Option<PathBuf>) -> Self {
        match given {
            Some(path) => Self::Given(path),
            None => {
                let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
                Self::Own(default_directory(runtime, rustix::process::geteuid().as_raw()))
            }
        }
    }

    /// Whether somebody has chosen it.
    #[must_use]
    pub fn is_given(&self) -> bool {
        matches!(self, Self::Given(_))
    }

    /// Makes the directory if need be, for this user alone.
    pub(super) fn prepare(&self) -> Result<PathBuf, PlaceError> {
        if let Self::Own(directory) = self {
            match DirBuilder::new().mode(0o700).create(directory) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(PlaceError { directory: directory.clone(), why: error.to_string() });
                }
            }
        }
        self.find()
    }

    /// The socket's path, if it is where nobody else could have put it.
    pub(super) fn find(&self) -> Result<PathBuf, PlaceError> {
        match self {
            Self::Given(path) => Ok(path.clone()),
            Self::Own(directory) => {
                check(directory, rustix::process::geteuid().as_raw())?;
                Ok(directory.join(NAME))
            }
        }
    }
}

fn default_directory(runtime: Option<PathBuf>, uid: u32) -> PathBuf {
    if uid == 0 {
        return OF_SERVICE.into(); // root's commands are for the service, from whatever kind of session
    }
    match runtime.filter(|directory| directory.is_absolute()) {
        Some(directory) => directory.join("clasp-node"),
        None => format!("/tmp/clasp-node-{uid}").into(),
    }
}

/// Whether a node runs as a service here, whose socket is not for this user.
pub(super) fn is_service_elsewhere() -> bool {
    !rustix::process::geteuid().is_root() && Path::new(OF_SERVICE).is_dir()
}

/// A directory in `/tmp` can be anybody's. The service's belongs to the service's user, whom root need not fear: only root could have
/// made it.
fn check(directory: &Path, uid: u32) -> Result<(), PlaceError> {
    let fault = |why: String| PlaceError { directory: directory.to_owned(), why };
    let found = match std::fs::symlink_metadata(directory) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(fault("does not exist".to_owned()));
        }
        Err(error) => return Err(fault(error.to_string())),
    };
    if !found.is_dir() {
        return Err(fault("is not a directory".to_owned()));
    }
    let is_of_service = uid == 0 && directory == Path::new(OF_SERVICE);
    if found.uid() != uid && !is_of_service {
        return Err(fault(format!("belongs to user {}", found.uid())));
    }
    if found.mode() & 0o077 != 0 {
        return Err(fault(format!("is open to other users (mode {:o}, not 700)", found.mode() & 0o777)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_directory_is_the_users_own() {
        let runtime = |path: &str| Some(PathBuf::from(path));
        for (given, uid, want) in [
            (runtime("/run/user/1000"), 1000, "/run/user/1000/clasp-node"),
            (None, 0, "/run/clasp-node"),
            (runtime("/run/user/0"), 0, "/run/clasp-node"),
            (None, 1000, "/tmp/clasp-node-1000"),
            (runtime("relative"), 1000, "/tmp/clasp-node-1000"),
            (runtime(""), 0, "/run/clasp-node"),
        ] {
            assert_eq!(default_directory(given, uid), PathBuf::from(want));
        }
    }

    #[test]
    fn a_directory_that_others_could_use_is_refused() {
        let directory = std::env::temp_dir().join(format!("clasp-node-place-{}", std::process::id()));
        let place = Place::Own(directory.clone());
        assert!(place.find().unwrap_err().to_string().ends_with("does not exist"));
        assert_eq!(place.prepare().unwrap(), directory.join("control.sock"));
        assert_eq!(std::fs::metadata(&directory).unwrap().mode() & 0o777, 0o700);
        assert!(place.prepare().is_ok(), "again");

        std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(place.find().unwrap_err().to_string().contains("mode 755"));
        let owner = std::fs::metadata(&directory).unwrap().uid();
        std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o700)).unwrap();
        assert!(check(&directory, owner + 1).unwrap_err().to_string().contains("belongs to user"));
        std::fs::remove_dir(&directory).unwrap();

        std::os::unix::fs::symlink(std::env::temp_dir(), &directory).unwrap();
        assert!(
            place.find().unwrap_err().to_string().ends_with("is not a directory"),
            "a link is not followed"
        );
        std::fs::remove_file(&directory).unwrap();
    }
}
