//! Rows that refer to one which was deleted without knowledge of them: what a row refers to, and what is remembered of rows that wait for another or
//! stand for the sake of others. What becomes of them, and which they are, is found by the engine.

use crate::encode::Writer;
use crate::ident::Digest;
use crate::row_state::{Register, RowState};
use crate::schema::{ForeignKey, TableSchema};
use crate::unique::Claim;
use crate::value::{Key, Value};

/// What sets [`tie`] apart from claims on unique values.
const PURPOSE: &[u8] = b"tie";

/// What rows that wait for a row remember of it, and a deleted row itself while others need it or wait for it.
pub fn tie(parent: &str, key: &Key) -> Claim {
    let mut out = Writer::default();
    out.bytes(PURPOSE);
    out.bytes(parent.as_bytes());
    out.bytes(&key.0);
    Claim(Digest::of(&out.0))
}

/// The key that a row, in the order of its table, refers to by a foreign key; `None` if it refers to nothing, or by other columns than the key.
pub fn referred(reference: &ForeignKey, parent: &TableSchema, row: &[Value]) -> Option<Key> {
    if reference.parent_columns.len() != parent.key.len() {
        return None;
    }
    let part = |name| {
        let position = reference.parent_columns.iter().position(|column| column == name)?;
        Some(&row[*reference.columns.get(position)?]).filter(|value| !value.is_null())
    };
    let parts = parent.key_names().map(part).collect::<Option<Vec<&Value>>>()?;
    Some(Key::of(parts))
}

/// Whether a foreign key refers to the key of its parent, and spells it so that it is known by its values.
pub fn is_by_key(reference: &ForeignKey, parent: &TableSchema) -> bool {
    parent.key_is_told
        && reference.parent_columns.len() == parent.key.len()
        && parent.key_names().all(|name| reference.parent_columns.contains(name))
}

/// Whether there was such a row and somebody deleted it, so that it can be shown again. One that left the scope was not deleted.
pub fn was_deleted(state: &RowState) -> bool {
    let was_written = state.registers.iter().any(|register| *register != Register::Unwritten);
    was_written && !state.deletes.is_empty() && !state.has_left()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Column, KeyKind};

    fn table(name: &str, columns: &[&str], key: &[usize]) -> TableSchema {
        let column =
            |name: &&str| Column { name: (*name).into(), declared_type: String::new(), not_null: false, default: None };
        TableSchema {
            name: name.into(),
            columns: columns.iter().map(column).collect(),
            key: key.to_vec(),
            key_kind: KeyKind::Natural,
            key_is_told: true,
            uniques: Vec::new(),
            foreign_keys: Vec::new(),
        }
    }

    fn reference(columns: &[usize], parent_columns: &[&str]) -> ForeignKey {
        ForeignKey {
            columns: columns.to_vec(),
            parent: "places".into(),
            parent_columns: parent_columns.iter().map(|name| (*name).into()).collect(),
            not_null: false,
            on_delete: String::new(),
        }
    }

    #[test]
    fn a_reference_names_its_columns_in_any_order() {
        let parent = table("places", &["town", "number", "name"], &[1, 0]);
        let row = [Value::text("id"), Value::text("Rome"), Value::Integer(7)];
        let key = Key::of([&Value::Integer(7), &Value::text("Rome")]);
        assert_eq!(referred(&reference(&[1, 2], &["town", "number"]), &parent, &row), Some(key.clone()));
        assert_eq!(referred(&reference(&[2, 1], &["number", "town"]), &parent, &row), Some(key));
    }

    #[test]
    fn a_reference_by_other_columns_or_with_a_null_names_no_key() {
        let parent = table("places", &["town", "number", "name"], &[1, 0]);
        let row = [Value::text("id"), Value::Null, Value::Integer(7)];
        assert_eq!(referred(&reference(&[1, 2], &["town", "number"]), &parent, &row), None);
        assert_eq!(referred(&reference(&[0], &["name"]), &parent, &row), None);
        assert!(!is_by_key(&reference(&[0, 2], &["name", "number"]), &parent));
        assert_eq!(referred(&reference(&[0, 2], &["name", "number"]), &parent, &row), None);
    }

    #[test]
    fn ties_to_equal_keys_of_two_tables_differ() {
        let key = Key::of([&Value::Integer(1)]);
        assert_ne!(tie("a", &key), tie("b", &key));
    }
}
