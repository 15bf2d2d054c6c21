//! SIGHUP: reads the configuration file again, and takes over what can be taken over without a restart.

use std::path::PathBuf;
use std::sync::Arc;

use async_signal::{Signal, Signals};
use clap::ArgMatches;
use clasp_node::driver::tokens::TokenDesk;
use log::{error, warn};
use smol::stream::StreamExt;

use super::logs::Exchange;
use super::settings::{self, ConfigFile, Effective};

/// What the program was started with.
pub(super) struct Reload {
    path: PathBuf,
    is_given: bool,
    started_with: Vec<Effective>,
    log: Arc<Exchange>,
}

impl Reload {
    pub(super) fn new(matches: &ArgMatches, file: &ConfigFile, log: Arc<Exchange>) -> Self {
        let started_with = settings::effective(matches, file);
        Self { path: file.path.clone(), is_given: matches.contains_id("config"), started_with, log }
    }

    /// Until a signal other than SIGHUP comes.
    pub(super) async fn until_stopped(&self, signals: &mut Signals, tokens: Option<&TokenDesk>) {
        while let Some(Ok(Signal::Hup)) = signals.next().await {
            self.read();
            if let Some(tokens) = tokens {
                tokens.look();
            }
        }
    }

    /// Reads the file again. A faulty one changes nothing.
    fn read(&self) {
        let file = ConfigFile::load(&self.path, self.is_given);
        for fault in &file.faults {
            error!("not taken over: {fault}");
        }
        if !file.faults.is_empty() {
            return;
        }
        let now = match settings::matches(&file) {
            Ok(matches) => settings::effective(&matches, &file),
            Err(error) => return error!("{}: not taken over: {error}", self.path.display()),
        };
        let mut others = Vec::new();
        for (now, before) in now.iter().zip(&self.started_with) {
            match (now.setting.key, now.values.as_deref()) {
                ("log", Some([filter])) => {
                    if let Err(error) = self.log.set(filter) {
                        error!("not taken over: log: {error}");
                    }
                }
                (key, values) if values != before.values.as_deref() => others.push(key),
                _ => {}
            }
        }
        if !others.is_empty() {
            warn!("needs a restart: {}", others.join(", "));
        }
    }
}
