//! The application beside a store on a real database, several times, and changesets carried between them by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use business::{Database, Dialect, Seed, Value};
use rowmesh_core::changeset::{Changeset, Claimed};
use rowmesh_core::clock::{VersionVector, WallTime};
use rowmesh_core::exchange::LogRequest;
use rowmesh_core::ident::{Digest, Incarnation, MeshId};
use rowmesh_core::policy::{ColumnPolicy, Policies, PolicyHistory};
use rowmesh_core::scope::{Accepted, Filter, Scope, SeveralOwners};
use rowmesh_core::sign::{SecretKey, Signer};
use rowmesh_core::store::{Standing, Store, Taken};
use rowmesh_engine::plan::AttachOptions;
use rowmesh_postgres::store::PostgresStore;
use rowmesh_sqlite::connection::Location;
use rowmesh_sqlite::store::SqliteStore;
use rusqlite::Connection;

use crate::{server::Server, support};

const MESH: MeshId = MeshId([7; 32]);
/// No page of a test's log is larger, so that paging is part of every exchange.
const PAGE_BYTES: u64 = 256 << 10;

/// What the roster of a test's mesh says.
#[derive(Clone, Default)]
pub struct Rules {
    scope: Arc<Scope>,
    policies: Arc<PolicyHistory>,
}

/// Kinds of database that a node can have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
}

/// The kinds of database of a test's nodes, in the order of their names.
#[derive(Clone, Copy)]
pub struct Mesh([Kind; 3]);

/// One server of the application.
pub struct Node {
    pub app: Box<dyn Database>,
    pub store: Box<dyn Store>,
    name: u8,
    place: Place,
}

/// What a node's database stands in, for as long as the node lives.
enum Place {
    Folder(tempfile::TempDir),
    Server(Server),
}

impl Node {
    fn kind(&self) -> Kind {
        match self.place {
            Place::Folder(_) => Kind::Sqlite,
            Place::Server(_) => Kind::Postgres,
        }
    }
}

impl Rules {
    /// Everything travels, and `updated_at` takes the later value without a ledger entry, as attach proposes for such columns.
    pub fn usual() -> Rules {
        let conn = support::empty();
        let sql = "SELECT m.name FROM sqlite_schema AS m, pragma_table_info(m.name) AS c WHERE m.type = 'table' AND c.name = 'updated_at'";
        let mut policies = Policies::default();
        for table in support::strings(&conn, sql) {
            let table = policies.tables.entry(table.as_str().into()).or_default();
            table.columns.insert("updated_at".into(), ColumnPolicy::Max);
        }
        Rules { policies: Arc::new(PolicyHistory::constant(policies)), ..Rules::default() }
    }

    /// The same, and demo rows stay at home.
    pub fn without_demo_rows() -> Rules {
        Rules::without("demo", business::DEMO_SKIP)
    }

    /// The same, and businesses under a condition stay at home, with all that belongs to demo businesses otherwise.
    pub fn without(name: &str, skip: &str) -> Rules {
        let filter = Filter::parse(name, business::DEMO_ROOT, skip, business::DEMO_FOLLOW).unwrap();
        Rules { scope: Arc::new(Scope { filters: vec![filter], ..Scope::default() }), ..Rules::usual() }
    }

    /// The same, agreed to by people who had the application's tables of today before them.
    pub fn knowing_todays_tables(&self) -> Rules {
        let known = business::tables().iter().map(|table| table.name.into()).collect();
        self.with_scope(|scope| scope.accepted = Accepted::Only(known))
    }

    /// The same, and this table travels whatever may be in it.
    pub fn including(&self, table: &str) -> Rules {
        self.with_scope(|scope| scope.tables.add(table))
    }

    /// The same, but a row with several owners stays only if all of them do.
    pub fn where_all_owners_must_stay(&self) -> Rules {
        self.with_scope(|scope| scope.filters[0].several_owners = SeveralOwners::All)
    }

    fn with_scope(&self, change: impl FnOnce(&mut Scope)) -> Rules {
        let mut scope = (*self.scope).clone();
        change(&mut scope);
        Rules { scope: Arc::new(scope), policies: self.policies.clone() }
    }
}

impl Mesh {
    pub const SQLITE: Mesh = Mesh([Kind::Sqlite; 3]);
    pub const POSTGRES: Mesh = Mesh([Kind::Postgres; 3]);
    pub const FROM_POSTGRES: Mesh = Mesh([Kind::Postgres, Kind::Sqlite, Kind::Sqlite]);
    pub const FROM_SQLITE: Mesh = Mesh([Kind::Sqlite, Kind::Postgres, Kind::Sqlite]);

    /// A node without a row. Names are 1 to 9.
    pub fn empty(self, name: u8, rules: &Rules) -> Node {
        Node::made(self.kind(name), name, rules, |_| {})
    }

    /// A node whose rows stood there before Rowmesh came.
    pub fn filled(self, name: u8, rules: &Rules, seed: &Seed) -> Node {
        Node::made(self.kind(name), name, rules, |app| business::generate(app, seed).unwrap())
    }

    /// A node that came by a snapshot of another one.
    pub fn joined(self, name: u8, rules: &Rules, from: &mut Node) -> Node {
        let mut node = self.empty(name, rules);
        let parts = from.snapshot();
        let [start, chunks @ .., end] = parts.as_slice() else { panic!("a snapshot has a start and an end") };
        node.store.load_begin(start, from.store.position().origin.node, now()).unwrap();
        for chunk in chunks {
            node.store.load_chunk(chunk, now()).unwrap();
        }
        node.store.load_finish(end, now()).unwrap();
        node
    }

    fn kind(self, name: u8) -> Kind {
        self.0[usize::from(name - 1) % self.0.len()]
    }
}

impl Node {
    fn made(kind: Kind, name: u8, rules: &Rules, fill: impl FnOnce(&dyn Database)) -> Node {
        let place = match kind {
            Kind::Sqlite => Place::Folder(tempfile::tempdir().unwrap()),
            Kind::Postgres => Place::Server(Server::empty()),
        };
        let app = place.open_app();
        business::create(&*app).unwrap();
        fill(&*app);
        let mut store = place.open_store(name);
        store.set_standing(standing(name, rules), now()).unwrap();
        Node { app, store, name, place }
    }

    /// The mesh agrees to other rules.
    pub fn stand(&mut self, rules: &Rules) {
        self.store.set_standing(standing(self.name, rules), now()).unwrap();
    }

    /// Runs statements as the application.
    pub fn run(&self, sql: &str) {
        self.app.run(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
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

    /// Everything in the log that this vector does not cover, as it leaves the node.
    pub fn log_after(&mut self, vector: &VersionVector) -> Vec<Changeset> {
        let mut vector = vector.clone();
        let mut changesets: Vec<Changeset> = Vec::new();
        loop {
            let page = self.store.read_log(&LogRequest::new(vector.clone(), [], PAGE_BYTES)).unwrap();
            changesets.extend(page.changesets.iter().map(|bytes| verified(bytes)));
            changesets.iter().for_each(|changeset| vector.raise(changeset.dot()));
            if !page.more {
                return changesets;
            }
        }
    }

    /// Takes everything that `from` has sealed and this node lacks.
    pub fn pull(&mut self, from: &mut Node) -> Taken {
        let changesets = from.log_after(&self.store.position().vector);
        self.take(&changesets)
    }

    /// Takes these, all of them.
    pub fn take(&mut self, changesets: &[Changeset]) -> Taken {
        let mut total = Taken::default();
        let mut rest = changesets;
        while !rest.is_empty() {
            let taken = self.store.take(now(), rest).unwrap();
            assert!(taken.changesets > 0, "{} changesets were not taken", rest.len());
            rest = &rest[taken.changesets..];
            total.changesets += taken.changesets;
            total.events += taken.events;
            total.conflicts += taken.conflicts;
            total.parked += taken.parked;
        }
        total
    }

    /// All parts of a snapshot as they leave the node: start, chunks, end.
    pub fn snapshot(&mut self) -> Vec<Vec<u8>> {
        let mut source = self.store.snapshot(&VersionVector::default()).unwrap();
        let mut parts = vec![source.start()];
        while let Some((chunk, _)) = source.next_chunk().unwrap() {
            parts.push(chunk);
        }
        parts.push(source.end());
        parts
    }

    /// A table of Rowmesh's own, as this database names it.
    pub fn ours(&self, table: &str) -> String {
        match self.app.dialect() {
            Dialect::Sqlite => format!("rowmesh_{table}"),
            Dialect::Postgres => format!("rowmesh.{table}"),
        }
    }

    /// The ledger, but for what is this node's own business: when it saw an entry, and how it numbers origins.
    pub fn ledger(&self) -> Vec<String> {
        let sql = format!(
            "SELECT id, table_name, record_key, key, column_name, conflict_type, strategy, state, losing_node, losing_seq, \
             losing_lamport, losing_value, losing_data, winning_node, winning_seq, winning_lamport, winning_value, \
             winning_data, common_value, common_data FROM {}",
            self.ours("conflict_resolutions")
        );
        let mut lines: Vec<String> =
            self.app.all::<Vec<Value>>(&sql, &[]).unwrap().iter().map(|entry| format!("{entry:?}")).collect();
        lines.sort_unstable();
        lines
    }

    /// Asserts what holds on every node at any time: constraints, search, nothing parked, and that what stands is what is remembered.
    pub fn check_sound(&mut self) {
        self.place.check_sound();
        assert_eq!(self.store.parked().unwrap(), [], "nothing is parked");
        assert_eq!(self.store.reconcile(None, now()).unwrap(), 0, "what stands is what is remembered");
    }

    /// Asserts that every reference leads to a row.
    pub fn check_references(&self) {
        self.place.check_references();
    }
}

impl Place {
    fn open_app(&self) -> Box<dyn Database> {
        match self {
            Place::Folder(folder) => business::open_new(file_in(folder)).unwrap(),
            Place::Server(server) => business::open(server.url()).unwrap(),
        }
    }

    fn open_store(&self, name: u8) -> Box<dyn Store> {
        let (options, node) = (AttachOptions::default(), SecretKey::from_seed([name; 32]).node_id());
        let incarnation = Incarnation { count: 1, nonce: 1 };
        match self {
            Place::Folder(folder) => {
                let location = Location::File(file_in(folder));
                Box::new(SqliteStore::open(&location, &options, node, incarnation).unwrap())
            }
            Place::Server(server) => {
                Box::new(PostgresStore::open(&server.location(), &options, node, incarnation).unwrap())
            }
        }
    }

    fn check_sound(&self) {
        match self {
            // A connection that has used a full-text table checks its index by what it remembers of it, so a fresh one looks.
            Place::Folder(folder) => support::assert_sound(&Connection::open(file_in(folder)).unwrap()),
            Place::Server(server) => server.assert_references(),
        }
    }

    fn check_references(&self) {
        match self {
            Place::Folder(folder) => support::assert_references(&Connection::open(file_in(folder)).unwrap()),
            Place::Server(server) => server.assert_references(),
        }
    }
}

fn file_in(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("business.db")
}

/// Asserts that nodes hold the same rows and the same ledger.
pub fn check_equal(nodes: &mut [Node]) {
    if nodes.iter().all(|node| node.kind() == nodes[0].kind()) {
        let digests: Vec<_> = nodes.iter_mut().map(|node| node.store.content_digest().unwrap()).collect();
        assert!(digests.iter().all(|digest| *digest == digests[0]), "contents of the nodes");
    }
    check_rows(nodes);
    let ledgers: Vec<_> = nodes.iter().map(Node::ledger).collect();
    for other in 1..nodes.len() {
        assert_eq!(ledgers[0], ledgers[other], "ledgers of nodes 0 and {other}");
    }
}

/// Asserts that the application sees the same rows on all nodes, in all tables that travel. Where a node keeps rows to itself, others that
/// travel may name them there and nothing elsewhere: then the tests look for themselves.
fn check_rows(nodes: &mut [Node]) {
    if nodes.iter_mut().any(|node| !node.store.held_back().unwrap().is_empty()) {
        return;
    }
    let synced = |node: &mut Node| -> BTreeSet<String> {
        let tables = node.store.tables(false).unwrap().into_iter();
        tables.filter(|table| table.synced).map(|table| table.name).collect()
    };
    let everywhere: Vec<BTreeSet<String>> = nodes.iter_mut().map(synced).collect();
    for table in everywhere[0].iter().filter(|table| everywhere.iter().all(|tables| tables.contains(*table))) {
        let rows: Vec<Vec<String>> = nodes.iter().map(|node| rows_seen(node, table)).collect();
        for other in 1..nodes.len() {
            assert_eq!(rows[0], rows[other], "rows of {table} on nodes 0 and {other}");
        }
    }
}

fn rows_seen(node: &Node, table: &str) -> Vec<String> {
    let seen = |row: business::Row| format!("{:?}", row.into_iter().collect::<BTreeMap<_, _>>());
    let mut rows: Vec<String> = business::read_rows(&*node.app, table).unwrap().into_iter().map(seen).collect();
    rows.sort();
    rows
}

pub fn now() -> WallTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    WallTime(since.as_millis() as u64)
}

/// A changeset as it travels: decoded and verified against the key of the node that sealed it.
fn verified(bytes: &[u8]) -> Changeset {
    let claimed = Claimed::decode(bytes).unwrap();
    let node = claimed.header().dot.origin.node;
    let key = (1..=9).map(|name| SecretKey::from_seed([name; 32]).public_key()).find(|key| key.node_id() == node);
    claimed.verify(&MESH, &key.expect("a test node sealed it")).unwrap()
}

fn standing(name: u8, rules: &Rules) -> Standing {
    Standing {
        mesh: MESH,
        signer: Arc::new(SecretKey::from_seed([name; 32])),
        epoch: 1,
        roster: Digest::default(),
        policies: rules.policies.clone(),
        scope: rules.scope.clone(),
        stride: None,
    }
}
