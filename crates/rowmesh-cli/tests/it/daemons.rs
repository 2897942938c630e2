//! Daemons that run side by side, are killed, started again, asked too early or too late.

use std::time::{Duration, Instant};

use crate::machine::{Machine, eventually, said, signal, sql, value};

#[test]
fn a_killed_daemon_is_known_at_once_and_goes_on_where_it_was() {
    let machine = Machine::new();
    let (a, _b) = machine.pair();
    let address = a.address();
    a.kill();
    let times = [(); 3].map(|()| {
        let begun = Instant::now();
        let said = machine.run(&["status", "--name", "a"]);
        assert_eq!((said.code, said.error_code().as_str()), (4, "RM4000"), "{said:?}");
        assert!(said.err.contains("rowmesh run"), "{said:?}");
        begun.elapsed()
    });
    assert!(times.iter().min().is_some_and(|time| *time < Duration::from_millis(100)), "{times:?}");
    assert_eq!(machine.run(&["status", "--name", "a", "--json"]).json()["error"]["code"], "RM4000");
    assert_eq!(machine.run(&["doctor", "--name", "a"]).code, 3);

    sql(&machine.path("a.db"), "INSERT INTO products VALUES ('n', 'Nougat')");
    let a = machine.start_at(&["run", "--name", "a"], &address);
    eventually("what was written meanwhile arrives", || {
        value(&machine.path("b.db"), "SELECT name FROM products").is_some()
    });
    assert_eq!(a.terminate(), 0, "a service manager's word ends it in peace");
}

#[test]
fn up_is_enough_to_start_again() {
    let machine = Machine::new();
    machine.shop("a.db");
    machine.start(&["up", "a.db", "--name", "a", "--yes"]).kill();
    let again = machine.start(&["up", "a.db"]);
    assert_eq!(again.greeting["name"], "a", "the database's node, without being named");
    assert!(again.greeting["invite"].is_null(), "only a new mesh invites by itself");
}

#[test]
fn nodes_on_ports_of_the_systems_choice_find_each_other_after_both_were_killed() {
    let machine = Machine::new();
    let (a, b) = machine.pair();
    let addresses = [a.address(), b.address()];
    a.kill();
    b.kill();
    let a = machine.start(&["run", "--name", "a"]);
    let b = machine.start(&["run", "--name", "b"]);
    assert_eq!([a.address(), b.address()], addresses);
    sql(&machine.path("a.db"), "INSERT INTO products VALUES ('n', 'Nougat')");
    let said = machine.run(&["sync", "--wait", "--name", "a"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(value(&machine.path("b.db"), "SELECT name FROM products").is_some());
}

#[test]
fn a_ping_tells_who_can_be_reached_from_here() {
    let machine = Machine::new();
    let (_a, b) = machine.pair();
    eventually("b's address is known", || machine.run(&["peers", "ping", "b", "--name", "a"]).code == 0);
    let pings = machine.json(&["peers", "ping", "--name", "a"]);
    assert_eq!((&pings["pings"][0]["name"], &pings["pings"][0]["address"]), (&"b".into(), &b.address().into()));
    assert!(pings["pings"][0]["ms"].is_u64() && pings["pings"][0]["error"].is_null(), "{pings}");
    b.kill();
    let said = machine.run(&["peers", "ping", "--name", "a"]);
    assert!(said.code == 1 && said.out.contains("RM4401"), "{said:?}");
    assert_eq!(machine.run(&["peers", "ping", "nobody", "--name", "a"]).error_code(), "RM5503");
}

/// The line stays alone on stdout, so that a script may use it.
#[test]
fn an_invite_can_be_shown_to_a_camera() {
    let machine = Machine::new();
    machine.shop("a.db");
    let _a = machine.start(&["up", "a.db", "--name", "a", "--yes"]);
    let said = machine.run(&["invite", "--qr", "--name", "a"]);
    assert_eq!((said.code, said.out.lines().count()), (0, 1), "{said:?}");
    let picture: Vec<&str> = said.err.lines().filter(|line| line.contains(['█', '▀', '▄'])).collect();
    let width = picture.iter().map(|line| line.chars().count()).max().unwrap_or(0);
    assert!((21..=79).contains(&width), "it fits a terminal of 80 columns: {width}\n{}", said.err);
    assert!(picture.len() * 2 + 2 >= width, "it is square");
}

#[test]
fn a_taken_port_is_told_before_anything_is_changed() {
    let machine = Machine::new();
    let shop = machine.shop("shop.db");
    let before = crate::machine::schema(&shop);
    let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = holder.local_addr().expect("known").to_string();
    let said = machine.run(&["up", "shop.db", "--yes", "--listen", &address]);
    assert_eq!((said.code, said.error_code().as_str()), (1, "RM4201"), "{said:?}");
    assert!(said.err.contains("rowmesh up other.db --listen :7706"), "{said:?}");
    assert_eq!(crate::machine::schema(&shop), before);
    let said = machine.run(&["up", "shop.db", "--yes", "--listen", "nonsense"]);
    assert_eq!((said.code, said.error_code().as_str()), (2, "RM1401"), "{said:?}");
}

/// Covers C2 from the command line: the store's and the node's locks have tests of their own.
#[test]
fn c2_a_second_daemon_on_one_database_is_refused() {
    let machine = Machine::new();
    machine.shop("a.db");
    let _a = machine.start(&["up", "a.db", "--name", "a", "--yes"]);
    for arguments in
        [&["up", "a.db", "--name", "a", "--yes"][..], &["up", "a.db", "--data", "other", "--name", "x", "--yes"]]
    {
        let said = machine.run(&arguments.iter().copied().chain(["--listen", "127.0.0.1:0"]).collect::<Vec<_>>());
        assert_eq!((said.code, said.error_code().as_str()), (1, "RM4202"), "{said:?}");
    }
    assert_eq!(machine.run(&["status", "--name", "a"]).code, 0);
}

#[test]
fn several_nodes_of_one_machine_are_told_apart() {
    let machine = Machine::new();
    let (_a, b) = machine.pair();
    let asked = machine.run(&["status"]);
    assert_eq!((asked.code, asked.error_code().as_str()), (2, "RM1311"), "{asked:?}");
    assert!(asked.err.contains("--name a") && asked.err.contains("--name b"), "{asked:?}");
    let by_database = said(machine.command(&["status", "--json"]).env("DATABASE_URL", "file:./b.db"));
    assert_eq!(by_database.json()["name"], "b");
    let folder = b.greeting["data"].as_str().expect("a folder").to_owned();
    assert_eq!(machine.json(&["status", "--data", &folder])["name"], "b");
    let socket = b.greeting["socket"].as_str().expect("a socket").to_owned();
    assert_eq!(machine.json(&["status", "--socket", &socket])["name"], "b");
    b.kill();
    assert_eq!(machine.json(&["status"])["name"], "a", "the only one that runs");
}

/// Who answers and does not get done in time ends the waiting with 6; who cannot be reached is not waited for: 3 beside others, 1 alone.
#[test]
fn waiting_tells_who_was_late_from_who_is_away() {
    let machine = Machine::new();
    let (a, b) = machine.pair();
    let invite = machine.json(&["invite", "--name", "a"]);
    let c = machine.start(&["up", "c.db", "--name", "c", "--yes", "--join", invite["line"].as_str().expect("a line")]);
    let wait = |arguments: &[&str]| {
        machine.run(&["sync", "--wait", "--name", "a"].iter().chain(arguments).copied().collect::<Vec<_>>())
    };
    eventually("all know each other", || wait(&[]).code == 0);
    // Until its address has come round, a node is one that calls the others, and is waited for longer.
    let can_be_called = || {
        let peers = machine.json(&["peers", "--name", "a"]);
        let peers = peers.as_array().or_else(|| peers["peers"].as_array()).cloned().expect("a list");
        peers.len() == 2 && peers.iter().all(|peer| peer["address"] != "")
    };
    eventually("both can be called", can_be_called);

    signal("STOP", c.process());
    sql(&machine.path("a.db"), "INSERT INTO products VALUES ('n', 'Nougat')");
    let said = wait(&["--timeout", "2s"]);
    assert_eq!((said.code, said.error_code().as_str()), (6, "RM5001"), "{said:?}");
    assert!(said.err.contains("c is ") && !said.err.contains("b is "), "who is behind: {said:?}");
    assert!(value(&machine.path("b.db"), "SELECT name FROM products").is_some(), "the other was waited for");

    c.kill();
    let said = wait(&[]);
    assert_eq!(said.code, 3, "{said:?}");
    assert!(said.err.contains("c could not be reached"), "{said:?}");
    assert_eq!(wait(&["--peer", "b"]).code, 0);
    b.kill();
    let said = wait(&["--peer", "b"]);
    assert_eq!((said.code, said.error_code().as_str()), (1, "RM4401"), "{said:?}");
    let said = wait(&[]);
    assert_eq!((said.code, said.error_code().as_str()), (1, "RM4401"), "{said:?}");
    assert!(said.err.contains("b") && said.err.contains("c:"), "{said:?}");
    drop(a);
}

#[test]
fn a_log_that_is_followed_prints_one_document_a_line() {
    use std::io::{BufRead, BufReader};
    let machine = Machine::new();
    let shop = machine.shop("a.db");
    let _a = machine.start(&["up", "a.db", "--name", "a", "--yes"]);
    let mut follower =
        machine.command(&["log", "-f", "--json"]).stdout(std::process::Stdio::piped()).spawn().expect("started");
    let mut lines = BufReader::new(follower.stdout.take().expect("piped")).lines();
    for id in ["x", "y"] {
        sql(&shop, &format!("INSERT INTO products VALUES ('{id}', 'n')"));
        let line = lines.next().expect("a line").expect("readable");
        let change: serde_json::Value = serde_json::from_str(&line).expect("a document");
        assert_eq!(
            (change["operation"].as_str(), change["after"]["id"].as_str()),
            (Some("INSERT"), Some(id)),
            "{change}"
        );
    }
    follower.kill().expect("killed");
    follower.wait().expect("ended");
}

#[test]
fn tables_that_are_left_out_stay_out() {
    let machine = Machine::new();
    let shop = machine.shop("a.db");
    sql(&shop, "CREATE TABLE tmp_work (id TEXT PRIMARY KEY, x); CREATE TABLE sessions (id TEXT PRIMARY KEY, token)");
    let a = machine.start(&["up", "a.db", "--name", "a", "--yes", "--exclude", "tmp_*"]);
    let tables = machine.json(&["tables", "--name", "a"]);
    let synced: Vec<&str> = tables["tables"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|table| table["synced"] == true)
        .map(|table| table["name"].as_str().expect("a name"))
        .collect();
    assert_eq!(synced, ["products"], "{tables}");
    let _b = machine.start(&["up", "b.db", "--name", "b", "--yes", "--join", &a.invite()]);
    sql(
        &shop,
        "INSERT INTO tmp_work VALUES ('t', 1); INSERT INTO sessions VALUES ('s', 'secret'); INSERT INTO products VALUES ('p', 'P')",
    );
    eventually("what travels is there", || value(&machine.path("b.db"), "SELECT name FROM products").is_some());
    assert_eq!(value(&machine.path("b.db"), "SELECT id FROM tmp_work"), None);
    assert_eq!(value(&machine.path("b.db"), "SELECT id FROM sessions"), None);
}
