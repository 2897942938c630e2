//! Meshes of the play-through: random ones and those that a test scripts, and what must hold of them. Ledgers are not modelled here.

use std::sync::Arc;

use rowmesh_core::ident::Digest;
use rowmesh_core::value::Value;

use super::node::{Node, Unit};
use super::{DERIVED_FIRST, NAME, NOTE, OrphanRule, PARENT, Rules, Table};
use crate::model::check::Coverage;
use crate::model::sweep::Outcome;
use crate::model::{Failure, ensure};
use crate::rng::Rng;

/// A mesh.
pub struct World {
    /// Its nodes.
    pub nodes: Vec<Node>,
    /// Everything sealed, in order.
    pub units: Vec<Arc<Unit>>,
    rules: Rules,
    inboxes: Vec<Vec<Arc<Unit>>>,
}

impl World {
    /// Nodes with empty tables.
    pub fn new(nodes: usize, rules: Rules) -> World {
        let one = |number: usize| Node::new(number as u8 + 1, rules);
        World { nodes: (0..nodes).map(one).collect(), units: Vec::new(), rules, inboxes: vec![Vec::new(); nodes] }
    }

    /// A node seals; what it made is on its way to all others.
    pub fn seal(&mut self, node: usize) -> Result<(), Failure> {
        for unit in self.nodes[node].seal()? {
            for (other, inbox) in self.inboxes.iter_mut().enumerate() {
                if other != node {
                    inbox.push(unit.clone());
                }
            }
            self.units.push(unit);
        }
        Ok(())
    }

    /// A node seals, then takes in all that is on its way and can go in.
    pub fn deliver(&mut self, node: usize) -> Result<(), Failure> {
        self.seal(node)?;
        let mut waiting = std::mem::take(&mut self.inboxes[node]);
        loop {
            let before = waiting.len();
            let mut left = Vec::new();
            for unit in waiting {
                if !self.nodes[node].receive(&unit)? {
                    left.push(unit);
                }
            }
            if left.len() == before || left.is_empty() {
                self.inboxes[node] = left;
                return self.quiet(node);
            }
            waiting = left;
        }
    }

    /// All seal, then all take in everything.
    pub fn heal(&mut self) -> Result<(), Failure> {
        (0..self.nodes.len()).try_for_each(|node| self.seal(node))?;
        (0..self.nodes.len()).try_for_each(|node| self.deliver(node))?;
        self.check()
    }

    /// Tables are equal, legal, and the same in another order of arrival.
    pub fn check(&self) -> Result<(), Failure> {
        for node in &self.nodes {
            ensure!(node.tables == self.nodes[0].tables, "o1: {:#?} against {:#?}", node.tables, self.nodes[0].tables);
            ensure!(node.rows == self.nodes[0].rows, "o9: {:#?} against {:#?}", node.rows, self.nodes[0].rows);
            ensure!(node.settle() == node.standing, "settling again gives something else");
            legal(node, self.rules)?;
        }
        Ok(())
    }

    /// No event is made by the system: whatever a rule has changed, there is nothing to seal.
    fn quiet(&mut self, node: usize) -> Result<(), Failure> {
        let made = self.nodes[node].seal()?;
        ensure!(made.is_empty(), "d2: node {node} would seal what rules have shown: {made:?}");
        legal(&self.nodes[node], self.rules)
    }

    /// A node that only listens, with everything taken in in a random causal order.
    fn bystander(&self, rng: &mut Rng) -> Result<(), Failure> {
        let mut node = Node::new(200, self.rules);
        let mut waiting = self.units.clone();
        while !waiting.is_empty() {
            let unit = rng.take(&mut waiting);
            if !node.receive(&unit)? {
                waiting.push(unit);
            }
        }
        ensure!(
            node.rows == self.nodes[0].rows,
            "o9: another order: {:#?} against {:#?}",
            node.rows,
            self.nodes[0].rows
        );
        ensure!(node.tables == self.nodes[0].tables, "o9: another order shows something else");
        Ok(())
    }
}

/// One random mesh of rows that refer to and collide with each other.
///
/// # Errors
/// If nodes differ, tables are illegal, a user is not shown what he wrote, or rules make events.
pub fn history(seed: u64) -> Result<Outcome, Failure> {
    let mut rng = Rng::from_seed(seed);
    let orphans = *rng.pick(&[OrphanRule::RestoreParent, OrphanRule::Cascade, OrphanRule::SetNull]);
    let rules = Rules { orphans, merge_rows: rng.chance(30) };
    let mut world = World::new(rng.between(2, 4), rules);
    let frozen = rng.chance(50);
    for _ in 0..rng.between(10, 60) {
        let node = rng.below(world.nodes.len());
        if !frozen {
            world.nodes[node].clock += rng.below(3) as u64;
        }
        match rng.below(10) {
            0..6 => act(&mut world.nodes[node], &mut rng),
            6..8 => world.seal(node)?,
            _ => {
                let mut inbox = std::mem::take(&mut world.inboxes[node]);
                rng.shuffle(&mut inbox);
                let later = inbox.split_off(rng.below(inbox.len() + 1));
                world.inboxes[node] = inbox;
                world.deliver(node)?;
                world.inboxes[node].extend(later);
            }
        }
    }
    world.heal()?;
    world.bystander(&mut rng)?;
    let events = world.units.iter().map(|unit| unit.events.len()).sum();
    let numbers = world.nodes[0].tables.keys().filter(|(_, number)| *number >= DERIVED_FIRST).count();
    let trace = Digest::of(format!("{:?}", world.units).as_bytes());
    Ok(Outcome { trace, coverage: Coverage { histories: 1, events, contested_rows: numbers, ..Coverage::default() } })
}

/// One statement of a user.
fn act(node: &mut Node, rng: &mut Rng) {
    let numbers = |node: &Node, table: Table| {
        node.tables.keys().filter(|key| key.0 == table).map(|key| key.1).collect::<Vec<_>>()
    };
    let (parents, children) = (numbers(node, Table::Parents), numbers(node, Table::Children));
    let name = Value::text(["x", "y", "z"][rng.below(3)]);
    let note = Value::Integer(rng.below(4) as i64);
    let (Some(parent), Some(child)) = (one_of(&parents, rng), one_of(&children, rng)) else {
        match one_of(&parents, rng) {
            Some(parent) if rng.chance(60) => _ = node.insert(Table::Children, &[parent.into(), note]),
            _ => _ = node.insert(Table::Parents, &[name]),
        }
        return;
    };
    match rng.below(12) {
        0..2 => _ = node.insert(Table::Parents, &[name]),
        2..4 => _ = node.insert(Table::Children, &[parent.into(), note]),
        4..7 => _ = node.update(Table::Parents, parent, NAME, name),
        7 => node.swap_names(parents[0], parent),
        8 => node.delete(Table::Parents, parent),
        9 => node.delete(Table::Children, child),
        10 => _ = node.update(Table::Children, child, NOTE, note),
        _ => _ = node.update(Table::Children, child, PARENT, parent.into()),
    }
}

fn one_of(numbers: &[i64], rng: &mut Rng) -> Option<i64> {
    (!numbers.is_empty()).then(|| *rng.pick(numbers))
}

/// P5: unique names, no reference that dangles, none missing where NULL is refused.
fn legal(node: &Node, rules: Rules) -> Result<(), Failure> {
    let mut names: Vec<&Value> = Vec::new();
    for ((table, number), image) in &node.tables {
        match table {
            Table::Parents => {
                ensure!(!names.contains(&&image[NAME]), "p5: name {:?} stands twice", image[NAME]);
                names.push(&image[NAME]);
            }
            Table::Children => {
                let stands = match image[PARENT] {
                    Value::Integer(parent) => node.tables.contains_key(&(Table::Parents, parent)),
                    _ => rules.orphans == OrphanRule::SetNull,
                };
                ensure!(stands, "p5: child {number} refers to nothing: {image:?}");
            }
        }
    }
    Ok(())
}
