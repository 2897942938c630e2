//! The PostgreSQL schema is the SQLite schema: by its text always, and by a real server where one is installed.
//! Without a server the second test says so and passes; with BUSINESS_REQUIRE_POSTGRES=1 it fails instead.

mod support;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use business::{POSTGRES_SCHEMA, Seed, Workload};
use rusqlite::{Connection, types::Value};
use support::{empty, strings};

#[test]
fn the_postgres_schema_has_the_same_tables_and_columns() {
    let conn = empty();
    let sqlite: BTreeMap<String, Vec<String>> = business::tables()
        .iter()
        .map(|table| {
            let columns = format!("SELECT name FROM pragma_table_info('{}') ORDER BY cid", table.name);
            (table.name.to_owned(), strings(&conn, &columns))
        })
        .collect();
    assert_eq!(tables_in(POSTGRES_SCHEMA), sqlite);
}

#[test]
fn the_postgres_schema_has_the_same_enumerations() {
    let conn = empty();
    let checks = strings(&conn, "SELECT sql FROM sqlite_schema WHERE type = 'table'").join("\n");
    let mut in_sqlite: Vec<&str> = checks
        .match_indices(" IN (")
        .map(|(at, opening)| checks[at + opening.len()..].split(')').next().unwrap())
        .collect();
    let lines = POSTGRES_SCHEMA.lines().filter(|line| line.starts_with("CREATE TYPE"));
    let mut in_postgres: Vec<&str> = lines.map(|line| line.split(['(', ')']).nth(1).unwrap()).collect();
    for values in [&mut in_sqlite, &mut in_postgres] {
        values.sort_unstable();
        values.dedup();
    }
    assert_eq!(in_sqlite, in_postgres);
}

#[test]
fn a_server_loads_the_postgres_schema_and_shows_the_same_keys_and_references() {
    let Some(programs) = server_programs() else {
        assert_ne!(std::env::var("BUSINESS_REQUIRE_POSTGRES").as_deref(), Ok("1"), "no PostgreSQL server installed");
        eprintln!("not checked against a real server: no PostgreSQL under /usr/lib/postgresql");
        return;
    };
    let server = Server::start(&programs);
    server.run(POSTGRES_SCHEMA);
    let conn = empty();
    assert_eq!(server.rows(PG_COLUMNS), sorted(sqlite_columns(&conn)), "NOT NULL columns");
    assert_eq!(server.rows(PG_FOREIGN_KEYS), sorted(sqlite_foreign_keys(&conn)), "foreign keys");
    assert_eq!(server.rows(PG_INDEXES), sorted(sqlite_indexes(&conn)), "indexes, keys among them");
}

#[test]
fn a_server_takes_every_row_that_sqlite_holds() {
    let Some(programs) = server_programs() else {
        assert_ne!(std::env::var("BUSINESS_REQUIRE_POSTGRES").as_deref(), Ok("1"), "no PostgreSQL server installed");
        eprintln!("not checked against a real server: no PostgreSQL under /usr/lib/postgresql");
        return;
    };
    let conn = support::filled(&Seed::small(4));
    let mut workload = Workload::new(4, "A");
    for _ in 0..300 {
        workload.step(&conn).unwrap();
    }
    for table in business::tables() {
        business::sample_upsert(&conn, table.name, "sample", 1).unwrap();
    }
    let server = Server::start(&programs);
    server.run(POSTGRES_SCHEMA);
    let inserts: String = business::tables().iter().map(|table| inserts_of(&conn, table.name)).collect();
    // Foreign keys hold in SQLite, which has checked them; here they would ask for an order within each table.
    server.run(&format!("SET session_replication_role = replica;\n{inserts}"));
    for table in business::tables() {
        let rows = server.run(&format!("SELECT count(*) FROM \"{}\"", table.name));
        assert_eq!(rows.trim(), support::count(&conn, &format!("\"{}\"", table.name)).to_string(), "{}", table.name);
    }
}

/// One INSERT per row, all values as untyped literals, which take the type of their column.
fn inserts_of(conn: &Connection, table: &str) -> String {
    let mut statement = conn.prepare(&format!("SELECT * FROM \"{table}\"")).unwrap();
    let names: Vec<String> = statement.column_names().map(|name| format!("\"{name}\"")).collect();
    let into = format!("INSERT INTO \"{table}\" ({})", names.join(", "));
    let literals = |row: &rusqlite::Row<'_>| {
        let values = (0..names.len()).map(|at| row.get(at).map(|value: Value| literal(&value)));
        values.collect::<rusqlite::Result<Vec<String>>>()
    };
    let rows = statement.query_map([], literals).unwrap();
    rows.map(|row| format!("{into} VALUES ({});\n", row.unwrap().join(", "))).collect()
}

fn literal(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(number) => format!("'{number}'"),
        Value::Real(number) => format!("'{number}'"),
        Value::Text(text) => format!("'{}'", text.replace('\'', "''")),
        Value::Blob(bytes) => format!("'\\x{}'", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
    }
}

/// Column names per table, in their order, by a scan of the text: one column per line.
fn tables_in(schema: &str) -> BTreeMap<String, Vec<String>> {
    let mut tables = BTreeMap::new();
    let mut open: Option<(String, Vec<String>)> = None;
    for line in schema.lines() {
        match (line.strip_prefix("CREATE TABLE \""), line.strip_prefix("    \""), &mut open) {
            (Some(rest), ..) => open = rest.split('"').next().map(|name| (name.to_owned(), Vec::new())),
            (_, Some(rest), Some((_, columns))) => columns.extend(rest.split('"').next().map(str::to_owned)),
            _ if line == ");" => tables.extend(open.take()),
            _ => {}
        }
    }
    tables
}

const PG_COLUMNS: &str = "SELECT table_name || '.' || column_name || ' ' || is_nullable FROM information_schema.columns \
    WHERE table_schema = 'public'";

const PG_FOREIGN_KEYS: &str = "SELECT c.conname || ' -> ' || c.confrelid::regclass::text || ' ' || c.confdeltype::text || c.confupdtype::text \
    FROM pg_constraint AS c WHERE c.contype = 'f'";

/// The search index is the only one over an expression and has no counterpart.
const PG_INDEXES: &str = "SELECT t.relname || ' (' || string_agg(a.attname, ', ' ORDER BY k.place) || ') ' || i.indisunique::int::text || (i.indpred IS NOT NULL)::int::text \
    FROM pg_index AS i JOIN pg_class AS t ON t.oid = i.indrelid JOIN pg_namespace AS n ON n.oid = t.relnamespace \
    CROSS JOIN LATERAL unnest(i.indkey::int[]) WITH ORDINALITY AS k (attribute, place) \
    JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = k.attribute \
    WHERE n.nspname = 'public' AND i.indexprs IS NULL GROUP BY t.relname, i.indexrelid, i.indisunique, i.indpred";

fn sqlite_columns(conn: &Connection) -> Vec<String> {
    let each = |name: &str| {
        format!(
            "SELECT '{name}.' || name || CASE WHEN \"notnull\" THEN ' NO' ELSE ' YES' END FROM pragma_table_info('{name}')"
        )
    };
    business::tables().iter().flat_map(|table| strings(conn, &each(table.name))).collect()
}

fn sqlite_foreign_keys(conn: &Connection) -> Vec<String> {
    let each = |name: &str| {
        format!(
            "SELECT '{name}_' || group_concat(\"from\", '_') || '_fkey -> ' || \"table\" || ' ' || \
             CASE on_delete WHEN 'CASCADE' THEN 'c' WHEN 'RESTRICT' THEN 'r' ELSE 'n' END || \
             CASE on_update WHEN 'CASCADE' THEN 'c' ELSE '?' END \
             FROM (SELECT * FROM pragma_foreign_key_list('{name}') ORDER BY id, seq) GROUP BY id"
        )
    };
    business::tables().iter().flat_map(|table| strings(conn, &each(table.name))).collect()
}

fn sqlite_indexes(conn: &Connection) -> Vec<String> {
    let each = |name: &str| {
        format!(
            "SELECT '{name} (' || group_concat(name, ', ') || ') ' || is_unique || partial FROM \
             (SELECT l.name AS index_name, l.\"unique\" AS is_unique, l.partial, i.name FROM pragma_index_list('{name}') AS l, \
              pragma_index_info(l.name) AS i ORDER BY l.seq, i.seqno) GROUP BY index_name"
        )
    };
    let indexes = business::tables().iter().flat_map(|table| strings(conn, &each(table.name)));
    // An AUTOINCREMENT key is the table itself in SQLite and has no index.
    indexes.chain(["audit_logs (id) 10".to_owned()]).collect()
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort_unstable();
    lines
}

/// The newest installed version's folder of programs.
fn server_programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.filter_map(Result::ok);
    let folders = versions.map(|version| version.path().join("bin")).filter(|folder| folder.join("initdb").exists());
    folders.max_by_key(|folder| folder.parent()?.file_name()?.to_str()?.parse::<u32>().ok())
}

/// A throw-away server that listens on a socket in its own folder only.
struct Server {
    programs: PathBuf,
    folder: tempfile::TempDir,
}

impl Server {
    fn start(programs: &Path) -> Self {
        let server = Self { programs: programs.to_owned(), folder: tempfile::tempdir().unwrap() };
        if let Some((user, group)) = service_account() {
            std::os::unix::fs::chown(server.folder.path(), Some(user), Some(group)).unwrap();
        }
        server.check("initdb", &["-D", "data", "-U", "business", "-A", "trust", "-E", "UTF8", "--no-locale", "-N"]);
        let options = format!("-F -c listen_addresses= -k {}", server.folder.path().display());
        server.check("pg_ctl", &["-D", "data", "-w", "-l", "log", "-o", &options, "start"]);
        server
    }

    fn run(&self, sql: &str) -> String {
        let script = self.folder.path().join("script.sql");
        fs::write(&script, sql).unwrap();
        let script = script.display().to_string();
        let folder = self.folder.path().display().to_string();
        let connect = ["-h", &folder, "-U", "business", "-d", "postgres"];
        let output = self
            .check("psql", &[&connect[..], &["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", &script]].concat());
        String::from_utf8(output.stdout).unwrap()
    }

    fn rows(&self, sql: &str) -> Vec<String> {
        sorted(self.run(sql).lines().map(str::to_owned).collect())
    }

    fn check(&self, program: &str, arguments: &[&str]) -> Output {
        let output = self.command(program, arguments).output().unwrap();
        assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// A server refuses to run as root: then everything runs as the account that its package has made.
    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        use std::os::unix::process::CommandExt;
        let mut command = Command::new(self.programs.join(program));
        command.args(arguments).current_dir(self.folder.path()).env_remove("PGOPTIONS");
        if let Some((user, group)) = service_account() {
            command.uid(user).gid(group);
        }
        // pg_ctl leaves the server running; it must not hold on to the pipes that `output` reads to their end.
        if program == "pg_ctl" {
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        }
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let stopped = self.command("pg_ctl", &["-D", "data", "-w", "-m", "immediate", "stop"]).status();
        if !stopped.is_ok_and(|status| status.success()) {
            eprintln!("the server in {} could not be stopped", self.folder.path().display());
        }
    }
}

/// Ids of the account `postgres`, if we are root.
fn service_account() -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt;
    let we_are_root = fs::metadata("/proc/self").ok()?.uid() == 0;
    let accounts = fs::read_to_string("/etc/passwd").ok()?;
    let entry: Vec<&str> = accounts.lines().find(|line| line.starts_with("postgres:"))?.split(':').collect();
    Some((entry[2].parse().ok()?, entry[3].parse().ok()?)).filter(|_| we_are_root)
}
