//! Writes rows where the server itself checks foreign keys and lets them act, because our role may not keep it from that: all that belong
//! together in one statement. The server looks when the statement is over; what refers to a row has moved by then, so that no check is in the
//! way and no cascade finds anything to do. What cannot stand is found out beforehand and left alone: nothing is taken back. How rows are
//! written where the server leaves foreign keys to us is told in `write`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use rowmesh_core::value::{ColumnName, Key, TableName, Value};
use rowmesh_engine::database::{HeldBack, Rows};
use rowmesh_engine::fault::{Error, Result};
use rowmesh_engine::registry::{Registry, Table, TableNumber};
use rowmesh_engine::write::{Phase, RowWrite};

use self::lines::{Action, Line, given_by, part};
use crate::access::PostgresAccess;
use crate::error;
use crate::fault::{Constraint, Told};
use crate::given::Given;
use crate::rows::{name_of, read_texts, some, texts};
use crate::sql::quote;
use crate::values::Kind;

mod lines;

/// Rows that are taken out and put back, at most, because a row that they refer to changes places with another.
const UPROOTED_MAX: usize = 10_000;

/// Whether foreign keys may have a say in what becomes of these rows: rows that go, and rows that refer to something else or are referred to
/// by something else than before. Rows that come need only their order.
pub fn concerns(db: &PostgresAccess<'_>, registry: &Registry, writes: &[RowWrite]) -> Result<bool> {
    for write in writes.iter().filter(|write| write.impossible.is_none() && !write.is_idle()) {
        let Some(table) = &write.table else { continue };
        let is_concerned = match Phase::of(write) {
            Phase::Insert => false,
            Phase::Delete => true,
            Phase::Update => {
                let moves = |column: usize| write.changed().iter().any(|(changed, _)| *changed == column);
                let mut own = table.schema.foreign_keys.iter().flat_map(|key| &key.columns);
                own.any(|column| moves(*column))
                    || meant(registry, table).iter().any(|(_, _, columns)| columns.iter().any(|column| moves(*column)))
                    || !db.details(table)?.late.is_empty()
            }
        };
        if is_concerned {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Brings every row to its new image that can stand there; why not, of each that is left at the old one. `refused` tells it of those that are
/// not to be written.
pub fn write_rows(
    db: &PostgresAccess<'_>,
    registry: &Registry,
    writes: &[RowWrite],
    refused: Vec<Option<String>>,
) -> Result<Vec<Option<String>>> {
    let is_meant = |(position, write): (usize, &RowWrite)| {
        (refused[position].is_none() && write.table.is_some() && !write.is_idle()).then_some(position)
    };
    let active: BTreeSet<usize> = writes.iter().enumerate().filter_map(is_meant).collect();
    let mut knot = Knot { db, registry, writes, refused, active, makes_way: MakesWay::Nobody, steps_aside: true };
    knot.settle()?;
    Ok(knot.refused)
}

/// Foreign keys that mean columns of a table, as the referring table, the number of its foreign key, and the columns' positions here.
fn meant<'r>(registry: &'r Registry, table: &Table) -> Vec<(&'r Arc<Table>, usize, Vec<usize>)> {
    let mut found = Vec::new();
    for child in registry.referring_to(&table.schema.name) {
        for (number, key) in child.schema.foreign_keys.iter().enumerate() {
            let columns = key.parent_columns.iter().map(|name| table.schema.column(name));
            if let (true, Some(columns)) = (key.parent == table.schema.name, columns.collect::<Option<Vec<usize>>>()) {
                found.push((child, number, columns));
            }
        }
    }
    found
}

/// Rows that are written together.
struct Knot<'w, 'a> {
    db: &'w PostgresAccess<'a>,
    registry: &'w Registry,
    writes: &'w [RowWrite],
    /// Why a row does not get its new image.
    refused: Vec<Option<String>>,
    /// Rows that get theirs.
    active: BTreeSet<usize>,
    /// Which rows that stay go before any of them comes back.
    makes_way: MakesWay,
    /// Whether those of them that others refer to get values in between that nobody has, and so need not go.
    steps_aside: bool,
}

/// Rows that stand in one another's way go before they come back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MakesWay {
    Nobody,
    /// Those that get other values in a unique index.
    Unique,
    /// All: what excludes what only the server knows.
    All,
}

/// A row that is put back as it was.
struct Uprooted {
    table: Arc<Table>,
    row: Vec<Value>,
}

/// Rows that go before they come back, and what has to go with them.
#[derive(Default)]
struct Detour {
    /// Writes.
    anew: BTreeSet<usize>,
    /// Other rows, which refer to them.
    uprooted: BTreeMap<(TableNumber, Key), Uprooted>,
    /// Whether they come back only when the server has looked.
    is_long: bool,
    /// Writes that need not go, since they get these values in between.
    aside: BTreeMap<usize, Vec<(usize, Value)>>,
}

type Hits = HashSet<(TableNumber, Key)>;

/// Rows of one table that go before they come back: which writes they are, if any, and their keys.
type Going = (Arc<Table>, Vec<Option<usize>>, Vec<Vec<Value>>);

impl Knot<'_, '_> {
    fn settle(&mut self) -> Result<()> {
        loop {
            while self.refuse_dangling()? {}
            let detour = match self.detour()? {
                Ok(detour) => detour,
                Err(refused) => {
                    refused.into_iter().for_each(|(position, reason)| self.refuse(position, reason));
                    continue;
                }
            };
            let statements = self.statements(&detour)?;
            if statements.iter().all(Vec::is_empty) {
                return Ok(());
            }
            match self.attempt(&statements, true)? {
                Ok(hits) => return self.look_at_missed(&statements, &hits),
                Err(refusal) => self.learn(&refusal, &statements)?,
            }
        }
    }

    fn refuse(&mut self, position: usize, reason: String) {
        self.active.remove(&position);
        self.refused[position].get_or_insert(reason);
    }

    fn rows(&self) -> impl Iterator<Item = (usize, &RowWrite, &Arc<Table>)> {
        self.active.iter().filter_map(|n| Some((*n, &self.writes[*n], self.writes[*n].table.as_ref()?)))
    }

    /// Refuses rows whose foreign keys would dangle afterwards; whether there were any. The others of a family may then have to stay too.
    fn refuse_dangling(&mut self) -> Result<bool> {
        let mut dangling = Vec::new();
        for reference in self.references() {
            dangling.extend(self.without_parents(&reference)?);
            dangling.extend(self.still_needed(&reference)?);
        }
        let any = !dangling.is_empty();
        dangling.into_iter().for_each(|(position, reason)| self.refuse(position, reason));
        Ok(any)
    }

    /// Every foreign key that one of the rows has, or that means one of them.
    fn references(&self) -> Vec<Reference> {
        let tables: BTreeMap<TableNumber, &Arc<Table>> =
            self.rows().map(|(_, _, table)| (table.number, table)).collect();
        let mut known: BTreeSet<(TableNumber, usize)> = BTreeSet::new();
        let mut found = Vec::new();
        for table in tables.values() {
            let own = (0..table.schema.foreign_keys.len()).map(|number| ((*table).clone(), number));
            let others = meant(self.registry, table).into_iter().map(|(child, number, _)| (child.clone(), number));
            for (child, number) in own.chain(others) {
                if known.insert((child.number, number)) {
                    found.extend(self.reference(child, number));
                }
            }
        }
        found
    }

    /// What the rows have to do with one foreign key; none where what it means is not ours to look after.
    fn reference(&self, child: Arc<Table>, number: usize) -> Option<Reference> {
        let key = &child.schema.foreign_keys[number];
        let parent = self.registry.tracked_by_name(&key.parent)?.clone();
        let columns = key.parent_columns.iter().map(|name| parent.schema.column(name));
        let columns: Vec<usize> = columns.collect::<Option<_>>()?;
        let (mut wanted, mut left, mut kept, mut given) = (Vec::new(), Vec::new(), Vec::new(), HashSet::new());
        for (position, write, table) in self.rows() {
            let after = write.final_row(table);
            let before = write.before.as_ref();
            if table.number == child.number
                && let Some(values) = after.as_ref().and_then(|row| pick(row, &key.columns))
            {
                let is_new = before.and_then(|row| pick(row, &key.columns)).as_ref() != Some(&values);
                wanted.push(Wanted { position, key: Key::of(&values), values, is_new });
            }
            if table.number == parent.number {
                let (old, new) =
                    (before.and_then(|row| pick(row, &columns)), after.and_then(|row| pick(&row, &columns)));
                given.extend(new.as_ref().map(Key::of));
                match old {
                    Some(old) if new.as_ref() == Some(&old) => kept.push((position, old)),
                    Some(old) => left.push((position, old)),
                    None => {}
                }
            }
        }
        let acts = !key.on_delete.eq_ignore_ascii_case("NO ACTION");
        Some(Reference { child, number, parent, wanted, left, kept, given, acts })
    }

    /// Rows that would refer to others which will not stand. Those that will are kept from going until we commit.
    fn without_parents(&self, reference: &Reference) -> Result<Vec<(usize, String)>> {
        let left: HashSet<Key> = reference.left.iter().map(|(_, values)| Key::of(values)).collect();
        let wanted = reference.wanted.iter().filter(|wanted| wanted.is_new && !reference.given.contains(&wanted.key));
        let (gone, asked): (Vec<&Wanted>, Vec<&Wanted>) = wanted.partition(|wanted| left.contains(&wanted.key));
        let values: Vec<Vec<Value>> = asked.iter().map(|wanted| wanted.values.clone()).collect();
        let columns = &reference.key().parent_columns;
        let missing = self.db.missing_parents(&reference.parent, columns, &values)?;
        let dangling = gone.into_iter().chain(missing.into_iter().map(|n| asked[n]));
        let name = &reference.parent.schema.name;
        Ok(dangling
            .map(|wanted| {
                (wanted.position, format!("it refers to {name} {}, which is not here", wanted.key.to_display()))
            })
            .collect())
    }

    /// Rows that would go, or get other values, although others will refer to what they were.
    fn still_needed(&self, reference: &Reference) -> Result<Vec<(usize, String)>> {
        let lost = reference.left.iter().filter(|(_, values)| !reference.given.contains(&Key::of(values)));
        let lost: Vec<(usize, Vec<Value>)> = lost.cloned().collect();
        let reason = format!("rows of {} still refer to it", reference.child.schema.name);
        let needed = self.referred_to(reference, &lost)?;
        Ok(needed.into_iter().map(|n| (lost[n].0, reason.clone())).collect())
    }

    /// Which of these values rows will refer to when all is written.
    fn referred_to(&self, reference: &Reference, values: &[(usize, Vec<Value>)]) -> Result<Vec<usize>> {
        if values.is_empty() {
            return Ok(Vec::new());
        }
        let wanted: HashSet<&Key> = reference.wanted.iter().map(|wanted| &wanted.key).collect();
        let by_ours = (0..values.len()).filter(|n| wanted.contains(&Key::of(&values[*n].1)));
        let mut found: BTreeSet<usize> = by_ours.collect();
        found.extend(self.referred_to_by_others(reference, values)?);
        Ok(found.into_iter().collect())
    }

    /// The same of rows that we do not write. Nobody else can come to refer to a row that we have locked.
    fn referred_to_by_others(&self, reference: &Reference, values: &[(usize, Vec<Value>)]) -> Result<Vec<usize>> {
        let Reference { child, parent, .. } = reference;
        let (here, there) = (self.db.details(parent)?, self.db.details(child)?);
        let positions: Option<Vec<usize>> =
            reference.key().parent_columns.iter().map(|name| parent.schema.column(name)).collect();
        let positions = positions.ok_or_else(|| Error::inconsistent("a reference to a column that is not there"))?;
        let referring: Vec<String> =
            some(there, &reference.key().columns).iter().map(|column| quote(&column.name)).collect();
        let ours = self.rows().filter(|(_, write, table)| table.number == child.number && write.before.is_some());
        let ours: Vec<&[Value]> = ours.map(|(_, write, _)| &*write.values).collect();
        let asked = Given::new(here, &positions, values.iter().map(|(_, values)| values));
        let written = Given::new(there, &child.schema.key, ours.iter().copied()).behind(asked.params().len());
        let sql = format!(
            "SELECT k.i FROM {} WHERE EXISTS (SELECT FROM {} AS c WHERE {} AND NOT EXISTS (SELECT FROM {} WHERE {}))",
            asked.rows("k"),
            name_of(there),
            asked.equal("k", "c", &referring),
            written.rows("w"),
            written.equal("w", "c", &written.names())
        );
        let params = [asked.params(), written.params()].concat();
        let found = self.db.all(&sql, &params, |row| row.get::<_, i64>(0))?;
        Ok(found.into_iter().map(|n| n as usize - 1).collect())
    }

    /// Which rows have to go before they can come back: those that take unique values of one another, and those whose values another row gets
    /// while rows refer to them. What refers to such a row goes and comes with it wherever the foreign key would act on it. Otherwise the rows
    /// that cannot be written at all.
    fn detour(&self) -> Result<std::result::Result<Detour, Vec<(usize, String)>>> {
        let detour = self.detour_with(BTreeMap::new())?;
        let is_easy = detour.as_ref().is_ok_and(|detour| !detour.is_long);
        if is_easy || !self.steps_aside {
            return Ok(detour);
        }
        let aside =
            self.making_way(self.makes_way).into_iter().filter_map(|n| Some((n, self.values_aside(n)?))).collect();
        self.detour_with(aside)
    }

    fn detour_with(
        &self,
        aside: BTreeMap<usize, Vec<(usize, Value)>>,
    ) -> Result<std::result::Result<Detour, Vec<(usize, String)>>> {
        let mut detour = Detour { aside, ..Detour::default() };
        let makes_way = self.making_way(self.makes_way);
        detour.anew.extend(makes_way.into_iter().filter(|position| !detour.aside.contains_key(position)));
        let references = self.references();
        for reference in &references {
            let taken = reference.left.iter().filter(|(_, values)| reference.given.contains(&Key::of(values)));
            let stays = |position: &usize| self.writes[*position].after.is_some();
            detour.anew.extend(taken.map(|(position, _)| *position).filter(stays));
        }
        for reference in references.iter().filter(|reference| reference.acts) {
            let goes = |position: &usize| detour.anew.contains(position) || self.writes[*position].after.is_none();
            let comes_back = |values: &Vec<Value>| reference.given.contains(&Key::of(values));
            let both = reference.left.iter().chain(&reference.kept);
            let both: Vec<_> = both.filter(|(n, values)| goes(n) && comes_back(values)).cloned().collect();
            detour.is_long |= !self.referred_to(reference, &both)?.is_empty();
        }
        if detour.is_long {
            self.uproot(&mut detour)?;
        }
        let refused = self.held_by_strangers(&detour)?;
        Ok(if refused.is_empty() { Ok(detour) } else { Err(refused) })
    }

    /// Values in between for a row that gets others in unique indexes; none where there are no such values, or where others refer to them.
    fn values_aside(&self, position: usize) -> Option<Vec<(usize, Value)>> {
        let write = &self.writes[position];
        let table = write.table.as_ref()?;
        let details = self.db.details(table).ok()?;
        let meant: BTreeSet<usize> =
            meant(self.registry, table).into_iter().flat_map(|(_, _, columns)| columns).collect();
        let own: BTreeSet<usize> = table.schema.foreign_keys.iter().flat_map(|key| &key.columns).copied().collect();
        let changed: BTreeSet<usize> = write.changed().into_iter().map(|(column, _)| column).collect();
        let mut aside: BTreeMap<usize, Value> = BTreeMap::new();
        for index in &table.schema.uniques {
            let moved = index.parts.iter().flatten().map(|part| part.column).filter(|column| changed.contains(column));
            let moved: Vec<usize> = moved.collect();
            if moved.is_empty() || moved.iter().any(|column| aside.contains_key(column)) {
                continue;
            }
            let mut free = moved.into_iter().filter(|column| !meant.contains(column) && !own.contains(column));
            let (column, value) = free.find_map(|column| {
                let is_nullable = !table.schema.columns[column].not_null;
                Some((
                    column,
                    if is_nullable { Value::Null } else { in_between(details.columns[column].kind, position)? },
                ))
            })?;
            aside.insert(column, value);
        }
        (!aside.is_empty()).then(|| aside.into_iter().collect())
    }

    fn making_way(&self, whom: MakesWay) -> Vec<usize> {
        let makes_way = |write: &RowWrite, table: &Table| match whom {
            MakesWay::Nobody => false,
            MakesWay::Unique => moves_unique(write, table),
            MakesWay::All => true,
        };
        let stays = |write: &RowWrite| write.before.is_some() && write.after.is_some();
        self.rows().filter(|(_, write, table)| stays(write) && makes_way(write, table)).map(|(n, _, _)| n).collect()
    }

    /// Finds everything that refers to rows which go, and what refers to that.
    fn uproot(&self, detour: &mut Detour) -> Result<()> {
        self.follow_references(detour)?;
        let rows = detour.uprooted.iter().map(|((_, key), row)| (row.table.clone(), key.clone()));
        self.db.lock(&rows.collect::<Vec<_>>())?;
        // What was written to them before we held them is what they come back with.
        let before: Vec<_> = detour.uprooted.keys().cloned().collect();
        detour.uprooted.clear();
        self.follow_references(detour)?;
        if detour.uprooted.keys().eq(before.iter()) { Ok(()) } else { Err(Error::StartOver) }
    }

    fn follow_references(&self, detour: &mut Detour) -> Result<()> {
        let written: HashMap<(TableNumber, Key), usize> =
            self.rows().map(|(position, write, table)| ((table.number, write.key.clone()), position)).collect();
        let goes = self.rows().filter(|(position, write, _)| write.after.is_none() || detour.anew.contains(position));
        let mut waiting: Vec<(Arc<Table>, Vec<Value>)> =
            goes.filter_map(|(_, write, table)| Some((table.clone(), write.before.clone()?))).collect();
        while let Some((table, row)) = waiting.pop() {
            for (child, number, columns) in meant(self.registry, &table) {
                let Some(values) = pick(&row, &columns) else { continue };
                let key = &child.schema.foreign_keys[number];
                let names: Vec<&ColumnName> = key.columns.iter().map(|n| &child.schema.columns[*n].name).collect();
                for found in self.db.rows_where(&child.schema, &names, &values, Some(UPROOTED_MAX + 1))? {
                    let name = (child.number, child.key_of(&found));
                    let is_new = match written.get(&name) {
                        Some(position) => self.writes[*position].after.is_some() && detour.anew.insert(*position),
                        None if detour.uprooted.contains_key(&name) => false,
                        None => {
                            let row = found.clone();
                            detour.uprooted.insert(name, Uprooted { table: child.clone(), row }).is_none()
                        }
                    };
                    if is_new {
                        waiting.push((child.clone(), found));
                    }
                }
            }
            if detour.uprooted.len() > UPROOTED_MAX {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Rows that cannot go even for a moment, since rows of tables that are not synced refer to them, or too many of others.
    fn held_by_strangers(&self, detour: &Detour) -> Result<Vec<(usize, String)>> {
        if detour.uprooted.len() > UPROOTED_MAX {
            let reason = format!("it changes places with another row, and more than {UPROOTED_MAX} rows refer to them");
            return Ok(detour.anew.iter().map(|position| (*position, reason.clone())).collect());
        }
        let mut rows: BTreeMap<TableNumber, Going> = BTreeMap::new();
        let anew = detour
            .anew
            .iter()
            .filter_map(|n| Some((self.writes[*n].table.clone()?, Some(*n), self.writes[*n].values.clone())));
        let uprooted = detour.uprooted.values().map(|row| {
            let key = row.table.schema.key.iter().map(|column| row.row[*column].clone()).collect();
            (row.table.clone(), None, key)
        });
        for (table, position, key) in anew.chain(uprooted) {
            let (_, positions, keys) = rows.entry(table.number).or_insert_with(|| (table, Vec::new(), Vec::new()));
            positions.push(position);
            keys.push(key);
        }
        let mut held = Vec::new();
        for (table, positions, keys) in rows.into_values() {
            for (number, stranger) in self.strangers_to(&table, &keys)? {
                let reason = format!("rows of {stranger}, which is not synced, refer to it and would go with it");
                match positions[number] {
                    Some(position) => held.push((position, reason)),
                    None => held.extend(detour.anew.iter().map(|position| (*position, reason.clone()))),
                }
            }
        }
        Ok(held)
    }

    /// Rows of a table to which tables that we know nothing of refer, by position, with the name of one.
    fn strangers_to(&self, table: &Table, keys: &[Vec<Value>]) -> Result<Vec<(usize, String)>> {
        let details = self.db.details(table)?;
        let known = self.registry.all().into_iter().map(|table| Ok(self.db.details(&table)?.clone()));
        let known: Vec<u32> = known
            .collect::<Result<Vec<_>>>()?
            .iter()
            .flat_map(|table| std::iter::once(table.oid).chain(table.parts.iter().map(|part| part.oid)))
            .collect();
        let mut held = Vec::new();
        for (name, condition) in
            self.db.all(STRANGERS, &[&details.oid, &known], |row| (row.get::<_, String>(0), row.get::<_, String>(1)))?
        {
            let given = Given::new(details, &table.schema.key, keys);
            let sql = format!(
                "SELECT k.i FROM {} JOIN {} AS t ON {} WHERE EXISTS (SELECT FROM {name} AS c WHERE {condition})",
                given.rows("k"),
                name_of(details),
                given.equal("k", "t", &given.names())
            );
            let found = self.db.all(&sql, &given.params(), |row| row.get::<_, i64>(0))?;
            held.extend(found.into_iter().map(|n| (n as usize - 1, name.clone())));
        }
        Ok(held)
    }

    /// What is to be done, in one statement, or in two where rows come back only when the server has looked.
    fn statements(&self, detour: &Detour) -> Result<Vec<Vec<Line>>> {
        let mut lines = Vec::new();
        let mut aside = Vec::new();
        for (position, write, table) in self.rows() {
            let line = |action, columns: Vec<usize>, values| Line {
                position: Some(position),
                table: table.clone(),
                action,
                columns,
                key: write.values.clone(),
                values,
            };
            if let Some(values) = detour.aside.get(&position) {
                let (columns, values) = values.iter().cloned().unzip();
                aside.push(line(Action::StepAside, columns, values));
            }
            let whole = |row: &Vec<Value>| (0..row.len()).collect::<Vec<usize>>();
            match (&write.before, write.final_row(table)) {
                (_, None) => lines.push(line(Action::Delete, Vec::new(), Vec::new())),
                (Some(_), Some(row)) if detour.anew.contains(&position) => {
                    lines.push(line(Action::Delete, Vec::new(), Vec::new()));
                    lines.push(line(Action::Return, whole(&row), row));
                }
                (Some(_), Some(_)) => {
                    let (columns, values) = write.changed().into_iter().map(|(n, value)| (n, value.clone())).unzip();
                    lines.push(line(Action::Update, columns, values));
                }
                (None, Some(_)) => {
                    let (columns, values) = write.after.iter().flatten().cloned().unzip();
                    lines.push(line(Action::Insert, columns, values));
                }
            }
        }
        for Uprooted { table, row } in detour.uprooted.values() {
            let key: Vec<Value> = table.schema.key.iter().map(|column| row[*column].clone()).collect();
            let line = |action, columns, values| Line {
                position: None,
                table: table.clone(),
                action,
                columns,
                key: key.clone(),
                values,
            };
            lines.push(line(Action::Delete, Vec::new(), Vec::new()));
            lines.push(line(Action::Return, (0..row.len()).collect(), row.clone()));
        }
        let order = |line: &Line| (line.action, line.table.rank, line.table.number, line.columns.clone());
        lines.sort_by_cached_key(order);
        aside.sort_by_cached_key(order);
        if !detour.is_long {
            return Ok(vec![aside, lines]);
        }
        let (first, second) = lines.into_iter().partition(|line| line.action == Action::Delete);
        Ok(vec![aside, first, second])
    }

    /// Tries it; what is refused has not happened. `keeps` tells whether what is not refused shall have.
    fn attempt(&self, statements: &[Vec<Line>], keeps: bool) -> Result<std::result::Result<Hits, error::Error>> {
        self.db.hurry().told()?;
        self.db.session.batch("SAVEPOINT rowmesh_knot").told()?;
        let mut hits = Hits::new();
        let mut done = Ok(());
        for lines in statements.iter().filter(|lines| !lines.is_empty()) {
            done = self.run(lines).map(|more| hits.extend(more));
            if done.is_err() {
                break;
            }
        }
        let undo = "ROLLBACK TO SAVEPOINT rowmesh_knot; RELEASE SAVEPOINT rowmesh_knot";
        match done {
            Ok(()) => {
                self.db.session.batch(if keeps { "RELEASE SAVEPOINT rowmesh_knot" } else { undo }).told()?;
                Ok(Ok(hits))
            }
            Err(error) if Constraint::of(&error).is_some() => {
                self.db.session.batch(undo).told()?;
                Ok(Err(error))
            }
            Err(error) => Err(error).told(),
        }
    }

    /// Runs lines as one statement; which rows it has updated or inserted.
    fn run(&self, lines: &[Line]) -> error::Result<Hits> {
        let (mut parts, mut answers, mut given) = (Vec::<String>::new(), Vec::new(), Vec::new());
        let mut before = 0;
        let alike = |one: &Line, next: &Line| {
            (one.action, one.table.number, &one.columns) == (next.action, next.table.number, &next.columns)
        };
        let groups: Vec<&[Line]> = lines.chunk_by(alike).collect();
        for (number, group) in groups.iter().enumerate() {
            let details = &self.db.tables[&group[0].table.schema.name];
            let rows = given_by(details, group).behind(before);
            before += rows.params().len();
            let gate = number.checked_sub(1).map(|last| format!("(SELECT count(*) FROM part_{last}) >= 0"));
            parts.push(format!("part_{number} AS ({})", part(details, group, &rows, gate)));
            if group[0].action != Action::Delete {
                answers.push(format!("SELECT {number} AS part, key FROM part_{number}"));
            }
            given.push(rows);
            self.remember_written(group, details.oid);
        }
        if answers.is_empty() {
            answers.push(format!("SELECT 0 AS part, NULL::text[] AS key FROM part_{} WHERE false", groups.len() - 1));
        }
        let sql = format!("WITH {} {}", parts.join(", "), answers.join(" UNION ALL "));
        let params: Vec<_> = given.iter().flat_map(Given::params).collect();
        let mut hits = Hits::new();
        for row in self.db.session.query(&sql, &params)? {
            let table = &groups[row.get::<_, i32>(0) as usize][0].table;
            let columns = some(&self.db.tables[&table.schema.name], &table.schema.key);
            let key = texts(&row, 1).ok().flatten().and_then(|texts| read_texts(&texts, columns).ok());
            hits.extend(key.map(|key| (table.number, Key::of(&key))));
        }
        Ok(hits)
    }

    fn remember_written(&self, group: &[Line], oid: u32) {
        let table = &group[0].table;
        let mut held = self.db.held.borrow_mut();
        held.written.insert((table.number, oid));
        group.iter().for_each(|line| drop(held.rows.remove(&(table.number, Key::of(&line.key)))));
        drop(held);
        if group[0].action == Action::Insert {
            let values: Vec<Vec<&Value>> = group.iter().map(|line| line.values.iter().collect()).collect();
            self.db.note_numbers(table, &self.db.tables[&table.schema.name], &group[0].columns, &values);
        }
    }

    /// Rows that a statement found otherwise than we knew them: one that is gone comes back whole, as all other nodes show it; one whose key is
    /// taken has met a row that nobody told of.
    fn look_at_missed(&mut self, statements: &[Vec<Line>], hits: &Hits) -> Result<()> {
        let is_missed = |line: &&Line| {
            matches!(line.action, Action::Update | Action::Insert)
                && !hits.contains(&(line.table.number, Key::of(&line.key)))
        };
        for line in statements.iter().flatten().filter(is_missed) {
            let Some(position) = line.position else { continue };
            let write = &self.writes[position];
            if line.action == Action::Insert {
                if self.db.held_back(line.table.number, &write.key)?.is_none() {
                    return Err(Error::Unnoticed { table: line.table.number, key: write.values.clone() });
                }
                self.refused[position] = Some("a row that the scope keeps here has this key".to_owned());
                continue;
            }
            let Some(row) = write.final_row(&line.table) else { continue };
            let whole = Line {
                position: Some(position),
                table: line.table.clone(),
                action: Action::Insert,
                columns: (0..row.len()).collect(),
                key: line.key.clone(),
                values: row,
            };
            self.refused[position] = match self.attempt(&[vec![whole]], true)? {
                Ok(hits) if !hits.is_empty() => None,
                Ok(_) => Some("another row has come under this key".to_owned()),
                Err(refusal) => Some(reason_of(&refusal)),
            };
        }
        Ok(())
    }

    /// Finds out whose fault a refusal was, so that the next attempt goes without that row, or otherwise.
    fn learn(&mut self, refusal: &error::Error, statements: &[Vec<Line>]) -> Result<()> {
        let steps_aside =
            statements.first().is_some_and(|aside| aside.first().is_some_and(|line| line.action == Action::StepAside));
        if steps_aside && self.attempt(&statements[..1], false)?.is_err() {
            self.steps_aside = false;
            return Ok(());
        }
        if matches!(Constraint::of(refusal), Some(Constraint::Unique(_))) {
            let now = self.making_way(self.makes_way).len();
            let more = [MakesWay::Unique, MakesWay::All].into_iter().find(|more| self.making_way(*more).len() > now);
            if let Some(more) = more {
                self.makes_way = more;
                return Ok(());
            }
        }
        let culprit = if is_about_references(refusal) { None } else { self.culprit(statements)? };
        if let Some((position, reason)) = culprit {
            self.refuse(position, reason);
            return Ok(());
        }
        // What the server has against it we do not understand: it keeps back only those that belong together.
        let families = self.families();
        if families.len() < 2 {
            let reason = reason_of(refusal);
            std::mem::take(&mut self.active).into_iter().for_each(|position| self.refuse(position, reason.clone()));
            return Ok(());
        }
        self.active.clear();
        for active in families {
            let refused = std::mem::take(&mut self.refused);
            let Knot { db, registry, writes, makes_way, steps_aside, .. } = *self;
            let mut family = Knot { db, registry, writes, refused, active, makes_way, steps_aside };
            family.settle()?;
            self.refused = family.refused;
        }
        Ok(())
    }

    /// The row that the last statement fails at: the last one of the shortest beginning that fails. Foreign keys that are not whole yet do not
    /// count, the server looks at them at the end.
    fn culprit(&self, statements: &[Vec<Line>]) -> Result<Option<(usize, String)>> {
        let Some((last, first)) = statements.split_last() else { return Ok(None) };
        let fault = |count: usize| -> Result<Option<error::Error>> {
            let mut tried: Vec<Vec<Line>> = first.iter().map(|lines| lines.iter().map(Line::copy).collect()).collect();
            tried.push(last[..count].iter().map(Line::copy).collect());
            Ok(self.attempt(&tried, false)?.err().filter(|error| !is_about_references(error)))
        };
        let Some(mut found) = fault(last.len())? else { return Ok(None) };
        let (mut passes, mut fails) = (0, last.len());
        while fails - passes > 1 {
            let middle = passes.midpoint(fails);
            match fault(middle)? {
                Some(error) => (fails, found) = (middle, error),
                None => passes = middle,
            }
        }
        Ok(last[fails - 1].position.map(|position| (position, reason_of(&found))))
    }

    /// The rows by what ties them: a foreign key between them, or a unique value that one has and another gets.
    fn families(&self) -> Vec<BTreeSet<usize>> {
        let mut families: Vec<BTreeSet<usize>> = Vec::new();
        let mut home: HashMap<Tie, usize> = HashMap::new();
        for (position, write, table) in self.rows() {
            let ties = self.ties(write, table);
            let mut here: BTreeSet<usize> = ties.iter().filter_map(|tie| home.get(tie).copied()).collect();
            let family = here.pop_first().unwrap_or_else(|| {
                families.push(BTreeSet::new());
                families.len() - 1
            });
            families[family].insert(position);
            for other in here {
                let moved = std::mem::take(&mut families[other]);
                families[family].extend(moved);
                home.values_mut().filter(|home| **home == other).for_each(|home| *home = family);
            }
            home.extend(ties.into_iter().map(|tie| (tie, family)));
        }
        families.retain(|family| !family.is_empty());
        families
    }

    fn ties(&self, write: &RowWrite, table: &Arc<Table>) -> Vec<Tie> {
        let images: Vec<Vec<Value>> = write.before.clone().into_iter().chain(write.final_row(table)).collect();
        let mut ties = Vec::new();
        for image in &images {
            let mut tie = |table: &TableName, names: String, columns: &[usize]| {
                ties.extend(pick(image, columns).map(|values| (table.clone(), names, Key::of(&values))));
            };
            for key in &table.schema.foreign_keys {
                tie(&key.parent, key.parent_columns.join(","), &key.columns);
            }
            for (child, number, columns) in meant(self.registry, table) {
                tie(&table.schema.name, child.schema.foreign_keys[number].parent_columns.join(","), &columns);
            }
            for index in &table.schema.uniques {
                let columns: Vec<usize> = index.parts.iter().flatten().map(|part| part.column).collect();
                tie(&table.schema.name, format!("unique {}", index.name), &columns);
            }
        }
        ties
    }
}

/// Something that ties rows: a table, columns of it by name, values.
type Tie = (TableName, String, Key);

/// Foreign keys of tables that are none of these to one, each as the table's name and the condition that a row `c` of it refers to a row `t`.
pub(crate) const STRANGERS: &str = "
    SELECT f.conrelid::regclass::text,
           (SELECT string_agg(format('c.%I = t.%I', own.attname, meant.attname), ' AND ')
              FROM unnest(f.conkey, f.confkey) AS k (own, meant)
              JOIN pg_attribute AS own ON own.attrelid = f.conrelid AND own.attnum = k.own
              JOIN pg_attribute AS meant ON meant.attrelid = f.confrelid AND meant.attnum = k.meant)
      FROM pg_constraint AS f
     WHERE f.contype = 'f' AND f.confrelid = $1 AND f.conrelid <> ALL ($2) AND f.conparentid = 0";

/// What rows have to do with one foreign key.
struct Reference {
    child: Arc<Table>,
    number: usize,
    parent: Arc<Table>,
    /// What rows will refer to.
    wanted: Vec<Wanted>,
    /// What rows of the parent had and will have no more, and what they had and keep.
    left: Vec<(usize, Vec<Value>)>,
    kept: Vec<(usize, Vec<Value>)>,
    /// What rows of the parent that are written will have.
    given: HashSet<Key>,
    /// Whether a row that goes has its say about those that refer to it, even if another comes in its place.
    acts: bool,
}

impl Reference {
    fn key(&self) -> &rowmesh_core::schema::ForeignKey {
        &self.child.schema.foreign_keys[self.number]
    }
}

/// What one row will refer to.
struct Wanted {
    position: usize,
    key: Key,
    values: Vec<Value>,
    is_new: bool,
}

/// A value that hardly any row has; where one has it, or the column does not take it, rows go another way.
fn in_between(kind: Kind, position: usize) -> Option<Value> {
    let number = position as i64;
    Some(match kind {
        Kind::Integer(2) => Value::Integer(i64::from(i16::MAX) - 1 - number),
        Kind::Integer(4) => Value::Integer(i64::from(i32::MAX) - 1 - number),
        Kind::Integer(_) => Value::Integer(i64::MAX - 1 - number),
        Kind::Decimal => Value::Decimal((900_000_007 + number).to_string()),
        Kind::Text => Value::text(&format!("~{number}~")),
        Kind::Uuid => Value::text(&format!("ffffffff-ffff-4fff-8fff-{number:012x}")),
        _ => return None,
    })
}

/// Whether an update gives a row another value in a unique index, as far as its columns tell.
fn moves_unique(write: &RowWrite, table: &Table) -> bool {
    let changed = write.changed();
    let moves = |column: usize| changed.iter().any(|(changed, _)| *changed == column);
    let mut uniques = table.schema.uniques.iter();
    // Of an index over an expression nobody but the server knows the columns.
    uniques.any(|index| index.parts.iter().any(|part| part.as_ref().is_none_or(|part| moves(part.column))))
}

pub(crate) fn is_about_references(error: &error::Error) -> bool {
    matches!(error.sqlstate().map(|state| state.code()), Some("23503" | "23001"))
}

fn reason_of(error: &error::Error) -> String {
    match Constraint::of(error) {
        Some(Constraint::Unique(reason) | Constraint::Other(reason)) => reason,
        None => error.to_string(),
    }
}

/// These columns of a row; `None` where one is NULL, so that they refer to nothing.
fn pick(row: &[Value], columns: &[usize]) -> Option<Vec<Value>> {
    let values: Vec<Value> = columns.iter().map(|column| row[*column].clone()).collect();
    (!values.iter().any(Value::is_null)).then_some(values)
}
