//! What PostgreSQL's refusals mean outside: a code, who can act, and what to do. One table, [`Meaning::of_state`], decides. What can be wrong
//! with a connection, a catalog or a plan is told in `error`.

use std::error::Error as _;

use rowmesh_core::store::StoreError;
use rowmesh_engine::fault;
use tokio_postgres::error::{DbError, SqlState};

use crate::error;

/// What a refusal means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Meaning {
    /// Others hold what we wanted, longer than we wait; or we gave way to them.
    Locked,
    /// The session or the way to it has ended, or a statement was cancelled from outside.
    Interrupted,
    /// Not enough connections or memory at the moment.
    Overloaded,
    /// The schema moved while we looked.
    SchemaMoved,
    /// No room on the disk.
    DiskFull,
    /// The disk under the server fails, or its files are damaged.
    DiskFails,
    /// The role lacks a right.
    RightMissing,
    /// The role or its password is refused.
    LoginRefused,
    /// No such database.
    DatabaseMissing,
    /// A standby, or a server that was made read-only.
    ReadOnly,
    /// Statements that we prepared are not where we left them: somebody exchanges sessions under us.
    Pooled,
    /// Nothing of all this: a mistake of ours.
    Unforeseen,
}

impl Meaning {
    /// What an error of the driver means.
    pub fn of(error: &tokio_postgres::Error) -> Meaning {
        if let Some(said) = error.as_db_error() {
            return Meaning::of_state(said.code(), said.message());
        }
        let is_io = error.source().is_some_and(|source| source.is::<std::io::Error>());
        if error.is_closed() || is_io { Meaning::Interrupted } else { Meaning::Unforeseen }
    }

    fn of_state(state: &SqlState, message: &str) -> Meaning {
        match state.code() {
            "40001" | "40P01" | "55P03" => Meaning::Locked,
            // Of all that comes under 0A000 only this one is possible: our statements use nothing that a server of ours lacks.
            "0A000" if message.contains("cached plan") => Meaning::SchemaMoved,
            // Tables, columns, types and operators are named as they were when we followed last.
            "3F000" | "42P01" | "42703" | "42704" | "42804" | "42883" => Meaning::SchemaMoved,
            "XX000" if message.contains("could not open relation") || message.contains("cache lookup failed") => {
                Meaning::SchemaMoved
            }
            "25006" => Meaning::ReadOnly,
            // Time-outs of a transaction end the session.
            "25P03" | "25P04" => Meaning::Interrupted,
            "26000" | "42P05" => Meaning::Pooled,
            "3D000" => Meaning::DatabaseMissing,
            "42501" => Meaning::RightMissing,
            "53100" => Meaning::DiskFull,
            "57014" | "57P01" | "57P02" | "57P03" | "57P05" => Meaning::Interrupted,
            "58030" | "XX001" | "XX002" => Meaning::DiskFails,
            state if state.starts_with("08") => Meaning::Interrupted,
            state if state.starts_with("28") => Meaning::LoginRefused,
            state if state.starts_with("53") => Meaning::Overloaded,
            _ => Meaning::Unforeseen,
        }
    }

    /// Stable code, `RM` and four digits.
    pub fn code(self) -> &'static str {
        match self {
            Meaning::Locked => "RM5101",
            Meaning::Interrupted => "RM5106",
            Meaning::Overloaded => "RM5107",
            Meaning::SchemaMoved => "RM2115",
            Meaning::DiskFull => "RM8102",
            Meaning::DiskFails => "RM8103",
            Meaning::RightMissing => "RM3203",
            Meaning::LoginRefused => "RM3202",
            Meaning::DatabaseMissing => "RM1208",
            Meaning::ReadOnly => "RM3204",
            Meaning::Pooled => "RM1209",
            Meaning::Unforeseen => "RM9106",
        }
    }
}

/// Says what a refusal means outside.
pub trait Told<T> {
    /// The same result, with what PostgreSQL said told as the outside sees it.
    fn told(self) -> fault::Result<T>;
}

impl<T> Told<T> for error::Result<T> {
    fn told(self) -> fault::Result<T> {
        self.map_err(|error| match &error {
            error::Error::Postgres(source) if Meaning::of(source) == Meaning::SchemaMoved => {
                tracing::warn!(error = %source, "the schema has moved under a statement");
                fault::Error::SchemaMoved
            }
            _ => StoreError::from(error).into(),
        })
    }
}

/// What refused a row of ours: nothing of the statement has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Constraint {
    /// Another row holds a unique value, or excludes this one.
    Unique(String),
    /// A check, a type, a length.
    Other(String),
}

impl Constraint {
    /// Tells a refusal of a row from all else that can go wrong.
    pub fn of(error: &error::Error) -> Option<Constraint> {
        let source = match error {
            error::Error::Postgres(source) => source,
            error::Error::NotUnique { .. } => return Some(Constraint::Unique(error.to_string())),
            _ => return None,
        };
        let said = source.as_db_error()?;
        // Whatever is wrong with a trigger of the application is the row's affair, and must not stop the others.
        let passes_by_itself =
            ["08", "25", "40", "53", "55", "57", "58", "XX"].iter().any(|class| said.code().code().starts_with(class));
        if !passes_by_itself && said.where_().is_some_and(is_in_a_trigger_of_the_application) {
            let place = said.where_().and_then(|place| place.lines().next()).unwrap_or_default();
            return Some(Constraint::Other(format!("a trigger refuses it: {} ({place})", said.message())));
        }
        let reason = match said.constraint() {
            Some(constraint) => format!("{} (constraint {constraint})", said.message()),
            None => said.message().to_owned(),
        };
        match said.code().code() {
            // One that excludes may go out of the way just as one that is equal.
            "23505" | "23P01" => Some(Constraint::Unique(reason)),
            // A text that its type does not read is refused like a row that breaks a rule; so is what a trigger of the application raises.
            state if state.starts_with("23") || state.starts_with("22") || state == "P0001" || state == "54000" => {
                Some(Constraint::Other(reason))
            }
            _ => None,
        }
    }
}

/// Whether the server was in a function of PL/pgSQL when it refused, other than those that note keys.
fn is_in_a_trigger_of_the_application(place: &str) -> bool {
    place.contains("PL/pgSQL") && !place.contains("rowmesh.capture_")
}

/// What PostgreSQL's refusal means for the daemon.
pub fn of_postgres(source: tokio_postgres::Error) -> StoreError {
    let meaning = Meaning::of(&source);
    let code = meaning.code();
    let error = match meaning {
        Meaning::Locked => StoreError::transient(code, "the database is locked by another connection"),
        Meaning::Interrupted => {
            StoreError::transient(code, "the connection to the database was lost, or a statement cancelled")
        }
        Meaning::Overloaded => StoreError::transient(code, "the database server has no connection or no memory left"),
        Meaning::SchemaMoved => StoreError::transient(code, "the schema changed while it was looked at"),
        Meaning::DiskFull => StoreError::needs_person(
            code,
            "the disk that holds the database is full; nothing is lost, sending and receiving wait",
            "free some space; it goes on by itself",
        ),
        Meaning::DiskFails => StoreError::needs_person(
            code,
            "the disk under the database fails, or its files are damaged",
            "look at the server's log, and restore the database or join again with an empty one",
        ),
        Meaning::RightMissing => {
            let said = source.as_db_error().map_or("", DbError::message);
            StoreError::needs_person(code, format!("a right is missing in the database: {said}"), remedy_for(said))
        }
        Meaning::LoginRefused => StoreError::needs_person(
            code,
            "the database server refuses the login",
            "check user and password in the url, and pg_hba.conf of the server",
        ),
        Meaning::DatabaseMissing => StoreError::needs_person(
            code,
            "the server has no such database",
            "check the name, or let the application create its database first",
        ),
        Meaning::ReadOnly => StoreError {
            remedy: "give the url of the primary server".to_owned(),
            ..StoreError::transient(
                code,
                "the database can only be read: the server is a standby, or was made read-only",
            )
        },
        Meaning::Pooled => StoreError::needs_person(
            code,
            "a connection pooler in transaction mode stands before the database",
            "give the url that leads to the server itself, usually at port 5432 (in Prisma projects it is DIRECT_URL)",
        ),
        Meaning::Unforeseen => StoreError::broken(code, "postgresql refused a statement of rowmesh"),
    };
    error.because(source)
}

/// The statement that gives the missing right, as far as the server's words tell; they are English or they tell nothing.
fn remedy_for(said: &str) -> String {
    let thing = |before: &str| said.strip_prefix(before).map(|rest| rest.trim_matches('"'));
    let statement = if let Some(table) = thing("permission denied for table ") {
        format!("GRANT SELECT, INSERT, UPDATE, DELETE, TRIGGER ON {table} TO … ;")
    } else if let Some(sequence) = thing("permission denied for sequence ") {
        format!("GRANT USAGE, SELECT, UPDATE ON SEQUENCE {sequence} TO … ;")
    } else if let Some(schema) = thing("permission denied for schema ") {
        format!("GRANT USAGE ON SCHEMA {schema} TO … ;")
    } else if let Some(database) = thing("permission denied for database ") {
        format!("GRANT CREATE ON DATABASE {database} TO … ;")
    } else if let Some(parameter) = thing("permission denied to set parameter ") {
        format!("GRANT SET ON PARAMETER {parameter} TO … ;")
    } else {
        return "all rights that are needed: rowmesh init --print-grants".to_owned();
    };
    format!("as their owner: {statement} all that is needed: rowmesh init --print-grants")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_that_passes_by_itself_is_known() {
        let check = |state: &str, expected: Meaning| {
            assert_eq!(Meaning::of_state(&SqlState::from_code(state), ""), expected, "{state}");
        };
        for state in ["40001", "40P01", "55P03"] {
            check(state, Meaning::Locked);
        }
        for state in ["57014", "57P01", "57P02", "57P03", "57P05", "25P03", "25P04", "08006", "08003", "08P01"] {
            check(state, Meaning::Interrupted);
        }
        for state in ["53000", "53200", "53300"] {
            check(state, Meaning::Overloaded);
        }
    }

    #[test]
    fn what_is_not_there_any_more_means_that_the_schema_moved() {
        for state in ["3F000", "42P01", "42703", "42704", "42804", "42883"] {
            assert_eq!(Meaning::of_state(&SqlState::from_code(state), ""), Meaning::SchemaMoved, "{state}");
        }
        let gone = Meaning::of_state(&SqlState::from_code("XX000"), "could not open relation with OID 16389");
        assert_eq!(gone, Meaning::SchemaMoved);
        assert_eq!(Meaning::of_state(&SqlState::from_code("42601"), ""), Meaning::Unforeseen);
    }

    #[test]
    fn every_refusal_that_a_person_can_mend_is_known() {
        let check = |state: &str, expected: Meaning| {
            assert_eq!(Meaning::of_state(&SqlState::from_code(state), ""), expected, "{state}");
        };
        check("53100", Meaning::DiskFull);
        check("58030", Meaning::DiskFails);
        check("XX001", Meaning::DiskFails);
        check("42501", Meaning::RightMissing);
        check("28P01", Meaning::LoginRefused);
        check("28000", Meaning::LoginRefused);
        check("3D000", Meaning::DatabaseMissing);
        check("25006", Meaning::ReadOnly);
        check("26000", Meaning::Pooled);
        check("23505", Meaning::Unforeseen);
        check("0A000", Meaning::Unforeseen);
    }

    #[test]
    fn a_missing_right_is_told_with_the_statement_that_gives_it() {
        let check = |said: &str, statement: &str| assert!(remedy_for(said).contains(statement), "{}", remedy_for(said));
        check("permission denied for table orders", "GRANT SELECT, INSERT, UPDATE, DELETE, TRIGGER ON orders TO");
        check("permission denied for schema rowmesh", "GRANT USAGE ON SCHEMA rowmesh TO");
        check("permission denied for database shop", "GRANT CREATE ON DATABASE shop TO");
        check(
            "permission denied to set parameter \"session_replication_role\"",
            "ON PARAMETER session_replication_role TO",
        );
        check("keine Berechtigung für Tabelle orders", "rowmesh init --print-grants");
    }
}
