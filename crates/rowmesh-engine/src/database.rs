//! What the engine needs of a database: traits by room, which every kind of database implements in files of the same names. Said here is
//! what must come out, not how; rules that are the same everywhere are not here but in the engine's other rooms.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use rowmesh_core::changeset::Changeset;
use rowmesh_core::clock::{Lamport, WallTime};
use rowmesh_core::encode::Writer;
use rowmesh_core::event::Operation;
use rowmesh_core::ident::{Digest, NodeId, Seq};
use rowmesh_core::limits;
use rowmesh_core::row_state::ColumnIx;
use rowmesh_core::schema::{TableSchema, UniqueIndex};
use rowmesh_core::scope::TablePatterns;
use rowmesh_core::store::{EventQuery, MetricRecord, NodeRecord, PartitionRecord, SessionRecord, StoreResult};
use rowmesh_core::stride::Stride;
use rowmesh_core::unique::Claim;
use rowmesh_core::value::{ColumnName, Key, TableName, Value};

use crate::fault::Result;
use crate::ledger_rows::{EntryLine, EntryRow};
use crate::origins::KnownOrigin;
use crate::plan::{AttachOptions, Followed, Plan};
use crate::registry::{Registry, Table, TableNumber};
use crate::write::{NewRow, Outcome, Placed, RowWrite};

/// A database with a session of ours: transactions, the application's schema, what is installed. One thread uses it at a time.
pub trait Database: Send + Sized + 'static {
    /// What a transaction works with.
    type Access<'a>: Access<Packed = <Self::Packer as Packer>::Packed>
    where
        Self: 'a;

    /// What makes rows of a snapshot ready, apart from the session.
    type Packer: Packer;

    /// Where one is.
    type Location;

    /// Rows that one changeset holds at most.
    const UNIT_ROWS: usize;

    /// Rows of changesets from elsewhere that are read, written and remembered together; a larger changeset stays whole.
    const STEP_ROWS: usize;

    /// Whether the application may write while a transaction of ours is under way, to rows that are not locked.
    const IS_SHARED: bool;

    /// How long a transaction goes on taking in further changesets: others wait for what it has locked.
    const LOCK_BUDGET: Duration;

    /// What attaching would do. Changes nothing.
    ///
    /// # Errors
    /// If the database cannot be opened or read.
    fn plan(location: &Self::Location, options: &AttachOptions) -> StoreResult<Plan>;

    /// Whether it can be worked with, by the same look and with the same errors as [`Database::open`]. Changes nothing.
    ///
    /// # Errors
    /// If it cannot.
    fn check(location: &Self::Location) -> StoreResult<()>;

    /// What of ours stands there: kinds and names. Changes nothing.
    ///
    /// # Errors
    /// If the database cannot be opened or read.
    fn installed(location: &Self::Location) -> StoreResult<Vec<(String, String)>>;

    /// Takes everything of ours out, all or nothing.
    ///
    /// # Errors
    /// If the database cannot be opened or written.
    fn uninstall(location: &Self::Location) -> StoreResult<()>;

    /// Opens a database and puts capture in place.
    fn open(location: &Self::Location, options: &AttachOptions) -> Result<Opened<Self>>;

    /// The tables, for the transaction that is under way, or for single statements outside of one. What it was given to write and has not
    /// written at its end is lost: [`Access::flush`].
    fn access(&self) -> Self::Access<'_>;

    /// Begins a transaction that writes, alone among those of ours, in which the schema is the one that was last followed.
    ///
    /// # Errors
    /// [`crate::fault::Error::SchemaMoved`] if it is not; nothing has begun then.
    fn begin(&mut self) -> Result<()>;

    /// Makes what the transaction did durable.
    fn commit(&mut self) -> Result<()>;

    /// Undoes the transaction, if one is under way.
    fn rollback(&mut self) -> Result<()>;

    /// Brings capture in step with the schema as it is now.
    fn follow(&mut self) -> Result<Followed>;

    /// Remembers which tables sync by the mesh's rules and, if they are others than before, brings capture in step with them.
    fn follow_mesh(&mut self, rules: &TablePatterns) -> Result<Option<Followed>>;

    /// Says which numbers sequences of tracked tables are to deal out from now on; `None` leaves them as they are. What cannot be had at once
    /// is had later, by [`Database::look`] and [`Database::follow`]. A database that has no sequences has nothing to do.
    fn deal(&mut self, _stride: Option<Stride>) -> Result<()> {
        Ok(())
    }

    /// Says what the engine works with from now on.
    fn work_with(&mut self, plan: &Plan, registry: &Registry);

    /// Every table that can be tracked, those that are left out by name included.
    fn all_tables(&self) -> Result<Vec<TableSchema>>;

    /// Whether anything has moved since the last look. Writes nothing.
    ///
    /// # Errors
    /// If it cannot be read, or is another database than the one that was opened.
    fn look(&mut self) -> Result<Seen>;

    /// A session of its own, in a transaction that reads one moment and writes nothing.
    fn reader(&self) -> Result<Self>;

    /// The row states of these tables in pieces, all of the moment that this session reads, where several sessions can read them at once; `None`
    /// where they cannot. Tables come one after the other, as far as several at once allow.
    fn pieces(&self, _tables: &[TableNumber]) -> Result<Option<Box<dyn Pieces>>> {
        Ok(None)
    }

    /// What makes rows of a snapshot ready for the tables as they were last followed.
    fn packer(&self) -> Self::Packer;

    /// Statements that make the application's schema, for a database that has none; empty where this kind of database cannot tell.
    fn application_schema(&self) -> Result<Vec<String>>;

    /// Gives a database without tables the application's schema, captured from its first row on.
    fn make_schema(&mut self, statements: &[String]) -> Result<()>;

    /// Kind, version, name and mode, for people.
    fn describe(&self) -> String;

    /// Where it is, for messages.
    fn location(&self) -> String;

    /// Takes everything of ours out.
    fn detach(&mut self) -> Result<()>;
}

/// Row states of one table, as a chunk of a snapshot holds them.
pub struct Piece {
    /// Whose they are.
    pub table: TableNumber,
    /// How many.
    pub rows: u64,
    /// Key and state of each, encoded.
    pub bytes: Writer,
}

impl Piece {
    /// An empty one.
    pub fn new(table: TableNumber) -> Piece {
        Piece { table, rows: 0, bytes: Writer::default() }
    }

    /// Adds a row.
    pub fn push(&mut self, key: &[u8], state: &[u8]) {
        self.bytes.bytes(key);
        self.bytes.bytes(state);
        self.rows += 1;
    }

    /// Whether it is as large as a chunk should be.
    pub fn is_full(&self) -> bool {
        self.rows >= limits::SNAPSHOT_CHUNK_ROWS as u64 || self.bytes.0.len() >= limits::SNAPSHOT_CHUNK_BYTES_TARGET
    }
}

/// Row states as several sessions read them.
pub trait Pieces: Send {
    /// The next piece; `None` after the last.
    fn next(&mut self) -> Result<Option<Piece>>;
}

/// Makes rows of a snapshot ready for [`Rows::place_packed`] while the database is busy with others. Asks no database.
pub trait Packer: Send + Sync + 'static {
    /// Rows of one table that are ready, with their states.
    type Packed: Send + Sync;

    /// None yet; `None` if rows of this table are to be placed one by one.
    fn begin(&self, table: &Table) -> Option<Self::Packed>;

    /// Adds a row that is to stand with these values, in the order of the table, under this state. Says whether it can be told for sure that it
    /// will stand exactly so; otherwise it is not added.
    fn add(&self, packed: &mut Self::Packed, table: &Table, row: &[&Value], key: &[u8], state: &[u8]) -> bool;
}

/// Where all rows are placed one by one.
pub struct NoPacker;

impl Packer for NoPacker {
    type Packed = ();

    fn begin(&self, _: &Table) -> Option<()> {
        None
    }

    fn add(&self, _: &mut (), _: &Table, _: &[&Value], _: &[u8], _: &[u8]) -> bool {
        false
    }
}

/// A database in which capture was just put in place.
pub struct Opened<D> {
    /// It.
    pub database: D,
    /// What was found and done.
    pub followed: Followed,
    /// Whether capture had been in place before.
    pub was_attached: bool,
}

/// What a look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Seen {
    /// Somebody may have written since the last look.
    pub data_changed: bool,
    /// The schema is not the one that was last followed.
    pub schema_changed: bool,
}

/// Everything that a transaction does, by room.
pub trait Access:
    Notes + Names + States + Log + Ledger + Parking + Exceptions + LostNumbers + HeldBack + Rows + Records
{
    /// Whether asking costs a journey, so that it is worth saying beforehand what will be asked: [`States::expect_states`], [`Rows::expect`].
    const IS_REMOTE: bool = false;

    /// Writes what was kept back to be written together. To be called before the transaction commits.
    fn flush(&self) -> Result<()> {
        Ok(())
    }
}

/// One key that a trigger noted.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// Its handle; a note that was taken for several rows is several of these with one handle.
    pub id: i64,
    /// The table.
    pub table: TableNumber,
    /// What was done.
    pub operation: NotedOperation,
    /// When.
    pub at: WallTime,
    /// The key's values; none where the table is tracked no more, or was emptied and never had a row.
    pub key: Vec<Value>,
}

/// What a note says was done. Only a hint: what really happened is found out from the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotedOperation {
    /// A row came under this key.
    Insert,
    /// The row under this key was written.
    Update,
    /// The row under this key was deleted.
    Delete,
    /// The row under this key moved to another.
    Rekey,
    /// The table, or a part of it, was emptied: no key is noted. A database tells the keys that may be meant.
    Truncate,
}

impl NotedOperation {
    /// Its number in the dirty table. Triggers of older versions may still write it, so it never changes its meaning.
    pub fn number(self) -> i64 {
        match self {
            NotedOperation::Insert => 1,
            NotedOperation::Update => 2,
            NotedOperation::Delete => 3,
            NotedOperation::Rekey => 4,
            NotedOperation::Truncate => 5,
        }
    }

    /// What a number in the dirty table means; one that no trigger of ours writes is taken for an update, which claims least.
    pub fn from_number(number: i64) -> NotedOperation {
        match number {
            1 => NotedOperation::Insert,
            3 => NotedOperation::Delete,
            4 => NotedOperation::Rekey,
            5 => NotedOperation::Truncate,
            _ => NotedOperation::Update,
        }
    }

    /// Whether no row under this key is what one would expect after it.
    pub fn may_remove(self) -> bool {
        matches!(self, NotedOperation::Delete | NotedOperation::Rekey | NotedOperation::Truncate)
    }
}

/// Keys that triggers noted and no seal has looked at yet.
pub trait Notes {
    /// The oldest of them, at most about `limit`, in the order in which they were made.
    fn notes(&self, registry: &Registry, limit: usize) -> Result<Vec<Note>>;
    /// Deletes exactly these.
    fn forget_notes(&self, ids: Vec<i64>) -> Result<()>;
    /// Notes a key as a trigger would.
    fn note(&self, table: &Table, key: &[Value], now: WallTime) -> Result<()>;
    /// What is noted of one key, oldest first.
    fn noted(&self, table: &Table, key: &[Value]) -> Result<Vec<NotedOperation>>;
    /// The keys of a table that are noted.
    fn noted_keys(&self, table: &Table) -> Result<HashSet<Key>>;
    /// Whether any key is.
    fn any_noted(&self) -> Result<bool>;
}

/// Numbers that never change their meaning, and this node's own facts.
pub trait Names {
    /// Every table ever named.
    fn table_names(&self) -> Result<Vec<(TableNumber, TableName)>>;
    /// Says that the rows of a table were compared with what is remembered of them ([`ChangeKind::needs_reconcile`](crate::changes::ChangeKind)).
    fn trust(&self, table: TableNumber) -> Result<()>;
    /// Every column ever named, in the order of their numbers within each table.
    fn column_names(&self) -> Result<Vec<(TableNumber, ColumnName)>>;
    /// Gives a table a number.
    fn add_table(&self, name: &TableName) -> Result<TableNumber>;
    /// Gives a column a number.
    fn add_column(&self, table: TableNumber, number: ColumnIx, name: &ColumnName) -> Result<()>;
    /// Every origin, in the order of their numbers from 1.
    fn origins(&self) -> Result<Vec<KnownOrigin>>;
    /// Writes an origin under a new number.
    fn add_origin(&self, number: u32, origin: &KnownOrigin) -> Result<()>;
    /// Writes how far an origin has come.
    fn set_origin(&self, number: u32, origin: &KnownOrigin) -> Result<()>;
    /// How many origins there are, and the sum of their highest numbers.
    fn origins_sum(&self) -> Result<(u64, u64)>;
    /// A fact of this node.
    fn fact(&self, name: &str) -> Result<Option<Value>>;
    /// Sets one: an integer, text or bytes.
    fn set_fact(&self, name: &str, value: &Value) -> Result<()>;
}

/// Where a row state stands in its table: what was recalled from there is saved there without looking for the key again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(pub i64);

/// Row states as bytes, and what is counted and claimed of them.
pub trait States {
    /// Says which rows' states the transaction is about to look at: what is far away can be fetched at once.
    fn expect_states(&self, _rows: &[(Arc<Table>, Key)]) -> Result<()> {
        Ok(())
    }
    /// Looks at a row's state, if there is one.
    fn state<T>(
        &self,
        table: TableNumber,
        key: &Key,
        read: impl FnOnce(&[u8]) -> Result<T>,
    ) -> Result<Option<(Place, T)>>;
    /// Writes it: in the place that it was recalled from, or wherever it belongs.
    fn save_state(&self, place: Option<Place>, table: TableNumber, key: &Key, bytes: &[u8]) -> Result<()>;
    /// Looks at all of a table.
    fn each_state(&self, table: TableNumber, each: &mut dyn FnMut(Key, &[u8]) -> Result<()>) -> Result<()>;
    /// Up to `limit` of them by key from after the one given, until they are about `bytes` together.
    fn states_after(
        &self,
        table: TableNumber,
        after: &[u8],
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>>;
    /// Writes states of rows of which nothing is remembered yet.
    fn add_states(&self, table: TableNumber, states: &[(Key, Vec<u8>)]) -> Result<()> {
        states.iter().try_for_each(|(key, bytes)| self.save_state(None, table, key, bytes))
    }
    /// How many there are.
    fn count_states(&self) -> Result<u64>;
    /// Says that so many rows more (or fewer) of a table are shown.
    fn add_shown(&self, table: TableNumber, change: i64) -> Result<()>;
    /// How many rows of a table are shown.
    fn shown_rows(&self, table: TableNumber) -> Result<i64>;
    /// Moves what a row claims in unique indexes from one image to another, where deletes may go unnoted.
    fn replace_claims(&self, table: &Table, key: &Key, old: Option<&[Value]>, new: Option<&[Value]>) -> Result<()>;
    /// Other rows that hold, as shown, a unique value which this image takes, where that may have removed them unnoted.
    fn pushed_aside(&self, table: &Table, key: &Key, row: &[Value]) -> Result<Vec<Key>>;
    /// Whether a row of the table may have gone without any note. `rewritten` tells of several notes about one row, or a delete that
    /// cascades.
    fn may_hide_deletes(&self, table: &Table, rewritten: bool) -> bool;
}

/// A changeset as the log keeps it.
pub struct LogEntry<'a> {
    /// Its origin's number.
    pub origin: u32,
    /// It.
    pub changeset: &'a Changeset,
    /// Its causal context, JSON.
    pub context: String,
    /// When it was taken in.
    pub taken_at: WallTime,
}

/// An event as the log keeps it.
pub struct EventRow<'a> {
    /// The log's number of its changeset, and its position there, in one.
    pub id: i64,
    /// Its table.
    pub table: TableNumber,
    /// Its row.
    pub key: &'a Key,
    /// What was done.
    pub operation: Operation,
    /// When.
    pub lamport: Lamport,
    /// Its hash.
    pub checksum: Digest,
    /// The row before, JSON.
    pub before: Option<&'a str>,
    /// The row after, JSON.
    pub after: Option<&'a str>,
}

/// An event as it is listed for people.
pub struct EventLine {
    /// Its number.
    pub id: i64,
    /// Its origin's number, and its changeset's there.
    pub dot: (u32, Seq),
    /// Its table.
    pub table: String,
    /// The row, for people.
    pub key: String,
    /// What was done.
    pub operation: String,
    /// The row before, JSON.
    pub before: Option<String>,
    /// The row after, JSON.
    pub after: Option<String>,
    /// When.
    pub lamport: Lamport,
    /// `sealed`, `applied` or `parked`.
    pub state: String,
    /// When it was taken in.
    pub taken_at: WallTime,
}

/// Looks at a changeset of the log: its number, origin, seq and bytes.
pub type EachChangeset<'a> = dyn FnMut(i64, u32, Seq, &[u8]) -> Result<ControlFlow<()>> + 'a;

/// The log: changesets in the order of taking in, numbered upwards, and their events.
pub trait Log {
    /// Adds a changeset; returns its number.
    fn append_changeset(&self, entry: &LogEntry<'_>) -> Result<i64>;
    /// Adds an event of it.
    fn append_event(&self, event: &EventRow<'_>) -> Result<()>;
    /// Puts another in the place of a changeset.
    fn replace_changeset(&self, number: i64, entry: &LogEntry<'_>) -> Result<()>;
    /// Gives an event another time and hash.
    fn restamp_event(&self, id: i64, lamport: Lamport, checksum: Digest) -> Result<()>;
    /// The hash of a changeset.
    fn changeset_hash(&self, origin: u32, seq: Seq) -> Result<Option<Digest>>;
    /// The bytes of a changeset.
    fn changeset_body(&self, origin: u32, seq: Seq) -> Result<Option<Vec<u8>>>;
    /// The bytes of the changeset with this number.
    fn numbered_body(&self, number: i64) -> Result<Vec<u8>>;
    /// Numbers of an origin's changesets after `last`, in their order, at most `limit`.
    fn numbers_after(&self, origin: u32, last: Seq, limit: usize) -> Result<Vec<i64>>;
    /// Looks at every changeset from a number on, until it is told to break.
    fn each_changeset(&self, from: i64, each: &mut EachChangeset<'_>) -> Result<()>;
    /// Ids of a row's events from an id on, in their order.
    fn event_ids(&self, table: TableNumber, key: &Key, from: i64) -> Result<Vec<i64>>;
    /// The rows of events with ids in a range, some of them several times.
    fn rows_of_events(&self, ids: std::ops::Range<i64>) -> Result<Vec<(TableNumber, Key)>>;
    /// The highest timestamp of events with ids in a range.
    fn lamport_of_events(&self, ids: std::ops::Range<i64>) -> Result<Option<Lamport>>;
    /// Events for people, newest first.
    fn list_events(&self, query: &EventQuery) -> Result<Vec<EventLine>>;
}

/// Entries of `conflict_resolutions`.
pub trait Ledger {
    /// Writes an entry, or brings a known one up to date. Says whether it is new.
    fn save_entry(&self, entry: &EntryRow) -> Result<bool>;
    /// Who wins over an entry: origin, seq, timestamp.
    fn winner_of(&self, id: &str) -> Result<Option<(u32, Seq, Lamport)>>;
    /// The entries of one row: those that are open, or all; but for those of lost numbers, about which nobody has to do anything.
    fn entries_of_row(&self, table: &str, key: &Key, only_open: bool) -> Result<Vec<EntryLine>>;
    /// The same in full, oldest first.
    fn whole_entries_of_row(&self, table: &str, key: &Key) -> Result<Vec<EntryRow>>;
    /// Says whether an entry is open.
    fn set_entry_state(&self, id: &str, state: &str) -> Result<()>;
    /// Forgets an entry.
    fn forget_entry(&self, id: &str) -> Result<()>;
    /// Entries, newest first; only open ones if asked.
    fn newest_entries(&self, only_open: bool, limit: usize) -> Result<Vec<EntryRow>>;
    /// Entries by id from after the one given.
    fn entries_after(&self, id: &str, limit: usize) -> Result<Vec<EntryRow>>;
    /// Forgets the entries that name a write of an origin after `last`; returns whose rows they were.
    fn forget_entries(&self, origin: u32, last: Seq) -> Result<Vec<(TableName, Key)>>;
}

/// One parked event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedRow {
    /// Its table.
    pub table: TableNumber,
    /// Its row.
    pub key: Key,
    /// Its origin's number.
    pub origin: u32,
    /// Its changeset.
    pub seq: Seq,
    /// What stands in the way.
    pub reason: String,
    /// Since when.
    pub since: WallTime,
}

/// Events that row state holds and the tables cannot show yet.
pub trait Parking {
    /// Parks an event, or says anew why it is.
    fn park(&self, parked: &ParkedRow) -> Result<()>;
    /// Nothing of the row is parked any more.
    fn release(&self, table: TableNumber, key: &Key) -> Result<()>;
    /// Whether something of a row is.
    fn is_parked(&self, table: TableNumber, key: &Key) -> Result<bool>;
    /// How many events are.
    fn count_parked(&self) -> Result<u64>;
    /// The events of one row, or of all, oldest first.
    fn parked(&self, row: Option<(TableNumber, &Key)>) -> Result<Vec<ParkedRow>>;
    /// The rows that have something parked.
    fn parked_rows(&self) -> Result<Vec<(TableNumber, Key)>>;
    /// Renames an origin's events after `last`, counting from 1 again.
    fn rename_parked(&self, old: u32, new: u32, last: Seq) -> Result<()>;
}

/// Rows that do not show a unique value which they claim: because another keeps it, or because they cannot be shown at all. All others are found by the
/// application's own indexes.
pub trait Exceptions {
    /// Remembers which claims of a row it does not show; none: it shows all of them. It need not be looked at again.
    fn set_exceptions(&self, table: TableNumber, key: &Key, claims: &[Claim]) -> Result<()>;
    /// All claims of rows of a table that they do not show.
    fn exceptions(&self, table: TableNumber) -> Result<Vec<(Claim, Key)>>;
    /// Says that the rows which claim this and do not show it are to be looked at again; returns how many there are.
    fn doubt(&self, table: TableNumber, claim: Claim) -> Result<u64>;
    /// The same of all such rows of a table.
    fn doubt_all(&self, table: TableNumber) -> Result<u64>;
    /// Rows that are to be looked at again, at most `limit`.
    fn doubted(&self, limit: usize) -> Result<Vec<(TableNumber, Key)>>;
    /// How many claims are not shown.
    fn count_exceptions(&self) -> Result<u64>;
}

/// A row that lost its number: that, its identity, and the key under which it is shown.
pub type LostNumber = (i64, Key, Key);

/// Rows that are shown under another number than they were born with, because that one belongs to another row.
pub trait LostNumbers {
    /// The tables that have any.
    fn tables_with_lost_numbers(&self) -> Result<Vec<TableNumber>>;
    /// The key under which a row is shown that lost its number; `None` if it did not.
    fn derived_place(&self, table: TableNumber, identity: &Key) -> Result<Option<Key>>;
    /// The rows that lost a number: identity and the key under which each is shown.
    fn lost_number(&self, table: TableNumber, number: i64) -> Result<Vec<(Key, Key)>>;
    /// All of a table, by identity from after the one given.
    fn lost_numbers_after(&self, table: TableNumber, after: &Key, limit: usize) -> Result<Vec<LostNumber>>;
    /// Remembers that a row lost its number and is shown under another key, or that it has it back.
    fn set_place(&self, table: TableNumber, number: i64, identity: &Key, place: Option<&Key>) -> Result<()>;
    /// Says that a row goes under another key from now on wherever it is named so: in the log, among what is parked and what is an exception, where `ties`
    /// tell how others that wait for it call it, before and after. Its state is not looked at.
    fn move_row(&self, table: TableNumber, from: &Key, to: &Key, ties: (Claim, Claim)) -> Result<()>;
}

/// Rows that are kept here, each with the filter and the root row that are the reason.
pub trait HeldBack {
    /// Why a row is kept here: filter and root.
    fn held_back(&self, table: TableNumber, key: &Key) -> Result<Option<(String, String)>>;
    /// Remembers why, or that it is not.
    fn hold_back(&self, table: TableNumber, key: &Key, reason: Option<(&str, &str)>) -> Result<()>;
    /// How many rows of a table are kept here, but for those whose filter's name ends so.
    fn count_held_back(&self, table: TableNumber, but_for: Option<&str>) -> Result<u64>;
    /// Whether any row is kept here for this reason.
    fn any_held_back(&self, filter: &str) -> Result<bool>;
    /// Forgets a table's, but for those of one filter, and those whose filter's name ends so.
    fn forget_held_back(&self, table: TableNumber, but_for: &str, nor_for: &str) -> Result<()>;
    /// Filter, root row and how many are kept here because of it.
    fn list_held_back(&self) -> Result<Vec<(String, String, u64)>>;
}

/// The application's rows.
pub trait Rows {
    /// Rows of a snapshot that were made ready.
    type Packed;
    /// Says which rows the transaction is about to read, with their states: what is far away can be fetched at once.
    fn expect(&self, _rows: &[(Arc<Table>, Key)]) -> Result<()> {
        Ok(())
    }
    /// Keeps the application from changing these rows until the transaction ends, where it could: what was read of them before is read anew.
    /// Returns how many of them stand: those that come later are not kept.
    fn lock(&self, _rows: &[(Arc<Table>, Key)]) -> Result<u64> {
        Ok(0)
    }
    /// Keeps the application from changing any row until the transaction ends, where it could.
    fn lock_all(&self, _registry: &Registry) -> Result<()> {
        Ok(())
    }
    /// The row with that key as it stands, columns in the schema's order.
    fn read(&self, table: &Table, key: &[Value]) -> Result<Option<Vec<Value>>>;
    /// The keys of all rows.
    fn keys(&self, table: &Table) -> Result<Vec<Vec<Value>>>;
    /// Visits the keys of all rows, until it is told to break.
    fn each_key(&self, table: &Table, visit: &mut dyn FnMut(Vec<Value>) -> Result<ControlFlow<()>>) -> Result<()>;
    /// Visits every row as it stands.
    fn scan(&self, table: &Table, visit: &mut dyn FnMut(Vec<Value>) -> Result<()>) -> Result<()>;
    /// How many rows it has.
    fn count(&self, table: &Table) -> Result<u64>;
    /// Rows that have these values in these columns, at most `limit`. The table need not be tracked.
    fn rows_where(
        &self,
        table: &TableSchema,
        columns: &[&ColumnName],
        values: &[Value],
        limit: Option<usize>,
    ) -> Result<Vec<Vec<Value>>>;
    /// Rows that hold what a row would hold in a unique index over plain columns, as the index compares them.
    fn holding(&self, table: &TableSchema, index: &UniqueIndex, row: &[Value]) -> Result<Vec<Vec<Value>>> {
        let parts: Vec<usize> = index.parts.iter().flatten().map(|part| part.column).collect();
        let names: Vec<&ColumnName> = parts.iter().map(|column| &table.columns[*column].name).collect();
        let values: Vec<Value> = parts.iter().map(|column| row[*column].clone()).collect();
        self.rows_where(table, &names, &values, None)
    }
    /// The rows whose foreign key, by its position in the schema, names a row that is not here.
    fn dangling(&self, table: &Table, foreign_key: usize) -> Result<Vec<Vec<Value>>>;
    /// Rows that break a constraint between tables which is no foreign key of the schema and which the database leaves to us, each with the
    /// reason.
    fn left_alone(&self, _registry: &Registry, _table: &Table) -> Result<Vec<(Vec<Value>, String)>> {
        Ok(Vec::new())
    }
    /// Deletes those of the rows with these keys that no other row refers to; returns how many.
    fn delete_unneeded(&self, registry: &Registry, table: &Table, keys: &[Vec<Value>]) -> Result<u64>;
    /// Deletes a row; returns whether there was one.
    fn delete(&self, table: &Table, key: &[Value]) -> Result<bool>;
    /// Whether a value can stand in a column, as far as its type goes; one that the database has another form for becomes that.
    fn fits(&self, table: &Table, column: usize, value: &mut Value) -> Result<bool>;
    /// Whether a row keeps what the table asks of each row by itself: CHECK, NOT NULL, types and lengths. Others have no part in it, and nothing is
    /// written.
    fn admits(&self, table: &Table, row: &[Value]) -> Result<bool>;
    /// Brings every row to its new image so that every constraint holds, or leaves it at the old one and says why.
    fn write_rows(&self, registry: &Registry, writes: &mut [RowWrite]) -> Result<Vec<Outcome>>;
    /// Inserts rows of a snapshot. Nearly all foreign keys are whole, so they are not checked one by one but at the load's end.
    fn place_new(&self, table: &Table, rows: &[NewRow]) -> Result<Vec<Placed>>;
    /// Inserts rows of a snapshot that were made ready, and their states, all or none: where any is refused, the transaction is to be begun
    /// anew ([`Error::StartOver`](crate::fault::Error::StartOver)) without what was made ready.
    fn place_packed(&self, table: &Table, packed: &Self::Packed) -> Result<()>;
}

/// The tables that are for people and for the node.
pub trait Records {
    /// All roster entries.
    fn roster_entries(&self) -> Result<Vec<Vec<u8>>>;
    /// Keeps roster entries and what they say.
    fn keep_roster(&self, entries: &[Vec<u8>], nodes: &[NodeRecord], settings: &[(String, String)]) -> Result<()>;
    /// All acknowledgements.
    fn acknowledgements(&self) -> Result<Vec<Vec<u8>>>;
    /// Keeps the newest one of a node.
    fn keep_acknowledgement(&self, node: &NodeId, bytes: &[u8]) -> Result<()>;
    /// Writes a row of `sync_sessions`, and when the peer was last seen.
    fn record_session(&self, session: &SessionRecord) -> Result<()>;
    /// Opens or closes a row of `network_partitions`.
    fn record_partition(&self, partition: &PartitionRecord) -> Result<()>;
    /// Adds to rows of `sync_metrics`.
    fn record_metrics(&self, metrics: &[MetricRecord]) -> Result<()>;
    /// Opens a row of `initial_load_sessions`; returns its number.
    fn begin_load(&self, source: &NodeId, rows: u64, start: &[u8], now: WallTime) -> Result<i64>;
    /// Says how far a load has come.
    fn note_load(&self, id: i64, chunks: u64, rows: u64) -> Result<()>;
    /// Says that a load is whole.
    fn end_load(&self, id: i64, now: WallTime) -> Result<()>;
    /// Whether a load was cut short.
    fn has_unfinished_load(&self) -> Result<bool>;
    /// Forgets all that an unfinished load brought but for the application's rows.
    fn forget_unfinished_load(&self) -> Result<()>;
}
