//! Binds filters to the tables of a schema: finds what they name, spreads ownership down the keys, and classifies each table. What comes
//! of it, and what the words mean, is `coverage`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::coverage::{BoundFilter, Coverage, Doubt, Edge, FilterIx, FilterSet, Gap, Table, Travel};
use crate::limits;
use crate::schema::{ForeignKey, TableSchema};
use crate::scope::error::{ScopeError, Suggestion};
use crate::scope::pattern::Decision;
use crate::scope::{Filter, Follow, SeveralOwners};
use crate::value::{ColumnName, TableName};

/// Binds filters to tables. Never fails: what does not fit is among the problems, and the tables concerned wait.
pub(super) fn build(
    schemas: &[TableSchema],
    filters: &[Filter],
    decide: &dyn Fn(&TableName) -> Decision,
    accepted: &dyn Fn(&TableName) -> bool,
) -> Coverage {
    let mut builder = Builder::new(schemas);
    if filters.len() > limits::FILTERS_MAX {
        builder.problems.push(ScopeError::TooMany { got: filters.len(), limit: limits::FILTERS_MAX });
        return Coverage { problems: builder.problems, broken: true, ..Coverage::default() };
    }
    builder.read_foreign_keys();
    for (position, filter) in filters.iter().enumerate() {
        if filters[..position].iter().any(|other| other.name == filter.name) {
            builder.problems.push(ScopeError::Twice { filter: filter.name.clone() });
        }
        builder.bind(FilterIx(position), filter);
    }
    for filter in &mut builder.filters {
        filter.spread(&builder.references, builder.names.len());
    }
    builder.find_broken_keys();
    builder.find_dead_follows();
    let travel = builder.classify(decide, accepted);
    builder.finish(travel)
}

struct Builder<'a> {
    names: Names<'a>,
    references: Vec<Reference>,
    broken_keys: Vec<(usize, usize)>,
    filters: Vec<DraftFilter>,
    problems: Vec<ScopeError>,
    /// Tables that cannot be judged, and why.
    unjudged: BTreeMap<usize, Vec<ScopeError>>,
}

/// Tables in the order of their names, found by names that may differ in case.
struct Names<'a> {
    tables: Vec<&'a TableSchema>,
}

/// A key from one known table to another.
struct Reference {
    child: usize,
    columns: Vec<usize>,
    foreign_key: Option<usize>,
    parent: usize,
    parent_positions: Vec<usize>,
    binds: bool,
    nulls: Vec<usize>,
    /// Filters that name it in `follow`.
    followed: FilterSet,
}

/// A filter while its reach is being found.
struct DraftFilter {
    position: FilterIx,
    filter: Filter,
    root: Option<usize>,
    columns: Vec<usize>,
    covers: Vec<bool>,
}

impl<'a> Builder<'a> {
    fn new(schemas: &'a [TableSchema]) -> Builder<'a> {
        let mut tables: Vec<&TableSchema> = schemas.iter().collect();
        tables.sort_by(|a, b| a.name.cmp(&b.name));
        tables.dedup_by(|a, b| a.name == b.name);
        Builder {
            names: Names { tables },
            references: Vec::new(),
            broken_keys: Vec::new(),
            filters: Vec::new(),
            problems: Vec::new(),
            unjudged: BTreeMap::new(),
        }
    }

    fn read_foreign_keys(&mut self) {
        for child in 0..self.names.len() {
            let schema = self.names.tables[child];
            for (position, key) in schema.foreign_keys.iter().enumerate() {
                // A key to a table that is not here refers to nothing that could be covered.
                let Some(parent) = self.names.table(&key.parent) else { continue };
                match self.names.parent_positions(parent, key) {
                    Some(parent_positions) => {
                        let nulls = columns_to_null(schema, position);
                        self.references.push(Reference {
                            child,
                            columns: key.columns.clone(),
                            foreign_key: Some(position),
                            parent,
                            parent_positions,
                            binds: nulls.is_empty(),
                            nulls,
                            followed: FilterSet::default(),
                        });
                    }
                    None => self.broken_keys.push((child, parent)),
                }
            }
        }
    }

    fn bind(&mut self, position: FilterIx, filter: &Filter) {
        let root = self.find_table(filter, &filter.root);
        let mut columns = Vec::new();
        for column in filter.skip.columns() {
            let Some(root) = root else { break };
            match self.find_column(filter, root, column) {
                Some(found) => columns.push(found),
                // The condition is unknown for every row: none may pass for want of an answer.
                None => columns.push(usize::MAX),
            }
        }
        for follow in &filter.follow {
            self.bind_follow(position, filter, follow);
        }
        self.filters.push(DraftFilter { position, filter: filter.clone(), root, columns, covers: Vec::new() });
    }

    fn bind_follow(&mut self, position: FilterIx, filter: &Filter, follow: &Follow) {
        let Some(child) = self.find_table(filter, &follow.table) else { return };
        let Some(columns) = self.find_columns(filter, child, &follow.columns) else { return };
        match &follow.target {
            Some((parent, parent_columns)) => {
                let Some(parent) = self.find_table(filter, parent) else { return };
                let Some(parent_positions) = self.find_columns(filter, parent, parent_columns) else {
                    self.unjudged.entry(child).or_default().extend(self.problems.last().cloned());
                    return;
                };
                let mut followed = FilterSet::default();
                followed.insert(position);
                let nulls = nullable(self.names.tables[child], &columns);
                let reference = Reference {
                    child,
                    columns,
                    foreign_key: None,
                    parent,
                    parent_positions,
                    binds: false,
                    nulls,
                    followed,
                };
                self.references.push(reference);
            }
            None => self.follow_foreign_keys(position, filter, follow, child, &columns),
        }
    }

    fn follow_foreign_keys(
        &mut self,
        position: FilterIx,
        filter: &Filter,
        follow: &Follow,
        child: usize,
        columns: &[usize],
    ) {
        let wanted: BTreeSet<usize> = columns.iter().copied().collect();
        let own = |reference: &Reference| reference.child == child && reference.foreign_key.is_some();
        let exact = |reference: &Reference| reference.columns.iter().copied().collect::<BTreeSet<_>>() == wanted;
        let holds = |reference: &Reference| wanted.iter().all(|column| reference.columns.contains(column));
        // Of a key of several columns it is enough to name those that are its own.
        let is_exact = self.references.iter().any(|reference| own(reference) && exact(reference));
        let mut found = false;
        for reference in &mut self.references {
            if own(reference) && if is_exact { exact(reference) } else { holds(reference) } {
                reference.followed.insert(position);
                found = true;
            }
        }
        // A key that is there but broken is told as such.
        if !found && !self.broken_keys.iter().any(|(broken, _)| *broken == child) {
            let columns = spell(&follow.columns);
            self.problem(
                child,
                ScopeError::NoForeignKey { filter: filter.name.clone(), table: follow.table.clone(), columns },
            );
        }
    }

    /// A key that nobody can follow makes its table impossible to judge, where it would lead to covered rows.
    fn find_broken_keys(&mut self) {
        let broken: BTreeSet<(usize, usize)> = std::mem::take(&mut self.broken_keys).into_iter().collect();
        for (child, parent) in broken {
            if self.filters.iter().any(|filter| filter.covers[parent]) {
                let name = |table: usize| self.names.tables[table].name.clone();
                let problem = ScopeError::BrokenKey { table: name(child), parent: name(parent) };
                self.problem(child, problem);
            }
        }
    }

    fn find_dead_follows(&mut self) {
        for reference in &self.references {
            for filter in self.filters.iter().filter(|filter| reference.followed.contains(filter.position)) {
                if filter.root.is_some() && !filter.covers[reference.parent] {
                    let schema = self.names.tables[reference.child];
                    self.problems.push(ScopeError::LeadsNowhere {
                        filter: filter.filter.name.clone(),
                        table: schema.name.clone(),
                        columns: spell(&names_of(schema, &reference.columns)),
                        parent: self.names.tables[reference.parent].name.clone(),
                    });
                }
            }
        }
    }

    fn classify(&self, decide: &dyn Fn(&TableName) -> Decision, accepted: &dyn Fn(&TableName) -> bool) -> Vec<Travel> {
        let telling = self.telling_columns();
        let mut travel: Vec<Travel> = (0..self.names.len())
            .map(|table| {
                let name = &self.names.tables[table].name;
                let decision = decide(name);
                if decision != Decision::Sync {
                    return Travel::Never(decision);
                }
                if let Some(problems) = self.unjudged.get(&table) {
                    return Travel::Waits(problems.iter().cloned().map(Doubt::Problem).collect());
                }
                if self.filters.iter().any(|filter| filter.covers[table]) {
                    return Travel::ByRow;
                }
                match self.doubts(table, &telling) {
                    doubts if doubts.is_empty() || accepted(name) => Travel::Always,
                    doubts => Travel::Waits(doubts),
                }
            })
            .collect();
        self.spread_waiting(&mut travel);
        travel
    }

    /// What needs a table that waits waits too: its rows could not stand elsewhere, or could not be judged.
    fn spread_waiting(&self, travel: &mut [Travel]) {
        loop {
            let needs_waiting = |reference: &&Reference| {
                let waits = |table: usize| matches!(travel[table], Travel::Waits(_));
                let may_go = matches!(travel[reference.child], Travel::ByRow | Travel::Always);
                waits(reference.parent) && may_go && (reference.binds || !self.owners(reference).is_empty())
            };
            let Some(reference) = self.references.iter().find(needs_waiting) else { return };
            let parent = self.names.tables[reference.parent].name.clone();
            travel[reference.child] = Travel::Waits(vec![Doubt::Needs { parent }]);
        }
    }

    fn doubts(&self, table: usize, telling: &BTreeMap<String, TableName>) -> Vec<Doubt> {
        let schema = self.names.tables[table];
        let leads_to_covered = |reference: &&Reference| {
            reference.child == table && self.filters.iter().any(|filter| filter.covers[reference.parent])
        };
        let nullable = self.references.iter().filter(leads_to_covered).map(|reference| Doubt::Nullable {
            columns: names_of(schema, &reference.columns),
            parent: self.names.tables[reference.parent].name.clone(),
        });
        let explained = |column: usize| {
            self.references.iter().any(|reference| reference.child == table && reference.columns.contains(&column))
        };
        let named = schema.columns.iter().enumerate().filter(|(position, _)| !explained(*position)).filter_map(
            |(_, column)| {
                let parent = telling.get(&plain(&column.name))?.clone();
                Some(Doubt::Named { column: column.name.clone(), parent })
            },
        );
        nullable.chain(named).collect()
    }

    /// Names of columns that elsewhere lead to covered rows, in plain letters, and where they lead.
    fn telling_columns(&self) -> BTreeMap<String, TableName> {
        const TELL_NOTHING: &[&str] =
            &["id", "key", "code", "name", "uuid", "guid", "type", "status", "number", "parentid"];
        let mut telling = BTreeMap::new();
        let covered = |table: usize| self.filters.iter().any(|filter| filter.covers[table]);
        for reference in self.references.iter().filter(|reference| covered(reference.parent)) {
            if let ([column], true) = (&reference.columns[..], reference.child != reference.parent) {
                let name = &self.names.tables[reference.child].columns[*column].name;
                telling.entry(plain(name)).or_insert_with(|| self.names.tables[reference.parent].name.clone());
            }
        }
        for root in self.filters.iter().filter_map(|filter| filter.root) {
            let schema = self.names.tables[root];
            for key in schema.key_names() {
                for stem in stems(&plain(&schema.name)) {
                    telling.entry(stem + &plain(key)).or_insert_with(|| schema.name.clone());
                }
            }
        }
        telling.retain(|name, _| !TELL_NOTHING.contains(&name.as_str()));
        telling
    }

    fn finish(self, travel: Vec<Travel>) -> Coverage {
        let gaps = self.gaps();
        let edges = self.edges(&travel);
        let any_all = self.filters.iter().any(|filter| filter.filter.several_owners == SeveralOwners::All);
        let mut tables: Vec<Table> = (self.names.tables.iter().zip(travel))
            .map(|(schema, travel)| Table {
                schema: (*schema).clone(),
                travel,
                roots: Vec::new(),
                owners: Vec::new(),
                nulls: Vec::new(),
                children: Vec::new(),
                needs: Vec::new(),
                needy: Vec::new(),
                sight: Vec::new(),
            })
            .collect();
        let filters: Vec<BoundFilter> = (self.filters.into_iter())
            .map(|draft| BoundFilter {
                filter: draft.filter,
                root: draft.root,
                columns: draft.columns,
                covers: draft.covers,
            })
            .collect();
        for (position, filter) in filters.iter().enumerate() {
            if let Some(root) = filter.root {
                tables[root].roots.push(FilterIx(position));
            }
        }
        let by_name: BTreeMap<TableName, usize> =
            tables.iter().enumerate().map(|(id, table)| (table.schema.name.clone(), id)).collect();
        for edge in &edges {
            let child = by_name[&edge.child];
            if !edge.owns.is_empty() {
                tables[child].owners.push(edge.clone());
            }
            if !edge.nulls.is_empty() {
                tables[child].nulls.push(edge.clone());
            }
            if edge.binds && any_all && !edge.parent_stays {
                tables[child].needs.push(edge.clone());
            }
            tables[edge.parent_id].children.push(edge.clone());
        }
        find_needy(&mut tables, &filters, &edges, &by_name);
        for table in &mut tables {
            table.sight = sight(table, &filters);
        }
        let owns_for_some = |edge: &Arc<Edge>| {
            let covers = filters.iter().enumerate().filter(|(_, filter)| filter.covers[edge.parent_id]);
            !edge.owns.is_empty() && covers.into_iter().any(|(position, _)| !edge.owns.contains(FilterIx(position)))
        };
        let spreads_unseen = any_all || edges.iter().any(owns_for_some);
        Coverage { tables, by_name, filters, gaps, problems: self.problems, spreads_unseen, broken: false }
    }

    /// The keys that matter: those that own, and those to rows that may stay.
    fn edges(&self, travel: &[Travel]) -> Vec<Arc<Edge>> {
        let mut targets: BTreeMap<(usize, Vec<usize>), usize> = BTreeMap::new();
        let stays = |table: usize| matches!(travel[table], Travel::Never(_) | Travel::Waits(_));
        let mut edges = Vec::new();
        for reference in &self.references {
            let owns = self.owners(reference);
            let may_stay = stays(reference.parent) || self.filters.iter().any(|filter| filter.covers[reference.parent]);
            if owns.is_empty() && !may_stay {
                continue;
            }
            let next = targets.len();
            let target = *targets.entry((reference.parent, reference.parent_positions.clone())).or_insert(next);
            let (child, parent) = (self.names.tables[reference.child], self.names.tables[reference.parent]);
            edges.push(Arc::new(Edge {
                child: child.name.clone(),
                columns: reference.columns.clone(),
                foreign_key: reference.foreign_key,
                parent: parent.name.clone(),
                parent_columns: names_of(parent, &reference.parent_positions),
                parent_positions: reference.parent_positions.clone(),
                binds: reference.binds,
                nulls: reference.nulls.clone(),
                owns,
                parent_stays: stays(reference.parent),
                parent_id: reference.parent,
                target,
            }));
        }
        edges
    }

    fn owners(&self, reference: &Reference) -> FilterSet {
        let mut owns = FilterSet::default();
        for filter in self.filters.iter().filter(|filter| filter.owns(reference)) {
            owns.insert(filter.position);
        }
        owns
    }

    fn gaps(&self) -> Vec<Gap> {
        let mut gaps = Vec::new();
        for filter in &self.filters {
            for reference in
                self.references.iter().filter(|reference| filter.covers[reference.parent] && !filter.owns(reference))
            {
                gaps.push(Gap {
                    filter: filter.position,
                    table: reference.child,
                    columns: names_of(self.names.tables[reference.child], &reference.columns),
                    parent: reference.parent,
                });
            }
        }
        gaps
    }

    fn find_table(&mut self, filter: &Filter, name: &TableName) -> Option<usize> {
        let found = self.names.table(name);
        if found.is_none() {
            let suggestion = Suggestion::nearest(name, self.names.tables.iter().map(|table| &*table.name));
            self.problems.push(ScopeError::UnknownTable {
                filter: filter.name.clone(),
                table: name.clone(),
                suggestion,
            });
        }
        found
    }

    fn find_columns(&mut self, filter: &Filter, table: usize, names: &[ColumnName]) -> Option<Vec<usize>> {
        names.iter().map(|name| self.find_column(filter, table, name)).collect()
    }

    /// A column that is missing leaves the table impossible to judge.
    fn find_column(&mut self, filter: &Filter, table: usize, name: &str) -> Option<usize> {
        let schema = self.names.tables[table];
        let found = column(schema, name);
        if found.is_none() {
            let suggestion = Suggestion::nearest(name, schema.columns.iter().map(|column| &*column.name));
            let (filter, table_name) = (filter.name.clone(), schema.name.clone());
            self.problem(
                table,
                ScopeError::UnknownColumn { filter, table: table_name, column: name.into(), suggestion },
            );
        }
        found
    }

    fn problem(&mut self, table: usize, problem: ScopeError) {
        self.unjudged.entry(table).or_default().push(problem.clone());
        self.problems.push(problem);
    }
}

impl DraftFilter {
    /// Finds the tables that can hold covered rows: the root, and what ownership leads to it from.
    fn spread(&mut self, references: &[Reference], tables: usize) {
        self.covers = vec![false; tables];
        let Some(root) = self.root else { return };
        self.covers[root] = true;
        loop {
            let reached = references.iter().find(|reference| self.owns(reference) && !self.covers[reference.child]);
            let Some(reference) = reached else { return };
            self.covers[reference.child] = true;
        }
    }

    fn owns(&self, reference: &Reference) -> bool {
        self.covers[reference.parent] && (reference.binds || reference.followed.contains(self.position))
    }
}

impl Names<'_> {
    fn len(&self) -> usize {
        self.tables.len()
    }

    /// The table of this name; of this name but for case, if there is one only.
    fn table(&self, name: &str) -> Option<usize> {
        only_match(self.tables.iter().map(|table| &*table.name), name)
    }

    /// Where the columns that a key refers to stand; a key that names none refers to the parent's own.
    fn parent_positions(&self, parent: usize, key: &ForeignKey) -> Option<Vec<usize>> {
        let schema = self.tables[parent];
        let positions: Vec<usize> = match &key.parent_columns[..] {
            [] => schema.key.clone(),
            names => names.iter().map(|name| column(schema, name)).collect::<Option<_>>()?,
        };
        (positions.len() == key.columns.len() && !positions.is_empty()).then_some(positions)
    }
}

/// Where a column stands: by its name, else by its name but for case if there is one only.
fn column(schema: &TableSchema, name: &str) -> Option<usize> {
    only_match(schema.columns.iter().map(|column| &*column.name), name)
}

fn only_match<'n>(names: impl Iterator<Item = &'n str> + Clone, wanted: &str) -> Option<usize> {
    if let Some(exact) = names.clone().position(|name| name == wanted) {
        return Some(exact);
    }
    let mut alike = names.enumerate().filter(|(_, name)| name.to_lowercase() == wanted.to_lowercase());
    match (alike.next(), alike.next()) {
        (Some((position, _)), None) => Some(position),
        _ => None,
    }
}

/// The columns of a foreign key to set to NULL so that it refers to nothing: rather those that no other key has. None if it binds.
fn columns_to_null(schema: &TableSchema, position: usize) -> Vec<usize> {
    let key = &schema.foreign_keys[position];
    if key.not_null {
        return Vec::new();
    }
    let candidates = nullable(schema, &key.columns);
    let shared = |column: &usize| {
        let others = schema.foreign_keys.iter().enumerate().filter(|(other, _)| *other != position);
        others.into_iter().any(|(_, other)| other.columns.contains(column) && !same_columns(other, key))
    };
    let own: Vec<usize> = candidates.iter().copied().filter(|column| !shared(column)).collect();
    if own.is_empty() { candidates } else { own }
}

fn same_columns(a: &ForeignKey, b: &ForeignKey) -> bool {
    a.columns.len() == b.columns.len() && a.columns.iter().all(|column| b.columns.contains(column))
}

/// Those of the columns that may be NULL in a row that is still the same row.
fn nullable(schema: &TableSchema, columns: &[usize]) -> Vec<usize> {
    let may_be_null = |column: &usize| !schema.columns[*column].not_null && !schema.key.contains(column);
    columns.iter().copied().filter(may_be_null).collect()
}

/// Under [`SeveralOwners::All`] a row may travel although one of its owners is covered. Finds the edges down to such rows.
fn find_needy(
    tables: &mut [Table],
    filters: &[BoundFilter],
    edges: &[Arc<Edge>],
    by_name: &BTreeMap<TableName, usize>,
) {
    let splits = |table: &Table| {
        let owners = |filter: FilterIx| table.owners.iter().filter(|edge| edge.owns.contains(filter)).count();
        filters.iter().enumerate().any(|(position, filter)| filter.wants_all() && owners(FilterIx(position)) > 1)
    };
    let mut leads: Vec<bool> = tables.iter().map(splits).collect();
    let leads_down = |leads: &[bool], edge: &Arc<Edge>| edge.binds && leads[by_name[&edge.child]];
    while let Some(edge) = edges.iter().find(|edge| leads_down(&leads, edge) && !leads[edge.parent_id]) {
        leads[edge.parent_id] = true;
    }
    for edge in edges.iter().filter(|edge| leads_down(&leads, edge)) {
        tables[edge.parent_id].needy.push(edge.clone());
    }
}

fn sight(table: &Table, filters: &[BoundFilter]) -> Vec<usize> {
    let mut sight: BTreeSet<usize> = table.schema.key.iter().copied().collect();
    if table.schema.key.is_empty() {
        sight.extend(0..table.schema.columns.len());
    }
    for filter in &table.roots {
        sight.extend(filters[filter.0].columns.iter().copied().filter(|column| *column != usize::MAX));
    }
    for edge in table.owners.iter().chain(&table.nulls) {
        sight.extend(&edge.columns);
    }
    for edge in &table.children {
        sight.extend(&edge.parent_positions);
    }
    sight.into_iter().collect()
}

pub(super) fn names_of(schema: &TableSchema, positions: &[usize]) -> Vec<ColumnName> {
    positions.iter().map(|position| schema.columns[*position].name.clone()).collect()
}

/// Columns as `follow` words them: `a` or `(a, b)`.
pub(super) fn spell(columns: &[ColumnName]) -> String {
    match columns {
        [one] => one.to_string(),
        several => format!("({})", several.join(", ")),
    }
}

/// A name in small letters and digits only: `businessId` and `business_id` are one.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// What one of many is called, as far as endings tell.
fn stems(plural: &str) -> Vec<String> {
    let mut stems = vec![plural.to_owned()];
    stems.extend(plural.strip_suffix("ies").map(|stem| format!("{stem}y")));
    stems.extend(plural.strip_suffix("es").map(str::to_owned));
    stems.extend(plural.strip_suffix('s').map(str::to_owned));
    stems
}
