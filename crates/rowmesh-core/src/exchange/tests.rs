//! Whole exchanges between model nodes: a set of changesets stands for the store, a list of faults for the network.
//! Rows, merging and showing are not played here.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::ack::{Ack, SignedAck};
use crate::changeset::{Changeset, Claimed, Header};
use crate::clock::Lamport;
use crate::event::{Birth, Context, Event, Operation, TableShape};
use crate::ident::{Dot, MeshId, Seq};
use crate::invite::{Attempt, Invite, InviteSecret, Redeemed};
use crate::roster::{Inserted, NewMember, Role, Scope};
use crate::sign::{SecretKey, Signer};
use crate::value::Value;
use crate::wire::message::code;
use crate::wire::{Join, Path, Pull, Report, Request, Response, Tally, Wait, WakeReason};

mod ahead;

const NOW: WallTime = WallTime(1_700_000_000_000);

/// A node without a database: its store is the set of changesets that it has taken in.
struct Node {
    key: SecretKey,
    incarnation: Incarnation,
    roster: Roster,
    acks: AckStore,
    counter: u64,
    log: BTreeMap<Dot, Changeset>,
    order: Vec<Dot>,
    vector: VersionVector,
    floor: VersionVector,
    clock: WallTime,
    paused: bool,
}

impl Node {
    fn new(n: u8, roster: Roster) -> Node {
        Node {
            key: key(n),
            incarnation: Incarnation { count: 1, nonce: u64::from(n) },
            roster,
            acks: AckStore::new(),
            counter: 0,
            log: BTreeMap::new(),
            order: Vec::new(),
            vector: VersionVector::new(),
            floor: VersionVector::new(),
            clock: NOW,
            paused: false,
        }
    }

    fn id(&self) -> NodeId {
        self.key.node_id()
    }

    fn origin(&self) -> Origin {
        Origin { node: self.id(), incarnation: self.incarnation }
    }

    fn view(&self) -> View<'_> {
        View {
            node: self.id(),
            incarnation: self.incarnation,
            roster: &self.roster,
            acks: &self.acks,
            vector: &self.vector,
            floor: &self.floor,
            schema: Digest::default(),
            fingerprints: &[],
            now: self.clock,
            cannot_be_dialled: false,
            receiving_paused: self.paused,
        }
    }

    fn header(&self) -> Header {
        let origin = self.origin();
        let last = self.vector.get(&origin);
        let previous = self.log.get(&Dot { origin, seq: last }).map(Changeset::hash).unwrap_or_default();
        Header {
            mesh: self.roster.mesh(),
            dot: Dot { origin, seq: last.next() },
            previous,
            epoch: self.roster.epoch(),
            roster: self.roster.hash(),
            context: Context { vector: self.vector.clone(), parked: Arc::default() },
            part: 1,
            parts: 1,
            sealed_at: self.clock,
            lamport_max: Lamport::at(self.clock),
        }
    }

    fn make(&self, header: Header) -> Changeset {
        let shape = TableShape { name: "t".into(), columns: vec!["id".into()], key: vec![0] };
        let event = Event {
            table: 0,
            operation: Operation::Insert,
            lamport: Lamport::at(self.clock),
            birth: Birth::Here,
            before: vec![],
            written: vec![(0, Value::Integer(header.dot.seq.0 as i64))],
            salt: [1; 16],
            extras: vec![],
        };
        Changeset::seal(header, vec![shape], vec![event], &self.key)
    }

    fn seal(&mut self) -> Dot {
        let changeset = self.make(self.header());
        let dot = changeset.dot();
        self.take(changeset);
        dot
    }

    fn seal_many(&mut self, count: usize) {
        for _ in 0..count {
            self.seal();
        }
    }

    fn take(&mut self, changeset: Changeset) {
        let dot = changeset.dot();
        assert!(self.vector.includes(&changeset.header().context.vector), "{dot} before its causes");
        assert_eq!(self.vector.get(&dot.origin).next(), dot.seq, "{dot} after a gap or twice");
        self.vector.raise(dot);
        self.order.push(dot);
        self.log.insert(dot, changeset);
    }

    fn sort(&self, changesets: Vec<Arc<[u8]>>) -> Sorted {
        let hash_of = |dot: &Dot| self.log.get(dot).map(Changeset::hash);
        sort_out(&Known { now: self.clock, vector: &self.vector, roster: &self.roster, hash_of: &hash_of }, changesets)
    }

    fn apply(&mut self, changesets: Vec<Arc<[u8]>>) -> Applied {
        let sorted = self.sort(changesets);
        let mut taken = Tally::default();
        for changeset in sorted.take {
            let (events, bytes) = (changeset.events().len() as u64, changeset.bytes().len() as u64);
            taken.add(Tally { changesets: 1, events, bytes });
            self.take(changeset);
        }
        let Sorted { duplicates, held, refused, .. } = sorted;
        Applied { vector: self.vector.clone(), taken, duplicates, held, refused }
    }

    fn read(&self, request: LogRequest) -> LogBatch {
        let mut picker = LogPicker::new(request);
        let mut batch = LogBatch::default();
        for dot in &self.order {
            let Some(changeset) = self.log.get(dot) else { continue };
            match picker.offer(changeset.header(), changeset.bytes().len()) {
                Pick::Take => batch.changesets.push(changeset.bytes().clone()),
                Pick::Skip => {}
                Pick::Full => {
                    batch.more = true;
                    break;
                }
            }
        }
        batch
    }

    fn keep_acks(&mut self, acks: Vec<Arc<[u8]>>) {
        for bytes in acks {
            if let Ok(ack) = SignedAck::verify(&bytes, &self.roster) {
                self.acks.keep(ack);
            }
        }
    }

    fn acknowledge(&mut self) {
        let known = self.acks.get(&self.id()).map(|ack| ack.ack());
        if known.is_some_and(|ack| ack.vector == self.vector && ack.epoch == self.roster.epoch()) {
            return;
        }
        self.counter += 1;
        let ack = Ack {
            mesh: self.roster.mesh(),
            origin: self.origin(),
            counter: self.counter,
            vector: self.vector.clone(),
            epoch: self.roster.epoch(),
            at: self.clock,
        };
        self.acks.keep(SignedAck::sign(ack, &self.key));
    }

    fn respond(&mut self, caller: NodeId, path: Path, body: &[u8]) -> Vec<u8> {
        let request = Request::decode(path, body).expect("our own request can be read");
        let answer = Responder::new(caller).handle_request(&self.view(), request);
        let response = match answer {
            Answer::Reply(response) => response,
            Answer::AdoptAcks(acks, response) => {
                self.keep_acks(acks);
                response
            }
            Answer::AdoptRoster(entries) => {
                let adopted = self.roster.adopt(entries);
                Responder::roster_adopted(&self.view(), &adopted)
            }
            Answer::ReadLog(request) => {
                let batch = self.read(request);
                Responder::log_read(&self.view(), batch)
            }
            Answer::Apply(changesets) => Responder::applied(self.apply(changesets)),
            other => panic!("no such request is made here: {other:?}"),
        };
        response.encode()
    }
}

/// What goes wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    RequestLost,
    AnswerLost,
    RequestTwice,
    Shuffled,
}

/// One exchange over a line with faults, as its two ends see it.
fn exchange(nodes: &mut [Node], from: usize, to: usize, options: Options, faults: &mut dyn FnMut() -> Fault) -> Step {
    let callee = nodes[to].id();
    nodes[from].acknowledge();
    nodes[to].acknowledge();
    let mut dialer = Dialer::new(callee, options);
    for _ in 0..10_000 {
        let node = &mut nodes[from];
        match dialer.poll_step(&node.view()) {
            Step::AdoptRoster(entries) => {
                let adopted = node.roster.adopt(entries);
                dialer.handle_roster_adopted(&adopted);
            }
            Step::AdoptAcks(acks) => {
                node.keep_acks(acks);
                dialer.handle_acks_adopted();
            }
            Step::Apply(changesets) => {
                let ahead = dialer.poll_ahead(&node.view());
                let applied = node.apply(changesets);
                if let Some(Ahead::Send(request)) = ahead
                    && let Some(response) = carried(nodes, from, to, request, faults())
                {
                    dialer.handle_response_ahead(response);
                }
                dialer.handle_applied(applied);
            }
            Step::ReadLog(request) => dialer.handle_log(node.read(request)),
            Step::Send(request) => {
                if let Some(Ahead::ReadLog(request)) = dialer.poll_ahead(&node.view()) {
                    dialer.handle_log_ahead(node.read(request));
                }
                match carried(nodes, from, to, request, faults()) {
                    Some(response) => dialer.handle_response(&nodes[from].view(), response),
                    None => dialer.fail(Failure::Connection("lost".into())),
                }
            }
            over => return over,
        }
    }
    panic!("an exchange that never ends");
}

/// A request and its answer over a line with a fault.
fn carried(nodes: &mut [Node], from: usize, to: usize, request: Request, fault: Fault) -> Option<Response> {
    let (caller, path) = (nodes[from].id(), request.path());
    let body = if fault == Fault::Shuffled { shuffled(request).encode() } else { request.encode() };
    if fault == Fault::RequestLost {
        return None;
    }
    let mut answer = nodes[to].respond(caller, path, &body);
    if fault == Fault::RequestTwice {
        answer = nodes[to].respond(caller, path, &body);
    }
    if fault == Fault::AnswerLost {
        return None;
    }
    let mut response = Response::decode(path, &answer).expect("our own answer can be read");
    if let (Fault::Shuffled, Response::Batch(batch)) = (fault, &mut response) {
        batch.changesets.reverse();
    }
    Some(response)
}

fn shuffled(request: Request) -> Request {
    match request {
        Request::Push(mut batch) => {
            batch.changesets.reverse();
            Request::Push(batch)
        }
        other => other,
    }
}

fn well(nodes: &mut [Node], from: usize, to: usize) -> Summary {
    match exchange(nodes, from, to, Options::default(), &mut || Fault::None) {
        Step::Done(summary) => *summary,
        other => panic!("{other:?}"),
    }
}

fn failure(nodes: &mut [Node], from: usize, to: usize) -> Failure {
    match exchange(nodes, from, to, Options::default(), &mut || Fault::None) {
        Step::Failed(failure, _) => failure,
        other => panic!("{other:?}"),
    }
}

fn key(n: u8) -> SecretKey {
    SecretKey::from_seed([n; 32])
}

fn new_member(n: u8) -> NewMember {
    NewMember {
        public_key: key(n).public_key(),
        name: format!("node {n}"),
        role: Role::Peer,
        addresses: vec![],
        invited_by: None,
    }
}

fn insert(roster: &mut Roster, bytes: &[u8]) {
    assert!(matches!(roster.insert(bytes), Ok(Inserted::New(_))));
}

/// Nodes 1 … count of one mesh; node 1 is its admin.
fn mesh(count: u8) -> Vec<Node> {
    let mut roster = Roster::found(&key(1), "shops", "node 1", vec![], NOW).unwrap();
    for n in 2..=count {
        let entry = roster.add(&key(1), NOW, new_member(n)).unwrap();
        insert(&mut roster, entry.bytes());
    }
    (1..=count).map(|n| Node::new(n, roster.clone())).collect()
}

fn codes(reports: &[Report]) -> Vec<&str> {
    reports.iter().map(|report| report.code.as_str()).collect()
}

fn verdict(node: &Node, changeset: &Changeset) -> Admission {
    let hash_of = |dot: &Dot| node.log.get(dot).map(Changeset::hash);
    let known = Known { now: node.clock, vector: &node.vector, roster: &node.roster, hash_of: &hash_of };
    admit(&known, Claimed::decode(changeset.bytes()).unwrap())
}

fn refused_with(node: &Node, changeset: &Changeset) -> String {
    match verdict(node, changeset) {
        Admission::Refused(report) => report.code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn both_sides_have_everything_after_one_call() {
    let mut nodes = mesh(2);
    nodes[0].seal_many(3);
    nodes[1].seal_many(2);
    let summary = well(&mut nodes, 0, 1);
    assert_eq!((summary.received.changesets, summary.sent.changesets), (2, 3));
    assert_eq!(nodes[0].vector, nodes[1].vector);
    assert!(!summary.unfinished && summary.held.is_empty());
    assert!(nodes[0].vector.includes(&summary.peer_vector));
}

#[test]
fn an_idle_exchange_is_one_request() {
    let mut nodes = mesh(2);
    nodes[0].seal();
    well(&mut nodes, 0, 1);
    well(&mut nodes, 0, 1);
    assert_eq!(well(&mut nodes, 0, 1).requests, 1);
}

#[test]
fn j10_a_node_that_nobody_can_call_gives_and_gets_over_its_own_call() {
    let mut nodes = mesh(3);
    nodes[1].seal();
    well(&mut nodes, 2, 1);
    nodes[2].seal();
    well(&mut nodes, 2, 1);
    well(&mut nodes, 0, 1);
    assert_eq!(nodes[0].vector, nodes[2].vector);
}

#[test]
fn a_backlog_comes_in_many_bounded_batches() {
    let mut nodes = mesh(2);
    nodes[1].seal_many(200);
    let options = Options { max_bytes: 1_000, ..Options::default() };
    let Step::Done(summary) = exchange(&mut nodes, 0, 1, options, &mut || Fault::None) else { panic!("failed") };
    assert_eq!(summary.received.changesets, 200);
    assert!(summary.requests > 40 && summary.requests < 200, "{}", summary.requests);
    let Step::Done(back) = exchange(&mut nodes, 1, 0, options, &mut || Fault::None) else { panic!("failed") };
    assert_eq!(back.sent, Tally::default());
}

#[test]
fn what_depends_on_an_origin_that_is_left_out_is_left_out_too() {
    let mut nodes = mesh(3);
    nodes[0].seal();
    well(&mut nodes, 1, 0);
    nodes[1].seal();
    let independent = nodes[2].seal();
    well(&mut nodes, 1, 2);
    let batch = nodes[1].read(LogRequest::new(VersionVector::new(), [nodes[0].origin()], 1));
    assert_eq!(batch.changesets, [nodes[2].log[&independent].bytes().clone()]);
    assert!(!batch.more);
}

#[test]
fn a_paused_receiver_still_gives() {
    let mut nodes = mesh(2);
    nodes[0].seal();
    nodes[1].seal();
    nodes[1].paused = true;
    let summary = well(&mut nodes, 0, 1);
    assert_eq!((summary.received.changesets, summary.sent.changesets), (1, 0));
    assert_eq!(summary.push_refused.unwrap().code, code::BUSY);
    let summary = well(&mut nodes, 1, 0);
    assert_eq!(summary.received.changesets, 0, "nor does it ask");
}

#[test]
fn j1_what_comes_twice_is_taken_once() {
    let mut nodes = mesh(2);
    nodes[0].seal_many(3);
    exchange(&mut nodes, 0, 1, Options::default(), &mut || Fault::RequestTwice);
    assert_eq!(nodes[0].vector, nodes[1].vector);
    let bytes: Vec<Arc<[u8]>> = nodes[0].log.values().map(|changeset| changeset.bytes().clone()).collect();
    let applied = nodes[1].apply(bytes);
    assert_eq!((applied.duplicates, applied.taken.changesets), (3, 0));
}

#[test]
fn j2_s36_changesets_out_of_order_are_brought_into_order() {
    let mut nodes = mesh(2);
    nodes[0].seal_many(5);
    let mut bytes: Vec<Arc<[u8]>> = nodes[0].log.values().map(|changeset| changeset.bytes().clone()).collect();
    bytes.reverse();
    assert_eq!(nodes[1].apply(bytes).taken.changesets, 5);
}

#[test]
fn j2_s37_a_changeset_after_a_gap_is_not_taken() {
    let mut nodes = mesh(2);
    nodes[0].seal_many(5);
    let mut bytes: Vec<Arc<[u8]>> = nodes[0].log.values().map(|changeset| changeset.bytes().clone()).collect();
    bytes.remove(2);
    let applied = nodes[1].apply(bytes);
    assert_eq!((applied.taken.changesets, codes(&applied.held)), (2, vec![code::GAP, code::GAP]));
}

#[test]
fn s37_a_changeset_that_does_not_follow_on_the_one_here_is_refused() {
    let mut nodes = mesh(2);
    nodes[0].seal();
    well(&mut nodes, 0, 1);
    let forked = Header { previous: Digest([9; 32]), ..nodes[0].header() };
    let forked = nodes[0].make(forked);
    assert_eq!(refused_with(&nodes[1], &forked), code::EQUIVOCATION);
}

#[test]
fn k18_s38_two_changesets_of_one_name_are_noticed() {
    let mut nodes = mesh(2);
    let header = nodes[0].header();
    nodes[0].seal();
    well(&mut nodes, 0, 1);
    let other = nodes[0].make(Header { sealed_at: WallTime(1), ..header });
    assert_eq!(refused_with(&nodes[1], &other), code::EQUIVOCATION);
}

#[test]
fn k8_s39_a_changeset_replayed_after_it_was_pruned_is_a_duplicate() {
    let mut nodes = mesh(2);
    let dot = nodes[0].seal();
    well(&mut nodes, 0, 1);
    let replayed = nodes[1].log.remove(&dot).unwrap();
    assert!(matches!(verdict(&nodes[1], &replayed), Admission::Duplicate(known) if known == dot));
}

#[test]
fn k1_s34_a_changeset_that_another_node_signed_is_refused() {
    let nodes = mesh(3);
    // Node 3 seals in the name of node 2.
    let forged = nodes[2].make(Header { dot: Dot { origin: nodes[1].origin(), seq: Seq(1) }, ..nodes[2].header() });
    assert_eq!(refused_with(&nodes[0], &forged), code::CHANGESET_FORGED);
    let elsewhere = nodes[1].make(Header { mesh: MeshId([9; 32]), ..nodes[1].header() });
    assert_eq!(refused_with(&nodes[0], &elsewhere), code::OTHER_MESH);
}

#[test]
fn a_changeset_of_an_unknown_node_waits_for_the_roster() {
    let nodes = mesh(2);
    let stranger = Node::new(9, nodes[0].roster.clone());
    let changeset = stranger.make(stranger.header());
    assert!(matches!(verdict(&nodes[0], &changeset), Admission::Held(_, HoldReason::UnknownOrigin)));
}

#[test]
fn a_changeset_before_its_causes_waits() {
    let mut nodes = mesh(3);
    let cause = nodes[1].seal();
    well(&mut nodes, 2, 1);
    nodes[2].seal();
    let effect = nodes[2].log[&Dot { origin: nodes[2].origin(), seq: Seq(1) }].clone();
    match verdict(&nodes[0], &effect) {
        Admission::Held(_, HoldReason::MissingContext { lacking }) => assert_eq!(lacking, cause),
        other => panic!("{other:?}"),
    }
}

#[test]
fn c4_a_changeset_is_held_from_the_first_millisecond_beyond_the_bound() {
    let mut nodes = mesh(2);
    nodes[1].clock = WallTime(NOW.0 + limits::DRIFT_MS_MAX);
    assert!(matches!(verdict(&nodes[0], &nodes[1].make(nodes[1].header())), Admission::Take(_)));
    nodes[1].clock = WallTime(nodes[1].clock.0 + 1);
    let held = verdict(&nodes[0], &nodes[1].make(nodes[1].header()));
    assert!(matches!(held, Admission::Held(_, HoldReason::ClockAhead { .. })));
}

#[test]
fn q23_what_a_closed_incarnation_left_is_taken_in_up_to_its_end_and_never_beyond() {
    let mut nodes = mesh(2);
    nodes[1].clock = WallTime(NOW.0 + 3_600_000);
    nodes[1].seal_many(2);
    let origin = nodes[1].origin();
    let at = |node: &Node, seq: u64| node.log[&Dot { origin, seq: Seq(seq) }].clone();
    let (first, second) = (at(&nodes[1], 1), at(&nodes[1], 2));
    assert!(matches!(verdict(&nodes[0], &first), Admission::Held(_, HoldReason::ClockAhead { .. })));
    let close = nodes[1].roster.close(&key(2), NOW, origin, Seq(1), first.header().lamport_max).unwrap();
    nodes[0].roster.insert(close.bytes()).unwrap();
    assert!(matches!(verdict(&nodes[0], &first), Admission::Take(_)));
    nodes[0].vector.raise(first.dot());
    assert_eq!(refused_with(&nodes[0], &second), code::ABOVE_CUT);
    let witness = nodes[0].roster.clone();
    let held: VersionVector = [second.dot()].into_iter().collect();
    let entry = witness.witness(&key(1), NOW, nodes[1].id(), &held, second.header().lamport_max).unwrap().unwrap();
    nodes[0].roster.insert(entry.bytes()).unwrap();
    assert!(matches!(verdict(&nodes[0], &second), Admission::Take(_)), "somebody has taken it in: everybody does");
}

#[test]
fn k2_an_event_later_than_the_signed_latest_time_is_refused() {
    let nodes = mesh(2);
    let lying = nodes[1].make(Header { lamport_max: Lamport(1), ..nodes[1].header() });
    assert_eq!(refused_with(&nodes[0], &lying), code::CHANGESET_MALFORMED);
}

#[test]
fn q23_one_origin_with_a_clock_an_hour_ahead_holds_up_nobody_else() {
    let mut nodes = mesh(4);
    nodes[1].clock = WallTime(NOW.0 + 3_600_000);
    nodes[1].seal_many(5);
    nodes[2].seal_many(5);
    // Node 3 (index 2) has taken nothing of node 2; node 4 has a slow clock too and so takes it, and goes on from there.
    nodes[3].clock = nodes[1].clock;
    well(&mut nodes, 3, 1);
    nodes[3].seal();
    nodes[3].clock = NOW;
    nodes[3].seal();
    well(&mut nodes, 2, 3);
    let options = Options { max_bytes: 300, ..Options::default() };
    let Step::Done(summary) = exchange(&mut nodes, 0, 3, options, &mut || Fault::None) else { panic!("failed") };
    assert_eq!(summary.received.changesets, 5, "those of node 3");
    assert!(codes(&summary.held).contains(&code::CLOCK_AHEAD));
    // Its peers tell the origin, too.
    let told = well(&mut nodes, 1, 0);
    assert_eq!(codes(&told.held_by_peer)[0], code::CLOCK_AHEAD);
    // Once time has passed, everything that was held comes by itself.
    nodes.iter_mut().for_each(|node| node.clock = WallTime(NOW.0 + 3_600_000));
    well(&mut nodes, 0, 3);
    assert_eq!(nodes[0].vector, nodes[3].vector);
}

#[test]
fn q20_the_roster_goes_first_and_changesets_of_older_epochs_flow() {
    let mut nodes = mesh(3);
    let scope = Scope { exclude: vec!["sessions".into()], ..Scope::default() };
    let entry = nodes[0].roster.set_scope(&key(1), NOW, scope.clone()).unwrap();
    insert(&mut nodes[0].roster, entry.bytes());
    nodes[0].seal();
    nodes[2].seal();
    // Sealed under a later roster: held where that is not known, however it came.
    let newer = nodes[0].log.values().next().unwrap().clone();
    assert!(matches!(verdict(&nodes[2], &newer), Admission::Held(_, HoldReason::UnknownEpoch(4))));
    let summary = well(&mut nodes, 1, 0);
    assert_eq!((summary.roster_received, summary.received.changesets), (1, 1));
    let summary = well(&mut nodes, 1, 2);
    assert_eq!((summary.roster_sent, summary.received.changesets, summary.sent.changesets), (1, 1, 1));
    assert_eq!(nodes[2].roster.scope(), Some(&scope));
}

#[test]
fn a_third_node_that_joined_through_the_second_becomes_known_to_the_first() {
    let mut nodes = mesh(2);
    let entry = nodes[1].roster.add(&key(2), NOW, new_member(3)).unwrap();
    insert(&mut nodes[1].roster, entry.bytes());
    let third = Node::new(3, nodes[1].roster.clone());
    nodes.push(third);
    nodes[2].seal();
    well(&mut nodes, 2, 1);
    well(&mut nodes, 0, 1);
    assert!(nodes[0].roster.is_member(&nodes[2].id()));
    assert_eq!(nodes[0].vector, nodes[2].vector);
    well(&mut nodes, 0, 2);
}

#[test]
fn a_roster_larger_than_a_message_is_brought_over_in_parts_both_ways() {
    let mut nodes = mesh(2);
    for (n, from) in [(0, 1), (1, 2)] {
        for i in 0..100 {
            let scope = Scope { exclude: vec!["x".repeat(limits::RULE_BYTES_MAX); 3], ..Scope::default() };
            let entry = match from {
                1 => nodes[n].roster.set_scope(&key(1), WallTime(i), scope).unwrap(),
                _ => nodes[n].roster.rename(&key(2), WallTime(i), format!("name {i}")).unwrap(),
            };
            insert(&mut nodes[n].roster, entry.bytes());
        }
    }
    let summary = well(&mut nodes, 1, 0);
    assert_eq!((summary.roster_received, summary.roster_sent), (100, 100));
    assert_eq!(nodes[0].roster.hash(), nodes[1].roster.hash());
    assert_eq!(nodes[0].roster.epoch(), nodes[1].roster.epoch());
}

#[test]
fn k7_s17_a_removed_node_is_refused_and_what_it_sealed_up_to_the_cut_stays_good() {
    let mut nodes = mesh(3);
    nodes[2].seal();
    well(&mut nodes, 0, 2);
    let entry = nodes[0].roster.revoke(&key(1), NOW, nodes[2].id(), &nodes[0].vector.clone()).unwrap();
    insert(&mut nodes[0].roster, entry.bytes());
    nodes[2].seal();
    let refusal = failure(&mut nodes, 2, 0);
    assert!(matches!(&refusal, Failure::Refused(refusal) if refusal.code == code::REMOVED));
    assert!(!refusal.may_retry());
    // A friend who has not heard of it takes the second one in and passes it on: the first is taken, the second refused.
    well(&mut nodes, 1, 2);
    let summary = well(&mut nodes, 1, 0);
    assert_eq!(codes(&summary.refused_by_peer), [code::ABOVE_CUT]);
    assert_eq!(nodes[0].vector.get(&nodes[2].origin()), Seq(1));
}

#[test]
fn g7_a_witness_brings_over_what_a_member_took_before_it_knew() {
    let mut nodes = mesh(3);
    nodes[2].seal();
    well(&mut nodes, 1, 2);
    let entry = nodes[0].roster.revoke(&key(1), NOW, nodes[2].id(), &VersionVector::new()).unwrap();
    insert(&mut nodes[0].roster, entry.bytes());
    nodes[1].seal();
    let summary = well(&mut nodes, 0, 1);
    assert_eq!(summary.received.changesets, 0, "what node 2 sealed refers to what node 1 refuses");
    let vector = nodes[1].vector.clone();
    let witness = nodes[1].roster.witness(&key(2), NOW, nodes[2].id(), &vector, Lamport(0)).unwrap().unwrap();
    insert(&mut nodes[1].roster, witness.bytes());
    assert_eq!(well(&mut nodes, 0, 1).received.changesets, 2);
    assert_eq!(nodes[0].vector, nodes[1].vector);
}

#[test]
fn s1_s14_s16_s20_strangers_liars_other_meshes_and_ourselves_are_refused() {
    let mut nodes = mesh(2);
    let other_mesh = Roster::found(&key(1), "elsewhere", "node 1", vec![], NOW).unwrap();
    let refused = |answer: Answer| match answer {
        Answer::Reply(Response::Refused(refusal)) => refusal.code,
        other => panic!("{other:?}"),
    };
    let ask = |caller: &Node, hello: Hello| {
        refused(Responder::new(caller.id()).handle_request(&nodes[0].view(), Request::Hello(Box::new(hello))))
    };
    let stranger = Node::new(9, nodes[0].roster.clone());
    assert_eq!(ask(&stranger, stranger.view().hello()), code::NOT_A_MEMBER);
    assert_eq!(ask(&nodes[1], Hello { node: stranger.id(), ..nodes[1].view().hello() }), code::OTHER_IDENTITY);
    assert_eq!(ask(&nodes[1], Hello { mesh: other_mesh.mesh(), ..nodes[1].view().hello() }), code::OTHER_MESH);
    assert_eq!(ask(&nodes[0], nodes[0].view().hello()), code::SELF);
    let future = Hello { protocol_min: 7, protocol_max: 9, ..nodes[1].view().hello() };
    assert_eq!(ask(&nodes[1], future), code::NO_COMMON_PROTOCOL);
    // Every request is judged by the roster of its moment, not only the first.
    let pull = Request::Pull(Pull {
        vector: VersionVector::new(),
        coming: VersionVector::new(),
        except: vec![],
        max_bytes: 1,
    });
    assert_eq!(refused(Responder::new(stranger.id()).handle_request(&nodes[0].view(), pull)), code::NOT_A_MEMBER);

    let mut dialer = Dialer::new(nodes[1].id(), Options::default());
    let reply = crate::wire::HelloReply { protocol: 1, hello: nodes[0].view().hello() };
    dialer.handle_response(&nodes[0].view(), Response::Hello(Box::new(reply)));
    assert!(matches!(dialer.poll_step(&nodes[0].view()), Step::Failed(Failure::Myself, _)));
    nodes[1].roster = other_mesh;
    assert!(matches!(failure(&mut nodes, 0, 1), Failure::Refused(_)));
}

#[test]
fn an_answer_to_another_question_ends_the_exchange() {
    let nodes = mesh(2);
    let mut dialer = Dialer::new(nodes[1].id(), Options::default());
    dialer.poll_step(&nodes[0].view());
    dialer.handle_response(&nodes[0].view(), Response::Pushed(Applied::default()));
    assert!(matches!(dialer.poll_step(&nodes[0].view()), Step::Failed(Failure::OutOfPlace(_), _)));
    dialer.handle_log(LogBatch::default());
    assert!(matches!(dialer.poll_step(&nodes[0].view()), Step::Failed(Failure::OutOfPlace(_), _)));
}

#[test]
fn an_observer_reads_and_what_it_writes_goes_nowhere() {
    let mut nodes = mesh(2);
    let observer = NewMember { role: Role::Observer, ..new_member(3) };
    let entry = nodes[0].roster.add(&key(1), NOW, observer).unwrap();
    insert(&mut nodes[0].roster, entry.bytes());
    let third = Node::new(3, nodes[0].roster.clone());
    nodes.push(third);
    nodes[0].seal();
    nodes[2].seal();
    let summary = well(&mut nodes, 2, 0);
    assert_eq!((summary.received.changesets, summary.sent.changesets), (1, 0));
    let summary = well(&mut nodes, 0, 2);
    assert_eq!(codes(&summary.refused), [code::READ_ONLY]);
    let push = Request::Push(crate::wire::Batch::default());
    let answer = Responder::new(nodes[2].id()).handle_request(&nodes[0].view(), push);
    assert!(matches!(answer, Answer::Reply(Response::Refused(refusal)) if refusal.code == code::NOT_ALLOWED));
}

#[test]
fn a_peer_that_has_pruned_what_we_lack_says_so_and_gives_the_rest() {
    let mut nodes = mesh(3);
    nodes[1].seal_many(4);
    nodes[2].seal();
    well(&mut nodes, 1, 2);
    let pruned = Dot { origin: nodes[1].origin(), seq: Seq(2) };
    nodes[1].floor.raise(pruned);
    nodes[1].log.retain(|dot, _| !(dot.origin == pruned.origin && dot.seq <= pruned.seq));
    let summary = well(&mut nodes, 0, 1);
    assert!(summary.we_need_older);
    assert_eq!((summary.received.changesets, codes(&summary.held)), (1, vec![]));
    assert!(well(&mut nodes, 1, 0).peer_needs_older);
}

#[test]
fn a_peer_that_sends_the_same_again_and_again_is_asked_no_more() {
    let mut nodes = mesh(2);
    nodes[1].seal();
    let bytes: Vec<Arc<[u8]>> = nodes[1].log.values().map(|changeset| changeset.bytes().clone()).collect();
    let mut dialer = Dialer::new(nodes[1].id(), Options::default());
    let hello = Hello {
        vector: [Dot { origin: nodes[1].origin(), seq: Seq(1_000_000) }].into_iter().collect(),
        ..nodes[1].view().hello()
    };
    let reply = crate::wire::HelloReply { protocol: 1, hello };
    dialer.handle_response(&nodes[0].view(), Response::Hello(Box::new(reply)));
    let mut pulls = 0;
    loop {
        let node = &mut nodes[0];
        match dialer.poll_step(&node.view()) {
            Step::Send(Request::Pull(_)) => {
                pulls += 1;
                let end = crate::wire::End { more: true, ..Default::default() };
                let batch = crate::wire::Batch { changesets: bytes.clone(), end };
                dialer.handle_response(&node.view(), Response::Batch(batch));
            }
            Step::Apply(changesets) => dialer.handle_applied(node.apply(changesets)),
            Step::Done(summary) => break assert!(summary.unfinished),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(pulls, 2);
}

#[test]
fn k17_an_exchange_is_bounded_in_requests() {
    let mut nodes = mesh(2);
    let mut dialer = Dialer::new(nodes[1].id(), Options::default());
    let hello = Hello {
        vector: [Dot { origin: nodes[1].origin(), seq: Seq(limits::NUMBER_MAX) }].into_iter().collect(),
        ..nodes[1].view().hello()
    };
    let reply = crate::wire::HelloReply { protocol: 1, hello };
    dialer.handle_response(&nodes[0].view(), Response::Hello(Box::new(reply)));
    let summary = loop {
        match dialer.poll_step(&nodes[0].view()) {
            Step::Send(Request::Pull(_)) => {
                nodes[1].seal();
                let last = nodes[1].order.last().copied().unwrap();
                let batch = crate::wire::Batch {
                    changesets: vec![nodes[1].log[&last].bytes().clone()],
                    end: crate::wire::End { more: true, ..Default::default() },
                };
                dialer.handle_response(&nodes[0].view(), Response::Batch(batch));
            }
            Step::Apply(changesets) => dialer.handle_applied(nodes[0].apply(changesets)),
            Step::Done(summary) => break summary,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(summary.requests, limits::EXCHANGE_REQUESTS_MAX);
    assert_eq!(summary.received.changesets, u64::from(limits::EXCHANGE_REQUESTS_MAX) - 1);
    assert!(summary.unfinished);
}

#[test]
fn a_waiting_node_is_woken_by_changes_and_by_the_roster_only() {
    let mut nodes = mesh(2);
    let wait = |node: &Node| Wait {
        vector: node.vector.clone(),
        roster: node.roster.hash(),
        max_ms: u64::MAX >> 2,
        except: Vec::new(),
    };
    let before = wait(&nodes[0]);
    let answer = Responder::new(nodes[1].id()).handle_request(&nodes[0].view(), Request::Wait(before.clone()));
    assert!(matches!(answer, Answer::Wait(Wait { max_ms: limits::WAIT_MS_MAX, .. })));
    assert_eq!(responder::wake_reason(&nodes[0].view(), &before), None);
    nodes[0].seal();
    assert_eq!(responder::wake_reason(&nodes[0].view(), &before), Some(WakeReason::Changes));
    // Nor by what it holds back, while what others have made wakes it.
    let own = nodes[0].vector.dots().map(|dot| dot.origin).collect();
    let holding = Wait { except: own, ..before.clone() };
    assert_eq!(responder::wake_reason(&nodes[0].view(), &holding), None);
    let strangers = nodes[1].vector.dots().map(|dot| dot.origin).collect();
    let holding = Wait { except: strangers, ..before.clone() };
    assert_eq!(responder::wake_reason(&nodes[0].view(), &holding), Some(WakeReason::Changes));
    let entry = nodes[0].roster.rename(&key(1), NOW, "new".into()).unwrap();
    insert(&mut nodes[0].roster, entry.bytes());
    assert_eq!(responder::wake_reason(&nodes[0].view(), &before), Some(WakeReason::Roster));
}

#[test]
fn a_node_joins_with_an_invite_and_then_exchanges() {
    let mut nodes = mesh(1);
    nodes[0].seal();
    let invite = Invite {
        mesh: nodes[0].roster.mesh(),
        inviter: nodes[0].id(),
        addresses: vec!["h:1".into()],
        secret: InviteSecret::new([4; 16]),
        expires: WallTime(NOW.0 + 1_000),
        role: Role::Peer,
    };
    let mut record = invite.record(1);
    let (exporter, joiner) = ([6; 32], key(2));
    let join = Join {
        protocol_min: 1,
        protocol_max: 1,
        mesh: invite.mesh,
        invite: invite.secret.id(),
        proof: invite.proof(&exporter, &joiner.node_id()),
        name: "depot".into(),
        public_key: joiner.public_key(),
        addresses: vec![],
        schema: Digest::default(),
        now: NOW,
    };
    let request = |join: Join| Request::Join(Box::new(join));
    // Under another key than that of the connection it is not even looked at.
    let other = Responder::new(key(3).node_id()).handle_request(&nodes[0].view(), request(join.clone()));
    assert!(matches!(other, Answer::Reply(Response::Refused(refusal)) if refusal.code == code::OTHER_IDENTITY));
    let answer = Responder::new(joiner.node_id()).handle_request(&nodes[0].view(), request(join));
    let Answer::Join(join) = answer else { panic!("{answer:?}") };
    let attempt = Attempt {
        mesh: join.mesh,
        id: join.invite,
        proof: join.proof,
        joiner: joiner.node_id(),
        inviter: nodes[0].id(),
        exporter: &exporter,
    };
    assert_eq!(record.redeem(NOW, &attempt), Redeemed::Ok { role: Role::Peer, again: false });
    let member = NewMember { name: join.name.clone(), ..new_member(2) };
    let entry = nodes[0].roster.add(&key(1), NOW, member).unwrap();
    insert(&mut nodes[0].roster, entry.bytes());
    let Response::Joined(reply) = Responder::joined(&nodes[0].view()) else { panic!("refused") };
    let roster = Roster::from_entries(invite.mesh, reply.entries).unwrap();
    nodes.push(Node::new(2, roster));
    assert_eq!(well(&mut nodes, 1, 0).received.changesets, 1);
    let dead = Responder::join_refused(&Redeemed::Used { by: joiner.node_id(), at: NOW });
    assert!(matches!(dead, Response::Refused(refusal) if refusal.code == code::INVITE_DEAD && !refusal.may_retry()));
}

/// One step of a history: somebody writes, or two nodes call over a bad line.
#[derive(Clone, Debug)]
enum Act {
    Seal(usize),
    Rename(usize),
    Call { from: usize, to: usize, faults: Vec<u8>, max_bytes: u64 },
}

fn acts(count: usize) -> impl Strategy<Value = Vec<Act>> {
    let call = (0..count, 1..count, proptest::collection::vec(0u8..8, 1..12), 1u64..3_000).prop_map(
        move |(from, step, faults, max_bytes)| Act::Call { from, to: (from + step) % count, faults, max_bytes },
    );
    let act = prop_oneof![4 => (0..count).prop_map(Act::Seal), 1 => (0..count).prop_map(Act::Rename), 6 => call];
    proptest::collection::vec(act, 0..40)
}

fn fault(number: u8) -> Fault {
    match number {
        0 => Fault::RequestLost,
        1 => Fault::AnswerLost,
        2 => Fault::RequestTwice,
        3 | 4 => Fault::Shuffled,
        _ => Fault::None,
    }
}

fn play(nodes: &mut [Node], acts: Vec<Act>) {
    for act in acts {
        match act {
            Act::Seal(n) => nodes[n].seal_many(1),
            Act::Rename(n) => {
                let name = format!("name {}", nodes[n].roster.epoch());
                let entry = nodes[n].roster.rename(&nodes[n].key, NOW, name).unwrap();
                let _ = nodes[n].roster.insert(entry.bytes());
            }
            Act::Call { from, to, faults, max_bytes } => {
                let mut line = faults.into_iter().cycle().map(fault);
                let options = Options { max_bytes, ..Options::default() };
                exchange(nodes, from, to, options, &mut || line.next().unwrap_or(Fault::None));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Faults first; then only neighbours of a chain call each other, and all must have everything.
    #[test]
    fn j1_j2_nodes_on_a_line_that_loses_doubles_and_shuffles_come_to_have_the_same(acts in acts(4)) {
        let mut nodes = mesh(4);
        play(&mut nodes, acts);
        for _ in 0..2 {
            for (from, to) in [(0, 1), (2, 1), (2, 3), (1, 2), (1, 0), (3, 2)] {
                let summary = well(&mut nodes, from, to);
                prop_assert!(summary.held.is_empty() && summary.refused.is_empty(), "{:?}", summary);
                prop_assert!(summary.held_by_peer.is_empty() && summary.refused_by_peer.is_empty());
            }
        }
        for node in &nodes[1..] {
            prop_assert_eq!(&node.vector, &nodes[0].vector);
            prop_assert_eq!(node.roster.hash(), nodes[0].roster.hash());
            prop_assert_eq!(node.log.keys().collect::<Vec<_>>(), nodes[0].log.keys().collect::<Vec<_>>());
        }
        // Two more rounds carry every acknowledgement to everybody: then everything is stable, and calls are single requests.
        for _ in 0..3 {
            for (from, to) in [(0, 1), (1, 2), (2, 3), (2, 1), (1, 0)] {
                well(&mut nodes, from, to);
            }
        }
        for node in &nodes {
            prop_assert_eq!(node.acks.stable(&node.roster, &node.vector), node.vector.clone());
        }
        prop_assert_eq!(well(&mut nodes, 0, 1).requests, 1);
    }

    #[test]
    fn whatever_part_of_a_log_is_asked_for_can_be_taken_in(
        acts in acts(3),
        known in proptest::collection::vec(0u64..9, 3),
        max_bytes in 1u64..4_000,
    ) {
        let mut nodes = mesh(3);
        play(&mut nodes, acts);
        // A causally closed part of what node 1 has: the longest prefix of its log within the numbers given.
        let mut behind = Node::new(9, nodes[0].roster.clone());
        for dot in nodes[0].order.clone() {
            let changeset = nodes[0].log[&dot].clone();
            let bound = nodes.iter().position(|node| node.origin() == dot.origin).map_or(0, |n| known[n]);
            if dot.seq.0 <= bound && behind.vector.includes(&changeset.header().context.vector) {
                behind.take(changeset);
            }
        }
        let batch = nodes[0].read(LogRequest::new(behind.vector.clone(), [], max_bytes));
        let (sent, lacking) = (batch.changesets.len() as u64, behind.vector.lacks_of(&nodes[0].vector));
        let applied = behind.apply(batch.changesets);
        prop_assert_eq!(applied.taken.changesets, sent);
        prop_assert_eq!(batch.more, sent < lacking);
        prop_assert!(sent > 0 || lacking == 0, "no progress");
    }
}

/// A member closes a life of its own far beyond what it has sealed, and does not say how far ahead that lies: what others could not edit
/// afterwards is not taken in.
#[test]
fn q23_k2_a_life_that_is_closed_in_advance_is_still_bound_to_the_clock() {
    let mut nodes = mesh(2);
    let origin = nodes[1].origin();
    let declared = Lamport::at(WallTime(NOW.0 + 3_600_000));
    let close = nodes[1].roster.close(&key(2), NOW, origin, Seq(1_000_000), declared).unwrap();
    for node in &mut nodes {
        node.roster.insert(close.bytes()).unwrap();
    }
    let later_by = |lamport: Lamport, millis: u64| Lamport::at(WallTime(lamport.wall().0 + millis));
    let sealed_at = |node: &Node, lamport_max: Lamport| node.make(Header { lamport_max, ..node.header() });
    assert!(matches!(verdict(&nodes[0], &sealed_at(&nodes[1], declared)), Admission::Take(_)));
    assert!(matches!(verdict(&nodes[1], &sealed_at(&nodes[0], declared.next())), Admission::Take(_)), "an edit of it");
    for millis in [limits::DRIFT_MS_MAX + 1, limits::CLOSED_AHEAD_MS_MAX, 1 << 45] {
        let beyond = sealed_at(&nodes[1], later_by(declared, millis));
        assert!(matches!(verdict(&nodes[0], &beyond), Admission::Held(_, HoldReason::ClockAhead { .. })), "{millis}");
    }
}
