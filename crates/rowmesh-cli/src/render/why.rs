//! `rowmesh why`: one row, who wrote each of its columns, what lost in it, and what became of it.

use std::fmt::Write;

use rowmesh::control::api::{Author, Conflict, Why, WhyColumn, WhyWrite};

use super::conflicts::{is_collision, is_orphan};
use super::grid::{Grid, Tone, plain};
use super::time::Moment;
use super::{clean, conflicts, log, shorten, value};
use crate::paint::Paint;

/// Everything that is known of it.
pub fn row(why: &Why, moment: &Moment, paint: Paint) -> String {
    let name = format!("{} {}", clean(&why.table), clean(&why.key));
    let mut text = format!("{}   {}\n", paint.bold(&name), fate(why, moment));
    let mut grid = Grid::new(&["COLUMN", "VALUE", "WRITTEN BY", "WHEN", "WHY"], paint);
    for column in &why.columns {
        let shown = match &column.value {
            Some(shown) => plain(shorten(&value(Some(shown)), VALUE_CHARACTERS_MAX)),
            None => ("(not shown)".to_owned(), Tone::Warn),
        };
        let when = column.writes.first().map(|write| moment.exact(write.by.at)).unwrap_or_default();
        grid.row(&[plain(&column.column), shown, plain(writers(column)), plain(when), plain(reason(why, column))]);
    }
    if !why.columns.is_empty() {
        text += &grid.show();
    }
    if !why.waits.is_empty() {
        text += "\nWhat cannot be shown here yet:\n";
        for waits in &why.waits {
            let _ = writeln!(text, "  {} {}: {}", clean(&waits.node), waits.seq, clean(&waits.reason));
        }
    }
    if !why.conflicts.is_empty() {
        let _ = write!(text, "\nWhat lost in it, oldest first:\n{}", conflicts::grid(&why.conflicts, moment, paint));
    }
    text += "\nWhat became of it, oldest first:\n";
    if why.changes.is_empty() {
        text += "  the log tells of no change any more\n";
    }
    why.changes.iter().for_each(|change| text += &log::line(change, moment, paint));
    text
}

/// Who made it, and whether it stands.
fn fate(why: &Why, moment: &Moment) -> String {
    let by = |word: &str, authors: &[Author]| {
        let authors: Vec<String> = authors.iter().map(|author| who_and_when(author, moment)).collect();
        if authors.is_empty() { String::new() } else { format!("{word} {}", authors.join(" and ")) }
    };
    let (made, deleted) = (by("made by", &why.made), by("deleted by", &why.deleted));
    let is_needed = why.conflicts.iter().any(|conflict| is_orphan(conflict) && conflict.column.is_none());
    let stands = match (why.stands, deleted.is_empty()) {
        (true, true) => "stands".to_owned(),
        (true, false) if is_needed => format!("stands because other rows refer to it, though it was {deleted}"),
        // Deleted by one who did not know what another wrote.
        (true, false) => format!("stands by {} though it was {deleted}", clean(&why.policy)),
        (false, true) => "does not stand here".to_owned(),
        (false, false) => deleted,
    };
    if made.is_empty() { stands } else { format!("{stands}; {made}") }
}

fn who_and_when(author: &Author, moment: &Moment) -> String {
    format!("{} ({}, changeset {})", clean(&author.node), moment.exact(author.at), author.seq)
}

fn writers(column: &WhyColumn) -> String {
    let shown = if column.cause == "sum" { &column.writes[..] } else { &column.writes[..column.writes.len().min(1)] };
    let mut nodes: Vec<String> = shown.iter().map(|write| clean(&write.by.node)).collect();
    nodes.dedup();
    nodes.join(" + ")
}

fn reason(why: &Why, column: &WhyColumn) -> String {
    let told = |write: &WhyWrite| format!("{} of {}", value(Some(&write.value)), clean(&write.by.node));
    let all = |writes: &[WhyWrite], between: &str| writes.iter().map(told).collect::<Vec<_>>().join(between);
    let is_kept = |conflict: &&Conflict| conflict.column.as_deref() == Some(&column.column) && is_collision(conflict);
    let lacks = |conflict: &&Conflict| conflict.column.as_deref() == Some(&column.column) && is_orphan(conflict);
    if let Some(orphan) = why.conflicts.iter().find(lacks) {
        let text = format!("{} was written; that row was deleted", value(orphan.losing.value.as_ref()));
        return shorten(&text, REASON_CHARACTERS_MAX);
    }
    if let Some(collision) = why.conflicts.iter().find(is_kept) {
        let text = format!("{} was written; {}", value(collision.losing.value.as_ref()), conflicts::keeper(collision));
        return shorten(&text, REASON_CHARACTERS_MAX);
    }
    let text = match (column.cause.as_str(), &column.writes[..]) {
        ("sum", writes) => format!("{}: adds up the changes behind {}", clean(&column.policy), all(writes, " and ")),
        ("chosen", [_, beside @ ..]) => format!("by {}, beside {}", clean(&column.policy), all(beside, ", ")),
        _ => String::new(),
    };
    shorten(&text, REASON_CHARACTERS_MAX)
}

const VALUE_CHARACTERS_MAX: usize = 40;
const REASON_CHARACTERS_MAX: usize = 120;

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use rowmesh::control::api::{Change, ConflictSide, WhyWaits};
    use serde_json::json;

    use super::*;

    const AT: u64 = 1_769_869_860_000;

    fn author(node: &str, seq: u64) -> Author {
        Author { node: node.into(), at: AT + seq * 1_000, seq }
    }

    fn column(name: &str, value: Option<serde_json::Value>, cause: &str, policy: &str, writers: &[&str]) -> WhyColumn {
        let write = |(seq, node): (u64, &&str)| WhyWrite { by: author(node, seq), value: json!(5 + seq) };
        let writes = (1..).zip(writers).map(write).collect();
        WhyColumn { column: name.into(), value, cause: cause.into(), policy: policy.into(), writes }
    }

    fn told(why: &Why) -> String {
        row(why, &Moment::at(1_769_875_200_000, TimeZone::UTC), Paint::default())
    }

    #[test]
    fn each_column_tells_who_wrote_it_and_beside_whom() {
        let side = |node: &str, value: i64| ConflictSide { node: node.into(), at: AT, value: Some(json!(value)) };
        let lost = Conflict {
            id: "7QK3MZ2P9ABCDEF".into(),
            table: "products".into(),
            key: "pen".into(),
            column: Some("price".into()),
            conflict_type: "UPDATE_UPDATE".into(),
            strategy: "NODE_PRIORITY".into(),
            state: "open".into(),
            detected_at: AT,
            losing: side("till", 7),
            winning: side("office", 6),
            ..Conflict::default()
        };
        let change = Change {
            at: AT,
            node: "office".into(),
            operation: "INSERT".into(),
            table: "products".into(),
            key: "pen".into(),
            after: Some(json!({ "id": "pen", "stock": 10 })),
            state: "sealed".into(),
            ..Change::default()
        };
        let why = Why {
            table: "products".into(),
            key: "pen".into(),
            stands: true,
            made: vec![author("office", 1)],
            policy: "update_wins".into(),
            columns: vec![
                column("name", Some(json!("Pen")), "last", "last_writer", &["office"]),
                column("price", Some(json!(6)), "chosen", "node_priority:office", &["office", "till"]),
                column("stock", Some(json!(3)), "sum", "counter", &["till", "office"]),
                column("colour", None, "last", "last_writer", &["depot"]),
            ],
            conflicts: vec![lost],
            waits: vec![WhyWaits { node: "depot".into(), seq: 9, reason: "there is no column colour yet".into() }],
            changes: vec![change],
            ..Why::default()
        };
        insta::assert_snapshot!(told(&why));
    }

    #[test]
    fn whoever_deleted_it_is_named_whether_it_stands_or_not() {
        let gone = Why {
            table: "products".into(),
            key: "pen".into(),
            made: vec![author("office", 1), author("till", 2)],
            deleted: vec![author("depot", 3)],
            policy: "update_wins".into(),
            ..Why::default()
        };
        insta::assert_snapshot!(told(&gone));
        let stands = told(&Why { stands: true, ..gone });
        assert!(stands.contains("stands by update_wins though it was deleted by depot"), "{stands}");
        assert!(told(&Why::default()).contains("does not stand here"));
        let needed = Conflict { conflict_type: "FOREIGN_KEY".into(), column: None, ..Conflict::default() };
        let stands =
            told(&Why { stands: true, conflicts: vec![needed], deleted: vec![author("depot", 3)], ..Why::default() });
        assert!(stands.contains("stands because other rows refer to it, though it was deleted by depot"), "{stands}");
    }
}
