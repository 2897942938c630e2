//! Judges changesets from elsewhere and takes them into the store, in bites that leave the database free in between. What is held back
//! or refused is reported; nothing of it is kept. Runs on the store's thread: what is judged by cannot move meanwhile.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rowmesh_core::changeset::Changeset;
use rowmesh_core::clock::WallTime;
use rowmesh_core::exchange::{Applied, Known, sort_out};
use rowmesh_core::ident::NodeId;
use rowmesh_core::limits;
use rowmesh_core::roster::Roster;
use rowmesh_core::store::{Store, StoreResult, Taken};
use rowmesh_core::wire::Tally;
use tracing::debug;

use crate::daemon::Wake;
use crate::failure::{Failure, code};
use crate::shared::Shared;

/// Takes in what it can of a batch.
///
/// # Errors
/// If the store fails. What was taken in until then stays so. As long as that is so, status tells it.
pub(crate) async fn take(shared: &Shared, batch: Vec<Arc<[u8]>>) -> Result<Applied, Failure> {
    let taken = take_in(shared, batch).await;
    // Whether another life was found is told elsewhere.
    let failure = taken.as_ref().err().filter(|failure| failure.code != code::RESTORED);
    shared.book().receiving = failure.cloned();
    taken
}

async fn take_in(shared: &Shared, batch: Vec<Arc<[u8]>>) -> Result<Applied, Failure> {
    let bytes: u64 = batch.iter().map(|changeset| changeset.len() as u64).sum();
    let roster = shared.members.roster();
    let now = shared.clock.now();
    let judged = shared.store.read(move |store| judge(store, &roster, now, &batch)).await?;
    let Judged { mut applied, take } = judged;
    // What this node has made itself comes back only where its database has forgotten it.
    let own = shared.store.exposed().position.origin;
    if take.iter().any(|changeset| changeset.dot().origin == own) {
        return Err(shared.other_life(own.incarnation.count));
    }
    let mut rest = take;
    let mut empty_handed = 0;
    while !rest.is_empty() {
        let begun = Instant::now();
        let taken;
        (taken, rest) = shared
            .store
            .write(move |store| {
                let taken = bite(store, now, &mut rest)?;
                Ok((taken, std::mem::take(&mut rest)))
            })
            .await?;
        note(shared, &taken, now);
        applied.taken.changesets += taken.taken.changesets as u64;
        applied.taken.events += taken.taken.events;
        applied.taken.bytes += taken.bytes;
        // Now and then a local write comes between, and the next attempt goes through; a store that never takes anything is broken.
        empty_handed = if taken.taken.changesets == 0 { empty_handed + 1 } else { 0 };
        if empty_handed > EMPTY_HANDED_MAX {
            return Err(Failure::bug("the store takes in nothing of what it is offered"));
        }
        if !rest.is_empty() && begun.elapsed() >= LONG_BITE {
            tokio::time::sleep(BREATH).await;
        }
    }
    applied.vector = shared.store.exposed().position.vector.clone();
    debug!(changesets = applied.taken.changesets, held = applied.held.len(), bytes, "took in");
    Ok(applied)
}

/// Bites in a row that may come to nothing.
const EMPTY_HANDED_MAX: u32 = 20;
/// A bite this long has kept the application waiting,
const LONG_BITE: Duration = Duration::from_millis(limits::APPLY_MS_BUDGET / 2);
/// so it gets its turn before the next one.
const BREATH: Duration = Duration::from_millis(2);

struct Judged {
    applied: Applied,
    take: Vec<Changeset>,
}

struct Bite {
    taken: Taken,
    bytes: u64,
    /// Origin and time of sealing of the last changeset taken.
    last: Option<(NodeId, WallTime)>,
}

fn judge(store: &mut dyn Store, roster: &Roster, now: WallTime, batch: &[Arc<[u8]>]) -> StoreResult<Judged> {
    let vector = store.position().vector;
    let store = RefCell::new(store);
    let failed = RefCell::new(None);
    let hash_of = |dot: &_| match store.borrow_mut().hash_of(dot) {
        Ok(hash) => hash,
        Err(error) => {
            failed.borrow_mut().get_or_insert(error);
            None
        }
    };
    let sorted = sort_out(&Known { now, vector: &vector, roster, hash_of: &hash_of }, batch);
    if let Some(error) = failed.into_inner() {
        return Err(error);
    }
    let applied = Applied {
        vector,
        taken: Tally::default(),
        duplicates: sorted.duplicates,
        held: first_of(sorted.held),
        refused: first_of(sorted.refused),
    };
    Ok(Judged { applied, take: sorted.take })
}

/// Takes what it can from the front of `rest`, and takes it out there.
fn bite(store: &mut dyn Store, now: WallTime, rest: &mut Vec<Changeset>) -> StoreResult<Bite> {
    // Another exchange may have brought some of them since they were judged.
    let vector = store.position().vector;
    rest.retain(|changeset| !vector.covers(&changeset.dot()));
    if rest.is_empty() {
        return Ok(Bite { taken: Taken::default(), bytes: 0, last: None });
    }
    let taken = store.take(now, rest)?;
    let done = &rest[..taken.changesets.min(rest.len())];
    let bytes = done.iter().map(|changeset| changeset.bytes().len() as u64).sum();
    let last = done.last().map(|changeset| (changeset.dot().origin.node, changeset.header().sealed_at));
    rest.drain(..done.len());
    Ok(Bite { taken, bytes, last })
}

fn note(shared: &Shared, bite: &Bite, now: WallTime) {
    if let Some((node, sealed_at)) = bite.last {
        shared.lags().insert(node, now.0.saturating_sub(sealed_at.0));
    }
    if bite.taken.changesets > 0 || !bite.taken.sealed.dots.is_empty() {
        shared.book().last_change = Some(now);
        let Taken { conflicts, parked, sealed, .. } = &bite.taken;
        shared.wake(Wake::Took { conflicts: *conflicts, parked: *parked, sealed: sealed.events });
    }
}

fn first_of<T>(mut reports: Vec<T>) -> Vec<T> {
    reports.truncate(limits::REPORTS_MAX);
    reports
}
