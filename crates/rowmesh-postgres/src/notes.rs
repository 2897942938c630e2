//! Keys that triggers noted in `rowmesh.dirty`, and the rows that they name: notes and rows are read by one statement, so that no transaction of
//! the application is seen in part. What a note means is found out by the sealer.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use rowmesh_core::clock::WallTime;
use rowmesh_core::value::{Key, Value};
use rowmesh_engine::database::{Note, NotedOperation, Notes, Rows, States};
use rowmesh_engine::fault::{Error, Result};
use rowmesh_engine::registry::{Registry, Table, TableNumber};
use rowmesh_engine::seal::ROWS_THAT_FIT;
use tokio_postgres::Row;

use crate::access::PostgresAccess;
use crate::fault::Told;
use crate::place::{read_place, show_place};
use crate::rows::{name_of, read_texts, some, texts};
use crate::sql::quote;
use crate::values::{fit, row_expression, value_expression};

/// Keys whose rows are read together with the notes. More than fit into one changeset are seen in parts however they are read: each part reads its
/// rows when its turn comes.
const KEYS_WITH_ROWS_MAX: usize = ROWS_THAT_FIT;

/// Notes that one look reads; a note may hold the keys of many rows.
const NOTES_PER_LOOK: i64 = 100_000;

impl Notes for PostgresAccess<'_> {
    fn notes(&self, registry: &Registry, limit: usize) -> Result<Vec<Note>> {
        let (tables, keys) = self.noted_tables(registry)?;
        let with_rows = keys <= KEYS_WITH_ROWS_MAX;
        self.lock_shapes(&tables)?;
        let numbers: Vec<i32> = tables.iter().map(|table| table.number.0 as i32).collect();
        let sql = self.truth(&tables, with_rows)?;
        let found = self.session.query(&sql, &[&numbers, &NOTES_PER_LOOK, &(limit as i64)]).told()?;
        let (mut notes, mut emptied) = (Vec::new(), Vec::new());
        for row in &found {
            let number = row.get("t");
            let table = registry.tracked(TableNumber(i64::from(number)));
            match (table, texts(row, ROW)?) {
                (Some(table), Some(texts)) => self.hold_row(table, read_texts(&texts, &self.details(table)?.columns)?),
                // First noted since we locked: it waits for the next round.
                (Some(_), None) if !numbers.contains(&number) => {}
                (table, None) => self.read_note(table, row, &mut notes, &mut emptied)?,
                (None, Some(_)) => {}
            }
        }
        if with_rows {
            self.hold_missing(&notes);
        }
        // Of these the statement has not read the rows: they are fetched when their turn comes.
        notes.append(&mut emptied);
        Ok(notes)
    }

    fn forget_notes(&self, ids: Vec<i64>) -> Result<()> {
        self.held.borrow_mut().spent.extend(ids);
        Ok(())
    }

    fn note(&self, table: &Table, key: &[Value], now: WallTime) -> Result<()> {
        let columns = some(self.details(table)?, &table.schema.key);
        let texts: Vec<Option<String>> =
            key.iter().zip(columns).map(|(value, column)| Some(fit(column, value).ok()??.into_owned())).collect();
        self.held.borrow_mut().notes.push((table.number, texts, now));
        Ok(())
    }

    fn noted(&self, table: &Table, key: &[Value]) -> Result<Vec<NotedOperation>> {
        let wanted = Key::of(key);
        let notes = self.notes_of(table)?;
        Ok(notes.iter().filter(|note| Key::of(&note.key) == wanted).map(|note| note.operation).collect())
    }

    fn noted_keys(&self, table: &Table) -> Result<HashSet<Key>> {
        Ok(self.notes_of(table)?.iter().map(|note| Key::of(&note.key)).collect())
    }

    fn any_noted(&self) -> Result<bool> {
        self.delete_spent()?;
        Ok(!self.held.borrow().notes.is_empty()
            || self.find("SELECT 1 FROM rowmesh.dirty LIMIT 1", &[], |_| ())?.is_some())
    }
}

/// Where [`PostgresAccess::truth`] has a note's key, and a row.
const KEY: usize = 4;
const ROW: usize = 5;

/// The notes that a look reads, at most so many, and so that their keys are not many more than the limit.
const NOTED: &str = "noted AS MATERIALIZED (
    SELECT * FROM (SELECT place, t, op, (extract(epoch FROM at) * 1000)::bigint AS at, k, was,
                          sum(greatest(cardinality(k), 1)) OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS keys_before
                     FROM (SELECT ctid AS place, t, op, at, k, was FROM rowmesh.dirty LIMIT $2) AS first) AS counted
     WHERE keys_before IS NULL OR keys_before < $3)";

impl PostgresAccess<'_> {
    /// Deletes the notes that are spent and those of what we wrote ourselves, and makes those that the engine wants.
    pub(crate) fn flush_notes(&self) -> Result<()> {
        self.delete_spent()?;
        self.delete_own()?;
        let notes = std::mem::take(&mut self.held.borrow_mut().notes);
        for (table, key, now) in notes {
            let at = UNIX_EPOCH + Duration::from_millis(now.0);
            let operation = NotedOperation::Delete.number() as i16;
            let sql = "INSERT INTO rowmesh.dirty (t, op, at, k) VALUES ($1, $2, $3, $4)";
            self.run(sql, &[&(table.0 as i32), &operation, &at, &key])?;
        }
        Ok(())
    }

    /// What we wrote stands as it was written, unless a trigger of the application's had its say: nobody has to look.
    fn delete_own(&self) -> Result<()> {
        let written = std::mem::take(&mut self.held.borrow_mut().written);
        let quiet = written.iter().filter(|(_, oid)| !self.noisy.contains(oid));
        let quiet: Vec<i32> = quiet.map(|(number, _)| number.0 as i32).collect();
        if quiet.is_empty() {
            return Ok(());
        }
        let own = "DELETE FROM rowmesh.dirty WHERE xmin = pg_current_xact_id()::xid AND t = ANY($1)";
        self.run(own, &[&quiet]).map(drop)
    }

    fn delete_spent(&self) -> Result<()> {
        let mut spent = std::mem::take(&mut self.held.borrow_mut().spent);
        if spent.is_empty() {
            return Ok(());
        }
        spent.sort_unstable();
        spent.dedup();
        let places: Vec<String> = spent.iter().map(|id| show_place(*id)).collect();
        self.run("DELETE FROM rowmesh.dirty WHERE ctid = ANY($1::text[]::tid[])", &[&places]).map(drop)
    }

    /// Keeps the tables as they are until the transaction ends: to an older snapshot one that is rewritten looks empty.
    fn lock_shapes(&self, tables: &[Arc<Table>]) -> Result<()> {
        if tables.is_empty() {
            return Ok(());
        }
        let names = tables.iter().map(|table| Ok(name_of(self.details(table)?))).collect::<Result<Vec<_>>>()?;
        self.session.batch(&format!("LOCK TABLE {} IN ACCESS SHARE MODE", names.join(", "))).told()?;
        self.check_schema()
    }

    /// Errs if the schema is not the one that was followed. To be asked once the tables in question are locked, so that they stay as they are.
    pub(crate) fn check_schema(&self) -> Result<()> {
        if self.watch.look(self.session).told()?.schema_changed { Err(Error::SchemaMoved) } else { Ok(()) }
    }

    /// The tables that have notes, and how many keys are noted.
    fn noted_tables(&self, registry: &Registry) -> Result<(Vec<Arc<Table>>, usize)> {
        let sql = "SELECT t, sum(coalesce(cardinality(k), 1)) FROM rowmesh.dirty GROUP BY t ORDER BY t";
        let noted: Vec<(i32, i64)> = self.all(sql, &[], |row| (row.get(0), row.get(1)))?;
        let tracked = |(number, parts): (i32, i64)| {
            Some((registry.tracked(TableNumber(i64::from(number)))?.clone(), parts as usize))
        };
        let noted: Vec<(Arc<Table>, usize)> = noted.into_iter().filter_map(tracked).collect();
        let keys = noted.iter().map(|(table, parts)| parts / table.schema.key.len()).sum();
        Ok((noted.into_iter().map(|(table, _)| table).collect(), keys))
    }

    /// One statement for the notes and, if wanted, for the rows that they name. A note of a table that is not tracked is read too, so that it
    /// can go.
    fn truth(&self, tables: &[Arc<Table>], with_rows: bool) -> Result<String> {
        let mut with = vec![NOTED.to_owned()];
        let mut parts = vec![
            "SELECT t, place::text AS place, op, at, NULL::text[] AS key, NULL::text[] AS row FROM noted
              WHERE t <> ALL($1) OR (k IS NULL AND was IS NULL)"
                .to_owned(),
        ];
        for table in tables {
            let (number, details) = (table.number.0, self.details(table)?);
            let key = &table.schema.key;
            let columns: Vec<String> = (1..=key.len()).map(|n| format!("k{n}")).collect();
            let list = columns.join(", ");
            with.push(format!("keys_{number} AS MATERIALIZED ({})", keys_noted(number, key.len())));
            parts.push(format!("SELECT {number}, place::text, op, at, ARRAY[{list}], NULL FROM keys_{number}"));
            if !with_rows {
                continue;
            }
            let equal: Vec<String> = (some(details, key).into_iter().zip(&columns))
                .map(|(column, k)| {
                    format!("t.{} = {}", quote(&column.name), value_expression(column, &format!("k.{k}")))
                })
                .collect();
            // Key by key: how many there are nobody can tell the planner, and for many it would read all of the table.
            parts.push(format!(
                "SELECT {number}, NULL, NULL, NULL, NULL, t.row FROM (SELECT DISTINCT {list} FROM keys_{number}) AS k,
                        LATERAL (SELECT {} AS row FROM {} AS t WHERE {} LIMIT 1) AS t",
                row_expression(&details.columns, "t"),
                name_of(details),
                equal.join(" AND ")
            ));
        }
        Ok(format!("WITH {} {}", with.join(", "), parts.join(" UNION ALL ")))
    }

    /// Remembers of rows that were read together with their notes that they do not stand, where they were not found.
    fn hold_missing(&self, notes: &[Note]) {
        let mut held = self.held.borrow_mut();
        for note in notes.iter().filter(|note| !note.key.is_empty()) {
            held.rows.entry((note.table, Key::of(&note.key))).or_insert(None);
        }
    }

    fn read_note(
        &self,
        table: Option<&Arc<Table>>,
        row: &Row,
        notes: &mut Vec<Note>,
        emptied: &mut Vec<Note>,
    ) -> Result<()> {
        let number = TableNumber(i64::from(row.get::<_, i32>("t")));
        let id = read_place(row.get("place"))?;
        let at = WallTime(row.get::<_, Option<i64>>("at").unwrap_or_default().max(0) as u64);
        let operation = NotedOperation::from_number(i64::from(row.get::<_, Option<i16>>("op").unwrap_or_default()));
        let note = |operation, key| Note { id, table: number, operation, at, key };
        let Some(table) = table else {
            notes.push(note(operation, Vec::new()));
            return Ok(());
        };
        let columns = some(self.details(table)?, &table.schema.key);
        match texts(row, KEY)? {
            Some(texts) if texts.iter().all(Option::is_some) => {
                notes.push(note(operation, read_texts(&texts, columns)?));
                Ok(())
            }
            // The table was emptied, or its key could not be read: any row may have gone or come.
            _ => {
                let before = emptied.len();
                self.every_key(table, &mut |key| emptied.push(note(NotedOperation::Delete, key)))?;
                if emptied.len() == before {
                    notes.push(note(operation, Vec::new()));
                }
                Ok(())
            }
        }
    }

    fn every_key(&self, table: &Table, each: &mut dyn FnMut(Vec<Value>)) -> Result<()> {
        self.each_state(table.number, &mut |key, _| {
            each(key.values().map_err(|source| Error::damaged("a key of a row state", source))?);
            Ok(())
        })?;
        self.keys(table)?.into_iter().for_each(each);
        Ok(())
    }

    /// What the application noted of a table, oldest first; what we write in this transaction is none of it.
    fn notes_of(&self, table: &Table) -> Result<Vec<Note>> {
        self.delete_spent()?;
        let key = some(self.details(table)?, &table.schema.key);
        let columns: Vec<String> = (1..=key.len()).map(|n| format!("k{n}")).collect();
        let sql = format!(
            "WITH noted AS (SELECT ctid AS place, t, op, at, k, was FROM rowmesh.dirty
                             WHERE t = {number} AND xmin IS DISTINCT FROM pg_current_xact_id_if_assigned()::xid)
             SELECT op, ARRAY[{}] AS key FROM ({}) AS keys ORDER BY at, place",
            columns.join(", "),
            keys_noted(table.number.0, key.len()),
            number = table.number.0,
        );
        let mut notes = Vec::new();
        for row in self.session.query(&sql, &[]).told()? {
            let operation = NotedOperation::from_number(i64::from(row.get::<_, Option<i16>>("op").unwrap_or_default()));
            let texts = texts(&row, 1)?.filter(|texts| texts.iter().all(Option::is_some));
            if let Some(texts) = texts {
                let key = read_texts(&texts, key.iter().copied())?;
                notes.push(Note { id: 0, table: table.number, operation, at: WallTime::default(), key });
            }
        }
        for (_, texts, at) in self.held.borrow().notes.iter().filter(|(number, ..)| *number == table.number) {
            let texts: Vec<Option<&str>> = texts.iter().map(Option::as_deref).collect();
            let key = read_texts(&texts, key.iter().copied())?;
            notes.push(Note { id: 0, table: table.number, operation: NotedOperation::Delete, at: *at, key });
        }
        Ok(notes)
    }
}

/// The keys of the notes about one table, one by one: a note holds them in one array, row after row.
fn keys_noted(number: i64, parts: usize) -> String {
    let columns: Vec<String> = (1..=parts).map(|n| format!("k{n}")).collect();
    let columns = columns.join(", ");
    let of = |array: &str| match parts {
        1 => format!("unnest(noted.{array}) AS key (k1)"),
        parts => {
            let pivoted: Vec<String> = (1..=parts)
                .map(|n| format!("max(part) FILTER (WHERE (n - 1) % {parts} = {}) AS k{n}", n - 1))
                .collect();
            format!(
                "LATERAL (SELECT {} FROM unnest(noted.{array}) WITH ORDINALITY AS parts (part, n) GROUP BY (n - 1) / {parts}) AS key",
                pivoted.join(", ")
            )
        }
    };
    let rekey = NotedOperation::Rekey.number();
    format!(
        "SELECT place, op, at, {columns} FROM noted, {} WHERE t = {number}
         UNION ALL SELECT place, {rekey}::smallint, at, {columns} FROM noted, {} WHERE t = {number}",
        of("k"),
        of("was")
    )
}
