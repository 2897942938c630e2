//! A database in memory with one table of two columns, `notes(id, text)`, and a [`Store`] over it that seals, merges by last writer and
//! keeps a log, all for real, so that whole nodes can be tested without a database. It outlives the node that opened it, as a file
//! would; it counts what is written to it. It knows no scope, no policies and no parking.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use rowmesh_core::changeset::{Changeset, Claimed, Header, header_of};
use rowmesh_core::clock::{Lamport, VersionVector, WallTime};
use rowmesh_core::event::{Birth, Context, Event, Operation, TableShape};
use rowmesh_core::exchange::{LogBatch, LogPicker, LogRequest, Pick};
use rowmesh_core::ident::{Digest, Dot, Incarnation, NodeId, Origin, Seq};
use rowmesh_core::store::{
    ConflictView, Edit, EventQuery, EventView, Look, MetricRecord, NodeRecord, ParkedView, PartitionRecord, Position,
    RowView, Sealed, SessionRecord, SnapshotSource, Standing, Store, StoreError, StoreResult, TableStatus, Taken,
    UndoStep,
};
use rowmesh_core::undo::Undo;
use rowmesh_core::value::{Key, TableName, Value};

/// A database that survives the store over it. Clones are the same database.
#[derive(Clone, Default)]
pub struct FakeDatabase(Arc<Mutex<Tables>>);

/// What it holds.
#[derive(Clone, Default)]
pub struct Tables {
    rows: BTreeMap<String, Row>,
    /// What the application wrote and nobody has sealed.
    dirty: BTreeMap<String, String>,
    log: Vec<Arc<[u8]>>,
    hashes: BTreeMap<Dot, Digest>,
    vector: VersionVector,
    origin: Option<Origin>,
    roster: Vec<Vec<u8>>,
    acks: BTreeMap<NodeId, Vec<u8>>,
    pub nodes: Vec<NodeRecord>,
    pub sessions: Vec<SessionRecord>,
    pub partitions: Vec<PartitionRecord>,
    pub metrics: Vec<MetricRecord>,
    /// A load has begun and not ended.
    loading: bool,
    /// Transactions of ours that have written.
    pub writes: u64,
    /// Snapshots loaded to their end.
    pub loads: u64,
    /// Chunks after which a load breaks off, once.
    pub break_load_after: Option<u64>,
    chunks: u64,
    /// So many attempts to write find the database locked by somebody else.
    pub locked: u32,
}

#[derive(Clone)]
struct Row {
    text: String,
    stamp: (Lamport, Dot),
}

impl FakeDatabase {
    /// The application writes a row.
    pub fn write(&self, id: &str, text: &str) {
        self.lock().dirty.insert(id.into(), text.into());
    }

    /// The application reads a row.
    pub fn read(&self, id: &str) -> Option<String> {
        let tables = self.lock();
        tables.dirty.get(id).or_else(|| tables.rows.get(id).map(|row| &row.text)).cloned()
    }

    /// All rows.
    pub fn rows(&self) -> BTreeMap<String, String> {
        let tables = self.lock();
        let mut rows: BTreeMap<String, String> =
            tables.rows.iter().map(|(id, row)| (id.clone(), row.text.clone())).collect();
        rows.extend(tables.dirty.clone());
        rows
    }

    /// What the row states reflect.
    pub fn vector(&self) -> VersionVector {
        self.lock().vector.clone()
    }

    /// The origin that seals here.
    pub fn origin(&self) -> Option<Origin> {
        self.lock().origin
    }

    /// A backup.
    pub fn backup(&self) -> FakeDatabase {
        FakeDatabase(Arc::new(Mutex::new(self.lock().clone())))
    }

    /// Puts a backup in place.
    pub fn restore(&self, backup: &FakeDatabase) {
        let backup = backup.lock().clone();
        *self.lock() = backup;
    }

    /// Everything, for looking and for arranging accidents.
    pub fn lock(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap()
    }

    /// Opens a store over it.
    pub fn open(&self, node: NodeId, incarnation: Incarnation) -> FakeStore {
        let mut tables = self.lock();
        let origin = *tables.origin.get_or_insert(Origin { node, incarnation });
        assert_eq!(origin.node, node, "the database of another node");
        drop(tables);
        FakeStore { database: self.clone(), standing: None }
    }
}

/// A store over a [`FakeDatabase`].
pub struct FakeStore {
    database: FakeDatabase,
    standing: Option<Standing>,
}

fn shape() -> TableShape {
    TableShape { name: "notes".into(), columns: vec!["id".into(), "text".into()], key: vec![0] }
}

impl Store for FakeStore {
    fn set_standing(&mut self, standing: Standing, _now: WallTime) -> StoreResult<()> {
        self.standing = Some(standing);
        Ok(())
    }

    fn look(&mut self) -> StoreResult<Look> {
        Ok(Look { dirty: !self.database.lock().dirty.is_empty(), schema_moved: false })
    }

    fn follow_schema(&mut self, _: WallTime) -> StoreResult<Vec<String>> {
        Ok(Vec::new())
    }

    fn reconcile(&mut self, _: Option<&str>, _: WallTime) -> StoreResult<u64> {
        Ok(0)
    }

    fn seal(&mut self, now: WallTime) -> StoreResult<Sealed> {
        let standing = self.standing.clone().expect("a standing comes before sealing");
        let mut tables = self.database.lock();
        tables.must_not_be_locked()?;
        let origin = tables.origin.expect("an open database has an origin");
        let dirty = std::mem::take(&mut tables.dirty);
        if dirty.is_empty() {
            return Ok(Sealed::default());
        }
        let previous = Dot { origin, seq: tables.vector.get(&origin) };
        let dot = Dot { origin, seq: previous.seq.next() };
        let mut events = Vec::new();
        for (id, text) in dirty {
            let known = tables.rows.get(&id).map(|row| row.stamp.0.next());
            let lamport = Lamport::at(now).max(known.unwrap_or_default());
            let written = vec![(0, Value::text(&id)), (1, Value::text(&text))];
            events.push(Event {
                table: 0,
                operation: Operation::Insert,
                lamport,
                birth: Birth::Here,
                before: Vec::new(),
                written,
                salt: [0; 16],
                extras: Vec::new(),
            });
            tables.rows.insert(id, Row { text, stamp: (lamport, dot) });
        }
        let header = Header {
            mesh: standing.mesh,
            dot,
            previous: tables.hashes.get(&previous).copied().unwrap_or_default(),
            epoch: standing.epoch,
            roster: standing.roster,
            context: Context { vector: tables.vector.clone(), parked: Arc::default() },
            part: 1,
            parts: 1,
            sealed_at: now,
            lamport_max: events.iter().map(|event| event.lamport).max().unwrap_or_default(),
        };
        let count = events.len() as u64;
        let changeset = Changeset::seal(header, vec![shape()], events, &*standing.signer);
        tables.keep(&changeset);
        tables.writes += 1;
        Ok(Sealed { dots: vec![dot], events: count, more: false })
    }

    fn take(&mut self, now: WallTime, changesets: &[Changeset]) -> StoreResult<Taken> {
        let sealed = self.seal(now)?;
        let mut tables = self.database.lock();
        let mut taken = Taken { sealed, ..Taken::default() };
        for changeset in changesets {
            let dot = changeset.dot();
            assert!(!tables.vector.covers(&dot), "{dot} is offered twice");
            assert!(tables.vector.includes(&changeset.header().context.vector), "{dot} before what it depends on");
            for event in changeset.events() {
                tables.apply(event, dot);
            }
            tables.keep(changeset);
            taken.changesets += 1;
            taken.events += changeset.events().len() as u64;
            taken.rows_written += changeset.events().len() as u64;
        }
        tables.writes += 1;
        Ok(taken)
    }

    fn edit(&mut self, _: WallTime, _: &[Edit]) -> StoreResult<Sealed> {
        Ok(Sealed::default())
    }

    fn changesets_meant(&mut self, _: &Undo) -> StoreResult<Vec<u64>> {
        Ok(Vec::new())
    }

    fn undo(&mut self, _: WallTime, _: &Undo, _: u64, _: usize, _: bool) -> StoreResult<UndoStep> {
        Ok(UndoStep::default())
    }

    fn retry_parked(&mut self, _: WallTime) -> StoreResult<u64> {
        Ok(0)
    }

    fn position(&self) -> Position {
        let tables = self.database.lock();
        let origin = tables.origin.expect("an open database has an origin");
        Position { origin, vector: tables.vector.clone(), floor: VersionVector::new() }
    }

    fn hash_of(&mut self, dot: &Dot) -> StoreResult<Option<Digest>> {
        Ok(self.database.lock().hashes.get(dot).copied())
    }

    fn read_log(&mut self, request: &LogRequest) -> StoreResult<LogBatch> {
        let tables = self.database.lock();
        let mut picker = LogPicker::new(request.clone());
        let mut batch = LogBatch::default();
        for changeset in &tables.log {
            let claimed = Claimed::decode(changeset).expect("own log");
            match picker.offer(claimed.header(), changeset.len()) {
                Pick::Take => batch.changesets.push(changeset.clone()),
                Pick::Skip => {}
                Pick::Full => {
                    batch.more = true;
                    break;
                }
            }
        }
        Ok(batch)
    }

    fn own_sealed_at(&mut self, seq: Seq) -> StoreResult<Option<WallTime>> {
        let tables = self.database.lock();
        let own = tables.origin;
        let mut headers = tables.log.iter().map(|bytes| header_of(bytes).expect("own log"));
        let asked = headers.find(|header| Some(header.dot.origin) == own && header.dot.seq == seq);
        Ok(asked.map(|header| header.sealed_at))
    }

    fn lamport_of(&mut self, origin: &Origin, after: Seq, until: Seq) -> StoreResult<Option<Lamport>> {
        let tables = self.database.lock();
        let headers = tables.log.iter().map(|bytes| header_of(bytes).expect("own log"));
        let asked = headers.filter(|header| header.dot.origin == *origin);
        let asked = asked.filter(|header| header.dot.seq > after && header.dot.seq <= until);
        Ok(asked.map(|header| header.lamport_max).max())
    }

    /// What is given up is dirty again, and sealed as one changeset under the new name.
    fn restamp(&mut self, last: Seq, incarnation: Incarnation, _: WallTime) -> StoreResult<u64> {
        let mut tables = self.database.lock();
        let old = tables.origin.expect("an open database has an origin");
        let goes = |dot: &Dot| dot.origin == old && dot.seq > last;
        let before = tables.log.len();
        tables.log.retain(|bytes| !goes(&header_of(bytes).expect("own log").dot));
        tables.hashes.retain(|dot, _| !goes(dot));
        let given_up: Vec<String> =
            tables.rows.iter().filter(|(_, row)| goes(&row.stamp.1)).map(|(id, _)| id.clone()).collect();
        for id in given_up {
            if let Some(row) = tables.rows.remove(&id) {
                tables.dirty.entry(id).or_insert(row.text);
            }
        }
        let kept = tables.vector.dots().map(|dot| Dot { seq: if goes(&dot) { last } else { dot.seq }, ..dot });
        tables.vector = kept.filter(|dot| dot.seq > Seq(0)).collect();
        tables.origin = Some(Origin { incarnation, ..old });
        tables.writes += 1;
        Ok((before - tables.log.len()) as u64)
    }

    fn renew_incarnation(&mut self, incarnation: Incarnation) -> StoreResult<()> {
        let mut tables = self.database.lock();
        let node = tables.origin.expect("an open database has an origin").node;
        tables.origin = Some(Origin { node, incarnation });
        tables.writes += 1;
        Ok(())
    }

    fn schema_fingerprint(&self) -> Digest {
        Digest::of(b"notes(id, text)")
    }

    fn content_digest(&mut self) -> StoreResult<Vec<(TableName, Digest)>> {
        let rows = self.database.rows();
        Ok(vec![("notes".into(), Digest::of(format!("{rows:?}").as_bytes()))])
    }

    fn snapshot(&mut self, _: &VersionVector) -> StoreResult<Box<dyn SnapshotSource>> {
        let log = self.database.lock().log.clone();
        Ok(Box::new(FakeSnapshot { log, next: 0 }))
    }

    fn load_begin(&mut self, start: &[u8], _: NodeId, _: WallTime) -> StoreResult<()> {
        assert_eq!(start, b"fake snapshot");
        let mut tables = self.database.lock();
        if tables.loading {
            // What an earlier attempt left is wiped.
            tables.rows.clear();
            tables.log.clear();
            tables.hashes.clear();
            tables.vector = VersionVector::new();
        }
        if !tables.rows.is_empty() {
            return Err(StoreError::needs_person(
                "RM5302",
                "the table notes holds rows",
                "begin with an empty database",
            ));
        }
        tables.loading = true;
        tables.chunks = 0;
        tables.writes += 1;
        Ok(())
    }

    fn load_chunk(&mut self, chunk: &[u8], _: WallTime) -> StoreResult<u64> {
        let changeset = Claimed::decode(chunk).expect("a chunk is a changeset").trust_own_log();
        let mut tables = self.database.lock();
        tables.chunks += 1;
        if tables.break_load_after == Some(tables.chunks) {
            tables.break_load_after = None;
            return Err(StoreError::broken("RM9104", "the database broke, on purpose"));
        }
        for event in changeset.events() {
            tables.apply(event, changeset.dot());
        }
        tables.keep(&changeset);
        tables.writes += 1;
        Ok(changeset.events().len() as u64)
    }

    fn load_finish(&mut self, end: &[u8], _: WallTime) -> StoreResult<()> {
        let mut tables = self.database.lock();
        let expected = u64::from_be_bytes(end.try_into().expect("eight bytes"));
        assert_eq!(tables.chunks, expected, "all chunks have come");
        tables.loading = false;
        tables.loads += 1;
        tables.writes += 1;
        Ok(())
    }

    fn roster_entries(&mut self) -> StoreResult<Vec<Vec<u8>>> {
        Ok(self.database.lock().roster.clone())
    }

    fn keep_roster(&mut self, entries: &[Vec<u8>], nodes: &[NodeRecord], _: &[(String, String)]) -> StoreResult<()> {
        let mut tables = self.database.lock();
        let known: BTreeSet<Vec<u8>> = tables.roster.iter().cloned().collect();
        tables.roster.extend(entries.iter().filter(|entry| !known.contains(*entry)).cloned());
        tables.nodes = nodes.to_vec();
        tables.writes += 1;
        Ok(())
    }

    fn acknowledgements(&mut self) -> StoreResult<Vec<Vec<u8>>> {
        Ok(self.database.lock().acks.values().cloned().collect())
    }

    fn keep_acknowledgement(&mut self, node: &NodeId, bytes: &[u8]) -> StoreResult<()> {
        let mut tables = self.database.lock();
        tables.acks.insert(*node, bytes.to_vec());
        tables.writes += 1;
        Ok(())
    }

    fn record_session(&mut self, session: &SessionRecord) -> StoreResult<()> {
        let mut tables = self.database.lock();
        tables.sessions.push(session.clone());
        tables.writes += 1;
        Ok(())
    }

    fn record_partition(&mut self, partition: &PartitionRecord) -> StoreResult<()> {
        let mut tables = self.database.lock();
        tables.partitions.retain(|known| (known.peer, known.started_at) != (partition.peer, partition.started_at));
        tables.partitions.push(partition.clone());
        tables.writes += 1;
        Ok(())
    }

    fn record_metrics(&mut self, metrics: &[MetricRecord]) -> StoreResult<()> {
        let mut tables = self.database.lock();
        tables.metrics.extend(metrics.iter().cloned());
        tables.writes += 1;
        Ok(())
    }

    fn tables(&mut self, count: bool) -> StoreResult<Vec<TableStatus>> {
        let rows = self.database.rows().len() as u64;
        Ok(vec![TableStatus {
            name: "notes".into(),
            synced: true,
            reason: String::new(),
            remedy: String::new(),
            key: vec!["id".into()],
            columns: vec!["id".into(), "body".into()],
            references: Vec::new(),
            rows: count.then_some(rows),
            captured: true,
            parked: 0,
            held_back: 0,
        }])
    }

    fn events(&mut self, query: &EventQuery) -> StoreResult<Vec<EventView>> {
        let tables = self.database.lock();
        let mut views = Vec::new();
        for (nth, changeset) in tables.log.iter().enumerate().rev().take(query.limit) {
            let changeset = Claimed::decode(changeset).expect("own log").trust_own_log();
            for event in changeset.events() {
                views.push(EventView {
                    id: nth as u64 + 1,
                    dot: changeset.dot(),
                    table: "notes".into(),
                    key: event.written[0].1.as_str().unwrap_or_default().into(),
                    operation: event.operation.as_str().into(),
                    before: None,
                    after: Some("{}".into()),
                    lamport: event.lamport,
                    state: "applied".into(),
                    taken_at: changeset.header().sealed_at,
                });
            }
        }
        Ok(views)
    }

    fn conflicts(&mut self, _: bool, _: usize) -> StoreResult<Vec<ConflictView>> {
        Ok(Vec::new())
    }

    fn row_json(&mut self, _: &str, _: &Key) -> StoreResult<Option<String>> {
        Ok(None)
    }

    fn row(&mut self, _: &str, _: &Key) -> StoreResult<Option<RowView>> {
        Ok(None)
    }

    fn parked(&mut self) -> StoreResult<Vec<ParkedView>> {
        Ok(Vec::new())
    }

    fn held_back(&mut self) -> StoreResult<Vec<(String, String, u64)>> {
        Ok(Vec::new())
    }

    fn describe(&self) -> String {
        "fake database in memory".into()
    }

    fn uninstall(&mut self) -> StoreResult<()> {
        Ok(())
    }
}

impl Tables {
    fn must_not_be_locked(&mut self) -> StoreResult<()> {
        if self.locked == 0 {
            return Ok(());
        }
        self.locked -= 1;
        Err(StoreError::transient("RM5101", "the database is locked by another connection"))
    }

    fn apply(&mut self, event: &Event, dot: Dot) {
        let text = |nth: usize| event.written[nth].1.as_str().expect("text in UTF-8").to_owned();
        let (id, stamp) = (text(0), (event.lamport, dot));
        if self.rows.get(&id).is_none_or(|row| row.stamp < stamp) {
            self.rows.insert(id, Row { text: text(1), stamp });
        }
    }

    fn keep(&mut self, changeset: &Changeset) {
        self.log.push(changeset.bytes().clone());
        self.hashes.insert(changeset.dot(), changeset.hash());
        self.vector.raise(changeset.dot());
    }
}

struct FakeSnapshot {
    log: Vec<Arc<[u8]>>,
    next: usize,
}

impl SnapshotSource for FakeSnapshot {
    fn start(&self) -> Vec<u8> {
        b"fake snapshot".to_vec()
    }

    fn rows(&self) -> u64 {
        self.log.len() as u64
    }

    fn next_chunk(&mut self) -> StoreResult<Option<(Vec<u8>, u64)>> {
        let chunk = self.log.get(self.next).map(|changeset| (changeset.to_vec(), 1));
        self.next += 1;
        Ok(chunk)
    }

    fn end(&self) -> Vec<u8> {
        (self.log.len() as u64).to_be_bytes().to_vec()
    }
}
