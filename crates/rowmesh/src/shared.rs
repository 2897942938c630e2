//! What every part of a running node needs: its key, its store, its members, its peers, and the way to wake the daemon.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rowmesh_core::clock::VersionVector;
use rowmesh_core::exchange::View;
use rowmesh_core::ident::{Dot, NodeId};
use tokio::sync::{Semaphore, mpsc, watch};

use crate::clock::Clock;
use crate::daemon::Wake;
use crate::failure::Failure;
use crate::identity::NodeKey;
use crate::invites::Invites;
use crate::members::Members;
use crate::options::NodeOptions;
use crate::peers::PeerBook;
use crate::snapshots;
use crate::store_thread::StoreHandle;

/// The parts of a running node that others share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) key: Arc<NodeKey>,
    pub(crate) options: NodeOptions,
    pub(crate) clock: Clock,
    pub(crate) store: StoreHandle,
    pub(crate) members: Members,
    pub(crate) invites: Invites,
    pub(crate) database: String,
    pub(crate) started: Instant,
    pub(crate) wake: mpsc::UnboundedSender<Wake>,
    /// Set once when the node stops: nobody waits any longer.
    pub(crate) closing: watch::Sender<bool>,
    /// An initial load is under way: nothing is told to others, nothing is taken from them.
    pub(crate) loading: watch::Sender<Option<String>>,
    pub(crate) book: Mutex<PeerBook>,
    /// Milliseconds from the seal at its origin to the arrival here, for the last changeset of each node.
    lags: Mutex<BTreeMap<NodeId, u64>>,
    /// A person must choose between two machines that use this identity.
    pub(crate) two_lives: AtomicBool,
    /// How many further copies may be sent at the same time.
    pub(crate) snapshots: Arc<Semaphore>,
    /// When the daemon's loop last came round, in milliseconds since `started`.
    pub(crate) beat: AtomicU64,
    /// Where the node listens.
    pub(crate) listening: Mutex<Option<SocketAddr>>,
}

/// What [`Shared`] is made of.
pub(crate) struct Parts {
    pub(crate) key: Arc<NodeKey>,
    pub(crate) options: NodeOptions,
    pub(crate) store: StoreHandle,
    pub(crate) members: Members,
    pub(crate) invites: Invites,
    pub(crate) database: String,
    pub(crate) wake: mpsc::UnboundedSender<Wake>,
    pub(crate) book: PeerBook,
    pub(crate) loading: Option<String>,
}

impl Shared {
    pub(crate) fn new(parts: Parts) -> Shared {
        let Parts { key, options, store, members, invites, database, wake, book, loading } = parts;
        Shared {
            key,
            clock: options.clock.clone(),
            options,
            store,
            members,
            invites,
            database,
            started: Instant::now(),
            wake,
            closing: watch::Sender::new(false),
            loading: watch::Sender::new(loading),
            book: Mutex::new(book),
            lags: Mutex::default(),
            two_lives: AtomicBool::new(false),
            snapshots: Arc::new(Semaphore::new(snapshots::AT_ONCE)),
            beat: AtomicU64::new(0),
            listening: Mutex::default(),
        }
    }

    /// This node.
    pub(crate) fn me(&self) -> NodeId {
        self.key.node_id()
    }

    /// Runs something on what an exchange may see of this node at this moment.
    pub(crate) fn view<T>(&self, work: impl FnOnce(&View<'_>) -> T) -> T {
        let roster = self.members.roster();
        let exposed = self.store.exposed();
        let cannot_be_dialled = roster.member(&self.me()).is_none_or(|member| member.addresses.is_empty());
        self.members.with_acks(|acks| {
            work(&View {
                node: self.me(),
                incarnation: exposed.position.origin.incarnation,
                roster: &roster,
                acks,
                vector: &exposed.position.vector,
                floor: &exposed.position.floor,
                schema: exposed.schema,
                fingerprints: &[],
                now: self.clock.now(),
                cannot_be_dialled,
                receiving_paused: false,
            })
        })
    }

    /// Whether somebody knows more of what this node has made than this node does, and the highest life of it that they know: then this
    /// database was put back to an earlier state, or another machine uses its name (G5, G6).
    pub(crate) fn life_beyond(&self, theirs: &VersionVector) -> Option<u32> {
        let exposed = self.store.exposed();
        let own = exposed.position.origin;
        let ours = exposed.position.vector.get(&own);
        let is_beyond = |dot: &Dot| {
            let is_older = dot.origin.incarnation.count < own.incarnation.count;
            if dot.origin == own { dot.seq > ours } else { !is_older }
        };
        let beyond = theirs.dots().filter(|dot| dot.origin.node == own.node && is_beyond(dot));
        beyond.map(|dot| dot.origin.incarnation.count).max()
    }

    /// Tells the daemon of such a life, and whoever asks that there is nothing to exchange until this node has its new one.
    pub(crate) fn other_life(&self, seen: u32) -> Failure {
        self.wake(Wake::OtherLife(seen));
        restored()
    }

    /// Why nothing may be exchanged at present; `None` if it may.
    pub(crate) fn standstill(&self) -> Option<Failure> {
        if let Some(loading) = self.loading.borrow().as_ref() {
            return Some(Failure::new(crate::failure::code::BUSY, format!("the initial copy is under way: {loading}")));
        }
        if self.two_lives.load(Ordering::Relaxed) {
            return Some(two_lives());
        }
        self.store.exposed().blocked.clone()
    }

    /// The peers, for looking and for changing; never held across a wait.
    pub(crate) fn book(&self) -> MutexGuard<'_, PeerBook> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long the last changeset of each node was on its way.
    pub(crate) fn lags(&self) -> MutexGuard<'_, BTreeMap<NodeId, u64>> {
        self.lags.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the daemon. There is nobody to wake any more while the node stops.
    pub(crate) fn wake(&self, wake: Wake) {
        let _ = self.wake.send(wake);
    }
}

/// The database knows less of its own changes than others do.
pub(crate) fn restored() -> Failure {
    Failure::new(crate::failure::code::RESTORED, "this database was put back to an earlier state")
        .why("peers know changes of this node that it does not; it goes on under a new incarnation and fetches them")
        .hint(
            "Nothing to do, unless the disk was cloned: then, on the copy:",
            "rowmesh up new.db --name NEW --join INVITE",
        )
}

/// Two machines use this node's key.
pub(crate) fn two_lives() -> Failure {
    Failure::new(crate::failure::code::TWO_LIVES, "another machine uses this node's identity")
        .why("others know changes under this node's name that it did not make, and not for the first time: was the disk cloned?")
        .hint("Give one of the two a new identity:", "rowmesh up new.db --name NEW --join INVITE")
}
