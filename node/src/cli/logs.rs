//! `clasp-node logs`, and what it shows.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use clap::Args;
use clasp_node::driver::control::{Conversation, Place};
use clasp_node::driver::logs::{LogRing, Tee, max_level};
use log::{Log, Metadata, Record};
use serde_json::{Value, json};

use super::client::interruptible;
use super::service::{Told, number, text, told};
use super::{ControlArgs, Failure, output};

#[derive(Debug, Args)]
pub(super) struct LogsArgs {
    /// Go on with what it logs from now on, until interrupted
    #[arg(short, long)]
    pub(super) follow: bool,
    #[command(flatten)]
    pub(super) control: ControlArgs,
    /// Print JSON, one object per line
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) async fn run(args: LogsArgs) -> Result<(), Failure> {
    let request = json!({"cmd": "logs", "follow": args.follow});
    let conversation = Conversation::begin(&Place::choose(args.control.control.clone()), &request).await?;
    let mut frames = conversation.frames();
    let shown = interruptible(async {
        loop {
            match told(&mut frames).await? {
                Told::Ok(_) => return Ok(()),
                Told::Event(event) => show(&event, args.json)?,
            }
        }
    });
    match shown.await {
        Err(Failure::Interrupted) if args.follow => Ok(()),
        other => other,
    }
}

fn show(event: &Value, json: bool) -> std::io::Result<()> {
    if json {
        return output::object(event.get("line").unwrap_or(event));
    }
    match (event.get("line"), text(event, "event")) {
        (Some(line), _) => {
            let at = utc(number(line, "unix_ms"));
            let (level, target) = (text(line, "level"), text(line, "target"));
            output::line(&format!("{at} {level:<5} {target}: {}", text(line, "text")))
        }
        (None, "missed") => {
            output::line(&format!("… {} lines were not read in time", number(event, "lines")))
        }
        (None, _) => Ok(()),
    }
}

/// As RFC 3339 writes it.
fn utc(unix_ms: u64) -> String {
    let (seconds, millis) = (unix_ms / 1000, unix_ms % 1000);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    // Of a year that begins in March, so that the leap day is its last.
    let days = seconds / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year_of_era = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// The logger of standard error, which can be exchanged while the program runs.
pub(super) struct Exchange {
    logger: RwLock<env_logger::Logger>,
    has_ring: bool,
}

impl Exchange {
    /// Logs by this filter from now on; a wrong one changes nothing.
    pub(super) fn set(&self, filter: &str) -> Result<(), env_filter::ParseError> {
        env_filter::Builder::new().try_parse(filter)?;
        let logger = env_logger::Builder::new().parse_filters(filter).build();
        let level = logger.filter();
        *self.logger.write().unwrap_or_else(PoisonError::into_inner) = logger;
        log::set_max_level(if self.has_ring { max_level(level) } else { level });
        Ok(())
    }

    fn logger(&self) -> RwLockReadGuard<'_, env_logger::Logger> {
        self.logger.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log for Exchange {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.logger().enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        self.logger().log(record);
    }

    fn flush(&self) {
        self.logger().flush();
    }
}

/// Logs to standard error, and what a node does to the ring as well.
pub(super) fn start(filter: &str, ring: Option<Arc<LogRing>>) -> Arc<Exchange> {
    let logger = env_logger::Builder::new().parse_filters(filter).build();
    let level = logger.filter();
    let exchange = Arc::new(Exchange { logger: RwLock::new(logger), has_ring: ring.is_some() });
    let (boxed, level): (Box<dyn Log>, _) = match ring {
        Some(ring) => (Box::new(Tee::new(Arc::clone(&exchange), ring)), max_level(level)),
        None => (Box::new(Arc::clone(&exchange)), level),
    };
    match log::set_boxed_logger(boxed) {
        Ok(()) => log::set_max_level(level),
        Err(error) => eprintln!("clasp-node: no log: {error}"),
    }
    exchange
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_people_write_them() {
        for (unix_ms, want) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (1_795_703_754_007, "2026-11-26T14:35:54.007Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(utc(unix_ms), want);
        }
    }
}
