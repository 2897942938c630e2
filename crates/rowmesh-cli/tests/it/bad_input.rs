//! Databases, disks and schemas that are not as they should be: each is told by its code, with what helps and the right exit code, and
//! nothing is lost, applied twice or half. docs/testing.md lists all bad input with its tests; what arrives over the network is tested below
//! the program.

use std::process::Command;
use std::time::Duration;

use rusqlite::Connection;

use crate::machine::{Disk, Machine, Said, eventually, said, schema, sql, value};

const ANY_PORT: [&str; 2] = ["--listen", "127.0.0.1:0"];

fn up(machine: &Machine, database: &str, name: &str) -> Said {
    machine.run(&["up", database, "--name", name, "--yes", ANY_PORT[0], ANY_PORT[1]])
}

fn refused(said: &Said, code: &str, exit: i32, remedy: &str) {
    assert_eq!((said.error_code().as_str(), said.code), (code, exit), "{said:?}");
    assert!(said.err.contains(remedy) && said.err.contains(&format!("rowmesh explain {code}")), "{remedy}: {said:?}");
}

/// What `doctor` finds wrong, by code.
fn findings(machine: &Machine, name: &str) -> Vec<String> {
    let said = machine.run(&["doctor", "--name", name, "--json"]);
    assert_eq!(said.code, 3, "{said:?}");
    let checks = said.json()["checks"].as_array().expect("a list").clone();
    let errors = checks.iter().filter(|check| check["verdict"] == "error");
    errors.map(|check| check["code"].as_str().expect("a code").to_owned()).collect()
}

fn attention(machine: &Machine, name: &str) -> String {
    machine.json(&["status", "--name", name])["attention"].to_string()
}

#[test]
fn a_database_on_a_read_only_disk_is_refused_by_every_command_with_one_code() {
    let machine = Machine::new();
    let Some(disk) = Disk::mount(&machine.path("disk"), "8m") else { return };
    let shop = machine.shop("disk/shop.db");
    disk.remount("ro");
    refused(&up(&machine, "disk/shop.db", "a"), "RM3201", 5, "write access to the file and its folder");
    disk.remount("rw");
    machine.start(&["up", "disk/shop.db", "--name", "a", "--yes"]).terminate();
    let before = schema(&shop);
    disk.remount("ro");
    let run = machine.run(&["run", "--name", "a", ANY_PORT[0], ANY_PORT[1]]);
    refused(&run, "RM3201", 5, "write access to the file and its folder");
    assert_eq!(findings(&machine, "a"), ["RM3201", "RM4000"], "doctor names the same fault by the same code");
    refused(&machine.run(&["uninstall", "disk/shop.db", "--yes"]), "RM3201", 5, "write access");
    disk.remount("rw");
    assert_eq!(schema(&shop), before);
    let a = machine.start(&["run", "--name", "a"]);
    assert_eq!(machine.json(&["status", "--name", "a"])["capturing"], true);
    drop(a);
}

/// The files are open already: a kernel that makes a disk read-only under an open file refuses the next write, as it does here.
#[test]
fn a_database_that_becomes_read_only_while_the_daemon_runs_is_told_and_it_goes_on_when_it_is_writable_again() {
    let machine = Machine::new();
    let Some(_disk) = Disk::mount_image(&machine.path("disk"), &machine.path("image")) else { return };
    let shop = machine.shop("disk/shop.db");
    let a = machine.start(&["up", "disk/shop.db", "--name", "a", "--yes"]);
    let b = machine.start(&["up", "b.db", "--name", "b", "--yes", "--join", &a.invite()]);
    let there = machine.path("b.db");
    sql(&shop, "INSERT INTO products VALUES ('g', 'Gum')");
    eventually("all is well", || value(&there, "SELECT name FROM products WHERE id = 'g'").is_some());
    let files = [shop.clone(), machine.path("disk/shop.db-wal")];
    let freeze = |how: &str| {
        let frozen = Command::new("chattr").arg(how).args(&files).status().expect("chattr is there");
        assert!(frozen.success());
    };
    freeze("+i");
    sql(&there, "INSERT INTO products VALUES ('t', 'Tea')");
    eventually("the disk is told", || attention(&machine, "a").contains("RM8103"));
    assert_eq!(machine.run(&["status", "--check", "--name", "a"]).code, 3);
    assert!(findings(&machine, "a").contains(&"RM8103".to_owned()));
    freeze("-i");
    sql(&shop, "INSERT INTO products VALUES ('n', 'Nougat')");
    eventually("capture goes on", || value(&there, "SELECT name FROM products WHERE id = 'n'").is_some());
    eventually("so does receiving", || value(&shop, "SELECT name FROM products WHERE id = 't'").is_some());
    eventually("nothing needs a person any more", || attention(&machine, "a") == "[]");
    assert_eq!(machine.json(&["status", "--name", "a"])["capturing"], true);
    assert_eq!(value(&shop, "PRAGMA integrity_check").as_deref(), Some("ok"));
    drop((a, b));
}

#[test]
fn a_database_that_is_gone_is_named_by_every_command_with_one_code() {
    let machine = Machine::new();
    std::fs::create_dir(machine.path("disk")).expect("made");
    machine.shop("disk/shop.db");
    machine.start(&["up", "disk/shop.db", "--name", "a", "--yes"]).terminate();
    std::fs::rename(machine.path("disk"), machine.path("elsewhere")).expect("moved");
    let run = || machine.run(&["run", "--name", "a", ANY_PORT[0], ANY_PORT[1]]);
    refused(&run(), "RM1204", 2, "mount the folder");
    assert_eq!(findings(&machine, "a"), ["RM1204", "RM4000"]);
    std::fs::create_dir(machine.path("disk")).expect("made");
    refused(&run(), "RM1202", 2, "check the path");
    assert_eq!(findings(&machine, "a"), ["RM1202", "RM4000"]);
    let left: Vec<_> = std::fs::read_dir(machine.path("disk")).expect("there").collect();
    assert!(left.is_empty(), "nothing is made where a disk is to be mounted: {left:?}");
}

#[test]
fn a_full_disk_stops_setting_up_and_leaves_the_database_as_it_was() {
    let machine = Machine::new();
    let Some(disk) = Disk::mount(&machine.path("disk"), "160k") else { return };
    let shop = machine.shop("disk/shop.db");
    let before = schema(&shop);
    let ballast = disk.fill();
    let refusal = up(&machine, "disk/shop.db", "a");
    refused(&refusal, "RM8102", 1, "free some space");
    std::fs::remove_file(ballast).expect("removed");
    assert_eq!(schema(&shop), before);
    assert_eq!(value(&shop, "PRAGMA integrity_check").as_deref(), Some("ok"));
    disk.remount("size=64m");
    let a = machine.start(&["up", "disk/shop.db", "--name", "a", "--yes"]);
    assert_eq!(machine.json(&["status", "--name", "a"])["capturing"], true);
    drop(a);
}

/// As far as receiving goes: a reserve is not kept yet.
#[test]
fn h3_a_disk_that_fills_up_stops_receiving_and_loses_nothing() {
    let machine = Machine::new();
    let Some(disk) = Disk::mount(&machine.path("disk"), "2m") else { return };
    let mine = machine.shop("a.db");
    let a = machine.start(&["up", "a.db", "--name", "a", "--yes"]);
    let b = machine.start(&["up", "disk/b.db", "--name", "b", "--yes", "--join", &a.invite()]);
    let there = machine.path("disk/b.db");
    sql(
        &mine,
        "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 400)
                INSERT INTO products SELECT 'p' || i, hex(randomblob(10000)) FROM n",
    );
    eventually("the full disk is told", || attention(&machine, "b").contains("RM8102"));
    assert!(findings(&machine, "b").contains(&"RM8102".to_owned()));
    let half = value(&there, "SELECT count(*) || '' FROM products WHERE length(name) <> 20000");
    assert_eq!(half.as_deref(), Some("0"), "no row is half there");
    disk.remount("size=64m");
    eventually("it goes on by itself", || {
        value(&there, "SELECT count(*) || '' FROM products").as_deref() == Some("400")
    });
    let sum = |path| value(path, "SELECT group_concat(id || name, '') FROM (SELECT * FROM products ORDER BY id)");
    assert!(sum(&mine) == sum(&there), "each row as it was written");
    eventually("nothing needs a person any more", || attention(&machine, "b") == "[]");
    drop((a, b));
}

#[test]
fn a_database_that_is_locked_for_a_while_is_waited_for_and_then_told() {
    let machine = Machine::new();
    let shop = machine.shop("shop.db");
    let before = schema(&shop);
    let application = Connection::open(&shop).expect("opened");
    application.execute_batch("BEGIN IMMEDIATE").expect("begun");
    refused(&up(&machine, "shop.db", "a"), "RM5101", 1, "end the transaction of the program that holds the database");
    assert_eq!(schema(&shop), before);
    let release = std::thread::spawn(move || {
        std::thread::park_timeout(Duration::from_millis(1_500));
        application.execute_batch("COMMIT").expect("committed");
    });
    let a = machine.start(&["up", "shop.db", "--name", "a", "--yes"]);
    release.join().expect("released");
    drop(a);
}

#[test]
fn a_lock_on_a_running_node_is_told_and_what_it_delayed_arrives() {
    let machine = Machine::new();
    let (a, b) = machine.pair();
    sql(&machine.path("a.db"), "INSERT INTO products VALUES ('first', 'F')");
    eventually("they exchange", || value(&machine.path("b.db"), "SELECT name FROM products").is_some());
    let application = Connection::open(machine.path("b.db")).expect("opened");
    application.execute_batch("BEGIN IMMEDIATE; INSERT INTO products VALUES ('mine', 'M')").expect("begun");
    sql(&machine.path("a.db"), "INSERT INTO products VALUES ('theirs', 'T')");
    eventually("the lock is told", || {
        attention(&machine, "a").contains("RM") || attention(&machine, "b").contains("RM")
    });
    application.execute_batch("COMMIT").expect("committed");
    eventually("both rows are on both nodes", || {
        ["a.db", "b.db"]
            .iter()
            .all(|name| value(&machine.path(name), "SELECT count(*) || '' FROM products").as_deref() == Some("3"))
    });
    eventually("all is well again", || attention(&machine, "a") == "[]" && attention(&machine, "b") == "[]");
    drop((a, b));
}

/// B11 through the program: the list of mounts that it reads is replaced by one in which its disk is another machine's.
#[test]
fn b11_a_database_on_a_network_file_system_is_refused() {
    let machine = Machine::new();
    let shop = machine.shop("shop.db");
    let before = schema(&shop);
    let mounts = machine.path("mounts");
    std::fs::write(&mounts, "36 35 98:0 / / rw,noatime shared:1 - nfs4 server:/export rw\n").expect("written");
    let program = format!(
        "mount --bind {} /proc/$$/mountinfo && exec {} up shop.db --name a --yes --listen 127.0.0.1:0",
        mounts.display(),
        env!("CARGO_BIN_EXE_rowmesh")
    );
    if !Disk::may_mount() {
        return;
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &program]).current_dir(machine.path("")).env("HOME", machine.path("home"));
    let refusal = said(&mut command);
    refused(&refusal, "RM1205", 2, "move the database to a local disk");
    assert!(refusal.err.contains("nfs4"), "{refusal:?}");
    assert_eq!(schema(&shop), before);
}

#[test]
fn a_table_without_a_key_is_told_with_its_remedy_and_the_others_sync() {
    let machine = Machine::new();
    let shop = machine.shop("a.db");
    sql(&shop, "CREATE TABLE visits (at, who); INSERT INTO visits VALUES (1, 'me')");
    let plan = machine.json(&["tables", "plan", "a.db"]);
    assert_eq!((plan["skip"][0]["table"].as_str(), plan["skip"][0]["code"].as_str()), (Some("visits"), Some("RM2103")));
    assert!(plan["skip"][0]["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty()), "{plan}");
    let a = machine.start(&["up", "a.db", "--name", "a", "--yes"]);
    let b = machine.start(&["up", "b.db", "--name", "b", "--yes", "--join", &a.invite()]);
    sql(&shop, "INSERT INTO visits VALUES (2, 'you'); INSERT INTO products VALUES ('p', 'P')");
    eventually("the other table syncs", || value(&machine.path("b.db"), "SELECT name FROM products").is_some());
    assert_eq!(value(&machine.path("b.db"), "SELECT count(*) || '' FROM visits").unwrap_or("0".into()), "0");

    sql(&shop, "ALTER TABLE visits RENAME TO old_visits; CREATE TABLE visits (id TEXT PRIMARY KEY, at, who)");
    sql(&machine.path("b.db"), "DROP TABLE IF EXISTS visits; CREATE TABLE visits (id TEXT PRIMARY KEY, at, who)");
    sql(&shop, "INSERT INTO visits SELECT 'v' || at, at, who FROM old_visits");
    eventually("once it has a key it syncs, without a restart", || {
        value(&machine.path("b.db"), "SELECT count(*) || '' FROM visits").as_deref() == Some("2")
    });
    drop((a, b));
}

/// The migration runs on one node first and on the other later; both write all the time.
#[test]
fn a_column_that_is_renamed_or_dropped_on_one_node_first_loses_nothing() {
    let machine = Machine::new();
    machine.shop("a.db");
    let (left, right) = (machine.path("a.db"), machine.path("b.db"));
    sql(&left, "ALTER TABLE products ADD COLUMN price INTEGER; ALTER TABLE products ADD COLUMN colour TEXT");
    sql(&left, "INSERT INTO products VALUES ('old', 'Old', 1, 'red')");
    let a = machine.start(&["up", "a.db", "--name", "a", "--yes"]);
    let b = machine.start(&["up", "b.db", "--name", "b", "--yes", "--join", &a.invite()]);

    let migrate = "ALTER TABLE products RENAME COLUMN price TO cents; ALTER TABLE products DROP COLUMN colour";
    sql(&left, migrate);
    sql(&left, "INSERT INTO products VALUES ('new a', 'A', 100); UPDATE products SET name = 'Older' WHERE id = 'old'");
    sql(&right, "INSERT INTO products VALUES ('new b', 'B', 200, 'blue')");
    let names = |path: &std::path::Path| {
        value(path, "SELECT group_concat(id || '=' || name, ' ') FROM (SELECT * FROM products ORDER BY id)")
    };
    let all = Some("new a=A new b=B old=Older".to_owned());
    eventually("what both know goes on", || names(&left) == all && names(&right) == all);

    sql(&right, migrate);
    sql(&left, "UPDATE products SET cents = 101 WHERE id = 'new a'");
    sql(&right, "UPDATE products SET cents = 201 WHERE id = 'new b'");
    let cents = |path: &std::path::Path| {
        value(
            path,
            "SELECT group_concat(id || '=' || coalesce(cents, 'none'), ' ') FROM (SELECT * FROM products ORDER BY id)",
        )
    };
    let written = |path: &std::path::Path| cents(path).is_some_and(|cents| cents.contains("new a=101 new b=201"));
    eventually("after the migration both agree", || written(&left) && written(&right) && cents(&left) == cents(&right));
    for path in [&left, &right] {
        assert_eq!(value(path, "PRAGMA integrity_check").as_deref(), Some("ok"));
    }
    drop((a, b));
}

/// A moved file, an empty volume with the old key, and the old volume with a new key (`a_missing_data_folder…`).
#[test]
fn n7_a_database_that_was_moved_goes_on_and_an_empty_one_in_its_place_does_not() {
    let machine = Machine::new();
    machine.shop("disk/shop.db");
    let a = machine.start(&["up", "disk/shop.db", "--name", "a", "--yes"]);
    let node = machine.json(&["status", "--name", "a"])["node"].clone();
    a.terminate();
    std::fs::rename(machine.path("disk"), machine.path("new")).expect("moved");
    let run = || machine.run(&["run", "--name", "a", ANY_PORT[0], ANY_PORT[1]]);
    refused(&run(), "RM1204", 2, "rowmesh up NEW/PATH.db --name a");

    machine.shop("other.db");
    let other = machine.run(&["up", "other.db", "--name", "a", "--yes", ANY_PORT[0], ANY_PORT[1]]);
    refused(&other, "RM1313", 2, "Give the new node a name of its own");
    let a = machine.start(&["up", "new/shop.db", "--name", "a"]);
    assert_eq!(machine.json(&["status", "--name", "a"])["node"], node, "the same node");
    a.terminate();
    let a = machine.start(&["run", "--name", "a"]);
    assert_eq!(a.greeting["name"], "a", "it remembers where its database lies now");
    a.terminate();

    std::fs::rename(machine.path("new"), machine.path("lost")).expect("moved");
    let empty = machine.shop("new/shop.db");
    let before = schema(&empty);
    refused(&run(), "RM2109", 1, "Put the node's own database back");
    assert_eq!(schema(&empty), before, "nothing is begun in a database that is not the node's");
}

#[test]
fn a_missing_data_folder_is_told_and_never_replaced_in_silence() {
    let machine = Machine::new();
    let shop = machine.shop("a.db");
    let a = machine.start(&["up", "a.db", "--data", "state", "--name", "a", "--yes"]);
    a.terminate();
    let before = schema(&shop);
    std::fs::rename(machine.path("state"), machine.path("moved")).expect("moved");
    for command in ["run", "status", "doctor"] {
        let said = machine.run(&[command, "--data", "state"]);
        assert_eq!((said.error_code().as_str(), said.code), ("RM1312", 2), "{command}: {said:?}");
    }
    // Setting up anew would be another node: the database says whose it is.
    let said = machine.run(&["up", "a.db", "--data", "state", "--name", "a", "--yes", ANY_PORT[0], ANY_PORT[1]]);
    assert_eq!((said.error_code().as_str(), said.code), ("RM4125", 5), "{said:?}");
    assert_eq!(schema(&shop), before);
    let a = machine.start(&["run", "--data", "moved"]);
    assert_eq!(a.greeting["name"], "a", "with its folder it goes on");
}
