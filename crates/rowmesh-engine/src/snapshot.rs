//! A consistent copy of a whole node, in chunks: row states with tombstones, the unstable log, the ledger, at one version
//! vector. How chunks travel, and what a load's states mean, is the node's business; loading is `load`'s.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use rowmesh_core::changeset::encode_vector;
use rowmesh_core::clock::VersionVector;
use rowmesh_core::encode::{Malformed, Reader, Writer};
use rowmesh_core::ident::{Digest, Dot, Origin, Seq};
use rowmesh_core::limits;
use rowmesh_core::store::{SnapshotSource, StoreResult};
use rowmesh_core::value::{Key, Value};

use crate::database::{Access, Database, Log, LostNumber, LostNumbers, Names, Piece, Pieces, States};
use crate::fault::Result;
use crate::ledger_rows;
use crate::origins::Origins;
use crate::registry::TableNumber;
use crate::row_states;

/// First byte of a snapshot's start.
const VERSION: u8 = 3;

/// Kinds of chunks.
const ROWS: u8 = 1;
const LOG: u8 = 2;
const LEDGER: u8 = 3;
const LOST_NUMBERS: u8 = 4;

/// What a snapshot is, told before its chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Every origin that its rows name, numbered from 1, with the highest changeset that the rows reflect and that one's hash.
    pub origins: Vec<(Origin, Seq, Digest)>,
    /// What the log part leaves out.
    pub stable: VersionVector,
    /// Tables by their number there, with their columns by number, in the order in which their rows come: parents first, as far as there is such an
    /// order.
    pub tables: Vec<(i64, String, Vec<String>)>,
    /// Statements that make the application's schema, for a database that has none.
    pub schema: Vec<String>,
    /// Row states in it.
    pub rows: u64,
}

/// What a chunk holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chunk {
    /// Row states of one table: key and state.
    Rows(i64, Vec<(Vec<u8>, Vec<u8>)>),
    /// Changesets of the log, in the order of taking in.
    Log(Vec<Vec<u8>>),
    /// Entries of the ledger, each as the values of its row.
    Ledger(Vec<Vec<Value>>),
    /// Rows of one table that are shown under other numbers than their own.
    LostNumbers(i64, Vec<LostNumber>),
}

/// A snapshot being read.
pub struct Source<D> {
    reader: D,
    origins: Origins,
    start: Start,
    encoded: Vec<u8>,
    pieces: Option<Box<dyn Pieces>>,
    table: usize,
    after: Vec<u8>,
    log_after: i64,
    ledger_after: String,
    /// Deletes that tell what their nodes had seen of rows which refer to what they deleted: they go along though they are stable.
    deletes: BTreeSet<Dot>,
    stage: Stage,
    chunks: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    LostNumbers,
    Log,
    Rows,
    Ledger,
    Done,
}

impl<D: Database> Source<D> {
    /// Reads what the start tells from a session that reads one moment. Tables come in the order of their ranks, those that nobody ranks last.
    pub fn begin(reader: D, stable: &VersionVector, rank: impl Fn(TableNumber) -> Option<usize>) -> Result<Source<D>> {
        let db = reader.access();
        let origins = Origins::load(&db)?;
        let mut tables = tables(&db)?;
        tables.sort_by_key(|(number, ..)| (rank(TableNumber(*number)).unwrap_or(usize::MAX), *number));
        let start = Start {
            origins: origins.all().iter().map(|known| (known.origin, known.seq, known.hash)).collect(),
            // What is no longer in the log here is left out too.
            stable: joined(stable, &origins.floor()),
            tables,
            schema: reader.application_schema()?,
            rows: db.count_states()?,
        };
        let encoded = start.encode();
        let deletes = deletes_of_exceptions(&db, &origins, &start.tables)?;
        drop(db);
        Ok(Source {
            reader,
            origins,
            start,
            encoded,
            pieces: None,
            table: 0,
            after: Vec::new(),
            log_after: 0,
            ledger_after: String::new(),
            deletes,
            stage: Stage::LostNumbers,
            chunks: 0,
        })
    }

    fn next(&mut self) -> Result<Option<(Vec<u8>, u64)>> {
        loop {
            let number = self.chunks;
            let chunk = match self.stage {
                Stage::LostNumbers => {
                    self.lost_numbers()?.map(|(table, lost)| (encode_lost_numbers(number, table, &lost), 0))
                }
                Stage::Log => self.log_changesets()?.map(|changesets| (encode_log(number, &changesets), 0)),
                Stage::Rows => self.piece()?.map(|piece| (encode_rows(number, &piece), piece.rows)),
                Stage::Ledger => self.ledger_entries()?.map(|entries| (encode_ledger(number, &entries), 0)),
                Stage::Done => return Ok(None),
            };
            if chunk.is_some() {
                self.chunks += 1;
                return Ok(chunk);
            }
            self.stage = self.stage.next();
            (self.table, self.after) = (0, Vec::new());
            if self.stage == Stage::Rows {
                let tables: Vec<TableNumber> =
                    self.start.tables.iter().map(|(number, ..)| TableNumber(*number)).collect();
                self.pieces = self.reader.pieces(&tables)?;
            }
        }
    }

    /// Which rows are shown under other numbers goes before everything that names rows.
    fn lost_numbers(&mut self) -> Result<Option<(i64, Vec<LostNumber>)>> {
        while let Some((number, ..)) = self.start.tables.get(self.table) {
            let number = *number;
            let after = Key(self.after.clone());
            let db = self.reader.access();
            let lost = db.lost_numbers_after(TableNumber(number), &after, limits::SNAPSHOT_CHUNK_ROWS)?;
            if let Some((_, last, _)) = lost.last() {
                self.after.clone_from(&last.0);
                return Ok(Some((number, lost)));
            }
            self.table += 1;
            self.after.clear();
        }
        Ok(None)
    }

    /// The log goes before the rows: those that stand side by side need their events when they are loaded.
    fn log_changesets(&mut self) -> Result<Option<Vec<Vec<u8>>>> {
        let (mut changesets, mut bytes, mut last) = (Vec::new(), 0, self.log_after);
        self.reader.access().each_changeset(last + 1, &mut |number, origin, seq, body| {
            last = number;
            let dot = self.origins.dot(origin, seq)?;
            if !self.start.stable.covers(&dot) || self.deletes.contains(&dot) {
                bytes += body.len();
                changesets.push(body.to_vec());
            }
            let is_full = bytes >= limits::SNAPSHOT_CHUNK_BYTES_TARGET;
            Ok(if is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        self.log_after = last;
        Ok((!changesets.is_empty()).then_some(changesets))
    }

    fn piece(&mut self) -> Result<Option<Piece>> {
        if let Some(pieces) = &mut self.pieces {
            return pieces.next();
        }
        while let Some((number, _, _)) = self.start.tables.get(self.table) {
            let number = *number;
            let states = self.reader.access().states_after(
                TableNumber(number),
                &self.after,
                limits::SNAPSHOT_CHUNK_ROWS,
                limits::SNAPSHOT_CHUNK_BYTES_TARGET,
            )?;
            if let Some((last, _)) = states.last() {
                self.after.clone_from(last);
            }
            if !states.is_empty() {
                let mut piece = Piece::new(TableNumber(number));
                states.iter().for_each(|(key, state)| piece.push(key, state));
                return Ok(Some(piece));
            }
            self.table += 1;
            self.after.clear();
        }
        Ok(None)
    }

    fn ledger_entries(&mut self) -> Result<Option<Vec<Vec<Value>>>> {
        let entries = ledger_rows::dump(&self.reader.access(), &self.ledger_after, limits::SNAPSHOT_CHUNK_ROWS)?;
        if let Some(Value::Text(id)) = entries.last().and_then(|entry| entry.first()) {
            self.ledger_after = String::from_utf8_lossy(id).into_owned();
        }
        Ok((!entries.is_empty()).then_some(entries))
    }
}

impl<D: Database> SnapshotSource for Source<D> {
    fn start(&self) -> Vec<u8> {
        self.encoded.clone()
    }

    fn rows(&self) -> u64 {
        self.start.rows
    }

    fn next_chunk(&mut self) -> StoreResult<Option<(Vec<u8>, u64)>> {
        Ok(self.next()?)
    }

    fn end(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.number(self.chunks);
        out.raw(&Digest::of(&self.encoded).0);
        out.0
    }
}

impl Stage {
    fn next(self) -> Stage {
        match self {
            Stage::LostNumbers => Stage::Log,
            Stage::Log => Stage::Rows,
            Stage::Rows => Stage::Ledger,
            Stage::Ledger | Stage::Done => Stage::Done,
        }
    }
}

/// Reads what [`SnapshotSource::end`] says: how many chunks there were, and the hash of the start that they belong to.
pub fn decode_end(bytes: &[u8]) -> std::result::Result<(u64, Digest), Malformed> {
    let mut input = Reader::new(bytes);
    let end = (input.number("chunks")?, input.digest("start")?);
    input.end("snapshot end").map(|()| end)
}

impl Start {
    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.byte(VERSION);
        out.number(self.origins.len() as u64);
        for (origin, seq, hash) in &self.origins {
            out.origin(origin);
            out.number(seq.0);
            out.raw(&hash.0);
        }
        encode_vector(&mut out, &self.stable);
        out.number(self.tables.len() as u64);
        for (number, name, columns) in &self.tables {
            out.signed(*number);
            out.bytes(name.as_bytes());
            out.number(columns.len() as u64);
            columns.iter().for_each(|column| out.bytes(column.as_bytes()));
        }
        out.number(self.schema.len() as u64);
        self.schema.iter().for_each(|statement| out.bytes(statement.as_bytes()));
        out.number(self.rows);
        out.0
    }

    /// Reads a start.
    ///
    /// # Errors
    /// If the bytes are anything else.
    pub fn decode(bytes: &[u8]) -> std::result::Result<Start, Malformed> {
        let mut input = Reader::new(bytes);
        if input.byte("snapshot version")? != VERSION {
            return Err(Malformed::Invalid("snapshot version"));
        }
        let count = input.count("origins", limits::ORIGINS_MAX)?;
        let origins = (0..count)
            .map(|_| Ok((input.origin("origin")?, input.seq("seq")?, input.digest("hash")?)))
            .collect::<std::result::Result<_, Malformed>>()?;
        let stable = rowmesh_core::changeset::decode_vector(&mut input)?;
        let count = input.count("tables", limits::TABLES_PER_CHANGESET_MAX)?;
        let tables = (0..count).map(|_| decode_table(&mut input)).collect::<std::result::Result<_, _>>()?;
        let count = input.count("schema statements", limits::TABLES_PER_CHANGESET_MAX * 8)?;
        let schema = (0..count)
            .map(|_| {
                let bytes = input.bytes("schema statement", limits::MESSAGE_BYTES_MAX)?;
                String::from_utf8(bytes.to_vec()).map_err(|_| Malformed::Invalid("schema statement"))
            })
            .collect::<std::result::Result<_, _>>()?;
        let rows = input.bounded("rows", limits::NUMBER_MAX)?;
        input.end("snapshot start")?;
        Ok(Start { origins, stable, tables, schema, rows })
    }
}

fn decode_table(input: &mut Reader<'_>) -> std::result::Result<(i64, String, Vec<String>), Malformed> {
    let number = input.signed("table number")?;
    let name = input.name("table name")?.to_owned();
    let count = input.count("columns", limits::COLUMNS_MAX)?;
    let columns =
        (0..count).map(|_| Ok(input.name("column name")?.to_owned())).collect::<std::result::Result<_, Malformed>>()?;
    Ok((number, name, columns))
}

fn encode_rows(number: u64, piece: &Piece) -> Vec<u8> {
    let mut out = beginning(number, ROWS);
    out.0.reserve(piece.bytes.0.len() + 32);
    out.signed(piece.table.0);
    out.number(piece.rows);
    out.raw(&piece.bytes.0);
    out.0
}

fn encode_log(number: u64, changesets: &[Vec<u8>]) -> Vec<u8> {
    let mut out = beginning(number, LOG);
    out.number(changesets.len() as u64);
    changesets.iter().for_each(|changeset| out.bytes(changeset));
    out.0
}

fn encode_ledger(number: u64, entries: &[Vec<Value>]) -> Vec<u8> {
    let mut out = beginning(number, LEDGER);
    out.number(entries.len() as u64);
    for entry in entries {
        out.number(entry.len() as u64);
        entry.iter().for_each(|value| value.encode(&mut out));
    }
    out.0
}

fn encode_lost_numbers(number: u64, table: i64, lost: &[LostNumber]) -> Vec<u8> {
    let mut out = beginning(number, LOST_NUMBERS);
    out.signed(table);
    out.number(lost.len() as u64);
    for (number, identity, place) in lost {
        out.signed(*number);
        out.bytes(&identity.0);
        out.bytes(&place.0);
    }
    out.0
}

/// What a chunk begins with: which one it is, from 0, and its kind.
fn beginning(number: u64, kind: u8) -> Writer {
    let mut out = Writer::default();
    out.number(number);
    out.byte(kind);
    out
}

/// Visits the rows of a chunk without taking more memory than it has; says which chunk it is, of which table, and how many rows it holds. `None`
/// if it holds no rows.
///
/// # Errors
/// If the bytes are no chunk, or `each` errs.
pub fn each_row(
    bytes: &[u8],
    mut each: impl FnMut(i64, &[u8], &[u8]) -> std::result::Result<(), Malformed>,
) -> std::result::Result<Option<(u64, i64, u64)>, Malformed> {
    let mut input = Reader::new(bytes);
    let number = input.number("chunk number")?;
    if input.byte("chunk kind")? != ROWS {
        return Ok(None);
    }
    let table = input.signed("table number")?;
    let count = input.count("rows", limits::SNAPSHOT_CHUNK_ROWS)?;
    let limit = limits::CHANGESET_BYTES_MAX;
    for _ in 0..count {
        each(table, input.bytes("key", limit)?, input.bytes("row state", limit)?)?;
    }
    input.end("chunk")?;
    Ok(Some((number, table, count as u64)))
}

impl Chunk {
    /// Reads a chunk, and which one it is, from 0.
    ///
    /// # Errors
    /// If the bytes are anything else.
    pub fn decode(bytes: &[u8]) -> std::result::Result<(u64, Chunk), Malformed> {
        let mut input = Reader::new(bytes);
        let limit = limits::CHANGESET_BYTES_MAX;
        let number = input.number("chunk number")?;
        let chunk = match input.byte("chunk kind")? {
            ROWS => {
                let table = input.signed("table number")?;
                let count = input.count("rows", limits::SNAPSHOT_CHUNK_ROWS)?;
                let mut row = || Ok((input.bytes("key", limit)?.to_vec(), input.bytes("row state", limit)?.to_vec()));
                Chunk::Rows(table, (0..count).map(|_| row()).collect::<std::result::Result<_, Malformed>>()?)
            }
            LOG => {
                let count = input.count("changesets", limits::SNAPSHOT_CHUNK_BYTES_TARGET)?;
                let mut one = || Ok(input.bytes("changeset", limit)?.to_vec());
                Chunk::Log((0..count).map(|_| one()).collect::<std::result::Result<_, Malformed>>()?)
            }
            LEDGER => {
                let count = input.count("entries", limits::SNAPSHOT_CHUNK_ROWS)?;
                Chunk::Ledger((0..count).map(|_| decode_entry(&mut input)).collect::<std::result::Result<_, _>>()?)
            }
            LOST_NUMBERS => {
                let table = input.signed("table number")?;
                let count = input.count("lost numbers", limits::SNAPSHOT_CHUNK_ROWS)?;
                let limit = limits::KEY_BYTES_MAX;
                let key = |input: &mut Reader<'_>| Ok(Key(input.bytes("key", limit)?.to_vec()));
                let mut one = || Ok((input.signed("number")?, key(&mut input)?, key(&mut input)?));
                Chunk::LostNumbers(table, (0..count).map(|_| one()).collect::<std::result::Result<_, Malformed>>()?)
            }
            _ => return Err(Malformed::Invalid("chunk kind")),
        };
        input.end("chunk")?;
        Ok((number, chunk))
    }
}

fn decode_entry(input: &mut Reader<'_>) -> std::result::Result<Vec<Value>, Malformed> {
    let count = input.count("entry", ledger_rows::DUMPED_VALUES)?;
    (0..count).map(|_| Value::decode(input)).collect()
}

fn joined(a: &VersionVector, b: &VersionVector) -> VersionVector {
    let mut vector = a.clone();
    vector.join(b);
    vector
}

/// The deletes of rows that others need or wait for.
fn deletes_of_exceptions(
    db: &impl Access,
    origins: &Origins,
    tables: &[(i64, String, Vec<String>)],
) -> Result<BTreeSet<Dot>> {
    let mut deletes = BTreeSet::new();
    for (number, ..) in tables {
        let table = TableNumber(*number);
        for (_, key) in db.exceptions(table)? {
            let state = row_states::load(db, origins, table, &key)?;
            deletes.extend(state.deletes.iter().map(|delete| delete.dot));
        }
    }
    Ok(deletes)
}

fn tables(db: &impl Names) -> Result<Vec<(i64, String, Vec<String>)>> {
    let mut columns = db.column_names()?.into_iter().peekable();
    let mut tables = Vec::new();
    let mut names = db.table_names()?;
    names.sort();
    for (number, name) in names {
        let mut of_table = Vec::new();
        while let Some((_, column)) = columns.next_if(|(table, _)| *table == number) {
            of_table.push(column.to_string());
        }
        tables.push((number.0, name.to_string(), of_table));
    }
    Ok(tables)
}
