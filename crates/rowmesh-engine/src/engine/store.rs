//! What a node may ask of its database: each call of `Store`, as the transactions that it is made of. How one begins and ends is `engine`'s business.

use rowmesh_core::changeset::Changeset;
use rowmesh_core::clock::{Lamport, VersionVector, WallTime};
use rowmesh_core::exchange::{LogBatch, LogRequest};
use rowmesh_core::ident::{Digest, Dot, Incarnation, NodeId, Origin, Seq};
use rowmesh_core::store::{
    ConflictView, Edit, EventQuery, EventView, Look, MetricRecord, NodeRecord, ParkedView, PartitionRecord, Position,
    RowView, Sealed, SessionRecord, SnapshotSource, Standing, Store, StoreError, StoreResult, TableStatus, Taken,
    UndoStep,
};
use rowmesh_core::undo::Undo;
use rowmesh_core::value::{ColumnName, Key, TableName, Value};

use super::{End, Engine, goes_on};
use crate::births::Places;
use crate::database::{Database, HeldBack, Names, Notes, Records};
use crate::load::Load;
use crate::{ledger_rows, log, reconcile, seal, snapshot, views};

impl<D: Database> Store for Engine<D> {
    fn set_standing(&mut self, standing: Standing, now: WallTime) -> StoreResult<()> {
        self.start_over()?;
        // A table that left the mesh is captured no more, so its rows stay where they are; one that came is compared at the next look.
        let followed = self.database.follow_mesh(&standing.scope.tables)?;
        let stride = standing.stride;
        self.standing = Some(standing);
        match followed {
            Some(followed) => self.take_up(&followed)?,
            None => self.cover()?,
        }
        self.database.deal(stride)?;
        self.following(|engine| engine.adopt_existing_rows(now))?;
        self.judge_anew(now)?;
        Ok(self.find_shown_otherwise()?)
    }

    fn look(&mut self) -> StoreResult<Look> {
        self.start_over()?;
        let seen = self.database.look()?;
        if self.is_replaced || (seen.data_changed && !seen.schema_changed) {
            self.check_content()?;
        }
        // Under another schema our own tables may be gone: whoever follows it makes them anew.
        let is_left = !self.round.is_empty() || self.exceptions.any_doubted;
        let dirty = is_left || seen.schema_changed || self.database.access().any_noted()?;
        Ok(Look {
            dirty,
            schema_moved: seen.schema_changed || !(self.to_reconcile.is_empty() && self.to_show.is_empty()),
        })
    }

    fn follow_schema(&mut self, now: WallTime) -> StoreResult<Vec<String>> {
        self.follow()?;
        while let Some(table) = self.to_reconcile.first().cloned() {
            let differing = self.reconcile(Some(&table), now)?;
            if differing > 0 {
                self.found.push(format!("table {table}: {differing} changes recovered"));
            }
            self.set_judged(&table)?;
            self.to_reconcile.remove(&table);
        }
        self.show_late(now)?;
        Ok(std::mem::take(&mut self.found))
    }

    fn reconcile(&mut self, table: Option<&str>, now: WallTime) -> StoreResult<u64> {
        let tables = self.registry.all();
        let mut noted = 0;
        for table in tables.iter().filter(|known| table.is_none_or(|name| *known.schema.name == *name)) {
            noted += self.in_transaction(|work| {
                work.now = now;
                let noted = reconcile::table(work, table)?;
                Ok(if noted > 0 { End::Commit(noted) } else { End::Rollback(0) })
            })?;
        }
        Ok(noted)
    }

    fn seal(&mut self, now: WallTime) -> StoreResult<Sealed> {
        self.standing()?;
        let sealed = self.following(|engine| {
            engine.in_transaction_with_round(|work, round| {
                work.now = now;
                let part = seal::seal_part(work, round, D::UNIT_ROWS)?;
                let mut sealed = Sealed { more: part.more, ..Sealed::default() };
                if let Some(changeset) = &part.changeset {
                    sealed.dots.push(changeset.dot());
                    sealed.events = changeset.events().len() as u64;
                }
                Ok(if part.spent || part.changeset.is_some() { End::Commit(sealed) } else { End::Rollback(sealed) })
            })
        })?;
        if !sealed.more {
            self.settle_doubted(now);
        }
        Ok(sealed)
    }

    fn take(&mut self, now: WallTime, changesets: &[Changeset]) -> StoreResult<Taken> {
        self.standing()?;
        let taken = self.following(|engine| engine.take_all(now, changesets))?;
        self.settle_doubted(now);
        Ok(taken)
    }

    fn edit(&mut self, now: WallTime, edits: &[Edit]) -> StoreResult<Sealed> {
        self.standing()?;
        let sealed = self.edit_all(now, edits)?;
        self.settle_doubted(now);
        Ok(sealed)
    }

    fn changesets_meant(&mut self, undo: &Undo) -> StoreResult<Vec<u64>> {
        Ok(Engine::changesets_meant(self, undo)?)
    }

    fn undo(
        &mut self,
        now: WallTime,
        undo: &Undo,
        changeset: u64,
        skip: usize,
        dry_run: bool,
    ) -> StoreResult<UndoStep> {
        self.standing()?;
        let step = self.undo_some(now, undo, (changeset, skip), dry_run)?;
        self.settle_doubted(now);
        Ok(step)
    }

    fn retry_parked(&mut self, now: WallTime) -> StoreResult<u64> {
        let waiting = self.retry_waiting(now)?;
        if !self.has_parked {
            return Ok(waiting);
        }
        let left = loop {
            if let Some(left) = self.following(|engine| engine.retry_some(now))? {
                break left;
            }
        };
        self.has_parked = left > 0;
        Ok(left + waiting)
    }

    fn position(&self) -> Position {
        Position { origin: self.own, vector: self.origins.vector(), floor: self.origins.floor() }
    }

    fn hash_of(&mut self, dot: &Dot) -> StoreResult<Option<Digest>> {
        Ok(log::hash_of(&self.database.access(), &self.origins, dot)?)
    }

    fn read_log(&mut self, request: &LogRequest) -> StoreResult<LogBatch> {
        Ok(log::read(&self.database.access(), &self.origins, request)?)
    }

    fn renew_incarnation(&mut self, incarnation: Incarnation) -> StoreResult<()> {
        self.remember_incarnation(incarnation)?;
        self.own.incarnation = incarnation;
        self.round.clear();
        Ok(())
    }

    fn lamport_of(&mut self, origin: &Origin, after: Seq, until: Seq) -> StoreResult<Option<Lamport>> {
        let db = self.database.access();
        let sealed = log::lamport_between(&db, &self.origins, origin, after, until)?;
        let stood_before = self.origins.get(&self.own).is_some_and(|own| own.floor > Seq(0));
        let is_first = after == Seq(0) && *origin == self.own && stood_before;
        let adopted = match db.fact("adopted")? {
            Some(Value::Integer(lamport)) if is_first => Some(Lamport(lamport as u64)),
            _ => None,
        };
        Ok(sealed.max(adopted))
    }

    fn own_sealed_at(&mut self, seq: Seq) -> StoreResult<Option<WallTime>> {
        let changeset = log::changeset(&self.database.access(), &self.origins, &Dot { origin: self.own, seq })?;
        Ok(changeset.map(|changeset| changeset.header().sealed_at))
    }

    fn restamp(&mut self, last: Seq, incarnation: Incarnation, now: WallTime) -> StoreResult<u64> {
        self.standing()?;
        let next = Origin { incarnation, ..self.own };
        let count = loop {
            if let Some(count) = self.following(|engine| engine.restamp_now(last, next, now))? {
                break count;
            }
        };
        self.own = next;
        self.round.clear();
        self.settle_doubted(now);
        Ok(count)
    }

    fn schema_fingerprint(&self) -> Digest {
        self.schema_fingerprint
    }

    fn content_digest(&mut self) -> StoreResult<Vec<(TableName, Digest)>> {
        self.membership.forget();
        Ok(views::content_digest(&self.database.access(), &self.registry, &mut self.membership)?)
    }

    fn snapshot(&mut self, stable: &VersionVector) -> StoreResult<Box<dyn SnapshotSource>> {
        let rank = |number| self.registry.tracked(number).map(|table| table.rank);
        Ok(Box::new(snapshot::Source::begin(self.database.reader()?, stable, rank)?))
    }

    fn load_begin(&mut self, start: &[u8], source: NodeId, now: WallTime) -> StoreResult<()> {
        self.make_schema(start, now)?;
        let packer = self.database.packer();
        let load = self.in_transaction(|work| {
            work.now = now;
            Ok(End::Commit(Load::begin(work, packer, start, &source)?))
        })?;
        self.load = Some(load);
        Ok(())
    }

    fn load_chunk(&mut self, chunk: &[u8], now: WallTime) -> StoreResult<u64> {
        let mut load = self.load.take().ok_or_else(|| StoreError::broken("RM9105", "a chunk came without a load"))?;
        let mut unpacked = load.unpacked(chunk)?;
        let rows = self.following(|engine| {
            // What was made ready is good for one attempt: if that fails, the chunk goes the long way.
            let unpacked = unpacked.take();
            engine.in_transaction(|work| {
                work.now = now;
                Ok(End::Commit(load.chunk(work, chunk, unpacked.as_ref())?))
            })
        });
        if rows.is_ok() {
            load.arrived();
        }
        self.load = goes_on(&rows).then_some(load);
        rows
    }

    fn load_ahead(&mut self, chunk: &[u8]) {
        if let Some(load) = &mut self.load {
            load.ahead(chunk);
        }
    }

    fn load_finish(&mut self, end: &[u8], now: WallTime) -> StoreResult<()> {
        let load = self.load.take().ok_or_else(|| StoreError::broken("RM9105", "an end came without a load"))?;
        let finished = self.in_transaction(|work| {
            work.now = now;
            Ok(End::Commit(load.finish(work, end)?))
        });
        self.load = (finished.is_err() && goes_on(&finished)).then_some(load);
        if finished.is_ok() {
            self.settle_doubted(now);
        }
        finished
    }

    fn roster_entries(&mut self) -> StoreResult<Vec<Vec<u8>>> {
        Ok(self.database.access().roster_entries()?)
    }

    fn keep_roster(
        &mut self,
        entries: &[Vec<u8>],
        nodes: &[NodeRecord],
        settings: &[(String, String)],
    ) -> StoreResult<()> {
        self.in_transaction(|work| {
            work.db.keep_roster(entries, nodes, settings)?;
            Ok(End::Commit(()))
        })
    }

    fn acknowledgements(&mut self) -> StoreResult<Vec<Vec<u8>>> {
        Ok(self.database.access().acknowledgements()?)
    }

    fn keep_acknowledgement(&mut self, node: &NodeId, bytes: &[u8]) -> StoreResult<()> {
        Ok(self.database.access().keep_acknowledgement(node, bytes)?)
    }

    fn record_session(&mut self, session: &SessionRecord) -> StoreResult<()> {
        self.in_transaction(|work| {
            work.db.record_session(session)?;
            Ok(End::Commit(()))
        })
    }

    fn record_partition(&mut self, partition: &PartitionRecord) -> StoreResult<()> {
        Ok(self.database.access().record_partition(partition)?)
    }

    fn record_metrics(&mut self, metrics: &[MetricRecord]) -> StoreResult<()> {
        self.in_transaction(|work| {
            work.db.record_metrics(metrics)?;
            Ok(End::Commit(()))
        })
    }

    fn tables(&mut self, count: bool) -> StoreResult<Vec<TableStatus>> {
        Ok(views::tables(&self.database.access(), &self.registry, &self.plan, &self.membership, count)?)
    }

    fn events(&mut self, query: &EventQuery) -> StoreResult<Vec<EventView>> {
        Ok(log::list(&self.database.access(), &self.origins, query)?)
    }

    fn conflicts(&mut self, only_open: bool, limit: usize) -> StoreResult<Vec<ConflictView>> {
        let db = self.database.access();
        let mut conflicts = ledger_rows::list(&db, &self.origins, only_open, limit)?;
        let places = Places { db: &db, lost_numbers: &self.lost_numbers };
        views::in_places(&places, &self.registry, &mut conflicts)?;
        Ok(conflicts)
    }

    fn row_json(&mut self, table: &str, key: &Key) -> StoreResult<Option<String>> {
        Ok(views::row_json(&self.database.access(), &self.registry, table, key)?)
    }

    fn row(&mut self, table: &str, key: &Key) -> StoreResult<Option<RowView>> {
        let policies = self.standing()?.policies.clone();
        let policy = policies.current().table(table);
        let db = self.database.access();
        let mut view = views::row(&db, &self.origins, &self.registry, (table, key), policy)?;
        let places = Places { db: &db, lost_numbers: &self.lost_numbers };
        if let Some(view) = &mut view {
            views::row_in_places(&places, &self.registry, table, view)?;
        }
        if let (Some(view), Some(number)) = (&mut view, self.registry.known_number(table)) {
            view.parked.extend(self.waiting(|row| *row == (number, key.clone())));
        }
        Ok(view)
    }

    fn parked(&mut self) -> StoreResult<Vec<ParkedView>> {
        let mut parked = views::parked(&self.database.access(), &self.origins, &self.registry, None)?;
        parked.extend(self.waiting(|_| true));
        Ok(parked)
    }

    fn held_back(&mut self) -> StoreResult<Vec<(String, String, u64)>> {
        Ok(self.database.access().list_held_back()?)
    }

    fn touched_columns(&self) -> Vec<(TableName, Vec<ColumnName>)> {
        views::touched_columns(&self.registry)
    }

    fn describe(&self) -> String {
        self.database.describe()
    }

    fn uninstall(&mut self) -> StoreResult<()> {
        Ok(self.database.detach()?)
    }
}
