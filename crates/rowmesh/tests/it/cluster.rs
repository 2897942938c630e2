//! Whole nodes over loopback, each over a fake database and with a data folder of its own, and the one way in which tests wait: for a
//! condition, with a deadline that only a failing test meets.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rowmesh::clock::Clock;
use rowmesh::control::api::{Answer, Question, Status};
use rowmesh::{Failure, Node, NodeOptions, RunningNode};
use rowmesh_core::clock::WallTime;
use rowmesh_core::store::Store;

use crate::fake_store::FakeDatabase;

/// No test waits for this to pass; it turns one that hangs into one that fails.
pub const FOREVER: Duration = Duration::from_secs(30);

/// A node under test: it may be stopped, and started again over what it left.
pub struct TestNode {
    pub name: &'static str,
    pub database: FakeDatabase,
    pub options: NodeOptions,
    /// Milliseconds that its clock is ahead.
    pub clock_ahead: Arc<AtomicI64>,
    pub running: Option<RunningNode>,
    _folder: tempfile::TempDir,
}

/// Waits until something holds.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + FOREVER;
    while !holds() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until something holds of a node's status.
pub async fn status_shows(node: &TestNode, what: &str, holds: impl Fn(&Status) -> bool) -> Status {
    let deadline = Instant::now() + FOREVER;
    loop {
        let status = node.status().await;
        if holds(&status) {
            return status;
        }
        assert!(Instant::now() < deadline, "never came true of {}: {what}: {status:#?}", node.name);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until all nodes hold the same rows and know the same changesets.
pub async fn converge(nodes: &[&TestNode]) {
    let same = || {
        nodes.windows(2).all(|pair| {
            let (a, b) = (&pair[0].database, &pair[1].database);
            a.rows() == b.rows() && a.vector() == b.vector()
        })
    };
    eventually("all nodes are equal", same).await;
}

impl TestNode {
    /// A node that belongs to no mesh and does not run.
    pub fn new(name: &'static str) -> TestNode {
        TestNode::with(name, |_| {})
    }

    /// The same with other options.
    pub fn with(name: &'static str, change: impl FnOnce(&mut NodeOptions)) -> TestNode {
        tell_what_happens();
        let folder = tempfile::tempdir().unwrap();
        let clock_ahead = Arc::new(AtomicI64::new(0));
        let mut options = NodeOptions::new(folder.path().join("data"), "fake");
        options.name = name.to_owned();
        options.listen = Some(format!("127.0.0.1:{}", free_port()));
        options.clock = skewed(clock_ahead.clone());
        // Whatever a test sees soon, it sees because of nudges.
        options.interval = Duration::from_secs(30);
        change(&mut options);
        TestNode { name, database: FakeDatabase::default(), options, clock_ahead, running: None, _folder: folder }
    }

    /// A node that has founded a mesh and runs.
    pub async fn founder(name: &'static str) -> TestNode {
        let node = TestNode::new(name);
        node.founds().await
    }

    /// Founds a mesh and runs.
    pub async fn founds(mut self) -> TestNode {
        let node = self.open().unwrap();
        node.found_mesh("shop").await.unwrap();
        self.running = Some(node.start().await.unwrap());
        self
    }

    /// A node that has joined through another and runs.
    pub async fn joiner(name: &'static str, sponsor: &TestNode) -> TestNode {
        TestNode::new(name).joins(sponsor).await
    }

    /// Joins through another and runs.
    pub async fn joins(mut self, sponsor: &TestNode) -> TestNode {
        let invite = sponsor.invite().await;
        let node = self.open().unwrap();
        node.join(&invite, |_| {}).await.unwrap();
        self.running = Some(node.start().await.unwrap());
        self
    }

    /// Opens the node without starting it.
    pub fn open(&self) -> Result<Node, Failure> {
        let database = self.database.clone();
        Node::over(self.options.clone(), None, |node, incarnation, _| {
            Ok(Box::new(database.open(node, incarnation)) as Box<dyn Store>)
        })
    }

    /// Starts it over what it left.
    pub async fn start(&mut self) {
        assert!(self.running.is_none(), "{} runs already", self.name);
        let node = self.open().unwrap();
        self.running = Some(node.start().await.unwrap());
    }

    /// Stops it as a person would.
    pub async fn stop(&mut self) {
        self.running.take().expect("it runs").stop().await;
    }

    /// Where its files lie.
    pub fn data(&self) -> &Path {
        &self.options.data
    }

    /// What it answers.
    pub async fn ask(&self, question: Question) -> Result<Answer, Failure> {
        self.running.as_ref().expect("it runs").ask(question).await
    }

    /// Its status.
    pub async fn status(&self) -> Status {
        self.running.as_ref().expect("it runs").status().await.unwrap()
    }

    /// A new invite of it, for one node.
    pub async fn invite(&self) -> String {
        self.invite_lasting(60_000).await
    }

    /// A new invite of it that lasts so many milliseconds.
    pub async fn invite_lasting(&self, ttl_ms: u64) -> String {
        let question = Question::Invite { ttl_ms, uses: 1, role: "peer".into(), addresses: vec![] };
        match self.ask(question).await.unwrap() {
            Answer::Invite { line, .. } => line,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until it knows so many peers, all live.
    pub async fn sees(&self, peers: usize) {
        let live = |status: &Status| {
            status.peers.len() == peers
                && status.peers.iter().all(|peer| peer.state == "live" && peer.last_seen.is_some())
        };
        status_shows(self, &format!("{peers} live peers"), live).await;
    }
}

/// `RUST_LOG=rowmesh=debug cargo nextest run NAME --no-capture` shows what the nodes do.
pub fn tell_what_happens() {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    // The second node of a test finds it done.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}

/// A port that stays the same over restarts, as a real node's does. Below the ports that the system gives to outgoing connections, and
/// in a range of this process's own: tests run in many.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = 10_000 + (std::process::id() % 1_250) as u16 * 16;
    loop {
        let port = base + NEXT.fetch_add(1, Ordering::Relaxed) % 16;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A clock that is ahead of the machine's by so many milliseconds, which a test may change.
pub fn skewed(ahead: Arc<AtomicI64>) -> Clock {
    let machine = Clock::machine();
    Clock::of(move || WallTime(machine.now().0.saturating_add_signed(ahead.load(Ordering::Relaxed))))
}
