//! Tests of reading the configuration: what is accepted, and what every mistake is answered with.

use std::path::PathBuf;

use super::*;

struct Place {
    guard: tempfile::TempDir,
}

impl Place {
    fn with(text: &str) -> Place {
        let guard = tempfile::tempdir().expect("a folder");
        std::fs::write(guard.path().join("rowmesh.toml"), text).expect("written");
        Place { guard }
    }

    fn surroundings(&self, variables: &[(&str, &str)]) -> Surroundings {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Surroundings { variables, folder: self.guard.path().to_owned(), host: "till-1".into() }
    }

    fn load(&self, variables: &[(&str, &str)]) -> Outcome<Config> {
        Config::load(&self.surroundings(variables), None)
    }
}

/// The message, with the file's folder taken off.
fn refused(text: &str, code: &str) -> String {
    let place = Place::with(text);
    let failure = place.load(&[]).expect_err(text);
    assert_eq!(failure.code, code, "{text}: {failure:?}");
    failure.message.replace(&format!("{}/", place.guard.path().display()), "")
}

#[test]
fn an_unknown_key_is_named_with_its_place_and_the_key_that_was_meant() {
    let check = |text: &str, message: &str| assert_eq!(refused(text, "RM1105"), message);
    check("[tables]\nexlude = []\n", "rowmesh.toml:2:1 unknown key \"exlude\" in [tables]. Did you mean \"exclude\"?");
    check("\n  [snyc]\nlisten = \"x\"\n", "rowmesh.toml:2:4 unknown section [snyc]. Did you mean \"sync\"?");
    check("[dashboard]\nlisten = \"x\"\n", "rowmesh.toml:1:2 unknown section [dashboard]");
    check("[node]\nsecret = 1\n", "rowmesh.toml:2:1 unknown key \"secret\" in [node]");
    check("nam = \"x\"\n", "rowmesh.toml:1:1 unknown section [nam]");
    check(
        "[table.orders]\nkeys = [\"a\"]\n",
        "rowmesh.toml:2:1 unknown key \"keys\" in [table.orders]. Did you mean \"key\"?",
    );
    check("[[filters]]\nskp = \"x\"\n", "rowmesh.toml:2:1 unknown key \"skp\" in [[filters]]. Did you mean \"skip\"?");
}

#[test]
fn a_wrong_value_is_named_with_its_place_and_what_was_expected() {
    let check = |text: &str, part: &str| {
        let message = refused(text, "RM1103");
        assert!(message.starts_with("rowmesh.toml:") && message.contains(part), "{message}");
    };
    check("[sync]\ninterval = 30\n", "rowmesh.toml:2:12 sync.interval: expected a duration in quotes");
    check("[sync]\ninterval = \"30\"\n", "such as 30s");
    check("[log]\nlevel = \"loud\"\n", "none of error, warn, info");
    check("[tables]\ninclude = \"a\"\n", "expected a list of texts");
    check("[tables]\ninclude = [1]\n", "expected texts in quotes");
    check("[node]\nname = 7\n", "node.name: expected a text in quotes");
    check("node = \"x\"\n", "node is a section: write [node]");
    check("[table]\norders = 1\n", "write [table.orders]");
    check("[table.orders]\nsync = \"send\"\n", "expected \"both\" or \"off\"");
    check("[table.orders]\nconflicts = \"ask me\"\n", "expected \"update_wins\" or \"delete_wins\" or \"last_writer\"");
    check(
        "[table.orders]\ncolumns.stock = \"sum\"\n",
        "table.orders.columns.stock: expected \"last_writer\" or \"max\"",
    );
    check("[table.orders]\ncolumns = \"counter\"\n", "write columns.NAME = \"counter\"");
    check("[[filters]]\nname = \"demo\"\ntable = \"businesses\"\n", "a filter needs \"skip\"");
    check("[filters]\nname = \"demo\"\n", "write [[filters]]");
}

#[test]
fn what_is_not_toml_is_named_with_its_place() {
    let message = refused("[node]\nname = \"till\n", "RM1102");
    assert!(message.starts_with("rowmesh.toml:2:"), "{message}");
    assert!(refused("[node]\nname = \"a\"\nname = \"b\"\n", "RM1102").starts_with("rowmesh.toml:3:1"), "duplicate key");
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let place = Place::with("");
    let named = Config::load(&place.surroundings(&[]), Some(Path::new("other.toml"))).expect_err("not there");
    assert_eq!((named.code.as_str(), named.cause.as_str()), ("RM1101", "it was named by --config"));
    let named = Config::load(&place.surroundings(&[("ROWMESH_CONFIG", "other.toml")]), None).expect_err("not there");
    assert_eq!((named.code.as_str(), named.cause.as_str()), ("RM1101", "it was named by ROWMESH_CONFIG"));
}

#[test]
fn the_file_beats_the_default_the_environment_the_file_and_the_flag_all() {
    let place = Place::with("[sync]\ninterval = \"10s\"\n[node]\nname = \"file\"\n");
    let config = place.load(&[]).expect("loads");
    assert_eq!(config.duration("sync.interval"), Duration::from_secs(10));
    assert!(config.setting("sync.interval").source.to_string().ends_with("rowmesh.toml:2"));
    assert_eq!(config.setting("sync.listen").source, Source::Default);
    let mut config = place.load(&[("ROWMESH_SYNC_INTERVAL", "5s")]).expect("loads");
    assert_eq!(config.duration("sync.interval"), Duration::from_secs(5));
    assert_eq!(config.setting("sync.interval").source.to_string(), "environment ROWMESH_SYNC_INTERVAL");
    config.set_remembered("node.name", Value::Text("remembered".into()), Path::new("/x"));
    assert_eq!(config.text("node.name"), "file");
    config.set_flag("node.name", Value::Text("flag".into()), "--name");
    assert_eq!(config.text("node.name"), "flag");
}

#[test]
fn a_wrong_variable_is_an_error_and_an_unknown_one_a_warning() {
    let place = Place::with("");
    let failure = place.load(&[("ROWMESH_SYNC_INTERVAL", "soon")]).expect_err("no duration");
    assert_eq!(failure.code, "RM1104");
    assert!(failure.message.starts_with("environment variable ROWMESH_SYNC_INTERVAL"), "{}", failure.message);
    let config = place.load(&[("ROWMESH_SYNC_INTERVALL", "5s"), ("ROWMESH_HOME", "x")]).expect("loads");
    let expected = "environment variable ROWMESH_SYNC_INTERVALL sets nothing. Did you mean ROWMESH_SYNC_INTERVAL?";
    assert_eq!(config.warnings, [expected]);
}

#[test]
fn lists_in_variables_are_separated_by_commas() {
    let place = Place::with("");
    let config = place.load(&[("ROWMESH_TABLES_EXCLUDE", "tmp_*, old")]).expect("loads");
    assert_eq!(config.list("tables.exclude"), ["tmp_*", "old"]);
}

#[test]
fn tables_and_filters_are_read() {
    let text = "[table.audit_logs]\nsync = \"off\"\n[table.\"order items\"]\nkey = [\"order_id\", \"line_no\"]\n\
        [[filters]]\nname = \"demo\"\ntable = \"businesses\"\nskip = \"id LIKE 'demo-%'\"\nfollow = [\"a.b\"]\nseveral_owners = \"all\"\n";
    let config = Place::with(text).load(&[]).expect("loads");
    assert!(config.tables["audit_logs"].off);
    assert_eq!(config.tables["order items"].key, ["order_id", "line_no"]);
    assert_eq!(config.filters.len(), 1);
    assert_eq!(config.filters[0].follow, ["a.b"]);
    assert_eq!(config.filters[0].several_owners.as_deref(), Some("all"));
}

#[test]
fn the_example_is_accepted_and_says_the_defaults() {
    let example = example::example();
    let config = Place::with(&example).load(&[]).expect("the example is accepted");
    for key in KEYS {
        assert!(example.contains(&format!("{} = ", key.name())), "{}", key.path);
        let default = Config::default().setting(key.path).value;
        assert_eq!(config.setting(key.path).value, default, "{}", key.path);
    }
}

#[test]
fn the_commented_parts_of_the_example_are_accepted_too() {
    let uncommented = |line: &str| {
        let code = line.strip_prefix("# ").filter(|rest| rest.starts_with('[') || rest.contains(" = "));
        code.unwrap_or(line).to_owned()
    };
    let text: Vec<String> = example::example().lines().map(uncommented).collect();
    let config = Place::with(&text.join("\n")).load(&[]).expect("accepted without its comment signs");
    assert_eq!(config.filters.len(), 1);
    assert_eq!(config.tables["order_items"].key.len(), 2);
}

#[test]
fn what_init_writes_is_read_back() {
    let text = example::written_by_init("till \"1\"", "${DATABASE_URL}");
    let config = Place::with(&text).load(&[("DATABASE_URL", "shop.db")]).expect("loads");
    assert_eq!(config.text("node.name"), "till \"1\"");
    assert!(database::require(&config, None).expect("found").place.to_string().ends_with("shop.db"));
}

#[test]
fn files_are_looked_for_in_the_order_of_the_manual() {
    let at = |variables: &[(&str, &str)]| {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        candidates(&Surroundings { variables, folder: "/here".into(), host: String::new() })
    };
    let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
    assert_eq!(at(&[]), paths(&["/here/rowmesh.toml", "/etc/rowmesh/rowmesh.toml"]));
    assert_eq!(at(&[("HOME", "/h")])[1], PathBuf::from("/h/.config/rowmesh/rowmesh.toml"));
    assert_eq!(at(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/c")])[1], PathBuf::from("/c/rowmesh/rowmesh.toml"));
}

/// Covers N5: a file is taken whole or not at all, and no mistake in one makes us panic.
#[test]
fn n5_mutated_files_are_taken_whole_or_refused_with_a_place() {
    let example = example::example();
    let bytes = example.as_bytes();
    let place = Place::with("");
    for at in 0..bytes.len() {
        let mut mutated = bytes.to_vec();
        mutated[at] = b"=\"[]x\n"[at % 6];
        std::fs::write(place.guard.path().join("rowmesh.toml"), &mutated).expect("written");
        if let Err(failure) = place.load(&[]) {
            assert!(["RM1102", "RM1103", "RM1105"].contains(&failure.code.as_str()), "{failure:?}");
            assert!(failure.message.contains("rowmesh.toml:"), "{failure:?}");
        }
    }
}
