//! `rowmesh conflicts`: writes that lost, beside the ones that won.

use std::collections::BTreeSet;
use std::fmt::Write;

use rowmesh::control::api::{Conflict, ConflictSide, Policy, Wrote};

use super::grid::{Grid, Tone, plain};
use super::time::Moment;
use super::{clean, value};
use crate::paint::Paint;
use crate::units::plural;

/// A list of them.
pub fn list(conflicts: &[Conflict], moment: &Moment, paint: Paint) -> String {
    if conflicts.is_empty() {
        return "No open conflicts.\n".to_owned();
    }
    let open = conflicts.iter().filter(|conflict| conflict.state == "open").count() as u64;
    let grid = grid(conflicts, moment, paint);
    let show = short(&conflicts[0].id);
    format!("{} open.\n\n{grid}\nBoth sides of one:  rowmesh conflicts show {show}\n", plural(open, "conflict"))
}

/// The policies that are not the default.
pub fn policies(policies: &[Policy], paint: Paint) -> String {
    const DEFAULTS: &str = "the later write of a column stands, and a row that was deleted and written at once lives";
    if policies.is_empty() {
        return format!(
            "Everywhere {DEFAULTS}.\nChange it for a table or a column:  rowmesh conflicts policy TABLE POLICY --column COLUMN\n"
        );
    }
    let mut grid = Grid::new(&["TABLE", "COLUMN", "POLICY"], paint);
    for policy in policies {
        grid.row(&[
            plain(&policy.table),
            plain(policy.column.as_deref().unwrap_or("(row)")),
            if policy.known { plain(&policy.rule) } else { (format!("{} (unknown here)", policy.rule), Tone::Warn) },
        ]);
    }
    format!("{}Elsewhere {DEFAULTS}.\n", grid.show())
}

/// What stands and what lost, each with who wrote it.
pub fn sides(conflict: &Conflict) -> [String; 2] {
    let [winning, losing] = written(conflict);
    [format!("{winning} ({})", conflict.winning.node), format!("{losing} ({})", conflict.losing.node)]
}

/// Enough of an id to find its entry by.
pub fn short(id: &str) -> String {
    id.chars().take(ID_CHARACTERS).collect()
}

/// A row for each.
pub fn grid(conflicts: &[Conflict], moment: &Moment, paint: Paint) -> String {
    let mut grid = Grid::new(&["ID", "WHEN", "ROW", "COLUMN", "SHOWN", "LOST", "TYPE", "STATE"], paint);
    for conflict in conflicts {
        let [shown, lost] = sides(conflict);
        grid.row(&[
            plain(short(&conflict.id)),
            plain(moment.when(conflict.detected_at)),
            plain(format!("{} {}", conflict.table, conflict.key)),
            plain(conflict.column.as_deref().unwrap_or("(row)")),
            plain(shown),
            plain(lost),
            plain(&conflict.conflict_type),
            if conflict.state == "open" { (state(conflict).to_owned(), Tone::Warn) } else { plain(&conflict.state) },
        ]);
    }
    grid.show()
}

/// One of them: common version, what stands, what lost.
pub fn one(conflict: &Conflict, moment: &Moment, paint: Paint) -> String {
    let row = format!("{} {}", clean(&conflict.table), clean(&conflict.key));
    let kind = format!("{}, settled by {}", clean(&conflict.conflict_type), clean(&conflict.strategy));
    let mut text = format!("{}   {kind}, {}\n", paint.bold(&row), clean(state(conflict)));
    let head = |role: &str, side: &ConflictSide| {
        let at = if side.at == 0 { String::new() } else { format!(" ({})", moment.exact(side.at)) };
        format!("{role}: {}{at}", side.node)
    };
    let (shown, lost) = (head("shown", &conflict.winning), head("lost", &conflict.losing));
    let mut grid = Grid::new(&["", "before", &clean(&shown), &clean(&lost)], paint);
    let [winning, losing] = written(conflict);
    let what = format!("  {}", conflict.column.as_deref().unwrap_or("(row)"));
    grid.row(&[plain(what), plain(value(conflict.common.as_ref())), plain(winning), plain(losing)]);
    for column in columns(conflict) {
        let of = |side: &ConflictSide| {
            plain(side.value.as_ref().and_then(|row| row.get(column)).map_or_else(String::new, |v| value(Some(v))))
        };
        grid.row(&[plain(format!("  {column}")), plain(""), of(&conflict.winning), of(&conflict.losing)]);
    }
    text += &grid.show();
    if let Some(columns) = conflict.row.as_ref().and_then(serde_json::Value::as_object) {
        text += "the row as it stands now:\n";
        for (column, now) in columns {
            let _ = writeln!(text, "  {:<24} {}", clean(column), value(Some(now)));
        }
    }
    let is_hidden = (is_collision(conflict) || is_orphan(conflict)) && conflict.row.is_none();
    if conflict.state == "open" && !is_hidden {
        let id = short(&conflict.id);
        let _ = writeln!(text, "Settle it on all nodes:\n  rowmesh conflicts resolve {id} --keep shown");
        if !is_collision(conflict) && !is_orphan(conflict) {
            let _ = writeln!(text, "  rowmesh conflicts resolve {id} --keep lost");
        }
        if let Some(column) = &conflict.column {
            let _ = writeln!(text, "  rowmesh conflicts resolve {id} --set {}=VALUE", clean(column));
        }
    }
    if is_collision(conflict) {
        let or = if is_hidden { "It is hidden: give" } else { "Or give" };
        let _ = writeln!(
            text,
            "{or} the row that keeps the value another one: then this row shows what was written to it."
        );
    }
    if is_orphan(conflict) {
        text += match (&conflict.column, is_hidden) {
            (None, _) => "It was deleted, and stands because other rows refer to it: once none does, it goes.\n",
            (Some(_), true) => {
                "It is hidden while what it refers to is deleted: insert that row again, or undo its delete.\n"
            }
            (Some(_), false) => "What it refers to was deleted: once that row is back, the reference is shown again.\n",
        };
    }
    if conflict.conflict_type == "REKEY" {
        let number = value(conflict.losing.value.as_ref());
        let _ = writeln!(
            text,
            "Two rows were given the number {number} while their nodes were apart. The earlier keeps it; this one is shown as {} on all nodes, with what refers to it.",
            clean(&conflict.key)
        );
    }
    if let Some(column) = conflict.column.as_deref().filter(|_| both_changed_a_number(conflict)) {
        let (table, column) = (clean(&conflict.table), clean(column));
        let _ = writeln!(
            text,
            "Both sides changed a number. If it counts something, such as stock or a balance, let it add up both changes:"
        );
        let _ = writeln!(text, "  rowmesh conflicts policy {table} counter --column {column}");
    }
    text
}

/// Where it stands; of one that no rule may decide, that it waits.
fn state(conflict: &Conflict) -> &str {
    let waits = conflict.state == "open" && conflict.strategy == "MANUAL_RESOLUTION";
    if waits { "waits for a person" } else { &conflict.state }
}

/// Whether a counter would have kept both: then the one that lost is missing from what is shown.
fn both_changed_a_number(conflict: &Conflict) -> bool {
    let sides = [conflict.common.as_ref(), conflict.winning.value.as_ref(), conflict.losing.value.as_ref()];
    conflict.conflict_type == "UPDATE_UPDATE" && sides.iter().all(|side| side.is_some_and(serde_json::Value::is_number))
}

/// What was written to settle one.
pub fn wrote(writes: &[Wrote]) -> String {
    let one = |write: &Wrote| match &write.column {
        None => "the row is deleted".to_owned(),
        Some(column) if write.stays => format!("{} stays {}", clean(column), value(write.value.as_ref())),
        Some(column) => format!("{} = {}", clean(column), value(write.value.as_ref())),
    };
    writes.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Whether two rows took one unique value.
pub fn is_collision(conflict: &Conflict) -> bool {
    conflict.conflict_type == "UNIQUE"
}

/// Whether a row was deleted that another refers to.
pub fn is_orphan(conflict: &Conflict) -> bool {
    conflict.conflict_type == "FOREIGN_KEY"
}

/// Which row keeps a unique value.
pub fn keeper(conflict: &Conflict) -> String {
    let row = conflict.winning.value.as_ref().and_then(serde_json::Value::as_object);
    let is_key = |(column, _): &(&String, _)| Some(column.as_str()) != conflict.column.as_deref();
    let key = row.into_iter().flatten().filter(is_key);
    let key: Vec<String> = key.map(|(column, part)| format!("{} {}", clean(column), value(Some(part)))).collect();
    format!("kept by {}", key.join(", "))
}

/// What the side that stands wrote, and what the other; of a row as a whole only whether it is there.
fn written(conflict: &Conflict) -> [String; 2] {
    if is_collision(conflict) {
        return [keeper(conflict), value(conflict.losing.value.as_ref())];
    }
    if is_orphan(conflict) && conflict.column.is_some() {
        return ["its row deleted".to_owned(), value(conflict.losing.value.as_ref())];
    }
    [&conflict.winning, &conflict.losing].map(|side| match (&conflict.column, &side.value) {
        (Some(_), written) => value(written.as_ref()),
        (None, Some(_)) => "edited".to_owned(),
        (None, None) => "deleted".to_owned(),
    })
}

/// The columns that either side wrote, where the row as a whole is contested.
fn columns(conflict: &Conflict) -> BTreeSet<&str> {
    let sides = [&conflict.winning, &conflict.losing].into_iter().filter(|_| conflict.column.is_none());
    let rows = sides.filter_map(|side| side.value.as_ref()?.as_object());
    rows.flat_map(|row| row.keys().map(String::as_str)).collect()
}

const ID_CHARACTERS: usize = 8;

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use serde_json::json;

    use super::*;

    fn conflict() -> Conflict {
        let side = |node: &str, at, value: Option<&str>| ConflictSide {
            node: node.into(),
            at,
            value: value.map(|v| json!(v)),
        };
        Conflict {
            id: "7QK3MZ2P9ABCDEF".into(),
            table: "customers".into(),
            key: "8841".into(),
            column: Some("phone".into()),
            conflict_type: "UPDATE_UPDATE".into(),
            strategy: "LAST_WRITER_WINS".into(),
            state: "open".into(),
            detected_at: 1_769_869_980_000,
            losing: side("till-1", 1_769_869_860_000, Some("555-0177")),
            winning: side("office", 1_769_869_980_000, Some("555-0199")),
            common: Some(json!("555-0100")),
            row: Some(json!({"id": 8841, "phone": "555-0199", "name": "Jane Moyo"})),
        }
    }

    #[test]
    fn where_both_changed_a_number_a_counter_is_suggested() {
        let stock = |value: i64| ConflictSide { value: Some(json!(value)), ..conflict().winning };
        let (winning, losing) = (stock(8), stock(7));
        let both = Conflict { column: Some("stock".into()), common: Some(json!(10)), winning, losing, ..conflict() };
        let told = |conflict: &Conflict| one(conflict, &moment(), Paint::default());
        assert!(told(&both).contains("rowmesh conflicts policy customers counter --column stock"), "{}", told(&both));
        assert!(!told(&Conflict { common: None, ..both }).contains("counter"));
        assert!(!told(&conflict()).contains("counter"));
    }

    #[test]
    fn what_no_rule_may_decide_waits_for_a_person_until_one_has() {
        let asked = Conflict { strategy: "MANUAL_RESOLUTION".into(), ..conflict() };
        let told = |conflict: &Conflict| list(std::slice::from_ref(conflict), &moment(), Paint::default());
        assert!(told(&asked).contains("waits for a person"), "{}", told(&asked));
        assert!(one(&asked, &moment(), Paint::default()).contains("MANUAL_RESOLUTION, waits for a person"));
        let settled = Conflict { state: "superseded".into(), ..asked };
        assert!(!told(&settled).contains("waits"), "{}", told(&settled));
    }

    fn moment() -> Moment {
        Moment::at(1_769_875_200_000, TimeZone::UTC)
    }

    /// Deleted at one node, edited at another: the row as a whole is contested.
    fn about_the_row() -> Conflict {
        let written = json!({"phone": "555-0199", "name": "Jane Moyo"});
        Conflict {
            column: None,
            conflict_type: "DELETE_UPDATE".into(),
            state: "superseded".into(),
            losing: ConflictSide { node: "depot".into(), at: 1, value: None },
            winning: ConflictSide { node: "office".into(), at: 2, value: Some(written) },
            common: None,
            ..conflict()
        }
    }

    #[test]
    fn of_a_row_that_others_need_and_of_one_that_waits_it_is_told_what_brings_it_back() {
        let of = |column: Option<&str>, row| Conflict {
            conflict_type: "FOREIGN_KEY".into(),
            column: column.map(Into::into),
            row,
            ..conflict()
        };
        let tell = |conflict: &Conflict| one(conflict, &moment(), Paint::default());
        let restored = tell(&of(None, Some(json!({"id": "c"}))));
        assert!(restored.contains("other rows refer to it") && restored.contains("--keep shown"), "{restored}");
        assert!(!restored.contains("--keep lost"), "the database would refuse that: {restored}");
        let hidden = tell(&of(Some("customer"), None));
        assert!(hidden.contains("insert that row again") && !hidden.contains("resolve"), "{hidden}");
        let null = tell(&of(Some("customer"), Some(json!({"id": "o"}))));
        assert!(null.contains("once that row is back") && null.contains("--set customer=VALUE"), "{null}");
    }

    #[test]
    fn of_a_unique_value_the_row_that_keeps_it_is_told_and_what_can_be_done() {
        let keeps = json!({"id": "c1", "email": "ann@shop"});
        let collision = Conflict {
            column: Some("email".into()),
            conflict_type: "UNIQUE".into(),
            strategy: "KEEP_BOTH".into(),
            winning: ConflictSide { value: Some(keeps), ..conflict().winning },
            losing: ConflictSide { value: Some(json!("ann@shop")), ..conflict().losing },
            common: None,
            row: Some(json!({"id": 8841, "email": "ann@shop~k3f9"})),
            ..conflict()
        };
        insta::assert_snapshot!(one(&collision, &moment(), Paint::default()));
        let hidden = one(&Conflict { row: None, ..collision.clone() }, &moment(), Paint::default());
        assert!(!hidden.contains("resolve") && hidden.contains("It is hidden: give the row"), "{hidden}");
        assert!(list(&[collision], &moment(), Paint::default()).contains("kept by id c1 (office)"));
    }

    #[test]
    fn the_list_names_both_sides() {
        insta::assert_snapshot!(list(&[conflict(), about_the_row()], &moment(), Paint::default()));
        assert_eq!(list(&[], &moment(), Paint::default()), "No open conflicts.\n");
    }

    #[test]
    fn policies_are_listed_with_what_holds_elsewhere() {
        let policy = |column: Option<&str>, rule: &str, known| Policy {
            table: "products".into(),
            column: column.map(Into::into),
            rule: rule.into(),
            known,
        };
        let listed = [policy(None, "delete_wins", true), policy(Some("stock"), "of_tomorrow", false)];
        insta::assert_snapshot!(policies(&listed, Paint::default()));
    }

    #[test]
    fn one_conflict_shows_before_and_both_sides() {
        insta::assert_snapshot!(one(&conflict(), &moment(), Paint::default()));
    }

    #[test]
    fn where_a_row_as_a_whole_is_contested_all_that_was_written_is_shown() {
        insta::assert_snapshot!(one(&about_the_row(), &moment(), Paint::default()));
    }
}
