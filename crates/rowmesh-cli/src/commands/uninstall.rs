//! `rowmesh uninstall`: takes triggers and tables of ours out of a database, in one transaction. The node's key stays.

use std::time::{Duration, Instant};

use rowmesh::control::api::Question;
use rowmesh::failure::code;
use rowmesh::setup::{self, Installed};
use serde_json::json;

use super::setup::Job;
use crate::args::{Setup, Uninstall};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::render;

/// `rowmesh uninstall`.
pub fn uninstall(context: &Context, arguments: &Uninstall) -> Outcome<Exit> {
    let talk = context.talk;
    let job = Job::new(context, arguments.db.as_deref(), &Setup::default())?;
    let found = setup::installed(&job.options)?;
    let is_running = job.place.is_running();
    let document = |removed: bool| json!({ "database": job.database.place.to_string(), "triggers": found.triggers, "tables": found.tables, "sequences": found.sequences, "removed": removed });
    if arguments.dry_run || (found.triggers.is_empty() && found.tables.is_empty()) {
        talk.result(&document(false), || render::plan::installed(&found))?;
        return Ok(Exit::Done);
    }
    talk.say(&format!("database {}", job.database.place));
    talk.say(render::plan::installed(&found).trim_end());
    if is_running {
        talk.say("Its daemon is running and will be stopped.");
    }
    if !talk.confirm("Changes that other nodes have not fetched yet are lost to them. Go ahead?", false)? {
        talk.say("Nothing was changed.");
        return Ok(Exit::Done);
    }
    if is_running {
        context.ask_at(&job.place, &Question::Stop)?;
    }
    let removed = take_out(&job, is_running)?;
    job.place.forget()?;
    talk.result(&document(true), || {
        let what = format!("{} triggers and {} tables", removed.triggers.len(), removed.tables.len());
        format!("Removed {what}. The node's key is still in {}\n", job.place.folder.display())
    })?;
    Ok(Exit::Done)
}

/// The daemon says that it is done before it has let go of the database: until then its lock is in the way.
fn take_out(job: &Job, was_running: bool) -> Outcome<Installed> {
    let deadline = Instant::now() + if was_running { STOP_PATIENCE } else { Duration::ZERO };
    loop {
        match setup::uninstall(&job.options) {
            Err(failure) if failure.code == code::TWO_DAEMONS && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(20));
            }
            result => return result,
        }
    }
}

/// A little longer than a daemon takes to end.
const STOP_PATIENCE: Duration = Duration::from_secs(6);
