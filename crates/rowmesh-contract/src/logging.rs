//! The log: which changesets are read for whom, what is known of each, and its events as people list them.

use rowmesh_core::changeset::Changeset;
use rowmesh_core::clock::{Lamport, VersionVector, WallTime};
use rowmesh_core::exchange::{LogBatch, LogRequest};
use rowmesh_core::ident::{Digest, Dot, Incarnation, Origin, Seq};
use rowmesh_core::store::{EventQuery, Store};

use crate::node::{Node, converge, nodes, now, two, verified};
use crate::place::Place;

const ITEMS: &str =
    "CREATE TABLE items (id TEXT PRIMARY KEY, name TEXT); CREATE TABLE others (id TEXT PRIMARY KEY, name TEXT)";

/// Seals a changeset for each of these names.
fn seal_each<P: Place>(node: &mut Node<P>, names: &[&str]) {
    for name in names {
        node.run(&format!("INSERT INTO items VALUES ('{name}', '{}')", "x".repeat(1_000)));
        node.seal();
    }
}

fn read<P: Place>(node: &mut Node<P>, after: &VersionVector, except: &[Origin], bytes: u64) -> (Vec<Dot>, bool) {
    let request = LogRequest::new(after.clone(), except.iter().copied(), bytes);
    let LogBatch { changesets, more } = node.store.read_log(&request).expect("read");
    (changesets.iter().map(|bytes| verified(bytes).dot()).collect(), more)
}

pub(crate) fn the_log_is_read_from_where_the_other_side_stands_and_in_pages<P: Place>() {
    let mut node = Node::<P>::new(1, ITEMS);
    assert_eq!(
        node.store.read_log(&LogRequest::new(VersionVector::default(), [], 1)).expect("read"),
        LogBatch::default()
    );
    seal_each(&mut node, &["a", "b", "c"]);
    let dots = [node.dot(1), node.dot(2), node.dot(3)];
    let none = VersionVector::default();
    let one: VersionVector = [dots[0]].into_iter().collect();
    let all: VersionVector = [dots[2]].into_iter().collect();
    assert_eq!(read(&mut node, &none, &[], 64 << 20), (dots.to_vec(), false));
    assert_eq!(read(&mut node, &one, &[], 64 << 20), (dots[1..].to_vec(), false));
    assert_eq!(read(&mut node, &all, &[], 64 << 20), (vec![], false));
    // The changeset that crosses the bound goes whole.
    assert_eq!(read(&mut node, &none, &[], 1), (dots[..1].to_vec(), true));
    assert_eq!(read(&mut node, &none, &[], 1_500), (dots[..2].to_vec(), true));
    assert_eq!(read(&mut node, &one, &[], 1_500), (dots[1..].to_vec(), false));
    let bytes = node.store.read_log(&LogRequest::new(none.clone(), [], 1)).expect("read").changesets[0].clone();
    node.run("DELETE FROM items");
    node.seal();
    assert_eq!(
        node.store.read_log(&LogRequest::new(none, [], 1)).expect("read").changesets[0],
        bytes,
        "each as it was sealed"
    );
}

pub(crate) fn what_the_log_gives_has_causes_before_effects_and_leaves_out_what_depends_on_what_is_left_out<P: Place>() {
    let mut nodes = nodes::<P>(3, ITEMS);
    seal_each(&mut nodes[0], &["a"]);
    seal_each(&mut nodes[2], &["c"]);
    let (one, two_) = two(&mut nodes);
    two_.pull(one);
    seal_each(two_, &["b"]);
    let (middle, last) = two(&mut nodes[1..]);
    last.pull(middle);
    let [of_one, of_two, of_three] = [nodes[0].dot(1), nodes[1].dot(1), nodes[2].dot(1)];
    let none = VersionVector::default();
    let (all, _) = read(&mut nodes[2], &none, &[], 64 << 20);
    let position = |dot: Dot| all.iter().position(|other| *other == dot).expect("it is there");
    assert!(all.len() == 3 && position(of_one) < position(of_two));
    let (without_one, more) = read(&mut nodes[2], &none, &[of_one.origin], 64 << 20);
    assert_eq!((without_one, more), (vec![of_three], false), "the second has seen the first");
    let (without_two, _) = read(&mut nodes[2], &none, &[of_two.origin], 64 << 20);
    assert!(without_two.len() == 2 && !without_two.contains(&of_two));
}

pub(crate) fn the_hash_of_a_changeset_is_known_while_the_log_has_it<P: Place>() {
    let mut nodes = nodes::<P>(2, ITEMS);
    seal_each(&mut nodes[0], &["a", "b"]);
    converge(&mut nodes);
    let log = nodes[0].log();
    for node in &mut nodes {
        for changeset in &log {
            assert_eq!(node.store.hash_of(&changeset.dot()).expect("read"), Some(changeset.hash()));
        }
        let beyond = Dot { seq: Seq(3), ..log[0].dot() };
        assert_eq!(node.store.hash_of(&beyond).expect("read"), None);
    }
    let nobody =
        Dot { origin: Origin { incarnation: Incarnation { count: 9, nonce: 9 }, ..log[0].dot().origin }, seq: Seq(1) };
    assert_eq!(nodes[0].store.hash_of(&nobody).expect("read"), None);
}

pub(crate) fn a_copy_knows_the_last_hash_of_what_its_log_leaves_out<P: Place>() {
    let mut member = Node::<P>::new(1, ITEMS);
    seal_each(&mut member, &["a", "b"]);
    let hashes: Vec<Digest> = member.log().iter().map(Changeset::hash).collect();
    let mut joiner = Node::<P>::new(2, ITEMS);
    let stable = member.store.position().vector;
    joiner.load(&member.copy_after(&stable));
    let position = joiner.store.position();
    assert_eq!(position.floor.get(&member.dot(1).origin), Seq(2));
    assert!(joiner.log_after(&stable).is_empty());
    assert_eq!(joiner.store.hash_of(&member.dot(2)).expect("read"), Some(hashes[1]));
    assert_eq!(joiner.store.hash_of(&member.dot(1)).expect("read"), None);
}

pub(crate) fn the_highest_timestamp_of_a_stretch_of_changesets_is_told<P: Place>() {
    let mut nodes = nodes::<P>(2, ITEMS);
    seal_each(&mut nodes[0], &["a", "b", "c"]);
    converge(&mut nodes);
    let log = nodes[0].log();
    let of = |seq: usize| log[seq - 1].header().lamport_max;
    let origin = log[0].dot().origin;
    for node in &mut nodes {
        let mut told = |after: u64, until: u64| node.store.lamport_of(&origin, Seq(after), Seq(until)).expect("read");
        assert_eq!(told(1, 2), Some(of(2)));
        assert_eq!(told(1, 3), Some(of(2).max(of(3))));
        assert_eq!(told(2, 100), Some(of(3)));
        assert_eq!(told(3, 3), None);
        assert_eq!(told(3, 100), None);
    }
    assert_eq!(nodes[1].store.lamport_of(&origin, Seq(0), Seq(2)).expect("read"), Some(of(1).max(of(2))));
    let nobody = Origin { incarnation: Incarnation { count: 9, nonce: 9 }, ..origin };
    nodes[0].store.lamport_of(&nobody, Seq(0), Seq(1)).expect_err("an unknown life");
}

pub(crate) fn rows_that_stood_there_before_have_the_timestamp_of_the_first_changeset<P: Place>() {
    let place = P::empty();
    place.run(&format!("{ITEMS}; INSERT INTO items VALUES ('a', 'apple')"));
    let before = Lamport::at(now());
    let mut node = Node::on(1, place, "SELECT 1");
    let origin = node.store.position().origin;
    let told = node.store.lamport_of(&origin, Seq(0), Seq(1)).expect("read");
    assert!(told.is_some_and(|told| before <= told && told <= Lamport::at(WallTime(now().0 + 1))), "{told:?}");
    assert_eq!(node.store.lamport_of(&origin, Seq(1), Seq(9)).expect("read"), None);
}

pub(crate) fn where_nothing_stood_before_nothing_has_a_timestamp<P: Place>() {
    let mut node = Node::<P>::new(1, ITEMS);
    let origin = node.store.position().origin;
    assert_eq!(node.store.lamport_of(&origin, Seq(0), Seq(9)).expect("read"), None);
}

pub(crate) fn what_the_clock_read_at_sealing_is_told_of_own_changesets<P: Place>() {
    let mut node = Node::<P>::new(1, ITEMS);
    node.run("INSERT INTO items VALUES ('a', 'apple')");
    let at = WallTime(now().0 + 12_345);
    node.store.seal(at).expect("sealed");
    assert_eq!(node.store.own_sealed_at(Seq(1)).expect("read"), Some(at));
    assert_eq!(node.store.own_sealed_at(Seq(2)).expect("read"), None);
    node.store.renew_incarnation(Incarnation { count: 2, nonce: 3 }).expect("renewed");
    assert_eq!(node.store.own_sealed_at(Seq(1)).expect("read"), None, "it is another life's");
}

/// Keys of the events that a query lists, in its order.
fn listed<P: Place>(node: &mut Node<P>, query: EventQuery) -> Vec<String> {
    node.store.events(&query).expect("read").into_iter().map(|event| event.key).collect()
}

pub(crate) fn events_are_listed_newest_first_by_table_key_node_number_and_time<P: Place>() {
    let mut nodes = nodes::<P>(2, ITEMS);
    nodes[0].run("INSERT INTO items VALUES ('a', 'x')");
    nodes[0].seal();
    nodes[1].run("INSERT INTO items VALUES ('b', 'x')");
    nodes[1].seal();
    let (one, other) = two(&mut nodes);
    one.pull(other);
    let late = WallTime(now().0 + 60_000);
    one.run("INSERT INTO others VALUES ('a', 'x')");
    one.store.seal(late).expect("sealed");
    one.run("UPDATE items SET name = 'y' WHERE id = 'b'");
    one.store.seal(late).expect("sealed");

    let all = EventQuery { limit: 100, ..EventQuery::default() };
    assert_eq!(listed(one, all.clone()), ["b", "a", "b", "a"]);
    assert_eq!(listed(one, EventQuery { limit: 2, ..all.clone() }), ["b", "a"]);
    assert_eq!(listed(one, EventQuery { limit: 0, ..all.clone() }), [""; 0]);
    assert_eq!(listed(one, EventQuery { limit: usize::MAX, ..all.clone() }).len(), 4);
    assert_eq!(listed(one, EventQuery { table: Some("others".to_owned()), ..all.clone() }), ["a"]);
    assert_eq!(listed(one, EventQuery { table: Some("nothing".to_owned()), ..all.clone() }), [""; 0]);
    assert_eq!(listed(one, EventQuery { key: Some("a".to_owned()), ..all.clone() }), ["a", "a"]);
    assert_eq!(listed(one, EventQuery { node: Some(other.store.position().origin.node), ..all.clone() }), ["b"]);
    assert_eq!(listed(one, EventQuery { since: Some(late), ..all.clone() }), ["b", "a"]);
    let events = one.events();
    assert!(events.is_sorted_by(|newer, older| newer.id > older.id));
    assert_eq!(listed(one, EventQuery { after_id: Some(events[2].id), ..all.clone() }), ["b", "a"]);
    let together = EventQuery { table: Some("items".to_owned()), key: Some("b".to_owned()), since: Some(late), ..all };
    assert_eq!(listed(one, together), ["b"]);

    let told: Vec<_> = events.iter().map(|event| (event.dot, &*event.operation, &*event.state)).collect();
    let of_one = |seq| (one.dot(seq), "sealed");
    assert_eq!(
        told.iter().map(|(dot, _, state)| (*dot, *state)).collect::<Vec<_>>(),
        [of_one(3), of_one(2), (other.dot(1), "applied"), of_one(1)]
    );
    assert_eq!(
        told.iter().map(|(_, operation, _)| *operation).collect::<Vec<_>>(),
        ["UPDATE", "INSERT", "INSERT", "INSERT"]
    );
    assert_eq!(events[0].taken_at, late);
}
