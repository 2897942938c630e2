//! `rowmesh undo`: takes back a changeset or a while, as new changes; told first, and done step by step so that everything else goes on meanwhile.

use std::collections::{BTreeMap, HashSet};

use rowmesh::control::api::{Answer, Meant, Question, Undone};

use crate::args::Undo;
use crate::context::{Context, unexpected};
use crate::exit::Exit;
use crate::failure::{Outcome, failure};
use crate::nodes::Place;
use crate::render;
use crate::render::time::Moment;
use crate::render::undo::Total;

/// Tells what would be done, asks, and does it.
pub fn undo(context: &Context, arguments: &Undo) -> Outcome<Exit> {
    let place = context.place()?;
    let mut meant = Meant {
        node: arguments.origin.clone(),
        seq: arguments.seq,
        since: arguments.since.as_deref().map(|text| time("--since", text)).transpose()?,
        until: arguments.until.as_deref().map(|text| time("--until", text)).transpose()?,
        table: arguments.table.clone(),
    };
    let changesets = match context.ask_at(&place, &Question::Meant(meant.clone()))? {
        Answer::Meant { changesets, until } => {
            // What comes from here on is not meant, the undoing itself least of all.
            meant.until = Some(until);
            changesets
        }
        other => return Err(unexpected(&other)),
    };
    let preview = all_steps(context, &place, &meant, &changesets, true)?;
    let told = || render::undo::total(&preview, true);
    if arguments.dry_run || preview.written() == 0 {
        context.talk.result(&preview, told)?;
        return Ok(Exit::Done);
    }
    context.talk.say(told().trim_end());
    if !context.talk.confirm("Write this, on all nodes?", false)? {
        context.talk.say("Nothing was changed.");
        return Ok(Exit::Done);
    }
    let done = all_steps(context, &place, &meant, &changesets, false)?;
    context.talk.result(&done, || render::undo::total(&done, false))?;
    Ok(Exit::Done)
}

fn all_steps(context: &Context, place: &Place, meant: &Meant, changesets: &[u64], dry_run: bool) -> Outcome<Total> {
    let (mut total, mut known) = (Total { dry_run, ..Total::default() }, HashSet::new());
    let mut refused: BTreeMap<(String, String), Undone> = BTreeMap::new();
    for changeset in changesets {
        let mut skip = 0;
        loop {
            let question = Question::Undo { meant: meant.clone(), changeset: *changeset, skip, dry_run };
            let (rows, looked, more, events) = match context.ask_at(place, &question)? {
                Answer::Undone { rows, looked, more, events } => (rows, looked, more, events),
                other => return Err(unexpected(&other)),
            };
            total.events += events;
            for row in rows {
                let name = (row.table.clone(), row.key.clone());
                // A row is told once, by the newest of its changes: the older ones find it as it was left by that. What was refused may be taken
                // with an older one, once what stood in the way is gone.
                if row.refused.is_some() {
                    refused.insert(name, row);
                } else if known.insert(name.clone()) {
                    refused.remove(&name);
                    total.add(row);
                }
            }
            skip += looked;
            if !more {
                break;
            }
        }
    }
    refused.into_values().for_each(|row| total.add(row));
    Ok(total)
}

fn time(flag: &str, text: &str) -> Outcome<u64> {
    Moment::now().read(text).map_err(|problem| failure("RM1321", format!("{flag}: {problem}")))
}
