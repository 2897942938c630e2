//! Command lines, right and wrong, without any node: what they print, where, and how they end.

use std::process::Stdio;

use crate::machine::{Machine, said, schema, sql};

#[test]
fn wrong_usage_ends_with_2_and_says_what_was_meant() {
    let machine = Machine::new();
    let check = |line: &str, part: &str| {
        let said = machine.run(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(said.code, 2, "{line}: {said:?}");
        assert!(said.out.is_empty() && said.err.contains(part), "{line}: {said:?}");
    };
    check("statsu", "'status'");
    check("verify", "unrecognized subcommand");
    check("invite --ttl 15", "such as 30s");
    check("conflicts show", "<ID>");
    let said = machine.run(&["statsu", "--json"]);
    assert_eq!((said.code, said.error_code().as_str()), (2, "RM1001"), "{said:?}");
}

#[test]
fn help_and_version_are_data() {
    let machine = Machine::new();
    for arguments in [&["--help"][..], &["-h"], &["up", "--help"], &["--version"], &["version"]] {
        let said = machine.run(arguments);
        assert_eq!(said.code, 0, "{arguments:?}");
        assert!(!said.out.is_empty() && said.err.is_empty(), "{arguments:?}: {said:?}");
    }
    let up = machine.run(&["up", "--help"]).out;
    assert!(up.starts_with("rowmesh up shop.db"), "examples come first: {up}");
    assert_eq!(machine.json(&["version"])["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn commands_without_a_node_say_how_to_get_one() {
    let machine = Machine::new();
    for line in ["status", "peers", "tables", "log", "conflicts", "sync --wait", "pause", "resume", "invite", "doctor"]
    {
        let said = machine.run(&line.split(' ').collect::<Vec<_>>());
        assert_eq!((said.code, said.error_code().as_str()), (2, "RM1312"), "{line}: {said:?}");
        assert!(said.err.contains("rowmesh up shop.db"), "{line}: {said:?}");
        let said = machine.run(&line.split(' ').chain(["--json"]).collect::<Vec<_>>());
        let error = &said.json()["error"];
        assert_eq!(error["code"], "RM1312", "{line}");
        assert_eq!(error["docs"], "rowmesh explain RM1312");
        assert!(said.err.is_empty(), "{line}: {said:?}");
    }
}

#[test]
fn the_licences_of_all_parts_can_be_listed() {
    let machine = Machine::new();
    let said = machine.run(&["version", "--licenses"]);
    assert!(said.code == 0 && said.out.contains("\nrusqlite ") && said.out.contains("MIT"), "{said:?}");
    let document = machine.json(&["version", "--licenses"]);
    let parts = document["parts"].as_array().expect("a list");
    let is_whole = |part: &&serde_json::Value| {
        ["name", "version", "license"].iter().all(|key| part[key].as_str().is_some_and(|text| !text.is_empty()))
    };
    assert_eq!(parts.iter().filter(is_whole).count(), parts.len(), "{document}");
    assert!(parts.len() > 50, "{}", parts.len());
}

#[test]
fn a_code_is_explained_and_an_unknown_one_refused() {
    let machine = Machine::new();
    assert!(machine.run(&["explain", "rm1105"]).out.contains("Unknown key"));
    assert_eq!(machine.json(&["explain", "1105"])["code"], "RM1105");
    assert!(machine.json(&["explain"])["codes"].as_array().is_some_and(|codes| codes.len() > 15));
    let said = machine.run(&["explain", "RM9999"]);
    assert_eq!((said.code, said.error_code().as_str()), (2, "RM1501"));
}

#[test]
fn completions_and_manual_name_the_commands() {
    let machine = Machine::new();
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let said = machine.run(&["completions", shell]);
        assert!(said.code == 0 && said.out.contains("conflicts"), "{shell}");
    }
    assert!(machine.run(&["man"]).out.starts_with(".ie"));
    assert_eq!(machine.run(&["man", "--out", "pages"]).code, 0);
    assert!(machine.path("pages/rowmesh-status.1").exists());
}

#[test]
fn colours_are_where_they_are_wanted() {
    let machine = Machine::new();
    let coloured = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = machine.command(arguments);
        command.envs(variables.iter().copied());
        said(&mut command).out.contains('\x1b')
    };
    assert!(!coloured(&["explain"], &[]), "stdout is no terminal here");
    assert!(coloured(&["explain"], &[("CLICOLOR_FORCE", "1")]));
    assert!(!coloured(&["explain"], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
    assert!(coloured(&["explain", "--color", "always"], &[("NO_COLOR", "1")]));
    assert!(!coloured(&["explain", "--color", "never"], &[("CLICOLOR_FORCE", "1")]));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let machine = Machine::new();
    let mut child = machine.command(&["man"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("ended");
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn nothing_is_changed_before_somebody_said_yes() {
    let machine = Machine::new();
    let shop = machine.shop("shop.db");
    let before = schema(&shop);
    let said = machine.run(&["up", "shop.db"]);
    assert_eq!((said.code, said.error_code().as_str()), (2, "RM1322"), "{said:?}");
    assert!(said.err.contains("products") && said.err.contains("--yes"), "the plan and the flag: {said:?}");
    let said = machine.run(&["up", "shop.db", "--dry-run"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("sync       1 table   products"), "{said:?}");
    let plan = machine.json(&["tables", "plan", "shop.db"]);
    assert_eq!(plan["sync"][0]["table"], "products");
    assert_eq!(schema(&shop), before);
    assert!(!machine.path("home").exists(), "not even a folder was made");
}

#[test]
fn b9_the_plan_tells_what_becomes_of_each_trigger_and_the_configuration_has_the_last_word() {
    let machine = Machine::new();
    let shop = machine.shop("shop.db");
    sql(
        &shop,
        "CREATE VIRTUAL TABLE words USING fts5 (name);
         CREATE TRIGGER index_words AFTER INSERT ON products BEGIN INSERT INTO words (name) VALUES (NEW.id); END",
    );
    let note = || {
        let plan = machine.json(&["tables", "plan", "shop.db"]);
        let notes = plan["notes"].as_array().expect("a list").clone();
        notes.into_iter().find(|note| note.as_str().is_some_and(|note| note.contains("index_words"))).expect("told")
    };
    assert!(note().as_str().expect("text").contains("also runs for changes from other nodes: it maintains words"));
    std::fs::write(machine.path("rowmesh.toml"), "[triggers]\nleave = [\"index_words\"]\n").expect("written");
    assert!(
        note().as_str().expect("text").contains("does not run for changes from other nodes: the configuration says so")
    );
}

#[test]
fn what_is_no_database_to_keep_in_sync_is_told_apart() {
    let machine = Machine::new();
    std::fs::write(machine.path("notes.txt"), "This is no database, whatever its name says.".repeat(30))
        .expect("written");
    sql(&machine.path("empty.db"), "");
    let check = |database: &str, code: &str, exit: i32| {
        let said = machine.run(&["up", database, "--yes"]);
        assert_eq!((said.error_code().as_str(), said.code), (code, exit), "{database}: {said:?}");
        assert!(said.err.contains(&format!("rowmesh explain {code}")), "{said:?}");
    };
    check("postgres://app:hunter2@db.invalid/shop", "RM1207", 2);
    check("mysql://app@db.invalid/shop", "RM1301", 2);
    check("oracle://db", "RM1302", 2);
    check(":memory:", "RM1302", 2);
    check("absent.db", "RM1202", 2);
    check("notes.txt", "RM1203", 2);
    check("no/such/folder/shop.db", "RM1204", 2);
    let said = machine.run(&["up", "--yes"]);
    assert_eq!((said.code, said.error_code().as_str()), (2, "RM1201"));
    assert!(!machine.run(&["up", "postgres://app:hunter2@db.invalid/shop"]).err.contains("hunter2"));
}
