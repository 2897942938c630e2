//! The application's triggers at the receiver. None of them fires for our writes, since what they write to tracked tables travels as rows.
//! The exceptions are those that maintain what does not travel, such as full-text indexes: they are *carried*, as TEMP triggers of the
//! daemon's connection, so that they have their effect here exactly once. What the application's own connections run is never touched.

use std::collections::BTreeSet;

use rowmesh_core::value::TableName;
use rowmesh_engine::plan::{self, ApplicationTrigger, Treatment};
use rusqlite::{Connection, ErrorCode, params};

use crate::error::Result;
use crate::sketch::{Sketch, reason};
use crate::sql::{Words, quote};

/// What the names of carried copies begin with; the schema version that they were made for follows.
const COPY_PREFIX: &str = "rowmesh_carried_";

/// The carried copies on one connection.
#[derive(Default)]
pub struct Carried {
    left: BTreeSet<String>,
    judged: Option<Judged>,
    copies: (u32, u32),
}

/// The application's triggers as judged for one schema.
struct Judged {
    version: i64,
    tracked: BTreeSet<TableName>,
    triggers: Vec<(Source, ApplicationTrigger)>,
}

impl Carried {
    /// No copies yet. `left` names triggers that are not to be carried whatever they do.
    pub fn new(left: impl IntoIterator<Item = String>) -> Carried {
        Carried { left: left.into_iter().collect(), ..Carried::default() }
    }

    /// Makes the copies fit the schema as it is now. To be called in each transaction before its first write: an application may have
    /// altered a table a moment ago, and then every write of ours would fail on a stale copy. Costs two short queries when nothing moved;
    /// after the schema moved it is best called outside a transaction first, since judging the triggers takes some milliseconds.
    /// Returns whether copies were made anew.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn refresh(&mut self, connection: &Connection, tracked: &BTreeSet<TableName>) -> Result<bool> {
        let version: i64 = connection.prepare_cached("PRAGMA main.schema_version")?.query_row([], |row| row.get(0))?;
        let fits = |judged: &Judged| judged.version == version && judged.tracked == *tracked;
        let mut judged = match self.judged.take().filter(fits) {
            // A rollback takes copies away again or brings older ones back: their names tell which stand now.
            Some(judged) if standing(connection, version)? == self.copies => {
                self.judged = Some(judged);
                return Ok(false);
            }
            Some(judged) => judged,
            None => Judged { version, tracked: tracked.clone(), triggers: judge_all(connection, tracked, &self.left)? },
        };
        drop_copies(connection)?;
        for (position, index) in reached(&judged.triggers, tracked).into_iter().enumerate() {
            make_copy(connection, version, position, &mut judged.triggers[index])?;
        }
        self.copies = standing(connection, version)?;
        self.judged = Some(judged);
        Ok(true)
    }

    /// The application's triggers and what becomes of each, as of the last refresh.
    pub fn triggers(&self) -> impl Iterator<Item = &ApplicationTrigger> {
        self.judged.iter().flat_map(|judged| &judged.triggers).map(|(_, trigger)| trigger)
    }
}

/// Every trigger of the application that stands on a tracked table, or on a table that a carried one writes, and what becomes of it.
///
/// # Errors
/// If the schema cannot be read.
pub fn survey(
    connection: &Connection,
    tracked: &BTreeSet<TableName>,
    left: &BTreeSet<String>,
) -> Result<Vec<ApplicationTrigger>> {
    let judged = judge_all(connection, tracked, left)?;
    let reached = reached(&judged, tracked);
    let concerns = |(index, (_, trigger)): &(usize, (Source, ApplicationTrigger))| {
        tracked.contains(&trigger.table) || reached.contains(index)
    };
    Ok(judged.into_iter().enumerate().filter(concerns).map(|(_, (_, trigger))| trigger).collect())
}

/// Takes all copies off a connection.
///
/// # Errors
/// If SQLite refuses.
pub fn drop_copies(connection: &Connection) -> Result<()> {
    let names: Vec<String> = connection
        .prepare_cached(
            "SELECT name FROM temp.sqlite_master WHERE type = 'trigger' AND substr(name, 1, length(?1)) = ?1",
        )?
        .query_map(params![COPY_PREFIX], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for name in names {
        // A copy whose table is gone cannot be dropped, and does nothing until the table is back: then it can.
        connection.execute_batch(&format!("DROP TRIGGER IF EXISTS temp.{}", quote(&name)))?;
    }
    Ok(())
}

/// A trigger as the schema holds it, taken apart.
struct Source {
    sql: String,
    head: Head,
}

/// The head of a CREATE TRIGGER statement.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    event: Event,
    /// From the time (BEFORE, AFTER) or the event up to and with ON, in bytes.
    occasion: std::ops::Range<usize>,
    /// Where the rest begins, behind the table's name.
    rest: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Insert,
    Update,
    Delete,
}

/// How many copies stand for a schema version, and how many in all: those of other versions are the ones that cannot be dropped.
fn standing(connection: &Connection, version: i64) -> Result<(u32, u32)> {
    let mut statement = connection.prepare_cached(
        "SELECT count(CASE WHEN substr(name, 1, length(?2)) = ?2 THEN 1 END), count(*)
         FROM temp.sqlite_master WHERE type = 'trigger' AND substr(name, 1, length(?1)) = ?1",
    )?;
    Ok(statement
        .query_row(params![COPY_PREFIX, format!("{COPY_PREFIX}{version}_")], |row| Ok((row.get(0)?, row.get(1)?)))?)
}

fn sources(connection: &Connection) -> Result<Vec<(Source, ApplicationTrigger)>> {
    let mut statement = connection.prepare_cached(
        "SELECT trigger.name, owner.name, trigger.sql
         FROM main.sqlite_master trigger JOIN main.sqlite_master owner
           ON owner.type = 'table' AND owner.name = trigger.tbl_name COLLATE NOCASE
         WHERE trigger.type = 'trigger' AND trigger.name NOT LIKE 'rowmesh\\_%' ESCAPE '\\' AND trigger.sql IS NOT NULL
         ORDER BY trigger.rowid",
    )?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (name, table, sql): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        // Triggers on views have no table under them that we could write.
        if let Some(head) = parse_head(&sql) {
            found.push((
                Source { sql, head },
                ApplicationTrigger { name, table: table.into(), treatment: Treatment::NoEffect },
            ));
        }
    }
    Ok(found)
}

/// Takes the head apart; `None` if it is an INSTEAD OF trigger, or nothing that SQLite would have stored.
fn parse_head(sql: &str) -> Option<Head> {
    let words = Words::of(sql);
    let mut at = words.find("TRIGGER", 0)? + 1;
    if words.is(at, "IF") {
        at += 3;
    }
    at += if words.is(at + 1, ".") { 3 } else { 1 };
    if words.is(at, "INSTEAD") {
        return None;
    }
    let begin = words.start(at);
    at += usize::from(words.is(at, "BEFORE") || words.is(at, "AFTER"));
    let events = [("INSERT", Event::Insert), ("UPDATE", Event::Update), ("DELETE", Event::Delete)];
    let event = events.into_iter().find(|(word, _)| words.is(at, word))?.1;
    let on = words.find("ON", at)?;
    let table = if words.is(on + 2, ".") { on + 3 } else { on + 1 };
    Some(Head { event, occasion: begin..words.end(on), rest: words.end(table) })
}

fn judge_all(
    connection: &Connection,
    tracked: &BTreeSet<TableName>,
    left: &BTreeSet<String>,
) -> Result<Vec<(Source, ApplicationTrigger)>> {
    let mut triggers = sources(connection)?;
    if !triggers.is_empty() {
        let mut sketch = Sketch::of(connection)?;
        for (source, trigger) in &mut triggers {
            trigger.treatment = match left.contains(&trigger.name) {
                true => Treatment::LeftByChoice,
                false => judge(&mut sketch, source, trigger, tracked),
            };
        }
    }
    Ok(triggers)
}

fn judge(
    sketch: &mut Sketch,
    source: &Source,
    trigger: &ApplicationTrigger,
    tracked: &BTreeSet<TableName>,
) -> Treatment {
    if calls_raise(&source.sql) {
        return Treatment::Checks;
    }
    let effects = firing_statement(sketch.connection(), &trigger.table, source.head.event)
        .map_err(|said| reason(&said))
        .and_then(|statement| sketch.effects(&trigger.name, &source.sql, &statement));
    effects.map_or_else(Treatment::CannotRun, |effects| treatment_of(effects.writes, tracked))
}

/// RAISE can fail a statement, or skip a row without a word: either would keep out what another node has accepted.
fn calls_raise(sql: &str) -> bool {
    let words = Words::of(sql);
    (0..words.len()).any(|at| words.is(at, "RAISE") && words.is(at + 1, "("))
}

fn treatment_of(writes: Vec<String>, tracked: &BTreeSet<TableName>) -> Treatment {
    let (travelling, local): (Vec<String>, Vec<String>) =
        writes.into_iter().partition(|table| tracked.contains(table.as_str()));
    match (travelling.is_empty(), local.is_empty()) {
        (true, true) => Treatment::NoEffect,
        (true, false) => Treatment::Carried(local),
        (false, true) => Treatment::TravelsAsRows(travelling),
        (false, false) => Treatment::Mixed { tracked: travelling, untracked: local },
    }
}

fn reached(judged: &[(Source, ApplicationTrigger)], tracked: &BTreeSet<TableName>) -> BTreeSet<usize> {
    plan::reached(judged.iter().map(|(_, trigger)| trigger), tracked)
}

/// Makes one copy and tries it; a copy that cannot run is taken away again and the trigger judged anew.
fn make_copy(
    connection: &Connection,
    version: i64,
    position: usize,
    (source, trigger): &mut (Source, ApplicationTrigger),
) -> Result<()> {
    let name = quote(&format!("{COPY_PREFIX}{version}_{position}"));
    let made = connection.execute_batch(&copy_text(source, &name, &trigger.table));
    let tried = made.and_then(|()| {
        let statement = firing_statement(connection, &trigger.table, source.head.event)?;
        connection.prepare(&statement).map(drop)
    });
    match tried {
        Ok(()) => Ok(()),
        Err(said) if said.sqlite_error_code() == Some(ErrorCode::Unknown) => {
            connection.execute_batch(&format!("DROP TRIGGER IF EXISTS temp.{name}"))?;
            trigger.treatment = Treatment::CannotRun(reason(&said));
            Ok(())
        }
        Err(said) => Err(said.into()),
    }
}

/// The trigger with another name, on the table of the main database. Its body names tables bare, and bare names mean the main database
/// as long as no TEMP table of the same name stands in the way: the daemon's connection makes none but with our own prefix.
fn copy_text(source: &Source, name: &str, table: &str) -> String {
    let (occasion, rest) = (&source.sql[source.head.occasion.clone()], &source.sql[source.head.rest..]);
    format!("CREATE TEMP TRIGGER {name} {occasion} main.{}{rest}", quote(table))
}

/// A statement that fires every trigger for that event, whatever columns it names.
fn firing_statement(connection: &Connection, table: &str, event: Event) -> rusqlite::Result<String> {
    let quoted = quote(table);
    Ok(match event {
        Event::Insert => format!("INSERT INTO main.{quoted} DEFAULT VALUES"),
        Event::Delete => format!("DELETE FROM main.{quoted}"),
        Event::Update => {
            let sets: Vec<String> = connection
                .prepare_cached("SELECT name FROM pragma_table_xinfo(?1, 'main') WHERE hidden = 0")?
                .query_map(params![table], |row| row.get::<_, String>(0))?
                .map(|name| name.map(|name| format!("{0} = {0}", quote(&name))))
                .collect::<rusqlite::Result<_>>()?;
            format!("UPDATE main.{quoted} SET {}", sets.join(", "))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(schema: &str) -> Connection {
        let connection = crate::connection::open_daemon(&crate::connection::Location::Uri(":memory:".into())).unwrap();
        connection.execute_batch(schema).unwrap();
        connection
    }

    fn tables(names: &[&str]) -> BTreeSet<TableName> {
        names.iter().map(|name| TableName::from(*name)).collect()
    }

    fn head_of(sql: &str) -> Option<(Event, String, String)> {
        parse_head(sql).map(|head| (head.event, sql[head.occasion].to_owned(), sql[head.rest..].to_owned()))
    }

    #[test]
    fn heads_of_triggers_are_found_in_every_spelling() {
        let check = |sql: &str, event, occasion: &str, rest: &str| {
            assert_eq!(head_of(sql), Some((event, occasion.to_owned(), rest.to_owned())), "{sql}");
        };
        check(
            "CREATE TRIGGER a AFTER INSERT ON t BEGIN SELECT 1; END",
            Event::Insert,
            "AFTER INSERT ON",
            " BEGIN SELECT 1; END",
        );
        check(
            "create trigger [a b] delete on \"t\"begin SELECT 1; END",
            Event::Delete,
            "delete on",
            "begin SELECT 1; END",
        );
        check(
            "CREATE TRIGGER main.a /* ON x */ BEFORE UPDATE OF \"on\", b ON main.t WHEN 1 BEGIN SELECT 1; END",
            Event::Update,
            "BEFORE UPDATE OF \"on\", b ON",
            " WHEN 1 BEGIN SELECT 1; END",
        );
        check(
            "CREATE TRIGGER IF NOT EXISTS \"BEFORE\" AFTER INSERT ON t FOR EACH ROW BEGIN SELECT 1; END",
            Event::Insert,
            "AFTER INSERT ON",
            " FOR EACH ROW BEGIN SELECT 1; END",
        );
        assert_eq!(head_of("CREATE TRIGGER a INSTEAD OF INSERT ON v BEGIN SELECT 1; END"), None);
    }

    #[test]
    fn what_becomes_of_a_trigger_follows_from_what_it_writes() {
        let connection = database(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a); CREATE TABLE other (a); CREATE TABLE audit (a); CREATE VIEW v AS SELECT * FROM t;
             CREATE TRIGGER a_audit AFTER INSERT ON T BEGIN INSERT INTO audit VALUES (new.a); END;
             CREATE TRIGGER b_total AFTER UPDATE OF a ON t BEGIN UPDATE other SET a = a + 1; END;
             CREATE TRIGGER c_both AFTER DELETE ON t BEGIN DELETE FROM other; INSERT INTO audit VALUES ('raise(no)'); END;
             CREATE TRIGGER d_check BEFORE INSERT ON t WHEN new.a < 0 BEGIN SELECT RAISE (ABORT, 'negative'); END;
             CREATE TRIGGER e_look AFTER INSERT ON t BEGIN SELECT 1; END;
             CREATE TRIGGER g_view INSTEAD OF INSERT ON v BEGIN INSERT INTO audit VALUES (1); END;
             CREATE TRIGGER h_far AFTER INSERT ON other BEGIN INSERT INTO t (a) VALUES (1); END;
             CREATE TRIGGER i_chain AFTER INSERT ON audit BEGIN INSERT INTO other VALUES (1); END;
             CREATE TRIGGER j_left AFTER INSERT ON t BEGIN INSERT INTO audit VALUES (2); END;
             CREATE TRIGGER rowmesh_capture_1_insert AFTER INSERT ON t BEGIN INSERT INTO audit VALUES (3); END;",
        );
        let left = BTreeSet::from(["j_left".to_owned()]);
        let found = survey(&connection, &tables(&["t", "other"]), &left).unwrap();
        let found: Vec<_> =
            found.iter().map(|trigger| (trigger.name.as_str(), &*trigger.table, trigger.treatment.clone())).collect();
        let of = |table: &str| vec![table.to_owned()];
        assert_eq!(
            found,
            [
                ("a_audit", "t", Treatment::Carried(of("audit"))),
                ("b_total", "t", Treatment::TravelsAsRows(of("other"))),
                ("c_both", "t", Treatment::Mixed { tracked: of("other"), untracked: of("audit") }),
                ("d_check", "t", Treatment::Checks),
                ("e_look", "t", Treatment::NoEffect),
                ("h_far", "other", Treatment::TravelsAsRows(of("t"))),
                ("j_left", "t", Treatment::LeftByChoice),
            ]
        );
    }

    #[test]
    fn a_chain_over_untracked_tables_is_carried_whole_and_ends_where_rows_travel() {
        let connection = database(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a); CREATE TABLE log (a); CREATE TABLE count (n); INSERT INTO count VALUES (0);
             CREATE TABLE tracked_too (id INTEGER PRIMARY KEY);
             CREATE TRIGGER one AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.a); END;
             CREATE TRIGGER two AFTER INSERT ON log BEGIN UPDATE count SET n = n + 1; END;
             CREATE TRIGGER three AFTER UPDATE ON count BEGIN INSERT INTO tracked_too VALUES (NULL); END;",
        );
        let tracked = tables(&["t", "tracked_too"]);
        let mut carried = Carried::default();
        assert!(carried.refresh(&connection, &tracked).unwrap());
        connection.execute_batch("INSERT INTO t (a) VALUES ('x'), ('y')").unwrap();
        let counts: (i64, i64, i64) = connection
            .query_row(
                "SELECT (SELECT count(*) FROM log), n, (SELECT count(*) FROM tracked_too) FROM count",
                [],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .unwrap();
        assert_eq!(counts, (2, 2, 0), "log and count exactly once, the tracked table not at all");
        assert!(!carried.refresh(&connection, &tracked).unwrap(), "nothing moved");
    }

    #[test]
    fn a_rollback_that_takes_copies_away_is_noticed() {
        let connection = database(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a); CREATE TABLE log (a);
             CREATE TRIGGER one AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.a); END;",
        );
        let tracked = tables(&["t"]);
        let mut carried = Carried::default();
        let logged = || -> i64 { connection.query_row("SELECT count(*) FROM log", [], |row| row.get(0)).unwrap() };
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        carried.refresh(&connection, &tracked).unwrap();
        connection.execute_batch("ROLLBACK; BEGIN IMMEDIATE").unwrap();
        assert!(carried.refresh(&connection, &tracked).unwrap());
        connection.execute_batch("INSERT INTO t (a) VALUES (1); COMMIT").unwrap();
        assert_eq!(logged(), 1);
        // Copies for a newer schema, rolled back together with nothing else, must not leave the older ones in force.
        connection.execute_batch("DROP TRIGGER one").unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        carried.refresh(&connection, &tracked).unwrap();
        connection.execute_batch("ROLLBACK; BEGIN IMMEDIATE").unwrap();
        carried.refresh(&connection, &tracked).unwrap();
        connection.execute_batch("INSERT INTO t (a) VALUES (2); COMMIT").unwrap();
        assert_eq!(logged(), 1, "the application dropped its trigger");
    }

    #[test]
    fn a_trigger_that_needs_the_applications_own_function_is_listed_and_stands_in_nobodys_way() {
        let connection = database(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a); CREATE TABLE log (a);
             CREATE TRIGGER one AFTER INSERT ON t BEGIN INSERT INTO log VALUES (slug(new.a)); END;
             CREATE TRIGGER two AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.a); END;",
        );
        let mut carried = Carried::default();
        carried.refresh(&connection, &tables(&["t"])).unwrap();
        connection.execute_batch("INSERT INTO t (a) VALUES ('x')").unwrap();
        let logged: String = connection.query_row("SELECT group_concat(a) FROM log", [], |row| row.get(0)).unwrap();
        assert_eq!(logged, "x");
        assert!(carried.triggers().next().unwrap().treatment.reason().contains("no such function: slug"));
    }

    #[test]
    fn a_temp_table_of_the_same_name_would_catch_what_the_copy_writes() {
        let connection = database(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a); CREATE TABLE log (a);
             CREATE TRIGGER one AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.a); END;
             CREATE TEMP TABLE log (a);",
        );
        Carried::default().refresh(&connection, &tables(&["t"])).unwrap();
        connection.execute_batch("INSERT INTO t (a) VALUES (1)").unwrap();
        let count = |table: &str| -> i64 {
            connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
        };
        // Why the daemon's connection must not have TEMP tables with names of the application.
        assert_eq!((count("temp.log"), count("main.log")), (1, 0));
    }
}
