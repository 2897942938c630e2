//! Carries one exchange with a peer through: asks the state machine of core what is next, does it over the connection or in the store,
//! tells it what came of it. Whom to call and when is the daemon's part; what an answer means is core's.

use std::sync::Arc;

use rowmesh_core::ack::SignedAck;
use rowmesh_core::clock::WallTime;
use rowmesh_core::exchange::dialer::Failure as Broken;
use rowmesh_core::exchange::{Ahead, Dialer, LogBatch, LogRequest, Options, Step, Summary};
use rowmesh_core::ident::{NodeId, Origin};
use rowmesh_core::limits;
use rowmesh_core::wire::message::code as wire_code;
use rowmesh_core::wire::{Refusal, Request, Response, Wait, WakeReason};
use std::time::Duration;
use tracing::debug;

use crate::failure::{Failure, Retry, code, dial_failure, request_failure};
use crate::intake;
use crate::recorder::{Exchanged, Moved};
use crate::shared::Shared;
use crate::transport::{Connection, OutgoingBody, RequestError, RequestFault, connect};

/// What came of an exchange that we began.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The connection, to be kept if it is still good.
    pub(crate) connection: Option<Arc<Connection>>,
    /// What was said and moved.
    pub(crate) summary: Box<Summary>,
    /// For the record.
    pub(crate) exchanged: Exchanged,
    /// Whether trying again soon can help.
    pub(crate) may_retry: bool,
}

/// Exchanges with a peer, over the connection that is there or a new one.
pub(crate) async fn exchange(
    shared: Arc<Shared>,
    peer: NodeId,
    addresses: Vec<String>,
    kept: Option<Arc<Connection>>,
) -> Outcome {
    let started_at = shared.clock.now();
    let mut attempt = Attempt { peer, name: shared.members.name_of(&peer), shared, addresses, connection: kept };
    let ended = attempt.run().await;
    let Attempt { shared, connection, .. } = attempt;
    let (summary, failure, may_retry) = match ended {
        Ok(summary) => (summary, None, true),
        Err(failed) => (failed.summary, Some(failed.failure), failed.may_retry),
    };
    let exchanged = record(peer, started_at, shared.clock.now(), &summary, failure);
    let connection = connection.filter(|connection| !connection.is_closed() && exchanged.failure.is_none());
    Outcome { connection, summary, exchanged, may_retry }
}

/// Waits at a peer until it has news for us, over a connection that exists. What we hold back is none.
pub(crate) async fn wait_for_news(
    shared: &Shared,
    connection: &Connection,
    except: Vec<Origin>,
) -> Result<WakeReason, RequestError> {
    let request = shared.view(|view| {
        Request::Wait(Wait { vector: view.vector.clone(), roster: view.roster.hash(), max_ms: WAIT_MS, except })
    });
    let path = request.path();
    let patience = Duration::from_millis(WAIT_MS) + shared.options.client_limits.answer;
    let response = connection.request_within(path.as_str(), request.encode(), patience).await?;
    match Response::decode(path, &response.body) {
        Ok(Response::Wake(wake)) => Ok(wake.reason),
        // Whoever does not let us wait is not asked again before the next exchange.
        _ => Ok(WakeReason::Closing),
    }
}

/// Shorter than the time after which an idle connection is closed.
const WAIT_MS: u64 = 50_000;
const _: () = assert!(WAIT_MS <= limits::WAIT_MS_MAX);

struct Attempt {
    shared: Arc<Shared>,
    peer: NodeId,
    name: String,
    addresses: Vec<String>,
    connection: Option<Arc<Connection>>,
}

/// What was done ahead of its turn.
enum Fetched {
    Response(Response),
    Log(LogBatch),
}

impl Fetched {
    fn tell(self, dialer: &mut Dialer) {
        match self {
            Fetched::Response(response) => dialer.handle_response_ahead(response),
            Fetched::Log(batch) => dialer.handle_log_ahead(batch),
        }
    }
}

struct Ended {
    failure: Failure,
    summary: Box<Summary>,
    may_retry: bool,
}

impl Attempt {
    async fn run(&mut self) -> Result<Box<Summary>, Ended> {
        let here = |failure| Ended { failure, summary: Box::default(), may_retry: true };
        if let Some(standstill) = self.shared.standstill() {
            return Err(here(standstill));
        }
        self.shared.members.own_ack(&self.shared.store.exposed()).await.map_err(here)?;
        let was_kept = self.connection.is_some();
        let connection = self.connection().await?;
        match self.converse(&connection).await {
            // A kept connection may have been closed over there while nothing moved: that is no failure yet.
            Err(ended) if was_kept && ended.summary.peer.is_none() && connection.is_closed() => {
                debug!(peer = self.name, "the kept connection was gone");
                self.connection = None;
                let connection = self.connection().await?;
                self.converse(&connection).await
            }
            ended => ended,
        }
    }

    async fn connection(&mut self) -> Result<Arc<Connection>, Ended> {
        if let Some(connection) = self.connection.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(connection.clone());
        }
        let limits = &self.shared.options.client_limits;
        let dialled = connect(&self.shared.key, self.peer, &self.addresses, limits).await;
        let connection = Arc::new(dialled.map_err(|error| {
            let failure = dial_failure(&error, &self.name);
            let may_retry = failure.retry() == Retry::Later;
            Ended { failure, summary: Box::default(), may_retry }
        })?);
        self.connection = Some(connection.clone());
        Ok(connection)
    }

    /// The whole of one exchange.
    async fn converse(&self, connection: &Connection) -> Result<Box<Summary>, Ended> {
        let shared = &self.shared;
        let mut dialer = Dialer::new(self.peer, Options::default());
        // The machine knows what broke; why exactly is known here.
        let mut why = None;
        loop {
            let step = shared.view(|view| dialer.poll_step(view));
            let ahead = shared.view(|view| dialer.poll_ahead(view));
            let done = match step {
                Step::Send(request) => {
                    let (response, ahead) = tokio::join!(self.ask(connection, request), self.fetch(connection, ahead));
                    ahead.into_iter().for_each(|fetched| fetched.tell(&mut dialer));
                    response.and_then(|response| {
                        if let Response::Hello(reply) = &response
                            && let Some(seen) = shared.life_beyond(&reply.hello.vector)
                        {
                            return Err(shared.other_life(seen));
                        }
                        shared.view(|view| dialer.handle_response(view, response));
                        Ok(())
                    })
                }
                Step::AdoptRoster(entries) => shared.members.adopt(entries).await.map(|adopted| {
                    dialer.handle_roster_adopted(&adopted);
                }),
                Step::AdoptAcks(acks) => adopt_acks(shared, &acks).await.map(|()| dialer.handle_acks_adopted()),
                Step::Apply(changesets) => {
                    let (applied, ahead) =
                        tokio::join!(intake::take(shared, changesets), self.fetch(connection, ahead));
                    ahead.into_iter().for_each(|fetched| fetched.tell(&mut dialer));
                    applied.map(|applied| dialer.handle_applied(applied))
                }
                Step::ReadLog(request) => self.read_log(request).await.map(|batch| dialer.handle_log(batch)),
                Step::Done(summary) => return Ok(summary),
                Step::Failed(broken, summary) => {
                    let may_retry = broken.may_retry();
                    let failure = why.take().unwrap_or_else(|| self.failure_of(&broken));
                    return Err(Ended { failure, summary, may_retry });
                }
            };
            if let Err(failure) = done {
                dialer.fail(Broken::Local(failure.to_string()));
                why = Some(failure);
            }
        }
    }

    /// Does what can be done ahead. Where it fails nothing is said: it is asked for again in its turn, and what is wrong is found then.
    async fn fetch(&self, connection: &Connection, ahead: Option<Ahead>) -> Option<Fetched> {
        match ahead? {
            Ahead::Send(request) => self.ask(connection, request).await.ok().map(Fetched::Response),
            Ahead::ReadLog(request) => self.read_log(request).await.ok().map(Fetched::Log),
        }
    }

    async fn read_log(&self, request: LogRequest) -> Result<LogBatch, Failure> {
        self.shared.store.read(move |store| store.read_log(&request)).await
    }

    async fn ask(&self, connection: &Connection, request: Request) -> Result<Response, Failure> {
        let path = request.path();
        let lost = |error: RequestError| request_failure(&error, &self.name);
        let answer = connection.request_streaming(path.as_str(), OutgoingBody::from(request.encode())).await;
        let answer = answer.map_err(lost)?;
        let status = answer.status();
        let body = answer.whole(limits::BODY_BYTES_MAX).await.map_err(|fault| {
            lost(RequestError { peer: self.peer, path: path.as_str().to_owned(), fault: RequestFault::Body(fault) })
        })?;
        Response::decode(path, &body).map_err(|error| {
            Failure::new(code::BAD_ANSWER, format!("{} answers what is not understood (status {status})", self.name))
                .because(&error)
                .hint("Are both on versions that speak to each other?", "rowmesh version")
        })
    }

    fn failure_of(&self, broken: &Broken) -> Failure {
        let name = &self.name;
        match broken {
            Broken::Refused(refusal) => refused(refusal, name),
            Broken::OtherMesh(_) => Failure::new(code::OTHER_MESH, format!("{name} belongs to another mesh"))
                .because(broken)
                .hint("A node belongs to one mesh; to change, take it out first:", "rowmesh uninstall"),
            Broken::Protocol(_) => Failure::new(code::NO_COMMON_PROTOCOL, format!("{name} speaks another protocol"))
                .because(broken)
                .hint("Upgrade the older of the two:", "rowmesh version"),
            Broken::Myself | Broken::OtherIdentity(_) => {
                Failure::new(code::TWO_LIVES, format!("{name} is not who it says")).because(broken)
            }
            Broken::Connection(_) => Failure::new(code::UNREACHABLE, format!("lost {name}")).because(broken),
            _ => Failure::new(code::BAD_ANSWER, format!("the exchange with {name} broke off")).because(broken),
        }
    }
}

/// What a peer's refusal means for people.
pub(crate) fn refused(refusal: &Refusal, name: &str) -> Failure {
    match refusal.code.as_str() {
        wire_code::NOT_A_MEMBER => Failure::not_a_member(name),
        wire_code::REMOVED => Failure::new(code::REMOVED, "this node was removed from the mesh")
            .why(format!("{name} says: {}", refusal.text))
            .hint(
                "To come back it needs a new identity and a new invite:",
                "rowmesh up new.db --name NEW --join INVITE",
            ),
        other => {
            let failure = Failure::new(other, format!("{name} refuses: {}", refusal.text));
            if refusal.may_retry() { failure.hint("It is tried again by itself.", "") } else { failure }
        }
    }
}

/// Checks acknowledgements against the roster and keeps the newer ones. Those that are no good are passed over: they may be of a member
/// that this node has yet to hear of.
pub(crate) async fn adopt_acks(shared: &Shared, acks: &[Arc<[u8]>]) -> Result<(), Failure> {
    let roster = shared.members.roster();
    let verified = acks.iter().filter_map(|bytes| match SignedAck::verify(bytes, &roster) {
        Ok(ack) => Some(ack),
        Err(error) => {
            debug!(%error, "an acknowledgement is passed over");
            None
        }
    });
    shared.members.keep_verified(verified.collect()).await.map(drop)
}

fn record(
    peer: NodeId,
    started_at: WallTime,
    ended_at: WallTime,
    summary: &Summary,
    failure: Option<Failure>,
) -> Exchanged {
    let moved = |tally: rowmesh_core::wire::Tally| Moved {
        changesets: tally.changesets,
        events: tally.events,
        bytes: tally.bytes,
    };
    let (sent, received) = (moved(summary.sent), moved(summary.received));
    Exchanged { peer, dialled: true, started_at, ended_at, sent, received, failure }
}
