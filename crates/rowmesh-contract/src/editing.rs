//! What a person writes through Rowmesh: one changeset that has seen everything, all of it or nothing.

use rowmesh_core::policy::{ExistencePolicy, Policies, PolicyHistory, TablePolicy};
use rowmesh_core::scope::Scope;
use rowmesh_core::store::{Edit, Said, Store};
use rowmesh_core::value::{Key, Value};

use crate::node::{Node, check_equal, check_refused, converge, nodes, now};
use crate::place::Place;

const PRODUCTS: &str =
    "CREATE TABLE products (id TEXT PRIMARY KEY, stock BIGINT, price NUMERIC(20, 2), weight DOUBLE PRECISION)";
const STOCK: &str = "SELECT stock || '' FROM products ORDER BY id";

/// Nodes that know one product of which there are ten.
fn shops<P: Place>(count: u8) -> Vec<Node<P>> {
    let mut nodes = nodes::<P>(count, PRODUCTS);
    nodes[0].run("INSERT INTO products VALUES ('p', 10, 10.00, 1.5)");
    converge(&mut nodes);
    nodes
}

fn sell<P: Place>(node: &mut Node<P>, count: i64) {
    node.run(&format!("UPDATE products SET stock = stock - {count}"));
    node.seal();
}

fn check_stock<P: Place>(nodes: &mut [Node<P>], stock: &[&str]) {
    check_equal(nodes);
    for node in nodes {
        assert_eq!(node.texts(STOCK), stock, "node {}", node.name);
    }
}

/// What is to become of the product.
fn edit(values: Option<Vec<(&str, Said)>>) -> Edit {
    let values = values.map(|values| values.into_iter().map(|(name, said)| (name.into(), said)).collect());
    Edit { table: "products".into(), key: Key::of([&Value::text("p")]), values, counted_anew: false }
}

fn set(column: &str, value: Value) -> Edit {
    edit(Some(vec![(column, Said::Value(value))]))
}

fn open<P: Place>(node: &Node<P>) -> usize {
    node.ledger().iter().filter(|entry| entry.contains("open")).count()
}

pub(crate) fn what_a_person_writes_through_rowmesh_is_sealed_as_one_changeset_after_what_the_application_wrote<
    P: Place,
>() {
    let mut nodes = shops::<P>(2);
    nodes[0].run("UPDATE products SET stock = stock - 1; INSERT INTO products VALUES ('q', 5, 1, 1)");
    let of = |key: &str, edit: Edit| Edit { key: Key::of([&Value::text(key)]), ..edit };
    let said = |value: Value| Said::Value(value);
    let edits = [
        set("weight", Value::Real(2.0)),
        of("q", edit(None)),
        of("r", edit(Some(vec![("id", said(Value::text("r"))), ("stock", said(3.into()))]))),
    ];
    let sealed = nodes[0].store.edit(now(), &edits).expect("written");
    assert_eq!((sealed.events, nodes[0].last().0), (3, 3), "one changeset, behind that of the application's");
    assert_eq!((nodes[0].seal(), nodes[0].last().0), (0, 3), "nothing is left to seal");
    converge(&mut nodes);
    check_equal(&mut nodes);
    let rows = "SELECT id || ' ' || stock || ' ' || coalesce(weight, -1) FROM products ORDER BY id";
    assert_eq!(nodes[1].texts(rows).len(), 2);
    assert_eq!(nodes[1].count("products WHERE id = 'p' AND stock = 9 AND weight = 2"), 1);
    assert_eq!(nodes[1].count("products WHERE id = 'r' AND stock = 3 AND weight IS NULL"), 1);
}

pub(crate) fn what_a_person_writes_of_both_sides_ends_their_conflict_even_if_it_is_what_stands<P: Place>() {
    let mut nodes = shops::<P>(2);
    sell(&mut nodes[0], 1);
    sell(&mut nodes[1], 4);
    converge(&mut nodes);
    assert_eq!(open(&nodes[0]), 1);
    let stays = edit(Some(vec![("stock", Said::AsItStands)]));
    // Neither of what stands, whichever of the two sales was the later.
    let other = set("stock", 77.into());
    // Two people settle it in opposite ways: that is a conflict of its own, between these two.
    nodes[0].store.edit(now(), &[stays]).expect("written");
    nodes[1].store.edit(now(), &[other]).expect("written");
    converge(&mut nodes);
    let ledger = nodes[0].ledger();
    assert!(ledger.len() == 2 && open(&nodes[1]) == 1, "{ledger:?}");
    let stands = nodes[0].texts(STOCK)[0].clone();
    check_stock(&mut nodes, &[&stands]);
}

pub(crate) fn what_a_person_writes_that_the_database_refuses_changes_nothing<P: Place>() {
    let mut nodes =
        nodes::<P>(1, "CREATE TABLE products (id TEXT PRIMARY KEY, stock BIGINT NOT NULL CHECK (stock >= 0))");
    nodes[0].run("INSERT INTO products VALUES ('p', 10)");
    nodes[0].seal();
    let refused = |node: &mut Node<P>, edit: Edit, code: &str| {
        check_refused(node.store.edit(now(), &[edit]), code);
        assert_eq!((node.texts(STOCK), node.last().0), (vec!["10".to_owned()], 1));
    };
    let (good, bad) = (set("stock", 3.into()), set("stock", (-1).into()));
    check_refused(nodes[0].store.edit(now(), &[good, bad.clone()]), "RM5108");
    refused(&mut nodes[0], bad, "RM5108");
    refused(&mut nodes[0], set("stock", Value::Null), "RM5108");
    refused(&mut nodes[0], set("colour", 1.into()), "RM5109");
    refused(&mut nodes[0], Edit { table: "nowhere".into(), ..set("stock", 1.into()) }, "RM5109");
    nodes[0].store.edit(now(), &[set("stock", 4.into())]).expect("goes on");
    assert_eq!(nodes[0].texts(STOCK), ["4"]);
}

pub(crate) fn a_row_that_was_deleted_comes_back_with_what_it_held_last_when_a_person_says_so<P: Place>() {
    let mut nodes = shops::<P>(2);
    sell(&mut nodes[0], 3);
    converge(&mut nodes);
    nodes[1].run("DELETE FROM products");
    converge(&mut nodes);
    let back = edit(Some(vec![("price", Said::AsItStands), ("weight", Said::Value(Value::Real(2.5)))]));
    assert_eq!(nodes[0].store.edit(now(), &[back]).expect("written").events, 1);
    converge(&mut nodes);
    check_stock(&mut nodes, &["7"]);
    assert_eq!(nodes[1].count("products WHERE id = 'p' AND price = 10 AND weight = 2.5"), 1);
}

pub(crate) fn what_is_too_large_to_travel_is_not_written_either<P: Place>() {
    let mut nodes = nodes::<P>(1, "CREATE TABLE products (id TEXT PRIMARY KEY, stock TEXT)");
    let half = 16 << 20;
    nodes[0].run(&format!("INSERT INTO products VALUES ('p', '{}')", "x".repeat(half)));
    nodes[0].seal();
    check_refused(nodes[0].store.edit(now(), &[set("stock", Value::text(&"y".repeat(half)))]), "RM5108");
    // What stays is part of what travels too.
    check_refused(nodes[0].store.edit(now(), &[edit(Some(vec![("stock", Said::AsItStands)]))]), "RM5108");
    assert_eq!((nodes[0].count("products WHERE stock LIKE 'x%'"), nodes[0].last().0), (1, 1));
    nodes[0].store.edit(now(), &[set("stock", Value::text("y"))]).expect("fits");
    assert_eq!(nodes[0].texts(STOCK), ["y"]);
}

pub(crate) fn a_delete_that_stands_is_accepted_by_one_event_and_nobody_sees_the_row_between<P: Place>() {
    let mut nodes = shops::<P>(2);
    let table = TablePolicy { existence: ExistencePolicy::DeleteWins, ..TablePolicy::default() };
    let rules = PolicyHistory::constant(Policies { tables: [("products".into(), table)].into() });
    nodes.iter_mut().for_each(|node| node.stand_by(&Scope::default(), &rules));
    nodes[0].run("DELETE FROM products");
    sell(&mut nodes[1], 1);
    converge(&mut nodes);
    check_stock(&mut nodes, &[]);
    assert_eq!((open(&nodes[0]), open(&nodes[1])), (1, 1), "the sale waits for an answer");
    let before = nodes[1].last();
    assert_eq!(nodes[1].store.edit(now(), &[edit(None)]).expect("accepted").events, 1);
    assert_eq!(nodes[1].last(), before.next());
    let events = nodes[1].events();
    let last = events.iter().max_by_key(|event| event.dot.seq).expect("an event");
    assert!(format!("{last:?}").contains("DELETE"), "{last:?}");
    converge(&mut nodes);
    check_stock(&mut nodes, &[]);
    assert_eq!((open(&nodes[0]), open(&nodes[1])), (0, 0));
    // Answered: nobody speaks for the row any more, whatever holds from now on.
    nodes.iter_mut().for_each(|node| node.stand_by(&Scope::default(), &PolicyHistory::default()));
    nodes.iter_mut().for_each(|node| drop(node.store.follow_schema(now()).expect("shown by it")));
    check_stock(&mut nodes, &[]);
    check_refused(nodes[0].store.edit(now(), &[edit(None)]), "RM5109");
    nodes[0].run("INSERT INTO products VALUES ('p', 2, 1, 1)");
    converge(&mut nodes);
    check_stock(&mut nodes, &["2"]);
}
