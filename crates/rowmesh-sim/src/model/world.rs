//! Who writes, seals, sends, parks and learns what, when: drawn from a seed, or step by step from a test. Judges nothing beyond
//! what `node` refuses on the spot; the oracles are in `check`.

use rowmesh_core::ident::{Digest, NodeId};
use rowmesh_core::policy::{ColumnPolicy, ExistencePolicy};
use rowmesh_core::value::Value;

use super::Failure;
use super::history::{DrawnPolicy, EVENTS_MAX, EventSet, History, Setting};
use super::node::Node;
use crate::rng::Rng;

/// A mesh in the making, and its dice.
pub struct World {
    /// Everything sealed.
    pub history: History,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The dice.
    pub rng: Rng,
    /// Milliseconds of true time.
    pub now: u64,
    /// Changesets that were offered to a node that had them.
    pub repeated: usize,
    /// Changesets that had to wait for what they build on.
    pub held: usize,
    /// Events that were parked.
    pub parked: usize,
    trace: blake3::Hasher,
    habits: Habits,
}

/// How a mesh behaves, drawn once per history.
struct Habits {
    steps: usize,
    clock: Clock,
    /// Percent of steps that deliver.
    delivery: usize,
    /// Percent of deliveries that are repeated.
    repetition: usize,
    /// Percent of steps that block or unblock a row.
    blocking: usize,
    /// Percent of writes that delete.
    deletion: usize,
    /// Whether the last column changes with every update, as `updated_at` does.
    touches: bool,
    /// How many different values a column can have.
    values: usize,
}

/// What the nodes' clocks do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Clock {
    /// All stand still at the same time: nearly every timestamp is equal to another.
    Frozen,
    /// All are right, to a millisecond in which much happens.
    Right,
    /// Each is wrong by an amount of its own, up to years.
    Wrong,
}

impl World {
    /// A mesh with everything drawn from a seed.
    pub fn drawn(seed: u64) -> World {
        let mut rng = Rng::from_seed(seed);
        let setting = draw_setting(&mut rng);
        let habits = draw_habits(&mut rng);
        let mut world = World::new(setting, rng.between(3, 5), rng, habits);
        if world.habits.clock == Clock::Wrong {
            for node in &mut world.nodes {
                node.skew = *world.rng.pick(&[0, 1, 5, 3_600_000, 31_536_000_000]);
            }
        }
        world
    }

    /// A mesh that does only what a test tells it to, with all clocks right.
    pub fn scripted(nodes: usize, rows: usize, columns: usize, policies: Vec<DrawnPolicy>) -> World {
        let setting = setting_of(rows, columns, policies, false);
        let habits = Habits {
            steps: 0,
            clock: Clock::Right,
            delivery: 0,
            repetition: 0,
            blocking: 0,
            deletion: 0,
            touches: false,
            values: 4,
        };
        World::new(setting, nodes, Rng::from_seed(0), habits)
    }

    fn new(setting: Setting, nodes: usize, mut rng: Rng, habits: Habits) -> World {
        let nodes = (0..nodes).map(|number| Node::new(number, &setting, &mut rng)).collect();
        World {
            history: History::new(setting),
            nodes,
            rng,
            now: 1_700_000_000_000,
            repeated: 0,
            held: 0,
            parked: 0,
            trace: blake3::Hasher::new(),
            habits,
        }
    }

    /// Plays the drawn steps; `look` is called after each.
    pub fn play(&mut self, mut look: impl FnMut(&mut World) -> Result<(), Failure>) -> Result<(), Failure> {
        for _ in 0..self.habits.steps {
            if self.habits.clock != Clock::Frozen && self.rng.chance(30) {
                self.now += self.rng.below(3) as u64;
            }
            self.step()?;
            look(self)?;
        }
        Ok(())
    }

    /// Everything is sealed, learnt, delivered and shown everywhere, in a random order.
    pub fn heal(&mut self) -> Result<(), Failure> {
        let last_epoch = self.history.last_epoch();
        for node in 0..self.nodes.len() {
            self.seal(node)?;
            self.learn_epoch(node, last_epoch)?;
        }
        loop {
            let waiting: Vec<usize> =
                (0..self.nodes.len()).filter(|node| !self.nodes[*node].inbox.is_empty()).collect();
            if waiting.is_empty() {
                break;
            }
            let node = *self.rng.pick(&waiting);
            self.deliver_some(node)?;
        }
        for node in 0..self.nodes.len() {
            for row in 0..self.history.setting.rows {
                self.unblock(node, row)?;
            }
        }
        Ok(())
    }

    /// The application on a node writes a row, or deletes it with `None`. The key column is filled in.
    pub fn write(&mut self, node: usize, row: usize, values: Option<&[Value]>) {
        let image = values.map(|values| [&[Setting::key_value(row)], values].concat());
        self.nodes[node].write(row, image);
    }

    /// The application on a node updates one column, counted from 1, of a row that stands there.
    pub fn update(&mut self, node: usize, row: usize, column: usize, value: impl Into<Value>) {
        let mut image = self.nodes[node].table[row].clone().expect("the test updates a row that stands");
        image[column] = value.into();
        self.nodes[node].write(row, Some(image));
    }

    /// Seals on a node and sends to all others; returns the changesets made.
    pub fn seal(&mut self, node: usize) -> Result<Vec<usize>, Failure> {
        let units = self.nodes[node].seal(&mut self.history, self.now, &mut self.rng)?;
        for unit in &units {
            self.trace.update(&self.history.units[*unit].changeset.hash().0);
            for other in (0..self.nodes.len()).filter(|other| *other != node) {
                let copies = 1 + usize::from(self.rng.chance(self.habits.repetition));
                (0..copies).for_each(|_| self.nodes[other].inbox.push(*unit));
            }
        }
        Ok(units)
    }

    /// Offers changesets to a node, which seals first.
    pub fn offer(&mut self, node: usize, units: &[usize]) -> Result<(), Failure> {
        self.seal(node)?;
        let taken_before = self.nodes[node].order.len();
        let parked_before: usize = self.nodes[node].parked.iter().map(Vec::len).sum();
        let received = self.nodes[node].receive(&self.history, units)?;
        self.repeated += received.repeated;
        self.held += received.held;
        self.parked += self.nodes[node].parked.iter().map(Vec::len).sum::<usize>() - parked_before;
        for event in &self.nodes[node].order[taken_before..] {
            self.trace.update(&[node as u8, *event as u8]);
        }
        Ok(())
    }

    /// A node can show a row no longer, for a reason of its own.
    pub fn block(&mut self, node: usize, row: usize) -> Result<(), Failure> {
        self.seal(node)?;
        self.nodes[node].block(row);
        Ok(())
    }

    /// The reason is gone.
    pub fn unblock(&mut self, node: usize, row: usize) -> Result<(), Failure> {
        self.seal(node)?;
        self.nodes[node].unblock(&self.history, row)
    }

    /// The roster reaches a node, up to an epoch.
    pub fn learn_epoch(&mut self, node: usize, epoch: u64) -> Result<(), Failure> {
        self.seal(node)?;
        self.nodes[node].learn_epoch(&self.history, epoch)
    }

    /// Whether a node may forget a row's events: all members have them, and this node has all that they had sealed until then.
    /// A member that holds one of them parked has it in its vector and will still write without having seen it, so a vector alone
    /// is not enough of an acknowledgement; `vectors_only` takes it for enough, to show what happens.
    pub fn is_stable(&self, node: usize, row: usize, vectors_only: bool) -> bool {
        let known = self.nodes[node].known;
        let sealed = |number: &usize| self.history.records[*number].row == row;
        let has_all = self.nodes.iter().all(|member| {
            let of_row = self.all_events().iter().filter(sealed);
            of_row.fold(true, |all, event| all && member.known.has(event) && known.has(event))
        });
        has_all && (vectors_only || self.nodes.iter().all(|member| member.parked[row].is_empty()))
    }

    /// All events sealed so far.
    pub fn all_events(&self) -> EventSet {
        EventSet::first(self.history.records.len())
    }

    /// Hash of all that was sealed and taken in, in order: equal for equal seeds.
    pub fn trace(&self) -> Digest {
        Digest(*self.trace.finalize().as_bytes())
    }

    fn step(&mut self) -> Result<(), Failure> {
        let node = self.rng.below(self.nodes.len());
        let kind = self.rng.below(100);
        let delivery = self.habits.delivery;
        match kind {
            _ if kind < delivery => self.deliver_some(node),
            _ if kind < delivery + self.habits.blocking => self.toggle_block(node),
            _ if kind < delivery + self.habits.blocking + 3 => self.learn_next_epoch(node),
            _ if kind < 80 => {
                self.write_something(node);
                Ok(())
            }
            _ => self.seal(node).map(drop),
        }
    }

    fn deliver_some(&mut self, node: usize) -> Result<(), Failure> {
        let count = self.rng.between(1, 4).min(self.nodes[node].inbox.len());
        let units: Vec<usize> = (0..count).map(|_| self.rng.take(&mut self.nodes[node].inbox)).collect();
        self.offer(node, &units)
    }

    fn toggle_block(&mut self, node: usize) -> Result<(), Failure> {
        let row = self.rng.below(self.history.setting.rows);
        if self.nodes[node].blocked[row] { self.unblock(node, row) } else { self.block(node, row) }
    }

    fn learn_next_epoch(&mut self, node: usize) -> Result<(), Failure> {
        let next = (self.nodes[node].epoch + 1).min(self.history.last_epoch());
        self.learn_epoch(node, next)
    }

    fn write_something(&mut self, node: usize) {
        let setting = &self.history.setting;
        // Every row of every node may still have to be sealed when the history ends.
        let reserve = setting.rows * self.nodes.len() + 1;
        if self.history.records.len() + reserve >= EVENTS_MAX {
            return;
        }
        let (row, width) = (self.rng.below(setting.rows), setting.columns.len());
        let image = match self.nodes[node].table[row].clone() {
            None => {
                let mut image = vec![Setting::key_value(row)];
                image.extend((1..width).map(|_| draw_value(&mut self.rng, self.habits.values)));
                Some(image)
            }
            Some(_) if self.rng.chance(self.habits.deletion) => None,
            Some(mut image) => {
                for _ in 0..self.rng.between(1, width - 1) {
                    let column = self.rng.between(1, width - 1);
                    image[column] = draw_value(&mut self.rng, self.habits.values);
                }
                if self.habits.touches {
                    image[width - 1] = Value::Integer((self.now % 1_000_000) as i64);
                }
                Some(image)
            }
        };
        let leaves = image.is_none() && self.rng.chance(25);
        self.nodes[node].write(row, image);
        if leaves {
            self.nodes[node].leave(row);
        }
        if self.rng.chance(10) {
            self.nodes[node].count(row, self.rng.between(1, width - 1));
        }
    }
}

/// Policies with the default in every place.
pub fn default_policy(columns: usize) -> DrawnPolicy {
    DrawnPolicy { existence: ExistencePolicy::UpdateWins, columns: vec![ColumnPolicy::LastWriter; columns + 1] }
}

fn setting_of(rows: usize, columns: usize, policies: Vec<DrawnPolicy>, signed: bool) -> Setting {
    let names = (0..=columns).map(|column| if column == 0 { "id".into() } else { format!("c{column}").into() });
    Setting { table: "t".into(), rows, columns: names.collect(), policies, signed }
}

fn draw_setting(rng: &mut Rng) -> Setting {
    let (rows, columns) = (rng.between(1, 4), rng.between(1, 5));
    let epochs = if rng.chance(50) { 1 } else { rng.between(2, 4) };
    let policies = (0..epochs).map(|_| draw_policy(rng, columns)).collect();
    setting_of(rows, columns, policies, rng.chance(1))
}

fn draw_policy(rng: &mut Rng, columns: usize) -> DrawnPolicy {
    use ExistencePolicy::{Ask, DeleteWins, LastWriter, UpdateWins};
    let mut policy = default_policy(columns);
    policy.existence = *rng.pick(&[UpdateWins, UpdateWins, DeleteWins, LastWriter, Ask]);
    for column in &mut policy.columns[1..] {
        *column = match rng.below(10) {
            0 => ColumnPolicy::Max,
            1 => ColumnPolicy::Min,
            2 | 3 => ColumnPolicy::Counter,
            4 => ColumnPolicy::Ask,
            5 => {
                let first = rng.below(4) as u8 + 1;
                ColumnPolicy::NodePriority(
                    [first, first % 4 + 1][..rng.between(1, 2)].iter().map(|n| NodeId([*n; 32])).collect(),
                )
            }
            _ => ColumnPolicy::LastWriter,
        };
    }
    policy
}

fn draw_habits(rng: &mut Rng) -> Habits {
    Habits {
        steps: rng.between(8, 40),
        clock: *rng.pick(&[Clock::Frozen, Clock::Frozen, Clock::Right, Clock::Wrong]),
        delivery: *rng.pick(&[10, 25, 45]),
        repetition: *rng.pick(&[0, 30]),
        blocking: *rng.pick(&[0, 0, 6]),
        deletion: *rng.pick(&[10, 30]),
        touches: rng.chance(25),
        values: rng.between(2, 6),
    }
}

/// One of a few values, so that equal ones meet often.
fn draw_value(rng: &mut Rng, values: usize) -> Value {
    match rng.below(values) {
        0 => Value::Null,
        4 => Value::text("a"),
        5 => Value::text("b"),
        number => Value::Integer(number as i64),
    }
}
