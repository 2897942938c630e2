//! The tables that the node fills: members, settings, sessions, partitions, metrics, roster, acknowledgements, loads. Plain writing and
//! reading; what is worth a row is decided by the node and the engine.

use rowmesh_core::clock::WallTime;
use rowmesh_core::ident::NodeId;
use rowmesh_core::store::{MetricRecord, NodeRecord, PartitionRecord, SessionRecord};
use rowmesh_engine::database::Records;
use rowmesh_engine::fault::Result;

use crate::access::PostgresAccess;
use crate::fault::Told;

impl Records for PostgresAccess<'_> {
    fn roster_entries(&self) -> Result<Vec<Vec<u8>>> {
        self.all("SELECT entry FROM rowmesh.roster ORDER BY hash", &[], |row| row.get(0))
    }

    fn keep_roster(&self, entries: &[Vec<u8>], nodes: &[NodeRecord], settings: &[(String, String)]) -> Result<()> {
        for entry in entries {
            self.run(
                "INSERT INTO rowmesh.roster (hash, entry) VALUES ($1, $2) ON CONFLICT (hash) DO NOTHING",
                &[&&blake3::hash(entry).as_bytes()[..], entry],
            )?;
        }
        for node in nodes {
            self.run(
"INSERT INTO rowmesh.sync_nodes (node_id, name, role, addresses, state, last_seen) VALUES ($1, $2, $3, $4, $5, $6)
                 ON CONFLICT (node_id) DO UPDATE SET name = excluded.name, role = excluded.role, addresses = excluded.addresses,
                     state = excluded.state, last_seen = coalesce(excluded.last_seen, sync_nodes.last_seen)",
&[
&node.node.to_string(),
&node.name,
&node.role,
&node.addresses.join(" "),
&node.state,
&node.last_seen.map(|time| time.0 as i64),
],
)?;
        }
        for (name, value) in settings {
            self.run(
                "INSERT INTO rowmesh.sync_configurations (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                &[name, value],
            )?;
        }
        Ok(())
    }

    fn acknowledgements(&self) -> Result<Vec<Vec<u8>>> {
        self.all("SELECT bytes FROM rowmesh.acknowledgements ORDER BY node", &[], |row| row.get(0))
    }

    fn keep_acknowledgement(&self, node: &NodeId, bytes: &[u8]) -> Result<()> {
        self.run(
            "INSERT INTO rowmesh.acknowledgements (node, bytes) VALUES ($1, $2) ON CONFLICT (node) DO UPDATE SET bytes = excluded.bytes",
            &[&&node.0[..], &bytes],
        )?;
        Ok(())
    }

    fn record_session(&self, session: &SessionRecord) -> Result<()> {
        self.run(
"INSERT INTO rowmesh.sync_sessions (peer, dialled, started_at, ended_at, state, changesets_sent, changesets_received,
                 events_sent, events_received, bytes_sent, bytes_received, idle_before, error)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
&[
&session.peer.to_string(),
&i64::from(session.dialled),
&(session.started_at.0 as i64),
&(session.ended_at.0 as i64),
&session.state,
&(session.changesets_sent as i64),
&(session.changesets_received as i64),
&(session.events_sent as i64),
&(session.events_received as i64),
&(session.bytes_sent as i64),
&(session.bytes_received as i64),
&(session.idle_before as i64),
&session.error,
],
)?;
        if session.error.is_none() {
            self.run(
                "UPDATE rowmesh.sync_nodes SET last_seen = $2 WHERE node_id = $1",
                &[&session.peer.to_string(), &(session.ended_at.0 as i64)],
            )?;
        }
        Ok(())
    }

    fn record_partition(&self, partition: &PartitionRecord) -> Result<()> {
        self.run(
"INSERT INTO rowmesh.network_partitions (peer, started_at, detected_at, healed_at, reason, events_on_healing)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (peer, started_at) DO UPDATE SET healed_at = excluded.healed_at, events_on_healing = excluded.events_on_healing",
&[
&partition.peer.to_string(),
&(partition.started_at.0 as i64),
&(partition.detected_at.0 as i64),
&partition.healed_at.map(|time| time.0 as i64),
&partition.reason,
&(partition.events_on_healing as i64),
],
)?;
        Ok(())
    }

    fn record_metrics(&self, metrics: &[MetricRecord]) -> Result<()> {
        for metric in metrics {
            self.run(
                "INSERT INTO rowmesh.sync_metrics (hour, peer, name, value) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (hour, peer, name) DO UPDATE SET value = sync_metrics.value + excluded.value",
                &[
                    &(metric.hour.0 as i64),
                    &metric.peer.map_or_else(String::new, |peer| peer.to_string()),
                    &metric.name,
                    &metric.value,
                ],
            )?;
        }
        Ok(())
    }

    fn begin_load(&self, source: &NodeId, rows: u64, start: &[u8], now: WallTime) -> Result<i64> {
        self.one(
            "INSERT INTO rowmesh.initial_load_sessions (source, state, started_at, chunks_loaded, rows_loaded, rows_total, start)
             VALUES ($1, 'Transferring', $2, 0, 0, $3, $4) RETURNING id",
            &[&source.to_string(), &(now.0 as i64), &(rows as i64), &start],
            |row| row.get(0),
        )
    }

    fn note_load(&self, id: i64, chunks: u64, rows: u64) -> Result<()> {
        let sql =
            "UPDATE rowmesh.initial_load_sessions SET chunks_loaded = $2, rows_loaded = rows_loaded + $3 WHERE id = $1";
        self.run(sql, &[&id, &(chunks as i64), &(rows as i64)]).map(drop)
    }

    fn end_load(&self, id: i64, now: WallTime) -> Result<()> {
        let sql = "UPDATE rowmesh.initial_load_sessions SET state = 'Completed', ended_at = $2 WHERE id = $1";
        self.run(sql, &[&id, &(now.0 as i64)]).map(drop)
    }

    fn has_unfinished_load(&self) -> Result<bool> {
        let sql = "SELECT id FROM rowmesh.initial_load_sessions WHERE state = 'Transferring' LIMIT 1";
        Ok(self.find(sql, &[], |_| ())?.is_some())
    }

    fn forget_unfinished_load(&self) -> Result<()> {
        let all = "UPDATE rowmesh.tables SET rows = 0; DELETE FROM rowmesh.row_states; DELETE FROM rowmesh.parked; DELETE FROM rowmesh.exceptions; DELETE FROM rowmesh.lost_numbers; DELETE FROM rowmesh.events;
         DELETE FROM rowmesh.changesets; DELETE FROM rowmesh.conflict_resolutions;
         UPDATE rowmesh.initial_load_sessions SET state = 'Failed', error = 'cut short' WHERE state = 'Transferring'";
        self.session.batch(all).told()?;
        self.held.borrow_mut().states.clear();
        Ok(())
    }
}
