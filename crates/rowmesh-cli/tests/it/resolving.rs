//! What people decide about one conflict, and columns that count: real nodes that were apart, and one word that settles it on both. What becomes of every
//! kind of conflict in a database is the contract's.

use std::path::PathBuf;

use serde_json::Value;

use crate::machine::{Daemon, Machine, eventually, sql, value};

/// Two nodes and their files.
struct Shop {
    machine: Machine,
    daemons: [Daemon; 2],
    files: [PathBuf; 2],
}

impl Shop {
    fn open() -> Shop {
        let machine = Machine::new();
        let tables = "CREATE TABLE customers (id TEXT PRIMARY KEY, phone TEXT, visits INTEGER NOT NULL DEFAULT 0)";
        sql(&machine.shop("a.db"), tables);
        let a = machine.start(&["up", "a.db", "--name", "a", "--yes"]);
        let b = machine.start(&["up", "b.db", "--name", "b", "--yes", "--join", &a.invite()]);
        let files = [machine.path("a.db"), machine.path("b.db")];
        let shop = Shop { machine, daemons: [a, b], files };
        shop.both("INSERT INTO customers VALUES ('ann', '1', 10)", "1 10");
        shop
    }

    /// Something is done on the first node, and both come to show it.
    fn both(&self, statement: &str, shows: &str) {
        sql(&self.files[0], statement);
        self.check(shows);
    }

    /// Both show this of the one customer.
    fn check(&self, shows: &str) {
        let row = "SELECT phone || ' ' || visits FROM customers";
        let shown = || self.files.each_ref().map(|file| value(file, row));
        eventually(&format!("both show {shows}"), || shown() == [Some(shows.to_owned()), Some(shows.to_owned())]);
    }

    /// Something is done on each node while they cannot reach one another, on the second one later.
    fn apart(self, first: &str, second: &str) -> Shop {
        let Shop { machine, daemons, files } = self;
        let events = |name: &str| machine.json(&["log", "--name", name])["changes"].as_array().map_or(0, Vec::len);
        let before = events("a");
        assert_eq!(daemons.map(Daemon::terminate), [0, 0]);
        sql(&files[0], first);
        let a = machine.start(&["run", "--name", "a"]);
        eventually("the first is sealed", || events("a") > before);
        a.terminate();
        sql(&files[1], second);
        let daemons = ["a", "b"].map(|name| machine.start(&["run", "--name", name]));
        Shop { machine, daemons, files }
    }

    /// The open conflicts, once there are so many on both nodes.
    fn conflicts(&self, count: usize) -> Vec<Value> {
        let of = |name: &str| {
            let answer = self.machine.json(&["conflicts", "--name", name]);
            answer["conflicts"].as_array().expect("a list").clone()
        };
        eventually(&format!("{count} are open on both"), || ["a", "b"].iter().all(|name| of(name).len() == count));
        of("a")
    }

    fn resolve(&self, rest: &[&str]) -> Value {
        let id = self.conflicts(1)[0]["id"].as_str().expect("an id").to_owned();
        self.machine.json(&[&["conflicts", "resolve", &id[..6]], rest].concat())
    }
}

#[test]
fn f10_a_conflict_is_settled_by_a_word_on_any_node_and_stays_so_on_all() {
    let shop = Shop::open().apart("UPDATE customers SET phone = '2'", "UPDATE customers SET phone = '3'");
    shop.check("3 10");
    let trial = shop.resolve(&["--keep", "lost", "--dry-run", "--name", "a"]);
    assert_eq!(trial["writes"], serde_json::json!([{ "column": "phone", "stays": false, "value": "2" }]));
    shop.check("3 10");
    shop.resolve(&["--keep", "a", "--name", "b"]);
    shop.check("2 10");
    shop.conflicts(0);

    let shop = shop.apart("UPDATE customers SET phone = '4'", "UPDATE customers SET phone = '5'");
    shop.resolve(&["--keep", "shown", "--name", "b"]);
    shop.check("5 10");
    shop.conflicts(0);

    let shop = shop.apart("UPDATE customers SET phone = '6'", "UPDATE customers SET phone = '7'");
    shop.resolve(&["--set", "phone=8", "--set", "visits=11", "--name", "a"]);
    shop.check("8 11");
    shop.conflicts(0);
}

#[test]
fn a_row_that_was_deleted_here_and_edited_there_is_settled_as_a_whole() {
    let shop = Shop::open().apart("DELETE FROM customers", "UPDATE customers SET phone = '3'");
    shop.check("3 10");
    shop.resolve(&["--keep", "shown", "--name", "a"]);
    shop.conflicts(0);
    shop.check("3 10");

    let shop = shop.apart("DELETE FROM customers", "UPDATE customers SET phone = '4'");
    let id = shop.conflicts(1)[0]["id"].as_str().expect("an id").to_owned();
    let said = shop.machine.run(&["conflicts", "undo", &id, "--name", "b"]);
    assert!(said.code == 0 && said.err.contains("the row is deleted; it has seen both sides"), "{said:?}");
    let rows = || shop.files.each_ref().map(|file| value(file, "SELECT count(*) || '' FROM customers"));
    eventually("it is gone from both", || rows() == [Some("0".to_owned()), Some("0".to_owned())]);
    shop.conflicts(0);

    shop.both("INSERT INTO customers VALUES ('ann', '1', 10)", "1 10");
    shop.machine.json(&["conflicts", "policy", "customers", "delete_wins", "--name", "a"]);
    let mut shop = shop;
    for (side, stands) in [("shown", "0"), ("lost", "1")] {
        shop = shop.apart("DELETE FROM customers", "UPDATE customers SET phone = '5'");
        let rows = || shop.files.each_ref().map(|file| value(file, "SELECT count(*) || '' FROM customers"));
        eventually("the delete wins", || rows() == [Some("0".to_owned()), Some("0".to_owned())]);
        shop.resolve(&["--keep", side, "--name", "a"]);
        shop.conflicts(0);
        let expected = [Some(stands.to_owned()), Some(stands.to_owned())];
        eventually("the word holds on both", || rows() == expected);
        if stands == "0" {
            shop.both("INSERT INTO customers VALUES ('ann', '1', 10)", "1 10");
        }
    }
    shop.check("5 10");
}

#[test]
fn f3_a_column_that_is_declared_to_count_adds_up_what_was_sold_apart() {
    let shop = Shop::open();
    let set = ["conflicts", "policy", "customers", "counter", "--column", "visits", "--name", "a"];
    assert_eq!(shop.machine.json(&set)["changed"], true);
    let knows = || shop.machine.json(&["conflicts", "policy", "--name", "b"])["policies"][0]["rule"] == "counter";
    eventually("b knows", knows);
    let visit = "UPDATE customers SET visits = visits + 1";
    let shop = shop.apart(visit, &format!("{visit}; {visit}"));
    shop.check("1 13");
    assert_eq!(shop.machine.json(&["conflicts", "ls", "--all", "--name", "b"])["conflicts"].to_string(), "[]");

    // A stock-take, while the other node goes on.
    let trial = shop.machine.json(&["count", "customers", "ann", "visits=50", "--dry-run", "--name", "a"]);
    assert_eq!((&trial["before"]["visits"], &trial["writes"][0]["value"]), (&13.into(), &50.into()), "{trial}");
    for name in ["a", "b"] {
        shop.machine.json(&["pause", "--name", name]);
    }
    sql(&shop.files[1], visit);
    let said = shop.machine.run(&["count", "customers", "ann", "visits=50", "--name", "a"]);
    assert!(said.code == 0 && said.err.contains("visits = 50 (before: visits 13)"), "{said:?}");
    for name in ["a", "b"] {
        shop.machine.json(&["resume", "--name", name]);
    }
    shop.check("1 51");
    shop.conflicts(0);

    let check = |line: &str, exit: i32, code: &str, part: &str| {
        let said = shop.machine.run(&line.split(' ').collect::<Vec<_>>());
        assert_eq!((said.code, said.error_code().as_str()), (exit, code), "{line}: {said:?}");
        assert!(said.err.contains(part), "{line}: {said:?}");
    };
    check(
        "count customers ann phone=5 --name b",
        2,
        "RM1401",
        "rowmesh conflicts policy customers counter --column phone",
    );
    check("count customers ann visits=many --name b", 2, "RM1401", "is no number");
    check("count customers bob visits=5 --name b", 1, "RM6102", "customers has no row with the key");
    check("count customer ann visits=5 --name b", 2, "RM2001", "no table");
}

#[test]
fn a_row_tells_who_wrote_each_of_its_columns_and_what_that_beat() {
    let shop = Shop::open().apart(
        "UPDATE customers SET phone = '2', visits = 11",
        "UPDATE customers SET phone = '3'; INSERT INTO customers VALUES ('bob', '9', 0); DELETE FROM customers WHERE id = 'bob'",
    );
    shop.check("3 11");
    shop.conflicts(1);
    let why = shop.machine.json(&["why", "customers", "ann", "--name", "a"]);
    let column = |name: &str| {
        let columns = why["columns"].as_array().expect("a list");
        columns.iter().find(|column| column["column"] == name).expect(name).clone()
    };
    let (phone, visits) = (column("phone"), column("visits"));
    assert_eq!(
        (&phone["value"], &phone["cause"], &phone["policy"]),
        (&"3".into(), &"chosen".into(), &"last_writer".into())
    );
    assert_eq!((&phone["writes"][0]["by"]["node"], &phone["writes"][1]["by"]["node"]), (&"b".into(), &"a".into()));
    assert_eq!((&visits["cause"], &visits["writes"][0]["by"]["node"]), (&"last".into(), &"a".into()));
    assert_eq!(why["conflicts"][0]["losing"]["value"], "2");
    assert_eq!(why["changes"].as_array().map(Vec::len), Some(3), "{why}");
    let said = shop.machine.run(&["why", "customers", "ann", "--name", "b"]);
    for part in ["customers ann   stands; made by a (", "by last_writer, beside 2 of a", "What lost in it", "INSERT"] {
        assert!(said.out.contains(part), "{part}: {said:?}");
    }
    let said = shop.machine.run(&["why", "customers", "nobody", "--name", "b"]);
    assert_eq!((said.code, said.error_code().as_str()), (1, "RM6102"), "{said:?}");
    sql(&shop.files[0], "DELETE FROM customers");
    let gone = || shop.machine.run(&["why", "customers", "ann", "--name", "b"]).out.contains("deleted by a (");
    eventually("b tells who deleted it", gone);
}

#[test]
fn an_accident_is_told_first_and_taken_back_on_all_nodes() {
    let shop = Shop::open();
    shop.both("INSERT INTO customers VALUES ('bob', '2', 5), ('cid', '3', 6); UPDATE customers SET visits = 11 WHERE id = 'ann'", "1 11");
    let rows = || {
        shop.files
            .each_ref()
            .map(|file| value(file, "SELECT count(*) || ' ' || coalesce(sum(visits), 0) FROM customers"))
    };
    let all = Some("3 22".to_owned());
    let none = Some("0 0".to_owned());
    eventually("both have all", || rows() == [all.clone(), all.clone()]);
    sql(&shop.files[1], "DELETE FROM customers");
    eventually("all are gone", || rows() == [none.clone(), none.clone()]);
    let log = shop.machine.json(&["log", "--table", "customers", "--limit", "1", "--name", "a"]);
    let seq = log["changes"][0]["seq"].to_string();
    let undo = ["undo", "--origin", "b", "--seq", &seq, "--name", "a"];
    let said = shop.machine.run(&undo);
    assert_eq!((said.code, said.error_code().as_str()), (2, "RM1322"), "nobody says yes: {said:?}");
    assert!(said.err.contains("3 rows would stand again."), "{said:?}");
    let trial = shop.machine.json(&[&undo[..], &["--dry-run"]].concat());
    assert_eq!((&trial["back"], &trial["events"], &trial["dry_run"]), (&3.into(), &0.into(), &true.into()), "{trial}");
    assert_eq!(rows(), [none.clone(), none]);
    let done = shop.machine.json(&[&undo[..], &["--yes"]].concat());
    assert_eq!((&done["back"], &done["events"]), (&3.into(), &3.into()), "{done}");
    eventually("all are back on both", || rows() == [all.clone(), all.clone()]);
    let said = shop.machine.run(&[&undo[..], &["--yes"]].concat());
    assert!(said.code == 0 && said.out.contains("nothing is to be taken back"), "{said:?}");

    let check = |line: &str, exit: i32, code: &str, part: &str| {
        let said = shop.machine.run(&line.split(' ').collect::<Vec<_>>());
        assert_eq!((said.code, said.error_code().as_str()), (exit, code), "{line}: {said:?}");
        assert!(said.err.contains(part), "{line}: {said:?}");
    };
    check("undo --origin b --seq 999 --name a", 1, "RM6103", "rowmesh log");
    check("undo --origin nobody --seq 1 --name a", 1, "RM5503", "rowmesh peers");
    check("undo --since 2h --table customer --name a", 2, "RM2001", "no table");
    check("undo --since yesterday-ish --name a", 2, "RM1321", "--since");
    assert_eq!(shop.machine.run(&["undo", "--seq", "1", "--name", "a"]).code, 2, "a number alone names nothing");
}

#[test]
fn what_cannot_be_settled_so_is_refused_with_what_to_type() {
    let shop = Shop::open().apart("UPDATE customers SET phone = '2'", "UPDATE customers SET phone = '3'");
    let id = shop.conflicts(1)[0]["id"].as_str().expect("an id").to_owned();
    let check = |rest: &str, exit: i32, code: &str, part: &str| {
        let line = format!("conflicts resolve {rest} --name a");
        let said = shop.machine.run(&line.split(' ').collect::<Vec<_>>());
        assert_eq!((said.code, said.error_code().as_str()), (exit, code), "{line}: {said:?}");
        assert!(said.err.contains(part), "{line}: {said:?}");
    };
    check("FFFFFFFFFFFFFFFF --keep shown", 1, "RM6101", "rowmesh conflicts ls --all");
    check(&format!("{id} --keep c"), 2, "RM1401", "b wrote what stands, a what lost");
    check(&format!("{id} --set colour=red"), 1, "RM5109", "customers has no column colour");
    check(&format!("{id} --set id=bob"), 1, "RM5109", "a row keeps its key");
    check(&format!("{id} --null visits"), 1, "RM5108", "nothing was changed");
    let said = shop.machine.run(&["conflicts", "resolve", &id, "--name", "a"]);
    assert_eq!(said.code, 2, "{said:?}");
    shop.check("3 10");
    assert_eq!(shop.conflicts(1)[0]["id"], id.as_str());
}
