//! The ledger that grows with each event is the one that all events of a row tell, whatever they are and in whatever order they come.

use std::collections::BTreeMap;

use rowmesh_core::ledger::{self, Entry, RowEvent};
use rowmesh_core::policy::{ExistencePolicy, Policies, PolicyHistory};
use rowmesh_core::scope::{Filter, Scope};
use rowmesh_core::store::Store;
use rowmesh_core::value::{Key, TableName};

use crate::mesh::{Node, converge, everything_after, verified};

const SCHEMA: &str = "CREATE TABLE items (id TEXT PRIMARY KEY, a TEXT, b TEXT)";

/// What all events in the log of a node tell.
fn told_by_the_log(node: &mut Node, policies: &PolicyHistory) -> Vec<Entry> {
    let mut request = everything_after(&node.store);
    request.after = Default::default();
    let page = node.store.read_log(&request).unwrap();
    assert!(!page.more);
    let mut rows: BTreeMap<(TableName, Key), Vec<RowEvent>> = BTreeMap::new();
    for changeset in page.changesets.iter().map(|bytes| verified(bytes)) {
        let header = changeset.header();
        for event in changeset.events() {
            let shape = changeset.shape(event);
            let told = RowEvent::new(event, header.dot, &header.context, header.epoch, &shape.columns);
            rows.entry((shape.name.clone(), event.key(shape))).or_default().push(told);
        }
    }
    let mut entries: Vec<Entry> =
        rows.iter().flat_map(|((table, key), events)| ledger::entries(table, key, events, policies)).collect();
    entries.sort_by(|a, b| a.id.cmp(&b.id));
    entries
}

fn kept(node: &mut Node) -> Vec<Entry> {
    let mut entries: Vec<Entry> =
        node.store.conflicts(false, 100_000).unwrap().into_iter().map(|view| view.entry).collect();
    entries.sort_by(|a, b| a.id.cmp(&b.id));
    entries
}

fn check(node: &mut Node, policies: &PolicyHistory, seed: u64) {
    let (kept, told) = (kept(node), told_by_the_log(node, policies));
    for (kept, told) in kept.iter().zip(&told) {
        assert_eq!(kept, told, "seed {seed}, node {}", node.name);
    }
    assert_eq!(kept.len(), told.len(), "seed {seed}, node {}", node.name);
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn fight(seed: u64, existence: ExistencePolicy) {
    let mut dice = Dice(seed);
    let filter = Filter::parse("private", "items", "b = 'private'", &[] as &[&str]).unwrap();
    let scope = Scope { filters: vec![filter], ..Scope::default() };
    let mut rules = Policies::default();
    rules.tables.entry("items".into()).or_default().existence = existence;
    let policies = PolicyHistory::constant(rules);
    let mut nodes: Vec<Node> = (1..=4).map(|name| Node::new(name, SCHEMA)).collect();
    nodes.iter_mut().for_each(|node| node.stand_by(&scope, &policies));
    nodes[0].run("INSERT INTO items VALUES ('hot', '0', '0')");
    converge(&mut nodes);
    for step in 0..40 {
        let at = dice.roll(4) as usize;
        match dice.roll(8) {
            0 | 1 => nodes[at].run(&format!("UPDATE items SET a = '{step}'")),
            2 => nodes[at].run(&format!("UPDATE items SET b = '{step}'")),
            3 => nodes[at].run("DELETE FROM items"),
            4 => nodes[at].run(&format!(
                "INSERT INTO items VALUES ('hot', '{step}', '{step}') ON CONFLICT (id) DO UPDATE SET b = excluded.b"
            )),
            5 => nodes[at].run("UPDATE items SET b = 'private'"),
            _ => {
                let from = (at + 1 + dice.roll(3) as usize) % 4;
                nodes[from].seal();
                let request = everything_after(&nodes[at].store);
                let page = nodes[from].store.read_log(&request).unwrap();
                let changesets: Vec<_> = page.changesets.iter().map(|bytes| verified(bytes)).collect();
                nodes[at].take(&changesets);
            }
        }
        nodes[at].seal();
        check(&mut nodes[at], &policies, seed);
    }
    converge(&mut nodes);
    converge(&mut nodes);
    for node in &mut nodes {
        check(node, &policies, seed);
    }
}

#[test]
fn o3_the_ledger_of_a_hot_row_is_what_all_its_events_tell() {
    for existence in [ExistencePolicy::UpdateWins, ExistencePolicy::DeleteWins, ExistencePolicy::LastWriter] {
        for seed in 1..=3 {
            fight(seed, existence);
        }
    }
}
