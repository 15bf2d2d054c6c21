//! What the program logged last, for `clasp-node logs`: a ring in memory, so that a board keeps no log on its SD card.
//!
//! [`Tee`] stands in front of the logger of standard error and notes what passes, and `info` and above even where that is quieter.
//! Nobody who follows holds up who logs: a follower has a place in the ring and no queue, and is told how much it missed.

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use log::kv::{self, Key, VisitSource};
use log::{Level, LevelFilter, Log, Metadata, Record};
use serde::Serialize;
use smol::channel::{Receiver, Sender, bounded};

use super::clock::unix_time;
use crate::limits::{LOG_RING_BYTES, MAX_CONTROL_STREAMS, MAX_LOG_LINE_BYTES};

/// What a line takes besides its text.
const LINE_OVERHEAD: usize = 64;

/// Whose finer lines are kept, where they are wanted. Those of the runtime would tell of every line that is read from here.
const OWN_TARGETS: [&str; 3] = ["clasp_node", "router_lite", "clasp_wire"];

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogLine {
    /// When it was logged: milliseconds since 1970, UTC.
    pub unix_ms: u64,
    /// How bad it is.
    pub level: &'static str,
    /// Which part of the program says so.
    pub target: String,
    /// What it says, and the values that belong to it.
    pub text: String,
}

impl LogLine {
    fn cost(&self) -> usize {
        self.target.len() + self.text.len() + LINE_OVERHEAD
    }
}

/// The last lines, at most [`LOG_RING_BYTES`] of them.
#[derive(Debug, Default)]
pub struct LogRing(Mutex<Lines>);

#[derive(Debug, Default)]
struct Lines {
    lines: VecDeque<LogLine>,
    bytes: usize,
    /// The number of the first line that is kept.
    first: u64,
    /// At most one for each command that follows.
    followers: Vec<Sender<()>>,
}

impl LogRing {
    /// Notes a line, and drops the oldest ones for it.
    pub fn push(&self, line: LogLine) {
        let mut lines = self.lines();
        lines.bytes += line.cost();
        lines.lines.push_back(line);
        while lines.bytes > LOG_RING_BYTES
            && let Some(oldest) = lines.lines.pop_front()
        {
            lines.bytes -= oldest.cost();
            lines.first += 1;
        }
        // Who has not looked since it was woken last need not be woken again.
        lines.followers.retain(|follower| follower.try_send(()).is_ok() || !follower.is_closed());
    }

    /// The place of the oldest line that is kept.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.lines().first
    }

    /// The line at place `next`, and the place behind it; and how many were dropped before anybody looked. `None` at the end.
    #[must_use]
    pub fn get(&self, next: u64) -> Option<(LogLine, u64, u64)> {
        let lines = self.lines();
        let at = next.max(lines.first);
        let line = lines.lines.get(usize::try_from(at - lines.first).ok()?)?;
        Some((line.clone(), at + 1, at - next))
    }

    /// Something to wait on for more lines; none when too many wait.
    #[must_use]
    pub fn follow(&self) -> Option<Receiver<()>> {
        let mut lines = self.lines();
        lines.followers.retain(|follower| !follower.is_closed());
        if lines.followers.len() >= MAX_CONTROL_STREAMS {
            return None;
        }
        let (waker, woken) = bounded(1);
        lines.followers.push(waker);
        Some(woken)
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The finest level that a [`Tee`] wants to hear of, where its logger wants this one.
#[must_use]
pub fn max_level(logger: LevelFilter) -> LevelFilter {
    logger.max(LevelFilter::Info)
}

/// A logger that has a ring beside it.
#[derive(Debug)]
pub struct Tee<L> {
    logger: L,
    ring: Arc<LogRing>,
}

impl<L: Log> Tee<L> {
    /// Notes in `ring` what `logger` gets.
    pub fn new(logger: L, ring: Arc<LogRing>) -> Self {
        Self { logger, ring }
    }

    fn keeps(&self, metadata: &Metadata<'_>) -> bool {
        let is_own = || OWN_TARGETS.iter().any(|own| metadata.target().starts_with(own));
        metadata.level() <= Level::Info || is_own() && self.logger.enabled(metadata)
    }
}

impl<L: Log> Log for Tee<L> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.keeps(metadata) || self.logger.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        self.logger.log(record);
        if self.keeps(record.metadata()) {
            self.ring.push(line(record));
        }
    }

    fn flush(&self) {
        self.logger.flush();
    }
}

fn line(record: &Record<'_>) -> LogLine {
    let mut text = Clipped::default();
    // It clips, and fails at nothing.
    if write!(text, "{}", record.args()).is_err() || record.key_values().visit(&mut text).is_err() {
        text.is_clipped = true;
    }
    let Clipped { mut text, is_clipped } = text;
    if is_clipped {
        text.push('…');
    }
    let target = record.target().chars().take(MAX_LOG_LINE_BYTES / 8).collect();
    let unix_ms = u64::try_from(unix_time().as_millis()).unwrap_or(u64::MAX);
    LogLine { unix_ms, level: record.level().as_str(), target, text }
}

/// A text that does not grow beyond [`MAX_LOG_LINE_BYTES`].
#[derive(Debug, Default)]
struct Clipped {
    text: String,
    is_clipped: bool,
}

impl Write for Clipped {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        for char in more.chars() {
            if self.text.len() + char.len_utf8() > MAX_LOG_LINE_BYTES {
                self.is_clipped = true;
                break;
            }
            // One line stays one line.
            self.text.push(if char.is_control() { ' ' } else { char });
        }
        Ok(())
    }
}

impl<'kvs> VisitSource<'kvs> for Clipped {
    fn visit_pair(&mut self, key: Key<'kvs>, value: kv::Value<'kvs>) -> Result<(), kv::Error> {
        Ok(write!(self, " {key}={value}")?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> LogLine {
        LogLine { unix_ms: 0, level: "INFO", target: "test".to_owned(), text: text.to_owned() }
    }

    /// A logger that takes nothing, or its own debug lines.
    struct Quiet(LevelFilter);

    impl Log for Quiet {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.level() <= self.0
        }

        fn log(&self, _: &Record<'_>) {}

        fn flush(&self) {}
    }

    #[test]
    fn the_oldest_lines_make_room_and_who_missed_them_is_told() {
        let ring = LogRing::default();
        let text = "x".repeat(1000);
        for _ in 0..200 {
            ring.push(line(&text));
        }
        let (first, bytes) = (ring.oldest(), ring.lines().bytes);
        assert!(bytes <= LOG_RING_BYTES && bytes > LOG_RING_BYTES - 2000, "{bytes}");
        let (_, next, missed) = ring.get(0).unwrap();
        assert_eq!((next, missed), (first + 1, first));
        assert_eq!(ring.get(199).unwrap().1, 200);
        assert_eq!(ring.get(200), None, "the end");
        assert_eq!(ring.get(500), None);
    }

    #[test]
    fn who_follows_is_woken_and_too_many_do_not() {
        let ring = LogRing::default();
        let woken = ring.follow().unwrap();
        for _ in 0..1000 {
            ring.push(line("again"));
        }
        assert_eq!(woken.len(), 1);
        let others: Vec<_> = std::iter::from_fn(|| ring.follow()).collect();
        assert_eq!(others.len(), MAX_CONTROL_STREAMS - 1);
        drop(others);
        assert!(ring.follow().is_some(), "their places are free again");
    }

    #[test]
    fn info_is_kept_where_the_terminal_gets_less_and_finer_lines_only_of_our_own() {
        let log = |filter, target: &'static str, level, text: &str| {
            let ring = Arc::new(LogRing::default());
            let tee = Tee::new(Quiet(filter), Arc::clone(&ring));
            let values = [("link", 7)];
            tee.log(
                &Record::builder()
                    .args(format_args!("{text}"))
                    .level(level)
                    .target(target)
                    .key_values(&values)
                    .build(),
            );
            ring.get(0).map(|(line, _, _)| line.text)
        };
        let kept = |text: &str| Some(text.to_owned());
        assert_eq!(log(LevelFilter::Error, "clasp_node::driver", Level::Info, "up"), kept("up link=7"));
        assert_eq!(log(LevelFilter::Error, "clasp_node::driver", Level::Debug, "up"), None);
        assert_eq!(log(LevelFilter::Trace, "clasp_node::driver", Level::Debug, "up"), kept("up link=7"));
        assert_eq!(log(LevelFilter::Trace, "polling", Level::Trace, "woken"), None);
        assert_eq!(log(LevelFilter::Error, "polling", Level::Warn, "a\nb"), kept("a b link=7"), "one line");
        let long = log(LevelFilter::Error, "x", Level::Warn, &"é".repeat(10_000)).unwrap();
        assert!(long.len() <= MAX_LOG_LINE_BYTES + '…'.len_utf8() && long.ends_with('…'), "{}", long.len());
    }
}
