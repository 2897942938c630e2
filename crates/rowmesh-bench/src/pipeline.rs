//! How fast two stores work: sealing alone, then sealing, verifying, merging and applying in two threads, without a network between.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use rowmesh_core::changeset::Claimed;
use rowmesh_core::clock::{VersionVector, WallTime};
use rowmesh_core::exchange::LogRequest;
use rowmesh_core::ident::{Digest, Incarnation, MeshId};
use rowmesh_core::policy::PolicyHistory;
use rowmesh_core::scope::Scope;
use rowmesh_core::sign::{SecretKey, Signer};
use rowmesh_core::store::{Standing, Store};
use rowmesh_engine::plan::AttachOptions;
use rowmesh_sqlite::connection::Location;
use rowmesh_sqlite::store::SqliteStore;
use rusqlite::Connection;

use crate::measure::{cpu_time, time};

const MESH: MeshId = MeshId([7; 32]);

/// Measures and prints.
pub fn run(rows: usize) {
    println!("pipeline: {rows} row changes between two stores in two threads");
    let folder = tempfile::tempdir().expect("a folder for the measurement");
    let paths = [folder.path().join("a.db"), folder.path().join("b.db")];
    let schema =
        "CREATE TABLE products (id TEXT PRIMARY KEY, sku TEXT NOT NULL, name TEXT NOT NULL, price REAL NOT NULL,
         stock INTEGER NOT NULL, note TEXT, created_at TEXT NOT NULL, updated_at TEXT NOT NULL)";
    let apps = paths.each_ref().map(|path| {
        let app = Connection::open(path).expect("a new database can be opened");
        app.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL").expect("WAL is possible here");
        app.execute_batch(schema).expect("the schema is valid");
        app
    });
    let mut a = open(&paths[0], 1);
    let mut b = open(&paths[1], 2);

    let insert = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
         INSERT INTO products SELECT printf('%08x-product', i), 'sku' || i, 'Product ' || i, 9.5, 10, NULL, '2026-01-01', '2026-01-01' FROM n"
    );
    let update = "UPDATE products SET price = price + 1, updated_at = '2026-02-02'".to_owned();
    for (name, statement) in [("insert", insert), ("update", update)] {
        apps[0].execute_batch(&statement).expect("the application's statement");
        let (bytes, sealing) = time_both(|| seal_all(&mut a));
        report(&format!("{name}: seal"), rows, sealing);
        let (_, applying) = time_both(|| take_all(&mut a, &mut b));
        report(&format!("{name}: read, verify, merge, apply"), rows, applying);
        println!("    {:.0} bytes of changesets a row", bytes as f64 / rows as f64);
    }

    apps[0].execute_batch("UPDATE products SET stock = stock - 1").expect("the application's statement");
    let ((a, b), both) = time_both(|| seal_and_apply_together(a, b));
    report("update: seal, verify, merge, apply at the same time", rows, both);
    sizes(&apps[0], rows);
    let digests = [a, b].map(|mut store| store.content_digest().expect("the contents can be read"));
    println!("    contents {}", if digests[0] == digests[1] { "equal" } else { "DIFFER" });
}

fn report(name: &str, rows: usize, (took, cpu): (Duration, Duration)) {
    let (took, cpu) = (took.as_secs_f64(), cpu.as_secs_f64());
    println!("  {name:<52} {:>9.0} rows/s   {took:.2} s, of which {cpu:.2} s of processor time", rows as f64 / took);
}

/// The time that something took by the clock, and by the processor: on a busy machine only the latter means something.
fn time_both<T>(what: impl FnOnce() -> T) -> (T, (Duration, Duration)) {
    let used = || cpu_time(std::process::id()).unwrap_or_default();
    let before = used();
    let (result, took) = time(what);
    (result, (took, used().saturating_sub(before)))
}

fn sizes(app: &Connection, rows: usize) {
    let bytes = |sql: &str| -> f64 {
        app.query_row(sql, [], |row| row.get::<_, Option<i64>>(0)).ok().flatten().unwrap_or_default() as f64
            / rows as f64
    };
    println!(
        "    bytes a row: state {:.0}, events (images for people, 3 events a row) {:.0}, signed changesets (the same) {:.0}, the row itself about {:.0}",
        bytes("SELECT sum(length(key) + length(state)) FROM rowmesh_row_states"),
        bytes(
            "SELECT sum(length(key) + length(record_key) + 48 + coalesce(length(before_data), 0) + coalesce(length(after_data), 0)) FROM rowmesh_events"
        ),
        bytes("SELECT sum(length(body)) FROM rowmesh_changesets"),
        bytes(
            "SELECT sum(length(id) + length(sku) + length(name) + 17 + length(created_at) + length(updated_at)) FROM products"
        ),
    );
}

fn seal_all(store: &mut SqliteStore) -> usize {
    let before = store.position().vector;
    while store.seal(now()).expect("sealed").more {}
    let page = store
        .read_log(&LogRequest { after: before, except: vec![], max_bytes: u64::MAX })
        .expect("the log can be read");
    page.changesets.iter().map(|bytes| bytes.len()).sum()
}

fn take_all(from: &mut SqliteStore, to: &mut SqliteStore) {
    loop {
        let page = from.read_log(&LogRequest::new(to.position().vector, [], 4 << 20)).expect("the log can be read");
        if page.changesets.is_empty() {
            return;
        }
        take(to, &page.changesets);
    }
}

fn take(to: &mut SqliteStore, bytes: &[Arc<[u8]>]) {
    let key = SecretKey::from_seed([1; 32]).public_key();
    let verify = |bytes: &Arc<[u8]>| {
        Claimed::decode(bytes).and_then(|claimed| claimed.verify(&MESH, &key)).expect("a good changeset")
    };
    let changesets: Vec<_> = bytes.iter().map(verify).collect();
    let mut rest = &changesets[..];
    while !rest.is_empty() {
        let taken = to.take(now(), rest).expect("taken");
        rest = &rest[taken.changesets..];
    }
}

fn seal_and_apply_together(mut a: SqliteStore, mut b: SqliteStore) -> (SqliteStore, SqliteStore) {
    let (send, receive) = mpsc::sync_channel::<Vec<Arc<[u8]>>>(4);
    let receiver = thread::spawn(move || {
        for changesets in receive {
            take(&mut b, &changesets);
        }
        b
    });
    let mut sent: VersionVector = a.position().vector;
    loop {
        let more = a.seal(now()).expect("sealed").more;
        let page = a.read_log(&LogRequest::new(sent, [], u64::MAX)).expect("the log can be read");
        sent = a.position().vector;
        send.send(page.changesets).expect("the receiver lives");
        if !more {
            break;
        }
    }
    drop(send);
    (a, receiver.join().expect("the receiver ends well"))
}

fn open(path: &std::path::Path, name: u8) -> SqliteStore {
    let key = Arc::new(SecretKey::from_seed([name; 32]));
    let incarnation = Incarnation { count: 1, nonce: 1 };
    let location = Location::File(path.to_owned());
    let mut store =
        SqliteStore::open(&location, &AttachOptions::default(), key.node_id(), incarnation).expect("attaching works");
    let standing = Standing {
        mesh: MESH,
        signer: key,
        epoch: 1,
        roster: Digest::default(),
        policies: Arc::new(PolicyHistory::default()),
        scope: Arc::new(Scope::default()),
        stride: None,
    };
    store.set_standing(standing, now()).expect("a first standing");
    store
}

fn now() -> WallTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    WallTime(since.as_millis() as u64)
}
