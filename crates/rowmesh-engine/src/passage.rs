//! Rows on their way through merge, show and write, in the order in which they were first come to. What is done with them is `settle`'s business.

use std::collections::HashMap;
use std::sync::Arc;

use rowmesh_core::ident::Dot;
use rowmesh_core::ledger::Entry;
use rowmesh_core::row_state::RowState;
use rowmesh_core::scope::Decision;
use rowmesh_core::value::{Key, Value};

use crate::births;
use crate::collisions::Yielding;
use crate::database::{Access, Place};
use crate::fault::Result;
use crate::orphans::Kin;
use crate::registry::{Table, TableNumber};
use crate::row_states;
use crate::work::{News, Work, shown_row};

/// One row.
pub struct Passage {
    /// Its table; `None` where that is not here, or stays at home.
    pub table: Option<Arc<Table>>,
    /// The table's number.
    pub number: TableNumber,
    /// Its key.
    pub key: Key,
    /// Where its state stands.
    pub place: Option<Place>,
    /// Its state, with what was shown before anything was written.
    pub state: RowState,
    /// The last changeset that wrote it, where any did.
    pub dot: Option<Dot>,
    /// Those before that one.
    pub earlier: Vec<Dot>,
    /// What the ledger has to be brought up to date with, if anything.
    pub news: Vec<News>,
    /// Why it goes with another row, for people: that one left the scope, or is hidden.
    pub orphaned: Option<String>,
    /// Whether that one is hidden.
    pub goes_with_hidden: bool,
    /// What it shows where other rows keep what it claims; `None` if nobody asked.
    pub yielding: Option<Yielding>,
    /// What became of it because it, or what it refers to, was deleted; `None` if nobody asked.
    pub kin: Option<Kin>,
    /// How it stands, where it was written and may be written again.
    pub stands: Option<Option<Vec<Value>>>,
    /// Whether what is remembered of it among the exceptions is to be found out anew in any case.
    pub is_odd: bool,
    /// Keys under which it was shown when the transaction began, and is not any more.
    pub came_from: Vec<Key>,
    /// What the ledger says of its number, which belongs to another.
    pub renumbered: Vec<Entry>,
}

/// Rows of one transaction, each once.
#[derive(Default)]
pub struct Passages {
    /// In their order.
    pub rows: Vec<Passage>,
    positions: HashMap<(TableNumber, Key), usize>,
    /// Where rows are that came, by their identities.
    places: HashMap<(TableNumber, Key), Key>,
    /// Those that nobody named.
    loaded: Vec<usize>,
}

impl Passage {
    /// A row of which nothing is known but its state.
    pub fn of(
        table: Option<Arc<Table>>,
        number: TableNumber,
        key: Key,
        place: Option<Place>,
        state: RowState,
    ) -> Passage {
        Passage {
            table,
            number,
            key,
            place,
            state,
            dot: None,
            earlier: Vec::new(),
            news: Vec::new(),
            orphaned: None,
            goes_with_hidden: false,
            yielding: None,
            kin: None,
            stands: None,
            is_odd: false,
            came_from: Vec::new(),
            renumbered: Vec::new(),
        }
    }

    /// The row as it stands in the table, as far as is known.
    pub fn stands_as(&self, table: &Table) -> Option<Vec<Value>> {
        self.stands.clone().unwrap_or_else(|| shown_row(table, &self.key, &self.state))
    }

    /// Whether rows that refer to it go with it.
    pub fn is_hidden(&self) -> bool {
        let is_orphan = self.kin.as_ref().is_some_and(|kin| kin.hidden.is_some());
        let yields = self.yielding.as_ref().is_some_and(|yielding| yielding.hidden.is_some());
        self.goes_with_hidden || is_orphan || yields
    }

    /// Whether it was deleted and stands for the sake of others.
    pub fn is_restored(&self) -> bool {
        self.kin.as_ref().is_some_and(|kin| kin.restored)
    }

    /// Why it is not shown though it lives, for people.
    pub fn hidden(&self) -> Option<&String> {
        let of_kin = || self.kin.as_ref()?.hidden.as_ref();
        self.orphaned.as_ref().or_else(of_kin).or_else(|| self.yielding.as_ref()?.hidden.as_ref())
    }
}

impl Passages {
    /// Adds a row that is not there yet; returns its position.
    pub fn push(&mut self, passage: Passage) -> usize {
        self.positions.insert((passage.number, passage.key.clone()), self.rows.len());
        self.rows.push(passage);
        self.rows.len() - 1
    }

    /// Where a row is.
    pub fn position(&self, row: &(TableNumber, Key)) -> Option<usize> {
        self.positions.get(row).copied()
    }

    /// Where a row is that may not be there yet, and whether it was not. If it is not shown under this key any more, it is where it belongs.
    pub fn take_along<A: Access>(&mut self, work: &mut Work<'_, A>, row: (TableNumber, Key)) -> Result<(usize, bool)> {
        if let Some(position) = self.position(&row) {
            return Ok((position, false));
        }
        let key = births::put_right(work, self, (row.0, &row.1))?;
        let known = self.rows.len();
        let position = self.load(work, (row.0, key))?;
        Ok((position, position >= known || row.1 != self.rows[position].key))
    }

    /// Where the row is that is remembered under a key, whether or not it was on its way.
    pub fn load<A: Access>(&mut self, work: &Work<'_, A>, row: (TableNumber, Key)) -> Result<usize> {
        if let Some(position) = self.position(&row) {
            return Ok(position);
        }
        self.loaded.push(self.rows.len());
        self.recall(work, row)
    }

    fn recall<A: Access>(&mut self, work: &Work<'_, A>, (number, key): (TableNumber, Key)) -> Result<usize> {
        let (place, mut state) = row_states::recall(work, number, &key)?;
        // What is shown must not follow the registers before the table does.
        row_states::pin_shown(&mut state);
        let table = shown_in(work, number)?;
        Ok(self.push(Passage::of(table, number, key, place, state)))
    }

    /// A row that an event names, as what came before has left it, or as it is remembered.
    pub fn row<A: Access>(&mut self, work: &Work<'_, A>, row: (TableNumber, Key)) -> Result<&mut Passage> {
        let position = match self.position(&row) {
            Some(position) => position,
            None => self.recall(work, row)?,
        };
        Ok(&mut self.rows[position])
    }

    /// Rows that nobody named were loaded up to here; returns them.
    pub fn take_loaded(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.loaded)
    }

    /// Where a row is shown that came.
    pub fn place(&self, number: TableNumber, identity: &Key) -> Option<&Key> {
        self.places.get(&(number, identity.clone()))
    }

    /// Remembers it.
    pub fn note_place(&mut self, number: TableNumber, identity: &Key, place: &Key) {
        self.places.insert((number, identity.clone()), place.clone());
    }

    /// Moves what is remembered of a row to another that is empty. What stands in the table stays where it is, as whoever's that comes there.
    pub fn move_state(&mut self, from: usize, to: usize) {
        let old = &mut self.rows[from];
        let shown = std::mem::take(&mut old.state.shown);
        let state = std::mem::replace(&mut old.state, RowState { shown, ..RowState::default() });
        let (dot, earlier, news) = (old.dot.take(), std::mem::take(&mut old.earlier), std::mem::take(&mut old.news));
        let mut came_from = std::mem::take(&mut old.came_from);
        came_from.push(old.key.clone());
        let (renumbered, number, key) = (std::mem::take(&mut old.renumbered), old.number, old.key.clone());
        let new = &mut self.rows[to];
        let shown = std::mem::take(&mut new.state.shown);
        new.state = RowState { shown, ..state };
        (new.dot, new.earlier, new.news, new.renumbered) = (dot, earlier, news, renumbered);
        new.came_from = came_from;
        let moved = new.key.clone();
        for ((table, _), place) in &mut self.places {
            if *table == number && *place == key {
                place.clone_from(&moved);
            }
        }
    }
}

/// The table that rows are shown in; `None` where it is not here, or stays at home.
pub fn shown_in<A: Access>(work: &Work<'_, A>, number: TableNumber) -> Result<Option<Arc<Table>>> {
    let Some(table) = work.registry.tracked(number) else { return Ok(None) };
    let travels = matches!(work.standing()?.scope.tables.decide(&table.schema.name), Decision::Sync);
    Ok(travels.then(|| table.clone()))
}
