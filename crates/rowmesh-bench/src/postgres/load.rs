//! A new node that has to fetch everything: how much longer that takes than the least that PostgreSQL itself needs, which is one binary COPY that
//! feeds another into a table with the same keys. What Rowmesh's programs need in memory is in `memory.rs`, with the servers loaded here.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rowmesh_postgres::connection::Session;

use super::carriers;
use super::contestant::{PATIENCE, wait_until};
use super::server::{self, Server};
use super::{Only, Pace, cluster, memory, report, workload};
use crate::measure::{cpu_time, time};

/// Measures and prints.
pub fn run(pace: Pace, only: Only) {
    let rows = pace.loaded_rows;
    println!("pg-load: {rows} rows into an empty database with the same tables");
    let (floor, costs) = floor(rows);
    println!("    {:<24} {:>8.2} s {:>8.2}", "COPY | COPY, binary", floor.as_secs_f64(), 1.0);
    println!("      processor time, µs a row: {}", costs.told(rows));
    for kind in carriers::KINDS.iter().filter(|kind| only.has(kind.name)) {
        match load(kind, rows) {
            Ok(loaded) => {
                let (took, attaching) = (loaded.took.as_secs_f64(), loaded.attaching.as_secs_f64());
                let against = took / floor.as_secs_f64();
                println!(
                    "    {:<24} {took:>8.2} s {against:>8.2}   attaching the full side before: {attaching:.2} s",
                    kind.name
                );
                if kind.name == carriers::rowmesh::KIND.name {
                    println!("      processor time, µs a row: {}", loaded.costs.told(rows));
                    memory::run(&loaded, rows);
                }
            }
            Err(reason) => println!("    {:<24} not measured: {reason}", kind.name),
        }
    }
}

/// Two servers with the same rows, and who has brought them.
pub struct Loaded {
    /// Where they came from.
    pub source: Server,
    /// Where they went.
    pub target: Server,
    /// Who brought them.
    pub carrier: Box<dyn carriers::Carrier>,
    attaching: Duration,
    took: Duration,
    costs: Costs,
}

/// Processor time that the copy took: of both servers, and of the programs that carried it.
struct Costs {
    source: Duration,
    target: Duration,
    programs: Vec<Duration>,
}

impl Costs {
    fn told(&self, rows: u32) -> String {
        let per_row = |time: &Duration| format!("{:.2}", time.as_secs_f64() * 1e6 / f64::from(rows));
        let programs: Vec<String> = self.programs.iter().map(per_row).collect();
        let (source, target) = (per_row(&self.source), per_row(&self.target));
        let servers = format!("servers there {source}, here {target}");
        if programs.is_empty() { servers } else { format!("{servers}; programs here {}", programs.join(", there ")) }
    }

    /// What has been used up to now.
    fn of(source: &Server, target: &Server, programs: &[u32]) -> Costs {
        let programs = programs.iter().map(|pid| cpu_time(*pid).unwrap_or_default()).collect();
        Costs { source: source.processor(), target: target.processor(), programs }
    }

    /// What has been used since then; programs that are new have used all of theirs.
    fn since(self, before: &Costs) -> Costs {
        let new = self.programs.len().saturating_sub(before.programs.len());
        let then = std::iter::repeat_n(&Duration::ZERO, new).chain(&before.programs);
        let programs = self.programs.iter().zip(then).map(|(now, then)| now.saturating_sub(*then)).collect();
        let used = |now: Duration, then: Duration| now.saturating_sub(then);
        Costs { source: used(self.source, before.source), target: used(self.target, before.target), programs }
    }
}

/// The middle one of three.
fn floor(rows: u32) -> (Duration, Costs) {
    let [source, target] = servers(&[], rows);
    let before = Costs::of(&source, &target, &[]);
    let once = || {
        target.application().batch("TRUNCATE products").expect("no other table refers to it");
        let ((), took) = time(|| copy_all(&source, &target));
        took.as_secs_f64()
    };
    let took = Duration::from_secs_f64(report::middle((0..3).map(|_| once())));
    let costs = Costs::of(&source, &target, &[]).since(&before);
    (took, Costs { source: costs.source / 3, target: costs.target / 3, programs: Vec::new() })
}

fn copy_all(source: &Server, target: &Server) {
    let psql = |server: &Server, copy: &str| {
        let mut command = Command::new(cluster::binaries().join("psql"));
        command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &server.conninfo(), "-c", copy]);
        command
    };
    let mut reader = psql(source, "COPY products TO STDOUT (FORMAT binary)");
    let mut reader = reader.stdout(Stdio::piped()).spawn().expect("psql comes with the server");
    let pipe = reader.stdout.take().expect("piped");
    let written = psql(target, "COPY products FROM STDIN (FORMAT binary)").stdin(pipe).status();
    assert!(written.is_ok_and(|status| status.success()) && reader.wait().is_ok_and(|status| status.success()));
}

fn load(kind: &carriers::Kind, rows: u32) -> Result<Loaded, String> {
    if let Some(reason) = kind.absence() {
        return Err(reason);
    }
    let [source, target] = servers(kind.settings, rows);
    let (join, attaching) = time(|| (kind.attach)(&source));
    // The programs here come first among those that carry, so those that run already are the last.
    let there = server::children(std::process::id());
    let (join, before) = (join?, Costs::of(&source, &target, &there));
    let started = Instant::now();
    let carrier = join(&target)?;
    let there = target.application();
    if !wait_until(Duration::from_millis(20), || is_complete(&there, rows)) {
        return Err(format!("not done in {} s", PATIENCE.as_secs()));
    }
    let took = started.elapsed();
    let costs = Costs::of(&source, &target, &carrier.programs()).since(&before);
    Ok(Loaded { source, target, carrier, attaching, took, costs })
}

/// Counts only once the last row is there: counting costs the one who is measured.
fn is_complete(there: &Session, rows: u32) -> bool {
    let last = "SELECT FROM products WHERE id = lpad(to_hex($1::int), 8, '0') || '-product'";
    let is_last_there = there.query_opt(last, &[&(rows as i32)]).is_ok_and(|row| row.is_some());
    is_last_there
        && there
            .query_one("SELECT count(*) FROM products", &[])
            .is_ok_and(|row| row.get::<_, i64>(0) == i64::from(rows))
}

/// One with as many products, and one with empty tables.
fn servers(settings: &[&str], rows: u32) -> [Server; 2] {
    let servers = [Server::start(settings), Server::start(settings)];
    servers.iter().for_each(workload::make_tables);
    let app = servers[0].application();
    app.batch(&workload::insert_products(1, rows, "product")).expect("an empty table");
    app.batch("INSERT INTO marker VALUES ('m', 0)").expect("an empty table");
    app.batch("VACUUM ANALYZE").expect("outside of a transaction");
    app.batch("CHECKPOINT").expect("the superuser may");
    servers
}
