//! What one round makes of many transactions and of every kind of constraint: whole at each step, equal at the end.

use rowmesh_core::changeset::Changeset;
use rowmesh_core::clock::WallTime;
use rowmesh_core::limits;
use rowmesh_core::store::Store;

use crate::mesh::{Node, check_equal, converge, everything_after, now, open_app, verified};

fn pair(schema: &str) -> Vec<Node> {
    vec![Node::new(1, schema), Node::new(2, schema)]
}

/// Runs each batch on the first node, converging after each, and asserts that nothing is parked anywhere.
fn check(schema: &str, batches: &[&str]) -> Vec<Node> {
    let mut nodes = pair(schema);
    for batch in batches {
        nodes[0].run(batch);
        converge(&mut nodes);
        check_equal(&mut nodes);
    }
    assert!(nodes[1].store.parked().unwrap().is_empty(), "{:?}", nodes[1].store.parked().unwrap());
    nodes
}

/// One text of the second node.
fn text(node: &Node, sql: &str) -> String {
    node.app.query_row(sql, [], |row| row.get(0)).unwrap()
}

fn lacked(to: &Node, from: &mut Node) -> Vec<Changeset> {
    let page = from.store.read_log(&everything_after(&to.store)).unwrap();
    page.changesets.iter().map(|bytes| verified(bytes)).collect()
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
    let nodes = check(&schema, &[write, &again, write_more]);
    assert_eq!(text(&nodes[1], "SELECT group_concat(id || edits || name) FROM notes"), "a2z,b2z,c1z");
    assert_eq!(text(&nodes[1], "SELECT CAST(n AS TEXT) FROM totals"), "3", "counted once, where it was inserted");
}

#[test]
fn b8_an_orphan_that_a_connection_without_foreign_keys_left_holds_up_nothing_but_itself() {
    let schema = "CREATE TABLE p (id TEXT PRIMARY KEY, v TEXT); CREATE TABLE c (id TEXT PRIMARY KEY, p TEXT NOT NULL REFERENCES p(id))";
    let mut nodes = pair(schema);
    nodes[0].run("INSERT INTO p VALUES ('a', '1'), ('b', '1'); INSERT INTO c VALUES ('x', 'a')");
    converge(&mut nodes);
    nodes[0].run("PRAGMA foreign_keys = OFF; DELETE FROM p WHERE id = 'a'; INSERT INTO c VALUES ('y', 'nobody'); UPDATE p SET v = '2'");
    converge(&mut nodes);
    assert_eq!(text(&nodes[1], "SELECT v FROM p WHERE id = 'b'"), "2", "the rest of the changeset is shown");
    assert_eq!(nodes[1].query("PRAGMA foreign_key_check"), Vec::<String>::new());
    assert_eq!(nodes[1].store.parked().unwrap().len(), 2);
    // Mended at its origin, it drains.
    nodes[0].run("DELETE FROM c WHERE id = 'x'; INSERT INTO p VALUES ('nobody', '3')");
    converge(&mut nodes);
    nodes[1].store.retry_parked(now()).unwrap();
    assert!(nodes[1].store.parked().unwrap().is_empty());
    check_equal(&mut nodes);
}

#[test]
fn b12_between_two_bites_of_an_apply_an_application_that_waits_for_nothing_gets_its_turn() {
    let mut nodes = pair("CREATE TABLE t (id TEXT PRIMARY KEY, v TEXT)");
    for round in 0..60 {
        nodes[0].run(&format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) INSERT INTO t SELECT '{round}-' || i, 'x' FROM n"));
        nodes[0].seal();
    }
    let (left, right) = nodes.split_at_mut(1);
    let mut changesets = lacked(&right[0], &mut left[0]);
    let impatient = open_app(&right[0].path);
    impatient.execute_batch("PRAGMA busy_timeout = 0").unwrap();
    let mut bites = 0;
    while !changesets.is_empty() {
        let taken = right[0].store.take(now(), &changesets).unwrap();
        changesets.drain(..taken.changesets);
        bites += 1;
        impatient.execute("INSERT INTO t VALUES (?1, 'mine')", [format!("mine-{bites}")]).unwrap();
    }
    assert!(bites > 1, "60 changesets of 200 rows take longer than {} ms", limits::APPLY_MS_BUDGET);
}

#[test]
fn c1_h6_q31_a_round_in_several_parts_is_whole_after_each_of_them() {
    let schema = "CREATE TABLE p (id TEXT PRIMARY KEY, v INTEGER);
                  CREATE TABLE c (id TEXT PRIMARY KEY, p TEXT NOT NULL REFERENCES p(id) ON DELETE CASCADE, v INTEGER);
                  CREATE INDEX c_p ON c (p);";
    let mut nodes = pair(schema);
    // Many transactions in one round: parents, children, parents again, children that go with their parents at the end.
    nodes[0].run(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000) INSERT INTO p SELECT 'p' || i, i FROM n;
         INSERT INTO c SELECT 'c' || v, id, v FROM p; UPDATE p SET v = -v; INSERT INTO c SELECT 'd' || -v, id, v FROM p WHERE v % 2 = 0",
    );
    converge_step_by_step(&mut nodes);
    nodes[0].run("UPDATE c SET v = v + 1; DELETE FROM p WHERE v % 2 = 0; INSERT INTO p SELECT 'again' || v, v FROM c");
    let sealed = converge_step_by_step(&mut nodes);
    assert!(sealed > 1, "{sealed} changesets: the round must have been cut");
    check_equal(&mut nodes);
}

#[test]
fn e8_rows_that_refer_to_one_another_across_a_cut_wait_and_are_whole_at_the_end() {
    let schema = "CREATE TABLE p (id TEXT PRIMARY KEY, best TEXT REFERENCES c(id)); CREATE INDEX p_best ON p (best);
                  CREATE TABLE c (id TEXT PRIMARY KEY, p TEXT NOT NULL REFERENCES p(id)); CREATE INDEX c_p ON c (p);";
    let mut nodes = pair(schema);
    nodes[0].run(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000) INSERT INTO p SELECT 'p' || i, NULL FROM n;
         INSERT INTO c SELECT 'c' || id, id FROM p; UPDATE p SET best = 'c' || id",
    );
    converge(&mut nodes);
    nodes[1].store.retry_parked(now()).unwrap();
    assert!(nodes[1].store.parked().unwrap().is_empty());
    check_equal(&mut nodes);
}

/// Takes one changeset after the other, each a whole on a copy that holds only those before it. Returns how many.
fn converge_step_by_step(nodes: &mut [Node]) -> usize {
    nodes[0].seal();
    let (left, right) = nodes.split_at_mut(1);
    let changesets = lacked(&right[0], &mut left[0]);
    for changeset in &changesets {
        assert!(changeset.events().len() <= 2 * limits::UNIT_ROWS_SQLITE);
        right[0].take(std::slice::from_ref(changeset));
        assert_eq!(right[0].query("PRAGMA foreign_key_check"), Vec::<String>::new(), "after {}", changeset.dot());
        assert!(
            right[0].store.parked().unwrap().is_empty(),
            "after {}: {:?}",
            changeset.dot(),
            right[0].store.parked().unwrap().first()
        );
    }
    changesets.len()
}

#[test]
fn c5_an_edit_made_after_the_clock_went_back_fifty_years_still_beats_the_one_before() {
    let mut nodes = check(
        "CREATE TABLE t (id TEXT PRIMARY KEY, v TEXT)",
        &["INSERT INTO t VALUES ('a', '1')", "UPDATE t SET v = '2'"],
    );
    for (years, value) in [(50, "3"), (1, "4"), (0, "5"), (30, "6")] {
        nodes[0].run(&format!("UPDATE t SET v = '{value}'; UPDATE rowmesh_dirty SET at = 1000"));
        let then = WallTime(now().0 - years * 365 * 24 * 3_600_000);
        nodes[0].store.seal(then).unwrap();
        converge(&mut nodes);
        check_equal(&mut nodes);
        assert_eq!(text(&nodes[1], "SELECT v FROM t"), value, "{years} years back");
    }
    assert_eq!(nodes[0].ledger(), Vec::<String>::new());
}

#[test]
fn c8_an_edit_counts_from_when_it_was_made_not_from_when_the_daemon_came_back() {
    let mut nodes = check("CREATE TABLE t (id TEXT PRIMARY KEY, v TEXT)", &["INSERT INTO t VALUES ('a', '1')"]);
    let hour = 3_600_000;
    let at = |hours: u64| WallTime(now().0 + hours * hour);
    // Nine o'clock here, where the daemon is down until noon; ten o'clock there.
    nodes[0].run(&format!("UPDATE t SET v = 'nine'; UPDATE rowmesh_dirty SET at = {}", at(9).0));
    nodes[1].run(&format!("UPDATE t SET v = 'ten'; UPDATE rowmesh_dirty SET at = {}", at(10).0));
    nodes[1].store.seal(at(10)).unwrap();
    nodes[0].store.seal(at(12)).unwrap();
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(text(&nodes[0], "SELECT v FROM t"), "ten");
}

#[test]
fn c11_a_row_that_cannot_stand_here_waits_alone_and_comes_when_it_can() {
    let mut nodes = vec![
        Node::new(1, "CREATE TABLE t (id TEXT PRIMARY KEY, n INTEGER)"),
        Node::new(2, "CREATE TABLE t (id TEXT PRIMARY KEY, n INTEGER CHECK (n < 100))"),
    ];
    nodes[0].run("INSERT INTO t VALUES ('good', 1), ('poison', 5000)");
    nodes[0].seal();
    nodes[0].run("INSERT INTO t VALUES ('later', 2)");
    converge(&mut nodes);
    assert_eq!(text(&nodes[1], "SELECT group_concat(id) FROM t"), "good,later");
    let parked = nodes[1].store.parked().unwrap();
    assert!(parked.len() == 1 && parked[0].key.contains("poison") && parked[0].reason.contains("CHECK"), "{parked:?}");
    nodes[0].run("UPDATE t SET n = 3 WHERE id = 'poison'");
    converge(&mut nodes);
    assert!(nodes[1].store.parked().unwrap().is_empty());
    check_equal(&mut nodes);
}

#[test]
fn d6_e14_one_key_many_times_in_one_batch_ends_as_its_last_write() {
    let mut nodes = pair("CREATE TABLE t (id TEXT PRIMARY KEY, v TEXT)");
    for sql in [
        "INSERT INTO t VALUES ('a', '1')",
        "UPDATE t SET v = '2'",
        "DELETE FROM t",
        "INSERT INTO t VALUES ('a', '3')",
        "BEGIN; DELETE FROM t; INSERT INTO t VALUES ('a', '4'); DELETE FROM t; INSERT INTO t VALUES ('a', '5'); COMMIT",
    ] {
        nodes[0].run(sql);
        nodes[0].seal();
    }
    let (left, right) = nodes.split_at_mut(1);
    right[0].pull(&mut left[0]);
    assert_eq!(text(&right[0], "SELECT v FROM t"), "5");
    // Deleted and made anew here, edited there: one row everywhere.
    nodes[0].run("BEGIN; DELETE FROM t; INSERT INTO t VALUES ('a', 'new'); COMMIT");
    nodes[1].run("UPDATE t SET v = 'edited'");
    converge(&mut nodes);
    check_equal(&mut nodes);
}

#[test]
fn d7_rows_of_five_hundred_columns_and_keys_of_eight_travel() {
    let columns: Vec<String> = (0..500).map(|n| format!("c{n} INTEGER DEFAULT {n}")).collect();
    let key: Vec<String> = (0..8).map(|n| format!("k{n} TEXT NOT NULL")).collect();
    let names: Vec<String> = (0..8).map(|n| format!("k{n}")).collect();
    let schema =
        format!("CREATE TABLE wide ({}, {}, PRIMARY KEY ({}))", key.join(", "), columns.join(", "), names.join(", "));
    let insert = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
                  INSERT INTO wide (k0, k1, k2, k3, k4, k5, k6, k7) SELECT i, 1, 2, 3, 4, 5, 6, i FROM n";
    let sets: Vec<String> = (0..500).map(|n| format!("c{n} = c{n} + 1")).collect();
    let nodes = check(&schema, &[insert, &format!("UPDATE wide SET {}", sets.join(", "))]);
    assert_eq!(text(&nodes[1], "SELECT CAST(sum(c499) AS TEXT) FROM wide"), (40 * 500).to_string());
}

#[test]
fn d10_a_reader_never_sees_half_of_a_transaction_that_came_from_elsewhere() {
    let schema = "CREATE TABLE orders (id TEXT PRIMARY KEY, total INTEGER); CREATE TABLE lines (id TEXT PRIMARY KEY, amount INTEGER)";
    let mut nodes = pair(schema);
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
        let (left, right) = nodes.split_at_mut(1);
        for changeset in lacked(&right[0], &mut left[0]) {
            right[0].take(&[changeset]);
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
        let nodes = check(
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
fn e5_what_cascades_did_at_the_origin_is_done_everywhere_once() {
    let schema = "CREATE TABLE a (id TEXT PRIMARY KEY);
        CREATE TABLE b (id TEXT PRIMARY KEY, a TEXT NOT NULL REFERENCES a(id) ON DELETE CASCADE ON UPDATE CASCADE);
        CREATE TABLE c (id TEXT PRIMARY KEY, b TEXT REFERENCES b(id) ON DELETE SET NULL, a TEXT DEFAULT 'a0' REFERENCES a(id) ON DELETE SET DEFAULT);
        CREATE TABLE d (id TEXT PRIMARY KEY, b TEXT NOT NULL REFERENCES b(id) ON DELETE CASCADE, c TEXT REFERENCES c(id) ON DELETE RESTRICT);";
    let nodes = check(
        schema,
        &[
            "INSERT INTO a VALUES ('a0'), ('a1'), ('a2'); INSERT INTO b VALUES ('b1', 'a1'), ('b2', 'a2');
             INSERT INTO c VALUES ('c1', 'b1', 'a1'), ('c2', 'b2', 'a0'); INSERT INTO d VALUES ('d1', 'b1', NULL), ('d2', 'b2', 'c2')",
            "UPDATE a SET id = 'a9' WHERE id = 'a2'",
            "DELETE FROM a WHERE id = 'a1'",
        ],
    );
    assert_eq!(nodes[0].ledger(), Vec::<String>::new());
    let all = "SELECT (SELECT group_concat(id) FROM a) || ' ' || (SELECT group_concat(id || a) FROM b) || ' '
               || (SELECT group_concat(id || coalesce(b, '-') || a) FROM c) || ' ' || (SELECT group_concat(id) FROM d)";
    assert_eq!(text(&nodes[1], all), text(&nodes[0], all));
    assert_eq!(text(&nodes[1], all), "a0,a9 b2a9 c1-a0,c2b2a0 d2");
}

#[test]
fn e7_a_transaction_that_is_legal_only_at_its_end_arrives_whole() {
    check(
        "CREATE TABLE p (id TEXT PRIMARY KEY, v TEXT);
         CREATE TABLE c (id TEXT PRIMARY KEY, p TEXT NOT NULL REFERENCES p(id) DEFERRABLE INITIALLY DEFERRED);
         CREATE TABLE s (id TEXT PRIMARY KEY, p TEXT NOT NULL REFERENCES p(id));",
        &[
            "BEGIN; INSERT INTO c VALUES ('x', 'a'); INSERT INTO p VALUES ('a', '1'); COMMIT",
            "BEGIN; PRAGMA defer_foreign_keys = ON; INSERT INTO s VALUES ('y', 'b'); INSERT INTO p VALUES ('b', '1'); COMMIT",
            "BEGIN; DELETE FROM p WHERE id = 'a'; INSERT INTO p VALUES ('a', '2'); COMMIT",
            "BEGIN; PRAGMA defer_foreign_keys = ON; DELETE FROM p WHERE id = 'b'; UPDATE s SET p = 'z'; INSERT INTO p VALUES ('z', '3'); COMMIT",
        ],
    );
}

#[test]
fn e9_a_child_that_arrives_before_its_parent_by_way_of_others_waits_for_it() {
    let schema =
        "CREATE TABLE p (id TEXT PRIMARY KEY); CREATE TABLE c (id TEXT PRIMARY KEY, p TEXT NOT NULL REFERENCES p(id))";
    let mut nodes = [Node::new(1, schema), Node::new(2, schema), Node::new(3, schema)];
    nodes[0].run("INSERT INTO p VALUES ('a')");
    nodes[0].seal();
    let (left, right) = nodes.split_at_mut(1);
    right[0].pull(&mut left[0]);
    right[0].run("INSERT INTO c VALUES ('x', 'a')");
    right[0].seal();
    // The third hears of the child first: it has seen what is not there yet.
    let (second, third) = right.split_at_mut(1);
    let all = lacked(&third[0], &mut second[0]);
    let (parent, child) = (&all[0], &all[1]);
    assert_eq!(third[0].store.take(now(), std::slice::from_ref(child)).unwrap().changesets, 0);
    third[0].take(&[parent.clone(), child.clone()]);
    assert_eq!(third[0].query("SELECT 1 FROM c").len(), 1);
}

#[test]
fn q32_one_cell_that_was_changed_with_triggers_off_is_found_and_named() {
    let mut nodes =
        check("CREATE TABLE t (id TEXT PRIMARY KEY, v TEXT)", &["INSERT INTO t VALUES ('a', '1'), ('b', '1')"]);
    let quiet = rusqlite::Connection::open(&nodes[1].path).unwrap();
    quiet.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).unwrap();
    quiet.execute("UPDATE t SET v = 'quiet' WHERE id = 'b'", []).unwrap();
    assert!(!nodes[1].store.look().unwrap().dirty, "no trigger told");
    assert_eq!(nodes[1].store.reconcile(None, now()).unwrap(), 1);
    nodes[1].seal();
    assert_eq!(text(&nodes[1], "SELECT record_key FROM rowmesh_sync_events ORDER BY id DESC LIMIT 1"), "b");
    converge(&mut nodes);
    check_equal(&mut nodes);
}

#[test]
fn h7_a_change_too_large_to_travel_stays_alone_and_everything_else_flows() {
    let mut nodes = pair("CREATE TABLE t (id TEXT PRIMARY KEY, v BLOB)");
    nodes[0].run("INSERT INTO t VALUES ('large', zeroblob(20000000)), ('a', x'01')");
    converge(&mut nodes);
    assert_eq!(text(&nodes[1], "SELECT CAST(length(v) AS TEXT) FROM t WHERE id = 'large'"), "20000000");
    // Before and after together are more than a change may be.
    nodes[0].run("UPDATE t SET v = zeroblob(20000001) WHERE id = 'large'; UPDATE t SET v = x'02' WHERE id = 'a'");
    converge(&mut nodes);
    nodes[0].run("UPDATE t SET v = x'03' WHERE id = 'a'");
    converge(&mut nodes);
    assert_eq!(text(&nodes[1], "SELECT hex(v) FROM t WHERE id = 'a'"), "03");
    assert_eq!(nodes[0].store.held_back().unwrap().len(), 1, "nothing stays behind unnoticed");
    nodes[0].run("UPDATE t SET v = x'ff' WHERE id = 'large'");
    converge(&mut nodes);
    assert_eq!(nodes[0].store.held_back().unwrap().len(), 0);
    check_equal(&mut nodes);
}

#[test]
fn d1_an_edit_made_between_two_parts_of_a_round_is_sealed_before_anything_is_applied_over_it() {
    let mut nodes = pair("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)");
    nodes[0].run("INSERT INTO t VALUES (1, 'first')");
    converge(&mut nodes);
    nodes[1].run("UPDATE t SET v = 'of b' WHERE id = 1");
    nodes[1].seal();
    let (here, there) = nodes.split_at_mut(1);
    let of_b = lacked(&here[0], &mut there[0]);
    let many = limits::UNIT_ROWS_SQLITE + 10;
    nodes[0].run(&format!(
        "WITH RECURSIVE n (i) AS (VALUES (2) UNION ALL SELECT i + 1 FROM n WHERE i < {many}) INSERT INTO t SELECT i, '' FROM n"
    ));
    assert!(nodes[0].store.seal(now()).unwrap().more, "the round has a second part");
    nodes[0].run("UPDATE t SET v = 'of a' WHERE id = 1");
    nodes[0].take(&of_b);
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[0].ledger().len(), 1, "both edits are known, and the one that lost is in the ledger");
}
