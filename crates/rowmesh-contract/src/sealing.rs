//! `seal`: what of many writes becomes one changeset, what each event tells, and what a changeset says of itself.

use rowmesh_core::changeset::Changeset;
use rowmesh_core::clock::WallTime;
use rowmesh_core::event::Operation;
use rowmesh_core::ident::{Digest, Seq};
use rowmesh_core::limits;
use rowmesh_core::store::{Sealed, Store};

use crate::node::{EPOCH, MESH, Node, check_equal, converge, lacked, nodes, now, two};
use crate::place::Place;

const ITEMS: &str = "CREATE TABLE items (id TEXT PRIMARY KEY, name TEXT, stock INTEGER)";

/// A node that holds apple and bread, sealed.
fn stocked<P: Place>() -> Node<P> {
    let mut node = Node::<P>::new(1, ITEMS);
    node.run("INSERT INTO items VALUES ('a', 'apple', 1), ('b', 'bread', 2)");
    node.seal();
    node
}

/// What a changeset does, a line per event.
fn told(changeset: &Changeset) -> Vec<String> {
    let line = |event: &rowmesh_core::event::Event| {
        let key = event.key(changeset.shape(event)).to_display();
        format!("{} {key}", event.operation.as_str())
    };
    let mut lines: Vec<String> = changeset.events().iter().map(line).collect();
    lines.sort();
    lines
}

/// Runs statements on a node that holds apple and bread, and compares what one seal makes of them.
fn check_net_effect<P: Place>(node: &mut Node<P>, sql: &str, expected: &[&str]) {
    let before = node.last();
    node.run(sql);
    let sealed = node.store.seal(now()).expect("sealed");
    assert!(!sealed.more);
    let news = node.log().into_iter().filter(|changeset| changeset.dot().seq > before).collect::<Vec<_>>();
    assert_eq!(news.iter().map(Changeset::dot).collect::<Vec<_>>(), sealed.dots, "{sql}");
    assert_eq!(news.iter().flat_map(told).collect::<Vec<_>>(), expected, "{sql}");
    assert_eq!(sealed.events, expected.len() as u64, "{sql}");
}

pub(crate) fn p1_of_many_writes_their_net_effect_is_sealed<P: Place>() {
    let mut node = stocked::<P>();
    let checks: [(&str, &[&str]); 8] = [
        ("INSERT INTO items VALUES ('c', 'corn', 0); UPDATE items SET stock = 9 WHERE id = 'c'", &["INSERT c"]),
        ("INSERT INTO items VALUES ('d', 'dates', 0); DELETE FROM items WHERE id = 'd'", &[]),
        ("UPDATE items SET stock = 5 WHERE id = 'a'; UPDATE items SET stock = 1 WHERE id = 'a'", &[]),
        ("UPDATE items SET stock = stock", &[]),
        ("UPDATE items SET stock = 6 WHERE id = 'a'; DELETE FROM items WHERE id = 'a'", &["DELETE a"]),
        ("INSERT INTO items VALUES ('a', 'almond', 3); UPDATE items SET name = 'acorn' WHERE id = 'a'", &["INSERT a"]),
        ("DELETE FROM items WHERE id = 'b'; INSERT INTO items VALUES ('b', 'butter', 2)", &["UPDATE b"]),
        ("BEGIN; DELETE FROM items WHERE id = 'b'; INSERT INTO items VALUES ('b', 'butter', 2); COMMIT", &[]),
    ];
    for (sql, expected) in checks {
        check_net_effect(&mut node, sql, expected);
    }
    check_net_effect(&mut node, "UPDATE items SET id = 'z' WHERE id = 'c'", &["DELETE c", "INSERT z"]);
    assert_eq!(node.store.reconcile(None, now()).expect("read"), 0);
}

pub(crate) fn where_nothing_changed_nothing_is_sealed<P: Place>() {
    let mut node = stocked::<P>();
    let before = node.store.position();
    assert_eq!(node.store.seal(now()).expect("sealed"), Sealed::default());
    node.run("UPDATE items SET stock = stock; DELETE FROM items WHERE id = 'nobody'");
    assert_eq!(node.store.seal(now()).expect("sealed"), Sealed::default());
    assert_eq!(node.store.position(), before, "and no number is used for it");
}

pub(crate) fn each_event_tells_the_row_before_and_after<P: Place>() {
    let mut node = Node::<P>::new(1, ITEMS);
    for sql in ["INSERT INTO items VALUES ('a', 'apple', NULL)", "UPDATE items SET stock = 2", "DELETE FROM items"] {
        node.run(sql);
        node.seal();
    }
    let told: Vec<(String, Option<String>, Option<String>)> =
        node.events().into_iter().rev().map(|event| (event.operation, event.before, event.after)).collect();
    let (first, second) = (r#"{"id":"a","name":"apple","stock":null}"#, r#"{"id":"a","name":"apple","stock":2}"#);
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        told,
        [
            ("INSERT".to_owned(), None, text(first)),
            ("UPDATE".to_owned(), text(first), text(second)),
            ("DELETE".to_owned(), text(second), None),
        ]
    );
    let log = node.log();
    let update = &log[1].events()[0];
    assert_eq!(update.operation, Operation::Update);
    assert_eq!(update.written.len(), 1, "only what differs is written: {:?}", update.written);
}

pub(crate) fn one_round_is_one_changeset_however_many_transactions_made_it<P: Place>() {
    let mut node = Node::<P>::new(1, &format!("{ITEMS}; CREATE TABLE others (id TEXT PRIMARY KEY)"));
    for n in 0..20 {
        node.run(&format!(
            "BEGIN; INSERT INTO items VALUES ('{n}', 'x', {n}); INSERT INTO others VALUES ('{n}'); COMMIT"
        ));
    }
    let sealed = node.store.seal(now()).expect("sealed");
    assert_eq!((sealed.dots.len(), sealed.events, sealed.more), (1, 40, false));
}

pub(crate) fn a_changeset_tells_where_it_belongs_when_it_was_sealed_and_what_came_before_it<P: Place>() {
    let mut node = Node::<P>::new(1, ITEMS);
    let mut previous = Digest::default();
    for seq in 1..=3 {
        node.run(&format!("INSERT INTO items VALUES ('{seq}', 'x', 1)"));
        let at = WallTime(now().0 + seq * 1_000);
        node.store.seal(at).expect("sealed");
        let changeset = node.log().pop().expect("it is in the log");
        let header = changeset.header();
        assert_eq!((header.dot, header.mesh, header.epoch), (node.dot(seq), MESH, EPOCH));
        assert_eq!((header.previous, header.sealed_at, header.part, header.parts), (previous, at, 1, 1));
        assert_eq!(header.lamport_max, changeset.events()[0].lamport);
        assert_eq!(header.context.vector.get(&header.dot.origin), Seq(seq - 1));
        previous = changeset.hash();
    }
}

pub(crate) fn the_context_of_a_changeset_is_what_its_node_knew_but_for_what_was_parked<P: Place>() {
    let mut nodes = nodes::<P>(2, ITEMS);
    nodes[0].run("CREATE TABLE plants (id TEXT PRIMARY KEY); INSERT INTO plants VALUES ('fern'); INSERT INTO items VALUES ('a', 'apple', 1)");
    nodes[0].store.follow_schema(now()).expect("followed");
    nodes[0].seal();
    let (one, two) = two(&mut nodes);
    two.run("INSERT INTO items VALUES ('early', 'x', 1)");
    two.seal();
    two.pull(one);
    two.run("INSERT INTO items VALUES ('late', 'x', 1)");
    two.seal();
    let contexts: Vec<_> = two
        .log()
        .into_iter()
        .filter(|changeset| changeset.dot().origin == two.store.position().origin)
        .map(|changeset| changeset.header().context.clone())
        .collect();
    let of_one = one.dot(1);
    assert!(!contexts[0].vector.covers(&of_one) && contexts[0].parked.is_empty());
    assert!(contexts[1].vector.covers(&of_one));
    let parked: Vec<_> = contexts[1].parked.iter().map(|id| (&*id.table, id.key.to_display())).collect();
    assert_eq!(parked, [("plants", "fern".to_owned())]);
}

pub(crate) fn c6_an_edit_made_after_seeing_another_lies_above_it_whatever_the_clock_says<P: Place>() {
    let mut nodes = nodes::<P>(2, ITEMS);
    nodes[0].run("INSERT INTO items VALUES ('a', 'apple', 1)");
    let hour = 3_600_000;
    nodes[0].place.date_notes(WallTime(now().0 + hour));
    nodes[0].store.seal(WallTime(now().0 + hour)).expect("sealed");
    let (one, two) = two(&mut nodes);
    two.pull(one);
    two.run("UPDATE items SET name = 'apricot'");
    two.store.seal(now()).expect("sealed");
    let log = two.log();
    assert!(log[1].events()[0].lamport > log[0].events()[0].lamport);
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[0].texts("SELECT name FROM items"), ["apricot"]);
}

pub(crate) fn a_round_too_large_for_one_changeset_is_sealed_in_numbered_parts<P: Place>() {
    let mut nodes = nodes::<P>(2, ITEMS);
    let wide = "x".repeat(limits::CHANGESET_BYTES_TARGET / 100);
    nodes[0].run(&format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 250) INSERT INTO items SELECT 'n' || i, '{wide}', i FROM n"
    ));
    let mut calls = 0;
    loop {
        let sealed = nodes[0].store.seal(now()).expect("sealed");
        calls += 1;
        assert_eq!(sealed.dots, [nodes[0].dot(calls)], "a part for each call");
        if !sealed.more {
            break;
        }
    }
    let log = nodes[0].log();
    assert_eq!(log.iter().map(|changeset| changeset.events().len()).sum::<usize>(), 250, "each row in one of them");
    assert!(log.len() > 1 && log.len() as u64 == calls);
    for changeset in &log {
        assert!(changeset.bytes().len() < 2 * limits::CHANGESET_BYTES_TARGET);
    }
    converge(&mut nodes);
    check_equal(&mut nodes);
}

pub(crate) fn c1_h6_q31_a_round_in_several_parts_is_whole_after_each_of_them<P: Place>() {
    let schema = "CREATE TABLE p (id TEXT PRIMARY KEY, v INTEGER, fill TEXT);
                  CREATE TABLE c (id TEXT PRIMARY KEY, p TEXT NOT NULL REFERENCES p (id) ON DELETE CASCADE, v INTEGER, fill TEXT);
                  CREATE INDEX c_p ON c (p)";
    let mut nodes = nodes::<P>(2, schema);
    let wide = "x".repeat(limits::CHANGESET_BYTES_TARGET / 300);
    // Many transactions in one round: parents, children, parents again, children that go with their parents at the end.
    nodes[0].run(&format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 250) INSERT INTO p SELECT 'p' || i, i, '{wide}' FROM n;
         INSERT INTO c SELECT 'c' || v, id, v, fill FROM p; UPDATE p SET v = -v;
         INSERT INTO c SELECT 'd' || -v, id, v, fill FROM p WHERE v % 2 = 0"
    ));
    assert!(converge_step_by_step(&mut nodes) > 1, "the round must have been cut");
    nodes[0].run(
        "UPDATE c SET v = v + 1; DELETE FROM p WHERE v % 2 = 0; INSERT INTO p SELECT 'again' || id, v, fill FROM c",
    );
    assert!(converge_step_by_step(&mut nodes) > 1, "the round must have been cut");
    check_equal(&mut nodes);
}

/// Takes one changeset after the other, each a whole on a copy that holds only those before it. Returns how many.
fn converge_step_by_step<P: Place>(nodes: &mut [Node<P>]) -> usize {
    nodes[0].seal();
    let (one, two) = two(nodes);
    let changesets = lacked(two, one);
    for changeset in &changesets {
        two.take(std::slice::from_ref(changeset));
        two.place.check_sound();
        assert_eq!(two.store.parked().expect("read"), [], "after {}", changeset.dot());
    }
    changesets.len()
}

pub(crate) fn d1_an_edit_made_between_two_parts_of_a_round_is_sealed_before_anything_is_applied_over_it<P: Place>() {
    let mut nodes = nodes::<P>(2, ITEMS);
    nodes[0].run("INSERT INTO items VALUES ('a', 'first', 1)");
    converge(&mut nodes);
    nodes[1].run("UPDATE items SET name = 'of b' WHERE id = 'a'");
    nodes[1].seal();
    let (one, two) = two(&mut nodes);
    let of_b = lacked(one, two);
    let wide = "x".repeat(limits::CHANGESET_BYTES_TARGET / 100);
    one.run(&format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150) INSERT INTO items SELECT 'n' || i, '{wide}', i FROM n"
    ));
    assert!(one.store.seal(now()).expect("sealed").more, "the round has a second part");
    one.run("UPDATE items SET name = 'of a' WHERE id = 'a'");
    one.take(&of_b);
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[0].ledger().len(), 1, "both edits are known, and the one that lost is in the ledger");
}

pub(crate) fn h7_a_change_too_large_to_travel_stays_alone_and_everything_else_flows<P: Place>() {
    let mut nodes = nodes::<P>(2, ITEMS);
    let large = |text: &str| text.repeat(17 << 20);
    nodes[0].run(&format!("INSERT INTO items VALUES ('large', '{}', 1), ('a', 'apple', 1)", large("x")));
    converge(&mut nodes);
    assert_eq!(
        nodes[1].texts("SELECT CAST(length(name) AS TEXT) FROM items WHERE id = 'large'"),
        [(17 << 20).to_string()]
    );
    // Before and after together are more than a change may be.
    nodes[0].run(&format!(
        "UPDATE items SET name = '{}' WHERE id = 'large'; UPDATE items SET stock = 2 WHERE id = 'a'",
        large("y")
    ));
    converge(&mut nodes);
    nodes[0].run("UPDATE items SET stock = 3 WHERE id = 'a'");
    converge(&mut nodes);
    assert_eq!(nodes[1].texts("SELECT CAST(stock AS TEXT) FROM items WHERE id = 'a'"), ["3"]);
    assert_eq!(nodes[0].store.held_back().expect("read").len(), 1, "nothing stays behind unnoticed");
    assert_eq!(nodes[0].store.reconcile(None, now()).expect("compared"), 0, "it is named already");
    nodes[0].run("UPDATE items SET name = 'small' WHERE id = 'large'");
    converge(&mut nodes);
    assert_eq!(nodes[0].store.held_back().expect("read").len(), 0);
    check_equal(&mut nodes);
}

pub(crate) fn c5_an_edit_made_after_the_clock_went_back_fifty_years_still_beats_the_one_before<P: Place>() {
    let mut nodes = nodes::<P>(2, ITEMS);
    nodes[0].run("INSERT INTO items VALUES ('a', '1', 1)");
    converge(&mut nodes);
    for (years, value) in [(50, "3"), (1, "4"), (0, "5"), (30, "6")] {
        nodes[0].run(&format!("UPDATE items SET name = '{value}'"));
        nodes[0].place.date_notes(WallTime(1_000));
        nodes[0].store.seal(WallTime(now().0 - years * 365 * 24 * 3_600_000)).expect("sealed");
        converge(&mut nodes);
        check_equal(&mut nodes);
        assert_eq!(nodes[1].texts("SELECT name FROM items"), [value], "{years} years back");
    }
    assert_eq!(nodes[0].ledger(), [""; 0]);
}

pub(crate) fn c8_an_edit_counts_from_when_it_was_made_not_from_when_the_daemon_came_back<P: Place>() {
    let mut nodes = nodes::<P>(2, ITEMS);
    nodes[0].run("INSERT INTO items VALUES ('a', 'dawn', 1)");
    converge(&mut nodes);
    let at = |hours: u64| WallTime(now().0 + hours * 3_600_000);
    // Nine o'clock here, where the daemon is down until noon; ten o'clock there.
    nodes[0].run("UPDATE items SET name = 'nine'");
    nodes[0].place.date_notes(at(9));
    nodes[1].run("UPDATE items SET name = 'ten'");
    nodes[1].place.date_notes(at(10));
    nodes[1].store.seal(at(10)).expect("sealed");
    nodes[0].store.seal(at(12)).expect("sealed");
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[0].texts("SELECT name FROM items"), ["ten"]);
}
