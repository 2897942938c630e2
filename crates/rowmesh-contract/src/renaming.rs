//! Another life of a database, and what was sealed under a clock that was ahead: new names and times, and the same history otherwise.

use rowmesh_core::clock::WallTime;
use rowmesh_core::ident::{Incarnation, Seq};
use rowmesh_core::store::Store;

use crate::node::{Node, check_equal, converge, lacked, nodes, now, two};
use crate::place::Place;

const SCHEMA: &str = "CREATE TABLE items (id TEXT PRIMARY KEY, name TEXT, stock INTEGER);
    CREATE TABLE parts (id TEXT PRIMARY KEY, item TEXT REFERENCES items (id) ON DELETE CASCADE, name TEXT)";
const NEXT: Incarnation = Incarnation { count: 2, nonce: 9 };
const YEAR_MS: u64 = 365 * 86_400_000;

pub(crate) fn another_life_counts_from_one_again_and_the_old_one_stays_known<P: Place>() {
    let mut nodes = pair_with_rows::<P>();
    nodes[0].run("UPDATE items SET stock = 7 WHERE id = 'a'");
    let old = nodes[0].store.position();
    nodes[0].store.renew_incarnation(NEXT).expect("renewed");
    let position = nodes[0].store.position();
    assert_eq!((position.origin.incarnation, position.vector.get(&position.origin)), (NEXT, Seq(0)));
    assert_eq!(position.vector.get(&old.origin), old.vector.get(&old.origin));
    let sealed = nodes[0].store.seal(now()).expect("sealed");
    assert_eq!((sealed.dots, sealed.events), (vec![nodes[0].dot(1)], 1), "what waited is sealed in the new life");
    let first = nodes.remove(0).restart();
    nodes.insert(0, first);
    assert_eq!(nodes[0].store.position().origin.incarnation, NEXT);
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[1].store.position().vector.total(), nodes[0].store.position().vector.total());
}

/// Runs statements as the application and seals them, all under a clock that is a year ahead.
fn run_ahead<P: Place>(node: &mut Node<P>, sql: &str) {
    let ahead = WallTime(now().0 + YEAR_MS);
    node.run(sql);
    node.place.date_notes(ahead);
    node.store.seal(ahead).expect("sealed");
}

fn pair_with_rows<P: Place>() -> Vec<Node<P>> {
    let mut nodes = nodes::<P>(2, SCHEMA);
    nodes[0].run("INSERT INTO items VALUES ('a', 'apple', 1), ('b', 'bread', 2), ('c', 'corn', 3)");
    nodes[0].run("INSERT INTO parts VALUES ('p', 'b', 'crust')");
    converge(&mut nodes);
    nodes
}

fn highest_ms<P: Place>(node: &mut Node<P>) -> u64 {
    node.events().iter().map(|event| event.lamport.wall().0).max().expect("there are events")
}

fn name_of_a<P: Place>(node: &Node<P>) -> String {
    node.texts("SELECT name FROM items WHERE id = 'a'").remove(0)
}

const ALL: &str = "SELECT id || name || stock FROM items ORDER BY id";

pub(crate) fn q23_the_same_history_goes_on_under_new_names_and_at_the_right_time<P: Place>() {
    let mut nodes = pair_with_rows::<P>();
    let last = nodes[0].last();
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
    let stood = nodes[0].texts(ALL);
    assert!(highest_ms(&mut nodes[0]) > now().0 + YEAR_MS / 2);

    assert_eq!(nodes[0].store.restamp(last, NEXT, now()).expect("renamed"), 3);
    assert_eq!(nodes[0].texts(ALL), stood, "nothing moved in the tables");
    assert!(highest_ms(&mut nodes[0]) <= now().0, "no time lies ahead");
    assert_eq!(nodes[0].seal(), 0, "and nothing is sealed for it");
    assert_eq!((nodes[0].store.position().origin.incarnation, nodes[0].last()), (NEXT, Seq(3)));
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[1].count("items WHERE id IN ('b', 'd')"), 2);
    assert_eq!(nodes[1].texts("SELECT name FROM parts"), ["salt"], "and no crust");
    assert_eq!(nodes[0].ledger().len(), 1, "both names of one row were given at once: {:?}", nodes[0].ledger());

    // It goes on: later changesets follow on the new ones, and a restart finds its name.
    nodes[0].run("UPDATE items SET stock = stock + 1");
    let first = nodes.remove(0).restart();
    nodes.insert(0, first);
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[0].store.position().origin.incarnation, NEXT);
}

pub(crate) fn q23_where_writes_stand_side_by_side_the_later_one_by_the_right_clock_is_shown<P: Place>() {
    let mut nodes = pair_with_rows::<P>();
    let last = nodes[0].last();
    run_ahead(&mut nodes[0], "UPDATE items SET name = 'from the future' WHERE id = 'a'");
    let early = now();
    nodes[1].run("UPDATE items SET name = 'of today' WHERE id = 'a'");
    nodes[1].seal();
    let (one, other) = two(&mut nodes);
    one.pull(other);
    assert_eq!(name_of_a(&nodes[0]), "from the future", "by its own clock the future is later");
    let told = nodes[0].ledger();
    assert_eq!(told.len(), 1);

    // The clock is right again, and was before the other node wrote: then the other edit is the later one.
    let before = WallTime(early.0 - 60_000);
    nodes[0].store.restamp(last, NEXT, before).expect("renamed");
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[0].ledger().len(), 1);
    assert_ne!(nodes[0].ledger(), told, "the entry is of the other write now");
    assert_eq!([name_of_a(&nodes[0]), name_of_a(&nodes[1])], ["of today", "of today"]);
}

pub(crate) fn q23_what_cannot_be_named_anew_changes_nothing<P: Place>() {
    let mut nodes = pair_with_rows::<P>();
    run_ahead(&mut nodes[0], "UPDATE items SET name = 'apricot' WHERE id = 'a'");
    let position = nodes[0].store.position();
    let log = P::ours("changesets");
    nodes[0].run(&format!("DELETE FROM {log} WHERE seq = (SELECT max(seq) FROM {log})"));
    nodes[0].store.restamp(Seq(1), NEXT, now()).expect_err("one of them is gone");
    assert_eq!(nodes[0].store.position(), position);
    assert_eq!(nodes[0].count(&format!("{} WHERE incarnation = 2", P::ours("origins"))), 0);
}

pub(crate) fn q23_where_everything_was_taken_in_by_somebody_nothing_is_named_anew_and_the_old_names_stay_whole<
    P: Place,
>() {
    let mut nodes = pair_with_rows::<P>();
    run_ahead(&mut nodes[0], "UPDATE items SET name = 'apricot' WHERE id = 'a'");
    let last = nodes[0].last();
    let dot = nodes[0].dot(last.0);
    let hash = nodes[0].store.hash_of(&dot).expect("read");

    assert_eq!(nodes[0].store.restamp(last, NEXT, now()).expect("renamed"), 0);
    assert_eq!(nodes[0].store.hash_of(&dot).expect("read"), hash);
    assert_eq!(nodes[0].store.position().vector.get(&dot.origin), last);
    // Somebody vouches for more than there ever was: that does not make this node know it.
    let origin = nodes[0].store.position().origin;
    run_ahead(&mut nodes[0], "UPDATE items SET name = 'almond' WHERE id = 'a'");
    let later = Incarnation { count: 3, nonce: 9 };
    assert_eq!(nodes[0].store.restamp(Seq(1_000_000), later, now()).expect("renamed"), 0);
    assert_eq!(nodes[0].store.position().vector.get(&origin), Seq(1));
    nodes[0].run("UPDATE items SET stock = stock + 1");
    converge(&mut nodes);
    check_equal(&mut nodes);
}

/// The roster may close a life below what is known here to have been taken in: whoever has it will vouch for it.
pub(crate) fn q23_what_somebody_has_gone_on_from_keeps_its_name<P: Place>() {
    let mut nodes = pair_with_rows::<P>();
    let last = nodes[0].last();
    let origin = nodes[0].store.position().origin;
    run_ahead(&mut nodes[0], "UPDATE items SET name = 'apricot' WHERE id = 'a'");
    let (one, other) = two(&mut nodes);
    other.pull(one);
    run_ahead(other, "UPDATE items SET name = 'avocado' WHERE id = 'a'");
    assert_eq!(lacked(one, other).len(), 1);
    one.pull(other);
    run_ahead(one, "UPDATE items SET name = 'corncob' WHERE id = 'c'");

    assert_eq!(one.store.restamp(last, NEXT, now()).expect("renamed"), 1, "the one that nobody has");
    assert_eq!(one.store.position().vector.get(&origin), last.next());
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[0].ledger(), [""; 0]);
}
