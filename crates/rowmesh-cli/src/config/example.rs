//! `config example` and the file that `init` writes: made from the table of keys, so that they are what the parser accepts.

use std::fmt::Write;

use super::{KEYS, Key, Kind};

/// Every key with its default.
pub fn example() -> String {
    let mut text = String::from("# Every key of rowmesh.toml with its default. A file needs only what differs.\n");
    let mut section = "";
    for key in KEYS {
        if key.section() != section {
            section = key.section();
            let _ = write!(text, "\n[{section}]\n");
        }
        let line = format!("{} = {}", key.name(), literal(key));
        let _ = writeln!(text, "{}{line:<34} # {}", commented(key), key.about);
    }
    text + TABLES_AND_FILTERS
}

/// What `init` writes: only what it was told.
pub fn written_by_init(name: &str, url: &str) -> String {
    format!("[node]\nname = {}\n[database]\nurl = {}\n", quoted(name), quoted(url))
}

/// A text as TOML writes it.
pub fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// Keys without default that would mean something if they were set to nothing.
fn commented(key: &Key) -> &'static str {
    if key.default.is_empty() && key.kind == Kind::Text { "# " } else { "" }
}

fn literal(key: &Key) -> String {
    match key.kind {
        Kind::List => {
            let items: Vec<String> = key.default.split(',').filter(|item| !item.is_empty()).map(quoted).collect();
            format!("[{}]", items.join(", "))
        }
        Kind::Text | Kind::Duration | Kind::Choice(_) => quoted(key.default),
    }
}

const TABLES_AND_FILTERS: &str = r#"
# One table. Its key, where it has no primary key; "off" keeps it out of sync. How its conflicts are settled, for all nodes: whether a row stands that
# was deleted and written at once (update_wins, delete_wins, last_writer, ask), and which write of a column (last_writer,
# max, min, counter, "node_priority:head,branch", ask).
# [table.order_items]
# key = ["order_id", "line_no"]
# sync = "both"
# conflicts = "update_wins"
# columns.quantity = "counter"

# Rows that stay here, with all that depends on them: NOT NULL foreign keys are followed by themselves, nullable ones when named.
# [[filters]]
# name = "demo"
# table = "businesses"
# skip = "id LIKE '%-demo%' OR id LIKE 'demo-%'"
# follow = ["construction_projects.business_id"]
# several_owners = "any"
"#;
