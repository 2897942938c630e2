//! Answers what other nodes ask, request by request, each judged by the roster of that moment. What a request leads to is decided by
//! core; this does it. Keeps nothing between requests but the count of peers that wait here for news.

use std::sync::Arc;
use std::time::Duration;

use rowmesh_core::changeset::Claimed;
use rowmesh_core::clock::VersionVector;
use rowmesh_core::exchange::responder::wake_reason;
use rowmesh_core::exchange::{Answer, LogBatch, Responder};
use rowmesh_core::ident::{Digest, NodeId};
use rowmesh_core::limits;
use rowmesh_core::wire::message::code as wire_code;
use rowmesh_core::wire::{Hello, Path, Refusal, Request, Response, Wait, Wake as WakeUp, WakeReason};
use tokio::time::{Instant, timeout_at};
use tracing::{debug, warn};

use crate::daemon::Wake;
use crate::exchanger::adopt_acks;
use crate::failure::{Failure, code};
use crate::intake;
use crate::joining::{self, Joiner};
use crate::recorder::Moved;
use crate::shared::Shared;
use crate::snapshots;
use crate::transport::{Handler, IncomingRequest, OutgoingResponse, PeerInfo};

/// The node's end of every connection that others have opened.
pub(crate) struct Door(pub(crate) Arc<Shared>);

/// What a peer did here with one request.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// What it says of itself, if it said so.
    pub(crate) hello: Option<Box<Hello>>,
    /// What it says that it has taken in.
    pub(crate) has: Option<VersionVector>,
    /// What it knows once it has taken in what it was given.
    pub(crate) offered: Option<VersionVector>,
    /// The roster that it knows once it has taken in what it was given.
    pub(crate) roster: Option<Digest>,
    /// What it got.
    pub(crate) sent: Moved,
    /// What it brought.
    pub(crate) received: Moved,
}

impl Handler for Door {
    async fn handle(&self, request: IncomingRequest) -> OutgoingResponse {
        let IncomingRequest { peer, path, body } = request;
        let Some(path) = Path::parse(&path) else { return OutgoingResponse::new(404, "no such path") };
        if let Err(refusal) = self.admits(&peer, path) {
            return refused(refusal);
        }
        let body = match body.whole(bytes_max(path)).await {
            Ok(body) => body,
            Err(error) => return refused(Refusal::new(wire_code::MALFORMED, error.to_string())),
        };
        let request = match Request::decode(path, &body) {
            Ok(request) => request,
            Err(error) => {
                debug!(peer = ?peer.node, %error, "a request cannot be read");
                return refused(Refusal::new(wire_code::MALFORMED, format!("request cannot be read: {error}")));
            }
        };
        match self.answer(peer, request).await {
            Ok(Answered::Whole(Response::Refused(refusal))) => refused(refusal),
            Ok(Answered::Whole(response)) => OutgoingResponse::new(200, response.encode()),
            Ok(Answered::Stream(response)) => response,
            Err(failure) => {
                warn!(peer = ?peer.node, %failure, "a request could not be answered");
                refused(busy(&format!("this node cannot answer now: {}", failure.message)))
            }
        }
    }

    fn knows(&self, node: NodeId) -> bool {
        self.0.members.roster().is_member(&node)
    }
}

enum Answered {
    Whole(Response),
    Stream(OutgoingResponse),
}

impl Door {
    /// Who gets further than the path, before a byte of the body is read. Core judges members and requests again, more finely.
    fn admits(&self, peer: &PeerInfo, path: Path) -> Result<(), Refusal> {
        let shared = &self.0;
        let roster = shared.members.roster();
        if !roster.is_member(&peer.node) && path != Path::Join {
            let (code, text) = if roster.is_revoked(&peer.node) {
                (wire_code::REMOVED, "you were removed from this mesh; a return needs a new identity")
            } else {
                (wire_code::NOT_A_MEMBER, "you are not a member of this mesh")
            };
            return Err(Refusal::new(code, text));
        }
        if let Some(standstill) = shared.standstill() {
            return Err(busy(&standstill.message));
        }
        let paused = shared.book().is_paused(Some(peer.node), shared.clock.now());
        if paused && path != Path::Join {
            return Err(busy("exchange is paused here"));
        }
        Ok(())
    }

    async fn answer(&self, peer: PeerInfo, request: Request) -> Result<Answered, Failure> {
        let shared = &self.0;
        let mut heard = Heard::default();
        match &request {
            Request::Hello(hello) => {
                if let Some(seen) = shared.life_beyond(&hello.vector) {
                    return Ok(Answered::Whole(Response::Refused(busy(&shared.other_life(seen).message))));
                }
                shared.members.own_ack(&shared.store.exposed()).await?;
                heard.hello = Some(hello.clone());
            }
            Request::Pull(pull) => heard.has = Some(pull.vector.clone()),
            Request::Wait(wait) => {
                let has = Some(wait.vector.clone());
                shared.wake(Wake::Heard(peer.node, Heard { has, ..Heard::default() }));
            }
            _ => {}
        }
        let responder = Responder::new(peer.node);
        let (answer, here) = shared.view(|view| (responder.handle_request(view, request), view.roster.hash()));
        let response = match answer {
            Answer::Reply(response) => response,
            Answer::AdoptAcks(acks, response) => {
                adopt_acks(shared, &acks).await?;
                response
            }
            Answer::AdoptRoster(entries) => {
                let adopted = shared.members.adopt(entries).await?;
                shared.view(|view| Responder::roster_adopted(view, &adopted))
            }
            Answer::ReadLog(request) => {
                let exposed = shared.store.exposed();
                let is_all = request.except.is_empty();
                let batch = shared.store.read(move |store| store.read_log(&request)).await?;
                let (batch, sent) = counted(batch).await?;
                heard.sent = sent;
                heard.offered = (is_all && !batch.more).then(|| exposed.position.vector.clone());
                shared.view(|view| Responder::log_read(view, batch))
            }
            Answer::Apply(changesets) => {
                let applied = intake::take(shared, changesets).await?;
                let taken = applied.taken;
                heard.received = Moved { changesets: taken.changesets, events: taken.events, bytes: taken.bytes };
                Responder::applied(applied)
            }
            Answer::Wait(wait) => self.wait(peer.node, &wait).await,
            Answer::Join(join) => {
                let joiner = Joiner { join: *join, node: peer.node, exporter: peer.exporter };
                return joining::let_in(shared, joiner).await.map(Answered::Whole);
            }
            Answer::Snapshot(_) => {
                shared.wake(Wake::Heard(peer.node, heard));
                return snapshots::send(shared).await.map(Answered::Stream);
            }
        };
        heard.roster = match &response {
            Response::Roster(reply) => (reply.lacking.is_empty() && !reply.more).then_some(here),
            Response::RosterTaken(taken) => taken.missing.is_empty().then_some(taken.hash),
            _ => None,
        };
        if !matches!(response, Response::Refused(_)) {
            shared.wake(Wake::Heard(peer.node, heard));
        }
        Ok(Answered::Whole(response))
    }

    /// Holds a request until there is something to tell.
    async fn wait(&self, peer: NodeId, wait: &Wait) -> Response {
        let shared = &self.0;
        let _waiting = Waiting::begin(shared, peer);
        let deadline = Instant::now() + Duration::from_millis(wait.max_ms);
        let (mut exposed, mut roster) = (shared.store.follow(), shared.members.follow());
        let mut closing = shared.closing.subscribe();
        loop {
            if *closing.borrow_and_update() {
                return wake_up(WakeReason::Closing);
            }
            exposed.mark_unchanged();
            roster.mark_unchanged();
            if let Some(reason) = shared.view(|view| wake_reason(view, wait)) {
                return wake_up(reason);
            }
            let moved = async {
                tokio::select! {
                    moved = exposed.changed() => moved.is_ok(),
                    moved = roster.changed() => moved.is_ok(),
                    moved = closing.changed() => moved.is_ok(),
                }
            };
            match timeout_at(deadline, moved).await {
                Ok(true) => {}
                Ok(false) => return wake_up(WakeReason::Closing),
                Err(_) => return wake_up(WakeReason::Timeout),
            }
        }
    }
}

/// Counts what is sent. Decoding for that is work for a core, not for the store's thread nor for the runtime's.
async fn counted(batch: LogBatch) -> Result<(LogBatch, Moved), Failure> {
    let counting = tokio::task::spawn_blocking(move || {
        let mut moved = Moved::default();
        for bytes in &batch.changesets {
            let events = Claimed::decode(bytes).map_or(0, |claimed| claimed.trust_own_log().events().len());
            moved.add(Moved { changesets: 1, events: events as u64, bytes: bytes.len() as u64 });
        }
        (batch, moved)
    });
    counting.await.map_err(|error| Failure::bug("reading the log broke off").because(&error))
}

/// A peer that waits here learns of news by itself: it need not be called.
struct Waiting<'a> {
    shared: &'a Shared,
    peer: NodeId,
}

impl Waiting<'_> {
    fn begin(shared: &Shared, peer: NodeId) -> Waiting<'_> {
        shared.book().peer(peer).waiting += 1;
        Waiting { shared, peer }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut book = self.shared.book();
        let state = book.peer(self.peer);
        state.waiting = state.waiting.saturating_sub(1);
        state.woken = Some(std::time::Instant::now());
    }
}

fn wake_up(reason: WakeReason) -> Response {
    Response::Wake(WakeUp { reason })
}

/// What a request to a path may weigh. Strangers speak only to `join`.
fn bytes_max(path: Path) -> usize {
    match path {
        Path::Push => limits::BODY_BYTES_MAX,
        Path::Join => JOIN_BYTES_MAX,
        _ => limits::MESSAGE_BYTES_MAX,
    }
}

/// Names, addresses and a proof.
const JOIN_BYTES_MAX: usize = 64 << 10;

pub(crate) fn refused(refusal: Refusal) -> OutgoingResponse {
    let status = match refusal.code.as_str() {
        wire_code::MALFORMED => 400,
        wire_code::BUSY => 503,
        _ => 403,
    };
    OutgoingResponse::new(status, Response::Refused(refusal).encode())
}

fn busy(text: &str) -> Refusal {
    Refusal { retry_ms: Some(RETRY_MS), ..Refusal::new(code::BUSY, text) }
}

/// When to try again what this node cannot do now.
const RETRY_MS: u64 = 5_000;
