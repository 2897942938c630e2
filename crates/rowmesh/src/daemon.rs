//! The daemon's one loop: everything that can wake it is a [`Wake`], everything it does follows from one. It decides whom to call and
//! when, keeps the record, and never waits for anything itself: what takes time runs beside it and wakes it when it is done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rowmesh_core::clock::{VersionVector, WallTime};
use rowmesh_core::exchange::{Schedule, Summary, Tick, Timing};
use rowmesh_core::ident::NodeId;
use rowmesh_core::wire::WakeReason;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::MissedTickBehavior;
use tracing::{debug, info, warn};

use crate::answers;
use crate::control::api::{Answer, Question};
use crate::control::server::Asked;
use crate::exchanger::{self, Outcome};
use crate::failure::{Failure, code};
use crate::joining::{self, Applicant, Unfinished};
use crate::notices::{held_here, held_there};
use crate::partitions;
use crate::random::random;
use crate::recorder::{Exchanged, Moved, Record, Recorder};
use crate::responder::Heard;
use crate::scribe::Scribe;
use crate::shared::{Shared, restored, two_lives};
use crate::store_thread::{Exposed, Noticed};
use crate::transport::{RequestError, Server};

/// Everything that can wake the daemon.
#[derive(Debug)]
pub(crate) enum Wake {
    /// A second has passed.
    Second,
    /// Somebody is due to be called.
    Due,
    /// The store's thread did or met something by itself.
    Noticed(Noticed),
    /// The store took in something from elsewhere.
    Took {
        /// Ledger entries that are new.
        conflicts: u64,
        /// Events that are parked because of it.
        parked: u64,
        /// Events of our own that were sealed on the way.
        sealed: u64,
    },
    /// So many events are still parked after another attempt.
    StillParked(u64),
    /// What may be told to others has moved.
    Exposed,
    /// The roster has moved.
    Roster,
    /// An exchange that we began has ended.
    Exchanged(NodeId, Box<Outcome>),
    /// A peer that was left to fetch something by itself has had time for it.
    Owed(NodeId),
    /// A peer asked something of us.
    Heard(NodeId, Heard),
    /// A peer that we wait at has answered, or the wait broke off.
    News(NodeId, Result<WakeReason, RequestError>),
    /// Somebody knows more of what this node has made than it does itself, up to this life of it.
    OtherLife(u32),
    /// The database has a new incarnation.
    Renewed,
    /// The initial copy is complete.
    Loaded,
    /// The initial copy broke off and is tried again.
    LoadFails(Failure),
    /// A person asks something.
    Asked(Asked),
    /// What was dirty is sealed: now exchange, as a person asked.
    SyncReady(Sync),
    /// A person resumed what was paused.
    Resumed,
    /// End.
    Stop,
}

/// A person waits for exchanges to be done.
#[derive(Debug)]
pub(crate) struct Sync {
    peers: BTreeSet<NodeId>,
    todo: BTreeSet<NodeId>,
    wait: bool,
    asked: Instant,
    deadline: Instant,
    reply: oneshot::Sender<Answer>,
}

/// The loop and what only it knows.
pub(crate) struct Daemon {
    shared: Arc<Shared>,
    schedule: Schedule,
    recorder: Recorder,
    scribe: Option<Scribe>,
    running: BTreeMap<NodeId, Running>,
    waits: BTreeMap<NodeId, AbortHandle>,
    /// Peers that have said that they have news, and with which no exchange has ended since.
    woken_by: BTreeSet<NodeId>,
    inbound: BTreeMap<NodeId, Inbound>,
    syncs: Vec<Sync>,
    tasks: JoinSet<()>,
    sources: Sources,
    server: Option<Server>,
    /// How often peers have shown that this node's name has been used beyond what it knows.
    renewals: u32,
    renewing: bool,
    /// Whether events may be parked that another attempt could show, and when the last one was made.
    parked: bool,
    unparked: Instant,
}

/// Where wakes come from.
struct Sources {
    wakes: mpsc::UnboundedReceiver<Wake>,
    notices: mpsc::UnboundedReceiver<Noticed>,
    questions: mpsc::Receiver<Asked>,
    exposed: watch::Receiver<Arc<Exposed>>,
    roster: watch::Receiver<Arc<rowmesh_core::roster::Roster>>,
    seconds: tokio::time::Interval,
}

/// An exchange that is under way.
struct Running {
    started: Instant,
    /// What could be told when it began: what came later it may not carry.
    exposed: Arc<Exposed>,
    task: Option<tokio::task::Id>,
}

/// What a peer has done here lately: its requests are put together to one exchange.
#[derive(Debug)]
struct Inbound {
    started_at: WallTime,
    last: Instant,
    sent: Moved,
    received: Moved,
}

/// What the daemon is made of beside what is shared.
pub(crate) struct Mouths {
    pub(crate) wakes: mpsc::UnboundedReceiver<Wake>,
    pub(crate) notices: mpsc::UnboundedReceiver<Noticed>,
    pub(crate) questions: mpsc::Receiver<Asked>,
    pub(crate) server: Option<Server>,
}

/// Exchanges under way at the same time.
const EXCHANGES_MAX: usize = 16;
/// Requests of one peer that are no further apart than this are one exchange.
const INBOUND_QUIET: Duration = Duration::from_secs(1);
/// A peer that was woken has this long to fetch what it was woken for before it is called.
const FETCH_PATIENCE: Duration = Duration::from_millis(100);
/// How often parked events are tried again.
const UNPARK_INTERVAL: Duration = Duration::from_secs(5);
/// For requests and exchanges in progress when the node stops.
const STOP_GRACE: Duration = Duration::from_secs(2);

impl Daemon {
    pub(crate) fn new(shared: Arc<Shared>, mouths: Mouths) -> Daemon {
        let Mouths { wakes, notices, questions, server } = mouths;
        let interval_ms = u64::try_from(shared.options.interval.as_millis()).unwrap_or(u64::MAX);
        let timing = Timing {
            interval_ms,
            backoff_max_ms: Timing::default().backoff_max_ms.min(interval_ms.saturating_mul(10)),
            ..Timing::default()
        };
        let lost_after_ms = interval_ms.saturating_mul(u64::from(shared.options.missed_intervals_max.max(1)));
        let lost = partitions::open_ones(&shared.options.data);
        let mut seconds = tokio::time::interval(Duration::from_secs(1).min(shared.options.interval));
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let sources = Sources {
            wakes,
            notices,
            questions,
            exposed: shared.store.follow(),
            roster: shared.members.follow(),
            seconds,
        };
        Daemon {
            schedule: Schedule::new(timing),
            recorder: Recorder::new(shared.clock.now(), lost_after_ms, lost),
            scribe: Some(Scribe::start(shared.store.clone())),
            running: BTreeMap::new(),
            waits: BTreeMap::new(),
            woken_by: BTreeSet::new(),
            inbound: BTreeMap::new(),
            syncs: Vec::new(),
            tasks: JoinSet::new(),
            sources,
            server,
            renewals: 0,
            renewing: false,
            parked: true,
            unparked: Instant::now(),
            shared,
        }
    }

    /// Runs until somebody says stop.
    pub(crate) async fn run(mut self) {
        self.follow_roster();
        self.resume_load();
        loop {
            let wake = self.next().await;
            self.shared.beat.store(self.tick().0, Ordering::Relaxed);
            match wake {
                Wake::Second => self.second(),
                Wake::Due => self.call_who_is_due(),
                Wake::Noticed(noticed) => self.noticed(noticed),
                Wake::Took { conflicts, parked, sealed } => {
                    self.recorder.add("conflicts", None, conflicts);
                    self.recorder.add("events_sealed", None, sealed);
                    self.parked |= parked > 0;
                }
                Wake::StillParked(count) => self.parked |= count > 0,
                Wake::Exposed => self.nudge_who_lacks(),
                Wake::Roster => self.follow_roster(),
                Wake::Exchanged(peer, outcome) => self.exchanged(peer, *outcome),
                Wake::Owed(peer) => self.owed(peer),
                Wake::Heard(peer, heard) => self.heard(peer, heard),
                Wake::News(peer, news) => self.news(peer, news),
                Wake::OtherLife(seen) => self.other_life(seen),
                Wake::Renewed => self.renewed(),
                Wake::Loaded => self.loaded(),
                Wake::LoadFails(failure) => drop(self.shared.book().notices.insert("load".to_owned(), failure)),
                Wake::Asked(asked) if asked.question == Question::Stop => {
                    let _ = asked.reply.send(Answer::Done);
                    break;
                }
                Wake::Asked(asked) => self.asked(asked),
                Wake::SyncReady(sync) => self.sync(sync),
                Wake::Resumed => self.resumed(),
                Wake::Stop => break,
            }
        }
        self.stop().await;
    }

    async fn next(&mut self) -> Wake {
        let due = self.schedule.next_due().map(|due| self.shared.started + Duration::from_millis(due.0));
        let has_room = self.running.len() < EXCHANGES_MAX;
        let due = async {
            match due {
                Some(due) if has_room => tokio::time::sleep_until(due.into()).await,
                _ => std::future::pending().await,
            }
        };
        let Sources { wakes, notices, questions, exposed, roster, seconds } = &mut self.sources;
        tokio::select! {
            Some(wake) = wakes.recv() => wake,
            Some(noticed) = notices.recv() => Wake::Noticed(noticed),
            Some(asked) = questions.recv() => Wake::Asked(asked),
            Ok(()) = exposed.changed() => Wake::Exposed,
            Ok(()) = roster.changed() => Wake::Roster,
            () = due => Wake::Due,
            _ = seconds.tick() => Wake::Second,
        }
    }

    fn tick(&self) -> Tick {
        Tick(u64::try_from(self.shared.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn others(&self) -> Vec<NodeId> {
        let me = self.shared.me();
        self.shared.members.roster().members().map(|(node, _)| *node).filter(|node| *node != me).collect()
    }
}

/// What time and the schedule bring.
impl Daemon {
    fn second(&mut self) {
        let now = self.shared.clock.now();
        self.bury_tasks();
        self.close_quiet_inbound(now);
        let watched: Vec<NodeId> =
            self.others().into_iter().filter(|peer| !self.shared.book().is_paused(Some(*peer), now)).collect();
        let watched = if self.shared.standstill().is_some() { Vec::new() } else { watched };
        let records = self.recorder.tick(now, &watched);
        self.write(records);
        self.keep_schedule();
        self.retry_parked(now);
        self.end_late_syncs();
        self.judge_waiting_syncs();
    }

    /// What was parked drains by itself once its cause is gone.
    fn retry_parked(&mut self, now: WallTime) {
        if !self.parked || self.unparked.elapsed() < UNPARK_INTERVAL || self.shared.loading.borrow().is_some() {
            return;
        }
        (self.parked, self.unparked) = (false, Instant::now());
        let shared = self.shared.clone();
        self.tasks.spawn(async move {
            match shared.store.write(move |store| store.retry_parked(now)).await {
                Ok(count) => shared.wake(Wake::StillParked(count)),
                Err(failure) => {
                    debug!(%failure, "parked events could not be tried again");
                    shared.wake(Wake::StillParked(1));
                }
            }
        });
    }

    /// A task that panicked has told nobody that it ended.
    fn bury_tasks(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            let Err(error) = ended else { continue };
            let peer = self.running.iter().find(|(_, running)| running.task == Some(error.id())).map(|(peer, _)| *peer);
            let Some(peer) = peer.filter(|_| error.is_panic()) else { continue };
            warn!(?peer, %error, "an exchange met a mistake of ours");
            self.running.remove(&peer);
            let failure = Failure::bug("an exchange met a mistake of ours");
            self.shared.book().peer(peer).failure = Some(failure);
            self.schedule.failed(self.tick(), &peer, true, dice());
        }
    }

    /// Whom to call: members with an address that nobody has paused.
    fn keep_schedule(&mut self) {
        let roster = self.shared.members.roster();
        let now = self.shared.clock.now();
        let me = self.shared.me();
        let stands_still = self.shared.standstill().is_some() || !roster.is_member(&me);
        let may_call = |node: &NodeId| {
            let has_address = roster.member(node).is_some_and(|member| !member.addresses.is_empty());
            *node != me && has_address && !stands_still && !self.shared.book().is_paused(Some(*node), now)
        };
        let wanted: BTreeSet<NodeId> = roster.members().map(|(node, _)| *node).filter(may_call).collect();
        let unwanted: Vec<NodeId> = self.schedule.peers().filter(|peer| !wanted.contains(peer)).copied().collect();
        unwanted.iter().filter(|peer| !self.running.contains_key(peer)).for_each(|peer| self.schedule.remove(peer));
        let tick = self.tick();
        for peer in wanted {
            self.schedule.add(tick, peer, dice());
        }
    }

    fn call_who_is_due(&mut self) {
        while self.running.len() < EXCHANGES_MAX {
            let Some(peer) = self.schedule.poll_due(self.tick()) else { return };
            self.call(peer);
        }
    }

    fn call(&mut self, peer: NodeId) {
        let roster = self.shared.members.roster();
        let Some(member) = roster.member(&peer) else { return self.schedule.remove(&peer) };
        let now = self.shared.clock.now();
        if self.shared.standstill().is_some() || self.shared.book().is_paused(Some(peer), now) {
            return self.schedule.remove(&peer);
        }
        let kept = self.shared.book().peer(peer).connection.clone();
        let running = Running { started: Instant::now(), exposed: self.shared.store.exposed(), task: None };
        let exchange = exchanger::exchange(self.shared.clone(), peer, member.addresses.clone(), kept);
        let shared = self.shared.clone();
        let task = self.tasks.spawn(async move {
            let outcome = exchange.await;
            shared.wake(Wake::Exchanged(peer, Box::new(outcome)));
        });
        self.running.insert(peer, Running { task: Some(task.id()), ..running });
    }

    /// Something new may be told: calls those who lack it and do not wait for it already.
    fn nudge_who_lacks(&mut self) {
        self.shared.book().last_change = Some(self.shared.clock.now());
        if self.shared.options.nudge {
            let lacking: Vec<NodeId> = self.others().into_iter().filter(|peer| self.lacks_something(peer)).collect();
            lacking.into_iter().for_each(|peer| self.nudge(peer));
        }
        self.judge_waiting_syncs();
    }

    fn nudge(&mut self, peer: NodeId) {
        if self.running.contains_key(&peer) {
            return;
        }
        // Who waits here is answered by itself; who has just been answered is about to fetch, and is looked at again in a moment.
        let (waits, fetches) = {
            let mut book = self.shared.book();
            let state = book.peer(peer);
            let fetches = state.woken.is_some_and(|woken| woken.elapsed() < FETCH_PATIENCE);
            (state.waiting > 0, fetches.then(|| std::mem::replace(&mut state.owed, true)))
        };
        match fetches {
            _ if waits => {}
            Some(true) => {}
            Some(false) => self.look_again_at(peer),
            // Who is backed off from is not called sooner for a nudge.
            None if self.schedule.failures(&peer) == 0 => self.schedule.nudge_peer(self.tick(), &peer),
            None => {}
        }
    }

    fn look_again_at(&mut self, peer: NodeId) {
        let shared = self.shared.clone();
        self.tasks.spawn(async move {
            tokio::time::sleep(FETCH_PATIENCE).await;
            shared.wake(Wake::Owed(peer));
        });
    }

    /// A peer that was left to fetch something by itself has had its time.
    fn owed(&mut self, peer: NodeId) {
        self.shared.book().peer(peer).owed = false;
        if self.lacks_something(&peer) {
            self.nudge(peer);
        }
    }

    fn lacks_something(&self, peer: &NodeId) -> bool {
        let exposed = self.shared.store.exposed();
        let ours = &exposed.position.vector;
        let mut book = self.shared.book();
        let state = book.peer(*peer);
        state.vector.lacks_of(ours) > 0 && state.offered.lacks_of(ours) > 0
    }

    fn resumed(&mut self) {
        self.keep_schedule();
        let tick = self.tick();
        self.others().iter().for_each(|peer| self.schedule.nudge_peer(tick, peer));
    }
}

/// What the members bring.
impl Daemon {
    fn follow_roster(&mut self) {
        let roster = self.shared.members.roster();
        self.shared.book().retain(|node| roster.is_member(node));
        if let Some(server) = &self.server {
            roster.revoked().for_each(|(node, _)| server.disconnect(*node));
        }
        let gone: Vec<NodeId> = self.waits.keys().filter(|peer| !roster.is_member(peer)).copied().collect();
        gone.iter().filter_map(|peer| self.waits.remove(peer)).for_each(|wait| wait.abort());
        if roster.is_revoked(&self.shared.me()) {
            let failure = Failure::new(code::REMOVED, "this node was removed from the mesh").hint(
                "To come back it needs a new identity and a new invite:",
                "rowmesh up new.db --name NEW --join INVITE",
            );
            self.shared.book().notices.insert("removed".to_owned(), failure);
        }
        self.keep_schedule();
        if self.shared.options.nudge {
            let hash = roster.hash();
            let knows =
                |peer: &NodeId| self.shared.book().peer(*peer).said.as_ref().is_some_and(|said| said.roster == hash);
            let ignorant: Vec<NodeId> = self.others().into_iter().filter(|peer| !knows(peer)).collect();
            ignorant.into_iter().for_each(|peer| self.nudge(peer));
        }
    }

    fn exchanged(&mut self, peer: NodeId, outcome: Outcome) {
        let Outcome { connection, summary, exchanged, may_retry } = outcome;
        let Some(running) = self.running.remove(&peer) else { return };
        let now = exchanged.ended_at;
        let tick = self.tick();
        let exposed = self.shared.store.exposed();
        self.note(peer, connection, &summary, &exchanged);
        match &exchanged.failure {
            None => {
                let moved = exchanged.sent.changesets + exchanged.received.changesets > 0;
                let even = is_even(&summary.peer_vector, &exposed.position.vector);
                self.schedule.succeeded(tick, &peer, summary.unfinished && moved, even, dice());
            }
            Some(failure) => {
                debug!(peer = ?peer, %failure, "an exchange failed");
                self.schedule.failed(tick, &peer, may_retry, dice());
            }
        }
        let succeeded = exchanged.failure.is_none();
        let records = self.recorder.exchanged(&exchanged);
        self.write(records);
        // Who wakes us for what we cannot take in would wake us for ever: the next exchange is the one that is due.
        let brought = summary.received.changesets > 0 || summary.roster_received > 0;
        let is_fruitless = self.woken_by.remove(&peer) && !brought;
        let moved = brought || summary.sent.changesets > 0;
        if succeeded {
            if !is_fruitless {
                self.wait_at(peer, now);
            }
            // What came up meanwhile may have been too late for this exchange.
            if self.shared.options.nudge && !Arc::ptr_eq(&running.exposed, &exposed) && self.lacks_something(&peer) {
                self.nudge(peer);
            }
        }
        self.judge_syncs(peer, running.started, succeeded && moved);
    }

    /// Writes down what an exchange has shown of a peer.
    fn note(
        &mut self,
        peer: NodeId,
        connection: Option<Arc<crate::transport::Connection>>,
        summary: &Summary,
        exchanged: &Exchanged,
    ) {
        let name = self.shared.members.name_of(&peer);
        let mut book = self.shared.book();
        if let Some(hello) = &summary.peer {
            book.hears(hello, exchanged.ended_at);
        }
        let state = book.peer(peer);
        if summary.peer.is_some() {
            state.vector.clone_from(&summary.peer_vector);
        }
        if let Some(connection) = &connection {
            state.address = connection.peer_address().to_string();
        }
        state.connection = connection;
        state.failure.clone_from(&exchanged.failure);
        state.dialled = exchanged.failure.is_none();
        if exchanged.failure.is_none() {
            let pruned = summary.we_need_older.then(|| {
                Failure::new(code::LOG_PRUNED, format!("{name} no longer has changes that this node lacks")).hint(
                    "Another peer may have them; otherwise this node has to join anew:",
                    "rowmesh up new.db --name NEW --join INVITE",
                )
            });
            set(&mut book.notices, format!("pruned {peer}"), pruned);
            let roster = self.shared.members.roster();
            let name_of =
                |node: &NodeId| roster.member(node).map_or_else(|| node.short(), |member| member.name.clone());
            let here = summary.held.iter().chain(&summary.refused);
            set(&mut book.notices, format!("held {peer}"), held_here(here, &name_of));
            let there = summary.held_by_peer.iter().chain(&summary.refused_by_peer);
            set(&mut book.notices, format!("held by {peer}"), held_there(there, &name));
        }
    }

    fn heard(&mut self, peer: NodeId, heard: Heard) {
        let now = self.shared.clock.now();
        let Heard { hello, has, offered, sent, received } = heard;
        {
            let mut book = self.shared.book();
            if let Some(hello) = &hello {
                book.hears(hello, now);
                book.peer(peer).called = Some(Instant::now());
            }
            let state = book.peer(peer);
            state.last_seen = Some(now);
            if let Some(has) = has {
                state.vector.join(&has);
            }
            if let Some(offered) = offered {
                state.offered = offered;
            }
        }
        self.schedule.heard_from(self.tick(), &peer);
        let inbound = self.inbound.entry(peer).or_insert_with(|| Inbound {
            started_at: now,
            last: Instant::now(),
            sent: Moved::default(),
            received: Moved::default(),
        });
        inbound.last = Instant::now();
        inbound.sent.add(sent);
        inbound.received.add(received);
        self.judge_waiting_syncs();
    }

    fn close_quiet_inbound(&mut self, now: WallTime) {
        let quiet = |inbound: &Inbound| inbound.last.elapsed() >= INBOUND_QUIET;
        let ended: Vec<NodeId> =
            self.inbound.iter().filter(|(_, inbound)| quiet(inbound)).map(|(peer, _)| *peer).collect();
        for peer in ended {
            let Some(inbound) = self.inbound.remove(&peer) else { continue };
            let Inbound { started_at, sent, received, .. } = inbound;
            let exchanged =
                Exchanged { peer, dialled: false, started_at, ended_at: now, sent, received, failure: None };
            let records = self.recorder.exchanged(&exchanged);
            self.write(records);
        }
    }

    /// A peer that has not called us of late may be unable to: then we wait at it, so that its news reaches us at once.
    fn wait_at(&mut self, peer: NodeId, now: WallTime) {
        let patience = self.shared.options.interval * 5 / 2;
        let (connection, calls) = {
            let book = self.shared.book();
            let Some(state) = book.get(&peer) else { return };
            let calls = state.called.is_some_and(|called| called.elapsed() < patience);
            (state.connection.clone(), calls || book.is_paused(Some(peer), now))
        };
        let Some(connection) = connection.filter(|_| !calls && self.shared.options.nudge) else { return };
        if self.waits.contains_key(&peer) {
            return;
        }
        let shared = self.shared.clone();
        let wait = self.tasks.spawn(async move {
            let news = exchanger::wait_for_news(&shared, &connection).await;
            shared.wake(Wake::News(peer, news));
        });
        self.waits.insert(peer, wait);
    }

    fn news(&mut self, peer: NodeId, news: Result<WakeReason, RequestError>) {
        self.waits.remove(&peer);
        match news {
            Ok(WakeReason::Timeout) => self.wait_at(peer, self.shared.clock.now()),
            Ok(WakeReason::Closing) => {}
            Ok(_) => {
                self.woken_by.insert(peer);
                self.schedule.nudge_peer(self.tick(), &peer);
            }
            Err(error) => {
                debug!(?peer, error = &error as &dyn std::error::Error, "waiting at a peer broke off");
                self.schedule.nudge_peer(self.tick(), &peer);
            }
        }
    }

    /// Others know changes under this node's name that it does not know. Once, the database was put back; twice, somebody else makes them.
    fn other_life(&mut self, seen: u32) {
        let own = self.shared.store.exposed().position.origin;
        // The first of several who noticed has been heard.
        if seen < own.incarnation.count || self.renewing || self.shared.two_lives.load(Ordering::Relaxed) {
            return;
        }
        self.renewals += 1;
        if self.renewals > 1 {
            warn!("another machine uses this node's identity; capture and exchange stop until a person has chosen");
            self.shared.two_lives.store(true, Ordering::Relaxed);
            self.shared.book().notices.insert("lives".to_owned(), two_lives());
            let store = self.shared.store.clone();
            self.tasks.spawn(async move { drop(store.set_capturing(false).await) });
            return;
        }
        self.renewing = true;
        self.shared.book().notices.insert("lives".to_owned(), restored());
        let shared = self.shared.clone();
        self.tasks.spawn(async move {
            if let Err(failure) = shared.store.renew(seen).await {
                warn!(%failure, "no new incarnation could be taken");
            }
            shared.wake(Wake::Renewed);
        });
    }

    fn renewed(&mut self) {
        self.renewing = false;
        self.resumed();
    }
}

/// What the store and people bring.
impl Daemon {
    fn noticed(&mut self, noticed: Noticed) {
        match noticed {
            Noticed::Sealed(sealed) => {
                self.recorder.add("changesets_sealed", None, sealed.dots.len() as u64);
                self.recorder.add("events_sealed", None, sealed.events);
            }
            Noticed::Schema(found) => {
                let notice = (!found.is_empty()).then(|| found.join("; "));
                debug!(?notice, "the schema moved");
            }
            Noticed::CaptureFails(failure) => self.shared.book().capture = Some(failure),
            Noticed::CaptureWorks => self.shared.book().capture = None,
        }
    }

    fn resume_load(&mut self) {
        if self.shared.loading.borrow().is_none() {
            return;
        }
        let shared = self.shared.clone();
        self.tasks.spawn(async move {
            let mut pause = Duration::from_millis(500);
            loop {
                match finish_load(&shared).await {
                    Ok(()) => return shared.wake(Wake::Loaded),
                    Err(failure) => {
                        warn!(%failure, "the initial copy did not come whole; it begins anew");
                        shared.wake(Wake::LoadFails(failure));
                    }
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(30));
            }
        });
    }

    fn loaded(&mut self) {
        info!("the initial copy is complete; live");
        self.shared.loading.send_replace(None);
        self.shared.book().notices.remove("load");
        self.resumed();
    }

    fn asked(&mut self, asked: Asked) {
        let Asked { question, reply } = asked;
        let shared = self.shared.clone();
        match question {
            Question::Sync { peer, wait, timeout_ms } => {
                let peers = match peer.map(|peer| answers::find_peer(&shared, &peer)).transpose() {
                    Ok(Some(peer)) => BTreeSet::from([peer]),
                    Ok(None) => self.others().into_iter().collect(),
                    Err(failure) => return drop(reply.send(Answer::Failed(failure))),
                };
                let asked = Instant::now();
                let deadline = asked + Duration::from_millis(timeout_ms);
                self.tasks.spawn(async move {
                    if let Err(failure) = shared.store.capture().await {
                        return drop(reply.send(Answer::Failed(failure)));
                    }
                    let todo = peers.clone();
                    shared.wake(Wake::SyncReady(Sync { peers, todo, wait, asked, deadline, reply }));
                });
            }
            question => {
                self.tasks.spawn(async move {
                    let answer = answers::answer(&shared, question).await.unwrap_or_else(Answer::Failed);
                    let _ = reply.send(answer);
                });
            }
        }
    }

    fn sync(&mut self, mut sync: Sync) {
        sync.asked = Instant::now();
        self.keep_schedule();
        let tick = self.tick();
        let called: BTreeSet<NodeId> = self.schedule.peers().copied().collect();
        for peer in &sync.peers {
            self.schedule.nudge_peer(tick, peer);
        }
        // Who cannot be called comes by itself, if it is in touch at all; there is nothing to wait for but that.
        let now = self.shared.clock.now();
        let wait = sync.wait;
        let comes = |peer: &NodeId| {
            let book = self.shared.book();
            let Some(state) = book.get(peer) else { return false };
            let silent = state.last_seen.map_or(u64::MAX, |last_seen| now.0.saturating_sub(last_seen.0));
            state.waiting > 0 || (wait && u128::from(silent) < 2 * self.shared.options.interval.as_millis())
        };
        sync.todo.retain(|peer| called.contains(peer) || comes(peer));
        self.syncs.push(sync);
        self.judge_waiting_syncs();
    }

    /// An exchange with a peer ended: some people have waited for that.
    fn judge_syncs(&mut self, peer: NodeId, started: Instant, moved: bool) {
        let is_even = answers::is_even(&self.shared, &peer);
        let tick = self.tick();
        let mut again = false;
        for sync in &mut self.syncs {
            if sync.todo.contains(&peer) && started >= sync.asked {
                if sync.wait && moved && !is_even {
                    again = true;
                } else {
                    sync.todo.remove(&peer);
                }
            }
        }
        if again {
            self.schedule.nudge_peer(tick, &peer);
        }
        self.judge_waiting_syncs();
    }

    /// Those who come by themselves are done when they have everything.
    fn judge_waiting_syncs(&mut self) {
        if self.syncs.is_empty() {
            return;
        }
        let called: BTreeSet<NodeId> = self.schedule.peers().copied().collect();
        let shared = self.shared.clone();
        for sync in &mut self.syncs {
            sync.todo.retain(|peer| called.contains(peer) || !answers::is_even(&shared, peer));
        }
        let (done, waiting) = std::mem::take(&mut self.syncs).into_iter().partition(|sync| sync.todo.is_empty());
        self.syncs = waiting;
        done.into_iter().for_each(|sync: Sync| end_sync(&shared, sync));
    }

    fn end_late_syncs(&mut self) {
        let now = Instant::now();
        let (late, waiting) = std::mem::take(&mut self.syncs).into_iter().partition(|sync| sync.deadline <= now);
        self.syncs = waiting;
        let shared = self.shared.clone();
        late.into_iter().for_each(|sync: Sync| end_sync(&shared, sync));
    }

    fn write(&mut self, records: Vec<Record>) {
        if records.iter().any(|record| matches!(record, Record::Partition(_))) {
            partitions::keep(&self.shared.options.data, &self.recorder.lost());
        }
        if let Some(scribe) = self.scribe.as_ref().filter(|_| !records.is_empty()) {
            scribe.write(records);
        }
    }

    /// Ends everything that is under way, within [`STOP_GRACE`] and a little: what is lost by that comes again.
    async fn stop(mut self) {
        info!("stopping");
        self.shared.closing.send_replace(true);
        let syncs = std::mem::take(&mut self.syncs);
        syncs.into_iter().for_each(|sync| end_sync(&self.shared, sync));
        self.waits.values().for_each(AbortHandle::abort);
        let exchanges = async { while self.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(STOP_GRACE / 2, exchanges).await;
        self.tasks.shutdown().await;
        if let Some(server) = self.server.take() {
            server.shutdown(STOP_GRACE).await;
        }
        self.shared.book().retain(|_| false);
        let mut records = Vec::new();
        let now = self.shared.clock.now();
        for (peer, inbound) in std::mem::take(&mut self.inbound) {
            let Inbound { started_at, sent, received, .. } = inbound;
            let exchanged =
                Exchanged { peer, dialled: false, started_at, ended_at: now, sent, received, failure: None };
            records.extend(self.recorder.exchanged(&exchanged));
        }
        records.extend(self.recorder.close());
        self.write(records);
        if let Some(scribe) = self.scribe.take() {
            scribe.end().await;
        }
    }
}

async fn finish_load(shared: &Arc<Shared>) -> Result<(), Failure> {
    let sponsor = Unfinished::read(&shared.options.data)?.map_or_else(|| shared.me(), |note| note.sponsor);
    let applicant =
        Applicant { key: &shared.key, options: &shared.options, store: &shared.store, addresses: Vec::new() };
    let say = |progress: crate::snapshots::Progress| {
        shared.loading.send_replace(Some(format!("{} of {} rows", progress.rows, progress.rows_total)));
    };
    joining::load(&applicant, &shared.members.roster(), sponsor, None, &say).await?;
    shared.store.set_capturing(true).await
}

fn end_sync(shared: &Shared, sync: Sync) {
    let complete = sync.peers.iter().all(|peer| answers::is_even(shared, peer));
    let peers = answers::peers(shared).into_iter().filter(|(node, _)| sync.peers.contains(node)).map(|(_, peer)| peer);
    let _ = sync.reply.send(Answer::Synced { complete, peers: peers.collect() });
}

fn is_even(a: &VersionVector, b: &VersionVector) -> bool {
    a.includes(b) && b.includes(a)
}

fn set(notices: &mut BTreeMap<String, Failure>, about: String, failure: Option<Failure>) {
    match failure {
        Some(failure) => drop(notices.insert(about, failure)),
        None => drop(notices.remove(&about)),
    }
}

/// Only for spreading calls in time: without dice they are less well spread.
fn dice() -> u64 {
    random().unwrap_or(0)
}
