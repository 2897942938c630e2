//! Bucardo: triggers and a daemon in Perl, the one among the rivals in which both sides may write, as they may here.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{Carrier, Join, Kind};
use crate::postgres::cluster::SUPERUSER;
use crate::postgres::contestant::wait_until;
use crate::postgres::server::{Server, session_members};
use crate::postgres::workload::TABLES;

/// As its manual sets it up; both databases are sources once the second has a copy.
pub const KIND: Kind = Kind {
    name: "Bucardo",
    settings: &[],
    needs: &["/usr/bin/bucardo", "{pg}/lib/plperl.so"],
    package: "bucardo postgresql-plperl-15",
    attach,
};

/// Where it writes the number of its main process.
const PID_FILE: &str = "bucardo.mcp.pid";

struct Bucardo {
    host: String,
    /// Its notes of which process runs.
    folder: tempfile::TempDir,
}

fn attach(source: &Server) -> Result<Join, String> {
    let folder = tempfile::tempdir().expect("a folder for its notes");
    watch(folder.path());
    let mut bucardo = Bucardo { host: source.host(), folder };
    bucardo.command(&["install", "--batch", "--dbname=postgres"]);
    bucardo.add_database("a", source);
    bucardo.command(&[&["add", "tables"], &TABLES[..], &["db=a", "relgroup=shop"]].concat());
    Ok(Box::new(move |target| {
        bucardo.add_database("b", target);
        // It makes a first copy only of a database that nobody writes to.
        bucardo.command(&["add", "sync", "first", "relgroup=shop", "dbs=a:source,b:target", "onetimecopy=2"]);
        bucardo.receive();
        Ok(Box::new(bucardo))
    }))
}

impl Bucardo {
    fn command(&self, arguments: &[&str]) {
        let mut command = Command::new("/usr/bin/bucardo");
        let folder = self.folder.path();
        command.current_dir(folder).args(["--no-bucardorc", "--sendmail=0", "--quiet"]);
        command.arg(format!("--dbhost={}", self.host)).arg(format!("--dbuser={SUPERUSER}"));
        command.arg(format!("--piddir={}", folder.display())).arg(format!("--log-destination={}", folder.display()));
        // Not to a pipe of ours: the daemon that it starts would keep it open.
        let said = folder.join("said.log");
        let log = File::options().create(true).append(true).open(&said).expect("the folder can be written");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("one more")).stderr(log);
        let status = command.args(arguments).status().expect("its package is installed");
        assert!(status.success(), "{command:?}: {}", fs::read_to_string(said).unwrap_or_default());
    }

    fn add_database(&self, name: &str, server: &Server) {
        let (host, database) = (format!("host={}", server.host()), format!("dbname={}", server.database()));
        self.command(&["add", "db", name, &database, &host, &format!("user={SUPERUSER}")]);
    }

    fn processes(&self) -> Vec<u32> {
        let text = fs::read_to_string(self.folder.path().join(PID_FILE)).unwrap_or_default();
        let main = text.split_whitespace().next().and_then(|pid| pid.parse().ok());
        main.map(session_members).unwrap_or_default()
    }
}

impl Carrier for Bucardo {
    fn copied(&mut self) {
        self.stop_receiving();
        self.command(&["remove", "sync", "first"]);
        self.command(&["add", "sync", "shop", "relgroup=shop", "dbs=a:source,b:source"]);
        self.receive();
    }

    fn stop_receiving(&mut self) {
        self.command(&["stop"]);
        wait_until(Duration::from_millis(50), || self.processes().is_empty());
    }

    fn receive(&mut self) {
        self.command(&["start"]);
    }

    fn programs(&self) -> Vec<u32> {
        self.processes()
    }
}

impl Drop for Bucardo {
    fn drop(&mut self) {
        self.stop_receiving();
    }
}

/// Its daemon would outlive a killed measurement, and look for its database for ever.
const WATCHER: &str = r#"
    stop_it() {
        while kill -0 "$1" 2>/dev/null; do sleep 1; done
        [ -d "$2" ] && touch "$2/fullstopbucardo" && sleep 20
        rm -rf "$2"
    }
    stop_it "$1" "$2" &
"#;

fn watch(folder: &Path) {
    let own = std::process::id().to_string();
    let mut watcher = Command::new("sh");
    watcher.args(["-c", WATCHER, "watcher", &own]).arg(folder).process_group(0);
    watcher.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(watcher.status().expect("a shell is there").success());
}
