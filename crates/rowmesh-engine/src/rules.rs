//! Which tables are left out by wish: by the configuration of a database, by the mesh, or because a migration is filling them. Which tables
//! nobody wants to sync unless he says so is core's to tell; what cannot be tracked for other reasons is the catalog's.

use std::collections::BTreeSet;

use rowmesh_core::scope::{Decision, TablePatterns};
use rowmesh_core::value::TableName;

use crate::plan::AttachOptions;

/// What migration tools put before the name of a table while they rebuild it.
const HALF_MADE: [&str; 8] =
    ["new__", "__new_", "new_", "_alembic_tmp_", "ef_temp_", "__temp__", "temporary_", "_knex_temp_alter_"];

/// What people have said about which tables sync.
pub struct Rules<'a> {
    /// Here.
    pub options: &'a AttachOptions,
    /// For the mesh, if the database belongs to one: it counts first.
    pub mesh: Option<TablePatterns>,
    /// Tables that are tracked already.
    pub known: &'a BTreeSet<TableName>,
}

impl Rules<'_> {
    /// Why a table is left out by wish, with what to type to have it; `None` if it is not.
    pub fn left_out(&self, table: &str) -> Option<(String, String)> {
        let Some(mesh) = &self.mesh else { return self.left_out_here(table) };
        let add = || format!("rowmesh tables add {table}");
        match mesh.decide(table) {
            Decision::Sync if mesh.names(table) => None,
            Decision::Sync => {
                self.left_out_here(table).map(|(why, remedy)| (why, if remedy.is_empty() { remedy } else { add() }))
            }
            // Why it is left out here, if it is, is nearer to whoever reads it.
            Decision::Skip { pattern, reason } => Some(match self.left_out_here(table) {
                Some((why, _)) => (why, add()),
                None if usually_left_out(table) == Some(reason) => (reason.to_owned(), add()),
                None => (format!("left out of the mesh: {pattern}"), add()),
            }),
        }
    }

    fn left_out_here(&self, table: &str) -> Option<(String, String)> {
        let Rules { options, known, .. } = self;
        let fits = |list: &[String]| list.iter().find(|pattern| matches(pattern, table)).cloned();
        if let Some(pattern) = fits(&options.exclude) {
            return Some((format!("excluded: pattern {pattern}"), String::new()));
        }
        let include = || format!("put into rowmesh.toml: [tables] include = [\"*\", \"{table}\"]");
        if !options.only.is_empty() && fits(&options.only).is_none() {
            return Some(("not among the tables to sync".to_owned(), include()));
        }
        if fits(&options.include).is_some() {
            return None;
        }
        // Only a table that appears beside one that is tracked already can be a stand-in for it.
        let half_made = !known.contains(table) && is_half_made(table, |original| known.contains(original));
        let reason = match half_made {
            true => Some("looks as if a migration were filling it to take another table's place"),
            false => usually_left_out(table),
        };
        reason.map(|reason| (reason.to_owned(), include()))
    }
}

/// Why a table is left out by default, if it is.
pub fn usually_left_out(table: &str) -> Option<&'static str> {
    match TablePatterns::default().decide(table) {
        Decision::Skip { reason, .. } => Some(reason),
        Decision::Sync => None,
    }
}

/// Whether this is a table that a migration tool is filling to put in the place of another, which `exists`.
pub fn is_half_made(table: &str, exists: impl Fn(&str) -> bool) -> bool {
    HALF_MADE.iter().any(|prefix| table.strip_prefix(prefix).is_some_and(&exists))
}

/// Whether a name fits a pattern: `*` stands for any text, case does not matter, everything else stands for itself.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_lowercase(), name.to_lowercase());
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text_and_case_does_not_matter() {
        let check = |pattern, name, expected| assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        check("sessions", "Sessions", true);
        check("sessions", "sessions2", false);
        check("*session*", "django_session", true);
        check("a*b*c", "a1b2c", true);
        check("a*b*c", "acb", false);
        check("a*a", "a", false);
        check("*", "", true);
        check("", "a", false);
        check("ÄB*", "äbc", true);
    }

    #[test]
    fn i12_bookkeeping_of_migration_tools_is_left_out_by_default() {
        for name in [
            "_prisma_migrations",
            "django_migrations",
            "schema_migrations",
            "ar_internal_metadata",
            "knex_migrations_lock",
            "__EFMigrationsHistory",
            "flyway_schema_history",
            "SequelizeMeta",
            "sessions",
            "verification_tokens",
            "VerificationToken",
            "audit_logs",
            "AuditLog",
        ] {
            assert!(usually_left_out(name).is_some(), "{name}");
        }
        for name in ["training_sessions", "tokens", "orders", "audits", "migrations_of_birds", "accounts"] {
            assert_eq!(usually_left_out(name), None, "{name}");
        }
    }

    #[test]
    fn b6_a_table_under_construction_is_known_by_the_one_that_it_will_replace() {
        let exists = |name: &str| name == "orders";
        assert!(is_half_made("new_orders", exists));
        assert!(is_half_made("_alembic_tmp_orders", exists));
        assert!(!is_half_made("new_customers", exists), "a table of its own");
    }
}
