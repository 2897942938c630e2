//! Columns that count: what several nodes took from one number is gone from it on all of them, exactly once, whatever came when.

use rowmesh_core::policy::{ColumnPolicy, Policies, PolicyHistory, TablePolicy};
use rowmesh_core::scope::Scope;
use rowmesh_core::store::{Edit, Said, Store};
use rowmesh_core::value::{Key, Value};

use crate::node::{Node, check_equal, converge, nodes, now, seal_as_of};
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
    seal_as_of(&mut nodes[0], now().0 - 120_000);
    converge(&mut nodes);
    nodes[0].run("UPDATE products SET stock = stock - 1");
    seal_as_of(&mut nodes[0], now().0 - 60_000);
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

pub(crate) fn a_sum_that_the_database_refuses_waits_and_is_shown_once_it_fits<P: Place>() {
    let mut nodes = nodes::<P>(
        2,
        "CREATE TABLE products (id TEXT PRIMARY KEY, stock BIGINT NOT NULL CHECK (stock >= 5), note TEXT)",
    );
    nodes[0].run("INSERT INTO products VALUES ('p', 10, '')");
    converge(&mut nodes);
    sell(&mut nodes[0], 3);
    sell(&mut nodes[1], 3);
    converge(&mut nodes);
    check_stock(&mut nodes, 7);
    for node in &mut nodes {
        node.stand_by(&Scope::default(), &counters());
        node.store.follow_schema(now()).expect("rows are shown by it");
        let parked = node.store.parked().expect("read");
        assert!(!parked.is_empty() && parked[0].reason.to_lowercase().contains("check"), "{parked:?}");
    }
    check_stock(&mut nodes, 7);
    let mut nodes: Vec<_> =
        nodes.into_iter().map(|node| node.stop().start_standing_by(&Scope::default(), &counters())).collect();
    for node in &mut nodes {
        node.store.follow_schema(now()).expect("looked at again");
        assert_eq!(node.store.retry_parked(now()).expect("tried"), 1, "after a restart too");
    }
    // Whoever edits it meanwhile has seen what it shows, and what he leaves stands on all.
    nodes[0].run("UPDATE products SET stock = stock + 20");
    converge(&mut nodes);
    for node in &mut nodes {
        assert_eq!(node.store.retry_parked(now()).expect("tried"), 0);
        assert_eq!(node.store.parked().expect("read"), []);
    }
    check_stock(&mut nodes, 27);
}

pub(crate) fn a_row_that_waits_for_a_new_column_adds_up_each_change_once<P: Place>() {
    let mut nodes = shops::<P>(2);
    nodes[0].run("ALTER TABLE products ADD COLUMN grade TEXT; UPDATE products SET stock = stock - 3, grade = 'x'");
    nodes[0].store.follow_schema(now()).expect("a column came");
    converge(&mut nodes);
    nodes[1].run("ALTER TABLE products ADD COLUMN grade TEXT CHECK (grade <> 'x')");
    nodes[1].store.follow_schema(now()).expect("a column came");
    assert_eq!(nodes[1].texts(STOCK), ["7"]);
    let late = nodes.remove(1).stop().start_standing_by(&Scope::default(), &counters());
    nodes.push(late);
    nodes[1].store.follow_schema(now()).expect("looked at again");
    assert_eq!(nodes[1].store.retry_parked(now()).expect("tried"), 1, "after a restart too");
    let view = nodes[1].store.row("products", &Key::of([&Value::text("p")])).expect("read").expect("known");
    assert!(view.parked.len() == 1 && view.parked[0].reason.to_lowercase().contains("check"), "{view:?}");
    sell(&mut nodes[1], 1);
    converge(&mut nodes);
    for node in &mut nodes {
        assert_eq!(node.texts(STOCK), ["6"], "node {}", node.name);
    }
}

pub(crate) fn a_sum_that_fits_no_number_of_the_column_waits_and_is_not_bent<P: Place>() {
    let mut nodes = shops::<P>(2);
    let half = i64::MAX / 2;
    for node in &mut nodes {
        node.run(&format!("UPDATE products SET stock = stock + {half}"));
    }
    converge(&mut nodes);
    for node in &mut nodes {
        assert!(!node.store.parked().expect("read").is_empty(), "node {}", node.name);
        node.run("UPDATE products SET stock = stock - 100");
    }
    converge(&mut nodes);
    for node in &mut nodes {
        assert_eq!(node.store.retry_parked(now()).expect("tried"), 0, "node {}", node.name);
    }
    check_stock(&mut nodes, 2 * half - 200 + 10);
    assert_eq!(nodes[0].ledger(), [""; 0]);
}

pub(crate) fn sums_that_come_out_whole_are_nobodys_write<P: Place>() {
    let mut nodes = shops::<P>(2);
    nodes[0].run("UPDATE products SET price = 10.50, weight = 1.5");
    converge(&mut nodes);
    for node in &mut nodes {
        node.run("UPDATE products SET price = price - 0.25, weight = weight - 0.25");
    }
    converge(&mut nodes);
    for node in &mut nodes {
        assert_eq!(node.count("products WHERE price = 10 AND weight = 1"), 1);
        node.run("UPDATE products SET price = price, weight = weight");
        assert_eq!(node.seal(), 0, "nothing has changed on node {}", node.name);
    }
    check_equal(&mut nodes);
}
