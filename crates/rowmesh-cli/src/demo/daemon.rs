//! One node of the demo: a process of this very program, started as a user would start it, with files of its own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use business::Desk;
use rowmesh::control::api::{Answer, Question, Status};
use rowmesh::control::client;
use rowmesh::failure::Failure;

use super::broken;
use crate::context::unexpected;
use crate::failure::{Outcome, failure};

/// A running daemon. Ended when this goes.
pub struct Daemon {
    database: PathBuf,
    socket: PathBuf,
    child: Child,
}

impl Daemon {
    /// Starts `rowmesh up` and waits until it is live.
    ///
    /// # Errors
    /// If it ends instead; its own words are the cause.
    pub fn start(folder: &Path, name: &str, invite: Option<&str>) -> Outcome<Daemon> {
        let program = std::env::current_exe().map_err(|error| Failure::file("find this program", folder, &error))?;
        let log = folder.join(format!("{name}.log"));
        let stderr = std::fs::File::create(&log).map_err(|error| Failure::file("write a log", &log, &error))?;
        let database = folder.join(format!("{name}.db"));
        let mut command = Command::new(program);
        command.arg("up").arg(&database).args(["--json", "--yes", "--name", name, "--listen", "127.0.0.1:0"]);
        command.arg("--data").arg(folder.join(name));
        if let Some(invite) = invite {
            command.args(["--join", invite]);
        }
        surroundings(&mut command, folder)?;
        let child = command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).spawn();
        let child = child.map_err(|error| Failure::file("start a daemon", &log, &error))?;
        let mut daemon = Daemon { database, socket: folder.join(name).join(crate::paths::SOCKET), child };
        daemon.wait_until_live(&log)?;
        Ok(daemon)
    }

    /// Asks it.
    ///
    /// # Errors
    /// If it does not run any more, or cannot do it.
    pub fn ask(&self, question: &Question) -> Outcome<Answer> {
        client::ask(&self.socket, question)
    }

    /// How it fares.
    ///
    /// # Errors
    /// As [`Daemon::ask`].
    pub fn status(&self) -> Outcome<Status> {
        match self.ask(&Question::Status)? {
            Answer::Status(status) => Ok(status),
            other => Err(unexpected(&other)),
        }
    }

    /// A line for one more node.
    ///
    /// # Errors
    /// As [`Daemon::ask`].
    pub fn invite(&self) -> Outcome<String> {
        let question = Question::Invite { ttl_ms: 60_000, uses: 1, role: "peer".to_owned(), addresses: Vec::new() };
        match self.ask(&question)? {
            Answer::Invite { line, .. } => Ok(line),
            other => Err(unexpected(&other)),
        }
    }

    /// The application's own connection to its database.
    ///
    /// # Errors
    /// If the application cannot open it.
    pub fn desk(&self) -> Outcome<Desk> {
        Desk::open(&self.database).map_err(|error| broken("open the application's database", &error))
    }

    /// Stops it as `rowmesh` would be stopped, and waits.
    ///
    /// # Errors
    /// If it does not end by itself in time.
    pub fn stop(mut self) -> Outcome<()> {
        self.ask(&Question::Stop)?;
        let deadline = Instant::now() + STOP_PATIENCE;
        while Instant::now() < deadline {
            if self.child.try_wait().is_ok_and(|status| status.is_some()) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(failure("RM5003", "a daemon of the demo did not stop when it was asked to"))
    }

    /// The first line of its output is there when it is live; the output ends if it fails.
    fn wait_until_live(&mut self, log: &Path) -> Outcome<()> {
        let mut line = String::new();
        let mut output = self.child.stdout.take().map(BufReader::new);
        if let Some(output) = &mut output {
            let _ = output.read_line(&mut line);
        }
        let said: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        if said["state"] == "live" {
            return Ok(());
        }
        let rest = output.map(|output| output.lines().map_while(Result::ok).collect::<Vec<_>>().join("\n"));
        let error = serde_json::from_str::<serde_json::Value>(&(line + &rest.unwrap_or_default())).unwrap_or_default();
        let message = error["error"]["message"].as_str().unwrap_or("it ended before it was live").to_owned();
        Err(failure("RM5003", "a daemon of the demo did not start")
            .why(message)
            .hint("Its own words:", format!("cat {}", log.display())))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Where it was stopped in order there is nothing left to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Nothing of the user's own configuration reaches a throw-away node: it has a file of its own, found first.
fn surroundings(command: &mut Command, folder: &Path) -> Outcome<()> {
    let path = folder.join("rowmesh.toml");
    std::fs::write(&path, "[sync]\ninterval = \"2s\"\n")
        .map_err(|error| Failure::file("write a configuration", &path, &error))?;
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ROWMESH_") {
            command.env_remove(&name);
        }
    }
    command.env_remove("DATABASE_URL").env("XDG_STATE_HOME", folder);
    Ok(())
}

const STOP_PATIENCE: Duration = Duration::from_secs(8);
