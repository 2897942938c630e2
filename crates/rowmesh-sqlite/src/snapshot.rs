//! A consistent copy of a whole node, in chunks: row states with tombstones, the unstable log, the ledger, at one version
//! vector. How chunks travel, and what a load's states mean, is the node's business; loading is `load`'s.

use rowmesh_core::changeset::encode_vector;
use rowmesh_core::clock::VersionVector;
use rowmesh_core::encode::{Malformed, Reader, Writer};
use rowmesh_core::ident::{Digest, Dot, Origin, Seq};
use rowmesh_core::limits;
use rowmesh_core::store::{SnapshotSource, StoreResult};
use rowmesh_core::value::Value;
use rusqlite::{Connection, params};

use crate::fault::{Error, Result};
use crate::ledger_rows;
use crate::origins::Origins;

/// First byte of a snapshot's start.
const VERSION: u8 = 1;

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
pub struct Source {
    connection: Connection,
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

impl Source {
    /// Begins a read transaction on a connection of its own and reads what the start tells.
    pub fn begin(connection: Connection, stable: &VersionVector) -> Result<Source> {
        connection.execute_batch("BEGIN")?;
        let origins = Origins::load(&connection)?;
        let start = Start {
            origins: origins.all().iter().map(|known| (known.origin, known.seq, known.hash)).collect(),
            // What is no longer in the log here is left out too.
            stable: joined(stable, &origins.floor()),
            tables: tables(&connection)?,
            schema: schema(&connection)?,
            rows: connection.query_row("SELECT count(*) FROM rowmesh_row_states", [], |row| row.get::<_, i64>(0))?
                as u64,
        };
        let encoded = start.encode();
        Ok(Source {
            connection,
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
                    self.chunks += 1;
                    let rows = if let Chunk::Rows(_, rows) = &chunk { rows.len() as u64 } else { 0 };
                    return Ok(Some((chunk.encode(), rows)));
                }
                None => self.stage = self.stage.next(),
            }
        }
    }

    /// The log goes first: rows that stand side by side need their events when they are loaded.
    fn log_chunk(&mut self) -> Result<Option<Chunk>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT c.c, o.node, o.incarnation, o.nonce, c.seq, c.body FROM rowmesh_changesets c JOIN rowmesh_origins o ON o.o = c.o
              WHERE c.c > ?1 ORDER BY c.c",
        )?;
        let mut rows = statement.query([self.log_after])?;
        let (mut changesets, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            let origin = Origin {
                node: rowmesh_core::ident::NodeId(row.get(1)?),
                incarnation: rowmesh_core::ident::Incarnation {
                    count: row.get(2)?,
                    nonce: row.get::<_, i64>(3)? as u64,
                },
            };
            let dot = Dot { origin, seq: Seq(row.get::<_, i64>(4)? as u64) };
            self.log_after = row.get(0)?;
            if self.start.stable.covers(&dot) {
                continue;
            }
            let body: Vec<u8> = row.get(5)?;
            bytes += body.len();
            changesets.push(body);
            if bytes >= limits::SNAPSHOT_CHUNK_BYTES_TARGET {
                break;
            }
        }
        Ok((!changesets.is_empty()).then_some(Chunk::Log(changesets)))
    }

    fn row_chunk(&mut self) -> Result<Option<Chunk>> {
        while let Some((number, _, _)) = self.start.tables.get(self.table) {
            let mut statement = self.connection.prepare_cached(
                "SELECT key, state FROM rowmesh_row_states WHERE t = ?1 AND key > ?2 ORDER BY key LIMIT ?3",
            )?;
            let mut rows = statement.query(params![number, self.after, limits::SNAPSHOT_CHUNK_ROWS as i64])?;
            let (mut states, mut bytes) = (Vec::new(), 0);
            while let Some(row) = rows.next()? {
                let (key, state): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?);
                bytes += key.len() + state.len();
                self.after.clone_from(&key);
                states.push((key, state));
                if bytes >= limits::SNAPSHOT_CHUNK_BYTES_TARGET {
                    break;
                }
            }
            if !states.is_empty() {
                return Ok(Some(Chunk::Rows(*number, states)));
            }
            self.table += 1;
            self.after.clear();
        }
        Ok(None)
    }

    fn ledger_chunk(&mut self) -> Result<Option<Chunk>> {
        let entries = ledger_rows::dump(&self.connection, &self.ledger_after, limits::SNAPSHOT_CHUNK_ROWS)?;
        if let Some(Value::Text(id)) = entries.last().and_then(|entry| entry.first()) {
            self.ledger_after = String::from_utf8_lossy(id).into_owned();
        }
        Ok((!entries.is_empty()).then_some(Chunk::Ledger(entries)))
    }
}

impl SnapshotSource for Source {
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
    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
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

    /// Reads a chunk.
    ///
    /// # Errors
    /// If the bytes are anything else.
    pub fn decode(bytes: &[u8]) -> std::result::Result<Chunk, Malformed> {
        let mut input = Reader::new(bytes);
        let limit = limits::CHANGESET_BYTES_MAX;
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
        Ok(chunk)
    }
}

fn decode_entry(input: &mut Reader<'_>) -> std::result::Result<Vec<Value>, Malformed> {
    let count = input.count("entry", ledger_rows::DUMPED_COLUMNS)?;
    (0..count).map(|_| Value::decode(input)).collect()
}

fn joined(a: &VersionVector, b: &VersionVector) -> VersionVector {
    let mut vector = a.clone();
    vector.join(b);
    vector
}

fn tables(connection: &Connection) -> Result<Vec<(i64, String, Vec<String>)>> {
    let mut statement = connection.prepare_cached("SELECT t, name FROM rowmesh_tables ORDER BY t")?;
    let mut rows = statement.query([])?;
    let mut tables = Vec::new();
    while let Some(row) = rows.next()? {
        let number: i64 = row.get(0)?;
        let mut columns = connection.prepare_cached("SELECT name FROM rowmesh_columns WHERE t = ?1 ORDER BY ix")?;
        let columns = columns.query_map([number], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
        tables.push((number, row.get(1)?, columns));
    }
    Ok(tables)
}

/// The application's schema as the database remembers it: tables before what hangs on them, nothing of ours.
fn schema(connection: &Connection) -> Result<Vec<String>> {
    let mut statement = connection.prepare_cached(
        "SELECT sql FROM main.sqlite_schema
          WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite~_%' ESCAPE '~' AND tbl_name NOT LIKE 'rowmesh~_%' ESCAPE '~'
            AND name NOT LIKE 'rowmesh~_%' ESCAPE '~'
            AND name NOT IN (SELECT s.name FROM pragma_table_list s WHERE s.schema = 'main' AND s.type = 'shadow')
          ORDER BY CASE type WHEN 'table' THEN 0 WHEN 'index' THEN 1 WHEN 'view' THEN 2 ELSE 3 END, rowid",
    )?;
    let statements = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>();
    statements.map_err(Error::from)
}
