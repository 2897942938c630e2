//! The model tier's tests: random histories, all small ones, and named counterexamples.
//!
//! How to replay a seed: see `sweeping`.

mod sweeping;

use rowmesh_core::ledger::{ConflictType, Entry, Left};
use rowmesh_core::policy::{ColumnPolicy, ExistencePolicy, Strategy};
use rowmesh_core::value::Value;
use rowmesh_sim::model::check::{self, Coverage};
use rowmesh_sim::model::history::DrawnPolicy;
use rowmesh_sim::model::small_scope;
use rowmesh_sim::model::sweep::{self, Outcome};
use rowmesh_sim::model::world::{World, default_policy};

/// Random histories per run; the budget is a minute on two cores.
const HISTORIES: u64 = 100_000;

#[test]
fn o9_o10_f1_f2_f6_f7_random_histories_converge_to_the_reference_fold() {
    let coverage = sweeping::sweep("history", HISTORIES, sweep::history);
    if coverage.histories < 1_000 {
        return;
    }
    let Coverage { histories, losses, whole_losses, contested_rows, ties, equal_edits, parked, repeated, held, .. } =
        coverage;
    for (what, count) in [
        ("ledger entries", losses),
        ("lost deletes and rows", whole_losses),
        ("rows with writes side by side", contested_rows),
        ("equal timestamps", ties),
        ("concurrent equal edits", equal_edits),
        ("parked events", parked),
        ("repeated changesets", repeated),
        ("changesets that came too early", held),
    ] {
        assert!(count > histories / 4, "the histories hardly touch {what}: {coverage:?}");
    }
}

#[test]
fn o9_f2_f6_f7_q5_q17_all_histories_of_three_events_give_one_state_in_every_order() {
    let schemes = small_scope::schemes();
    let play = |number: u64| {
        let scheme = &schemes[number as usize];
        let events = small_scope::play(scheme)?;
        Ok(Outcome {
            trace: small_scope::trace(scheme),
            coverage: Coverage { histories: 1, events, ..Coverage::default() },
        })
    };
    match sweep::run(0..schemes.len() as u64, play) {
        Ok(coverage) => assert!(coverage.events > 100_000, "{coverage:?}"),
        Err(bad) => panic!("scheme {}: {}", bad.seed, bad.failure),
    }
}

#[test]
fn q6_g3_nodes_that_prune_at_different_times_keep_equal_tables_and_ledgers() {
    let coverage = sweeping::sweep("pruning", 10_000, sweep::pruning_history);
    assert!(coverage.histories < 1_000 || coverage.pruned > coverage.histories, "{coverage:?}");
}

#[test]
fn q17_an_acknowledgement_that_hides_parked_events_lets_others_prune_too_early() {
    let result = sweep::run(0..20_000, sweep::careless_pruning_history);
    assert!(result.is_err(), "vectors are not enough of an acknowledgement, and this sweep no longer shows it");
}

#[test]
fn q5_two_concurrent_edits_are_in_the_ledger_even_where_a_later_edit_of_one_came_first() {
    let mut world = three_nodes_with_a_row(vec![default_policy(1)]);
    world.update(0, 0, 1, 1);
    let a = world.seal(0).unwrap();
    world.update(1, 0, 1, 2);
    world.seal(1).unwrap();
    world.offer(2, &a).unwrap();
    world.update(2, 0, 1, 3);
    let entries = healed_in_every_order(&mut world, 3);
    // Both first edits lost against something concurrent: a against b, b against c.
    assert_eq!(values_lost(&entries), [(Some(1.into()), Some(2.into())), (Some(2.into()), Some(3.into()))]);
    assert_eq!(entries.iter().map(|entry| entry.superseded).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn q6_a_policy_changed_between_two_edits_judges_them_the_same_everywhere() {
    let largest = DrawnPolicy { columns: vec![ColumnPolicy::LastWriter, ColumnPolicy::Max], ..default_policy(1) };
    let mut world = three_nodes_with_a_row(vec![largest, default_policy(1)]);
    world.update(0, 0, 1, 9);
    world.seal(0).unwrap();
    world.now += 1;
    world.learn_epoch(1, 1).unwrap();
    world.update(1, 0, 1, 2);
    // The later edit was sealed under the newer policy, so that one judges, also on node 0 that sealed under the older.
    let entries = healed_in_every_order(&mut world, 2);
    assert_eq!(values_lost(&entries), [(Some(9.into()), Some(2.into()))]);
    assert!(world.nodes.iter().all(|node| node.table[0].as_ref().unwrap()[1] == Value::Integer(2)));
}

#[test]
fn q17_an_edit_over_a_parked_event_does_not_claim_to_have_seen_it() {
    let mut world = three_nodes_with_a_row(vec![default_policy(1)]);
    world.update(0, 0, 1, 1);
    let parked = world.seal(0).unwrap();
    world.block(1, 0).unwrap();
    world.offer(1, &parked).unwrap();
    assert_eq!(world.nodes[1].table[0].as_ref().unwrap()[1], Value::Integer(0), "parked events are not shown");
    world.update(1, 0, 1, 2);
    let edit = world.seal(1).unwrap();
    assert_eq!(world.history.units[edit[0]].changeset.header().context.parked.len(), 1);
    let entries = healed_in_every_order(&mut world, 1);
    assert_eq!(values_lost(&entries), [(Some(1.into()), Some(2.into()))]);
}

#[test]
fn q27_concurrent_edits_of_different_columns_beside_updated_at_are_no_conflict() {
    let mut touched = default_policy(3);
    touched.columns[3] = ColumnPolicy::Max;
    let mut world = three_nodes_with_a_row(vec![touched]);
    for (node, time) in [(0, 20), (1, 10)] {
        world.update(node, 0, node + 1, 5);
        world.update(node, 0, 3, time);
        world.seal(node).unwrap();
    }
    let entries = healed_in_every_order(&mut world, 2);
    assert_eq!(entries, []);
    assert_eq!(world.nodes[2].table[0].as_ref().unwrap()[1..], [5.into(), 5.into(), 20.into()]);
}

#[test]
fn c6_an_edit_made_after_seeing_another_beats_it_whatever_the_clocks() {
    let mut world = three_nodes_with_a_row(vec![default_policy(1)]);
    world.nodes[0].skew = 31_536_000_000;
    world.update(0, 0, 1, 1);
    let ahead = world.seal(0).unwrap();
    world.offer(1, &ahead).unwrap();
    world.update(1, 0, 1, 2);
    assert_eq!(healed_in_every_order(&mut world, 1), []);
    assert_eq!(world.nodes[0].table[0].as_ref().unwrap()[1], Value::Integer(2));
}

#[test]
fn f2_equal_timestamps_are_settled_by_origin_on_every_node() {
    let mut world = three_nodes_with_a_row(vec![default_policy(1)]);
    for node in 0..3 {
        world.update(node, 0, 1, node as i64 + 1);
        world.seal(node).unwrap();
    }
    let entries = healed_in_every_order(&mut world, 6);
    assert_eq!(entries.iter().map(|entry| entry.losing.lamport).collect::<Vec<_>>(), [entries[0].winning.lamport; 2]);
    assert_eq!(world.nodes[0].table[0].as_ref().unwrap()[1], Value::Integer(3));
}

#[test]
fn f5_a_value_set_back_is_a_write_and_an_unchanged_one_is_none() {
    let mut world = three_nodes_with_a_row(vec![default_policy(2)]);
    world.update(0, 0, 1, 0);
    assert_eq!(world.seal(0).unwrap(), [], "what is set to what it was is no event");
    world.update(0, 0, 1, 1);
    world.seal(0).unwrap();
    world.update(0, 0, 1, 0);
    world.seal(0).unwrap();
    world.update(1, 0, 1, 2);
    world.seal(1).unwrap();
    // Set back by a user who saw it: a write like any other, so the two users disagree.
    let entries = healed_in_every_order(&mut world, 3);
    assert_eq!(values_lost(&entries), [(Some(1.into()), Some(2.into())), (Some(2.into()), Some(0.into()))]);
}

#[test]
fn f6_update_against_delete_follows_the_policy_in_every_order() {
    use ExistencePolicy::{DeleteWins, LastWriter, UpdateWins};
    for (existence, delete_is_later, stands, strategy) in [
        (UpdateWins, false, true, Strategy::MergeChanges),
        (UpdateWins, true, true, Strategy::MergeChanges),
        (DeleteWins, false, false, Strategy::BusinessRule),
        (DeleteWins, true, false, Strategy::BusinessRule),
        (LastWriter, false, true, Strategy::LastWriterWins),
        (LastWriter, true, false, Strategy::LastWriterWins),
    ] {
        let mut world = three_nodes_with_a_row(vec![DrawnPolicy { existence, ..default_policy(2) }]);
        (world.nodes[0].skew, world.nodes[1].skew) = if delete_is_later { (0, 5) } else { (5, 0) };
        world.update(0, 0, 1, 1);
        world.seal(0).unwrap();
        world.write(1, 0, None);
        world.seal(1).unwrap();
        let entries = healed_in_every_order(&mut world, 2);
        let row = world.nodes[2].table[0].as_ref().map(|row| &row[1..]);
        assert_eq!(
            row,
            stands.then_some(&[1.into(), 0.into()][..]),
            "{existence:?}: a revived row has its full contents"
        );
        let kind = if delete_is_later { ConflictType::UpdateDelete } else { ConflictType::DeleteUpdate };
        assert_eq!(entries.iter().map(|entry| (entry.kind, entry.strategy)).collect::<Vec<_>>(), [(kind, strategy)]);
    }
}

#[test]
fn m2_q18_a_row_that_leaves_the_scope_is_gone_everywhere_whatever_others_wrote_and_the_edit_is_in_the_ledger() {
    use ExistencePolicy::{DeleteWins, LastWriter, UpdateWins};
    for existence in [UpdateWins, DeleteWins, LastWriter] {
        let mut world = three_nodes_with_a_row(vec![DrawnPolicy { existence, ..default_policy(2) }]);
        (world.nodes[0].skew, world.nodes[1].skew) = (5, 0);
        world.update(0, 0, 1, 9);
        world.seal(0).unwrap();
        world.nodes[1].leave(0);
        world.seal(1).unwrap();
        let entries = healed_in_every_order(&mut world, 2);
        assert!(
            world.nodes.iter().all(|node| node.table[0].is_none()),
            "{existence:?}: the later edit does not bring it back"
        );
        let [entry] = &entries[..] else { panic!("{existence:?}: {entries:?}") };
        assert_eq!((entry.strategy, entry.superseded), (Strategy::BusinessRule, false));
        assert_eq!(entry.lost, Left::Written([("c1".into(), 9.into())].into()), "what was lost can be restored");

        // It moves out of the filter again, at the node that kept it: it comes back whole, and the conflict is settled.
        world.write(1, 0, Some(&[4.into(), 5.into()]));
        world.seal(1).unwrap();
        world.heal().unwrap();
        check::healed(&mut world).unwrap();
        let back = |node: &rowmesh_sim::model::node::Node| node.table[0].as_ref().map(|row| row[1..].to_vec());
        assert!(world.nodes.iter().all(|node| back(node) == Some(vec![4.into(), 5.into()])));
        assert!(world.nodes[2].ledger(&world.history, 0).iter().all(|entry| entry.superseded));
    }
}

#[test]
fn f7_concurrent_equal_edits_leave_no_ledger_entry() {
    let mut world = three_nodes_with_a_row(vec![default_policy(2)]);
    for node in 0..3 {
        world.update(node, 0, 1, 8);
        world.seal(node).unwrap();
    }
    assert_eq!(healed_in_every_order(&mut world, 6), []);
    let units = world.history.units.len();
    (0..3).for_each(|node| assert_eq!(world.seal(node).unwrap(), [], "and no ping-pong"));
    assert_eq!(world.history.units.len(), units);
}

#[test]
fn q4_the_whole_rows_of_concurrent_writes_are_remembered_even_if_they_wrote_different_columns() {
    let mut world = three_nodes_with_a_row(vec![default_policy(2)]);
    world.update(0, 0, 1, 7);
    world.update(1, 0, 2, -7);
    healed_in_every_order(&mut world, 2);
    let rows: Vec<Vec<Value>> =
        world.nodes[2].folded(0).witnesses.into_iter().map(|(_, row)| row[1..].to_vec()).collect();
    assert_eq!(rows.len(), 2);
    // What a CHECK over both columns needs, should the mixture break it.
    assert!(rows.contains(&vec![7.into(), 0.into()]) && rows.contains(&vec![0.into(), Value::Integer(-7)]));
}

/// Three nodes that all show one row with zeros.
fn three_nodes_with_a_row(policies: Vec<DrawnPolicy>) -> World {
    let columns = policies[0].columns.len() - 1;
    let mut world = World::scripted(3, 1, columns, policies);
    world.write(0, 0, Some(&vec![Value::Integer(0); columns]));
    let insert = world.seal(0).unwrap();
    (1..3).for_each(|node| world.offer(node, &insert).unwrap());
    world.nodes.iter_mut().for_each(|node| node.inbox.clear());
    world
}

/// Heals the mesh, applies all oracles, and delivers in every causal order; returns the one ledger.
fn healed_in_every_order(world: &mut World, orders: usize) -> Vec<Entry> {
    world.heal().unwrap();
    check::healed(world).unwrap();
    assert_eq!(check::every_order(world), Ok(orders), "orders of arrival");
    let mut entries = world.nodes[0].ledger(&world.history, 0);
    entries.sort_by_key(|entry| entry.losing);
    entries
}

fn values_lost(entries: &[Entry]) -> Vec<(Option<Value>, Option<Value>)> {
    let value = |left: &Left| match left {
        Left::Value(value) => Some(value.clone()),
        Left::Nothing | Left::Written(_) => None,
    };
    entries.iter().map(|entry| (value(&entry.lost), value(&entry.won))).collect()
}
