//! What a node needs of its database, whatever its make: the `Store` trait and the plain data that crosses it. Synchronous on purpose:
//! a store runs its transactions to completion on a thread of its own. Holds no SQL and no policy of the exchange.

use std::sync::Arc;

use thiserror::Error;

use crate::changeset::Changeset;
use crate::clock::{Lamport, VersionVector, WallTime};
use crate::exchange::{LogBatch, LogRequest};
use crate::ident::{Digest, Dot, Incarnation, MeshId, NodeId, Origin, Seq};
use crate::ledger::Entry;
use crate::lineage::Lineage;
use crate::policy::PolicyHistory;
use crate::scope::Scope;
use crate::sign::Signer;
use crate::stride::Stride;
use crate::undo::{Undo, Undoing, Undone};
use crate::value::{ColumnName, Key, TableName, Value};

/// Result of a store's call.
pub type StoreResult<T> = Result<T, StoreError>;

/// What failed in or around the database, and what to do about it.
#[derive(Debug, Error)]
#[error("{message}")]
pub struct StoreError {
    /// Stable code, `RM` and four digits.
    pub code: &'static str,
    /// Who can do something about it.
    pub kind: StoreErrorKind,
    /// What happened, in one line.
    pub message: String,
    /// What a person can do, in one sentence; empty where waiting is all.
    pub remedy: String,
    /// What the database said.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Who can do something about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// Passes by itself: a lock, a busy database. Try again later.
    Transient,
    /// A person must act: disk full, rights missing, file gone.
    NeedsPerson,
    /// The database holds what we did not write, or we have a bug: stop.
    Broken,
}

/// Everything besides the database that sealing and applying depend on. Replaced as a whole when the roster moves.
#[derive(Clone)]
pub struct Standing {
    /// The mesh; changesets of other meshes are refused before they get here.
    pub mesh: MeshId,
    /// Signs what is sealed.
    pub signer: Arc<dyn Signer>,
    /// Epoch of the roster.
    pub epoch: u64,
    /// Hash of the roster.
    pub roster: Digest,
    /// Policies by epoch.
    pub policies: Arc<PolicyHistory>,
    /// Which tables, rows and columns travel.
    pub scope: Arc<Scope>,
    /// Which numbers this node deals out; `None` while it is alone.
    pub stride: Option<Stride>,
}

/// What a look at the database found. Looking writes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Look {
    /// Keys may have been noted since the last seal.
    pub dirty: bool,
    /// The schema differs from what was attached to.
    pub schema_moved: bool,
}

/// What one round of sealing did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sealed {
    /// The changesets made, in order.
    pub dots: Vec<Dot>,
    /// Events in them.
    pub events: u64,
    /// Whether keys are left for another round.
    pub more: bool,
}

/// What taking in changesets did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Taken {
    /// How many of the changesets offered, from the first, are now in the row states; the rest is to be offered again.
    pub changesets: usize,
    /// Events in them.
    pub events: u64,
    /// Rows written to or deleted from the application's tables.
    pub rows_written: u64,
    /// Ledger entries that are new.
    pub conflicts: u64,
    /// Events that are parked now because of these.
    pub parked: u64,
    /// What was sealed on the way, before applying.
    pub sealed: Sealed,
}

/// What a person writes through Rowmesh into one row: to settle a conflict, to say what was counted.
#[derive(Debug, Clone, PartialEq)]
pub struct Edit {
    /// The table.
    pub table: TableName,
    /// The row.
    pub key: Key,
    /// Columns and what they shall hold; of a row that does not stand, the others get what they held last, or else the table's defaults. `None`
    /// deletes the row; of one that does not stand, it answers what was written elsewhere meanwhile. What is named is written even if it stands
    /// there already: then nobody's write stands beside it any more.
    pub values: Option<Vec<(ColumnName, Said)>>,
    /// Whether the values were counted anew, and are no change to what stood before: see [`ColumnPolicy::Counter`](crate::policy::ColumnPolicy).
    pub counted_anew: bool,
}

/// What a person says of a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// What it shall hold; the database gives it the column's type.
    Value(Value),
    /// What it holds shall stay.
    AsItStands,
}

/// Where a node stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Position {
    /// This database's own origin.
    pub origin: Origin,
    /// What its row states reflect.
    pub vector: VersionVector,
    /// Changesets at or below this are no longer in the log (or never were: rows that stood here before Rowmesh came).
    pub floor: VersionVector,
}

/// One table, for the plan, status and `rowmesh tables`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableStatus {
    /// Its name.
    pub name: String,
    /// Whether its rows travel.
    pub synced: bool,
    /// Why not, or what is wrong; empty if all is well.
    pub reason: String,
    /// What to type about it; empty if nothing.
    pub remedy: String,
    /// Key columns.
    pub key: Vec<String>,
    /// The columns that travel, in the table's order; empty where none does.
    pub columns: Vec<String>,
    /// Those of them by which rows refer to the keys of others that travel.
    pub references: Vec<String>,
    /// Rows now; `None` where counting was not asked for.
    pub rows: Option<u64>,
    /// Whether capture is in place.
    pub captured: bool,
    /// Events of the table that are parked.
    pub parked: u64,
    /// Rows that a filter holds back.
    pub held_back: u64,
}

/// One event, for `rowmesh log`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventView {
    /// Number in this node's log, ascending in the order of taking in.
    pub id: u64,
    /// Its changeset.
    pub dot: Dot,
    /// The table.
    pub table: String,
    /// The row, for people.
    pub key: String,
    /// INSERT, UPDATE or DELETE.
    pub operation: String,
    /// Row before, JSON.
    pub before: Option<String>,
    /// Row after, JSON.
    pub after: Option<String>,
    /// Its place in the one order.
    pub lamport: Lamport,
    /// `sealed`, `applied` or `parked`.
    pub state: String,
    /// This node's clock when it took it in.
    pub taken_at: WallTime,
}

/// Which events to list.
#[derive(Debug, Clone, Default)]
pub struct EventQuery {
    /// Only this table.
    pub table: Option<String>,
    /// Only rows whose key reads so.
    pub key: Option<String>,
    /// Only changesets of this node.
    pub node: Option<NodeId>,
    /// Only events above this number.
    pub after_id: Option<u64>,
    /// Only events taken in since.
    pub since: Option<WallTime>,
    /// At most so many, the newest first.
    pub limit: usize,
}

/// One ledger entry as stored, for `rowmesh conflicts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConflictView {
    /// Short name: hash of the entry's id, equal on all nodes.
    pub id: String,
    /// The entry.
    pub entry: Entry,
    /// This node's clock when it first saw it.
    pub detected_at: WallTime,
}

/// Everything that is remembered of one row, for `rowmesh why`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowView {
    /// Who wrote what stands.
    pub lineage: Lineage,
    /// What lost in it, and to what: the entries of the ledger, oldest first.
    pub conflicts: Vec<ConflictView>,
    /// What of it cannot be shown here.
    pub parked: Vec<ParkedView>,
}

/// Some of what takes changes back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UndoStep {
    /// The rows of the changes that were looked at, each once.
    pub rows: Vec<UndoneRow>,
    /// How many events of the changeset that is.
    pub looked: usize,
    /// Whether it has more.
    pub more: bool,
    /// What was sealed.
    pub sealed: Sealed,
}

/// A row of which changes are taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndoneRow {
    /// Its table.
    pub table: TableName,
    /// Its key.
    pub key: Key,
    /// What is written, and what is not.
    pub undone: Undone,
    /// Why the database does not take it: then nothing of it is written.
    pub refused: Option<String>,
}

impl UndoneRow {
    /// Whether anything of it is written.
    pub fn is_written(&self) -> bool {
        self.refused.is_none() && self.undone.undoing != Undoing::Nothing
    }
}

/// One event that is in row state but cannot be shown here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedView {
    /// The changeset.
    pub dot: Dot,
    /// The table.
    pub table: String,
    /// The row, for people.
    pub key: String,
    /// What stands in the way.
    pub reason: String,
    /// Since when.
    pub since: WallTime,
}

/// One exchange that moved something or failed: a row of `sync_sessions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord {
    /// The other side.
    pub peer: NodeId,
    /// Whether we dialled.
    pub dialled: bool,
    /// When it began.
    pub started_at: WallTime,
    /// When it ended.
    pub ended_at: WallTime,
    /// `completed` or `failed`.
    pub state: &'static str,
    /// Changesets sent.
    pub changesets_sent: u64,
    /// Changesets received.
    pub changesets_received: u64,
    /// Events sent.
    pub events_sent: u64,
    /// Events received.
    pub events_received: u64,
    /// Bytes sent.
    pub bytes_sent: u64,
    /// Bytes received.
    pub bytes_received: u64,
    /// Exchanges since the previous row that moved nothing: they write no row of their own.
    pub idle_before: u64,
    /// Code and message of the failure.
    pub error: Option<String>,
}

/// A stretch of time in which a peer could not be reached: a row of `network_partitions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionRecord {
    /// The other side.
    pub peer: NodeId,
    /// Last time it was reached before.
    pub started_at: WallTime,
    /// When it was noticed.
    pub detected_at: WallTime,
    /// When it was reached again.
    pub healed_at: Option<WallTime>,
    /// Why it could not be reached.
    pub reason: String,
    /// Events exchanged on healing.
    pub events_on_healing: u64,
}

/// One hour's figures of one kind: a row of `sync_metrics`.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricRecord {
    /// Start of the hour.
    pub hour: WallTime,
    /// The peer it is about, if any.
    pub peer: Option<NodeId>,
    /// Name of the figure.
    pub name: String,
    /// Its value.
    pub value: f64,
}

/// A node as `sync_nodes` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRecord {
    /// The node.
    pub node: NodeId,
    /// Its name in the mesh.
    pub name: String,
    /// Its role.
    pub role: String,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// `member`, `revoked` or `self`.
    pub state: String,
    /// Last time it was reached.
    pub last_seen: Option<WallTime>,
}

/// A node's database.
///
/// A store owns the rules of one transaction: what is sealed, merged, shown and written together. Everything it is given has
/// passed admission: verified, in causal order, nothing twice.
pub trait Store: Send {
    /// Replaces what sealing and applying depend on. Under another scope rows that it treats differently are noted, so that the next seal
    /// lets them leave or come.
    ///
    /// # Errors
    /// If the database cannot be read or written.
    fn set_standing(&mut self, standing: Standing, now: WallTime) -> StoreResult<()>;

    /// Whether anything moved since the last seal. Cheap enough for twenty times a second; writes nothing.
    ///
    /// # Errors
    /// If the database cannot be read, or is not the one that was opened.
    fn look(&mut self) -> StoreResult<Look>;

    /// Attaches to new, altered and rebuilt tables, re-makes lost triggers, and reconciles what was written meanwhile.
    /// Returns what was found, one sentence each.
    ///
    /// # Errors
    /// If the database cannot be written.
    fn follow_schema(&mut self, now: WallTime) -> StoreResult<Vec<String>>;

    /// Compares a table (or all) with its row states and notes every key that differs. Returns how many.
    ///
    /// # Errors
    /// If the database cannot be written.
    fn reconcile(&mut self, table: Option<&str>, now: WallTime) -> StoreResult<u64>;

    /// Seals what is dirty now, durably; one changeset, or one part of a larger round.
    ///
    /// # Errors
    /// If the database cannot be written. Nothing is sealed then.
    fn seal(&mut self, now: WallTime) -> StoreResult<Sealed>;

    /// Seals what the application has written and then writes what a person says, all of it or nothing, and seals that as one changeset, which has
    /// seen everything that is known here. The application's triggers do not fire for it.
    ///
    /// # Errors
    /// RM5109 if a table, row or column is not here or does not travel, or a column belongs to the key of a row that stands; RM5108 if the database
    /// refuses what was to be written, or it would be too large to travel; otherwise if it cannot be read or written.
    fn edit(&mut self, now: WallTime, edits: &[Edit]) -> StoreResult<Sealed>;

    /// Changesets in the log that may hold changes which are meant, newest first, by numbers that [`Store::undo`] takes.
    ///
    /// # Errors
    /// If the database cannot be read.
    fn changesets_meant(&mut self, undo: &Undo) -> StoreResult<Vec<u64>>;

    /// Takes back, by one new changeset, what a changeset did that is meant, from its last event on: at most some thousand rows at once, and none
    /// of its last `skip` events. What others wrote since is left alone; what the database refuses too. A row is taken back whole, with what other
    /// changesets did to it that is meant.
    ///
    /// # Errors
    /// If the log does not hold the changeset any more, a row would be too large to travel (RM5108), or the database cannot be read or written.
    fn undo(&mut self, now: WallTime, undo: &Undo, changeset: u64, skip: usize, dry_run: bool)
    -> StoreResult<UndoStep>;

    /// Seals what is dirty, then takes in as many of the changesets as the lock budget allows, in one transaction. May take none.
    ///
    /// # Errors
    /// If the database cannot be written. Nothing is taken in then.
    fn take(&mut self, now: WallTime, changesets: &[Changeset]) -> StoreResult<Taken>;

    /// Tries again to show what is parked. Returns how many are still parked.
    ///
    /// # Errors
    /// If the database cannot be written.
    fn retry_parked(&mut self, now: WallTime) -> StoreResult<u64>;

    /// Where this node stands.
    fn position(&self) -> Position;

    /// Hash of a changeset in the log, to tell a repetition from an equivocation; `None` if the log has it no more.
    ///
    /// # Errors
    /// If the database cannot be read.
    fn hash_of(&mut self, dot: &Dot) -> StoreResult<Option<Digest>>;

    /// What the other side of an exchange lacks, each changeset after those that it depends on.
    ///
    /// # Errors
    /// If the database cannot be read.
    fn read_log(&mut self, request: &LogRequest) -> StoreResult<LogBatch>;

    /// Begins a new life under a new incarnation, because numbers of the old one may be known elsewhere.
    ///
    /// # Errors
    /// If the database cannot be written.
    fn renew_incarnation(&mut self, incarnation: Incarnation) -> StoreResult<()>;

    /// The highest timestamp of an incarnation's changesets after `after`, up to and with `until`; rows that stood here before Rowmesh count as
    /// the first one of the present incarnation. `None` if the log has none of them.
    ///
    /// # Errors
    /// If the database cannot be read, or the incarnation is unknown.
    fn lamport_of(&mut self, origin: &Origin, after: Seq, until: Seq) -> StoreResult<Option<Lamport>>;

    /// What this machine's clock read when it sealed a changeset of the present incarnation; `None` if the log has not got it.
    ///
    /// # Errors
    /// If the database cannot be read.
    fn own_sealed_at(&mut self, seq: Seq) -> StoreResult<Option<WallTime>>;

    /// Gives this incarnation's changesets after `last` new names and times and goes on under a new incarnation: the clock was ahead when
    /// they were sealed, and nobody may take them in under their old names (the roster has closed the incarnation). All or nothing.
    /// Those that others' changesets here refer to keep their names all the same: somebody has them, and vouches for them. Returns how many
    /// were named anew.
    ///
    /// # Errors
    /// If the database cannot be written, or its log lacks one of them.
    fn restamp(&mut self, last: Seq, incarnation: Incarnation, now: WallTime) -> StoreResult<u64>;

    /// Hash over the shape of every tracked table.
    fn schema_fingerprint(&self) -> Digest;

    /// Hash over the contents of every tracked table, in any order of rows: equal where the rows are equal.
    ///
    /// # Errors
    /// If the database cannot be read.
    fn content_digest(&mut self) -> StoreResult<Vec<(TableName, Digest)>>;

    /// A consistent read of everything for a node that joins, on a connection of its own. Of the log it holds what `stable` does
    /// not cover: what is stable can be concurrent with nothing that is still to come.
    ///
    /// # Errors
    /// If the database cannot be read.
    fn snapshot(&mut self, stable: &VersionVector) -> StoreResult<Box<dyn SnapshotSource>>;

    /// Loads a snapshot that a peer gives. Rows that the application writes meanwhile stay and are sealed afterwards.
    ///
    /// # Errors
    /// If the tables already hold rows, or the schema does not fit, or the database cannot be written.
    fn load_begin(&mut self, start: &[u8], source: NodeId, now: WallTime) -> StoreResult<()>;

    /// Loads one chunk.
    ///
    /// # Errors
    /// As [`Store::load_begin`], and if the chunk is not the next one: one that came before, or that comes later. Nothing of a
    /// chunk that is refused is loaded. After an error that passes by itself the same chunk may be given again; after any other
    /// the load is over: it begins anew.
    fn load_chunk(&mut self, chunk: &[u8], now: WallTime) -> StoreResult<u64>;

    /// Says which chunk comes after the next one, so that it can be made ready while that one is loaded. Promises nothing: what comes is what
    /// [`Store::load_chunk`] is given.
    fn load_ahead(&mut self, _chunk: &[u8]) {}

    /// Ends the load: from here the version vector says what the snapshot held.
    ///
    /// # Errors
    /// As [`Store::load_chunk`], and if chunks are missing.
    fn load_finish(&mut self, end: &[u8], now: WallTime) -> StoreResult<()>;

    /// All roster entries kept, in no order.
    ///
    /// # Errors
    /// If the database cannot be read.
    fn roster_entries(&mut self) -> StoreResult<Vec<Vec<u8>>>;

    /// Keeps roster entries and what they mean in `sync_nodes` and `sync_configurations`.
    ///
    /// # Errors
    /// If the database cannot be written.
    fn keep_roster(
        &mut self,
        entries: &[Vec<u8>],
        nodes: &[NodeRecord],
        settings: &[(String, String)],
    ) -> StoreResult<()>;

    /// Signed acknowledgements kept.
    ///
    /// # Errors
    /// If the database cannot be read.
    fn acknowledgements(&mut self) -> StoreResult<Vec<Vec<u8>>>;

    /// Keeps the newest acknowledgement of a node.
    ///
    /// # Errors
    /// If the database cannot be written.
    fn keep_acknowledgement(&mut self, node: &NodeId, bytes: &[u8]) -> StoreResult<()>;

    /// Writes a row of `sync_sessions`.
    ///
    /// # Errors
    /// If the database cannot be written.
    fn record_session(&mut self, session: &SessionRecord) -> StoreResult<()>;

    /// Opens or closes a row of `network_partitions`.
    ///
    /// # Errors
    /// If the database cannot be written.
    fn record_partition(&mut self, partition: &PartitionRecord) -> StoreResult<()>;

    /// Adds figures to rows of `sync_metrics`. Each is told once: what was told before is in the row already.
    ///
    /// # Errors
    /// If the database cannot be written.
    fn record_metrics(&mut self, metrics: &[MetricRecord]) -> StoreResult<()>;

    /// Every table and how it fares. `count` asks for rows too, which takes a scan.
    ///
    /// # Errors
    /// If the database cannot be read.
    fn tables(&mut self, count: bool) -> StoreResult<Vec<TableStatus>>;

    /// Events in the log.
    ///
    /// # Errors
    /// If the database cannot be read.
    fn events(&mut self, query: &EventQuery) -> StoreResult<Vec<EventView>>;

    /// Ledger entries, newest first; only open ones if asked.
    ///
    /// # Errors
    /// If the database cannot be read.
    fn conflicts(&mut self, only_open: bool, limit: usize) -> StoreResult<Vec<ConflictView>>;

    /// Whole row of a table as it stands, JSON, for showing a conflict beside it.
    ///
    /// # Errors
    /// If the database cannot be read.
    fn row_json(&mut self, table: &str, key: &Key) -> StoreResult<Option<String>>;

    /// Where a row comes from; `None` if nothing is known of it here. What was written and not yet sealed is not in it.
    ///
    /// # Errors
    /// If the database cannot be read.
    fn row(&mut self, table: &str, key: &Key) -> StoreResult<Option<RowView>>;

    /// What is parked.
    ///
    /// # Errors
    /// If the database cannot be read.
    fn parked(&mut self) -> StoreResult<Vec<ParkedView>>;

    /// Rows that filters hold back, by filter and root row: (filter, root row's key, rows held back with it).
    ///
    /// # Errors
    /// If the database cannot be read.
    fn held_back(&mut self) -> StoreResult<Vec<(String, String, u64)>>;

    /// Columns that change with nearly every update, by table: `updated_at` and optimistic-lock versions, told by their names. Whoever
    /// founds a mesh proposes that the largest value stands, without a ledger entry.
    fn touched_columns(&self) -> Vec<(TableName, Vec<ColumnName>)> {
        Vec::new()
    }

    /// Kind and version of the database, its name and mode, for people: `SQLite 3.50.2  shop.db, WAL mode`.
    fn describe(&self) -> String;

    /// Takes everything of ours out of the database, leaving it as it was found.
    ///
    /// # Errors
    /// If the database cannot be written.
    fn uninstall(&mut self) -> StoreResult<()>;
}

/// A snapshot being read, on a connection and in a transaction of its own.
pub trait SnapshotSource: Send {
    /// What it is: schema, version vector, counts. Given to [`Store::load_begin`].
    fn start(&self) -> Vec<u8>;
    /// Rows in it, for progress.
    fn rows(&self) -> u64;
    /// The next chunk and how many rows it holds; `None` after the last.
    ///
    /// # Errors
    /// If the database cannot be read.
    fn next_chunk(&mut self) -> StoreResult<Option<(Vec<u8>, u64)>>;
    /// What closes it. Given to [`Store::load_finish`].
    fn end(&self) -> Vec<u8>;
}

impl StoreError {
    /// Something that passes by itself.
    pub fn transient(code: &'static str, message: impl Into<String>) -> StoreError {
        StoreError {
            code,
            kind: StoreErrorKind::Transient,
            message: message.into(),
            remedy: String::new(),
            source: None,
        }
    }

    /// Something that a person must mend.
    pub fn needs_person(code: &'static str, message: impl Into<String>, remedy: impl Into<String>) -> StoreError {
        let (message, remedy) = (message.into(), remedy.into());
        StoreError { code, kind: StoreErrorKind::NeedsPerson, message, remedy, source: None }
    }

    /// Something that should not be.
    pub fn broken(code: &'static str, message: impl Into<String>) -> StoreError {
        let remedy = "please report it, with what rowmesh doctor --json says and the daemon's log".to_owned();
        StoreError { code, kind: StoreErrorKind::Broken, message: message.into(), remedy, source: None }
    }

    /// Says what the database said.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
        self.source = Some(source.into());
        self
    }
}
