//! One simulated node: a real store, the roster and acknowledgements beside it, an exchange under way, and an application. Knows no network
//! and no time: the world tells it both. How a node comes into a mesh is `joining`'s.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use rowmesh_core::ack::{Ack, AckStore, SignedAck};
use rowmesh_core::changeset::Changeset;
use rowmesh_core::clock::{VersionVector, WallTime};
use rowmesh_core::exchange::{Applied, Dialer, Known, Schedule, View, sort_out};
use rowmesh_core::ident::{Incarnation, NodeId};
use rowmesh_core::policy::PolicyHistory;
use rowmesh_core::roster::{Adopted, Entry, Roster};
use rowmesh_core::scope::Scope;
use rowmesh_core::sign::{SecretKey, Signer};
use rowmesh_core::store::{Standing, Store, StoreResult};
use rowmesh_core::wire::Tally;
use rowmesh_engine::plan::AttachOptions;
use rowmesh_sqlite::connection::Location;
use rowmesh_sqlite::store::SqliteStore;
use rusqlite::{Connection, OpenFlags};

/// One node.
pub struct Node {
    /// Its key.
    pub key: Arc<SecretKey>,
    /// The application's connection; it also keeps the database in memory alive while the daemon is down.
    pub app: Connection,
    /// The daemon's part; gone while it is down.
    pub daemon: Option<Daemon>,
    /// How far its clock is off, milliseconds.
    pub clock_offset: i64,
    /// How often it was killed, so that messages to an earlier life are lost.
    pub life: u64,
    /// What goes wrong inside the next call of the store, if anything.
    pub next_fault: Option<StoreFault>,
    /// How often something did.
    pub failed_calls: u64,
    /// How it stands to the mesh; outlives its process, as the data folder does.
    pub stage: Stage,
    policies: Arc<PolicyHistory>,
    location: Location,
}

/// What goes wrong inside one call of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreFault {
    /// A statement breaks off after that many steps of SQLite's machine, as it does when a disk fails.
    BreaksOff(i32),
    /// The nth commit from here is refused.
    CommitFails(u32),
    /// The disk has room for so many pages more.
    DiskFull(i64),
}

/// How a node stands to the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It has not come to its database yet.
    Unborn,
    /// Its database is attached, and it belongs to no mesh.
    Outside,
    /// It was let in, and its copy is unfinished.
    Loading,
    /// It is like any other.
    In,
}

/// What dies with the process.
pub struct Daemon {
    /// The database.
    pub store: RefCell<SqliteStore>,
    /// Who belongs to the mesh; none while this node does not.
    pub roster: Option<Roster>,
    /// Acknowledgements known.
    pub acks: AckStore,
    /// When to call whom.
    pub schedule: Schedule,
    /// The exchange under way.
    pub call: Option<Call>,
    counter: u64,
}

/// An exchange that this node began.
pub struct Call {
    /// With whom.
    pub peer: usize,
    /// Where it stands.
    pub dialer: Dialer,
    /// What became of changesets while the next were asked for already; told once the answer is there.
    pub applied: Option<Applied>,
    /// The request that waits for an answer.
    pub waiting_for: u64,
}

impl Node {
    /// A node whose database is not made yet.
    pub fn new(name: &str, key: Arc<SecretKey>, policies: Arc<PolicyHistory>) -> Node {
        let location = Location::Uri(format!("file:/{name}?vfs=memdb"));
        let app = open(&location);
        app.execute_batch("PRAGMA foreign_keys = ON").expect("a pragma of every SQLite");
        Node {
            key,
            app,
            daemon: None,
            clock_offset: 0,
            life: 0,
            next_fault: None,
            failed_calls: 0,
            stage: Stage::Unborn,
            policies,
            location,
        }
    }

    /// Another connection to its database, which remembers nothing.
    pub fn fresh_connection(&self) -> Connection {
        open(&self.location)
    }

    /// Its name.
    pub fn id(&self) -> NodeId {
        self.key.node_id()
    }

    /// Starts the daemon on what the database holds.
    pub fn start(&mut self, now: WallTime, schedule: Schedule) {
        let incarnation = Incarnation { count: 1, nonce: 1 };
        let options = AttachOptions::default();
        let mut store = SqliteStore::open(&self.location, &options, self.id(), incarnation)
            .expect("a healthy database can be opened");
        // Where a transaction ends must not hang on how busy the machine is.
        store.set_lock_budget(Duration::MAX);
        let entries = store.roster_entries().expect("the roster can be read");
        let store = RefCell::new(store);
        self.daemon = Some(Daemon { store, roster: None, acks: AckStore::new(), schedule, call: None, counter: now.0 });
        if let Some(roster) = kept_roster(&entries) {
            self.stand_on(roster, now);
        }
    }

    /// Takes a whole roster: that of a mesh that this node founded or was let into.
    pub fn enter(&mut self, roster: Roster, stage: Stage, now: WallTime) {
        self.stage = stage;
        self.keep_roster(&roster);
        self.stand_on(roster, now);
    }

    /// Takes in entries of the roster: stored first, then believed.
    pub fn adopt_roster(&mut self, entries: &[Arc<[u8]>], now: WallTime) -> Adopted {
        let Some(mut roster) = self.daemon.as_ref().and_then(|daemon| daemon.roster.clone()) else {
            return Adopted::default();
        };
        let adopted = roster.adopt(entries);
        assert!(adopted.refused.is_empty(), "members sign what they may: {:?}", adopted.refused);
        if !adopted.new.is_empty() {
            self.keep_roster(&roster);
            self.stand_on(roster, now);
        }
        adopted
    }

    fn keep_roster(&self, roster: &Roster) {
        let Some(daemon) = &self.daemon else { return };
        let entries: Vec<Vec<u8>> = roster.entries().map(|entry| entry.bytes().to_vec()).collect();
        daemon.store.borrow_mut().keep_roster(&entries, &[], &[]).expect("the roster can be kept");
    }

    fn stand_on(&mut self, roster: Roster, now: WallTime) {
        let scope = roster.scope().map(|rules| Scope::from_roster(rules).expect("the filter is a good one"));
        let scope = scope.unwrap_or_default();
        let standing = Standing {
            mesh: roster.mesh(),
            signer: self.key.clone(),
            epoch: roster.epoch(),
            roster: roster.hash(),
            policies: self.policies.clone(),
            scope: Arc::new(scope),
            stride: roster.stride_of(&self.key.node_id()),
        };
        let Some(daemon) = &mut self.daemon else { return };
        daemon.store.borrow_mut().set_standing(standing, now).expect("a standing can be taken up");
        daemon.roster = Some(roster);
        self.acknowledge(now);
    }

    /// Whether it runs and is a member with a whole copy.
    pub fn is_up(&self) -> bool {
        self.daemon.is_some() && self.stage == Stage::In
    }

    /// The roster, while the node runs and belongs to the mesh.
    pub fn roster(&self) -> Option<&Roster> {
        self.daemon.as_ref().and_then(|daemon| daemon.roster.as_ref())
    }

    /// Kills the daemon.
    pub fn kill(&mut self) {
        self.daemon = None;
        self.life += 1;
    }

    /// Seals what the application wrote; returns whether anything was sealed.
    pub fn seal(&mut self, now: WallTime) -> bool {
        if !self.is_up() {
            return false;
        }
        let mut events = 0;
        let sealed = self.call_store(|store| {
            while store.look()?.dirty {
                let sealed = store.seal(now)?;
                events += sealed.events;
                if !sealed.more {
                    break;
                }
            }
            Ok(())
        });
        if sealed.is_none() {
            return false;
        }
        if events > 0 {
            self.acknowledge(now);
        }
        events > 0
    }

    /// What was parked drains by itself once its cause is gone.
    pub fn retry_parked(&mut self, now: WallTime) {
        if self.is_up() {
            self.call_store(|store| store.retry_parked(now));
        }
    }

    /// Runs something on the store, with whatever is to go wrong in it. If it fails, nothing of its last transaction may have happened:
    /// checked here for the version vector, by the oracles at the end for everything else.
    ///
    /// # Panics
    /// If it fails although nothing went wrong.
    pub fn call_store<T>(&mut self, body: impl FnOnce(&mut SqliteStore) -> StoreResult<T>) -> Option<T> {
        let fault = self.next_fault.take();
        let daemon = self.daemon.as_ref()?;
        let mut store = daemon.store.borrow_mut();
        if let Some(fault) = fault {
            arm(store.database_mut().connection_mut(), fault);
        }
        let result = body(&mut store);
        if fault.is_some() {
            disarm(store.database_mut().connection_mut());
        }
        let known: VersionVector = store.position().vector;
        drop(store);
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                assert!(fault.is_some(), "the store failed by itself: {error:?}");
                assert_eq!(
                    stored_vector(&self.app),
                    known.dots().map(|dot| dot.seq.0).sum::<u64>(),
                    "after {fault:?}: {error:?}"
                );
                self.failed_calls += 1;
                None
            }
        }
    }

    /// Judges and applies what came; `None` if that failed.
    pub fn apply(&mut self, changesets: &[Arc<[u8]>], now: WallTime) -> Option<Applied> {
        let (daemon, roster) = self.daemon.as_ref().zip(self.roster())?;
        let vector = daemon.store.borrow().position().vector;
        let hash_of = |dot: &_| daemon.store.borrow_mut().hash_of(dot).expect("the log can be read");
        let sorted = sort_out(&Known { now, vector: &vector, roster, hash_of: &hash_of }, changesets);
        let taken = self.call_store(|store| take_all(store, &sorted.take, now))?;
        let applied = Applied {
            vector: self.vector(),
            taken,
            duplicates: sorted.duplicates,
            held: sorted.held,
            refused: sorted.refused,
        };
        self.acknowledge(now);
        Some(applied)
    }

    /// Takes in acknowledgements of others.
    pub fn adopt_acks(&mut self, acks: &[Arc<[u8]>]) {
        let Some(daemon) = &mut self.daemon else { return };
        let Some(roster) = &daemon.roster else { return };
        for bytes in acks {
            if let Ok(ack) = SignedAck::verify(bytes, roster) {
                daemon.acks.keep(ack);
            }
        }
    }

    /// Runs `body` with what an exchange needs to see.
    pub fn with_view<T>(&self, now: WallTime, body: impl FnOnce(&View<'_>) -> T) -> Option<T> {
        let daemon = self.daemon.as_ref().filter(|_| self.stage == Stage::In)?;
        let position = daemon.store.borrow().position();
        let schema = daemon.store.borrow().schema_fingerprint();
        let view = View {
            node: self.id(),
            incarnation: position.origin.incarnation,
            roster: daemon.roster.as_ref()?,
            acks: &daemon.acks,
            vector: &position.vector,
            floor: &position.floor,
            schema,
            fingerprints: &[],
            now,
            cannot_be_dialled: false,
            receiving_paused: false,
        };
        Some(body(&view))
    }

    /// What its row states reflect; empty while it is down.
    pub fn vector(&self) -> VersionVector {
        self.daemon.as_ref().map(|daemon| daemon.store.borrow().position().vector).unwrap_or_default()
    }

    fn acknowledge(&mut self, now: WallTime) {
        let Some(daemon) = self.daemon.as_mut().filter(|_| self.stage == Stage::In) else { return };
        let Some(roster) = &daemon.roster else { return };
        let position = daemon.store.borrow().position();
        let known = daemon.acks.get(&self.key.node_id()).map(|ack| ack.ack().vector.clone());
        if known.as_ref() == Some(&position.vector) {
            return;
        }
        // O7: what is acknowledged only grows.
        assert!(known.is_none_or(|known| position.vector.includes(&known)), "an acknowledgement went backwards");
        daemon.counter += 1;
        let ack = Ack {
            mesh: roster.mesh(),
            origin: position.origin,
            counter: daemon.counter,
            epoch: roster.epoch(),
            at: now,
            vector: position.vector,
        };
        daemon.acks.keep(SignedAck::sign(ack, &*self.key));
    }
}

fn open(location: &Location) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(location.to_string(), flags).expect("a database in memory can be opened")
}

/// The roster that a database holds; none if its node belongs to no mesh.
fn kept_roster(entries: &[Vec<u8>]) -> Option<Roster> {
    let decoded = entries.iter().map(|bytes| Entry::decode(bytes).expect("what was kept can be read"));
    let founding = decoded.into_iter().find(|entry| entry.parents().is_empty())?;
    Some(Roster::from_entries(founding.mesh(), entries).expect("what was kept is whole"))
}

/// Makes SQLite fail once.
fn arm(connection: &mut Connection, fault: StoreFault) {
    match fault {
        StoreFault::BreaksOff(steps) => {
            let mut broken = false;
            let once = move || !std::mem::replace(&mut broken, true);
            connection.progress_handler(steps, Some(once)).expect("a handler can be set");
        }
        StoreFault::CommitFails(nth) => {
            let mut left = nth;
            let refuse = move || {
                left = left.saturating_sub(1);
                left == 0
            };
            connection.commit_hook(Some(refuse)).expect("a hook can be set");
        }
        StoreFault::DiskFull(pages) => {
            let used: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0)).expect("a pragma");
            let bound = format!("PRAGMA max_page_count = {}", used + pages);
            connection.query_row(&bound, [], |_| Ok(())).expect("a pragma");
        }
    }
}

fn disarm(connection: &mut Connection) {
    connection.progress_handler(0, None::<fn() -> bool>).expect("a handler can be taken off");
    connection.commit_hook(None::<fn() -> bool>).expect("a hook can be taken off");
    connection.query_row("PRAGMA max_page_count = 1000000", [], |_| Ok(())).expect("a pragma");
}

/// The sum of all numbers in the version vector that the database holds.
fn stored_vector(app: &Connection) -> u64 {
    app.query_row("SELECT coalesce(sum(seq), 0) FROM rowmesh_origins", [], |row| row.get::<_, i64>(0))
        .expect("the version vector can be read")
        .unsigned_abs()
}

fn take_all(store: &mut SqliteStore, changesets: &[Changeset], now: WallTime) -> StoreResult<Tally> {
    let mut tally = Tally::default();
    let mut rest = changesets;
    while !rest.is_empty() {
        let taken = store.take(now, rest)?;
        assert!(taken.changesets > 0, "admitted changesets were not taken");
        for changeset in &rest[..taken.changesets] {
            tally.changesets += 1;
            tally.events += changeset.events().len() as u64;
            tally.bytes += changeset.bytes().len() as u64;
        }
        rest = &rest[taken.changesets..];
    }
    Ok(tally)
}
