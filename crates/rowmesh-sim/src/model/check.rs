//! The oracles of the model tier: O2, O3, O4 (in `node`), O6 (in `node`), O8, O9, O10 and C6. Does not check what stands in a
//! real database, nor anything of the wire or the exchange: the mesh tier does.

use rowmesh_core::clock::VersionVector;
use rowmesh_core::ledger::Entry;
use rowmesh_core::policy::ColumnPolicy;
use rowmesh_core::value::Value;

use super::history::{EventSet, History, Record};
use super::node::Node;
use super::reference::{self, Folded, Loss};
use super::world::World;
use super::{Failure, ensure};

/// How much of what can go wrong a history touched, to show that the sweep is not empty.
#[derive(Clone, Copy, Default, Debug)]
pub struct Coverage {
    /// Histories run.
    pub histories: usize,
    /// Events sealed.
    pub events: usize,
    /// Ledger entries at the end.
    pub losses: usize,
    /// Of those, of whole events.
    pub whole_losses: usize,
    /// Rows with writes side by side at the end.
    pub contested_rows: usize,
    /// Pairs of concurrent writes with equal timestamps.
    pub ties: usize,
    /// Pairs of concurrent writes that left equal values.
    pub equal_edits: usize,
    /// Events that were parked somewhere.
    pub parked: usize,
    /// Changesets offered to a node that had them.
    pub repeated: usize,
    /// Changesets that had to wait.
    pub held: usize,
    /// Events that nodes had pruned at the end.
    pub pruned: usize,
}

/// A node at any time: its states are the fold of what it knows, its table is what they show.
pub fn node(history: &History, node: &Node) -> Result<(), Failure> {
    let is_settled = !node.has_unsealed();
    for row in 0..history.setting.rows {
        let expected = reference::fold(history, node.known, row);
        let folded = node.folded(row);
        ensure!(folded == expected, "o10: node {} row {row}: {}", node.number, difference(&folded, &expected));
        if is_settled && !node.blocked[row] {
            let stands = reference::show(&expected, &history.setting.policies[node.epoch as usize]);
            let table = &node.table[row];
            ensure!(*table == stands, "o10: node {} row {row}: table {table:?}, should be {stands:?}", node.number);
        }
    }
    Ok(())
}

/// A healed mesh.
pub fn healed(world: &mut World) -> Result<Coverage, Failure> {
    let mut coverage = Coverage { histories: 1, events: world.history.records.len(), ..Coverage::default() };
    coverage.parked = world.parked;
    coverage.repeated = world.repeated;
    coverage.held = world.held;
    let all = world.all_events();
    for one in &world.nodes {
        ensure!(one.known == all, "o2: node {} lacks events after healing", one.number);
        node(&world.history, one)?;
    }
    causality(&world.history)?;
    equal(&world.nodes)?;
    for row in 0..world.history.setting.rows {
        let losses = ledgers(world, row)?;
        nothing_lost_unrecorded(&world.history, &world.nodes[0], row, &losses)?;
        adds_up(&world.history, &world.nodes[0], row)?;
        coverage.losses += losses.len();
        coverage.whole_losses += losses.iter().filter(|loss| loss.column.is_none()).count();
        coverage.contested_rows += usize::from(world.nodes[0].has_several(row));
        let (ties, equal_edits) = meetings(&world.history, row);
        coverage.ties += ties;
        coverage.equal_edits += equal_edits;
    }
    repetition(world)?;
    bystander(world)?;
    Ok(coverage)
}

/// A healed mesh whose nodes pruned at different times: row states may differ in what nobody needs any more, but every table and
/// ledger is the reference's.
pub fn pruned(world: &mut World) -> Result<Coverage, Failure> {
    let all = world.all_events();
    let mut coverage = Coverage { histories: 1, events: world.history.records.len(), ..Coverage::default() };
    for row in 0..world.history.setting.rows {
        let folded = reference::fold(&world.history, all, row);
        let stands = reference::show(&folded, world.history.setting.policies.last().expect("there is a first epoch"));
        let expected = reference::ledger(&world.history, all, row);
        coverage.losses += expected.len();
        for node in &world.nodes {
            ensure!(
                node.table[row] == stands,
                "o1: node {} row {row}: {:?} after pruning, should be {stands:?}",
                node.number,
                node.table[row]
            );
            let entries: Vec<Loss> =
                node.ledger(&world.history, row).iter().map(|entry| loss(&world.history, entry)).collect();
            ensure!(
                entries == expected,
                "o3: node {} row {row}: ledger after pruning {entries:#?}, should be {expected:#?}",
                node.number
            );
            coverage.pruned += node.order.iter().filter(|event| node.pruned.has(**event)).count();
        }
    }
    Ok(coverage)
}

/// A node that only listens takes everything in in another causal order, grouping and parking, and ends up the same.
pub fn bystander(world: &mut World) -> Result<(), Failure> {
    let mut bystander = Node::new(world.nodes.len(), &world.history.setting, &mut world.rng);
    bystander.learn_epoch(&world.history, world.history.last_epoch())?;
    let rows = world.history.setting.rows;
    bystander.inbox = (0..world.history.units.len()).collect();
    if !bystander.inbox.is_empty() {
        bystander.inbox.push(0);
    }
    while !bystander.inbox.is_empty() {
        let count = world.rng.between(1, 6).min(bystander.inbox.len());
        let units: Vec<usize> = (0..count).map(|_| world.rng.take(&mut bystander.inbox)).collect();
        bystander.receive(&world.history, &units)?;
        let row = world.rng.below(rows);
        match world.rng.below(8) {
            0 if !bystander.blocked[row] => bystander.block(row),
            1 => bystander.unblock(&world.history, row)?,
            _ => {}
        }
    }
    for row in 0..rows {
        bystander.unblock(&world.history, row)?;
        same(&world.nodes[0], &bystander, row)?;
    }
    Ok(())
}

/// A few changesets, in every causal order of arrival at a node that only listens: one state, one table, one ledger. Returns
/// how many orders there are.
pub fn every_order(world: &mut World) -> Result<usize, Failure> {
    let mut orders = Vec::new();
    causal_orders(&world.history, &mut Vec::new(), &mut orders);
    for order in &orders {
        let mut bystander = Node::new(world.nodes.len(), &world.history.setting, &mut world.rng);
        bystander.learn_epoch(&world.history, world.history.last_epoch())?;
        for unit in order {
            let received = bystander.receive(&world.history, &[*unit])?;
            ensure!(received.taken == 1, "changeset {unit} of {order:?} is not taken in");
        }
        node(&world.history, &bystander)?;
        for row in 0..world.history.setting.rows {
            same(&world.nodes[0], &bystander, row)?;
            let same_ledger = world.nodes[0].ledger(&world.history, row) == bystander.ledger(&world.history, row);
            ensure!(same_ledger, "o3: another ledger of row {row} in order {order:?}");
        }
    }
    Ok(orders.len())
}

/// C6: what has seen another lies above it, whatever the clocks.
pub fn causality(history: &History) -> Result<(), Failure> {
    for (number, later) in history.records.iter().enumerate() {
        for (earlier, record) in history.of_row(later.row, later.seen) {
            let above = later.stamp.lamport > record.stamp.lamport;
            ensure!(above, "c6: event {number} has seen event {earlier} and does not lie above it");
        }
    }
    Ok(())
}

fn causal_orders(history: &History, begun: &mut Vec<usize>, orders: &mut Vec<Vec<usize>>) {
    if begun.len() == history.units.len() {
        orders.push(begun.clone());
        return;
    }
    let known = begun.iter().map(|unit| history.units[*unit].changeset.dot()).collect::<VersionVector>();
    for (number, unit) in
        history.units.iter().enumerate().filter(|(number, _)| !begun.contains(number)).collect::<Vec<_>>()
    {
        if known.includes(&unit.changeset.header().context.vector) {
            begun.push(number);
            causal_orders(history, begun, orders);
            begun.pop();
        }
    }
}

fn equal(nodes: &[Node]) -> Result<(), Failure> {
    let (first, others) = nodes.split_first().expect("a mesh has nodes");
    others.iter().try_for_each(|other| (0..first.table.len()).try_for_each(|row| same(first, other, row)))
}

fn same(a: &Node, b: &Node, row: usize) -> Result<(), Failure> {
    let (x, y) = (a.folded(row), b.folded(row));
    ensure!(x == y, "o9: nodes {} and {} differ in row {row}: {}", a.number, b.number, difference(&x, &y));
    ensure!(a.table[row] == b.table[row], "o1: nodes {} and {} show row {row} differently", a.number, b.number);
    ensure!(a.shown(row) == b.shown(row), "o1: nodes {} and {} remember row {row} differently", a.number, b.number);
    Ok(())
}

/// O3: every node computes the reference's ledger from its own order of arrival.
fn ledgers(world: &mut World, row: usize) -> Result<Vec<Loss>, Failure> {
    let expected = reference::ledger(&world.history, world.all_events(), row);
    let other = world.rng.between(1, world.nodes.len() - 1);
    for node in [&world.nodes[0], &world.nodes[other]] {
        let entries: Vec<Loss> =
            node.ledger(&world.history, row).iter().map(|entry| loss(&world.history, entry)).collect();
        ensure!(
            entries == expected,
            "o3: node {} row {row}: ledger {entries:#?}, should be {expected:#?}",
            node.number
        );
        let mut grown: Vec<Loss> = node.grown_ledger(row).iter().map(|entry| loss(&world.history, entry)).collect();
        grown.sort_by_key(|loss| (loss.loser, loss.column));
        ensure!(
            grown == expected,
            "o3: node {} row {row}: the ledger grew to something else than {expected:#?}",
            node.number
        );
        for loss in &expected {
            let open = node.is_open(row, &loss.loser, loss.column);
            ensure!(open != loss.superseded, "row {row}: state and ledger disagree whether {loss:?} is open");
        }
    }
    Ok(expected)
}

pub(super) fn loss(history: &History, entry: &Entry) -> Loss {
    let number = |name| history.setting.columns.iter().position(|column| column == name).expect("entries name columns");
    Loss {
        loser: entry.id.loser,
        column: entry.id.column.as_ref().map(number),
        kind: entry.kind,
        strategy: entry.strategy,
        losing: entry.losing,
        winning: entry.winning,
        lost: entry.lost.clone(),
        won: entry.won.clone(),
        common_value: entry.common_value.clone(),
        superseded: entry.superseded,
    }
}

/// O2: every value that somebody wrote stands, or was replaced by somebody who saw it, or is in the ledger. Where policies
/// changed, the ledger judges by older ones than the table, so that only constant policies can be held to this.
fn nothing_lost_unrecorded(history: &History, node: &Node, row: usize, losses: &[Loss]) -> Result<(), Failure> {
    if history.setting.policies.len() > 1 {
        return Ok(());
    }
    let policy = &history.setting.policies[0];
    let all = EventSet::first(history.records.len());
    for (number, event) in history.of_row(row, all) {
        let is_listed =
            |column: Option<usize>| losses.iter().any(|loss| loss.losing == event.stamp && loss.column == column);
        let is_seen = |by: &dyn Fn(&Record) -> bool| {
            history.of_row(row, all).any(|(_, other)| other.seen.has(number) && by(other))
        };
        if event.is_delete() {
            let is_gone = node.table[row].is_none();
            ensure!(is_gone || is_listed(None) || is_seen(&|_| true), "o2: delete {number} of row {row} vanished");
            continue;
        }
        for (column, value) in
            event.written.iter().enumerate().filter_map(|(column, value)| Some((column, value.as_ref()?)))
        {
            let stands = node.table[row].as_ref().is_some_and(|image| image[column] == *value);
            let is_replaced = is_seen(&|other| other.is_delete() || other.written[column].is_some());
            let is_quiet = match policy.columns[column] {
                ColumnPolicy::LastWriter | ColumnPolicy::NodePriority(_) | ColumnPolicy::Ask => false,
                ColumnPolicy::Max | ColumnPolicy::Min => true,
                // What was added up, and what it is added to, is in the sum: `adds_up` sees to it.
                ColumnPolicy::Counter => {
                    let says = history.of_row(row, all).filter(|(_, other)| other.says(column));
                    let last =
                        says.max_by_key(|(_, other)| other.stamp).and_then(|(_, last)| last.written[column].clone());
                    event.changed_by(column).is_some() || last.as_ref() == Some(value)
                }
            };
            let is_recorded = is_listed(Some(column)) || is_listed(None) || is_quiet;
            ensure!(stands || is_replaced || is_recorded, "o2: event {number}: {value:?} in column {column} was lost");
        }
    }
    Ok(())
}

/// F3: a counter is what the last word said that there is, and all changes that it did not know of; told without a look at which writes stand side
/// by side. Holds where it was a counter all the time and held nothing but numbers.
fn adds_up(history: &History, node: &Node, row: usize) -> Result<(), Failure> {
    let Some(image) = &node.table[row] else { return Ok(()) };
    let events: Vec<_> = history.of_row(row, EventSet::first(history.records.len())).collect();
    for (column, stands) in image.iter().enumerate() {
        let is_counter = history.setting.policies.iter().all(|policy| policy.columns[column] == ColumnPolicy::Counter);
        let written =
            || events.iter().filter_map(|(number, event)| Some((*number, *event, event.written[column].as_ref()?)));
        if !is_counter || !written().all(|(_, _, value)| matches!(value, Value::Integer(_))) {
            continue;
        }
        let words = written().filter(|(_, event, _)| event.says(column));
        let Some((_, word, Value::Integer(said))) = words.max_by_key(|(_, event, _)| event.stamp) else { continue };
        let unknown = written().filter(|(number, ..)| !word.seen.has(*number));
        let sum = said + unknown.filter_map(|(_, event, _)| event.changed_by(column)).sum::<i64>();
        ensure!(*stands == Value::Integer(sum), "f3: column {column} of row {row} shows {stands:?}, should be {sum}");
    }
    Ok(())
}

/// O8: offering everything again changes nothing.
fn repetition(world: &mut World) -> Result<(), Failure> {
    let node = world.rng.below(world.nodes.len());
    let before: Vec<Folded> = (0..world.history.setting.rows).map(|row| world.nodes[node].folded(row)).collect();
    let units: Vec<usize> = (0..world.history.units.len()).collect();
    let received = world.nodes[node].receive(&world.history, &units)?;
    ensure!(received.repeated == units.len(), "o8: node {node} took something in twice");
    for (row, before) in before.iter().enumerate() {
        ensure!(world.nodes[node].folded(row) == *before, "o8: row {row} of node {node} changed on repetition");
    }
    Ok(())
}

fn meetings(history: &History, row: usize) -> (usize, usize) {
    let events: Vec<_> = history.of_row(row, EventSet::first(history.records.len())).collect();
    let (mut ties, mut equal_edits) = (0, 0);
    for (later, (b, y)) in events.iter().enumerate() {
        for (a, x) in events[..later].iter().filter(|(a, _)| !y.seen.has(*a)) {
            assert!(!x.seen.has(*b), "event {a} was sealed before event {b}");
            ties += usize::from(x.stamp.lamport == y.stamp.lamport);
            equal_edits += usize::from(x.written.iter().zip(&y.written).any(|(v, w)| v.is_some() && v == w));
        }
    }
    (ties, equal_edits)
}

fn difference(a: &Folded, b: &Folded) -> String {
    let mut parts = Vec::new();
    let mut compare = |what: &str, a: &dyn std::fmt::Debug, b: &dyn std::fmt::Debug| {
        let (a, b) = (format!("{a:?}"), format!("{b:?}"));
        if a != b {
            parts.push(format!("{what} {a} against {b}"));
        }
    };
    compare("births", &a.births, &b.births);
    compare("live", &a.live, &b.live);
    compare("deletes", &a.deletes, &b.deletes);
    compare("columns", &a.columns, &b.columns);
    compare("witnesses", &a.witnesses, &b.witnesses);
    compare("counted", &a.counted, &b.counted);
    parts.join("; ")
}

impl std::ops::AddAssign for Coverage {
    fn add_assign(&mut self, other: Coverage) {
        self.histories += other.histories;
        self.events += other.events;
        self.losses += other.losses;
        self.whole_losses += other.whole_losses;
        self.contested_rows += other.contested_rows;
        self.ties += other.ties;
        self.equal_edits += other.equal_edits;
        self.parked += other.parked;
        self.repeated += other.repeated;
        self.held += other.held;
        self.pruned += other.pruned;
    }
}
