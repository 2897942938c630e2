//! What a change of the application's schema was to each table. Looks at nothing itself: what is found at a table comes from its database, and
//! what is to be done about it is done there and by `reconcile`.

use rowmesh_core::value::TableName;

use crate::registry::TableNumber;

/// One table that is not as it was left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableChange {
    /// The table.
    pub table: TableName,
    /// Its number.
    pub number: TableNumber,
    /// What happened to it.
    pub kind: ChangeKind,
}

/// What happened to a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new here, or it was left out so far.
    Appeared,
    /// It is what another table is called now, as the triggers tell that moved along. Events name tables, so what this means for other
    /// nodes is not for this one to guess.
    Renamed {
        /// What it was called.
        from: TableName,
    },
    /// It was altered in place, with its triggers: a change of schema makes no events.
    Altered,
    /// The same, and it may have a column now of which values came before.
    Widened,
    /// It was made anew, as migration tools do; what was written on the way was not noted.
    Rebuilt,
    /// It is as it was, but triggers of ours were missing or changed.
    TriggersVanished,
    /// It was as it should be, but the notes about it were lost with a table of ours.
    NotesLost,
    /// Its triggers were those of an older Rowmesh and are replaced; nothing was missed.
    Upgraded,
    /// It is as it was, but its rows were to be compared already when the daemon ended.
    Unsure,
    /// It is not tracked any more.
    Left {
        /// Why.
        reason: String,
    },
    /// It is not there any more.
    Dropped,
}

impl TableChange {
    /// Whether rows may differ from what is remembered of them without any note.
    pub fn needs_reconcile(&self) -> bool {
        self.kind.needs_reconcile()
    }

    /// For the log, in one sentence.
    pub fn sentence(&self) -> String {
        let table = &self.table;
        match &self.kind {
            ChangeKind::Appeared => format!("table {table} is new here and is synced from now on"),
            ChangeKind::Renamed { from } => format!("table {from} is called {table} now"),
            ChangeKind::Altered | ChangeKind::Widened => format!("table {table} was altered"),
            ChangeKind::Rebuilt => format!(
                "table {table} was rebuilt, likely by a migration; its rows are compared with what is known of them"
            ),
            ChangeKind::TriggersVanished => {
                format!(
                    "triggers vanished from table {table} (RM2107) and were made anew; its rows are compared with what is known of them"
                )
            }
            ChangeKind::NotesLost => {
                format!(
                    "tables of Rowmesh were dropped (RM2108) and were made anew; rows of {table} are compared with what is known of them"
                )
            }
            ChangeKind::Upgraded => format!("triggers of table {table} were replaced by those of this version"),
            ChangeKind::Unsure => format!("rows of table {table} are still to be compared with what is known of them"),
            ChangeKind::Left { reason } => format!("table {table} is not synced any more: {reason}"),
            ChangeKind::Dropped => format!("table {table} was dropped"),
        }
    }
}

impl ChangeKind {
    /// Whether rows may differ from what is remembered of them without any note.
    pub fn needs_reconcile(&self) -> bool {
        match self {
            ChangeKind::Appeared
            | ChangeKind::Renamed { .. }
            | ChangeKind::Rebuilt
            | ChangeKind::TriggersVanished
            | ChangeKind::NotesLost
            | ChangeKind::Unsure => true,
            ChangeKind::Altered
            | ChangeKind::Widened
            | ChangeKind::Upgraded
            | ChangeKind::Left { .. }
            | ChangeKind::Dropped => false,
        }
    }

    /// Whether row states may hold values of columns that were not here when they were shown.
    pub fn may_show_more(&self) -> bool {
        *self == ChangeKind::Widened || self.needs_reconcile()
    }
}

/// How capture stood before the tables are looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Capture {
    /// Not at all: what stands in the tables is what the node begins with.
    New,
    /// In place, by an earlier run of the daemon, which may have ended before it had done all that was to be done.
    Left,
    /// In place, by this run.
    There,
    /// The same, but notes were lost with a table of ours.
    NotesLost,
}

impl Capture {
    /// In place by this run, with all its notes or without.
    pub fn restored(notes_lost: bool) -> Capture {
        if notes_lost { Capture::NotesLost } else { Capture::There }
    }
}

/// What is remembered of a table that is or was tracked.
#[derive(Clone, Copy, Debug)]
pub struct Before {
    /// Whether it was gone in between: dropped, or left out.
    pub gone: bool,
    /// Whether an earlier run of the daemon was to compare its rows with what is remembered of them, and did not come to it.
    pub unsure: bool,
    /// Whether it is still the same table: one that was made anew is another, whatever it is called.
    pub same_root: bool,
    /// Whether its definition, keys and indexes are still the same.
    pub same_looks: bool,
    /// Whether it lacked columns that have been heard of.
    pub lacked_columns: bool,
}

/// What is found at a table.
#[derive(Clone, Debug)]
pub struct Now {
    /// How many triggers with its number stand on it.
    pub own_triggers: usize,
    /// How many there should be.
    pub triggers_expected: usize,
    /// Whether they are all there, word for word, and no others of ours.
    pub in_order: bool,
    /// Whether one of ours has the text of another version.
    pub older_version: bool,
    /// The table, gone now, whose triggers stand on it.
    pub came_from: Option<TableName>,
    /// Whether notes were lost.
    pub notes_lost: bool,
}

/// What a change of schema was to a table; `None` if nothing happened to it.
pub fn what_happened(before: Option<Before>, now: &Now) -> Option<ChangeKind> {
    let kind = found_at(before, now);
    let tells_already = kind.as_ref().is_some_and(ChangeKind::needs_reconcile);
    let is_unsure = before.is_some_and(|before| before.unsure && !before.gone);
    if is_unsure && !tells_already { Some(ChangeKind::Unsure) } else { kind }
}

fn found_at(before: Option<Before>, now: &Now) -> Option<ChangeKind> {
    let Some(before) = before else {
        return Some(match &now.came_from {
            Some(from) => ChangeKind::Renamed { from: from.clone() },
            None => ChangeKind::Appeared,
        });
    };
    // A name means the same table for ever: one that comes back is compared with what is known of it.
    if before.gone || !before.same_root || (now.own_triggers == 0 && !before.same_looks) {
        Some(ChangeKind::Rebuilt)
    } else if now.notes_lost {
        Some(ChangeKind::NotesLost)
    } else if now.own_triggers < now.triggers_expected {
        Some(ChangeKind::TriggersVanished)
    } else if !before.same_looks {
        Some(if before.lacked_columns { ChangeKind::Widened } else { ChangeKind::Altered })
    } else if now.in_order {
        None
    } else if now.older_version {
        Some(ChangeKind::Upgraded)
    } else {
        Some(ChangeKind::TriggersVanished)
    }
}
