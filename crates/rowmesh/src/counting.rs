//! A stock-take: what a person has counted is said of a row, whatever stood there, and sealed like any other write. What counters add up to is core's
//! business.

use rowmesh_core::amount::Amount;
use rowmesh_core::policy::ColumnPolicy;
use rowmesh_core::store::{Edit, Said};
use rowmesh_core::value::{ColumnName, Key, Value};

use crate::answers::parsed;
use crate::control::api::{Answer, Wrote};
use crate::decisions::table_named;
use crate::failure::{Failure, code};
use crate::policies::rule_now;
use crate::shared::Shared;

/// Says what was counted.
///
/// # Errors
/// If there is no such table, row or column, a column is no counter, a value is no number, or the database refuses it.
pub(crate) async fn count(
    shared: &Shared,
    table: &str,
    key: &str,
    values: &[(String, String)],
    dry_run: bool,
) -> Result<Answer, Failure> {
    let parts = table_named(shared, table).await?.key.len();
    let mut said = Vec::with_capacity(values.len());
    for (column, text) in values {
        check_counter(shared, table, column)?;
        said.push((ColumnName::from(column.as_str()), Said::Value(number(column, text)?)));
    }
    let (key, row) = row_named(shared, table, key, parts).await?;
    let before = parsed(&row);
    let wrote = |(column, text): &(String, String)| Wrote {
        column: Some(column.clone()),
        stays: false,
        value: Some(parsed(text)),
    };
    let answer = Answer::Counted {
        table: table.to_owned(),
        key: key.to_display(),
        before: values.iter().map(|(column, _)| (column.clone(), before[column.as_str()].clone())).collect(),
        writes: values.iter().map(wrote).collect(),
    };
    if !dry_run {
        let edit = Edit { table: table.into(), key, values: Some(said), counted_anew: true };
        let now = shared.clock.now();
        shared.store.write(move |store| store.edit(now, std::slice::from_ref(&edit))).await?;
    }
    Ok(answer)
}

fn check_counter(shared: &Shared, table: &str, column: &str) -> Result<(), Failure> {
    let rule = rule_now(&shared.members.roster(), table, Some(column));
    if ColumnPolicy::parse(&rule) == Some(ColumnPolicy::Counter) {
        return Ok(());
    }
    let message = format!("{table}.{column} is no counter: its policy is {rule}");
    Err(Failure::new(code::BAD_SETTING, message)
        .why("only of a counter it makes a difference whether a number was counted or changed")
        .hint("Let it count first:", format!("rowmesh conflicts policy {table} counter --column {column}")))
}

fn number(column: &str, text: &str) -> Result<Value, Failure> {
    match text.parse::<i64>() {
        Ok(number) => Ok(Value::Integer(number)),
        Err(_) if Amount::of(&Value::Decimal(text.to_owned())).is_some() => Ok(Value::text(text)),
        Err(_) => Err(Failure::new(code::BAD_SETTING, format!("{text:?} is no number for {column}"))),
    }
}

/// The row that a key means as people write it, and what it holds.
async fn row_named(shared: &Shared, table: &str, key: &str, parts: usize) -> Result<(Key, String), Failure> {
    for key in meanings(key, parts) {
        let (named, table) = (key.clone(), table.to_owned());
        if let Some(row) = shared.store.read(move |store| store.row_json(&table, &named)).await? {
            return Ok((key, row));
        }
    }
    let message = format!("{table} has no row with the key {key:?}");
    let hint = if parts > 1 { format!("Write the key as a JSON array of {parts} values.") } else { String::new() };
    Err(Failure::new(code::NO_SUCH_ROW, message).hint(hint, format!("rowmesh log --table {table}")))
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
