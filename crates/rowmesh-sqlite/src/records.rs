//! The infrastructure tables that the node fills: members, settings, sessions, partitions, metrics, roster, acknowledgements. Plain writing and
//! reading; what is worth a row is decided by the node.

use rowmesh_core::ident::NodeId;
use rowmesh_core::store::{MetricRecord, NodeRecord, PartitionRecord, SessionRecord};
use rusqlite::{Connection, params};

use crate::fault::Result;

/// All roster entries.
pub fn roster_entries(connection: &Connection) -> Result<Vec<Vec<u8>>> {
    let mut statement = connection.prepare_cached("SELECT entry FROM rowmesh_roster ORDER BY hash")?;
    let entries = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(entries)
}

/// Keeps roster entries and what they say, for people.
pub fn keep_roster(
    connection: &Connection,
    entries: &[Vec<u8>],
    nodes: &[NodeRecord],
    settings: &[(String, String)],
) -> Result<()> {
    for entry in entries {
        connection
            .prepare_cached("INSERT OR IGNORE INTO rowmesh_roster (hash, entry) VALUES (?1, ?2)")?
            .execute(params![blake3::hash(entry).as_bytes(), entry])?;
    }
    for node in nodes {
        connection
            .prepare_cached(
                "INSERT INTO rowmesh_sync_nodes (node_id, name, role, addresses, state, last_seen) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (node_id) DO UPDATE SET name = excluded.name, role = excluded.role, addresses = excluded.addresses,
                     state = excluded.state, last_seen = coalesce(excluded.last_seen, last_seen)",
            )?
            .execute(params![
                node.node.to_string(),
                node.name,
                node.role,
                node.addresses.join(" "),
                node.state,
                node.last_seen.map(|time| time.0 as i64),
            ])?;
    }
    for (name, value) in settings {
        connection
            .prepare_cached("INSERT OR REPLACE INTO rowmesh_sync_configurations (name, value) VALUES (?1, ?2)")?
            .execute(params![name, value])?;
    }
    Ok(())
}

/// All acknowledgements.
pub fn acknowledgements(connection: &Connection) -> Result<Vec<Vec<u8>>> {
    let mut statement = connection.prepare_cached("SELECT bytes FROM rowmesh_acknowledgements ORDER BY node")?;
    let bytes = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(bytes)
}

/// Keeps the newest acknowledgement of a node.
pub fn keep_acknowledgement(connection: &Connection, node: &NodeId, bytes: &[u8]) -> Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO rowmesh_acknowledgements (node, bytes) VALUES (?1, ?2)")?
        .execute(params![node.0, bytes])?;
    Ok(())
}

/// Writes a row of `sync_sessions`, and when the peer was last seen.
pub fn session(connection: &Connection, session: &SessionRecord) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO rowmesh_sync_sessions (peer, dialled, started_at, ended_at, state, changesets_sent, changesets_received,
                 events_sent, events_received, bytes_sent, bytes_received, idle_before, error)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?
        .execute(params![
            session.peer.to_string(),
            session.dialled,
            session.started_at.0 as i64,
            session.ended_at.0 as i64,
            session.state,
            session.changesets_sent as i64,
            session.changesets_received as i64,
            session.events_sent as i64,
            session.events_received as i64,
            session.bytes_sent as i64,
            session.bytes_received as i64,
            session.idle_before as i64,
            session.error,
        ])?;
    if session.error.is_none() {
        connection
            .prepare_cached("UPDATE rowmesh_sync_nodes SET last_seen = ?2 WHERE node_id = ?1")?
            .execute(params![session.peer.to_string(), session.ended_at.0 as i64])?;
    }
    Ok(())
}

/// Opens or closes a row of `network_partitions`.
pub fn partition(connection: &Connection, partition: &PartitionRecord) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO rowmesh_network_partitions (peer, started_at, detected_at, healed_at, reason, events_on_healing)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (peer, started_at) DO UPDATE SET healed_at = excluded.healed_at, events_on_healing = excluded.events_on_healing",
        )?
        .execute(params![
            partition.peer.to_string(),
            partition.started_at.0 as i64,
            partition.detected_at.0 as i64,
            partition.healed_at.map(|time| time.0 as i64),
            partition.reason,
            partition.events_on_healing as i64,
        ])?;
    Ok(())
}

/// Adds to rows of `sync_metrics`: a daemon that is started again within an hour begins to count anew.
pub fn metrics(connection: &Connection, metrics: &[MetricRecord]) -> Result<()> {
    for metric in metrics {
        connection
            .prepare_cached(
                "INSERT INTO rowmesh_sync_metrics (hour, peer, name, value) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (hour, peer, name) DO UPDATE SET value = value + excluded.value",
            )?
            .execute(params![
                metric.hour.0 as i64,
                metric.peer.map_or_else(String::new, |peer| peer.to_string()),
                metric.name,
                metric.value,
            ])?;
    }
    Ok(())
}
