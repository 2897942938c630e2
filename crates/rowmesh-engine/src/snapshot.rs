//! A consistent copy of a whole node, in chunks: row states with tombstones, the unstable log, the ledger, at one version
//! vector. How chunks travel, and what a load's states mean, is the node's business; loading is `load`'s.

use std::ops::ControlFlow;

use rowmesh_core::changeset::encode_vector;
use rowmesh_core::clock::VersionVector;
use rowmesh_core::encode::{Malformed, Reader, Writer};
use rowmesh_core::ident::{Digest, Origin, Seq};
use rowmesh_core::limits;
use rowmesh_core::store::{SnapshotSource, StoreResult};
use rowmesh_core::value::Value;

use crate::database::{Database, Log, Names, States};
use crate::fault::Result;
use crate::ledger_rows;
use crate::origins::Origins;
use crate::registry::TableNumber;

/// First byte of a snapshot's start.
const VERSION: u8 = 2;

/// What a snapshot is, told before its chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Every origin that its rows name, numbered from 1, with the highest changeset that the rows reflect and that one's hash.
    pub origins: Vec<(Origin, Seq, Digest)>,
    /// What the log part leaves out.
    pub stable: VersionVector,
    /// Tables by their number there, with their columns by number.
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
}

/// A snapshot being read.
pub struct Source<D> {
    reader: D,
    origins: Origins,
    start: Start,
    encoded: Vec<u8>,
    table: usize,
    after: Vec<u8>,
    log_after: i64,
    ledger_after: String,
    stage: Stage,
    chunks: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Log,
    Rows,
    Ledger,
    Done,
}

impl<D: Database> Source<D> {
    /// Reads what the start tells from a session that reads one moment.
    pub fn begin(reader: D, stable: &VersionVector) -> Result<Source<D>> {
        let db = reader.access();
        let origins = Origins::load(&db)?;
        let start = Start {
            origins: origins.all().iter().map(|known| (known.origin, known.seq, known.hash)).collect(),
            // What is no longer in the log here is left out too.
            stable: joined(stable, &origins.floor()),
            tables: tables(&db)?,
            schema: reader.application_schema()?,
            rows: db.count_states()?,
        };
        let encoded = start.encode();
        drop(db);
        Ok(Source {
            reader,
            origins,
            start,
            encoded,
            table: 0,
            after: Vec::new(),
            log_after: 0,
            ledger_after: String::new(),
            stage: Stage::Log,
            chunks: 0,
        })
    }

    fn next(&mut self) -> Result<Option<(Vec<u8>, u64)>> {
        loop {
            let chunk = match self.stage {
                Stage::Log => self.log_chunk()?,
                Stage::Rows => self.row_chunk()?,
                Stage::Ledger => self.ledger_chunk()?,
                Stage::Done => return Ok(None),
            };
            match chunk {
                Some(chunk) => {
                    let bytes = chunk.encode(self.chunks);
                    self.chunks += 1;
                    let rows = if let Chunk::Rows(_, rows) = &chunk { rows.len() as u64 } else { 0 };
                    return Ok(Some((bytes, rows)));
                }
                None => self.stage = self.stage.next(),
            }
        }
    }

    /// The log goes first: rows that stand side by side need their events when they are loaded.
    fn log_chunk(&mut self) -> Result<Option<Chunk>> {
        let (mut changesets, mut bytes, mut last) = (Vec::new(), 0, self.log_after);
        self.reader.access().each_changeset(last + 1, &mut |number, origin, seq, body| {
            last = number;
            if !self.start.stable.covers(&self.origins.dot(origin, seq)?) {
                bytes += body.len();
                changesets.push(body.to_vec());
            }
            let is_full = bytes >= limits::SNAPSHOT_CHUNK_BYTES_TARGET;
            Ok(if is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        self.log_after = last;
        Ok((!changesets.is_empty()).then_some(Chunk::Log(changesets)))
    }

    fn row_chunk(&mut self) -> Result<Option<Chunk>> {
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
                return Ok(Some(Chunk::Rows(number, states)));
            }
            self.table += 1;
            self.after.clear();
        }
        Ok(None)
    }

    fn ledger_chunk(&mut self) -> Result<Option<Chunk>> {
        let entries = ledger_rows::dump(&self.reader.access(), &self.ledger_after, limits::SNAPSHOT_CHUNK_ROWS)?;
        if let Some(Value::Text(id)) = entries.last().and_then(|entry| entry.first()) {
            self.ledger_after = String::from_utf8_lossy(id).into_owned();
        }
        Ok((!entries.is_empty()).then_some(Chunk::Ledger(entries)))
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

impl Chunk {
    fn encode(&self, number: u64) -> Vec<u8> {
        let mut out = Writer::default();
        out.number(number);
        match self {
            Chunk::Rows(table, rows) => {
                out.byte(1);
                out.signed(*table);
                out.number(rows.len() as u64);
                for (key, state) in rows {
                    out.bytes(key);
                    out.bytes(state);
                }
            }
            Chunk::Log(changesets) => {
                out.byte(2);
                out.number(changesets.len() as u64);
                changesets.iter().for_each(|changeset| out.bytes(changeset));
            }
            Chunk::Ledger(entries) => {
                out.byte(3);
                out.number(entries.len() as u64);
                for entry in entries {
                    out.number(entry.len() as u64);
                    entry.iter().for_each(|value| value.encode(&mut out));
                }
            }
        }
        out.0
    }

    /// Reads a chunk, and which one it is, from 0.
    ///
    /// # Errors
    /// If the bytes are anything else.
    pub fn decode(bytes: &[u8]) -> std::result::Result<(u64, Chunk), Malformed> {
        let mut input = Reader::new(bytes);
        let limit = limits::CHANGESET_BYTES_MAX;
        let number = input.number("chunk number")?;
        let chunk = match input.byte("chunk kind")? {
            1 => {
                let table = input.signed("table number")?;
                let count = input.count("rows", limits::SNAPSHOT_CHUNK_ROWS)?;
                let mut row = || Ok((input.bytes("key", limit)?.to_vec(), input.bytes("row state", limit)?.to_vec()));
                Chunk::Rows(table, (0..count).map(|_| row()).collect::<std::result::Result<_, Malformed>>()?)
            }
            2 => {
                let count = input.count("changesets", limits::SNAPSHOT_CHUNK_BYTES_TARGET)?;
                let mut one = || Ok(input.bytes("changeset", limit)?.to_vec());
                Chunk::Log((0..count).map(|_| one()).collect::<std::result::Result<_, Malformed>>()?)
            }
            3 => {
                let count = input.count("entries", limits::SNAPSHOT_CHUNK_ROWS)?;
                Chunk::Ledger((0..count).map(|_| decode_entry(&mut input)).collect::<std::result::Result<_, _>>()?)
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
