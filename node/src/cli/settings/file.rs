//! The configuration file, and everything that is wrong with it.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::{Arg, Command};
use clasp_node::limits::{MAX_CONFIG_FILE_BYTES, MAX_ICE_SERVERS};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Kind, Origin, SETTINGS, Setting, command};

/// How alike a key must be to be what was meant.
const ALIKE: f64 = 0.8;

/// Something wrong with the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    file: PathBuf,
    /// From 1; none where it is about all of the file.
    line: Option<usize>,
    what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        match self.line {
            Some(line) => write!(f, "{file}:{line}: {}", self.what),
            None => write!(f, "{file}: {}", self.what),
        }
    }
}

/// A setting in the file.
#[derive(Debug)]
pub(crate) struct Entry {
    setting: &'static Setting,
    pub(crate) line: usize,
    /// As they would stand on the command line.
    pub(crate) texts: Vec<String>,
}

/// What a file says, as far as nothing is wrong with it.
#[derive(Debug)]
pub(crate) struct ConfigFile {
    pub(crate) path: PathBuf,
    entries: Vec<Entry>,
    pub(crate) faults: Vec<Fault>,
}

impl ConfigFile {
    /// One that says nothing.
    pub(crate) fn default_with_path(path: &Path) -> Self {
        Self { path: path.to_owned(), entries: Vec::new(), faults: Vec::new() }
    }

    /// Reads it. One that nobody has named need not be there.
    pub(crate) fn load(path: &Path, is_given: bool) -> Self {
        let refused = |what| {
            let fault = Fault { file: path.to_owned(), line: None, what };
            Self { faults: vec![fault], ..Self::default_with_path(path) }
        };
        let mut text = Vec::new();
        let limit = u64::try_from(MAX_CONFIG_FILE_BYTES).unwrap_or(u64::MAX).saturating_add(1);
        match std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut text)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !is_given => {
                return Self::default_with_path(path);
            }
            Err(error) => return refused(error.to_string()),
            Ok(_) => {}
        }
        if text.len() > MAX_CONFIG_FILE_BYTES {
            return refused(format!("longer than {MAX_CONFIG_FILE_BYTES} bytes"));
        }
        match String::from_utf8(text) {
            Ok(text) => Self::read(path, &text),
            Err(error) => refused(error.to_string()),
        }
    }

    /// Understands the text of it.
    pub(crate) fn read(path: &Path, text: &str) -> Self {
        let mut this = Self::default_with_path(path);
        let line = |at: usize| text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let line = error.span().map(|span| line(span.start));
            this.fault(line, error.message().to_owned());
        }
        // Otherwise what is left of the file would be called wrong for what is not.
        if this.faults.is_empty() {
            let command = command();
            for (key, value) in table.get_ref() {
                this.take(key.get_ref(), value, line(key.span().start), &command);
            }
            this.entries.sort_by_key(|entry| entry.line);
            this.compare();
        }
        this.faults.sort_by_key(|fault| fault.line);
        this
    }

    /// The entry of this setting.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.setting.key == key)
    }

    /// Where its value is from where neither a flag nor the environment has one.
    pub(super) fn origin(&self, key: &str) -> Origin {
        self.entry(key).map_or(Origin::Default, |entry| Origin::File(entry.line))
    }

    pub(super) fn says_nothing(&self) -> bool {
        self.entries.is_empty()
    }

    fn fault(&mut self, line: Option<usize>, what: String) {
        self.faults.push(Fault { file: self.path.clone(), line, what });
    }

    fn take(&mut self, key: &str, value: &Spanned<DeValue<'_>>, line: usize, command: &Command) {
        let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) else {
            let alike = |setting: &&Setting| strsim::jaro(key, setting.key);
            let near = SETTINGS
                .iter()
                .max_by(|a, b| alike(a).total_cmp(&alike(b)))
                .filter(|setting| alike(setting) >= ALIKE)
                .map_or_else(String::new, |setting| format!("; is it {}?", setting.key));
            return self.fault(Some(line), format!("{key:?}: no such setting{near}"));
        };
        match texts(setting, value.get_ref()).filter(|texts| is_allowed(setting, texts, command)) {
            Some(texts) => self.entries.push(Entry { setting, line, texts }),
            None => {
                let (key, shown, expected) = (setting.key, shown(value.get_ref()), setting.expected);
                self.fault(Some(line), format!("{key}: {shown} is not allowed, expected {expected}"));
            }
        }
    }

    /// What settings ask of each other. The other one may be in the environment or a flag only where it has no use without the first.
    fn compare(&mut self) {
        let count = |this: &Self, key| this.entry(key).map_or(0, |entry| entry.texts.len());
        let (stun, turn) = (count(self, "stun"), count(self, "turn"));
        let line = |this: &Self, key| this.entry(key).map(|entry| entry.line);
        if stun.saturating_add(turn) > MAX_ICE_SERVERS && stun <= MAX_ICE_SERVERS {
            let what = format!(
                "turn: {turn} servers is not allowed, expected up to {MAX_ICE_SERVERS} together with stun ({stun})"
            );
            self.fault(line(self, "turn"), what);
        }
        if turn > 0 && line(self, "turn-user").is_none() && std::env::var_os("CLASP_NODE_TURN_USER").is_none()
        {
            self.fault(
                line(self, "turn"),
                "turn: servers without a user is not allowed, expected turn-user".into(),
            );
        }
        let is_only = self.entry("turn-only").is_some_and(|entry| entry.texts == ["true"]);
        if is_only && turn == 0 && std::env::var_os("CLASP_NODE_TURN").is_none() {
            let what = "turn-only: true is not allowed, expected false without a TURN server (turn)";
            self.fault(line(self, "turn-only"), what.to_owned());
        }
    }
}

/// The value as the command line would have it, if it is of the right kind.
fn texts(setting: &Setting, value: &DeValue<'_>) -> Option<Vec<String>> {
    match (setting.kind, value) {
        (Kind::Switch, DeValue::Boolean(value)) => Some(vec![value.to_string()]),
        (Kind::Text(_), DeValue::String(text)) => Some(vec![text.to_string()]),
        (Kind::Number(..), DeValue::Integer(number)) if number.radix() == 10 => {
            Some(vec![number.as_str().to_owned()])
        }
        (Kind::Number(..), DeValue::Float(number)) => Some(vec![number.as_str().to_owned()]),
        (Kind::List(_), DeValue::Array(items)) => {
            let takes_tables = setting.key == "share";
            let text = |item: &Spanned<DeValue<'_>>| match item.get_ref() {
                DeValue::Table(table) if takes_tables => share(table),
                other => other.as_str().map(str::to_owned),
            };
            items.iter().map(text).collect()
        }
        _ => None,
    }
}

/// A share that is written as a table, as its flag would have it.
fn share(table: &DeTable<'_>) -> Option<String> {
    let text = |value: &Spanned<DeValue<'_>>| {
        value.get_ref().as_str().filter(|text| !text.contains(';')).map(str::to_owned)
    };
    let mut share = text(table.get("pattern")?)?;
    for (key, value) in table.iter().filter(|(key, _)| key.get_ref() != "pattern") {
        share = format!("{share};{}={}", key.get_ref(), text(value)?);
    }
    Some(share)
}

fn is_allowed(setting: &Setting, texts: &[String], command: &Command) -> bool {
    let within = texts.iter().all(|text| match setting.kind {
        Kind::Switch => true,
        Kind::Text(most) => (1..=most).contains(&text.len()) && !text.chars().any(char::is_control),
        Kind::Number(least, most) => text.parse::<f64>().is_ok_and(|number| (least..=most).contains(&number)),
        // What separates them in the environment is in none of them.
        Kind::List(_) => !text.is_empty() && !text.contains(','),
    });
    let few = !matches!(setting.kind, Kind::List(most) if texts.len() > most);
    within && few && texts.iter().all(|text| is_understood(setting, text, command))
}

/// Whether the parser of the command line takes the value.
fn is_understood(setting: &Setting, text: &str, command: &Command) -> bool {
    match setting.kind {
        Kind::Switch => return true,
        _ if setting.key == "log" => return env_filter::Builder::new().try_parse(text).is_ok(),
        _ => {}
    }
    let id = setting.id();
    let of = |arg: &&Arg| arg.get_id().as_str() == id;
    let Some(arg) = command.find_subcommand("run").and_then(|run| run.get_arguments().find(of)) else {
        return false;
    };
    let alone = Command::new("value").no_binary_name(true).arg(arg.clone());
    alone.try_get_matches_from([format!("--{}={text}", setting.key)]).is_ok()
}

/// The value for people, not longer than a line.
fn shown(value: &DeValue<'_>) -> String {
    let text = match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(at) => at.to_string(),
        DeValue::Array(items) => {
            let items: Vec<_> = items
                .iter()
                .take(9)
                .map(|item| match item.get_ref() {
                    DeValue::Array(_) => "an array".to_owned(),
                    other => shown(other),
                })
                .collect();
            format!("[{}]", items.join(", "))
        }
        DeValue::Table(_) => "a table".to_owned(),
    };
    match text.char_indices().nth(100) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text,
    }
}
