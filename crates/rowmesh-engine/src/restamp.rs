//! Gives the newest changesets of this node new names and times, because its clock was ahead when it sealed them and nobody has taken them
//! in: same events in the same order, under the next incarnation. When that is right is not decided here. Runs inside a transaction that
//! `store` began; afterwards nothing tells that there were others.

use std::collections::BTreeSet;

use rowmesh_core::changeset::{Changeset, Header, event_salt};
use rowmesh_core::clock::{Lamport, VersionVector};
use rowmesh_core::event::{Birth, Context, Event, EventId, rename_beaten};
use rowmesh_core::ident::{Digest, Dot, Origin, Seq};
use rowmesh_core::row_state::{OriginTable, Stamp};
use rowmesh_core::value::Key;

use crate::births;
use crate::database::Access;
use crate::fault::{Error, Result};
use crate::registry::TableNumber;
use crate::seal::SALT_PURPOSE;
use crate::work::{News, Work};
use crate::{apply, log, row_states};

/// Renames what this node sealed after `last` to changesets 1, 2, … of `next`. Returns how many there are; none is no error: others may vouch for
/// more than was ever sealed.
pub fn restamp<A: Access>(work: &mut Work<'_, A>, last: Seq, next: Origin) -> Result<u64> {
    let old = work.own;
    let known = work.origins.get(&old).map_or(Seq(0), |known| known.seq);
    // Whoever sealed what refers to later ones has them, and will vouch for them: under other names they would be other writes there.
    let last = last.max(log::named_by_others(work.db, work.origins, &old)?);
    if known <= last {
        // All of it is in somebody's hands, or so they say: what there is keeps its names, and what comes gets new ones.
        return Ok(0);
    }
    let sealed = log::own_after(work.db, work.origins, &old, last)?;
    if sealed.len() as u64 != known.0 - last.0 {
        return Err(Error::inconsistent("changesets that are to be named anew are not in the log"));
    }
    let rows = rows_of(work, last)?;
    let mut names = Names { old, last, next, above: Lamport::at(work.now) };
    // What the users had before them when they wrote lies below what they wrote; what came in beside it has its own time.
    let seen = sealed.last().map(|newest| log::numbered(work.db, *newest)).transpose()?;
    let seen = seen.map(|newest| newest.header().context.vector.clone()).unwrap_or_default();
    for (table, key) in &rows {
        let state = row_states::load(work.db, work.origins, *table, key)?;
        let kept = state.stamps().filter(|stamp| !names.covers(&stamp.dot) && seen.covers(&stamp.dot));
        names.above = kept.map(|stamp| stamp.lamport).chain([names.above]).max().unwrap_or_default();
    }
    let (first, hash) = seal_anew(work, &names, &sealed)?;
    work.origins.cut(work.db, Dot { origin: old, seq: last }, first)?;
    work.origins.settle(work.db, Dot { origin: next, seq: Seq(sealed.len() as u64) }, hash, Seq(0))?;
    rename_parked(work, &names)?;
    let told = forget_ledger(work, &names)?;
    rename_rows(work, &names, &rows, told)?;
    Ok(sealed.len() as u64)
}

/// What was called how, and is called how now.
struct Names {
    old: Origin,
    last: Seq,
    next: Origin,
    /// The clock, or the highest timestamp that the users had before them.
    above: Lamport,
}

impl Names {
    fn covers(&self, dot: &Dot) -> bool {
        dot.origin == self.old && dot.seq > self.last
    }

    fn dot(&self, dot: Dot) -> Dot {
        if self.covers(&dot) { Dot { origin: self.next, seq: Seq(dot.seq.0 - self.last.0) } } else { dot }
    }

    fn lamport(&self, renamed: Seq) -> Lamport {
        Lamport(self.above.0.saturating_add(renamed.0))
    }

    fn stamp(&self, stamp: &Stamp) -> Stamp {
        let dot = self.dot(stamp.dot);
        if dot == stamp.dot { *stamp } else { Stamp { lamport: self.lamport(dot.seq), dot } }
    }

    fn context(&self, context: &Context) -> Context {
        let own = context.vector.get(&self.old);
        let renamed = Seq(own.0.saturating_sub(self.last.0));
        let others = context.vector.dots().filter(|dot| dot.origin != self.old);
        let both = [Dot { origin: self.old, seq: own.min(self.last) }, Dot { origin: self.next, seq: renamed }];
        let vector: VersionVector = others.chain(both.into_iter().filter(|dot| dot.seq > Seq(0))).collect();
        let mut parked: Vec<EventId> =
            context.parked.iter().map(|id| EventId { dot: self.dot(id.dot), ..id.clone() }).collect();
        parked.sort();
        Context { vector, parked: parked.into() }
    }

    fn event(&self, event: &Event, lamport: Lamport, salt: [u8; 16]) -> Event {
        let birth = match event.birth {
            Birth::Here => Birth::Here,
            Birth::At(dot) => Birth::At(self.dot(dot)),
        };
        let mut renamed = Event { lamport, birth, salt, ..event.clone() };
        rename_beaten(&mut renamed.extras, |dot| self.dot(dot));
        renamed
    }
}

/// The rows that the renamed changesets wrote.
fn rows_of<A: Access>(work: &Work<'_, A>, last: Seq) -> Result<BTreeSet<(TableNumber, Key)>> {
    let mut rows = BTreeSet::new();
    log::own_rows(work.db, work.origins, &work.own, last, |table, key| {
        rows.insert((table, key));
    })?;
    Ok(rows)
}

/// Signs every changeset under its new name. Returns the hash of the last one that keeps its name, and of the last new one.
fn seal_anew<A: Access>(work: &mut Work<'_, A>, names: &Names, sealed: &[i64]) -> Result<(Digest, Digest)> {
    let standing = work.standing()?;
    let secret = standing.signer.derive(SALT_PURPOSE);
    let (mut kept, mut previous) = (None, Digest::default());
    for number in sealed {
        let changeset = log::numbered(work.db, *number)?;
        let header = changeset.header();
        kept.get_or_insert(header.previous);
        let dot = names.dot(header.dot);
        let lamport = names.lamport(dot.seq);
        let events = changeset.events().iter().enumerate();
        let events = events.map(|(n, event)| names.event(event, lamport, event_salt(&secret, dot, n))).collect();
        let header = Header {
            dot,
            previous,
            context: names.context(&header.context),
            sealed_at: work.now,
            lamport_max: lamport,
            ..header.clone()
        };
        let anew = Changeset::seal(header, changeset.shapes().to_vec(), events, &*standing.signer);
        log::replace(work.db, work.origins, *number, &anew)?;
        previous = anew.hash();
    }
    work.decoded.clear();
    Ok((kept.unwrap_or_default(), previous))
}

fn rename_parked<A: Access>(work: &mut Work<'_, A>, names: &Names) -> Result<()> {
    let (old, next) = (work.origins.number(&names.old), work.origins.number(&names.next));
    work.db.rename_parked(old, next, names.last)
}

/// Forgets the ledger's entries that name a renamed write, and tells whose rows they were: names are part of them.
fn forget_ledger<A: Access>(work: &mut Work<'_, A>, names: &Names) -> Result<BTreeSet<(TableNumber, Key)>> {
    let old = work.origins.number(&names.old);
    let mut told = BTreeSet::new();
    for (name, key) in work.db.forget_entries(old, names.last)? {
        let number = work.registry.table_number(work.db, &name)?;
        let place = match work.registry.tracked(number) {
            Some(table) => births::place_of(work, table, &key)?,
            None => key,
        };
        told.insert((number, place));
    }
    Ok(told)
}

/// Renames what rows remember. Where writes stand side by side another may be the later now, and another row is shown.
fn rename_rows<A: Access>(
    work: &mut Work<'_, A>,
    names: &Names,
    rows: &BTreeSet<(TableNumber, Key)>,
    told: BTreeSet<(TableNumber, Key)>,
) -> Result<()> {
    let mut contested = Vec::new();
    for (table, key) in rows {
        let (place, mut state) = row_states::recall(work, *table, key)?;
        if state.is_contested() || told.contains(&(*table, key.clone())) {
            contested.push((*table, key.clone()));
        }
        let was_shown = state.is_shown();
        state.rename(|stamp| names.stamp(stamp));
        row_states::save_at(work, place, *table, key, &state, was_shown)?;
        if work.lost_numbers.contains(table) {
            // Another birth may be the earlier now.
            if let Some(table) = work.registry.tracked(*table).cloned() {
                births::unsettle(work, &table, key)?;
            }
            contested.push((*table, key.clone()));
        }
    }
    contested.dedup();
    let tables: BTreeSet<TableNumber> = rows.iter().map(|(table, _)| *table).collect();
    for table in tables {
        // Another claim may be the earlier now.
        work.exceptions.any_doubted |= work.db.doubt_all(table)? > 0;
    }
    // What the database refuses shows what it showed, until something comes to the row.
    drop(apply::show_anew(work, &contested)?);
    for (table, key) in told.iter().filter(|row| !rows.contains(row)) {
        let state = row_states::load(work.db, work.origins, *table, key)?;
        work.refresh_ledger(*table, key, &state, News::Everything)?;
    }
    Ok(())
}
