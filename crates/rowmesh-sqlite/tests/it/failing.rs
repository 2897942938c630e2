//! Calls of the store that fail half-way: refused commits, broken off statements, a full disk, a daemon that dies with the application's
//! transaction open. Each must have happened wholly or not at all.

use rowmesh_contract::Place;
use rowmesh_core::clock::WallTime;
use rowmesh_core::store::Store;

use crate::mesh::{Node, check_equal, converge, lacked, now, two};

const SHOP: &str = "
    CREATE TABLE customers (id TEXT PRIMARY KEY, name TEXT NOT NULL, email TEXT UNIQUE);
    CREATE TABLE orders (id TEXT PRIMARY KEY, customer TEXT NOT NULL REFERENCES customers(id) ON DELETE CASCADE, total INTEGER);";

const SOME: &str = "
    INSERT INTO customers VALUES ('a', 'Ann', '1'), ('b', 'Bob', '2'), ('c', 'Cid', '3');
    INSERT INTO orders VALUES ('o', 'a', 1), ('p', 'b', 2)";
const MORE: &str = "
    UPDATE customers SET email = '9' WHERE id = 'a'; INSERT OR REPLACE INTO customers VALUES ('d', 'Dan', '2');
    UPDATE orders SET total = total + 1; DELETE FROM customers WHERE id = 'c'; INSERT INTO orders VALUES ('q', 'd', 7)";

fn pair() -> Vec<Node> {
    let mut nodes = vec![Node::new(1, SHOP), Node::new(2, SHOP)];
    nodes[0].run(SOME);
    converge(&mut nodes);
    nodes
}

/// All that a failed call could have changed, application's and ours.
fn state(node: &Node) -> Vec<String> {
    let mut state = Vec::new();
    for table in [
        "customers",
        "orders",
        "rowmesh_dirty",
        "rowmesh_origins",
        "rowmesh_row_states",
        "rowmesh_changesets",
        "rowmesh_events",
        "rowmesh_claims",
        "rowmesh_parked",
        "rowmesh_exceptions",
        "rowmesh_conflict_resolutions",
        "rowmesh_tables",
    ] {
        state.extend(node.query(&format!("SELECT '{table}', * FROM {table}")));
    }
    state.sort();
    state
}

/// Breaks `call` off after 1, 2, 4 … steps, then after a third more each time, until it comes through. Each attempt that fails has changed nothing.
fn break_off_everywhere(node: &mut Node, call: impl Fn(&mut Node) -> bool) {
    let mut steps = 1;
    loop {
        let (before, position) = (state(node), node.store.position());
        let mut broken = false;
        let once = move || !std::mem::replace(&mut broken, true);
        node.store.database_mut().connection_mut().progress_handler(steps, Some(once)).unwrap();
        let came_through = call(node);
        node.store.database_mut().connection_mut().progress_handler(0, None::<fn() -> bool>).unwrap();
        if came_through {
            assert!(steps > 64, "nothing was broken off");
            return;
        }
        assert_eq!(state(node), before, "after {steps} steps");
        assert_eq!(node.store.position(), position, "after {steps} steps");
        steps += (steps / 3).max(1);
    }
}

#[test]
fn h4_d13_a_seal_that_breaks_off_anywhere_has_not_happened() {
    let mut nodes = pair();
    nodes[0].run(MORE);
    break_off_everywhere(&mut nodes[0], |node| node.store.seal(now()).is_ok());
    converge(&mut nodes);
    check_equal(&mut nodes);
}

#[test]
fn h4_d13_an_apply_that_breaks_off_anywhere_has_not_happened() {
    let mut nodes = pair();
    nodes[0].run(MORE);
    nodes[0].seal();
    let (left, right) = two(&mut nodes);
    let changesets = lacked(right, left);
    break_off_everywhere(right, |node| node.store.take(now(), &changesets).is_ok());
    converge(&mut nodes);
    check_equal(&mut nodes);
}

#[test]
fn h4_e2_an_apply_that_makes_another_row_give_way_and_breaks_off_anywhere_has_not_happened() {
    let mut nodes = pair();
    nodes[0].run("INSERT INTO customers VALUES ('e', 'Eve', '7'), ('f', 'Fay', '8')");
    nodes[0].place.date_notes(WallTime(1_000));
    nodes[0].seal();
    nodes[1].run("INSERT INTO customers VALUES ('g', 'Guy', '7'), ('h', 'Hal', '8')");
    nodes[1].seal();
    let (left, right) = two(&mut nodes);
    let changesets = lacked(right, left);
    break_off_everywhere(right, |node| node.store.take(now(), &changesets).is_ok());
    let shown = right.texts("SELECT id || substr(email, 1, 2) FROM customers WHERE email GLOB '[78]*' ORDER BY id");
    assert_eq!(shown, ["e7", "f8", "g7~", "h8~"]);
    converge(&mut nodes);
    check_equal(&mut nodes);
}

#[test]
fn c3_a_number_whose_commit_failed_is_given_again_and_leaves_no_hole() {
    let mut nodes = pair();
    nodes[0].run(MORE);
    let before = nodes[0].store.position();
    nodes[0].store.database_mut().connection_mut().commit_hook(Some(|| true)).unwrap();
    assert!(nodes[0].store.seal(now()).is_err());
    nodes[0].store.database_mut().connection_mut().commit_hook(None::<fn() -> bool>).unwrap();
    assert_eq!(nodes[0].store.position(), before);
    let sealed = nodes[0].store.seal(now()).unwrap();
    assert_eq!(sealed.dots[0].seq, before.vector.get(&before.origin).next());
    converge(&mut nodes);
    check_equal(&mut nodes);
}

#[test]
fn h3_a_full_disk_stops_sealing_and_taking_with_its_own_code_and_nothing_else() {
    let mut nodes = pair();
    nodes[0].run("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) INSERT INTO customers SELECT 'n' || i, hex(zeroblob(200)), 'n' || i FROM n");
    let fill = |node: &mut Node| {
        let pages: i64 =
            node.store.database().connection().query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
        let bound = format!("PRAGMA max_page_count = {}", pages + 1);
        node.store.database().connection().query_row(&bound, [], |_| Ok(())).unwrap();
    };
    let free = |node: &mut Node| {
        node.store.database().connection().query_row("PRAGMA max_page_count = 1000000", [], |_| Ok(())).unwrap();
    };
    fill(&mut nodes[0]);
    let before = state(&nodes[0]);
    assert_eq!(nodes[0].store.seal(now()).unwrap_err().code, "RM8102");
    assert_eq!(state(&nodes[0]), before);
    nodes[0].run("UPDATE customers SET name = 'still written' WHERE id = 'a'");
    free(&mut nodes[0]);
    nodes[0].seal();

    let (left, right) = two(&mut nodes);
    let changesets = lacked(right, left);
    fill(right);
    let before = state(right);
    assert_eq!(right.store.take(now(), &changesets).unwrap_err().code, "RM8102");
    assert_eq!(state(right), before);
    free(right);
    converge(&mut nodes);
    check_equal(&mut nodes);
}

#[test]
fn b17_what_a_killed_application_left_half_written_in_delete_mode_is_rolled_back_before_anything_is_read() {
    let mut node = Node::new(1, SHOP);
    node.run(SOME);
    node.seal();
    // The daemon's own connection would keep the mode from being switched.
    let killed = node.stop();
    killed
        .place
        .app
        .execute_batch("PRAGMA journal_mode = DELETE; PRAGMA cache_size = 2; PRAGMA cache_spill = 1; BEGIN")
        .unwrap();
    killed
        .place
        .app
        .execute_batch("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) INSERT INTO customers SELECT 'n' || i, hex(zeroblob(200)), 'n' || i FROM n; UPDATE customers SET name = 'half'")
        .unwrap();
    // The files as a kill leaves them: the journal hot, pages of an open transaction in the database.
    let journal = killed.place.path.with_file_name("app.db-journal");
    assert!(std::fs::metadata(&journal).unwrap().len() > 512, "the journal must be hot");
    let mut after = killed.on(killed.place.copy_files()).start();
    assert_eq!(after.query("SELECT count(*) FROM customers"), ["Integer(3)"]);
    assert_eq!(after.seal(), 0);
    assert_eq!(after.store.reconcile(None, now()).unwrap(), 0);
}
