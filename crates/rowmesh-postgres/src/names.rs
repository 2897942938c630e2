//! This node's own facts, at rest.

use rowmesh_core::value::Value;

use crate::connection::Session;
use crate::error::Result;

/// One of this node's own facts: an integer, text or bytes.
///
/// # Errors
/// If the database cannot be read.
pub fn fact(session: &Session, name: &str) -> Result<Option<Value>> {
    let row = session.query_opt("SELECT number, words, bytes FROM rowmesh.facts WHERE name = $1", &[&name])?;
    Ok(row.map(|row| {
        let (number, words, bytes): (Option<i64>, Option<String>, Option<Vec<u8>>) =
            (row.get(0), row.get(1), row.get(2));
        (number.map(Value::Integer))
            .or(words.map(|words| Value::text(&words)))
            .or(bytes.map(|bytes| Value::Blob(bytes.into())))
            .unwrap_or(Value::Null)
    }))
}

/// Sets one.
///
/// # Errors
/// If the database cannot be written.
pub fn set_fact(session: &Session, name: &str, value: &Value) -> Result<()> {
    let number = if let Value::Integer(number) = value { Some(*number) } else { None };
    let bytes = if let Value::Blob(bytes) = value { Some(&**bytes) } else { None };
    session.execute(
        "INSERT INTO rowmesh.facts (name, number, words, bytes) VALUES ($1, $2, $3, $4)
         ON CONFLICT (name) DO UPDATE SET number = excluded.number, words = excluded.words, bytes = excluded.bytes",
        &[&name, &number, &value.as_str(), &bytes],
    )?;
    Ok(())
}
