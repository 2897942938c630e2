//! Real nodes on loopback: daemons of the release build, each started as a person starts it. What is measured with them is elsewhere.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

/// The program and the folder that the nodes live in.
pub struct Place {
    program: PathBuf,
    folder: tempfile::TempDir,
}

/// A running node. Killed when it goes.
pub struct Daemon {
    child: Child,
    invite: String,
    _out: BufReader<ChildStdout>,
}

impl Place {
    /// An empty one; `None` if there is no program to run in it.
    pub fn new() -> Option<Place> {
        let folder = tempfile::Builder::new().prefix("rm").tempdir().expect("a folder for the measurement");
        Some(Place { program: program()?, folder })
    }

    /// Where the nodes are started.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts a daemon on a free port and waits until it is live.
    ///
    /// # Errors
    /// What it says instead. What it says to people is in `said.log` of the folder.
    pub fn start(&self, arguments: &[&str]) -> Result<Daemon, String> {
        let mut command = Command::new(&self.program);
        command.args(arguments).args(["--json", "--listen", "127.0.0.1:0"]).current_dir(self.folder()).env_clear();
        command.env("HOME", self.folder().join("home")).stdin(Stdio::null()).stdout(Stdio::piped());
        let said = File::options().create(true).append(true).open(self.folder().join("said.log"));
        command.stderr(said.expect("the folder can be written"));
        let mut child = command.spawn().expect("the program can be started");
        let mut greeting = String::new();
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        out.read_line(&mut greeting).expect("the daemon greets");
        if !greeting.contains("\"live\"") {
            let _ = out.read_to_string(&mut greeting);
            let _ = child.wait();
            return Err(field("message", &greeting).unwrap_or(greeting));
        }
        Ok(Daemon { child, invite: field("invite", &greeting).unwrap_or_default(), _out: out })
    }
}

impl Daemon {
    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The word that lets the next node in; empty from a daemon that has none.
    pub fn invite(&self) -> &str {
        &self.invite
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The release build beside this program's own, made anew if the source has changed; or the one that `program=PATH` names. Made once, so that
/// whoever edits during a measurement changes nothing of it.
fn program() -> Option<PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOUND.get_or_init(find_program).clone()
}

fn find_program() -> Option<PathBuf> {
    if let Some(path) = std::env::args().find_map(|word| Some(PathBuf::from(word.strip_prefix("program=")?))) {
        return std::path::absolute(path).ok().filter(|path| path.is_file());
    }
    let own = std::env::current_exe().ok()?;
    let target = own.parent()?.parent()?;
    let program = target.join("release").join(format!("rowmesh{}", std::env::consts::EXE_SUFFIX));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let build = ["build", "--release", "--quiet", "-p", "rowmesh-cli", "--target-dir"];
    let _ = Command::new(cargo).args(build).arg(target).status();
    program.is_file().then_some(program)
}

/// A text in a JSON document that holds no quotation mark.
fn field(name: &str, document: &str) -> Option<String> {
    let rest = document.split(&format!("\"{name}\":")).nth(1)?.trim_start().strip_prefix('"')?;
    rest.split('"').next().map(str::to_owned)
}
