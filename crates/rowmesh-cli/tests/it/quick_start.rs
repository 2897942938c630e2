//! The quick start of the README, command by command. Only what a test needs is added: `--yes`, since nobody is there to answer, and
//! `--listen`, since both machines are one.

use std::time::Instant;

use crate::machine::{Machine, eventually, sql, value};

#[test]
fn two_nodes_keep_a_database_in_sync_after_one_command_each() {
    let begun = Instant::now();
    let (a, b) = (Machine::new(), Machine::new());
    sql(&a.path("shop.db"), "CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT NOT NULL)");
    let on_a = a.start(&["up", "shop.db", "--yes"]);
    let _on_b = b.start(&["up", "shop.db", "--yes", "--join", &on_a.invite()]);

    sql(&a.path("shop.db"), "insert into products values(1,'Gum')");
    let read = |machine: &Machine, id: u32| {
        value(&machine.path("shop.db"), &format!("select id || '|' || name from products where id = {id}"))
    };
    eventually("the row is at B", || read(&b, 1).as_deref() == Some("1|Gum"));
    sql(&b.path("shop.db"), "insert into products values(2,'Mint')");
    eventually("the row is at A", || read(&a, 2).as_deref() == Some("2|Mint"));

    let synced = a.json(&["sync", "--wait"]);
    assert_eq!(synced["complete"], true);
    assert!(begun.elapsed().as_secs() < 60, "sixty seconds were promised");
}

#[test]
fn everything_that_can_be_asked_is_answered_in_text_and_as_json() {
    let machine = Machine::new();
    let (_a, _b) = machine.pair();
    sql(&machine.path("a.db"), "INSERT INTO products VALUES ('g', 'Gum'); UPDATE products SET name = 'Chewing gum'");
    assert_eq!(machine.json(&["sync", "--wait", "--name", "a"])["complete"], true);

    let status = machine.json(&["status", "--check", "--name", "a"]);
    assert_eq!((status["name"].as_str(), status["mesh"].as_str()), (Some("a"), Some("a")));
    assert_eq!(machine.json(&["peers", "--name", "a"])["peers"][0]["name"], "b");
    let node = machine.json(&["peers", "show", "b", "--name", "a"])["node"].as_str().expect("an id").to_owned();
    assert_eq!(machine.json(&["peers", "show", &node[..4], "--name", "a"])["name"], "b");
    assert_eq!(machine.json(&["tables", "ls", "--count", "--name", "b"])["tables"][0]["rows"], 1);
    assert_eq!(machine.json(&["tables", "show", "products", "--name", "b"])["key"][0], "id");
    assert_eq!(machine.json(&["conflicts", "--name", "b"])["conflicts"], serde_json::json!([]));
    let log = machine.json(&["log", "--table", "products", "--peer", "a", "--since", "1h", "--name", "b"]);
    assert!(
        log["changes"].as_array().is_some_and(|changes| changes.iter().any(|change| change["after"]["id"] == "g")),
        "{log}"
    );
    assert_eq!(machine.json(&["log", "--key", "nothing", "--name", "b"])["changes"], serde_json::json!([]));
    assert!(machine.json(&["doctor", "--name", "a"])["checks"].as_array().is_some_and(|checks| !checks.is_empty()));
    assert!(
        machine.json(&["invite", "--ttl", "1h", "--name", "b"])["line"]
            .as_str()
            .is_some_and(|line| line.starts_with("rm1."))
    );

    let check = |line: &str, part: &str| {
        let said = machine.run(&line.split(' ').chain(["--name", "a"]).collect::<Vec<_>>());
        assert!(said.code == 0 && said.out.contains(part), "{line}: {said:?}");
    };
    check("status", "● live");
    check("peers", "LAST SEEN");
    check("peers show b", "last seen");
    check("tables", "1 of 1 table synced.");
    check("tables show products", "capture    ✔");
    check("log", "products");
    check("conflicts", "No open conflicts.");
    check("doctor", "✔ ");
    check("sync --wait", "Everything is everywhere.");
    check("invite", "rm1.");
}

#[test]
fn what_does_not_exist_is_answered_with_what_was_meant() {
    let machine = Machine::new();
    machine.shop("a.db");
    let _a = machine.start(&["up", "a.db", "--name", "a", "--yes"]);
    let check = |line: &str, code: &str, part: &str| {
        let said = machine.run(&line.split(' ').collect::<Vec<_>>());
        let exit = if code == "RM2001" { 2 } else { 1 };
        assert_eq!((said.code, said.error_code().as_str()), (exit, code), "{line}: {said:?}");
        assert!(said.err.contains(part), "{line}: {said:?}");
    };
    check("tables show product", "RM2001", "Did you mean \"products\"?");
    check("peers show office", "RM5503", "rowmesh peers");
    check("pause --peer office", "RM5503", "rowmesh peers");
    check("conflicts show 7Q", "RM6101", "rowmesh conflicts");
}

/// A change that both make is in the ledger of both, and shown with both sides.
#[test]
fn a_conflict_is_listed_with_both_sides() {
    let machine = Machine::new();
    let (_a, _b) = machine.pair();
    let (at_a, at_b) = (machine.path("a.db"), machine.path("b.db"));
    sql(&at_a, "INSERT INTO products VALUES ('g', 'Gum')");
    assert_eq!(machine.json(&["sync", "--wait", "--name", "a"])["complete"], true);
    for name in ["a", "b"] {
        assert_eq!(machine.json(&["pause", "--name", name])["done"], true);
    }
    assert_eq!(machine.json(&["status", "--name", "a"])["paused"], true);
    sql(&at_a, "UPDATE products SET name = 'Chewing gum'");
    sql(&at_b, "UPDATE products SET name = 'Bubble gum'");
    for name in ["a", "b"] {
        assert_eq!(machine.json(&["resume", "--name", name])["done"], true);
    }
    eventually("both show the same", || {
        let name = |path| value(path, "SELECT name FROM products");
        name(&at_a) == name(&at_b)
    });
    let id = |name: &str| {
        let mut found = serde_json::Value::Null;
        eventually("it is in the ledger", || {
            found = machine.json(&["conflicts", "ls", "--name", name])["conflicts"][0].clone();
            found.is_object()
        });
        found["id"].as_str().expect("an id").to_owned()
    };
    assert_eq!(id("a"), id("b"), "one name on all nodes");
    let shown = machine.run(&["conflicts", "show", &id("a")[..4], "--name", "a"]);
    assert!(
        shown.out.contains("Chewing gum") && shown.out.contains("Bubble gum") && shown.out.contains("Gum"),
        "{shown:?}"
    );
    let check = machine.run(&["status", "--check", "--name", "a"]);
    assert_eq!(check.code, 3, "an open conflict needs attention: {check:?}");
    assert_eq!(machine.run(&["status", "--name", "a"]).code, 0);
}
