//! Commands that decide something for the whole mesh: which tables travel, what this node is called. Whether it may be decided here is the
//! running node's to say.

use rowmesh::control::api::{Answer, Question, Resolution};
use rowmesh::failure::code;
use serde_json::json;

use super::look::{ask_tables, one_table};
use crate::args::Count;
use crate::config::Source;
use crate::config::example::quoted;
use crate::context::{Context, unexpected};
use crate::exit::Exit;
use crate::failure::{Outcome, failure};
use crate::nodes::Remembered;
use crate::render;

/// `rowmesh tables add`.
pub fn add_table(context: &Context, table: &str, key: &[String], dry_run: bool) -> Outcome<Exit> {
    if !key.is_empty() {
        return Err(key_belongs_to_the_file(table, key));
    }
    set_table(context, table, true, dry_run)
}

/// `rowmesh tables rm`.
pub fn remove_table(context: &Context, table: &str, dry_run: bool) -> Outcome<Exit> {
    set_table(context, table, false, dry_run)
}

/// `rowmesh conflicts policy TABLE RULE`.
pub fn set_policy(context: &Context, table: &str, column: Option<&str>, rule: &str, dry_run: bool) -> Outcome<Exit> {
    let (tables, _) = ask_tables(context, false)?;
    let table = one_table(&tables, table)?.name.clone();
    let (column, rule) = (column.map(str::to_owned), rule.to_owned());
    let question = Question::SetPolicy { table: table.clone(), column: column.clone(), rule: rule.clone(), dry_run };
    let (changed, before) = match context.ask(&question)? {
        Answer::PolicySet { changed, before } => (changed, before),
        other => return Err(unexpected(&other)),
    };
    if context.talk.json {
        let document = json!({
            "table": table, "column": column, "rule": rule, "before": before, "changed": changed, "dry_run": dry_run,
        });
        context.talk.document(&document)?;
    }
    let what = column.map_or_else(|| format!("the rows of {table}"), |column| format!("{table}.{column}"));
    context.talk.done(&match (changed, dry_run) {
        (false, _) => format!("{what}: the policy is {before} already"),
        (true, true) => format!("{what}: the policy would be {rule} instead of {before}, on all nodes"),
        (true, false) => {
            format!(
                "{what}: the policy is {rule} from now on, on all nodes; rows that it settles otherwise are shown anew"
            )
        }
    });
    Ok(Exit::Done)
}

/// `rowmesh conflicts resolve` and `rowmesh conflicts undo`.
pub fn resolve(context: &Context, resolution: Resolution) -> Outcome<Exit> {
    let dry_run = resolution.dry_run;
    let (id, table, key, writes) = match context.ask(&Question::Resolve(resolution))? {
        Answer::Resolved { id, table, key, writes } => (id, table, key, writes),
        other => return Err(unexpected(&other)),
    };
    if context.talk.json {
        let document = json!({ "id": id, "table": table, "key": key, "writes": writes, "dry_run": dry_run });
        context.talk.document(&document)?;
    }
    let what = render::conflicts::wrote(&writes);
    context.talk.done(&match dry_run {
        true => format!("{table} {key}: would be written: {what}"),
        false => format!("{table} {key}: {what}; it has seen both sides and stands on all nodes"),
    });
    Ok(Exit::Done)
}

/// `rowmesh count`.
pub fn count(context: &Context, arguments: &Count) -> Outcome<Exit> {
    let Count { table, key, values, dry_run } = arguments.clone();
    let (table, key, before, writes) = match context.ask(&Question::Count { table, key, values, dry_run })? {
        Answer::Counted { table, key, before, writes } => (table, key, before, writes),
        other => return Err(unexpected(&other)),
    };
    if context.talk.json {
        let document = json!({ "table": table, "key": key, "before": before, "writes": writes, "dry_run": dry_run });
        context.talk.document(&document)?;
    }
    let what = render::conflicts::wrote(&writes);
    let before: Vec<String> =
        before.iter().map(|(column, value)| format!("{column} {}", render::value(Some(value)))).collect();
    context.talk.done(&match dry_run {
        true => format!("{table} {key}: would be said: {what} (before: {})", before.join(", ")),
        false => format!("{table} {key}: {what} (before: {}); what it did not know of is added", before.join(", ")),
    });
    Ok(Exit::Done)
}

/// `rowmesh peers rename`.
pub fn rename(context: &Context, names: &[String], dry_run: bool) -> Outcome<Exit> {
    let (node, name) = match names {
        [node, name] => (node.clone(), name.clone()),
        [name, ..] => (String::new(), name.clone()),
        [] => {
            return Err(
                failure(code::BAD_SETTING, "no name was given").hint("Give it one:", "rowmesh peers rename NAME")
            );
        }
    };
    let place = context.place()?;
    let question = Question::Rename { node, name: name.clone(), dry_run };
    let (changed, before) = match context.ask_at(&place, &question)? {
        Answer::Renamed { changed, before } => (changed, before),
        other => return Err(unexpected(&other)),
    };
    // A name that was changed before is remembered once more: it may have gone wrong then.
    if let Some(remembered) = place.remembered.as_ref().filter(|_| !dry_run) {
        Remembered { name: name.clone(), ..remembered.clone() }.write(&place.folder)?;
    }
    if context.talk.json {
        let document = json!({ "before": before, "name": name, "changed": changed, "dry_run": dry_run });
        context.talk.document(&document)?;
    }
    context.talk.done(&match (changed, dry_run) {
        (false, _) => format!("this node is called {name} already"),
        (true, true) => format!("this node would be called {name} instead of {before}"),
        (true, false) => {
            format!("this node is called {name} from now on; the others hear of it with the next exchange")
        }
    });
    let given = context.config.given("node.name").map(|setting| &setting.source);
    if let Some(source @ Source::File(..)) = given.filter(|_| changed) {
        context.talk.warn(&format!("the old name stands in {source}; change it there too"));
    }
    Ok(Exit::Done)
}

/// 3 where the mesh's rules say now that the table travels and it cannot.
fn set_table(context: &Context, name: &str, travels: bool, dry_run: bool) -> Outcome<Exit> {
    let (tables, _) = ask_tables(context, false)?;
    let name = one_table(&tables, name)?.name.clone();
    let question = Question::SetTable { table: name.clone(), travels, dry_run };
    let (changed, table) = match context.ask(&question)? {
        Answer::TableSet { changed, table } => (changed, table),
        other => return Err(unexpected(&other)),
    };
    if context.talk.json {
        let document = json!({ "table": table, "travels": travels, "changed": changed, "dry_run": dry_run });
        context.talk.document(&document)?;
    }
    context.talk.done(&match (changed, dry_run, travels) {
        (false, _, true) => format!("{name} is among the tables that travel already"),
        (false, _, false) => format!("{name} stays at home already"),
        (true, true, true) => format!("{name} would travel, on all nodes"),
        (true, true, false) => format!("{name} would stay at home, on all nodes; what exists elsewhere would stay"),
        (true, false, true) => format!("{name} travels from now on, on all nodes"),
        (true, false, false) => format!("{name} stays at home from now on, on all nodes; what exists elsewhere stays"),
    });
    if travels && !dry_run && (!table.synced || !table.reason.is_empty()) {
        context.talk.warn(&format!("it cannot travel yet: {}", table.reason));
        if !table.remedy.is_empty() {
            context.talk.say(&format!("    {}", table.remedy));
        }
        return Ok(Exit::Attention);
    }
    Ok(Exit::Done)
}

fn key_belongs_to_the_file(table: &str, key: &[String]) -> rowmesh::failure::Failure {
    let columns: Vec<String> = key.iter().map(|column| quoted(column)).collect();
    let is_bare = table.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    let heading = if is_bare { table.to_owned() } else { quoted(table) };
    failure(code::BAD_SETTING, "the key of a table belongs into rowmesh.toml")
        .why("every node needs it before it looks at the table, so it cannot be decided at run time")
        .hint(format!("Write into rowmesh.toml on every node:\n[table.{heading}]\nkey = [{}]", columns.join(", ")), "")
        .hint("Then restart the daemon:", "rowmesh run")
}
