//! A machine made up for one test: home, state and working folder of its own, and daemons that end with it.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::Value;

/// How long anything that must happen may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A machine made up for one test.
pub struct Machine {
    folder: tempfile::TempDir,
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// A running `rowmesh up` or `rowmesh run`. Killed when it goes.
pub struct Daemon {
    child: Child,
    /// The document that it printed when it was live.
    pub greeting: Value,
    rest: BufReader<std::process::ChildStdout>,
}

impl Machine {
    pub fn new() -> Machine {
        Machine { folder: tempfile::Builder::new().prefix("rm").tempdir().expect("a folder") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().expect("exists").join(name)
    }

    /// A database with one table, as in the quick start.
    pub fn shop(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("has one")).expect("made");
        sql(&path, "PRAGMA journal_mode = WAL; CREATE TABLE products (id TEXT PRIMARY KEY, name TEXT NOT NULL)");
        path
    }

    /// The program, in these surroundings and no others.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rowmesh"));
        command.args(arguments).current_dir(self.folder.path()).env_clear().stdin(Stdio::null());
        command.env("HOME", self.path("home")).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Said {
        said(&mut self.command(arguments))
    }

    /// Runs a command that must work, and reads the document that it prints.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
        let said = self.run(&arguments);
        assert_eq!(said.code, 0, "{arguments:?}: {said:?}");
        said.json()
    }

    /// Starts a daemon on a free port and waits until it is live.
    pub fn start(&self, arguments: &[&str]) -> Daemon {
        self.start_at(arguments, "127.0.0.1:0")
    }

    /// Starts a daemon on an address and waits until it is live.
    pub fn start_at(&self, arguments: &[&str], listen: &str) -> Daemon {
        let all: Vec<&str> = arguments.iter().copied().chain(["--json", "--listen", listen]).collect();
        let mut child = self.command(&all).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
        let mut rest = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        rest.read_line(&mut line).expect("readable");
        let Ok(greeting) = serde_json::from_str::<Value>(&line) else {
            rest.read_to_string(&mut line).expect("readable");
            let mut talk = String::new();
            child.stderr.take().expect("piped").read_to_string(&mut talk).expect("readable");
            panic!("{all:?} did not become live: {line}\n{talk}");
        };
        assert_eq!(greeting["state"], "live");
        Daemon { child, greeting, rest }
    }

    /// Two nodes of one mesh, `a` on a.db and `b` on b.db.
    pub fn pair(&self) -> (Daemon, Daemon) {
        self.shop("a.db");
        let a = self.start(&["up", "a.db", "--name", "a", "--yes"]);
        let b = self.start(&["up", "b.db", "--name", "b", "--yes", "--join", &a.invite()]);
        (a, b)
    }
}

/// A small disk of a test's own, so that it can be full or read-only. Declare it before what uses it: it goes when the test ends.
pub struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// Mounts one. `None` where this user may not mount: then the test cannot be made here, and says so. Root always can, and so must the
    /// CI.
    pub fn mount(folder: &Path, size: &str) -> Option<Disk> {
        if !Disk::may_mount() {
            return None;
        }
        std::fs::create_dir_all(folder).expect("made");
        let disk = Disk { folder: folder.to_owned() };
        disk.call("mount", &["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]);
        Some(disk)
    }

    /// The same on a real file system, in an image of 24 MB: files of it can be made read-only while they are open.
    pub fn mount_image(folder: &Path, image: &Path) -> Option<Disk> {
        if !Disk::may_mount() {
            return None;
        }
        std::fs::create_dir_all(folder).expect("made");
        std::fs::File::create(image).and_then(|file| file.set_len(24 << 20)).expect("made");
        let made = Command::new("mkfs.ext4").arg("-q").arg(image).status().expect("mkfs.ext4 is there");
        assert!(made.success());
        let disk = Disk { folder: folder.to_owned() };
        disk.call("mount", &["-o", "loop", &image.display().to_string()]);
        Some(disk)
    }

    /// Whether this user may mount at all.
    pub fn may_mount() -> bool {
        let mine = Command::new("id").arg("-u").output().expect("id is there").stdout;
        let is_root = mine == b"0\n";
        assert!(is_root || std::env::var_os("CI").is_none(), "the CI has to run as root: this test mounts a disk");
        if !is_root {
            eprintln!("NOT TESTED: only root may mount a disk; run this test as root");
        }
        is_root
    }

    /// Other options from now on: `ro`, `rw`, `size=64m`.
    pub fn remount(&self, options: &str) {
        self.call("mount", &["-o", &format!("remount,{options}")]);
    }

    /// Writes a file until nothing fits any more.
    pub fn fill(&self) -> PathBuf {
        use std::io::Write;
        let ballast = self.folder.join("ballast");
        let mut file = std::fs::File::create(&ballast).expect("made");
        while file.write_all(&[0; 4096]).is_ok() {}
        ballast
    }

    fn call(&self, program: &str, arguments: &[&str]) {
        let output = Command::new(program).args(arguments).arg(&self.folder).output().expect("it is there");
        assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: whoever has a file open keeps it.
        let _ = Command::new("umount").arg("--lazy").arg(&self.folder).status();
    }
}

impl Daemon {
    /// The line that a founder prints for the next node.
    pub fn invite(&self) -> String {
        self.greeting["invite"].as_str().expect("a founder invites").to_owned()
    }

    /// Where others reach it.
    pub fn address(&self) -> String {
        self.greeting["listen"][0].as_str().expect("it listens").to_owned()
    }

    /// Its number, for signals.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// As a power cut would end it.
    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }

    /// As a service manager would end it.
    pub fn terminate(mut self) -> i32 {
        signal("TERM", self.child.id());
        self.wait()
    }

    /// Waits until it has ended by itself.
    pub fn wait(&mut self) -> i32 {
        let mut rest = String::new();
        self.rest.read_to_string(&mut rest).expect("readable");
        self.child.wait().expect("ended").code().unwrap_or(-1)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Said {
    /// The one document on stdout.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The code of the error, in text or JSON.
    pub fn error_code(&self) -> String {
        let text = self.err.split("error[").nth(1).and_then(|rest| rest.split(']').next()).map(str::to_owned);
        let json = || self.json()["error"]["code"].as_str().unwrap_or_default().to_owned();
        text.unwrap_or_else(json)
    }
}

/// Sends a signal; the shell's own `kill` is there on every machine.
pub fn signal(name: &str, process: u32) {
    let sent = Command::new("sh").args(["-c", &format!("kill -{name} {process}")]).status().expect("a shell is there");
    assert!(sent.success());
}

/// Runs a command to its end.
pub fn said(command: &mut Command) -> Said {
    let Output { status, stdout, stderr } = command.output().expect("started");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Said { code: status.code().unwrap_or(-1), out: text(stdout), err: text(stderr) }
}

/// The application's side: a statement on its own connection.
pub fn sql(path: &Path, statements: &str) {
    open(path).execute_batch(statements).expect("the application is never refused");
}

/// One value as text.
pub fn value(path: &Path, query: &str) -> Option<String> {
    open(path).query_row(query, [], |row| row.get::<_, String>(0)).ok()
}

/// Everything that `.schema` shows, and what a file's header says besides.
pub fn schema(path: &Path) -> String {
    let conn = open(path);
    let mut statement = conn
        .prepare("SELECT type || ' ' || name || ': ' || coalesce(sql, '') FROM sqlite_schema ORDER BY rowid")
        .expect("read");
    let objects: Vec<String> =
        statement.query_map([], |row| row.get(0)).expect("read").collect::<Result<_, _>>().expect("read");
    let pragma = |name: &str| conn.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0)).expect("read");
    format!(
        "{}\nuser_version {}, application_id {}",
        objects.join("\n"),
        pragma("user_version"),
        pragma("application_id")
    )
}

/// Waits for something that must happen.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::yield_now();
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn open(path: &Path) -> Connection {
    let conn = Connection::open(path).expect("opened");
    conn.busy_timeout(Duration::from_secs(10)).expect("set");
    conn
}
