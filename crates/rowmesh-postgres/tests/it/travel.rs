//! What an application writes on one node arrives on the others, whatever kind of statement wrote it.

use rowmesh_core::store::Store;

use crate::cluster::{Cluster, Database, has_since};
use crate::mesh::{Node, check_equal, converge, lacked, now};

const SHOP: &str = "CREATE TABLE customers (id text PRIMARY KEY, name text NOT NULL, email text UNIQUE);
    CREATE TABLE orders (id bigint PRIMARY KEY, customer text NOT NULL REFERENCES customers (id) ON DELETE CASCADE, total numeric(12,2), note text,
                         at timestamptz DEFAULT '2026-01-01 00:00:00+00')";

fn pair(schema: &str) -> Vec<Node> {
    vec![Node::new(1, schema), Node::new(2, schema)]
}

/// Runs each batch on the first node, converging after each, and asserts that nothing is parked and nothing comes back.
fn check(schema: &str, batches: &[&str]) -> Vec<Node> {
    let mut nodes = pair(schema);
    for batch in batches {
        nodes[0].run(batch);
        converge(&mut nodes);
        check_equal(&mut nodes);
        assert_eq!((nodes[0].seal(), nodes[1].seal()), (0, 0), "nothing is sealed twice after {batch}");
    }
    assert!(nodes[1].store.parked().unwrap().is_empty(), "{:?}", nodes[1].store.parked().unwrap());
    nodes
}

#[test]
fn inserts_updates_and_deletes_arrive() {
    let nodes = check(
        SHOP,
        &[
            "INSERT INTO customers VALUES ('a', 'Anna', 'a@x'), ('b', 'Bert', NULL)",
            "INSERT INTO orders (id, customer, total) VALUES (1, 'a', 12.5), (2, 'a', 0), (3, 'b', NULL)",
            "UPDATE orders SET note = 'x', total = total + 1 WHERE customer = 'a'; DELETE FROM orders WHERE id = 3",
            "BEGIN; INSERT INTO customers VALUES ('c', 'Cleo', 'c@x'); UPDATE orders SET customer = 'c' WHERE id = 2; COMMIT",
        ],
    );
    assert_eq!(
        nodes[1].query("SELECT id, customer, total, note FROM orders ORDER BY id"),
        ["(1,a,13.50,x)", "(2,c,1.00,x)"]
    );
}

#[test]
fn concurrent_edits_of_different_columns_both_survive_without_a_ledger_entry() {
    let mut nodes = check(SHOP, &["INSERT INTO customers VALUES ('a', 'Anna', 'a@x')"]);
    nodes[0].run("UPDATE customers SET name = 'Anne'");
    nodes[1].run("UPDATE customers SET email = 'anne@x'");
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[0].query("SELECT * FROM customers"), ["(a,Anne,anne@x)"]);
    assert!(nodes[0].ledger().is_empty());
}

#[test]
fn concurrent_edits_of_one_column_leave_the_loser_in_the_ledger() {
    let mut nodes = check(SHOP, &["INSERT INTO customers VALUES ('a', 'Anna', 'a@x')"]);
    nodes[0].run("UPDATE customers SET name = 'Anne'");
    nodes[1].run("UPDATE customers SET name = 'Hanna'");
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[0].ledger().len(), 1);
}

const MERGE: &str = "MERGE INTO orders o USING (SELECT generate_series(2990, 3010) AS id) s ON o.id = s.id
    WHEN MATCHED THEN UPDATE SET note = 'merged' WHEN NOT MATCHED THEN INSERT VALUES (s.id, 'c1', 1, NULL, NULL)";

#[test]
fn a8_bulk_statements_upserts_merges_cascades_and_copies_arrive() {
    check(
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
    let mut nodes = check(SHOP, &["INSERT INTO customers SELECT 'c' || n, 'x', NULL FROM generate_series(1, 20) n"]);
    nodes[0].run("TRUNCATE customers CASCADE; INSERT INTO customers VALUES ('c5', 'again', NULL)");
    nodes[1].run("INSERT INTO customers VALUES ('new', 'x', NULL)");
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[0].query("SELECT id, name FROM customers ORDER BY id"), ["(c5,again)", "(new,x)"]);
}

#[test]
fn d1_an_unsealed_edit_is_sealed_before_anything_is_applied_over_it() {
    let mut nodes = check(SHOP, &["INSERT INTO customers VALUES ('a', 'Anna', 'a@x')"]);
    nodes[1].run("UPDATE customers SET name = 'of b'");
    nodes[1].seal();
    nodes[0].run("UPDATE customers SET name = 'of a'");
    let (here, there) = nodes.split_at_mut(1);
    let of_b = lacked(&here[0], &mut there[0]);
    here[0].take(&of_b);
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[0].ledger().len(), 1);
}

#[test]
fn e3_unique_values_swap_and_rotate_inside_a_transaction() {
    check(
        "CREATE TABLE seats (id int PRIMARY KEY, place int UNIQUE, who text)",
        &[
            "INSERT INTO seats SELECT n, n, 'p' || n FROM generate_series(1, 10) n",
            "BEGIN; UPDATE seats SET place = NULL WHERE id = 1; UPDATE seats SET place = 1 WHERE id = 2;
             UPDATE seats SET place = 2 WHERE id = 1; COMMIT",
            "BEGIN; UPDATE seats SET place = -place; UPDATE seats SET place = 1 - place; COMMIT",
            "DELETE FROM seats WHERE id = 3; UPDATE seats SET place = 4 WHERE id = 7 AND false; INSERT INTO seats VALUES (30, 5 - 100, 'x')",
        ],
    );
}

#[test]
fn a_node_that_stops_goes_on_where_it_was() {
    let mut nodes = pair(SHOP);
    nodes[0].run("INSERT INTO customers VALUES ('a', 'Anna', 'a@x')");
    converge(&mut nodes);
    let two = nodes.pop().unwrap();
    two.run("UPDATE customers SET name = 'while nobody looked'");
    nodes.push(two.restart());
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[0].text("SELECT name FROM customers"), "while nobody looked");
}

#[test]
fn e9_q3_a_child_whose_parent_is_gone_waits_and_no_reference_dangles() {
    let mut nodes = check(SHOP, &["INSERT INTO customers VALUES ('a', 'Anna', 'a@x'), ('b', 'Bert', NULL)"]);
    nodes[0].run("DELETE FROM customers WHERE id = 'a'");
    nodes[1].run("INSERT INTO orders (id, customer) VALUES (1, 'a')");
    converge(&mut nodes);
    let dangling = "SELECT count(*) FROM orders o WHERE NOT EXISTS (SELECT FROM customers c WHERE c.id = o.customer)";
    assert_eq!((nodes[0].text(dangling).as_str(), nodes[1].text(dangling).as_str()), ("0", "0"));
    let waiting: usize = nodes.iter_mut().map(|node| node.store.parked().unwrap().len()).sum();
    assert!(waiting > 0, "somebody waits until the rule for orphans is there");
}

#[test]
fn p5_e9_a_parent_that_has_to_stay_gets_its_place_back_from_who_took_its_unique_value() {
    let rows = "INSERT INTO customers SELECT 'c' || n, 'x', 'c' || n || '@x' FROM generate_series(1, 20) n";
    let mut nodes = check(SHOP, &[rows]);
    // All of them go and come back under other names with the same addresses; one has an order by then.
    nodes[0].run("UPDATE customers SET id = 'new ' || id");
    nodes[1].run("INSERT INTO orders (id, customer) VALUES (1, 'c7')");
    converge(&mut nodes);
    let dangling = "SELECT count(*) FROM orders o WHERE NOT EXISTS (SELECT FROM customers c WHERE c.id = o.customer)";
    assert_eq!((nodes[0].text(dangling).as_str(), nodes[1].text(dangling).as_str()), ("0", "0"));
    assert_eq!(nodes[1].text("SELECT count(*) FROM customers WHERE id LIKE 'new %'"), "19");
    assert_eq!(nodes[1].text("SELECT email FROM customers WHERE id = 'c7'"), "c7@x");
}

#[test]
fn an_idle_store_writes_nothing() {
    // Alone on its server, and without what a server writes by itself.
    let cluster =
        Cluster::own(&["autovacuum = off", "wal_level = minimal", "max_wal_senders = 0", "checkpoint_timeout = 1h"]);
    let mut nodes = vec![Node::on(1, Database::on(&cluster), SHOP), Node::new(2, SHOP)];
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
    let mut nodes = pair(schema);
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
