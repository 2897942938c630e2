//! What a store notices between two looks of one run: who opens it anew follows the schema first, and takes what stands there for its own.

use std::time::{Duration, Instant};

use rowmesh_core::store::Store;

use crate::node::{Node, check_refused, converge, nodes, now};
use crate::place::Place;

const ITEMS: &str = "CREATE TABLE items (id TEXT PRIMARY KEY, name TEXT)";

/// Looks until a schema that moved is seen: a store may look at it less often than at rows.
fn schema_moves<P: Place>(node: &mut Node<P>) {
    let started = Instant::now();
    while !node.store.look().expect("read").schema_moved {
        assert!(started.elapsed() < Duration::from_secs(20), "nobody saw that the schema moved");
        std::thread::yield_now();
    }
}

pub(crate) fn a_look_tells_of_a_schema_that_moved_until_it_is_followed<P: Place>() {
    let mut node = Node::<P>::new(1, ITEMS);
    node.run("ALTER TABLE items ADD COLUMN price INTEGER");
    schema_moves(&mut node);
    assert!(node.store.look().expect("read").schema_moved);
    node.store.follow_schema(now()).expect("followed");
    assert!(!node.store.look().expect("read").schema_moved);
    assert!(node.store.follow_schema(now()).expect("followed").is_empty(), "there is nothing more to say");
}

pub(crate) fn following_says_what_it_found<P: Place>() {
    let mut node = Node::<P>::new(1, ITEMS);
    node.run("CREATE TABLE plants (id TEXT PRIMARY KEY); INSERT INTO plants VALUES ('fern')");
    node.place.lose_triggers("items");
    node.run("INSERT INTO items VALUES ('a', 'apple'), ('b', 'bread')");
    schema_moves(&mut node);
    let found = node.store.follow_schema(now()).expect("followed");
    let says = |table: &str, what: &str| found.iter().any(|said| said.contains(table) && said.contains(what));
    assert!(says("plants", "") && says("items", "2 changes recovered"), "{found:?}");
}

pub(crate) fn b14_an_earlier_state_under_the_store_is_noticed_and_nothing_is_sealed_or_taken<P: Place>() {
    let mut nodes = nodes::<P>(2, ITEMS);
    nodes[0].run("INSERT INTO items VALUES ('a', 'apple')");
    converge(&mut nodes);
    let of_one = nodes[0].log();
    let node = &mut nodes[1];
    node.run("INSERT INTO items VALUES ('b', 'bread')");
    node.seal();
    // As a restore of yesterday's tables does, ours among them.
    node.run(&format!(
        "UPDATE {} SET seq = seq - 1 WHERE seq > 0; INSERT INTO items VALUES ('c', 'corn')",
        P::ours("origins")
    ));
    check_refused(node.store.seal(now()), "RM2113");
    check_refused(node.store.take(now(), &of_one), "RM2113");
    check_refused(node.store.look(), "RM2113");
}
