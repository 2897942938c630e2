//! Transactions that first seal what the application wrote and then change what is shown: taking changesets in, trying again what is parked, naming
//! anew what was sealed. What a changeset becomes is `apply`'s business, what is sealed `seal`'s.

use std::time::Instant;

use rowmesh_core::changeset::Changeset;
use rowmesh_core::clock::WallTime;
use rowmesh_core::ident::{Origin, Seq};
use rowmesh_core::store::{StoreResult, Taken};
use rowmesh_core::value::Value;

use super::{End, Engine, cause, remember_own};
use crate::database::{Database, Notes, Parking, Rows};
use crate::fault::Error;
use crate::registry::TableNumber;
use crate::{apply, restamp, seal};

impl<D: Database> Engine<D> {
    /// Seals one part, then takes in what the lock budget allows, in one transaction. A row that came between locking and sealing was sealed,
    /// and can move on before we write: it is locked first by the next attempt.
    fn take_some(&mut self, now: WallTime, changesets: &[Changeset]) -> StoreResult<(Taken, bool)> {
        let (started, budget) = (Instant::now(), self.lock_budget);
        self.in_transaction_with_round(|work, round| {
            work.now = now;
            let mut taken = Taken::default();
            let steps = if D::IS_SHARED { apply::first_of(changesets, D::STEP_ROWS) } else { changesets };
            let mut rows = if D::IS_SHARED { apply::rows_of(work, steps)? } else { Vec::new() };
            rows.append(work.drawn_in);
            // What is sealed now of these rows is then all that will be in them when we write.
            let locked = work.db.lock(&rows)?;
            let part = seal::seal_part(work, round, D::UNIT_ROWS)?;
            let more = part.more || (part.spent && work.db.lock(&rows)? > locked);
            if let Some(changeset) = &part.changeset {
                taken.sealed.dots.push(changeset.dot());
                taken.sealed.events += changeset.events().len() as u64;
            }
            if more {
                return Ok(End::Commit((taken, true)));
            }
            let mut left = steps;
            while !left.is_empty() && (taken.changesets == 0 || started.elapsed() < budget) {
                let step = apply::first_of(left, D::STEP_ROWS);
                let applied = apply::take_in(work, step)?;
                taken.changesets += applied.changesets;
                taken.events += applied.events;
                taken.rows_written += applied.rows_written;
                taken.parked += applied.parked;
                if applied.changesets < step.len() {
                    break;
                }
                left = &left[step.len()..];
            }
            taken.conflicts = work.conflicts;
            let idle = taken.changesets == 0 && taken.sealed.dots.is_empty() && !part.spent;
            Ok(if idle { End::Rollback((taken, false)) } else { End::Commit((taken, false)) })
        })
    }

    /// Shows what can be shown of what is parked, once everything that was written here meanwhile is sealed; `None` if that is not yet.
    pub(super) fn retry_some(&mut self, now: WallTime) -> StoreResult<Option<u64>> {
        let (left, is_idle) = self.in_transaction_with_round(|work, round| {
            work.now = now;
            let rows = work.db.parked_rows()?;
            let mut tracked = apply::tracked(work, rows);
            tracked.append(work.drawn_in);
            let locked = work.db.lock(&tracked)?;
            let part = seal::seal_part(work, round, D::UNIT_ROWS)?;
            if part.more || (part.spent && work.db.lock(&tracked)? > locked) {
                return Ok(End::Commit((None, false)));
            }
            let (left, has_moved) = apply::retry_parked(work)?;
            let is_idle = !has_moved && part.changeset.is_none() && !part.spent;
            Ok(if is_idle { End::Rollback((Some(left), true)) } else { End::Commit((Some(left), false)) })
        })?;
        if is_idle {
            self.reload_origins()?;
        }
        Ok(left)
    }

    /// Names anew what was sealed, once everything that was written here is; `None` if that is not yet.
    pub(super) fn restamp_now(&mut self, last: Seq, next: Origin, now: WallTime) -> StoreResult<Option<u64>> {
        self.in_transaction_with_round(|work, round| {
            work.now = now;
            if D::IS_SHARED {
                // Which rows will be shown otherwise is known only at the end.
                work.db.lock_all(work.registry)?;
            }
            if seal::seal_part(work, round, D::UNIT_ROWS)?.more {
                return Ok(End::Commit(None));
            }
            let count = restamp::restamp(work, last, next)?;
            remember_own(work.db, work.origins, &next)?;
            Ok(End::Commit(Some(count)))
        })
    }

    /// A row stands that no trigger told of: note it, so that the next attempt seals it first.
    pub(super) fn note_unnoticed(&mut self, table: TableNumber, key: &[Value], now: WallTime) -> StoreResult<()> {
        self.in_transaction(|work| {
            if let Some(table) = work.registry.tracked(table) {
                work.db.note(table, key, now)?;
            }
            Ok(End::Commit(()))
        })
    }

    pub(super) fn take_all(&mut self, now: WallTime, changesets: &[Changeset]) -> StoreResult<Taken> {
        let mut total = Taken::default();
        let (mut unnoticed, mut last_unnoticed) = (0, None);
        loop {
            match self.take_some(now, changesets) {
                Ok((taken, more_to_seal)) => {
                    total.sealed.dots.extend(taken.sealed.dots);
                    total.sealed.events += taken.sealed.events;
                    if more_to_seal {
                        continue;
                    }
                    let sealed = std::mem::take(&mut total.sealed);
                    return Ok(Taken { sealed, ..taken });
                }
                Err(error) => {
                    let Some(Error::Unnoticed { table, key }) = cause(&error) else { return Err(error) };
                    unnoticed += 1;
                    let (table, key) = (*table, key.clone());
                    // Noted and sealed, and still unnoticed: looking again would find the same.
                    let again = last_unnoticed.replace((table, key.clone())) == Some((table, key.clone()));
                    if again || unnoticed > D::UNIT_ROWS {
                        return Err(error);
                    }
                    self.note_unnoticed(table, &key, now)?;
                }
            }
        }
    }
}
