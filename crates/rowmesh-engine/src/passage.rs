//! Rows on their way through merge, show and write, in the order in which they were first come to. What is done with them is `settle`'s business.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use rowmesh_core::ident::Dot;
use rowmesh_core::row_state::RowState;
use rowmesh_core::value::{Key, Value};

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
}

/// Rows of one transaction, each once.
#[derive(Default)]
pub struct Passages {
    /// In their order.
    pub rows: Vec<Passage>,
    positions: HashMap<(TableNumber, Key), usize>,
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

    /// Where a row is that may not be there yet, and whether it was not.
    pub fn take_along<A: Access>(&mut self, work: &Work<'_, A>, row: (TableNumber, Key)) -> Result<(usize, bool)> {
        if let Some(position) = self.position(&row) {
            return Ok((position, false));
        }
        let (place, mut state) = row_states::recall(work, row.0, &row.1)?;
        row_states::pin_shown(&mut state);
        let table = work.registry.tracked(row.0).cloned();
        Ok((self.push(Passage::of(table, row.0, row.1, place, state)), true))
    }

    /// A row as what came before has left it, or as it is remembered.
    pub fn row<A: Access>(
        &mut self,
        work: &Work<'_, A>,
        table: Option<&Arc<Table>>,
        number: TableNumber,
        key: Key,
    ) -> Result<&mut Passage> {
        let position = match self.positions.entry((number, key)) {
            Entry::Occupied(position) => *position.get(),
            Entry::Vacant(new) => {
                let key = new.key().1.clone();
                let (place, mut state) = row_states::recall(work, number, &key)?;
                // What is shown must not follow the registers before the table does.
                row_states::pin_shown(&mut state);
                self.rows.push(Passage::of(table.cloned(), number, key, place, state));
                *new.insert(self.rows.len() - 1)
            }
        };
        Ok(&mut self.rows[position])
    }
}
