//! The settings of a node that runs: what each is called in the configuration file, in the environment, and as a flag.
//!
//! The parser of the command line knows each value's syntax and which source wins. A value of the file is put in as the default of its
//! flag, so there is one parser and one precedence: default < file < environment < flag.

mod docs;
mod file;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::FalseyValueParser;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, CommandFactory, FromArgMatches};

use super::Cli;
pub(super) use docs::example;
pub(super) use file::ConfigFile;

/// Where the file is unless told otherwise.
pub(super) const DEFAULT_FILE: &str = "/etc/clasp-node/config.toml";

/// What a value is in the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Switch,
    /// Text of so many bytes.
    Text(usize),
    /// From, to.
    Number(f64, f64),
    /// At most so many texts.
    List(usize),
}

/// One of the settings.
#[derive(Debug)]
pub(super) struct Setting {
    /// Its name in the file, and as a flag behind two dashes.
    pub(super) key: &'static str,
    pub(super) env: &'static str,
    pub(super) kind: Kind,
    /// As the file would say it; an example if there is none.
    pub(super) default: &'static str,
    /// For people, where the default is not a value.
    pub(super) otherwise: Option<&'static str>,
    pub(super) expected: &'static str,
}

const fn setting(
    key: &'static str,
    env: &'static str,
    kind: Kind,
    default: &'static str,
    expected: &'static str,
) -> Setting {
    Setting { key, env, kind, default, otherwise: None, expected }
}

const fn otherwise(setting: Setting, otherwise: &'static str) -> Setting {
    Setting { otherwise: Some(otherwise), ..setting }
}

const PATH: Kind = Kind::Text(4096);
const BOOL: &str = "true or false";

/// All of them.
#[rustfmt::skip]
pub(super) const SETTINGS: [Setting; 22] = [
    otherwise(setting("name", "CLASP_NODE_NAME", Kind::Text(63), "\"kitchen\"", "text of 1 to 63 bytes"), "the host's name"),
    setting("log", "CLASP_NODE_LOG", Kind::Text(1024), "\"warn\"", "a filter such as \"info\" or \"warn,clasp_node=debug\""),
    otherwise(setting("state-dir", "CLASP_NODE_STATE", PATH, "\"/var/lib/clasp-node\"", "a path"), "/var/lib/clasp-node for root"),
    otherwise(setting("control", "CLASP_NODE_CONTROL", PATH, "\"/run/clasp-node/control.sock\"", "a path"), "/run/clasp-node/control.sock for root"),
    setting("trust", "CLASP_NODE_TRUST", Kind::Text(16), "\"paired\"", "\"paired\" or \"open\""),
    setting("routing", "CLASP_NODE_ROUTING", Kind::Text(16), "\"prefer-p2p\"", "\"prefer-p2p\", \"p2p-only\" or \"relay-only\""),
    setting("router", "CLASP_NODE_ROUTER", Kind::List(3), "[]", "up to 3 URLs such as \"ws://10.0.0.1:7330\""),
    setting("connect-timeout", "CLASP_NODE_CONNECT_TIMEOUT", Kind::Number(0.1, 120.0), "10", "0.1 to 120 (seconds)"),
    setting("no-discovery", "CLASP_NODE_NO_DISCOVERY", Kind::Switch, "false", BOOL),
    setting("no-page", "CLASP_NODE_NO_PAGE", Kind::Switch, "false", BOOL),
    setting("loopback", "CLASP_NODE_LOOPBACK", Kind::Switch, "false", BOOL),
    otherwise(setting("udp-port", "CLASP_NODE_UDP_PORT", Kind::Number(1.0, 65535.0), "7332", "1 to 65535"), "any free port"),
    setting("stun", "CLASP_NODE_STUN", Kind::List(4), "[]", "up to 4 servers, \"HOST\" or \"HOST:PORT\""),
    setting("turn", "CLASP_NODE_TURN", Kind::List(4), "[]", "up to 4 servers, \"HOST\" or \"HOST:PORT\""),
    otherwise(setting("turn-user", "CLASP_NODE_TURN_USER", Kind::Text(512), "\"alice\"", "text"), "none"),
    otherwise(setting("turn-password-file", "CLASP_NODE_TURN_PASSWORD_FILE", PATH, "\"/etc/clasp-node/turn-password\"", "a path"), "none"),
    setting("turn-only", "CLASP_NODE_TURN_ONLY", Kind::Switch, "false", "true or false; true needs turn"),
    setting("share", "CLASP_NODE_SHARE", Kind::List(16), "[]", "up to 16 shares, { pattern, with, mode, prefix } or \"PATTERN;with=NAME;mode=publish;prefix=/ADDRESS\""),
    setting("bind", "CLASP_NODE_BIND", Kind::List(8), "[\"[::]:7330\"]", "up to 8 addresses, \"ADDRESS:PORT\""),
    setting("max-sessions", "CLASP_NODE_MAX_SESSIONS", Kind::Number(1.0, 65536.0), "256", "1 to 65536"),
    setting("rate", "CLASP_NODE_RATE", Kind::Number(0.0, 1_000_000.0), "1000", "0 to 1000000"),
    setting("remote", "CLASP_NODE_REMOTE", Kind::Text(16), "\"signaling\"", "\"signaling\" or \"full\""),
];

/// Settings of the node that runs here which other commands share: who it is, and how it is reached.
const SHARED: [&str; 4] = ["name", "log", "state-dir", "control"];

impl Setting {
    /// What the parser of the command line calls it.
    pub(super) fn id(&self) -> String {
        self.key.replace('-', "_")
    }

    /// What holds where nobody says anything, for people.
    pub(super) fn default_text(&self) -> String {
        self.otherwise.map_or_else(|| self.default.replace('"', ""), str::to_owned)
    }

    /// The values where nobody says anything, if there are any.
    fn default_values(&self) -> Option<Vec<String>> {
        let text = self.otherwise.is_none().then(|| self.default_text())?;
        match self.kind {
            Kind::List(_) => {
                let items = text.strip_prefix('[')?.strip_suffix(']')?;
                Some(items.split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect())
            }
            _ => Some(vec![text]),
        }
    }
}

/// The command line, with an environment variable for each setting of a node that runs.
fn command() -> Command {
    Cli::command()
        .mut_subcommand("run", with_environment)
        .mut_subcommand("router", with_environment)
        .mut_subcommand("config", |config| {
            config.mut_subcommand("show", |show| {
                with_environment(show).mut_arg("json", |json| json.help("Print JSON"))
            })
        })
}

fn with_environment(command: Command) -> Command {
    present(&command).fold(command, |command, setting| {
        command.mut_arg(setting.id(), |arg| {
            let arg = arg.env(setting.env).hide_env_values(true);
            match setting.kind {
                Kind::Switch => arg.value_parser(FalseyValueParser::new()),
                Kind::List(_) => arg.value_delimiter(','),
                Kind::Text(_) | Kind::Number(..) => arg,
            }
        })
    })
}

/// The settings that this command has itself.
fn present(command: &Command) -> impl Iterator<Item = &'static Setting> + use<> {
    let ids: Vec<String> = command.get_arguments().map(|arg| arg.get_id().to_string()).collect();
    SETTINGS.iter().filter(move |setting| ids.contains(&setting.id()))
}

/// Puts the values of the file in as defaults.
fn with_file(command: Command, file: &ConfigFile, path: &str) -> Command {
    let is_service = ["/run", "/router", "/config/show"].contains(&path);
    let command = present(&command).fold(command, |command, setting| {
        let Some(entry) = file.entry(setting.key) else { return command };
        if !is_service && !SHARED.contains(&setting.key) {
            return command;
        }
        command.mut_arg(setting.id(), |arg| arg.default_values(entry.texts.clone()))
    });
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    names.into_iter().fold(command, |command, name| {
        let path = format!("{path}/{name}");
        command.mut_subcommand(name, |sub| with_file(sub, file, &path))
    })
}

/// The command line as the file completes it.
pub(super) fn matches(file: &ConfigFile) -> clap::error::Result<ArgMatches> {
    with_file(command(), file, "").try_get_matches()
}

/// Reads the command line and the file it names, and whatever is wrong with them ends the program.
pub(super) fn parse() -> Result<(ArgMatches, Cli, ConfigFile), ExitCode> {
    // A file only adds defaults: what is wrong usage without it is so with it.
    let first = command().get_matches();
    let sub = first.subcommand();
    let is_checked_alone =
        sub.is_some_and(|(name, sub)| name == "config" && sub.subcommand_name() != Some("show"));
    let file = if is_checked_alone {
        ConfigFile::default_with_path(chosen(&first))
    } else {
        ConfigFile::load(chosen(&first), first.contains_id("config"))
    };
    if !file.faults.is_empty() {
        for fault in &file.faults {
            eprintln!("{fault}");
        }
        if matches!(sub, Some(("run" | "router" | "config", _))) {
            return Err(ExitCode::FAILURE);
        }
    }
    // Most commands find no file, and need not read the command line twice.
    let matches =
        if file.says_nothing() { first } else { matches(&file).unwrap_or_else(|error| error.exit()) };
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    Ok((matches, cli, file))
}

fn chosen(matches: &ArgMatches) -> &Path {
    matches.get_one::<PathBuf>("config").map_or(Path::new(DEFAULT_FILE), PathBuf::as_path)
}

/// Where a value is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    Default,
    File(usize),
    Environment(&'static str),
    Flag,
}

/// The filter of the log, and where it is from.
pub(super) fn log_filter(matches: &ArgMatches, file: &ConfigFile) -> (String, Origin) {
    let given = matches.get_one::<String>("log").cloned();
    match (given, matches.value_source("log"), std::env::var("RUST_LOG")) {
        (Some(filter), Some(ValueSource::CommandLine), _) => (filter, Origin::Flag),
        (Some(filter), Some(ValueSource::EnvVariable), _) => (filter, Origin::Environment("CLASP_NODE_LOG")),
        (_, _, Ok(filter)) => (filter, Origin::Environment("RUST_LOG")),
        (Some(filter), ..) => (filter, file.origin("log")),
        (None, ..) => ("warn".to_owned(), Origin::Default),
    }
}

/// A setting as it is in effect; no value where the default is not one.
#[derive(Debug, Clone)]
pub(super) struct Effective {
    pub(super) setting: &'static Setting,
    pub(super) values: Option<Vec<String>>,
    pub(super) origin: Origin,
}

/// Every setting of the command that was given.
pub(super) fn effective(matches: &ArgMatches, file: &ConfigFile) -> Vec<Effective> {
    let mut leaf = matches;
    while let Some((_, sub)) = leaf.subcommand() {
        leaf = sub;
    }
    SETTINGS
        .iter()
        .filter_map(|setting| {
            if setting.key == "log" {
                let (filter, origin) = log_filter(matches, file);
                return Some(Effective { setting, values: Some(vec![filter]), origin });
            }
            let id = setting.id();
            let raw = leaf.try_get_raw(&id).ok()?;
            let values = raw.map(|values| values.map(|value| value.to_string_lossy().into_owned()).collect());
            let values = values.or_else(|| setting.default_values());
            let origin = match leaf.value_source(&id) {
                Some(ValueSource::CommandLine) => Origin::Flag,
                Some(ValueSource::EnvVariable) => Origin::Environment(setting.env),
                _ => file.origin(setting.key),
            };
            Some(Effective { setting, values, origin })
        })
        .collect()
}

#[cfg(test)]
mod tests;
