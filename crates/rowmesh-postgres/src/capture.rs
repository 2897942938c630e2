//! The text of the functions and triggers that note which rows changed, and of the query that reads the notes. They note table, operation,
//! time and key, nothing else. Nothing in them can fail or wait: every name is qualified, no setting is asked, and a key column that was
//! renamed or dropped meanwhile is noted as NULL. Which tables get them is decided in `attach`; what a note means for the row is found out by
//! the sealer.
//!
//! Triggers of a statement see all its rows at once and cost a bulk statement little. A table that others inherit from, partitions included,
//! can be written through its children, which only triggers of rows see.

use rowmesh_engine::database::NotedOperation;
use rowmesh_engine::registry::TableNumber;

use crate::catalog::Tracked;
use crate::sql::{literal, qualified, quote};

/// Version of the text. Triggers of another version are replaced by attach, in one transaction with all the others (I13).
pub const VERSION: u32 = 2;

/// What every function's and trigger's name begins with.
pub const PREFIX: &str = "capture_";

/// What every trigger's name begins with: triggers share their table with the application's.
pub const TRIGGER_PREFIX: &str = "rowmesh_capture_";

/// One trigger of ours, with its function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// Its name.
    pub name: String,
    /// Schema and name of the table that it stands on.
    pub on: (String, String),
    /// The statement that makes it.
    pub sql: String,
    /// Its function, without the schema.
    pub function: String,
    /// The function's body, exactly as `pg_proc.prosrc` keeps it.
    pub body: String,
    /// The statement that makes the function.
    pub function_sql: String,
}

/// What a note says when the table, or a part of it, was emptied: such a note has no key. It stands beside the numbers of
/// [`NotedOperation`], and never changes its meaning.
pub const TRUNCATED: i16 = 5;

/// The triggers of one table. An update that moves a row to another key notes both.
pub fn triggers(number: TableNumber, table: &Tracked) -> Vec<Trigger> {
    let writing = Writing { number, table };
    let mut triggers = vec![writing.insert(), writing.update(), writing.delete()];
    // Emptying a partition fires no trigger of the whole.
    let places = std::iter::once(&table.place).chain(table.parts.iter().map(|part| &part.place));
    triggers.extend(places.map(|place| writing.truncate(place)));
    triggers
}

/// The number of the table that a trigger of that name notes for; `None` if the name is none of ours.
pub fn number_in(trigger_name: &str) -> Option<TableNumber> {
    let rest = trigger_name.strip_prefix(TRIGGER_PREFIX)?;
    rest.split_once('_')?.0.parse().ok().map(TableNumber)
}

/// The version that a function's body says it has; `None` if it says none.
pub fn version_in(body: &str) -> Option<u32> {
    let rest = body.split_once("/* rowmesh capture ")?.1;
    rest.split_once(' ')?.0.parse().ok()
}

/// A query for the notes about one table that its snapshot sees: `note` (its handle, good until the transaction ends), `op`, `at` and the
/// key's columns as text, `k1` and so on, NULL throughout where the key could not be noted or the table was emptied.
pub fn notes(number: TableNumber, key_columns: usize) -> String {
    let columns = list(1..=key_columns, |column| format!("k{column}"));
    let of = |array: &str| match key_columns {
        1 => format!("pg_catalog.unnest({array}) AS key (k1)"),
        width => {
            let pivoted = list(1..=width, |column| {
                format!("pg_catalog.max(part) FILTER (WHERE (place - 1) % {width} = {}) AS k{column}", column - 1)
            });
            format!(
                "LATERAL (SELECT {pivoted} FROM pg_catalog.unnest({array}) WITH ORDINALITY AS parts (part, place) \
                 GROUP BY (place - 1) / {width}) AS key"
            )
        }
    };
    let nothing = list(1..=key_columns, |_| "NULL::text".to_owned());
    let (number, rekey) = (number.0, NotedOperation::Rekey.number());
    format!(
        "SELECT dirty.ctid AS note, dirty.op, dirty.at, {columns} FROM rowmesh.dirty, {now} WHERE dirty.t = {number} \
         UNION ALL SELECT dirty.ctid, {rekey}::smallint, dirty.at, {columns} FROM rowmesh.dirty, {before} WHERE dirty.t = {number} \
         UNION ALL SELECT dirty.ctid, dirty.op, dirty.at, {nothing} FROM rowmesh.dirty WHERE dirty.t = {number} AND dirty.k IS NULL",
        now = of("dirty.k"),
        before = of("dirty.was"),
    )
}

/// Rows of one statement that are noted one by one; what is beyond them is noted in bundles.
const ROWS_NOTED_SINGLY: usize = 64;

/// Bundles that the rows of one statement are dealt to, whatever their number: a bundle of a thousand million rows still fits.
const BUNDLES: usize = 256;

/// A limit that is none. The planner takes an unknown one for a tenth of the rows. A session keeps the plan that it made for the first
/// statement: made for millions of rows it would be compiled (jit) for each statement of two rows afterwards, which takes a tenth of a second.
const AS_IF_FEW: &str = "LIMIT (SELECT 9223372036854775807)";

/// Writes the triggers of one table.
struct Writing<'a> {
    number: TableNumber,
    table: &'a Tracked,
}

impl Writing<'_> {
    fn insert(&self) -> Trigger {
        self.one_sided("insert", "INSERT", NotedOperation::Insert, "NEW")
    }

    fn delete(&self) -> Trigger {
        self.one_sided("delete", "DELETE", NotedOperation::Delete, "OLD")
    }

    fn one_sided(&self, suffix: &str, event: &str, operation: NotedOperation, side: &str) -> Trigger {
        let rows = self.rows(side);
        let (number, op, key, missing) = (self.number.0, operation.number(), self.key(), self.missing());
        let note = format!(
            "INSERT INTO rowmesh.dirty (t, op, at, k)\n  SELECT {number}, {op}, pg_catalog.clock_timestamp(), rowmesh_one.k\n  \
             FROM {missing}, LATERAL (SELECT ARRAY[{key}] AS k FROM {rows}) rowmesh_one"
        );
        let body = if self.table.by_row {
            format!("BEGIN\n  {note};\n  RETURN NULL;\nEND")
        } else {
            let bundles = self.bundles(side, ROWS_NOTED_SINGLY);
            format!(
                "DECLARE\n  rowmesh_noted bigint;\nBEGIN\n  {note} LIMIT {ROWS_NOTED_SINGLY};\n  \
                 GET DIAGNOSTICS rowmesh_noted = ROW_COUNT;\n  \
                 IF rowmesh_noted OPERATOR(pg_catalog.=) {ROWS_NOTED_SINGLY} THEN\n  \
                 INSERT INTO rowmesh.dirty (t, op, at, k)\n  SELECT {number}, {op}, pg_catalog.clock_timestamp(), rowmesh_all.k\n  \
                 FROM {bundles} rowmesh_all;\n  END IF;\n  RETURN NULL;\nEND"
            )
        };
        self.trigger(&self.table.place, suffix, event, &[side], &body)
    }

    fn update(&self) -> Trigger {
        let (number, op, key, missing) = (self.number.0, NotedOperation::Update.number(), self.key(), self.missing());
        // Most updates write one row. Of more, two pairs of rows tell so, and all are noted again in bundles; which key belongs to which is
        // not known here.
        let (limit, alone) = match self.table.by_row {
            true => ("", ""),
            false => (" LIMIT 2", " AND (SELECT true FROM rowmesh_new LIMIT 1 OFFSET 1) IS NULL"),
        };
        let (new, old) = (self.rows("NEW"), self.rows("OLD"));
        let note = format!(
            "INSERT INTO rowmesh.dirty (t, op, at, k, was)\n  SELECT {number}, {op}, pg_catalog.clock_timestamp(), rowmesh_one.k,\n    \
             CASE WHEN rowmesh_one.k OPERATOR(pg_catalog.<>) rowmesh_was.k{alone} THEN rowmesh_was.k END\n  FROM {missing},\n    \
             LATERAL (SELECT ARRAY[{key}] AS k FROM {new}) rowmesh_one,\n    LATERAL (SELECT ARRAY[{key}] AS k FROM {old}) rowmesh_was{limit}"
        );
        let body = if self.table.by_row {
            format!("BEGIN\n  {note};\n  RETURN NULL;\nEND")
        } else {
            let (new, old) = (self.bundles("NEW", 0), self.bundles("OLD", 0));
            format!(
                "DECLARE\n  rowmesh_noted bigint;\nBEGIN\n  {note};\n  \
                 GET DIAGNOSTICS rowmesh_noted = ROW_COUNT;\n  \
                 IF rowmesh_noted OPERATOR(pg_catalog.>) 1 THEN\n  \
                 INSERT INTO rowmesh.dirty (t, op, at, k, was)\n  SELECT {number}, {op}, pg_catalog.clock_timestamp(), rowmesh_all.k,\n    \
                 CASE WHEN rowmesh_all.k IS NULL OR rowmesh_all.k OPERATOR(pg_catalog.<>) rowmesh_before.k THEN rowmesh_before.k END\n  \
                 FROM {new} rowmesh_all\n  FULL JOIN {old} rowmesh_before ON rowmesh_all.b OPERATOR(pg_catalog.=) rowmesh_before.b;\n  \
                 END IF;\n  RETURN NULL;\nEND"
            )
        };
        self.trigger(&self.table.place, "update", "UPDATE", &["OLD", "NEW"], &body)
    }

    fn truncate(&self, place: &(String, String)) -> Trigger {
        let (number, op) = (self.number.0, TRUNCATED);
        let body = format!(
            "BEGIN\n  INSERT INTO rowmesh.dirty (t, op, at) VALUES ({number}, {op}, pg_catalog.clock_timestamp());\n  RETURN NULL;\nEND"
        );
        self.trigger(place, "truncate", "TRUNCATE", &[], &body)
    }

    fn trigger(&self, on: &(String, String), suffix: &str, event: &str, sides: &[&str], body: &str) -> Trigger {
        let name = format!("{TRIGGER_PREFIX}{}_{suffix}", self.number.0);
        let function = format!("{PREFIX}{}_{suffix}", self.number.0);
        // A column of the application may have any name, those of PL/pgSQL's own variables too.
        let body = format!("/* rowmesh capture {VERSION} */\n#variable_conflict use_column\n{body}");
        let settings = if self.table.key_text_depends_on_settings { SETTINGS } else { "" };
        let function_sql = format!(
            "CREATE OR REPLACE FUNCTION rowmesh.{function}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER{settings} AS {}",
            literal(&body)
        );
        let each = if self.table.by_row && !sides.is_empty() { "ROW" } else { "STATEMENT" };
        let seen = match (each, sides) {
            ("ROW", _) | (_, []) => String::new(),
            _ => {
                let named = sides.iter().map(|side| format!(" {side} TABLE AS {}", transition(side)));
                format!(" REFERENCING{}", named.collect::<String>())
            }
        };
        let sql = format!(
            "CREATE TRIGGER {name} AFTER {event} ON {}{seen} FOR EACH {each} EXECUTE FUNCTION rowmesh.{function}()",
            qualified(&on.0, &on.1)
        );
        Trigger { name, on: on.clone(), sql, function, body, function_sql }
    }

    /// The rows of one side: of the whole statement, or the one.
    fn rows(&self, side: &str) -> String {
        if self.table.by_row { format!("(SELECT {side}.*) rowmesh_row") } else { transition(side).to_owned() }
    }

    /// The columns of the key as texts.
    fn key(&self) -> String {
        self.key_parts().join(", ")
    }

    fn key_parts(&self) -> Vec<String> {
        let names = self.table.schema.key_names();
        names.map(|name| format!("{}::pg_catalog.text", quote(name))).collect()
    }

    /// What a name of the key means where the table has no such column any more: an inner query looks at its own columns first, and at
    /// these afterwards. Without it every write of the application would fail until we have followed.
    fn missing(&self) -> String {
        let names: Vec<String> = self.table.schema.key_names().map(|name| format!("NULL AS {}", quote(name))).collect();
        format!("(SELECT {}) rowmesh_missing", names.join(", "))
    }

    /// Keys of all rows of one side but the first ones, dealt to bundles `k` numbered `b`. By their hash, so that both sides of an update
    /// deal alike, and a bundle that is the same on both holds no row that moved.
    fn bundles(&self, side: &str, from: usize) -> String {
        let (key, missing) = (self.key(), self.missing());
        let rows = format!(
            "(SELECT * FROM (SELECT * FROM {} {AS_IF_FEW}) rowmesh_rows {AS_IF_FEW}) rowmesh_rows",
            transition(side)
        );
        let (keys, hash) = match self.table.schema.key.len() {
            1 => (format!("{key} AS k"), "pg_catalog.hashtext(rowmesh_key.k)"),
            _ => (format!("ARRAY[{key}] AS k"), "pg_catalog.hash_array(rowmesh_key.k)"),
        };
        format!(
            "(SELECT {hash} OPERATOR(pg_catalog.&) {mask} AS b, pg_catalog.array_agg(rowmesh_key.k) AS k\n    \
             FROM {missing}, LATERAL (SELECT {keys} FROM {rows} {AS_IF_FEW} OFFSET {from}) rowmesh_key GROUP BY 1)",
            mask = BUNDLES - 1
        )
    }
}

fn transition(side: &str) -> &'static str {
    if side == "NEW" { "rowmesh_new" } else { "rowmesh_old" }
}

/// For keys whose text depends on how a session shows values: the same as our own sessions have. It costs some microseconds a statement, so
/// other keys go without.
const SETTINGS: &str = " SET DateStyle = 'ISO, YMD' SET TimeZone = 'UTC' SET IntervalStyle = 'postgres' SET extra_float_digits = 3 \
                        SET bytea_output = 'hex' SET lc_monetary = 'C'";

fn list(range: std::ops::RangeInclusive<usize>, item: impl Fn(usize) -> String) -> String {
    range.map(item).collect::<Vec<_>>().join(", ")
}
