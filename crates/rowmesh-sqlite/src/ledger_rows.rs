//! The ledger at rest: `rowmesh_conflict_resolutions`. Which entries there are is core's business.

use rowmesh_core::clock::{Lamport, WallTime};
use rowmesh_core::ident::Seq;
use rowmesh_core::value::{Key, TableName};
use rowmesh_engine::database::Ledger;
use rowmesh_engine::fault::Result;
use rowmesh_engine::ledger_rows::{EntryLine, EntryRow, SideRow};
use rusqlite::{Row, params};

use crate::access::SqliteAccess;
use crate::values::{read_key, read_name};

const COLUMNS: &str = "id, table_name, record_key, key, column_name, conflict_type, strategy, state,
    losing_node, losing_origin, losing_seq, losing_lamport, losing_value, losing_data,
    winning_node, winning_origin, winning_seq, winning_lamport, winning_value, winning_data,
    common_value, common_data, detected_at";

impl Ledger for SqliteAccess<'_> {
    fn save_entry(&self, entry: &EntryRow) -> Result<bool> {
        let known = self.find("SELECT 1 FROM rowmesh_conflict_resolutions WHERE id = ?1", [&entry.id], |_| Ok(()))?;
        let (losing, winning) = (&entry.losing, &entry.winning);
        self.run(
            &format!(
                "INSERT INTO rowmesh_conflict_resolutions ({COLUMNS})
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23)
                 ON CONFLICT (id) DO UPDATE SET conflict_type = excluded.conflict_type, strategy = excluded.strategy,
                     state = excluded.state, winning_node = excluded.winning_node, winning_origin = excluded.winning_origin,
                     winning_seq = excluded.winning_seq, winning_lamport = excluded.winning_lamport,
                     winning_value = excluded.winning_value, winning_data = excluded.winning_data"
            ),
            params![
                entry.id,
                &*entry.table,
                entry.record_key,
                entry.key.0,
                entry.column.as_deref(),
                entry.conflict_type,
                entry.strategy,
                entry.state,
                losing.node,
                losing.origin,
                losing.seq.0 as i64,
                losing.lamport.0 as i64,
                losing.value,
                losing.data,
                winning.node,
                winning.origin,
                winning.seq.0 as i64,
                winning.lamport.0 as i64,
                winning.value,
                winning.data,
                entry.common_value,
                entry.common_data,
                entry.detected_at.0 as i64,
            ],
        )?;
        Ok(known.is_none())
    }

    fn winner_of(&self, id: &str) -> Result<Option<(u32, Seq, Lamport)>> {
        let sql = "SELECT winning_origin, winning_seq, winning_lamport FROM rowmesh_conflict_resolutions WHERE id = ?1";
        self.find(sql, [id], |row| Ok((row.get(0)?, read_seq(row, 1)?, read_lamport(row, 2)?)))
    }

    fn entries_of_row(&self, table: &str, key: &Key, only_open: bool) -> Result<Vec<EntryLine>> {
        self.all(
            "SELECT id, losing_origin, losing_seq, column_name, state = 'open' FROM rowmesh_conflict_resolutions
              WHERE table_name = ?1 AND record_key = ?2 AND key = ?3 AND (state = 'open' OR NOT ?4) AND conflict_type <> 'REKEY'",
            params![table, key.to_display(), key.0, only_open],
            |row| {
                Ok(EntryLine {
                    id: row.get(0)?,
                    loser: (row.get(1)?, read_seq(row, 2)?),
                    column: row.get::<_, Option<String>>(3)?.map(Into::into),
                    open: row.get(4)?,
                })
            },
        )
    }

    fn whole_entries_of_row(&self, table: &str, key: &Key) -> Result<Vec<EntryRow>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM rowmesh_conflict_resolutions WHERE table_name = ?1 AND record_key = ?2 AND key = ?3
              ORDER BY losing_lamport, id"
        );
        self.all(&sql, params![table, key.to_display(), key.0], read)
    }

    fn set_entry_state(&self, id: &str, state: &str) -> Result<()> {
        self.run("UPDATE rowmesh_conflict_resolutions SET state = ?2 WHERE id = ?1", [id, state]).map(drop)
    }

    fn forget_entry(&self, id: &str) -> Result<()> {
        self.run("DELETE FROM rowmesh_conflict_resolutions WHERE id = ?1", [id]).map(drop)
    }

    fn newest_entries(&self, only_open: bool, limit: usize) -> Result<Vec<EntryRow>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM rowmesh_conflict_resolutions WHERE ?1 = 0 OR state = 'open' ORDER BY detected_at DESC, id LIMIT ?2"
        );
        self.all(&sql, params![only_open, limit as i64], read)
    }

    fn entries_after(&self, id: &str, limit: usize) -> Result<Vec<EntryRow>> {
        let sql = format!("SELECT {COLUMNS} FROM rowmesh_conflict_resolutions WHERE id > ?1 ORDER BY id LIMIT ?2");
        self.all(&sql, params![id, limit as i64], read)
    }

    fn forget_entries(&self, origin: u32, last: Seq) -> Result<Vec<(TableName, Key)>> {
        self.all(
            "DELETE FROM rowmesh_conflict_resolutions
              WHERE (losing_origin = ?1 AND losing_seq > ?2) OR (winning_origin = ?1 AND winning_seq > ?2) RETURNING table_name, key",
            params![origin, last.0 as i64],
            |row| Ok((read_name(row, 0)?, read_key(row, 1)?)),
        )
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<EntryRow> {
    Ok(EntryRow {
        id: row.get(0)?,
        table: read_name(row, 1)?,
        record_key: row.get(2)?,
        key: read_key(row, 3)?,
        column: row.get::<_, Option<String>>(4)?.map(Into::into),
        conflict_type: row.get(5)?,
        strategy: row.get(6)?,
        state: row.get(7)?,
        losing: read_side(row, 8)?,
        winning: read_side(row, 14)?,
        common_value: row.get(20)?,
        common_data: row.get(21)?,
        detected_at: WallTime(row.get::<_, i64>(22)? as u64),
    })
}

fn read_side(row: &Row<'_>, from: usize) -> rusqlite::Result<SideRow> {
    Ok(SideRow {
        node: row.get(from)?,
        origin: row.get(from + 1)?,
        seq: read_seq(row, from + 2)?,
        lamport: read_lamport(row, from + 3)?,
        value: row.get(from + 4)?,
        data: row.get(from + 5)?,
    })
}

fn read_seq(row: &Row<'_>, column: usize) -> rusqlite::Result<Seq> {
    row.get::<_, i64>(column).map(|seq| Seq(seq as u64))
}

fn read_lamport(row: &Row<'_>, column: usize) -> rusqlite::Result<Lamport> {
    row.get::<_, i64>(column).map(|lamport| Lamport(lamport as u64))
}
