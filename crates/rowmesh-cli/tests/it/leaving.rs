//! Leaving Rowmesh: the database is then as it was found.

use business::{Desk, Seed, Workload};

use crate::machine::{Machine, schema, sql};

/// Covers N6 from the command line, without the kill between the steps: it is one transaction, tested in the store.
#[test]
fn n6_uninstall_leaves_the_schema_byte_identical() {
    let machine = Machine::new();
    let path = machine.path("company.db");
    let desk = Desk::create(&path).expect("created");
    desk.seed(&Seed::small(1)).expect("seeded");
    let before = schema(&path);
    let contents = desk.contents().expect("read");
    let daemon = machine.start(&["up", "company.db", "--name", "a", "--yes"]);
    assert_ne!(schema(&path), before, "something was there to be removed");

    let dry = machine.json(&["uninstall", "company.db", "--dry-run"]);
    assert!(
        dry["removed"] == false && dry["triggers"].as_array().is_some_and(|triggers| triggers.len() > 100),
        "{dry}"
    );
    let refused = machine.run(&["uninstall", "company.db"]);
    assert_eq!((refused.code, refused.error_code().as_str()), (2, "RM1322"), "nobody said yes: {refused:?}");

    let mut daemon = daemon;
    let removed = machine.json(&["uninstall", "company.db", "--yes"]);
    assert_eq!(removed["removed"], true);
    assert_eq!(daemon.wait(), 0, "its daemon was stopped in peace");
    assert_eq!(schema(&path), before);
    assert_eq!(desk.contents().expect("read"), contents);
    let mut workload = Workload::new(2, "A");
    for _ in 0..50 {
        desk.work(&mut workload).expect("the application works on");
    }
    assert_eq!(machine.run(&["status"]).error_code(), "RM1312", "the node is forgotten");
}

/// All of it goes or nothing, the application writes at each step, and the next attempt finishes it.
#[test]
fn n6_an_uninstall_that_is_killed_leaves_all_or_nothing() {
    let machine = Machine::new();
    let path = machine.path("company.db");
    let desk = Desk::create(&path).expect("created");
    desk.seed(&Seed::small(1)).expect("seeded");
    let before = schema(&path);
    let mut workload = Workload::new(2, "A");
    let (mut whole, mut gone) = (0, 0);
    for kill in 0..16 {
        machine.json(&["init", "company.db", "--name", "a", "--yes", "--listen", "127.0.0.1:0"]);
        let installed = schema(&path);
        assert_ne!(installed, before);
        let mut uninstall = machine.command(&["uninstall", "company.db", "--yes"]).spawn().expect("started");
        std::thread::park_timeout(std::time::Duration::from_millis(kill * 4));
        uninstall.kill().expect("killed or over");
        uninstall.wait().expect("ended");
        let left = schema(&path);
        assert!(left == installed || left == before, "half of it is there after {kill}: {left}");
        if left == before {
            gone += 1
        } else {
            whole += 1
        }
        desk.work(&mut workload).expect("the application works at each step");
    }
    assert!(whole > 0, "no kill came before the end: {whole} whole, {gone} gone");
    machine.run(&["uninstall", "company.db", "--yes"]);
    assert_eq!(schema(&path), before);
}

#[test]
fn a_database_without_rowmesh_has_nothing_to_remove() {
    let machine = Machine::new();
    let shop = machine.shop("shop.db");
    sql(&shop, "CREATE TABLE rowmesh_loyalty (id TEXT PRIMARY KEY)");
    let before = schema(&shop);
    let said = machine.run(&["uninstall", "shop.db", "--yes"]);
    assert!(said.code == 0 && said.out.contains("Nothing of Rowmesh"), "{said:?}");
    assert_eq!(schema(&shop), before);
}

#[test]
fn a_database_can_be_set_up_again_after_it_was_left() {
    let machine = Machine::new();
    machine.shop("a.db");
    machine.start(&["up", "a.db", "--name", "a", "--yes"]).kill();
    assert_eq!(machine.run(&["uninstall", "a.db", "--yes"]).code, 0);
    let again = machine.start(&["up", "a.db", "--name", "a", "--yes"]);
    assert!(again.invite().starts_with("rm1."));
}
