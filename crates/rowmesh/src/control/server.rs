//! The daemon's end of the local socket: lets in its own user only, reads one question a line, hands it on, writes one answer a line.
//! What is answered is decided elsewhere.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tracing::{debug, warn};

use super::LINE_BYTES_MAX;
use super::api::{Answer, Question};
use crate::failure::{Failure, code};

/// A question, and where its answer goes. Dropped unanswered it tells the asker that the daemon ends.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) question: Question,
    pub(crate) reply: oneshot::Sender<Answer>,
}

/// The open socket. It is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct ControlServer {
    path: PathBuf,
    accepting: tokio::task::AbortHandle,
}

/// Connections at once; more than a person and a few scripts need.
const CONNECTIONS_MAX: usize = 32;
/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(60);

impl ControlServer {
    /// Opens the socket. Whoever calls this holds the lock of the data folder, so what lies there is a dead daemon's.
    pub(crate) fn open(path: &Path, asked: mpsc::Sender<Asked>) -> Result<ControlServer, Failure> {
        let failed = |source: &io::Error| {
            let failure = Failure::file("open the control socket", path, source);
            if path.as_os_str().len() > 100 {
                return failure.hint(
                    "The path is too long for a socket; choose a shorter one:",
                    "rowmesh run --socket /run/rowmesh.sock",
                );
            }
            failure
        };
        match std::fs::remove_file(path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(failed(&source)),
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(|source| failed(&source))?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(|source| failed(&source))?;
        let owner = std::fs::metadata(path).map_err(|source| failed(&source))?.uid();
        let accepting = tokio::spawn(accept(listener, owner, asked)).abort_handle();
        Ok(ControlServer { path: path.to_owned(), accepting })
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        self.accepting.abort();
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn accept(listener: UnixListener, owner: u32, asked: mpsc::Sender<Asked>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) if is_owner(&stream, owner) => {
                    connections.spawn(serve(stream, asked.clone()));
                }
                Ok(_) => warn!("another user tried to use the control socket"),
                Err(error) => {
                    warn!(error = &error as &dyn std::error::Error, "cannot accept on the control socket");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
}

/// The socket's mode keeps others out already; a system that ignores it is caught here. Root may ask everything.
fn is_owner(stream: &UnixStream, owner: u32) -> bool {
    stream.peer_cred().is_ok_and(|peer| peer.uid() == owner || peer.uid() == 0)
}

async fn serve(stream: UnixStream, asked: mpsc::Sender<Asked>) {
    if let Err(error) = answer_all(stream, asked).await {
        debug!(error = &error as &dyn std::error::Error, "control connection ended");
    }
}

async fn answer_all(stream: UnixStream, asked: mpsc::Sender<Asked>) -> io::Result<()> {
    let (reading, mut writing) = stream.into_split();
    let mut reading = BufReader::new(reading);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut bounded = (&mut reading).take(LINE_BYTES_MAX);
        let read = bounded.read_until(b'\n', &mut line);
        if tokio::time::timeout(IDLE, read).await.unwrap_or(Ok(0))? == 0 {
            return Ok(());
        }
        let mut answer = serde_json::to_vec(&answer(&line, &asked).await).map_err(io::Error::other)?;
        answer.push(b'\n');
        writing.write_all(&answer).await?;
    }
}

async fn answer(line: &[u8], asked: &mpsc::Sender<Asked>) -> Answer {
    let question = match serde_json::from_slice(line) {
        Ok(question) => question,
        Err(error) => {
            let failure = Failure::new(
                code::BAD_ANSWER,
                "the daemon does not understand this question: it is of another version",
            )
            .why(error.to_string())
            .hint("Restart the daemon after an upgrade:", "rowmesh run");
            return Answer::Failed(failure);
        }
    };
    let (reply, answer) = oneshot::channel();
    let ending = || Answer::Failed(Failure::new(code::NOT_RUNNING, "the daemon is ending"));
    match asked.send(Asked { question, reply }).await {
        Ok(()) => answer.await.unwrap_or_else(|_| ending()),
        Err(_) => ending(),
    }
}
