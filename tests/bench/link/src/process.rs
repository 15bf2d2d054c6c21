//! Other processes, and what the kernel says about them and about this one.

use std::fs::read_to_string;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use smol::Timer;
use smol::io::{AsyncBufReadExt as _, BufReader, Lines};
use smol::process::{Child, ChildStdout, Command, Stdio};
use smol::stream::StreamExt as _;

use crate::Outcome;

/// Ticks a second in `/proc/PID/stat`: fixed on Linux, whatever the kernel's own tick.
const TICKS_PER_S: u64 = 100;

/// How often the peak of a process that will end by itself is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Memory is settled when it was the same so many times in a row, with the pause between.
const SETTLED_LOOKS: usize = 5;
const SETTLE_PAUSE: Duration = Duration::from_millis(50);
const SETTLE_LOOKS: usize = 60;

/// A process that ends with this handle.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    name: String,
}

impl Process {
    pub(crate) fn start(program: &Path, arguments: &[&str]) -> Outcome<Self> {
        let name = format!("{} {}", program.display(), arguments.join(" "));
        let mut child = Command::new(program)
            .args(arguments)
            .env("RUST_LOG", "error")
            .env("CLASP_NODE_TRUST", "open") // the two have never been paired
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{name}: {error}"))?;
        let stdout = child.stdout.take().ok_or_else(|| format!("{name}: no standard output"))?;
        Ok(Self { child, lines: BufReader::new(stdout).lines(), name })
    }

    /// The next line it prints.
    pub(crate) async fn line(&mut self) -> Outcome<String> {
        let line = self.lines.next().await.ok_or_else(|| format!("{}: ended", self.name))?;
        Ok(line?)
    }

    /// Where it says that its router listens.
    pub(crate) async fn listening(&mut self) -> Outcome<String> {
        let line = self.line().await?;
        let url = line.strip_prefix("listening on ");
        Ok(url.ok_or_else(|| format!("{}: does not say where it listens: {line}", self.name))?.to_owned())
    }

    /// Processor time used so far, user and system.
    pub(crate) fn cpu(&self) -> Outcome<Duration> {
        cpu(&self.child.id().to_string())
    }

    /// Resident memory, once it does not change any more, in KiB.
    pub(crate) async fn settled_rss_kib(&self) -> Outcome<u64> {
        let (mut last, mut same) = (0, 0);
        for _ in 0..SETTLE_LOOKS {
            let rss = self.status_kib("VmRSS:")?;
            same = if rss == last { same + 1 } else { 0 };
            last = rss;
            if same == SETTLED_LOOKS {
                break;
            }
            Timer::after(SETTLE_PAUSE).await;
        }
        Ok(last)
    }

    /// Waits until it has ended by itself and succeeded; returns the most memory it was seen to have had, in KiB.
    pub(crate) async fn peak_rss_kib(mut self) -> Outcome<u64> {
        let mut peak = 0;
        loop {
            // A process about to end has no memory any more, and says so by leaving the line out.
            peak = self.status_kib("VmHWM:").unwrap_or(peak).max(peak);
            if let Some(status) = self.child.try_status()? {
                return succeeded(&self.name, status).map(|()| peak);
            }
            Timer::after(LOOK_EVERY).await;
        }
    }

    fn status_kib(&self, field: &str) -> Outcome<u64> {
        let status = read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let figure = line.and_then(|rest| rest.split_whitespace().next()).map(str::parse);
        Ok(figure.ok_or_else(|| format!("no {field} in /proc/PID/status"))??)
    }
}

/// Processor time this process has used so far.
pub(crate) fn own_cpu() -> Outcome<Duration> {
    cpu("self")
}

fn cpu(pid: &str) -> Outcome<Duration> {
    let stat = read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the program's name in brackets, which may itself hold blanks and brackets.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let mut times = fields.split_whitespace().skip(11).map(str::parse::<u64>);
    let (Some(Ok(user)), Some(Ok(system))) = (times.next(), times.next()) else {
        return Err(format!("unexpected /proc/PID/stat: {stat}").into());
    };
    Ok(Duration::from_millis((user + system) * 1000 / TICKS_PER_S))
}

fn succeeded(name: &str, status: ExitStatus) -> Outcome<()> {
    if status.success() { Ok(()) } else { Err(format!("{name}: {status}").into()) }
}
