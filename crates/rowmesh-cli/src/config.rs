//! The effective configuration: every setting with the place it comes from. Flag beats environment beats file beats what the node remembers
//! beats default. Knows what keys there are only from `keys`; opens no database and starts nothing.

pub mod database;
mod dotenv;
pub mod example;
mod file;
mod keys;
pub mod suggest;
pub mod whereabouts;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rowmesh::failure::Failure;

use self::file::FileText;
pub use self::keys::{KEYS, Key, Kind};
use crate::failure::{Outcome, failure};
use crate::units::{parse_duration, write_duration};

/// The process's surroundings as far as the configuration depends on them; a value, so that tests can make up any.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Environment variables.
    pub variables: BTreeMap<String, String>,
    /// The working folder.
    pub folder: PathBuf,
    /// The machine's name.
    pub host: String,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A flag or argument of this command.
    Flag(String),
    /// An environment variable.
    Variable(String),
    /// A line of the configuration file.
    File(PathBuf, usize),
    /// A line of `./.env`.
    DotEnv(PathBuf, usize),
    /// What the node's folder remembers from its set-up.
    Remembered(PathBuf),
    /// Nobody said anything.
    Default,
}

/// A value of one of the kinds that keys have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Text.
    Text(String),
    /// Several texts.
    List(Vec<String>),
    /// A length of time.
    Duration(Duration),
}

/// A value and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The value.
    pub value: Value,
    /// Its origin.
    pub source: Source,
}

/// What the configuration says about one table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableSettings {
    /// Columns that name a row where there is no primary key.
    pub key: Vec<String>,
    /// Whether it stays out of sync.
    pub off: bool,
    /// The policy for its rows.
    pub conflicts: Option<String>,
    /// Policies for columns.
    pub columns: BTreeMap<String, String>,
    /// Policies for foreign keys, by one of their columns.
    pub references: BTreeMap<String, String>,
}

/// Rows that stay here, and what depends on them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Its name, for people.
    pub name: String,
    /// The table that it starts from.
    pub table: String,
    /// The condition on its rows.
    pub skip: String,
    /// Nullable foreign keys, as `table.column`, by which a row belongs to what it refers to.
    pub follow: Vec<String>,
    /// When a row that belongs to several others stays here: `any` or `all` of them do.
    pub several_owners: Option<String>,
}

/// All settings.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// The file that was read, if there was one.
    pub path: Option<PathBuf>,
    /// By table.
    pub tables: BTreeMap<String, TableSettings>,
    /// In the order of the file.
    pub filters: Vec<Filter>,
    /// Not wrong, but worth a word.
    pub warnings: Vec<String>,
    settings: BTreeMap<&'static str, Setting>,
    surroundings: Surroundings,
}

impl Surroundings {
    /// Those of this process.
    pub fn of_process() -> Surroundings {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
            .or_else(|_| std::fs::read_to_string("/etc/hostname"))
            .unwrap_or_default();
        let folder = std::env::current_dir().unwrap_or_default();
        Surroundings { variables, folder, host: host.trim().to_owned() }
    }

    /// A variable that is set and not empty.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Flag(flag) => write!(f, "{flag}"),
            Source::Variable(name) => write!(f, "environment {name}"),
            Source::File(path, line) | Source::DotEnv(path, line) => write!(f, "{}:{line}", path.display()),
            Source::Remembered(path) => write!(f, "remembered in {}", path.display()),
            Source::Default => write!(f, "default"),
        }
    }
}

impl Config {
    /// Reads file and environment.
    ///
    /// # Errors
    /// With file, line and column, or the variable's name: RM1101 to RM1106. Nothing is half taken.
    pub fn load(surroundings: &Surroundings, explicit: Option<&Path>) -> Outcome<Config> {
        let mut config = Config { surroundings: surroundings.clone(), ..Config::default() };
        if let Some(path) = find_file(surroundings, explicit)? {
            let text = std::fs::read_to_string(&path).map_err(|error| {
                failure("RM1101", format!("configuration file {} cannot be read", path.display()))
                    .why(error.to_string())
            })?;
            file::read(&FileText::new(&path, &text), &mut config)?;
            config.path = Some(path);
        }
        config.read_variables()?;
        Ok(config)
    }

    /// Sets a value from a flag.
    pub fn set_flag(&mut self, path: &str, value: Value, flag: &str) {
        self.set(path, value, Source::Flag(flag.to_owned()));
    }

    /// Sets what the node remembers, unless something else was said.
    pub fn set_remembered(&mut self, path: &str, value: Value, folder: &Path) {
        if self.given(path).is_none() {
            self.set(path, value, Source::Remembered(folder.to_owned()));
        }
    }

    /// A setting that somebody made; `None` if it is the default.
    pub fn given(&self, path: &str) -> Option<&Setting> {
        self.settings.get(path)
    }

    /// A setting, the default if nobody made it.
    pub fn setting(&self, path: &str) -> Setting {
        let default = || {
            let key = KEYS.iter().find(|key| key.path == path);
            let text = key.map_or("", |key| key.default);
            let kind = key.map_or(Kind::Text, |key| key.kind);
            let value = parse_text(kind, text).unwrap_or(Value::Text(text.to_owned()));
            Setting { value, source: Source::Default }
        };
        self.settings.get(path).cloned().unwrap_or_else(default)
    }

    /// A text.
    pub fn text(&self, path: &str) -> String {
        match self.setting(path).value {
            Value::Text(text) => text,
            Value::List(list) => list.join(","),
            Value::Duration(duration) => write_duration(duration),
        }
    }

    /// A list.
    pub fn list(&self, path: &str) -> Vec<String> {
        match self.setting(path).value {
            Value::List(list) => list,
            Value::Text(text) => vec![text],
            Value::Duration(_) => Vec::new(),
        }
    }

    /// A length of time.
    pub fn duration(&self, path: &str) -> Duration {
        match self.setting(path).value {
            Value::Duration(duration) => duration,
            Value::Text(_) | Value::List(_) => Duration::ZERO,
        }
    }

    /// What it was read in.
    pub fn surroundings(&self) -> &Surroundings {
        &self.surroundings
    }

    fn set(&mut self, path: &str, value: Value, source: Source) {
        if let Some(key) = KEYS.iter().find(|key| key.path == path) {
            self.settings.insert(key.path, Setting { value, source });
        }
    }

    fn read_variables(&mut self) -> Outcome<()> {
        let names: Vec<(String, String)> =
            self.surroundings.variables.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        for (name, text) in names.into_iter().filter(|(name, text)| name.starts_with(PREFIX) && !text.is_empty()) {
            let Some(key) = KEYS.iter().find(|key| key.variable() == name) else {
                self.warn_of_variable(&name);
                continue;
            };
            let value = parse_text(key.kind, &text)
                .map_err(|problem| failure("RM1104", format!("environment variable {name}: {problem}")))?;
            self.set(key.path, value, Source::Variable(name));
        }
        Ok(())
    }

    /// A misspelt variable would otherwise do nothing in silence.
    fn warn_of_variable(&mut self, name: &str) {
        let sections: Vec<String> =
            KEYS.iter().map(|key| format!("{PREFIX}{}_", key.section().replace('.', "_").to_uppercase())).collect();
        if !sections.iter().any(|section| name.starts_with(section.as_str())) {
            return;
        }
        let known: Vec<String> = KEYS.iter().map(Key::variable).collect();
        let meant = suggest::nearest(name, known.iter().map(String::as_str))
            .map(|known| format!(" Did you mean {known}?"))
            .unwrap_or_default();
        self.warnings.push(format!("environment variable {name} sets nothing.{meant}"));
    }
}

const PREFIX: &str = "ROWMESH_";

/// Where a configuration file is looked for, first to last.
pub fn candidates(surroundings: &Surroundings) -> Vec<PathBuf> {
    let home = surroundings.variable("HOME").map(|home| Path::new(home).join(".config"));
    let user = surroundings.variable("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute()).or(home);
    [
        Some(surroundings.folder.join("rowmesh.toml")),
        user.map(|folder| folder.join("rowmesh/rowmesh.toml")),
        Some(PathBuf::from("/etc/rowmesh/rowmesh.toml")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn find_file(surroundings: &Surroundings, explicit: Option<&Path>) -> Outcome<Option<PathBuf>> {
    let variable = surroundings.variable("ROWMESH_CONFIG").map(|path| (PathBuf::from(path), "ROWMESH_CONFIG"));
    let named = explicit.map(|path| (path.to_owned(), "--config")).or(variable);
    if let Some((path, by)) = named {
        let path = surroundings.folder.join(path);
        if !path.exists() {
            return Err(failure("RM1101", format!("there is no configuration file {}", path.display()))
                .why(format!("it was named by {by}"))
                .hint("Begin one:", format!("rowmesh config example > {}", path.display())));
        }
        return Ok(Some(path));
    }
    Ok(candidates(surroundings).into_iter().find(|path| path.exists()))
}

/// A value as an environment variable writes it; lists are separated by commas.
fn parse_text(kind: Kind, text: &str) -> Result<Value, String> {
    match kind {
        Kind::Text => Ok(Value::Text(text.to_owned())),
        Kind::List => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Ok(Value::List(items.map(str::to_owned).collect()))
        }
        Kind::Duration => parse_duration(text).map(Value::Duration),
        Kind::Choice(choices) if choices.contains(&text) => Ok(Value::Text(text.to_owned())),
        Kind::Choice(choices) => Err(format!("{text:?} is none of {}", choices.join(", "))),
    }
}

/// RM1103: a value that a key cannot have.
fn wrong_value(place: &str, problem: &str) -> Failure {
    failure("RM1103", format!("{place} {problem}")).hint("Every key with its default:", "rowmesh config example")
}

#[cfg(test)]
mod tests;
