//! What the scope says of rows that arrive: which are not taken in, which follow a row that left, and which the next seal has to look at
//! because of them. What a filter means is `scope`'s business, what becomes of rows that are taken in `apply`'s.

use std::collections::HashSet;

use rowmesh_core::changeset::Changeset;
use rowmesh_core::event::Event;
use rowmesh_core::value::{Key, Value};

use crate::births;
use crate::database::Access;
use crate::fault::{Error, Result};
use crate::registry::{Table, TableNumber};
use crate::row_states;
use crate::scope::Arriving;
use crate::work::{Work, shown_row};

/// Rows of a changeset that belong to rows which left the scope here before their writer knew.
pub type Followers = HashSet<(TableNumber, Key)>;

/// Whether the filters say of the row as the event leaves it that it should never have left its origin: then it is not taken in here.
pub fn is_kept_out<A: Access>(
    work: &mut Work<'_, A>,
    table: Option<&Table>,
    changeset: &Changeset,
    event: &Event,
    identity: &Key,
    followers: &mut Followers,
) -> Result<bool> {
    let Some(table) = table.filter(|table| work.membership.concerns(&table.schema.name)) else {
        return Ok(false);
    };
    let key = &births::place_of(work, table, identity)?;
    let after = image_here(work, table, changeset, event)?;
    if let Some(row) = &after
        && belongs_to_left(work, table, row, followers)?
    {
        followers.insert((table.number, key.clone()));
        return Ok(false);
    }
    let kept_out = work.membership.keeps_out(work.db, work.registry, table, key, after.as_deref())?;
    if kept_out {
        tracing::warn!(table = %table.schema.name, origin = %changeset.dot().origin, "a row outside the scope was sent and is not taken in");
    }
    Ok(kept_out)
}

/// A row that came to stand under one that left the scope is no longer for others either, or that one is for others again because this one
/// needs it: the next seal says so to them.
pub fn note_if_owner_left<A: Access>(
    work: &mut Work<'_, A>,
    table: &Table,
    key: &Key,
    row: Option<&[Value]>,
) -> Result<()> {
    let Some(row) = row.filter(|_| work.membership.concerns(&table.schema.name)) else { return Ok(()) };
    let mut noted = work.membership.needed(work.db, work.registry, table, row)?;
    if belongs_to_left(work, table, row, &Followers::new())? {
        noted.push((table.number, key.clone()));
    }
    for (number, key) in noted {
        let values = key.values().map_err(|source| Error::damaged("a key", source))?;
        if let Some(table) = work.registry.tracked(number).cloned() {
            work.db.note(&table, &values, work.now)?;
        }
    }
    Ok(())
}

/// The rows that a changeset leaves, as far as they are of tables that are here.
pub fn arriving<'t, A: Access>(
    work: &Work<'_, A>,
    changeset: &Changeset,
    table_of: impl Fn(&Event) -> Option<&'t Table>,
) -> Result<Arriving> {
    let mut arriving = Arriving::new();
    for event in changeset.events() {
        let Some(table) = table_of(event) else { continue };
        if let Some(row) = image_here(work, table, changeset, event)? {
            let place = births::place_of(work, table, &event.key(changeset.shape(event)))?;
            arriving.entry(table.schema.name.clone()).or_default().insert(place, row);
        }
    }
    Ok(arriving)
}

/// The row that an event leaves, in the order of this node's table; `None` for a delete.
fn image_here<A: Access>(
    work: &Work<'_, A>,
    table: &Table,
    changeset: &Changeset,
    event: &Event,
) -> Result<Option<Vec<Value>>> {
    let names = &changeset.shape(event).columns;
    let Some(after) = event.after() else { return Ok(None) };
    let value_of = |name| names.iter().position(|known| known == name).map(|position| after[position].clone());
    let row = table.schema.columns.iter().map(|column| value_of(&column.name).unwrap_or(Value::Null));
    let mut row: Vec<Value> = row.collect();
    births::row_in_places(work, table, &mut row)?;
    Ok(Some(row))
}

/// Whether a row belongs to one that left the scope after its writer last saw it, or to another such row. Where the owner stands, it
/// is shown with it, and leaves with the next seal.
fn belongs_to_left<A: Access>(work: &Work<'_, A>, table: &Table, row: &[Value], followers: &Followers) -> Result<bool> {
    let mut above = work.membership.owners(work.registry, table, row);
    let mut known: Followers = above.iter().cloned().collect();
    while let Some(owner) = above.pop() {
        let state = row_states::load(work.db, work.origins, owner.0, &owner.1)?;
        if followers.contains(&owner) || state.has_left() {
            return Ok(true);
        }
        // An owner that came before the last seal has not left itself yet.
        let Some(table) = work.registry.tracked(owner.0) else { continue };
        let Some(row) = shown_row(table, &owner.1, &state) else { continue };
        above.extend(
            work.membership.owners(work.registry, table, &row).into_iter().filter(|row| known.insert(row.clone())),
        );
    }
    Ok(false)
}
