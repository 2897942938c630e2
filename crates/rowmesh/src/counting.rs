//! A stock-take: what a person has counted is said of a row, whatever stood there, and sealed like any other write. What counters add up to is core's
//! business.

use rowmesh_core::amount::Amount;
use rowmesh_core::policy::ColumnPolicy;
use rowmesh_core::store::{Edit, Said};
use rowmesh_core::value::{ColumnName, Value};

use crate::answers::parsed;
use crate::control::api::{Answer, Wrote};
use crate::decisions::table_named;
use crate::failure::{Failure, code};
use crate::policies::{Of, rule_now};
use crate::rows::row_named;
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
    let rule = rule_now(&shared.members.roster(), table, Of::Column(column));
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
