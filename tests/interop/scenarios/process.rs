//! Owns: one child process, its output so far, and its end. Does not own: what the output means.
//!
//! Two threads collect the output; every wait has a deadline; dropping the handle kills the child.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Lines of stderr kept for failure messages and [`Process::wait_for_log`].
const LOG_LINES: usize = 2000;
/// Lines of stderr shown when a wait fails.
const LOG_SHOWN: usize = 25;

/// A running child. Each line of its stdout is an "event": its JSON, or else a string. Its stderr is a log.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    output: Arc<Output>,
}

impl Process {
    /// Starts a program; `name` is what failure messages call it.
    ///
    /// # Panics
    /// When the program cannot be started; the message says which and why.
    #[must_use]
    pub fn start(name: &str, command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: cannot start {:?}: {error}", command.get_program()));
        let output = Arc::new(Output::default());
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        if let Some(pipe) = stdout {
            let output = Arc::clone(&output);
            thread::spawn(move || output.collect(pipe, Collected::stdout_line));
        }
        if let Some(pipe) = stderr {
            let output = Arc::clone(&output);
            thread::spawn(move || output.collect(pipe, Collected::stderr_line));
        }
        Self { name: name.to_owned(), stdin: child.stdin.take(), child, output }
    }

    /// Writes one line to the child's stdin.
    ///
    /// # Panics
    /// When the child no longer reads.
    pub fn write_line(&mut self, line: &str) {
        let written = self.stdin.as_mut().map(|stdin| writeln!(stdin, "{line}").and_then(|()| stdin.flush()));
        if !matches!(written, Some(Ok(()))) {
            self.fail(&format!("does not take the line {line:.60}"));
        }
    }

    /// Waits for an event that `matches` and takes it out of the waiting ones; other events stay for later waits.
    ///
    /// # Panics
    /// At the deadline, or when the child ends first; the message shows what came instead.
    pub fn wait_for(&self, what: &str, deadline: Duration, matches: impl Fn(&Value) -> bool) -> Value {
        self.look_for(deadline, matches)
            .unwrap_or_else(|| self.fail(&format!("no {what} within {deadline:?}")))
    }

    /// As [`Process::wait_for`], for an event that may never come.
    pub fn look_for(&self, deadline: Duration, matches: impl Fn(&Value) -> bool) -> Option<Value> {
        self.output.wait(deadline, |collected| {
            let at = collected.events.iter().position(&matches)?;
            Some(collected.events.remove(at))
        })
    }

    /// Waits until a line of the log contains `text`.
    ///
    /// # Panics
    /// At the deadline, or when the child ends first.
    pub fn wait_for_log(&self, text: &str, deadline: Duration) {
        let found = self
            .output
            .wait(deadline, |collected| collected.log.iter().any(|line| line.contains(text)).then_some(()));
        if found.is_none() {
            self.fail(&format!("no log line with {text:?} within {deadline:?}"));
        }
    }

    /// Whether a line of the log so far contains `text`.
    pub fn has_logged(&self, text: &str) -> bool {
        self.output.lock().log.iter().any(|line| line.contains(text))
    }

    /// Those of `texts` that the log contains, in the order of their first lines.
    pub fn first_logged<'a>(&self, texts: &[&'a str]) -> Vec<&'a str> {
        let collected = self.output.lock();
        let first = |text: &&str| collected.log.iter().position(|line| line.contains(*text));
        let mut found: Vec<(usize, &str)> =
            texts.iter().filter_map(|text| Some((first(text)?, *text))).collect();
        found.sort_unstable();
        found.into_iter().map(|(_, text)| text).collect()
    }

    /// Events that have come and that no wait has taken.
    #[must_use]
    pub fn waiting_events(&self) -> Vec<Value> {
        self.output.lock().events.clone()
    }

    /// Waits for the child to end by itself and returns its status and what `read` makes of its events.
    ///
    /// # Panics
    /// At the deadline.
    pub fn finish<T>(
        mut self,
        deadline: Duration,
        read: impl FnOnce(&Self, &[Value]) -> T,
    ) -> (ExitStatus, T) {
        drop(self.stdin.take());
        if self.output.wait(deadline, |collected| (collected.open == 0).then_some(())).is_none() {
            self.fail(&format!("still running after {deadline:?}"));
        }
        let status = self.child.wait().unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let result = read(&self, &self.waiting_events());
        (status, result)
    }

    /// The end of the log, for failure messages.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let collected = self.output.lock();
        let skipped = collected.log.len().saturating_sub(LOG_SHOWN);
        collected.log.iter().skip(skipped).map(|line| format!("  {line}\n")).collect()
    }

    /// Panics with `why`, the events nobody waited for, and the end of the log.
    ///
    /// # Panics
    /// Always.
    pub fn fail(&self, why: &str) -> ! {
        let events: String =
            self.waiting_events().iter().map(|event| format!("  {:.300}\n", event.to_string())).collect();
        panic!("{}: {why}\nevents that came:\n{events}end of its log:\n{}", self.name, self.log_tail());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; either way nothing is left behind.
        if self.child.kill().is_ok() {
            drop(self.child.wait());
        }
    }
}

#[derive(Debug)]
struct Output {
    collected: Mutex<Collected>,
    changed: Condvar,
}

#[derive(Debug)]
struct Collected {
    events: Vec<Value>,
    log: VecDeque<String>,
    /// Pipes that have not reached their end.
    open: usize,
}

impl Default for Output {
    fn default() -> Self {
        let collected = Collected { events: Vec::new(), log: VecDeque::new(), open: 2 };
        Self { collected: Mutex::new(collected), changed: Condvar::new() }
    }
}

impl Output {
    fn lock(&self) -> MutexGuard<'_, Collected> {
        self.collected.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn collect(&self, pipe: impl Read, keep: fn(&mut Collected, String)) {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            keep(&mut self.lock(), line);
            self.changed.notify_all();
        }
        self.lock().open -= 1;
        self.changed.notify_all();
    }

    fn wait<T>(&self, limit: Duration, find: impl Fn(&mut Collected) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + limit;
        let mut collected = self.lock();
        loop {
            if let Some(found) = find(&mut collected) {
                return Some(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || collected.open == 0 {
                return None;
            }
            collected = match self.changed.wait_timeout(collected, left) {
                Ok((guard, _)) => guard,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }
}

impl Collected {
    fn stdout_line(&mut self, line: String) {
        self.events.push(serde_json::from_str(&line).unwrap_or(Value::String(line)));
    }

    fn stderr_line(&mut self, line: String) {
        if self.log.len() == LOG_LINES {
            self.log.pop_front();
        }
        self.log.push_back(line);
    }
}
