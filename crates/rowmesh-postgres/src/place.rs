//! Where a row stands in its table, which PostgreSQL calls its ctid, as one number: good until the transaction ends, as long as nobody else
//! writes the row.

use rowmesh_engine::fault::{Error, Result};

/// The number of a place that came as text: `(block,number)`.
pub(crate) fn read_place(text: &str) -> Result<i64> {
    let parts = text.trim_matches(['(', ')']).split_once(',');
    let numbers = parts.and_then(|(block, number)| Some((block.parse::<i64>().ok()?, number.parse::<i64>().ok()?)));
    numbers.map(|(block, number)| block << 16 | number).ok_or_else(|| Error::inconsistent("a row without a place"))
}

/// The text of a place.
pub(crate) fn show_place(place: i64) -> String {
    format!("({},{})", place >> 16, place & 0xffff)
}
