//! Rows of several nodes that took one unique value: both stand, on every node the same one under another value, and it goes back when it can.

use rowmesh_core::ledger::{ConflictType, Left};
use rowmesh_core::store::Store;
use rowmesh_core::undo::Undo;
use rowmesh_core::value::Value;

use crate::node::{Node, check_equal, converge, lacked, nodes, now, seal_as_of, settle};
use crate::place::Place;

const CUSTOMERS: &str = "CREATE TABLE customers (id TEXT PRIMARY KEY, email TEXT UNIQUE, name TEXT)";

/// Two nodes, on the first of which 'a' took an address before 'b' took it on the second.
fn pair<P: Place>() -> Vec<Node<P>> {
    let mut nodes = nodes::<P>(2, CUSTOMERS);
    nodes[0].run("INSERT INTO customers VALUES ('a', 'x@y', 'Ann')");
    seal_as_of(&mut nodes[0], 1_000);
    nodes[1].run("INSERT INTO customers VALUES ('b', 'x@y', 'Bob')");
    nodes[1].seal();
    settle(&mut nodes);
    nodes
}

fn addresses<P: Place>(node: &Node<P>) -> Vec<String> {
    node.texts("SELECT id || ' ' || coalesce(email, 'none') FROM customers ORDER BY id")
}

fn is_suffixed(shown: &str, row: &str, value: &str) -> bool {
    let rest = shown.strip_prefix(&format!("{row} {value}~"));
    rest.is_some_and(|letters| letters.len() == 4 && letters.chars().all(|letter| letter.is_ascii_alphanumeric()))
}

pub(crate) fn e2_two_rows_that_took_one_value_both_stand_and_the_later_shows_it_with_a_suffix<P: Place>() {
    let mut nodes = pair::<P>();
    for node in &mut nodes {
        let shown = addresses(node);
        assert_eq!(shown[0], "a x@y");
        assert!(is_suffixed(&shown[1], "b", "x@y"), "{shown:?}");
        assert_eq!(node.store.parked().expect("read"), []);
        let told = node.store.conflicts(true, 10).expect("read");
        assert_eq!(told.len(), 1);
        let entry = &told[0].entry;
        assert_eq!((entry.kind, &*entry.id.key.to_display()), (ConflictType::Unique, "b"));
        assert_eq!(entry.lost, Left::Value(Value::text("x@y")));
        let keeps = [("id".into(), Value::text("a")), ("email".into(), Value::text("x@y"))];
        assert_eq!(entry.won, Left::Written(keeps.into()), "it tells which row keeps the value");
    }
}

pub(crate) fn e2_who_gave_way_shows_the_value_again_as_soon_as_it_is_free<P: Place>() {
    let ways = ["UPDATE customers SET email = 'z@y' WHERE id = 'a'", "DELETE FROM customers WHERE id = 'a'"];
    for (way, at) in ways.into_iter().flat_map(|way| [(way, 0), (way, 1)]) {
        let mut nodes = pair::<P>();
        nodes[at].run(way);
        assert_eq!(nodes[at].seal(), 1);
        assert_eq!(addresses(&nodes[at]).last().expect("a row"), "b x@y", "at once where it was given free");
        settle(&mut nodes);
        assert_eq!(addresses(&nodes[1 - at]).last().expect("a row"), "b x@y");
        assert_eq!(nodes[0].ledger(), [] as [String; 0], "nothing shows otherwise than it was written");
    }
}

pub(crate) fn q13_what_a_user_writes_on_top_is_what_he_sees<P: Place>() {
    let mut nodes = pair::<P>();
    nodes[1].run("UPDATE customers SET name = 'Bert' WHERE id = 'b'");
    settle(&mut nodes);
    assert!(is_suffixed(&addresses(&nodes[0])[1], "b", "x@y"), "an edit of another column writes no suffix");
    // The first gives the value up and somebody else takes it, in one transaction: it was known that 'b' would have it.
    nodes[1].run("UPDATE customers SET email = NULL WHERE id = 'a'; INSERT INTO customers VALUES ('c', 'x@y', 'Cy')");
    nodes[1].seal();
    assert_eq!(addresses(&nodes[1])[2], "c x@y");
    settle(&mut nodes);
    let shown = addresses(&nodes[0]);
    assert!(is_suffixed(&shown[1], "b", "x@y"), "{shown:?}");
    nodes[0].run("UPDATE customers SET email = 'bob@y' WHERE id = 'b'");
    settle(&mut nodes);
    assert_eq!(addresses(&nodes[1]), ["a none", "b bob@y", "c x@y"]);
    assert_eq!(nodes[0].ledger(), [] as [String; 0]);
}

pub(crate) fn e2_three_rows_that_collide_in_a_circle_end_the_same_whatever_the_order<P: Place>() {
    let schema = "CREATE TABLE items (id TEXT PRIMARY KEY, email TEXT UNIQUE, sku TEXT UNIQUE)";
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let mut shown = Vec::new();
    for order in orders {
        let mut nodes = nodes::<P>(4, schema);
        nodes[0].run("INSERT INTO items VALUES ('a', 'one', 'three')");
        seal_as_of(&mut nodes[0], 1_000);
        nodes[1].run("INSERT INTO items VALUES ('b', 'one', 'two')");
        seal_as_of(&mut nodes[1], 2_000);
        nodes[2].run("INSERT INTO items VALUES ('c', 'none', 'two'), ('d', 'other', 'three')");
        nodes[2].seal();
        for from in order {
            let (first, rest) = nodes.split_at_mut(3);
            rest[0].pull(&mut first[from]);
        }
        settle(&mut nodes);
        shown.push(nodes[3].texts("SELECT id || ' ' || email || ' ' || sku FROM items ORDER BY id"));
    }
    assert!(shown.iter().all(|rows| *rows == shown[0]), "{shown:?}");
    assert_eq!(shown[0][0], "a one three");
    assert!(shown[0][1].starts_with("b one~") && shown[0][1].ends_with(" two"), "{shown:?}");
    assert!(shown[0][2].starts_with("c none two~") && shown[0][3].starts_with("d other three~"), "{shown:?}");
}

pub(crate) fn e2_a_number_that_another_row_keeps_is_shown_as_null<P: Place>() {
    let mut nodes = nodes::<P>(2, "CREATE TABLE seats (id TEXT PRIMARY KEY, place INTEGER UNIQUE)");
    nodes[0].run("INSERT INTO seats VALUES ('a', 7)");
    seal_as_of(&mut nodes[0], 1_000);
    nodes[1].run("INSERT INTO seats VALUES ('b', 7)");
    settle(&mut nodes);
    let places = "SELECT id || ' ' || coalesce(CAST(place AS TEXT), 'none') FROM seats ORDER BY id";
    assert_eq!(nodes[1].texts(places), ["a 7", "b none"]);
    nodes[0].run("UPDATE seats SET place = 8 WHERE id = 'a'");
    settle(&mut nodes);
    assert_eq!(nodes[1].texts(places), ["a 8", "b 7"]);
}

pub(crate) fn e2_where_a_check_refuses_the_suffix_null_is_shown_or_the_row_is_hidden<P: Place>() {
    let schema = "CREATE TABLE codes (id TEXT PRIMARY KEY, code TEXT UNIQUE CHECK (length(code) < 4), must TEXT NOT NULL UNIQUE CHECK (length(must) < 4))";
    let mut nodes = nodes::<P>(2, schema);
    nodes[0].run("INSERT INTO codes VALUES ('a', 'one', '1'), ('c', 'two', '3')");
    seal_as_of(&mut nodes[0], 1_000);
    nodes[1].run("INSERT INTO codes VALUES ('b', 'one', '2'), ('d', 'six', '3')");
    converge(&mut nodes);
    check_equal(&mut nodes);
    for node in &mut nodes {
        let codes = node.texts("SELECT id || ' ' || coalesce(code, 'none') FROM codes ORDER BY id");
        assert_eq!(codes, ["a one", "b none", "c two"], "what may not be NULL is hidden");
        assert_eq!((node.seal(), node.store.parked().expect("read").len()), (0, 1));
    }
    nodes[1].run("UPDATE codes SET must = '4' WHERE id = 'c'; UPDATE codes SET code = 'ten' WHERE id = 'a'");
    settle(&mut nodes);
    let codes = nodes[0].texts("SELECT id || ' ' || coalesce(code, 'none') FROM codes ORDER BY id");
    assert_eq!(codes, ["a ten", "b one", "c two", "d six"]);
}

pub(crate) fn e2_what_can_show_nothing_else_is_hidden_with_its_children_and_comes_back<P: Place>() {
    let schema = "CREATE TABLE seats (id TEXT PRIMARY KEY, place INTEGER NOT NULL UNIQUE);
        CREATE TABLE guests (id TEXT PRIMARY KEY, seat TEXT NOT NULL REFERENCES seats (id), name TEXT)";
    let mut nodes = nodes::<P>(2, schema);
    nodes[0].run("INSERT INTO seats VALUES ('a', 7)");
    seal_as_of(&mut nodes[0], 1_000);
    nodes[1].run("INSERT INTO seats VALUES ('b', 7); INSERT INTO guests VALUES ('g', 'b', 'Gil')");
    converge(&mut nodes);
    for node in &mut nodes {
        assert_eq!(node.texts("SELECT id FROM seats"), ["a"]);
        assert_eq!(node.count("guests"), 0, "it refers to what is hidden");
        node.place.check_sound();
        let waiting = node.store.parked().expect("read");
        assert_eq!(waiting.len(), 2, "{waiting:?}");
        assert!(waiting.iter().any(|parked| parked.reason.contains("the same unique value")), "{waiting:?}");
        assert_eq!(node.seal(), 0);
        let told = node.store.conflicts(true, 10).expect("read");
        assert_eq!(told.len(), 1, "it waits for a person");
    }
    check_equal(&mut nodes);
    nodes[0].run("UPDATE seats SET place = 8 WHERE id = 'a'");
    settle(&mut nodes);
    for node in &mut nodes {
        assert_eq!(node.store.parked().expect("read"), []);
        assert_eq!(node.texts("SELECT id FROM seats ORDER BY id"), ["a", "b"]);
        assert_eq!(node.texts("SELECT name FROM guests"), ["Gil"]);
    }
}

pub(crate) fn e2_what_is_hidden_takes_along_the_children_that_came_with_it<P: Place>() {
    let schema = "CREATE TABLE seats (id TEXT PRIMARY KEY, place INTEGER NOT NULL UNIQUE);
        CREATE TABLE guests (id TEXT PRIMARY KEY, seat TEXT NOT NULL REFERENCES seats (id), name TEXT);
        CREATE TABLE dishes (id TEXT PRIMARY KEY, guest TEXT NOT NULL REFERENCES guests (id))";
    let mut nodes = nodes::<P>(3, schema);
    nodes[0].run("INSERT INTO seats VALUES ('a', 7)");
    seal_as_of(&mut nodes[0], 1_000);
    nodes[1].run("INSERT INTO seats VALUES ('b', 7); INSERT INTO guests VALUES ('g', 'b', 'Gil'); INSERT INTO dishes VALUES ('d', 'g')");
    nodes[1].seal();
    let (from, to) = nodes.split_at_mut(2);
    let mut changesets = lacked(&to[0], &mut from[1]);
    changesets.extend(lacked(&to[0], &mut from[0]));
    to[0].take(&changesets);
    assert_eq!(to[0].texts("SELECT id FROM seats"), ["a"], "the later one came first, in the same breath");
    assert_eq!((to[0].count("guests"), to[0].count("dishes")), (0, 0));
    converge(&mut nodes);
    check_equal(&mut nodes);
    for node in &mut nodes {
        assert_eq!((node.seal(), node.count("guests"), node.store.parked().expect("read").len()), (0, 0, 3));
    }
    nodes[2].run("DELETE FROM seats WHERE id = 'a'");
    settle(&mut nodes);
    assert_eq!((nodes[0].texts("SELECT name FROM guests"), nodes[1].count("dishes")), (vec!["Gil".to_owned()], 1));
}

pub(crate) fn q29_of_several_columns_the_last_that_is_no_reference_shows_the_suffix<P: Place>() {
    let schema = "CREATE TABLE shops (id TEXT PRIMARY KEY);
        CREATE TABLE tags (id TEXT PRIMARY KEY, name TEXT NOT NULL, shop TEXT NOT NULL REFERENCES shops (id), UNIQUE (name, shop))";
    let mut nodes = nodes::<P>(2, schema);
    nodes[0].run("INSERT INTO shops VALUES ('s'), ('t')");
    converge(&mut nodes);
    nodes[0].run("INSERT INTO tags VALUES ('a', 'new', 's'), ('c', 'new', 't')");
    seal_as_of(&mut nodes[0], 1_000);
    nodes[1].run("INSERT INTO tags VALUES ('b', 'new', 's')");
    settle(&mut nodes);
    let tags = nodes[0].texts("SELECT id || ' ' || name || ' ' || shop FROM tags ORDER BY id");
    assert!(tags[0] == "a new s" && tags[2] == "c new t", "{tags:?}");
    assert!(tags[1].starts_with("b new~") && tags[1].ends_with(" s"), "{tags:?}");
}

pub(crate) fn e2_what_is_derived_never_displaces_what_somebody_writes<P: Place>() {
    let mut nodes = pair::<P>();
    let derived = addresses(&nodes[0])[1].strip_prefix("b ").expect("b").to_owned();
    nodes.push(Node::new(3, CUSTOMERS));
    // Somebody who has heard of nothing yet happens to write just that.
    nodes[2].run(&format!("INSERT INTO customers VALUES ('c', '{derived}', 'Cy')"));
    settle(&mut nodes);
    for node in &nodes {
        let shown = addresses(node);
        assert_eq!(shown[2], format!("c {derived}"));
        assert!(is_suffixed(&shown[1], "b", "x@y") && shown[1] != format!("b {derived}"), "{shown:?}");
    }
    nodes[0].run("DELETE FROM customers WHERE id = 'c'");
    settle(&mut nodes);
    assert_eq!(addresses(&nodes[2])[1], format!("b {derived}"), "the first suffix is free again");
}

/// Takes back the last changeset of a node there; tells what was refused.
fn take_back<P: Place>(node: &mut Node<P>) -> Vec<String> {
    let undo = Undo { node: Some(node.store.position().origin.node), seq: Some(node.last()), ..Undo::default() };
    let meant = node.store.changesets_meant(&undo).expect("found");
    let steps =
        meant.into_iter().map(|changeset| node.store.undo(now(), &undo, changeset, 0, false).expect("taken back"));
    steps.flat_map(|step| step.rows).filter_map(|row| row.refused).collect()
}

pub(crate) fn e2_what_is_taken_back_is_what_was_written_and_not_what_stood_in_its_place<P: Place>() {
    for accident in ["DELETE FROM customers WHERE id = 'b'", "UPDATE customers SET email = 'oh@y' WHERE id = 'b'"] {
        let mut nodes = pair::<P>();
        nodes[1].run(accident);
        nodes[1].seal();
        let undo_of = nodes[1].last();
        assert_eq!(take_back(&mut nodes[1]).len(), 1, "another row has the value: {accident}");
        assert_eq!(nodes[1].last(), undo_of, "nothing was written");
        converge(&mut nodes);
        nodes[0].run("UPDATE customers SET email = 'free' WHERE id = 'a'");
        converge(&mut nodes);
        assert_eq!(take_back(&mut nodes[1]), [] as [String; 0]);
        settle(&mut nodes);
        assert_eq!(addresses(&nodes[0]), ["a free", "b x@y"]);
    }
}

pub(crate) fn e2_another_index_changes_what_is_shown_also_while_the_daemon_is_stopped<P: Place>() {
    let schema = "CREATE TABLE customers (id TEXT PRIMARY KEY, email TEXT, name TEXT); CREATE UNIQUE INDEX one_each ON customers (email)";
    let mut nodes = nodes::<P>(2, schema);
    nodes[0].run("INSERT INTO customers VALUES ('a', 'x@y', 'Ann')");
    seal_as_of(&mut nodes[0], 1_000);
    nodes[1].run("INSERT INTO customers VALUES ('b', 'x@y', 'Bob')");
    settle(&mut nodes);
    assert!(is_suffixed(&addresses(&nodes[0])[1], "b", "x@y"));
    nodes[0].run("DROP INDEX one_each");
    nodes[0].store.follow_schema(now()).expect("followed");
    let stopped = nodes.pop().expect("two").stop();
    stopped.place.run("DROP INDEX one_each");
    nodes.push(stopped.start());
    settle(&mut nodes);
    assert_eq!(addresses(&nodes[1]), ["a x@y", "b x@y"]);
    assert_eq!(nodes[0].ledger(), [] as [String; 0]);
}

pub(crate) fn e2_a_write_that_loses_in_two_indexes_is_told_once_and_the_same_everywhere<P: Place>() {
    let schema = "CREATE TABLE shops (id TEXT PRIMARY KEY);
        CREATE TABLE codes (id TEXT PRIMARY KEY, code TEXT, shop TEXT NOT NULL REFERENCES shops (id));";
    let [one, two] = [
        "CREATE UNIQUE INDEX a1 ON codes (code); CREATE UNIQUE INDEX a2 ON codes (shop, code)",
        "CREATE UNIQUE INDEX a2 ON codes (code); CREATE UNIQUE INDEX a1 ON codes (shop, code)",
    ];
    let mut nodes = vec![
        Node::<P>::new(1, &format!("{schema} {one}")),
        Node::new(2, &format!("{schema} {two}")),
        Node::new(3, &format!("{schema} {one}")),
    ];
    nodes[0].run("INSERT INTO shops VALUES ('s'), ('t')");
    seal_as_of(&mut nodes[0], 1_000);
    converge(&mut nodes);
    nodes[0].run("INSERT INTO codes VALUES ('a', 'c', 's')");
    seal_as_of(&mut nodes[0], 2_000);
    nodes[1].run("INSERT INTO codes VALUES ('b', 'c', 't')");
    seal_as_of(&mut nodes[1], 3_000);
    nodes[2].run("INSERT INTO codes VALUES ('r', 'c', 't')");
    settle(&mut nodes);
    let told = nodes[0].store.conflicts(true, 10).expect("read");
    assert_eq!(told.len(), 2, "one for each row that shows a suffix");
}

pub(crate) fn e2_who_joins_with_a_copy_shows_the_same<P: Place>() {
    let mut nodes = pair::<P>();
    nodes[1].run("INSERT INTO customers VALUES ('d', 'd@y', 'Di')");
    settle(&mut nodes);
    let copy = nodes[1].copy();
    let mut joiner = Node::<P>::new(3, CUSTOMERS);
    joiner.load(&copy);
    joiner.store.retry_parked(now()).expect("tried");
    nodes.push(joiner);
    settle(&mut nodes);
    nodes[2].run("UPDATE customers SET email = 'free' WHERE id = 'a'");
    settle(&mut nodes);
    assert_eq!(addresses(&nodes[0]), ["a free", "b x@y", "d d@y"]);
}

pub(crate) fn e3_values_change_places_while_others_wait_for_them<P: Place>() {
    let mut nodes = nodes::<P>(2, CUSTOMERS);
    nodes[0].run("INSERT INTO customers VALUES ('a', '1', 'a'), ('b', '2', 'b')");
    converge(&mut nodes);
    nodes[1].run("INSERT INTO customers VALUES ('c', '3', 'c')");
    nodes[0].run("INSERT INTO customers VALUES ('d', '3', 'd')");
    settle(&mut nodes);
    // In one transaction two change places, and the one that keeps the third value gives it to another.
    nodes[0].run(
        "UPDATE customers SET email = 'aside' WHERE id = 'a'; UPDATE customers SET email = '1' WHERE id = 'b';
         UPDATE customers SET email = '2' WHERE id = 'a'; UPDATE customers SET email = 'free' WHERE email = '3';
         UPDATE customers SET email = '3' WHERE id = 'b'; UPDATE customers SET email = '1' WHERE id = 'a'",
    );
    nodes[0].seal();
    let there = addresses(&nodes[0]);
    assert_eq!(&there[..2], ["a 1", "b 3"], "what was written here stands here");
    settle(&mut nodes);
    assert_eq!(addresses(&nodes[1]), there);
}
