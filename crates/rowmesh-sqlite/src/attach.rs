//! Installs capture into a database and takes it out again: the plan that is shown first, attaching, following the application's schema,
//! detaching. What rows a table held before, and what must be compared after a change of schema, is left to the sealer and `reconcile`.

use std::collections::{BTreeMap, BTreeSet};

use rowmesh_core::ident::hex;
use rowmesh_core::schema::{KeyKind, TableSchema};
use rowmesh_core::scope::TablePatterns;
use rowmesh_core::value::{ColumnName, TableName, Value};
use rowmesh_engine::changes::{Before, Capture, ChangeKind, Now, TableChange, what_happened};
use rowmesh_engine::lacked;
use rowmesh_engine::plan::{AttachOptions, Followed, Plan, Remark, UnindexedKey, Untracked};
use rowmesh_engine::registry::TableNumber;
use rowmesh_engine::rules::Rules;
use rowmesh_engine::views::fingerprint;
use rusqlite::{Connection, OptionalExtension, params};

use crate::capture::{self, Trigger};
use crate::carry;
use crate::catalog::Catalog;
use crate::connection::{LOCK_PATIENCE, begin_immediate, journal_mode, switch_to_wal};
use crate::error::{Error, Result};
use crate::names::{fact, set_fact};
use crate::sql::{quote, quote_list};

/// Every table, index and view of ours, for a fresh database and for one that lacks some.
pub const TABLES_SQL: &str = include_str!("tables.sql");

/// Makes the plan. Writes nothing and counts no rows.
///
/// # Errors
/// If the database cannot be read.
pub fn plan(connection: &Connection, options: &AttachOptions) -> Result<Plan> {
    refuse_taken_names(connection)?;
    let catalog = Catalog::read(connection, &options.keys)?;
    let known = tracked_names(connection)?;
    let rules = Rules { options, mesh: mesh_rules(connection)?, known: &known };
    let mut skipped = catalog.untracked;
    let mut tracked = Vec::new();
    for schema in catalog.tables {
        match rules.left_out(&schema.name) {
            Some((reason, remedy)) => skipped.push(Untracked { name: schema.name, code: "", reason, remedy }),
            None => tracked.push(schema),
        }
    }
    // What is left out by wish needs no other reason.
    for table in &mut skipped {
        if let Some((reason, remedy)) = rules.left_out(&table.name) {
            (table.code, table.reason, table.remedy) = ("", reason, remedy);
        }
    }
    skipped.sort_by(|a, b| a.name.cmp(&b.name));
    let is_tracked: BTreeSet<TableName> = tracked.iter().map(|table| table.name.clone()).collect();
    let mut remarks: Vec<Remark> =
        catalog.remarks.into_iter().filter(|remark| is_tracked.contains(&remark.table)).collect();
    remarks.extend(tracked.iter().filter_map(remark_on_key));
    remarks.sort_by(|a, b| a.table.cmp(&b.table));
    let unindexed = tracked.iter().map(|table| unindexed_keys(connection, table)).collect::<Result<Vec<_>>>()?;
    Ok(Plan {
        options: options.clone(),
        triggers: carry::survey(connection, &is_tracked, &options.leave_triggers)?,
        skipped,
        remarks,
        advice: advice(connection, options)?,
        unindexed: unindexed.into_iter().flatten().collect(),
        numbers: Vec::new(),
        triggers_added: tracked.iter().map(|table| capture::triggers(TableNumber(0), table).len()).sum(),
        tables_added: our_objects()?.values().filter(|kind| *kind == "table").count(),
        database_bytes: database_bytes(connection)?,
        schema_version: catalog.schema_version,
        tracked,
    })
}

/// Installs what the plan says, in one transaction. A plan that the schema has left behind is made anew first. May be repeated, and
/// replaces triggers of older versions (I13).
///
/// # Errors
/// If the database cannot be written, has tables of its own with our names, or was attached by a newer Rowmesh.
pub fn attach(connection: &mut Connection, plan: &Plan) -> Result<Followed> {
    if plan.options.switch_to_wal {
        switch_to_wal(connection)?;
    }
    in_transaction(connection, |connection| {
        refuse_taken_names(connection)?;
        let plan = still_true(connection, plan.clone())?;
        let capture = if is_attached(connection)? { Capture::Left } else { Capture::New };
        connection.execute_batch(TABLES_SQL)?;
        follow_now(connection, plan, capture)
    })
}

/// Brings capture in step with the schema as it is now: attaches to new and rebuilt tables, re-makes what vanished, forgets what is gone.
///
/// # Errors
/// If the database cannot be written, or is not attached.
pub fn follow(connection: &mut Connection, options: &AttachOptions) -> Result<Followed> {
    // Looking takes longer than an application should wait for the lock; nearly always it is still true once we hold it.
    let plan = plan(connection, options)?;
    in_transaction(connection, |connection| {
        let plan = still_true(connection, plan)?;
        let lost = restore_tables(connection)?;
        follow_now(connection, plan, Capture::restored(lost))
    })
}

/// Remembers which tables sync by the mesh's rules and, if they are others than before, brings capture in step with them.
///
/// # Errors
/// If the database cannot be written, or is not attached: then nothing has changed.
pub fn follow_mesh(
    connection: &mut Connection,
    options: &AttachOptions,
    rules: &TablePatterns,
) -> Result<Option<Followed>> {
    if mesh_rules(connection)?.as_ref() == Some(rules) {
        return Ok(None);
    }
    in_transaction(connection, |connection| {
        let lost = restore_tables(connection)?;
        set_fact(connection, MESH_RULES, &Value::text(&rules.to_rules().join("\n")))?;
        follow_now(connection, plan(connection, options)?, Capture::restored(lost)).map(Some)
    })
}

/// Follows the schema inside a transaction that is under way, for tables that were made in it: nobody can write to them before they are captured.
///
/// # Errors
/// If the database cannot be written, or is not attached.
pub fn follow_inside(connection: &Connection, options: &AttachOptions) -> Result<()> {
    let plan = plan(connection, options)?;
    let lost = restore_tables(connection)?;
    follow_now(connection, plan, Capture::restored(lost))?;
    Ok(())
}

/// The plan, made anew if the schema has moved since it was made.
fn still_true(connection: &Connection, plan: Plan) -> Result<Plan> {
    if schema_version(connection)? == plan.schema_version { Ok(plan) } else { self::plan(connection, &plan.options) }
}

fn schema_version(connection: &Connection) -> Result<i64> {
    Ok(connection.query_row("PRAGMA main.schema_version", [], |row| row.get(0))?)
}

/// Whether capture is installed here, whole or in part.
///
/// # Errors
/// If the database cannot be read.
pub fn is_attached(connection: &Connection) -> Result<bool> {
    Ok(has_list(connection)? || !own_triggers(connection)?.is_empty())
}

/// Takes everything of ours out, triggers first, in one transaction: the schema is then what it was before. Tables of the application
/// whose names begin with `rowmesh_` stay.
///
/// # Errors
/// If the database cannot be written.
pub fn detach(connection: &mut Connection) -> Result<()> {
    in_transaction(connection, |connection| {
        carry::drop_copies(connection)?;
        for trigger in own_triggers(connection)? {
            drop_trigger(connection, &trigger.name)?;
        }
        let ours = our_objects()?;
        // Views before the tables that they show; indexes go with their tables.
        for wanted in ["view", "table"] {
            for (name, _) in ours.iter().filter(|(_, kind)| *kind == wanted) {
                connection.execute_batch(&format!("DROP {wanted} IF EXISTS main.{}", quote(name)))?;
            }
        }
        Ok(())
    })
}

/// What of ours stands in a database, as (kind, name): what detaching takes out.
///
/// # Errors
/// If the database cannot be read.
pub fn installed(connection: &Connection) -> Result<Vec<(String, String)>> {
    let triggers = own_triggers(connection)?.into_iter().map(|trigger| ("trigger".to_owned(), trigger.name));
    let mut installed: Vec<(String, String)> = triggers.collect();
    let ours = our_objects()?;
    let mut statement = connection
        .prepare("SELECT type, name FROM main.sqlite_master WHERE type IN ('table', 'view') ORDER BY name")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (kind, name): (String, String) = (row.get(0)?, row.get(1)?);
        if ours.get(&name) == Some(&kind) {
            installed.push((kind, name));
        }
    }
    Ok(installed)
}

/// Runs something inside BEGIN IMMEDIATE and COMMIT, or nothing of it.
fn in_transaction<T>(connection: &mut Connection, run: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
    begin_immediate(connection, LOCK_PATIENCE)?;
    let done = run(connection).and_then(|done| {
        connection.execute_batch("COMMIT")?;
        Ok(done)
    });
    if done.is_err() && !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK")?;
    }
    done
}

/// Which tables sync by the mesh's rules, as they were when the roster was last heard; `None` for a database of no mesh.
fn mesh_rules(connection: &Connection) -> Result<Option<TablePatterns>> {
    let sql = "SELECT 1 FROM main.sqlite_master WHERE type = 'table' AND name = 'rowmesh_facts'";
    if connection.query_row(sql, [], |_| Ok(())).optional()?.is_none() {
        return Ok(None);
    }
    let rules = fact(connection, MESH_RULES)?;
    Ok(rules.as_ref().and_then(Value::as_str).map(|rules| TablePatterns::from_rules(rules.lines())))
}

/// The fact that holds them, one a line.
const MESH_RULES: &str = "mesh tables";

/// Names of the tables that are tracked now.
fn tracked_names(connection: &Connection) -> Result<BTreeSet<TableName>> {
    if !has_list(connection)? {
        return Ok(BTreeSet::new());
    }
    let listed = listed_tables(connection)?.into_iter();
    Ok(listed.filter(|table| table.state.is_captured()).map(|table| table.name).collect())
}

fn remark_on_key(table: &TableSchema) -> Option<Remark> {
    (table.key_kind == KeyKind::Generated).then(|| Remark {
        table: table.name.clone(),
        text: "has numbers given by SQLite as its key: two nodes that insert while apart give the same number to different rows. Both \
               stand on every node, the later one under another number, with what refers to it by a foreign key. UUID or text keys \
               do not have this problem"
            .to_owned(),
    })
}

fn advice(connection: &Connection, options: &AttachOptions) -> Result<Vec<String>> {
    let mode = journal_mode(connection)?;
    let mut advice = Vec::new();
    if mode != "wal" && mode != "memory" && !options.switch_to_wal {
        advice.push(format!(
            "the database is in {mode} mode, in which readers and writers wait for each other: switch it to WAL (PRAGMA journal_mode = WAL)"
        ));
    }
    advice.push(
        "let the application open the database with a busy_timeout (5000 ms is usual), and begin transactions that read before they write \
         with BEGIN IMMEDIATE: Rowmesh writes too, for some milliseconds at a time"
            .to_owned(),
    );
    Ok(advice)
}

fn database_bytes(connection: &Connection) -> Result<u64> {
    let number = |pragma: &str| -> Result<u64> {
        Ok(connection.query_row(&format!("PRAGMA main.{pragma}"), [], |row| row.get::<_, i64>(0))?.unsigned_abs())
    };
    Ok(number("page_size")? * number("page_count")?.saturating_sub(number("freelist_count")?))
}

/// Foreign keys whose columns are not the first ones of any index, nor the row's number.
fn unindexed_keys(connection: &Connection, table: &TableSchema) -> Result<Vec<UnindexedKey>> {
    if table.foreign_keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut statement = connection.prepare_cached(
        "SELECT list.name, info.name FROM pragma_index_list(?1, 'main') list, pragma_index_xinfo(list.name, 'main') info
         WHERE info.\"key\" AND NOT list.partial ORDER BY list.name, info.seqno",
    )?;
    let mut rows = statement.query(params![&*table.name])?;
    let mut indexes: BTreeMap<String, Vec<Option<String>>> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        indexes.entry(row.get(0)?).or_default().push(row.get(1)?);
    }
    let key: Vec<Option<String>> = table.key_names().map(|name| Some(name.to_string())).collect();
    indexes.insert(String::new(), key);
    let unserved = table.foreign_keys.iter().filter_map(|foreign| {
        let columns: Vec<String> =
            foreign.columns.iter().map(|column| table.columns[*column].name.to_string()).collect();
        let serves = |index: &Vec<Option<String>>| {
            let first: Vec<&str> = index.iter().take(columns.len()).flatten().map(String::as_str).collect();
            first.len() == columns.len() && columns.iter().all(|column| first.contains(&column.as_str()))
        };
        (!indexes.values().any(serves)).then(|| {
            let name = format!("{}_{}", table.name, columns.join("_"));
            let remedy = format!("CREATE INDEX {} ON {} ({});", quote(&name), quote(&table.name), quote_list(&columns));
            UnindexedKey { table: table.name.clone(), columns, remedy }
        })
    });
    Ok(unserved.collect())
}

/// Names and kinds of all that `tables.sql` makes.
fn our_objects() -> Result<BTreeMap<String, String>> {
    let scratch = Connection::open_in_memory()?;
    scratch.execute_batch(TABLES_SQL)?;
    let mut statement =
        scratch.prepare("SELECT name, type FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")?;
    let objects = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
    Ok(objects)
}

fn has_list(connection: &Connection) -> Result<bool> {
    let sql = "SELECT 1 FROM main.sqlite_master WHERE type = 'table' AND name = 'rowmesh_tables'";
    Ok(connection.query_row(sql, [], |_| Ok(())).optional()?.is_some())
}

/// A table of ours is known by its neighbours: where the list of tables is missing, nothing with our names is ours.
fn refuse_taken_names(connection: &Connection) -> Result<()> {
    if connection.prepare("SELECT t, name, state, shape FROM main.rowmesh_tables").is_ok() {
        return Ok(());
    }
    let ours = our_objects()?;
    let present = names_present(connection)?;
    let taken: Vec<String> = present.into_iter().filter(|name| ours.contains_key(name)).collect();
    if taken.is_empty() { Ok(()) } else { Err(Error::NamesTaken(taken)) }
}

fn names_present(connection: &Connection) -> Result<Vec<String>> {
    let mut statement = connection.prepare(
        "SELECT lower(name) FROM main.sqlite_master WHERE name LIKE 'rowmesh\\_%' ESCAPE '\\' ORDER BY name",
    )?;
    let names = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(names)
}

/// Makes tables of ours anew that someone dropped (I11). Returns whether notes were lost with them.
fn restore_tables(connection: &Connection) -> Result<bool> {
    if !is_attached(connection)? {
        return Err(Error::NotAttached);
    }
    let present = names_present(connection)?;
    let is_there = |name: &str| present.iter().any(|there| there == name);
    let (dirty, list) = (is_there("rowmesh_dirty"), is_there("rowmesh_tables"));
    connection.execute_batch(TABLES_SQL)?;
    if !list {
        // The triggers still know which table had which number.
        for trigger in own_triggers(connection)? {
            if let Some(number) = capture::number_in(&trigger.name) {
                connection
                    .prepare_cached(
                        "INSERT OR IGNORE INTO rowmesh_tables (t, name, state, shape) VALUES (?1, ?2, 'tracked', '')",
                    )?
                    .execute(params![number.0, trigger.table])?;
            }
        }
    }
    Ok(!dirty || !list)
}

/// A trigger of ours as the schema holds it.
struct OwnTrigger {
    name: String,
    table: String,
    sql: String,
}

fn own_triggers(connection: &Connection) -> Result<Vec<OwnTrigger>> {
    let sql = format!(
        "SELECT name, tbl_name, coalesce(sql, '') FROM main.sqlite_master WHERE {} ORDER BY name",
        capture::is_ours()
    );
    let mut statement = connection.prepare(&sql)?;
    let triggers = statement
        .query_map([], |row| Ok(OwnTrigger { name: row.get(0)?, table: row.get(1)?, sql: row.get(2)? }))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(triggers)
}

/// One line of `rowmesh_tables`.
struct Listed {
    number: TableNumber,
    name: TableName,
    state: State,
    shape: Shape,
}

/// How this database stands to a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Known by name only.
    Named,
    /// Captured.
    Tracked,
    /// Captured, and its rows are still to be compared with what is remembered of them, or shown anew.
    Unsure,
    /// Captured once: dropped, renamed or left out since.
    Gone,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            State::Named => "named",
            State::Tracked => "tracked",
            State::Unsure => "unsure",
            State::Gone => "gone",
        }
    }

    fn of_word(word: &str) -> State {
        let states = [State::Tracked, State::Unsure, State::Gone];
        states.into_iter().find(|state| state.word() == word).unwrap_or(State::Named)
    }

    fn is_captured(self) -> bool {
        matches!(self, State::Tracked | State::Unsure)
    }
}

/// How a table was when it was last attached to: enough to tell whether it was altered or made anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Shape {
    root_page: String,
    /// Hash over its columns, keys and indexes, and over its own definition.
    looks: String,
    /// How many columns it has.
    columns: usize,
}

impl Shape {
    fn of(connection: &Connection, table: &TableSchema) -> Result<Shape> {
        let (root_page, sql): (i64, String) = connection
            .prepare_cached("SELECT rootpage, sql FROM main.sqlite_master WHERE type = 'table' AND name = ?1")?
            .query_row(params![&*table.name], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&fingerprint(table).0);
        hasher.update(sql.as_bytes());
        let looks = hex(&hasher.finalize().as_bytes()[..16]);
        Ok(Shape { root_page: root_page.to_string(), looks, columns: table.columns.len() })
    }

    fn parse(text: &str) -> Shape {
        let mut words = text.split(' ');
        let mut next = || words.next().unwrap_or_default();
        Shape { root_page: next().to_owned(), looks: next().to_owned(), columns: next().parse().unwrap_or_default() }
    }

    fn to_text(&self) -> String {
        format!("{} {} {}", self.root_page, self.looks, self.columns)
    }
}

fn listed_tables(connection: &Connection) -> Result<Vec<Listed>> {
    let mut statement = connection.prepare("SELECT t, name, state, shape FROM main.rowmesh_tables ORDER BY t")?;
    let listed = statement.query_map([], |row| {
        let (name, state, shape): (String, String, String) = (row.get(1)?, row.get(2)?, row.get(3)?);
        Ok(Listed {
            number: TableNumber(row.get(0)?),
            name: name.into(),
            state: State::of_word(&state),
            shape: Shape::parse(&shape),
        })
    })?;
    Ok(listed.collect::<rusqlite::Result<_>>()?)
}

fn follow_now(connection: &Connection, plan: Plan, capture: Capture) -> Result<Followed> {
    let (triggers, listed) = (own_triggers(connection)?, listed_tables(connection)?);
    refuse_newer(&triggers)?;
    let found = Found { connection, plan: &plan, triggers, listed, capture };
    let mut changes = Vec::new();
    for table in &plan.tracked {
        changes.extend(found.follow_table(table)?);
    }
    changes.extend(found.forget_the_rest(&changes)?);
    Ok(Followed { changes, plan, schema_version: schema_version(connection)? })
}

/// What stands in the database before anything is done about it.
struct Found<'a> {
    connection: &'a Connection,
    plan: &'a Plan,
    triggers: Vec<OwnTrigger>,
    listed: Vec<Listed>,
    capture: Capture,
}

impl Found<'_> {
    /// Puts one table in order, and tells what had happened to it.
    fn follow_table(&self, table: &TableSchema) -> Result<Option<TableChange>> {
        let known = self.listed.iter().find(|known| known.name == table.name);
        let number = match known {
            Some(known) => known.number,
            None => new_number(self.connection, &table.name)?,
        };
        let is_here = |trigger: &&OwnTrigger| trigger.table.eq_ignore_ascii_case(&table.name);
        let here: Vec<&OwnTrigger> = self.triggers.iter().filter(is_here).collect();
        let (shape, expected) = (Shape::of(self.connection, table)?, capture::triggers(number, table));
        let heard_of = count_columns(self.connection, number)?;
        let before = known.filter(|known| known.state != State::Named).map(|known| Before {
            gone: known.state == State::Gone,
            unsure: known.state == State::Unsure && self.capture == Capture::Left,
            same_root: known.shape.root_page == shape.root_page,
            same_looks: known.shape.looks == shape.looks,
            lacked_columns: known.shape.columns < heard_of,
        });
        let now = Now {
            triggers_expected: expected.len(),
            own_triggers: here.iter().filter(|trigger| capture::number_in(&trigger.name) == Some(number)).count(),
            in_order: is_in_order(&here, &expected),
            older_version: here.iter().any(|trigger| capture::version_in(&trigger.sql) != Some(capture::VERSION)),
            came_from: self.origin_of(&here, number),
            notes_lost: self.capture == Capture::NotesLost,
        };
        if !now.in_order {
            install(self.connection, &here, &expected)?;
        }
        let kind = what_happened(before, &now);
        if before.is_some_and(|before| !before.same_looks) {
            remember_lacked(self.connection, number, table)?;
        }
        set_state(self.connection, number, self.state_after(kind.as_ref(), known), &shape)?;
        Ok(kind.map(|kind| TableChange { table: table.name.clone(), number, kind }))
    }

    /// What is to be done about rows is to be done until it is, whether or not the daemon ends before.
    fn state_after(&self, change: Option<&ChangeKind>, known: Option<&Listed>) -> State {
        let was_unsure = known.is_some_and(|known| known.state == State::Unsure);
        let is_unsure = was_unsure || change.is_some_and(ChangeKind::may_show_more);
        if is_unsure && self.capture != Capture::New { State::Unsure } else { State::Tracked }
    }

    /// The table, gone now, whose triggers stand here because it was renamed.
    fn origin_of(&self, here: &[&OwnTrigger], number: TableNumber) -> Option<TableName> {
        let others =
            here.iter().filter_map(|trigger| capture::number_in(&trigger.name)).filter(|other| *other != number);
        let origins = others.filter_map(|other| self.listed.iter().find(|known| known.number == other));
        origins
            .filter(|known| known.state.is_captured())
            .map(|known| &known.name)
            .find(|name| !self.exists(name))
            .cloned()
    }

    fn exists(&self, name: &TableName) -> bool {
        self.plan.tracked.iter().any(|table| table.name == *name)
            || self.plan.skipped.iter().any(|table| table.name == *name)
    }

    fn is_tracked(&self, name: &str) -> bool {
        self.plan.tracked.iter().any(|table| table.name.eq_ignore_ascii_case(name))
    }

    /// Marks tables that are tracked no more, and takes our triggers off tables that they followed by accident.
    fn forget_the_rest(&self, changes: &[TableChange]) -> Result<Vec<TableChange>> {
        for trigger in self.triggers.iter().filter(|trigger| !self.is_tracked(&trigger.table)) {
            // Unless it was made anew under this name meanwhile, on the table that it belongs to.
            let still = "SELECT 1 FROM main.sqlite_master WHERE type = 'trigger' AND name = ?1 AND tbl_name = ?2";
            let found =
                self.connection.query_row(still, params![trigger.name, trigger.table], |_| Ok(())).optional()?;
            if found.is_some() {
                drop_trigger(self.connection, &trigger.name)?;
            }
        }
        let renamed =
            |name: &TableName| changes.iter().any(|change| change.kind == ChangeKind::Renamed { from: name.clone() });
        let mut gone = Vec::new();
        for known in self.listed.iter().filter(|known| known.state.is_captured() && !self.is_tracked(&known.name)) {
            set_state(self.connection, known.number, State::Gone, &known.shape)?;
            let kind = match self.plan.skipped.iter().find(|table| table.name == known.name) {
                Some(table) => ChangeKind::Left { reason: table.reason.clone() },
                None if renamed(&known.name) => continue,
                None => ChangeKind::Dropped,
            };
            gone.push(TableChange { table: known.name.clone(), number: known.number, kind });
        }
        Ok(gone)
    }
}

fn refuse_newer(triggers: &[OwnTrigger]) -> Result<()> {
    let newest = triggers.iter().filter_map(|trigger| capture::version_in(&trigger.sql)).max();
    match newest {
        Some(found) if found > capture::VERSION => Err(Error::NewerRowmesh { found, known: capture::VERSION }),
        _ => Ok(()),
    }
}

fn is_in_order(present: &[&OwnTrigger], expected: &[Trigger]) -> bool {
    let is_there =
        |wanted: &Trigger| present.iter().any(|trigger| trigger.name == wanted.name && trigger.sql == wanted.sql);
    present.len() == expected.len() && expected.iter().all(is_there)
}

fn install(connection: &Connection, present: &[&OwnTrigger], expected: &[Trigger]) -> Result<()> {
    for trigger in present {
        drop_trigger(connection, &trigger.name)?;
    }
    for trigger in expected {
        // One of the same name may have followed a table that was renamed away.
        drop_trigger(connection, &trigger.name)?;
        connection.execute_batch(&trigger.sql)?;
    }
    Ok(())
}

fn drop_trigger(connection: &Connection, name: &str) -> Result<()> {
    Ok(connection.execute_batch(&format!("DROP TRIGGER IF EXISTS main.{}", quote(name)))?)
}

fn new_number(connection: &Connection, name: &TableName) -> Result<TableNumber> {
    connection
        .prepare_cached("INSERT INTO main.rowmesh_tables (name, state, shape) VALUES (?1, 'named', '')")?
        .execute(params![&**name])?;
    Ok(TableNumber(connection.last_insert_rowid()))
}

/// How many columns of a table were ever named, by it or by events.
fn count_columns(connection: &Connection, number: TableNumber) -> Result<usize> {
    let sql = "SELECT count(*) FROM main.rowmesh_columns WHERE t = ?1";
    let count: i64 = connection.prepare_cached(sql)?.query_row([number.0], |row| row.get(0))?;
    Ok(count as usize)
}

/// Writes down which columns a table lacks now.
fn remember_lacked(connection: &Connection, number: TableNumber, table: &TableSchema) -> Result<()> {
    let mut statement = connection.prepare_cached("SELECT name FROM main.rowmesh_columns WHERE t = ?1 ORDER BY ix")?;
    let names = statement.query_map([number.0], |row| Ok(row.get_ref(0)?.as_str()?.into()))?;
    let names: Vec<ColumnName> = names.collect::<rusqlite::Result<_>>()?;
    match lacked::seen(fact(connection, lacked::FACT)?.as_ref(), number, &names, table) {
        Some(said) => Ok(set_fact(connection, lacked::FACT, &said)?),
        None => Ok(()),
    }
}

fn set_state(connection: &Connection, number: TableNumber, state: State, shape: &Shape) -> Result<()> {
    connection
        .prepare_cached(
            "UPDATE main.rowmesh_tables SET state = ?2, shape = ?3 WHERE t = ?1 AND (state, shape) IS NOT (?2, ?3)",
        )?
        .execute(params![number.0, state.word(), shape.to_text()])?;
    Ok(())
}
