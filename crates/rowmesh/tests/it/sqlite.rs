//! Whole nodes over real SQLite files, written to by an application that knows nothing of Rowmesh: the path of a change from end to end.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use rowmesh::clock::Clock;
use rowmesh::control::api::{Answer, Question};
use rowmesh::failure::code;
use rowmesh::{Node, NodeOptions, RunningNode};
use rowmesh_core::clock::WallTime;
use rusqlite::Connection;

use crate::cluster::{FOREVER, eventually, free_port, skewed};

struct Shop {
    options: NodeOptions,
    application: Connection,
    running: Option<RunningNode>,
    folder: tempfile::TempDir,
}

const SCHEMA: &str = "
    CREATE TABLE products (id TEXT PRIMARY KEY, name TEXT NOT NULL, price REAL, stock INTEGER NOT NULL DEFAULT 0);
    CREATE TABLE orders (id TEXT PRIMARY KEY, product TEXT NOT NULL REFERENCES products (id) ON DELETE CASCADE, pieces INTEGER);";

impl Shop {
    fn new(name: &str) -> Shop {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("shop.db");
        let application = Connection::open(&file).unwrap();
        application.pragma_update(None, "journal_mode", "wal").unwrap();
        application.pragma_update(None, "foreign_keys", true).unwrap();
        application.busy_timeout(Duration::from_secs(5)).unwrap();
        application.execute_batch(SCHEMA).unwrap();
        let mut options = NodeOptions::new(folder.path().join("data"), file.to_str().unwrap());
        options.name = name.to_owned();
        options.listen = Some(format!("127.0.0.1:{}", free_port()));
        Shop { options, application, running: None, folder }
    }

    async fn founder(name: &str) -> Shop {
        let mut shop = Shop::new(name);
        for nth in 0..20 {
            shop.run(&format!("INSERT INTO products VALUES ('old {nth}', 'stood here before', 1.5, {nth})"));
        }
        let node = Node::open(shop.options.clone()).unwrap();
        node.found_mesh("shop").await.unwrap();
        shop.running = Some(node.start().await.unwrap());
        shop
    }

    async fn joiner(name: &str, sponsor: &Shop) -> Shop {
        let question = Question::Invite { ttl_ms: 60_000, uses: 1, role: "peer".into(), addresses: vec![] };
        let Answer::Invite { line, .. } = sponsor.running.as_ref().unwrap().ask(question).await.unwrap() else {
            panic!("an invite is due")
        };
        let mut shop = Shop::new(name);
        let node = Node::open(shop.options.clone()).unwrap();
        node.join(&line, |_| {}).await.unwrap();
        shop.running = Some(node.start().await.unwrap());
        shop
    }

    async fn restart(&mut self) {
        self.running.take().unwrap().stop().await;
        let node = Node::open(self.options.clone()).unwrap();
        self.running = Some(node.start().await.unwrap());
    }

    fn run(&self, sql: &str) {
        self.application.execute_batch(sql).unwrap();
    }

    fn rows(&self) -> Vec<String> {
        let mut rows = Vec::new();
        for sql in [
            "SELECT id, name, price, stock FROM products ORDER BY id",
            "SELECT id, product, pieces, 0 FROM orders ORDER BY id",
        ] {
            let mut statement = self.application.prepare(sql).unwrap();
            let texts = statement.query_map([], |row| {
                let part = |nth| row.get::<_, rusqlite::types::Value>(nth).map(|value| format!("{value:?}"));
                Ok([part(0)?, part(1)?, part(2)?, part(3)?].join(" "))
            });
            rows.extend(texts.unwrap().map(Result::unwrap));
        }
        rows
    }

    fn has(&self, table: &str, id: &str) -> bool {
        let sql = format!("SELECT 1 FROM {table} WHERE id = ?1");
        self.application.prepare(&sql).unwrap().exists([id]).unwrap()
    }

    fn name_of(&self, id: &str) -> String {
        let sql = "SELECT name FROM products WHERE id = ?1";
        self.application.query_row(sql, [id], |row| row.get(0)).unwrap_or_default()
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("shop.db")
    }
}

async fn converge(shops: &[&Shop]) {
    eventually("all databases hold the same rows", || shops.windows(2).all(|pair| pair[0].rows() == pair[1].rows()))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_three_databases_become_one() {
    let till = Shop::founder("till").await;
    let office = Shop::joiner("office", &till).await;
    let depot = Shop::joiner("depot", &office).await;
    converge(&[&till, &office, &depot]).await;
    assert_eq!(depot.rows().len(), 20);
    till.run("INSERT INTO products VALUES ('gum', 'Gum', 0.5, 100)");
    eventually("gum is everywhere", || depot.has("products", "gum") && office.has("products", "gum")).await;
    depot.run(
        "BEGIN; INSERT INTO orders VALUES ('o1', 'gum', 3); UPDATE products SET stock = 97 WHERE id = 'gum'; COMMIT",
    );
    office.run("UPDATE products SET name = 'Chewing gum' WHERE id = 'gum'");
    office.run("DELETE FROM products WHERE id = 'old 3'");
    eventually("the order is at the till", || till.has("orders", "o1")).await;
    eventually("the delete is at the till", || !till.has("products", "old 3")).await;
    converge(&[&till, &office, &depot]).await;
    let gum = "Text(\"gum\") Text(\"Chewing gum\") Real(0.5) Integer(97)";
    assert!(till.rows().iter().any(|row| row == gum), "both columns survive: {:#?}", till.rows());
}

/// The clock of one node goes back, by less and by more than others put up with, and comes right again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c5_edits_made_after_a_clock_went_back_win_over_those_before() {
    let ahead = Arc::new(AtomicI64::new(0));
    let mut till = Shop::new("till");
    till.options.clock = skewed(ahead.clone());
    let node = Node::open(till.options.clone()).unwrap();
    node.found_mesh("shop").await.unwrap();
    till.running = Some(node.start().await.unwrap());
    let office = Shop::joiner("office", &till).await;
    till.run("INSERT INTO products VALUES ('gum', 'first', 1, 0)");
    const YEAR_MS: i64 = 365 * 86_400_000;
    for back_ms in [0, 1_000, 3_600_000, YEAR_MS, 50 * YEAR_MS] {
        ahead.store(-back_ms, Ordering::Relaxed);
        let name = format!("after a jump of {back_ms} ms");
        till.run(&format!("UPDATE products SET name = '{name}' WHERE id = 'gum'"));
        eventually("the office shows the last edit", || office.name_of("gum") == name).await;
        office.run(&format!("INSERT INTO products VALUES ('office {back_ms}', 'tea', 1, 0)"));
    }
    // What came from a clock that seemed ahead was held meanwhile; it is taken in once the clocks agree.
    ahead.store(0, Ordering::Relaxed);
    till.running.as_ref().unwrap().ask(Question::Sync { peer: None, wait: true, timeout_ms: 20_000 }).await.unwrap();
    converge(&[&till, &office]).await;
    assert_eq!(till.rows().len(), 6);
}

/// Nine o'clock's edit is sealed at noon: it does not beat what another node wrote at ten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c8_an_edit_counts_from_when_it_was_made_and_not_from_when_it_was_sealed() {
    let mut till = Shop::founder("till").await;
    let office = Shop::joiner("office", &till).await;
    till.run("INSERT INTO products VALUES ('gum', 'first', 1, 0)");
    eventually("gum is at the office", || office.has("products", "gum")).await;
    till.running.take().unwrap().stop().await;
    till.run("UPDATE products SET name = 'nine' WHERE id = 'gum'");
    let noted = Instant::now();
    eventually("a few milliseconds pass", || noted.elapsed() > Duration::from_millis(20)).await;
    office.run("UPDATE products SET name = 'ten' WHERE id = 'gum'");
    let question = Question::Sync { peer: None, wait: false, timeout_ms: 5_000 };
    office.running.as_ref().unwrap().ask(question).await.unwrap();
    till.running = Some(Node::open(till.options.clone()).unwrap().start().await.unwrap());
    till.run("INSERT INTO products VALUES ('sealed', 'after all', 1, 0)");
    eventually("the till has sealed", || office.has("products", "sealed")).await;
    converge(&[&till, &office]).await;
    assert_eq!(till.name_of("gum"), "ten");
    let lost = "SELECT count(*) FROM rowmesh_conflict_resolutions";
    let lost: i64 = till.application.query_row(lost, [], |row| row.get(0)).unwrap();
    assert_eq!(lost, 1, "what was written at nine is in the ledger");
}

/// Figures are written at a stop, and a restart begins to count anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_of_an_hour_add_up_over_restarts() {
    let mut till = Shop::new("till");
    // All of it within one hour, whenever the test runs.
    till.options.clock = Clock::of(|| WallTime(500_000 * 3_600_000 + 1));
    let node = Node::open(till.options.clone()).unwrap();
    node.found_mesh("shop").await.unwrap();
    till.running = Some(node.start().await.unwrap());
    for round in 0..3 {
        till.run(&format!("INSERT INTO products VALUES ('round {round}', 'counted', 1, 0)"));
        let question = Question::Sync { peer: None, wait: true, timeout_ms: 20_000 };
        till.running.as_ref().unwrap().ask(question).await.unwrap();
        till.restart().await;
    }
    till.running.take().unwrap().stop().await;
    let sealed = "SELECT CAST(sum(value) AS INTEGER) FROM rowmesh_sync_metrics WHERE name = 'events_sealed'";
    let sealed: i64 = till.application.query_row(sealed, [], |row| row.get(0)).unwrap();
    assert_eq!(sealed, 3, "each round's event is counted once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h1_databases_that_are_written_while_their_daemons_are_away_catch_up() {
    let mut till = Shop::founder("till").await;
    let mut office = Shop::joiner("office", &till).await;
    for round in 0..3 {
        office.running.take().unwrap().stop().await;
        office.run(&format!("INSERT INTO products VALUES ('away {round}', 'written without a daemon', 2, 0)"));
        till.run(&format!("INSERT INTO orders VALUES ('o{round}', 'old 1', {round})"));
        let node = Node::open(office.options.clone()).unwrap();
        office.running = Some(node.start().await.unwrap());
        till.restart().await;
    }
    converge(&[&till, &office]).await;
    assert_eq!(till.rows().len(), 26);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g1_a_join_while_the_application_writes_loses_nothing() {
    let till = Shop::founder("till").await;
    let writer = {
        let file = till.file();
        tokio::task::spawn_blocking(move || {
            let application = Connection::open(file).unwrap();
            application.busy_timeout(Duration::from_secs(10)).unwrap();
            for nth in 0..300 {
                let sql = "INSERT INTO products VALUES (?1, 'written during the join', 1, 0)";
                application.execute(sql, [format!("new {nth}")]).unwrap();
            }
        })
    };
    let office = Shop::joiner("office", &till).await;
    writer.await.unwrap();
    eventually("all of it is there", || office.rows().len() == 320).await;
    converge(&[&till, &office]).await;
}

#[tokio::test]
async fn c2_two_daemons_on_one_database_are_told_apart() {
    let till = Shop::founder("till").await;
    let mut options = till.options.clone();
    options.data = till.folder.path().join("other-data");
    let refused = Node::open(options.clone()).unwrap_err();
    assert_eq!(refused.code, code::TWO_DAEMONS, "{refused}");
    assert!(refused.message.contains(&std::process::id().to_string()), "{refused}");
    till.running.unwrap().stop().await;
    let refused = Node::open(options).unwrap_err();
    assert_eq!(refused.code, code::OTHER_NODES_DATABASE, "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_pair_leaves_its_database_files_alone() {
    let mut till = Shop::founder("till").await;
    let mut office = Shop::joiner("office", &till).await;
    for shop in [&mut till, &mut office] {
        shop.options.interval = Duration::from_millis(150);
        shop.restart().await;
    }
    till.run("INSERT INTO products VALUES ('gum', 'Gum', 0.5, 100)");
    converge(&[&till, &office]).await;
    // SQLite counts the commits of other connections; its own reading does not count.
    let commits =
        |shop: &Shop| shop.application.query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0)).unwrap();
    let seen = async |shop: &Shop| shop.running.as_ref().unwrap().status().await.unwrap().peers[0].last_seen;
    let mut quiet = 0;
    let deadline = Instant::now() + FOREVER;
    while quiet < 10 {
        assert!(Instant::now() < deadline, "an idle pair goes on writing");
        let before = (commits(&till), commits(&office));
        let seen_before = seen(&till).await;
        while seen(&till).await == seen_before {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        quiet = if before == (commits(&till), commits(&office)) { quiet + 1 } else { 0 };
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_answers_for_what_it_is() {
    let till = Shop::founder("till").await;
    let office = Shop::joiner("office", &till).await;
    till.run("INSERT INTO products VALUES ('gum', 'Gum', 0.5, 100)");
    eventually("gum is at the office", || office.has("products", "gum")).await;
    let status = office.running.as_ref().unwrap().status().await.unwrap();
    assert_eq!((status.tables_synced, status.mesh.as_str()), (2, "shop"));
    assert!(status.database.contains("SQLite"), "{}", status.database);
    assert!(status.capturing && status.attention.is_empty(), "{:?}", status.attention);
    let sessions = || -> i64 {
        office.application.query_row("SELECT count(*) FROM rowmesh_sync_sessions", [], |row| row.get(0)).unwrap()
    };
    eventually("the exchange is on record", || sessions() > 0).await;
    assert!(sessions() < 10, "{}", sessions());
}
