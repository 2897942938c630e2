//! What becomes of edits that met: what stands, the same on every node, and what the ledger says of those that lost.

use std::collections::BTreeMap;

use rowmesh_core::ledger::{self, Entry, RowEvent};
use rowmesh_core::policy::{ColumnPolicy, ExistencePolicy, Policies, PolicyHistory, TablePolicy};
use rowmesh_core::scope::{Filter, Scope};
use rowmesh_core::store::Store;
use rowmesh_core::value::{Key, TableName};

use crate::node::{Node, check_equal, converge, lacked, nodes, now};
use crate::place::Place;

const CUSTOMERS: &str = "CREATE TABLE customers (id TEXT PRIMARY KEY, name TEXT NOT NULL, phone TEXT, email TEXT)";

/// Two nodes that know one customer.
fn pair<P: Place>() -> Vec<Node<P>> {
    let mut nodes = nodes::<P>(2, CUSTOMERS);
    nodes[0].run("INSERT INTO customers VALUES ('a', 'Ann', '1', 'e')");
    converge(&mut nodes);
    nodes
}

/// One statement on each of two nodes, neither of which has seen the other's.
fn check_meeting<P: Place>(one: &str, two: &str, stands: &str, lost: usize) -> Vec<Node<P>> {
    let mut nodes = pair::<P>();
    nodes[0].run(one);
    nodes[1].run(two);
    converge(&mut nodes);
    check_equal(&mut nodes);
    for node in &nodes {
        assert_eq!(node.texts("SELECT name || phone || email FROM customers"), [stands]);
        assert_eq!(node.ledger().len(), lost, "{:?}", node.ledger());
    }
    nodes
}

pub(crate) fn concurrent_edits_of_different_columns_both_survive_without_a_ledger_entry<P: Place>() {
    check_meeting::<P>("UPDATE customers SET phone = '2'", "UPDATE customers SET name = 'Anna'", "Anna2e", 0);
}

pub(crate) fn f7_equal_edits_on_both_sides_are_no_conflict<P: Place>() {
    let edit = "UPDATE customers SET phone = '2'";
    check_meeting::<P>(edit, edit, "Ann2e", 0);
}

pub(crate) fn f6_a_row_deleted_here_and_edited_there_stands_with_all_its_columns<P: Place>() {
    check_meeting::<P>("DELETE FROM customers", "UPDATE customers SET phone = '3'", "Ann3e", 1);
}

pub(crate) fn concurrent_edits_of_one_column_leave_the_loser_in_the_ledger<P: Place>() {
    let mut nodes = pair::<P>();
    nodes[0].run("UPDATE customers SET phone = '2'");
    nodes[0].seal();
    nodes[1].run("UPDATE customers SET phone = '3'");
    converge(&mut nodes);
    check_equal(&mut nodes);
    let ledger = nodes[0].ledger();
    assert!(ledger.len() == 1 && ledger[0].contains("open") && ledger[0].contains("UPDATE_UPDATE"), "{ledger:?}");
    nodes[1].run("UPDATE customers SET phone = '4'");
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert!(nodes[0].ledger()[0].contains("superseded"), "once somebody edits on top of both");
}

/// Two nodes of which one wrote 9, the other 2 into the same place.
fn at_odds<P: Place>() -> Vec<Node<P>> {
    let mut nodes = pair::<P>();
    nodes[0].run("UPDATE customers SET phone = '9'");
    nodes[1].run("UPDATE customers SET phone = '2'");
    converge(&mut nodes);
    nodes
}

/// All nodes agree to these policies for customers and look at their tables again; none makes an event of that.
fn check_ruled<P: Place>(nodes: &mut [Node<P>], existence: ExistencePolicy, phone: ColumnPolicy, stands: &[&str]) {
    let mut policies = Policies::default();
    let columns = [("phone".into(), phone)].into();
    policies.tables.insert("customers".into(), TablePolicy { existence, columns, ..TablePolicy::default() });
    let events = nodes[0].log().len();
    for node in nodes.iter_mut() {
        node.stand_by(&Scope::default(), &PolicyHistory::constant(policies.clone()));
        node.store.follow_schema(now()).expect("rows are shown by it");
        assert_eq!(node.texts("SELECT name || phone FROM customers"), stands);
        assert_eq!((node.seal(), node.log().len()), (0, events), "what a rule changes is no event");
        assert!(!node.store.look().expect("a look").schema_moved, "once is enough");
    }
    check_equal(nodes);
}

pub(crate) fn a_policy_that_people_change_shows_at_once_what_it_prefers_and_its_withdrawal_what_stood_before<
    P: Place,
>() {
    use ColumnPolicy::{LastWriter, Max, Min};
    use ExistencePolicy::{DeleteWins, UpdateWins};
    let mut nodes = at_odds::<P>();
    let later = nodes[0].texts("SELECT name || phone FROM customers").remove(0);
    check_ruled(&mut nodes, UpdateWins, Max, &["Ann9"]);
    check_ruled(&mut nodes, UpdateWins, Min, &["Ann2"]);
    check_ruled(&mut nodes, UpdateWins, LastWriter, &[&later]);
    nodes[0].run("DELETE FROM customers");
    nodes[1].run("UPDATE customers SET phone = '5'");
    converge(&mut nodes);
    check_ruled(&mut nodes, DeleteWins, LastWriter, &[]);
    check_ruled(&mut nodes, UpdateWins, LastWriter, &["Ann5"]);
}

pub(crate) fn what_was_written_and_not_sealed_when_a_policy_changes_is_sealed_before_anything_is_shown_over_it<
    P: Place,
>() {
    let mut nodes = at_odds::<P>();
    let mut policies = Policies::default();
    policies.tables.entry("customers".into()).or_default().columns.insert("phone".into(), ColumnPolicy::Min);
    for (node, edit) in nodes.iter_mut().zip(["phone = '4'", "name = 'Anna'"]) {
        node.run(&format!("UPDATE customers SET {edit}"));
        node.stand_by(&Scope::default(), &PolicyHistory::constant(policies.clone()));
        node.store.follow_schema(now()).expect("rows are shown by it");
    }
    assert_eq!(nodes[0].texts("SELECT name || phone FROM customers"), ["Ann4"], "it has seen both");
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[1].texts("SELECT name || phone FROM customers"), ["Anna4"]);
}

const ITEMS: &str = "CREATE TABLE items (id TEXT PRIMARY KEY, a TEXT, b TEXT)";

/// What all events in the log of a node tell.
fn told_by_the_log<P: Place>(node: &mut Node<P>, policies: &PolicyHistory) -> Vec<Entry> {
    let mut rows: BTreeMap<(TableName, Key), Vec<RowEvent>> = BTreeMap::new();
    for changeset in node.log() {
        let header = changeset.header();
        for event in changeset.events() {
            let shape = changeset.shape(event);
            let told = RowEvent::new(event, header.dot, &header.context, header.epoch, &shape.columns);
            rows.entry((shape.name.clone(), event.key(shape))).or_default().push(told);
        }
    }
    let told = rows.iter().flat_map(|((table, key), events)| ledger::entries(table, key, events, policies));
    sorted(told)
}

fn sorted(entries: impl Iterator<Item = Entry>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = entries.collect();
    entries.sort_by(|a, b| a.id.cmp(&b.id));
    entries
}

fn check_ledger<P: Place>(node: &mut Node<P>, policies: &PolicyHistory, seed: u64) {
    let told = told_by_the_log(node, policies);
    let kept = sorted(node.store.conflicts(false, 100_000).expect("read").into_iter().map(|view| view.entry));
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

fn fight<P: Place>(seed: u64, existence: ExistencePolicy) {
    let mut dice = Dice(seed);
    let filter = Filter::parse("private", "items", "b = 'private'", &[] as &[&str]).expect("a filter");
    let scope = Scope { filters: vec![filter], ..Scope::default() };
    let mut rules = Policies::default();
    rules.tables.entry("items".into()).or_default().existence = existence;
    let policies = PolicyHistory::constant(rules);
    let mut nodes = nodes::<P>(4, ITEMS);
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
                let vector = nodes[at].store.position().vector;
                let changesets = nodes[from].log_after(&vector);
                nodes[at].take(&changesets);
            }
        }
        nodes[at].seal();
        check_ledger(&mut nodes[at], &policies, seed);
    }
    converge(&mut nodes);
    converge(&mut nodes);
    for node in &mut nodes {
        check_ledger(node, &policies, seed);
    }
}

pub(crate) fn o3_the_ledger_of_a_hot_row_is_what_all_its_events_tell<P: Place>() {
    for (seed, existence) in
        [(1, ExistencePolicy::UpdateWins), (2, ExistencePolicy::DeleteWins), (3, ExistencePolicy::LastWriter)]
    {
        fight::<P>(seed, existence);
    }
}

pub(crate) fn a_policy_may_change_at_any_time_and_what_comes_then_is_settled_by_it<P: Place>() {
    let mut nodes = pair::<P>();
    let mut rules = Policies::default();
    rules.tables.entry("customers".into()).or_default().existence = ExistencePolicy::DeleteWins;
    let mut policies = PolicyHistory::default();
    policies.set(crate::node::EPOCH, rules);
    nodes.iter_mut().for_each(|node| node.stand_by(&Scope::default(), &policies));
    nodes[0].run("DELETE FROM customers");
    nodes[1].run("UPDATE customers SET phone = '3'");
    converge(&mut nodes);
    check_equal(&mut nodes);
    for node in &nodes {
        assert_eq!((node.count("customers"), node.ledger().len()), (0, 1));
    }
}

/// Three nodes, each of which hears of the others in another order.
pub(crate) fn p3_whatever_the_order_of_arrival_all_end_with_the_same_rows<P: Place>() {
    let mut nodes = nodes::<P>(3, CUSTOMERS);
    nodes[0].run("INSERT INTO customers VALUES ('a', 'Ann', '1', 'e'), ('b', 'Bob', '2', 'f')");
    converge(&mut nodes);
    nodes[0].run("UPDATE customers SET phone = 'of one'; DELETE FROM customers WHERE id = 'b'");
    nodes[1].run(
        "UPDATE customers SET phone = 'of two', email = 'of two'; INSERT INTO customers VALUES ('c', 'two', '2', '2')",
    );
    nodes[2].run(
        "UPDATE customers SET email = 'of three' WHERE id = 'b'; INSERT INTO customers VALUES ('c', 'three', '3', '3')",
    );
    for node in &mut nodes {
        node.seal();
    }
    let sealed: Vec<Vec<_>> = {
        let vectors: Vec<_> = nodes.iter().map(|node| node.store.position()).collect();
        nodes
            .iter_mut()
            .zip(vectors)
            .map(|(node, position)| {
                let own = position.origin;
                node.log().into_iter().filter(|changeset| changeset.dot().origin == own).collect()
            })
            .collect()
    };
    for (at, order) in [[1, 2], [2, 0], [0, 1]].into_iter().enumerate() {
        for from in order {
            nodes[at].take(&sealed[from]);
        }
    }
    check_equal(&mut nodes);
    let (first, rest) = nodes.split_at_mut(1);
    assert!(rest.iter_mut().all(|node| lacked(&first[0], node).is_empty()));
}
