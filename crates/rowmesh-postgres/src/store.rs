//! The `Store` over one PostgreSQL database: the engine on a session of ours. Begins and ends transactions for it, opens a new session when one
//! has ended, and follows what happens to the schema.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rowmesh_core::limits;
use rowmesh_core::schema::TableSchema;
use rowmesh_core::scope::TablePatterns;
use rowmesh_core::store::{StoreError, StoreResult};
use rowmesh_core::stride::Stride;
use rowmesh_engine::database::{Database, Opened, Pieces, Seen};
use rowmesh_engine::engine::Engine;
use rowmesh_engine::fault::{Error, Result};
use rowmesh_engine::plan::{AttachOptions, Followed, Plan};
use rowmesh_engine::registry::{Registry, TableNumber};

use crate::access::PostgresAccess;
use crate::attach;
use crate::carry;
use crate::catalog::{Catalog, home_schema};
use crate::connection::{self, Location, Session};
use crate::fault::Told;
use crate::pack::PostgresPacker;
use crate::pieces;
use crate::rows::Tables;
use crate::strides::Dealer;
use crate::watch::Watch;

/// A node's PostgreSQL database.
pub type PostgresStore = Engine<PostgresDatabase>;

/// How long a transaction goes on taking in further changesets: whoever wants a row that it has locked waits that long.
const LOCK_BUDGET: Duration = Duration::from_millis(200);

/// About as many as are written in that time.
const STEP_ROWS: usize = 5_000;

/// How long a look at the catalog is good for.
const CATALOG_INTERVAL: Duration = Duration::from_millis(200);

/// How often at most the table of notes is tidied, and how large it may be without: so much is read in no time.
const TIDY_INTERVAL: Duration = Duration::from_secs(2);
const NOTES_BYTES_UNTIDIED: i64 = 256 << 10;

/// How long the session of a daemon that was killed may outlive it.
const HANDOVER: Duration = Duration::from_secs(5);

/// A PostgreSQL database with a session of ours.
pub struct PostgresDatabase {
    location: Location,
    options: AttachOptions,
    session: Session,
    watch: Watch,
    /// The schema whose tables travel under their bare names.
    home: String,
    tables: Tables,
    /// Tables on which triggers of the application fire for our writes.
    noisy: HashSet<u32>,
    is_careful: Cell<bool>,
    dealer: Dealer,
    /// When the catalog was last found unchanged.
    looked: Option<Instant>,
    /// When the notes' table was last tidied.
    tidied: Option<Instant>,
}

impl PostgresDatabase {
    /// The session, for tests and tools that look on.
    pub fn session(&self) -> &Session {
        &self.session
    }

    fn on(location: &Location, options: &AttachOptions) -> Result<PostgresDatabase> {
        let session = Session::open(location).told()?;
        Ok(PostgresDatabase {
            location: location.clone(),
            options: options.clone(),
            home: home_schema(&session, location.schema.as_deref()).told()?,
            watch: Watch::default(),
            tables: Tables::default(),
            noisy: HashSet::new(),
            is_careful: Cell::new(false),
            dealer: Dealer::default(),
            looked: None,
            tidied: None,
            session,
        })
    }

    /// A session that has ended is replaced by a new one, which has to be the only one of ours again.
    fn reopen(&mut self) -> Result<()> {
        if self.session.is_closed() {
            self.session = Session::open(&self.location).told()?;
            stand_alone(&self.session)?;
        }
        Ok(())
    }

    /// Spent notes keep their room until they are vacuumed, and every look reads it: a statement of very many rows leaves much behind at once,
    /// and autovacuum comes when it comes.
    fn tidy_notes(&mut self) {
        if self.tidied.is_some_and(|tidied| tidied.elapsed() < TIDY_INTERVAL) {
            return;
        }
        self.tidied = Some(Instant::now());
        let size = self.session.query_one("SELECT pg_relation_size('rowmesh.dirty')", &[]).map_or(0, |row| row.get(0));
        if size > NOTES_BYTES_UNTIDIED
            && let Err(error) = self.session.batch("VACUUM rowmesh.dirty")
        {
            tracing::debug!(%error, "the table of notes is tidied another time");
        }
    }

    fn followed(&mut self, followed: Followed) -> Result<Followed> {
        self.watch.followed(followed.schema_version);
        let catalog = Catalog::read(&self.session, &self.home, &self.options.keys).told()?;
        let named = |table: crate::catalog::Tracked| (table.schema.name.clone(), Arc::new(table));
        self.tables = catalog.tables.into_iter().map(named).collect();
        let names = followed.plan.names();
        let tracked: Vec<_> = self
            .tables
            .values()
            .filter(|table| names.contains(&table.schema.name))
            .map(|table| (**table).clone())
            .collect();
        let judged = carry::survey(&self.session, &self.home, &self.options, &tracked).told()?;
        let names_disturbed = judged.disturbed();
        let is_disturbed = |name| names_disturbed.as_ref().is_none_or(|names| names.contains(name));
        let disturbed = tracked.iter().filter(|table| is_disturbed(&table.schema.name));
        self.noisy = disturbed.map(|table| table.oid).collect();
        let tracked = followed.plan.tracked.iter().filter_map(|table| self.tables.get(&table.name));
        self.dealer.follow(tracked.map(|table| &**table));
        self.dealer.settle(&self.session).told()?;
        Ok(followed)
    }
}

/// Keeps every other daemon away from this database, as long as the session lasts. Of a daemon that was killed the server may still be carrying out
/// the last statement: that is waited for.
fn stand_alone(session: &Session) -> Result<()> {
    session.begin().told()?;
    let wait = format!("SET LOCAL lock_timeout = {}; SELECT pg_advisory_lock({ADVISORY_LOCK})", HANDOVER.as_millis());
    match session.batch(&wait) {
        // The lock is the session's and outlasts the transaction.
        Ok(()) => session.commit().told(),
        Err(error) if error.is_lock() => {
            session.rollback().told()?;
            Err(StoreError::needs_person(
                "RM4202",
                "another rowmesh works on this database already",
                "end the other daemon first; SELECT * FROM pg_stat_activity WHERE application_name = 'rowmesh' tells where it comes from",
            )
            .into())
        }
        Err(error) => Err(error).told(),
    }
}

/// The number of our advisory lock: "rowmesh" in ASCII.
const ADVISORY_LOCK: i64 = 0x0072_6f77_6d65_7368;

impl Database for PostgresDatabase {
    type Access<'a> = PostgresAccess<'a>;
    type Location = Location;
    type Packer = PostgresPacker;

    const UNIT_ROWS: usize = limits::UNIT_ROWS_POSTGRES;
    const STEP_ROWS: usize = STEP_ROWS;
    const IS_SHARED: bool = true;
    const LOCK_BUDGET: Duration = LOCK_BUDGET;

    fn plan(location: &Location, options: &AttachOptions) -> StoreResult<Plan> {
        let session = Session::open(location)?;
        let home = home_schema(&session, location.schema.as_deref())?;
        Ok(attach::plan(&session, &home, options)?)
    }

    fn check(location: &Location) -> StoreResult<()> {
        Ok(connection::check_place(location)?)
    }

    fn installed(location: &Location) -> StoreResult<Vec<(String, String)>> {
        Ok(attach::installed(&Session::open(location)?)?)
    }

    fn uninstall(location: &Location) -> StoreResult<()> {
        let session = Session::open(location)?;
        stand_alone(&session)?;
        Ok(attach::detach(&session)?)
    }

    fn open(location: &Location, options: &AttachOptions) -> Result<Opened<PostgresDatabase>> {
        connection::check_place(location).told()?;
        let mut database = PostgresDatabase::on(location, options)?;
        stand_alone(&database.session)?;
        let was_attached = attach::is_attached(&database.session).told()?;
        let followed = attach::attach(&database.session, &database.home, options).told()?;
        let followed = database.followed(followed)?;
        Ok(Opened { database, followed, was_attached })
    }

    fn access(&self) -> PostgresAccess<'_> {
        PostgresAccess {
            session: &self.session,
            tables: &self.tables,
            watch: &self.watch,
            noisy: &self.noisy,
            is_careful: &self.is_careful,
            begun: Instant::now(),
            is_hasty: Cell::new(false),
            held: RefCell::default(),
        }
    }

    fn begin(&mut self) -> Result<()> {
        self.reopen()?;
        // A moment ago is good enough here: where rows are read or written the schema is looked at again, once their tables are locked.
        let is_recent = self.looked.is_some_and(|looked| looked.elapsed() < CATALOG_INTERVAL);
        if !is_recent && self.watch.look(&self.session).told()?.schema_changed {
            return Err(Error::SchemaMoved);
        }
        self.session.begin().told()
    }

    fn commit(&mut self) -> Result<()> {
        self.session.commit().told()?;
        self.is_careful.set(false);
        Ok(())
    }

    /// What a session that has ended had begun, the server has undone.
    fn rollback(&mut self) -> Result<()> {
        if self.session.in_transaction() && !self.session.is_closed() {
            self.session.rollback().told()?;
        }
        self.reopen()
    }

    fn follow(&mut self) -> Result<Followed> {
        self.reopen()?;
        let followed = attach::follow(&self.session, &self.home, &self.options).told()?;
        self.followed(followed)
    }

    fn follow_mesh(&mut self, rules: &TablePatterns) -> Result<Option<Followed>> {
        self.reopen()?;
        let followed = attach::follow_mesh(&self.session, &self.home, &self.options, rules).told()?;
        followed.map(|followed| self.followed(followed)).transpose()
    }

    fn deal(&mut self, stride: Option<Stride>) -> Result<()> {
        self.reopen()?;
        self.dealer.take_up(stride);
        self.dealer.settle(&self.session).told()
    }

    fn work_with(&mut self, _: &Plan, _: &Registry) {}

    fn all_tables(&self) -> Result<Vec<TableSchema>> {
        let catalog = Catalog::read(&self.session, &self.home, &self.options.keys).told()?;
        Ok(catalog.tables.into_iter().map(|table| table.schema).collect())
    }

    /// Notes are asked for by the engine each time; the catalog, which takes longer, now and then, and at the start of each transaction.
    fn look(&mut self) -> Result<Seen> {
        self.reopen()?;
        if self.looked.is_some_and(|looked| looked.elapsed() < CATALOG_INTERVAL) {
            return Ok(Seen::default());
        }
        let mut seen = match self.watch.look(&self.session).told() {
            // Our own tables are gone: who follows the schema makes them anew, or says what is to be done.
            Err(Error::SchemaMoved) => return Ok(Seen { schema_changed: true, ..Seen::default() }),
            looked => looked?,
        };
        seen.schema_changed = seen.schema_changed || self.dealer.is_due(&self.session).told()?;
        self.tidy_notes();
        // What is to be followed is told until it is.
        self.looked = (!seen.schema_changed).then(Instant::now);
        Ok(seen)
    }

    fn reader(&self) -> Result<PostgresDatabase> {
        let database =
            PostgresDatabase { tables: self.tables.clone(), ..PostgresDatabase::on(&self.location, &self.options)? };
        database.session.begin().told()?;
        // Whoever takes a snapshot may be slow; what it reads locks nobody out.
        let settings = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL idle_in_transaction_session_timeout = 0";
        database.session.batch(settings).told()?;
        Ok(database)
    }

    fn pieces(&self, tables: &[TableNumber]) -> Result<Option<Box<dyn Pieces>>> {
        let reading = pieces::read(&self.session, &self.location, tables)?;
        Ok(reading.map(|reading| Box::new(reading) as Box<dyn Pieces>))
    }

    fn packer(&self) -> PostgresPacker {
        PostgresPacker(self.tables.clone())
    }

    /// A schema of PostgreSQL's is made by the application's own migrations.
    fn application_schema(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn make_schema(&mut self, _: &[String]) -> Result<()> {
        Err(StoreError::needs_person(
            "RM2302",
            "this database has no tables yet",
            "run the application's own migrations on it first, then join again",
        )
        .into())
    }

    fn describe(&self) -> String {
        let version: String =
            self.session.query_one("SHOW server_version", &[]).map_or_else(|_| String::new(), |row| row.get(0));
        format!("PostgreSQL {version}  {}", self.location.database)
    }

    fn location(&self) -> String {
        self.location.to_string()
    }

    fn detach(&mut self) -> Result<()> {
        attach::detach(&self.session).told()
    }
}
