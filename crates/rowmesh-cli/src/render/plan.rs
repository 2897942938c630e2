//! What setting up would do to a database, shown before it is done. Decides nothing.

use std::fmt::Write;

use rowmesh::setup::{Installed, Plan, PlannedTable, SkippedTable};

use super::clean;
use super::grid::{Grid, plain};
use crate::paint::Paint;
use crate::units::plural;

/// The plan; `full` names every table.
pub fn plan(plan: &Plan, full: bool, paint: Paint) -> String {
    let mut text = format!("{}\n", paint.bold("Plan"));
    let names: Vec<&str> = plan.sync.iter().map(|table| table.table.as_str()).collect();
    let _ =
        writeln!(text, "  sync  {:>12}   {}", plural(names.len() as u64, "table"), clean(&some_names(&names, full)));
    for (reason, tables) in by_reason(&plan.skip) {
        let names: Vec<&str> = tables.iter().map(|table| table.table.as_str()).collect();
        let _ = writeln!(
            text,
            "  skip  {:>12}   {}  ({})",
            plural(names.len() as u64, "table"),
            clean(&some_names(&names, full)),
            clean(reason)
        );
        // What was left out for a good reason needs no remedy on the first screen.
        let is_told = |table: &&&SkippedTable| !table.remedy.is_empty() && (full || !table.code.is_empty());
        for table in tables.iter().filter(is_told) {
            let _ = writeln!(text, "                       {}: {}", clean(&table.table), clean(&table.remedy));
        }
    }
    if let Some(step) = plan.deal.iter().map(|column| column.step).max() {
        let names: Vec<String> = plan.deal.iter().map(|column| format!("{}.{}", column.table, column.column)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let _ = writeln!(
            text,
            "  deal  {:>12}   {}\n                       numbers in steps of {step} as soon as there are two nodes, which then rarely draw the \
             same; undone by rowmesh uninstall",
            plural(names.len() as u64, "column"),
            clean(&some_names(&names, full)),
        );
    }
    let _ = match plan.attached {
        true => {
            writeln!(text, "  add to the database: nothing, capture is in place     Undo any time: rowmesh uninstall")
        }
        false => writeln!(
            text,
            "  add to the database: {}, {} of its own     Undo any time: rowmesh uninstall",
            plural(plan.triggers_added, "trigger"),
            plural(plan.tables_added, "table"),
        ),
    };
    if full && !plan.sync.is_empty() {
        text += &format!("\n{}\n", tables(&plan.sync, paint));
    }
    let shown = if full { plan.notes.len() } else { plan.notes.len().min(NOTES_SHOWN) };
    for note in &plan.notes[..shown] {
        let _ = writeln!(text, "{} {}", paint.warn("!"), clean(note));
    }
    if shown < plan.notes.len() {
        let _ = writeln!(
            text,
            "{} {} (see all: --plan)",
            paint.warn("!"),
            plural((plan.notes.len() - shown) as u64, "more note")
        );
    }
    text
}

/// What taking out would take out.
pub fn installed(installed: &Installed) -> String {
    let (triggers, tables) = (installed.triggers.len() as u64, installed.tables.len() as u64);
    if triggers + tables == 0 {
        return "Nothing of Rowmesh is in this database.\n".to_owned();
    }
    let counting = match installed.sequences.len() as u64 {
        0 => String::new(),
        sequences => format!(" {} will count one by one again.", plural(sequences, "sequence")),
    };
    format!(
        "Remove from the database: {}, {}. Rows of the application stay as they are.{counting}\n",
        plural(triggers, "trigger"),
        plural(tables, "table")
    )
}

fn tables(sync: &[PlannedTable], paint: Paint) -> String {
    let mut grid = Grid::new(&["TABLE", "KEY"], paint);
    for table in sync {
        grid.row(&[plain(&table.table), plain(table.key.join(", "))]);
    }
    grid.show()
}

fn by_reason(skip: &[SkippedTable]) -> Vec<(&str, Vec<&SkippedTable>)> {
    let mut groups: Vec<(&str, Vec<&SkippedTable>)> = Vec::new();
    for table in skip {
        match groups.iter_mut().find(|(reason, _)| *reason == table.reason) {
            Some((_, tables)) => tables.push(table),
            None => groups.push((&table.reason, vec![table])),
        }
    }
    groups
}

fn some_names(names: &[&str], full: bool) -> String {
    match names {
        [] => "(none)".to_owned(),
        names if full || names.len() <= NAMES_SHOWN => names.join(", "),
        names => format!("{} … (see all: --plan)", names[..NAMES_SHOWN].join(", ")),
    }
}

const NAMES_SHOWN: usize = 4;
const NOTES_SHOWN: usize = 5;

#[cfg(test)]
mod tests {
    use rowmesh::setup::DealtColumn;

    use super::*;

    fn shop() -> Plan {
        let table = |name: &str| PlannedTable { table: name.into(), key: vec!["id".into()] };
        let skipped = |name: &str, reason: &str, remedy: &str| SkippedTable {
            table: name.into(),
            reason: reason.into(),
            remedy: remedy.into(),
            ..SkippedTable::default()
        };
        Plan {
            database: "shop.db".into(),
            sync: ["customers", "orders", "order_items", "products", "suppliers"].map(table).into(),
            skip: vec![
                skipped("_prisma_migrations", "migration history", ""),
                SkippedTable { code: "RM2103".into(), ..skipped("notes", "it has no key", "ALTER TABLE …") },
                skipped("sessions", "sessions", "put into rowmesh.toml …"),
                skipped("more_sessions", "sessions", ""),
            ],
            deal: vec![DealtColumn { table: "orders".into(), column: "number".into(), step: 16 }],
            triggers_added: 15,
            tables_added: 17,
            notes: vec!["orders.customer_id has no index".into()],
            ..Plan::default()
        }
    }

    #[test]
    fn the_plan_says_what_syncs_what_does_not_and_what_is_added() {
        insta::assert_snapshot!(plan(&shop(), false, Paint::default()));
    }

    #[test]
    fn the_full_plan_names_every_table() {
        insta::assert_snapshot!(plan(&shop(), true, Paint::default()));
    }

    #[test]
    fn what_is_in_place_already_is_not_added_again() {
        let text = plan(&Plan { attached: true, ..shop() }, false, Paint::default());
        assert!(text.contains("nothing, capture is in place") && !text.contains("15 triggers"), "{text}");
    }

    #[test]
    fn what_is_taken_out_is_told_and_what_counts_as_before() {
        let mut found =
            Installed { triggers: vec!["a".into(), "b".into()], tables: vec!["c".into()], sequences: vec![] };
        let text = "Remove from the database: 2 triggers, 1 table. Rows of the application stay as they are.";
        assert_eq!(installed(&found), format!("{text}\n"));
        found.sequences.push("public.orders_id_seq".into());
        assert_eq!(installed(&found), format!("{text} 1 sequence will count one by one again.\n"));
    }

    #[test]
    fn an_empty_database_has_an_empty_plan() {
        insta::assert_snapshot!(plan(&Plan::default(), false, Paint::default()));
    }
}
