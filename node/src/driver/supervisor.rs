//! What a service manager is told, and asks: that the program is ready, that it ends, and every so often that it is well. The protocol
//! is systemd's, see sd_notify(3); where nobody asks for it, nothing is said.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use log::{debug, warn};

/// Who started this program as a service, if anybody did.
#[derive(Debug, Default)]
pub struct Supervisor {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

/// What the environment says of it.
#[derive(Debug, Default)]
struct Surroundings {
    /// `NOTIFY_SOCKET`: where to tell it.
    socket: Option<OsString>,
    /// `WATCHDOG_USEC`: after how many microseconds without a word it takes the program for dead.
    watchdog: Option<OsString>,
    /// `WATCHDOG_PID`: whom it means by that.
    process: Option<OsString>,
}

impl Supervisor {
    /// The one that the environment names.
    #[must_use]
    pub fn from_environment() -> Self {
        Self::of(&Surroundings {
            socket: std::env::var_os("NOTIFY_SOCKET"),
            watchdog: std::env::var_os("WATCHDOG_USEC"),
            process: std::env::var_os("WATCHDOG_PID"),
        })
    }

    fn of(surroundings: &Surroundings) -> Self {
        let Some(address) = surroundings.socket.as_deref().filter(|address| !address.is_empty()) else {
            return Self::default();
        };
        let socket = match connect(address) {
            Ok(socket) => socket,
            Err(error) => {
                warn!("the service manager is told nothing: {}: {error}", address.display());
                return Self::default();
            }
        };
        let number = |text: &Option<OsString>| text.as_ref()?.to_str()?.parse::<u64>().ok();
        let is_us = surroundings.process.is_none()
            || number(&surroundings.process) == Some(u64::from(std::process::id()));
        let limit = number(&surroundings.watchdog).filter(|limit| *limit > 0 && is_us);
        Self { socket: Some(socket), watchdog: limit.map(Duration::from_micros) }
    }

    /// After how long without [`Self::well`] it takes the program for dead, if it does.
    #[must_use]
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Everything is open that others may want to reach.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={}\n", status.replace('\n', " ")));
    }

    /// The program does what it is there for.
    pub fn well(&self) {
        self.tell("WATCHDOG=1\n");
    }

    /// The program says goodbye to its peers.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\n");
    }

    fn tell(&self, what: &str) {
        // It does not block: a manager that does not listen must not stop the node.
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(what.as_bytes())
        {
            debug!(error:% = error; "the service manager was not told {what:?}");
        }
    }
}

fn connect(address: &OsStr) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    match address.as_bytes() {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        [b'@', name @ ..] => {
            use std::os::linux::net::SocketAddrExt;
            socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?;
        }
        _ => socket.connect_addr(&SocketAddr::from_pathname(address)?)?,
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 256];
        let len = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..len].to_vec()).unwrap()
    }

    #[test]
    fn who_asks_is_told() {
        let path = std::env::temp_dir().join(format!("clasp-node-notify-{}", std::process::id()));
        let manager = UnixDatagram::bind(&path).unwrap();
        let own = std::process::id().to_string();
        let surroundings = Surroundings {
            socket: Some(path.clone().into()),
            watchdog: Some("60000000".into()),
            process: Some(own.into()),
        };
        let supervisor = Supervisor::of(&surroundings);
        assert_eq!(supervisor.watchdog(), Some(Duration::from_secs(60)));
        supervisor.ready("listening on\nws://[::]:7330");
        supervisor.well();
        supervisor.stopping();
        assert_eq!(text(&manager), "READY=1\nSTATUS=listening on ws://[::]:7330\n");
        assert_eq!((text(&manager), text(&manager)), ("WATCHDOG=1\n".to_owned(), "STOPPING=1\n".to_owned()));
        std::fs::remove_file(&path).unwrap();
        supervisor.well(); // nobody listens any more, and nothing happens
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_name_without_a_file_will_do() {
        use std::os::linux::net::SocketAddrExt;
        let name = format!("clasp-node-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        let socket = Some(format!("@{name}").into());
        Supervisor::of(&Surroundings { socket, ..Surroundings::default() }).ready("here");
        assert_eq!(text(&manager), "READY=1\nSTATUS=here\n");
    }

    #[test]
    fn the_watchdog_is_only_for_whom_it_means() {
        let path = std::env::temp_dir().join(format!("clasp-node-watchdog-{}", std::process::id()));
        let _manager = UnixDatagram::bind(&path).unwrap();
        let limit = |watchdog: &str, process: Option<&str>| {
            let (socket, watchdog) = (Some(path.clone().into()), Some(watchdog.into()));
            Supervisor::of(&Surroundings { socket, watchdog, process: process.map(Into::into) }).watchdog()
        };
        assert_eq!(limit("1000000", None), Some(Duration::from_secs(1)));
        for (watchdog, process) in [("1000000", Some("1")), ("0", None), ("soon", None), ("", None)] {
            assert_eq!(limit(watchdog, process), None, "{watchdog} {process:?}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(Supervisor::of(&Surroundings::default()).socket.is_none());
        let nowhere = Some(path.into());
        let nobody = Supervisor::of(&Surroundings { socket: nowhere, ..Surroundings::default() });
        assert!(nobody.socket.is_none(), "and it starts all the same");
    }
}
