//! What people decide about one conflict: which side stands, or something else. A new write that has seen both sides, sealed and sent like any other.
//! Which conflicts there are is the ledger's business, what such a write does the store's.

use rowmesh_core::ledger::{Entry, Left};
use rowmesh_core::store::{ConflictView, Edit, Said};
use rowmesh_core::value::{ColumnName, Value};

use crate::answers::{json_of, one_conflict};
use crate::control::api::{Answer, Resolution, Wrote};
use crate::decisions::table_named;
use crate::failure::{Failure, code};
use crate::shared::Shared;

/// Settles one conflict for all nodes.
///
/// # Errors
/// If there is no such conflict, side or column, nothing or both were said, or the database refuses what was to be written.
pub(crate) async fn resolve(shared: &Shared, resolution: Resolution) -> Result<Answer, Failure> {
    let view = one_conflict(shared, &resolution.id).await?;
    let key_columns = table_named(shared, &view.entry.id.table).await?.key;
    let (table, key) = (view.entry.id.table.clone(), view.entry.id.key.clone());
    let row = shared.store.read(move |store| store.row_json(&table, &key)).await?;
    let side = side(shared, &view, resolution.keep.as_deref())?;
    let steps = match side {
        None => vec![said(&view.entry, &resolution)?],
        Some(side) => kept(&view.entry, side, row.is_some(), &key_columns),
    };
    let writes = steps.iter().flat_map(wrote).collect();
    if !resolution.dry_run {
        for edit in steps {
            let now = shared.clock.now();
            shared.store.write(move |store| store.edit(now, std::slice::from_ref(&edit))).await?;
        }
    }
    let entry = view.entry;
    Ok(Answer::Resolved { id: view.id, table: entry.id.table.to_string(), key: entry.id.key.to_display(), writes })
}

/// One side of a conflict.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    /// What stands.
    Shown,
    /// What lost.
    Lost,
}

/// The side that is to be kept; none if columns are set instead.
fn side(shared: &Shared, view: &ConflictView, keep: Option<&str>) -> Result<Option<Side>, Failure> {
    let Some(keep) = keep else { return Ok(None) };
    let name = |stamp: &rowmesh_core::row_state::Stamp| shared.members.name_of(&stamp.dot.origin.node);
    let (winner, loser) = (name(&view.entry.winning), name(&view.entry.losing));
    match keep {
        "shown" => Ok(Some(Side::Shown)),
        "lost" => Ok(Some(Side::Lost)),
        _ if winner == loser => Err(no_side(keep, "both sides were written there")),
        _ if keep == winner => Ok(Some(Side::Shown)),
        _ if keep == loser => Ok(Some(Side::Lost)),
        _ => Err(no_side(keep, &format!("{winner} wrote what stands, {loser} what lost"))),
    }
}

fn no_side(keep: &str, why: &str) -> Failure {
    Failure::new(code::BAD_SETTING, format!("{keep:?} is no side of this conflict"))
        .why(why)
        .hint("Give --keep shown, --keep lost, or the name of the node that wrote it.", "")
}

/// What columns are set to. The column that the conflict is about is written too: so the conflict ends.
fn said(entry: &Entry, resolution: &Resolution) -> Result<Edit, Failure> {
    let set = resolution.set.iter().map(|(column, text)| (column, Said::Value(Value::text(text))));
    let null = resolution.set_null.iter().map(|column| (column, Said::Value(Value::Null)));
    let mut values: Vec<(ColumnName, Said)> =
        set.chain(null).map(|(column, said)| (column.as_str().into(), said)).collect();
    if values.is_empty() {
        return Err(Failure::new(code::BAD_SETTING, "nothing was said about the conflict")
            .hint("Give --keep shown, --keep lost or --set COLUMN=VALUE.", ""));
    }
    if let Some(column) = &entry.id.column
        && !values.iter().any(|(known, _)| known == column)
    {
        values.push((column.clone(), Said::AsItStands));
    }
    Ok(edit(entry, Some(values)))
}

/// What has to be written so that a side stays.
fn kept(entry: &Entry, side: Side, stands: bool, key: &[String]) -> Vec<Edit> {
    let left = if side == Side::Shown { &entry.won } else { &entry.lost };
    let as_it_stands = |columns: &mut dyn Iterator<Item = &ColumnName>| -> Vec<(ColumnName, Said)> {
        columns.map(|column| (column.clone(), Said::AsItStands)).collect()
    };
    match (&entry.id.column, left) {
        (Some(column), _) if side == Side::Shown => vec![edit(entry, Some(as_it_stands(&mut [column].into_iter())))],
        (Some(column), Left::Value(value)) => {
            vec![edit(entry, Some(vec![(column.clone(), Said::Value(value.clone()))]))]
        }
        (_, Left::Written(columns)) => {
            let columns = columns.iter().filter(|(column, _)| !key.iter().any(|part| **part == ***column));
            let values = match side {
                Side::Shown => as_it_stands(&mut columns.map(|(column, _)| column)),
                Side::Lost => columns.map(|(column, value)| (column.clone(), Said::Value(value.clone()))).collect(),
            };
            vec![edit(entry, Some(values))]
        }
        // It stays deleted, or is deleted: by somebody who has seen what was written. Of a row that does not stand nothing can be said but that it was there.
        _ if stands => vec![edit(entry, None)],
        _ => vec![edit(entry, Some(Vec::new())), edit(entry, None)],
    }
}

fn edit(entry: &Entry, values: Option<Vec<(ColumnName, Said)>>) -> Edit {
    Edit { table: entry.id.table.clone(), key: entry.id.key.clone(), values, counted_anew: false }
}

/// The same for people.
fn wrote(edit: &Edit) -> Vec<Wrote> {
    let Some(values) = &edit.values else { return vec![Wrote { column: None, stays: false, value: None }] };
    let one = |(column, said): &(ColumnName, Said)| Wrote {
        column: Some(column.to_string()),
        stays: *said == Said::AsItStands,
        value: match said {
            Said::Value(value) => Some(json_of(value)),
            Said::AsItStands => None,
        },
    };
    values.iter().map(one).collect()
}
