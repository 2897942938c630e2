//! Decides row by row what stays at home. Walks up from a row along ownership until it has found everything that the row hangs on,
//! then settles all of that at once, cycles included; remembers what it settled for the rows that come after. Reads no database:
//! the caller looks rows up, all in one snapshot.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::scope::coverage::{Coverage, Edge, FilterIx, FilterSet, Table};
use crate::value::{Key, Value};

/// What happens to a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It travels, with NULL in the columns at these positions: they name rows that stay.
    Travels {
        /// Ascending; empty for nearly every row.
        nulls: Vec<usize>,
    },
    /// It stays, because of this root.
    HeldBack(RootRow),
    /// It stays, as all of its table does.
    TableStays,
}

/// A row that a filter's condition is true for; of several that a row hangs on, the first by filter, then by key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RootRow {
    /// The filter.
    pub filter: FilterIx,
    /// The key of the row of the filter's root table.
    pub key: Key,
}

/// Looks rows up for the judge, all in one snapshot. A row is a value for each of the table's columns, in the table's order;
/// only those in [`Coverage::sight`] are read.
pub trait Rows {
    /// What can go wrong with looking.
    type Error;

    /// The row of `edge.parent` that has these values in `edge.parent_columns`, compared as the database's foreign keys are.
    ///
    /// # Errors
    /// If looking fails; the judge then remembers nothing of this row.
    fn parent(&mut self, edge: &Edge, values: &[Value]) -> Result<Option<Vec<Value>>, Self::Error>;

    /// All rows of `edge.child` that refer to these values. Asked only while a filter has
    /// [`SeveralOwners::All`](crate::scope::SeveralOwners::All).
    ///
    /// # Errors
    /// As [`Rows::parent`].
    fn children(&mut self, edge: &Edge, values: &[Value]) -> Result<Vec<Vec<Value>>, Self::Error>;
}

/// Judges rows of one snapshot. What it remembers is wrong as soon as a row has changed: make a new one, or [`Judge::forget`].
#[derive(Debug)]
pub struct Judge {
    coverage: Arc<Coverage>,
    rows: HashMap<RowId, Settled>,
    references: HashMap<(usize, Key), Reached>,
    needed: HashMap<RowId, bool>,
    keeps_images: bool,
}

type RowId = (usize, Key);

/// A row that is settled.
#[derive(Clone, Debug)]
struct Settled {
    finding: Arc<Finding>,
    /// Kept only where somebody may have to look down from the row.
    image: Option<Arc<[Value]>>,
}

/// What a reference led to.
#[derive(Clone, Debug)]
enum Reached {
    Row(RowId),
    Missing,
}

/// What a row hangs on, per filter.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    /// The first root that ownership leads to.
    roots: Vec<Option<Key>>,
    /// Filters under which it also hangs on a row that is not covered and has no owner.
    escapes: FilterSet,
}

/// The rows that one walk has met and not settled yet.
#[derive(Default)]
struct Net {
    spots: Vec<Spot>,
    by_id: HashMap<RowId, usize>,
    references: HashMap<(usize, Key), Reached>,
}

struct Spot {
    table: usize,
    id: Option<RowId>,
    image: Arc<[Value]>,
    owners: Vec<(FilterSet, Owner)>,
}

enum Owner {
    Spot(usize),
    Settled(Settled),
}

impl Judge {
    /// A judge that remembers nothing yet.
    pub fn new(coverage: Arc<Coverage>) -> Judge {
        let keeps_images = coverage.filters.iter().any(|filter| filter.wants_all());
        Judge { coverage, rows: HashMap::new(), references: HashMap::new(), needed: HashMap::new(), keeps_images }
    }

    /// Forgets what it remembers, because rows have changed.
    pub fn forget(&mut self) {
        self.rows.clear();
        self.references.clear();
        self.needed.clear();
    }

    /// Judges one row. The image may differ from what [`Rows`] would find under its key: of the row itself the image counts.
    ///
    /// # Errors
    /// If looking up fails.
    pub fn verdict<R: Rows>(&mut self, table: &str, image: &[Value], rows: &mut R) -> Result<Verdict, R::Error> {
        let coverage = self.coverage.clone();
        if !coverage.may_travel(table) {
            return Ok(Verdict::TableStays);
        }
        let Some(id) = coverage.id(table).filter(|_| coverage.is_judged(table)) else {
            return Ok(Verdict::Travels { nulls: Vec::new() });
        };
        let mut net = Net::default();
        let image = coverage.tables[id].seen(image);
        net.spots.push(Spot { table: id, id: None, image: image.clone(), owners: Vec::new() });
        let settled = self.settle(net, rows)?;
        match self.held_back(id, &settled, Some(&image), rows)? {
            Some(root) => Ok(Verdict::HeldBack(root)),
            None => Ok(Verdict::Travels { nulls: self.nulls(&coverage.tables[id], &image, rows)? }),
        }
    }

    /// Columns that name rows which stay.
    fn nulls<R: Rows>(&mut self, table: &Table, image: &[Value], rows: &mut R) -> Result<Vec<usize>, R::Error> {
        let mut nulls = Vec::new();
        for edge in &table.nulls {
            let Some(values) = edge.reference(image) else { continue };
            if edge.parent_stays || self.parent_is_held_back(edge, &values, rows)? {
                nulls.extend(&edge.nulls);
            }
        }
        nulls.sort_unstable();
        nulls.dedup();
        Ok(nulls)
    }

    fn parent_is_held_back<R: Rows>(&mut self, edge: &Edge, values: &[Value], rows: &mut R) -> Result<bool, R::Error> {
        let coverage = self.coverage.clone();
        let mut net = Net::default();
        let settled = match self.reach(edge, values, &mut net, rows)? {
            None => return Ok(false),
            Some((_, Owner::Settled(settled))) => settled,
            Some((_, Owner::Spot(_))) => self.settle(net, rows)?,
        };
        let (table, image) = (&coverage.tables[edge.parent_id], settled.image.clone());
        if let Some(needed) = image.as_ref().and_then(|image| self.needed.get(&(edge.parent_id, table.key_of(image)))) {
            return Ok(!needed && coverage.covering(&settled.finding).is_some());
        }
        Ok(self.held_back(edge.parent_id, &settled, image.as_ref(), rows)?.is_some())
    }

    /// The root that keeps a settled row at home; none if no filter covers it, or a travelling row needs it.
    fn held_back<R: Rows>(
        &mut self,
        table: usize,
        settled: &Settled,
        image: Option<&Arc<[Value]>>,
        rows: &mut R,
    ) -> Result<Option<RootRow>, R::Error> {
        let Some(root) = self.coverage.covering(&settled.finding) else { return Ok(None) };
        let needed = match image {
            Some(image) if !self.coverage.covers_for_good(&settled.finding) => self.is_needed(table, image, rows)?,
            _ => false,
        };
        Ok((!needed).then_some(root))
    }

    /// Whether a row that travels cannot stand without this one, over any number of steps.
    fn is_needed<R: Rows>(&mut self, table: usize, image: &Arc<[Value]>, rows: &mut R) -> Result<bool, R::Error> {
        let coverage = self.coverage.clone();
        let start = (table, coverage.tables[table].key_of(image));
        let mut seen: HashSet<RowId> = HashSet::from([start.clone()]);
        let mut below = vec![(table, image.clone())];
        while let Some((table, image)) = below.pop() {
            for edge in &coverage.tables[table].needy {
                let Some(child) = coverage.id(&edge.child).filter(|child| !coverage.tables[*child].stays()) else {
                    continue;
                };
                for row in rows.children(edge, &edge.referenced(&image))? {
                    let id = (child, coverage.tables[child].key_of(&row));
                    if !seen.insert(id.clone()) || self.needed.get(&id) == Some(&false) {
                        continue;
                    }
                    let row: Arc<[Value]> = row.into();
                    let finding = self.finding_of(id.clone(), row.clone(), rows)?;
                    if coverage.covering(&finding).is_none() || self.needed.get(&id) == Some(&true) {
                        self.needed.insert(start, true);
                        return Ok(true);
                    }
                    // What an `Any` filter covers stays with all below it.
                    if !coverage.covers_for_good(&finding) {
                        below.push((child, row));
                    }
                }
            }
        }
        // Nothing below any of these travels.
        self.needed.extend(seen.into_iter().map(|id| (id, false)));
        Ok(false)
    }

    fn finding_of<R: Rows>(&mut self, id: RowId, image: Arc<[Value]>, rows: &mut R) -> Result<Arc<Finding>, R::Error> {
        if let Some(settled) = self.rows.get(&id) {
            return Ok(settled.finding.clone());
        }
        let mut net = Net::default();
        net.push(id, image);
        Ok(self.settle(net, rows)?.finding)
    }

    /// Walks up from all rows in the net until none is missing, settles them, remembers them, and gives the first.
    fn settle<R: Rows>(&mut self, mut net: Net, rows: &mut R) -> Result<Settled, R::Error> {
        let coverage = self.coverage.clone();
        let mut next = 0;
        while next < net.spots.len() {
            let (table, image) = (net.spots[next].table, net.spots[next].image.clone());
            for edge in &coverage.tables[table].owners {
                let Some(values) = edge.reference(&image) else { continue };
                if let Some((counts_for, owner)) = self.reach(edge, &values, &mut net, rows)? {
                    net.spots[next].owners.push((edge.owns.and(counts_for), owner));
                }
            }
            next += 1;
        }
        let findings = net.findings(&coverage);
        let mut first = None;
        for (spot, finding) in net.spots.into_iter().zip(findings) {
            let image = self.keeps_images.then_some(spot.image);
            let settled = Settled { finding: Arc::new(finding), image };
            first.get_or_insert_with(|| settled.clone());
            if let Some(id) = spot.id {
                self.rows.insert(id, settled);
            }
        }
        self.references.extend(net.references);
        Ok(first.expect("a walk begins at a row"))
    }

    /// Where a reference leads, and the filters that it counts for; `None` if to nothing that counts.
    fn reach<R: Rows>(
        &mut self,
        edge: &Edge,
        values: &[Value],
        net: &mut Net,
        rows: &mut R,
    ) -> Result<Option<(FilterSet, Owner)>, R::Error> {
        let reference = (edge.target, Key::of(values));
        let known = self.references.get(&reference).or_else(|| net.references.get(&reference)).cloned();
        let reached = match known {
            Some(reached) => reached,
            None => match rows.parent(edge, values)? {
                None => Reached::Missing,
                Some(image) => {
                    let id = (edge.parent_id, self.coverage.tables[edge.parent_id].key_of(&image));
                    if !self.rows.contains_key(&id) && !net.by_id.contains_key(&id) {
                        net.push(id.clone(), image.into());
                    }
                    Reached::Row(id)
                }
            },
        };
        net.references.insert(reference, reached.clone());
        Ok(match reached {
            // A row that is not there owns nothing, unless it is known to be a root.
            Reached::Missing => {
                let finding = self.coverage.missing_root(edge, values);
                finding.map(|finding| {
                    (finding.filters(), Owner::Settled(Settled { finding: Arc::new(finding), image: None }))
                })
            }
            Reached::Row(id) => {
                let settled = self.rows.get(&id).cloned().map(Owner::Settled);
                settled.or_else(|| net.by_id.get(&id).copied().map(Owner::Spot)).map(|owner| (FilterSet::ALL, owner))
            }
        })
    }
}

impl Coverage {
    /// The first filter that covers a row, and the root.
    fn covering(&self, finding: &Finding) -> Option<RootRow> {
        self.coverings(finding).next()
    }

    /// Whether no need of another row can make it travel: only what `All` filters alone cover can be needed.
    fn covers_for_good(&self, finding: &Finding) -> bool {
        self.coverings(finding).any(|root| !self.filters[root.filter.0].wants_all())
    }

    fn coverings<'f>(&'f self, finding: &'f Finding) -> impl Iterator<Item = RootRow> + 'f {
        let roots = finding.roots.iter().enumerate();
        roots.filter_map(|(position, root)| {
            let filter = FilterIx(position);
            let escapes = self.filters[position].wants_all() && finding.escapes.contains(filter);
            root.clone().filter(|_| !escapes).map(|key| RootRow { filter, key })
        })
    }

    /// The filters whose roots this row is one of.
    fn own_roots(&self, table: usize, image: &[Value]) -> Vec<Option<Key>> {
        let mut roots = vec![None; self.filters.len()];
        for filter in &self.tables[table].roots {
            let bound = &self.filters[filter.0];
            let values: Vec<Option<&Value>> = bound.columns.iter().map(|column| image.get(*column)).collect();
            if bound.filter.skip.evaluate_on(&values).is_true() {
                roots[filter.0] = Some(self.tables[table].key_of(image));
            }
        }
        roots
    }

    /// A root that is named but not there (deleted, or never here because it stayed elsewhere) still covers what hangs on it, if the
    /// columns that name it are enough for the condition.
    fn missing_root(&self, edge: &Edge, values: &[Value]) -> Option<Finding> {
        let parent = &self.tables[edge.parent_id];
        let mut roots = vec![None; self.filters.len()];
        for filter in &parent.roots {
            let bound = &self.filters[filter.0];
            let named = |column: &usize| edge.parent_positions.iter().position(|position| position == column);
            let known: Vec<Option<&Value>> =
                bound.columns.iter().map(|column| named(column).map(|at| &values[at])).collect();
            if bound.filter.skip.evaluate_on(&known).is_true() {
                let key: Option<Vec<&Value>> =
                    parent.schema.key.iter().map(|column| named(column).map(|at| &values[at])).collect();
                roots[filter.0] = Some(key.map_or_else(|| Key::of(values), Key::of));
            }
        }
        let finding = Finding { roots, escapes: FilterSet::default() };
        (!finding.filters().is_empty()).then_some(finding)
    }
}

impl Net {
    fn push(&mut self, id: RowId, image: Arc<[Value]>) {
        self.by_id.insert(id.clone(), self.spots.len());
        self.spots.push(Spot { table: id.0, id: Some(id), image, owners: Vec::new() });
    }

    /// Least fixed points over the whole net: the first root that each row reaches, and whether it escapes.
    fn findings(&self, coverage: &Coverage) -> Vec<Finding> {
        let own = |spot: &Spot| coverage.own_roots(spot.table, &spot.image);
        let roots: Vec<Vec<Option<Key>>> = self.spots.iter().map(own).collect();
        let mut findings: Vec<Finding> = (roots.iter().zip(&self.spots))
            .map(|(roots, spot)| Finding { roots: roots.clone(), escapes: spot.hangs_on_nothing(roots) })
            .collect();
        let mut changed = true;
        while changed {
            changed = false;
            // Owners come after what they own: backwards, one round is enough where there is no cycle.
            for position in (0..self.spots.len()).rev() {
                for (owns, owner) in &self.spots[position].owners {
                    let above = match owner {
                        Owner::Spot(spot) => findings[*spot].clone(),
                        Owner::Settled(settled) => (*settled.finding).clone(),
                    };
                    changed |= findings[position].take_over(&above, *owns, &roots[position]);
                }
            }
        }
        findings
    }
}

impl Spot {
    /// The filters for which nothing owns the row and it is no root itself.
    fn hangs_on_nothing(&self, own_roots: &[Option<Key>]) -> FilterSet {
        let mut filters = FilterSet::default();
        for (position, own) in own_roots.iter().enumerate() {
            let filter = FilterIx(position);
            if own.is_none() && !self.owners.iter().any(|(owns, _)| owns.contains(filter)) {
                filters.insert(filter);
            }
        }
        filters
    }
}

impl Finding {
    /// The filters with a root.
    fn filters(&self) -> FilterSet {
        let mut filters = FilterSet::default();
        let found = self.roots.iter().enumerate().filter(|(_, root)| root.is_some());
        found.for_each(|(position, _)| filters.insert(FilterIx(position)));
        filters
    }

    /// Takes over what an owner hangs on; whether that was news.
    fn take_over(&mut self, above: &Finding, owns: FilterSet, own_roots: &[Option<Key>]) -> bool {
        let mut news = false;
        for (position, own_root) in own_roots.iter().enumerate() {
            let filter = FilterIx(position);
            if !owns.contains(filter) {
                continue;
            }
            if let Some(root) = &above.roots[position]
                && self.roots[position].as_ref().is_none_or(|known| root < known)
            {
                self.roots[position] = Some(root.clone());
                news = true;
            }
            // A root is covered whatever else it hangs on.
            if above.escapes.contains(filter) && own_root.is_none() && !self.escapes.contains(filter) {
                self.escapes.insert(filter);
                news = true;
            }
        }
        news
    }
}
