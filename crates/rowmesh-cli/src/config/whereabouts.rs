//! Where a database is, of whichever kind: how it is shown, what a node is told, and what a node's folder remembers. Which one is meant is
//! decided in `database`.

use std::fmt;
use std::path::{Path, PathBuf};

use rowmesh::failure::Failure;
use rowmesh::postgres::{self, Location, UrlError};

use super::{Source, Surroundings};
use crate::failure::failure;

/// Where a database is. What is shown of it holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whereabouts {
    /// A SQLite file, absolute.
    File(PathBuf),
    /// A database of a PostgreSQL server.
    Server(Box<Location>),
}

impl Whereabouts {
    /// The file, where it is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Whereabouts::File(path) => Some(path),
            Whereabouts::Server(_) => None,
        }
    }

    /// What a node is opened with. Holds the password: never to be shown.
    pub fn reveal(&self) -> String {
        match self {
            Whereabouts::File(path) => path.display().to_string(),
            Whereabouts::Server(location) => location.reveal(),
        }
    }

    /// Whether both are one database, whoever opens it and however.
    pub fn is_same(&self, other: &Whereabouts) -> bool {
        match (self, other) {
            (Whereabouts::File(one), Whereabouts::File(other)) => one == other,
            (Whereabouts::Server(one), Whereabouts::Server(other)) => one.is_same_database(other),
            _ => false,
        }
    }

    /// A name for a mesh that begins here: `shop` of `/srv/shop.db`.
    pub fn stem(&self) -> String {
        match self {
            Whereabouts::File(path) => {
                path.file_stem().map_or_else(|| "mesh".to_owned(), |stem| stem.to_string_lossy().into_owned())
            }
            Whereabouts::Server(location) => location.database.clone(),
        }
    }

    /// What the same application's database may be called on another machine: `shop.db`.
    pub fn elsewhere(&self) -> String {
        match self {
            Whereabouts::File(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            Whereabouts::Server(location) => format!("postgres://USER@HOST/{}", location.database),
        }
    }

    /// As it may be written down where it came from `source`. A password is kept only if it was typed: otherwise it is found again where
    /// it was found, and may be another one by then.
    #[must_use]
    pub fn to_remember(&self, source: &Source) -> Whereabouts {
        match (self, source) {
            (Whereabouts::Server(location), Source::Flag(_) | Source::Remembered(_)) => {
                Whereabouts::Server(location.clone())
            }
            (Whereabouts::Server(location), _) => Whereabouts::Server(Box::new(location.without_passwords())),
            (Whereabouts::File(_), _) => self.clone(),
        }
    }

    /// What was written down by [`Whereabouts::to_remember`]; `None` if it is damaged.
    pub fn of_remembered(text: &str) -> Option<Whereabouts> {
        if !postgres::is_postgres(text) {
            return Some(Whereabouts::File(PathBuf::from(text)));
        }
        let location = postgres::parse(text, &postgres::Surroundings::default()).ok()?;
        Some(Whereabouts::Server(Box::new(location)))
    }
}

impl fmt::Display for Whereabouts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Whereabouts::File(path) => path.display().fmt(f),
            Whereabouts::Server(location) => location.fmt(f),
        }
    }
}

/// What was said to be a database url, without its secrets: for showing settings.
pub fn shown(text: &str) -> String {
    match postgres::parse(text, &postgres::Surroundings::default()) {
        Ok(location) => location.to_string(),
        Err(UrlError::NotPostgres) => match text.split_once("://") {
            // Of a kind that is not spoken here: where in it a password stands is not known.
            Some((scheme, rest)) if rest.contains('@') => format!("{scheme}://…"),
            _ => text.to_owned(),
        },
        Err(_) => "postgres://…".to_owned(),
    }
}

/// What a url of PostgreSQL leaves to this machine.
pub fn postgres_surroundings(around: &Surroundings) -> postgres::Surroundings {
    let folders = ["/var/run/postgresql", "/run/postgresql", "/tmp"].map(PathBuf::from);
    let port = around.variable("PGPORT").unwrap_or("5432");
    let socket = format!(".s.PGSQL.{port}");
    postgres::Surroundings {
        variables: around.variables.clone(),
        home: around.variable("HOME").map(PathBuf::from),
        login: around.variable("USER").or_else(|| around.variable("LOGNAME")).unwrap_or("postgres").to_owned(),
        socket_folder: folders.into_iter().find(|folder| folder.join(&socket).exists()),
    }
}

/// Why a text names no PostgreSQL database, and what to type.
pub fn not_understood(error: &UrlError, source: &Source) -> Failure {
    failure("RM1210", error.to_string()).at(format!("given by {source}")).hint(error.remedy(), "")
}
