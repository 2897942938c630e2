//! One node of the play-through: a database with constraints that its user meets, and seal and apply around the shipped merge. What
//! stands in the tables is `settle`'s business.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rowmesh_core::clock::{Lamport, VersionVector};
use rowmesh_core::event::{Birth, Context, Event, Operation};
use rowmesh_core::ident::{Dot, Incarnation, NodeId, Origin};
use rowmesh_core::row_state::{Arrival, ColumnIx};
use rowmesh_core::value::Value;

use super::settle::{self, Image, Rows, Standing};
use super::{DERIVED_FIRST, Identity, Kept, NAME, OrphanRule, PARENT, Rules, Table};
use crate::model::{Failure, ensure};

/// A changeset as it travels.
#[derive(Debug)]
pub struct Unit {
    /// Its name.
    pub dot: Dot,
    /// What its origin knew.
    pub context: Context,
    /// Its events, each with its table.
    pub events: Vec<(Table, Event)>,
}

/// One node.
pub struct Node {
    /// What stands in its tables, by number; what its user sees and changes.
    pub tables: BTreeMap<(Table, i64), Image>,
    /// Its rows' states.
    pub rows: Rows,
    /// What they reflect.
    pub vector: VersionVector,
    /// What was shown when sealing or applying last ended.
    pub standing: Standing,
    /// Milliseconds on its clock.
    pub clock: u64,
    rules: Rules,
    origin: Origin,
    /// Contexts of all changesets: rules that ask who had seen what need them.
    contexts: BTreeMap<Dot, Context>,
    /// The row that each write left, as the log remembers it.
    left: BTreeMap<(Identity, Dot), Image>,
    /// Under which derived number a row was once shown.
    moved: BTreeMap<Identity, i64>,
    /// Which row each number in the tables is; numbers that the user took since the last seal are not there.
    bound: BTreeMap<(Table, i64), Identity>,
    /// Which row each number was when sealing or applying last ended.
    shown: BTreeMap<(Table, i64), Identity>,
    /// Rows that the user deleted since the last seal.
    removed: Vec<Identity>,
}

impl Node {
    /// A node with empty tables.
    pub fn new(number: u8, rules: Rules) -> Node {
        Node {
            tables: BTreeMap::new(),
            rows: Rows::new(),
            vector: VersionVector::new(),
            standing: Standing::new(),
            clock: 1,
            rules,
            origin: Origin { node: NodeId([number; 32]), incarnation: Incarnation { count: 1, nonce: 0 } },
            contexts: BTreeMap::new(),
            left: BTreeMap::new(),
            moved: BTreeMap::new(),
            bound: BTreeMap::new(),
            shown: BTreeMap::new(),
            removed: Vec::new(),
        }
    }

    /// The user inserts a row under the next free number, as SQLite gives it: one above the largest. `None` if the database refuses.
    pub fn insert(&mut self, table: Table, values: &[Value]) -> Option<i64> {
        let numbers = self.tables.keys().filter(|(other, number)| *other == table && *number < DERIVED_FIRST);
        let number = numbers.map(|(_, number)| *number).max().unwrap_or(100) + 1;
        let image = [&[Value::Integer(number)], values].concat();
        self.is_allowed(table, number, &image).then(|| {
            self.tables.insert((table, number), image);
            number
        })
    }

    /// The user changes one column. False if the database refuses.
    pub fn update(&mut self, table: Table, number: i64, column: usize, value: Value) -> bool {
        let Some(mut image) = self.tables.get(&(table, number)).cloned() else { return false };
        image[column] = value;
        let allowed = self.is_allowed(table, number, &image);
        if allowed {
            self.tables.insert((table, number), image);
        }
        allowed
    }

    /// The user exchanges the names of two parents in one transaction.
    pub fn swap_names(&mut self, a: i64, b: i64) {
        let name = |node: &Node, number: i64| node.tables[&(Table::Parents, number)][NAME].clone();
        let (x, y) = (name(self, a), name(self, b));
        self.tables.entry((Table::Parents, a)).and_modify(|image| image[NAME] = y);
        self.tables.entry((Table::Parents, b)).and_modify(|image| image[NAME] = x);
    }

    /// The user deletes a row; the database's own action takes care of its children.
    pub fn delete(&mut self, table: Table, number: i64) {
        if table == Table::Parents {
            let is_child =
                |key: &(Table, i64), image: &Image| key.0 == Table::Children && image[PARENT] == Value::Integer(number);
            let children: Vec<i64> =
                self.tables.iter().filter(|(key, image)| is_child(key, image)).map(|(key, _)| key.1).collect();
            for child in children {
                match self.rules.orphans {
                    OrphanRule::SetNull => _ = self.update(Table::Children, child, PARENT, Value::Null),
                    _ => self.delete(Table::Children, child),
                }
            }
        }
        self.tables.remove(&(table, number));
        self.removed.extend(self.bound.remove(&(table, number)));
    }

    /// Seals what the user did. Deletes go into a changeset of their own where a number is used again at once: an event is named by
    /// changeset, table and key, and two births under one key would share a name.
    pub fn seal(&mut self) -> Result<Vec<Arc<Unit>>, Failure> {
        let removed = std::mem::take(&mut self.removed);
        let inserted: Vec<(Table, i64)> =
            self.tables.keys().filter(|key| !self.bound.contains_key(key)).copied().collect();
        let is_reused = removed.iter().any(|row| inserted.contains(&(row.table, row.number)));
        let mut units = Vec::new();
        let mut events: Vec<(Table, Event)> = removed.iter().map(|row| (row.table, self.delete_event(row))).collect();
        if is_reused {
            units.push(self.finish(std::mem::take(&mut events))?);
        }
        let dot = self.next_dot();
        for (table, number) in inserted {
            self.bound.insert((table, number), Identity { table, number, birth: dot });
        }
        for (key, image) in &self.tables {
            let row = self.bound[key];
            let event = if row.birth == dot {
                Some(self.write_event(&row, image, None))
            } else {
                self.update_event(&row, image)
            };
            events.extend(event.map(|event| (key.0, event)));
        }
        if !events.is_empty() {
            units.push(self.finish(events)?);
        }
        Ok(units)
    }

    /// Takes in a changeset from elsewhere; false if it builds on what is not here yet. The caller seals first.
    pub fn receive(&mut self, unit: &Unit) -> Result<bool, Failure> {
        if self.vector.covers(&unit.dot) {
            return Ok(true);
        }
        if !self.vector.includes(&unit.context.vector) {
            return Ok(false);
        }
        self.take(unit)?;
        let standing = self.settle();
        self.show(standing)?;
        Ok(true)
    }

    /// What the rules make of the states.
    pub fn settle(&self) -> Standing {
        settle::settle(&self.rows, self.rules, &|later, earlier| self.has_seen(later, earlier))
    }

    /// The row that a number in the tables is.
    pub fn row_at(&self, table: Table, number: i64) -> Option<Identity> {
        self.bound.get(&(table, number)).copied()
    }

    /// The row that a child's reference means, as its user chose it.
    pub fn parent_of(&self, child: &Identity) -> Option<Identity> {
        match self.standing.get(child)?[PARENT] {
            Value::Integer(number) => self.row_at(Table::Parents, number),
            _ => None,
        }
    }

    fn is_allowed(&self, table: Table, number: i64, image: &Image) -> bool {
        let is_other = |key: &(Table, i64)| key.0 == table && key.1 != number;
        match table {
            Table::Parents => !self
                .tables
                .iter()
                .any(|(key, other)| is_other(key) && other[NAME] == image[NAME] && !image[NAME].is_null()),
            Table::Children => match image[PARENT] {
                Value::Integer(parent) => self.tables.contains_key(&(Table::Parents, parent)),
                _ => self.rules.orphans == OrphanRule::SetNull,
            },
        }
    }

    fn has_seen(&self, later: &Dot, earlier: &Dot) -> bool {
        later == earlier || self.contexts.get(later).is_some_and(|context| context.vector.covers(earlier))
    }

    fn next_dot(&self) -> Dot {
        Dot { origin: self.origin, seq: self.vector.get(&self.origin).next() }
    }

    fn delete_event(&self, row: &Identity) -> Event {
        let mut event = self.write_event(row, &self.standing[row], Some(&self.standing[row]));
        (event.operation, event.written, event.extras) = (Operation::Delete, Vec::new(), Vec::new());
        event
    }

    fn update_event(&self, row: &Identity, image: &Image) -> Option<Event> {
        let before = &self.standing[row];
        (image != before || self.means_another(row, image)).then(|| self.write_event(row, image, Some(before)))
    }

    /// Whether a reference that looks as before means another row, because its number was freed and taken again in this round.
    fn means_another(&self, row: &Identity, image: &Image) -> bool {
        let number = match (row.table, &image[PARENT]) {
            (Table::Children, Value::Integer(number)) => (Table::Parents, *number),
            _ => return false,
        };
        self.shown.get(&number) != self.bound.get(&number)
    }

    /// An insert where there is nothing before. Keys and references are written as the numbers that the rows were born under; what is
    /// shown differs from node to node and from day to day.
    fn write_event(&self, row: &Identity, image: &Image, before: Option<&Image>) -> Event {
        let is_own_life = self.rows.get(row).is_some_and(|known| !known.state.live.is_empty());
        let differs = |column: usize| {
            before.is_none_or(|before| {
                !is_own_life || before[column] != image[column] || (column == PARENT && self.means_another(row, image))
            })
        };
        let own_form = |image: &Image| -> Image {
            let mut image = image.clone();
            image[0] = row.number.into();
            if let Some(parent) = self.meant(row, &image) {
                image[PARENT] = parent.number.into();
            }
            image
        };
        let columns = (0..image.len()).filter(|column| differs(*column) && (before.is_none() || *column > 0));
        let form = own_form(image);
        let written: Vec<(u16, Value)> = columns.map(|column| (column as u16, form[column].clone())).collect();
        let writes_name = row.table == Table::Parents && written.iter().any(|(column, _)| usize::from(*column) == NAME);
        let kept = Kept {
            meant: self.meant(row, image).map(|parent| parent.birth),
            beats: if writes_name { self.beaten_claims(row, &image[NAME]) } else { Vec::new() },
        };
        let known =
            self.settling_members(row).map(|member| self.rows[&member].state.lamport_max()).max().unwrap_or_default();
        Event {
            table: 0,
            operation: if before.is_none() { Operation::Insert } else { Operation::Update },
            lamport: Lamport(self.clock << 16).max(known.next()),
            birth: if before.is_none() { Birth::Here } else { Birth::At(row.birth) },
            before: before.map(own_form).unwrap_or_default(),
            written,
            salt: [0; 16],
            extras: kept.to_extras(),
        }
    }

    fn settling_members(&self, row: &Identity) -> impl Iterator<Item = Identity> {
        let has_seen = |later: &Dot, earlier: &Dot| self.has_seen(later, earlier);
        let survivors = settle::survivors(&self.rows, self.rules, &has_seen);
        let own = survivors.get(row).copied();
        survivors.into_iter().filter(move |(_, survivor)| Some(*survivor) == own).map(|(member, _)| member)
    }

    fn meant(&self, row: &Identity, image: &Image) -> Option<Identity> {
        match (row.table, &image[PARENT.min(image.len() - 1)]) {
            (Table::Children, Value::Integer(number)) => self.bound.get(&(Table::Parents, *number)).copied(),
            _ => None,
        }
    }

    /// The claims on a name that are known here and that are to give way to this row: all others, of the dead too.
    fn beaten_claims(&self, row: &Identity, name: &Value) -> Vec<(Identity, Dot)> {
        let others = self.rows.iter().filter(|(other, _)| other.table == Table::Parents && *other != row);
        let writes = others.flat_map(|(other, state)| {
            state.state.register(ColumnIx(NAME as u16)).writes().iter().map(move |write| (*other, write))
        });
        writes
            .filter(|(_, write)| write.value == *name && !name.is_null())
            .map(|(other, write)| (other, write.stamp.dot))
            .collect()
    }

    /// Takes in own events, and checks that the user goes on seeing what he wrote.
    fn finish(&mut self, events: Vec<(Table, Event)>) -> Result<Arc<Unit>, Failure> {
        let dot = self.next_dot();
        let context = Context { vector: self.vector.clone(), parked: Arc::default() };
        let unit = Arc::new(Unit { dot, context, events });
        self.take(&unit)?;
        let written: BTreeSet<Identity> =
            unit.events.iter().map(|(table, event)| identity(*table, event, dot)).collect();
        let standing = self.settle();
        for row in &written {
            let survivor = self.settling_members(row).find(|member| standing.contains_key(member));
            let shown = standing.get(&survivor.unwrap_or(*row));
            let number = self.bound.iter().find(|(_, bound)| *bound == row).map(|(key, _)| *key);
            let wrote = number.and_then(|key| self.tables.get(&key));
            ensure!(shown == wrote, "q13: the user left {wrote:?} in {row:?} and is shown {shown:?}");
        }
        // Rows deleted in this round but sealed in its other part are not in the tables either way.
        self.show_if_sealed(standing)?;
        Ok(unit)
    }

    fn show_if_sealed(&mut self, standing: Standing) -> Result<(), Failure> {
        let is_pending = self.tables.keys().any(|key| !self.bound.contains_key(key));
        if is_pending { Ok(()) } else { self.show(standing) }
    }

    fn take(&mut self, unit: &Unit) -> Result<(), Failure> {
        self.contexts.insert(unit.dot, unit.context.clone());
        for (table, event) in &unit.events {
            let identity = identity(*table, event, unit.dot);
            if event.operation == Operation::Insert {
                self.settle_numbers(&identity, event, unit);
            }
            let (key, shape) = (identity.key(), table.shape());
            let columns: Vec<ColumnIx> = (0..shape.columns.len() as u16).map(ColumnIx).collect();
            let arrival = Arrival {
                event,
                dot: unit.dot,
                context: &unit.context,
                table: &shape.name,
                key: &key,
                columns: &columns,
            };
            let row = self.rows.entry(identity).or_default();
            row.state.merge(&arrival);
            self.left.extend(event.after().map(|image| ((identity, unit.dot), image)));
            for stamp in row.state.rows_not_remembered() {
                let image = self.left.get(&(identity, stamp.dot)).ok_or("a row is wanted that no write left")?;
                row.state.remember_row(stamp, columns.iter().copied().zip(image.iter().cloned()).collect());
            }
            if event.operation == Operation::Insert && *table == Table::Parents {
                row.birth_name = Some(event.written[NAME].1.clone());
            }
            row.kept.insert(unit.dot, Kept::of(event).map_err(|malformed| format!("extra fields: {malformed:?}"))?);
            let maximal: BTreeSet<Dot> = row
                .state
                .registers
                .iter()
                .flat_map(|register| register.writes())
                .map(|written| written.stamp.dot)
                .collect();
            row.kept.retain(|dot, _| maximal.contains(dot));
        }
        self.vector.raise(unit.dot);
        Ok(())
    }

    /// Two births under one number: the later gives way if it had not seen the earlier; if it had, the number was free and is its own.
    fn settle_numbers(&mut self, new: &Identity, event: &Event, unit: &Unit) {
        let mut gave_way = false;
        for (other, row) in &mut self.rows {
            if other.table != new.table || other.number != new.number || other == new {
                continue;
            }
            let is_later = (event.lamport, unit.dot) > (row.born().lamport, other.birth);
            if unit.context.vector.covers(&other.birth) || !is_later {
                row.gave_way = true;
            } else {
                gave_way = true;
            }
        }
        self.rows.entry(*new).or_default().gave_way |= gave_way;
    }

    fn show(&mut self, standing: Standing) -> Result<(), Failure> {
        self.tables.clear();
        self.bound.clear();
        for (row, image) in &standing {
            let Value::Integer(number) = image[0] else { return Err(format!("{row:?} is shown without a number")) };
            let key = (row.table, number);
            let once = self.moved.get(row);
            ensure!(once.is_none_or(|once| *once == number), "q11: {row:?} moved from {once:?} to {number}");
            if number >= DERIVED_FIRST {
                self.moved.insert(*row, number);
            }
            ensure!(self.tables.insert(key, image.clone()).is_none(), "two rows are shown as {key:?}");
            self.bound.insert(key, *row);
        }
        self.shown = self.bound.clone();
        self.standing = standing;
        Ok(())
    }
}

fn identity(table: Table, event: &Event, dot: Dot) -> Identity {
    let key = if event.operation == Operation::Insert { &event.written[0].1 } else { &event.before[0] };
    let Value::Integer(number) = key else { panic!("numbers are the keys here: {key:?}") };
    Identity { table, number: *number, birth: event.birth_dot(dot) }
}
