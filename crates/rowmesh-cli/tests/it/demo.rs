//! `rowmesh demo`, whole, with as little writing as it allows.

use crate::machine::Machine;

#[test]
fn the_demo_ends_with_three_equal_nodes_and_leaves_nothing_behind() {
    let machine = Machine::new();
    std::fs::create_dir(machine.path("tmp")).expect("made");
    let mut command = machine.command(&["demo", "--headless", "--seconds", "3", "--json"]);
    let said =
        crate::machine::said(command.env("TMPDIR", machine.path("tmp")).env("DATABASE_URL", "postgres://elsewhere/x"));
    assert_eq!(said.code, 0, "{said:?}");
    let document = said.json();
    assert_eq!(document["equal"], true);
    let tables = document["tables"].as_array().expect("a list");
    assert_eq!(tables.len(), 70);
    assert!(tables.iter().all(|table| table["equal"] == true && table["digests"][0] == table["digests"][2]));
    let contested = |conflict: &&serde_json::Value| conflict["column"] == "phone" && conflict["state"] == "open";
    let count = document["conflicts"].as_array().expect("a list").iter().filter(contested).count();
    assert!(count >= 3, "both sides of the three edits are kept: {}", document["conflicts"]);
    assert_eq!(std::fs::read_dir(machine.path("tmp")).expect("readable").count(), 0, "a file was left behind");
}
