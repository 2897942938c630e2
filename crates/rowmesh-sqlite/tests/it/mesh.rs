//! Two or more stores on real files, with an application's own connection to each, and changesets carried between them by hand.

use std::path::PathBuf;
use std::sync::Arc;

use rowmesh_core::changeset::{Changeset, Claimed};
use rowmesh_core::clock::WallTime;
use rowmesh_core::exchange::LogRequest;
use rowmesh_core::ident::{Digest, Incarnation, MeshId};
use rowmesh_core::policy::PolicyHistory;
use rowmesh_core::scope::Scope;
use rowmesh_core::sign::{SecretKey, Signer};
use rowmesh_core::store::{Standing, Store, Taken};
use rowmesh_engine::plan::AttachOptions;
use rowmesh_sqlite::connection::Location;
use rowmesh_sqlite::store::SqliteStore;
use rusqlite::Connection;

pub const MESH: MeshId = MeshId([7; 32]);

/// A node: its store, and the application beside it.
pub struct Node {
    pub name: u8,
    pub app: Connection,
    pub store: SqliteStore,
    pub path: PathBuf,
    key: Arc<SecretKey>,
    _folder: tempfile::TempDir,
}

impl Node {
    /// A node whose application made its schema with `schema`.
    pub fn new(name: u8, schema: &str) -> Node {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        let app = open_app(&path);
        app.execute_batch(schema).unwrap();
        let key = Arc::new(SecretKey::from_seed([name; 32]));
        let store = open_store(&path, &key);
        Node { name, app, store, path, key, _folder: folder }
    }

    /// A node that captures already and knows no roster yet: [`Node::stand`] makes it a member.
    pub fn outside(name: u8, schema: &str) -> Node {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        let app = open_app(&path);
        app.execute_batch(schema).unwrap();
        let key = Arc::new(SecretKey::from_seed([name; 32]));
        let store = attach_store(&path, &key);
        Node { name, app, store, path, key, _folder: folder }
    }

    /// Lets the store know the roster.
    pub fn stand(&mut self) {
        self.store.set_standing(standing(&self.key), now()).unwrap();
    }

    /// The mesh agrees to other rules.
    pub fn stand_by(&mut self, scope: &Scope, policies: &PolicyHistory) {
        let (scope, policies) = (Arc::new(scope.clone()), Arc::new(policies.clone()));
        self.store.set_standing(Standing { scope, policies, ..standing(&self.key) }, now()).unwrap();
    }

    /// Runs statements as the application.
    pub fn run(&self, sql: &str) {
        self.app.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
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

    /// Takes everything that `from` has and this node lacks.
    pub fn pull(&mut self, from: &mut Node) -> Taken {
        let page = from.store.read_log(&everything_after(&self.store)).unwrap();
        assert!(!page.more, "tests keep their logs small");
        let changesets: Vec<Changeset> = page.changesets.iter().map(|bytes| verified(bytes)).collect();
        self.take(&changesets)
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
        let Node { name, app, store, path, key, _folder } = self;
        drop(store);
        let store = open_store(&path, &key);
        Node { name, app, store, path, key, _folder }
    }

    /// Stops the daemon; the application goes on.
    pub fn stopped(self) -> Stopped {
        let Node { name, app, store, path, key, _folder } = self;
        drop(store);
        Stopped { name, app, path, key, _folder }
    }

    /// All rows of a query, one line each.
    pub fn query(&self, sql: &str) -> Vec<String> {
        let mut statement = self.app.prepare(sql).unwrap();
        let count = statement.column_count();
        let rows = statement.query_map([], |row| {
            let cells: Vec<String> = (0..count).map(|column| format!("{:?}", row.get_ref(column).unwrap())).collect();
            Ok(cells.join("|"))
        });
        rows.unwrap().map(Result::unwrap).collect()
    }

    pub fn ledger(&self) -> Vec<String> {
        self.query(
            "SELECT id, table_name, record_key, column_name, conflict_type, strategy, state, losing_data, winning_data, common_data
               FROM rowmesh_conflict_resolutions ORDER BY id",
        )
    }
}

/// A node without its daemon.
pub struct Stopped {
    pub app: Connection,
    pub path: PathBuf,
    name: u8,
    key: Arc<SecretKey>,
    _folder: tempfile::TempDir,
}

impl Stopped {
    /// Starts the node on its files as they lie there at this moment, as after a kill of everybody who had them open.
    pub fn copy_files(&self) -> Node {
        let folder = tempfile::tempdir().unwrap();
        for name in ["app.db", "app.db-journal", "app.db-wal"] {
            let from = self.path.with_file_name(name);
            if from.exists() {
                std::fs::copy(from, folder.path().join(name)).unwrap();
            }
        }
        let path = folder.path().join("app.db");
        let store = open_store(&path, &self.key);
        let app = Connection::open(&path).unwrap();
        Node { name: self.name, app, store, path, key: self.key.clone(), _folder: folder }
    }
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
                    let page = {
                        let request = everything_after(&nodes[to].store);
                        nodes[from].store.read_log(&request).unwrap()
                    };
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
        assert_eq!(node.query("PRAGMA foreign_key_check"), Vec::<String>::new());
        assert_eq!(node.query("PRAGMA integrity_check"), ["Text([111, 107])"]);
    }
}

/// What a store lacks.
pub fn everything_after(store: &SqliteStore) -> LogRequest {
    LogRequest::new(store.position().vector, [], 64 << 20)
}

/// A changeset as it travels: decoded and verified against the key of the test node that sealed it.
pub fn verified(bytes: &[u8]) -> Changeset {
    let claimed = Claimed::decode(bytes).unwrap();
    let node = claimed.header().dot.origin.node;
    let key = (1..=9).map(|name| SecretKey::from_seed([name; 32]).public_key()).find(|key| key.node_id() == node);
    claimed.verify(&MESH, &key.expect("a test node sealed it")).unwrap()
}

pub fn open_app(path: &std::path::Path) -> Connection {
    let app = Connection::open(path).unwrap();
    app.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 5000",
    )
    .unwrap();
    app
}

pub fn now() -> WallTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    WallTime(since.as_millis() as u64)
}

pub fn open_store(path: &std::path::Path, key: &Arc<SecretKey>) -> SqliteStore {
    let mut store = attach_store(path, key);
    store.set_standing(standing(key), now()).unwrap();
    store
}

fn attach_store(path: &std::path::Path, key: &Arc<SecretKey>) -> SqliteStore {
    let location = Location::File(path.to_owned());
    let incarnation = Incarnation { count: 1, nonce: 1 };
    SqliteStore::open(&location, &AttachOptions::default(), key.node_id(), incarnation).unwrap()
}

fn standing(key: &Arc<SecretKey>) -> Standing {
    Standing {
        mesh: MESH,
        signer: key.clone(),
        epoch: 1,
        roster: Digest::default(),
        policies: Arc::new(PolicyHistory::default()),
        scope: Arc::new(Scope::default()),
        stride: None,
    }
}
