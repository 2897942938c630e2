//! Columns that count: what several nodes took from one number is gone from it on all of them, exactly once, whatever came when.

use rowmesh_core::policy::{ColumnPolicy, Policies, PolicyHistory, TablePolicy};
use rowmesh_core::scope::Scope;
use rowmesh_core::store::{Edit, Said, Store};
use rowmesh_core::value::{Key, Value};

use crate::node::{Node, check_equal, check_refused, converge, nodes, now};
use crate::place::Place;

const PRODUCTS: &str =
    "CREATE TABLE products (id TEXT PRIMARY KEY, stock BIGINT, price NUMERIC(20, 2), weight DOUBLE PRECISION)";
const STOCK: &str = "SELECT stock || '' FROM products ORDER BY id";

fn counters() -> PolicyHistory {
    let columns = ["stock", "price", "weight"].map(|column| (column.into(), ColumnPolicy::Counter));
    let table = TablePolicy { columns: columns.into(), ..TablePolicy::default() };
    PolicyHistory::constant(Policies { tables: [("products".into(), table)].into() })
}

/// Nodes that know one product of which there are ten.
fn shops<P: Place>(count: u8) -> Vec<Node<P>> {
    let mut nodes = nodes::<P>(count, PRODUCTS);
    nodes.iter_mut().for_each(|node| node.stand_by(&Scope::default(), &counters()));
    nodes[0].run("INSERT INTO products VALUES ('p', 10, 10.00, 1.5)");
    converge(&mut nodes);
    nodes
}

fn check_stock<P: Place>(nodes: &mut [Node<P>], stock: i64) {
    check_equal(nodes);
    for node in nodes {
        assert_eq!(node.texts(STOCK), [stock.to_string()], "node {}", node.name);
    }
}

fn sell<P: Place>(node: &mut Node<P>, count: i64) {
    node.run(&format!("UPDATE products SET stock = stock - {count}"));
    node.seal();
}

fn counted(column: &str, value: Value) -> Edit {
    let values = Some(vec![(column.into(), Said::Value(value))]);
    Edit { table: "products".into(), key: Key::of([&Value::text("p")]), values, counted_anew: true }
}

pub(crate) fn f3_two_sales_of_one_leave_two_less_and_no_ledger_entry<P: Place>() {
    let mut nodes = shops::<P>(3);
    sell(&mut nodes[0], 1);
    sell(&mut nodes[1], 1);
    sell(&mut nodes[1], 4);
    converge(&mut nodes);
    check_stock(&mut nodes, 4);
    // On top of what is shown, beside one who has not seen it.
    sell(&mut nodes[2], 1);
    converge(&mut nodes);
    check_stock(&mut nodes, 3);
    assert_eq!(nodes[0].ledger(), [""; 0]);
    nodes[0].run("UPDATE products SET price = price - 2.50, weight = weight + 0.25");
    nodes[1].run("UPDATE products SET price = price + 1.25, weight = weight - 0.5");
    converge(&mut nodes);
    check_stock(&mut nodes, 3);
    assert_eq!(nodes[2].count("products WHERE price = 8.75 AND weight = 1.25"), 1);
    assert_eq!(nodes[2].ledger(), [""; 0]);
}

pub(crate) fn f3_a_thousand_sales_on_each_of_two_nodes_that_meet_now_and_then_are_two_thousand<P: Place>() {
    let mut nodes = shops::<P>(2);
    for round in 0..100 {
        for node in &mut nodes {
            for _ in 0..10 {
                node.run("UPDATE products SET stock = stock - 1");
                if round % 7 == 3 {
                    node.seal();
                }
            }
            node.seal();
        }
        match round % 10 {
            0 => converge(&mut nodes),
            5 => {
                let (one, two) = crate::node::two(&mut nodes);
                one.pull(two);
                one.pull(two);
            }
            _ => {}
        }
    }
    converge(&mut nodes);
    check_stock(&mut nodes, 10 - 2_000);
    assert_eq!(nodes[0].ledger(), [""; 0]);
}

pub(crate) fn who_joins_while_sales_stand_side_by_side_adds_up_like_the_others<P: Place>() {
    let mut nodes = shops::<P>(2);
    sell(&mut nodes[0], 1);
    sell(&mut nodes[1], 2);
    let (one, two) = crate::node::two(&mut nodes);
    one.pull(two);
    let mut late = Node::<P>::outside(4, PRODUCTS);
    late.stand_by(&Scope::default(), &counters());
    late.load(&nodes[0].copy());
    assert_eq!(late.texts(STOCK), ["7"]);
    sell(&mut nodes[1], 3);
    nodes.push(late);
    converge(&mut nodes);
    check_stock(&mut nodes, 4);
    let mut nodes: Vec<_> = nodes.into_iter().map(Node::restart).collect();
    nodes.iter_mut().for_each(|node| node.stand_by(&Scope::default(), &counters()));
    sell(&mut nodes[2], 1);
    converge(&mut nodes);
    check_stock(&mut nodes, 3);
}

pub(crate) fn a_column_that_people_declare_to_count_shows_the_sum_of_what_met_before_that_too<P: Place>() {
    let mut nodes = nodes::<P>(2, PRODUCTS);
    nodes[0].run("INSERT INTO products VALUES ('p', 10, 10.00, 1.5)");
    converge(&mut nodes);
    sell(&mut nodes[0], 1);
    sell(&mut nodes[1], 4);
    converge(&mut nodes);
    check_stock(&mut nodes, 6);
    for node in &mut nodes {
        node.stand_by(&Scope::default(), &counters());
        node.store.follow_schema(now()).expect("rows are shown by it");
    }
    check_stock(&mut nodes, 5);
}

pub(crate) fn q28_a_stock_take_says_what_there_is_and_sales_that_it_did_not_know_of_are_taken_from_it<P: Place>() {
    let mut nodes = shops::<P>(2);
    let sealed = nodes[0].store.edit(now(), &[counted("stock", 50.into())]).expect("counted");
    assert_eq!(sealed.events, 1);
    nodes[1].store.edit(now(), &[counted("stock", 50.into())]).expect("counted");
    sell(&mut nodes[1], 2);
    converge(&mut nodes);
    check_stock(&mut nodes, 48);
    assert_eq!(nodes[0].ledger(), [""; 0], "both say the same");
    nodes[0].store.edit(now(), &[counted("stock", 30.into())]).expect("counted");
    nodes[1].store.edit(now(), &[counted("stock", 40.into())]).expect("counted");
    sell(&mut nodes[0], 1);
    converge(&mut nodes);
    let ledger = nodes[0].ledger();
    assert!(ledger.len() == 1 && ledger[0].contains("UPDATE_UPDATE"), "{ledger:?}");
    let stands: i64 = nodes[0].texts(STOCK)[0].parse().expect("a number");
    assert!([29, 39].contains(&stands), "one of the two, less what was sold unseen by it: {stands}");
    check_stock(&mut nodes, stands);
}

pub(crate) fn what_a_person_writes_through_rowmesh_is_sealed_as_one_changeset_after_what_the_application_wrote<
    P: Place,
>() {
    let mut nodes = shops::<P>(2);
    nodes[0].run("UPDATE products SET stock = stock - 1; INSERT INTO products VALUES ('q', 5, 1, 1)");
    let edit = |key: &str, values: Option<Vec<(&str, Value)>>| Edit {
        table: "products".into(),
        key: Key::of([&Value::text(key)]),
        values: values
            .map(|values| values.into_iter().map(|(name, value)| (name.into(), Said::Value(value))).collect()),
        counted_anew: false,
    };
    let edits = [
        edit("p", Some(vec![("weight", Value::Real(2.0))])),
        edit("q", None),
        edit("r", Some(vec![("id", Value::text("r")), ("stock", 3.into())])),
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
    let mut nodes = nodes::<P>(2, PRODUCTS);
    nodes[0].run("INSERT INTO products VALUES ('p', 10, 10.00, 1.5)");
    converge(&mut nodes);
    sell(&mut nodes[0], 1);
    sell(&mut nodes[1], 4);
    converge(&mut nodes);
    assert!(nodes[0].ledger()[0].contains("open"));
    let values = Some(vec![("stock".into(), Said::AsItStands)]);
    let stays = Edit { counted_anew: false, values, ..counted("stock", 6.into()) };
    let other = Edit { counted_anew: false, ..counted("stock", 9.into()) };
    // Two people settle it in opposite ways: that is a conflict of its own, between these two.
    nodes[0].store.edit(now(), &[stays]).expect("written");
    nodes[1].store.edit(now(), &[other]).expect("written");
    converge(&mut nodes);
    let ledger = nodes[0].ledger();
    assert!(ledger.len() == 2 && ledger.iter().filter(|entry| entry.contains("open")).count() == 1, "{ledger:?}");
    let stands = nodes[0].texts(STOCK)[0].parse().expect("a number");
    check_stock(&mut nodes, stands);
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
    let (good, bad) = (counted("stock", 3.into()), counted("stock", (-1).into()));
    check_refused(nodes[0].store.edit(now(), &[good, bad.clone()]), "RM5108");
    refused(&mut nodes[0], bad, "RM5108");
    refused(&mut nodes[0], counted("stock", Value::Null), "RM5108");
    refused(&mut nodes[0], counted("colour", 1.into()), "RM5109");
    refused(&mut nodes[0], Edit { table: "nowhere".into(), ..counted("stock", 1.into()) }, "RM5109");
    nodes[0].store.edit(now(), &[counted("stock", 4.into())]).expect("goes on");
    assert_eq!(nodes[0].texts(STOCK), ["4"]);
}

pub(crate) fn a_row_that_was_deleted_comes_back_with_what_it_held_last_when_a_person_says_so<P: Place>() {
    let mut nodes = shops::<P>(2);
    sell(&mut nodes[0], 3);
    converge(&mut nodes);
    nodes[1].run("DELETE FROM products");
    converge(&mut nodes);
    let values = Some(vec![("price".into(), Said::AsItStands), ("weight".into(), Said::Value(Value::Real(2.5)))]);
    let back = Edit { values, counted_anew: false, ..counted("stock", 0.into()) };
    assert_eq!(nodes[0].store.edit(now(), &[back]).expect("written").events, 1);
    converge(&mut nodes);
    check_stock(&mut nodes, 7);
    assert_eq!(nodes[1].count("products WHERE id = 'p' AND price = 10 AND weight = 2.5"), 1);
}
