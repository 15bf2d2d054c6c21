//! How far a transfer is, on one line of a terminal; nothing anywhere else.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use clasp_node::driver::now;

use super::output;

/// Between two looks at it.
const EVERY: Duration = Duration::from_millis(200);

/// Characters of the bar.
const WIDTH: u64 = 24;

/// Back to the beginning of the line, and what was there is gone.
const CLEAR: &str = "\r\x1b[K";

/// How far a transfer is.
pub(super) struct Progress {
    /// None where nobody looks.
    shown: Option<Shown>,
}

struct Shown {
    total: Option<u64>,
    begun: Instant,
    next: Instant,
    is_visible: bool,
}

impl Progress {
    /// Of `total` bytes, if that is known. On a terminal, unless it is `quiet`.
    pub(super) fn new(total: Option<u64>, quiet: bool) -> Self {
        let begun = now();
        let shown = (!quiet && std::io::stderr().is_terminal()).then(|| Shown {
            total,
            begun,
            next: begun + EVERY,
            is_visible: false,
        });
        Self { shown }
    }

    /// The same for another transfer.
    pub(super) fn again(&self) -> Self {
        let begun = now();
        let shown = self.shown.as_ref().map(|shown| Shown {
            begun,
            next: begun + EVERY,
            is_visible: false,
            ..*shown
        });
        Self { shown }
    }

    /// So many bytes are through.
    pub(super) fn update(&mut self, bytes: u64) {
        let Some(shown) = &mut self.shown else { return };
        let at = now();
        if at < shown.next {
            return;
        }
        shown.next = at + EVERY;
        shown.is_visible = true;
        let took = at.saturating_duration_since(shown.begun);
        show(&format!("{CLEAR}{}", line(bytes, shown.total, took)));
    }

    /// The line is free for something else.
    pub(super) fn clear(&mut self) {
        if let Some(shown) = &mut self.shown
            && std::mem::take(&mut shown.is_visible)
        {
            show(CLEAR);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn show(text: &str) {
    let mut stderr = std::io::stderr().lock();
    if let Err(error) = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush()) {
        log::debug!("no progress shown: {error}");
    }
}

fn line(bytes: u64, total: Option<u64>, took: Duration) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = bytes as f64 / took.as_secs_f64().max(1e-3) / 1e6;
    let rate = format!("{rate:.1} MB/s");
    let so_far = output::bytes(bytes);
    match total.filter(|total| *total > 0) {
        None => format!("{so_far}  {rate}"),
        Some(total) => {
            let bytes = bytes.min(total);
            let part =
                |of: u64| u64::try_from(u128::from(bytes) * u128::from(of) / u128::from(total)).unwrap_or(of);
            let filled = part(WIDTH);
            let bar: String = (0..WIDTH).map(|n| if n < filled { '#' } else { '-' }).collect();
            format!("[{bar}] {:>3} %  {so_far} of {}  {rate}", part(100), output::bytes(total))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_how_much_of_what_and_how_fast() {
        let second = Duration::from_secs(1);
        assert_eq!(line(1_500_000, None, second), "1.5 MB  1.5 MB/s");
        assert_eq!(
            line(50_000_000, Some(100_000_000), 2 * second),
            "[############------------]  50 %  50.0 MB of 100.0 MB  25.0 MB/s"
        );
        let grown = line(300, Some(200), second);
        assert!(grown.contains("] 100 %"), "a file that grew meanwhile: {grown}");
        assert_eq!(line(0, Some(0), Duration::ZERO), "0 B  0.0 MB/s");
    }

    #[test]
    fn nothing_is_shown_where_nobody_looks() {
        let mut progress = Progress::new(Some(100), true);
        progress.update(50);
        assert!(progress.shown.is_none());
    }
}
