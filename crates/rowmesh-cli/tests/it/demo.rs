//! `rowmesh demo`, whole, with as little writing as it allows.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use crate::machine::{Machine, signal};

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

#[test]
fn a_demo_that_is_interrupted_ends_its_daemons_and_leaves_nothing_behind() {
    let machine = Machine::new();
    std::fs::create_dir(machine.path("tmp")).expect("made");
    let mut command = machine.command(&["demo", "--headless", "--seconds", "600"]);
    let mut demo = command.env("TMPDIR", machine.path("tmp")).stdout(Stdio::piped()).spawn().expect("started");
    let mut output = BufReader::new(demo.stdout.take().expect("piped"));
    let mut line = String::new();
    while !line.contains("all three write") {
        line.clear();
        assert!(output.read_line(&mut line).expect("readable") > 0, "it ended too early");
    }
    signal("INT", demo.id());
    let mut rest = String::new();
    output.read_to_string(&mut rest).expect("readable");
    assert_eq!(demo.wait().expect("ended").code(), Some(130), "{rest}");
    assert_eq!(std::fs::read_dir(machine.path("tmp")).expect("readable").count(), 0, "a file was left behind");
    let mine = machine.path("tmp").display().to_string();
    let of_mine = |line: &String| line.contains(&mine);
    assert_eq!(command_lines().into_iter().find(of_mine), None, "a daemon was left behind");
}

/// Of every process that runs, where the system tells.
fn command_lines() -> Vec<String> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten();
    let line = |entry: std::fs::DirEntry| std::fs::read(entry.path().join("cmdline")).ok();
    let lines = processes.filter_map(Result::ok).filter_map(line);
    lines.map(|line| String::from_utf8_lossy(&line).into_owned()).collect()
}
