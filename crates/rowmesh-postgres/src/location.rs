//! Where a database is, and as whom to open it. A location can be printed: it never shows a password. How people write one down is told in
//! `url`; nothing is opened here.

use std::fmt;
use std::net::IpAddr;
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
    /// How the way to the server is protected. A Unix socket needs no protection.
    pub tls: Tls,
    /// Whether the proof of the password must be bound to the server's certificate.
    pub channel_binding: ChannelBinding,
    /// Whether the url itself says that a pooler stands before the server.
    pub is_pooled: bool,
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
    /// Its address, where the name is not to be looked up.
    pub address: Option<IpAddr>,
    /// The role's password on this server, as `~/.pgpass` has it; one that the location has counts instead.
    pub password: Option<Password>,
}

/// Where a server listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Host {
    /// A name or an address.
    Name(String),
    /// The folder of a Unix socket.
    Folder(PathBuf),
}

/// How the way to the server is protected.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tls {
    /// What is demanded.
    pub mode: TlsMode,
    /// Whose certificates vouch for the server's.
    pub roots: Roots,
    /// Our own certificate and its key, both PEM files, where the server wants one.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Whether TLS begins with the first byte, as PostgreSQL 17 can.
    pub is_direct: bool,
}

/// libpq's `sslmode`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum TlsMode {
    /// Never.
    Disable,
    /// Only if the server insists.
    Allow,
    /// If the server can.
    #[default]
    Prefer,
    /// Always; whoever the server is.
    Require,
    /// Always, and somebody trusted vouches for the server.
    VerifyCa,
    /// Always, and somebody trusted vouches for the server under this very name.
    VerifyFull,
}

/// Whose certificates vouch for a server's.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Roots {
    /// Those that the operating system trusts.
    #[default]
    System,
    /// Those in a PEM file.
    File(PathBuf),
}

/// libpq's `channel_binding`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// If the server can.
    #[default]
    Prefer,
    /// Always.
    Require,
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
            servers: vec![Server::new(Host::Folder(folder.into()), port)],
            database: database.into(),
            user: user.into(),
            password: None,
            schema: None,
            options: None,
            tls: Tls::default(),
            channel_binding: ChannelBinding::default(),
            is_pooled: false,
            connect_timeout: CONNECT_PATIENCE,
        }
    }

    /// The same place for another role, without a password.
    #[must_use]
    pub fn as_user(&self, user: impl Into<String>) -> Location {
        let servers = self.servers.iter().map(|server| Server { password: None, ..server.clone() }).collect();
        Location { servers, user: user.into(), password: None, ..self.clone() }
    }

    /// The same place without what is secret.
    #[must_use]
    pub fn without_passwords(&self) -> Location {
        self.as_user(&self.user)
    }

    /// Whether both are one database of one server, whoever opens it and however.
    pub fn is_same_database(&self, other: &Location) -> bool {
        let places = |location: &Location| -> Vec<(Host, u16)> {
            location.servers.iter().map(|server| (server.host.clone(), server.port)).collect()
        };
        self.database == other.database && places(self) == places(other)
    }

    /// The password for one of the servers.
    pub fn password_for<'a>(&'a self, server: &'a Server) -> Option<&'a Password> {
        self.password.as_ref().or(server.password.as_ref())
    }
}

impl Server {
    /// A server without anything special.
    pub fn new(host: Host, port: u16) -> Server {
        Server { host, port, address: None, password: None }
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
