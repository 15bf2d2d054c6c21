//! A router as a process, and what the kernel says about it.

use std::fs::{read_dir, read_to_string};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::Outcome;
use crate::clock::pause;

/// What both print, before their address, when they accept clients.
const LISTENING: &str = "listening on ws://";

/// A figure is settled when it was the same so many times in a row, with [`SETTLE_PAUSE`] between.
const SETTLED_LOOKS: usize = 5;
const SETTLE_PAUSE: Duration = Duration::from_millis(40);
/// Then it is taken as it is.
const SETTLE_LOOKS: usize = 50;

/// How to start a router.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) arguments: Vec<String>,
}

impl Program {
    /// `router-lite` without its rate limit, open to everything.
    pub(crate) fn ours(path: &Path) -> Self {
        let arguments = "--bind 127.0.0.1:0 --rate 0 --max-sessions 1100 --remote full --log off";
        Self {
            name: "router-lite",
            path: path.to_owned(),
            arguments: arguments.split(' ').map(str::to_owned).collect(),
        }
    }

    /// `clasp-router` without its rate limit.
    pub(crate) fn stock(path: &Path) -> Self {
        Self { name: "clasp-router", path: path.to_owned(), arguments: vec!["1100".to_owned()] }
    }
}

/// A running router; it dies with this handle.
#[derive(Debug)]
pub(crate) struct Router {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    child: Child,
}

impl Router {
    pub(crate) fn start(program: &Program) -> Outcome<Self> {
        let mut child = Command::new(&program.path)
            .args(&program.arguments)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", program.path.display()))?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let Some(address) = line.trim().strip_prefix(LISTENING).and_then(|text| text.parse().ok()) else {
            child.kill()?;
            return Err(format!("{} does not say where it listens: {line:?}", program.path.display()).into());
        };
        Ok(Self { name: program.name, address, child })
    }

    /// Processor time used so far, in all threads, user and system.
    pub(crate) fn cpu(&self) -> Outcome<Duration> {
        let mut total = Duration::ZERO;
        for thread in read_dir(format!("/proc/{}/task", self.child.id()))? {
            // utime and stime in `stat` say the same, in steps of 10 ms: too coarse for a short round.
            let schedstat = read_to_string(thread?.path().join("schedstat"))?;
            let ran = schedstat.split_whitespace().next().map(str::parse);
            total += Duration::from_nanos(ran.ok_or("unexpected /proc/PID/task/TID/schedstat")??);
        }
        Ok(total)
    }

    /// Resident memory, once it does not change any more, in KiB.
    pub(crate) fn settled_rss_kib(&self) -> Outcome<u64> {
        let mut last = self.status_kib("VmRSS:")?;
        let mut same = 0;
        for _ in 0..SETTLE_LOOKS {
            pause(SETTLE_PAUSE);
            let rss = self.status_kib("VmRSS:")?;
            same = if rss == last { same + 1 } else { 0 };
            last = rss;
            if same == SETTLED_LOOKS {
                break;
            }
        }
        Ok(last)
    }

    /// The most memory it ever had resident, in KiB.
    pub(crate) fn peak_rss_kib(&self) -> Outcome<u64> {
        self.status_kib("VmHWM:")
    }

    fn status_kib(&self, field: &str) -> Outcome<u64> {
        let status = read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let figure = line.and_then(|rest| rest.split_whitespace().next()).map(str::parse);
        Ok(figure.ok_or_else(|| format!("no {field} in /proc/PID/status"))??)
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        // It may have ended by itself, which the measurement has noticed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
