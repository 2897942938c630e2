//! What a column holds comes back as it was, whatever its type, and what comes from another database stands exactly or not at all.

use std::fmt::Write as _;

use rowmesh_core::value::Value;
use rowmesh_engine::plan::DeclaredKeys;
use rowmesh_postgres::Bytes;
use rowmesh_postgres::catalog::{Catalog, Tracked};
use rowmesh_postgres::connection::Session;
use rowmesh_postgres::copy::CopyTexts;
use rowmesh_postgres::values::{Parameter, copied as copy_text, fit, read_row, row_expression, value_expression};

use crate::cluster::{Database, has_extension};

fn table(session: &Session, name: &str) -> Tracked {
    let catalog = Catalog::read(session, "public", &DeclaredKeys::new()).unwrap();
    catalog.table(name).unwrap_or_else(|| panic!("{:?}", catalog.untracked)).clone()
}

fn rows(session: &Session, table: &Tracked, from: &str) -> Vec<Vec<Value>> {
    let sql = format!("SELECT {} FROM {from} t ORDER BY id", row_expression(&table.columns, "t"));
    (session.query(&sql, &[]).unwrap().iter())
        .map(|row| {
            let texts: Vec<Option<&str>> = row.get(0);
            read_row(&table.columns, &texts).unwrap()
        })
        .collect()
}

fn write(session: &Session, table: &Tracked, into: &str, row: &[Value]) {
    let texts: Vec<Parameter<'_>> =
        table.columns.iter().zip(row).map(|(column, value)| fit(column, value).unwrap()).collect();
    let places: Vec<String> = table
        .columns
        .iter()
        .enumerate()
        .map(|(i, column)| value_expression(column, &format!("${}::text", i + 1)))
        .collect();
    let params: Vec<Option<&str>> = texts.iter().map(Option::as_deref).collect();
    let params: Vec<&(dyn rowmesh_postgres::ToSql + Sync)> = params.iter().map(|text| text as _).collect();
    let sql = format!("INSERT INTO {into} OVERRIDING SYSTEM VALUE VALUES ({})", places.join(", "));
    session.execute(&sql, &params).unwrap();
}

/// The same for all rows at once, the way in which many new rows go in.
fn copy(session: &Session, table: &Tracked, into: &str, rows: &[Vec<Value>]) {
    let mut texts = CopyTexts::default();
    for row in rows {
        texts.row(table.columns.iter().zip(row).map(|(column, value)| copy_text(column, value)));
    }
    session.copy_in(&format!("COPY {into} FROM STDIN"), texts.take()).unwrap();
}

/// Values of one type, as literals, go out and back in by either way, and are then the same bytes to the server.
fn check(types: &str, column_type: &str, literals: &[&str]) {
    let database = Database::new();
    let session = database.session();
    session.batch(types).unwrap();
    session
        .batch(&format!(
            "CREATE TABLE public.a (id int PRIMARY KEY, v {column_type}); CREATE TABLE public.b (LIKE public.a); CREATE TABLE public.c (LIKE public.a)"
        ))
        .unwrap();
    let mut values = String::new();
    for (id, literal) in literals.iter().enumerate() {
        write!(values, "({id}, {literal}), ").unwrap();
    }
    session.batch(&format!("INSERT INTO public.a VALUES {values} (9999, NULL)")).unwrap();
    let a = table(&session, "a");
    let read = rows(&session, &a, "public.a");
    for row in &read {
        write(&session, &a, "public.b", row);
    }
    copy(&session, &a, "public.c", &read);
    for other in ["b", "c"] {
        assert_eq!(rows(&session, &a, &format!("public.{other}")), read, "{column_type} in {other}");
        assert_eq!(copied(&session, "a"), copied(&session, other), "{column_type} in {other}");
    }
}

/// What stands in a table, in the server's own binary form: by bytes where the type's own equality is not.
fn copied(session: &Session, table: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let each = |chunk: Bytes| {
        bytes.extend_from_slice(&chunk);
        Ok(())
    };
    let format =
        if session.query(&format!("SELECT v::text FROM public.{table}"), &[]).is_ok() { "text" } else { "binary" };
    session
        .copy_out(&format!("COPY (SELECT * FROM public.{table} ORDER BY id) TO STDOUT (FORMAT {format})"), each)
        .unwrap();
    bytes
}

#[test]
fn numbers_come_back_exactly() {
    check("", "int2", &["-32768", "32767"]);
    check("", "int8", &["-9223372036854775808", "9223372036854775807"]);
    let long = format!("'{}.{}'", "9".repeat(1000), "1".repeat(1000));
    check("", "numeric", &["'NaN'", "'Infinity'", "'-Infinity'", "0", "0.00", "-1.10", "1e-1000", "1e1000", &long]);
    check("", "numeric(12, 3)", &["1.5", "-999999999.999"]);
    check(
        "",
        "float8",
        &[
            "'NaN'",
            "'-0'",
            "'Infinity'",
            "'-Infinity'",
            "5e-324",
            "2.2250738585072014e-308",
            "1.7976931348623157e308",
            "0.1",
            "1e15",
            "1e22",
        ],
    );
    check("", "float4", &["'NaN'", "'-0'", "'Infinity'", "1e-45", "3.4028235e38", "0.1", "16777217"]);
    check("", "money", &["'-92233720368547758.08'", "0.01", "1234567.89"]);
    check("", "oid", &["4294967295"]);
    check("", "bool", &["true", "false"]);
}

#[test]
fn texts_and_bytes_come_back_exactly() {
    check("", "text", &["''", "E'\\\\ \\n \\t \"quoted\" {a,b}'", "'Ünï ☃ 𝄞'", "'NULL'", "repeat('x', 1000000)"]);
    check("", "varchar(5)", &["'abcde'", "'a    '"]);
    check("", "char(5)", &["'ab'", "''", "' b'"]);
    check("", "char(3)[]", &["ARRAY['ab', 'abc']::char(3)[]"]);
    check("", "name", &["'aNameOf63'"]);
    check("", "\"char\"", &["'x'"]);
    check("", "bytea", &["''", "'\\x00ff5c27'", "decode(repeat('00ff', 5000000), 'hex')"]);
    check("", "uuid", &["'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'"]);
    check("", "json", &["'{\"a\": 1, \"a\" : 2,  \"b\":[1e2]}'", "'null'"]);
    check("", "jsonb", &["'{\"a\": 1, \"a\" : 2, \"b\":[1e2, 1.0]}'", "'null'", "'\"\"'"]);
    check("", "xml", &["'<a b=\"c\"/>x'", "'<?xml version=\"1.0\"?><a/>'"]);
    check("", "bit(3)", &["B'101'"]);
    check("", "bit(3)[]", &["ARRAY[B'101', B'000']"]);
    check("", "varbit", &["B''", "B'1011'"]);
    check("", "tsvector", &["'a:1A,2 b ''c d'':3'"]);
    check("", "tsquery", &["'a & !b <2> c:*B'"]);
}

#[test]
fn times_come_back_exactly() {
    check(
        "",
        "timestamptz",
        &[
            "'infinity'",
            "'-infinity'",
            "'4713-01-01 00:00:00+00 BC'",
            "'294276-12-31 23:59:59.999999+00'",
            "'2024-02-29 12:34:56.000001+05:45'",
            "'0001-01-01 00:00:00+00'",
        ],
    );
    check("", "timestamp", &["'infinity'", "'4713-01-01 00:00:00 BC'", "'294276-12-31 23:59:59.999999'"]);
    check("", "timestamp(3)", &["'2024-01-01 00:00:00.123'"]);
    check("", "date", &["'infinity'", "'4713-01-01 BC'", "'5874897-12-31'"]);
    check("", "time", &["'24:00:00'", "'00:00:00.000001'"]);
    check("", "timetz", &["'23:59:59.999999+15:59'", "'00:00:00-15:59:59'"]);
    check(
        "",
        "interval",
        &["'1 year -2 mons +3 days -04:05:06.000007'", "'-178000000 years'", "'0'", "'1 mon -1 day'", "'-0.000001 s'"],
    );
}

/// Covers D8.
#[test]
fn everything_made_of_other_things_comes_back_exactly() {
    check("", "int[]", &["'{}'", "'[2:3][-1:0]={{1,NULL},{3,4}}'", "'{1,2}'"]);
    check("", "text[]", &["ARRAY['', NULL, 'NULL', 'a,b', E'\"\\\\{}']"]);
    check("", "timestamptz[]", &["ARRAY['infinity', '2024-01-01 00:00:00+02']::timestamptz[]"]);
    check("", "bytea[]", &["ARRAY['\\x00'::bytea, '\\xff']"]);
    check("", "int4range", &["'empty'", "'[1,5)'", "'(,)'"]);
    check("", "tstzrange", &["'(2024-01-01 00:00:00+00,infinity]'"]);
    check("", "nummultirange", &["'{[1.0,2.50),(5,)}'", "'{}'"]);
    check(
        "CREATE TYPE public.\"Mood\" AS ENUM ('so so', 'it''s', '')",
        "public.\"Mood\"",
        &["'so so'", "'it''s'", "''"],
    );
    check("CREATE TYPE public.mood AS ENUM ('a', 'b')", "public.mood[]", &["ARRAY['b', NULL]::public.mood[]"]);
    let domains = "CREATE DOMAIN public.pos AS numeric(10, 2) CHECK (VALUE > 0); CREATE DOMAIN public.price AS public.pos NOT NULL DEFAULT 1";
    check(domains, "public.pos", &["1.50"]);
    let composite = "CREATE TYPE public.inner AS (a int, b text); CREATE TYPE public.outer AS (x public.inner, y float8[], z bytea)";
    check(
        composite,
        "public.outer",
        &[
            "ROW(ROW(1, 'a,\"b')::public.inner, ARRAY[0.1, 'NaN'], '\\x00')::public.outer",
            "ROW(NULL, NULL, NULL)::public.outer",
        ],
    );
}

#[test]
fn addresses_shapes_and_numbers_of_the_server_come_back_exactly() {
    check("", "inet", &["'10.0.0.1'", "'10.0.0.1/8'", "'::1/128'"]);
    check("", "cidr", &["'10.0.0.0/8'"]);
    check("", "macaddr", &["'08:00:2b:01:02:03'"]);
    check("", "macaddr8", &["'08:00:2b:01:02:03:04:05'"]);
    check("", "point", &["'(0.1,-0)'"]);
    check("", "polygon", &["'((0,0),(1,1e-300),(2,0))'"]);
    check("", "pg_lsn", &["'16/B374D848'"]);
    check("", "regclass", &["'pg_catalog.pg_class'"]);
    check("", "xid8", &["'18446744073709551615'"]);
}

#[test]
fn types_of_extensions_come_back_exactly() {
    let database = Database::new();
    let session = database.session();
    let extensions: [(&str, &[&str]); 3] = [
        ("citext", &["'MiXed'", "''"]),
        ("hstore", &["'a=>1, \"b c\"=>NULL, \"\"=>\"\\\"\"'"]),
        ("ltree", &["'a.b.c'", "''"]),
    ];
    for (name, literals) in extensions {
        if has_extension(&session, name) {
            check(&format!("CREATE EXTENSION {name} SCHEMA public"), &format!("public.{name}"), literals);
        }
    }
}

#[test]
fn i9_keys_are_the_same_values_as_in_a_database_without_such_types() {
    let database = Database::new();
    let session = database.session();
    let types = "CREATE TYPE public.mood AS ENUM ('ok'); CREATE TABLE public.t (id uuid, n smallint, s varchar(9), e public.mood, PRIMARY KEY (id, n, s, e));
                 INSERT INTO public.t VALUES ('A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 7, 'x', 'ok')";
    session.batch(types).unwrap();
    let table = table(&session, "t");
    let expected =
        [Value::text("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), Value::Integer(7), Value::text("x"), Value::text("ok")];
    assert_eq!(rows(&session, &table, "public.t"), [expected]);
}

#[test]
fn names_of_any_kind_are_quoted() {
    let database = Database::new();
    let session = database.session();
    let long = "ü".repeat(31);
    let sql = format!(
        "CREATE SCHEMA \"My Schema\"; CREATE TABLE \"My Schema\".\"select\"\"x\" (id int PRIMARY KEY, \"from\" text, \"{long}\" text, \"a.b\" text);
         INSERT INTO \"My Schema\".\"select\"\"x\" VALUES (1, 'a', 'b', 'c')"
    );
    session.batch(&sql).unwrap();
    let table = table(&session, "My Schema.select\"x");
    let expected = ["a", "b", "c"].map(Value::text);
    assert_eq!(rows(&session, &table, &table.sql_name())[0][1..], expected);
}

#[test]
fn defaults_that_are_constants_are_known_and_no_function_is_run() {
    let database = Database::new();
    let session = database.session();
    session
        .batch(
            "CREATE TABLE public.t (id serial PRIMARY KEY, a text DEFAULT 'it''s', b numeric(5, 2) DEFAULT 1.5, c boolean NOT NULL DEFAULT false,
             d timestamptz DEFAULT now(), e int, f int NOT NULL, g int GENERATED ALWAYS AS (1) STORED, h jsonb DEFAULT '{\"a\":1}')",
        )
        .unwrap();
    let table = table(&session, "t");
    let defaults: Vec<(&str, Option<Value>)> =
        table.schema.columns.iter().map(|column| (&*column.name, column.default.clone())).collect();
    let expected = [
        ("id", None),
        ("a", Some(Value::text("it's"))),
        ("b", Some(Value::Decimal("1.50".into()))),
        ("c", Some(Value::Boolean(false))),
        ("d", None),
        ("e", Some(Value::Null)),
        ("f", None),
        ("h", Some(Value::text("{\"a\": 1}"))),
    ];
    assert_eq!(defaults, expected);
    let has_counted: bool = session.query_one("SELECT is_called FROM public.t_id_seq", &[]).unwrap().get(0);
    assert!(!has_counted);
}
