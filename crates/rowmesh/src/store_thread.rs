//! The one thread that the store lives on. It looks for changes of the application and seals them by itself, runs what others ask of it
//! to completion, one after the other, and makes sure that nothing is told to anybody before it is durable, here and in the mark
//! beside the key. Async ends at this file: what comes in are closures, what comes out are their results.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rowmesh_core::ident::{Digest, Incarnation, Seq};
use rowmesh_core::store::{Position, Sealed, Standing, Store, StoreErrorKind, StoreResult};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, error, info, warn};

use crate::clock::Clock;
use crate::failure::{Failure, code};
use crate::high_water::HighWater;
use crate::random::random;

/// A store's thread. Dropping it stops it after the job at hand.
#[derive(Debug)]
pub(crate) struct StoreThread {
    handle: StoreHandle,
    thread: Option<JoinHandle<()>>,
}

/// Asks things of a store's thread. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct StoreHandle {
    queue: Arc<Queue>,
    exposed: watch::Receiver<Arc<Exposed>>,
}

/// What may be told to others: durable in the database and covered by the mark beside the key.
#[derive(Debug, Default)]
pub(crate) struct Exposed {
    /// Where the node stands.
    pub(crate) position: Position,
    /// Fingerprint of the tracked tables' definitions.
    pub(crate) schema: Digest,
    /// Why nothing may leave the node at present.
    pub(crate) blocked: Option<Failure>,
}

/// What the thread did or met by itself.
#[derive(Debug)]
pub(crate) enum Noticed {
    /// It sealed changes of the application.
    Sealed(Sealed),
    /// It followed a change of the schema, one sentence for each thing found.
    Schema(Vec<String>),
    /// Looking or sealing fails.
    CaptureFails(Failure),
    /// It works again.
    CaptureWorks,
    /// The database refused a write that somebody asked for, and will until a person has done something about it.
    WritingFails(Failure),
}

/// How fast things have to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Urgency {
    /// Before any look.
    Now,
    /// When nothing urgent waits. One between two looks that are due.
    Reading,
}

type Job = Box<dyn FnOnce(&mut Keeper) + Send>;

struct Queue {
    jobs: Mutex<Jobs>,
    filled: Condvar,
}

#[derive(Default)]
struct Jobs {
    urgent: VecDeque<Job>,
    reading: VecDeque<Job>,
    stopping: bool,
    /// The thread has ended: nothing is taken any more.
    ended: bool,
    /// Since when it is at work; none while it waits.
    busy_since: Option<Instant>,
}

/// What the thread owns.
struct Keeper {
    store: Box<dyn Store>,
    high_water: HighWater,
    clock: Clock,
    exposed: watch::Sender<Arc<Exposed>>,
    noticed: mpsc::UnboundedSender<Noticed>,
    /// Whether changes of the application are sealed: not before the node has a mesh, nor while a snapshot is loaded.
    capturing: bool,
    failing: bool,
    /// Whether the last round of sealing left something for another one.
    more: bool,
    /// Since when others have kept the database locked whenever there was something to seal.
    locked_since: Option<Instant>,
    look: Duration,
}

/// How long to put up with a database that others have locked,
const LOCKED_PATIENCE: Duration = Duration::from_secs(10);
/// and how long to wait before the first further attempt, and before each at most.
const LOCKED_PAUSE: Duration = Duration::from_millis(10);
const LOCKED_PAUSE_MAX: Duration = Duration::from_millis(250);
/// While an application writes on and on, each round of sealing is followed by a rest so many times as long, and at most this long: fewer and
/// larger rounds cost it less, and a single change is sealed as soon as ever.
const REST_PER_WORK: u32 = 9;
const REST_MAX: Duration = Duration::from_millis(500);
/// After a look that failed the next one comes later, so that a database that is gone is not asked twenty times a second.
const LOOK_AFTER_FAILURE: Duration = Duration::from_secs(1);
/// A look that is late by this much goes before urgent work: while changes pour in from elsewhere nobody else looks at the schema.
const LOOK_OVERDUE: Duration = Duration::from_millis(500);

impl StoreThread {
    /// Starts the thread. It does not capture until it is told to.
    pub(crate) fn start(
        store: Box<dyn Store>,
        high_water: HighWater,
        clock: Clock,
        look: Duration,
    ) -> Result<(StoreThread, mpsc::UnboundedReceiver<Noticed>), Failure> {
        let (noticed, notices) = mpsc::unbounded_channel();
        let (exposed, seen) = watch::channel(Arc::default());
        let queue = Arc::new(Queue { jobs: Mutex::default(), filled: Condvar::new() });
        let handle = StoreHandle { queue: queue.clone(), exposed: seen };
        let mut keeper = Keeper {
            store,
            high_water,
            clock,
            exposed,
            noticed,
            capturing: false,
            failing: false,
            more: false,
            locked_since: None,
            look,
        };
        keeper.publish();
        let thread = std::thread::Builder::new()
            .name("rowmesh-store".to_owned())
            .spawn(move || run(&queue, &mut keeper))
            .map_err(|source| Failure::bug("cannot start the store's thread").because(&source))?;
        Ok((StoreThread { handle, thread: Some(thread) }, notices))
    }

    pub(crate) fn handle(&self) -> &StoreHandle {
        &self.handle
    }

    /// Ends the thread when the jobs that wait are done, and waits for it.
    pub(crate) fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        lock(&self.handle.queue).stopping = true;
        self.handle.queue.filled.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("the store's thread had panicked");
        }
    }
}

impl Drop for StoreThread {
    fn drop(&mut self) {
        self.end();
    }
}

impl StoreHandle {
    /// Runs something that changes what the node stands for: taking in, keeping, recording. What it changed is exposed before this returns.
    /// Where the database is locked for a moment it is tried again; work that has failed must have changed nothing.
    pub(crate) async fn write<T, W>(&self, work: W) -> Result<T, Failure>
    where
        T: Send + 'static,
        W: FnMut(&mut dyn Store) -> StoreResult<T> + Send + 'static,
    {
        self.patiently(Urgency::Now, work).await
    }

    /// Runs something that only reads. Long reads give way to capture between them, so keep each one short.
    pub(crate) async fn read<T, W>(&self, work: W) -> Result<T, Failure>
    where
        T: Send + 'static,
        W: FnMut(&mut dyn Store) -> StoreResult<T> + Send + 'static,
    {
        self.patiently(Urgency::Reading, work).await
    }

    async fn patiently<T, W>(&self, urgency: Urgency, mut work: W) -> Result<T, Failure>
    where
        T: Send + 'static,
        W: FnMut(&mut dyn Store) -> StoreResult<T> + Send + 'static,
    {
        let deadline = Instant::now() + LOCKED_PATIENCE;
        let mut pause = LOCKED_PAUSE;
        loop {
            let (done, again) = self
                .run(urgency, move |keeper| {
                    let done = work(&mut *keeper.store);
                    if urgency == Urgency::Now {
                        keeper.publish();
                        keeper.tell_refusal(&done);
                    }
                    (done, work)
                })
                .await?;
            match done {
                Err(error) if error.kind == StoreErrorKind::Transient && Instant::now() < deadline => {
                    debug!(error = &error as &dyn std::error::Error, "tried again soon");
                    tokio::time::sleep(pause).await;
                    (work, pause) = (again, (pause * 2).min(LOCKED_PAUSE_MAX));
                }
                done => return done.map_err(Failure::from),
            }
        }
    }

    /// Looks and seals now instead of at the next look, until all that was there when this was called is sealed. Where others keep the
    /// database locked it is tried again until the deadline.
    pub(crate) async fn capture_all(&self, deadline: Instant) -> Result<(), Failure> {
        let mut pause = LOCKED_PAUSE;
        loop {
            let round = |keeper: &mut Keeper| {
                keeper.capture()?;
                let locked = keeper.locked_since.is_some();
                Ok::<_, Failure>((keeper.capturing && keeper.more, locked))
            };
            match self.run(Urgency::Now, round).await?? {
                (false, _) => return Ok(()),
                (true, _) if Instant::now() >= deadline => return Err(not_sealed()),
                (true, false) => {}
                (true, true) => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LOCKED_PAUSE_MAX);
                }
            }
        }
    }

    /// Replaces what sealing and applying depend on.
    pub(crate) async fn set_standing(&self, standing: Standing) -> Result<(), Failure> {
        self.run(Urgency::Now, move |keeper| {
            let now = keeper.clock.now();
            let done = keeper.store.set_standing(standing, now);
            keeper.publish();
            done
        })
        .await?
        .map_err(Failure::from)
    }

    /// Begins, stops or resumes sealing. There is none before the first standing.
    pub(crate) async fn set_capturing(&self, capturing: bool) -> Result<(), Failure> {
        self.run(Urgency::Now, move |keeper| keeper.capturing = capturing).await
    }

    /// Takes a new incarnation, above all that are known here and above `seen`, the highest that a peer knows.
    pub(crate) async fn renew(&self, seen: u32) -> Result<Incarnation, Failure> {
        self.run(Urgency::Now, move |keeper| keeper.renew(seen)).await?
    }

    /// Gives what was sealed after `last` new names and times under a new incarnation. Returns how many changesets there were.
    pub(crate) async fn restamp(&self, last: Seq) -> Result<u64, Failure> {
        self.run(Urgency::Now, move |keeper| keeper.restamp(last)).await?
    }

    /// How long the job at hand has been running: a thread that hangs shows here.
    pub(crate) fn busy_for(&self) -> Duration {
        lock(&self.queue).busy_since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// What may be told to others now.
    pub(crate) fn exposed(&self) -> Arc<Exposed> {
        self.exposed.borrow().clone()
    }

    /// Follows what may be told to others.
    pub(crate) fn follow(&self) -> watch::Receiver<Arc<Exposed>> {
        self.exposed.clone()
    }

    async fn run<T: Send + 'static>(
        &self,
        urgency: Urgency,
        work: impl FnOnce(&mut Keeper) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |keeper| {
            // Whoever asked may have gone away; the work is done all the same.
            let _ = reply.send(work(keeper));
        });
        {
            let mut jobs = lock(&self.queue);
            if jobs.ended {
                return Err(ended());
            }
            match urgency {
                Urgency::Now => jobs.urgent.push_back(job),
                Urgency::Reading => jobs.reading.push_back(job),
            }
        }
        self.queue.filled.notify_all();
        answer.await.map_err(|_| ended())
    }
}

impl Keeper {
    /// Looks whether the application has changed anything, and seals it. Writes nothing if it has not.
    fn capture(&mut self) -> Result<bool, Failure> {
        if !self.capturing {
            return Ok(false);
        }
        match self.look_and_seal() {
            Ok(sealed) => {
                self.works();
                Ok(sealed)
            }
            // Somebody else writes: that passes. Only if it does not it is worth telling.
            Err(error) if error.kind == StoreErrorKind::Transient && self.has_patience() => {
                debug!(error = &error as &dyn std::error::Error, "capture tries again soon");
                self.more = true;
                Ok(false)
            }
            Err(error) => {
                let failure = Failure::from(error);
                self.fails(&failure);
                Err(failure)
            }
        }
    }

    fn has_patience(&mut self) -> bool {
        self.locked_since.get_or_insert_with(Instant::now).elapsed() < LOCKED_PATIENCE
    }

    fn look_and_seal(&mut self) -> StoreResult<bool> {
        let look = self.store.look()?;
        if look.schema_moved {
            let found = self.store.follow_schema(self.clock.now())?;
            found.iter().for_each(|sentence| info!(target: "rowmesh::schema", "{sentence}"));
            self.tell(Noticed::Schema(found));
        }
        if !look.dirty && !look.schema_moved && !self.more {
            return Ok(false);
        }
        // One round at a time: what a larger one leaves waits until those who wait for the store have had their turn.
        let sealed = self.store.seal(self.clock.now())?;
        self.more = sealed.more;
        self.publish();
        let has_sealed = !sealed.dots.is_empty();
        if has_sealed {
            debug!(changesets = sealed.dots.len(), events = sealed.events, "sealed");
            self.tell(Noticed::Sealed(sealed));
        }
        Ok(has_sealed)
    }

    fn renew(&mut self, seen: u32) -> Result<Incarnation, Failure> {
        let present = self.store.position().origin.incarnation;
        let known = Incarnation { count: present.count.max(seen), ..present };
        let next = self.high_water.next_incarnation(known, random()?);
        self.store.renew_incarnation(next)?;
        warn!(incarnation = %next, "the database goes on under a new incarnation");
        self.publish();
        Ok(next)
    }

    fn restamp(&mut self, last: Seq) -> Result<u64, Failure> {
        let present = self.store.position().origin.incarnation;
        let next = self.high_water.next_incarnation(present, random()?);
        let count = self.store.restamp(last, next, self.clock.now())?;
        info!(incarnation = %next, changesets = count, "changesets have new names and times");
        self.publish();
        Ok(count)
    }

    /// Lets others know where the node stands, once the mark beside the key says that they may.
    fn publish(&mut self) {
        let position = self.store.position();
        let schema = self.store.schema_fingerprint();
        let before = self.exposed.borrow().clone();
        if before.position == position && before.schema == schema && before.blocked.is_none() {
            return;
        }
        let own = position.vector.get(&position.origin);
        let blocked = self.high_water.cover(position.origin.incarnation, own).err();
        if let Some(failure) = &blocked {
            warn!(%failure, "nothing leaves this node until the mark beside its key can be written");
        }
        let position = if blocked.is_none() { position } else { before.position.clone() };
        self.exposed.send_replace(Arc::new(Exposed { position, schema, blocked }));
    }

    /// Where the mark could not be written it is tried again, whatever else happens.
    fn retry_mark(&mut self) {
        if self.exposed.borrow().blocked.is_some() {
            self.publish();
        }
    }

    fn works(&mut self) {
        self.locked_since = None;
        if std::mem::take(&mut self.failing) {
            info!("capture works again");
            self.tell(Noticed::CaptureWorks);
        }
    }

    fn fails(&mut self, failure: &Failure) {
        if !std::mem::replace(&mut self.failing, true) {
            warn!(%failure, "capture fails");
        }
        self.tell(Noticed::CaptureFails(failure.clone()));
    }

    /// What a disk refuses is told whoever asked: exchanges that break off for it say so to nobody here.
    fn tell_refusal<T>(&self, done: &StoreResult<T>) {
        let Err(error) = done else { return };
        let is_the_disks = error.code == code::READ_ONLY || error.code.starts_with("RM81");
        if error.kind == StoreErrorKind::NeedsPerson && is_the_disks {
            let failure = Failure::new(error.code, error.message.clone()).because(error);
            self.tell(Noticed::WritingFails(failure.hint(error.remedy.clone(), "")));
        }
    }

    fn tell(&self, noticed: Noticed) {
        // Nobody listens any more while the node stops.
        let _ = self.noticed.send(noticed);
    }
}

fn run(queue: &Queue, keeper: &mut Keeper) {
    let mut next_look = Instant::now();
    let mut has_looked = false;
    loop {
        let job = match wait(queue, next_look, has_looked) {
            Turn::Job(job) => job,
            Turn::Look => {
                next_look = look(keeper);
                has_looked = true;
                continue;
            }
            Turn::End => break,
        };
        has_looked = false;
        if catch_unwind(AssertUnwindSafe(|| job(keeper))).is_err() {
            // What the store holds in memory may be half done: only a new start makes it whole.
            let failure = Failure::bug("the store's thread met a mistake of ours and stopped; restart the daemon");
            keeper.exposed.send_modify(|exposed| {
                *exposed = Arc::new(Exposed {
                    position: exposed.position.clone(),
                    schema: exposed.schema,
                    blocked: Some(failure.clone()),
                });
            });
            keeper.tell(Noticed::CaptureFails(failure));
            break;
        }
        keeper.retry_mark();
    }
    let mut jobs = lock(queue);
    jobs.ended = true;
    jobs.urgent.clear();
    jobs.reading.clear();
}

enum Turn {
    Job(Job),
    Look,
    End,
}

/// `has_looked` tells that the last turn was a look: then a read gets its turn even if another look is due, so that what a large round has
/// sealed is on its way while the rest is sealed.
fn wait(queue: &Queue, next_look: Instant, has_looked: bool) -> Turn {
    let mut jobs = lock(queue);
    jobs.busy_since = None;
    let turn = loop {
        let now = Instant::now();
        if now >= next_look + LOOK_OVERDUE && !jobs.stopping {
            break Turn::Look;
        }
        if let Some(job) = jobs.urgent.pop_front() {
            break Turn::Job(job);
        }
        if jobs.stopping {
            break jobs.reading.pop_front().map_or(Turn::End, Turn::Job);
        }
        if now >= next_look && (!has_looked || jobs.reading.is_empty()) {
            break Turn::Look;
        }
        if let Some(job) = jobs.reading.pop_front() {
            break Turn::Job(job);
        }
        let waited = queue.filled.wait_timeout(jobs, next_look - now);
        jobs = waited.unwrap_or_else(PoisonError::into_inner).0;
    };
    jobs.busy_since = Some(Instant::now());
    turn
}

/// Looks, and says when to look again.
fn look(keeper: &mut Keeper) -> Instant {
    let started = Instant::now();
    let looked = catch_unwind(AssertUnwindSafe(|| keeper.capture()));
    keeper.retry_mark();
    let pause = match looked {
        Ok(Ok(_)) if keeper.locked_since.is_some() => LOCKED_PAUSE,
        Ok(Ok(_)) if keeper.more => Duration::ZERO,
        Ok(Ok(true)) => rest_after(started.elapsed()).max(keeper.look),
        Ok(Ok(_)) => keeper.look,
        Ok(Err(_)) => LOOK_AFTER_FAILURE.max(keeper.look),
        Err(_) => {
            keeper.fails(&Failure::bug("sealing met a mistake of ours"));
            LOOK_AFTER_FAILURE
        }
    };
    Instant::now() + pause
}

/// How long a round of sealing is rested from that took so long.
fn rest_after(work: Duration) -> Duration {
    (work * REST_PER_WORK).min(REST_MAX)
}

fn not_sealed() -> Failure {
    Failure::new(code::NOT_IN_TIME, "what was written here could not be sealed in time")
        .why("another program keeps the database locked, or writes faster than is sealed; what it writes is noted, and nothing is lost")
        .hint("Exchange goes on by itself. Watch it:", "rowmesh status --watch")
}

fn ended() -> Failure {
    Failure::bug("the store's thread has ended")
}

/// The queue is whole between any two statements that hold it, so one that a panic has poisoned is as good as any.
fn lock(queue: &Queue) -> MutexGuard<'_, Jobs> {
    queue.jobs.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Queue")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealing_takes_a_tenth_of_the_time_and_puts_nothing_off_for_long() {
        assert_eq!(rest_after(Duration::from_millis(3)), Duration::from_millis(27));
        assert_eq!(rest_after(Duration::from_secs(60)), Duration::from_millis(500));
    }
}
