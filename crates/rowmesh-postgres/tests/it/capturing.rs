//! What is noted of what an application does, and that nothing it does goes another way because of it.

use std::fmt::Write as _;

use rowmesh_engine::plan::{AttachOptions, DeclaredKeys};
use rowmesh_engine::registry::TableNumber;
use rowmesh_postgres::attach::{attach, follow};
use rowmesh_postgres::capture::{notes, triggers};
use rowmesh_postgres::catalog::Catalog;
use rowmesh_postgres::connection::Session;

use crate::cluster::{Database, has, has_since};

/// Operation and key of every note about a table, sorted, each once, and the notes are gone.
pub fn noted(session: &Session, table: &str) -> Vec<String> {
    let sql = "SELECT t.t, (SELECT count(*) FROM pg_index i, unnest(i.indkey::int2[]) WHERE i.indrelid = to_regclass($2) AND i.indisprimary)
               FROM rowmesh.tables t WHERE t.name = $1";
    let place = if table.contains('.') { table.to_owned() } else { format!("public.{table}") };
    let row = session.query_one(sql, &[&table, &place]).unwrap();
    let (number, width): (i64, i64) = (row.get(0), row.get(1));
    let width = width.max(1) as usize;
    let mut told: Vec<String> = (session.query(&notes(TableNumber(number), width), &[]).unwrap().iter())
        .map(|row| {
            let key: Vec<String> = (3..3 + width)
                .map(|column| row.get::<_, Option<String>>(column).unwrap_or_else(|| "NULL".to_owned()))
                .collect();
            let op = ["?", "insert", "update", "delete", "rekey", "truncate"][row.get::<_, i16>(1) as usize];
            format!("{op} {}", key.join(","))
        })
        .collect();
    told.sort();
    told.dedup();
    session.execute("DELETE FROM rowmesh.dirty WHERE t = $1", &[&(number as i32)]).unwrap();
    told
}

/// A database with these tables, attached; sessions of the application are opened anew.
pub fn attached(schema: &str) -> (Database, Session) {
    let database = Database::new();
    let session = database.session();
    session.batch(schema).unwrap();
    attach(&session, "public", &AttachOptions::default()).unwrap();
    (database, session)
}

fn check(schema: &str, statements: &str, table: &str, expected: &[&str]) {
    let (_database, session) = attached(schema);
    session.batch(statements).unwrap();
    assert_eq!(noted(&session, table), expected, "{statements}");
}

const T: &str = "CREATE TABLE public.t (id int PRIMARY KEY, name text, n int)";

#[test]
fn every_kind_of_write_is_noted_by_key() {
    check(T, "INSERT INTO public.t VALUES (1, 'a'), (2, 'b')", "t", &["insert 1", "insert 2"]);
    let rows = "INSERT INTO public.t SELECT i, 'x' FROM generate_series(1, 3) i; DELETE FROM rowmesh.dirty; ";
    check(T, &format!("{rows} UPDATE public.t SET name = 'y' WHERE id = 2"), "t", &["update 2"]);
    check(T, &format!("{rows} UPDATE public.t SET name = 'y'"), "t", &["update 1", "update 2", "update 3"]);
    check(T, &format!("{rows} UPDATE public.t SET name = 'y' WHERE id = 9"), "t", &[]);
    check(T, &format!("{rows} DELETE FROM public.t WHERE id < 3"), "t", &["delete 1", "delete 2"]);
    check(T, &format!("{rows} TRUNCATE public.t"), "t", &["truncate NULL"]);
}

#[test]
fn an_update_that_moves_a_key_notes_the_old_one_too() {
    let rows = "INSERT INTO public.t SELECT i, 'x' FROM generate_series(1, 300) i; DELETE FROM rowmesh.dirty; ";
    check(T, &format!("{rows} UPDATE public.t SET id = 1000 WHERE id = 7"), "t", &["rekey 7", "update 1000"]);
    let (_database, session) = attached(T);
    session.batch(&format!("{rows} UPDATE public.t SET id = id - 1000")).unwrap();
    let told = noted(&session, "t");
    for id in 1..=300 {
        assert!(told.contains(&format!("update {}", id - 1000)), "{id}");
        assert!(told.contains(&format!("rekey {id}")), "{id}");
    }
}

#[test]
fn a7_copy_and_bulk_statements_note_every_row_once() {
    let (_database, session) = attached(T);
    let lines: String = (0..5000).map(|id| format!("{id}\tname\t\\N\n")).collect();
    session.copy_in("COPY public.t FROM STDIN", std::iter::once(lines.into())).unwrap();
    for (statement, op) in [("", "insert"), ("UPDATE public.t SET n = 1", "update"), ("DELETE FROM public.t", "delete")]
    {
        if !statement.is_empty() {
            session.batch(statement).unwrap();
        }
        let mut expected: Vec<String> = (0..5000).map(|id| format!("{op} {id}")).collect();
        expected.sort();
        assert_eq!(noted(&session, "t"), expected);
    }
}

#[test]
fn a8_upserts_and_merges_note_their_net_effect() {
    let rows = "INSERT INTO public.t VALUES (1, 'a'); DELETE FROM rowmesh.dirty; ";
    let upsert = "INSERT INTO public.t VALUES (1, 'b'), (2, 'c') ON CONFLICT (id) DO UPDATE SET name = excluded.name";
    check(T, &format!("{rows}{upsert}"), "t", &["insert 2", "update 1"]);
    let nothing = "INSERT INTO public.t VALUES (1, 'b') ON CONFLICT DO NOTHING";
    check(T, &format!("{rows}{nothing}"), "t", &[]);
    if has_since(15, "MERGE") {
        let merge = "MERGE INTO public.t USING (VALUES (1), (5)) s (id) ON t.id = s.id
                     WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (id) VALUES (s.id)";
        check(T, &format!("{rows}{merge}"), "t", &["delete 1", "insert 5"]);
    }
}

#[test]
fn e5_cascades_and_truncate_cascade_are_noted_in_every_table() {
    let schema = "CREATE TABLE public.p (id int PRIMARY KEY);
        CREATE TABLE public.c (id int PRIMARY KEY, p int REFERENCES public.p ON DELETE CASCADE ON UPDATE CASCADE);
        CREATE TABLE public.s (id int PRIMARY KEY, p int REFERENCES public.p ON DELETE SET NULL)";
    let (database, session) = attached(schema);
    let app = application(&database);
    app.batch("INSERT INTO public.p VALUES (1), (2); INSERT INTO public.c VALUES (10, 1); INSERT INTO public.s VALUES (20, 1)").unwrap();
    session.batch("DELETE FROM rowmesh.dirty").unwrap();
    app.batch("UPDATE public.p SET id = 3 WHERE id = 1").unwrap_err();
    app.batch("UPDATE public.s SET p = NULL; UPDATE public.p SET id = 3 WHERE id = 1; UPDATE public.s SET p = 3")
        .unwrap();
    assert_eq!(noted(&session, "c"), ["update 10"]);
    assert_eq!(noted(&session, "p"), ["rekey 1", "update 3"]);
    session.batch("DELETE FROM rowmesh.dirty").unwrap();
    app.batch("DELETE FROM public.p WHERE id = 3").unwrap();
    assert_eq!(
        (noted(&session, "c"), noted(&session, "s")),
        (vec!["delete 10".to_owned()], vec!["update 20".to_owned()])
    );
    session.batch("DELETE FROM rowmesh.dirty").unwrap();
    app.batch("TRUNCATE public.p CASCADE").unwrap();
    for table in ["p", "c", "s"] {
        assert_eq!(noted(&session, table), ["truncate NULL"], "a6 {table}");
    }
}

/// A session whose writes fire all triggers.
fn application(database: &Database) -> Session {
    let session = database.session();
    session.batch("SET session_replication_role = origin").unwrap();
    session
}

#[test]
fn a15_no_setting_of_a_session_hides_a_write() {
    let (database, session) = attached(T);
    let app = database.session();
    for (id, setting) in
        ["session_replication_role = replica", "application_name = 'rowmesh'", "search_path = ''"].iter().enumerate()
    {
        app.batch(&format!("SET {setting}; INSERT INTO public.t VALUES ({id})")).unwrap();
        assert_eq!(noted(&session, "t"), [format!("insert {id}")], "{setting}");
    }
}

#[test]
fn a14_a_role_without_rights_writes_and_is_noted_whatever_hides_in_its_search_path() {
    let schema = "CREATE TABLE public.t (id int PRIMARY KEY, name text, n int);
        CREATE SCHEMA evil;
        CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''ours''; END';
        CREATE FUNCTION evil.array_agg(text) RETURNS text[] LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''ours''; END';
        CREATE FUNCTION evil.no(bigint, integer) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''ours''; END';
        CREATE FUNCTION evil.no(text[], text[]) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''ours''; END';
        CREATE OPERATOR evil.= (LEFTARG = bigint, RIGHTARG = integer, FUNCTION = evil.no);
        CREATE OPERATOR evil.= (LEFTARG = text[], RIGHTARG = text[], FUNCTION = evil.no);
        CREATE OPERATOR evil.<> (LEFTARG = text[], RIGHTARG = text[], FUNCTION = evil.no);
        CREATE TYPE evil.text AS ENUM ('x');
        CREATE TABLE evil.rowmesh_new (id int);
        CREATE TABLE evil.dirty (t int, op int, at timestamptz, k text[], was text[])";
    let (database, session) = attached(schema);
    let role = database.role("app");
    session
        .batch(&format!("GRANT USAGE ON SCHEMA public, evil TO \"{role}\"; GRANT ALL ON public.t TO \"{role}\""))
        .unwrap();
    let app = Session::open(&database.location().as_user(role)).unwrap();
    app.batch("SET search_path = evil, pg_catalog; CREATE TEMP TABLE rowmesh_old (id int)").unwrap();
    app.batch("INSERT INTO public.t SELECT pg_catalog.generate_series(1, 200)").unwrap();
    assert_eq!(noted(&session, "t").len(), 200);
    app.batch("UPDATE public.t SET n = 1 WHERE id = 7; UPDATE public.t SET n = 2; DELETE FROM public.t").unwrap();
    assert_eq!(noted(&session, "t").len(), 400);
    app.query("SELECT * FROM rowmesh.dirty", &[]).unwrap_err();
    app.query("SELECT rowmesh.capture_1_insert()", &[]).unwrap_err();
}

#[test]
fn a_key_column_that_was_renamed_dropped_or_retyped_fails_no_statement() {
    let (database, session) = attached("CREATE TABLE public.t (a text, id int PRIMARY KEY, found text)");
    let app = application(&database);
    app.batch("INSERT INTO public.t (id) VALUES (1)").unwrap();
    let alterations = [
        "ALTER TABLE public.t DROP COLUMN a",
        "ALTER TABLE public.t ALTER COLUMN id TYPE bigint",
        "ALTER TABLE public.t RENAME COLUMN id TO number",
        "ALTER TABLE public.t DROP COLUMN number",
        "ALTER TABLE public.t ADD COLUMN id uuid DEFAULT gen_random_uuid()",
    ];
    for (step, alteration) in alterations.iter().enumerate() {
        session.batch(alteration).unwrap();
        // A session that has run the function before, and one that has not.
        for app in [&app, &application(&database)] {
            app.batch("INSERT INTO public.t DEFAULT VALUES; DELETE FROM public.t").unwrap_or_else(|error| {
                assert!(step == 0 || step == 1 || step == 2, "{alteration}: {error:?}");
                app.batch("INSERT INTO public.t VALUES (5); UPDATE public.t SET found = 'x'; DELETE FROM public.t")
                    .unwrap();
            });
            app.batch("UPDATE public.t SET found = 'y'").unwrap();
        }
        assert!(session.query("SELECT 1 FROM rowmesh.dirty", &[]).unwrap().len() > 1, "{alteration}");
    }
}

#[test]
fn a11_a12_a_row_that_moves_between_partitions_keeps_its_key_and_writes_to_a_partition_are_noted() {
    let schema =
        "CREATE TABLE public.t (id int, region text, n int, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
        CREATE TABLE public.t_a PARTITION OF public.t FOR VALUES IN ('a');
        CREATE TABLE public.t_b (n int, region text NOT NULL, id int NOT NULL);
        ALTER TABLE public.t ATTACH PARTITION public.t_b FOR VALUES IN ('b')";
    let (database, session) = attached(schema);
    let app = application(&database);
    app.batch("INSERT INTO public.t VALUES (1, 'a'); INSERT INTO public.t_b (id, region) VALUES (2, 'b')").unwrap();
    assert_eq!(noted(&session, "t"), ["insert 1,a", "insert 2,b"]);
    app.batch("UPDATE public.t SET region = 'b' WHERE id = 1").unwrap();
    assert_eq!(noted(&session, "t"), ["delete 1,a", "insert 1,b"]);
    app.batch("UPDATE public.t_b SET n = 5, id = 3 WHERE id = 2").unwrap();
    assert_eq!(noted(&session, "t"), ["rekey 2,b", "update 3,b"]);
    session.batch("CREATE TABLE public.t_c PARTITION OF public.t FOR VALUES IN ('c')").unwrap();
    app.batch("SET session_replication_role = replica; INSERT INTO public.t_c VALUES (9, 'c')").unwrap();
    assert_eq!(noted(&session, "t"), ["insert 9,c"]);
    app.batch("TRUNCATE public.t_b").unwrap();
    assert_eq!(noted(&session, "t"), ["truncate NULL,NULL"], "a6");
    let followed = follow(&session, "public", &AttachOptions::default()).unwrap();
    assert_eq!(followed.changes.len(), 1, "a12: {:?}", followed.changes);
    assert!(followed.changes[0].needs_reconcile());
    app.batch("TRUNCATE public.t_c").unwrap();
    assert_eq!(noted(&session, "t"), ["truncate NULL,NULL"]);
}

#[test]
fn a9_a10_what_triggers_of_the_application_write_is_noted_in_any_order() {
    let schema = "CREATE TABLE public.t (id int PRIMARY KEY, n int);
        CREATE TABLE public.log (id serial PRIMARY KEY, t int);
        CREATE FUNCTION public.before() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.id := NEW.id + 100; RETURN NEW; END';
        CREATE FUNCTION public.after() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.log (t) VALUES (NEW.id);
            UPDATE public.t SET n = 0 WHERE id = NEW.id AND n > 0; RETURN NULL; END';
        CREATE TRIGGER zz BEFORE UPDATE ON public.t FOR EACH ROW WHEN (NEW.n = 7) EXECUTE FUNCTION public.before();
        CREATE TRIGGER aa AFTER INSERT OR UPDATE ON public.t FOR EACH ROW EXECUTE FUNCTION public.after()";
    let (database, session) = attached(schema);
    let app = application(&database);
    app.batch("INSERT INTO public.t VALUES (1, 5)").unwrap();
    assert_eq!(noted(&session, "t"), ["insert 1", "update 1"]);
    assert_eq!(noted(&session, "log"), ["insert 1", "insert 2"]);
    app.batch("UPDATE public.t SET n = 7").unwrap();
    assert_eq!(noted(&session, "t"), ["rekey 1", "update 101"]);
}

#[test]
fn a16_savepoints_prepared_and_serializable_transactions_note_what_they_commit() {
    let (database, session) = attached(T);
    let (app, other) = (application(&database), application(&database));
    app.batch("BEGIN; INSERT INTO public.t VALUES (1); SAVEPOINT s; INSERT INTO public.t VALUES (2); ROLLBACK TO s; INSERT INTO public.t VALUES (3); COMMIT").unwrap();
    assert_eq!(noted(&session, "t"), ["insert 1", "insert 3"]);
    app.batch("BEGIN; UPDATE public.t SET n = 1 WHERE id = 1; PREPARE TRANSACTION 'p'").unwrap();
    assert_eq!(noted(&session, "t"), [] as [&str; 0]);
    other.batch("COMMIT PREPARED 'p'").unwrap();
    assert_eq!(noted(&session, "t"), ["update 1"]);
    for app in [&app, &other] {
        app.batch("BEGIN ISOLATION LEVEL SERIALIZABLE").unwrap();
    }
    app.batch("UPDATE public.t SET n = 2 WHERE id = 1").unwrap();
    other.batch("UPDATE public.t SET n = 2 WHERE id = 3").unwrap();
    // Notes are read by us while both are under way.
    session.query("SELECT * FROM rowmesh.dirty", &[]).unwrap();
    app.batch("COMMIT").unwrap();
    other.batch("COMMIT").unwrap();
    assert_eq!(noted(&session, "t"), ["update 1", "update 3"]);
}

#[test]
fn a13_keys_of_every_kind_are_noted_alike_whatever_a_session_shows() {
    let schema =
        "CREATE TABLE public.t (a timestamptz, b float8, c bytea, d interval, e date, PRIMARY KEY (a, b, c, d, e))";
    let (database, session) = attached(schema);
    let app = application(&database);
    app.batch(
        "SET DateStyle = 'German'; SET TimeZone = 'Asia/Kathmandu'; SET extra_float_digits = -10; SET bytea_output = 'escape';
         SET IntervalStyle = 'sql_standard';
         INSERT INTO public.t VALUES ('2024-03-31 02:30:00.123456+00', 0.1::float8 + 0.2, '\\x00ff', '1 year -3 days 04:05:06', '1.2.0044 BC'),
                                     ('infinity', 'NaN', '', '0', '-infinity')",
    )
    .unwrap();
    let expected = [
        "insert 2024-03-31 02:30:00.123456+00,0.30000000000000004,\\x00ff,1 year -3 days +04:05:06,0044-02-01 BC",
        "insert infinity,NaN,\\x,00:00:00,-infinity",
    ];
    assert_eq!(noted(&session, "t"), expected);
}

#[test]
fn a19_a_value_or_a_key_of_any_size_is_noted() {
    let (_database, session) = attached("CREATE TABLE public.t (id text PRIMARY KEY, body text)");
    session.batch("INSERT INTO public.t VALUES (repeat('k', 200000), repeat('x', 60000000))").unwrap();
    session.batch("INSERT INTO public.t SELECT i || repeat('k', 200000) FROM generate_series(1, 100) i; UPDATE public.t SET body = ''").unwrap();
    assert_eq!(noted(&session, "t").len(), 202);
}

/// Statements and what the server says to each, run by the application.
fn answers(session: &Session, statements: &[String]) -> Vec<String> {
    (statements.iter())
        .map(|statement| match session.query(&format!("WITH r AS MATERIALIZED (SELECT 1) {statement}"), &[]) {
            Ok(rows) => {
                format!("{} rows: {:?}", rows.len(), rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>())
            }
            Err(error) => format!("{:?}", error.sqlstate()),
        })
        .collect()
}

#[test]
fn o13_statements_have_the_same_results_with_and_without_capture() {
    let schema = "CREATE TABLE public.p (id int PRIMARY KEY, name text UNIQUE, n int CHECK (n >= 0));
        CREATE TABLE public.c (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, p int NOT NULL REFERENCES public.p ON DELETE CASCADE DEFERRABLE);
        CREATE VIEW public.v AS SELECT * FROM public.p;
        CREATE TABLE public.t (\"select\" text, \"Ünï \"\"x\" int, PRIMARY KEY (\"select\", \"Ünï \"\"x\"))";
    let statements: Vec<String> = [
        "INSERT INTO public.p VALUES (1, 'a', 1), (2, 'b', 2) RETURNING id::text",
        "INSERT INTO public.p VALUES (1, 'c', 1) RETURNING id::text",
        "INSERT INTO public.p VALUES (3, 'c', -1) RETURNING id::text",
        "INSERT INTO public.p VALUES (1, 'z', 1), (4, 'd', 1) ON CONFLICT (id) DO UPDATE SET name = excluded.name RETURNING name || (xmax = 0)",
        "INSERT INTO public.p VALUES (4, 'q', 1) ON CONFLICT DO NOTHING RETURNING id::text",
        "INSERT INTO public.v VALUES (7, 'v', 1) RETURNING id::text",
        "INSERT INTO public.c (p) VALUES (1), (2) RETURNING id::text",
        "INSERT INTO public.c (p) VALUES (99) RETURNING id::text",
        "INSERT INTO public.c (id, p) VALUES (5, 1) RETURNING id::text",
        "UPDATE public.p SET n = n + 1 RETURNING n::text",
        "UPDATE public.p SET name = 'b' WHERE id = 1 RETURNING n::text",
        "UPDATE public.p SET id = id + 1 WHERE id = 7 RETURNING id::text",
        "UPDATE public.p SET n = 1 / (n - 2) RETURNING n::text",
        "DELETE FROM public.p WHERE id = 2 RETURNING name",
        "INSERT INTO public.t SELECT 'k' || i, i FROM generate_series(1, 100) i RETURNING \"select\"",
        "UPDATE public.t SET \"select\" = 'x' || \"select\" RETURNING \"select\"",
        "DELETE FROM public.t RETURNING \"select\"",
        "SELECT string_agg(id::text, ',' ORDER BY id) FROM public.c",
        "SELECT lastval()::text",
    ]
    .map(str::to_owned)
    .into();
    let (with, _) = attached(schema);
    let without = Database::new();
    without.session().batch(schema).unwrap();
    let [with, without] = [&with, &without].map(|database| answers(&application(database), &statements));
    assert_eq!(with, without);
    assert!(with.iter().filter(|answer| answer.contains("rows")).count() > 12, "{with:#?}");
}

#[test]
fn the_text_of_functions_and_triggers_is_as_it_was() {
    let database = Database::new();
    let session = database.session();
    let schema = "CREATE TABLE public.t (id int PRIMARY KEY);
        CREATE TABLE public.\"P\" (a date, \"b \"\"\" text, PRIMARY KEY (a, \"b \"\"\")) PARTITION BY RANGE (a);
        CREATE TABLE public.part PARTITION OF public.\"P\" DEFAULT";
    session.batch(schema).unwrap();
    let catalog = Catalog::read(&session, "public", &DeclaredKeys::new()).unwrap();
    let mut text = String::new();
    for (number, name) in [(1, "t"), (2, "P")] {
        for trigger in triggers(TableNumber(number), catalog.table(name).unwrap()) {
            writeln!(text, "{};\n{};\n", trigger.function_sql, trigger.sql).unwrap();
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn what_one_statement_of_many_rows_was_planned_for_slows_no_later_one() {
    let (database, _session) = attached(T);
    let app = application(&database);
    app.batch("SET jit = on").unwrap();
    if !has(&app, "a compiler of statements (jit)", "pg_jit_available()") {
        return;
    }
    // Whatever the server thinks of the costs of a statement of many rows, none of ours reaches the point where it is compiled.
    app.batch(
        "LOAD 'auto_explain'; SET jit_above_cost = 5000; SET auto_explain.log_min_duration = 0; SET auto_explain.log_nested_statements = on;
         SET auto_explain.log_analyze = on; SET auto_explain.log_level = 'log'",
    )
    .unwrap();
    app.batch("INSERT INTO public.t SELECT generate_series(1, 200000)").unwrap();
    app.batch("UPDATE public.t SET n = 1; DELETE FROM public.t").unwrap();
    let log = std::fs::read_to_string(database.cluster().folder().join("log")).unwrap();
    let ours: Vec<&str> =
        log.split("Query Text: ").filter(|plan| plan.starts_with("INSERT INTO rowmesh.dirty")).collect();
    assert!(ours.len() >= 6, "{}", ours.len());
    assert!(
        ours.iter().all(|plan| !plan.contains("JIT:")),
        "{}",
        ours.iter().find(|plan| plan.contains("JIT:")).unwrap()
    );
}
