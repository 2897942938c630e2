//! `rowmesh run`, and how any command lets a node work in the foreground until it is told to stop.

use std::time::Duration;

use rowmesh::control::api::{Answer, Question};
use rowmesh::failure::{Failure, code};
use rowmesh::{Node, RunningNode, setup};
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::setup::Job;
use crate::args::{Run, Setup};
use crate::config::Config;
use crate::context::{Context, unexpected};
use crate::exit::Exit;
use crate::failure::{Outcome, failure};
use crate::render;
use crate::talk::Talk;

/// What a node says when it is live.
#[derive(Debug, Default)]
pub struct Greeting {
    /// What this node is called there, if it was just told.
    pub name: Option<String>,
    /// Whether the mesh is new: then the next node is to be invited.
    pub founded: bool,
}

/// `rowmesh run`.
pub fn run(context: &Context, arguments: &Run) -> Outcome<Exit> {
    let said = Setup { listen: arguments.listen.clone(), ..Setup::default() };
    let job = Job::new(context, None, &said).map_err(|failure| match (failure.code.as_str(), context.place()) {
        // No database is named because the node is not there, or because there are several.
        ("RM1201", Err(which)) => which,
        _ => failure,
    })?;
    if job.place.remembered.is_none() {
        return Err(failure(code::NO_MESH, format!("node {} has not been set up yet", job.options.name))
            .at(job.place.folder.display().to_string())
            .hint("Begin a mesh:", format!("rowmesh up {}", job.database.place))
            .hint("Or join one:", format!("rowmesh up {} --join INVITE", job.database.place)));
    }
    log_to_stderr(&context.config, context.talk, &context.config.text("log.level"));
    refuse_another_database(&job)?;
    let node = Node::open(job.options.clone()).map_err(|failure| match failure.code.as_str() {
        "RM1202" | "RM1204" => {
            failure.hint("If it was moved:", format!("rowmesh up NEW/PATH.db {}", job.place.flag(&context.config)))
        }
        _ => failure,
    })?;
    in_foreground(context.talk, &job, node, Greeting::default())
}

/// What stands where the node's database was and has nothing of ours in it is another one: an empty volume, an older copy. It is not attached
/// unasked.
fn refuse_another_database(job: &Job) -> Outcome<()> {
    match setup::installed(&job.options) {
        Ok(found) if found.triggers.is_empty() && found.tables.is_empty() => {
            Err(failure("RM2109", "this database is not attached: it is not the one that this node works with")
                .at(job.database.place.to_string())
                .why("nothing of Rowmesh is in it: its disk is not mounted, or the file was made anew or replaced by an older one")
                .hint("Put the node's own database back. Or let a new node fetch everything from the mesh:", "rowmesh up NEW.db --name NEW --join INVITE"))
        }
        // What else is wrong is told when it is opened.
        _ => Ok(()),
    }
}

/// Lets a node work until somebody stops it. Ctrl-C and SIGTERM finish the transaction at hand; a second one does not wait.
///
/// # Errors
/// If the node cannot start.
pub fn in_foreground(talk: Talk, job: &Job, node: Node, greeting: Greeting) -> Outcome<Exit> {
    runtime()?.block_on(async {
        // From here on: a signal that comes while the node starts or greets must not be lost. It lets that end; a second one does not.
        let mut interrupts = Interrupts::watch();
        let mut stopping = false;
        let starting = async {
            let running = node.start().await?;
            greet(talk, job, &running, greeting).await?;
            Outcome::Ok(running)
        };
        tokio::pin!(starting);
        let mut running = loop {
            tokio::select! {
                started = &mut starting => break started?,
                () = interrupts.next() => match stopping {
                    true => return Ok(Exit::Interrupted),
                    false => stopping = true,
                },
            }
        };
        tokio::select! {
            () = std::future::ready(()), if stopping => talk.say("stopping"),
            () = running.ended() => talk.say("asked to stop"),
            () = interrupts.next() => talk.say("stopping"),
        }
        tokio::select! {
            () = running.stop() => Ok(Exit::Done),
            () = interrupts.next() => Ok(Exit::Interrupted),
        }
    })
}

/// One runtime for one command.
///
/// # Errors
/// If the system gives no threads.
pub fn runtime() -> Outcome<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| failure(code::BUG, "the program could not start its threads").because(&error))
}

/// Ctrl-C and SIGTERM, from the moment that they are watched for.
pub struct Interrupts(Option<(Signal, Signal)>);

impl Interrupts {
    /// Begins to watch; to be called inside a runtime.
    pub fn watch() -> Interrupts {
        Interrupts(signal(SignalKind::interrupt()).ok().zip(signal(SignalKind::terminate()).ok()))
    }

    /// Waits for the next of them; for ever where neither can be waited for.
    pub async fn next(&mut self) {
        match &mut self.0 {
            Some((interrupt, terminate)) => {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            }
            None => std::future::pending().await,
        }
    }
}

/// Waits for Ctrl-C or SIGTERM from now on.
pub async fn interrupted() {
    Interrupts::watch().next().await;
}

/// Listening, and for a new mesh the line for the next node.
async fn greet(talk: Talk, job: &Job, running: &RunningNode, greeting: Greeting) -> Outcome<()> {
    let listening = running.listening().map(|address| address.to_string());
    match &listening {
        Some(address) => talk.done(&format!("listening on {address}")),
        None => talk.done("listening nowhere: this node calls the others"),
    }
    let invite = if greeting.founded && listening.is_some() { Some(invite(running).await?) } else { None };
    if talk.json {
        let status = running.status().await?;
        talk.document_line(&json!({
            "state": "live", "name": status.name, "node": status.node, "mesh": status.mesh, "listen": status.listen,
            "database": job.database.place.to_string(), "data": job.place.folder, "socket": running.socket(), "invite": invite,
        }))?;
    } else if let Some(line) = &invite {
        let database = job.database.place.elsewhere();
        talk.say("\nAdd another node: run there, within 15 minutes");
        talk.data(&format!("    rowmesh up {} --join {line}\n", render::clean(&database)))?;
    }
    talk.say(&format!("{} live   Ctrl-C stops", talk.err.good("●")));
    Ok(())
}

async fn invite(running: &RunningNode) -> Result<String, Failure> {
    let question =
        Question::Invite { ttl_ms: millis(INVITE_TTL), uses: 1, role: "peer".to_owned(), addresses: Vec::new() };
    match running.ask(question).await? {
        Answer::Invite { line, .. } => Ok(line),
        other => Err(unexpected(&other)),
    }
}

const INVITE_TTL: Duration = Duration::from_secs(15 * 60);

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The daemon's own log. Under a journal, which writes the time itself, it writes none.
pub fn log_to_stderr(config: &Config, talk: Talk, level: &str) {
    let level = match talk.verbosity() {
        0 => level,
        1 => "debug",
        _ => "trace",
    };
    let directives = format!("{level},hyper=warn,h2=warn,rustls=warn");
    let filter = tracing_subscriber::EnvFilter::new(directives);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let format = config.text("log.format");
    let journal = config.surroundings().variable("JOURNAL_STREAM").is_some();
    // A log that is already there stays: nothing is lost but the format.
    let _ = match format.as_str() {
        "json" => builder.json().try_init(),
        "auto" if !talk.live && !journal => builder.json().try_init(),
        _ if journal => builder.without_time().with_ansi(false).try_init(),
        _ => builder.with_ansi(talk.err.on).try_init(),
    };
}
