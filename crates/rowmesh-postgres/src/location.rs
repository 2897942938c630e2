//! Where a database is, and as whom to open it. A location can be printed: it never shows a password. How people write one down is told in
//! `url`; nothing is opened here.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The port of a server whose port nobody names.
pub const PORT: u16 = 5432;

/// How long the opening of one connection may take where nobody says otherwise.
pub const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// Where a database is, and as whom to open it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Location {
    /// Servers, in the order in which they are tried. Never empty.
    pub servers: Vec<Server>,
    /// Name of the database.
    pub database: String,
    /// Role that logs in.
    pub user: String,
    /// Its password, where one is known.
    pub password: Option<Password>,
    /// Schema whose tables travel under their bare names; `None` for the first of the role's search path.
    pub schema: Option<String>,
    /// Settings for the server's command line, as in libpq's `options`.
    pub options: Option<String>,
    /// How long the opening of one connection may take.
    pub connect_timeout: Duration,
}

/// One server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    /// Where it listens.
    pub host: Host,
    /// Its port; part of the name of the socket where the host is a folder.
    pub port: u16,
}

/// Where a server listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Host {
    /// A name or an address.
    Name(String),
    /// The folder of a Unix socket.
    Folder(PathBuf),
}

/// A secret that no message and no log shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Location {
    /// A database behind a Unix socket.
    pub fn socket(
        folder: impl Into<PathBuf>,
        port: u16,
        database: impl Into<String>,
        user: impl Into<String>,
    ) -> Location {
        Location {
            servers: vec![Server { host: Host::Folder(folder.into()), port }],
            database: database.into(),
            user: user.into(),
            password: None,
            schema: None,
            options: None,
            connect_timeout: CONNECT_PATIENCE,
        }
    }

    /// The same place for another role, without a password.
    #[must_use]
    pub fn as_user(&self, user: impl Into<String>) -> Location {
        Location { user: user.into(), password: None, ..self.clone() }
    }
}

/// As people write it, without anything secret and without what hardly ever differs.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postgres://{}@", self.user)?;
        for (at, server) in self.servers.iter().enumerate() {
            f.write_str(if at > 0 { "," } else { "" })?;
            server.fmt(f)?;
        }
        write!(f, "/{}", self.database)
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Name(name) if name.contains(':') => write!(f, "[{name}]:{}", self.port),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
            Host::Folder(folder) => write!(f, "{}:{}", folder.display(), self.port),
        }
    }
}

impl Password {
    /// Keeps a secret.
    pub fn new(secret: impl Into<String>) -> Password {
        Password(secret.into())
    }

    /// The secret itself, for the server only.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_shown_nowhere() {
        let location =
            Location { password: Some(Password::new("hunter2")), ..Location::socket("/run", PORT, "shop", "app") };
        assert!(!format!("{location} {location:?} {location:#?}").contains("hunter2"));
        assert_eq!(location.to_string(), "postgres://app@/run:5432/shop");
    }
}
