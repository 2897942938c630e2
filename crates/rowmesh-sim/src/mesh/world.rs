//! Virtual time, links and faults: decides what happens when. Everything random comes from the seed, so a run can be repeated exactly.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rowmesh_core::clock::WallTime;
use rowmesh_core::exchange::schedule::Tick;
use rowmesh_core::exchange::{Ahead, Answer, Dialer, Failure, Options, Responder, Schedule, Step, Timing};
use rowmesh_core::ident::{MeshId, NodeId};
use rowmesh_core::policy::PolicyHistory;
use rowmesh_core::roster::{NewMember, Role, Roster};
use rowmesh_core::sign::{SecretKey, Signer};
use rowmesh_core::store::Store;
use rowmesh_core::wire::message::Path;
use rowmesh_core::wire::{FrameReader, Request, Response};

use super::filtered::{self, Secrets};
use super::joining::Application;
use super::node::{Call, Node, Stage, StoreFault};
use super::workload::Workload;
use super::{Report, oracle};
use crate::rng::Rng;

/// Where virtual time begins: 2001, so that a note stamped by a real clock would stand out.
const EPOCH_MS: u64 = 1_000_000_000_000;
/// How far a clock without battery goes back at most: thirty years.
const LOST_MS: usize = 946_080_000_000;
/// How often a node looks at its database.
const LOOK_MS: u64 = 1_000;
/// How often it does so once nobody writes any more: nothing else of a run takes as long as looking.
const QUIET_LOOK_MS: u64 = 10_000;
/// How often a node asks whom to call.
const CALL_MS: u64 = 500;
/// The same once everything is healed.
const QUIET_CALL_MS: u64 = 5_000;
/// How long a caller waits for an answer.
const ANSWER_MS: u64 = 20_000;
/// Cycles of the exchange interval within which everything must be quiet after healing (O12).
const CYCLES_TO_QUIET: u64 = 10;

/// Who is a member when a run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// Everybody.
    Whole,
    /// All but the last node, which joins while the others write.
    OneJoins,
    /// The first alone, whose database held rows before; the others join it or one another.
    AllJoin,
}

/// What may go wrong in a run.
#[derive(Debug, Clone)]
pub struct Faults {
    /// How many nodes.
    pub nodes: usize,
    /// Who of them is a member when it begins.
    pub beginning: Beginning,
    /// How long faults last, milliseconds.
    pub duration_ms: u64,
    /// Messages lost, of a hundred.
    pub loss: usize,
    /// Messages that come twice, of a hundred.
    pub duplication: usize,
    /// Longest delay of a message, milliseconds.
    pub delay_ms: usize,
    /// Whether nodes are killed.
    pub crashes: bool,
    /// Whether links break.
    pub partitions: bool,
    /// Largest error of a clock, milliseconds.
    pub skew_ms: usize,
    /// Whether clocks jump while running.
    pub jumps: bool,
    /// Calls of the store in which something goes wrong, of a hundred.
    pub failing: usize,
    /// Writes a node does a minute.
    pub writes_per_minute: usize,
}

impl Faults {
    /// Draws the faults of a run.
    pub fn draw(rng: &mut Rng) -> Faults {
        Faults {
            nodes: rng.between(2, 4),
            beginning: *rng.pick(&[
                Beginning::Whole,
                Beginning::Whole,
                Beginning::OneJoins,
                Beginning::OneJoins,
                Beginning::AllJoin,
            ]),
            duration_ms: rng.between(2, 6) as u64 * 60_000,
            loss: *rng.pick(&[0, 0, 5, 30]),
            duplication: *rng.pick(&[0, 10, 50]),
            delay_ms: *rng.pick(&[1, 50, 2_000, 15_000]),
            crashes: rng.chance(50),
            partitions: rng.chance(60),
            skew_ms: *rng.pick(&[0, 100, 60_000, 140_000, 1_800_000]),
            jumps: rng.chance(30),
            failing: *rng.pick(&[0, 0, 2, 20]),
            writes_per_minute: rng.between(2, 30),
        }
    }

    fn none(&self) -> Faults {
        Faults {
            loss: 0,
            duplication: 0,
            delay_ms: 5,
            crashes: false,
            partitions: false,
            jumps: false,
            failing: 0,
            ..self.clone()
        }
    }
}

/// Everything that can happen.
pub(super) enum Happening {
    Write(usize),
    Look { node: usize, life: u64 },
    Call { node: usize, life: u64 },
    Come(usize),
    Ask { node: usize, life: u64 },
    Piece { from: usize, from_life: u64, to: usize, to_life: u64, at: (u64, u64), bytes: Vec<u8> },
    Request { from: usize, life: u64, to: usize, id: u64, path: Path, body: Vec<u8> },
    Response { to: usize, life: u64, id: u64, path: Path, body: Vec<u8> },
    GiveUp { node: usize, life: u64, id: u64 },
    Kill(usize),
    Start(usize),
    Break(usize, usize),
    Mend(usize, usize),
    Jump(usize),
}

/// A whole mesh.
pub struct World {
    /// The nodes.
    pub nodes: Vec<Node>,
    /// What the applications do.
    pub workload: Workload,
    /// Values seen in tables before healing: none of them may be forgotten.
    pub witnessed: BTreeSet<String>,
    /// What a filter should have kept where it was.
    pub secrets: Secrets,
    /// Nodes that have come and are not in yet.
    pub(super) applications: BTreeMap<usize, Application>,
    pub(super) rng: Rng,
    pub(super) faults: Faults,
    pub(super) now: u64,
    pub(super) requests: u64,
    pub(super) messages: u64,
    pub(super) joins: u64,
    pub(super) mesh: MeshId,
    pub(super) broken: BTreeSet<(usize, usize)>,
    seed: u64,
    ends: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    sequence: u64,
    trace: blake3::Hasher,
    counters: Vec<u64>,
    writes: u64,
    crashes: u64,
    writing: bool,
}

impl World {
    /// A mesh of nodes that know each other.
    pub fn new(seed: u64, mut rng: Rng, faults: Faults, workload: Workload) -> World {
        let keys: Vec<Arc<SecretKey>> =
            (0..faults.nodes).map(|node| Arc::new(SecretKey::from_seed([node as u8 + 1; 32]))).collect();
        let policies = Arc::new(PolicyHistory::constant(workload.policies()));
        let instance = INSTANCES.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let nodes: Vec<Node> = (keys.into_iter().enumerate())
            .map(|(node, key)| Node::new(&format!("sim-{instance}-{seed}-{node}"), key, policies.clone()))
            .collect();
        let offsets: Vec<i64> =
            nodes.iter().map(|_| rng.below(2 * faults.skew_ms + 1) as i64 - faults.skew_ms as i64).collect();
        let counters = vec![0; nodes.len()];
        let mut world = World {
            nodes,
            workload,
            witnessed: BTreeSet::new(),
            secrets: Secrets::default(),
            applications: BTreeMap::new(),
            rng,
            now: EPOCH_MS,
            requests: 0,
            messages: 0,
            joins: 0,
            mesh: MeshId([0; 32]),
            broken: BTreeSet::new(),
            seed,
            ends: EPOCH_MS + faults.duration_ms,
            faults,
            queue: BTreeMap::new(),
            sequence: 0,
            trace: blake3::Hasher::new(),
            counters,
            writes: 0,
            crashes: 0,
            writing: true,
        };
        for (node, offset) in offsets.into_iter().enumerate() {
            world.nodes[node].clock_offset = offset;
        }
        world.begin();
        world.plan_faults();
        world
    }

    /// Founds the mesh, and plans when those come who are not in it from the start.
    fn begin(&mut self) {
        let members = match self.faults.beginning {
            Beginning::Whole => self.nodes.len(),
            Beginning::OneJoins => self.nodes.len() - 1,
            Beginning::AllJoin => 1,
        };
        let keys: Vec<Arc<SecretKey>> = self.nodes.iter().map(|node| node.key.clone()).collect();
        let roster = found(&keys[..members], &self.workload);
        self.mesh = roster.mesh();
        for node in 0..members {
            self.make_schema(node);
            if self.faults.beginning == Beginning::AllJoin {
                self.write_before(node);
            }
            self.nodes[node].stage = Stage::Outside;
            self.start(node);
            let now = self.wall(node);
            self.nodes[node].enter(roster.clone(), Stage::In, now);
            self.take_up(node);
            self.plan_write(node);
        }
        for node in members..self.nodes.len() {
            let when = self.rng.below(self.faults.duration_ms as usize / 2) as u64;
            self.plan(when, Happening::Come(node));
        }
    }

    /// Rows that stand in a database before Rowmesh comes to it.
    fn write_before(&mut self, node: usize) {
        for _ in 0..self.rng.between(1, 12) {
            let World { nodes, rng, counters, workload, .. } = self;
            workload.act(&nodes[node].app, rng, node, true, &mut counters[node]);
            self.look_for_secrets(node);
        }
    }

    /// The application's own migrations.
    pub(super) fn make_schema(&self, node: usize) {
        self.nodes[node].app.execute_batch(&self.workload.ddl()).expect("the workload's schema is valid");
    }

    /// Runs with faults until their time is over.
    pub fn run_faults(&mut self) {
        self.run_until(self.ends);
    }

    /// Ends all faults, and runs until the nodes had time to agree.
    pub fn heal(&mut self) {
        self.witness();
        self.writing = false;
        self.faults = self.faults.none();
        self.broken.clear();
        self.queue.retain(|_, happening| {
            !matches!(happening, Happening::Write(_) | Happening::Kill(_) | Happening::Break(..) | Happening::Jump(_))
        });
        for node in 0..self.nodes.len() {
            // Somebody sets a clock right that is years off: nothing that others write is believed until then.
            let bound = self.faults.skew_ms as i64;
            let offset = &mut self.nodes[node].clock_offset;
            *offset = (*offset).max(-bound);
            self.start(node);
        }
        // A clock that ran ahead is believed once true time has caught up with what it stamped.
        let ahead = self.nodes.iter().map(|node| node.clock_offset.unsigned_abs()).max().unwrap_or_default();
        let patience = Timing::default().backoff_max_ms + CYCLES_TO_QUIET * Timing::default().interval_ms;
        self.run_until(self.now + 2 * ahead + patience);
    }

    /// A node's clock.
    pub fn wall(&self, node: usize) -> WallTime {
        WallTime(self.now.saturating_add_signed(self.nodes[node].clock_offset))
    }

    /// What the run came to.
    pub fn report(&self) -> Report {
        let mut trace = self.trace.clone();
        for node in &self.nodes {
            for row in oracle::dump(&node.app, &self.workload) {
                trace.update(row.as_bytes());
            }
        }
        let ledger = oracle::ledger(&self.nodes[0].app);
        Report {
            trace: *trace.finalize().as_bytes(),
            writes: self.writes,
            messages: self.messages,
            conflicts: ledger.len(),
            orphans: ledger.iter().filter(|entry| entry.contains("|FOREIGN_KEY|")).count(),
            renumbered: ledger.iter().filter(|entry| entry.contains("|REKEY|")).count(),
            collisions: ledger.iter().filter(|entry| entry.contains("|UNIQUE|")).count(),
            crashes: self.crashes,
            joins: self.joins,
            failed_calls: self.nodes.iter().map(|node| node.failed_calls).sum(),
        }
    }

    fn run_until(&mut self, end: u64) {
        while let Some(((time, _), _)) = self.queue.first_key_value().map(|(key, value)| (*key, value)) {
            if time > end {
                break;
            }
            let (_, happening) = self.queue.pop_first().expect("it was there a moment ago");
            self.now = time;
            self.happen(happening);
        }
        self.now = end;
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Write(node) => self.write(node),
            Happening::Look { node, life } => self.look(node, life),
            Happening::Call { node, life } => self.call_whoever_is_due(node, life),
            Happening::Come(node) => self.come(node),
            Happening::Ask { node, life } => self.ask(node, life),
            Happening::Piece { from, from_life, to, to_life, at, bytes } => {
                let both_live = self.nodes[from].life == from_life && self.nodes[to].life == to_life;
                self.take_piece(from, to, at, &bytes, both_live);
            }
            Happening::Request { from, life, to, id, path, body } => self.answer(from, life, to, id, path, &body),
            Happening::Response { to, life, id, path, body } => self.take_response(to, life, id, path, &body),
            Happening::GiveUp { node, life, id } => self.give_up(node, life, id),
            Happening::Kill(node) => {
                self.note(&[b'k', node as u8]);
                self.crashes += u64::from(self.nodes[node].daemon.is_some());
                self.nodes[node].kill();
                let pause = self.rng.between(1, 120) as u64 * 1_000;
                self.plan(pause, Happening::Start(node));
            }
            Happening::Start(node) => self.start(node),
            Happening::Break(a, b) => drop(self.broken.insert((a, b))),
            Happening::Mend(a, b) => drop(self.broken.remove(&(a, b))),
            Happening::Jump(node) => {
                let jump = self.rng.below(2 * self.faults.skew_ms + 1) as i64 - self.faults.skew_ms as i64;
                // Sometimes a clock loses its battery.
                let lost = if self.rng.chance(15) { self.rng.below(LOST_MS) as i64 } else { 0 };
                self.nodes[node].clock_offset = jump - lost;
            }
        }
    }

    pub(super) fn plan(&mut self, after: u64, happening: Happening) {
        self.sequence += 1;
        self.queue.insert((self.now + after, self.sequence), happening);
    }

    pub(super) fn plan_write(&mut self, node: usize) {
        let pause = self.rng.between(1, 2 * 60_000 / self.faults.writes_per_minute) as u64;
        self.plan(pause, Happening::Write(node));
    }

    fn plan_faults(&mut self) {
        let duration = self.faults.duration_ms as usize;
        for node in 0..self.nodes.len() {
            if self.faults.crashes {
                for _ in 0..self.rng.below(4) {
                    let when = self.rng.below(duration) as u64;
                    self.plan(when, Happening::Kill(node));
                }
            }
            if self.faults.jumps {
                for _ in 0..self.rng.between(1, 4) {
                    let when = self.rng.below(duration) as u64;
                    self.plan(when, Happening::Jump(node));
                }
            }
            for other in 0..self.nodes.len() {
                if self.faults.partitions && node != other && self.rng.chance(60) {
                    let when = self.rng.below(duration) as u64;
                    let long = self.rng.below(duration) as u64;
                    self.plan(when, Happening::Break(node, other));
                    self.plan(when + long, Happening::Mend(node, other));
                }
            }
        }
    }

    /// Starts a node that is down, if its database is there.
    pub(super) fn start(&mut self, node: usize) {
        if self.nodes[node].daemon.is_some() || self.nodes[node].stage == Stage::Unborn {
            return;
        }
        let now = self.wall(node);
        self.nodes[node].start(now, Schedule::new(Timing::default()));
        let life = self.nodes[node].life;
        match self.nodes[node].stage {
            Stage::In => self.take_up(node),
            _ => self.plan(self.rng_pause(LOOK_MS), Happening::Ask { node, life }),
        }
    }

    /// A member with a whole copy begins to look at its database and to call the others.
    pub(super) fn take_up(&mut self, node: usize) {
        self.follow_roster(node);
        let life = self.nodes[node].life;
        self.plan(self.rng_pause(LOOK_MS), Happening::Look { node, life });
        self.plan(self.rng_pause(LOOK_MS), Happening::Call { node, life });
    }

    /// Calls everybody whom the roster names.
    pub(super) fn follow_roster(&mut self, node: usize) {
        let (me, tick) = (self.nodes[node].id(), Tick(self.now));
        let members: Vec<NodeId> = self.nodes[node].roster().map_or_else(Vec::new, |roster| {
            roster.members().map(|(member, _)| *member).filter(|member| *member != me).collect()
        });
        let World { nodes, rng, .. } = self;
        let Some(daemon) = &mut nodes[node].daemon else { return };
        let known: BTreeSet<NodeId> = daemon.schedule.peers().copied().collect();
        for member in members.into_iter().filter(|member| !known.contains(member)) {
            daemon.schedule.add(tick, member, rng.bits());
        }
    }

    /// Says what goes wrong in the next call of a node's store.
    pub(super) fn draw_fault(&mut self, node: usize) {
        let rng = &mut self.rng;
        self.nodes[node].next_fault = rng.chance(self.faults.failing).then(|| match rng.below(4) {
            0 => StoreFault::CommitFails(rng.between(1, 2) as u32),
            1 => StoreFault::DiskFull(rng.below(6) as i64),
            // Few steps as often as many: the first statements of a transaction are as good a place to fail as the last.
            _ => StoreFault::BreaksOff(1 << rng.below(14)),
        });
    }

    fn rng_pause(&self, below: u64) -> u64 {
        // Spread by the clock rather than by dice, so that a restart does not change everything after it.
        self.now % below + 1
    }

    fn write(&mut self, node: usize) {
        if !self.writing {
            return;
        }
        let World { nodes, rng, counters, workload, .. } = self;
        let is_in = nodes[node].stage == Stage::In;
        let committed = workload.act(&nodes[node].app, rng, node, is_in, &mut counters[node]);
        self.writes += u64::from(committed);
        self.look_for_secrets(node);
        let wall = self.wall(node).0;
        let restamped =
            self.nodes[node].app.execute("UPDATE rowmesh_dirty SET at = ?1 WHERE at < 10000000", [wall as i64]);
        let restamped = restamped.expect("notes can be restamped") as u64;
        self.note(&restamped.to_be_bytes());
        self.plan_write(node);
    }

    fn look(&mut self, node: usize, life: u64) {
        if self.nodes[node].life != life {
            return;
        }
        let now = self.wall(node);
        self.draw_fault(node);
        if self.nodes[node].seal(now) {
            let tick = Tick(self.now);
            if let Some(daemon) = &mut self.nodes[node].daemon {
                daemon.schedule.nudge(tick);
            }
        }
        self.nodes[node].retry_parked(now);
        let pause = if self.writing { LOOK_MS } else { QUIET_LOOK_MS };
        self.plan(pause, Happening::Look { node, life });
    }

    fn call_whoever_is_due(&mut self, node: usize, life: u64) {
        let tick = Tick(self.now);
        let is_same = self.nodes[node].life == life;
        let Some(daemon) = self.nodes[node].daemon.as_mut().filter(|_| is_same) else { return };
        let due = if daemon.call.is_none() { daemon.schedule.poll_due(tick) } else { None };
        let pause = if self.writing { CALL_MS } else { QUIET_CALL_MS };
        self.plan(pause, Happening::Call { node, life });
        let Some(peer) = due else { return };
        let position = self.nodes.iter().position(|other| other.id() == peer).expect("only members are called");
        let call =
            Call { peer: position, dialer: Dialer::new(peer, Options::default()), applied: None, waiting_for: 0 };
        self.drive(node, call);
    }

    /// Goes on with an exchange until it waits for an answer or is over.
    fn drive(&mut self, node: usize, mut call: Call) {
        let now = self.wall(node);
        loop {
            let Some(step) = self.nodes[node].with_view(now, |view| call.dialer.poll_step(view)) else { return };
            match step {
                Step::Send(request) => {
                    self.read_ahead(node, &mut call);
                    return self.send_request(node, call, &request);
                }
                Step::AdoptRoster(entries) => {
                    let adopted = self.nodes[node].adopt_roster(&entries, now);
                    self.follow_roster(node);
                    call.dialer.handle_roster_adopted(&adopted);
                }
                Step::AdoptAcks(acks) => {
                    self.nodes[node].adopt_acks(&acks);
                    call.dialer.handle_acks_adopted();
                }
                Step::Apply(changesets) => {
                    self.draw_fault(node);
                    let ahead = self.nodes[node].with_view(now, |view| call.dialer.poll_ahead(view)).flatten();
                    match (self.nodes[node].apply(&changesets, now), ahead) {
                        (Some(applied), Some(Ahead::Send(request))) => {
                            call.applied = Some(applied);
                            return self.send_request(node, call, &request);
                        }
                        (Some(applied), _) => call.dialer.handle_applied(applied),
                        (None, _) => call.dialer.fail(Failure::Local("the store failed".to_owned())),
                    }
                }
                Step::ReadLog(request) => {
                    let Some(daemon) = &self.nodes[node].daemon else { return };
                    let batch = daemon.store.borrow_mut().read_log(&request).expect("the log can be read");
                    call.dialer.handle_log(batch);
                }
                Step::Done(summary) => return self.end_call(node, call.peer, Ok(summary.unfinished)),
                Step::Failed(failure, _) => return self.end_call(node, call.peer, Err(failure.may_retry())),
            }
        }
    }

    /// What can be read of the log while a push is on its way.
    fn read_ahead(&mut self, node: usize, call: &mut Call) {
        let now = self.wall(node);
        let ahead = self.nodes[node].with_view(now, |view| call.dialer.poll_ahead(view)).flatten();
        if let (Some(Ahead::ReadLog(request)), Some(daemon)) = (ahead, &self.nodes[node].daemon) {
            call.dialer.handle_log_ahead(daemon.store.borrow_mut().read_log(&request).expect("the log can be read"));
        }
    }

    /// `ended` says whether there is more to do, or whether calling again may help.
    fn end_call(&mut self, node: usize, peer: usize, ended: Result<bool, bool>) {
        let (tick, random, peer) = (Tick(self.now), self.rng.bits(), self.nodes[peer].id());
        let Some(daemon) = &mut self.nodes[node].daemon else { return };
        match ended {
            Ok(more) => daemon.schedule.succeeded(tick, &peer, more, false, random),
            Err(may_retry) => daemon.schedule.failed(tick, &peer, may_retry, random),
        }
        self.note(&[b'e', node as u8, u8::from(ended.is_ok())]);
    }

    fn send_request(&mut self, node: usize, mut call: Call, request: &Request) {
        self.requests += 1;
        let id = self.requests;
        let (peer, life) = (call.peer, self.nodes[node].life);
        call.waiting_for = id;
        if let Some(daemon) = &mut self.nodes[node].daemon {
            daemon.call = Some(call);
        }
        let (path, body) = (request.path(), request.encode());
        self.plan(ANSWER_MS, Happening::GiveUp { node, life, id });
        self.transmit(node, peer, &|| Happening::Request { from: node, life, to: peer, id, path, body: body.clone() });
    }

    /// Puts a message on a link: it may be lost, delayed, come twice, overtake others.
    pub(super) fn transmit(&mut self, from: usize, to: usize, message: &dyn Fn() -> Happening) {
        if self.broken.contains(&(from, to)) || self.rng.chance(self.faults.loss) {
            return;
        }
        let copies = 1 + usize::from(self.rng.chance(self.faults.duplication));
        for _ in 0..copies {
            let delay = self.rng.between(1, self.faults.delay_ms) as u64;
            self.plan(delay, message());
        }
    }

    fn answer(&mut self, from: usize, life: u64, to: usize, id: u64, path: Path, body: &[u8]) {
        self.note(body);
        self.overhear(body);
        self.messages += 1;
        let now = self.wall(to);
        let peer = self.nodes[from].id();
        let request = Request::decode(path, body).expect("what this simulator sends can be read");
        let responder = Responder::new(peer);
        let tick = Tick(self.now);
        let Some(answer) = self.nodes[to].with_view(now, |view| responder.handle_request(view, request)) else {
            return;
        };
        if let Some(daemon) = &mut self.nodes[to].daemon {
            daemon.schedule.heard_from(tick, &peer);
        }
        let response = match answer {
            Answer::Reply(response) => response,
            Answer::AdoptAcks(acks, response) => {
                self.nodes[to].adopt_acks(&acks);
                response
            }
            Answer::ReadLog(request) => {
                let Some(daemon) = &self.nodes[to].daemon else { return };
                let batch = daemon.store.borrow_mut().read_log(&request).expect("the log can be read");
                let Some(response) = self.nodes[to].with_view(now, |view| Responder::log_read(view, batch)) else {
                    return;
                };
                response
            }
            Answer::Apply(changesets) => {
                self.draw_fault(to);
                let Some(applied) = self.nodes[to].apply(&changesets, now) else { return };
                Responder::applied(applied)
            }
            Answer::AdoptRoster(entries) => {
                let adopted = self.nodes[to].adopt_roster(&entries, now);
                self.follow_roster(to);
                let Some(response) = self.nodes[to].with_view(now, |view| Responder::roster_adopted(view, &adopted))
                else {
                    return;
                };
                response
            }
            Answer::Join(join) => self.let_in(to, from, &join),
            Answer::Snapshot(_) => return self.send_copy(to, from, life),
            Answer::Wait(_) => unreachable!("nobody waits in this simulator"),
        };
        let body = response.encode();
        self.transmit(to, from, &|| Happening::Response { to: from, life, id, path, body: body.clone() });
    }

    fn take_response(&mut self, node: usize, life: u64, id: u64, path: Path, body: &[u8]) {
        self.note(body);
        self.overhear(body);
        self.messages += 1;
        let now = self.wall(node);
        let response = Response::decode(path, body).expect("what this simulator sends can be read");
        if path == Path::Join {
            return self.joined(node, life, response);
        }
        let Some(mut call) = self.waiting_call(node, life, id) else { return };
        match call.applied.take() {
            Some(applied) => {
                call.dialer.handle_response_ahead(response);
                call.dialer.handle_applied(applied);
            }
            None => drop(self.nodes[node].with_view(now, |view| call.dialer.handle_response(view, response))),
        }
        self.drive(node, call);
    }

    fn give_up(&mut self, node: usize, life: u64, id: u64) {
        let Some(mut call) = self.waiting_call(node, life, id) else { return };
        match call.applied.take() {
            Some(applied) => call.dialer.handle_applied(applied),
            None => call.dialer.fail(Failure::Connection("no answer".to_owned())),
        }
        self.drive(node, call);
    }

    /// The exchange that waits for this very answer, if it still does.
    fn waiting_call(&mut self, node: usize, life: u64, id: u64) -> Option<Call> {
        let same_life = self.nodes[node].life == life;
        let daemon = self.nodes[node].daemon.as_mut().filter(|_| same_life)?;
        let is_it = daemon.call.as_ref().is_some_and(|call| call.waiting_for == id);
        if is_it { daemon.call.take() } else { None }
    }

    fn look_for_secrets(&mut self, node: usize) {
        if matches!(self.workload, Workload::Filtered { .. }) {
            self.secrets.look(&self.nodes[node].app);
        }
    }

    /// Takes apart what arrives, for a filter's sake: whatever left a node and got lost on the way, another copy of it arrived.
    pub(super) fn overhear(&mut self, bytes: &[u8]) {
        if !matches!(self.workload, Workload::Filtered { .. }) {
            return;
        }
        let mut reader = FrameReader::new();
        reader.push(bytes);
        while let Some(frame) = reader.next_frame().expect("what this simulator sends can be read") {
            self.secrets.leave(&frame.payload);
        }
    }

    pub(super) fn note(&mut self, bytes: &[u8]) {
        self.trace.update(&self.now.to_be_bytes());
        self.trace.update(blake3::hash(bytes).as_bytes());
    }

    /// Remembers every value that stands in a table now and is unlike any other.
    fn witness(&mut self) {
        for node in self.nodes.iter().filter(|node| oracle::has_tables(&node.app, &self.workload)) {
            let texts = oracle::texts(&node.app, &self.workload);
            // A suffix is written by nobody.
            let texts = texts.filter(|value| !value.contains('~'));
            self.witnessed.extend(texts.filter(|value| value.len() > 1).map(|value| format!("\"{value}\"")));
        }
    }
}

/// Databases in memory are shared by name within a process: each run has its own.
static INSTANCES: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "World {{ seed: {}, now: {}, faults: {:?}, workload: {:?} }}",
            self.seed,
            self.now - EPOCH_MS,
            self.faults,
            self.workload
        )
    }
}

fn found(keys: &[Arc<SecretKey>], workload: &Workload) -> Roster {
    let now = WallTime(EPOCH_MS);
    let mut roster = Roster::found(&*keys[0], "sim", "node-0", vec![], now).expect("a roster can be founded");
    for (node, key) in keys.iter().enumerate().skip(1) {
        let member = NewMember {
            public_key: key.public_key(),
            name: format!("node-{node}"),
            role: Role::Peer,
            addresses: vec![],
            invited_by: None,
        };
        let entry = roster.add(&*keys[0], now, member).expect("the founder may add members");
        roster.insert(entry.bytes()).expect("an entry just made is good");
    }
    if matches!(workload, Workload::Filtered { .. }) {
        let entry = roster.set_scope(&*keys[0], now, filtered::scope()).expect("the founder may set the scope");
        roster.insert(entry.bytes()).expect("an entry just made is good");
    }
    roster
}
