//! What people decide at run time for the whole mesh: which tables travel, what a node is called. That it holds on the other node, over a
//! restart, and against the configuration.

use std::path::Path;

use serde_json::Value;

use crate::machine::{Daemon, Machine, eventually, said, sql, value};

const SHOP: &str = "CREATE TABLE businesses (id TEXT PRIMARY KEY, name TEXT);
    CREATE TABLE audit_logs (id TEXT PRIMARY KEY, line TEXT)";
const FILTER: &str = "[[filters]]\nname = \"demo\"\ntable = \"businesses\"\nskip = \"id LIKE 'demo-%'\"\n";

fn table(machine: &Machine, node: &str, name: &str) -> Value {
    machine.json(&["tables", "show", name, "--name", node])
}

fn is_synced(machine: &Machine, node: &str, name: &str) -> bool {
    table(machine, node, name)["synced"] == true
}

fn count(path: &Path, table: &str) -> Option<String> {
    value(path, &format!("SELECT count(*) || '' FROM {table}"))
}

/// `a` with these lines as its configuration, and `b` with none.
fn pair(machine: &Machine, lines: &str) -> (Daemon, Daemon) {
    sql(&machine.shop("a.db"), SHOP);
    std::fs::write(machine.path("a.toml"), lines).expect("written");
    let a = machine.start(&["up", "a.db", "--name", "a", "--yes", "--config", "a.toml"]);
    let b = machine.start(&["up", "b.db", "--name", "b", "--yes", "--join", &a.invite()]);
    (a, b)
}

#[test]
fn m3_a_table_that_waits_travels_once_it_was_added_and_still_does_after_a_restart() {
    let machine = Machine::new();
    let (a, b) = pair(&machine, FILTER);
    let files = [machine.path("a.db"), machine.path("b.db")];
    for file in &files {
        sql(
            file,
            "CREATE TABLE reminders (id TEXT PRIMARY KEY, business_id TEXT REFERENCES businesses (id), body TEXT)",
        );
    }
    sql(&files[0], "INSERT INTO reminders VALUES ('r1', NULL, 'call')");
    for node in ["a", "b"] {
        eventually("it waits for a word", || {
            machine.json(&["tables", "--name", node]).to_string().contains("its rows wait here")
        });
        assert_eq!(table(&machine, node, "reminders")["remedy"], "rowmesh tables add reminders");
    }
    let trial = machine.json(&["tables", "add", "reminders", "--dry-run", "--name", "a"]);
    assert_eq!((&trial["changed"], &trial["dry_run"]), (&true.into(), &true.into()), "{trial}");
    assert!(table(&machine, "a", "reminders")["reason"].as_str().is_some_and(|reason| !reason.is_empty()));

    let added = machine.run(&["tables", "add", "reminders", "--name", "a"]);
    assert!(added.code == 0 && added.err.contains("reminders travels from now on"), "{added:?}");
    eventually("its rows reach b", || count(&files[1], "reminders").as_deref() == Some("1"));
    sql(&files[1], "INSERT INTO reminders VALUES ('r2', NULL, 'write')");
    eventually("and b's rows reach a", || count(&files[0], "reminders").as_deref() == Some("2"));
    let again = machine.json(&["tables", "add", "reminders", "--name", "a"]);
    assert_eq!((&again["changed"], &again["table"]["reason"]), (&false.into(), &"".into()), "{again}");

    a.terminate();
    let _a = machine.start(&["run", "--name", "a", "--config", "a.toml"]);
    assert_eq!(table(&machine, "a", "reminders")["reason"], "", "the configuration says what it said before");
    sql(&files[0], "INSERT INTO reminders VALUES ('r3', NULL, 'ring')");
    eventually("it still travels", || count(&files[1], "reminders").as_deref() == Some("3"));
    drop(b);
}

#[test]
fn a_table_that_is_left_out_by_default_comes_by_name_and_goes_again_and_what_exists_stays() {
    let machine = Machine::new();
    let (a, _b) = pair(&machine, FILTER);
    let files = [machine.path("a.db"), machine.path("b.db")];
    sql(&files[1], "CREATE TABLE IF NOT EXISTS audit_logs (id TEXT PRIMARY KEY, line TEXT)");
    sql(&files[0], "INSERT INTO audit_logs VALUES ('l1', 'before')");
    assert!(!is_synced(&machine, "a", "audit_logs"));
    assert_eq!(table(&machine, "a", "audit_logs")["remedy"], "rowmesh tables add audit_logs");

    assert_eq!(machine.json(&["tables", "add", "audit_logs", "--name", "a"])["table"]["synced"], true);
    eventually("what stood in it travels too", || count(&files[1], "audit_logs").as_deref() == Some("1"));
    sql(&files[1], "INSERT INTO audit_logs VALUES ('l2', 'from b')");
    eventually("both ways", || count(&files[0], "audit_logs").as_deref() == Some("2"));

    let trial = machine.json(&["tables", "rm", "audit_logs", "--dry-run", "--name", "a"]);
    assert!(trial["changed"] == true && is_synced(&machine, "a", "audit_logs"), "{trial}");
    let removed = machine.run(&["tables", "rm", "audit_logs", "--name", "a"]);
    assert!(removed.code == 0 && removed.err.contains("what exists elsewhere stays"), "{removed:?}");
    eventually("b hears of it", || !is_synced(&machine, "b", "audit_logs"));
    sql(&files[0], "INSERT INTO audit_logs VALUES ('l3', 'at home'); DELETE FROM audit_logs WHERE id = 'l1'");
    sql(&files[0], "INSERT INTO businesses VALUES ('b1', 'after it')");
    eventually("what is written later has travelled", || count(&files[1], "businesses").as_deref() == Some("1"));
    let there = value(&files[1], "SELECT group_concat(id) FROM (SELECT id FROM audit_logs ORDER BY id)");
    assert_eq!(there.as_deref(), Some("l1,l2"), "what exists elsewhere stays, what is new stays here");
    assert_eq!(machine.json(&["tables", "rm", "audit_logs", "--name", "a"])["changed"], false);
    assert_eq!(machine.json(&["status", "--name", "a"])["attention"].to_string(), "[]");

    // Named again, the nodes agree about it again.
    machine.json(&["tables", "add", "audit_logs", "--name", "a"]);
    eventually("b has what came meanwhile", || {
        value(&files[1], "SELECT group_concat(id) FROM (SELECT id FROM audit_logs ORDER BY id)").as_deref()
            == Some("l2,l3")
    });
    drop(a);
}

#[test]
fn a_configuration_that_was_changed_counts_more_than_what_was_added_before() {
    let machine = Machine::new();
    let (a, _b) = pair(&machine, "[tables]\nexclude = [\"businesses\"]\n");
    assert!(!is_synced(&machine, "a", "businesses"));
    assert_eq!(machine.json(&["tables", "add", "businesses", "--name", "a"])["table"]["synced"], true);
    a.terminate();
    let a = machine.start(&["run", "--name", "a", "--config", "a.toml"]);
    assert!(is_synced(&machine, "a", "businesses"), "it was decided after the configuration was written");
    eventually("b knows", || is_synced(&machine, "b", "businesses"));

    std::fs::write(machine.path("a.toml"), "[tables]\nexclude = [\"businesses\", \"tmp_*\"]\n").expect("written");
    a.terminate();
    let _a = machine.start(&["run", "--name", "a", "--config", "a.toml"]);
    assert!(!is_synced(&machine, "a", "businesses"));
    eventually("b knows that too", || !is_synced(&machine, "b", "businesses"));
}

#[test]
fn a_table_is_added_only_by_an_admin_only_if_it_is_there_and_without_its_key() {
    let machine = Machine::new();
    let (_a, _b) = pair(&machine, "");
    let check = |line: &str, exit: i32, code: &str, part: &str| {
        let said = machine.run(&line.split(' ').collect::<Vec<_>>());
        assert_eq!((said.code, said.error_code().as_str()), (exit, code), "{line}: {said:?}");
        assert!(said.err.contains(part), "{line}: {said:?}");
    };
    check("tables add product --name a", 2, "RM2001", "Did you mean \"products\"?");
    check("tables rm product --name a", 2, "RM2001", "Did you mean \"products\"?");
    check("tables rm products --name b", 5, "RM4113", "admins are: a");
    check("tables rm products --dry-run --name b", 5, "RM4113", "admins are: a");
    check("tables add products --key id,name --name a", 2, "RM1401", "[table.products]");
    assert!(is_synced(&machine, "a", "products"));
    let said = machine.run(&["tables", "rm", "products", "--name", "b", "--json"]);
    assert_eq!((said.code, &said.json()["error"]["code"]), (5, &"RM4113".into()), "{said:?}");
}

#[test]
fn a_policy_that_is_changed_holds_on_all_nodes_and_shows_what_it_prefers() {
    let machine = Machine::new();
    let (a, b) = pair(&machine, "");
    let files = [machine.path("a.db"), machine.path("b.db")];
    let named =
        |name: &str| files.iter().all(|file| value(file, "SELECT name FROM businesses").as_deref() == Some(name));
    sql(&files[0], "INSERT INTO businesses VALUES ('x', 'new')");
    eventually("both have it", || named("new"));
    a.terminate();
    b.terminate();
    // Neither sees what the other does; the second is later.
    sql(&files[0], "UPDATE businesses SET name = 'zebra'");
    let a = machine.start(&["run", "--name", "a"]);
    eventually("the first is sealed", || machine.json(&["log", "--name", "a"]).to_string().contains("zebra"));
    a.terminate();
    sql(&files[1], "UPDATE businesses SET name = 'ant'");
    let _both = [machine.start(&["run", "--name", "a"]), machine.start(&["run", "--name", "b"])];
    eventually("the later one stands", || named("ant"));

    let said = machine.run(&["conflicts", "policy", "--name", "a"]);
    assert!(said.out.starts_with("Everywhere the later write of a column stands"), "{said:?}");
    let set = ["conflicts", "policy", "businesses", "max", "--column", "name", "--name", "a"];
    let trial = machine.json(&[&set[..], &["--dry-run"]].concat());
    assert_eq!((&trial["changed"], &trial["before"]), (&true.into(), &"last_writer".into()), "{trial}");
    assert!(named("ant"), "nothing was changed");
    let said = machine.run(&set);
    assert!(said.code == 0 && said.err.contains("businesses.name: the policy is max from now on"), "{said:?}");
    eventually("the largest one stands, on both", || named("zebra"));
    let listed = machine.json(&["conflicts", "policy", "--name", "b"]);
    let expected = serde_json::json!([{ "table": "businesses", "column": "name", "rule": "max", "known": true }]);
    assert_eq!(listed["policies"], expected);
    assert_eq!(machine.json(&["conflicts", "policy", "audit_logs", "--name", "b"])["policies"].to_string(), "[]");
    assert_eq!(machine.json(&set)["changed"], false);

    machine.json(&["conflicts", "policy", "businesses", "default", "--column", "name", "--name", "a"]);
    eventually("what stood before stands again", || named("ant"));
    assert_eq!(machine.json(&["conflicts", "policy", "--name", "a"])["policies"].to_string(), "[]");

    let check = |line: &str, exit: i32, code: &str, part: &str| {
        let said = machine.run(&line.split(' ').collect::<Vec<_>>());
        assert_eq!((said.code, said.error_code().as_str()), (exit, code), "{line}: {said:?}");
        assert!(said.err.contains(part), "{line}: {said:?}");
    };
    check("conflicts policy business --name a", 2, "RM2001", "Did you mean \"businesses\"?");
    check("conflicts policy business max --column name --name a", 2, "RM2001", "Did you mean \"businesses\"?");
    check("conflicts policy businesses max --column nmae --name a", 2, "RM1401", "Its columns: id, name");
    check("conflicts policy businesses max --column id --name a", 2, "RM1401", "belongs to the key");
    check("conflicts policy businesses max --name a", 2, "RM1401", "update_wins, delete_wins, last_writer");
    check("conflicts policy businesses sum --column name --name a", 2, "RM1401", "last_writer, max, min");
    check("conflicts policy businesses node_priority:c --column name --name a", 2, "RM1401", "Its nodes: a, b");
    check("conflicts policy businesses node_priority:b,b --column name --name a", 2, "RM1401", "is no policy");
    let first = ["conflicts", "policy", "businesses", "node_priority:b,a", "--column", "name", "--name", "a"];
    assert_eq!(machine.json(&first)["changed"], true);
    let again = machine.json(&first);
    assert_eq!((&again["changed"], &again["before"]), (&false.into(), &"node_priority:b,a".into()), "{again}");
    let rule = || machine.json(&["conflicts", "policy", "--name", "b"])["policies"].to_string();
    eventually("b tells it by the names of the nodes", || rule().contains("\"node_priority:b,a\""));
    check("conflicts policy audit_logs delete_wins --name a", 2, "RM1401", "rowmesh tables add audit_logs");
    check("conflicts policy businesses delete_wins --name b", 5, "RM4113", "admins are: a");
}

#[test]
fn a_node_takes_another_name_and_the_others_hear_of_it() {
    let machine = Machine::new();
    let (_a, b) = machine.pair();
    let name_of_b = || machine.json(&["peers", "--name", "a"])["peers"][0]["name"].clone();
    let trial = machine.json(&["peers", "rename", "depot", "--dry-run", "--name", "b"]);
    assert_eq!((&trial["before"], &trial["changed"]), (&"b".into(), &true.into()), "{trial}");
    assert_eq!(name_of_b(), "b");

    let done = machine.run(&["peers", "rename", "b", "depot", "--name", "b"]);
    assert!(done.code == 0 && done.err.contains("called depot from now on"), "{done:?}");
    eventually("a hears of it", || name_of_b() == "depot");
    assert_eq!(machine.json(&["status", "--name", "depot"])["name"], "depot", "it is found by its new name");
    assert_eq!(machine.json(&["peers", "rename", "depot", "--name", "depot"])["changed"], false);
    b.terminate();
    let b = machine.start(&["run", "--name", "depot"]);
    assert_eq!(b.greeting["name"], "depot");
    assert_eq!(machine.json(&["status", "--name", "b"])["name"], "depot", "by its folder's name too");

    let check = |line: &str, exit: i32, code: &str, part: &str| {
        let said = machine.run(&line.split(' ').collect::<Vec<_>>());
        assert_eq!((said.code, said.error_code().as_str()), (exit, code), "{line}: {said:?}");
        assert!(said.err.contains(part), "{line}: {said:?}");
    };
    check("peers rename depot store --name a", 5, "RM4113", "rowmesh peers rename store");
    check("peers rename nobody store --name a", 1, "RM5503", "rowmesh peers");
    check("peers rename depot --name a", 2, "RM1401", "another node is called depot");
    let said = said(&mut machine.command(&["peers", "rename", "two\nlines", "--name", "a"]));
    assert_eq!((said.code, said.error_code().as_str()), (2, "RM1401"), "{said:?}");
    assert_eq!(machine.run(&["peers", "rename", "--name", "a"]).code, 2);
}

#[test]
fn f8_policies_of_the_configuration_hold_on_all_nodes_until_people_decide_otherwise() {
    let machine = Machine::new();
    let lines = "[table.businesses]\nconflicts = \"delete_wins\"\ncolumns.name = \"max\"\n";
    let (a, b) = pair(&machine, lines);
    let rules = |node: &str| {
        let answer = machine.json(&["conflicts", "policy", "--name", node]);
        let policies = answer["policies"].as_array().expect("a list").iter();
        policies.map(|policy| policy["rule"].as_str().expect("a rule").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(rules("a"), ["delete_wins", "max"]);
    eventually("b knows", || rules("b") == ["delete_wins", "max"]);

    machine.json(&["conflicts", "policy", "businesses", "min", "--column", "name", "--name", "a"]);
    a.terminate();
    let a = machine.start(&["run", "--name", "a", "--config", "a.toml"]);
    assert_eq!(rules("a"), ["delete_wins", "min"], "it was decided after the configuration was written");
    std::fs::write(machine.path("a.toml"), "[table.businesses]\ncolumns.name = \"counter\"\n").expect("written");
    a.terminate();
    let _a = machine.start(&["run", "--name", "a", "--config", "a.toml"]);
    assert_eq!(rules("a"), ["delete_wins", "counter"], "what is not named stays");
    eventually("b hears of it", || rules("b") == ["delete_wins", "counter"]);

    std::fs::write(machine.path("b.toml"), lines).expect("written");
    b.terminate();
    let _b = machine.start(&["run", "--name", "b", "--config", "b.toml"]);
    let told = || machine.json(&["status", "--name", "b"])["attention"].to_string();
    eventually("b says that its own do not hold", || told().contains("how conflicts are settled"));
    assert_eq!(rules("b"), ["delete_wins", "counter"]);
}
