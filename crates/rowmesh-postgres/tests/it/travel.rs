//! What an application writes on one node arrives on the others, where PostgreSQL has ways of its own: MERGE, TRUNCATE, sequences; and what an idle
//! store costs its server.

use rowmesh_contract::Place;
use rowmesh_core::clock::WallTime;
use rowmesh_core::store::Store;

use crate::cluster::{Cluster, Database, has_since};
use crate::mesh::{Node, Site, check_equal, converge, nodes, now, travels};

const SHOP: &str = "CREATE TABLE customers (id text PRIMARY KEY, name text NOT NULL, email text UNIQUE);
    CREATE TABLE orders (id bigint PRIMARY KEY, customer text NOT NULL REFERENCES customers (id) ON DELETE CASCADE, total numeric(12,2), note text,
                         at timestamptz DEFAULT '2026-01-01 00:00:00+00')";

const MERGE: &str = "MERGE INTO orders o USING (SELECT generate_series(2990, 3010) AS id) s ON o.id = s.id
    WHEN MATCHED THEN UPDATE SET note = 'merged' WHEN NOT MATCHED THEN INSERT VALUES (s.id, 'c1', 1, NULL, NULL)";

#[test]
fn a8_bulk_statements_upserts_merges_cascades_and_copies_arrive() {
    travels(
        SHOP,
        &[
            "INSERT INTO customers SELECT 'c' || n, 'name ' || n, NULL FROM generate_series(1, 500) n;
             INSERT INTO orders (id, customer, total) SELECT n, 'c' || (n % 500 + 1), n FROM generate_series(1, 3000) n",
            "UPDATE orders SET total = total * 2, note = 'n' || id; UPDATE customers SET name = upper(name) WHERE id LIKE '%7'",
            "INSERT INTO customers SELECT 'c' || n, 'again', 'e' || n FROM generate_series(400, 600) n
               ON CONFLICT (id) DO UPDATE SET name = excluded.name, email = excluded.email",
            "INSERT INTO customers VALUES ('c1', 'never', NULL) ON CONFLICT DO NOTHING",
            if has_since(15, "MERGE") { MERGE } else { "" },
            "DELETE FROM customers WHERE id IN ('c2', 'c3', 'c400')",
            "UPDATE customers SET id = 'moved' WHERE id = 'c500' AND NOT EXISTS (SELECT FROM orders WHERE customer = 'c500')",
        ],
    );
}

#[test]
fn a6_a_table_that_is_emptied_is_emptied_everywhere_and_rows_that_came_meanwhile_stay() {
    let mut nodes = travels(SHOP, &["INSERT INTO customers SELECT 'c' || n, 'x', NULL FROM generate_series(1, 20) n"]);
    nodes[0].run("TRUNCATE customers CASCADE; INSERT INTO customers VALUES ('c5', 'again', NULL)");
    nodes[1].run("INSERT INTO customers VALUES ('new', 'x', NULL)");
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[0].query("SELECT id, name FROM customers ORDER BY id"), ["(c5,again)", "(new,x)"]);
}

#[test]
fn an_idle_store_writes_nothing() {
    // Alone on its server, and without what a server writes by itself.
    let cluster =
        Cluster::own(&["autovacuum = off", "wal_level = minimal", "max_wal_senders = 0", "checkpoint_timeout = 1h"]);
    let mut nodes = vec![Node::on(1, Site::on(Database::on(&cluster)), SHOP), Node::new(2, SHOP)];
    nodes[0].run("INSERT INTO customers VALUES ('a', 'Anna', 'a@x')");
    converge(&mut nodes);
    let written = |node: &Node| node.text("SELECT pg_current_wal_insert_lsn()");
    nodes[0].text("SELECT pg_stat_clear_snapshot()");
    let before = written(&nodes[0]);
    for _ in 0..20 {
        assert!(!nodes[0].store.look().unwrap().dirty);
        assert_eq!(nodes[0].store.seal(now()).unwrap().events, 0);
    }
    assert_eq!(before, written(&nodes[0]));
}

#[test]
fn numbers_that_the_application_draws_are_never_taken_already() {
    let schema = "CREATE TABLE tickets (id serial PRIMARY KEY, what text); CREATE TABLE notes (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what text)";
    let mut nodes = nodes(2, schema);
    for round in 0..5 {
        nodes[round % 2].run("INSERT INTO tickets (what) SELECT 'x' FROM generate_series(1, 100); INSERT INTO notes (what) VALUES ('a'), ('b')");
        converge(&mut nodes);
        check_equal(&mut nodes);
    }
    assert_eq!(
        (nodes[0].text("SELECT count(*) FROM tickets"), nodes[0].text("SELECT count(*) FROM notes")),
        ("500".into(), "10".into())
    );
}

#[test]
fn of_many_new_rows_that_go_in_at_once_only_the_one_is_affected_that_cannot_stand_so() {
    let mut nodes = nodes(2, SHOP);
    nodes[1].run("INSERT INTO customers VALUES ('own', 'x', 'c60@x')");
    nodes[1].place.date_notes(WallTime(1_000));
    nodes[0].run(
        "INSERT INTO customers SELECT 'c' || n, E'a\\tb\\n\\\\N' || n, 'c' || n || '@x' FROM generate_series(1, 200) n",
    );
    converge(&mut nodes);
    assert_eq!(nodes[1].text("SELECT count(*) FROM customers WHERE id <> 'own' AND email LIKE '%@x'"), "199");
    assert_eq!(nodes[1].text("SELECT left(email, 6) FROM customers WHERE id = 'c60' AND email LIKE '%@x~%'"), "c60@x~");
    assert_eq!(nodes[1].text("SELECT name FROM customers WHERE id = 'c7'"), "a\tb\n\\N7");
    assert_eq!(nodes[1].store.parked().unwrap(), []);
    nodes[1].run("UPDATE customers SET email = 'other@x' WHERE id = 'own'");
    converge(&mut nodes);
    assert_eq!(nodes[1].text("SELECT email FROM customers WHERE id = 'c60'"), "c60@x");
    check_equal(&mut nodes);
}

#[test]
fn a9_a_round_of_more_keys_than_fit_into_a_changeset_arrives_whole_and_its_notes_leave_no_room_behind() {
    let table = "CREATE TABLE t (id int PRIMARY KEY, n int)";
    let insert = "INSERT INTO t SELECT n, 0 FROM generate_series(1, 70000) n";
    let mut nodes = travels(table, &[insert, "UPDATE t SET n = id % 7; DELETE FROM t WHERE id % 10000 = 0"]);
    assert_eq!(nodes[1].text("SELECT count(*) FROM t WHERE n = id % 7"), "69993");
    for node in nodes.drain(..) {
        let mut node = node.restart();
        node.store.look().unwrap();
        assert_eq!(node.text("SELECT pg_relation_size('rowmesh.dirty')"), "0");
    }
}

#[test]
fn e11_identities_and_columns_that_are_computed_arrive_as_they_were() {
    let nodes = travels(
        "CREATE TABLE always (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int, twice int GENERATED ALWAYS AS (n * 2) STORED);
         CREATE TABLE defaults (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY)",
        &[
            "INSERT INTO always (n) VALUES (1), (2), (3); INSERT INTO defaults (id) VALUES (7), (9)",
            "UPDATE always SET n = 10 WHERE id = 2; DELETE FROM always WHERE id = 1; UPDATE defaults SET id = 8 WHERE id = 7",
        ],
    );
    assert_eq!(nodes[1].query("SELECT * FROM always ORDER BY id"), ["(2,10,20)", "(3,3,6)"]);
    assert_eq!(nodes[1].query("SELECT * FROM defaults ORDER BY id"), ["(8,1)", "(9,2)"]);
}

#[test]
fn e12_a_check_that_asks_for_the_time_or_for_other_rows_keeps_back_its_row_alone() {
    let mut nodes = nodes(2, "CREATE TABLE notes (id int PRIMARY KEY, at timestamptz, up int)");
    nodes[1].run(
        "ALTER TABLE notes ADD CHECK (at <= now());
         CREATE FUNCTION depth(int) RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM public.notes WHERE up = $1';
         ALTER TABLE notes ADD CONSTRAINT few CHECK (depth(up) < 2)",
    );
    nodes[1].store.follow_schema(now()).unwrap();
    nodes[0].run("INSERT INTO notes VALUES (1, now(), NULL), (2, now() + '1 day', NULL), (3, now(), NULL)");
    nodes[0].run("INSERT INTO notes VALUES (4, now(), 1); INSERT INTO notes VALUES (5, now(), 1); INSERT INTO notes VALUES (6, now(), 1)");
    converge(&mut nodes);
    let waiting = nodes[1].store.parked().unwrap();
    assert!(
        !waiting.is_empty()
            && waiting.iter().all(|row| row.reason.contains("notes_at_check") || row.reason.contains("few")),
        "{waiting:?}"
    );
    assert_eq!(nodes[1].query("SELECT id FROM notes WHERE id < 4 ORDER BY id"), ["(1)", "(3)"]);
    nodes[0].run("UPDATE notes SET at = now() WHERE id = 2; UPDATE notes SET up = NULL");
    converge(&mut nodes);
    assert_eq!(nodes[1].store.retry_parked(now()).unwrap(), 0);
    check_equal(&mut nodes);
}

#[test]
fn q30_a_new_row_that_another_unique_index_refuses_is_a_collision_and_is_not_tried_for_ever() {
    for role_is_ordinary in [false, true] {
        let schema = "CREATE TABLE users (id int PRIMARY KEY, mail text UNIQUE, name text)";
        let node = |name| match role_is_ordinary {
            true => Node::on(name, Site::ordinary(), schema),
            false => Node::new(name, schema),
        };
        let mut nodes = vec![node(1), node(2)];
        nodes[0].run("INSERT INTO users VALUES (1, 'm', 'ann'), (3, 'free', 'cid')");
        nodes[0].place.date_notes(WallTime(1_000));
        nodes[1].run("INSERT INTO users VALUES (2, 'm', 'bob')");
        converge(&mut nodes);
        for node in &mut nodes {
            let shown = node.query("SELECT id, left(mail, 2), name FROM users ORDER BY id");
            assert_eq!(shown, ["(1,m,ann)", "(2,m~,bob)", "(3,fr,cid)"]);
            assert_eq!(node.store.parked().unwrap(), []);
        }
        nodes[1].run("UPDATE users SET mail = 'n' WHERE id = 2");
        converge(&mut nodes);
        nodes.iter_mut().for_each(|node| assert_eq!(node.store.retry_parked(now()).unwrap(), 0));
        check_equal(&mut nodes);
    }
}

#[test]
fn e4_what_only_the_database_holds_equal_waits_and_what_is_equal_by_its_scale_collides() {
    let schema = "CREATE EXTENSION IF NOT EXISTS citext;
        CREATE TABLE t (id text PRIMARY KEY, mail citext UNIQUE, price numeric UNIQUE, short varchar(3) UNIQUE)";
    let mut nodes = vec![Node::new(1, schema), Node::new(2, schema)];
    nodes[0].run("INSERT INTO t VALUES ('a', NULL, 1.50, 'abc'), ('c', 'Ann@x', NULL, NULL)");
    nodes[0].place.date_notes(WallTime(1_000));
    nodes[0].seal();
    nodes[1].run("INSERT INTO t VALUES ('b', NULL, 1.5, 'abc')");
    converge(&mut nodes);
    check_equal(&mut nodes);
    for node in &nodes {
        let shown = node.query("SELECT id, price, short FROM t WHERE mail IS NULL ORDER BY id");
        assert_eq!(shown, ["(a,1.50,abc)", "(b,,)"], "three letters leave no room for a suffix");
    }
    nodes[0].run("UPDATE t SET mail = 'one' WHERE id = 'a'");
    nodes[1].run("UPDATE t SET mail = 'ONE' WHERE id = 'b'");
    converge(&mut nodes);
    let waiting: usize = nodes.iter_mut().map(|node| node.store.parked().unwrap().len()).sum();
    assert!(waiting > 0, "who gives way where only the server can compare is for a later rule");
}

#[test]
fn e2_what_a_row_can_show_instead_is_asked_as_rows_are_written_where_the_application_s_triggers_run_too() {
    let schema = "CREATE TABLE known (word text PRIMARY KEY); CREATE TABLE t (id text PRIMARY KEY, mail text UNIQUE);
        CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM 1 FROM known; RETURN NEW; END';
        CREATE TRIGGER looks BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION look()";
    let mut nodes = vec![Node::on(1, Site::ordinary(), schema), Node::new(2, schema)];
    nodes[0].run("INSERT INTO t VALUES ('a', 'x')");
    nodes[0].place.date_notes(WallTime(1_000));
    nodes[0].seal();
    nodes[1].run("INSERT INTO t VALUES ('b', 'x')");
    converge(&mut nodes);
    check_equal(&mut nodes);
    for node in &nodes {
        assert_eq!(node.query("SELECT id, left(mail, 2) FROM t ORDER BY id"), ["(a,x)", "(b,x~)"]);
    }
}
