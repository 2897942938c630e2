//! The daemon's one loop: everything that can wake it is a [`Wake`], everything it does follows from one. It decides whom to call and
//! when, keeps the record, and never waits for anything itself: what takes time runs beside it and wakes it when it is done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rowmesh_core::clock::WallTime;
use rowmesh_core::exchange::{Schedule, Tick, Timing};
use rowmesh_core::ident::NodeId;
use rowmesh_core::wire::WakeReason;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::MissedTickBehavior;
use tracing::{debug, info};

use crate::answers;
use crate::control::api::{Answer, Question};
use crate::control::server::Asked;
use crate::exchanger::Outcome;
use crate::failure::Failure;
use crate::partitions;
use crate::recorder::{Record, Recorder};
use crate::responder::Heard;
use crate::scribe::Scribe;
use crate::shared::Shared;
use crate::store_thread::{Exposed, Noticed};
use crate::transport::{RequestError, Server};

use calls::{EXCHANGES_MAX, Running};
use syncs::{Sync, Wish};
use visits::Inbound;

mod calls;
mod clocks;
mod exchanges;
mod lives;
mod loads;
mod nudges;
mod syncs;
mod visits;

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
    SyncReady(Wish),
    /// A person resumed what was paused.
    Resumed,
    /// End.
    Stop,
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
    /// When a disk that refused a write was last asked again.
    wrote: Instant,
    /// When it was last looked whether the clock had been ahead.
    clock_looked: Instant,
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

/// What the daemon is made of beside what is shared.
pub(crate) struct Mouths {
    pub(crate) wakes: mpsc::UnboundedReceiver<Wake>,
    pub(crate) notices: mpsc::UnboundedReceiver<Noticed>,
    pub(crate) questions: mpsc::Receiver<Asked>,
    pub(crate) server: Option<Server>,
}

/// How often parked events are tried again, and a disk that refused a write.
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
            wrote: Instant::now(),
            clock_looked: Instant::now(),
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
                Wake::Took { conflicts, parked, sealed } => self.took(conflicts, parked, sealed),
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
                Wake::SyncReady(wish) => self.sync(wish),
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

    /// Ends everything that is under way, within [`STOP_GRACE`] and a little: what is lost by that comes again.
    async fn stop(mut self) {
        info!("stopping");
        self.shared.closing.send_replace(true);
        self.end_syncs(|_| true);
        self.waits.values().for_each(AbortHandle::abort);
        let exchanges = async { while self.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(STOP_GRACE / 2, exchanges).await;
        self.tasks.shutdown().await;
        if let Some(server) = self.server.take() {
            server.shutdown(STOP_GRACE).await;
        }
        self.shared.book().retain(|_| false);
        self.end_visits(self.shared.clock.now(), |_| true);
        self.count_what_waits();
        let records = self.recorder.close();
        self.write(records);
        if let Some(scribe) = self.scribe.take() {
            scribe.end().await;
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

/// What the loop does itself.
impl Daemon {
    fn second(&mut self) {
        let now = self.shared.clock.now();
        self.bury_tasks();
        self.end_visits(now, Inbound::is_quiet);
        let watched: Vec<NodeId> =
            self.others().into_iter().filter(|peer| !self.shared.book().is_paused(Some(*peer), now)).collect();
        let watched = if self.shared.standstill().is_some() { Vec::new() } else { watched };
        let records = self.recorder.tick(now, &watched);
        self.write(records);
        self.keep_schedule();
        self.retry_parked(now);
        self.retry_writing();
        self.press_syncs();
        self.mend_clock();
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

    /// A disk that refused a write is asked again: nobody else may have anything to write for hours.
    fn retry_writing(&mut self) {
        if self.shared.book().writing.is_none() || self.wrote.elapsed() < UNPARK_INTERVAL {
            return;
        }
        self.wrote = Instant::now();
        let shared = self.shared.clone();
        self.tasks.spawn(async move {
            if shared.members.try_to_write(&shared.store.exposed()).await.is_ok() {
                shared.book().writing = None;
                shared.wake(Wake::Resumed);
            }
        });
    }

    fn took(&mut self, conflicts: u64, parked: u64, sealed: u64) {
        self.recorder.add("conflicts", None, conflicts);
        self.recorder.add("events_sealed", None, sealed);
        self.parked |= parked > 0;
    }

    /// The loop has ended: what was done and not told yet belongs into the figures all the same.
    fn count_what_waits(&mut self) {
        while let Ok(wake) = self.sources.wakes.try_recv() {
            if let Wake::Took { conflicts, parked, sealed } = wake {
                self.took(conflicts, parked, sealed);
            }
        }
        while let Ok(noticed) = self.sources.notices.try_recv() {
            self.noticed(noticed);
        }
    }

    fn noticed(&mut self, noticed: Noticed) {
        match noticed {
            Noticed::Sealed(sealed) => {
                self.recorder.add("changesets_sealed", None, sealed.dots.len() as u64);
                self.recorder.add("events_sealed", None, sealed.events);
            }
            Noticed::Schema(found) => {
                let notice = (!found.is_empty()).then(|| found.join("; "));
                debug!(?notice, "the schema moved");
                // What the tables were to show by it, or by a policy that people changed, may have been refused.
                self.parked = true;
            }
            Noticed::CaptureFails(failure) => self.shared.book().capture = Some(failure),
            Noticed::CaptureWorks => self.shared.book().capture = None,
            Noticed::WritingFails(failure) => self.shared.book().writing = Some(failure),
        }
    }

    fn asked(&mut self, asked: Asked) {
        let Asked { question, reply } = asked;
        let shared = self.shared.clone();
        match question {
            Question::Sync { peer, wait, timeout_ms } => {
                let peers = match peer.map(|peer| answers::find_peer(&shared, &peer)).transpose() {
                    Ok(Some(peer)) => vec![peer],
                    Ok(None) => self.others(),
                    Err(failure) => return drop(reply.send(Answer::Failed(failure))),
                };
                let deadline = Instant::now() + Duration::from_millis(timeout_ms);
                self.tasks.spawn(async move {
                    match shared.store.capture_all(deadline).await {
                        Ok(()) => shared.wake(Wake::SyncReady(Wish { peers, wait, deadline, reply })),
                        Err(failure) => drop(reply.send(Answer::Failed(failure))),
                    }
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

    fn write(&mut self, records: Vec<Record>) {
        if records.iter().any(|record| matches!(record, Record::Partition(_))) {
            partitions::keep(&self.shared.options.data, &self.recorder.lost());
        }
        if let Some(scribe) = self.scribe.as_ref().filter(|_| !records.is_empty()) {
            scribe.write(records);
        }
    }
}
