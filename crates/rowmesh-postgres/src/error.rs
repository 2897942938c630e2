//! What can be wrong with a connection, a catalog, a plan or the capture, each with its code, who can act, and what to do. What PostgreSQL's
//! own refusals mean is told in `fault`. Retries nothing and logs nothing; no secret is in any message.
//!
//! | code | what |
//! |---|---|
//! | RM1207 | no server answers |
//! | RM1208 | the server has no such database |
//! | RM1209 | a pooler in transaction mode stands before the server |
//! | RM1210 | the url is not understood |
//! | RM1211 | a certificate file that the url names cannot be used |
//! | RM1212 | the server cannot prove who it is, or has no TLS |
//! | RM1213 | the server is too old |
//! | RM2109 | not attached |
//! | RM2110 | the schema rowmesh is the application's |
//! | RM2114 | attached by a newer Rowmesh |
//! | RM3202 | the login is refused |
//! | RM3204 | the server is a standby |
//! | RM3205 | what is ours in the database belongs to another role |

use rowmesh_core::store::StoreError;
use tokio_postgres::error::SqlState;

use crate::fault::{Meaning, of_postgres};
use crate::tls::Unusable;
use crate::url::UrlError;

/// Result of this half of the crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What can be wrong with a connection, a catalog, a plan or the capture.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system gave no thread or no socket.
    #[error("no connection can be prepared on this machine")]
    Machine(#[from] std::io::Error),
    /// What names the database is no name of a PostgreSQL database.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// A certificate file cannot be used.
    #[error(transparent)]
    Certificates(#[from] Unusable),
    /// What we wrote breaks a unique constraint that the server checks late.
    #[error("another row of {table} has a unique value of this one, or its key")]
    NotUnique {
        /// The table.
        table: String,
    },
    /// No server answers, or none in time.
    #[error("{server} does not answer: {said}")]
    Unreachable {
        /// The last one tried.
        server: String,
        /// What was heard instead.
        said: String,
    },
    /// The server is not who it should be, or cannot show it.
    #[error("{server} is not trusted: {said}")]
    Untrusted {
        /// Which.
        server: String,
        /// Why.
        said: String,
    },
    /// The role or its password is refused.
    #[error("{server} refuses the login of {user}: {said}")]
    LoginRefused {
        /// Which server.
        server: String,
        /// The role.
        user: String,
        /// What the server said.
        said: String,
        /// Whether the role was known and its proof was not good enough.
        is_about_password: bool,
    },
    /// No database of this name.
    #[error("{server} has no database {database:?}")]
    DatabaseMissing {
        /// Which server.
        server: String,
        /// The name.
        database: String,
    },
    /// A server that follows another one.
    #[error("{0} is a standby: it can be read only")]
    Standby(String),
    /// A server of another age.
    #[error("{server} runs PostgreSQL {version}; rowmesh needs 14 or later")]
    TooOld {
        /// Which server.
        server: String,
        /// Its version.
        version: String,
    },
    /// One connection of ours leads to several sessions of the server.
    #[error("a connection pooler in transaction mode stands before the database: {pooler}")]
    Pooled {
        /// Who.
        pooler: String,
        /// The way around it, where that is known.
        direct: Option<String>,
    },
    /// The database has none of our tables.
    #[error("this database is not attached")]
    NotAttached,
    /// The application has tables where ours belong.
    #[error("the schema rowmesh holds {} that are not Rowmesh's", .0.join(", "))]
    NamesTaken(Vec<String>),
    /// Our triggers have a version that this program does not know.
    #[error("this database was attached by a newer Rowmesh (capture {found}, known {known})")]
    NewerRowmesh {
        /// Version found.
        found: u32,
        /// Highest version known.
        known: u32,
    },
    /// What an earlier Rowmesh made belongs to another role.
    #[error("the schema rowmesh belongs to {owner}, and {role} is no member of it")]
    NotOurs {
        /// Whom it belongs to.
        owner: String,
        /// Who we are.
        role: String,
    },
    /// The server refused, or could not be asked.
    #[error("postgresql refused a statement")]
    Postgres(#[from] tokio_postgres::Error),
}

impl Error {
    /// Stable code, `RM` and four digits.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Unreachable { .. } => "RM1207",
            Error::DatabaseMissing { .. } => "RM1208",
            Error::Pooled { .. } => "RM1209",
            Error::Url(_) => "RM1210",
            Error::Certificates(_) => "RM1211",
            Error::Untrusted { .. } => "RM1212",
            Error::TooOld { .. } => "RM1213",
            Error::NotAttached => "RM2109",
            Error::NamesTaken(_) => "RM2110",
            Error::NewerRowmesh { .. } => "RM2114",
            Error::LoginRefused { .. } => "RM3202",
            Error::Standby(_) => "RM3204",
            Error::NotOurs { .. } => "RM3205",
            Error::Machine(_) => "RM5106",
            Error::Postgres(source) => Meaning::of(source).code(),
            Error::NotUnique { .. } => Meaning::Unforeseen.code(),
        }
    }

    /// What a person can do, in one sentence. What PostgreSQL refused has its remedy once it is a [`StoreError`].
    pub fn remedy(&self) -> String {
        let sentence = match self {
            Error::Unreachable { .. } => {
                "check that the server runs and that this machine may reach it: psql with the same url tells"
            }
            Error::DatabaseMissing { .. } => "check the name, or let the application create its database first",
            Error::Pooled { direct: Some(direct), .. } => {
                return format!("give the url that leads to the server itself: {direct}, with the same password");
            }
            Error::Pooled { direct: None, .. } => {
                "give the url that leads to the server itself, usually at port 5432 and without \"pooler\" in its name (in Prisma projects it is DIRECT_URL); if there is no pooler, take pgbouncer=true out of the url"
            }
            Error::Url(error) => return error.remedy(),
            Error::Certificates(_) => "check the files that sslrootcert, sslcert and sslkey name",
            Error::Untrusted { .. } => {
                "name the certificate that vouches for the server (sslrootcert=FILE), or its right name; sslmode=require asks for no proof"
            }
            Error::TooOld { .. } => "upgrade the server",
            Error::LoginRefused { .. } => "check user and password in the url, and pg_hba.conf of the server",
            Error::Standby(_) => "give the url of the primary, or all servers: postgres://user@one,two/name",
            Error::NotOurs { owner, role } => {
                return format!(
                    "log in as {owner} or as a superuser, or let one of them run: GRANT \"{owner}\" TO \"{role}\";"
                );
            }
            Error::NotAttached => "rowmesh up",
            Error::NamesTaken(_) => "rename these tables or their schema: the schema rowmesh is Rowmesh's own",
            Error::NewerRowmesh { .. } => "install the newest Rowmesh",
            Error::Machine(_) | Error::NotUnique { .. } | Error::Postgres(_) => "",
        };
        sentence.to_owned()
    }

    /// What the server said, where it said anything.
    pub fn sqlstate(&self) -> Option<&SqlState> {
        match self {
            Error::Postgres(source) => source.code(),
            _ => None,
        }
    }

    /// Whether waiting for another connection of the same database is all that is needed.
    pub fn is_lock(&self) -> bool {
        matches!(self, Error::Postgres(source) if Meaning::of(source) == Meaning::Locked)
    }
}

impl From<Error> for StoreError {
    fn from(error: Error) -> StoreError {
        let (code, message, remedy) = (error.code(), error.to_string(), error.remedy());
        match error {
            Error::Postgres(source) => of_postgres(source),
            Error::Machine(_) => StoreError::transient(code, message).because(error),
            // A server that is down comes back, a standby may become the primary's successor.
            Error::Unreachable { .. } | Error::Standby(_) => {
                StoreError { remedy, ..StoreError::transient(code, message) }
            }
            Error::Certificates(source) => StoreError::needs_person(code, message, remedy).because(source),
            _ => StoreError::needs_person(code, message, remedy),
        }
    }
}
