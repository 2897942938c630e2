//! The condition of a row filter: a small part of SQL with one meaning everywhere, whatever database a node has. Judges one row
//! that the caller brings; how text becomes a condition is in `parse`, and which rows depend on that row in `coverage`.
//!
//! ```text
//! condition  = and { OR and }                      and = not { AND not }            not = NOT not | predicate
//! predicate  = ( condition ) | operand | operand test
//! test       = = | <> | != | < | <= | > | >= operand
//!            | [NOT] LIKE 'pattern' [ESCAPE 'c']   | [NOT] ILIKE 'pattern' [ESCAPE 'c']
//!            | [NOT] IN ( operand {, operand} )    | [NOT] BETWEEN operand AND operand    | IS [NOT] NULL
//! operand    = column | "column" | 'text' | number | TRUE | FALSE | NULL
//! ```
//!
//! - **NULL** makes a comparison unknown, and `NOT`, `AND`, `OR` know three values. A row is covered only if the whole is *true*.
//! - **Text** compares byte by byte, case counts, whatever collation the column has. `LIKE` minds case too (SQLite's own does
//!   not); `ILIKE` ignores the case of ASCII letters. Nothing is an escape character unless `ESCAPE` says so (in PostgreSQL's own
//!   the backslash is). A byte that is not UTF-8 counts as one character.
//! - **Numbers** compare by value: `1.10` is `1.1`, `5` is `5.0`; truth counts as 1 and 0; where one is a double, both are taken as
//!   doubles; NaN is unknown.
//! - **Text against a number**: as numbers where the text is one, else unknown. `LIKE` reads integers and exact decimals as their
//!   text; doubles, truth and bytes are unknown to it.
//! - **Other types** (UUIDs, dates, enumerations of PostgreSQL) compare as their canonical text.
//! - **Bytes** compare with bytes only; anything else is unknown.
//! - An operand alone is true if it is a number other than 0, false if 0, unknown otherwise.
//! - A column that the caller does not know makes every test of it unknown, `IS NULL` too.

use std::cmp::Ordering;

use crate::scope::like::{Pattern, Reading};
use crate::scope::number::{Decimal, Number};
use crate::scope::parse::{self, ConditionError};
use crate::value::Value;

/// A parsed condition.
#[derive(Clone, Debug)]
pub struct Condition {
    text: String,
    columns: Vec<String>,
    node: Node,
}

/// The three truths of SQL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not.
    False,
    /// NULL, or values that cannot be compared, leave it open.
    Unknown,
}

/// What a condition is made of. Columns are positions in [`Condition::columns`].
#[derive(Clone, Debug)]
pub(super) enum Node {
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    Bare(Operand),
    Compare(Operand, Comparison, Operand),
    Like(Operand, Pattern),
    In(Operand, Vec<Operand>),
    Between(Operand, Operand, Operand),
    IsNull(Operand),
}

#[derive(Clone, Debug)]
pub(super) enum Operand {
    Column(usize),
    Text(String),
    Number(Decimal),
    Truth(bool),
    Null,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What an operand comes to on one row.
enum Datum<'a> {
    /// The caller does not know the column.
    Missing,
    Null,
    Text(&'a [u8]),
    Number(Number),
    Bytes(&'a [u8]),
    /// A value that compares with nothing.
    Odd,
}

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    /// If it is not in the language above, or breaks a limit. The error names the place and what was expected there.
    pub fn parse(text: &str) -> Result<Condition, ConditionError> {
        let (node, columns) = parse::parse(text)?;
        Ok(Condition { text: text.to_owned(), columns, node })
    }

    /// The text it was read from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The columns it names, each once, in the order of their first mention, spelt as there.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Judges a row. `lookup` gives the value of a column by the name that the condition has for it; `None` if it cannot know.
    pub fn evaluate(&self, lookup: &dyn Fn(&str) -> Option<Value>) -> Truth {
        let values = self.look_up(lookup);
        self.evaluate_on(&borrowed(&values))
    }

    /// Whether the row is covered, but only because text stands inside a longer word: `grand-demolition-co` under `%-demo%`.
    /// A person should look at such a row.
    pub fn is_look_alike(&self, lookup: &dyn Fn(&str) -> Option<Value>) -> bool {
        let values = self.look_up(lookup);
        let row = borrowed(&values);
        self.evaluate_on(&row).is_true() && !self.node.judge(&row, Reading::WholeWords).is_true()
    }

    /// Judges the values of [`Condition::columns`], in their order.
    pub(super) fn evaluate_on(&self, row: &[Option<&Value>]) -> Truth {
        self.node.judge(row, Reading::Plain)
    }

    fn look_up(&self, lookup: &dyn Fn(&str) -> Option<Value>) -> Vec<Option<Value>> {
        self.columns.iter().map(|column| lookup(column)).collect()
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Condition) -> bool {
        self.text == other.text
    }
}

impl Eq for Condition {}

impl Truth {
    /// Whether it holds for certain.
    pub fn is_true(self) -> bool {
        self == Truth::True
    }

    fn of(holds: bool) -> Truth {
        if holds { Truth::True } else { Truth::False }
    }

    fn of_some(holds: Option<bool>) -> Truth {
        holds.map_or(Truth::Unknown, Truth::of)
    }

    fn not(self) -> Truth {
        match self {
            Truth::True => Truth::False,
            Truth::False => Truth::True,
            Truth::Unknown => Truth::Unknown,
        }
    }

    /// False if any is, else unknown if any is, else true.
    fn all(truths: impl IntoIterator<Item = Truth>) -> Truth {
        Truth::any(truths.into_iter().map(Truth::not)).not()
    }

    /// True if any is, else unknown if any is, else false.
    fn any(truths: impl IntoIterator<Item = Truth>) -> Truth {
        let mut sum = Truth::False;
        for truth in truths {
            match truth {
                Truth::True => return Truth::True,
                Truth::Unknown => sum = Truth::Unknown,
                Truth::False => {}
            }
        }
        sum
    }
}

impl Node {
    fn judge(&self, row: &[Option<&Value>], reading: Reading) -> Truth {
        match self {
            Node::And(parts) => Truth::all(parts.iter().map(|part| part.judge(row, reading))),
            Node::Or(parts) => Truth::any(parts.iter().map(|part| part.judge(row, reading))),
            // Under NOT fewer matches would cover more rows: exceptions are read as they stand.
            Node::Not(inner) => inner.judge(row, Reading::Plain).not(),
            Node::Bare(operand) => match operand.on(row) {
                Datum::Number(number) => Truth::of(!number.is_zero()),
                _ => Truth::Unknown,
            },
            Node::Compare(left, comparison, right) => comparison.holds(&left.on(row), &right.on(row)),
            Node::Like(subject, pattern) => like(subject, pattern, row, reading),
            Node::In(subject, list) => {
                let subject = subject.on(row);
                Truth::any(list.iter().map(|item| Comparison::Equal.holds(&subject, &item.on(row))))
            }
            Node::Between(subject, low, high) => {
                let subject = subject.on(row);
                let bounds = [(Comparison::GreaterOrEqual, low), (Comparison::LessOrEqual, high)];
                Truth::all(bounds.map(|(comparison, bound)| comparison.holds(&subject, &bound.on(row))))
            }
            Node::IsNull(operand) => match operand.on(row) {
                Datum::Missing => Truth::Unknown,
                Datum::Null => Truth::True,
                _ => Truth::False,
            },
        }
    }
}

impl Operand {
    fn on<'a>(&'a self, row: &[Option<&'a Value>]) -> Datum<'a> {
        match self {
            Operand::Column(position) => row.get(*position).copied().flatten().map_or(Datum::Missing, Datum::of),
            Operand::Text(text) => Datum::Text(text.as_bytes()),
            Operand::Number(number) => Datum::Number(Number::Exact(number.clone())),
            Operand::Truth(truth) => Datum::Number(Number::truth(*truth)),
            Operand::Null => Datum::Null,
        }
    }

    fn value<'a>(&self, row: &[Option<&'a Value>]) -> Option<&'a Value> {
        match self {
            Operand::Column(position) => row.get(*position).copied().flatten(),
            _ => None,
        }
    }
}

impl Comparison {
    fn holds(self, left: &Datum<'_>, right: &Datum<'_>) -> Truth {
        Truth::of_some(order(left, right).map(|order| match self {
            Comparison::Equal => order.is_eq(),
            Comparison::Unequal => order.is_ne(),
            Comparison::Less => order.is_lt(),
            Comparison::LessOrEqual => order.is_le(),
            Comparison::Greater => order.is_gt(),
            Comparison::GreaterOrEqual => order.is_ge(),
        }))
    }
}

impl<'a> Datum<'a> {
    fn of(value: &'a Value) -> Datum<'a> {
        match value {
            Value::Null => Datum::Null,
            Value::Text(text) => Datum::Text(text),
            Value::Typed(_, text) => Datum::Text(text.as_bytes()),
            Value::Blob(bytes) => Datum::Bytes(bytes),
            number => Number::of(number).map_or(Datum::Odd, Datum::Number),
        }
    }
}

fn order(left: &Datum<'_>, right: &Datum<'_>) -> Option<Ordering> {
    match (left, right) {
        (Datum::Text(a), Datum::Text(b)) | (Datum::Bytes(a), Datum::Bytes(b)) => Some(a.cmp(b)),
        (Datum::Number(a), Datum::Number(b)) => Some(a.compare(b)),
        (Datum::Text(a), Datum::Number(b)) => Some(number_in(a)?.compare(b)),
        (Datum::Number(a), Datum::Text(b)) => Some(a.compare(&number_in(b)?)),
        _ => None,
    }
}

fn number_in(text: &[u8]) -> Option<Number> {
    std::str::from_utf8(text).ok().and_then(Decimal::parse).map(Number::Exact)
}

fn like(subject: &Operand, pattern: &Pattern, row: &[Option<&Value>], reading: Reading) -> Truth {
    if let Operand::Text(text) = subject {
        return Truth::of(pattern.matches(text.as_bytes(), reading));
    }
    match subject.value(row) {
        Some(Value::Text(text)) => Truth::of(pattern.matches(text, reading)),
        Some(Value::Typed(_, text) | Value::Decimal(text)) => Truth::of(pattern.matches(text.as_bytes(), reading)),
        Some(Value::Integer(number)) => Truth::of(pattern.matches(number.to_string().as_bytes(), reading)),
        _ => Truth::Unknown,
    }
}

fn borrowed(values: &[Option<Value>]) -> Vec<Option<&Value>> {
    values.iter().map(Option::as_ref).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    /// A row with one value of each kind.
    fn value_of(column: &str) -> Option<Value> {
        Some(match column {
            "id" => Value::text("clothing-demo-business"),
            "upper" => Value::text("Clothing-DEMO"),
            "none" => Value::Null,
            "five" => Value::Integer(5),
            "price" => Value::Decimal("1.10".into()),
            "ratio" => Value::Real(0.1),
            "nan" => Value::Real(f64::NAN),
            "yes" => Value::Boolean(true),
            "digits" => Value::text("007"),
            "raw" => Value::Text(b"\xff-demo".to_vec().into()),
            "bytes" => Value::Blob(b"-demo".to_vec().into()),
            "uuid" => Value::Typed(Arc::from("uuid"), "a0ee-demo".into()),
            "Odd name" => Value::Integer(1),
            _ => return None,
        })
    }

    fn check(condition: &str, expected: Truth) {
        let parsed = match Condition::parse(condition) {
            Ok(parsed) => parsed,
            Err(error) => panic!("{condition}: {error}"),
        };
        assert_eq!(parsed.evaluate(&value_of), expected, "{condition}");
    }

    #[test]
    fn m3_the_demo_rule_holds_where_it_should() {
        check("id LIKE '%-demo-business%' OR id LIKE '%-demo%' OR id LIKE 'demo-%'", Truth::True);
        check("upper LIKE '%-demo%'", Truth::False);
        check("upper ILIKE '%-demo%'", Truth::True);
        check("none LIKE '%-demo%'", Truth::Unknown);
    }

    #[test]
    fn m3_null_makes_a_test_unknown_and_not_keeps_it_so() {
        for condition in [
            "none = 1",
            "none <> 1",
            "NOT none = 1",
            "none = NULL",
            "NULL = NULL",
            "none IN (1, 2)",
            "five IN (1, NULL)",
            "five NOT IN (1, NULL)",
            "five BETWEEN none AND 9",
            "none LIKE '%'",
            "none",
        ] {
            check(condition, Truth::Unknown);
        }
        check("none IS NULL", Truth::True);
        check("none IS NOT NULL", Truth::False);
        check("five IS NULL", Truth::False);
        check("five IN (5, NULL)", Truth::True);
        check("five BETWEEN none AND 4", Truth::False);
    }

    #[test]
    fn m3_and_or_follow_the_three_valued_tables() {
        let (t, f, u) = ("five = 5", "five = 6", "none = 1");
        for (left, right, and, or) in [
            (t, t, Truth::True, Truth::True),
            (t, f, Truth::False, Truth::True),
            (t, u, Truth::Unknown, Truth::True),
            (f, f, Truth::False, Truth::False),
            (f, u, Truth::False, Truth::Unknown),
            (u, u, Truth::Unknown, Truth::Unknown),
        ] {
            for (a, b) in [(left, right), (right, left)] {
                check(&format!("{a} AND {b}"), and);
                check(&format!("{a} OR {b}"), or);
                check(&format!("NOT ({a} AND {b})"), and.not());
            }
        }
    }

    #[test]
    fn m3_and_binds_stronger_than_or_and_not_stronger_than_and() {
        check("five = 5 OR five = 6 AND five = 7", Truth::True);
        check("(five = 5 OR five = 6) AND five = 7", Truth::False);
        check("NOT five = 6 AND five = 5", Truth::True);
        check("NOT (five = 6 AND five = 5)", Truth::True);
        check("NOT NOT five = 5", Truth::True);
        check("five BETWEEN 1 AND 9 AND five = 5", Truth::True);
    }

    #[test]
    fn m3_numbers_compare_by_value_whatever_their_type() {
        check("five = 5.0", Truth::True);
        check("five > 4.999999999999999999999", Truth::True);
        check("price = 1.1", Truth::True);
        check("price < 1.11", Truth::True);
        check("ratio = 0.1", Truth::True);
        check("five > ratio", Truth::True);
        check("nan = nan", Truth::Unknown);
        check("nan > 0", Truth::Unknown);
        check("yes = TRUE AND yes = 1 AND yes", Truth::True);
        check("yes = FALSE", Truth::False);
        check("five >= -5 AND five != 1e1", Truth::True);
    }

    #[test]
    fn m3_text_and_numbers_meet_as_numbers_or_not_at_all() {
        check("digits = 7", Truth::True);
        check("digits = '7'", Truth::False);
        check("five = '5.0'", Truth::True);
        check("id = 5", Truth::Unknown);
        check("id <> 5", Truth::Unknown);
        check("five LIKE '5'", Truth::True);
        check("price LIKE '1.1_'", Truth::True);
        check("ratio LIKE '%'", Truth::Unknown);
        check("yes LIKE '%'", Truth::Unknown);
    }

    #[test]
    fn m3_text_compares_byte_by_byte() {
        check("id < 'd' AND 'Z' < 'a' AND 'a' < 'é'", Truth::True);
        check("id = 'Clothing-demo-business'", Truth::False);
        check("upper BETWEEN 'A' AND 'Z'", Truth::True);
        check("id IN ('x', 'clothing-demo-business')", Truth::True);
    }

    #[test]
    fn f13_text_that_is_not_utf8_and_bytes_have_an_answer() {
        check("raw LIKE '%-demo'", Truth::True);
        check("raw LIKE '_-demo'", Truth::True);
        check("raw = '-demo'", Truth::False);
        check("bytes = '-demo'", Truth::Unknown);
        check("bytes LIKE '%'", Truth::Unknown);
        check("bytes = bytes", Truth::True);
        check("bytes IS NOT NULL", Truth::True);
        check("uuid LIKE '%-demo' AND uuid = 'a0ee-demo'", Truth::True);
    }

    #[test]
    fn m3_a_column_that_nobody_knows_is_unknown_even_to_is_null() {
        check("missing IS NULL", Truth::Unknown);
        check("missing IS NOT NULL", Truth::Unknown);
        check("missing = 1 OR five = 5", Truth::True);
    }

    #[test]
    fn columns_are_named_once_in_the_order_of_mention() {
        let parsed = Condition::parse("\"Odd name\" = 1 AND id = 'x' OR id = \"Odd name\"").unwrap();
        assert_eq!(parsed.columns(), ["Odd name", "id"]);
        check("\"Odd name\" = 1", Truth::True);
    }

    #[test]
    fn m3_look_alikes_are_covered_rows_whose_match_lies_inside_a_word() {
        let rule = Condition::parse("id LIKE '%-demo%' AND id NOT LIKE '%-democracy%'").unwrap();
        let look_alike = |id: &str| rule.is_look_alike(&|_| Some(Value::text(id)));
        assert!(look_alike("grand-demolition-co"));
        assert!(!look_alike("shop-demo"));
        assert!(!look_alike("new-democracy"), "it is not covered at all");
        assert!(!look_alike("plain"));
    }

    fn any_condition() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("five = 5".to_owned()),
            Just("id LIKE '%demo%'".to_owned()),
            Just("none IS NULL".to_owned()),
            Just("none = 1".to_owned()),
            Just("five NOT IN (1, 5)".to_owned()),
            Just("price NOT BETWEEN 1 AND 2".to_owned()),
        ];
        leaf.prop_recursive(4, 24, 3, |inner| {
            prop_oneof![
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) AND ({b})")),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) OR ({b})")),
                inner.prop_map(|a| format!("NOT ({a})")),
            ]
        })
    }

    proptest! {
        #[test]
        fn m3_any_condition_and_its_opposite_are_never_both_true(text in any_condition()) {
            let truth = Condition::parse(&text).unwrap().evaluate(&value_of);
            let opposite = Condition::parse(&format!("NOT ({text})")).unwrap().evaluate(&value_of);
            prop_assert_eq!(truth.not(), opposite);
        }

        #[test]
        fn m3_any_value_against_any_literal_has_an_answer_and_a_mirror(value in crate::value::tests::any_value()) {
            let judge = |condition: &str| Condition::parse(condition).unwrap().evaluate(&|_| Some(value.clone()));
            for (left, right) in [("c < 5", "5 > c"), ("c = 'x'", "'x' = c"), ("c >= TRUE", "TRUE <= c")] {
                prop_assert_eq!(judge(left), judge(right));
            }
            let unequal = judge("c <> 0.5");
            prop_assert_eq!(judge("c = 0.5"), unequal.not());
            prop_assert_eq!(judge("c IS NULL").is_true(), value.is_null());
        }
    }
}
