//! Two or more stores on real servers, with an application's own session to each, and changesets carried between them by hand.

use std::sync::Arc;

use rowmesh_core::changeset::{Changeset, Claimed};
use rowmesh_core::clock::WallTime;
use rowmesh_core::exchange::LogRequest;
use rowmesh_core::ident::{Digest, Incarnation, MeshId};
use rowmesh_core::policy::PolicyHistory;
use rowmesh_core::scope::Scope;
use rowmesh_core::sign::{SecretKey, Signer};
use rowmesh_core::store::{Standing, Store, Taken};
use rowmesh_core::stride::Stride;
use rowmesh_engine::plan::AttachOptions;
use rowmesh_postgres::connection::{Location, Session};
use rowmesh_postgres::store::PostgresStore;

use crate::cluster::Database;

pub const MESH: MeshId = MeshId([7; 32]);

/// A node: its store, and the application beside it.
pub struct Node {
    pub name: u8,
    pub store: PostgresStore,
    pub app: Session,
    stride: Option<Stride>,
    key: Arc<SecretKey>,
    pub database: Database,
}

impl Node {
    /// A node whose application made its schema with `schema`.
    pub fn new(name: u8, schema: &str) -> Node {
        Node::on(name, Database::new(), schema)
    }

    /// The same on a database of its own choosing.
    pub fn on(name: u8, database: Database, schema: &str) -> Node {
        let app = application(&database);
        app.batch(schema).unwrap();
        Node::at(name, database.location(), database, app)
    }

    /// A node on a database that is ready, whose store logs in as this role.
    pub fn as_role(name: u8, database: Database, role: &str) -> Node {
        let app = application(&database);
        Node::at(name, database.location().as_user(role), database, app)
    }

    fn at(name: u8, location: Location, database: Database, app: Session) -> Node {
        let key = Arc::new(SecretKey::from_seed([name; 32]));
        let store = open_store_at(&location, &key);
        Node { name, app, store, stride: None, key, database }
    }

    /// Tells the store of another scope.
    pub fn stand_by(&mut self, scope: &Scope) {
        let standing = Standing { scope: Arc::new(scope.clone()), stride: self.stride, ..standing(&self.key) };
        self.store.set_standing(standing, now()).unwrap();
    }

    /// Tells the store which slot of how many it has.
    pub fn take_slot(&mut self, slot: usize, slots: usize) {
        self.stride = Some(Stride::new(slot, slots));
        let standing = Standing { stride: self.stride, ..standing(&self.key) };
        self.store.set_standing(standing, now()).unwrap();
    }

    /// Runs statements as the application.
    pub fn run(&self, sql: &str) {
        self.app.batch(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// Seals until nothing is dirty; returns how many events were made.
    pub fn seal(&mut self) -> u64 {
        let mut events = 0;
        loop {
            let sealed = self.store.seal(now()).unwrap();
            events += sealed.events;
            if !sealed.more {
                return events;
            }
        }
    }

    pub fn take(&mut self, changesets: &[Changeset]) -> Taken {
        let mut total = Taken::default();
        let mut rest = changesets;
        while !rest.is_empty() {
            let taken = self.store.take(now(), rest).unwrap();
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

    /// Stops the daemon without warning and starts it again.
    pub fn restart(self) -> Node {
        let Node { name, app, store, stride, key, database } = self;
        drop(store);
        let store = open_store(&database, &key);
        Node { name, app, store, stride, key, database }
    }

    /// All rows of a query, one line each.
    pub fn query(&self, sql: &str) -> Vec<String> {
        let sql = format!("SELECT q::text FROM ({sql}) AS q");
        self.app.query(&sql, &[]).unwrap().iter().map(|row| row.get(0)).collect()
    }

    /// One text.
    pub fn text(&self, sql: &str) -> String {
        self.app.query_one(&format!("SELECT ({sql})::text"), &[]).unwrap().get(0)
    }

    pub fn ledger(&self) -> Vec<String> {
        self.query(
            "SELECT id, table_name, record_key, column_name, conflict_type, strategy, state, losing_data, winning_data, common_data
               FROM rowmesh.conflict_resolutions ORDER BY id",
        )
    }
}

/// What `to` lacks of what `from` has.
pub fn lacked(to: &Node, from: &mut Node) -> Vec<Changeset> {
    let page = from.store.read_log(&everything_after(&to.store)).unwrap();
    assert!(!page.more, "tests keep their logs small");
    page.changesets.iter().map(|bytes| verified(bytes)).collect()
}

/// Brings all nodes to the same knowledge.
pub fn converge(nodes: &mut [Node]) {
    for node in nodes.iter_mut() {
        node.seal();
    }
    for _ in 0..3 {
        for to in 0..nodes.len() {
            for from in 0..nodes.len() {
                if to != from {
                    let request = everything_after(&nodes[to].store);
                    let page = nodes[from].store.read_log(&request).unwrap();
                    let changesets: Vec<Changeset> = page.changesets.iter().map(|bytes| verified(bytes)).collect();
                    nodes[to].take(&changesets);
                }
            }
        }
    }
}

/// Asserts that the nodes hold the same rows and ledger, and that what the stores remember is what stands.
pub fn check_equal(nodes: &mut [Node]) {
    let digests: Vec<_> = nodes.iter_mut().map(|node| node.store.content_digest().unwrap()).collect();
    let ledgers: Vec<_> = nodes.iter().map(Node::ledger).collect();
    for other in 1..nodes.len() {
        assert_eq!(digests[0], digests[other], "contents of node 0 and node {other}");
        assert_eq!(ledgers[0], ledgers[other], "ledgers of node 0 and node {other}");
    }
    for node in nodes {
        assert_eq!(node.store.reconcile(None, now()).unwrap(), 0, "row states of node {} are what stands", node.name);
    }
}

/// Everything that a store lacks.
pub fn everything_after(store: &PostgresStore) -> LogRequest {
    LogRequest::new(store.position().vector, [], 64 << 20)
}

/// A changeset as it travels: decoded and verified against the key of the test node that sealed it.
pub fn verified(bytes: &[u8]) -> Changeset {
    let claimed = Claimed::decode(bytes).unwrap();
    let node = claimed.header().dot.origin.node;
    let key = (1..=9).map(|name| SecretKey::from_seed([name; 32]).public_key()).find(|key| key.node_id() == node);
    claimed.verify(&MESH, &key.expect("a test node sealed it")).unwrap()
}

/// A session as an application has it: nothing of what ours set.
pub fn application(database: &Database) -> Session {
    let app = database.session();
    app.batch("RESET ALL").unwrap();
    app
}

pub fn now() -> WallTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    WallTime(since.as_millis() as u64)
}

pub fn open_store(database: &Database, key: &Arc<SecretKey>) -> PostgresStore {
    open_store_at(&database.location(), key)
}

fn open_store_at(location: &Location, key: &Arc<SecretKey>) -> PostgresStore {
    let incarnation = Incarnation { count: 1, nonce: 1 };
    let options = AttachOptions::default();
    let mut store = PostgresStore::open(location, &options, key.node_id(), incarnation).unwrap();
    store.set_standing(standing(key), now()).unwrap();
    store
}

fn standing(key: &Arc<SecretKey>) -> Standing {
    Standing {
        mesh: MESH,
        signer: key.clone(),
        epoch: 0,
        roster: Digest::default(),
        policies: Arc::new(PolicyHistory::default()),
        scope: Arc::new(Scope::default()),
        stride: None,
    }
}
