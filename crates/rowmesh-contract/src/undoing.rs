//! Accidents that are taken back: what a changeset or a while overwrote, deleted or made, as new changes, and nothing that others wrote since.

use std::collections::BTreeMap;

use rowmesh_core::clock::WallTime;
use rowmesh_core::policy::{ColumnPolicy, Policies, PolicyHistory, TablePolicy};
use rowmesh_core::scope::Scope;
use rowmesh_core::store::{Store, UndoneRow};
use rowmesh_core::undo::{Undo, Undoing};

use crate::node::{Node, check_equal, converge, nodes, now};
use crate::place::Place;

const SHOP: &str = "CREATE TABLE customers (id TEXT PRIMARY KEY, name TEXT NOT NULL);
    CREATE TABLE orders (id TEXT PRIMARY KEY, customer TEXT NOT NULL REFERENCES customers (id), total BIGINT, note TEXT)";
const ROWS: &str = "SELECT id || ' ' || customer || ' ' || total || ' ' || coalesce(note, '-') FROM orders ORDER BY id";

/// Nodes that know two customers with two orders each.
fn shops<P: Place>(count: u8) -> Vec<Node<P>> {
    let mut nodes = nodes::<P>(count, SHOP);
    nodes[0].run(
        "INSERT INTO customers VALUES ('ann', 'Ann'), ('bob', 'Bob');
         INSERT INTO orders VALUES ('1', 'ann', 10, NULL), ('2', 'ann', 20, 'n'), ('3', 'bob', 30, NULL), ('4', 'bob', 40, 'm')",
    );
    converge(&mut nodes);
    nodes
}

/// Takes back all that is meant; returns how many events that took, and what became of each row.
fn undo<P: Place>(node: &mut Node<P>, undo: &Undo, dry_run: bool) -> (u64, BTreeMap<String, UndoneRow>) {
    let (mut events, mut told) = (0, BTreeMap::new());
    for changeset in node.store.changesets_meant(undo).expect("read") {
        let mut skip = 0;
        loop {
            let step = node.store.undo(now(), undo, changeset, skip, dry_run).expect("taken back");
            events += step.sealed.events;
            for row in step.rows {
                told.entry(format!("{} {}", row.table, row.key.to_display())).or_insert(row);
            }
            skip += step.looked;
            if !step.more {
                break;
            }
        }
    }
    (events, told)
}

/// The newest changeset of a node.
fn last_of<P: Place>(node: &Node<P>) -> Undo {
    let dot = node.dot(node.last().0);
    Undo { node: Some(dot.origin.node), seq: Some(dot.seq), ..Undo::default() }
}

pub(crate) fn a_wrong_delete_is_taken_back_on_any_node_with_every_row_that_went<P: Place>() {
    let mut nodes = shops::<P>(3);
    let before = nodes[0].texts(ROWS);
    nodes[0].run("DELETE FROM orders WHERE customer = 'ann'; DELETE FROM customers WHERE id = 'ann'");
    converge(&mut nodes);
    assert_eq!(nodes[1].count("orders"), 2);
    let wrong = last_of(&nodes[0]);
    let (events, preview) = undo(&mut nodes[1], &wrong, true);
    assert_eq!((events, preview.len()), (0, 3), "{preview:?}");
    assert!(preview.values().all(|row| matches!(row.undone.undoing, Undoing::Back(_))), "{preview:?}");
    assert_eq!(nodes[1].count("orders"), 2, "a preview writes nothing");
    let (events, told) = undo(&mut nodes[1], &wrong, false);
    assert_eq!((events, &told), (3, &preview));
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!((nodes[0].texts(ROWS), nodes[0].count("customers")), (before, 2));
    assert_eq!(nodes[2].ledger(), [""; 0]);
    let (events, _) = undo(&mut nodes[2], &wrong, false);
    assert_eq!(events, 0, "once is enough, wherever it was said");
}

pub(crate) fn what_others_wrote_since_is_left_alone_and_told<P: Place>() {
    let mut nodes = shops::<P>(2);
    nodes[0].run("UPDATE orders SET total = 0, note = 'wrong'");
    converge(&mut nodes);
    let wrong = last_of(&nodes[0]);
    // Not sealed yet when it is taken back.
    nodes[1].run("UPDATE orders SET total = 25 WHERE id = '2'; DELETE FROM orders WHERE id = '3'");
    let (events, told) = undo(&mut nodes[1], &wrong, false);
    assert_eq!(events, 3, "{told:?}");
    let kept =
        |row: &str| told[&format!("orders {row}")].undone.kept.iter().map(|it| it.to_string()).collect::<Vec<_>>();
    assert_eq!((kept("1"), kept("2")), (vec![], vec!["total".to_owned()]));
    assert_eq!(told["orders 3"].undone.undoing, Undoing::Nothing, "it was deleted since");
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[0].texts(ROWS), ["1 ann 10 -", "2 ann 25 n", "4 bob 40 m"]);
}

pub(crate) fn a_while_is_taken_back_to_what_stood_before_it_and_only_in_the_table_that_is_named<P: Place>() {
    let mut nodes = shops::<P>(2);
    let before = nodes[0].texts(ROWS);
    let since = later();
    nodes[0].run("UPDATE orders SET total = total + 1");
    converge(&mut nodes);
    nodes[1].run("UPDATE orders SET note = 'x' WHERE id = '1'; UPDATE customers SET name = 'Anna' WHERE id = 'ann'");
    converge(&mut nodes);
    nodes[0].run("DELETE FROM orders WHERE id IN ('1', '4'); INSERT INTO orders VALUES ('5', 'ann', 50, NULL)");
    converge(&mut nodes);
    let until = later();
    nodes[0].run("UPDATE customers SET name = 'Robert' WHERE id = 'bob'");
    nodes[0].seal();
    let table = Some("orders".into());
    let (events, told) =
        undo(&mut nodes[0], &Undo { since: Some(since), until: Some(until), table, ..Undo::default() }, false);
    assert_eq!(events, 5, "{told:?}");
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[1].texts(ROWS), before);
    assert_eq!(nodes[1].texts("SELECT name FROM customers ORDER BY id"), ["Anna", "Robert"]);
}

pub(crate) fn what_somebody_else_wrote_between_two_accidents_is_what_stands_again<P: Place>() {
    let mut nodes = shops::<P>(2);
    let since = Some(later());
    let steps = [(0, "total = total - 7"), (1, "total = 500, note = 'right'"), (0, "total = total - 7")];
    for (node, step) in steps {
        nodes[node].run(&format!("UPDATE orders SET {step} WHERE id IN ('1', '2')"));
        converge(&mut nodes);
    }
    nodes[0].run("DELETE FROM orders WHERE id = '2'");
    converge(&mut nodes);
    let node = Some(nodes[0].dot(1).origin.node);
    let wrong = Undo { node, since, ..Undo::default() };
    let (_, preview) = undo(&mut nodes[1], &wrong, true);
    let total = |row: &str| match &preview[row].undone.undoing {
        Undoing::Back(columns) | Undoing::Columns(columns) => columns.get("total").map(|value| value.to_json()),
        _ => None,
    };
    assert_eq!(total("orders 1").as_deref(), Some("500"), "{preview:?}");
    assert_eq!(total("orders 2").as_deref(), Some("500"), "{preview:?}");
    assert_eq!(undo(&mut nodes[1], &wrong, false).0, 2);
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[0].texts(ROWS)[..2], ["1 ann 500 right", "2 ann 500 right"]);
}

pub(crate) fn what_was_made_by_accident_goes_unless_something_hangs_on_it<P: Place>() {
    let mut nodes = shops::<P>(2);
    nodes[0].run("INSERT INTO customers VALUES ('x', 'X'), ('y', 'Y'), ('z', 'Z')");
    converge(&mut nodes);
    let wrong = last_of(&nodes[0]);
    nodes[1].run("INSERT INTO orders VALUES ('9', 'x', 90, NULL); UPDATE customers SET name = 'Yes' WHERE id = 'y'");
    converge(&mut nodes);
    let (events, told) = undo(&mut nodes[0], &wrong, false);
    assert_eq!(events, 1, "{told:?}");
    assert!(told["customers x"].refused.is_some(), "an order refers to it: {told:?}");
    assert_eq!(told["customers y"].undone.kept.len(), 1, "somebody has written it since: {told:?}");
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[1].texts("SELECT id FROM customers ORDER BY id"), ["ann", "bob", "x", "y"]);
}

pub(crate) fn of_a_counter_only_the_wrong_change_is_taken_back_and_what_it_beat_stands_again<P: Place>() {
    let mut nodes = shops::<P>(2);
    let columns = [("total".into(), ColumnPolicy::Counter)].into();
    let table = TablePolicy { columns, ..TablePolicy::default() };
    let rules = PolicyHistory::constant(Policies { tables: [("orders".into(), table)].into() });
    nodes.iter_mut().for_each(|node| node.stand_by(&Scope::default(), &rules));
    nodes[1].run("UPDATE orders SET total = total + 5, note = 'right' WHERE id = '1'");
    nodes[1].seal();
    later();
    nodes[0].run("UPDATE orders SET total = total - 1000, note = 'wrong' WHERE id = '1'");
    nodes[0].seal();
    let wrong = last_of(&nodes[0]);
    converge(&mut nodes);
    assert_eq!(nodes[1].texts("SELECT total || coalesce(note, '') FROM orders WHERE id = '1'"), ["-985wrong"]);
    assert_eq!(undo(&mut nodes[1], &wrong, false).0, 1);
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[0].texts("SELECT total || note FROM orders WHERE id = '1'"), ["15right"]);
}

pub(crate) fn what_stood_there_before_rowmesh_came_is_no_change_that_could_be_taken_back<P: Place>() {
    let mut node = Node::<P>::new(1, &format!("{SHOP}; INSERT INTO customers VALUES ('old', 'Old'), ('gone', 'Gone')"));
    node.run("UPDATE customers SET name = 'new' WHERE id = 'old'; DELETE FROM customers WHERE id = 'gone'");
    node.seal();
    let all = Undo { since: Some(WallTime(0)), ..Undo::default() };
    let (events, told) = undo(&mut node, &all, false);
    assert_eq!(events, 2, "{told:?}");
    assert_eq!(node.texts("SELECT id || ' ' || name FROM customers ORDER BY id"), ["gone Gone", "old Old"]);
}

/// A time after everything that was done so far, and before everything that comes.
fn later() -> WallTime {
    let at = WallTime(now().0 + 1);
    while now() <= at {
        std::hint::spin_loop();
    }
    at
}
