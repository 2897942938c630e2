//! What people see: tables, conflicts, rows, what is held back, which database it is; and a database from which all of it is taken out again.

use rowmesh_core::clock::WallTime;
use rowmesh_core::lineage::Cause;
use rowmesh_core::policy::PolicyHistory;
use rowmesh_core::scope::{Filter, Scope};
use rowmesh_core::store::Store;
use rowmesh_core::value::{Key, Value};

use crate::node::{Node, converge, lacked, nodes, now, two};
use crate::place::Place;

const ITEMS: &str = "CREATE TABLE items (id TEXT PRIMARY KEY, name TEXT)";

pub(crate) fn every_table_is_listed_with_how_it_fares<P: Place>() {
    let schema = "CREATE TABLE shelves (room TEXT NOT NULL, place TEXT NOT NULL, what TEXT, PRIMARY KEY (room, place));
                  CREATE TABLE keyless (a TEXT); CREATE TABLE items (id TEXT PRIMARY KEY, n INTEGER CHECK (n < 100))";
    let mut nodes =
        vec![Node::<P>::new(1, "CREATE TABLE items (id TEXT PRIMARY KEY, n INTEGER)"), Node::new(2, schema)];
    nodes[0].run("INSERT INTO items VALUES ('good', 1), ('poison', 5000)");
    converge(&mut nodes);
    nodes[1].run("INSERT INTO shelves VALUES ('a', 'b', 'c')");
    let tables = nodes[1].store.tables(true).expect("read");
    assert_eq!(tables.iter().map(|table| &*table.name).collect::<Vec<_>>(), ["items", "keyless", "shelves"]);
    let [items, keyless, shelves] = &tables[..] else { panic!("{tables:?}") };
    assert_eq!((items.synced, items.captured, items.rows, items.parked), (true, true, Some(1), 1));
    assert_eq!((items.reason.as_str(), items.remedy.as_str(), items.held_back), ("", "", 0));
    assert_eq!((&shelves.key[..], shelves.rows), (&["room".to_owned(), "place".to_owned()][..], Some(1)));
    assert_eq!((keyless.synced, keyless.captured), (false, false));
    assert!(!keyless.reason.is_empty() && !keyless.remedy.is_empty(), "{keyless:?}");
    assert!(
        nodes[1].store.tables(false).expect("read").iter().all(|table| table.rows.is_none()),
        "counting was not asked for"
    );
}

pub(crate) fn conflicts_are_listed_newest_first_and_closed_ones_only_if_asked_for<P: Place>() {
    let mut nodes = nodes::<P>(2, ITEMS);
    nodes[0].run("INSERT INTO items VALUES ('a', 'x'), ('b', 'x'), ('c', 'x')");
    converge(&mut nodes);
    let start = now();
    for (later, id) in ["b", "a", "c"].into_iter().enumerate() {
        nodes[0].run(&format!("UPDATE items SET name = 'one' WHERE id = '{id}'"));
        nodes[0].seal();
        nodes[1].run(&format!("UPDATE items SET name = 'two' WHERE id = '{id}'"));
        let (one, other) = two(&mut nodes);
        let changesets = lacked(other, one);
        other.store.take(WallTime(start.0 + 1_000 * later as u64), &changesets).expect("taken");
    }
    let node = &mut nodes[1];
    let listed = |node: &mut Node<P>, only_open, limit| -> Vec<String> {
        let views = node.store.conflicts(only_open, limit).expect("read");
        assert!(views.is_sorted_by(|newer, older| newer.detected_at >= older.detected_at));
        views.iter().map(|view| view.entry.id.key.to_display()).collect()
    };
    assert_eq!(listed(node, false, 100), ["c", "a", "b"]);
    assert_eq!(listed(node, false, 2), ["c", "a"]);
    assert_eq!(listed(node, false, 0), [""; 0]);
    assert_eq!(listed(node, false, usize::MAX), ["c", "a", "b"]);
    node.run("UPDATE items SET name = 'settled' WHERE id = 'a'");
    node.seal();
    assert_eq!(listed(node, true, 100), ["c", "b"]);
    assert_eq!(listed(node, false, 100), ["c", "a", "b"]);
}

pub(crate) fn a_row_is_shown_as_it_stands<P: Place>() {
    let mut node = Node::<P>::new(1, ITEMS);
    node.run("INSERT INTO items VALUES ('it''s', 'a \"name\"')");
    let key = Key::of(&[Value::text("it's")]);
    let read = |node: &mut Node<P>, table: &str, key: &Key| node.store.row_json(table, key).expect("read");
    assert_eq!(
        read(&mut node, "items", &key).as_deref(),
        Some(r#"{"id":"it's","name":"a \"name\""}"#),
        "sealed or not"
    );
    assert_eq!(read(&mut node, "items", &Key::of(&[Value::text("nobody")])), None);
    assert_eq!(read(&mut node, "nothing", &key), None);
    node.run("UPDATE items SET name = NULL");
    assert_eq!(read(&mut node, "items", &key).as_deref(), Some(r#"{"id":"it's","name":null}"#));
}

pub(crate) fn a_row_tells_who_wrote_it_what_stands_beside_that_and_what_lost<P: Place>() {
    let mut nodes = nodes::<P>(2, ITEMS);
    let key = Key::of(&[Value::text("a")]);
    nodes[0].run("INSERT INTO items VALUES ('a', 'first')");
    converge(&mut nodes);
    nodes[0].run("UPDATE items SET name = 'here'");
    nodes[0].seal();
    nodes[1].run("UPDATE items SET name = 'there'");
    converge(&mut nodes);
    let dots = [nodes[0].dot(1), nodes[0].dot(2), nodes[1].dot(1)];
    let stands = nodes[0].texts("SELECT name FROM items").remove(0);
    for node in &mut nodes {
        let view = node.store.row("items", &key).expect("read").expect("known");
        assert!(view.lineage.stands && view.lineage.deletes.is_empty() && view.parked.is_empty());
        assert_eq!(view.lineage.births.iter().map(|birth| birth.dot).collect::<Vec<_>>(), dots[..1]);
        let name = view.lineage.columns.iter().find(|column| &*column.column == "name").expect("its name");
        assert_eq!((name.cause, &name.shown), (Cause::Chosen, &Some(Value::text(&stands))));
        let mut writers: Vec<_> = name.writes.iter().map(|write| write.stamp.dot).collect();
        assert_eq!(name.writes[0].value, Value::text(&stands));
        writers.sort();
        let mut both = dots[1..].to_vec();
        both.sort();
        assert_eq!(writers, both);
        assert_eq!(view.conflicts.len(), 1);
        assert_eq!(view.conflicts[0].entry.winning, name.writes[0].stamp);
        assert_eq!(node.store.row("items", &Key::of(&[Value::text("b")])).expect("read"), None);
        assert_eq!(node.store.row("nothing", &key).expect("read"), None);
    }
    nodes[1].run("DELETE FROM items");
    converge(&mut nodes);
    let view = nodes[0].store.row("items", &key).expect("read").expect("known though it is gone");
    assert!(!view.lineage.stands && view.conflicts.len() == 1);
    assert_eq!(view.lineage.deletes.iter().map(|delete| delete.dot).collect::<Vec<_>>(), [nodes[1].dot(2)]);
}

pub(crate) fn what_filters_hold_back_is_told_by_filter_and_root<P: Place>() {
    let schema = "CREATE TABLE shops (id TEXT PRIMARY KEY, kind TEXT);
                  CREATE TABLE orders (id TEXT PRIMARY KEY, shop TEXT NOT NULL REFERENCES shops (id))";
    let mut node = Node::<P>::new(1, schema);
    let filter = Filter::parse("private", "shops", "kind = 'private'", &[] as &[&str]).expect("a filter");
    let scope = Scope { filters: vec![filter], ..Scope::default() };
    node.stand_by(&scope, &PolicyHistory::default());
    node.run("INSERT INTO shops VALUES ('s', 'private'), ('t', 'open'), ('u', 'private'); INSERT INTO orders VALUES ('1', 's'), ('2', 's'), ('3', 't')");
    assert_eq!(node.seal(), 2, "what is open travels");
    let held = node.store.held_back().expect("read");
    let held: Vec<(&str, &str, u64)> = held.iter().map(|(filter, root, rows)| (&**filter, &**root, *rows)).collect();
    assert_eq!(held, [("private", "s", 3), ("private", "u", 1)]);
    let tables = node.store.tables(false).expect("read");
    assert_eq!(tables.iter().map(|table| table.held_back).collect::<Vec<_>>(), [2, 2]);
    node.stand_by(&Scope::default(), &PolicyHistory::default());
    assert_eq!(node.seal(), 4, "what is held back no more comes");
    assert_eq!(node.store.held_back().expect("read"), []);
}

pub(crate) fn columns_that_change_with_every_update_are_told_by_their_names<P: Place>() {
    let schema = "CREATE TABLE items (id TEXT PRIMARY KEY, name TEXT, updated_at TEXT, lock_version INTEGER); CREATE TABLE plain (id TEXT PRIMARY KEY)";
    let node = Node::<P>::new(1, schema);
    let touched = node.store.touched_columns();
    let touched: Vec<(&str, Vec<&str>)> =
        touched.iter().map(|(table, columns)| (&**table, columns.iter().map(|column| &**column).collect())).collect();
    assert_eq!(touched, [("items", vec!["updated_at", "lock_version"])]);
}

pub(crate) fn a_database_is_described_in_a_line<P: Place>() {
    let described = Node::<P>::new(1, ITEMS).store.describe();
    assert!(!described.contains('\n') && described.chars().any(|c| c.is_ascii_digit()), "{described}");
}

pub(crate) fn n6_uninstalling_leaves_the_database_as_it_was_found<P: Place>() {
    let place = P::empty();
    place.run(&format!("{ITEMS}; CREATE TABLE others (id TEXT PRIMARY KEY, item TEXT REFERENCES items (id)); INSERT INTO items VALUES ('a', 'apple')"));
    let found = place.catalog();
    let mut node = Node::on(1, place, "SELECT 1");
    assert!(node.place.catalog().len() > found.len());
    node.run("UPDATE items SET name = 'apricot'; INSERT INTO others VALUES ('o', 'a')");
    node.seal();
    node.run("INSERT INTO items VALUES ('b', 'bread')");
    node.store.uninstall().expect("uninstalled");
    assert_eq!(node.place.catalog(), found);
    node.run("INSERT INTO items VALUES ('c', 'corn'); DELETE FROM others");
    assert_eq!(
        node.texts("SELECT name FROM items ORDER BY id"),
        ["apricot", "bread", "corn"],
        "the rows are the application's"
    );
    // Attached anew it begins anew: all that stands here stood here before.
    let node = node.restart();
    assert_eq!(node.last().0, 1);
}
