//! The `Store` over one SQLite database: begins and ends every transaction of ours, keeps what is in memory true to what is committed.
//! What happens inside a transaction is told in `seal`, `apply`, `load` and their helpers.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use rowmesh_core::changeset::Changeset;
use rowmesh_core::clock::{Lamport, VersionVector, WallTime};
use rowmesh_core::exchange::{LogBatch, LogRequest};
use rowmesh_core::ident::{Digest, Dot, Incarnation, NodeId, Origin, Seq};
use rowmesh_core::limits;
use rowmesh_core::row_state::{RowState, Shown, Stamp};
use rowmesh_core::store::{
    ConflictView, EventQuery, EventView, Look, MetricRecord, NodeRecord, ParkedView, PartitionRecord, Position, Sealed,
    SessionRecord, SnapshotSource, Standing, Store, StoreError, StoreResult, TableStatus, Taken,
};
use rowmesh_core::value::{ColumnName, Key, TableName};
use rusqlite::Connection;

use crate::attach::{self, AttachOptions, Followed, Plan};
use crate::carry::Carried;
use crate::catalog::Catalog;
use crate::connection::{self, Location};
use crate::fault::{Error, Result};
use crate::load::Load;
use crate::log::Decoded;
use crate::origins::Origins;
use crate::parked;
use crate::registry::{Registry, fact, set_fact};
use crate::restamp;
use crate::row_states;
use crate::scope::Membership;
use crate::seal::{self, Round};
use crate::snapshot;
use crate::views;
use crate::watch::{FileState, TableChange, Watch};
use crate::work::Work;
use crate::{apply, claims, ledger_rows, log, records};

/// How often in a row a schema may have moved under us before we give way.
const SCHEMA_PATIENCE: usize = 5;
/// How long a transaction of ours waits for the application's before it gives way.
const PATIENCE: Duration = Duration::from_millis(2_000);
/// Rows that one transaction adopts on first attach.
const ADOPT_ROWS: usize = 2_000;

/// A node's SQLite database.
pub struct SqliteStore {
    location: Location,
    options: AttachOptions,
    connection: Connection,
    watch: Watch,
    origins: Origins,
    registry: Registry,
    membership: Membership,
    standing: Option<Standing>,
    own: Origin,
    round: Round,
    load: Option<Load>,
    decoded: Decoded,
    /// How long a transaction goes on taking in further changesets.
    lock_budget: Duration,
    has_parked: bool,
    /// Whether something failed, so that memory may say what the database does not.
    is_stale: bool,
    /// Whether the file was found to hold another database: for good, until the daemon is started anew.
    is_replaced: bool,
    schema_fingerprint: Digest,
    plan: Plan,
    followed: i64,
    carried: Carried,
    /// Tables in which something may have been written unnoticed.
    to_reconcile: BTreeSet<TableName>,
    /// What following the schema found and nobody was told yet.
    found: Vec<String>,
}

/// How a transaction ends.
enum End<T> {
    Commit(T),
    /// Nothing to keep: no write reaches the disk.
    Rollback(T),
}

impl SqliteStore {
    /// What attaching would do. Changes nothing.
    ///
    /// # Errors
    /// If the database cannot be opened or read.
    pub fn plan(location: &Location, options: &AttachOptions) -> StoreResult<Plan> {
        let connection = connection::open_daemon(location)?;
        Ok(attach::plan(&connection, options)?)
    }

    /// Opens a database, attaching to it if that has not been done. Rows that stood there before become known to Rowmesh with the first
    /// standing, in short transactions, without making events.
    ///
    /// # Errors
    /// If the database cannot be opened, read or written, or belongs to another node.
    pub fn open(
        location: &Location,
        options: &AttachOptions,
        node: NodeId,
        incarnation: Incarnation,
    ) -> StoreResult<SqliteStore> {
        let mut connection = connection::open_daemon(location)?;
        connection.set_prepared_statement_cache_capacity(4_096);
        let was_attached = attach::is_attached(&connection)?;
        let plan = attach::plan(&connection, options)?;
        let Followed { changes, plan, schema_version } = attach::attach(&mut connection, &plan)?;
        let mut store = SqliteStore {
            location: location.clone(),
            options: options.clone(),
            watch: Watch::begin(&connection, location)?,
            origins: Origins::default(),
            registry: Registry::default(),
            membership: Membership::default(),
            standing: None,
            own: Origin { node, incarnation },
            round: Round::default(),
            load: None,
            decoded: Decoded::default(),
            lock_budget: Duration::from_millis(limits::APPLY_MS_BUDGET),
            has_parked: false,
            is_stale: false,
            is_replaced: false,
            schema_fingerprint: Digest::default(),
            carried: Carried::new(options.leave_triggers.iter().cloned()),
            followed: schema_version,
            plan,
            to_reconcile: BTreeSet::new(),
            found: Vec::new(),
            connection,
        };
        store.watch.followed(schema_version);
        store.reload()?;
        store.take_name(node, incarnation)?;
        if was_attached {
            // What they hold is compared once the roster is known.
            let reconcile = changes.iter().filter(|change| change.needs_reconcile());
            store.to_reconcile.extend(reconcile.map(|change| change.table.clone()));
        }
        Ok(store)
    }

    /// Lets transactions go on taking in changesets for another time than 25 ms: for ever, where time is not the machine's.
    pub fn set_lock_budget(&mut self, budget: Duration) {
        self.lock_budget = budget;
    }

    /// The database's connection, for tests and tools that look on.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The same, for tests that make it fail.
    pub fn connection_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Reads anew everything that is kept in memory: at the start, after a rollback, after the schema moved.
    fn reload(&mut self) -> Result<()> {
        let tracked = self.plan.schemas();
        self.registry = Registry::load(&self.connection, &tracked)?;
        self.schema_fingerprint = views::schema_fingerprint(&tracked);
        self.cover()?;
        self.reload_origins()
    }

    /// What the scope means for the tables as they are now.
    fn cover(&mut self) -> Result<()> {
        let Some(standing) = &self.standing else { return Ok(()) };
        let all = Catalog::read(&self.connection, &self.options.keys)?;
        self.membership = Membership::new(&standing.scope, &all.tables);
        Ok(())
    }

    fn reload_origins(&mut self) -> Result<()> {
        self.origins = Origins::load(&self.connection)?;
        self.has_parked = parked::any(&self.connection)?;
        self.membership.forget();
        self.decoded.clear();
        self.round.clear();
        Ok(())
    }

    /// Makes sure that the database is this node's, and remembers its origin.
    fn take_name(&mut self, node: NodeId, incarnation: Incarnation) -> StoreResult<()> {
        let known: Option<Vec<u8>> = fact(&self.connection, "node").map_err(Error::from)?;
        match known {
            Some(known) if known != node.0 => {
                return Err(StoreError::needs_person(
                    "RM4125",
                    "this database belongs to another node: it was copied, or the node's key was replaced",
                    "start with the data folder that belongs to it, or run rowmesh uninstall on the copy and join anew",
                ));
            }
            Some(_) => {}
            None => set_fact(&self.connection, "node", &node.0.to_vec()).map_err(Error::from)?,
        }
        let own = match self.own_incarnation().map_err(Error::from)? {
            Some(own) => own,
            None => {
                self.remember_incarnation(incarnation).map_err(Error::from)?;
                incarnation
            }
        };
        self.own = Origin { node, incarnation: own };
        Ok(())
    }

    fn own_incarnation(&self) -> rusqlite::Result<Option<Incarnation>> {
        let count: Option<u32> = fact(&self.connection, "incarnation")?;
        let nonce: Option<i64> = fact(&self.connection, "incarnation_nonce")?;
        Ok(count.zip(nonce).map(|(count, nonce)| Incarnation { count, nonce: nonce as u64 }))
    }

    fn remember_incarnation(&mut self, incarnation: Incarnation) -> rusqlite::Result<()> {
        let origin = Origin { node: self.own.node, incarnation };
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let written = remember_own(&self.connection, &mut self.origins, &origin)
            .and_then(|()| self.connection.execute_batch("COMMIT"));
        if written.is_err() {
            self.give_up();
        }
        written
    }

    /// Rows that stood here before Rowmesh came: remembered as this origin's first changeset, which is in no log. Who joins gets them
    /// with the snapshot. A row that was noted came later and is left to the sealer: what an application writes while its node joins has to
    /// reach the others as events. May be cut short and begun again at any row.
    fn adopt_existing_rows(&mut self, now: WallTime) -> StoreResult<()> {
        let done: Option<i64> = fact(&self.connection, "adopted").map_err(Error::from)?;
        if done.is_some() {
            return Ok(());
        }
        let first = Dot { origin: self.own, seq: Seq(1) };
        let stamp = Stamp { lamport: Lamport::at(now), dot: first };
        let mut any = false;
        for table in self.registry.all() {
            let keys = table.keys(&self.connection).map_err(Error::from)?;
            for some in keys.chunks(ADOPT_ROWS) {
                any |= self.in_transaction(|work| {
                    let noted = seal::noted_keys(work.connection, &table)?;
                    let mut adopted = false;
                    for key in some.iter().filter(|key| !noted.contains(&Key::of(*key))) {
                        adopted |= adopt_row(work, &table, key, stamp)?;
                    }
                    Ok(End::Commit(adopted))
                })?;
            }
        }
        self.in_transaction(|work| {
            if any {
                work.origins.settle(work.connection, first, Digest::of(b"rows before rowmesh"), first.seq)?;
            }
            set_fact(work.connection, "adopted", &(stamp.lamport.0 as i64))?;
            Ok(End::Commit(()))
        })
    }

    /// Where the scope is another than the last one, notes every row whose verdict is another too: the next seal lets it leave or come.
    fn judge_anew(&mut self, now: WallTime) -> StoreResult<()> {
        let scope = Digest::of(format!("{:?}", self.standing()?.scope).as_bytes());
        let known: Option<Vec<u8>> = fact(&self.connection, "scope").map_err(Error::from)?;
        if known.as_deref() == Some(&scope.0) {
            return Ok(());
        }
        if known.is_some() {
            self.reconcile(None, now)?;
        }
        self.in_transaction(|work| {
            work.membership.forget_reasons(work.connection, work.registry)?;
            set_fact(work.connection, "scope", &scope.0.to_vec())?;
            Ok(End::Commit(()))
        })
    }

    /// Runs `body` in a transaction that holds the write lock from the start. If anything fails, nothing has happened, in memory neither.
    fn in_transaction<T>(&mut self, body: impl FnOnce(&mut Work<'_>) -> Result<End<T>>) -> StoreResult<T> {
        self.in_transaction_with_round(|work, _| body(work))
    }

    fn in_transaction_with_round<T>(
        &mut self,
        body: impl FnOnce(&mut Work<'_>, &mut Round) -> Result<End<T>>,
    ) -> StoreResult<T> {
        self.begin()?;
        let mut work = Work {
            connection: &self.connection,
            origins: &mut self.origins,
            registry: &mut self.registry,
            standing: self.standing.as_ref(),
            membership: &mut self.membership,
            own: self.own,
            now: WallTime::default(),
            decoded: &mut self.decoded,
            has_parked: self.has_parked,
            held: row_states::Held::default(),
            shown: HashMap::new(),
            conflicts: 0,
        };
        let result = body(&mut work, &mut self.round).and_then(|end| {
            row_states::count_shown(&mut work)?;
            Ok(end)
        });
        let has_parked = work.has_parked;
        drop(work);
        let ended = match result {
            Ok(End::Commit(value)) => self.connection.execute_batch("COMMIT").map(|()| value).map_err(Error::from),
            Ok(End::Rollback(value)) => self.connection.execute_batch("ROLLBACK").map(|()| value).map_err(Error::from),
            Err(error) => Err(error),
        };
        match ended {
            Ok(value) => {
                self.has_parked = has_parked;
                Ok(value)
            }
            Err(error) => {
                self.give_up();
                Err(error.into())
            }
        }
    }

    /// After a failure: nothing of it stays. What cannot be undone now is undone before the next transaction.
    fn give_up(&mut self) {
        self.is_stale = true;
        if let Err(error) = self.start_over() {
            tracing::warn!(%error, "a failed transaction is cleared up by the next one");
        }
    }

    /// Ends what is open after a failure, and reads memory anew.
    fn start_over(&mut self) -> Result<()> {
        if !self.is_stale {
            return Ok(());
        }
        if !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK")?;
        }
        // What another database holds is not taken over.
        if !self.is_replaced {
            self.reload()?;
        }
        self.is_stale = false;
        Ok(())
    }

    /// Begins a transaction in which the schema is the one that was followed and the carried triggers fit it.
    fn begin(&mut self) -> StoreResult<()> {
        self.start_over().map_err(StoreError::from)?;
        let begun = self.try_to_begin();
        if begun.is_err() {
            self.give_up();
        }
        begun
    }

    fn try_to_begin(&mut self) -> StoreResult<()> {
        for _ in 0..SCHEMA_PATIENCE {
            connection::begin_immediate(&self.connection, PATIENCE)?;
            if schema_version(&self.connection)? == self.followed {
                self.check_content()?;
                self.carried.refresh(&self.connection, &self.plan.names())?;
                self.membership.forget();
                return Ok(());
            }
            self.connection.execute_batch("ROLLBACK").map_err(Error::from)?;
            self.follow()?;
        }
        Err(StoreError::transient("RM2115", "the schema keeps changing: waiting until a migration is over"))
    }

    /// Errs if the file holds another database than this one, or an earlier state of it: copied over it in place, which no lock prevents.
    fn check_content(&mut self) -> Result<()> {
        self.is_replaced |= !self.origins.stand_in(&self.connection)?;
        if !self.is_replaced {
            return Ok(());
        }
        Err(crate::error::Error::ContentReplaced(self.location.to_string()).into())
    }

    /// Brings capture and memory in step with the schema. Returns the tables whose rows are to be compared, and what was found.
    fn follow(&mut self) -> StoreResult<Followed> {
        self.start_over()?;
        let followed = attach::follow(&mut self.connection, &self.options)?;
        self.take_up(&followed)?;
        Ok(followed)
    }

    fn take_up(&mut self, followed: &Followed) -> StoreResult<()> {
        self.check_content()?;
        self.plan = followed.plan.clone();
        self.followed = followed.schema_version;
        self.watch.followed(followed.schema_version);
        for change in followed.changes.iter().filter(|change| change.needs_reconcile()) {
            self.to_reconcile.insert(change.table.clone());
        }
        self.found.extend(followed.changes.iter().map(TableChange::sentence));
        let before = std::mem::take(&mut self.membership);
        self.reload()?;
        let names: Vec<TableName> = self.registry.all().iter().map(|table| table.schema.name.clone()).collect();
        self.to_reconcile.extend(self.membership.judges_otherwise(&before, names.iter()));
        Ok(())
    }

    fn standing(&self) -> StoreResult<&Standing> {
        self.standing
            .as_ref()
            .ok_or_else(|| StoreError::broken("RM9103", "the store was used before the roster was known"))
    }

    /// Seals one part, then takes in what the lock budget allows, in one transaction.
    fn take_some(&mut self, now: WallTime, changesets: &[Changeset]) -> StoreResult<(Taken, bool)> {
        let (started, budget) = (Instant::now(), self.lock_budget);
        self.in_transaction_with_round(|work, round| {
            work.now = now;
            let mut taken = Taken::default();
            let part = seal::seal_part(work, round)?;
            if let Some(changeset) = &part.changeset {
                taken.sealed.dots.push(changeset.dot());
                taken.sealed.events += changeset.events().len() as u64;
            }
            if part.more {
                return Ok(End::Commit((taken, true)));
            }
            for changeset in changesets {
                if taken.changesets > 0 && started.elapsed() >= budget {
                    break;
                }
                match fits(work, changeset) {
                    Fit::Known => {}
                    Fit::TooEarly => break,
                    Fit::Next => {
                        let applied = apply::take_changeset(work, changeset)?;
                        taken.events += changeset.events().len() as u64;
                        taken.rows_written += applied.rows_written;
                        taken.parked += applied.parked;
                    }
                }
                taken.changesets += 1;
            }
            taken.conflicts = work.conflicts;
            let idle = taken.changesets == 0 && taken.sealed.dots.is_empty() && !part.spent;
            Ok(if idle { End::Rollback((taken, false)) } else { End::Commit((taken, false)) })
        })
    }

    /// A row stands that no trigger told of: note it, so that the next attempt seals it first.
    fn note_unnoticed(
        &mut self,
        table: crate::registry::TableNumber,
        key: &[rowmesh_core::value::Value],
        now: WallTime,
    ) -> StoreResult<()> {
        self.in_transaction(|work| {
            seal::note(work.connection, table, key, now)?;
            Ok(End::Commit(()))
        })
    }
}

fn schema_version(connection: &Connection) -> Result<i64> {
    Ok(connection.prepare_cached("PRAGMA main.schema_version")?.query_row([], |row| row.get(0))?)
}

enum Fit {
    Known,
    Next,
    TooEarly,
}

/// Whether a changeset is the next of its origin here, with everything there that it has seen.
fn fits(work: &Work<'_>, changeset: &Changeset) -> Fit {
    let dot = changeset.dot();
    let known = work.origins.get(&dot.origin).map_or(Seq(0), |known| known.seq);
    if known >= dot.seq {
        Fit::Known
    } else if known.next() == dot.seq && work.origins.vector().includes(&changeset.header().context.vector) {
        Fit::Next
    } else {
        Fit::TooEarly
    }
}

/// Remembers in the current transaction under which name this node seals.
fn remember_own(connection: &Connection, origins: &mut Origins, own: &Origin) -> rusqlite::Result<()> {
    use rowmesh_core::row_state::OriginTable as _;
    let number = origins.number(own);
    origins.store_new(connection)?;
    set_fact(connection, "incarnation", &own.incarnation.count)?;
    set_fact(connection, "incarnation_nonce", &(own.incarnation.nonce as i64))?;
    set_fact(connection, "own_origin", &number)
}

/// Remembers a row as it stands, if nothing is remembered of it yet. Returns whether it is an adopted one.
fn adopt_row(
    work: &mut Work<'_>,
    table: &crate::registry::Table,
    key: &[rowmesh_core::value::Value],
    stamp: Stamp,
) -> Result<bool> {
    let Some(row) = table.read(work.connection, key)? else { return Ok(false) };
    let key = table.key_of(&row);
    let judgement = work.membership.judge(work.connection, work.registry, table, &key, Some(&row))?;
    if judgement.held_back {
        return Ok(false);
    }
    let row = judgement.travelling(&row);
    let known = row_states::load(work.connection, work.origins, table.number, &key)?;
    if known != RowState::default() {
        return Ok(known.births.iter().any(|birth| birth.dot == stamp.dot));
    }
    let mut state = RowState { births: vec![stamp], live: vec![stamp], shown: Shown::AsWritten, ..RowState::default() };
    for (column, value) in table.columns.iter().zip(&row) {
        state.write(*column, stamp, value.clone());
    }
    claims::replace(work.connection, table, &key, None, Some(&row))?;
    row_states::save(work, table.number, &key, &state, false)?;
    Ok(true)
}

impl Store for SqliteStore {
    fn set_standing(&mut self, standing: Standing, now: WallTime) -> StoreResult<()> {
        self.start_over()?;
        // A table that left the mesh is captured no more, so its rows stay where they are; one that came is compared at the next look.
        let followed = attach::follow_mesh(&mut self.connection, &self.options, &standing.scope.tables)?;
        self.standing = Some(standing);
        match followed {
            Some(followed) => self.take_up(&followed)?,
            None => self.cover()?,
        }
        self.adopt_existing_rows(now)?;
        self.judge_anew(now)
    }

    fn look(&mut self) -> StoreResult<Look> {
        self.start_over().map_err(StoreError::from)?;
        let seen = self.watch.look(&self.connection)?;
        if seen.file != FileState::Same {
            return Err(crate::error::Error::FileReplaced(
                self.location.path().map(ToOwned::to_owned).unwrap_or_default(),
            )
            .into());
        }
        if seen.file_touched {
            // Pages that are remembered say nothing of what stands in the file now.
            self.connection.execute_batch("PRAGMA shrink_memory").map_err(Error::from)?;
        }
        if self.is_replaced || ((seen.file_touched || seen.data_changed) && !seen.schema_changed) {
            self.check_content()?;
        }
        // Under another schema our own tables may be gone: whoever follows it makes them anew.
        let dirty = !self.round.is_empty() || seen.schema_changed || seal::any_noted(&self.connection)?;
        Ok(Look { dirty, schema_moved: seen.schema_changed || !self.to_reconcile.is_empty() })
    }

    fn follow_schema(&mut self, now: WallTime) -> StoreResult<Vec<String>> {
        self.follow()?;
        while let Some(table) = self.to_reconcile.first().cloned() {
            let differing = self.reconcile(Some(&table), now)?;
            if differing > 0 {
                self.found.push(format!("table {table}: {differing} changes recovered"));
            }
            self.to_reconcile.remove(&table);
        }
        Ok(std::mem::take(&mut self.found))
    }

    fn reconcile(&mut self, table: Option<&str>, now: WallTime) -> StoreResult<u64> {
        let tables = self.registry.all();
        let mut noted = 0;
        for table in tables.iter().filter(|known| table.is_none_or(|name| *known.schema.name == *name)) {
            noted += self.in_transaction(|work| {
                work.now = now;
                let noted = crate::reconcile::table(work, table)?;
                Ok(if noted > 0 { End::Commit(noted) } else { End::Rollback(0) })
            })?;
        }
        Ok(noted)
    }

    fn seal(&mut self, now: WallTime) -> StoreResult<Sealed> {
        self.standing()?;
        self.in_transaction_with_round(|work, round| {
            work.now = now;
            let part = seal::seal_part(work, round)?;
            let mut sealed = Sealed { more: part.more, ..Sealed::default() };
            if let Some(changeset) = &part.changeset {
                sealed.dots.push(changeset.dot());
                sealed.events = changeset.events().len() as u64;
            }
            Ok(if part.spent || part.changeset.is_some() { End::Commit(sealed) } else { End::Rollback(sealed) })
        })
    }

    fn take(&mut self, now: WallTime, changesets: &[Changeset]) -> StoreResult<Taken> {
        self.standing()?;
        let mut total = Taken::default();
        let (mut unnoticed, mut last_unnoticed) = (0, None);
        loop {
            match self.take_some(now, changesets) {
                Ok((taken, more_to_seal)) => {
                    total.sealed.dots.extend(taken.sealed.dots);
                    total.sealed.events += taken.sealed.events;
                    if more_to_seal {
                        continue;
                    }
                    let sealed = std::mem::take(&mut total.sealed);
                    return Ok(Taken { sealed, ..taken });
                }
                Err(error) => {
                    let Some(Error::Unnoticed { table, key }) =
                        error.source.as_ref().and_then(|source| source.downcast_ref())
                    else {
                        return Err(error);
                    };
                    unnoticed += 1;
                    let (table, key) = (*table, key.clone());
                    // Noted and sealed, and still unnoticed: looking again would find the same.
                    let again = last_unnoticed.replace((table, key.clone())) == Some((table, key.clone()));
                    if again || unnoticed > limits::UNIT_ROWS_SQLITE {
                        return Err(error);
                    }
                    self.note_unnoticed(table, &key, now)?;
                }
            }
        }
    }

    fn retry_parked(&mut self, now: WallTime) -> StoreResult<u64> {
        if !self.has_parked {
            return Ok(0);
        }
        // A row that was written here meanwhile is sealed before anything is shown over it.
        while self.seal(now)?.more {}
        let before = parked::rows(&self.connection)?.len() as u64;
        let left = self.in_transaction(|work| {
            work.now = now;
            let left = apply::retry_parked(work)?;
            Ok(if left < before { End::Commit(left) } else { End::Rollback(left) })
        })?;
        if left == before {
            self.reload_origins()?;
        }
        self.has_parked = left > 0;
        Ok(left)
    }

    fn position(&self) -> Position {
        Position { origin: self.own, vector: self.origins.vector(), floor: self.origins.floor() }
    }

    fn hash_of(&mut self, dot: &Dot) -> StoreResult<Option<Digest>> {
        Ok(log::hash_of(&self.connection, &self.origins, dot)?)
    }

    fn read_log(&mut self, request: &LogRequest) -> StoreResult<LogBatch> {
        Ok(log::read(&self.connection, &self.origins, request)?)
    }

    fn renew_incarnation(&mut self, incarnation: Incarnation) -> StoreResult<()> {
        self.remember_incarnation(incarnation).map_err(Error::from)?;
        self.own.incarnation = incarnation;
        self.round.clear();
        Ok(())
    }

    fn lamport_of(&mut self, origin: &Origin, after: Seq, until: Seq) -> StoreResult<Option<Lamport>> {
        let sealed = log::lamport_between(&self.connection, &self.origins, origin, after, until)?;
        let adopted: Option<i64> = fact(&self.connection, "adopted").map_err(Error::from)?;
        let is_first = after == Seq(0) && *origin == self.own;
        let adopted = adopted.filter(|_| is_first).map(|lamport| Lamport(lamport as u64));
        Ok(sealed.max(adopted))
    }

    fn own_sealed_at(&mut self, seq: Seq) -> StoreResult<Option<WallTime>> {
        let changeset = log::changeset(&self.connection, &self.origins, &Dot { origin: self.own, seq })?;
        Ok(changeset.map(|changeset| changeset.header().sealed_at))
    }

    fn restamp(&mut self, last: Seq, incarnation: Incarnation, now: WallTime) -> StoreResult<u64> {
        self.standing()?;
        let next = Origin { incarnation, ..self.own };
        let count = self.in_transaction(|work| {
            work.now = now;
            let count = restamp::restamp(work, last, next)?;
            remember_own(work.connection, work.origins, &next)?;
            Ok(End::Commit(count))
        })?;
        self.own = next;
        self.round.clear();
        Ok(count)
    }

    fn schema_fingerprint(&self) -> Digest {
        self.schema_fingerprint
    }

    fn content_digest(&mut self) -> StoreResult<Vec<(TableName, Digest)>> {
        self.membership.forget();
        Ok(views::content_digest(&self.connection, &self.registry, &mut self.membership)?)
    }

    fn snapshot(&mut self, stable: &VersionVector) -> StoreResult<Box<dyn SnapshotSource>> {
        let connection = connection::open_daemon(&self.location)?;
        Ok(Box::new(snapshot::Source::begin(connection, stable)?))
    }

    fn load_begin(&mut self, start: &[u8], source: NodeId, now: WallTime) -> StoreResult<()> {
        self.make_schema(start, now)?;
        let load = self.in_transaction(|work| {
            work.now = now;
            Ok(End::Commit(Load::begin(work, start, &source)?))
        })?;
        self.load = Some(load);
        Ok(())
    }

    fn load_chunk(&mut self, chunk: &[u8], now: WallTime) -> StoreResult<u64> {
        let mut load = self.load.take().ok_or_else(|| StoreError::broken("RM9105", "a chunk came without a load"))?;
        let rows = self.in_transaction(|work| {
            work.now = now;
            Ok(End::Commit(load.chunk(work, chunk)?))
        })?;
        self.load = Some(load);
        Ok(rows)
    }

    fn load_finish(&mut self, end: &[u8], now: WallTime) -> StoreResult<()> {
        let load = self.load.take().ok_or_else(|| StoreError::broken("RM9105", "an end came without a load"))?;
        self.in_transaction(|work| {
            work.now = now;
            Ok(End::Commit(load.finish(work, end)?))
        })
    }

    fn roster_entries(&mut self) -> StoreResult<Vec<Vec<u8>>> {
        Ok(records::roster_entries(&self.connection)?)
    }

    fn keep_roster(
        &mut self,
        entries: &[Vec<u8>],
        nodes: &[NodeRecord],
        settings: &[(String, String)],
    ) -> StoreResult<()> {
        self.in_transaction(|work| {
            records::keep_roster(work.connection, entries, nodes, settings)?;
            Ok(End::Commit(()))
        })
    }

    fn acknowledgements(&mut self) -> StoreResult<Vec<Vec<u8>>> {
        Ok(records::acknowledgements(&self.connection)?)
    }

    fn keep_acknowledgement(&mut self, node: &NodeId, bytes: &[u8]) -> StoreResult<()> {
        Ok(records::keep_acknowledgement(&self.connection, node, bytes)?)
    }

    fn record_session(&mut self, session: &SessionRecord) -> StoreResult<()> {
        self.in_transaction(|work| {
            records::session(work.connection, session)?;
            Ok(End::Commit(()))
        })
    }

    fn record_partition(&mut self, partition: &PartitionRecord) -> StoreResult<()> {
        Ok(records::partition(&self.connection, partition)?)
    }

    fn record_metrics(&mut self, metrics: &[MetricRecord]) -> StoreResult<()> {
        self.in_transaction(|work| {
            records::metrics(work.connection, metrics)?;
            Ok(End::Commit(()))
        })
    }

    fn tables(&mut self, count: bool) -> StoreResult<Vec<TableStatus>> {
        Ok(views::tables(&self.connection, &self.registry, &self.plan, &self.membership, count)?)
    }

    fn events(&mut self, query: &EventQuery) -> StoreResult<Vec<EventView>> {
        Ok(views::events(&self.connection, &self.origins, query)?)
    }

    fn conflicts(&mut self, only_open: bool, limit: usize) -> StoreResult<Vec<ConflictView>> {
        Ok(ledger_rows::list(&self.connection, &self.origins, only_open, limit)?)
    }

    fn row_json(&mut self, table: &str, key: &Key) -> StoreResult<Option<String>> {
        Ok(views::row_json(&self.connection, &self.registry, table, key)?)
    }

    fn parked(&mut self) -> StoreResult<Vec<ParkedView>> {
        Ok(parked::list(&self.connection, &self.origins, &self.registry)?)
    }

    fn held_back(&mut self) -> StoreResult<Vec<(String, String, u64)>> {
        Ok(views::held_back(&self.connection)?)
    }

    fn touched_columns(&self) -> Vec<(TableName, Vec<ColumnName>)> {
        views::touched_columns(&self.registry)
    }

    fn describe(&self) -> String {
        views::describe(&self.connection, &self.location)
    }

    fn uninstall(&mut self) -> StoreResult<()> {
        attach::detach(&mut self.connection)?;
        Ok(())
    }
}

impl SqliteStore {
    /// Gives a database without any table of the application's the schema that the snapshot's source has. Only what makes a schema is run,
    /// and only on the joiner's own wish: see docs/decisions/0002-schema-for-empty-joiners.md.
    fn make_schema(&mut self, start: &[u8], now: WallTime) -> StoreResult<()> {
        let start =
            snapshot::Start::decode(start).map_err(|source| Error::damaged("a snapshot from a peer", source))?;
        self.start_over()?;
        // The last attempt may have come as far as the tables and no further.
        if schema_version(&self.connection)? != self.followed {
            self.follow()?;
        }
        let has_tables = !self.plan.tracked.is_empty() || !self.plan.skipped.is_empty();
        if has_tables || start.schema.is_empty() {
            return Ok(());
        }
        if let Err(error) = crate::load_schema::run(&mut self.connection, &start.schema, &self.options) {
            self.give_up();
            return Err(error.into());
        }
        self.follow_schema(now)?;
        Ok(())
    }
}
