//! What stands in the two tables, as a pure function of the rows' states: existence, merges, keys, references, unique names, hiding,
//! in this order, no step asking a later one. Makes no events and remembers nothing.

use std::collections::{BTreeMap, BTreeSet};

use rowmesh_core::ident::Dot;
use rowmesh_core::policy::ColumnPolicy;
use rowmesh_core::row_state::{ColumnIx, Written};
use rowmesh_core::show;
use rowmesh_core::value::Value;

use super::{Identity, Kept, NAME, NOTE, OrphanRule, PARENT, Row, Rules, Table};

/// All rows of a node.
pub type Rows = BTreeMap<Identity, Row>;

/// A row as it stands in its table; numbers and references as shown.
pub type Image = Vec<Value>;

/// Everything that stands in the tables, by row.
pub type Standing = BTreeMap<Identity, Image>;

/// Who knew what: whether the later changeset had seen the earlier one. Row states keep stamps only, and this rule needs the
/// contexts of deletes.
pub type HasSeen<'a> = &'a dyn Fn(&Dot, &Dot) -> bool;

/// The steps of settling, for whoever needs one of them alone.
pub struct Settling<'a> {
    rows: &'a Rows,
    rules: Rules,
    has_seen: HasSeen<'a>,
    /// By birth the row that it is.
    survivors: BTreeMap<Identity, Identity>,
    /// Deleted parents that are shown for their children's sake.
    restored: BTreeSet<Identity>,
}

/// What should stand in the tables.
pub fn settle(rows: &Rows, rules: Rules, has_seen: HasSeen<'_>) -> Standing {
    let settling = Settling::of(rows, rules, has_seen);
    let mut standing = Standing::new();
    let names = settling.names();
    for (identity, name) in names {
        standing.insert(identity, vec![settling.number(&identity).into(), name]);
    }
    let children = rows.keys().filter(|identity| identity.table == Table::Children && settling.lives(identity));
    for child in children {
        if let Some(parent) = settling.reference(child) {
            let note = settling.written(child, NOTE).map_or(Value::Null, |note| note.value);
            standing.insert(*child, vec![settling.number(child).into(), parent, note]);
        }
    }
    standing
}

/// Which births are one row: from each to the oldest of them. Two are one if they were born with one name, neither had seen the other,
/// and no third of that name had seen only one of the two: else rows that a user told apart would become one by way of a third.
pub fn survivors(rows: &Rows, rules: Rules, has_seen: HasSeen<'_>) -> BTreeMap<Identity, Identity> {
    let mut of: BTreeMap<Identity, Identity> = rows.keys().map(|identity| (*identity, *identity)).collect();
    if !rules.merge_rows {
        return of;
    }
    let named = |name: &Value| {
        rows.iter().filter(|(_, row)| row.birth_name.as_ref() == Some(name)).map(|(row, _)| *row).collect::<Vec<_>>()
    };
    let mut names: Vec<&Value> =
        rows.values().filter_map(|row| row.birth_name.as_ref()).filter(|name| !name.is_null()).collect();
    names.dedup();
    for name in names {
        let births = named(name);
        let saw = |a: &Identity, b: &Identity| a != b && has_seen(&a.birth, &b.birth);
        for (a, b) in births.iter().flat_map(|a| births.iter().map(move |b| (a, b))).filter(|(a, b)| a < b) {
            let told_apart = births.iter().any(|c| c != a && c != b && saw(c, a) != saw(c, b));
            if saw(a, b) || saw(b, a) || told_apart {
                continue;
            }
            let (x, y) = (of[a], of[b]);
            let older = if (rows[&x].born(), x) < (rows[&y].born(), y) { x } else { y };
            of.values_mut()
                .filter(|survivor| **survivor == x || **survivor == y)
                .for_each(|survivor| *survivor = older);
        }
    }
    of
}

impl<'a> Settling<'a> {
    /// Settles existence and merges; the rest follows on demand.
    pub fn of(rows: &'a Rows, rules: Rules, has_seen: HasSeen<'a>) -> Settling<'a> {
        let survivors = survivors(rows, rules, has_seen);
        let mut settling = Settling { rows, rules, has_seen, survivors, restored: BTreeSet::new() };
        settling.restore_parents();
        settling
    }

    /// All births that are one row with this survivor.
    pub fn members<'s>(&'s self, of: &'s Identity) -> impl Iterator<Item = (&'s Identity, &'s Row)> {
        self.rows.iter().filter(move |(identity, _)| self.survivors[*identity] == *of)
    }

    /// The write of a column that is shown, over all births that are one row.
    pub fn chosen(&self, identity: &Identity, column: usize) -> Option<(Written, Kept)> {
        let writes = self.members(identity).flat_map(|(_, row)| {
            let written = show::choose(row.state.register(ColumnIx(column as u16)), &ColumnPolicy::LastWriter);
            written.map(|written| (written.clone(), row.kept.get(&written.stamp.dot).cloned().unwrap_or_default()))
        });
        writes.max_by_key(|(written, _)| written.stamp)
    }

    /// Whether a row lives by its own writes: one of them was seen by no delete of any birth that is this row.
    pub fn lives(&self, identity: &Identity) -> bool {
        let is_deleted = |write: &Dot| {
            self.members(identity)
                .any(|(_, row)| row.state.deletes.iter().any(|delete| (self.has_seen)(&delete.dot, write)))
        };
        let mut live = self.members(identity).flat_map(|(_, row)| &row.state.live);
        self.survivors[identity] == *identity && live.any(|write| !is_deleted(&write.dot))
    }

    fn stands(&self, parent: &Identity) -> bool {
        self.lives(parent) || self.restored.contains(parent)
    }

    fn written(&self, identity: &Identity, column: usize) -> Option<Written> {
        self.chosen(identity, column).map(|(written, _)| written)
    }

    /// A reference as it was meant: the parent and the write that says so.
    fn meant(&self, child: &Identity) -> Option<(Identity, Written)> {
        let (written, kept) = self.chosen(child, PARENT)?;
        let (Value::Integer(number), Some(birth)) = (&written.value, kept.meant) else { return None };
        let parent = Identity { table: Table::Parents, number: *number, birth };
        Some((*self.survivors.get(&parent)?, written))
    }

    fn restore_parents(&mut self) {
        if self.rules.orphans != OrphanRule::RestoreParent {
            return;
        }
        let children = self.rows.keys().filter(|row| row.table == Table::Children && self.lives(row));
        let needed = children
            .filter_map(|child| self.meant(child))
            .filter(|(parent, reference)| !self.lives(parent) && !self.delete_had_seen(parent, &reference.stamp.dot));
        self.restored = needed.map(|(parent, _)| parent).collect();
    }

    fn delete_had_seen(&self, parent: &Identity, reference: &Dot) -> bool {
        self.members(parent)
            .any(|(_, row)| row.state.deletes.iter().any(|delete| (self.has_seen)(&delete.dot, reference)))
    }

    /// The number that a row is shown under: its own unless that belongs to another birth for good.
    fn number(&self, identity: &Identity) -> i64 {
        if self.rows[identity].gave_way { identity.derived_number() } else { identity.number }
    }

    /// What a living child shows as its parent; `None` if it is hidden.
    fn reference(&self, child: &Identity) -> Option<Value> {
        let Some((parent, _)) = self.meant(child) else { return Some(Value::Null) };
        if self.stands(&parent) {
            return Some(self.number(&parent).into());
        }
        (self.rules.orphans == OrphanRule::SetNull).then_some(Value::Null)
    }

    /// The names that parents show: written ones first, then derived ones for those that gave way.
    fn names(&self) -> Vec<(Identity, Value)> {
        let parents = self.rows.keys().filter(|row| row.table == Table::Parents && self.stands(row));
        let mut claims: Vec<(Identity, Written, Kept)> = parents
            .filter_map(|parent| self.chosen(parent, NAME).map(|(written, kept)| (*parent, written, kept)))
            .collect();
        let beaten: BTreeSet<(Identity, Dot)> =
            claims.iter().flat_map(|(.., kept)| kept.beats.iter().copied()).collect();
        let is_beaten = |(identity, written, _): &(Identity, Written, Kept)| {
            self.members(identity).any(|(member, _)| beaten.contains(&(*member, written.stamp.dot)))
        };
        claims.sort_by_key(|claim| (self.restored.contains(&claim.0), is_beaten(claim), claim.1.stamp, claim.0));

        let mut taken: Vec<Value> = Vec::new();
        let (mut names, mut losers) = (Vec::new(), Vec::new());
        for (identity, written, _) in claims {
            if written.value.is_null() || !taken.contains(&written.value) {
                taken.push(written.value.clone());
                names.push((identity, written.value));
            } else {
                losers.push((identity, written.value));
            }
        }
        for (identity, value) in losers {
            let text = value.as_str().unwrap_or_default();
            let free = (0..).map(|attempt| Value::text(&format!("{text}{}", identity.suffix(attempt))));
            let free = free.into_iter().find(|name| !taken.contains(name)).expect("there are more suffixes than rows");
            taken.push(free.clone());
            names.push((identity, free));
        }
        names
    }
}
