//! `look`, `follow_schema` and `reconcile`: what moved, and what moved unnoticed. What a store tells only while it goes on running is `watching`'s,
//! how each kind of database loses its triggers is its own tests'.

use rowmesh_core::limits;
use rowmesh_core::policy::PolicyHistory;
use rowmesh_core::scope::{Filter, Scope};
use rowmesh_core::store::Store;

use crate::node::{Node, check_equal, converge, nodes, now, two};
use crate::place::Place;

const ITEMS: &str = "CREATE TABLE items (id TEXT PRIMARY KEY, name TEXT)";

pub(crate) fn a_look_tells_of_what_was_written_until_it_is_sealed<P: Place>() {
    let mut node = Node::<P>::new(1, ITEMS);
    assert!(!node.store.look().expect("read").dirty);
    node.run("INSERT INTO items VALUES ('a', 'apple')");
    for _ in 0..2 {
        assert!(node.store.look().expect("read").dirty, "looking changes nothing");
    }
    node.seal();
    let look = node.store.look().expect("read");
    assert!(!look.dirty && !look.schema_moved);
    node.run("BEGIN; DELETE FROM items; ROLLBACK");
    assert!(!node.store.look().expect("read").dirty, "what was taken back is not told");
}

pub(crate) fn what_is_left_of_a_round_is_still_dirty<P: Place>() {
    let mut node = Node::<P>::new(1, ITEMS);
    let wide = "x".repeat(limits::CHANGESET_BYTES_TARGET / 100);
    node.run(&format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 250) INSERT INTO items SELECT 'n' || i, '{wide}' FROM n"
    ));
    assert!(node.store.seal(now()).expect("sealed").more);
    assert!(node.store.look().expect("read").dirty);
    node.seal();
    assert!(!node.store.look().expect("read").dirty);
}

pub(crate) fn following_attaches_to_a_new_table_and_takes_in_what_it_holds_already<P: Place>() {
    let mut nodes = nodes::<P>(2, ITEMS);
    let plants = "CREATE TABLE plants (id TEXT PRIMARY KEY, height INTEGER); INSERT INTO plants VALUES ('fern', 3)";
    nodes[0].run(plants);
    nodes[0].store.look().expect("read");
    nodes[0].store.follow_schema(now()).expect("followed");
    nodes[0].run("INSERT INTO plants VALUES ('moss', 1)");
    assert_eq!(nodes[0].seal(), 2);
    nodes[1].run("CREATE TABLE plants (id TEXT PRIMARY KEY, height INTEGER)");
    nodes[1].store.follow_schema(now()).expect("followed");
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[1].texts("SELECT id FROM plants ORDER BY id"), ["fern", "moss"]);
}

pub(crate) fn i3_a_key_column_that_gets_another_name_on_one_node_first_goes_on_naming_the_same_rows<P: Place>() {
    let mut nodes = nodes::<P>(2, ITEMS);
    nodes[0].run("INSERT INTO items VALUES ('a', 'apple'), ('b', 'bean'), ('c', 'corn')");
    converge(&mut nodes);
    let rename = |node: &mut Node<P>| {
        node.run("ALTER TABLE items RENAME COLUMN id TO code");
        node.store.follow_schema(now()).expect("followed");
        assert_eq!(node.seal(), 0, "no event comes of it");
    };
    rename(&mut nodes[0]);
    nodes[0].run("UPDATE items SET name = 'almond' WHERE code = 'a'; DELETE FROM items WHERE code = 'b'; INSERT INTO items VALUES ('d', 'dill')");
    nodes[1].run("UPDATE items SET name = 'cress' WHERE id = 'c'; INSERT INTO items VALUES ('e', 'elder')");
    converge(&mut nodes);
    let there = ["aalmond", "ccress", "ddill", "eelder"];
    assert_eq!(nodes[0].texts("SELECT code || name FROM items ORDER BY code"), there);
    assert_eq!(nodes[1].texts("SELECT id || name FROM items ORDER BY id"), there);
    rename(&mut nodes[1]);
    nodes[1].run("DELETE FROM items WHERE code = 'd'; UPDATE items SET name = 'egg' WHERE code = 'e'");
    converge(&mut nodes);
    // Who comes later has never heard of the old name.
    let mut late = Node::<P>::new(4, "CREATE TABLE items (code TEXT PRIMARY KEY, name TEXT)");
    late.load(&nodes[0].copy());
    nodes.push(late);
    converge(&mut nodes);
    check_equal(&mut nodes);
    for node in &mut nodes {
        assert_eq!(node.texts("SELECT code || name FROM items ORDER BY code"), ["aalmond", "ccress", "eegg"]);
        assert_eq!(node.store.parked().expect("read"), []);
    }
}

pub(crate) fn i1_a_column_that_comes_or_goes_makes_no_event_and_the_rows_go_on<P: Place>() {
    let mut nodes = nodes::<P>(2, "CREATE TABLE items (id TEXT PRIMARY KEY, name TEXT, colour TEXT)");
    nodes[0].run("INSERT INTO items VALUES ('a', 'apple', 'red')");
    converge(&mut nodes);
    for node in &mut nodes {
        node.run("ALTER TABLE items ADD COLUMN price INTEGER; ALTER TABLE items DROP COLUMN colour");
        node.store.follow_schema(now()).expect("followed");
        assert_eq!(node.seal(), 0);
    }
    nodes[1].run("UPDATE items SET price = 5");
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[0].texts("SELECT name || price FROM items"), ["apple5"]);
}

const FRUIT: &str = "CREATE TABLE items (id TEXT PRIMARY KEY, name TEXT, colour TEXT)";
const COLOURS: &str = "SELECT name || ' ' || coalesce(colour, 'none') FROM items ORDER BY id";

/// Two nodes, on the second of which a column was dropped; since then the first has coloured the plum.
fn with_a_column_dropped<P: Place>() -> Vec<Node<P>> {
    let mut nodes = nodes::<P>(2, FRUIT);
    nodes[0].run("INSERT INTO items VALUES ('a', 'apple', 'red'), ('b', 'bean', 'green'), ('p', 'plum', NULL)");
    converge(&mut nodes);
    nodes[1].run("ALTER TABLE items DROP COLUMN colour");
    nodes[1].store.follow_schema(now()).expect("followed");
    nodes[0].run("UPDATE items SET colour = 'blue' WHERE id = 'p'");
    nodes[1].run("UPDATE items SET name = 'broad bean' WHERE id = 'b'; INSERT INTO items VALUES ('q', 'quince')");
    converge(&mut nodes);
    assert_eq!(nodes[0].texts(COLOURS), ["apple red", "broad bean green", "plum blue", "quince none"]);
    nodes
}

pub(crate) fn i2_a_column_that_was_dropped_and_is_back_shows_what_others_wrote_and_sends_nothing<P: Place>() {
    for default in ["", " DEFAULT 'none yet'"] {
        let mut nodes = with_a_column_dropped::<P>();
        nodes[1].run(&format!("ALTER TABLE items ADD COLUMN colour TEXT{default}"));
        // Sealed by whoever comes first, before anything was shown.
        nodes[1].run("UPDATE items SET name = upper(name)");
        assert_eq!(nodes[1].seal(), 4);
        nodes[1].store.follow_schema(now()).expect("followed");
        converge(&mut nodes);
        let colours = nodes[1].texts("SELECT name || ' ' || colour FROM items WHERE id < 'q' ORDER BY id");
        assert_eq!(colours, ["APPLE red", "BROAD BEAN green", "PLUM blue"]);
        let colours = nodes[0].texts("SELECT name || ' ' || colour FROM items WHERE id < 'q' ORDER BY id");
        assert_eq!(colours, ["APPLE red", "BROAD BEAN green", "PLUM blue"]);
        assert_eq!((nodes[0].seal(), nodes[1].seal()), (0, 0));
        // From then on it is a column like any other.
        nodes[1].run("UPDATE items SET colour = NULL WHERE id = 'a'");
        converge(&mut nodes);
        assert_eq!(nodes[0].texts("SELECT id FROM items WHERE colour IS NULL AND id < 'q'"), ["a"]);
    }
}

pub(crate) fn i2_a_column_that_came_back_while_the_daemon_was_stopped_sends_nothing<P: Place>() {
    let mut nodes = with_a_column_dropped::<P>();
    let stopped = nodes.pop().expect("two").stop();
    stopped.place.run("ALTER TABLE items ADD COLUMN colour TEXT; UPDATE items SET name = upper(name)");
    stopped.place.run("UPDATE items SET colour = 'pink' WHERE id = 'p'");
    nodes.push(stopped.start());
    converge(&mut nodes);
    nodes[1].store.follow_schema(now()).expect("followed");
    converge(&mut nodes);
    check_equal(&mut nodes);
    let colours = ["APPLE red", "BROAD BEAN green", "PLUM pink", "QUINCE none"];
    assert_eq!(nodes[0].texts(COLOURS), colours, "what the application itself wrote there counts, nothing else");
}

pub(crate) fn i2_a_column_that_comes_and_goes_again_and_again_keeps_what_it_held<P: Place>() {
    let mut nodes = with_a_column_dropped::<P>();
    for round in 0..3 {
        nodes[1].run("ALTER TABLE items ADD COLUMN colour TEXT");
        nodes[1].store.follow_schema(now()).expect("followed");
        nodes[1].run("ALTER TABLE items DROP COLUMN colour");
        nodes[1].store.follow_schema(now()).expect("followed");
        nodes[1].run(&format!("UPDATE items SET name = 'round {round}' WHERE id = 'a'"));
        converge(&mut nodes);
    }
    nodes[1].run("ALTER TABLE items ADD COLUMN colour TEXT");
    nodes[1].store.follow_schema(now()).expect("followed");
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[0].texts(COLOURS), ["round 2 red", "broad bean green", "plum blue", "quince none"]);
}

/// What is to be judged anew is so whoever hears of the schema first, and though the daemon ends before it comes to it.
pub(crate) fn m2_rows_that_a_new_column_lets_travel_do_so_though_the_daemon_stops_before_they_are_judged<P: Place>() {
    let filter = Filter::parse("private", "items", "kind = 'private'", &[] as &[&str]).expect("a filter");
    let scope = Scope { filters: vec![filter], ..Scope::default() };
    let mut node = Node::<P>::new(1, ITEMS);
    node.stand_by(&scope, &PolicyHistory::default());
    node.run("INSERT INTO items VALUES ('a', 'apple')");
    assert_eq!(node.seal(), 0, "without the column that the filter asks for nothing travels");
    node.run("ALTER TABLE items ADD COLUMN kind TEXT");
    assert_eq!(node.seal(), 0, "whoever seals hears of the schema first");
    let stopped = node.stop();
    let mut node = stopped.start_standing_by(&scope, &PolicyHistory::default());
    assert!(node.store.look().expect("read").schema_moved, "something is left to be done");
    node.store.follow_schema(now()).expect("followed");
    assert_eq!(node.seal(), 1);
    assert!(!node.store.look().expect("read").schema_moved);
}

pub(crate) fn a5_what_was_written_while_triggers_were_gone_is_recovered<P: Place>() {
    let mut nodes = nodes::<P>(2, ITEMS);
    nodes[0].run("INSERT INTO items VALUES ('a', 'apple'), ('b', 'bread')");
    converge(&mut nodes);
    nodes[0].place.lose_triggers("items");
    nodes[0].run("UPDATE items SET name = 'apricot' WHERE id = 'a'; DELETE FROM items WHERE id = 'b'; INSERT INTO items VALUES ('c', 'corn')");
    nodes[0].store.look().expect("read");
    nodes[0].store.follow_schema(now()).expect("followed");
    nodes[0].run("INSERT INTO items VALUES ('d', 'dates')");
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[1].texts("SELECT id || name FROM items ORDER BY id"), ["aapricot", "ccorn", "ddates"]);
}

pub(crate) fn q32_one_cell_that_was_changed_unnoticed_is_found_and_named<P: Place>() {
    let mut nodes = nodes::<P>(2, &format!("{ITEMS}; CREATE TABLE others (id TEXT PRIMARY KEY)"));
    nodes[0].run("INSERT INTO items VALUES ('a', 'apple'), ('b', 'bread'); INSERT INTO others VALUES ('o')");
    converge(&mut nodes);
    let notes = P::ours("dirty");
    let (one, two) = two(&mut nodes);
    two.run(&format!(
        "BEGIN; UPDATE items SET name = 'quiet' WHERE id = 'b'; DELETE FROM others; DELETE FROM {notes}; COMMIT"
    ));
    assert!(!two.store.look().expect("read").dirty, "nobody told");
    assert_eq!(two.seal(), 0);
    assert_eq!(two.store.reconcile(Some("items"), now()).expect("read"), 1, "the other table was not asked for");
    assert_eq!(two.seal(), 1);
    assert_eq!(two.events()[0].key, "b");
    assert_eq!(two.store.reconcile(Some("no such table"), now()).expect("read"), 0);
    assert_eq!(two.store.reconcile(None, now()).expect("read"), 1);
    assert_eq!(two.seal(), 1);
    one.pull(two);
    check_equal(&mut nodes);
}

pub(crate) fn the_fingerprint_of_a_schema_tells_its_shape_and_nothing_else<P: Place>() {
    let shape = "CREATE TABLE items (id TEXT PRIMARY KEY, name TEXT, price INTEGER)";
    let mut one = Node::<P>::new(1, shape);
    let print = one.store.schema_fingerprint();
    one.run("INSERT INTO items VALUES ('a', 'apple', 1)");
    one.seal();
    assert_eq!(one.store.schema_fingerprint(), print, "rows are no part of it");
    let two = Node::<P>::new(2, "CREATE TABLE items (price INTEGER, id TEXT PRIMARY KEY, name TEXT)");
    assert_eq!(two.store.schema_fingerprint(), print, "nor is the order of columns");
    one.run("ALTER TABLE items ADD COLUMN colour TEXT");
    one.store.follow_schema(now()).expect("followed");
    assert_ne!(one.store.schema_fingerprint(), print);
}

pub(crate) fn the_digest_of_contents_is_equal_exactly_where_the_rows_are<P: Place>() {
    let mut one = Node::<P>::new(1, &format!("{ITEMS}; CREATE TABLE others (id TEXT PRIMARY KEY, name TEXT)"));
    let mut two = Node::<P>::new(
        2,
        "CREATE TABLE others (name TEXT, id TEXT PRIMARY KEY); CREATE TABLE items (name TEXT, id TEXT PRIMARY KEY)",
    );
    one.run("INSERT INTO items VALUES ('a', 'apple'), ('b', 'bread'), ('c', NULL)");
    two.run("INSERT INTO items (id, name) VALUES ('c', NULL), ('b', 'bread'), ('a', 'apple')");
    let digests = one.store.content_digest().expect("read");
    assert_eq!(digests.iter().map(|(name, _)| &**name).collect::<Vec<_>>(), ["items", "others"]);
    assert_eq!(two.store.content_digest().expect("read"), digests, "the order of rows and columns is no part of it");
    two.run("UPDATE items SET name = '' WHERE id = 'c'");
    let other = two.store.content_digest().expect("read");
    assert_ne!(other[0], digests[0]);
    assert_eq!(other[1], digests[1]);
}
