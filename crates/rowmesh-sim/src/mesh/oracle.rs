//! What must hold once everything is healed and quiet. Does not look at how the nodes got there, nor at speed.

use std::collections::BTreeSet;

use rowmesh_core::store::Store;
use rusqlite::Connection;

use super::workload::Workload;
use super::world::World;

/// Checks every oracle.
///
/// # Errors
/// The first that fails, with what was seen.
pub fn check(world: &mut World) -> Result<(), String> {
    equal_contents(world)?;
    equal_ledgers(world)?;
    for node in 0..world.nodes.len() {
        constraints_hold(world, node)?;
        states_are_what_stands(world, node)?;
        full_text_is_right(world, node)?;
        nothing_written_is_lost(world, node)?;
    }
    nothing_new_comes_of_repetition(world)?;
    let apps: Vec<&Connection> = world.nodes.iter().map(|node| &node.app).collect();
    world.secrets.check(&apps)
}

/// O1: equal contents, by the store's digest and by the tables themselves.
fn equal_contents(world: &World) -> Result<(), String> {
    let contents: Vec<Vec<String>> = world.nodes.iter().map(|node| dump(&node.app, &world.workload)).collect();
    for other in 1..contents.len() {
        if contents[0] != contents[other] {
            let only = |a: usize, b: usize| contents[a].iter().find(|row| !contents[b].contains(row)).cloned();
            return Err(format!("O1: node 0 and node {other} differ: {:?} and {:?}", only(0, other), only(other, 0)));
        }
    }
    Ok(())
}

/// O3: equal ledgers.
fn equal_ledgers(world: &World) -> Result<(), String> {
    let ledgers: Vec<Vec<String>> = world.nodes.iter().map(|node| ledger(&node.app)).collect();
    for other in 1..ledgers.len() {
        if ledgers[0] != ledgers[other] {
            let only = |a: usize, b: usize| ledgers[a].iter().find(|row| !ledgers[b].contains(row)).cloned();
            return Err(format!(
                "O3: ledgers of node 0 and node {other} differ: {:?} and {:?}",
                only(0, other),
                only(other, 0)
            ));
        }
    }
    Ok(())
}

/// O5: every constraint of the schema, and the file itself.
fn constraints_hold(world: &World, node: usize) -> Result<(), String> {
    let app = &world.nodes[node].app;
    let dangling = query(app, "PRAGMA foreign_key_check");
    // A full-text index as an old connection remembers it is not the one that stands there.
    let integrity = query(&world.nodes[node].fresh_connection(), "PRAGMA integrity_check");
    // Rows that a rule hides, on all nodes, are told with those that wait.
    let is_hidden = "reason LIKE '%, which was deleted' OR reason LIKE '%, which is hidden' OR reason LIKE '%, and it can show no other'";
    let parked = query(app, &format!("SELECT * FROM rowmesh_parked WHERE NOT ({is_hidden})"));
    if !dangling.is_empty() || !parked.is_empty() || !integrity.iter().all(|line| line.contains("ok")) {
        return Err(format!("O5: node {node}: dangling {dangling:?}, integrity {integrity:?}, parked {parked:?}"));
    }
    Ok(())
}

/// O6: nothing left to seal, and what is remembered is what stands.
fn states_are_what_stands(world: &mut World, node: usize) -> Result<(), String> {
    let now = world.wall(node);
    let Some(daemon) = &world.nodes[node].daemon else { return Err(format!("node {node} is down after healing")) };
    let mut store = daemon.store.borrow_mut();
    let differing = store.reconcile(None, now).map_err(|error| error.to_string())?;
    let sealed = store.seal(now).map_err(|error| error.to_string())?;
    if differing > 0 || sealed.events > 0 {
        return Err(format!(
            "O6: node {node}: {differing} rows differ from what is remembered, {} events more",
            sealed.events
        ));
    }
    Ok(())
}

/// The index that the application's own triggers keep is that of the rows.
fn full_text_is_right(world: &World, node: usize) -> Result<(), String> {
    if !matches!(world.workload, Workload::Shop) {
        return Ok(());
    }
    let app = &world.nodes[node].app;
    let indexed = query(app, "SELECT id, name FROM search ORDER BY id, name");
    let rows = query(app, "SELECT id, name FROM customers ORDER BY id, name");
    if indexed == rows { Ok(()) } else { Err(format!("node {node}: full-text index {indexed:?}, rows {rows:?}")) }
}

/// O2: every value that stood in a table before healing stands now, or is told by an event's images.
fn nothing_written_is_lost(world: &World, node: usize) -> Result<(), String> {
    let app = &world.nodes[node].app;
    let mut told: BTreeSet<String> =
        query(app, "SELECT coalesce(before_data, '') || coalesce(after_data, '') FROM rowmesh_sync_events")
            .into_iter()
            .collect();
    // What stood there before Rowmesh came is in no event, and came to others with a snapshot.
    told.extend(dump(app, &world.workload).iter().flat_map(|row| row.split('|')).map(|cell| format!("\"{cell}\"")));
    let told: String = told.into_iter().collect();
    for value in &world.witnessed {
        if !told.contains(value.as_str()) {
            return Err(format!("O2: node {node} knows nothing of the value {value}"));
        }
    }
    Ok(())
}

/// O8: delivering everything again changes nothing.
fn nothing_new_comes_of_repetition(world: &mut World) -> Result<(), String> {
    let before: Vec<Vec<String>> = world.nodes.iter().map(|node| dump(&node.app, &world.workload)).collect();
    for from in 0..world.nodes.len() {
        let Some(daemon) = &world.nodes[from].daemon else { continue };
        let everything = rowmesh_core::exchange::LogRequest::new(Default::default(), [], u64::MAX);
        let log = daemon.store.borrow_mut().read_log(&everything).map_err(|error| error.to_string())?;
        for to in 0..world.nodes.len() {
            let now = world.wall(to);
            let applied = world.nodes[to].apply(&log.changesets, now).ok_or("O8: nothing can be taken")?;
            if applied.taken.events > 0 || !applied.refused.is_empty() {
                return Err(format!("O8: node {to} took {:?} again, refused {:?}", applied.taken, applied.refused));
            }
        }
    }
    let after: Vec<Vec<String>> = world.nodes.iter().map(|node| dump(&node.app, &world.workload)).collect();
    if before == after { Ok(()) } else { Err("O8: contents changed by repetition".to_owned()) }
}

/// Whether the application's tables are there: a node that joins may get them with its copy.
pub fn has_tables(app: &Connection, workload: &Workload) -> bool {
    workload.tables().iter().all(|table| app.prepare(&format!("SELECT 1 FROM {table}")).is_ok())
}

/// All rows of the application's tables that travel.
pub fn dump(app: &Connection, workload: &Workload) -> Vec<String> {
    let mut rows = Vec::new();
    for (table, sql) in workload.shared_rows() {
        rows.extend(query(app, &sql).into_iter().map(|row| format!("{table}|{row}")));
    }
    rows.sort();
    rows
}

/// Every text that stands in them.
pub fn texts(app: &Connection, workload: &Workload) -> impl Iterator<Item = String> {
    let rows: Vec<String> = workload.shared_rows().iter().flat_map(|(_, sql)| query(app, sql)).collect();
    // Texts stand bare in a row, everything else with the name of its type, NULL included.
    let is_text = |cell: &&str| !cell.contains('(') && *cell != "Null";
    rows.into_iter().flat_map(move |row| row.split('|').filter(is_text).map(str::to_owned).collect::<Vec<_>>())
}

/// The ledger without what each node says of itself.
pub fn ledger(app: &Connection) -> Vec<String> {
    query(
        app,
        "SELECT id, table_name, record_key, column_name, conflict_type, strategy, state, losing_node, losing_seq, losing_data, winning_node,
                winning_seq, winning_data, common_data FROM rowmesh_conflict_resolutions ORDER BY id",
    )
}

/// Rows of a query, one line each.
pub fn query(app: &Connection, sql: &str) -> Vec<String> {
    let mut statement = app.prepare(sql).expect("the oracle's query is valid");
    let count = statement.column_count();
    let mut rows = statement.query([]).expect("the oracle's query runs");
    let mut lines = Vec::new();
    while let Some(row) = rows.next().expect("the oracle's query runs") {
        let cells = (0..count).map(|column| match row.get_ref(column).expect("a column of the result") {
            rusqlite::types::ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
            other => format!("{other:?}"),
        });
        lines.push(cells.collect::<Vec<_>>().join("|"));
    }
    lines
}
