//! The log at rest: `rowmesh.changesets` and `rowmesh.events`. What is in it, and what is sent of it, is the engine's business. What a
//! transaction adds is sent by COPY at its end, or before something is asked that it could answer.

use std::ops::Range;

use rowmesh_core::clock::{Lamport, WallTime};
use rowmesh_core::ident::{Digest, Seq};
use rowmesh_core::store::EventQuery;
use rowmesh_core::value::Key;
use rowmesh_engine::database::{EachChangeset, EventLine, EventRow, Log, LogEntry};
use rowmesh_engine::fault::{Error, Result};
use rowmesh_engine::registry::TableNumber;

use crate::access::PostgresAccess;
use crate::fault::Told;

/// Bytes of events that wait before they are sent although the transaction goes on.
const WAITING_BYTES_MAX: usize = 16 << 20;
/// Changesets that one look at the log fetches at once, and bytes of them unless one has more.
const CHANGESETS_PER_FETCH: i64 = 64;
const FETCH_BYTES_MAX: i64 = 8 << 20;

impl Log for PostgresAccess<'_> {
    fn append_changeset(&self, entry: &LogEntry<'_>) -> Result<i64> {
        let number = self.next_changeset()?;
        let header = entry.changeset.header();
        let mut held = self.held.borrow_mut();
        let mut row = held.changesets.row(9);
        row.bigint(number);
        row.bigint(i64::from(entry.origin));
        row.bigint(header.dot.seq.0 as i64);
        row.value(&entry.changeset.hash().0);
        row.value(entry.context.as_bytes());
        row.bigint(entry.changeset.events().len() as i64);
        row.bigint(header.sealed_at.0 as i64);
        row.bigint(entry.taken_at.0 as i64);
        row.value(entry.changeset.bytes());
        Ok(number)
    }

    fn append_event(&self, event: &EventRow<'_>) -> Result<()> {
        let mut held = self.held.borrow_mut();
        let mut row = held.events.row(10);
        row.bigint(event.id);
        row.bigint(event.table.0);
        row.value(&event.key.0);
        row.bigint(key_hash(event.key));
        row.integer(event.operation as i32);
        row.bigint(event.lamport.0 as i64);
        row.value(&event.checksum.0);
        row.value(event.key.to_display().as_bytes());
        row.maybe(event.before);
        row.maybe(event.after);
        let is_much = held.events.len() >= WAITING_BYTES_MAX;
        drop(held);
        if is_much { self.flush_log() } else { Ok(()) }
    }

    fn replace_changeset(&self, number: i64, entry: &LogEntry<'_>) -> Result<()> {
        self.flush_log()?;
        let header = entry.changeset.header();
        self.run(
            "UPDATE rowmesh.changesets SET o = $2, seq = $3, hash = $4, context = $5, sealed_at = $6, body = $7 WHERE c = $1",
            &[
                &number,
                &i64::from(entry.origin),
                &(header.dot.seq.0 as i64),
                &&entry.changeset.hash().0[..],
                &entry.context,
                &(header.sealed_at.0 as i64),
                &&entry.changeset.bytes()[..],
            ],
        )
        .map(drop)
    }

    fn restamp_event(&self, id: i64, lamport: Lamport, checksum: Digest) -> Result<()> {
        self.flush_log()?;
        let sql = "UPDATE rowmesh.events SET lamport = $2, checksum = $3 WHERE id = $1";
        self.run(sql, &[&id, &(lamport.0 as i64), &&checksum.0[..]]).map(drop)
    }

    fn changeset_hash(&self, origin: u32, seq: Seq) -> Result<Option<Digest>> {
        self.flush_log()?;
        let sql = "SELECT hash FROM rowmesh.changesets WHERE o = $1 AND seq = $2";
        let hash = self.find(sql, &[&i64::from(origin), &(seq.0 as i64)], |row| row.get::<_, Vec<u8>>(0))?;
        hash.map(|hash| digest(&hash)).transpose()
    }

    fn changeset_body(&self, origin: u32, seq: Seq) -> Result<Option<Vec<u8>>> {
        self.flush_log()?;
        let sql = "SELECT body FROM rowmesh.changesets WHERE o = $1 AND seq = $2";
        self.find(sql, &[&i64::from(origin), &(seq.0 as i64)], |row| row.get(0))
    }

    fn numbered_body(&self, number: i64) -> Result<Vec<u8>> {
        self.flush_log()?;
        self.one("SELECT body FROM rowmesh.changesets WHERE c = $1", &[&number], |row| row.get(0))
    }

    fn numbers_after(&self, origin: u32, last: Seq, limit: usize) -> Result<Vec<i64>> {
        self.flush_log()?;
        let sql = "SELECT c FROM rowmesh.changesets WHERE o = $1 AND seq > $2 ORDER BY seq LIMIT $3";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.all(sql, &[&i64::from(origin), &(last.0 as i64), &limit], |row| row.get(0))
    }

    fn each_changeset(&self, from: i64, each: &mut EachChangeset<'_>) -> Result<()> {
        self.flush_log()?;
        let mut next = from;
        loop {
            // The length of a body is known without reading it.
            let sql = "SELECT c, o, seq, body FROM (
                           SELECT c, o, seq, body, sum(octet_length(body)) OVER (ORDER BY c ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
                             FROM (SELECT c, o, seq, body FROM rowmesh.changesets WHERE c >= $1 ORDER BY c LIMIT $2) AS next) AS weighed
                        WHERE before IS NULL OR before < $3 ORDER BY c";
            let found = self.session.query(sql, &[&next, &CHANGESETS_PER_FETCH, &FETCH_BYTES_MAX]).told()?;
            let Some(last) = found.last() else { return Ok(()) };
            next = last.get::<_, i64>(0) + 1;
            for row in &found {
                let seq = Seq(row.get::<_, i64>(2) as u64);
                if each(row.get(0), row.get::<_, i64>(1) as u32, seq, row.get(3))?.is_break() {
                    return Ok(());
                }
            }
        }
    }

    fn event_ids(&self, table: TableNumber, key: &Key, from: i64) -> Result<Vec<i64>> {
        self.flush_log()?;
        let sql = "SELECT id FROM rowmesh.events WHERE key_hash = $1 AND t = $2 AND key = $3 AND id >= $4 ORDER BY id";
        self.all(sql, &[&key_hash(key), &table.0, &key.0, &from], |row| row.get(0))
    }

    fn rows_of_events(&self, ids: Range<i64>) -> Result<Vec<(TableNumber, Key)>> {
        self.flush_log()?;
        let sql = "SELECT t, key FROM rowmesh.events WHERE id >= $1 AND id < $2";
        self.all(sql, &[&ids.start, &ids.end], |row| (TableNumber(row.get(0)), Key(row.get(1))))
    }

    fn lamport_of_events(&self, ids: Range<i64>) -> Result<Option<Lamport>> {
        self.flush_log()?;
        let sql = "SELECT max(lamport) FROM rowmesh.events WHERE id >= $1 AND id < $2";
        let highest: Option<i64> = self.one(sql, &[&ids.start, &ids.end], |row| row.get(0))?;
        Ok(highest.map(|lamport| Lamport(lamport as u64)))
    }

    fn list_events(&self, query: &EventQuery) -> Result<Vec<EventLine>> {
        self.flush_log()?;
        let node = query.node.map(|node| node.0.to_vec());
        let (after, since) = (query.after_id.map(|id| id as i64), query.since.map(|time| time.0 as i64));
        self.all(
            "SELECT e.id, c.o, c.seq, t.name, e.record_key, v.operation, e.before_data, e.after_data, e.lamport, v.state, c.taken_at
               FROM rowmesh.events e
               JOIN rowmesh.changesets c ON c.c = e.id / 131072
               JOIN rowmesh.tables t ON t.t = e.t
               JOIN rowmesh.origins o ON o.o = c.o
               JOIN rowmesh.sync_events v ON v.id = e.id
              WHERE ($1::text IS NULL OR t.name = $1) AND ($2::text IS NULL OR e.record_key = $2) AND ($3::bytea IS NULL OR o.node = $3)
                AND ($4::bigint IS NULL OR e.id > $4) AND ($5::bigint IS NULL OR c.taken_at >= $5)
              ORDER BY e.id DESC LIMIT $6",
            &[&query.table, &query.key, &node, &after, &since, &i64::try_from(query.limit).unwrap_or(i64::MAX)],
            |row| EventLine {
                id: row.get(0),
                dot: (row.get::<_, i64>(1) as u32, Seq(row.get::<_, i64>(2) as u64)),
                table: row.get(3),
                key: row.get(4),
                operation: row.get(5),
                before: row.get(6),
                after: row.get(7),
                lamport: Lamport(row.get::<_, i64>(8) as u64),
                state: row.get(9),
                taken_at: WallTime(row.get::<_, i64>(10) as u64),
            },
        )
    }
}

impl PostgresAccess<'_> {
    /// The next number in the log. Only one of our sessions adds to it at a time, so none is ever given twice.
    fn next_changeset(&self) -> Result<i64> {
        let known = self.held.borrow().last_changeset;
        let last = match known {
            Some(last) => last,
            None => self.one("SELECT coalesce(max(c), 0) FROM rowmesh.changesets", &[], |row| row.get(0))?,
        };
        self.held.borrow_mut().last_changeset = Some(last + 1);
        Ok(last + 1)
    }

    /// Sends what was added to the log.
    pub(crate) fn flush_log(&self) -> Result<()> {
        let mut held = self.held.borrow_mut();
        if !held.changesets.is_empty() {
            let sql = "COPY rowmesh.changesets (c, o, seq, hash, context, events, sealed_at, taken_at, body) FROM STDIN (FORMAT binary)";
            self.session.copy_in(sql, held.changesets.take()).told()?;
        }
        if !held.events.is_empty() {
            let sql = "COPY rowmesh.events (id, t, key, key_hash, op, lamport, checksum, record_key, before_data, after_data) FROM STDIN (FORMAT binary)";
            self.session.copy_in(sql, held.events.take()).told()?;
        }
        Ok(())
    }
}

/// What the index finds a row's events by: the first eight bytes of a hash of its key. It stays in the table, so it may never change.
pub(crate) fn key_hash(key: &Key) -> i64 {
    let hash = Digest::of(&key.0);
    i64::from_be_bytes(std::array::from_fn(|n| hash.0[n]))
}

fn digest(bytes: &[u8]) -> Result<Digest> {
    let hash = bytes
        .try_into()
        .map_err(|source: std::array::TryFromSliceError| Error::damaged("a hash in the log", source))?;
    Ok(Digest(hash))
}
