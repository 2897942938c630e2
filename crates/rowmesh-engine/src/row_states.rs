//! Row states between their bytes and the engine: one for every row ever seen, living or dead. What they mean is core's business, where the
//! bytes lie the database's.

use rowmesh_core::encode::Reader;
use rowmesh_core::row_state::{self, ColumnIx, RowState, Shown};
use rowmesh_core::value::Key;

use crate::database::{Access, Place, States};
use crate::fault::{Error, Result};
use crate::origins::Origins;
use crate::registry::TableNumber;
use crate::work::Work;

/// What is remembered of a row; the empty state if nothing is.
pub fn load(db: &impl States, origins: &Origins, table: TableNumber, key: &Key) -> Result<RowState> {
    Ok(recall_from(db, origins, table, key)?.1)
}

/// The same for one of many rows, with the place for [`save_at`].
pub fn recall<A: Access>(work: &Work<'_, A>, table: TableNumber, key: &Key) -> Result<(Option<Place>, RowState)> {
    recall_from(work.db, work.origins, table, key)
}

/// Remembers a row. `was_shown` tells whether a row was shown for it before, so that shown rows stay counted.
pub fn save<A: Access>(
    work: &mut Work<'_, A>,
    table: TableNumber,
    key: &Key,
    state: &RowState,
    was_shown: bool,
) -> Result<()> {
    save_at(work, None, table, key, state, was_shown)
}

/// The same, in the place that the row was recalled from, if it was remembered then.
pub fn save_at<A: Access>(
    work: &mut Work<'_, A>,
    place: Option<Place>,
    table: TableNumber,
    key: &Key,
    state: &RowState,
    was_shown: bool,
) -> Result<()> {
    let mut out = std::mem::take(&mut work.bytes);
    out.0.clear();
    row_state::encode(state, work.origins, &mut out);
    work.origins.store_new(work.db)?;
    work.db.save_state(place, table, key, &out.0)?;
    work.bytes = out;
    let change = i64::from(state.is_shown()) - i64::from(was_shown);
    if change != 0 {
        *work.shown.entry(table).or_default() += change;
    }
    Ok(())
}

/// Writes down how many rows more or fewer are shown since the transaction began. To be called before it commits.
pub fn count_shown<A: Access>(work: &mut Work<'_, A>) -> Result<()> {
    for (table, change) in std::mem::take(&mut work.shown) {
        if change != 0 {
            work.db.add_shown(table, change)?;
        }
    }
    Ok(())
}

/// How many rows of a table are shown.
pub fn shown_rows<A: Access>(work: &mut Work<'_, A>, table: TableNumber) -> Result<i64> {
    count_shown(work)?;
    work.db.shown_rows(table)
}

/// Keys of the rows that are shown.
pub fn keys_shown(db: &impl States, origins: &Origins, table: TableNumber) -> Result<Vec<Key>> {
    let mut keys = Vec::new();
    db.each_state(table, &mut |key, bytes| {
        if decode(bytes, origins)?.is_shown() {
            keys.push(key);
        }
        Ok(())
    })?;
    Ok(keys)
}

fn recall_from(
    db: &impl States,
    origins: &Origins,
    table: TableNumber,
    key: &Key,
) -> Result<(Option<Place>, RowState)> {
    let found = db.state(table, key, |bytes| decode(bytes, origins))?;
    Ok(found.map_or_else(Default::default, |(place, state)| (Some(place), state)))
}

/// Takes a stored row state apart.
pub fn decode(bytes: &[u8], origins: &Origins) -> Result<RowState> {
    let mut input = Reader::new(bytes);
    let state = row_state::decode(&mut input, origins).and_then(|state| input.end("row state").map(|()| state));
    state.map_err(|source| Error::damaged("a row state", source))
}

/// Makes what is shown independent of the registers, which are about to change.
pub fn pin_shown(state: &mut RowState) {
    if state.shown == Shown::AsWritten {
        let columns = (0..state.registers.len() as u16).map(ColumnIx);
        let image = columns.filter_map(|column| Some((column, state.shown_value(column)?.into_owned()))).collect();
        state.shown = Shown::Image(image);
    }
}

/// Forgets what was shown in columns: the row stands, with what the table gives to whoever does not name them.
pub fn forget_shown(state: &mut RowState, columns: &[ColumnIx]) {
    pin_shown(state);
    if let Shown::Image(image) = &mut state.shown {
        image.retain(|(column, _)| !columns.contains(column));
    }
}
