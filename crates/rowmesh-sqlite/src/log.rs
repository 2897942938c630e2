//! The log at rest: `rowmesh_changesets` and `rowmesh_events`. What is in it, and what is sent of it, is the engine's business.

use std::ops::Range;

use rowmesh_core::clock::{Lamport, WallTime};
use rowmesh_core::ident::{Digest, Seq};
use rowmesh_core::store::EventQuery;
use rowmesh_core::value::Key;
use rowmesh_engine::database::{EachChangeset, EventLine, EventRow, Log, LogEntry};
use rowmesh_engine::fault::Result;
use rowmesh_engine::registry::TableNumber;
use rusqlite::{named_params, params};

use crate::access::SqliteAccess;
use crate::fault::Told;
use crate::values::read_key;

impl Log for SqliteAccess<'_> {
    fn append_changeset(&self, entry: &LogEntry<'_>) -> Result<i64> {
        let header = entry.changeset.header();
        self.run(
            "INSERT INTO rowmesh_changesets (o, seq, hash, context, events, sealed_at, taken_at, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                entry.origin,
                header.dot.seq.0 as i64,
                entry.changeset.hash().0,
                entry.context,
                entry.changeset.events().len() as i64,
                header.sealed_at.0 as i64,
                entry.taken_at.0 as i64,
                &entry.changeset.bytes()[..],
            ],
        )?;
        Ok(self.connection.last_insert_rowid())
    }

    fn append_event(&self, event: &EventRow<'_>) -> Result<()> {
        self.run(
            "INSERT INTO rowmesh_events (id, t, key, op, lamport, checksum, record_key, before_data, after_data)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                event.id,
                event.table.0,
                event.key.0,
                event.operation as i64,
                event.lamport.0 as i64,
                event.checksum.0,
                event.key.to_display(),
                event.before,
                event.after,
            ],
        )
        .map(drop)
    }

    fn replace_changeset(&self, number: i64, entry: &LogEntry<'_>) -> Result<()> {
        let header = entry.changeset.header();
        self.run(
            "UPDATE rowmesh_changesets SET o = ?2, seq = ?3, hash = ?4, context = ?5, sealed_at = ?6, body = ?7 WHERE c = ?1",
            params![
                number,
                entry.origin,
                header.dot.seq.0 as i64,
                entry.changeset.hash().0,
                entry.context,
                header.sealed_at.0 as i64,
                &entry.changeset.bytes()[..],
            ],
        )
        .map(drop)
    }

    fn restamp_event(&self, id: i64, lamport: Lamport, checksum: Digest) -> Result<()> {
        let sql = "UPDATE rowmesh_events SET lamport = ?2, checksum = ?3 WHERE id = ?1";
        self.run(sql, params![id, lamport.0 as i64, checksum.0]).map(drop)
    }

    fn changeset_hash(&self, origin: u32, seq: Seq) -> Result<Option<Digest>> {
        let sql = "SELECT hash FROM rowmesh_changesets WHERE o = ?1 AND seq = ?2";
        self.find(sql, params![origin, seq.0 as i64], |row| row.get(0).map(Digest))
    }

    fn changeset_body(&self, origin: u32, seq: Seq) -> Result<Option<Vec<u8>>> {
        let sql = "SELECT body FROM rowmesh_changesets WHERE o = ?1 AND seq = ?2";
        self.find(sql, params![origin, seq.0 as i64], |row| row.get(0))
    }

    fn numbered_body(&self, number: i64) -> Result<Vec<u8>> {
        self.one("SELECT body FROM rowmesh_changesets WHERE c = ?1", [number], |row| row.get(0))
    }

    fn numbers_after(&self, origin: u32, last: Seq, limit: usize) -> Result<Vec<i64>> {
        let sql = "SELECT c FROM rowmesh_changesets WHERE o = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.all(sql, params![origin, last.0 as i64, limit], |row| row.get(0))
    }

    fn each_changeset(&self, from: i64, each: &mut EachChangeset<'_>) -> Result<()> {
        self.each("SELECT c, o, seq, body FROM rowmesh_changesets WHERE c >= ?1 ORDER BY c", [from], |row| {
            let seq = Seq(row.get::<_, i64>(2).told()? as u64);
            let body = row.get_ref(3).and_then(|value| Ok(value.as_blob()?)).told()?;
            each(row.get(0).told()?, row.get(1).told()?, seq, body)
        })
    }

    fn event_ids(&self, table: TableNumber, key: &Key, from: i64) -> Result<Vec<i64>> {
        let sql = "SELECT id FROM rowmesh_events WHERE t = ?1 AND key = ?2 AND id >= ?3 ORDER BY id";
        self.all(sql, params![table.0, key.0, from], |row| row.get(0))
    }

    fn rows_of_events(&self, ids: Range<i64>) -> Result<Vec<(TableNumber, Key)>> {
        let sql = "SELECT t, key FROM rowmesh_events WHERE id >= ?1 AND id < ?2";
        self.all(sql, [ids.start, ids.end], |row| Ok((TableNumber(row.get(0)?), read_key(row, 1)?)))
    }

    fn lamport_of_events(&self, ids: Range<i64>) -> Result<Option<Lamport>> {
        let sql = "SELECT max(lamport) FROM rowmesh_events WHERE id >= ?1 AND id < ?2";
        let highest = self.one(sql, [ids.start, ids.end], |row| row.get::<_, Option<i64>>(0))?;
        Ok(highest.map(|lamport| Lamport(lamport as u64)))
    }

    fn list_events(&self, query: &EventQuery) -> Result<Vec<EventLine>> {
        let read = |row: &rusqlite::Row<'_>| {
            Ok(EventLine {
                id: row.get(0)?,
                dot: (row.get(1)?, Seq(row.get::<_, i64>(2)? as u64)),
                table: row.get(3)?,
                key: row.get(4)?,
                operation: row.get(5)?,
                before: row.get(6)?,
                after: row.get(7)?,
                lamport: Lamport(row.get::<_, i64>(8)? as u64),
                state: row.get(9)?,
                taken_at: WallTime(row.get::<_, i64>(10)? as u64),
            })
        };
        self.all(
            "SELECT e.id, c.o, c.seq, t.name, e.record_key, v.operation, e.before_data, e.after_data, e.lamport, v.state, c.taken_at
               FROM rowmesh_events e
               JOIN rowmesh_changesets c ON c.c = e.id / 131072
               JOIN rowmesh_tables t ON t.t = e.t
               JOIN rowmesh_origins o ON o.o = c.o
               JOIN rowmesh_sync_events v ON v.id = e.id
              WHERE (:table IS NULL OR t.name = :table) AND (:key IS NULL OR e.record_key = :key) AND (:node IS NULL OR o.node = :node)
                AND (:after IS NULL OR e.id > :after) AND (:since IS NULL OR c.taken_at >= :since)
              ORDER BY e.id DESC LIMIT :limit",
            named_params! {
                ":table": query.table,
                ":key": query.key,
                ":node": query.node.map(|node| node.0),
                ":after": query.after_id.map(|id| id as i64),
                ":since": query.since.map(|time| time.0 as i64),
                ":limit": query.limit as i64,
            },
            read,
        )
    }
}
