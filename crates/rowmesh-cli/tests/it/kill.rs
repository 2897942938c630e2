//! Kills of real processes, again and again, while the reference application works on both databases. What power loss takes beside the process is
//! the simulator's; single moments of a kill, and what becomes of a server that ends, are the stores' own tests.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use business::{Action, Database, Desk, Dialect, Seed, Workload};

use crate::home::Home;
use crate::machine::{Daemon, Machine, eventually};

const NAMES: [&str; 2] = ["a", "b"];
/// What users leave between two actions: the rows that everybody writes are edited some hundred times a second in all.
const BREATH: Duration = Duration::from_millis(5);

#[test]
fn h1_a_hundred_kills_under_load_lose_and_double_nothing() {
    let machine = Machine::new();
    check_kills(&machine, NAMES.map(|name| Home::file(&machine, name)), 100);
}

#[test]
fn h1_fifty_kills_under_load_on_postgresql_lose_and_double_nothing() {
    check_kills(&Machine::new(), NAMES.map(|_| Home::server()), 50);
}

fn check_kills(machine: &Machine, homes: [Home; 2], kills: usize) {
    Desk::create(&homes[0].place).and_then(|desk| desk.seed(&Seed::small(1))).expect("the application's own data");
    // A file gets the schema with the copy, a server's database from the application.
    homes[1].make_ready(|db| business::create(db));
    let (a, b) = up(machine, &homes);
    let addresses = [a.address(), b.address()];

    let is_open = AtomicBool::new(true);
    let (daemons, written) = thread::scope(|scope| {
        let writers = [0, 1].map(|at| {
            let (place, is_open) = (homes[at].place.as_str(), &is_open);
            scope.spawn(move || work(place, NAMES[at], is_open))
        });
        let _closing = Closing(&is_open);
        let daemons = kill_in_turns(machine, [a, b], &addresses, kills);
        is_open.store(false, Ordering::Relaxed);
        (daemons, writers.map(|writer| writer.join().expect("the application is never refused")))
    });

    eventually("both nodes have everything", || NAMES.iter().all(|name| has_everything(machine, name)));
    for written in &written {
        assert!(written.steps > kills, "the application worked all the time: {} steps", written.steps);
        assert!(!written.orders.is_empty(), "it sold");
    }
    check_nothing_lost_or_doubled(&homes, &written);
    assert_eq!(daemons.map(Daemon::terminate), [0, 0]);
    check_nothing_lost_or_doubled(&homes, &written);
}

/// Founds a mesh on the first database and joins it with the second.
fn up(machine: &Machine, homes: &[Home; 2]) -> (Daemon, Daemon) {
    let a = machine.start(&["up", &homes[0].place, "--name", "a", "--yes"]);
    let b = machine.start(&["up", &homes[1].place, "--name", "b", "--yes", "--join", &a.invite()]);
    (a, b)
}

/// Numbers are given in the transaction that uses them: wherever a large seal is cut off, the next one goes on behind the last that is there.
#[test]
fn c3_a_kill_in_the_middle_of_a_seal_leaves_no_hole_and_uses_no_number_twice() {
    let machine = Machine::new();
    check_kills_of_seals(&machine, NAMES.map(|name| Home::file(&machine, name)));
}

#[test]
fn c3_a_kill_in_the_middle_of_a_seal_on_postgresql_leaves_no_hole_and_uses_no_number_twice() {
    check_kills_of_seals(&Machine::new(), NAMES.map(|_| Home::server()));
}

fn check_kills_of_seals(machine: &Machine, homes: [Home; 2]) {
    const ROUNDS: u64 = 12;
    let products = |db: &dyn Database| db.run("CREATE TABLE products (id TEXT PRIMARY KEY, name TEXT NOT NULL)");
    products(&*homes[0].open_new()).expect("made");
    homes[1].make_ready(products);
    let (mut a, b) = up(machine, &homes);
    for round in 0..ROUNDS {
        let rows = format!(
            "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 4000)
             INSERT INTO products SELECT '{round}-' || i, 'sealed in round {round}' FROM n"
        );
        homes[0].open().run(&rows).expect("the application is never refused");
        thread::park_timeout(Duration::from_millis(round * 12));
        a.kill();
        a = machine.start(&["run", "--name", "a"]);
    }
    homes[1]
        .open()
        .run("INSERT INTO products VALUES ('b', 'of the other node')")
        .expect("the application is never refused");
    eventually("both nodes have everything", || NAMES.iter().all(|name| has_everything(machine, name)));
    let logs = homes.each_ref().map(|home| {
        assert_eq!(home.texts("SELECT count(*) || '' FROM products"), [(ROUNDS * 4000 + 1).to_string()]);
        check_sound(home);
        read_log(home)
    });
    check_same_changesets(&logs[0], &logs[1]);
    assert_eq!(logs[0].len(), 2, "one origin per node: a kill is no reason for a new incarnation");
    drop((a, b));
}

/// What one writer did, as the application was told that it is committed.
struct Written {
    steps: usize,
    /// The numbers of its orders: each begins with the node's name, and every business counts for itself.
    orders: Vec<String>,
}

/// Ends the writers when a kill fails the test, so that its panic is seen.
struct Closing<'a>(&'a AtomicBool);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// One action of the application after the other, until the shop closes.
fn work(place: &str, name: &str, is_open: &AtomicBool) -> Written {
    let desk = Desk::open(place).expect("opened");
    let mut workload = Workload::new(1, name);
    let mut written = Written { steps: 0, orders: Vec::new() };
    while is_open.load(Ordering::Relaxed) {
        match desk.work(&mut workload) {
            Ok(action) => {
                written.steps += 1;
                if let Action::Sold { order, .. } = action {
                    written.orders.push(order);
                }
            }
            Err(error) if error.to_string().contains("locked") => {}
            Err(error) => panic!("{name}: {error}"),
        }
        thread::park_timeout(BREATH);
    }
    written
}

/// Kills one node after the other at moments drawn at random, and starts it again.
fn kill_in_turns(machine: &Machine, daemons: [Daemon; 2], addresses: &[String; 2], kills: usize) -> [Daemon; 2] {
    let mut moments = Moments(7);
    let mut daemons = daemons.map(Some);
    for kill in 0..kills {
        thread::park_timeout(moments.next());
        let at = kill % 2;
        daemons[at].take().expect("it runs").kill();
        daemons[at] = Some(machine.start_at(&["run", "--name", NAMES[at]], &addresses[at]));
    }
    daemons.map(|daemon| daemon.expect("it runs"))
}

/// Pauses of 10 to 150 ms, the same in every run: splitmix64.
struct Moments(u64);

impl Moments {
    fn next(&mut self) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Duration::from_millis(10 + (bits ^ (bits >> 31)) % 141)
    }
}

/// Nothing waits to be sealed here, and neither side lacks anything.
fn has_everything(machine: &Machine, name: &str) -> bool {
    let synced = machine.run(&["sync", "--wait", "--timeout", "10s", "--name", name]);
    synced.code == 0 && machine.json(&["status", "--name", name])["dirty"] == false
}

fn check_nothing_lost_or_doubled(homes: &[Home; 2], written: &[Written; 2]) {
    let contents = homes.each_ref().map(|home| Desk::open(&home.place).and_then(|desk| desk.contents()).expect("read"));
    for (a, b) in contents[0].iter().zip(&contents[1]) {
        assert_eq!(a, b, "both nodes hold the same rows");
    }
    let logs = homes.each_ref().map(|home| {
        check_sound(home);
        check_orders(home, written);
        read_log(home)
    });
    assert_eq!(logs[0].len(), 2, "one origin per node: a kill is no reason for a new incarnation");
    check_same_changesets(&logs[0], &logs[1]);
}

/// The database, the application's references, and what Rowmesh has still to do.
fn check_sound(home: &Home) {
    home.check_sound();
    let [parked, dirty, changesets, events] = ["parked", "dirty", "changesets", "events"].map(|table| home.ours(table));
    assert_eq!(home.texts(&format!("SELECT reason FROM {parked}")), [""; 0]);
    assert_eq!(home.texts(&format!("SELECT CAST(t AS TEXT) FROM {dirty}")), [""; 0]);
    let said = format!("SELECT seq || ': ' || events FROM {changesets} ORDER BY c");
    let there = format!(
        "SELECT c.seq || ': ' || count(e.id) FROM {changesets} c LEFT JOIN {events} e ON e.id / 131072 = c.c GROUP BY c.c ORDER BY c.c"
    );
    assert_eq!(home.texts(&said), home.texts(&there), "each changeset with its events, each once");
}

/// Every sale that was committed anywhere stands here, and no other.
fn check_orders(home: &Home, written: &[Written; 2]) {
    for (name, written) in NAMES.iter().zip(written) {
        let mut committed = written.orders.clone();
        committed.sort();
        let mut here =
            home.texts(&format!("SELECT order_number FROM business_orders WHERE order_number LIKE '{name}-%'"));
        here.sort();
        assert_eq!(here, committed, "the orders of {name}");
    }
}

/// The origins of a log by name, each with the changesets that it must hold.
type Log = BTreeMap<String, Changesets>;

#[derive(Debug)]
struct Changesets {
    floor: i64,
    hashes: BTreeMap<i64, String>,
}

/// Reads a log and asserts that none of its origins has a hole, a double or anything beyond its end.
fn read_log(home: &Home) -> Log {
    let db = home.open();
    let hash = match db.dialect() {
        Dialect::Sqlite => "hex(hash)",
        Dialect::Postgres => "upper(encode(hash, 'hex'))",
    };
    let [origins, changesets] = ["origins", "changesets"].map(|table| home.ours(table));
    let sql = format!("SELECT o, node_id || '.' || incarnation || '.' || nonce, floor, seq, {hash} FROM {origins}");
    let origins: Vec<(i64, String, i64, i64, String)> = db.all(&sql, &[]).expect("read");
    let of_origin = |(number, name, floor, seq, last): (i64, String, i64, i64, String)| {
        let sql = format!("SELECT seq, {hash} FROM {changesets} WHERE o = {number} ORDER BY seq");
        let list: Vec<(i64, String)> = db.all(&sql, &[]).expect("read");
        let seqs: Vec<i64> = list.iter().map(|(seq, _)| *seq).collect();
        assert_eq!(seqs, (floor + 1..=seq).collect::<Vec<_>>(), "{name} from its floor to its end");
        if let Some((_, kept)) = list.last() {
            assert_eq!(*kept, last, "{name} ends with the hash that the vector names");
        }
        (name, Changesets { floor, hashes: list.into_iter().collect() })
    };
    origins.into_iter().map(of_origin).collect()
}

/// Two logs hold the same origins up to the same end, and what both still hold is equal.
fn check_same_changesets(a: &Log, b: &Log) {
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    for (name, at_a) in a {
        let at_b = &b[name];
        let from = at_a.floor.max(at_b.floor) + 1;
        let both = [at_a, at_b].map(|log| log.hashes.range(from..).collect::<Vec<_>>());
        assert_eq!(both[0], both[1], "{name} from {from} on");
    }
}
