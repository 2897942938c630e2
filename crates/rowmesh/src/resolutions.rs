//! What people decide about one conflict: which side stands, or something else. A new write that has seen both sides, sealed and sent like any other.
//! Which conflicts there are is the ledger's business, what such a write does the store's.

use rowmesh_core::ledger::{ConflictType, Entry, Left};
use rowmesh_core::store::{ConflictView, Edit, Said};
use rowmesh_core::value::{ColumnName, Value};

use crate::answers::{json_of, one_conflict, parsed};
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
    let side = match view.entry.kind {
        ConflictType::Unique => of_collision(&view.entry, side, row.is_some())?,
        ConflictType::ForeignKey => of_orphan(&view.entry, side, row.is_some())?,
        _ => side,
    };
    let edit = match side {
        None => said(&view.entry, &resolution)?,
        Some(side) => kept(&view.entry, side, row.is_some(), &key_columns),
    };
    let writes = wrote(&edit, row.as_deref().map(parsed).as_ref());
    if !resolution.dry_run {
        let now = shared.clock.now();
        shared.store.write(move |store| store.edit(now, std::slice::from_ref(&edit))).await?;
    }
    let entry = view.entry;
    Ok(Answer::Resolved { id: view.id, table: entry.id.table.to_string(), key: entry.id.key.to_display(), writes })
}

/// What of a conflict is to stay.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    /// What stands at this moment, whoever wrote it: with counters, nobody did.
    Shown,
    /// What won wrote.
    Won,
    /// What lost wrote.
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
        _ if keep == winner => Ok(Some(Side::Won)),
        _ if keep == loser => Ok(Some(Side::Lost)),
        _ => Err(no_side(keep, &format!("{winner} wrote what stands, {loser} what lost"))),
    }
}

/// Where another row keeps a unique value, this one can only keep what it shows instead.
fn of_collision(entry: &Entry, side: Option<Side>, stands: bool) -> Result<Option<Side>, Failure> {
    if side.is_none() || (side != Some(Side::Lost) && stands) {
        return Ok(side.map(|_| Side::Shown));
    }
    let row = format!("{} {}", entry.id.table, entry.id.key.to_display());
    Err(Failure::new(code::BAD_SETTING, format!("{row} cannot be shown so while another row has its value"))
        .hint("Give that row another value: then this one shows it by itself.", ""))
}

/// A row that is hidden waits for the one that it refers to; of others, what stands can be kept.
fn of_orphan(entry: &Entry, side: Option<Side>, stands: bool) -> Result<Option<Side>, Failure> {
    if stands {
        return Ok(side.map(|side| if side == Side::Won { Side::Shown } else { side }));
    }
    let row = format!("{} {}", entry.id.table, entry.id.key.to_display());
    Err(Failure::new(code::BAD_SETTING, format!("{row} is hidden: what it refers to was deleted"))
        .hint("Insert that row again, or undo its delete: then this one comes back.", ""))
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
fn kept(entry: &Entry, side: Side, stands: bool, key: &[String]) -> Edit {
    let is_key = |column: &ColumnName| key.iter().any(|part| **part == **column);
    let as_it_stands = |column: &ColumnName| (column.clone(), Said::AsItStands);
    let left = match side {
        Side::Won => &entry.won,
        Side::Lost => &entry.lost,
        Side::Shown => {
            let values = match (&entry.id.column, [&entry.won, &entry.lost]) {
                _ if !stands => None,
                (Some(column), _) => Some(vec![as_it_stands(column)]),
                (None, [Left::Written(columns), _] | [_, Left::Written(columns)]) => {
                    Some(columns.keys().filter(|column| !is_key(column)).map(as_it_stands).collect())
                }
                (None, _) => None,
            };
            return edit(entry, values);
        }
    };
    let said = |(column, value): (&ColumnName, &Value)| (column.clone(), Said::Value(value.clone()));
    match (&entry.id.column, left) {
        (Some(column), Left::Value(value)) => edit(entry, Some(vec![said((column, value))])),
        (_, Left::Written(columns)) => {
            edit(entry, Some(columns.iter().filter(|(column, _)| !is_key(column)).map(said).collect()))
        }
        // It stays deleted, or is deleted: by somebody who has seen what was written.
        _ => edit(entry, None),
    }
}

fn edit(entry: &Entry, values: Option<Vec<(ColumnName, Said)>>) -> Edit {
    Edit { table: entry.id.table.clone(), key: entry.id.key.clone(), values, counted_anew: false }
}

/// The same for people. `row` is as it stands.
fn wrote(edit: &Edit, row: Option<&serde_json::Value>) -> Vec<Wrote> {
    let Some(values) = &edit.values else { return vec![Wrote { column: None, stays: false, value: None }] };
    let one = |(column, said): &(ColumnName, Said)| Wrote {
        column: Some(column.to_string()),
        stays: *said == Said::AsItStands,
        value: match said {
            Said::Value(value) => Some(json_of(value)),
            Said::AsItStands => row.and_then(|row| row.get(&**column)).cloned(),
        },
    };
    values.iter().map(one).collect()
}
