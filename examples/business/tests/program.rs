//! The program `business` as a user calls it.

use std::process::{Command, Output};

use rusqlite::Connection;

fn business(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_business")).args(arguments).output().unwrap()
}

fn succeed(arguments: &[&str]) -> String {
    let output = business(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn fail(arguments: &[&str]) -> (Option<i32>, String) {
    let output = business(arguments);
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_database_is_created_seeded_and_worked_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let path = path.to_str().unwrap();
    succeed(&["create", path]);
    succeed(&["seed", path, "--seed", "5", "--small"]);
    let said = succeed(&["work", path, "--steps", "40", "--node", "shop1", "--seed", "9"]);
    assert_eq!(said.lines().count(), 40);
    assert!(said.contains("sold order shop1-1000001: "), "{said}");
    let again = succeed(&["work", path, "--steps", "40", "--node", "shop1"]);
    assert_eq!(again.lines().count(), 40);
    let conn = Connection::open(path).unwrap();
    let mode: String = conn.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    let broken: i64 = conn.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0)).unwrap();
    assert_eq!((mode.as_str(), broken), ("wal", 0));
}

#[test]
fn work_ends_when_its_time_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let path = path.to_str().unwrap();
    succeed(&["create", path]);
    succeed(&["seed", path, "--small", "--no-demo"]);
    assert_eq!(succeed(&["work", path, "--seconds", "0"]), "");
    assert!(succeed(&["work", path, "--seconds", "1", "--pause-ms", "20"]).lines().count() > 1);
}

#[test]
fn a_wrong_command_line_names_what_is_wrong_and_exits_with_2() {
    for (arguments, message) in [
        (&[][..], "no command given"),
        (&["sell"], "unknown command sell"),
        (&["work"], "no database given"),
        (&["create", "a.db", "b.db"], "unexpected argument b.db"),
        (&["seed", "a.db", "--sede", "1"], "unknown option --sede"),
        (&["seed", "a.db", "--seed"], "--seed needs a value"),
        (&["work", "a.db", "--steps", "many"], "--steps: many is no number"),
    ] {
        let (code, errors) = fail(arguments);
        assert_eq!(code, Some(2), "{arguments:?}");
        assert!(errors.contains(message), "{arguments:?}: {errors}");
    }
}

#[test]
fn a_missing_database_is_an_error_and_is_not_created() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.db");
    let (code, errors) = fail(&["work", path.to_str().unwrap(), "--steps", "1"]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("none.db"), "{errors}");
    assert!(!path.exists());
}

#[test]
fn an_unseeded_database_is_said_to_hold_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    succeed(&["create", path.to_str().unwrap()]);
    let said = succeed(&["work", path.to_str().unwrap(), "--steps", "3"]);
    assert_eq!(said, "nothing to do: the database holds no data to work with\n");
}
