//! One row as people name it, and where it comes from: who wrote what stands, what lost in it, what became of it. Decides nothing.

use rowmesh_core::lineage::{Cause, ColumnLineage};
use rowmesh_core::row_state::Stamp;
use rowmesh_core::store::{EventQuery, RowView};
use rowmesh_core::value::{Key, Value};

use crate::answers::{ROWS_MAX, changes_of, conflict_of, json_of};
use crate::control::api::{Answer, Author, Why, WhyColumn, WhyWaits, WhyWrite};
use crate::decisions::table_named;
use crate::failure::{Failure, code};
use crate::shared::Shared;

/// Where a row comes from, be it there or not.
///
/// # Errors
/// If there is no such table, or nothing is known of such a row.
pub(crate) async fn why(shared: &Shared, table: &str, key: &str, limit: usize) -> Result<Answer, Failure> {
    let parts = table_named(shared, table).await?.key.len();
    let (key, view) = known_row(shared, table, key, parts).await?;
    let limit = limit.clamp(1, ROWS_MAX);
    let query =
        EventQuery { table: Some(table.to_owned()), key: Some(key.to_display()), limit, ..EventQuery::default() };
    let mut changes = changes_of(shared, query).await?;
    changes.reverse();
    let author = |stamp: &Stamp| Author {
        node: shared.members.name_of(&stamp.dot.origin.node),
        at: stamp.lamport.wall().0,
        seq: stamp.dot.seq.0,
    };
    let column = |known: ColumnLineage| WhyColumn {
        column: known.column.to_string(),
        value: known.shown.as_ref().map(json_of),
        cause: match known.cause {
            Cause::Last => "last",
            Cause::Chosen => "chosen",
            Cause::Sum => "sum",
        }
        .to_owned(),
        policy: known.policy.spell(|node| shared.members.name_of(node)),
        writes: known.writes.iter().map(|it| WhyWrite { by: author(&it.stamp), value: json_of(&it.value) }).collect(),
    };
    let RowView { lineage, conflicts, parked } = view;
    let waits = parked.into_iter().map(|it| WhyWaits {
        node: shared.members.name_of(&it.dot.origin.node),
        seq: it.dot.seq.0,
        reason: it.reason,
    });
    Ok(Answer::Why(Why {
        table: table.to_owned(),
        key: key.to_display(),
        stands: lineage.stands,
        made: lineage.births.iter().map(author).collect(),
        deleted: lineage.deletes.iter().map(author).collect(),
        policy: lineage.policy.as_str().to_owned(),
        columns: lineage.columns.into_iter().map(column).collect(),
        conflicts: conflicts.into_iter().map(|view| conflict_of(shared, view)).collect(),
        waits: waits.collect(),
        changes,
    }))
}

/// The row that a key means as people write it, if anything is known of it.
async fn known_row(shared: &Shared, table: &str, key: &str, parts: usize) -> Result<(Key, RowView), Failure> {
    for key in meanings(key, parts) {
        let (named, table) = (key.clone(), table.to_owned());
        if let Some(view) = shared.store.read(move |store| store.row(&table, &named)).await? {
            return Ok((key, view));
        }
    }
    Err(no_row(table, key, parts))
}

/// The row that a key means as people write it, and what it holds.
pub(crate) async fn row_named(shared: &Shared, table: &str, key: &str, parts: usize) -> Result<(Key, String), Failure> {
    for key in meanings(key, parts) {
        let (named, table) = (key.clone(), table.to_owned());
        if let Some(row) = shared.store.read(move |store| store.row_json(&table, &named)).await? {
            return Ok((key, row));
        }
    }
    Err(no_row(table, key, parts))
}

fn no_row(table: &str, key: &str, parts: usize) -> Failure {
    let message = format!("{table} has no row with the key {key:?}");
    let hint = if parts > 1 { format!("Write the key as a JSON array of {parts} values.") } else { String::new() };
    Failure::new(code::NO_SUCH_ROW, message).hint(hint, format!("rowmesh log --table {table}"))
}

/// What a key may be that people write as the bare value of one column, or as a JSON array.
fn meanings(key: &str, parts: usize) -> Vec<Key> {
    if parts == 1 {
        let integer = key.parse::<i64>().ok().map(Value::Integer);
        let decimal = Value::Decimal(key.to_owned());
        let values = [Some(Value::text(key)), integer, Some(decimal)];
        return values.iter().flatten().map(|value| Key::of([value])).collect();
    }
    let Ok(serde_json::Value::Array(values)) = serde_json::from_str(key) else { return Vec::new() };
    let value = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => Some(Value::text(text)),
        serde_json::Value::Bool(truth) => Some(Value::Boolean(*truth)),
        serde_json::Value::Number(number) => {
            number.as_i64().map(Value::Integer).or_else(|| number.as_f64().map(Value::Real))
        }
        _ => None,
    };
    let values: Option<Vec<Value>> = values.iter().map(value).collect();
    values.filter(|values| values.len() == parts).map(|values| Key::of(&values)).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_tried_as_what_it_may_be() {
        let of = |value: Value| Key::of([&value]);
        assert_eq!(meanings("pen", 1)[0], of(Value::text("pen")));
        assert!(meanings("17", 1).contains(&of(17.into())) && meanings("17", 1).contains(&of(Value::text("17"))));
        assert_eq!(meanings("[\"o1\",2]", 2), [Key::of([&Value::text("o1"), &2.into()])]);
        assert!(meanings("o1", 2).is_empty() && meanings("[1]", 2).is_empty() && meanings("[null,1]", 2).is_empty());
    }
}
