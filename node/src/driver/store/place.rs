//! Where the state is.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where files of pairs are looked for besides the state directory.
const PROVISIONED: &str = "/etc/clasp-node/pairs.d";

/// Where a node keeps its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatePlace {
    /// Or why there is nowhere.
    pub(super) directory: Result<PathBuf, String>,
    pub(super) provisioned: PathBuf,
}

/// What of the environment says where it is.
#[derive(Debug, Default)]
struct Surroundings {
    /// `STATE_DIRECTORY`: systemd's, for a service.
    service: Option<OsString>,
    /// `XDG_STATE_HOME`
    state_home: Option<OsString>,
    /// `HOME`
    home: Option<OsString>,
    user: u32,
}

impl StatePlace {
    /// The given directory, or where it is by default: what systemd gave a service (`$STATE_DIRECTORY`), for root
    /// `/var/lib/clasp-node`, for others `$XDG_STATE_HOME/clasp-node`, else `~/.local/state/clasp-node`.
    #[must_use]
    pub fn choose(given: Option<PathBuf>) -> Self {
        let directory = match given.filter(|given| !given.as_os_str().is_empty()) {
            Some(given) => std::path::absolute(given).map_err(|error| error.to_string()),
            None => default_directory(Surroundings {
                service: std::env::var_os("STATE_DIRECTORY"),
                state_home: std::env::var_os("XDG_STATE_HOME"),
                home: std::env::var_os("HOME"),
                user: rustix::process::geteuid().as_raw(),
            }),
        };
        Self { directory, provisioned: PROVISIONED.into() }
    }

    /// Where the identity is, if it can be stored.
    #[must_use]
    pub fn identity_file(&self) -> Option<PathBuf> {
        self.directory.as_ref().ok().map(|directory| directory.join(super::shelf::IDENTITY))
    }
}

fn default_directory(surroundings: Surroundings) -> Result<PathBuf, String> {
    let Surroundings { service, state_home, home, user } = surroundings;
    let absolute =
        |path: Option<OsString>| path.map(PathBuf::from).filter(|path| Path::new(path).is_absolute());
    // Several are separated by colons; ours is the first.
    let service = service.and_then(|paths| {
        let paths = paths.into_string().ok()?;
        paths.split(':').next().map(OsString::from)
    });
    if let Some(directory) = absolute(service) {
        return Ok(directory);
    }
    if user == 0 {
        return Ok("/var/lib/clasp-node".into());
    }
    let home = || absolute(home).map(|home| home.join(".local/state"));
    let state = absolute(state_home).or_else(home);
    state.map(|state| state.join("clasp-node")).ok_or_else(|| {
        "there is no state directory: neither $XDG_STATE_HOME nor $HOME is an absolute path, and --state-dir \
         was not given"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_where_a_service_root_or_a_user_has_it() {
        let some = |text: &str| Some(OsString::from(text));
        for (service, state_home, home, user, want) in [
            (some("/var/lib/clasp-node"), None, None, 1000, Some("/var/lib/clasp-node")),
            (some("/var/lib/private/a:/var/lib/b"), None, None, 0, Some("/var/lib/private/a")),
            (None, some("/x"), some("/root"), 0, Some("/var/lib/clasp-node")),
            (None, some("/x"), some("/home/pi"), 1000, Some("/x/clasp-node")),
            (None, some("relative"), some("/home/pi"), 1000, Some("/home/pi/.local/state/clasp-node")),
            (some(""), None, some("/home/pi"), 1000, Some("/home/pi/.local/state/clasp-node")),
            (None, None, some(""), 1000, None),
            (None, None, None, 1000, None),
        ] {
            let found = default_directory(Surroundings { service, state_home, home, user });
            assert_eq!(found.as_deref().ok(), want.map(Path::new), "{found:?}");
        }
    }

    #[test]
    fn a_given_directory_wins_and_is_made_absolute() {
        let of = |path: &str| StatePlace::choose(Some(path.into())).directory.unwrap();
        assert_eq!(of("/x/y"), PathBuf::from("/x/y"));
        assert_eq!(of("y"), std::env::current_dir().unwrap().join("y"));
        assert_eq!(StatePlace::choose(Some("".into())), StatePlace::choose(None), "as if it were not there");
    }
}
