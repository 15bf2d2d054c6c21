//! One end as a process: its lines, and what the kernel says about it.

use std::ffi::OsStr;
use std::fs::read_to_string;
use std::path::PathBuf;
use std::time::Duration;

use channel_peer::{Command, Event};
use smol::channel::Sender;
use smol::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use smol::process::{Child, ChildStdin, ChildStdout, Stdio};
use smol::stream::StreamExt as _;
use smol::{LocalExecutor, Task, Timer};

use crate::Outcome;
use crate::pair::Side;

/// Ticks a second in `/proc/PID/stat`: fixed on Linux, whatever the kernel's own tick.
const TICKS_PER_S: u64 = 100;

/// Memory is settled when it was the same so many times in a row, with the pause between.
const SETTLED_LOOKS: usize = 5;
const SETTLE_PAUSE: Duration = Duration::from_millis(100);
const SETTLE_LOOKS: usize = 30;

/// How to start an end.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    /// The script, for an interpreter.
    pub(crate) script: Option<PathBuf>,
}

/// A process that ends with this handle.
pub(crate) struct Process {
    child: Child,
    input: ChildStdin,
    _reading: Task<()>,
}

impl Process {
    /// Starts it; what it tells goes to `told`.
    pub(crate) fn start(
        program: &Program,
        router: Option<&str>,
        (side, told): (Side, Sender<(Side, Event)>),
        executor: &LocalExecutor<'static>,
    ) -> Outcome<Self> {
        let name = program.path.display();
        let mut child = smol::process::Command::new(&program.path)
            .args(&program.script)
            .args(router.map(OsStr::new))
            .env("RUST_LOG", "error")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{name}: {error}"))?;
        let input = child.stdin.take().ok_or("no standard input")?;
        let output = child.stdout.take().ok_or("no standard output")?;
        Ok(Self { child, input, _reading: executor.spawn(read(output, side, told)) })
    }

    pub(crate) async fn tell(&mut self, command: &Command) -> Outcome<()> {
        let mut line = serde_json::to_string(command)?;
        line.push('\n');
        self.tell_line(line.as_bytes()).await
    }

    pub(crate) async fn tell_line(&mut self, line: &[u8]) -> Outcome<()> {
        self.input.write_all(line).await?;
        Ok(self.input.flush().await?)
    }

    /// Processor time used so far, user and system.
    pub(crate) fn cpu(&self) -> Outcome<Duration> {
        let stat = read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The second field is the program's name in brackets, which may itself hold blanks and brackets.
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let mut times = fields.split_whitespace().skip(11).map(str::parse::<u64>);
        let (Some(Ok(user)), Some(Ok(system))) = (times.next(), times.next()) else {
            return Err(format!("unexpected /proc/PID/stat: {stat}").into());
        };
        Ok(Duration::from_millis((user + system) * 1000 / TICKS_PER_S))
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

    /// The most memory it has had, in KiB.
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

async fn read(output: ChildStdout, side: Side, told: Sender<(Side, Event)>) {
    let mut lines = BufReader::new(output).lines();
    let why = loop {
        match lines.next().await {
            Some(Ok(line)) => match serde_json::from_str(&line) {
                Ok(event) => {
                    if told.send((side, event)).await.is_err() {
                        return;
                    }
                }
                Err(error) => break format!("{error}: {line}"),
            },
            Some(Err(error)) => break error.to_string(),
            None => break "it ended".to_owned(),
        }
    };
    drop(told.send((side, Event::Failed { why })).await); // nobody listens: nobody wants to know
}
