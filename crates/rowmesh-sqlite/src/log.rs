//! The log: changesets as sealed, and their events one by one with images for people. What is sent, and when, is not decided here.

use std::collections::HashMap;
use std::sync::Arc;

use rowmesh_core::changeset::{Changeset, Claimed, header_of};
use rowmesh_core::clock::{Lamport, VersionVector, WallTime};
use rowmesh_core::event::{Context, Event, Operation};
use rowmesh_core::exchange::{LogBatch, LogPicker, LogRequest, Pick};
use rowmesh_core::ident::{Digest, Dot, Origin, Seq};
use rowmesh_core::ledger::RowEvent;
use rowmesh_core::row_state::OriginTable;
use rowmesh_core::value::{Key, Value, write_json_string};
use rusqlite::{Connection, OptionalExtension, params};

use crate::fault::{Error, Result};
use crate::origins::Origins;
use crate::registry::TableNumber;
use crate::values::read_key;

/// Events of one changeset take consecutive ids from its number times this.
const EVENTS_PER_CHANGESET: i64 = 131_072;
const _: () = assert!(rowmesh_core::limits::CHANGESET_EVENTS_MAX < EVENTS_PER_CHANGESET as usize);

/// Appends a changeset and moves the version vector, in the current transaction. `numbers` gives the table of each event; events without one
/// (out of scope here) are logged in the body only.
pub fn append(
    connection: &Connection,
    origins: &mut Origins,
    changeset: &Changeset,
    rows: &[(TableNumber, Key)],
    now: WallTime,
) -> Result<()> {
    origins.advance(connection, changeset.dot(), changeset.hash())?;
    append_loaded(connection, origins, changeset, rows, now)
}

/// Appends a changeset without moving the version vector: for a load, which moves it once at its end.
pub fn append_loaded(
    connection: &Connection,
    origins: &mut Origins,
    changeset: &Changeset,
    rows: &[(TableNumber, Key)],
    now: WallTime,
) -> Result<()> {
    let header = changeset.header();
    let number = origins.number(&header.dot.origin);
    origins.store_new(connection)?;
    connection
        .prepare_cached(
            "INSERT INTO rowmesh_changesets (o, seq, hash, context, events, sealed_at, taken_at, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            number,
            header.dot.seq.0 as i64,
            changeset.hash().0,
            context_json(&header.context),
            changeset.events().len() as i64,
            header.sealed_at.0 as i64,
            now.0 as i64,
            &changeset.bytes()[..],
        ])?;
    let first = connection.last_insert_rowid() * EVENTS_PER_CHANGESET;
    let mut statement = connection.prepare_cached(
        "INSERT INTO rowmesh_events (id, t, key, op, lamport, checksum, record_key, before_data, after_data)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    let names: Vec<Vec<String>> = changeset.shapes().iter().map(|shape| json_names(&shape.columns)).collect();
    let mut images = Images::default();
    let events = changeset.events().iter().zip(changeset.checksums()).zip(rows).enumerate();
    for (position, ((event, checksum), (table, key))) in events {
        images.draw(&names[usize::from(event.table)], event);
        statement.execute(params![
            first + position as i64,
            table.0,
            key.0,
            event.operation as i64,
            event.lamport.0 as i64,
            checksum.0,
            key.to_display(),
            (event.operation != Operation::Insert).then_some(&images.before),
            (event.operation != Operation::Delete).then_some(&images.after),
        ])?;
    }
    Ok(())
}

/// The hash of a changeset that is in the log.
pub fn hash_of(connection: &Connection, origins: &Origins, dot: &Dot) -> Result<Option<Digest>> {
    let Some(known) = origins.get(&dot.origin) else { return Ok(None) };
    if known.seq == dot.seq {
        return Ok(Some(known.hash));
    }
    let number = number_of(origins, &dot.origin)?;
    let hash = connection
        .prepare_cached("SELECT hash FROM rowmesh_changesets WHERE o = ?1 AND seq = ?2")?
        .query_row(params![number, dot.seq.0 as i64], |row| row.get(0).map(Digest))
        .optional()?;
    Ok(hash)
}

/// What the other side of an exchange lacks. Taking in is in causal order, so is this.
pub fn read(connection: &Connection, origins: &Origins, request: &LogRequest) -> Result<LogBatch> {
    let Some(start) = first_lacked(connection, origins, &request.after)? else { return Ok(LogBatch::default()) };
    let mut picker = LogPicker::new(request.clone());
    let mut batch = LogBatch::default();
    let mut statement =
        connection.prepare_cached("SELECT o, seq, body FROM rowmesh_changesets WHERE c >= ?1 ORDER BY c")?;
    let mut rows = statement.query([start])?;
    while let Some(row) = rows.next()? {
        let origin =
            origins.origin(row.get(0)?).ok_or_else(|| Error::inconsistent("a changeset of an unknown origin"))?;
        let dot = Dot { origin, seq: Seq(row.get::<_, i64>(1)? as u64) };
        if request.after.covers(&dot) {
            continue;
        }
        let body = row.get_ref(2)?.as_blob()?;
        let header = header_of(body).map_err(|source| Error::damaged("a changeset in rowmesh_changesets", source))?;
        match picker.offer(&header, body.len()) {
            Pick::Take => batch.changesets.push(Arc::from(body)),
            Pick::Skip => {}
            Pick::Full => {
                batch.more = true;
                break;
            }
        }
    }
    Ok(batch)
}

/// The changesets among `dots` that are in the log, decoded.
pub fn changeset(connection: &Connection, origins: &Origins, dot: &Dot) -> Result<Option<Changeset>> {
    let number = number_of(origins, &dot.origin)?;
    let body: Option<Vec<u8>> = connection
        .prepare_cached("SELECT body FROM rowmesh_changesets WHERE o = ?1 AND seq = ?2")?
        .query_row(params![number, dot.seq.0 as i64], |row| row.get(0))
        .optional()?;
    body.map(|body| decode(&body)).transpose()
}

/// Numbers in the log of an origin's changesets after `last`, in their order.
pub fn own_after(connection: &Connection, origins: &Origins, origin: &Origin, last: Seq) -> Result<Vec<i64>> {
    let number = number_of(origins, origin)?;
    let mut statement =
        connection.prepare_cached("SELECT c FROM rowmesh_changesets WHERE o = ?1 AND seq > ?2 ORDER BY seq")?;
    let numbers = statement.query_map(params![number, last.0 as i64], |row| row.get(0))?;
    Ok(numbers.collect::<rusqlite::Result<_>>()?)
}

/// The last changeset of an origin that the contexts of others' changesets in the log name.
pub fn named_by_others(connection: &Connection, origins: &Origins, origin: &Origin) -> Result<Seq> {
    let number = number_of(origins, origin)?;
    let mut statement = connection.prepare_cached("SELECT body FROM rowmesh_changesets WHERE o <> ?1")?;
    let mut rows = statement.query([number])?;
    let mut last = Seq(0);
    while let Some(row) = rows.next()? {
        let header = header_of(row.get_ref(0)?.as_blob()?);
        let header = header.map_err(|source| Error::damaged("a changeset in rowmesh_changesets", source))?;
        last = last.max(header.context.vector.get(origin));
    }
    Ok(last)
}

/// The rows of an origin's changesets after `last`, some of them several times.
pub fn own_rows(
    connection: &Connection,
    origins: &Origins,
    origin: &Origin,
    last: Seq,
    mut each: impl FnMut(TableNumber, Key),
) -> Result<()> {
    let number = number_of(origins, origin)?;
    let mut statement = connection.prepare_cached(&format!(
        "SELECT e.t, e.key FROM rowmesh_changesets c
           JOIN rowmesh_events e ON e.id >= c.c * {EVENTS_PER_CHANGESET} AND e.id < (c.c + 1) * {EVENTS_PER_CHANGESET}
          WHERE c.o = ?1 AND c.seq > ?2"
    ))?;
    let mut rows = statement.query(params![number, last.0 as i64])?;
    while let Some(row) = rows.next()? {
        each(TableNumber(row.get(0)?), read_key(row, 1)?);
    }
    Ok(())
}

/// The highest timestamp of an origin's changesets after `after`, up to and with `until`; `None` if the log holds none of them.
pub fn lamport_between(
    connection: &Connection,
    origins: &Origins,
    origin: &Origin,
    after: Seq,
    until: Seq,
) -> Result<Option<Lamport>> {
    let number = number_of(origins, origin)?;
    let mut statement = connection.prepare_cached(&format!(
        "SELECT max(e.lamport) FROM rowmesh_changesets c
           JOIN rowmesh_events e ON e.id >= c.c * {EVENTS_PER_CHANGESET} AND e.id < (c.c + 1) * {EVENTS_PER_CHANGESET}
          WHERE c.o = ?1 AND c.seq > ?2 AND c.seq <= ?3"
    ))?;
    let highest: Option<i64> =
        statement.query_row(params![number, after.0 as i64, until.0 as i64], |row| row.get(0))?;
    Ok(highest.map(|lamport| Lamport(lamport as u64)))
}

/// The changeset with a number in the log.
pub fn numbered(connection: &Connection, number: i64) -> Result<Changeset> {
    let mut statement = connection.prepare_cached("SELECT body FROM rowmesh_changesets WHERE c = ?1")?;
    let body: Vec<u8> = statement.query_row([number], |row| row.get(0))?;
    decode(&body)
}

/// Puts a changeset with the same events under other names in the place of one.
pub fn replace(connection: &Connection, origins: &mut Origins, number: i64, changeset: &Changeset) -> Result<()> {
    let header = changeset.header();
    let origin = origins.number(&header.dot.origin);
    origins.store_new(connection)?;
    connection
        .prepare_cached(
            "UPDATE rowmesh_changesets SET o = ?2, seq = ?3, hash = ?4, context = ?5, sealed_at = ?6, body = ?7 WHERE c = ?1",
        )?
        .execute(params![
            number,
            origin,
            header.dot.seq.0 as i64,
            changeset.hash().0,
            context_json(&header.context),
            header.sealed_at.0 as i64,
            &changeset.bytes()[..],
        ])?;
    let mut statement =
        connection.prepare_cached("UPDATE rowmesh_events SET lamport = ?2, checksum = ?3 WHERE id = ?1")?;
    for (position, (event, checksum)) in changeset.events().iter().zip(changeset.checksums()).enumerate() {
        let id = number * EVENTS_PER_CHANGESET + position as i64;
        statement.execute(params![id, event.lamport.0 as i64, checksum.0])?;
    }
    Ok(())
}

/// Changesets of the log that were decoded lately: rows that are fought over are looked at again and again.
#[derive(Default)]
pub struct Decoded {
    known: HashMap<i64, Arc<Changeset>>,
    bytes: usize,
}

/// Bytes of encoded changesets that are kept decoded.
const DECODED_BYTES_MAX: usize = 8 << 20;

impl Decoded {
    /// Forgets all: after a rollback numbers of changesets are given again.
    pub fn clear(&mut self) {
        *self = Decoded::default();
    }

    fn get(&mut self, connection: &Connection, number: i64) -> Result<Arc<Changeset>> {
        if let Some(known) = self.known.get(&number) {
            return Ok(known.clone());
        }
        let changeset = Arc::new(numbered(connection, number)?);
        let bytes = changeset.bytes().len();
        if self.bytes + bytes > DECODED_BYTES_MAX {
            self.clear();
        }
        self.bytes += bytes;
        self.known.insert(number, changeset.clone());
        Ok(changeset)
    }

    fn event(&mut self, connection: &Connection, id: i64) -> Result<Logged> {
        let changeset = self.get(connection, id / EVENTS_PER_CHANGESET)?;
        let position = (id % EVENTS_PER_CHANGESET) as usize;
        let is_there = position < changeset.events().len();
        if is_there {
            Ok(Logged(changeset, position))
        } else {
            Err(Error::inconsistent("an event that its changeset lacks"))
        }
    }
}

/// One event of a changeset of the log.
struct Logged(Arc<Changeset>, usize);

impl Logged {
    fn event(&self) -> &Event {
        &self.0.events()[self.1]
    }
}

/// Every event of one row that the log holds.
pub fn events_of_row(
    connection: &Connection,
    decoded: &mut Decoded,
    table: TableNumber,
    key: &Key,
) -> Result<Vec<RowEvent>> {
    let mut statement =
        connection.prepare_cached("SELECT id FROM rowmesh_events WHERE t = ?1 AND key = ?2 ORDER BY id")?;
    let mut rows = statement.query(params![table.0, key.0])?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        let logged = decoded.event(connection, row.get(0)?)?;
        events.push(row_event(&logged.0, logged.event()));
    }
    Ok(events)
}

/// The events of a row that an event in the log has not seen and that have not seen it; itself left out.
pub fn events_unseen(
    connection: &Connection,
    origins: &Origins,
    decoded: &mut Decoded,
    table: TableNumber,
    key: &Key,
    event: &RowEvent,
) -> Result<Vec<RowEvent>> {
    // What it has seen came before the first changeset that it lacks, but for what it names as parked.
    let names_parked = event.context.parked.iter().any(|id| id.key == *key);
    let start = if names_parked { Some(0) } else { first_lacked(connection, origins, &event.context.vector)? };
    let Some(start) = start else { return Ok(Vec::new()) };
    let mut statement = connection
        .prepare_cached("SELECT id FROM rowmesh_events WHERE t = ?1 AND key = ?2 AND id >= ?3 ORDER BY id")?;
    let mut rows = statement.query(params![table.0, key.0, start * EVENTS_PER_CHANGESET])?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        let other = decoded.event(connection, row.get(0)?)?;
        let name = &other.0.shape(other.event()).name;
        let is_seen = |by: &Context, dot: &Dot| by.sees(dot, name, key);
        let dot = other.0.dot();
        let apart = !is_seen(&event.context, &dot) && !is_seen(&other.0.header().context, &event.stamp.dot);
        if dot != event.stamp.dot && apart {
            events.push(row_event(&other.0, other.event()));
        }
    }
    Ok(events)
}

/// An event with what judging it needs.
pub fn row_event(changeset: &Changeset, event: &Event) -> RowEvent {
    let header = changeset.header();
    RowEvent::new(event, header.dot, &header.context, header.epoch, &changeset.shape(event).columns)
}

fn number_of(origins: &Origins, origin: &Origin) -> Result<u32> {
    let position = origins.all().iter().position(|known| known.origin == *origin);
    position.map(|position| position as u32 + 1).ok_or_else(|| Error::inconsistent("a changeset of an unknown origin"))
}

fn first_lacked(connection: &Connection, origins: &Origins, lacking: &VersionVector) -> Result<Option<i64>> {
    let mut first: Option<i64> = None;
    for (position, known) in origins.all().iter().enumerate() {
        let had = lacking.get(&known.origin);
        if had >= known.seq {
            continue;
        }
        let next: Option<i64> = connection
            .prepare_cached("SELECT c FROM rowmesh_changesets WHERE o = ?1 AND seq > ?2 ORDER BY seq LIMIT 1")?
            .query_row(params![position as i64 + 1, had.0 as i64], |row| row.get(0))
            .optional()?;
        first = match (first, next) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
    Ok(first)
}

fn decode(body: &[u8]) -> Result<Changeset> {
    let claimed =
        Claimed::decode(body).map_err(|source| Error::damaged("a changeset in rowmesh_changesets", source))?;
    Ok(claimed.trust_own_log())
}

/// A row before and after an event, as JSON for people. The room is used again for the next event.
#[derive(Default)]
struct Images {
    before: String,
    after: String,
}

impl Images {
    /// `names` are the columns as JSON has them. What an update left alone is written once and copied.
    fn draw(&mut self, names: &[String], event: &Event) {
        self.before.clear();
        self.after.clear();
        let mut written = event.written.iter().peekable();
        for (column, name) in names.iter().enumerate() {
            let start = self.before.len();
            if let Some(value) = event.before.get(column) {
                write_field(&mut self.before, name, value);
            }
            match written.next_if(|(position, _)| usize::from(*position) == column) {
                Some((_, value)) => write_field(&mut self.after, name, value),
                None => self.after.push_str(&self.before[start..]),
            }
        }
        self.before.push('}');
        self.after.push('}');
    }
}

/// Names as JSON strings.
fn json_names(names: &[Arc<str>]) -> Vec<String> {
    let json = |name: &Arc<str>| {
        let mut out = String::with_capacity(name.len() + 2);
        write_json_string(&mut out, name);
        out
    };
    names.iter().map(json).collect()
}

/// Appends one field of an object, which begins with its first field.
fn write_field(out: &mut String, name: &str, value: &Value) {
    out.push(if out.is_empty() { '{' } else { ',' });
    out.push_str(name);
    out.push(':');
    value.write_json(out);
}

fn context_json(context: &Context) -> String {
    let entries: Vec<String> = (context.vector.dots())
        .map(|dot| format!("\"{}.{}\":{}", dot.origin.node, dot.origin.incarnation.count, dot.seq))
        .collect();
    format!("{{{}}}", entries.join(","))
}
