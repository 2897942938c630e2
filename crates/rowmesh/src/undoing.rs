//! Accidents that people take back: which changesets are meant, and step by step what becomes of their rows. What takes a change back is core's to say,
//! and to write it the store's.

use rowmesh_core::clock::WallTime;
use rowmesh_core::ident::Seq;
use rowmesh_core::store::UndoneRow;
use rowmesh_core::undo::{Undo, Undoing};
use rowmesh_core::value::{ColumnName, Value};

use crate::answers::{find_peer, json_of};
use crate::control::api::{Answer, Meant, Undone, Wrote};
use crate::decisions::table_named;
use crate::failure::{Failure, code};
use crate::shared::Shared;

/// The changesets that are meant, newest first.
///
/// # Errors
/// If neither a changeset nor a time was named, there is no such node or table, or the log holds nothing that is meant.
pub(crate) async fn changesets(shared: &Shared, meant: Meant) -> Result<Answer, Failure> {
    if meant.since.is_none() && (meant.node.is_none() || meant.seq.is_none()) {
        return Err(Failure::new(code::BAD_SETTING, "it was not said what is to be taken back")
            .hint(
                "One changeset, by the node and number that stand in `rowmesh log`:",
                "rowmesh undo --origin NODE --seq 17",
            )
            .hint("Or all that was done since:", "rowmesh undo --since 14:00 --table TABLE"));
    }
    let until = meant.until.unwrap_or(shared.clock.now().0);
    let undo = undo_of(shared, &meant)?;
    if let Some(table) = &meant.table {
        table_named(shared, table).await?;
    }
    let changesets = shared.store.read(move |store| store.changesets_meant(&undo)).await?;
    if changesets.is_empty() {
        return Err(Failure::new(code::NO_SUCH_CHANGE, "the log holds no such change")
            .why("it was never made, or is so old that every node has it, and was pruned")
            .hint("What it holds:", "rowmesh log"));
    }
    Ok(Answer::Meant { changesets, until })
}

/// Takes back some of the changes of one of them.
///
/// # Errors
/// If there is no such node, the log does not hold the changeset any more, or the database cannot be written.
pub(crate) async fn undo(
    shared: &Shared,
    meant: Meant,
    changeset: u64,
    skip: usize,
    dry_run: bool,
) -> Result<Answer, Failure> {
    let (undo, now) = (undo_of(shared, &meant)?, shared.clock.now());
    let step = shared.store.write(move |store| store.undo(now, &undo, changeset, skip, dry_run)).await?;
    let rows = step.rows.iter().map(told).collect();
    Ok(Answer::Undone { rows, looked: step.looked, more: step.more, events: step.sealed.events })
}

fn undo_of(shared: &Shared, meant: &Meant) -> Result<Undo, Failure> {
    let me = shared.me();
    let node = match &meant.node {
        Some(name) if *name == shared.members.name_of(&me) => Some(me),
        Some(name) => Some(find_peer(shared, name)?),
        None => None,
    };
    Ok(Undo {
        node,
        seq: meant.seq.map(Seq),
        since: meant.since.map(WallTime),
        until: meant.until.map(WallTime),
        table: meant.table.as_deref().map(Into::into),
    })
}

fn told(row: &UndoneRow) -> Undone {
    let wrote = |(column, value): (&ColumnName, &Value)| Wrote {
        column: Some(column.to_string()),
        stays: false,
        value: Some(json_of(value)),
    };
    let (what, writes) = match &row.undone.undoing {
        Undoing::Nothing => ("nothing", Vec::new()),
        Undoing::Gone => ("gone", Vec::new()),
        Undoing::Back(columns) => ("back", columns.iter().map(wrote).collect()),
        Undoing::Columns(columns) => ("changed", columns.iter().map(wrote).collect()),
    };
    Undone {
        table: row.table.to_string(),
        key: row.key.to_display(),
        what: what.to_owned(),
        writes,
        kept: row.undone.kept.iter().map(ToString::to_string).collect(),
        refused: row.refused.clone(),
    }
}
