//! Nodes without a daemon: a store, the application beside it, and changesets carried between them by hand. What must come of it is told by
//! the clauses.

use std::fmt::Debug;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::SystemTime;

use rowmesh_core::changeset::{Changeset, Claimed};
use rowmesh_core::clock::{VersionVector, WallTime};
use rowmesh_core::exchange::LogRequest;
use rowmesh_core::ident::{Digest, Dot, Incarnation, MeshId, NodeId, Seq};
use rowmesh_core::policy::PolicyHistory;
use rowmesh_core::scope::Scope;
use rowmesh_core::sign::{SecretKey, Signer};
use rowmesh_core::store::{EventQuery, EventView, Standing, Store, StoreResult, Taken};
use rowmesh_core::stride::Stride;

use crate::place::Place;

/// The mesh of all nodes.
pub const MESH: MeshId = MeshId([7; 32]);
/// The epoch of its roster.
pub const EPOCH: u64 = 1;
/// The first life of each database.
pub const FIRST_LIFE: Incarnation = Incarnation { count: 1, nonce: 1 };

/// A node: its store, and the place that it works on.
pub struct Node<P: Place> {
    /// 1 to 9.
    pub name: u8,
    /// Its store.
    pub store: P::Store,
    /// Its database, with the application's side of it.
    pub place: P,
    stride: Option<Stride>,
    key: Arc<SecretKey>,
}

/// A node whose daemon is not running; the application goes on.
pub struct Stopped<P> {
    /// 1 to 9.
    pub name: u8,
    /// Its database, with the application's side of it.
    pub place: P,
    stride: Option<Stride>,
    key: Arc<SecretKey>,
}

/// What a snapshot is as it travels.
pub struct Copy {
    /// What it is.
    pub start: Vec<u8>,
    /// Its pieces in their order.
    pub chunks: Vec<Vec<u8>>,
    /// What closes it.
    pub end: Vec<u8>,
    /// How many rows it says that it holds.
    pub rows: u64,
    /// How many rows its pieces say that they hold.
    pub rows_in_chunks: u64,
    source: NodeId,
}

impl<P: Place> Node<P> {
    /// A member whose application made its schema with `schema`.
    pub fn new(name: u8, schema: &str) -> Node<P> {
        Node::on(name, P::empty(), schema)
    }

    /// The same on a place of its own choosing.
    pub fn on(name: u8, place: P, schema: &str) -> Node<P> {
        let mut node = Node::outside_on(name, place, schema);
        node.stand();
        node
    }

    /// A node that captures already and knows no roster yet: [`Node::stand`] makes it a member.
    pub fn outside(name: u8, schema: &str) -> Node<P> {
        Node::outside_on(name, P::empty(), schema)
    }

    /// The same on a place of its own choosing.
    pub fn outside_on(name: u8, place: P, schema: &str) -> Node<P> {
        place.run(schema);
        Stopped { name, place, stride: None, key: key_of(name) }.start_outside()
    }

    /// Lets the store know the roster.
    pub fn stand(&mut self) {
        self.store.set_standing(self.standing(), now()).expect("the roster is taken up");
    }

    /// Tells the store which slot of how many it has.
    pub fn take_slot(&mut self, slot: usize, slots: usize) {
        self.stride = Some(Stride::new(slot, slots));
        self.stand();
    }

    /// The mesh agrees to other rules.
    pub fn stand_by(&mut self, scope: &Scope, policies: &PolicyHistory) {
        let (scope, policies) = (Arc::new(scope.clone()), Arc::new(policies.clone()));
        self.store.set_standing(Standing { scope, policies, ..self.standing() }, now()).expect("taken up");
    }

    /// Runs statements as the application.
    pub fn run(&self, sql: &str) {
        self.place.run(sql);
    }

    /// The first column of each row as text.
    pub fn texts(&self, sql: &str) -> Vec<String> {
        self.place.texts(sql)
    }

    /// How many rows there are of what stands after `FROM`.
    pub fn count(&self, from: &str) -> usize {
        self.place.texts(&format!("SELECT CAST(count(*) AS TEXT) FROM {from}"))[0].parse().expect("a number")
    }

    /// Seals until nothing is dirty; returns how many events were made.
    pub fn seal(&mut self) -> u64 {
        let mut events = 0;
        loop {
            let sealed = self.store.seal(now()).expect("sealed");
            events += sealed.events;
            if !sealed.more {
                return events;
            }
        }
    }

    /// Takes everything that `from` has and this node lacks.
    pub fn pull(&mut self, from: &mut Node<P>) -> Taken {
        let lacked = lacked(self, from);
        self.take(&lacked)
    }

    /// Takes these, all of them.
    pub fn take(&mut self, changesets: &[Changeset]) -> Taken {
        let mut total = Taken::default();
        let mut rest = changesets;
        while !rest.is_empty() {
            let taken = self.store.take(now(), rest).expect("taken");
            assert!(taken.changesets > 0, "{} changesets were not taken", rest.len());
            rest = &rest[taken.changesets..];
            total.changesets += taken.changesets;
            total.events += taken.events;
            total.rows_written += taken.rows_written;
            total.conflicts += taken.conflicts;
            total.parked += taken.parked;
        }
        total
    }

    /// The whole log, as it leaves the node.
    pub fn log(&mut self) -> Vec<Changeset> {
        self.log_after(&VersionVector::default())
    }

    /// What of the log this vector does not cover, as it leaves the node.
    pub fn log_after(&mut self, vector: &VersionVector) -> Vec<Changeset> {
        let mut vector = vector.clone();
        let mut changesets: Vec<Changeset> = Vec::new();
        loop {
            let page = self.store.read_log(&LogRequest::new(vector.clone(), [], 64 << 20)).expect("read");
            changesets.extend(page.changesets.iter().map(|bytes| verified(bytes)));
            changesets.iter().for_each(|changeset| vector.raise(changeset.dot()));
            if !page.more {
                return changesets;
            }
        }
    }

    /// All events in the log, newest first.
    pub fn events(&mut self) -> Vec<EventView> {
        self.store.events(&EventQuery { limit: 10_000, ..EventQuery::default() }).expect("read")
    }

    /// The highest of its own numbers.
    pub fn last(&self) -> Seq {
        let position = self.store.position();
        position.vector.get(&position.origin)
    }

    /// The name of one of its own changesets.
    pub fn dot(&self, seq: u64) -> Dot {
        Dot { origin: self.store.position().origin, seq: Seq(seq) }
    }

    /// The copy of this node that a joiner gets, in pieces.
    pub fn copy(&mut self) -> Copy {
        self.copy_after(&VersionVector::default())
    }

    /// The same without the part of the log that is stable.
    pub fn copy_after(&mut self, stable: &VersionVector) -> Copy {
        let mut source = self.store.snapshot(stable).expect("read");
        let (mut chunks, mut rows_in_chunks) = (Vec::new(), 0);
        while let Some((chunk, rows)) = source.next_chunk().expect("read") {
            chunks.push(chunk);
            rows_in_chunks += rows;
        }
        let (start, end, rows) = (source.start(), source.end(), source.rows());
        Copy { start, chunks, end, rows, rows_in_chunks, source: self.store.position().origin.node }
    }

    /// Loads a copy.
    pub fn load(&mut self, copy: &Copy) {
        self.load_but_for_the_end(copy);
        self.store.load_finish(&copy.end, now()).expect("loaded");
    }

    /// Loads everything but the end of a copy.
    pub fn load_but_for_the_end(&mut self, copy: &Copy) {
        self.begin_load(copy).expect("begun");
        for (number, chunk) in copy.chunks.iter().enumerate() {
            if let Some(next) = copy.chunks.get(number + 1) {
                self.store.load_ahead(next);
            }
            self.store.load_chunk(chunk, now()).expect("loaded");
        }
    }

    /// Begins to load a copy.
    ///
    /// # Errors
    /// Those of the store.
    pub fn begin_load(&mut self, copy: &Copy) -> StoreResult<()> {
        self.store.load_begin(&copy.start, copy.source, now())
    }

    /// What it knows of the roster unless it is told otherwise.
    fn standing(&self) -> Standing {
        Standing {
            mesh: MESH,
            signer: self.key.clone(),
            epoch: EPOCH,
            roster: Digest::default(),
            policies: Arc::new(PolicyHistory::default()),
            scope: Arc::new(Scope::default()),
            stride: self.stride,
        }
    }

    /// Stops the daemon without warning and starts it again.
    #[must_use]
    pub fn restart(self) -> Node<P> {
        self.stop().start()
    }

    /// Stops the daemon without warning.
    pub fn stop(self) -> Stopped<P> {
        let Node { name, store, place, stride, key } = self;
        drop(store);
        Stopped { name, place, stride, key }
    }

    /// The ledger, but for what is this node's own business: when it saw an entry, and how it numbers origins.
    pub fn ledger(&self) -> Vec<String> {
        let columns = [
            "id",
            "table_name",
            "record_key",
            "column_name",
            "conflict_type",
            "strategy",
            "state",
            "losing_data",
            "winning_data",
            "common_data",
        ];
        let line = columns.map(|column| format!("coalesce({column}, '-')")).join(" || ' ' || ");
        self.texts(&format!("SELECT {line} FROM {} ORDER BY id", P::ours("conflict_resolutions")))
    }
}

impl<P: Place> Stopped<P> {
    /// Starts the daemon, which knows the roster.
    pub fn start(self) -> Node<P> {
        let mut node = self.start_outside();
        node.stand();
        node
    }

    /// Starts the daemon, which knows rules that the mesh has agreed to.
    pub fn start_standing_by(self, scope: &Scope, policies: &PolicyHistory) -> Node<P> {
        let mut node = self.start_outside();
        node.stand_by(scope, policies);
        node
    }

    fn start_outside(self) -> Node<P> {
        let Stopped { name, place, stride, key } = self;
        let store = P::open(&place.address(), key.node_id(), FIRST_LIFE).expect("opened");
        Node { name, store, place, stride, key }
    }

    /// Itself, and the same node as a backup has it that was made now and restored elsewhere.
    pub fn copied(self) -> (Stopped<P>, Stopped<P>) {
        let Stopped { name, place, stride, key } = self;
        let (one, two) = place.copied();
        (Stopped { name, place: one, stride, key: key.clone() }, Stopped { name, place: two, stride, key })
    }

    /// The same node on another place that holds what this one holds.
    pub fn on(&self, place: P) -> Stopped<P> {
        Stopped { name: self.name, place, stride: self.stride, key: self.key.clone() }
    }
}

/// What each kind of database can do besides is the place's.
impl<P: Place> Deref for Node<P> {
    type Target = P;

    fn deref(&self) -> &P {
        &self.place
    }
}

impl<P: Place> DerefMut for Node<P> {
    fn deref_mut(&mut self) -> &mut P {
        &mut self.place
    }
}

/// Members 1, 2, … of one mesh with one schema.
pub fn nodes<P: Place>(count: u8, schema: &str) -> Vec<Node<P>> {
    (1..=count).map(|name| Node::new(name, schema)).collect()
}

/// Two nodes as two borrows.
pub fn two<P: Place>(nodes: &mut [Node<P>]) -> (&mut Node<P>, &mut Node<P>) {
    let [one, two, ..] = nodes else { panic!("there are two nodes") };
    (one, two)
}

/// What `to` lacks of what `from` has.
pub fn lacked<P: Place>(to: &Node<P>, from: &mut Node<P>) -> Vec<Changeset> {
    from.log_after(&to.store.position().vector)
}

/// Brings all nodes to the same knowledge.
pub fn converge<P: Place>(nodes: &mut [Node<P>]) {
    for node in nodes.iter_mut() {
        node.seal();
    }
    for _ in 0..3 {
        for to in 0..nodes.len() {
            for from in (0..nodes.len()).filter(|from| *from != to) {
                let vector = nodes[to].store.position().vector;
                let changesets = nodes[from].log_after(&vector);
                nodes[to].take(&changesets);
            }
        }
    }
}

/// Runs each batch on the first of two nodes and asserts after each that the second holds the same and that nothing is sealed twice; at the end
/// that nothing waits.
pub fn travels<P: Place>(schema: &str, batches: &[&str]) -> Vec<Node<P>> {
    let mut nodes = nodes::<P>(2, schema);
    for batch in batches {
        nodes[0].run(batch);
        converge(&mut nodes);
        check_equal(&mut nodes);
        assert_eq!((nodes[0].seal(), nodes[1].seal()), (0, 0), "nothing is sealed twice after {batch}");
    }
    assert_eq!(nodes[1].store.parked().expect("read"), []);
    nodes
}

/// Seals what was written as if it had been written then: the first of two writes may come in the same millisecond as the second.
pub fn seal_as_of<P: Place>(node: &mut Node<P>, at: u64) {
    node.place.date_notes(WallTime(at));
    node.seal();
}

/// Everything reaches everybody; nothing waits, and nobody makes an event of what a rule has changed.
pub fn settle<P: Place>(nodes: &mut [Node<P>]) {
    converge(nodes);
    for node in nodes.iter_mut() {
        node.store.retry_parked(now()).expect("tried");
        assert_eq!(node.seal(), 0, "what a rule changes is no event");
    }
    check_equal(nodes);
    let ledger = nodes[0].ledger();
    assert!(nodes.iter().all(|node| node.ledger() == ledger), "{ledger:?} and {:?}", nodes[1].ledger());
}

/// Asserts that the nodes hold the same rows and ledger, and that what the stores remember is what stands.
pub fn check_equal<P: Place>(nodes: &mut [Node<P>]) {
    let digests: Vec<_> = nodes.iter_mut().map(|node| node.store.content_digest().expect("read")).collect();
    let ledgers: Vec<_> = nodes.iter().map(Node::ledger).collect();
    for other in 1..nodes.len() {
        assert_eq!(digests[0], digests[other], "contents of node 0 and node {other}");
        assert_eq!(ledgers[0], ledgers[other], "ledgers of node 0 and node {other}");
    }
    for node in nodes {
        assert_eq!(
            node.store.reconcile(None, now()).expect("read"),
            0,
            "what node {} remembers is what stands",
            node.name
        );
        node.place.check_sound();
    }
}

/// A changeset as it travels: decoded and verified against the key of the node that sealed it.
pub fn verified(bytes: &[u8]) -> Changeset {
    let claimed = Claimed::decode(bytes).expect("a changeset");
    let node = claimed.header().dot.origin.node;
    let key = (1..=9).map(|name| key_of(name).public_key()).find(|key| key.node_id() == node);
    claimed.verify(&MESH, &key.expect("a node of the test sealed it")).expect("its signature")
}

/// Asserts that a call was refused with this code.
pub fn check_refused<T: Debug>(answer: StoreResult<T>, code: &str) {
    let error = answer.expect_err("it is to be refused");
    assert_eq!(error.code, code, "{error}");
}

/// The machine's clock.
pub fn now() -> WallTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    WallTime(since.as_millis() as u64)
}

fn key_of(name: u8) -> Arc<SecretKey> {
    Arc::new(SecretKey::from_seed([name; 32]))
}
