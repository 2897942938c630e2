//! The configuration as the program reads it: places, precedence, mistakes. What every single mistake says is tested beside the parser.

use crate::machine::{Machine, said};

#[test]
fn the_example_is_a_configuration_that_is_accepted() {
    let machine = Machine::new();
    std::fs::write(machine.path("rowmesh.toml"), machine.run(&["config", "example"]).out).expect("written");
    let said = said(machine.command(&["config", "check"]).env("DATABASE_URL", "file:./shop.db"));
    assert_eq!(said.code, 0, "{said:?}");
    assert!(
        said.out.contains("rowmesh.toml") && said.out.contains("shop.db from environment DATABASE_URL"),
        "{said:?}"
    );
    assert_eq!(machine.run(&["config", "check"]).error_code(), "RM1106", "it names a variable that is not set");
}

#[test]
fn every_value_says_where_it_comes_from() {
    let machine = Machine::new();
    std::fs::write(machine.path("rowmesh.toml"), "[sync]\ninterval = \"10s\"\nlisten = \":7701\"\n").expect("written");
    std::fs::write(machine.path(".env"), "DATABASE_URL=\"file:./dev.db\"\n").expect("written");
    let mut command = machine.command(&["config", "show", "--json", "--name", "till"]);
    let document = said(command.env("ROWMESH_SYNC_LISTEN", ":7702")).json();
    let find = |key: &str| {
        let settings = document["settings"].as_array().expect("a list");
        let setting = settings.iter().find(|setting| setting["key"] == key).expect(key);
        (setting["value"].clone(), setting["source"].as_str().expect("text").to_owned())
    };
    assert_eq!(find("sync.listen"), (":7702".into(), "environment ROWMESH_SYNC_LISTEN".into()));
    assert_eq!(find("node.name"), ("till".into(), "--name".into()));
    assert_eq!(find("log.level"), ("info".into(), "default".into()));
    let (interval, source) = find("sync.interval");
    assert!(interval == "10s" && source.ends_with("rowmesh.toml:2"), "{source}");
    assert!(document["database"]["source"].as_str().is_some_and(|source| source.ends_with(".env:1")), "{document}");
}

#[test]
fn a_mistake_stops_every_command_with_its_place() {
    let machine = Machine::new();
    std::fs::write(machine.path("rowmesh.toml"), "[tables]\nexlude = []\n").expect("written");
    for line in ["status", "config check", "config show", "up shop.db --yes", "run", "doctor"] {
        let said = machine.run(&line.split(' ').collect::<Vec<_>>());
        assert_eq!((said.code, said.error_code().as_str()), (2, "RM1105"), "{line}: {said:?}");
        assert!(
            said.err.contains("rowmesh.toml:2:1 unknown key \"exlude\" in [tables]. Did you mean \"exclude\"?"),
            "{said:?}"
        );
    }
    let elsewhere = machine.run(&["config", "check", "--config", "absent.toml"]);
    assert_eq!((elsewhere.code, elsewhere.error_code().as_str()), (2, "RM1101"));
}

#[test]
fn a_misspelt_variable_is_told_and_check_counts_it() {
    let machine = Machine::new();
    let said = said(machine.command(&["config", "check"]).env("ROWMESH_SYNC_INTERVALL", "5s"));
    assert_eq!(said.code, 3, "{said:?}");
    assert!(said.err.contains("Did you mean ROWMESH_SYNC_INTERVAL?"), "{said:?}");
}

#[test]
fn init_begins_a_configuration_and_the_node_is_found_by_it() {
    let machine = Machine::new();
    machine.shop("shop.db");
    std::fs::write(machine.path(".env"), "DATABASE_URL=file:./shop.db\n").expect("written");
    let said = machine.run(&["init", "--yes", "--name", "till", "--listen", "127.0.0.1:0"]);
    assert_eq!(said.code, 0, "{said:?}");
    let written = std::fs::read_to_string(machine.path("rowmesh.toml")).expect("written");
    assert_eq!(written, "[node]\nname = \"till\"\n[database]\nurl = \"${DATABASE_URL}\"\n");
    let status = machine.run(&["status"]);
    assert_eq!((status.code, status.error_code().as_str()), (4, "RM4000"), "{status:?}");
    let again = machine.run(&["init", "--yes", "--listen", "127.0.0.1:0"]);
    assert_eq!(again.code, 0, "a second time changes nothing: {again:?}");
}
