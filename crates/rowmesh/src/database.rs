//! Which kind of database a node stands on, told from its url, and what is asked of it before and besides a node's work. The only place that
//! knows the stores by name.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rowmesh_core::ident::{Incarnation, NodeId};
use rowmesh_core::store::{Store, StoreError, StoreResult};
use rowmesh_engine::database::Database as _;
use rowmesh_engine::plan::{AttachOptions, Plan};
use rowmesh_postgres::grants;
use rowmesh_postgres::store::{PostgresDatabase, PostgresStore};
use rowmesh_postgres::url;
use rowmesh_sqlite::store::{SqliteDatabase, SqliteStore};

use crate::failure::{Failure, code};
use crate::options::NodeOptions;

/// Where a node's database is.
pub(crate) enum Place {
    /// A SQLite file.
    Sqlite(rowmesh_sqlite::connection::Location),
    /// A database of a PostgreSQL server.
    Postgres(Box<rowmesh_postgres::connection::Location>),
}

impl Place {
    /// Tells it from a path or url.
    pub(crate) fn of(database: &str) -> Result<Place, Failure> {
        use rowmesh_sqlite::connection::Location;
        if url::is_postgres(database) {
            // Whoever fills the options in has looked around already.
            let location = url::parse(database, &url::Surroundings::default());
            let location = location.map_err(|error| StoreError::from(rowmesh_postgres::error::Error::from(error)))?;
            return Ok(Place::Postgres(Box::new(location)));
        }
        let other = |scheme: &str| {
            Failure::new(code::OTHER_DATABASE, format!("this version does not speak databases of the kind {scheme}"))
                .hint("Give a SQLite file:", "rowmesh up app.db")
                .hint("Or a PostgreSQL url:", "rowmesh up postgres://user@host/db")
        };
        Ok(Place::Sqlite(match database.split_once(':') {
            Some(("sqlite", rest)) => Location::File(PathBuf::from(rest.strip_prefix("//").unwrap_or(rest))),
            Some(("file", _)) => Location::Uri(database.to_owned()),
            Some((scheme, rest)) if rest.starts_with("//") => return Err(other(scheme)),
            _ => Location::File(PathBuf::from(database)),
        }))
    }

    /// The file, where it is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Place::Sqlite(location) => location.path(),
            Place::Postgres(_) => None,
        }
    }

    /// How often it is worth looking for changes: a look at a server is one short question, a look at a file reads pages.
    pub(crate) fn look_interval(&self) -> Duration {
        match self {
            Place::Sqlite(_) => Duration::MAX,
            Place::Postgres(_) => Duration::from_millis(10),
        }
    }

    /// What attaching would do. Changes nothing.
    pub(crate) fn plan(&self, options: &AttachOptions) -> StoreResult<Plan> {
        match self {
            Place::Sqlite(location) => SqliteDatabase::plan(location, options),
            Place::Postgres(location) => apart(|| PostgresDatabase::plan(location, options)),
        }
    }

    /// Whether it can be worked with. Changes nothing.
    pub(crate) fn check(&self) -> StoreResult<()> {
        match self {
            Place::Sqlite(location) => SqliteDatabase::check(location),
            Place::Postgres(location) => apart(|| PostgresDatabase::check(location)),
        }
    }

    /// What of ours stands there: kinds and names. Changes nothing.
    pub(crate) fn installed(&self) -> StoreResult<Vec<(String, String)>> {
        match self {
            Place::Sqlite(location) => SqliteDatabase::installed(location),
            Place::Postgres(location) => apart(|| PostgresDatabase::installed(location)),
        }
    }

    /// Rights that the login lacks, each as a statement with what it is for. A file has no rights of this kind.
    pub(crate) fn grants(&self, options: &AttachOptions) -> StoreResult<Vec<(String, String)>> {
        match self {
            Place::Sqlite(_) => Ok(Vec::new()),
            Place::Postgres(location) => {
                let missing = apart(|| grants::missing_at(location, options))?;
                Ok(missing.iter().map(|grant| (grant.to_string(), grant.what_for.to_owned())).collect())
            }
        }
    }

    /// Takes everything of ours out.
    pub(crate) fn uninstall(&self) -> StoreResult<()> {
        match self {
            Place::Sqlite(location) => SqliteDatabase::uninstall(location),
            Place::Postgres(location) => apart(|| PostgresDatabase::uninstall(location)),
        }
    }

    /// Opens it as a store, attaching to it if that has not been done.
    pub(crate) fn open(
        &self,
        options: &AttachOptions,
        node: NodeId,
        incarnation: Incarnation,
    ) -> StoreResult<Box<dyn Store>> {
        Ok(match self {
            Place::Sqlite(location) => Box::new(SqliteStore::open(location, options, node, incarnation)?),
            Place::Postgres(location) => Box::new(apart(|| PostgresStore::open(location, options, node, incarnation))?),
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Sqlite(location) => location.fmt(f),
            Place::Postgres(location) => location.fmt(f),
        }
    }
}

/// Runs what waits for a server on a thread of its own: the caller's may belong to a runtime that must not wait.
fn apart<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| match scope.spawn(run).join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// How this crate's options look to a store.
pub(crate) fn attach_options(options: &NodeOptions) -> AttachOptions {
    let is_all = |pattern: &String| pattern == "*";
    let (only, include) = match options.include.iter().any(is_all) {
        true => (Vec::new(), options.include.iter().filter(|pattern| !is_all(pattern)).cloned().collect()),
        false => (options.include.clone(), Vec::new()),
    };
    let key = |(table, columns): &(String, Vec<String>)| {
        (table.as_str().into(), columns.iter().map(|column| column.as_str().into()).collect())
    };
    AttachOptions {
        only,
        include,
        exclude: options.exclude.clone(),
        keys: options.keys.iter().map(key).collect(),
        leave_triggers: options.leave_triggers.iter().cloned().collect(),
        carry_triggers: options.carry_triggers.iter().cloned().collect(),
        switch_to_wal: options.is_new,
    }
}
