//! Turns what this crate computes into values of the database and back, so that a row can be written as a list of names and
//! values, and read as what it means.

use std::fmt;

use crate::{calendar::Moment, database::Value};

/// An amount of money in hundredths of the business's currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cents(pub i64);

impl Cents {
    pub(crate) fn times_percent(self, percent: i64) -> Self {
        Self((self.0 * percent + 50).div_euclid(100))
    }
}

impl fmt::Display for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let cents = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:02}", cents / 100, cents % 100)
    }
}

/// What can stand in a column.
pub(crate) trait Cell {
    fn cell(&self) -> Value;
}

impl Cell for Value {
    fn cell(&self) -> Value {
        self.clone()
    }
}

impl Cell for str {
    fn cell(&self) -> Value {
        Value::Text(self.to_owned())
    }
}

impl Cell for String {
    fn cell(&self) -> Value {
        Value::Text(self.clone())
    }
}

impl Cell for i64 {
    fn cell(&self) -> Value {
        Value::Integer(*self)
    }
}

impl Cell for bool {
    fn cell(&self) -> Value {
        Value::Integer(i64::from(*self))
    }
}

impl Cell for f64 {
    fn cell(&self) -> Value {
        Value::Real(*self)
    }
}

impl Cell for Cents {
    fn cell(&self) -> Value {
        Value::Real(self.0 as f64 / 100.0)
    }
}

/// A time; a date is written as [`Moment::date`].
impl Cell for Moment {
    fn cell(&self) -> Value {
        Value::Text(self.time())
    }
}

impl<T: Cell + ?Sized> Cell for &T {
    fn cell(&self) -> Value {
        (**self).cell()
    }
}

impl<T: Cell> Cell for Option<T> {
    fn cell(&self) -> Value {
        self.as_ref().map_or(Value::Null, Cell::cell)
    }
}

/// What can be read from a column. Fails with a word for what stands there instead.
pub trait FromValue: Sized {
    /// The value as this type.
    fn from_value(value: Value) -> Result<Self, &'static str>;
}

impl FromValue for String {
    fn from_value(value: Value) -> Result<Self, &'static str> {
        match value {
            Value::Text(text) => Ok(text),
            other => Err(kind_of(&other)),
        }
    }
}

impl FromValue for i64 {
    fn from_value(value: Value) -> Result<Self, &'static str> {
        match value {
            Value::Integer(number) => Ok(number),
            other => Err(kind_of(&other)),
        }
    }
}

impl FromValue for bool {
    fn from_value(value: Value) -> Result<Self, &'static str> {
        i64::from_value(value).map(|number| number != 0)
    }
}

impl FromValue for Cents {
    /// SQLite keeps amounts as floats.
    fn from_value(value: Value) -> Result<Self, &'static str> {
        match value {
            Value::Integer(amount) => Ok(Self(amount * 100)),
            Value::Real(amount) => Ok(Self((amount * 100.0).round() as i64)),
            other => Err(kind_of(&other)),
        }
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: Value) -> Result<Self, &'static str> {
        match value {
            Value::Null => Ok(None),
            other => T::from_value(other).map(Some),
        }
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Integer(_) => "a whole number",
        Value::Real(_) => "a number",
        Value::Text(_) => "text",
        Value::Blob(_) => "bytes",
    }
}

/// `values![id, Cents(100), now]`: the parameters of a statement.
macro_rules! values {
    ($($value:expr),* $(,)?) => { [$($crate::cell::Cell::cell(&$value)),*] };
}
pub(crate) use values;

/// `cells!["name" => "x", "amount" => Cents(100)]`: names and values of some columns.
macro_rules! cells {
    ($($name:expr => $value:expr),* $(,)?) => { [$(($name, $crate::cell::Cell::cell(&$value))),*] };
}
pub(crate) use cells;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_written_with_two_places() {
        let written: Vec<String> = [0, 5, 4590, -105].iter().map(|cents| Cents(*cents).to_string()).collect();
        assert_eq!(written, ["0.00", "0.05", "45.90", "-1.05"]);
        assert_eq!(Cents::from_value(Value::Real(45.9)), Ok(Cents(4590)));
        assert_eq!(Cents::from_value(Value::Integer(45)), Ok(Cents(4500)));
        assert_eq!(Cents(1005).times_percent(110), Cents(1106));
    }
}
