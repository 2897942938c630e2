//! What cannot be shown here yet: it waits with its reason, holds up nothing else, and comes when it can.

use rowmesh_core::policy::PolicyHistory;
use rowmesh_core::scope::Scope;
use rowmesh_core::store::Store;

use crate::node::{Node, check_equal, converge, nodes, now, two};
use crate::place::Place;

const ITEMS: &str = "CREATE TABLE items (id TEXT PRIMARY KEY, name TEXT)";

pub(crate) fn c11_a_row_that_cannot_stand_here_waits_alone_and_comes_when_it_can<P: Place>() {
    let mut nodes = vec![
        Node::<P>::new(1, "CREATE TABLE t (id TEXT PRIMARY KEY, n INTEGER)"),
        Node::new(2, "CREATE TABLE t (id TEXT PRIMARY KEY, n INTEGER CHECK (n < 100))"),
    ];
    nodes[0].run("INSERT INTO t VALUES ('good', 1), ('poison', 5000)");
    nodes[0].seal();
    nodes[0].run("INSERT INTO t VALUES ('later', 2)");
    converge(&mut nodes);
    assert_eq!(nodes[1].texts("SELECT id FROM t ORDER BY id"), ["good", "later"]);
    let parked = nodes[1].store.parked().expect("read");
    assert!(parked.len() == 1 && parked[0].reason.to_lowercase().contains("check"), "{parked:?}");
    assert_eq!((parked[0].dot, &*parked[0].table, &*parked[0].key), (nodes[0].dot(1), "t", "poison"));
    assert!(parked[0].since <= now());
    assert_eq!(nodes[1].store.retry_parked(now()).expect("tried"), 1, "it still cannot");
    let states: Vec<_> = nodes[1].events().into_iter().map(|event| (event.key, event.state)).collect();
    let state = |key: &str, state: &str| (key.to_owned(), state.to_owned());
    assert_eq!(states[0], state("later", "applied"));
    assert!(states.contains(&state("poison", "parked")) && states.contains(&state("good", "applied")), "{states:?}");

    nodes[0].run("UPDATE t SET n = 3 WHERE id = 'poison'");
    converge(&mut nodes);
    assert_eq!(nodes[1].store.parked().expect("read"), []);
    assert_eq!(nodes[1].store.retry_parked(now()).expect("tried"), 0);
    check_equal(&mut nodes);
}

pub(crate) fn i5_what_comes_for_a_table_that_is_not_here_is_shown_when_it_is<P: Place>() {
    let mut nodes = nodes::<P>(2, ITEMS);
    let plants = "CREATE TABLE plants (id TEXT PRIMARY KEY, height INTEGER)";
    nodes[0].run(plants);
    nodes[0].store.follow_schema(now()).expect("followed");
    nodes[0].run("INSERT INTO plants VALUES ('fern', 3), ('moss', 1); INSERT INTO items VALUES ('a', 'apple')");
    nodes[0].seal();
    nodes[0].run("UPDATE plants SET height = 4 WHERE id = 'fern'; DELETE FROM plants WHERE id = 'moss'");
    nodes[0].seal();
    let (one, two) = two(&mut nodes);
    let taken = two.pull(one);
    assert_eq!((taken.changesets, taken.events, taken.rows_written), (2, 5, 1));
    assert_eq!(two.texts("SELECT name FROM items"), ["apple"], "the rest of the changeset is shown");
    let parked = two.store.parked().expect("read");
    assert!(!parked.is_empty() && parked.iter().all(|event| event.table == "plants"), "{parked:?}");
    // The table comes; nothing more has to arrive.
    two.run(plants);
    two.store.follow_schema(now()).expect("followed");
    assert_eq!(two.store.retry_parked(now()).expect("tried"), 0);
    assert_eq!(two.store.parked().expect("read"), []);
    assert_eq!(two.texts("SELECT id || height FROM plants"), ["fern4"]);
    assert_eq!(two.seal(), 0);
    check_equal(&mut nodes);
}

pub(crate) fn a_column_that_is_not_here_parks_nothing_and_its_values_wait_for_it<P: Place>() {
    let mut nodes = vec![
        Node::<P>::new(1, "CREATE TABLE items (id TEXT PRIMARY KEY, name TEXT, price INTEGER)"),
        Node::new(2, ITEMS),
    ];
    nodes[0].run("INSERT INTO items VALUES ('a', 'apple', 7), ('b', 'bread', 8)");
    converge(&mut nodes);
    assert_eq!(nodes[1].store.parked().expect("read"), []);
    assert_eq!(nodes[1].texts("SELECT name FROM items ORDER BY id"), ["apple", "bread"]);
    // Edited here, where nobody knows the column, and shown there with it.
    nodes[1].run("UPDATE items SET name = 'apricot' WHERE id = 'a'");
    converge(&mut nodes);
    assert_eq!(nodes[0].texts("SELECT name || price FROM items ORDER BY id"), ["apricot7", "bread8"]);
    // Edited again, and sealed by whoever comes first, before the values were shown.
    nodes[1].run("ALTER TABLE items ADD COLUMN price INTEGER; UPDATE items SET name = 'brioche' WHERE id = 'b'");
    assert_eq!(nodes[1].seal(), 1);
    nodes[1].store.follow_schema(now()).expect("followed");
    converge(&mut nodes);
    nodes[1].store.retry_parked(now()).expect("tried");
    assert_eq!(nodes[1].texts("SELECT name || coalesce(price, 0) FROM items ORDER BY id"), ["apricot7", "brioche8"]);
    check_equal(&mut nodes);
}

/// More than a changeset can name. Parking concerns the tables alone: everything else goes on, both ways.
pub(crate) fn any_number_of_changes_may_wait_for_a_table_while_sealing_and_receiving_go_on<P: Place>() {
    let schema = "CREATE TABLE customers (id TEXT PRIMARY KEY, name TEXT NOT NULL, phone TEXT);
                  CREATE TABLE orders (id TEXT PRIMARY KEY, customer TEXT NOT NULL REFERENCES customers (id), total INTEGER)";
    let mut nodes = nodes::<P>(2, schema);
    nodes[0].run("INSERT INTO customers VALUES ('a', 'Ann', '1'), ('b', 'Bob', '2')");
    converge(&mut nodes);
    nodes[1].run("DROP TABLE orders");
    nodes[0].run(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10100) INSERT INTO orders SELECT 'o' || i, 'a', i FROM n",
    );
    converge(&mut nodes);
    nodes[1].run("UPDATE customers SET phone = '3' WHERE id = 'a'");
    nodes[0].run("UPDATE customers SET name = 'Bert' WHERE id = 'b'");
    converge(&mut nodes);
    for node in &nodes {
        assert_eq!(node.texts("SELECT name || phone FROM customers ORDER BY id"), ["Ann3", "Bert2"]);
    }
    assert!(nodes[1].store.parked().expect("read").len() >= 10_100);
}

pub(crate) fn e9_q3_a_child_whose_parent_is_gone_has_it_back_and_no_reference_dangles<P: Place>() {
    let schema = "CREATE TABLE p (id TEXT PRIMARY KEY); CREATE TABLE c (id TEXT PRIMARY KEY, p TEXT NOT NULL REFERENCES p (id) ON DELETE CASCADE)";
    let mut nodes = nodes::<P>(2, schema);
    nodes[0].run("INSERT INTO p VALUES ('a'), ('b')");
    converge(&mut nodes);
    nodes[0].run("DELETE FROM p WHERE id = 'a'");
    nodes[1].run("INSERT INTO c VALUES ('x', 'a')");
    converge(&mut nodes);
    nodes.iter().for_each(|node| node.place.check_sound());
    nodes.iter_mut().for_each(|node| assert_eq!(node.store.parked().expect("read"), []));
    check_equal(&mut nodes);
    assert_eq!(nodes[0].count("p"), 2, "the parent is back");
}

pub(crate) fn b8_an_orphan_that_was_written_without_foreign_keys_holds_up_nothing_but_itself<P: Place>() {
    let schema = "CREATE TABLE p (id TEXT PRIMARY KEY, v TEXT); CREATE TABLE c (id TEXT PRIMARY KEY, p TEXT NOT NULL REFERENCES p (id))";
    let mut nodes = nodes::<P>(2, schema);
    nodes[0].run("INSERT INTO p VALUES ('a', '1'), ('b', '1'); INSERT INTO c VALUES ('x', 'a')");
    converge(&mut nodes);
    nodes[0]
        .place
        .run_unchecked("DELETE FROM p WHERE id = 'a'; INSERT INTO c VALUES ('y', 'nobody'); UPDATE p SET v = '2'");
    converge(&mut nodes);
    assert_eq!(nodes[1].texts("SELECT v FROM p WHERE id = 'b'"), ["2"], "the rest of the changeset is shown");
    nodes[1].place.check_sound();
    assert_eq!(nodes[1].count("p"), 2, "what stands there refers to it");
    assert_eq!(nodes[1].store.parked().expect("read").len(), 1, "nobody ever was there");
    // Mended at its origin, it drains.
    nodes[0].place.run_unchecked("DELETE FROM c WHERE id = 'x'; INSERT INTO p VALUES ('nobody', '3')");
    converge(&mut nodes);
    assert_eq!(nodes[1].store.retry_parked(now()).expect("tried"), 0);
    assert_eq!(nodes[1].store.parked().expect("read"), []);
    check_equal(&mut nodes);
}

/// Rows that refer to nothing, of a node.
fn dangling<P: Place>(node: &Node<P>) -> Vec<String> {
    node.texts("SELECT id FROM orders AS o WHERE NOT EXISTS (SELECT 1 FROM customers AS c WHERE c.id = o.customer OR c.email = o.customer)")
}

pub(crate) fn p5_e9_a_parent_that_has_to_stay_stands_beside_who_took_its_unique_value<P: Place>() {
    let schema = "CREATE TABLE customers (id TEXT PRIMARY KEY, email TEXT UNIQUE);
        CREATE TABLE orders (id TEXT PRIMARY KEY, customer TEXT NOT NULL REFERENCES customers (id))";
    let mut nodes = nodes::<P>(2, schema);
    nodes[0].run("INSERT INTO customers VALUES ('c1', 'c1@x'), ('c2', 'c2@x'), ('c3', 'c3@x'), ('c4', NULL)");
    converge(&mut nodes);
    // All of them go and come back under other names with the same addresses; one has an order by then.
    nodes[0].run("UPDATE customers SET id = 'new ' || id");
    nodes[1].run("INSERT INTO orders VALUES ('o', 'c2')");
    converge(&mut nodes);
    assert_eq!((dangling(&nodes[0]), dangling(&nodes[1])), (vec![], vec![]));
    check_equal(&mut nodes);
    assert_eq!(nodes[1].texts("SELECT id FROM customers ORDER BY id"), ["c2", "new c1", "new c2", "new c3", "new c4"]);
    let emails = nodes[1].texts("SELECT email FROM customers WHERE id IN ('c2', 'new c2') ORDER BY id");
    assert!(emails[0].starts_with("c2@x~") && emails[1] == "c2@x", "{emails:?}");
    assert_eq!(nodes[1].store.parked().expect("read"), []);
    assert_eq!(nodes[1].seal(), 0);
    // The order goes, and with it the reason to wait.
    nodes[1].run("DELETE FROM orders");
    converge(&mut nodes);
    assert!(nodes.iter_mut().all(|node| node.store.retry_parked(now()).expect("tried") == 0));
    check_equal(&mut nodes);
    assert_eq!(nodes[1].texts("SELECT id FROM customers ORDER BY id"), ["new c1", "new c2", "new c3", "new c4"]);
}

pub(crate) fn p5_e9_a_parent_that_others_refer_to_by_another_value_than_its_key_keeps_it<P: Place>() {
    let schema = "CREATE TABLE customers (id TEXT PRIMARY KEY, email TEXT UNIQUE, name TEXT);
        CREATE TABLE orders (id TEXT PRIMARY KEY, customer TEXT NOT NULL REFERENCES customers (email))";
    let mut nodes = nodes::<P>(2, schema);
    nodes[0].run("INSERT INTO customers VALUES ('c1', 'one@x', 'One'), ('c2', 'two@x', 'Two')");
    converge(&mut nodes);
    // Their values change places here, so both can be referred to as before; over there a third value is what somebody refers to meanwhile.
    nodes[0].run(
        "UPDATE customers SET email = 'else@x' WHERE id = 'c1'; UPDATE customers SET email = 'one@x' WHERE id = 'c2'",
    );
    nodes[1].run("INSERT INTO orders VALUES ('o1', 'one@x'), ('o2', 'two@x')");
    converge(&mut nodes);
    assert_eq!((dangling(&nodes[0]), dangling(&nodes[1])), (vec![], vec![]));
    assert_eq!(nodes[1].texts("SELECT id FROM customers WHERE email IN ('one@x', 'two@x') ORDER BY id"), ["c1", "c2"]);
    assert_eq!(nodes[1].seal(), 0);
    nodes[1].run("DELETE FROM orders");
    converge(&mut nodes);
    assert!(nodes.iter_mut().all(|node| node.store.retry_parked(now()).expect("tried") == 0));
    check_equal(&mut nodes);
    assert_eq!(nodes[1].texts("SELECT email FROM customers ORDER BY id"), ["else@x", "one@x"]);
}

fn stand<P: Place>(node: &mut Node<P>, exclude: &[&str]) {
    let mut scope = Scope::default();
    exclude.iter().for_each(|table| scope.tables.remove(table));
    node.stand_by(&scope, &PolicyHistory::default());
    node.store.follow_schema(now()).expect("followed");
}

pub(crate) fn q20_what_comes_for_a_table_while_it_stays_at_home_is_shown_when_it_travels_again<P: Place>() {
    let mut nodes = nodes::<P>(2, &format!("{ITEMS}; CREATE TABLE notes (id TEXT PRIMARY KEY, text TEXT)"));
    nodes[0].run(
        "INSERT INTO notes VALUES ('a', 'one'), ('b', 'two'), ('c', 'three'); INSERT INTO items VALUES ('i', 'x')",
    );
    converge(&mut nodes);

    // One node has heard that notes stay at home, the other writes on.
    stand(&mut nodes[0], &["notes"]);
    nodes[0].run("UPDATE notes SET text = 'private' WHERE id = 'a'");
    nodes[1].run("UPDATE notes SET text = 'late' WHERE id = 'b'; DELETE FROM notes WHERE id = 'c'");
    nodes[1].run("INSERT INTO notes VALUES ('d', 'new'); UPDATE items SET name = 'y'");
    converge(&mut nodes);
    let texts = |node: &Node<P>| node.texts("SELECT text FROM notes ORDER BY id");
    assert_eq!(texts(&nodes[0]), ["private", "two", "three"], "what stands here stays as it is");
    assert_eq!(texts(&nodes[1]), ["one", "late", "new"]);
    assert_eq!(nodes[0].texts("SELECT name FROM items"), ["y"], "the other tables go on");
    let waiting = nodes[0].store.parked().expect("read");
    assert_eq!(waiting.len(), 3, "{waiting:?}");
    assert!(waiting.iter().all(|event| event.reason.contains("stays at home")), "{waiting:?}");
    assert_eq!(nodes[0].seal(), 0);

    stand(&mut nodes[0], &[]);
    nodes[0].store.retry_parked(now()).expect("tried");
    converge(&mut nodes);
    assert_eq!(nodes[0].store.parked().expect("read"), []);
    check_equal(&mut nodes);
    assert_eq!(texts(&nodes[1]), ["private", "late", "new"]);
}
