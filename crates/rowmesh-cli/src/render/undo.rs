//! `rowmesh undo`: what becomes of the rows, and what is left as it is.

use std::fmt::Write;

use rowmesh::control::api::Undone;
use serde::Serialize;

use super::{clean, conflicts, shorten};
use crate::units::plural;

/// What became of all rows, and the first of them one by one.
#[derive(Debug, Default, Serialize)]
pub struct Total {
    /// Rows that stand again.
    pub back: u64,
    /// Rows of which columns hold what they held.
    pub changed: u64,
    /// Rows that stand no more.
    pub gone: u64,
    /// Rows that somebody wrote since, so that all or some of it is left alone.
    pub kept: u64,
    /// Rows that the database did not take.
    pub refused: u64,
    /// Events that were sealed.
    pub events: u64,
    /// Whether nothing was written.
    pub dry_run: bool,
    /// The first of those rows.
    pub rows: Vec<Undone>,
}

/// Rows that are told one by one.
const ROWS_TOLD_MAX: usize = 1_000;
/// Rows that people are told of one by one.
const LINES_MAX: usize = 30;
const LINE_CHARACTERS_MAX: usize = 160;

impl Total {
    /// Adds a row.
    pub fn add(&mut self, row: Undone) {
        let is_refused = row.refused.is_some();
        self.refused += u64::from(is_refused);
        match row.what.as_str() {
            _ if is_refused => {}
            "back" => self.back += 1,
            "changed" => self.changed += 1,
            "gone" => self.gone += 1,
            _ => {}
        }
        self.kept += u64::from(!row.kept.is_empty());
        let is_worth_telling = row.what != "nothing" || !row.kept.is_empty();
        if is_worth_telling && self.rows.len() < ROWS_TOLD_MAX {
            self.rows.push(row);
        }
    }

    /// Rows that are written.
    pub fn written(&self) -> u64 {
        self.back + self.changed + self.gone
    }
}

/// All of it, as a plan or as done.
pub fn total(total: &Total, is_plan: bool) -> String {
    if total.written() == 0 && total.rows.is_empty() {
        return "Nothing of that stands any more, so nothing is to be taken back.\n".to_owned();
    }
    let mut text = String::new();
    for row in total.rows.iter().take(LINES_MAX) {
        let _ = writeln!(text, "  {}", shorten(&line(row), LINE_CHARACTERS_MAX));
    }
    if total.rows.len() > LINES_MAX {
        let _ = writeln!(text, "  … and more");
    }
    let will = |done: &str, plan: &str| if is_plan { plan.to_owned() } else { done.to_owned() };
    let parts = [
        (total.back, will("brought back", "would stand again")),
        (total.changed, will("changed back", "would be changed back")),
        (total.gone, will("deleted", "would be deleted")),
        (total.kept, "left alone, wholly or in part: written since".to_owned()),
        (total.refused, "refused by the database".to_owned()),
    ];
    let parts = parts.iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = parts.map(|(count, what)| format!("{} {what}", plural(*count, "row"))).collect();
    format!("{text}{}.\n", parts.join("; "))
}

fn line(row: &Undone) -> String {
    let name = format!("{} {}", clean(&row.table), clean(&row.key));
    let kept = if row.kept.is_empty() {
        String::new()
    } else {
        let columns: Vec<String> = row.kept.iter().map(|column| clean(column)).collect();
        format!("   (written since: {})", columns.join(", "))
    };
    let what = match (&row.refused, row.what.as_str()) {
        (Some(reason), _) => format!("refused: {}", clean(reason)),
        (None, "back") => format!("stands again: {}", conflicts::wrote(&row.writes)),
        (None, "changed") => conflicts::wrote(&row.writes),
        (None, "gone") => "deleted".to_owned(),
        (None, _) => "stays as it is".to_owned(),
    };
    format!("{name}   {what}{kept}")
}

#[cfg(test)]
mod tests {
    use rowmesh::control::api::Wrote;
    use serde_json::json;

    use super::*;

    fn row(key: &str, what: &str, kept: &[&str], refused: Option<&str>) -> Undone {
        let wrote = |value: i64| Wrote { column: Some("total".into()), stays: false, value: Some(json!(value)) };
        Undone {
            table: "orders".into(),
            key: key.into(),
            what: what.into(),
            writes: if what == "nothing" || what == "gone" { Vec::new() } else { vec![wrote(7)] },
            kept: kept.iter().map(|column| (*column).to_owned()).collect(),
            refused: refused.map(Into::into),
        }
    }

    fn of(rows: Vec<Undone>) -> Total {
        let mut total = Total::default();
        rows.into_iter().for_each(|row| total.add(row));
        total
    }

    #[test]
    fn each_row_is_told_and_all_are_counted() {
        let rows = vec![
            row("1", "back", &[], None),
            row("2", "changed", &["note"], None),
            row("3", "gone", &[], None),
            row("4", "gone", &[], Some("a row of lines refers to it")),
            row("5", "nothing", &["total"], None),
            row("6", "nothing", &[], None),
        ];
        insta::assert_snapshot!(total(&of(rows), true));
    }

    #[test]
    fn what_is_too_much_to_read_is_counted() {
        let rows = (0..2_000).map(|key| row(&key.to_string(), "back", &[], None)).collect();
        let text = total(&of(rows), false);
        assert_eq!(text.lines().count(), LINES_MAX + 2);
        assert!(text.contains("… and more\n") && text.ends_with("000 rows brought back.\n"), "{text}");
        assert!(total(&Total::default(), true).contains("nothing is to be taken back"));
    }
}
