//! Unique values that several rows claim: what a row claims, which of them keeps a value, and what the others show in its place. A pure function of
//! the rows' states; which rows claim a value is found by the engine.

use crate::encode::Writer;
use crate::ident::{Digest, Dot};
use crate::policy::TablePolicy;
use crate::row_state::{ColumnIx, RowState, Stamp};
use crate::schema::{TableSchema, UniqueIndex};
use crate::show;
use crate::value::{ColumnName, Key, Value};

/// SQLite's collation that holds ASCII letters equal whatever their case.
pub const NOCASE: &str = "NOCASE";
/// SQLite's collation that does not count spaces at the end.
pub const RTRIM: &str = "RTRIM";

/// What a row claims in a unique index: equal where the index is over the same columns and holds the values equal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Claim(pub Digest);

/// A row that claims a value, by the writes that are shown in it, or would be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claimant {
    /// The row.
    pub key: Key,
    /// The write that claims: of several columns the highest.
    pub written: Stamp,
    /// Claims that give way to this one, as their writers were known to its own.
    pub beats: Vec<(Key, Dot)>,
    /// Whether the row was deleted and stands for the sake of others: it comes after those that live.
    pub is_restored: bool,
}

/// What a row shows in place of a value that another keeps, in the order in which they are tried; where neither can stand, it is hidden.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Instead {
    /// A text and a suffix made of the row's identity; NULL for what is no text.
    Suffix,
    /// NULL.
    Null,
}

/// What every row claims in the unique indexes of its table that can be told.
pub fn claims<'t>(table: &'t TableSchema, row: &'t [Value]) -> impl Iterator<Item = (&'t UniqueIndex, Claim)> {
    let told = table.uniques.iter().filter(|index| index.is_told);
    told.filter_map(|index| Some((index, claim(table, index, row)?)))
}

/// What a row, in the order of its table, claims in one unique index; `None` if nothing: a part of it is NULL, or an expression.
pub fn claim(table: &TableSchema, index: &UniqueIndex, row: &[Value]) -> Option<Claim> {
    let mut out = Writer::default();
    for part in &index.parts {
        let part = part.as_ref()?;
        let value = &row[part.column];
        if value.is_null() {
            return None;
        }
        out.bytes(table.columns[part.column].name.as_bytes());
        fold(value, &part.collation).encode(&mut out);
    }
    Some(Claim(Digest::of(&out.0)))
}

/// The one value that stands for all that an index holds equal to this one.
fn fold(value: &Value, collation: &str) -> Value {
    match value {
        Value::Real(number) if number.fract() == 0.0 && number.abs() < WHOLE_EXACT => Value::Integer(*number as i64),
        Value::Decimal(text) => Value::Decimal(without_scale(text).to_owned()),
        Value::Text(bytes) if collation.eq_ignore_ascii_case(NOCASE) => Value::Text(bytes.to_ascii_lowercase().into()),
        Value::Text(bytes) if collation.eq_ignore_ascii_case(RTRIM) => {
            let spaces = bytes.iter().rev().take_while(|byte| **byte == b' ').count();
            Value::Text(bytes[..bytes.len() - spaces].into())
        }
        other => other.clone(),
    }
}

/// Below it, every whole double is an integer of 64 bits.
const WHOLE_EXACT: f64 = 9.2e18;

fn without_scale(decimal: &str) -> &str {
    if decimal.contains('.') { decimal.trim_end_matches('0').trim_end_matches('.') } else { decimal }
}

impl Claimant {
    /// A row whose state chooses the values that it claims. `columns` are those of the index, `names` gives the name of each column number.
    pub fn of(
        key: Key,
        state: &RowState,
        policy: &TablePolicy,
        columns: &[ColumnIx],
        names: &[ColumnName],
    ) -> Option<Claimant> {
        let chosen = columns.iter().filter_map(|column| {
            let rule = names.get(usize::from(column.0)).map(|name| policy.column(name))?;
            show::choose(state.register(*column), rule).map(|written| written.stamp)
        });
        let stamps: Vec<Stamp> = chosen.collect();
        // Where nobody wrote any of them, the row claims by its birth.
        let written = stamps.iter().max().or_else(|| state.birth()).copied()?;
        let extras = state.extras.iter().filter(|(stamp, _)| stamps.contains(stamp));
        let beats = extras.flat_map(|(_, extras)| crate::event::beats(extras)).collect();
        Some(Claimant { key, written, beats, is_restored: false })
    }
}

/// Puts the rows that claim one value in order: the first keeps it. Rows that were deleted come last, before them those that a claim names as giving
/// way to it; else the earlier write comes first.
pub fn in_order(claimants: &mut [Claimant]) {
    let beaten: Vec<(Key, Dot)> = claimants.iter().flat_map(|claimant| claimant.beats.iter().cloned()).collect();
    let gives_way =
        |claimant: &Claimant| beaten.iter().any(|(key, dot)| *key == claimant.key && *dot == claimant.written.dot);
    claimants.sort_by_cached_key(|claimant| {
        (claimant.is_restored, gives_way(claimant), claimant.written, claimant.key.clone())
    });
}

/// The column in which a row shows another value when it loses in an index: the last that refers to no other row; `None` if all do.
pub fn yielding(table: &TableSchema, index: &UniqueIndex) -> Option<usize> {
    let refers = |column: &usize| table.foreign_keys.iter().any(|key| key.columns.contains(column));
    let free = |column: &usize| !refers(column) && !table.key.contains(column);
    index.parts.iter().flatten().map(|part| part.column).rfind(free)
}

/// A text and a suffix that tells this row from others; `None` for what is no text. Each attempt makes another.
pub fn suffixed(value: &Value, table: &str, key: &Key, attempt: u64) -> Option<Value> {
    let Value::Text(text) = value else { return None };
    let mut out = Writer::default();
    out.bytes(table.as_bytes());
    out.bytes(&key.0);
    let hash = Digest::of(&out.0).0;
    let number = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]).wrapping_add(attempt as u32);
    let mut shown = text.to_vec();
    shown.push(b'~');
    shown.extend((0..SUFFIX_LETTERS).map(|place| LETTERS[(number >> (5 * place)) as usize % LETTERS.len()]));
    Some(Value::Text(shown.as_slice().into()))
}

/// Letters of a suffix: five bits each.
const SUFFIX_LETTERS: u32 = 4;
/// Those that nobody takes for one another.
const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// How many different suffixes there are for a row.
pub const SUFFIXES: u64 = 1 << (5 * SUFFIX_LETTERS);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Lamport;
    use crate::ident::{Incarnation, NodeId, Origin, Seq};
    use crate::schema::{Column, IndexedColumn, KeyKind};

    fn table(collation: &str) -> TableSchema {
        let column =
            |name: &str| Column { name: name.into(), declared_type: String::new(), not_null: false, default: None };
        let part = Some(IndexedColumn { column: 1, collation: collation.to_owned() });
        TableSchema {
            name: "t".into(),
            columns: vec![column("id"), column("v")],
            key: vec![0],
            key_kind: KeyKind::Natural,
            key_is_told: true,
            uniques: vec![UniqueIndex { name: "u".into(), parts: vec![part], partial: false, is_told: true }],
            foreign_keys: Vec::new(),
        }
    }

    fn are_one(collation: &str, a: Value, b: Value) -> bool {
        let table = table(collation);
        let claim = |value: Value| claim(&table, &table.uniques[0], &[Value::Integer(1), value]).unwrap();
        claim(a) == claim(b)
    }

    #[test]
    fn e4_equal_is_what_the_index_holds_equal() {
        let text = Value::text;
        assert!(are_one("BINARY", Value::Integer(1), Value::Real(1.0)));
        assert!(are_one("BINARY", Value::Real(0.0), Value::Real(-0.0)));
        assert!(!are_one("BINARY", Value::Integer((1 << 53) + 1), Value::Integer(1 << 53)));
        assert!(are_one("", Value::Decimal("1.50".into()), Value::Decimal("1.5".into())));
        assert!(are_one("", Value::Decimal("2.00".into()), Value::Decimal("2".into())));
        assert!(!are_one("", Value::Decimal("200".into()), Value::Decimal("2".into())));
        assert!(!are_one("BINARY", text("A"), text("a")));
        assert!(are_one("nocase", text("A"), text("a")));
        assert!(are_one("RTRIM", text("a  "), text("a")) && !are_one("RTRIM", text("a"), text(" a")));
        assert!(!are_one("BINARY", text("1"), Value::Integer(1)));
        let table = table("BINARY");
        assert_eq!(claim(&table, &table.uniques[0], &[Value::Integer(1), Value::Null]), None);
    }

    fn claimant(key: &str, lamport: u64, beats: &[(&str, u64)]) -> Claimant {
        let dot = |seq| Dot {
            origin: Origin { node: NodeId([1; 32]), incarnation: Incarnation { count: 1, nonce: 0 } },
            seq: Seq(seq),
        };
        let key_of = |key: &str| Key::of([&Value::text(key)]);
        Claimant {
            is_restored: false,
            key: key_of(key),
            written: Stamp { lamport: Lamport(lamport), dot: dot(lamport) },
            beats: beats.iter().map(|(key, seq)| (key_of(key), dot(*seq))).collect(),
        }
    }

    #[test]
    fn q13_the_earlier_keeps_a_value_unless_a_claim_says_that_it_was_known_and_gives_way() {
        let order = |mut claimants: Vec<Claimant>| {
            in_order(&mut claimants);
            claimants.iter().map(|claimant| claimant.key.to_display()).collect::<Vec<_>>()
        };
        let (a, b) = (claimant("a", 1, &[]), claimant("b", 2, &[]));
        assert_eq!(order(vec![b.clone(), a.clone()]), ["a", "b"]);
        let c = claimant("c", 3, &[("a", 1)]);
        assert_eq!(order(vec![a.clone(), b.clone(), c]), ["b", "c", "a"], "named by c only");
        let c = claimant("c", 3, &[("a", 1), ("b", 2)]);
        assert_eq!(order(vec![a, b, c.clone()]), ["c", "a", "b"]);
        assert_eq!(order(vec![claimant("a", 4, &[]), c]), ["c", "a"], "what a wrote since is another claim");
    }

    #[test]
    fn suffixes_differ_by_row_and_attempt_and_only_texts_have_any() {
        let key = |key: &str| Key::of([&Value::text(key)]);
        let of = |row: &str, attempt| suffixed(&Value::text("x"), "t", &key(row), attempt).unwrap();
        assert_eq!(of("a", 0), of("a", 0));
        assert_ne!(of("a", 0), of("a", 1));
        assert_ne!(of("a", 0), of("b", 0));
        assert_eq!(of("a", 0).as_str().map(str::len), Some(6), "x~ and four letters");
        assert_eq!(suffixed(&Value::Integer(7), "t", &key("a"), 0), None);
    }

    #[test]
    fn q29_a_row_yields_in_the_last_column_that_is_no_reference() {
        let mut table = table("BINARY");
        let part = |column| Some(IndexedColumn { column, collation: "BINARY".to_owned() });
        table.uniques[0].parts = vec![part(1), part(0)];
        assert_eq!(yielding(&table, &table.uniques[0]), Some(1), "a key never changes");
        table.foreign_keys.push(crate::schema::ForeignKey {
            columns: vec![1],
            parent: "p".into(),
            parent_columns: vec!["id".into()],
            not_null: true,
            on_delete: String::new(),
        });
        assert_eq!(yielding(&table, &table.uniques[0]), None);
    }
}
