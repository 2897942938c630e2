//! Every key of the configuration in one table: parser, environment, `config show` and `config example` all read it.
//! `[table.NAME]` and `[[filters]]` are not here: they are lists of things, not keys.

/// What a key's value has to look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// Texts; in an environment variable separated by commas.
    List,
    /// A number with a unit.
    Duration,
    /// One of these.
    Choice(&'static [&'static str]),
}

/// One key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Section and name, joined by a dot.
    pub path: &'static str,
    /// What its value looks like.
    pub kind: Kind,
    /// Its default, as an environment variable would write it.
    pub default: &'static str,
    /// What it does, for `config example`.
    pub about: &'static str,
}

impl Key {
    /// All but the last part of its path.
    pub fn section(&self) -> &'static str {
        self.path.rsplit_once('.').map_or("", |(section, _)| section)
    }

    /// The last part of its path.
    pub fn name(&self) -> &'static str {
        self.path.rsplit_once('.').map_or(self.path, |(_, name)| name)
    }

    /// The environment variable that sets it.
    pub fn variable(&self) -> String {
        format!("{}{}", super::PREFIX, self.path.replace('.', "_").to_uppercase())
    }
}

/// All keys, in the order of the example.
pub const KEYS: &[Key] = &[
    key("node.name", Kind::Text, "", "the host's name"),
    key("node.data", Kind::Text, "", "the state folder of your system, below it NAME"),
    key(
        "database.url",
        Kind::Text,
        "${DATABASE_URL}",
        "a SQLite file: shop.db, file:./shop.db, sqlite:shop.db; or postgres://USER@HOST/DATABASE",
    ),
    key("database.url_file", Kind::Text, "", "a file that holds the url, such as /run/secrets/db-url"),
    key("tables.include", Kind::List, "*", "which tables sync; * stands for anything"),
    key(
        "tables.exclude",
        Kind::List,
        "",
        "besides sessions, verification tokens, audit logs and migration bookkeeping",
    ),
    key(
        "triggers.leave",
        Kind::List,
        "",
        "triggers of the application that keep still for changes from other nodes, by name; the plan lists all",
    ),
    key(
        "triggers.carry",
        Kind::List,
        "",
        "triggers that run for them although it cannot be told that they only maintain what stays here; PostgreSQL only",
    ),
    key("sync.listen", Kind::Text, "0.0.0.0:7696", "where other nodes reach this one"),
    key("sync.advertise", Kind::List, "", "further addresses to put into invites"),
    key("sync.interval", Kind::Duration, "30s", "worst case; nudges make it nearly instant"),
    key("log.level", Kind::Choice(&["error", "warn", "info", "debug", "trace"]), "info", "how much the daemon says"),
    key("log.format", Kind::Choice(&["auto", "pretty", "json"]), "auto", "auto: pretty on a terminal, else json"),
];

const fn key(path: &'static str, kind: Kind, default: &'static str, about: &'static str) -> Key {
    Key { path, kind, default, about }
}
