//! One operation on one table at a time, for any table by name: what tests use to drive create, update, delete, upsert,
//! bulk update and bulk delete through every table. Rows are made up from the database's own description of the table
//! (columns, enumerations, foreign keys), and their keys from a tag, so that every call finds its row again by itself.
//! Not here: rows that make sense together; those come from `generate` and `workload`.
//!
//! The row of a tag has the rows of the same tag as its parents, made where they are missing. A sample business has the
//! id `{tag}-business`: so a tag that starts with `demo-` makes rows that the demo rule covers, and any other tag rows
//! that it does not cover. Nullable foreign keys stay NULL, those of [`DEMO_FOLLOW`](crate::DEMO_FOLLOW) excepted.
//! Every text carries the tag, which should be of letters, digits and `-` only.
//!
//! Each function is one transaction of its own, or part of the caller's where one is open.

use crate::{
    calendar::Moment,
    catalog::{Column, ForeignKey, Kind, Table, quoted, quoted_list},
    database::{Database, Error, Purpose, Result, Transaction, Value},
    demo::follows,
    fill::{Filler, Style},
    random::{Dice, fingerprint, uuid_of},
};

/// The values of a row's primary key, in the key's order.
pub type Key = Vec<Value>;

/// Columns with their values, in the table's order.
pub type Row = Vec<(String, Value)>;

/// Inserts the row of `tag`, and before it the parents that it needs and that are missing. Fails if the row exists.
pub fn sample_insert(db: &dyn Database, table: &str, tag: &str) -> Result<Key> {
    in_transaction(db, || insert(db, &Table::read(db, table)?, tag))
}

/// Updates the row of `tag`: every column that is in no key and no unique index gets a new value, another one per
/// `round`. Round 0 is what `sample_insert` writes. Fails if there is no such row.
pub fn sample_update(db: &dyn Database, table: &str, tag: &str, round: u32) -> Result<Key> {
    in_transaction(db, || {
        let table = Table::read(db, table)?;
        let keys = vec![key_of(db, &table, tag)?];
        update(db, &table, &keys, tag, round)?;
        Ok(keys.concat())
    })
}

/// Inserts the row of `tag` or, where it exists, updates it as [`sample_update`] does, both by one
/// `INSERT … ON CONFLICT DO UPDATE`.
pub fn sample_upsert(db: &dyn Database, table: &str, tag: &str, round: u32) -> Result<Key> {
    in_transaction(db, || upsert(db, &Table::read(db, table)?, tag, round))
}

/// Deletes the row of `tag`; its parents stay. Fails if there is no such row.
pub fn sample_delete(db: &dyn Database, table: &str, tag: &str) -> Result<Key> {
    in_transaction(db, || {
        let table = Table::read(db, table)?;
        let keys = vec![key_of(db, &table, tag)?];
        delete(db, &table, &keys)?;
        Ok(keys.concat())
    })
}

/// Inserts `rows` rows, those of the tags `{tag}-0`, `{tag}-1` and so on, each with parents of its own.
pub fn bulk_insert(db: &dyn Database, table: &str, tag: &str, rows: u32) -> Result<Vec<Key>> {
    in_transaction(db, || {
        let table = Table::read(db, table)?;
        (0..rows).map(|row| insert(db, &table, &bulk_tag(tag, row))).collect()
    })
}

/// Updates the rows of [`bulk_insert`] by a single UPDATE, which gives all of them the same values. At most 10,000 rows.
pub fn bulk_update(db: &dyn Database, table: &str, tag: &str, rows: u32, round: u32) -> Result<Vec<Key>> {
    in_transaction(db, || {
        let table = Table::read(db, table)?;
        let keys = bulk_keys(db, &table, tag, rows)?;
        update(db, &table, &keys, tag, round)?;
        Ok(keys)
    })
}

/// Deletes the rows of [`bulk_insert`] by a single DELETE; their parents stay. At most 10,000 rows.
pub fn bulk_delete(db: &dyn Database, table: &str, tag: &str, rows: u32) -> Result<Vec<Key>> {
    in_transaction(db, || {
        let table = Table::read(db, table)?;
        let keys = bulk_keys(db, &table, tag, rows)?;
        delete(db, &table, &keys)?;
        Ok(keys)
    })
}

/// The key that [`sample_insert`] gives to the row of `tag`, whether it exists or not. Makes nothing.
pub fn sample_key(db: &dyn Database, table: &str, tag: &str) -> Result<Key> {
    key_of(db, &Table::read(db, table)?, tag)
}

/// The row with this key, or none.
pub fn read_row(db: &dyn Database, table: &str, key: &[Value]) -> Result<Option<Row>> {
    let table = Table::read(db, table)?;
    let row = db.first(&format!("{} WHERE {}", table.select_sql(), table.key_condition(1)), key)?;
    Ok(row.map(|row| named(&table, row)))
}

/// All rows of a table, in no order.
pub fn read_rows(db: &dyn Database, table: &str) -> Result<Vec<Row>> {
    let table = Table::read(db, table)?;
    Ok(db.all(&table.select_sql(), &[])?.into_iter().map(|row| named(&table, row)).collect())
}

fn named(table: &Table, row: Vec<Value>) -> Row {
    table.columns.iter().map(|column| column.name.clone()).zip(row).collect()
}

fn in_transaction<T>(db: &dyn Database, work: impl FnOnce() -> Result<T>) -> Result<T> {
    if db.is_in_transaction() {
        return work();
    }
    let transaction = Transaction::begin(db, Purpose::Writing)?;
    let made = work()?;
    transaction.commit()?;
    Ok(made)
}

fn insert(db: &dyn Database, table: &Table, tag: &str) -> Result<Key> {
    let row = whole_row(db, table, tag, 0)?;
    db.execute(&table.insert_sql(table.columns.iter()), &row)?;
    Ok(key_within(table, &row))
}

fn upsert(db: &dyn Database, table: &Table, tag: &str, round: u32) -> Result<Key> {
    let row = whole_row(db, table, tag, round)?;
    let changes: Vec<String> =
        changeable(table).map(|column| format!("{0} = excluded.{0}", quoted(&column.name))).collect();
    let sql = format!(
        "{} ON CONFLICT ({}) DO UPDATE SET {}",
        table.insert_sql(table.columns.iter()),
        quoted_list(&table.key),
        changes.join(", ")
    );
    db.execute(&sql, &row)?;
    Ok(key_within(table, &row))
}

fn update(db: &dyn Database, table: &Table, keys: &[Key], tag: &str, round: u32) -> Result<()> {
    let columns: Vec<&Column> = changeable(table).collect();
    let change = |(column, number): (&&Column, usize)| format!("{} = ?{number}", quoted(&column.name));
    let changes: Vec<String> = columns.iter().zip(1..).map(change).collect();
    let of_keys = is_one_of(db, table, columns.len() + 1, keys.len());
    let sql = format!("UPDATE {} SET {} WHERE {of_keys}", quoted(&table.name), changes.join(", "));
    let values = columns.iter().map(|column| made_up(table, column, tag, round));
    let changed = db.execute(&sql, &values.chain(keys.iter().flatten().cloned()).collect::<Vec<_>>())?;
    expect_rows(changed, keys.len())
}

fn delete(db: &dyn Database, table: &Table, keys: &[Key]) -> Result<()> {
    let sql = format!("DELETE FROM {} WHERE {}", quoted(&table.name), is_one_of(db, table, 1, keys.len()));
    expect_rows(db.execute(&sql, &keys.concat())?, keys.len())
}

fn expect_rows(found: usize, wanted: usize) -> Result<()> {
    if found == wanted { Ok(()) } else { Err(Error::Rows { found, wanted }) }
}

fn is_one_of(db: &dyn Database, table: &Table, first: usize, keys: usize) -> String {
    let columns: Vec<String> = table.key.iter().map(|column| quoted(column)).collect();
    db.dialect().is_one_of(&columns, first, keys)
}

/// The columns that an update may set without breaking a key, a reference or a unique index.
fn changeable(table: &Table) -> impl Iterator<Item = &Column> {
    table.columns.iter().filter(|column| {
        let name = column.name.as_str();
        !table.is_key(name) && !table.is_foreign(name) && !table.unique.contains(name) && name != "created_at"
    })
}

/// All values of the row of `tag`, in the order of the columns. Inserts the parents that are missing.
fn whole_row(db: &dyn Database, table: &Table, tag: &str, round: u32) -> Result<Vec<Value>> {
    let mut row: Vec<Value> = table.columns.iter().map(|column| own_value(table, column, tag, round)).collect();
    for (place, foreign) in table.foreign_keys.iter().enumerate() {
        if !table.requires(foreign) && !follows(&table.name, &foreign.columns) {
            continue;
        }
        let parent = Table::read(db, &foreign.parent)?;
        let parent_tag = parent_tag(table, place, tag);
        let parent_key = key_of(db, &parent, &parent_tag)?;
        if read_row(db, &parent.name, &parent_key)?.is_none() {
            insert(db, &parent, &parent_tag)?;
        }
        refer(table, foreign, &parent, &parent_key, &mut row);
    }
    Ok(row)
}

/// What stands in a column when nothing is known of other rows.
fn own_value(table: &Table, column: &Column, tag: &str, round: u32) -> Value {
    if table.is_key(&column.name) {
        return key_part(table, column, tag);
    }
    if table.is_foreign(&column.name) {
        return Value::Null;
    }
    let round = if table.unique.contains(&column.name) { 0 } else { round };
    made_up(table, column, tag, round)
}

fn made_up(table: &Table, column: &Column, tag: &str, round: u32) -> Value {
    let label = if round == 0 { tag.to_owned() } else { format!("{tag} round {round}") };
    let when = Moment::OPENING.plus_minutes(i64::from(round));
    let mut dice = Dice::of(u64::from(round), &["sample", &table.name, &column.name, tag]);
    Filler { label: &label, style: Style::Tagged, when }.value(table, column, &mut dice)
}

fn key_part(table: &Table, column: &Column, tag: &str) -> Value {
    let number = fingerprint(&["sample", &table.name, &column.name, tag]) >> 33;
    match (table.name.as_str(), column.name.as_str()) {
        ("businesses", "id") => Value::Text(format!("{tag}-business")),
        (name, "id") if column.kind == Kind::Text => Value::Text(uuid_of(0, &["sample", name, tag])),
        (_, "id") => Value::Integer(i64::try_from(number).unwrap_or(0) + 1_000_000),
        _ => made_up(table, column, tag, 0),
    }
}

/// The key of the row of `tag`, from the tag alone: parts that are foreign keys come from the parents' tags.
fn key_of(db: &dyn Database, table: &Table, tag: &str) -> Result<Key> {
    let mut row: Vec<Value> = table.columns.iter().map(|column| own_value(table, column, tag, 0)).collect();
    for (place, foreign) in table.foreign_keys.iter().enumerate() {
        if foreign.columns.iter().any(|column| table.is_key(column)) {
            let parent = Table::read(db, &foreign.parent)?;
            let parent_key = key_of(db, &parent, &parent_tag(table, place, tag))?;
            refer(table, foreign, &parent, &parent_key, &mut row);
        }
    }
    Ok(key_within(table, &row))
}

/// A second foreign key to the same parent table means another row of it.
fn parent_tag(table: &Table, place: usize, tag: &str) -> String {
    let parent = &table.foreign_keys[place].parent;
    match table.foreign_keys[..place].iter().filter(|earlier| earlier.parent == *parent).count() {
        0 => tag.to_owned(),
        earlier => format!("{tag}-{}", earlier + 1),
    }
}

/// Writes a parent's key into the columns that refer to it. The application's foreign keys all refer to primary keys.
fn refer(table: &Table, foreign: &ForeignKey, parent: &Table, parent_key: &[Value], row: &mut [Value]) {
    for (column, parent_column) in foreign.columns.iter().zip(&foreign.parent_columns) {
        let target = table.columns.iter().position(|candidate| candidate.name == *column);
        let source = parent.key.iter().position(|candidate| candidate == parent_column);
        if let (Some(target), Some(source)) = (target, source) {
            row[target] = parent_key[source].clone();
        }
    }
}

fn key_within(table: &Table, row: &[Value]) -> Key {
    let place = |name: &String| table.columns.iter().position(|column| column.name == *name);
    table.key.iter().filter_map(place).map(|at| row[at].clone()).collect()
}

fn bulk_keys(db: &dyn Database, table: &Table, tag: &str, rows: u32) -> Result<Vec<Key>> {
    (0..rows).map(|row| key_of(db, table, &bulk_tag(tag, row))).collect()
}

fn bulk_tag(tag: &str, row: u32) -> String {
    format!("{tag}-{row}")
}
