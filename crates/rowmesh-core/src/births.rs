//! Rows whose key is a number that a database handed out: which of several that were given one number keeps it, and under which numbers the others are
//! shown. Pure: which rows they are, and what their inserts had seen, is found by the engine.

use crate::encode::Writer;
use crate::ident::{Digest, Origin};
use crate::row_state::Stamp;
use crate::value::{Birthmark, ColumnName, Key, TableName, Value};

/// Numbers from here on are shown where a row's own number belongs to another. They fit columns of four bytes, and leave room behind them for
/// databases that hand out the largest number plus one.
pub const DERIVED_FIRST: i64 = 1 << 30;
/// How many of them there are.
pub const DERIVED_COUNT: i64 = 1 << 29;

/// The mark of a row that can be told from others by what it holds, because a unique value is in it: equal rows are one row, whoever makes them.
/// `row` is what it held when it was made, its own number left out.
pub fn mark_of_content(table: &TableName, number: i64, row: &[(&ColumnName, Value)]) -> Birthmark {
    let mut columns: Vec<&(&ColumnName, Value)> = row.iter().collect();
    columns.sort_by_key(|(name, _)| *name);
    let mut out = beginning(b"row", table, number);
    for (name, value) in columns {
        out.bytes(name.as_bytes());
        value.encode(&mut out);
    }
    short(&out)
}

/// The mark of any other row: the `count`th that its maker knows of to have been given the number.
pub fn mark_of_count(table: &TableName, number: i64, maker: &Origin, count: u64) -> Birthmark {
    let mut out = beginning(b"birth", table, number);
    out.origin(maker);
    out.number(count);
    short(&out)
}

/// The number under which a row is shown that lost its own; each attempt gives another.
pub fn derived(table: &TableName, identity: &Key, attempt: u64) -> i64 {
    let mut out = Writer::default();
    out.bytes(table.as_bytes());
    out.bytes(&identity.0);
    DERIVED_FIRST + (short(&out).0.wrapping_add(attempt) % DERIVED_COUNT as u64) as i64
}

/// Whether a birth keeps its number against another: the later gives way, unless its maker `saw` the earlier, which had set the number free then. A row keeps
/// its number for good if each of its births keeps it against each of every other row that was given it.
pub fn keeps(own: &Stamp, other: &Stamp, later_saw: bool) -> bool {
    (own < other) != later_saw
}

fn beginning(purpose: &[u8], table: &TableName, number: i64) -> Writer {
    let mut out = Writer::default();
    out.bytes(purpose);
    out.bytes(table.as_bytes());
    out.signed(number);
    out
}

fn short(out: &Writer) -> Birthmark {
    let [a, b, c, d, e, f, g, h, ..] = Digest::of(&out.0).0;
    Birthmark(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Lamport;
    use crate::ident::{Incarnation, NodeId, Seq};

    #[test]
    fn q9_the_later_gives_way_unless_the_number_was_free_by_then() {
        let origin = Origin { node: NodeId([1; 32]), incarnation: Incarnation { count: 1, nonce: 0 } };
        let at = |lamport| Stamp::new(Lamport(lamport), origin, Seq(1));
        assert!(keeps(&at(3), &at(5), false) && !keeps(&at(5), &at(3), false));
        assert!(!keeps(&at(3), &at(5), true) && keeps(&at(5), &at(3), true));
    }

    #[test]
    fn q11_derived_numbers_fit_four_bytes_and_leave_room_behind() {
        let table: TableName = "orders".into();
        let identity = Key::of([&Value::Born(7, Birthmark(u64::MAX))]);
        for attempt in [0, 1, u64::MAX] {
            let number = derived(&table, &identity, attempt);
            assert!((DERIVED_FIRST..DERIVED_FIRST + DERIVED_COUNT).contains(&number), "{number}");
        }
        assert_ne!(derived(&table, &identity, 0), derived(&table, &identity, 1));
        assert!(DERIVED_FIRST + DERIVED_COUNT + (1 << 28) < i64::from(i32::MAX));
    }

    #[test]
    fn marks_of_content_know_no_maker_and_no_order_of_columns() {
        let (table, a, b): (TableName, ColumnName, ColumnName) = ("t".into(), "a".into(), "b".into());
        let (x, y) = ((&a, Value::Integer(1)), (&b, Value::text("y")));
        let of = |row: &[(&ColumnName, Value)]| mark_of_content(&table, 7, row);
        assert_eq!(of(&[x.clone(), y.clone()]), of(&[y.clone(), x.clone()]));
        assert_ne!(of(&[x.clone(), y]), of(&[x, (&b, Value::text("z"))]));
        let maker = |number| Origin { node: NodeId([number; 32]), incarnation: Incarnation { count: 1, nonce: 0 } };
        assert_ne!(mark_of_count(&table, 7, &maker(1), 0), mark_of_count(&table, 7, &maker(2), 0));
        assert_ne!(mark_of_count(&table, 7, &maker(1), 0), mark_of_count(&table, 7, &maker(1), 1));
    }
}
