//! The demo rule of the application, as data, and an oracle for it: which rows belong to demo businesses. The oracle
//! walks the foreign keys by itself, on purpose without anything of Rowmesh, so that tests can compare the two.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    catalog::{self, ForeignKey, Table, quoted, quoted_list},
    database::{Database, Result, Value},
    tables::tables,
};

/// The table that the rule starts from.
pub const DEMO_ROOT: &str = "businesses";

/// The condition on [`DEMO_ROOT`] that makes a business demo data. LIKE ignores the case of ASCII letters in SQLite and
/// not in PostgreSQL; the application writes its ids in lower case.
pub const DEMO_SKIP: &str = "id LIKE '%-demo-business%' OR id LIKE '%-demo%' OR id LIKE 'demo-%'";

/// The nullable foreign keys, as `table.column`, by which a row belongs to what it refers to; NOT NULL ones always do.
/// A row is demo data as soon as one of its owners is. Pointers that are no ownership, `users.current_business_id` and
/// `personal_expenses.project_id` among them, are left out.
pub const DEMO_FOLLOW: &[&str] = &[
    "chat_rooms.business_id",
    "construction_projects.business_id",
    "inter_business_loans.borrower_business_id",
    "vehicle_drivers.employee_id",
    "vehicle_expenses.business_id",
    "vehicle_reimbursements.business_id",
    "vehicle_trips.business_id",
    "vehicles.business_id",
];

/// A row that the demo rule covers.
#[derive(Debug, Clone, PartialEq)]
pub struct DemoRow {
    /// The table that it is in.
    pub table: &'static str,
    /// Its primary key, in the key's order.
    pub key: Vec<Value>,
}

/// All rows that the demo rule covers: the demo businesses and, at any depth, what belongs to them by a NOT NULL
/// foreign key or by one of [`DEMO_FOLLOW`]. Ordered by table as [`tables`] is, then by key. Reads every table into
/// memory: meant for tests.
pub fn demo_rows(db: &dyn Database) -> Result<Vec<DemoRow>> {
    let described = catalog::read_all(db)?;
    let mut covered = Covered::new();
    covered.insert(DEMO_ROOT.to_owned(), select(db, &described[DEMO_ROOT], &described[DEMO_ROOT].key, DEMO_SKIP)?);
    let links = described.values().map(|table| read_links(db, table)).collect::<Result<Vec<_>>>()?.concat();
    while spread(&links, &mut covered) {}
    Ok(in_table_order(&covered))
}

/// Whether the rule names the nullable foreign key of these columns.
pub(crate) fn follows(table: &str, columns: &[String]) -> bool {
    columns.iter().all(|column| DEMO_FOLLOW.contains(&format!("{table}.{column}").as_str()))
}

/// Covered rows per table, by key. A key is a list of SQL literals: ordered and comparable, unlike [`Value`].
type Covered = BTreeMap<String, BTreeMap<Literals, Vec<Value>>>;
type Literals = Vec<String>;

/// A row that belongs to a row of another table.
#[derive(Debug, Clone)]
struct Link {
    table: String,
    key: (Literals, Vec<Value>),
    parent: String,
    parent_key: Literals,
}

/// One round of the walk; true if it has found a row.
fn spread(links: &[Link], covered: &mut Covered) -> bool {
    let reached: Vec<&Link> = links
        .iter()
        .filter(|link| holds(covered, &link.parent, &link.parent_key) && !holds(covered, &link.table, &link.key.0))
        .collect();
    for link in &reached {
        covered.entry(link.table.clone()).or_default().insert(link.key.0.clone(), link.key.1.clone());
    }
    !reached.is_empty()
}

fn holds(covered: &Covered, table: &str, key: &Literals) -> bool {
    covered.get(table).is_some_and(|rows| rows.contains_key(key))
}

fn in_table_order(covered: &Covered) -> Vec<DemoRow> {
    let rows_of =
        |name: &'static str| covered.get(name).into_iter().flat_map(BTreeMap::values).map(move |key| (name, key));
    tables()
        .iter()
        .flat_map(|table| rows_of(table.name))
        .map(|(table, key)| DemoRow { table, key: key.clone() })
        .collect()
}

fn read_links(db: &dyn Database, table: &Table) -> Result<Vec<Link>> {
    let owning =
        table.foreign_keys.iter().filter(|foreign| table.requires(foreign) || follows(&table.name, &foreign.columns));
    let mut links = Vec::new();
    for foreign in owning {
        links.extend(read_links_along(db, table, foreign)?);
    }
    Ok(links)
}

fn read_links_along(db: &dyn Database, table: &Table, foreign: &ForeignKey) -> Result<Vec<Link>> {
    let columns = [table.key.as_slice(), &foreign.columns].concat();
    let present: Vec<String> = foreign.columns.iter().map(|column| format!("{} IS NOT NULL", quoted(column))).collect();
    let rows = select(db, table, &columns, &present.join(" AND "))?;
    let link = |(literals, values): (Literals, Vec<Value>)| {
        let (key, parent_key) = literals.split_at(table.key.len());
        Link {
            table: table.name.clone(),
            key: (key.to_vec(), values[..table.key.len()].to_vec()),
            parent: foreign.parent.clone(),
            parent_key: parent_key.to_vec(),
        }
    };
    Ok(rows.into_iter().map(link).collect())
}

fn select(
    db: &dyn Database,
    table: &Table,
    columns: &[String],
    condition: &str,
) -> Result<BTreeMap<Literals, Vec<Value>>> {
    let sql = format!("SELECT {} FROM {} WHERE {condition}", quoted_list(columns), quoted(&table.name));
    let rows: Vec<Vec<Value>> = db.all(&sql, &[])?;
    Ok(rows.into_iter().map(|values| (values.iter().map(literal).collect(), values)).collect())
}

fn literal(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => format!("{number:?}"),
        Value::Text(text) => format!("'{text}'"),
        Value::Blob(bytes) => format!("x'{}'", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
    }
}

/// The tables in which a demo row can stand at all, by the schema alone: those from which a chain of NOT NULL or
/// followed foreign keys leads to [`DEMO_ROOT`].
pub fn demo_tables(db: &dyn Database) -> Result<BTreeSet<&'static str>> {
    let described = catalog::read_all(db)?;
    let mut reached = BTreeSet::from([DEMO_ROOT]);
    loop {
        let owned_by_reached = |table: &Table| {
            table.foreign_keys.iter().any(|foreign| {
                reached.contains(foreign.parent.as_str())
                    && (table.requires(foreign) || follows(&table.name, &foreign.columns))
            })
        };
        let next: BTreeSet<&'static str> =
            described.iter().filter(|(_, table)| owned_by_reached(table)).map(|(name, _)| *name).collect();
        let before = reached.len();
        reached.extend(next);
        if reached.len() == before {
            return Ok(reached);
        }
    }
}
