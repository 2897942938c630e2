//! Installs capture into a database and takes it out again: the plan that is shown first, attaching, following the application's schema,
//! detaching. What rows a table held before, and what must be compared after a change of schema, is left to the sealer and `reconcile`.
//! Which sequences deal out numbers in steps is told in `sequences`, and how they are brought into step and back in `strides`.
//!
//! Whoever writes to a table waits while triggers are put on it, and we wait for whoever is writing. So each table is attached in a
//! transaction of its own, which gives way soon and is tried again. A table counts as tracked only when its triggers stand: what is
//! half attached after a failure is harmless, and the next follow goes on with it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rowmesh_core::ident::{Digest, hex};
use rowmesh_core::schema::{KeyKind, TableSchema};
use rowmesh_core::scope::TablePatterns;
use rowmesh_core::value::{ColumnName, TableName, Value};
use rowmesh_engine::changes::{Before, Capture, ChangeKind, Now, TableChange, what_happened};
use rowmesh_engine::lacked;
use rowmesh_engine::plan::{AttachOptions, Dealt, Followed, Numbered, Plan, Remark, UnindexedKey, Untracked};
use rowmesh_engine::registry::TableNumber;
use rowmesh_engine::rules::Rules;
use rowmesh_engine::views::fingerprint;

use crate::capture::{self, Trigger};
use crate::carry::{self, Judged};
use crate::catalog::{Catalog, Tracked};
use crate::connection::Session;
use crate::error::{Error, Result};
use crate::names::{fact, set_fact};
use crate::sql::{literal, qualified, quote, quote_list};
use crate::{sequences, strides};

/// The schema, every table, index and view of ours, for a fresh database and for one that lacks some.
pub const TABLES_SQL: &str = include_str!("tables.sql");

/// How long one try to lock something of the application's lasts: nobody waits longer behind us.
pub(crate) const LOCK_TRY: Duration = Duration::from_millis(25);

/// How often a table is tried, and how long a pause is: half a minute together.
const LOCK_TRIES: usize = 240;
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// Makes the plan. Writes nothing and counts no rows. `home` is the schema whose tables travel under their bare names.
///
/// # Errors
/// If the database cannot be read.
pub fn plan(session: &Session, home: &str, options: &AttachOptions) -> Result<Plan> {
    Ok(survey(session, home, options)?.0)
}

/// The plan, with what only PostgreSQL knows of the tables that are tracked.
fn survey(session: &Session, home: &str, options: &AttachOptions) -> Result<(Plan, Vec<Tracked>, Judged)> {
    refuse_taken_names(session)?;
    let catalog = Catalog::read(session, home, &options.keys)?;
    let known = tracked_names(session)?;
    let rules = Rules { options, mesh: mesh_rules(session)?, known: &known };
    let mut skipped = catalog.untracked;
    let mut tracked = Vec::new();
    for table in catalog.tables {
        match rules.left_out(&table.schema.name) {
            Some((reason, remedy)) => skipped.push(Untracked { name: table.schema.name, code: "", reason, remedy }),
            None => tracked.push(table),
        }
    }
    // What is left out by wish needs no other reason.
    for table in &mut skipped {
        if let Some((reason, remedy)) = rules.left_out(&table.name) {
            (table.code, table.reason, table.remedy) = ("", reason, remedy);
        }
    }
    skipped.sort_by(|a, b| a.name.cmp(&b.name));
    let is_tracked: BTreeSet<TableName> = tracked.iter().map(|table| table.schema.name.clone()).collect();
    let mut remarks: Vec<Remark> =
        catalog.remarks.into_iter().filter(|remark| is_tracked.contains(&remark.table)).collect();
    let numbers = sequences::numbers(session, &tracked)?;
    remarks.extend(tracked.iter().filter_map(|table| remark_on_key(&table.schema, &numbers)));
    remarks.sort_by(|a, b| a.table.cmp(&b.table));
    let judged = carry::survey(session, home, options, &tracked)?;
    let plan = Plan {
        options: options.clone(),
        tracked: tracked.iter().map(|table| table.schema.clone()).collect(),
        skipped,
        remarks,
        advice: advice(session)?,
        triggers: judged.triggers(),
        numbers,
        unindexed: unindexed_keys(session, &tracked)?,
        triggers_added: tracked.iter().map(|table| capture::triggers(TableNumber(0), table).len()).sum::<usize>()
            + judged.copies(),
        tables_added: our_objects().values().filter(|kind| **kind == "table").count(),
        database_bytes: database_bytes(session)?,
        schema_version: catalog.schema_version,
    };
    Ok((plan, tracked, judged))
}

/// Installs what the options say as the schema is now. May be repeated, and replaces triggers of older versions (I13).
///
/// # Errors
/// If the database cannot be written, holds tables where ours belong, or was attached by a newer Rowmesh; and if somebody holds a lock on a
/// table for long: then the tables before it are attached, and repeating it goes on.
pub fn attach(session: &Session, home: &str, options: &AttachOptions) -> Result<Followed> {
    refuse_taken_names(session)?;
    refuse_newer(session)?;
    let capture = if is_attached(session)? { Capture::Left } else { Capture::New };
    if !is_made(session)? {
        in_transaction(session, || {
            session.batch(TABLES_SQL)?;
            set_fact(session, MADE_BY, &Value::Blob(text_hash().as_slice().into()))
        })?;
    }
    follow_now(session, home, options, capture)
}

/// Whether all that `tables.sql` makes is there, and made by that text: running it takes locks for which a vacuum of our tables would have to
/// end first.
fn is_made(session: &Session) -> Result<bool> {
    let mut names: Vec<&str> = our_objects().into_keys().collect();
    names.extend(TABLES_SQL.lines().filter_map(|line| line.split_once(" INDEX IF NOT EXISTS ")?.1.split(' ').next()));
    let sql = "SELECT pg_catalog.bool_and(pg_catalog.to_regclass('rowmesh.' || name) IS NOT NULL) FROM pg_catalog.unnest($1::text[]) AS name";
    if !session.query_one(sql, &[&names])?.get::<_, bool>(0) {
        return Ok(false);
    }
    Ok(matches!(fact(session, MADE_BY)?, Some(Value::Blob(known)) if *known == text_hash()))
}

/// The fact that holds the hash of the text that our tables were made by.
const MADE_BY: &str = "tables";

fn text_hash() -> [u8; 32] {
    Digest::of(TABLES_SQL.as_bytes()).0
}

/// Brings capture in step with the schema as it is now: attaches to new and rebuilt tables, re-makes what vanished, forgets what is gone.
///
/// # Errors
/// As [`attach`], and if the database is not attached.
pub fn follow(session: &Session, home: &str, options: &AttachOptions) -> Result<Followed> {
    refuse_newer(session)?;
    let lost = restore_tables(session)?;
    follow_now(session, home, options, Capture::restored(lost))
}

/// Remembers which tables sync by the mesh's rules and, if they are others than before, brings capture in step with them.
///
/// # Errors
/// As [`follow`].
pub fn follow_mesh(
    session: &Session,
    home: &str,
    options: &AttachOptions,
    rules: &TablePatterns,
) -> Result<Option<Followed>> {
    if mesh_rules(session)?.as_ref() == Some(rules) {
        return Ok(None);
    }
    let lost = restore_tables(session)?;
    set_fact(session, MESH_RULES, &Value::text(&rules.to_rules().join("\n")))?;
    follow_now(session, home, options, Capture::restored(lost)).map(Some)
}

/// Whether capture is installed here, whole or in part.
///
/// # Errors
/// If the database cannot be read.
pub fn is_attached(session: &Session) -> Result<bool> {
    Ok(has_list(session)? || !own_triggers(session)?.is_empty())
}

/// Takes everything of ours out, triggers first, in one transaction: the schema is then what it was before. What else somebody has put into
/// our schema stays, and the schema with it.
///
/// # Errors
/// If the database cannot be written, or somebody holds a lock on a table for long.
pub fn detach(session: &Session) -> Result<()> {
    refuse_others_objects(session)?;
    patiently(session, || {
        for trigger in own_triggers(session)? {
            drop_trigger(session, &trigger)?;
        }
        carry::drop_copies(session)?;
        strides::restore_all(session)?;
        for (kind, name) in installed(session)? {
            match kind.as_str() {
                "function" => session.batch(&format!("DROP FUNCTION rowmesh.{}()", quote(&name)))?,
                "view" | "table" => session.batch(&format!("DROP {kind} rowmesh.{}", quote(&name)))?,
                _ => {}
            }
        }
        let rest = "SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                                    WHERE n.nspname = 'rowmesh')
                        OR EXISTS (SELECT FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
                                    WHERE n.nspname = 'rowmesh')";
        let is_used: bool = session.query_one(rest, &[])?.get(0);
        if is_used { Ok(()) } else { session.batch("DROP SCHEMA IF EXISTS rowmesh") }
    })
}

/// Whose rights do not suffice for all of it is told so before anything is done. A trigger goes with its function, whoever owns the table.
fn refuse_others_objects(session: &Session) -> Result<()> {
    let sql = "SELECT pg_catalog.pg_get_userbyid(owner)::text, current_user::text
                 FROM (SELECT nspowner AS owner FROM pg_catalog.pg_namespace WHERE nspname = 'rowmesh'
                       UNION SELECT p.proowner FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
                              WHERE n.nspname = 'rowmesh' AND p.pronargs = 0
                                AND (pg_catalog.starts_with(p.proname::text, $1) OR pg_catalog.starts_with(p.proname::text, $3))
                       UNION SELECT c.relowner FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                              WHERE n.nspname = 'rowmesh' AND c.relname = ANY ($2)) AS ours
                WHERE NOT pg_catalog.pg_has_role(owner, 'USAGE') LIMIT 1";
    let names: Vec<&str> = our_objects().into_keys().collect();
    match session.query_opt(sql, &[&capture::PREFIX, &names, &carry::PREFIX])? {
        Some(row) => Err(Error::NotOurs { owner: row.get(0), role: row.get(1) }),
        None => Ok(()),
    }
}

/// What of ours stands in a database, as (kind, name), views before the tables that they show: what detaching takes out. Sequences are the
/// application's own, which deal out numbers in steps because of us.
///
/// # Errors
/// If the database cannot be read.
pub fn installed(session: &Session) -> Result<Vec<(String, String)>> {
    let triggers = own_triggers(session)?.into_iter().map(|trigger| ("trigger".to_owned(), trigger.name));
    let mut installed: Vec<(String, String)> = triggers.collect();
    installed.extend(carry::standing(session)?.into_iter().map(|copy| ("trigger".to_owned(), copy.name)));
    let functions = "SELECT p.proname::text FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
                      WHERE n.nspname = 'rowmesh' AND (pg_catalog.starts_with(p.proname::text, $1) OR pg_catalog.starts_with(p.proname::text, $2))
                        AND p.pronargs = 0 ORDER BY 1";
    let functions = session.query(functions, &[&capture::PREFIX, &carry::PREFIX])?;
    installed.extend(functions.iter().map(|row| ("function".to_owned(), row.get(0))));
    installed.extend(strides::in_step(session)?.into_iter().map(|name| ("sequence".to_owned(), name)));
    let ours = our_objects();
    let mut present = relations_present(session)?;
    present.retain(|(kind, name)| ours.get(name.as_str()) == Some(&kind.as_str()));
    // "view" comes after "table" by name, and must go first.
    present.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    installed.extend(present);
    Ok(installed)
}

/// Runs something in a transaction, or nothing of it.
pub(crate) fn in_transaction<T>(session: &Session, run: impl FnOnce() -> Result<T>) -> Result<T> {
    session.begin()?;
    match run() {
        Ok(done) => session.commit().map(|()| done),
        Err(error) => {
            // Of a session that has ended the server has undone it.
            let _ = session.rollback();
            Err(error)
        }
    }
}

/// The same, giving way to whoever holds a lock, again and again.
pub(crate) fn patiently<T>(session: &Session, run: impl Fn() -> Result<T>) -> Result<T> {
    let limit = format!("SET LOCAL lock_timeout = {}", LOCK_TRY.as_millis());
    let mut left = LOCK_TRIES;
    loop {
        let tried = in_transaction(session, || session.batch(&limit).and_then(|()| run()));
        match tried {
            Err(error) if error.is_lock() && left > 0 => {
                left -= 1;
                std::thread::sleep(LOCK_PAUSE);
            }
            other => return other,
        }
    }
}

/// Which tables sync by the mesh's rules, as they were when the roster was last heard; `None` for a database of no mesh.
fn mesh_rules(session: &Session) -> Result<Option<TablePatterns>> {
    if !relations_present(session)?.iter().any(|(_, name)| name == "facts") {
        return Ok(None);
    }
    let rules = fact(session, MESH_RULES)?;
    Ok(rules.as_ref().and_then(Value::as_str).map(|rules| TablePatterns::from_rules(rules.lines())))
}

/// The fact that holds them, one a line.
const MESH_RULES: &str = "mesh tables";

/// Names of the tables that are tracked now.
fn tracked_names(session: &Session) -> Result<BTreeSet<TableName>> {
    if !has_list(session)? {
        return Ok(BTreeSet::new());
    }
    let listed = listed_tables(session)?.into_iter();
    Ok(listed.filter(|table| table.state.is_captured()).map(|table| table.name).collect())
}

fn remark_on_key(table: &TableSchema, numbers: &[Numbered]) -> Option<Remark> {
    let key = |column: &Numbered| column.table == table.name && table.key_names().any(|name| *name == column.column);
    let is_in_steps = numbers.iter().any(|column| key(column) && matches!(column.dealt, Dealt::InSteps(_)));
    (table.key_kind == KeyKind::Generated && !is_in_steps).then(|| Remark {
        table: table.name.clone(),
        text: "has numbers given by the database as its key: two nodes that insert while apart may give the same number to different \
               rows. Both stand on every node, the later one under another number, with what refers to it by a foreign key. UUID or \
               text keys do not have this problem"
            .to_owned(),
    })
}

fn advice(session: &Session) -> Result<Vec<String>> {
    let mut advice = Vec::new();
    let limit: String = session.query_one("SELECT pg_catalog.current_setting('temp_file_limit')", &[])?.get(0);
    if limit != "-1" {
        advice.push(format!(
            "temp_file_limit is {limit}: a statement that changes more rows than fit into it needs that much while its keys are noted"
        ));
    }
    Ok(advice)
}

fn database_bytes(session: &Session) -> Result<u64> {
    let sql = "SELECT pg_catalog.pg_database_size(pg_catalog.current_database())";
    Ok(session.query_one(sql, &[])?.get::<_, i64>(0).unsigned_abs())
}

/// Foreign keys whose columns are not the first ones of any index.
fn unindexed_keys(session: &Session, tables: &[Tracked]) -> Result<Vec<UnindexedKey>> {
    let oids: Vec<u32> = tables.iter().map(|table| table.oid).collect();
    let sql = "SELECT i.indrelid, ARRAY(SELECT COALESCE(a.attname::text, '') FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY k (n, place)
                 LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.n ORDER BY k.place)
                 FROM pg_catalog.pg_index i WHERE i.indrelid = ANY ($1) AND i.indpred IS NULL AND i.indisvalid";
    let mut indexes: BTreeMap<u32, Vec<Vec<String>>> = BTreeMap::new();
    for row in session.query(sql, &[&oids])? {
        indexes.entry(row.get(0)).or_default().push(row.get(1));
    }
    let mut unserved = Vec::new();
    for table in tables {
        for foreign in &table.schema.foreign_keys {
            let columns: Vec<String> =
                foreign.columns.iter().map(|column| table.schema.columns[*column].name.to_string()).collect();
            let serves = |index: &Vec<String>| {
                index.len() >= columns.len() && columns.iter().all(|column| index[..columns.len()].contains(column))
            };
            if !indexes.get(&table.oid).is_some_and(|indexes| indexes.iter().any(serves)) {
                let remedy = format!("CREATE INDEX ON {} ({});", table.sql_name(), quote_list(&columns));
                unserved.push(UnindexedKey { table: table.schema.name.clone(), columns, remedy });
            }
        }
    }
    Ok(unserved)
}

/// Names and kinds of all that `tables.sql` makes in our schema, indexes left out.
fn our_objects() -> BTreeMap<&'static str, &'static str> {
    let named = |line: &'static str| {
        let table = line.strip_prefix("CREATE TABLE IF NOT EXISTS rowmesh.").map(|rest| (rest, "table"));
        let view = line.strip_prefix("CREATE OR REPLACE VIEW rowmesh.").map(|rest| (rest, "view"));
        let (rest, kind) = table.or(view)?;
        Some((rest.split([' ', '(']).next()?, kind))
    };
    TABLES_SQL.lines().filter_map(named).collect()
}

fn relations_present(session: &Session) -> Result<Vec<(String, String)>> {
    let sql =
        "SELECT CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' ELSE c.relkind::text END, c.relname::text
                 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = 'rowmesh' AND c.relkind NOT IN ('i', 'S', 't') ORDER BY 2";
    Ok(session.query(sql, &[])?.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Whether the list of tables is there, as we make it.
fn has_list(session: &Session) -> Result<bool> {
    let sql = "SELECT pg_catalog.count(*) = 4 FROM pg_catalog.pg_attribute a
                WHERE a.attrelid = pg_catalog.to_regclass('rowmesh.tables') AND a.attname IN ('t', 'name', 'state', 'shape')";
    Ok(session.query_one(sql, &[])?.get(0))
}

/// A table of ours is known by its neighbours: where neither the list of tables nor a trigger is, nothing in our schema is ours.
fn refuse_taken_names(session: &Session) -> Result<()> {
    if is_attached(session)? {
        return Ok(());
    }
    let ours = our_objects();
    let present = relations_present(session)?;
    let taken: Vec<String> =
        present.into_iter().map(|(_, name)| name).filter(|name| ours.contains_key(name.as_str())).collect();
    if taken.is_empty() { Ok(()) } else { Err(Error::NamesTaken(taken)) }
}

fn refuse_newer(session: &Session) -> Result<()> {
    let newest = own_triggers(session)?.iter().filter_map(|trigger| capture::version_in(&trigger.body)).max();
    match newest {
        Some(found) if found > capture::VERSION => Err(Error::NewerRowmesh { found, known: capture::VERSION }),
        _ => Ok(()),
    }
}

/// Makes tables of ours anew that someone dropped (I11). Returns whether notes were lost with them.
fn restore_tables(session: &Session) -> Result<bool> {
    if !is_attached(session)? {
        return Err(Error::NotAttached);
    }
    let present: BTreeSet<String> = relations_present(session)?.into_iter().map(|(_, name)| name).collect();
    if our_objects().keys().all(|name| present.contains(*name)) {
        return Ok(false);
    }
    let (dirty, list) = (present.contains("dirty"), present.contains("tables"));
    in_transaction(session, || {
        session.batch(TABLES_SQL)?;
        if !list {
            // The triggers still know which table had which number.
            for trigger in own_triggers(session)? {
                if let (Some(number), false) = (capture::number_in(&trigger.name), trigger.is_on_part) {
                    let sql = "INSERT INTO rowmesh.tables (t, name, state, shape) VALUES ($1, $2, 'tracked', '') ON CONFLICT DO NOTHING";
                    session.execute(sql, &[&number.0, &trigger.place.1])?;
                }
            }
            session.query("SELECT pg_catalog.setval(pg_catalog.pg_get_serial_sequence('rowmesh.tables', 't'), GREATEST(1, (SELECT pg_catalog.max(t) FROM rowmesh.tables)))", &[])?;
        }
        Ok(())
    })?;
    Ok(!dirty || !list)
}

/// A trigger of ours as the catalog holds it. Copies that partitions have of the whole table's are not told.
struct OwnTrigger {
    name: String,
    table: u32,
    place: (String, String),
    is_on_part: bool,
    function: String,
    body: String,
    /// All that tells whether it was touched, and by which transaction.
    looks: String,
}

fn own_triggers(session: &Session) -> Result<Vec<OwnTrigger>> {
    let sql = "SELECT g.tgname::text, g.tgrelid, n.nspname::text, c.relname::text, c.relispartition, p.proname::text, p.prosrc,
                      pg_catalog.concat_ws(' ', g.tgname, g.tgrelid, g.xmin, g.tgtype, g.tgenabled, g.tgoldtable, g.tgnewtable, g.tgqual,
                                           p.oid, p.xmin, p.prosecdef, p.proconfig)
                 FROM pg_catalog.pg_trigger g
                 JOIN pg_catalog.pg_class c ON c.oid = g.tgrelid
                 JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                 JOIN pg_catalog.pg_proc p ON p.oid = g.tgfoid
                WHERE g.tgparentid = 0 AND pg_catalog.starts_with(g.tgname::text, $1)
                  AND p.pronamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'rowmesh')
                ORDER BY g.tgname, g.tgrelid";
    let rows = session.query(sql, &[&capture::TRIGGER_PREFIX])?;
    Ok(rows
        .iter()
        .map(|row| OwnTrigger {
            name: row.get(0),
            table: row.get(1),
            place: (row.get(2), row.get(3)),
            is_on_part: row.get(4),
            function: row.get(5),
            body: row.get(6),
            looks: row.get(7),
        })
        .collect())
}

/// One line of the list of tables.
struct Listed {
    number: TableNumber,
    name: TableName,
    state: State,
    shape: Shape,
    /// How many columns of it were ever named, by it or by events.
    heard_of: usize,
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

/// How a table was when it was last attached to: enough to tell whether it was altered or made anew, or our triggers touched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Shape {
    /// Which table it is, and of which parts it consists.
    root: String,
    /// Hash over its columns, keys and indexes.
    looks: String,
    /// Hash over our triggers on it.
    triggers: String,
    /// How many columns it has.
    columns: usize,
}

impl Shape {
    fn of(table: &Tracked, triggers: &[&OwnTrigger]) -> Shape {
        let mut looks = blake3::Hasher::new();
        looks.update(&fingerprint(&table.schema).0);
        for column in &table.columns {
            looks.update(format!("{} {} {};", column.cast, column.typmod, column.always_identity).as_bytes());
        }
        let mut standing = blake3::Hasher::new();
        for trigger in triggers {
            standing.update(trigger.looks.as_bytes());
        }
        let mut parts: Vec<u32> = table.parts.iter().map(|part| part.oid).collect();
        parts.sort_unstable();
        let root = match parts.as_slice() {
            [] => table.oid.to_string(),
            parts => format!("{}:{}", table.oid, short(&blake3::hash(format!("{parts:?}").as_bytes()))),
        };
        let columns = table.schema.columns.len();
        Shape { root, looks: short(&looks.finalize()), triggers: short(&standing.finalize()), columns }
    }

    fn parse(text: &str) -> Shape {
        let mut words = text.split(' ').map(str::to_owned);
        let mut next = || words.next().unwrap_or_default();
        Shape { root: next(), looks: next(), triggers: next(), columns: next().parse().unwrap_or_default() }
    }

    fn to_text(&self) -> String {
        format!("{} {} {} {}", self.root, self.looks, self.triggers, self.columns)
    }
}

fn short(hash: &blake3::Hash) -> String {
    hex(&hash.as_bytes()[..16])
}

fn listed_tables(session: &Session) -> Result<Vec<Listed>> {
    let sql = "SELECT t, name, state, shape, (SELECT count(*) FROM rowmesh.columns c WHERE c.t = tables.t) FROM rowmesh.tables ORDER BY t";
    let rows = session.query(sql, &[])?;
    let listed = rows.iter().map(|row| Listed {
        number: TableNumber(row.get(0)),
        name: row.get::<_, &str>(1).into(),
        state: State::of_word(row.get(2)),
        shape: Shape::parse(row.get(3)),
        heard_of: row.get::<_, i64>(4) as usize,
    });
    Ok(listed.collect())
}

fn follow_now(session: &Session, home: &str, options: &AttachOptions, capture: Capture) -> Result<Followed> {
    let (plan, tables, judged) = survey(session, home, options)?;
    let (triggers, listed) = (own_triggers(session)?, listed_tables(session)?);
    let found = Found { session, plan: &plan, tables: &tables, triggers, listed, capture };
    let mut changes = Vec::new();
    for table in &tables {
        changes.extend(found.follow_table(table)?);
    }
    changes.extend(found.forget_the_rest(&changes)?);
    carry::refresh(session, &judged)?;
    // What somebody else altered since the plan was made is not followed: then the version stays that of the plan.
    let ours_alone = survey(session, home, options)?;
    let is_same = ours_alone.1 == tables;
    let schema_version = if is_same { ours_alone.0.schema_version } else { plan.schema_version };
    Ok(Followed { changes, plan, schema_version })
}

/// What stands in the database before anything is done about it.
struct Found<'a> {
    session: &'a Session,
    plan: &'a Plan,
    tables: &'a [Tracked],
    triggers: Vec<OwnTrigger>,
    listed: Vec<Listed>,
    capture: Capture,
}

impl Found<'_> {
    /// Puts one table in order, and tells what had happened to it.
    fn follow_table(&self, table: &Tracked) -> Result<Option<TableChange>> {
        let known = self.listed.iter().find(|known| known.name == table.schema.name);
        let number = match known {
            Some(known) => known.number,
            None => new_number(self.session, &table.schema.name)?,
        };
        let here = standing_on(&self.triggers, table);
        let (shape, expected) = (Shape::of(table, &here), capture::triggers(number, table));
        let same_text = is_as_expected(&here, &expected);
        let before = known.filter(|known| known.state != State::Named).map(|known| Before {
            gone: known.state == State::Gone,
            unsure: known.state == State::Unsure && self.capture == Capture::Left,
            same_root: known.shape.root == shape.root,
            same_looks: known.shape.looks == shape.looks,
            lacked_columns: known.shape.columns < known.heard_of,
        });
        let now = Now {
            own_triggers: here.iter().filter(|trigger| capture::number_in(&trigger.name) == Some(number)).count(),
            triggers_expected: expected.len(),
            in_order: same_text && known.is_some_and(|known| known.shape.triggers == shape.triggers),
            older_version: here
                .iter()
                .any(|trigger| capture::version_in(&trigger.body).is_some_and(|version| version != capture::VERSION)),
            came_from: self.origin_of(&here, number),
            notes_lost: self.capture == Capture::NotesLost,
        };
        let kind = what_happened(before, &now);
        let state = self.state_after(kind.as_ref(), known);
        let is_listed = known.is_some_and(|known| known.state == state && known.shape == shape);
        // Before the schema counts as followed: who is cut short in between finds the table altered again.
        if before.is_some_and(|before| !before.same_looks) {
            remember_lacked(self.session, number, &table.schema)?;
        }
        if !now.in_order {
            patiently(self.session, || {
                install(self.session, table, &here, &expected)?;
                let standing = own_triggers(self.session)?;
                set_state(self.session, number, state, &Shape::of(table, &standing_on(&standing, table)))
            })?;
        } else if !is_listed {
            set_state(self.session, number, state, &shape)?;
        }
        Ok(kind.map(|kind| TableChange { table: table.schema.name.clone(), number, kind }))
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
        self.is_tracked(name) || self.plan.skipped.iter().any(|table| table.name == *name)
    }

    fn is_tracked(&self, name: &TableName) -> bool {
        self.tables.iter().any(|table| table.schema.name == *name)
    }

    /// Marks tables that are tracked no more, takes our triggers off what is no part of a tracked table, and drops functions without trigger.
    fn forget_the_rest(&self, changes: &[TableChange]) -> Result<Vec<TableChange>> {
        let belongs = |trigger: &OwnTrigger| self.tables.iter().any(|table| is_on(trigger, table));
        for trigger in own_triggers(self.session)?.iter().filter(|trigger| !belongs(trigger)) {
            patiently(self.session, || drop_trigger(self.session, trigger))?;
        }
        let standing: BTreeSet<String> =
            own_triggers(self.session)?.into_iter().map(|trigger| trigger.function).collect();
        let is_ours = |name: &str| name.starts_with(capture::PREFIX);
        for (kind, name) in installed(self.session)? {
            if kind == "function" && is_ours(&name) && !standing.contains(&name) {
                self.session.batch(&format!("DROP FUNCTION IF EXISTS rowmesh.{}()", quote(&name)))?;
            }
        }
        let renamed =
            |name: &TableName| changes.iter().any(|change| change.kind == ChangeKind::Renamed { from: name.clone() });
        let mut gone = Vec::new();
        for known in self.listed.iter().filter(|known| known.state.is_captured() && !self.is_tracked(&known.name)) {
            set_state(self.session, known.number, State::Gone, &known.shape)?;
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

fn standing_on<'t>(triggers: &'t [OwnTrigger], table: &Tracked) -> Vec<&'t OwnTrigger> {
    triggers.iter().filter(|trigger| is_on(trigger, table)).collect()
}

fn is_on(trigger: &OwnTrigger, table: &Tracked) -> bool {
    trigger.table == table.oid || table.parts.iter().any(|part| part.oid == trigger.table)
}

/// Whether just these triggers stand, each with the function that it should have.
fn is_as_expected(present: &[&OwnTrigger], expected: &[Trigger]) -> bool {
    let is_there = |wanted: &Trigger| {
        present.iter().any(|trigger| {
            trigger.name == wanted.name
                && trigger.place == wanted.on
                && trigger.function == wanted.function
                && trigger.body == wanted.body
        })
    };
    present.len() == expected.len() && expected.iter().all(is_there)
}

/// Replaces what is there: that locks out writers, and only what has another name must be dropped, which locks out readers too.
fn install(session: &Session, table: &Tracked, present: &[&OwnTrigger], expected: &[Trigger]) -> Result<()> {
    session.batch(&format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", table.sql_name()))?;
    let is_stale = |trigger: &&&OwnTrigger| {
        !expected.iter().any(|wanted| wanted.name == trigger.name && wanted.on == trigger.place)
    };
    for trigger in present.iter().filter(is_stale) {
        drop_trigger(session, trigger)?;
    }
    let owns = may_alter(session, table.oid)?;
    let mut statements = String::new();
    for trigger in expected {
        let replacing = trigger.sql.replacen("CREATE TRIGGER", "CREATE OR REPLACE TRIGGER", 1);
        statements += &format!(
            "{};\nREVOKE ALL ON FUNCTION rowmesh.{function}() FROM PUBLIC;\n{replacing};\n",
            trigger.function_sql,
            function = trigger.function
        );
        if owns {
            let (on, name) = (qualified(&trigger.on.0, &trigger.on.1), &trigger.name);
            statements += &format!("ALTER TABLE {on} ENABLE ALWAYS TRIGGER {name};\n");
        }
    }
    session.batch(&statements)
}

/// Only a table's owner may say that a trigger fires for writers in the replica role too. What such writers do in tables of others is found
/// by reconciling.
pub(crate) fn may_alter(session: &Session, table: u32) -> Result<bool> {
    let sql = "SELECT pg_catalog.pg_has_role(relowner, 'USAGE') FROM pg_catalog.pg_class WHERE oid = $1";
    Ok(session.query_opt(sql, &[&table])?.is_some_and(|row| row.get(0)))
}

fn drop_trigger(session: &Session, trigger: &OwnTrigger) -> Result<()> {
    drop_trigger_on(session, trigger.table, &trigger.place, &trigger.name, &trigger.function)
}

/// Only a table's owner may drop a trigger; whose function is dropped loses it as well, whoever owns the table.
pub(crate) fn drop_trigger_on(
    session: &Session,
    table: u32,
    place: &(String, String),
    name: &str,
    function: &str,
) -> Result<()> {
    if may_alter(session, table)? {
        return session.batch(&format!("DROP TRIGGER IF EXISTS {} ON {}", quote(name), qualified(&place.0, &place.1)));
    }
    session.batch(&format!("DROP FUNCTION IF EXISTS rowmesh.{}() CASCADE", quote(function)))
}

fn new_number(session: &Session, name: &TableName) -> Result<TableNumber> {
    let sql =
        format!("INSERT INTO rowmesh.tables (name, state, shape) VALUES ({}, 'named', '') RETURNING t", literal(name));
    Ok(TableNumber(session.query_one(&sql, &[])?.get(0)))
}

/// Writes down which columns a table lacks now.
fn remember_lacked(session: &Session, number: TableNumber, table: &TableSchema) -> Result<()> {
    let rows = session.query("SELECT name FROM rowmesh.columns WHERE t = $1 ORDER BY ix", &[&number.0])?;
    let names: Vec<ColumnName> = rows.iter().map(|row| row.get::<_, &str>(0).into()).collect();
    match lacked::seen(fact(session, lacked::FACT)?.as_ref(), number, &names, table) {
        Some(said) => set_fact(session, lacked::FACT, &said),
        None => Ok(()),
    }
}

fn set_state(session: &Session, number: TableNumber, state: State, shape: &Shape) -> Result<()> {
    let sql =
        "UPDATE rowmesh.tables SET state = $2, shape = $3 WHERE t = $1 AND (state, shape) IS DISTINCT FROM ($2, $3)";
    session.execute(sql, &[&number.0, &state.word(), &shape.to_text()])?;
    Ok(())
}
