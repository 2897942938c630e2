//! Throw-away PostgreSQL servers for tests. All tests of a run share one, started by whoever comes first, each in a database of its own; what
//! needs a server of its own gets one. A keeper, a small process beside each server, ends it and removes its files as soon as no test uses it
//! any more, however the tests ended: who uses a server holds a shared lock on a file, and a lock goes with its process.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::{Duration, Instant};

use rowmesh_postgres::connection::{Location, Session};

/// Part of the name of the socket; nothing listens on the network unless a test wants it.
const PORT: u16 = 5432;

/// The superuser of all clusters.
pub const SUPERUSER: &str = "postgres";

/// A running server. It ends when nobody uses it any more.
pub struct Cluster {
    folder: PathBuf,
    /// Holds the shared lock that tells the keeper of a user.
    _usage: File,
}

/// A database that one test has for itself, gone with this value.
pub struct Database {
    cluster: Arc<Cluster>,
    name: String,
}

impl Cluster {
    /// The server that all tests of a run share: fast, and not durable.
    pub fn shared() -> Arc<Cluster> {
        static SHARED: OnceLock<Arc<Cluster>> = OnceLock::new();
        // By the program that tests and the server: another version of either, or another worktree, has a server of its own.
        let key = short_hash(&(std::env::current_exe().expect("this program has a path"), binaries()));
        SHARED.get_or_init(|| Arc::new(Cluster::at(&format!("rowmesh-pg-{key}"), &["fsync = off"]))).clone()
    }

    /// A server for one test alone, with lines of its own in `postgresql.conf`; without any it is as durable as in earnest.
    pub fn own(settings: &[&str]) -> Arc<Cluster> {
        Arc::new(Cluster::at(&unique_folder(), settings))
    }

    /// A server for one test alone, whose data lie on a disk of their own, of that many megabytes. `None` where this user may not mount: then
    /// the test cannot be made here, and says so. Root always can, and so must the CI.
    pub fn on_small_disk(megabytes: u32) -> Option<Arc<Cluster>> {
        if SERVER_USER.is_none() {
            assert!(std::env::var_os("CI").is_none(), "the CI has to run as root: this test mounts a disk");
            eprintln!("NOT TESTED: only root may mount a disk; run this test as root");
            return None;
        }
        let cluster = Cluster::empty(&unique_folder());
        start_keeper(&cluster.folder);
        let data = cluster.folder.join("data");
        std::fs::create_dir(&data).expect("the folder can be written");
        let mut mount = Command::new("mount");
        run(mount.args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"]).arg(&data), &cluster.folder);
        give_to_server(&data);
        cluster.make(&["max_wal_size = 32MB", "min_wal_size = 32MB", "wal_recycle = on"]);
        cluster.control(&["start"]);
        Some(Arc::new(cluster))
    }

    /// Leaves no room on the disk of its data until [`Cluster::make_room`].
    pub fn fill_disk(&self) {
        let mut ballast = File::create(self.folder.join("data/ballast")).expect("there is room for a name");
        while std::io::Write::write_all(&mut ballast, &[0; 4096]).is_ok() {}
    }

    /// The same but for so many megabytes.
    pub fn fill_disk_but_for(&self, megabytes: u64) {
        self.fill_disk();
        let ballast = File::options().write(true).open(self.folder.join("data/ballast")).expect("just made");
        let all = ballast.metadata().expect("just made").len();
        ballast.set_len(all.saturating_sub(megabytes << 20)).expect("it gets shorter");
    }

    /// Takes away what [`Cluster::fill_disk`] has put there.
    pub fn make_room(&self) {
        std::fs::remove_file(self.folder.join("data/ballast")).expect("it was filled before");
    }

    /// Where a database of it is, for the superuser.
    pub fn location(&self, database: &str) -> Location {
        Location::socket(&self.folder, PORT, database, SUPERUSER)
    }

    /// The folder of its socket; its data lie in `data` there.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs `pg_ctl` on it, as in `["restart", "-m", "immediate"]`, and waits until it is done.
    pub fn control(&self, args: &[&str]) {
        let mut command = program("pg_ctl");
        command.args(args).arg("-w").arg("-s").arg("-D").arg(self.folder.join("data"));
        if args[0] != "stop" {
            command.arg("-l").arg(self.folder.join("log"));
        }
        run(&mut command, &self.folder);
    }

    /// Who may log in from where: the lines of `pg_hba.conf`, in force when this returns.
    pub fn allow(&self, lines: &str) {
        std::fs::write(self.folder.join("data/pg_hba.conf"), lines).expect("the folder can be written");
        self.control(&["restart", "-m", "fast"]);
    }

    /// Puts a file beside the data, readable for the server only.
    pub fn keep(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.folder.join("data").join(name);
        std::fs::write(&path, text).expect("the folder can be written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("just written");
        give_to_server(&path);
    }

    /// A pooler before it that lends sessions for the length of a `transaction` or a `session`; where it listens. It ends with the server.
    pub fn pooler(&self, mode: &str, settings: &str) -> Location {
        let port = PORT + 1;
        let folder = self.folder.display();
        let text = format!(
            "[databases]\n* = host={folder} port={PORT} user={SUPERUSER}\n[pgbouncer]\npool_mode = {mode}\nlisten_port = {port}\n\
             unix_socket_dir = {folder}\nauth_type = any\npidfile = {folder}/pooler.pid\nlogfile = {folder}/pooler.log\n{settings}\n"
        );
        let file = self.folder.join("pooler.ini");
        std::fs::write(&file, text).expect("the folder can be written");
        let mut pooler = as_server_user(Command::new(pooler_program()));
        run(pooler.args(["-q", "-d"]).arg(file), &self.folder);
        // It goes to the background before it listens.
        let socket = self.folder.join(format!(".s.PGSQL.{port}"));
        let start = Instant::now();
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            assert!(start.elapsed() < Duration::from_secs(20), "the pooler does not listen");
            std::thread::yield_now();
        }
        Location::socket(&self.folder, port, "postgres", SUPERUSER)
    }

    /// Another server, which follows this one. It begins as a copy of its files: the sessions of this one end.
    pub fn standby(&self) -> Arc<Cluster> {
        let cluster = Cluster::empty(&unique_folder());
        start_keeper(&cluster.folder);
        let (from, data) = (self.folder.join("data"), cluster.folder.join("data"));
        self.control(&["stop", "-m", "fast"]);
        run(as_server_user(Command::new("cp")).arg("-r").arg(&from).arg(&data), &cluster.folder);
        self.control(&["start"]);
        let own = data.join("postgresql.auto.conf");
        let lines = std::fs::read_to_string(&own).expect("just copied");
        let socket = |folder: &Path| format!("unix_socket_directories = '{}'", folder.display());
        let lines = lines.replace(&socket(&self.folder), &socket(&cluster.folder));
        let follow = format!("primary_conninfo = 'host={} port={PORT} user={SUPERUSER}'\n", self.folder.display());
        std::fs::write(&own, lines + &follow).expect("the folder can be written");
        cluster.keep("standby.signal", "");
        run(as_server_user(Command::new("chmod")).arg("700").arg(&data), &cluster.folder);
        cluster.control(&["start"]);
        Arc::new(cluster)
    }

    fn empty(name: &str) -> Cluster {
        let folder = std::env::temp_dir().join(name);
        let usage = occupy(&folder);
        Cluster { folder, _usage: usage }
    }

    fn at(name: &str, settings: &[&str]) -> Cluster {
        let cluster = Cluster::empty(name);
        let begun = File::create(cluster.folder.join("begin.lock")).expect("the folder can be written");
        begun.lock().expect("locks work here");
        if !cluster.folder.join("ready").exists() {
            // The keeper first: whatever fails below, nothing is left behind.
            start_keeper(&cluster.folder);
            cluster.make(settings);
            cluster.control(&["start"]);
            File::create(cluster.folder.join("ready")).expect("the folder can be written");
        }
        cluster
    }

    fn make(&self, settings: &[&str]) {
        let data = self.folder.join("data");
        if std::fs::read_dir(&data).is_ok_and(|mut files| files.next().is_some()) {
            // Whoever began before us was killed in the middle of it.
            let _ = program("pg_ctl").args(["stop", "-s", "-m", "immediate", "-D"]).arg(&data).output();
            std::fs::remove_dir_all(&data).expect("can be removed");
        }
        let mut initdb = program("initdb");
        initdb.args(["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]);
        run(initdb.arg("--username").arg(SUPERUSER).arg("-D").arg(&data), &self.folder);
        let ours = [
            format!("unix_socket_directories = '{}'", self.folder.display()),
            format!("port = {PORT}"),
            "listen_addresses = ''".to_owned(),
            "max_connections = 200".to_owned(),
            "max_prepared_transactions = 20".to_owned(),
            "shared_buffers = 32MB".to_owned(),
        ];
        let lines: Vec<&str> = ours.iter().map(String::as_str).chain(settings.iter().copied()).collect();
        std::fs::write(data.join("postgresql.auto.conf"), lines.join("\n") + "\n").expect("the folder can be written");
    }
}

impl Database {
    /// An empty database on the shared server.
    pub fn new() -> Database {
        Database::on(&Cluster::shared())
    }

    /// An empty database on this server.
    pub fn on(cluster: &Arc<Cluster>) -> Database {
        let name = unique();
        let session = Session::open(&cluster.location("postgres")).expect("the server is there");
        session.batch(&format!("CREATE DATABASE \"{name}\" TEMPLATE template0")).expect("a new name");
        Database { cluster: cluster.clone(), name }
    }

    /// Another one that holds what this one holds. Nobody may be in it meanwhile.
    pub fn copy(&self) -> Database {
        let name = unique();
        let session = Session::open(&self.cluster.location("postgres")).expect("the server is there");
        let sql = format!("CREATE DATABASE \"{name}\" TEMPLATE \"{}\"", self.name);
        session.batch(&sql).expect("nobody is in it");
        Database { cluster: self.cluster.clone(), name }
    }

    /// Where it is, for the superuser.
    pub fn location(&self) -> Location {
        self.cluster.location(&self.name)
    }

    /// A session of ours in it, as the superuser.
    pub fn session(&self) -> Session {
        Session::open(&self.location()).expect("the server is there")
    }

    /// The server it is on.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// An ordinary role that may log in, gone with the database.
    pub fn role(&self, name: &str) -> String {
        let role = format!("{name}_{}", self.name);
        self.session().batch(&format!("CREATE ROLE \"{role}\" LOGIN")).expect("a new name");
        role
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A server that a test has ended keeps nothing that could be dropped.
        let Ok(session) = Session::open(&self.cluster.location("postgres")) else { return };
        let _ = session.batch(&format!("DROP DATABASE \"{}\" WITH (FORCE)", self.name));
        let roles = session.query("SELECT rolname FROM pg_roles WHERE rolname LIKE '%\\_' || $1", &[&self.name]);
        for role in roles.unwrap_or_default() {
            let role: &str = role.get(0);
            let _ = session.batch(&format!("DROP OWNED BY \"{role}\"; DROP ROLE \"{role}\""));
        }
    }
}

/// Asserts that every foreign key of a database leads to a row, which a server that is told to replicate does not look after itself. How many
/// there are. Those that the server does not enforce may lead nowhere, and a period may be covered by several rows: who has such asks himself.
pub fn check_references(session: &Session) -> usize {
    let keys = session.query(REFERENCES, &[]).expect("read");
    for key in &keys {
        let (name, child, parent): (String, String, String) = (key.get(0), key.get(1), key.get(2));
        let broken = format!("SELECT count(*) FROM {child} AND NOT EXISTS (SELECT 1 FROM {parent})");
        let broken: i64 = session.query_one(&broken, &[]).expect("read").get(0);
        assert_eq!(broken, 0, "{name} is broken");
    }
    keys.len()
}

/// Name, the table whose rows refer with the condition that they do, the table that they refer to with the condition that they find it.
const REFERENCES: &str = "SELECT c.conname::text, \
    format('%s AS c WHERE ', c.conrelid::regclass) || string_agg(format('c.%I IS NOT NULL', a.attname), ' AND '), \
    format('%s AS p WHERE ', c.confrelid::regclass) || string_agg(format('p.%I = c.%I', p.attname, a.attname), ' AND ') \
    FROM pg_constraint AS c CROSS JOIN unnest(c.conkey, c.confkey) AS k (own, parent) \
    JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = k.own \
    JOIN pg_attribute AS p ON p.attrelid = c.confrelid AND p.attnum = k.parent \
    WHERE c.contype = 'f' AND coalesce((to_jsonb(c) ->> 'conenforced')::bool, true) AND NOT coalesce((to_jsonb(c) ->> 'conperiod')::bool, false) \
    GROUP BY c.oid, c.conname, c.conrelid, c.confrelid";

/// Makes the folder if need be and takes the lock of a user in it. A keeper that is about to remove the folder is waited for.
fn occupy(folder: &Path) -> File {
    loop {
        make_folder(folder);
        let path = folder.join("users.lock");
        let Ok(usage) = File::create(&path) else { continue };
        usage.lock_shared().expect("locks work here");
        // The keeper may have removed the file between our opening and our locking it.
        if is_same_file(&usage, &path) {
            return usage;
        }
    }
}

fn make_folder(folder: &Path) {
    match std::fs::create_dir(folder) {
        Ok(()) => give_to_server(folder),
        Err(error) => assert!(folder.is_dir(), "{} cannot be made: {error}", folder.display()),
    }
}

fn is_same_file(open: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    let (here, there) = (open.metadata().map(identity), std::fs::metadata(path).map(identity));
    matches!((here, there), (Ok(here), Ok(there)) if here == there)
}

/// Waits until no user is left, gives the next test a moment to come, then ends the server and removes the folder, still under the lock.
const KEEPER: &str = r#"
    cd / && exec 9<"$1/users.lock" || exit 0
    keep() {
        while flock -x 9; do
            flock -u 9
            sleep 3
            flock -x -n 9 || continue
            # Another keeper may have been here, and another server be in this place since.
            [ "$1/users.lock" -ef /dev/fd/9 ] || exit 0
            [ -s "$1/pooler.pid" ] && kill "$(cat "$1/pooler.pid")" 2>/dev/null
            # Root ends it in the name of its user, and takes its disk away.
            $3 "$2" stop -s -w -m immediate -D "$1/data" 2>/dev/null
            umount "$1/data" 2>/dev/null
            # Out of the way as a whole: while files go one by one, the next test would find some of them.
            mv "$1" "$1.$$" && rm -rf "$1.$$"
            exit 0
        done
    }
    keep "$1" "$2" "$3" &
"#;

/// In a process group of its own, and holding none of our pipes: neither Ctrl-C nor a runner that kills a test reaches it.
fn start_keeper(folder: &Path) {
    let in_its_name = SERVER_USER.as_ref().map(|user| format!("runuser -u {} --", user.name)).unwrap_or_default();
    let mut keeper = Command::new("sh");
    keeper.args(["-c", KEEPER, "keeper"]).arg(folder).arg(binaries().join("pg_ctl")).arg(in_its_name).process_group(0);
    keeper.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(keeper.status().expect("a shell is there").success());
}

/// Names the folder of a server's programs.
const SERVER_VARIABLE: &str = "ROWMESH_TEST_POSTGRES";

/// The programs of the newest server that is installed, or those in the folder that `ROWMESH_TEST_POSTGRES` names.
pub fn binaries() -> &'static Path {
    installed().expect("a PostgreSQL server is installed (cargo xtask test installs it where it may)")
}

/// The same, where there is one.
pub fn installed() -> Option<&'static Path> {
    static BINARIES: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
        if let Some(folder) = std::env::var_os(SERVER_VARIABLE) {
            return Some(PathBuf::from(folder));
        }
        let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let newest = debian.filter_map(|entry| {
            let version: u32 = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin"))).filter(|(_, path)| path.join("initdb").exists())
        });
        let elsewhere = || {
            let said = Command::new("pg_config").arg("--bindir").output().ok()?;
            Some(PathBuf::from(String::from_utf8(said.stdout).ok()?.trim())).filter(|path| path.join("initdb").exists())
        };
        newest.max().map(|(_, path)| path).or_else(elsewhere)
    });
    BINARIES.as_deref()
}

/// The version of that server, as in 17.
pub fn version() -> u32 {
    static VERSION: LazyLock<u32> = LazyLock::new(|| {
        let said = Command::new(binaries().join("postgres")).arg("--version").output().expect("the program is there");
        let said = String::from_utf8(said.stdout).expect("it says text");
        let number = said.split_whitespace().find_map(|word| word.split(['.', 'b', 'r']).next()?.parse().ok());
        number.unwrap_or_else(|| panic!("{said} tells no version"))
    });
    *VERSION
}

/// Whether the server has what came with this version. If not, the test that asks cannot be made in full, and says what for.
pub fn has_since(version: u32, what: &str) -> bool {
    let has = self::version() >= version;
    if !has {
        tell_untested(&format!("{what}: came with PostgreSQL {version}"));
    }
    has
}

/// Whether the server has an extension.
pub fn has_extension(session: &Session, name: &str) -> bool {
    let condition = format!("EXISTS (SELECT FROM pg_catalog.pg_available_extensions WHERE name = '{name}')");
    has(session, &format!("extension {name}"), &condition)
}

/// Whether the server has what not every build of it has, by a condition in SQL. The one that was installed as a whole must have it; of one that
/// was named by its folder the test says what it lacks.
pub fn has(session: &Session, what: &str, condition: &str) -> bool {
    let has: bool = session.query_one(&format!("SELECT {condition}"), &[]).expect("any server tells").get(0);
    if !has {
        assert!(std::env::var_os(SERVER_VARIABLE).is_some(), "the server lacks what a whole one has: {what}");
        tell_untested(&format!("{what}: this build of the server lacks it"));
    }
    has
}

/// Says that something was not tested: to who reads the output of the test, and in the file that `ROWMESH_TEST_UNTESTED` names, since runners keep
/// the output of tests that pass to themselves.
fn tell_untested(what: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let line = format!("NOT TESTED on PostgreSQL {}: {what} ({test})\n", version());
    eprint!("{line}");
    if let Some(path) = std::env::var_os("ROWMESH_TEST_UNTESTED") {
        let mut file = File::options().create(true).append(true).open(path).expect("the file can be written");
        std::io::Write::write_all(&mut file, line.as_bytes()).expect("the file can be written");
    }
}

/// Debian keeps it out of an ordinary user's search path.
fn pooler_program() -> &'static str {
    let debian = "/usr/sbin/pgbouncer";
    if Path::new(debian).exists() { debian } else { "pgbouncer" }
}

fn program(name: &str) -> Command {
    as_server_user(Command::new(binaries().join(name)))
}

/// A server refuses to run as root.
fn as_server_user(mut command: Command) -> Command {
    if let Some(user) = SERVER_USER.as_ref() {
        command.uid(user.number).gid(user.group);
    }
    command
}

fn give_to_server(path: &Path) {
    if let Some(user) = SERVER_USER.as_ref() {
        std::os::unix::fs::chown(path, Some(user.number), Some(user.group)).expect("root may give its files away");
    }
}

/// A user of this machine.
struct User {
    name: &'static str,
    number: u32,
    group: u32,
}

/// Who the server runs as, where that is not ourselves.
static SERVER_USER: LazyLock<Option<User>> = LazyLock::new(|| {
    use std::os::unix::fs::MetadataExt;
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    if !is_root {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").expect("a list of users is there");
    let find = |name: &'static str| {
        let fields: Vec<&str> = users.lines().map(|line| line.split(':').collect()).find(|f: &Vec<_>| f[0] == name)?;
        Some(User { name, number: fields.get(2)?.parse().ok()?, group: fields.get(3)?.parse().ok()? })
    };
    Some(find("postgres").or_else(|| find("nobody")).expect("there is a user for the server"))
});

fn run(command: &mut Command, folder: &Path) {
    command.stdin(Stdio::null()).current_dir("/");
    // Not to pipes of ours: the server that pg_ctl starts would keep them open.
    let log = File::options().create(true).append(true).open(folder.join("setup.log")).expect("can be written");
    give_to_server(&folder.join("setup.log"));
    command.stdout(log.try_clone().expect("one more")).stderr(log);
    let status = command.status().expect("the program is there");
    let told = || {
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        format!("{command:?}: {status}\n{}\n{}", read("setup.log"), read("log"))
    };
    assert!(status.success(), "{}", told());
}

/// A name that no other test of any run has at this time.
fn unique() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("t{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

fn unique_folder() -> String {
    format!("rowmesh-pg-{}", unique())
}

fn short_hash(of: &impl std::hash::Hash) -> String {
    use std::hash::{DefaultHasher, Hasher};
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    format!("{:08x}", hasher.finish() as u32)
}
