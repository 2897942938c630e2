//! `show`: what stands in the tables, as a pure function of row states and policy. One row at a time: existence, then each column. The rules
//! that span rows are not here: `orphans` and `unique` hold what of them is pure, the engine finds the rows.

use crate::amount::Amount;
use crate::policy::{ColumnPolicy, ExistencePolicy, TablePolicy};
use crate::row_state::{ColumnIx, Register, RowState, Shown, Stamp, Written};
use crate::value::{ColumnName, Value};

/// What a row's states and policy say should stand in the table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Choice {
    /// No row.
    Absent,
    /// A row with these values, by column ascending; columns that nobody wrote are left to the table's default.
    Present(Vec<(ColumnIx, Value)>),
}

/// Chooses what to show of one row. `names` gives the name of each column number.
pub fn show(state: &RowState, policy: &TablePolicy, names: &[ColumnName]) -> Choice {
    show_row(state, policy, names, false)
}

/// The same of a row that stands, whole, though it was deleted, where `is_restored`: others need it.
pub fn show_row(state: &RowState, policy: &TablePolicy, names: &[ColumnName], is_restored: bool) -> Choice {
    if !is_restored && !exists(state, policy.existence) {
        return Choice::Absent;
    }
    Choice::Present(image(state, policy, names))
}

/// What the columns show where the row stands, or showed last where it does not, by column ascending.
pub fn image(state: &RowState, policy: &TablePolicy, names: &[ColumnName]) -> Vec<(ColumnIx, Value)> {
    let columns = state.registers.iter().enumerate();
    let chosen = columns.filter_map(|(number, register)| {
        let column = ColumnIx(number as u16);
        Some((column, value(state, column, register, column_policy(policy, names, number))?))
    });
    chosen.collect()
}

/// Whether the row is shown.
pub fn exists(state: &RowState, policy: ExistencePolicy) -> bool {
    if state.has_left() {
        return false;
    }
    let written = state.live.iter().max();
    let deleted = state.deletes.iter().max();
    match policy {
        ExistencePolicy::UpdateWins | ExistencePolicy::Ask => written.is_some(),
        ExistencePolicy::DeleteWins => written.is_some() && deleted.is_none(),
        ExistencePolicy::LastWriter => written > deleted,
    }
}

/// What a column shows; `None` if nobody wrote it.
fn value(state: &RowState, column: ColumnIx, register: &Register, policy: &ColumnPolicy) -> Option<Value> {
    let counted = if *policy == ColumnPolicy::Counter { state.counted(column) } else { None };
    counted.or_else(|| choose(register, policy).map(|written| written.value.clone()))
}

/// The write of a column that is shown, or that a counter falls back to where it has no sum; `None` if nobody wrote it.
pub fn choose<'r>(register: &'r Register, policy: &ColumnPolicy) -> Option<&'r Written> {
    register.writes().iter().max_by(|a, b| compare(policy, (&a.value, &a.stamp), (&b.value, &b.stamp)))
}

/// The total order that a policy puts on writes: the greatest is shown.
pub fn compare(policy: &ColumnPolicy, a: (&Value, &Stamp), b: (&Value, &Stamp)) -> std::cmp::Ordering {
    let place = |stamp: &Stamp| policy.place(&stamp.dot.origin.node);
    let by_rule = match policy {
        ColumnPolicy::LastWriter | ColumnPolicy::Ask => std::cmp::Ordering::Equal,
        ColumnPolicy::NodePriority(_) => place(b.1).cmp(&place(a.1)),
        ColumnPolicy::Counter => Amount::of(a.0).is_some().cmp(&Amount::of(b.0).is_some()),
        ColumnPolicy::Max => compare_values(a.0, b.0),
        ColumnPolicy::Min => compare_values(b.0, a.0),
    };
    by_rule.then_with(|| a.1.cmp(b.1))
}

/// What to remember as shown once the choice stands in the table.
pub fn remember(state: &RowState, choice: &Choice) -> Shown {
    match choice {
        Choice::Absent => Shown::Absent,
        Choice::Present(image) => {
            let several = state.registers.iter().any(|register| matches!(register, Register::Several(_)));
            if several { Shown::Image(image.clone()) } else { Shown::AsWritten }
        }
    }
}

fn column_policy<'p>(policy: &'p TablePolicy, names: &[ColumnName], number: usize) -> &'p ColumnPolicy {
    names.get(number).map_or(&ColumnPolicy::LastWriter, |name| policy.column(name))
}

/// A total order on values: NULL, booleans, numbers, text, bytes, the rest; numbers by size, then by kind.
fn compare_values(a: &Value, b: &Value) -> std::cmp::Ordering {
    let rank = |value: &Value| match value {
        Value::Null => 0,
        Value::Boolean(_) => 1,
        Value::Integer(_) | Value::Real(_) | Value::Born(..) => 2,
        Value::Decimal(_) => 3,
        Value::Text(_) => 4,
        Value::Blob(_) => 5,
        Value::Typed(..) => 6,
    };
    rank(a).cmp(&rank(b)).then_with(|| match (a, b) {
        (Value::Boolean(a), Value::Boolean(b)) => a.cmp(b),
        (Value::Integer(a), Value::Integer(b)) => a.cmp(b),
        (Value::Real(a), Value::Real(b)) => a.total_cmp(b),
        (Value::Integer(a), Value::Real(b)) => compare_mixed(*a, *b),
        (Value::Real(a), Value::Integer(b)) => compare_mixed(*b, *a).reverse(),
        (Value::Text(a), Value::Text(b)) | (Value::Blob(a), Value::Blob(b)) => a.cmp(b),
        (Value::Decimal(a), Value::Decimal(b)) => compare_decimals(a, b),
        (Value::Typed(a, x), Value::Typed(b, y)) => (a, x).cmp(&(b, y)),
        (Value::Born(a, x), Value::Born(b, y)) => (a, x).cmp(&(b, y)),
        // Behind the bare number.
        (Value::Born(a, _), b) => compare_values(&Value::Integer(*a), b).then(std::cmp::Ordering::Greater),
        (a, Value::Born(b, _)) => compare_values(a, &Value::Integer(*b)).then(std::cmp::Ordering::Less),
        _ => std::cmp::Ordering::Equal,
    })
}

/// Exact comparison of an integer with a real; equal ones are ordered integer first, so that the order stays total.
fn compare_mixed(integer: i64, real: f64) -> std::cmp::Ordering {
    use std::cmp::Ordering::{Greater, Less};
    if real.is_nan() {
        return Less;
    }
    // 2^63 is exact as a double; below it in size the whole part fits an i64 exactly.
    let bound = 9_223_372_036_854_775_808.0;
    if real >= bound {
        Less
    } else if real < -bound {
        Greater
    } else {
        let whole = real.trunc() as i64;
        integer.cmp(&whole).then_with(|| if real.fract() < 0.0 { Greater } else { Less })
    }
}

fn compare_decimals(a: &str, b: &str) -> std::cmp::Ordering {
    let (a_negative, b_negative) = (a.starts_with('-'), b.starts_with('-'));
    let (a_whole, a_fraction) = decimal_parts(a);
    let (b_whole, b_fraction) = decimal_parts(b);
    let size = (a_whole.len(), a_whole, a_fraction.trim_end_matches('0'));
    let other = (b_whole.len(), b_whole, b_fraction.trim_end_matches('0'));
    match (a_negative, b_negative) {
        (false, false) => size.cmp(&other),
        (true, true) => other.cmp(&size),
        (true, false) => std::cmp::Ordering::Less,
        (false, true) => std::cmp::Ordering::Greater,
    }
    .then_with(|| a.cmp(b))
}

fn decimal_parts(text: &str) -> (&str, &str) {
    let digits = text.trim_start_matches(['-', '+']);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    (whole.trim_start_matches('0'), fraction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::tests::any_value;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn f1_the_order_on_values_is_total(a in any_value(), b in any_value(), c in any_value()) {
            use std::cmp::Ordering;
            prop_assert_eq!(compare_values(&a, &b), compare_values(&b, &a).reverse());
            prop_assert_eq!(compare_values(&a, &b) == Ordering::Equal, a == b);
            if compare_values(&a, &b) != Ordering::Greater && compare_values(&b, &c) != Ordering::Greater {
                prop_assert_ne!(compare_values(&a, &c), Ordering::Greater);
            }
        }

        #[test]
        fn f1_integers_and_reals_compare_exactly(integer: i64, real in prop_oneof![any::<f64>(), any::<i64>().prop_map(|i| i as f64)]) {
            prop_assume!(!real.is_nan());
            let exact = (integer as i128).cmp(&(real.clamp(-1e30, 1e30).floor() as i128));
            if exact != std::cmp::Ordering::Equal {
                prop_assert_eq!(compare_mixed(integer, real), exact);
            }
        }
    }
}
