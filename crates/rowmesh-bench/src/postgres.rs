//! What Rowmesh costs an application on PostgreSQL and how fast changes travel, beside the rivals that Debian has, with the same work in the same
//! run: native logical replication, pglogical and Bucardo. Every contestant has servers of its own, as durable as in earnest, all on this machine; the
//! settings are in `server.rs`. One file per measurement; `carriers/` holds what carries changes from one server to the other.

mod backlog;
mod bulk;
mod carriers;
// The servers are those of the tests: durable ones, here.
#[allow(dead_code)]
#[path = "../../rowmesh-postgres/tests/it/cluster.rs"]
mod cluster;
mod contestant;
mod disk;
mod lag;
mod live;
mod load;
mod memory;
mod report;
mod server;
mod workload;

use contestant::Field;

/// How much is measured.
#[derive(Clone, Copy)]
pub struct Pace {
    /// How often each contestant has its turn, but for the very slow; the middle one counts.
    pub rounds: usize,
    /// How long the application works in one turn, in seconds.
    pub turn_seconds: u32,
    /// Rows of one big statement, and of the table it works on.
    pub bulk_rows: u32,
    /// Transactions that queue while the receiving side is stopped.
    pub queued: u32,
    /// Single changes whose way is timed.
    pub singles: usize,
    /// Rows that a new node has to fetch.
    pub loaded_rows: u32,
    /// Scale of pgbench's own tables, in 100,000 accounts.
    pub scale: u32,
}

impl Pace {
    /// A quarter of an hour for everything.
    pub const FULL: Pace = Pace {
        rounds: 4,
        turn_seconds: 3,
        bulk_rows: 100_000,
        queued: 20_000,
        singles: 200,
        loaded_rows: 1_000_000,
        scale: 8,
    };
    /// Two minutes, to see that all works; the figures are coarse.
    pub const QUICK: Pace = Pace {
        rounds: 1,
        turn_seconds: 1,
        bulk_rows: 20_000,
        queued: 2_000,
        singles: 20,
        loaded_rows: 100_000,
        scale: 2,
    };
}

/// Who is measured beside the application alone.
#[derive(Clone, Copy)]
pub struct Only<'a>(pub Option<&'a str>);

impl Only<'_> {
    /// Whether one of the words, which have commas between them, is in the name; everybody where no word was given.
    fn has(self, name: &str) -> bool {
        self.0.is_none_or(|words| words.split(',').any(|word| name.contains(word)))
    }
}

/// A part that can be asked for by its name, as in `cargo xtask bench pg-live`.
struct Part {
    name: &'static str,
    run: fn(&mut Field, Pace),
}

const PARTS: &[Part] = &[
    Part { name: "pg-live", run: live::run },
    Part { name: "pg-bulk", run: bulk::run },
    Part { name: "pg-lag", run: lag::run },
    Part { name: "pg-backlog", run: backlog::run },
];

/// A part with servers of its own.
struct Alone {
    name: &'static str,
    run: fn(Pace, Only),
}

const ALONE: &[Alone] = &[Alone { name: "pg-load", run: load::run }, Alone { name: "pg-disk", run: disk::run }];

/// Measures the wanted parts and prints.
pub fn run(is_wanted: impl Fn(&str) -> bool, pace: Pace, only: Only) {
    let parts: Vec<&Part> = PARTS.iter().filter(|part| is_wanted(part.name)).collect();
    let alone: Vec<&Alone> = ALONE.iter().filter(|part| is_wanted(part.name)).collect();
    if parts.is_empty() && alone.is_empty() {
        return;
    }
    if cluster::installed().is_none() {
        println!("pg: not measured, no PostgreSQL server is installed (cargo xtask test installs it where it may)");
        return;
    }
    server::describe();
    if !parts.is_empty() {
        let mut field = Field::gather(pace, only);
        parts.iter().for_each(|part| (part.run)(&mut field, pace));
    }
    alone.iter().for_each(|part| (part.run)(pace, only));
}
