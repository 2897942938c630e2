//! What came with one version of PostgreSQL or another: it arrives like everything else where the server has it. Which server that is is chosen
//! by who runs the tests (docs/testing.md); a server that lacks something is named in the test's output.

use std::io::{Read, Write};

use rowmesh_core::store::{Store, StoreError, StoreErrorKind};
use rowmesh_engine::plan::AttachOptions;
use rowmesh_postgres::attach::{attach, plan};
use rowmesh_postgres::connection::Session;
use rowmesh_postgres::location::{Host, Location, Server, TlsMode};

use crate::capturing::{attached, noted};
use crate::cluster::{Cluster, Database, has_since};
use crate::mesh::{Node, Site, application, check_equal, converge, lacked, nodes, now, travels};

/// How many rows wait on all nodes together.
fn parked(nodes: &mut [Node]) -> usize {
    nodes.iter_mut().map(|node| node.store.parked().unwrap().len()).sum()
}

/// Says what a server says to a client that comes, up to where it takes statements, and nothing more.
fn server_of_version(version: &str) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let message = |kind: u8, body: &[u8]| [&[kind][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat();
    let setting = |name: &str, value: &str| message(b'S', format!("{name}\0{value}\0").as_bytes());
    let hello = [
        message(b'R', &0u32.to_be_bytes()),
        setting("server_version", version),
        setting("client_encoding", "UTF8"),
        message(b'K', &[0; 8]),
        message(b'Z', b"I"),
    ];
    let hello = hello.concat();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut length = [0; 4];
            stream.read_exact(&mut length).unwrap();
            let mut start = vec![0; u32::from_be_bytes(length) as usize - 4];
            stream.read_exact(&mut start).unwrap();
            stream.write_all(&hello).unwrap();
            // Until the client has gone.
            let _ = stream.read_to_end(&mut start);
        }
    });
    port
}

#[test]
fn a_server_older_than_14_is_refused_before_anything_is_asked_of_it() {
    for version in ["13.23", "13.23 (Debian 13.23-1.pgdg120+1)", "9.6.24", "10devel"] {
        let server = Server::new(Host::Name("127.0.0.1".into()), server_of_version(version));
        let mut location = Location { servers: vec![server], ..Location::socket("/", 1, "shop", "app") };
        location.tls.mode = TlsMode::Disable;
        let refused = Session::open(&location).map(drop).expect_err(version);
        let said = format!("runs PostgreSQL {version}; rowmesh needs 14 or later");
        assert!(refused.to_string().contains(&said), "{refused}");
        let told = StoreError::from(refused);
        let expected = ("RM1213", StoreErrorKind::NeedsPerson, "upgrade the server");
        assert_eq!((told.code, told.kind, told.remedy.as_str()), expected);
    }
}

#[test]
fn since_15_unique_values_of_which_null_is_one_move_and_are_never_there_twice() {
    if !has_since(15, "UNIQUE NULLS NOT DISTINCT") {
        return;
    }
    travels(
        "CREATE TABLE seats (id int PRIMARY KEY, place int UNIQUE NULLS NOT DISTINCT)",
        &[
            "INSERT INTO seats VALUES (1, 1), (2, NULL)",
            "BEGIN; UPDATE seats SET place = 7 WHERE id = 2; UPDATE seats SET place = NULL WHERE id = 1; COMMIT",
        ],
    );
    // Checked late, it is we who check it.
    let late = "UNIQUE NULLS NOT DISTINCT DEFERRABLE INITIALLY DEFERRED";
    let mut nodes = nodes(2, &format!("CREATE TABLE seats (id int PRIMARY KEY, place int {late})"));
    nodes[0].run("INSERT INTO seats VALUES (1, NULL)");
    nodes[1].run("INSERT INTO seats VALUES (2, NULL)");
    converge(&mut nodes);
    for node in &nodes {
        assert_eq!(node.text("SELECT count(*) FROM seats"), "1", "node {}", node.name);
    }
    assert_eq!(parked(&mut nodes), 2);
}

#[test]
fn since_15_a_foreign_key_that_sets_some_of_its_columns_null_is_followed() {
    if !has_since(15, "ON DELETE SET NULL (columns)") {
        return;
    }
    let nodes = travels(
        "CREATE TABLE users (firm int, id int, PRIMARY KEY (firm, id));
         CREATE TABLE posts (firm int, id int, author int, PRIMARY KEY (firm, id),
                             FOREIGN KEY (firm, author) REFERENCES users ON DELETE SET NULL (author))",
        &[
            "INSERT INTO users VALUES (1, 1), (1, 2); INSERT INTO posts VALUES (1, 10, 1), (1, 11, 2)",
            "DELETE FROM users WHERE id = 1",
        ],
    );
    assert_eq!(nodes[1].query("SELECT id, author FROM posts ORDER BY id"), ["(10,)", "(11,2)"]);
}

#[test]
fn since_15_a_schema_public_in_which_nobody_may_create_does_not_keep_us_out() {
    let database = Database::new();
    let role = database.role("ours");
    let superuser = database.session();
    superuser
        .batch(&format!(
            "REVOKE CREATE ON SCHEMA public FROM PUBLIC; CREATE TABLE public.t (id int PRIMARY KEY);
             ALTER TABLE public.t OWNER TO \"{role}\"; GRANT CREATE ON DATABASE \"{}\" TO \"{role}\"",
            database.location().database
        ))
        .unwrap();
    let session = Session::open(&database.location().as_user(&role)).unwrap();
    attach(&session, "public", &AttachOptions::default()).unwrap();
    superuser.batch("INSERT INTO public.t VALUES (1)").unwrap();
    assert_eq!(noted(&session, "t"), ["insert 1"]);
}

#[test]
fn since_17_a_merge_that_returns_rows_and_deletes_what_has_no_source_is_noted_and_answers_as_ever() {
    if !has_since(17, "MERGE … WHEN NOT MATCHED BY SOURCE … RETURNING") {
        return;
    }
    let schema = "CREATE TABLE public.t (id int PRIMARY KEY, n int); CREATE VIEW public.v AS SELECT * FROM public.t;
                  INSERT INTO public.t VALUES (1, 1), (2, 2)";
    let merge = "MERGE INTO public.v t USING (VALUES (1, 10), (5, 50)) s (id, n) ON t.id = s.id
                 WHEN MATCHED THEN UPDATE SET n = s.n WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.n)
                 WHEN NOT MATCHED BY SOURCE THEN DELETE RETURNING merge_action() || t.id";
    let (with, session) = attached(schema);
    let without = Database::new();
    without.session().batch(schema).unwrap();
    let answer = |database: &Database| -> Vec<String> {
        let mut said: Vec<String> =
            application(database).query(merge, &[]).unwrap().iter().map(|row| row.get(0)).collect();
        said.sort();
        said
    };
    assert_eq!(answer(&with), answer(&without));
    assert_eq!(answer(&without), ["UPDATE1", "UPDATE5"]);
    assert_eq!(noted(&session, "t"), ["delete 2", "insert 5", "update 1"]);
}

#[test]
fn since_17_an_application_that_looks_at_each_login_changes_nothing_of_ours() {
    if !has_since(17, "event triggers on login") {
        return;
    }
    let mut node = Node::new(
        1,
        "CREATE TABLE t (id int PRIMARY KEY, at timestamptz); CREATE TABLE logins (id uuid PRIMARY KEY, at text)",
    );
    node.run(
        "CREATE FUNCTION public.hello() RETURNS event_trigger LANGUAGE plpgsql SET search_path = public AS $$ BEGIN
             PERFORM pg_catalog.set_config('DateStyle', 'German', false); PERFORM pg_catalog.set_config('search_path', 'hostile', false);
             INSERT INTO public.logins VALUES (pg_catalog.gen_random_uuid(), current_setting('application_name')); END $$;
         CREATE EVENT TRIGGER hello ON login EXECUTE FUNCTION public.hello(); ALTER EVENT TRIGGER hello ENABLE ALWAYS",
    );
    node = node.restart();
    node.run("INSERT INTO t VALUES (1, '2026-02-01 00:00:00+00')");
    assert!(node.seal() >= 3, "the row, and the logins that the application noted");
    assert_eq!(node.text("SELECT count(*) > 0 FROM logins WHERE at = 'rowmesh'"), "true");
    let shown: String =
        node.store.database().session().query_one("SELECT current_setting('DateStyle')", &[]).unwrap().get(0);
    assert_eq!(shown, "ISO, YMD");
    assert_eq!(node.store.reconcile(None, now()).unwrap(), 0);
}

#[test]
fn since_17_a_transaction_timeout_of_a_role_ends_none_of_ours() {
    if !has_since(17, "transaction_timeout") {
        return;
    }
    let database = Database::new();
    let role = database.role("app");
    database.session().batch(&format!("ALTER ROLE \"{role}\" SET transaction_timeout = 400")).unwrap();
    let session = Session::open(&database.location().as_user(&role)).unwrap();
    session.begin().unwrap();
    session.query("SELECT pg_sleep(0.6)", &[]).unwrap();
    session.commit().unwrap();
}

#[test]
fn since_17_identity_columns_of_partitioned_tables_travel() {
    if !has_since(17, "identity columns of partitioned tables") {
        return;
    }
    let nodes = travels(
        "CREATE TABLE events (id bigint GENERATED ALWAYS AS IDENTITY, region text, n int, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
         CREATE TABLE events_a PARTITION OF events FOR VALUES IN ('a'); CREATE TABLE events_b PARTITION OF events FOR VALUES IN ('b')",
        &["INSERT INTO events (region, n) VALUES ('a', 1), ('b', 2)", "UPDATE events SET region = 'b' WHERE n = 1"],
    );
    nodes[1].run("INSERT INTO events (region, n) VALUES ('a', 3)");
    assert_eq!(nodes[1].text("SELECT count(DISTINCT id) FROM events"), "3");
}

#[test]
fn since_18_virtual_generated_columns_stay_at_home_and_cost_no_event() {
    if !has_since(18, "virtual generated columns") {
        return;
    }
    let schema = "CREATE TABLE items (id int PRIMARY KEY, price int, tax int GENERATED ALWAYS AS (price / 5), note text,
                                      wide int GENERATED ALWAYS AS (price * 2) STORED);
        CREATE TABLE parts (id int PRIMARY KEY, n int, twice int GENERATED ALWAYS AS (n * 2) VIRTUAL) PARTITION BY RANGE (id);
        CREATE TABLE parts_1 PARTITION OF parts DEFAULT";
    let mut nodes = travels(
        schema,
        &[
            "INSERT INTO items SELECT n, n * 5 FROM generate_series(1, 200) n; INSERT INTO parts VALUES (1, 2), (2, 3)",
            "UPDATE items SET note = 'x'; UPDATE parts SET n = n + 1; UPDATE items SET id = -id WHERE id < 3",
            "DELETE FROM items WHERE tax > 100; DELETE FROM parts WHERE twice = 8",
        ],
    );
    assert_eq!(nodes[1].query("SELECT * FROM items WHERE id = 7"), ["(7,35,7,x,70)"]);
    assert_eq!(nodes[1].query("SELECT * FROM parts"), ["(1,3,6)"]);
    // Another expression is another value in every row, of which nobody tells anybody.
    nodes[0].run("ALTER TABLE items ALTER COLUMN tax SET EXPRESSION AS (price / 7)");
    nodes[0].store.follow_schema(now()).unwrap();
    assert_eq!(nodes[0].seal(), 0);
    assert_eq!(nodes[0].store.reconcile(None, now()).unwrap(), 0);
}

#[test]
fn since_18_keys_of_the_new_kind_of_uuid_are_keys_like_others() {
    if !has_since(18, "uuidv7()") {
        return;
    }
    let nodes = travels(
        "CREATE TABLE notes (id uuid PRIMARY KEY DEFAULT uuidv7(), a text)",
        &["INSERT INTO notes (a) SELECT n FROM generate_series(1, 50) n", "UPDATE notes SET a = a || '!'"],
    );
    assert_eq!(nodes[1].text("SELECT count(*) FROM notes WHERE uuid_extract_version(id) = 7 AND a LIKE '%!'"), "50");
}

#[test]
fn since_18_statements_that_return_old_and_new_rows_answer_as_without_us() {
    if !has_since(18, "RETURNING old and new") {
        return;
    }
    let schema = "CREATE TABLE public.t (id int PRIMARY KEY, n int, v int GENERATED ALWAYS AS (n + 1)); INSERT INTO public.t VALUES (1, 1)";
    let (with, session) = attached(schema);
    let without = Database::new();
    without.session().batch(schema).unwrap();
    let statements = [
        "UPDATE public.t SET n = n + 1 RETURNING concat_ws(' ', old.n, new.n, old.v, new.v)",
        "INSERT INTO public.t VALUES (1, 9), (2, 2) ON CONFLICT (id) DO UPDATE SET n = excluded.n RETURNING concat_ws(' ', old.n, new.n)",
        "DELETE FROM public.t RETURNING concat_ws(' ', old.n, new.n)",
    ];
    let answers = |database: &Database| -> Vec<Vec<String>> {
        let app = application(database);
        let answer = |sql: &&str| app.query(sql, &[]).unwrap().iter().map(|row| row.get(0)).collect();
        statements.iter().map(answer).collect()
    };
    let said = answers(&with);
    assert_eq!(said, answers(&without));
    assert_eq!(said, [vec!["1 2 2 3"], vec!["2 9", "2"], vec!["9", "2"]]);
    assert_eq!(noted(&session, "t"), ["delete 1", "delete 2", "insert 2", "update 1"]);
}

#[test]
fn since_18_a_not_null_that_holds_for_new_rows_only_makes_no_key() {
    if !has_since(18, "NOT NULL … NOT VALID") {
        return;
    }
    let database = Database::new();
    let session = database.session();
    session
        .batch(
            "CREATE TABLE public.t (code text UNIQUE, n int); INSERT INTO public.t VALUES (NULL, 1), (NULL, 2);
             ALTER TABLE public.t ADD CONSTRAINT code_given NOT NULL code NOT VALID",
        )
        .unwrap();
    let skipped = |session: &Session| -> Vec<&str> {
        plan(session, "public", &AttachOptions::default()).unwrap().skipped.iter().map(|table| table.code).collect()
    };
    assert_eq!(skipped(&session), ["RM2103"]);
    session.batch("DELETE FROM public.t; ALTER TABLE public.t VALIDATE CONSTRAINT code_given").unwrap();
    assert_eq!(skipped(&session), [] as [&str; 0]);
}

#[test]
fn since_18_a_foreign_key_that_the_server_does_not_enforce_parks_nothing() {
    if !has_since(18, "NOT ENFORCED") {
        return;
    }
    let schema = "CREATE TABLE users (id int PRIMARY KEY);
        CREATE TABLE posts (id int PRIMARY KEY, author int REFERENCES users NOT ENFORCED, n int CHECK (n > 0) NOT ENFORCED)";
    let nodes = travels(schema, &["INSERT INTO posts VALUES (1, 77, -1)", "UPDATE posts SET author = 78"]);
    assert_eq!(nodes[1].query("SELECT * FROM posts"), ["(1,78,-1)"]);
}

/// A room at a time: the key is over periods.
const ROOMS: &str =
    "CREATE TABLE rooms (id int, during daterange, who text, PRIMARY KEY (id, during WITHOUT OVERLAPS))";

/// With an operator class for the numbers, which an index over periods needs.
fn temporal(name: u8, schema: &str) -> Node {
    let database = Database::new();
    database.session().batch("CREATE EXTENSION btree_gist SCHEMA public").unwrap();
    Node::on(name, Site::on(database), schema)
}

#[test]
fn since_18_rows_whose_key_is_a_period_arrive_move_and_share_what_they_covered() {
    if !has_since(18, "PRIMARY KEY … WITHOUT OVERLAPS") {
        return;
    }
    let mut nodes = vec![temporal(1, ROOMS), temporal(2, ROOMS)];
    for batch in [
        "INSERT INTO rooms VALUES (1, '[2026-01-01,2026-01-05)', 'Anna'), (1, '[2026-01-05,2026-01-09)', 'Bert'), (2, '[2026-01-01,)', 'Cleo')",
        "UPDATE rooms SET who = 'Anne' WHERE who = 'Anna'",
        "BEGIN; UPDATE rooms SET during = '[2026-01-01,2026-01-03)' WHERE who = 'Anne'; UPDATE rooms SET during = '[2026-01-03,2026-01-09)' WHERE who = 'Bert'; COMMIT",
        "BEGIN; UPDATE rooms SET id = 3 WHERE id = 1; UPDATE rooms SET id = 1 WHERE id = 2; UPDATE rooms SET id = 2 WHERE id = 3; COMMIT",
        "DELETE FROM rooms WHERE who = 'Cleo'",
    ] {
        nodes[0].run(batch);
        converge(&mut nodes);
        check_equal(&mut nodes);
        assert_eq!((nodes[0].seal(), nodes[1].seal(), parked(&mut nodes)), (0, 0, 0), "{batch}");
    }
    let expected = ["(2,\"[2026-01-01,2026-01-03)\",Anne)", "(2,\"[2026-01-03,2026-01-09)\",Bert)"];
    assert_eq!(nodes[1].query("SELECT * FROM rooms ORDER BY during"), expected);
}

#[test]
fn since_18_of_periods_that_overlap_one_waits_on_each_node_and_comes_when_there_is_room() {
    if !has_since(18, "PRIMARY KEY … WITHOUT OVERLAPS") {
        return;
    }
    let mut nodes = vec![temporal(1, ROOMS), temporal(2, ROOMS)];
    nodes[0].run("INSERT INTO rooms VALUES (1, '[2026-01-01,2026-01-05)', 'Anna')");
    nodes[1].run("INSERT INTO rooms VALUES (1, '[2026-01-03,2026-01-09)', 'Bert')");
    converge(&mut nodes);
    let rows: Vec<String> = nodes.iter().map(|node| node.text("SELECT count(*) FROM rooms")).collect();
    assert_eq!((rows, parked(&mut nodes)), (vec!["1".to_owned(), "1".to_owned()], 2));
    nodes[0].run("DELETE FROM rooms WHERE who = 'Anna'");
    converge(&mut nodes);
    assert_eq!(nodes[0].store.retry_parked(now()).unwrap(), 0, "none is left");
    check_equal(&mut nodes);
    assert_eq!((nodes[0].text("SELECT who FROM rooms"), parked(&mut nodes)), ("Bert".to_owned(), 0));
}

#[test]
fn since_18_a_period_that_the_application_takes_while_we_insert_the_same_is_sealed_first() {
    if !has_since(18, "PRIMARY KEY … WITHOUT OVERLAPS") {
        return;
    }
    let mut nodes = vec![temporal(1, ROOMS), temporal(2, ROOMS)];
    nodes[1].run("INSERT INTO rooms VALUES (1, '[2026-01-01,2026-01-05)', 'theirs')");
    nodes[1].seal();
    let (here, there) = nodes.split_at_mut(1);
    let changesets = lacked(&here[0], &mut there[0]);
    let other = application(&nodes[0].database);
    other.batch("BEGIN; INSERT INTO rooms VALUES (1, '[2026-01-01,2026-01-05)', 'mine')").unwrap();
    // Uncommitted it keeps us out of the table: we give way and come again.
    assert_eq!(nodes[0].store.take(now(), &changesets).unwrap_err().kind, StoreErrorKind::Transient);
    other.batch("COMMIT").unwrap();
    nodes[0].take(&changesets);
    converge(&mut nodes);
    check_equal(&mut nodes);
    let told = format!("{:?}{:?}", nodes[0].query("SELECT who FROM rooms"), nodes[0].ledger());
    assert!(told.contains("mine") && told.contains("theirs"), "{told}");
}

const STAYS: &str = "CREATE TABLE rooms (id int, during daterange, PRIMARY KEY (id, during WITHOUT OVERLAPS));
    CREATE TABLE stays (id int PRIMARY KEY, room int, at daterange, FOREIGN KEY (room, PERIOD at) REFERENCES rooms (id, PERIOD during)
        DEFERRABLE INITIALLY DEFERRED)";

#[test]
fn since_18_a_reference_to_a_period_is_covered_by_several_rows_and_never_left_alone() {
    if !has_since(18, "FOREIGN KEY … PERIOD") {
        return;
    }
    let mut nodes = vec![temporal(1, STAYS), temporal(2, STAYS)];
    for batch in [
        "INSERT INTO rooms VALUES (1, '[2026-01-01,2026-01-05)'), (1, '[2026-01-05,2026-01-09)'), (2, '[2026-01-01,)');
         INSERT INTO stays VALUES (10, 1, '[2026-01-03,2026-01-07)'), (11, NULL, '[2026-01-01,)')",
        "BEGIN; DELETE FROM rooms WHERE id = 1 AND during = '[2026-01-05,2026-01-09)';
         UPDATE rooms SET during = '[2026-01-01,2026-01-09)' WHERE id = 1; COMMIT",
        "UPDATE stays SET room = 2 WHERE id = 10",
        "DELETE FROM rooms WHERE id = 1; UPDATE stays SET at = '[2026-01-04,2026-01-08)' WHERE id = 10",
    ] {
        nodes[0].run(batch);
        converge(&mut nodes);
        check_equal(&mut nodes);
        assert_eq!((nodes[0].seal(), nodes[1].seal(), parked(&mut nodes)), (0, 0, 0), "{batch}");
    }
    // The room goes on one node while somebody moves in on the other.
    nodes[0].run("INSERT INTO rooms VALUES (3, '[2026-01-01,2026-02-01)')");
    converge(&mut nodes);
    nodes[0].run("DELETE FROM rooms WHERE id = 3");
    nodes[1].run("INSERT INTO stays VALUES (12, 3, '[2026-01-05,2026-01-15)')");
    converge(&mut nodes);
    let alone =
        "SELECT count(*) FROM stays s WHERE NOT s.at <@ (SELECT range_agg(r.during) FROM rooms r WHERE r.id = s.room)";
    assert_eq!((nodes[0].text(alone), nodes[1].text(alone)), ("0".to_owned(), "0".to_owned()));
    // It shrinks: the new room must not take the place of the old one, which has to stay.
    nodes[0].run("INSERT INTO rooms VALUES (4, '[2026-01-01,2026-02-01)'), (5, '[2026-01-01,2026-02-01)')");
    converge(&mut nodes);
    nodes[0].run("UPDATE rooms SET during = '[2026-01-01,2026-01-10)' WHERE id IN (4, 5)");
    nodes[1].run("INSERT INTO stays VALUES (13, 4, '[2026-01-05,2026-01-15)')");
    converge(&mut nodes);
    assert_eq!((nodes[0].text(alone), nodes[1].text(alone)), ("0".to_owned(), "0".to_owned()));
    let rooms = "SELECT * FROM rooms WHERE id > 3 ORDER BY id";
    let expected = ["(4,\"[2026-01-01,2026-02-01)\")", "(5,\"[2026-01-01,2026-01-10)\")"];
    assert_eq!(nodes[1].query(rooms), expected);
}

#[test]
fn since_18_a_copy_leaves_no_reference_to_a_period_alone() {
    if !has_since(18, "FOREIGN KEY … PERIOD") {
        return;
    }
    let mut nodes = vec![temporal(1, STAYS), temporal(2, STAYS)];
    nodes[0].run(
        "INSERT INTO rooms VALUES (1, '[2026-01-01,2026-01-09)'), (2, '[2026-01-01,2026-01-09)');
         INSERT INTO stays VALUES (10, 1, '[2026-01-03,2026-01-07)'), (11, 2, '[2026-01-03,2026-01-07)')",
    );
    nodes[0].seal();
    // The room of the copy has no place beside the one that the application has made, so nobody can stay in it.
    nodes[1].run("INSERT INTO rooms VALUES (1, '[2026-01-02,2026-01-04)')");
    let copy = nodes[0].copy();
    nodes[1].load(&copy);
    let rooms_and_stays = "SELECT (SELECT count(*) FROM rooms), (SELECT string_agg(id::text, ' ') FROM stays)";
    assert_eq!(nodes[1].query(rooms_and_stays), ["(2,11)"]);
    assert_eq!(nodes[1].store.parked().unwrap().len(), 2);
    nodes[1].run("DELETE FROM rooms WHERE id = 1");
    converge(&mut nodes);
    assert_eq!(nodes[1].store.retry_parked(now()).unwrap(), 0);
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[1].text("SELECT count(*) FROM stays"), "2");
}

#[test]
fn since_18_a_reference_to_a_period_is_not_synced_by_a_role_that_cannot_write_it_in_any_order() {
    if !has_since(18, "FOREIGN KEY … PERIOD") {
        return;
    }
    let database = Database::new();
    let role = database.role("ours");
    database.session().batch("CREATE EXTENSION btree_gist SCHEMA public; SET search_path = public").unwrap();
    let app = application(&database);
    app.batch(STAYS).unwrap();
    app.batch(&format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO \"{role}\"")).unwrap();
    let skipped = || -> Vec<String> {
        let session = Session::open(&database.location().as_user(&role)).unwrap();
        let plan = plan(&session, "public", &AttachOptions::default()).unwrap();
        plan.skipped.iter().map(|table| format!("{} {}", table.name, table.code)).collect()
    };
    assert_eq!(skipped(), ["stays RM2111"]);
    app.batch(&format!("GRANT SET ON PARAMETER session_replication_role TO \"{role}\"")).unwrap();
    assert_eq!(skipped(), [] as [&str; 0]);
}

/// Not new, but of one kind with keys over periods.
#[test]
fn e3_rows_that_exclude_one_another_change_places_inside_a_transaction() {
    let schema = "CREATE TABLE stays (id int PRIMARY KEY, at int4range, EXCLUDE USING gist (at WITH &&))";
    travels(
        schema,
        &[
            "INSERT INTO stays VALUES (1, '[1,5)'), (2, '[5,9)')",
            "BEGIN; UPDATE stays SET at = '[20,21)' WHERE id = 1; UPDATE stays SET at = '[1,5)' WHERE id = 2;
             UPDATE stays SET at = '[5,9)' WHERE id = 1; COMMIT",
            "BEGIN; UPDATE stays SET at = '[5,7)' WHERE id = 1; UPDATE stays SET at = '[1,2)' WHERE id = 2; INSERT INTO stays VALUES (3, '[2,5)'); COMMIT",
        ],
    );
}

#[test]
fn p5_rows_that_exclude_one_another_and_are_checked_late_never_stand_together() {
    let schema = "CREATE TABLE stays (id int PRIMARY KEY, at int4range, EXCLUDE USING gist (at WITH &&) DEFERRABLE INITIALLY DEFERRED)";
    let mut nodes = nodes(2, schema);
    nodes[0].run("INSERT INTO stays VALUES (1, '[1,5)')");
    nodes[1].run("INSERT INTO stays VALUES (2, '[3,9)')");
    converge(&mut nodes);
    for node in &nodes {
        assert_eq!(node.text("SELECT count(*) FROM stays"), "1", "node {}", node.name);
    }
    assert_eq!(parked(&mut nodes), 2);
}

/// The rest of what a server may have of its own: as durable as in earnest, with the settings that newer versions brought.
#[test]
fn since_18_a_server_with_checksums_and_workers_for_its_disk_is_a_server_like_others() {
    if !has_since(18, "io_method") {
        return;
    }
    let cluster = Cluster::own(&["io_method = worker", "file_copy_method = copy"]);
    let mut nodes = vec![
        Node::on(1, Site::on(Database::on(&cluster)), "CREATE TABLE t (id int PRIMARY KEY, a text)"),
        Node::new(2, "CREATE TABLE t (id int PRIMARY KEY, a text)"),
    ];
    nodes[1].run("INSERT INTO t SELECT n, 'x' FROM generate_series(1, 1000) n");
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[0].text("SELECT current_setting('data_checksums')"), "on");
}
