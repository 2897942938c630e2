//! The log: changesets as sealed, and their events one by one with images for people. What is sent, and when, is not decided here; how they
//! lie in the database is not either.

use std::ops::ControlFlow;
use std::sync::Arc;

use rowmesh_core::changeset::{Changeset, Claimed, Header, header_of};
use rowmesh_core::clock::{Lamport, VersionVector, WallTime};
use rowmesh_core::event::{Context, Event, Operation};
use rowmesh_core::exchange::{LogBatch, LogPicker, LogRequest, Pick};
use rowmesh_core::ident::{Digest, Dot, Origin, Seq};
use rowmesh_core::ledger::RowEvent;
use rowmesh_core::row_state::OriginTable;
use rowmesh_core::store::{EventQuery, EventView};
use rowmesh_core::value::{Key, Value, write_json_string};

use crate::database::{Access, EventRow, Log, LogEntry};
use crate::decoded::Decoded;
use crate::fault::{Error, Result};
use crate::origins::Origins;
use crate::registry::TableNumber;

/// Events of one changeset take consecutive ids from its number times this.
pub const EVENTS_PER_CHANGESET: i64 = 131_072;
const _: () = assert!(rowmesh_core::limits::CHANGESET_EVENTS_MAX < EVENTS_PER_CHANGESET as usize);

/// Appends a changeset and moves the version vector, in the current transaction. `rows` gives table and key of each event; what is not taken in
/// here is logged all the same.
pub fn append(
    db: &impl Access,
    origins: &mut Origins,
    changeset: &Changeset,
    rows: &[(TableNumber, Key)],
    now: WallTime,
) -> Result<()> {
    origins.advance(db, changeset.dot(), changeset.hash())?;
    append_loaded(db, origins, changeset, rows, now)
}

/// Appends a changeset without moving the version vector: for a load, which moves it once at its end.
pub fn append_loaded(
    db: &impl Access,
    origins: &mut Origins,
    changeset: &Changeset,
    rows: &[(TableNumber, Key)],
    now: WallTime,
) -> Result<()> {
    let origin = origins.number(&changeset.dot().origin);
    origins.store_new(db)?;
    let context = context_json(&changeset.header().context);
    let number = db.append_changeset(&LogEntry { origin, changeset, context, taken_at: now })?;
    let names: Vec<Vec<String>> = changeset.shapes().iter().map(|shape| json_names(&shape.columns)).collect();
    let mut images = Images::default();
    let events = changeset.events().iter().zip(changeset.checksums()).zip(rows).enumerate();
    for (position, ((event, checksum), (table, key))) in events {
        images.draw(&names[usize::from(event.table)], event);
        db.append_event(&EventRow {
            id: id_of(number, position),
            table: *table,
            key,
            operation: event.operation,
            lamport: event.lamport,
            checksum: *checksum,
            before: (event.operation != Operation::Insert).then_some(&images.before),
            after: (event.operation != Operation::Delete).then_some(&images.after),
        })?;
    }
    Ok(())
}

/// The hash of a changeset that is in the log.
pub fn hash_of(db: &impl Log, origins: &Origins, dot: &Dot) -> Result<Option<Digest>> {
    let Some(known) = origins.get(&dot.origin) else { return Ok(None) };
    if known.seq == dot.seq {
        return Ok(Some(known.hash));
    }
    db.changeset_hash(origins.known_number(&dot.origin)?, dot.seq)
}

/// What the other side of an exchange lacks. Taking in is in causal order, so is this.
pub fn read(db: &impl Log, origins: &Origins, request: &LogRequest) -> Result<LogBatch> {
    let Some(start) = first_lacked(db, origins, &request.after)? else { return Ok(LogBatch::default()) };
    let mut picker = LogPicker::new(request.clone());
    let mut batch = LogBatch::default();
    db.each_changeset(start, &mut |_, origin, seq, body| {
        if request.after.covers(&origins.dot(origin, seq)?) {
            return Ok(ControlFlow::Continue(()));
        }
        match picker.offer(&header(body)?, body.len()) {
            Pick::Take => batch.changesets.push(Arc::from(body)),
            Pick::Skip => {}
            Pick::Full => {
                batch.more = true;
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(batch)
}

/// A changeset that is in the log, decoded.
pub fn changeset(db: &impl Log, origins: &Origins, dot: &Dot) -> Result<Option<Changeset>> {
    let body = db.changeset_body(origins.known_number(&dot.origin)?, dot.seq)?;
    body.map(|body| decode(&body)).transpose()
}

/// Numbers in the log of an origin's changesets after `last`, in their order.
pub fn own_after(db: &impl Log, origins: &Origins, origin: &Origin, last: Seq) -> Result<Vec<i64>> {
    db.numbers_after(origins.known_number(origin)?, last, usize::MAX)
}

/// The last changeset of an origin that the contexts of others' changesets in the log name.
pub fn named_by_others(db: &impl Log, origins: &Origins, origin: &Origin) -> Result<Seq> {
    let number = origins.known_number(origin)?;
    let mut last = Seq(0);
    db.each_changeset(0, &mut |_, other, _, body| {
        if other != number {
            last = last.max(header(body)?.context.vector.get(origin));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(last)
}

/// The rows of an origin's changesets after `last`, some of them several times.
pub fn own_rows(
    db: &impl Log,
    origins: &Origins,
    origin: &Origin,
    last: Seq,
    mut each: impl FnMut(TableNumber, Key),
) -> Result<()> {
    for number in own_after(db, origins, origin, last)? {
        for (table, key) in db.rows_of_events(ids_of(number))? {
            each(table, key);
        }
    }
    Ok(())
}

/// The highest timestamp of an origin's changesets after `after`, up to and with `until`; `None` if the log holds none of them.
pub fn lamport_between(
    db: &impl Log,
    origins: &Origins,
    origin: &Origin,
    after: Seq,
    until: Seq,
) -> Result<Option<Lamport>> {
    let number = origins.known_number(origin)?;
    let count = usize::try_from(until.0.saturating_sub(after.0)).unwrap_or(usize::MAX);
    let mut highest = None;
    for number in db.numbers_after(number, after, count)? {
        highest = highest.max(db.lamport_of_events(ids_of(number))?);
    }
    Ok(highest)
}

/// The changeset with a number in the log.
pub fn numbered(db: &impl Log, number: i64) -> Result<Changeset> {
    decode(&db.numbered_body(number)?)
}

/// Puts a changeset with the same events under other names in the place of one.
pub fn replace(db: &impl Access, origins: &mut Origins, number: i64, changeset: &Changeset) -> Result<()> {
    let origin = origins.number(&changeset.dot().origin);
    origins.store_new(db)?;
    let context = context_json(&changeset.header().context);
    db.replace_changeset(number, &LogEntry { origin, changeset, context, taken_at: WallTime::default() })?;
    for (position, (event, checksum)) in changeset.events().iter().zip(changeset.checksums()).enumerate() {
        db.restamp_event(id_of(number, position), event.lamport, *checksum)?;
    }
    Ok(())
}

/// Events for people, newest first.
pub fn list(db: &impl Log, origins: &Origins, query: &EventQuery) -> Result<Vec<EventView>> {
    let view = |line: crate::database::EventLine| {
        Ok(EventView {
            id: line.id as u64,
            dot: origins.dot(line.dot.0, line.dot.1)?,
            table: line.table,
            key: line.key,
            operation: line.operation,
            before: line.before,
            after: line.after,
            lamport: line.lamport,
            state: line.state,
            taken_at: line.taken_at,
        })
    };
    db.list_events(query)?.into_iter().map(view).collect()
}

/// Every event of one row that the log holds.
pub fn events_of_row(
    db: &impl Log,
    decoded: &mut Decoded,
    table: TableNumber,
    key: &Key,
) -> Result<Vec<Arc<RowEvent>>> {
    db.event_ids(table, key, 0)?.into_iter().map(|id| decoded.event(db, id)).collect()
}

/// What a changeset did to a row, if the log holds it.
pub fn event_of(
    db: &impl Log,
    origins: &Origins,
    decoded: &mut Decoded,
    table: TableNumber,
    key: &Key,
    dot: &Dot,
) -> Result<Option<Arc<RowEvent>>> {
    let origin = origins.known_number(&dot.origin)?;
    let numbers = db.numbers_after(origin, Seq(dot.seq.0.saturating_sub(1)), 1)?;
    let Some(ids) = numbers.first().map(|number| ids_of(*number)) else { return Ok(None) };
    let id = db.event_ids(table, key, ids.start)?.into_iter().next().filter(|id| ids.contains(id));
    let event = id.map(|id| decoded.event(db, id)).transpose()?;
    Ok(event.filter(|event| event.stamp.dot == *dot))
}

/// The events of a row that a changeset which knew `context` has not seen and that have not seen it; itself left out. The row is found at its place and
/// called by its identity.
pub fn events_unseen(
    db: &impl Log,
    origins: &Origins,
    decoded: &mut Decoded,
    (table, place): (TableNumber, &Key),
    (name, key): (&str, &Key),
    dot: &Dot,
    context: &Context,
) -> Result<Vec<Arc<RowEvent>>> {
    // What it has seen came before the first changeset that it lacks, but for what it names as parked.
    let names_parked = context.parked.iter().any(|id| id.key == *key);
    let start = if names_parked { Some(0) } else { first_lacked(db, origins, &context.vector)? };
    let Some(start) = start else { return Ok(Vec::new()) };
    let mut events = Vec::new();
    for id in db.event_ids(table, place, id_of(start, 0))? {
        let other = decoded.event(db, id)?;
        let theirs = other.stamp.dot;
        let apart = !context.sees(&theirs, name, key) && !other.context.sees(dot, name, key);
        if theirs != *dot && apart {
            events.push(other);
        }
    }
    Ok(events)
}

/// An event with what judging it needs.
pub fn row_event(changeset: &Changeset, event: &Event) -> RowEvent {
    let header = changeset.header();
    RowEvent::new(event, header.dot, &header.context, header.epoch, &changeset.shape(event).columns)
}

fn id_of(number: i64, position: usize) -> i64 {
    number * EVENTS_PER_CHANGESET + position as i64
}

fn ids_of(number: i64) -> std::ops::Range<i64> {
    id_of(number, 0)..id_of(number + 1, 0)
}

fn first_lacked(db: &impl Log, origins: &Origins, lacking: &VersionVector) -> Result<Option<i64>> {
    let mut first: Option<i64> = None;
    for (known, number) in origins.all().iter().zip(1..) {
        let had = lacking.get(&known.origin);
        if had >= known.seq {
            continue;
        }
        let next = db.numbers_after(number, had, 1)?.first().copied();
        first = match (first, next) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
    Ok(first)
}

/// What the bytes of a changeset in the log begin with.
pub fn header(body: &[u8]) -> Result<Header> {
    header_of(body).map_err(damaged)
}

fn decode(body: &[u8]) -> Result<Changeset> {
    Ok(Claimed::decode(body).map_err(damaged)?.trust_own_log())
}

fn damaged(source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::damaged("a changeset in the log", source)
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
