//! What was sealed under a clock that was ahead gets new names and times, and is the same history otherwise.

use rowmesh_core::clock::WallTime;
use rowmesh_core::ident::{Dot, Incarnation, Seq};
use rowmesh_core::store::Store;

use crate::mesh::{Node, check_equal, converge, everything_after, now};

const SCHEMA: &str = "CREATE TABLE items (id TEXT PRIMARY KEY, name TEXT, stock INTEGER);
    CREATE TABLE parts (id TEXT PRIMARY KEY, item TEXT REFERENCES items (id) ON DELETE CASCADE, name TEXT)";
const NEXT: Incarnation = Incarnation { count: 2, nonce: 9 };
const YEAR_MS: u64 = 365 * 86_400_000;

/// Runs statements as the application and seals them, all under a clock that is a year ahead.
fn run_ahead(node: &mut Node, sql: &str) {
    node.run(sql);
    node.run("UPDATE rowmesh_dirty SET at = at + 365");
    node.store.seal(WallTime(now().0 + YEAR_MS)).unwrap();
}

fn pair_with_rows() -> Vec<Node> {
    let mut nodes = vec![Node::new(1, SCHEMA), Node::new(2, SCHEMA)];
    nodes[0].run("INSERT INTO items VALUES ('a', 'apple', 1), ('b', 'bread', 2), ('c', 'corn', 3)");
    nodes[0].run("INSERT INTO parts VALUES ('p', 'b', 'crust')");
    converge(&mut nodes);
    nodes
}

fn highest_ms(node: &Node) -> u64 {
    let text = node.query("SELECT max(lamport) >> 16 FROM rowmesh_events").remove(0);
    text.trim_start_matches("Integer(").trim_end_matches(')').parse().unwrap()
}

#[test]
fn q23_the_same_history_goes_on_under_new_names_and_at_the_right_time() {
    let mut nodes = pair_with_rows();
    let last = nodes[0].store.position().vector.get(&nodes[0].store.position().origin);
    run_ahead(
        &mut nodes[0],
        "UPDATE items SET name = 'apricot' WHERE id = 'a'; INSERT INTO items VALUES ('d', 'dates', 4)",
    );
    run_ahead(&mut nodes[0], "UPDATE items SET stock = 40 WHERE id = 'd'; DELETE FROM items WHERE id = 'b'");
    run_ahead(
        &mut nodes[0],
        "INSERT INTO items VALUES ('b', 'butter', 5); INSERT INTO parts VALUES ('q', 'b', 'salt')",
    );
    // Meanwhile the other node has changed the same rows, at the right time.
    nodes[1].run("UPDATE items SET name = 'avocado' WHERE id = 'a'; UPDATE items SET stock = 33 WHERE id = 'c'");
    nodes[1].seal();
    let stood = nodes[0].query("SELECT * FROM items ORDER BY id");
    assert!(highest_ms(&nodes[0]) > now().0 + YEAR_MS / 2);

    assert_eq!(nodes[0].store.restamp(last, NEXT, now()).unwrap(), 3);
    assert_eq!(nodes[0].query("SELECT * FROM items ORDER BY id"), stood, "nothing moved in the tables");
    assert!(highest_ms(&nodes[0]) <= now().0, "no time lies ahead");
    assert_eq!(nodes[0].seal(), 0, "and nothing is sealed for it");
    let position = nodes[0].store.position();
    assert_eq!(position.origin.incarnation, NEXT);
    assert_eq!(position.vector.get(&position.origin), Seq(3));
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[1].query("SELECT id, name FROM items WHERE id IN ('b', 'd') ORDER BY id").len(), 2);
    assert_eq!(nodes[1].query("SELECT name FROM parts"), ["Text([115, 97, 108, 116])"], "salt, and no crust");
    assert_eq!(nodes[0].ledger().len(), 1, "both names of one row were given at once: {:?}", nodes[0].ledger());

    // It goes on: later changesets follow on the new ones, and a restart finds its name.
    nodes[0].run("UPDATE items SET stock = stock + 1");
    let first = nodes.remove(0).restart();
    nodes.insert(0, first);
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[0].store.position().origin.incarnation, NEXT);
}

#[test]
fn q23_where_writes_stand_side_by_side_the_later_one_by_the_right_clock_is_shown() {
    let mut nodes = pair_with_rows();
    let last = nodes[0].store.position().vector.get(&nodes[0].store.position().origin);
    run_ahead(&mut nodes[0], "UPDATE items SET name = 'from the future' WHERE id = 'a'");
    let early = now();
    nodes[1].run("UPDATE items SET name = 'of today' WHERE id = 'a'");
    nodes[1].seal();
    let request = everything_after(&nodes[0].store);
    let page = nodes[1].store.read_log(&request).unwrap();
    let changesets: Vec<_> = page.changesets.iter().map(|bytes| crate::mesh::verified(bytes)).collect();
    nodes[0].take(&changesets);
    let name =
        |node: &Node| node.query("SELECT CAST(name AS BLOB) = CAST('of today' AS BLOB) FROM items WHERE id = 'a'");
    assert_eq!(name(&nodes[0]), ["Integer(0)"], "by its own clock the future is later");
    let told = nodes[0].ledger();
    assert_eq!(told.len(), 1);

    // The clock is right again, and was before the other node wrote: then the other edit is the later one.
    let before = WallTime(early.0 - 60_000);
    nodes[0].store.restamp(last, NEXT, before).unwrap();
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[0].ledger().len(), 1);
    assert_ne!(nodes[0].ledger(), told, "the entry is of the other write now");
    assert_eq!([name(&nodes[0]), name(&nodes[1])], [["Integer(1)"], ["Integer(1)"]]);
}

#[test]
fn q23_what_cannot_be_named_anew_changes_nothing() {
    let mut nodes = pair_with_rows();
    run_ahead(&mut nodes[0], "UPDATE items SET name = 'apricot' WHERE id = 'a'");
    let position = nodes[0].store.position();
    nodes[0].run("DELETE FROM rowmesh_changesets WHERE seq = (SELECT max(seq) FROM rowmesh_changesets)");
    nodes[0].store.restamp(Seq(1), NEXT, now()).unwrap_err();
    assert_eq!(nodes[0].store.position(), position);
    assert_eq!(nodes[0].query("SELECT count(*) FROM rowmesh_origins WHERE incarnation = 2"), ["Integer(0)"]);
}

#[test]
fn q23_where_everything_was_taken_in_by_somebody_nothing_is_named_anew_and_the_old_names_stay_whole() {
    let mut nodes = pair_with_rows();
    run_ahead(&mut nodes[0], "UPDATE items SET name = 'apricot' WHERE id = 'a'");
    let position = nodes[0].store.position();
    let last = position.vector.get(&position.origin);
    let dot = Dot { origin: position.origin, seq: last };
    let hash = nodes[0].store.hash_of(&dot).unwrap();

    assert_eq!(nodes[0].store.restamp(last, NEXT, now()).unwrap(), 0);
    assert_eq!(nodes[0].store.hash_of(&dot).unwrap(), hash);
    assert_eq!(nodes[0].store.position().vector.get(&dot.origin), last);
    // Somebody vouches for more than there ever was: that does not make this node know it.
    let origin = nodes[0].store.position().origin;
    run_ahead(&mut nodes[0], "UPDATE items SET name = 'almond' WHERE id = 'a'");
    let later = Incarnation { count: 3, nonce: 9 };
    assert_eq!(nodes[0].store.restamp(Seq(1_000_000), later, now()).unwrap(), 0);
    assert_eq!(nodes[0].store.position().vector.get(&origin), Seq(1));
    nodes[0].run("UPDATE items SET stock = stock + 1");
    converge(&mut nodes);
    check_equal(&mut nodes);
}

/// The roster may close a life below what is known here to have been taken in: whoever has it will vouch for it.
#[test]
fn q23_what_somebody_has_gone_on_from_keeps_its_name() {
    let mut nodes = pair_with_rows();
    let position = nodes[0].store.position();
    let last = position.vector.get(&position.origin);
    run_ahead(&mut nodes[0], "UPDATE items SET name = 'apricot' WHERE id = 'a'");
    let (first, second) = nodes.split_at_mut(1);
    second[0].pull(&mut first[0]);
    run_ahead(&mut second[0], "UPDATE items SET name = 'avocado' WHERE id = 'a'");
    first[0].pull(&mut second[0]);
    run_ahead(&mut nodes[0], "UPDATE items SET name = 'corncob' WHERE id = 'c'");

    assert_eq!(nodes[0].store.restamp(last, NEXT, now()).unwrap(), 1, "the one that nobody has");
    assert_eq!(nodes[0].store.position().vector.get(&position.origin), last.next());
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[0].ledger(), Vec::<String>::new());
}
