//! `rowmesh tables`: what syncs, what does not, and why.

use std::fmt::Write;

use rowmesh::control::api::{HeldBack, Table};

use super::clean;
use super::grid::{Grid, Tone, plain};
use crate::paint::Paint;
use crate::units::{plural, show_count};

/// All of them, first a sentence that answers the question.
pub fn list(tables: &[Table], held_back: &[HeldBack], paint: Paint) -> String {
    let synced = tables.iter().filter(|table| table.synced).count();
    let mut text = format!("{synced} of {} synced.\n\n", plural(tables.len() as u64, "table"));
    let mut grid = Grid::new(&["TABLE", ">ROWS", "SYNC", "CAPTURE", ">PARKED", ">HELD BACK", "NOTE"], paint);
    for table in tables {
        grid.row(&[
            plain(&table.name),
            plain(table.rows.map_or_else(|| "-".to_owned(), show_count)),
            plain(if table.synced { "yes" } else { "no" }),
            capture(table),
            number(table.parked, Tone::Warn),
            number(table.held_back, Tone::Plain),
            if table.synced && !table.reason.is_empty() {
                (table.reason.clone(), Tone::Warn)
            } else {
                plain(&table.reason)
            },
        ]);
    }
    text += &grid.show();
    if !held_back.is_empty() {
        text += "\nHeld back by filters, with all that depends on it:\n";
        text += &roots(held_back, paint);
    }
    text
}

/// One of them, with everything known.
pub fn one(table: &Table, paint: Paint) -> String {
    let mut text = format!("{}\n", paint.bold(&clean(&table.name)));
    let rows = [
        ("synced", if table.synced { "yes".to_owned() } else { "no".to_owned() }),
        ("key", table.key.join(", ")),
        ("rows", table.rows.map(show_count).unwrap_or_default()),
        ("capture", capture(table).0),
        ("parked", if table.parked == 0 { String::new() } else { plural(table.parked, "event") }),
        ("held back", if table.held_back == 0 { String::new() } else { plural(table.held_back, "row") }),
        ("note", table.reason.clone()),
        ("to do", table.remedy.clone()),
    ];
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        let _ = writeln!(text, "  {name:<10} {}", clean(value));
    }
    text
}

fn roots(held_back: &[HeldBack], paint: Paint) -> String {
    let mut grid = Grid::new(&["FILTER", "ROOT ROW", ">ROWS"], paint);
    for held in held_back {
        grid.row(&[plain(&held.filter), plain(&held.root), plain(show_count(held.rows))]);
    }
    grid.show()
}

fn capture(table: &Table) -> (String, Tone) {
    match (table.captured, table.synced) {
        (true, _) => ("✔".to_owned(), Tone::Good),
        (false, true) => ("missing".to_owned(), Tone::Bad),
        (false, false) => ("off".to_owned(), Tone::Plain),
    }
}

fn number(count: u64, tone: Tone) -> (String, Tone) {
    if count == 0 { plain("-") } else { (show_count(count), tone) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables() -> Vec<Table> {
        let orders = Table {
            name: "orders".into(),
            synced: true,
            key: vec!["id".into()],
            rows: Some(912_004),
            captured: true,
            held_back: 12,
            ..Table::default()
        };
        let sessions = Table { name: "sessions".into(), reason: "excluded by *session*".into(), ..Table::default() };
        let lines = Table {
            name: "order_lines".into(),
            synced: true,
            reason: "triggers are missing".into(),
            remedy: "rowmesh doctor --fix".into(),
            parked: 3,
            ..Table::default()
        };
        vec![orders, lines, sessions]
    }

    #[test]
    fn the_list_says_what_syncs_and_why_the_rest_does_not() {
        let held = HeldBack { filter: "demo".into(), root: "clothing-demo-business".into(), rows: 412 };
        insta::assert_snapshot!(list(&tables(), &[held], Paint::default()));
    }

    #[test]
    fn one_table_is_shown_with_what_to_do() {
        insta::assert_snapshot!(one(&tables()[1], Paint::default()));
    }
}
