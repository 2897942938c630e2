//! Values that SQLite has no form for, on their way into a column: how they stand there exactly, or why they cannot. They come from nodes on
//! other databases; docs/types.md has the table for users. What SQLite holds itself goes in as it is, and nothing is ever rounded.

use rowmesh_core::amount::Amount;
use rowmesh_core::schema::Column;
use rowmesh_core::value::Value;
use rowmesh_engine::registry::Table;

/// What SQLite prefers in a column, told from its declared type as SQLite tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Affinity {
    Integer,
    Text,
    Blob,
    Real,
    Numeric,
}

/// The same for a column of a table: a key that would stand otherwise would name another row.
///
/// # Errors
/// Why it cannot stand there exactly.
pub fn fit_in(table: &Table, column: usize, value: &Value) -> Result<Option<Value>, String> {
    let declared = &table.schema.columns[column];
    match fit(declared, value)? {
        Some(_) if table.schema.key.contains(&column) => {
            Err(format!("column {} is part of the key and has no form here for what it holds", declared.name))
        }
        fitted => Ok(fitted),
    }
}

/// How a value stands in a column; `None` where it goes in as it is.
///
/// # Errors
/// Why it cannot stand there exactly.
fn fit(column: &Column, value: &Value) -> Result<Option<Value>, String> {
    let affinity = Affinity::of(&column.declared_type);
    match value {
        // Which SQLite does in tables that are not strict only; in those that are, ANY takes everything as it is.
        Value::Real(real) if !column.declared_type.eq_ignore_ascii_case("ANY") => Ok(affinity.whole(*real)),
        Value::Null | Value::Integer(_) | Value::Real(_) | Value::Text(_) | Value::Blob(_) => Ok(None),
        Value::Boolean(truth) => Ok(Some(affinity.boolean(*truth))),
        Value::Born(number, _) => Ok(Some(Value::Integer(*number))),
        Value::Decimal(text) => affinity.number(column, text).map(Some),
        Value::Typed(_, text) => {
            // Text that looks like a number would become one.
            let keeps_text = matches!(affinity, Affinity::Text | Affinity::Blob) || !looks_like_a_number(text);
            if keeps_text { Ok(Some(Value::text(text))) } else { Err(cannot_hold(column, text)) }
        }
    }
}

impl Affinity {
    /// By the rules of "Datatypes In SQLite", section 3.1.
    fn of(declared_type: &str) -> Affinity {
        let declared = declared_type.to_ascii_uppercase();
        let has = |words: &[&str]| words.iter().any(|word| declared.contains(word));
        match () {
            () if has(&["INT"]) => Affinity::Integer,
            () if has(&["CHAR", "CLOB", "TEXT"]) => Affinity::Text,
            () if declared.is_empty() || has(&["BLOB"]) => Affinity::Blob,
            () if has(&["REAL", "FLOA", "DOUB"]) => Affinity::Real,
            () => Affinity::Numeric,
        }
    }

    fn boolean(self, truth: bool) -> Value {
        match self {
            Affinity::Text => Value::text(if truth { "1" } else { "0" }),
            Affinity::Real => Value::Real(f64::from(u8::from(truth))),
            _ => Value::Integer(i64::from(truth)),
        }
    }

    /// The integer that SQLite keeps in the place of a whole double: such as a sum of doubles.
    fn whole(self, real: f64) -> Option<Value> {
        let is_whole = real.fract() == 0.0 && real.abs() < 9_223_372_036_854_775_808.0;
        (is_whole && matches!(self, Affinity::Integer | Affinity::Numeric)).then_some(Value::Integer(real as i64))
    }

    /// A decimal number: text where the column keeps text, else the integer or the float that is exactly it.
    fn number(self, column: &Column, text: &str) -> Result<Value, String> {
        if matches!(self, Affinity::Text | Affinity::Blob) {
            return Ok(Value::text(text));
        }
        let plain = without_trailing_zeros(text);
        if let Ok(whole) = plain.parse::<i64>()
            && (self != Affinity::Real || whole.unsigned_abs() <= 1 << 53)
        {
            return Ok(if self == Affinity::Real { Value::Real(whole as f64) } else { Value::Integer(whole) });
        }
        let real: f64 = plain.parse().map_err(|_| cannot_hold(column, text))?;
        let is_whole = !plain.contains('.');
        if is_whole
            && (self == Affinity::Integer || Amount::of(&Value::Real(real)) != Amount::of(&Value::Decimal(text.into())))
        {
            return Err(cannot_hold(column, text));
        }
        // Display writes the shortest digits that mean this float, never an exponent.
        if real.is_finite() && real.to_string() == plain {
            Ok(Value::Real(real))
        } else {
            Err(cannot_hold(column, text))
        }
    }
}

fn cannot_hold(column: &Column, text: &str) -> String {
    let shown: String = text.chars().take(40).collect();
    format!("column {} ({}) cannot hold {shown} exactly", column.name, column.declared_type)
}

fn looks_like_a_number(text: &str) -> bool {
    text.trim().starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) && text.trim().parse::<f64>().is_ok()
}

fn without_trailing_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(declared_type: &str) -> Column {
        Column { name: "c".into(), declared_type: declared_type.into(), not_null: false, default: None }
    }

    fn check(declared_type: &str, value: Value, expected: Value) {
        assert_eq!(fit(&column(declared_type), &value), Ok(Some(expected)), "{value:?} in {declared_type}");
    }

    fn typed(name: &str, text: &str) -> Value {
        Value::Typed(name.into(), text.into())
    }

    #[test]
    fn what_sqlite_holds_itself_goes_in_as_it_is() {
        for value in [Value::Null, Value::Integer(1), Value::Real(0.5), Value::text("x"), Value::Blob(vec![1].into())] {
            assert_eq!(fit(&column("DECIMAL(10,2)"), &value), Ok(None));
        }
    }

    #[test]
    fn a_whole_double_is_an_integer_where_sqlite_makes_it_one() {
        for declared_type in ["DECIMAL(10,2)", "INTEGER", "NUMERIC"] {
            check(declared_type, Value::Real(10.0), Value::Integer(10));
            check(declared_type, Value::Real(-0.0), Value::Integer(0));
        }
        for (declared_type, real) in [("REAL", 10.0), ("", 10.0), ("NUMERIC", 0.5), ("NUMERIC", 1e300)] {
            assert_eq!(fit(&column(declared_type), &Value::Real(real)), Ok(None), "{real} in {declared_type}");
        }
        assert_eq!(fit(&column("NUMERIC"), &Value::Real(9_223_372_036_854_775_808.0)), Ok(None));
        assert_eq!(fit(&column("NUMERIC"), &Value::Real(f64::INFINITY)), Ok(None));
        assert_eq!(fit(&column("ANY"), &Value::Real(10.0)), Ok(None), "a strict table keeps it");
    }

    #[test]
    fn a_whole_number_that_is_no_integer_of_sqlite_stands_exactly_or_not_at_all() {
        let large = |text: &str| Value::Decimal(text.into());
        check("NUMERIC", large("10000000000000000000"), Value::Real(1e19));
        for (declared_type, text) in [
            ("INTEGER", "10000000000000000000"),
            ("BIGINT", "9223372036854775808"),
            ("NUMERIC", "9223372036854776000"),
            ("REAL", "10000000000000000001"),
        ] {
            assert!(fit(&column(declared_type), &large(text)).is_err(), "{text} in {declared_type}");
        }
    }

    #[test]
    fn truth_is_one_and_zero() {
        check("BOOLEAN", Value::Boolean(true), Value::Integer(1));
        check("INTEGER", Value::Boolean(false), Value::Integer(0));
        check("TEXT", Value::Boolean(true), Value::text("1"));
    }

    #[test]
    fn a_decimal_stands_as_the_number_that_it_is_or_not_at_all() {
        let decimal = |text: &str| Value::Decimal(text.into());
        check("DECIMAL(12,2)", decimal("12.50"), Value::Real(12.5));
        check("DECIMAL(12,2)", decimal("12.00"), Value::Integer(12));
        check("DECIMAL(12,2)", decimal("-0.07"), Value::Real(-0.07));
        check("REAL", decimal("12"), Value::Real(12.0));
        check("TEXT", decimal("12.50"), Value::text("12.50"));
        check("NUMERIC", decimal("9223372036854775807"), Value::Integer(i64::MAX));
        for text in ["0.1234567890123456789", "9223372036854775808", "NaN", "Infinity", "1e400"] {
            assert!(fit(&column("NUMERIC"), &decimal(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn text_that_looks_like_a_number_is_not_bent_into_another() {
        check("TEXT", typed("varbit", "0101"), Value::text("0101"));
        assert!(fit(&column("NUMERIC"), &typed("varbit", "0101")).is_err());
    }
}
