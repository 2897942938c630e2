//! The workload on several nodes at once, with exchanges in random order: what all of them hold in the end.

use business::{Dialect, Seed, Workload};

use crate::node::{Mesh, Node, Rules, check_equal};
use crate::rows::{check_rows, read_tables, read_travelling, synced_tables};
use crate::support::{count, strings};

const STEPS: usize = 300;

/// Dice of a seed: splitmix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) % bound as u64) as usize
    }
}

/// Large enough for nodes to meet in the same rows, small enough to be copied often.
fn company() -> Seed {
    Seed { businesses: 2, users: 8, employees: 4, customers: 12, products: 15, orders: 20, ..Seed::small(1) }
        .without_demo_data()
}

/// The first node with data, the others joined to it.
fn nodes_of(mesh: Mesh, size: u8, rules: &Rules, seed: &Seed) -> Vec<Node> {
    let mut first = mesh.filled(1, rules, seed);
    let others: Vec<Node> = (2..=size).map(|name| mesh.joined(name, rules, &mut first)).collect();
    std::iter::once(first).chain(others).collect()
}

/// Every node takes all its steps, in an order drawn at random, with seals and exchanges of some pairs in between.
fn work(nodes: &mut [Node], dice: &mut Dice) {
    let names = ["A", "B", "C"];
    let mut workloads: Vec<Workload> = names[..nodes.len()].iter().map(|name| Workload::new(1, name)).collect();
    let mut left = vec![STEPS; nodes.len()];
    while left.iter().any(|steps| *steps > 0) {
        let at = dice.below(nodes.len());
        if left[at] > 0 {
            left[at] -= 1;
            workloads[at].step(&*nodes[at].app).unwrap();
        }
        match dice.below(12) {
            0 => _ = nodes[at].seal(),
            1 => exchange(nodes, at, dice),
            _ => {}
        }
    }
}

/// This node takes what some other one has sealed.
fn exchange(nodes: &mut [Node], to: usize, dice: &mut Dice) {
    let from = (to + 1 + dice.below(nodes.len() - 1)) % nodes.len();
    let [to, from] = nodes.get_disjoint_mut([to, from]).unwrap();
    to.pull(from);
}

fn converge(nodes: &mut [Node]) {
    for node in nodes.iter_mut() {
        node.seal();
    }
    for _ in 1..nodes.len() {
        for to in 0..nodes.len() {
            for from in (0..nodes.len()).filter(|from| *from != to) {
                let [to, from] = nodes.get_disjoint_mut([to, from]).unwrap();
                to.pull(from);
            }
        }
    }
}

fn check_converges(mesh: Mesh, size: u8, seed: u64) {
    let rules = Rules::usual();
    let mut nodes = nodes_of(mesh, size, &rules, &company());
    work(&mut nodes, &mut Dice(seed));
    converge(&mut nodes);
    check_equal(&mut nodes);
    let rows = read_tables(&*nodes[0].app, synced_tables());
    for node in &mut nodes {
        check_rows(&rows, &read_tables(&*node.app, synced_tables()));
        assert_eq!(node.seal(), 0, "nothing is sealed again");
        node.check_sound();
    }
    let sales = |prefix: &str| count(&*nodes[0].app, &format!("business_orders WHERE order_number LIKE '{prefix}-%'"));
    assert!(["A", "B", "C"][..size.into()].iter().all(|prefix| sales(prefix) > 20), "all of them sold");
    let joined = mesh.joined(9, &rules, &mut nodes[0]);
    check_rows(&rows, &read_tables(&*joined.app, synced_tables()));
    nodes.push(joined);
    nodes.iter_mut().for_each(Node::check_sound);
    check_equal(&mut nodes);
}

fn two_nodes_at_work_come_to_hold_the_same(mesh: Mesh) {
    for seed in 1..=2 {
        check_converges(mesh, 2, seed);
    }
}

fn three_nodes_at_work_come_to_hold_the_same(mesh: Mesh) {
    check_converges(mesh, 3, 3);
}

fn nodes_at_work_on_demo_data_too_come_to_hold_the_same_and_keep_their_demo_rows(mesh: Mesh) {
    let rules = Rules::without_demo_rows();
    let mut nodes = nodes_of(mesh, 2, &rules, &Seed::small(1));
    // The other node has demo data of its own, with the ids that demo data has everywhere.
    business::sample_insert(&*nodes[1].app, "business_order_items", "demo-there").unwrap();
    work(&mut nodes, &mut Dice(7));
    converge(&mut nodes);
    check_equal(&mut nodes);
    let travelling = read_travelling(&*nodes[0].app);
    check_rows(&travelling, &read_travelling(&*nodes[1].app));
    for (node, demo) in nodes.iter_mut().zip([3, 1]) {
        assert_eq!(count(&*node.app, &format!("businesses WHERE {}", business::DEMO_SKIP)), demo);
        node.check_sound();
        assert_eq!(node.seal(), 0);
    }
}

fn q27_edits_of_different_columns_beside_updated_at_are_no_conflict(mesh: Mesh) {
    let mut nodes = nodes_of(mesh, 2, &Rules::usual(), &Seed::small(1).without_demo_data());
    let edits = [
        ("users", "locale = 'sn'", "phone = '1'"),
        ("businesses", "address = 'Here'", "email = 'there@example.org'"),
        ("business_customers", "phone = '1'", "name = 'There'"),
        ("business_products", "description = 'Here'", "name = 'There'"),
        ("persons", "phone = '1'", "address = 'There'"),
        ("vehicles", "model = 'Here'", "color = 'There'"),
    ];
    for (node, time) in [(0, "2026-03-01T10:00:00.000Z"), (1, "2026-03-01T11:00:00.000Z")] {
        for (table, here, there) in edits {
            let edit = if node == 0 { here } else { there };
            nodes[node].run(&format!("UPDATE {table} SET {edit}, updated_at = '{time}'"));
        }
    }
    converge(&mut nodes);
    check_equal(&mut nodes);
    for node in &mut nodes {
        for (table, here, there) in edits {
            let merged = format!("{table} WHERE {here} AND {there} AND updated_at = '2026-03-01T11:00:00.000Z'");
            assert_eq!(count(&*node.app, &merged), count(&*node.app, table), "{table}");
        }
        assert_eq!(node.store.conflicts(false, 100).unwrap(), [], "no entry for edits that do not collide");
        node.check_sound();
    }
    for node in nodes.iter().filter(|node| node.app.dialect() == Dialect::Sqlite) {
        let found = strings(&*node.app, "SELECT DISTINCT name FROM product_search WHERE product_search MATCH 'there'");
        assert_eq!(found, ["There"], "the search table has the merged row");
    }
}

fn q27_edits_of_one_column_are_one_conflict_and_updated_at_none(mesh: Mesh) {
    let mut nodes = nodes_of(mesh, 2, &Rules::usual(), &Seed::small(1).without_demo_data());
    let id = strings(&*nodes[0].app, "SELECT id FROM business_customers ORDER BY id").remove(0);
    for (node, phone) in [(0, "100"), (1, "200")] {
        nodes[node].run(&format!(
            "UPDATE business_customers SET phone = '{phone}', updated_at = '2026-03-01T1{node}:00:00.000Z' WHERE id = '{id}'"
        ));
    }
    converge(&mut nodes);
    check_equal(&mut nodes);
    let entries = nodes[0].store.conflicts(false, 100).unwrap();
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!(
        strings(&*nodes[0].app, &format!("SELECT column_name FROM {}", nodes[0].ours("conflict_resolutions"))),
        ["phone"]
    );
}

on_each_mesh! {
    two_nodes_at_work_come_to_hold_the_same
    three_nodes_at_work_come_to_hold_the_same
    nodes_at_work_on_demo_data_too_come_to_hold_the_same_and_keep_their_demo_rows
    q27_edits_of_different_columns_beside_updated_at_are_no_conflict
    q27_edits_of_one_column_are_one_conflict_and_updated_at_none
}
