//! Who is compared: the application alone, and the application with somebody who carries its changes to another server. Setting up, stopping the
//! receiving side, waiting until all has arrived. How each is set up is in `carriers/`.

use std::thread;
use std::time::{Duration, Instant};

use rowmesh_engine::plan::AttachOptions;
use rowmesh_postgres::attach::attach;
use rowmesh_postgres::connection::Session;

use super::carriers::{self, Carrier};
use super::server::Server;
use super::workload::{self, TABLES};
use super::{Only, Pace};
use crate::measure::time;

/// Longer than anything here should take: what takes longer is told as not done.
pub const PATIENCE: Duration = Duration::from_secs(120);

const CAPTURE_ONLY: &str = "Rowmesh, capture only";

const SET_UP: &str = "it can be set up";

/// A turn that takes longer is not repeated: its figure is far from the others' anyway.
const SLOW: Duration = Duration::from_secs(10);

/// The servers of one contestant.
pub struct Contestant {
    /// As it is printed.
    pub name: &'static str,
    /// Where the application works.
    pub source: Server,
    /// Where its changes go.
    pub far: Option<Far>,
    marks: i64,
}

/// The other side.
pub struct Far {
    /// The server that receives.
    pub target: Server,
    /// Who carries.
    pub carrier: Box<dyn Carrier>,
}

/// All who are compared, the application alone first.
pub struct Field {
    /// In the order in which they are printed.
    pub contestants: Vec<Contestant>,
}

impl Field {
    /// Sets up everybody who is wanted and can be had here, and says who cannot.
    pub fn gather(pace: Pace, only: Only) -> Field {
        let kinds: Vec<_> = carriers::KINDS.iter().filter(|kind| only.has(kind.name)).collect();
        // All at the same time: most of it is waiting for the disk.
        let contestants = thread::scope(|scope| {
            let alone = scope.spawn(|| Contestant::alone(pace));
            let attached = only.has(CAPTURE_ONLY).then(|| scope.spawn(|| Contestant::only_attached(pace)));
            let others: Vec<_> = kinds.iter().map(|kind| scope.spawn(|| Contestant::with(kind, pace))).collect();
            let mut contestants = vec![alone.join().expect(SET_UP)];
            contestants.extend(attached.map(|attached| attached.join().expect(SET_UP)));
            for (kind, other) in kinds.iter().zip(others) {
                match other.join().expect(SET_UP) {
                    Ok(contestant) => contestants.push(contestant),
                    Err(reason) => println!("  {}: not measured, {reason}", kind.name),
                }
            }
            contestants
        });
        Field { contestants }
    }

    /// Gives everybody a turn, in another order each round; who needs very long for one has no other. Results by contestant and round.
    pub fn take_turns<T>(&mut self, rounds: usize, mut turn: impl FnMut(&mut Contestant, usize) -> T) -> Vec<Vec<T>> {
        let count = self.contestants.len();
        let mut results: Vec<Vec<T>> = (0..count).map(|_| Vec::with_capacity(rounds)).collect();
        let mut is_slow = vec![false; count];
        for round in 0..rounds {
            for place in 0..count {
                let who = if round % 2 == 0 { place } else { count - 1 - place };
                if !is_slow[who] {
                    let (result, took) = time(|| turn(&mut self.contestants[who], round));
                    results[who].push(result);
                    is_slow[who] = took > SLOW;
                }
            }
        }
        results
    }

    /// Those with another side.
    pub fn carried(&mut self) -> impl Iterator<Item = &mut Contestant> {
        self.contestants.iter_mut().filter(|contestant| contestant.far.is_some())
    }
}

impl Contestant {
    fn alone(pace: Pace) -> Contestant {
        let source = Server::start(&[]);
        workload::make_tables(&source);
        workload::fill_tables(&source, pace.bulk_rows, pace.scale);
        Contestant { name: "plain", source, far: None, marks: 0 }
    }

    /// Rowmesh's triggers, and nobody who reads what they note.
    fn only_attached(pace: Pace) -> Contestant {
        let alone = Contestant::alone(pace);
        attach(&alone.source.owner(), "public", &AttachOptions::default()).expect("attaching works");
        Contestant { name: CAPTURE_ONLY, ..alone }
    }

    fn with(kind: &carriers::Kind, pace: Pace) -> Result<Contestant, String> {
        if let Some(reason) = kind.absence() {
            return Err(reason);
        }
        let (source, target) = (Server::start(kind.settings), Server::start(kind.settings));
        workload::make_tables(&source);
        workload::make_tables(&target);
        workload::fill_tables(&source, pace.bulk_rows, pace.scale);
        let carrier = (kind.attach)(&source)?(&target)?;
        let mut contestant = Contestant { name: kind.name, source, far: Some(Far { target, carrier }), marks: 0 };
        if contestant.has_begun() {
            return Ok(contestant);
        }
        Err(format!("the first copy was not done in {} s", PATIENCE.as_secs()))
    }

    /// Waits until the other side has a first copy of every table.
    fn has_begun(&mut self) -> bool {
        let Some((here, there)) = self.sessions() else { return true };
        let counts = |app: &Session| TABLES.map(|table| count(app, table));
        let wanted = counts(&here);
        if !wait_until(Duration::from_millis(100), || counts(&there) == wanted) {
            return false;
        }
        self.far.iter_mut().for_each(|far| far.carrier.copied());
        self.settle().is_some()
    }

    /// Waits until all that was committed at the source is at the target; how long that took.
    pub fn settle(&mut self) -> Option<Duration> {
        let Some(far) = &self.far else { return Some(Duration::ZERO) };
        self.marks += 1;
        let started = Instant::now();
        workload::mark(&self.source.application(), self.marks);
        let target = far.target.application();
        let marks = self.marks;
        let arrived = wait_until(Duration::from_millis(5), || workload::marked(&target) == Some(marks));
        arrived.then(|| started.elapsed())
    }

    /// A number that no mark of it had before.
    pub fn next_mark(&mut self) -> i64 {
        self.marks += 1;
        self.marks
    }

    /// Processor time of the source alone, and of all that this contestant runs.
    pub fn processor(&self) -> Processor {
        let source = self.source.processor();
        let far = self.far.as_ref().map_or(Duration::ZERO, |far| far.target.processor() + far.carrier.processor());
        Processor { source, all: source + far }
    }

    /// Two sessions of the application's, at the source and at the target.
    pub fn sessions(&self) -> Option<(Session, Session)> {
        Some((self.source.application(), self.far.as_ref()?.target.application()))
    }
}

/// Processor time used so far.
#[derive(Clone, Copy)]
pub struct Processor {
    /// By the server that the application works on.
    pub source: Duration,
    /// By all servers and programs.
    pub all: Duration,
}

fn count(app: &Session, table: &str) -> Option<i64> {
    let query = format!("SELECT count(*) FROM {table}");
    app.query_one(&query, &[]).ok().map(|row| row.get(0))
}

/// Asks again and again; whether it came true in time.
pub fn wait_until(poll: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(poll);
    }
    true
}
