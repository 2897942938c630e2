//! A database of any kind as a node works with it: begins and ends every transaction of ours, keeps what is in memory true to what is committed.
//! What is asked of it is in `store`; what happens inside a transaction is told in `seal`, `apply`, `load` and their helpers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use rowmesh_core::clock::WallTime;
use rowmesh_core::encode::Writer;
use rowmesh_core::ident::{Digest, Incarnation, NodeId, Origin};
use rowmesh_core::row_state::OriginTable;
use rowmesh_core::store::{Standing, Store, StoreError, StoreErrorKind, StoreResult};
use rowmesh_core::value::{Key, TableName, Value};

use crate::changes::TableChange;
use crate::database::{Access, Database, Exceptions, LostNumbers, Names, Opened, Parking};
use crate::decoded::Decoded;
use crate::exceptions::Known;
use crate::fault::{Error, Result};
use crate::lacked::Lacked;
use crate::load::Load;
use crate::origins::Origins;
use crate::plan::{AttachOptions, Followed, Plan};
use crate::registry::{Registry, Table, TableNumber};
use crate::scope::Membership;
use crate::seal::Round;
use crate::work::Work;
use crate::{row_states, snapshot, views};

mod adopt;
mod by_table;
mod doubted;
mod editing;
mod judged;
mod late;
mod returned;
mod ruled;
mod store;
mod taking;
mod undoing;

/// How often in a row a schema may have moved under us before we give way.
const SCHEMA_PATIENCE: usize = 5;

/// A node's database.
pub struct Engine<D: Database> {
    database: D,
    origins: Origins,
    registry: Registry,
    membership: Membership,
    standing: Option<Standing>,
    own: Origin,
    round: Round,
    load: Option<Load<D::Packer>>,
    decoded: Decoded,
    /// How long a transaction goes on taking in further changesets.
    lock_budget: Duration,
    has_parked: bool,
    /// Whether the next transaction shows changesets one by one: showing them together has failed.
    one_by_one: bool,
    /// What is known of rows that do not show a unique value which they claim.
    exceptions: Known,
    /// Tables in which rows may be shown under other numbers than their own.
    lost_numbers: BTreeSet<TableNumber>,
    /// Rows that the next transaction locks first: the last attempt at it came to them from others, and had to give up.
    drawn_in: Vec<(Arc<Table>, Key)>,
    /// Whether something failed, so that memory may say what the database does not.
    is_stale: bool,
    /// Whether the database was found to be another one: for good, until the daemon is started anew.
    is_replaced: bool,
    schema_fingerprint: Digest,
    plan: Plan,
    /// Tables in which something may have been written unnoticed.
    to_reconcile: BTreeSet<TableName>,
    /// Columns that were dropped here and are back, of which row states may still say that they show something.
    returned: Lacked,
    /// Tables of which row states may hold more than is shown.
    to_show: BTreeSet<TableName>,
    /// Rows that show something else than their states tell, because the database refused that: tried again like what is parked.
    waiting: BTreeMap<(TableNumber, Key), late::Waiting>,
    /// What following the schema found and nobody was told yet.
    found: Vec<String>,
}

/// How a transaction ends.
enum End<T> {
    Commit(T),
    /// Nothing to keep: no write reaches the disk.
    Rollback(T),
}

impl<D: Database> Engine<D> {
    /// What attaching would do. Changes nothing.
    ///
    /// # Errors
    /// If the database cannot be opened or read.
    pub fn plan(location: &D::Location, options: &AttachOptions) -> StoreResult<Plan> {
        D::plan(location, options)
    }

    /// Opens a database, attaching to it if that has not been done. Rows that stood there before become known to Rowmesh with the first
    /// standing, in short transactions, without making events.
    ///
    /// # Errors
    /// If the database cannot be opened, read or written, or belongs to another node.
    pub fn open(
        location: &D::Location,
        options: &AttachOptions,
        node: NodeId,
        incarnation: Incarnation,
    ) -> StoreResult<Engine<D>> {
        let Opened { database, followed, was_attached } = D::open(location, options)?;
        let mut engine = Engine {
            database,
            origins: Origins::default(),
            registry: Registry::default(),
            membership: Membership::default(),
            standing: None,
            own: Origin { node, incarnation },
            round: Round::default(),
            load: None,
            decoded: Decoded::default(),
            lock_budget: D::LOCK_BUDGET,
            has_parked: false,
            one_by_one: false,
            exceptions: Known::default(),
            lost_numbers: BTreeSet::new(),
            drawn_in: Vec::new(),
            is_stale: false,
            is_replaced: false,
            schema_fingerprint: Digest::default(),
            plan: followed.plan,
            to_reconcile: BTreeSet::new(),
            returned: Lacked::new(),
            to_show: BTreeSet::new(),
            waiting: BTreeMap::new(),
            found: Vec::new(),
        };
        engine.reload()?;
        engine.take_name(node, incarnation)?;
        if was_attached {
            // What they hold is compared once the roster is known.
            let reconcile = followed.changes.iter().filter(|change| change.needs_reconcile());
            engine.to_reconcile.extend(reconcile.map(|change| change.table.clone()));
            engine.to_show.extend(late::tables(&followed.changes));
            engine.doubt_all()?;
        }
        Ok(engine)
    }

    /// Lets transactions go on taking in changesets for another time: for ever, where time is not the machine's.
    pub fn set_lock_budget(&mut self, budget: Duration) {
        self.lock_budget = budget;
    }

    /// The database, for tests and tools that look on.
    pub fn database(&self) -> &D {
        &self.database
    }

    /// The same, for tests that make it fail.
    pub fn database_mut(&mut self) -> &mut D {
        &mut self.database
    }

    /// Reads anew everything that is kept in memory: at the start, after a rollback, after the schema moved.
    fn reload(&mut self) -> Result<()> {
        let tracked = self.plan.tracked.clone();
        self.registry = self.number(&tracked)?;
        self.database.work_with(&self.plan, &self.registry);
        self.schema_fingerprint = views::schema_fingerprint(&tracked);
        self.cover()?;
        self.returned = self.find_returned()?;
        self.reload_origins()
    }

    /// Gives every table and column its number, in a transaction of its own where some are new: each commit waits for the disk.
    fn number(&mut self, tracked: &[rowmesh_core::schema::TableSchema]) -> Result<Registry> {
        let mut registry = Registry::load(&self.database.access())?;
        if registry.has_all(tracked) {
            registry.track(&self.database.access(), tracked)?;
            return Ok(registry);
        }
        self.write(|db| {
            registry.track(db, tracked)?;
            Ok(registry)
        })
    }

    /// Runs a short transaction that the engine's memory has no part in.
    fn write<T>(&mut self, body: impl FnOnce(&D::Access<'_>) -> Result<T>) -> Result<T> {
        self.write_knowing(|db, _, _| body(db))
    }

    /// The same, for what reads the engine's memory.
    fn write_knowing<T>(
        &mut self,
        body: impl FnOnce(&D::Access<'_>, &mut Origins, &Registry) -> Result<T>,
    ) -> Result<T> {
        self.database.begin()?;
        let db = self.database.access();
        let done = body(&db, &mut self.origins, &self.registry).and_then(|value| db.flush().map(|()| value));
        drop(db);
        match done {
            Ok(value) => self.database.commit().map(|()| value),
            Err(error) => {
                self.database.rollback()?;
                Err(error)
            }
        }
    }

    /// What the scope means for the tables as they are now.
    fn cover(&mut self) -> Result<()> {
        let Some(standing) = &self.standing else { return Ok(()) };
        self.membership = Membership::new(&standing.scope, &self.database.all_tables()?);
        Ok(())
    }

    fn reload_origins(&mut self) -> Result<()> {
        let db = self.database.access();
        self.origins = Origins::load(&db)?;
        self.has_parked = db.count_parked()? > 0;
        self.lost_numbers = db.tables_with_lost_numbers()?.into_iter().collect();
        self.exceptions = Known::new(db.count_exceptions()? > 0, !db.doubted(1)?.is_empty());
        drop(db);
        self.membership.forget();
        self.decoded.clear();
        self.round.clear();
        Ok(())
    }

    /// Makes sure that the database is this node's, and remembers its origin.
    fn take_name(&mut self, node: NodeId, incarnation: Incarnation) -> StoreResult<()> {
        let known = self.database.access().fact("node")?;
        match known {
            Some(Value::Blob(known)) if *known != node.0 => {
                return Err(StoreError::needs_person(
                    "RM4125",
                    "this database belongs to another node: it was copied, or the node's key was replaced",
                    "start with the data folder that belongs to it, or run rowmesh uninstall on the copy and join anew",
                ));
            }
            Some(_) => {}
            None => self.write(|db| db.set_fact("node", &Value::Blob(node.0.as_slice().into())))?,
        }
        let known = own_incarnation(&self.database.access())?;
        let own = match known {
            Some(own) => own,
            None => {
                self.remember_incarnation(incarnation)?;
                incarnation
            }
        };
        self.own = Origin { node, incarnation: own };
        Ok(())
    }

    fn remember_incarnation(&mut self, incarnation: Incarnation) -> StoreResult<()> {
        let origin = Origin { node: self.own.node, incarnation };
        self.in_transaction(|work| {
            remember_own(work.db, work.origins, &origin)?;
            Ok(End::Commit(()))
        })
    }

    /// Where the scope is another than the last one, notes every row whose verdict is another too: the next seal lets it leave or come.
    fn judge_anew(&mut self, now: WallTime) -> StoreResult<()> {
        let scope = Digest::of(format!("{:?}", self.standing()?.scope).as_bytes());
        let scope = Value::Blob(scope.0.as_slice().into());
        let known = self.database.access().fact("scope")?;
        if known.as_ref() == Some(&scope) {
            self.find_judged_otherwise()?;
            return Ok(());
        }
        if known.is_some() {
            self.reconcile(None, now)?;
        }
        self.in_transaction(|work| {
            work.membership.forget_reasons(work.db, work.registry)?;
            work.db.set_fact("scope", &scope)?;
            judged::set_all(work)?;
            Ok(End::Commit(()))
        })
    }

    /// Runs `body` in a transaction that holds the write lock from the start. If anything fails, nothing has happened, in memory neither.
    fn in_transaction<T>(
        &mut self,
        body: impl FnOnce(&mut Work<'_, D::Access<'_>>) -> Result<End<T>>,
    ) -> StoreResult<T> {
        self.in_transaction_with_round(|work, _| body(work))
    }

    fn in_transaction_with_round<T>(
        &mut self,
        body: impl FnOnce(&mut Work<'_, D::Access<'_>>, &mut Round) -> Result<End<T>>,
    ) -> StoreResult<T> {
        self.begin()?;
        let db = self.database.access();
        let mut work = Work {
            db: &db,
            origins: &mut self.origins,
            registry: &mut self.registry,
            standing: self.standing.as_ref(),
            membership: &mut self.membership,
            own: self.own,
            now: WallTime::default(),
            decoded: &mut self.decoded,
            has_parked: self.has_parked,
            one_by_one: &mut self.one_by_one,
            exceptions: std::mem::take(&mut self.exceptions),
            lost_numbers: &mut self.lost_numbers,
            drawn_in: &mut self.drawn_in,
            bytes: Writer::default(),
            shown: HashMap::new(),
            conflicts: 0,
        };
        let result = body(&mut work, &mut self.round).and_then(|end| {
            row_states::count_shown(&mut work)?;
            if let End::Commit(_) = &end {
                db.flush()?;
            }
            Ok(end)
        });
        let has_parked = work.has_parked;
        self.exceptions = work.exceptions.for_next();
        drop(db);
        let ended = match result {
            Ok(End::Commit(value)) => self.database.commit().map(|()| value),
            Ok(End::Rollback(value)) => self.database.rollback().map(|()| value),
            Err(error) => Err(error),
        };
        match ended {
            Ok(value) => {
                self.has_parked = has_parked;
                self.one_by_one = false;
                self.drawn_in.clear();
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
        self.database.rollback()?;
        // What another database holds is not taken over.
        if !self.is_replaced {
            match self.reload() {
                // Our own tables may be gone: they are made anew, or it is told that nothing of ours is here any more.
                Err(Error::SchemaMoved) => {
                    let followed = self.database.follow()?;
                    self.take_up(&followed)?;
                }
                done => done?,
            }
        }
        self.is_stale = false;
        Ok(())
    }

    /// Begins a transaction in which the schema is the one that was followed.
    fn begin(&mut self) -> StoreResult<()> {
        self.start_over()?;
        let begun = self.try_to_begin();
        if begun.is_err() {
            self.give_up();
        }
        begun
    }

    fn try_to_begin(&mut self) -> StoreResult<()> {
        for _ in 0..SCHEMA_PATIENCE {
            match self.forget_returned().and_then(|()| self.database.begin()) {
                Ok(()) => {
                    self.check_content()?;
                    self.membership.forget();
                    return Ok(());
                }
                Err(Error::SchemaMoved) => drop(self.follow()?),
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::SchemaMoved.into())
    }

    /// Tries anew where a transaction finds only on its way that the schema has moved, or that it cannot go the short way.
    fn following<T>(&mut self, mut attempt: impl FnMut(&mut Self) -> StoreResult<T>) -> StoreResult<T> {
        for _ in 1..SCHEMA_PATIENCE {
            match attempt(self) {
                Err(error) if matches!(cause(&error), Some(Error::SchemaMoved)) => drop(self.follow()?),
                Err(error) if matches!(cause(&error), Some(Error::StartOver)) => {}
                done => return done,
            }
        }
        attempt(self)
    }

    /// Errs if the database is another than this one, or an earlier state of it: copied over it in place, which no lock prevents.
    fn check_content(&mut self) -> Result<()> {
        self.is_replaced |= !self.origins.stand_in(&self.database.access())?;
        if !self.is_replaced {
            return Ok(());
        }
        let message =
            format!("what the database file holds was replaced while it was open: {}", self.database.location());
        let remedy = "restart Rowmesh, so that it looks at the new file from the start";
        Err(StoreError::needs_person("RM2113", message, remedy).into())
    }

    /// Brings capture and memory in step with the schema. Returns the tables whose rows are to be compared, and what was found.
    fn follow(&mut self) -> StoreResult<Followed> {
        self.start_over()?;
        let followed = self.database.follow()?;
        self.take_up(&followed)?;
        Ok(followed)
    }

    fn take_up(&mut self, followed: &Followed) -> StoreResult<()> {
        self.check_content()?;
        self.plan = followed.plan.clone();
        for change in followed.changes.iter().filter(|change| change.needs_reconcile()) {
            self.to_reconcile.insert(change.table.clone());
        }
        self.to_show.extend(late::tables(&followed.changes));
        self.found.extend(followed.changes.iter().map(TableChange::sentence));
        self.reload()?;
        self.doubt_changed(&followed.changes)?;
        self.find_judged_otherwise()?;
        self.find_shown_otherwise()?;
        Ok(())
    }

    fn standing(&self) -> StoreResult<&Standing> {
        self.standing
            .as_ref()
            .ok_or_else(|| StoreError::broken("RM9103", "the store was used before the roster was known"))
    }
}

/// Whether a load is still under way after an attempt: what passes by itself, such as a lock of the application's, is tried again.
fn goes_on<T>(attempt: &StoreResult<T>) -> bool {
    attempt.as_ref().err().is_none_or(|error| error.kind == StoreErrorKind::Transient)
}

/// What of ours an error outside comes from.
fn cause(error: &StoreError) -> Option<&Error> {
    error.source.as_ref()?.downcast_ref()
}

fn own_incarnation(db: &impl Names) -> Result<Option<Incarnation>> {
    let number = |value| match value {
        Some(Value::Integer(number)) => Some(number),
        _ => None,
    };
    let (count, nonce) = (number(db.fact("incarnation")?), number(db.fact("incarnation_nonce")?));
    Ok(count.zip(nonce).map(|(count, nonce)| Incarnation { count: count as u32, nonce: nonce as u64 }))
}

/// Remembers in the current transaction under which name this node seals.
fn remember_own(db: &impl Names, origins: &mut Origins, own: &Origin) -> Result<()> {
    let number = origins.number(own);
    origins.store_new(db)?;
    db.set_fact("incarnation", &Value::Integer(i64::from(own.incarnation.count)))?;
    db.set_fact("incarnation_nonce", &Value::Integer(own.incarnation.nonce as i64))?;
    db.set_fact("own_origin", &Value::Integer(i64::from(number)))
}

impl<D: Database> Engine<D> {
    /// Gives a database without any table of the application's the schema that the snapshot's source has. Only what makes a schema is run,
    /// and only on the joiner's own wish: see docs/decisions/0002-schema-for-empty-joiners.md.
    fn make_schema(&mut self, start: &[u8], now: WallTime) -> StoreResult<()> {
        let start =
            snapshot::Start::decode(start).map_err(|source| Error::damaged("a snapshot from a peer", source))?;
        self.start_over()?;
        // The last attempt may have come as far as the tables and no further.
        if self.database.look()?.schema_changed {
            self.follow()?;
        }
        let has_tables = !self.plan.tracked.is_empty() || !self.plan.skipped.is_empty();
        if has_tables || start.schema.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.database.make_schema(&start.schema) {
            self.give_up();
            return Err(error.into());
        }
        self.follow_schema(now)?;
        Ok(())
    }
}
