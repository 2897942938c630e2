//! Asks a running node. Blocking and without a runtime, so that a command that only asks starts at once.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::time::Duration;

use super::LINE_BYTES_MAX;
use super::api::{Answer, Question};
use crate::failure::{Failure, code};

/// What a node may take for an answer that needs no waiting.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks one question. An [`Answer::Failed`] comes back as the failure that it holds.
///
/// # Errors
/// `RM4000` if nobody answers on the socket, known at once; otherwise what the node said.
pub fn ask(socket: &Path, question: &Question) -> Result<Answer, Failure> {
    match exchange(socket, question)? {
        Answer::Failed(failure) => Err(failure),
        answer => Ok(answer),
    }
}

#[cfg(unix)]
fn exchange(socket: &Path, question: &Question) -> Result<Answer, Failure> {
    let stream = std::os::unix::net::UnixStream::connect(socket).map_err(|error| not_connected(socket, &error))?;
    let lost = |error: io::Error| lost(socket, &error);
    stream.set_read_timeout(Some(patience(question))).map_err(lost)?;
    let mut line =
        serde_json::to_vec(question).map_err(|error| Failure::bug("a question has no JSON form").because(&error))?;
    line.push(b'\n');
    (&stream).write_all(&line).map_err(lost)?;
    let mut answer = Vec::new();
    BufReader::new(&stream).take(LINE_BYTES_MAX).read_until(b'\n', &mut answer).map_err(lost)?;
    if answer.is_empty() {
        return Err(lost(io::ErrorKind::UnexpectedEof.into()));
    }
    serde_json::from_slice(&answer).map_err(|error| not_understood(socket, &error))
}

#[cfg(not(unix))]
fn exchange(socket: &Path, _: &Question) -> Result<Answer, Failure> {
    let _ = lost(socket, &io::ErrorKind::Unsupported.into());
    Err(Failure::not_running(socket))
}

fn patience(question: &Question) -> Duration {
    match question {
        Question::Sync { timeout_ms, .. } => PATIENCE + Duration::from_millis(*timeout_ms),
        _ => PATIENCE,
    }
}

fn not_connected(socket: &Path, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Failure::new(code::NOT_RUNNING, "this user may not talk to the daemon")
            .at(socket.display().to_string())
            .why("the socket is open to the user that runs the daemon, and to nobody else")
            .hint("Ask as that user:", format!("sudo -u {} rowmesh status", owner(socket))),
        _ => Failure::not_running(socket),
    }
}

fn lost(socket: &Path, error: &io::Error) -> Failure {
    let (code, message) = match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => (code::NO_ANSWER, "the daemon does not answer"),
        _ => (code::NOT_RUNNING, "the daemon ended before it answered"),
    };
    Failure::new(code, message)
        .at(socket.display().to_string())
        .why(error.to_string())
        .hint("See whether it runs, and what it says in its log:", "rowmesh status")
}

fn not_understood(socket: &Path, error: &serde_json::Error) -> Failure {
    Failure::new(code::BAD_ANSWER, "the daemon's answer is not understood: it is of another version")
        .at(socket.display().to_string())
        .why(error.to_string())
        .hint("Restart the daemon after an upgrade:", "rowmesh run")
}

#[cfg(unix)]
fn owner(socket: &Path) -> String {
    let owner = socket.parent().and_then(|folder| std::fs::metadata(folder).ok());
    owner.map_or_else(|| "USER".to_owned(), |metadata| format!("#{}", std::os::unix::fs::MetadataExt::uid(&metadata)))
}
