//! A store that is dropped and opened anew before every call, as if the daemon were killed between any two. Clauses that hold of a store hold of
//! this one: nothing that was promised lives in memory. What a kill within a call leaves behind is for each store's own tests.

use rowmesh_core::changeset::Changeset;
use rowmesh_core::clock::{Lamport, VersionVector, WallTime};
use rowmesh_core::exchange::{LogBatch, LogRequest};
use rowmesh_core::ident::{Digest, Dot, Incarnation, NodeId, Origin, Seq};
use rowmesh_core::store::{
    ConflictView, Edit, EventQuery, EventView, Look, MetricRecord, NodeRecord, ParkedView, PartitionRecord, Position,
    RowView, Sealed, SessionRecord, SnapshotSource, Standing, Store, StoreResult, TableStatus, Taken, UndoStep,
};
use rowmesh_core::undo::Undo;
use rowmesh_core::value::{ColumnName, Key, TableName};

use crate::place::Place;

/// A place whose store is restarted before every call.
pub struct Restless<P>(P);

/// Its store.
pub struct RestlessStore<P: Place> {
    address: P::Address,
    node: NodeId,
    incarnation: Incarnation,
    standing: Option<(Standing, WallTime)>,
    /// A copy that is under way lives in memory: who is cut short begins it anew, and that is for clauses of its own.
    is_loading: bool,
    store: Option<P::Store>,
}

impl<P: Place> RestlessStore<P> {
    fn begin(address: &P::Address, node: NodeId, incarnation: Incarnation) -> StoreResult<RestlessStore<P>> {
        let store = Some(P::open(address, node, incarnation)?);
        Ok(RestlessStore { address: address.clone(), node, incarnation, standing: None, is_loading: false, store })
    }

    fn running(&self) -> &P::Store {
        self.store.as_ref().expect("it was opened anew")
    }

    /// Kills it and opens it anew; it stands where it stood.
    fn anew(&mut self) -> StoreResult<&mut P::Store> {
        if !self.is_loading {
            let before = self.store.take().map(|store| store.position());
            let mut store = P::open(&self.address, self.node, self.incarnation)?;
            if let Some((standing, now)) = &self.standing {
                store.set_standing(standing.clone(), *now)?;
            }
            assert!(before.is_none_or(|before| before == store.position()), "it stands elsewhere after a restart");
            self.store = Some(store);
        }
        Ok(self.store.as_mut().expect("just opened"))
    }
}

impl<P: Place> Place for Restless<P> {
    const NUMBER: &'static str = P::NUMBER;

    type Store = RestlessStore<P>;
    type Address = P::Address;

    fn empty() -> Restless<P> {
        Restless(P::empty())
    }

    fn address(&self) -> P::Address {
        self.0.address()
    }

    fn open(address: &P::Address, node: NodeId, incarnation: Incarnation) -> StoreResult<RestlessStore<P>> {
        RestlessStore::begin(address, node, incarnation)
    }

    fn run(&self, sql: &str) {
        self.0.run(sql);
    }

    fn run_unchecked(&self, sql: &str) {
        self.0.run_unchecked(sql);
    }

    fn texts(&self, sql: &str) -> Vec<String> {
        self.0.texts(sql)
    }

    fn ours(table: &str) -> String {
        P::ours(table)
    }

    fn date_notes(&self, at: WallTime) {
        self.0.date_notes(at);
    }

    fn lose_triggers(&self, table: &str) {
        self.0.lose_triggers(table);
    }

    fn copied(self) -> (Restless<P>, Restless<P>) {
        let (one, two) = self.0.copied();
        (Restless(one), Restless(two))
    }

    fn catalog(&self) -> Vec<String> {
        self.0.catalog()
    }

    fn check_sound(&self) {
        self.0.check_sound();
    }
}

impl<P: Place> Store for RestlessStore<P> {
    fn set_standing(&mut self, standing: Standing, now: WallTime) -> StoreResult<()> {
        self.anew()?.set_standing(standing.clone(), now)?;
        self.standing = Some((standing, now));
        Ok(())
    }

    fn look(&mut self) -> StoreResult<Look> {
        self.anew()?.look()
    }

    fn follow_schema(&mut self, now: WallTime) -> StoreResult<Vec<String>> {
        self.anew()?.follow_schema(now)
    }

    fn reconcile(&mut self, table: Option<&str>, now: WallTime) -> StoreResult<u64> {
        self.anew()?.reconcile(table, now)
    }

    fn seal(&mut self, now: WallTime) -> StoreResult<Sealed> {
        self.anew()?.seal(now)
    }

    fn take(&mut self, now: WallTime, changesets: &[Changeset]) -> StoreResult<Taken> {
        self.anew()?.take(now, changesets)
    }

    fn edit(&mut self, now: WallTime, edits: &[Edit]) -> StoreResult<Sealed> {
        self.anew()?.edit(now, edits)
    }

    fn changesets_meant(&mut self, undo: &Undo) -> StoreResult<Vec<u64>> {
        self.anew()?.changesets_meant(undo)
    }

    fn undo(
        &mut self,
        now: WallTime,
        undo: &Undo,
        changeset: u64,
        skip: usize,
        dry_run: bool,
    ) -> StoreResult<UndoStep> {
        self.anew()?.undo(now, undo, changeset, skip, dry_run)
    }

    fn retry_parked(&mut self, now: WallTime) -> StoreResult<u64> {
        self.anew()?.retry_parked(now)
    }

    fn position(&self) -> Position {
        self.running().position()
    }

    fn hash_of(&mut self, dot: &Dot) -> StoreResult<Option<Digest>> {
        self.anew()?.hash_of(dot)
    }

    fn read_log(&mut self, request: &LogRequest) -> StoreResult<LogBatch> {
        self.anew()?.read_log(request)
    }

    fn renew_incarnation(&mut self, incarnation: Incarnation) -> StoreResult<()> {
        self.anew()?.renew_incarnation(incarnation)
    }

    fn lamport_of(&mut self, origin: &Origin, after: Seq, until: Seq) -> StoreResult<Option<Lamport>> {
        self.anew()?.lamport_of(origin, after, until)
    }

    fn own_sealed_at(&mut self, seq: Seq) -> StoreResult<Option<WallTime>> {
        self.anew()?.own_sealed_at(seq)
    }

    fn restamp(&mut self, last: Seq, incarnation: Incarnation, now: WallTime) -> StoreResult<u64> {
        self.anew()?.restamp(last, incarnation, now)
    }

    fn schema_fingerprint(&self) -> Digest {
        self.running().schema_fingerprint()
    }

    fn content_digest(&mut self) -> StoreResult<Vec<(TableName, Digest)>> {
        self.anew()?.content_digest()
    }

    fn snapshot(&mut self, stable: &VersionVector) -> StoreResult<Box<dyn SnapshotSource>> {
        self.anew()?.snapshot(stable)
    }

    fn load_begin(&mut self, start: &[u8], source: NodeId, now: WallTime) -> StoreResult<()> {
        self.is_loading = false;
        self.anew()?.load_begin(start, source, now)?;
        self.is_loading = true;
        Ok(())
    }

    fn load_chunk(&mut self, chunk: &[u8], now: WallTime) -> StoreResult<u64> {
        self.anew()?.load_chunk(chunk, now)
    }

    fn load_ahead(&mut self, chunk: &[u8]) {
        if let Ok(store) = self.anew() {
            store.load_ahead(chunk);
        }
    }

    fn load_finish(&mut self, end: &[u8], now: WallTime) -> StoreResult<()> {
        let finished = self.anew()?.load_finish(end, now);
        self.is_loading = false;
        finished
    }

    fn roster_entries(&mut self) -> StoreResult<Vec<Vec<u8>>> {
        self.anew()?.roster_entries()
    }

    fn keep_roster(
        &mut self,
        entries: &[Vec<u8>],
        nodes: &[NodeRecord],
        settings: &[(String, String)],
    ) -> StoreResult<()> {
        self.anew()?.keep_roster(entries, nodes, settings)
    }

    fn acknowledgements(&mut self) -> StoreResult<Vec<Vec<u8>>> {
        self.anew()?.acknowledgements()
    }

    fn keep_acknowledgement(&mut self, node: &NodeId, bytes: &[u8]) -> StoreResult<()> {
        self.anew()?.keep_acknowledgement(node, bytes)
    }

    fn record_session(&mut self, session: &SessionRecord) -> StoreResult<()> {
        self.anew()?.record_session(session)
    }

    fn record_partition(&mut self, partition: &PartitionRecord) -> StoreResult<()> {
        self.anew()?.record_partition(partition)
    }

    fn record_metrics(&mut self, metrics: &[MetricRecord]) -> StoreResult<()> {
        self.anew()?.record_metrics(metrics)
    }

    fn tables(&mut self, count: bool) -> StoreResult<Vec<TableStatus>> {
        self.anew()?.tables(count)
    }

    fn events(&mut self, query: &EventQuery) -> StoreResult<Vec<EventView>> {
        self.anew()?.events(query)
    }

    fn conflicts(&mut self, only_open: bool, limit: usize) -> StoreResult<Vec<ConflictView>> {
        self.anew()?.conflicts(only_open, limit)
    }

    fn row_json(&mut self, table: &str, key: &Key) -> StoreResult<Option<String>> {
        self.anew()?.row_json(table, key)
    }

    fn row(&mut self, table: &str, key: &Key) -> StoreResult<Option<RowView>> {
        self.anew()?.row(table, key)
    }

    fn parked(&mut self) -> StoreResult<Vec<ParkedView>> {
        self.anew()?.parked()
    }

    fn held_back(&mut self) -> StoreResult<Vec<(String, String, u64)>> {
        self.anew()?.held_back()
    }

    fn touched_columns(&self) -> Vec<(TableName, Vec<ColumnName>)> {
        self.running().touched_columns()
    }

    fn describe(&self) -> String {
        self.running().describe()
    }

    fn uninstall(&mut self) -> StoreResult<()> {
        self.anew()?.uninstall()
    }
}
