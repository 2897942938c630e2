//! `rowmesh config`: what holds, where it comes from, and what could be written. Changes nothing.

use std::path::PathBuf;

use serde_json::json;

use crate::args::{Config as Arguments, ConfigCommand, Everywhere};
use crate::config::{Config, KEYS, Setting, Surroundings, Value, candidates, database, example, whereabouts};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::talk::Talk;
use crate::units::write_duration;

/// `rowmesh config`.
pub fn config(talk: Talk, everywhere: &Everywhere, arguments: &Arguments) -> Outcome<Exit> {
    match arguments.what {
        ConfigCommand::Show => show(talk, &Context::new(talk, everywhere)?.config),
        ConfigCommand::Check => check(talk, &Context::new(talk, everywhere)?.config),
        ConfigCommand::Path => path(talk, everywhere),
        ConfigCommand::Example => {
            talk.data(&example::example())?;
            Ok(Exit::Done)
        }
    }
}

fn show(talk: Talk, config: &Config) -> Outcome<Exit> {
    let settings: Vec<(&str, Setting)> =
        KEYS.iter().map(|key| (key.path, shown(key.path, config.setting(key.path)))).collect();
    let database = database::find(config, None)?;
    let document = json!({
        "file": config.path,
        "settings": settings.iter().map(|(path, setting)| json!({
            "key": path, "value": to_json(&setting.value), "source": setting.source.to_string(),
        })).collect::<Vec<_>>(),
        "tables": config.tables.iter().map(|(name, table)| json!({
            "table": name, "key": table.key, "sync": if table.off { "off" } else { "both" },
            "conflicts": table.conflicts, "columns": table.columns,
        })).collect::<Vec<_>>(),
        "filters": config.filters.iter().map(|filter| json!({
            "name": filter.name, "table": filter.table, "skip": filter.skip, "follow": filter.follow,
        })).collect::<Vec<_>>(),
        "database": database.as_ref().map(|found| json!({
            "path": found.place.to_string(), "source": found.source.to_string(),
        })),
    });
    talk.result(&document, || {
        let mut text = String::new();
        for (path, setting) in &settings {
            let line = format!("{path} = {}", literal(&setting.value));
            text += &format!("{line:<50} {}\n", talk.out.dim(&format!("# {}", setting.source)));
        }
        for (name, table) in &config.tables {
            let sync = if table.off { "off" } else { "both" };
            text += &format!("table.{name}: key {:?}, sync {sync}", table.key);
            text += &table.conflicts.as_ref().map(|rule| format!(", conflicts {rule}")).unwrap_or_default();
            let columns = table.columns.iter().map(|(column, rule)| format!(", {column} {rule}"));
            text += &columns.collect::<String>();
            text.push('\n');
        }
        for filter in &config.filters {
            text += &format!("filter {}: {} where {}\n", filter.name, filter.table, filter.skip);
        }
        if let Some(found) = &database {
            text += &format!("\ndatabase: {} (from {})\n", found.place, found.source);
        }
        text
    })?;
    Ok(Exit::Done)
}

/// Without the password that a url may hold.
fn shown(path: &str, setting: Setting) -> Setting {
    match setting.value {
        Value::Text(url) if path == "database.url" => {
            Setting { value: Value::Text(whereabouts::shown(&url)), ..setting }
        }
        _ => setting,
    }
}

/// Reaching this place means that it could be read; the database is the one thing more that can be wrong.
fn check(talk: Talk, config: &Config) -> Outcome<Exit> {
    let database = database::find(config, None)?;
    let file =
        config.path.as_ref().map_or_else(|| "no file, defaults only".to_owned(), |path| path.display().to_string());
    let document = json!({ "ok": true, "file": config.path, "warnings": config.warnings });
    talk.result(&document, || {
        let found = database.map(|found| format!("; database {} from {}", found.place, found.source));
        format!("{} {file}{}\n", talk.out.good("✔"), found.unwrap_or_default())
    })?;
    Ok(if config.warnings.is_empty() { Exit::Done } else { Exit::Attention })
}

fn path(talk: Talk, everywhere: &Everywhere) -> Outcome<Exit> {
    let surroundings = Surroundings::of_process();
    let named = everywhere.config.clone().or_else(|| surroundings.variable("ROWMESH_CONFIG").map(PathBuf::from));
    let looked = named.map_or_else(|| candidates(&surroundings), |path| vec![surroundings.folder.join(path)]);
    let read = looked.iter().find(|path| path.exists());
    talk.result(&json!({ "file": read, "looked_at": looked }), || {
        let mark = |path: &PathBuf| match (Some(path) == read, path.exists()) {
            (true, _) => "read",
            (false, true) => "not read: an earlier one is there",
            (false, false) => "not there",
        };
        looked.iter().map(|path| format!("{}  ({})\n", path.display(), mark(path))).collect()
    })?;
    Ok(Exit::Done)
}

fn to_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Text(text) => json!(text),
        Value::List(list) => json!(list),
        Value::Duration(duration) => json!(write_duration(*duration)),
    }
}

fn literal(value: &Value) -> String {
    match value {
        Value::Text(text) => example::quoted(text),
        Value::List(list) => {
            format!("[{}]", list.iter().map(|item| example::quoted(item)).collect::<Vec<_>>().join(", "))
        }
        Value::Duration(duration) => example::quoted(&write_duration(*duration)),
    }
}
