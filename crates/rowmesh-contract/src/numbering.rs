//! Rows whose keys are numbers that databases hand out: two nodes that work while apart give one number to different rows. Both are whole on every node,
//! with all that refers to them, and a row keeps the number under which it is shown.

use rowmesh_core::births::{DERIVED_COUNT, DERIVED_FIRST};
use rowmesh_core::clock::{VersionVector, WallTime};
use rowmesh_core::ident::{Incarnation, Seq};
use rowmesh_core::ledger::{ConflictType, Left};
use rowmesh_core::policy::Strategy;
use rowmesh_core::store::{Edit, Said, Store};
use rowmesh_core::value::{Key, Value};

use crate::node::{Node, check_equal, converge, lacked, nodes, now, seal_as_of, settle, two};
use crate::place::Place;

/// Orders with lines of their own, items that refer to them and payments that hang on items; `NUMBER` is a number that the database hands out.
const SHOP: &str = "CREATE TABLE orders (id NUMBER PRIMARY KEY, customer TEXT, code TEXT UNIQUE);
    CREATE TABLE items (id NUMBER PRIMARY KEY, placed INTEGER NOT NULL REFERENCES orders (id) ON DELETE CASCADE, what TEXT);
    CREATE TABLE lines (placed INTEGER NOT NULL REFERENCES orders (id) ON DELETE CASCADE, line INTEGER NOT NULL, what TEXT, PRIMARY KEY (placed, line));
    CREATE TABLE marks (id TEXT PRIMARY KEY, placed INTEGER, line INTEGER, FOREIGN KEY (placed, line) REFERENCES lines (placed, line) ON DELETE CASCADE)";

fn schema<P: Place>(schema: &str) -> String {
    schema.replace("NUMBER", P::NUMBER)
}

fn shops<P: Place>(count: u8) -> Vec<Node<P>> {
    nodes::<P>(count, &schema::<P>(SHOP))
}

/// An order of a customer under a number, with an item, a line and a mark on that.
fn order(number: i64, item: i64, customer: &str) -> String {
    format!(
        "INSERT INTO orders VALUES ({number}, '{customer}', NULL); INSERT INTO items VALUES ({item}, {number}, 'item of {customer}');
         INSERT INTO lines VALUES ({number}, 1, 'line of {customer}'); INSERT INTO marks VALUES ('{customer}', {number}, 1)"
    )
}

/// As many nodes as there are statements, each of which ran its own while they were apart, one after the other.
fn apart<P: Place>(before: &str, each: &[&str]) -> Vec<Node<P>> {
    let mut nodes = shops::<P>(each.len() as u8);
    nodes[0].run(before);
    converge(&mut nodes);
    for (at, (node, statements)) in nodes.iter_mut().zip(each).enumerate() {
        if !statements.is_empty() {
            node.run(statements);
            seal_as_of(node, now().0 - 60_000 + at as u64);
        }
    }
    nodes
}

/// Each order with what belongs to it, whatever the numbers.
fn whole<P: Place>(node: &Node<P>) -> Vec<String> {
    node.texts(
        "SELECT o.customer || ': ' || coalesce(i.what, '-') || ', ' || coalesce(l.what, '-') || ', ' || coalesce(m.id, '-') FROM orders o
           LEFT JOIN items i ON i.placed = o.id LEFT JOIN lines l ON l.placed = o.id
           LEFT JOIN marks m ON m.placed = l.placed AND m.line = l.line ORDER BY o.customer, i.what, l.what",
    )
}

/// The number under which a customer's order is shown.
fn number_of<P: Place>(node: &Node<P>, customer: &str) -> i64 {
    let found = node.texts(&format!("SELECT CAST(id AS TEXT) FROM orders WHERE customer = '{customer}'"));
    assert_eq!(found.len(), 1, "orders of {customer}");
    found[0].parse().expect("a number")
}

fn is_derived(number: i64) -> bool {
    (DERIVED_FIRST..DERIVED_FIRST + DERIVED_COUNT).contains(&number)
}

fn check_nothing_waits<P: Place>(nodes: &mut [Node<P>]) {
    for node in nodes {
        assert_eq!(node.store.parked().expect("read"), []);
    }
}

/// Everything reaches everybody, and nothing waits.
fn settle_all<P: Place>(nodes: &mut [Node<P>]) {
    settle(nodes);
    check_nothing_waits(nodes);
}

fn rekeyed<P: Place>(node: &Node<P>) -> Vec<String> {
    node.ledger().into_iter().filter(|told| told.contains("REKEY")).collect()
}

pub(crate) fn q9_two_orders_under_one_number_are_both_whole_and_the_later_goes_under_another<P: Place>() {
    let mut nodes = apart::<P>("", &[&order(102, 7, "Ann"), &order(102, 7, "Bob")]);
    settle_all(&mut nodes);
    for node in &mut nodes {
        let both = ["Ann: item of Ann, line of Ann, Ann", "Bob: item of Bob, line of Bob, Bob"];
        assert_eq!(whole(node), both);
        assert_eq!(number_of(node, "Ann"), 102, "the earlier keeps it");
        assert!(is_derived(number_of(node, "Bob")), "{}", number_of(node, "Bob"));
        assert_eq!((node.count("orders"), node.count("items"), node.count("lines"), node.count("marks")), (2, 2, 2, 2));
    }
    let told = nodes[0].store.conflicts(false, 10).expect("read");
    assert_eq!(told.len(), 2, "the order and the item: {told:?}");
    let entry = &told.iter().find(|told| &*told.entry.id.table == "orders").expect("told").entry;
    assert_eq!((entry.kind, entry.strategy, entry.superseded), (ConflictType::Rekey, Strategy::KeepBoth, true));
    assert_eq!(entry.id.column.as_deref(), Some("id"));
    assert_eq!(entry.lost, Left::Value(Value::Integer(102)));
    assert_eq!(entry.id.key, Key::of([&Value::Integer(number_of(&nodes[0], "Bob"))]), "found under its present number");
}

pub(crate) fn q9_whoever_hears_of_it_in_whatever_order_ends_the_same<P: Place>() {
    let names = ["Ann", "Bob", "Cid"];
    let mut first: Option<Vec<String>> = None;
    for order_of_arrival in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let each = names.map(|name| order(5, 5, name));
        let mut nodes = apart::<P>("", &each.each_ref().map(String::as_str));
        nodes.push(Node::new(4, &schema::<P>(SHOP)));
        for from in order_of_arrival {
            let (rest, listener) = nodes.split_at_mut(3);
            let lacked = lacked(&listener[0], &mut rest[from]);
            listener[0].take(&lacked);
            assert_eq!(listener[0].seal(), 0);
        }
        settle_all(&mut nodes);
        let shown: Vec<String> =
            names.iter().map(|name| format!("{}", is_derived(number_of(&nodes[3], name)))).collect();
        assert_eq!(shown, ["false", "true", "true"]);
        assert_eq!(whole(&nodes[0]).len(), 3);
        let first = first.get_or_insert(shown.clone());
        assert_eq!(*first, shown);
        assert_eq!(rekeyed(&nodes[0]).len(), 4);
    }
}

pub(crate) fn q11_a_row_keeps_the_number_under_which_it_is_shown_whatever_becomes_of_the_other<P: Place>() {
    let mut nodes = apart::<P>("", &[&order(102, 7, "Ann"), &order(102, 7, "Bob")]);
    settle_all(&mut nodes);
    let shown = number_of(&nodes[0], "Bob");
    nodes[1].run("DELETE FROM orders WHERE customer = 'Ann'");
    settle_all(&mut nodes);
    assert_eq!(whole(&nodes[0]), ["Bob: item of Bob, line of Bob, Bob"]);
    assert_eq!(number_of(&nodes[0], "Bob"), shown);
    nodes[0].run(&order(102, 9, "Cid"));
    settle_all(&mut nodes);
    assert_eq!((number_of(&nodes[1], "Cid"), number_of(&nodes[1], "Bob")), (102, shown), "a number that is free again");
    assert_eq!(whole(&nodes[1]), ["Bob: item of Bob, line of Bob, Bob", "Cid: item of Cid, line of Cid, Cid"]);
}

pub(crate) fn q10_what_users_write_to_either_row_stays_with_it<P: Place>() {
    let mut nodes = apart::<P>("", &[&order(102, 7, "Ann"), &order(102, 7, "Bob")]);
    // Before they hear of one another.
    nodes[0].run("UPDATE orders SET code = 'a' WHERE id = 102; INSERT INTO items VALUES (8, 102, 'more of Ann')");
    nodes[1].run("UPDATE orders SET code = 'b' WHERE id = 102; INSERT INTO items VALUES (8, 102, 'more of Bob')");
    settle_all(&mut nodes);
    let bob = number_of(&nodes[0], "Bob");
    // And after.
    nodes[0].run(&format!("UPDATE orders SET code = code || '1' WHERE id = {bob}"));
    nodes[1].run("UPDATE orders SET code = code || '2' WHERE id = 102");
    nodes[0].run(&format!("INSERT INTO items VALUES (20, {bob}, 'last of Bob')"));
    nodes[1].run(&format!(
        "UPDATE items SET placed = 102 WHERE what = 'item of Bob'; DELETE FROM lines WHERE placed = {bob}"
    ));
    settle_all(&mut nodes);
    for node in &nodes {
        assert_eq!(node.texts("SELECT customer || code FROM orders ORDER BY 1"), ["Anna2", "Bobb1"]);
        let items = "SELECT o.customer || ' has ' || i.what FROM items i JOIN orders o ON o.id = i.placed ORDER BY 1";
        let expected = [
            "Ann has item of Ann",
            "Ann has item of Bob",
            "Ann has more of Ann",
            "Bob has last of Bob",
            "Bob has more of Bob",
        ];
        assert_eq!(node.texts(items), expected);
        assert_eq!(node.texts("SELECT what FROM lines"), ["line of Ann"]);
    }
}

pub(crate) fn q9_a_number_used_again_is_another_row_and_the_old_one_comes_back_under_another<P: Place>() {
    for in_one_round in [false, true] {
        let mut nodes = apart::<P>(&order(102, 7, "Ann"), &["", "UPDATE orders SET code = 'edited' WHERE id = 102"]);
        nodes[0].run("DELETE FROM orders WHERE id = 102");
        if !in_one_round {
            nodes[0].seal();
        }
        nodes[0].run(&order(102, 7, "Bob"));
        nodes[0].seal();
        assert_eq!(number_of(&nodes[0], "Bob"), 102);
        settle_all(&mut nodes);
        for node in &nodes {
            assert_eq!(number_of(node, "Bob"), 102, "its maker knew that the number was free");
            let ann = number_of(node, "Ann");
            assert!(is_derived(ann), "edited while it was deleted: it stands, {ann}");
            assert_eq!(node.texts("SELECT code FROM orders WHERE customer = 'Ann'"), ["edited"]);
            assert_eq!(node.texts("SELECT what FROM items"), ["item of Bob"]);
        }
        assert_eq!(rekeyed(&nodes[0]), [] as [String; 0], "nobody lost a number that he had");
    }
}

pub(crate) fn q9_rows_that_are_deleted_and_made_anew_as_they_were_are_the_same_rows<P: Place>() {
    let mut nodes = apart::<P>(&order(102, 7, "Ann"), &["", ""]);
    let before = nodes[0].last();
    nodes[0].run(&format!("DELETE FROM orders WHERE id = 102; {}", order(102, 7, "Ann")));
    assert_eq!((nodes[0].seal(), nodes[0].last()), (0, before));
    settle_all(&mut nodes);
}

pub(crate) fn q9_equal_rows_that_hold_a_unique_value_are_one_row<P: Place>() {
    let seed = "INSERT INTO orders VALUES (1, 'walk-in', 'W')";
    let mut nodes = apart::<P>("", &[seed, seed]);
    settle_all(&mut nodes);
    assert_eq!(nodes[0].texts("SELECT CAST(id AS TEXT) || customer || code FROM orders"), ["1walk-inW"]);
    assert_eq!(nodes[0].ledger(), [] as [String; 0]);
    nodes[1].run("UPDATE orders SET customer = 'counter' WHERE id = 1");
    settle_all(&mut nodes);
    assert_eq!(nodes[0].texts("SELECT customer FROM orders"), ["counter"]);
    // What holds none may be two sales of one thing.
    let sale = "INSERT INTO orders VALUES (2, 'Ann', NULL)";
    let mut nodes = apart::<P>("", &[sale, sale]);
    settle_all(&mut nodes);
    assert_eq!(nodes[0].count("orders"), 2);
}

pub(crate) fn q9_rows_that_collide_in_number_and_unique_value_both_stand<P: Place>() {
    let mut nodes =
        apart::<P>("", &["INSERT INTO orders VALUES (3, 'Ann', 'R3')", "INSERT INTO orders VALUES (3, 'Bob', 'R3')"]);
    settle_all(&mut nodes);
    for node in &nodes {
        assert_eq!((number_of(node, "Ann"), is_derived(number_of(node, "Bob"))), (3, true));
        let code = node.texts("SELECT code FROM orders WHERE customer = 'Bob'");
        assert!(code[0].starts_with("R3~"), "{code:?}");
    }
    nodes[0].run("UPDATE orders SET code = 'R4' WHERE customer = 'Ann'");
    settle_all(&mut nodes);
    assert_eq!(nodes[1].texts("SELECT code FROM orders WHERE customer = 'Bob'"), ["R3"]);
}

pub(crate) fn q9_rows_that_refer_to_others_of_their_table_follow_them<P: Place>() {
    let people = "CREATE TABLE people (id NUMBER PRIMARY KEY, name TEXT, boss INTEGER REFERENCES people (id))";
    let mut nodes = nodes::<P>(2, &schema::<P>(people));
    for (at, name) in ["A", "B"].into_iter().enumerate() {
        nodes[at].run(&format!(
            "INSERT INTO people VALUES (1, '{name} chief', NULL), (2, '{name} clerk', 1); UPDATE people SET boss = 2 WHERE id = 1"
        ));
        seal_as_of(&mut nodes[at], now().0 - 60_000 + at as u64);
    }
    settle_all(&mut nodes);
    let told = "SELECT p.name || ' under ' || b.name FROM people p JOIN people b ON b.id = p.boss ORDER BY p.name";
    for node in &nodes {
        let expected =
            ["A chief under A clerk", "A clerk under A chief", "B chief under B clerk", "B clerk under B chief"];
        assert_eq!(node.texts(told), expected);
    }
}

pub(crate) fn q9_whoever_joins_by_a_copy_shows_the_same_and_goes_on_the_same<P: Place>() {
    let mut nodes = apart::<P>("", &[&order(102, 7, "Ann"), &order(102, 7, "Bob")]);
    settle_all(&mut nodes);
    for is_stable in [false, true] {
        let stable = if is_stable { nodes[0].store.position().vector } else { VersionVector::default() };
        let copy = nodes[0].copy_after(&stable);
        let mut joiner = Node::<P>::new(5, &schema::<P>(SHOP));
        joiner.load(&copy);
        nodes.push(joiner);
        check_equal(&mut nodes);
        let bob = number_of(&nodes[2], "Bob");
        nodes[2].run(&format!("INSERT INTO items VALUES (30, {bob}, 'late')"));
        settle_all(&mut nodes);
        let late =
            nodes[1].texts("SELECT o.customer FROM items i JOIN orders o ON o.id = i.placed WHERE i.what = 'late'");
        assert_eq!(late, ["Bob"]);
        nodes[2].run("DELETE FROM items WHERE what = 'late'");
        settle_all(&mut nodes);
        nodes.truncate(2);
    }
}

pub(crate) fn q9_what_the_joiners_application_makes_meanwhile_gives_way_to_what_the_mesh_has<P: Place>() {
    let mut nodes = apart::<P>("", &[&order(1, 1, "Ann"), ""]);
    converge(&mut nodes);
    let copy = nodes[0].copy();
    let mut joiner = Node::<P>::new(5, &schema::<P>(SHOP));
    joiner.begin_load(&copy).expect("begun");
    joiner.run(&order(1, 1, "Eve"));
    for chunk in &copy.chunks {
        joiner.store.load_chunk(chunk, now()).expect("loaded");
    }
    joiner.store.load_finish(&copy.end, now()).expect("loaded");
    nodes.push(joiner);
    settle_all(&mut nodes);
    for node in &nodes {
        assert_eq!(whole(node), ["Ann: item of Ann, line of Ann, Ann", "Eve: item of Eve, line of Eve, Eve"]);
        assert_eq!((number_of(node, "Ann"), is_derived(number_of(node, "Eve"))), (1, true));
    }
}

pub(crate) fn q9_a_restart_between_any_two_steps_changes_nothing<P: Place>() {
    let mut nodes = apart::<P>("", &[&order(102, 7, "Ann"), &order(102, 7, "Bob")]);
    nodes = nodes.into_iter().map(Node::restart).collect();
    settle_all(&mut nodes);
    nodes = nodes.into_iter().map(Node::restart).collect();
    settle_all(&mut nodes);
    let bob = number_of(&nodes[0], "Bob");
    nodes[0].run(&format!("UPDATE orders SET code = 'b' WHERE id = {bob}"));
    nodes[0].seal();
    nodes = nodes.into_iter().map(Node::restart).collect();
    settle_all(&mut nodes);
    assert_eq!(nodes[1].texts("SELECT code FROM orders WHERE customer = 'Bob'"), ["b"]);
    assert_eq!(whole(&nodes[1]).len(), 2);
}

pub(crate) fn q9_what_came_while_the_table_was_not_here_is_told_apart_when_it_is<P: Place>() {
    let mut nodes = apart::<P>("", &[&order(102, 7, "Ann"), &order(102, 7, "Bob")]);
    let mut late = Node::<P>::new(4, "CREATE TABLE other (id TEXT PRIMARY KEY)");
    for from in &mut nodes {
        let lacked = lacked(&late, from);
        late.take(&lacked);
    }
    late.run(&schema::<P>(SHOP));
    late.store.follow_schema(now()).expect("followed");
    late.store.retry_parked(now()).expect("tried");
    nodes.iter().for_each(|node| node.run("CREATE TABLE other (id TEXT PRIMARY KEY)"));
    for node in &mut nodes {
        node.store.follow_schema(now()).expect("followed");
    }
    nodes.push(late);
    settle_all(&mut nodes);
    assert_eq!(whole(&nodes[2]), ["Ann: item of Ann, line of Ann, Ann", "Bob: item of Bob, line of Bob, Bob"]);
}

pub(crate) fn q23_births_under_a_clock_that_was_ahead_take_their_right_place<P: Place>() {
    let mut nodes = shops::<P>(2);
    let last = nodes[0].last();
    let ahead = now().0 + 86_400_000;
    nodes[0].run(&order(102, 7, "Ann"));
    nodes[0].place.date_notes(WallTime(ahead));
    nodes[0].store.seal(WallTime(ahead)).expect("sealed");
    nodes[1].run(&order(102, 7, "Bob"));
    nodes[1].seal();
    let (one, two) = two(&mut nodes);
    let behind = lacked(one, two);
    one.take(&behind);
    assert_eq!(number_of(one, "Bob"), 102, "by that clock Ann's is the later");
    one.store.restamp(last, Incarnation { count: 2, nonce: 9 }, now()).expect("renamed");
    assert_eq!(one.last(), Seq(1));
    settle_all(&mut nodes);
    assert_eq!(whole(&nodes[1]), ["Ann: item of Ann, line of Ann, Ann", "Bob: item of Bob, line of Bob, Bob"]);
}

pub(crate) fn e1_who_is_brought_back_by_a_person_is_who_was_deleted<P: Place>() {
    let mut nodes = apart::<P>("", &[&order(102, 7, "Ann"), &order(102, 7, "Bob")]);
    settle_all(&mut nodes);
    let bob = number_of(&nodes[0], "Bob");
    nodes[0].run(&format!("DELETE FROM orders WHERE id = {bob}"));
    settle_all(&mut nodes);
    let key = Key::of([&Value::Integer(bob)]);
    let values = Some(vec![("code".into(), Said::Value(Value::text("again")))]);
    let edit = Edit { table: "orders".into(), key, values, counted_anew: false };
    nodes[1].store.edit(now(), &[edit]).expect("written");
    settle_all(&mut nodes);
    assert_eq!((number_of(&nodes[0], "Bob"), number_of(&nodes[0], "Ann")), (bob, 102));
    assert_eq!(nodes[0].texts("SELECT code FROM orders WHERE customer = 'Bob'"), ["again"]);
}

pub(crate) fn q9_numbers_in_the_band_of_the_derived_ones_belong_to_whoever_is_born_with_them<P: Place>() {
    let mut nodes = apart::<P>("", &[&order(102, 7, "Ann"), &order(102, 7, "Bob"), ""]);
    // The third has not heard of Bob, whose derived number it gives away.
    let (first, rest) = nodes.split_at_mut(2);
    let (one, two) = first.split_at_mut(1);
    let behind = lacked(&one[0], &mut two[0]);
    one[0].take(&behind);
    let bob = number_of(&one[0], "Bob");
    rest[0].run(&order(bob, 9, "Cid"));
    rest[0].seal();
    settle_all(&mut nodes);
    for node in &nodes {
        assert_eq!(number_of(node, "Cid"), bob);
        assert!(is_derived(number_of(node, "Bob")) && number_of(node, "Bob") != bob);
        assert_eq!(whole(node).len(), 3);
    }
}
