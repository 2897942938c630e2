//! `rowmesh uninstall`: takes triggers and tables of ours out of a database, in one transaction. The node's key stays.

use rowmesh::control::api::Question;
use rowmesh::setup;
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
    let document = |removed: bool| json!({ "database": job.database.path, "triggers": found.triggers, "tables": found.tables, "removed": removed });
    if arguments.dry_run || (found.triggers.is_empty() && found.tables.is_empty()) {
        talk.result(&document(false), || render::plan::installed(&found))?;
        return Ok(Exit::Done);
    }
    talk.say(&format!("database {}", job.database.path.display()));
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
        wait_until_stopped(&job);
    }
    let removed = setup::uninstall(&job.options)?;
    job.place.forget()?;
    talk.result(&document(true), || {
        let what = format!("{} triggers and {} tables", removed.triggers.len(), removed.tables.len());
        format!("Removed {what}. The node's key is still in {}\n", job.place.folder.display())
    })?;
    Ok(Exit::Done)
}

/// The daemon says that it is done before it has let go of the database; if it holds on, the lock says so.
fn wait_until_stopped(job: &Job) {
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(6);
    while job.place.folder.join("daemon.lock").exists() && std::time::Instant::now() < patience {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
