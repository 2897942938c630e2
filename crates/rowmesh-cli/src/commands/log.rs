//! `rowmesh log`: changes in and out, and those to come.

use std::time::Duration;

use rowmesh::control::api::{Answer, Change, LogQuestion, Question};
use serde_json::json;

use crate::args::Log;
use crate::context::{Context, unexpected};
use crate::exit::Exit;
use crate::failure::{Outcome, failure};
use crate::nodes::Place;
use crate::render;
use crate::render::time::Moment;

/// Prints the newest changes, the newest last, as logs are read.
pub fn log(context: &Context, arguments: &Log) -> Outcome<Exit> {
    let place = context.place()?;
    let mut question = LogQuestion {
        table: arguments.table.clone(),
        key: arguments.key.clone(),
        peer: arguments.peer.clone(),
        since: arguments.since.as_deref().map(since).transpose()?,
        after_id: None,
        limit: arguments.limit as usize,
    };
    let mut changes = ask(context, &place, &question)?;
    if !arguments.follow {
        let text = || changes.iter().map(|change| line(context, change)).collect();
        context.talk.result(&json!({ "changes": changes }), text)?;
        return Ok(Exit::Done);
    }
    loop {
        for change in &changes {
            if context.talk.json {
                context.talk.document_line(change)?;
            } else {
                context.talk.data(&line(context, change))?;
            }
        }
        let seen = changes.iter().map(|change| change.id).max();
        question.after_id = seen.or(question.after_id).or(Some(0));
        question.limit = FOLLOW_LIMIT;
        std::thread::sleep(FOLLOW_EVERY);
        changes = ask(context, &place, &question)?;
    }
}

/// Oldest first.
fn ask(context: &Context, place: &Place, question: &LogQuestion) -> Outcome<Vec<Change>> {
    match context.ask_at(place, &Question::Log(question.clone()))? {
        Answer::Log { mut changes } => {
            changes.sort_by_key(|change| change.id);
            Ok(changes)
        }
        other => Err(unexpected(&other)),
    }
}

fn line(context: &Context, change: &Change) -> String {
    render::log::line(change, &Moment::now(), context.talk.out)
}

fn since(text: &str) -> Outcome<u64> {
    Moment::now().read(text).map_err(|problem| failure("RM1321", format!("--since: {problem}")))
}

const FOLLOW_EVERY: Duration = Duration::from_millis(300);
const FOLLOW_LIMIT: usize = 1_000;
