//! One server with the application's database on it: how it is set, how the application reaches it, what its processes cost. Knows nobody who
//! carries changes.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rowmesh_postgres::connection::Session;

use super::cluster::{self, Cluster};
use crate::measure::{cpu_time, cpu_time_with_the_dead};

/// Stock but for these: checkpoints, which come when they like, would hit one contestant and spare the next.
const SETTINGS: &[&str] = &["shared_buffers = 128MB", "max_wal_size = 2GB", "checkpoint_timeout = 30min"];

/// The application's database.
const DATABASE: &str = "shop";

/// A running server.
pub struct Server {
    cluster: Arc<Cluster>,
}

/// What pgbench says of its work.
pub struct Worked {
    /// Transactions that were committed.
    pub transactions: u64,
    /// As many in a second.
    pub per_second: f64,
}

impl Server {
    /// A new one with an empty database, with lines of its own in `postgresql.conf`.
    pub fn start(settings: &[&str]) -> Server {
        let cluster = Cluster::own(&[SETTINGS, settings].concat());
        let session = Session::open(&cluster.location("postgres")).expect("the server is there");
        session.batch(&format!("CREATE DATABASE {DATABASE}")).expect("a new name");
        Server { cluster }
    }

    /// A session of the kind that Rowmesh has.
    pub fn owner(&self) -> Session {
        Session::open(&self.cluster.location(DATABASE)).expect("the server is there")
    }

    /// A session as an application has it: its triggers fire, and it waits for locks.
    pub fn application(&self) -> Session {
        let session = Session::open(&self.cluster.location(DATABASE)).expect("the server is there");
        session
            .batch(
                "SET session_replication_role = origin; SET lock_timeout = 0; SET search_path = public; SET jit = on",
            )
            .expect("the superuser may");
        session
    }

    /// Where the database is, as libpq's programs want it.
    pub fn conninfo(&self) -> String {
        format!("host={} dbname={DATABASE} user={}", self.cluster.folder().display(), cluster::SUPERUSER)
    }

    /// The arguments of Bucardo's programs and of libpq's for this server.
    pub fn host(&self) -> String {
        self.cluster.folder().display().to_string()
    }

    /// Where the database is, as people write it.
    pub fn url(&self) -> String {
        format!("postgres://{}@{}/{DATABASE}", cluster::SUPERUSER, self.host().replace('/', "%2F"))
    }

    /// Name of the application's database.
    pub fn database(&self) -> &'static str {
        DATABASE
    }

    /// Lets pgbench work.
    pub fn pgbench(&self, arguments: &[&str]) -> Worked {
        let mut command = Command::new(cluster::binaries().join("pgbench"));
        command.arg("-h").arg(self.host()).args(["-U", cluster::SUPERUSER]).args(arguments).arg(DATABASE);
        let output = command.output().expect("pgbench comes with the server");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
        let number = |name: &str| {
            let rest = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0");
            rest.trim().split([' ', '/']).next().unwrap_or("0").to_owned()
        };
        Worked {
            transactions: number("number of transactions actually processed:").parse().unwrap_or(0),
            per_second: number("tps =").parse().unwrap_or(0.0),
        }
    }

    /// Processor time that all its processes have used, those that have ended included.
    pub fn processor(&self) -> Duration {
        let file = self.cluster.folder().join("data/postmaster.pid");
        let text = fs::read_to_string(file).expect("it runs, and its files are ours to read");
        let main: u32 = text.lines().next().and_then(|line| line.parse().ok()).expect("the first line is a number");
        let living = children(main).into_iter().filter_map(cpu_time).sum::<Duration>();
        living + cpu_time_with_the_dead(main).unwrap_or_default()
    }
}

/// Says what is measured on.
pub fn describe() {
    let version = Command::new(cluster::binaries().join("postgres")).arg("--version").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    println!("{version}, {}, fsync on; each contestant with servers of its own on this machine", SETTINGS.join(", "));
}

/// Processes that this one has started and that live.
pub fn children(parent: u32) -> Vec<u32> {
    processes(|stat| stat.get(1).and_then(|parent| parent.parse().ok()) == Some(parent))
}

/// Processes of a session of the operating system's.
pub fn session_members(leader: u32) -> Vec<u32> {
    let session = |stat: &[&str]| stat.get(3).and_then(|session| session.parse::<u32>().ok());
    let Some(wanted) = fields_of(leader).as_deref().and_then(|stat| session(&split(stat))) else { return vec![] };
    processes(|stat| session(stat) == Some(wanted))
}

fn processes(is_wanted: impl Fn(&[&str]) -> bool) -> Vec<u32> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter(|pid| fields_of(*pid).is_some_and(|stat| is_wanted(&split(&stat)))).collect()
}

/// What the kernel says of a process, from its state on.
fn fields_of(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat.rsplit_once(')')?.1.to_owned())
}

fn split(stat: &str) -> Vec<&str> {
    stat.split_whitespace().collect()
}
