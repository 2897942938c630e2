//! The `Store` over one SQLite database: the engine on a connection of ours. Begins and ends transactions for it, and follows what happens to
//! the file, to the schema and to the triggers that are carried.

use std::time::Duration;

use rowmesh_core::limits;
use rowmesh_core::schema::TableSchema;
use rowmesh_core::scope::TablePatterns;
use rowmesh_core::store::StoreResult;
use rowmesh_engine::database::{Database, NoPacker, Opened, Seen};
use rowmesh_engine::engine::Engine;
use rowmesh_engine::fault::{Error, Result};
use rowmesh_engine::plan::{AttachOptions, Followed, Plan};
use rowmesh_engine::registry::Registry;
use rusqlite::Connection;

use crate::access::SqliteAccess;
use crate::attach;
use crate::carry::Carried;
use crate::catalog::Catalog;
use crate::connection::{self, Location};
use crate::fault::Told;
use crate::load_schema;
use crate::rows::{Statements, statements};
use crate::views;
use crate::watch::{FileState, Watch};

/// How long a transaction of ours waits for the application's before it gives way.
const PATIENCE: Duration = Duration::from_millis(2_000);

/// A node's SQLite database.
pub type SqliteStore = Engine<SqliteDatabase>;

/// A SQLite database with a connection of ours.
pub struct SqliteDatabase {
    location: Location,
    options: AttachOptions,
    connection: Connection,
    watch: Option<Watch>,
    statements: Statements,
    carried: Carried,
    plan: Option<Plan>,
    /// The schema's version that was followed last.
    followed: i64,
}

impl SqliteDatabase {
    /// The connection, for tests and tools that look on.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The same, for tests that make it fail.
    pub fn connection_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }

    fn on(location: &Location, options: &AttachOptions) -> Result<SqliteDatabase> {
        let connection = connection::open_daemon(location).told()?;
        connection.set_prepared_statement_cache_capacity(4_096);
        Ok(SqliteDatabase {
            location: location.clone(),
            options: options.clone(),
            connection,
            watch: None,
            statements: Statements::new(),
            carried: Carried::new(options.leave_triggers.iter().cloned()),
            plan: None,
            followed: -1,
        })
    }

    fn followed(&mut self, followed: Followed) -> Followed {
        self.followed = followed.schema_version;
        if let Some(watch) = &mut self.watch {
            watch.followed(followed.schema_version);
        }
        followed
    }

    fn schema_version(&self) -> Result<i64> {
        let mut statement = self.connection.prepare_cached("PRAGMA main.schema_version").told()?;
        statement.query_row([], |row| row.get(0)).told()
    }
}

impl Database for SqliteDatabase {
    type Access<'a> = SqliteAccess<'a>;
    type Location = Location;
    type Packer = NoPacker;

    const UNIT_ROWS: usize = limits::UNIT_ROWS_SQLITE;
    // Nothing is far away, so there is little to gain.
    const STEP_ROWS: usize = 200;
    const IS_SHARED: bool = false;
    const LOCK_BUDGET: Duration = Duration::from_millis(limits::APPLY_MS_BUDGET);

    fn plan(location: &Location, options: &AttachOptions) -> StoreResult<Plan> {
        let connection = connection::open_daemon(location)?;
        Ok(attach::plan(&connection, options)?)
    }

    fn check(location: &Location) -> StoreResult<()> {
        Ok(connection::open_daemon(location).map(drop)?)
    }

    fn installed(location: &Location) -> StoreResult<Vec<(String, String)>> {
        Ok(attach::installed(&connection::open_daemon(location)?)?)
    }

    fn uninstall(location: &Location) -> StoreResult<()> {
        Ok(attach::detach(&mut connection::open_daemon(location)?)?)
    }

    fn open(location: &Location, options: &AttachOptions) -> Result<Opened<SqliteDatabase>> {
        let mut database = SqliteDatabase::on(location, options)?;
        let was_attached = attach::is_attached(&database.connection).told()?;
        let plan = attach::plan(&database.connection, options).told()?;
        let followed = attach::attach(&mut database.connection, &plan).told()?;
        database.watch = Some(Watch::begin(&database.connection, location).told()?);
        let followed = database.followed(followed);
        Ok(Opened { database, followed, was_attached })
    }

    fn access(&self) -> SqliteAccess<'_> {
        SqliteAccess::new(&self.connection, &self.statements)
    }

    /// Holds the write lock from the start, and has the carried triggers fit the schema.
    fn begin(&mut self) -> Result<()> {
        connection::begin_immediate(&self.connection, PATIENCE).told()?;
        if self.schema_version()? != self.followed {
            self.rollback()?;
            return Err(Error::SchemaMoved);
        }
        let tracked = self.plan.as_ref().map(Plan::names).unwrap_or_default();
        self.carried.refresh(&self.connection, &tracked).told().map(drop)
    }

    fn commit(&mut self) -> Result<()> {
        self.connection.execute_batch("COMMIT").told()
    }

    fn rollback(&mut self) -> Result<()> {
        if self.connection.is_autocommit() {
            return Ok(());
        }
        self.connection.execute_batch("ROLLBACK").told()
    }

    fn follow(&mut self) -> Result<Followed> {
        let followed = attach::follow(&mut self.connection, &self.options).told()?;
        Ok(self.followed(followed))
    }

    fn follow_mesh(&mut self, rules: &TablePatterns) -> Result<Option<Followed>> {
        let followed = attach::follow_mesh(&mut self.connection, &self.options, rules).told()?;
        Ok(followed.map(|followed| self.followed(followed)))
    }

    fn work_with(&mut self, plan: &Plan, registry: &Registry) {
        self.plan = Some(plan.clone());
        self.statements = statements(registry);
    }

    fn all_tables(&self) -> Result<Vec<TableSchema>> {
        Ok(Catalog::read(&self.connection, &self.options.keys).told()?.tables)
    }

    fn look(&mut self) -> Result<Seen> {
        let Some(watch) = &mut self.watch else { return Ok(Seen::default()) };
        let seen = watch.look(&self.connection).told()?;
        if seen.file != FileState::Same {
            let path = self.location.path().map(ToOwned::to_owned).unwrap_or_default();
            return Err(crate::error::Error::FileReplaced(path)).told();
        }
        if seen.file_touched {
            // Pages that are remembered say nothing of what stands in the file now.
            self.connection.execute_batch("PRAGMA shrink_memory").told()?;
        }
        Ok(Seen { data_changed: seen.file_touched || seen.data_changed, schema_changed: seen.schema_changed })
    }

    fn reader(&self) -> Result<SqliteDatabase> {
        let database = SqliteDatabase::on(&self.location, &self.options)?;
        database.connection.execute_batch("BEGIN").told()?;
        Ok(database)
    }

    fn packer(&self) -> NoPacker {
        NoPacker
    }

    fn application_schema(&self) -> Result<Vec<String>> {
        views::schema(&self.connection).told()
    }

    fn make_schema(&mut self, statements: &[String]) -> Result<()> {
        load_schema::run(&mut self.connection, statements, &self.options)
    }

    fn describe(&self) -> String {
        views::describe(&self.connection, &self.location)
    }

    fn location(&self) -> String {
        self.location.to_string()
    }

    fn detach(&mut self) -> Result<()> {
        attach::detach(&mut self.connection).told()
    }
}
