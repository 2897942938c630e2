//! What one round makes of many transactions and of every kind of constraint: whole at each step, equal at the end.

use rowmesh_core::limits;
use rowmesh_core::store::Store;

use crate::mesh::{Node, check_equal, converge, lacked, nodes, now, open_app, travels, two};

/// One text of the second node.
fn text(node: &Node, sql: &str) -> String {
    node.app.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn b3_rows_are_sealed_as_the_application_s_own_triggers_left_them_in_whatever_order_they_ran() {
    let touching = "CREATE TRIGGER touch_{} AFTER UPDATE OF name ON notes BEGIN UPDATE notes SET edits = edits + 1 WHERE id = NEW.id; END;
                    CREATE TRIGGER count_{} AFTER INSERT ON notes BEGIN
                      INSERT INTO totals VALUES ('all', 1) ON CONFLICT (id) DO UPDATE SET n = n + 1; END;";
    let schema = format!(
        "PRAGMA recursive_triggers = ON; CREATE TABLE notes (id TEXT PRIMARY KEY, name TEXT, edits INTEGER DEFAULT 0);
         CREATE TABLE totals (id TEXT PRIMARY KEY, n INTEGER); {}",
        touching.replace("{}", "before")
    );
    // Made again after ours, they run on the other side of them.
    let again = format!("DROP TRIGGER touch_before; DROP TRIGGER count_before; {}", touching.replace("{}", "after"));
    let write = "INSERT INTO notes (id, name) VALUES ('a', 'x'), ('b', 'x'); UPDATE notes SET name = 'y'";
    let write_more = "INSERT INTO notes (id, name) VALUES ('c', 'x'); UPDATE notes SET name = 'z'";
    let nodes = travels(&schema, &[write, &again, write_more]);
    assert_eq!(text(&nodes[1], "SELECT group_concat(id || edits || name) FROM notes"), "a2z,b2z,c1z");
    assert_eq!(text(&nodes[1], "SELECT CAST(n AS TEXT) FROM totals"), "3", "counted once, where it was inserted");
}

#[test]
fn b12_between_two_bites_of_an_apply_an_application_that_waits_for_nothing_gets_its_turn() {
    let mut nodes = nodes(2, "CREATE TABLE t (id TEXT PRIMARY KEY, v TEXT)");
    for round in 0..60 {
        nodes[0].run(&format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) INSERT INTO t SELECT '{round}-' || i, 'x' FROM n"));
        nodes[0].seal();
    }
    let (left, right) = two(&mut nodes);
    let mut changesets = lacked(right, left);
    let impatient = open_app(&right.path);
    impatient.execute_batch("PRAGMA busy_timeout = 0").unwrap();
    let mut bites = 0;
    while !changesets.is_empty() {
        let taken = right.store.take(now(), &changesets).unwrap();
        changesets.drain(..taken.changesets);
        bites += 1;
        impatient.execute("INSERT INTO t VALUES (?1, 'mine')", [format!("mine-{bites}")]).unwrap();
    }
    assert!(bites > 1, "60 changesets of 200 rows take longer than {} ms", limits::APPLY_MS_BUDGET);
}

#[test]
fn e8_rows_that_refer_to_one_another_across_a_cut_wait_and_are_whole_at_the_end() {
    let schema = "CREATE TABLE p (id TEXT PRIMARY KEY, best TEXT REFERENCES c(id)); CREATE INDEX p_best ON p (best);
                  CREATE TABLE c (id TEXT PRIMARY KEY, p TEXT NOT NULL REFERENCES p(id)); CREATE INDEX c_p ON c (p);";
    let mut nodes = nodes(2, schema);
    nodes[0].run(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000) INSERT INTO p SELECT 'p' || i, NULL FROM n;
         INSERT INTO c SELECT 'c' || id, id FROM p; UPDATE p SET best = 'c' || id",
    );
    converge(&mut nodes);
    nodes[1].store.retry_parked(now()).unwrap();
    assert!(nodes[1].store.parked().unwrap().is_empty());
    check_equal(&mut nodes);
}

#[test]
fn d10_a_reader_never_sees_half_of_a_transaction_that_came_from_elsewhere() {
    let schema = "CREATE TABLE orders (id TEXT PRIMARY KEY, total INTEGER); CREATE TABLE lines (id TEXT PRIMARY KEY, amount INTEGER)";
    let mut nodes = nodes(2, schema);
    for order in 0..40 {
        nodes[0].run(&format!(
            "BEGIN; INSERT INTO orders VALUES ('o{order}', 30);
             INSERT INTO lines VALUES ('l{order}a', 10), ('l{order}b', 20); UPDATE orders SET total = total + 1 WHERE id = 'o0';
             UPDATE lines SET amount = amount + 1 WHERE id = 'l0a'; COMMIT"
        ));
        nodes[0].seal();
    }
    let reader = open_app(&nodes[1].path);
    let done = std::sync::atomic::AtomicBool::new(false);
    let sums = "SELECT (SELECT coalesce(sum(total), 0) FROM orders) - (SELECT coalesce(sum(amount), 0) FROM lines)";
    std::thread::scope(|scope| {
        let done = &done;
        let watching = scope.spawn(move || {
            let mut looked = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let difference: i64 = reader.query_row(sums, [], |row| row.get(0)).unwrap();
                assert_eq!(difference, 0, "half of a transaction is visible");
                looked += 1;
            }
            looked
        });
        let (left, right) = two(&mut nodes);
        for changeset in lacked(right, left) {
            right.take(&[changeset]);
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(watching.join().unwrap() > 0);
    });
}

#[test]
fn e4_unique_values_of_every_kind_of_index_move_between_rows_and_are_replaced() {
    for index in ["u", "u COLLATE NOCASE", "lower(u)", "u) WHERE (v <> 'off'", "u, coalesce(v, '')"] {
        let schema =
            format!("CREATE TABLE t (id TEXT PRIMARY KEY, u TEXT, v TEXT); CREATE UNIQUE INDEX i ON t ({index});");
        let nodes = travels(
            &schema,
            &[
                "INSERT INTO t VALUES ('a', 'x', 'on'), ('b', 'y', 'on'), ('c', 'z', 'on')",
                // Rotated within a transaction, then taken by REPLACE, then given back by a row that goes.
                "BEGIN; UPDATE t SET u = 'tmp' WHERE id = 'a'; UPDATE t SET u = 'x' WHERE id = 'b'; UPDATE t SET u = 'y' WHERE id = 'c';
                 UPDATE t SET u = 'z' WHERE id = 'a'; COMMIT",
                "INSERT OR REPLACE INTO t VALUES ('d', 'x', 'on'); UPDATE OR REPLACE t SET u = 'z' WHERE id = 'c'",
                "BEGIN; DELETE FROM t WHERE id = 'd'; INSERT INTO t VALUES ('e', 'x', 'on'); COMMIT",
            ],
        );
        assert_eq!(
            text(&nodes[1], "SELECT group_concat(id || u) FROM (SELECT * FROM t ORDER BY id)"),
            "cz,ex",
            "{index}"
        );
    }
}

#[test]
fn e7_a_transaction_that_defers_foreign_keys_to_its_end_arrives_whole() {
    travels(
        "CREATE TABLE p (id TEXT PRIMARY KEY, v TEXT);
         CREATE TABLE s (id TEXT PRIMARY KEY, p TEXT NOT NULL REFERENCES p(id));",
        &[
            "BEGIN; PRAGMA defer_foreign_keys = ON; INSERT INTO s VALUES ('y', 'b'); INSERT INTO p VALUES ('b', '1'); COMMIT",
            "BEGIN; PRAGMA defer_foreign_keys = ON; DELETE FROM p WHERE id = 'b'; UPDATE s SET p = 'z'; INSERT INTO p VALUES ('z', '3'); COMMIT",
        ],
    );
}
