//! What a session promises, whatever the server is like.

use std::path::Path;
use std::time::{Duration, Instant};

use rowmesh_core::store::{StoreError, StoreErrorKind};
use rowmesh_postgres::connection::{LOCK_PATIENCE, Session};
use rowmesh_postgres::error::Error;
use rowmesh_postgres::location::{Host, Location, Password, Server};
use rowmesh_postgres::{Bytes, SqlState};

use crate::cluster::{Cluster, Database};

#[test]
fn a_session_asks_writes_and_copies() {
    let database = Database::new();
    let session = database.session();
    session.batch("CREATE TABLE public.t (id int PRIMARY KEY, name text)").unwrap();
    assert_eq!(session.execute("INSERT INTO public.t VALUES ($1, $2)", &[&1, &"one"]).unwrap(), 1);
    let chunks = ["2\ttwo\n", "3\tthree\n"].map(|line| Bytes::from_static(line.as_bytes()));
    assert_eq!(session.copy_in("COPY public.t FROM STDIN", chunks.into_iter()).unwrap(), 2);
    let names = session.query("SELECT name FROM public.t ORDER BY id", &[]).unwrap();
    assert_eq!(names.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>(), ["one", "two", "three"]);
    let mut text = Vec::new();
    let each = |chunk: Bytes| {
        text.extend_from_slice(&chunk);
        Ok(())
    };
    session.copy_out("COPY public.t TO STDOUT", each).unwrap();
    assert_eq!(text, b"1\tone\n2\ttwo\n3\tthree\n");
}

#[test]
fn whether_triggers_keep_still_depends_on_the_role() {
    let database = Database::new();
    let ordinary = Session::open(&database.location().as_user(database.role("app"))).unwrap();
    let setting = |session: &Session| -> String {
        session.query_one("SELECT current_setting('session_replication_role')", &[]).unwrap().get(0)
    };
    let superuser = database.session();
    assert_eq!((setting(&superuser), superuser.is_replica()), ("replica".to_owned(), true));
    assert_eq!((setting(&ordinary), ordinary.is_replica()), ("origin".to_owned(), false));
}

#[test]
fn a_session_notices_that_its_server_has_gone_and_the_next_one_finds_it_again() {
    let cluster = Cluster::own(&[]);
    let database = Database::on(&cluster);
    let session = database.session();
    assert!(!session.is_closed());
    cluster.control(&["restart", "-m", "immediate"]);
    assert!(session.is_closed());
    session.query("SELECT 1", &[]).expect_err("the server knows nothing of this session");
    assert_eq!(database.session().query_one("SELECT 1", &[]).unwrap().get::<_, i32>(0), 1);
    assert!(database.cluster().folder().join("log").exists());
}

/// What every session must be set to, each with a value that a server, a database or a role may have instead.
const SETTINGS: &[(&str, &str, &str)] = &[
    ("client_encoding", "UTF8", "LATIN1"),
    ("TimeZone", "UTC", "Asia/Kolkata"),
    ("DateStyle", "ISO, YMD", "German, DMY"),
    ("IntervalStyle", "postgres", "sql_standard"),
    ("extra_float_digits", "3", "-15"),
    ("bytea_output", "hex", "escape"),
    ("lc_monetary", "C", "C.UTF-8"),
    ("xmloption", "content", "document"),
    ("standard_conforming_strings", "on", "off"),
    ("array_nulls", "on", "off"),
    ("transform_null_equals", "off", "on"),
    ("quote_all_identifiers", "off", "on"),
    ("search_path", "pg_catalog, pg_temp", "hostile, public"),
    ("row_security", "off", "on"),
    ("synchronous_commit", "on", "off"),
    ("default_transaction_isolation", "read committed", "serializable"),
    ("default_transaction_read_only", "off", "on"),
    ("default_transaction_deferrable", "off", "on"),
    ("transaction_isolation", "read committed", "serializable"),
    ("statement_timeout", "0", "20"),
    ("lock_timeout", "250ms", "1"),
    ("idle_in_transaction_session_timeout", "1min", "1"),
    ("idle_session_timeout", "0", "1h"),
    ("jit", "off", "on"),
    ("seq_page_cost", "1", "100"),
    ("random_page_cost", "0.5", "100"),
    ("client_min_messages", "error", "debug5"),
    ("application_name", "rowmesh", "other"),
];

fn check_settings(location: &Location) {
    let session = Session::open(location).expect("whatever the settings are");
    for (name, expected, _) in SETTINGS {
        let found: String = session.query_one("SELECT current_setting($1)", &[name]).unwrap().get(0);
        assert_eq!(found, *expected, "{name}");
    }
}

/// Statements that give every setting its other value; what belongs to a transaction cannot be set beforehand.
fn hostile(whom: &str) -> String {
    let settable = SETTINGS.iter().filter(|(name, ..)| *name != "transaction_isolation");
    let statements = settable.map(|(name, _, other)| match *name {
        "search_path" => format!("ALTER {whom} SET search_path = hostile, public;"),
        name => format!("ALTER {whom} SET {name} = '{other}';"),
    });
    statements.collect()
}

#[test]
fn a13_d12_no_setting_of_database_or_role_reaches_a_session() {
    let database = Database::new();
    let role = database.role("app");
    let name = database.location().database;
    let location = database.location().as_user(&role);
    check_settings(&location);
    let session = database.session();
    session.batch(&hostile(&format!("ROLE \"{role}\""))).unwrap();
    check_settings(&location);
    session.batch(&hostile(&format!("DATABASE \"{name}\""))).unwrap();
    session.batch(&hostile(&format!("ROLE \"{role}\" IN DATABASE \"{name}\""))).unwrap();
    check_settings(&location);
    check_settings(&Location { options: Some("-c DateStyle=German -c extra_float_digits=0".into()), ..location });
}

#[test]
fn a13_no_setting_of_the_server_reaches_a_session_and_we_give_way_before_it_looks_for_deadlocks() {
    let settable = SETTINGS.iter().filter(|(name, ..)| !["transaction_isolation", "application_name"].contains(name));
    let lines: Vec<String> = settable.map(|(name, _, other)| format!("{name} = '{other}'")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let cluster = Cluster::own(&lines);
    check_settings(&cluster.location("postgres"));
    let session = Session::open(&cluster.location("postgres")).unwrap();
    session.batch("ALTER SYSTEM SET deadlock_timeout = '100ms'").unwrap();
    session.batch("SELECT pg_reload_conf()").unwrap();
    let patience = || -> String {
        let session = Session::open(&cluster.location("postgres")).unwrap();
        session.query_one("SELECT current_setting('lock_timeout')", &[]).unwrap().get(0)
    };
    wait_for(|| patience() == "50ms");
}

#[test]
fn a13_values_come_as_text_that_any_session_reads_back_exactly() {
    let database = Database::new();
    let (session, reader) = (database.session(), database.session());
    let check = |kind: &str, values: &[&str]| {
        for value in values {
            let text: String =
                session.query_one(&format!("SELECT ('{value}'::{kind})::text"), &[]).expect(value).get(0);
            for style in ["postgres", "postgres_verbose", "sql_standard", "iso_8601"] {
                for dates in ["ISO, MDY", "ISO, DMY", "German, DMY", "SQL, DMY", "Postgres, MDY"] {
                    reader.batch(&format!("SET IntervalStyle = {style}; SET DateStyle = '{dates}'")).unwrap();
                    let sql = format!("SELECT '{text}'::{kind} = '{value}'::{kind}");
                    reader.batch("SET IntervalStyle = postgres; SET DateStyle = 'ISO, YMD'").unwrap();
                    assert!(reader.query_one(&sql, &[]).expect(&text).get::<_, bool>(0), "{kind} {value}: {text}");
                    reader.batch(&format!("SET IntervalStyle = {style}; SET DateStyle = '{dates}'")).unwrap();
                    let again = format!("SELECT '{text}'::{kind} = $1::text::{kind}");
                    assert!(reader.query_one(&again, &[&text]).expect(&text).get::<_, bool>(0), "{kind} {text}");
                }
            }
        }
    };
    check("timestamptz", &["2026-02-03 04:05:06.789012+05:30", "0044-03-15 12:00:00 BC", "infinity", "294276-12-31"]);
    check("date", &["2026-02-03", "0001-01-01", "0044-03-15 BC", "5874897-12-31", "-infinity"]);
    check("float8", &["0.1", "1e-307", "2.2250738585072014e-308", "123456789.12345679", "-0", "Infinity"]);
    check("float4", &["0.1", "3.4028235e38", "1.17549435e-38"]);
}

/// The style is the one whose text means the same whatever the style of the session that reads it: the signs of each part are written.
#[test]
fn a13_intervals_keep_their_parts_whatever_the_style_of_the_reader() {
    let database = Database::new();
    let (session, reader) = (database.session(), database.session());
    // Months, days and microseconds are apart in an interval, each with its own sign.
    let months = [0, 1, -1, 13, -13, 2_000_000_000, -2_000_000_000];
    let days = [0, 1, -1, 400, -2_000_000_000];
    let micros: [i64; 9] = [
        0,
        1,
        -1,
        1_000_000,
        -59_999_999,
        3_600_000_001,
        -86_400_000_001,
        7_000_000_000_000_003,
        -7_000_000_000_000_003,
    ];
    let statement = "SELECT (make_interval(months => $1, days => $2) + $3 * interval '1 microsecond')::text";
    let parts = |session: &Session, text: &str| -> (i64, i64, i64) {
        let sql = format!(
            "SELECT (extract(year FROM i) * 12 + extract(month FROM i))::bigint, extract(day FROM i)::bigint,
                    (extract(hour FROM i) * 3600000000 + extract(minute FROM i) * 60000000 + extract(microseconds FROM i))::bigint
             FROM (SELECT interval '{text}' AS i) AS x"
        );
        let row = session.query_one(&sql, &[]).expect(text);
        (row.get(0), row.get(1), row.get(2))
    };
    for style in ["postgres", "sql_standard", "iso_8601"] {
        reader.batch(&format!("SET IntervalStyle = {style}")).unwrap();
        for month in months {
            for day in days {
                for micro in micros {
                    // A product of floats is not exact beyond 2^53; these are below it.
                    let text: String = session.query_one(statement, &[&month, &day, &(micro as f64)]).unwrap().get(0);
                    assert_eq!(parts(&reader, &text), (i64::from(month), i64::from(day), micro), "{style}: {text}");
                }
            }
        }
    }
}

#[test]
fn a_statement_is_prepared_anew_when_the_schema_has_moved_under_it() {
    let database = Database::new();
    let (session, migration) = (database.session(), database.session());
    session.batch("CREATE TABLE public.t (id int); INSERT INTO public.t VALUES (1)").unwrap();
    let columns = || session.query("SELECT * FROM public.t", &[]).map(|rows| rows[0].len());
    assert_eq!(columns().unwrap(), 1);
    migration.batch("ALTER TABLE public.t ADD COLUMN name text").unwrap();
    assert_eq!(columns().unwrap(), 2, "outside of a transaction nobody notices");
    migration.batch("ALTER TABLE public.t ADD COLUMN more text").unwrap();
    session.begin().unwrap();
    let refused = StoreError::from(columns().expect_err("a transaction cannot go on after an error"));
    assert_eq!((refused.code, refused.kind), ("RM2115", StoreErrorKind::Transient));
    session.rollback().unwrap();
    session.begin().unwrap();
    assert_eq!(columns().unwrap(), 3);
    session.commit().unwrap();
    session.batch("ALTER TABLE public.t DROP COLUMN more").unwrap();
    session.begin().unwrap();
    assert_eq!(columns().unwrap(), 2, "what this session does itself is known to it");
    session.rollback().unwrap();
}

#[test]
fn statements_in_a_pipeline_are_sent_together_and_answered_in_order() {
    let database = Database::new();
    let session = database.session();
    session.batch("CREATE TABLE public.t (id int PRIMARY KEY)").unwrap();
    session.begin().unwrap();
    let insert = "INSERT INTO public.t VALUES ($1) RETURNING id";
    let answers =
        session.pipeline(&[(insert, &[&1]), (insert, &[&2]), ("SELECT count(*)::int FROM public.t", &[])]).unwrap();
    let numbers: Vec<i32> = answers.iter().map(|rows| rows[0].get(0)).collect();
    assert_eq!(numbers, [1, 2, 2]);
    session.commit().unwrap();
    let refused = session.pipeline(&[(insert, &[&3]), (insert, &[&1]), (insert, &[&4])]).expect_err("1 is there");
    assert_eq!(refused.sqlstate(), Some(&SqlState::UNIQUE_VIOLATION));
}

#[test]
fn a_copy_that_is_refused_or_broken_off_leaves_nothing_and_the_session_goes_on() {
    let database = Database::new();
    let session = database.session();
    session.batch("CREATE TABLE public.t (id int)").unwrap();
    let lines = ["1\n", "no number\n"].map(|line| Bytes::from_static(line.as_bytes()));
    session.copy_in("COPY public.t FROM STDIN", lines.into_iter()).expect_err("no number");
    let count = || session.query_one("SELECT count(*) FROM public.t", &[]).unwrap().get::<_, i64>(0);
    assert_eq!(count(), 0);
    session.batch("INSERT INTO public.t SELECT generate_series(1, 200000)").unwrap();
    let mut seen = 0;
    let stopped = session.copy_out("COPY public.t TO STDOUT", |chunk| {
        seen += chunk.len();
        if seen > 1000 { Err(Error::Standby("enough".into())) } else { Ok(()) }
    });
    assert!(matches!(stopped, Err(Error::Standby(_))), "{stopped:?}");
    assert_eq!(count(), 200_000);
    let broken = [Ok(Bytes::from_static(b"1\n")), Err(Error::Standby("the source".into()))];
    let stopped = session.try_copy_in("COPY public.t FROM STDIN", broken.into_iter());
    assert!(matches!(stopped, Err(Error::Standby(_))), "{stopped:?}");
    assert_eq!(count(), 200_000);
}

#[test]
fn a_transaction_in_which_a_statement_was_refused_is_never_taken_for_committed() {
    let database = Database::new();
    let session = database.session();
    session.batch("CREATE TABLE public.t (id int PRIMARY KEY)").unwrap();
    session.begin().unwrap();
    session.batch("INSERT INTO public.t VALUES (1)").unwrap();
    session.batch("INSERT INTO public.t VALUES (1)").expect_err("it is there");
    let refused = session.commit().expect_err("nothing is committed");
    assert_eq!(refused.sqlstate(), Some(&SqlState::IN_FAILED_SQL_TRANSACTION));
    assert!(!session.in_transaction());
    session.begin().expect("the failed one has ended");
    session.batch("INSERT INTO public.t VALUES (2)").unwrap();
    session.commit().unwrap();
    let ids = session.query("SELECT id FROM public.t", &[]).unwrap();
    assert_eq!(ids.iter().map(|row| row.get(0)).collect::<Vec<i32>>(), [2]);
}

#[test]
fn a_session_may_move_to_another_thread_and_end_anywhere() {
    let database = Database::new();
    let session = database.session();
    let moved = std::thread::spawn(move || session.process().map(|_| session)).join().unwrap().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async { drop(moved) });
}

#[test]
fn a_lock_of_the_application_is_waited_for_only_so_long() {
    let database = Database::new();
    let (session, application) = (database.session(), database.session());
    session.batch("CREATE TABLE public.t (id int)").unwrap();
    application.batch("BEGIN; LOCK TABLE public.t").unwrap();
    let start = Instant::now();
    let refused = session.batch("LOCK TABLE public.t").map(drop).expect_err("the application holds it");
    let refused_in_transaction = {
        session.begin().unwrap();
        let refused = session.query("SELECT * FROM public.t", &[]).expect_err("the application holds it");
        session.rollback().unwrap();
        refused
    };
    assert_eq!(refused.sqlstate(), Some(&SqlState::NO_ACTIVE_SQL_TRANSACTION), "LOCK wants a transaction");
    assert!(start.elapsed() >= LOCK_PATIENCE && start.elapsed() < LOCK_PATIENCE * 20, "{:?}", start.elapsed());
    assert!(refused_in_transaction.is_lock());
    let told = StoreError::from(refused_in_transaction);
    assert_eq!((told.code, told.kind), ("RM5101", StoreErrorKind::Transient));
}

#[test]
fn d13_a_session_that_the_server_ends_is_told_as_passing() {
    let database = Database::new();
    let (session, killer) = (database.session(), database.session());
    let process = session.process().unwrap();
    session.begin().unwrap();
    killer.query("SELECT pg_terminate_backend($1)", &[&process]).unwrap();
    let told = StoreError::from(session.query("SELECT 1", &[]).expect_err("it has ended"));
    assert_eq!((told.code, told.kind), ("RM5106", StoreErrorKind::Transient));
    wait_for(|| session.is_closed());
    let told = StoreError::from(session.rollback().expect_err("nobody is there"));
    assert_eq!(told.code, "RM5106");
    assert!(!session.in_transaction());
}

#[test]
fn a_statement_that_is_cancelled_is_told_as_passing() {
    let database = Database::new();
    let session = database.session();
    session.batch("SET statement_timeout = 10").unwrap();
    let told = StoreError::from(session.query("SELECT pg_sleep(10)", &[]).map(drop).expect_err("too slow"));
    assert_eq!((told.code, told.kind), ("RM5106", StoreErrorKind::Transient));
}

#[test]
fn a_full_disk_is_told_and_passes_when_there_is_room_again() {
    let Some(cluster) = Cluster::on_small_disk(200) else { return };
    let database = Database::on(&cluster);
    let session = database.session();
    // What is not logged needs no room in the log, without which the server would end.
    session.batch("CREATE UNLOGGED TABLE public.t (text text)").unwrap();
    let grow = || session.execute("INSERT INTO public.t SELECT repeat('x', 1000) FROM generate_series(1, 20000)", &[]);
    cluster.fill_disk();
    let told = StoreError::from(grow().expect_err("no room"));
    assert_eq!((told.code, told.kind), ("RM8102", StoreErrorKind::NeedsPerson));
    cluster.make_room();
    assert_eq!(grow().expect("room again"), 20_000);
}

#[test]
fn what_a_role_may_not_do_is_told_with_the_statement_that_lets_it() {
    let database = Database::new();
    database.session().batch("CREATE TABLE public.orders (id int)").unwrap();
    let session = Session::open(&database.location().as_user(database.role("app"))).unwrap();
    let told = StoreError::from(session.query("SELECT * FROM public.orders", &[]).expect_err("not granted"));
    assert_eq!((told.code, told.kind), ("RM3203", StoreErrorKind::NeedsPerson));
    assert_eq!(told.message, "a right is missing in the database: permission denied for table orders");
    assert!(told.remedy.contains("ON orders TO"), "{}", told.remedy);
}

#[test]
fn a18_rows_that_a_policy_hides_are_an_error_and_never_silence() {
    let database = Database::new();
    let role = database.role("app");
    let owner = database.session();
    owner
        .batch(&format!(
            "CREATE TABLE public.t (id int); INSERT INTO public.t VALUES (1), (2);
             ALTER TABLE public.t ENABLE ROW LEVEL SECURITY;
             CREATE POLICY p ON public.t USING (id = 1); GRANT ALL ON public.t TO \"{role}\""
        ))
        .unwrap();
    let session = Session::open(&database.location().as_user(&role)).unwrap();
    let refused = session.query("SELECT * FROM public.t", &[]).expect_err("a row would be missing");
    assert_eq!(StoreError::from(refused).code, "RM3203");
    owner.batch(&format!("ALTER ROLE \"{role}\" BYPASSRLS")).unwrap();
    assert_eq!(session.query("SELECT * FROM public.t", &[]).unwrap().len(), 2);
}

#[test]
fn reasons_not_to_open_are_told_apart() {
    let database = Database::new();
    let here = database.location();
    let check = |location: &Location, code: &str, kind: StoreErrorKind, said: &str| {
        let refused = Session::open(location).map(drop).expect_err("must be refused");
        assert_eq!(refused.code(), code, "{refused}");
        let told = StoreError::from(refused);
        assert_eq!((told.code, told.kind), (code, kind), "{told:?}");
        assert!(told.message.contains(said), "{}", told.message);
        assert!(!told.remedy.is_empty(), "{told:?}");
    };
    let at = |host: Host, port| Location { servers: vec![Server::new(host, port)], ..here.clone() };
    let nobody = at(Host::Folder("/nowhere".into()), 5432);
    check(&nobody, "RM1207", StoreErrorKind::Transient, "/nowhere:5432 does not answer");
    let closed = at(Host::Name("127.0.0.1".into()), 1);
    check(&closed, "RM1207", StoreErrorKind::Transient, "127.0.0.1:1 does not answer: Connection refused");
    let missing = Location { database: "no such".into(), ..here.clone() };
    check(&missing, "RM1208", StoreErrorKind::NeedsPerson, "has no database \"no such\"");
    let stranger = here.as_user("stranger");
    check(&stranger, "RM3202", StoreErrorKind::NeedsPerson, "refuses the login of stranger");
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let server = Server::new(Host::Name("127.0.0.1".into()), port);
    let patience = Duration::from_secs(1);
    let location =
        Location { servers: vec![server], connect_timeout: patience, ..Location::socket("/", 1, "shop", "app") };
    let refused = Session::open(&location).map(drop).expect_err("nobody answers");
    assert_eq!(refused.to_string(), format!("127.0.0.1:{port} does not answer: no answer within 1 s"));
}

#[test]
fn k12_no_password_is_in_what_is_told_of_a_login_that_is_refused() {
    let cluster = Cluster::own(&[]);
    cluster.allow("local all app scram-sha-256\nlocal all all trust\n");
    let session = Session::open(&cluster.location("postgres")).unwrap();
    session.batch("CREATE ROLE app LOGIN PASSWORD 'right'").unwrap();
    let with = |password: Option<&str>| {
        let password = password.map(Password::new);
        Session::open(&Location { password, ..cluster.location("postgres").as_user("app") })
    };
    with(Some("right")).expect("the password is right");
    for (password, said) in [(Some("hunter2"), "password authentication failed"), (None, "password missing")] {
        let refused = with(password).map(drop).expect_err("the password is wrong");
        assert_eq!(refused.code(), "RM3202");
        assert!(refused.to_string().contains(said), "{refused}");
        let told = StoreError::from(refused);
        assert!(!format!("{told:?} {told:#?} {told}").contains("hunter2"), "{told:?}");
    }
}

#[test]
fn g8_a_standby_is_refused_and_of_several_servers_the_primary_is_taken() {
    let primary = Cluster::own(&[]);
    let standby = primary.standby();
    let refused = Session::open(&standby.location("postgres")).map(drop).expect_err("it can be read only");
    assert_eq!(refused.code(), "RM3204");
    assert_eq!(StoreError::from(refused).kind, StoreErrorKind::Transient, "it may become the primary");
    let servers = [&standby, &primary].map(|cluster| cluster.location("postgres").servers[0].clone());
    let both = Location { servers: servers.to_vec(), ..primary.location("postgres") };
    assert_eq!(Session::open(&both).expect("one of them").server(), &servers[1]);
    primary.control(&["stop", "-m", "immediate"]);
    standby.control(&["promote"]);
    assert_eq!(Session::open(&both).expect("the other").server(), &servers[0]);
}

/// A lock goes with its process, however that ends; here it goes with the value.
#[test]
fn a_server_of_the_tests_ends_with_its_last_user_and_leaves_nothing() {
    let cluster = Cluster::own(&[]);
    let folder = cluster.folder().to_owned();
    let process = std::fs::read_to_string(folder.join("data/postmaster.pid")).expect("it runs");
    let process = format!("/proc/{}", process.lines().next().expect("its number"));
    assert!(Path::new(&process).exists());
    drop(cluster);
    wait_for(|| !folder.exists());
    wait_for(|| !Path::new(&process).exists());
}

/// Looks again until it is so; the limit only keeps a broken program from hanging.
pub fn wait_for(mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(20), "it never became so");
        std::thread::yield_now();
    }
}
