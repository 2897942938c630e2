//! The answering side: judges each request by the roster as it is now, answers it or says what must be done for the answer.
//! Keeps nothing from one request to the next.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::ident::{Digest, Dot, NodeId};
use crate::invite::Redeemed;
use crate::limits;
use crate::roster::{Adopted, Entry, Role, Roster, is_address, is_person_name};
use crate::wire::message::{PROTOCOL_MAX, PROTOCOL_MIN, code, common_protocol};
use crate::wire::{
    AcksReply, Batch, End, Hello, HelloReply, Join, JoinReply, Refusal, Request, Response, RosterOffer, RosterReply,
    RosterTaken, SnapshotRequest, Wait, Wake, WakeReason,
};

use super::{Applied, LogBatch, LogRequest, View, pruned_away};

/// Answers the requests that come over one connection.
#[derive(Clone, Copy, Debug)]
pub struct Responder {
    peer: NodeId,
}

/// What a request leads to.
#[derive(Clone, Debug)]
pub enum Answer {
    /// This answer, at once.
    Reply(Response),
    /// Check these acknowledgements and keep the newer ones, then give this answer.
    AdoptAcks(Vec<Arc<[u8]>>, Response),
    /// Take these roster entries in, durably, then answer with [`Responder::roster_adopted`].
    AdoptRoster(Vec<Arc<[u8]>>),
    /// Read the log, then answer with [`Responder::log_read`].
    ReadLog(LogRequest),
    /// Judge and apply these changesets, durably, then answer with [`Responder::applied`].
    Apply(Vec<Arc<[u8]>>),
    /// Look at [`wake_reason`] whenever something has changed, and answer once it gives one or the time is over.
    Wait(Wait),
    /// Redeem the invite; where it is good, let the node in, both in one durable step; then answer with [`Responder::joined`]
    /// or [`Responder::join_refused`].
    Join(Box<Join>),
    /// Send a snapshot.
    Snapshot(SnapshotRequest),
}

impl Responder {
    /// Answers the node whose key the connection has shown.
    pub fn new(peer: NodeId) -> Responder {
        Responder { peer }
    }

    /// Judges a request.
    pub fn handle_request(&self, view: &View<'_>, request: Request) -> Answer {
        if let Err(refusal) = self.guard(view, &request) {
            return Answer::Reply(Response::Refused(refusal));
        }
        match request {
            Request::Hello(hello) => self.hello(view, *hello),
            Request::RosterOffer(offer) => Answer::Reply(Response::Roster(difference(view.roster, &offer))),
            Request::RosterPush(push) => Answer::AdoptRoster(push.entries),
            Request::Acks(acks) => {
                let newer = view.acks.newer_than(&acks.known, view.roster);
                let reply = AcksReply { acks: newer.iter().map(|ack| ack.bytes().clone()).collect() };
                Answer::AdoptAcks(acks.acks, Response::Acks(reply))
            }
            Request::Pull(pull) => {
                let pruned: Vec<_> = pruned_away(&pull.vector, view.floor).collect();
                let except = pull.except.into_iter().chain(pruned);
                let mut after = pull.vector;
                after.join(&pull.coming);
                Answer::ReadLog(LogRequest::new(after, except, pull.max_bytes))
            }
            Request::Push(batch) => Answer::Apply(batch.changesets),
            Request::Wait(wait) => match wake_reason(view, &wait) {
                Some(reason) => Answer::Reply(Response::Wake(Wake { reason })),
                None => Answer::Wait(Wait { max_ms: wait.max_ms.min(limits::WAIT_MS_MAX), ..wait }),
            },
            Request::Join(join) => self.join(view, join),
            Request::Snapshot(request) => {
                let max_bytes = request.max_bytes.clamp(1, limits::EXCHANGE_BYTES_MAX as u64);
                Answer::Snapshot(SnapshotRequest { max_bytes, ..request })
            }
        }
    }

    /// The answer to a roster push, once its entries were taken in.
    pub fn roster_adopted(view: &View<'_>, adopted: &Adopted) -> Response {
        Response::RosterTaken(RosterTaken {
            epoch: view.roster.epoch(),
            hash: view.roster.hash(),
            missing: adopted.missing.clone(),
        })
    }

    /// The answer to a pull, once the log was read.
    pub fn log_read(view: &View<'_>, batch: LogBatch) -> Response {
        let end = End { more: batch.more, vector: view.vector.clone() };
        Response::Batch(Batch { changesets: batch.changesets, end })
    }

    /// The answer to a push, once it was applied.
    pub fn applied(applied: Applied) -> Response {
        Response::Pushed(applied)
    }

    /// The answer to a joiner who was let in.
    pub fn joined(view: &View<'_>) -> Response {
        let (entries, more) = entries_within(view.roster.entries());
        Response::Joined(JoinReply { entries, more })
    }

    /// The answer to a joiner who was not let in.
    pub fn join_refused(why: &Redeemed) -> Response {
        let (code, text) = match why {
            Redeemed::Expired(at) => (code::INVITE_DEAD, format!("invite expired at {} ms", at.0)),
            Redeemed::Used { by, at } => {
                (code::INVITE_DEAD, format!("invite was used by {} at {} ms", by.short(), at.0))
            }
            Redeemed::Revoked(at) => (code::INVITE_DEAD, format!("invite was taken back at {} ms", at.0)),
            Redeemed::Unknown | Redeemed::Ok { .. } => {
                (code::INVITE_UNKNOWN, "invite is not known to this node".to_owned())
            }
            Redeemed::WrongMesh => (code::OTHER_MESH, "invite is for another mesh".to_owned()),
            Redeemed::TooManyFailures => {
                (code::INVITE_LOCKED, "invite is locked after too many wrong attempts".to_owned())
            }
        };
        Response::Refused(Refusal::new(code, text))
    }

    /// Who may ask this at all, by the roster of this moment.
    fn guard(&self, view: &View<'_>, request: &Request) -> Result<(), Refusal> {
        if self.peer == view.node {
            return Err(Refusal::new(code::SELF, "this node called itself"));
        }
        if view.roster.is_revoked(&self.peer) {
            return Err(Refusal::new(code::REMOVED, "you were removed from this mesh; a return needs a new identity"));
        }
        if matches!(request, Request::Join(_)) {
            return Ok(());
        }
        let Some(member) = view.roster.member(&self.peer) else {
            return Err(Refusal::new(code::NOT_A_MEMBER, "you are not a member of this mesh"));
        };
        if !matches!(request, Request::Push(_)) {
            return Ok(());
        }
        if member.role == Role::Observer {
            return Err(Refusal::new(code::NOT_ALLOWED, "you may only read here"));
        }
        if view.receiving_paused {
            let text = "this node takes nothing in at present";
            return Err(Refusal { retry_ms: Some(60_000), ..Refusal::new(code::BUSY, text) });
        }
        Ok(())
    }

    fn hello(&self, view: &View<'_>, hello: Hello) -> Answer {
        let refuse = |code, text: String| Answer::Reply(Response::Refused(Refusal::new(code, text)));
        if hello.node != self.peer {
            return refuse(code::OTHER_IDENTITY, "you call yourself by another name than your key's".into());
        }
        if hello.mesh != view.roster.mesh() {
            return refuse(code::OTHER_MESH, format!("this node belongs to mesh {}", view.roster.mesh()));
        }
        let (theirs, ours) = ((hello.protocol_min, hello.protocol_max), (PROTOCOL_MIN, PROTOCOL_MAX));
        let Some(protocol) = common_protocol(theirs, ours) else {
            return refuse(code::NO_COMMON_PROTOCOL, format!("this node speaks protocol {} to {}", ours.0, ours.1));
        };
        let reply = Response::Hello(Box::new(HelloReply { protocol, hello: view.hello() }));
        match hello.ack {
            Some(ack) => Answer::AdoptAcks(vec![ack], reply),
            None => Answer::Reply(reply),
        }
    }

    fn join(&self, view: &View<'_>, join: Box<Join>) -> Answer {
        let refuse = |code, text: &str| Answer::Reply(Response::Refused(Refusal::new(code, text)));
        if join.public_key.node_id() != self.peer {
            return refuse(code::OTHER_IDENTITY, "you name another key than the one on this connection");
        }
        if join.mesh != view.roster.mesh() {
            return refuse(code::OTHER_MESH, "invite is for another mesh");
        }
        if common_protocol((join.protocol_min, join.protocol_max), (PROTOCOL_MIN, PROTOCOL_MAX)).is_none() {
            return refuse(code::NO_COMMON_PROTOCOL, "there is no version of the protocol in common");
        }
        if !is_person_name(&join.name) || !join.addresses.iter().all(|address| is_address(address)) {
            return refuse(code::MALFORMED, "name or address is not valid");
        }
        Answer::Join(join)
    }
}

/// Whether a waiting node can be answered, and why.
pub fn wake_reason(view: &View<'_>, wait: &Wait) -> Option<WakeReason> {
    if view.roster.hash() != wait.roster {
        return Some(WakeReason::Roster);
    }
    let is_news = |dot: Dot| !wait.vector.covers(&dot) && !wait.except.contains(&dot.origin);
    view.vector.dots().any(is_news).then_some(WakeReason::Changes)
}

/// The entries among `wanted` that are here and fit into one message, parents first, and their hashes.
pub(super) fn entry_batch(roster: &Roster, wanted: &BTreeSet<Digest>) -> (Vec<Arc<[u8]>>, Vec<Digest>) {
    let (entries, _) = entries_within(roster.entries().filter(|entry| wanted.contains(&entry.hash())));
    let hashes = roster.entries().map(Entry::hash).filter(|hash| wanted.contains(hash)).take(entries.len()).collect();
    (entries, hashes)
}

/// As many entries as one message carries, and whether there were more.
pub(super) fn entries_within<'a>(entries: impl Iterator<Item = &'a Entry>) -> (Vec<Arc<[u8]>>, bool) {
    let mut bytes = 0;
    let mut taken = Vec::new();
    for entry in entries {
        if bytes >= limits::ROSTER_MESSAGE_BYTES_TARGET {
            return (taken, true);
        }
        bytes += entry.bytes().len();
        taken.push(entry.bytes().clone());
    }
    (taken, false)
}

fn difference(roster: &Roster, offer: &RosterOffer) -> RosterReply {
    let offered: BTreeSet<Digest> = offer.hashes.iter().copied().collect();
    let (entries, more) = entries_within(roster.entries().filter(|entry| !offered.contains(&entry.hash())));
    let lacking = offered.into_iter().filter(|hash| roster.entry(hash).is_none()).collect();
    RosterReply { entries, lacking, more }
}
