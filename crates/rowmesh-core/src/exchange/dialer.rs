//! The calling side of one exchange over one connection: hello, then the roster, always first, then acknowledgements, then pull
//! until nothing is left, then push, so that one reachable side is enough. Bounded in requests and bytes; what is left over
//! waits for the next exchange. What can be had meanwhile is told by [`Dialer::poll_ahead`]: the next batch while the last is
//! taken in, on either side.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use thiserror::Error;

use crate::ack::AckMark;
use crate::changeset;
use crate::clock::VersionVector;
use crate::ident::{Digest, Dot, MeshId, NodeId, Origin};
use crate::limits;
use crate::roster::{Adopted, Role};
use crate::wire::message::{PROTOCOL_MAX, PROTOCOL_MIN, code};
use crate::wire::{
    Acks, Batch, End, Hello, HelloReply, Pull, PushReply, Refusal, Report, Request, Response, RosterOffer, RosterPush,
    RosterReply, Tally, WireError,
};

use super::admit::origins_of;
use super::responder::entry_batch;
use super::{Applied, LogBatch, LogRequest, View, pruned_away};

/// One exchange, seen from the side that calls.
pub struct Dialer {
    peer: NodeId,
    options: Options,
    phase: Phase,
    requests: u32,
    /// Origins of which nothing more is asked for: what came was held back or refused, or was pruned over there.
    except_pull: BTreeSet<Origin>,
    /// Origins of which nothing more is offered.
    except_push: BTreeSet<Origin>,
    /// What the other side is known to have.
    peer_vector: VersionVector,
    peer_acks: BTreeMap<NodeId, AckMark>,
    ahead: Option<Fetched>,
    summary: Summary,
}

/// What an exchange may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bytes of changesets per request.
    pub max_bytes: u64,
    /// Whether to ask for changes.
    pub pull: bool,
    /// Whether to offer changes.
    pub push: bool,
}

/// What is to be done next. Do it, then call the method named with it.
#[derive(Clone, Debug)]
pub enum Step {
    /// Send this, then [`Dialer::handle_response`].
    Send(Request),
    /// Take these roster entries in, durably, then [`Dialer::handle_roster_adopted`].
    AdoptRoster(Vec<Arc<[u8]>>),
    /// Check these acknowledgements and keep the newer ones, then [`Dialer::handle_acks_adopted`].
    AdoptAcks(Vec<Arc<[u8]>>),
    /// Judge and apply these changesets, durably, then [`Dialer::handle_applied`].
    Apply(Vec<Arc<[u8]>>),
    /// Read the log, then [`Dialer::handle_log`].
    ReadLog(LogRequest),
    /// Over, and well.
    Done(Box<Summary>),
    /// Over, and not well. What was done until then stays done.
    Failed(Failure, Box<Summary>),
}

/// What can be done beside the step at hand, on the assumption that all of its changesets are taken in. If nobody does it, or it
/// fails, nothing is lost: it is asked for again in its turn.
#[derive(Clone, Debug)]
pub enum Ahead {
    /// Send this, then [`Dialer::handle_response_ahead`].
    Send(Request),
    /// Read the log, then [`Dialer::handle_log_ahead`].
    ReadLog(LogRequest),
}

/// What came of an exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// What the other side said of itself.
    pub peer: Option<Box<Hello>>,
    /// What the other side is known to have at the end.
    pub peer_vector: VersionVector,
    /// What it took in from us.
    pub sent: Tally,
    /// What we took in from it.
    pub received: Tally,
    /// What came twice.
    pub duplicates: u64,
    /// What had to wait here.
    pub held: Vec<Report>,
    /// What was refused here.
    pub refused: Vec<Report>,
    /// Origins of which the other side may have more that cannot be had now: what came was held back or refused, or is pruned there.
    pub left_out: BTreeSet<Origin>,
    /// What had to wait there.
    pub held_by_peer: Vec<Report>,
    /// What was refused there.
    pub refused_by_peer: Vec<Report>,
    /// Roster entries that we took in.
    pub roster_received: u64,
    /// Roster entries that we sent.
    pub roster_sent: u64,
    /// Roster entries that were refused here.
    pub roster_refused: u64,
    /// Requests made.
    pub requests: u32,
    /// The other side has pruned what we lack: take it elsewhere, or load a snapshot.
    pub we_need_older: bool,
    /// We have pruned what the other side lacks.
    pub peer_needs_older: bool,
    /// A bound was reached or nothing moved any more: the rest is for the next exchange.
    pub unfinished: bool,
    /// Why the other side takes nothing in at present.
    pub push_refused: Option<Refusal>,
}

/// Why an exchange ended early.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Failure {
    /// The other side said no.
    #[error("peer refuses: {} ({})", .0.text, .0.code)]
    Refused(Refusal),
    /// What came is no answer.
    #[error("answer of peer cannot be read")]
    Wire(#[from] WireError),
    /// The connection broke.
    #[error("connection to peer: {0}")]
    Connection(String),
    /// Something here did not work.
    #[error("this node: {0}")]
    Local(String),
    /// No version in common.
    #[error("peer speaks protocol {0}, this node does not")]
    Protocol(u16),
    /// Another mesh.
    #[error("peer belongs to mesh {0}")]
    OtherMesh(MeshId),
    /// Another node than the one that was called.
    #[error("peer calls itself {0:?}, which is not the key on this connection")]
    OtherIdentity(NodeId),
    /// We called ourselves.
    #[error("this address leads to this node itself")]
    Myself,
    /// An answer to something else, or a call out of turn.
    #[error("{0} came where it does not belong")]
    OutOfPlace(&'static str),
}

enum Phase {
    Hello,
    OfferRoster,
    AdoptRoster(RosterReply),
    PushRoster { lacking: BTreeSet<Digest> },
    HelloAck,
    Acks,
    AdoptAcks(Vec<Arc<[u8]>>, AcksOf),
    Pull,
    Apply(Vec<Arc<[u8]>>),
    ReadLog,
    Push(Vec<Arc<[u8]>>, bool),
    Done,
    Failed(Failure),
}

/// What came ahead of its turn.
enum Fetched {
    Batch(Batch),
    Log(LogBatch),
}

#[derive(Clone, Copy)]
enum AcksOf {
    Hello,
    Reply,
}

impl Default for Options {
    fn default() -> Options {
        Options { max_bytes: limits::EXCHANGE_BYTES_DEFAULT as u64, pull: true, push: true }
    }
}

impl Dialer {
    /// An exchange with the node whose key the connection has shown.
    pub fn new(peer: NodeId, options: Options) -> Dialer {
        Dialer {
            peer,
            options,
            phase: Phase::Hello,
            requests: 0,
            except_pull: BTreeSet::new(),
            except_push: BTreeSet::new(),
            peer_vector: VersionVector::new(),
            peer_acks: BTreeMap::new(),
            ahead: None,
            summary: Summary::default(),
        }
    }

    /// What to do next. Says the same again until it is told what came of it.
    pub fn poll_step(&mut self, view: &View<'_>) -> Step {
        self.skip_what_is_needless(view);
        let request = match &self.phase {
            Phase::Hello => Request::Hello(Box::new(view.hello())),
            Phase::OfferRoster => Request::RosterOffer(RosterOffer { hashes: view.roster.hashes() }),
            Phase::PushRoster { lacking } => {
                Request::RosterPush(RosterPush { entries: entry_batch(view.roster, lacking).0 })
            }
            Phase::Acks => self.acks_request(view),
            Phase::Pull => self.pull(view, VersionVector::new()),
            Phase::Push(changesets, more) => Request::Push(Batch {
                changesets: changesets.clone(),
                end: End { more: *more, vector: view.vector.clone() },
            }),
            Phase::AdoptRoster(reply) => return Step::AdoptRoster(reply.entries.clone()),
            Phase::AdoptAcks(acks, _) => return Step::AdoptAcks(acks.clone()),
            Phase::Apply(changesets) => return Step::Apply(changesets.clone()),
            Phase::ReadLog => return Step::ReadLog(self.log_after(self.peer_vector.clone())),
            Phase::HelloAck | Phase::Done => return Step::Done(Box::new(self.summary())),
            Phase::Failed(failure) => return Step::Failed(failure.clone(), Box::new(self.summary())),
        };
        Step::Send(request)
    }

    /// What can be done beside the step that [`Dialer::poll_step`] has just given. Tell what came of it before telling what
    /// came of the step.
    pub fn poll_ahead(&self, view: &View<'_>) -> Option<Ahead> {
        if self.ahead.is_some() || self.requests + 1 >= limits::EXCHANGE_REQUESTS_MAX {
            return None;
        }
        match &self.phase {
            Phase::Apply(changesets) => {
                let coming = heads_of(changesets)?;
                self.lacks_beyond(view, &coming).then(|| Ahead::Send(self.pull(view, coming)))
            }
            Phase::Push(changesets, true) => {
                let mut after = self.peer_vector.clone();
                after.join(&heads_of(changesets)?);
                Some(Ahead::ReadLog(self.log_after(after)))
            }
            _ => None,
        }
    }

    /// Keeps the answer to a request that was sent ahead. One that brings no changesets is forgotten: the request is made again in
    /// its turn.
    pub fn handle_response_ahead(&mut self, response: Response) {
        self.requests += 1;
        if let (Phase::Apply(_), Response::Batch(batch)) = (&self.phase, response) {
            self.ahead = Some(Fetched::Batch(batch));
        }
    }

    /// Keeps what was read from the log ahead.
    pub fn handle_log_ahead(&mut self, batch: LogBatch) {
        if matches!(self.phase, Phase::Push(..)) {
            self.ahead = Some(Fetched::Log(batch));
        }
    }

    /// Takes in the answer to the last request.
    pub fn handle_response(&mut self, view: &View<'_>, response: Response) {
        self.requests += 1;
        let phase = std::mem::replace(&mut self.phase, Phase::Done);
        self.phase = match (phase, response) {
            (Phase::Hello, Response::Hello(reply)) => self.after_hello(view, *reply),
            (Phase::OfferRoster, Response::Roster(reply)) => after_offer(reply),
            (Phase::PushRoster { lacking }, Response::RosterTaken(_)) => self.after_roster_push(view, lacking),
            (Phase::Acks, Response::Acks(reply)) if reply.acks.is_empty() => Phase::Pull,
            (Phase::Acks, Response::Acks(reply)) => Phase::AdoptAcks(reply.acks, AcksOf::Reply),
            (Phase::Pull, Response::Batch(batch)) => self.after_pull(batch),
            (Phase::Push(sent, more), Response::Pushed(reply)) => self.after_push(&sent, more, reply),
            (Phase::Push(..), Response::Refused(refusal)) if is_pause(&refusal) => {
                self.summary.push_refused = Some(refusal);
                Phase::Done
            }
            (Phase::Done | Phase::Failed(_), _) => Phase::Failed(Failure::OutOfPlace("an answer")),
            (_, Response::Refused(refusal)) => Phase::Failed(Failure::Refused(refusal)),
            _ => Phase::Failed(Failure::OutOfPlace("an answer to another question")),
        };
        if self.requests >= limits::EXCHANGE_REQUESTS_MAX && !matches!(self.phase, Phase::Done | Phase::Failed(_)) {
            self.stop_unfinished();
        }
    }

    /// Takes in what became of roster entries.
    pub fn handle_roster_adopted(&mut self, adopted: &Adopted) {
        let phase = std::mem::replace(&mut self.phase, Phase::Done);
        let Phase::AdoptRoster(reply) = phase else {
            self.phase = Phase::Failed(Failure::OutOfPlace("an adopted roster"));
            return;
        };
        self.summary.roster_received += adopted.new.len() as u64;
        self.summary.roster_refused += adopted.refused.len() as u64;
        self.phase = if reply.more && !adopted.new.is_empty() {
            Phase::OfferRoster
        } else {
            Phase::PushRoster { lacking: reply.lacking.into_iter().collect() }
        };
    }

    /// Hears that acknowledgements were kept.
    pub fn handle_acks_adopted(&mut self) {
        self.phase = match self.phase {
            Phase::AdoptAcks(_, AcksOf::Hello) => Phase::Acks,
            Phase::AdoptAcks(_, AcksOf::Reply) => Phase::Pull,
            _ => Phase::Failed(Failure::OutOfPlace("adopted acknowledgements")),
        };
    }

    /// Takes in what became of changesets.
    pub fn handle_applied(&mut self, applied: Applied) {
        let Phase::Apply(changesets) = &self.phase else {
            self.phase = Phase::Failed(Failure::OutOfPlace("an applied batch"));
            return;
        };
        let as_assumed = is_all_taken(changesets, &applied);
        let excepted = self.except_pull.len();
        self.except_pull.extend(origins_of(applied.held.iter().chain(&applied.refused)));
        let moved = applied.taken.changesets > 0 || self.except_pull.len() > excepted;
        self.summary.received.add(applied.taken);
        self.summary.duplicates = self.summary.duplicates.saturating_add(applied.duplicates);
        keep_some(&mut self.summary.held, applied.held);
        keep_some(&mut self.summary.refused, applied.refused);
        // Whoever sends the same again and again is not asked again.
        self.summary.unfinished |= !moved;
        self.phase = match self.ahead.take() {
            Some(Fetched::Batch(batch)) if moved && as_assumed => self.after_pull(batch),
            _ if moved => Phase::Pull,
            _ => Phase::ReadLog,
        };
    }

    /// Takes in what was read from the log.
    pub fn handle_log(&mut self, batch: LogBatch) {
        self.phase = match self.phase {
            Phase::ReadLog if batch.changesets.is_empty() => Phase::Done,
            Phase::ReadLog => Phase::Push(batch.changesets, batch.more),
            _ => Phase::Failed(Failure::OutOfPlace("a batch of the log")),
        };
    }

    /// Ends the exchange because something broke, on the way or here.
    pub fn fail(&mut self, failure: Failure) {
        if !matches!(self.phase, Phase::Done | Phase::Failed(_)) {
            self.phase = Phase::Failed(failure);
        }
    }

    /// What came of it so far.
    pub fn summary(&self) -> Summary {
        Summary {
            requests: self.requests,
            peer_vector: self.peer_vector.clone(),
            left_out: self.except_pull.clone(),
            ..self.summary.clone()
        }
    }
}

impl Failure {
    /// Whether calling again later can help without anybody doing something first.
    pub fn may_retry(&self) -> bool {
        match self {
            Failure::Refused(refusal) => refusal.may_retry(),
            Failure::Wire(_) | Failure::Connection(_) | Failure::Local(_) | Failure::OutOfPlace(_) => true,
            Failure::Protocol(_) | Failure::OtherMesh(_) | Failure::OtherIdentity(_) | Failure::Myself => false,
        }
    }
}

impl Dialer {
    /// Goes on to the first phase in which there is something to do.
    fn skip_what_is_needless(&mut self, view: &View<'_>) {
        loop {
            let next = match &self.phase {
                Phase::OfferRoster if !self.roster_differs(view) => Phase::HelloAck,
                Phase::PushRoster { lacking } if entry_batch(view.roster, lacking).0.is_empty() => Phase::HelloAck,
                Phase::HelloAck => match self.newer_hello_ack(view) {
                    Some(ack) => Phase::AdoptAcks(vec![ack], AcksOf::Hello),
                    None => Phase::Acks,
                },
                Phase::Acks if !self.acks_differ(view) => Phase::Pull,
                Phase::Pull if !self.wants_more(view) => Phase::ReadLog,
                Phase::ReadLog if !self.has_more(view) => Phase::Done,
                _ => return,
            };
            self.phase = next;
        }
    }

    fn roster_differs(&self, view: &View<'_>) -> bool {
        self.summary.peer.as_ref().is_some_and(|peer| peer.roster != view.roster.hash())
    }

    fn newer_hello_ack(&self, view: &View<'_>) -> Option<Arc<[u8]>> {
        let ours = view.acks.get(&self.peer).map(|ack| ack.mark());
        let theirs = self.peer_acks.get(&self.peer).copied();
        let ack = self.summary.peer.as_ref().and_then(|peer| peer.ack.clone());
        ack.filter(|_| theirs > ours)
    }

    fn acks_differ(&self, view: &View<'_>) -> bool {
        let is_newer = |(node, mark): (&NodeId, &AckMark)| {
            view.roster.is_member(node) && view.acks.get(node).is_none_or(|ours| ours.mark() < *mark)
        };
        self.peer_acks.iter().any(is_newer) || !view.acks.newer_than(&self.peer_acks, view.roster).is_empty()
    }

    fn acks_request(&self, view: &View<'_>) -> Request {
        let newer = view.acks.newer_than(&self.peer_acks, view.roster);
        Request::Acks(Acks { acks: newer.iter().map(|ack| ack.bytes().clone()).collect(), known: view.acks.marks() })
    }

    fn wants_more(&self, view: &View<'_>) -> bool {
        self.lacks_beyond(view, &VersionVector::new())
    }

    /// Whether there is more to ask for once `coming` is taken in.
    fn lacks_beyond(&self, view: &View<'_>, coming: &VersionVector) -> bool {
        let is_here = |dot: &Dot| view.vector.covers(dot) || coming.covers(dot);
        let lacks = |dot: Dot| !is_here(&dot) && !self.except_pull.contains(&dot.origin);
        self.options.pull && !view.receiving_paused && self.peer_vector.dots().any(lacks)
    }

    fn pull(&self, view: &View<'_>, coming: VersionVector) -> Request {
        Request::Pull(Pull {
            vector: view.vector.clone(),
            coming,
            except: self.except_pull.iter().copied().collect(),
            max_bytes: self.options.max_bytes,
        })
    }

    fn log_after(&self, after: VersionVector) -> LogRequest {
        LogRequest::new(after, self.except_push.iter().copied(), self.options.max_bytes)
    }

    fn has_more(&self, view: &View<'_>) -> bool {
        let lacks = |dot: Dot| !self.peer_vector.covers(&dot) && !self.except_push.contains(&dot.origin);
        let role = view.roster.member(&view.node).map(|member| member.role);
        self.options.push && role != Some(Role::Observer) && view.vector.dots().any(lacks)
    }

    fn after_hello(&mut self, view: &View<'_>, reply: HelloReply) -> Phase {
        let HelloReply { protocol, hello } = reply;
        if hello.node == view.node {
            return Phase::Failed(Failure::Myself);
        }
        if hello.node != self.peer {
            return Phase::Failed(Failure::OtherIdentity(hello.node));
        }
        if hello.mesh != view.roster.mesh() {
            return Phase::Failed(Failure::OtherMesh(hello.mesh));
        }
        if !(PROTOCOL_MIN..=PROTOCOL_MAX).contains(&protocol) {
            return Phase::Failed(Failure::Protocol(protocol));
        }
        self.peer_vector.clone_from(&hello.vector);
        self.peer_acks.clone_from(&hello.acks);
        // It has our own from our hello.
        self.peer_acks.extend(view.acks.get(&view.node).map(|ack| (view.node, ack.mark())));
        self.except_pull.extend(pruned_away(view.vector, &hello.floor));
        self.except_push.extend(pruned_away(&hello.vector, view.floor));
        self.summary.we_need_older = !self.except_pull.is_empty();
        self.summary.peer_needs_older = !self.except_push.is_empty();
        self.summary.peer = Some(Box::new(hello));
        Phase::OfferRoster
    }

    fn after_roster_push(&mut self, view: &View<'_>, mut lacking: BTreeSet<Digest>) -> Phase {
        let sent: BTreeSet<Digest> = entry_batch(view.roster, &lacking).1.into_iter().collect();
        self.summary.roster_sent += sent.len() as u64;
        lacking.retain(|hash| !sent.contains(hash));
        Phase::PushRoster { lacking }
    }

    fn after_pull(&mut self, batch: Batch) -> Phase {
        self.peer_vector.join(&batch.end.vector);
        if batch.changesets.is_empty() {
            // It has what we lack and cannot give it: what it leaves out depends on what we asked it to leave out.
            self.summary.unfinished |= batch.end.more;
            return Phase::ReadLog;
        }
        Phase::Apply(batch.changesets)
    }

    fn after_push(&mut self, sent: &[Arc<[u8]>], more: bool, reply: PushReply) -> Phase {
        let excepted = self.except_push.len();
        self.except_push.extend(origins_of(reply.held.iter().chain(&reply.refused)));
        let as_assumed = is_all_taken(sent, &reply);
        let before = self.peer_vector.clone();
        self.peer_vector.join(&reply.vector);
        let moved = self.peer_vector != before || self.except_push.len() > excepted;
        // What it says that it took cannot be more than what we sent.
        let most = Tally {
            changesets: sent.len() as u64,
            events: reply.taken.events,
            bytes: sent.iter().map(|changeset| changeset.len() as u64).sum(),
        };
        self.summary.sent.add(Tally {
            changesets: reply.taken.changesets.min(most.changesets),
            events: most.events,
            bytes: reply.taken.bytes.min(most.bytes),
        });
        keep_some(&mut self.summary.held_by_peer, reply.held);
        keep_some(&mut self.summary.refused_by_peer, reply.refused);
        self.summary.unfinished |= more && !moved;
        match self.ahead.take() {
            Some(Fetched::Log(batch)) if moved && as_assumed && !batch.changesets.is_empty() => {
                Phase::Push(batch.changesets, batch.more)
            }
            _ if moved => Phase::ReadLog,
            _ => Phase::Done,
        }
    }

    fn stop_unfinished(&mut self) {
        // What has come is still taken in; nothing more is asked for or offered.
        self.summary.unfinished = true;
        self.options = Options { pull: false, push: false, ..self.options };
        if !matches!(self.phase, Phase::Apply(_) | Phase::AdoptAcks(..)) {
            self.phase = Phase::Done;
        }
    }
}

fn after_offer(reply: RosterReply) -> Phase {
    if reply.entries.is_empty() {
        return Phase::PushRoster { lacking: reply.lacking.into_iter().collect() };
    }
    Phase::AdoptRoster(reply)
}

/// The last changeset of each origin among these; nothing if one of them cannot be read.
fn heads_of(changesets: &[Arc<[u8]>]) -> Option<VersionVector> {
    let mut heads = VersionVector::new();
    changesets.iter().try_for_each(|changeset| changeset::dot_of(changeset).map(|dot| heads.raise(dot)))?;
    Some(heads)
}

/// Whether what was asked for ahead was rightly asked for.
fn is_all_taken(changesets: &[Arc<[u8]>], taken: &Applied) -> bool {
    let all_here = || heads_of(changesets).is_some_and(|heads| taken.vector.includes(&heads));
    taken.held.is_empty() && taken.refused.is_empty() && all_here()
}

fn is_pause(refusal: &Refusal) -> bool {
    refusal.code == code::BUSY || refusal.code == code::NOT_ALLOWED
}

fn keep_some(kept: &mut Vec<Report>, reports: Vec<Report>) {
    let room = limits::REPORTS_MAX.saturating_sub(kept.len());
    kept.extend(reports.into_iter().take(room));
}
