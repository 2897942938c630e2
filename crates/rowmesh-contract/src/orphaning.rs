//! Rows that refer to one which another node deleted at the same time: the deleted row stands while it is needed, or they are hidden or show NULL, the
//! same on every node, and each goes back when it can.

use rowmesh_core::ledger::{ConflictType, Left};
use rowmesh_core::policy::{OrphanPolicy, Policies, PolicyHistory, Strategy};
use rowmesh_core::scope::Scope;
use rowmesh_core::store::Store;

use crate::node::{Node, check_equal, converge, lacked, nodes, now, seal_as_of, settle};
use crate::place::Place;

const SHOP: &str = "CREATE TABLE customers (id TEXT PRIMARY KEY, name TEXT, email TEXT UNIQUE);
    CREATE TABLE orders (id TEXT PRIMARY KEY, customer TEXT REFERENCES customers (id) ON DELETE CASCADE, note TEXT);
    CREATE TABLE items (id TEXT PRIMARY KEY, placed TEXT NOT NULL REFERENCES orders (id) ON DELETE CASCADE, note TEXT)";

/// As many nodes as there are statements behind the first: that runs before they part, then each runs its own.
fn apart<P: Place>(before: &str, each: &[&str]) -> Vec<Node<P>> {
    let mut nodes = nodes::<P>(each.len() as u8, SHOP);
    nodes[0].run(before);
    converge(&mut nodes);
    for (node, statements) in nodes.iter_mut().zip(each) {
        if !statements.is_empty() {
            node.run(statements);
            node.seal();
        }
    }
    nodes
}

/// The keys of what stands, all three tables together.
fn stands<P: Place>(node: &Node<P>) -> String {
    let all = "SELECT id FROM customers UNION ALL SELECT id FROM orders UNION ALL SELECT id FROM items ORDER BY 1";
    node.texts(all).join(" ")
}

fn check_stands<P: Place>(nodes: &[Node<P>], expected: &str) {
    for (number, node) in nodes.iter().enumerate() {
        assert_eq!(stands(node), expected, "on node {number}");
    }
}

fn check_nothing_waits<P: Place>(nodes: &mut [Node<P>]) {
    for node in nodes {
        assert_eq!(node.store.parked().expect("read"), []);
    }
}

/// All nodes settle orphans in orders so.
fn rule<P: Place>(nodes: &mut [Node<P>], rule: OrphanPolicy) {
    let mut policies = Policies::default();
    policies.tables.entry("orders".into()).or_default().references.insert("customer".into(), rule);
    for node in nodes {
        node.stand_by(&Scope::default(), &PolicyHistory::constant(policies.clone()));
        node.store.follow_schema(now()).expect("rows are shown by it");
    }
}

const CUSTOMER: &str = "INSERT INTO customers VALUES ('c', 'Ann', 'a@y')";
const ORDERED: &str = "INSERT INTO customers VALUES ('c', 'Ann', 'a@y');
    INSERT INTO orders VALUES ('o', 'c', 'one'), ('p', 'c', 'two'); INSERT INTO items VALUES ('i', 'o', 'x')";
const DELETED: &str = "DELETE FROM customers WHERE id = 'c'";

pub(crate) fn e6_a_row_that_was_deleted_while_another_came_to_refer_to_it_stands_everywhere_whole<P: Place>() {
    let mut nodes = apart::<P>(CUSTOMER, &[DELETED, "INSERT INTO orders VALUES ('o', 'c', 'new')"]);
    settle(&mut nodes);
    check_nothing_waits(&mut nodes);
    for node in &mut nodes {
        assert_eq!(node.texts("SELECT name || email FROM customers"), ["Anna@y"]);
        assert_eq!(node.texts("SELECT customer || note FROM orders"), ["cnew"]);
        let told = node.store.conflicts(true, 10).expect("read");
        assert_eq!(told.len(), 1, "{told:?}");
        let entry = &told[0].entry;
        assert_eq!((entry.kind, entry.strategy), (ConflictType::ForeignKey, Strategy::KeepBoth));
        assert_eq!((&*entry.id.table, &entry.lost), ("customers", &Left::Nothing), "the delete has lost");
    }
}

pub(crate) fn e6_of_three_levels_what_is_needed_stands_and_the_rest_stays_deleted<P: Place>() {
    let mut nodes = apart::<P>(ORDERED, &[DELETED, "INSERT INTO items VALUES ('j', 'o', 'new')"]);
    settle(&mut nodes);
    check_nothing_waits(&mut nodes);
    check_stands(&nodes, "c j o");
    assert_eq!(nodes[0].ledger().len(), 2, "the deletes of customer and order: {:?}", nodes[0].ledger());
    nodes[1].run("DELETE FROM items WHERE id = 'j'");
    settle(&mut nodes);
    check_stands(&nodes, "");
    assert_eq!(nodes[0].ledger(), [] as [String; 0]);
}

pub(crate) fn e6_a_row_goes_again_once_nobody_refers_to_it_any_more<P: Place>() {
    let ways = [
        ("DELETE FROM orders WHERE id = 'o'", "d"),
        ("UPDATE orders SET customer = 'd' WHERE id = 'o'", "d o"),
        ("UPDATE orders SET customer = NULL WHERE id = 'o'", "d o"),
    ];
    for ((way, left), at) in ways.into_iter().flat_map(|way| [(way, 0), (way, 1)]) {
        let before = format!("{CUSTOMER}; INSERT INTO customers VALUES ('d', 'Dan', 'd@y')");
        let mut nodes = apart::<P>(&before, &[DELETED, "INSERT INTO orders VALUES ('o', 'c', 'new')"]);
        settle(&mut nodes);
        check_stands(&nodes, "c d o");
        nodes[at].run(way);
        assert_eq!(nodes[at].seal(), 1);
        assert_eq!(stands(&nodes[at]), left, "at once where it is not needed any more");
        settle(&mut nodes);
        check_stands(&nodes, left);
        assert_eq!(nodes[0].ledger(), [] as [String; 0]);
    }
}

pub(crate) fn e6_who_edits_a_row_that_was_brought_back_gives_it_its_life_again<P: Place>() {
    for at in [0, 1] {
        let mut nodes = apart::<P>(CUSTOMER, &[DELETED, "INSERT INTO orders VALUES ('o', 'c', 'new')"]);
        settle(&mut nodes);
        nodes[at].run("UPDATE customers SET name = 'Anna' WHERE id = 'c'");
        assert_eq!(nodes[at].seal(), 1);
        nodes[at].run("DELETE FROM orders");
        settle(&mut nodes);
        check_stands(&nodes, "c");
        assert_eq!(nodes[1 - at].texts("SELECT name || email FROM customers"), ["Annaa@y"], "with all its columns");
        assert_eq!(nodes[0].ledger(), [] as [String; 0]);
    }
}

pub(crate) fn q7_who_deletes_a_row_that_was_brought_back_and_all_that_needs_it_has_deleted_it<P: Place>() {
    let mut nodes = apart::<P>(CUSTOMER, &[DELETED, "INSERT INTO orders VALUES ('o', 'c', 'new')", ""]);
    settle(&mut nodes[..2]);
    nodes[1].run("DELETE FROM customers WHERE id = 'c'");
    settle(&mut nodes);
    check_stands(&nodes, "");
    assert_eq!(nodes[2].ledger(), [] as [String; 0]);
}

pub(crate) fn q8_a_row_that_is_brought_back_takes_no_unique_value_from_one_that_lives<P: Place>() {
    let deleted = format!("{DELETED}; INSERT INTO customers VALUES ('e', 'Eve', 'a@y')");
    let mut nodes = apart::<P>(CUSTOMER, &[&deleted, "INSERT INTO orders VALUES ('o', 'c', 'new')"]);
    settle(&mut nodes);
    check_stands(&nodes, "c e o");
    let shown = nodes[1].texts("SELECT email FROM customers ORDER BY id");
    assert!(shown[0].starts_with("a@y~") && shown[1] == "a@y", "{shown:?}");
    nodes[0].run("UPDATE customers SET email = 'e@y' WHERE id = 'e'");
    settle(&mut nodes);
    assert_eq!(nodes[1].texts("SELECT email FROM customers ORDER BY id"), ["a@y", "e@y"]);
}

pub(crate) fn e6_where_the_rule_says_so_a_row_is_hidden_whose_parent_was_deleted_and_comes_back_with_it<P: Place>() {
    let new = "INSERT INTO orders VALUES ('n', 'c', 'new'); INSERT INTO items VALUES ('j', 'n', 'new')";
    let mut nodes = apart::<P>(CUSTOMER, &["", ""]);
    rule(&mut nodes, OrphanPolicy::Cascade);
    nodes[0].run(DELETED);
    nodes[1].run(new);
    settle(&mut nodes);
    check_stands(&nodes, "");
    let told = nodes[0].store.conflicts(true, 10).expect("read");
    let told: Vec<_> = told.iter().map(|told| (&*told.entry.id.table, told.entry.strategy)).collect();
    assert_eq!(told, [("orders", Strategy::BusinessRule)]);
    nodes[0].run("INSERT INTO customers VALUES ('c', 'Ann again', NULL)");
    settle(&mut nodes);
    check_stands(&nodes, "c j n");
    check_nothing_waits(&mut nodes);
    assert_eq!(nodes[0].ledger(), [] as [String; 0]);
}

pub(crate) fn e6_where_the_rule_says_so_a_reference_to_a_deleted_row_shows_null_until_it_is_back<P: Place>() {
    let shown = "SELECT id || coalesce(customer, '-') || note FROM orders ORDER BY id";
    let mut nodes = apart::<P>(CUSTOMER, &["", ""]);
    rule(&mut nodes, OrphanPolicy::SetNull);
    nodes[0].run(DELETED);
    nodes[1].run("INSERT INTO orders VALUES ('n', 'c', 'new')");
    settle(&mut nodes);
    check_nothing_waits(&mut nodes);
    assert_eq!(nodes[0].texts(shown), ["n-new"]);
    let told = nodes[1].store.conflicts(true, 10).expect("read");
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].entry.id.column.as_deref(), Some("customer"));
    nodes[0].run("UPDATE orders SET note = 'edited' WHERE id = 'n'");
    settle(&mut nodes);
    assert_eq!(nodes[1].texts(shown), ["n-edited"], "an edit of another column writes no NULL");
    nodes[1].run("INSERT INTO customers VALUES ('c', 'Ann again', NULL)");
    settle(&mut nodes);
    assert_eq!(nodes[0].texts(shown), ["ncedited"]);
    assert_eq!(nodes[0].ledger(), [] as [String; 0]);
}

pub(crate) fn e6_a_row_whose_delete_went_with_its_parents_and_that_was_edited_elsewhere_waits_for_a_person<P: Place>() {
    let edited = "UPDATE items SET note = 'edited' WHERE id = 'i'";
    let mut nodes = apart::<P>(ORDERED, &["DELETE FROM orders WHERE id = 'o'", edited, ""]);
    settle(&mut nodes);
    check_stands(&nodes, "c p");
    let told = nodes[2].store.conflicts(true, 10).expect("read");
    let waits = told.iter().find(|told| told.entry.kind == ConflictType::ForeignKey).expect("an open conflict");
    assert_eq!((&*waits.entry.id.table, waits.entry.strategy), ("items", Strategy::ManualResolution));
    nodes[0].run("INSERT INTO orders VALUES ('o', 'c', 'again')");
    settle(&mut nodes);
    check_stands(&nodes, "c i o p");
    assert_eq!(nodes[0].texts("SELECT note FROM items"), ["edited"]);
    check_nothing_waits(&mut nodes);
}

pub(crate) fn e6_triangles_of_three_nodes_end_the_same_whatever_the_order<P: Place>() {
    // Each of two before the other, and after it.
    let orders = [[0, 1, 2], [2, 1, 0], [1, 2, 0]];
    let thirds = [
        ("UPDATE customers SET name = 'Anna' WHERE id = 'c'", "c j o", 2),
        ("UPDATE orders SET note = 'edited' WHERE id = 'o'", "c j o", 2),
        ("DELETE FROM orders WHERE id = 'o'", "c j o", 3),
        ("INSERT INTO orders VALUES ('n', 'c', 'new')", "c j n o", 2),
        ("UPDATE items SET placed = 'p' WHERE id = 'i'", "c i j o p", 4),
    ];
    for (third, expected, lost) in thirds {
        let mut shown = Vec::new();
        for order in orders {
            let new = "INSERT INTO items VALUES ('j', 'o', 'new')";
            let mut nodes = apart::<P>(ORDERED, &[DELETED, new, third, ""]);
            for from in order {
                let (first, rest) = nodes.split_at_mut(3);
                rest[0].pull(&mut first[from]);
            }
            settle(&mut nodes);
            shown.push((stands(&nodes[3]), nodes[3].ledger().len()));
        }
        assert!(shown.iter().all(|shown| *shown == (expected.to_owned(), lost)), "{third}: {shown:?}");
    }
}

pub(crate) fn e6_what_was_edited_stands_while_it_is_needed_though_its_parents_delete_had_seen_it<P: Place>() {
    let (new, edited) =
        ("INSERT INTO items VALUES ('j', 'o', 'new')", "UPDATE orders SET note = 'edited' WHERE id = 'o'");
    for at in [0, 2] {
        let mut nodes = apart::<P>(ORDERED, &[DELETED, edited, new]);
        settle(&mut nodes[..2]);
        check_stands(&nodes[..2], "");
        settle(&mut nodes);
        check_stands(&nodes, "c j o");
        check_nothing_waits(&mut nodes);
        nodes[at].run("DELETE FROM items WHERE id = 'j'");
        settle(&mut nodes);
        check_stands(&nodes, "");
    }
}

pub(crate) fn e6_trees_and_rows_that_refer_to_one_another_stand_while_they_are_needed<P: Place>() {
    let tree = "CREATE TABLE places (id TEXT PRIMARY KEY, above TEXT REFERENCES places (id) ON DELETE CASCADE)";
    let mut nodes = nodes::<P>(2, tree);
    nodes[0].run("INSERT INTO places VALUES ('a', NULL); INSERT INTO places VALUES ('b', 'a'); INSERT INTO places VALUES ('c', 'b'), ('x', 'a')");
    nodes[0].run("UPDATE places SET above = 'c' WHERE id = 'a'");
    converge(&mut nodes);
    let shown = "SELECT id || coalesce(above, '') FROM places ORDER BY id";
    assert_eq!(nodes[1].texts(shown), ["ac", "ba", "cb", "xa"]);
    nodes[0].run("DELETE FROM places WHERE id = 'a'");
    nodes[1].run("INSERT INTO places VALUES ('d', 'b')");
    settle(&mut nodes);
    check_nothing_waits(&mut nodes);
    assert_eq!(nodes[0].texts(shown), ["ac", "ba", "cb", "db"], "a circle stands, what hangs on it does not");
    nodes[0].run("DELETE FROM places WHERE id = 'd'");
    settle(&mut nodes);
    assert_eq!(nodes[1].count("places"), 0, "a circle does not hold itself");
}

pub(crate) fn e6_whoever_joins_by_a_copy_shows_what_others_show<P: Place>() {
    let edited = "INSERT INTO items VALUES ('j', 'o', 'new')";
    let ordered = format!("{ORDERED}; INSERT INTO items VALUES ('k', 'p', 'x')");
    let mut nodes = apart::<P>(&ordered, &["DELETE FROM orders", edited, "UPDATE items SET note = 'y' WHERE id = 'k'"]);
    settle(&mut nodes);
    check_stands(&nodes, "c j o");
    for everything_is_stable in [false, true] {
        let stable = if everything_is_stable { nodes[0].store.position().vector.clone() } else { Default::default() };
        let mut joined = Node::<P>::new(9, SHOP);
        let copy = nodes[0].copy_after(&stable);
        joined.load(&copy);
        joined.store.retry_parked(now()).expect("tried");
        assert_eq!(stands(&joined), "c j o");
        assert_eq!(joined.seal(), 0);
        assert_eq!(joined.ledger(), nodes[0].ledger());
        // What was deleted knowingly, and what not, is known there too.
        joined.run("DELETE FROM items WHERE id = 'j'");
        joined.seal();
        assert_eq!(stands(&joined), "c");
    }
}

pub(crate) fn e6_what_an_application_writes_while_it_joins_hangs_on_nothing_that_is_not_there<P: Place>() {
    let deleted = format!("{DELETED}; INSERT INTO customers VALUES ('e', 'Eve', 'a@y')");
    let mut nodes = apart::<P>(CUSTOMER, &[&deleted, "INSERT INTO orders VALUES ('o', 'c', 'new')"]);
    settle(&mut nodes);
    let mut joined = Node::<P>::new(9, SHOP);
    let copy = nodes[0].copy();
    joined.load_but_for_the_end(&copy);
    joined.run("UPDATE orders SET note = 'edited' WHERE id = 'o'");
    joined.store.load_finish(&copy.end, now()).expect("loaded");
    nodes.push(joined);
    settle(&mut nodes);
    check_stands(&nodes, "c e o");
    assert!(nodes[2].texts("SELECT email FROM customers WHERE id = 'c'")[0].starts_with("a@y~"));
    assert_eq!(nodes[0].texts("SELECT note FROM orders"), ["edited"]);
}

pub(crate) fn e6_a_row_that_comes_to_refer_to_a_hidden_one_is_hidden_with_it<P: Place>() {
    let before = format!(
        "{CUSTOMER}; INSERT INTO customers VALUES ('d', 'Dan', 'd@y'); INSERT INTO orders VALUES ('p', 'd', 'two'); \
         INSERT INTO items VALUES ('j', 'p', 'x')"
    );
    let mut nodes = apart::<P>(&before, &["", ""]);
    rule(&mut nodes, OrphanPolicy::Cascade);
    nodes[0].run(DELETED);
    nodes[1].run("INSERT INTO orders VALUES ('n', 'c', 'new'); UPDATE items SET placed = 'n' WHERE id = 'j'");
    settle(&mut nodes);
    check_stands(&nodes, "d p");
    nodes[0].run("INSERT INTO customers VALUES ('c', 'Ann again', NULL)");
    settle(&mut nodes);
    check_stands(&nodes, "c d j n p");
    assert_eq!(nodes[0].texts("SELECT placed FROM items"), ["n"]);
}

pub(crate) fn e6_of_a_row_that_is_hidden_the_ledger_tells_what_else_it_has_lost<P: Place>() {
    let schema = "CREATE TABLE customers (id TEXT PRIMARY KEY);
        CREATE TABLE orders (id TEXT PRIMARY KEY, customer TEXT REFERENCES customers (id) ON DELETE CASCADE, code TEXT UNIQUE)";
    let mut nodes = nodes::<P>(2, schema);
    rule(&mut nodes, OrphanPolicy::Cascade);
    nodes[0].run("INSERT INTO customers VALUES ('c'), ('d')");
    converge(&mut nodes);
    nodes[0].run("DELETE FROM customers WHERE id = 'c'; INSERT INTO orders VALUES ('x', 'd', 'u')");
    seal_as_of(&mut nodes[0], 1_000);
    // It is known already that rows wait for the customer, so that the second is never tried.
    let (one, two) = crate::node::two(&mut nodes);
    two.run("INSERT INTO orders VALUES ('z', 'c', NULL)");
    one.pull(two);
    two.run("INSERT INTO orders VALUES ('y', 'c', 'u')");
    settle(&mut nodes);
    assert_eq!(nodes[0].texts("SELECT id FROM orders"), ["x"]);
    assert_eq!(nodes[0].ledger().iter().filter(|told| told.contains("UNIQUE")).count(), 1);
}

pub(crate) fn e6_a_reference_by_several_columns_is_one_that_somebody_wrote<P: Place>() {
    let schema = "CREATE TABLE places (town TEXT, number INTEGER, PRIMARY KEY (town, number));
        CREATE TABLE visits (id TEXT PRIMARY KEY, town TEXT, number INTEGER, FOREIGN KEY (town, number) REFERENCES places (town, number))";
    for later in [0, 1] {
        let mut nodes = nodes::<P>(2, schema);
        nodes[0].run("INSERT INTO places VALUES ('a', 1), ('a', 3), ('b', 2); INSERT INTO visits VALUES ('v', 'a', 1)");
        converge(&mut nodes);
        nodes[0].run("UPDATE visits SET town = 'b', number = 2");
        nodes[1].run("UPDATE visits SET number = 3");
        seal_as_of(&mut nodes[1 - later], 1_000);
        settle(&mut nodes);
        check_nothing_waits(&mut nodes);
        let shown = ["b2", "a3"][later];
        assert_eq!(nodes[0].texts("SELECT town || CAST(number AS TEXT) FROM visits"), [shown]);
    }
}

pub(crate) fn e6_a_rule_that_people_change_shows_at_once_what_it_says<P: Place>() {
    let mut nodes = apart::<P>(CUSTOMER, &[DELETED, "INSERT INTO orders VALUES ('o', 'c', 'new')"]);
    settle(&mut nodes);
    let shown = "SELECT id || coalesce(customer, '-') FROM orders";
    for (to, customers, orders) in [
        (OrphanPolicy::Cascade, 0, &[][..]),
        (OrphanPolicy::SetNull, 0, &["o-"][..]),
        (OrphanPolicy::RestoreParent, 1, &["oc"][..]),
        (OrphanPolicy::SetNull, 0, &["o-"][..]),
        (OrphanPolicy::Cascade, 0, &[][..]),
        (OrphanPolicy::RestoreParent, 1, &["oc"][..]),
    ] {
        rule(&mut nodes, to);
        settle(&mut nodes);
        assert_eq!(
            (nodes[1].count("customers"), &*nodes[1].texts(shown)),
            (customers, &*orders.iter().map(ToString::to_string).collect::<Vec<_>>()),
            "{to:?}"
        );
    }
    check_nothing_waits(&mut nodes);
}

pub(crate) fn e1_a_row_that_came_under_an_earlier_key_of_another_finds_it<P: Place>() {
    let schema = "CREATE TABLE customers (id TEXT PRIMARY KEY, name TEXT);
        CREATE TABLE orders (id TEXT PRIMARY KEY, customer TEXT NOT NULL REFERENCES customers (id) ON UPDATE CASCADE)";
    let mut nodes = nodes::<P>(2, schema);
    nodes[0].run("INSERT INTO customers VALUES ('c', 'Ann'); INSERT INTO orders VALUES ('o', 'c')");
    converge(&mut nodes);
    nodes[0].run("UPDATE customers SET id = 'd'");
    nodes[1].run("INSERT INTO orders VALUES ('n', 'c')");
    settle(&mut nodes);
    check_nothing_waits(&mut nodes);
    assert_eq!(nodes[1].texts("SELECT id || name FROM customers ORDER BY id"), ["cAnn", "dAnn"]);
    assert_eq!(nodes[0].texts("SELECT id || customer FROM orders ORDER BY id"), ["nc", "od"]);
}

pub(crate) fn e6_a_restart_between_any_two_steps_changes_nothing<P: Place>() {
    let mut nodes = apart::<P>(ORDERED, &[DELETED, "INSERT INTO items VALUES ('j', 'o', 'new')"]);
    nodes = nodes.into_iter().map(Node::restart).collect();
    settle(&mut nodes);
    nodes = nodes.into_iter().map(Node::restart).collect();
    settle(&mut nodes);
    check_stands(&nodes, "c j o");
    let (one, two) = crate::node::two(&mut nodes);
    one.run("DELETE FROM items");
    one.seal();
    let behind = lacked(two, one);
    two.take(&behind);
    assert_eq!(stands(two), "");
    check_equal(&mut nodes);
}
