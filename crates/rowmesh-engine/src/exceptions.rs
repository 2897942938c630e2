//! Rows that do not show a unique value which they claim, as one transaction knows them: few, so those of a table are read at once. Which they are is
//! decided in `collisions`; where they are kept is the database's business.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use rowmesh_core::unique::Claim;
use rowmesh_core::value::Key;

use crate::database::Exceptions;
use crate::fault::Result;
use crate::registry::TableNumber;

/// Those of all tables, as far as anybody asked.
#[derive(Default)]
pub struct Known {
    /// Whether there may be any.
    pub any: bool,
    /// Whether some are to be looked at again.
    pub any_doubted: bool,
    /// Whether this transaction has changed any.
    pub has_changed: bool,
    tables: RefCell<HashMap<TableNumber, Arc<OfTable>>>,
}

/// Those of one table.
#[derive(Clone, Default)]
pub struct OfTable {
    by_claim: HashMap<Claim, BTreeSet<Key>>,
    by_key: HashMap<Key, BTreeSet<Claim>>,
}

impl Known {
    /// Nothing is known but whether there are any, and whether some are to be looked at again.
    pub fn new(any: bool, any_doubted: bool) -> Known {
        Known { any, any_doubted, ..Known::default() }
    }

    /// What the next transaction may know: others may write meanwhile.
    pub fn for_next(self) -> Known {
        Known::new(self.any, self.any_doubted)
    }

    /// Those of a table.
    pub fn of(&self, db: &impl Exceptions, table: TableNumber) -> Result<Arc<OfTable>> {
        if let Some(known) = self.tables.borrow().get(&table) {
            return Ok(known.clone());
        }
        let mut of_table = OfTable::default();
        if self.any {
            for (claim, key) in db.exceptions(table)? {
                of_table.add(claim, &key);
            }
        }
        let of_table = Arc::new(of_table);
        self.tables.borrow_mut().insert(table, of_table.clone());
        Ok(of_table)
    }

    /// Reads them anew: rows go under other keys.
    pub fn forget_known(&mut self) {
        self.tables.get_mut().clear();
    }

    /// Says which claims of a row it does not show.
    pub fn set(&mut self, db: &impl Exceptions, table: TableNumber, key: &Key, claims: BTreeSet<Claim>) -> Result<()> {
        let before: BTreeSet<Claim> = self.of(db, table)?.claims_of(key).copied().collect();
        if claims.is_empty() && before.is_empty() {
            return Ok(());
        }
        self.has_changed |= claims != before;
        db.set_exceptions(table, key, &claims.iter().copied().collect::<Vec<_>>())?;
        self.any |= !claims.is_empty();
        let mut tables = self.tables.borrow_mut();
        let of_table = Arc::make_mut(tables.entry(table).or_default());
        of_table.forget(key);
        claims.into_iter().for_each(|claim| of_table.add(claim, key));
        Ok(())
    }

    /// Says that the rows which claim these are to be looked at again.
    pub fn doubt(&mut self, db: &impl Exceptions, table: TableNumber, claims: &BTreeSet<Claim>) -> Result<()> {
        let known = self.of(db, table)?;
        for claim in claims.iter().filter(|claim| known.claiming(claim).next().is_some()) {
            self.any_doubted |= db.doubt(table, *claim)? > 0;
        }
        Ok(())
    }
}

impl OfTable {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Whether a row is one.
    pub fn has(&self, key: &Key) -> bool {
        self.by_key.contains_key(key)
    }

    /// The rows that claim this and do not show it.
    pub fn claiming(&self, claim: &Claim) -> impl Iterator<Item = &Key> {
        self.by_claim.get(claim).into_iter().flatten()
    }

    /// All of them, by row.
    pub fn by_key(&self) -> impl Iterator<Item = (&Key, &BTreeSet<Claim>)> {
        self.by_key.iter()
    }

    /// What a row claims and does not show.
    pub fn claims_of(&self, key: &Key) -> impl Iterator<Item = &Claim> {
        self.by_key.get(key).into_iter().flatten()
    }

    fn add(&mut self, claim: Claim, key: &Key) {
        self.by_claim.entry(claim).or_default().insert(key.clone());
        self.by_key.entry(key.clone()).or_default().insert(claim);
    }

    fn forget(&mut self, key: &Key) {
        for claim in self.by_key.remove(key).unwrap_or_default() {
            if let Some(keys) = self.by_claim.get_mut(&claim) {
                keys.remove(key);
            }
        }
    }
}
