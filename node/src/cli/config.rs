//! `clasp-node config`: what is in effect and why, what is wrong with a file, and the default file.

use std::path::PathBuf;

use clap::{ArgMatches, Subcommand};
use serde_json::{Value, json};

use super::settings::{self, ConfigFile, Effective, Kind, Origin};
use super::{Failure, RunArgs, client, output};

/// Secrets, which come from the environment alone, and are never shown.
const SECRETS: [&str; 2] = ["CLASP_NODE_TURN_PASSWORD", "CLASP_NODE_TOKEN"];

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Show every setting of `run`, its value, and where that is from; with the flags of `run`, what they would make of it
    Show(Box<RunArgs>),
    /// Say what is wrong with the configuration file, each fault on a line: file, line, field, value and what is allowed
    Check {
        /// The file [default: that of --config]
        file: Option<PathBuf>,
    },
    /// Print the default file: every setting, commented out
    Example,
}

pub(super) fn run(command: ConfigCommand, matches: &ArgMatches, file: &ConfigFile) -> Result<(), Failure> {
    match command {
        ConfigCommand::Show(args) => show(settings::effective(matches, file), file, args.json),
        ConfigCommand::Check { file: named } => {
            let is_given = named.is_some() || matches.contains_id("config");
            check(&ConfigFile::load(&named.unwrap_or_else(|| file.path.clone()), is_given))
        }
        ConfigCommand::Example => Ok(output::line(settings::example().trim_end())?),
    }
}

fn check(file: &ConfigFile) -> Result<(), Failure> {
    let path = file.path.display();
    match file.faults.is_empty() {
        true if file.path.exists() => output::line(&format!("{path}: fine"))?,
        true => output::line(&format!("{path}: no such file, the defaults apply: fine"))?,
        false => {
            for fault in &file.faults {
                output::line(&fault.to_string())?;
            }
            let (count, s) = (file.faults.len(), if file.faults.len() == 1 { "" } else { "s" });
            return Err(Failure::Failed(format!("{path}: {count} fault{s}")));
        }
    }
    Ok(())
}

fn show(mut all: Vec<Effective>, file: &ConfigFile, as_json: bool) -> Result<(), Failure> {
    let from = |origin: &Origin, key: &str| match origin {
        Origin::Default => "default".to_owned(),
        Origin::File(line) => format!("{}:{line}", file.path.display()),
        Origin::Environment(name) => (*name).to_owned(),
        Origin::Flag => format!("--{key}"),
    };
    for one in all.iter_mut().filter(|one| one.setting.key == "name") {
        one.values.get_or_insert_with(|| vec![client::host_name()]);
    }
    let secrets = SECRETS.iter().filter(|name| std::env::var_os(name).is_some());
    if as_json {
        let mut settings: Vec<Value> = all
            .iter()
            .map(|Effective { setting, values, origin }| {
                let value = match (setting.kind, values) {
                    (Kind::List(_), values) => json!(values.clone().unwrap_or_default()),
                    (_, values) => json!(values.as_ref().and_then(|values| values.first())),
                };
                json!({"setting": setting.key, "value": value, "from": from(origin, setting.key)})
            })
            .collect();
        settings.extend(secrets.map(|name| json!({"setting": name, "value": "(set)", "from": name})));
        return Ok(output::object(&json!(settings))?);
    }
    let mut rows: Vec<[String; 3]> = all
        .iter()
        .map(|Effective { setting, values, origin }| {
            let value = match values {
                Some(values) => values.join(", "),
                None => setting.default_text(),
            };
            [setting.key.to_owned(), value, from(origin, setting.key)]
        })
        .collect();
    rows.extend(secrets.map(|name| [(*name).to_owned(), "(set)".to_owned(), (*name).to_owned()]));
    Ok(output::table(["SETTING", "VALUE", "FROM"], &rows)?)
}
