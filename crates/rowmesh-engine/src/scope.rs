//! Which rows the filters keep here: core's judge, with the database looking rows up for it, and the verdicts remembered in `held_back`.
//! What a filter means is core's business; what becomes of a row that moves in or out is the sealer's.

use std::collections::HashMap;
use std::sync::Arc;

use rowmesh_core::ident::Digest;
use rowmesh_core::schema::TableSchema;
use rowmesh_core::scope::{self, Coverage, Edge, Judge, Rows as _, Scope, Travel, Verdict};
use rowmesh_core::value::{ColumnName, Key, TableName, Value};

use crate::database::{Access, HeldBack, Rows};
use crate::fault::{Error, Result};
use crate::registry::{Registry, Table, TableNumber};

/// What the filters say of a row now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Judgement {
    /// It stays here.
    pub held_back: bool,
    /// It used to be otherwise.
    pub changed: bool,
    /// Columns that travel as NULL, because they name rows that stay.
    pub nulls: Vec<usize>,
}

/// Which rows are held back. Holds no verdict longer than a transaction.
#[derive(Default)]
pub struct Membership {
    judging: Option<Judging>,
}

struct Judging {
    coverage: Arc<Coverage>,
    judge: Judge,
    schemas: HashMap<TableName, TableSchema>,
    arriving: Arriving,
}

/// Rows that a changeset brings and that do not stand yet, by table and key.
pub type Arriving = HashMap<TableName, HashMap<Key, Vec<Value>>>;

impl Judgement {
    /// The row as it travels.
    pub fn travelling(&self, row: &[Value]) -> Vec<Value> {
        let mut row = row.to_vec();
        for position in &self.nulls {
            row[*position] = Value::Null;
        }
        row
    }
}

impl Membership {
    /// What a scope means for the tables of this database, those that stay here by name included.
    pub fn new(scope: &Scope, schemas: &[TableSchema]) -> Membership {
        let coverage = Arc::new(scope.cover_here(schemas));
        for problem in coverage.problems() {
            tracing::warn!(%problem, "a filter does not fit this database: what it could concern stays here");
        }
        if !coverage.is_by_row() {
            return Membership::default();
        }
        let schemas = schemas.iter().map(|schema| (schema.name.clone(), schema.clone())).collect();
        Membership {
            judging: Some(Judging {
                judge: Judge::new(coverage.clone()),
                coverage,
                schemas,
                arriving: Arriving::new(),
            }),
        }
    }

    /// What the filters mean for a table, as a hash: where it is another than the one by which its rows were judged last, because the schema has
    /// moved, they have to be judged anew. `None` where they mean nothing for it.
    pub fn meaning(&self, table: &str) -> Option<Digest> {
        let meaning = self.judging.as_ref()?.coverage.meaning(table)?;
        Some(Digest::of(meaning.as_bytes()))
    }

    /// Why all of a table waits until a person has said whether its rows may travel; `None` if it does not.
    pub fn waits(&self, table: &str) -> Option<String> {
        let Travel::Waits(doubts) = self.judging.as_ref()?.coverage.travel(table) else { return None };
        Some(doubts.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    }

    /// Whether rows below this one have to be judged although the verdict on it is what it was: what judging sees of it has changed, and
    /// verdicts may skip a generation.
    pub fn spreads(&self, table: &Table, before: Option<&[Value]>, after: Option<&[Value]>) -> bool {
        let Some(judging) = self.judging.as_ref().filter(|judging| judging.coverage.spreads_unseen()) else {
            return false;
        };
        match (before, after) {
            (Some(before), Some(after)) => {
                judging.coverage.sight(&table.schema.name).iter().any(|column| before[*column] != after[*column])
            }
            (before, after) => before.is_some() != after.is_some(),
        }
    }

    /// Forgets verdicts: rows may have changed since.
    pub fn forget(&mut self) {
        if let Some(judging) = &mut self.judging {
            judging.judge.forget();
        }
    }

    /// Whether any row is judged at all.
    pub fn has_filters(&self) -> bool {
        self.judging.is_some()
    }

    /// Whether what a row that arrives belongs to has to be looked for among the rows that arrive with it: one owner that is not covered
    /// is then enough for it to travel.
    pub fn wants_arriving(&self) -> bool {
        let any_all = |judging: &Judging| judging.coverage.is_by_need();
        self.judging.as_ref().is_some_and(any_all)
    }

    /// Says which rows arrive together; an empty set ends it.
    pub fn set_arriving(&mut self, rows: Arriving) {
        if let Some(judging) = &mut self.judging {
            judging.arriving = rows;
            judging.judge.forget();
        }
    }

    /// Whether rows of a table are judged one by one, or stay as a whole.
    pub fn concerns(&self, table: &str) -> bool {
        self.judging
            .as_ref()
            .is_some_and(|judging| judging.coverage.is_judged(table) || !judging.coverage.may_travel(table))
    }

    /// Judges an image of a row against the rows as they stand.
    pub fn verdict(&mut self, db: &impl Access, table: &Table, row: &[Value]) -> Result<Judgement> {
        Ok(self.judge_image(db, table, row)?.map_or_else(Judgement::default, |(_, judgement)| judgement))
    }

    /// Judges a row as it stands, and remembers the verdict. A row that is gone is held back no more.
    pub fn judge(&mut self, db: &impl Access, table: &Table, key: &Key, row: Option<&[Value]>) -> Result<Judgement> {
        if !self.concerns(&table.schema.name) {
            return Ok(Judgement::default());
        }
        let known = reason(db, table.number, key)?;
        let judged = row.map(|row| self.judge_image(db, table, row)).transpose()?.flatten();
        let now = judged.as_ref().and_then(|(reason, _)| reason.clone());
        if known != now {
            remember(db, table.number, key, now.as_ref())?;
        }
        let changed = known.is_some() != now.is_some();
        Ok(Judgement { changed, ..judged.map(|(_, judgement)| judgement).unwrap_or_default() })
    }

    /// Rows whose verdict may hang on this one's.
    pub fn dependants(
        &mut self,
        db: &impl Access,
        registry: &Registry,
        table: &Table,
        row: &[Value],
    ) -> Result<Vec<(TableNumber, Key)>> {
        let Some(judging) = &mut self.judging else { return Ok(Vec::new()) };
        // Whoever hangs on this row was judged by what was remembered of it.
        judging.judge.forget();
        let mut found = judging.below(db, registry, table, row, |_| true)?;
        found.extend(judging.above(db, registry, table, row)?);
        Ok(found)
    }

    /// Rows that stand here and belong to this one: what is theirs is not for others where it is not.
    pub fn owned(
        &self,
        db: &impl Access,
        registry: &Registry,
        table: &Table,
        row: &[Value],
    ) -> Result<Vec<(TableNumber, Key)>> {
        let Some(judging) = &self.judging else { return Ok(Vec::new()) };
        let is_ownership = |edge: &Arc<Edge>| judging.coverage.owners_of(&edge.child).contains(edge);
        judging.below(db, registry, table, row, is_ownership)
    }

    /// Whether a row that another node sent is one that should have stayed there: by what it is, or because it belongs to a row that was not
    /// taken in either. Remembered, since nothing else here tells of such a row when another one comes that belongs to it.
    pub fn keeps_out(
        &mut self,
        db: &impl Access,
        registry: &Registry,
        table: &Table,
        key: &Key,
        row: Option<&[Value]>,
    ) -> Result<bool> {
        // Whatever needs it may come later, in another changeset.
        let may_be_needed = |judging: &Judging| judging.coverage.may_be_needed(&table.schema.name);
        if self.judging.as_ref().is_some_and(may_be_needed) {
            return Ok(false);
        }
        let judged = row.map(|row| self.judge_image(db, table, row)).transpose()?.flatten();
        let found = match (judged.and_then(|(reason, _)| reason), row) {
            (Some(reason), _) => Some(Reason { filter: format!("{}{NOT_TAKEN_IN}", reason.filter), ..reason }),
            (None, Some(row)) => self.owner_kept_out(db, registry, table, row)?,
            (None, None) => None,
        };
        let known = reason(db, table.number, key)?;
        let was_kept_out = known.as_ref().is_some_and(Reason::is_of_others);
        // What stands here under this key is another matter, and judged by itself.
        if known != found && (known.is_none() || was_kept_out) && db.read(table, &key_values(key)?)?.is_none() {
            remember(db, table.number, key, found.as_ref())?;
        }
        Ok(found.is_some() || row.is_none() && was_kept_out)
    }

    /// Puts NULL where a row that came names one that the filters keep from travelling: that one is not here.
    pub fn cut_references(&mut self, db: &impl Access, table: &Table, image: &mut [(usize, Value)]) -> Result<()> {
        let may_cut = |judging: &Judging| !judging.coverage.null_when_held_back(&table.schema.name).is_empty();
        if !self.judging.as_ref().is_some_and(may_cut) {
            return Ok(());
        }
        let mut row = vec![Value::Null; table.schema.columns.len()];
        for (position, value) in image.iter() {
            row[*position] = value.clone();
        }
        let nulls = self.verdict(db, table, &row)?.nulls;
        for (position, value) in image.iter_mut().filter(|(position, _)| nulls.contains(position)) {
            tracing::debug!(table = %table.schema.name, position, "a reference to a row outside the scope is shown as NULL");
            *value = Value::Null;
        }
        Ok(())
    }

    fn owner_kept_out(
        &self,
        db: &impl Access,
        registry: &Registry,
        table: &Table,
        row: &[Value],
    ) -> Result<Option<Reason>> {
        for (number, key) in self.owners(registry, table, row) {
            let found = reason(db, number, &key)?;
            if let Some(found) = found.filter(Reason::is_of_others) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The rows that a row belongs to, whether they are here or not, as far as it names them by their keys.
    pub fn owners(&self, registry: &Registry, table: &Table, row: &[Value]) -> Vec<(TableNumber, Key)> {
        let Some(judging) = &self.judging else { return Vec::new() };
        let owner = |edge: &Arc<Edge>| {
            let parent = registry.tracked_by_name(&edge.parent)?;
            let by_key = parent.schema.key == edge.parent_positions;
            by_key.then_some((parent.number, Key::of(&edge.reference(row)?)))
        };
        judging.coverage.owners_of(&table.schema.name).iter().filter_map(owner).collect()
    }

    /// The rows that this one needs where it travels, as far as they are kept here so far: they have to travel with it.
    pub fn needed(
        &self,
        db: &impl Access,
        registry: &Registry,
        table: &Table,
        row: &[Value],
    ) -> Result<Vec<(TableNumber, Key)>> {
        let Some(judging) = &self.judging else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for (number, key) in judging.above(db, registry, table, row)? {
            if db.held_back(number, &key)?.is_some() {
                found.push((number, key));
            }
        }
        Ok(found)
    }

    /// Forgets why rows were kept here in tables that no filter concerns any more.
    pub fn forget_reasons(&self, db: &impl Access, registry: &Registry) -> Result<()> {
        for table in registry.all().iter().filter(|table| !self.concerns(&table.schema.name)) {
            db.forget_held_back(table.number, TOO_LARGE, NOT_TAKEN_IN)?;
        }
        Ok(())
    }

    fn judge_image(
        &mut self,
        db: &impl Access,
        table: &Table,
        row: &[Value],
    ) -> Result<Option<(Option<Reason>, Judgement)>> {
        let Some(judging) = &mut self.judging else { return Ok(None) };
        let mut lookup = Lookup { db, schemas: &judging.schemas, arriving: &judging.arriving };
        let verdict = judging.judge.verdict(&table.schema.name, row, &mut lookup)?;
        Ok(Some(match verdict {
            Verdict::Travels { nulls } => (None, Judgement { nulls, ..Judgement::default() }),
            Verdict::HeldBack(root) => {
                let filter = judging.coverage.filter(root.filter).name.clone();
                (
                    Some(Reason { filter, root: root.key.to_display() }),
                    Judgement { held_back: true, ..Judgement::default() },
                )
            }
            Verdict::TableStays => {
                let reason = Reason { filter: "table".to_owned(), root: table.schema.name.to_string() };
                (Some(reason), Judgement { held_back: true, ..Judgement::default() })
            }
        }))
    }
}

impl Judging {
    /// Rows that this one refers to by keys without which it could not stand elsewhere, as far as they are tracked.
    fn above(
        &self,
        db: &impl Access,
        registry: &Registry,
        table: &Table,
        row: &[Value],
    ) -> Result<Vec<(TableNumber, Key)>> {
        let mut lookup = Lookup { db, schemas: &self.schemas, arriving: &self.arriving };
        let mut found = Vec::new();
        for edge in self.coverage.needs_of(&table.schema.name) {
            let Some(parent) = registry.tracked_by_name(&edge.parent) else { continue };
            let Some(values) = edge.reference(row) else { continue };
            if let Some(row) = lookup.parent(edge, &values)? {
                found.push((parent.number, parent.key_of(&row)));
            }
        }
        Ok(found)
    }

    /// Rows that refer to this one by keys that carry verdicts, as far as they are tracked.
    fn below(
        &self,
        db: &impl Access,
        registry: &Registry,
        table: &Table,
        row: &[Value],
        by: impl Fn(&Arc<Edge>) -> bool,
    ) -> Result<Vec<(TableNumber, Key)>> {
        let mut lookup = Lookup { db, schemas: &self.schemas, arriving: &self.arriving };
        let mut found = Vec::new();
        for edge in self.coverage.children_of(&table.schema.name).iter().filter(|edge| by(edge)) {
            let Some(child) = registry.tracked_by_name(&edge.child) else { continue };
            for row in lookup.children(edge, &edge.referenced(row))? {
                found.push((child.number, child.key_of(&row)));
            }
        }
        Ok(found)
    }
}

/// Rows whose change is larger than others take in stay as they were elsewhere, named among what is held back, until a later change fits.
pub fn keep_too_large(
    db: &impl Access,
    large: &[(TableNumber, Key, usize)],
    sealed: &[(TableNumber, Key)],
) -> Result<()> {
    for (table, key, bytes) in large {
        let shown: String = key.to_display().chars().take(KEY_SHOWN).collect();
        tracing::warn!(key = %shown, bytes, "a change is too large to travel and stays here");
        let reason = Reason { filter: TOO_LARGE.to_owned(), root: format!("{bytes} bytes") };
        remember(db, *table, key, Some(&reason))?;
    }
    if sealed.is_empty() || !db.any_held_back(TOO_LARGE)? {
        return Ok(());
    }
    for (table, key) in sealed {
        if is_named_too_large(db, *table, key)? {
            db.hold_back(*table, key, None)?;
        }
    }
    Ok(())
}

/// Whether the last change of a row that was looked at was too large to travel.
pub fn is_named_too_large(db: &impl HeldBack, table: TableNumber, key: &Key) -> Result<bool> {
    Ok(db.held_back(table, key)?.is_some_and(|(filter, _)| filter == TOO_LARGE))
}

/// Characters of a key that are logged: it may be what is too large.
const KEY_SHOWN: usize = 100;

/// The name in place of a filter's where a change is too large to travel.
const TOO_LARGE: &str = "too large";

/// How many rows of a table stand here and stay here.
pub fn count_held_back(db: &impl HeldBack, table: TableNumber) -> Result<i64> {
    Ok(db.count_held_back(table, Some(NOT_TAKEN_IN))? as i64)
}

/// Why a row is kept here.
#[derive(Clone, PartialEq, Eq)]
struct Reason {
    filter: String,
    root: String,
}

/// What the name of a filter ends with where the row is another node's and was not taken in.
const NOT_TAKEN_IN: &str = ", not taken in";

impl Reason {
    fn is_of_others(&self) -> bool {
        self.filter.ends_with(NOT_TAKEN_IN)
    }
}

fn key_values(key: &Key) -> Result<Vec<Value>> {
    key.values().map_err(|source| Error::damaged("a key from a peer", source))
}

fn reason(db: &impl HeldBack, table: TableNumber, key: &Key) -> Result<Option<Reason>> {
    Ok(db.held_back(table, key)?.map(|(filter, root)| Reason { filter, root }))
}

fn remember(db: &impl HeldBack, table: TableNumber, key: &Key, reason: Option<&Reason>) -> Result<()> {
    db.hold_back(table, key, reason.map(|reason| (&*reason.filter, &*reason.root)))
}

/// Looks rows up in the transaction in which they are judged, by the application's own indexes.
struct Lookup<'a, D> {
    db: &'a D,
    schemas: &'a HashMap<TableName, TableSchema>,
    arriving: &'a Arriving,
}

impl<D: Rows> Lookup<'_, D> {
    /// The row that arrives and has these values in these columns.
    fn arriving(&self, edge: &Edge, values: &[Value]) -> Option<Vec<Value>> {
        let rows = self.arriving.get(&edge.parent)?;
        if self.schemas.get(&edge.parent)?.key == edge.parent_positions {
            return rows.get(&Key::of(values)).cloned();
        }
        rows.values().find(|row| edge.referenced(row) == values).cloned()
    }

    fn rows(
        &self,
        table: &TableName,
        columns: &[&ColumnName],
        values: &[Value],
        limit: Option<usize>,
    ) -> Result<Vec<Vec<Value>>> {
        match self.schemas.get(table) {
            Some(schema) => self.db.rows_where(schema, columns, values, limit),
            None => Ok(Vec::new()),
        }
    }
}

impl<D: Rows> scope::Rows for Lookup<'_, D> {
    type Error = Error;

    fn parent(&mut self, edge: &Edge, values: &[Value]) -> Result<Option<Vec<Value>>> {
        if let Some(row) = self.arriving(edge, values) {
            return Ok(Some(row));
        }
        let columns: Vec<&ColumnName> = edge.parent_columns.iter().collect();
        Ok(self.rows(&edge.parent, &columns, values, Some(1))?.pop())
    }

    fn children(&mut self, edge: &Edge, values: &[Value]) -> Result<Vec<Vec<Value>>> {
        let Some(schema) = self.schemas.get(&edge.child) else { return Ok(Vec::new()) };
        let columns: Vec<&ColumnName> = edge.columns.iter().map(|position| &schema.columns[*position].name).collect();
        self.rows(&edge.child, &columns, values, None)
    }
}
