//! Opening a store and letting it know the roster: whose database it is, what stood there before, what may not be asked too early.

use rowmesh_core::ident::{Incarnation, Seq};
use rowmesh_core::sign::{SecretKey, Signer};
use rowmesh_core::store::Store;

use crate::node::{FIRST_LIFE, Node, check_equal, check_refused, converge, now};
use crate::place::Place;

const ITEMS: &str = "CREATE TABLE items (id TEXT PRIMARY KEY, name TEXT)";

pub(crate) fn an_empty_database_begins_with_number_one<P: Place>() {
    let mut node = Node::<P>::new(1, ITEMS);
    let position = node.store.position();
    assert_eq!(position.origin.incarnation, FIRST_LIFE);
    assert_eq!((position.vector.total(), position.floor.total()), (0, 0));
    node.run("INSERT INTO items VALUES ('a', 'apple')");
    assert_eq!(node.store.seal(now()).expect("sealed").dots, [node.dot(1)]);
    assert_eq!(node.last(), Seq(1));
}

pub(crate) fn rows_that_stood_there_before_make_no_event_and_count_as_the_first_changeset<P: Place>() {
    let place = P::empty();
    place.run(&format!("{ITEMS}; INSERT INTO items VALUES ('a', 'apple'), ('b', 'bread')"));
    let mut node = Node::on(1, place, "SELECT 1");
    let position = node.store.position();
    assert_eq!((position.vector.get(&position.origin), position.floor.get(&position.origin)), (Seq(1), Seq(1)));
    assert_eq!(node.seal(), 0);
    assert!(node.log().is_empty() && node.events().is_empty());
    node.run("UPDATE items SET name = 'apricot' WHERE id = 'a'");
    assert_eq!(node.store.seal(now()).expect("sealed").dots, [node.dot(2)]);
    assert_eq!(node.events()[0].before.as_deref(), Some(r#"{"id":"a","name":"apple"}"#), "they are known all the same");

    let mut joiner = Node::<P>::outside(2, ITEMS);
    joiner.stand();
    joiner.load(&node.copy());
    let mut nodes = vec![node, joiner];
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[1].texts("SELECT name FROM items ORDER BY id"), ["apricot", "bread"]);
}

pub(crate) fn a_database_of_another_node_is_refused<P: Place>() {
    let stopped = Node::<P>::new(1, ITEMS).stop();
    let stranger = SecretKey::from_seed([9; 32]).node_id();
    check_refused(P::open(&stopped.place.address(), stranger, FIRST_LIFE).map(drop), "RM4125");
    stopped.start();
}

pub(crate) fn the_life_of_a_database_is_its_own_whatever_is_offered_when_it_is_opened_again<P: Place>() {
    let stopped = Node::<P>::new(1, ITEMS).stop();
    let node = SecretKey::from_seed([1; 32]).node_id();
    let store = P::open(&stopped.place.address(), node, Incarnation { count: 7, nonce: 7 }).expect("opened");
    assert_eq!(store.position().origin.incarnation, FIRST_LIFE);
}

pub(crate) fn what_needs_the_roster_is_refused_before_it_is_known_and_what_is_written_meanwhile_is_not_lost<
    P: Place,
>() {
    let mut node = Node::<P>::outside(1, ITEMS);
    node.run("INSERT INTO items VALUES ('a', 'apple')");
    check_refused(node.store.seal(now()), "RM9103");
    check_refused(node.store.take(now(), &[]), "RM9103");
    check_refused(node.store.restamp(Seq(0), Incarnation { count: 2, nonce: 2 }, now()), "RM9103");
    assert!(node.store.look().expect("read").dirty);
    node.stand();
    assert_eq!(node.seal(), 1);
}

pub(crate) fn the_same_roster_again_changes_nothing<P: Place>() {
    let mut node = Node::<P>::new(1, ITEMS);
    node.run("INSERT INTO items VALUES ('a', 'apple')");
    node.seal();
    let position = node.store.position();
    node.stand();
    assert_eq!(node.store.position(), position);
    assert!(!node.store.look().expect("read").dirty);
}
