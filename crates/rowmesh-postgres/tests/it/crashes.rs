//! Servers that end without warning, sessions that are cut off and disks that fill up, while the application writes and we seal and take: nothing is
//! lost, nothing doubled, and no number given out twice.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rowmesh_core::exchange::LogRequest;
use rowmesh_core::ident::{Digest, Dot, Seq};
use rowmesh_core::store::{Store, StoreError, StoreErrorKind};
use rowmesh_postgres::connection::Session;

use crate::cluster::{Cluster, Database};
use crate::mesh::{Node, Site, application, check_equal, converge, lacked, now, verified};
use rowmesh_contract::check_refused;

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
        let mut last: BTreeMap<_, (Seq, Digest)> = BTreeMap::new();
        let mut kept = BTreeMap::new();
        for changeset in node.log() {
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

/// Makes room on a disk that was full, and starts the server again if it has ended for lack of it.
fn make_room(cluster: &Cluster, node: &mut Node) {
    cluster.make_room();
    if application_is_away(node) {
        cluster.control(&["restart", "-m", "immediate"]);
        node.app = application(&node.database);
    }
}

/// What a store says whose disk is full: itself, or that its server has ended.
fn check_full(error: &StoreError) {
    assert!(matches!(error.code, "RM8102" | "RM5106" | "RM1207"), "{error:?}");
}

#[test]
fn h3_a_disk_that_fills_up_in_the_middle_of_taking_in_loses_and_doubles_nothing() {
    // What the two databases hold at the end, up to 190 MB on some versions, leaves room for the temporary files of the comparison.
    let Some(cluster) = Cluster::on_small_disk(400) else { return };
    let mut nodes = begin(Some(&cluster));
    let (mut exposed, mut refusals) = (Exposed::default(), 0);
    for (round, room) in [1, 4, 9, 15].into_iter().enumerate() {
        let (first, last) = (round * 1000 + 1, round * 1000 + 1000);
        nodes[1].run(&format!(
            "INSERT INTO notes SELECT n, (SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 150) WHERE n > 0) FROM generate_series({first}, {last}) n"
        ));
        nodes[1].seal();
        // Nobody has noticed it yet when the disk is full.
        nodes[0]
            .run(&format!("INSERT INTO loose VALUES ({round}, 'mine'); UPDATE counters SET n = n + 1 WHERE id = 1"));
        cluster.fill_disk_but_for(room);
        let (here, there) = nodes.split_at_mut(1);
        if let Err(error) = exposed.carry(&mut there[0], &mut here[0]) {
            check_full(&error);
            refusals += 1;
        }
        make_room(&cluster, &mut nodes[0]);
        let (here, there) = nodes.split_at_mut(1);
        while let Err(error) = exchange(&mut here[0], &mut there[0], &mut exposed) {
            assert_eq!(error.kind, StoreErrorKind::Transient, "{error:?}");
        }
    }
    assert!(refusals > 1, "the disk was full {refusals} times");
    converge(&mut nodes);
    check_equal(&mut nodes);
    nodes.iter_mut().for_each(|node| exposed.check_chains(node));
    assert_eq!(
        nodes[1].query(
            "SELECT (SELECT count(*) FROM notes), (SELECT count(*) FROM loose), (SELECT n FROM counters WHERE id = 1)"
        ),
        ["(4000,4,4)"]
    );
}

#[test]
fn h3_g1_a_disk_that_fills_up_in_the_middle_of_a_copy_loses_nothing_when_it_is_begun_anew() {
    let Some(cluster) = Cluster::on_small_disk(200) else { return };
    let mut member = Node::new(1, SCHEMA);
    member.run("INSERT INTO notes SELECT n, (SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 150) WHERE n > 0) FROM generate_series(1, 3000) n");
    member.seal();
    let copy = member.copy();
    let mut joiner = Node::outside_on(2, Site::on(Database::on(&cluster)), SCHEMA);
    joiner.stand();
    let source = member.store.position().origin.node;
    for room in [2, 8] {
        joiner.store.load_begin(&copy.start, source, now()).unwrap();
        joiner.run(&format!("INSERT INTO loose VALUES ({room}, 'mine')"));
        cluster.fill_disk_but_for(room);
        let refused = copy.chunks.iter().find_map(|chunk| joiner.store.load_chunk(chunk, now()).err());
        check_full(&refused.expect("no room for all of it"));
        make_room(&cluster, &mut joiner);
        assert_eq!(joiner.store.position().vector.total(), 0);
        joiner.run("UPDATE notes SET a = 'edited' WHERE id = (SELECT min(id) FROM notes WHERE a <> 'edited')");
    }
    let edited: usize = joiner.text("SELECT count(*) FROM notes WHERE a = 'edited'").parse().unwrap();
    joiner.load(&copy);
    let mut nodes = vec![member, joiner];
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[0].text("SELECT count(*) FROM notes WHERE a = 'edited'"), edited.to_string());
    assert_eq!(nodes[0].query("SELECT (SELECT count(*) FROM notes), (SELECT count(*) FROM loose)"), ["(3000,2)"]);
}

#[test]
fn h5_an_application_that_takes_all_connections_holds_up_the_node_only_as_long_as_it_has_them() {
    let cluster = Cluster::own(&["max_connections = 12", "superuser_reserved_connections = 0", "fsync = off"]);
    let mut nodes = begin(Some(&cluster));
    let mut taken = take_all(&nodes[0].database, &[&nodes[0].app, nodes[0].store.database().session()]);
    // The session that it has is its own.
    nodes[0].run("INSERT INTO notes VALUES (1, 'x')");
    assert_eq!(nodes[0].seal(), 1);
    let copied = nodes[0].store.snapshot(&Default::default()).err().expect("a copy needs another session");
    assert_eq!((copied.code, copied.kind), ("RM1207", StoreErrorKind::Transient));
    let process: i32 = nodes[0].store.database().session().query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    taken[0].query("SELECT pg_terminate_backend($1, 20000)", &[&process]).unwrap();
    taken.push(Session::open(&nodes[0].database.location()).expect("the one that has ended"));
    nodes[0].run("INSERT INTO notes VALUES (2, 'y')");
    for _ in 0..3 {
        assert_eq!(nodes[0].store.seal(now()).unwrap_err().kind, StoreErrorKind::Transient);
    }
    drop(taken);
    let sealed = loop {
        // A session that was given up ends in the server a moment later.
        match nodes[0].store.seal(now()) {
            Ok(sealed) => break sealed.events,
            Err(error) => assert_eq!(error.kind, StoreErrorKind::Transient, "{error:?}"),
        }
    };
    assert_eq!(sealed, 1);
    converge(&mut nodes);
    check_equal(&mut nodes);
}

/// Takes all connections that a server has left. One that its user has closed ends there a moment later, so it is done when the server knows of
/// nobody but those who are `known` to stay.
fn take_all(database: &Database, known: &[&Session]) -> Vec<Session> {
    let pid = |session: &Session| session.query_one("SELECT pg_backend_pid()", &[]).unwrap().get::<_, i32>(0);
    let others = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> ALL ($1)";
    let mut taken: Vec<Session> = Vec::new();
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < Duration::from_secs(60), "somebody else stays connected");
        while let Ok(session) = Session::open(&database.location()) {
            taken.push(session);
        }
        let known: Vec<i32> = taken.iter().map(pid).chain(known.iter().map(|session| pid(session))).collect();
        if taken[0].query_one(others, &[&known]).unwrap().get::<_, i64>(0) == 0 {
            return taken;
        }
    }
}

/// Has the server do something in the middle of a statement of ours that writes to a table of ours, when a condition holds.
fn ambush(node: &Node, table: &str, condition: &str, what: &str) {
    node.database
        .session()
        .batch(&format!(
            "CREATE FUNCTION public.ambush() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$ BEGIN IF {condition} THEN {what}; END IF; RETURN NULL; END $$;
             CREATE TRIGGER ambush BEFORE INSERT ON rowmesh.{table} FOR EACH STATEMENT EXECUTE FUNCTION public.ambush();
             ALTER TABLE rowmesh.{table} ENABLE ALWAYS TRIGGER ambush"
        ))
        .unwrap();
}

fn end_ambush(node: &Node, table: &str) {
    node.database
        .session()
        .batch(&format!("DROP TRIGGER ambush ON rowmesh.{table}; DROP FUNCTION public.ambush"))
        .unwrap();
}

/// Whether it takes up the roster, and with it the rows that stood before.
fn stands(node: &mut Node) -> bool {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| node.stand())).is_ok()
}

/// Everything that stood is known, made no event, and reaches who joins.
fn check_adopted(mut node: Node, rows: usize) {
    node.store.follow_schema(now()).unwrap();
    assert_eq!((node.seal(), node.log().len()), (0, 0));
    assert_eq!(node.count("rowmesh.row_states"), rows);
    let schema =
        "CREATE TABLE notes (id bigint PRIMARY KEY, a text); CREATE TABLE plants (id bigint PRIMARY KEY, a text)";
    let mut joiner = Node::outside(2, schema);
    joiner.stand();
    joiner.load(&node.copy());
    let mut nodes = vec![node, joiner];
    converge(&mut nodes);
    nodes[0].run("UPDATE notes SET a = 'later' WHERE id = 1; DELETE FROM notes WHERE id = 2");
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[1].count("notes"), nodes[0].count("notes"));
}

const BEFORE: &str = "CREATE TABLE notes (id bigint PRIMARY KEY, a text); INSERT INTO notes SELECT n, 'x' FROM generate_series(1, 50000) n;
    CREATE TABLE plants (id bigint PRIMARY KEY, a text); INSERT INTO plants SELECT n, 'x' FROM generate_series(1, 10) n";

#[test]
fn h1_what_stood_before_is_taken_up_whole_where_that_was_cut_short_after_some_of_a_table() {
    let mut node = Node::outside(1, BEFORE);
    let some = "EXISTS (SELECT FROM rowmesh.row_states)";
    ambush(&node, "row_states", some, "PERFORM pg_terminate_backend(pg_backend_pid())");
    assert!(!stands(&mut node), "its session was ended");
    end_ambush(&node, "row_states");
    let known = node.count("rowmesh.row_states");
    assert!((1..50_010).contains(&known), "{known} rows were taken up");
    // Meanwhile the application goes on, with rows of either kind.
    node.run("UPDATE notes SET a = 'y' WHERE id IN (SELECT id FROM notes ORDER BY id LIMIT 1)");
    node.run("UPDATE notes SET a = 'x' WHERE a = 'y'");
    let node = node.restart();
    check_adopted(node, 50_010);
}

#[test]
fn i1_what_stood_before_is_taken_up_whole_though_the_schema_changes_meanwhile() {
    for ddl in [
        "ALTER TABLE plants ADD c int DEFAULT 7",
        "ALTER TABLE plants DROP COLUMN a",
        "DROP TABLE plants",
        "TRUNCATE plants",
        "CREATE TABLE fruits (id bigint PRIMARY KEY)",
    ] {
        let mut node = Node::outside(1, BEFORE);
        ambush(&node, "row_states", "NOT EXISTS (SELECT FROM rowmesh.row_states)", ddl);
        node.stand();
        end_ambush(&node, "row_states");
        node.store.follow_schema(now()).unwrap_or_else(|error| panic!("{ddl}: {error:?}"));
        node.seal();
        let gone = ddl.starts_with("DROP") || ddl.starts_with("TRUNCATE");
        assert_eq!(node.store.reconcile(None, now()).unwrap(), 0, "{ddl}");
        let known = node.store.tables(true).unwrap();
        let shown: u64 = known.iter().filter_map(|table| table.rows).sum();
        assert_eq!(shown, if gone { 50_000 } else { 50_010 }, "{ddl}");
    }
}

#[test]
fn i11_a_schema_of_ours_that_is_dropped_under_us_is_told_and_the_application_goes_on() {
    let mut nodes: Vec<Node> = (1..=2).map(|name| Node::new(name, SCHEMA)).collect();
    nodes[0].run("INSERT INTO notes VALUES (1, 'x')");
    converge(&mut nodes);
    let position = nodes[0].store.position();
    nodes[0].run("DROP SCHEMA rowmesh CASCADE");
    nodes[0].run(
        "INSERT INTO notes VALUES (2, 'y'); UPDATE notes SET a = 'z' WHERE id = 1; DELETE FROM notes WHERE id = 2",
    );
    assert!(nodes[0].store.look().unwrap().schema_moved, "whoever looks follows");
    for _ in 0..3 {
        check_refused(nodes[0].store.follow_schema(now()), "RM2109");
        check_refused(nodes[0].store.seal(now()), "RM2109");
    }
    nodes[1].run("INSERT INTO notes VALUES (9, 'far')");
    nodes[1].seal();
    let (here, there) = nodes.split_at_mut(1);
    let changesets = lacked(&here[0], &mut there[0]);
    check_refused(nodes[0].store.take(now(), &changesets), "RM2109");
    assert_eq!(nodes[0].query("SELECT * FROM notes"), ["(1,z)"], "nothing was taken in");
    assert_eq!(nodes[0].store.position(), position);
}

#[test]
fn i11_the_table_of_notes_that_is_dropped_under_us_is_there_again_with_our_next_look_and_no_note_is_lost() {
    let mut nodes: Vec<Node> = (1..=2).map(|name| Node::new(name, SCHEMA)).collect();
    nodes[0].run("INSERT INTO notes VALUES (1, 'x')");
    converge(&mut nodes);
    nodes[0].run("INSERT INTO notes VALUES (2, 'noted'); UPDATE notes SET a = 'noted' WHERE id = 1");
    nodes[0].run("DROP TABLE rowmesh.dirty");
    let refused = nodes[0].app.batch("INSERT INTO notes VALUES (3, 'refused')").unwrap_err();
    assert_eq!(refused.sqlstate().map(|state| state.code()), Some("42P01"), "what could not be noted is not written");
    assert!(nodes[0].store.look().unwrap().schema_moved);
    nodes[0].store.follow_schema(now()).unwrap();
    nodes[0].run("INSERT INTO notes VALUES (4, 'later')");
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[1].query("SELECT * FROM notes ORDER BY id"), ["(1,noted)", "(2,noted)", "(4,later)"]);
}

/// Whether the application's session has ended with its server.
fn application_is_away(node: &Node) -> bool {
    node.app.query("SELECT 1", &[]).is_err()
}
