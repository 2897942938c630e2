//! Servers that end without warning, sessions that are cut off and disks that fill up, while the application writes and we seal and take: nothing is
//! lost, nothing doubled, and no number given out twice.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rowmesh_core::exchange::LogRequest;
use rowmesh_core::ident::{Digest, Dot, Seq};
use rowmesh_core::store::{Store, StoreError, StoreErrorKind};
use rowmesh_postgres::connection::Session;

use crate::cluster::{Cluster, Database};
use crate::mesh::{Node, Site, application, check_equal, converge, lacked, now, verified};

const SCHEMA: &str = "CREATE TABLE notes (id bigint PRIMARY KEY, a text);
    CREATE TABLE loose (id bigint PRIMARY KEY, a text);
    CREATE TABLE counters (id int PRIMARY KEY, n bigint NOT NULL)";

/// What the application knows to be committed.
#[derive(Default)]
struct Written {
    next: AtomicU64,
    certain: AtomicU64,
    /// Increments of which it never heard whether they were made.
    unknown: AtomicU64,
}

/// Every changeset that anybody was given, by its name.
#[derive(Default)]
struct Exposed(BTreeMap<Dot, Digest>);

impl Exposed {
    /// Hands everything that one node lacks of another's to it.
    fn carry(&mut self, from: &mut Node, to: &mut Node) -> Result<(), StoreError> {
        let request = LogRequest::new(to.store.position().vector, [], 64 << 20);
        let page = from.store.read_log(&request)?;
        let changesets: Vec<_> = page.changesets.iter().map(|bytes| verified(bytes)).collect();
        for changeset in &changesets {
            let known = self.0.insert(changeset.dot(), changeset.hash());
            assert!(known.is_none_or(|known| known == changeset.hash()), "{:?} was given out twice", changeset.dot());
        }
        to.store.take(now(), &changesets).map(drop)
    }

    /// Every changeset that was given out is in the log, and each follows on the one before.
    fn check_chains(&self, node: &mut Node) {
        let page = node.store.read_log(&LogRequest::new(Default::default(), [], 256 << 20)).unwrap();
        assert!(!page.more);
        let mut last: BTreeMap<_, (Seq, Digest)> = BTreeMap::new();
        let mut kept = BTreeMap::new();
        for bytes in &page.changesets {
            let changeset = verified(bytes);
            let (dot, previous) = (changeset.dot(), changeset.header().previous);
            let (seq, hash) = last.get(&dot.origin).copied().unwrap_or_default();
            assert_eq!((dot.seq, previous), (seq.next(), hash), "the chain of node {}", node.name);
            last.insert(dot.origin, (dot.seq, changeset.hash()));
            kept.insert(dot, changeset.hash());
        }
        for (dot, hash) in &self.0 {
            assert_eq!(kept.get(dot), Some(hash), "{dot:?} was given out and is not in the log of node {}", node.name);
        }
    }
}

/// Writes until the session ends or nobody wants more. Each row is written by one statement.
fn write(app: &Session, written: &Written, is_over: &AtomicBool) {
    let loosely = "SET synchronous_commit = off";
    while !is_over.load(Ordering::Relaxed) {
        let id = written.next.fetch_add(1, Ordering::Relaxed);
        let sql =
            format!("BEGIN; INSERT INTO notes VALUES ({id}, 'x'); UPDATE counters SET n = n + 1 WHERE id = 1; COMMIT");
        if app.batch(&sql).is_err() {
            written.unknown.fetch_add(1, Ordering::Relaxed);
            return;
        }
        written.certain.fetch_add(1, Ordering::Relaxed);
        if app.batch(&format!("{loosely}; INSERT INTO loose VALUES ({id}, 'x'); RESET synchronous_commit")).is_err() {
            return;
        }
    }
}

/// One cycle: the application writes, two nodes seal and exchange, and in the middle of it something is broken off.
fn cycle(nodes: &mut [Node], written: &Written, exposed: &mut Exposed, after: u64, break_off: impl FnOnce() + Send) {
    let app = application(&nodes[0].database);
    let (is_broken, is_over) = (&AtomicBool::new(false), &AtomicBool::new(false));
    let until = written.certain.load(Ordering::Relaxed) + after;
    let [one, two] = nodes else { panic!("two nodes") };
    std::thread::scope(|scope| {
        scope.spawn(move || write(&app, written, is_over));
        scope.spawn(move || {
            while written.certain.load(Ordering::Relaxed) < until {
                std::thread::yield_now();
            }
            break_off();
            is_broken.store(true, Ordering::Relaxed);
        });
        let mut passed = 0;
        while passed < 1 {
            two.run(&format!(
                "UPDATE counters SET n = n + 1 WHERE id = 2; UPDATE notes SET a = 'far' WHERE id = {}",
                after
            ));
            two.seal();
            match exchange(one, two, exposed) {
                Ok(()) => passed += usize::from(is_broken.load(Ordering::Relaxed)),
                Err(error) => assert_eq!(error.kind, StoreErrorKind::Transient, "{error:?}"),
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

fn exchange(one: &mut Node, two: &mut Node, exposed: &mut Exposed) -> Result<(), StoreError> {
    one.store.seal(now())?;
    exposed.carry(one, two)?;
    exposed.carry(two, one)
}

fn begin(cluster: Option<&std::sync::Arc<Cluster>>) -> Vec<Node> {
    let database = cluster.map_or_else(Database::new, Database::on);
    let mut nodes = vec![Node::on(1, Site::on(database), SCHEMA), Node::new(2, SCHEMA)];
    nodes[0].run("INSERT INTO counters VALUES (1, 0), (2, 0)");
    converge(&mut nodes);
    nodes
}

fn check(nodes: &mut [Node], written: &Written, exposed: &Exposed) {
    nodes[0].app = application(&nodes[0].database);
    converge(nodes);
    check_equal(nodes);
    nodes.iter_mut().for_each(|node| exposed.check_chains(node));
    let number = |sql: &str| nodes[1].text(sql).parse::<u64>().unwrap();
    let (certain, unknown) = (written.certain.load(Ordering::Relaxed), written.unknown.load(Ordering::Relaxed));
    let rows = number("SELECT count(*) FROM notes");
    assert!((certain..=certain + unknown).contains(&rows), "{rows} rows of {certain} and perhaps {unknown}");
    assert_eq!(number("SELECT n FROM counters WHERE id = 1"), rows, "each increment once");
}

#[test]
fn h1_h2_a_server_that_crashes_again_and_again_loses_and_doubles_nothing() {
    let cluster = Cluster::own(&[]);
    let mut nodes = begin(Some(&cluster));
    let (written, mut exposed) = (Written::default(), Exposed::default());
    for round in 0..12 {
        let crash = || cluster.control(&["restart", "-m", "immediate"]);
        cycle(&mut nodes, &written, &mut exposed, round * 7 % 23, crash);
    }
    check(&mut nodes, &written, &exposed);
}

#[test]
fn d13_sessions_that_are_cut_off_at_any_place_lose_and_double_nothing() {
    let mut nodes = begin(None);
    let (written, mut exposed) = (Written::default(), Exposed::default());
    for round in 0..40 {
        let process: i32 =
            nodes[0].store.database().session().query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
        let killer = application(&nodes[0].database);
        let cut = move || {
            killer.query("SELECT pg_terminate_backend($1)", &[&process]).unwrap();
        };
        cycle(&mut nodes, &written, &mut exposed, round * 5 % 17, cut);
    }
    check(&mut nodes, &written, &exposed);
}

#[test]
fn h3_a_full_disk_is_told_and_nothing_is_lost_when_there_is_room_again() {
    let Some(cluster) = Cluster::on_small_disk(200) else { return };
    let mut nodes = begin(Some(&cluster));
    nodes[1].run("INSERT INTO notes SELECT n, repeat('x', 5000) || n FROM generate_series(1, 3000) n");
    nodes[1].seal();
    let changesets = {
        let (here, there) = nodes.split_at_mut(1);
        lacked(&here[0], &mut there[0])
    };
    nodes[0].run("INSERT INTO notes VALUES (-1, 'mine')");
    cluster.fill_disk();
    let refused = nodes[0].store.take(now(), &changesets).expect_err("no room");
    // Without room for its log the server ends; with room there it says what is wrong.
    assert!(matches!(refused.code, "RM8102" | "RM5106" | "RM1207"), "{refused:?}");
    cluster.make_room();
    if application_is_away(&nodes[0]) {
        cluster.control(&["restart", "-m", "immediate"]);
        nodes[0].app = application(&nodes[0].database);
    }
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[1].text("SELECT count(*) FROM notes"), "3001");
}

/// Whether the application's session has ended with its server.
fn application_is_away(node: &Node) -> bool {
    node.app.query("SELECT 1", &[]).is_err()
}
